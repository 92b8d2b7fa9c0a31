"""The conditions printed with an answer, as tests of a point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..conditions import Demand
from .interpreter import evaluate

Array = NDArray[Any]
MARGIN = 1e-2
CONDITION = 1e4


class Verdict(NamedTuple):
    """Whether conditions hold at a point, and whether none of them is close to failing."""

    holds: bool
    clear: bool


def judge(demands: tuple[Demand, ...], arrays: Mapping[str, Any], sizes: Mapping[str, int]) -> Verdict:
    """Whether every condition holds at a point: each has a margin, positive where it holds."""
    margin = min((_margin(demand, arrays, sizes) for demand in demands), default=1.0)
    return Verdict(margin > 0, margin > MARGIN)


def _margin(demand: Demand, arrays: Mapping[str, Any], sizes: Mapping[str, int]) -> float:
    values = [evaluate(operand, arrays, sizes) for operand in demand.operands]
    if not all(np.all(np.isfinite(value)) for value in values):
        return -1.0
    with np.errstate(all="ignore"):
        margin = float(np.min(MARGINS[demand.template](*values), initial=1.0))
    return margin if np.isfinite(margin) else -1.0


def _entries(values: Array) -> Any:
    return np.abs(values)


def _least_ratio(values: Array) -> Any:
    """How far a matrix is from a lower rank, 1e-2 for a condition number of `CONDITION`."""
    if not values.size:
        return 1.0
    singular = np.linalg.svd(values, compute_uv=False)
    ratio = singular[..., -1] / np.where(singular[..., 0] > 0, singular[..., 0], 1.0)
    # a matrix that is singular in exact arithmetic has a ratio of some units in the last place
    return np.where(ratio > 1e-13, ratio * CONDITION * MARGIN, 0.0)


def _gaps(values: Array) -> Any:
    """The smallest gap between sorted numbers relative to the largest of them."""
    ordered = np.sort(values, axis=-1)
    size = np.max(np.abs(ordered), axis=-1, keepdims=True, initial=0.0)
    gaps = np.diff(ordered, axis=-1) / np.where(size > 0, size, 1.0)
    return np.where(gaps > 1e-13, gaps, 0.0)


def _symmetric(values: Array) -> Any:
    skew = np.abs(values - np.swapaxes(values, -1, -2))
    return np.where(skew <= 1e-12 * np.max(np.abs(values), initial=0.0), 1.0, -1.0)


def _least_eigenvalue(values: Array) -> Any:
    return np.linalg.eigvalsh((values + np.swapaxes(values, -1, -2)) / 2)[..., 0]


def _principal(values: Array) -> Any:
    """The distance of the eigenvalues from the closed negative real axis."""
    found = np.linalg.eigvals(values)
    return np.where(found.real > 0, np.abs(found), np.abs(found.imag))


def _extreme_gap(last: bool) -> Callable[[Array], Any]:
    def margin(values: Array) -> Any:
        found = np.linalg.eigvalsh((values + np.swapaxes(values, -1, -2)) / 2)
        return _gaps(found[..., -2:] if last else found[..., :2])

    return margin


def _singular(values: Array) -> Array:
    return np.asarray(np.linalg.svd(values, compute_uv=False))


def _apart(A: Array, B: Array) -> Any:
    """The smallest distance between eigenvalues of A and of -B."""
    left, right = np.linalg.eigvals(A), -np.linalg.eigvals(B)
    distances = np.abs(left[..., :, None] - right[..., None, :])
    return np.where(distances > 1e-12, distances, 0.0)


MARGINS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "{0} ≠ 0": lambda x: np.max(np.abs(x), initial=0.0),
        "every entry of {0} ≠ 0": _entries,
        "cos({0}) ≠ 0": lambda x: np.abs(np.cos(x)),
        "{0} > 0": lambda x: x,
        "{0} ≥ 0": lambda x: np.where(x >= 0, np.maximum(x, np.finfo(float).tiny), -1.0),
        "{0} > -1": lambda x: x + 1,
        "{0} > 1": lambda x: x - 1,
        "{0} ≥ 1": lambda x: np.where(x >= 1, np.maximum(x - 1, np.finfo(float).tiny), -1.0),
        "abs({0}) < 1": lambda x: 1 - np.abs(x),
        "abs({0}) ≤ 1": lambda x: np.where(np.abs(x) <= 1, np.maximum(1 - np.abs(x), np.finfo(float).tiny), -1.0),
        "{1} > 0": lambda _, y: y,
        "{0} is not 0, -1, -2, …": lambda x: np.where(x > 0, x, np.abs(x - np.round(x))),
        "{1} is not 0, -1, -2, …": lambda _, x: np.where(x > 0, x, np.abs(x - np.round(x))),
        "{0} invertible": _least_ratio,
        "{0} has full rank": _least_ratio,
        # where an operand of lower rank keeps it nearby, full rank is not what is asked for
        "the rank of {0} is constant nearby": np.ones_like,
        "{0} is symmetric": _symmetric,
        "{0} is positive definite": _least_eigenvalue,
        "{0} has no eigenvalue on the closed negative real axis": _principal,
        "{0} and -{1} share no eigenvalue": _apart,
        "the eigenvalues of {0} are distinct": lambda A: _gaps(np.linalg.eigvalsh((A + np.swapaxes(A, -1, -2)) / 2)),
        "the largest eigenvalue of {0} is simple": _extreme_gap(last=True),
        "the smallest eigenvalue of {0} is simple": _extreme_gap(last=False),
        "the largest singular value of {0} is simple": lambda X: _gaps(_singular(X)[..., :2]),
        "the singular values of {0} are distinct and not 0": lambda X: np.minimum(
            np.min(_gaps(_singular(X)), axis=-1, initial=1.0), _singular(X)[..., -1]
        ),
    }
)
"""For every condition, arrays of numbers that are all positive where it holds and small where it hardly does."""
