"""matcalc: the text of the workload, derived and compiled once."""

from __future__ import annotations

from typing import Any

import numpy as np

import matcalc as mc

from ..workloads import DIRECTION, Array, Arrays, Case
from .contract import Bind, Prepared


def function(case: Case, backend: str = "numpy") -> mc.Function:
    """The compiled function of a case."""
    name, text, types, wrt = case.workload.name, case.workload.text, dict(case.workload.types), case.workload.wrt
    match case.workload.mode:
        case "value and gradient":
            return mc.value_and_grad(text, wrt if len(wrt) > 1 else wrt[0], vars=types, backend=backend)
        case "Hessian":
            form = "operator" if case.workload.is_compressed else "array"
            return mc.hessian(text, wrt[0], vars=types, form=form, backend=backend)
        case "Hessian-vector product":
            return mc.hvp(text, wrt[0], vars=types, backend=backend)
        case "Jacobian":
            return mc.jacobian(text, wrt[0], vars=types, backend=backend)
    raise ValueError(f"{name} has no mode of this name")


def build(case: Case, threads: int, backend: str = "numpy") -> Bind:
    f = function(case, backend)
    names = f.args  # compiles
    directions = case.workload.mode == "Hessian-vector product"

    def to_numpy(result: Any) -> list[Array]:
        if isinstance(result, mc.DerivativeOperator):
            return [result.todense()]
        if case.workload.mode != "value and gradient":
            return [np.asarray(result)]
        value, gradients = result
        return [np.asarray(part) for part in (value, *(gradients if isinstance(gradients, tuple) else [gradients]))]

    def bind(arrays: Arrays) -> Prepared:
        keywords = {name: arrays[name] for name in names if name in case.workload.types}
        if directions:
            return Prepared(lambda: f(arrays[DIRECTION], **keywords), to_numpy)
        return Prepared(lambda: f(**keywords), to_numpy)

    return bind
