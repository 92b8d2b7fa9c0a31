"""What is known about the sign of a node from its structure. False means not known."""

from __future__ import annotations

from fractions import Fraction

from .nodes import Call, Map, Node, Product, Structure, Sum, Variable, derived

NONNEGATIVE_PROPERTIES = frozenset({"positive", "nonnegative", "integer"})
POSITIVE_MAPS = frozenset({"exp", "sigmoid", "softplus", "normpdf", "normcdf"})
NONNEGATIVE_MAPS = frozenset({"abs", "relu", "step", "square", "sqrt", "lt", "le", "gt", "ge", "eq", "ne"})
POSITIVE_CALLS = frozenset({"softmax"})
NONNEGATIVE_CALLS = frozenset({"norm", "norm1", "norminf", "nuclear", "spectral", "svdvals", "std", "var"})


def is_positive(node: Node) -> bool:
    """Whether every entry is known to be greater than zero."""
    return _sign(node) == 2


def is_nonnegative(node: Node) -> bool:
    """Whether every entry is known to be at least zero."""
    return _sign(node) >= 1


def _sign(root: Node) -> int:
    """2 for positive, 1 for nonnegative, 0 for unknown."""
    return derived(root, "sign", _sign_of)


def _sign_of(node: Node) -> int:
    if isinstance(node, Variable):
        return 2 if "positive" in node.properties else int(bool(node.properties & NONNEGATIVE_PROPERTIES))
    if isinstance(node, Structure):
        if node.kind in ("size", "pi", "e", "inf"):
            return 2
        return 0 if node.kind in ("levicivita", "range") else 1
    if isinstance(node, Map):
        if node.op in POSITIVE_MAPS:
            return 2
        return int(node.op in NONNEGATIVE_MAPS)
    if isinstance(node, Call):
        if node.op in POSITIVE_CALLS:
            return 2
        return int(node.op in NONNEGATIVE_CALLS)
    if isinstance(node, Sum):
        if any(term.coefficient < 0 for term in node.terms):
            return 0
        signs = [int(term.node.cache["sign"]) for term in node.terms]
        if not signs or min(signs) == 0:
            return 1 if not signs else 0
        return max(signs)
    if isinstance(node, Product):
        signs = []
        for factor in node.factors:
            sign = int(factor.node.cache["sign"])
            exponent = Fraction(factor.exponent)
            if sign < 2 and (exponent.denominator % 2 == 0 or (exponent.denominator == 1 and exponent % 2 == 0)):
                sign = max(sign, 1)
            signs.append(sign)
        return min(signs, default=2)
    return 0
