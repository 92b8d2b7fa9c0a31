"""Dimensions: exact polynomials in named sizes (``n``, ``784``, ``2 n``, ``n (n + 1)/2``)."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from ..errors import ShapeError
from ..limits import check_terms, tick

Monomial = tuple[tuple[str, int], ...]


class Dim:
    """An immutable polynomial with rational coefficients in named sizes.

    >>> str(Dim.of("n") * 2 + 1)
    '2 n + 1'
    """

    __slots__ = ("_hash", "key", "terms")

    terms: tuple[tuple[Monomial, Fraction], ...]
    key: str

    def __init__(self, terms: Mapping[Monomial, Fraction]) -> None:
        tick(len(terms))
        kept = sorted((m, c) for m, c in terms.items() if c)
        # longer monomials first, then by name: the constant comes last, as on paper
        kept.sort(key=lambda item: (-sum(power for _, power in item[0]), item[0]))
        self.terms = tuple(kept)
        self.key = self._text()
        self._hash = hash(self.terms)

    @staticmethod
    def of(value: Dim | str | int | Fraction) -> Dim:
        """The dimension for a name or a number."""
        if isinstance(value, Dim):
            return value
        if isinstance(value, str):
            return Dim({((value, 1),): Fraction(1)})
        return Dim({(): Fraction(value)})

    @property
    def constant(self) -> int | None:
        """The integer this is, or None when it has names in it."""
        if not self.terms:
            return 0
        if len(self.terms) == 1 and self.terms[0][0] == ():
            value = self.terms[0][1]
            return int(value) if value.denominator == 1 else None
        return None

    @property
    def name(self) -> str | None:
        """The single name this is, or None."""
        if len(self.terms) == 1 and self.terms[0][1] == 1:
            monomial = self.terms[0][0]
            if len(monomial) == 1 and monomial[0][1] == 1:
                return monomial[0][0]
        return None

    @property
    def names(self) -> tuple[str, ...]:
        """All names in it, sorted."""
        return tuple(sorted({name for monomial, _ in self.terms for name, _ in monomial}))

    def __add__(self, other: Dim | int) -> Dim:
        total = dict(self.terms)
        for monomial, coefficient in Dim.of(other).terms:
            total[monomial] = total.get(monomial, Fraction(0)) + coefficient
        return Dim(total)

    def __sub__(self, other: Dim | int) -> Dim:
        return self + Dim.of(other) * Fraction(-1)

    def __mul__(self, other: Dim | int | Fraction) -> Dim:
        total: dict[Monomial, Fraction] = {}
        factor = Dim.of(other)
        check_terms(len(self.terms) * len(factor.terms))
        for left, a in self.terms:
            for right, b in factor.terms:
                powers = dict(left)
                for name, power in right:
                    powers[name] = powers.get(name, 0) + power
                monomial = tuple(sorted(powers.items()))
                total[monomial] = total.get(monomial, Fraction(0)) + a * b
        return Dim(total)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dim) and self.terms == other.terms

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
        total = Fraction(0)
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
