"""The reader's own spelling of products: ``w · x`` and ``A \\ b``, where the text that is differentiated has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..syntax import ast
from .intermediates import COLUMN, product_of, rewritten_products
from .precedence import is_inverse, walk

DOT, SOLVE = "dot", "\\"


def habits(program: ast.Ast) -> frozenset[str]:
    """The spellings that a text uses where there are others.

    >>> from matcalc.syntax.parse import parse_expression
    >>> sorted(habits(parse_expression("w · x + b")))
    ['dot']
    """
    return frozenset(node.op for node in walk(program) if isinstance(node, ast.Binary) and node.op in (DOT, SOLVE))


def echo(root: ast.Ast, spellings: frozenset[str], kinds: Mapping[str, str]) -> ast.Ast:
    """A formula in the reader's spellings; it means the same.

    Parameters
    ----------
    root: an expression or a program.
    spellings: what `habits` found.
    kinds: of every variable: ``scalar``, ``column``, ``matrix``.
    """
    if not spellings:
        return root
    if isinstance(root, ast.Program):
        return ast.Program(tuple(_statement(statement, spellings, kinds) for statement in root.statements))
    return rewritten_products(root, lambda _, factors: _spelled(factors, spellings, kinds))


def _statement(statement: ast.Ast, spellings: frozenset[str], kinds: Mapping[str, str]) -> ast.Ast:
    match statement:
        case ast.Assign(target=target, value=value, indices=indices):
            return ast.Assign(target, echo(value, spellings, kinds), indices)
        case ast.Output(value=value):
            return ast.Output(echo(value, spellings, kinds))
        case _:
            return statement


def _spelled(factors: Sequence[ast.Ast], spellings: frozenset[str], kinds: Mapping[str, str]) -> ast.Ast:
    first, second = factors[:2]
    inner = len(factors) == 2 and isinstance(first, ast.Transpose) and _is_column(second, kinds)
    if DOT in spellings and inner and isinstance(first, ast.Transpose) and _is_column(first.arg, kinds):
        return ast.Binary(DOT, first.arg, second)
    for place in (0, len(factors) - 2):
        inverse = factors[place]
        if SOLVE in spellings and isinstance(inverse, ast.Binary) and is_inverse(inverse):
            solved = ast.Binary(SOLVE, inverse.left, factors[place + 1])
            return product_of([*factors[:place], solved, *factors[place + 2 :]])
    return product_of(factors)


def _is_column(node: ast.Ast, kinds: Mapping[str, str]) -> bool:
    return isinstance(node, ast.Name) and kinds.get(node.id) == COLUMN
