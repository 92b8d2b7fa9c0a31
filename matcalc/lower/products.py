"""How products are taken for arrays of given sizes: in halves where they are symmetric, flat, turned or in parts."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from ..expr.dims import Dim, Shape
from .batching import batch_products
from .elementary import is_ufunc
from .panels import Sizes, shapes_of
from .program import Operand, Program, Statement, use_counts
from .signs import is_truth
from .views import may_be_view, remove_dead_code

LARGE_OUTER = 1 << 14
"""Entries of a product of two vectors from which on a product of matrices takes half the time of an entrywise one."""

LARGE_SLICE = 4096
"""Entries of each of several outer products from which on products of matrices take half the time."""

UNPACKED = 1_000_000
SLOWEST = 4_000_000
PART = 650_000
"""Multiplications up to which a product of matrices is not packed, up to which it gains from being taken in parts of
its rows, and of such a part."""

LONG_PRODUCT = 8_000_000
"""Multiplications of a product from which on the order of its result in memory matters."""

THIN = 32
"""Columns of a matrix for which it does not."""

TINY = 2000
THIN_PACKED = 400_000
"""Multiplications of each product of a stack up to which starting them takes the most time, and from which on they
are packed where they are thin."""

FEWEST_STARTS = 32
"""So many products of a stack take longer to start than their arrays take to get another shape."""

FEWEST_ROWS = 32
"""The fewest rows of a part."""


def quick_products(program: Program) -> Program:
    """The program with each of its products taken as it is quickest."""
    for choose in (batch_products, symmetric_products, outer_products, flat_products, long_rows):
        program = choose(program)
    return program


def symmetric_products(program: Program) -> Program:
    """``X^T diag(d) X`` as one operation, which takes half of the multiplications where d is not negative."""
    if not any(_is_column(statement) for statement in program.statements):
        return program
    counts = use_counts(program)
    definitions = {statement.target: statement for statement in program.statements}

    def origin(operand: Operand, operation: str) -> Statement | None:
        found = definitions.get(operand) if isinstance(operand, int) else None
        return found if found is not None and found.operation == operation else None

    def gram(statement: Statement) -> Statement:
        if statement.operation != "matmul" or len(statement.shape) != 2:
            return statement
        left, right = (origin(operand, "transpose") for operand in statement.operands)
        turned, scaled = (left, statement.operands[1]) if left is not None else (right, statement.operands[0])
        product = origin(scaled, "ufunc")
        if turned is None or product is None or counts[product.target] > 1 or not is_ufunc(product, "np.multiply"):
            return statement
        for one, other in (product.operands, product.operands[::-1]):
            weights = origin(one, "expand")
            if (
                weights is not None
                and weights.parameters == (0, 1)
                and left is not None
                and other == turned.operands[0]
            ):
                return statement._replace(operation="weighted_gram", operands=(other, weights.operands[0]))
        return statement

    return remove_dead_code(program._replace(statements=tuple(gram(statement) for statement in program.statements)))


def _is_column(statement: Statement) -> bool:
    """Whether a statement makes a vector a column."""
    return statement.operation == "expand" and statement.parameters == (0, 1)


def outer_products(program: Program) -> Program:
    """``u v^T`` as a product of matrices, where it is large; of several, ``u_j V_ik``, one for each i."""
    shapes = shapes_of(program)
    truths = {statement.target for statement in program.statements if is_truth(statement)}
    columns = {statement.target for statement in program.statements if _is_column(statement)}

    def outer(statement: Statement) -> Statement:
        if not is_ufunc(statement, "np.multiply") or prod(shapes[statement.target]) < LARGE_OUTER:
            return statement
        for column, row in (statement.operands, statement.operands[::-1]):
            if column in columns and isinstance(row, int) and len(shapes[row]) == 1:
                return statement._replace(operation="outer", operands=(column, row), parameters=())
        for vector, slices in (statement.operands, statement.operands[::-1]):
            if not isinstance(vector, int) or not isinstance(slices, int) or truths & {vector, slices}:
                continue
            if slice_entries(shapes[vector], shapes[slices], shapes[statement.target]) >= LARGE_SLICE:
                return statement._replace(operation="outer_slices", operands=(vector, slices), parameters=())
        return statement

    return program._replace(statements=tuple(outer(statement) for statement in program.statements))


def slice_entries(vector: Sizes, slices: Sizes, result: Sizes) -> int:
    """The entries of an outer product of which an array is several: a vector times one row each; 0 if it is none.

    >>> slice_entries((4, 1, 1), (3, 1, 5, 6), (3, 4, 5, 6))
    120

    Parameters
    ----------
    vector: the shape of the vector, with axes of length 1 behind.
    slices: the shape of the rows, with axes of length 1 where the vector has its own.
    result: the shape of the product.
    """
    before = len(result) - len(vector)
    own = sum(1 for length in vector if length != 1)
    if len(slices) != len(result) or before < 1 or not 0 < own < len(vector):
        return 0
    shape = (*result[:before], *(1,) * own, *result[before + own :])
    if vector != (*result[before : before + own], *(1,) * (len(vector) - own)) or slices != shape:
        return 0
    return prod(result[before:])


def flat_products(program: Program) -> Program:
    """Many products with one matrix as one product, where they are thin, for each of them would pack that matrix."""
    if not any(statement.operation == "matmul" and len(statement.shape) > 2 for statement in program.statements):
        return program
    shapes = shapes_of(program)
    definitions = {statement.target: statement for statement in program.statements}
    fresh = 1 + max(shapes, default=-1)
    statements: list[Statement] = []
    for statement in program.statements:
        left, right = (*statement.operands, None, None)[:2]
        many, one = shapes.get(left, ()), shapes.get(right, ())  # type: ignore[arg-type]
        stacked = statement.operation == "matmul" and len(many) > 2 and len(one) == 2
        if not stacked or not is_quicker_flat(many, one) or not _is_compact(left, definitions):
            statements.append(statement)
            continue
        rows, (length, columns) = Dim.of(prod(many[:-1])), map(Dim.of, one)
        statements += [
            Statement(fresh, "reshape", (left,), (), (rows, length)),  # type: ignore[arg-type]
            Statement(fresh + 1, "matmul", (fresh, right), (), (rows, columns)),  # type: ignore[arg-type]
            statement._replace(operation="reshape", operands=(fresh + 1,), parameters=()),
        ]
        fresh += 2
    return program._replace(statements=tuple(statements))


def is_quicker_flat(many: Sizes, one: Sizes) -> bool:
    """Whether products of a stack of matrices with one are quicker as one product.

    >>> is_quicker_flat((5, 5, 1000), (1000, 1000)), is_quicker_flat((5, 200, 100), (100, 10))
    (True, False)
    >>> is_quicker_flat((1000, 5, 5), (5, 5)), is_quicker_flat((3, 5, 5), (5, 5))
    (True, False)

    Parameters
    ----------
    many, one: the shapes of the stack and of the matrix.
    """
    each = prod(many[-2:]) * one[1]
    if each <= TINY:
        return prod(many[:-2]) >= FEWEST_STARTS
    return each > THIN_PACKED and many[-2] <= THIN


def _is_compact(value: Operand | None, definitions: Mapping[int, Statement]) -> bool:
    """Whether the entries of a value most likely follow each other in memory, in the order of its axes."""
    while value in definitions and definitions[value].operation == "reshape":  # type: ignore[index]
        value = definitions[value].operands[0]  # type: ignore[index]
    return value not in definitions or not may_be_view(definitions[value])  # type: ignore[index]


def long_rows(program: Program) -> Program:
    """Returned products of matrices with more rows than columns as transposes, whose rows in memory are the longer."""
    returned = {s.target for s in program.statements if s.operation == "matmul" and len(s.shape) == 2}
    returned.intersection_update([result for result in program.results if isinstance(result, int)])
    if not returned:
        return program
    counts = use_counts(program)
    shapes = shapes_of(program)
    fresh = 1 + max(shapes, default=-1)
    statements: list[Statement] = []
    for statement in program.statements:
        if statement.target not in returned or counts[statement.target] > 1:
            statements.append(statement)
            continue
        left, right = statement.operands
        rows, columns = shapes[statement.target]
        if rows <= columns or columns <= THIN or rows * columns * shapes[left][-1] < LONG_PRODUCT:  # type: ignore[index]
            statements.append(statement)
            continue
        for number, operand in enumerate((right, left)):
            shape = program_shape(program, operand)[::-1]
            statements.append(Statement(fresh + number, "transpose", (operand,), (1, 0), shape))
        turned = Statement(fresh + 2, "matmul", (fresh, fresh + 1), (), statement.shape[::-1])
        statements += [turned, statement._replace(operation="transpose", operands=(fresh + 2,), parameters=(1, 0))]
        fresh += 3
    return program._replace(statements=tuple(statements))


def row_parts(first: Sizes, second: Sizes, *, turned: bool) -> list[tuple[int, int]]:
    """The parts of its rows in which a product is quicker, from where to where; nothing where it is not.

    >>> row_parts((128, 100), (100, 100), turned=False)
    [(0, 64), (64, 128)]

    Parameters
    ----------
    first, second: the shapes of the factors.
    turned: whether the second factor is a transpose.
    """
    if len(first) != 2 or len(second) != 2 or turned:
        return []
    each = second[0] * second[1]
    rows = PART // max(each, 1)
    if not UNPACKED < first[0] * each <= SLOWEST or rows < FEWEST_ROWS:
        return []
    rows = -(-first[0] // -(-first[0] // rows))
    return [(start, min(start + rows, first[0])) for start in range(0, first[0], rows)]


def program_shape(program: Program, value: Operand) -> Shape:
    """The shape of a value."""
    if isinstance(value, int) and value < len(program.arguments):
        return program.arguments[value].shape
    return next(statement.shape for statement in program.statements if statement.target == value)
