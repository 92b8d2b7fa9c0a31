"""What one call may use: sizes of the input, nodes, printed text and time; reaching one raises `LimitError`.

`Limits` says how much is allowed. A call opens a scope with `bounded`; what runs inside, in the same thread or task,
counts its work with `tick` and `built`. There is one scope at a time: a call within a call shares the time and the
nodes of the outer one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from functools import cached_property
from time import monotonic
from typing import Any, Self, TypeVar, overload

from .collection import paused_collection
from .errors import LimitError, Span, UsageError

T = TypeVar("T")

GREATEST_EXPONENT = 4_000
"""Python converts numbers of up to 4300 digits to text, so that no setting may go beyond."""

UNCHECKED = 10**300
"""Exact numbers below this are not compared with the limit."""

TICKS = 256
"""Units of work between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may use; a new one is made by naming what differs from the defaults.

    >>> from matcalc import Limits
    >>> Limits(nesting=100).nesting, Limits().length
    (100, 250000)

    Parameters
    ----------
    timeout: seconds for one call, None for no end; formulas, conditions and code that are asked for later get as many
        again.
    length: characters of source text.
    nesting: brackets, bars and braces that are open at the same time, and functions defined by one another.
    statements: statements of one program.
    expansions: uses of the macros that a LaTeX text defines.
    symbols: symbols of a LaTeX text after its macros are expanded.
    digits: digits of one number as written.
    exponent: decimal exponent of a number, written or computed, of either sign; at most 4000.
    operations: operations of one expression that is built by Python's operators.
    order: axes of a variable and of a derivative.
    terms: terms of the polynomial that a size is.
    nodes: nodes built in one call.
    steps: steps of all passes in one call, the limit of time that is the same on every machine.
    printed: characters of a printed formula or of generated code.

    Raises
    ------
    UsageError: a limit that is not a positive number.
    """

    timeout: float | None = None
    length: int = 250_000
    nesting: int = 2_000
    statements: int = 50_000
    expansions: int = 5_000
    symbols: int = 250_000
    digits: int = 200
    exponent: int = GREATEST_EXPONENT
    operations: int = 100_000
    order: int = 8
    terms: int = 2_000
    nodes: int = 1_000_000
    steps: int = 20_000_000
    printed: int = 1_000_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            timed = field.name == "timeout"
            if timed and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float) if timed else int) or not value > 0:
                kind = "a number of seconds above 0, or None" if timed else "a whole number above 0"
                raise UsageError(f"the limit {field.name} is {kind}, not {value!r:.40}")
        if self.exponent > GREATEST_EXPONENT:
            raise UsageError(f"the limit exponent is at most {GREATEST_EXPONENT}, not {self.exponent}")


class _Measure:
    """What the call in progress has used."""

    __slots__ = ("deadline", "left", "limits", "nodes", "steps")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.deadline = None if limits.timeout is None else monotonic() + limits.timeout
        self.nodes = limits.nodes
        self.steps = limits.steps
        self.left = min(TICKS, limits.steps)

    def look(self) -> None:
        """Account for the work since the last look, and look at the clock."""
        self.steps -= TICKS - self.left
        self.left = TICKS
        if self.steps < 0:
            raise exceeded("steps", f"This takes more than {self.limits.steps} steps")
        if self.nodes < 0:
            raise exceeded("nodes", f"This takes more than {self.limits.nodes} nodes")
        if self.deadline is not None and monotonic() > self.deadline:
            raise exceeded("timeout", f"This takes longer than {self.limits.timeout:g} s")


_SETTING: ContextVar[Limits] = ContextVar("matcalc_limits", default=Limits())  # noqa: B039  frozen
_MEASURE: ContextVar[_Measure | None] = ContextVar("matcalc_measure", default=None)


def current() -> Limits:
    """The limits in force: those of the call in progress, else those of `limited`, else the defaults."""
    measure = _MEASURE.get()
    return _SETTING.get() if measure is None else measure.limits


def chosen(limits: Limits | None, timeout: float | None) -> Limits:
    """The limits of a call: as given, else as they are in force; a time limit of its own wins.

    Raises
    ------
    UsageError: something else than limits, or a time that is not positive.
    """
    if limits is not None and not isinstance(limits, Limits):
        raise UsageError("limits are given as mc.Limits(…)", hint="limits=mc.Limits(nodes=10_000)")
    found = current() if limits is None else limits
    return found if timeout is None else replace(found, timeout=timeout)


@contextmanager
def limited(limits: Limits | None = None, **settings: Any) -> Iterator[Limits]:
    """Set the limits of every call in a block, in this thread or task alone.

    >>> import matcalc as mc
    >>> with mc.limited(timeout=10, length=20):
    ...     mc.derive("x^T A x", "x").formula
    '(A + A^T) x'

    Parameters
    ----------
    limits: all of them; by default those in force.
    settings: single ones by name, such as ``timeout=10``.

    Raises
    ------
    UsageError: there is no limit of this name, or its value makes no sense.
    """
    known = {field.name for field in fields(Limits)}
    for name in settings:
        if name not in known:
            raise UsageError(f"there is no limit {name}", hint=f"the limits are {', '.join(sorted(known))}")
    made = replace(chosen(limits, None), **settings)
    token = _SETTING.set(made)
    try:
        yield made
    finally:
        _SETTING.reset(token)


@contextmanager
def bounded(limits: Limits) -> Iterator[None]:
    """Hold the block to the limits, without the cyclic collector; inside another such block nothing changes."""
    if _MEASURE.get() is not None:
        yield
        return
    token = _MEASURE.set(_Measure(limits))
    try:
        with paused_collection():
            yield
    finally:
        _MEASURE.reset(token)


class bounded_property(cached_property[T]):  # noqa: N801  a decorator
    """A property that is computed once, within the ``limits`` of its object."""

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> T: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        if instance is None:
            return self
        with bounded(instance.limits):
            return super().__get__(instance, owner)


def tick(steps: int = 1) -> None:
    """Count steps of a pass.

    Raises
    ------
    LimitError: the time is over, or there were too many.
    """
    measure = _MEASURE.get()
    if measure is None:
        return
    measure.left -= steps
    if measure.left < 0:
        measure.look()


def built() -> None:
    """Count a node.

    Raises
    ------
    LimitError: the time is over, or there are too many.
    """
    measure = _MEASURE.get()
    if measure is None:
        return
    measure.nodes -= 1
    measure.left -= 1
    if measure.left < 0:
        measure.look()


def exceeded(name: str, message: str, span: Span | None = None, hint: str = "") -> LimitError:
    """The error of a limit; it names the limit and how to set it.

    Parameters
    ----------
    name: the field of `Limits`.
    message: what is too large, without the full stop.
    hint: what else helps.
    """
    setting = "timeout=… (--timeout)" if name == "timeout" else f"limits=mc.Limits({name}=…)"
    way = f"allow more with {setting}"
    error = LimitError(f"{message} (the limit `{name}`).", span=span, hint=f"{hint}, or {way}" if hint else way)
    error.limit = name
    return error


def check_length(text: str, what: str = "The text") -> None:
    """Refuse a source text that is too long.

    Raises
    ------
    LimitError: more characters than allowed.
    """
    allowed = current().length
    if len(text) > allowed:
        raise exceeded(
            "length", f"{what} has {len(text)} characters, more than {allowed}", hint="split it into several programs"
        )


def check_order(order: int, what: str, span: Span | None = None) -> None:
    """Refuse a tensor of too many axes.

    Raises
    ------
    LimitError: more axes than allowed.
    """
    allowed = current().order
    if order > allowed:
        raise exceeded("order", f"{what} has {order} axes, more than {allowed}", span)


def check_terms(terms: int) -> None:
    """Refuse a size that is too long a polynomial.

    Raises
    ------
    LimitError: more terms than allowed.
    """
    allowed = current().terms
    if terms > allowed:
        raise exceeded("terms", f"A size is a polynomial of more than {allowed} terms")


def check_magnitude(numerator: int, denominator: int = 1) -> None:
    """Refuse an exact number that is too long to be handled and printed.

    Raises
    ------
    LimitError: beyond the largest exponent.
    """
    allowed = current().exponent
    largest: int = 10**allowed
    if abs(numerator) > largest or denominator > largest:
        raise exceeded("exponent", f"A number of the formula has more than {allowed} digits")


def check_power(base: int, exponent: int) -> None:
    """Refuse a power of a whole number that would be too long, before it is computed.

    Raises
    ------
    LimitError: beyond the largest exponent.
    """
    allowed = current().exponent
    if (abs(base).bit_length() - 1) * abs(exponent) > 4 * allowed:
        raise exceeded("exponent", f"A number of the formula has more than {allowed} digits")


def check_printed(text: str) -> str:
    """A printed formula or generated code, unless it is too long.

    Raises
    ------
    LimitError: more characters than allowed.
    """
    allowed = current().printed
    if len(text) > allowed:
        raise exceeded(
            "printed", f"The text has {len(text)} characters, more than {allowed}", hint="name parts of the formula"
        )
    return text
