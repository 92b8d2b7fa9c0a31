"""From the normal form to a short equal one: common factors taken out, shared products written out.

The result is equal to its input and is meant for reading. ``X^T X w - X^T y`` becomes ``X^T (X w - y)``,
``A x + A^T x`` becomes ``(A + A^T) x``, ``s - s.^2`` becomes ``s .* (1 - s)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from ..expr.build import Operand, add, exact, ones, product, scale, with_children
from ..expr.dims import Dim
from ..expr.nodes import Exact, Factor, Node, Product, Structure, Sum, Term, postorder
from .simplify import flat_product, rewrite, simplify

#: Sums with more terms than this are left as they are: looking for common factors compares pairs of terms.
LARGEST_FACTORED_SUM = 24


def present(root: Node) -> Node:
    """A short equal form of a node, for reading.

    Parameters
    ----------
    root: any node.
    """
    (node,) = simplify(root)
    for _ in range(4):
        following = _factor_all(_flatten_all(node))
        (following,) = simplify(following)
        following = _factor_all(following)
        if following == node:
            break
        node = following
    return node


def _flatten_all(root: Node) -> Node:
    """Write nested products out even where they are used more than once, while they stay short."""
    done: dict[bytes, Node] = {}
    for node in postorder(root):
        if isinstance(node, Product):
            operands: list[Operand] = [(done[f.node.digest], f.exponent, f.labels) for f in node.factors]
            done[node.digest] = rewrite(flat_product(operands, range(node.order), dict(enumerate(node.sizes))))
        elif node.children:
            done[node.digest] = rewrite(with_children(node, [done[child.digest] for child in node.children]))
        else:
            done[node.digest] = node
    return done[root.digest]


def _factor_all(root: Node) -> Node:
    done: dict[bytes, Node] = {}
    for node in postorder(root):
        if not node.children:
            done[node.digest] = node
            continue
        rebuilt = with_children(node, [done[child.digest] for child in node.children])
        done[node.digest] = factor_sum(rebuilt) if isinstance(rebuilt, Sum) else rebuilt
    return done[root.digest]


class _Part(NamedTuple):
    """A term of a sum as labelled factors."""

    coefficient: Exact
    factors: tuple[Factor, ...]
    sizes: tuple[Dim, ...]


class _Match(NamedTuple):
    """Common factors of two terms: places in each, the common exponents, the map of labels."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    exponents: tuple[Exact, ...]
    labels: Mapping[int, int]


def factor_sum(node: Sum) -> Node:
    """Take common factors out of the terms of a sum, as long as that shortens it."""
    current: Node = node
    for _ in range(2 * LARGEST_FACTORED_SUM):
        if not isinstance(current, Sum) or not 2 <= len(current.terms) <= LARGEST_FACTORED_SUM:
            return current
        following = _factor_once(current)
        if following is None:
            return current
        current = following
    return current


def _part(term: Term, order: int) -> _Part:
    node = term.node
    if isinstance(node, Product):
        return _Part(term.coefficient, node.factors, node.sizes)
    return _Part(term.coefficient, (Factor(node, 1, tuple(range(order))),), node.shape)


def _factor_once(node: Sum) -> Node | None:
    order = node.order
    parts = [_part(term, order) for term in node.terms]
    best: tuple[int, list[int], _Match, list[_Match]] | None = None
    for i, left in enumerate(parts):
        for j in range(i + 1, len(parts)):
            for match in _matches(left, parts[j], order):
                group, fits = [i], []
                for k, other in enumerate(parts):
                    if k == i:
                        continue
                    same = match if k == j else _same_factors(left, match, other, order)
                    if same is not None:
                        group.append(k)
                        fits.append(same)
                saved = _weight(left, match) * len(fits)
                if best is None or saved > best[0]:
                    built = _remainders(parts, group, match, fits, order)
                    if built is not None:
                        best = (saved, group, match, fits)
    if best is None:
        return None
    _, group, match, fits = best
    built = _remainders(parts, group, match, fits, order)
    assert built is not None
    remainder, interface = built
    left = parts[group[0]]
    operands: list[Operand] = [
        (left.factors[place].node, exponent, left.factors[place].labels)
        for place, exponent in zip(match.left, match.exponents, strict=True)
    ]
    if isinstance(remainder, Sum):
        remainder = factor_sum(remainder)
    operands.append((remainder, 1, interface))
    taken = product(operands, range(order), dict(enumerate(left.sizes)))
    rest: list[tuple[Exact, Node]] = [term for place, term in enumerate(node.terms) if place not in group]
    return add([*rest, (1, taken)], node.shape, flatten=False)


def _weight(part: _Part, match: _Match) -> int:
    """How much writing the common factors are."""
    return sum(2 if part.factors[place].labels else 1 for place in match.left)


def _matches(left: _Part, right: _Part, order: int) -> list[_Match]:
    """Maximal sets of common factors, grown from each pair that could start one."""
    found: list[_Match] = []
    seen: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
    start = {label: label for label in range(order)}
    for i, first in enumerate(left.factors):
        for j, second in enumerate(right.factors):
            if first.node.digest != second.node.digest:
                continue
            match = _grow(left, right, start, i, j)
            if match is None:
                continue
            key = (tuple(sorted(match.left)), tuple(sorted(match.right)))
            if key not in seen:
                seen.add(key)
                found.append(match)
    return found


def _common_exponent(first: Exact, second: Exact) -> Exact | None:
    if (first > 0) != (second > 0):
        return None
    if first == second:
        return first
    if Fraction(first).denominator != 1 or Fraction(second).denominator != 1:
        return None
    return min(first, second) if first > 0 else max(first, second)


def _extend(labels: dict[int, int], first: Factor, second: Factor, order: int) -> dict[int, int] | None:
    """The map of labels after matching two factors, or None when it is not one to one."""
    extended = dict(labels)
    taken = set(extended.values())
    for a, b in zip(first.labels, second.labels, strict=True):
        known = extended.get(a)
        if known is None:
            if b in taken or b < order or a < order:
                return None
            extended[a] = b
            taken.add(b)
        elif known != b:
            return None
    return extended


def _grow(left: _Part, right: _Part, start: dict[int, int], i: int, j: int) -> _Match | None:
    order = len(start)
    exponent = _common_exponent(left.factors[i].exponent, right.factors[j].exponent)
    labels = _extend(start, left.factors[i], right.factors[j], order)
    if exponent is None or labels is None:
        return None
    if isinstance(left.factors[i].node, Structure) and left.factors[i].node.order:
        return None
    if not set(left.factors[i].labels) & set(range(order)) and left.factors[i].labels and order:
        return None
    chosen = [(i, j, exponent)]
    grown = True
    while grown:
        grown = False
        used_left = {a for a, _, _ in chosen}
        used_right = {b for _, b, _ in chosen}
        for a, first in enumerate(left.factors):
            if a in used_left:
                continue
            for b, second in enumerate(right.factors):
                if b in used_right or first.node.digest != second.node.digest:
                    continue
                if first.labels and not any(label in labels for label in first.labels):
                    continue
                common = _common_exponent(first.exponent, second.exponent)
                extended = _extend(labels, first, second, order)
                if common is None or extended is None:
                    continue
                labels = extended
                chosen.append((a, b, common))
                grown = True
                break
            if grown:
                break
    chosen.sort()
    return _Match(
        tuple(a for a, _, _ in chosen), tuple(b for _, b, _ in chosen), tuple(e for _, _, e in chosen), labels
    )


def _same_factors(left: _Part, match: _Match, other: _Part, order: int) -> _Match | None:
    """The same common factors in another term."""
    labels: dict[int, int] = {label: label for label in range(order)}
    pending = list(zip(match.left, match.exponents, strict=True))
    # factors that touch known labels first
    places: dict[int, int] = {}
    for _ in range(len(pending)):
        progress = False
        for place, exponent in list(pending):
            first = left.factors[place]
            if first.labels and order and not any(label in labels for label in first.labels):
                continue
            for k, second in enumerate(other.factors):
                if k in places.values() or second.node.digest != first.node.digest:
                    continue
                if (second.exponent > 0) != (exponent > 0) or abs(second.exponent) < abs(exponent):
                    continue
                extended = _extend(labels, first, second, order)
                if extended is None:
                    continue
                labels = extended
                places[place] = k
                pending.remove((place, exponent))
                progress = True
                break
        if not pending:
            break
        if not progress:
            return None
    if pending:
        return None
    return _Match(match.left, tuple(places[place] for place in match.left), match.exponents, labels)


def _remainders(
    parts: Sequence[_Part], group: Sequence[int], match: _Match, fits: Sequence[_Match], order: int
) -> tuple[Node, tuple[int, ...]] | None:
    """The sum of what is left of the terms, and the labels it keeps; None when it would not read well."""
    left = parts[group[0]]
    common_labels = {label for place in match.left for label in left.factors[place].labels}
    left_rest = _rest(left, match.left, match.exponents)
    rests: list[tuple[Exact, list[Operand], dict[int, Dim]]] = [
        (left.coefficient, left_rest, dict(enumerate(left.sizes)))
    ]
    for k, fit in zip(group[1:], fits, strict=True):
        other = parts[k]
        back = {b: a for a, b in fit.labels.items()}
        shift = 1000 * (k + 1)
        operands: list[Operand] = [
            (node, exponent, tuple(back.get(label, label + shift) for label in labels))
            for node, exponent, labels in _rest(other, fit.right, fit.exponents)
        ]
        sizes = {back.get(label, label + shift): dim for label, dim in enumerate(other.sizes)}
        rests.append((other.coefficient, operands, sizes))
    kept = common_labels | set(range(order))
    carried = [{label for _, _, labels in operands for label in labels} & kept for _, operands, _ in rests]
    interface = sorted(set().union(*carried))
    for (_, operands, _), mine in zip(rests, carried, strict=True):
        is_number = not operands
        if mine != set(interface) and not (is_number and set(interface) <= common_labels):
            return None
    scalar_only = not interface and not any(operands for _, operands, _ in rests)
    if scalar_only:
        return None
    if not _reads_well(left, match, interface, rests):
        return None
    sizes_of = dict(enumerate(left.sizes))
    shape = tuple(sizes_of[label] for label in interface)
    terms: list[tuple[Exact, Node]] = []
    for coefficient, operands, sizes in rests:
        if not operands:
            terms.append((coefficient, ones(shape)))
        else:
            known = {label: sizes_of[label] for label in interface}
            terms.append((coefficient, product(operands, interface, {**known})))
    return add(terms, shape), tuple(interface)


def _rest(part: _Part, places: Sequence[int], exponents: Sequence[Exact]) -> list[Operand]:
    taken = dict(zip(places, exponents, strict=True))
    rest: list[Operand] = []
    for place, factor in enumerate(part.factors):
        exponent = exact(factor.exponent - taken.get(place, 0))
        if exponent:
            rest.append((factor.node, exponent, factor.labels))
    return rest


def _reads_well(
    left: _Part, match: _Match, interface: Sequence[int], rests: Sequence[tuple[Exact, list[Operand], dict[int, Dim]]]
) -> bool:
    """Not when only a divisor or a mere power is shared, or when the rest would have more than two axes."""
    if len(interface) > 2:
        return False
    if all(exponent < 0 for exponent in match.exponents) and not all(
        not left.factors[place].labels for place in match.left
    ):
        return True
    return True


