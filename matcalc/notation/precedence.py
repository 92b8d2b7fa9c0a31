"""What every printer knows about brackets: levels of binding, signs, numbers and the way a tree becomes tokens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

from ..limits import tick
from ..syntax.ast import (
    Add,
    Assign,
    Ast,
    Binary,
    Call,
    Declare,
    Define,
    Group,
    Index,
    IndexSum,
    Name,
    Num,
    TypeExpr,
)
from ..syntax.rewrite import parts_of

# How tightly a piece of notation binds, loosest first.
ANY, SUM, PRODUCT, POWER, ATOM = range(5)

COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})
PRODUCTS = frozenset({"*", ".*", "/", "./", "\\", "kron", "dot"})
DIVISIONS = frozenset({"/", "./"})
POWERS = frozenset({"^", ".^"})
_LARGEST_SUBSCRIPT = 10**9

JUXTAPOSE = "\0"
"""The token between two factors written side by side; what stands there depends on its neighbours."""

Sign = Literal["ask", "plain", "unsigned"]


class Slot(NamedTuple):
    """The place a node is printed in.

    Parameters
    ----------
    need: the level it must have to stand without brackets.
    followed: another factor of the same product comes after it (an open-ended sum would swallow it).
    in_bars: inside norm or absolute bars with no bracket in between, where a bar would close them.
    compact: inside a subscript, an exponent or a bound.
    sign: ``ask`` whether it starts with a negative number; ``plain`` when it does not; ``unsigned`` when the
        minus has already been written.
    """

    need: int = ANY
    followed: bool = False
    in_bars: bool = False
    compact: bool = False
    sign: Sign = "ask"


class Part(NamedTuple):
    """A node still to be printed, and where."""

    node: Ast
    slot: Slot


Piece = str | Part


@dataclass(frozen=True, slots=True)
class Style:
    """What sets one printer apart from another.

    Parameters
    ----------
    brackets: the opening and the closing bracket.
    mask_brackets: the same around a comparison.
    products: the operators of the product level that this style writes between their operands.
    level: how tightly a node binds in this style, given whether the slot is compact.
    body: the pieces of a node, brackets aside.
    separate: what stands between two tokens written side by side.
    """

    brackets: tuple[str, str]
    mask_brackets: tuple[str, str]
    products: frozenset[str]
    level: Callable[[Ast, bool], int]
    body: Callable[[Ast, Slot], list[Piece]]
    separate: Callable[[str, str], str]


def render(root: Ast, style: Style) -> str:
    """Print a tree; linear in the output, with a stack of its own.

    Parameters
    ----------
    root: an expression.
    style: the printer.
    """
    stack: list[Piece] = [Part(root, Slot())]
    tokens: list[str] = []
    while stack:
        piece = stack.pop()
        if isinstance(piece, Part):
            pieces = _arrange(piece.node, piece.slot, style)
            pieces.reverse()
            stack += pieces
        else:
            tokens.append(piece)
    return _join(tokens, style)


def _join(tokens: list[str], style: Style) -> str:
    return "".join(
        [
            style.separate(tokens[position - 1], tokens[position + 1]) if token == JUXTAPOSE else token
            for position, token in enumerate(tokens)
        ]
    )


def _arrange(node: Ast, slot: Slot, style: Style) -> list[Piece]:
    """The pieces of a node in its slot: sign first, then brackets, then the body."""
    if isinstance(node, Group):
        return bracketed(node.arg, style.brackets, compact=slot.compact)
    if isinstance(node, Name):
        return style.body(node, slot)
    node = unwrap(node)
    if slot.sign == "ask":
        if not starts_negative(node, style.products):
            slot = Slot(slot.need, slot.followed, slot.in_bars, slot.compact, "plain")
        elif slot.need <= SUM:
            return ["-", Part(node, slot._replace(need=PRODUCT, sign="unsigned"))]
        else:
            return bracketed(node, style.brackets, compact=slot.compact)
    swallows = slot.followed and isinstance(node, IndexSum)
    if swallows or style.level(node, slot.compact) < slot.need:
        is_mask = isinstance(node, Binary) and node.op in COMPARISONS
        brackets = style.mask_brackets if is_mask else style.brackets
        return bracketed(node, brackets, compact=slot.compact, sign=slot.sign)
    return style.body(node, slot)


def bracketed(node: Ast, brackets: tuple[str, str], *, compact: bool = False, sign: Sign = "ask") -> list[Piece]:
    """A node between brackets, where everything may stand again."""
    return [brackets[0], Part(node, Slot(compact=compact, sign=sign)), brackets[1]]


_RESPELLED = (Add, Call, Index)


def unwrap(node: Ast) -> Ast:
    """The node that its text reads back as.

    Leading plus signs are gone, ``-2`` is a number, ``kron(A, B)`` the operator and ``x_{i}`` the name ``x_i``.
    """
    if not isinstance(node, _RESPELLED):
        return node
    while isinstance(node, Add) and len(node.terms) == 1 and node.terms[0][0] > 0:
        node = node.terms[0][1]
    match node:
        case Add(terms=((_, Num(value=value, text=text)),)):
            return Num(-value, text)
        case Call(func="kron", args=(left, right), kwargs=()):
            return Binary("kron", left, right)
        case Index(base=Name(id=base), items=(item,), subscript=True) if "_" not in base:
            return _subscripted(base, item) or node
        case _:
            return node


def _subscripted(base: str, item: Ast) -> Name | None:
    """``x_i`` and ``x_12``, which are names until a declaration says otherwise."""
    match item:
        case Name(id=letter) if len(letter) == 1:
            return Name(f"{base}_{letter}")
        case Num(value=value) if value.denominator == 1 and 0 <= value < _LARGEST_SUBSCRIPT:
            return Name(f"{base}_{value}")
        case _:
            return None


def starts_negative(node: Ast, products: frozenset[str]) -> bool:
    """Whether the first factor of a product, as written from left to right, is a negative number."""
    node = unwrap(node)
    while isinstance(node, Binary) and node.op in products:
        node = unwrap(node.left)
    return isinstance(node, Num) and node.value.numerator < 0


def sum_pieces(node: Add, slot: Slot, products: frozenset[str]) -> list[Piece]:
    """Signed terms; a term that starts with a negative number gives its sign to the sum."""
    if not node.terms:
        return ["0"]
    plus, minus = ("+", "-") if slot.compact else (" + ", " - ")
    plain = Slot(PRODUCT, False, slot.in_bars, slot.compact, "plain")
    unsigned = plain._replace(sign="unsigned")
    pieces: list[Piece] = []
    for position, (sign, term) in enumerate(node.terms):
        flips = starts_negative(term, products)
        negative = (sign < 0) != flips
        if position:
            pieces.append(minus if negative else plus)
        elif negative:
            pieces.append("-")
        pieces.append(Part(term, unsigned if flips else plain))
    return pieces


def operand_slots(node: Binary, slot: Slot) -> tuple[Slot, Slot]:
    """The slots of the two operands of a product-level operator.

    The level is left-associative, so the right operand must bind tighter, except for a sum over an index at the
    very end; the left one never has to, but is bracketed where a reader would group it differently.
    """
    left, right = unwrap(node.left), unwrap(node.right)
    left_need = POWER if _misleading(node.op, left) else PRODUCT
    ends_open = node.op == "*" and isinstance(right, IndexSum) and not slot.followed
    right_need = PRODUCT if ends_open else POWER
    return (
        Slot(left_need, True, slot.in_bars, slot.compact, slot.sign),
        Slot(right_need, slot.followed, slot.in_bars, slot.compact, "ask"),
    )


def _misleading(op: str, left: Ast) -> bool:
    """Whether ``left op right`` reads as if the last operator of ``left`` came after ``op``."""
    if not isinstance(left, Binary) or left.op not in PRODUCTS or left.op == "*":
        return False
    if left.op == "\\":
        return True
    if left.op in DIVISIONS:
        return op not in DIVISIONS and not is_plain_quotient(left)
    return op not in DIVISIONS and op != left.op


def is_plain_quotient(node: Ast) -> bool:
    """Whether a quotient is of two single tokens: ``1/2``, ``1/n``; it is written without blanks."""
    if not isinstance(node, Binary) or node.op != "/" or not (_is_token(node.left) and _is_token(node.right)):
        return False
    divisor = unwrap(node.right)
    return not (isinstance(divisor, Num) and divisor.value < 0)


def _is_token(node: Ast) -> bool:
    node = unwrap(node)
    return not is_quotient(node) if isinstance(node, Num) else isinstance(node, Name)


# --- numbers -------------------------------------------------------------------------------------


class NumberSpelling(NamedTuple):
    """How the absolute value of a number is written, and whether that is a quotient ``p/q``."""

    text: str
    quotient: bool = False


_LITERAL = re.compile(r"(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?")
_DIGITS_AT_ONCE = 4000  # Python refuses to convert more than 4300 digits in one go
_LONGEST_INTEGER = 21


def spell_number(number: Num) -> NumberSpelling:
    """Write the absolute value of a number: as it was typed, else as the shortest exact literal.

    >>> spell_number(Num(Fraction(1, 2))).text, spell_number(Num(Fraction(1, 1000))).text
    ('1/2', '0.001')
    """
    short = len(number.text) <= _LONGEST_INTEGER and number.text.isdecimal()
    if short and number.value.denominator == 1 and abs(number.value.numerator) == int(number.text):
        return NumberSpelling(number.text)
    value = abs(number.value)
    if len(number.text) < _DIGITS_AT_ONCE:
        literal = _LITERAL.fullmatch(number.text)
        if literal is not None and _literal_value(literal) == value:
            return NumberSpelling(number.text.replace("E", "e").replace("e+", "e"))
    if value.denominator == 1:
        return NumberSpelling(_integer(value.numerator))
    quotient = NumberSpelling(f"{_integer(value.numerator)}/{_integer(value.denominator)}", quotient=True)
    decimal = _decimal(value) if value.denominator > 100 else None
    if decimal is None or len(decimal) > len(quotient.text):
        return quotient
    return NumberSpelling(decimal)


def is_quotient(number: Num) -> bool:
    """Whether the absolute value of a number is written as ``p/q``."""
    return number.value.denominator != 1 and spell_number(number).quotient


def _literal_value(literal: re.Match[str]) -> Fraction | None:
    whole, decimals, exponent = literal.group(1), literal.group(2) or "", int(literal.group(3) or 0)
    if abs(exponent) > _DIGITS_AT_ONCE:
        return None
    return Fraction(int(whole + decimals)) * Fraction(10) ** (exponent - len(decimals))


def _integer(value: int) -> str:
    """Decimal digits of a non-negative integer; long runs of zeros as an exponent."""
    digits = decimal_digits(value)
    if len(digits) <= _LONGEST_INTEGER:
        return digits
    significant = digits.rstrip("0")
    zeros = len(digits) - len(significant)
    return f"{significant}e{zeros}" if zeros > 6 else digits


def decimal_digits(value: int) -> str:
    """The decimal digits of a non-negative integer of any length."""
    if value.bit_length() < 3 * _DIGITS_AT_ONCE:
        return str(value)
    chunk = 10**_DIGITS_AT_ONCE
    pieces: list[str] = []
    while value >= chunk:
        value, rest = divmod(value, chunk)
        pieces.append(str(rest).rjust(_DIGITS_AT_ONCE, "0"))
    pieces.append(str(value))
    return "".join(reversed(pieces))


def _decimal(value: Fraction) -> str | None:
    """The exact decimal literal of a positive fraction, plain or with an exponent, or None if it does not end."""
    rest, places, twos, fives = value.denominator, 0, 0, 0
    twos = (rest & -rest).bit_length() - 1
    rest >>= twos
    while rest % 5 == 0:
        rest //= 5
        fives += 1
    if rest != 1:
        return None
    places = max(twos, fives)
    digits = decimal_digits(value.numerator * 10**places // value.denominator)
    plain = f"{digits[:-places] or '0'}.{digits.rjust(places, '0')[-places:]}"
    scientific = f"{digits}e-{places}"
    return plain if len(plain) <= max(len(scientific), 7) else scientific


def as_number(node: Ast) -> Fraction | None:
    """The value of a number, written with or without a minus."""
    node = unwrap(node)
    return node.value if isinstance(node, Num) else None


def is_inverse(node: Ast) -> bool:
    """Whether a node is ``X^-1``."""
    return isinstance(node, Binary) and node.op == "^" and as_number(node.right) == -1


# --- trees ---------------------------------------------------------------------------------------


_WITH_NAMES = (TypeExpr, Declare, Assign, Define)


def children(node: Ast) -> tuple[Ast, ...]:
    """The direct parts of a node, in the order they are written."""
    if not isinstance(node, _WITH_NAMES):
        return parts_of(node)
    match node:
        case TypeExpr(dims=dims):
            return dims
        case Declare(names=names, type=declared):
            return (*names, declared)
        case Assign(target=target, value=value):
            return (target, value)
        case Define(name=name, params=params, body=body):
            return (name, *params, body)


def walk(root: Ast) -> Iterator[Ast]:
    """Every node of a tree, parents before their parts, left to right."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        below = children(node)
        tick(len(below))
        stack += below[::-1]


def distinct(*roots: Ast) -> Iterator[Ast]:
    """Every node of trees that share parts, each object once, in no particular order."""
    seen = set(map(id, roots))
    stack = list(roots)
    while stack:
        tick()
        node = stack.pop()
        yield node
        for child in children(node):
            if id(child) not in seen:
                seen.add(id(child))
                stack.append(child)


def written_size(root: Ast) -> int:
    """The number of nodes of a tree as it is written, where parts that are shared count as often as they occur."""
    sizes: dict[int, int] = {}
    stack = [root]
    while stack:
        node = stack[-1]
        if id(node) in sizes:
            stack.pop()
            continue
        missing = [child for child in children(node) if id(child) not in sizes]
        if missing:
            stack.extend(missing)
            continue
        tick()
        sizes[id(node)] = 1 + sum(sizes[id(child)] for child in children(node))
        stack.pop()
    return sizes[id(root)]
