"""PyTensor, the successor of Theano, in mode NUMBA (the mode C of its wheels links no BLAS)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor import linalg, special

from ..workloads import DIRECTION, LAYERS, SMALL_LAYERS, Array, Arrays, Case
from .array_losses import Loss
from .contract import Bind, Prepared

Tensors = Mapping[str, Any]


def cross_entropy(Z: Any, Y: Any) -> Any:
    return (pt.sum(pt.logsumexp(Z, axis=1)) - pt.sum(Y * Z)) / Z.shape[0]


def relu(z: Any) -> Any:
    return pt.maximum(z, 0.0)


def quadratic(p: Tensors) -> Any:
    return p["x"] @ p["A"] @ p["x"]


def ridge(p: Tensors) -> Any:
    r = p["X"] @ p["w"] - p["y"]
    return r @ r + p["lam"] * (p["w"] @ p["w"])


def logistic(p: Tensors) -> Any:
    return pt.sum(pt.softplus(-p["y"] * (p["X"] @ p["w"])))


def softmax_regression(p: Tensors) -> Any:
    return cross_entropy(p["X"] @ p["W"], p["Y"])


def mlp(p: Tensors) -> Any:
    a = relu(p["X"] @ p["W1"] + p["b1"])
    return cross_entropy(a @ p["W2"] + p["b2"], p["Y"])


def deep_mlp(p: Tensors) -> Any:
    a = p["X"]
    for i in range(1, LAYERS):
        a = relu(a @ p[f"W{i}"] + p[f"b{i}"])
    r = a @ p[f"W{LAYERS}"] + p[f"b{LAYERS}"] - p["Y"]
    return pt.sum(r * r) / r.shape[0]


def factorisation(p: Tensors) -> Any:
    r = p["M"] * (p["X"] - p["U"] @ p["V"].T)
    return pt.sum(r * r)


def small_network(p: Tensors) -> Any:
    h = p["x"]
    for i in range(1, SMALL_LAYERS):
        h = relu(p[f"W{i}"] @ h)
    z = p[f"W{SMALL_LAYERS}"] @ h
    return pt.logsumexp(z) - p["t"] @ z


def normal(S: Any, y: Any) -> Any:
    factor = linalg.cholesky(S)
    return pt.sum(pt.log(pt.diag(factor))) + 0.5 * (y @ linalg.cho_solve((factor, True), y))


def gauss(p: Tensors) -> Any:
    # the gradient of PyTensor's Cholesky factor lands in one triangle
    return normal(0.5 * (p["S"] + p["S"].T), p["y"])


def evidence(p: Tensors) -> Any:
    return normal(p["a"] * pt.exp(-p["b"] * p["D"]) + p["c"] * pt.eye(p["D"].shape[0]), p["y"])


def entrywise(p: Tensors) -> Any:
    return pt.sum(pt.softplus(-p["x"] * p["y"]) + pt.tanh(p["x"]) ** 2)


def chain(p: Tensors) -> Any:
    return p["a"] @ p["X"] @ p["Y"] @ p["Z"] @ p["b"]


def squared_chain(p: Tensors) -> Any:
    r = p["X"] @ p["Y"] @ p["Z"] @ p["b"]
    return r @ r


def trace_of_inverse(p: Tensors) -> Any:
    return pt.trace(linalg.solve(p["X"], p["A"]))


def log_determinant(p: Tensors) -> Any:
    return linalg.slogdet(p["X"])[1]


def softmax(p: Tensors) -> Any:
    return special.softmax(p["A"] @ p["x"], axis=0)


def sigmoid(p: Tensors) -> Any:
    return pt.sigmoid(p["A"] @ p["x"] + p["b"])


def recurrent(p: Tensors) -> Any:
    before = p["X"] @ p["Wx"] + p["b"]

    def step(x: Any, h: Any, Wh: Any) -> Any:
        return pt.tanh(x + h @ Wh)

    start = pt.zeros((p["X"].shape[1], p["Wh"].shape[0]))
    states = pytensor.scan(
        step, sequences=[before], outputs_info=[start], non_sequences=[p["Wh"]], return_updates=False
    )
    r = states[-1] @ p["Wo"] - p["Y"]
    return pt.sum(r * r) / r.shape[0]


LOSSES: Mapping[str, Loss] = {
    "quadratic": quadratic, "ridge": ridge, "logistic": logistic, "softmax regression": softmax_regression,
    "mlp": mlp, "deep mlp": deep_mlp, "factorisation": factorisation, "small network": small_network,
    "gauss": gauss, "evidence": evidence, "entrywise": entrywise, "chain": chain, "squared chain": squared_chain,
    "trace of inverse": trace_of_inverse, "log determinant": log_determinant, "softmax": softmax,
    "sigmoid": sigmoid, "recurrent": recurrent,
}  # fmt: skip


def outputs(case: Case, symbols: Tensors) -> list[Any]:
    """The graphs of what is computed."""
    value = LOSSES[case.workload.problem](symbols)
    wrt = [symbols[name] for name in case.workload.wrt]
    match case.workload.mode:
        case "value and gradient":
            return [value, *pytensor.grad(value, wrt)]
        case "Hessian-vector product":
            slope = pt.dot(pytensor.grad(value, wrt[0]), symbols[DIRECTION])
            return [pytensor.grad(slope, wrt[0])]
        case "Jacobian":
            return [pytensor.gradient.jacobian(value, wrt[0])]
        case "Hessian":
            return [pytensor.gradient.jacobian(pytensor.grad(value, wrt[0]).ravel(), wrt[0])]


def build(case: Case, threads: int) -> Bind:
    warnings.filterwarnings("ignore")
    shapes = case.shapes
    symbols = {name: pt.tensor(name, shape=shape, dtype="float64") for name, shape in shapes.items()}
    function = pytensor.function(list(symbols.values()), outputs(case, symbols), mode="NUMBA", on_unused_input="ignore")
    function.trust_input = True

    def to_numpy(result: Any) -> list[Array]:
        parts = [np.asarray(part) for part in result]
        shape = shapes[case.workload.wrt[0]]
        return [parts[0].reshape(shape + shape)] if case.workload.mode == "Hessian" else parts

    def bind(arrays: Arrays) -> Prepared:
        arguments = [np.asarray(arrays[name]) for name in symbols]
        return Prepared(lambda: function(*arguments), to_numpy)

    return bind
