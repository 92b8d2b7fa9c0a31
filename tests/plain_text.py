"""What the text for all sizes computes, and the texts for given sizes, which are compared with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from matcalc.expr.nodes import Node, Variable
from matcalc.lower.compact import compact
from matcalc.lower.function import Compiled, compile_function
from matcalc.lower.overwriting import overwrite_dead
from matcalc.lower.panels import Machine
from matcalc.lower.runs import schedule, simple


class Plain(NamedTuple):
    """A compiled function, the arrays it was called with, the sizes they have, and its results."""

    function: Compiled
    arrays: Sequence[Any]
    sizes: Mapping[str, int]
    results: Sequence[Any]


def plain_results(
    nodes: Sequence[Node], arguments: Sequence[Variable], values: Mapping[str, Any], known: Mapping[str, int]
) -> Plain | None:
    """The results of the text for all sizes, or None where the arrays do not tell them all.

    Parameters
    ----------
    nodes: what is computed.
    arguments: the variables, in order.
    values: an array for every variable.
    known: a value for every size.
    """
    function = compile_function(list(nodes), arguments)
    arrays = [np.asarray(values[argument.name], dtype=float)[()] for argument in function.arguments]
    passed = {parameter: known[name] for name, parameter in function.parameters.items()}
    shapes = [array.shape for array in arrays]
    sizes = function._bind(tuple(shapes), shapes, {name: known[name] for name in function.passed}).sizes
    named = {dim_name for argument in function.program.arguments for dim in argument.shape for dim_name in dim.names}
    if any(name not in sizes for name in (*named, *(size.name for size in function.program.sizes))):
        return None
    with np.errstate(all="ignore"):
        return Plain(function, arrays, sizes, as_tuple(function._function(*arrays, **passed)))


def as_tuple(results: Any) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)


def assert_close(found: Sequence[Any], expected: Sequence[Any]) -> None:
    """The same shapes, and entries that differ by rounding alone."""
    for one, two in zip(found, expected, strict=True):
        finite = np.abs(np.asarray(two)[np.isfinite(two)])
        scale = max(0.1, float(np.max(finite, initial=0.0)))
        assert np.shape(one) == np.shape(two)
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-12 * scale)


# --- the texts for given sizes -------------------------------------------------------------------

EAGER = Machine(cache=0, shared=0, panel=1, stream=1e9, call=0, added=0, large=1)
"""A machine on which every loop gains, with panels of one row."""
WIDE = EAGER._replace(panel=700)
"""The same with panels of some rows, of which the last one is short."""
SHARING = EAGER._replace(panel=300, threads=3, parted=0, started=0)
"""One on which three threads share every loop that they can."""
MACHINES = {"one row": EAGER, "some rows": WIDE, "whole": Machine(), "threads": SHARING}


def scheduled_results(function: Compiled, sizes: Mapping[str, int], arrays: Sequence[Any], machine: Machine) -> Any:
    """The results of the scheduled text, or None where there is none."""
    planned = schedule(function.program, sizes, machine, always=True)
    if planned is None:
        return None
    run = function._load(*planned)
    with np.errstate(all="ignore"):
        first = as_tuple(run(*arrays))
        kept = [np.array(result) for result in first]
        # a second call uses the same buffers, and leaves what was returned alone
        second = as_tuple(run(*arrays))
    for one, two, copy in zip(first, second, kept, strict=True):
        np.testing.assert_array_equal(one, copy)
        np.testing.assert_array_equal(one, two)
        assert not np.ndim(one) or not np.shares_memory(one, two)
        assert not any(np.shares_memory(one, array) for array in arrays)
    return kept


def compacted(function: Compiled, sizes: Mapping[str, int], arrays: Sequence[Any]) -> Any:
    """The results of the text for small arrays, with its numbers as Python's and as arrays without axes."""
    run = function._load(*compact(overwrite_dead(simple(function.program, sizes))))
    with np.errstate(all="ignore"):
        first, second = (as_tuple(kind(*arrays)) for kind in (run, getattr(run, "in_doubles", run)))
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)
        assert np.asarray(one).dtype == np.asarray(two).dtype
        assert not np.ndim(one) or not any(np.shares_memory(one, array) for array in (*arrays, two))
    return first
