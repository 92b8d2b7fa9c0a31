"""Where an expression is defined, in the user's notation: ``X invertible``, ``x ≠ 0``, ``z > 0``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from .expr.facts import is_nonnegative, is_positive
from .expr.nodes import Call, Exact, Map, Node, Product, postorder
from .notation.matrices import to_ast
from .notation.text import to_text
from .ops.registry import OPERATIONS

INVERTIBLE = frozenset({"spd", "orthogonal"})


def conditions(roots: Sequence[Node], order: Sequence[str]) -> tuple[str, ...]:
    """What must hold for every root to be defined, each condition once, in order of first appearance.

    Parameters
    ----------
    roots: the expression as it was written and its derivative.
    order: the names of the variables in the order in which they are to be printed.
    """
    found: dict[str, None] = {}
    for node in postorder(*roots):
        for template, operand in _demands(node):
            if _holds(template, operand):
                continue
            found[template.replace("{0}", _spell(operand, order))] = None
    return tuple(found)


def _demands(node: Node) -> Iterator[tuple[str, Node]]:
    """The conditions a single node adds: a template with ``{0}`` for the operand, and the operand."""
    if isinstance(node, Product):
        for factor in node.factors:
            template = _of_power(factor.exponent, factor.node)
            if template:
                yield template, factor.node
    elif isinstance(node, Map | Call) and node.op in OPERATIONS:
        domain = OPERATIONS[node.op].domain
        if domain and node.args:
            yield domain, node.args[0]


def _of_power(exponent: Exact, base: Node) -> str:
    """Where an entrywise power with an exact exponent is defined."""
    even_root = Fraction(exponent).denominator % 2 == 0
    if even_root:
        return "{0} > 0" if exponent < 0 else "{0} ≥ 0"
    if exponent < 0:
        return "{0} ≠ 0" if not base.shape else "every entry of {0} ≠ 0"
    return ""


def _holds(template: str, operand: Node) -> bool:
    """Whether a condition is known to hold from the structure and the declared properties."""
    if template == "{0} ≥ 0":
        return is_nonnegative(operand)
    if template in ("{0} > 0", "{0} ≠ 0", "every entry of {0} ≠ 0"):
        return is_positive(operand)
    if template == "{0} invertible":
        properties: frozenset[str] = getattr(operand, "properties", frozenset())
        return bool(properties & INVERTIBLE)
    return False


def _spell(operand: Node, order: Sequence[str]) -> str:
    return to_text(to_ast(operand, order), separator="; ")
