"""Problems whose derivatives other systems print badly: what is printed here, and that it is right."""

from __future__ import annotations

from typing import NamedTuple

import pytest

import matcalc as mc


class Problem(NamedTuple):
    """A derivative, as it is asked for and as it is printed."""

    name: str
    text: str
    wrt: str
    order: int
    types: dict[str, str]
    formula: str


SYMMETRIC = "matrix(n, n) symmetric"
PROBLEMS = (
    Problem("softmax Jacobian", "softmax(A x)", "x", 1, {}, "p = softmax(A x); (diag(p) - p p^T) A"),
    Problem(
        "logistic Hessian",
        "sum(log(1 + exp(-y .* (X w))))",
        "w",
        2,
        {},
        "s = sigmoid(y .* (X w)); X^T diag(y.^2 .* s .* (1 - s)) X",
    ),
    Problem(
        "two layers by the first",
        "||W2 sigmoid(W1 x + b1) + b2 - y||^2",
        "W1",
        1,
        {"b1": "vector(h)", "b2": "vector(m)"},
        "s = sigmoid(W1 x + b1); 2 (s .* (1 - s) .* (W2^T (W2 s + b2 - y))) x^T",
    ),
    Problem(
        "principal components",
        "||X - X W W^T||_F^2",
        "W",
        1,
        {},
        "R = X - X W W^T; -2 (R^T X + X^T R) W",
    ),
    Problem(
        "regularised inverse",
        "a^T (X^T X + l I)^-1 a",
        "X",
        1,
        {"a": "vector(n)", "l": "scalar positive"},
        "M = (X^T X + l I)^-1; -2 X M a a^T M",
    ),
    Problem(
        "Rayleigh quotient",
        "(x^T A x) / (x^T x)",
        "x",
        1,
        {"A": SYMMETRIC},
        "q = x^T x; 2 A x / q - 2 (x^T A x) x / q^2",
    ),
    Problem(
        "symmetric rank one",
        "||x x^T - A||_F^2",
        "x",
        1,
        {"A": SYMMETRIC, "x": "vector(n)"},
        "4 (x x^T - A) x",
    ),
    Problem(
        "rank one",
        "||x x^T - A||_F^2",
        "x",
        1,
        {"A": "matrix(n, n)", "x": "vector(n)"},
        "2 (2 x x^T - A - A^T) x",
    ),
    Problem(
        "masked factorisation",
        "||M .* (R - U V^T)||_F^2",
        "U",
        1,
        {},
        "-2 (M.^2 .* (R - U V^T)) V",
    ),
    Problem(
        "its Hessian",
        "||M .* (R - U V^T)||_F^2",
        "U",
        2,
        {},
        "H(dU) = 2 (M.^2 .* (dU V^T)) V",
    ),
    Problem(
        "Gaussian log-density by the covariance",
        "-1/2 logdet(Sigma) - 1/2 (x - mu)^T Sigma^-1 (x - mu)",
        "Sigma",
        1,
        {"Sigma": "matrix(n, n) spd", "mu": "vector(n)"},
        "1/2 Sigma^-1 (x - mu) (x - mu)^T Sigma^-1 - 1/2 Sigma^-1",
    ),
    Problem(
        "log-barrier Hessian",
        "-sum(log(b - A x))",
        "x",
        2,
        {"b": "vector(m)"},
        "A^T diag(1 ./ (b - A x).^2) A",
    ),
)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_the_formula_is_the_textbooks(problem: Problem) -> None:
    derivative = mc.derive(problem.text, problem.wrt, vars=problem.types, order=problem.order)
    assert str(derivative) == problem.formula


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_the_formula_is_right(problem: Problem) -> None:
    report = mc.derive(problem.text, problem.wrt, vars=problem.types, order=problem.order).check()
    assert report.ok, report.message
    assert report.max_error < 1e-11
