"""The functions of the language continued to complex arguments, so that an imaginary step gives a derivative.

Every function here is analytic near almost every real point, is real where its argument is, and carries an imaginary
part of any size through its arithmetic without loss (Squire & Trapp, SIAM Review 40 (1998)): transposes are never
conjugated, comparisons look at real parts alone, and what LAPACK would compute by unitary transformations (square
roots, logarithms, eigenvalues, singular values) is found by iterations on the equation that defines it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special

from ..expr.nodes import Call, Map
from ..lower.runtime import block_upper, prodexcept, prodexcept2
from ..ops.elementwise import SELU_ALPHA, SELU_SCALE

Array = NDArray[Any]
Continued = Callable[..., Any]

ROUNDS = 20
"""Steps of an iteration that converges quadratically: half of them for a condition of a million."""

REFINEMENTS = 4
"""Newton steps from a real eigenvector to the complex one: the first one carries the whole imaginary part."""

ROOTS = 5
"""Square roots taken before a logarithm, so that the quadrature sees a matrix near the identity."""


class NotContinued(Exception):
    """A function has no continuation to complex arguments here."""


def part(z: Any) -> Any:
    """The real part, which alone decides which branch is taken."""
    return np.real(z)


# --- entrywise -----------------------------------------------------------------------------------


def absolute(z: Any) -> Any:
    return z * np.sign(part(z))


def sigmoid(z: Any) -> Any:
    decayed = np.exp(-absolute(z))
    return np.where(part(z) >= 0, 1 / (1 + decayed), decayed / (1 + decayed))


def relu(z: Any) -> Any:
    return np.where(part(z) > 0, z, 0.0)


def softplus(z: Any) -> Any:
    return relu(z) + special.log1p(np.exp(-absolute(z)))


def elu(z: Any, a: Any) -> Any:
    return np.where(part(z) > 0, z, a * special.expm1(np.where(part(z) > 0, 0.0, z)))


def selu(z: Any) -> Any:
    return float(SELU_SCALE) * elu(z, float(SELU_ALPHA))


def huber(r: Any, d: Any) -> Any:
    size = absolute(r)
    return np.where(part(size) <= part(d), r * r / 2, d * (size - d / 2))


def cbrt(z: Any) -> Any:
    sign = np.sign(part(z))
    return sign * (z * sign) ** (1 / 3)


def power(base: Any, exponent: Any) -> Any:
    """A power that is real for a real base below 0 and a whole exponent."""
    if np.iscomplexobj(exponent) or np.iscomplexobj(base):
        whole = (np.imag(exponent) == 0) & (part(exponent) == np.round(part(exponent)))
        sign = np.where(whole & (part(base) < 0), -1.0, 1.0)
        parity = np.where(part(exponent) % 2 == 1, sign, 1.0)
        return parity * np.power(base * sign, exponent)
    return np.power(base, exponent)


def atan2(y: Any, x: Any) -> Any:
    """The real angle and, for a small step off the real numbers, what it adds: ``atan(w)`` with
    ``w = (x dy - y dx) / (x (x + dx) + y (y + dy))``."""
    a, b = part(y), part(x)
    real = np.arctan2(a, b)
    if not (np.iscomplexobj(y) or np.iscomplexobj(x)):
        return real
    dy, dx = y - a, x - b
    return real + np.arctan((b * dy - a * dx) / (b * x + a * y))


def hypot(a: Any, b: Any) -> Any:
    return root(a * a + b * b)


def root(z: Any) -> Any:
    """The square root, 0 at 0 in every direction: the convention for norms at the origin."""
    return np.where(part(z) == 0, 0.0, np.sqrt(z))


def lgamma(z: Any) -> Any:
    """``log |Gamma|``; below 0 by reflection (Abramowitz & Stegun, 6.1.17)."""
    if not np.iscomplexobj(z):
        return special.gammaln(z)
    below = part(z) < 0
    folded = np.where(below, 1 - z, z)
    value = special.loggamma(folded)
    return np.where(below, np.log(np.pi) - np.log(absolute(np.sin(np.pi * np.where(below, z, 0.5)))) - value, value)


def polygamma(order: Any, z: Any) -> Any:
    """By its own first Taylor term off the real numbers: SciPy has no complex polygamma function."""
    order = part(order)
    value = special.polygamma(order, part(z))
    if not np.iscomplexobj(z):
        return value
    return value + 1j * np.imag(z) * special.polygamma(order + 1, part(z))


def larger(a: Any, b: Any) -> Any:
    """Ties share."""
    return np.where(part(a) == part(b), (a + b) / 2, np.where(part(a) > part(b), a, b))


def smaller(a: Any, b: Any) -> Any:
    return -larger(-a, -b)


def compared(relation: Callable[[Any, Any], Any]) -> Continued:
    return lambda a, b: np.asarray(relation(part(a), part(b)), dtype=float)


MAPS: Mapping[str, Continued] = MappingProxyType(
    {
        "exp": np.exp,
        "log": np.log,
        "log1p": special.log1p,
        "expm1": special.expm1,
        "log2": lambda z: np.log(z) / np.log(2.0),
        "log10": lambda z: np.log(z) / np.log(10.0),
        "cbrt": cbrt,
        "pow": power,
        "sin": np.sin,
        "cos": np.cos,
        "tan": np.tan,
        "asin": np.arcsin,
        "acos": np.arccos,
        "atan": np.arctan,
        "sinh": np.sinh,
        "cosh": np.cosh,
        "tanh": np.tanh,
        "asinh": np.arcsinh,
        "acosh": np.arccosh,
        "atanh": np.arctanh,
        "atan2": atan2,
        "hypot": hypot,
        "sigmoid": sigmoid,
        "softplus": softplus,
        "relu": relu,
        "leaky_relu": lambda z, a: np.where(part(z) > 0, z, a * z),
        "elu": elu,
        "selu": selu,
        "gelu": lambda z: z * special.ndtr(z),
        "silu": lambda z: z * sigmoid(z),
        "huber": huber,
        "erf": special.erf,
        "erfc": special.erfc,
        "normpdf": lambda z: np.exp(-z * z / 2) / np.sqrt(2 * np.pi),
        "normcdf": special.ndtr,
        "lgamma": lgamma,
        "digamma": special.psi,
        "trigamma": lambda z: polygamma(1, z),
        "polygamma": polygamma,
        "abs": absolute,
        "sign": lambda z: np.sign(part(z)),
        "step": lambda z: np.asarray(part(z) > 0, dtype=float),
        "floor": lambda z: np.floor(part(z)),
        "ceil": lambda z: np.ceil(part(z)),
        "round": lambda z: np.round(part(z)),
        "maximum": larger,
        "minimum": smaller,
        "where": lambda c, a, b: np.where(part(c) != 0, a, b),
        "lt": compared(np.less),
        "le": compared(np.less_equal),
        "gt": compared(np.greater),
        "ge": compared(np.greater_equal),
        "eq": compared(np.equal),
        "ne": compared(np.not_equal),
    }
)

# --- along trailing axes -------------------------------------------------------------------------


def logsumexp(z: Any, axes: tuple[int, ...]) -> Any:
    top = np.max(part(z), axis=axes, keepdims=True)
    return np.log(np.sum(np.exp(z - top), axis=axes)) + np.squeeze(top, axis=axes)


def softmax(z: Any) -> Any:
    weights = np.exp(z - np.max(part(z), axis=-1, keepdims=True))
    return weights / np.sum(weights, axis=-1, keepdims=True)


def largest(z: Any, axes: tuple[int, ...]) -> Any:
    """The mean of the entries whose real part is largest: ties share."""
    tied = part(z) == np.max(part(z), axis=axes, keepdims=True)
    return np.sum(np.where(tied, z, 0.0), axis=axes) / np.sum(tied, axis=axes)


def variance(z: Any, axes: tuple[int, ...]) -> Any:
    centred = z - np.mean(z, axis=axes, keepdims=True)
    return np.mean(centred * centred, axis=axes)


def norm(z: Any, axes: tuple[int, ...]) -> Any:
    return root(np.sum(z * z, axis=axes))


def normalize(z: Any, axes: tuple[int, ...]) -> Any:
    length = np.expand_dims(norm(z, axes), axes)
    return z / np.where(length == 0, 1.0, length)


def argmax(z: Any, axes: tuple[int, ...]) -> Any:
    return np.argmax(part(z).reshape(*np.shape(z)[: np.ndim(z) - len(axes)], -1), axis=-1)


AXES: Mapping[str, Callable[[Any, tuple[int, ...]], Any]] = MappingProxyType(
    {
        "prod": lambda z, axes: np.prod(z, axis=axes),
        "prodexcept": lambda z, axes: prodexcept(z, len(axes)),
        "prodexcept2": lambda z, axes: prodexcept2(z, len(axes)),
        "max": largest,
        "min": lambda z, axes: -largest(-z, axes),
        "var": variance,
        "std": lambda z, axes: root(variance(z, axes)),
        "logsumexp": logsumexp,
        "norm": norm,
        "norminf": lambda z, axes: largest(absolute(z), axes),
        "argmax": argmax,
        "normalize": normalize,
    }
)

# --- matrices ------------------------------------------------------------------------------------


def turned(X: Any) -> Any:
    """The transpose, never conjugated."""
    return np.swapaxes(X, -1, -2)


def symmetric(A: Any) -> Any:
    return (A + turned(A)) / 2


def logdet(X: Any) -> Any:
    return np.log(absolute(np.linalg.det(X)))


def pinv(X: Any) -> Any:
    """Of a matrix of full rank."""
    if not np.iscomplexobj(X):
        return np.linalg.pinv(X)
    tall = np.shape(X)[-2] >= np.shape(X)[-1]
    left = X if tall else turned(X)
    value = np.linalg.solve(turned(left) @ left, turned(left))
    return value if tall else turned(value)


def adj(X: Any) -> Any:
    """By minors, singular or not."""
    size = np.shape(X)[-1]
    value = np.ones(np.shape(X), dtype=np.result_type(X, float))
    for i, j in np.ndindex(size, size):
        minor = np.delete(np.delete(X, i, axis=-2), j, axis=-1)
        value[..., j, i] = (-1) ** (i + j) * np.linalg.det(minor)
    return value


def adj_frechet(X: Any, E: Any) -> Any:
    """The linear coefficient of the polynomial ``adj(X + t E)``, from its values at the roots of unity."""
    if np.iscomplexobj(X) or np.iscomplexobj(E):
        raise NotContinued("adj_frechet")  # a small imaginary part would drown in the rounding of the others
    turns = np.exp(2j * np.pi * np.arange(np.shape(X)[-1] + 1) / (np.shape(X)[-1] + 1))
    length = max(float(np.max(np.abs(E), initial=0.0)), float(np.finfo(float).tiny))
    return np.real(length * np.mean([adj(X + turn / length * E) / turn for turn in turns], axis=0))


def chol(A: Any) -> Any:
    A = symmetric(A)
    L = np.zeros(np.shape(A), dtype=np.result_type(A, float))
    for j in range(np.shape(A)[-1]):
        row = L[..., j, :j]
        pivot = A[..., j, j] - np.sum(row * row, axis=-1)
        L[..., j, j] = np.sqrt(np.where(part(pivot) > 0, pivot, np.nan))
        below = A[..., j + 1 :, j] - np.sum(L[..., j + 1 :, :j] * row[..., None, :], axis=-1)
        L[..., j + 1 :, j] = below / L[..., j, j][..., None]
    return L


def sqrtm(A: Any) -> Any:
    """By the iteration of Denman & Beavers, Appl. Math. Comput. 2 (1976); NaN where it does not converge."""
    Y, Z = A, np.broadcast_to(np.eye(np.shape(A)[-1]), np.shape(A))
    for _ in range(ROUNDS):
        Y, Z = (Y + np.linalg.inv(Z)) / 2, (Z + np.linalg.inv(Y)) / 2
    converged = np.all(np.abs(Y @ Y - A) <= 1e-9 * np.max(np.abs(A), initial=0.0))
    return Y if converged else np.full(np.shape(A), np.nan)


def logm(A: Any) -> Any:
    """Of a root near the identity by Gauss-Legendre quadrature (Dieci, Morini & Papini, SIMAX 17 (1996), eq. 1.3)."""
    for _ in range(ROOTS):
        A = sqrtm(A)
    identity = np.eye(np.shape(A)[-1])
    nodes, weights = np.polynomial.legendre.leggauss(12)
    step = A - identity
    terms = [
        weight / 2 * np.linalg.solve((node + 1) / 2 * step + identity, step)
        for node, weight in zip(nodes, weights, strict=True)
    ]
    return 2**ROOTS * sum(terms[1:], terms[0])


def corner(function: Continued) -> Continued:
    """The derivative of a function of matrices, as a block of its value at ``[A, E; 0, A]`` (Higham, eq. 3.16)."""

    def frechet(A: Any, E: Any, *others: Any) -> Any:
        size = np.shape(A)[-1]
        return function(block_upper(A, E), *others)[..., :size, size:]

    return frechet


def sylvester(A: Any, B: Any, C: Any) -> Any:
    """By the linear system for the rows of Z."""
    m, n = np.shape(C)[-2:]
    left = np.einsum("...ik,jl->...ijkl", A, np.eye(n)) + np.einsum("ik,...lj->...ijkl", np.eye(m), B)
    lead = np.shape(C)[:-2]
    solved = np.linalg.solve(left.reshape(*lead, m * n, m * n), np.asarray(C).reshape(*lead, m * n, 1))
    return solved.reshape(np.shape(C))


def matpow(X: Any, k: Any) -> Any:
    powers = np.asarray(part(k))
    if not powers.ndim:
        return np.linalg.matrix_power(X, int(powers))
    value = np.empty(np.shape(X), dtype=np.result_type(X, float))
    for place in np.ndindex(powers.shape):
        value[place] = np.linalg.matrix_power(X[place], int(powers[place]))
    return value


# --- eigenvalues and singular values -------------------------------------------------------------


def refined(A: Any, value: Any, vector: Any) -> tuple[Any, Any]:
    """The eigenpair of a symmetric matrix near a real one, with ``v^T v = 1``, by Newton's method on ``A v = l v``."""
    size = np.shape(A)[-1]
    start, v = vector, vector.astype(complex)
    system = np.zeros((*np.shape(A)[:-2], size + 1, size + 1), dtype=complex)
    value = value.astype(complex)
    for _ in range(REFINEMENTS):
        system[..., :size, :size] = A - value[..., None, None] * np.eye(size)
        system[..., :size, size] = -v
        system[..., size, :size] = start
        residual = (A @ v[..., None])[..., 0] - value[..., None] * v
        right = np.concatenate([-residual, 1 - np.sum(start * v, axis=-1, keepdims=True)], axis=-1)
        change = np.linalg.solve(system, right[..., None])[..., 0]
        v, value = v + change[..., :size], value + change[..., size]
    return value, v / np.sqrt(np.sum(v * v, axis=-1, keepdims=True))


def eigenpairs(A: Any, columns: slice) -> tuple[Any, Any]:
    """Eigenvalues and vectors of a symmetric matrix, ascending; the entry of largest size in a vector is positive."""
    A = symmetric(A)
    values, vectors = np.linalg.eigh(part(A))
    values, vectors = values[..., columns], vectors[..., columns] * orientation(vectors)[..., columns]
    if np.iscomplexobj(A):
        pairs = [refined(A, values[..., k], vectors[..., :, k]) for k in range(values.shape[-1])]
        values = np.stack([value for value, _ in pairs], axis=-1)
        vectors = np.stack([vector for _, vector in pairs], axis=-1)
    return values, vectors


def orientation(vectors: Any) -> Any:
    place = np.argmax(np.abs(vectors), axis=-2)[..., None, :]
    return np.where(np.take_along_axis(vectors, place, axis=-2) < 0, -1.0, 1.0)


def singular(X: Any, count: int | None = None) -> tuple[Any, Any, Any]:
    """``U, s, V``, from the eigenvectors of ``[0, X; X^T, 0]``; the largest entry of a left vector is positive."""
    U, s, Vt = np.linalg.svd(part(X), full_matrices=False)
    signs = orientation(U)
    U, V = (U * signs)[..., :count], (turned(Vt) * signs)[..., :count]
    s = s[..., :count]
    if not np.iscomplexobj(X):
        return U, s, V
    m, n = np.shape(X)[-2:]
    wide = np.zeros((*np.shape(X)[:-2], m + n, m + n), dtype=complex)
    wide[..., :m, m:], wide[..., m:, :m] = X, turned(X)
    stacked = np.concatenate([U, V], axis=-2) / np.sqrt(2.0)
    pairs = [refined(wide, s[..., k], stacked[..., :, k]) for k in range(s.shape[-1])]
    s = np.stack([value for value, _ in pairs], axis=-1)
    both = np.stack([vector for _, vector in pairs], axis=-1) * np.sqrt(2.0)
    return both[..., :m, :], s, both[..., m:, :]


def projector(columns: slice) -> Continued:
    def value(A: Any) -> Any:
        _, vectors = eigenpairs(A, columns)
        return vectors @ turned(vectors)

    return value


def polar(X: Any) -> Any:
    """``X (X^T X)^(-1/2)``, or the same of the transpose where that is the taller matrix."""
    if np.shape(X)[-2] < np.shape(X)[-1]:
        return turned(polar(turned(X)))
    return X @ np.linalg.inv(sqrtm(turned(X) @ X))


def nuclear(X: Any) -> Any:
    """The trace of the root of the smaller Gram matrix."""
    gram = turned(X) @ X if np.shape(X)[-2] >= np.shape(X)[-1] else X @ turned(X)
    return np.trace(sqrtm(gram), axis1=-2, axis2=-1)


def spectral_direction(X: Any) -> Any:
    U, _, V = singular(X, 1)
    return U @ turned(V)


EVERY, FIRST, LAST = slice(None), slice(0, 1), slice(-1, None)

CALLS: Mapping[str, Continued] = MappingProxyType(
    {
        "softmax": softmax,
        "log_softmax": lambda z: z - np.expand_dims(logsumexp(z, (-1,)), -1),
        "inv": np.linalg.inv,
        "det": np.linalg.det,
        "logdet": logdet,
        "pinv": pinv,
        "adj": adj,
        "smooth_adj": adj,
        "smooth_det": np.linalg.det,
        "adj_frechet": adj_frechet,
        "chol": chol,
        "expm": linalg.expm,
        "expm_frechet": corner(linalg.expm),
        "logm": logm,
        "logm_frechet": corner(logm),
        "sqrtm": sqrtm,
        "sylvester": sylvester,
        "matpow": matpow,
        "matpow_frechet": corner(matpow),
        "tracepow": lambda X, k: np.trace(matpow(X, k), axis1=-2, axis2=-1),
        "eigvals": lambda A: eigenpairs(A, EVERY)[0],
        "eigvecs": lambda A: eigenpairs(A, EVERY)[1],
        "eigmax": lambda A: eigenpairs(A, LAST)[0][..., 0],
        "eigmin": lambda A: eigenpairs(A, FIRST)[0][..., 0],
        "eigmaxproj": projector(LAST),
        "eigminproj": projector(FIRST),
        "svdvals": lambda X: singular(X)[1],
        "svd_u": lambda X: singular(X)[0],
        "svd_v": lambda X: singular(X)[2],
        "nuclear": nuclear,
        "polar": polar,
        "spectral": lambda X: singular(X, 1)[1][..., 0],
        "spectraldir": spectral_direction,
    }
)


def continued(node: Map | Call) -> Continued | None:
    """The function of a node's operands for complex arrays, or None where there is none."""
    if isinstance(node, Map):
        return MAPS.get(node.op)
    along = AXES.get(node.op)
    if along is None:
        return CALLS.get(node.op)
    core = dict(node.parameters).get("core", 1)
    axes = tuple(range(-int(core), 0))
    return lambda z: along(np.asarray(z), axes)
