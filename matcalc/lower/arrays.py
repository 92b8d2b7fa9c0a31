"""The structural kernels that generated code calls: padded writes, diagonals, triangles, linear systems."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BLOCK = 64
"""Rows and columns of a block that stays in the cache."""

PANEL = 1 << 16
"""Entries of a panel of an outer product, half a megabyte."""

ABOVE = np.arange(BLOCK)[:, None] < np.arange(BLOCK)
"""Which entries of a block are above its diagonal."""


def embed_diagonal(values: Any, size: int) -> Array:
    """Zeros with the values on the diagonal of two new last axes.

    >>> embed_diagonal(np.array([1.0, 2.0]), 2)
    array([[1., 0.],
           [0., 2.]])
    """
    values = np.asarray(values)
    result = np.zeros((*values.shape[:-1], size, size), dtype=values.dtype)
    result.reshape((*values.shape[:-1], size * size))[..., :: size + 1] = values
    return result


def add_diagonal(matrix: Any, values: Any, overwrite: bool = False) -> Array:
    """A copy of a matrix, or the matrix itself where it may be overwritten, with values added on its diagonal.

    >>> add_diagonal(np.zeros((2, 2)), 3.0)
    array([[3., 0.],
           [0., 3.]])
    """
    result: Array = matrix if overwrite else np.array(matrix, order="K")
    diagonal = np.einsum("...ii->...i", result)
    diagonal += values
    return result


def outer_product(column: Array, row: Array, out: Array) -> None:
    """The outer product of two vectors into an array, in panels of rows that stay in the cache of a core.

    >>> out = np.empty((2, 3))
    >>> outer_product(np.array([[1.0], [10.0]]), np.array([[1.0, 2.0, 3.0]]), out)
    >>> out
    array([[ 1.,  2.,  3.],
           [10., 20., 30.]])
    """
    rows = max(1, PANEL // out.shape[1])
    for start in range(0, len(out), rows):
        np.dot(column[start : start + rows], row, out[start : start + rows])


def outer_slices(vector: Array, slices: Array, out: Array) -> None:
    """Several outer products into an array: the product of a vector with each of some rows.

    >>> out = np.empty((2, 2, 3))
    >>> outer_slices(np.array([[1.0], [10.0]]), np.array([[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]]), out)
    >>> out[1]
    array([[ 4.,  5.,  6.],
           [40., 50., 60.]])

    Parameters
    ----------
    vector: a vector with axes of length 1 behind, which are those of the rows.
    slices: the rows, with axes of length 1 where the vector has its own.
    out: an array with all of these axes.
    """
    if not out.flags.c_contiguous:
        np.multiply(vector, slices, out)
        return
    column = vector.reshape(-1, 1)
    count = prod(out.shape[: out.ndim - vector.ndim])
    rows = slices.reshape(count, 1, -1)
    for row, part in zip(rows, out.reshape(count, len(column), rows.shape[-1]), strict=True):
        outer_product(column, row, part)


def embed(values: Any, axis: int, offset: int, size: int) -> Array:
    """The values as a run along an axis of zeros.

    >>> embed(np.array([1.0, 2.0]), 0, 1, 4)
    array([0., 1., 2., 0.])
    """
    values = np.asarray(values)
    shape = list(values.shape)
    length, shape[axis] = shape[axis], size
    result = np.zeros(shape, dtype=values.dtype)
    result[(slice(None),) * axis + (slice(offset, offset + length),)] = values
    return result


def one_hot(value: Any, place: int, size: int, dtype: Any) -> Array:
    """A vector of zeros with one value in it.

    >>> one_hot(5.0, 1, 3, float)
    array([0., 5., 0.])
    """
    result = np.zeros(size, dtype=dtype)
    result[place] = value
    return result


def gather_half(matrix: Any) -> Array:
    """The lower triangle on the last two axes, column by column.

    >>> gather_half(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([1., 3., 4.])
    """
    matrix = np.asarray(matrix)
    columns, rows = np.triu_indices(matrix.shape[-1])
    result: Array = matrix[..., rows, columns]
    return result


def gather_rows(vector: Any) -> Array:
    """The entry of the row of every place in the lower triangle, column by column."""
    vector = np.asarray(vector)
    result: Array = vector[..., np.triu_indices(vector.shape[-1])[1]]
    return result


def gather_columns(vector: Any) -> Array:
    """The entry of the column of every place in the lower triangle, column by column."""
    vector = np.asarray(vector)
    result: Array = vector[..., np.triu_indices(vector.shape[-1])[0]]
    return result


def scatter_half(values: Any, size: int) -> Array:
    """The lower triangular matrix whose triangle, column by column, is the last axis of the values.

    >>> scatter_half(np.array([1.0, 3.0, 4.0]), 2)
    array([[1., 0.],
           [3., 4.]])
    """
    values = np.asarray(values)
    result = np.zeros((*values.shape[:-1], size, size), dtype=values.dtype)
    columns, rows = np.triu_indices(size)
    result[..., rows, columns] = values
    return result


def half_pairs(size: int, dtype: Any) -> Array:
    """The tensor that takes a matrix to its lower triangle, column by column."""
    columns, rows = np.triu_indices(size)
    result = np.zeros((len(rows), size, size), dtype=dtype)
    result[np.arange(len(rows)), rows, columns] = 1
    return result


def pairs(m: int, n: int, dtype: Any) -> Array:
    """The tensor that takes an m by n matrix to its columns, one below the other."""
    return np.eye(m * n, dtype=dtype).reshape(m * n, n, m).swapaxes(1, 2)


def levi_civita(dtype: Any) -> Array:
    """The signs of the permutations of three axes."""
    result = np.zeros((3, 3, 3), dtype=dtype)
    for i in range(3):
        result[i, (i + 1) % 3, (i + 2) % 3] = 1
        result[i, (i + 2) % 3, (i + 1) % 3] = -1
    return result


def solve(matrix: Any, right: Any) -> Array:
    """The solution of a linear system; NaN where the data are NaN."""
    try:
        return np.linalg.solve(matrix, right)
    except np.linalg.LinAlgError:
        if np.isnan(np.sum(matrix)):
            return np.full(np.shape(right), np.nan, dtype=np.result_type(matrix, right))
        raise


def solve_diagonal(matrix: Any, right: Any) -> Array:
    """The solution of a linear system with a diagonal matrix.

    >>> solve_diagonal(np.array([[2.0, 0.0], [0.0, 4.0]]), np.array([2.0, 2.0]))
    array([1. , 0.5])
    """
    right = np.asarray(right)
    result: Array = right / _pivots(matrix)[(..., *(None,) * (right.ndim - 1))]
    return result


def inverse_diagonal(matrix: Any) -> Array:
    """The inverse of a diagonal matrix."""
    return embed_diagonal(1 / _pivots(matrix), len(matrix))


def _pivots(matrix: Any) -> Array:
    diagonal = np.diagonal(matrix)
    if not diagonal.all():
        raise np.linalg.LinAlgError("Singular matrix")
    return diagonal


def is_mirrored(matrix: Array) -> bool:
    """Whether a matrix equals its transpose exactly, in blocks that stay in the cache.

    >>> is_mirrored(np.array([[1.0, 2.0], [2.0, 3.0]]))
    True
    """
    for start in range(0, len(matrix), BLOCK):
        stop = start + BLOCK
        if np.count_nonzero(matrix[start:stop, start:] != matrix[start:, start:stop].T):
            return False
    return True


def is_lower(matrix: Array) -> bool:
    """Whether a matrix has only zeros above its diagonal.

    >>> is_lower(np.array([[1.0, 0.0], [2.0, 3.0]]))
    True
    """
    for start in range(0, len(matrix), BLOCK):
        stop = start + BLOCK
        corner = matrix[start:stop, start:stop] != 0
        if np.count_nonzero(corner & ABOVE[: len(corner), : len(corner)]):
            return False
        if np.count_nonzero(matrix[start:stop, stop:] != 0):
            return False
    return True


def polynomial_root(value: int, coefficients: tuple[int, ...], divisor: int = 1) -> int:
    """The size n at which a dimension ``(c0 + c1 n + c2 n^2 + …) / divisor`` has a value.

    >>> polynomial_root(10, (0, 1, 1), 2)
    4
    """
    low, high = 0, max(value * divisor, 1) + sum(map(abs, coefficients)) + 1
    while low < high:
        middle = (low + high) // 2
        if sum(c * middle**power for power, c in enumerate(coefficients)) < value * divisor:
            low = middle + 1
        else:
            high = middle
    return low
