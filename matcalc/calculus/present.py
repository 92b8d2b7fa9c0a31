"""From the normal form to a short equal one: common factors taken out, shared products written out.

The result is equal to its input and is meant for reading. ``X^T X w - X^T y`` becomes ``X^T (X w - y)``,
``A x + A^T x`` becomes ``(A + A^T) x``, ``s - s.^2`` becomes ``s .* (1 - s)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import islice
from math import gcd, isqrt, lcm
from typing import NamedTuple

from ..expr.build import (
    Operand,
    add,
    delta,
    exact,
    is_ones,
    magnitude,
    ones,
    product,
    scale,
    split_coefficient,
    swap_axes,
    with_children,
)
from ..expr.dims import Dim
from ..expr.facts import is_positive
from ..expr.nodes import Call, Exact, Factor, Map, Node, Product, Structure, Sum, Term, Variable, derived, postorder
from ..limits import tick
from ..ops.apply import call
from .simplify import flat_product, rewrite, simplify, spread_factor
from .slices import slice_axis

#: Sums with more terms than this are left as they are: looking for common factors compares pairs of terms.
LARGEST_FACTORED_SUM = 24
#: … and so are sums with more factors than this in all terms together.
LARGEST_COMPARED = 80
#: Graphs with more nodes than this are shown in normal form.
LARGEST_PRESENTED = 3000
#: Products of sums are tried multiplied out only below this many operators.
LARGEST_EXPANDED = 60
#: … and factored again only with so many terms.
LARGEST_REFACTORED = 8
#: Vectors and matrices up to this size per axis are written entry by entry when they are made of unit vectors.
LARGEST_ENTRYWISE = 4


def present(root: Node, written: frozenset[bytes] = frozenset()) -> Node:
    """A short equal form of a node, for reading.

    Parameters
    ----------
    root: any node.
    written: digests of the sums that the reader wrote; they are kept as they stand (a residual ``y - X w``).
    """
    (node,) = simplify(root)
    if is_too_large(node):
        return node
    node = _open_unit_vectors(node)
    for _ in range(4):
        following = _factor_all(_flatten_all(node), written)
        (following,) = simplify(following)
        following = _factor_all(following, written)
        following = _expand_all(following, written)
        if following == node:
            break
        node = following
    return node


def is_too_large(node: Node) -> bool:
    """Whether a node is shown in normal form because of its size."""
    return next(islice(postorder(node), LARGEST_PRESENTED, None), None) is not None


def by_entries(node: Node, root: Node, written: frozenset[bytes]) -> Node:
    """A short vector or matrix of known size that is put together from unit vectors, entry by entry.

    ``(x_2 - x_1^2) e_2 - 2 x_1 (x_2 - x_1^2) e_1`` is a column of two numbers.

    Parameters
    ----------
    node: any node.
    root: what the reader wrote; the entries of its sums are kept as sums, too.
    written: digests of the sums that are kept.
    """
    sizes = [dim.constant for dim in node.shape]
    if not 1 <= len(sizes) <= 2 or any(size is None or not 1 <= size <= LARGEST_ENTRYWISE for size in sizes):
        return node
    if not derived(node, "units", _has_units):
        return node
    entries: list[tuple[Exact, Node]] = []
    places: list[tuple[int, ...]] = [()]
    for size in sizes:
        assert size is not None
        places = [(*place, k) for place in places for k in range(1, size + 1)]
    written = written | _entries_of_sums(root)
    for place in places:
        entry = node
        for k in reversed(place):
            entry = slice_axis(entry, entry.order - 1, Dim.of(k))
        entry = present(_entries_picked(entry), written)
        units: list[Operand] = [
            (Structure("unit", Dim.of(k), dim), 1, (axis,))
            for axis, (k, dim) in enumerate(zip(place, node.shape, strict=True))
        ]
        entries.append((1, product([*units, (entry, 1, ())], range(node.order))))
    return add(entries, node.shape)


def _entries_of_sums(root: Node) -> frozenset[bytes]:
    """The digests of the entries of the vectors of known size that are sums."""
    found: set[bytes] = set()
    for node in postorder(root):
        size = node.shape[0].constant if isinstance(node, Sum) and node.order == 1 else None
        if size is None or size > LARGEST_ENTRYWISE:
            continue
        for place in range(1, size + 1):
            (entry,) = simplify(_entries_picked(slice_axis(node, 0, Dim.of(place))))
            found.add(entry.digest)
    return frozenset(found)


def _entries_picked(root: Node) -> Node:
    """A sum over an index that a unit vector fixes, as the entries at that place."""
    done: dict[bytes, Node] = {}
    for node in postorder(root):
        rebuilt = node
        if not _unchanged(node, done):
            rebuilt = with_children(node, [done[child.digest] for child in node.children])
        done[node.digest] = _with_entries_picked(rebuilt) if isinstance(rebuilt, Product) else rebuilt
    return done[root.digest]


def _with_entries_picked(node: Product) -> Node:
    pending: list[tuple[Exact, Node]] = [(1, node)]
    terms: list[tuple[Exact, Node]] = []
    while pending:
        coefficient, part = pending.pop()
        number, inner = split_coefficient(part)
        opened = _opened(inner) if isinstance(inner, Product) else None
        if opened is None:
            terms.append((coefficient * number, inner))
        else:
            pending += [(coefficient * number * c, piece) for c, piece in _terms(opened)]
    return add(terms, node.shape)


def _opened(node: Product) -> Node | None:
    """A product with a sum of unit vectors written out, or with a unit vector used up; None where there is none."""
    for place, factor in enumerate(node.factors):
        base = factor.node
        summed = any(label >= node.order for label in factor.labels)
        if isinstance(base, Sum) and factor.exponent == 1 and summed and derived(base, "units", _has_units):
            return spread_factor(node, place)
    for factor in node.factors:
        if not (isinstance(factor.node, Structure) and factor.node.kind == "unit" and factor.exponent == 1):
            continue
        (label,) = factor.labels
        others = [other for other in node.factors if other is not factor and label in other.labels]
        if label < node.order or any(other.labels.count(label) > 1 for other in others):
            continue
        if not others or (len(others) == 1 and not isinstance(others[0].node, Map | Product | Sum)):
            continue
        operands: list[Operand] = [other for other in node.factors if label not in other.labels]
        for other in others:
            axis = other.labels.index(label)
            sliced = slice_axis(other.node, axis, factor.node.parameters[0])
            operands.append((sliced, other.exponent, other.labels[:axis] + other.labels[axis + 1 :]))
        return product(operands, range(node.order), {k: dim for k, dim in enumerate(node.sizes) if k != label})
    return None


def _has_units(node: Node) -> bool:
    if isinstance(node, Structure):
        return node.kind in ("unit", "select")
    return isinstance(node, Product | Sum) and any(child.cache["units"] for child in node.children)


def sums_of(root: Node) -> frozenset[bytes]:
    """The digests of the sums under a node: what `present` is to keep."""
    return frozenset(node.digest for node in postorder(root) if isinstance(node, Sum) and len(node.terms) > 1)


def cost(node: Node) -> int:
    """The number of operators in the written-out node, about."""
    return derived(node, "cost", _own_cost)


def _own_cost(node: Node) -> int:
    total = sum(int(child.cache["cost"]) for child in node.children)
    if isinstance(node, Product):
        total += max(0, len(node.factors) - 1)
        total += sum(factor.exponent not in (1, -1) for factor in node.factors)
    elif isinstance(node, Sum):
        total += max(0, len(node.terms) - 1)
        total += sum(coefficient not in (1, -1) for coefficient, part in node.terms if not is_ones(part))
    elif node.children:
        total += 1
    return min(total, 10**9)


def _expand_all(root: Node, written: frozenset[bytes]) -> Node:
    """Multiply sums out where the terms cancel: ``((1-y)/(1-s) - y/s) s (1-s)`` is ``s - y``."""
    done: dict[bytes, Node] = {}
    for node in postorder(root):
        if not node.children:
            done[node.digest] = node
            continue
        rebuilt = node
        if not _unchanged(node, done):
            rebuilt = rewrite(with_children(node, [done[child.digest] for child in node.children]))
        if isinstance(rebuilt, Product | Sum) and rebuilt.digest not in written:
            rebuilt = _powers_collected(_expand_if_shorter(rebuilt, written), written)
        done[node.digest] = rebuilt
    return done[root.digest]


def _expand_if_shorter(node: Node, written: frozenset[bytes]) -> Node:
    before = cost(node)
    if before > LARGEST_EXPANDED:
        return node
    coefficient, inner = split_coefficient(node)
    parts = inner.terms if isinstance(inner, Sum) else (Term(1, inner),)
    terms: list[tuple[Exact, Node]] = []
    opened = False
    for number_part, part in parts:
        pieces = _multiplied_out(part)
        opened = opened or pieces != [(1, part)]
        terms += [(coefficient * number_part * c, piece) for c, piece in pieces]
    if not opened or len(terms) > 4 * LARGEST_FACTORED_SUM:
        return node
    flat: list[tuple[Exact, Node]] = []
    for c, piece in terms:
        (simple,) = simplify(piece)
        inner_c, inner_piece = split_coefficient(simple)
        flat.append((c * inner_c, inner_piece))
    total = add(flat, node.shape)
    if cost(total) < before - 1:
        return total
    if not isinstance(total, Sum) or len(total.terms) > LARGEST_REFACTORED:
        return node
    shorter = _tidy_sign(tidy_numbers(_content(factor_sum(total), written)), written)
    return shorter if cost(shorter) < before - 1 else node


def _powers_collected(node: Node, written: frozenset[bytes]) -> Node:
    """``(4 x^3 - 6 x) y`` for ``-2 x (3 - 2 x^2) y``: a variable multiplied into a sum of its powers, where shorter."""
    coefficient, inner = split_coefficient(node)
    if not isinstance(inner, Product) or inner.order:
        return node
    for place, factor in enumerate(inner.factors):
        base = factor.node
        if not isinstance(base, Sum) or factor.exponent != 1 or factor.labels or base.digest in written:
            continue
        inside = {part.digest for part in base.children} | {c.digest for part in base.children for c in part.children}
        mine = [other for other in inner.factors if isinstance(other.node, Variable) and other.node.digest in inside]
        if not mine:
            continue
        terms = [(coefficient * c, product([(part, 1, ()), *mine], ())) for c, part in base.terms]
        rest: list[Operand] = [other for k, other in enumerate(inner.factors) if k != place and other not in mine]
        collected = product([*rest, (add(terms, ()), 1, ())], ())
        if cost(collected) < cost(node):
            return collected
    return node


def _multiplied_out(node: Node) -> list[tuple[Exact, Node]]:
    """The terms of a product of sums; the node itself when there is nothing to multiply out."""
    pending: list[tuple[Exact, Node]] = [(1, node)]
    result: list[tuple[Exact, Node]] = []
    while pending:
        coefficient, part = pending.pop()
        place = None
        if (
            isinstance(part, Product)
            and len(pending) + len(result) < LARGEST_FACTORED_SUM
            and not any(isinstance(f.node, Structure) and f.node.order and f.node.kind != "delta" for f in part.factors)
        ):
            for k, factor in enumerate(part.factors):
                if isinstance(factor.node, Sum) and factor.exponent == 1 and 2 <= len(factor.node.terms) <= 4:
                    place = k
                    break
        if place is None:
            result.append((coefficient, part))
            continue
        assert isinstance(part, Product)
        spread = spread_factor(part, place)
        terms = spread.terms if isinstance(spread, Sum) else (Term(1, spread),)
        pending += [(coefficient * c, piece) for c, piece in terms]
    return result


def _open_unit_vectors(root: Node) -> Node:
    """``normalize(x)`` as ``x / ||x||`` and the like, so that the norm meets others."""
    done: dict[bytes, Node] = {}
    for node in postorder(root):
        rebuilt = node
        if not _unchanged(node, done):
            rebuilt = with_children(node, [done[child.digest] for child in node.children])
        if isinstance(rebuilt, Call) and rebuilt.op == "normalize":
            core = int(dict(rebuilt.parameters).get("core", 1))
            names = tuple(range(rebuilt.order))
            length = call("norm", rebuilt.args[0], core=core)
            rebuilt = product([(rebuilt.args[0], 1, names), (length, -1, names[: rebuilt.order - core])], names)
        elif isinstance(rebuilt, Call) and rebuilt.op in ("prodexcept", "prodexcept2"):
            rebuilt = _open_product(rebuilt)
        done[node.digest] = rebuilt
    return done[root.digest]


def _open_product(node: Call) -> Node:
    """The product of all other entries as ``prod(x) ./ x``, of all but two as that over ``x x^T``."""
    arg = node.args[0]
    core = int(dict(node.parameters).get("core", 1))
    nonzero = isinstance(arg, Variable) or is_positive(arg)
    if arg.order != core or (node.op == "prodexcept2" and core != 1) or not nonzero:
        return node
    whole = call("prod", arg, core=core)
    names = tuple(range(core))
    if node.op == "prodexcept":
        return product([(whole, 1, ()), (arg, -1, names)], names)
    off_diagonal = add([(1, ones(node.shape)), (-1, delta(node.shape[0]))], node.shape)
    return product([(whole, 1, ()), (arg, -1, (0,)), (arg, -1, (1,)), (off_diagonal, 1, (0, 1))], (0, 1))


def _flatten_all(root: Node) -> Node:
    """Write nested products out even where they are used more than once, while they stay short."""
    done: dict[bytes, Node] = {}
    for node in postorder(root):
        if _unchanged(node, done) and not any(isinstance(split_coefficient(c)[1], Product) for c in node.children):
            done[node.digest] = node
        elif isinstance(node, Product):
            operands: list[Operand] = [(done[f.node.digest], f.exponent, f.labels) for f in node.factors]
            done[node.digest] = rewrite(flat_product(operands, range(node.order), dict(enumerate(node.sizes))))
        elif node.children:
            done[node.digest] = rewrite(with_children(node, [done[child.digest] for child in node.children]))
        else:
            done[node.digest] = node
    return done[root.digest]


def _unchanged(node: Node, done: Mapping[bytes, Node]) -> bool:
    return all(done[child.digest] is child for child in node.children)


def _factor_all(root: Node, written: frozenset[bytes]) -> Node:
    done: dict[bytes, Node] = {}
    for node in postorder(root):
        if not node.children:
            done[node.digest] = node
            continue
        rebuilt = node
        if not _unchanged(node, done):
            rebuilt = with_children(node, [done[child.digest] for child in node.children])
        if isinstance(rebuilt, Sum) and len(rebuilt.terms) > 1 and rebuilt.digest not in written:
            rebuilt = _over_one_divisor(rebuilt)
        if isinstance(rebuilt, Sum) and len(rebuilt.terms) > 1 and rebuilt.digest not in written:
            rebuilt = factor_sum(rebuilt)
        done[node.digest] = _permuted_sum(_tidy_sign(tidy_numbers(_content(rebuilt, written), written), written))
    return done[root.digest]


def _over_one_divisor(node: Sum) -> Node:
    """Fractions brought to one divisor where the numerators cancel: ``1/(q + c) - q/(q + c)^2`` is ``c/(q + c)^2``."""
    if not 2 <= len(node.terms) <= LARGEST_REFACTORED:
        return node
    parts = [_part(term, node.order) for term in node.terms]
    powers: dict[bytes, list[Factor]] = {}
    for part in parts:
        for factor in part.factors:
            if isinstance(factor.node, Sum) and not factor.labels and factor.exponent < 0:
                powers.setdefault(factor.node.digest, []).append(factor)
    for factors in powers.values():
        exponents = {factor.exponent for factor in factors}
        if len(factors) != len(parts) or len(exponents) < 2:
            continue
        if any(Fraction(exponent).denominator != 1 for exponent in exponents):
            continue
        divisor, lowest = factors[0].node, min(exponents)
        numerators: list[tuple[Exact, Node]] = []
        for part, factor in zip(parts, factors, strict=True):
            rest: list[Operand] = [other for other in part.factors if other is not factor]
            rest += [(divisor, 1, ())] * int(factor.exponent - lowest)
            above = product(rest, range(node.order), dict(enumerate(part.sizes)))
            outer, above = split_coefficient(above)
            numerators += [(part.coefficient * outer * c, piece) for c, piece in _multiplied_out(above)]
        (above,) = simplify(add(numerators, node.shape))
        whole = product([(above, 1, tuple(range(node.order))), (divisor, lowest, ())], range(node.order))
        (whole,) = simplify(whole)
        if cost(whole) < cost(node):
            return whole
    return node


def fold_pseudo_inverses(root: Node, written: Node) -> Node:
    """``X (X^T X)^-1`` as ``pinv(X)^T`` and ``(X X^T)^-1 X`` likewise, where that rids a formula of the inverse.

    Parameters
    ----------
    root: the formula.
    written: what the reader wrote; its inverses are kept.
    """
    grams = {
        node.digest: base
        for node in postorder(root)
        if isinstance(node, Call) and node.op == "inv" and (base := _gram_of(node.args[0]))
    }
    if not grams or any(node.digest in grams for node in postorder(written)):
        return root
    done: dict[bytes, Node] = {}
    for node in postorder(root):
        rebuilt = node
        if not _unchanged(node, done):
            rebuilt = with_children(node, [done[child.digest] for child in node.children])
        if isinstance(rebuilt, Product):
            rebuilt = _with_pseudo_inverse(rebuilt, grams)
        done[node.digest] = rebuilt
    folded = done[root.digest]
    left = {part.digest for part in postorder(folded)}
    inverses = [node for node in postorder(root) if node.digest in grams]
    if any(node.digest in left or node.args[0].digest in left for node in inverses if isinstance(node, Call)):
        return root
    return folded


class _Gram(NamedTuple):
    """A matrix X of which another is ``X^T X`` or, with ``axis`` 0, ``X X^T``: the axis that the other keeps."""

    node: Node
    axis: int


def _gram_of(node: Node) -> _Gram | None:
    if not isinstance(node, Product) or node.order != 2 or len(node.factors) != 2:
        return None
    first, second = node.factors
    if first.node != second.node or first.node.order != 2 or (first.exponent, second.exponent) != (1, 1):
        return None
    for axis in (0, 1):
        ends = {first.labels[axis], second.labels[axis]}
        if ends == {0, 1} and first.labels[1 - axis] == second.labels[1 - axis] >= 2:
            return _Gram(first.node, axis)
    return None


def _with_pseudo_inverse(node: Product, grams: Mapping[bytes, _Gram]) -> Node:
    for place, factor in enumerate(node.factors):
        gram = grams.get(factor.node.digest)
        if gram is None or factor.exponent != 1:
            continue
        for other_place, other in enumerate(node.factors):
            if other.node != gram.node or other.exponent != 1:
                continue
            middle = other.labels[gram.axis]
            uses = sum(f.labels.count(middle) for f in node.factors)
            if middle < node.order or uses != 2 or factor.labels.count(middle) != 1:
                continue
            kept = factor.labels[1] if factor.labels[0] == middle else factor.labels[0]
            labels = (kept, other.labels[1 - gram.axis]) if gram.axis == 1 else (other.labels[1 - gram.axis], kept)
            operands: list[Operand] = [f for k, f in enumerate(node.factors) if k not in (place, other_place)]
            operands.append((call("pinv", gram.node), 1, labels))
            sizes = {label: dim for label, dim in enumerate(node.sizes) if label != middle}
            return product(operands, range(node.order), sizes)
    return node


def _spread(node: Sum) -> Node:
    """Sums inside a sum written out, transposed ones too: ``T + T^T`` with ``T = x x^T - A`` has three terms."""
    terms: list[tuple[Exact, Node]] = []
    for coefficient, part in node.terms:
        if isinstance(part, Sum):
            terms += [(coefficient * inner, child) for inner, child in part.terms]
            continue
        if isinstance(part, Product) and len(part.factors) == 1 and len(part.sizes) == node.order == 2:
            base, exponent, labels = part.factors[0]
            if isinstance(base, Sum) and exponent == 1 and labels == (1, 0):
                swapped = swap_axes(base)
                terms += [(coefficient * inner, child) for inner, child in _terms(swapped)]
                continue
        terms.append((coefficient, part))
    return add(terms, node.shape, flatten=False)


def _terms(node: Node) -> Sequence[tuple[Exact, Node]]:
    return node.terms if isinstance(node, Sum) else ((1, node),)


def _content(node: Node, written: frozenset[bytes]) -> Node:
    """The number that all terms share in front of the sum; a sum of negative terms as minus a sum."""
    if not isinstance(node, Sum) or len(node.terms) < 2 or node.digest in written:
        return node
    if all(isinstance(part, Product) and _has_divisor(part.factors) for _, part in node.terms):
        return node
    sizes = {magnitude(coefficient) for coefficient, _ in node.terms}
    content: Exact = sizes.pop() if len(sizes) == 1 else 1
    if all(coefficient < 0 for coefficient, _ in node.terms):
        content = -content
    if content == 1:
        return node
    return scale(content, add([(Fraction(c) / content, part) for c, part in node.terms], node.shape, flatten=False))


def tidy_numbers(node: Node, written: frozenset[bytes] = frozenset()) -> Node:
    """The number that all terms of a factor share goes in front of the product.

    ``x (2 a + 4 b)`` becomes ``2 x (a + 2 b)``, ``1/(2 (1 - x^2/4))`` becomes ``2/(4 - x^2)``.
    """
    coefficient, inner = split_coefficient(node)
    if not isinstance(inner, Product):
        return node
    for place, factor in enumerate(inner.factors):
        base = factor.node
        if not isinstance(base, Sum) or len(base.terms) < 2:
            continue
        content = _shared_number(base)
        outside = exact_power(content, factor.exponent)
        if content == 1 or outside is None:
            continue
        smaller = add([(Fraction(c) / content, part) for c, part in base.terms], base.shape, flatten=False)
        operands: list[Operand] = list(inner.factors)
        operands[place] = (smaller, factor.exponent, factor.labels)
        rest = product(operands, range(inner.order), dict(enumerate(inner.shape)))
        tidied = scale(coefficient * outside, rest)
        divides = content.denominator == 1 and factor.exponent == 1
        if divides or (base.digest not in written and cost(tidied) < cost(node)):
            return tidy_numbers(tidied, written)
    return node


def _shared_number(node: Sum) -> Fraction:
    """The positive number that, taken out of the terms, leaves whole coefficients without a common divisor."""
    numbers = [Fraction(coefficient) for coefficient, _ in node.terms]
    whole = lcm(*(number.denominator for number in numbers))
    return Fraction(gcd(*(int(number * whole) for number in numbers)), whole)


def exact_power(base: Fraction, exponent: Exact) -> Fraction | None:
    """A power of a positive number, or None where it is no exact number.

    >>> exact_power(Fraction(1, 4), Fraction(-1, 2))
    Fraction(2, 1)
    """
    exponent = Fraction(exponent)
    if exponent.denominator == 1:
        return base**exponent.numerator
    if exponent.denominator != 2:
        return None
    above, below = isqrt(base.numerator), isqrt(base.denominator)
    if above**2 != base.numerator or below**2 != base.denominator:
        return None
    return Fraction(above, below) ** exponent.numerator


def _tidy_sign(node: Node, written: frozenset[bytes]) -> Node:
    """``-(s - 1) x`` is ``(1 - s) x``, and a difference stands as the reader wrote it."""
    coefficient, inner = split_coefficient(node)
    if not isinstance(inner, Product):
        return node
    for place, factor in enumerate(inner.factors):
        base = factor.node
        if not isinstance(base, Sum) or len(base.terms) < 2 or factor.exponent not in (1, -1):
            continue
        if base.digest in written:
            continue
        turned = add([(-c, part) for c, part in base.terms], base.shape, flatten=False)
        if turned.digest in written or _is_backwards(base) or (coefficient < 0 and _is_difference(base)):
            operands: list[Operand] = list(inner.factors)
            operands[place] = (turned, factor.exponent, factor.labels)
            sizes = dict(enumerate(inner.shape))
            return _tidy_sign(
                scale(-coefficient, product(operands, range(inner.order), sizes)), written | {turned.digest}
            )
    return node


def with_residual_turned(node: Node, written: frozenset[bytes]) -> Node:
    """``beta X^T (X w - y)`` for ``-beta X^T (y - X w)``, so that a sum begins with what the reader began with."""
    coefficient, inner = split_coefficient(node)
    if coefficient > 0 or not isinstance(inner, Product):
        return node
    residuals = [
        place
        for place, factor in enumerate(inner.factors)
        if isinstance(factor.node, Sum) and factor.node.digest in written and factor.exponent == 1
    ]
    if len(residuals) != 1:
        return node
    factor = inner.factors[residuals[0]]
    terms = factor.node.terms if isinstance(factor.node, Sum) else ()
    if len({c > 0 for c, _ in terms}) != 2:
        return node
    operands: list[Operand] = list(inner.factors)
    turned = add([(-c, part) for c, part in terms], factor.node.shape, flatten=False)
    operands[residuals[0]] = (turned, 1, factor.labels)
    return scale(-coefficient, product(operands, range(inner.order), dict(enumerate(inner.shape))))


def _is_difference(node: Sum) -> bool:
    """Whether a sum has terms of both signs, so that turning it takes a minus away from in front of it."""
    return len({c > 0 for c, _ in node.terms}) == 2 and not any(is_ones(part) for _, part in node.terms)


def _is_backwards(node: Sum) -> bool:
    """Whether the negative of a sum reads better: ``1 - s``, not ``s - 1``."""
    constant = [c for c, part in node.terms if is_ones(part)]
    if constant:
        return constant[0] < 0 and any(c > 0 for c, _ in node.terms)
    return 2 * sum(c < 0 for c, _ in node.terms) > len(node.terms)


def _permuted_sum(node: Node) -> Node:
    """A sum of higher order whose axes are exchanged as a whole: term by term."""
    if not isinstance(node, Product) or node.order < 3 or len(node.factors) != 1 or list(node.summed):
        return node
    base, exponent, labels = node.factors[0]
    if not isinstance(base, Sum) or exponent != 1 or len(set(labels)) != len(labels):
        return node
    return spread_factor(node, 0)


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
    current: Node = _spread(node)
    for _ in range(2 * LARGEST_FACTORED_SUM):
        if not isinstance(current, Sum) or not 2 <= len(current.terms) <= LARGEST_FACTORED_SUM:
            return current
        following = _factor_once(current) or _rank_one_sum(current)
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
    if sum(len(part.factors) for part in parts) > LARGEST_COMPARED:
        return None
    best: tuple[int, list[int], _Match, _Part, Node, tuple[int, ...]] | None = None
    for i, plain_left in enumerate(parts):
        for j in range(i + 1, len(parts)):
            for left, right, match in _candidates(plain_left, parts[j], order):
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
                    members = [left if k == i else right if k == j else parts[k] for k in group]
                    built = _remainders(members, match, fits, order)
                    if built is not None:
                        best = (saved, group, match, left, *built)
    if best is None:
        return None
    _, group, match, left, remainder, interface = best
    operands: list[Operand] = [
        (left.factors[place].node, exponent, left.factors[place].labels)
        for place, exponent in zip(match.left, match.exponents, strict=True)
    ]
    if isinstance(remainder, Sum):
        remainder = factor_sum(remainder)
    operands.append((remainder, 1, interface))
    taken = product(operands, range(order), dict(enumerate(node.shape)))
    rest: list[tuple[Exact, Node]] = [term for place, term in enumerate(node.terms) if place not in group]
    return add([*rest, (1, taken)], node.shape, flatten=False)


def _rank_one_sum(node: Sum) -> Node | None:
    """``(a b^T + b a^T) x`` for ``(a^T x) b + (b^T x) a``: two vectors times inner products with the same third."""
    if node.order != 1 or len(node.terms) != 2:
        return None
    found = [(_inner_product(term.node), term.coefficient) for term in node.terms]
    if any(parts is None for parts, _ in found):
        return None
    (first, second), (left, right) = zip(*found, strict=True)
    assert first is not None
    assert second is not None
    shared = [vector for vector in first[:2] if vector in second[:2]]
    if len(shared) != 1 or shared[0] in (first[2], second[2]):
        return None
    x = shared[0]
    terms: list[tuple[Exact, Node]] = []
    for (one, other, direction), coefficient in ((first, left), (second, right)):
        rest = other if one == x else one
        terms.append((coefficient, product([(direction, 1, (0,)), (rest, 1, (1,))], (0, 1))))
    outer = add(terms, (node.shape[0], x.shape[0]))
    return product([(outer, 1, (0, 1)), (x, 1, (1,))], (0,))


def _inner_product(node: Node) -> tuple[Node, Node, Node] | None:
    """The vectors a, x and b of ``(a^T x) b``."""
    if not isinstance(node, Product) or len(node.factors) != 2 or any(f.exponent != 1 for f in node.factors):
        return None
    scalar, direction = sorted((factor.node for factor in node.factors), key=lambda factor: factor.order)
    if not isinstance(scalar, Product) or scalar.order or not isinstance(direction, Variable) or direction.order != 1:
        return None
    inside = scalar.factors
    plain = len(inside) == 2 and all(isinstance(f.node, Variable) and f.exponent == 1 for f in inside)
    if not plain or any(len(f.labels) != 1 for f in inside):
        return None
    return inside[0].node, inside[1].node, direction


def _candidates(left: _Part, right: _Part, order: int) -> list[tuple[_Part, _Part, _Match]]:
    """Ways to match two terms: as they are, or with an output label of a matrix factor split off by a delta.

    The second kind takes ``A^T`` out of ``A^T diag(p) - A^T p p^T``, whose first term has no label between the two.
    """
    found = [(left, right, match) for match in _matches(left, right, order)]
    for i, first in enumerate(left.factors):
        for j, second in enumerate(right.factors):
            if first.node != second.node or first.node.order != 2 or isinstance(first.node, Structure):
                continue
            for a, b in zip(first.labels, second.labels, strict=True):
                if a < order <= b:
                    split = _split(left, i, a)
                    match = _grow(split, right, {label: label for label in range(order)}, i, j, alone=True)
                    if match is not None:
                        found.append((split, right, match))
                elif b < order <= a:
                    split = _split(right, j, b)
                    match = _grow(left, split, {label: label for label in range(order)}, i, j, alone=True)
                    if match is not None:
                        found.append((left, split, match))
    return found


def _split(part: _Part, place: int, label: int) -> _Part:
    """The term with one factor's output label renamed to a summed one, tied to the output by a delta."""
    fresh = len(part.sizes)
    factors = list(part.factors)
    factor = factors[place]
    factors[place] = Factor(factor.node, factor.exponent, tuple(fresh if a == label else a for a in factor.labels))
    factors.append(Factor(delta(part.sizes[label]), 1, (label, fresh)))
    return _Part(part.coefficient, tuple(factors), (*part.sizes, part.sizes[label]))


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


def _common_exponent(first: Exact, second: Exact, short: bool = False) -> Exact | None:
    if (first > 0) != (second > 0):
        return None
    if first == second:
        return first
    if first < 0:
        # x/||x|| - A x/||x||^3 is left as two terms; a power of n is taken out
        return max(first, second) if short else None
    if Fraction(first).denominator != 1 or Fraction(second).denominator != 1:
        return None
    return min(first, second)


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


def _grow(left: _Part, right: _Part, start: dict[int, int], i: int, j: int, alone: bool = False) -> _Match | None:
    order = len(start)
    short = isinstance(left.factors[i].node, Structure)
    exponent = _common_exponent(left.factors[i].exponent, right.factors[j].exponent, short)
    labels = _extend(start, left.factors[i], right.factors[j], order)
    if exponent is None or labels is None:
        return None
    first = left.factors[i]
    if isinstance(first.node, Structure) and first.node.order and not (order > 2 and max(first.labels) < order):
        return None
    chosen = [(i, j, exponent)]
    grown = not alone
    while grown:
        grown = False
        tick(1 + len(left.factors) * len(right.factors) // 8)
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
                if isinstance(first.node, Structure) and first.node.kind in ("unit", "delta") and order <= 2:
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
                if (second.exponent > 0) != (exponent > 0) or magnitude(second.exponent) < magnitude(exponent):
                    continue
                if exponent < 0 and second.exponent != exponent and not isinstance(first.node, Structure):
                    # a term over a higher power stays as it is, beside the others over one divisor
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
    members: Sequence[_Part], match: _Match, fits: Sequence[_Match], order: int
) -> tuple[Node, tuple[int, ...]] | None:
    """The sum of what is left of the terms, and the labels it keeps; None when it would not read well."""
    left = members[0]
    common_labels = {label for place in match.left for label in left.factors[place].labels}
    left_rest = _rest(left, match.left, match.exponents)
    rests: list[tuple[Exact, list[Operand], dict[int, Dim]]] = [
        (left.coefficient, left_rest, dict(enumerate(left.sizes)))
    ]
    for k, (other, fit) in enumerate(zip(members[1:], fits, strict=True)):
        back = {b: a for a, b in fit.labels.items()}
        shift = 1000 * (k + 1)
        operands: list[Operand] = [
            (node, exponent, tuple(back.get(label, label + shift) for label in labels))
            for node, exponent, labels in _rest(other, fit.right, fit.exponents)
        ]
        sizes = {back.get(label, label + shift): dim for label, dim in enumerate(other.sizes)}
        rests.append((other.coefficient, operands, sizes))
    kept = common_labels | set(range(order))
    if not common_labels and all(isinstance(left.factors[place].node, Structure) for place in match.left):
        # a power of a size is taken out of whole terms: 1/n (I - 1/n ones(n, n))
        shape = tuple(left.sizes[:order])
        known = dict(enumerate(shape))
        return add([(c, product(operands, range(order), known)) for c, operands, _ in rests], shape), tuple(
            range(order)
        )
    carried = [{label for _, _, labels in operands for label in labels} & kept for _, operands, _ in rests]
    interface = sorted(set().union(*carried))
    for (_, operands, _), mine in zip(rests, carried, strict=True):
        is_number = not operands
        # a scalar stays in front of its vector: cos(t) v + sin(t) a .* v
        expands = is_number or (bool(mine) and order == len(interface) and not _has_sum(operands))
        if mine != set(interface) and not (expands and set(interface) <= common_labels):
            return None
    scalar_only = not interface and not any(operands for _, operands, _ in rests)
    if scalar_only:
        return None
    if len(interface) > 2 and common_labels:
        return None
    if any((_is_identity(operands) and common_labels) or _has_divisor(operands) for _, operands, _ in rests):
        return None
    if any(not operands for _, operands, _ in rests) and any(_has_sum(operands) for _, operands, _ in rests):
        # s + x .* s .* (1 - s) is left as the product rule gives it
        return None
    sizes_of = dict(enumerate(left.sizes))
    shape = tuple(sizes_of[label] for label in interface)
    terms: list[tuple[Exact, Node]] = []
    for coefficient, operands, _ in rests:
        if not operands:
            terms.append((coefficient, ones(shape)))
        else:
            known = {label: sizes_of[label] for label in interface}
            terms.append((coefficient, product(operands, interface, known)))
    return add(terms, shape), tuple(interface)


def _is_identity(operands: Sequence[Operand]) -> bool:
    """Whether what is left of a term is an identity matrix: ``(A - I) X`` for ``A X - X`` is not what people write."""
    with_labels = [node for node, _, labels in operands if labels]
    return len(with_labels) == 1 and isinstance(with_labels[0], Structure) and with_labels[0].kind == "delta"


def _has_sum(operands: Sequence[Operand]) -> bool:
    return any(isinstance(node, Sum) and len(node.terms) > 1 for node, _, _ in operands)


def _has_divisor(operands: Sequence[Operand]) -> bool:
    """Whether what is left of a term is divided by a scalar: ``(A / q - p B / q^2) x`` is written as two terms."""
    return any(exponent < 0 and not labels and node.children for node, exponent, labels in operands)


def _rest(part: _Part, places: Sequence[int], exponents: Sequence[Exact]) -> list[Operand]:
    taken = dict(zip(places, exponents, strict=True))
    rest: list[Operand] = []
    for place, factor in enumerate(part.factors):
        exponent = exact(factor.exponent - taken.get(place, 0))
        if exponent:
            rest.append((factor.node, exponent, factor.labels))
    return rest
