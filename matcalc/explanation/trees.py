"""Formulas with parts replaced, bottom-up and without recursion, and the types of what they name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..elaborate import type_text
from ..expr.dims import Shape
from ..expr.typed import Kind, Type
from ..syntax.ast import Ast, Group
from ..syntax.rewrite import parts_of, rewritten, with_parts


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
            done[id(node)] = with_parts(node, tuple(done[id(child)] for child in parts_of(node)))
            continue
        answer = rule(node)
        if answer is not None:
            done[id(node)] = answer
            continue
        stack.append((node, True))
        stack.extend((child, False) for child in parts_of(node))
    return done[id(tree)]


def without_groups(tree: Ast) -> Ast:
    """A formula without the brackets that are there for the reader's sake alone."""
    return rewritten(tree, lambda _, node: node.arg if isinstance(node, Group) else node)


def type_of(shape: Shape) -> str:
    """The type of an array of a shape, as it is declared."""
    kinds: Mapping[int, Kind] = {0: "scalar", 1: "column", 2: "matrix"}
    return type_text(Type(kinds.get(len(shape), "tensor"), shape))
