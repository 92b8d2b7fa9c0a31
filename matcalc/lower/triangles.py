"""Symmetric matrices as their lower triangle, stored by columns with zeros above: half the work of whole ones.

Matrices that meet such a triangle are whole and symmetric.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

Array = NDArray[Any]

BLOCK = 64
"""Rows and columns of a block that stays in the cache."""

LOWER = np.tri(BLOCK, dtype=np.float32)


class Routines(NamedTuple):
    """The routines of BLAS for symmetric matrices in one working type."""

    symv: Callable[..., Any]
    symm: Callable[..., Any]
    syr: Callable[..., Any]
    syrk: Callable[..., Any]
    dot: Callable[..., Any]


DOUBLE = Routines(blas.dsymv, blas.dsymm, blas.dsyr, blas.dsyrk, blas.ddot)
SINGLE = Routines(blas.ssymv, blas.ssymm, blas.ssyr, blas.ssyrk, blas.sdot)


def _routines(triangle: Array) -> Routines:
    return SINGLE if triangle.dtype == np.float32 else DOUBLE


def cleared(triangle: Array) -> Array:
    """The lower triangle of a matrix stored by columns, in the same memory.

    >>> cleared(np.array([[1.0, 5.0], [2.0, 3.0]], order="F"))
    array([[1., 0.],
           [2., 3.]])
    """
    for start in range(0, len(triangle), BLOCK):
        stop = start + BLOCK
        triangle[:start, start:stop] = 0
        corner = triangle[start:stop, start:stop]
        corner *= LOWER[: len(corner), : len(corner)]
    return triangle


def triangle_times(triangle: Array, right: Any) -> Array:
    """The product with a vector or a matrix.

    >>> triangle_times(np.array([[1.0, 0.0], [2.0, 3.0]], order="F"), np.array([1.0, 1.0]))
    array([3., 5.])
    """
    right = np.asarray(right)
    if not right.size:
        return np.empty(right.shape, dtype=triangle.dtype)
    routines = _routines(triangle)
    if right.ndim == 1:
        return np.asarray(routines.symv(1.0, triangle, right, lower=1))
    return np.asarray(routines.symm(1.0, triangle, right.T, side=1, lower=1).T)


def triangle_update(triangle: Array, factor: Any, own: float, outer: float, overwrite: bool = False) -> Array:
    """``own`` times the matrix plus ``outer`` times the product of a vector or a matrix with its transpose.

    >>> triangle_update(np.array([[1.0]], order="F"), np.array([2.0]), 1.0, -3.0)
    array([[-11.]])
    """
    factor = np.asarray(factor)
    if not overwrite:
        triangle = triangle.copy(order="F")
    if not factor.size:
        triangle *= own
        return triangle
    routines = _routines(triangle)
    if factor.ndim == 2:
        if factor.flags.c_contiguous and not factor.flags.f_contiguous:
            updated = routines.syrk(outer, factor.T, beta=own, c=triangle, trans=1, lower=1, overwrite_c=1)
        else:
            updated = routines.syrk(outer, factor, beta=own, c=triangle, lower=1, overwrite_c=1)
        return np.asarray(updated)
    if own != 1:
        triangle *= own
    return np.asarray(routines.syr(outer, factor, lower=1, a=triangle, overwrite_a=1))


def triangle_inner(triangle: Array, *others: Any) -> Any:
    """The sum over all entries of the entrywise product with whole symmetric matrices.

    >>> float(triangle_inner(np.array([[1.0, 0.0], [2.0, 3.0]], order="F"), np.array([[1.0, 2.0], [2.0, 0.0]])))
    9.0
    """
    rows = triangle.T
    aligned = [other if other.flags.c_contiguous else other.T for other in others]
    corners = np.diagonal(triangle)
    for other in aligned:
        corners = corners * np.diagonal(other)
    total = 2 * _inner(rows, aligned) - np.sum(corners)
    if np.isnan(total):
        # a zero above the diagonal times an infinity is none of the entries
        products = np.prod(np.stack([mirrored(triangle), *aligned]), axis=0)
        return np.sum(products)
    return total


def _inner(rows: Array, others: list[Array]) -> Any:
    """The sum of the entrywise product, that with several matrices in blocks that stay in the cache."""
    if len(others) == 1 and rows.size:
        # NumPy's BLAS has threads of its own, which would wait beside those of SciPy's
        return _routines(rows).dot(rows.reshape(-1), others[0].reshape(-1))
    total: Any = 0.0
    for start in range(0, len(rows), BLOCK):
        stop = start + BLOCK
        first, *rest = (other[start:stop, start:] for other in others)
        for other in rest:
            first = first * other
        total += np.einsum("ij,ij->", rows[start:stop, start:], first)
    return total


def mirrored(triangle: Array, scale: float = 1.0, overwrite: bool = False) -> Array:
    """The whole matrix, times a number.

    >>> mirrored(np.array([[1.0, 0.0], [2.0, 3.0]], order="F"), 2.0)
    array([[2., 4.],
           [4., 6.]])
    """
    rows = triangle.T
    size = len(rows)
    result = rows if overwrite else np.empty_like(rows)
    for start in range(0, size, BLOCK):
        stop = start + BLOCK
        beside = rows[start:stop, start:]
        if scale != 1:
            beside = np.multiply(beside, scale, out=result[start:stop, start:])
        elif not overwrite:
            result[start:stop, start:] = beside
            beside = result[start:stop, start:]
        corner = beside[:, : len(beside)]
        corner = corner + corner.T
        corner.reshape(-1)[:: len(corner) + 1] *= 0.5
        result[stop:, start:stop] = beside[:, len(beside) :].T
        result[start:stop, start:stop] = corner
    return result
