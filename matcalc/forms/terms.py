"""A node as a sum of terms, and a term as blocks that touch each other only in the axes of the node.

Two factors belong to one block when a summed label joins them. A block that reaches one or two axes is a vector or a
matrix there; which axes the blocks of a term reach says whether the term is a Kronecker product.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ..calculus.simplify import flat_product, spread_factor
from ..expr.build import product, split_coefficient
from ..expr.dims import Dim
from ..expr.nodes import Exact, Factor, Node, Product, Structure, Sum
from ..notation.cost import operator_count
from ..notation.pieces import signed
from ..notation.text import to_text
from ..syntax import ast

#: Sums are multiplied out into at most about so many terms.
MOST_TERMS = 64


class Term(NamedTuple):
    """A number times factors with labels, and the size of every label; labels that are no axes are summed."""

    coefficient: Exact
    factors: tuple[Factor, ...]
    sizes: Mapping[int, Dim]

    @property
    def scalars(self) -> tuple[Factor, ...]:
        """The factors without labels."""
        return tuple(factor for factor in self.factors if not factor.labels)

    def array(self, factors: Sequence[Factor], axes: Sequence[int]) -> Node:
        """Some of the factors as a node whose axes are the given labels, summed over all other labels."""
        return product(factors, tuple(axes), {label: self.sizes[label] for label in axes})


class Block(NamedTuple):
    """Factors joined by summed labels, and the axes that they reach, ascending."""

    factors: tuple[Factor, ...]
    axes: tuple[int, ...]

    @property
    def is_delta(self) -> bool:
        """Whether the block is the identity between two axes."""
        return len(self.factors) == 1 and is_structure(self.factors[0], "delta") and len(self.axes) == 2


def is_structure(factor: Factor, kind: str) -> bool:
    """Whether a factor is a constant tensor of this kind."""
    return isinstance(factor.node, Structure) and factor.node.kind == kind and factor.exponent == 1


def terms_of(node: Node) -> list[Term]:
    """The terms of a node, with sums over three or more axes multiplied out.

    Parameters
    ----------
    node: a derivative, in a form to be read.
    """
    found: list[Term] = []
    pending: list[tuple[Exact, Node]] = [(1, node)]
    while pending:
        coefficient, part = pending.pop()
        own, inner = split_coefficient(part)
        coefficient = coefficient * own
        if isinstance(inner, Sum) and (inner.order > 2 or inner is node or not inner.terms):
            pending += [(coefficient * number, term) for number, term in reversed(inner.terms)]
            continue
        if not isinstance(inner, Product):
            axes = tuple(range(inner.order))
            found.append(Term(coefficient, (Factor(inner, 1, axes),), dict(enumerate(inner.shape))))
            continue
        opened = _opened(inner) if len(pending) + len(found) < MOST_TERMS else None
        if opened is not None:
            pending.append((coefficient, opened))
        else:
            found.append(Term(coefficient, inner.factors, dict(enumerate(inner.sizes))))
    return found


def _opened(node: Product) -> Node | None:
    """The product with a nested product or sum of many axes written out; None where there is none."""
    for place, (base, exponent, _) in enumerate(node.factors):
        if base.order <= 2 or exponent != 1:
            continue
        inner = split_coefficient(base)[1]
        if isinstance(inner, Sum) and inner is base:
            return spread_factor(node, place)
        if isinstance(inner, Product):
            merge = {base.digest, inner.digest}
            flat = flat_product(node.factors, range(node.order), dict(enumerate(node.sizes)), merge)
            return flat if flat != node else None
        if isinstance(inner, Sum):
            return spread_factor(node, place)
    return None


def blocks_of(factors: Sequence[Factor], axes: Collection[int]) -> list[Block]:
    """The factors that have labels, grouped by the labels that are no axes.

    Parameters
    ----------
    factors: those of a term.
    axes: the labels that are not summed.
    """
    groups: list[tuple[set[int], list[Factor]]] = []
    for factor in factors:
        if not factor.labels:
            continue
        inner = {label for label in factor.labels if label not in axes}
        joined = [group for group in groups if group[0] & inner]
        groups = [group for group in groups if not group[0] & inner]
        labels = inner.union(*(group[0] for group in joined))
        groups.append((labels, [member for group in joined for member in group[1]] + [factor]))
    return [
        Block(tuple(members), tuple(sorted({label for f in members for label in f.labels if label in axes})))
        for _, members in groups
    ]


def in_order(written: Sequence[tuple[int, ast.Ast]]) -> ast.Ast:
    """A sum of signed terms as one expression: what is added first, the shorter ones before the longer ones."""
    ranked = sorted(written, key=lambda term: (term[0] < 0, operator_count(term[1]), to_text(term[1])))
    return signed(*ranked[0]) if len(ranked) == 1 else ast.Add(tuple(ranked))
