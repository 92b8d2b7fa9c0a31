"""Text to syntax tree: the entry points of the plain-text reader."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ..errors import MatcalcError, ParseError, Span, UsageError
from . import hints
from .ast import Assign, Ast, Declare, Output, Program, TypeExpr
from .build import ACTIONS
from .scan import canonical_name, no_function, scan
from .table import TABLES, UnexpectedTokenError, innermost, load_table, run

__all__ = ["canonical_name", "parse", "parse_declarations", "parse_expression", "parse_type"]

_BARS = frozenset("|∣‖∥")


def parse(text: str, *, is_function: Callable[[str], bool] = no_function) -> Program:
    """Read a program.

    >>> from matcalc.syntax.dump import dump
    >>> dump(parse("r = A x - y; r^T r"))
    '(= r (+ (_ A x) (- y))); (_ (T r) r)'

    Parameters: ``is_function`` tells which names are functions, so that ``log (x)`` with a blank is a call.
    Raises ParseError, LimitError.
    """
    statements: list[Ast] = []
    for statement in _read(text, "program", is_function):
        if isinstance(statement, list):
            statements.extend(statement)
        else:
            statements.append(statement)
    return Program(tuple(statements), text, span=Span(0, len(text)))


def parse_expression(text: str, *, is_function: Callable[[str], bool] = no_function) -> Ast:
    """Read a single expression.

    >>> from matcalc.syntax.dump import dump
    >>> dump(parse_expression("1/2 x^T A x"))
    '(_ (_ (_ (/ 1 2) (T x)) A) x)'

    Raises ParseError, LimitError.
    """
    statements = parse(text, is_function=is_function).statements
    for statement in statements:
        if not isinstance(statement, Output):
            what = "an assignment" if isinstance(statement, Assign) else "a statement"
            raise ParseError(
                f"An expression is expected here, not {what}.",
                span=statement.span,
                source=text,
                hint="write the formula alone; compare with `==`",
            )
    if len(statements) > 1:
        raise ParseError(
            "One expression is expected, here are several.",
            span=statements[1].span,
            source=text,
            hint="write the formula on one line, or in brackets",
        )
    only = statements[0]
    assert isinstance(only, Output)
    return only.value


def parse_type(text: str) -> TypeExpr:
    """Read a type as it stands in a declaration.

    >>> from matcalc.syntax.dump import dump
    >>> dump(parse_type("matrix(n, n) symmetric")), dump(parse_type("R^{m×n}")), dump(parse_type("n"))
    ('(matrix n n symmetric)', '(matrix m n)', '(vector n)')

    Raises ParseError, LimitError.
    """
    return _type(text)


@lru_cache(maxsize=512)
def _type(text: str) -> TypeExpr:
    """A type is immutable, and a program declares many names of one type."""
    found = _read(text, "type", no_function)
    assert isinstance(found, TypeExpr)
    return found


def parse_declarations(text: str) -> tuple[Declare, ...]:
    """Read declarations, separated by `;`, new lines or commas.

    >>> from matcalc.syntax.dump import dump
    >>> [dump(declaration) for declaration in parse_declarations("A: n×n, x: n")]
    ['(declare A (matrix n n))', '(declare x (vector n))']

    Raises ParseError, LimitError.
    """
    declarations: list[Declare] = []
    for statement in parse(text).statements:
        if not isinstance(statement, Declare):
            raise ParseError(
                "A declaration is expected here.",
                span=statement.span,
                source=text,
                hint="write a name, `:` and a type: `x: vector(n)`",
            )
        declarations.append(statement)
    return tuple(declarations)


def _read(text: str, start: str, is_function: Callable[[str], bool]) -> Any:
    """Read with bars as the blanks around them suggest, then, if that fails, with bars that close when they can."""
    if not isinstance(text, str):
        raise UsageError(f"Text is expected, not {type(text).__name__}.", hint="pass a str")
    try:
        return _attempt(text, start, is_function, close_first=False)
    except ParseError as error:
        if _BARS.isdisjoint(text):
            raise error.with_source(text) from None
        first = error
    except MatcalcError as error:
        raise error.with_source(text) from None
    try:
        return _attempt(text, start, is_function, close_first=True)
    except MatcalcError:
        raise first.with_source(text) from None


def _attempt(text: str, start: str, is_function: Callable[[str], bool], close_first: bool) -> Any:
    tokens = scan(text, is_function=is_function, close_first=close_first, type_only=start == "type")
    if len(tokens) == 1:
        raise ParseError("There is nothing to read.", span=Span(0, 0), hint="write a formula, for example `x^T A x`")
    try:
        return run(load_table("matcalc", TABLES["matcalc"]), start, tokens, ACTIONS)
    except UnexpectedTokenError as stop:
        raise hints.unexpected(
            stop.token, stop.previous, stop.expected, innermost(tokens, stop.token, hints.OPENERS.__contains__)
        ) from None
