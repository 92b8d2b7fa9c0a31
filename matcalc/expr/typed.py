"""Types of written expressions: a shape with an orientation, and the context in which shapes unify.

A `Type` is what elaboration knows of an expression before any node is built; dimensions in it may still be
placeholders (names that start with ``?``) which unification resolves.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, NoReturn, Protocol

from .dims import Dim, Shape

Kind = Literal["scalar", "column", "row", "matrix", "tensor"]


class Type(NamedTuple):
    """What an expression is: its kind and its shape. Columns and rows both have shape ``(n,)``."""

    kind: Kind
    shape: Shape


SCALAR = Type("scalar", ())


def column(n: Dim) -> Type:
    return Type("column", (n,))


def row(n: Dim) -> Type:
    return Type("row", (n,))


def matrix(m: Dim, n: Dim) -> Type:
    return Type("matrix", (m, n))


class Typing(Protocol):
    """What a typing rule may ask of elaboration."""

    def unify(self, left: Dim, right: Dim) -> None:
        """Make two dimensions equal, or raise `ShapeError` in the user's names."""

    def resolve(self, dim: Dim) -> Dim:
        """The dimension with every placeholder that is known by now replaced."""

    def fresh(self) -> Dim:
        """A new placeholder dimension."""

    def fail(self, message: str, hint: str | None = None) -> NoReturn:
        """Raise `ShapeError` at the expression being typed."""

    def note(self, message: str) -> None:
        """Tell the reader which of two readings was taken."""
