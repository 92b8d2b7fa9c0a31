"""A derivative against numerical differences, and its printed formula against both.

Every trial draws sizes that are all distinct, arrays of the declared properties, and a direction in the variable's
space; the directional derivative is compared with Richardson-extrapolated central differences of the compiled function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .derivation import Derivative
from .errors import MatcalcError
from .expr.dims import Dim
from .expression import Expr

Array = NDArray[np.float64]
Arrays = dict[str, Any]

TOLERANCE = 1e-6
TRIALS = 3
DRAWS = 40
SIZES = (3, 4, 2, 5, 6, 7)
PROJECTED = frozenset({"symmetric", "spd", "psd", "skew", "diagonal", "lower", "upper"})


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The outcome of a check.

    Parameters
    ----------
    ok: whether every comparison was within the tolerance.
    max_error: the largest relative error of the compiled derivative.
    formula_error: the largest relative difference between the printed formula, read again, and the compiled derivative.
    trials: the number of random points.
    sizes: the sizes that were tried.
    message: one sentence.
    """

    ok: bool
    max_error: float
    formula_error: float
    trials: int
    sizes: tuple[dict[str, int], ...]
    message: str

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return self.message

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "ok": self.ok,
            "max_error": self.max_error,
            "formula_error": self.formula_error,
            "trials": self.trials,
            "sizes": [dict(sizes) for sizes in self.sizes],
            "message": self.message,
        }


def check(derivative: Derivative, seed: int = 0) -> CheckReport:
    """Check a derivative; see `Derivative.check`."""
    expr = derivative.function
    random = np.random.default_rng(seed)
    lower = expr.compile() if derivative.order == 1 else Derivative(expr, derivative.wrt[:1], "gradient").compile()
    upper = Derivative(expr, derivative.wrt, "gradient").compile()
    printed = Expr(derivative.formula, expr.vars, derivative.node.shape).compile()
    arranged = derivative.compile()
    errors, formula_errors, tried = [], [], []
    for trial in range(TRIALS):
        point = _draw(expr, random, trial, (lower, upper))
        if point is None:
            break
        sizes, arrays = point
        tried.append(sizes)
        direction = _direction(expr, derivative.wrt[-1], arrays, random)
        slope = _richardson(lower, arrays, derivative.wrt[-1], direction)
        analytic = np.asarray(upper(**arrays), dtype=float)
        axes = direction.ndim
        claimed = np.tensordot(analytic, direction, axes) if axes else analytic * direction
        errors.append(_relative(claimed, slope))
        if derivative.order == 2:
            first = _direction(expr, derivative.wrt[0], arrays, random)
            gradient = np.asarray(lower(**arrays), dtype=float)
            product = np.tensordot(gradient, first, first.ndim) if first.ndim else gradient * first
            errors.append(_relative(product, _richardson(expr.compile(), arrays, derivative.wrt[0], first)))
        names = printed.args
        again = np.asarray(printed(**{name: arrays[name] for name in names}), dtype=float)
        formula_errors.append(_relative(again, np.asarray(arranged(**arrays), dtype=float)))
    return _report(errors, formula_errors, tried)


def _report(errors: list[float], formula_errors: list[float], tried: list[dict[str, int]]) -> CheckReport:
    if not tried:
        message = "not checked: no random point was found at which the function is finite"
        return CheckReport(False, float("inf"), float("inf"), 0, (), message)
    worst, printed = max(errors), max(formula_errors)
    ok = worst <= TOLERANCE and printed <= TOLERANCE
    places = f"at {len(tried)} random points"
    if ok:
        message = f"verified {places}: largest relative error {worst:.1g}"
    elif worst > TOLERANCE:
        message = f"NOT confirmed {places}: the largest relative error is {worst:.1g}"
    else:
        message = f"NOT confirmed {places}: the printed formula differs from the compiled derivative by {printed:.1g}"
    return CheckReport(ok, worst, printed, len(tried), tuple(tried), message)


def _relative(left: Array, right: Array) -> float:
    if left.shape != right.shape or not (np.all(np.isfinite(left)) and np.all(np.isfinite(right))):
        return float("inf")
    scale = max(1.0, float(np.max(np.abs(right), initial=0.0)))
    return float(np.max(np.abs(left - right), initial=0.0)) / scale


# --- random points -------------------------------------------------------------------------------


def _draw(
    expr: Expr, random: np.random.Generator, trial: int, functions: tuple[Callable[..., Any], ...]
) -> tuple[dict[str, int], Arrays] | None:
    """Sizes and arrays at which every function is finite."""
    sizes = _sizes(expr, trial)
    for draw in range(DRAWS):
        arrays = {
            name: _array(symbol.type.shape, frozenset(symbol.properties), sizes, random, draw)
            for name, symbol in expr.meaning.symbols.items()
        }
        with np.errstate(all="ignore"):
            try:
                values = [np.asarray(function(**arrays), dtype=float) for function in functions]
            except (np.linalg.LinAlgError, MatcalcError):
                continue
        if all(np.all(np.isfinite(value)) for value in values):
            return sizes, arrays
    return None


def _sizes(expr: Expr, trial: int) -> dict[str, int]:
    """A distinct size for every name, another one in each trial."""
    names: dict[str, None] = {}
    for symbol in expr.meaning.symbols.values():
        for dim in symbol.type.shape:
            names.update(dict.fromkeys(dim.names))
    return {
        name: SIZES[(position + trial) % len(SIZES)] + len(SIZES) * (position // len(SIZES))
        for position, name in enumerate(names)
    }


def _array(
    shape: tuple[Dim, ...], properties: frozenset[str], sizes: Mapping[str, int], random: np.random.Generator, draw: int
) -> Any:
    """Random entries with the declared properties; later draws prefer positive and well-conditioned ones."""
    extents = tuple(dim.evaluate(sizes) for dim in shape)
    if "integer" in properties:
        return random.integers(0, 2, extents)
    values = random.standard_normal(extents)
    positive = properties & {"positive", "nonnegative"}
    if positive or draw % 4 == 1:
        values = 0.1 + np.abs(values)
    elif draw % 4 == 2:
        values = random.uniform(0.05, 0.95, extents)
    square = len(extents) == 2 and extents[0] == extents[1]
    if square:
        values = _structured(values, properties, draw)
    return values if extents else float(values)


def _structured(values: Array, properties: frozenset[str], draw: int) -> Array:
    n = values.shape[0]
    if properties & {"spd", "psd"}:
        gram: Array = values @ values.T / n + ("spd" in properties) * np.eye(n)
        return gram
    if "orthogonal" in properties:
        factor: Array = np.linalg.qr(values)[0]
        return factor
    if "diagonal" in properties:
        return np.diag(np.diag(values))
    if "lower" in properties:
        return np.tril(values)
    if "upper" in properties:
        return np.triu(values)
    if "skew" in properties:
        return values - values.T
    if "symmetric" in properties:
        values = (values + values.T) / 2
    if draw % 4 == 3:
        values = values @ values.T / n + np.eye(n)
    return values


def _direction(expr: Expr, name: str, arrays: Arrays, random: np.random.Generator) -> Array:
    """A random direction within the space the variable is declared in."""
    symbol = expr.meaning.symbols.get(name)
    shape = np.shape(arrays[name]) if name in arrays else ()
    direction: Array = np.asarray(random.standard_normal(shape))
    properties = frozenset(symbol.properties) if symbol is not None else frozenset()
    if properties & {"symmetric", "spd", "psd"}:
        symmetric: Array = (direction + direction.T) / 2
        return symmetric
    return _structured(direction, properties & PROJECTED - {"spd", "psd"}, 0) if direction.ndim == 2 else direction


def _richardson(function: Callable[..., Any], arrays: Arrays, name: str, direction: Array) -> Array:
    """The directional derivative by central differences at four steps, extrapolated (Ridders 1982)."""
    table: list[list[Array]] = []
    best: Array | None = None
    smallest = float("inf")
    step = 1e-2
    for row in range(6):
        ahead = function(**{**arrays, name: arrays[name] + step * direction})
        behind = function(**{**arrays, name: arrays[name] - step * direction})
        estimates = [(np.asarray(ahead, dtype=float) - np.asarray(behind, dtype=float)) / (2 * step)]
        for column in range(row):
            weight = 4.0 ** (column + 1)
            estimates.append((weight * estimates[column] - table[row - 1][column]) / (weight - 1))
        if row:
            spread = float(np.max(np.abs(estimates[-1] - table[row - 1][-1]), initial=0.0))
            if spread < smallest or best is None:
                best, smallest = estimates[-1], spread
        table.append(estimates)
        step /= 2
    assert best is not None
    return best
