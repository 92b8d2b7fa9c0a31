"""The rows that languages share whose vectors are columns: numbers, vectors and matrices, stored by columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..errors import Unsupported
from ..lower.passes import Pass, fold_signs, inline_expressions, turn_products
from ..lower.program import Operand, Program, Statement
from ..lower.sharing import name_inverses
from ..lower.source import ADD, ATOM, MULTIPLY, Text, inside
from ..lower.views import remove_dead_code
from .writer import Row, Writer, axes_of, core_of, dims, negated


class Words(NamedTuple):
    """How a language writes what matrices are made of; operands are put in brackets where they need them.

    Parameters
    ----------
    turned: the transpose.
    dot: the inner product of vectors.
    total: the sum of the products of all entries of two matrices.
    column: a vector as a matrix with one column.
    sum_all, sum_rows, sum_columns: the sum of all entries, of each row, of each column (as a vector).
    flat: a matrix as a vector, column by column.
    folded: a vector or matrix as a matrix with {1} rows and {2} columns, filled column by column.
    entry, row, column_of: of a vector; of a matrix, as a vector; all counted from 0.
    run, rows, columns: the entries from {1} up to {2} of a vector, of the rows, of the columns of a matrix.
    vector_of, matrix_of: filled with a number {0}; of lengths {1} and {2}.
    repeated: a matrix with one row or column as one with {1} rows and {2} columns.
    """

    turned: str
    dot: str
    total: str
    column: str
    sum_all: str
    sum_rows: str
    sum_columns: str
    flat: str
    folded: str
    entry: str
    row: str
    column_of: str
    run: str
    rows: str
    columns: str
    vector_of: str
    matrix_of: str
    repeated: str


def put(template: str, *texts: Text | str) -> str:
    """A form of words with operands in place."""
    for place, text in enumerate(texts):
        written = text if isinstance(text, str) else inside(text, ATOM)
        template = template.replace(f"{{{place}}}", written)
    return template


def turned(words: Words, writer: Writer, operand: Operand) -> Text:
    """The transpose of a matrix, or a vector as a row; of a transpose, what it was made from."""
    origin = writer.origin(operand, "transpose")
    if origin is not None and origin.target in writer.program.inlined:
        return writer.operand(origin.operands[0])
    return put(words.turned, writer.operand(operand)), ATOM


def spread(words: Words, writer: Writer, operand: Operand, statement: Statement) -> Text:
    """An operand of an entrywise operation: a vector beside a matrix is a row."""
    if writer.order(operand) == 1 and len(statement.shape) == 2:
        return turned(words, writer, operand)
    return writer.operand(operand)


def rows(words: Words) -> Mapping[str, Row]:
    """The rows for statements that move entries, by the words of a language."""

    def transpose(writer: Writer, statement: Statement) -> Text:
        return turned(words, writer, statement.operands[0])

    def expand(writer: Writer, statement: Statement) -> Text:
        (operand,) = statement.operands
        if writer.order(operand) != 1:
            raise _too_many(writer)
        if statement.parameters == (1, 0):
            return turned(words, writer, operand)
        return put(words.column, writer.operand(operand)), ATOM

    def matmul(writer: Writer, statement: Statement) -> Text:
        left, right = statement.operands
        orders = writer.order(left), writer.order(right)
        if orders == (1, 1):
            return dot(writer, statement)
        if orders == (1, 2):
            first, second = turned(words, writer, right), writer.operand(left)
        else:
            first, second = writer.operand(left), writer.operand(right)
        return f"{inside(first, MULTIPLY)} * {inside(second, ATOM)}", MULTIPLY

    def inner(writer: Writer, statement: Statement) -> Text:
        if writer.order(statement.operands[0]) == 1:
            return dot(writer, statement)
        return put(words.total, *(writer.operand(operand) for operand in statement.operands)), ATOM

    def dot(writer: Writer, statement: Statement) -> Text:
        level = MULTIPLY if " * " in words.dot else ATOM
        return put(words.dot, *(writer.operand(operand) for operand in statement.operands)), level

    def sum_(writer: Writer, statement: Statement) -> Text:
        (operand,) = statement.operands
        axes = axes_of(statement.parameters)
        if not axes or len(axes) == writer.order(operand):
            return put(words.sum_all, writer.operand(operand)), ATOM
        return put(words.sum_columns if axes == (0,) else words.sum_rows, writer.operand(operand)), ATOM

    def sliced(writer: Writer, statement: Statement) -> Text:
        axis = statement.parameters[0]
        start, stop = dims(statement)
        form = words.run if len(statement.shape) == 1 else words.columns if axis else words.rows
        length = writer.dim(stop - start)
        first, past = writer.dim_text(start), writer.dim_text(stop)
        return put(form, writer.operand(statement.operands[0]), first, past, length, writer.dim(start, 1)), ATOM

    def element(writer: Writer, statement: Statement) -> Text:
        axis = statement.parameters[0]
        (index,) = dims(statement)
        form = words.entry if not statement.shape else words.column_of if axis else words.row
        return put(form, writer.operand(statement.operands[0]), writer.dim(index), writer.dim(index, 1)), ATOM

    def reshape(writer: Writer, statement: Statement) -> Text:
        # entries are counted by rows here and by columns there
        (operand,) = statement.operands
        source = turned(words, writer, operand) if writer.order(operand) == 2 else writer.operand(operand)
        if len(statement.shape) == 1:
            return put(words.flat, source), ATOM
        count, width = (writer.dim(dim) for dim in statement.shape)
        return put(words.turned, put(words.folded, source, width, count)), ATOM

    def broadcast(writer: Writer, statement: Statement) -> Text:
        (operand,) = statement.operands
        shape = statement.shape
        if not writer.order(operand):
            return constant(writer, writer.operand(operand)[0], statement)
        if len(shape) == 1:
            return put(words.vector_of, put(words.entry, writer.operand(operand), "0", "1"), writer.dim(shape[0])), ATOM
        source = spread(words, writer, operand, statement)
        return put(words.repeated, source, writer.dim(shape[0]), writer.dim(shape[1])), ATOM

    def constant(writer: Writer, value: str, statement: Statement) -> Text:
        lengths = [writer.dim(dim) for dim in statement.shape]
        return put(words.vector_of if len(lengths) == 1 else words.matrix_of, value, *lengths), ATOM

    def full(writer: Writer, statement: Statement) -> Text:
        return constant(writer, writer.operand(statement.operands[0])[0], statement)

    def copy(writer: Writer, statement: Statement) -> Text:
        return writer.operand(statement.operands[0])

    return {
        "negate": negated, "transpose": transpose, "expand": expand, "matmul": matmul, "inner": inner, "sum": sum_,
        "slice": sliced, "element": element, "reshape": reshape, "broadcast": broadcast, "full": full, "copy": copy,
    }  # fmt: skip


def of_vectors(vector: str, by_row: str = "", whole: str = "") -> Row:
    """A function of a vector, of each row of a matrix, or of all entries of a matrix."""

    def write(writer: Writer, statement: Statement) -> Text:
        (operand,) = statement.operands
        order, core = writer.order(operand), core_of(statement, writer)
        if statement.parameters[0] in ("softmax", "log_softmax"):
            core = 1
        form = vector if order == core == 1 else whole if order == core == 2 else by_row if order == 2 else ""
        if not form:
            raise Unsupported(
                f"{statement.parameters[0]} along an axis is not written for {writer.target.title}",
                hint="the NumPy text is in .source",
            )
        return writer.filled(form, statement)

    return write


def of_sizes(form: str, shift: int = 0) -> Row:
    """A form of the sizes among the parameters, after the operands."""

    def write(writer: Writer, statement: Statement) -> Text:
        texts = [writer.operand(operand)[0] for operand in statement.operands]
        sizes = [writer.dim(dim, shift if place == 0 else 0) for place, dim in enumerate(dims(statement))]
        return f"{form}({', '.join([*texts, *sizes])})", ATOM

    return write


def embedded(form: str) -> Row:
    """A run in zeros: a vector, or rows or columns of a matrix."""

    def write(writer: Writer, statement: Statement) -> Text:
        axis = statement.parameters[0]
        offset, size = (writer.dim(dim) for dim in dims(statement))
        text = writer.operand(statement.operands[0])[0]
        kind = "" if len(statement.shape) == 1 else "_columns" if axis else "_rows"
        return f"{form}{kind}({text}, {offset}, {size})", ATOM

    return write


def unit(form: str) -> Row:
    """A unit vector."""

    def write(writer: Writer, statement: Statement) -> Text:
        place, size = dims(statement)
        return f"{form}(1.0, {writer.dim(place, -1)}, {writer.dim(size)})", ATOM

    return write


def plus_diagonal(identity: str, diagonal: str) -> Row:
    """A matrix plus a number or a vector on its diagonal."""

    def write(writer: Writer, statement: Statement) -> Text:
        matrix, values = statement.operands
        size = writer.dim(statement.shape[-1])
        added = (
            put(diagonal, writer.operand(values)[0])
            if writer.order(values)
            else f"{inside(writer.operand(values), MULTIPLY)} * {put(identity, size)}"
        )
        return f"{inside(writer.operand(matrix), ADD)} + {added}", ADD

    return write


def _too_many(writer: Writer) -> Unsupported:
    return Unsupported(
        f"an array with 3 axes is not written for {writer.target.title}",
        hint="the targets jax and torch have arrays with any number of axes",
    )


def named_before_index(program: Program) -> Program:
    """Give a name to what entries are taken from, for some languages index nothing else."""
    indexed = {
        statement.operands[0]
        for statement in program.statements
        if statement.operation in ("slice", "element", "broadcast")
    }
    return program._replace(inlined=program.inlined - {value for value in indexed if isinstance(value, int)})


PASSES: tuple[Pass, ...] = (
    remove_dead_code, turn_products, name_inverses, fold_signs, inline_expressions, named_before_index,
)  # fmt: skip


ALIKE: Mapping[str, Row] = {
    "diagonal": "diag({0})",
    "cross": "cross({0}, {1})",
    "lower_part": "tril({0})",
    "inverse": "inv({0})",
    "unit": unit("one_hot"),
    "one_hot": of_sizes("one_hot"),
    "arange": of_sizes("run_from"),
    "embed": embedded("embed"),
}
"""Statements that the languages write in the same words."""

FUNCTIONS_ALIKE: Mapping[str, Row] = {
    "inv": "inv({0})",
    "det": "det({0})",
    "smooth_det": "det({0})",
    "adj": "adjugate({0})",
    "smooth_adj": "adjugate({0})",
}
"""Functions that they call by the same names."""

ENTRYWISE = (
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "cbrt", "ceil", "cos", "cosh", "elu", "erf", "erfc",
    "exp", "expm1", "floor", "gelu", "huber", "hypot", "leaky_relu", "log", "log10", "log1p", "log2", "normcdf",
    "normpdf", "round", "selu", "sigmoid", "sign", "silu", "sin", "sinh", "softplus", "tan", "tanh",
)  # fmt: skip
"""Functions of numbers that they call by our names."""
