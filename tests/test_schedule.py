"""Scheduled programs: single ufuncs, panels of rows and kept buffers compute what the plain text computes."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import numpy as np
import pytest
from corpus_data import Case, load_cases, sample_case
from random_nodes import SIZES, data, random_graph

import matcalc as mc
from matcalc.derivation import Derivative
from matcalc.expr.build import einsum, variables
from matcalc.expr.dims import Dim
from matcalc.expr.nodes import Node, Variable
from matcalc.expression import Expr
from matcalc.functions import program_arguments
from matcalc.lower import threads as threads_module
from matcalc.lower.batching import batch_products
from matcalc.lower.elementary import elementary, is_ufunc
from matcalc.lower.function import PLANNED, SIGNATURES, compile_function
from matcalc.lower.panels import Loop, Machine, plan
from matcalc.lower.runs import prepared, schedule, simple
from matcalc.lower.specialize import specialize
from matcalc.lower.threads import _Library, _library, in_parts
from tests.node_eval import evaluate
from tests.plain_text import MACHINES, WIDE, assert_close, compacted, plain_results, scheduled_results


def assert_same(nodes: Sequence[Node], arguments: Sequence[Any], values: Mapping[str, Any], known: Any) -> int:
    """Compare on every machine; how many loops there were."""
    plain = plain_results(nodes, arguments, values, known)
    if plain is None:
        return 0
    loops = 0
    for machine in MACHINES.values():
        found = scheduled_results(plain.function, plain.sizes, plain.arrays, machine)
        if found is None:
            continue
        special = simple(plain.function.program, plain.sizes)
        loops += sum(isinstance(item, Loop) for item in plan(special, machine))
        assert_close(found, plain.results)
    assert_close(compacted(plain.function, plain.sizes, plain.arrays), plain.results)
    return loops


# --- the same numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize("start", range(0, 600, 100))
def test_random_graphs(start: int) -> None:
    loops = 0
    for seed in range(start, start + 100):
        random = Random(seed)
        node = random_graph(random, random.choice((2, 4, 8, 12)), comparing=seed % 2 == 1)
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


FACTORISATION = "||M .* (X - U V')||_F^2"


@pytest.mark.parametrize(("n", "k", "kernel"), [(200, 5, "np.matmul("), (700, 5, "np.dot(")])
def test_thin_products_with_one_matrix_are_one_product(n: int, k: int, kernel: str) -> None:
    """The blocks of ``V^T diag(m_i^2) V``: the products of columns of V are there once, then they meet all of M."""
    types = {"X": "matrix(n, n)", "M": "matrix(n, n)", "U": "matrix(n, k)", "V": "matrix(n, k)"}
    f = mc.hessian(FACTORISATION, "U", vars=types, form="operator")
    found = f.compiled.plan({"n": n, "k": k})
    assert found is not None
    assert kernel in found.text
    assert found.text.count("np.dot(") + found.text.count("np.matmul(") == 1
    # a loop over one statement would start it again and again for nothing
    assert "for " not in found.text
    rng = np.random.default_rng(n)
    M, V = rng.standard_normal((n, n)), rng.standard_normal((n, k))
    (blocks,) = f(X=M, M=M, U=V, V=V).networks
    want = 2 * np.einsum("il,lj,lk->ijk", M**2, V, V)
    np.testing.assert_allclose(blocks.number * blocks.parts[0][0], want, rtol=0, atol=1e-12 * np.max(np.abs(want)))


@pytest.mark.parametrize("count", [5, 100, 500])
def test_tiny_products_with_one_matrix_are_one_product(count: int) -> None:
    """In the text for small arrays and in the one for large ones."""
    n, p, q, r = map(Dim.of, "npqr")
    stack, matrix = Variable("A", (n, p, q)), Variable("B", (q, r))
    f = compile_function(einsum("ijk,kl->ijl", stack, matrix), [stack, matrix])
    rng = np.random.default_rng(count)
    A, B = rng.standard_normal((count, 3, 4)), rng.standard_normal((4, 2))
    found = f.plan({"n": count, "p": 3, "q": 4, "r": 2})
    assert found is not None
    assert ("reshape" in found.text) == (count > 5)
    for array in (A, A.transpose(1, 2, 0).copy().transpose(2, 0, 1)):
        np.testing.assert_allclose(f(A=array, B=B), np.einsum("ijk,kl->ijl", A, B), rtol=0, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_whole_corpus(case: Case) -> None:
    test_corpus(case)


# --- arrays of every kind --------------------------------------------------------------------------

LOGISTIC = "sum(log(1 + exp(-y .* (X w)))) + sum(softmax(X V) .* (X V))"
TYPES = {"X": "matrix(N, d)", "y": "vector(N)", "w": "vector(d)", "V": "matrix(d, k)"}
DATA = {name: TYPES[name] for name in ("X", "y", "w")}


def logistic(kind: type[np.floating[Any]] = np.float64, rows: int = 500) -> dict[str, Any]:
    generator = np.random.default_rng(5)
    shapes = {"X": (rows, 30), "y": (rows,), "w": (30,), "V": (30, 7)}
    return {name: generator.standard_normal(shape).astype(kind) for name, shape in shapes.items()}


def plain(function: mc.Function, arrays: Mapping[str, Any]) -> Any:
    """The results of the text for all sizes."""
    compiled = function.compiled
    with np.errstate(all="ignore"):
        return compiled._function(*(arrays[argument.name] for argument in compiled.arguments))


def test_large_arrays_are_scheduled() -> None:
    f = mc.value_and_grad(LOGISTIC, ("w", "V"), vars=TYPES)
    arrays = logistic()
    large, small = (f.compiled.plan(sizes) for sizes in ({"N": 500, "d": 30, "k": 7}, {"N": 5, "d": 3, "k": 2}))
    assert large is not None
    assert large.buffers
    assert small is not None
    assert not small.buffers
    value, gradients = f(**arrays)
    expected = plain(f, arrays)
    np.testing.assert_allclose(value, expected[0], rtol=1e-13)
    for found, wanted in zip(gradients, expected[1:], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


@pytest.mark.parametrize("size", [3, 100])
def test_results_that_are_equal_are_arrays_of_their_own(size: int) -> None:
    names = ("x", "y", "z", "u")
    f = mc.value_and_grad("sum(x + y + z - u)", names, vars=dict.fromkeys(names, "matrix(n, n)"))
    for _ in range(2):
        _, gradients = f(**dict.fromkeys(names, np.ones((size, size))))
        for place, gradient in enumerate(gradients):
            np.testing.assert_array_equal(gradient, -1.0 if place == 3 else 1.0)
            assert not any(np.shares_memory(gradient, other) for other in gradients[:place])


def test_small_arrays_of_a_narrow_type_keep_it() -> None:
    f = mc.value_and_grad(LOGISTIC, ("w", "V"), vars=TYPES)
    small = logistic(np.float32, rows=6)
    for _ in range(3):
        value, gradients = f(**small)
        assert type(value) is np.float32
        assert all(gradient.dtype == np.float32 for gradient in gradients)


@pytest.mark.parametrize("size", [4, 60])
def test_a_sign_is_not_put_on_truth_values(size: int) -> None:
    types = {"X": "matrix(m, k)", "y": "vector(m)"}
    f = mc.jacobian("max(cos(sum_{i=1}^{m} y[i] X_i), 0)", "y", vars=types)
    generator = np.random.default_rng(2)
    X, y = generator.standard_normal((size, size + 1)), generator.standard_normal(size)
    angle = X.T @ y
    expected = -(np.sin(angle) * (np.cos(angle) > 0))[:, None] * X.T
    found = f(X=X, y=y)
    np.testing.assert_allclose(found, expected if found.shape == expected.shape else expected.T, rtol=1e-12, atol=1e-12)


def test_float32_stays_float32() -> None:
    f = mc.value_and_grad(LOGISTIC, ("w", "V"), vars=TYPES)
    exact = f(**logistic())
    value, gradients = f(**logistic(np.float32))
    assert type(value) is np.float32
    for found, wanted in zip(gradients, exact[1], strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("layout", ["fortran", "strided", "read only", "big endian"])
def test_memory_layouts(layout: str) -> None:
    f = mc.value_and_grad(LOGISTIC, ("w", "V"), vars=TYPES)
    arrays = logistic()
    expected = f(**arrays)
    given = dict(arrays)
    if layout == "fortran":
        given["X"] = np.asfortranarray(arrays["X"])
    elif layout == "strided":
        wide = np.zeros((1000, 60))
        wide[::2, ::2] = arrays["X"]
        given["X"] = wide[::2, ::2]
    elif layout == "read only":
        given = {name: array.copy() for name, array in arrays.items()}
        for array in given.values():
            array.flags.writeable = False
    else:
        given["X"] = arrays["X"].astype(">f8")
    found = f(**given)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-13)
    for one, two in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-12 * np.abs(two).max())


def test_nan_propagates_without_warnings() -> None:
    f = mc.value_and_grad(LOGISTIC, ("w", "V"), vars=TYPES)
    arrays = logistic()
    arrays["y"][3] = np.nan
    value, (by_w, by_V) = f(**arrays)
    assert np.isnan(value)
    assert np.isnan(by_w).all()
    assert np.isfinite(by_V).all()


def test_infinite_logits() -> None:
    f = mc.value_and_grad("sum(logsumexp(Z, axis=1))", "Z", vars={"Z": "matrix(m, n)"})
    Z = np.random.default_rng(0).standard_normal((400, 30))
    Z[0] = -np.inf
    Z[1, 3] = np.inf
    Z[2] = 1000.0
    value, gradient = f(Z=Z)
    expected = plain(f, {"Z": Z})
    np.testing.assert_array_equal(value, expected[0])
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-15)


def test_threads_do_not_share_buffers() -> None:
    f = mc.value_and_grad(LOGISTIC, ("w", "V"), vars=TYPES)
    inputs = [logistic(rows=400 + 10 * (number % 2)) for number in range(8)]
    for number, arrays in enumerate(inputs):
        arrays["w"] += number
    expected = [f(**arrays) for arrays in inputs]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(50):
            value, gradients = f(**inputs[number])
            same = value == expected[number][0] and all(
                np.array_equal(one, two) for one, two in zip(gradients, expected[number][1], strict=True)
            )
            if not same:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_copy_is_scheduled_too() -> None:
    f = pickle.loads(pickle.dumps(mc.grad(LOGISTIC, "w", vars=TYPES)))
    assert f.compiled.plan({"N": 500, "d": 30, "k": 7}) is not None


def test_shapes_that_change_all_the_time_are_not_planned_for_ever() -> None:
    f = mc.grad("sum(log(1 + exp(-y .* (X w))))", "w", vars=DATA)
    for rows in range(300, 310 + PLANNED):
        f(**logistic_rows(rows))
    functions = [bound.function for bound in f.compiled._bounds.values()]
    assert len(functions) == PLANNED
    assert functions.count(f.compiled._function) == 10


@pytest.mark.parametrize("rows", [7, 300])
def test_what_is_computed_does_not_depend_on_the_calls_before(rows: int) -> None:
    text = "sum(log(1 + exp(-y .* (X w))))"
    first, later = (mc.value_and_grad(text, "w", vars=DATA) for _ in range(2))
    for other in range(20, 20 + 3 * SIGNATURES):
        later(**logistic_rows(other))
    given = logistic_rows(rows)
    for _ in range(3):
        (value, gradient), (same, equal) = first(**given), later(**given)
        assert value == same
        np.testing.assert_array_equal(gradient, equal)


def logistic_rows(rows: int) -> dict[str, Any]:
    """The data of a logistic regression with so many rows."""
    given = logistic(rows=rows)
    return {name: given[name] for name in DATA}


def test_a_loop_begins_behind_a_statement_that_no_other_can_join() -> None:
    # A x passes over A, too, but softmax needs all of it before the rest can go on
    f = mc.jacobian("softmax(A x)", "x", {"A": "matrix(m, n)", "x": "vector(n)"})
    sizes = {"m": 1000, "n": 900}
    loops = [item for item in plan(prepared(f.compiled.program, sizes), Machine()) if isinstance(item, Loop)]
    assert [
        [placed.statement.parameters[0] for placed in loop.body if is_ufunc(placed.statement)] for loop in loops
    ] == [["np.subtract", "np.multiply"]]


# --- the text -----------------------------------------------------------------------------------------


def test_single_ufuncs() -> None:
    f = mc.value_and_grad("sum(log(1 + exp(-y .* (X w))))", "w", vars=TYPES)
    special = elementary(specialize(f.compiled.program, {"N": 500, "d": 30, "k": 7}))
    names = [str(statement.parameters[0]) for statement in special.statements if is_ufunc(statement)]
    # by hand: e = exp(-|m|), log1p(e) - min(m, 0), y / (1 + exp(m)); signs are changed in 30 entries, not in 500
    softplus = ["np.multiply", "np.abs", "np.negative", "np.exp", "np.log1p", "np.minimum", "np.subtract"]
    assert sorted(names) == sorted([*softplus, "np.exp", "np.add", "np.divide", "np.negative"])


def test_the_text_is_made_of_our_own_tokens() -> None:
    f = mc.value_and_grad(LOGISTIC.replace("w", "weights"), ("weights", "V"), vars=TYPES | {"weights": "vector(d)"})
    planned = schedule(f.compiled.program, {"N": 50, "d": 3, "k": 2}, WIDE, always=True)
    assert planned is not None
    words = set(re.findall(r"[A-Za-z_]\w*", planned.text))
    own = re.compile(r"[abcgikopt]\d+_?|[fiwsku]|dtype|take|give")
    python = {
        "def",
        "for",
        "in",
        "range",
        "slice",
        "if",
        "return",
        "np",
        "None",
        "True",
        "out",
        "float",
        "fill",
        "sum",
        "T",
    }
    rest = {word for word in words if not own.fullmatch(word)} - python
    assert all(hasattr(np, word) or word in planned.required for word in rest - {"reduce"})
    assert "weights" not in planned.text


# --- recurrences ----------------------------------------------------------------------------------------

STEPS = 9
RECURRENCE = (
    "H1 = tanh(X[1,:,:] U + b'); "
    + " ".join(f"H{t} = tanh(X[{t},:,:] U + H{t - 1} V + b');" for t in range(2, STEPS + 1))
    + f" ||H{STEPS} W - Y||_F^2"
)
RECURRENT = {
    "X": "tensor(T, N, i)", "U": "matrix(i, h)", "V": "matrix(h, h)", "b": "vector(h)", "W": "matrix(h, k)",
    "Y": "matrix(N, k)",
}  # fmt: skip


def test_the_steps_of_a_recurrence_take_one_product() -> None:
    f = mc.value_and_grad(RECURRENCE, ("U", "V", "b", "W"), vars=RECURRENT)
    sizes = {"T": STEPS, "N": 5, "i": 3, "h": 4, "k": 2}
    before = elementary(specialize(f.compiled.program, sizes))
    after = batch_products(before)
    products = [sum(statement.operation == "matmul" for statement in made.statements) for made in (before, after)]
    # X_t U and the sums for U and V: one product each instead of one for each step
    assert products[0] - products[1] == (STEPS - 1) + (STEPS - 1) + (STEPS - 2)
    generator = np.random.default_rng(2)
    shapes = {"X": (STEPS, 5, 3), "U": (3, 4), "V": (4, 4), "b": (4,), "W": (4, 2), "Y": (5, 2)}
    arrays = {name: generator.standard_normal(shape) for name, shape in shapes.items()}
    expected = plain(f, arrays)
    given = [arrays[argument.name] for argument in f.compiled.arguments]
    for machine in MACHINES.values():
        found = scheduled_results(f.compiled, sizes, given, machine)
        for one, two in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, two, rtol=0, atol=1e-12 * np.abs(two).max())


@pytest.mark.parametrize("text", [
    "||" + " + ".join(f"A{t}' B{t}" for t in range(5)) + "||_F^2",
    "||" + " - ".join(f"A{t}' B{t}" for t in range(5)) + "||_F^2",
    "sum(" + " + ".join(f"tanh(X[{t},:,:] U)' X[{6 - t},:,:]" for t in range(1, 6)) + ")",
    "sum(" + " .* ".join(f"(X[{t},:,:] U)" for t in (2, 5, 3, 1)) + ")",
])  # fmt: skip
def test_sums_of_products(text: str) -> None:
    types = {"X": "tensor(T, N, i)", "U": "matrix(i, i)"}
    types |= {f"A{t}": "matrix(N, i)" for t in range(5)} | {f"B{t}": "matrix(N, h)" for t in range(5)}
    used = {name: kind for name, kind in types.items() if re.search(rf"\b{name}\b", text)}
    by = "A1" if "A1" in used else "U"
    f = mc.value_and_grad(text, by, vars=used)
    sizes = {"T": 6, "N": 5, "i": 3, "h": 4}
    generator = np.random.default_rng(3)
    lengths = {"X": (6, 5, 3), "U": (3, 3)}
    given = [
        generator.standard_normal(lengths.get(a.name, (5, 3) if a.name[0] == "A" else (5, 4)))
        for a in f.compiled.arguments
    ]
    expected = plain(f, dict(zip([a.name for a in f.compiled.arguments], given, strict=True)))
    for machine in MACHINES.values():
        found = scheduled_results(f.compiled, sizes, given, machine)
        for one, two in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, two, rtol=0, atol=1e-12 * np.abs(two).max())


def test_a_plan_costs_its_length() -> None:
    def planned(layers: int) -> float:
        text = (
            "A0 = X; "
            + " ".join(f"A{t} = tanh(A{t - 1} W{t});" for t in range(1, layers))
            + f" ||A{layers - 1} V||_F^2"
        )
        types = {"X": "matrix(N, h)", "V": "matrix(h, h)"} | {f"W{t}": "matrix(h, h)" for t in range(1, layers)}
        compiled = mc.value_and_grad(text, tuple(types)[2:], vars=types).compiled
        times = []
        for _ in range(3):
            start = time.process_time()
            assert compiled.plan({"N": 30, "h": 12}) is not None
            times.append(time.process_time() - start)
        return min(times)

    assert planned(100) < 12 * planned(20)


# --- threads -------------------------------------------------------------------------------------------


def test_threads_share_a_long_loop() -> None:
    f = mc.value_and_grad("sum(log(1 + exp(-x .* y)) + tanh(x).^2)", "x", {"x": "vector(n)", "y": "vector(n)"})
    sizes = {"n": 1_000_003}
    alone, shared = (schedule(f.compiled.program, sizes, Machine(threads=threads)) for threads in (1, 3))
    assert alone is not None
    assert shared is not None
    assert "in_parts" not in alone.text
    assert shared.text.count("in_parts(g0, 1000003, ") == 1
    generator = np.random.default_rng(3)
    x, y = generator.standard_normal((2, sizes["n"]))
    runs = [f.compiled._load(*planned) for planned in (alone, shared)]
    with np.errstate(all="ignore"):
        (value, gradient), (same, equal), (again, _) = (run(x, y) for run in (*runs, runs[1]))
    assert same == again
    assert abs(value - same) < 1e-12 * value
    np.testing.assert_array_equal(gradient, equal)
    short = schedule(f.compiled.program, {"n": 10_000}, Machine(threads=3))
    assert short is not None
    assert "in_parts" not in short.text


def test_threads_are_quiet_and_what_fails_in_one_fails() -> None:
    def part(first: int, last: int) -> tuple[float]:
        if first == 2:
            raise ZeroDivisionError
        return (float(np.log(np.float64(first))),)

    with np.errstate(divide="ignore"), pytest.raises(ZeroDivisionError):
        in_parts(part, 3, 1, 3, (), False)
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        in_parts(part, 2, 1, 1, (), False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with np.errstate(divide="ignore"):
            assert in_parts(part, 2, 1, 2, (), False) == [(-np.inf,), (0.0,)]


def test_where_no_thread_can_be_started_the_caller_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)
    assert in_parts(lambda first, last: ((first, last),), 10, 2, 3, (), False) == [((0, 2),), ((2, 6),), ((6, 10),)]


def test_a_forked_process_has_threads_of_its_own() -> None:
    code = (
        "import os\n"
        "from matcalc.lower.threads import in_parts\n"
        "part = lambda first, last: (last - first,)\n"
        "assert in_parts(part, 4, 1, 2, (), False) == [(2,), (2,)]\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(7 if in_parts(part, 4, 1, 2, (), False) == [(2,), (2,)] else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "7\n"


# --- truth values --------------------------------------------------------------------------------


KINKS = ("max({0}, 0)", "max({0}, {1})", "abs({0})", "min({0}, 1)", "where({0} > {1}, {0}, 2 {1})", "({0} > 0) .* {1}")
AROUND = ("{0}", "c .* {0}", "{0} .* {1}", "sin({0})", "{0}.^2", "-{0}", "c .* ({0} - {1})")


def step_text(random: Random) -> str:
    """A scalar of sums of functions with kinks, whose slopes are sums of truth values with factors in common."""
    atoms = ["x", "y", "(x - 1)", "(x + y)", "(y - x)", "(2 x - y)"]
    for _ in range(random.randint(2, 4)):
        step = random.choice(KINKS).format(random.choice(atoms), random.choice(atoms))
        atoms.append(f"({random.choice(AROUND).format(step, random.choice(atoms))})")
    terms = [random.choice(("{0}", "c .* {0}", "2 {0}")).format(random.choice(atoms[-4:])) for _ in range(3)]
    signs = random.choices((" + ", " - "), k=2)
    return f"sum({terms[0]}{signs[0]}{terms[1]}{signs[1]}{terms[2]})"


@pytest.mark.parametrize("start", range(0, 120, 40))
def test_truth_values_count_as_numbers(start: int) -> None:
    """``c (x > 0) + c (x > 1)`` is not c times "or": the sum of two truth values was taken for a truth value."""
    declared = {"x": "vector(n)", "y": "vector(n)", "c": "vector(n)"}
    generator = np.random.default_rng(start)
    for seed in range(start, start + 40):
        text = step_text(Random(seed))
        value = mc.value_and_grad(text, ("x", "y"), vars=declared)
        values = {name: 2 * generator.standard_normal(6) for name in "xyc"}
        expr = Expr(text, declared)
        slopes = [Derivative(expr, (name,), "gradient").raw for name in "xy"]
        expected = [evaluate(slope, values, {"n": 6}) for slope in slopes]
        for repeated in (1, 500):
            arrays = {name: np.tile(array, repeated) for name, array in values.items()}
            _, found = value(**{name: arrays[name] for name in value.args})
            assert_close(found, [np.tile(slope, repeated) for slope in expected])


# --- products in threads -------------------------------------------------------------------------


class Multiplier:
    """Stands for the library that multiplies: how many threads it was told to use, one after another."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.library = _Library(lambda: 4, self.told.append)


def test_products_use_one_thread_while_threads_share_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    multiplier = Multiplier()
    monkeypatch.setattr(threads_module, "_library", lambda: multiplier.library)

    def part(first: int, last: int) -> tuple[int, list[int]]:
        inner = in_parts(lambda start, stop: (stop - start,), 2, 1, 2, (), True)
        return sum(size for (size,) in inner), list(multiplier.told)

    assert in_parts(part, 3, 1, 1, (), True) == [(2, [1])]
    assert multiplier.told == [1, 4]

    def fail(first: int, last: int) -> tuple[()]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_parts(fail, 3, 1, 2, (), True)
    assert multiplier.told == [1, 4, 1, 4]


def test_where_products_cannot_be_kept_to_one_thread_there_is_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads_module, "_library", lambda: None)
    assert in_parts(lambda first, last: ((first, last),), 10, 2, 3, (), True) == [((0, 10),)]
    assert len(in_parts(lambda first, last: ((first, last),), 10, 2, 3, (), False)) == 3


def test_the_library_of_numpy_keeps_its_threads() -> None:
    """A Hessian whose loop is shared, from several threads at once; then products use as many threads as before."""
    f = mc.hessian("sum(log(1 + exp(-y .* (X w))))", "w", {"X": "matrix(N, d)", "y": "vector(N)", "w": "vector(d)"})
    sizes = {"N": 30_000, "d": 40}
    alone, shared = (schedule(f.compiled.program, sizes, Machine(threads=threads)) for threads in (1, 3))
    assert alone is not None
    assert shared is not None
    assert "in_parts(g0, 30000, " in shared.text
    generator = np.random.default_rng(3)
    arrays = {"X": generator.standard_normal((30_000, 40)), "y": generator.standard_normal(30_000),
              "w": generator.standard_normal(40)}  # fmt: skip
    given = [arrays[name] for name in (argument.name for argument in f.compiled.arguments)]
    run, expected = f.compiled._load(*shared), f.compiled._load(*alone)(*given)
    library = _library()
    before = library._count() if library is not None else 0
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(lambda _: run(*given), range(9)):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    assert library is None or (library._count() == before and library._inside == 0)
