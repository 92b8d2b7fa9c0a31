"""The length of a formula, counted in operators: what the presentation pass makes small."""

from __future__ import annotations

from ..limits import tick
from ..syntax.ast import Add, Ast, Bars, Binary, Block, Call, Index, IndexSum, Norm, Num, Transpose
from .precedence import POWERS, PRODUCTS, as_number, children, starts_negative, unwrap

FREE_CALLS = frozenset({"I", "eye", "ones", "zeros"})


def operator_count(ast: Ast) -> int:
    """Count the operators of a formula as it is printed.

    Every operator, call, norm, index, block and sum over an index counts 1; names, numbers (``-1`` as an exponent and
    ``1/2`` among them), ``I(n)`` and ``ones(n)`` count 0; a sum of k terms has k - 1 operators, a leading minus is one
    more.

    >>> from matcalc.syntax.parse import parse_expression
    >>> operator_count(parse_expression("(A + A^T) x"))
    3

    Parameters
    ----------
    ast: an expression, a statement or a program.
    """
    total = 0
    stack: list[tuple[Ast, bool]] = [(ast, True)]  # the flag: a minus in front of this node has not been counted
    while stack:
        tick()
        node, sign_open = stack.pop()
        node = unwrap(node)
        if sign_open and starts_negative(node, PRODUCTS):
            total += 1
        match node:
            case Num() | Add(terms=()):
                continue
            case Add(terms=terms):
                flips = [starts_negative(term, PRODUCTS) for _, term in terms]
                total += len(terms) - 1 + ((terms[0][0] < 0) != flips[0])
                stack.extend((term, False) for _, term in terms)
            case Binary(op="/", left=Num(), right=Num()):
                continue
            case Binary(op=op, left=left, right=right) if op in POWERS:
                total += 1
                stack.append((left, True))
                if as_number(right) is None:
                    stack.append((right, True))
            case Binary(op=op, left=left, right=right):
                total += 1
                stack.append((left, op not in PRODUCTS))
                stack.append((right, True))
            case Call(func=func) if func in FREE_CALLS:
                continue
            case _:
                if isinstance(node, (Transpose, Call, Norm, Bars, Index, IndexSum, Block)):
                    total += 1
                stack.extend((child, True) for child in children(node))
    return total
