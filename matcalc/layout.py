"""The layouts in which a derivative may be arranged, as a change of axes of the computed one.

The computed derivative of an output of shape S by a variable of shape T has shape S + T (layout ``gradient``). The
numerator and the denominator layout are those of Wikipedia's "Matrix calculus"; ``vec`` is the matrix J of
``vec(dF) = J vec(dX)`` (Magnus & Neudecker, Matrix Differential Calculus, chapter 5).
"""

from __future__ import annotations

from typing import NamedTuple

from .errors import UsageError
from .expr.build import permute, product
from .expr.dims import Dim
from .expr.nodes import Node, Structure

LAYOUTS = ("gradient", "numerator", "denominator", "vec")


class Arranged(NamedTuple):
    """A derivative in a layout; ``row`` where its one axis is to be read as a row."""

    node: Node
    row: bool


def arrange(node: Node, output_order: int, layout: str) -> Arranged:
    """Put a derivative into a layout.

    Parameters
    ----------
    node: the derivative, of shape S + T.
    output_order: the number of axes of S.
    layout: one of `LAYOUTS`.

    Raises
    ------
    UsageError: an unknown layout, or shapes for which the layout is not defined.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"there is no layout {layout!r}", hint=f"the layouts are {', '.join(LAYOUTS)}")
    if layout == "gradient":
        return Arranged(node, row=False)
    variable_order = node.order - output_order
    if layout == "vec":
        return Arranged(_vectorised(node, output_order), row=False)
    match (layout, output_order, variable_order):
        case (_, 0, 0) | ("numerator", 1, 0 | 1) | ("numerator", 2, 0) | ("denominator", 0, 1 | 2):
            return Arranged(node, row=False)
        case ("numerator", 0, 1) | ("denominator", 1, 0):
            return Arranged(node, row=True)
        case ("numerator", 0, 2) | ("denominator", 1, 1):
            return Arranged(permute(node, (1, 0)), row=False)
    raise UsageError(
        f"the {layout} layout is not defined for an output of order {output_order} "
        f"and a variable of order {variable_order}",
        hint="use the layout gradient (axes of the output, then of the variable) or vec",
    )


def _vectorised(node: Node, output_order: int) -> Node:
    """The matrix of ``vec(dF) = J vec(dX)``, with a first or second axis of length 1 for a scalar."""
    one = Dim.of(1)
    labels = tuple(range(node.order))
    factors: list[tuple[Node, int, tuple[int, ...]]] = [(node, 1, labels)]
    sizes: dict[int, Dim] = {}
    out: list[int] = []
    for group in (labels[:output_order], labels[output_order:]):
        last = group[0] if group else node.order + len(out)
        if not group:
            sizes[last] = one
        for position, label in enumerate(group[1:], start=1):
            fresh = 2 * node.order + 2 + 10 * len(out) + position
            before = _length(node, group[:position])
            factors.append((Structure("pair", before, node.shape[label]), 1, (fresh, last, label)))
            last = fresh
        out.append(last)
    return product(factors, out, sizes)


def _length(node: Node, labels: tuple[int, ...]) -> Dim:
    total = Dim.of(1)
    for label in labels:
        total = total * node.shape[label]
    return total
