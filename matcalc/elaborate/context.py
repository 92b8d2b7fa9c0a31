"""Unification of dimensions, and the record of one attempt at typing a program.

A placeholder is a dimension whose name starts with ``?``. Anonymous ones are numbered; ``?N`` stands for a size that
the text names only in a bound or as an argument (``sum_{i=1}^N``) and keeps that name when nothing else fixes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NoReturn

from ..errors import MatcalcError, ShapeError, Span
from ..expr.dims import Dim
from ..expr.typed import Type
from ..ops.signature import shorter
from ..syntax.ast import NOWHERE, Ast, Name
from .values import IndexVariable, Value


@dataclass(frozen=True, slots=True)
class Origin:
    """What a placeholder is the size of (``I``, ``the index i``), and where; empty for an undeclared variable."""

    what: str
    span: Span
    hint: str = ""


def is_open(dim: Dim) -> bool:
    """Whether a placeholder occurs in the dimension."""
    return "?" in dim.key


class Dimensions:
    """Placeholders and what is known of them, with a trail so that an attempt can be taken back."""

    __slots__ = ("_counter", "bindings", "origins", "postponed", "trail")

    def __init__(self) -> None:
        self.bindings: dict[str, Dim] = {}
        self.origins: dict[str, Origin] = {}
        self.postponed: list[tuple[Dim, Dim, Span]] = []
        self.trail: list[str] = []
        self._counter = 0

    def fresh(self, origin: Origin | None = None) -> Dim:
        """A new anonymous placeholder."""
        name = f"?{self._counter}"
        self._counter += 1
        if origin is not None:
            self.origins[name] = origin
        return Dim.of(name)

    def resolve(self, dim: Dim) -> Dim:
        """The dimension with every placeholder that is known replaced."""
        while is_open(dim):
            name = dim.name
            if name is not None:
                known = self.bindings.get(name)
                if known is None and name.startswith("min("):
                    return self.resolve_shorter(dim, name)
                if known is None:
                    return dim
                dim = known
                continue
            values = {name: self.bindings[name] for name in dim.names if name in self.bindings}
            if not values:
                return dim
            dim = dim.substitute(values)
        return dim

    def resolve_shorter(self, dim: Dim, name: str) -> Dim:
        """``min(?0, n)`` once the placeholders in it are known."""
        sides = name[4:-1].split(", ")
        if len(sides) != 2 or "(" in name[4:-1]:
            return dim
        return shorter(self.resolve(read_dim(sides[0])), self.resolve(read_dim(sides[1])))

    def unify(self, left: Dim, right: Dim, span: Span = NOWHERE) -> bool:
        """Make two dimensions equal; False when they cannot be. A product of unknowns waits until it is known."""
        left, right = self.resolve(left), self.resolve(right)
        if left == right:
            return True
        if not is_open(left) and not is_open(right):
            return False
        a, b = left.name, right.name
        if a is not None and b is not None and "?" in (a[0], b[0]):
            # the common case, without arithmetic: two names, at least one a placeholder
            bind_left = not b.startswith("?") or (a.startswith("?") and _rank(a) > _rank(b))
            first = a if bind_left else b
            if _occurs_in_minimum(first, right if bind_left else left):
                return False
            self.bindings[first] = right if bind_left else left
            self.trail.append(first)
            return True
        difference = _reduced(left - right)
        solvable = _solvable(difference)
        if solvable is None:
            if not any(name.startswith("?") for name in difference.names):
                return False
            self.postponed.append((left, right, span))
            return True
        name, coefficient = solvable
        if _occurs_in_minimum(name, difference):
            return False
        rest = difference - Dim.of(name) * coefficient
        value = rest * (Fraction(-1) / coefficient)
        constant = value.terms[0][1] if len(value.terms) == 1 and value.terms[0][0] == () else None
        if not value.terms or (constant is not None and (constant < 0 or constant.denominator != 1)):
            return False
        self.bindings[name] = value
        self.trail.append(name)
        return True

    def settle(self) -> tuple[Dim, Dim, Span] | None:
        """Look again at what had to wait; the pair that cannot be equal, if there is one."""
        for _ in range(len(self.postponed) + 1):
            waiting, self.postponed = self.postponed, []
            if not waiting:
                return None
            for left, right, span in waiting:
                if not self.unify(left, right, span):
                    return left, right, span
            if len(self.postponed) == len(waiting):
                break
        return None

    def mark(self) -> tuple[int, int]:
        """A point that `rollback` returns to."""
        return len(self.trail), len(self.postponed)

    def rollback(self, mark: tuple[int, int]) -> None:
        """Forget every binding made since the mark."""
        while len(self.trail) > mark[0]:
            del self.bindings[self.trail.pop()]
        del self.postponed[mark[1] :]


def _reduced(difference: Dim) -> Dim:
    """A difference without the sizes that all its terms share: ``?0 n - 2 n`` is zero where ``?0 - 2`` is."""
    monomials = [dict(monomial) for monomial, _ in difference.terms]
    if len(monomials) < 2:
        return difference
    shared = {
        name: min(monomial.get(name, 0) for monomial in monomials) for name in monomials[0] if not name.startswith("?")
    }
    if not any(shared.values()):
        return difference
    return Dim(
        {
            tuple((name, power - shared.get(name, 0)) for name, power in monomial if power > shared.get(name, 0)): count
            for monomial, count in difference.terms
        }
    )


def read_dim(text: str) -> Dim:
    """A dimension from how it is written, ``2 n^2 - 1/2 m + 1``."""
    total = Dim.of(0)
    for sign, words in re.findall(r"([+-]?) ?([^+-]+)", text):
        term = Dim.of(-1 if sign == "-" else 1)
        for word in words.split():
            name, _, power = word.partition("^")
            for _ in range(int(power or 1)):
                term = term * (Fraction(name) if name[0].isdigit() else Dim.of(name))
        total = total + term
    return total


def _occurs_in_minimum(placeholder: str, dim: Dim) -> bool:
    """Whether the placeholder stands inside a ``min(m, n)``, which no equation is solved for."""
    return any(placeholder in re.findall(r"\?\w+", name) for name in dim.names if name.startswith("min("))


def _rank(name: str) -> tuple[int, int, str]:
    """Which placeholder to bind first: anonymous before named, younger before older."""
    number = name[1:]
    return (1, int(number), name) if number.isdigit() else (0, 0, name)


def _solvable(difference: Dim) -> tuple[str, Fraction] | None:
    """The placeholder to solve for: one that occurs linearly and in one term only.

    One that is a sum of the others goes before one that is a difference: ``n = m + k`` and not ``k = n - m``.
    """
    seen: dict[str, int] = {}
    for monomial, _ in difference.terms:
        for name, _ in monomial:
            seen[name] = seen.get(name, 0) + 1
    best: tuple[tuple[bool, tuple[int, int, str]], str, Fraction] | None = None
    for monomial, coefficient in difference.terms:
        if len(monomial) != 1 or monomial[0][1] != 1:
            continue
        name = monomial[0][0]
        if not name.startswith("?") or seen[name] != 1:
            continue
        others = [count for other, count in difference.terms if other != monomial]
        is_sum = all((count > 0) != (coefficient > 0) for count in others)
        candidate = ((is_sum, _rank(name)), name, coefficient)
        if best is None or candidate[0] > best[0]:
            best = candidate
    return None if best is None else (best[1], best[2])


@dataclass(frozen=True, slots=True)
class Doubt:
    """A reading of undeclared names that is legal but unlikely, with its cost and the operands it hangs on."""

    cost: float
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Access:
    """An axis of size ``size`` is read from ``first`` to ``last``; a single fixed place has ``fixed`` set."""

    size: Dim
    first: Dim
    last: Dim
    fixed: bool
    what: str
    runner: str
    span: Span


@dataclass(slots=True)
class Session:
    """Everything that one attempt at typing a program collects."""

    source: str
    kinds: dict[str, str]
    dimensions: Dimensions = field(default_factory=Dimensions)
    notes: dict[str, None] = field(default_factory=dict)
    doubts: list[Doubt] = field(default_factory=list)
    accesses: list[Access] = field(default_factory=list)
    indices: list[IndexVariable] = field(default_factory=list)
    variables: dict[str, Value] = field(default_factory=dict)
    guilty: tuple[Value, ...] = ()
    ambiguous: bool = False
    bars: dict[int, str] = field(default_factory=dict)
    assigned: frozenset[str] = frozenset()

    def at(self, node: Ast, *values: Value, span: Span | None = None) -> Site:
        """The place of a syntax node with the operands at hand."""
        return Site(self, node.span if span is None else span, values)

    def index(self, name: str, first: Dim, size: Dim, span: Span) -> IndexVariable:
        """A new bound index."""
        variable = IndexVariable(name, len(self.indices), first, size, span)
        self.indices.append(variable)
        return variable

    def doubt(self, cost: float, *values: Value) -> None:
        """Say that a reading is unlikely, if undeclared names have a part in it."""
        if any(value.open for value in values):
            self.doubts.append(Doubt(cost, values))

    def text(self, node: Ast) -> str:
        """How the reader wrote a piece of syntax; empty when that is unknown or long."""
        if node.span == NOWHERE or not self.source:
            return node.id if isinstance(node, Name) else ""
        written = self.source[node.span.start : node.span.end].strip()
        return written if len(written) <= 40 and "\n" not in written else ""

    def dim_text(self, dim: Dim) -> str:
        """A dimension in the reader's names; unknown sizes get the names they would end up with."""
        dim = self.dimensions.resolve(dim)
        if not is_open(dim):
            return str(dim)
        return str(dim.substitute(self.open_names()))

    def shape_text(self, value_type: Type) -> str:
        """``n×d``, ``n``, ``scalar``."""
        if not value_type.shape:
            return "scalar"
        sides = [self.dim_text(dim) for dim in value_type.shape]
        sides = [f"({side})" if " " in side and len(sides) > 1 else side for side in sides]
        return "1×" + sides[0] if value_type.kind == "row" else "×".join(sides)

    def describe(self, node: Ast, value: Value) -> str:
        """``X (n×d)``."""
        shape = self.shape_text(value.type)
        text = self.text(node) or {"column": "a vector", "row": "a row"}.get(value.type.kind, f"a {value.type.kind}")
        return f"{text} ({shape})"

    def readable(self, text: str) -> str:
        """A text with its placeholders replaced by the names they would end up with."""
        if "?" not in text:
            return text
        names = self.open_names()

        def shown(match: re.Match[str]) -> str:
            return self.dim_text(self.dimensions.resolve(Dim.of(match[0])).substitute(names)).lstrip("?")

        return re.sub(r"\?\w+", shown, text)

    def open_names(self) -> dict[str, Dim]:
        """Readable names for the placeholders of the variables, in order of their appearance."""
        shapes = [tuple(map(self.dimensions.resolve, value.type.shape)) for value in self.variables.values()]
        return name_placeholders(shapes, taken_names(self, shapes))


def taken_names(session: Session, shapes: Sequence[tuple[Dim, ...]]) -> set[str]:
    """The names no size may get: those of variables, intermediates, indices and declared sizes."""
    taken = set(session.variables) | session.assigned | {index.name for index in session.indices}
    for shape in shapes:
        for dim in shape:
            taken |= {name for name in dim.names if not name.startswith("?")}
    return taken


SIZE_NAMES = ("n", "m", "p", "q", "r", "k", "l", "d", "s", "t")


def name_placeholders(shapes: Sequence[tuple[Dim, ...]], taken: set[str]) -> dict[str, Dim]:
    """A name for each placeholder in the shapes, in order: vectors n, m, p …, a matrix (m, n).

    >>> {key: str(dim) for key, dim in name_placeholders([(Dim.of("?0"), Dim.of("?1"))], set()).items()}
    {'?0': 'm', '?1': 'n'}
    """
    found: dict[str, Dim] = {}
    used = set(taken)

    def named(placeholder: str) -> bool:
        wanted = placeholder[1:]
        if wanted.isdigit() or wanted in used:
            return False
        found[placeholder] = Dim.of(wanted)
        used.add(wanted)
        return True

    def supply() -> str:
        for name in SIZE_NAMES:
            if name not in used:
                used.add(name)
                return name
        count = 1
        while f"n_{count}" in used:
            count += 1
        used.add(f"n_{count}")
        return f"n_{count}"

    everything = [name for shape in shapes for dim in shape for name in dim.names if name.startswith("?")]
    for name in everything:
        if name not in found:
            named(name)
    for shape in shapes:
        fresh: list[str] = []
        for dim in shape:
            for name in dim.names:
                if name.startswith("?") and name not in found and name not in fresh:
                    fresh.append(name)
        names = [supply() for _ in fresh]
        if len(names) == 2:
            # on paper a matrix is m×n, a second one p×q
            names.sort()
        found.update((placeholder, Dim.of(name)) for placeholder, name in zip(fresh, names, strict=True))
    return found


class Site:
    """The typing context of one expression: where it is and which operands it has."""

    __slots__ = ("session", "span", "values")

    def __init__(self, session: Session, span: Span, values: Sequence[Value] = ()) -> None:
        self.session = session
        self.span = span
        self.values = tuple(values)

    def unify(self, left: Dim, right: Dim) -> None:
        """Make two dimensions equal, or raise `ShapeError` in the reader's names."""
        if not self.session.dimensions.unify(left, right, self.span):
            shown = self.session.dim_text(left), self.session.dim_text(right)
            self.fail(f"the sizes {shown[0]} and {shown[1]} differ")

    def resolve(self, dim: Dim) -> Dim:
        """The dimension with every placeholder that is known by now replaced."""
        return self.session.dimensions.resolve(dim)

    def fresh(self) -> Dim:
        """A new placeholder whose size has to follow from the context."""
        return self.session.dimensions.fresh(Origin("this", self.span, "write its size"))

    def fail(self, message: str, hint: str | None = None) -> NoReturn:
        """Raise `ShapeError` at this expression."""
        self.refuse(ShapeError(self.session.readable(message), span=self.span, hint=hint))

    def refuse(self, error: MatcalcError) -> NoReturn:
        """Raise an error, on account of the operands at hand."""
        self.session.guilty = self.values
        if error.span is None:
            error.span = self.span
        raise error

    def note(self, message: str) -> None:
        """Tell the reader which of two readings was taken."""
        self.session.notes[message] = None
