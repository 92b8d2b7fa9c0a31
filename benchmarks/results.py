"""What a run found, as data: one record for each case and peer, ratios, and the file that holds them."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .workloads import Array

TOLERANCE = 1e-8
"""How far an answer may be from the reference, relative to the largest entry."""


class Sample(NamedTuple):
    """One time slice: seconds of a call, and the share of the machine that others used meanwhile."""

    seconds: float
    others: float


class Timing(NamedTuple):
    """What was measured of a peer in a case.

    Attributes
    ----------
    seconds: the median over the time slices of the seconds of one call.
    spread: the difference of the quartiles of the slices, as a share of the median.
    first: the seconds from the expression to the first answer: deriving, compiling, and one call.
    memory: the bytes that one call takes beside its arguments; None where that was not measured.
    error: how far its answer is from the reference.
    """

    seconds: float
    spread: float
    first: float
    memory: int | None
    error: float


class Row(NamedTuple):
    """A case: what was measured of each peer, and why others are missing."""

    label: str
    timings: Mapping[str, Timing]
    notes: Mapping[str, str]

    @property
    def is_wrong(self) -> bool:
        """Whether a peer gave a wrong answer."""
        return any(note.startswith("WRONG") for note in self.notes.values())


class Results(NamedTuple):
    """All that a run found.

    Attributes
    ----------
    machine: what it ran on, in words.
    threads: how many threads every peer had.
    seed: of the data.
    imports: the CPU seconds of importing a peer.
    rows: the cases.
    """

    machine: Mapping[str, str]
    threads: int
    seed: int
    imports: Mapping[str, float]
    rows: tuple[Row, ...]


def relative_error(answer: Sequence[Array], reference: Sequence[Array]) -> float:
    """The largest difference, relative to the largest entry of its array; infinite where shapes differ.

    >>> relative_error([np.array([1.0, 2.0])], [np.array([1.0, 2.5])])
    0.2
    """
    if len(answer) != len(reference):
        return math.inf
    worst = 0.0
    for part, expected in zip(answer, reference, strict=True):
        left, right = np.asarray(part, float), np.asarray(expected, float)
        if left.shape != right.shape or not np.isfinite(left).all():
            return math.inf
        largest = float(np.abs(right).max(initial=0.0))
        worst = max(worst, float(np.abs(left - right).max(initial=0.0)) / max(largest, 1e-300))
    return worst if math.isfinite(worst) else math.inf


def median_and_spread(samples: Sequence[Sample], count: int) -> tuple[float, float]:
    """The median of the least disturbed samples, and the difference of their quartiles as a share of it.

    >>> median_and_spread([Sample(2.0, 0.0), Sample(9.0, 0.9), Sample(2.0, 0.1), Sample(3.0, 0.0)], 3)
    (2.0, 0.25)
    """
    kept = sorted(sample.seconds for sample in sorted(samples, key=lambda sample: sample.others)[: max(count, 1)])
    median = statistics.median(kept)
    if len(kept) < 2:
        return median, 0.0
    low, _, high = statistics.quantiles(kept, n=4, method="inclusive")
    return median, (high - low) / median


def ratio(row: Row, peer: str, base: str) -> float | None:
    """The time of a peer over that of another; None where one of them is missing.

    >>> row = Row("r", {"a": Timing(2.0, 0.0, 1.0, None, 0.0), "b": Timing(4.0, 0.0, 1.0, None, 0.0)}, {})
    >>> ratio(row, "b", "a"), ratio(row, "c", "a")
    (2.0, None)
    """
    if peer not in row.timings or base not in row.timings:
        return None
    return row.timings[peer].seconds / row.timings[base].seconds


def best_peer(row: Row, leave_out: frozenset[str]) -> str | None:
    """The fastest peer that is not left out."""
    seconds = {name: timing.seconds for name, timing in row.timings.items() if name not in leave_out}
    return min(seconds, key=seconds.__getitem__) if seconds else None


def geometric_mean(values: Sequence[float]) -> float:
    """The mean for ratios.

    >>> geometric_mean([0.5, 2.0])
    1.0
    """
    return math.exp(math.fsum(math.log(value) for value in values) / len(values))


def merged(parts: Sequence[Results]) -> Results:
    """Several runs as one. A row that occurs again is taken from the first: times of two runs are never mixed in it."""
    rows: dict[str, Row] = {}
    for part in parts:
        rows = {row.label: row for row in part.rows} | rows
    order = [row.label for part in parts for row in part.rows]
    return parts[0]._replace(rows=tuple(rows[label] for label in dict.fromkeys(order)))


def significant(value: float, digits: int = 4) -> float:
    """Rounded to so many significant digits."""
    return float(f"{value:.{digits}g}")


def to_json(results: Results) -> str:
    """The text of a result file."""
    rows = [
        {
            "label": row.label,
            "notes": dict(row.notes),
            "timings": {
                name: {
                    "seconds": significant(timing.seconds),
                    "spread": significant(timing.spread, 2),
                    "first": significant(timing.first),
                    "memory": timing.memory,
                    "error": significant(timing.error, 2),
                }
                for name, timing in row.timings.items()
            },
        }
        for row in results.rows
    ]
    content: dict[str, Any] = {
        "machine": dict(results.machine),
        "threads": results.threads,
        "seed": results.seed,
        "imports": {name: significant(seconds, 3) for name, seconds in results.imports.items()},
        "rows": rows,
    }
    return json.dumps(content, indent=1) + "\n"


def from_json(text: str) -> Results:
    """What `to_json` has written."""
    content = json.loads(text)
    rows = tuple(
        Row(
            row["label"],
            {name: Timing(**timing) for name, timing in row["timings"].items()},
            row["notes"],
        )
        for row in content["rows"]
    )
    return Results(content["machine"], content["threads"], content["seed"], content["imports"], rows)


def read(path: Path) -> Results:
    """The results in a file."""
    return from_json(path.read_text(encoding="utf-8"))
