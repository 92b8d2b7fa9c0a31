"""The value of a node in real or complex arithmetic, by its definition: one `numpy.einsum` for each product.

Nothing is shared with the lowering, so that a derivative that is compiled and the function it is compared with do not
go wrong together. It is slow, and meant for arrays of a few entries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..expr.build import with_children
from ..expr.dims import Dim
from ..expr.nodes import Call, Exact, Map, Node, Product, Structure, Sum, Variable, postorder
from ..lower.function import compile_function
from .analytic import NotContinued, continued

Array = NDArray[Any]
Arrays = Mapping[str, Any]
Sizes = Mapping[str, int]

CONSTANTS: Mapping[str, float] = {"pi": np.pi, "e": np.e, "inf": np.inf}


def evaluate(root: Node, arrays: Arrays, sizes: Sizes) -> Array:
    """The array that a node stands for; NaN where a matrix has no inverse.

    Parameters
    ----------
    arrays: an array for each variable, by name, real or complex.
    sizes: an integer for each named size.

    Raises
    ------
    NotContinued: a function that is known for real numbers only is given complex ones.
    """
    done: dict[bytes, Array] = {}
    for node in postorder(root):
        operands = [done[child.digest] for child in node.children]
        try:
            done[node.digest] = np.asarray(_value(node, operands, arrays, sizes))
        except np.linalg.LinAlgError:
            return np.full(integers(root.shape, sizes), np.nan)
    return done[root.digest]


def integers(shape: Sequence[Dim], sizes: Sizes) -> tuple[int, ...]:
    """A shape in numbers."""
    return tuple(_size(dim, sizes) for dim in shape)


def _size(dim: Dim, sizes: Sizes) -> int:
    """A size; one that is called ``min(m, n)`` is the smaller of the two."""
    known = dict(sizes)
    for name in dim.names:
        if name.startswith("min(") and name not in known:
            known[name] = min(int(part) if part.isdigit() else sizes[part] for part in name[4:-1].split(", "))
    return dim.evaluate(known)


def _value(node: Node, operands: list[Array], arrays: Arrays, sizes: Sizes) -> Any:
    if isinstance(node, Variable):
        return arrays[node.name]
    if isinstance(node, Structure):
        return _structure(node.kind, integers(node.parameters, sizes))
    if isinstance(node, Sum):
        total: Any = np.zeros(integers(node.shape, sizes))
        for term, operand in zip(node.terms, operands, strict=True):
            total = total + float(term.coefficient) * operand
        return total
    if isinstance(node, Product):
        return _product(node, operands, integers(node.sizes, sizes))
    assert isinstance(node, Map | Call)
    if isinstance(node, Map):
        shape = integers(node.shape, sizes)
        operands = [
            np.broadcast_to(_placed(operand, axes, node.order), shape)
            for operand, axes in zip(operands, node.axes, strict=True)
        ]
    function = continued(node)
    if function is not None:
        return function(*operands)
    if any(np.iscomplexobj(operand) for operand in operands):
        raise NotContinued(node.op)
    return _by_record(node, operands)


def _by_record(node: Map | Call, operands: Sequence[Array]) -> Any:
    """A function that only its record knows, such as one that was registered."""
    shapes = [node.shape] * len(operands) if isinstance(node, Map) else [arg.shape for arg in node.args]
    names = [Variable(f"operand{k}", shape) for k, shape in enumerate(shapes)]
    alone: Node = with_children(node, names)
    if isinstance(node, Map):
        axes = tuple(tuple(range(node.order)) for _ in names)
        alone = Map(node.op, tuple(names), axes, node.shape)
    function = compile_function(alone, names)
    given = {name.name: operand for name, operand in zip(names, operands, strict=True)}
    return function(**given)


def _placed(array: Array, axes: Sequence[int], order: int) -> Array:
    """The array with its axes at the given places, and axes of length 1 elsewhere; a repeated place is a diagonal."""
    places = sorted(set(axes))
    array = np.einsum(array, list(axes), places)
    lengths = [1] * order
    for place, length in zip(places, array.shape, strict=True):
        lengths[place] = length
    return array.reshape(lengths)


def _product(node: Product, operands: Sequence[Array], lengths: tuple[int, ...]) -> Any:
    """An axis that no factor carries is carried by ones; a diagonal is taken before it is raised to a power."""
    terms: list[Any] = []
    carried: set[int] = set()
    for factor, operand in zip(node.factors, operands, strict=True):
        labels = list(dict.fromkeys(factor.labels))
        carried.update(labels)
        terms += [_raised(np.einsum(operand, list(factor.labels), labels), factor.exponent), labels]
    for label, length in enumerate(lengths):
        if label not in carried:
            terms += [np.ones(length), [label]]
    if not terms:
        return 1.0
    return np.einsum(*terms, list(range(node.order)), optimize="greedy" if len(terms) > 6 else False)


def _raised(array: Array, exponent: Exact) -> Array:
    if exponent == 1:
        return array
    if array.dtype.kind not in "fc":
        array = array.astype(float)
    raised: Array = array**exponent if isinstance(exponent, int) else array ** float(exponent)
    return raised


def _structure(kind: str, sizes: tuple[int, ...]) -> Any:
    """The entries of a constant tensor, as the table of `Structure` states them."""
    match kind:
        case "delta":
            return np.eye(sizes[0])
        case "lower":
            return np.tri(sizes[0])
        case "unit":
            return np.eye(sizes[1])[sizes[0] - 1]
        case "range":
            return sizes[0] + np.arange(sizes[1], dtype=float)
        case "select":
            return np.eye(sizes[0], sizes[1], sizes[2])
        case "pair":
            m, n = sizes
            return np.eye(m * n).reshape(m * n, n, m).swapaxes(1, 2)
        case "halfpair":
            n = sizes[0]
            kept = [i + n * j for j in range(n) for i in range(j, n)]
            return np.eye(n * n)[kept].reshape(-1, n, n).swapaxes(1, 2)
        case "levicivita":
            i, j, k = np.ogrid[:3, :3, :3]
            return (i - j) * (j - k) * (k - i) / 2.0
        case "size":
            return float(sizes[0])
    return CONSTANTS[kind]
