"""The layouts in which a derivative may be arranged, as a change of axes of the computed one.

The computed derivative of an output of shape S by a variable of shape T has shape S + T (layout ``gradient``). The
numerator and the denominator layout are those of Wikipedia's "Matrix calculus"; ``vec`` is the matrix J of
``vec(dF) = J vec(dX)`` with columns stacked, ``vec-row`` the same with rows stacked. The second derivative in these
two is the matrix of ``d vec((DF)^T) = H vec(dX)``, as Magnus & Neudecker define the Hessian: for a scalar the
symmetric matrix of second derivatives by vec(X), for other outputs such matrices under each other (Matrix
Differential Calculus, chapter 5, section 15, and chapter 6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .errors import UsageError, require_one_of
from .expr.build import permute, product
from .expr.dims import Dim
from .expr.nodes import Node, Structure

LAYOUTS = ("gradient", "numerator", "denominator", "vec", "vec-row")

FORMS = ("array", "operator")
"""What a compiled Jacobian or Hessian is returned as."""

#: The layouts that stack axes, with the order of stacking.
STACKED: Mapping[str, str] = {"vec": "column-major", "vec-row": "row-major"}

GRADIENT_OR_VEC = "use the layout gradient (axes of the output, then of the variable) or vec"


class Arranged(NamedTuple):
    """A derivative in a layout; ``row`` where its one axis is to be read as a row."""

    node: Node
    row: bool


def arrange(node: Node, orders: Sequence[int], layout: str) -> Arranged:
    """Put a derivative into a layout.

    Parameters
    ----------
    node: the derivative, of shape S + T, or S + T1 + T2.
    orders: the numbers of axes of S, T1 and, for a second derivative, T2.
    layout: one of `LAYOUTS`.

    Raises
    ------
    UsageError: an unknown layout, or shapes for which the layout is not defined.
    """
    require_one_of(layout, LAYOUTS, "layout")
    if layout == "gradient":
        return Arranged(node, row=False)
    if layout in STACKED:
        return Arranged(_stacked(node, *stacks(orders, layout)), row=False)
    if len(orders) > 2:
        raise UsageError(
            f"the {layout} layout is for first derivatives: it says nothing of the axes of a second one",
            hint=GRADIENT_OR_VEC,
        )
    match (layout, *orders):
        case (_, 0, 0) | ("numerator", 1, 0 | 1) | ("numerator", 2, 0) | ("denominator", 0, 1 | 2):
            return Arranged(node, row=False)
        case ("numerator", 0, 1) | ("denominator", 1, 0):
            return Arranged(node, row=True)
        case ("numerator", 0, 2) | ("denominator", 1, 1):
            return Arranged(permute(node, (1, 0)), row=False)
        case ("denominator", 2, 0):
            raise UsageError(
                "the denominator layout is not defined for a matrix by a scalar: the literature has only its "
                "numerator layout, in which each entry stands where it stands in the matrix",
                hint="use the layout numerator",
            )
    kinds = " by ".join(("a scalar", "a vector", "a matrix")[k] if k < 3 else f"a tensor of order {k}" for k in orders)
    raise UsageError(
        f"the {layout} layout is not defined for {kinds}: the result has {sum(orders)} axes, and a matrix has two",
        hint=GRADIENT_OR_VEC,
    )


def stacks(orders: Sequence[int], layout: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes that a stacking layout puts into rows and into columns, the slowest first.

    >>> stacks((2, 2), "vec"), stacks((2, 2), "vec-row")
    (((1, 0), (3, 2)), ((0, 1), (2, 3)))

    Parameters
    ----------
    orders: the numbers of axes of the output and of each variable.
    layout: ``vec`` or ``vec-row``.
    """
    groups: list[tuple[int, ...]] = []
    start = 0
    for count in orders:
        axes = tuple(range(start, start + count))
        groups.append(axes if layout == "vec-row" else axes[::-1])
        start += count
    *rows, columns = groups
    return tuple(axis for group in rows for axis in group), columns


def _stacked(node: Node, rows: Sequence[int], columns: Sequence[int]) -> Node:
    """The matrix whose axes are stacks of the given ones, of length 1 where there are none."""
    factors: list[tuple[Node, int, tuple[int, ...]]] = [(node, 1, tuple(range(node.order)))]
    sizes: dict[int, Dim] = {}
    out: list[int] = []
    fresh = node.order
    for stack in (rows, columns):
        axes = list(reversed(stack))
        length = node.shape[axes[0]] if axes else Dim.of(1)
        if not axes:
            axes = [fresh]
            sizes[fresh] = length
            fresh += 1
        last = axes[0]
        for axis in axes[1:]:
            factors.append((Structure("pair", length, node.shape[axis]), 1, (fresh, last, axis)))
            length = length * node.shape[axis]
            last, fresh = fresh, fresh + 1
        out.append(last)
    return product(factors, out, sizes)
