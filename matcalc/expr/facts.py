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


def is_definite(node: Node) -> bool:
    """Whether a matrix is known to be symmetric positive definite."""
    return derived(node, "definite", _definite_of) == 2


def _definite_of(node: Node) -> int:
    """2 for positive definite, 1 for positive semidefinite, 0 for unknown."""
    if node.order != 2:
        return 0
    if isinstance(node, Structure):
        return 2 if node.kind == "delta" else 0
    if isinstance(node, Variable | Call):
        if "spd" in node.properties:
            return 2
        if isinstance(node, Call) and node.op == "inv":
            return 2 if node.args[0].cache["definite"] == 2 else 0
        return int("psd" in node.properties)
    if isinstance(node, Sum):
        if any(term.coefficient < 0 for term in node.terms):
            return 0
        parts = [int(term.node.cache["definite"]) for term in node.terms]
        return max(parts) if parts and min(parts) > 0 else 0
    if isinstance(node, Product):
        return _definite_product(node)
    return 0


def _definite_product(node: Product) -> int:
    """A positive multiple of a definite matrix, or of a matrix times its own transpose."""
    scalars = [factor for factor in node.factors if not factor.labels]
    matrices = [factor for factor in node.factors if factor.labels]
    if not all(is_positive(factor.node) for factor in scalars):
        return 0
    if any(factor.exponent != 1 or len(factor.labels) > 2 for factor in matrices):
        return 0
    if len(matrices) == 1 and set(matrices[0].labels) == {0, 1}:
        return int(matrices[0].node.cache["definite"])
    if len(matrices) != 2 or matrices[0].node != matrices[1].node:
        return 0
    left, right = (tuple(label if label > 1 else -1 for label in factor.labels) for factor in matrices)
    free = {label for factor in matrices for label in factor.labels if label < 2}
    return int(left == right and left.count(-1) == 1 and free == {0, 1})


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
        if node.op in POSITIVE_CALLS or (node.op == "det" and is_definite(node.args[0])):
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
