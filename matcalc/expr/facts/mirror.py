"""Products that are positive semidefinite because they read the same from both ends: ``A^T S A``, ``x^T S x``."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from ..nodes import Factor, Product
from .algebra import NONNEGATIVE, PSD, SYMMETRIC, of_diagonal

#: Networks with more factors than this are not searched.
LARGEST_NETWORK = 16
LARGEST_SEARCH = 64


class _State(NamedTuple):
    """A partial mirror image: the image of each label, the factors that have none yet, and those with a twin."""

    image: dict[int, int]
    rest: tuple[int, ...]
    paired: tuple[tuple[int, ...], ...] = ()


def is_psd_form(node: Product) -> bool:
    """Whether a product is known to be a positive semidefinite matrix, or a nonnegative scalar.

    With labels l and their mirror images l', a network ``sum F(l, f) C(l, l') F(l', f)`` is positive semidefinite where
    each centre C is (entrywise and Kronecker products of such matrices are: Schur) and where the factors on the
    labels f, which are their own images, are nonnegative. An image is an involution of the labels that exchanges
    the output labels and maps the factors onto each other; F stands on one side of the mirror, so that ``tr(A A)``
    is none of these.

    Horn & Johnson, Matrix Analysis (2013), observation 7.1.8 and theorem 7.5.3.
    """
    if node.order not in (0, 2) or len(node.factors) > LARGEST_NETWORK:
        return False
    if node.order == 2 and node.shape[0] != node.shape[1]:
        return False
    factors = _written_out(node)
    image = {0: 1, 1: 0} if node.order == 2 else {}
    stack = [_State(image, tuple(range(len(factors))))]
    budget = LARGEST_SEARCH
    while stack and budget:
        budget -= 1
        state = stack.pop()
        if not state.rest:
            if _has_sides(state):
                return True
            continue
        stack.extend(_continued(factors, state))
    return False


def _written_out(node: Product) -> list[Factor]:
    """The factors with nested products written out, up to a bound."""
    found = list(node.factors)
    fresh = len(node.sizes)
    place = 0
    while place < len(found):
        inner, exponent, labels = found[place]
        if exponent != 1 or not isinstance(inner, Product) or len(found) + len(inner.factors) > LARGEST_NETWORK + 1:
            place += 1
            continue
        renamed = (*labels, *range(fresh, fresh + len(inner.sizes) - inner.order))
        fresh += len(inner.sizes) - inner.order
        found[place : place + 1] = [
            Factor(factor.node, factor.exponent, tuple(renamed[label] for label in factor.labels))
            for factor in inner.factors
        ]
    return found


def _continued(factors: list[Factor], state: _State) -> list[_State]:
    """The ways to find an image for one more factor."""
    place = next((p for p in state.rest if any(k in state.image for k in factors[p].labels)), state.rest[0])
    factor = factors[place]
    facts: int = factor.node.cache["facts"]
    found: list[_State] = []
    others = tuple(p for p in state.rest if p != place)
    for labels in _orientations(factor, facts):
        if _is_centre(factor, facts, labels):
            _extend(found, state, factor.labels, labels, others, ())
    for other in others:
        twin = factors[other]
        if twin.node != factor.node or twin.exponent != factor.exponent:
            continue
        rest = tuple(p for p in others if p != other)
        for labels in _orientations(twin, facts):
            _extend(found, state, factor.labels, labels, rest, (factor.labels,))
    return found


def _orientations(factor: Factor, facts: int) -> list[tuple[int, ...]]:
    both = len(factor.labels) == 2 and facts & SYMMETRIC and factor.labels[0] != factor.labels[1]
    return [factor.labels, factor.labels[::-1]] if both else [factor.labels]


def _is_centre(factor: Factor, facts: int, labels: tuple[int, ...]) -> bool:
    """Whether a factor may be its own image: nonnegative on fixed labels, or psd between a label and its image."""
    exponent = Fraction(factor.exponent)
    if labels == factor.labels:
        diagonal = len(labels) == 2 and labels[0] == labels[1]
        sign = of_diagonal(facts) if diagonal else facts
        return bool(sign & NONNEGATIVE) or exponent.numerator % 2 == 0 or exponent.denominator % 2 == 0
    return bool(facts & PSD) and exponent.denominator == 1 and exponent > 0


def _extend(
    found: list[_State],
    state: _State,
    labels: tuple[int, ...],
    others: tuple[int, ...],
    rest: tuple[int, ...],
    paired: tuple[tuple[int, ...], ...],
) -> None:
    image = dict(state.image)
    for label, other in zip(labels, others, strict=True):
        if image.setdefault(label, other) != other or image.setdefault(other, label) != label:
            return
    found.append(_State(image, rest, state.paired + paired))


def _has_sides(state: _State) -> bool:
    """Whether every label and its image can be put on two sides with each factor that has a twin on one of them."""
    same: dict[int, set[int]] = {label: set() for label in state.image}
    for labels in state.paired:
        moved = [label for label in labels if state.image[label] != label]
        for label in moved:
            same[label] |= set(moved)
    side: dict[int, bool] = {}
    for start, image in state.image.items():
        if image == start or start in side:
            continue
        side[start] = True
        stack = [start]
        while stack:
            label = stack.pop()
            wanted = [(state.image[label], not side[label]), *((other, side[label]) for other in same[label])]
            for other, value in wanted:
                if other not in side:
                    side[other] = value
                    stack.append(other)
                elif side[other] != value:
                    return False
    return True
