"""The kernels that generated code calls: stable, over any batch axes in front, in NumPy alone."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def floating(*arrays: Any) -> np.dtype[Any]:
    """The floating type that the operands share; integers count as float64."""
    dtype = np.result_type(*arrays)
    return dtype if dtype.kind in "fc" else np.dtype(float)


def mask(condition: Any, *operands: Any) -> Array:
    """A truth value as 0 and 1 of the operands' floating type."""
    return np.asarray(condition, dtype=floating(*operands))


ZERO = np.zeros(())
ZERO.flags.writeable = False


# --- entrywise -----------------------------------------------------------------------------------


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))`` without overflow, accurate in both tails."""
    # where exp(-x) is infinite the quotient is 0, as it should be
    with np.errstate(over="ignore"):
        value = np.exp(-x)
    if not _in_place(value):
        return 1 / (1 + value)
    value += 1
    return np.divide(1, value, out=value)


def softplus(x: Any) -> Any:
    """``log(1 + exp(x))`` without overflow."""
    if not (_in_place(x) and x.ndim):
        return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))
    return quiet_softplus(x)


def quiet_softplus(x: Array) -> Array:
    """The same for an array of a floating type with at least one axis."""
    tail = np.abs(x)
    np.negative(tail, tail)
    np.exp(tail, tail)
    np.log1p(tail, tail)
    # an array without axes needs no conversion, but would widen a narrow type
    tail += np.maximum(x, ZERO if x.dtype is ZERO.dtype else 0.0)
    return tail


def _in_place(value: Any) -> bool:
    """Whether a new array may hold the next result too."""
    return type(value) is np.ndarray and value.dtype.kind == "f"


def silu(x: Any) -> Any:
    """``x sigmoid(x)``."""
    return x * sigmoid(x)


def elu(x: Any, a: Any) -> Any:
    """x above 0 and ``a (exp(x) - 1)`` below."""
    return np.where(np.greater(x, 0), x, a * np.expm1(np.minimum(x, 0)))


def selu(x: Any) -> Any:
    """The scaled exponential linear unit."""
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


def huber(r: Any, d: Any) -> Any:
    """``r^2 / 2`` within d and ``d (|r| - d / 2)`` beyond."""
    size = np.minimum(np.abs(r), d)
    return size * (np.abs(r) - size / 2)


def normpdf(x: Any) -> Any:
    """The density of the standard normal distribution."""
    return np.exp(-0.5 * np.square(x)) * 0.3989422804014327


# --- along trailing axes -------------------------------------------------------------------------


def _trailing(core: int) -> tuple[int, ...]:
    return tuple(range(-core, 0))


def finite(top: Any) -> Any:
    """What is taken away before an exponential: 0 in place of an infinity."""
    if np.isfinite(top).all():
        return top
    return np.where(np.isfinite(top), top, 0).astype(top.dtype, copy=False)


def logsumexp(x: Any, core: int = 1) -> Any:
    """The logarithm of the sum of exponentials over the last ``core`` axes."""
    with np.errstate(divide="ignore"):
        return quiet_logsumexp(x, core)


def quiet_logsumexp(x: Any, core: int = 1) -> Any:
    """The same where warnings are off."""
    if _in_place(x) and x.ndim == core:
        top = x.max()
        if math.isfinite(top):
            return np.log(np.exp(x - top).sum()) + top
    axes = _trailing(core)
    x = np.asarray(x, dtype=floating(x))
    top = finite(np.max(x, axis=axes, keepdims=True))
    return np.log(np.sum(np.exp(x - top), axis=axes)) + np.squeeze(top, axis=axes)


def softmax(x: Any) -> Any:
    """Exponentials over their sum along the last axis."""
    return softmax_of(exponentials(x))


def log_softmax(x: Any) -> Any:
    """The logarithm of the softmax along the last axis."""
    return log_softmax_of(exponentials(x))


def exponentials(x: Any) -> tuple[Array, Array, Array, Array]:
    """What the softmax, its logarithm and the log-sum-exp along the last axis share.

    The largest entry, the entries less that, the exponentials of those and their sum.
    """
    x = np.asarray(x, dtype=floating(x))
    top = finite(x.max(axis=-1, keepdims=True))
    shifted = x - top
    weights = np.exp(shifted)
    return top, shifted, weights, weights.sum(axis=-1, keepdims=True)


def quiet_exponentials(x: Any) -> tuple[Any, Any, Array, Any]:
    """The same in fewer steps; of a vector, the largest entry and the sum are numbers."""
    if not (_in_place(x) and x.ndim):
        return exponentials(x)
    whole = x.ndim == 1
    top = x.max() if whole else x.max(-1, None, True)
    # a sum of finite numbers may be infinite too, which only takes longer
    if not math.isfinite(top if whole else top.sum()):
        return exponentials(x)
    shifted = x - top
    weights = np.exp(shifted)
    return top, shifted, weights, weights.sum() if whole else weights.sum(-1, None, None, True)


def softmax_of(shared: tuple[Array, Array, Array, Array]) -> Array:
    """The softmax from `exponentials`."""
    _, _, weights, total = shared
    return weights / total


def log_softmax_of(shared: tuple[Array, Array, Array, Array]) -> Array:
    """The logarithm of the softmax from `exponentials`."""
    _, shifted, _, total = shared
    return shifted - np.log(total)


def logsumexp_of(shared: tuple[Array, Array, Array, Array]) -> Any:
    """The logarithm of the sum of exponentials from `exponentials`."""
    with np.errstate(divide="ignore"):
        return quiet_logsumexp_of(shared)


def quiet_logsumexp_of(shared: tuple[Array, Array, Array, Array]) -> Any:
    """The same where warnings are off, also of what `quiet_exponentials` gives."""
    top, _, _, total = shared
    value = np.log(total) + top
    return value[..., 0] if value.ndim else value


def norm(x: Any, core: int = 1) -> Any:
    """The root of the sum of squares over the last ``core`` axes, without overflow."""
    axes = _trailing(core)
    x = np.asarray(x, dtype=floating(x))
    with np.errstate(over="ignore", under="ignore"):
        value = np.sqrt(np.sum(np.square(x), axis=axes))
    tiny, huge = _safe_range(x.dtype)
    if np.all((value > tiny) & (value < huge)):
        return value
    top = np.max(np.abs(x), axis=axes, keepdims=True, initial=0)
    divisor = np.where((top > 0) & np.isfinite(top), top, 1).astype(x.dtype, copy=False)
    return np.squeeze(divisor, axis=axes) * np.sqrt(np.sum(np.square(x / divisor), axis=axes))


def quiet_norm(x: Any, core: int = 1) -> Any:
    """The same where warnings are off: the product of an array with itself tells whether more has to be done."""
    if _in_place(x) and x.ndim == core:
        square = x.dot(x) if core == 1 else np.vdot(x, x)
        tiny, huge = _safe_squares(x.dtype)
        if tiny < square < huge:
            return np.sqrt(square)
    return norm(x, core)


@cache
def _safe_squares(dtype: np.dtype[Any]) -> tuple[float, float]:
    """The squares of the lengths of `_safe_range`."""
    info = np.finfo(dtype)
    return float(info.tiny / info.eps), float(info.max)


@cache
def _safe_range(dtype: np.dtype[Any]) -> tuple[float, float]:
    """The lengths whose square is neither lost nor infinite."""
    info = np.finfo(dtype)
    return float(np.sqrt(info.tiny / info.eps)), float(np.sqrt(info.max))


def normalize(x: Any, core: int = 1) -> Any:
    """The direction over the last ``core`` axes, 0 at 0."""
    x = np.asarray(x, dtype=floating(x))
    length = np.expand_dims(norm(x, core), _trailing(core))
    return x / np.where(length > 0, length, 1).astype(x.dtype, copy=False)


def quiet_normalize(x: Any, core: int = 1) -> Any:
    """The same where warnings are off."""
    if _in_place(x) and x.ndim == core:
        length = quiet_norm(x, core)
        if length > 0:
            return x / length
    return normalize(x, core)


def prodexcept(x: Any, core: int = 1) -> Any:
    """For every entry the product of all the others, right where entries are 0."""
    x = np.asarray(x)
    flat = _flattened(x, core)
    before = np.ones_like(flat)
    after = np.ones_like(flat)
    np.cumprod(flat[..., :-1], axis=-1, out=before[..., 1:])
    np.cumprod(flat[..., :0:-1], axis=-1, out=after[..., -2::-1])
    return (before * after).reshape(x.shape)


def _flattened(x: Array, core: int) -> Array:
    """The last ``core`` axes as one; its length is counted, for an empty array leaves it open."""
    split = x.ndim - core
    return x.reshape(*x.shape[:split], math.prod(x.shape[split:]))


def prodexcept2(x: Any, core: int = 1) -> Any:
    """For every pair of different entries the product of all the others, 0 for an entry with itself."""
    x = np.asarray(x)
    lead, block = x.shape[: x.ndim - core], x.shape[x.ndim - core :]
    flat = _flattened(x, core)
    count = flat.shape[-1]
    wide = np.repeat(flat[..., None, :], count, axis=-2)
    places = np.arange(count)
    wide[..., places, places] = 1
    pairs = prodexcept(wide)
    pairs[..., places, places] = 0
    return pairs.reshape(*lead, *block, *block)


def weighted_gram(X: Array, weights: Array, rows: Array, out: Array) -> Array:
    """``X^T diag(weights) X`` into an array; of weights that are not negative half of it is computed.

    Parameters
    ----------
    X: N × d.
    weights: N.
    rows: N × d, for what is computed on the way.
    out: d × d.
    """
    if weights.min() >= 0:
        np.multiply(np.sqrt(weights)[:, None], X, rows)
        return np.dot(rows.T, rows, out)
    np.multiply(weights[:, None], X, rows)
    return np.dot(X.T, rows, out)


# --- matrices ------------------------------------------------------------------------------------


def symmetric_part(A: Any) -> Any:
    """``(A + A^T) / 2`` on the last two axes."""
    return (A + np.swapaxes(A, -1, -2)) / 2


WELL_CONDITIONED = 1e7
"""Up to this condition number an adjugate by the inverse is as good as one by singular values, and much quicker."""


def adjugate(A: Any) -> Any:
    """The adjugate, right for singular matrices too."""
    A = np.asarray(A, dtype=floating(A))
    try:
        inverse = np.linalg.inv(A)
    except np.linalg.LinAlgError:
        inverse = np.full_like(A, np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        condition = np.linalg.norm(A, axis=(-2, -1)) * np.linalg.norm(inverse, axis=(-2, -1))
    if np.all(condition < WELL_CONDITIONED):
        return np.linalg.det(A)[..., None, None] * inverse
    U, s, Vt, sign = _oriented(A)
    inside = np.swapaxes(Vt, -1, -2) * prodexcept(s)[..., None, :]
    return sign[..., None, None] * (inside @ np.swapaxes(U, -1, -2))


def _oriented(A: Array) -> tuple[Array, Array, Array, Array]:
    """Singular values and vectors with ``det(U) det(V)``."""
    U, s, Vt = np.linalg.svd(A)
    return U, s, Vt, np.sign(np.linalg.det(U) * np.linalg.det(Vt))


def adj_frechet(A: Any, E: Any) -> Any:
    """The derivative of the adjugate at A in the direction E, right for singular matrices too.

    With ``A = U S V^T`` it is that at the diagonal matrix S in the direction ``F = U^T E V``: off the diagonal
    ``-F_ij`` times the product of all singular values but two, on the diagonal a sum of such products.
    """
    A, E = np.asarray(A, dtype=floating(A, E)), np.asarray(E, dtype=floating(A, E))
    # directions in a batch mostly share their matrix, which is factorized once
    shared = tuple(slice(0, 1) if stride == 0 else slice(None) for stride in A.strides[:-2])
    U, s, Vt, sign = _oriented(A[shared])
    V, Ut = np.swapaxes(Vt, -1, -2), np.swapaxes(U, -1, -2)
    others = prodexcept2(s)
    F = Ut @ E @ V
    inside = -others * F
    places = np.arange(s.shape[-1])
    inside[..., places, places] = (others @ F[..., places, places, None])[..., 0]
    return sign[..., None, None] * (V @ inside @ Ut)


def eigvals(A: Any) -> Array:
    """The eigenvalues of a symmetric matrix, ascending."""
    return np.linalg.eigvalsh(_known(A))


def _known(A: Any) -> Any:
    """A matrix without NaN, for which LAPACK answers with arbitrary eigenvalues."""
    if np.isnan(np.sum(A)) and np.isnan(A).any():
        raise np.linalg.LinAlgError("the matrix has entries that are not numbers")
    return A


def eigmax(A: Any) -> Any:
    """The largest eigenvalue of a symmetric matrix."""
    return eigvals(A)[..., -1]


def eigmin(A: Any) -> Any:
    """The smallest eigenvalue of a symmetric matrix."""
    return eigvals(A)[..., 0]


def eigvecs(A: Any) -> Any:
    """Eigenvectors as columns by ascending eigenvalue; the entry of largest size in each is positive."""
    vectors = np.linalg.eigh(_known(A))[1]
    return vectors * _orientation(vectors)


def _orientation(vectors: Array) -> Array:
    """The sign of the entry of largest size in each column."""
    place = np.argmax(np.abs(vectors), axis=-2)[..., None, :]
    return np.where(np.take_along_axis(vectors, place, axis=-2) < 0, -1, 1).astype(vectors.dtype)


def _tied(values: Array, best: Array) -> Array:
    """Which values equal the best one up to rounding."""
    slack = 8 * values.shape[-1] * np.finfo(values.dtype).eps * np.max(np.abs(values), axis=-1, keepdims=True)
    return np.asarray(np.abs(values - best[..., None]) <= slack, dtype=values.dtype)


def _mean_projector(left: Array, right: Array, tied: Array) -> Array:
    """The mean of ``u_i v_i^T`` over the tied columns."""
    weights = tied / np.sum(tied, axis=-1, keepdims=True)
    result: Array = (left * weights[..., None, :]) @ np.swapaxes(right, -1, -2)
    return result


def eigmaxproj(A: Any) -> Any:
    """``v v^T`` of the largest eigenvalue, the mean over equal ones."""
    values, vectors = np.linalg.eigh(_known(A))
    return _mean_projector(vectors, vectors, _tied(values, values[..., -1]))


def eigminproj(A: Any) -> Any:
    """``v v^T`` of the smallest eigenvalue, the mean over equal ones."""
    values, vectors = np.linalg.eigh(_known(A))
    return _mean_projector(vectors, vectors, _tied(values, values[..., 0]))


def spectral(X: Any) -> Any:
    """The largest singular value."""
    return np.linalg.svd(X, compute_uv=False)[..., 0]


def _thin(X: Any) -> tuple[Array, Array, Array]:
    """``U, s, V`` with as many columns as singular values; the largest entry of each left one is positive."""
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    signs = _orientation(U)
    return U * signs, s, np.swapaxes(Vt, -1, -2) * signs


def svd_u(X: Any) -> Any:
    """Left singular vectors as columns."""
    return _thin(X)[0]


def svd_v(X: Any) -> Any:
    """Right singular vectors as columns."""
    return _thin(X)[2]


def spectraldir(X: Any) -> Any:
    """``u v^T`` of the largest singular value, the mean over equal ones, 0 at 0."""
    U, s, V = _thin(X)
    direction = _mean_projector(U, V, _tied(s, s[..., 0]))
    return direction * (s[..., 0] > 0)[..., None, None]


def polar(X: Any) -> Any:
    """``U V^T`` over the singular values that are not 0."""
    U, s, V = _thin(X)
    cut = max(np.shape(X)[-2:]) * np.finfo(s.dtype).eps * np.max(s, axis=-1, keepdims=True, initial=0)
    return (U * (s > cut)[..., None, :]) @ np.swapaxes(V, -1, -2)


# --- integer powers ------------------------------------------------------------------------------


def matpow(X: Any, k: Any) -> Any:
    """``X^k`` for an integer k."""
    X, k = np.asarray(X, dtype=floating(X)), np.asarray(k)
    if k.ndim == 0:
        return np.linalg.matrix_power(X, _integer(k))
    lead = k.shape
    result = np.empty_like(X)
    for place in np.ndindex(lead):
        result[place] = np.linalg.matrix_power(X[place], _integer(k[place]))
    return result


def _integer(k: Any) -> int:
    value = round(float(k))
    if value != float(k):
        raise ValueError(f"the exponent of a matrix power is an integer, not {float(k)}")
    return value


def matpow_frechet(X: Any, E: Any, k: Any) -> Any:
    """The derivative of ``X^k`` in the direction E."""
    size = np.shape(X)[-1]
    return matpow(block_upper(X, E), k)[..., :size, size:]


def block_upper(A: Any, E: Any) -> Array:
    """``[A, E; 0, A]``."""
    A, E = np.broadcast_arrays(A, E)
    top = np.concatenate([A, E], axis=-1)
    bottom = np.concatenate([np.zeros_like(A), A], axis=-1)
    return np.concatenate([top, bottom], axis=-2)


def tracepow(X: Any, k: Any) -> Any:
    """The trace of ``X^k``."""
    return np.trace(matpow(X, k), axis1=-2, axis2=-1)
