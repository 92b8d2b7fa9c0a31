"""Random points at which a claim is compared, and the values of nodes there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..conditions import Demand
from ..errors import MatcalcError
from ..expr.nodes import Node
from ..expression import Expr
from ..functions import program_arguments
from ..lower.function import Compiled, compile_function
from ..verify.domain import judge
from ..verify.points import arrays_of, sizes_of

Array = NDArray[np.float64]

DRAWS = 60
#: … and fewer under an assumption, which many expressions cannot meet (a skew matrix of odd size has no inverse).
DRAWS_ASSUMED = 12
#: A number below this is as good as zero: relative errors are taken with respect to at least this much.
FLOOR = 1e-6
UNDEFINED: Array = np.asarray(np.nan)


class Point(NamedTuple):
    """Sizes by name and arrays by name."""

    sizes: Mapping[str, int]
    arrays: Mapping[str, Any]


Test = Callable[[Point], bool]


class Assumption(NamedTuple):
    """What may hold beyond the declarations; a claim that is wrong in general may be right under it.

    Parameters
    ----------
    text: how it is said, ``A is symmetric``.
    properties: declared properties that variables get.
    units: sizes that are 1.
    commuting: two square matrices that commute.
    multiples: matrices that are multiples of the identity.
    """

    text: str = ""
    properties: Mapping[str, frozenset[str]] = {}
    units: frozenset[str] = frozenset()
    commuting: tuple[str, str] | None = None
    multiples: frozenset[str] = frozenset()


NOTHING = Assumption()


def draw_point(
    expr: Expr,
    stated: tuple[Demand, ...],
    trial: int,
    random: np.random.Generator,
    assumption: Assumption = NOTHING,
    accept: Test = lambda _: True,
) -> Point | None:
    """A random point of the domain with sizes that are all distinct; None where none is found.

    Parameters
    ----------
    expr: whose variables are drawn.
    stated: the conditions that hold there, with a margin.
    trial: the number of the point; another one has other sizes.
    random: the source of randomness.
    assumption: what holds beyond the declarations.
    accept: a further test, such as that a derivative is finite.
    """
    drawn = _with_properties(expr, assumption.properties)
    for draw in range(DRAWS if assumption == NOTHING else DRAWS_ASSUMED):
        sizes = sizes_of(drawn, trial, draw, random)
        sizes |= dict.fromkeys(assumption.units & set(sizes), 1)
        try:
            arrays = arrays_of(drawn, sizes, draw, random)
            for name in assumption.multiples:
                arrays[name] = random.uniform(0.5, 2.0) * np.eye(len(arrays[name]))
            if assumption.commuting is not None:
                first, second = assumption.commuting
                matrix = arrays[first]
                weights = random.standard_normal(3)
                arrays[second] = weights[0] * np.eye(len(matrix)) + weights[1] * matrix + weights[2] * matrix @ matrix
            point = Point(sizes, arrays)
            if judge(stated, arrays, sizes).clear and accept(point):
                return point
        except (MatcalcError, np.linalg.LinAlgError):
            continue  # a size that is no positive integer, or a condition that cannot be evaluated
    return None


def _with_properties(expr: Expr, properties: Mapping[str, frozenset[str]]) -> Expr:
    """The expression with more properties declared."""
    if not properties:
        return expr
    declared = {name: " ".join([text, *sorted(properties.get(name, frozenset()))]) for name, text in expr.vars.items()}
    return expr.with_types(declared)


class Values:
    """The values of several nodes over the variables of an expression, computed together."""

    def __init__(self, expr: Expr, nodes: Sequence[Node]) -> None:
        self._count = len(nodes)
        self._parts: list[tuple[list[int], Compiled]] = []
        stack = [list(range(len(nodes)))] if nodes else []
        while stack:
            places = stack.pop()
            chosen = [nodes[place] for place in places]
            try:
                self._parts.append((places, compile_function(chosen, program_arguments(expr, chosen), check=False)))
            except MatcalcError:
                if len(places) > 1:
                    stack += [places[: len(places) // 2], places[len(places) // 2 :]]
        self._expr = expr
        self._nodes = nodes

    def at(self, point: Point) -> list[Array]:
        """One array for each node; NaN without axes where there is no value."""
        found: list[Array] = [UNDEFINED] * self._count
        stack = list(self._parts)
        while stack:
            places, function = stack.pop()
            arrays = {argument.name: point.arrays[argument.name] for argument in function.arguments}
            passed = {keyword: point.sizes[size] for size, keyword in function.passed.items() if size in point.sizes}
            try:
                with np.errstate(all="ignore"):
                    results = function(**arrays, **passed)
            except (MatcalcError, np.linalg.LinAlgError):
                if len(places) > 1:
                    for half in (places[: len(places) // 2], places[len(places) // 2 :]):
                        chosen = [self._nodes[place] for place in half]
                        arguments = program_arguments(self._expr, chosen)
                        stack.append((half, compile_function(chosen, arguments, check=False)))
                continue
            for place, result in zip(places, results, strict=True):
                found[place] = np.asarray(result, dtype=float)
        return found


def difference(left: Array, right: Array) -> float:
    """The largest difference of two arrays relative to their largest entry; infinite where they cannot be compared."""
    if left.shape != right.shape or not (np.all(np.isfinite(left)) and np.all(np.isfinite(right))):
        return float("inf")
    largest = max(float(np.max(np.abs(left), initial=0.0)), float(np.max(np.abs(right), initial=0.0)), FLOOR)
    return float(np.max(np.abs(left - right), initial=0.0)) / largest
