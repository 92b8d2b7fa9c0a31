"""Dimensions: exact polynomials in named sizes (``n``, ``784``, ``2 n``, ``n (n + 1)/2``)."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from ..errors import ShapeError
from ..limits import check_terms, tick

Monomial = tuple[tuple[str, int], ...]

ZERO, ONE = Fraction(0), Fraction(1)


class Dim:
    """An immutable polynomial with rational coefficients in named sizes.

    >>> str(Dim.of("n") * 2 + 1)
    '2 n + 1'
    """

    __slots__ = ("_hash", "constant", "key", "name", "names", "terms")

    terms: tuple[tuple[Monomial, Fraction], ...]
    key: str
    constant: int | None
    """The integer this is, or None when it has names in it."""
    name: str | None
    """The single name this is, or None."""
    names: tuple[str, ...]
    """All names in it, sorted."""

    def __init__(self, terms: Mapping[Monomial, Fraction]) -> None:
        tick(len(terms))
        kept = [(m, c) for m, c in terms.items() if c]
        if len(kept) > 1:
            # longer monomials first, then by name: the constant comes last, as on paper
            kept.sort(key=lambda item: (-sum(power for _, power in item[0]), item[0]))
        self._set(tuple(kept))

    def _set(self, terms: tuple[tuple[Monomial, Fraction], ...]) -> None:
        """Fill the slots: almost every size is asked for them, again and again."""
        self.terms = terms
        self.name = None
        self.constant = None
        self.names = ()
        if not terms:
            self.constant = 0
        elif len(terms) == 1 and not terms[0][0]:
            value = terms[0][1]
            self.constant = value.numerator if value.denominator == 1 else None
        else:
            self.names = tuple(sorted({name for monomial, _ in terms for name, _ in monomial}))
            if len(terms) == 1 and terms[0][1] == 1 and len(terms[0][0]) == 1 and terms[0][0][0][1] == 1:
                self.name = self.names[0]
        self.key = self._text()
        self._hash = hash(self.key)

    @staticmethod
    def of(value: Dim | str | int | Fraction) -> Dim:
        """The dimension for a name or a number."""
        if isinstance(value, Dim):
            return value
        tick()
        made = Dim.__new__(Dim)
        if isinstance(value, str):
            made.terms = ((((value, 1),), ONE),)
            made.constant, made.name, made.names = None, value, (value,)
            made.key = value
        elif isinstance(value, int):
            made.terms = (((), Fraction(value)),) if value else ()
            made.constant, made.name, made.names = int(value), None, ()
            made.key = str(made.constant)
        else:
            made._set((((), Fraction(value)),) if value else ())
            return made
        made._hash = hash(made.key)
        return made

    def __add__(self, other: Dim | int) -> Dim:
        added = Dim.of(other)
        if self.constant is not None and added.constant is not None:
            return Dim.of(self.constant + added.constant)
        total = dict(self.terms)
        for monomial, coefficient in added.terms:
            total[monomial] = total.get(monomial, ZERO) + coefficient
        return Dim(total)

    def __sub__(self, other: Dim | int) -> Dim:
        subtracted = Dim.of(other)
        if self.constant is not None and subtracted.constant is not None:
            return Dim.of(self.constant - subtracted.constant)
        return self + subtracted * Fraction(-1)

    def __mul__(self, other: Dim | int | Fraction) -> Dim:
        factor = Dim.of(other)
        if self.constant is not None and factor.constant is not None:
            return Dim.of(self.constant * factor.constant)
        total: dict[Monomial, Fraction] = {}
        check_terms(len(self.terms) * len(factor.terms))
        for left, a in self.terms:
            for right, b in factor.terms:
                powers = dict(left)
                for name, power in right:
                    powers[name] = powers.get(name, 0) + power
                monomial = tuple(sorted(powers.items()))
                total[monomial] = total.get(monomial, ZERO) + a * b
        return Dim(total)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Dim) and self.terms == other.terms)

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[object, ...]:
        return Dim, (dict(self.terms),)

    def __repr__(self) -> str:
        return f"Dim({self.key!r})"

    def __str__(self) -> str:
        return self.key

    def _text(self) -> str:
        if not self.terms:
            return "0"
        parts = []
        for position, (monomial, coefficient) in enumerate(self.terms):
            sign = "-" if coefficient < 0 else "+"
            size = abs(coefficient)
            names = " ".join(name if power == 1 else f"{name}^{power}" for name, power in monomial)
            text = str(size) if not names else names if size == 1 else f"{size} {names}"
            if position == 0:
                parts.append(text if sign == "+" else f"-{text}")
            else:
                parts.append(f" {sign} {text}")
        return "".join(parts)

    @property
    def is_nonnegative(self) -> bool:
        """Whether this is known not to be negative, whatever its names are.

        >>> (Dim.of("n") + 1).is_nonnegative, (Dim.of("n") - 1).is_nonnegative
        (True, False)
        """
        return all(coefficient > 0 for _, coefficient in self.terms)

    def substitute(self, values: Mapping[str, Dim]) -> Dim:
        """Replace names by dimensions."""
        if not any(name in values for name in self.names):
            return self
        total = Dim({})
        for monomial, coefficient in self.terms:
            part = Dim({(): coefficient})
            for name, power in monomial:
                factor = values.get(name, None) or Dim.of(name)
                for _ in range(power):
                    part = part * factor
            total = total + part
        return total

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        """The integer for given sizes."""
        if self.constant is not None:
            return self.constant
        if self.name is not None and self.name in sizes:
            return int(sizes[self.name])
        total = ZERO
        for monomial, coefficient in self.terms:
            part = coefficient
            for name, power in monomial:
                if name not in sizes:
                    raise ShapeError(f"the size {name} is not known", hint=f"pass {name} by name")
                part *= Fraction(sizes[name]) ** power
            total += part
        if total.denominator != 1:
            raise ShapeError(
                f"the size {self} is not an integer for {dict(sizes)}", hint="pass arrays of other lengths"
            )
        return int(total)


Shape = tuple[Dim, ...]


def shape_text(shape: Shape) -> str:
    """``(m, n)`` as a reader writes it; ``scalar`` for order 0."""
    if not shape:
        return "scalar"
    if len(shape) == 1:
        return f"({shape[0]},)"
    return "(" + ", ".join(str(dim) for dim in shape) + ")"
