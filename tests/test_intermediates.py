"""Names for what a formula repeats: when they are given, which, and that the program means the same."""

from __future__ import annotations

import pytest

import matcalc as mc
from matcalc.expression import Expr, read
from matcalc.notation.cost import operator_count
from matcalc.notation.intermediates import name_intermediates
from matcalc.notation.text import to_text
from matcalc.syntax.ast import Output


def named(text: str, **kinds: str) -> str:
    (statement,) = read(text).statements
    assert isinstance(statement, Output)
    return to_text(name_intermediates(statement.value, kinds, ()), separator="; ")


@pytest.mark.parametrize(
    ("text", "kinds", "expected"),
    [
        (
            "A^T (diag(softmax(A x)) - softmax(A x) softmax(A x)^T) A",
            "A x",
            "p = softmax(A x); A^T (diag(p) - p p^T) A",
        ),
        ("(A + t B)^-1 B (A + t B)^-1", "A B t", "M = (A + t B)^-1; M B M"),
        ("tr((A + t B)^-1 B (A + t B)^-1 B)", "A B t", "M = (A + t B)^-1 B; tr(M^2)"),
        ("2 A / (x^T A x) - 4 A x x^T A / (x^T A x)^2", "A x", "q = x^T A x; 2 A / q - 4 A x x^T A / q^2"),
        ("sigmoid(X) .* (1 - sigmoid(X))", "X", "sigmoid(X) .* (1 - sigmoid(X))"),
        ("(x - a) / ||x - a||", "x a", "(x - a) / ||x - a||"),
    ],
)
def test_a_part_that_is_repeated_has_a_name_where_that_is_shorter(text: str, kinds: str, expected: str) -> None:
    kind = {"A": "matrix", "B": "matrix", "X": "matrix", "x": "column", "a": "column", "t": "scalar"}
    assert named(text, **{name: kind[name] for name in kinds.split()}) == expected


def test_a_run_of_factors_is_named_only_where_it_is_a_product_by_itself() -> None:
    # y z is the product of two columns: (x^T y) z is not x^T (y z)
    text = "x^T y z z^T y z + x^T y z z^T y z z^T"
    result = named(text, x="column", y="column", z="column")
    assert "y z;" not in result


def test_bound_indices_stay_where_they_are_bound() -> None:
    text = "(sum_{i=1}^{n} exp(a_i + b)^2 exp(a_i + b)^3 exp(a_i + b)) x"
    assert named(text, a="column", b="scalar", x="column") == to_text(read(text), separator="; ")


def test_an_identity_of_unsaid_size_is_not_taken_out_of_its_sum() -> None:
    text = "(A + s u I) (B + s u I) (A + s u I + B)"
    result = named(text, A="matrix", B="matrix", s="scalar", u="scalar")
    assert "= s u I" not in result
    assert "= u I" not in result


def test_names_that_are_in_use_are_not_given() -> None:
    formula = mc.hessian("logsumexp(P p)", wrt="p").formula
    assert formula == "u = softmax(P p); P^T (diag(u) - u u^T) P"


def test_the_readers_own_names_come_first() -> None:
    derivative = mc.derive("h = tanh(W x); g = V h; ||g - y||^2", "W")
    assert derivative.formula.startswith("h = tanh(W x);")
    assert mc.derive("r = A x - b; r^T r", "x").formula == "2 A^T (A x - b)"


def test_a_named_formula_is_shorter_and_means_the_same() -> None:
    expr = Expr("logsumexp(A x + b) + log(x^T B x)", {"x": "vector(n)"})
    derivative = mc.derive(expr, "x", order=2)
    assert len(read(derivative.formula).statements) > 1
    again = Expr(derivative.formula, expr.vars)
    assert again.simplified == derivative.expr.simplified
    assert operator_count(read(derivative.formula)) < operator_count(read(derivative.expr.formula))


def test_an_expression_to_go_on_with_has_no_names_of_its_own() -> None:
    one, other = (Expr(text, {"x": "vector(n)"}).diff("x", "x") for text in ("log(x^T x)", "log(x^T B x)"))
    assert (one + other).formula == f"({one.formula}) + ({other.formula})"


@pytest.mark.parametrize(
    ("text", "wrt", "expected"),
    [
        ("max(0, w · x + b)", "w", "(dot(w, x) + b > 0) x"),
        ("c^T (A \\ b)", "b", "A^-T c"),
        ("(A \\ b)^T (A \\ b)", "b", "2 A^-T (A \\ b)"),
        ("w^T x", "w", "x"),
    ],
)
def test_products_are_spelled_as_the_reader_spells_them(text: str, wrt: str, expected: str) -> None:
    declared = {"b": "scalar"} if "w" in text else {"b": "vector(n)"}
    assert mc.derive(text, wrt, vars=declared).formula == expected
