"""Linear systems that share a factorization, and those with a positive definite matrix."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Array = NDArray[Any]


def factorize(matrix: Any) -> Any:
    """The LU factorization of a square matrix.

    Raises
    ------
    LinAlgError: the matrix is singular.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", linalg.LinAlgWarning)
        factors, pivots = linalg.lu_factor(matrix, check_finite=False)
    if not np.all(np.diagonal(factors)):
        raise np.linalg.LinAlgError("Singular matrix")
    return factors, pivots


def solve_factorized(factorization: Any, right: Any) -> Array:
    """The solution of a system whose matrix was factorized."""
    return np.asarray(linalg.lu_solve(factorization, right, check_finite=False))


def solve_factorized_transposed(factorization: Any, right: Any) -> Array:
    """The solution of a system with the transpose of the matrix that was factorized."""
    return np.asarray(linalg.lu_solve(factorization, right, trans=1, check_finite=False))


def inverse_factorized(factorization: Any) -> Array:
    """The inverse of the matrix that was factorized."""
    factors, pivots = factorization
    getri: Any = linalg.get_lapack_funcs("getri", (factors,))
    # the default workspace of the wrapper turns blocking off
    inverse, info = getri(factors, pivots, lwork=64 * max(len(factors), 1))
    if info > 0:
        raise np.linalg.LinAlgError("Singular matrix")
    return np.asarray(inverse)


def det_factorized(factorization: Any) -> Any:
    """The determinant of the matrix that was factorized."""
    factors, pivots = factorization
    sign = -1 if np.count_nonzero(pivots != np.arange(len(pivots))) % 2 else 1
    return np.prod(np.diagonal(factors)) * sign


def logdet_factorized(factorization: Any) -> Any:
    """The logarithm of the absolute determinant of the matrix that was factorized."""
    return np.sum(np.log(np.abs(np.diagonal(factorization[0]))))


def factorize_spd(matrix: Any) -> Any:
    """The Cholesky factorization of a symmetric positive definite matrix.

    Raises
    ------
    LinAlgError: the matrix is not positive definite.
    """
    if np.isnan(np.sum(matrix)):
        return np.full(np.shape(matrix), np.nan, dtype=np.asarray(matrix).dtype), True
    return linalg.cho_factor(matrix, lower=True, check_finite=False)


def solve_factorized_spd(factorization: Any, right: Any) -> Array:
    """The solution of a system whose positive definite matrix was factorized."""
    return np.asarray(linalg.cho_solve(factorization, right, check_finite=False))


def inverse_factorized_spd(factorization: Any) -> Array:
    """The inverse of the positive definite matrix that was factorized."""
    factor, _ = factorization
    if not len(factor):
        return np.zeros_like(factor)
    potri: Any = linalg.get_lapack_funcs("potri", (factor,))
    inverse, _ = potri(factor, lower=1)
    lower = np.tril(inverse)
    return np.asarray(lower + np.tril(inverse, -1).T)


def det_factorized_spd(factorization: Any) -> Any:
    """The determinant of the positive definite matrix that was factorized."""
    return np.square(np.prod(np.diagonal(factorization[0])))


def logdet_factorized_spd(factorization: Any) -> Any:
    """The logarithm of the determinant of the positive definite matrix that was factorized."""
    return 2 * np.sum(np.log(np.diagonal(factorization[0])))


def solve_spd(matrix: Any, right: Any) -> Array:
    """The solution of a system with a symmetric positive definite matrix."""
    return solve_factorized_spd(factorize_spd(matrix), right)
