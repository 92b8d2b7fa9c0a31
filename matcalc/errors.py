"""The one family of errors: what is wrong, where, and the next move."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of character offsets in the source text."""

    start: int
    end: int


def visible(text: str) -> str:
    """A text that does nothing to a terminal or a page but be seen: other characters are replaced, one for one.

    >>> visible("x\\x1b[31m")
    'x�[31m'
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c == "\n" else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text
    )


class MatcalcError(ValueError):
    """Base of every error matcalc raises on purpose.

    Parameters
    ----------
    message: one sentence that says what is wrong, with shapes in the user's names.
    span: where in the source text, when known.
    source: the whole source text, used for the line and the caret.
    hint: the likely fix, the next move.
    """

    code = "error"
    exit_status = 2

    def __init__(
        self, message: str, *, span: Span | None = None, source: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.span = span
        self.source = source
        self.hint = hint

    def with_source(self, source: str) -> MatcalcError:
        """Attach the source text (kept if one is already attached)."""
        if self.source is None:
            self.source = source
        return self

    @property
    def position(self) -> tuple[int, int] | None:
        """Line and column, both counted from 1."""
        if self.span is None or self.source is None:
            return None
        before = self.source[: self.span.start]
        return before.count("\n") + 1, self.span.start - (before.rfind("\n") + 1) + 1

    @property
    def caret(self) -> str | None:
        """The offending source line with carets under the span."""
        place = self.position
        if place is None or self.span is None or self.source is None:
            return None
        line, column = place
        text = visible(self.source.split("\n")[line - 1])
        shift = 0
        if len(text) > 100:
            shift = max(0, column - 1 - 50)
            text = text[shift : shift + 100]
        width = max(1, min(self.span.end - self.span.start, len(text) - (column - 1 - shift)))
        return f"  {text}\n  {' ' * (column - 1 - shift)}{'^' * width}"

    def __str__(self) -> str:
        parts = [visible(self.message)]
        if self.caret is not None:
            parts.append(self.caret)
        if self.hint:
            parts.append(f"hint: {visible(self.hint)}")
        return "\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """The same facts as plain data, for ``--json`` and services."""
        place = self.position
        return {
            "code": self.code,
            "message": visible(self.message),
            "offset": None if self.span is None else self.span.start,
            "end": None if self.span is None else self.span.end,
            "line": None if place is None else place[0],
            "column": None if place is None else place[1],
            "caret": self.caret,
            "hint": None if self.hint is None else visible(self.hint),
        }


class ParseError(MatcalcError):
    """The text does not follow the grammar."""

    code = "syntax"
    exit_status = 2


class UsageError(MatcalcError):
    """An argument of the API or the command line does not make sense."""

    code = "usage"
    exit_status = 2


def shown(value: object) -> str:
    """A value as it is quoted in a message: short, and the same in every process.

    >>> shown("x"), shown(1.5), shown(object())
    ("'x'", '1.5', 'object')
    """
    return f"{value!r:.40}" if isinstance(value, str | int | float | None) else type(value).__name__


def require_one_of(value: object, allowed: Iterable[str], what: str) -> None:
    """Fail unless a word is one of those allowed; the nearest one is proposed.

    >>> require_one_of("gradent", ["gradient", "vec"], "layout")
    Traceback (most recent call last):
    matcalc.errors.UsageError: there is no layout 'gradent'
    hint: did you mean gradient? the layouts are gradient, vec

    Raises
    ------
    UsageError: another word, or something that is not text.
    """
    words = list(allowed)
    if isinstance(value, str) and value in words:
        return
    plural = what[:-2] + "es" if what.endswith("ax") else f"{what}s"
    listed = f"the {plural} are {', '.join(words)}"
    near = get_close_matches(value.strip().lower(), words, 1, 0.6) if isinstance(value, str) else []
    raise UsageError(f"there is no {what} {shown(value)}", hint=f"did you mean {near[0]}? {listed}" if near else listed)


def require_seed(seed: object) -> None:
    """Fail unless a number can seed random points.

    Raises
    ------
    UsageError: anything but a whole number that is not negative.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise UsageError(f"a seed is a whole number from 0 on, not {shown(seed)}", hint="seed=0")


class UnknownName(MatcalcError):
    """A name or function that is not known here."""

    code = "name"
    exit_status = 3


class ShapeError(MatcalcError):
    """Shapes that do not fit."""

    code = "shape"
    exit_status = 3


class DomainError(MatcalcError):
    """A value outside the domain on which the operation is defined."""

    code = "domain"
    exit_status = 3


class NotDifferentiable(MatcalcError):
    """The operation has no derivative, or none is known; it is named.

    Attributes
    ----------
    operation: the name of its record, by which its place in the text is found.
    """

    code = "not-differentiable"
    exit_status = 4
    operation = ""

    @classmethod
    def of(cls, operation: str, reason: str) -> NotDifferentiable:
        """The error for an operation without a derivative."""
        error = cls(
            f"{operation} has no derivative: {reason}",
            hint="differentiate by a variable it does not depend on, or put a smooth function in its place",
        )
        error.operation = operation
        return error


class Unsupported(MatcalcError):
    """Meaningful, but not something matcalc can do; the reason is given."""

    code = "unsupported"
    exit_status = 4


class LimitError(MatcalcError):
    """A named limit on the size of the input, the work or the time was reached.

    Attributes
    ----------
    limit: the name of the limit, a field of `matcalc.Limits`.
    """

    code = "limit"
    limit = ""
    exit_status = 2
