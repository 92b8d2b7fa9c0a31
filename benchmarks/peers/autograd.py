"""HIPS autograd: a tape over NumPy."""

from __future__ import annotations

from typing import Any

import autograd
import autograd.numpy
import numpy as np

from ..workloads import DIRECTION, Array, Arrays, Case
from .array_losses import losses
from .contract import Bind, Prepared


def build(case: Case, threads: int) -> Bind:
    loss, wrt, mode = losses(autograd.numpy)[case.workload.problem], case.workload.wrt, case.workload.mode

    def to_numpy(result: Any) -> list[Array]:
        if mode != "value and gradient":
            return [np.asarray(result)]
        return [np.asarray(result[0]), *(np.asarray(part) for part in result[1])]

    def bind(arrays: Arrays) -> Prepared:
        fixed = {name: array for name, array in arrays.items() if name not in wrt}
        point = tuple(arrays[name] for name in wrt)

        def f(arguments: tuple[Any, ...]) -> Any:
            return loss(fixed | dict(zip(wrt, arguments, strict=True)))

        def of_first(argument: Any) -> Any:
            return f((argument,))

        if mode == "value and gradient":
            both = autograd.value_and_grad(f)
            return Prepared(lambda: both(point), to_numpy)
        if mode == "Hessian-vector product":
            product = autograd.hessian_vector_product(of_first)
            return Prepared(lambda: product(point[0], arrays[DIRECTION]), to_numpy)
        full = autograd.hessian(of_first) if mode == "Hessian" else autograd.jacobian(of_first)
        return Prepared(lambda: full(point[0]), to_numpy)

    return bind
