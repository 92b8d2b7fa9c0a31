"""The text printer: an AST as ASCII that a careful person would have typed, and that reads back as the same AST."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..errors import UsageError
from ..syntax.ast import (
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
    Program,
    Range,
    Str,
    Transpose,
    TypeExpr,
)
from .precedence import (
    ANY,
    ATOM,
    COMPARISONS,
    JUXTAPOSE,
    POWER,
    POWERS,
    PRODUCT,
    PRODUCTS,
    SUM,
    Part,
    Piece,
    Slot,
    Style,
    as_number,
    bracketed,
    is_inverse,
    is_plain_quotient,
    is_quotient,
    operand_slots,
    render,
    spell_number,
    sum_pieces,
    unwrap,
)

BRACKETS = ("(", ")")
NORM_FUNCTIONS = {"": "norm", "1": "norm1", "inf": "norminf", "F": "normF", "*": "nuclear"}
"""The norms with a function of the same meaning for every argument (``norm2`` of a matrix is not ``||X||_2``)."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """The symbols in which text and Unicode differ.

    Parameters
    ----------
    operators: the product-level operators and comparisons that are written between their operands.
    functions: product-level operators that are written as calls instead.
    transpose, inverse_transpose: what follows the operand.
    norm_bars: what encloses the argument of a norm.
    norm_kinds: what follows the closing bar.
    sums: the heads of sums over an index, by kind.
    name: the spelling of a name.
    number_exponent: the spelling of a power with a number as exponent, given its digits.
    """

    operators: Mapping[str, str]
    functions: Mapping[str, str]
    transpose: str
    inverse_transpose: str
    norm_bars: str
    norm_kinds: Mapping[str, str]
    sums: Mapping[str, str]
    name: Callable[[str], str]
    number_exponent: Callable[[str], str]


TEXT = Spelling(
    operators={op: op for op in (PRODUCTS | COMPARISONS) - {"kron", "dot"}},
    functions={"kron": "kron", "dot": "dot"},
    transpose="^T",
    inverse_transpose="^-T",
    norm_bars="||",
    norm_kinds={"": "", "2": "_2", "1": "_1", "inf": "_inf", "F": "_F", "*": "_*"},
    sums={"sum": "sum", "prod": "prod"},
    name=str,
    number_exponent="^{}".format,
)


def to_text(ast: Ast, *, separator: str = "\n") -> str:
    """Print an expression or a program as ASCII text that is valid input again.

    >>> from matcalc.syntax.parse import parse_expression
    >>> to_text(parse_expression("1/2*x.T@A@x"))
    '1/2 x^T A x'

    Parameters
    ----------
    ast: an expression, a statement or a program.
    separator: what stands between the statements of a program, a newline or ``"; "``.

    Raises
    ------
    UsageError: a string that the language has no way to write.
    """
    return print_statements(ast, TEXT, separator)


def print_statements(ast: Ast, spelling: Spelling, separator: str) -> str:
    """Print statements one by one, in the given spelling."""
    style = plain_style(spelling)
    if isinstance(ast, Program):
        return separator.join(_statement(statement, spelling, style) for statement in ast.statements)
    return _statement(ast, spelling, style)


def _statement(ast: Ast, spelling: Spelling, style: Style) -> str:
    match ast:
        case Output(value=value):
            return render(value, style)
        case Assign(target=target, value=value, indices=indices):
            return f"{spelling.name(target.id)}{_entry(indices)} = {render(value, style)}"
        case Define(name=name, params=params, body=body):
            return f"{name.id}({', '.join(spelling.name(p.id) for p in params)}) = {render(body, style)}"
        case Declare(names=names, type=declared):
            return f"{', '.join(spelling.name(n.id) for n in names)}: {_type(declared, style)}"
        case TypeExpr():
            return _type(ast, style)
        case _:
            return render(ast, style)


def _entry(indices: tuple[str, ...]) -> str:
    """The free indices of ``p_i = ...``, ``D_{ij} = ...`` and ``D[i, j, k] = ...``."""
    if not indices:
        return ""
    if len(indices) == 1:
        return f"_{indices[0]}"
    if len(indices) > 2:
        return f"[{', '.join(indices)}]"
    return "_{" + ("" if all(len(index) == 1 for index in indices) else ",").join(indices) + "}"


def _type(declared: TypeExpr, style: Style) -> str:
    dims = f"({', '.join(render(dim, style) for dim in declared.dims)})" if declared.dims else ""
    return " ".join((declared.kind + dims, *declared.properties))


def plain_style(spelling: Spelling) -> Style:
    """The printer of one line of plain characters in the given spelling."""

    def level(node: Ast, _compact: bool) -> int:
        return _level(node, spelling)

    def body(node: Ast, slot: Slot) -> list[Piece]:
        return _body(node, slot, spelling)

    return Style(BRACKETS, BRACKETS, PRODUCTS - spelling.functions.keys(), level, body, _separate)


def _separate(_before: str, after: str) -> str:
    """A blank, or a star where a blank would not be read as a product."""
    return " * " if after[0].isdigit() else " "


def _level(node: Ast, spelling: Spelling) -> int:
    match node:
        case Name() | Call():
            return ATOM
        case Num():
            return PRODUCT if is_quotient(node) else ATOM
        case Add(terms=()):
            return ATOM
        case Add():
            return SUM
        case Binary(op=op) if op in COMPARISONS:
            return ANY
        case Binary(op=op) if op in POWERS:
            return POWER
        case Binary(op=op):
            return ATOM if op in spelling.functions else PRODUCT
        case Transpose():
            return POWER
        case IndexSum():
            return PRODUCT
        case _:
            return ATOM


def _body(node: Ast, slot: Slot, spelling: Spelling) -> list[Piece]:
    match node:
        case Num():
            return [spell_number(node).text]
        case Name(id=name):
            return [spelling.name(name)]
        case Call():
            return _call(node.func, node.args, node.kwargs, slot)
        case Str(value=value):
            return [_quoted(value)]
        case Add():
            return sum_pieces(node, slot, PRODUCTS - spelling.functions.keys())
        case Binary(op=op, left=left, right=right) if op in COMPARISONS:
            side = Slot(SUM, in_bars=slot.in_bars, compact=slot.compact)
            return [Part(left, side), f" {spelling.operators[op]} ", Part(right, side)]
        case Binary(op=op) if op in POWERS:
            return _power(node, slot, spelling)
        case Binary(op=op, left=left, right=right) if op in spelling.functions:
            return _call(spelling.functions[op], (left, right), (), slot)
        case Binary():
            return _product(node, slot, spelling)
        case Transpose(arg=arg):
            return _transpose(unwrap(arg), slot, spelling)
        case Norm(kind=kind, arg=arg):
            return _norm(kind, arg, slot, spelling)
        case Bars(arg=arg):
            bars: list[Piece] = ["|", Part(arg, Slot(in_bars=True, compact=slot.compact)), "|"]
            return ["(", *bars, ")"] if slot.in_bars else bars
        case Index():
            return _index(node, spelling)
        case IndexSum():
            return _index_sum(node, slot, spelling)
        case Block(rows=rows):
            return ["[", *_block(rows, slot), "]"]
        case Range(start=None, stop=None):
            return [":"]
        case Range(start=start, stop=stop):
            return [*_end(start), ":", *_end(stop)]
        case _:
            raise UsageError(f"a {type(node).__name__} is not an expression, so it cannot be printed as one")


def _end(end: Ast | None) -> list[Piece]:
    """An end of a range."""
    return [] if end is None else [Part(end, Slot(SUM, compact=True))]


def _product(node: Binary, slot: Slot, spelling: Spelling) -> list[Piece]:
    left, right = operand_slots(node, slot)
    if node.op == "*":
        sign = JUXTAPOSE
    elif node.op == "/" and (slot.compact or is_plain_quotient(node)):
        sign = "/"
    else:
        sign = f" {spelling.operators[node.op]} "
    return [Part(node.left, left), sign, Part(node.right, right)]


def _power(node: Binary, slot: Slot, spelling: Spelling) -> list[Piece]:
    base, number_base = _base(node.left, slot), unwrap(node.left)
    if isinstance(number_base, Num) and (node.op == ".^" or "e" in spell_number(number_base).text):
        base = bracketed(number_base, BRACKETS)  # `2.^x` would be read as `2. ^ x`
    exponent = unwrap(node.right)
    number = as_number(exponent)
    if number is not None:
        digits = spell_number(Num(abs(number), exponent.text if isinstance(exponent, Num) else ""))
        if not digits.quotient and "e" not in digits.text:
            signed = "-" + digits.text if number < 0 else digits.text
            return [*base, spelling.number_exponent(signed) if node.op == "^" else f".^{signed}"]
    elif isinstance(exponent, Name) and not exponent.id.startswith("T"):  # `x^T1` would start with a transpose
        return [*base, node.op, spelling.name(exponent.id)]
    return [*base, node.op, *bracketed(exponent, BRACKETS, compact=slot.compact)]


def _base(node: Ast, slot: Slot) -> list[Piece]:
    """The operand of a power or a transpose."""
    return [Part(node, Slot(ATOM, in_bars=slot.in_bars, compact=slot.compact))]


def _transpose(arg: Ast, slot: Slot, spelling: Spelling) -> list[Piece]:
    if isinstance(arg, Binary) and is_inverse(arg):
        return [*_base(arg.left, slot), spelling.inverse_transpose]
    return [*_base(arg, slot), spelling.transpose]


def _call(func: str, args: tuple[Ast, ...], kwargs: tuple[tuple[str, Ast], ...], slot: Slot) -> list[Piece]:
    pieces: list[Piece] = [f"{func}("]
    for position, arg in enumerate(args):
        if position:
            pieces.append(", ")
        pieces.append(Part(arg, Slot(compact=slot.compact)))
    for position, (key, value) in enumerate(kwargs):
        if position or args:
            pieces.append(", ")
        pieces += (f"{key}=", Part(value, Slot(SUM, compact=slot.compact)))
    pieces.append(")")
    return pieces


def _norm(kind: str, arg: Ast, slot: Slot, spelling: Spelling) -> list[Piece]:
    if slot.in_bars and kind in NORM_FUNCTIONS:
        return _call(NORM_FUNCTIONS[kind], (arg,), (), slot)
    bars = spelling.norm_bars
    pieces: list[Piece] = [bars, Part(arg, Slot(in_bars=True, compact=slot.compact)), bars + spelling.norm_kinds[kind]]
    return ["(", *pieces, ")"] if slot.in_bars else pieces


def _index(node: Index, spelling: Spelling) -> list[Piece]:
    base = unwrap(node.base)
    items: list[Piece] = []
    for position, item in enumerate(node.items):
        items += [", "] if position else []
        items.append(Part(item, Slot(compact=True)))
    if node.subscript and isinstance(base, Name) and "_" not in base.id and not any(map(_is_range, node.items)):
        return [spelling.name(base.id), "_{", *("," if piece == ", " else piece for piece in items), "}"]
    stands = isinstance(base, (Name, Call)) or (isinstance(base, Binary) and base.op in spelling.functions)
    inner: list[Piece] = [Part(base, Slot(ATOM))] if stands else bracketed(base, BRACKETS)
    return [*inner, "[", *items, "]"]


def _is_range(node: Ast) -> bool:
    return isinstance(node, Range)


def _index_sum(node: IndexSum, slot: Slot, spelling: Spelling) -> list[Piece]:
    indices = ",".join(map(spelling.name, node.indices))
    head = spelling.sums[node.kind]
    bound = Slot(SUM, compact=True)
    body = Part(node.body, Slot(PRODUCT, in_bars=slot.in_bars, compact=slot.compact))
    if node.lower is None and node.upper is None:
        return [f"{head}_{indices} " if len(node.indices) == 1 else f"{head}_{{{indices}}} ", body]
    pieces: list[Piece] = [f"{head}_{{{indices}"]
    if node.lower is not None:
        pieces += ["=", Part(node.lower, bound)]
    pieces.append("}")
    if node.upper is not None:
        pieces += ["^{", Part(node.upper, bound), "}"]
    return [*pieces, " ", body]


def _block(rows: tuple[tuple[Ast, ...], ...], slot: Slot) -> list[Piece]:
    pieces: list[Piece] = []
    for r, row in enumerate(rows):
        pieces += ["; "] if r else []
        for c, entry in enumerate(row):
            pieces += [", "] if c else []
            pieces.append(Part(entry, Slot(compact=slot.compact)))
    return pieces


def _quoted(value: str) -> str:
    if '"' in value or "\\" in value or "\n" in value:
        raise UsageError(
            "a string cannot hold a quotation mark, a backslash or a newline",
            hint='the only string of the language is the pattern of einsum("ij,jk->ik", A, B)',
        )
    return f'"{value}"'
