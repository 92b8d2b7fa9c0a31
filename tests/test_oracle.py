"""Every formula of the corpus against numerical derivatives, and the oracle against itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from corpus_data import Case, load_cases, sample_case
from oracle import Array, NotAnalyticError, choose_dimensions, derivative, evaluate, read, sample

from matcalc.errors import ShapeError, UnknownName

CASES = load_cases()
TOLERANCE = {1: 1e-9, 2: 1e-6}


def relative_error(claimed: Array, numerical: Array) -> float:
    assert claimed.shape == numerical.shape, f"shape {claimed.shape} instead of {numerical.shape}"
    scale = max(1e-3, float(np.max(np.abs(numerical), initial=0.0)))
    return float(np.max(np.abs(claimed - numerical), initial=0.0)) / scale


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_reference_formula_is_the_derivative(case: Case) -> None:
    largest = 0.0
    for seed in range(3):
        dims, values = sample_case(case, seed)
        numerical = derivative(read(case.text), values, dims, case.wrt, case.order, case.wrt2, types=case.vars)
        assert np.all(np.isfinite(numerical))
        largest = max(largest, float(np.max(np.abs(numerical))))
        if not case.expected:
            crude = derivative(
                read(case.text), values, dims, case.wrt, case.order, case.wrt2, types=case.vars, method="differences"
            )
            assert relative_error(crude, numerical) < 1e-6
            continue
        claimed = evaluate(read(case.expected), values, dims, shape=numerical.shape)
        assert relative_error(claimed, numerical) < TOLERANCE[case.order]
    assert largest > 0 or case.expected.startswith("zeros"), "the points say nothing about the formula"


@pytest.mark.parametrize("name", ["cookbook-70", "cookbook-124", "boyd-least-squares-hessian", "parr-neuron"])
def test_a_wrong_formula_does_not_pass(name: str) -> None:
    case = next(case for case in CASES if case.name == name)
    errors = []
    for seed in range(3):
        dims, values = sample_case(case, seed)
        numerical = derivative(read(case.text), values, dims, case.wrt, case.order, types=case.vars)
        wrong = evaluate(read(f"1.00001 ({case.expected})"), values, dims)
        errors.append(relative_error(wrong, numerical))
    assert max(errors) > TOLERANCE[case.order]


def test_names_are_unique() -> None:
    repeated = [name for name, count in Counter(case.name for case in CASES).items() if count > 1]
    assert repeated == []


def test_corpus_is_large_and_mostly_has_formulas() -> None:
    assert len(CASES) >= 280
    assert sum(not case.expected for case in CASES) <= len(CASES) // 10
    assert all(case.reference for case in CASES)
    assert sum(case.order == 2 for case in CASES) >= 40


# --- the oracle's own meaning --------------------------------------------------------------------

A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]])
S = np.array([[4.0, 1.0], [1.0, 3.0]])
x = np.array([2.0, -1.0, 0.5])
y = np.array([0.25, 2.0])
VALUES = {"A": A, "S": S, "x": x, "y": y, "c": 3.0}

MEANINGS = {
    "x^T x": x @ x,
    "x x^T": np.outer(x, x),
    "y^T A x": y @ A @ x,
    "1/2 c^2": 4.5,
    "-x^2": -(x**2),
    "A + x^T": A + x[None, :],
    "A + y": A + y[:, None],
    "A ./ x^T": A / x,
    "y .* A": y[:, None] * A,
    "S - c I": S - 3 * np.eye(2),
    "c I - S": 3 * np.eye(2) - S,
    "(I + S) y": y + S @ y,
    "S .* I": np.diag(np.diag(S)),
    "A vector(1)": A.sum(axis=1),
    "vector(1)^T A": A.sum(axis=0),
    "vector(1) - y": 1 - y,
    "A - vector(1) x^T": A - x,
    "S^-1": np.linalg.inv(S),
    "S^-T": np.linalg.inv(S).T,
    "S^2": S @ S,
    "S^-2": np.linalg.inv(S @ S),
    "S.^2": S**2,
    "S \\ y": np.linalg.solve(S, y),
    "x ⊗ y": np.kron(x, y),
    "S ⊗ A": np.kron(S, A),
    "e^x": np.exp(x),
    "x_2": -1.0,
    "A[2, 1]": 4.0,
    "A[1, :]": A[0],
    "A[:, 3]": A[:, 2],
    "x[2:3]": x[1:],
    "A_{12}": 2.0,
    "||x||": np.linalg.norm(x),
    "||x||_1": 3.5,
    "||x||_inf": 2.0,
    "||A||_F^2": np.sum(A * A),
    "||A||_2": np.linalg.norm(A, 2),
    "||A||_*": np.linalg.norm(A, "nuc"),
    "||A||_1": np.sum(A),
    "||A||_inf": 7.0,
    "|c - 5|": 2.0,
    "|S|": 11.0,
    "<x, x>": x @ x,
    "x · x": x @ x,
    "sum_{i=1}^{3} x_i^2": x @ x,
    "sum_i i x_i": 2 - 2 + 1.5,
    "sum_{i,j} A[i,j] y_i x_j": y @ A @ x,
    "sum_{i,j} A_{ij} y_i x_j": y @ A @ x,
    "sum_{i=1}^{2} y_i A_i": y @ A,
    "sum_{i=1}^{2} x_{i+1} x_i": -2 - 0.5,
    "prod_{i=1}^{3} x_i": -1.0,
    "D_{ij} = A_{ij} y_i": A * y[:, None],
    "p_i = x_i^2": x**2,
    "f(t) = t / (1 + exp(-t)); f(x)": x / (1 + np.exp(-x)),
    "J(w) = w^T w; J(x)": x @ x,
    "r = A x - y; r^T r": (A @ x - y) @ (A @ x - y),
    "vec(A)": [1, 4, 2, 5, 3, 7],
    "vech(S)": [4, 1, 3],
    "unvec(x, 1, 3)": x[None, :],
    "diag(x)": np.diag(x),
    "diag(S)": [4, 3],
    "sum(A, axis=0)": A.sum(axis=0),
    "sum(A, axis=1) - y": A.sum(axis=1) - y,
    "mean(A)": A.mean(),
    "var(x)": np.var(x),
    "std(x)": np.std(x),
    "softmax(A)": np.exp(A) / np.exp(A).sum(axis=1, keepdims=True),
    "logsumexp(A, axis=1)": np.log(np.exp(A).sum(axis=1)),
    "cumsum(A)": np.cumsum(A, axis=1),
    "normalize(x)": x / np.linalg.norm(x),
    "huber(c, 1)": 2.5,
    "huber(1/2, 1)": 0.125,
    "max(x, 0)": np.maximum(x, 0),
    "max(x)": 2.0,
    "where(x > 0, x, 2 x)": [2, -2, 0.5],
    "where(x > 0, log(x), 0)": [np.log(2), 0, np.log(0.5)],
    "relu(x)": [2, 0, 0.5],
    "p_i = x_i^2; sum(p)": x @ x,
    "log (c)": np.log(3),
    'einsum("ii->", S)': 7.0,
    "leaky_relu(x)": [2, -0.01, 0.5],
    "logdet(-S)": np.log(11.0),
    "eigvals(S)": np.linalg.eigvalsh(S),
    "eigmax(S)": np.linalg.eigvalsh(S)[1],
    "svdvals(A)": np.linalg.svd(A)[1],
    "chol(S)": np.linalg.cholesky(S),
    "adj(S)": 11 * np.linalg.inv(S),
    "pinv(A)": np.linalg.pinv(A),
    "S^(1/2) S^(1/2)": S,
    "expm(logm(S))": S,
    "cross(x, x + e(1, 3))": np.cross(x, [1, 0, 0]),
    "blockdiag(S, A)": np.block([[S, np.zeros((2, 3))], [np.zeros((2, 2)), A]]),
    "[S, A; I, A]": np.block([[S, A], [np.eye(2), A]]),
    "[x; y]": np.concatenate([x, y]),
    'einsum("ij,j->i", A, x)': A @ x,
    "inner(A, A)": np.sum(A * A),
    "outer(y, x)": np.outer(y, x),
    "solve(S, y)": np.linalg.solve(S, y),
    "mse(x, 2 x)": x @ x / 3,
}


@pytest.mark.parametrize("text", MEANINGS)
def test_meaning(text: str) -> None:
    expected = np.asarray(MEANINGS[text], dtype=float)
    result = evaluate(read(text), VALUES, shape=expected.shape)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("text", ["x x", "A y", "A + y^T", "x + y", "x + x^T", "tr(A)", "x[4]", "det(I)"])
def test_refuses_what_has_no_meaning(text: str) -> None:
    with pytest.raises(ShapeError):
        evaluate(read(text), VALUES)


def test_refuses_unknown_names() -> None:
    with pytest.raises(UnknownName):
        evaluate(read("x + unknown"), VALUES)


# --- the numerical derivatives -------------------------------------------------------------------


def test_complex_step_is_exact_to_rounding() -> None:
    slope = derivative(read("log(det(S)) + exp(y^T S y)"), VALUES, None, "S")
    exact = np.linalg.inv(S).T + np.exp(y @ S @ y) * np.outer(y, y)
    np.testing.assert_allclose(slope, exact, rtol=1e-13)


@pytest.mark.parametrize("text", ["log(det(S))", "expm(S) y", "chol(S)", "||S y||", "sigmoid(S) y", "softmax(S)"])
def test_both_methods_agree(text: str) -> None:
    types = {"S": "matrix(n, n) spd"}
    methods = [
        derivative(read(text), VALUES, None, "S", types=types, method=name) for name in ("complex", "differences")
    ]
    assert relative_error(methods[1], methods[0]) < 1e-10


@pytest.mark.parametrize("text", ["log(det(S))", "sum(expm(S))", "||S y||", "sum(sigmoid(S))"])
def test_both_second_derivatives_agree(text: str) -> None:
    methods = [derivative(read(text), VALUES, None, "S", order=2, method=name) for name in ("complex", "differences")]
    assert relative_error(methods[1], methods[0]) < 1e-7


def test_functions_without_continuation_fall_back_to_differences() -> None:
    with pytest.raises(NotAnalyticError):
        derivative(read("eigmax(S)"), VALUES, None, "S", method="complex")
    vectors = np.linalg.eigh(S).eigenvectors
    slope = derivative(read("eigmax(S)"), VALUES, None, "S", types={"S": "matrix(n, n) symmetric"})
    np.testing.assert_allclose(slope, np.outer(vectors[:, 1], vectors[:, 1]), atol=1e-10)


def test_kinks_are_differentiated_on_the_side_of_the_point() -> None:
    slope = derivative(read("sum(relu(x)) + ||x||_1 + max(x)"), VALUES, None, "x")
    np.testing.assert_allclose(slope, [3, -1, 2], atol=1e-13)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ("", lambda G: G),
        ("symmetric", lambda G: (G + G.T) / 2),
        ("skew", lambda G: (G - G.T) / 2),
        ("diagonal", lambda G: np.diag(np.diag(G))),
        ("lower", np.tril),
        ("upper", np.triu),
        ("orthogonal", lambda G: G),
    ],
)
def test_structured_derivatives_are_projections(properties: str, expected: Callable[[Array], Array]) -> None:
    types = {"X": f"matrix(n, n) {properties}", "G": "matrix(n, n)"}
    values = sample(types)
    slope = derivative(read("tr(G^T X)"), values, None, "X", types=types)
    np.testing.assert_allclose(slope, expected(values["G"]), atol=1e-13)


# --- the sampler ---------------------------------------------------------------------------------


def test_sampled_dimensions_are_distinct() -> None:
    dims = choose_dimensions({"A": "matrix(alpha, beta)", "B": "matrix(n, m)", "v": "vector(2 k)"})
    assert len(set(dims.values())) == len(dims) == 5


def test_samples_have_their_properties() -> None:
    types = {name: f"matrix(n, n) {name}" for name in ("symmetric", "spd", "skew", "orthogonal", "diagonal", "lower")}
    values = sample(types, seed=3)
    np.testing.assert_allclose(values["symmetric"], values["symmetric"].T)
    assert np.linalg.eigvalsh(values["spd"])[0] >= 1
    np.testing.assert_allclose(values["skew"], -values["skew"].T)
    np.testing.assert_allclose(values["orthogonal"] @ values["orthogonal"].T, np.eye(4), atol=1e-14)
    assert np.count_nonzero(values["diagonal"]) == 4
    assert np.count_nonzero(np.triu(values["lower"], 1)) == 0
    assert sample({"v": "vector(n) positive"})["v"].min() > 0
    assert sample({"k": "vector(n) integer"})["k"].tolist() == [
        round(k) for k in sample({"k": "vector(n) integer"})["k"]
    ]
