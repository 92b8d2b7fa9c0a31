"""The derivation of a derivative in one of three styles, verified line by line before anybody sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..collection import paused_collection
from ..derivation import Attached, Derivative
from ..errors import UsageError, require_one_of
from ..limits import bounded, bounded_property
from .chain import chain
from .differential import differential
from .index import index
from .outline import Outline, outline
from .render import to_aligned, to_data, to_lines
from .steps import STYLES, Line

if TYPE_CHECKING:
    from .check import Verification

MAKERS: Mapping[str, Callable[[Outline], list[Line]]] = {"chain": chain, "differential": differential, "index": index}


class Step(NamedTuple):
    """One line of a derivation as text: what it is about, its formula, and the names of the rules it follows from."""

    left: str
    formula: str
    rules: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.left} = {self.formula}"


class Explanation:
    """The derivation of a derivative; printing it shows the lines.

    Attributes
    ----------
    derivative: what is explained.
    style: ``chain``, ``differential`` or ``index``.
    lines: the lines as data.

    Raises
    ------
    UsageError: an unknown style, or nothing to derive.
    Unsupported: the style cannot say this; the error names one that can.
    """

    def __init__(self, derivative: Derivative, style: str = "chain", check: bool = True) -> None:
        require_one_of(style, STYLES, "style")
        self.derivative = derivative
        self.style = style
        self.limits = derivative.limits
        with Attached(derivative.function), bounded(self.limits), paused_collection():
            if derivative.warnings:
                raise UsageError(
                    f"there is nothing to derive: {derivative.warnings[0]}",
                    hint=f"the variables are {', '.join(derivative.function.order)}",
                )
            self._plan = outline(derivative)
            self.lines: tuple[Line, ...] = tuple(MAKERS[style](self._plan))
        if check and self.verification.failed is not None:
            wrong = to_lines(self.lines, rules=False)[self.verification.failed].strip()
            raise AssertionError(f"{wrong}: {self.verification.message}")

    @bounded_property
    def verification(self) -> Verification:
        """The outcome of the numerical check of every line."""
        from .check import verify  # needs NumPy, which formulas do not

        return verify(self.lines, self._plan)

    @bounded_property
    def steps(self) -> tuple[Step, ...]:
        """The lines as text."""
        return tuple(
            Step(line["left"], line["formula"], tuple(rule["name"] for rule in line["rules"]))
            for line in to_data(self.lines)
        )

    @bounded_property
    def text(self) -> str:
        """The derivation as plain text; what follows ``#`` justifies a line."""
        return "\n".join(to_lines(self.lines))

    @bounded_property
    def unicode(self) -> str:
        """The derivation with Greek letters and mathematical signs."""
        return "\n".join(to_lines(self.lines, unicode=True))

    @bounded_property
    def latex(self) -> str:
        """The derivation as a LaTeX ``aligned`` environment."""
        return to_aligned(self.lines, [variable.name for variable in self._plan.changes.values()])

    def to_dict(self) -> dict[str, Any]:
        """The derivation as plain data."""
        return {
            "style": self.style,
            "lines": to_data(self.lines),
            "formula": self.derivative.formula,
            "latex": self.latex,
            "vars": self.derivative.vars,
            "conditions": list(self.derivative.conditions),
            "verification": self.verification.to_dict(),
        }

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<{self.style} derivation of {self.derivative.formula!r} in {len(self.lines)} lines>"

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.lines)

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex}$"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": self.text, "text/latex": self._repr_latex_()}
