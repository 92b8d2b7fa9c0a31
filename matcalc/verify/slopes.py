"""Numerical directional derivatives that know how far they can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .analytic import NotContinued

Array = NDArray[Any]
Arrays = Mapping[str, Any]

COMPLEX_STEP, DIFFERENCES, CONSTANT = "complex step", "extrapolated differences", "constant"
STEP = 1e-30
STARTS = (0.2, 0.05, 0.0125)
ROWS = 8


class Slope(NamedTuple):
    """A directional derivative, its estimated relative error, and how it was found."""

    value: Array
    error: float
    method: str


def directional(function: Callable[[Arrays], Array], arrays: Arrays, name: str, direction: Array) -> Slope | None:
    """The derivative of a function of named arrays along a direction of one of them.

    The imaginary part of ``f(x + i h d) / h`` (Squire & Trapp 1998) where the function is known for complex numbers;
    its error is found by repeating it where every array has moved by rounding. Else extrapolated differences.

    Returns None where neither is finite.
    """
    if name not in arrays:
        return Slope(np.zeros_like(function(arrays)), 0.0, CONSTANT)
    try:
        value, moved = (_imaginary(function, place, name, direction) for place in (arrays, _rounded(arrays)))
    except NotContinued:
        return _ridders(function, arrays, name, direction)
    if not (np.all(np.isfinite(value)) and np.all(np.isfinite(moved))):
        return None
    return Slope(value, distance(value, moved), COMPLEX_STEP)


def _imaginary(function: Callable[[Arrays], Array], arrays: Arrays, name: str, direction: Array) -> Array:
    value: Array = function({**arrays, name: arrays[name] + 1j * STEP * direction})
    return np.imag(value) / STEP


def _rounded(arrays: Arrays) -> dict[str, Any]:
    """The arrays, each changed by four units in the last place and as a multiple of itself, which keeps its kind."""
    grown = 1 + 4 * np.finfo(float).eps
    return {
        name: array * grown**place if np.asarray(array).dtype.kind == "f" else array
        for place, (name, array) in enumerate(arrays.items(), start=1)
    }


def _ridders(function: Callable[[Arrays], Array], arrays: Arrays, name: str, direction: Array) -> Slope | None:
    """Central differences extrapolated in even powers of the step (Ridders, Adv. Eng. Software 4 (1982)).

    A long first step is best for a function that is smooth, a short one near a singularity: the tableau whose entries
    agree best is taken.
    """
    best: Slope | None = None
    for start in STARTS:
        previous: list[Array] = []
        for row in range(ROWS):
            step = start / 2**row
            ahead, behind = (function({**arrays, name: arrays[name] + side * direction}) for side in (step, -step))
            if not (np.all(np.isfinite(ahead)) and np.all(np.isfinite(behind))):
                previous = []
                continue
            estimates = [(ahead - behind) / (2 * step)]
            for column, earlier in enumerate(previous, start=1):
                estimates.append(estimates[-1] + (estimates[-1] - earlier) / (4.0**column - 1))
                spread = distance(estimates[-1], estimates[-2]) + distance(estimates[-1], earlier)
                if best is None or spread < best.error:
                    best = Slope(estimates[-1], spread, DIFFERENCES)
            previous = estimates
    return best


def distance(left: Array, right: Array, scale: float = 0.0) -> float:
    """The largest difference relative to the largest entry, or to a scale that is larger; infinite for other shapes.

    Entries below a thousandth count as that large.
    """
    if np.shape(left) != np.shape(right) or not (np.all(np.isfinite(left)) and np.all(np.isfinite(right))):
        return float("inf")
    largest = max(float(np.max(np.abs(right), initial=0.0)), scale, 1e-3)
    return float(np.max(np.abs(np.subtract(left, right)), initial=0.0)) / largest
