"""Numbers at the edges: large logits against 700 digits, empty arrays, NaN, and every kind of array that is passed."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.sparse

import matcalc as mc
from matcalc.errors import DomainError, MatcalcError, ShapeError
from matcalc.ops.registry import FAMILIES

MAPS = [record for family in FAMILIES.values() for record in family if record.kind == "map"]

# --- logits of ±1000 -----------------------------------------------------------------------------

DIGITS = 700
"""``1 - sigmoid(1000)`` is ``10^-434``, and what is left of it after two differences shall still be right."""
STEP = mpmath.mpf(10) ** -40

exp = np.frompyfunc(mpmath.exp, 1, 1)
log = np.frompyfunc(mpmath.log, 1, 1)
tanh = np.frompyfunc(mpmath.tanh, 1, 1)
cosh = np.frompyfunc(mpmath.cosh, 1, 1)


def sigmoid(z: Any) -> Any:
    return 1 / (1 + exp(-z))


def softmax(z: Any) -> Any:
    weights = exp(z)
    return weights / weights.sum(axis=-1, keepdims=True)


def lse(z: Any) -> Any:
    return log(exp(z).sum())


Y = np.array([0, 1, 1, 0])
X = np.array([[1000, -1000], [-1000, 1000], [0, 1], [600, 600], [-800, 1]])
T = np.array([0, 1, 1, 0, 0])
CLASSES = np.eye(3, dtype=int)[[1, 2, 0, 0, 1]]
DATA = {"y": Y, "X": X, "t": T, "Y": CLASSES}
TYPES = {
    "z": "vector(n)",
    "y": "vector(n)",
    "X": "matrix(N, d)",
    "t": "vector(N)",
    "Y": "matrix(N, k)",
    "w": "vector(d)",
    "W": "matrix(d, k)",
}
POINTS = {
    "z": [np.array([1000, -1000, 0, 3]), np.array([-745, 710, 0.5, -36.75])],
    "w": [np.array([1, 0.5]), np.array([-0.25, 0.5])],
    "W": [np.array([[1, -1, 0], [0.5, 2, 0]]), np.array([[0.0, 0, 0], [1, 0, 0]])],
}


def logistic(p: Any, y: Any) -> Any:
    return -(y * log(p) + (1 - y) * log(1 - p)).sum()


Loss = Callable[[Any], Any]

LOSSES: list[tuple[str, str, Loss]] = [
    ("sum(softplus(z))", "z", lambda z: log(1 + exp(z)).sum()),
    ("sum(log(1 + exp(z)))", "z", lambda z: log(1 + exp(z)).sum()),
    ("sum(log(1 + exp(-z)))", "z", lambda z: log(1 + exp(-z)).sum()),
    ("sum(log(exp(z) + 1))", "z", lambda z: log(1 + exp(z)).sum()),
    ("sum(log1p(exp(z)))", "z", lambda z: log(1 + exp(z)).sum()),
    ("sum(log(2 + 3 exp(z)))", "z", lambda z: log(2 + 3 * exp(z)).sum()),
    ("sum(log(1 + exp(-abs(z))) + max(z, 0))", "z", lambda z: log(1 + exp(z)).sum()),
    ("sum(sigmoid(z))", "z", lambda z: sigmoid(z).sum()),
    ("sum(1 ./ (1 + exp(-z)))", "z", lambda z: sigmoid(z).sum()),
    ("sum(exp(z) ./ (1 + exp(z)))", "z", lambda z: sigmoid(z).sum()),
    ("sum(1 - sigmoid(z))", "z", lambda z: sigmoid(-z).sum()),
    ("sum(sigmoid(z) .* (1 - sigmoid(z)))", "z", lambda z: (sigmoid(z) * sigmoid(-z)).sum()),
    ("sum(log(sigmoid(z)))", "z", lambda z: log(sigmoid(z)).sum()),
    ("sum(log(1 - sigmoid(z)))", "z", lambda z: log(sigmoid(-z)).sum()),
    ("sum(log(1 ./ (1 + exp(-z))))", "z", lambda z: log(sigmoid(z)).sum()),
    ("sum(log(sigmoid(z) .* sigmoid(2 z)))", "z", lambda z: log(sigmoid(z) * sigmoid(2 * z)).sum()),
    ("log(prod(1 + exp(z)))", "z", lambda z: log(1 + exp(z)).sum()),
    ("-sum(sigmoid(z) .* log(sigmoid(z)))", "z", lambda z: -(sigmoid(z) * log(sigmoid(z))).sum()),
    ("sum(log(1 + exp(z)) ./ (1 + exp(z)))", "z", lambda z: (log(1 + exp(z)) / (1 + exp(z))).sum()),
    ("-sum(y .* log(sigmoid(z)) + (1 - y) .* log(1 - sigmoid(z)))", "z", lambda z: logistic(sigmoid(z), Y)),
    (
        "-sum(y .* log(1 ./ (1 + exp(-z))) + (1 - y) .* log(1 - 1 ./ (1 + exp(-z))))",
        "z",
        lambda z: logistic(sigmoid(z), Y),
    ),
    ("-sum(y .* log(exp(z) ./ (1 + exp(z))))", "z", lambda z: -(Y * log(sigmoid(z))).sum()),
    ("sum(y .* softplus(-z) + (1 - y) .* softplus(z))", "z", lambda z: logistic(sigmoid(z), Y)),
    ("sum(max(z, 0) - z .* y + log(1 + exp(-abs(z))))", "z", lambda z: logistic(sigmoid(z), Y)),
    ("-sum(t .* log(sigmoid(X w)) + (1 - t) .* log(1 - sigmoid(X w)))", "w", lambda w: logistic(sigmoid(X @ w), T)),
    ("-t^T log(sigmoid(X w)) - (1 - t)^T log(1 - sigmoid(X w))", "w", lambda w: logistic(sigmoid(X @ w), T)),
    (
        "-sum_{i=1}^{N} (t_i log(sigmoid(w^T X_i)) + (1 - t_i) log(1 - sigmoid(w^T X_i)))",
        "w",
        lambda w: logistic(sigmoid(X @ w), T),
    ),
    ("sum(log(1 + exp(-t .* (X w))))", "w", lambda w: log(1 + exp(-T * (X @ w))).sum()),
    ("log(sum(exp(z)))", "z", lse),
    ("logsumexp(z)", "z", lse),
    ("log(mean(exp(z)))", "z", lambda z: lse(z) - mpmath.log(4)),
    ("log(sum(exp(z - max(z)))) + max(z)", "z", lse),
    ("log(exp(z[1]) + exp(z[2]))", "z", lambda z: lse(z[:2])),
    ("log(1 + exp(z[1]) + exp(z[2]) + 2 exp(z[3]))", "z", lambda z: log(1 + exp(z[0]) + exp(z[1]) + 2 * exp(z[2]))),
    ("sum(log(exp(z) + exp(y)))", "z", lambda z: log(exp(z) + exp(Y * mpmath.mpf(1))).sum()),
    ("exp(z[1]) / (exp(z[1]) + exp(z[2]))", "z", lambda z: sigmoid(z[0] - z[1])),
    ("sum(softmax(z).^2)", "z", lambda z: (softmax(z) ** 2).sum()),
    ("softmax(z)^T y", "z", lambda z: softmax(z) @ Y),
    ("exp(z)^T y / sum(exp(z))", "z", lambda z: softmax(z) @ Y),
    ("sum(log_softmax(z))", "z", lambda z: log(softmax(z)).sum()),
    ("sum(softmax(z) .* log(softmax(z)))", "z", lambda z: (softmax(z) * log(softmax(z))).sum()),
    ("-y^T log(softmax(z))", "z", lambda z: -(Y * log(softmax(z))).sum()),
    ("-y^T log(exp(z) / sum(exp(z)))", "z", lambda z: -(Y * log(softmax(z))).sum()),
    ("-log(softmax(z)[2])", "z", lambda z: lse(z) - z[1]),
    ("-log(exp(z[2]) / sum(exp(z)))", "z", lambda z: lse(z) - z[1]),
    ("-z[2] + log(sum_j exp(z_j))", "z", lambda z: lse(z) - z[1]),
    ("-sum(Y .* log(softmax(X W)))/N", "W", lambda W: -(CLASSES * log(softmax(X @ W))).sum() / 5),
    ("sum(logsumexp(X W, axis=1)) - tr(Y^T X W)", "W", lambda W: -(CLASSES * log(softmax(X @ W))).sum()),
    (
        "-sum_{i=1}^{N} sum_{j=1}^{k} Y_{ij} log(exp((X W)_{ij}) / sum_{l=1}^{k} exp((X W)_{il}))",
        "W",
        lambda W: -(CLASSES * log(softmax(X @ W))).sum(),
    ),
    ("sum((exp(z) - exp(-z)) ./ (exp(z) + exp(-z)))", "z", lambda z: tanh(z).sum()),
    ("sum(log(cosh(z)))", "z", lambda z: log(cosh(z)).sum()),
    ("sum(log(2 cosh(z)))", "z", lambda z: log(2 * cosh(z)).sum()),
    ("sum(log(exp(z) + exp(-z)))", "z", lambda z: log(2 * cosh(z)).sum()),
    ("sum(log(1 - tanh(z).^2))", "z", lambda z: -2 * log(cosh(z)).sum()),
    ("sum(1 ./ cosh(z))", "z", lambda z: (1 / cosh(z)).sum()),
    ("sum(z .* sigmoid(z))", "z", lambda z: (z * sigmoid(z)).sum()),
    ("sum(z .* tanh(softplus(z)))", "z", lambda z: (z * tanh(log(1 + exp(z)))).sum()),
    ("sum(log(exp(z)))", "z", lambda z: z.sum()),
    ("sum(sqrt(exp(-z.^2)))", "z", lambda z: exp(-(z**2) / 2).sum()),
]


def by_differences(loss: Loss, at: Any) -> tuple[Any, Any, Any]:
    """Value, gradient and Hessian in floating point, from differences with many digits."""
    shape = at.shape
    with mpmath.workdps(DIGITS):

        def f(flat: Any) -> Any:
            return loss(np.array(flat, dtype=object).reshape(shape))

        flat = [mpmath.mpf(float(entry)) for entry in at.ravel()]
        count = len(flat)

        def moved(*places: tuple[int, int]) -> Any:
            point = list(flat)
            for place, sign in places:
                point[place] += sign * STEP
            return f(point)

        gradient = [float((moved((i, 1)) - moved((i, -1))) / (2 * STEP)) for i in range(count)]
        hessian = np.empty((count, count))
        for i in range(count):
            for j in range(i + 1):
                corners = sum(a * b * moved((i, a), (j, b)) for a in (1, -1) for b in (1, -1))
                hessian[i, j] = hessian[j, i] = float(corners / (4 * STEP * STEP))
        return float(f(flat)), np.reshape(gradient, shape), hessian.reshape(*shape, *shape)


def kinks(text: str, at: Any) -> bool:
    return any(name in text for name in ("abs", "max")) and bool(np.any(at == 0))


@pytest.mark.parametrize(("text", "wrt", "loss"), LOSSES, ids=[row[0] for row in LOSSES])
def test_large_logits(text: str, wrt: str, loss: Loss) -> None:
    """As programs are written: values, first and second derivatives."""
    types = {name: TYPES[name] for name in mc.parse(text).vars if name in TYPES}
    both, second = mc.value_and_grad(text, wrt, vars=types), mc.hessian(text, wrt, vars=types)
    for at in POINTS[wrt]:
        if kinks(text, at):
            continue  # differences see a kink there
        given = {**DATA, wrt: at}
        value, gradient = both(**{name: given[name] for name in both.args})
        hessian = second(**{name: given[name] for name in second.args})
        expected = by_differences(loss, np.asarray(at, dtype=float))
        for found, right in zip((value, gradient, hessian), expected, strict=True):
            bound = 4e-13 * max(1.0, float(np.max(np.abs(right))))
            np.testing.assert_allclose(found, right, rtol=1e-12, atol=bound)


@pytest.mark.parametrize(("text", "wrt", "loss"), LOSSES, ids=[row[0] for row in LOSSES])
def test_large_logits_in_single_precision(text: str, wrt: str, loss: Loss) -> None:
    types = {name: TYPES[name] for name in mc.parse(text).vars if name in TYPES}
    both = mc.value_and_grad(text, wrt, vars=types)
    at = POINTS[wrt][0].astype(np.float32)
    given = {name: np.asarray(array, dtype=np.float32) for name, array in {**DATA, wrt: at}.items()}
    value, gradient = both(**{name: given[name] for name in both.args})
    assert value.dtype == gradient.dtype == np.float32
    with mpmath.workdps(DIGITS):
        right = float(loss(np.array([mpmath.mpf(float(entry)) for entry in at.ravel()]).reshape(at.shape)))
    np.testing.assert_allclose(value, right, rtol=2e-6)
    assert np.isfinite(gradient).all()


# --- empty arrays --------------------------------------------------------------------------------

EMPTY = [
    ("sum(x)", 0.0, ()),
    ("prod(x)", 1.0, ()),
    ("x^T x", 0.0, ()),
    ("norm(x)", 0.0, ()),
    ("norm1(x)", 0.0, ()),
    ("sum(exp(x))", 0.0, ()),
    ("sum(softplus(x))", 0.0, ()),
    ("sum(A x)", 0.0, ()),
    ("tr(S)", 0.0, ()),
    ("det(S)", 1.0, ()),
    ("||A||_F^2", 0.0, ()),
    ("x", None, (0,)),
    ("A^T", None, (0, 3)),
    ("x x^T", None, (0, 0)),
    ("A x", None, (3,)),
    ("S^-1", None, (0, 0)),
]
EMPTY_TYPES = {"x": "vector(n)", "A": "matrix(m, n)", "S": "matrix(n, n)"}
EMPTY_DATA = {"x": np.zeros(0), "A": np.zeros((3, 0)), "S": np.zeros((0, 0))}


@pytest.mark.parametrize(("text", "value", "shape"), EMPTY, ids=[row[0] for row in EMPTY])
def test_empty_arrays(text: str, value: float | None, shape: tuple[int, ...]) -> None:
    """An empty sum is 0, an empty product 1; the derivative has the shape of the variable."""
    names = [name for name in EMPTY_TYPES if name in mc.parse(text).vars]
    types = {name: EMPTY_TYPES[name] for name in names}
    found = mc.parse(text, vars=types).compile()(**{name: EMPTY_DATA[name] for name in names})
    assert np.shape(found) == shape
    np.testing.assert_array_equal(found, np.zeros(shape) if value is None else value)
    for name in names:
        slope = mc.jacobian(text, name, vars=types)
        given = {key: EMPTY_DATA.get(key, {"m": 3, "n": 0}.get(key)) for key in slope.args}
        assert np.shape(slope(**given)) == (*shape, *EMPTY_DATA[name].shape)


@pytest.mark.parametrize("text", ["prod(x)", "prod(x)^2", "sum(x.^2)", "norm(x)^2", "log(1 + x^T x)"])
def test_second_derivatives_of_empty_arrays(text: str) -> None:
    function = mc.hessian(text, "x", vars={"x": "vector(n)"})
    assert function(**{name: np.zeros(0) if name == "x" else 0 for name in function.args}).shape == (0, 0)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_products_along_empty_axes(axis: int, shape: tuple[int, int]) -> None:
    text = f"sum(prod(B, axis={axis}))"
    value, slope = mc.value_and_grad(text, "B", vars={"B": "matrix(m, n)"})(B=np.zeros(shape))
    assert value == shape[1 - axis] * (shape[axis] == 0)
    assert slope.shape == shape
    assert mc.hessian(text, "B", vars={"B": "matrix(m, n)"})(B=np.zeros(shape)).shape == (*shape, *shape)


@pytest.mark.parametrize("name", ["mean", "var", "std", "max", "min", "argmax"])
def test_what_an_empty_array_does_not_have(name: str) -> None:
    """A named error, the same for the value and the derivative, and no warning of NumPy."""
    types = {"x": "vector(n)"}
    with pytest.raises(DomainError, match="n"):
        mc.parse(f"{name}(x)", vars=types).compile()(x=np.zeros(0))
    if name != "argmax":
        function = mc.grad(f"{name}(x)", "x", vars=types)
        with pytest.raises(DomainError, match="n"):
            function(**{key: np.zeros(0) if key == "x" else 0 for key in function.args})


# --- not a number, infinities --------------------------------------------------------------------

PIECEWISE = frozenset({"step", "lt", "le", "gt", "ge", "eq", "ne", "heaviside"})
"""Truth values: a comparison with NaN is false, as everywhere in floating point."""


@pytest.mark.parametrize("record", [r for r in MAPS if r.name not in PIECEWISE], ids=lambda record: record.name)
def test_functions_of_nan_are_nan(record: Any) -> None:
    """One operand at a time; the mask of ``where`` and what it does not choose are no operands."""
    if record.name in ("where", "polygamma"):
        return
    names = ("x", "y")[: record.arity]
    text = f"{record.name}({', '.join(names)})"
    function = mc.parse(text, vars=dict.fromkeys(names, "vector(n)")).compile()
    for bad in names:
        if record.name in ("leaky_relu", "elu") and bad == "y":
            continue  # the slope below 0 matters below 0
        given = {name: np.array([0.75, np.nan if name == bad else 0.5]) for name in names}
        found = function(**given)
        assert np.isnan(found[1]), (text, bad)
        assert not np.isnan(found[0]) or record.name == "acosh"


CALLS = [
    "sum", "mean", "prod", "var", "std", "logsumexp", "norm", "norm1", "norm2", "norminf", "max", "min", "softmax",
    "log_softmax", "normalize", "cumsum",
]  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_reductions_of_nan_are_nan(name: str) -> None:
    function = mc.parse(f"sum({name}(x))", vars={"x": "vector(n)"}).compile()
    assert np.isnan(function(x=np.array([1, np.nan, 2.0])))


@pytest.mark.parametrize(
    "text",
    [
        "det(A)", "logdet(A)", "tr(A^-1)", "sum(inv(A) x)", "sum(A \\ x)", "tr(pinv(A))", "sum(adj(A))", "sum(expm(A))",
        "sum(logm(A))", "sum(sqrtm(A))", "eigmax(S)", "sum(sqrt(eigvals(S)))", "sum(svdvals(A))", "nuclear(A)",
        "spectral(A)",
        "sum(chol(P))", "sum(A^3)", "sum(A^-2)", "x^T A x", "sum(A x)",
    ],
)  # fmt: skip
def test_functions_of_matrices_with_nan_are_nan(text: str) -> None:
    """The value and the gradient, and never a crash of a factorization."""
    types = {"A": "matrix(n, n)", "S": "matrix(n, n) symmetric", "P": "matrix(n, n) spd", "x": "vector(n)"}
    name = next(name for name in "ASP" if name in mc.parse(text).vars)
    types = {key: types[key] for key in mc.parse(text).vars}
    matrix = 3 * np.eye(3)
    matrix[0, 1] = matrix[1, 0] = np.nan
    given = {key: matrix if key == name else np.ones(3) for key in types}
    value, slope = mc.value_and_grad(text, name, vars=types)(**given)
    assert np.isnan(value)
    if text not in ("sum(A x)", "x^T A x"):  # of which the matrix is no part
        assert np.isnan(slope).any()


def test_infinities_are_where_they_belong() -> None:
    at = np.array([np.inf, -np.inf, 0.0])
    expected = {
        "exp": [np.inf, 0, 1], "tanh": [1, -1, 0], "sigmoid": [1, 0, 0.5], "softplus": [np.inf, 0, np.log(2)],
        "relu": [np.inf, 0, 0], "abs": [np.inf, np.inf, 0], "atan": [np.pi / 2, -np.pi / 2, 0],
    }  # fmt: skip
    for name, values in expected.items():
        found = mc.parse(f"{name}(x)", vars={"x": "vector(n)"}).compile()(x=at)
        np.testing.assert_allclose(found, values, rtol=1e-15)
    slopes = {"tanh": [0, 0, 1], "sigmoid": [0, 0, 0.25], "softplus": [1, 0, 0.5], "relu": [1, 0, 0], "atan": [0, 0, 1]}
    for name, values in slopes.items():
        found = mc.grad(f"sum({name}(x))", "x", vars={"x": "vector(n)"})(x=at)
        np.testing.assert_allclose(found, values, rtol=1e-15)


# --- selections, kinks, zeros --------------------------------------------------------------------

NESTED = [
    ("sum(where(x > 0, where(x < 4, log(x), sqrt(x)), -x))", [-2, 0, 1, 9], [-1, -1, 1, 1 / 6], [0, 0, -1, -1 / 108]),
    ("sum(where(x > 0, log(x) .* where(x > 1, sqrt(x - 1), 0), 0))", [-1, 0, 0.5, 2], [0, 0, 0, 0.5 + 0.5 * np.log(2)],
     None),
    ("sum(where(x == 0, 1, sin(x) ./ x))", [0, np.pi], [0, -1 / np.pi], [0, 2 / np.pi**2]),
    ("sum(where(x > 0, x .* log(x), 0).^2)", [-1, 0, 1, np.e], [0, 0, 0, 4 * np.e], None),
    ("sum(where(x > 0, 1 ./ x, 1 ./ (1 - x)))", [-1, 1, 2], [0.25, -1, -0.25], [0.25, 2, 0.25]),
    ("sum(where(x >= 0, sqrt(x), 0))", [-1, 4], [0, 0.25], [0, -1 / 32]),
    ("log(sum(where(x > 0, exp(1 ./ x), 1)))", [-1, 0, 1], [0, 0, -np.e / (2 + np.e)], None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "at", "gradient", "diagonal"), NESTED, ids=[row[0] for row in NESTED])
def test_branches_that_are_not_taken(text: str, at: Any, gradient: Any, diagonal: Any) -> None:
    types = {"x": "vector(n)"}
    x = np.array(at, dtype=float)
    np.testing.assert_allclose(mc.grad(text, "x", vars=types)(x=x), gradient, rtol=1e-13, atol=1e-15)
    bent = mc.hessian(text, "x", vars=types)(x=x)
    assert np.isfinite(bent).all()
    if diagonal is not None:
        np.testing.assert_allclose(bent, np.diag(diagonal), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
@pytest.mark.parametrize(
    "text", ["prod(x)", "prod_i x_i", "prod(x)^2", "sum(prod([x, x], axis=0))", "log(1 + prod(x.^2))"]
)
def test_products_with_zeros(text: str, zeros: int) -> None:
    """Value, gradient and Hessian against differences with many digits."""
    at = np.array([2.0, 3.0, 5.0, -1.5])
    at[:zeros] = 0
    losses: dict[str, Loss] = {
        "prod(x)": np.prod,
        "prod_i x_i": np.prod,
        "prod(x)^2": lambda x: np.prod(x) ** 2,
        "sum(prod([x, x], axis=0))": lambda x: 2 * np.prod(x),
        "log(1 + prod(x.^2))": lambda x: mpmath.log(1 + np.prod(x) ** 2),
    }
    value, slope = mc.value_and_grad(text, "x", vars={"x": "vector(n)"})(x=at)
    bent = mc.hessian(text, "x", vars={"x": "vector(n)"})(x=at)
    for found, right in zip((value, slope, bent), by_differences(losses[text], at), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("axis", [0, 1])
def test_products_along_an_axis_with_zeros(axis: int) -> None:
    at = np.array([[1.0, 0, 2], [0, 0, 3], [4, 5, 6]])
    text, types = f"sum(prod(B, axis={axis}).^2 + prod(B, axis={axis}))", {"B": "matrix(m, n)"}
    value, slope = mc.value_and_grad(text, "B", vars=types)(B=at)
    bent = mc.hessian(text, "B", vars=types)(B=at)
    expected = by_differences(lambda B: (B.prod(axis=axis) ** 2 + B.prod(axis=axis)).sum(), at)
    for found, right in zip((value, slope, bent), expected, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-13, atol=1e-13)


SPECTRA = [
    ("sum(eigvals(S))", lambda w: w.sum()),
    ("sum(eigvals(S).^2)", lambda w: (w**2).sum()),
    ("sum(eigvals(S).^3)", lambda w: (w**3).sum()),
    ("sum(log(eigvals(S)))", lambda w: np.log(w).sum()),
    ("prod(eigvals(S))", np.prod),
    ("tr(expm(S))", lambda w: np.exp(w).sum()),
    ("tr(sqrtm(S))", lambda w: np.sqrt(w).sum()),
    ("nuclear(S)", lambda w: np.abs(w).sum()),
    ("logdet(S)", lambda w: np.log(w).sum()),
    ("sum(exp(eigvals(S)))", lambda w: np.exp(w).sum()),
    ("sum(svdvals(S))", lambda w: np.abs(w).sum()),
]


@pytest.mark.parametrize(("text", "of_spectrum"), SPECTRA, ids=[row[0] for row in SPECTRA])
@pytest.mark.parametrize("spectrum", [(2.0, 2.0, 2.0), (1.0, 2.0, 2.0)])
def test_symmetric_functions_of_repeated_eigenvalues(
    text: str, of_spectrum: Callable[[Any], Any], spectrum: tuple[float, ...]
) -> None:
    """They are smooth; along every direction against differences of their values."""
    Q = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    S = Q @ np.diag(spectrum) @ Q.T
    S = (S + S.T) / 2
    types = {"S": "matrix(n, n) symmetric"}

    def value(matrix: Any) -> Any:
        return of_spectrum(np.linalg.eigvalsh(matrix))

    found, slope = mc.value_and_grad(text, "S", vars=types)(S=S)
    np.testing.assert_allclose(found, value(S), rtol=1e-13)
    function = mc.hessian(text, "S", vars=types)
    bent = function(**{name: S if name == "S" else 3 for name in function.args})
    generator = np.random.default_rng(3)
    for _ in range(4):
        D = generator.normal(size=(3, 3))
        D = D + D.T
        h = 1e-3
        first = (8 * (value(S + h * D) - value(S - h * D)) - value(S + 2 * h * D) + value(S - 2 * h * D)) / (12 * h)
        np.testing.assert_allclose(np.sum(slope * D), first, rtol=1e-8, atol=1e-8)
        middle = 16 * (value(S + h * D) + value(S - h * D)) - value(S + 2 * h * D) - value(S - 2 * h * D)
        second = (middle - 30 * value(S)) / (12 * h * h)
        np.testing.assert_allclose(np.einsum("ij,ijkl,kl", D, bent, D), second, rtol=1e-5, atol=1e-6)


# --- arrays as callers have them -----------------------------------------------------------------

MODEL = "a ||A x - y||^2 + sum(sigmoid(A)) + sum(exp(x))"
MODEL_TYPES = {"A": "matrix(m, n)", "x": "vector(n)", "y": "vector(m)", "a": "scalar"}
model = mc.value_and_grad(MODEL, ("A", "x", "a"), vars=MODEL_TYPES)
GENERATOR = np.random.default_rng(0)
A, x, y = GENERATOR.normal(size=(4, 3)), GENERATOR.normal(size=3), GENERATOR.normal(size=4)


def by_hand(a: float = 0.5, A: Any = A) -> tuple[Any, Any, Any, Any]:
    s, r = 1 / (1 + np.exp(-A)), A @ x - y
    value = a * r @ r + s.sum() + np.exp(x).sum()
    return value, 2 * a * np.outer(r, x) + s * (1 - s), 2 * a * A.T @ r + np.exp(x), r @ r


def agree(found: Any, expected: Any, rtol: float = 1e-12) -> None:
    value, slopes = found
    for one, other in zip((value, *slopes), expected, strict=True):
        np.testing.assert_allclose(np.asarray(one, dtype=float), other, rtol=rtol, atol=rtol)


class Subclass(np.ndarray):
    pass


def laid_out(name: str, folder: Path) -> Any:
    wide = np.zeros((8, 9))
    wide[::2, ::3] = A
    mapped = np.memmap(folder / "A.bin", dtype=float, mode="w+", shape=A.shape)
    mapped[:] = A
    fixed = A.copy()
    fixed.flags.writeable = False
    return {
        "fortran": np.asfortranarray(A),
        "strided": wide[::2, ::3],
        "negative strides": A[::-1, ::-1].copy()[::-1, ::-1],
        "read-only": fixed,
        "memory-mapped": mapped,
        "big-endian": A.astype(">f8"),
        "list": A.tolist(),
        "tuple": tuple(map(tuple, A)),
        "subclass": A.view(Subclass),
        "longdouble": A.astype(np.longdouble),
    }[name]


@pytest.mark.parametrize(
    "name",
    ["fortran", "strided", "negative strides", "read-only", "memory-mapped", "big-endian", "list", "tuple", "subclass",
     "longdouble"],
)  # fmt: skip
def test_arrays_of_any_layout(name: str, tmp_path: Path) -> None:
    given = laid_out(name, tmp_path)
    found = model(A=given, x=x, y=y, a=0.5)
    agree(found, by_hand())
    assert all(type(slope) is np.ndarray for slope in found[1][:2])
    np.testing.assert_array_equal(np.asarray(given, dtype=float), A)


@pytest.mark.parametrize("dtype", [int, np.uint8, np.int16, bool])
def test_whole_numbers_count_as_float64(dtype: Any) -> None:
    whole = (np.arange(12).reshape(4, 3) % 2).astype(dtype)
    found = model(A=whole, x=x, y=y, a=0.5)
    assert found[1][0].dtype == np.float64
    agree(found, by_hand(A=whole.astype(float)))


@pytest.mark.parametrize("a", [0.5, np.float64(0.5), np.float32(0.5), np.array(0.5), np.array(0.5, dtype=">f4")])
def test_numbers_of_any_kind(a: Any) -> None:
    agree(model(A=A, x=x, y=y, a=a), by_hand())


@pytest.mark.parametrize("a", [2, True, np.int64(2), np.True_, np.uint8(2)])
def test_whole_numbers_as_scalars(a: Any) -> None:
    agree(model(A=A, x=x, y=y, a=a), by_hand(a=float(a)))


@pytest.mark.parametrize(
    ("dtype", "working", "rtol"),
    [(np.float32, np.float32, 3e-6), (np.float16, np.float32, 2e-3), (np.longdouble, np.longdouble, 1e-12)],
)
def test_the_type_of_the_data_is_that_of_the_results(dtype: Any, working: Any, rtol: float) -> None:
    """float32 stays float32; float16 is computed in float32."""
    value, slopes = model(A=A.astype(dtype), x=x.astype(dtype), y=y.astype(dtype), a=0.5)
    assert {value.dtype, *(slope.dtype for slope in slopes)} == {np.dtype(working)}
    agree((value, slopes), by_hand(), rtol=10 * rtol)


SINGLE = [
    "sum(x.^2.5)", "sum(2/3 x)", "sum(gelu(x))", "sum(selu(x))", "sum(normpdf(x))", "sum(normcdf(x))", "sum(lgamma(x))",
    "sum(digamma(x))", "pi sum(x)", "e sum(x)", "sum(log2(x))", "sum(log10(x))", "sum(huber(x, 1/2))", "prod(x)",
    "logsumexp(x)", "norm(x)", "std(x)", "sum(softmax(x).^2)", "sum(where(x > 1/3, x, 1/7))", "mean(x)", "sum(erf(x))",
    "max(x)", "sum(leaky_relu(x))", "sum(round(x) .* x)", "sum(cbrt(x))", "x^T (x x^T + 1/3 I)^-1 x",
    "logdet(x x^T + 1/10 I)", "tr(expm(x x^T))", "tr(logm(x x^T + I))", "tr(sqrtm(x x^T + I))", "sum(x x^T)/n",
]  # fmt: skip


@pytest.mark.parametrize("text", SINGLE)
def test_no_constant_makes_single_precision_double(text: str) -> None:
    types = {"x": "vector(n)"}
    at = np.array([0.5, 1.25, 2.0])
    second = mc.hessian(text, "x", vars=types)
    for function in (mc.parse(text, vars=types).compile(), mc.grad(text, "x", vars=types), second):
        names = {name: 3 for name in function.args if name != "x"}
        single = function(x=at.astype(np.float32), **names)
        double = function(x=at, **names)
        assert single.dtype == np.float32
        bound = 2e-4 * max(1.0, float(np.max(np.abs(double))))
        np.testing.assert_allclose(single, double, rtol=0, atol=bound)


class Tensor:
    """What an array on a graphics card says."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


REFUSED = [
    ("complex", A + 0j, DomainError, r"A is complex128; matcalc is real\n.*pass A\.real"),
    ("complex list", (A + 0j).tolist(), DomainError, r"pass A\.real"),
    ("object", A.astype(object), DomainError, r"type object; numbers are expected\n.*dtype=float"),
    ("fractions", [[Fraction(1, 2)] * 3] * 4, DomainError, r"type object.*\n.*dtype=float"),
    ("strings", A.astype(str), DomainError, r"numbers are expected\n.*dtype=float"),
    ("text", "abc", DomainError, "numbers are expected"),
    ("dates", np.zeros((4, 3), "M8[s]"), DomainError, "datetime64"),
    ("records", np.zeros((4, 3), [("a", float)]), DomainError, "numbers are expected"),
    ("masked", np.ma.masked_array(A, A > 0), DomainError, r"A is a masked array\n.*A\.filled"),
    ("sparse matrix", scipy.sparse.csr_matrix(A), DomainError, r"A is a sparse matrix.*\n.*A\.toarray\(\)"),
    ("sparse array", scipy.sparse.csr_array(A), DomainError, r"A is a sparse matrix.*\n.*A\.toarray\(\)"),
    ("nothing", None, DomainError, "numbers are expected"),
    ("ragged", [[1, 2], [3]], ShapeError, "A is not a rectangular array"),
    ("a tensor elsewhere", Tensor(), DomainError, "A cannot be read as an array.*\n.*NumPy array"),
    ("too few axes", x, ShapeError, r"A has shape \(3,\).*matrix of shape \(m, n\).*\n.*A\[:, None\]"),
    ("wrong size", A.T, ShapeError, r"A has 4 columns|A has 3 rows|x has length 3"),
]


@pytest.mark.parametrize(("value", "kind", "says"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_no_real_array_is_refused_by_name(value: Any, kind: type[MatcalcError], says: str) -> None:
    with pytest.raises(kind, match=says):
        model(A=value, x=x, y=y, a=0.5)


def test_results_share_no_memory_with_arguments() -> None:
    for text in ("A", "A^T", "A[1, :]", "vec(A)", "A + 0", "1 A"):
        found = mc.parse(text, vars={"A": "matrix(m, n)"}).compile()(A=A)
        assert not np.shares_memory(found, A)


@pytest.mark.parametrize(
    ("text", "length", "message"),
    [
        ("x[n-2]^2", 2, "n - 2 is 0 here"),
        ("x[n-2]^2", 1, "n - 2 is -1 here"),
        ("||x[2:n]||^2", 0, "n - 1 is -1 here"),
        ("sum(x[n-1:n])", 1, "n - 2 is -1 here"),
        ("sum_{i=1}^{n-2} x_i x_{i+2}", 1, "n - 2 is -1 here"),
    ],
)
def test_entries_before_the_first_are_refused(text: str, length: int, message: str) -> None:
    # NumPy counts places below 0 from the end: x[n-2] of two entries was the last one
    function = mc.value_and_grad(text, "x", {"x": "vector(n)"})
    assert np.all(np.isfinite(function(x=np.ones(3))[1]))
    with pytest.raises(ShapeError, match=message):
        function(x=np.ones(length))
