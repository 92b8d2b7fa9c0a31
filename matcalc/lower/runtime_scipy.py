"""The kernels that generated code calls and that need SciPy's matrix functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from .runtime import block_upper, floating

Array = NDArray[Any]


def _each(function: Callable[..., Any], *matrices: Any) -> Array:
    """A function of matrices on every batch, computed in double precision, of the type of the operands."""
    dtype = floating(*matrices)
    arrays = [np.asarray(matrix, dtype=np.result_type(dtype, float)) for matrix in matrices]
    if arrays[0].ndim == 2:
        return _one(function, arrays, dtype)
    lead = arrays[0].shape[:-2]
    values = [_one(function, [array[place] for array in arrays], dtype) for place in np.ndindex(lead)]
    if not values:
        return np.empty(arrays[-1].shape, dtype=dtype)
    stacked: Array = np.stack(values).reshape(*lead, *values[0].shape)
    return stacked


def _one(function: Callable[..., Any], matrices: list[Array], dtype: np.dtype[Any]) -> Array:
    """The value, which has the shape of the last matrix; NaN where an entry is not finite, which SciPy refuses."""
    if not all(np.isfinite(matrix).all() for matrix in matrices):
        return np.full(matrices[-1].shape, np.nan, dtype=dtype)
    return _real(function(*matrices), dtype)


def _real(value: Any, dtype: np.dtype[Any]) -> Array:
    """The value in the operands' type; where no real value exists, the entries are NaN."""
    value = np.asarray(value)
    if np.iscomplexobj(value) and dtype.kind != "c":
        bound = 1e-8 * max(1.0, float(np.max(np.abs(value), initial=0)))
        if np.max(np.abs(value.imag), initial=0) > bound:
            return np.full(value.shape, np.nan, dtype=dtype)
        value = value.real
    cast: Array = value.astype(dtype, copy=False)
    return cast


def expm(A: Any) -> Any:
    """The matrix exponential."""
    return _each(linalg.expm, A)


def expm_frechet(A: Any, E: Any) -> Any:
    """The derivative of the matrix exponential at A in the direction E."""
    return _each(lambda a, e: linalg.expm_frechet(a, e, compute_expm=False), A, E)


def logm(A: Any) -> Any:
    """The principal logarithm."""
    return _each(linalg.logm, A)


def logm_frechet(A: Any, E: Any) -> Any:
    """The derivative of the principal logarithm at A in the direction E."""
    size = np.shape(A)[-1]
    # the block matrix carries the derivative in its corner; a long direction would spoil its scaling
    length = np.maximum(np.max(np.abs(E), axis=(-2, -1), keepdims=True, initial=0), np.finfo(floating(A, E)).tiny)
    return logm(block_upper(A, E / length))[..., :size, size:] * length


def sqrtm(A: Any) -> Any:
    """The principal square root."""
    return _each(linalg.sqrtm, A)


def sylvester(A: Any, B: Any, C: Any) -> Any:
    """The solution Z of ``A Z + Z B = C``."""
    return _each(linalg.solve_sylvester, A, B, C)
