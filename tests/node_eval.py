"""An evaluator of nodes in plain NumPy, independent of the lowering: one `np.einsum` for each product."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import scipy.linalg
import scipy.special

from matcalc.expr.dims import Dim
from matcalc.expr.nodes import Call, Map, Node, Product, Structure, Sum, Variable, postorder
from matcalc.lower import runtime, runtime_scipy, runtime_special
from matcalc.ops.registry import OPERATIONS

NAMESPACE: Mapping[str, Any] = {
    **{name: value for name, value in vars(runtime).items() if not name.startswith("_")},
    **{name: value for name, value in vars(runtime_special).items() if not name.startswith("_")},
    **{name: value for name, value in vars(runtime_scipy).items() if not name.startswith("_")},
    "np": np,
    "linalg": scipy.linalg,
    "special": scipy.special,
}

#: Products over more labels than this are contracted pair by pair.
MOST_LABELS = 7


def size_of(dim: Dim, sizes: Mapping[str, int]) -> int:
    """The integer a dimension is; ``min(m, n)`` is the smaller of the two."""
    known = dict(sizes)
    for name in dim.names:
        shorter = re.fullmatch(r"min\((\w+), (\w+)\)", name)
        if shorter and name not in known:
            known[name] = min(_number_or_size(part, sizes) for part in shorter.groups())
    return dim.evaluate(known)


def _number_or_size(text: str, sizes: Mapping[str, int]) -> int:
    return int(text) if text.isdigit() else sizes[text]


def sizes_from(values: Mapping[str, Any], *roots: Node) -> dict[str, int]:
    """The sizes that the arrays of named variables fix."""
    sizes: dict[str, int] = {}
    for node in postorder(*roots):
        if isinstance(node, Variable):
            for dim, length in zip(node.shape, np.shape(values[node.name]), strict=True):
                if dim.name is not None:
                    sizes[dim.name] = length
    return sizes


def evaluate(root: Node, values: Mapping[str, Any], sizes: Mapping[str, int] | None = None) -> Any:
    """The array that a node stands for.

    Parameters
    ----------
    values: an array for each variable, by name.
    sizes: an integer for each named dimension; read from the arrays when left out.
    """
    known = dict(sizes) if sizes is not None else sizes_from(values, root)
    done: dict[bytes, Any] = {}
    for node in postorder(root):
        operands = [done[child.digest] for child in node.children]
        done[node.digest] = _value(node, operands, values, known)
    return done[root.digest]


def _value(node: Node, operands: list[Any], values: Mapping[str, Any], sizes: Mapping[str, int]) -> Any:
    if isinstance(node, Variable):
        return np.asarray(values[node.name])
    if isinstance(node, Structure):
        return structure(node.kind, tuple(size_of(dim, sizes) for dim in node.parameters))
    shape = tuple(size_of(dim, sizes) for dim in node.shape)
    if isinstance(node, Sum):
        total = np.zeros(shape, dtype=np.result_type(float, *operands))
        for term, operand in zip(node.terms, operands, strict=True):
            total = total + float(term.coefficient) * operand
        return total
    if isinstance(node, Product):
        return contract(node, operands, tuple(size_of(dim, sizes) for dim in node.sizes))
    if isinstance(node, Map):
        wide = [
            np.broadcast_to(_placed(operand, axes, node.order), shape)
            for operand, axes in zip(operands, node.axes, strict=True)
        ]
        return apply_template(node, wide)
    result = apply_template(node, operands)
    assert np.shape(result) == shape, f"{node.op} gave shape {np.shape(result)}, its node says {shape}"
    return result


def _placed(array: Any, axes: Sequence[int], order: int) -> Any:
    """The array with its axes at the given places and axes of length 1 elsewhere."""
    array = np.asarray(array)
    ranked = sorted(range(len(axes)), key=lambda k: axes[k])
    lengths = [1] * order
    for k in ranked:
        lengths[axes[k]] = array.shape[k]
    return np.transpose(array, ranked).reshape(lengths)


def contract(node: Product, operands: Sequence[Any], lengths: tuple[int, ...]) -> Any:
    """The value of a product; an axis that no factor carries is carried by a vector of ones."""
    sublists: list[Any] = []
    carried: set[int] = set()
    for factor, operand in zip(node.factors, operands, strict=True):
        carried |= set(factor.labels)
        # a diagonal is taken before it is raised to a power: the other entries may be 0
        labels = list(dict.fromkeys(factor.labels))
        diagonal = np.einsum(np.asarray(operand), list(factor.labels), labels)
        sublists += [_raised(diagonal, factor.exponent), labels]
    for label, length in enumerate(lengths):
        if label not in carried:
            sublists += [np.ones(length), [label]]
    if not sublists:
        return np.asarray(1.0)
    # many labels at once would be visited one combination after another
    by_pairs = "greedy" if len(lengths) > MOST_LABELS else False
    return np.einsum(*sublists, list(range(node.order)), optimize=by_pairs)


def _raised(array: Any, exponent: int | Fraction) -> Any:
    if exponent == 1:
        return array
    array = array if array.dtype.kind in "fc" else array.astype(float)
    return array ** (exponent if isinstance(exponent, int) else float(exponent))


def structure(kind: str, sizes: tuple[int, ...]) -> Any:
    """The entries of a constant tensor."""
    match kind:
        case "delta":
            return np.eye(sizes[0])
        case "lower":
            return np.tril(np.ones((sizes[0], sizes[0])))
        case "unit":
            return (np.arange(sizes[1]) == sizes[0] - 1).astype(float)
        case "range":
            return sizes[0] + np.arange(sizes[1], dtype=float)
        case "select":
            return np.eye(sizes[0], sizes[1], sizes[2])
        case "pair":
            m, n = sizes
            result = np.zeros((m * n, m, n))
            for i, j in np.ndindex(m, n):
                result[i + m * j, i, j] = 1
            return result
        case "halfpair":
            n = sizes[0]
            places = [(i, j) for j in range(n) for i in range(j, n)]
            result = np.zeros((len(places), n, n))
            for place, (i, j) in enumerate(places):
                result[place, i, j] = 1
            return result
        case "levicivita":
            result = np.zeros((3, 3, 3))
            for i in range(3):
                result[i, (i + 1) % 3, (i + 2) % 3] = 1
                result[i, (i + 2) % 3, (i + 1) % 3] = -1
            return result
        case "size":
            return np.asarray(float(sizes[0]))
    return np.asarray({"pi": np.pi, "e": np.e, "inf": np.inf}[kind])


def apply_template(node: Map | Call, operands: Sequence[Any]) -> Any:
    """Run the NumPy expression of the operation's record."""
    template = OPERATIONS[node.op].numpy
    names = [f"operand{k}" for k in range(len(operands))]
    text = template(node, names) if callable(template) else template.format(*names)
    return np.asarray(_function(text, len(operands))(*operands))


@cache
def _function(text: str, count: int) -> Callable[..., Any]:
    parameters = ", ".join(f"operand{k}" for k in range(count))
    namespace = dict(NAMESPACE)
    exec(f"def function({parameters}):\n    return {text}", namespace)
    function: Callable[..., Any] = namespace["function"]
    return function
