"""A point in small whole numbers, or in tenths, at which a claim is seen to be wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import MatcalcError
from ..expr.dims import Dim
from ..expression import Expr
from .points import Array, Point, Test
from .report import Counterexample

DRAWS = 60
#: A difference that is seen in the printed digits.
VISIBLE = 1e-2
SMALL_SIZES = (2, 3, 1, 4)


def small_counterexample(
    expr: Expr,
    names: Sequence[str],
    accept: Test,
    evaluate: Callable[[Point], tuple[Array | None, Array]],
    seed: int,
) -> Counterexample | None:
    """The point with the plainest numbers among some random ones; None where none was found.

    Parameters
    ----------
    expr: the expression.
    names: the variables to show.
    accept: a test that a point has to pass.
    evaluate: the claim (None where it has no value) and the derivative at a point.
    seed: of the points.
    """
    random = np.random.default_rng(seed)
    best: tuple[float, Counterexample] | None = None
    for draw in range(DRAWS):
        point = _small_point(expr, draw, random)
        if point is None or not accept(point):
            continue
        yours, right = evaluate(point)
        if not np.all(np.isfinite(right)) or not _is_visible(yours, right):
            continue
        score = _roughness(right) + (0.0 if yours is None else _roughness(yours)) + draw / 100
        if best is None or score < best[0]:
            arrays = {name: _plain(point.arrays[name]) for name in names}
            best = score, Counterexample(arrays, None if yours is None else _plain(yours), _plain(right))
        if best[0] < 1:
            break
    return None if best is None else best[1]


def _is_visible(yours: Array | None, right: Array) -> bool:
    if yours is None or yours.shape != right.shape or not np.all(np.isfinite(yours)):
        return True
    largest = max(float(np.max(np.abs(yours), initial=0.0)), float(np.max(np.abs(right), initial=0.0)))
    return float(np.max(np.abs(yours - right), initial=0.0)) > VISIBLE * largest > 0


def _roughness(values: Array) -> float:
    """How many entries are neither whole nor tenths, with a little for large ones."""
    if not np.all(np.isfinite(values)):
        return 5.0
    tenths = np.abs(values * 10 - np.round(values * 10)) > 1e-9
    return float(np.sum(tenths)) + float(np.max(np.abs(values), initial=0.0)) / 1000


def _small_point(expr: Expr, draw: int, random: np.random.Generator) -> Point | None:
    symbols = expr.meaning.symbols
    dims = dict.fromkeys(name for symbol in symbols.values() for dim in symbol.type.shape for name in dim.names)
    sizes = dict.fromkeys(dims, 2)
    if draw % 3 == 2:
        sizes = {name: SMALL_SIZES[place % len(SMALL_SIZES)] for place, name in enumerate(dims)}
    arrays = {}
    for name, symbol in symbols.items():
        try:
            shape = _extents(symbol.type.shape, sizes)
        except MatcalcError:
            return None
        arrays[name] = _small_array(shape, frozenset(symbol.properties), draw, random)
    return Point(sizes, arrays)


def _extents(shape: Sequence[Dim], sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(dim.evaluate(sizes) for dim in shape)


def _small_array(shape: tuple[int, ...], properties: frozenset[str], draw: int, random: np.random.Generator) -> Any:
    """Whole numbers, or tenths in every other draw, with the declared properties."""
    if "integer" in properties:
        return random.integers(0, 2, shape)
    positive = bool(properties & {"positive", "nonnegative"}) or draw % 4 == 1
    values = random.integers(1, 4, shape) if positive else random.integers(-2, 4, shape)
    numbers: Array = np.asarray(values, dtype=float)
    if draw % 4 == 3:
        numbers = np.asarray(random.integers(1, 10, shape)) / 10
    if len(shape) == 2 and shape[0] == shape[1]:
        numbers = _structured(numbers, properties)
    return numbers if shape else float(numbers)


def _structured(values: Array, properties: frozenset[str]) -> Array:
    size = len(values)
    if properties & {"symmetric", "spd", "psd"}:
        values = np.triu(values) + np.triu(values, 1).T
    if properties & {"spd", "psd"}:
        values = values - np.diag(np.diag(values)) + np.diag(np.sum(np.abs(values), axis=1) + 1)
    if "orthogonal" in properties:
        values = np.roll(np.eye(size), 1, axis=0)
        if size == 2:
            values = np.array([[0.6, -0.8], [0.8, 0.6]])
    if "skew" in properties:
        values = np.triu(values, 1) - np.triu(values, 1).T
    if "lower" in properties:
        values = np.tril(values)
    if "upper" in properties:
        values = np.triu(values)
    if "diagonal" in properties:
        values = np.diag(np.diag(values))
    return values


def _plain(value: Any) -> Any:
    """Nested lists; what is not a finite number is None."""
    array = np.asarray(value, dtype=float)
    stack: Any = np.where(np.isfinite(array), np.round(array, 10) + 0.0, np.nan).tolist()
    return _without_nan(stack)


def _without_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return None if value != value else value
