"""Elaboration: types and sizes, inference of undeclared names, values against the oracle, errors, notes and scale."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from corpus_data import Case, load_cases
from node_eval import evaluate
from oracle import choose_dimensions, sample
from oracle import evaluate as oracle

import matcalc as mc
from matcalc.elaborate import Elaborated, Symbol, elaborate, type_text
from matcalc.elaborate.context import Dimensions, name_placeholders
from matcalc.elaborate.infer import conventional_kind
from matcalc.errors import DomainError, MatcalcError, ShapeError, UnknownName, Unsupported, UsageError
from matcalc.expr.dims import Dim, shape_text
from matcalc.expr.nodes import Call, Map, Structure, Sum, Variable, postorder
from matcalc.expr.typed import Type
from matcalc.syntax.ast import NOWHERE, Binary, Name, Output, Program, Transpose
from matcalc.syntax.parse import parse, parse_type

TYPES = {
    "x": "vector(n)", "u": "vector(n)", "y": "vector(m)", "A": "matrix(m, n)", "B": "matrix(m, n)",
    "S": "matrix(n, n) symmetric", "M": "matrix(n, n)", "a": "scalar", "b": "scalar", "K": "tensor(n, m, k)",
    "X": "matrix(N, d)", "w": "vector(d)", "t": "vector(N)",
}  # fmt: skip
SIZES = {"n": 3, "m": 4, "k": 2, "N": 5, "d": 2}


def make_values(seed: int, low: float = 0.2) -> dict[str, Any]:
    """An array for each variable of `TYPES`."""
    generator = np.random.default_rng(seed)
    shapes = {
        "x": "n", "u": "n", "y": "m", "A": "mn", "B": "mn", "S": "nn", "M": "nn", "a": "", "b": "", "K": "nmk",
        "X": "Nd", "w": "d", "t": "N",
    }  # fmt: skip
    found = {name: generator.uniform(low, 1, [SIZES[size] for size in dims]) for name, dims in shapes.items()}
    found["S"] = (found["S"] + found["S"].T) / 2
    return found


VALUES = make_values(0)


def read(text: str, types: Mapping[str, str] | None = TYPES) -> Elaborated:
    return elaborate(parse(text), types)


def used(text: str) -> dict[str, str]:
    """The inferred declarations of a text without any."""
    return {name: symbol.declared for name, symbol in read(text, None).symbols.items()}


# --- kinds and shapes ----------------------------------------------------------------------------

KINDS = {
    "a": "scalar", "x": "column (n,)", "x^T": "row (n,)", "A": "matrix (m, n)", "K": "tensor (n, m, k)",
    "2 x": "column (n,)", "x 2": None, "x^T x": "scalar", "x x^T": "matrix (n, n)", "y x^T": "matrix (m, n)",
    "A x": "column (m,)", "y^T A": "row (n,)", "A^T y": "column (n,)", "A A^T": "matrix (m, m)", "y^T A x": "scalar",
    "(x^T)^T": "column (n,)", "a^T": "scalar", "a A": "matrix (m, n)", "A a": "matrix (m, n)",
    "a K": "tensor (n, m, k)",
    "x .* u": "column (n,)", "x^T .* u^T": "row (n,)", "y .* A": "matrix (m, n)", "A ./ x^T": "matrix (m, n)",
    "A + y": "matrix (m, n)", "A + x^T": "matrix (m, n)", "A - 1": "matrix (m, n)", "x^T + 1": "row (n,)",
    "y + A + x^T": "matrix (m, n)", "K + K": "tensor (n, m, k)", "x > 0": "column (n,)", "A <= y": "matrix (m, n)",
    "A \\ x": None, "S \\ x": "column (n,)", "S \\ A^T": "matrix (n, m)", "a \\ x": "column (n,)",
    "S^2": "matrix (n, n)", "S^-1": "matrix (n, n)", "S^0": "matrix (n, n)", "x^2": "column (n,)",
    "(x^T)^2": "row (n,)",
    "x^a": "column (n,)", "a^x": "column (n,)", "A.^2": "matrix (m, n)", "S^a": "matrix (n, n)", "S^n": "matrix (n, n)",
    "S^(1/2)": "matrix (n, n)", "x / a": "column (n,)", "a / x": "column (n,)", "A / B": "matrix (m, n)",
    "x · u": "scalar", "x^T · u": "scalar", "A · x": "column (m,)", "x ⊗ y": "column (m n,)",
    "S ⊗ A": "matrix (m n, n^2)",
    "||x||": "scalar", "||A||_F": "scalar", "||a||": "scalar", "|a|": "scalar", "|x|": "column (n,)", "|S|": "scalar",
    "|A|": "matrix (m, n)", "<x, u>": "scalar", "x[2]": "scalar", "x[1:2]": "column (2,)", "x[2:n]": "column (n - 1,)",
    "A[1, 2]": "scalar", "A[1, :]": "row (n,)", "A[:, 1]": "column (m,)", "A[1:2, :]": "matrix (2, n)",
    "A[1:2, 3]": "column (2,)", "A[2]": "column (n,)", "A_2": "column (n,)", "A_12": "scalar", "K[1, 2, 1]": "scalar",
    "K[1]": "matrix (m, k)", "K[1, 2, :]": "column (k,)", "[x; y]": "column (m + n,)", "[1, 2, 3]": "row (3,)",
    "[1; 2]": "column (2,)", "[x, u]": "matrix (n, 2)", "[A; x^T]": "matrix (m + 1, n)",
    "[S, x; x^T, 0]": "matrix (n + 1, n + 1)",
    "[S, 0; 0, I]": None, "[S, x; 0, 1]": "matrix (n + 1, n + 1)", "S + I": "matrix (n, n)", "I x": "column (n,)",
    "x^T I x": "scalar", "e(2, n)": "column (n,)", "I(4)": "matrix (4, 4)", "ones(n, m)": "matrix (n, m)",
    "x - vector(1)": "column (n,)", "A + matrix(1)": "matrix (m, n)", "A vector(1)": "column (m,)", "1/n": "scalar",
    "sum_i x_i": "scalar", "sum_i X_i": "column (d,)", "sum_i X_i X_i^T": "matrix (d, d)", "prod_i x_i": "scalar",
    "p_i = x_i^2": "column (n,)", "D_{ij} = x_i y_j": "matrix (n, m)", "P_i = X_i": "matrix (N, d)",
    "sum(A, axis=0)": "row (n,)", "sum(A, axis=1)": "column (m,)", "sum(A)": "scalar", "softmax(x^T)": "row (n,)",
    "diag(x)": "matrix (n, n)", "diag(S)": "column (n,)", "vec(A)": "column (m n,)",
    "vech(S)": "column (1/2 n^2 + 1/2 n,)",
    "svdvals(A)": "column (min(m, n),)", "pinv(A)": "matrix (n, m)", 'einsum("ij,j->i", A, x)': "column (m,)",
    'einsum("ijk->kij", K)': "tensor (k, n, m)", 'einsum("ij,ij", A, B)': "scalar", "exp(A)": "matrix (m, n)",
    "e^x": "column (n,)", "where(x > 0, x, 0)": "column (n,)", "max(A, 0)": "matrix (m, n)", "tr(S^a)": "scalar",
}  # fmt: skip


@pytest.mark.parametrize("text", [text for text, kind in KINDS.items() if kind])
def test_kind_and_shape(text: str) -> None:
    found = read(text)
    expected = KINDS[text]
    shown = found.type.kind if found.type.kind == "scalar" else f"{found.type.kind} {shape_text(found.type.shape)}"
    assert shown == expected
    assert found.node.shape == found.type.shape


# --- inference -----------------------------------------------------------------------------------

INFERRED = {
    "A x + b": {"A": "matrix(m, n)", "x": "vector(n)", "b": "vector(m)"},
    "x^T A x": {"x": "vector(n)", "A": "matrix(n, n)"},
    "x^T A x + c": {"x": "vector(n)", "A": "matrix(n, n)", "c": "scalar"},
    "x^T A x + b^T x + c": {"x": "vector(n)", "A": "matrix(n, n)", "b": "vector(n)", "c": "scalar"},
    "a^T x": {"a": "vector(n)", "x": "vector(n)"},
    "a^T b": {"a": "vector(n)", "b": "vector(n)"},
    "||b||": {"b": "vector(n)"},
    "tr(a)": {"a": "matrix(n, n)"},
    "diag(d) x": {"d": "vector(n)", "x": "vector(n)"},
    "A \\ b": {"A": "matrix(n, n)", "b": "vector(n)"},
    "A B": {"A": "matrix(m, n)", "B": "matrix(n, p)"},
    "X w - y": {"X": "matrix(m, n)", "w": "vector(n)", "y": "vector(m)"},
    "||X w - y||^2 + lambda ||w||^2": {"X": "matrix(m, n)", "w": "vector(n)", "y": "vector(m)", "lambda": "scalar"},
    "1/N ||X w - y||^2": {"N": "scalar", "X": "matrix(m, n)", "w": "vector(n)", "y": "vector(m)"},
    "||A x - b||^2 / (2 n)": {"A": "matrix(m, p)", "x": "vector(p)", "b": "vector(m)", "n": "scalar"},
    "sum_{i=1}^N (y_i - (w x_i + b))^2": {"y": "vector(N)", "w": "scalar", "x": "vector(N)", "b": "scalar"},
    "sum_{i=1}^N (y_i - w^T x_i)^2": {"y": "vector(N)", "w": "vector(n)", "x": "matrix(N, n)"},
    "sum_i log(1 + exp(-y_i w^T x_i))": {"y": "vector(n)", "w": "vector(m)", "x": "matrix(n, m)"},
    "sum_i logsumexp(W x_i)": {"W": "matrix(m, n)", "x": "matrix(p, n)"},
    "sum_i ||x_i - mu||^2": {"x": "matrix(m, n)", "mu": "vector(n)"},
    "sum_i x_i^T A x_i": {"x": "matrix(m, n)", "A": "matrix(n, n)"},
    "sum_{i,j} A_{ij} x_i x_j": {"A": "matrix(n, n)", "x": "vector(n)"},
    "sum_i a_i x_i": {"a": "vector(n)", "x": "vector(n)"},
    "sum_i p_i log(p_i / q_i)": {"p": "vector(n)", "q": "vector(n)"},
    "1/n sum_{i=1}^n (y_i - f_i)^2": {"y": "vector(n)", "f": "vector(n)"},
    "sum_{i=1}^{n-1} (x_{i+1} - x_i)^2": {"x": "vector(n)"},
    "p_i = x_i^2": {"x": "vector(n)"},
    "D_{ij} = x_i y_j": {"x": "vector(n)", "y": "vector(m)"},
    "(y - w^T x)^2": {"y": "scalar", "w": "vector(n)", "x": "vector(n)"},
    "sigmoid(w^T x + b)": {"w": "vector(n)", "x": "vector(n)", "b": "scalar"},
    "softmax(W x + b)": {"W": "matrix(m, n)", "x": "vector(n)", "b": "vector(m)"},
    "W_2 tanh(W_1 x + b_1) + b_2": {
        "W_2": "matrix(m, n)", "W_1": "matrix(n, p)", "x": "vector(p)", "b_1": "vector(n)", "b_2": "vector(m)"
    },
    "0.5 ||w||^2 + C sum(max(0, 1 - y .* (X w)))": {
        "w": "vector(n)", "C": "scalar", "y": "vector(m)", "X": "matrix(m, n)"
    },
    "(x - mu)^T Sigma^-1 (x - mu)": {"x": "vector(n)", "mu": "vector(n)", "Sigma": "matrix(n, n)"},
    "softmax(Q K^T / sqrt(d)) V": {
        "Q": "matrix(m, n)", "K": "matrix(p, n)", "d": "scalar", "V": "matrix(p, q)"
    },
    "||Y - U V^T||_F^2": {"Y": "matrix(m, n)", "U": "matrix(m, p)", "V": "matrix(n, p)"},
    "det(A - lambda I)": {"A": "matrix(n, n)", "lambda": "scalar"},
    "A + lambda I": {"A": "matrix(n, n)", "lambda": "scalar"},
    "[A, b; c^T, 1]": {"A": "matrix(m, n)", "b": "vector(m)", "c": "vector(n)"},
    "X^k": {"X": "matrix(n, n)", "k": "scalar"},
    "x^k": {"x": "vector(n)", "k": "scalar"},
    "x - mean(x)": {"x": "vector(n)"},
    "1/x": {"x": "vector(n)"},
    "sum(A, axis=0) - b^T": {"A": "matrix(m, n)", "b": "vector(n)"},
    "w: vector(n); w x + b": {"w": "vector(n)", "x": "scalar", "b": "vector(n)"},
    "J(theta) = theta^T theta": {"theta": "vector(n)"},
    "f(x) = x / (1 + exp(-x)); f(A z)": {"A": "matrix(m, n)", "z": "vector(n)"},
    "x_1 + W_1 x_1": {"x_1": "vector(n)", "W_1": "matrix(n, n)"},
    "x: vector; A: matrix symmetric; A x": {"x": "vector(n)", "A": "matrix(n, n) symmetric"},
    "x_train + y_hat": {"x_train": "vector(n)", "y_hat": "vector(n)"},
}  # fmt: skip


@pytest.mark.parametrize("text", INFERRED)
def test_inference(text: str) -> None:
    assert used(text) == INFERRED[text]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("A", "matrix"), ("x", "column"), ("h", "column"), ("g", "scalar"), ("b", "scalar"), ("lambda", "scalar"),
        ("theta", "scalar"), ("Sigma", "matrix"), ("W1", "matrix"), ("W_1", "matrix"), ("y_hat", "column"),
        ("theta_0", "scalar"), ("beta", "scalar"), ("logits", "column"), ("Data", "matrix"),
    ],
)  # fmt: skip
def test_convention(name: str, kind: str) -> None:
    assert conventional_kind(name) == kind


def test_names_of_sizes_never_clash() -> None:
    found = read("n^T A m", None)
    taken = {name for symbol in found.symbols.values() for dim in symbol.type.shape for name in dim.names}
    assert taken.isdisjoint(found.symbols)
    assert {str(d) for d in name_placeholders([(Dim.of("?0"),), (Dim.of("?1"), Dim.of("?2"))], {"n"}).values()} == {
        "m", "p", "q"
    }  # fmt: skip


def test_symbols_come_in_order_of_appearance() -> None:
    assert list(read("c = b^T x; A x c", None).symbols) == ["b", "x", "A"]


def test_declared_names_win_over_inference() -> None:
    found = elaborate(parse("a x"), {"a": "matrix(p, q)"})
    assert {name: (symbol.declared, symbol.inferred) for name, symbol in found.symbols.items()} == {
        "a": ("matrix(p, q)", False),
        "x": ("vector(q)", True),
    }


def test_declarations_outside_reach_the_variables() -> None:
    found = elaborate(parse("λ A"), {"lambda": "scalar positive", "A": parse_type("matrix(n, n) spd")})
    variables = {node.name: node.properties for node in postorder(found.node) if isinstance(node, Variable)}
    assert variables == {"lambda": {"positive"}, "A": {"spd"}}
    assert elaborate(parse("lambda x"), {"λ": "scalar positive"}).symbols["lambda"].declared == "scalar positive"


def test_a_declared_name_that_does_not_occur_is_a_symbol_too() -> None:
    assert elaborate(parse("x"), {"x": "vector(n)", "z": "matrix(n, k)"}).symbols["z"] == Symbol(
        "z", Type("matrix", (Dim.of("n"), Dim.of("k")))
    )


def test_same_declaration_inside_and_outside() -> None:
    found = elaborate(parse("A: matrix(n, n); A"), {"A": "matrix(n, n) symmetric"})
    assert found.symbols["A"].declared == "matrix(n, n) symmetric"


def test_type_text() -> None:
    assert type_text(Type("tensor", (Dim.of(2), Dim.of("n"), Dim.of("k")))) == "tensor(2, n, k)"
    assert type_text(Type("scalar", ()), ["positive", "integer"]) == "scalar positive integer"


# --- values, against the oracle ------------------------------------------------------------------

PROGRAMS = r"""
sum_{i=1}^{n} sum_{j=1}^{i} M_{ij}
sum_{i=1}^{n} sum_{j=i}^{n} M_{ij} x_j
sum_{i=1}^{n} sum_{j=1}^{i-1} M_{ij} x_i x_j
sum_{i=1}^{n-1} sum_{j=i+1}^{n} (x_i - x_j)^2
sum_{i=1}^{n} sum_{j=i+1}^{n} log(x_i + x_j)
sum_{i=2}^{n} sum_{j=1}^{i-1} 1/(i-j)
sum_{i=2}^{n} sum_{j=1}^{i-1} x_j
sum_{i=2}^{n} x_{i-1} x_i
sum_{i=1}^{n-1} (x_{i+1} - x_i)^2
sum_{i=1}^{2} x_i
sum_{i=2}^{3} i x_i
sum_{k=1}^{n} k x_k a^(k-1)
sum_{k=0}^{3} a^k
1/N sum_{i=1}^N (t_i - w^T X_i)^2
1/N sum_{i=1}^N log(1 + exp(-t_i w^T X_i))
sum_{i=1}^{N} X_i X_i^T
sum_i logsumexp(X_i)
sum_i ||X_i - w||
sum_{i,j} exp(-||X_i - X_j||^2) t_i t_j
prod_{i=1}^{n} (a - x_i)
prod_{i=1}^{n} a
sum_{j=1}^{n} prod_{i=1}^{n} (M_{ij} + 1)
prod_{i,j} M_{ij}
prod_{i=1}^{n} prod_{j=1}^{i} x_j
p_i = x_i^2 + a
D_{ij} = exp(-(x_i - u_j)^2)
G_{ij} = X_i^T X_j
h_i = A[:, i]
s_i = sum_{j=1}^{i} x_j
M[2:3, 1]
M[1, 2:n]
A[1:min(m, n), :] x
A[min(m, n), :] x
A[1:2, :] x
x[1:n-1] - x[2:n]
x_n + x_1
M_2^T x
K[1, :, :]
K[:, :, 2]
sum_{i,j,l} K[i,j,l] x_i y_j
sum_{i} K[i, 2, 1] x_i
sum_{i=1}^{n} M_{ii} x_i^2
sum_{i=1}^{n} (M x)_i x_i
(M x)[2] + (M x)_2
sum_{i=1}^{n} e(i, n)^T M e(i, n)
sum_{i=1}^{n} x_i e(i, n)
sum_{i=1}^{n} (S + x_i I)^-1 x
sum_{i=1}^{n} x^T ((S + x_i I) \ u)
sum_{i=1}^{n} det(S + x_i I)
sum_{i=1}^{n} log(det(M_i M_i^T + I(n)))
sum_{i=1}^{m} softmax(A_i)^T x
sum_{i=1}^{m} sum(softmax(A, axis=0)[i, :]^T .* x)
sum_{i=1}^{n} max(x_i, 0.5)
sum_{i=1}^{n} max(M_i)
sum_{i=1}^{n} (x_i ⊗ M)
sum_{i=1}^{n} kron(M_i, x)
sum_{i=1}^{n} vec(M_i x^T)
sum_{i=1}^{n} diag(M_i x^T)
sum_{i=1}^{n} [x_i; M_i]
sum_{i=1}^{n} [M, M_i; x^T, x_i]
sum_{i=1}^{n} where(x_i > u_i, x_i, 2 u_i)
sum_{i=1}^{n} var(M_i)
sum_{i=1}^{n} outer(M_i, x)
sum_{i=1}^{n} x_i^i
sum_{i=1}^{n} (x_i M)^2
sum_{i=1}^{n} 2 + sum_{i=1}^{n} i
sum_{i=1}^{n} einsum("j,j", M_i, x)
f(z) = z^2 + 1; sum_{i=1}^{n} f(x_i)
f(z) = z / (1 + exp(-z)); f(M)
f(z) = where(z > 0.5, z, 0); f(M)
f(u, v) = u^T v; f(x, x) + f(u, x)
g(z) = z + 1; f(z) = g(g(z)); f(x)
f(z) = [z, 1] [1; z]; f(x)
f(z) = z^2; f(M)
r = A x - y; r^T r
r = A x; sum_i r_i^2
r = A x - y; s = r^T r; s / 2 + s
l = 3; sum_{i=1}^{l} x_i
x^T e(1, n) + e
e^a + e^x + 1
(n+1) x / m + pi a
M ./ x^T + M .* x
M >= x
x == x
--M
M^3 + M^-2 + M^0
M^20
S^(1/2)
M^-T x
x · u + M · x
|a - 1| + |x - 0.5|
|M|
||A||_2 + ||M||_* + ||x||_inf + ||a||
<M, S>
M \ A^T
a^2^2 + 2^a
a^u + x^u + x^-2
M.^a
[1, 2; 3, 4]
[x, u]
[a, x'; u, S]
[M, 0; 0, 1]
[x; y; 1]
vector(1)^T x + sum(M + matrix(1))
(M + I) x
x^T (I - u u^T) x
einsum("ijk,i->jk", K, x)
einsum("ii", M)
einsum("ij,k->kij", M, x)
tr(M^4) + logdet(S + 3 I)
J(z) = z^T z; J(x)
""".strip().split("\n")


@pytest.mark.parametrize("text", PROGRAMS)
def test_value(text: str) -> None:
    expected = oracle(parse(text), VALUES, SIZES)
    with np.errstate(all="ignore"):
        # the branch that `where` does not take may be infinite
        found = evaluate(read(text).node, VALUES, SIZES)
    assert np.shape(found) == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


CASES = load_cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_corpus(case: Case) -> None:
    """The function and the formula of every textbook case mean what the oracle takes them to mean."""
    dims = choose_dimensions(case.vars, case.dims)
    values = sample(case.vars, dims, 1)
    given = elaborate(parse(case.text), case.vars)
    with np.errstate(all="ignore"):
        expected = oracle(parse(case.text), values, dims)
        np.testing.assert_allclose(evaluate(given.node, values, dims), expected, rtol=1e-7, atol=1e-8)
        if not case.expected:
            return
        shape = sum((given.symbols[name].type.shape for name in case.variables), given.type.shape)
        lengths = np.shape(expected) + sum((np.shape(values[name]) for name in case.variables), ())
        formula = elaborate(parse(case.expected), case.vars, shape=shape)
        claimed = oracle(parse(case.expected), values, dims, lengths)
        np.testing.assert_allclose(evaluate(formula.node, values, dims), claimed, rtol=1e-7, atol=1e-8)


def random_text(r: random.Random, kind: tuple[str, ...], depth: int) -> str:
    """A random expression of a kind: ``("s",)``, ``("c", "n")``, ``("r", "n")`` or ``("m", "m", "n")``."""

    def part(*wanted: str) -> str:
        return random_text(r, wanted, depth - 1)

    def body(index: str, size: str) -> str:
        return random_body(r, {index: size}, depth - 1)

    sort = kind[0]
    one, two = r.choice("nm"), r.choice("nm")
    leaves = {
        ("s",): ["a", "b", "2", "0.5", "n", "x_2", "A_{12}", "S[1,2]", "pi", "y[m]"],
        ("c", "n"): ["x", "u", "vector(1)", "ones(n)", "A[2, :]^T", "S_1", "M[:, 2]"],
        ("c", "m"): ["y", "A[:, 1]", "e(2, m)"],
        ("r", "n"): ["x^T", "A[1, :]"],
        ("r", "m"): ["y^T"],
        ("m", "m", "n"): ["A", "B", "y x^T", "ones(m, n)"],
        ("m", "n", "m"): ["A^T", "B'"],
        ("m", "n", "n"): ["S", "M", "x u^T", "diag(x)"],
        ("m", "m", "m"): ["A B^T", "y y^T"],
    }
    if depth <= 0:
        return f"({r.choice(leaves[kind])})"
    if sort == "s":
        rules = [
            lambda: f"({part('s')} + {part('s')})", lambda: f"({part('s')} * {part('s')})",
            lambda: f"({part('r', one)} {part('c', one)})", lambda: f"tr({part('m', one, one)})",
            lambda: f"sum({part('m', one, two)})", lambda: f"mean({part('c', one)})", lambda: f"||{part('c', one)}||^2",
            lambda: f"sin({part('s')})", lambda: f"sum_{{i=1}}^{{n}} ({body('i', 'n')})",
            lambda: f"sum_{{i,j}} A_{{ij}} ({random_body(r, {'i': 'm', 'j': 'n'}, depth - 1)})",
            lambda: f"||{part('m', one, two)}||_F", lambda: f"({part('c', one)})[2]", lambda: f"max({part('c', one)})",
            lambda: f"<{part('c', one)}, {part('c', one)}>", lambda: f"sum_{{i=1}}^{{n-1}} ({body('i', 'n-')})",
        ]  # fmt: skip
        return str(r.choice(rules)())
    size = kind[1]
    if sort == "r":
        rules = [
            lambda: f"({part('c', size)})^T", lambda: f"({part('r', one)} {part('m', one, size)})",
            lambda: f"({part('r', size)} + {part('r', size)})", lambda: f"sum({part('m', one, size)}, axis=0)",
        ]  # fmt: skip
        return str(r.choice(rules)())
    if sort == "c":
        rules = [
            lambda: f"({part('c', size)} + {part('c', size)})", lambda: f"({part('s')} {part('c', size)})",
            lambda: f"({part('m', size, one)} {part('c', one)})", lambda: f"({part('c', size)} .* {part('c', size)})",
            lambda: f"tanh({part('c', size)})", lambda: f"({part('c', size)}).^2", lambda: f"({part('r', size)})^T",
            lambda: f"sum({part('m', size, one)}, axis=1)", lambda: f"softmax({part('c', size)})",
            lambda: f"({part('s')} - {part('c', size)})", lambda: f"diag({part('m', size, size)})",
            lambda: f"max({part('c', size)}, {part('s')})", lambda: f"cumsum({part('c', size)})",
            lambda: f"(sum_{{i=1}}^{{n}} ({body('i', 'n')}) {part('c', size)})",
            lambda: f"(({part('c', size)} > {part('c', size)}) .* {part('c', size)})",
        ]  # fmt: skip
        return str(r.choice(rules)())
    p, q = size, kind[2]
    rules = [
        lambda: f"({part('m', p, q)} + {part('m', p, q)})", lambda: f"({part('m', p, one)} {part('m', one, q)})",
        lambda: f"({part('m', q, p)})^T", lambda: f"({part('c', p)} {part('r', q)})",
        lambda: f"({part('m', p, q)} + {part('c', p)})", lambda: f"({part('m', p, q)} - {part('r', q)})",
        lambda: f"({part('m', p, q)} .* {part('r', q)})", lambda: f"({part('s')} {part('m', p, q)})",
        lambda: f"exp(-({part('m', p, q)}).^2)", lambda: f"softmax({part('m', p, q)})",
        lambda: f"({part('c', p)} .* {part('m', p, q)})", lambda: f"relu({part('m', p, q)})",
    ]  # fmt: skip
    if p == q:
        rules += [
            lambda: f"diag({part('c', p)})", lambda: f"({part('m', p, p)})^2", lambda: f"(2 I + {part('m', p, p)})"
        ]  # fmt: skip
    return str(r.choice(rules)())


def random_body(r: random.Random, indices: dict[str, str], depth: int) -> str:
    """A random scalar that varies with bound indices; the size ``n-`` runs one short."""
    index = r.choice(sorted(indices))
    leaves = {
        "n-": ["x_I x_{I+1}", "(x[I+1] - x[I])^2", "S[I, I+1]", "I u_I"],
        "n": ["x_I", "u_I^2", "I", "S_{II}", "M[I, 2]", "x^T S_I", "||M_I||^2", "sum(A[:, I])", "(S x)_I",
              "logsumexp(M_I + I x)", "u^T M_I x_I", "||A S_I||"],
        "m": ["y_I", "A[I, 1]", "x^T A_I", "sum(A[I, :])", "(A x)_I", "max(A_I)"],
    }  # fmt: skip
    if depth <= 0 or r.random() < 0.4:
        return str(r.choice(leaves[indices[index]])).replace("I", index)

    def part() -> str:
        return random_body(r, indices, depth - 1)

    rules = [
        lambda: f"({part()} + {part()})", lambda: f"({part()} * {part()})", lambda: f"tanh({part()})",
        lambda: f"({part()} - {random_text(r, ('s',), depth - 1)})", lambda: f"({part()})^2",
    ]  # fmt: skip
    if "k" not in indices:
        rules.append(lambda: f"sum_{{k=1}}^{{m}} ({random_body(r, {**indices, 'k': 'm'}, depth - 1)})")
    return str(r.choice(rules)())


@pytest.mark.parametrize("seed", range(0, 400, 20))
def test_random_expressions(seed: int) -> None:
    kinds = [("s",), ("c", "n"), ("c", "m"), ("r", "n"), ("m", "m", "n"), ("m", "n", "n")]
    compared = 0
    for number in range(seed, seed + 20):
        r = random.Random(number)
        text = random_text(r, r.choice(kinds), r.choice([1, 2, 3]))
        values = make_values(number, low=-1)
        with np.errstate(all="ignore"):
            try:
                expected = oracle(parse(text), values, SIZES)
            except ShapeError:
                # the oracle cannot size every vector(1); what it leaves open is not compared
                continue
            found = evaluate(read(text).node, values, SIZES)
        assert np.shape(found) == np.shape(expected), text
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9, err_msg=text)
        compared += 1
    assert compared >= 10


# --- nodes ---------------------------------------------------------------------------------------


def test_a_sum_over_a_whole_axis_is_one_vectorised_node() -> None:
    found = read("sum_{i=1}^N logsumexp(X_i)")
    kinds = [node.kind for node in postorder(found.node) if isinstance(node, Structure)]
    calls = [node for node in postorder(found.node) if isinstance(node, Call)]
    assert kinds == []
    assert [call.shape for call in calls] == [(Dim.of("N"),)]


def test_what_does_not_vary_with_the_index_is_computed_once() -> None:
    found = read("sum_i x_i^2 det(S)")
    assert [node.shape for node in postorder(found.node) if isinstance(node, Call)] == [()]


def test_equal_meanings_are_equal_nodes() -> None:
    same = ["x^T x", "x · x", "<x, x>", "sum_i x_i^2", "sum(x.^2)", 'einsum("i,i", x, x)', "x' x", "||x||^2"]
    assert len({read(text).node for text in same}) == 1


def test_numbers_are_exact() -> None:
    found = read("0.1 + 0.2 - 3/10 + 2^10 - 1024")
    assert isinstance(found.node, Sum)
    assert found.node.terms == ()


def test_numeric_exponents_are_powers_and_symbolic_ones_maps() -> None:
    assert not any(isinstance(node, Map) for node in postorder(read("x^2.5").node))
    assert [node.op for node in postorder(read("x^a").node) if isinstance(node, Map)] == ["pow"]
    assert [node.op for node in postorder(read("S^a").node) if isinstance(node, Call)] == ["matpow"]
    assert [node.op for node in postorder(read("e^x").node) if isinstance(node, Map)] == ["exp"]
    assert [node.op for node in postorder(read("tr(S^a)").node) if isinstance(node, Call)] == ["tracepow"]


def test_a_size_that_is_known_makes_an_exact_power() -> None:
    found = elaborate(parse("1/N sum_{i=1}^N z_i^N"), {"z": "vector(5)"})
    assert not any(isinstance(node, Map | Structure) for node in postorder(found.node))
    assert elaborate(parse("1/T sum_{t=1}^T h_t")).symbols["h"].declared == "vector(T)"


def test_properties_of_calls_are_kept() -> None:
    calls = [node for node in postorder(read("S^-1").node) if isinstance(node, Call)]
    assert [call.op for call in calls if "symmetric" in call.properties] == ["inv"]


def test_definitions_and_the_name_of_the_output() -> None:
    found = read("r = A x - y; s = r^T r; s / 2")
    assert list(found.definitions) == ["r", "s"]
    assert found.definition_types["r"] == Type("column", (Dim.of("m"),))
    assert found.output_name is None
    assert any(node == found.definitions["r"] for node in postorder(found.node))
    assert read("r = A x").output_name == "r"
    assert read("J(z) = z^T z").output_name == "J"
    assert read("p_i = x_i").output_name == "p"


def test_the_output_may_be_given_a_shape() -> None:
    n = Dim.of("n")
    assert elaborate(parse("2 I"), {}, shape=(n, n)).type == Type("matrix", (n, n))
    assert elaborate(parse("vector(1)"), {}, shape=(n,)).type == Type("column", (n,))
    with pytest.raises(ShapeError, match="shape n×n"):
        elaborate(parse("x"), TYPES, shape=(n, n))


def test_e_is_a_number_unless_it_is_declared() -> None:
    assert read("e x").symbols.keys() == {"x"} | set(TYPES)
    assert elaborate(parse("e^a"), {"e": "scalar"}).symbols["e"].declared == "scalar"
    assert list(read("e = 2; e^a").definitions) == ["e"]


def test_a_name_assigned_later_is_a_variable_before() -> None:
    found = read("s = x + 1; x = 2 s; x", {"x": "vector(n)"})
    assert isinstance(found.definitions["s"], Sum)
    assert found.symbols["x"].declared == "vector(n)"


def test_trees_without_positions_are_elaborated_too() -> None:
    tree = Program((Output(Binary("*", Transpose(Name("x")), Name("x"))),))
    assert elaborate(tree, TYPES).node == read("x^T x").node
    with pytest.raises(ShapeError) as caught:
        elaborate(Program((Output(Binary("*", Name("x"), Name("x"))),)), TYPES)
    assert caught.value.span == NOWHERE
    assert "cannot multiply x (n) by x (n)" in caught.value.message


# --- notes ---------------------------------------------------------------------------------------

NOTES = {
    "x .* M x": "x .* M x is read as (x .* M) x",
    "1/2x^2": "1/2x^2 is read as (1/2) x^2",
    "x^2": "x^2 is entrywise",
    "|M|": "|M| is the determinant",
    "A / B": "/ of two matrices is entrywise",
    "||A||": "||A|| of a matrix is the Frobenius norm",
    "||A||_1": "||A||_1 of a matrix is the sum of absolute entries",
    "||A||_inf": "||A||_inf of a matrix is the largest absolute entry",
    "||A||_2": "||A||_2 is the largest singular value",
    "norm(A)": "norm(A) of a matrix is the Frobenius norm",
    "norm1(A)": "norm1(A) of a matrix is the sum of absolute entries",
    "e^A": "e^A is entrywise",
    "sum_i w^T x_i": "x_i is row i of X, as a column",
}


@pytest.mark.parametrize("text", NOTES)
def test_notes(text: str) -> None:
    types = {name: given for name, given in TYPES.items() if name != "x" or "x_i" not in text}
    notes = elaborate(parse(text), types).notes
    assert any(note.startswith(NOTES[text]) for note in notes), notes


@pytest.mark.parametrize(
    "text", ["(x .* M) x", "1/2 x^T x", "1/n sum_i x_i", "a^2", "|a|", "||x||", "x / u", "||A||_F", "normF(A)", "A.^2"]
)
def test_no_note_where_nothing_surprises(text: str) -> None:
    assert read(text).notes == ()


# --- errors --------------------------------------------------------------------------------------

# text, class, words of the message, words of the hint, the part of the text under the caret
ERRORS = [
    ("x x", ShapeError, "cannot multiply x (n) by x (n): both are columns", "x^T x", "x x"),
    ("x u", ShapeError, "both are columns", "x .* u", "x u"),
    ("x^T x^T", ShapeError, "both are rows", "write x^T x", "x^T x^T"),
    ("X y", ShapeError, "cannot multiply X (N×d) by y (m)", "d and m must be equal", "X y"),
    ("A y", ShapeError, "cannot multiply A (m×n) by y (m)", "did you mean A^T y?", "A y"),
    ("A^T x", ShapeError, "A^T (n×m)", "did you mean A x?", "A^T x"),
    ("A B", ShapeError, "cannot multiply A (m×n) by B (m×n)", "did you mean A^T B?", "A B"),
    ("x^T A", ShapeError, "cannot multiply x^T (1×n) by A (m×n)", "did you mean x^T A^T?", "x^T A"),
    ("A x^T", ShapeError, "a row cannot stand behind a matrix", "did you mean A x?", "A x^T"),
    ("y A", ShapeError, "a column cannot stand before a matrix", "did you mean y^T A?", "y A"),
    ("K x", ShapeError, "K (n×m×k)", "einsum", "K x"),
    ("x + y", ShapeError, "cannot add x (n) and y (m)", "same shape", "y"),
    ("x + x^T", ShapeError, "cannot add x (n) and x^T (1×n)", "did you mean x?", "x^T"),
    ("A + x", ShapeError, "cannot add A (m×n) and x (n)", "did you mean x^T?", "x"),
    ("A + A^T", ShapeError, "cannot add", "", "A^T"),
    ("x .* y", ShapeError, "cannot multiply x (n) by y (m)", "same shape", "x .* y"),
    ("x > y", ShapeError, "cannot compare", "", "x > y"),
    ("A / x", ShapeError, "cannot divide A (m×n) by x (n)", "./", "A / x"),
    ("x^T M x / x^T x", ShapeError, "ends before x", "did you mean (x^T M x) / (x^T x)?", "x^T M x / x^T x"),
    ("A^2", ShapeError, "a matrix power needs a square matrix", "", "A"),
    ("A^-1", ShapeError, "needs a square matrix, A (m×n) is not", "", "A"),
    ("A \\ x", ShapeError, "left division needs a square matrix", "", "A"),
    ("x \\ x", ShapeError, "cannot solve", "square matrix on the left", "x \\ x"),
    ("M^x", ShapeError, "to the power x (n)", ".^", "M^x"),
    ("M^1.5", Unsupported, "a matrix to the power 3/2", ".^", "M^1.5"),
    ("tr(A)", ShapeError, "tr takes a square matrix, A (m×n) is not", "square", "tr(A)"),
    ("det(x)", ShapeError, "square matrix", "x (n)", "det(x)"),
    ("K^T", ShapeError, "cannot transpose K", "einsum", "K^T"),
    ("[A, M]", ShapeError, "does not fit", "m entries long, the block n", "M"),
    ("[x, u; x]", ShapeError, "different lengths", "as many blocks", "[x, u; x]"),
    ("x[4, 1]", ShapeError, "takes one index, not 2", "n", "x[4, 1]"),
    ("z: vector(3); z[4]", ShapeError, "position 4 is outside", "", "z[4]"),
    ("x[0]", ShapeError, "position 0 is not in x", "count from 1", "x[0]"),
    ("x[2:1]", ShapeError, "the range 2:1 is empty", "", "2:1"),
    ("a[1]", ShapeError, "a is a scalar", "vector", "a[1]"),
    ("x[q]", UnknownName, "q is neither a size nor an index", "sum_{q=1}", "q"),
    ("x[u]", Unsupported, "u as an index", "integers", "u"),
    ("sum_i x[2 i]", Unsupported, "not an index plus a constant", "x_{i+1}", "2 i"),
    ("x_i + 1", UnknownName, "the index i of x_i is not bound", "sum_{i} x_i", "x_i"),
    ("sum_{i=1}^{n} x_i y_i", ShapeError, "runs to n, but y has m entries", "shorten", "y_i"),
    ("sum_{i=1}^{n} x_{i+1}", ShapeError, "runs to n + 1", "shorten", "x_{i+1}"),
    ("sum_{i=1}^{n} x_{i-1}", ShapeError, "reaches position 0", "count from 1", "x_{i-1}"),
    ("sum_{i=5}^{2} x_i", ShapeError, "from 5 to 2", "", "sum_{i=5}^{2} x_i"),
    ("sum_{i=1}^{a} x_i", ShapeError, "the bound a is declared as a variable", "leave out", "{a}"),
    ("sum_i 1", ShapeError, "the index i does not follow", "sum_{i=1}^{n}", "sum_i 1"),
    ("prod_i M_i", Unsupported, "a product over an index of arrays", "scalar", "prod_i M_i"),
    ("2 I", ShapeError, "the size of I does not follow", "I(n)", "I"),
    ("ones + 1", ShapeError, "the size of ones", "ones(n)", "ones"),
    ("vector(1)^T vector(1)", ShapeError, "the size of vector(1)", "ones(n)", "vector(1)"),
    ("T + x", UnknownName, "T alone is not a name", "x^T", "T"),
    ("sigmod(x)", UnknownName, "there is no function sigmod", "did you mean sigmoid?", "sigmod"),
    ("Sum(x)", UnknownName, "there is no function Sum", "did you mean sum?", "Sum"),
    ("q(x)", UnknownName, "there is no function q", "", "q"),
    ("log x", UnknownName, "log is a function", "write log(x)", "log"),
    ("logx + 1", UnknownName, "logx is not known", "write log(x)", "logx"),
    ("sumx", UnknownName, "sumx is not known", "write sum(x)", "sumx"),
    ("xTAx", UnknownName, "xTAx is not known", "write x^T A x", "xTAx"),
    ("wTx", UnknownName, "wTx is not known", "write w^T x", "wTx"),
    ("x(x + 1)", ShapeError, "both are columns", "x .* (x + 1)", "x(x + 1)"),
    ("x(1, 2)", ShapeError, "x is a variable, not a function", "*", "x(1, 2)"),
    ("f(z) = f(z) + 1; f(x)", Unsupported, "defined by itself", "", "f(z)"),
    ("f(u, v) = u; f(x)", ShapeError, "f takes 2 arguments, not 1", "f(u, v)", "f(x)"),
    ("sum(A, axis=3)", ShapeError, "no axis 3 of a matrix (m, n)", "axes", "sum(A, axis=3)"),
    ("sum(A, along=1)", UsageError, "sum has no option along", "axis=", "along"),
    ('einsum("ij,jk", A)', ShapeError, "names 2 operands, but 1 is given", "", None),
    ('einsum("ijk", A)', ShapeError, "does not fit A (m×n)", "one letter", '"ijk"'),
    ('einsum("ij,jk->ik", A, B)', ShapeError, "the index j of einsum has the sizes n and m", "", None),
    ('einsum("ij->iq", A)', ShapeError, "distinct letters", "", None),
    ("1/0", DomainError, "division by zero", "", "1/0"),
    ("z: vector(n); z: vector(m); z", ShapeError, "as column (n) and as column (m)", "leave out", "z"),
    ("n: scalar; x^T x", ShapeError, "n is declared as a variable and used as a size", "leave out", "n: scalar"),
    ("exp: scalar; exp", UsageError, "exp is a function", "exp_1", "exp"),
    ("sin = 3", UsageError, "sin is a function", "", "sin"),
    ("n = 3; x", ShapeError, "n is a size", "another name", "n"),
    ("z: matrix(m, n) symmetric; z", ShapeError, "symmetric but not square: m×n", "matrix(n, n)", None),
    ("z: vector(n) spd; z", ShapeError, "vector and cannot be spd", "matrices", None),
    ("z: vector(0); z", ShapeError, "cannot have the size 0", "positive", None),
    ("r: vector(3); r = A^T A", ShapeError, "r is declared as column (3)", "declaration", "r = A^T A"),
    ("z: vector(n)", UsageError, "no output", "expression", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "error", "message", "hint", "place"), ERRORS, ids=[row[0] for row in ERRORS])
def test_errors(text: str, error: type[MatcalcError], message: str, hint: str, place: str | None) -> None:
    with pytest.raises(MatcalcError) as caught:
        read(text)
    assert type(caught.value) is error
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")
    assert "?" not in caught.value.message
    if place is not None:
        span = caught.value.span
        assert span is not None
        assert text[span.start : span.end] == place


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x y", ["x^T y", "x y^T", "x .* y", "declare"]),
        ("A x y", ["(A x)^T y", "declare"]),
        ("w x + b", ["w .* x"]),
        ("A: matrix(m, n); A A", ["A^T A"]),
        ("q: vector(n); q \\ x", ["assumed", "x: vector(m)"]),
    ],
)
def test_errors_of_inference_ask_for_declarations(text: str, words: list[str]) -> None:
    with pytest.raises(ShapeError) as caught:
        read(text, None)
    assert [word for word in words if word not in (caught.value.hint or "")] == []


@pytest.mark.parametrize(
    ("declared", "error"),
    [
        ({"x": "vector(n)", "n": "scalar"}, ShapeError),
        ({"exp": "scalar"}, MatcalcError),
        ({"λ": "scalar", "lambda": "vector(n)"}, UsageError),
        ({"x": "vector(n, n, n)"}, MatcalcError),
        ({"x": "vector(n) symmetric"}, ShapeError),
    ],
)
def test_bad_declarations_outside_the_text(declared: dict[str, str], error: type[MatcalcError]) -> None:
    with pytest.raises(error):
        elaborate(parse("x"), declared)


def test_a_contradiction_between_text_and_outside() -> None:
    with pytest.raises(ShapeError, match="as column"):
        elaborate(parse("x: vector(n); x"), {"x": "matrix(n, n)"})


# --- unification ---------------------------------------------------------------------------------


def test_unification_solves_linear_equations() -> None:
    dimensions = Dimensions()
    one, two = dimensions.fresh(), dimensions.fresh()
    assert dimensions.unify(one + 1, Dim.of("n"))
    assert dimensions.unify(two * 2, one + Dim.of("n") + 1)
    assert str(dimensions.resolve(two)) == "n"
    assert not dimensions.unify(one, Dim.of("n"))


def test_unification_waits_for_products_and_takes_back() -> None:
    dimensions = Dimensions()
    one, two = dimensions.fresh(), dimensions.fresh()
    assert dimensions.unify(one * two, Dim.of(12))
    mark = dimensions.mark()
    assert dimensions.unify(one, Dim.of(5))
    assert dimensions.settle() is not None
    dimensions.rollback(mark)
    assert dimensions.unify(one, Dim.of(3))
    assert dimensions.unify(one * two, Dim.of(12))
    assert dimensions.settle() is None
    assert dimensions.resolve(two) == Dim.of(4)


def test_the_shorter_of_two_sizes_follows_what_is_known_of_them() -> None:
    found = read("[svdvals([A, x]); 1] + u", {"A": "matrix(2, k)", "x": "vector(2)"})
    assert found.symbols["u"].declared == "vector(min(2, k + 1) + 1)"
    dimensions = Dimensions()
    one, two = dimensions.fresh(), dimensions.fresh()
    shorter = Dim.of(f"min({one * 2 - 1}, {two})")
    assert dimensions.unify(one, Dim.of("n"))
    assert dimensions.unify(two, Dim.of("n") * 2)
    assert str(dimensions.resolve(shorter)) == "2 n - 1"
    three = dimensions.fresh()
    assert not dimensions.unify(three, Dim.of(f"min({three}, k)"))


def test_a_size_is_never_negative_or_broken() -> None:
    dimensions = Dimensions()
    assert not dimensions.unify(dimensions.fresh() + 3, Dim.of(2))
    assert not dimensions.unify(dimensions.fresh() * 2, Dim.of(3))


# --- scale and determinism -----------------------------------------------------------------------


def timed(text: str, types: Mapping[str, str] | None = None) -> tuple[Elaborated, float]:
    program = parse(text)
    start = time.process_time()
    return elaborate(program, types), time.process_time() - start


@pytest.mark.parametrize(
    ("text", "types"),
    [
        (" + ".join(["x"] * 10_000), {"x": "vector(n)"}),
        (" + ".join(f"x_{k}" for k in range(10_000)), None),
        (" + ".join(f"{k + 1} x" for k in range(10_000)), None),
        (" + ".join(f"a_{k}^T b_{k}" for k in range(60)), None),
        (" + ".join(f"A_{k} x" if k % 2 else f"b_{k}" for k in range(1000)), None),
        ("\n".join(f"h_{k + 1} = tanh(W_{k} h_{k} + b_{k})" for k in range(40)), None),
        ("\n".join(["f_0(x) = x + x", *(f"f_{k + 1}(x) = f_{k}(x) + f_{k}(x)" for k in range(80)), "f_80(y)"]), None),
    ],
    ids=["one name", "many names", "coefficients", "inner products", "mixed orders", "layers", "functions"],
)
def test_long_programs_take_linear_time(text: str, types: Mapping[str, str] | None) -> None:
    found, seconds = timed(text, types)
    assert found.node.shape == found.type.shape
    assert seconds < 2.5


@pytest.mark.parametrize(
    "text",
    [
        "sin(" * 1000 + "x" + ")" * 1000,
        "(" * 1000 + "x" + " + 1)" * 1000,
        "x" + "'" * 1000,
        "-" * 1000 + "x",
        " ".join(["A"] * 1000) + " x",
        "^".join(["a"] * 1000),
        "r_0 = x\n" + "\n".join(f"r_{k + 1} = tanh(r_{k})" for k in range(1000)),
        "".join(f"sum_{{i_{k}=1}}^n " for k in range(300)) + "x_n",
    ],
    ids=["functions", "brackets", "transposes", "signs", "products", "powers", "statements", "sums"],
)
def test_deep_programs(text: str) -> None:
    assert read(text, {"x": "vector(n)", "A": "matrix(n, n)", "a": "scalar"}).node is not None


def test_deep_errors_keep_their_place() -> None:
    text = "sin(" * 1000 + "x x" + ")" * 1000
    with pytest.raises(ShapeError) as caught:
        read(text)
    assert caught.value.span is not None
    assert text[caught.value.span.start : caught.value.span.end] == "x x"


def test_the_same_under_every_hash_seed(root: Any) -> None:
    program = (
        "from matcalc.elaborate import elaborate\nfrom matcalc.syntax.parse import parse\n"
        "for text in ('sum_i ||x_i - mu||^2', 'W_2 tanh(W_1 x + b_1) + b_2', 'sum_{i,j} A_ij x_i exp(y_j)'):\n"
        "    found = elaborate(parse(text))\n"
        "    print(found.node.digest.hex(), [s.declared for s in found.symbols.values()], found.notes)\n"
    )
    outputs = set()
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, cwd=root
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert next(iter(outputs)).count("\n") == 3


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("g_k = sum_i x_i A_{ki}", "A"),
        ("g_k = sum_{i} A_{ki} x_i; g^T g", "2 A^T A x"),
        ("r_i = sum_j A_{ij} x_j - b_i; sum_i r_i^2", "2 A^T (A x - b)"),
    ],
)
def test_an_entry_may_be_a_sum_over_another_index(text: str, formula: str) -> None:
    """``A_{ki}`` under a sum over i is an element of A, not a matrix of that name."""
    assert mc.derive(text, "x").formula == formula


def test_an_identity_before_a_bracket_is_a_factor() -> None:
    """``I (A + s I)`` is a product as it is printed; ``I(n)`` without a blank gives the size."""
    assert mc.parse("I * (A + s I)^-1").formula == "I (A + s I)^-1"
    assert mc.derive("x^T I (A + s I) x", "x").formula == mc.derive("x^T (A + s I) x", "x").formula
    assert mc.parse("I(n)", {"x": "vector(n)"}).shape == ("n", "n")


def test_a_name_that_looks_like_a_product_is_noted() -> None:
    """``Ax`` beside ``x`` is one name, which a reader of print does not expect; declared names are meant so."""
    note = "Ax is read as one name; write A x for the product"
    assert note in mc.parse("x'Ax").notes
    assert note not in mc.parse("x'Ax", {"Ax": "matrix(n, n)"}).notes
    assert not mc.parse("x' A x").notes
