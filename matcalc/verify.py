"""A derivative against numerical differences, and its printed formula against both.

Every trial draws sizes that are all distinct, arrays of the declared properties, and a direction in the variable's
space; the directional derivative is compared with Richardson-extrapolated central differences of the compiled function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .conditions import EVERYWHERE_NONZERO, INVERTIBLE, NONZERO, POSITIVE, demands
from .derivation import Derivative
from .errors import MatcalcError
from .expr.dims import Dim
from .expression import Expr
from .functions import program_arguments
from .lower.function import compile_function

Array = NDArray[np.float64]
Arrays = dict[str, Any]

TOLERANCE = 1e-6
TRIALS = 3
DRAWS = 40
ROWS = 7
SETTLED = 1e-8
SIZES = (3, 4, 2, 5, 6, 7)
STRUCTURES = frozenset({"symmetric", "spd", "psd", "skew", "diagonal", "lower", "upper", "orthogonal"})


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
    value = expr.compile()
    first = Derivative(expr, derivative.wrt[:1], "gradient").compile()
    steps = [(value, first, derivative.wrt[0])]
    if derivative.order == 2:
        second = Derivative(expr, derivative.wrt, "gradient").compile()
        steps.append((first, second, derivative.wrt[1]))
    printed = Expr(derivative.formula, expr.vars, derivative.node.shape).compile()
    arranged = derivative.compile()
    domain = _domain(derivative)
    random = np.random.default_rng(seed)
    errors: list[float] = []
    formula_errors: list[float] = []
    tried: list[dict[str, int]] = []
    with np.errstate(all="ignore"):
        for trial in range(TRIALS):
            point = _point(expr, [(function, name) for function, _, name in steps], domain, trial, random)
            if point is None:
                continue
            tried.append(point.sizes)
            for (_, analytic, _), direction, slope in zip(steps, point.directions, point.slopes, strict=True):
                errors.append(_relative(_contracted(analytic, point.arrays, direction), slope))
            again = {name: point.arrays[name] for name in printed.args if name in point.arrays}
            sizes = {name: point.sizes[name] for name in printed.args if name not in again}
            formula_errors.append(_relative(_evaluate(printed, {**again, **sizes}), _evaluate(arranged, point.arrays)))
    return _report(errors, formula_errors, tried)


def _evaluate(function: Callable[..., Any], arrays: Arrays) -> Array:
    """The value as an array; NaN where it is refused."""
    try:
        return np.asarray(function(**arrays), dtype=float)
    except (MatcalcError, np.linalg.LinAlgError):
        return np.asarray(np.nan)


def _contracted(function: Callable[..., Any], arrays: Arrays, direction: Array) -> Array:
    """A derivative in a direction."""
    analytic = _evaluate(function, arrays)
    if analytic.ndim < direction.ndim:
        return np.asarray(np.nan)
    contracted: Array = np.tensordot(analytic, direction, direction.ndim) if direction.ndim else analytic * direction
    return contracted


def _report(errors: list[float], formula_errors: list[float], tried: list[dict[str, int]]) -> CheckReport:
    if not tried:
        message = "not checked: no random point was found at which numerical differences settle"
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


class _Point(NamedTuple):
    """A random point, and for every step a direction with the numerical derivative in it."""

    sizes: dict[str, int]
    arrays: Arrays
    directions: list[Array]
    slopes: list[Array]


def _point(
    expr: Expr,
    steps: Sequence[tuple[Callable[..., Any], str]],
    domain: Sequence[Callable[[Arrays], bool]],
    trial: int,
    random: np.random.Generator,
) -> _Point | None:
    """A point of the domain at which numerical differentiation settles; the claimed derivative has no say in it."""
    for draw in range(DRAWS):
        sizes = _sizes(expr, trial, draw, random)
        try:
            arrays = {
                name: _array(symbol.type.shape, frozenset(symbol.properties), sizes, random, draw)
                for name, symbol in expr.meaning.symbols.items()
            }
        except MatcalcError:
            continue  # a size that is no positive integer
        if not all(holds(arrays) for holds in domain):
            continue
        directions, slopes = [], []
        for function, name in steps:
            direction = _direction(expr, name, arrays, random)
            slope = _richardson(function, arrays, name, direction)
            if slope is None:
                break
            directions.append(direction)
            slopes.append(slope)
        else:
            return _Point(sizes, arrays, directions, slopes)
    return None


def _domain(derivative: Derivative) -> list[Callable[[Arrays], bool]]:
    """The stated conditions as tests of a point, with a margin."""
    tests: list[Callable[[Arrays], bool]] = []
    for demand in demands(derivative.function, [derivative.node]):
        margin = MARGINS.get(demand.template)
        if margin is not None:
            node = demand.operands[0]
            function = compile_function(node, program_arguments(derivative.function, [node]))
            tests.append(partial(_holds, function, margin))
    return tests


def _holds(function: Callable[..., Any], margin: Callable[[Array], bool], arrays: Arrays) -> bool:
    return margin(_evaluate(function, arrays))


def _is_invertible(value: Array) -> bool:
    return bool(np.all(np.isfinite(value))) and bool(np.all(np.linalg.cond(value) < 1e4))


MARGINS: Mapping[str, Callable[[Array], bool]] = MappingProxyType(
    {
        INVERTIBLE: _is_invertible,
        NONZERO: lambda value: bool(np.all(np.abs(value) > 1e-2)),
        EVERYWHERE_NONZERO: lambda value: bool(np.all(np.abs(value) > 1e-2)),
        POSITIVE: lambda value: bool(np.all(value > 1e-2)),
    }
)


def _sizes(expr: Expr, trial: int, draw: int, random: np.random.Generator) -> dict[str, int]:
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


def _array(
    shape: tuple[Dim, ...], properties: frozenset[str], sizes: Mapping[str, int], random: np.random.Generator, draw: int
) -> Any:
    """Random entries with the declared properties; later draws prefer positive and well-conditioned ones."""
    extents = tuple(dim.evaluate(sizes) for dim in shape)
    if "integer" in properties:
        return random.integers(0, 2, extents)
    values = random.standard_normal(extents)
    if properties & {"positive", "nonnegative"} or draw % 4 == 1:
        values = 0.1 + np.abs(values)
    elif draw % 4 == 2:
        values = random.uniform(0.05, 0.95, extents)
    if len(extents) == 2 and extents[0] == extents[1]:
        values = _structured(values, properties)
        if draw % 4 == 3 and not properties & STRUCTURES:
            values = values @ values.T / extents[0] + np.eye(extents[0])
    return values if extents else float(values)


def _structured(values: Array, properties: frozenset[str]) -> Array:
    """The square matrix nearest in spirit that has the properties."""
    if properties & {"spd", "psd"}:
        values = values @ values.T / len(values) + ("spd" in properties) * np.eye(len(values))
    if "orthogonal" in properties:
        values = np.linalg.qr(values)[0]
    if "diagonal" in properties:
        values = np.diag(np.diag(values))
    if "lower" in properties:
        values = np.tril(values)
    if "upper" in properties:
        values = np.triu(values)
    if "skew" in properties:
        values = values - values.T
    if "symmetric" in properties:
        values = (values + values.T) / 2
    return values


def _direction(expr: Expr, name: str, arrays: Arrays, random: np.random.Generator) -> Array:
    """A random direction within the space the variable is declared in."""
    symbol = expr.meaning.symbols.get(name)
    direction: Array = np.asarray(random.standard_normal(np.shape(arrays.get(name, 0.0))))
    properties = frozenset(symbol.properties) if symbol is not None else frozenset()
    if properties & {"spd", "psd"}:
        properties = (properties - {"spd", "psd"}) | {"symmetric"}
    if direction.ndim == 2 and direction.shape[0] == direction.shape[1]:
        return _structured(direction, properties & STRUCTURES - {"orthogonal"})
    return direction


def _richardson(function: Callable[..., Any], arrays: Arrays, name: str, direction: Array) -> Array | None:
    """The directional derivative by extrapolated central differences (Ridders 1982); None where they do not settle."""
    if name not in arrays:
        return np.zeros_like(_evaluate(function, arrays))
    table: list[list[Array]] = []
    best: Array | None = None
    smallest = float("inf")
    step = 1e-2
    for row in range(ROWS):
        ahead = _evaluate(function, {**arrays, name: arrays[name] + step * direction})
        behind = _evaluate(function, {**arrays, name: arrays[name] - step * direction})
        if not (np.all(np.isfinite(ahead)) and np.all(np.isfinite(behind))):
            return None
        estimates = [(ahead - behind) / (2 * step)]
        for column in range(row):
            weight = 4.0 ** (column + 1)
            estimates.append((weight * estimates[column] - table[row - 1][column]) / (weight - 1))
        if row:
            spread = _relative(estimates[-1], table[row - 1][-1])
            if spread < smallest:
                best, smallest = estimates[-1], spread
        table.append(estimates)
        step /= 2
    return best if smallest <= SETTLED else None
