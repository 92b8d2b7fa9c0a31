"""A wrong claim with everything that a diagnosis asks for, and the candidates that may explain it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from ..derivation import Derivative
from ..expr.build import add, substitute, variables
from ..expr.nodes import Node, Variable
from ..expression import Expr
from ..notation.matrices import to_ast
from ..notation.text import to_text
from .coefficients import Coefficient, name_coefficient
from .points import Array, Point, Values, difference
from .reading import Reading

Side = Literal["claim", "right"]

#: Below this relative error two values agree.
AGREEMENT = 1e-9
#: Above this one they differ; between the two nothing is said.
DISAGREEMENT = 1e-6


@dataclass(frozen=True, slots=True)
class Problem:
    """A claim that is wrong.

    Parameters
    ----------
    derivative: the right one, in the layout asked for.
    readable: the right one as it is printed, read again.
    reading: the claim, where it is text.
    points: where the two were compared.
    right, claimed: the values there; ``claimed`` is empty for a claim whose shapes do not fit.
    scalars: the values of the scalars in the expression at the points, by their text.
    """

    derivative: Derivative
    readable: Node
    reading: Reading | None
    points: tuple[Point, ...]
    right: tuple[Array, ...]
    claimed: tuple[Array, ...]
    scalars: Mapping[str, Sequence[float]]

    @property
    def expr(self) -> Expr:
        return self.derivative.function

    @property
    def node(self) -> Node | None:
        """The claim as a node, over the variables of the expression."""
        return None if self.reading is None else self.reading.node

    @property
    def layout(self) -> str:
        return self.derivative.layout

    @property
    def wanted(self) -> tuple[Variable, ...]:
        """The variables that the derivative is taken by."""
        return tuple(self.expr.occurring[name] for name in self.derivative.wrt if name in self.expr.occurring)

    def text(self, node: Node) -> str:
        """A node as it is printed."""
        return to_text(to_ast(node, self.expr.order), separator="; ")


class Candidate(NamedTuple):
    """A formula that would explain the claim: ``base + c * node`` is the claim, or the derivative.

    Parameters
    ----------
    kind: the fault, a row of `FAULTS <matcalc.claims.faults.FAULTS>`; ``whole`` and ``term`` get theirs from c.
    node: a formula.
    of: what it should equal.
    part, instead: for the sentence.
    base: what is added to it.
    """

    kind: str
    node: Node
    of: Side = "claim"
    part: str = ""
    instead: str = ""
    base: Node | None = None


class Match(NamedTuple):
    """A candidate that explains a claim, with the factor that makes it do so."""

    candidate: Candidate
    factor: Coefficient


def matches(problem: Problem, candidates: Sequence[Candidate]) -> list[Match]:
    """The candidates that explain the claim at every point, up to a factor that can be named."""
    if not candidates:
        return []
    nodes = [node for candidate in candidates for node in (candidate.node, candidate.base) if node is not None]
    places: dict[bytes, int] = {}
    distinct: list[Node] = []
    for node in nodes:
        if node.digest not in places:
            places[node.digest] = len(distinct)
            distinct.append(node)
    values = Values(problem.expr, distinct)
    seen = [values.at(point) for point in problem.points]
    found = []
    for candidate in candidates:
        target = problem.claimed if candidate.of == "claim" else problem.right
        if not target:
            continue
        direction = [row[places[candidate.node.digest]] for row in seen]
        base = None if candidate.base is None else [row[places[candidate.base.digest]] for row in seen]
        factor = _factor(problem, direction, base, target)
        if factor is not None:
            found.append(Match(candidate, factor))
    return found


def _factor(
    problem: Problem, direction: Sequence[Array], base: Sequence[Array] | None, target: Sequence[Array]
) -> Coefficient | None:
    """The c for which ``base + c * direction`` is the target at every point, if it has a meaning."""
    numbers: list[float] = []
    seen: list[int] = []
    for place, (along, wanted) in enumerate(zip(direction, target, strict=True)):
        start = np.zeros_like(wanted) if base is None else base[place]
        if along.shape != wanted.shape or start.shape != wanted.shape:
            return None
        length = float(np.vdot(along, along))
        if length == 0 and difference(start, wanted) <= AGREEMENT:
            continue  # both vanish, where a mask is 0
        if not np.isfinite(length) or length == 0 or not np.all(np.isfinite(wanted)):
            return None
        seen.append(place)
        number = float(np.vdot(along, wanted - start)) / length
        if difference(start + number * along, wanted) > 1e3 * AGREEMENT * _spread(start, along, wanted):
            return None
        numbers.append(number)
    if not seen:
        return None
    scalars = {text: [values[place] for place in seen] for text, values in problem.scalars.items()}
    return name_coefficient(numbers, [problem.points[place].sizes for place in seen], scalars)


def _spread(*arrays: Array) -> float:
    """At least 1, and more where large numbers cancel."""
    sizes = [float(np.max(np.abs(array), initial=0.0)) for array in arrays]
    return min(1e2, max(1.0, max(sizes) / max(sizes[-1], 1e-300)))


def over_declared(node: Node, expr: Expr) -> Node:
    """A node over variables of the same names as an expression's, with the properties these have there."""
    values: dict[Node, Node] = {}
    for variable in variables(node):
        symbol = expr.meaning.symbols.get(variable.name)
        if symbol is not None and frozenset(symbol.properties) != variable.properties:
            values[variable] = Variable(variable.name, symbol.type.shape, symbol.properties)
    return substitute(node, values) if values else node


def minus(left: Node, right: Node) -> Node:
    return add([(1, left), (-1, right)], left.shape)


def plus(left: Node, right: Node) -> Node:
    return add([(1, left), (1, right)], left.shape)
