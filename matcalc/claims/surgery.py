"""Small changes to a formula, one at a time: each row is a mistake that people make, and its repair.

A change that turns the right formula into the claim is the mistake; one that turns the claim into the right formula
undoes it. Every row therefore has two names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from ..elaborate.tree import parts
from ..notation.precedence import as_number
from ..notation.text import to_text
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
    Transpose,
    TypeExpr,
)

#: Formulas are changed in this many ways at most, and long ones in fewer: each change is read as a whole.
LARGEST_SURGERY = 500
LARGEST_EFFORT = 25_000
PRODUCTS = frozenset({"*", ".*", "dot"})


class Change(NamedTuple):
    """A node with something else in its place, and the piece of the formula that it is about."""

    tree: Ast
    part: str
    instead: str = ""


class Row(NamedTuple):
    """A mistake.

    Parameters
    ----------
    made: the kind of fault if the change leads from the right formula to the claim.
    undone: the kind of fault if the change leads from the claim to the right formula.
    changes: the changes of a node.
    """

    made: str
    undone: str
    changes: Callable[[Ast], Iterator[Change]]


class Edit(NamedTuple):
    """A formula with one change in it."""

    row: Row
    tree: Program
    part: str
    instead: str


# --- rows ----------------------------------------------------------------------------------------


def _flipped_terms(node: Ast) -> Iterator[Change]:
    if isinstance(node, Add):
        for place, (sign, term) in enumerate(node.terms):
            terms = (*node.terms[:place], (-sign, term), *node.terms[place + 1 :])
            yield Change(Add(terms), _text(term))


def _dropped_terms(node: Ast) -> Iterator[Change]:
    if isinstance(node, Add) and len(node.terms) > 1:
        for place, (sign, term) in enumerate(node.terms):
            rest = (*node.terms[:place], *node.terms[place + 1 :])
            yield Change(rest[0][1] if len(rest) == 1 and rest[0][0] == 1 else Add(rest), _signed(sign, term))


def _untransposed_inverse(node: Ast) -> Iterator[Change]:
    match node:
        case Transpose(Binary("^", _, exponent) as inverse) if (as_number(exponent) or 0) < 0:
            yield Change(inverse, _text(node), _text(inverse))
        case Transpose(Call("inv") as inverse):
            yield Change(inverse, _text(node), _text(inverse))
        case Binary("^", Transpose(base), exponent) if (as_number(exponent) or 0) < 0:
            power = Binary("^", base, exponent)
            yield Change(power, _text(node), _text(power))
        case Call("inv", (Transpose(base),)):
            made = Call("inv", (base,))
            yield Change(made, _text(node), _text(made))


def _transposed_inverse(node: Ast) -> Iterator[Change]:
    match node:
        case Binary("^", _, exponent) if (as_number(exponent) or 0) < 0:
            yield Change(Transpose(node), _text(node), _text(Transpose(node)))
        case Call("inv"):
            yield Change(Transpose(node), _text(node), _text(Transpose(node)))


def _untransposed(node: Ast) -> Iterator[Change]:
    if isinstance(node, Transpose):
        yield Change(node.arg, _text(node), _text(node.arg))


def _transposed(node: Ast) -> Iterator[Change]:
    if isinstance(node, Name | Binary | Add | Call | Bars | Norm) and as_number(node) is None:
        yield Change(Transpose(node), _text(node), _text(Transpose(node)))


def _exchanged(node: Ast) -> Iterator[Change]:
    """Two neighbours of a chain of matrix products change places, or the ends do."""
    if not (isinstance(node, Binary) and node.op in ("*", "dot")):
        return
    chain: list[Ast] = [node.right]
    left = node.left
    while isinstance(left, Binary) and left.op in ("*", "dot"):
        chain.append(left.right)
        left = left.left
    chain.append(left)
    chain.reverse()
    pairs = {(place, place + 1) for place in range(len(chain) - 1)} | {(0, len(chain) - 1)}
    for first, second in sorted(pairs):
        moved = list(chain)
        moved[first], moved[second] = moved[second], moved[first]
        made = moved[0]
        for factor in moved[1:]:
            made = Binary("*", made, factor, juxtaposed=True)
        yield Change(made, f"{_text(chain[first])} and {_text(chain[second])}")


def _entrywise_instead(node: Ast) -> Iterator[Change]:
    if isinstance(node, Binary) and node.op in ("*", "dot"):
        yield Change(Binary(".*", node.left, node.right), _text(node), _text(Binary(".*", node.left, node.right)))


def _matrix_instead(node: Ast) -> Iterator[Change]:
    if isinstance(node, Binary) and node.op == ".*":
        made = Binary("*", node.left, node.right, juxtaposed=True)
        yield Change(made, _text(node), _text(made))


def _without_factor(node: Ast) -> Iterator[Change]:
    if not isinstance(node, Binary):
        return
    if node.op in PRODUCTS:
        yield Change(node.right, _text(node.left))
        yield Change(node.left, _text(node.right))
    elif node.op in ("/", "./"):
        yield Change(node.left, f"1/{_atom(node.right)}")
        if as_number(node.left) is None:
            yield Change(Binary(node.op, Num(Fraction(1), "1"), node.right), _text(node.left))
    elif node.op in ("^", ".^") and (as_number(node.right) or 0) == 2:
        yield Change(node.left, _text(node.left))


def _without_inverse(node: Ast) -> Iterator[Change]:
    match node:
        case Binary("^", base, exponent) if as_number(exponent) == -1:
            yield Change(base, _text(node), _text(base))
        case Call("inv", (base,)):
            yield Change(base, _text(node), _text(base))


def _inverted(node: Ast) -> Iterator[Change]:
    if isinstance(node, Name | Add) or (isinstance(node, Binary) and node.op == "*"):
        made = Binary("^", node, Add(((-1, Num(Fraction(1), "1")),)))
        yield Change(made, _text(node), _text(made))


def _without_function(node: Ast) -> Iterator[Change]:
    if isinstance(node, Call) and len(node.args) == 1 and node.func != "inv":
        yield Change(node.args[0], node.func, _text(node.args[0]))


def _in_diag(node: Ast) -> Iterator[Change]:
    if isinstance(node, Name | Call) or (isinstance(node, Binary) and node.op in (".*", "./", ".^")):
        yield Change(Call("diag", (node,)), "diag", _text(node))


def _other_number(node: Ast) -> Iterator[Change]:
    if isinstance(node, Num):
        for value in dict.fromkeys((node.value + 1, node.value - 1, 2 * node.value, node.value / 2)):
            if value != node.value and value != 0:
                made = _number(value)
                yield Change(made, _text(node), _text(made))


def _number(value: Fraction) -> Ast:
    if value < 0:
        return Add(((-1, _number(-value)),))
    if value.denominator == 1:
        return Num(value, str(value))
    return Binary("/", Num(Fraction(value.numerator)), Num(Fraction(value.denominator)))


ROWS: tuple[Row, ...] = (
    Row("term sign", "term sign", _flipped_terms),
    Row("missing term", "extra term", _dropped_terms),
    Row("inverse transpose", "extra transpose", _untransposed_inverse),
    Row("extra transpose", "inverse transpose", _transposed_inverse),
    Row("missing transpose", "extra transpose", _untransposed),
    Row("extra transpose", "missing transpose", _transposed),
    Row("operand order", "operand order", _exchanged),
    Row("entrywise product", "matrix product", _entrywise_instead),
    Row("matrix product", "entrywise product", _matrix_instead),
    Row("missing factor", "extra factor", _without_factor),
    Row("missing inverse", "extra inverse", _without_inverse),
    Row("extra inverse", "missing inverse", _inverted),
    Row("missing function", "extra function", _without_function),
    Row("extra function", "missing function", _in_diag),
    Row("number", "number", _other_number),
)


def edits(program: Program) -> Iterator[Edit]:
    """A formula with one change, for every row and every place, row by row.

    >>> from matcalc.expression import read
    >>> [to_text(edit.tree) for edit in edits(read("A^T x")) if edit.row.made == "missing transpose"]
    ['A x']
    """
    # small pieces first: A^T rather than (2 A)^T
    found = list(places(program))[::-1]
    limit = min(LARGEST_SURGERY, LARGEST_EFFORT // max(1, len(found)))
    count = 0
    for row in ROWS:
        for path, node in found:
            for change in row.changes(node):
                count += 1
                if count > limit:
                    return
                tree = put(program, path, change.tree)
                assert isinstance(tree, Program)
                yield Edit(row, tree, change.part, change.instead)


# --- trees ---------------------------------------------------------------------------------------

Path = tuple[int, ...]


def places(root: Ast) -> Iterator[tuple[Path, Ast]]:
    """Every expression in a program with the way to it; declarations and bounds of ranges are left out."""
    stack: list[tuple[Path, Ast]] = [((), root)]
    while stack:
        path, node = stack.pop()
        if isinstance(node, Declare | TypeExpr | Range):
            continue
        if not isinstance(node, Program | Output | Assign | Define):
            yield path, node
        stack += [((*path, place), part) for place, part in reversed(list(enumerate(parts(node))))]


def put(root: Ast, path: Path, new: Ast) -> Ast:
    """A tree with another node at the end of a path."""
    above: list[Ast] = []
    node = root
    for place in path:
        above.append(node)
        node = parts(node)[place]
    for owner, place in zip(reversed(above), reversed(path), strict=True):
        below = list(parts(owner))
        below[place] = new
        new = _with_parts(owner, below)
    return new


def _with_parts(node: Ast, below: list[Ast]) -> Ast:
    """The node with other nodes directly below; the inverse of `parts`."""
    match node:
        case Add(terms):
            return replace(node, terms=tuple((sign, part) for (sign, _), part in zip(terms, below, strict=True)))
        case Binary():
            return replace(node, left=below[0], right=below[1])
        case Transpose() | Norm() | Bars():
            return replace(node, arg=below[0])
        case Call(_, args, kwargs):
            named = tuple((name, part) for (name, _), part in zip(kwargs, below[len(args) :], strict=True))
            return replace(node, args=tuple(below[: len(args)]), kwargs=named)
        case Index():
            return replace(node, base=below[0], items=tuple(below[1:]))
        case IndexSum(_, _, lower, upper):
            ends = list(below[:-1])
            return replace(
                node,
                lower=None if lower is None else ends.pop(0),
                upper=None if upper is None else ends.pop(0),
                body=below[-1],
            )
        case Block(rows):
            cells = list(below)
            return replace(node, rows=tuple(tuple(cells.pop(0) for _ in row) for row in rows))
        case Assign() | Output():
            return replace(node, value=below[0])
        case Define():
            return replace(node, body=below[0])
        case Program():
            return replace(node, statements=tuple(below))
    raise AssertionError(f"{type(node).__name__} has no parts to replace")


def _text(node: Ast) -> str:
    return to_text(node)


def _atom(node: Ast) -> str:
    text = to_text(node)
    return text if isinstance(node, Name | Num | Norm | Call) else f"({text})"


def _signed(sign: int, node: Ast) -> str:
    return to_text(node if sign == 1 else Add(((-1, node),)))
