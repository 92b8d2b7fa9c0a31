"""Plain NumPy: the formula as a symbolic tool prints it, as correct code without care for speed.

Common parts are shared, but every temporary is a fresh array, products go from left to right and inverses are explicit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..workloads import LAYERS, SMALL_LAYERS, Array, Arrays, Case
from .contract import Bind, Prepared

Outputs = tuple[Any, ...]


def quadratic(p: Arrays) -> Outputs:
    A, x = p["A"], p["x"]
    t = A @ x
    return x @ t, t + A.T @ x


def ridge(p: Arrays) -> Outputs:
    X, y, w, lam = p["X"], p["y"], p["w"], p["lam"]
    t = X @ w - y
    return np.linalg.norm(t) ** 2 + lam * np.linalg.norm(w) ** 2, 2 * (X.T @ t) + (2 * lam) * w


def logistic(p: Arrays) -> Outputs:
    X, y, w = p["X"], p["y"], p["w"]
    t0 = np.exp(-(y * (X @ w)))
    t1 = 1 + t0
    return np.sum(np.log(t1)), -(X.T @ ((y * t0) / t1))


def logistic_hessian(p: Arrays) -> Outputs:
    X, y, w = p["X"], p["y"], p["w"]
    t0 = np.exp(-(y * (X @ w)))
    t1 = 1 + t0
    return (X.T @ (((y * y * t0) / (t1 * t1))[:, None] * X),)


def logistic_product(p: Arrays) -> Outputs:
    X, y, w, v = p["X"], p["y"], p["w"], p["v"]
    t0 = np.exp(-(y * (X @ w)))
    t1 = 1 + t0
    return (X.T @ (((y * y * t0) / (t1 * t1)) * (X @ v)),)


def _normaliser(Z: Array) -> tuple[Array, Array]:
    m = Z.max(axis=1, keepdims=True)
    e = np.exp(Z - m)
    s = e.sum(axis=1, keepdims=True)
    return m + np.log(s), e / s


def softmax_regression(p: Arrays) -> Outputs:
    X, Y, W = p["X"], p["Y"], p["W"]
    Z = X @ W
    lse, P = _normaliser(Z)
    n = X.shape[0]
    return (np.sum(lse) - np.sum(Y * Z)) / n, X.T @ (P - Y) / n


def mlp(p: Arrays) -> Outputs:
    X, Y, W1, b1, W2, b2 = (p[s] for s in ("X", "Y", "W1", "b1", "W2", "b2"))
    n = X.shape[0]
    Z1 = X @ W1 + b1
    A = np.maximum(Z1, 0)
    Z = A @ W2 + b2
    lse, P = _normaliser(Z)
    D = (P - Y) / n
    E = (D @ W2.T) * (Z1 > 0)
    return (np.sum(lse) - np.sum(Y * Z)) / n, X.T @ E, E.sum(0), A.T @ D, D.sum(0)


def deep_mlp(p: Arrays) -> Outputs:
    acts, pre, L = [p["X"]], [], LAYERS
    n = p["X"].shape[0]
    for i in range(1, L):
        pre.append(acts[-1] @ p[f"W{i}"] + p[f"b{i}"])
        acts.append(np.maximum(pre[-1], 0))
    r = acts[-1] @ p[f"W{L}"] + p[f"b{L}"] - p["Y"]
    D = 2 * r / n
    grads = []
    for i in range(L, 0, -1):
        grads += [D.sum(0), acts[i - 1].T @ D]
        if i > 1:
            D = (D @ p[f"W{i}"].T) * (pre[i - 2] > 0)
    return np.sum(r * r) / n, *grads[::-1]


def factorisation(p: Arrays) -> Outputs:
    X, M, U, V = p["X"], p["M"], p["U"], p["V"]
    R = M * (X - U @ V.T)
    S = M * R
    return np.linalg.norm(R) ** 2, -2 * (S @ V), -2 * (S.T @ U)


def factorisation_hessian(p: Arrays) -> Outputs:
    M, V = p["M"], p["V"]
    n = len(p["U"])
    return (2 * np.einsum("ij,il,la,lb->iajb", np.eye(n), M * M, V, V, optimize=True),)


def small_network_hessian(p: Arrays) -> Outputs:
    h, masks = p["x"], []
    for i in range(1, SMALL_LAYERS):
        z = p[f"W{i}"] @ h
        masks.append(z > 0)
        h = np.maximum(z, 0)
    z = p[f"W{SMALL_LAYERS}"] @ h
    e = np.exp(z - z.max())
    s = e / e.sum()
    G = np.diag(s) - np.outer(s, s)
    B = p[f"W{SMALL_LAYERS}"] * masks[-1]
    for j in range(SMALL_LAYERS - 1, 1, -1):
        B = (B @ p[f"W{j}"]) * masks[j - 2]
    x = p["x"]
    return (np.einsum("ik,j,l->ijkl", B.T @ G @ B, x, x),)


def gauss(p: Arrays) -> Outputs:
    S, y = p["S"], p["y"]
    Si = np.linalg.inv(S)
    t = Si @ y
    return 0.5 * np.linalg.slogdet(S)[1] + 0.5 * (y @ t), 0.5 * Si - 0.5 * np.outer(t, t)


def evidence(p: Arrays) -> Outputs:
    D, y, a, b, c = p["D"], p["y"], p["a"], p["b"], p["c"]
    E = np.exp(-b * D)
    K = a * E + c * np.eye(len(y))
    Ki = np.linalg.inv(K)
    t = Ki @ y
    W = 0.5 * Ki - 0.5 * np.outer(t, t)
    return (0.5 * np.linalg.slogdet(K)[1] + 0.5 * (y @ t), np.sum(W * E), np.sum(W * (-a * (D * E))), np.trace(W))


def entrywise(p: Arrays) -> Outputs:
    x, y = p["x"], p["y"]
    t0 = np.exp(-(x * y))
    t1 = 1 + t0
    t2 = np.tanh(x)
    return np.sum(np.log(t1) + t2**2), -(y * t0) / t1 + 2 * t2 * (1 - t2**2)


def chain(p: Arrays) -> Outputs:
    a, X, Y, Z, b = (p[s] for s in "aXYZb")
    return a @ X @ Y @ Z @ b, np.outer(X.T @ a, Z @ b)


def squared_chain(p: Arrays) -> Outputs:
    X, Y, Z, b = (p[s] for s in "XYZb")
    r = X @ Y @ Z @ b
    return r @ r, np.outer(2 * X.T @ r, Z @ b)


def trace_of_inverse(p: Arrays) -> Outputs:
    X, A = p["X"], p["A"]
    Xi = np.linalg.inv(X)
    return np.trace(Xi @ A), -(Xi @ A @ Xi).T


def log_determinant(p: Arrays) -> Outputs:
    X = p["X"]
    return np.linalg.slogdet(X)[1], np.linalg.inv(X).T


def softmax_jacobian(p: Arrays) -> Outputs:
    A, x = p["A"], p["x"]
    z = A @ x
    e = np.exp(z - z.max())
    s = e / e.sum()
    return ((np.diag(s) - np.outer(s, s)) @ A,)


def sigmoid_jacobian(p: Arrays) -> Outputs:
    A, x, b = p["A"], p["x"], p["b"]
    s = 1 / (1 + np.exp(-(A @ x + b)))
    return (np.diag(s * (1 - s)) @ A,)


def recurrent(p: Arrays) -> Outputs:
    X, Y, Wx, Wh, b, Wo = (p[s] for s in ("X", "Y", "Wx", "Wh", "b", "Wo"))
    T, n = X.shape[:2]
    hs = [np.zeros((n, Wh.shape[0]))]
    for t in range(T):
        hs.append(np.tanh(X[t] @ Wx + hs[-1] @ Wh + b))
    r = hs[-1] @ Wo - Y
    D = 2 * r / n
    gWo = hs[-1].T @ D
    dh = D @ Wo.T
    gWx, gWh, gb = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    for t in range(T - 1, -1, -1):
        da = dh * (1 - hs[t + 1] ** 2)
        gWx = gWx + X[t].T @ da
        gWh = gWh + hs[t].T @ da
        gb = gb + da.sum(0)
        dh = da @ Wh.T
    return np.sum(r * r) / n, gWx, gWh, gb, gWo


FUNCTIONS: Mapping[str, Callable[[Arrays], Outputs]] = {
    "quadratic form": quadratic,
    "ridge": ridge,
    "logistic": logistic,
    "logistic Hessian": logistic_hessian,
    "logistic HVP": logistic_product,
    "softmax regression": softmax_regression,
    "MLP": mlp,
    "deep MLP, 10 layers": deep_mlp,
    "masked factorisation": factorisation,
    "masked factorisation, Hessian by U": factorisation_hessian,
    "masked factorisation, dense Hessian by U": factorisation_hessian,
    "network Hessian by W1, 5 layers": small_network_hessian,
    "Gaussian likelihood": gauss,
    "GP evidence": evidence,
    "entrywise": entrywise,
    "chain a'XYZb by Y": chain,
    "chain |XYZb|^2 by Y": squared_chain,
    "tr(X^-1 A)": trace_of_inverse,
    "log det X": log_determinant,
    "Jacobian of softmax(A x)": softmax_jacobian,
    "Jacobian of sigmoid(A x + b)": sigmoid_jacobian,
    "RNN, 50 steps": recurrent,
}


def to_numpy(result: Outputs) -> list[Array]:
    return [np.asarray(part) for part in result]


def build(case: Case, threads: int) -> Bind:
    function = FUNCTIONS[case.workload.name]

    def bind(arrays: Arrays) -> Prepared:
        return Prepared(lambda: function(arrays), to_numpy)

    return bind
