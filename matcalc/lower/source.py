"""NumPy source for a program: a text to read in the user's names, and the same statements spelled for speed to run."""

# Importing pathlib takes as long as all the rest of a parse:
# ruff: noqa: PTH100, PTH118, PTH120
from __future__ import annotations

import keyword
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from typing import NamedTuple

from ..expr.dims import Dim, Shape
from ..syntax.grammar_file import read_data
from ..syntax.greek import spell
from .overwriting import OVERWRITE
from .program import Literal, Operand, Parameter, Program, Size, Statement, dims_of

ADD, MULTIPLY, UNARY, POWER, ATOM = range(1, 6)
LOOSE = 0

Text = tuple[str, int]
"""An expression and how tightly it binds."""


class Names(NamedTuple):
    """How values are called in a text: the arguments, the named sizes, the prefix of everything else."""

    arguments: tuple[str, ...]
    sizes: Mapping[str, str]
    prefix: str


class Source(NamedTuple):
    """The text of a function and the names from outside that it uses."""

    text: str
    required: tuple[str, ...]


MODULES = {
    "np": "import numpy as np",
    "linalg": "from scipy import linalg",
    "special": "from scipy import special",
}
KERNELS = (
    "workspace",
    "threads",
    "arrays",
    "runtime",
    "triangles",
    "factorizations",
    "runtime_special",
    "runtime_scipy",
)
"""Modules beside this one whose functions generated code may call."""

BUILTINS = ("float", "min", "range", "slice")

SHORTCUTS = ("add_reduce",)
"""Names that only the text that runs uses, for what NumPy reaches in several steps."""

_IDENTIFIER = re.compile(r"(?<![\w.])[A-Za-z_]\w*")
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def program_names(program: Program) -> Names:
    """Names made by counting; no text of the user is in them."""
    return Names(
        tuple(f"a{k}" for k in range(len(program.arguments))),
        {size.name: f"n{k}" for k, size in enumerate(program.sizes)},
        "t",
    )


def user_names(program: Program) -> Names:
    """The user's names where they are Python names, and something close to them elsewhere.

    ``lambda`` becomes ``lambda_``; a name that is taken, or that the text needs for itself, gets an underscore too.
    """
    taken: set[str] = {*MODULES, *BUILTINS, "dtype", *kernel_modules()}

    def free(name: str, fallback: str) -> str:
        name = spell(name)
        if not _PLAIN_NAME.fullmatch(name):
            name = fallback
        while name in taken or keyword.iskeyword(name) or keyword.issoftkeyword(name):
            name += "_"
        taken.add(name)
        return name

    arguments = tuple(free(argument.name, f"a{k}") for k, argument in enumerate(program.arguments))
    sizes = {size.name: free(size.name, f"n{k}") for k, size in enumerate(program.sizes)}
    prefix = "t"
    while any(re.fullmatch(rf"{prefix}\d+", name) for name in taken):
        prefix += "_"
    return Names(arguments, sizes, prefix)


def function_source(program: Program) -> Source:
    """The text to run: names made by counting, and each statement in the spelling that takes the least time."""
    return StatementWriter(program, program_names(program), quick=True).function("f")


def module_source(program: Program, function: str = "f") -> str:
    """A module in the user's names: the imports and the function.

    >>> from matcalc.expr.build import einsum
    >>> from matcalc.expr.dims import Dim
    >>> from matcalc.expr.nodes import Variable
    >>> from matcalc.lower import numpy_source
    >>> n = Dim.of("n")
    >>> A, x = Variable("A", (n, n)), Variable("x", (n,))
    >>> print(numpy_source([einsum("i,ij,j->", x, A, x)], [A, x]), end="")
    def f(A, x):
        return x @ (A @ x)
    """
    source = StatementWriter(program, user_names(program), quick=False).function(function)
    lines = [MODULES[name] for name in ("np", "linalg", "special") if name in source.required]
    lines = sorted(lines, key=lambda line: line.startswith("from"))
    by_module: dict[str, list[str]] = {}
    homes = kernel_modules()
    for name in source.required:
        if name in homes:
            by_module.setdefault(homes[name], []).append(name)
    for module in KERNELS:
        if module in by_module:
            lines.append(f"from matcalc.lower.{module} import {', '.join(sorted(by_module[module]))}")
    head = "".join(f"{line}\n" for line in lines)
    return f"{head}\n\n{source.text}" if head else source.text


@cache
def kernel_modules() -> Mapping[str, str]:
    """The module of every kernel, read from its text so that nothing is imported."""
    found: dict[str, str] = {}
    folder = os.path.dirname(os.path.abspath(__file__))
    for module in KERNELS:
        text = read_data(os.path.join(folder, f"{module}.py")).decode("utf-8")
        for name in re.findall(r"^def ([a-z]\w*)\(", text, re.MULTILINE):
            found.setdefault(name, module)
    return found


class StatementWriter:
    """Writes the text of one program."""

    def __init__(self, program: Program, names: Names, *, quick: bool) -> None:
        self.program = program
        self.names = names
        self.quick = quick
        self.values = {statement.target: statement for statement in program.statements}
        self.texts: dict[int, Text] = {k: (name, ATOM) for k, name in enumerate(names.arguments)}
        self.required: dict[str, None] = {}
        self.needs_dtype = False

    # --- the function -----------------------------------------------------------------------------

    def function(self, name: str) -> Source:
        program = self.program
        body: list[str] = []
        count = 0
        for statement in program.statements:
            text = self.statement(statement)
            if statement.target in program.inlined:
                self.texts[statement.target] = text
                continue
            count += 1
            target = f"{self.names.prefix}{count}"
            body.append(f"{target} = {text[0]}")
            self.texts[statement.target] = (target, ATOM)
        results = [self.operand(result)[0] for result in program.results]
        if len(results) == 1:
            body.append(f"return {results[0]}")
            if len(body) > 1 and body[-2].startswith(f"{results[0]} = "):
                body[-2:] = [f"return {body[-2].partition(' = ')[2]}"]
        else:
            body.append(f"return ({', '.join(results)})")
        head: list[str] = []
        if self.needs_dtype:
            head.append(f"dtype = {self.dtype()}")
        used = {name for statement in program.statements for dim in dims_of(statement) for name in dim.names}
        used |= {name for result in program.results if isinstance(result, Dim) for name in result.names}
        used |= {name for statement in program.statements for name in self.shape_names(statement)}
        for size in reversed(program.sizes):
            if size.name in used:
                used.update(name for dim in (size.dim, *size.smaller) for name in dim.names)
        passed: list[str] = []
        for size in program.sizes:
            if size.name not in used:
                continue
            if size.argument == -1:
                passed.append(self.names.sizes[size.name])
            else:
                head.append(f"{self.names.sizes[size.name]} = {self.size(size)}")
        parameters = ", ".join([*self.names.arguments, *(["*", *passed] if passed else [])])
        lines = [f"def {name}({parameters}):", *(f"    {line}" for line in (*head, *body))]
        return Source("\n".join(lines) + "\n", tuple(sorted(self.required)))

    def dtype(self) -> str:
        """The working type: that of an array argument, which all arguments share."""
        for name, argument in zip(self.names.arguments, self.program.arguments, strict=True):
            if argument.shape:
                return f"{name}.dtype"
        if not self.names.arguments:
            self.require("float")
            return "float"
        self.require("np")
        return f"np.result_type({', '.join(self.names.arguments)})"

    def size(self, size: Size) -> str:
        """The expression that finds a size."""
        if size.argument == -2:
            self.require("min")
            return f"min({', '.join(self.dim(dim) for dim in size.smaller)})"
        length = f"{self.names.arguments[size.argument]}.shape[{size.axis}]"
        if size.dim.name is not None:
            return length
        divisor = math.lcm(*(coefficient.denominator for _, coefficient in size.dim.terms))
        coefficients: dict[int, Dim] = {}
        for monomial, coefficient in size.dim.terms:
            power = dict(monomial).get(size.name, 0)
            rest = Dim({tuple(part for part in monomial if part[0] != size.name): coefficient * divisor})
            coefficients[power] = coefficients.get(power, Dim.of(0)) + rest
        if set(coefficients) <= {0, 1}:
            constant = coefficients.get(0, Dim.of(0)) * Fraction(-1)
            top: Text = (length, ATOM) if divisor == 1 else (f"{divisor} * {length}", MULTIPLY)
            if constant != Dim.of(0):
                negative = constant.constant is not None and constant.constant < 0
                shift = constant * Fraction(-1) if negative else constant
                top = (f"{top[0]} {'-' if negative else '+'} {inside(self.dim_text(shift), MULTIPLY)}", ADD)
            if coefficients[1] == Dim.of(1):
                return top[0]
            return f"{inside(top, MULTIPLY)} // {inside(self.dim_text(coefficients[1]), UNARY)}"
        self.require("polynomial_root")
        parts = [self.dim(coefficients.get(power, Dim.of(0))) for power in range(max(coefficients) + 1)]
        return f"polynomial_root({length}, ({', '.join(parts)}), {divisor})"

    def shape_names(self, statement: Statement) -> Iterable[str]:
        if statement.operation not in ("reshape", "broadcast", "full", "embed_diagonal", "scatter_half"):
            return []
        return [name for dim in statement.shape for name in dim.names]

    def require(self, *names: str) -> None:
        self.required.update(dict.fromkeys(names))

    # --- operands ---------------------------------------------------------------------------------

    def operand(self, operand: Operand) -> Text:
        if isinstance(operand, Literal):
            return self.literal(operand.value)
        if isinstance(operand, Dim):
            return self.dim_text(operand)
        return self.texts[operand]

    def literal(self, value: float) -> Text:
        for known, name in ((math.pi, "np.pi"), (math.e, "np.e"), (math.inf, "np.inf"), (-math.inf, "-np.inf")):
            if value == known:
                self.require("np")
                return name, ATOM if value > 0 else UNARY
        if math.isnan(value):
            self.require("np")
            return "np.nan", ATOM
        return repr(value), ATOM if value >= 0 else UNARY

    def dim(self, dim: Dim) -> str:
        return self.dim_text(dim)[0]

    def dim_text(self, dim: Dim) -> Text:
        """A size as an integer expression."""
        return size_text(dim, self.names.sizes)

    def shape(self, shape: Sequence[Dim]) -> str:
        if len(shape) == 1:
            return self.dim(shape[0])
        return f"({', '.join(self.dim(dim) for dim in shape)})"

    # --- statements -------------------------------------------------------------------------------

    def statement(self, statement: Statement) -> Text:
        operands = [self.operand(operand) for operand in statement.operands]
        write = _WRITERS.get(statement.operation)
        assert write is not None, f"no text for {statement.operation}"
        if self.quick and not statement.plain:
            write = _QUICK.get(statement.operation, write)
        return write(self, statement, operands)

    def order(self, operand: Operand) -> int:
        """How many axes an operand has."""
        return len(self.shape_of(operand))

    def shape_of(self, operand: Operand) -> Shape:
        """The shape of an operand; a number has none."""
        if not isinstance(operand, int):
            return ()
        value = self.values.get(operand)
        return self.program.arguments[operand].shape if value is None else value.shape

    def origin(self, operand: Operand, operation: str) -> Statement | None:
        """The statement that computes an operand, if it is of an operation."""
        value = self.values.get(operand) if isinstance(operand, int) else None
        return value if value is not None and value.operation == operation else None

    def call(self, function: str, *arguments: str) -> Text:
        """A call of a function, which is noted as needed."""
        self.require(function.partition(".")[0])
        return f"{function}({', '.join(arguments)})", ATOM

    def with_dtype(self) -> str:
        self.needs_dtype = True
        return "dtype=dtype"

    def template(self, statement: Statement, operands: Sequence[Text]) -> Text:
        """An operation's own NumPy form with its operands in place."""
        template = statement.parameters[1]
        assert isinstance(template, str)
        return self.filled(template, statement, operands)

    def filled(self, template: str, statement: Statement, operands: Sequence[Text]) -> Text:
        """A form with the operands in place."""
        self.require(*(name for name in _IDENTIFIER.findall(_without_keywords(template)) if name in _known_names()))
        pieces: list[str] = []
        last = 0
        for match in re.finditer(r"\{(\d+)\}", template):
            before, after = template[: match.start()].rstrip(), template[match.end() :].lstrip()
            alone = before.endswith(("(", ",")) and after.startswith((")", ","))
            text, level = operands[int(match.group(1))]
            pieces += [template[last : match.start()], text if alone or level == ATOM else f"({text})"]
            last = match.end()
        pieces.append(template[last:])
        text = "".join(pieces)
        result: Text = (text, ATOM if _is_atom(template) else LOOSE)
        return self.as_number(statement, result)

    def as_number(self, statement: Statement, text: Text) -> Text:
        """NumPy's functions of Python numbers give float64 scalars, which would widen float32 arrays."""
        if not statement.plain:
            return text
        return self.call("float", text[0])


def _without_keywords(template: str) -> str:
    """The template without the names of keyword arguments."""
    return re.sub(r"\b[A-Za-z_]\w*(?=\s*=[^=])", "", template)


@cache
def _known_names() -> frozenset[str]:
    return frozenset({*MODULES, *BUILTINS, *kernel_modules()})


def _is_atom(template: str) -> bool:
    """Whether a template is a call, perhaps with an index behind it."""
    if not re.match(r"[A-Za-z_][\w.]*\(", template):
        return False
    depth = 0
    for place, character in enumerate(template):
        if character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif depth == 0 and not (character.isalnum() or character in "._"):
            return False
        if depth < 0 or (depth == 0 and character == ")" and template[place + 1 : place + 2] not in ("", "[", ".")):
            return False
    return depth == 0


def inside(text: Text, level: int) -> str:
    """The text, in brackets when it binds less tightly than the level."""
    return text[0] if text[1] >= level else f"({text[0]})"


def size_text(dim: Dim, names: Mapping[str, str], power: str = "{0}**{1}", quotient: str = "{0} // {1}") -> Text:
    """A size as an integer expression and how tightly it binds.

    >>> size_text(Dim.of("n") * Dim.of("n") - 1, {"n": "n0"})[0]
    'n0**2 - 1'

    Parameters
    ----------
    names: what each named size is called.
    power, quotient: how the language writes them; without a power, a product.
    """
    constant = dim.constant
    if constant is not None:
        return str(constant), ATOM if constant >= 0 else UNARY
    divisor = math.lcm(*(coefficient.denominator for _, coefficient in dim.terms))
    pieces: list[str] = []
    for monomial, coefficient in dim.terms:
        whole = int(coefficient * divisor)
        factors: list[str] = []
        for name, exponent in monomial:
            raised = exponent > 1 and bool(power)
            factors += [power.format(names[name], exponent)] if raised else [names[name]] * exponent
        if abs(whole) != 1 or not factors:
            factors.insert(0, str(abs(whole)))
        text = " * ".join(factors)
        if pieces:
            pieces.append(f" {'-' if whole < 0 else '+'} {text}")
        else:
            pieces.append(f"-{text}" if whole < 0 else text)
    text = "".join(pieces)
    level = ADD if len(pieces) > 1 else UNARY if text.startswith("-") else MULTIPLY if " * " in text else POWER
    if text.isidentifier():
        level = ATOM
    if divisor == 1:
        return text, level
    return quotient.format(inside((text, level), MULTIPLY), divisor), MULTIPLY


Write = Callable[[StatementWriter, Statement, Sequence[Text]], Text]


def _binary(sign: str, level: int) -> Write:
    def write(_writer: StatementWriter, _statement: Statement, operands: Sequence[Text]) -> Text:
        left, right = operands
        return f"{inside(left, level)} {sign} {inside(right, level + 1)}", level

    return write


def _negate(_writer: StatementWriter, _statement: Statement, operands: Sequence[Text]) -> Text:
    return f"-{inside(operands[0], UNARY)}", UNARY


def _square(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    text, level = operands[0]
    if level == ATOM and text.isidentifier():
        return f"{text} * {text}", MULTIPLY
    if statement.plain:
        return f"{inside(operands[0], ATOM)} ** 2", POWER
    return writer.call("np.square", text)


def _sqrt(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    return writer.as_number(statement, writer.call("np.sqrt", operands[0][0]))


def _power(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    if statement.plain:
        return writer.as_number(statement, writer.call("np.power", operands[0][0], operands[1][0]))
    return f"{inside(operands[0], ATOM)} ** {inside(operands[1], UNARY)}", POWER


def _transpose(_writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    axes = statement.parameters
    value = inside(operands[0], ATOM)
    if axes == tuple(reversed(range(len(axes)))):
        return f"{value}.T", ATOM
    return f"{value}.transpose({', '.join(map(str, axes))})", ATOM


def _expand(_writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    pattern = ["None" if new else ":" for new in statement.parameters]
    while len(pattern) > 1 and pattern[-1] == ":" and "None" in pattern[:-1]:
        pattern.pop()
    return f"{inside(operands[0], ATOM)}[{', '.join(pattern)}]", ATOM


def _axis(axes: Sequence[Parameter]) -> str:
    return f"axis={axes[0]}" if len(axes) == 1 else f"axis=({', '.join(map(str, axes))})"


def _sum(_writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    axes = statement.parameters
    return f"{inside(operands[0], ATOM)}.sum({_axis(axes) if axes else ''})", ATOM


def _diagonal(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    first, second = statement.parameters
    if len(statement.shape) == 1:
        return writer.call("np.diagonal", operands[0][0])
    return writer.call("np.diagonal", operands[0][0], f"axis1={first}", f"axis2={second}")


def _slice(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    axis, start, stop = statement.parameters
    assert isinstance(axis, int)
    assert isinstance(start, Dim)
    assert isinstance(stop, Dim)
    first = "" if start == Dim.of(0) else writer.dim(start)
    return f"{inside(operands[0], ATOM)}[{':, ' * axis}{first}:{writer.dim(stop)}]", ATOM


def _element(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    axis, index = statement.parameters
    assert isinstance(axis, int)
    assert isinstance(index, Dim)
    rest = len(statement.shape) - axis
    if axis > 1 and rest == 0:
        return f"{inside(operands[0], ATOM)}[..., {writer.dim(index)}]", ATOM
    return f"{inside(operands[0], ATOM)}[{':, ' * axis}{writer.dim(index)}]", ATOM


def _reshape(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    value = inside(operands[0], ATOM)
    if len(statement.shape) == 1:
        return f"{value}.reshape(-1)", ATOM
    return f"{value}.reshape({', '.join(writer.dim(dim) for dim in statement.shape)})", ATOM


def _broadcast(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    return writer.call("np.broadcast_to", operands[0][0], writer.shape(statement.shape))


def _full(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    value = statement.operands[0]
    shape = writer.shape(statement.shape)
    if value == Literal(0.0):
        return writer.call("np.zeros", shape, writer.with_dtype())
    if value == Literal(1.0):
        return writer.call("np.ones", shape, writer.with_dtype())
    return writer.call("np.full", shape, operands[0][0], writer.with_dtype())


def _copy(_writer: StatementWriter, _statement: Statement, operands: Sequence[Text]) -> Text:
    return f"{inside(operands[0], ATOM)}.copy()", ATOM


def _function(name: str) -> Write:
    """A call with the operands alone."""

    def write(writer: StatementWriter, _statement: Statement, operands: Sequence[Text]) -> Text:
        return writer.call(name, *(text for text, _ in operands))

    return write


def _tensordot(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    left, right = statement.parameters
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    axes = f"axes=({list(left)}, {list(right)})"
    return writer.call("np.tensordot", operands[0][0], operands[1][0], axes)


def _constant(name: str) -> Write:
    """A constant array made from its sizes and the working type."""

    def write(writer: StatementWriter, statement: Statement, _operands: Sequence[Text]) -> Text:
        sizes = [writer.dim(dim) for dim in statement.parameters if isinstance(dim, Dim)]
        return writer.call(name, *sizes, writer.with_dtype())

    return write


def _shifted_eye(writer: StatementWriter, statement: Statement, _operands: Sequence[Text]) -> Text:
    length, size, offset = (writer.dim(dim) for dim in statement.parameters if isinstance(dim, Dim))
    return writer.call("np.eye", length, size, *([] if offset == "0" else [offset]), writer.with_dtype())


def _unit(writer: StatementWriter, statement: Statement, _operands: Sequence[Text]) -> Text:
    place, size = statement.parameters
    assert isinstance(place, Dim)
    assert isinstance(size, Dim)
    writer.needs_dtype = True
    return writer.call("one_hot", "1.0", writer.dim(place - 1), writer.dim(size), "dtype")


def _one_hot(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    place, size = statement.parameters
    assert isinstance(place, Dim)
    assert isinstance(size, Dim)
    writer.needs_dtype = True
    return writer.call("one_hot", operands[0][0], writer.dim(place), writer.dim(size), "dtype")


def _arange(writer: StatementWriter, statement: Statement, _operands: Sequence[Text]) -> Text:
    start, size = statement.parameters
    assert isinstance(start, Dim)
    assert isinstance(size, Dim)
    if start == Dim.of(0):
        return writer.call("np.arange", writer.dim(size), writer.with_dtype())
    return writer.call("np.arange", writer.dim(start), writer.dim(start + size), writer.with_dtype())


def _cumulative_sum(_writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    axis, backward = statement.parameters
    assert isinstance(axis, int)
    value = inside(operands[0], ATOM)
    argument = f"axis={axis}" if len(statement.shape) > 1 else ""
    if not backward:
        return f"{value}.cumsum({argument})", ATOM
    flip = f"[{':, ' * axis}::-1]"
    return f"{value}{flip}.cumsum({argument}){flip}", ATOM


def _embed(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    axis, offset, size = statement.parameters
    assert isinstance(offset, Dim)
    assert isinstance(size, Dim)
    return writer.call("embed", operands[0][0], str(axis), writer.dim(offset), writer.dim(size))


def _embed_diagonal(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    size = statement.parameters[0]
    assert isinstance(size, Dim)
    return writer.call("embed_diagonal", operands[0][0], writer.dim(size))


def _scatter_half(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    size = statement.parameters[0]
    assert isinstance(size, Dim)
    return writer.call("scatter_half", operands[0][0], writer.dim(size))


def _in_place(name: str) -> Write:
    """A call with the operands, which says whether the first one may be overwritten."""

    def write(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
        lost = ["overwrite=True"] if statement.parameters[-1:] == (OVERWRITE,) else []
        return writer.call(name, *(text for text, _ in operands), *lost)

    return write


def _of_kind(name: str) -> Write:
    """A call of the function for the kind of matrix, which says whether the matrix may be overwritten."""

    def write(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
        kind = statement.parameters[0]
        return _in_place(f"{name}_{kind}" if kind else name)(writer, statement, operands)

    return write


def _solve_factorized(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    suffix = "_transposed" if statement.parameters[0] else ""
    return _in_place(f"solve_factorized{suffix}")(writer, statement, operands)


_WRITERS: Mapping[str, Write] = {
    "add": _binary("+", ADD),
    "subtract": _binary("-", ADD),
    "multiply": _binary("*", MULTIPLY),
    "divide": _binary("/", MULTIPLY),
    "matmul": _binary("@", MULTIPLY),
    "negate": _negate,
    "square": _square,
    "sqrt": _sqrt,
    "power": _power,
    "map": StatementWriter.template,
    "call": StatementWriter.template,
    "transpose": _transpose,
    "expand": _expand,
    "sum": _sum,
    "trace": _function("np.trace"),
    "diagonal": _diagonal,
    "slice": _slice,
    "element": _element,
    "reshape": _reshape,
    "broadcast": _broadcast,
    "full": _full,
    "copy": _copy,
    "inner": _function("np.vdot"),
    "tensordot": _tensordot,
    "cross": _function("np.cross"),
    "lower_part": _function("np.tril"),
    "cumulative_sum": _cumulative_sum,
    "solve": _function("solve"),
    "solve_symmetric": _function("solve_symmetric"),
    "solve_spd": _function("solve_spd"),
    "solve_lower": _function("solve_lower"),
    "solve_upper": _function("solve_upper"),
    "solve_diagonal": _function("solve_diagonal"),
    "factorize": _of_kind("factorize"),
    "solve_factorized": _solve_factorized,
    "inverse": _of_kind("inverse"),
    "inverse_factorized": _in_place("inverse_factorized"),
    "inverse_triangle": _in_place("inverse_triangle"),
    "determinant_factorized": _function("det_factorized"),
    "log_determinant_factorized": _function("logdet_factorized"),
    "triangle_times": _function("triangle_times"),
    "triangle_update": _in_place("triangle_update"),
    "triangle_inner": _function("triangle_inner"),
    "mirrored": _in_place("mirrored"),
    "eye": _constant("np.eye"),
    "triangle": _constant("np.tri"),
    "shifted_eye": _shifted_eye,
    "unit": _unit,
    "one_hot": _one_hot,
    "arange": _arange,
    "pairs": _constant("pairs"),
    "half_pairs": _constant("half_pairs"),
    "levi_civita": _constant("levi_civita"),
    "gather_half": _function("gather_half"),
    "gather_rows": _function("gather_rows"),
    "gather_columns": _function("gather_columns"),
    "scatter_half": _scatter_half,
    "embed": _embed,
    "embed_diagonal": _embed_diagonal,
    "add_diagonal": _in_place("add_diagonal"),
}


# --- the text that runs ----------------------------------------------------------------------------


QUICK_FORMS: Mapping[str, str] = {
    "sigmoid({0})": "np.reciprocal(np.exp(-{0}) + 1.0)",
    "softplus({0})": "quiet_softplus({0})",
    "np.maximum({0}, 0)": "np.maximum({0}, 0.0)",
    "{0} > 0": "{0} > 0.0",
    "exponentials({0})": "quiet_exponentials({0})",
    "logsumexp_of({0})": "quiet_logsumexp_of({0})",
    "softmax({0})": "softmax_of(quiet_exponentials({0}))",
    "log_softmax({0})": "log_softmax_of(quiet_exponentials({0}))",
}
"""Other spellings of a form of an array, with warnings off: fewer steps, numbers that need no conversion."""

QUICK_CALLS: Mapping[str, str] = {
    "logsumexp(": "quiet_logsumexp(",
    "norm(": "quiet_norm(",
    "normalize(": "quiet_normalize(",
}
"""How other spellings of a form begin, whatever its parameters are."""

METHODS = re.compile(r"np\.(max|min|prod|var|std)\(\{0\}, (axis=[^{}]*)\)")
"""Functions that are quicker as methods of an array."""


def _quick_form(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    """A map or call in the spelling that takes the least time."""
    template = statement.parameters[1]
    assert isinstance(template, str)
    if not statement.operands or not (writer.order(statement.operands[0]) or template == "logsumexp_of({0})"):
        return writer.template(statement, operands)
    start, bracket, rest = template.partition("(")
    method = METHODS.fullmatch(template)
    if template in QUICK_FORMS:
        template = QUICK_FORMS[template]
    elif start + bracket in QUICK_CALLS:
        template = QUICK_CALLS[start + bracket] + rest
    elif method is not None:
        template = f"{{0}}.{method[1]}({method[2]})"
    return writer.filled(template, statement, operands)


def _quick_matmul(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    """A product of matrices and vectors as a method; a vector stands in front of a matrix rather than transpose it."""
    left, right = statement.operands
    orders = writer.order(left), writer.order(right)
    if not all(1 <= order <= 2 for order in orders):
        return _WRITERS["matmul"](writer, statement, operands)
    first, last = operands
    turned = _transposed(writer, left)
    if turned is not None and orders == (2, 1):
        first, last = last, writer.operand(turned)
    turned = _transposed(writer, right)
    if turned is not None and orders == (1, 2):
        first, last = writer.operand(turned), first
    return f"{inside(first, ATOM)}.dot({last[0]})", ATOM


def _transposed(writer: StatementWriter, operand: Operand) -> Operand | None:
    """What a matrix is the transpose of."""
    value = writer.origin(operand, "transpose")
    return value.operands[0] if value is not None and value.parameters == (1, 0) else None


def _quick_inner(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    if any(writer.order(operand) != 1 for operand in statement.operands):
        return _WRITERS["inner"](writer, statement, operands)
    return f"{inside(operands[0], ATOM)}.dot({operands[1][0]})", ATOM


def _quick_multiply(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    """A product; with a sigmoid it is a quotient."""
    for place, operand in enumerate(statement.operands):
        value = writer.origin(operand, "map")
        if value is not None and value.target in writer.program.inlined and value.parameters[1] == "sigmoid({0})":
            if value.plain or not value.shape:
                continue
            argument = inside(writer.operand(value.operands[0]), UNARY)
            writer.require("np")
            return f"{inside(operands[1 - place], MULTIPLY)} / (np.exp(-{argument}) + 1.0)", MULTIPLY
    return _WRITERS["multiply"](writer, statement, operands)


def _quick_divide(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    if statement.operands[0] == Literal(1.0) and statement.shape:
        return writer.call("np.reciprocal", operands[1][0])
    return _WRITERS["divide"](writer, statement, operands)


def _quick_sum(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    axes = statement.parameters
    place = "None" if not axes else str(axes[0]) if len(axes) == 1 else f"({', '.join(map(str, axes))})"
    return writer.call("add_reduce", operands[0][0], place)


def _method(name: str) -> Write:
    """A method of a matrix without parameters; of other arrays as it is read."""

    def write(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
        if writer.order(statement.operands[0]) != 2:
            return _WRITERS[statement.operation](writer, statement, operands)
        return f"{inside(operands[0], ATOM)}.{name}()", ATOM

    return write


def _quick_reshape(writer: StatementWriter, statement: Statement, operands: Sequence[Text]) -> Text:
    if len(statement.shape) == 1:
        return f"{inside(operands[0], ATOM)}.ravel()", ATOM
    return _reshape(writer, statement, operands)


_QUICK: Mapping[str, Write] = {
    "map": _quick_form,
    "call": _quick_form,
    "matmul": _quick_matmul,
    "inner": _quick_inner,
    "multiply": _quick_multiply,
    "divide": _quick_divide,
    "sum": _quick_sum,
    "trace": _method("trace"),
    "diagonal": _method("diagonal"),
    "reshape": _quick_reshape,
}
"""Spellings for the text that runs where they are quicker than those that are read."""
