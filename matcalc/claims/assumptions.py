"""Under which assumptions a wrong claim is right: properties of one variable, of two, sizes of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import numpy as np

from ..conditions import Demand
from ..expr.nodes import Variable
from ..expression import Expr
from .points import Assumption, Test, draw_point

TRIALS = 3
#: Properties of a square matrix from weak to strong; a strong one is not tried where one that it implies suffices.
MATRIX_PROPERTIES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("symmetric", "symmetric", ()),
    ("skew", "skew-symmetric", ()),
    ("orthogonal", "orthogonal", ()),
    ("spd", "symmetric positive definite", ("symmetric",)),
    ("diagonal", "diagonal", ("symmetric",)),
)
MOST_VARIABLES = 8


def assumptions_that_help(
    expr: Expr,
    variables: Sequence[Variable],
    stated: tuple[Demand, ...],
    finite: Test,
    agree: Test,
    seed: int,
    refuted: Callable[[Assumption], bool],
    of_sizes: bool = False,
) -> tuple[str, ...]:
    """The weakest assumptions under which a claim agrees with the derivative, each as a phrase.

    Parameters
    ----------
    expr: the expression.
    variables: those that occur in the derivative or in the claim.
    stated, finite: what holds at a point.
    agree: whether the claim and the derivative agree at a point.
    seed: of the points.
    refuted: whether a point is known to speak against an assumption.
    of_sizes: try sizes of 1 instead of properties.
    """

    def holds(assumption: Assumption) -> bool:
        random = np.random.default_rng(seed)
        for trial in range(TRIALS):
            point = draw_point(expr, stated, trial, random, assumption, finite)
            if point is None or not agree(point):
                return False
        return not refuted(assumption)

    considered = list(variables)[:MOST_VARIABLES]
    if of_sizes:
        return next(((assumption.text,) for assumption in _of_sizes(considered) if holds(assumption)), ())
    found = [text for variable in considered for text in _of_one(variable, holds)]
    if found:
        return tuple(found)
    pairs = (*_of_two(considered), *_multiples(considered))
    return next(((assumption.text,) for assumption in pairs if holds(assumption)), ())


def _of_one(variable: Variable, holds: Callable[[Assumption], bool]) -> Iterator[str]:
    """The weakest properties of one variable that help."""
    name = variable.name
    helped: set[str] = set()
    if _is_square(variable):
        for key, words, implied in MATRIX_PROPERTIES:
            if key in variable.properties or helped & set(implied):
                continue
            if holds(Assumption(f"{name} is {words}", {name: frozenset({key})})):
                helped.add(key)
                yield f"{name} is {words}"
    if not variable.properties & {"positive", "integer", "spd", "psd"}:
        word = "is positive" if not variable.shape else "has positive entries"
        if holds(Assumption(f"{name} {word}", {name: frozenset({"positive"})})):
            yield f"{name} {word}"


def _of_two(variables: Sequence[Variable]) -> Iterator[Assumption]:
    """Two square matrices that commute, or are both symmetric; all of them symmetric; all numbers positive."""
    square = [variable for variable in variables if _is_square(variable)]
    for first, second in combinations(square, 2):
        if first.shape == second.shape and not (first.properties | second.properties):
            yield Assumption(f"{first.name} and {second.name} commute", commuting=(first.name, second.name))
    loose = [variable for variable in square if "symmetric" not in variable.properties]
    for first, second in combinations(loose, 2):
        both = {first.name: frozenset({"symmetric"}), second.name: frozenset({"symmetric"})}
        yield Assumption(f"{first.name} and {second.name} are symmetric", both)
    if len(loose) > 2:
        names = [variable.name for variable in loose]
        listed = f"{', '.join(names[:-1])} and {names[-1]}"
        yield Assumption(f"{listed} are symmetric", {name: frozenset({"symmetric"}) for name in names})


def _multiples(variables: Sequence[Variable]) -> Iterator[Assumption]:
    for variable in variables:
        if _is_square(variable):
            yield Assumption(f"{variable.name} is a multiple of the identity", multiples=frozenset({variable.name}))


def _of_sizes(variables: Sequence[Variable]) -> Iterator[Assumption]:
    names = sorted({name for variable in variables for dim in variable.shape for name in dim.names})
    for name in names:
        yield Assumption(f"{name} = 1", units=frozenset({name}))


def _is_square(variable: Variable) -> bool:
    return variable.order == 2 and variable.shape[0] == variable.shape[1]
