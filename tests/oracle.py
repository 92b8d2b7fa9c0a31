"""An independent interpreter of the language in NumPy, and numerical derivatives of what it computes.

It shares only the parser and the error family with the engine: no labels, no index strings, no
rules. `evaluate` runs a program on concrete arrays; `derivative` differentiates it numerically,
by the complex step where the program is (piecewise) analytic and by Richardson-extrapolated
central differences elsewhere; `sample` draws arrays of declared types.

In complex arithmetic nothing is conjugated: transposes, norms and Cholesky factors are continued
analytically, and every branch (``abs``, ``max``, comparisons) is decided by the real part.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
import scipy.linalg
import scipy.special
from numpy.typing import NDArray

from matcalc.errors import MatcalcError, ShapeError, UnknownName, Unsupported
from matcalc.syntax.ast import (
    Add,
    Assign,
    Ast,
    Bars,
    Binary,
    Block,
    Call,
    Declare,
    Define,
    Index,
    IndexSum,
    Name,
    Norm,
    Num,
    Output,
    Program,
    Range,
    Str,
    Transpose,
    TypeExpr,
)
from matcalc.syntax.parse import parse, parse_type

Array = NDArray[Any]

COMPLEX_STEP = 1e-25


class NotAnalyticError(Exception):
    """Raised in complex arithmetic by a function that has no cheap analytic continuation."""


# --- values --------------------------------------------------------------------------------------

RANK_OF_KIND = {"scalar": 0, "column": 1, "row": 1, "matrix": 2}


@dataclass(frozen=True, slots=True)
class Value:
    """An array with its orientation.

    ``kind`` is ``scalar``, ``column``, ``row``, ``matrix``, ``tensor`` or ``identity``; of an identity, whose size
    is not known yet, ``array`` is the factor in front. ``free`` holds the axes whose size is not known yet
    (``vector(1)``): the array has length 1 there and stretches to whatever it meets.
    """

    array: Array
    kind: str
    free: frozenset[int] = frozenset()

    @property
    def is_matrix(self) -> bool:
        return self.kind == "matrix"

    @property
    def is_vector(self) -> bool:
        return self.kind in ("column", "row")


def of_array(array: Any) -> Value:
    """Wrap an array: one axis is a column, two a matrix."""
    data = np.asarray(array)
    if data.dtype.kind not in "fc":
        data = data.astype(float)
    kinds = ("scalar", "column", "matrix")
    return Value(data, kinds[data.ndim] if data.ndim < 3 else "tensor")


def scalar(number: Any) -> Value:
    return Value(np.asarray(number), "scalar")


def unresolved(what: str) -> ShapeError:
    return ShapeError(f"The size of {what} does not follow from its context.", hint="Write I(n) or ones(n).")


def require_sized(value: Value) -> Value:
    if value.kind == "identity":
        raise unresolved("I")
    if value.free:
        raise unresolved("vector(1)")
    return value


def describe(value: Value) -> str:
    return f"a {value.kind} of shape {value.array.shape}"


def identity_of_size(value: Value, size: int) -> Value:
    return Value(value.array * np.eye(size), "matrix")


def align(left: Value, right: Value) -> tuple[Value, Value, str]:
    """Stretch two values for an entrywise operation; the third result is the kind of the outcome."""
    if left.kind == "identity" and right.kind == "identity":
        return left, right, "identity"
    if left.kind == "identity":
        stretched = _identity_like(left, right)
        return stretched, right, "matrix"
    if right.kind == "identity":
        stretched = _identity_like(right, left)
        return left, stretched, "matrix"
    if left.kind == "scalar":
        return left, right, right.kind
    if right.kind == "scalar":
        return left, right, left.kind
    if left.is_vector and right.is_matrix:
        left = as_matrix(left)
        return (*_stretched(left, right, opened=True), "matrix")
    if left.is_matrix and right.is_vector:
        right = as_matrix(right)
        return (*_stretched(left, right, opened=True), "matrix")
    if left.kind != right.kind or left.array.ndim != right.array.ndim:
        raise ShapeError(f"Cannot combine {describe(left)} and {describe(right)} entrywise.")
    return (*_stretched(left, right, opened=False), left.kind)


def _identity_like(identity: Value, other: Value) -> Value:
    if not other.is_matrix or (0 in other.free and 1 in other.free):
        raise unresolved("I")
    sizes = {size for axis, size in enumerate(other.array.shape) if axis not in other.free}
    if len(sizes) != 1:
        raise ShapeError(f"I does not fit {describe(other)}.")
    return identity_of_size(identity, sizes.pop())


def _stretched(left: Value, right: Value, opened: bool) -> tuple[Value, Value]:
    """Check that sizes agree wherever neither side may stretch."""
    for axis, (a, b) in enumerate(zip(left.array.shape, right.array.shape, strict=True)):
        may_stretch = axis in left.free or axis in right.free
        if a != b and not may_stretch and not (opened and 1 in (a, b)):
            raise ShapeError(f"Cannot combine {describe(left)} and {describe(right)} entrywise.")
    return left, right


def as_matrix(vector: Value) -> Value:
    """A column as an n×1 matrix, a row as a 1×n matrix."""
    if vector.is_matrix:
        return vector
    if vector.kind == "scalar":
        return Value(vector.array.reshape(1, 1), "matrix")
    if vector.kind == "column":
        return Value(vector.array[:, None], "matrix", frozenset(0 for _ in vector.free))
    if vector.kind == "row":
        return Value(vector.array[None, :], "matrix", frozenset(1 for _ in vector.free))
    raise ShapeError(f"Expected a vector or a matrix, got {describe(vector)}.")


def entrywise(function: Callable[..., Any], left: Value, right: Value) -> Value:
    left, right, kind = align(left, right)
    if kind == "identity":
        raise unresolved("I")
    array = np.asarray(function(left.array, right.array))
    if left.kind == "scalar":
        return Value(array, kind, right.free)
    if right.kind == "scalar":
        return Value(array, kind, left.free)
    # A vector opened into a matrix stretches along its axis of length 1, so the matrix decides about freedom there.
    free = frozenset(
        axis
        for axis in range(array.ndim)
        if array.shape[axis] == 1
        and (axis in left.free or axis in right.free)
        and all(axis in side.free or side.array.shape[axis] == 1 for side in (left, right))
    )
    return Value(array, kind, free)


def add(left: Value, right: Value, sign: int = 1) -> Value:
    if left.kind == "identity" and right.kind == "identity":
        return Value(left.array + sign * right.array, "identity")
    return entrywise(lambda a, b: a + sign * b, left, right)


def hadamard(left: Value, right: Value) -> Value:
    if left.kind == "identity" and right.kind == "identity":
        return Value(left.array * right.array, "identity")
    if "identity" in (left.kind, right.kind) and "scalar" in (left.kind, right.kind):
        return Value(left.array * right.array, "identity")
    return entrywise(np.multiply, left, right)


def divide(left: Value, right: Value) -> Value:
    if left.kind == "identity" and right.kind == "scalar":
        return Value(left.array / right.array, "identity")
    return entrywise(np.divide, left, right)


def transpose(value: Value) -> Value:
    if value.kind in ("scalar", "identity"):
        return value
    if value.is_vector:
        return replace(value, kind="row" if value.kind == "column" else "column")
    if value.is_matrix:
        return Value(value.array.T, "matrix", frozenset(1 - axis for axis in value.free))
    raise ShapeError(f"Cannot transpose {describe(value)}.")


def contract(left: Array, right: Array, left_free: bool, right_free: bool) -> Array:
    """Sum over the last axis of ``left`` and the first of ``right``; an axis of unknown size stretches."""
    if left_free and right_free:
        raise unresolved("vector(1)")
    if left_free:
        left = np.repeat(left, right.shape[0], axis=-1)
    elif right_free:
        right = np.repeat(right, left.shape[-1], axis=0)
    if left.shape[-1] != right.shape[0]:
        raise ShapeError(f"Cannot multiply shapes {left.shape} and {right.shape}.")
    return np.asarray(np.tensordot(left, right, axes=1))


def multiply(left: Value, right: Value) -> Value:
    """The product written by juxtaposition: by orientation an inner, outer or matrix product."""
    if "scalar" in (left.kind, right.kind):
        return hadamard(left, right)
    if left.kind == "identity":
        return Value(left.array * right.array, right.kind, right.free)
    if right.kind == "identity":
        return Value(left.array * right.array, left.kind, left.free)
    kinds = (left.kind, right.kind)
    if kinds == ("column", "row"):
        free = frozenset([0] * len(left.free) + [1] * len(right.free))
        return Value(np.multiply.outer(left.array, right.array), "matrix", free)
    outcome = {
        ("row", "column"): "scalar",
        ("row", "matrix"): "row",
        ("matrix", "column"): "column",
        ("matrix", "matrix"): "matrix",
    }.get(kinds)
    if outcome is None:
        raise ShapeError(f"Cannot multiply {describe(left)} by {describe(right)}.", hint="x^T y, x y^T or x .* y?")
    last = left.array.ndim - 1
    array = contract(left.array, right.array, last in left.free, 0 in right.free)
    still_free = [axis for axis in left.free if axis != last] + [last + axis - 1 for axis in right.free if axis != 0]
    return Value(array, outcome, frozenset(0 if outcome == "row" else axis for axis in still_free))


def kronecker(left: Value, right: Value) -> Value:
    if "scalar" in (left.kind, right.kind):
        return hadamard(left, right)
    left, right = require_sized(left), require_sized(right)
    array = np.kron(as_matrix(left).array, as_matrix(right).array)
    if left.kind == right.kind and left.is_vector:
        return Value(array.ravel(), left.kind)
    return Value(array, "matrix")


def square_matrix(value: Value, function: str) -> Array:
    if value.kind == "scalar":
        return value.array.reshape(1, 1)
    value = require_sized(value)
    if not value.is_matrix or value.array.shape[0] != value.array.shape[1]:
        raise ShapeError(f"{function} needs a square matrix, got {describe(value)}.")
    return value.array


def same_kind(value: Value, array: Any) -> Value:
    """A result of a square-matrix function: a scalar stays a scalar."""
    data = np.asarray(array)
    return Value(data.reshape(()), "scalar") if value.kind == "scalar" else Value(data, "matrix")


def inverse(value: Value) -> Value:
    if value.kind == "identity":
        return Value(1 / value.array, "identity")
    return same_kind(value, np.linalg.inv(square_matrix(value, "inv")))


def real_integer(value: Value) -> int | None:
    """The integer a scalar is equal to, if there is one."""
    if value.kind != "scalar" or value.array.imag != 0:
        return None
    number = float(value.array.real)
    return round(number) if number == round(number) else None


def scalar_power(base: Array, exponent: Array) -> Array:
    integer = real_integer(scalar(exponent)) if np.ndim(exponent) == 0 else None
    if integer is not None:
        return np.asarray(base ** np.asarray(float(integer))) if integer < 0 else np.asarray(base**integer)
    return np.asarray(base**exponent)


def power(base: Value, exponent: Value) -> Value:
    if base.kind == "identity":
        integer = real_integer(exponent)
        if integer is None:
            raise unresolved("I")
        return Value(scalar_power(base.array, np.asarray(float(integer))), "identity")
    if not base.is_matrix or exponent.kind != "scalar":
        return entrywise(scalar_power, base, exponent)
    matrix = square_matrix(base, "A matrix power")
    integer = real_integer(exponent)
    if integer is not None:
        return Value(np.linalg.matrix_power(matrix, integer), "matrix")
    if exponent.array in (0.5, -0.5):
        root = matrix_function(scipy.linalg.sqrtm, matrix)
        return Value(root if exponent.array > 0 else np.linalg.inv(root), "matrix")
    raise Unsupported("A matrix power needs an integer or 1/2.")


def matrix_function(function: Callable[[Array], Any], matrix: Array) -> Array:
    """A Schur-based matrix function: its rounding errors swamp a complex step, so refuse complex input."""
    if np.iscomplexobj(matrix):
        raise NotAnalyticError
    result = np.asarray(function(matrix))
    return np.asarray(result.real if np.abs(result.imag).max() < 1e-12 else np.full(result.shape, np.nan))


def solve(matrix: Value, right: Value) -> Value:
    if matrix.kind in ("scalar", "identity"):
        return divide(right, scalar(matrix.array))
    if right.kind == "identity":
        return hadamard(scalar(right.array), inverse(matrix))
    if matrix.is_vector:
        return divide(right, matrix)
    return Value(np.linalg.solve(square_matrix(matrix, "solve"), require_sized(right).array), right.kind)


# --- entrywise functions -------------------------------------------------------------------------


def positive_part(z: Array) -> Array:
    return np.where(z.real > 0, z, 0.0)


def branch(condition: Array, taken: Array, other: Array) -> Array:
    return np.where(condition, taken, other)


def absolute(z: Array) -> Array:
    return np.asarray(z * np.sign(z.real))


def sigmoid(z: Array) -> Array:
    decayed = np.exp(-absolute(z))
    return branch(z.real >= 0, 1 / (1 + decayed), decayed / (1 + decayed))


def softplus(z: Array) -> Array:
    return positive_part(z) + scipy.special.log1p(np.exp(-absolute(z)))


def normal_density(z: Array) -> Array:
    return np.asarray(np.exp(-z * z / 2) / np.sqrt(2 * np.pi))


def normal_distribution(z: Array) -> Array:
    return np.asarray(scipy.special.ndtr(z))


def exponential_unit(z: Array, alpha: Array | float = 1.0) -> Array:
    return branch(z.real > 0, z, alpha * scipy.special.expm1(np.where(z.real > 0, 0.0, z)))


def cube_root(z: Array) -> Array:
    return np.sign(z.real) * absolute(z) ** (1 / 3) if np.iscomplexobj(z) else np.cbrt(z)


def log_gamma(z: Array) -> Array:
    return scipy.special.loggamma(z) if np.iscomplexobj(z) else scipy.special.gammaln(z)


SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

ENTRYWISE: Mapping[str, Callable[[Array], Any]] = {
    "exp": np.exp,
    "log": np.log,
    "log1p": scipy.special.log1p,
    "expm1": scipy.special.expm1,
    "log2": lambda z: np.log(z) / np.log(2.0),
    "log10": lambda z: np.log(z) / np.log(10.0),
    "sqrt": np.sqrt,
    "cbrt": cube_root,
    "abs": absolute,
    "sign": lambda z: np.sign(z.real),
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
    "sigmoid": sigmoid,
    "softplus": softplus,
    "relu": positive_part,
    "elu": exponential_unit,
    "selu": lambda z: SELU_SCALE * exponential_unit(z, SELU_ALPHA),
    "gelu": lambda z: z * normal_distribution(z),
    "silu": lambda z: z * sigmoid(z),
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "lgamma": log_gamma,
    "digamma": scipy.special.psi,
    "normpdf": normal_density,
    "normcdf": normal_distribution,
    "square": lambda z: z * z,
    "reciprocal": lambda z: 1 / z,
    "floor": lambda z: np.floor(z.real),
    "ceil": lambda z: np.ceil(z.real),
    "round": lambda z: np.round(z.real),
    "step": lambda z: (z.real > 0).astype(float),
}


def larger(a: Array, b: Array) -> Array:
    return branch(a.real >= b.real, a, b)


def smaller(a: Array, b: Array) -> Array:
    return branch(a.real <= b.real, a, b)


def angle(y: Array, x: Array) -> Array:
    """``atan2``, continued from its real value by the integral of its derivative along the imaginary step."""
    real = np.arctan2(y.real, x.real)
    if not (np.iscomplexobj(y) or np.iscomplexobj(x)):
        return np.asarray(real)
    squared = x.real**2 + y.real**2
    return np.asarray(real + 1j * (x.real * y.imag - y.real * x.imag) / squared)


def huber(r: Array, d: Array) -> Array:
    size = absolute(r)
    return branch(size.real <= d.real, r * r / 2, d * (size - d / 2))


COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}

ENTRYWISE_BINARY: Mapping[str, Callable[[Array, Array], Any]] = {
    "atan2": angle,
    "hypot": lambda a, b: np.sqrt(a * a + b * b),
    "max": larger,
    "min": smaller,
    "pow": scalar_power,
    "huber": huber,
    "leaky_relu": lambda z, slope: branch(z.real > 0, z, slope * z),
    "elu": exponential_unit,
}

# --- reductions and row-wise maps ----------------------------------------------------------------


def reduce_log_sum_exp(z: Array, axis: Any) -> Array:
    top = np.max(z.real, axis=axis, keepdims=True)
    total = np.log(np.sum(np.exp(z - top), axis=axis, keepdims=True)) + top
    return np.asarray(np.squeeze(total, axis=axis))


def pick_extreme(z: Array, axis: Any, find: Callable[..., Any]) -> Array:
    if axis is None:
        return np.asarray(z.ravel()[find(z.real.ravel())])
    where = np.expand_dims(find(z.real, axis=axis), axis)
    return np.asarray(np.squeeze(np.take_along_axis(z, where, axis=axis), axis=axis))


def variance(z: Array, axis: Any) -> Array:
    deviation = z - np.mean(z, axis=axis, keepdims=True)
    return np.asarray(np.mean(deviation * deviation, axis=axis))


def euclidean(z: Array, axis: Any) -> Array:
    return np.asarray(np.sqrt(np.sum(z * z, axis=axis)))


def largest_entry(z: Array, axis: Any) -> Array:
    return pick_extreme(absolute(z), axis, np.argmax)


REDUCTIONS: Mapping[str, Callable[[Array, Any], Any]] = {
    "sum": lambda z, axis: np.sum(z, axis=axis),
    "mean": lambda z, axis: np.mean(z, axis=axis),
    "prod": lambda z, axis: np.prod(z, axis=axis),
    "max": lambda z, axis: pick_extreme(z, axis, np.argmax),
    "min": lambda z, axis: pick_extreme(z, axis, np.argmin),
    "var": variance,
    "std": lambda z, axis: np.sqrt(variance(z, axis)),
    "logsumexp": reduce_log_sum_exp,
    "norm": euclidean,
    "norm1": lambda z, axis: np.sum(absolute(z), axis=axis),
    "norm2": euclidean,
    "normF": euclidean,
    "norminf": largest_entry,
    "argmax": lambda z, axis: np.argmax(z.real, axis=axis).astype(float),
}


def softmax(z: Array, axis: int) -> Array:
    weights = np.exp(z - np.max(z.real, axis=axis, keepdims=True))
    return np.asarray(weights / np.sum(weights, axis=axis, keepdims=True))


ROW_WISE: Mapping[str, Callable[[Array, int], Any]] = {
    "softmax": softmax,
    "log_softmax": lambda z, axis: z - np.expand_dims(reduce_log_sum_exp(z, axis), axis),
    "normalize": lambda z, axis: z / np.sqrt(np.sum(z * z, axis=axis, keepdims=True)),
    "cumsum": lambda z, axis: np.cumsum(z, axis=axis),
}


def reduce_value(name: str, value: Value, axis: int | None) -> Value:
    value = require_sized(value)
    function = REDUCTIONS[name]
    if value.kind == "scalar":
        return scalar(function(value.array.reshape(1), 0))
    if axis is None or value.is_vector:
        return scalar(function(value.array, None))
    array = np.asarray(function(value.array, axis))
    if value.is_matrix:
        return Value(array, "row" if axis in (0, -2) else "column")
    return of_array(array)


# --- linear algebra ------------------------------------------------------------------------------


def diagonal(value: Value) -> Value:
    if value.kind == "identity":
        return Value(value.array.reshape(1), "column", frozenset([0]))
    if value.kind == "scalar":
        return value
    if value.is_vector:
        return Value(value.array[0], "identity") if value.free else Value(np.diag(value.array), "matrix")
    return Value(np.diag(require_sized(value).array), "column")


def trace(value: Value) -> Value:
    return scalar(np.trace(square_matrix(value, "tr")))


def log_abs_determinant(value: Value) -> Value:
    matrix = square_matrix(value, "logdet")
    if not np.iscomplexobj(matrix):
        return scalar(np.linalg.slogdet(matrix)[1])
    return scalar(np.log(absolute(np.asarray(np.linalg.det(matrix)))))


def pseudo_inverse(value: Value) -> Value:
    matrix = as_matrix(require_sized(value)).array
    if not np.iscomplexobj(matrix):
        result = np.linalg.pinv(matrix)
    elif matrix.shape[0] >= matrix.shape[1]:
        result = np.linalg.solve(matrix.T @ matrix, matrix.T)
    else:
        result = np.linalg.solve(matrix @ matrix.T, matrix).T
    if value.is_vector:
        return Value(result.ravel(), "row" if value.kind == "column" else "column")
    return same_kind(value, result)


def cofactors(matrix: Array) -> Array:
    size = matrix.shape[0]
    result = np.empty_like(matrix)
    for i, j in product(range(size), repeat=2):
        minor = np.delete(np.delete(matrix, i, axis=0), j, axis=1)
        result[i, j] = (-1) ** (i + j) * np.linalg.det(minor)
    return result


def half_vectorise(value: Value) -> Value:
    matrix = square_matrix(value, "vech")
    size = matrix.shape[0]
    return Value(np.concatenate([matrix[j:, j] for j in range(size)]), "column")


def cholesky(matrix: Array) -> Array:
    """The Cholesky factor of the lower triangle, without conjugation."""
    size = matrix.shape[0]
    factor = np.zeros_like(matrix)
    for j in range(size):
        row = factor[j, :j]
        factor[j, j] = np.sqrt(matrix[j, j] - row @ row)
        for i in range(j + 1, size):
            factor[i, j] = (matrix[i, j] - factor[i, :j] @ row) / factor[j, j]
    return factor


def symmetric_eigenvalues(value: Value, function: str) -> Array:
    matrix = square_matrix(value, function)
    if np.iscomplexobj(matrix):
        raise NotAnalyticError
    return np.linalg.eigvalsh((matrix + matrix.T) / 2)


def singular_values(value: Value) -> Array:
    matrix = as_matrix(require_sized(value)).array
    if np.iscomplexobj(matrix):
        raise NotAnalyticError
    return np.linalg.svd(matrix, compute_uv=False)


def inner_product(left: Value, right: Value) -> Value:
    left = replace(left, kind="column") if left.is_vector else left
    right = replace(right, kind="column") if right.is_vector else right
    if left.kind == "column" and right.kind == "column":
        return multiply(transpose(left), right)
    return reduce_value("sum", hadamard(left, right), None)


def cross_product(left: Value, right: Value) -> Value:
    a, b = left.array, right.array
    if a.shape != (3,) or b.shape != (3,):
        raise ShapeError("cross needs two vectors of length 3.")
    components = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    return Value(np.array(components), left.kind)


def block_diagonal(values: Sequence[Value]) -> Value:
    blocks = [as_matrix(require_sized(value)).array for value in values]
    height, width = (sum(block.shape[axis] for block in blocks) for axis in (0, 1))
    result = np.zeros((height, width), dtype=np.result_type(*blocks))
    row = column = 0
    for block in blocks:
        result[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return Value(result, "matrix")


def matrix_norm(kind: str, value: Value) -> Value:
    if kind == "*":
        return scalar(np.sum(singular_values(value)))
    if kind == "2" and value.is_matrix:
        return scalar(singular_values(value)[0])
    return reduce_value({"": "norm", "2": "norm2", "F": "normF", "1": "norm1", "inf": "norminf"}[kind], value, None)


LINEAR_ALGEBRA: Mapping[str, Callable[..., Value]] = {
    "tr": trace,
    "det": lambda x: scalar(np.linalg.det(square_matrix(x, "det"))),
    "logdet": log_abs_determinant,
    "inv": inverse,
    "pinv": pseudo_inverse,
    "tril": lambda x: same_kind(x, np.tril(square_matrix(x, "tril"))),
    "triu": lambda x: same_kind(x, np.triu(square_matrix(x, "triu"))),
    "adj": lambda x: same_kind(x, cofactors(square_matrix(x, "adj")).T),
    "cofactor": lambda x: same_kind(x, cofactors(square_matrix(x, "cofactor"))),
    "transpose": transpose,
    "diag": diagonal,
    "vec": lambda x: Value(as_matrix(require_sized(x)).array.ravel(order="F"), "column"),
    "vech": half_vectorise,
    "kron": kronecker,
    "outer": lambda x, y: multiply(replace(x, kind="column"), replace(y, kind="row")),
    "inner": inner_product,
    "dot": lambda x, y: inner_product(x, y) if x.is_vector and y.is_vector else multiply(x, y),
    "solve": solve,
    "chol": lambda x: same_kind(x, cholesky(square_matrix(x, "chol"))),
    "cross": cross_product,
    "expm": lambda x: same_kind(x, scipy.linalg.expm(square_matrix(x, "expm"))),
    "logm": lambda x: same_kind(x, matrix_function(scipy.linalg.logm, square_matrix(x, "logm"))),
    "sqrtm": lambda x: same_kind(x, matrix_function(scipy.linalg.sqrtm, square_matrix(x, "sqrtm"))),
    "eigmax": lambda x: scalar(symmetric_eigenvalues(x, "eigmax")[-1]),
    "eigmin": lambda x: scalar(symmetric_eigenvalues(x, "eigmin")[0]),
    "eigvals": lambda x: Value(symmetric_eigenvalues(x, "eigvals"), "column"),
    "svdvals": lambda x: Value(singular_values(x), "column"),
    "nuclear": lambda x: matrix_norm("*", x),
    "spectral": lambda x: matrix_norm("2", as_matrix(x)),
}

ALIASES: Mapping[str, str] = {
    "ln": "log",
    "Tr": "tr",
    "trace": "tr",
    "Det": "det",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "arctan2": "atan2",
    "logistic": "sigmoid",
    "expit": "sigmoid",
    "maximum": "max",
    "minimum": "min",
    "power": "pow",
    "adjugate": "adj",
    "cholesky": "chol",
    "eye": "I",
    "swish": "silu",
    "gammaln": "lgamma",
    "normf": "normF",
    "Diag": "diag",
    "Vec": "vec",
}

# --- the interpreter -----------------------------------------------------------------------------


@dataclass(slots=True)
class Scope:
    """What names mean at one place of a program."""

    values: dict[str, Value]
    dims: dict[str, int]
    functions: dict[str, Define] = field(default_factory=dict)
    indices: dict[str, int] = field(default_factory=dict)

    def inner(self, values: Mapping[str, Value] = {}, indices: Mapping[str, int] = {}) -> Scope:
        return Scope({**self.values, **values}, self.dims, self.functions, {**self.indices, **indices})


def split_subscript(name: str) -> tuple[str, str] | None:
    """``x_i`` as ``("x", "i")``."""
    base, _, subscript = name.rpartition("_")
    return (base, subscript) if base and subscript else None


def look_up(name: str, scope: Scope) -> Value:
    if name in scope.indices:
        return scalar(float(scope.indices[name]))
    if name in scope.values:
        return scope.values[name]
    if name in scope.dims:
        return scalar(float(scope.dims[name]))
    constants: Mapping[str, Value] = {
        "pi": scalar(np.pi),
        "e": scalar(np.e),
        "inf": scalar(np.inf),
        "I": Value(np.asarray(1.0), "identity"),
        "ones": Value(np.ones(1), "column", frozenset([0])),
    }
    if name in constants:
        return constants[name]
    parts = split_subscript(name)
    if parts is not None and parts[0] in {*scope.values, *constants}:
        base = look_up(parts[0], scope)
        return element(base, subscript_numbers(parts[1], base, scope))
    raise UnknownName(f"The name {name} is not known.")


def subscript_numbers(text: str, base: Value, scope: Scope) -> list[int]:
    """The positions, counted from 1, that the subscript of a name stands for."""
    if text in scope.indices:
        return [scope.indices[text]]
    if text in scope.dims:
        return [scope.dims[text]]
    if text.isdigit():
        return [int(digit) for digit in text] if base.array.ndim == len(text) else [int(text)]
    if all(letter in scope.indices for letter in text):
        return [scope.indices[letter] for letter in text]
    raise UnknownName(f"The index {text} is not known.")


def element(base: Value, positions: Sequence[int]) -> Value:
    """Entries by positions counted from 1; one position of a matrix is its row as a column."""
    if base.kind == "identity":
        row, column = positions
        return scalar(base.array * float(row == column))
    where = tuple(
        0 if axis in base.free else checked_position(position, base.array.shape[axis])
        for axis, position in enumerate(positions[: base.array.ndim])
    )
    if len(positions) > base.array.ndim:
        raise ShapeError(f"Too many indices for {describe(base)}.")
    return of_array(base.array[where])


def checked_position(position: int, size: int) -> int:
    if not 1 <= position <= size:
        raise ShapeError(f"Index {position} is outside 1 to {size}.")
    return position - 1


def children(node: Ast) -> tuple[Ast, ...]:
    match node:
        case Add(terms):
            return tuple(term for _, term in terms)
        case Binary(_, left, right):
            return left, right
        case Transpose(arg) | Norm(_, arg) | Bars(arg):
            return (arg,)
        case Call(_, args, kwargs):
            return (*args, *(value for _, value in kwargs))
        case Index(base, items):
            return (base, *items)
        case Range(start, stop):
            return tuple(end for end in (start, stop) if end is not None)
        case IndexSum(_, _, lower, upper, body):
            return tuple(part for part in (lower, upper, body) if part is not None)
        case Block(rows):
            return tuple(block for row in rows for block in row)
        case Assign(_, value) | Output(value):
            return (value,)
        case Define(_, _, body):
            return (body,)
        case Program(statements):
            return statements
    return ()


def walk(root: Ast) -> Iterator[Ast]:
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(reversed(children(node)))


def size_indexed_by(index: str, body: Ast, scope: Scope) -> int | None:
    """The size of the first axis in ``body`` that ``index`` runs over."""
    for node in walk(body):
        for base, axis in indexed_axes(index, node, scope):
            if base.kind != "identity" and axis < base.array.ndim and axis not in base.free:
                return int(base.array.shape[axis])
    return None


def indexed_axes(index: str, node: Ast, scope: Scope) -> Iterator[tuple[Value, int]]:
    if isinstance(node, Name):
        parts = split_subscript(node.id)
        if parts is None or parts[0] not in scope.values or node.id in scope.values:
            return
        if parts[1] == index:
            yield scope.values[parts[0]], 0
        elif index in parts[1]:
            yield scope.values[parts[0]], parts[1].index(index)
    elif isinstance(node, Index):
        items = node.items
        if len(items) == 1 and isinstance(items[0], Name) and node.subscript and items[0].id != index:
            letters = list(items[0].id)
        else:
            letters = [item.id if isinstance(item, Name) else "" for item in items]
        if index in letters:
            try:
                base = run(node.base, scope)
            except (MatcalcError, NotAnalyticError):
                return
            yield base, letters.index(index)


def integer_of(node: Ast, scope: Scope) -> int:
    number = real_integer(run(node, scope))
    if number is None:
        raise ShapeError("An index or a size must be an integer.")
    return number


def run_index(node: Index, scope: Scope) -> Value:
    base = run(node.base, scope)
    items = node.items
    if len(items) == 1 and node.subscript and isinstance(items[0], Name | Num):
        text = items[0].id if isinstance(items[0], Name) else str(items[0].value)
        if isinstance(items[0], Num) or text not in scope.values:
            return element(base, subscript_numbers(text, base, scope))
    if not any(isinstance(item, Range) for item in items):
        return element(base, [integer_of(item, scope) for item in items])
    base = require_sized(base)
    if len(items) == 1 and base.is_matrix:
        items = (*items, Range(None, None))
    where = tuple(
        range_of(item, base.array.shape[axis], scope)
        if isinstance(item, Range)
        else checked_position(integer_of(item, scope), base.array.shape[axis])
        for axis, item in enumerate(items)
    )
    array = base.array[where]
    if base.is_vector:
        return Value(array, base.kind)
    if base.is_matrix and array.ndim == 1:
        return Value(array, "row" if isinstance(items[1], Range) else "column")
    return of_array(array)


def range_of(item: Range, size: int, scope: Scope) -> slice:
    start = 1 if item.start is None else integer_of(item.start, scope)
    stop = size if item.stop is None else integer_of(item.stop, scope)
    if start < 1 or stop > size:
        raise ShapeError(f"The range {start}:{stop} leaves 1:{size}.")
    return slice(start - 1, stop)


def run_index_sum(node: IndexSum, scope: Scope) -> Value:
    ranges = []
    for index in node.indices:
        lower = 1 if node.lower is None else integer_of(node.lower, scope)
        try:
            upper = None if node.upper is None else integer_of(node.upper, scope)
        except UnknownName:
            upper = None
        if upper is None:
            upper = size_indexed_by(index, node.body, scope)
        if upper is None:
            raise ShapeError(f"The range of the index {index} does not follow from its use.")
        ranges.append(range(lower, upper + 1))
    total: Value | None = None
    combine = add if node.kind == "sum" else multiply
    for numbers in product(*ranges):
        term = run(node.body, scope.inner(indices=dict(zip(node.indices, numbers, strict=True))))
        total = term if total is None else combine(total, term)
    return scalar(0.0 if node.kind == "sum" else 1.0) if total is None else total


def run_block(node: Block, scope: Scope) -> Value:
    rows = [[run(block, scope) for block in row] for row in node.rows]
    if all(len(row) == 1 for row in rows) and all(row[0].kind in ("column", "scalar") for row in rows):
        return Value(np.concatenate([np.atleast_1d(require_sized(row[0]).array) for row in rows]), "column")
    if len(rows) == 1 and all(value.kind in ("row", "scalar") for value in rows[0]):
        if all(value.kind == "scalar" for value in rows[0]) and len(rows[0]) == 1:
            return rows[0][0]
        return Value(np.concatenate([np.atleast_1d(require_sized(value).array) for value in rows[0]]), "row")
    heights = [max((_extent(value, 0) for value in row), default=0) for row in rows]
    widths = [max(_extent(row[column], 1) for row in rows) for column in range(len(rows[0]))]
    blocks = [[_sized_block(value, heights[i], widths[j]) for j, value in enumerate(row)] for i, row in enumerate(rows)]
    return Value(np.block(blocks), "matrix")


def _extent(value: Value, axis: int) -> int:
    if value.kind == "identity":
        return 0
    return 1 if value.kind == "scalar" else int(as_matrix(value).array.shape[axis])


def _sized_block(value: Value, height: int, width: int) -> Array:
    if value.kind == "identity":
        if height and width and height != width:
            raise ShapeError("I does not fit its place in the block matrix.")
        return identity_of_size(value, height or width).array
    if value.kind == "scalar" and value.array == 0:
        return np.zeros((height, width))
    matrix = as_matrix(value).array
    if matrix.shape != (height, width) and not value.free:
        raise ShapeError(f"{describe(value)} does not fit its place in the block matrix.")
    return np.asarray(np.broadcast_to(matrix, (height, width)))


def axis_argument(node: Call, args: list[Value], scope: Scope) -> tuple[int | None, list[Value]]:
    for key, value in node.kwargs:
        if key == "axis":
            return integer_of(value, scope), args
    return None, args


def run_call(node: Call, scope: Scope) -> Value:
    name = node.func
    if name in scope.functions:
        return call_user_function(scope.functions[name], [run(arg, scope) for arg in node.args], scope)
    if name in scope.values or name in scope.dims:
        if len(node.args) != 1:
            raise ShapeError(f"{name} is not a function.")
        return multiply(look_up(name, scope), run(node.args[0], scope))
    name = ALIASES.get(name, name)
    if name == "einsum":
        return run_einsum(node, scope)
    args = [run(arg, scope) for arg in node.args]
    constant = constant_array(name, node, args, scope)
    if constant is not None:
        return constant
    axis, args = axis_argument(node, args, scope)
    if (name in ("max", "min") and len(args) == 2) or name in ("atan2", "hypot", "pow", "huber"):
        return entrywise(ENTRYWISE_BINARY[name], args[0], args[1])
    if name in ("leaky_relu", "elu"):
        extra = [run(value, scope) for _, value in node.kwargs]
        default = scalar(0.01 if name == "leaky_relu" else 1.0)
        return entrywise(ENTRYWISE_BINARY[name], args[0], (args[1:] + extra + [default])[0])
    if name == "where":
        return select(*args)
    if name == "unvec":
        shape = [integer_of(arg, scope) for arg in node.args[1:]]
        return Value(args[0].array.reshape(shape, order="F"), "matrix")
    if name == "norm" and len(args) == 2:
        order = {1.0: "1", 2.0: "2", np.inf: "inf"}.get(float(args[1].array))
        if order is None:
            size = entrywise(scalar_power, of_entries(ENTRYWISE["abs"], args[0]), args[1])
            return power(reduce_value("sum", size, None), divide(scalar(1.0), args[1]))
        return matrix_norm(order, args[0])
    if name in REDUCTIONS:
        return reduce_value(name, args[0], axis)
    if name in ROW_WISE:
        value = require_sized(args[0])
        return replace(value, array=np.asarray(ROW_WISE[name](value.array, -1 if axis is None else axis)))
    if name in ENTRYWISE:
        return of_entries(ENTRYWISE[name], args[0])
    if name == "blockdiag":
        return block_diagonal(args)
    if name in LEARNING:
        return LEARNING[name](*args)
    if name in LINEAR_ALGEBRA:
        return LINEAR_ALGEBRA[name](*args)
    raise UnknownName(f"The function {node.func} is not known.")


def of_entries(function: Callable[[Array], Any], value: Value) -> Value:
    if value.kind == "identity":
        raise unresolved("I")
    return replace(value, array=np.asarray(function(value.array)))


def select(condition: Value, taken: Value, other: Value) -> Value:
    """``where``: adding up the two masked branches keeps what is not finite in a branch out of the other."""
    chosen = entrywise(lambda c, a: np.where(c.real != 0, a, 0.0), condition, taken)
    return add(chosen, entrywise(lambda c, b: np.where(c.real != 0, 0.0, b), condition, other))


def constant_array(name: str, node: Call, args: list[Value], scope: Scope) -> Value | None:
    if name in ("vector", "matrix") and len(args) == 1:
        axes = 1 if name == "vector" else 2
        return Value(args[0].array.reshape((1,) * axes), "column" if axes == 1 else "matrix", frozenset(range(axes)))
    if name not in ("I", "ones", "zeros", "e"):
        return None
    sizes = [integer_of(arg, scope) for arg in node.args]
    if name == "I":
        return Value(np.eye(sizes[0]), "matrix")
    if name == "e":
        unit = np.zeros(sizes[1])
        unit[checked_position(sizes[0], sizes[1])] = 1.0
        return Value(unit, "column")
    return of_array(np.full(sizes, 1.0 if name == "ones" else 0.0))


def run_einsum(node: Call, scope: Scope) -> Value:
    subscripts = node.args[0]
    if not isinstance(subscripts, Str):
        raise ShapeError("The first argument of einsum is a quoted index string.")
    arrays = [require_sized(run(arg, scope)).array for arg in node.args[1:]]
    return of_array(np.einsum(subscripts.value, *arrays))


def call_user_function(definition: Define, args: list[Value], scope: Scope) -> Value:
    names = [parameter.id for parameter in definition.params]
    if len(names) != len(args):
        raise ShapeError(f"{definition.name.id} takes {len(names)} arguments, not {len(args)}.")
    try:
        return run(definition.body, scope.inner(dict(zip(names, args, strict=True))))
    except ShapeError:
        if len(args) != 1 or args[0].kind == "scalar":
            raise
    entries = [run(definition.body, scope.inner({names[0]: scalar(entry)})).array for entry in args[0].array.ravel()]
    return replace(args[0], array=np.array(entries).reshape(args[0].array.shape))


def run(node: Ast, scope: Scope) -> Value:
    """The value of one expression."""
    match node:
        case Num(value):
            return scalar(float(value))
        case Name(identifier):
            return look_up(identifier, scope)
        case Add(terms):
            return run_sum(terms, scope)
        case Binary():
            return run_binary(node, scope)
        case Transpose(arg):
            return transpose(run(arg, scope))
        case Call():
            return run_call(node, scope)
        case Norm(kind, arg):
            return matrix_norm(kind, run(arg, scope))
        case Bars(arg):
            inside = run(arg, scope)
            if inside.is_matrix and inside.array.shape[0] == inside.array.shape[1]:
                return LINEAR_ALGEBRA["det"](inside)
            return of_entries(absolute, inside)
        case Index():
            return run_index(node, scope)
        case IndexSum():
            return run_index_sum(node, scope)
        case Block():
            return run_block(node, scope)
    raise Unsupported(f"{type(node).__name__} has no value.")


def run_sum(terms: Sequence[tuple[int, Ast]], scope: Scope) -> Value:
    signed = [(sign, run(term, scope)) for sign, term in terms]
    # Sizes may be known only further right: c - I + X, vector(1) - I, so what has no size waits.
    signed.sort(key=lambda pair: pair[1].kind == "identity")
    sign, total = signed[0]
    total = replace(total, array=sign * total.array)
    if total.kind == "scalar" and any(value.kind == "identity" for _, value in signed):
        signed = [pair for pair in signed if pair[1].kind != "scalar"] + [p for p in signed if p[1].kind == "scalar"]
        signed.sort(key=lambda pair: (pair[1].kind == "identity", pair[1].kind == "scalar"))
        sign, total = signed[0]
        total = replace(total, array=sign * total.array)
    for sign, value in signed[1:]:
        total = add(total, value, sign)
    return total


def run_binary(node: Binary, scope: Scope) -> Value:
    if node.op in ("^", ".^") and isinstance(node.left, Name) and node.left.id == "e" and "e" not in scope.values:
        return of_entries(np.exp, run(node.right, scope))
    if node.op == "^" and isinstance(node.right, Name) and node.right.id == "T" and "T" not in scope.values:
        return transpose(run(node.left, scope))
    left, right = run(node.left, scope), run(node.right, scope)
    if node.op in COMPARISONS:
        compare = COMPARISONS[node.op]
        return entrywise(lambda a, b: compare(a.real, b.real).astype(float), left, right)
    operations: Mapping[str, Callable[[Value, Value], Value]] = {
        "*": multiply,
        "dot": lambda a, b: inner_product(a, b) if a.kind == b.kind == "column" else multiply(a, b),
        ".*": hadamard,
        "/": divide,
        "./": divide,
        "\\": solve,
        "kron": kronecker,
        "^": power,
        ".^": lambda a, b: entrywise(scalar_power, a, b),
    }
    return operations[node.op](left, right)


# --- losses --------------------------------------------------------------------------------------


def one_hot_rows(labels: Value, logits: Value) -> Array:
    """Targets as an array of the shape of the logits; labels count from 0."""
    if labels.array.shape == logits.array.shape:
        return labels.array
    classes = int(logits.array.shape[-1])
    return np.asarray(np.eye(classes)[labels.array.real.astype(int)])


def mean_row_loss(log_probabilities: Array, targets: Array) -> Value:
    return scalar(np.mean(-np.sum(targets * log_probabilities, axis=-1)))


def loss(function: Callable[[Array, Array], Array]) -> Callable[[Value, Value], Value]:
    return lambda a, b: reduce_value("mean", entrywise(function, a, b), None)


LEARNING: Mapping[str, Callable[..., Value]] = {
    "mse": loss(lambda a, b: (a - b) ** 2),
    "mae": loss(lambda a, b: absolute(a - b)),
    "bce": loss(lambda p, y: -(y * np.log(p) + (1 - y) * np.log(1 - p))),
    "bce_logits": loss(lambda z, y: softplus(z) - y * z),
    "hinge": loss(lambda z, y: positive_part(1 - y * z)),
    "cross_entropy": lambda z, y: mean_row_loss(ROW_WISE["log_softmax"](z.array, -1), one_hot_rows(y, z)),
    "nll": lambda z, y: mean_row_loss(z.array, one_hot_rows(y, z)),
    "kl": lambda p, q: reduce_value("sum", entrywise(lambda a, b: a * np.log(a / b), p, q), None),
    "onehot": lambda y, k: of_array(np.eye(int(k.array))[y.array.real.astype(int)]),
}

# --- programs ------------------------------------------------------------------------------------


def bind_dimensions(program: Program, scope: Scope) -> None:
    """Read dimension names off declarations and off sums such as ``sum_{i=1}^N x_i``."""
    for statement in program.statements:
        if isinstance(statement, Declare):
            for name in statement.names:
                if name.id in scope.values:
                    bind_type(statement.type, scope.values[name.id].array.shape, scope.dims)
    for node in walk(program):
        if not isinstance(node, IndexSum) or not isinstance(node.upper, Name):
            continue
        bound = node.upper.id
        if bound in scope.dims or bound in scope.values:
            continue
        size = size_indexed_by(node.indices[0], node.body, scope)
        if size is not None:
            scope.dims[bound] = size


def bind_type(declared: TypeExpr, shape: Sequence[int], dims: dict[str, int]) -> None:
    for dimension, size in zip(declared.dims, shape, strict=True):
        if isinstance(dimension, Name):
            dims.setdefault(dimension.id, size)


def free_indices(statement: Assign, scope: Scope) -> tuple[str, tuple[str, ...]]:
    """The name that is defined, and the indices if it is defined entry by entry: ``p_i = x_i^2`` defines ``p``."""
    if statement.indices:
        return statement.target.id, statement.indices
    base, letters = split_subscript(statement.target.id) or (statement.target.id, "")
    known = scope.values.keys() | scope.dims.keys()
    if letters and all(
        letter not in known and size_indexed_by(letter, statement.value, scope) is not None for letter in letters
    ):
        return base, tuple(letters)
    return statement.target.id, ()


def assign_entries(statement: Assign, indices: Sequence[str], scope: Scope) -> Value:
    """``D_{ij} = ...``: an array entry by entry."""
    sizes = []
    for index in indices:
        size = size_indexed_by(index, statement.value, scope)
        if size is None:
            raise ShapeError(f"The range of the index {index} does not follow from its use.")
        sizes.append(size)
    entries = [
        run(statement.value, scope.inner(indices=dict(zip(indices, numbers, strict=True)))).array
        for numbers in product(*(range(1, size + 1) for size in sizes))
    ]
    return of_array(np.array(entries).reshape(*sizes, *np.shape(entries[0])))


def resolve(value: Value, shape: Sequence[int] | None) -> Array:
    """Give what has no size yet the size asked for."""
    if value.kind == "identity":
        if shape is None or len(shape) != 2 or shape[0] != shape[1]:
            raise unresolved("I")
        return identity_of_size(value, shape[0]).array
    if value.free:
        if shape is None:
            raise unresolved("vector(1)")
        return np.array(np.broadcast_to(value.array, tuple(shape)))
    return value.array


def evaluate(
    program: Program,
    values: Mapping[str, Any],
    dims: Mapping[str, int] | None = None,
    shape: Sequence[int] | None = None,
) -> Array:
    """Run a program on concrete arrays, real or complex.

    >>> float(evaluate(parse("x^T x"), {"x": [3.0, 4.0]}))
    25.0

    Parameters: ``values`` maps variable names to arrays (one axis is a column), ``dims`` dimension names to sizes,
    ``shape`` is the shape a result such as ``2 I`` or ``vector(1)``, whose size is not in the program, has to take.
    Raises ShapeError, UnknownName, and NotAnalyticError for complex input to a function without continuation.
    """
    with np.errstate(all="ignore"):
        return resolve(run_program(program, values, dims), shape)


def run_program(program: Program, values: Mapping[str, Any], dims: Mapping[str, int] | None) -> Value:
    """The value of the last statement."""
    scope = Scope({name: of_array(array) for name, array in values.items()}, dict(dims or {}))
    bind_dimensions(program, scope)
    result: Value | None = None
    for position, statement in enumerate(program.statements):
        last = position == len(program.statements) - 1
        match statement:
            case Declare():
                continue
            case Assign(_, value):
                name, indices = free_indices(statement, scope)
                result = assign_entries(statement, indices, scope) if indices else run(value, scope)
                scope.values[name] = result
            case Define(function, _, body):
                scope.functions[function.id] = statement
                if last:
                    result = run(body, scope)
            case Output(value):
                result = run(value, scope)
            case _:
                result = run(statement, scope)
    if result is None:
        raise Unsupported("The program has no output.")
    return result


# --- numerical derivatives -----------------------------------------------------------------------

Structure = tuple[tuple[Array, ...], tuple[Array, ...]]


def directions(shape: Sequence[int], properties: Sequence[str]) -> list[Array]:
    """An orthogonal basis of the matrices a declared type allows (of all arrays, if it says nothing)."""
    symmetric = any(name in properties for name in ("symmetric", "spd", "psd"))
    basis = []
    for index in np.ndindex(*shape):
        unit = np.zeros(shape)
        unit[index] = 1.0
        if len(shape) == 2:
            i, j = index
            if "diagonal" in properties and i != j:
                continue
            if ("lower" in properties and i < j) or ("upper" in properties and i > j):
                continue
            if (symmetric and i > j) or ("skew" in properties and i >= j):
                continue
            if symmetric and i != j:
                unit = unit + unit.T
            if "skew" in properties:
                unit = unit - unit.T
        basis.append(unit)
    return basis


def richardson(function: Callable[[float], Array], step: float, levels: int) -> Array:
    """Extrapolate a quantity whose error is even in the step; the step is halved at each level."""
    table: list[Array] = []
    for level in range(levels):
        row = [function(step / 2**level)]
        for order, previous in enumerate(table, start=1):
            row.append(row[-1] + (row[-1] - previous) / (4.0**order - 1.0))
        table = row
    return table[-1]


@dataclass(frozen=True, slots=True)
class Differentiator:
    """A program at a point, ready to be differentiated along directions."""

    program: Program
    values: Mapping[str, Array]
    dims: Mapping[str, int]

    def at(self, moves: Sequence[tuple[str, Array]]) -> Array:
        moved = dict(self.values)
        for name, step in moves:
            moved[name] = moved[name] + step
        return evaluate(self.program, moved, self.dims)

    def by_complex_step(self, name: str, along: Array, moves: Sequence[tuple[str, Array]] = ()) -> Array:
        return np.asarray(self.at([*moves, (name, 1j * COMPLEX_STEP * along)]).imag / COMPLEX_STEP)

    def by_differences(self, name: str, along: Array) -> Array:
        return richardson(
            lambda h: (self.at([(name, h * along)]) - self.at([(name, -h * along)])) / (2 * h), step=0.02, levels=4
        )

    def second_by_complex_step(self, first: tuple[str, Array], second: tuple[str, Array]) -> Array:
        def slope(h: float) -> Array:
            ahead = self.by_complex_step(*first, [(second[0], h * second[1])])
            behind = self.by_complex_step(*first, [(second[0], -h * second[1])])
            return (ahead - behind) / (2 * h)

        return richardson(slope, step=0.005, levels=3)

    def second_by_differences(self, first: tuple[str, Array], second: tuple[str, Array]) -> Array:
        def slope(h: float) -> Array:
            corners = [
                sign * other * self.at([(first[0], sign * h * first[1]), (second[0], other * h * second[1])])
                for sign, other in product((1, -1), repeat=2)
            ]
            return np.asarray(sum(corners) / (4 * h * h))

        return richardson(slope, step=0.04, levels=4)


def structure_of(name: str, array: Array, program: Program, types: Mapping[str, str]) -> list[Array]:
    if array.ndim < 2:
        return directions(array.shape, ())
    if name in types:
        return directions(array.shape, parse_type(types[name]).properties)
    for statement in program.statements:
        if isinstance(statement, Declare) and any(declared.id == name for declared in statement.names):
            return directions(array.shape, statement.type.properties)
    return directions(array.shape, ())


def derivative(
    program: Program,
    values: Mapping[str, Any],
    dims: Mapping[str, int] | None,
    wrt: str,
    order: int = 1,
    wrt2: str | None = None,
    types: Mapping[str, str] | None = None,
    method: str = "auto",
) -> Array:
    """The numerical derivative, of shape output + variable (+ second variable).

    >>> derivative(parse("x^T x"), {"x": [3.0, 4.0]}, None, "x").tolist()
    [6.0, 8.0]

    Parameters: ``types`` maps names to declared types; for a symmetric, skew, diagonal or triangular variable the
    program is moved only within that set and the result is its projection on the set. ``method`` is ``auto``,
    ``complex`` or ``differences``. First derivatives are good to 1e-13 by complex step and 1e-10 by differences,
    second ones to 1e-10 and 1e-7.
    """
    point = {name: np.asarray(array, dtype=float) for name, array in values.items()}
    at = Differentiator(program, point, dict(dims or {}))
    known_types = types or {}
    first_basis = structure_of(wrt, point[wrt], program, known_types)
    name2 = wrt2 or wrt
    second_basis = structure_of(name2, point[name2], program, known_types) if order == 2 else []
    output_shape = np.shape(at.at([]))

    def assemble(complex_step: bool) -> Array:
        result = np.zeros((*output_shape, *point[wrt].shape, *(point[name2].shape if order == 2 else ())))
        for along in first_basis:
            weight = along / np.sum(along * along)
            if order == 1:
                slope = at.by_complex_step(wrt, along) if complex_step else at.by_differences(wrt, along)
                result += np.multiply.outer(slope, weight)
                continue
            for along2 in second_basis:
                rule = at.second_by_complex_step if complex_step else at.second_by_differences
                curvature = rule((wrt, along), (name2, along2))
                weights = np.multiply.outer(weight, along2 / np.sum(along2 * along2))
                result += np.multiply.outer(curvature, weights)
        return result

    if method == "differences":
        return assemble(complex_step=False)
    try:
        return assemble(complex_step=True)
    except NotAnalyticError:
        if method == "complex":
            raise
        return assemble(complex_step=False)


# --- sampling ------------------------------------------------------------------------------------

PREFERRED_SIZES: Mapping[str, int] = {"n": 4, "m": 3, "k": 2, "p": 5, "d": 4, "N": 6, "q": 2, "r": 2, "h": 3, "c": 3}


def choose_dimensions(types: Mapping[str, str], given: Mapping[str, int] | None = None) -> dict[str, int]:
    """Distinct sizes for every dimension name in the types.

    >>> choose_dimensions({"A": "matrix(m, n)"})
    {'m': 3, 'n': 4}
    """
    chosen = dict(given or {})
    for text in types.values():
        for name in re.findall(r"[A-Za-z_]\w*", text.partition("(")[2].partition(")")[0]):
            if name in chosen:
                continue
            taken = set(chosen.values())
            wanted = PREFERRED_SIZES.get(name, 3)
            chosen[name] = wanted if wanted not in taken else next(s for s in (3, 5, 2, 4, 6, 7, 8) if s not in taken)
    return chosen


def read(text: str) -> Program:
    """Parse a program, with the function names of this interpreter."""
    return parse(text, is_function=lambda name: name in FUNCTION_NAMES)


FUNCTION_NAMES = frozenset(
    {*ENTRYWISE, *ENTRYWISE_BINARY, *REDUCTIONS, *ROW_WISE, *LINEAR_ALGEBRA, *LEARNING, *ALIASES}
    | {"einsum", "where", "unvec", "blockdiag", "I", "ones", "zeros", "vector", "matrix"}
)


def sample(
    types: Mapping[str, str],
    dims: Mapping[str, int] | None = None,
    seed: int = 0,
    scale: Mapping[str, float] | None = None,
) -> dict[str, Array]:
    """Arrays of the declared types, well conditioned and away from the kinks at 0.

    >>> sample({"A": "matrix(m, n)"}, {"m": 3, "n": 4})["A"].shape
    (3, 4)

    Parameters: ``types`` maps names to types, ``dims`` dimension names to sizes (the rest is chosen distinct),
    ``scale`` names to factors.
    """
    sizes = choose_dimensions(types, dims)
    scope = Scope({}, sizes)
    result = {}
    for position, (name, text) in enumerate(types.items()):
        random = np.random.default_rng([seed, position])
        declared = parse_type(text)
        shape = tuple(integer_of(dimension, scope) for dimension in declared.dims)
        result[name] = sample_array(shape, declared.properties, random) * (scale or {}).get(name, 1.0)
    return result


def sample_array(shape: tuple[int, ...], properties: Sequence[str], random: np.random.Generator) -> Array:
    """One array with the properties asked for."""
    if "integer" in properties:
        low = 1 if "positive" in properties else 0
        return np.asarray(random.integers(low, 3, size=shape), dtype=float) if shape else np.asarray(3.0)
    free = random.uniform(0.3, 1.3, size=shape) * random.choice([-1.0, 1.0], size=shape)
    entries = np.asarray(np.abs(free) if {"positive", "nonnegative"} & set(properties) else free)
    if len(shape) != 2:
        return entries
    size = shape[0]
    if "orthogonal" in properties:
        return np.asarray(np.linalg.qr(entries)[0])
    if {"spd", "psd"} & set(properties):
        spread = entries @ entries.T / size + np.eye(size)
        return np.diag(np.diag(spread)) if "diagonal" in properties else spread
    if "symmetric" in properties:
        entries = (entries + entries.T) / 2
    if "skew" in properties:
        return np.asarray((entries - entries.T) / 2)
    if "diagonal" in properties:
        return np.diag(np.diag(entries))
    if "lower" in properties:
        entries = np.tril(entries)
    if "upper" in properties:
        entries = np.triu(entries)
    if shape[0] == shape[1] and np.linalg.cond(entries) > 20:
        # A diagonal shift keeps symmetry and triangles, and the sign of every entry.
        entries = entries + 2.0 * np.diag(np.sign(np.diag(entries)))
    return entries
