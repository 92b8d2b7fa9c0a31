"""Every optimisation lowers the cost of an example of its own, and no value changes by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
from random_nodes import SIZES, data, random_graph

import matcalc as mc
from matcalc.expr.build import variables
from matcalc.expr.dims import Dim
from matcalc.functions import Function
from matcalc.lower import elementary as elementary_module
from matcalc.lower import products as products_module
from matcalc.lower.adjoints import share_adjoints
from matcalc.lower.cost import Cost, cost
from matcalc.lower.elementary import SHORT_FORMS
from matcalc.lower.function import compiled
from matcalc.lower.graph import lower
from matcalc.lower.low_rank import split_products
from matcalc.lower.overwriting import overwrite_dead
from matcalc.lower.panels import Machine
from matcalc.lower.passes import (
    PIPELINE,
    Pass,
    bare_conditions,
    fold_signs,
    inline_expressions,
    optimize,
    own_results,
    share_exponentials,
    turn_products,
)
from matcalc.lower.program import Argument, Literal, Program, Statement
from matcalc.lower.runs import prepared, schedule
from matcalc.lower.sharing import name_inverses, share_factorizations, share_minors
from matcalc.lower.source import function_source
from matcalc.lower.stable import stable
from matcalc.lower.symmetric import keep_triangles
from matcalc.lower.views import remove_dead_code

ONE_THREAD = Machine()
SQUARE = "matrix(n, n)"
SPD = "matrix(n, n) spd"
LOGISTIC = MappingProxyType({"X": "matrix(N, d)", "y": "vector(N)", "w": "vector(d)"})

# --- the passes over programs -----------------------------------------------------------------------


class Example(NamedTuple):
    """A function for which a pass lowers a count: that of a `Cost`, or ``steps``, the statements."""

    step: Pass
    count: str
    make: Callable[..., Function]
    text: str
    wrt: str | tuple[str, ...]
    kinds: Mapping[str, str]


EXAMPLES = (
    Example(turn_products, "steps", mc.value_and_grad, "sum(G .* (Q K'))", "Q", {
        "G": "matrix(n, m)", "Q": "matrix(n, d)", "K": "matrix(m, d)",
    }),
    Example(split_products, "flops", mc.jacobian, "softmax(A x)", "x", {"A": SQUARE, "x": "vector(n)"}),
    Example(
        share_adjoints, "flops", mc.value_and_grad, "a' X Y Z b", "Y",
        dict.fromkeys("XYZ", SQUARE) | dict.fromkeys("ab", "vector(n)"),
    ),
    Example(share_minors, "flops", mc.value_and_grad, "det(A)", "A", {"A": SQUARE}),
    Example(
        share_factorizations, "flops", mc.value_and_grad, "logdet(S) + y' S^-1 y", "S", {"S": SPD, "y": "vector(n)"},
    ),
    Example(keep_triangles, "flops", mc.value_and_grad, "logdet(S) + y' S^-1 y", "S", {"S": SPD, "y": "vector(n)"}),
    Example(name_inverses, "steps", mc.grad, "logdet(A)", "A", {"A": SQUARE}),
    Example(fold_signs, "operations", mc.value_and_grad, "||x - (a' x) / (a' a) a||^2", "x", {
        "a": "vector(n)", "x": "vector(n)",
    }),
    Example(
        share_exponentials, "transcendentals", mc.value_and_grad, "sum(logsumexp(X W, axis=1))", "W",
        {"X": "matrix(N, d)", "W": "matrix(d, k)"},
    ),
    Example(bare_conditions, "operations", mc.grad, "sum(b .* relu(A x))", "x", {
        "A": SQUARE, "x": "vector(n)", "b": "vector(n)",
    }),
    Example(overwrite_dead, "temporary_bytes", mc.grad, "logdet(a S + c I)", "S", {
        "S": SPD, "a": "scalar", "c": "scalar",
    }),
)  # fmt: skip

NO_SAVING = {
    own_results: "results become arrays of their own, which takes copies",
    inline_expressions: "the text gets shorter, the program stays as it is",
    remove_dead_code: "tested on a program of its own: the other passes clean up after themselves",
}


def test_every_pass_has_an_example() -> None:
    assert {*PIPELINE} == {example.step for example in EXAMPLES} | {*NO_SAVING}


def lowered(function: Function, passes: Sequence[Pass]) -> Program:
    """The program of a function after some passes."""
    return optimize(lower(stable(*function._plan.outputs), list(function.compiled.arguments)), tuple(passes))


def without(step: Pass) -> tuple[Pass, ...]:
    return tuple(other for other in PIPELINE if other is not step)


def counts(program: Program) -> dict[str, float]:
    """The cost of whole passes for distinct sizes, and how many statements there are."""
    names = {name for argument in program.arguments for dim in argument.shape for name in dim.names}
    sizes = {name: 200 + 13 * place for place, name in enumerate(sorted(names))}
    found: dict[str, float] = dict(cost(program, sizes, ONE_THREAD, scheduled=False).to_dict())
    found["steps"] = len(program.statements)
    return found


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.step.__name__)
def test_a_pass_lowers_the_cost(example: Example) -> None:
    function = example.make(example.text, example.wrt, vars=dict(example.kinds))
    off, on = (counts(lowered(function, passes)) for passes in (without(example.step), PIPELINE))
    assert on[example.count] < off[example.count]
    assert on["flops"] + on["transcendentals"] <= off["flops"] + off["transcendentals"]
    assert on["compulsory_bytes"] <= off["compulsory_bytes"]


def test_dead_code_is_left_out() -> None:
    n = Dim.of("n")
    used = Statement(1, "matmul", (0, 0), (), (n, n))
    unused = Statement(2, "matmul", (1, 0), (), (n, n))
    program = Program((Argument("A", (n, n)),), (), (used, unused), (1,))
    assert counts(remove_dead_code(program))["flops"] == counts(program)["flops"] / 2


def test_inlining_shortens_the_text() -> None:
    function = mc.value_and_grad("||X w - y||^2", "w", vars=dict(LOGISTIC))
    texts = [function_source(lowered(function, passes)).text for passes in (without(inline_expressions), PIPELINE)]
    assert texts[1].count("\n") < texts[0].count("\n")
    assert (
        counts(lowered(function, PIPELINE))["flops"] == counts(lowered(function, without(inline_expressions)))["flops"]
    )


def test_results_of_their_own_take_copies_only() -> None:
    function = mc.value_and_grad("sum(x)", "x", vars={"x": "vector(n)"})
    for passes in (PIPELINE, without(own_results)):
        assert counts(lowered(function, passes))["temporaries"] == 0


@pytest.mark.parametrize("step", PIPELINE, ids=lambda step: step.__name__)
def test_no_pass_changes_values(step: Pass) -> None:
    """Random graphs; only where Cholesky or one inverse replaces LU may rounding differ by more."""
    for seed in range(120):
        random = Random(seed)
        node = random_graph(random, random.choice((3, 6, 10)))
        values = data(random)
        given = variables(node)
        results = [
            evaluated(optimize(lower(stable(node), list(given)), passes), node.shape, values)
            for passes in (PIPELINE, without(step))
        ]
        close(*results, 1e-12)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.step.__name__)
def test_examples_keep_their_values(example: Example) -> None:
    function = example.make(example.text, example.wrt, vars=dict(example.kinds))
    shapes = tuple(node.shape for node in function._plan.outputs)
    rng = np.random.default_rng(7)
    for size in (1, 3, 8):
        sizes = {name: size + place for place, name in enumerate("nmNdk")}
        values: dict[str, Any] = {}
        for argument in function.compiled.arguments:
            array = rng.normal(size=tuple(dim.evaluate(sizes) for dim in argument.shape))
            values[argument.name] = array @ array.T + np.eye(len(array)) if "spd" in argument.properties else array
            if not argument.shape:
                values[argument.name] = float(abs(array)) + 1
        results = [
            compiled(lowered(function, passes), shapes, single=False)(**values)
            for passes in (PIPELINE, without(example.step))
        ]
        for one, other in zip(*results, strict=True):
            close(one, other, 1e-10)


def evaluated(program: Program, shape: Any, values: Mapping[str, Any]) -> Any:
    function = compiled(program, [shape], single=True, check=False)
    passed = {keyword: SIZES[name] for name, keyword in function.passed.items()}
    return function(**{argument.name: values[argument.name] for argument in program.arguments}, **passed)


def close(one: Any, other: Any, tolerance: float) -> None:
    finite = np.abs(np.asarray(other)[np.isfinite(other)])
    scale = max(0.1, float(np.max(finite, initial=0.0)))
    np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * scale)


# --- the scheduled form -----------------------------------------------------------------------------


def scheduled(function: Function, sizes: Mapping[str, int], machine: Machine = ONE_THREAD) -> Cost:
    return cost(function.compiled._code_for(sizes).program, sizes, machine, scheduled=True)


def identity(program: Program) -> Program:
    return program


ENTRYWISE = MappingProxyType({"x": "vector(n)", "y": "vector(n)"})
N = Dim.of("n")
TWO_PRODUCTS = (Statement(3, "multiply", (0, 1), (), (N,)), Statement(4, "multiply", (0, 2), (), (N,)))
SHORT_EXAMPLES: Mapping[str, tuple[Statement, ...]] = MappingProxyType(
    {
        "np.multiply": (
            Statement(3, "divide", (Literal(1.0), 0), (), (N,)),
            Statement(5, "multiply", (3, 1), (), (N,)),
        ),
        "np.add": (*TWO_PRODUCTS, Statement(5, "add", (3, 4), (), (N,))),
        "np.subtract": (*TWO_PRODUCTS, Statement(5, "subtract", (3, 4), (), (N,))),
        "inner": (
            Statement(3, "square", (0,), (), (N,)),
            Statement(4, "square", (1,), (), (N,)),
            Statement(5, "inner", (3, 4), (), ()),
        ),
    }
)
"""Statements on three vectors that have a shorter form."""


def test_every_short_form_has_an_example() -> None:
    assert set(SHORT_EXAMPLES) == set(SHORT_FORMS)


@pytest.mark.parametrize("name", SHORT_EXAMPLES)
def test_a_short_form_lowers_the_cost(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(tuple(Argument(letter, (N,)) for letter in "xyz"), (), SHORT_EXAMPLES[name], (5,))
    sizes = {"n": 5000}
    on = cost(program, sizes, ONE_THREAD, scheduled=True)
    with monkeypatch.context() as patch:
        patch.setattr(elementary_module, "SHORT_FORMS", {key: SHORT_FORMS[key] for key in SHORT_FORMS if key != name})
        off = cost(program, sizes, ONE_THREAD, scheduled=True)
    assert on.flops + on.transcendentals < off.flops + off.transcendentals
    assert on.operations < off.operations
    assert on.bytes <= off.bytes


SCHEDULED: tuple[tuple[str, str, Callable[[], Function], Mapping[str, int], str], ...] = (
    (
        "elementary", "place_signs", lambda: mc.grad(
            "-sum(log(b - A x))", "x", vars={"A": "matrix(m, n)", "x": "vector(n)", "b": "vector(m) positive"}
        ),
        {"m": 5000, "n": 30}, "operations",
    ),
    (
        "products", "symmetric_products", lambda: mc.hessian(
            "sum(log(1 + exp(-y .* (X w))))", "w", vars=dict(LOGISTIC)
        ),
        {"N": 100_000, "d": 200}, "flops",
    ),
)  # fmt: skip


@pytest.mark.parametrize(("module", "name", "make", "sizes", "count"), SCHEDULED, ids=[row[1] for row in SCHEDULED])
def test_a_step_of_the_schedule_lowers_the_cost(
    module: str, name: str, make: Callable[[], Function], sizes: Mapping[str, int], count: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    function = make()
    on = scheduled(function, sizes)
    with monkeypatch.context() as patch:
        patch.setattr({"elementary": elementary_module, "products": products_module}[module], name, identity)
        off = scheduled(function, sizes)
    assert getattr(on, count) < getattr(off, count)
    assert on.flops <= off.flops
    assert on.bytes <= off.bytes


QUICKER: tuple[tuple[str, Callable[[], Function], Mapping[str, int]], ...] = (
    (
        "outer_products",
        lambda: mc.value_and_grad("a' X b", "X", vars={"a": "vector(n)", "b": "vector(n)", "X": SQUARE}), {"n": 300},
    ),
    (
        "outer_products",
        lambda: mc.parse("einsum('ijk,l->ilkj', F, x)", vars={"F": "tensor(m, n, k)", "x": "vector(p)"}).compile(),
        {"m": 30, "n": 80, "k": 90, "p": 40},
    ),
    (
        "long_rows", lambda: mc.grad("sum(exp(A B + C))", "B", vars={
            "A": "matrix(m, n)", "B": "matrix(n, p)", "C": "matrix(m, p)",
        }),
        {"n": 300, "m": 700, "p": 100},
    ),
    (
        "flat_products", lambda: mc.hessian("||M .* (X - U V')||_F^2", "U", form="operator", vars={
            "M": SQUARE, "X": SQUARE, "U": "matrix(n, k)", "V": "matrix(n, k)",
        }),
        {"n": 700, "k": 5},
    ),
)  # fmt: skip


@pytest.mark.parametrize(("name", "make", "sizes"), QUICKER, ids=[row[0] for row in QUICKER])
def test_kernels_chosen_for_their_speed_cost_no_more(
    name: str, make: Callable[[], Function], sizes: Mapping[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counts are the same: what differs is how quick a kernel is."""
    function = make()
    on = scheduled(function, sizes)
    with monkeypatch.context() as patch:
        patch.setattr(products_module, name, identity)
        off = scheduled(function, sizes)
        other = function.compiled.plan(sizes)
    assert function.compiled.plan(sizes) != other
    assert on.flops <= off.flops
    assert on.bytes <= off.bytes
    assert on.passes <= off.passes


def test_panels_lower_the_bytes() -> None:
    """The same flops, each array read and written once instead of once for every statement."""
    function = mc.value_and_grad(
        "sum(log(1 + exp(-x .* y)) + tanh(x).^2)", "x", vars={"x": "vector(n)", "y": "vector(n)"}
    )
    sizes = {"n": 4_000_000}
    on = scheduled(function, sizes)
    off = scheduled(function, sizes, ONE_THREAD._replace(call=1e12))
    assert on.flops == off.flops
    assert on.transcendentals == off.transcendentals
    assert on.bytes <= 1.001 * on.compulsory_bytes
    assert 5 * on.bytes < off.bytes
    assert on.passes < off.passes
    assert on.buffer_bytes < off.buffer_bytes / 10


def test_kept_buffers_replace_what_is_allocated_at_each_call() -> None:
    function = mc.value_and_grad(
        "sum(log(1 + exp(-x .* y)) + tanh(x).^2)", "x", vars={"x": "vector(n)", "y": "vector(n)"}
    )
    sizes = {"n": 10_000}
    whole = cost(function.compiled.program, sizes, ONE_THREAD, scheduled=False)
    on = scheduled(function, sizes)
    assert whole.temporaries > 10
    assert on.temporaries == 0
    # operands that nobody needs any more are written to, and buffers are used again
    stored = sum(s.operation == "ufunc" for s in prepared(function.compiled.program, sizes).statements)
    planned = schedule(function.compiled.program, sizes, ONE_THREAD)
    assert planned is not None
    assert on.buffers == len(planned.buffers) < stored / 3
