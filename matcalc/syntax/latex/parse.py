"""LaTeX to syntax tree: the entry point of the LaTeX reader."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from fractions import Fraction
from typing import Any

from ...errors import MatcalcError, ParseError, Span, Unsupported, UsageError
from ...limits import check_length
from ..ast import Assign, Ast, Call, Declare, IndexSum, Name, Num, Output, Program, Request
from ..rewrite import parts_of, rewritten
from ..scan import check_visible, no_function
from ..table import TABLES, UnexpectedTokenError, innermost, load_table, run
from . import hints
from .build import ACTIONS, ConditionalSum, Line, Wanted
from .scan import Known, scan
from .tex import expand, formulas, split

__all__ = ["parse"]


def parse(text: str, *, is_function: Callable[[str], bool] = no_function, declared: Collection[str] = ()) -> Program:
    r"""Read a program written in LaTeX.

    >>> from matcalc.syntax.dump import dump
    >>> dump(parse(r"\frac{1}{2} \mathbf{x}^\top A\mathbf{x}"))
    '(_ (_ (_ (/ 1 2) (T x)) A) x)'

    Parameters
    ----------
    text: one or several formulas, with or without dollar signs, prose and macros around them.
    is_function: tells which words are functions.
    declared: names with a declaration; one with several letters is not split into a product.

    Raises
    ------
    ParseError: the text is not LaTeX that has a meaning here.
    LimitError: it is too long, nested too deeply or expands without end.
    Unsupported: it has a meaning that has no place here, such as an integral.
    """
    if not isinstance(text, str):
        raise UsageError(f"Text is expected, not {type(text).__name__}.", hint="pass a str")
    try:
        return _program(text, is_function, declared)
    except MatcalcError as error:
        raise error.with_source(text) from None


def _program(text: str, is_function: Callable[[str], bool], declared: Collection[str]) -> Program:
    check_length(text)
    check_visible(text)
    chosen, prose = formulas(split(text))
    symbols = expand(chosen)
    known = Known(is_function, frozenset(declared))
    found = scan(text, symbols, known)
    if found.functions or found.names - frozenset(declared):
        # what the text defines is known from its beginning
        longer = frozenset(name for name in found.names if name.isalnum())
        found = scan(text, symbols, replace(known, functions=found.functions, names=longer))
    if len(found.tokens) == 1:
        raise ParseError(
            "There is nothing to read.", span=Span(0, 0), hint=r"write a formula, for example `x^\top A x`"
        )
    notes = list(found.notes)
    if prose:
        notes.append("only the formulas are read, not the words around them")
    try:
        lines = run(load_table("latex", TABLES["latex"]), "program", found.tokens, ACTIONS)
    except UnexpectedTokenError as stop:
        inside = innermost(found.tokens, stop.token, _opens)
        raise hints.unexpected(stop.token, stop.previous, stop.expected, inside) from None
    minimised = any(token.kind == "OBJECTIVE" for token in found.tokens)
    if minimised:
        notes.append("the objective is read, not its minimum or maximum")
    program = _assembled(text, lines, notes)
    for name in () if program.request is None else program.request.wrt:
        if name.rpartition("_")[2] in ("i", "j", "k", "l") and name not in declared:
            raise Unsupported(
                "A derivative by one entry.",
                span=program.request.span if program.request else None,
                hint="differentiate by the whole array; its entries are those of the answer",
            )
    return program


def _opens(kind: str) -> bool:
    return kind.endswith("OPEN") or kind in ("CARET", "DEGREE")


# --- statements ----------------------------------------------------------------------------------


def _assembled(text: str, lines: list[Any], notes: list[str]) -> Program:
    """The statements in the order in which they are needed, and the derivative that is asked for."""
    blocks: list[list[Any]] = [[]]
    for line in lines:
        if isinstance(line, Line):
            if line.after_where:
                blocks.append([])
            blocks[-1].append(line.statement)
        else:
            blocks[-1].append(line)
    # the definitions behind "where" are needed before the formula in front of it
    ordered = [statement for block in reversed(blocks) for statement in block]
    request: Request | None = None
    statements: list[Ast] = []
    for position, statement in enumerate(ordered):
        if isinstance(statement, Wanted):
            if request is not None or any(not isinstance(rest, Declare) for rest in ordered[position + 1 :]):
                raise Unsupported(
                    "A derivative is asked for before the end of the text.",
                    span=statement.span,
                    hint="ask for one derivative, in the last line",
                )
            request = Request(statement.wrt, statement.order, statement.claim, span=statement.span)
            statement = Output(statement.value, span=statement.value.span)
        statements.append(_settled(statement))
    statements = _single_output(statements, notes)
    if request is not None and request.claim is not None:
        claim = _settled(Output(request.claim))
        assert isinstance(claim, Output)
        request = replace(request, claim=claim.value)
    return Program(tuple(statements), text, request, tuple(dict.fromkeys(notes)), span=Span(0, len(text)))


def _single_output(statements: list[Ast], notes: list[str]) -> list[Ast]:
    """The program with one output; names that are only mentioned, as among prose, are left out.

    Raises ParseError where several formulas could be the output.
    """
    defined = {statement.target.id for statement in statements if isinstance(statement, Assign)}
    formulas = [statement for statement in statements if not isinstance(statement, Declare)]
    kept: list[Ast] = []
    for statement in statements:
        name = statement.value.id if isinstance(statement, Output) and isinstance(statement.value, Name) else ""
        if name and len(formulas) > 1 and not (statement is formulas[-1] and name in defined):
            notes.append(f"{name}, which stands alone, is not read")
            formulas.remove(statement)
            continue
        kept.append(statement)
    for statement in formulas[:-1]:
        if isinstance(statement, Output):
            raise ParseError(
                "Several formulas stand here, and each could be the one that is meant.",
                span=statement.span,
                hint="give one of them, or write `name = …` in front of those that the last one uses",
            )
    return kept


def _settled(statement: Ast) -> Ast:
    """Conditions of sums as branches, once it is known which letters are bound around them."""
    conditional: dict[int, tuple[str, ...]] = {}
    bound = frozenset(_left_letters(statement))
    stack: list[tuple[Ast, frozenset[str]]] = [(statement, bound)]
    while stack:
        node, around = stack.pop()
        if isinstance(node, ConditionalSum):
            free = tuple(name for name in node.indices if name not in around)
            if not free:
                raise ParseError(
                    "The condition below this sum names no new index.",
                    span=node.span,
                    hint=r"write the index first: `\sum_{j \ne i}`",
                )
            conditional[id(node)] = free
        inside = around | frozenset(node.indices) if isinstance(node, IndexSum) else around
        stack.extend((part, inside) for part in parts_of(node))
    if not conditional:
        return statement

    def change(original: Ast, node: Ast) -> Ast:
        if not isinstance(node, ConditionalSum):
            return node
        neutral = Num(Fraction(node.kind == "prod"), "1" if node.kind == "prod" else "0", span=node.span)
        assert node.condition is not None
        body = Call("where", (node.condition, node.body, neutral), span=node.body.span, func_span=node.span)
        return IndexSum(node.kind, conditional[id(original)], node.lower, node.upper, body, span=node.span)

    return rewritten(statement, change)


def _left_letters(statement: Ast) -> tuple[str, ...]:
    """The free indices on the left of ``y_i = …``."""
    if not isinstance(statement, Assign):
        return ()
    return (*statement.indices, *statement.target.id.rpartition("_")[2])
