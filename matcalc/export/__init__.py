"""Source in other languages and for other libraries, from the program that NumPy text is written from."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from ..errors import UsageError
from ..expr.nodes import Node
from ..lower import Declared
from ..lower.graph import lower
from ..lower.outer import outer_last
from ..lower.passes import optimize
from ..lower.program import Argument, Program
from ..lower.stable import stable
from .eigen import TARGET as EIGEN
from .jax import TARGET as JAX
from .julia import TARGET as JULIA
from .matlab import TARGET as MATLAB
from .torch import TARGET as TORCH
from .writer import Target, written

TARGETS: tuple[Target, ...] = (JAX, TORCH, JULIA, MATLAB, EIGEN)
"""What source can be written for."""


def exported(
    outputs: Sequence[Node], arguments: Sequence[Declared], target: str, function: str = "f", about: Sequence[str] = ()
) -> str:
    """A module with a function that computes the outputs, in another language or for another library.

    >>> from matcalc.expr.build import einsum
    >>> from matcalc.expr.dims import Dim
    >>> from matcalc.expr.nodes import Variable
    >>> n = Dim.of("n")
    >>> A, x = Variable("A", (n, n)), Variable("x", (n,))
    >>> print(exported([einsum("i,ij,j->", x, A, x)], [A, x], "jax").rpartition("def")[2])
     f(A, x):
        return x @ (A @ x)
    <BLANKLINE>

    Parameters
    ----------
    outputs: the nodes to compute.
    arguments: variables, or anything with ``name``, ``shape`` and ``properties``, in the order of the arguments.
    target: the name of one of `TARGETS`.
    function: the name of the function.
    about: lines for the comment at the top.

    Raises
    ------
    UsageError: there is no such target.
    Unsupported: an operation that the target does not have.
    """
    found = target_named(target)
    return written(portable(outputs, arguments, found), found, function, about)


def target_named(name: str) -> Target:
    """A target by its name.

    Raises
    ------
    UsageError: there is no such target.
    """
    names = [target.name for target in TARGETS]
    if name not in names:
        near = get_close_matches(name, names, 1, 0.5)
        listed = f"the targets are {', '.join(names)}, and NumPy source is in .source"
        raise UsageError(f"source is not written for {name!r}", hint=f"did you mean {near[0]}?" if near else listed)
    return TARGETS[names.index(name)]


def portable(outputs: Sequence[Node], arguments: Sequence[Declared], target: Target) -> Program:
    """The program for some outputs as a target takes it."""
    declared = [Argument(argument.name, argument.shape, frozenset(argument.properties)) for argument in arguments]
    return optimize(lower(outer_last(*stable(*outputs)), declared), target.passes)
