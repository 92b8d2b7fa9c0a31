"""The contraction of two operands: a matrix product, a broadcast product, a solve; what an expert would write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..expr.dims import Dim, Shape
from .entrywise import (
    Tensor,
    arrange,
    combine,
    dims_by_label,
    expand,
    permute,
    reciprocal,
    reshape,
    settle,
    total,
)
from .program import Builder, Operand


class Term(NamedTuple):
    """A factor on its way through a contraction.

    ``kind`` is ``array`` for a value, ``divisor`` for one that divides, ``inverse`` for the inverse of a matrix
    (the value is the matrix, labels are those of the inverse; ``template`` is the explicit form and ``facts``
    what is known of the matrix: ``spd``, ``diagonal``, ``symmetric``, ``lower`` or ``upper``), ``lower`` for the lower
    triangle of ones.
    """

    value: Operand
    labels: tuple[int, ...]
    kind: str = "array"
    template: str = ""
    facts: str = ""
    size: Dim | None = None

    @property
    def tensor(self) -> Tensor:
        return Tensor(self.value, self.labels)


def array_term(tensor: Tensor) -> Term:
    return Term(tensor.value, tensor.labels)


def explicit(builder: Builder, term: Term) -> Tensor:
    """The factor as a value of its own."""
    if term.kind == "divisor":
        return reciprocal(builder, term.tensor)
    if term.kind == "inverse":
        shape = builder.shape(term.value)
        inverse = builder.emit("call", (term.value,), shape, ("inv", term.template, term.facts))
        return Tensor(inverse, term.labels)
    if term.kind == "lower":
        assert term.size is not None
        return Tensor(builder.emit("triangle", (), (term.size, term.size), (term.size,)), term.labels)
    return term.tensor


def contract_pair(
    builder: Builder, left: Term, right: Term, keep: frozenset[int], preferred: Sequence[int] = ()
) -> Term:
    """The product of two factors, summed over the labels that are not kept.

    Parameters
    ----------
    keep: the labels of the result.
    preferred: the order in which a later step would like them.
    """
    for term, other in ((left, right), (right, left)):
        if term.kind == "lower" and other.kind != "lower":
            found = _running_sum(builder, term, explicit(builder, other), keep)
            if found is not None:
                return array_term(settle(builder, found, keep))
    for term, other in ((left, right), (right, left)):
        if term.kind == "inverse":
            found = _solve(builder, term, other, keep)
            if found is not None:
                return array_term(found)
    dropped = (frozenset(left.labels) | frozenset(right.labels)) - keep
    if left.kind == right.kind == "divisor" and not dropped:
        return Term(*combine(builder, "multiply", left.tensor, right.tensor, preferred), "divisor")
    for term, other in ((left, right), (right, left)):
        if term.kind != "divisor" or other.kind == "divisor":
            continue
        whole = set(term.labels) == set(other.labels) or (not dropped)
        if whole:
            quotient = combine(builder, "divide", explicit(builder, other), term.tensor, preferred)
            return array_term(settle(builder, quotient, keep))
    return array_term(_multiply(builder, explicit(builder, left), explicit(builder, right), keep, preferred))


def _running_sum(builder: Builder, triangle: Term, other: Tensor, keep: frozenset[int]) -> Tensor | None:
    """A triangle of ones against a value: cumulative sums where it sums, `tril` where it masks."""
    row, column = triangle.labels
    present = [label for label in (row, column) if label in other.labels]
    shape = builder.shape(other.value)
    if len(present) == 2:
        rest = [label for label in other.labels if label not in (row, column)]
        value = arrange(builder, other, (*rest, row, column))
        return Tensor(builder.emit("lower_part", (value,), builder.shape(value)), (*rest, row, column))
    if len(present) != 1 or present[0] in keep:
        return None
    axis = other.labels.index(present[0])
    backward = present[0] == row
    value = builder.emit("cumulative_sum", (other.value,), shape, (axis, int(backward)))
    renamed = column if backward else row
    return Tensor(value, tuple(renamed if label == present[0] else label for label in other.labels))


def _solve(builder: Builder, inverse: Term, other: Term, keep: frozenset[int]) -> Tensor | None:
    """The inverse of a matrix against a value as the solution of a linear system, where it is one."""
    row, column = inverse.labels
    value = explicit(builder, other)
    rest = [label for label in value.labels if label not in (row, column)]
    if set(value.labels) >= {row, column} and row not in keep and column not in keep and not rest:
        solved = _solution(builder, inverse, arrange(builder, value, (column, row)), transposed=False)
        return Tensor(builder.emit("trace", (solved,), ()))
    for contracted, free, transposed in ((column, row, False), (row, column, True)):
        if contracted in value.labels and contracted not in keep and free not in value.labels:
            right = arrange(builder, value, (contracted, *rest))
            shape = builder.shape(right)
            if len(rest) > 1:
                right = reshape(builder, right, (shape[0], _product(shape[1:])))
            solved = _solution(builder, inverse, right, transposed)
            if len(rest) > 1:
                solved = reshape(builder, solved, shape)
            return settle(builder, Tensor(solved, (free, *rest)), keep)
    return None


TRANSPOSED = {"": "", "lower": "upper", "upper": "lower"}
"""What is known of the transpose of a matrix that may differ from it."""


def _solution(builder: Builder, inverse: Term, right: Operand, transposed: bool) -> Operand:
    shape = builder.shape(right)
    matrix, facts = inverse.value, inverse.facts
    if transposed and facts in TRANSPOSED:
        matrix, facts = permute(builder, matrix, (1, 0)), TRANSPOSED[facts]
    return builder.emit(f"solve_{facts}" if facts else "solve", (matrix, right), shape)


def _product(shape: Shape) -> Dim:
    size = Dim.of(1)
    for dim in shape:
        size = size * dim
    return size


def _multiply(builder: Builder, left: Tensor, right: Tensor, keep: frozenset[int], preferred: Sequence[int]) -> Tensor:
    shared = [label for label in left.labels if label in right.labels]
    summed = [label for label in shared if label not in keep]
    if not summed:
        return settle(builder, combine(builder, "multiply", left, right, preferred), keep)
    batch = [label for label in shared if label in keep]
    left_free = [label for label in left.labels if label not in shared]
    right_free = [label for label in right.labels if label not in shared]
    if not left_free and not right_free:
        if not batch:
            return Tensor(_inner(builder, left, right, summed))
        return total(builder, combine(builder, "multiply", left, right, preferred), frozenset(summed))
    if batch:
        return _batched(builder, left, right, batch, summed, left_free, right_free)
    return _matrix_product(builder, left, right, summed, left_free, right_free, preferred)


def _inner(builder: Builder, left: Tensor, right: Tensor, summed: Sequence[int]) -> Operand:
    """The sum over all entries of an entrywise product."""
    if len(summed) == 1:
        return builder.emit("matmul", (left.value, right.value), ())
    order = left.labels
    first, second = left.value, arrange(builder, right, order)
    statement = builder.statement(first)
    if statement is not None and statement.operation == "transpose":
        # transpose both: the sum is the same, and one of them is no longer a strided view
        inverse = tuple(sorted(range(len(order)), key=lambda axis: statement.parameters[axis]))  # type: ignore[arg-type, return-value]
        first, second = statement.operands[0], permute(builder, second, inverse)
    return builder.emit("inner", (first, second), ())


def _matrix_product(
    builder: Builder,
    left: Tensor,
    right: Tensor,
    summed: Sequence[int],
    left_free: Sequence[int],
    right_free: Sequence[int],
    preferred: Sequence[int],
) -> Tensor:
    sizes = dims_by_label(builder, left, right)
    here = _transposes(left, right, left_free, right_free, preferred)
    there = _transposes(right, left, right_free, left_free, preferred)
    if not left_free or (right_free and there < here):
        left, right, left_free, right_free = right, left, right_free, left_free
    if len(summed) == 1 and len(right_free) > 1 and len(left_free) == 1:
        left, right, left_free, right_free = right, left, right_free, left_free
    labels = (*left_free, *right_free)
    shape = tuple(sizes[label] for label in labels)
    natural = len(left_free) == 1 or left.labels == (*left_free, *summed)
    if len(summed) == 1 and len(right_free) <= 1 and natural:
        first = arrange(builder, left, (*left_free, *summed))
        second = arrange(builder, right, (*summed, *right_free))
        return Tensor(builder.emit("matmul", (first, second), shape), labels)
    axes = (
        tuple(left.labels.index(label) for label in summed),
        tuple(right.labels.index(label) for label in summed),
    )
    return Tensor(builder.emit("tensordot", (left.value, right.value), shape, axes), labels)


def _transposes(
    left: Tensor, right: Tensor, left_free: Sequence[int], right_free: Sequence[int], preferred: Sequence[int]
) -> int:
    """How many transposes a matrix product takes with the operands in this order, the result's included."""
    places = {label: place for place, label in enumerate(preferred)}
    first = [places[label] for label in left_free if label in places]
    second = [places[label] for label in right_free if label in places]
    backwards = bool(first) and bool(second) and min(second) < min(first)
    left_turned = left.labels[: len(left_free)] != tuple(left_free)
    right_turned = bool(right_free) and right.labels[-len(right_free) :] != tuple(right_free)
    return int(backwards) + int(left_turned) + int(right_turned)


def _batched(
    builder: Builder,
    left: Tensor,
    right: Tensor,
    batch: Sequence[int],
    summed: Sequence[int],
    left_free: Sequence[int],
    right_free: Sequence[int],
) -> Tensor:
    """Stacked matrix products; groups of several labels are merged into one axis and split again."""
    if not left_free:
        left, right, left_free, right_free = right, left, right_free, left_free
    sizes = dims_by_label(builder, left, right)

    def merged(tensor: Tensor, *groups: Sequence[int]) -> Operand:
        value = arrange(builder, tensor, [*batch, *(label for group in groups for label in group)])
        if all(len(group) <= 1 for group in groups):
            return value
        shape = (
            *(sizes[label] for label in batch),
            *(_product(tuple(sizes[label] for label in group)) for group in groups if group),
        )
        return reshape(builder, value, shape)

    first = merged(left, left_free, summed)
    second = merged(right, summed, right_free)
    front = tuple(sizes[label] for label in batch)
    rows = _product(tuple(sizes[label] for label in left_free))
    columns = _product(tuple(sizes[label] for label in right_free))
    labels = (*batch, *left_free, *right_free)
    if not right_free:
        second = expand(builder, second, (*(0 for _ in (*batch, 0)), 1))
    value: Operand = builder.emit("matmul", (first, second), (*front, rows, columns))
    if not right_free:
        value = builder.emit("element", (value,), (*front, rows), (len(front) + 1, Dim.of(0)))
    if len(left_free) > 1 or len(right_free) > 1:
        value = reshape(builder, value, tuple(sizes[label] for label in labels))
    return Tensor(value, labels)


def contract(
    builder: Builder,
    terms: Sequence[Term],
    path: Sequence[tuple[int, int]],
    output: Sequence[int],
    scale_at: int,
    scaled: Callable[[Tensor], Tensor],
) -> Tensor:
    """Contract terms along a path; the labels of the output remain.

    Parameters
    ----------
    scale_at: the operand to which ``scaled`` is applied, counted as in the path; negative for none.
    scaled: multiplies by the scalar factors.
    """
    operands: list[Term | None] = list(terms)
    remaining: dict[int, int] = {}
    for term in terms:
        for label in set(term.labels):
            remaining[label] = remaining.get(label, 0) + 1
    outputs = frozenset(output)

    def scale_term(term: Term) -> Term:
        return array_term(scaled(explicit(builder, term)))

    if 0 <= scale_at < len(terms):
        operands[scale_at] = scale_term(terms[scale_at])
    for left_number, right_number in path:
        left, right = operands[left_number], operands[right_number]
        assert left is not None
        assert right is not None
        operands[left_number] = operands[right_number] = None
        for term in (left, right):
            for label in set(term.labels):
                remaining[label] -= 1
        both = set(left.labels) | set(right.labels)
        keep = frozenset(label for label in both if label in outputs or remaining[label])
        result = contract_pair(builder, left, right, keep, output)
        if len(operands) == scale_at:
            result = scale_term(result)
        for label in set(result.labels):
            remaining[label] += 1
        operands.append(result)
    last = operands[-1]
    assert last is not None
    return settle(builder, explicit(builder, last), outputs)
