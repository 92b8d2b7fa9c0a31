"""A certificate of a derivative: every form in which it is printed or run, against numerical derivatives.

Each trial draws sizes that are all distinct, arrays of the declared types within the stated conditions, and a direction
in the space of each variable. The derivative in that direction is the imaginary part of an imaginary step through an
interpreter of the function's definition, which shares neither derivatives nor code with what is checked. A second
derivative is compared with that of the first, and the first with that of the function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..conditions import Demand, demands
from ..derivation import Derivative
from ..errors import MatcalcError, require_seed
from ..expr.dims import Dim
from ..expr.nodes import Node
from ..expression import Expr
from ..forms.catalogue import Form
from ..structure import subject
from .domain import judge
from .interpreter import evaluate, integers
from .points import arrays_of, direction_of, projected, properties_of, sizes_of
from .report import CheckReport
from .slopes import Slope, directional, distance

__all__ = ["CheckReport", "check"]

Array = NDArray[Any]
Arrays = Mapping[str, Any]
Sizes = Mapping[str, int]

PRECISION = 1e-11
"""The relative error that a derivative may have, where the numerical one is good to a tenth of it."""

LEAST_PRECISION = 1e-6
"""Points where numerical derivatives are worse than a tenth of this are no test."""

ROUNDING = 1e-15
"""Errors below this differ from machine to machine, and are shown as this."""

TRIALS = 3
DRAWS = 300
ENOUGH = 40
"""Draws after which a point that is more sensitive than the others would be accepted."""


class Claim(NamedTuple):
    """A form of the derivative, and how it is evaluated: a value in the layout of the claim."""

    form: str
    value: Callable[[Arrays, Sizes], Array]


class _Point(NamedTuple):
    """Where a derivative is checked: for every order a direction and the numerical derivative along it."""

    sizes: dict[str, int]
    arrays: dict[str, Any]
    directions: list[Array]
    slopes: list[Slope]


def check(derivative: Derivative, seed: int = 0) -> CheckReport:
    """Check a derivative; see `Derivative.check`."""
    require_seed(seed)
    expr = derivative.function
    free = derivative.structure == "free"
    # in this expression the entries of the variable are as independent as the derivative takes them to be
    moved = subject(expr, derivative.wrt, "free") if free else expr
    space = None if free else derivative.structure
    earlier = [derivative.wrt[:order] for order in range(1, derivative.order)]
    below = [moved.node, *(Derivative(moved, wrt, "gradient", structure=space).raw for wrt in earlier)]
    claims, faults = _claims(derivative)
    stated = tuple(demands(expr, [derivative.node]))
    search = _Search(expr, moved, below, derivative.wrt, stated, np.random.default_rng(seed))
    direct: dict[str, list[float]] = {claim.form: [] for claim in claims}
    apart: dict[str, list[float]] = {claim.form: [] for claim in claims}
    tried: list[_Point] = []
    precision = PRECISION
    with np.errstate(all="ignore"):
        for trial in range(TRIALS):
            point = search.point(trial)
            if point is None:
                continue
            tried.append(point)
            precision = max(precision, 10 * max(slope.error for slope in point.slopes))
            for order, node in enumerate(below[1:]):
                gradient = evaluate(node, point.arrays, point.sizes)
                direct.setdefault("first derivative", []).append(_error(gradient, point, order))
            values = [_gradient(derivative, claim, point) for claim in claims]
            for claim, value in zip(claims, values, strict=True):
                direct[claim.form].append(_error(value, point, derivative.order - 1))
                apart[claim.form].append(distance(value, values[0]))
            if not _within_space(derivative, values[0], point):
                faults.append("the derivative leaves the space of its variable")
            if not _same_value(expr, point):
                faults.append("the compiled function is not the function that was written")
    for form, errors in direct.items():
        if max(errors, default=0.0) > precision:
            faults.append(f"the {form} differs from numerical derivatives by {max(errors):.1g}")
        elif max(apart.get(form, []), default=0.0) > precision:
            faults.append(f"the {form} differs from the {claims[0].form} by {max(apart[form]):.1g}")
    return _report(tried, search, direct, apart, precision, list(dict.fromkeys(faults)), seed)


def _report(
    tried: Sequence[_Point],
    search: _Search,
    direct: Mapping[str, list[float]],
    apart: Mapping[str, list[float]],
    precision: float,
    faults: list[str],
    seed: int,
) -> CheckReport:
    worst = max((error for errors in direct.values() for error in errors), default=float("inf"))
    printed = max((error for errors in apart.values() for error in errors), default=float("inf"))
    places = f"at {len(tried)} random points"
    if not tried:
        message = "not checked: no random point was found at which numerical derivatives exist"
        message = "; ".join([message, *faults])
    elif faults:
        message = f"NOT confirmed {places}: {'; '.join(faults)}"
    else:
        message = f"verified {places}: largest relative error {max(worst, printed, ROUNDING):.1g}"
        if precision > PRECISION:
            message += f" (numerical derivatives are good to {precision:.0e} here)"
    methods = dict.fromkeys(slope.method for point in tried for slope in point.slopes)
    return CheckReport(
        ok=bool(tried) and not faults,
        max_error=worst,
        formula_error=printed,
        precision=precision,
        trials=len(tried),
        sizes=tuple(point.sizes for point in tried),
        seed=seed,
        methods=tuple(methods),
        forms=tuple(apart),
        rejected=search.rejected,
        undefined=search.undefined,
        faults=tuple(faults),
        message=message,
    )


# --- the claims ----------------------------------------------------------------------------------


def _claims(derivative: Derivative) -> tuple[list[Claim], list[str]]:
    """Every form of a derivative, and what is wrong with those that cannot be evaluated at all."""
    expr = derivative.function
    claims = [
        Claim("compiled function", partial(_called, derivative.compile())),
        Claim("normal form", partial(_interpreted, derivative.node)),
    ]
    faults: list[str] = []
    for form, text in (("text", derivative.formula), ("Unicode", derivative.unicode)):
        try:
            again = Expr(text, expr.vars, derivative.node.shape)
        except MatcalcError as error:
            faults.append(f"the {form} cannot be read again: {error.message}")
            continue
        if again.node.shape == derivative.node.shape and not _is_oriented(derivative, again):
            faults.append(f"the {form} is a {again.type.kind}, which the {derivative.layout} layout does not have here")
        claims.append(Claim(form, partial(_interpreted, again.node)))
    if derivative.shortest is not None:
        for name, found in derivative.forms.items():
            try:
                node = Expr(found.text, {**expr.vars, **found.vars}).node
            except MatcalcError as error:
                faults.append(f"the form {name} cannot be read again: {error.message}")
                continue
            claims.append(Claim(f"form {name}", partial(_formed, derivative, found, node)))
    return claims, faults


def _formed(derivative: Derivative, form: Form, node: Node, arrays: Arrays, sizes: Sizes) -> Array:
    """The array of shape output + variable that a form of the derivative says."""
    shapes = [integers(shape, sizes) for shape in _shapes(derivative)]
    output, variable = tuple(length for shape in shapes[:-1] for length in shape), shapes[-1]
    if form.name == "kronecker":
        return _unstacked(_interpreted(node, arrays, sizes), shapes, "F")
    if not form.vars:
        return _interpreted(node, arrays, sizes)
    # a map is evaluated at every unit array; its values are the slices along the axes of its argument
    (name,) = form.vars
    argument = variable if form.name == "map" else output
    units = np.eye(int(np.prod(argument))).reshape(-1, *argument)
    values = [_interpreted(node, {**arrays, name: unit}, sizes) for unit in units]
    stacked = np.moveaxis(np.stack(values), 0, -1).reshape(*values[0].shape, *argument)
    count = len(variable)
    return stacked if form.name == "map" else np.moveaxis(stacked, range(count), range(-count, 0))


def _called(function: Callable[..., Any], arrays: Arrays, sizes: Sizes) -> Array:
    """The value of a compiled function; NaN where it is refused."""
    names: Sequence[str] = function.args  # type: ignore[attr-defined]
    try:
        return np.asarray(function(**{name: arrays[name] if name in arrays else sizes[name] for name in names}))
    except (MatcalcError, np.linalg.LinAlgError, KeyError):
        return np.asarray(np.nan)


def _interpreted(node: Node, arrays: Arrays, sizes: Sizes) -> Array:
    try:
        return evaluate(node, arrays, sizes)
    except (MatcalcError, KeyError):
        return np.asarray(np.nan)  # it asks for a variable or a size that the function does not have


def _is_oriented(derivative: Derivative, again: Expr) -> bool:
    """Whether a formula with one axis is a row exactly where its layout says so (Wikipedia, "Matrix calculus")."""
    if len(again.node.shape) != 1 or derivative.layout not in ("numerator", "denominator"):
        return True
    by_vector = bool(_shapes(derivative)[-1])
    return (again.type.kind == "row") == (by_vector == (derivative.layout == "numerator"))


def _shapes(derivative: Derivative) -> list[tuple[Dim, ...]]:
    """The axes of the output, and those of each variable."""
    shapes, rest = [], derivative.raw.shape
    for name in reversed(derivative.wrt):
        symbol = derivative.function.meaning.symbols.get(name)
        own = len(symbol.type.shape) if symbol is not None else len(rest) - len(derivative.function.node.shape)
        start = len(rest) - (1 if derivative.structure == "vech" else own)
        shapes.append(rest[start:])
        rest = rest[:start]
    return [rest, *reversed(shapes)]


def _gradient(derivative: Derivative, claim: Claim, point: _Point) -> Array:
    """The value of a claim with the axes of the output before those of the variables, whatever its layout."""
    value = claim.value(point.arrays, point.sizes)
    shapes = [integers(shape, point.sizes) for shape in _shapes(derivative)]
    orders = tuple(len(shape) for shape in shapes)
    match (derivative.layout, *orders):
        case ("vec" | "vec-row", *_):
            return _unstacked(value, shapes, "F" if derivative.layout == "vec" else "C")
        case ("numerator", 0, 2) | ("denominator", 1, 1) | ("denominator", 2, 0):
            return value.T
    return value


def _unstacked(value: Array, shapes: Sequence[tuple[int, ...]], order: Literal["F", "C"]) -> Array:
    """The array of a matrix whose columns run over the last variable, and whose rows over all else, the output slowest.

    Magnus & Neudecker, Matrix Differential Calculus, ch. 6: the Hessians of the entries of the output, stacked.
    """
    lengths = [int(np.prod(shape)) for shape in shapes]
    if value.shape != (int(np.prod(lengths[:-1])), lengths[-1]):
        return np.asarray(np.nan)
    value = value.reshape(lengths)
    for axis, (shape, length) in enumerate(zip(shapes, lengths, strict=True)):
        value = value.take(np.arange(length).reshape(shape, order=order).ravel(), axis)
    return value.reshape([length for shape in shapes for length in shape])


# --- comparisons ---------------------------------------------------------------------------------


def _error(gradient: Array, point: _Point, order: int) -> float:
    """How far a derivative in a direction is from the numerical one, relative to what is added up in it."""
    direction, slope = point.directions[order], point.slopes[order].value
    if gradient.ndim == slope.ndim + 1 and direction.ndim == 2:
        # by the distinct entries of a symmetric matrix, column by column
        direction = direction.T[np.triu_indices(len(direction))]
    if gradient.shape != slope.shape + direction.shape:
        return float("inf")
    along = np.tensordot(gradient, direction, direction.ndim) if direction.ndim else gradient * direction
    size = np.tensordot(np.abs(gradient), np.abs(direction), direction.ndim) if direction.ndim else np.abs(along)
    return distance(along, slope, float(np.max(size, initial=0.0)) if np.all(np.isfinite(size)) else 0.0)


def _within_space(derivative: Derivative, gradient: Array, point: _Point) -> bool:
    """Whether the derivative by a structured matrix is itself of that structure, as the notes say."""
    properties = properties_of(derivative.function, derivative.wrt[-1])
    if derivative.structure != "respect":
        return True
    if point.directions[-1].ndim != 2 or not np.all(np.isfinite(gradient)):
        return True
    return distance(projected(gradient, properties), gradient) <= PRECISION


def _same_value(expr: Expr, point: _Point) -> bool:
    compiled = _called(expr.compile(), point.arrays, point.sizes)
    return distance(compiled, evaluate(expr.node, point.arrays, point.sizes)) <= 1e-9


# --- points --------------------------------------------------------------------------------------


class _Search:
    """The search for points of the domain; the claimed derivative has no say in it.

    Attributes
    ----------
    rejected: draws that were of no use.
    undefined: those at which the stated conditions hold, but the function is not defined.
    """

    def __init__(
        self,
        expr: Expr,
        moved: Expr,
        nodes: Sequence[Node],
        wrt: Sequence[str],
        stated: tuple[Demand, ...],
        random: np.random.Generator,
    ) -> None:
        self._expr = expr
        self._moved = moved
        self._steps = list(zip(nodes, wrt, strict=True))
        self._stated = stated
        self._random = random
        self.rejected = 0
        self.undefined = 0

    def point(self, trial: int) -> _Point | None:
        """A point at which the numerical derivatives are good, or the best of several where none is."""
        best: _Point | None = None
        for draw in range(DRAWS):
            sizes = sizes_of(self._expr, trial, draw, self._random)
            try:
                arrays = arrays_of(self._expr, sizes, draw, self._random)
                point = self._measured(sizes, arrays)
            except MatcalcError:
                continue  # a size that is no positive integer
            if point is not None:
                error = max(slope.error for slope in point.slopes)
                if error <= PRECISION / 10:
                    return point
                if error <= LEAST_PRECISION / 10 and (best is None or error < max(s.error for s in best.slopes)):
                    best = point
            self.rejected += 1
            if best is not None and draw >= ENOUGH:
                break
        return best

    def _measured(self, sizes: dict[str, int], arrays: dict[str, Any]) -> _Point | None:
        """The numerical derivatives at a point within the conditions; None where there are none."""
        verdict = judge(self._stated, arrays, sizes)
        if not verdict.clear:
            return None
        directions: list[Array] = []
        slopes: list[Slope] = []
        for node, name in self._steps:
            function = partial(_value, node, sizes)
            if not np.all(np.isfinite(function(arrays))):
                self.undefined += 1
                return None
            direction = direction_of(self._moved, name, arrays, self._random)
            slope = directional(function, arrays, name, direction)
            if slope is None:
                return None
            directions.append(direction)
            slopes.append(slope)
        return _Point(sizes, arrays, directions, slopes)


def _value(node: Node, sizes: Sizes, arrays: Arrays) -> Array:
    return evaluate(node, arrays, sizes)
