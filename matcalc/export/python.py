"""The rows that array libraries of Python share; ``xp`` in them stands for the name of the library."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Mapping

from ..errors import Unsupported
from ..expr.dims import Dim
from ..lower.program import Literal, Statement
from ..lower.source import ADD, ATOM, MULTIPLY, POWER, Text, inside
from .writer import Frame, Row, Syntax, Writer, axes_of, dims, infix, negated, raised

SYNTAX = Syntax(
    comment="#",
    length="{0}.shape[{1}]",
    quotient="{0} // {1}",
    power="{0}**{1}",
    smaller="min({0}, {1})",
    numbers={"pi": "math.pi", "e": "math.e", "inf": "math.inf", "nan": "math.nan"},
)

RESERVED = frozenset({*keyword.kwlist, *keyword.softkwlist, "min", "int", "float", "abs", "len", "range", "math"})


def frame(parts: Frame) -> str:
    """A function definition."""
    parameters = [name for name, _ in parts.arguments]
    if parts.sizes:
        parameters += ["*", *parts.sizes]
    lines = [f"{target} = {text}" for target, text in parts.head]
    lines += [f"{target} = {text}" for target, text, _ in parts.body]
    results = [text for text, _ in parts.results]
    lines.append(f"return {results[0]}" if len(results) == 1 else f"return ({', '.join(results)})")
    return "\n".join([f"def {parts.name}({', '.join(parameters)}):", *(f"    {line}" for line in lines)]) + "\n"


def _value(writer: Writer, statement: Statement, place: int = 0) -> str:
    return inside(writer.operand(statement.operands[place]), ATOM)


def _square(writer: Writer, statement: Statement) -> Text:
    text, level = writer.operand(statement.operands[0])
    if level == ATOM and text.isidentifier():
        return f"{text} * {text}", MULTIPLY
    return f"{inside((text, level), ATOM)} ** 2", POWER


def _transpose(writer: Writer, statement: Statement) -> Text:
    if statement.parameters == (1, 0):
        return f"{_value(writer, statement)}.T", ATOM
    axes = ", ".join(map(str, statement.parameters))
    return f"xp.permute_dims({writer.operand(statement.operands[0])[0]}, ({axes}))", ATOM


def _expand(writer: Writer, statement: Statement) -> Text:
    pattern = ["None" if new else ":" for new in statement.parameters]
    return f"{_value(writer, statement)}[{', '.join(pattern)}]", ATOM


def _axis(axes: tuple[int, ...]) -> str:
    return str(axes[0]) if len(axes) == 1 else f"({', '.join(map(str, axes))})"


def _sum(writer: Writer, statement: Statement) -> Text:
    axes = axes_of(statement.parameters)
    text = writer.operand(statement.operands[0])[0]
    return f"xp.sum({text}, axis={_axis(axes)})" if axes else f"xp.sum({text})", ATOM


def _diagonal(writer: Writer, statement: Statement) -> Text:
    order = writer.order(statement.operands[0])
    first, second = axes_of(statement.parameters)
    text = writer.operand(statement.operands[0])[0]
    if (first, second) != (order - 2, order - 1):
        rest = [axis for axis in range(order) if axis not in (first, second)]
        text = f"xp.permute_dims({text}, ({', '.join(map(str, (*rest, first, second)))}))"
    return f"xp.linalg.diagonal({text})", ATOM


def _slice(writer: Writer, statement: Statement) -> Text:
    axis = statement.parameters[0]
    start, stop = dims(statement)
    assert isinstance(axis, int)
    first = "" if start == Dim.of(0) else writer.dim(start)
    rest = ", :" * (len(statement.shape) - axis - 1)
    return f"{_value(writer, statement)}[{':, ' * axis}{first}:{writer.dim(stop)}{rest}]", ATOM


def _element(writer: Writer, statement: Statement) -> Text:
    axis = statement.parameters[0]
    (index,) = dims(statement)
    assert isinstance(axis, int)
    rest = ", :" * (len(statement.shape) - axis)
    return f"{_value(writer, statement)}[{':, ' * axis}{writer.dim(index)}{rest}]", ATOM


def _shape(writer: Writer, statement: Statement) -> str:
    comma = "," if len(statement.shape) == 1 else ""
    return f"({writer.shape(statement.shape)}{comma})"


def _reshape(writer: Writer, statement: Statement) -> Text:
    shape = "(-1,)" if len(statement.shape) == 1 else _shape(writer, statement)
    return f"xp.reshape({writer.operand(statement.operands[0])[0]}, {shape})", ATOM


def _broadcast(writer: Writer, statement: Statement) -> Text:
    return f"xp.broadcast_to({writer.array(statement.operands[0])[0]}, {_shape(writer, statement)})", ATOM


def _full(writer: Writer, statement: Statement) -> Text:
    value = statement.operands[0]
    for known, name in ((0.0, "zeros"), (1.0, "ones")):
        if value == Literal(known):
            return f"xp.{name}({_shape(writer, statement)}, {writer.like()})", ATOM
    return f"xp.full({_shape(writer, statement)}, {writer.operand(value)[0]}, {writer.like()})", ATOM


def _inner(writer: Writer, statement: Statement) -> Text:
    left, right = (writer.operand(operand) for operand in statement.operands)
    if writer.order(statement.operands[0]) == 1:
        return f"{inside(left, MULTIPLY)} @ {inside(right, MULTIPLY + 1)}", MULTIPLY
    return f"xp.sum({inside(left, MULTIPLY)} * {inside(right, MULTIPLY + 1)})", ATOM


def _tensordot(writer: Writer, statement: Statement) -> Text:
    left, right = statement.parameters
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    first, second = (writer.operand(operand)[0] for operand in statement.operands)
    return f"xp.tensordot({first}, {second}, axes=({list(left)}, {list(right)}))", ATOM


def _cumulative_sum(writer: Writer, statement: Statement) -> Text:
    axis, backward = statement.parameters
    text = writer.operand(statement.operands[0])[0]
    if not backward:
        return f"xp.cumulative_sum({text}, axis={axis})", ATOM
    return f"backwards(xp.cumulative_sum(backwards({text}, {axis}), axis={axis}), {axis})", ATOM


def _arange(writer: Writer, statement: Statement) -> Text:
    start, size = dims(statement)
    first = "0, " if start == Dim.of(0) else f"{writer.dim(start)}, "
    return f"xp.arange({first}{writer.dim(start + size)}, {writer.like()})", ATOM


def _unit(writer: Writer, statement: Statement) -> Text:
    place, size = dims(statement)
    return f"one_hot(1.0, {writer.dim(place, -1)}, {writer.dim(size)}, {writer.like()})", ATOM


def _shifted_eye(writer: Writer, statement: Statement) -> Text:
    length, size, offset = (writer.dim(dim) for dim in dims(statement))
    return f"shifted_eye({length}, {size}, {offset}, {writer.like()})", ATOM


def _add_diagonal(writer: Writer, statement: Statement) -> Text:
    matrix, values = statement.operands
    size = writer.dim(statement.shape[-1])
    if not writer.order(values):
        scaled = f"{inside(writer.operand(values), MULTIPLY)} * xp.eye({size}, {writer.like()})"
    else:
        scaled = f"embed_diagonal({writer.array(values)[0]}, {size})"
    return f"{inside(writer.operand(matrix), ADD)} + {scaled}", ADD


def _solve_diagonal(writer: Writer, statement: Statement) -> Text:
    matrix, right = statement.operands
    diagonal = f"xp.linalg.diagonal({writer.operand(matrix)[0]})"
    column = "[:, None]" if writer.order(right) == 2 else ""
    return f"{inside(writer.operand(right), MULTIPLY)} / {diagonal}{column}", MULTIPLY


def _with_one_exponent(template: str) -> Row:
    """A power of matrices that all have the same exponent, which is the last operand."""

    def write(writer: Writer, statement: Statement) -> Text:
        *matrices, exponent = statement.operands
        origin = writer.origin(exponent, "broadcast")
        if origin is not None:
            (exponent,) = origin.operands
        if writer.order(exponent):
            raise Unsupported(
                f"powers of several matrices with exponents of their own are not written for {writer.target.title}",
                hint="the NumPy text is in .source",
            )
        texts = [writer.operand(operand)[0] for operand in (*matrices, exponent)]
        return template.replace("{0}", ", ".join(texts)), ATOM

    return write


STATEMENTS: Mapping[str, Row] = {
    "add": infix("+", ADD),
    "subtract": infix("-", ADD),
    "multiply": infix("*", MULTIPLY),
    "divide": infix("/", MULTIPLY),
    "matmul": infix("@", MULTIPLY),
    "negate": negated,
    "square": _square,
    "sqrt": "xp.sqrt({0})",
    "power": raised("**"),
    "transpose": _transpose,
    "expand": _expand,
    "sum": _sum,
    "trace": "xp.linalg.trace({0})",
    "diagonal": _diagonal,
    "slice": _slice,
    "element": _element,
    "reshape": _reshape,
    "broadcast": _broadcast,
    "full": _full,
    "copy": "xp.asarray({0}, copy=True)",
    "inner": _inner,
    "tensordot": _tensordot,
    "cross": "xp.linalg.cross({0}, {1})",
    "lower_part": "xp.tril({0})",
    "cumulative_sum": _cumulative_sum,
    "solve": "xp.linalg.solve({0}, {1})",
    "solve_symmetric": "xp.linalg.solve({0}, {1})",
    "solve_spd": "xp.linalg.solve({0}, {1})",
    "solve_lower": "xp.linalg.solve({0}, {1})",
    "solve_upper": "xp.linalg.solve({0}, {1})",
    "solve_diagonal": _solve_diagonal,
    "inverse": "xp.linalg.inv({0})",
    "eye": "xp.eye({p0}, {like})",
    "triangle": "xp.tril(xp.ones(({p0}, {p0}), {like}))",
    "shifted_eye": _shifted_eye,
    "unit": _unit,
    "one_hot": "one_hot({0}, {p0}, {p1}, {like})",
    "arange": _arange,
    "pairs": "pairs({p0}, {p1}, {like})",
    "levi_civita": "levi_civita({like})",
    "half_pairs": "half_pairs({p0}, {like})",
    "gather_half": "gather_half({0}, {p0})",
    "gather_rows": "gather_rows({0}, {p0})",
    "gather_columns": "gather_columns({0}, {p0})",
    "scatter_half": "scatter_half({0}, {p0})",
    "embed": "embed({0}, {p0}, {p1}, {p2})",
    "embed_diagonal": "embed_diagonal({0}, {p0})",
    "add_diagonal": _add_diagonal,
}

FUNCTIONS: Mapping[str, Row] = {
    "abs": "xp.abs({0})",
    "acos": "xp.acos({0})",
    "acosh": "xp.acosh({0})",
    "asin": "xp.asin({0})",
    "asinh": "xp.asinh({0})",
    "atan": "xp.atan({0})",
    "atan2": "xp.atan2({a0}, {a1})",
    "atanh": "xp.atanh({0})",
    "cbrt": "cbrt({0})",
    "ceil": "xp.ceil({0})",
    "cos": "xp.cos({0})",
    "cosh": "xp.cosh({0})",
    "elu": "elu({0}, {1})",
    "eq": "equal({a0}, {a1})",
    "exp": "xp.exp({0})",
    "expm1": "xp.expm1({0})",
    "ge": "at_least({a0}, {a1})",
    "gt": "greater({a0}, {a1})",
    "floor": "xp.floor({0})",
    "huber": "huber({0}, {a1})",
    "hypot": "xp.hypot({a0}, {a1})",
    "le": "at_most({a0}, {a1})",
    "lt": "less({a0}, {a1})",
    "ne": "different({a0}, {a1})",
    "leaky_relu": "leaky_relu({0}, {1})",
    "log": "xp.log({0})",
    "log10": "xp.log10({0})",
    "log1p": "xp.log1p({0})",
    "log2": "xp.log2({0})",
    "maximum": "xp.maximum({a0}, {a1})",
    "minimum": "xp.minimum({a0}, {a1})",
    "normpdf": "normpdf({0})",
    "pow": raised("**"),
    "relu": "relu({0})",
    "round": "xp.round({0})",
    "selu": "selu({0})",
    "sigmoid": "sigmoid({0})",
    "sign": "xp.sign({0})",
    "silu": "silu({0})",
    "sin": "xp.sin({0})",
    "sinh": "xp.sinh({0})",
    "softplus": "softplus({0})",
    "step": "step({0})",
    "tan": "xp.tan({0})",
    "tanh": "xp.tanh({0})",
    "where": "xp.where({a0} != 0, {a1}, {a2})",
    # reductions over trailing axes
    "logsumexp": "logsumexp({0}, {axes})",
    "softmax": "softmax({0})",
    "log_softmax": "log_softmax({0})",
    "max": "xp.max({0}, axis={axes})",
    "min": "xp.min({0}, axis={axes})",
    "prod": "xp.prod({0}, axis={axes})",
    "var": "xp.var({0}, axis={axes})",
    "std": "xp.std({0}, axis={axes})",
    "argmax": "argmax({0}, {core})",
    "norminf": "xp.max(xp.abs({0}), axis={axes})",
    "prodexcept": "prodexcept({0}, {core})",
    "norm": "length({0}, {axes})",
    "normalize": "normalize({0}, {axes})",
    # matrices
    "adj": "adjugate({0})",
    "smooth_adj": "adjugate({0})",
    "chol": "xp.linalg.cholesky({0})",
    "det": "xp.linalg.det({0})",
    "smooth_det": "xp.linalg.det({0})",
    "eigmax": "xp.linalg.eigvalsh({0})[..., -1]",
    "eigmin": "xp.linalg.eigvalsh({0})[..., 0]",
    "eigvals": "xp.linalg.eigvalsh({0})",
    "eigmaxproj": "projector({0}, -1)",
    "eigminproj": "projector({0}, 0)",
    "eigvecs": "eigenvectors({0})",
    "inv": "xp.linalg.inv({0})",
    "logdet": "xp.linalg.slogdet({0})[1]",
    "nuclear": "xp.sum(xp.linalg.svdvals({0}), axis=-1)",
    "pinv": "xp.linalg.pinv({0})",
    "polar": "polar({0})",
    "spectraldir": "spectral_direction({0})",
    "svd_u": "singular_vectors({0})[0]",
    "svd_v": "singular_vectors({0})[2]",
    "matpow": _with_one_exponent("matrix_power({0})"),
    "tracepow": _with_one_exponent("xp.linalg.trace(matrix_power({0}))"),
    "matpow_frechet": _with_one_exponent("matrix_power_derivative({0})"),
    "adj_frechet": "adjugate_derivative({0}, {1})",
    "prodexcept2": "prodexcept2({0}, {core})",
    "spectral": "xp.linalg.svdvals({0})[..., 0]",
    "svdvals": "xp.linalg.svdvals({0})",
}

NUMBERS: Mapping[str, Row] = {
    "sqrt": "math.sqrt({0})",
    "power": raised("**"),
    "pow": raised("**"),
    "abs": "abs({0})",
    "lgamma": "math.lgamma({0})",
    **{
        name: f"math.{name}({{0}})"
        for name in ("exp", "expm1", "log", "log10", "log1p", "log2", "sin", "cos", "tan", "sinh", "cosh", "tanh",
                     "asin", "acos", "atan", "asinh", "acosh", "atanh", "erf", "erfc", "floor", "ceil")
    },
}  # fmt: skip

HELPERS: Mapping[str, str] = {
    "mask": """
def mask(condition, like):
    return xp.astype(condition, like.dtype)
""",
    "step": """
def step(x):
    return mask(x > 0, x)
""",
    "equal": """
def equal(x, y):
    return mask(x == y, x)
""",
    "different": """
def different(x, y):
    return mask(x != y, x)
""",
    "less": """
def less(x, y):
    return mask(x < y, x)
""",
    "at_most": """
def at_most(x, y):
    return mask(x <= y, x)
""",
    "greater": """
def greater(x, y):
    return mask(x > y, x)
""",
    "at_least": """
def at_least(x, y):
    return mask(x >= y, x)
""",
    "cbrt": """
def cbrt(x):
    return xp.sign(x) * xp.abs(x) ** (1 / 3)
""",
    "elu": """
def elu(x, a):
    return xp.where(x > 0, x, a * xp.expm1(xp.minimum(x, xp.zeros_like(x))))
""",
    "selu": """
def selu(x):
    return 1.0507009873554805 * elu(x, 1.6732632423543772)
""",
    "leaky_relu": """
def leaky_relu(x, a):
    return xp.where(x > 0, x, a * x)
""",
    "relu": """
def relu(x):
    return xp.maximum(x, xp.zeros_like(x))
""",
    "sigmoid": """
def sigmoid(x):
    return 1 / (1 + xp.exp(-x))
""",
    "silu": """
def silu(x):
    return x * sigmoid(x)
""",
    "softplus": """
def softplus(x):
    return xp.logaddexp(x, xp.zeros_like(x))
""",
    "huber": """
def huber(r, d):
    size = xp.minimum(xp.abs(r), d)
    return size * (xp.abs(r) - size / 2)
""",
    "normpdf": """
def normpdf(x):
    return xp.exp(-0.5 * x * x) * 0.3989422804014327
""",
    "gelu": """
def gelu(x):
    return x * normcdf(x)
""",
    "normcdf": """
def normcdf(x):
    return 0.5 * erfc(-0.7071067811865476 * x)
""",
    "argmax": """
def argmax(x, core):
    flat = xp.reshape(x, (*x.shape[: x.ndim - core], -1))
    return mask(xp.argmax(flat, axis=-1), x)
""",
    "logsumexp": """
def logsumexp(x, axes):
    top = xp.max(x, axis=axes, keepdims=True)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    return xp.log(xp.sum(xp.exp(x - top), axis=axes)) + xp.squeeze(top, axis=axes)
""",
    "softmax": """
def softmax(x):
    weights = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return weights / xp.sum(weights, axis=-1, keepdims=True)
""",
    "log_softmax": """
def log_softmax(x):
    shifted = x - xp.max(x, axis=-1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))
""",
    "length": """
def length(x, axes):
    return xp.linalg.vector_norm(x, axis=axes)
""",
    "normalize": """
def normalize(x, axes):
    size = xp.linalg.vector_norm(x, axis=axes, keepdims=True)
    return x / xp.where(size > 0, size, xp.ones_like(size))
""",
    "prodexcept": """
def prodexcept(x, core=1):
    # for every entry the product of all the others
    flat = xp.reshape(x, (*x.shape[: x.ndim - core], -1))
    one = xp.ones_like(flat[..., :1])
    before = xp.cumulative_prod(xp.concat([one, flat[..., :-1]], axis=-1), axis=-1)
    after = xp.cumulative_prod(xp.concat([one, backwards(flat, -1)[..., :-1]], axis=-1), axis=-1)
    return xp.reshape(before * backwards(after, -1), x.shape)
""",
    "prodexcept2": """
def prodexcept2(x, core=1):
    # for every pair of different entries the product of all the others
    lead, block = x.shape[: x.ndim - core], x.shape[x.ndim - core :]
    flat = xp.reshape(x, (*lead, -1))
    places = xp.arange(flat.shape[-1]<at x>)
    same = places[:, None] == places[None, :]
    wide = xp.where(same, xp.ones_like(flat)[..., None, :], flat[..., None, :])
    pairs = xp.where(same, xp.zeros_like(wide), prodexcept(wide))
    return xp.reshape(pairs, (*lead, *block, *block))
""",
    "backwards": """
def backwards(x, axis):
    return xp.flip(x, axis=axis)
""",
    "symmetric_part": """
def symmetric_part(A):
    return (A + xp.matrix_transpose(A)) / 2
""",
    "adjugate": """
def adjugate(A):
    # by singular values, right for singular matrices too
    U, s, Vt = xp.linalg.svd(A)
    sign = xp.sign(xp.linalg.det(U) * xp.linalg.det(Vt))[..., None, None]
    return sign * (xp.matrix_transpose(Vt) * prodexcept(s)[..., None, :]) @ xp.matrix_transpose(U)
""",
    "adjugate_derivative": """
def adjugate_derivative(A, E):
    # at the diagonal matrix of singular values, in the direction U^T E V
    U, s, Vt = xp.linalg.svd(A)
    sign = xp.sign(xp.linalg.det(U) * xp.linalg.det(Vt))[..., None, None]
    V, Ut = xp.matrix_transpose(Vt), xp.matrix_transpose(U)
    others = prodexcept2(s)
    F = Ut @ E @ V
    own = (others @ xp.linalg.diagonal(F)[..., :, None])[..., 0]
    return sign * (V @ (embed_diagonal(own, s.shape[-1]) - others * F) @ Ut)
""",
    "expm_derivative": """
def expm_derivative(A, E):
    # the corner of the exponential of a block matrix
    n = A.shape[-1]
    return expm(block_upper(A, E))[..., :n, n:]
""",
    "matrix_power": """
def matrix_power(X, k):
    if k != round(float(k)):
        raise ValueError("the exponent of a matrix power is an integer")
    return xp.linalg.matrix_power(X, round(float(k)))
""",
    "matrix_power_derivative": """
def matrix_power_derivative(X, E, k):
    n = X.shape[-1]
    return matrix_power(block_upper(X, E), k)[..., :n, n:]
""",
    "block_upper": """
def block_upper(A, E):
    A = A + xp.zeros_like(E)
    E = E + xp.zeros_like(A)
    return xp.concat([xp.concat([A, E], axis=-1), xp.concat([xp.zeros_like(A), A], axis=-1)], axis=-2)
""",
    "tied": """
def tied(values, best):
    # which values equal the best one up to rounding
    top = xp.max(xp.abs(values), axis=-1, keepdims=True)
    slack = 8 * values.shape[-1] * xp.finfo(values.dtype).eps * top
    return mask(xp.abs(values - best[..., None]) <= slack, values)
""",
    "mean_projector": """
def mean_projector(left, right, weights):
    weights = weights / xp.sum(weights, axis=-1, keepdims=True)
    return (left * weights[..., None, :]) @ xp.matrix_transpose(right)
""",
    "projector": """
def projector(A, place):
    values, vectors = xp.linalg.eigh(A)
    return mean_projector(vectors, vectors, tied(values, values[..., place]))
""",
    "orientation": """
def orientation(vectors):
    place = xp.argmax(xp.abs(vectors), axis=-2, keepdims=True)
    largest = xp.take_along_axis(vectors, place, axis=-2)
    return xp.where(largest < 0, -xp.ones_like(largest), xp.ones_like(largest))
""",
    "eigenvectors": """
def eigenvectors(A):
    vectors = xp.linalg.eigh(A)[1]
    return vectors * orientation(vectors)
""",
    "singular_vectors": """
def singular_vectors(X):
    U, s, Vt = xp.linalg.svd(X, full_matrices=False)
    signs = orientation(U)
    return U * signs, s, xp.matrix_transpose(Vt) * signs
""",
    "polar": """
def polar(X):
    U, s, Vt = xp.linalg.svd(X, full_matrices=False)
    cut = max(X.shape[-2:]) * xp.finfo(s.dtype).eps * xp.max(s, axis=-1, keepdims=True)
    return (U * mask(s > cut, s)[..., None, :]) @ Vt
""",
    "spectral_direction": """
def spectral_direction(X):
    U, s, Vt = xp.linalg.svd(X, full_matrices=False)
    mean = mean_projector(U, xp.matrix_transpose(Vt), tied(s, s[..., 0]))
    return mean * mask(s[..., 0] > 0, s)[..., None, None]
""",
    "one_hot": """
def one_hot(value, place, size, **like):
    places = xp.arange(size, **like)
    return xp.where(places == place, value * xp.ones_like(places), xp.zeros_like(places))
""",
    "shifted_eye": """
def shifted_eye(rows, columns, offset, **like):
    row, column = xp.arange(rows, **like), xp.arange(columns, **like)
    return mask(row[:, None] + offset == column[None, :], row)
""",
    "pairs": """
def pairs(m, n, **like):
    # takes a matrix to its columns, one below the other
    return xp.permute_dims(xp.reshape(xp.eye(m * n, **like), (m * n, n, m)), (0, 2, 1))
""",
    "levi_civita": """
def levi_civita(**like):
    signs = [[[(i - j) * (j - k) * (k - i) / 2 for k in range(3)] for j in range(3)] for i in range(3)]
    return xp.asarray(signs, **like)
""",
    "embed": """
def embed(values, axis, offset, size):
    # a run along an axis of zeros
    before, after = list(values.shape), list(values.shape)
    before[axis], after[axis] = offset, size - offset - values.shape[axis]
    zeros = [xp.zeros(tuple(shape), <like values>) for shape in (before, after)]
    return xp.concat([zeros[0], values, zeros[1]], axis=axis)
""",
    "embed_diagonal": """
def embed_diagonal(values, n):
    places = xp.arange(n<at values>)
    return xp.where(places[:, None] == places[None, :], values[..., :, None], xp.zeros_like(values)[..., :, None])
""",
    "taken": """
def taken(x, places):
    return xp.take(x, xp.asarray(places<at x>), axis=-1)
""",
    "gather_half": """
def gather_half(A, n):
    # the lower triangle, column by column
    flat = xp.reshape(A, (*A.shape[:-2], n * n))
    return taken(flat, [row * n + column for column in range(n) for row in range(column, n)])
""",
    "gather_rows": """
def gather_rows(x, n):
    return taken(x, [row for column in range(n) for row in range(column, n)])
""",
    "gather_columns": """
def gather_columns(x, n):
    return taken(x, [column for column in range(n) for _ in range(column, n)])
""",
    "scatter_half": """
def scatter_half(values, n):
    # the lower triangular matrix with the given triangle, column by column
    places = [c * n - c * (c - 1) // 2 + r - c if r >= c else 0 for r in range(n) for c in range(n)]
    return xp.tril(xp.reshape(taken(values, places), (*values.shape[:-1], n, n)))
""",
    "half_pairs": """
def half_pairs(n, **like):
    return xp.reshape(xp.matrix_transpose(gather_half(xp.reshape(xp.eye(n * n, **like), (n * n, n, n)), n)), (-1, n, n))
""",
}
"""Functions over trailing axes; ``<like v>`` is the type and place of an array v, ``<at v>`` its place alone."""


def for_library(helpers: Mapping[str, str], like: str, at: str) -> dict[str, str]:
    """The helpers with the type and place of arrays as a library takes them; ``{0}`` is the array."""

    def put(template: str) -> Callable[[re.Match[str]], str]:
        return lambda match: template.replace("{0}", match.group(1))

    return {
        name: re.sub(r"<at (\w+)>", put(at), re.sub(r"<like (\w+)>", put(like), text)) for name, text in helpers.items()
    }
