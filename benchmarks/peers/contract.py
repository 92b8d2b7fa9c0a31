"""What every peer offers: one function that builds a case, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from ..workloads import Array, Arrays, Case


class Unsupported(Exception):
    """The peer does not do this case; the message goes into the report."""


class Prepared(NamedTuple):
    """A computation that is ready to be timed.

    Attributes
    ----------
    call: one evaluation on the arrays; returns what the peer returns, finished.
    to_numpy: turns that into arrays: the value and its gradients, or the one array of the other modes.
    """

    call: Callable[[], Any]
    to_numpy: Callable[[Any], list[Array]]


Bind = Callable[[Arrays], Prepared]


class Build(Protocol):
    """``build`` of every peer's module: what is done once for an expression (deriving, tracing, compiling).

    The function it returns takes the arrays, and does what is done once for them (workspaces, copies to a device).
    """

    def __call__(self, case: Case, threads: int) -> Bind: ...
