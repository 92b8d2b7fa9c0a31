"""The text of a program for small arrays: one short expression for every step, and numbers that need no conversion.

Where arrays are small, a call takes about as long as its steps are many. The steps are the single ufuncs that a program
consists of, with signs where they cost nothing; each makes a new array, which for a few entries is quicker than to
look after memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .elementary import is_ufunc
from .program import Program, Statement
from .scheduled import FREE_VIEWS, Numbers, Scheduled, function_text, number_or_text, reduction
from .signs import COMPARISONS, is_truth
from .source import ATOM, UNARY, StatementWriter, Text, inside, program_names

SIGNS: Mapping[str, str] = MappingProxyType(
    {
        "np.add": "+",
        "np.subtract": "-",
        "np.multiply": "*",
        "np.divide": "/",
        "np.greater": ">",
        "np.greater_equal": ">=",
        "np.less": "<",
        "np.less_equal": "<=",
        "np.equal": "==",
        "np.not_equal": "!=",
    }
)
"""The operator of a ufunc of two arrays, of which both sides are written as atoms."""


LONGEST_SUM = 1000
"""Numbers up to which their sum is taken as a product with ones, which is quicker; for more it would be less exact."""


def compact(program: Program) -> Scheduled:
    """The text of a program without named sizes, whose entrywise statements are single ufuncs.

    >>> from matcalc.expr.build import add
    >>> from matcalc.expr.dims import Dim
    >>> from matcalc.expr.nodes import Variable
    >>> from matcalc.lower import lower_program
    >>> from matcalc.lower.elementary import elementary
    >>> three = (Dim.of(3),)
    >>> x, y = Variable("x", three), Variable("y", three)
    >>> print(compact(elementary(lower_program([add([(1, x), (2, y)], three)], [x, y]))).read(), end="")
    k0 = 2.0
    <BLANKLINE>
    def f(a0, a1):
        t4 = k0 * a1
        t5 = a0 + t4
        return t5

    Parameters
    ----------
    program: a finished program.
    """
    writer = StatementWriter(program, program_names(program), quick=True)
    numbers = Numbers()
    body: list[str] = []
    for statement in program.statements:
        text = _text(writer, numbers, statement)
        if statement.operation in FREE_VIEWS:
            writer.texts[statement.target] = text
            continue
        name = f"t{statement.target}"
        body.append(f"{name} = {text[0]}")
        writer.texts[statement.target] = (name, ATOM)
    return Scheduled(
        function_text(writer, program, body),
        tuple(sorted(writer.required)),
        numbers=numbers.listed(),
        ones=tuple(sorted(numbers.ones)),
    )


def _text(writer: StatementWriter, numbers: Numbers, statement: Statement) -> Text:
    if is_ufunc(statement):
        return _ufunc(writer, numbers, statement)
    operands = [writer.operand(operand) for operand in statement.operands]
    if statement.operation == "first_column":
        return f"{inside(operands[0], ATOM)}[..., 0]", ATOM
    if statement.operation == "reduce":
        return reduction(writer, statement), ATOM
    if statement.operation == "sum":
        return _sum(writer, numbers, statement) or writer.statement(statement)
    return writer.statement(statement)


def _sum(writer: StatementWriter, numbers: Numbers, statement: Statement) -> Text | None:
    """The sum of a short vector, of the rows or of the columns of a small matrix as a product with ones."""
    (operand,) = statement.operands
    shape = writer.shape_of(operand)
    origin = writer.origin(operand, "ufunc")
    axes = [axis for axis in statement.parameters if isinstance(axis, int)] or list(range(len(shape)))
    truth = origin is None or is_truth(origin)
    if statement.plain or truth or len(axes) != 1 or not 1 <= len(shape) <= 2:
        return None
    length = shape[axes[0]].constant
    if length is None or length > LONGEST_SUM:
        return None
    value, ones = inside(writer.operand(operand), ATOM), numbers.vector(length)
    return (f"{value}.dot({ones})" if axes[0] == len(shape) - 1 else f"{ones}.dot({value})"), ATOM


def _ufunc(writer: StatementWriter, numbers: Numbers, statement: Statement) -> Text:
    name, kind = map(str, statement.parameters)
    operands = [number_or_text(writer, numbers, operand, statement.operands) for operand in statement.operands]
    if name in COMPARISONS and kind == "number":
        writer.needs_dtype = True
        writer.require("np")
        return f"{name}({', '.join(text for text, _ in operands)}).astype(dtype)", ATOM
    if name == "np.negative":
        return f"-{inside(operands[0], UNARY)}", UNARY
    if name == "np.power":
        first, second = (writer.operand(operand) for operand in statement.operands)
        return f"{inside(first, ATOM)} ** {inside(second, ATOM)}", UNARY
    if name in SIGNS:
        return f" {SIGNS[name]} ".join(inside(operand, ATOM) for operand in operands), UNARY
    return writer.call(name, *(text for text, _ in operands))
