"""The straight-line program between nodes and source text: a list of statements, plain data.

Every statement computes one value from earlier ones; values are numbered, the arguments come first. A value is
named by its number, so equal statements are found by looking them up and a pass is a function from one program to
another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..expr.dims import Dim, Shape


class Literal(NamedTuple):
    """A number written into the program."""

    value: float


Operand = int | Literal | Dim
"""The number of a value, a literal, or a size (an integer that is known when the program runs)."""

Parameter = int | str | Dim | tuple["Parameter", ...] | None


class Statement(NamedTuple):
    """``target = operation(operands; parameters)``.

    ``shape`` is the value's; ``plain`` says that the value is a Python number, which never widens float32 arrays.
    """

    target: int
    operation: str
    operands: tuple[Operand, ...]
    parameters: tuple[Parameter, ...]
    shape: Shape
    plain: bool = False


class Argument(NamedTuple):
    """An argument of the function: its name as the user wrote it, its shape and declared properties."""

    name: str
    shape: Shape
    properties: frozenset[str] = frozenset()


class Size(NamedTuple):
    """How a named size is found: from ``arguments[argument].shape[axis]``, which equals ``dim``.

    ``argument`` is -1 for a size that must be passed by name, and -2 for the smaller of the two sizes in
    ``smaller``.
    """

    name: str
    argument: int
    axis: int
    dim: Dim
    smaller: tuple[Dim, ...] = ()


class Choice(NamedTuple):
    """A product of three or more factors, and the order that was chosen for it.

    ``leaves`` are the labels, the kind and the last label of each factor; ``output`` the labels of the result;
    ``dims`` the size of each label; ``path`` the pairs in the order in which they are contracted.
    """

    leaves: tuple[tuple[tuple[int, ...], str, int | None], ...]
    output: tuple[int, ...]
    dims: tuple[tuple[int, Dim], ...]
    path: tuple[tuple[int, int], ...]


class Program(NamedTuple):
    """A function: arguments, how sizes are found, statements in order, and the results.

    ``inlined`` are the values that are written where they are used instead of getting a name; ``nonzero`` the sizes
    that are divided by; ``fits`` pairs of sizes of which the first must not exceed the second; ``choices`` the orders
    that were chosen for representative sizes; ``symmetric`` the values that are known to equal their transpose.
    """

    arguments: tuple[Argument, ...]
    sizes: tuple[Size, ...]
    statements: tuple[Statement, ...]
    results: tuple[Operand, ...]
    inlined: frozenset[int] = frozenset()
    nonzero: tuple[Dim, ...] = ()
    fits: tuple[tuple[Dim, Dim], ...] = ()
    choices: tuple[Choice, ...] = ()
    symmetric: frozenset[int] = frozenset()


PLAIN = frozenset({"add", "subtract", "multiply", "divide", "negate", "power", "sqrt", "square", "map"})
"""Operations that give a Python number when every operand is one."""


class Builder:
    """Collects statements; a statement that was made before is found again instead of being repeated."""

    def __init__(self, arguments: Sequence[Argument]) -> None:
        self.arguments = tuple(arguments)
        self.statements: list[Statement] = []
        self.nonzero: dict[Dim, None] = {}
        self.symmetric: set[Operand] = set()
        """Values that equal their transpose."""
        self._known: dict[tuple[object, ...], int] = {}
        self._first = len(self.arguments)

    def emit(
        self, operation: str, operands: Iterable[Operand], shape: Shape, parameters: tuple[Parameter, ...] = ()
    ) -> int:
        """The number of the value of an operation."""
        given = tuple(operands)
        key = (operation, given, parameters, shape)
        known = self._known.get(key)
        if known is not None:
            return known
        target = self._first + len(self.statements)
        plain = operation in PLAIN and all(self.is_plain(operand) for operand in given)
        self.statements.append(Statement(target, operation, given, parameters, shape, plain))
        self._known[key] = target
        return target

    def shape(self, operand: Operand) -> Shape:
        """The shape of an operand."""
        if not isinstance(operand, int):
            return ()
        if operand < self._first:
            return self.arguments[operand].shape
        return self.statements[operand - self._first].shape

    def statement(self, operand: Operand) -> Statement | None:
        """The statement that computes an operand, or None for arguments, literals and sizes."""
        if isinstance(operand, int) and operand >= self._first:
            return self.statements[operand - self._first]
        return None

    def is_plain(self, operand: Operand) -> bool:
        """Whether an operand is a Python number."""
        if not isinstance(operand, int):
            return True
        statement = self.statement(operand)
        return statement is not None and statement.plain


def use_counts(program: Program) -> dict[int, int]:
    """How often each value is used, by statements and as a result."""
    operands = [operand for statement in program.statements for operand in statement.operands]
    return Counter([value for value in (*operands, *program.results) if isinstance(value, int)])


def dims_of(statement: Statement) -> list[Dim]:
    """The sizes that a statement reads when it runs, in order."""
    found = [operand for operand in statement.operands if isinstance(operand, Dim)]
    stack = list(reversed(statement.parameters))
    while stack:
        parameter = stack.pop()
        if isinstance(parameter, Dim):
            found.append(parameter)
        elif isinstance(parameter, tuple):
            stack.extend(reversed(parameter))
    return found


def bind_sizes(names: Iterable[str], arguments: Sequence[Argument]) -> tuple[Size, ...]:
    """Say for each named size how it is found from the shapes of the arguments, in an order that works.

    A size that is an axis of its own is read off; one that occurs in a longer dimension (``n + 1``,
    ``n (n + 1)/2``) is solved for; one that occurs nowhere must be passed by name.
    """
    places: dict[str, tuple[int, int]] = {}
    compound: list[tuple[Dim, int, int]] = []
    for position, argument in enumerate(arguments):
        for axis, dim in enumerate(argument.shape):
            if dim.name is not None:
                places.setdefault(dim.name, (position, axis))
            elif dim.names:
                compound.append((dim, position, axis))
    found: dict[str, Size] = {}
    pending = list(dict.fromkeys(names))
    while pending:
        name = pending.pop()
        if name in found:
            continue
        if name in places:
            found[name] = Size(name, *places[name], Dim.of(name))
            continue
        smaller = _smaller(name)
        if smaller is not None:
            missing = [part for dim in smaller for part in dim.names if part not in found]
            if missing:
                pending += [name, *reversed(missing)]
                continue
            found[name] = Size(name, -2, 0, Dim.of(name), smaller)
            continue
        usable = [
            (len([other for other in dim.names if other not in places and other != name]), order)
            for order, (dim, _, _) in enumerate(compound)
            if name in dim.names
        ]
        if usable and min(usable)[0] == 0:
            dim, position, axis = compound[min(usable)[1]]
            missing = [other for other in dim.names if other != name and other not in found]
            if missing:
                pending += [name, *reversed(missing)]
                continue
            found[name] = Size(name, position, axis, dim)
            continue
        found[name] = Size(name, -1, 0, Dim.of(name))
    return tuple(found.values())


def _smaller(name: str) -> tuple[Dim, ...] | None:
    """The two dimensions of a size that is called ``min(m, n)``."""
    if not (name.startswith("min(") and name.endswith(")")):
        return None
    parts = [part.strip() for part in name[4:-1].split(",")]
    return tuple(Dim.of(int(part)) if part.isdigit() else Dim.of(part) for part in parts)


def size_values(dims: Iterable[Dim], given: Mapping[str, int]) -> dict[str, int]:
    """A representative value for every named size, for the choice between equal programs.

    ``N`` counts as 1000 and every other name as 100 and a little more in order of appearance, so that no two
    are equal; ``given`` values win.
    """
    values: dict[str, int] = dict(given)
    for dim in dims:
        for name in dim.names:
            if name not in values:
                values[name] = 1000 if name == "N" else 100 + len(values)
    return values
