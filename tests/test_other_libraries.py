"""Functions called with arrays of other libraries: the same kind, type and device come out, with what NumPy gives."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from corpus_data import Case, load_cases, sample_case
from export_programs import PROGRAMS, SIZES, declared, sampled

import matcalc as mc
from matcalc.errors import DomainError, ShapeError, UnknownName, Unsupported
from matcalc.export.elsewhere import _importer
from matcalc.functions import Function

CASES = load_cases()
TOLERANCE = 1e-12

LIBRARIES = tuple(
    name for name in ("torch", "jax.numpy", "array_api_strict") if importlib.util.find_spec(name.partition(".")[0])
)
needs_torch = pytest.mark.skipif("torch" not in LIBRARIES, reason="PyTorch is not installed")
needs_jax = pytest.mark.skipif("jax.numpy" not in LIBRARIES, reason="JAX is not installed")
needs_dask = pytest.mark.skipif(importlib.util.find_spec("dask") is None, reason="Dask is not installed")

LOGISTIC = "sum(log(1 + exp(-y .* (X w)))) + c/2 w^T w"
LOGISTIC_VARS = {"y": "vector(N)", "X": "matrix(N, d)"}

#: What is refused by name, for the library has no such function.
REFUSED = {
    "torch": ("logm", "sqrtm", "several Sylvester"),
    "jax.numpy": ("logm",),
    "array_api_strict": (
        "logm", "sqrtm", "expm", "sylvester", "erf", "gammaln", "digamma", "polygamma", "ndtr", "several Sylvester",
    ),
}  # fmt: skip


def library(name: str) -> ModuleType:
    module = importlib.import_module(name)
    if name == "jax.numpy":
        importlib.import_module("jax").config.update("jax_enable_x64", True)
    return module


def given(name: str, value: Any, dtype: str = "float64") -> Any:
    """A value as an array of a library; `np.array` also makes arrays of numbers."""
    xp = library(name)
    if name == "torch":
        return xp.tensor(np.array(value), dtype=getattr(xp, dtype))
    return xp.asarray(np.array(value), dtype=getattr(xp, dtype))


def as_tuple(results: Any) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)


def answer(function: Function, name: str, arrays: dict[str, Any], sizes: dict[str, int]) -> tuple[Any, ...]:
    """The results for arrays of a library, or nothing where an operation is refused that the library lacks."""
    try:
        return as_tuple(function(**arrays, **sizes))
    except Unsupported as refusal:
        if not str(refusal).startswith(REFUSED[name]):
            raise
        return ()


def compare(function: Function, name: str, values: dict[str, Any], sizes: dict[str, int]) -> None:
    arrays = {key: given(name, value) for key, value in values.items()}
    results = answer(function, name, arrays, sizes)
    if not results:
        return
    kind = type(next(iter(arrays.values())))
    for got, want in zip(results, as_tuple(function(**values, **sizes)), strict=True):
        assert type(got) is kind
        assert "float64" in str(got.dtype)
        assert tuple(got.shape) == np.shape(want)
        size = max(1.0, float(np.max(np.abs(want), initial=0.0)))
        assert np.max(np.abs(np.asarray(got) - want), initial=0.0) <= TOLERANCE * size


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("case", CASES[::5], ids=lambda case: case.name)
def test_the_corpus_gives_what_numpy_gives(case: Case, name: str) -> None:
    dims, values = sample_case(case)
    expr = mc.Expr(case.text, dict(case.vars))
    for function in (expr.compile(), mc.jacobian(expr, case.variables[0])):
        sizes = {size: dims[size] for size in function.compiled.passed.values()}
        compare(function, name, dict(values), sizes)


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize(("text", "types"), PROGRAMS, ids=[text for text, _ in PROGRAMS])
def test_every_operation_gives_what_numpy_gives(text: str, types: str, name: str) -> None:
    expr = mc.Expr(text, declared(types))
    functions = [expr.compile()]
    if not text.startswith("argmax"):
        functions.append(mc.jacobian(expr, next(iter(declared(types)))))
    for function in functions:
        sizes = {size: SIZES[size] for size in function.compiled.passed.values()}
        compare(function, name, dict(sampled(types)), sizes)


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize(("text", "types"), PROGRAMS[::3], ids=[text for text, _ in PROGRAMS[::3]])
def test_float32_stays_float32(text: str, types: str, name: str) -> None:
    function = mc.Expr(text, declared(types)).compile()
    sizes = {size: SIZES[size] for size in function.compiled.passed.values()}
    arrays = {key: given(name, value, "float32") for key, value in sampled(types).items()}
    for result in answer(function, name, arrays, sizes):
        assert "float32" in str(result.dtype)


@pytest.fixture(params=LIBRARIES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def logistic_data() -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {"y": random.choice([-1.0, 1.0], 7), "X": random.normal(size=(7, 3)), "w": random.normal(size=3)}


def test_numbers_and_numpy_arrays_join_the_arrays_they_meet(name: str) -> None:
    g = mc.value_and_grad(LOGISTIC, "w", LOGISTIC_VARS)
    data = logistic_data()
    value, slope = g(**{**data, "w": given(name, data["w"], "float32")}, c=0.5)
    want = g(**data, c=0.5)
    assert "float32" in str(slope.dtype)
    assert type(value) is type(slope)
    np.testing.assert_allclose(np.asarray(slope), want[1], rtol=1e-5)


def test_integers_count_as_float64(name: str) -> None:
    xp = library(name)
    result = mc.grad("x^T x", "x")(x=xp.asarray([1, 2, 3]))
    assert "float64" in str(result.dtype)


def test_numpy_is_answered_with_numpy_before_and_after(name: str) -> None:
    g = mc.grad("x^T A x", "x")
    A, x = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 2.0])
    want = g(A=A, x=x)
    for _ in range(2):
        other = g(A=given(name, A), x=given(name, x))
        assert type(other) is type(given(name, x))
        again = g(A=A, x=x)
        assert type(again) is np.ndarray
        assert np.array_equal(again, want)


def test_directions_are_taken(name: str) -> None:
    h = mc.hvp("sum(x.^3)", "x")
    x, v = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    assert np.array_equal(np.asarray(h(given(name, v), x=given(name, x))), h(v, x=x))


def test_a_function_that_was_pickled_takes_them_too(name: str) -> None:
    g = mc.grad("x^T x", "x")
    g(x=given(name, [1.0, 2.0]))
    again = pickle.loads(pickle.dumps(g))
    assert np.array_equal(np.asarray(again(x=given(name, [1.0, 2.0]))), [2.0, 4.0])


def test_constants_come_as_arrays(name: str) -> None:
    x = given(name, [1.0, 2.0])
    assert type(mc.Expr("n", {"x": "vector(n)"}).compile()(x=x)) is type(x)
    assert type(mc.jacobian("sum(x)", "x")(x=x)) is type(x)


def wrong(name: str) -> list[tuple[str, dict[str, str], dict[str, Any], type[Exception], str]]:
    def array(value: Any) -> Any:
        return given(name, value)

    square = [[1.0, 2.0], [3.0, 4.0]]
    return [
        ("x^T A x", {}, {"A": array(square), "x": array([1.0, 2.0, 3.0])}, ShapeError, "length 3"),
        ("x^T x", {}, {"z": array([1.0])}, UnknownName, "no argument z"),
        ("tr(A)", {"A": "matrix(n, n) symmetric"}, {"A": array(square)}, DomainError, "not symmetric"),
        ("tr(A)", {"A": "matrix(n, n) lower"}, {"A": array(square)}, DomainError, "above the diagonal"),
        ("sum(x)", {"x": "vector(n) positive"}, {"x": array([1.0, -1.0])}, DomainError, "declared positive"),
        ("sum(x)", {"x": "vector(n) integer"}, {"x": array([1.0, 0.5])}, DomainError, "declared integer"),
        ("x^T y", {}, {"x": array([1.0]), "y": ["a"]}, ShapeError, "y cannot be read"),
    ]


@pytest.mark.parametrize("number", range(7))
def test_what_is_wrong_is_said_as_for_numpy(name: str, number: int) -> None:
    text, types, arrays, error, message = wrong(name)[number]
    with pytest.raises(error, match=message):
        mc.Expr(text, types).compile()(**arrays)


def test_declared_properties_that_hold_are_accepted(name: str) -> None:
    S = np.array([[2.0, 1.0], [1.0, 3.0]])
    for types, value in (
        ("spd", S), ("symmetric", S), ("diagonal", np.diag([1.0, 2.0])), ("lower positive", np.tril(S)),
        ("upper", np.triu(S)), ("skew", S - S.T),
    ):  # fmt: skip
        function = mc.Expr("tr(A B)", {"A": f"matrix(n, n) {types}", "B": "matrix(n, n)"}).compile()
        assert float(function(A=given(name, value), B=given(name, S))) == pytest.approx(np.trace(value @ S))


def test_complex_arrays_are_refused(name: str) -> None:
    with pytest.raises(DomainError, match="matcalc is real"):
        mc.grad("x^T x", "x")(x=given(name, [1.0, 2.0], "complex128"))


@needs_torch
def test_tensors_stay_on_their_device() -> None:
    """The device ``meta`` has shapes and no entries: whatever leaves it, or is created elsewhere, fails."""
    torch = importlib.import_module("torch")
    for text, types in PROGRAMS:
        # the exponent of a power of a matrix is a number that Python has to know
        if "^k" in text or "eigvecs" in text or "svd_" in text:
            continue
        function = mc.Expr(text, declared(types)).compile()
        sizes = {size: SIZES[size] for size in function.compiled.passed.values()}
        arrays = {key: torch.tensor(value).to("meta") for key, value in sampled(types).items()}
        want = as_tuple(function(**sampled(types), **sizes))
        for got, numpy_result in zip(answer(function, "torch", arrays, sizes), want, strict=False):
            assert got.device.type == "meta", text
            assert tuple(got.shape) == np.shape(numpy_result)


@needs_torch
def test_gradients_flow_through_tensors() -> None:
    torch = importlib.import_module("torch")
    expr = mc.Expr(LOGISTIC, LOGISTIC_VARS)
    data = {key: torch.tensor(value) for key, value in logistic_data().items()}
    data["w"].requires_grad_()
    expr.compile()(**data, c=0.5).backward()
    ours = mc.grad(expr, "w")(**data, c=0.5)
    torch.testing.assert_close(data["w"].grad, ours.detach(), rtol=1e-12, atol=1e-12)


@needs_torch
def test_a_singular_tensor_is_a_domain_error() -> None:
    torch = importlib.import_module("torch")
    with pytest.raises(DomainError, match="singular"):
        mc.Expr("inv(A) b", {"A": "matrix(n, n)", "b": "vector(n)"}).compile()(
            A=torch.zeros(2, 2, dtype=torch.float64), b=torch.ones(2, dtype=torch.float64)
        )


@needs_torch
@needs_jax
def test_arrays_of_two_libraries_do_not_mix() -> None:
    with pytest.raises(DomainError, match=r"PyTorch and of JAX|JAX and of PyTorch"):
        mc.Expr("x^T y", {}).compile()(x=given("torch", [1.0]), y=given("jax.numpy", [1.0]))


@needs_jax
def test_functions_are_traced_by_jax() -> None:
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    S = "matrix(n, n) spd"
    expr = mc.Expr("logdet(S) + x^T S^-1 x", {"S": S, "x": "vector(n)"})
    value, slope = expr.compile(), mc.grad(expr, "x")
    A, x = jax.numpy.asarray([[2.0, 1.0], [1.0, 3.0]]), jax.numpy.asarray([1.0, 2.0])

    def of_x(x: Any) -> Any:
        return value(S=A, x=x)

    assert np.allclose(jax.jit(lambda x: slope(S=A, x=x))(x), jax.grad(of_x)(x), rtol=1e-12)
    points = jax.numpy.stack([x, 2 * x])
    assert np.allclose(jax.vmap(of_x)(points), [of_x(point) for point in points], rtol=1e-12)


@needs_dask
def test_arrays_of_dask_stay_lazy() -> None:
    dask = importlib.import_module("dask.array")
    data = logistic_data()
    g = mc.value_and_grad(LOGISTIC, "w", LOGISTIC_VARS)
    lazy = {key: dask.from_array(value, chunks=3) for key, value in data.items()}
    results = g(**lazy, c=0.5)
    for got, want in zip(results, g(**data, c=0.5), strict=True):
        assert isinstance(got, dask.Array)
        np.testing.assert_allclose(got.compute(), want, rtol=1e-12)
    erf = mc.Expr("sum(erf(x))", {"x": "vector(n)"}).compile()
    np.testing.assert_allclose(erf(x=lazy["w"]).compute(), erf(x=data["w"]), rtol=1e-12)


class Foreign:
    """An array of a library that does not say how it is used."""

    dtype = "float64"
    shape = (2,)
    ndim = 1
    device = "cpu"

    def __array_namespace__(self) -> ModuleType:
        return importlib.import_module("math")


def test_a_library_that_lacks_an_operation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Callable[[str], Any] = importlib.import_module

    def without_compat(name: str) -> Any:
        if name == "array_api_compat":
            raise ImportError(name)
        return module(name)

    monkeypatch.setattr("matcalc.export.elsewhere.import_module", without_compat)
    with pytest.raises(Unsupported, match="has no"):
        mc.grad("sum(abs(x))", "x")(x=Foreign())


def test_generated_text_imports_nothing_else() -> None:
    importer = _importer({"numpy"})
    assert importer("numpy.linalg").__name__ == "numpy"
    with pytest.raises(ImportError, match="does not import os"):
        importer("os")
