"""The derivative of a node of any order by a variable of any order, as a node again.

Reverse mode carries adjoints whose leading axes are the axes of the output, forward mode tangents whose leading axes
are the axes of the variable; the cheaper one is taken. One rule serves every contraction, one every scalar function
(its slopes), and an operation that is neither states its differential once: the adjoint is that linear expression,
transposed by the same engine (Magnus & Neudecker, Matrix Differential Calculus, chapter 9).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Literal

from ..errors import NotDifferentiable
from ..expr.build import (
    Operand,
    add,
    broadcast,
    delta,
    exact,
    is_ones,
    permute,
    product,
    scale,
    split_coefficient,
    zeros,
)
from ..expr.dims import Shape
from ..expr.nodes import Call, Map, Node, Product, Structure, Sum, Variable, postorder
from ..ops.record import Operation
from ..ops.registry import OPERATIONS

Mode = Literal["auto", "forward", "reverse"]


def derivative(root: Node, wrt: Variable, mode: Mode = "auto") -> Node:
    """The derivative of ``root`` by ``wrt``, of shape ``root.shape + wrt.shape``.

    For a variable declared symmetric, skew, diagonal, lower or upper the result is the derivative within that
    space: the entrywise derivative projected onto it (Srinivasan & Panda, arXiv:1911.06491, for the symmetric case).

    Parameters
    ----------
    root: the output, of any order.
    wrt: the variable.
    mode: ``auto`` takes forward mode when the variable has fewer axes than the output.

    Raises
    ------
    NotDifferentiable: an operation on the way from ``wrt`` to ``root`` has no derivative; it is named.
    """
    if mode == "forward" or (mode == "auto" and wrt.order < root.order):
        result = _push_all(root, {wrt: identity(wrt.shape)}, wrt.shape)
        k = wrt.order
        return project(permute(result, (*range(k, k + root.order), *range(k))), wrt, root.order)
    return derivatives(root, [wrt])[0]


def derivatives(root: Node, wrt: Sequence[Variable]) -> tuple[Node, ...]:
    """The derivatives by several variables, in one reverse pass over the graph.

    Parameters
    ----------
    root: the output, of any order.
    wrt: the variables.
    """
    return pullback(root, wrt, identity(root.shape))


def pullback(root: Node, wrt: Sequence[Variable], cotangent: Node) -> tuple[Node, ...]:
    """The contraction of a cotangent with the derivatives by several variables, without forming these.

    Parameters
    ----------
    root: the output.
    wrt: the variables.
    cotangent: of the output's shape, with further axes in front if wanted; these come first in each result.
    """
    lead = cotangent.order - root.order
    found = _reverse(root, wrt, cotangent)
    return tuple(project(node, variable, lead) for node, variable in zip(found, wrt, strict=True))


def pushforward(root: Node, tangents: Mapping[Variable, Node]) -> Node:
    """The derivative in a direction: the sum over variables of the derivative contracted with its tangent.

    Parameters
    ----------
    root: the output.
    tangents: for each variable a node of its shape.
    """
    return _push_all(root, tangents, ())


def identity(shape: Shape) -> Node:
    """The identity map on tensors of a shape: an order 2k tensor of deltas."""
    k = len(shape)
    return product([(delta(dim), 1, (axis, k + axis)) for axis, dim in enumerate(shape)], range(2 * k))


def project(node: Node, wrt: Variable, lead: int) -> Node:
    """Project the trailing axes of a derivative onto the space its variable is declared in."""
    if wrt.order != 2:
        return node
    properties = wrt.properties
    names = tuple(range(lead))
    i, j = lead, lead + 1
    size = wrt.shape[0]
    if properties & {"diagonal"}:
        return product([(node, 1, (*names, i, j)), (Structure("delta", size), 1, (i, j))], (*names, i, j))
    if properties & {"symmetric", "spd", "psd", "skew"}:
        if is_symmetric_at(node, lead) and "skew" not in properties:
            return node
        sign = -1 if "skew" in properties else 1
        swapped = permute(node, (*names, j, i))
        return add([(Fraction(1, 2), node), (sign * Fraction(1, 2), swapped)], node.shape)
    if properties & {"lower"}:
        return product([(node, 1, (*names, i, j)), (Structure("lower", size), 1, (i, j))], (*names, i, j))
    if properties & {"upper"}:
        return product([(node, 1, (*names, i, j)), (Structure("lower", size), 1, (j, i))], (*names, i, j))
    return node


def is_symmetric_at(node: Node, lead: int) -> bool:
    """Whether exchanging the last two axes gives the same node."""
    return permute(node, (*range(lead), lead + 1, lead)) == node


def record_of(node: Map | Call) -> Operation:
    """The record of a map or a call."""
    record = OPERATIONS.get(node.op)
    if record is None:
        raise NotDifferentiable(f"no operation is called {node.op}")
    return record


def depends(root: Node, wrt: Iterable[Node]) -> set[bytes]:
    """The digests of the nodes under ``root`` in which one of ``wrt`` occurs."""
    return _depending(postorder(root), {variable.digest for variable in wrt})


def _depending(nodes: Iterable[Node], sought: set[bytes]) -> set[bytes]:
    """The digests of the nodes, operands first, in which one that is sought occurs."""
    found: set[bytes] = set()
    for node in nodes:
        if node.digest in sought or not found.isdisjoint([child.digest for child in node.children]):
            found.add(node.digest)
    return found


# --- reverse mode --------------------------------------------------------------------------------


def _reverse(root: Node, wrt: Sequence[Node], seed: Node) -> tuple[Node, ...]:
    """Pull the seed, of shape ``lead + root.shape``, back to each of ``wrt``."""
    lead = seed.shape[: seed.order - root.order]
    nodes = list(postorder(root))
    sought = {variable.digest for variable in wrt}
    active = _depending(nodes, sought)
    adjoints: dict[bytes, list[tuple[int, Node]]] = {root.digest: [(1, seed)]}
    found: dict[bytes, Node] = {}
    for node in reversed(nodes):
        if node.digest not in active:
            continue
        contributions = adjoints.pop(node.digest)
        alone = len(contributions) == 1
        adjoint = contributions[0][1] if alone else add(contributions, lead + node.shape, flatten=False)
        if node.digest in sought:
            found[node.digest] = adjoint
            continue
        for child, part in _pull(node, adjoint, active, len(lead)):
            adjoints.setdefault(child.digest, []).append((1, part))
    return tuple(found.get(variable.digest) or zeros(lead + variable.shape) for variable in wrt)


def _pull(node: Node, adjoint: Node, active: set[bytes], lead: int) -> list[tuple[Node, Node]]:
    if isinstance(node, Sum):
        return [(term.node, scale(term.coefficient, adjoint)) for term in node.terms if term.node.digest in active]
    if isinstance(node, Product):
        return [
            (factor.node, _pull_factor(node, position, adjoint, lead))
            for position, factor in enumerate(node.factors)
            if factor.node.digest in active
        ]
    if isinstance(node, Map):
        return _pull_map(node, adjoint, active, lead)
    assert isinstance(node, Call)
    return [
        (arg, _pull_call(node, position, adjoint, lead))
        for position, arg in enumerate(node.args)
        if arg.digest in active
    ]


def _pull_factor(node: Product, position: int, adjoint: Node, lead: int) -> Node:
    """The product rule, transposed: the adjoint times all other factors, on the labels of this one.

    A label of the factor that occurs nowhere else was summed alone; leaving it without a carrier broadcasts the
    result along it (Laue, Mitterreiter & Giesen, A Simple and Efficient Tensor Calculus, AAAI 2020, with the padding
    that their statement leaves to the reader).
    """
    factor = node.factors[position]
    shift = len(node.sizes)
    lead_labels = tuple(range(shift, shift + lead))
    out_labels = tuple(range(node.order))
    operands: list[Operand] = [(adjoint, 1, lead_labels + out_labels)]
    operands += [other for place, other in enumerate(node.factors) if place != position]
    if factor.exponent != 1:
        operands.append((factor.node, exact(factor.exponent - 1), factor.labels))
    target: list[int] = []
    sizes = dict(enumerate(node.sizes))
    for label in factor.labels:
        if label in target:
            twin = shift + lead + len(sizes)
            sizes[twin] = sizes[label]
            operands.append((delta(sizes[label]), 1, (label, twin)))
            target.append(twin)
        else:
            target.append(label)
    kept = {label: sizes[label] for label in target}
    return scale(factor.exponent, product(operands, (*lead_labels, *target), kept))


def _slopes(node: Map) -> list[Node | None]:
    """The partial derivative of a map by each operand, of the map's shape; None where it is zero."""
    record = record_of(node)
    if record.zero_derivative:
        return [None] * len(node.args)
    if not record.slopes:
        raise NotDifferentiable.of(record.name, record.nondifferentiable or "its record states no slope")
    full = [
        arg if axes == tuple(range(node.order)) else broadcast(arg, node.shape, axes)
        for arg, axes in zip(node.args, node.axes, strict=True)
    ]
    return [slope(node, *full) for slope in record.slopes]


def _pull_map(node: Map, adjoint: Node, active: set[bytes], lead: int) -> list[tuple[Node, Node]]:
    result = []
    names = tuple(range(node.order))
    lead_labels = tuple(range(node.order, node.order + lead))
    slopes = _slopes(node)
    for arg, axes, slope in zip(node.args, node.axes, slopes, strict=True):
        if arg.digest not in active:
            continue
        if slope is None:
            result.append((arg, zeros(adjoint.shape[:lead] + arg.shape)))
            continue
        coefficient, constant = split_coefficient(adjoint)
        if axes == names and is_ones(constant) and adjoint.shape == slope.shape:
            result.append((arg, scale(coefficient, slope)))
            continue
        operands: list[Operand] = [(adjoint, 1, lead_labels + names)]
        if not is_ones(slope):
            operands.append((slope, 1, names))
        result.append((arg, product(operands, lead_labels + axes)))
    return result


def differential(call: Call, position: int, change: Node) -> Node:
    """The differential of a call for the change of one operand."""
    record = record_of(call)
    if record.zero_derivative:
        return zeros(call.shape)
    if record.differential is None:
        raise NotDifferentiable.of(record.name, record.nondifferentiable or "its record states no differential")
    return record.differential(call, position, change)


def _pull_call(node: Call, position: int, adjoint: Node, lead: int) -> Node:
    record = record_of(node)
    arg = node.args[position]
    if record.pullback is not None:
        wide = _with_lead(node, adjoint.shape[:lead]) if lead else node
        pulled = record.pullback(wide, position, adjoint)
        if pulled is not NotImplemented:
            return pulled
    change = Variable("d", arg.shape, ("change",))
    linear = differential(node, position, change)
    if linear.shape != node.shape:
        raise AssertionError(f"the differential of {node.op} has shape {linear.shape}, not {node.shape}")
    return _reverse(linear, [change], adjoint)[0]


def _with_lead(node: Call, lead: Shape) -> Call:
    """The same call with more batch axes in front."""
    k = len(lead)
    args = tuple(broadcast(arg, lead + arg.shape, tuple(range(k, k + arg.order))) for arg in node.args)
    return Call(node.op, args, lead + node.shape, node.parameters, ())


# --- forward mode --------------------------------------------------------------------------------


def _push_all(root: Node, seeds: Mapping[Variable, Node], lead: Shape) -> Node:
    """Push tangents of shape ``lead + variable.shape`` forward to one of shape ``lead + root.shape``."""
    active = depends(root, seeds)
    tangents: dict[bytes, Node] = {variable.digest: seed for variable, seed in seeds.items()}
    for node in postorder(root):
        if node.digest in active and node.digest not in tangents:
            tangents[node.digest] = _push(node, tangents, lead)
    return tangents.get(root.digest) or zeros(lead + root.shape)


def _push(node: Node, tangents: dict[bytes, Node], lead: Shape) -> Node:
    k = len(lead)
    shape = lead + node.shape
    if isinstance(node, Sum):
        parts = [(term.coefficient, tangents[term.node.digest]) for term in node.terms if term.node.digest in tangents]
        return add(parts, shape, flatten=False)
    if isinstance(node, Product):
        parts = [
            (1, _push_factor(node, position, tangents[factor.node.digest], lead))
            for position, factor in enumerate(node.factors)
            if factor.node.digest in tangents
        ]
        return add(parts, shape, flatten=False)
    if isinstance(node, Map):
        names = tuple(range(node.order))
        lead_labels = tuple(range(node.order, node.order + k))
        sizes = dict(enumerate(shape[k:]))
        parts = []
        for arg, axes, slope in zip(node.args, node.axes, _slopes(node), strict=True):
            tangent = tangents.get(arg.digest)
            if tangent is None or slope is None:
                continue
            operands: list[Operand] = [(tangent, 1, lead_labels + axes), (slope, 1, names)]
            parts.append((1, product(operands, lead_labels + names, sizes)))
        return add(parts, shape, flatten=False)
    assert isinstance(node, Call)
    wide = _with_lead(node, lead)
    parts = [
        (1, differential(wide, position, tangents[arg.digest]))
        for position, arg in enumerate(node.args)
        if arg.digest in tangents
    ]
    return add(parts, shape, flatten=False)


def _push_factor(node: Product, position: int, tangent: Node, lead: Shape) -> Node:
    factor = node.factors[position]
    shift = len(node.sizes)
    lead_labels = tuple(range(shift, shift + len(lead)))
    operands: list[Operand] = [other for place, other in enumerate(node.factors) if place != position]
    operands.append((tangent, 1, lead_labels + factor.labels))
    if factor.exponent != 1:
        operands.append((factor.node, exact(factor.exponent - 1), factor.labels))
    out = (*lead_labels, *range(node.order))
    return scale(factor.exponent, product(operands, out, dict(enumerate(node.sizes))))
