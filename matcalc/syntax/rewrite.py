"""The same tree with other parts: one pass from the leaves up, on an explicit stack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .ast import (
    Add,
    Assign,
    Ast,
    Bars,
    Binary,
    Block,
    Call,
    Define,
    Group,
    Index,
    IndexSum,
    Name,
    Norm,
    Num,
    Output,
    Program,
    Range,
    Transpose,
)


def parts_of(node: Ast) -> tuple[Ast, ...]:
    """The expressions directly below a node, in reading order."""
    match node:
        case Name() | Num():
            return ()
        case Binary(_, left, right):
            return left, right
        case Call(_, args, kwargs):
            return args + tuple([value for _, value in kwargs]) if kwargs else args
        case Add(terms):
            return tuple([term for _, term in terms])
        case Transpose(arg) | Norm(_, arg) | Bars(arg) | Group(arg):
            return (arg,)
        case Range(start, stop):
            return tuple(end for end in (start, stop) if end is not None)
        case Index(base, items):
            return base, *items
        case IndexSum(_, _, lower, upper, body):
            return *(end for end in (lower, upper) if end is not None), body
        case Block(rows):
            return tuple(entry for row in rows for entry in row)
        case Assign(_, value) | Output(value) | Define(_, _, value):
            return (value,)
        case Program(statements):
            return statements
        case _:
            return ()


def with_parts(node: Ast, parts: tuple[Ast, ...]) -> Ast:
    """The node with other parts, as many as `parts_of` gives."""
    given = iter(parts)
    match node:
        case Add(terms):
            return replace(node, terms=tuple((sign, next(given)) for sign, _ in terms))
        case Binary():
            return replace(node, left=next(given), right=next(given))
        case Transpose() | Norm() | Bars() | Group():
            return replace(node, arg=next(given))
        case Call(_, args, kwargs):
            positional = tuple(next(given) for _ in args)
            return replace(node, args=positional, kwargs=tuple((key, next(given)) for key, _ in kwargs))
        case Range(start, stop):
            first = None if start is None else next(given)
            return replace(node, start=first, stop=None if stop is None else next(given))
        case Index(_, items):
            return replace(node, base=next(given), items=tuple(next(given) for _ in items))
        case IndexSum(_, _, lower, upper):
            low = None if lower is None else next(given)
            high = None if upper is None else next(given)
            return replace(node, lower=low, upper=high, body=next(given))
        case Block(rows):
            return replace(node, rows=tuple(tuple(next(given) for _ in row) for row in rows))
        case Assign() | Output():
            return replace(node, value=next(given))
        case Define():
            return replace(node, body=next(given))
        case Program(statements):
            return replace(node, statements=tuple(next(given) for _ in statements))
        case _:
            return node


def rewritten(root: Ast, change: Callable[[Ast, Ast], Ast]) -> Ast:
    """Replace every node by ``change(original, node with its new parts)``, leaves first and shared ones once.

    >>> from matcalc.syntax.ast import Name
    >>> tree = Transpose(Name("x"))
    >>> rewritten(tree, lambda _, node: Name("y") if isinstance(node, Name) else node)
    Transpose(span=Span(start=0, end=0), arg=Name(span=Span(start=0, end=0), id='y'))
    """
    done: dict[int, Ast] = {}
    stack = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if id(node) in done:
            continue
        below = parts_of(node)
        if not ready:
            stack.append((node, True))
            stack.extend((part, False) for part in reversed(below))
            continue
        new = tuple([done[id(part)] for part in below])
        same = all(one is other for one, other in zip(new, below, strict=True))
        done[id(node)] = change(node, node if same else with_parts(node, new))
    return done[id(root)]
