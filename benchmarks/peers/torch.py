"""PyTorch on the CPU, eager."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import func, nn

from ..workloads import DIRECTION, LAYERS, SMALL_LAYERS, Array, Arrays, Case
from .array_losses import Loss
from .contract import Bind, Prepared

Tensors = Mapping[str, Any]
CLASSIFIERS = frozenset({"softmax regression", "mlp"})


def quadratic(p: Tensors) -> Any:
    return p["x"] @ (p["A"] @ p["x"])


def ridge(p: Tensors) -> Any:
    r = p["X"] @ p["w"] - p["y"]
    return r @ r + p["lam"] * (p["w"] @ p["w"])


def logistic(p: Tensors) -> Any:
    return -nn.functional.logsigmoid(p["y"] * (p["X"] @ p["w"])).sum()


def softmax_regression(p: Tensors) -> Any:
    return nn.functional.cross_entropy(p["X"] @ p["W"], p["labels"])


def mlp(p: Tensors) -> Any:
    a = torch.relu(torch.addmm(p["b1"], p["X"], p["W1"]))
    return nn.functional.cross_entropy(torch.addmm(p["b2"], a, p["W2"]), p["labels"])


def deep_mlp(p: Tensors) -> Any:
    a = p["X"]
    for i in range(1, LAYERS):
        a = torch.relu(torch.addmm(p[f"b{i}"], a, p[f"W{i}"]))
    r = torch.addmm(p[f"b{LAYERS}"], a, p[f"W{LAYERS}"]) - p["Y"]
    return (r * r).sum() / r.shape[0]


def factorisation(p: Tensors) -> Any:
    r = p["M"] * (p["X"] - p["U"] @ p["V"].T)
    return (r * r).sum()


def small_network(p: Tensors) -> Any:
    h = p["x"]
    for i in range(1, SMALL_LAYERS):
        h = torch.relu(p[f"W{i}"] @ h)
    z = p[f"W{SMALL_LAYERS}"] @ h
    return torch.logsumexp(z, 0) - p["t"] @ z


def normal(S: Any, y: Any) -> Any:
    factor = torch.linalg.cholesky(S)
    solution = torch.cholesky_solve(y[:, None], factor)[:, 0]
    return factor.diagonal().log().sum() + 0.5 * (y @ solution)


def gauss(p: Tensors) -> Any:
    return normal(p["S"], p["y"])


def evidence(p: Tensors) -> Any:
    identity = torch.eye(p["D"].shape[0], dtype=torch.float64)
    return normal(p["a"] * torch.exp(-p["b"] * p["D"]) + p["c"] * identity, p["y"])


def entrywise(p: Tensors) -> Any:
    return (-nn.functional.logsigmoid(p["x"] * p["y"]) + torch.tanh(p["x"]) ** 2).sum()


def chain(p: Tensors) -> Any:
    return p["a"] @ p["X"] @ p["Y"] @ p["Z"] @ p["b"]


def squared_chain(p: Tensors) -> Any:
    r = p["X"] @ p["Y"] @ p["Z"] @ p["b"]
    return r @ r


def trace_of_inverse(p: Tensors) -> Any:
    return torch.linalg.solve(p["X"], p["A"]).trace()


def log_determinant(p: Tensors) -> Any:
    return torch.linalg.slogdet(p["X"])[1]


def softmax(p: Tensors) -> Any:
    return torch.softmax(p["A"] @ p["x"], 0)


def sigmoid(p: Tensors) -> Any:
    return torch.sigmoid(p["A"] @ p["x"] + p["b"])


def recurrent(p: Tensors) -> Any:
    before = p["X"] @ p["Wx"] + p["b"]
    h = torch.zeros(p["X"].shape[1], p["Wh"].shape[0], dtype=torch.float64)
    for t in range(p["X"].shape[0]):
        h = torch.tanh(torch.addmm(before[t], h, p["Wh"]))
    r = h @ p["Wo"] - p["Y"]
    return (r * r).sum() / r.shape[0]


LOSSES: Mapping[str, Loss] = {
    "quadratic": quadratic, "ridge": ridge, "logistic": logistic, "softmax regression": softmax_regression,
    "mlp": mlp, "deep mlp": deep_mlp, "factorisation": factorisation, "small network": small_network,
    "gauss": gauss, "evidence": evidence, "entrywise": entrywise, "chain": chain, "squared chain": squared_chain,
    "trace of inverse": trace_of_inverse, "log determinant": log_determinant, "softmax": softmax,
    "sigmoid": sigmoid, "recurrent": recurrent,
}  # fmt: skip


def to_numpy(result: Any) -> list[Array]:
    return [part.detach().numpy() for part in result]


def build(case: Case, threads: int, *, compile_it: bool = False) -> Bind:
    torch.set_num_threads(threads)
    loss, wrt, mode = LOSSES[case.workload.problem], case.workload.wrt, case.workload.mode
    if compile_it:
        torch._dynamo.reset()  # or the limit on recompilation silently makes later cases eager

    def maybe_compiled(f: Any) -> Any:
        return torch.compile(f, dynamic=False) if compile_it else f

    def bind(arrays: Arrays) -> Prepared:
        placed = {name: torch.tensor(array, dtype=torch.float64) for name, array in arrays.items()}
        point = tuple(placed.pop(name) for name in wrt)
        if case.workload.problem in CLASSIFIERS:
            placed["labels"] = placed["Y"].argmax(1)

        def f(arguments: tuple[Any, ...]) -> Any:
            return loss({**placed, **dict(zip(wrt, arguments, strict=True))})

        def of_first(argument: Any) -> Any:
            return f((argument,))

        if mode == "value and gradient":
            for tensor in point:
                tensor.requires_grad_(True)
            value_of = maybe_compiled(f)

            def both() -> tuple[Any, ...]:
                value = value_of(point)
                return (value, *torch.autograd.grad(value, point))

            return Prepared(both, to_numpy)
        if mode == "Hessian-vector product":
            gradient = func.grad(of_first)
            product = maybe_compiled(lambda a, v: func.jvp(gradient, (a,), (v,))[1])
            return Prepared(lambda: (product(point[0], placed[DIRECTION]),), to_numpy)
        full = maybe_compiled(func.hessian(of_first) if mode == "Hessian" else func.jacfwd(of_first))
        return Prepared(lambda: (full(point[0]),), to_numpy)

    return bind
