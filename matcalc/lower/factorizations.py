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


def solve_transposed(factorization: Any, right: Any) -> Array:
    """The solution of a system with the transpose of the matrix that was factorized."""
    return np.asarray(linalg.lu_solve(factorization, right, trans=1, check_finite=False))


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


def solve_spd(matrix: Any, right: Any) -> Array:
    """The solution of a system with a symmetric positive definite matrix."""
    return solve_factorized_spd(factorize_spd(matrix), right)
