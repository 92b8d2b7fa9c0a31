"""The record of an identity: plain data, written in the language, with its conditions and its source."""

from __future__ import annotations

from typing import Literal, NamedTuple

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
