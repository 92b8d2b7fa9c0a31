"""A claim in text: read in the names of the expression it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from ..elaborate import Elaborated, elaborate
from ..elaborate.tree import nodes_of, survey
from ..errors import MatcalcError, ParseError, UnknownName
from ..expr.dims import Shape
from ..expr.nodes import Node
from ..expression import Expr, read
from ..ops.registry import OPERATIONS
from ..syntax.ast import Assign, Ast, Declare, Define, Name, Output, Program

CONSTANTS = frozenset({"I", "T", "pi", "inf", "e"})


@dataclass(frozen=True, slots=True)
class Reading:
    """A claim that was read.

    Parameters
    ----------
    text: as it was given.
    tree: the program, with those definitions of the expression in front that it uses.
    node: its value; None where its shapes do not fit.
    kind: ``scalar``, ``column``, ``row``, ``matrix`` or ``tensor``; empty without a value.
    error: why its shapes do not fit.
    notes: how it was read where two readings exist.
    """

    text: str
    tree: Program
    node: Node | None
    kind: str = ""
    error: MatcalcError | None = None
    notes: tuple[str, ...] = ()


def read_claim(text: str, expr: Expr, shape: Shape, syntax: str = "text") -> Reading:
    """Read a claim about an expression.

    Parameters
    ----------
    text: a formula in the names of the expression and of its intermediates.
    expr: the expression.
    shape: the shape the claim should have, for what has no size of its own (``2 I``).
    syntax: ``text``, ``latex`` or ``auto``.

    Raises
    ------
    ParseError: the text does not follow the grammar.
    UnknownName: a name that the expression does not have.
    """
    written = read(text, syntax, expr.vars)
    if written.request is not None and written.request.claim is not None:
        written = Program((Output(written.request.claim),), text, notes=written.notes)
    if not written.statements or isinstance(written.statements[-1], Declare):
        raise ParseError("the claim has no formula", source=text, hint='write the derivative you found: "2 A x"')
    tree = with_definitions(written, expr)
    _require_known(written, tree, expr)
    try:
        found = meaning(tree, expr, shape)
    except MatcalcError as error:
        if isinstance(error, UnknownName):
            raise error.with_source(text) from None
        return Reading(text, tree, None, error=error.with_source(text))
    return Reading(text, tree, found.node, found.type.kind, notes=found.notes)


def meaning(tree: Program, expr: Expr, shape: Shape) -> Elaborated:
    """The meaning of a claim; of the given shape where it has no size of its own.

    Raises
    ------
    MatcalcError: its shapes do not fit.
    """
    try:
        return elaborate(tree, expr.vars)
    except MatcalcError as error:
        try:
            return elaborate(tree, expr.vars, shape=shape)
        except MatcalcError:
            raise error from None


def with_definitions(claim: Program, expr: Expr) -> Program:
    """The claim with the intermediates and functions of the expression in front, where it uses one of them."""
    own = set(_defined(claim))
    given = [statement for statement in expr.program.statements if isinstance(statement, Assign | Define)]
    mentioned = set(names_in(claim))
    kept = [statement for statement in given if not set(_defined(Program((statement,)))) & own]
    used = {name for statement in kept for name in _defined(Program((statement,)))}
    return Program((*kept, *claim.statements), claim.source) if used & mentioned else claim


def names_in(root: Ast) -> Iterator[str]:
    """The names that are used, with those of functions."""
    for node in nodes_of(root):
        if isinstance(node, Name):
            yield node.id
        func = getattr(node, "func", None)
        if isinstance(func, str):
            yield func


def _defined(program: Program) -> Iterator[str]:
    for statement in program.statements:
        if isinstance(statement, Assign):
            yield statement.target.id
            yield statement.target.id.rpartition("_")[0] or statement.target.id
        elif isinstance(statement, Define):
            yield statement.name.id


def _require_known(written: Program, tree: Program, expr: Expr) -> None:
    """Refuse a name that the expression does not have: a claim about other names cannot be compared."""
    sizes = {name for symbol in expr.meaning.symbols.values() for dim in symbol.type.shape for name in dim.names} | {
        name for dim in expr.node.shape for name in dim.names
    }
    found = survey(tree)
    parameters = {name.id for node in nodes_of(tree) if isinstance(node, Define) for name in node.params}
    known = {*expr.order, *_defined(tree), *sizes, *found.indices, *parameters, *CONSTANTS}
    for node in nodes_of(written):
        if not isinstance(node, Name) or node.id in known or node.id in OPERATIONS:
            continue
        base, _, below = node.id.rpartition("_")
        if base in known or (below and base and base.split("_")[0] in known):
            continue
        if set(node.id) <= found.indices:
            continue  # A_{ij} under two bound indices
        nearest = get_close_matches(node.id, sorted({*expr.order, *sizes}), 1, 0.5)
        sized = f", its sizes {', '.join(sorted(sizes))}" if sizes else ""
        listed = f"its variables are {', '.join(expr.order)}{sized}"
        raise UnknownName(
            f"the claim names {node.id}, which the expression does not have",
            span=node.span,
            source=written.source,
            hint=f"did you mean {nearest[0]}? {listed}" if nearest else listed,
        )
