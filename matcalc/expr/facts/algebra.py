"""Facts as sets of bits, what follows from them, and which of them exclude each other.

A fact about entries (``positive`` …) holds for every entry, a fact about the diagonal for every entry of it; the
others are facts about square matrices. The two tables below hold for matrices of any size from 1 on.
"""

from __future__ import annotations

from functools import cache

#: The names of facts, as they are asked for and declared.
NAMES = (
    "zero",
    "positive",
    "negative",
    "nonnegative",
    "nonpositive",
    "nonzero",
    "integer",
    "symmetric",
    "skew",
    "diagonal",
    "lower",
    "upper",
    "orthogonal",
    "psd",
    "spd",
    "invertible",
    "idempotent",
    "rank_one",
    "diagonal_positive",
    "diagonal_nonnegative",
    "diagonal_negative",
    "diagonal_nonpositive",
)
(
    ZERO,
    POSITIVE,
    NEGATIVE,
    NONNEGATIVE,
    NONPOSITIVE,
    NONZERO,
    INTEGER,
    SYMMETRIC,
    SKEW,
    DIAGONAL,
    LOWER,
    UPPER,
    ORTHOGONAL,
    PSD,
    SPD,
    INVERTIBLE,
    IDEMPOTENT,
    RANK_ONE,
    DIAGONAL_POSITIVE,
    DIAGONAL_NONNEGATIVE,
    DIAGONAL_NEGATIVE,
    DIAGONAL_NONPOSITIVE,
) = (1 << place for place in range(len(NAMES)))
#: The bit of each fact. SYMMETRIC is what labels alone show; `matcalc.expr.build.is_symmetric` knows more.
FACTS = {name: 1 << place for place, name in enumerate(NAMES)}

SIGNS = POSITIVE | NEGATIVE | NONNEGATIVE | NONPOSITIVE | NONZERO | ZERO
DIAGONAL_SIGNS = DIAGONAL_POSITIVE | DIAGONAL_NONNEGATIVE | DIAGONAL_NEGATIVE | DIAGONAL_NONPOSITIVE
#: Facts that only square matrices can have.
SQUARE = SYMMETRIC | SKEW | DIAGONAL | LOWER | UPPER | ORTHOGONAL | PSD | SPD | INVERTIBLE | IDEMPOTENT | DIAGONAL_SIGNS

#: What follows of any tensor: all facts on the left give those on the right.
IMPLIED_BY_SIGNS: tuple[tuple[int, int], ...] = (
    (ZERO, NONNEGATIVE | NONPOSITIVE | INTEGER),
    (NONNEGATIVE | NONPOSITIVE, ZERO),
    (POSITIVE, NONNEGATIVE | NONZERO),
    (NEGATIVE, NONPOSITIVE | NONZERO),
    (NONNEGATIVE | NONZERO, POSITIVE),
    (NONPOSITIVE | NONZERO, NEGATIVE),
)
#: What follows, besides, of a square matrix.
IMPLIED_BY_STRUCTURE: tuple[tuple[int, int], ...] = (
    (ZERO, DIAGONAL | SKEW | PSD | IDEMPOTENT),
    (POSITIVE, DIAGONAL_POSITIVE),
    (NONNEGATIVE, DIAGONAL_NONNEGATIVE),
    (NEGATIVE, DIAGONAL_NEGATIVE),
    (NONPOSITIVE, DIAGONAL_NONPOSITIVE),
    (DIAGONAL_POSITIVE, DIAGONAL_NONNEGATIVE),
    (DIAGONAL_NEGATIVE, DIAGONAL_NONPOSITIVE),
    (SYMMETRIC | SKEW, ZERO),
    (SKEW, DIAGONAL_NONNEGATIVE | DIAGONAL_NONPOSITIVE),
    (DIAGONAL, LOWER | UPPER | SYMMETRIC),
    (LOWER | UPPER, DIAGONAL),
    (LOWER | SYMMETRIC, UPPER),
    (UPPER | SYMMETRIC, LOWER),
    (LOWER | SKEW, ZERO),
    (UPPER | SKEW, ZERO),
    (LOWER | ORTHOGONAL, DIAGONAL),
    (UPPER | ORTHOGONAL, DIAGONAL),
    (ORTHOGONAL, INVERTIBLE),
    (SPD, PSD | INVERTIBLE | DIAGONAL_POSITIVE),
    (PSD, SYMMETRIC | DIAGONAL_NONNEGATIVE),
    (PSD | INVERTIBLE, SPD),
    (PSD | DIAGONAL_NONPOSITIVE, ZERO),
    (SYMMETRIC | IDEMPOTENT, PSD),
    (DIAGONAL | DIAGONAL_POSITIVE, SPD),
    (DIAGONAL | DIAGONAL_NONNEGATIVE, PSD),
    (DIAGONAL | DIAGONAL_NONNEGATIVE, NONNEGATIVE),
    (DIAGONAL | DIAGONAL_NONPOSITIVE, NONPOSITIVE),
    (LOWER | DIAGONAL_POSITIVE, INVERTIBLE),
    (UPPER | DIAGONAL_POSITIVE, INVERTIBLE),
    (LOWER | DIAGONAL_NEGATIVE, INVERTIBLE),
    (UPPER | DIAGONAL_NEGATIVE, INVERTIBLE),
)
#: Facts that no tensor has together.
EXCLUDED: tuple[int, ...] = (POSITIVE | NONPOSITIVE, NEGATIVE | NONNEGATIVE, ZERO | NONZERO)
#: Facts that no square matrix has together.
EXCLUDED_BY_STRUCTURE: tuple[int, ...] = (
    DIAGONAL_POSITIVE | DIAGONAL_NONPOSITIVE,
    DIAGONAL_NEGATIVE | DIAGONAL_NONNEGATIVE,
    ZERO | INVERTIBLE,
)
#: Facts that no matrix with two or more rows has together.
EXCLUDED_BY_SIZE: tuple[int, ...] = (RANK_ONE | INVERTIBLE, NONZERO | LOWER, NONZERO | UPPER)


@cache
def closure(facts: int, square: bool) -> int:
    """The facts with all that follows from them.

    >>> bool(closure(PSD | INVERTIBLE, square=True) & DIAGONAL_POSITIVE)
    True

    Parameters
    ----------
    facts: a set of facts.
    square: whether they are facts about a square matrix.
    """
    rows = IMPLIED_BY_SIGNS + IMPLIED_BY_STRUCTURE if square else IMPLIED_BY_SIGNS
    while facts:
        before = facts
        for given, more in rows:
            if facts & given == given:
                facts |= more
        if facts == before:
            break
    return facts


def contradictory(facts: int, square: bool, length: int | None) -> bool:
    """Whether a closed set of facts cannot be true.

    Parameters
    ----------
    facts: a set of facts, closed under what follows.
    square: whether they are facts about a square matrix.
    length: the number of rows of a square matrix, where it is a number.
    """
    rows = EXCLUDED + EXCLUDED_BY_STRUCTURE if square else EXCLUDED
    if square and length is not None and length > 1:
        rows += EXCLUDED_BY_SIZE
    odd = square and length is not None and length % 2 == 1
    if odd and facts & (SKEW | INVERTIBLE) == SKEW | INVERTIBLE:
        return True
    return any(facts & row == row for row in rows)


# --- signs ---------------------------------------------------------------------------------------


def sign_of_power(sign: int, whole: bool, even_top: bool, even_bottom: bool, inverse: bool) -> int:
    """The sign of an entrywise power, where it is defined.

    Parameters
    ----------
    sign: the sign of the base.
    whole: whether the exponent is an integer.
    even_top, even_bottom: whether the numerator and the denominator of the exponent are even.
    inverse: whether the exponent is negative.
    """
    if even_bottom or even_top:
        found = NONNEGATIVE | (sign & NONZERO)
    elif whole:
        found = sign & (POSITIVE | NEGATIVE | NONNEGATIVE | NONPOSITIVE | NONZERO)
    else:
        found = sign & (POSITIVE | NONNEGATIVE | NONZERO) if sign & NONNEGATIVE else 0
    if not inverse:
        found |= sign & ZERO
    if whole and not inverse:
        found |= sign & INTEGER
    return closure(found, square=False)


def sign_of_product(signs: list[int], summed: bool) -> int:
    """The sign of a sum of products of entries, from the signs of the factors."""
    if any(sign & ZERO for sign in signs):
        return closure(ZERO, square=False)
    found = 0
    if all(sign & INTEGER for sign in signs):
        found |= INTEGER
    if all(sign & (NONNEGATIVE | NONPOSITIVE) for sign in signs):
        negative = sum(1 for sign in signs if not sign & NONNEGATIVE) % 2 == 1
        found |= NONPOSITIVE if negative else NONNEGATIVE
        if all(sign & NONZERO for sign in signs):
            found |= NONZERO
    elif not summed and all(sign & NONZERO for sign in signs):
        found |= NONZERO
    return closure(found, square=False)


def sign_of_sum(parts: list[tuple[bool, bool, int]]) -> int:
    """The sign of a linear combination.

    Parameters
    ----------
    parts: for each term, whether its coefficient is positive, whether it is whole, and the sign of the term.
    """
    if not parts:
        return closure(ZERO, square=False)
    signs = [sign if positive else flipped(sign) for positive, _, sign in parts]
    found = 0
    for weak, strict in ((NONNEGATIVE, POSITIVE), (NONPOSITIVE, NEGATIVE)):
        if all(sign & weak for sign in signs):
            found |= weak | (strict if any(sign & strict for sign in signs) else 0)
    if len(signs) == 1:
        found |= signs[0] & (NONZERO | ZERO)
    if all(whole and sign & INTEGER for _, whole, sign in parts):
        found |= INTEGER
    return closure(found, square=False)


def flipped(sign: int) -> int:
    """The sign of the negative."""
    found = sign & (NONZERO | ZERO | INTEGER)
    for one, other in ((POSITIVE, NEGATIVE), (NEGATIVE, POSITIVE), (NONNEGATIVE, NONPOSITIVE)):
        found |= other if sign & one else 0
    return found | (NONNEGATIVE if sign & NONPOSITIVE else 0)


def of_diagonal(facts: int) -> int:
    """The sign of the diagonal of a matrix."""
    found = facts & (SIGNS | INTEGER)
    for diagonal, sign in (
        (DIAGONAL_POSITIVE, POSITIVE),
        (DIAGONAL_NONNEGATIVE, NONNEGATIVE),
        (DIAGONAL_NEGATIVE, NEGATIVE),
        (DIAGONAL_NONPOSITIVE, NONPOSITIVE),
    ):
        found |= sign if facts & diagonal else 0
    return closure(found, square=False)


def on_diagonal(sign: int) -> int:
    """What the sign of its diagonal says of a matrix."""
    found = 0
    for sign_bit, diagonal in (
        (POSITIVE, DIAGONAL_POSITIVE),
        (NONNEGATIVE, DIAGONAL_NONNEGATIVE),
        (NEGATIVE, DIAGONAL_NEGATIVE),
        (NONPOSITIVE, DIAGONAL_NONPOSITIVE),
    ):
        found |= diagonal if sign & sign_bit else 0
    return found
