"""Lowering: from nodes to readable NumPy source and compiled functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..expr.dims import Shape
from ..expr.nodes import Node
from .graph import lower
from .outer import outer_last
from .passes import optimize
from .program import Argument, Program
from .source import module_source
from .stable import stable


class Declared(Protocol):
    """What is known of an argument; a variable node is one."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> Shape: ...

    @property
    def properties(self) -> frozenset[str]: ...


def lower_program(
    outputs: Sequence[Node], arguments: Sequence[Declared], sizes: Mapping[str, int] | None = None
) -> Program:
    """The finished program for some outputs; NumPy is not needed for it.

    Parameters
    ----------
    outputs: the nodes to compute.
    arguments: variables, or anything with ``name``, ``shape`` and ``properties``, in the order of the arguments.
    sizes: values of named sizes for which the order of products is chosen; by default representative ones.
    """
    declared = [Argument(argument.name, argument.shape, frozenset(argument.properties)) for argument in arguments]
    return optimize(lower(outer_last(*stable(*outputs)), declared, sizes))


def numpy_source(
    outputs: Sequence[Node],
    arguments: Sequence[Declared],
    sizes: Mapping[str, int] | None = None,
    function: str = "f",
) -> str:
    """A Python module with a function that computes the outputs with NumPy, as text.

    The parameters are those of `lower_program`; ``function`` is the name of the function.
    """
    return module_source(lower_program(outputs, arguments, sizes), function)
