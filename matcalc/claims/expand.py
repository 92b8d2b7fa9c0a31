"""Nodes multiplied out into terms, and the exact test for equality that rests on it."""

from __future__ import annotations

from ..calculus.simplify import simplify, spread_factor
from ..expr.build import add, is_zero
from ..expr.nodes import Exact, Node, Product, Sum, Term

#: Products of sums are multiplied out up to this many terms.
LARGEST_EXPANSION = 60


def terms_of(root: Node) -> tuple[Term, ...]:
    """The terms of a node as it stands, with numbers in front of a sum multiplied in.

    >>> from matcalc.expression import parse
    >>> len(terms_of(parse("2 (a + b)").node))
    2
    """
    found: list[Term] = []
    stack: list[tuple[Exact, Node]] = [(1, root)]
    while stack:
        coefficient, node = stack.pop()
        if isinstance(node, Sum):
            stack += [(coefficient * inner, part) for inner, part in reversed(node.terms)]
        else:
            found.append(Term(coefficient, node))
    return tuple(found)


def expanded(root: Node) -> Node:
    """A node with its products of sums multiplied out, as far as that stays short.

    >>> from matcalc.expression import parse
    >>> expanded(parse("(a + b) (a - b)").node) == expanded(parse("a^2 - b^2").node)
    True
    """
    (node,) = simplify(root)
    finished: list[tuple[Exact, Node]] = []
    stack: list[tuple[Exact, Node]] = [(1, node)]
    while stack:
        coefficient, part = stack.pop()
        if isinstance(part, Sum):
            stack += [(coefficient * inner, piece) for inner, piece in part.terms]
            continue
        place = _spreadable(part) if len(stack) + len(finished) < LARGEST_EXPANSION else None
        if place is None:
            finished.append((coefficient, part))
            continue
        assert isinstance(part, Product)
        stack.append((coefficient, simplify(spread_factor(part, place))[0]))
    return simplify(add(finished, node.shape))[0]


def _spreadable(node: Node) -> int | None:
    """The place of a factor that is a sum to the power of one."""
    if not isinstance(node, Product):
        return None
    for place, factor in enumerate(node.factors):
        if isinstance(factor.node, Sum) and factor.exponent == 1 and len(factor.node.terms) > 1:
            return place
    return None


def equal(left: Node, right: Node) -> bool:
    """Whether two nodes are one in normal form, multiplied out where that is needed; False means not known."""
    if left.shape != right.shape:
        return False
    if simplify(left)[0] == simplify(right)[0]:
        return True
    return is_zero(expanded(add([(1, left), (-1, right)], left.shape)))
