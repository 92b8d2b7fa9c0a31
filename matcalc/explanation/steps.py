"""The lines of a derivation as plain data: what stands on the left, the formula on the right, the rules, the claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ..expr.dims import Dim
from ..expr.nodes import Node, Variable
from ..syntax.ast import Ast

Style = Literal["chain", "differential", "index"]

STYLES: tuple[Style, ...] = ("chain", "differential", "index")


class Symbol(NamedTuple):
    """The left side of a line: a value ``z``, a derivative ``df/dz``, a differential ``df``, or ``vec(dF)``.

    Parameters
    ----------
    kind: which of these it is.
    name: of what is defined or differentiated.
    by: the name differentiated by.
    indices: those of one entry of the value.
    by_indices: those of one entry of what is differentiated by.
    alias: the short name that later lines use for it.
    """

    kind: Literal["value", "derivative", "differential", "vec"]
    name: str
    by: str = ""
    indices: tuple[str, ...] = ()
    by_indices: tuple[str, ...] = ()
    alias: str = ""

    @property
    def entries(self) -> tuple[str, ...]:
        """The free indices, those of the value first."""
        return self.indices + self.by_indices


class Rule(NamedTuple):
    """What justifies a line: a name a reader can look up, what it says, and where it is stated."""

    name: str
    statement: str = ""
    reference: str = ""


class Claim(NamedTuple):
    """What a line asserts, so that it can be confronted with numbers.

    Parameters
    ----------
    kind: ``value``, the right side equals a function; ``derivative``, it is the derivative of a function by a variable,
        of shape function + variable; ``differential``, it is the change of a function for the change of a variable;
        ``vec``, that change stacked column by column; ``answer``, it is what the compiled derivative computes.
    function: over the variables and the names of earlier lines.
    by: the variable that changes.
    """

    kind: Literal["value", "derivative", "differential", "vec", "answer"]
    function: Node
    by: Variable | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a derivation.

    Parameters
    ----------
    left: what it is about.
    tree: the right side, an expression (for an answer that names what it repeats: a program).
    rules: what justifies it.
    claim: what it asserts.
    continues: whether the left side is that of the line before and need not be repeated.
    ranges: over what each index runs.
    delta: the name of the Kronecker delta.
    """

    left: Symbol
    tree: Ast
    rules: tuple[Rule, ...]
    claim: Claim
    continues: bool = False
    ranges: Mapping[str, Dim] = field(default_factory=dict)
    delta: str = ""
