"""Text in another language for a program: what all target languages share, with a table of rows for each of them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from ..errors import Unsupported
from ..expr.dims import Dim, Shape, shape_text
from ..lower.passes import Pass
from ..lower.program import Argument, Literal, Operand, Program, Size, Statement
from ..lower.source import ADD, ATOM, LOOSE, MULTIPLY, POWER, UNARY, Text, inside, program_names, size_text
from ..syntax.greek import spell

Row = str | Callable[["Writer", Statement], Text]
"""How an operation is written.

A string has ``{0}``, ``{1}`` … for the operands, each at most once, ``{a0}`` for an operand that has to be an array,
``{p0}`` for a parameter of the statement, ``{axes}`` for the trailing axes of a reduction, ``{core}`` for their number,
``{shape}`` for the shape of the value and ``{like}`` for the type and place of new arrays.
"""

SYMMETRIC_PART = "symmetric_part"
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_PLACE = re.compile(r"\{(a|p)?(\d+|core|axes|shape|like)\}")
_WORD = re.compile(r"(?<![\w.])[A-Za-z_]\w*")


class Syntax(NamedTuple):
    """How a language writes what is not an operation.

    Parameters
    ----------
    comment: what a comment begins with.
    length: the length of an axis; ``{0}`` is the array, ``{1}`` the axis.
    quotient: the quotient of integers that has no remainder.
    power: a positive power of an integer; nothing where it is written as a product.
    smaller: the smaller of two integers.
    numbers: names of constants: ``pi``, ``e``, ``inf``, ``nan``.
    first: the index of the first axis.
    """

    comment: str
    length: str
    quotient: str
    power: str
    smaller: str
    numbers: Mapping[str, str]
    first: int = 0


class Frame(NamedTuple):
    """The parts of a function: names of parameters, of which the last are sizes; lines; results."""

    name: str
    arguments: tuple[tuple[str, Argument], ...]
    sizes: tuple[str, ...]
    head: tuple[tuple[str, str], ...]
    body: tuple[tuple[str, str, Statement], ...]
    results: tuple[tuple[str, Shape], ...]


@dataclass(frozen=True)
class Target:
    """A language or library for which source is written.

    Parameters
    ----------
    name: what the caller passes.
    title: what a person calls it.
    syntax: how sizes, numbers and comments are written.
    reserved: words that are no names in this language.
    statements: a row for every kind of statement.
    functions: a row for every entrywise function and every other function, by the name of its record.
    numbers: rows for entrywise functions of numbers that are no arrays, where these differ.
    helpers: the functions that rows name, as definitions in the language.
    imports: what has to stand above the text when a word occurs in it.
    frame: the text of a function.
    finish: what is done to the text of all functions at the end.
    passes: what is done to the program before it is written.
    like: what ``{like}`` stands for, and the line that a function begins with where it occurs; ``{0}`` is an array.
    array: an operand that is a number as an array, beside arrays.
    lone: the same where all operands are numbers; like ``array`` unless it is given.
    count: a size as a floating-point number, where that is another thing.
    most_axes: how many axes an array may have.
    gap: how many empty lines stand between functions.
    main_first: whether the function stands before its helpers.
    notes: lines of the comment above the text.
    """

    name: str
    title: str
    syntax: Syntax
    reserved: frozenset[str]
    statements: Mapping[str, Row]
    functions: Mapping[str, Row]
    numbers: Mapping[str, Row]
    helpers: Mapping[str, str]
    imports: Mapping[str, str]
    frame: Callable[[Frame], str]
    finish: Callable[[str], str]
    passes: tuple[Pass, ...]
    like: tuple[str, tuple[str, str] | None] = ("", None)
    array: str = "{0}"
    lone: str = ""
    count: str = ""
    most_axes: int = 64
    gap: int = 2
    main_first: bool = False
    notes: tuple[str, ...] = ()


def written(program: Program, target: Target, function: str = "f", about: Sequence[str] = ()) -> str:
    """A module with a function for a program, in the names of the user.

    Parameters
    ----------
    program: after the passes of the target.
    function: the name of the function.
    about: lines for the comment at the top.

    Raises
    ------
    Unsupported: an operation that the target does not have.
    """
    writer = Writer(program, target, taken=(function,))
    body = definitions(writer, function)
    words = set(_WORD.findall(body))
    imports = sorted({line for word, line in target.imports.items() if word in words})
    lines = [*about, *writer.described(), *target.notes]
    # a comment is one line, and in some languages a backslash at its end would take in the next one
    comments = [f"{target.syntax.comment} {' '.join(line.split())}".rstrip("\\ ") for line in lines]
    return "\n".join([*comments, *([""] if imports else []), *imports, *([""] * target.gap), body])


def definitions(writer: Writer, function: str) -> str:
    """The helpers that a program needs, and its function."""
    target = writer.target
    text = target.frame(writer.frame(function))
    helpers = [target.helpers[name].strip("\n") + "\n" for name in needed_helpers(text, target.helpers)]
    parts = [*helpers, text] if not target.main_first else [text, *helpers]
    return target.finish(("\n" * target.gap).join(parts))


def needed_helpers(text: str, helpers: Mapping[str, str]) -> list[str]:
    """The helpers that a text names, and those that they name, in the order of the table."""
    needed: set[str] = set()
    pending = [text]
    while pending:
        for word in _WORD.findall(pending.pop()):
            if word in helpers and word not in needed:
                needed.add(word)
                pending.append(helpers[word])
    return [name for name in helpers if name in needed]


class Writer:
    """Writes the text of one program for one target, in the user's names or in names made by counting."""

    def __init__(self, program: Program, target: Target, taken: Iterable[str] = (), *, counted: bool = False) -> None:
        self.program = program
        self.target = target
        self.values = {statement.target: statement for statement in program.statements}
        self.arguments, self.sizes, self.prefix = program_names(program) if counted else self._names(taken)
        self.texts: dict[int, Text] = {k: (name, ATOM) for k, name in enumerate(self.arguments)}
        self.has_like = False
        self.used_sizes: set[str] = set()

    def _names(self, taken: Iterable[str]) -> tuple[tuple[str, ...], Mapping[str, str], str]:
        """The names of the user where the language takes them, and something close to them elsewhere."""
        target = self.target
        used = {*taken, *target.imports, *target.helpers, *target.reserved}

        def free(name: str, fallback: str) -> str:
            name = spell(name)
            if not _PLAIN_NAME.fullmatch(name):
                name = fallback
            while name in used:
                name += "_"
            used.add(name)
            return name

        arguments = tuple(free(argument.name, f"a{k}") for k, argument in enumerate(self.program.arguments))
        sizes = {size.name: free(size.name, f"n{k}") for k, size in enumerate(self.program.sizes)}
        prefix = "t"
        while any(re.fullmatch(rf"{prefix}\d+", name) for name in used):
            prefix += "_"
        return arguments, sizes, prefix

    # --- the function -----------------------------------------------------------------------------

    def described(self) -> list[str]:
        """What the arguments and results are, for the comment."""
        named = zip(self.arguments, self.program.arguments, strict=True)
        lines = [
            ", ".join([f"{name}: {_kind(argument.shape)}", *sorted(argument.properties)]) for name, argument in named
        ]
        results = "; ".join(_kind(self.shape_of(result)) for result in self.program.results)
        return [*lines, f"returns {results}"]

    def frame(self, name: str) -> Frame:
        """The parts of the function."""
        program = self.program
        for argument in program.arguments:
            self._check_axes(argument.shape)
        body: list[tuple[str, str, Statement]] = []
        for statement in program.statements:
            text = self.statement(statement)
            if statement.target in program.inlined:
                self.texts[statement.target] = text
                continue
            target = f"{self.prefix}{len(body) + 1}"
            body.append((target, text[0], statement))
            self.texts[statement.target] = (target, ATOM)
        results = tuple((self.operand(result)[0], self.shape_of(result)) for result in program.results)
        if len(results) == 1 and body and results[0][0] == body[-1][0]:
            results = ((body.pop()[1], results[0][1]),)
        passed, head = self._heads()
        arguments = tuple(zip(self.arguments, program.arguments, strict=True))
        return Frame(name, arguments, passed, head, tuple(body), results)

    def _heads(self) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
        """The sizes that are passed, and what is found before the first statement."""
        passed: list[str] = []
        head: list[tuple[str, str]] = []
        line = self.target.like[1]
        if self.has_like and line is not None:
            head.append((line[0], line[1].replace("{0}", self.example())))
        used = set(self.used_sizes)
        for size in reversed(self.program.sizes):
            if size.name in used:
                used.update(name for dim in (size.dim, *size.smaller) for name in dim.names)
        for size in self.program.sizes:
            if size.name in used:
                name = self.sizes[size.name]
                if size.argument == -1:
                    passed.append(name)
                else:
                    head.append((name, self.size(size)))
        return tuple(passed), tuple(head)

    def example(self) -> str:
        """An argument that is an array, whose type new arrays have."""
        named = zip(self.arguments, self.program.arguments, strict=True)
        found = next((name for name, argument in named if argument.shape), None)
        if found is None and self.arguments:
            found = self.arguments[0]
        if found is None:
            raise Unsupported(
                f"a function without arguments has no array to take the type from in {self.target.title}",
                hint="export to numpy with .source",
            )
        return found

    # --- operands ---------------------------------------------------------------------------------

    def shape_of(self, operand: Operand) -> Shape:
        """The shape of an operand."""
        if not isinstance(operand, int):
            return ()
        value = self.values.get(operand)
        return self.program.arguments[operand].shape if value is None else value.shape

    def order(self, operand: Operand) -> int:
        """How many axes an operand has."""
        return len(self.shape_of(operand))

    def is_number(self, operand: Operand) -> bool:
        """Whether an operand is a number of the language and no array."""
        if not isinstance(operand, int):
            return True
        value = self.values.get(operand)
        return value is not None and value.plain

    def origin(self, operand: Operand, operation: str) -> Statement | None:
        """The statement that computes an operand, if it is of an operation."""
        value = self.values.get(operand) if isinstance(operand, int) else None
        return value if value is not None and value.operation == operation else None

    def operand(self, operand: Operand) -> Text:
        """The text of an operand."""
        if isinstance(operand, Literal):
            return self.literal(operand.value)
        if isinstance(operand, Dim):
            text = self.dim_text(operand)
            return (self.target.count.replace("{0}", text[0]), ATOM) if self.target.count else text
        return self.texts[operand]

    def array(self, operand: Operand, form: str = "") -> Text:
        """The text of an operand where the language wants an array."""
        text = self.operand(operand)
        if not self.is_number(operand):
            return text
        template, *rest = (form or self.target.array).split("{like}")
        filled = template.replace("{0}", text[0])
        return (filled + self.like() + "".join(rest), ATOM) if rest else (filled, text[1])

    def literal(self, value: float) -> Text:
        """A number."""
        names = self.target.syntax.numbers
        for known, name in ((math.pi, "pi"), (math.e, "e"), (math.inf, "inf")):
            if abs(value) == known and name in names:
                return (names[name], ATOM) if value > 0 else (f"-{names[name]}", UNARY)
        if math.isnan(value):
            return names["nan"], ATOM
        return repr(value), ATOM if value >= 0 else UNARY

    def dim(self, dim: Dim, shift: int = 0) -> str:
        """A size, plus an integer, as an integer expression."""
        return self.dim_text(dim + Dim.of(shift))[0]

    def dim_text(self, dim: Dim) -> Text:
        """A size as an integer expression and how tightly it binds."""
        self.used_sizes.update(dim.names)
        syntax = self.target.syntax
        return size_text(dim, self.sizes, syntax.power, syntax.quotient)

    def size(self, size: Size) -> str:
        """The expression that finds a size.

        Raises
        ------
        Unsupported: the size is a root of a polynomial.
        """
        syntax = self.target.syntax
        if size.argument == -2:
            return syntax.smaller.format(*(self.dim(dim) for dim in size.smaller))
        length = syntax.length.format(self.arguments[size.argument], size.axis + syntax.first)
        if size.dim.name is not None:
            return length
        divisor = math.lcm(*(coefficient.denominator for _, coefficient in size.dim.terms))
        slope, constant = Dim.of(0), Dim.of(0)
        for monomial, coefficient in size.dim.terms:
            power = dict(monomial).get(size.name, 0)
            rest = Dim({tuple(part for part in monomial if part[0] != size.name): coefficient * divisor})
            if power > 1:
                raise Unsupported(
                    f"a size that is found from a length {size.dim} is not written for {self.target.title}",
                    hint=f"declare an argument with an axis of length {size.name}",
                )
            slope, constant = (slope + rest, constant) if power else (slope, constant + rest)
        top: Text = (length, ATOM) if divisor == 1 else (f"{divisor} * {length}", MULTIPLY)
        if constant != Dim.of(0):
            negative = constant.constant is not None and constant.constant < 0
            shift = constant * Fraction(-1) if negative else constant
            top = (f"{top[0]} {'+' if negative else '-'} {inside(self.dim_text(shift), MULTIPLY)}", ADD)
        if slope == Dim.of(1):
            return top[0]
        return syntax.quotient.format(inside(top, MULTIPLY), inside(self.dim_text(slope), UNARY))

    def shape(self, shape: Sequence[Dim]) -> str:
        """The lengths of a shape, separated by commas."""
        return ", ".join(self.dim(dim) for dim in shape)

    def like(self) -> str:
        """The type and place of new arrays, as arguments."""
        self.has_like = True
        return self.target.like[0]

    # --- statements -------------------------------------------------------------------------------

    def statement(self, statement: Statement) -> Text:
        """The text of a statement.

        Raises
        ------
        Unsupported: the target has no row for it, or not for so many axes.
        """
        for shape in (statement.shape, *map(self.shape_of, statement.operands)):
            self._check_axes(shape)
        row = self._row(statement)
        if callable(row):
            return row(self, statement)
        return self.filled(row, statement)

    def _check_axes(self, shape: Shape) -> None:
        if len(shape) > self.target.most_axes:
            raise Unsupported(
                f"an array with {len(shape)} axes is not written for {self.target.title}",
                hint="jax, torch and the NumPy source have arrays with any number of axes",
            )

    def _row(self, statement: Statement) -> Row:
        target = self.target
        name = statement_name(statement)
        rows = target.functions if statement.operation in ("map", "call") else target.statements
        row = target.numbers[name] if self._has_number_row(statement) else rows.get(name)
        if row is None:
            raise Unsupported(
                f"{name.replace('_', ' ')} is not written for {target.title}", hint="the NumPy text is in .source"
            )
        return row

    def _has_number_row(self, statement: Statement) -> bool:
        """Whether a statement about numbers is written with functions of numbers."""
        return statement.plain and statement_name(statement) in self.target.numbers

    def filled(self, template: str, statement: Statement) -> Text:
        """A row with the operands in place."""
        pieces: list[str] = []
        last = 0
        for match in _PLACE.finditer(template):
            before, after = template[: match.start()].rstrip(), template[match.end() :].lstrip()
            alone = before.endswith(("(", ",", "=", "[")) and after.startswith((")", ",", "]"))
            text = self._place(statement, match.group(1), match.group(2))
            pieces += [template[last : match.start()], text[0] if alone else inside(text, ATOM)]
            last = match.end()
        pieces.append(template[last:])
        return "".join(pieces), ATOM if is_atom(template) else LOOSE

    def _place(self, statement: Statement, kind: str | None, name: str) -> Text:
        """What stands at a place of a row."""
        if name == "like":
            return self.like(), ATOM
        if name == "shape":
            return self.shape(statement.shape), ATOM
        if name in ("core", "axes"):
            core = core_of(statement, self)
            axes = [str(axis) for axis in range(-core, 0)]
            return (str(core) if name == "core" else axes[0] if core == 1 else f"({', '.join(axes)})"), ATOM
        number = int(name)
        if kind == "p":
            parameter = statement.parameters[number]
            return self.dim_text(parameter) if isinstance(parameter, Dim) else (str(parameter), ATOM)
        operand = statement.operands[number]
        if statement.plain and not self._has_number_row(statement):
            text = self.array(operand, self.target.lone or self.target.array)
        else:
            text = self.array(operand) if kind == "a" else self.operand(operand)
        if number == 0 and statement.operation == "call" and SYMMETRIC_PART in str(statement.parameters[1]):
            return f"{SYMMETRIC_PART}({text[0]})", ATOM
        return text


def _kind(shape: Shape) -> str:
    return f"array of shape {shape_text(shape)}" if shape else "number"


def statement_name(statement: Statement) -> str:
    """The name by which the row of a statement is found."""
    return str(statement.parameters[0]) if statement.operation in ("map", "call") else statement.operation


def core_of(statement: Statement, writer: Writer) -> int:
    """How many trailing axes a call acts on."""
    match = re.search(r", (\d+)\)$", str(statement.parameters[1]))
    if match is not None:
        return int(match.group(1))
    return writer.order(statement.operands[0]) - len(statement.shape)


def is_atom(template: str) -> bool:
    """Whether a row is a call, perhaps with an index or a method behind it."""
    if not re.match(r"[A-Za-z_{(][\w.}]*", template):
        return False
    depth = 0
    for character in template:
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif depth == 0 and not (character.isalnum() or character in "._"):
            return False
    return depth == 0


def infix(sign: str, level: int) -> Row:
    """An operator between two operands; what follows binds more tightly."""

    def write(writer: Writer, statement: Statement) -> Text:
        left, right = (writer.operand(operand) for operand in statement.operands)
        return f"{inside(left, level)} {sign} {inside(right, level + 1)}", level

    return write


def negated(writer: Writer, statement: Statement) -> Text:
    """A minus in front."""
    return f"-{inside(writer.operand(statement.operands[0]), UNARY)}", UNARY


def raised(sign: str) -> Row:
    """A power with an operator."""

    def write(writer: Writer, statement: Statement) -> Text:
        base, exponent = (writer.operand(operand) for operand in statement.operands)
        return f"{inside(base, ATOM)} {sign} {inside(exponent, ATOM)}", POWER

    return write


def dims(statement: Statement) -> tuple[Dim, ...]:
    """The sizes among the parameters of a statement."""
    return tuple(parameter for parameter in statement.parameters if isinstance(parameter, Dim))


def axes_of(parameters: Sequence[object]) -> tuple[int, ...]:
    """Parameters that are axes."""
    return tuple(parameter for parameter in parameters if isinstance(parameter, int))
