"""Random sizes, arrays of declared types and directions within declared spaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..expr.dims import Dim
from ..expression import Expr

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]

SIZES = (3, 4, 2, 5, 6, 7)
SPACES: Mapping[str, str] = MappingProxyType(
    {
        "symmetric": "symmetric",
        "spd": "symmetric",
        "psd": "symmetric",
        "skew": "skew",
        "diagonal": "diagonal",
        "lower": "lower",
        "upper": "upper",
    }
)
"""The linear space in which a variable with a property moves; all others move freely."""


def _dominant(random: np.random.Generator, extents: tuple[int, ...]) -> Array:
    """A square matrix that is positive definite, well away from singular; of other shapes a normal draw."""
    values = random.standard_normal(extents)
    if len(extents) != 2 or extents[0] != extents[1]:
        return values
    return values @ values.T / extents[0] + np.eye(extents[0])


STYLES: tuple[Draw, ...] = (
    lambda random, extents: random.standard_normal(extents),
    lambda random, extents: 0.1 + np.abs(random.standard_normal(extents)),
    lambda random, extents: random.uniform(0.05, 0.95, extents),
    _dominant,
    lambda random, extents: random.uniform(-0.3, 0.3, extents),
    lambda random, extents: 1.1 + np.abs(random.standard_normal(extents)),
    lambda random, extents: 3.0 + random.uniform(0.0, 2.0, extents),
)
"""How entries are drawn: all variables in one way at first, each in its own way when that was of no use."""


def sizes_of(expr: Expr, trial: int, draw: int, random: np.random.Generator) -> dict[str, int]:
    """A distinct size for every name: in order at first, shuffled when a draw was of no use."""
    found: dict[str, None] = {}
    for symbol in expr.meaning.symbols.values():
        for dim in symbol.type.shape:
            found.update(dict.fromkeys(dim.names))
    names = list(found)
    pool = [*SIZES, *range(max(SIZES) + 1, len(names) + 2)]
    if draw:
        pool = [int(size) for size in random.permutation(pool)]
    return {name: pool[(position + trial) % len(pool)] for position, name in enumerate(names)}


def arrays_of(expr: Expr, sizes: Mapping[str, int], draw: int, random: np.random.Generator) -> dict[str, Any]:
    """An array of the declared type for every variable.

    Raises
    ------
    ShapeError: a dimension is not a whole number for these sizes.
    """
    made: dict[str, Any] = {}
    for name, symbol in expr.meaning.symbols.items():
        style = draw if draw < len(STYLES) else int(random.integers(len(STYLES)))
        made[name] = _array(symbol.type.shape, frozenset(symbol.properties), sizes, random, STYLES[style])
    return made


def _array(
    shape: tuple[Dim, ...],
    properties: frozenset[str],
    sizes: Mapping[str, int],
    random: np.random.Generator,
    style: Draw,
) -> Any:
    extents = tuple(dim.evaluate(sizes) for dim in shape)
    if "integer" in properties:
        lowest = 1 if "positive" in properties or not extents else 0
        return random.integers(lowest, lowest + 2, extents)
    values = style(random, extents)
    if properties & {"positive", "nonnegative"}:
        values = np.abs(values) + ("positive" in properties) * 0.05
    if len(extents) == 2 and extents[0] == extents[1]:
        values = _structured(values, properties)
    return values if extents else float(values)


def _structured(values: Array, properties: frozenset[str]) -> Array:
    """A square matrix with the properties, made of one without."""
    if properties & {"spd", "psd"}:
        values = values @ values.T / len(values) + ("spd" in properties) * np.eye(len(values))
    if "orthogonal" in properties:
        values = np.linalg.qr(values)[0]
    return projected(values, properties)


def projected(values: Array, properties: frozenset[str]) -> Array:
    """The nearest matrix in the space of the properties, on the last two axes."""
    spaces = {SPACES[name] for name in properties if name in SPACES}
    turned = np.swapaxes(values, -1, -2)
    if "symmetric" in spaces:
        values = (values + turned) / 2
    if "skew" in spaces:
        values = (values - turned) / 2
    if "diagonal" in spaces:
        values = values * np.eye(values.shape[-1])
    if "lower" in spaces:
        values = np.tril(values)
    if "upper" in spaces:
        values = np.triu(values)
    return values


def direction_of(expr: Expr, name: str, arrays: Mapping[str, Any], random: np.random.Generator) -> Array:
    """A random direction within the space the variable is declared in; for orthogonal matrices a tangent of them."""
    direction: Array = np.asarray(random.standard_normal(np.shape(arrays.get(name, 0.0))))
    if direction.ndim != 2:
        return direction
    properties = properties_of(expr, name)
    if "orthogonal" in properties and name in arrays:
        return np.asarray(direction - arrays[name] @ direction.T @ arrays[name]) / 2
    return projected(direction, properties)


def properties_of(expr: Expr, name: str) -> frozenset[str]:
    symbol = expr.meaning.symbols.get(name)
    return frozenset(symbol.properties) if symbol is not None else frozenset()
