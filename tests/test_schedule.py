"""Scheduled programs: single ufuncs, panels of rows and kept buffers compute what the plain text computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from corpus_data import Case, load_cases, sample_case
from random_nodes import SIZES, data, random_graph

from matcalc.derivation import Derivative
from matcalc.expr.build import variables
from matcalc.expr.nodes import Node
from matcalc.expression import Expr
from matcalc.functions import program_arguments
from matcalc.lower.elementary import elementary
from matcalc.lower.function import Compiled, compile_function
from matcalc.lower.panels import Loop, Machine, plan
from matcalc.lower.schedule import schedule
from matcalc.lower.specialize import specialize

EAGER = Machine(shared=0, panel=1, stream=1e9, call=0, added=0, large=1)
"""A machine on which every loop gains, with panels of one row."""
WIDE = EAGER._replace(panel=700)
"""The same with panels of some rows, of which the last one is short."""
MACHINES = {"one row": EAGER, "some rows": WIDE, "whole": Machine()}


def scheduled(function: Compiled, sizes: Mapping[str, int], arrays: Sequence[Any], machine: Machine) -> Any:
    """The results of the scheduled text, or None where there is none."""
    planned = schedule(function.program, sizes, machine, always=True)
    if planned is None:
        return None
    run = function._load(*planned)
    with np.errstate(all="ignore"):
        first = run(*arrays)
        kept = [np.array(result) for result in (first if isinstance(first, tuple) else (first,))]
        # a second call uses the same buffers, and leaves what was returned alone
        second = run(*arrays)
    for one, two, copy in zip(
        first if isinstance(first, tuple) else (first,), second if isinstance(second, tuple) else (second,), kept,
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(one, copy)
        np.testing.assert_array_equal(one, two)
        assert not np.ndim(one) or not np.shares_memory(one, two)
        assert not any(np.shares_memory(one, array) for array in arrays)
    return kept


def assert_same(nodes: Sequence[Node], arguments: Sequence[Any], values: Mapping[str, Any], known: Any) -> int:
    """Compare on every machine; how many loops there were."""
    function = compile_function(list(nodes), arguments)
    arrays = [np.asarray(values[argument.name], dtype=float)[()] for argument in function.arguments]
    passed = {parameter: known[name] for name, parameter in function.parameters.items()}
    shapes = [array.shape for array in arrays]
    sizes = function._bind(tuple(shapes), shapes, {name: known[name] for name in function.passed}).sizes
    named = {dim_name for argument in function.program.arguments for dim in argument.shape for dim_name in dim.names}
    if any(name not in sizes for name in (*named, *(size.name for size in function.program.sizes))):
        return 0
    with np.errstate(all="ignore"):
        plain = function._function(*arrays, **passed)
    plain = plain if isinstance(plain, tuple) else (plain,)
    loops = 0
    for machine in MACHINES.values():
        found = scheduled(function, sizes, arrays, machine)
        if found is None:
            continue
        special = elementary(specialize(function.program, sizes))
        loops += sum(isinstance(item, Loop) for item in plan(special, machine))
        for one, two in zip(found, plain, strict=True):
            finite = np.abs(np.asarray(two)[np.isfinite(two)])
            scale = max(0.1, float(np.max(finite, initial=0.0)))
            assert np.shape(one) == np.shape(two)
            np.testing.assert_allclose(one, two, rtol=0, atol=1e-12 * scale)
    return loops


# --- the same numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize("start", range(0, 600, 100))
def test_random_graphs(start: int) -> None:
    loops = 0
    for seed in range(start, start + 100):
        random = Random(seed)
        node = random_graph(random, random.choice((2, 4, 8, 12)))
        loops += assert_same([node], variables(node), data(random), SIZES)
    assert loops > 10


CASES = load_cases()


@pytest.mark.parametrize("case", CASES[::4], ids=lambda case: case.name)
def test_corpus(case: Case) -> None:
    expr = Expr(case.text, dict(case.vars))
    found = Derivative(expr, case.variables, "gradient")
    sizes, values = sample_case(case)
    nodes = [expr.simplified, found.node]
    assert_same(nodes, program_arguments(expr, nodes), values, sizes)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_whole_corpus(case: Case) -> None:
    test_corpus(case)
