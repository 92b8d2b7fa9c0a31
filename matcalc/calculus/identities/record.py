"""The record of an identity: plain data, written in the language, with its conditions and its source."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

Kind = Literal["derivative", "differential", "equality"]


class Identity(NamedTuple):
    """One row of the table.

    >>> Identity("linear form", "linear and bilinear forms", "a^T x", "x", "a", "a: vector(n); x: vector(n)", "")
    ... # doctest: +ELLIPSIS
    Identity(name='linear form', ...)

    Parameters
    ----------
    name: what people call it; unique.
    family: the heading under which it stands.
    expression: the function, as program text.
    wrt: the variable; two names, separated by a space, for a second derivative or for a differential in two variables.
    result: what it equals, as program text: the derivative by ``wrt`` in the layout (kind ``derivative``), the
        differential with ``dX`` for the change of ``X`` (``differential``), or the same thing in another form
        (``equality``).
    declarations: the types of all names, separated by semicolons.
    reference: author and place.
    conditions: where it holds, beyond what the types say, for people.
    kind: what ``result`` is.
    layout: ``gradient`` (the axes of the output, then of the variable) or ``vec``.
    order: of the derivative, 1 or 2.
    definitions: for an identity about any functions, samples of them; ``df`` is the slope of ``f``.
    """

    name: str
    family: str
    expression: str
    wrt: str
    result: str
    declarations: str
    reference: str
    conditions: tuple[str, ...] = ()
    kind: Kind = "derivative"
    layout: str = "gradient"
    order: int = 1
    definitions: tuple[str, ...] = ()

    @property
    def variables(self) -> tuple[str, ...]:
        """The names differentiated by, one for each order or each change."""
        names = tuple(self.wrt.split())
        return names * 2 if self.order == 2 and len(names) == 1 else names

    @property
    def types(self) -> dict[str, str]:
        """The declared type of every name."""
        pairs = (declared.partition(":") for declared in self.declarations.split(";"))
        return {name.strip(): kind.strip() for name, _, kind in pairs if name.strip()}

    @property
    def functions(self) -> tuple[str, ...]:
        """The names of the functions it is about, and of their slopes, as its samples define them."""
        return tuple(re.findall(r"(?:^|; )(\w+)\(", self.definitions[0])) if self.definitions else ()

    @property
    def statement(self) -> str:
        """The identity on one line, for people.

        >>> from matcalc.calculus.identities import BY_NAME
        >>> print(BY_NAME["quadratic form"].statement)
        d/dx (x^T A x) = (A + A^T) x
        >>> print(BY_NAME["differential of an inverse"].statement)
        d(X^-1) = -X^-1 dX X^-1
        """
        return self.equation(primed(self.expression, self.functions), primed(self.result, self.functions))

    def equation(self, expression: str, result: str) -> str:
        """The identity with its two sides as they are given."""
        if self.kind == "equality":
            return f"{expression} = {result}"
        if self.kind == "differential":
            return f"d({expression}) = {result}"
        if self.layout == "vec":
            return f"d vec({expression})/d vec({self.wrt}) = {result}"
        names = self.variables
        if len(names) == 1:
            return f"d/d{names[0]} ({expression}) = {result}"
        below = f"d{names[0]}^2" if names[0] == names[1] else f"(d{names[0]} d{names[1]})"
        return f"d^2/{below} ({expression}) = {result}"

    def to_dict(self) -> dict[str, Any]:
        """The row as plain data."""
        return {**self._asdict(), "wrt": list(self.variables), "statement": self.statement}


def primed(text: str, functions: tuple[str, ...]) -> str:
    """A text in which the slope of ``f`` is written ``f'`` instead of ``df``."""
    slopes = [name for name in functions if name.startswith("d") and name[1:] in functions]
    return re.sub(rf"\bd({'|'.join(name[1:] for name in slopes)})\(", r"\1'(", text) if slopes else text
