"""Tokens of LaTeX to syntax tree: one small function per rule of the grammar, next to those both grammars share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

from ...errors import ParseError, Span, Unsupported
from .. import build as plain
from ..ast import (
    Add,
    Ast,
    Bars,
    Binary,
    Call,
    Index,
    IndexSum,
    Name,
    Num,
    Output,
    Transpose,
    TypeExpr,
)
from ..rewrite import parts_of
from ..table import Token


@dataclass(frozen=True, slots=True, eq=False)
class ConditionalSum(IndexSum):
    r"""``\sum_{j \ne i}``: a sum whose index obeys a condition; which letters it binds depends on what is around it."""

    condition: Ast | None = None


_COUNTERS = frozenset("ijkl")


class Wanted(NamedTuple):
    """A statement that asks for a derivative."""

    value: Ast
    wrt: tuple[str, ...]
    order: int
    claim: Ast | None
    span: Span


class Line(NamedTuple):
    """A statement, and whether a ``where`` stands before it."""

    statement: Any
    after_where: bool


class Over(NamedTuple):
    """What stands below a sum."""

    names: list[Token]
    lower: Ast | None = None
    condition: Ast | None = None
    member: Ast | None = None


class Head(NamedTuple):
    """A sum over an index without its body."""

    kind: str
    start: int
    over: Over
    upper: Ast | None


def _end(part: Any) -> int:
    return int(part.end if isinstance(part, Token) else part.span.end)


def _span(first: Any, last: Any) -> Span:
    return Span(int(first.start if isinstance(first, Token) else first.span.start), _end(last))


def _of(token: Token) -> Span:
    return Span(token.start, token.end)


# --- statements ----------------------------------------------------------------------------------


def first(parts: list[Any]) -> list[Any]:
    return [parts[0]]


def next_statement(parts: list[Any]) -> list[Any]:
    lines, separator, statement = parts
    lines.append(Line(statement, separator.value == "where"))
    return list(lines)


def output(parts: list[Any]) -> Ast:
    value: Ast = parts[0]
    return Output(value, span=value.span)


def equation(parts: list[Any]) -> Ast:
    left, token, value = parts
    if isinstance(left, Index) and isinstance(left.base, Index):
        raise ParseError(
            "The left side of `=` is not something to assign to.",
            span=left.span,
            hint="write both indices in one subscript: `y_{i,j} = …`",
        )
    if not isinstance(left, Name | Call | Index):
        raise ParseError(
            "The left side of `=` is not something to assign to.",
            span=left.span,
            hint=r"assign to one name, `\mathrm{loss} = …`, define `f(x) = …`; an equation is not a formula",
        )
    return plain.equation([left, token, value])


def objective(parts: list[Any]) -> Ast:
    return output([parts[1]])


def named_objective(parts: list[Any]) -> Ast:
    return output([parts[3]])


def declaration(parts: list[Any]) -> Ast:
    return plain.declaration(parts)


# --- types ---------------------------------------------------------------------------------------


def _properties(token: Token) -> tuple[str, ...]:
    return (token.value.split()[-1],) if token.value else ()


def space(parts: list[Any]) -> TypeExpr:
    token: Token = parts[0]
    if token.value and token.value.split()[-1] in ("symmetric", "psd", "spd"):
        return TypeExpr("matrix", (), _properties(token), span=_of(token))
    return TypeExpr("scalar", (), _properties(token), span=_of(token))


def space_of_shape(parts: list[Any]) -> TypeExpr:
    token, _, shape, closing = parts
    dims = list(shape)
    if token.value.startswith("square") and len(dims) == 1:
        dims = [dims[0], dims[0]]
    found = plain._of_dimensions(dims, _span(token, closing))
    return replace(found, properties=_properties(token))


# --- derivatives ---------------------------------------------------------------------------------


def _wanted(token: Token, variables: list[Ast] | None, value: Ast, last: Any) -> Wanted:
    span = Span(token.start, _end(last))
    order = 1
    if token.value:
        if token.value not in ("1", "2"):
            raise Unsupported(f"This is a derivative of order {token.value}.", span=_of(token), hint="up to order 2")
        order = int(token.value)
    names: list[str] = []
    for variable in variables or ():
        names += _variable(variable, order)
    if len(names) == 1 and order == 2 and token.text == r"\nabla":
        names *= 2
    if variables is not None and len(names) != order and not (len(names) > 1 and token.text == r"\nabla"):
        raise ParseError(
            f"The derivative is of order {order}, but {len(names)} variables stand below it.",
            span=span,
            hint=r"write `\frac{\partial^2 f}{\partial x^2}` or `\frac{\partial^2 f}{\partial x \partial y}`",
        )
    if len(names) > order:
        raise Unsupported("A gradient by several variables at once.", span=span, hint="ask for one variable at a time")
    return Wanted(value, tuple(names), order, None, span)


def _variable(node: Ast, order: int) -> list[str]:
    """The variable that stands below a derivative, once for each order."""
    times = 1
    if isinstance(node, Binary) and node.op == "^" and isinstance(node.right, Num) and order > 1:
        times, node = int(node.right.value), node.left
    if isinstance(node, Transpose):
        if order == 1:
            raise Unsupported(
                "A derivative by a transposed variable is another layout.",
                span=node.span,
                hint="differentiate by the variable itself and choose the layout `numerator`",
            )
        node = node.arg
    if isinstance(node, Index) and all(isinstance(item, Name | Num) for item in node.items):
        raise Unsupported(
            "A derivative by one entry.",
            span=node.span,
            hint="differentiate by the whole array; its entries are those of the answer",
        )
    if not isinstance(node, Name):
        raise ParseError("This is not a variable to differentiate by.", span=node.span, hint="differentiate by a name")
    return [node.id] * times


def derivative_of(parts: list[Any]) -> Wanted:
    token, _, value, _, _, variables, closing = parts
    return _wanted(token, variables, value, closing)


def derivative_operator(parts: list[Any]) -> Wanted:
    token, _, variables, _, value = parts
    return _wanted(token, variables, value, value)


def gradient_operator(parts: list[Any]) -> Wanted:
    token, value = parts
    return _wanted(token, None, value, value)


def request(parts: list[Any]) -> Wanted:
    found: Wanted = parts[0]
    return found


def claim(parts: list[Any]) -> Wanted:
    found, _, answer = parts
    return Wanted(found.value, found.wrt, found.order, answer, _span_to(found.span, answer))


def _span_to(span: Span, last: Ast) -> Span:
    return Span(span.start, last.span.end)


def named_request(parts: list[Any]) -> Wanted:
    found: Wanted = parts[2]
    return found


# --- operators -----------------------------------------------------------------------------------


def binary(parts: list[Any]) -> Ast:
    left, token, right = parts
    return Binary(token.value, left, right, not token.text, span=_span(left, right))


def power(parts: list[Any]) -> Ast:
    base, token, exponent, closing = parts
    return Binary(token.value, base, plain._literal(exponent), span=_span(base, closing))


def apply(parts: list[Any]) -> Ast:
    """A function without brackets."""
    head, argument = parts
    if head.text in (r"\sum", r"\prod"):
        letters = sorted(_counters(argument))
        if len(letters) > 1:
            raise ParseError(
                f"This sum has no index, and {' and '.join(letters)} could be meant.",
                span=_of(head),
                hint=rf"write `{head.text}_{{{letters[0]}}}`",
            )
        if letters:
            return IndexSum(head.value, tuple(letters), None, None, argument, span=_span(head, argument))
    return _applied(head, (argument,), (), _span(head, argument))


def _counters(value: Ast) -> set[str]:
    """The letters that count something in an expression: ``i`` of ``x_i``, if no sum inside binds it."""
    found: set[str] = set()
    stack: list[tuple[Ast, frozenset[str]]] = [(value, frozenset())]
    while stack:
        node, bound = stack.pop()
        below = [node.id.rpartition("_")[2]] if isinstance(node, Name) and "_" in node.id else []
        if isinstance(node, Index):
            below += [item.id for item in node.items if isinstance(item, Name)]
        found |= {letter for text in below if set(text) <= _COUNTERS for letter in text} - bound
        inside = bound | frozenset(node.indices) if isinstance(node, IndexSum) else bound
        stack.extend((part, inside) for part in parts_of(node))
    return found


def _applied(head: Token, args: tuple[Ast, ...], kwargs: tuple[tuple[str, Ast], ...], span: Span) -> Ast:
    name, _, exponent = head.value.partition("^")
    called = Call(name, args, kwargs, span=span, func_span=_of(head))
    if not exponent:
        return called
    return Binary(".^", called, Num(Fraction(int(exponent)), exponent, span=_of(head)), span=span)


def call(parts: list[Any]) -> Ast:
    function: Token = parts[0]
    name = function.value.partition("^")[0]
    found = plain.call([function._replace(value=name), *parts[1:]])
    assert isinstance(found, Call)
    if function.kind == "NAME":
        return found
    return _applied(function, found.args, found.kwargs, found.span)


def pseudoinverse(parts: list[Any]) -> Ast:
    base, token = parts
    return Call("pinv", (base,), span=_span(base, token), func_span=_of(token))


def fraction(parts: list[Any]) -> Ast:
    token, _, top, _, _, bottom, closing = parts
    return Binary("/", top, bottom, span=_span(token, closing))


def root(parts: list[Any]) -> Ast:
    token, _, value, closing = parts
    return Call("sqrt", (value,), span=_span(token, closing), func_span=_of(token))


def root_of_degree(parts: list[Any]) -> Ast:
    token, _, degree, _, _, value, closing = parts
    span = _span(token, closing)
    if isinstance(degree, Num) and degree.value in (2, 3):
        return Call("sqrt" if degree.value == 2 else "cbrt", (value,), span=span, func_span=_of(token))
    return Binary("^", value, Binary("/", Num(Fraction(1), "1", span=degree.span), degree, span=degree.span), span=span)


# --- brackets ------------------------------------------------------------------------------------


def bars(parts: list[Any]) -> Ast:
    opening, inner, closing = parts
    return Bars(inner, by_type=True, span=_span(opening, closing))


def rounded(parts: list[Any]) -> Ast:
    opening, inner, closing = parts
    return Call(opening.value, (inner,), span=_span(opening, closing), func_span=_of(opening))


def matrix(parts: list[Any]) -> Ast:
    opening, rows, closing = parts
    if len({len(row) for row in rows}) > 1:
        raise ParseError(
            "The rows of this matrix differ in length.",
            span=_span(opening, closing),
            hint="every row has as many `&`",
        )
    return plain.block(parts)


def cases(parts: list[Any]) -> Ast:
    opening, branches, closing = parts
    span = _span(opening, closing)
    *before, (last, condition) = branches
    if not before:
        raise ParseError("A case distinction has several cases.", span=span, hint=r"add `0 & \text{otherwise}`")
    value: Ast = last
    if condition is not None and not _rest(before, condition):
        raise ParseError(
            "The last case has a condition that may leave cases out.",
            span=condition.span,
            hint=r"write `\text{otherwise}` in the last row",
        )
    for entry, mask in reversed(before):
        if mask is None:
            raise ParseError(
                r"Only the last case is `\text{otherwise}`.", span=entry.span, hint="give every other case a condition"
            )
        value = Call("where", (mask, entry, value), span=span, func_span=_of(opening))
    return value


_OPPOSITE = {"<": (">=", ">"), "<=": (">", ">="), ">": ("<=", "<"), ">=": ("<", "<="), "==": ("!=",), "!=": ("==",)}


def _rest(before: list[tuple[Ast, Ast | None]], condition: Ast) -> bool:
    """Whether the last condition is what the one before it leaves over; a boundary they share goes to the first."""
    other = before[-1][1]
    if not (isinstance(condition, Binary) and isinstance(other, Binary)) or len(before) > 1:
        return False
    mirrored = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
    same = _same(other.left, condition.left) and _same(other.right, condition.right)
    turned = _same(other.left, condition.right) and _same(other.right, condition.left)
    opposite = _OPPOSITE.get(other.op, ())
    return (same and condition.op in opposite) or (turned and mirrored.get(condition.op, condition.op) in opposite)


def _same(one: Ast, other: Ast) -> bool:
    """Whether two expressions are written alike."""
    from ..dump import dump  # needed for case distinctions alone

    return dump(one) == dump(other)


def branch(parts: list[Any]) -> tuple[Ast, Ast | None]:
    value, _, condition = parts
    return value, None if isinstance(condition, Token) else condition


# --- indices -------------------------------------------------------------------------------------


def subscript(parts: list[Any]) -> Ast:
    """Like the subscripts of plain text, but a label that stands already in a name is not lengthened."""
    return plain.subscript(parts)


def range_open(parts: list[Any]) -> Over:
    return Over(parts[0])


def range_from(parts: list[Any]) -> Over:
    return Over(parts[0], parts[2], parts[4] if len(parts) > 3 else None)


def range_where(parts: list[Any]) -> Over:
    r"""``j \ne i``: the letters on both sides are indices, unless a sum around binds them."""
    names, token, right = parts[:3]
    left = names[-1]
    condition: Ast = Binary(token.value, Name(left.value, span=_of(left)), right, span=_span(left, right))
    if len(parts) > 3:
        condition = Binary("*", condition, parts[4], span=_span(condition, parts[4]))
    found = list(names)
    if isinstance(right, Name):
        found.append(Token("NAME", right.id, right.span.start, right.span.end, right.id))
    return Over(found, None, condition)


def range_in(parts: list[Any]) -> Over:
    names, _, of = parts
    return Over(names, member=Name(of.value, span=_of(of)))


def pairs_in(parts: list[Any]) -> Over:
    _, names, _, _, of = parts
    return Over(names, member=Name(of.value, span=_of(of)))


def index_range(parts: list[Any]) -> Head:
    token, _, over, _ = parts
    return Head(token.value, token.start, over, None)


def index_range_to(parts: list[Any]) -> Head:
    token, _, over, _, _, upper, _ = parts
    return Head(token.value, token.start, over, upper)


def summation(parts: list[Any]) -> Ast:
    head, signed = parts
    plain.summation([plain.SumRange(head.kind, head.start, (), None, None), signed])  # refuses a written plus
    span = Span(head.start, signed.term.span.end)
    body = signed.term if signed.sign == 1 else Add(((-1, signed.term),), span=signed.term.span)
    over: Over = head.over
    names = plain._index_names([token._replace(text="") for token in over.names])
    if over.member is not None:
        items = tuple(Name(name, span=over.member.span) for name in names)
        chosen = Index(over.member, items, span=over.member.span)
        if head.kind != "sum":
            raise Unsupported("A product over the members of a set.", span=span, hint="write it as a sum of logarithms")
        body = Binary("*", chosen, body, juxtaposed=True, span=body.span)
        return IndexSum(head.kind, names, None, head.upper, body, span=span)
    if over.condition is not None:
        return ConditionalSum(head.kind, names, over.lower, head.upper, body, over.condition, span=span)
    return IndexSum(head.kind, names, over.lower, head.upper, body, span=span)


ACTIONS: Mapping[str, Callable[[list[Any]], Any]] = {
    **plain.ACTIONS,
    **{
        action.__name__: action
        for action in (
            next_statement, output, equation, objective, named_objective, declaration, space, space_of_shape,
            derivative_of, derivative_operator, gradient_operator, request, claim, named_request, binary, power, apply,
            call, pseudoinverse, fraction, root, root_of_degree, bars, rounded, matrix, cases, branch, subscript,
            range_open, range_from, range_where, range_in, pairs_in, index_range, index_range_to, summation,
        )
    },
}  # fmt: skip
"""What to do at each rule of the grammar, by the name the grammar gives it."""
