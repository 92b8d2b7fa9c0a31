"""A condition as data: a template and the nodes it is about."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from ..expr.nodes import Node

NONZERO, POSITIVE, NONNEGATIVE = "{0} ≠ 0", "{0} > 0", "{0} ≥ 0"
EVERYWHERE_NONZERO = "every entry of {0} ≠ 0"
INVERTIBLE = "{0} invertible"
FULL_RANK = "{0} has full rank"
CONSTANT_RANK = "the rank of {0} is constant nearby"
SYMMETRIC = "{0} is symmetric"
DEFINITE = "{0} is positive definite"
PRINCIPAL = "{0} has no eigenvalue on the closed negative real axis"
APART = "{0} and -{1} share no eigenvalue"
DISTINCT = "the eigenvalues of {0} are distinct"
LARGEST_SIMPLE = "the largest eigenvalue of {0} is simple"
SMALLEST_SIMPLE = "the smallest eigenvalue of {0} is simple"
LARGEST_SINGULAR_SIMPLE = "the largest singular value of {0} is simple"
DISTINCT_SINGULAR = "the singular values of {0} are distinct and not 0"
ABOVE_MINUS_ONE, ABOVE_ONE, FROM_ONE = "{0} > -1", "{0} > 1", "{0} ≥ 1"
WITHIN_ONE, UP_TO_ONE = "abs({0}) < 1", "abs({0}) ≤ 1"
COSINE = "cos({0}) ≠ 0"
THRESHOLD = "{1} > 0"
NO_POLE, NO_POLE_OF_SECOND = "{0} is not 0, -1, -2, …", "{1} is not 0, -1, -2, …"

SPELLINGS: Mapping[str, str] = MappingProxyType(
    {"det({0}) != 0": INVERTIBLE, "{0} != 0": NONZERO, "cos({0}) != 0": COSINE}
)
"""How a record's domain is spelled where its text is not spelled like that already; ``>=`` becomes ``≥``."""

OF_TRANSPOSES = frozenset({INVERTIBLE, FULL_RANK, CONSTANT_RANK, PRINCIPAL, LARGEST_SINGULAR_SIMPLE, DISTINCT_SINGULAR})
"""Conditions that hold for a matrix exactly where they hold for its transpose."""


class Demand(NamedTuple):
    """A condition: a template with ``{0}``, ``{1}`` … for the operands, and their text where it was written by hand."""

    template: str
    operands: tuple[Node, ...]
    written: str = ""


def templates(domain: str) -> tuple[str, ...]:
    """The conditions of a record's domain.

    >>> templates("det({0}) != 0")
    ('{0} invertible',)
    """
    parts = [part.strip() for part in domain.split(";")] if domain else []
    return tuple(SPELLINGS.get(part, part.replace(">=", "≥").replace("<=", "≤")) for part in parts)
