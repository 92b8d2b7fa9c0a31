"""Matrix notation under construction: chains of factors, entrywise products and scalar factors, as plain data.

A `Chain` is a matrix product in reading order; transposing it reverses the order and flips each item, so that
``(A B)^T`` is written ``B^T A^T`` and ``x^T`` meets ``A`` without brackets.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from ..expr.build import magnitude
from ..expr.dims import Dim
from ..expr.nodes import Exact
from ..ops.registry import OPERATIONS
from ..syntax import ast
from .precedence import PRODUCTS


class Item(NamedTuple):
    """One factor of a chain: its syntax, whether it is transposed, whether transposing it changes nothing.

    ``turned`` is the syntax of the transposed expression where that is more than a ``^T``; ``rank`` orders factors
    as the reader wrote them.
    """

    ast: ast.Ast
    transposed: bool = False
    symmetric: bool = False
    turned: ast.Ast | None = None
    rank: tuple[int, ...] = ()


Chain = tuple[Item, ...]


def single(tree: ast.Ast, symmetric: bool = False, turned: ast.Ast | None = None, rank: tuple[int, ...] = ()) -> Chain:
    """A chain of one factor."""
    if isinstance(tree, ast.Transpose) and turned is None:
        return (Item(tree.arg, True, symmetric, None, rank),)
    return (Item(tree, False, symmetric, turned, rank),)


def best_scalar(chain: Chain) -> Chain:
    """A scalar chain or its transpose: fewer transposed matrices first, then the reader's order of names."""
    return min((chain, flip(chain)), key=_reading_key)


def best_cycle(chain: Chain) -> Chain:
    """The rotation and orientation in which a trace reads best."""
    turns = [chain[k:] + chain[:k] for k in range(len(chain))]
    turns += [flip(turn) for turn in turns]
    return min(turns, key=_reading_key)


def _reading_key(chain: Chain) -> tuple[int, tuple[tuple[int, ...], ...]]:
    return sum(item.transposed for item in chain), tuple(item.rank for item in chain)


def flip(chain: Chain) -> Chain:
    """The transposed chain."""
    return tuple(item if item.symmetric else item._replace(transposed=not item.transposed) for item in reversed(chain))


def chain_ast(chain: Chain) -> ast.Ast:
    """The chain as syntax; repeated factors become a power, and powers of one matrix one power."""
    groups: list[tuple[Item, int]] = []
    for item in chain:
        exponent = _power(item.ast)[1]
        if groups and _continues(groups[-1][0], item) and (groups[-1][1] > 0) == (exponent > 0):
            groups[-1] = (item, groups[-1][1] + exponent)
        else:
            groups.append((item, exponent))
    result: ast.Ast | None = None
    for item, exponent in groups:
        factor = _grouped(item, exponent)
        result = factor if result is None else times(result, factor)
    assert result is not None
    return result


def _power(tree: ast.Ast) -> tuple[ast.Ast, int]:
    """A base and the whole number it is raised to; anything else is its own base."""
    if isinstance(tree, ast.Binary) and tree.op == "^" and isinstance(tree.right, ast.Num):
        value = tree.right.value
        if value.denominator == 1 and value:
            return tree.left, int(value)
    return tree, 1


def _continues(before: Item, item: Item) -> bool:
    """Whether two neighbours are powers of one matrix."""
    left, right = _power(before.ast)[0], _power(item.ast)[0]
    named = isinstance(left, ast.Name) and isinstance(right, ast.Name) and left.id == right.id
    return (left is right or named) and before.transposed == item.transposed


def _grouped(item: Item, exponent: int) -> ast.Ast:
    """A power of an item's base; the item itself where nothing was put together."""
    base, own = _power(item.ast)
    if exponent == own:
        if item.transposed and item.turned is not None:
            return item.turned
        return ast.Transpose(item.ast) if item.transposed else item.ast
    powered = ast.Binary("^", base, integer(exponent))
    return ast.Transpose(powered) if item.transposed else powered


def integer(value: Exact) -> ast.Num:
    """A whole number (possibly negative, as an exponent)."""
    return ast.Num(Fraction(value), str(value))


def rational(value: Exact) -> ast.Ast:
    """A positive exact number as a person writes it: ``1/2``, ``0.044715``, ``1e-8``."""
    if value.denominator == 1:
        return integer(value.numerator)
    fraction = Fraction(value)
    if fraction.denominator <= 1000:
        return ast.Binary("/", integer(fraction.numerator), integer(fraction.denominator))
    rest = fraction.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest == 1:
        return ast.Num(fraction, decimal_text(fraction))
    return ast.Binary("/", integer(fraction.numerator), integer(fraction.denominator))


def decimal_text(value: Fraction) -> str:
    """The exact decimal expansion of a fraction whose denominator divides a power of ten."""
    places = 0
    scaled = value
    while scaled.denominator != 1:
        scaled *= 10
        places += 1
    digits = str(abs(scaled.numerator)).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    whole, part = digits[:-places], digits[-places:]
    if places > 6 and whole == "0":
        significant = part.lstrip("0")
        exponent = len(part) - len(significant) + 1
        mantissa = significant[0] + ("." + significant[1:] if len(significant) > 1 else "")
        return f"{sign}{mantissa}e-{exponent}"
    return f"{sign}{whole}.{part}"


def dimension(dim: Dim) -> ast.Ast:
    """A dimension as an expression over names and integers."""
    terms: list[tuple[int, ast.Ast]] = []
    for monomial, coefficient in dim.terms:
        parts: list[ast.Ast] = []
        if abs(coefficient) != 1 or not monomial:
            parts.append(rational(abs(coefficient)))
        for name, power in monomial:
            base: ast.Ast = ast.Name(name)
            parts.append(base if power == 1 else ast.Binary("^", base, integer(power)))
        tree = parts[0]
        for part in parts[1:]:
            tree = times(tree, part)
        terms.append((1 if coefficient > 0 else -1, tree))
    if not terms:
        return integer(0)
    if len(terms) == 1 and terms[0][0] == 1:
        return terms[0][1]
    return ast.Add(tuple(terms))


def times(left: ast.Ast, right: ast.Ast) -> ast.Ast:
    """Juxtaposition."""
    return ast.Binary("*", left, right, juxtaposed=True)


HALF = Fraction(1, 2)


def in_front(scalar: ast.Ast, tree: ast.Ast) -> ast.Ast:
    """A scalar times a product, without brackets: products associate to the left."""
    spine: list[ast.Binary] = []
    while isinstance(tree, ast.Binary) and tree.op in PRODUCTS:
        if spine and spine[-1].op == "*" and tree.op != "*":
            break
        spine.append(tree)
        tree = tree.left
    divides = bool(spine) and spine[-1].op in ("/", "./")
    result = scalar if divides and isinstance(tree, ast.Num) and tree.value == 1 else times(scalar, tree)
    for node in reversed(spine):
        result = ast.Binary(node.op, result, node.right, node.juxtaposed)
    return result


def call(name: str, *args: ast.Ast, **options: ast.Ast) -> ast.Call:
    """A function call."""
    return ast.Call(name, tuple(args), tuple(options.items()))


def raised(tree: ast.Ast, exponent: Exact, entrywise: bool) -> ast.Ast:
    """A positive power; square roots by name."""
    if exponent == 1:
        return tree
    if exponent == HALF:
        return call("sqrt", tree)
    power: ast.Ast = integer(exponent.numerator) if exponent.denominator == 1 else rational(exponent)
    return ast.Binary(".^" if entrywise else "^", tree, power)


class Quotient(NamedTuple):
    """Entrywise (or scalar) factors above and below the line."""

    above: tuple[Chain, ...] = ()
    below: tuple[ast.Ast, ...] = ()


def entrywise_chain(pieces: Sequence[Quotient]) -> Chain:
    """The entrywise product of vectors (or of matrices) as a chain; at least one factor must be there."""
    above = [chain for piece in pieces for chain in piece.above]
    below = [tree for piece in pieces for tree in piece.below]
    if len(above) == 1 and not below:
        return above[0]
    result: ast.Ast | None = None
    for chain in above:
        tree = chain_ast(chain)
        result = tree if result is None else ast.Binary(".*", result, tree)
    for tree in below:
        result = ast.Binary("./", result if result is not None else integer(1), tree)
    assert result is not None
    return single(result)


def with_scalars(
    coefficient: Exact, above: Sequence[ast.Ast], below: Sequence[ast.Ast], body: ast.Ast | None
) -> tuple[int, ast.Ast]:
    """A sign and a term: number, scalar factors, then the matrix part, divided by what is below the line."""
    sign = 1 if coefficient >= 0 else -1
    size = magnitude(coefficient)
    if body is not None and not above and not below:
        return sign, body if size == 1 else in_front(rational(size), body)
    front: list[ast.Ast] = []
    simple = [part for part in below if isinstance(part, ast.Name)]
    complicated = len(simple) < len(below)
    has_body = body is not None
    if not has_body and below and all(_is_plain(part) for part in above):
        # N/(2 beta), 1/(3 cbrt(x)^2): a scalar with short factors is one fraction
        if size.denominator != 1:
            below = [integer(size.denominator), *below]
        if size.numerator != 1 or not above:
            front.append(integer(size.numerator))
    elif simple and not complicated and (has_body or (above and not _is_fraction(size, above))):
        # 2/n X^T r, 1/(2 n) ||r||^2: a short divisor goes in front, with the number
        divisor: ast.Ast = simple[0]
        for name in simple[1:]:
            divisor = times(divisor, name)
        if size.denominator != 1:
            divisor = times(integer(size.denominator), divisor)
        front.append(ast.Binary("/", integer(size.numerator), divisor))
        below = ()
    elif size != 1:
        front.append(rational(size))
    if body is not None:
        above = [ast.Group(part) if _is_product(part) else part for part in above]
    parts = [*front, *above]
    if body is not None:
        parts.append(body)
    tree: ast.Ast | None = None
    for part in parts:
        tree = part if tree is None else in_front(tree, part)
    if tree is None:
        tree = integer(1)
    if below:
        divisor = below[0]
        for other in below[1:]:
            divisor = times(divisor, other)
        tree = ast.Binary("/", tree, divisor)
    return sign, tree


def _is_fraction(size: Exact, above: Sequence[ast.Ast]) -> bool:
    """Whether ``cos(x) / x`` is to be one fraction: values of functions over a name, not a mean ``1/n ||r||^2``."""
    functions = [part for part in above if isinstance(part, ast.Call) and _is_entrywise(part)]
    return size == 1 and bool(functions) and all(part in functions or _is_plain(part) for part in above)


def _is_entrywise(tree: ast.Call) -> bool:
    return tree.func in OPERATIONS and OPERATIONS[tree.func].kind == "map"


def _is_plain(tree: ast.Ast) -> bool:
    """A name, a number or a power of one."""
    if isinstance(tree, ast.Binary) and tree.op == "^":
        tree = tree.left
    return isinstance(tree, ast.Name | ast.Num | ast.Index)


def _is_product(tree: ast.Ast) -> bool:
    return isinstance(tree, ast.Binary) and tree.op in PRODUCTS


def signed(sign: int, tree: ast.Ast) -> ast.Ast:
    """The term with its sign."""
    return tree if sign > 0 else ast.Add(((-1, tree),))
