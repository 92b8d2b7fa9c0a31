"""What a check found, as data and as one sentence."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The outcome of a check.

    Parameters
    ----------
    ok: whether every comparison was within the precision.
    max_error: the largest relative error of the derivative in a direction, in every form in which it is claimed.
    formula_error: the largest relative difference, entry by entry, between the forms of the claim: the compiled
        function, the normal form, and the printed formulas, read again.
    precision: the relative error that would have been noticed everywhere.
    trials: the number of random points.
    sizes: the sizes that were tried.
    seed: of the random points.
    methods: how the numerical derivatives were found.
    forms: the forms of the claim that were compared.
    rejected: points drawn that were outside the conditions, or where the function is not defined or too sensitive.
    undefined: those of them that met every stated condition and had no finite value.
    faults: what was found wrong, one phrase each.
    message: one sentence.
    """

    ok: bool
    max_error: float
    formula_error: float
    precision: float
    trials: int
    sizes: tuple[dict[str, int], ...]
    seed: int
    methods: tuple[str, ...]
    forms: tuple[str, ...]
    rejected: int
    undefined: int
    faults: tuple[str, ...]
    message: str

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return self.message

    @property
    def details(self) -> str:
        """What was tried: points, sizes, seed, method, rejected points.

        >>> print(mc.derive("x^T A x", "x").check().details.partition("; by ")[0])
        sizes n = 3; n = 4; n = 2 (seed 0)
        """
        sizes = "; ".join(
            ", ".join(f"{name} = {size}" for name, size in tried.items()) for tried in self.sizes if tried
        )
        parts = [f"sizes {sizes} (seed {self.seed})" if sizes else f"seed {self.seed}"]
        if self.trials:
            parts.append(f"by {', '.join(self.methods)}, to {self.precision:.0e}")
            parts.append(f"as {', '.join(self.forms)}")
        count = f"{self.rejected} points" if self.rejected > 1 else "1 point" if self.rejected else "no point"
        parts.append(f"{count} rejected")
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        data["sizes"] = [dict(sizes) for sizes in self.sizes]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in data.items()}
