"""What a check of a claim finds, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Verdict = Literal["right", "wrong", "undecided"]


class Fault(NamedTuple):
    """One way in which a claim differs from the derivative.

    Parameters
    ----------
    kind: a row of `FAULTS <matcalc.claims.faults.FAULTS>`.
    sentence: what is wrong, in one sentence.
    part: the term or factor that it is about, as printed; empty for the whole.
    factor: what the claim, or that part of it, is a multiple by.
    """

    kind: str
    sentence: str
    part: str = ""
    factor: str = ""


class Counterexample(NamedTuple):
    """A point in short numbers with the value of the claim (``yours``) and of the derivative (``right``) there."""

    arrays: dict[str, Any]
    yours: Any
    right: Any

    def __str__(self) -> str:
        values = ", ".join(f"{name} = {_shown(value)}" for name, value in self.arrays.items())
        yours = "not defined" if self.yours is None else _shown(self.yours)
        return f"at {values}: yours {yours}, right {_shown(self.right)}"


class Difference(NamedTuple):
    """How far a claim is from the derivative: the largest relative error, and entries that differ at one point."""

    error: float
    entries: tuple[tuple[int, ...], ...]
    differing: int


@dataclass(frozen=True, slots=True)
class ClaimReport:
    """The answer to a claim.

    Parameters
    ----------
    verdict: ``right``, ``wrong`` or ``undecided``.
    message: the verdict and its reason, in one sentence.
    claim: as it was given.
    formula: the right formula, in the layout asked for.
    layout: that layout.
    exact: whether the verdict was reached in normal form, without numbers.
    faults: how the claim differs, the most telling first; several where only together they explain it.
    right_if: assumptions under which the claim is right after all.
    counterexample: short numbers at which the claim and the derivative differ.
    difference: how far they are apart.
    error: the largest relative error where the claim is right.
    points: at how many random points they were compared.
    sizes: the sizes of those points.
    seed: of the points.
    notes: how the expression and the claim were read, and conditions.
    """

    verdict: Verdict
    message: str
    claim: str
    formula: str
    layout: str
    exact: bool = False
    faults: tuple[Fault, ...] = ()
    right_if: tuple[str, ...] = ()
    counterexample: Counterexample | None = None
    difference: Difference | None = None
    error: float = 0.0
    points: int = 0
    sizes: tuple[dict[str, int], ...] = ()
    seed: int = 0
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the claim is right."""
        return self.verdict == "right"

    def __bool__(self) -> bool:
        return self.ok

    @property
    def tried(self) -> str:
        """What was tried, in one line."""
        if self.exact and not self.points:
            return "compared in normal form"
        listed = "; ".join(", ".join(f"{name} = {size}" for name, size in sizes.items()) for sizes in self.sizes)
        places = f"{self.points} random point{'s' * (self.points != 1)}"
        return f"{places}, seed {self.seed}" + (f", sizes {listed}" if listed.replace("; ", "") else "")

    def lines(self) -> list[str]:
        """The answer as text, line by line."""
        found = [self.message]
        found += [fault.sentence for fault in self.faults if fault.kind != "assumption"]
        if self.verdict != "right":
            found.append(f"right formula: {self.formula}")
        if self.counterexample is not None:
            found.append(f"counterexample: {self.counterexample}")
        found.append(f"tried: {self.tried}")
        return found

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        example, apart = self.counterexample, self.difference
        return {
            "verdict": self.verdict,
            "message": self.message,
            "claim": self.claim,
            "formula": self.formula,
            "layout": self.layout,
            "exact": self.exact,
            "faults": [fault._asdict() for fault in self.faults],
            "right_if": list(self.right_if),
            "counterexample": None if example is None else example._asdict(),
            "difference": None
            if apart is None
            else {
                "error": apart.error if apart.error != float("inf") else None,
                "entries": [list(entry) for entry in apart.entries],
                "differing": apart.differing,
            },
            "error": self.error,
            "points": self.points,
            "sizes": [dict(sizes) for sizes in self.sizes],
            "seed": self.seed,
            "notes": list(self.notes),
        }


def _shown(value: Any) -> str:
    """Nested lists of numbers with few digits."""
    if isinstance(value, list):
        return "[" + ", ".join(_shown(entry) for entry in value) + "]"
    if value is None:
        return "nan"
    return f"{value:.4g}"
