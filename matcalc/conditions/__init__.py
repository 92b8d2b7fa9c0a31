"""Where an expression and its derivative are defined, in the user's notation: ``X invertible``, ``z > 0``."""

from __future__ import annotations

from collections.abc import Sequence

from ..expr.nodes import Node
from ..expression import Expr
from ..notation.matrices import to_ast
from ..notation.text import to_text
from .collect import of_nodes, of_text
from .demand import Demand
from .reduce import reduced

__all__ = ["Demand", "conditions", "demands"]


def conditions(expr: Expr, roots: Sequence[Node]) -> tuple[str, ...]:
    """What must hold for an expression and nodes derived from it, in the user's notation, each condition once.

    Parameters are those of `demands`.
    """
    return tuple(dict.fromkeys(_spell(demand, expr.order) for demand in demands(expr, roots)))


def demands(expr: Expr, roots: Sequence[Node]) -> tuple[Demand, ...]:
    """What must hold for an expression and nodes derived from it, and is not known to hold.

    Parameters
    ----------
    expr: the expression as it was written, so that ``x ./ x`` still asks for ``x ≠ 0``.
    roots: nodes over its variables.
    """
    return reduced((*of_text(expr), *of_nodes([expr.node]), *of_nodes(roots)))


def _spell(demand: Demand, order: Sequence[str]) -> str:
    text = demand.template
    for position, operand in enumerate(demand.operands):
        place = f"{{{position}}}"
        if place in text:
            written = demand.written or to_text(to_ast(operand, order), separator="; ")
            text = text.replace(place, written)
    return text
