"""Walks over the syntax tree that need no types."""

from __future__ import annotations

from collections.abc import Iterator

from ..syntax.ast import (
    Add, Assign, Ast, Bars, Binary, Block, Call, Declare, Define, Index, IndexSum, Name, Norm, Output, Program, Range,
    Transpose, TypeExpr,
)  # fmt: skip


def parts(node: Ast) -> tuple[Ast, ...]:
    """The nodes directly below, in reading order.

    >>> [part.id for part in parts(Binary("*", Name("A"), Name("x")))]
    ['A', 'x']
    """
    match node:
        case Add(terms):
            return tuple(term for _, term in terms)
        case Binary(_, left, right):
            return left, right
        case Transpose(arg) | Norm(_, arg) | Bars(arg):
            return (arg,)
        case Call(_, args, kwargs):
            return (*args, *(value for _, value in kwargs))
        case Range(start, stop):
            return tuple(end for end in (start, stop) if end is not None)
        case Index(base, items):
            return (base, *items)
        case IndexSum(_, _, lower, upper, body):
            return tuple(end for end in (lower, upper) if end is not None) + (body,)
        case Block(rows):
            return tuple(cell for row in rows for cell in row)
        case TypeExpr(_, dims):
            return dims
        case Declare(_, type):
            return (type,)
        case Assign(_, value) | Output(value):
            return (value,)
        case Define(_, _, body):
            return (body,)
        case Program(statements):
            return statements
    return ()


def nodes_of(root: Ast) -> Iterator[Ast]:
    """Every node below the root and the root itself, in reading order."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(parts(node)))


def index_names(program: Program) -> frozenset[str]:
    """Every name that is bound as an index somewhere."""
    found: set[str] = set()
    for node in nodes_of(program):
        if isinstance(node, IndexSum):
            found.update(node.indices)
        elif isinstance(node, Assign):
            found.update(node.indices or free_indices(node))
    return frozenset(found)


def free_indices(node: Assign) -> tuple[str, ...]:
    """The indices of ``p_i = x_i^2``: the letters behind the target that subscript something in the value."""
    base, _, suffix = node.target.id.rpartition("_")
    if not base or not suffix.isalpha() or len(suffix) > 2 or len(set(suffix)) < len(suffix):
        return ()
    letters = set(suffix)
    used: set[str] = set()
    bound: set[str] = set()
    for part in nodes_of(node.value):
        if isinstance(part, Name):
            owner, _, below = part.id.rpartition("_")
            if owner and set(below) <= letters:
                used |= set(below)
        elif isinstance(part, Index):
            used |= {name.id for item in part.items for name in nodes_of(item) if isinstance(name, Name)} & letters
            for item in part.items:
                if isinstance(item, Name) and part.subscript and set(item.id) <= letters:
                    used |= set(item.id)
        elif isinstance(part, IndexSum):
            bound |= set(part.indices)
    return tuple(suffix) if used - bound == letters else ()
