"""Formulas with parts replaced, bottom-up and without recursion, and the types of what they name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..elaborate import type_text
from ..errors import Unsupported
from ..expr.dims import Shape
from ..expr.typed import Kind, Type
from ..notation.precedence import children
from ..syntax.ast import (
    Add,
    Assign,
    Ast,
    Bars,
    Binary,
    Block,
    Call,
    Group,
    Index,
    IndexSum,
    Norm,
    Output,
    Program,
    Range,
    Transpose,
)


def rebuilt(node: Ast, parts: Sequence[Ast]) -> Ast:
    """The same piece of syntax on other parts.

    Parameters
    ----------
    node: the piece.
    parts: as many as `children` finds, in that order.
    """
    if all(new is old for new, old in zip(parts, children(node), strict=True)):
        return node
    match node:
        case Add(terms=terms):
            return Add(tuple((sign, part) for (sign, _), part in zip(terms, parts, strict=True)))
        case Binary(op=op, juxtaposed=juxtaposed):
            return Binary(op, parts[0], parts[1], juxtaposed)
        case Transpose():
            return Transpose(parts[0])
        case Norm(kind=kind):
            return Norm(kind, parts[0])
        case Bars():
            return Bars(parts[0])
        case Group():
            return Group(parts[0])
        case Call(func=func, args=args, kwargs=kwargs):
            options = tuple((key, part) for (key, _), part in zip(kwargs, parts[len(args) :], strict=True))
            return Call(func, tuple(parts[: len(args)]), options)
        case Index(subscript=subscript):
            return Index(parts[0], tuple(parts[1:]), subscript)
        case Range(start=start, stop=stop):
            ends = list(parts)
            return Range(ends.pop(0) if start is not None else None, ends.pop(0) if stop is not None else None)
        case IndexSum(kind=kind, indices=indices, lower=lower, upper=upper):
            ends = list(parts)
            first = ends.pop(0) if lower is not None else None
            last = ends.pop(0) if upper is not None else None
            return IndexSum(kind, indices, first, last, ends[0])
        case Block(rows=rows):
            entries = iter(parts)
            return Block(tuple(tuple(next(entries) for _ in row) for row in rows))
        case Output():
            return Output(parts[0])
        case Assign(target=target, indices=indices):
            return Assign(target, parts[1], indices)
        case Program():
            return Program(tuple(parts))
    raise Unsupported(f"a {type(node).__name__} has no place in a derivation")


def replaced(tree: Ast, rule: Callable[[Ast], Ast | None]) -> Ast:
    """A formula in which every piece for which the rule has an answer is replaced by it.

    Parameters
    ----------
    tree: the formula.
    rule: the replacement of a piece, or None to keep it and look inside.
    """
    done: dict[int, Ast] = {}
    stack = [(tree, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            done[id(node)] = rebuilt(node, [done[id(child)] for child in children(node)])
            continue
        answer = rule(node)
        if answer is not None:
            done[id(node)] = answer
            continue
        stack.append((node, True))
        stack.extend((child, False) for child in children(node))
    return done[id(tree)]


def without_groups(tree: Ast) -> Ast:
    """A formula without the brackets that are there for the reader's sake alone."""
    done: dict[int, Ast] = {}
    stack = [(tree, False)]
    while stack:
        node, ready = stack.pop()
        if not ready:
            stack.append((node, True))
            stack.extend((child, False) for child in children(node))
            continue
        parts = [done[id(child)] for child in children(node)]
        done[id(node)] = parts[0] if isinstance(node, Group) else rebuilt(node, parts)
    return done[id(tree)]


def type_of(shape: Shape) -> str:
    """The type of an array of a shape, as it is declared."""
    kinds: Mapping[int, Kind] = {0: "scalar", 1: "column", 2: "matrix"}
    return type_text(Type(kinds.get(len(shape), "tensor"), shape))
