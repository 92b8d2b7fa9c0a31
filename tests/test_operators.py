"""Derivatives as operators: equal to the dense ones, compressed, and exact where they solve."""

from __future__ import annotations

import pickle
import re
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import oracle
import pytest
from corpus_data import Case, load_cases, sample_case
from random_programs import random_case
from random_programs import values_of as random_values
from test_corpus import numerical

import matcalc as mc
from matcalc import compressed
from matcalc.errors import DomainError, ShapeError, Unsupported, UsageError
from matcalc.expr.dims import Dim
from matcalc.lower import networks, systems
from matcalc.lower.compress import DENSE, Compressed
from matcalc.lower.function import SIGNATURES
from matcalc.lower.systems import System, methods
from matcalc.operators import DerivativeOperator

CASES = [case for case in load_cases() if case.order == 1 or not mc.parse(case.text, vars=dict(case.vars)).shape]
"""Every derivative that is a Jacobian or a Hessian."""

Array = Any


def relative(got: Any, want: Any) -> float:
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    return float(np.max(np.abs(got - want), initial=0.0) / max(1.0, np.max(np.abs(want), initial=0.0)))


# --- ways to keep a derivative -------------------------------------------------------------------


def contracted(block: Compressed, _sizes: Any) -> tuple[int, ...]:
    """Every component as one array."""
    return (0,) * sum(len(summand.components) for summand in block.summands)


def apart(block: Compressed, _sizes: Any) -> tuple[int, ...]:
    """Every component with as many labels open as may be."""
    return tuple(len(ways) - 1 for summand in block.summands for ways in summand.components)


def whole(_block: Compressed, _sizes: Any) -> tuple[int, ...]:
    """One array."""
    return DENSE


WAYS: tuple[Callable[..., tuple[int, ...]] | None, ...] = (None, contracted, apart, whole)


# --- every derivative of the corpus --------------------------------------------------------------


def operator_of(case: Case, values: dict[str, Array]) -> mc.DerivativeOperator:
    if case.order == 1:
        return mc.jacobian(case.text, case.wrt, dict(case.vars), form="operator")(**passed(values))
    if case.wrt2 in (None, case.wrt):
        return mc.hessian(case.text, case.wrt, dict(case.vars), form="operator")(**passed(values))
    rows = mc.hessian(case.text, case.variables, dict(case.vars), form="operator")(**passed(values))
    return rows[0][1]


def passed(values: dict[str, Array]) -> dict[str, Array]:
    return {f"{name}_" if name == "lambda" else name: value for name, value in values.items()}


def dense(case: Case, values: dict[str, Array]) -> Array:
    """The dense derivative, which is that of the interpreter."""
    if case.order == 1:
        got = mc.jacobian(case.text, case.wrt, dict(case.vars))(**passed(values))
    elif case.wrt2 in (None, case.wrt):
        got = mc.hessian(case.text, case.wrt, dict(case.vars))(**passed(values))
    else:
        got = mc.hessian(case.text, case.variables, dict(case.vars))(**passed(values))[0][1]
    dims, _ = sample_case(case)
    want, tolerance = numerical(case, values, dims)
    assert relative(got, want) < tolerance
    return np.asarray(got)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_operator_is_the_derivative(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products, the dense array, the diagonal and solutions, however the components are kept."""
    _, values = sample_case(case)
    want = dense(case, values)
    for way in WAYS:
        if way is not None:
            monkeypatch.setattr("matcalc.compressed.chosen_ways", way)
        operator = operator_of(case, values)
        assert operator.shape == want.shape
        assert relative(operator.todense(), want) < 1e-12
        compare_products(operator, want)
        compare_solutions(operator, want)


def compare_products(operator: mc.DerivativeOperator, want: Array) -> None:
    """Products with arrays, with flattened arrays and with columns, on both sides; the diagonal."""
    rng = np.random.default_rng(3)
    for turned, axes in ((operator, len(operator.variable_shape)), (operator.T, len(operator.output_shape))):
        tensor = want if turned is operator else np.moveaxis(want, range(want.ndim), np.roll(range(want.ndim), axes))
        direction = rng.standard_normal(turned.variable_shape)
        product = np.tensordot(tensor, direction, axes)
        assert relative(turned @ direction, product) < 1e-12
        flat = turned @ direction.ravel()
        assert relative(np.ravel(flat), np.ravel(product)) < 1e-12
        columns = rng.standard_normal((direction.size, 3))
        matrix = tensor.reshape(turned.matrix_shape)
        assert relative(turned @ columns, matrix @ columns) < 1e-12
        assert relative(turned.todense(), tensor) < 1e-12
    if operator.output_shape == operator.variable_shape:
        assert relative(operator.diagonal().ravel(), np.diag(want.reshape(operator.matrix_shape))) < 1e-12
    else:
        with pytest.raises(ShapeError):
            operator.diagonal()


def compare_solutions(operator: mc.DerivativeOperator, want: Array) -> None:
    """Where the matrix is well conditioned, every method finds the solution; else none returns a wrong one."""
    rows, columns = operator.matrix_shape
    right = np.random.default_rng(5).standard_normal(operator.output_shape)
    if rows != columns:
        with pytest.raises(ShapeError, match="no inverse"):
            operator.solve(right)
        return
    matrix = want.reshape(rows, columns)
    if operator.singular:
        assert np.linalg.matrix_rank(matrix) < rows
        with pytest.raises(Unsupported, match="within"):
            operator.solve(right)
        return
    if np.linalg.cond(matrix) > 1e6:
        try:
            solution = operator.solve(right)
        except DomainError:
            return
        assert np.linalg.norm(operator @ solution - right) < 1e-7 * np.linalg.norm(right)
        return
    expected = np.linalg.solve(matrix, np.ravel(right)).reshape(operator.variable_shape)
    assert relative(operator.solve(right), expected) < 1e-9
    assert np.max(np.abs(operator @ operator.solve(right) - right), initial=0.0) < 1e-9
    system = System(operator.networks, operator.layout.rows, operator.layout.columns, operator.dtype)
    costs = [method.cost for method in methods(system)]
    assert costs == sorted(method.cost for way in systems.WAYS for method in way(system))
    for method in methods(system):
        try:
            found = method.solve(right.reshape(*operator.layout.rows, 1)).reshape(operator.variable_shape)
        except np.linalg.LinAlgError:
            # a part that has to be invertible is not: another method is taken
            continue
        residual = np.linalg.norm(operator @ found - right)
        assert relative(found, expected) < 1e-8 or residual > 1e-8 * np.linalg.norm(right), method.name


# --- structures that are found -------------------------------------------------------------------


class Program(NamedTuple):
    """A function, the structure of its derivative and the method that solves with it."""

    text: str
    wrt: str
    vars: dict[str, str]
    structure: str
    method: str
    kind: str = "hessian"


PROGRAMS = (
    Program(
        "||M .* (X - U V^T)||_F^2",
        "U",
        {"X": "matrix(n, m)", "U": "matrix(n, k)"},
        "block diagonal: n blocks of k × k",
        "block by block",
    ),
    Program(
        "||M .* (X - U V^T)||_F^2",
        "V",
        {"X": "matrix(n, m)", "U": "matrix(n, k)"},
        "block diagonal: m blocks of k × k",
        "block by block",
    ),
    Program(
        "||M .* (X - U V^T)||_F^2 + lambda ||U||_F^2",
        "U",
        {"X": "matrix(n, m)", "U": "matrix(n, k)", "lambda": "scalar positive"},
        "block diagonal: n blocks of k × k + multiple of the identity",
        "block by block",
    ),
    Program(
        "||X - U V^T||_F^2",
        "U",
        {"X": "matrix(n, m)", "U": "matrix(n, k)"},
        "block diagonal: n equal blocks of k × k",
        "block by block",
    ),
    Program(
        "||A X B - C||_F^2",
        "X",
        {"A": "matrix(p, n)", "X": "matrix(n, k)", "B": "matrix(k, m)"},
        "Kronecker product: (n × n) ⊗ (k × k)",
        "Kronecker factors",
    ),
    Program(
        "||A X B - C||_F^2 + lambda ||X||_F^2",
        "X",
        {"A": "matrix(p, n)", "X": "matrix(n, k)", "B": "matrix(k, m)", "lambda": "scalar positive"},
        "Kronecker product: (n × n) ⊗ (k × k) + multiple of the identity",
        "",
    ),
    Program(
        "sum(log(1 + exp(-y .* (X w)))) + lambda/2 ||w||^2",
        "w",
        {"X": "matrix(k, p)", "lambda": "scalar positive"},
        "multiple of the identity + rank at most k: p × p",
        "",
    ),
    Program("sum(x.^4)", "x", {"x": "vector(n)"}, "diagonal: n entries", "diagonal"),
    Program("sum(X.^4)", "X", {"X": "matrix(n, m)"}, "diagonal: m n entries", "diagonal"),
    Program("x^T x", "x", {"x": "vector(n)"}, "multiple of the identity", "diagonal"),
    Program("3 ||X||_F^2", "X", {"X": "matrix(n, m)"}, "multiple of the identity", "diagonal"),
    Program("x^T A x", "x", {"x": "vector(n)"}, "dense: n × n", "dense factorization"),
    Program("logdet(X)", "X", {"X": "matrix(n, n)"}, "Kronecker product: (n × n) ⊗ (n × n)", "Kronecker factors"),
    Program("(a^T x)^2 + x^T x", "x", {"x": "vector(p)"}, "multiple of the identity + rank 1: p × p", ""),
    Program("exp(a^T x) + sum(x.^4)", "x", {"x": "vector(p)"}, "diagonal: p entries + rank 1: p × p", ""),
    Program("sum(x)^2 + 3 x^T x", "x", {"x": "vector(p)"}, "multiple of the identity + rank 1: p × p", ""),
    Program("||x|| + x^T x", "x", {"x": "vector(p)"}, "", ""),
    Program("logsumexp(x) + x^T x", "x", {"x": "vector(p)"}, "", ""),
    Program("tr(X^T A X)", "X", {"X": "matrix(n, m)"}, "block diagonal: m equal blocks of n × n", "block by block"),
    Program("tr(X B X^T)", "X", {"X": "matrix(n, m)"}, "block diagonal: n equal blocks of m × m", "block by block"),
    Program("sum((W x - y).^4)", "W", {"W": "matrix(n, m)"}, "block diagonal: n blocks of m × m", "block by block"),
    Program("||W2 tanh(W1 x + b) - y||^2", "b", {"W1": "matrix(n, m)", "W2": "matrix(k, n)"}, "", ""),
    Program("||W2 tanh(W1 x + b) - y||^2", "W1", {"W1": "matrix(n, m)", "W2": "matrix(k, n)"}, "", ""),
    Program("||W2 tanh(W1 x + b) - y||^2", "W2", {"W1": "matrix(n, m)", "W2": "matrix(k, n)"}, "", ""),
    Program("sum((X .* Y).^3)", "X", {"X": "matrix(n, m)"}, "diagonal: m n entries", "diagonal"),
    Program("tr(X^3)", "X", {"X": "matrix(n, n)"}, "", ""),
    Program("||inv(X)||_F^2", "X", {"X": "matrix(n, n)"}, "", ""),
    Program("exp(tr(A X))", "X", {"X": "matrix(n, m)"}, "", ""),
    Program("||X^T X - B||_F^2", "X", {"X": "matrix(n, m)"}, "", ""),
    Program("sum(softmax(X) .* Y)", "X", {"X": "matrix(n, m)"}, "", ""),
    Program("tanh(x)", "x", {"x": "vector(n)"}, "diagonal: n entries", "diagonal", "jacobian"),
    Program("tanh(X)", "X", {"X": "matrix(n, m)"}, "diagonal: m n entries", "diagonal", "jacobian"),
    Program("softmax(x)", "x", {"x": "vector(n)"}, "diagonal: n entries + rank 1: n × n", "", "jacobian"),
    Program("softmax(X)", "X", {"X": "matrix(n, m)"}, "", "", "jacobian"),
    Program("sigmoid(A x)", "x", {"A": "matrix(n, m)"}, "dense: n × m", "", "jacobian"),
    Program("softmax(A x)", "x", {"A": "matrix(n, m)"}, "", "", "jacobian"),
    Program("X^T", "X", {"X": "matrix(n, m)"}, "permuted diagonal: m n entries", "diagonal", "jacobian"),
    Program("diag(x)", "x", {"x": "vector(n)"}, "repeated diagonal: n entries", "", "jacobian"),
    Program("diag(X)", "X", {"X": "matrix(n, n)"}, "repeated diagonal: n entries", "", "jacobian"),
    Program("A X B", "X", {"A": "matrix(n, n)", "B": "matrix(m, m)"}, "Kronecker product: (n × n) ⊗ (m × m)",
            "Kronecker factors", "jacobian"),
    Program("A X + X B", "X", {"A": "matrix(n, n)", "B": "matrix(m, m)"}, "", "dense factorization", "jacobian"),
    Program("inv(X)", "X", {"X": "matrix(n, n)"}, "Kronecker product: (n × n) ⊗ (n × n)", "Kronecker factors",
            "jacobian"),
    Program("A X^T B", "X", {"A": "matrix(m, m)", "B": "matrix(n, n)"}, "Kronecker product: (m × m) ⊗ (n × n)",
            "Kronecker factors", "jacobian"),
    Program("X^T X", "X", {"X": "matrix(n, m)"}, "", "", "jacobian"),
    Program("vec(A X B)", "X", {"A": "matrix(p, n)", "B": "matrix(m, k)"}, "", "", "jacobian"),
    Program("vec(A X B)", "X", {"A": "matrix(n, n)", "B": "matrix(m, m)"}, "Kronecker product: (m × m) ⊗ (n × n)",
            "Kronecker factors", "jacobian"),
    Program("vec(X)", "X", {"X": "matrix(n, m)"}, "permuted diagonal: m n entries", "diagonal", "jacobian"),
    Program("vec(tanh(X))", "X", {"X": "matrix(n, m)"}, "permuted diagonal: m n entries", "diagonal", "jacobian"),
    Program("vec(tanh(X)) + A vec(X)", "X", {"X": "matrix(n, m)"}, "dense: m n × m n", "dense factorization",
            "jacobian"),
    Program("kron(A, X)", "X", {"A": "matrix(p, q)", "X": "matrix(n, m)"}, "", "", "jacobian"),
    Program("||vec(X) - a||^2 + tr(X^T B X)", "X", {"X": "matrix(n, m)"}, "", "", "hessian"),
    Program("a x^T", "x", {"a": "vector(n)", "x": "vector(m)"}, "", "", "jacobian"),
    Program("x.^2 .* (A x)", "x", {"x": "vector(n)"}, "", "", "jacobian"),
    Program("x / ||x||", "x", {"x": "vector(n)"}, "", "", "jacobian"),
    Program("diag(v) A x", "v", {"v": "vector(n)", "A": "matrix(n, m)"}, "diagonal: n entries", "diagonal", "jacobian"),
    Program("softmax(X W)", "X", {"X": "matrix(N, d)", "W": "matrix(d, c)"}, "block diagonal: N blocks of c × d", "",
            "jacobian"),
    Program("softmax(X W)", "W", {"X": "matrix(N, d)", "W": "matrix(d, c)"},
            "block diagonal: c blocks of N × d + factored: N c × c d", "", "jacobian"),
    Program("sum(log(1 + exp(X W))) + ||W||_F^2", "W", {"X": "matrix(N, d)", "W": "matrix(d, c)"},
            "block diagonal: c blocks of d × d + multiple of the identity", "block by block"),
    Program("X x", "X", {"X": "matrix(n, m)"}, "", "", "jacobian"),
)  # fmt: skip


def values_of(program: Program) -> dict[str, Array]:
    types = mc.parse(program.text, vars=program.vars).vars
    return oracle.sample(types, seed=7)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: f"{program.text} by {program.wrt}")
def test_programs(program: Program) -> None:
    values = values_of(program)
    f = getattr(mc, program.kind)(program.text, program.wrt, program.vars, form="operator")
    operator = f(**passed(values))
    order = 2 if program.kind == "hessian" else 1
    types = mc.parse(program.text, vars=program.vars).vars
    want = oracle.derivative(oracle.read(program.text), values, None, program.wrt, order=order, types=types)
    assert relative(operator.todense(), want) < (1e-9 if order == 1 else 1e-6)
    if program.structure:
        assert f.structure == program.structure
    if program.method:
        assert operator.method == program.method
    compare_products(operator, operator.todense())
    rows, columns = operator.matrix_shape
    if rows == columns and np.linalg.cond(want.reshape(rows, columns)) < 1e6:
        right = np.random.default_rng(2).standard_normal((rows, 4))
        assert relative(operator @ operator.solve(right), right) < 1e-9


@pytest.mark.parametrize("number", range(60))
def test_random_programs(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    case = random_case(11, number)
    values = passed(random_values(case))
    second = case.order == 2 and len(set(case.wrt)) == 1 and not mc.parse(case.text, vars=dict(case.types)).shape
    kind = mc.hessian if second else mc.jacobian
    want = np.asarray(kind(case.text, case.wrt[0], dict(case.types))(**values))
    f = kind(case.text, case.wrt[0], dict(case.types), form="operator")
    for way in WAYS:
        if way is not None:
            monkeypatch.setattr("matcalc.compressed.chosen_ways", way)
        operator = f(**values)
        assert relative(operator.todense(), want) < 1e-10
        compare_products(operator, want)
        compare_solutions(operator, want)


def test_there_are_enough_programs() -> None:
    assert len(PROGRAMS) >= 40


# --- methods at the sizes they are for -----------------------------------------------------------


def logistic(samples: int, features: int, dtype: Any = float) -> mc.DerivativeOperator:
    rng = np.random.default_rng(1)
    f = mc.hessian("sum(log(1 + exp(-y .* (X w)))) + lambda/2 ||w||^2", "w", {"X": "matrix(N, d)"}, form="operator")
    X = rng.standard_normal((samples, features)).astype(dtype)
    y = rng.choice([-1.0, 1.0], samples).astype(dtype)
    return f(X=X, y=y, w=rng.standard_normal(features).astype(dtype) / 10, λ=0.5)


def test_few_samples_are_of_low_rank() -> None:
    H = logistic(20, 2000)
    assert H.structure == "multiple of the identity + rank at most 20: 2000 × 2000"
    assert H.method == "low rank beside diagonal"
    assert H.nbytes < 25 * 2000 * 8
    g = np.random.default_rng(0).standard_normal(2000)
    assert np.linalg.norm(H @ H.solve(g) - g) < 1e-11 * np.linalg.norm(g)


def test_many_samples_are_one_matrix() -> None:
    H = logistic(500, 30)
    assert H.method == "dense factorization"
    g = np.random.default_rng(0).standard_normal(30)
    assert np.linalg.norm(H @ H.solve(g) - g) < 1e-11 * np.linalg.norm(g)


def ridge(p: int, n: int, k: int, m: int) -> mc.DerivativeOperator:
    rng = np.random.default_rng(1)
    f = mc.hessian("||A X B - C||_F^2 + lambda ||X||_F^2", "X", form="operator")
    A, B = rng.standard_normal((p, n)), rng.standard_normal((k, m))
    return f(A=A, B=B, X=rng.standard_normal((n, k)), C=rng.standard_normal((p, m)), λ=0.5)


def test_a_kronecker_product_and_the_identity_by_eigenvalues() -> None:
    H = ridge(70, 60, 50, 40)
    assert H.method == "eigenvalues of the Kronecker factors"
    g = np.random.default_rng(0).standard_normal((60, 50))
    assert np.linalg.norm(H @ H.solve(g) - g) < 1e-11 * np.linalg.norm(g)


def test_a_term_of_low_rank_beside_blocks() -> None:
    """The layer before the last of a network: blocks for each unit, and a term of the rank of the output."""
    rng = np.random.default_rng(1)
    f = mc.hessian(
        "||w^T tanh(W x) - y||^2 + lambda/2 ||W||_F^2", "W", {"W": "matrix(n, m)", "y": "scalar"}, form="operator"
    )
    H = f(W=rng.standard_normal((40, 30)) / 5, w=rng.standard_normal(40), x=rng.standard_normal(30), y=1.0, λ=3.0)
    assert "low rank beside" in H.method
    g = rng.standard_normal((40, 30))
    assert np.linalg.norm(H @ H.solve(g) - g) < 1e-9 * np.linalg.norm(g)


def test_newton_reaches_the_minimum_of_least_squares_in_one_step() -> None:
    rng = np.random.default_rng(0)
    arrays = {"M": (rng.random((8, 6)) < 0.8) * 1.0, "X": rng.standard_normal((8, 6)), "V": rng.standard_normal((6, 2))}
    text = "||M .* (X - U V^T)||_F^2"
    g, H = mc.grad(text, "U"), mc.hessian(text, "U", form="operator")
    U = rng.standard_normal((8, 2))
    U = U - H(U=U, **arrays).solve(g(U=U, **arrays))
    assert np.max(np.abs(g(U=U, **arrays))) < 1e-12


def test_no_tensor_is_formed() -> None:
    """1000 blocks of 5 × 5 take 0.2 MB, the tensor would take 200 MB."""
    n, m, k = 1000, 20, 5
    rng = np.random.default_rng(0)
    arrays = {
        "M": (rng.random((n, m)) < 0.5) * 1.0,
        "X": rng.standard_normal((n, m)),
        "U": rng.standard_normal((n, k)),
        "V": rng.standard_normal((m, k)),
    }
    f = mc.hessian("||M .* (X - U V^T)||_F^2 + lambda ||U||_F^2", "U", form="operator")
    f(λ=0.1, **{name: array[:7] if name != "V" else array for name, array in arrays.items()}).solve(np.ones((7, k)))
    f(λ=0.1, **arrays)
    right = rng.standard_normal((n, k))
    tracemalloc.start()
    H = f(λ=0.1, **arrays)
    product = H @ right
    solution = H.solve(product)
    diagonal = H.diagonal()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2e6
    assert H.nbytes <= 8 * (n * k * k + 1)
    assert relative(solution, right) < 1e-9
    assert diagonal.shape == (n, k)


# --- what cannot be solved -----------------------------------------------------------------------


def test_a_singular_diagonal_beside_low_rank() -> None:
    """Where the diagonal alone has no inverse, the sum is formed; where that is too large, the caller is asked."""
    f = mc.hessian("sum(x.^4) + (a^T x)^2", "x", form="operator")
    rng = np.random.default_rng(0)
    for size, formed in ((200, True), (7000, False)):
        x, a, g = rng.standard_normal(size) + 3, rng.standard_normal(size), rng.standard_normal(size)
        x[5] = 0
        H = f(x=x, a=a)
        assert H.method == "low rank beside diagonal"
        if formed:
            assert np.linalg.norm(H @ H.solve(g) - g) < 1e-9 * np.linalg.norm(g)
            continue
        with pytest.raises(Unsupported, match="7000 unknowns"):
            H.solve(g)
        assert np.linalg.norm(H @ H.solve(g, definite=True) - g) <= 1e-10 * np.linalg.norm(g)


def test_a_singular_matrix_is_refused() -> None:
    H = mc.hessian("||A x - b||^2", "x", form="operator")(A=np.ones((3, 4)), x=np.ones(4), b=np.ones(3))
    with pytest.raises(DomainError, match="singular"):
        H.solve(np.arange(4.0))
    zero = mc.hessian("a^T x", "x", form="operator")(a=np.ones(3), x=np.ones(3))
    assert zero.structure == "zero"
    with pytest.raises(DomainError, match="singular"):
        zero.solve(np.ones(3))
    diagonal = mc.jacobian("x.^2", "x", form="operator")(x=np.array([1.0, 0.0, 2.0]))
    with pytest.raises(DomainError, match="singular"):
        diagonal.solve(np.ones(3))


def test_nan_in_the_data_is_nan_in_the_solution() -> None:
    H = mc.hessian("||A x - b||^2", "x", form="operator")(A=np.full((4, 3), np.nan), x=np.ones(3), b=np.ones(4))
    assert np.isnan(H.solve(np.ones(3))).all()


def large() -> mc.DerivativeOperator:
    """Two Kronecker products without a common basis, of 6400 unknowns."""
    rng = np.random.default_rng(0)
    f = mc.hessian("||A X B||_F^2 + ||P X Q||_F^2", "X", form="operator")
    arrays = {name: rng.standard_normal((80, 80)) + 20 * np.eye(80) for name in ("A", "B", "P", "Q")}
    return f(X=rng.standard_normal((80, 80)), **arrays)


def test_what_is_too_large_is_refused_or_solved_to_a_tolerance() -> None:
    H = large()
    assert H.method == ""
    g = np.random.default_rng(0).standard_normal((80, 80))
    with pytest.raises(Unsupported, match="6400 unknowns") as caught:
        H.solve(g)
    assert "definite=True" in (caught.value.hint or "")
    x = H.solve(g, definite=True, tolerance=1e-9)
    assert np.linalg.norm(H @ x - g) <= 2e-9 * np.linalg.norm(g)


def test_conjugate_gradients_notice_what_is_not_definite() -> None:
    H = large()
    terms = tuple(term._replace(number=-term.number) for term in H.layout.terms)
    turned = DerivativeOperator(H.layout._replace(terms=terms), *H._arrays)
    with pytest.raises(DomainError, match="not positive definite"):
        turned.solve(np.ones((80, 80)), definite=True)
    with pytest.raises(DomainError, match="did not reach"):
        H.solve(np.random.default_rng(0).standard_normal((80, 80)), definite=True, tolerance=1e-30)


def test_a_structured_variable_has_no_inverse_on_all_matrices() -> None:
    f = mc.hessian("logdet(X)", "X", {"X": "matrix(n, n) symmetric"}, form="operator")
    X = np.eye(3) + 0.1
    with pytest.raises(Unsupported, match="within symmetric matrices"):
        f(X=X).solve(np.eye(3))
    half = mc.hessian("logdet(X)", "X", {"X": "matrix(n, n) symmetric"}, structure="vech", form="operator")(X=X)
    assert half.shape == (6, 6)
    assert relative(half @ half.solve(np.ones(6)), np.ones(6)) < 1e-12


@pytest.mark.parametrize("given", [np.ones(5), np.ones((3, 4)), np.ones((2, 2, 2)), np.ones((7, 1))])
def test_shapes_are_checked(given: Array) -> None:
    H = mc.hessian("||X||_F^4", "X", {"X": "matrix(n, m)"}, form="operator")(X=np.ones((4, 3)))
    with pytest.raises(ShapeError, match="shape of the variable"):
        _ = H @ given
    with pytest.raises(ShapeError, match="shape of the output"):
        H.solve(given)


def test_complex_arrays_and_numpy_conversions_are_refused() -> None:
    H = mc.hessian("x^T A x", "x", form="operator")(A=np.eye(3), x=np.ones(3))
    with pytest.raises(DomainError, match="real"):
        _ = H @ (1j * np.ones(3))
    with pytest.raises(TypeError, match="todense"):
        np.asarray(H)
    with pytest.raises(TypeError):
        _ = np.ones(3) @ H


# --- as the other compiled functions -------------------------------------------------------------


def test_float32_stays_float32() -> None:
    for H in (logistic(3, 40, np.float32), logistic(40, 3, np.float32)):
        g = np.ones(H.variable_shape, np.float32)
        for array in (H.todense(), H @ g, H.solve(g), H.diagonal(), H.T @ g):
            assert array.dtype == np.float32
        assert np.linalg.norm(H @ H.solve(g) - g) < 1e-4 * np.linalg.norm(g)
        assert (H @ g.astype(float)).dtype == np.float64


def test_more_than_double_precision_is_not_solved() -> None:
    H = mc.jacobian("x.^2", "x", form="operator")(x=np.ones(3, np.longdouble))
    assert (H @ np.ones(3)).dtype == np.longdouble
    with pytest.raises(Unsupported, match="not solved"):
        H.solve(np.ones(3))


def test_results_are_new_arrays() -> None:
    A, x = np.eye(3), np.ones(3)
    H = mc.jacobian("A x", "x", form="operator")(A=A, x=x)
    before = H.todense()
    before[:] = 7
    A[:] = 5
    assert relative(H.todense(), np.eye(3)) == 0
    assert not any(array.flags.writeable for network in H.networks for array, _ in network.parts)
    H.diagonal()[:] = 3
    (H @ x)[:] = 3
    assert relative(H.todense(), np.eye(3)) == 0


def test_functions_and_operators_are_pickled() -> None:
    f = mc.hessian("||A X B - C||_F^2", "X", form="operator")
    rng = np.random.default_rng(0)
    arrays = {"A": rng.standard_normal((5, 4)), "B": rng.standard_normal((3, 2)), "C": rng.standard_normal((5, 2))}
    arrays["X"] = rng.standard_normal((4, 3))
    again = pickle.loads(pickle.dumps(f))
    assert again.structure == f.structure
    H = f(**arrays)
    for copy in (again(**arrays), pickle.loads(pickle.dumps(H))):
        assert relative(copy.todense(), H.todense()) == 0
        assert copy.structure == H.structure


def test_saved_functions_are_the_same(tmp_path: Any) -> None:
    f = mc.hessian("sum(x.^4)", "x", {"x": "vector(n)"}, form="operator")
    mc.save(f, tmp_path / "f.json")
    assert mc.load(tmp_path / "f.json")(x=np.ones(3)).structure == "diagonal: 3 entries"
    g = mc.hessian("sum(x.^4)", "x", {"x": "vector(n)"})
    mc.save(g, tmp_path / "g.json")
    assert relative(mc.load(tmp_path / "g.json")(x=np.ones(3)), 12 * np.eye(3)) == 0


def test_several_threads_get_the_same_operator() -> None:
    f = mc.hessian("sum(log(1 + exp(-y .* (X w)))) + lambda/2 ||w||^2", "w", {"X": "matrix(N, d)"}, form="operator")
    rng = np.random.default_rng(0)
    points = [(rng.standard_normal((size, 12)), rng.standard_normal(size)) for size in (2, 5, 9, 40)] * 4
    found: dict[int, Array] = {}

    def evaluate(place: int) -> None:
        X, y = points[place]
        H = f(X=X, y=y, w=np.full(12, 0.1), λ=1.0)
        found[place] = H @ H.solve(np.ones(12))

    threads = [threading.Thread(target=evaluate, args=(place,)) for place in range(len(points))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(points)
    assert all(relative(value, np.ones(12)) < 1e-10 for value in found.values())


def test_sizes_are_evaluated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What shapes alone decide is not decided again, whether calls are alike or shapes and types take turns."""
    counts: dict[str, int] = {}

    def counted(owner: Any, name: str) -> None:
        plain = getattr(owner, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            counts[name] = counts.get(name, 0) + 1
            return plain(*arguments, **keywords)

        monkeypatch.setattr(owner, name, call)

    counted(Dim, "evaluate")
    counted(compressed, "chosen_ways")
    text, types = "||M .* (X - U V^T)||_F^2 + sum(U.^4)", {"U": "matrix(n, k)", "V": "matrix(m, k)"}
    f = mc.hessian(text, "U", types, form="operator")
    both = mc.hessian(text, ("U", "V"), types, form="operator")
    points = []
    for n, dtype in ((3, float), (5, float), (3, np.float32)):
        shapes = {"M": (n, 4), "X": (n, 4), "U": (n, 2), "V": (4, 2)}
        points.append({name: np.ones(shape, dtype) for name, shape in shapes.items()})
    for arrays in points:
        f(**arrays), both(**arrays)
    assert counts["evaluate"] > 0
    assert counts["chosen_ways"] == 3 + 3 * 4
    counts.clear()
    for arrays in (*points, *points, points[0], points[0]):
        H = f(**arrays)
        assert H.shape == (*arrays["U"].shape, *arrays["U"].shape)
        assert H.dtype == arrays["U"].dtype
        assert both(**arrays)[1][0].shape == (4, 2, *arrays["U"].shape)
    assert not counts


def test_contractions_and_ways_to_solve_are_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def counted(way: Callable[[System], Any]) -> Callable[[System], Any]:
        def found(system: System) -> Any:
            tried.append(way.__name__)
            return way(system)

        return found

    monkeypatch.setattr(systems, "WAYS", tuple(map(counted, systems.WAYS)))
    f = mc.hessian("||X - U V^T||_F^2 + sum(U.^2)", "U", {"U": "matrix(n, k)", "V": "matrix(m, k)"}, form="operator")
    rng = np.random.default_rng(0)
    # sizes that no other test has
    points = [{"X": rng.random((31, 37)), "U": rng.random((31, 3)), "V": rng.random((37, 3))} for _ in range(3)]
    for H in (f(**points[0]), f(**points[1]).T.T):
        H.solve(H @ np.ones((31, 3)))
    once = networks._planned.cache_info().misses
    tried.clear()
    g = rng.random((31, 3))
    H = f(**points[2])
    assert relative(H.solve(H @ g), g) < 1e-12
    assert networks._planned.cache_info().misses == once
    assert len(tried) == 1


def test_an_operator_is_used_by_several_threads_from_the_start() -> None:
    f = mc.hessian(
        "||M .* (X - U V^T)||_F^2 + sum(U.^2)", "U", {"U": "matrix(n, k)", "V": "matrix(m, k)"}, form="operator"
    )
    rng = np.random.default_rng(0)
    shapes = {"M": (60, 40), "X": (60, 40), "U": (60, 4), "V": (40, 4)}
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    g = rng.standard_normal((60, 4))
    want = f(**arrays).todense()
    for _ in range(5):
        shared = f(**arrays)
        start = threading.Barrier(8)
        found: list[tuple[Array, Array]] = []

        def use(shared: Any = shared, start: Any = start, found: Any = found) -> None:
            start.wait()
            found.append((shared @ g, (shared.T @ shared.solve(g))))

        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        for product, solved in found:
            assert relative(product, np.tensordot(want, g, 2)) < 1e-12
            assert relative(solved, g) < 1e-10


def test_calls_of_several_shapes_and_types_in_several_threads() -> None:
    f = mc.hessian("||M .* (X - U V^T)||_F^2", ("U", "V"), {"U": "matrix(n, k)", "V": "matrix(m, k)"}, form="operator")
    rng = np.random.default_rng(0)
    points = []
    for n, dtype in ((3, np.float64), (4, np.float32), (5, np.float64), (4, np.float64)):
        shapes = {"M": (n, 6), "X": (n, 6), "U": (n, 2), "V": (6, 2)}
        points.append({name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()})
    want = [f(**arrays)[0][1].todense() for arrays in points]
    wrong: list[int] = []

    def call(first: int) -> None:
        for turn in range(60):
            place = (first * turn + first) % len(points)
            got = f(**points[place])[0][1]
            if got.dtype != want[place].dtype or not np.array_equal(got.todense(), want[place]):
                wrong.append(place)

    threads = [threading.Thread(target=call, args=(first,)) for first in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_only_the_last_few_shapes_are_remembered() -> None:
    f = mc.hessian("||x||^4", "x", {"x": "vector(n)"}, form="operator")
    for n in (*range(1, 3 * SIGNATURES), 2):
        x = np.arange(1.0, n + 1)
        assert relative(f(x=x).todense(), 4 * (x @ x) * np.eye(n) + 8 * np.outer(x, x)) < 1e-12
        assert len(f._known) <= SIGNATURES


def test_a_function_of_no_arrays_is_a_multiple_of_the_identity() -> None:
    f = mc.hessian("||x||^2", "x", {"x": "vector(n)"}, form="operator")
    for n in (3, 3, 3, 4, 4):
        H = f(x=np.ones(n))
        assert not H.networks[0].parts
        assert relative(H.todense(), 2 * np.eye(n)) == 0


def test_several_variables_are_blocks() -> None:
    text, types = "||X - U V^T||_F^2", {"U": "matrix(n, k)", "V": "matrix(m, k)"}
    rng = np.random.default_rng(0)
    arrays = {"X": rng.standard_normal((6, 5)), "U": rng.standard_normal((6, 2)), "V": rng.standard_normal((5, 2))}
    rows = mc.hessian(text, ("U", "V"), types, form="operator")(**arrays)
    want = mc.hessian(text, ("U", "V"), types)(**arrays)
    for row, expected in zip(rows, want, strict=True):
        for operator, block in zip(row, expected, strict=True):
            assert relative(operator.todense(), block) < 1e-12
    jacobians = mc.jacobian("A x + y", ("x", "y"), form="operator")(A=np.ones((3, 2)), x=np.ones(2), y=np.ones(3))
    assert [J.structure for J in jacobians] == ["dense: 3 × 2", "multiple of the identity"]


def test_errors_are_those_of_other_functions() -> None:
    f = mc.hessian("||A x - b||^2", "x", form="operator")
    with pytest.raises(ShapeError, match="b has length 5 but A has 3 rows"):
        f(A=np.ones((3, 2)), x=np.ones(2), b=np.ones(5))
    with pytest.raises(UsageError, match="missing argument: b"):
        f(A=np.ones((3, 2)), x=np.ones(2))
    with pytest.raises(UsageError, match="positional"):
        f(np.ones(2), A=np.ones((3, 2)), x=np.ones(2), b=np.ones(3))
    with pytest.raises(DomainError, match="not symmetric"):
        mc.hessian("x^T A x", "x", {"A": "matrix(n, n) symmetric"}, form="operator")(
            A=np.array([[1.0, 2.0], [3.0, 4.0]]), x=np.ones(2)
        )
    with pytest.raises(UsageError, match="form"):
        mc.hessian("x^T x", "x", form="sparse")


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: f"{program.text} by {program.wrt}")
def test_sizes_of_one(program: Program) -> None:
    """Axes that are alike only because they are short."""
    types = mc.parse(program.text, vars=program.vars).vars
    names = {name for text in types.values() for name in re.findall(r"\w+", text.partition("(")[2].partition(")")[0])}
    values = passed(oracle.sample(types, dict.fromkeys(names, 1), seed=7))
    want = np.asarray(getattr(mc, program.kind)(program.text, program.wrt, program.vars)(**values))
    operator = getattr(mc, program.kind)(program.text, program.wrt, program.vars, form="operator")(**values)
    assert relative(operator.todense(), want) < 1e-12
    compare_products(operator, want)
    compare_solutions(operator, want)


def test_empty_arrays() -> None:
    H = mc.hessian("||M .* (X - U V^T)||_F^2", "U", {"U": "matrix(n, k)"}, form="operator")(
        M=np.ones((0, 4)), X=np.ones((0, 4)), U=np.ones((0, 2)), V=np.ones((4, 2))
    )
    assert H.todense().shape == (0, 2, 0, 2)
    assert (H @ np.ones((0, 2))).shape == (0, 2)
    assert H.solve(np.ones((0, 2))).shape == (0, 2)
    no_samples = logistic(0, 3)
    assert relative(no_samples.todense(), 0.5 * np.eye(3)) == 0
    assert relative(no_samples.solve(np.ones(3)), np.full(3, 2.0)) < 1e-15


def test_scipy_works_with_the_linear_operator() -> None:
    from scipy.sparse.linalg import cg, svds

    H = logistic(20, 300)
    g = np.random.default_rng(0).standard_normal(300)
    solution, failed = cg(H.linear_operator(), g, rtol=1e-10)
    assert not failed
    assert relative(solution, H.solve(g)) < 1e-6
    J = mc.jacobian("tanh(A x)", "x", {"A": "matrix(n, m)"}, form="operator")(
        A=np.random.default_rng(1).standard_normal((9, 6)), x=np.ones(6)
    )
    operator = J.linear_operator()
    assert operator.shape == (9, 6)
    assert relative(operator @ np.eye(6), J.todense()) < 1e-12
    assert relative(operator.H @ np.eye(9), J.todense().T) < 1e-12
    singular = svds(operator, k=2, return_singular_vectors=False, random_state=0)
    assert relative(np.sort(singular), np.linalg.svd(J.todense(), compute_uv=False)[1::-1]) < 1e-8


def test_a_known_definite_matrix_is_known() -> None:
    H = mc.hessian("1/2 x^T A x", "x", {"A": "matrix(n, n) spd"}, form="operator")(A=np.eye(3), x=np.ones(3))
    assert H.definite
    assert not mc.hessian("1/2 x^T A x", "x", form="operator")(A=np.eye(3), x=np.ones(3)).definite


def test_the_source_computes_the_components() -> None:
    f = mc.hessian("||A X B - C||_F^2", "X", form="operator")
    assert "A.T @ A" in f.source
    assert "B @ B.T" in f.source
    assert f.formula == mc.hessian("||A X B - C||_F^2", "X").formula
    assert "hessian" in repr(f)
