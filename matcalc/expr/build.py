"""Builders of the normal form: products, sums and maps that are equal become the same node.

`product` resolves identities by renaming labels, merges equal factors into one with an exponent, takes numbers out
as the coefficient of a `Sum`, keeps scalar components as factors of their own and numbers the labels by structure,
so that two isomorphic networks are one node in any process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from math import isqrt

from ..errors import DomainError, ShapeError
from ..limits import UNCHECKED, check_magnitude, check_power, tick
from .dims import Dim, Shape
from .facts import is_nonnegative
from .nodes import ONE, Call, Exact, Factor, Map, Node, Product, Structure, Sum, Term, Variable, derived, postorder

Operand = tuple[Node, Exact, tuple[int, ...]]


def magnitude(value: Exact) -> Exact:
    """The absolute value of an exact number."""
    return value if value >= 0 else -value


def exact(value: Exact) -> Exact:
    """An int where the fraction is whole."""
    if isinstance(value, int):
        if not -UNCHECKED < value < UNCHECKED:
            check_magnitude(value)
        return value
    if value.denominator > UNCHECKED or not -UNCHECKED < value.numerator < UNCHECKED:
        check_magnitude(value.numerator, value.denominator)
    return value.numerator if value.denominator == 1 else value


# --- numbers and constants -----------------------------------------------------------------------


def number(value: Exact) -> Node:
    """The scalar with this value."""
    value = exact(value)
    if value == 1:
        return ONE
    return Sum(((Term(value, ONE)),) if value else (), ())


def as_number(node: Node) -> Exact | None:
    """The value of a scalar number node, else None."""
    if node.shape:
        return None
    if isinstance(node, Product) and not node.factors:
        return 1
    if isinstance(node, Sum):
        if not node.terms:
            return 0
        if len(node.terms) == 1 and node.terms[0].node == ONE:
            return node.terms[0].coefficient
    return None


def zeros(shape: Shape) -> Node:
    """The zero tensor."""
    return Sum((), shape)


def is_zero(node: Node) -> bool:
    """Whether the node is the zero tensor."""
    return isinstance(node, Sum) and not node.terms


def ones(shape: Shape) -> Node:
    """The tensor of ones."""
    return Product((), len(shape), shape)


def is_ones(node: Node) -> bool:
    """Whether every entry is one by construction."""
    return isinstance(node, Product) and not node.factors and not list(node.summed)


def delta(size: Dim) -> Node:
    """The identity matrix."""
    return ONE_BY_ONE if size.constant == 1 else Structure("delta", size)


def size(dim: Dim) -> Node:
    """The number of entries along a dimension, as a scalar."""
    if dim.constant is not None:
        return number(dim.constant)
    terms: list[tuple[Exact, Node]] = []
    for monomial, coefficient in dim.terms:
        factors = [(Structure("size", Dim.of(name)), power, ()) for name, power in monomial]
        terms.append((coefficient, product(factors, ())))
    return add(terms, ())


ONE_BY_ONE = ones((Dim.of(1), Dim.of(1)))


# --- sums ----------------------------------------------------------------------------------------


def add(terms: Iterable[tuple[Exact, Node]], shape: Shape, flatten: bool = True) -> Node:
    """The linear combination of nodes of one shape; equal nodes merge, single terms are taken apart."""
    collected: dict[bytes, tuple[Exact, Node]] = {}
    stack = [term for term in terms if term[0]]
    if len(stack) == 1:
        coefficient, node = stack[0]
        part, inner = split_coefficient(node)
        if part and not isinstance(inner, Sum) and inner.shape == shape:
            coefficient = exact(coefficient * part)
            return inner if coefficient == 1 else Sum((Term(coefficient, inner),), shape)
        if isinstance(node, Sum) and len(node.terms) > 1:
            return scale(coefficient, node)
    stack.reverse()
    while stack:
        coefficient, node = stack.pop()
        if not coefficient:
            continue
        if node.shape != shape:
            raise AssertionError(f"sum of shapes {node.shape} and {shape}")
        if isinstance(node, Sum) and (flatten or len(node.terms) <= 1):
            stack.extend((coefficient * inner, part) for inner, part in reversed(node.terms))
            continue
        known = collected.get(node.digest)
        if known is not None:
            coefficient = known[0] + coefficient
            if not coefficient:
                del collected[node.digest]
                continue
        collected[node.digest] = (exact(coefficient), node)
    kept = [Term(coefficient, node) for coefficient, node in collected.values()]
    if len(kept) == 1 and kept[0].coefficient == 1:
        return kept[0].node
    kept.sort(key=lambda term: term.node.digest)
    return Sum(tuple(kept), shape)


def scale(coefficient: Exact, node: Node) -> Node:
    """A number times a node."""
    if coefficient == 1:
        return node
    if isinstance(node, Sum) and len(node.terms) > 1:
        # a multiple of a sum stays one node: the residual of a loss is not written out
        return Sum((Term(exact(coefficient), node),), node.shape) if coefficient else zeros(node.shape)
    return add([(coefficient, node)], node.shape)


def negate(node: Node) -> Node:
    return scale(-1, node)


def subtract(left: Node, right: Node) -> Node:
    return add([(1, left), (-1, right)], left.shape)


def split_coefficient(node: Node) -> tuple[Exact, Node]:
    """A single-term sum as its coefficient and its node; anything else as ``(1, node)``."""
    if isinstance(node, Sum) and len(node.terms) == 1:
        return node.terms[0].coefficient, node.terms[0].node
    return 1, node


# --- products ------------------------------------------------------------------------------------


def exact_power(base: Exact, exponent: Exact) -> Exact | None:
    """``base ** exponent`` when it is rational, else None."""
    exponent = exact(exponent)
    if isinstance(exponent, int):
        if abs(exponent) > 4096:
            return None
        if base == 0 and exponent < 0:
            raise DomainError("division by zero", hint="the divisor is zero for every input")
        check_power(base.numerator, exponent)
        check_power(base.denominator, exponent)
        return exact(Fraction(base) ** exponent)
    if exponent.denominator == 2 and base > 0:
        fraction = Fraction(base)
        top, bottom = isqrt(fraction.numerator), isqrt(fraction.denominator)
        if top * top == fraction.numerator and bottom * bottom == fraction.denominator:
            return exact(Fraction(top, bottom) ** exponent.numerator)
    if base in (0, 1) and exponent > 0:
        return base
    return None


def nested_exponent(base: Node, inner: Exact, outer: Exact) -> tuple[Node, Exact]:
    """``(base^inner)^outer`` as one power, true for every real base on which it is defined."""
    outer = exact(outer)
    if isinstance(outer, int):
        return base, exact(inner * outer)
    inner = exact(inner)
    even = isinstance(inner, int) and inner % 2 == 0
    combined = exact(inner * outer)
    if not even or is_nonnegative(base) or (isinstance(combined, int) and combined % 2 == 0):
        return base, combined
    return Map("abs", (base,), (tuple(range(base.order)),), base.shape), combined


def product(
    factors: Iterable[Operand],
    out: Sequence[int],
    sizes: Mapping[int, Dim] | None = None,
) -> Node:
    """The contraction of labelled factors, in normal form.

    Parameters
    ----------
    factors: ``(node, exponent, labels)``, one label for each axis; labels are any integers.
    out: the labels of the result's axes, distinct; every other label is summed.
    sizes: the dimension of output labels that no factor carries (they broadcast).
    """
    labels: dict[int, Dim] = dict(sizes) if sizes else {}
    given = list(factors)
    for node, _, names in given:
        for label, dim in zip(names, node.shape, strict=True):
            known = labels.setdefault(label, dim)
            if known is not dim and known != dim:
                raise ShapeError(f"the sizes {known} and {dim} of one index differ")
    coefficient, plain, summed = _expand(given, labels, out)
    if coefficient == 0:
        return zeros(tuple(labels[label] for label in out))
    return _finish(coefficient, plain, list(out), labels, summed)


def _expand(given: list[Operand], sizes: dict[int, Dim], out: Sequence[int]) -> tuple[Exact, list[Operand], set[int]]:
    """Take numbers out of the factors and look through trivial nested products."""
    coefficient: Exact = 1
    plain: list[Operand] = []
    summed = set(sizes).difference(out)
    if all(_is_plain(node, exponent) for node, exponent, _ in given):
        return coefficient, given, summed
    next_label = max(sizes, default=-1) + 1
    stack = given[::-1]
    while stack:
        node, exponent, names = stack.pop()
        exponent = exact(exponent)
        if exponent == 0:
            continue
        if isinstance(node, Sum) and len(node.terms) <= 1:
            if not node.terms:
                if exponent < 0:
                    raise DomainError("division by zero", hint="the divisor is zero for every input")
                return 0, [], set()
            number_part, inner = node.terms[0]
            power = exact_power(number_part, exponent)
            if power is not None:
                coefficient = exact(coefficient * power)
                stack.append((inner, exponent, names))
                continue
            if inner != ONE and number_part > 0:
                plain.append((number(number_part), exponent, ()))
                stack.append((inner, exponent, names))
                continue
        elif isinstance(node, Product) and _is_transparent(node, exponent):
            renaming: dict[int, int] = dict(enumerate(names))
            for label in node.summed:
                renaming[label] = next_label
                sizes[next_label] = node.sizes[label]
                summed.add(next_label)
                next_label += 1
            for inner_node, inner_exponent, inner_names in reversed(node.factors):
                base, total = inner_node, inner_exponent
                if exponent != 1:
                    base, total = nested_exponent(inner_node, inner_exponent, exponent)
                stack.append((base, total, tuple(renaming[label] for label in inner_names)))
            continue
        plain.append((node, exponent, names))
    return coefficient, plain, summed


def _is_plain(node: Node, exponent: Exact) -> bool:
    """Whether a factor is taken as it is: no number, nothing to look through, a whole exponent."""
    if type(exponent) is not int or not exponent:
        return False
    if isinstance(node, Product):
        return not _is_transparent(node, exponent)
    return not isinstance(node, Sum) or len(node.terms) > 1


def _is_transparent(node: Product, exponent: Exact) -> bool:
    """Whether a nested product is only a renaming, a broadcast or a power of one factor."""
    if len(node.sizes) > len(node.shape):
        return False
    if len(node.factors) <= 1:
        return True
    return exponent == 1 and sum([not isinstance(factor.node, Structure) for factor in node.factors]) <= 1


def _finish(coefficient: Exact, plain: list[Operand], out: list[int], sizes: dict[int, Dim], summed: set[int]) -> Node:
    shape = tuple([sizes[label] for label in out])
    if len(plain) == 1 and not summed:
        node, exponent, names = plain[0]
        if exponent == 1 and list(names) == out and not isinstance(node, Structure):
            return scale(coefficient, node)
    merged = _merge(plain, out, sizes, summed)
    if merged is None:
        return zeros(shape)
    factor_coefficient, operands, out_labels, out_deltas = merged
    coefficient = exact(coefficient * factor_coefficient)
    if not coefficient:
        return zeros(shape)
    carried = {label for _, _, names in operands for label in names} if summed else set()
    extra: list[Operand] = []
    for label in sorted(summed - carried) if not summed <= carried else ():
        factor = size(sizes[label])
        value = as_number(factor)
        if value is not None:
            coefficient = exact(coefficient * value)
        else:
            extra.append((factor, 1, ()))
    if not coefficient:
        return zeros(shape)
    if extra:
        again = _merge(operands + extra, out_labels, sizes, summed & carried)
        assert again is not None
        factor_coefficient, operands, out_labels, more = again
        coefficient = exact(coefficient * factor_coefficient)
        out_deltas += more
    operands += out_deltas
    if len(operands) > 1 or out:
        operands = _separate_scalars(operands, out)
    operands, number_part = _merge_scalars(operands)
    coefficient = exact(coefficient * number_part)
    if not coefficient:
        return zeros(shape)
    node = _canonical(operands, out, sizes)
    return scale(coefficient, node)


def _merge(
    operands: list[Operand], out: Sequence[int], sizes: dict[int, Dim], summed: set[int]
) -> tuple[Exact, list[Operand], list[int], list[Operand]] | None:
    """Resolve identities and constant structures, merge equal factors. None when the product is zero."""
    if not any(isinstance(node, Structure) and names for node, _, names in operands):
        plain = _merge_equal(operands)
        if plain is not None:
            return 1, plain, list(out), []
    parent: dict[int, int] = {}

    def find(label: int) -> int:
        while label in parent:
            label = parent[label]
        return label

    outputs = set(out)
    deltas: list[tuple[int, int]] = []
    rest: list[Operand] = []
    for node, exponent, names in operands:
        if isinstance(node, Structure) and node.kind == "delta":
            if exponent < 0:
                raise DomainError(
                    "division by the entries of an identity matrix", hint="its off-diagonal entries are 0"
                )
            deltas.append((names[0], names[1]))
        else:
            rest.append((node, exponent, names))
    kept: list[tuple[int, int]] = []
    for left, right in deltas:
        a, b = find(left), find(right)
        if a == b:
            continue
        if a in outputs and b in outputs:
            first, second = (a, b) if out.index(a) < out.index(b) else (b, a)
            kept.append((first, second))
            parent[second] = first
            # the renamed output label stays an axis: it is tied to the first one by a delta
            continue
        if a in outputs or (b not in outputs and a < b):
            parent[b] = a
        else:
            parent[a] = b
    summed -= {label for label in parent if label not in outputs}
    coefficient: Exact = 1
    changed = True
    operands = [(node, exponent, tuple(find(label) for label in names)) for node, exponent, names in rest]
    operands = _resolve_structures(operands, outputs, find, parent, sizes, summed)
    if any(isinstance(node, Sum) and not node.terms for node, _, _ in operands):
        return None
    if any(isinstance(node, Structure) and node.kind == "delta" for node, _, _ in operands):
        operands += [(Structure("delta", sizes[first]), 1, (first, second)) for first, second in kept]
        return _merge(operands, out, sizes, summed)
    collected: dict[tuple[bytes, tuple[int, ...]], tuple[Node, Exact, tuple[int, ...]]] = {}
    while changed:
        changed = False
        collected = {}
        for node, exponent, names in operands:
            names = tuple(find(label) for label in names)
            if len(names) == 2 and names[0] > names[1] and is_symmetric(node):
                names = (names[1], names[0])
            if isinstance(node, Structure) and node.kind in ("unit", "select", "pair", "halfpair", "lower"):
                exponent = 1 if exponent > 0 else exponent
            key = (node.digest, names)
            known = collected.get(key)
            if known is None:
                collected[key] = (node, exponent, names)
                continue
            total = exact(known[1] + exponent)
            if isinstance(node, Structure) and node.kind in ("unit", "select", "pair", "halfpair", "lower"):
                total = 1
            if total == 0:
                del collected[key]
            else:
                collected[key] = (node, total, names)
        operands = []
        for node, exponent, names in collected.values():
            if isinstance(node, Call) and node.op == "norm" and isinstance(exponent, int) and exponent % 2 == 0:
                squares = _sum_of_squares(node)
                if squares is not None:
                    operands.append((squares, exponent // 2, names))
                    changed = True
                    continue
            operands.append((node, exponent, names))
        if changed:
            # an even power of a norm is a power of a sum of squares, which may meet another one
            known_labels = set(sizes)
            number_part, operands, more = _expand(operands, sizes, out)
            coefficient = exact(coefficient * number_part)
            # a label that was summed away, as between vec and its inverse, does not come back
            summed |= more - known_labels
    clash = _unit_clash(operands)
    if clash:
        return None
    # a class of tied outputs keeps its other members only in the deltas
    tied: list[Operand] = [(Structure("delta", sizes[first]), 1, (find(first), second)) for first, second in kept]
    return coefficient, operands, list(out), tied


def _merge_equal(operands: list[Operand]) -> list[Operand] | None:
    """Equal factors merged, for products without constant structures; None when a norm has to be opened."""
    if len(operands) == 1:
        node, exponent, names = operands[0]
        if isinstance(node, Call) and node.op == "norm" and isinstance(exponent, int) and exponent % 2 == 0:
            return None
        return operands
    collected: dict[tuple[bytes, tuple[int, ...]], Operand] = {}
    for node, exponent, names in operands:
        if len(names) == 2 and names[0] > names[1] and is_symmetric(node):
            names = (names[1], names[0])
        key = (node.digest, names)
        known = collected.get(key)
        total = exponent if known is None else exact(known[1] + exponent)
        if total == 0:
            del collected[key]
        else:
            collected[key] = (node, total, names)
    merged = list(collected.values())
    for node, exponent, _ in merged:
        if isinstance(node, Call) and node.op == "norm" and isinstance(exponent, int) and exponent % 2 == 0:
            return None
    return merged


def _sum_of_squares(node: Call) -> Node | None:
    """``||x||^2`` as a product, for a norm without batch axes."""
    arg = node.args[0]
    batch = node.order
    names = tuple(range(arg.order))
    return product([(arg, 2, names)], names[:batch], dict(zip(names, arg.shape, strict=True)))


def _unit_clash(operands: list[Operand]) -> bool:
    """Whether two unit vectors with different places meet on one label: the product is zero."""
    places: dict[int, int] = {}
    for node, _, names in operands:
        if isinstance(node, Structure) and node.kind == "unit":
            place = node.parameters[0].constant
            if place is None:
                continue
            if places.setdefault(names[0], place) != place:
                return True
    return False


def _resolve_structures(
    operands: list[Operand],
    outputs: set[int],
    find: Callable[[int], int],
    parent: dict[int, int],
    sizes: dict[int, Dim],
    summed: set[int],
) -> list[Operand]:
    """Contract pairs of constant structures where the result is known: vec with its inverse, unit vectors."""
    changed = True
    while changed:
        changed = False
        usage: dict[int, int] = {}
        for _, _, names in operands:
            for label in names:
                usage[label] = usage.get(label, 0) + 1
        by_kind: dict[str, list[int]] = {}
        for position, (node, exponent, _) in enumerate(operands):
            if isinstance(node, Structure) and exponent > 0:
                by_kind.setdefault(node.kind, []).append(position)

        def inner(label: int, count: int = 2, usage: Mapping[int, int] = usage) -> bool:
            return label not in outputs and usage[label] == count

        for kind in ("pair", "halfpair"):
            places = by_kind.get(kind, [])
            for one, first in enumerate(places):
                for second in places[one + 1 :]:
                    if operands[first][0] != operands[second][0]:
                        continue
                    left, right = operands[first][2], operands[second][2]
                    if kind == "pair" and left[0] == right[0] and (left[1:] == right[1:] or inner(left[0])):
                        if left[1:] == right[1:]:
                            continue
                        tie = list(zip(left[1:], right[1:], strict=True))
                        ends = [Factor(Structure("delta", sizes[a]), 1, (a, b)) for a, b in tie]
                        summed.discard(left[0])
                    elif left[1:] == right[1:] and left[0] != right[0] and inner(left[1]) and inner(left[2]):
                        ends = [Factor(Structure("delta", sizes[left[0]]), 1, (left[0], right[0]))]
                        summed.discard(left[1])
                        summed.discard(left[2])
                    else:
                        continue
                    remaining = [o for p, o in enumerate(operands) if p not in (first, second)]
                    merged: list[Operand] = list(remaining)
                    for node, exponent, names in ends:
                        a, b = find(names[0]), find(names[1])
                        if a == b:
                            continue
                        if a in outputs and b in outputs:
                            merged.append((node, exponent, (min(a, b), max(a, b))))
                        elif a in outputs:
                            parent[b] = a
                            summed.discard(b)
                        else:
                            parent[a] = b
                            summed.discard(a)
                    operands = [(n, e, tuple(find(label) for label in names)) for n, e, names in merged]
                    changed = True
                    break
                if changed:
                    break
            if changed:
                break
        if changed:
            continue
        met = _meet_selections(operands, by_kind, inner, summed)
        if met is not None:
            operands = met
            changed = True
            continue
        for position in by_kind.get("unit", []):
            node, _, (label,) = operands[position]
            if label in outputs:
                continue
            if usage[label] == 1:
                operands = [o for p, o in enumerate(operands) if p != position]
                summed.discard(label)
                changed = True
                break
            twins = [
                p
                for p, (n, _, names) in enumerate(operands)
                if p != position and names == (label,) and isinstance(n, Structure) and n.kind == "unit"
            ]
            if len(twins) + 1 == usage[label] and twins and all(operands[p][0] == node for p in twins):
                operands = [o for p, o in enumerate(operands) if p != position and p not in twins]
                summed.discard(label)
                changed = True
                break
    return operands


def _disjoint(first: tuple[Dim, Dim], second: tuple[Dim, Dim]) -> bool:
    """Whether two runs of places (offset, length) are known not to meet."""
    return any((high - low - length).is_nonnegative for (low, length), (high, _) in ((first, second), (second, first)))


def _of_one_or_more(dim: Dim) -> Dim:
    """A size in terms of how much larger than 1 each of its names is."""
    return dim.substitute({name: Dim.of(name) + 1 for name in dim.names})


def _meet_selections(
    operands: list[Operand],
    by_kind: Mapping[str, list[int]],
    inner: Callable[[int], bool],
    summed: set[int],
) -> list[Operand] | None:
    """Two selections of one axis: the same is the identity, disjoint ones are zero; an entry of a selection."""
    selects = by_kind.get("select", [])
    for one, first in enumerate(selects):
        row, column = operands[first][2]
        left = operands[first][0]
        assert isinstance(left, Structure)
        run = (left.parameters[2], left.parameters[0])
        for second in selects[one + 1 :]:
            other_row, other_column = operands[second][2]
            right = operands[second][0]
            assert isinstance(right, Structure)
            if column != other_column or not inner(column) or row == other_row:
                continue
            rest = [o for p, o in enumerate(operands) if p not in (first, second)]
            if left == right:
                summed.discard(column)
                return [*rest, (Structure("delta", left.parameters[0]), 1, (row, other_row))]
            if _disjoint(run, (right.parameters[2], right.parameters[0])):
                return [*rest, (Sum((), ()), 1, ())]
        for second in by_kind.get("unit", []):
            unit = operands[second][0]
            (label,) = operands[second][2]
            assert isinstance(unit, Structure)
            rest = [o for p, o in enumerate(operands) if p not in (first, second)]
            if label == row and inner(row):
                summed.discard(row)
                moved = Structure("unit", unit.parameters[0] + left.parameters[2], left.parameters[1])
                return [*rest, (moved, 1, (column,))]
            if label == column and inner(column):
                if _disjoint((unit.parameters[0] - 1, Dim.of(1)), run):
                    return [*rest, (Sum((), ()), 1, ())]
                length, size, offset = left.parameters
                place = unit.parameters[0] - offset
                # an entry of the whole is in a part that begins with its first or ends with its last one; a call with
                # empty parts, for which the place is another one, is refused
                after = not offset.terms or _of_one_or_more(place - 1).is_nonnegative
                before = offset + length == size or _of_one_or_more(length - place).is_nonnegative
                if after and before:
                    summed.discard(column)
                    return [*rest, (Structure("unit", place, length), 1, (row,))]
    return None


def _separate_scalars(operands: list[Operand], out: Sequence[int]) -> list[Operand]:
    """Components without an output label become factors of their own, so that equal ones merge."""
    outputs = set(out)
    if _all_reach(operands, outputs):
        return operands
    owner: dict[int, int] = {}

    def root(position: int) -> int:
        while owner.get(position, position) != position:
            position = owner[position]
        return position

    by_label: dict[int, int] = {}
    for position, (_, _, names) in enumerate(operands):
        owner[position] = position
        for label in names:
            if label in by_label:
                owner[root(position)] = root(by_label[label])
            else:
                by_label[label] = position
    components: dict[int, list[int]] = {}
    for position in range(len(operands)):
        components.setdefault(root(position), []).append(position)
    if len(components) == 1 and not out:
        return operands
    result: list[Operand] = []
    for members in components.values():
        touched = {label for position in members for label in operands[position][2]}
        if not touched or touched & outputs:
            result.extend(operands[position] for position in members)
            continue
        scalar = product([operands[position] for position in members], ())
        result.append((scalar, 1, ()))
    return result


def _all_reach(operands: list[Operand], outputs: set[int]) -> bool:
    """Whether every factor with labels is tied to an output label, by others between them if need be."""
    reached = set(outputs)
    apart = [names for _, _, names in operands if names]
    while apart:
        left = [names for names in apart if reached.isdisjoint(names)]
        if len(left) == len(apart):
            return False
        for names in apart:
            if not reached.isdisjoint(names):
                reached.update(names)
        apart = left
    return True


def _merge_scalars(operands: list[Operand]) -> tuple[list[Operand], Exact]:
    """Merge equal scalar factors and take out the numbers that appeared."""
    coefficient: Exact = 1
    if all(names for _, _, names in operands):
        return operands, 1
    scalars: dict[bytes, tuple[Node, Exact]] = {}
    rest: list[Operand] = []
    for node, exponent, names in operands:
        if names:
            rest.append((node, exponent, names))
            continue
        part, inner = split_coefficient(node)
        if part != 1:
            power = exact_power(part, exponent)
            if power is not None:
                coefficient = exact(coefficient * power)
                node = inner
        if node == ONE:
            continue
        known = scalars.get(node.digest)
        scalars[node.digest] = (node, exact((known[1] if known else 0) + exponent))
    rest.extend((node, exponent, ()) for node, exponent in scalars.values() if exponent)
    return rest, coefficient


def _canonical(operands: list[Operand], out: Sequence[int], sizes: dict[int, Dim]) -> Node:
    """Number the labels by structure and sort the factors."""
    order = len(out)
    shape = tuple([sizes[label] for label in out])
    if not operands:
        return Product((), order, shape)
    if len(operands) == 1:
        node, exponent, names = operands[0]
        if exponent == 1 and names == tuple(out) and node.shape == shape:
            return node
    if not any(names for _, _, names in operands):
        scalars = [Factor(node, exact(exponent), ()) for node, exponent, _ in operands]
        scalars.sort(key=_factor_rank)
        return Product(tuple(scalars), order, shape)
    outer = {label: position for position, label in enumerate(out)}
    inner: list[int] = []
    for _, _, names in operands:
        for label in names:
            if label not in outer and label not in inner:
                inner.append(label)
    numbering = dict(outer)
    if len(inner) == 1:
        numbering[inner[0]] = order
    elif inner:
        for position, label in enumerate(_label_order(operands, outer, inner, sizes)):
            numbering[label] = order + position
    relabelled: list[Factor] = []
    for node, exponent, names in operands:
        new = tuple([numbering[label] for label in names])
        if len(new) == 2 and new[0] > new[1] and is_symmetric(node):
            new = (new[1], new[0])
        relabelled.append(Factor(node, exact(exponent), new))
    relabelled.sort(key=_factor_rank)
    inner.sort(key=numbering.__getitem__)
    return Product(tuple(relabelled), order, shape + tuple([sizes[label] for label in inner]))


def _factor_rank(factor: Factor) -> tuple[bytes, tuple[int, ...], Exact]:
    return factor.node.digest, factor.labels, factor.exponent


def _label_order(
    operands: list[Operand], outer: Mapping[int, int], inner: list[int], sizes: Mapping[int, Dim]
) -> list[int]:
    """The summed labels in an order that depends on the structure of the network alone.

    Colours are refined by the neighbourhood of each label; where a tie is left, the members of the first tied
    class are tried in turn and the smallest description wins (a symmetry of the network makes them equal).
    """
    size_rank = {key: rank for rank, key in enumerate(sorted({sizes[label].key for label in inner}))}
    if len(size_rank) == len(inner):
        # what follows would refine an order that leaves no ties
        return sorted(inner, key=lambda label: sizes[label].key)
    incidence: dict[int, list[tuple[int, int]]] = {label: [] for label in inner}
    symmetric = [len(names) == 2 and is_symmetric(node) for node, _, names in operands]
    identity = [(node.digest, exponent) for node, exponent, _ in operands]
    ranks = {key: rank for rank, key in enumerate(sorted(set(identity)))}
    factor_rank = [ranks[key] for key in identity]
    for position, (_, _, names) in enumerate(operands):
        for axis, label in enumerate(names):
            if label in incidence:
                incidence[label].append((position, axis))
    base = len(outer)
    start = {label: base + size_rank[sizes[label].key] for label in inner}

    def refine(colour: dict[int, int]) -> dict[int, int]:
        count = len(set(colour.values()))
        while True:
            tick(len(inner) + len(operands))
            signature: dict[int, tuple[object, ...]] = {}
            for label in inner:
                around: list[tuple[int, ...]] = []
                for position, axis in incidence[label]:
                    names = operands[position][2]
                    others = tuple(outer[other] if other in outer else colour[other] for other in names)
                    if symmetric[position]:
                        around.append((factor_rank[position], 0, others[1 - axis], others[axis]))
                    else:
                        around.append((factor_rank[position], axis, *others))
                around.sort()
                signature[label] = (colour[label], tuple(around))
            order = {key: rank for rank, key in enumerate(sorted(set(signature.values())))}
            colour = {label: base + order[signature[label]] for label in inner}
            if len(order) == count or len(order) == len(inner):
                return colour
            count = len(order)

    def describe(colour: dict[int, int]) -> list[tuple[int, tuple[int, ...]]]:
        rows = []
        for position, (_, _, names) in enumerate(operands):
            row = tuple(outer[label] if label in outer else colour[label] for label in names)
            rows.append((factor_rank[position], tuple(sorted(row)) if symmetric[position] else row))
        rows.sort()
        return rows

    budget = 200
    best: tuple[list[tuple[int, tuple[int, ...]]], dict[int, int]] | None = None
    stack = [refine(start)]
    while stack and budget:
        budget -= 1
        colour = stack.pop()
        classes: dict[int, list[int]] = {}
        for label in inner:
            classes.setdefault(colour[label], []).append(label)
        tied = next((classes[key] for key in sorted(classes) if len(classes[key]) > 1), None)
        if tied is None:
            description = describe(colour)
            if best is None or description < best[0]:
                best = (description, colour)
            continue
        for label in tied:
            split = {other: 2 * value for other, value in colour.items()}
            split[label] -= 1
            stack.append(refine(split))
            if len(stack) > 50:
                break
    assert best is not None
    return sorted(inner, key=lambda label: best[1][label])


# --- symmetry -------------------------------------------------------------------------------------

SYMMETRIC_PROPERTIES = frozenset({"symmetric", "spd", "psd", "diagonal"})


def is_symmetric(node: Node) -> bool:
    """Whether a matrix is known to equal its transpose."""
    if node.order != 2 or node.shape[0] != node.shape[1]:
        return False
    if isinstance(node, Structure):
        return node.kind == "delta"
    if isinstance(node, Variable):
        return bool(node.properties & SYMMETRIC_PROPERTIES)
    if isinstance(node, Call):
        return "symmetric" in node.properties
    return derived(node, "symmetric", _infer_symmetric)


def _infer_symmetric(node: Node) -> bool:
    if node.order != 2 or node.shape[0] != node.shape[1]:
        return False
    if isinstance(node, Sum):
        termwise = all(is_symmetric(term.node) for term in node.terms)
        return termwise or (1 < len(node.terms) <= 8 and _equals_transpose(node))
    if isinstance(node, Map):
        return all(
            not arg.shape or (axes == (0, 1) and is_symmetric(arg))
            for arg, axes in zip(node.args, node.axes, strict=True)
        )
    if isinstance(node, Product):
        return _equals_transpose(node)
    return is_symmetric(node)


def _equals_transpose(node: Node) -> bool:
    return not (isinstance(node, Product) and _has_other_columns(node)) and swap_axes(node) == node


def _has_other_columns(node: Product) -> bool:
    """Whether the factors along the rows of a matrix are others than those along its columns.

    What a delta ties to both may be written along either of them.
    """
    if any(isinstance(factor.node, Structure) for factor in node.factors):
        return False
    rows, columns = (sorted([(f.node.digest, f.exponent) for f in node.factors if axis in f.labels]) for axis in (0, 1))
    return rows != columns


def swap_axes(node: Node) -> Node:
    """The transpose of a matrix with its terms and factors relabelled, not wrapped."""
    if isinstance(node, Product):
        names = {0: 1, 1: 0}
        operands = [
            (factor.node, factor.exponent, tuple(names.get(label, label) for label in factor.labels))
            for factor in node.factors
        ]
        return product(operands, (0, 1), dict(enumerate((*node.shape[::-1], *node.sizes[2:]))))
    if isinstance(node, Sum):
        terms: list[tuple[Exact, Node]] = []
        for coefficient, part in node.terms:
            swapped = swap_axes(part) if not isinstance(part, Sum) else product([(part, 1, (1, 0))], (0, 1))
            terms.append((coefficient, swapped))
        return add(terms, node.shape[::-1], flatten=False)
    return product([(node, 1, (1, 0))], (0, 1))


# --- rebuilding ----------------------------------------------------------------------------------


def with_children(node: Node, children: Sequence[Node]) -> Node:
    """The same operation on other operands, in normal form."""
    if isinstance(node, Product):
        order = node.order
        operands = [
            (child, factor.exponent, factor.labels) for factor, child in zip(node.factors, children, strict=True)
        ]
        return product(operands, range(order), dict(enumerate(node.sizes)))
    if isinstance(node, Sum):
        return add(
            [(term.coefficient, child) for term, child in zip(node.terms, children, strict=True)],
            node.shape,
            flatten=False,
        )
    if isinstance(node, Map):
        return Map(node.op, tuple(children), node.axes, node.shape)
    if isinstance(node, Call):
        return Call(node.op, tuple(children), node.shape, node.parameters, node.properties)
    return node


def substitute(root: Node, values: Mapping[Node, Node]) -> Node:
    """Replace nodes by other nodes of the same shape."""
    done: dict[bytes, Node] = {}
    for node in postorder(root):
        replacement = values.get(node)
        if replacement is not None:
            done[node.digest] = replacement
            continue
        children = [done[child.digest] for child in node.children]
        same = all(a is b for a, b in zip(children, node.children, strict=True))
        done[node.digest] = node if same else with_children(node, children)
    return done[root.digest]


def variables(*roots: Node) -> list[Variable]:
    """The variables that occur, by name."""
    found = {node.name: node for node in postorder(*roots) if isinstance(node, Variable)}
    return [found[name] for name in sorted(found)]


# --- shorthands with a label string --------------------------------------------------------------


def einsum(spec: str, *nodes: Node) -> Node:
    """A contraction by label string, with ``...`` for batch axes in front, as in NumPy.

    The batch axes of all operands that have ``...`` are the same and appear first in the result.
    """
    left, _, right = spec.partition("->")
    numbers: dict[str, int] = {}
    sizes: dict[int, Dim] = {}
    batch: list[int] = []
    operands: list[Operand] = []
    parts = left.split(",")
    for part, node in zip(parts, nodes, strict=True):
        names = part.replace("...", "")
        extra = node.order - len(names)
        if extra and "..." not in part:
            raise AssertionError(f"{spec}: {part} does not fit an operand of order {node.order}")
        while len(batch) < extra:
            batch.append(-1 - len(batch))
        labels = batch[:extra] + [numbers.setdefault(name, len(numbers)) for name in names]
        sizes.update(zip(labels, node.shape, strict=True))
        operands.append((node, 1, tuple(labels)))
    out = [numbers[name] for name in right.replace("...", "")]
    if "..." in right:
        out = batch + out
    return product(operands, out, sizes)


def matmul(left: Node, right: Node) -> Node:
    """The matrix product over the last two axes."""
    return einsum("...ij,...jk->...ik", left, right)


def transpose(node: Node) -> Node:
    """Exchange the last two axes."""
    return einsum("...ij->...ji", node)


def trace(node: Node) -> Node:
    """The sum of the diagonal of the last two axes."""
    return einsum("...ii->...", node)


def hadamard(*nodes: Node) -> Node:
    """The entrywise product of nodes of one shape; scalars scale."""
    order = max(node.order for node in nodes)
    names = tuple(range(order))
    return product(
        [(node, 1, names if node.order else ()) for node in nodes],
        names,
        {position: dim for node in nodes for position, dim in enumerate(node.shape)},
    )


def power(node: Node, exponent: Exact) -> Node:
    """The entrywise power."""
    names = tuple(range(node.order))
    return product([(node, exponent, names)], names, dict(enumerate(node.shape)))


def divide(left: Node, right: Node) -> Node:
    """The entrywise quotient."""
    names = tuple(range(max(left.order, right.order)))
    shape = left.shape or right.shape
    return product(
        [(left, 1, names if left.order else ()), (right, -1, names if right.order else ())],
        names,
        dict(enumerate(shape)),
    )


def broadcast(node: Node, shape: Shape, axes: Sequence[int]) -> Node:
    """Repeat a node along new axes: axis k of the node becomes axis ``axes[k]`` of the result."""
    return product([(node, 1, tuple(axes))], range(len(shape)), dict(enumerate(shape)))


def permute(node: Node, axes: Sequence[int]) -> Node:
    """Reorder axes: axis k of the result is axis ``axes[k]`` of the node."""
    return product([(node, 1, tuple(range(node.order)))], tuple(axes))


def batched_identity(like: Node) -> Node:
    """The identity on the last axes of a square operand, repeated along its batch axes."""
    return broadcast(delta(like.shape[-1]), like.shape, (like.order - 2, like.order - 1))


def elementwise(op: str, *args: Node) -> Node:
    """A scalar function applied entrywise; scalar arguments are broadcast over the others."""
    shape = max((arg.shape for arg in args), key=len)
    names = tuple(range(len(shape)))
    return Map(op, args, tuple(names if arg.shape else () for arg in args), shape)
