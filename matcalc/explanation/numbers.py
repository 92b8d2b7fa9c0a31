"""Random points of the domain of a function, values of nodes there, and numerical slopes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..conditions import demands
from ..derivation import Derivative
from ..errors import MatcalcError
from ..expr.nodes import Node
from ..verify.domain import judge
from ..verify.interpreter import evaluate
from ..verify.points import arrays_of, direction_of, sizes_of
from ..verify.slopes import directional

Array = NDArray[Any]

DRAWS = 60
"""Draws for one point before it is given up."""

PRECISION = 1e-8
"""Numerical slopes that are known less well are no test."""


class Point(NamedTuple):
    """Arrays for the variables, sizes, and a random direction of the variable within its space."""

    arrays: dict[str, Any]
    sizes: dict[str, int]
    direction: Array


def points(derivative: Derivative, count: int, seed: int) -> Iterator[Point]:
    """Random points of the domain, each with other sizes; fewer than asked for where none are found.

    Parameters
    ----------
    derivative: of the function.
    count: how many points.
    seed: of the random numbers.
    """
    expr, name = derivative.function, derivative.wrt[-1]
    conditions = demands(expr, [derivative.node])
    random = np.random.default_rng(seed)
    for trial in range(count):
        for draw in range(DRAWS):
            sizes = sizes_of(expr, trial, draw, random)
            try:
                arrays = arrays_of(expr, sizes, draw, random)
            except MatcalcError:
                continue  # a size that is no whole number
            if not judge(conditions, arrays, sizes).clear or not np.all(
                np.isfinite(value_of(expr.node, arrays, sizes))
            ):
                continue
            direction = direction_of(expr, name, arrays, random)
            if slope_of(expr.node, arrays, sizes, name, direction) is not None:
                yield Point(arrays, sizes, direction)
                break


def value_of(node: Node, arrays: Mapping[str, Any], sizes: Mapping[str, int]) -> Array:
    """The array a node stands for."""
    with np.errstate(all="ignore"):
        return evaluate(node, arrays, sizes)


def slope_of(
    node: Node, arrays: Mapping[str, Any], sizes: Mapping[str, int], name: str, direction: Array
) -> Array | None:
    """The directional derivative of a node by one of its variables; None where it is not known well enough."""
    with np.errstate(all="ignore"):
        found = directional(lambda given: evaluate(node, given, sizes), arrays, name, direction)
    return found.value if found is not None and found.error <= PRECISION else None
