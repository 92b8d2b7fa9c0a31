"""What a number that is seen at several points stands for: a rational, a size, a scalar of the expression."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-8
LARGEST_DENOMINATOR = 96
#: A rational in front of a size or a scalar is one of few.
LARGEST_PREFACTOR = 12
#: A text that needs no brackets in a quotient: a name, a call, a norm.
ATOM = r"\w+|\w+\([^()]*\)|\|\|[^|]*\|\|"
EXPONENTS = (1, -1, 2, -2, Fraction(1, 2), Fraction(-1, 2))


class Coefficient(NamedTuple):
    """The meaning of a number: its kind (``zero one minus rational size scalar``) and its text."""

    kind: str
    text: str


def name_coefficient(
    values: Sequence[float], sizes: Sequence[Mapping[str, int]], scalars: Mapping[str, Sequence[float]]
) -> Coefficient | None:
    """The meaning of a number that was seen at several points; None when there is none.

    >>> name_coefficient([0.5, 0.25], [{"n": 2}, {"n": 4}], {})
    Coefficient(kind='size', text='1/n')

    Parameters
    ----------
    values: the number, one for each point.
    sizes: the sizes of each point.
    scalars: for the text of a scalar its values at the points.
    """
    numbers = np.asarray(values, dtype=float)
    if not np.all(np.isfinite(numbers)):
        return None
    if len(numbers) == 1:
        # a single point cannot tell a size from a number; a size is the likelier one where both fit
        by_size = _of_sizes(numbers, sizes, only_plain=True)
        if by_size is not None:
            return by_size
    constant = _constant(numbers)
    if constant is not None:
        return constant
    if len(numbers) == 1:
        return None
    return _of_sizes(numbers, sizes) or _of_scalars(numbers, scalars)


def _constant(numbers: NDArray[np.float64]) -> Coefficient | None:
    middle = float(np.mean(numbers))
    if np.max(np.abs(numbers - middle)) > TOLERANCE * max(1.0, abs(middle)):
        return None
    if abs(middle) <= TOLERANCE:
        return Coefficient("zero", "0")
    nearest = _rational(middle, LARGEST_DENOMINATOR)
    if nearest is None:
        return Coefficient("rational", f"{middle:.6g}") if len(numbers) > 1 else None
    if nearest in (1, -1):
        return Coefficient("one" if nearest == 1 else "minus", str(nearest))
    return Coefficient("rational", str(nearest))


def _rational(value: float, largest: int) -> Fraction | None:
    nearest = Fraction(value).limit_denominator(largest)
    close = nearest != 0 and abs(float(nearest) - value) <= TOLERANCE * abs(value)
    return nearest if close else None


def _of_sizes(
    numbers: NDArray[np.float64], sizes: Sequence[Mapping[str, int]], only_plain: bool = False
) -> Coefficient | None:
    names = sorted(set.intersection(*(set(known) for known in sizes))) if sizes else []
    for text, values in _monomials(names, sizes):
        found = _multiple(numbers, values, text, "size")
        if found is not None and not (only_plain and found.text not in (text, f"-{text}")):
            return found
    return None


def _monomials(names: Sequence[str], sizes: Sequence[Mapping[str, int]]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Powers and products of two sizes, simple ones first."""
    columns = {name: np.array([known[name] for known in sizes], dtype=float) for name in names}
    for name in names:
        yield f"1/{name}", 1 / columns[name]
        yield name, columns[name]
    for position, first in enumerate(names):
        for second in names[position:]:
            yield f"1/({first} {second})", 1 / (columns[first] * columns[second])
            yield f"{first} {second}", columns[first] * columns[second]
            if first != second:
                yield f"{first}/{second}", columns[first] / columns[second]
                yield f"{second}/{first}", columns[second] / columns[first]


def _of_scalars(numbers: NDArray[np.float64], scalars: Mapping[str, Sequence[float]]) -> Coefficient | None:
    for exponent in EXPONENTS:
        for text, given in scalars.items():
            base = np.asarray(given, dtype=float)
            with np.errstate(all="ignore"):
                values = base ** float(exponent)
            found = _multiple(numbers, values, _power(text, Fraction(exponent)), "scalar")
            if found is not None:
                return found
    return None


def _power(text: str, exponent: Fraction) -> str:
    base = text if re.fullmatch(ATOM, text) else f"({text})"
    match exponent:
        case Fraction(numerator=1, denominator=1):
            return text
        case Fraction(numerator=-1, denominator=1):
            return f"1/{base}"
        case Fraction(numerator=1, denominator=2):
            return f"sqrt({text})"
        case Fraction(numerator=-1, denominator=2):
            return f"1/sqrt({text})"
    return f"{base}^{exponent}" if exponent > 0 else f"1/{base}^{-exponent}"


def _multiple(numbers: NDArray[np.float64], values: NDArray[np.float64], text: str, kind: str) -> Coefficient | None:
    """The coefficient as a simple rational times something that varies."""
    if not np.all(np.isfinite(values)) or np.any(values == 0):
        return None
    if len(values) > 1 and np.ptp(values) <= TOLERANCE * np.max(np.abs(values)):
        return None  # it does not vary, so it explains nothing
    ratio = numbers / values
    middle = float(np.mean(ratio))
    if middle == 0 or np.max(np.abs(ratio - middle)) > TOLERANCE * abs(middle):
        return None
    nearest = _rational(middle, LARGEST_PREFACTOR)
    if nearest is None:
        return None
    if nearest in (1, -1):
        return Coefficient(kind, text if nearest == 1 else f"-{text}")
    if text.startswith("1/"):
        rest = text[2:]
        top, bottom = nearest.numerator, nearest.denominator
        return Coefficient(kind, f"{top}/{rest}" if bottom == 1 else f"{top}/({bottom} {rest})")
    return Coefficient(kind, f"{nearest} {text}")
