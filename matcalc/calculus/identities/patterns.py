"""Rows of the table as nodes, and which of them an expression may be an instance of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from ...elaborate import elaborate
from ...expr.build import split_coefficient
from ...expr.dims import Shape
from ...expr.nodes import Call, Exact, Map, Node, Product, Sum, Variable, derived, postorder
from ...ops.registry import OPERATIONS
from ...syntax.parse import parse
from ..simplify import simplify
from . import IDENTITIES, Identity

#: The function that stands for any function in the samples of a row, and its slope.
ANY_FUNCTION, ITS_SLOPE = "sin", "cos"
SYMMETRIC = frozenset({"symmetric", "spd", "psd"})
SPACES = frozenset({*SYMMETRIC, "skew", "diagonal", "lower", "upper"})
STRUCTURES = frozenset({*SPACES, "orthogonal"})


def depends_on(node: Node, variable: Node) -> bool:
    """Whether a variable, or any other node, occurs in a node."""

    def occurs(part: Node) -> bool:
        return part.digest == variable.digest or any(child.cache[key] for child in part.children)

    key = "depends on " + variable.digest.hex()
    return derived(node, key, occurs)


class Pattern(NamedTuple):
    """A row whose expression has been read."""

    identity: Identity
    coefficient: Exact
    root: Node
    variable: Variable
    names: frozenset[str]
    weight: tuple[int, ...]

    @property
    def is_about_any_function(self) -> bool:
        return bool(self.identity.definitions)


def read(identity: Identity, text: str, shape: Shape | None = None, sample: int = 0) -> Node:
    """The node of a text in the names of a row, in normal form.

    Parameters
    ----------
    identity: the row.
    text: its expression, its result, or anything else written in its names.
    shape: the shape of the value, where the text leaves it open (``2 I``).
    sample: which of its samples of functions is taken.
    """
    definitions = f"{identity.definitions[sample]}; " if identity.definitions else ""
    program = parse(definitions + text, is_function=OPERATIONS.__contains__)
    types = identity.types
    if identity.kind == "differential":
        types |= {f"d{name}": types[name] for name in identity.variables}
    return simplify(elaborate(program, types, shape=shape).node)[0]


@cache
def _patterns() -> Mapping[tuple[object, ...], tuple[Pattern, ...]]:
    """The rows that can be recognised, by what the root must be; special ones first."""
    grouped: dict[tuple[object, ...], list[Pattern]] = {}
    for identity in IDENTITIES:
        if identity.kind != "derivative" or len(set(identity.variables)) > 1:
            continue
        coefficient, root = split_coefficient(read(identity, identity.expression))
        inside = {part.name: part for part in postorder(root) if isinstance(part, Variable)}
        variable = inside.pop(identity.variables[0])
        weight = _weight(identity, root, (*inside.values(), variable))
        pattern = Pattern(identity, coefficient, root, variable, frozenset(inside), weight)
        grouped.setdefault((identity.order, *_key(root, variable, identity)), []).append(pattern)
    return {
        key: tuple(sorted(found, key=lambda pattern: pattern.weight, reverse=True)) for key, found in grouped.items()
    }


def _weight(identity: Identity, root: Node, names: Sequence[Variable]) -> tuple[int, ...]:
    """How special a row is: large as a tree, about given functions, with few names that have to be many things."""
    size: dict[bytes, int] = {}
    for part in postorder(root):
        size[part.digest] = 1 + sum(size[child.digest] for child in part.children)
    declared = sum(len(name.properties & STRUCTURES) for name in names)
    return (size[root.digest], not identity.definitions, identity.layout == "gradient", declared, -len(names))


def _key(root: Node, variable: Node, identity: Identity | None = None) -> tuple[object, ...]:
    """What a row and its instances have in common at the root."""
    if isinstance(root, Product):
        active = [factor.exponent for factor in root.factors if depends_on(factor.node, variable)]
        return "product", root.order, tuple(sorted(active))
    if isinstance(root, Sum):
        return "sum", root.order, sum(1 for term in root.terms if depends_on(term.node, variable))
    if isinstance(root, Map):
        return "map", "" if identity and identity.definitions else root.op
    if isinstance(root, Call):
        return "call", root.op
    return (type(root).__name__,)


def candidates(root: Node, variable: Node, order: int) -> Iterator[Pattern]:
    table = _patterns()
    yield from table.get((order, *_key(root, variable)), ())
    if isinstance(root, Map) and len(root.args) == 1:
        yield from table.get((order, "map", ""), ())
