"""Calls of compiled functions: what they take beside the arithmetic, and that no call depends on the ones before it."""

from __future__ import annotations

import inspect
import pickle
import sys
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import numpy as np
import pytest

import matcalc as mc

GENERATOR = np.random.default_rng(5)
A, X = GENERATOR.normal(size=(3, 3)), GENERATOR.normal(size=(4, 3))
x, y, z, w = (GENERATOR.normal(size=length) for length in (3, 4, 3, 3))
DESIGN = {"X": "matrix(N, d)"}
RIDGE = "||X w - y||^2 + lam ||w||^2"
LOGISTIC = "sum(log(1 + exp(-y .* (X w))))"


def python_calls(function: Callable[[], Any]) -> list[str]:
    """The names of the Python functions that run."""
    found: list[str] = []

    def note(frame: Any, event: str, _argument: Any) -> None:
        if event == "call":
            found.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return found


# --- what a call takes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "given", "kernels"),
    [
        (mc.grad("x^T x", "x"), {"x": x}, []),
        (mc.value_and_grad("x^T A x", "x"), {"A": A, "x": x}, []),
        (mc.value_and_grad("x^T A x", ("x", "A")), {"A": A, "x": x}, []),
        (mc.value_and_grad(RIDGE, "w", DESIGN), {"X": X, "y": y, "w": w, "lam": 0.5}, []),
        (mc.value_and_grad(RIDGE, "w", DESIGN), {"X": X, "y": y, "w": w, "lam": 2}, []),
        (mc.value_and_grad(RIDGE, "w", DESIGN), {"X": X, "y": y, "w": w, "lam": np.float64(2)}, []),
        (mc.value_and_grad(RIDGE, "w", DESIGN), {"X": X, "y": y, "w": w, "lam": np.array(2.0)}, []),
        (mc.value_and_grad(LOGISTIC, "w", DESIGN), {"X": X, "y": y, "w": w}, []),
        (mc.hessian(LOGISTIC, "w", DESIGN), {"X": X, "y": y, "w": w}, []),
        (mc.hessian("x^T A z", ("x", "z")), {"A": A, "x": x, "z": z}, []),
        (mc.hvp(LOGISTIC, "w", DESIGN), {"X": X, "y": y, "w": w, "v": z}, []),
        (mc.grad("a^T x + b^T x + c^T x + d^T x + f^T x", "x"), dict.fromkeys("abcdfx", x), []),
        (mc.grad("λ x^T x", "x"), {"λ": 0.5, "x": x}, []),
        (mc.grad("x^T x", "x"), {"x": x.astype(np.float32)}, []),
    ],
)
def test_a_call_like_the_last_one_runs_two_functions_and_the_kernels(
    function: mc.Function, given: Mapping[str, Any], kernels: list[str]
) -> None:
    first = function(**given)
    assert python_calls(lambda: function(**given)) == ["<lambda>", "call", "f", *kernels]
    assert repr(function(**given)) == repr(first)


def test_a_direction_that_is_passed_first_takes_the_quick_way_too() -> None:
    function = mc.hvp(LOGISTIC, "w", DESIGN)
    by_name = function(v=z, X=X, y=y, w=w)
    for _ in range(2):
        np.testing.assert_array_equal(function(z, X=X, y=y, w=w), by_name)
    assert python_calls(lambda: function(z, X=X, y=y, w=w)) == ["<lambda>", "call", "f"]
    several = mc.hvp("x^T A z", ("x", "z"))
    expected = several((x, z), A=A, x=x, z=z)
    for _ in range(2):
        np.testing.assert_array_equal(several(x, z, A=A, x=x, z=z), expected)
    assert python_calls(lambda: several(x, z, A=A, x=x, z=z)) == ["<lambda>", "call", "f"]
    np.testing.assert_array_equal(several(v=(x, z), A=A, x=x, z=z), expected)


def test_properties_are_looked_at_in_each_call() -> None:
    function = mc.grad("x^T S x", "x", {"S": "matrix(n, n) symmetric"})
    symmetric = A + A.T
    for _ in range(2):
        np.testing.assert_allclose(function(S=symmetric, x=x), 2 * symmetric @ x)
        with pytest.raises(mc.DomainError, match="S was declared symmetric but is not symmetric"):
            function(S=A, x=x)


# --- no call depends on the ones before ----------------------------------------------------------


class Subclass(np.ndarray):
    """An array of a class of its own."""


SPD = A @ A.T + np.eye(3)
VARIANTS: Mapping[str, list[Any]] = {
    "A": [
        SPD, SPD.astype(np.float32), SPD.tolist(), np.asfortranarray(SPD), SPD[::-1, ::-1], SPD.astype(">f8"),
        np.rint(9 * SPD).astype(int), SPD.astype(np.longdouble), SPD.view(Subclass), np.ma.masked_array(SPD), SPD + 0j,
        np.eye(2), np.eye(4), np.zeros((3, 3)), np.full((3, 3), np.nan), np.zeros((0, 0)), SPD * 1e200, SPD[0], None,
        "A",
    ],
    "x": [
        x, x.astype(np.float32), x.tolist(), np.repeat(x, 2)[::2], np.ones(2), np.ones(4), x[:, None], np.zeros(3),
        np.full(3, np.inf), np.full(3, 1e300), 3.0, np.zeros(0), x.astype(np.float16), np.array([True, False, True]),
    ],
    "c": [
        0.5, 2, np.float64(0.5), np.float32(0.5), np.array(0.5), np.array([0.5]), True, 10**400, np.inf, np.nan, -1,
        np.int64(3), "c", [0.5], 1j, 0.0,
    ],
}  # fmt: skip


def outcome(function: Callable[..., Any], given: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a call answers, down to types and words."""
    try:
        results = function(**given)
    except mc.MatcalcError as error:
        return type(error), str(error), error.hint
    parts = [results]
    while any(isinstance(part, tuple) for part in parts):
        parts = [inner for part in parts for inner in (part if isinstance(part, tuple) else (part,))]
    return tuple((type(part), np.asarray(part).dtype, np.shape(part), repr(part.tolist())) for part in parts)


MAKERS: list[Callable[[], mc.Function]] = [
    lambda: mc.value_and_grad("x^T A x / 2 + c sum(x)", "x"),
    lambda: mc.grad("x^T A^-1 x + log(c) sum(exp(x))", "x"),
    lambda: mc.value_and_grad("c logdet(A) + norm(x) + x^T A x", ("A", "x"), {"A": "matrix(n, n) symmetric"}),
    lambda: mc.jacobian("softmax(A x) * sigmoid(c)", "x"),
]


@pytest.mark.parametrize("number", range(len(MAKERS)))
@pytest.mark.parametrize("seed", range(4))
def test_a_call_answers_as_if_it_were_the_first(number: int, seed: int) -> None:
    random = Random(seed)
    used = MAKERS[number]()
    plain = {name: variants[0] for name, variants in VARIANTS.items()}
    calls = 0
    for _ in range(60):
        given = dict(plain)
        for name in random.sample(list(VARIANTS), random.choice((0, 0, 1, 1, 2))):
            given[name] = random.choice(VARIANTS[name])
        if random.random() < 0.1:
            del given[random.choice(list(given))]
        if random.random() < 0.1:
            given["extra"] = 1.0
        fresh = pickle.loads(pickle.dumps(used))
        before = {name: repr(value) for name, value in given.items()}
        # twice, so that the quick way is taken the second time
        assert outcome(used, given) == outcome(used, given) == outcome(fresh, given), given
        assert {name: repr(value) for name, value in given.items()} == before
        calls += 1
    assert calls == 60


def test_results_of_the_quick_way_share_no_memory() -> None:
    function = mc.value_and_grad("b^T x + sum(A)", ("x", "A"))
    given = {"A": A, "b": z, "x": x}
    found = [part for _ in range(3) for part in function(**given)[1]]
    for place, part in enumerate(found):
        assert part.flags.owndata or part.base is not None
        assert not any(np.shares_memory(part, other) for other in [*found[:place], *given.values()])


def test_results_may_be_kept_and_changed() -> None:
    function = mc.grad("b^T x", "x")
    first = function(b=z, x=x)
    first[:] = 0
    np.testing.assert_array_equal(function(b=z, x=x), z)


# --- warnings and failures -----------------------------------------------------------------------


def test_no_warning_leaks_from_the_quick_way_and_the_state_is_kept() -> None:
    function = mc.value_and_grad("sum(exp(x)) + sum(log(x)) + x^T A x", "x")
    given = {"A": A * 1e200, "x": np.array([1e300, -1.0, 0.0])}
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        state = np.geterr()
        for _ in range(3):
            value, _ = function(**given)
            assert not np.isfinite(value)
            assert np.geterr() == state
        assert python_calls(lambda: function(**given)) == ["<lambda>", "call", "f"]


def test_failures_are_told_as_in_the_first_call() -> None:
    function = mc.grad("x^T A^-1 x", "x")
    for _ in range(2):
        assert np.isfinite(function(A=SPD, x=x)).all()
        with pytest.raises(mc.DomainError, match="singular") as caught:
            function(A=np.zeros((3, 3)), x=x)
        assert isinstance(caught.value.__cause__, np.linalg.LinAlgError)
        assert np.isnan(function(A=np.full((3, 3), np.nan), x=x)).all()


def test_a_call_inside_a_call() -> None:
    """As from a signal handler: the context in which warnings are off is entered already."""
    function = mc.grad("x^T x", "x")
    function(x=x)
    quiet = function.compiled.surroundings.quiet
    np.testing.assert_array_equal(quiet.run(lambda: function(x=x)), 2 * x)


def test_threads_that_alternate_between_shapes_and_types() -> None:
    function = mc.value_and_grad("x^T A x", "x")
    cases: list[tuple[Any, Any]] = []
    for size in (2, 3, 5, 8):
        for dtype in (np.float32, np.float64):
            matrix = np.arange(size * size, dtype=dtype).reshape(size, size)
            cases.append((matrix, matrix[0].copy()))

    def work(seed: int) -> int:
        random = Random(seed)
        for _ in range(300):
            matrix, vector = random.choice(cases)
            value, gradient = function(A=matrix, x=vector)
            assert gradient.dtype == value.dtype == matrix.dtype
            np.testing.assert_allclose(gradient, (matrix + matrix.T) @ vector, rtol=1e-5)
        return seed

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(8))) == list(range(8))


# --- what a function looks like ------------------------------------------------------------------


def test_the_signature_names_the_arguments() -> None:
    function = mc.grad("x^T A x + lambda sum(x)", "x")
    assert sorted(inspect.signature(function).parameters) == ["A", "x", "λ"]
    assert str(inspect.signature(mc.hvp("x^T A x", "x"))).startswith("(*directions, ")
    assert "direction first" in (inspect.getdoc(mc.Function.__call__) or "")


def test_copies_are_called_alike() -> None:
    function = mc.value_and_grad("x^T A x", "x")
    value, gradient = function(A=A, x=x)
    copied = pickle.loads(pickle.dumps(function))
    assert copied.__call__ is not function.__call__
    for _ in range(2):
        assert copied(A=A, x=x)[0] == value
        np.testing.assert_array_equal(copied(A=A, x=x)[1], gradient)
    assert callable(function)


# --- spellings -----------------------------------------------------------------------------------

SPECIAL = [
    x, np.zeros(3), x * 1e-300, x * 1e300, np.array([np.inf, 1.0, -np.inf]), np.array([np.nan, 1.0, 2.0]),
    np.full(3, -np.inf), np.full(3, np.inf), np.array([800.0, -800.0, 0.0]), np.array([-0.0, 5e-324, 1.0]), np.ones(1),
]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "norm(x)", "x / norm(x)", "norm(x x^T)", "logsumexp(x)", "softmax(x)", "log(1 + exp(x))", "sigmoid(x)",
        "x .* sigmoid(x)", "sigmoid(x) / 2", "1 ./ x", "max(x)", "min(x)", "relu(x)", "sum(x)", "x^T x", "tr(x x^T)",
        "diag(x x^T)", "vec(x x^T)", "(x x^T) x", "x^T (x x^T)", "(x x^T)^T x", "sum(x x^T, axis=1)", "var(x)",
        "std(x)", "prod(x)", "log(sigmoid(x))", "abs(x)",
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_text_that_runs_computes_what_is_shown(text: str, dtype: type[np.floating[Any]]) -> None:
    function = mc.parse(text, {"x": "vector(n)"}).compile()
    namespace: dict[str, Any] = {}
    exec(function.source, namespace)
    for vector in SPECIAL:
        with np.errstate(all="ignore"):
            given = vector.astype(dtype)
            shown = np.asarray(namespace["f"](given))
        for _ in range(2):
            found = function(x=given)
            assert found.dtype == dtype
            np.testing.assert_allclose(
                found, shown, rtol=float(20 * np.finfo(dtype).eps), err_msg=f"{text} at {vector}"
            )
