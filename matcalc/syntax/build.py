"""Tokens to syntax tree: one small function per rule of the grammar, called while the text is parsed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

from ..errors import ParseError, Span
from ..limits import current, exceeded
from . import hints
from .ast import (
    Add,
    Assign,
    Ast,
    Bars,
    Binary,
    Block,
    Call,
    Declare,
    Define,
    Index,
    IndexSum,
    Name,
    Norm,
    Num,
    Output,
    Range,
    Str,
    Transpose,
    TypeExpr,
)
from .rewrite import parts_of
from .scan import KINDS
from .table import Token

MINUS_ONE = Fraction(-1)
_CROSSED = re.compile("[A-Za-z]x[A-Za-z]")
_ARRAY_WORDS = frozenset({"array", "ndarray", "list", "tuple", "column", "row", "str", "string", "dict", "object"})
_NUMBER_WORDS = frozenset({"real", "float", "double", "number", "int", "bool", "constant"})
_INDEX_LETTERS = re.compile("[a-z]{2,4}")


class Signed(NamedTuple):
    """A term of a sum with its sign, and where the sign stands."""

    sign: int
    term: Ast
    start: int


class Keyword(NamedTuple):
    """``axis=0``."""

    name: Token
    value: Ast


class SumRange(NamedTuple):
    """``sum_{i=1}^{N}`` without its body."""

    kind: str
    start: int
    indices: tuple[str, ...]
    lower: Ast | None
    upper: Ast | None


def _spanning(first: Ast | Token, last: Ast | Token) -> Span:
    start = first.start if isinstance(first, Token) else first.span.start
    end = last.end if isinstance(last, Token) else last.span.end
    return Span(start, end)


# --- lists ---------------------------------------------------------------------------------------


def first(parts: list[Any]) -> list[Any]:
    return [parts[0]]


def following(parts: list[Any]) -> list[Any]:
    items: list[Any] = parts[0]
    items.append(parts[2])
    return items


# --- leaves --------------------------------------------------------------------------------------


def name(parts: list[Any]) -> Ast:
    token: Token = parts[0]
    return Name(token.value, span=Span(token.start, token.end))


def number(parts: list[Any]) -> Ast:
    """A number as an exact fraction; its size as written and its exponent are limited."""
    token: Token = parts[0]
    text, span = token.text, Span(token.start, token.end)
    _check_digits(text, span)
    if text.isdecimal():
        return Num(Fraction(int(text)), text, span=span)
    mantissa, _, exponent = text.lower().partition("e")
    allowed = current().exponent
    if exponent and (len(exponent) > 6 or abs(int(exponent)) > allowed):
        message = f"The exponent of `{text}` is beyond {allowed}"
        raise exceeded("exponent", message, span, "scale the quantities of the formula")
    whole, _, fraction = mantissa.partition(".")
    value = Fraction(int(whole + fraction or "0"), 10 ** len(fraction))
    if exponent:
        value *= Fraction(10) ** int(exponent)
    return Num(value, text, span=span)


def _check_digits(text: str, span: Span) -> None:
    """Refuse a number that is written with too many digits."""
    allowed = current().digits
    if len(text) > allowed:
        raise exceeded("digits", f"A number has more than {allowed} digits", span, "use fewer digits")


def string(parts: list[Any]) -> Ast:
    token: Token = parts[0]
    return Str(token.text[1:-1], span=Span(token.start, token.end))


# --- sums and operators --------------------------------------------------------------------------


def positive(parts: list[Any]) -> Signed:
    term: Ast = parts[0]
    return Signed(1, term, term.span.start)


def sign(parts: list[Any]) -> Signed:
    token, signed = parts
    return Signed(-signed.sign if token.value == "-" else signed.sign, signed.term, token.start)


def added(parts: list[Any]) -> list[Signed]:
    terms: list[Signed] = parts[0]
    terms.append(sign(parts[1:]))
    return terms


def total(parts: list[Any]) -> Ast:
    terms: list[Signed] = parts[0]
    if len(terms) == 1 and terms[0].sign == 1:
        return terms[0].term
    span = Span(terms[0].start, terms[-1].term.span.end)
    return Add(tuple((item.sign, item.term) for item in terms), span=span)


def negated(parts: list[Any]) -> Ast:
    token: Token = parts[0]
    operand: Ast = parts[1]
    if token.value == "+":
        return operand
    return Add(((-1, operand),), span=_spanning(token, operand))


def binary(parts: list[Any]) -> Ast:
    left, token, right = parts
    span = _spanning(left, right)
    if token.kind == "CARET":
        return Binary(token.value, left, _literal(right), span=span)
    return Binary(token.value, left, right, token.kind == "PRODUCT" and not token.text, span=span)


def _literal(exponent: Ast) -> Ast:
    """``-1`` as one number, so that every spelling of an inverse has one shape."""
    if not isinstance(exponent, Add) or len(exponent.terms) != 1:
        return exponent
    factor, term = exponent.terms[0]
    if not isinstance(term, Num):
        return exponent
    return Num(factor * term.value, ("-" if factor < 0 else "") + term.text, span=exponent.span)


def superscript(parts: list[Any]) -> Ast:
    base, token = parts
    text: str = token.value
    span = Span(token.start, token.end)
    letters = text.lstrip("+-")
    if letters.isdigit() and len(text) - len(letters) <= 1:
        _check_digits(letters, span)
        exponent: Ast = Num(Fraction(int(text)), text.lstrip("+"), span=span)
    elif len(letters) == 1 and text[:-1] in ("", "-"):
        exponent = Name(letters, span=span)
        if text[0] == "-":
            exponent = Add(((-1, exponent),), span=span)
    else:
        raise ParseError(f"The raised text `{token.text}` is not a power.", span=span, hint=f"write `^({text})`")
    return Binary("^", base, exponent, span=_spanning(base, token))


def transpose(parts: list[Any]) -> Ast:
    base, token = parts
    span = _spanning(base, token)
    if token.value == "-":
        base = Binary("^", base, Num(MINUS_ONE, "-1", span=Span(token.start, token.end)), span=span)
    return Transpose(base, span=span)


def positive_part(parts: list[Any]) -> Ast:
    base, token = parts
    return Call("relu", (base,), span=_spanning(base, token), func_span=Span(token.start, token.end))


def root(parts: list[Any]) -> Ast:
    token, operand = parts
    return Call(token.value, (operand,), span=_spanning(token, operand), func_span=Span(token.start, token.end))


# --- brackets ------------------------------------------------------------------------------------


def group(parts: list[Any]) -> Ast:
    opening, _, closing = parts
    inner: Ast = parts[1]
    return replace(inner, span=_spanning(opening, closing))


def norm(parts: list[Any]) -> Ast:
    opening, inner, closing = parts
    return Norm(closing.value, inner, span=_spanning(opening, closing))


def bars(parts: list[Any]) -> Ast:
    opening, inner, closing = parts
    return Bars(inner, span=_spanning(opening, closing))


def inner(parts: list[Any]) -> Ast:
    opening, left, _, right, closing = parts
    return Call("inner", (left, right), span=_spanning(opening, closing), func_span=Span(opening.start, opening.end))


def block(parts: list[Any]) -> Ast:
    opening, rows, closing = parts
    span = _spanning(opening, closing)
    if len(rows) == 1 and len(rows[0]) == 1:
        only: Ast = rows[0][0]
        return replace(only, span=span)
    return Block(tuple(tuple(row) for row in rows), span=span)


def keyword(parts: list[Any]) -> Keyword:
    return Keyword(parts[0], parts[2])


def call(parts: list[Any]) -> Ast:
    function: Token = parts[0]
    arguments: list[Ast | Keyword] = parts[2] if len(parts) == 4 else []
    positional: list[Ast] = []
    named: dict[str, Ast] = {}
    for argument in arguments:
        if not isinstance(argument, Keyword):
            if named:
                raise ParseError(
                    "A value without a name follows a named argument.", span=argument.span, hint="put it first"
                )
            positional.append(argument)
            continue
        token = argument.name
        if token.value in named:
            raise ParseError(
                f"The argument `{token.text}` is given twice.", span=Span(token.start, token.end), hint="remove one"
            )
        named[token.value] = argument.value
    return Call(
        function.value,
        tuple(positional),
        tuple(named.items()),
        span=_spanning(function, parts[-1]),
        func_span=Span(function.start, function.end),
    )


# --- indices -------------------------------------------------------------------------------------


def everything(parts: list[Any]) -> Ast:
    return Range(None, None, span=Span(parts[0].start, parts[0].end))


def range_(parts: list[Any]) -> Ast:
    start, _, stop = parts
    return Range(start, stop, span=_spanning(start, stop))


def index(parts: list[Any]) -> Ast:
    base, _, items, closing = parts
    return Index(base, tuple(items), span=_spanning(base, closing))


def subscript(parts: list[Any]) -> Ast:
    """``x_{i}`` is the name ``x_i``; ``A_{ij}`` and ``x_{i+1}`` are entries."""
    base, _, items, closing = parts
    span = _spanning(base, closing)
    items = [item for entry in items for item in _apart(entry)]
    if isinstance(base, Name) and len(items) == 1:
        only = items[0]
        short = only.id if isinstance(only, Name) else only.text if isinstance(only, Num) else ""
        # Greek is one letter however long its name is, so the written width counts.
        if short.replace("_", "").isalnum() and only.span.end - only.span.start == 1:
            return Name(f"{base.id}_{short}", span=span)
    return Index(base, tuple(items), subscript=True, span=span)


def _apart(entry: Ast) -> list[Ast]:
    """``i j`` inside a subscript are two indices."""
    parts: list[Ast] = []
    rest = entry
    while isinstance(rest, Binary) and rest.juxtaposed and isinstance(rest.right, Name):
        parts.append(rest.right)
        rest = rest.left
    if not isinstance(rest, Name):
        return [entry]
    parts.append(rest)
    return parts[::-1]


def indices(parts: list[Any]) -> tuple[tuple[str, ...], Ast | None]:
    return _index_names(parts[0]), None


def indices_from(parts: list[Any]) -> tuple[tuple[str, ...], Ast | None]:
    return _index_names(parts[0]), parts[2]


def _index_names(tokens: list[Token]) -> tuple[str, ...]:
    """The bound names; ``ij`` is read as two, as in print."""
    names: list[str] = []
    for token in tokens:
        for found in token.value if _INDEX_LETTERS.fullmatch(token.text) else [token.value]:
            if found in names:
                raise ParseError(
                    f"The index `{found}` is named twice.",
                    span=Span(token.start, token.end),
                    hint="every index of a sum has its own letter",
                )
            names.append(found)
    return tuple(names)


def index_range(parts: list[Any]) -> SumRange:
    token, _, (names, lower), _ = parts
    return SumRange(token.value, token.start, names, lower, None)


def index_range_to(parts: list[Any]) -> SumRange:
    token, _, (names, lower), _, _, upper = parts
    return SumRange(token.value, token.start, names, lower, upper)


def index_range_to_first(parts: list[Any]) -> SumRange:
    token, _, upper, _, (names, lower), _ = parts
    return SumRange(token.value, token.start, names, lower, upper)


def summation(parts: list[Any]) -> Ast:
    head, signed = parts
    if signed.sign == 1 and signed.start < signed.term.span.start:
        raise ParseError(
            "A sum over an index is followed by `+`.",
            span=Span(signed.start, signed.start + 1),
            hint="write what is summed behind it, `sum_{i=1}^{N} x_i`, without a sign",
        )
    span = Span(head.start, signed.term.span.end)
    body = signed.term if signed.sign == 1 else Add(((-1, signed.term),), span=Span(signed.start, span.end))
    return IndexSum(head.kind, head.indices, head.lower, head.upper, body, span=span)


# --- types ---------------------------------------------------------------------------------------


def type_(parts: list[TypeExpr]) -> TypeExpr:
    return parts[0]


def with_property(parts: list[Any]) -> TypeExpr:
    found: TypeExpr = parts[0]
    token: Token = parts[1]
    if token.value in found.properties:
        raise ParseError(
            f"The property `{token.text}` is given twice.", span=Span(token.start, token.end), hint="remove one"
        )
    properties = (*found.properties, token.value)
    return replace(found, properties=properties, span=_spanning(found, token))


def with_property_before(parts: list[Any]) -> TypeExpr:
    token: Token = parts[0]
    found: TypeExpr = parts[1]
    with_property([found, token])
    properties = (token.value, *found.properties)
    return replace(found, properties=properties, span=_spanning(token, found))


def kind(parts: list[Any]) -> TypeExpr:
    token: Token = parts[0]
    return TypeExpr(token.value, (), span=Span(token.start, token.end))


def kind_of_shape(parts: list[Any]) -> TypeExpr:
    token, _, dimensions, closing = parts
    span = _spanning(token, closing)
    checked = tuple(_dimension(entry) for entry in dimensions)
    wanted = {"scalar": 0, "vector": 1, "matrix": 2}.get(token.value)
    if wanted is not None and len(checked) != wanted:
        counts = {0: "no dimension", 1: "one dimension", 2: "two dimensions"}
        example = {"scalar": "scalar", "vector": "vector(n)", "matrix": "matrix(m, n)"}[token.value]
        if token.value == "matrix" and len(checked) > 2:
            example = "tensor(...)"
        raise ParseError(
            f"A {token.value} has {counts[wanted]}, here are {len(checked)}.", span=span, hint=f"write `{example}`"
        )
    return TypeExpr(token.value, checked, span=span)


def _of_dimensions(dimensions: list[Ast], span: Span) -> TypeExpr:
    checked = tuple(_dimension(entry) for entry in dimensions)
    return TypeExpr({1: "vector", 2: "matrix"}.get(len(checked), "tensor"), checked, span=span)


def reals(parts: list[Any]) -> TypeExpr:
    return TypeExpr("scalar", (), span=Span(parts[0].start, parts[0].end))


def reals_of_shape(parts: list[Any]) -> TypeExpr:
    return _of_dimensions(parts[3], _spanning(parts[0], parts[4]))


def reals_of_extents(parts: list[Any]) -> TypeExpr:
    return _of_dimensions(parts[2], _spanning(parts[0], parts[2][-1]))


def array(parts: list[Any]) -> TypeExpr:
    entries: list[Ast] = parts[0]
    only = entries[0]
    if len(entries) == 1 and isinstance(only, Name):
        near = "scalar" if only.id in _NUMBER_WORDS else "vector" if only.id in _ARRAY_WORDS else None
        near = near or hints.closest(only.id, KINDS)
        if near is None:
            near = next((word for word in KINDS if only.id.lower().startswith(word)), None)
        if near is not None:
            example = {"scalar": "scalar", "vector": "vector(n)", "matrix": "matrix(m, n)"}.get(near, "tensor(i, j, k)")
            raise ParseError(f"`{only.id}` is not a type.", span=only.span, hint=f"did you mean `{example}`?")
    return _of_dimensions(entries, _spanning(entries[0], entries[-1]))


def _dimension(entry: Ast) -> Ast:
    """Refuse what is not a sum or product of names and whole numbers."""
    waiting: list[Ast] = [entry]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Name):
            if node.id in KINDS:
                raise ParseError(
                    f"`{node.id}` is a type, not a dimension.", span=node.span, hint="name the dimension `n`"
                )
            if _CROSSED.fullmatch(node.id):
                raise ParseError(
                    f"`{node.id}` is one name, not two dimensions.",
                    span=node.span,
                    hint=f"write `{node.id[0]} x {node.id[2]}` or `{node.id[0]}×{node.id[2]}`",
                )
        elif isinstance(node, Num):
            if node.value.denominator != 1 or not node.text.isdigit():
                raise ParseError(f"`{node.text}` is not a whole number.", span=node.span, hint="a dimension is a count")
        elif isinstance(node, Add):
            if all(factor < 0 for factor, _ in node.terms):
                raise ParseError("A dimension is negative here.", span=node.span, hint="a dimension is a count")
            waiting.extend(term for _, term in node.terms)
        elif isinstance(node, Binary) and node.op in ("*", "dot", "/"):
            waiting.extend((node.left, node.right))
        elif isinstance(node, Binary) and node.op == "^" and isinstance(node.right, Num):
            waiting.append(node.left)
        elif isinstance(node, Call):
            near = hints.closest(node.func, KINDS)
            raise ParseError(
                f"`{node.func}` is not a type.",
                span=node.func_span,
                hint=f"did you mean `{near}`?" if near else f"the types are {', '.join(KINDS)}",
            )
        else:
            raise ParseError(
                "This is not a dimension.",
                span=node.span,
                hint="a dimension is a name, a whole number, or a sum or product of them",
            )
    return entry


# --- statements ----------------------------------------------------------------------------------


def output(parts: list[Any]) -> Ast:
    return Output(parts[0], span=parts[0].span)


def declared(parts: list[list[Ast]]) -> list[Ast]:
    return parts[0]


def declaration(parts: list[Any]) -> Ast:
    names, _, found = parts
    for entry in names:
        if not isinstance(entry, Name):
            raise ParseError(
                "Only names can be declared.", span=entry.span, hint="write `x: vector(n)` or `A, B: matrix(m, n)`"
            )
    return Declare(tuple(names), found, span=_spanning(names[0], found))


def equation(parts: list[Any]) -> Ast:
    left, _, value = parts
    span = _spanning(left, value)
    if isinstance(left, Name):
        return Assign(left, value, span=span)
    if isinstance(left, Call):
        return _definition(left, value, span)
    if isinstance(left, Index) and isinstance(left.base, Name):
        return _entrywise(left, left.base, value, span)
    raise ParseError(
        "The left side of `=` is not something to assign to.",
        span=left.span,
        hint="assign to a name, `y = ...`, define `f(x) = ...` without a blank before the bracket, compare with `==`",
    )


def _definition(left: Call, body: Ast, span: Span) -> Ast:
    for argument in [*left.args, *(value for _, value in left.kwargs)]:
        if not isinstance(argument, Name) or left.kwargs:
            raise ParseError(
                "The parameters of a definition are names.", span=argument.span, hint=f"write `{left.func}(x) = ...`"
            )
    parameters = tuple(argument for argument in left.args if isinstance(argument, Name))
    if not parameters:
        raise ParseError(
            f"`{left.func}()` has no parameter.", span=left.span, hint=f"write `{left.func} = ...` for a plain name"
        )
    seen: set[str] = set()
    for parameter in parameters:
        if parameter.id in seen:
            raise ParseError(f"The parameter `{parameter.id}` stands twice.", span=parameter.span, hint="rename one")
        seen.add(parameter.id)
    return Define(Name(left.func, span=left.func_span), parameters, body, span=span)


def _entrywise(left: Index, base: Name, value: Ast, span: Span) -> Ast:
    """``D_{ij} = ...`` runs over ``i`` and ``j`` if the right side uses them; else ``D_ij`` is a name."""
    if len(left.items) == 1 and left.subscript:
        only = left.items[0]
        word = only.id if isinstance(only, Name) else only.text if isinstance(only, Num) else ""
        letters = tuple(word)
        distinct = len(set(letters)) == len(letters) and word.isalpha() and word.islower() and word.isascii()
        if distinct and set(letters) <= used_letters(value):
            return Assign(base, value, letters, span=span)
        if word:
            return Assign(Name(f"{base.id}_{word}", span=left.span), value, span=span)
    names = tuple(item.id for item in left.items if isinstance(item, Name))
    if len(names) < len(left.items) or len(set(names)) < len(names):
        raise ParseError(
            "The entries on the left of `=` are not free indices.",
            span=left.span,
            hint="write `D_{ij} = ...` or `x_i = ...` with letters that run over all entries",
        )
    return Assign(base, value, names, span=span)


def used_letters(value: Ast) -> set[str]:
    """The letters that occur as names or subscripts in an expression."""
    found: set[str] = set()
    waiting: list[Ast] = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Name):
            stem, *subscripts = node.id.split("_")
            found.update((stem, *"".join(subscripts)))
        elif isinstance(node, Index):
            for item in node.items:
                if isinstance(item, Name):
                    found.update(item.id)
                waiting.append(item)
            waiting.append(node.base)
        else:
            waiting.extend(parts_of(node))
    return found


ACTIONS: dict[str, Callable[[list[Any]], Any]] = {
    action.__name__.rstrip("_"): action
    for action in (
        first, following, name, number, string, positive, sign, added, total, negated, binary, superscript, transpose,
        positive_part, root, group, norm, bars, inner, block, keyword, call, everything, range_, index, subscript,
        indices, indices_from, index_range, index_range_to, index_range_to_first, summation, type_, with_property,
        with_property_before, kind, kind_of_shape, reals, reals_of_shape, reals_of_extents, array, output, declared,
        declaration, equation,
    )
}  # fmt: skip
"""What to do at each rule of the grammar, by the name the grammar gives it."""
