"""Fused loops compute what NumPy computes: their text as Python for many programs, compiled by Numba for some."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from random import Random
from typing import Any

import numpy as np
import pytest
from corpus_data import Case, load_cases, sample_case
from random_nodes import SIZES, data, random_graph

import matcalc as mc
from matcalc.derivation import Derivative
from matcalc.errors import Unsupported, UsageError
from matcalc.expr.build import variables
from matcalc.expr.nodes import Node
from matcalc.expression import Expr
from matcalc.functions import program_arguments
from matcalc.lower import backends
from matcalc.lower.function import compile_function
from matcalc.lower.fused.function import Fusible, divide, driver
from matcalc.lower.fused.text import Fused
from matcalc.lower.panels import Machine
from tests.plain_text import as_tuple, assert_close, plain_results

DOUBLE = np.dtype(float)

needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="Numba is not installed")

# --- the text, run as Python -------------------------------------------------------------------------


def rows_times(A: Any, x: Any, out: Any, first: int, start: int, stop: int, place: int) -> None:
    out[place + start : place + stop] = A[first + start : first + stop] @ x


def add_rows(A: Any, c: Any, out: Any, first: int, start: int, stop: int, place: int) -> None:
    out += c[place + start : place + stop] @ A[first + start : first + stop]


def small_product(A: Any, B: Any, out: Any) -> None:
    out[...] = A @ B


PLAIN: Mapping[str, Any] = {
    "choose": lambda condition, yes, no: yes if condition else no,
    "accumulate": lambda total, term: total + term,
    "larger": np.maximum, "smaller": np.minimum, "size": np.abs, "root": np.sqrt, "down": np.floor, "up": np.ceil,
    "even": np.rint, "sign": np.sign, "power": np.power, "log1p_unit": np.log1p,
    "finite": lambda x: x if np.isfinite(x) else np.float64(0.0),
    "rows_times": rows_times, "add_rows": add_rows, "small_product": small_product,
    "empty": lambda shape, kind: np.full(shape, np.nan, kind),
    "index": int, "range": range, "min": min, "max": max,
    "real": np.float64, "kind": np.float64, "inf": math.inf, "nan": math.nan,
    **{name: getattr(np, name) for name in (
        "exp", "expm1", "log", "log1p", "tanh", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh",
        "arcsinh", "arccosh", "arctanh", "log2", "log10", "cbrt", "arctan2", "hypot",
    )},
}  # fmt: skip
"""What the fused loops call, in NumPy."""


def interpreted(part: Fused, _single: bool) -> Callable[..., Any]:
    """The text of a fused function as it stands, with panels of a few rows."""
    assert "2048" in part.text or "step" not in part.text
    text = part.text.replace("2048", "3").replace("32768", "6").replace("max(8, ", "max(2, ").replace("// 8 * 8", "")
    namespace = dict(PLAIN)
    exec(compile(text, "fused", "exec"), namespace)
    function: Callable[..., Any] = namespace["f"]
    return function


def assert_same(nodes: Sequence[Node], arguments: Sequence[Any], values: Mapping[str, Any], known: Any) -> int:
    """Compare with the plain text; how many parts were fused."""
    plain = plain_results(nodes, arguments, values, known)
    if plain is None:
        return 0
    parts = 0
    for small in (True, False):
        divided = divide(plain.function.program, small=small)
        parts += sum(part.function is not None for part in divided.parts)
        text, required, own = driver(divided, plain.sizes, DOUBLE, Fusible(interpreted))
        run = plain.function._load(text, required, own=own)
        with np.errstate(all="ignore"):
            found = as_tuple(run(*plain.arrays))
        assert_close(found, plain.results)
        assert not any(np.shares_memory(one, array) for one in found for array in plain.arrays)
    return parts


@pytest.mark.parametrize("start", range(0, 600, 100))
def test_random_graphs(start: int) -> None:
    parts = 0
    for seed in range(start, start + 100):
        random = Random(seed)
        node = random_graph(random, random.choice((2, 4, 8, 12)), comparing=seed % 2 == 1)
        parts += assert_same([node], variables(node), data(random), SIZES)
    assert parts > 50


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


@pytest.mark.parametrize(("rows", "threads", "fused"), [(100, 4, True), (1 << 17, 1, True), (1 << 17, 4, False)])
def test_large_matrices_are_left_to_several_cores(rows: int, threads: int, fused: bool) -> None:
    expr = mc.parse("sum(exp(X w))", {"X": "matrix(n, d)", "w": "vector(d)"})
    function = compile_function([expr.simplified], program_arguments(expr, [expr.simplified]))
    found = Fusible(interpreted).bound(
        function.program, {"n": rows, "d": 20}, Machine(threads=threads), lambda *_: print, print
    )
    assert (found is not None) == fused


# --- compiled ----------------------------------------------------------------------------------------


def flat(result: Any) -> list[Any]:
    """The arrays of a result, whatever tuples they are in."""
    if not isinstance(result, tuple):
        return [result]
    return [array for part in result for array in flat(part)]


def assert_like_numpy(one: Any, two: Any, tolerance: float = 1e-12) -> None:
    """Equal up to rounding of the largest entry, infinities and NaN at the same places."""
    for found, expected in zip(flat(one), flat(two), strict=True):
        assert found.dtype == expected.dtype
        assert type(found) is type(expected)
        finite = np.abs(np.asarray(expected)[np.isfinite(expected)])
        scale = float(np.max(finite, initial=0.0))
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale + 1e-300)


LOGISTIC = "sum(log(1 + exp(-y .* (X w)))) + lam * ||w||^2"


def logistic_data(rows: int, columns: int, dtype: Any = float) -> dict[str, Any]:
    random = np.random.default_rng(rows)
    return {
        "X": random.normal(size=(rows, columns)).astype(dtype),
        "y": np.sign(random.normal(size=rows)).astype(dtype),
        "w": random.normal(size=columns).astype(dtype),
        "lam": dtype(0.25),
    }


SAMPLES: Mapping[str, tuple[str, str, str, Mapping[str, tuple[int, ...]]]] = {
    "quadratic form": ("value_and_grad", "x^T A x", "x", {"A": (7, 7), "x": (7,)}),
    "softmax": ("jacobian", "softmax(A x)", "x", {"A": (9, 5), "x": (5,)}),
    "cross entropy": (
        "value_and_grad", "Z = X W; (sum(logsumexp(Z, axis=1)) - sum(Y .* Z)) / n", "W",
        {"X": (11, 4), "W": (4, 3), "Y": (11, 3)},
    ),
    "factorization": (
        "value_and_grad", "||M .* (X - U V^T)||_F^2", "U", {"M": (6, 5), "X": (6, 5), "U": (6, 2), "V": (5, 2)}
    ),
    "entrywise": (
        "value_and_grad", "sum(tanh(x).^2 + expm1(x) .* log1p(abs(y)) - sigmoid(x))", "x", {"x": (300,), "y": (300,)}
    ),
    "hinge": ("value_and_grad", "sum(max(1 - y .* (X w), 0))", "w", {"X": (13, 3), "y": (13,), "w": (3,)}),
    "pieces": (
        "value_and_grad", "sum(elu(x, 0.5)) + sum(huber(x, 1)) + sum(sign(x) .* floor(x)) + sum(x.^3)", "x",
        {"x": (50,)},
    ),
    "inverse": ("value_and_grad", "log(det(S)) + y^T S^-1 y", "S", {"S": (5, 5), "y": (5,)}),
    "second derivative": (
        "hessian", "||M .* (X - U V^T)||_F^2", "U", {"M": (6, 5), "X": (6, 5), "U": (6, 2), "V": (5, 2)}
    ),
    "direction": ("hvp", "sum(exp(A x))", "x", {"A": (8, 4), "x": (4,), "v": (4,)}),
}  # fmt: skip
TYPES: Mapping[str, Mapping[str, str]] = {
    "cross entropy": {"X": "matrix(n, d)", "W": "matrix(d, k)", "Y": "matrix(n, k)"},
    "inverse": {"S": "matrix(n, n) spd", "y": "vector(n)"},
}


def sample_of(name: str, dtype: Any = float) -> tuple[Any, Any, dict[str, Any]]:
    """The function of a sample by both backends, and its arrays."""
    kind, text, wrt, shapes = SAMPLES[name]
    random = np.random.default_rng(len(name))
    arrays = {key: random.normal(size=shape).astype(dtype) for key, shape in shapes.items()}
    if "S" in arrays:
        arrays["S"] = (arrays["S"] @ arrays["S"].T + 5 * np.eye(5)).astype(dtype)
    make = getattr(mc, kind)
    return make(text, wrt, TYPES.get(name), backend="numba"), make(text, wrt, TYPES.get(name)), arrays


@needs_numba
@pytest.mark.parametrize("name", SAMPLES)
def test_samples(name: str) -> None:
    fused, plain, arrays = sample_of(name)
    expected = plain(**arrays)
    assert_like_numpy(fused(**arrays), expected)
    # the second call takes the quick way
    assert_like_numpy(fused(**arrays), expected)


@needs_numba
def test_single_precision_stays() -> None:
    arrays = logistic_data(40, 3, np.float32)
    found = mc.value_and_grad(LOGISTIC, "w", backend="numba")(**arrays)
    assert_like_numpy(found, mc.value_and_grad(LOGISTIC, "w")(**arrays), 2e-6)
    assert [array.dtype for array in flat(found)] == [np.float32, np.float32]


@needs_numba
def test_any_size_runs_with_what_was_compiled() -> None:
    fused, plain = mc.value_and_grad(LOGISTIC, "w", backend="numba"), mc.value_and_grad(LOGISTIC, "w")
    for rows, columns in ((1, 1), (2, 3), (7, 4), (2500, 3), (33, 700)):
        arrays = logistic_data(rows, columns)
        assert_like_numpy(fused(**arrays), plain(**arrays))
    assert len(fused.compiled._fusible._compiled) == 1


@needs_numba
def test_arrays_in_any_order_of_memory() -> None:
    fused, plain = mc.value_and_grad(LOGISTIC, "w", backend="numba"), mc.value_and_grad(LOGISTIC, "w")
    arrays = logistic_data(20, 4)
    expected = plain(**arrays)
    wide = np.zeros((20, 8))
    wide[:, ::2] = arrays["X"]
    frozen = arrays["X"].copy()
    frozen.flags.writeable = False
    packed = np.zeros(20 * 4 * 8 + 1, np.uint8)[1:].view(float).reshape(20, 4)
    packed[...] = arrays["X"]
    for X in (np.asfortranarray(arrays["X"]), wide[:, ::2], frozen, packed):
        assert_like_numpy(fused(**{**arrays, "X": X}), expected)
    assert_like_numpy(fused(**{**arrays, "y": np.repeat(arrays["y"], 2)[::2]}), expected)
    assert len(fused.compiled._fusible._compiled) == 1


@needs_numba
@pytest.mark.parametrize("size", [1000.0, 710.0, 745.5, 1e-310, 0.0])
def test_large_and_small_numbers(size: float) -> None:
    text = "sum(log(1 + exp(-x))) + sum(sigmoid(x)) + sum(tanh(x)) + logsumexp(x)"
    x = np.array([size, -size, size / 3, 1.0])
    with np.errstate(all="ignore"):
        expected = mc.value_and_grad(text, "x")(x=x)
    assert_like_numpy(mc.value_and_grad(text, "x", backend="numba")(x=x), expected)


@needs_numba
@pytest.mark.parametrize(
    "text", ["softmax(x)", "log_softmax(x)", "max(x, y) + min(x, y) + sign(x)", "x .* exp(x) - sqrt(y)"]
)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_not_a_number_stays(text: str, bad: float) -> None:
    x, y = np.array([0.5, bad, -2.0]), np.array([1.0, 2.0, 3.0])
    arrays = {"x": x, "y": y} if "y" in text else {"x": x}
    fused, plain = mc.parse(text, {"x": "vector(n)", "y": "vector(n)"}).compile(backend="numba"), mc.parse(
        text, {"x": "vector(n)", "y": "vector(n)"}
    ).compile()  # fmt: skip
    names = {name: np.ones(3) for name in fused.args} | arrays
    assert_like_numpy(fused(**names), plain(**names))


@needs_numba
def test_empty_arrays_are_left_to_numpy() -> None:
    fused = mc.value_and_grad("sum(exp(x))", "x", backend="numba")
    value, gradient = fused(x=np.zeros(0))
    assert value == 0.0
    assert gradient.shape == (0,)


@needs_numba
def test_the_backend_is_copied_and_saved(tmp_path: Any) -> None:
    made = mc.grad("sum(exp(x))", "x", backend="numba")
    mc.save(made, tmp_path / "saved.json")
    for again in (pickle.loads(pickle.dumps(made)), mc.load(tmp_path / "saved.json")):
        assert again.request.backend == "numba"
        assert_like_numpy(again(x=np.ones(3)), np.exp(np.ones(3)))


def test_there_is_no_such_backend() -> None:
    with pytest.raises(UsageError, match="no backend"):
        mc.grad("sum(exp(x))", "x", backend="cuda")


def test_numba_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "find_spec", lambda _name: None)
    with pytest.raises(Unsupported, match="not installed") as caught:
        mc.grad("sum(exp(x))", "x", backend="numba")
    assert caught.value.hint == "pip install matcalculus[numba]"


def test_numba_is_imported_for_its_backend_alone() -> None:
    code = """
import sys, numpy, matcalc
matcalc.grad("sum(exp(x))", "x")(x=numpy.ones(3))
print("numba" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --- elementary functions ------------------------------------------------------------------------------

RANGES: Mapping[str, Sequence[tuple[float, float]]] = {
    "exp": [(-745.2, 709.7), (-1, 1), (-40, 40), (-745, -707)],
    "expm1": [(-50, 709.7), (-2, 2), (-0.4, 0.4)],
    "tanh": [(-25, 25), (-1, 1), (-0.3, 0.3)],
    "log": [(1e-3, 1e3), (0.5, 2), (0.999, 1.001)],
    "log1p": [(-1, 3), (-0.3, 0.5), (0, 1e3)],
    "log1p_unit": [(0, 1), (0.4, 0.43)],
}
WIDE: Mapping[str, float] = {"expm1": -1, "tanh": -1, "log": 1, "log1p": 1, "log1p_unit": 0}
"""Functions of numbers of any magnitude: of positive ones, of both signs (-1), or at most 1 (0)."""


def applied(name: str, x: Any) -> Any:
    """One of our functions, compiled by Numba for every entry."""
    from numba import njit

    from matcalc.lower.fused.kernels import namespace

    function = namespace(False)[name]

    def every(x: Any, out: Any) -> None:
        for i in range(x.shape[0]):
            out[i] = function(x[i])

    out = np.empty_like(x)
    njit(every, error_model="numpy")(x, out)
    return out


@needs_numba
@pytest.mark.parametrize("name", RANGES)
def test_within_two_units_in_the_last_place(name: str) -> None:
    mpmath = pytest.importorskip("mpmath")
    random = np.random.default_rng(1)
    points = [random.uniform(low, high, 700) for low, high in RANGES[name]]
    if name in WIDE:
        points.append(10.0 ** random.uniform(-322, 0 if WIDE[name] == 0 else 2, 500))
    if name in WIDE and WIDE[name] < 0:
        points.append(-points[-1])
    if name in ("log", "log1p"):
        points.append(10.0 ** random.uniform(-322, 308, 500))
    x = np.concatenate(points)
    exact = getattr(mpmath, name.removesuffix("_unit"))
    with mpmath.workprec(1300):
        for point, value in zip(x, applied(name, x), strict=True):
            wanted = exact(mpmath.mpf(float(point)))
            unit = float(np.spacing(abs(float(wanted))))
            assert abs(mpmath.mpf(float(value)) - wanted) <= 2 * mpmath.mpf(unit), (name, point)


@needs_numba
@pytest.mark.parametrize("name", [name for name in RANGES if name != "log1p_unit"])
def test_special_values(name: str) -> None:
    x = np.array(
        [math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0, -2.0, 1e308, -1e308, 5e-324, 710.0, -746.0, 1e3, -1e3]
    )
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x)
    np.testing.assert_allclose(applied(name, x), expected, rtol=1e-15)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(applied(name, x))[numbers], np.signbit(expected)[numbers])
