"""One slice of a node along an axis, pushed down to the variables."""

from __future__ import annotations

from ..expr.build import Operand, add, product
from ..expr.dims import Dim
from ..expr.nodes import Call, Map, Node, Product, Structure, Sum
from ..ops.registry import OPERATIONS
from ..ops.signature import apply_call, cores


def slice_axis(node: Node, axis: int, place: Dim) -> Node:
    """The slice ``node[…, place, …]`` at an axis, with one axis less.

    Parameters
    ----------
    node: any node.
    axis: which axis to fix, from 0.
    place: the index, counted from 1; a dimension expression, so it may be a name.
    """
    done: dict[tuple[bytes, int], Node] = {}
    stack: list[tuple[Node, int, bool]] = [(node, axis, False)]
    while stack:
        part, at, ready = stack.pop()
        if (part.digest, at) in done:
            continue
        if ready:
            done[part.digest, at] = _slice(part, at, place, done)
            continue
        stack.append((part, at, True))
        stack.extend((child, child_axis, False) for child, child_axis in _below(part, at))
    return done[node.digest, axis]


def _below(node: Node, axis: int) -> list[tuple[Node, int]]:
    """The operands that have to be sliced, and where."""
    if isinstance(node, Sum):
        return [(term.node, axis) for term in node.terms]
    if isinstance(node, Map):
        return [(arg, axes.index(axis)) for arg, axes in zip(node.args, node.axes, strict=True) if axis in axes]
    if isinstance(node, Product):
        return [
            (factor.node, factor.labels.index(axis))
            for factor in node.factors
            if factor.labels.count(axis) == 1 and not isinstance(factor.node, Structure)
        ]
    if isinstance(node, Call) and axis < _batch(node):
        return [(arg, axis) for arg in node.args]
    return []


def _batch(node: Call) -> int:
    """The number of batch axes of a call, from its signature's point of view: axes shared by value and operands."""
    core = dict(node.parameters).get("core")
    if core is not None:
        return node.args[0].order - int(core)
    return node.args[0].order - len(cores(OPERATIONS[node.op].signature)[0][0])


def _slice(node: Node, axis: int, place: Dim, done: dict[tuple[bytes, int], Node]) -> Node:
    rest = node.shape[:axis] + node.shape[axis + 1 :]
    if isinstance(node, Sum):
        return add([(term.coefficient, done[term.node.digest, axis]) for term in node.terms], rest)
    if isinstance(node, Map):
        args, places = [], []
        for arg, axes in zip(node.args, node.axes, strict=True):
            if axis in axes:
                arg = done[arg.digest, axes.index(axis)]
            args.append(arg)
            places.append(tuple(a - (a > axis) for a in axes if a != axis))
        return Map(node.op, tuple(args), tuple(places), rest)
    if isinstance(node, Call) and axis < _batch(node):
        args = [done[arg.digest, axis] for arg in node.args]
        return apply_call(OPERATIONS[node.op], args, dict(node.parameters))
    if isinstance(node, Product):
        operands: list[Operand] = []
        for factor in node.factors:
            if axis not in factor.labels:
                operands.append(factor)
                continue
            if factor.labels.count(axis) == 1 and not isinstance(factor.node, Structure):
                at = factor.labels.index(axis)
                labels = factor.labels[:at] + factor.labels[at + 1 :]
                operands.append((done[factor.node.digest, at], factor.exponent, labels))
                continue
            operands.append(factor)
            operands.append((Structure("unit", place, node.sizes[axis]), 1, (axis,)))
        out = [label for label in range(node.order) if label != axis]
        return product(operands, out, {k: d for k, d in enumerate(node.sizes) if k != axis})
    labels = tuple(range(node.order))
    unit = Structure("unit", place, node.shape[axis])
    return product([(node, 1, labels), (unit, 1, (axis,))], [label for label in labels if label != axis])
