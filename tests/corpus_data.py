"""Loads the corpus of textbook derivatives and draws points to check them at."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from oracle import Array, choose_dimensions, evaluate, read, sample

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True, slots=True)
class Case:
    """One derivative from the literature; `tests/corpus/README.md` says what the fields mean."""

    name: str
    text: str
    vars: Mapping[str, str]
    wrt: str
    expected: str
    reference: str
    order: int = 1
    wrt2: str | None = None
    dims: Mapping[str, int] = field(default_factory=dict)
    scale: Mapping[str, float] = field(default_factory=dict)
    where: str = ""
    note: str = ""
    source_file: str = ""

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables differentiated by, one per order."""
        return (self.wrt, self.wrt2 or self.wrt)[: self.order]


def load_cases(folder: Path = CORPUS) -> list[Case]:
    """Every case of every file, in the order of the files' names.

    >>> load_cases()[0].order
    1
    """
    return [
        Case(**entry, source_file=file.name)
        for file in sorted(folder.glob("*.toml"))
        for entry in tomllib.loads(file.read_text(encoding="utf-8"))["case"]
    ]


def sample_case(case: Case, seed: int = 0) -> tuple[dict[str, int], dict[str, Array]]:
    """Sizes and values at which the function of a case is finite; another seed gives another point.

    >>> dims, values = sample_case(load_cases()[0])
    >>> sorted(values) == sorted(load_cases()[0].vars)
    True

    Raises ValueError when no such point is found.
    """
    dims = choose_dimensions(case.vars, case.dims)
    program = read(case.text)
    for attempt in range(100 * seed, 100 * seed + 100):
        values = sample(case.vars, dims, attempt, case.scale)
        if np.all(np.isfinite(evaluate(program, values, dims))):
            return dims, values
    raise ValueError(f"{case.name}: no point of the domain found.")
