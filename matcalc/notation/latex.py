r"""The LaTeX printer: an AST as it would be typeset, in plain amsmath commands, with every name escaped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import Formatter
from typing import NamedTuple

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
from ..syntax.greek import NAME_TO_LETTER
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
    bracketed,
    is_inverse,
    operand_slots,
    render,
    spell_number,
    sum_pieces,
    unwrap,
    walk,
)

BRACKETS = (r"\left(", r"\right)")
MASK_BRACKETS = (r"\left[", r"\right]")
GREEK = frozenset(NAME_TO_LETTER) | {"ell", "varpi", "varsigma"}
ACCENTS = frozenset({"hat", "bar", "tilde"})
OPERATORS = {
    "*": JUXTAPOSE,
    "dot": r" \cdot ",
    ".*": r" \odot ",
    "./": r" \oslash ",
    "kron": r" \otimes ",
    "\\": r" \backslash ",
    "<": " < ",
    "<=": r" \le ",
    ">": " > ",
    ">=": r" \ge ",
    "==": " = ",
    "!=": r" \ne ",
}
NORM_KINDS = {"": "", "2": "_{2}", "1": "_{1}", "inf": r"_{\infty}", "F": "_{F}", "*": "_{*}"}

DEFAULT_HEADS: Mapping[str, str] = {
    "exp": r"\exp",
    "log": r"\log",
    "ln": r"\ln",
    "sin": r"\sin",
    "cos": r"\cos",
    "tan": r"\tan",
    "sinh": r"\sinh",
    "cosh": r"\cosh",
    "tanh": r"\tanh",
    "arcsin": r"\arcsin",
    "arccos": r"\arccos",
    "arctan": r"\arctan",
    "max": r"\max",
    "min": r"\min",
    "det": r"\det",
    "asin": r"\arcsin",
    "acos": r"\arccos",
    "atan": r"\arctan",
    "log2": r"\log_{2}",
    "log10": r"\log_{10}",
    "sigmoid": r"\sigma",
    "logdet": r"\log\det",
    "trace": r"\operatorname{tr}",
    "Tr": r"\operatorname{tr}",
    "sqrt": r"\sqrt{{{0}}}",
    "floor": r"\left\lfloor {0} \right\rfloor",
    "ceil": r"\left\lceil {0} \right\rceil",
    "inv": r"{0}^{{-1}}",
    "pinv": r"{0}^{{+}}",
    "transpose": r"{0}^{{\top}}",
    "inner": r"\left\langle {0}, {1} \right\rangle",
    "norm": r"\left\|{0}\right\|",
    "norm1": r"\left\|{0}\right\|_{{1}}",
    "norm2": r"\left\|{0}\right\|",
    "normF": r"\left\|{0}\right\|_{{F}}",
    "norminf": r"\left\|{0}\right\|_{{\infty}}",
    "nuclear": r"\left\|{0}\right\|_{{*}}",
    "commutation": r"K_{{{0},{1}}}",
    "duplication": r"D_{{{0}}}",
    "I": r"I_{{{dims}}}",
    "eye": r"I_{{{dims}}}",
    "ones": r"\mathbf{{1}}_{{{dims}}}",
    "zeros": r"\mathbf{{0}}_{{{dims}}}",
}
"""How calls are typeset: a head that goes in front of the bracketed arguments, or a template with ``{0}`` in it.

In a template ``{0}``, ``{1}`` are the arguments and ``{dims}`` all of them with a times sign in between; literal
braces are doubled. An argument that is not enclosed by the template is bracketed where it has to be. ``norm2`` has no
subscript because of a matrix it is the Frobenius norm, while a 2 there would name the largest singular value.
"""


class _Context(NamedTuple):
    """The heads in force."""

    heads: Mapping[str, str]


def to_latex(ast: Ast, *, heads: Mapping[str, str] | None = None) -> str:
    r"""Print an expression or a program as LaTeX.

    >>> from matcalc.syntax.parse import parse_expression
    >>> to_latex(parse_expression("1/2 x^T A x"))
    '\\frac{1}{2} x^{\\top} A x'

    Parameters
    ----------
    ast: an expression, a statement or a program (statements become the lines of an ``aligned`` environment).
    heads: more entries for `DEFAULT_HEADS`, as operation records give them; empty ones are ignored.

    Raises
    ------
    UsageError: a node that is no expression stands where one should.
    """
    table = dict(DEFAULT_HEADS)
    table.update({name: head for name, head in (heads or {}).items() if head})
    if any(isinstance(node, Name) and node.id == "sigma" for node in walk(ast)):
        table["sigmoid"] = r"\operatorname{sigmoid}"  # the letter is taken by a variable
    style = _style(_Context(table))
    if not isinstance(ast, Program):
        return _statement(ast, style)
    lines = [_statement(statement, style) for statement in ast.statements]
    if len(lines) == 1:
        return lines[0]
    body = " \\\\\n".join(_aligned(statement, line) for statement, line in zip(ast.statements, lines, strict=True))
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


def _aligned(statement: Ast, line: str) -> str:
    """A line of an ``aligned`` environment: what is assigned stands left of the sign, a formula right of it."""
    if isinstance(statement, Assign | Define):
        left, equals, right = line.partition(" = ")
        return f"{left} &{equals.lstrip()}{right}"
    # a line that begins with a minus would go on from the line above
    return f"& {{{line}}}" if line[0] in "-+" else f"& {line}"


def _style(context: _Context) -> Style:
    def level(node: Ast, compact: bool) -> int:
        return _level(node, compact, context)

    def body(node: Ast, slot: Slot) -> list[Piece]:
        return _body(node, slot, context)

    return Style(BRACKETS, MASK_BRACKETS, PRODUCTS, level, body, _separate)


_LIKE_A_FUNCTION = re.compile(r"(?:[fgh]|\\(?:sigma|phi|psi))(?:_\{.*\})?")


def _separate(before: str, after: str) -> str:
    """A blank, a dot where digits would run together, a thin space where a factor would look like a function."""
    if after[0].isdigit() or (after.startswith(r"\frac") and before[-1].isdigit()):
        return r" \cdot "
    if after == BRACKETS[0] and _LIKE_A_FUNCTION.fullmatch(before):
        return r" \, "
    return " "


# --- statements ----------------------------------------------------------------------------------


def _statement(ast: Ast, style: Style) -> str:
    match ast:
        case Output(value=value):
            return _side(value, style)
        case Assign(target=target, value=value, indices=indices):
            entry = f"_{{{_indices(indices)}}}" if indices else ""
            return f"{latex_name(target.id)}{entry} = {_side(value, style)}"
        case Define(name=name, params=params, body=body):
            listed = ", ".join(latex_name(p.id) for p in params)
            return f"{_function_name(name.id)}{BRACKETS[0]}{listed}{BRACKETS[1]} = {_side(body, style)}"
        case Declare(names=names, type=declared):
            return f"{', '.join(latex_name(n.id) for n in names)} \\in {_type(declared, style)}"
        case TypeExpr():
            return _type(ast, style)
        case _:
            return render(ast, style)


def _side(value: Ast, style: Style) -> str:
    """A side of a statement, where an equals sign of its own would be read as an assignment."""
    printed = render(value, style)
    return f"{MASK_BRACKETS[0]}{printed}{MASK_BRACKETS[1]}" if _is_equality(value) else printed


def _is_equality(node: Ast) -> bool:
    node = unwrap(node)
    return isinstance(node, Binary) and node.op == "=="


def _type(declared: TypeExpr, style: Style) -> str:
    dims = r" \times ".join(render(dim, style) for dim in declared.dims)
    space = rf"\mathbb{{R}}^{{{dims}}}" if declared.dims else r"\mathbb{R}"
    return space + "".join(rf"\ \text{{{_escape(word)}}}" for word in declared.properties)


def _indices(indices: tuple[str, ...]) -> str:
    separator = "" if all(len(index) == 1 for index in indices) else ", "
    return separator.join(map(latex_name, indices))


# --- names ---------------------------------------------------------------------------------------

_LETTER = re.compile("[A-Za-z]")
_FEW = re.compile("[A-Za-z]{1,3}")  # the indices in A_{ij}, one letter each


def latex_name(name: str) -> str:
    r"""A name as it is typeset; nothing in it can act as a command.

    >>> latex_name("lambda_1"), latex_name("theta_train"), latex_name("y_hat")
    ('\\lambda_{1}', '\\theta_{\\mathrm{train}}', '\\hat{y}')
    """
    head, _, subscript = name.partition("_")
    if not head:
        return rf"\mathrm{{{_escape(name)}}}"
    accents, words = [], subscript.split("_") if subscript else []
    while words and words[0] in ACCENTS:
        accents.append(words.pop(0))
    symbol = _symbol(head)
    for accent in accents:
        symbol = rf"\{accent}{{{symbol}}}"
    if not words:
        return symbol
    if len(words) > 1:
        return rf"{symbol}_{{\mathrm{{{_escape('_'.join(words))}}}}}"
    return f"{symbol}_{{{_symbol(words[0])}}}"


def _symbol(word: str) -> str:
    if word in GREEK:
        return f"\\{word}"
    if _LETTER.fullmatch(word) or (word.isascii() and word.isdigit()):
        return word
    return rf"\mathrm{{{_escape(word)}}}"


def _escape(word: str) -> str:
    """Letters and digits as they are, the underscore escaped; nothing else can be part of a name."""
    return "".join(c if c.isalnum() else rf"\{c}" if c in "_#%&$" else "?" for c in word)


def _function_name(func: str) -> str:
    head = func.partition("_")[0]
    if head in GREEK or _LETTER.fullmatch(head):
        return latex_name(func)
    return rf"\operatorname{{{_escape(func)}}}"


# --- expressions ---------------------------------------------------------------------------------


def _level(node: Ast, compact: bool, context: _Context) -> int:
    match node:
        case Num() as number:
            spelled = spell_number(number)
            if spelled.quotient:
                return PRODUCT if compact else POWER
            return PRODUCT if "e" in spelled.text else ATOM
        case Add(terms=()):
            return ATOM
        case Add():
            return SUM
        case Binary(op=op) if op in COMPARISONS:
            return ANY
        case Binary(op="/") if not compact:
            return POWER
        case Binary(op=op) if op in POWERS:
            return POWER
        case Binary() | IndexSum():
            return PRODUCT
        case Transpose() | Index():
            return POWER if isinstance(node, Transpose) else ATOM
        case Call() as call:
            template = _template(call, context)
            if template is None or not template.startswith("{"):
                return ATOM
            return SUM if _ENDS_WITH_FIELD.search(template) else POWER
        case _:
            return ATOM


def _body(node: Ast, slot: Slot, context: _Context) -> list[Piece]:
    match node:
        case Num() as number:
            return [_number(number, slot.compact)]
        case Name(id=name):
            return [latex_name(name)]
        case Str(value=value):
            return [rf"\text{{{''.join(_escape(c) if c not in ',->. ' else c for c in value)}}}"]
        case Add() as total:
            return sum_pieces(total, slot, PRODUCTS)
        case Binary(op=op, left=left, right=right) if op in COMPARISONS:
            side = Slot(SUM, compact=slot.compact)
            return [Part(left, side), OPERATORS[op], Part(right, side)]
        case Binary(op=op, left=left, right=right) if op in POWERS:
            ring = "" if op == "^" else r"\odot "
            return [_base(left, slot), f"^{{{ring}", Part(right, Slot(compact=True)), "}"]
        case Binary() as product:
            return _product(product, slot)
        case Transpose(arg=arg):
            return _transpose(unwrap(arg), slot)
        case Call() as call:
            return _call(call, slot, context)
        case Norm(kind=kind, arg=arg):
            return [r"\left\|", Part(arg, Slot(compact=slot.compact)), r"\right\|" + NORM_KINDS[kind]]
        case Bars(arg=arg):
            return [r"\left|", Part(arg, Slot(compact=slot.compact)), r"\right|"]
        case Index() as element:
            return _index(element)
        case IndexSum() as summation:
            return _index_sum(summation, slot)
        case Block(rows=rows):
            return [r"\begin{bmatrix} ", *_block(rows), r" \end{bmatrix}"]
        case Range(start=None, stop=None):
            return [":"]
        case Range(start=start, stop=stop):
            return [*_end(start), ":", *_end(stop)]
        case _:
            raise UsageError(f"a {type(node).__name__} is not an expression, so it cannot be printed as one")


def _number(number: Num, compact: bool) -> str:
    spelled = spell_number(number)
    if spelled.quotient and not compact:
        top, _, bottom = spelled.text.partition("/")
        return rf"\frac{{{_power_of_ten(top)}}}{{{_power_of_ten(bottom)}}}"
    return "/".join(map(_power_of_ten, spelled.text.split("/")))


def _power_of_ten(literal: str) -> str:
    """``3e-5`` as it is printed; LaTeX would set the e as a letter."""
    mantissa, e, exponent = literal.partition("e")
    if not e:
        return literal
    power = f"10^{{{exponent}}}"
    return power if mantissa == "1" else rf"{mantissa} \cdot {power}"


def _base(node: Ast, slot: Slot) -> Part:
    """The operand of a power or a transpose."""
    return Part(node, Slot(ATOM, compact=slot.compact))


def _end(end: Ast | None) -> list[Piece]:
    """An end of a range."""
    return [] if end is None else [Part(end, Slot(SUM, compact=True))]


def _product(node: Binary, slot: Slot) -> list[Piece]:
    if node.op == "/" and not slot.compact:
        numerator = Slot(SUM, sign=slot.sign)
        return [r"\frac{", Part(node.left, numerator), "}{", Part(node.right, Slot(SUM)), "}"]
    left, right = operand_slots(node, slot)
    return [Part(node.left, left), "/" if node.op == "/" else OPERATORS[node.op], Part(node.right, right)]


def _transpose(arg: Ast, slot: Slot) -> list[Piece]:
    if isinstance(arg, Binary) and is_inverse(arg):
        return [_base(arg.left, slot), r"^{-\top}"]
    if isinstance(arg, Call) and arg.func == "inv" and len(arg.args) == 1 and not arg.kwargs:
        return [_base(arg.args[0], slot), r"^{-\top}"]
    return [_base(arg, slot), r"^{\top}"]


def _index(node: Index) -> list[Piece]:
    base = unwrap(node.base)
    plain = isinstance(base, Name) and "_" not in base.id
    pieces: list[Piece] = [Part(base, Slot(ATOM))] if plain else bracketed(base, BRACKETS)
    letters = all(isinstance(item, Name) and len(item.id) == 1 for item in node.items)
    pieces.append("_{")
    if node.subscript and len(node.items) == 1 and isinstance(only := node.items[0], Name) and _FEW.fullmatch(only.id):
        return [*pieces, only.id, "}"]
    for position, item in enumerate(node.items):
        pieces += [", "] if position and not letters else []
        pieces.append(Part(item, Slot(compact=True)))
    return [*pieces, "}"]


def _index_sum(node: IndexSum, slot: Slot) -> list[Piece]:
    pieces: list[Piece] = [rf"\{node.kind}_{{{', '.join(map(latex_name, node.indices))}"]
    if node.lower is not None:
        pieces += ["=", Part(node.lower, Slot(SUM, compact=True))]
    pieces.append("}")
    if node.upper is not None:
        pieces += ["^{", Part(node.upper, Slot(SUM, compact=True)), "}"]
    return [*pieces, " ", Part(node.body, Slot(PRODUCT, compact=slot.compact))]


def _block(rows: tuple[tuple[Ast, ...], ...]) -> list[Piece]:
    pieces: list[Piece] = []
    for r, row in enumerate(rows):
        pieces += [r" \\ "] if r else []
        for c, entry in enumerate(row):
            pieces += [" & "] if c else []
            pieces.append(Part(entry, Slot()))
    return pieces


# --- calls ---------------------------------------------------------------------------------------

_FIELD = re.compile(r"\{(0|dims)\}")
_ENDS_WITH_FIELD = re.compile(r"(?<!\{)\{\d+\}$")
_OPENED = re.compile(r"(\{|\\left\S+\s*|,\s*)$")


def _template(call: Call, context: _Context) -> str | None:
    """The template of a call, if it has one that fits its arguments."""
    template = context.heads.get(call.func)
    if template is None or call.kwargs or not call.args or not _FIELD.search(template):
        return None
    fields = [field for _, field, _, _ in Formatter().parse(template) if field is not None]
    if fields == ["dims"]:
        return template
    wanted = {int(field) for field in fields if field.isdecimal()}
    return template if wanted == set(range(len(call.args))) else None


def _call(call: Call, slot: Slot, context: _Context) -> list[Piece]:
    template = _template(call, context)
    if template is not None:
        return _filled(template, call.args, slot)
    head = context.heads.get(call.func)
    if head is None or _FIELD.search(head):
        head = _function_name(call.func)
    pieces: list[Piece] = [head + BRACKETS[0]]
    for position, arg in enumerate(call.args):
        pieces += [", "] if position else []
        # a name and an equals sign would be a named argument
        equality = _is_equality(arg)
        pieces += bracketed(arg, MASK_BRACKETS) if equality else [Part(arg, Slot(compact=slot.compact))]
    for position, (key, value) in enumerate(call.kwargs):
        pieces += [", "] if position or call.args else []
        pieces += [rf"\mathrm{{{_escape(key)}}} = ", Part(value, Slot(SUM, compact=slot.compact))]
    return [*pieces, BRACKETS[1]]


def _filled(template: str, args: tuple[Ast, ...], slot: Slot) -> list[Piece]:
    """A template with its arguments, bracketed unless the template encloses them."""
    pieces: list[Piece] = []
    parts = list(Formatter().parse(template))
    literals = [literal for literal, _, _, _ in parts] + [""]
    before = ""
    for position, (literal, field, _, _) in enumerate(parts):
        before += literal
        pieces += [literal] if literal else []
        if field is None:
            continue
        if field == "dims":
            for place, arg in enumerate(args):
                pieces += [r" \times "] if place else []
                pieces.append(Part(arg, Slot(PRODUCT if len(args) > 1 else ANY, compact=True)))
            continue
        arg = args[int(field)]
        if _OPENED.search(before):
            pieces.append(Part(arg, Slot(compact=slot.compact)))
        elif template.startswith("{") or literals[position + 1]:
            pieces.append(_base(arg, slot))
        else:
            pieces += bracketed(arg, BRACKETS, compact=slot.compact)
        before = ""
    return pieces
