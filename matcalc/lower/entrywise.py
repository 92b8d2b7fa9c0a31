"""Entrywise statements on labelled values: axes are matched by label, never by position.

A `Tensor` may lack axes: what it lacks it is constant along. So a number plus a matrix is a matrix plus a number,
and no tensor of ones is ever made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from ..errors import DomainError
from ..expr.dims import Dim, Shape
from ..expr.nodes import Exact
from .program import Builder, Literal, Operand

UNIT = Dim.of(1)


class Tensor(NamedTuple):
    """A value and the label of each of its axes."""

    value: Operand
    labels: tuple[int, ...] = ()


ONE = Tensor(Literal(1.0))


def literal(value: Exact) -> Literal:
    """An exact number as the float that is written into the program.

    >>> from fractions import Fraction
    >>> literal(Fraction(1, 2))
    Literal(value=0.5)

    Raises
    ------
    DomainError: the number is beyond the range of floats.
    """
    try:
        number = float(value)
    except OverflowError:
        raise DomainError("a coefficient is too large for floating-point numbers") from None
    return Literal(number)


def magnitude(value: Exact) -> Exact:
    """The absolute value of an exact number."""
    return value if value >= 0 else -value


def dims_by_label(builder: Builder, *tensors: Tensor) -> dict[int, Dim]:
    """The size of every label that the tensors carry."""
    sizes: dict[int, Dim] = {}
    for tensor in tensors:
        sizes.update(zip(tensor.labels, builder.shape(tensor.value), strict=True))
    return sizes


def permute(builder: Builder, value: Operand, axes: Sequence[int]) -> Operand:
    """Axis k of the result is axis ``axes[k]`` of the value; two in a row become one."""
    order = tuple(axes)
    if order == tuple(range(len(order))) or (order == (1, 0) and value in builder.symmetric):
        return value
    statement = builder.statement(value)
    if statement is not None and statement.operation == "transpose":
        inner = statement.parameters
        return permute(builder, statement.operands[0], tuple(_integer(inner[axis]) for axis in order))
    shape = builder.shape(value)
    return builder.emit("transpose", (value,), tuple(shape[axis] for axis in order), order)


def _integer(parameter: object) -> int:
    assert isinstance(parameter, int)
    return parameter


def arrange(builder: Builder, tensor: Tensor, labels: Sequence[int]) -> Operand:
    """The value with its axes in the order of the labels, which are the ones it has."""
    if tensor.labels == tuple(labels):
        return tensor.value
    return permute(builder, tensor.value, [tensor.labels.index(label) for label in labels])


def align(builder: Builder, tensor: Tensor, labels: Sequence[int]) -> Operand:
    """The value ready to be combined entrywise with one whose axes are ``labels``.

    Axes it lacks get length 1, except in front, where NumPy supplies them.
    """
    if tensor.labels == labels:
        return tensor.value
    own = [label for label in labels if label in tensor.labels]
    value = arrange(builder, tensor, own)
    if not own:
        return value
    wanted = labels[labels.index(own[0]) :]
    pattern = tuple(int(label not in tensor.labels) for label in wanted)
    return expand(builder, value, pattern)


def expand(builder: Builder, value: Operand, pattern: tuple[int, ...]) -> Operand:
    """Insert an axis of length 1 wherever the pattern has a 1."""
    if not any(pattern):
        return value
    remaining = iter(builder.shape(value))
    shape = tuple(UNIT if new else next(remaining) for new in pattern)
    return builder.emit("expand", (value,), shape, pattern)


def reshape(builder: Builder, value: Operand, shape: Shape) -> Operand:
    """The entries in another shape, in the order of memory; two in a row become one."""
    statement = builder.statement(value)
    while statement is not None and statement.operation == "reshape":
        value = statement.operands[0]
        statement = builder.statement(value)
    if builder.shape(value) == shape:
        return value
    return builder.emit("reshape", (value,), shape)


def combined_labels(*tensors: Tensor, preferred: Sequence[int] = ()) -> tuple[int, ...]:
    """The order of axes for an entrywise result: that of an operand which has them all, else the preferred one."""
    union: dict[int, None] = {}
    for tensor in tensors:
        union.update(dict.fromkeys(tensor.labels))
    if all(len(tensor.labels) in (0, len(union)) for tensor in tensors):
        orders = {tensor.labels for tensor in tensors if tensor.labels}
        if len(orders) == 1:
            return orders.pop()
    first = [label for label in preferred if label in union]
    wanted = (*first, *sorted(label for label in union if label not in first))
    whole = [tensor.labels for tensor in tensors if len(tensor.labels) == len(union)]
    return wanted if wanted in whole or not whole else whole[0]


def combine(builder: Builder, operation: str, left: Tensor, right: Tensor, preferred: Sequence[int] = ()) -> Tensor:
    """An entrywise operation of two values, broadcast by label."""
    labels = combined_labels(left, right, preferred=preferred)
    if operation == "multiply" and len(left.labels) > len(right.labels):
        # what scales is written before what is scaled
        left, right = right, left
    sizes = dims_by_label(builder, left, right)
    shape = tuple(sizes[label] for label in labels)
    value = binary(builder, operation, align(builder, left, labels), align(builder, right, labels), shape)
    return Tensor(value, labels)


def binary(builder: Builder, operation: str, left: Operand, right: Operand, shape: Shape = ()) -> Operand:
    """An arithmetic operation, with numbers folded and neutral elements left out."""
    a = left.value if isinstance(left, Literal) else None
    b = right.value if isinstance(right, Literal) else None
    if a is not None and b is not None:
        folded = _folded(operation, a, b)
        if folded is not None:
            return folded
    if operation == "multiply":
        if a == 1:
            return right
        if b == 1:
            return left
        if a == -1:
            return builder.emit("negate", (right,), shape)
        if b == -1:
            return builder.emit("negate", (left,), shape)
        if not builder.shape(right) and (builder.shape(left) or b is not None):
            # scalars are written first, and of scalars the number
            left, right = right, left
    elif operation == "divide":
        if b == 1:
            return left
        if b == -1:
            return builder.emit("negate", (left,), shape)
    elif operation == "add":
        if a == 0:
            return right
        if b == 0:
            return left
    elif operation == "subtract":
        if a == 0:
            return builder.emit("negate", (right,), shape)
        if b == 0:
            return left
    return builder.emit(operation, (left, right), shape)


def _folded(operation: str, a: float, b: float) -> Literal | None:
    if operation == "add":
        return Literal(a + b)
    if operation == "subtract":
        return Literal(a - b)
    if operation == "multiply":
        return Literal(a * b)
    if operation == "divide" and b:
        return Literal(a / b)
    return None


def scale(builder: Builder, coefficient: Exact, tensor: Tensor) -> Tensor:
    """A number times a value; a divisor is written as one where that is exact and the factor is not."""
    if coefficient == 1:
        return tensor
    fraction = Fraction(coefficient)
    shape = builder.shape(tensor.value)
    if abs(fraction.numerator) == 1 and fraction.denominator & (fraction.denominator - 1):
        value = binary(builder, "divide", tensor.value, literal(fraction.denominator * fraction.numerator), shape)
    else:
        value = binary(builder, "multiply", literal(coefficient), tensor.value, shape)
    return Tensor(value, tensor.labels)


def raised(builder: Builder, tensor: Tensor, exponent: Exact) -> Tensor:
    """The entrywise power for a positive exponent."""
    value = tensor.value
    if exponent == 1:
        return tensor
    if isinstance(value, Literal):
        return Tensor(_literal_power(value.value, exponent))
    shape = builder.shape(value)
    if exponent == 2:
        return Tensor(builder.emit("square", (value,), shape), tensor.labels)
    if exponent == 3:
        square = builder.emit("square", (value,), shape)
        return Tensor(builder.emit("multiply", (square, value), shape), tensor.labels)
    if exponent == 4:
        square = builder.emit("square", (value,), shape)
        return Tensor(builder.emit("square", (square,), shape), tensor.labels)
    if exponent == Fraction(1, 2):
        return Tensor(builder.emit("sqrt", (value,), shape), tensor.labels)
    power = Literal(exponent) if isinstance(exponent, int) else literal(exponent)
    return Tensor(builder.emit("power", (value, power), shape), tensor.labels)


def _literal_power(base: float, exponent: Exact) -> Literal:
    if base < 0 and not isinstance(exponent, int):
        return Literal(math.nan)
    try:
        return Literal(base ** (exponent if isinstance(exponent, int) else float(exponent)))
    except OverflowError:
        return Literal(math.inf)


def reciprocal(builder: Builder, tensor: Tensor) -> Tensor:
    """One over a value."""
    return Tensor(binary(builder, "divide", Literal(1.0), tensor.value, builder.shape(tensor.value)), tensor.labels)


def total(builder: Builder, tensor: Tensor, dropped: frozenset[int]) -> Tensor:
    """Sum over the labels that are dropped."""
    axes = tuple(axis for axis, label in enumerate(tensor.labels) if label in dropped)
    if not axes:
        return tensor
    shape = builder.shape(tensor.value)
    kept = tuple(axis for axis in range(len(shape)) if axis not in axes)
    statement = builder.statement(tensor.value)
    if statement is not None and statement.operation == "transpose" and not kept:
        tensor = Tensor(statement.operands[0], tensor.labels)
    value = builder.emit("sum", (tensor.value,), tuple(shape[axis] for axis in kept), () if not kept else axes)
    return Tensor(value, tuple(tensor.labels[axis] for axis in kept))


def settle(builder: Builder, tensor: Tensor, keep: frozenset[int]) -> Tensor:
    """Bring a value to distinct labels, all of them kept: diagonals for repeated labels, sums for the others."""
    while len(set(tensor.labels)) < len(tensor.labels):
        label = next(label for label in tensor.labels if tensor.labels.count(label) > 1)
        first = tensor.labels.index(label)
        second = tensor.labels.index(label, first + 1)
        shape = builder.shape(tensor.value)
        rest = [axis for axis in range(len(shape)) if axis not in (first, second)]
        if len(tensor.labels) == 2 and label not in keep:
            return Tensor(builder.emit("trace", (tensor.value,), ()))
        tensor = Tensor(
            builder.emit("diagonal", (tensor.value,), (*(shape[axis] for axis in rest), shape[first]), (first, second)),
            (*(tensor.labels[axis] for axis in rest), label),
        )
    return tensor if keep.issuperset(tensor.labels) else total(builder, tensor, frozenset(tensor.labels) - keep)
