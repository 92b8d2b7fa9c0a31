"""Conditions in their least form: what is known or follows from another is dropped, products fall apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple

from ..calculus.simplify import simplify
from ..expr.build import (
    add,
    as_number,
    delta,
    is_symmetric,
    negate,
    ones,
    power,
    product,
    substitute,
    swap_axes,
    variables,
)
from ..expr.facts import known
from ..expr.nodes import Call, Exact, Factor, Map, Node, Product, Structure, Sum, Variable, postorder
from ..ops.apply import call
from .demand import (
    ABOVE_MINUS_ONE,
    ABOVE_ONE,
    APART,
    DEFINITE,
    EVERYWHERE_NONZERO,
    FROM_ONE,
    FULL_RANK,
    INVERTIBLE,
    LARGEST_SIMPLE,
    LARGEST_SINGULAR_SIMPLE,
    NONNEGATIVE,
    NONZERO,
    OF_TRANSPOSES,
    POSITIVE,
    SYMMETRIC,
    UP_TO_ONE,
    WITHIN_ONE,
    Demand,
)

SIGN_CONDITIONS = frozenset({NONZERO, EVERYWHERE_NONZERO, POSITIVE, NONNEGATIVE})
NORMS = frozenset({"norm", "norminf", "nuclear", "spectral"})
ZERO_AT_ZERO_ALONE = frozenset(
    {"abs", "cbrt", "sinh", "tanh", "atan", "asinh", "erf", "asin", "atanh", "expm1", "log1p"}
)
REGULAR = frozenset({"chol", "expm", "inv", "sqrtm"})
"""Functions whose value is invertible wherever they are defined and differentiable."""


LARGEST_SIMPLIFIED = 60
"""Operands with more nodes than this are compared as they stand."""


def _simple(*nodes: Node) -> tuple[Node, ...]:
    """The normal forms of operands."""
    if all(len(list(islice(postorder(node), LARGEST_SIMPLIFIED + 1))) <= LARGEST_SIMPLIFIED for node in nodes):
        return simplify(*nodes)
    return nodes


def reduced(demands: Iterable[Demand]) -> tuple[Demand, ...]:
    """Each condition once, none that is known to hold, and none that follows from the others."""
    found: dict[tuple[str | bytes, ...], Demand] = {}
    for given in demands:
        for demand in _parts(given):
            key = _key(demand)
            earlier = found.get(key)
            found[key] = demand if earlier is None else _both(earlier, demand)
    return _without_consequences(list(_merged(list(found.values()))))


def _key(demand: Demand) -> tuple[str | bytes, ...]:
    """What makes two conditions the same, or conditions on the same quantity."""
    node = demand.operands[0]
    if demand.template in SIGN_CONDITIONS:
        # that a vector is not 0 says nothing of each of its entries
        some = demand.template == NONZERO and bool(node.shape)
        return ("some" if some else "each", _simple(node)[0].digest)
    if demand.template in OF_TRANSPOSES and node.order == 2:
        (plain, turned) = _simple(node, swap_axes(node))
        return (demand.template, *sorted((plain.digest, turned.digest)))
    if demand.template == APART:
        both = _both_ways(demand.operands[:2])
        return (APART, *min(tuple(_simple(side)[0].digest for side in sides) for sides in both))
    return (demand.template, *(operand.digest for operand in demand.operands))


def _both_ways(operands: tuple[Node, ...]) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """Matrices, and their transposes."""
    return operands, tuple(swap_axes(operand) if operand.order == 2 else operand for operand in operands)


def _both(left: Demand, right: Demand) -> Demand:
    """Two conditions on one quantity as one."""
    template = left.template if left.template == right.template else POSITIVE
    return left._replace(template=template, written=left.written or right.written)


# --- taking apart --------------------------------------------------------------------------------


def _parts(demand: Demand) -> Iterator[Demand]:
    """The simplest conditions that are together equivalent to one; those that are known to hold are left out."""
    stack = [demand]
    while stack:
        current = stack.pop()
        if holds(current):
            continue
        node = _simple(current.operands[0])[0]
        smaller = None
        if current.template in (NONZERO, EVERYWHERE_NONZERO):
            smaller = _nonzero(node, current.template)
        elif current.template == POSITIVE:
            smaller = _positive(node)
        elif current.template == INVERTIBLE:
            smaller = _invertible(node)
        elif current.template == LARGEST_SIMPLE:
            root = _gram_root(node)
            smaller = None if root is None else [Demand(LARGEST_SINGULAR_SIMPLE, (root,))]
        if smaller is None:
            yield current
        else:
            stack.extend(reversed(smaller))


def _nonzero(node: Node, template: str) -> list[Demand] | None:
    """For an array, ``NONZERO`` asks for one entry that is not 0, ``EVERYWHERE_NONZERO`` for all."""
    if isinstance(node, Sum) and len(node.terms) == 1:
        return [Demand(template, (node.terms[0].node,))]
    if isinstance(node, Map) and node.op in ZERO_AT_ZERO_ALONE and len(node.args[0].shape) == node.order:
        return [Demand(template, (node.args[0],))]
    if isinstance(node, Call) and not node.shape:
        if node.op in NORMS:
            return [_some_entry(node.args[0])]
        if node.op == "det":
            return [Demand(INVERTIBLE, node.args)]
        if node.op == "prod" and node.args[0].order == dict(node.parameters).get("core"):
            return [Demand(EVERYWHERE_NONZERO, node.args)]
    squared = _definite_form(node)
    if squared is not None:
        return [_some_entry(squared)]
    if isinstance(node, Product) and (template == EVERYWHERE_NONZERO or not node.shape) and not list(node.summed):
        if len(node.factors) == 1 and node.factors[0].exponent == 1:
            return None
        return [_each_entry(factor.node) for factor in node.factors if factor.exponent > 0]
    return None


def _some_entry(node: Node) -> Demand:
    return Demand(NONZERO, (node,))


def _each_entry(node: Node) -> Demand:
    return Demand(EVERYWHERE_NONZERO if node.shape else NONZERO, (node,))


def _positive(node: Node) -> list[Demand] | None:
    if known(node, "nonnegative"):
        return [_each_entry(node)]
    if isinstance(node, Call) and node.op == "det" and known(node.args[0], "psd"):
        return [Demand(INVERTIBLE, node.args)]
    if isinstance(node, Sum) and len(node.terms) == 1 and node.terms[0].coefficient > 0:
        return [Demand(POSITIVE, (node.terms[0].node,))]
    if not isinstance(node, Product) or list(node.summed):
        return None
    unknown = [factor for factor in node.factors if not known(factor.node, "positive")]
    odd = [factor for factor in unknown if not _is_even(factor.exponent)]
    if len(odd) > 1 or (len(node.factors) == 1 and odd):
        if len(node.factors) == 1 and odd and odd[0].exponent != 1:
            return [Demand(POSITIVE, (odd[0].node,))]
        return None
    return [Demand(POSITIVE, (f.node,)) if f in odd else _each_entry(f.node) for f in unknown]


def _is_even(exponent: Exact) -> bool:
    return Fraction(exponent).numerator % 2 == 0


def _definite_form(node: Node) -> Node | None:
    """The vector or matrix x of ``sum(x.^2)`` (or ``x.^4`` …) or of ``x^T A x`` with a positive definite A."""
    if not isinstance(node, Product) or node.shape:
        return None
    if len(node.factors) == 1 and node.factors[0].exponent > 0 and _is_even(node.factors[0].exponent):
        (factor,) = node.factors
        return factor.node if len(set(factor.labels)) == len(factor.labels) else None
    centres = [factor for factor in node.factors if len(factor.labels) == 2 and known(factor.node, "spd")]
    sides = [factor for factor in node.factors if len(factor.labels) == 1]
    if len(node.factors) != 3 or len(centres) != 1 or len(sides) != 2 or any(f.exponent != 1 for f in node.factors):
        return None
    one, other = sides
    joined = {one.labels[0], other.labels[0]} == set(centres[0].labels) and one.labels != other.labels
    return one.node if joined and one.node == other.node else None


def _invertible(node: Node) -> list[Demand] | None:
    """A product of square matrices is invertible where all of them are; so is their Kronecker product."""
    if isinstance(node, Sum) and len(node.terms) == 1:
        return [Demand(INVERTIBLE, (node.terms[0].node,))]
    if not isinstance(node, Product) or node.order != 2:
        return None
    scalars = [factor for factor in node.factors if not factor.labels]
    pairs = [f for f in node.factors if isinstance(f.node, Structure) and f.node.kind == "pair"]
    matrices = [factor for factor in node.factors if factor.labels and factor not in pairs]
    if len(node.factors) == 1 and node.factors[0].labels == (0, 1):
        return None
    if not all(_is_square(factor) for factor in matrices):
        return None
    if not ((_is_chain(matrices) and not pairs) or len(pairs) == len(matrices) == 2):
        return None
    return [
        *(_each_entry(factor.node) for factor in scalars if factor.exponent > 0),
        *(Demand(INVERTIBLE, (factor.node,)) for factor in matrices),
    ]


def _is_square(factor: Factor) -> bool:
    shape = factor.node.shape
    return len(shape) == 2 and shape[0] == shape[1] and factor.exponent == 1 and len(set(factor.labels)) == 2


def _is_chain(matrices: list[Factor]) -> bool:
    """Whether matrices are multiplied in a row, from label 0 to label 1."""
    rest, place = list(matrices), 0
    while rest:
        following = [factor for factor in rest if place in factor.labels]
        if len(following) != 1:
            return False
        (factor,) = following
        place = factor.labels[1] if factor.labels[0] == place else factor.labels[0]
        rest.remove(factor)
    return place == 1


def _gram_root(node: Node) -> Node | None:
    """X, of which the node is ``X^T X`` or ``X X^T``."""
    if not isinstance(node, Product) or node.order != 2 or len(node.factors) != 2:
        return None
    one, other = node.factors
    if one.node != other.node or one.node.order != 2 or {one.exponent, other.exponent} != {1}:
        return None
    shared = set(one.labels) & set(other.labels)
    same_side = len(shared) == 1 and one.labels.index(*shared) == other.labels.index(*shared)
    return one.node if same_side else None


# --- what is known -------------------------------------------------------------------------------


def holds(demand: Demand) -> bool:
    """Whether a condition is known to hold from the structure and the declared properties."""
    node = demand.operands[0]
    match demand.template:
        case "{0} ≥ 0":
            return known(node, "nonnegative") is True or _exceeds(node, 0, strictly=False)
        case "{0} > 0":
            return known(node, "positive") is True or _exceeds(node, 0) or _is_square_less_one(node)
        case "{0} ≠ 0" | "every entry of {0} ≠ 0":
            if known(node, "nonzero") is True or _exceeds(node, 0) or _counts_ties(node):
                return True
            return node.order == 2 and demand.template == NONZERO and known(node, "invertible") is True
        case "{0} > -1":
            return _exceeds(node, -1)
        case "{0} > 1":
            return _exceeds(node, 1)
        case "{0} ≥ 1":
            return _exceeds(node, 1, strictly=False)
        case "{1} > 0":
            return known(demand.operands[1], "positive") is True
        case "{0} is not 0, -1, -2, …":
            return known(node, "positive") is True
        case "{1} is not 0, -1, -2, …":
            return known(demand.operands[1], "positive") is True
        case "{0} invertible":
            regular = isinstance(node, Call) and node.op in REGULAR
            return regular or known(node, "invertible") is True or _separates(node)
        case "{0} has full rank":
            return known(node, "invertible") is True
        case "{0} is symmetric":
            return is_symmetric(node) or known(node, "symmetric") is True
        case "{0} is positive definite" | "{0} has no eigenvalue on the closed negative real axis":
            return known(node, "spd") is True
        case "{0} and -{1} share no eigenvalue":
            return all(_is_in_right_half(operand) for operand in demand.operands[:2])
    return False


def _is_square_less_one(node: Node) -> bool:
    """Whether a node is ``x^2 - 1`` with x > 1."""
    if not isinstance(node, Sum) or len(node.terms) != 2:
        return False
    for square, one in (node.terms, node.terms[::-1]):
        powers = square.node.factors if isinstance(square.node, Product) else ()
        if square.coefficient == 1 and len(powers) == 1 and powers[0].exponent == 2:
            least = _least(one.node, one.coefficient)
            if least is not None and least.value >= -1 and _exceeds(powers[0].node, 1):
                return True
    return False


class _Bound(NamedTuple):
    """The number below which no entry lies, and whether none reaches it."""

    value: Fraction
    strict: bool


MAP_BOUNDS: Mapping[str, tuple[int, int, bool]] = MappingProxyType(
    {
        "sigmoid": (0, 1, True),
        "normcdf": (0, 1, True),
        "tanh": (-1, 1, True),
        "erf": (-1, 1, True),
        "sin": (-1, 1, False),
        "cos": (-1, 1, False),
        "step": (0, 1, False),
        "sign": (-1, 1, False),
    }
)


def _exceeds(node: Node, bound: int, strictly: bool = True) -> bool:
    """Whether every entry is known to be greater than a number: a linear combination of bounded terms."""
    terms = node.terms if isinstance(node, Sum) else ((1, node),)
    total, strict = Fraction(0), False
    for coefficient, term in terms:
        least = _least(term, coefficient)
        if least is None:
            return False
        total += least.value
        strict = strict or least.strict
    return total > bound or (total == bound and (strict or not strictly))


def _least(node: Node, coefficient: Exact) -> _Bound | None:
    """The least value of a multiple of a node."""
    inner = node
    if isinstance(inner, Product) and len(inner.factors) <= 1 and not list(inner.summed):
        if not inner.factors:
            return _Bound(Fraction(coefficient), strict=False)
        if inner.factors[0].exponent == 1:
            inner = inner.factors[0].node
    constant = as_number(node)
    if constant is not None:
        return _Bound(Fraction(coefficient) * Fraction(constant), strict=False)
    if isinstance(inner, Map) and inner.op == "log" and coefficient > 0 and (as_number(inner.args[0]) or 0) > 1:
        return _Bound(Fraction(0), strict=True)
    if isinstance(inner, Map) and inner.op == "cosh" and coefficient > 0:
        return _Bound(Fraction(coefficient), strict=False)
    if isinstance(inner, Map) and inner.op in MAP_BOUNDS:
        low, high, strict = MAP_BOUNDS[inner.op]
        return _Bound(Fraction(coefficient) * (low if coefficient > 0 else high), strict)
    if coefficient > 0 and known(node, "nonnegative"):
        return _Bound(Fraction(0), known(node, "positive") is True)
    if coefficient < 0 and known(node, "nonpositive"):
        return _Bound(Fraction(0), known(node, "negative") is True)
    return None


def _counts_ties(node: Node) -> bool:
    """Whether a node counts the entries that equal the largest or smallest: there is at least one."""
    if not isinstance(node, Product) or len(node.factors) != 1 or not list(node.summed):
        return False
    mask = node.factors[0].node
    if not isinstance(mask, Map) or mask.op != "eq":
        return False
    for one, other in (mask.args, mask.args[::-1]):
        if isinstance(other, Call) and other.op in ("max", "min", "norminf"):
            entries = other.args[0]
            return one == entries or (isinstance(one, Map) and one.op == "abs" and one.args[0] == entries)
    return False


def _is_in_right_half(node: Node) -> bool:
    """Whether the eigenvalues are known to have real parts above 0 wherever the node has a derivative.

    That is so for principal square roots, and for the factor ``(X X^T)^(1/2)`` of a polar decomposition ``P Q``, which
    is ``X Q^T``: one of the two has full rank, which is all that their Sylvester equation needs.
    """
    (plain,) = _simple(node)
    if known(plain, "spd") or (isinstance(plain, Call) and plain.op == "sqrtm"):
        return True
    if not isinstance(plain, Product) or plain.order != 2:
        return False
    if len(plain.factors) == 1:
        return _is_in_right_half(plain.factors[0].node)
    return len(plain.factors) == 2 and any(
        isinstance(one.node, Call) and one.node.op == "polar" and one.node.args[0] == other.node
        for one, other in (plain.factors, plain.factors[::-1])
    )


def _separates(node: Node) -> bool:
    """Whether a node is ``l I - A + P`` with P the projector of the eigenvalue l of A: invertible where l is simple,
    which P asks for by itself."""
    if not isinstance(node, Sum) or node.order != 2:
        return False
    for term in node.terms:
        projector = term.node
        if term.coefficient != 1 or not isinstance(projector, Call) or projector.op not in EXTREME:
            continue
        A = projector.args[0]
        rest = add([(1, node), (-1, projector), (1, A)], node.shape)
        for value in (call(EXTREME[projector.op], A), *_squared_spectral(A)):
            left = add(
                [(1, rest), (-1, product([(value, 1, ()), (delta(node.shape[0]), 1, (0, 1))], (0, 1)))], rest.shape
            )
            (difference,) = _simple(left)
            if isinstance(difference, Sum) and not difference.terms:
                return True
    return False


EXTREME: Mapping[str, str] = MappingProxyType({"eigmaxproj": "eigmax", "eigminproj": "eigmin"})


def _squared_spectral(node: Node) -> Iterator[Node]:
    root = _gram_root(node)
    if root is not None:
        yield power(call("spectral", root), 2)


# --- what follows --------------------------------------------------------------------------------


class _Square(NamedTuple):
    """A bound of x, a sum ``sign x^exponent + constant`` that is not 0 or positive too, and both as one condition."""

    stated: str
    sign: int
    exponent: int
    constant: int
    both: str


SQUARES = (
    _Square(UP_TO_ONE, -1, 2, 1, WITHIN_ONE),
    _Square(WITHIN_ONE, -1, 2, 1, WITHIN_ONE),
    _Square(FROM_ONE, 1, 2, -1, ABOVE_ONE),
    _Square(ABOVE_MINUS_ONE, 1, 1, 1, ABOVE_MINUS_ONE),
)
"""What the slopes of inverse trigonometric and hyperbolic functions and of ``log1p`` divide by."""


def _merged(demands: list[Demand]) -> Iterator[Demand]:
    """Conditions on ``1 - x^2`` and ``x^2 - 1`` as bounds of x where one is stated already, ``det X > 0`` for both."""
    sharper: dict[int, str] = {}
    dropped: set[int] = set()
    for place, demand in enumerate(demands):
        for row in SQUARES:
            if demand.template != row.stated:
                continue
            x = demand.operands[0]
            asked = _simple(add([(row.sign, power(x, row.exponent)), (row.constant, ones(x.shape))], x.shape))[0]
            for other, candidate in enumerate(demands):
                if candidate.template in SIGN_CONDITIONS and _simple(candidate.operands[0])[0] == asked:
                    dropped.add(other)
                    sharper[place] = row.both
    positive_determinants = {
        _simple(demand.operands[0].args[0])[0].digest
        for demand in demands
        if demand.template == POSITIVE and isinstance(demand.operands[0], Call) and demand.operands[0].op == "det"
    }
    invertible = {_simple(demand.operands[0])[0].digest for demand in demands if demand.template == INVERTIBLE}
    positive = {
        node.digest for demand in demands if demand.template == POSITIVE for node in _without_zeros(demand.operands[0])
    }
    nowhere_zero = positive | {
        _simple(demand.operands[0])[0].digest for demand in demands if demand.template == EVERYWHERE_NONZERO
    }
    for place, demand in enumerate(demands):
        if place in dropped:
            continue
        if demand.template in (NONZERO, EVERYWHERE_NONZERO):
            either = _simple(demand.operands[0], negate(demand.operands[0]))
            others = nowhere_zero if demand.template == NONZERO and demand.operands[0].shape else positive
            if any(node.digest in others for node in either):
                continue
        if demand.template == INVERTIBLE and _simple(demand.operands[0])[0].digest in positive_determinants:
            continue
        if demand.template == FULL_RANK and _simple(demand.operands[0])[0].digest in invertible:
            continue
        yield demand._replace(template=sharper.get(place, demand.template))


def _without_zeros(positive: Node) -> Iterator[Node]:
    """What has no entry 0 where a node is positive: itself, and the entrywise factors of ``p ./ q``."""
    (node,) = _simple(positive)
    yield node
    if isinstance(node, Product) and node.order == len(node.sizes):
        yield from (factor.node for factor in node.factors if factor.labels == tuple(range(node.order)))


LARGEST_COMPARED = 24
"""More conditions than this are not compared with each other."""

MAKES: Mapping[str, str] = MappingProxyType({POSITIVE: "positive", NONNEGATIVE: "nonnegative", DEFINITE: "spd"})
"""Conditions on a variable that may be taken for a declared property when the others are judged."""


def _without_consequences(demands: list[Demand]) -> tuple[Demand, ...]:
    """The conditions that are not known to hold when variables have the properties that other conditions give them."""
    kept = list(demands)
    if len(demands) > LARGEST_COMPARED:
        return tuple(kept)
    for demand in demands:
        others = [other for other in kept if other is not demand]
        assumed: dict[Node, Node] = {
            node: Variable(node.name, node.shape, (*node.properties, MAKES[other.template]))
            for other in others
            for node in other.operands[:1]
            if isinstance(node, Variable) and other.template in MAKES
        }
        # that a matrix is positive definite is stated of its symmetric part
        if demand.template == SYMMETRIC or not any(node in assumed for node in variables(*demand.operands)):
            continue
        operands = tuple(substitute(operand, assumed) for operand in demand.operands)
        if not list(_parts(Demand(demand.template, operands))):
            kept = others
    return tuple(kept)
