"""The problems as plain functions of arrays, as a user of jax.numpy or autograd.numpy writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..workloads import LAYERS, SMALL_LAYERS

Loss = Callable[[Mapping[str, Any]], Any]


def losses(xp: Any) -> dict[str, Loss]:
    """The function of every problem, over the given array module."""

    def softplus(z: Any) -> Any:
        return xp.logaddexp(0.0, z)

    def cross_entropy(Z: Any, Y: Any) -> Any:
        m = xp.max(Z, axis=1, keepdims=True)
        normaliser = m[:, 0] + xp.log(xp.sum(xp.exp(Z - m), axis=1))
        return (xp.sum(normaliser) - xp.sum(Y * Z)) / Z.shape[0]

    def relu(z: Any) -> Any:
        return xp.maximum(z, 0.0)

    def quadratic(p: Mapping[str, Any]) -> Any:
        return p["x"] @ p["A"] @ p["x"]

    def ridge(p: Mapping[str, Any]) -> Any:
        r = p["X"] @ p["w"] - p["y"]
        return r @ r + p["lam"] * (p["w"] @ p["w"])

    def logistic(p: Mapping[str, Any]) -> Any:
        return xp.sum(softplus(-p["y"] * (p["X"] @ p["w"])))

    def softmax_regression(p: Mapping[str, Any]) -> Any:
        return cross_entropy(p["X"] @ p["W"], p["Y"])

    def mlp(p: Mapping[str, Any]) -> Any:
        a = relu(p["X"] @ p["W1"] + p["b1"])
        return cross_entropy(a @ p["W2"] + p["b2"], p["Y"])

    def deep_mlp(p: Mapping[str, Any]) -> Any:
        a = p["X"]
        for i in range(1, LAYERS):
            a = relu(a @ p[f"W{i}"] + p[f"b{i}"])
        r = a @ p[f"W{LAYERS}"] + p[f"b{LAYERS}"] - p["Y"]
        return xp.sum(r * r) / r.shape[0]

    def factorisation(p: Mapping[str, Any]) -> Any:
        r = p["M"] * (p["X"] - p["U"] @ p["V"].T)
        return xp.sum(r * r)

    def small_network(p: Mapping[str, Any]) -> Any:
        h = p["x"]
        for i in range(1, SMALL_LAYERS):
            h = relu(p[f"W{i}"] @ h)
        z = p[f"W{SMALL_LAYERS}"] @ h
        m = xp.max(z)
        return m + xp.log(xp.sum(xp.exp(z - m))) - p["t"] @ z

    def normal(S: Any, y: Any) -> Any:
        factor = xp.linalg.cholesky(S)
        return xp.sum(xp.log(xp.diag(factor))) + 0.5 * (y @ xp.linalg.solve(S, y))

    def gauss(p: Mapping[str, Any]) -> Any:
        return normal(p["S"], p["y"])

    def evidence(p: Mapping[str, Any]) -> Any:
        return normal(p["a"] * xp.exp(-p["b"] * p["D"]) + p["c"] * xp.eye(p["D"].shape[0]), p["y"])

    def entrywise(p: Mapping[str, Any]) -> Any:
        return xp.sum(softplus(-p["x"] * p["y"]) + xp.tanh(p["x"]) ** 2)

    def chain(p: Mapping[str, Any]) -> Any:
        return p["a"] @ p["X"] @ p["Y"] @ p["Z"] @ p["b"]

    def squared_chain(p: Mapping[str, Any]) -> Any:
        r = p["X"] @ p["Y"] @ p["Z"] @ p["b"]
        return r @ r

    def trace_of_inverse(p: Mapping[str, Any]) -> Any:
        return xp.trace(xp.linalg.solve(p["X"], p["A"]))

    def log_determinant(p: Mapping[str, Any]) -> Any:
        return xp.linalg.slogdet(p["X"])[1]

    def softmax(p: Mapping[str, Any]) -> Any:
        z = p["A"] @ p["x"]
        e = xp.exp(z - xp.max(z))
        return e / xp.sum(e)

    def sigmoid(p: Mapping[str, Any]) -> Any:
        return 1.0 / (1.0 + xp.exp(-(p["A"] @ p["x"] + p["b"])))

    def recurrent(p: Mapping[str, Any]) -> Any:
        h = xp.zeros((p["X"].shape[1], p["Wh"].shape[0]))
        for t in range(p["X"].shape[0]):
            h = xp.tanh(p["X"][t] @ p["Wx"] + h @ p["Wh"] + p["b"])
        r = h @ p["Wo"] - p["Y"]
        return xp.sum(r * r) / r.shape[0]

    return {
        "quadratic": quadratic, "ridge": ridge, "logistic": logistic, "softmax regression": softmax_regression,
        "mlp": mlp, "deep mlp": deep_mlp, "factorisation": factorisation, "small network": small_network,
        "gauss": gauss, "evidence": evidence, "entrywise": entrywise, "chain": chain, "squared chain": squared_chain,
        "trace of inverse": trace_of_inverse, "log determinant": log_determinant, "softmax": softmax,
        "sigmoid": sigmoid, "recurrent": recurrent,
    }  # fmt: skip
