"""What is known of the values of scalar functions, one row for each: their sign, and what they keep of an operand."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from .algebra import INTEGER, NEGATIVE, NONNEGATIVE, NONPOSITIVE, NONZERO, POSITIVE, SIGNS, ZERO


class Range(NamedTuple):
    """The values of a scalar function.

    Parameters
    ----------
    gives: facts of every value.
    keeps: facts that pass from the operand to the value; ``ZERO`` says that the function is 0 at 0.
    turns: pairs of facts of the operand and facts of the value.
    """

    gives: int = 0
    keeps: int = 0
    turns: tuple[tuple[int, int], ...] = ()


# Functions with the sign of their operand, such as tanh.
SAME_SIGN = Range(keeps=SIGNS)
MASK = Range(gives=NONNEGATIVE | INTEGER)

RANGES: Mapping[str, Range] = MappingProxyType(
    {
        **dict.fromkeys(
            ("exp", "sigmoid", "softplus", "normpdf", "normcdf", "erfc", "cosh", "trigamma"), Range(gives=POSITIVE)
        ),
        **dict.fromkeys(("lt", "le", "gt", "ge", "eq", "ne"), MASK),
        **dict.fromkeys(
            (
                "tanh",
                "sinh",
                "asinh",
                "atan",
                "asin",
                "atanh",
                "erf",
                "cbrt",
                "expm1",
                "log1p",
                "selu",
                "gelu",
                "silu",
            ),
            SAME_SIGN,
        ),
        **dict.fromkeys(("sin", "tan"), Range(keeps=ZERO)),
        "abs": Range(gives=NONNEGATIVE, keeps=ZERO | NONZERO | INTEGER),
        "relu": Range(gives=NONNEGATIVE, keeps=ZERO | POSITIVE | INTEGER, turns=((NONPOSITIVE, ZERO),)),
        "step": Range(gives=NONNEGATIVE | INTEGER, keeps=ZERO | POSITIVE, turns=((NONPOSITIVE, ZERO),)),
        "sign": Range(gives=INTEGER, keeps=SIGNS),
        "floor": Range(gives=INTEGER, keeps=ZERO | NONNEGATIVE | NONPOSITIVE | NEGATIVE),
        "ceil": Range(gives=INTEGER, keeps=ZERO | NONNEGATIVE | NONPOSITIVE | POSITIVE),
        "round": Range(gives=INTEGER, keeps=ZERO | NONNEGATIVE | NONPOSITIVE),
        **dict.fromkeys(("hypot", "huber", "acos", "acosh"), Range(gives=NONNEGATIVE)),
    }
)
