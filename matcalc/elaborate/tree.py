"""Walks over the syntax tree that need no types."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..ops.registry import OPERATIONS
from ..syntax.ast import (
    Add,
    Assign,
    Ast,
    Binary,
    Call,
    Declare,
    Index,
    IndexSum,
    Name,
    Norm,
    Num,
    Program,
    Range,
    Transpose,
    TypeExpr,
)  # fmt: skip
from ..syntax.rewrite import parts_of


def parts(node: Ast) -> tuple[Ast, ...]:
    """The nodes directly below, in reading order.

    >>> [part.id for part in parts(Transpose(Name("A")))]
    ['A']
    """
    if isinstance(node, TypeExpr):
        return node.dims
    if isinstance(node, Declare):
        return (node.type,)
    return parts_of(node)


def nodes_of(root: Ast) -> Iterator[Ast]:
    """Every node below the root and the root itself, in reading order."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack += parts(node)[::-1]


@dataclass(frozen=True, slots=True)
class Survey:
    """What one walk over a program finds.

    Parameters
    ----------
    count: the number of nodes.
    indices: every name that is bound as an index somewhere.
    sizes: names that stand in bounds, in ranges and as arguments that are sizes, in order.
    assigned: the names that are assigned.
    entries: how many subscripts a name has, where it has some.
    vectors: names that are transposed or stand alone in a norm.
    """

    count: int
    indices: frozenset[str]
    sizes: tuple[str, ...]
    assigned: frozenset[str]
    entries: Mapping[str, int]
    vectors: frozenset[str]


def survey(program: Program) -> Survey:
    """Walk over a program once for the names it binds and the places names stand at."""
    nodes = list(nodes_of(program))
    indices: set[str] = set()
    assigned: set[str] = set()
    vectors: set[str] = set()
    subscripts: list[Name | Index] = []
    written: list[Ast] = []
    for node in nodes:
        match node:
            case Num() | Binary() | Add():
                continue
            case Name(name):
                if "_" in name:
                    subscripts.append(node)
            case Transpose(Name(name)) | Norm(_, Name(name)):
                vectors.add(name)
            case Index(base):
                if isinstance(base, Name):
                    subscripts.append(node)
            case IndexSum(_, names, lower, upper):
                indices.update(names)
                written.extend(end for end in (lower, upper) if end is not None)
            case Range(start, stop):
                written.extend(end for end in (start, stop) if end is not None)
            case Call():
                written.extend(size_arguments(node))
            case Assign(target, _, bound):
                indices.update(bound or free_indices(node))
                assigned.add(target.id)
    sizes = dict.fromkeys(part.id for end in written for part in nodes_of(end) if isinstance(part, Name))
    bound_names = frozenset(indices)
    entries = _entries(subscripts, bound_names)
    return Survey(len(nodes), bound_names, tuple(sizes), frozenset(assigned), entries, frozenset(vectors))


def size_arguments(node: Call) -> Sequence[Ast]:
    """The arguments of a call that are sizes."""
    if node.func == "e" and len(node.args) == 2:
        return node.args
    record = OPERATIONS.get(node.func)
    if record is None:
        return ()
    sized = record.size_arguments
    return node.args if sized == "all" else [node.args[place] for place in sized if place < len(node.args)]


def _entries(subscripts: Sequence[Name | Index], bound: frozenset[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in subscripts:
        if isinstance(node, Name):
            name, _, below = node.id.rpartition("_")
            count = 1 if below in bound else _letters(below, bound)
        else:
            assert isinstance(node.base, Name)
            name, count = node.base.id, _entry_count(node, bound)
        if name and count:
            found[name] = max(found.get(name, 0), count)
    return found


def _letters(text: str, bound: frozenset[str]) -> int:
    """How many indices a run of letters is."""
    return len(text) if len(text) > 1 and all(letter in bound for letter in text) else 0


def _entry_count(node: Index, bound: frozenset[str]) -> int:
    only = node.items[0]
    if len(node.items) > 1 or not node.subscript:
        return len(node.items)
    if isinstance(only, Num):
        return 0
    if isinstance(only, Name) and only.id not in bound:
        return _letters(only.id, bound)
    return 1


def free_indices(node: Assign, *known: Container[str]) -> tuple[str, ...]:
    """The indices of ``p_i = x_i^2``: the letters behind the target that subscript something in the value.

    A name that is known as a whole, such as a declared ``c_t``, has no subscript.
    """
    base, _, suffix = node.target.id.rpartition("_")
    if not base or not suffix.isalpha() or len(suffix) > 2 or len(set(suffix)) < len(suffix):
        return ()
    letters = set(suffix)
    parts = list(nodes_of(node.value))
    bound = {index for part in parts if isinstance(part, IndexSum) for index in part.indices}
    indices = letters | bound
    used: set[str] = set()
    for part in parts:
        if isinstance(part, Name):
            owner, _, below = part.id.rpartition("_")
            if owner and set(below) <= indices and not any(part.id in names for names in known):
                used |= set(below) & letters
        elif isinstance(part, Index):
            used |= {name.id for item in part.items for name in nodes_of(item) if isinstance(name, Name)} & letters
            for item in part.items:
                if isinstance(item, Name) and part.subscript and set(item.id) <= indices:
                    used |= set(item.id) & letters
    return tuple(suffix) if used - bound == letters else ()
