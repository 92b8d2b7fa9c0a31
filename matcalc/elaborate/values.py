"""What typing an expression gives: a type, the indices it varies with, and how to build its node.

Under bound indices a value has *batch axes*: leading axes, one for each index variable it depends on, in the order in
which the indices were bound. Nodes are built once every dimension is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..errors import Span
from ..expr.dims import Dim
from ..expr.nodes import Exact, Node
from ..expr.typed import Type

Make = Callable[[Sequence[Node]], Node]

BATCH = 1 << 20
"""Labels from here on belong to index variables, below it to core axes."""


@dataclass(frozen=True, slots=True)
class IndexVariable:
    """A bound index: it runs over ``size`` integers from ``first``."""

    name: str
    place: int
    first: Dim
    size: Dim
    span: Span

    @property
    def last(self) -> Dim:
        return self.first + self.size - 1

    @property
    def label(self) -> int:
        return BATCH + self.place


@dataclass(slots=True, eq=False)
class Value:
    """A typed expression.

    Parameters
    ----------
    type: the kind and shape without batch axes.
    operands: what it is built from.
    make: from the operands' nodes to its own; all carry their batch axes in front.
    batch: the places of the index variables it varies with, ascending.
    number: the exact number it is, if it is one.
    bare: whether it is a name, an element of one or a product of such, so that its order is open to inference.
    open: whether an undeclared name has a part in it.
    undeclared: the undeclared name it is.
    count: whether it is a number, a size or made of these, which expand over arrays without a doubt.
    """

    type: Type
    operands: tuple[Value, ...]
    make: Make
    batch: tuple[int, ...] = ()
    number: Exact | None = None
    bare: bool = False
    open: bool = False
    undeclared: str | None = None
    count: bool = False

    @property
    def is_scalar(self) -> bool:
        return self.type.kind == "scalar"

    @property
    def is_array(self) -> bool:
        return self.type.kind != "scalar"


def walk(*roots: Value) -> Iterator[Value]:
    """Every value reachable from the roots, operands before users, each once."""
    seen: set[int] = set()
    for root in roots:
        if id(root) in seen:
            continue
        seen.add(id(root))
        stack: list[tuple[Value, Iterator[Value]]] = [(root, iter(root.operands))]
        while stack:
            value, operands = stack[-1]
            for operand in operands:
                if id(operand) in seen:
                    continue
                seen.add(id(operand))
                if operand.operands:
                    stack.append((operand, iter(operand.operands)))
                    break
                yield operand
            else:
                stack.pop()
                yield value


def undeclared_names(values: Sequence[Value]) -> list[str]:
    """The undeclared names that occur in the values, in the order in which they are met."""
    return list(dict.fromkeys(value.undeclared for value in walk(*values) if value.undeclared is not None))


def build(roots: Sequence[Value]) -> list[Node]:
    """The nodes of the values, once every dimension is known."""
    done: dict[int, Node] = {}
    for value in walk(*roots):
        done[id(value)] = value.make([done[id(operand)] for operand in value.operands])
    return [done[id(root)] for root in roots]
