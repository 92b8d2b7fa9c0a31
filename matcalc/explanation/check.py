"""Every line of a derivation against numbers: its printed right side is read again and evaluated at random points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Any

import numpy as np

from ..elaborate import elaborate
from ..expr.dims import Shape
from ..expr.nodes import Node
from ..expression import read
from ..notation.precedence import walk
from ..notation.text import to_text
from ..syntax.ast import Ast, Index, Name, Output, Program
from ..verify.slopes import distance
from .numbers import Array, Point, points, slope_of, value_of
from .outline import Outline
from .steps import Claim, Line
from .trees import replaced, type_of

TOLERANCE = 1e-6
TRIALS = 2
MOST_DIGITS = 12
"""More are not claimed: the last ones differ between machines."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of the check of all lines.

    Parameters
    ----------
    ok: whether every line agrees with the numbers.
    max_error: the largest relative error.
    lines: the number of lines that were checked.
    trials: the number of random points.
    message: one sentence.
    failed: the position of the first line that does not agree.
    """

    ok: bool
    max_error: float
    lines: int
    trials: int
    message: str
    failed: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "ok": self.ok,
            "max_error": self.max_error,
            "lines": self.lines,
            "trials": self.trials,
            "message": self.message,
        }


def verify(lines: Sequence[Line], plan: Outline, seed: int = 0) -> Verification:
    """Confront every line with numbers at random points.

    A value is compared with the function it names, a derivative in a random direction and a differential with numerical
    differences, the answer with the compiled derivative as well.

    Parameters
    ----------
    lines: in order; later ones may use the names of earlier ones.
    plan: the program they are about.
    seed: of the random points.
    """
    worst, trials = 0.0, 0
    confirmed: set[int] = set()
    for point in points(plan.derivative, TRIALS, seed):
        trials += 1
        for position, error in enumerate(_errors(lines, plan, point, np.random.default_rng(seed + trials))):
            if error is None:
                continue
            confirmed.add(position)
            worst = max(worst, error)
            if not error <= TOLERANCE:
                message = f"line {position + 1} does NOT agree with numerical derivatives: relative error {error:.1g}"
                return Verification(False, error, len(lines), trials, message, position)
    if len(confirmed) < len(lines):
        open_lines = [str(position + 1) for position in range(len(lines)) if position not in confirmed]
        message = f"not verified: line {', '.join(open_lines)}, where numerical derivatives do not settle"
        return Verification(False, worst, len(lines), trials, message)
    digits = MOST_DIGITS if worst < 10.0**-MOST_DIGITS else int(-log10(worst))
    message = f"every line verified at {trials} random points to {digits} digits"
    return Verification(True, worst, len(lines), trials, message)


def _errors(lines: Sequence[Line], plan: Outline, point: Point, random: np.random.Generator) -> list[float | None]:
    """The relative error of every line; None where the numerical derivative is not known well enough."""
    types = dict(plan.derivative.vars)
    arrays: dict[str, Any] = dict(point.arrays)
    for part in plan.parts:
        arrays[part.name] = value_of(part.node, arrays, point.sizes)
        types[part.name] = type_of(part.node.shape)
    for name, variable in plan.changes.items():
        whole = plan.wholes.get(name, plan.wrt)
        change = point.direction if name == plan.wrt.name else _slope(whole, arrays, point, plan.wrt.name)
        if change is None:
            return [None] * len(lines)
        arrays[variable.name] = change
        types[variable.name] = type_of(variable.shape)
    errors: list[float | None] = []
    for line in lines:
        shape = claimed_shape(line.claim)
        known = plan.derivative.vars if line.claim.kind == "answer" else types
        got = _value(line, known, arrays, point.sizes, shape)
        errors.append(_error(line.claim, got, arrays, point, random))
        if line.left.alias:
            arrays[line.left.alias] = got
            types[line.left.alias] = type_of(shape)
    return errors


def claimed_shape(claim: Claim) -> Shape:
    """The shape that the right side of a line has to have."""
    if claim.kind == "derivative" and claim.by is not None:
        return claim.function.shape + claim.by.shape
    if claim.kind == "vec":
        total = claim.function.shape[0]
        for dim in claim.function.shape[1:]:
            total = total * dim
        return (total,)
    return claim.function.shape


def _slope(
    function: Node, arrays: Mapping[str, Any], point: Point, name: str, direction: Array | None = None
) -> Array | None:
    return slope_of(function, arrays, point.sizes, name, point.direction if direction is None else direction)


def _value(
    line: Line, types: Mapping[str, str], arrays: Mapping[str, Any], sizes: Mapping[str, int], shape: Shape
) -> Array:
    """The value of the printed right side, read again."""
    types = dict(types)
    tree, deltas = with_identities(line, types, sizes)
    whole = tuple(dim.evaluate(sizes) for dim in shape)
    if not line.left.entries:
        program = read(to_text(tree if isinstance(tree, Program) else Program((Output(tree),))))
        return np.asarray(value_of(elaborate(program, types, shape=shape).node, {**arrays, **deltas}, sizes))
    inside = {part.id for part in walk(tree) if isinstance(part, Name)}
    carried = [place for place, letter in enumerate(line.left.entries) if letter in inside]
    letters = "".join(line.left.entries[place] for place in carried)
    text = f"entry_{{{letters}}} = {to_text(tree)}" if letters else to_text(tree)
    node = elaborate(read(text), types, shape=tuple(shape[place] for place in carried)).node
    found = value_of(node, {**arrays, **deltas}, sizes)
    # an entry that does not depend on an index is the same along that axis
    return np.broadcast_to(np.expand_dims(found, [k for k in range(len(whole)) if k not in carried]), whole)


def with_identities(line: Line, types: dict[str, str], sizes: Mapping[str, int]) -> tuple[Ast, dict[str, Array]]:
    """The right side with Kronecker deltas as entries of identity matrices, and these."""
    found: dict[str, Array] = {}
    names: dict[bytes, str] = {}

    def identity(node: Ast) -> Ast | None:
        if not (isinstance(node, Index) and isinstance(node.base, Name) and node.base.id == line.delta):
            return None
        letter = node.items[0]
        assert isinstance(letter, Name)
        dim = line.ranges[letter.id]
        name = names.setdefault(dim.key.encode(), f"identity{len(names) + 1}")
        types[name] = type_of((dim, dim))
        found[name] = np.eye(dim.evaluate(sizes))
        return Index(Name(name), node.items)

    return replaced(line.tree, identity), found


def _error(
    claim: Claim, got: Array, arrays: Mapping[str, Any], point: Point, random: np.random.Generator
) -> float | None:
    if claim.kind in ("value", "answer"):
        return distance(got, value_of(claim.function, arrays, point.sizes), 1.0)
    assert claim.by is not None
    if claim.kind in ("differential", "vec"):
        slope = _slope(claim.function, arrays, point, claim.by.name)
        if slope is None:
            return None
        return distance(got, slope if claim.kind == "differential" else slope.ravel(order="F"), 1.0)
    own = claim.by.name in point.arrays
    direction = point.direction if own else np.asarray(random.standard_normal(np.shape(arrays[claim.by.name])))
    slope = _slope(claim.function, arrays, point, claim.by.name, direction)
    if slope is None:
        return None
    if got.ndim < direction.ndim:
        return float("inf")
    return distance(np.tensordot(got, direction, direction.ndim) if direction.ndim else got * direction, slope, 1.0)
