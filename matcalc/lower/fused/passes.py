"""Which works run in one pass over rows, and in which of its loops.

A pass goes over panels of rows of one length. A work runs in it if of what the pass computes it needs only its own
rows; what adds up over the rows is there after the pass. Within a panel, works of one domain are one loop, unless one
needs the finished sum of another over a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...expr.dims import Dim
from .works import Read, Work


class Stage(NamedTuple):
    """Works of one loop over the rows of a panel, or over their entries."""

    domain: tuple[Dim, ...]
    works: tuple[Work, ...]


class Pass(NamedTuple):
    """Loops that run panel by panel."""

    rows: Dim
    stages: tuple[Stage, ...]

    @property
    def works(self) -> list[Work]:
        return [work for stage in self.stages for work in stage.works]


Step = Pass | Work
"""A pass over rows, or a work of its own: of numbers alone, or a product of small matrices."""


def passes(works: Sequence[Work]) -> list[Step]:
    """The works in an order in which as many as possible share a pass."""
    steps: list[Step] = []
    todo: list[list[Work] | Pass] = [list(works)]
    while todo:
        part = todo.pop()
        if isinstance(part, Pass):
            steps.append(part)
            continue
        cuts = [_cut(part, rows) for rows in dict.fromkeys(w.domain[0] for w in part if _loops(w))]
        if not cuts:
            steps += part
            continue
        best = max(cuts, key=lambda cut: sum(len(work.domain) ** 2 for work in cut[1]))
        before, body, after = best
        todo += [after, Pass(body[0].domain[0], _stages(body)), before]
    return steps


def _loops(work: Work) -> bool:
    return bool(work.domain) and work.kind != "product"


AFTER, ROWS = "after", "rows"


def _cut(works: Sequence[Work], rows: Dim) -> tuple[list[Work], list[Work], list[Work]]:
    """What comes before a pass over rows of a length, what is in it, what comes after."""
    states: dict[int, str] = {}
    before: list[Work] = []
    body: list[Work] = []
    after: list[Work] = []
    for work in works:
        if any(states.get(read.value) == AFTER for read in work.reads):
            states[work.target] = AFTER
            after.append(work)
        elif _fits(work, rows, states):
            states[work.target] = AFTER if 0 in work.reduced else ROWS
            body.append(work)
        elif any(read.value in states for read in work.reads):
            states[work.target] = AFTER
            after.append(work)
        else:
            before.append(work)
    return before, body, after


def _fits(work: Work, rows: Dim, states: Mapping[int, str]) -> bool:
    if not _loops(work) or work.domain[0] != rows:
        return False
    return all(_own_rows(read) for read in work.reads if read.value in states)


def _own_rows(read: Read) -> bool:
    return read.labels == tuple(range(len(read.labels))) and bool(read.labels)


def _stages(works: Sequence[Work]) -> tuple[Stage, ...]:
    stages: list[list[Work]] = []
    place: dict[int, int] = {}
    reduced: set[int] = set()
    for work in works:
        least = 0
        for read in work.reads:
            if read.value in place:
                least = max(least, place[read.value] + (read.value in reduced))
        for number in range(least, len(stages)):
            one = stages[number][0]
            if one.domain == work.domain and one.times == work.times:
                break
        else:
            number = len(stages)
            stages.append([])
        stages[number].append(work)
        place[work.target] = number
        if work.reduced:
            reduced.add(work.target)
    return tuple(Stage(group[0].domain, tuple(group)) for group in stages)
