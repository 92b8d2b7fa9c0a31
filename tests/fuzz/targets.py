"""What is done with a text of which nothing is known: only a `MatcalcError` may leave, and soon."""

from __future__ import annotations

import dataclasses
import traceback
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from matcalc.derivation import Derivative
from matcalc.elaborate import elaborate
from matcalc.errors import MatcalcError
from matcalc.expression import Expr, read
from matcalc.syntax.ast import Ast, Program
from matcalc.syntax.parse import parse_declarations, parse_expression, parse_type
from tests.program_checks import _TimeoutError, limited


class Finding(NamedTuple):
    """A text that broke a promise: the kind of failure, where, and the whole story."""

    kind: str
    place: str
    text: str
    story: str


def check_spans(program: Program, length: int) -> None:
    """Every node lies inside the text."""
    pending: list[Any] = [program]
    while pending:
        item = pending.pop()
        if isinstance(item, tuple):
            pending += item
        elif isinstance(item, Ast):
            assert 0 <= item.span.start <= item.span.end <= length, f"{item.span} outside of a text of length {length}"
            pending += [getattr(item, entry.name) for entry in dataclasses.fields(item) if "span" not in entry.name]


def read_text(text: str) -> None:
    program = read(text, "text")
    check_spans(program, len(text))


def read_latex(text: str) -> None:
    read(text, "latex")


def read_parts(text: str) -> None:
    """The entry points for a type, a declaration and a single expression."""
    for entry in (parse_type, parse_declarations, parse_expression):
        try:
            entry(text)
        except MatcalcError as error:
            check_error(error, text)


def differentiate(text: str) -> None:
    """Everything on the way to a printed derivative by the first variable that has one."""
    expr = Expr(text)
    for name in tuple(expr.vars)[:2]:
        try:
            found = Derivative(expr, (name,), "gradient")
            formula = found.formula
            found.latex.encode()
            found.unicode.encode()
        except MatcalcError as error:
            check_error(error, text)
            continue
        elaborate(read(formula), expr.vars, shape=found.node.shape)
    expr.compile().source.encode()


TARGETS: Mapping[str, Callable[[str], None]] = {
    "text": read_text,
    "latex": read_latex,
    "parts": read_parts,
    "derivative": differentiate,
}


def check_error(error: MatcalcError, text: str) -> None:
    """An error can be shown: a sentence, and a place that lies in its source."""
    assert error.message.strip()
    shown = f"{error} {error.to_dict()}"
    assert "Traceback" not in shown
    if error.span is not None and error.source is not None:
        assert 0 <= error.span.start <= error.span.end <= len(error.source), f"{error.span} outside of {error.source!r}"


def attempt(target: str, text: str, seconds: float) -> Finding | bool:
    """What is wrong with the way a text is taken; if nothing is, whether it was accepted.

    >>> attempt("text", "x^T (", 1.0), attempt("text", "x^T x", 1.0)
    (False, True)

    Parameters
    ----------
    target: a name in `TARGETS`.
    seconds: of processor time, after which the text counts as slow.
    """
    try:
        with limited(seconds), warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                TARGETS[target](text)
            except MatcalcError as error:
                check_error(error, text)
                return False
    except _TimeoutError as stop:
        return Finding("slow", _place(stop), text, f"more than {seconds:g} s")
    except Exception as error:  # a crash is what is looked for
        return Finding(type(error).__name__, _place(error), text, "".join(traceback.format_exception(error)))
    return True


def _place(error: BaseException) -> str:
    """The innermost line of the engine or of a check."""
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if "/matcalc/" in f.filename or "targets" in f.filename
    ]
    frames = [f for f in frames if f.name not in ("attempt", "limited")] or frames
    if not frames:
        return "?"
    return f"{frames[-1].filename.rpartition('/matcalc/')[2]}:{frames[-1].lineno}"
