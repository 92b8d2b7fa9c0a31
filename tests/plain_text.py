"""What the text for all sizes computes, with which every other text of the same program is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from matcalc.expr.nodes import Node, Variable
from matcalc.lower.function import Compiled, compile_function


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
