"""Relations that derivatives of any program satisfy, tried on random programs; no oracle is needed.

python -m tests.fuzz.relations --count 20000 --seed 1
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import matcalc as mc
from matcalc.derivation import Derivative
from matcalc.errors import MatcalcError
from matcalc.expression import Expr
from matcalc.notation.latex import to_latex
from matcalc.notation.text import to_text
from matcalc.notation.unicode import to_unicode
from matcalc.syntax.ast import (
    Add,
    Assign,
    Ast,
    Binary,
    Call,
    Declare,
    Define,
    Group,
    Index,
    IndexSum,
    Name,
    Num,
    Output,
    Program,
    Range,
    Transpose,
)
from matcalc.syntax.greek import spell
from tests import node_eval
from tests.oracle import Array
from tests.program_checks import _TimeoutError, limited, places, put, relative_error
from tests.random_programs import SIZES, Case, random_case, values_of

SECONDS = 4.0
SAME = 1e-8
STEP = 1e-3
DIFFERENCES = 1e-5
LARGEST = 2000
"""Entries of a derivative that is compared."""
NEW = "qq"
"""A name no program has."""


class Mismatch(NamedTuple):
    """Two arrays that should be equal."""

    relation: str
    text: str
    wrt: tuple[str, ...]
    error: float


class NotApplicableError(Exception):
    """The relation says nothing about this program."""


class Setting:
    """A random program with its types, its values and its derivative by the first variable."""

    def __init__(self, case: Case, rng: random.Random) -> None:
        self.case = case
        self.rng = rng
        self.expr = Expr(case.text)
        self.program = self.expr.program
        self.values: dict[str, Array] = values_of(case)
        self.types = dict(self.expr.vars)
        self.sizes: dict[str, int] = dict(SIZES)
        for name, symbol in self.expr.meaning.symbols.items():
            if name not in self.values or self.values[name].ndim != len(symbol.type.shape):
                raise NotApplicableError  # what is not declared was inferred as something else
            for dim, length in zip(symbol.type.shape, self.values[name].shape, strict=True):
                if dim.name is not None:
                    self.sizes[dim.name] = length
        self.x = spell(case.wrt[0])

    def evaluate(self, node: Any, values: Mapping[str, Array] | None = None) -> Array:
        with np.errstate(all="ignore"):
            known = self.values if values is None else values
            return np.asarray(node_eval.evaluate(node, known, self.sizes), dtype=float)

    def value(self, expr: Expr, values: Mapping[str, Array] | None = None) -> Array:
        return self.evaluate(expr.node, values)

    def slope(self, expr: Expr, *wrt: str, values: Mapping[str, Array] | None = None) -> Array:
        return self.evaluate(Derivative(expr, wrt or (self.x,), "gradient").raw, values)

    def rebuilt(self, program: Program, types: Mapping[str, str] | None = None) -> Expr:
        return Expr(to_text(program), self.types if types is None else types)

    def output(self) -> tuple[Sequence[Ast], Ast]:
        """The statements before the last one, and the expression that is the output."""
        *before, last = self.program.statements
        if not isinstance(last, Output | Assign):
            raise NotApplicableError
        return before, last.value

    def with_output(self, value: Ast, *extra: Ast) -> Expr:
        before, _ = self.output()
        return self.rebuilt(Program((*before, *extra, Output(value))))

    def array(self, shape: Sequence[int]) -> Array:
        return np.random.default_rng(self.rng.randrange(2**32)).normal(size=shape)


Relation = Callable[[Setting], "tuple[Array, Array, float]"]


# --- spellings -----------------------------------------------------------------------------------


def renamed(program: Program, names: Mapping[str, str], others: Collection[str] = ()) -> Program:
    """Variables under other names, also where they carry a subscript; the others keep theirs."""
    for path, node in list(places(program)):
        if isinstance(node, Name):
            base, mark, subscript = node.id.partition("_")
            if spell(node.id) in names:
                program = put(program, path, Name(names[spell(node.id)]))
            elif mark and spell(base) in names and spell(node.id) not in others:
                program = put(program, path, Name(f"{names[spell(base)]}_{subscript}"))
        elif isinstance(node, Declare):
            kept = tuple(names.get(spell(name), name) for name in node.names)
            program = put(program, path, dataclasses.replace(node, names=kept))
    return program


def without_declarations(program: Program) -> Program:
    return Program(tuple(s for s in program.statements if not isinstance(s, Declare)))


def renaming(at: Setting) -> tuple[Array, Array, float]:
    """Other names of the variables change nothing."""
    names = [name for name in at.types if name in at.values]
    new = {name: f"{NEW}{k}" for k, name in enumerate(names)}
    program = renamed(without_declarations(at.program), new)
    types = {new.get(name, name): text for name, text in at.types.items()}
    expr = Expr(to_text(program), types)
    values = {new[name]: at.values[name] for name in names}
    return at.slope(at.expr), at.slope(expr, new[at.x], values=values), SAME


def brackets(at: Setting) -> tuple[Array, Array, float]:
    """Brackets around what is one operand anyway change nothing."""
    *before, last = at.program.statements
    for _ in range(4):
        found = [
            (path, node)
            for path, node in places(last)
            if isinstance(node, Name | Num | Call) and path[-1] in ("left", "right", "arg")
        ]
        if found:
            path, node = at.rng.choice(found)
            last = put(last, path, Group(node))
    return at.slope(at.expr), at.slope(at.rebuilt(Program((*before, last)))), SAME


def naming(at: Setting) -> tuple[Array, Array, float]:
    """A subterm may have a name."""
    _, value = at.output()
    hidden = [path for path, node in places(value) if isinstance(node, IndexSum | Index | Range)]
    found = [
        (path, node)
        for path, node in places(value)
        if isinstance(node, Binary | Add | Transpose)
        and not any(path[: len(way)] == way for way in hidden)
        and any(isinstance(part, Name) and spell(part.id) in at.values for _, part in places(node))
        and "kwargs" not in path
    ]
    if not found or isinstance(value, IndexSum):
        raise NotApplicableError
    path, node = at.rng.choice(found)
    expr = at.with_output(put(value, path, Name(NEW)), Assign(Name(NEW), node))
    return at.slope(at.expr), at.slope(expr), SAME


def in_unicode(at: Setting) -> tuple[Array, Array, float]:
    """What the Unicode printer writes means the same."""
    return at.slope(at.expr), at.slope(Expr(to_unicode(at.program), at.types)), SAME


def in_latex(at: Setting) -> tuple[Array, Array, float]:
    """What the LaTeX printer writes means the same."""
    if any(isinstance(s, Define) for s in at.program.statements):
        raise NotApplicableError
    text = to_latex(without_declarations(at.program))
    return at.slope(at.expr), at.slope(Expr(text, at.types, syntax="latex")), SAME


# --- calculus ------------------------------------------------------------------------------------


def transposed(at: Setting) -> tuple[Array, Array, float]:
    """A scalar is its transpose."""
    if at.expr.shape:
        raise NotApplicableError
    return at.slope(at.expr), at.slope(at.with_output(Transpose(Group(at.output()[1])))), SAME


def adding_zero(at: Setting) -> tuple[Array, Array, float]:
    """``f + f - f`` is f."""
    _, value = at.output()
    whole = Group(value)
    return at.slope(at.expr), at.slope(at.with_output(Add(((1, whole), (1, whole), (-1, whole))))), SAME


def linearity(at: Setting) -> tuple[Array, Array, float]:
    """``d(2 f - 3 sin(f)) = (2 - 3 cos(f)) df``, entry by entry."""
    _, value = at.output()
    whole = Group(value)
    sine = Binary("*", Num(3), Call("sin", (whole,)))  # type: ignore[arg-type]
    expr = at.with_output(Add(((1, Binary("*", Num(2), whole)), (-1, sine))))  # type: ignore[arg-type]
    f, slope = at.value(at.expr), at.slope(at.expr)
    factor = (2 - 3 * np.cos(f)).reshape(f.shape + (1,) * (slope.ndim - f.ndim))
    return factor * slope, at.slope(expr), SAME


def homogeneous(at: Setting) -> tuple[Array, Array, float]:
    """Euler: of ``|x| f(x / |x|)`` the derivative along x is the value."""
    at.output()
    if not at.values[at.x].ndim:
        raise NotApplicableError  # a number over its size is 1
    length = Call("norm", (Name(at.x),))
    used = renamed(without_declarations(at.program), {at.x: NEW}, at.types)
    *before, last = used.statements
    scaled = Binary("*", length, Group(last.value))  # type: ignore[attr-defined]
    program = Program((Assign(Name(NEW), Binary("/", Name(at.x), length)), *before, Output(scaled)))
    expr = at.rebuilt(program)
    f, slope = at.value(expr), at.slope(expr)
    x = at.values[at.x]
    return f, np.tensordot(slope, x, x.ndim), SAME


def dot_test(at: Setting) -> tuple[Array, Array, float]:
    """``<u, J v> = <J^T u, v>`` of the compiled products."""
    given = {**at.sizes, **at.values}
    u, v = at.array(at.value(at.expr).shape), at.array(at.values[at.x].shape)
    if any(word in at.types[at.x] for word in ("symmetric", "spd", "psd", "skew", "diagonal", "lower", "upper")):
        raise NotApplicableError  # directions lie in the space of the variable
    forward, backward = mc.jvp(at.expr, at.x), mc.vjp(at.expr, at.x)
    Jv = forward(v, **{name: given[name] for name in forward.args if name in given})
    uJ = backward(u, **{name: given[name] for name in backward.args if name in given})
    one, other = np.sum(u * Jv), np.sum(uJ * v)
    scale = max(1.0, float(np.sum(np.abs(u * Jv))), float(np.sum(np.abs(uJ * v))))
    return np.asarray(one / scale), np.asarray(other / scale), SAME


def mixed_order(at: Setting) -> tuple[Array, Array, float]:
    """The order of mixed second derivatives does not matter."""
    others = [name for name in at.types if name in at.values and name != at.x and "integer" not in at.types[name]]
    others = [name for name in others if "orthogonal" not in at.types[name]]
    if not others:
        raise NotApplicableError
    y = at.rng.choice(others)
    f, x = at.value(at.expr), at.values[at.x]
    if f.size * x.size * at.values[y].size > LARGEST:
        raise NotApplicableError
    one, other = at.slope(at.expr, at.x, y), at.slope(at.expr, y, at.x)
    axes = list(range(f.ndim))
    last = [f.ndim + at.values[y].ndim + k for k in range(x.ndim)]
    middle = [f.ndim + k for k in range(at.values[y].ndim)]
    return one, np.transpose(other, [*axes, *last, *middle]), SAME


def of_size_one(at: Setting) -> tuple[Array, Array, float]:
    """With every size 1 it is the calculus of numbers: differences of the value."""
    if any(word in text for text in at.case.types.values() for word in ("orthogonal", "skew")):
        raise NotApplicableError  # 1 and 0 are the only such numbers
    for _, node in places(at.program):
        if isinstance(node, Index) and any(isinstance(item, Num) and item.value > 1 for item in node.items):
            raise NotApplicableError  # there is no second entry
    at.sizes = dict.fromkeys(at.sizes, 1)
    at.values = {name: array[(slice(0, 1),) * array.ndim] for name, array in at.values.items()}
    shapes = [symbol.type.shape for symbol in at.expr.meaning.symbols.values()]
    try:
        lengths = {dim.evaluate(at.sizes) for shape in shapes for dim in shape}
        slope = at.slope(at.expr)
    except (MatcalcError, ValueError, IndexError):
        raise NotApplicableError from None  # an entry or a range that an array of size 1 does not have
    if lengths - {1}:
        raise NotApplicableError

    def along(step: float) -> Array:
        moved = {**at.values, at.x: at.values[at.x] + step}
        return at.value(at.expr, moved)

    coarse, fine = ((along(h) - along(-h)) / (2 * h) for h in (STEP, STEP / 2))
    expected = (4 * fine - coarse) / 3
    if relative_error(coarse, fine) > 1e-3:
        raise NotApplicableError  # a kink or a pole is near
    return expected.reshape(slope.shape), slope, DIFFERENCES


RELATIONS: Mapping[str, Relation] = {
    "renaming": renaming,
    "brackets": brackets,
    "naming a subterm": naming,
    "unicode": in_unicode,
    "latex": in_latex,
    "transposing a scalar": transposed,
    "adding zero": adding_zero,
    "linearity": linearity,
    "homogeneous": homogeneous,
    "dot test": dot_test,
    "order of derivatives": mixed_order,
    "size 1": of_size_one,
}


def try_relation(name: str, seed: int, number: int) -> str | Mismatch:
    """``ok``, ``not applicable``, ``refused: …``, ``slow``, ``crash: …``, or what differs.

    >>> try_relation("renaming", 0, 0)
    'ok'
    """
    case = random_case(seed, number)
    rng = random.Random(f"{name}/{seed}/{number}")
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with limited(SECONDS):
                try:
                    at = Setting(case, rng)
                except MatcalcError:
                    return "not applicable"  # the program as it stands is refused
                one, other, tolerance = RELATIONS[name](at)
        except NotApplicableError:
            return "not applicable"
        except _TimeoutError:
            return "slow"
        except MatcalcError as error:
            return f"refused: {type(error).__name__}: {error.message}"
        except Exception:
            return f"crash: {case.name} {case.text!r} by {case.wrt[0]}\n{traceback.format_exc()}"
    if not np.all(np.isfinite(one)) or np.max(np.abs(one), initial=0) > 1e6:
        return "not applicable"
    error = relative_error(np.asarray(other), np.asarray(one))
    return "ok" if error <= tolerance else Mismatch(name, case.text, case.wrt, error)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="programs; each is tried on one relation in turn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--only", choices=tuple(RELATIONS), help="this relation alone")
    parser.add_argument("--out", type=Path, help="the file that the report is written to")
    options = parser.parse_args()
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    found: list[str] = []
    names = [options.only] if options.only else list(RELATIONS)
    for number in range(options.start, options.start + options.count):
        name = names[number % len(names)]
        outcome = try_relation(name, options.seed, number)
        kind = "mismatch" if isinstance(outcome, Mismatch) else outcome.partition(":")[0]
        counts[name][kind] += 1
        if kind in ("mismatch", "crash", "refused"):
            found.append(f"{options.seed}/{number} {name}: {outcome}")
        if (number + 1) % 500 == 0 or number + 1 == options.start + options.count:
            total = sum((counter for counter in counts.values()), Counter[str]())
            lines = [f"{sum(total.values())} programs, seed {options.seed}: {dict(total)}"]
            lines += [f"  {name}: {dict(counter)}" for name, counter in counts.items()]
            report = "\n".join([*lines, "", *found])
            if options.out is not None:
                options.out.write_text(report + "\n", encoding="utf-8")
    print(report)


if __name__ == "__main__":
    main()
