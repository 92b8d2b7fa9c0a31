"""What fused loops call, compiled by Numba: elementary functions that become vector instructions, and products.

The functions of a C library are called entry by entry. These are free of branches: the argument is brought into a
small interval, a polynomial is evaluated there, and the exponent is put back as bits. NaN stays NaN, what overflows is
infinite, and what underflows passes through the subnormal numbers. Only sums that are added up may be taken in another
order (`accumulate`); elsewhere arithmetic is what is written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import float32, float64, njit, types, uint64
from numba.extending import intrinsic

EXACT = {"contract"}
"""A product and a sum may be one instruction; nothing else may be changed."""


def _inlined(function: Callable[..., Any]) -> Any:
    return njit(function, fastmath=EXACT, error_model="numpy", forceinline=True)


# --- instructions -----------------------------------------------------------------------------------


@intrinsic
def _number(_context: Any, bits: Any) -> Any:
    """The double with some bits."""

    def build(_target: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.bitcast(values[0], ir.DoubleType())

    return types.float64(types.uint64), build


@intrinsic
def _bits(_context: Any, number: Any) -> Any:
    """The bits of a double."""

    def build(_target: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.bitcast(values[0], ir.IntType(64))

    return types.uint64(types.float64), build


@intrinsic
def choose(_context: Any, condition: Any, yes: Any, no: Any) -> Any:
    """One of two numbers, both of which are computed."""

    def build(_target: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.select(*values)

    return yes(types.boolean, yes, yes), build


@intrinsic
def accumulate(_context: Any, total: Any, term: Any) -> Any:
    """A sum in any order, so that several entries are added at once."""

    def build(_target: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.fadd(*values, flags=("reassoc", "contract"))

    return total(total, total), build


def _unary(name: str) -> Any:
    @intrinsic
    def instruction(_context: Any, x: Any) -> Any:
        def build(_target: Any, builder: Any, _signature: Any, values: Any) -> Any:
            kind = values[0].type
            return builder.call(builder.module.declare_intrinsic(f"llvm.{name}", [kind]), values)

        return x(x), build

    return instruction


def _binary(name: str) -> Any:
    @intrinsic
    def instruction(_context: Any, x: Any, y: Any) -> Any:
        def build(_target: Any, builder: Any, _signature: Any, values: Any) -> Any:
            kind = values[0].type
            shape = ir.FunctionType(kind, [kind, kind])
            return builder.call(builder.module.declare_intrinsic(f"llvm.{name}", [kind], shape), values)

        return x(x, x), build

    return instruction


def _constant(value: float) -> Any:
    @intrinsic
    def instruction(_context: Any, x: Any) -> Any:
        def build(_target: Any, _builder: Any, _signature: Any, values: Any) -> Any:
            return ir.Constant(values[0].type, value)

        return x(x), build

    return instruction


_zero, _one = _constant(0.0), _constant(1.0)
larger = _binary("maximum")
smaller = _binary("minimum")
with_sign = _binary("copysign")
size = _unary("fabs")
root = _unary("sqrt")
down = _unary("floor")
up = _unary("ceil")
even = _unary("rint")

# --- exponentials -----------------------------------------------------------------------------------

MAGIC = 6755399441055744.0
"""3 2^51: added to a number below 2^51 it leaves the nearest integer in the last bits."""
LOG2E = 1.4426950408889634
LN2_HIGH = 6.93147180369123816490e-01
LN2_LOW = 1.90821492927058770002e-10
BIAS, MANTISSA = np.uint64(1023), np.uint64(52)


@_inlined
def _polynomial(r: float) -> Any:
    """``(exp(r) - 1 - r) / r^2`` for ``|r| <= log(2) / 2``, interpolated at Chebyshev's points; within 4e-19 of exp."""
    q = 2.0914686968086876e-09
    q = q * r + 2.5105217004720745e-08
    q = q * r + 2.75572736431103e-07
    q = q * r + 2.7557255400206422e-06
    q = q * r + 2.4801587325547743e-05
    q = q * r + 1.9841269874820627e-04
    q = q * r + 1.3888888888883748e-03
    q = q * r + 8.333333333326136e-03
    q = q * r + 4.166666666666667e-02
    q = q * r + 1.666666666666667e-01
    return q * r + 0.5


@_inlined
def _reduced(x: float) -> Any:
    """``k`` and ``exp(r) - 1`` with ``x = k log 2 + r``; what r loses in rounding is put back."""
    k = (x * LOG2E + MAGIC) - MAGIC
    high, low = x - k * LN2_HIGH, k * LN2_LOW
    r = high - low
    lost = (high - r) - low
    return k, r + ((r * r) * _polynomial(r) + lost)


@_inlined
def _power_of_two(k: float) -> Any:
    """``2^k`` for an integer from -1022 to 1023."""
    return _number((_bits(k + MAGIC) + BIAS) << MANTISSA)


@_inlined
def exp(x: float) -> Any:
    """The exponential; the power of two is put back in two steps, for it may leave the range of numbers."""
    inside = choose(x > 710.0, 710.0, choose(x < -746.0, -746.0, x))
    moved = inside * LOG2E + MAGIC
    k = moved - MAGIC
    r = (inside - k * LN2_HIGH) - k * LN2_LOW
    shift = with_sign(64.0, x)
    part = _number(_bits(1.0 + (r + (r * r) * _polynomial(r))) + (_bits(moved - shift) << MANTISSA))
    return part * _power_of_two(shift)


@_inlined
def expm1(x: float) -> Any:
    """``exp(x) - 1`` without cancellation."""
    inside = choose(x > 800.0, 800.0, choose(x < -50.0, -50.0, x))
    k, q = _reduced(inside)
    half = (k * 0.5 + MAGIC) - MAGIC
    first, second = _power_of_two(half), _power_of_two(k - half)
    scale = first * second
    value = choose(x > 40.0, ((q + 1.0) * first) * second, scale * q + (scale - 1.0))
    return with_sign(value, x)


@_inlined
def tanh(x: float) -> Any:
    """``E / (E + 2)`` with ``E = exp(2 |x|) - 1``; what both lose in rounding is put back to first order."""
    twice = size(x) * 2.0
    k, q = _reduced(choose(twice > 60.0, 60.0, twice))
    scale = _power_of_two(k)
    less = scale * q + (scale - 1.0)
    lost = ((scale - 1.0) - less) + scale * q
    more = less + 2.0
    value = less / more
    # the divisor is 2 / (1 - value)
    rest = (lost - value * (lost + ((2.0 - more) + less))) * (0.5 - 0.5 * value)
    return with_sign(value + choose(twice < 2.0, rest, 0.0), x)


# --- logarithms -------------------------------------------------------------------------------------

FRACTION, ONE_BITS = np.uint64(0x000FFFFFFFFFFFFF), np.uint64(0x3FF0000000000000)
TWO_52_BITS, TWO_52 = np.uint64(0x4330000000000000), 4503599627370496.0
SMALLEST_NORMAL = 2.2250738585072014e-308


@_inlined
def _split(x: float) -> Any:
    """``k`` and ``m`` with ``x = 2^k m``, ``m`` between the roots of 1/2 and 2, of a positive number."""
    tiny = x < SMALLEST_NORMAL
    bits = _bits(choose(tiny, x * 18014398509481984.0, x))
    k = _number((bits >> MANTISSA) | TWO_52_BITS) - TWO_52
    k = k - (choose(tiny, 54.0, 0.0) + 1023.0)
    m = _number((bits & FRACTION) | ONE_BITS)
    above = m > 1.4142135623730951
    return choose(above, k + 1.0, k), choose(above, m * 0.5, m)


@_inlined
def _logarithm(k: float, f: float, rest: float) -> Any:
    """``k log(2) + log(1 + f) + rest``, the polynomial of Sun's C library (Ng, 1993)."""
    s = f / (2.0 + f)
    z = s * s
    r = 1.479819860511658591e-01
    r = r * z + 1.531383769920937332e-01
    r = r * z + 1.818357216161805012e-01
    r = r * z + 2.222219843214978396e-01
    r = r * z + 2.857142874366239149e-01
    r = r * z + 3.999999999940941908e-01
    r = r * z + 6.666666666666735130e-01
    half = 0.5 * f * f
    return k * LN2_HIGH - ((half - (s * (half + r * z) + (k * LN2_LOW + rest))) - f)


@_inlined
def log(x: float) -> Any:
    """The logarithm."""
    k, m = _split(x)
    value = _logarithm(k, m - 1.0, 0.0)
    outside = choose(x == 0.0, -np.inf, choose(x < 0.0, np.nan, x))
    return choose((x > 0.0) & (x < np.inf), value, outside)


@_inlined
def log1p(x: float) -> Any:
    """``log(1 + x)``: what ``1 + x`` loses in rounding is added to first order."""
    u = x + 1.0
    near = (x > -0.2928) & (x < 0.4142)
    lost = choose(x > 1.0, 1.0 - (u - x), x - (u - 1.0)) / u
    k, m = _split(u)
    f = choose(near, x, m - 1.0)
    value = with_sign(_logarithm(choose(near, 0.0, k), f, choose(near, 0.0, lost)), x)
    outside = choose(x == -1.0, -np.inf, choose(x < -1.0, np.nan, x))
    return choose((x > -1.0) & (x < np.inf), value, outside)


@_inlined
def log1p_unit(x: float) -> Any:
    """``log(1 + x)`` for x from 0 to 1, without the general case."""
    above = x > 0.4142135623730951
    return _logarithm(choose(above, 1.0, 0.0), choose(above, (x - 1.0) * 0.5, x), 0.0)


# --- other functions of one entry -------------------------------------------------------------------


@_inlined
def sign(x: Any) -> Any:
    """-1, 0 or 1; NaN of NaN."""
    return choose(size(x) > 0, with_sign(_one(x), x), x)


@_inlined
def finite(x: Any) -> Any:
    """0 in place of an infinity or NaN."""
    return choose(size(x) < np.inf, x, _zero(x))


@_inlined
def power(x: Any, y: Any) -> Any:
    """``x`` to the power ``y``."""
    return x**y


def _libm(function: Callable[..., Any]) -> Any:
    """A function of NumPy or of the C library, entry by entry."""
    return njit(function, error_model="numpy")


_SLOW: Mapping[str, Callable[..., Any]] = {
    "sin": lambda x: math.sin(x),
    "cos": lambda x: math.cos(x),
    "tan": lambda x: math.tan(x),
    "arcsin": lambda x: np.arcsin(x),
    "arccos": lambda x: np.arccos(x),
    "arctan": lambda x: np.arctan(x),
    "sinh": lambda x: np.sinh(x),
    "cosh": lambda x: np.cosh(x),
    "arcsinh": lambda x: np.arcsinh(x),
    "arccosh": lambda x: np.arccosh(x),
    "arctanh": lambda x: np.arctanh(x),
    "log2": lambda x: np.log2(x),
    "log10": lambda x: np.log10(x),
    "cbrt": lambda x: np.cbrt(x),
    "arctan2": lambda x, y: np.arctan2(x, y),
    "hypot": lambda x, y: np.hypot(x, y),
}
LIBRARY: Mapping[str, Any] = {name: _libm(function) for name, function in _SLOW.items()}
"""Functions for which there are no vector instructions here."""

VECTOR: Mapping[str, Any] = {
    "exp": exp,
    "expm1": expm1,
    "tanh": tanh,
    "log": log,
    "log1p": log1p,
    "log1p_unit": log1p_unit,
}
"""Functions that are evaluated in double precision, and rounded where numbers are single."""


def _rounded(function: Any) -> Any:
    return njit(lambda x: float32(function(float64(x))), error_model="numpy", forceinline=True)


# --- products ---------------------------------------------------------------------------------------


@njit(fastmath=EXACT, error_model="numpy")
def rows_times(A: Any, x: Any, out: Any, first: int, start: int, stop: int, place: int) -> None:
    """``out[place + i] = A[first + i] . x`` for the rows from ``start`` to ``stop``, four at a time."""
    columns = x.shape[0]
    zero = x.dtype.type(0)
    i = start
    while i + 4 <= stop:
        a, b, c, d = zero, zero, zero, zero
        row = first + i
        for j in range(columns):
            y = x[j]
            a = accumulate(a, A[row, j] * y)
            b = accumulate(b, A[row + 1, j] * y)
            c = accumulate(c, A[row + 2, j] * y)
            d = accumulate(d, A[row + 3, j] * y)
        out[place + i], out[place + i + 1], out[place + i + 2], out[place + i + 3] = a, b, c, d
        i += 4
    while i < stop:
        a = zero
        for j in range(columns):
            a = accumulate(a, A[first + i, j] * x[j])
        out[place + i] = a
        i += 1


@njit(fastmath=EXACT, error_model="numpy")
def add_rows(A: Any, c: Any, out: Any, first: int, start: int, stop: int, place: int) -> None:
    """``out += c[place + i] A[first + i]`` for the rows from ``start`` to ``stop``, four at a time."""
    columns = out.shape[0]
    i = start
    while i + 4 <= stop:
        row = first + i
        e, f, g, h = c[place + i], c[place + i + 1], c[place + i + 2], c[place + i + 3]
        for j in range(columns):
            pair = e * A[row, j] + f * A[row + 1, j]
            out[j] += pair + (g * A[row + 2, j] + h * A[row + 3, j])
        i += 4
    while i < stop:
        e = c[place + i]
        for j in range(columns):
            out[j] += e * A[first + i, j]
        i += 1


@njit(fastmath=EXACT, error_model="numpy")
def small_product(A: Any, B: Any, out: Any) -> None:
    """``out = A B`` for matrices so small that a call of BLAS takes longer."""
    for i in range(A.shape[0]):
        for j in range(B.shape[1]):
            out[i, j] = 0
        for k in range(A.shape[1]):
            x = A[i, k]
            for j in range(B.shape[1]):
                out[i, j] += x * B[k, j]


@cache
def namespace(single: bool) -> Mapping[str, Any]:
    """The functions that fused loops may call, and ``real``, which makes a number of the working type.

    ``index`` makes a place in an array; a signed one would be looked at for being negative, entry by entry.
    """
    shared: dict[str, Any] = {
        "choose": choose, "accumulate": accumulate, "larger": larger, "smaller": smaller, "size": size, "root": root,
        "down": down, "up": up, "even": even, "sign": sign, "finite": finite, "power": power,
        "rows_times": rows_times, "add_rows": add_rows, "small_product": small_product,
        "empty": np.empty, "index": uint64, "range": range, "min": min, "max": max,
    }  # fmt: skip
    functions = {name: _rounded(function) for name, function in VECTOR.items()} if single else VECTOR
    return {
        **shared,
        **LIBRARY,
        **functions,
        "real": float32 if single else float64,
        "kind": np.float32 if single else np.float64,
    }
