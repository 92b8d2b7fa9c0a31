"""Choosing the orders of undeclared names: by how they are used, then by convention, as a search of least cost.

Every undeclared name has a conventional kind, which costs nothing; other kinds cost more. An attempt at typing the
program under some choice fails, or raises *doubts*: readings that are legal but unlikely, each with a cost (an
undeclared scalar that would be expanded over an array, a transposed scalar). The names a failure or a doubt hangs on
are varied, cheapest total first.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..errors import MatcalcError, UnknownName
from ..syntax.ast import Ast, Index, Name, Norm, Num, Program, Range, Transpose
from ..syntax.greek import NAME_TO_LETTER
from .tree import index_names, nodes_of

T = TypeVar("T")

MAX_TRIES = 2_000
MAX_WORK = 150_000
"""Syntax nodes that may be typed in all tries together."""
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


@dataclass(frozen=True, slots=True)
class Hints:
    """What the syntax alone says of names: which are subscripted, with how many indices, transposed or in a norm."""

    entries: Mapping[str, int]
    vectors: frozenset[str]

    def costs(self, name: str) -> Mapping[str, float]:
        """The cost of each kind that the name may have."""
        kind = conventional_kind(name)
        count = self.entries.get(name, 0)
        if count >= 2:
            return {"matrix": 0}
        if count == 1:
            return COSTS["matrix"] if kind == "matrix" else SUBSCRIPTED
        if name in self.vectors and kind == "scalar":
            return {"column": 0, "matrix": 4, "scalar": 6}
        return COSTS[kind]

    def kind(self, name: str) -> str:
        """The kind that costs nothing."""
        return min(self.costs(name).items(), key=lambda item: item[1])[0]


def gather_hints(program: Program) -> Hints:
    """Read the hints off the syntax tree."""
    bound = index_names(program)
    entries: dict[str, int] = {}
    vectors: set[str] = set()

    def subscripted(name: str, count: int) -> None:
        entries[name] = max(entries.get(name, 0), count)

    for node in nodes_of(program):
        match node:
            case Transpose(Name(name)) | Norm(_, Name(name)):
                vectors.add(name)
            case Name(name):
                base, _, suffix = name.rpartition("_")
                if base and suffix in bound:
                    subscripted(base, 1)
                elif base and len(suffix) > 1 and all(letter in bound for letter in suffix):
                    subscripted(base, len(suffix))
            case Index(Name(name), items, subscript):
                subscripted(name, _entry_count(items, subscript, bound))
            case _:
                pass
    return Hints(entries, frozenset(vectors))


def _entry_count(items: Sequence[Ast], subscript: bool, bound: frozenset[str]) -> int:
    if len(items) > 1 or not subscript or isinstance(items[0], Range | Num):
        return len(items)
    only = items[0]
    if isinstance(only, Name) and only.id not in bound and len(only.id) > 1:
        return len(only.id) if all(letter in bound for letter in only.id) else 0
    return 1


@dataclass(frozen=True, slots=True)
class Attempt(Generic[T]):
    """The outcome of typing the program under one choice of kinds."""

    result: T | None
    error: MatcalcError | None
    cost: float
    blamed: Sequence[str]
    undeclared: Sequence[str]
    ambiguous: bool = False


@dataclass(order=True, slots=True)
class _State(Generic[T]):
    total: float
    number: int
    kinds: Mapping[str, str] = field(compare=False)
    attempt: Attempt[T] = field(compare=False)


def choose(run: Callable[[Mapping[str, str]], Attempt[T]], hints: Hints, work: int) -> T:
    """The result of the cheapest choice of kinds for the undeclared names.

    Parameters: ``run`` types the program under a choice, ``work`` is the size of the program.
    Raises the error of the conventional choice when no choice fits, and at once when it is about a product of two
    undeclared names that could be meant in several ways.
    """
    first = run({})
    if first.error is None and not first.blamed:
        return _result(first)
    if first.error is not None and (first.ambiguous or isinstance(first.error, UnknownName) or not first.undeclared):
        raise first.error
    tries = min(MAX_TRIES, max(24, MAX_WORK // max(1, work)))
    heap = [_State(FAILURE if first.error is not None else first.cost, 0, {}, first)]
    seen: set[frozenset[tuple[str, str]]] = {frozenset()}
    best: _State[T] | None = None
    waited = 0
    while heap:
        state = heapq.heappop(heap)
        attempt = state.attempt
        if attempt.error is None:
            if best is None or state.total < best.total:
                best, waited = state, 0
            if not attempt.blamed:
                # nothing to improve here, and nothing cheaper is waiting
                break
        if best is not None:
            waited += 1
            if waited > PATIENCE:
                break
        for name in attempt.blamed:
            current = state.kinds.get(name, hints.kind(name))
            for kind, _ in sorted(hints.costs(name).items(), key=lambda item: item[1]):
                kinds = {**state.kinds, name: kind}
                if kind == hints.kind(name):
                    del kinds[name]
                key = frozenset(kinds.items())
                if kind == current or key in seen or len(seen) > tries:
                    continue
                seen.add(key)
                found = run(kinds)
                deviation = sum(hints.costs(one)[other] for one, other in kinds.items())
                total = deviation + (FAILURE if found.error is not None else found.cost)
                heapq.heappush(heap, _State(total, len(seen), kinds, found))
    if best is None:
        assert first.error is not None
        raise _asking(first.error, first.undeclared)
    return _result(best.attempt)


def _result(attempt: Attempt[T]) -> T:
    assert attempt.result is not None
    return attempt.result


def _asking(error: MatcalcError, undeclared: Sequence[str]) -> MatcalcError:
    """Ask for declarations of the names whose types had to be guessed."""
    listed = ", ".join(undeclared[:4]) + (", …" if len(undeclared) > 4 else "")
    ask = f"or declare {listed}, as in x: vector(n)"
    error.hint = f"{error.hint}; {ask}" if error.hint and "declare" not in error.hint else error.hint or ask
    return error

