"""The text that runs for arrays of given sizes, and the pieces that both ways of writing one share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .program import Literal, Operand, Program, Statement
from .source import ATOM, StatementWriter, Text
from .workspace import Buffer

FREE_VIEWS = frozenset({"transpose", "expand", "first_column"})
"""Operations that are written where their value is used."""


class Scheduled(NamedTuple):
    """The text of a function ``f`` and what it needs.

    ``required`` are the names from outside that it uses, ``buffers`` the arrays that are kept, ``numbers`` what it
    calls ``k0``, ``k1`` …, and ``ones`` the lengths of vectors of ones, of which it calls that of length 3 ``o3``.
    """

    text: str
    required: tuple[str, ...]
    buffers: tuple[Buffer, ...] = ()
    numbers: tuple[float, ...] = ()
    ones: tuple[int, ...] = ()

    def read(self) -> str:
        """The text with its numbers before it."""
        lines = [f"k{place} = {value!r}\n" for place, value in enumerate(self.numbers)]
        lines += [f"o{length} = np.ones({length})\n" for length in self.ones]
        return f"{''.join(lines)}\n{self.text}" if lines else self.text


class Numbers:
    """Names for the numbers beside arrays, which may be arrays without axes that need no conversion, and for ones."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.names: dict[str, str] = {}
        self.ones: dict[int, str] = {}

    def vector(self, length: int) -> str:
        return self.ones.setdefault(length, f"o{length}")

    def name(self, value: float) -> str:
        written = repr(value)
        if written not in self.names:
            self.names[written] = f"k{len(self.names)}"
            self.values[self.names[written]] = value
        return self.names[written]

    def listed(self) -> tuple[float, ...]:
        return tuple(self.values.values())


def function_text(writer: StatementWriter, program: Program, body: Sequence[str], tail: Sequence[str] = ()) -> str:
    """The function ``f`` of the lines that are its body; those of ``tail`` are run before it returns.

    Parameters
    ----------
    writer: what has written the lines and knows what they need.
    program: what they compute, without named sizes.
    body, tail: lines without indentation.
    """
    results = ", ".join(writer.operand(result)[0] for result in program.results)
    answer = f"return {results}" if len(program.results) == 1 else f"return ({results})"
    head = [f"dtype = {writer.dtype()}"] if writer.needs_dtype else []
    lines = [*head, *body, *tail, answer]
    return f"def f({', '.join(writer.names.arguments)}):\n" + "".join(f"    {line}\n" for line in lines)


def reduction(writer: StatementWriter, statement: Statement) -> str:
    """The largest entries or sums of rows, as a column."""
    writer.require("np")
    return f"{statement.parameters[0]}.reduce({writer.operand(statement.operands[0])[0]}, -1, None, None, True)"


def number_or_text(writer: StatementWriter, numbers: Numbers, operand: Operand, operands: Sequence[Operand]) -> Text:
    """The text of an operand of a ufunc; a number beside an array has a name."""
    if isinstance(operand, Literal) and any(writer.order(other) for other in operands):
        return numbers.name(operand.value), ATOM
    return writer.operand(operand)
