"""Linear systems, inverses and determinants by LAPACK: one factorization for all that is asked of a matrix.

LAPACK takes columns and NumPy stores rows, so what is factorized is the transpose, which is the same memory; a matrix
on the right side is solved for from the right, as its transpose, for the same reason. Nothing that is passed is
written to unless ``overwrite`` says so, and then it is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

from .runtime import WELL_CONDITIONED, adjugate
from .triangles import cleared, mirrored

Array = NDArray[Any]

FEW = 8
"""Up to so many right sides are solved for column by column, which is quicker."""

ROUNDING = 10
"""A pivot below so many roundings of the largest entry, for each row, may be that of a singular matrix."""


class Routines(NamedTuple):
    """The routines of LAPACK and BLAS for one working type."""

    potrf: Callable[..., Any]
    potri: Callable[..., Any]
    potrs: Callable[..., Any]
    getrf: Callable[..., Any]
    getri: Callable[..., Any]
    getrs: Callable[..., Any]
    laswp: Callable[..., Any]
    trtri: Callable[..., Any]
    trtrs: Callable[..., Any]
    trsm: Callable[..., Any]


DOUBLE = Routines(
    lapack.dpotrf, lapack.dpotri, lapack.dpotrs, lapack.dgetrf, lapack.dgetri, lapack.dgetrs, lapack.dlaswp,
    lapack.dtrtri, lapack.dtrtrs, blas.dtrsm,
)  # fmt: skip
SINGLE = Routines(
    lapack.spotrf, lapack.spotri, lapack.spotrs, lapack.sgetrf, lapack.sgetri, lapack.sgetrs, lapack.slaswp,
    lapack.strtri, lapack.strtrs, blas.strsm,
)  # fmt: skip
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


class Factorization(NamedTuple):
    """The triangular factors of a matrix.

    Without ``pivots`` the lower triangle of ``factors`` is Cholesky's factor; with them they are L and U of the
    matrix, or of its transpose where it is ``turned``. ``diagonal`` is a copy of the diagonal of the factors, so that
    determinants are known after the factors have been overwritten.
    """

    factors: Array
    pivots: Array | None
    turned: bool
    diagonal: Array


def _working(matrix: Any) -> tuple[Array, Routines]:
    """A matrix in a type for which there are routines, and these."""
    array = np.asarray(matrix)
    if array.dtype == FLOAT64:
        return array, DOUBLE
    if array.dtype == FLOAT32:
        return array, SINGLE
    return array.astype(FLOAT64), DOUBLE


def _columns(array: Array) -> tuple[Array, bool]:
    """A matrix or its transpose, whichever is stored by columns, and whether it is the transpose."""
    if array.flags.f_contiguous:
        return array, False
    return (array.T, True) if array.flags.c_contiguous else (np.asfortranarray(array), False)


def _singular() -> np.linalg.LinAlgError:
    return np.linalg.LinAlgError("Singular matrix")


# --- factorizations ------------------------------------------------------------------------------


def factorize(matrix: Any, overwrite: bool = False) -> Factorization:
    """The LU factorization of a square matrix; NaN where it has entries that are NaN and no factorization.

    >>> f = factorize(np.array([[2.0, 1.0], [0.0, 4.0]]))
    >>> solve_factorized(f, np.array([4.0, 4.0]))
    array([1.5, 1. ])

    Raises
    ------
    LinAlgError: the matrix is singular.
    """
    array, routines = _working(matrix)
    if not len(array):
        return Factorization(array, None, False, np.diagonal(array))
    square, turned = _columns(array)
    factors, pivots, info = routines.getrf(square, overwrite_a=overwrite)
    if info > 0:
        if not np.isnan(np.sum(factors)):
            raise _singular()
        factors.fill(np.nan)
    return Factorization(factors, pivots, turned, np.diagonal(factors).copy())


def factorize_spd(matrix: Any, overwrite: bool = False) -> Factorization:
    """The Cholesky factorization of a symmetric positive definite matrix; NaN where it has entries that are NaN.

    Raises
    ------
    LinAlgError: the matrix is not positive definite.
    """
    array, routines = _working(matrix)
    # the routine reads one triangle, and NaN may stand in the other
    if np.isnan(np.sum(array)):
        return _undefined(array)
    factors, info = routines.potrf(_columns(array)[0], lower=1, clean=0, overwrite_a=overwrite)
    if info:
        raise np.linalg.LinAlgError(f"{info}-th leading minor of the array is not positive definite")
    return Factorization(factors, None, False, np.diagonal(factors).copy())


def factorize_symmetric(matrix: Any, overwrite: bool = False) -> Factorization:
    """A factorization of a symmetric matrix: Cholesky's, in half the time, where it is found to be definite.

    Raises
    ------
    LinAlgError: the matrix is singular.
    """
    array, routines = _working(matrix)
    square, _ = _columns(array)
    if np.isnan(np.sum(array)):
        return _undefined(array)
    own = np.diagonal(square).copy()
    if not (own > 0).all():
        return factorize(array, overwrite)
    factors, info = routines.potrf(square, lower=1, clean=0, overwrite_a=overwrite)
    pivots = np.diagonal(factors)
    if not info and np.min(pivots, initial=1) ** 2 > _negligible(own):
        return Factorization(factors, None, False, pivots.copy())
    if overwrite:
        # only the lower triangle was written to
        upper = np.triu(factors, 1)
        array = upper + upper.T
        array.reshape(-1)[:: len(own) + 1] = own
    return factorize(array, overwrite)


def _negligible(diagonal: Array) -> Any:
    """What is left of a pivot of a singular matrix by rounding."""
    return ROUNDING * len(diagonal) * np.finfo(diagonal.dtype).eps * np.max(diagonal, initial=0)


def _undefined(array: Array) -> Factorization:
    factors = np.full(array.shape, np.nan, dtype=array.dtype, order="F")
    return Factorization(factors, None, False, np.diagonal(factors).copy())


# --- what a factorization gives ------------------------------------------------------------------


def solve_factorized(factorization: Factorization, right: Any, overwrite: bool = False) -> Array:
    """The solution of a system whose matrix was factorized; ``overwrite`` is about the right side."""
    return _solution(factorization, right, factorization.turned, overwrite)


def solve_factorized_transposed(factorization: Factorization, right: Any, overwrite: bool = False) -> Array:
    """The solution of a system with the transpose of the matrix that was factorized."""
    return _solution(factorization, right, not factorization.turned, overwrite)


def _solution(factorization: Factorization, right: Any, transposed: bool, overwrite: bool) -> Array:
    """The solution of a system with the matrix ``P L U`` of the factors or its transpose."""
    factors, pivots, _, _ = factorization
    right, routines = _working(right)
    if right.dtype != factors.dtype:
        factors, right, routines = factors.astype(FLOAT64), right.astype(FLOAT64), DOUBLE
    if not right.size:
        return np.empty(right.shape, dtype=right.dtype)
    if right.ndim == 1 or right.shape[1] <= FEW or (overwrite and right.flags.f_contiguous):
        if pivots is None:
            solution, _ = routines.potrs(factors, right, lower=1, overwrite_b=overwrite)
        else:
            solution, _ = routines.getrs(factors, pivots, right, trans=int(transposed), overwrite_b=overwrite)
        return np.asarray(solution)
    if pivots is not None and not transposed:
        rows = np.ascontiguousarray(right[_order(routines, pivots)]).T
        rows = routines.trsm(1.0, factors, rows, side=1, lower=1, diag=1, trans_a=1, overwrite_b=1)
        rows = routines.trsm(1.0, factors, rows, side=1, trans_a=1, overwrite_b=1)
        return np.asarray(rows.T)
    rows = right.T if overwrite and right.flags.c_contiguous else np.array(right, order="C").T
    if pivots is None:
        rows = routines.trsm(1.0, factors, rows, side=1, lower=1, trans_a=1, overwrite_b=1)
        rows = routines.trsm(1.0, factors, rows, side=1, lower=1, overwrite_b=1)
        return np.asarray(rows.T)
    rows = routines.trsm(1.0, factors, rows, side=1, overwrite_b=1)
    rows = routines.trsm(1.0, factors, rows, side=1, lower=1, diag=1, overwrite_b=1)
    result: Array = np.empty_like(right, order="C")
    result[_order(routines, pivots)] = rows.T
    return result


def _order(routines: Routines, pivots: Array) -> Array:
    """The rows in the order in which pivoting puts them."""
    places = np.arange(len(pivots), dtype=FLOAT64 if routines is DOUBLE else FLOAT32)
    return np.asarray(routines.laswp(places[:, None], pivots)[:, 0].astype(np.intp))


def inverse_factorized(factorization: Factorization, overwrite: bool = False) -> Array:
    """The inverse of the matrix that was factorized.

    Raises
    ------
    LinAlgError: the matrix is singular.
    """
    factors, pivots, turned, _ = factorization
    if pivots is None:
        return mirrored(inverse_triangle(factorization, overwrite), overwrite=True)
    _, routines = _working(factors)
    # the default workspace of the wrapper turns blocking off
    inverse, info = routines.getri(factors, pivots, lwork=64 * len(factors), overwrite_lu=overwrite)
    if info > 0:
        raise _singular()
    return np.asarray(inverse.T if turned else inverse)


def det_factorized(factorization: Factorization) -> Any:
    """The determinant of the matrix that was factorized."""
    _, pivots, _, diagonal = factorization
    product = np.prod(diagonal)
    if pivots is None:
        return np.square(product)
    sign = -1 if np.count_nonzero(pivots != np.arange(len(pivots))) % 2 else 1
    return product * sign


def logdet_factorized(factorization: Factorization) -> Any:
    """The logarithm of the absolute determinant of the matrix that was factorized."""
    _, pivots, _, diagonal = factorization
    if pivots is None:
        return 2 * np.sum(np.log(diagonal))
    return np.sum(np.log(np.abs(diagonal)))


def inverse_triangle(factorization: Factorization, overwrite: bool = False) -> Array:
    """The lower triangle of the inverse of a symmetric matrix that was factorized, by columns, with zeros above."""
    factors, pivots, _, _ = factorization
    if pivots is not None:
        # of a symmetric matrix, either order will do
        inverse = inverse_factorized(factorization, overwrite)
        return cleared(inverse if inverse.flags.f_contiguous else inverse.T)
    if not len(factors):
        return factors.copy(order="F")
    _, routines = _working(factors)
    inverse, _ = routines.potri(factors, lower=1, overwrite_c=overwrite)
    return cleared(inverse)


# --- determinants of matrices that may be singular -----------------------------------------------


def minors(matrix: Any) -> tuple[Any, Array]:
    """The determinant and the adjugate, right for singular matrices too.

    >>> determinant, adjugated = minors(np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> np.round([[determinant, 0], *adjugated], 12)
    array([[-2.,  0.],
           [ 4., -2.],
           [-3.,  1.]])
    """
    array, _ = _working(matrix)
    try:
        factorization = factorize(array)
        inverted = inverse_factorized(factorization, overwrite=True)
    except np.linalg.LinAlgError:
        return np.linalg.det(array), adjugate(array)
    determinant = det_factorized(factorization)
    if np.linalg.norm(array) * np.linalg.norm(inverted) < WELL_CONDITIONED:
        inverted *= determinant
        return determinant, inverted
    return determinant, adjugate(array)


def determinant_of(minors: tuple[Any, Array]) -> Any:
    """The determinant from `minors`."""
    return minors[0]


def adjugate_of(minors: tuple[Any, Array]) -> Array:
    """The adjugate from `minors`."""
    return minors[1]


# --- in one step ---------------------------------------------------------------------------------


def inverse(matrix: Any) -> Array:
    """The inverse of a square matrix.

    >>> np.round(inverse(np.array([[4.0, 2.0], [2.0, 2.0]])), 12)
    array([[ 0.5, -0.5],
           [-0.5,  1. ]])
    """
    return inverse_factorized(factorize(matrix), overwrite=True)


def inverse_symmetric(matrix: Any) -> Array:
    """The inverse of a symmetric matrix."""
    return inverse_factorized(factorize_symmetric(matrix), overwrite=True)


def inverse_spd(matrix: Any) -> Array:
    """The inverse of a symmetric positive definite matrix."""
    return inverse_factorized(factorize_spd(matrix), overwrite=True)


def solve_symmetric(matrix: Any, right: Any) -> Array:
    """The solution of a system with a symmetric matrix."""
    return solve_factorized(factorize_symmetric(matrix), right)


def solve_spd(matrix: Any, right: Any) -> Array:
    """The solution of a system with a symmetric positive definite matrix."""
    return solve_factorized(factorize_spd(matrix), right)


# --- triangular matrices -------------------------------------------------------------------------


def solve_lower(matrix: Any, right: Any) -> Array:
    """The solution of a system with a lower triangular matrix.

    >>> solve_lower(np.array([[2.0, 0.0], [1.0, 4.0]]), np.array([2.0, 5.0]))
    array([1., 1.])

    Raises
    ------
    LinAlgError: the matrix is singular.
    """
    return _triangular_solution(matrix, right, lower=True)


def solve_upper(matrix: Any, right: Any) -> Array:
    """The solution of a system with an upper triangular matrix."""
    return _triangular_solution(matrix, right, lower=False)


def _triangular_solution(matrix: Any, right: Any, lower: bool) -> Array:
    array, routines = _working(matrix)
    right, _ = _working(right)
    if right.dtype != array.dtype:
        array, right, routines = array.astype(FLOAT64), right.astype(FLOAT64), DOUBLE
    if not np.diagonal(array).all():
        raise _singular()
    if not right.size:
        return np.empty(right.shape, dtype=right.dtype)
    square, turned = _columns(array)
    lower = lower is not turned
    if right.ndim == 1 or right.shape[1] <= FEW:
        solution, _ = routines.trtrs(square, right, lower=lower, trans=int(turned))
        return np.asarray(solution)
    rows = np.array(right, order="C").T
    rows = routines.trsm(1.0, square, rows, side=1, lower=lower, trans_a=int(not turned), overwrite_b=1)
    return np.asarray(rows.T)


def inverse_lower(matrix: Any) -> Array:
    """The inverse of a lower triangular matrix."""
    return np.tril(_triangular_inverse(matrix, lower=True))


def inverse_upper(matrix: Any) -> Array:
    """The inverse of an upper triangular matrix."""
    return np.triu(_triangular_inverse(matrix, lower=False))


def _triangular_inverse(matrix: Any, lower: bool) -> Array:
    array, routines = _working(matrix)
    if not len(array):
        return array.copy()
    square, turned = _columns(array)
    inverse, info = routines.trtri(square, lower=lower is not turned)
    if info > 0:
        raise _singular()
    return np.asarray(inverse.T if turned else inverse)
