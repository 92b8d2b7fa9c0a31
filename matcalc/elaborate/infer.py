"""Choosing the orders of undeclared names: by how they are used, then by convention, as a search of least cost.

Every undeclared name has a conventional kind, which costs nothing; other kinds cost more. An attempt at typing the
program under some choice fails, or raises *doubts*: readings that are legal but unlikely, each with a cost (an
undeclared scalar that would be expanded over an array, a transposed scalar). The names a failure or a doubt hangs on
are varied, cheapest total first.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..errors import MatcalcError, ShapeError, UnknownName
from ..syntax.greek import NAME_TO_LETTER
from .tree import Survey

T = TypeVar("T")

MAX_TRIES = 400
MAX_WORK = 20_000
"""Syntax nodes that may be typed in all tries together."""
MAX_BLAMED = 6
"""Doubts of one choice whose names are varied one by one."""
PATIENCE = 20
"""Choices that are looked at after the best one before it is taken."""
FAILURE = 8.0
"""How a choice that fails is ranked among those to vary further."""

# The cost of a kind for a name whose conventional kind is given first.
COSTS: Mapping[str, Mapping[str, float]] = {
    "scalar": {"scalar": 0, "column": 2, "matrix": 4},
    "column": {"scalar": 5, "column": 0, "matrix": 6},
    "matrix": {"scalar": 5, "column": 6, "matrix": 0},
}
SUBSCRIPTED: Mapping[str, float] = {"column": 0, "matrix": 2}


def conventional_kind(name: str) -> str:
    """The kind a name has on paper: upper-case matrix, h … z vector, a … g and lower-case Greek scalar.

    >>> [conventional_kind(name) for name in ("A", "x", "b", "lambda", "Sigma", "W_1", "y_hat")]
    ['matrix', 'column', 'scalar', 'scalar', 'matrix', 'matrix', 'column']
    """
    stem = re.sub(r"\d+$", "", name.split("_")[0])
    first = stem[:1]
    if first.isupper():
        return "matrix"
    if stem in NAME_TO_LETTER or stem in ("varpi", "varsigma", "lam", "eps"):
        return "scalar"
    return "scalar" if first.lower() < "h" else "column"


def kind_costs(name: str, seen: Survey) -> Mapping[str, float]:
    """The cost of each kind that an undeclared name may have; what the syntax says of it counts."""
    kind = conventional_kind(name)
    count = seen.entries.get(name, 0)
    if count >= 2:
        return {"matrix": 0}
    if count == 1:
        return COSTS["matrix"] if kind == "matrix" else SUBSCRIPTED
    if name in seen.vectors and kind == "scalar":
        return {"column": 0, "matrix": 4, "scalar": 6}
    return COSTS[kind]


def first_kind(name: str, seen: Survey) -> str:
    """The kind that costs nothing."""
    return min(kind_costs(name, seen).items(), key=lambda item: item[1])[0]


@dataclass(frozen=True, slots=True)
class Attempt(Generic[T]):
    """The outcome of typing the program under one choice of kinds.

    Parameters
    ----------
    result, error: one of the two.
    cost: of all doubts together.
    doubts: the undeclared names that each doubt, or the error, hangs on; the likeliest culprit first.
    undeclared: all undeclared names with the types they had, in order of appearance.
    ambiguous: whether the error is about a product that could be meant in several ways.
    """

    result: T | None
    error: MatcalcError | None
    cost: float
    doubts: Sequence[Sequence[str]]
    undeclared: Sequence[str]
    ambiguous: bool = False


@dataclass(order=True, slots=True)
class _State(Generic[T]):
    total: float
    number: int
    kinds: Mapping[str, str] = field(compare=False)
    attempt: Attempt[T] = field(compare=False)


def choose(run: Callable[[Mapping[str, str]], Attempt[T]], seen: Survey) -> T:
    """The result of the cheapest choice of kinds for the undeclared names.

    Parameters: ``run`` types the program under a choice, ``seen`` is the survey of the program.
    Raises the error of the conventional choice when no choice fits, and at once when it is about a product of two
    undeclared names that could be meant in several ways.
    """
    first = run({})
    if first.error is None and not first.doubts:
        return _result(first)
    if first.error is not None and (first.ambiguous or isinstance(first.error, UnknownName) or not first.undeclared):
        raise first.error
    tries = min(MAX_TRIES, max(6, MAX_WORK // max(1, seen.count)))
    heap = [_State(FAILURE if first.error is not None else first.cost, 0, {}, first)]
    visited: set[frozenset[tuple[str, str]]] = {frozenset()}
    best: _State[T] | None = None
    waited = 0
    while heap:
        state = heapq.heappop(heap)
        attempt = state.attempt
        if attempt.error is None:
            if best is None or state.total < best.total:
                best, waited = state, 0
            if not attempt.doubts:
                # nothing to improve here, and nothing cheaper is waiting
                break
        if best is not None:
            waited += 1
            if waited > PATIENCE:
                break
        for kinds in _neighbours(state, seen):
            key = frozenset(kinds.items())
            if key in visited or len(visited) > tries:
                continue
            visited.add(key)
            found = run(kinds)
            deviation = sum(kind_costs(name, seen)[kind] for name, kind in kinds.items())
            total = deviation + (FAILURE if found.error is not None else found.cost)
            heapq.heappush(heap, _State(total, len(visited), kinds, found))
            if len(attempt.doubts) > MAX_BLAMED and found.error is None and not found.doubts:
                break
    if best is None:
        assert first.error is not None
        raise _asking(first)
    return _result(best.attempt)


def _neighbours(state: _State[T], seen: Survey) -> Iterator[Mapping[str, str]]:
    """The choices next to one: a remedy for all doubts at once, then one name at a time."""
    if len(state.attempt.doubts) > 1:
        together = dict(state.kinds)
        for names in state.attempt.doubts:
            if names and names[0] not in state.kinds:
                others = _by_cost(names[0], seen)[1:]
                if others:
                    together[names[0]] = others[0]
        yield together
    for name in dict.fromkeys(name for names in state.attempt.doubts[:MAX_BLAMED] for name in names):
        for kind in _by_cost(name, seen):
            if kind != state.kinds.get(name, first_kind(name, seen)):
                kinds = {**state.kinds, name: kind}
                if kind == first_kind(name, seen):
                    del kinds[name]
                yield kinds


def _by_cost(name: str, seen: Survey) -> list[str]:
    return [kind for kind, _ in sorted(kind_costs(name, seen).items(), key=lambda item: item[1])]


def _result(attempt: Attempt[T]) -> T:
    assert attempt.result is not None
    return attempt.result


def _asking(first: Attempt[T]) -> MatcalcError:
    """Ask for declarations of the names whose types had to be guessed."""
    error = first.error
    assert error is not None
    if not isinstance(error, ShapeError):
        # another type would not help
        return error
    listed = "; ".join(first.undeclared[:4]) + ("; …" if len(first.undeclared) > 4 else "")
    ask = f"these types were assumed, declare others: {listed}"
    error.hint = f"{error.hint}; {ask}" if error.hint else ask
    return error
