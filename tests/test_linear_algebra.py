"""Linear algebra in generated code: LAPACK called without copies, half of symmetric matrices, the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import matcalc as mc
from matcalc.errors import DomainError
from matcalc.expr.dims import Dim
from matcalc.lower import arrays, factorizations, runtime, triangles
from matcalc.lower.overwriting import OVERWRITE, overwrite_dead
from matcalc.lower.passes import PIPELINE, fold_signs, inline_expressions, optimize, own_results
from matcalc.lower.program import Argument, Literal, Program, Statement
from matcalc.lower.sharing import name_inverses, share_factorizations, share_minors
from matcalc.lower.source import function_source
from matcalc.lower.symmetric import keep_triangles

N, K = Dim.of("n"), Dim.of("k")
SIZES = (0, 1, 2, 5, 63, 64, 65, 130)
COLUMNS = (None, 0, 1, 3, 9, 40)
TYPES = (np.float64, np.float32)
ORDERS: tuple[Callable[[Any], Any], ...] = (
    np.ascontiguousarray,
    np.asfortranarray,
    lambda a: np.repeat(np.repeat(a, 2, axis=0), 2, axis=1)[::2, ::2],
)


def general(size: int, dtype: Any = float, seed: int = 0) -> Any:
    generator = np.random.default_rng(seed)
    return (generator.normal(size=(size, size)) + 3 * np.sqrt(size) * np.eye(size)[:, ::-1]).astype(dtype)


def definite(size: int, dtype: Any = float, seed: int = 0) -> Any:
    root = np.random.default_rng(seed).normal(size=(size, size))
    return (root @ root.T + size * np.eye(size)).astype(dtype)


def indefinite(size: int, dtype: Any = float, seed: int = 0) -> Any:
    """Symmetric, with a positive diagonal and eigenvalues of both signs from two rows on."""
    return (definite(size, seed=seed) + 5 * size * (np.ones((size, size)) - np.eye(size))).astype(dtype)


def right_side(size: int, columns: int | None, dtype: Any) -> Any:
    shape = (size,) if columns is None else (size, columns)
    return np.random.default_rng(1).normal(size=shape).astype(dtype)


def close(found: Any, expected: Any, dtype: Any) -> None:
    assert np.asarray(found).dtype == dtype
    assert np.shape(found) == np.shape(expected)
    scale = np.max(np.abs(expected), initial=1e-3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=(1e-11 if dtype is np.float64 else 2e-3) * scale)


# --- kernels -------------------------------------------------------------------------------------

FACTORIZE = (
    (factorizations.factorize, general),
    (factorizations.factorize_symmetric, definite),
    (factorizations.factorize_symmetric, indefinite),
    (factorizations.factorize_spd, definite),
)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("factorize", "make"), FACTORIZE)
def test_factorizations_solve(factorize: Any, make: Any, dtype: Any) -> None:
    for size in SIZES:
        for order in ORDERS:
            matrix = order(make(size, dtype))
            before = matrix.copy()
            exact = matrix.astype(float)
            found = factorize(matrix)
            for columns in COLUMNS:
                for arrange in (np.ascontiguousarray, np.asfortranarray):
                    right = arrange(right_side(size, columns, dtype))
                    kept = right.copy()
                    close(factorizations.solve_factorized(found, right), np.linalg.solve(exact, right), dtype)
                    turned = factorizations.solve_factorized_transposed(found, right)
                    close(turned, np.linalg.solve(exact.T, right), dtype)
                    np.testing.assert_array_equal(right, kept)
                    for solve, transposed in (
                        (factorizations.solve_factorized, exact),
                        (factorizations.solve_factorized_transposed, exact.T),
                    ):
                        close(solve(found, right.copy(order="K"), True), np.linalg.solve(transposed, right), dtype)
            close(factorizations.inverse_factorized(found), np.linalg.inv(exact), dtype)
            np.testing.assert_allclose(factorizations.logdet_factorized(found), np.linalg.slogdet(exact)[1], rtol=1e-3)
            if size < 6:
                np.testing.assert_allclose(factorizations.det_factorized(found), np.linalg.det(exact), rtol=1e-3)
            np.testing.assert_array_equal(matrix, before)


@pytest.mark.parametrize(("factorize", "make"), FACTORIZE)
def test_what_may_be_overwritten_gives_the_same(factorize: Any, make: Any) -> None:
    for size in SIZES[1:]:
        for order in ORDERS:
            matrix = make(size)
            found = factorize(order(matrix).copy(order="K"), overwrite=True)
            close(factorizations.solve_factorized(found, np.eye(size)), np.linalg.inv(matrix), np.float64)
            close(factorizations.inverse_factorized(found, overwrite=True), np.linalg.inv(matrix), np.float64)
            sign, size_of = np.linalg.slogdet(matrix)
            np.testing.assert_allclose(factorizations.logdet_factorized(found), size_of, rtol=1e-10)
            if size < 6:
                np.testing.assert_allclose(np.sign(factorizations.det_factorized(found)), sign)


def test_other_types_are_computed_in_double_precision() -> None:
    matrix = definite(4).astype(np.longdouble)
    for factorize in (factorizations.factorize, factorizations.factorize_symmetric, factorizations.factorize_spd):
        close(
            factorizations.solve_factorized(factorize(matrix), np.arange(4)),
            np.linalg.solve(definite(4), range(4)),
            float,
        )
    mixed = factorizations.factorize(general(4, np.float32))
    solution = factorizations.solve_factorized(mixed, np.arange(4.0))
    np.testing.assert_allclose(general(4, np.float32).astype(float) @ solution, np.arange(4.0), atol=1e-5)


SINGULAR = (np.zeros((2, 2)), np.ones((3, 3)), np.full((2, 2), 0.1), np.diag([1.0, 0.0]))


@pytest.mark.parametrize("matrix", SINGULAR, ids=str)
def test_singular_matrices_are_refused(matrix: Any) -> None:
    for function in (
        factorizations.factorize, factorizations.factorize_symmetric, factorizations.factorize_spd,
        factorizations.inverse, factorizations.inverse_symmetric, factorizations.inverse_spd,
    ):  # fmt: skip
        if function in (factorizations.factorize_spd, factorizations.inverse_spd) and matrix[0, 0] == 0.1:
            continue  # rounding leaves a positive pivot
        with pytest.raises(np.linalg.LinAlgError):
            function(matrix)
    for overwrite in (False, True):
        with pytest.raises(np.linalg.LinAlgError):
            factorizations.factorize_symmetric(matrix.copy(), overwrite=overwrite)


def test_singular_triangles_are_refused() -> None:
    bad = np.diag([1.0, 0.0])
    for solve in (factorizations.solve_lower, factorizations.solve_upper, arrays.solve_diagonal):
        for right in (np.ones(2), np.ones((2, 12))):
            with pytest.raises(np.linalg.LinAlgError, match="Singular"):
                solve(bad, right)
    for invert in (factorizations.inverse_lower, factorizations.inverse_upper, arrays.inverse_diagonal):
        with pytest.raises(np.linalg.LinAlgError, match="Singular"):
            invert(bad)


@pytest.mark.parametrize("place", [(0, 0), (1, 2), (2, 1), (3, 3)])
def test_what_is_not_a_number_stays_so(place: tuple[int, int]) -> None:
    for overwrite in (False, True):
        for factorize in (factorizations.factorize, factorizations.factorize_symmetric, factorizations.factorize_spd):
            matrix = definite(4)
            matrix[place] = matrix[place[::-1]] = np.nan
            found = factorize(matrix.copy(), overwrite=overwrite)
            assert np.isnan(factorizations.solve_factorized(found, np.ones(4))).all()
            assert np.isnan(factorizations.solve_factorized(found, np.ones((4, 12)))).all()
            assert np.isnan(factorizations.logdet_factorized(found))
            assert np.isnan(factorizations.inverse_factorized(found)).any()
    # even where only one of two equal entries is
    matrix = definite(4)
    matrix[place] = np.nan
    assert np.isnan(factorizations.solve_spd(matrix, np.ones(4))).any()


@pytest.mark.parametrize("dtype", TYPES)
def test_triangular_systems(dtype: Any) -> None:
    for size in SIZES:
        for order in ORDERS:
            lower = order(np.tril(definite(size, dtype)))
            upper = order(np.triu(definite(size, dtype)))
            diagonal = order(np.diag(np.arange(1, size + 1)).astype(dtype))
            for columns in COLUMNS:
                right = right_side(size, columns, dtype)
                close(factorizations.solve_lower(lower, right), np.linalg.solve(lower.astype(float), right), dtype)
                close(factorizations.solve_upper(upper, right), np.linalg.solve(upper.astype(float), right), dtype)
                close(arrays.solve_diagonal(diagonal, right), np.linalg.solve(diagonal.astype(float), right), dtype)
            close(factorizations.inverse_lower(lower), np.linalg.inv(lower.astype(float)), dtype)
            close(factorizations.inverse_upper(upper), np.linalg.inv(upper.astype(float)), dtype)
            close(arrays.inverse_diagonal(diagonal), np.linalg.inv(diagonal.astype(float)), dtype)


@pytest.mark.parametrize("dtype", TYPES)
def test_triangles(dtype: Any) -> None:
    generator = np.random.default_rng(4)
    for size in SIZES:
        whole = definite(size, dtype)
        other, third = definite(size, dtype, 1), indefinite(size, dtype, 2)
        triangle = np.asfortranarray(np.tril(whole))
        for factorize in (factorizations.factorize_spd, factorizations.factorize_symmetric, factorizations.factorize):
            found = factorizations.inverse_triangle(factorize(whole))
            close(found, np.tril(np.linalg.inv(whole.astype(float))), dtype)
            assert found.flags.f_contiguous
        for right in (right_side(size, columns, dtype) for columns in COLUMNS):
            close(triangles.triangle_times(triangle, right), whole @ right, dtype)
            for factor in (right, np.asfortranarray(right)):
                square = np.outer(factor, factor) if factor.ndim == 1 else factor @ factor.T
                updated = triangles.triangle_update(triangle, factor, 2.0, -0.5)
                close(updated, np.tril(2 * whole - 0.5 * square), dtype)
                again = triangles.triangle_update(triangle.copy(order="F"), factor, 1.0, 3.0, overwrite=True)
                close(again, np.tril(whole + 3 * square), dtype)
        assert not np.triu(triangle, 1).any()
        exact = whole.astype(float)
        for arrange in ORDERS:
            found_sum = triangles.triangle_inner(triangle, arrange(other))
            close(found_sum, np.sum(exact * other), dtype)
            close(triangles.triangle_inner(triangle, arrange(other), third), np.sum(exact * other * third), dtype)
        for scale in (1.0, -0.5):
            close(triangles.mirrored(triangle, scale), scale * exact, dtype)
            close(triangles.mirrored(triangle.copy(order="F"), scale, overwrite=True), scale * exact, dtype)
        scattered = np.asfortranarray(generator.normal(size=(size, size)).astype(dtype))
        close(triangles.cleared(scattered.copy(order="F")), np.tril(scattered), dtype)


def test_infinities_against_a_triangle() -> None:
    triangle = np.asfortranarray([[1.0, 0.0], [2.0, 3.0]])
    with np.errstate(invalid="ignore"):
        assert triangles.triangle_inner(triangle, np.array([[0.0, np.inf], [np.inf, 1.0]])) == np.inf
        assert np.isnan(triangles.triangle_inner(triangle, np.array([[np.inf, 0.0], [0.0, -np.inf]])))


@pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 130, 200])
def test_structure_is_recognised(size: int) -> None:
    """Every entry counts, in the corners of blocks and beside them."""
    whole = definite(size)
    lower = np.tril(whole)
    assert arrays.is_mirrored(whole)
    assert arrays.is_lower(lower)
    assert arrays.is_lower(lower.T) == (size == 1)
    places = np.random.default_rng(0).integers(0, size, (200, 2))
    for row, column in [*places, (0, size - 1), (max(size - 2, 0), size - 1), (size - 1, 0)]:
        for value in (1e-9, np.nan):
            bent, filled = whole.copy(), lower.copy()
            bent[row, column] += value
            filled[row, column] = value
            assert arrays.is_mirrored(bent) == (row == column and not np.isnan(value))
            assert arrays.is_lower(filled) == (row >= column)


# --- passes --------------------------------------------------------------------------------------

S, Y = Argument("S", (N, N), frozenset({"spd"})), Argument("y", (N,))
FACTORIZED = (
    Statement(2, "factorize", (0,), ("spd",), ()),
    Statement(3, "inverse_factorized", (2,), ("spd",), (N, N)),
)


def program(statements: Sequence[Statement], results: Sequence[int], symmetric: Sequence[int] = ()) -> Program:
    return Program((S, Y), (), tuple(statements), tuple(results), symmetric=frozenset({0, *symmetric}))


def operations(given: Program) -> list[str]:
    return [statement.operation for statement in given.statements]


def test_a_gradient_is_made_whole_once() -> None:
    given = program(
        [
            *FACTORIZED,
            Statement(4, "matmul", (3, 1), (), (N,)),
            Statement(5, "expand", (4,), (0, 1), (N, Dim.of(1))),
            Statement(6, "multiply", (5, 4), (), (N, N)),
            Statement(7, "subtract", (3, 6), (), (N, N)),
            Statement(8, "multiply", (Literal(0.5), 7), (), (N, N)),
        ],
        [8],
        [3, 6, 7, 8],
    )
    kept = keep_triangles(given)
    assert operations(kept) == ["factorize", "inverse_triangle", "triangle_times", "triangle_update", "mirrored"]
    assert kept.statements[-1].operands[1] == Literal(0.5)


def test_sums_against_symmetric_matrices_take_triangles() -> None:
    given = program(
        [
            *FACTORIZED,
            Statement(4, "multiply", (3, 0), (), (N, N)),
            Statement(5, "inner", (0, 4), (), ()),
            Statement(6, "inner", (0, 3), (), ()),
            Statement(7, "trace", (3,), (), ()),
        ],
        [5, 6, 7],
    )
    kept = keep_triangles(given)
    assert operations(kept) == ["factorize", "inverse_triangle", "triangle_inner", "triangle_inner", "trace"]
    assert [len(statement.operands) for statement in kept.statements] == [1, 1, 3, 2, 1]


def test_what_meets_other_matrices_stays_whole() -> None:
    product = Statement(4, "matmul", (3, 0), (), (N, N))
    for more, results in (([product], [4]), ([product, Statement(5, "matmul", (3, 1), (), (N,))], [4, 5]), ([], [3])):
        given = program([*FACTORIZED, *more], results)
        assert keep_triangles(given) == given
    unknown = program([*FACTORIZED, Statement(4, "inner", (0, 3), (), ())], [4])
    assert keep_triangles(unknown._replace(symmetric=frozenset())) == unknown._replace(symmetric=frozenset())
    other = [FACTORIZED[0]._replace(parameters=("",)), FACTORIZED[1]._replace(parameters=("",))]
    general_matrix = program([*other, Statement(4, "matmul", (3, 1), (), (N,))], [4])
    assert keep_triangles(general_matrix) == general_matrix


def test_a_factorization_that_one_inverse_needs_is_part_of_it() -> None:
    call = Statement(2, "call", (0,), ("inv", "np.linalg.inv({0})", "spd"), (N, N))
    shared = share_factorizations(program([call], [2]))
    assert operations(shared) == ["factorize", "inverse_factorized"]
    named = name_inverses(shared)
    assert operations(named) == ["inverse"]
    assert "inverse_spd(a0)" in function_source(named).text
    triangle = call._replace(parameters=("inv", "np.linalg.inv({0})", "lower"))
    assert "inverse_lower(a0)" in function_source(name_inverses(share_factorizations(program([triangle], [2])))).text


def test_a_determinant_comes_with_the_adjugate() -> None:
    det = Statement(2, "call", (0,), ("det", "np.linalg.det({0})", ""), ())
    adj = Statement(3, "call", (0,), ("adj", "adjugate({0})", ""), (N, N))
    both = share_minors(program([det, adj], [2, 3]))
    assert [statement.parameters[0] for statement in both.statements] == ["minors", "det", "adj"]
    assert share_minors(program([det], [2])) == program([det], [2])
    smooth = adj._replace(target=4, parameters=("smooth_adj", "adjugate({0})", ""))
    again = share_minors(program([adj, smooth], [3, 4]))
    assert [statement.parameters[1] for statement in again.statements[1:]] == ["adjugate_of({0})", "adjugate({0})"]
    for size in SIZES:
        for matrix in (general(size), np.ones((size, size)), np.diag(np.arange(size, dtype=float))):
            with np.errstate(all="ignore"):
                determinant, adjugate = factorizations.minors(matrix)
                close(adjugate, runtime.adjugate(matrix), np.float64)
                np.testing.assert_allclose(determinant, np.linalg.det(matrix), rtol=1e-9, atol=1e-9)


def test_signs_go_into_numbers() -> None:
    negated = Statement(2, "negate", (1,), (), (N,))
    half = Statement(3, "multiply", (Literal(-0.5), 2), (), (N,))
    again = Statement(4, "negate", (3,), (), (N,))
    third = Statement(4, "multiply", (Literal(3.0), 3), (), (N,))
    assert fold_signs(program([negated, half], [3])).statements == (half._replace(operands=(Literal(0.5), 1)),)
    (folded,) = fold_signs(program([negated, half, again], [4])).statements
    assert (folded.operation, folded.operands) == ("multiply", (Literal(-0.5), 1))
    assert len(fold_signs(program([negated, half, third], [4])).statements) == 2
    used_twice = program([negated, half], [2, 3])
    assert fold_signs(used_twice) == used_twice


def overwritten(given: Program) -> list[int]:
    found = overwrite_dead(given)
    return [statement.target for statement in found.statements if statement.parameters[-1:] == (OVERWRITE,)]


def test_only_arrays_that_nothing_reads_any_more_are_overwritten() -> None:
    square = Statement(2, "matmul", (0, 0), (), (N, N))
    factorize = Statement(3, "factorize", (2,), ("spd",), ())
    invert = Statement(4, "inverse_factorized", (3,), ("spd",), (N, N))
    logdet = Statement(5, "log_determinant_factorized", (3,), ("spd",), ())
    solve = Statement(5, "solve_factorized", (3, 1), (0,), (N,))
    product = Statement(6, "matmul", (2, 1), (), (N,))
    assert overwritten(program([square, factorize, invert], [4])) == [3, 4]
    assert overwritten(program([square, factorize, invert, logdet], [4, 5])) == [3, 4]
    assert overwritten(program([square, factorize, solve, invert], [4, 5])) == [3, 4]
    assert overwritten(program([square, factorize, invert, solve], [4, 5])) == [3]
    assert overwritten(program([square, factorize, invert], [2, 4])) == [4]
    assert overwritten(program([square, factorize, invert, product], [4, 6])) == [4]
    assert overwritten(program([product, square, factorize, invert], [4, 6])) == [3, 4]
    assert overwritten(program([FACTORIZED[0], FACTORIZED[1]], [3])) == [3]


def test_what_is_computed_later_counts_as_read_later() -> None:
    given = program(
        [
            Statement(2, "factorize", (0,), ("spd",), ()),
            Statement(3, "solve_factorized", (2, 1), (0,), (N,)),
            Statement(4, "inverse_factorized", (2,), ("spd",), (N, N)),
            Statement(5, "multiply", (Literal(2.0), 3), (), (N,)),
        ],
        [4, 5],
    )
    assert overwritten(given) == [4]
    assert overwritten(inline_expressions(given)) == []


def test_shared_memory_counts_as_the_same_array() -> None:
    square = Statement(2, "matmul", (0, 0), (), (N, N))
    turned = Statement(3, "transpose", (2,), (1, 0), (N, N))
    factorize = Statement(4, "factorize", (2,), ("",), ())
    product = Statement(5, "matmul", (3, 1), (), (N,))
    solve = Statement(6, "solve_factorized", (4, 5), (0,), (N,))
    inlined = program([square, turned, factorize, product, solve], [6])
    assert overwritten(inlined) == []
    assert overwritten(program([square, turned, product, factorize, solve], [6])) == [4]
    assert overwritten(own_results(program([square, turned, factorize, solve], [3, 6]))) == []


def test_a_right_side_is_overwritten() -> None:
    square = Statement(2, "matmul", (0, 0), (), (N, N))
    turned = Statement(3, "transpose", (2,), (1, 0), (N, N))
    factorize = Statement(4, "factorize", (0,), ("",), ())
    trace = Statement(5, "trace", (2,), (), ())
    solve = Statement(6, "solve_factorized", (4, 3), (1,), (N, N))
    assert overwritten(program([square, turned, factorize, trace, solve], [5, 6])) == [6]
    assert overwritten(program([square, turned, factorize, solve, trace], [5, 6])) == []
    assert overwritten(program([factorize, solve._replace(operands=(4, 0))], [6])) == []
    wide = Statement(2, "broadcast", (1,), (), (N, N))
    assert overwritten(program([wide, factorize, solve._replace(operands=(4, 2))], [6])) == []


# --- the same values -----------------------------------------------------------------------------

SYMMETRIC = "matrix(n, n) symmetric"
SPD = "matrix(n, n) spd"
TEXTS = [
    ("1/2 logdet(S) + 1/2 y' S^-1 y", ("S", "y"), {"S": SPD, "y": "vector(n)"}),
    ("k logdet(S) + y' S^-1 y / 3", ("S", "y"), {"S": SPD, "y": "vector(n)", "k": "scalar"}),
    ("logdet(S) - 2 y' S^-1 y + z' S^-1 z", ("S",), {"S": SPD, "y": "vector(n)", "z": "vector(n)"}),
    ("logdet(S) + tr(Y' S^-1 Y)", ("S", "Y"), {"S": SPD, "Y": "matrix(n, k)"}),
    ("3 logdet(S) - tr(S^-1 A)", ("S", "A"), {"S": SPD, "A": SYMMETRIC}),
    ("K = a exp(-b D) + c I; 1/2 logdet(K) + 1/2 y' K^-1 y", ("a", "b", "c", "y"),
     {"D": SYMMETRIC, "y": "vector(n)", "a": "scalar", "b": "scalar", "c": "scalar"}),
    ("K = a exp(-b D) + c I; logdet(K) + y' K^-1 y", ("D",),
     {"D": SYMMETRIC, "y": "vector(n)", "a": "scalar", "b": "scalar", "c": "scalar"}),
    ("y' (F P F' + R)^-1 y + logdet(F P F' + R)", ("P", "R", "F"),
     {"P": SPD, "R": "matrix(m, m) spd", "F": "matrix(m, n)", "y": "vector(m)"}),
    ("||X (X'X + a I)^-1 X' y - y||^2 + logdet(X' X + a I)", ("a", "y", "X"),
     {"X": "matrix(m, n)", "y": "vector(m)", "a": "scalar"}),
    ("logdet(A) + y' A^-1 z", ("A",), {"A": SYMMETRIC, "y": "vector(n)", "z": "vector(n)"}),
    ("logdet(A) + y' A^-1 y", ("A",), {"A": SYMMETRIC, "y": "vector(n)"}),
    ("tr(M^-1 A) + logdet(M)", ("M", "A"), {"M": "matrix(n, n)", "A": "matrix(n, n)"}),
    ("y' L^-1 z + logdet(L) + tr(L^-1 A)", ("L", "y"),
     {"L": "matrix(n, n) lower", "y": "vector(n)", "z": "vector(n)", "A": "matrix(n, n)"}),
    ("y' U^-1 z + sum(U^-1)", ("U", "y"), {"U": "matrix(n, n) upper", "y": "vector(n)", "z": "vector(n)"}),
    ("y' E^-1 z + logdet(E)", ("E", "y"), {"E": "matrix(n, n) diagonal", "y": "vector(n)", "z": "vector(n)"}),
    ("||chol(S)^-1 y||^2 + logdet(S)", ("S", "y"), {"S": SPD, "y": "vector(n)"}),
    ("det(S) + sum(S^-1)", ("S",), {"S": SPD}),
]  # fmt: skip


def example(kinds: dict[str, str], seed: int, size: int) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    sizes = {"n": size, "m": size + 2, "k": max(size - 1, 1)}
    values: dict[str, Any] = {}
    for name, kind in kinds.items():
        shape = tuple(sizes[part.strip()] for part in kind.partition("(")[2].partition(")")[0].split(",") if part)
        value = generator.normal(size=shape)
        if "spd" in kind:
            value = value @ value.T + np.eye(len(value))
        elif "symmetric" in kind:
            value = value + value.T
        elif "matrix" in kind and shape[0] == shape[1]:
            value = value + 3 * np.eye(len(value))
            value = np.tril(value) if "lower" in kind else np.triu(value) if "upper" in kind else value
            value = np.diag(np.diag(value)) if "diagonal" in kind else value
        values[name] = np.abs(value) + 0.5 if kind == "scalar" else value
    return values


@pytest.mark.parametrize(("text", "wrt", "kinds"), TEXTS, ids=[text for text, _, _ in TEXTS])
def test_values_and_slopes(text: str, wrt: tuple[str, ...], kinds: dict[str, str]) -> None:
    """Against central differences along directions that keep declared structure."""
    function = mc.value_and_grad(text, wrt=wrt, vars=kinds)
    for seed, size in ((0, 1), (1, 4), (2, 11)):
        given = example(kinds, seed, size)
        kept = {name: value.copy() for name, value in given.items()}
        value, slopes = function(**given)
        for name in given:
            np.testing.assert_array_equal(given[name], kept[name])
        again, _ = function(**{name: np.array(array, order="F") for name, array in given.items()})
        np.testing.assert_allclose(again, value, rtol=1e-11)
        for name, slope in zip(wrt, slopes, strict=True):
            other = example(kinds, seed + 100, size)[name]
            step = 1e-5 * (other - given[name] if np.ndim(other) else np.asarray(1.0))
            ahead, behind = (function(**{**given, name: given[name] + sign * step})[0] for sign in (1, -1))
            expected = (ahead - behind) / 2
            assert abs(np.sum(slope * step) - expected) <= 1e-6 * (abs(expected) + np.abs(slope * step).max())


def test_one_function_in_several_threads() -> None:
    text, wrt, kinds = TEXTS[0]
    function = mc.value_and_grad(text, wrt=wrt, vars=kinds)
    cases = [example(kinds, seed, 40 + seed) for seed in range(12)]
    expected = [function(**case) for case in cases]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda case: function(**case), cases * 5))
    for (value, slopes), (again, others) in zip(expected * 5, found, strict=True):
        assert value == again
        for slope, other in zip(slopes, others, strict=True):
            np.testing.assert_array_equal(slope, other)


def test_results_are_arrays_of_their_own() -> None:
    function = mc.value_and_grad("logdet(S) + y' S^-1 y", wrt=("S", "y"), vars={"S": SPD, "y": "vector(n)"})
    given = example({"S": SPD, "y": "vector(n)"}, 0, 7)
    _, (first, slope) = function(**given)
    kept = first.copy()
    first.fill(0)
    slope.fill(0)
    _, (second, _) = function(**given)
    np.testing.assert_array_equal(second, kept)


def test_matrices_that_are_not_definite_are_refused_or_taken() -> None:
    kinds = {"A": SYMMETRIC, "y": "vector(n)"}
    function = mc.value_and_grad("y' A^-1 y + logdet(A)", wrt="A", vars=kinds)
    matrix = indefinite(5)
    value, slope = function(A=matrix, y=np.ones(5))
    inverse = np.linalg.inv(matrix)
    np.testing.assert_allclose(value, inverse.sum() + np.linalg.slogdet(matrix)[1])
    np.testing.assert_allclose(slope, inverse - np.outer(inverse.sum(0), inverse.sum(0)), atol=1e-12)
    with pytest.raises(DomainError, match="singular"):
        function(A=np.full((3, 3), 0.1), y=np.ones(3))
    refused = mc.value_and_grad("y' S^-1 y + logdet(S)", wrt="S", vars={"S": SPD, "y": "vector(n)"})
    with pytest.raises(DomainError, match="not positive definite"):
        refused(S=matrix, y=np.ones(5))
    broken = definite(5)
    broken[1, 2] = broken[2, 1] = np.nan
    assert np.isnan(refused(S=broken, y=np.ones(5))[1]).any()


LINEAR_ALGEBRA = {keep_triangles, name_inverses, overwrite_dead}


@pytest.mark.parametrize(("text", "wrt", "kinds"), TEXTS, ids=[text for text, _, _ in TEXTS])
def test_passes_do_not_change_values(
    text: str, wrt: tuple[str, ...], kinds: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tuple(step for step in PIPELINE if step not in LINEAR_ALGEBRA)
    with monkeypatch.context() as patch:
        patch.setattr("matcalc.lower.optimize", lambda given: optimize(given, plain))
        without = mc.value_and_grad(text, wrt=wrt, vars=kinds)
        assert "overwrite" not in without.source
    function = mc.value_and_grad(text, wrt=wrt, vars=kinds)
    for seed in range(20):
        given = example(kinds, seed, 1 + seed)
        for found, expected in zip(_flat(function(**given)), _flat(without(**given)), strict=True):
            scale = np.max(np.abs(expected), initial=1e-3)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * scale)


def _flat(result: Any) -> list[Any]:
    value, slopes = result
    return [value, *slopes]
