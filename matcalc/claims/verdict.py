"""A reader's own derivative against the right one: the verdict, the fault, a counterexample."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import Parameter, signature
from typing import Any, NamedTuple

import numpy as np

from ..api import derive
from ..collection import paused_collection
from ..conditions import Demand, conditions, demands
from ..conditions.demand import EVERYWHERE_NONZERO, INVERTIBLE, NONZERO
from ..derivation import Derivative
from ..elaborate import type_text
from ..errors import MatcalcError, UsageError, require_seed
from ..expr.build import trace, variables
from ..expr.dims import Dim, shape_text
from ..expr.nodes import Call, Map, Node, Variable, postorder
from ..expr.typed import Type
from ..expression import Expr, as_expr
from ..layout import arrange
from ..limits import Limits, bounded, chosen
from ..notation.matrices import to_ast
from ..notation.text import to_text
from ..ops.apply import call
from ..ops.registry import OPERATIONS
from ..syntax.greek import as_keyword, spell_keyword
from ..verify.domain import judge
from .assumptions import assumptions_that_help
from .counterexample import small_counterexample
from .diagnose import LATE, LATE_PAIRS, PAIRS, Diagnosis
from .expand import equal
from .faults import fault
from .points import FLOOR, NOTHING, UNDEFINED, Array, Assumption, Point, Values, difference, draw_point
from .problem import AGREEMENT, DISAGREEMENT, Problem
from .reading import Reading, read_claim
from .report import ClaimReport, Counterexample, Difference, Fault

POINTS = 4
MOST_ENTRIES = 8
#: Conditions of a claim that fail only on a set without volume.
ALMOST_EVERYWHERE = frozenset({INVERTIBLE, NONZERO, EVERYWHERE_NONZERO})
MOST_SCALARS = 30

Claim = str | Expr | Callable[..., Any] | Any


def check(
    text: str | Expr,
    wrt: str | tuple[str, ...] | None = None,
    claim: Claim = None,
    vars: Mapping[str, str] | str | None = None,  # noqa: A002
    layout: str = "gradient",
    order: int | None = None,
    at: Mapping[str, Any] | None = None,
    seed: int = 0,
    syntax: str = "auto",
    *,
    timeout: float | None = None,
    limits: Limits | None = None,
) -> ClaimReport:
    """Compare your own derivative with the right one, and say how it differs.

    >>> import matcalc as mc
    >>> report = mc.check("x^T A x", "x", claim="2 A x")
    >>> report.ok, report.right_if, report.formula
    (False, ('A is symmetric',), '(A + A^T) x')

    Parameters
    ----------
    text: the expression, or an `Expr`; LaTeX may contain the claim, behind an equals sign.
    wrt: the variable; a tuple of two for a mixed second derivative.
    claim: what you found: a formula in the names of the expression and its intermediates, a function that takes the
        variables by name, or with ``at`` an array.
    vars: declared types by name, or declarations as text; the rest is inferred.
    layout: the layout of the claim: ``gradient``, ``numerator``, ``denominator``, ``vec`` or ``vec-row``.
    order: 1 or 2; by default what the text asks for, else 1.
    at: arrays by name, at which an array was computed.
    seed: of the random points.
    syntax: of the expression and the claim: ``text``, ``latex``, or ``auto`` for what they look like.
    timeout, limits: as for `derive`.

    Raises
    ------
    ParseError: the expression or the claim does not follow the grammar.
    UnknownName: the claim names what the expression does not have.
    UsageError: there is no claim, or an array without ``at``.
    """
    require_seed(seed)
    allowed = chosen(text.limits if limits is None and isinstance(text, Expr) else limits, timeout)
    with bounded(allowed):
        return _compared(as_expr(text, vars, syntax, allowed), wrt, claim, layout, order, at, seed, syntax)


def _compared(
    expr: Expr,
    wrt: str | tuple[str, ...] | None,
    claim: Claim,
    layout: str,
    order: int | None,
    at: Mapping[str, Any] | None,
    seed: int,
    syntax: str,
) -> ClaimReport:
    """The report on a claim about an expression."""
    if claim is None and expr.request is not None and expr.request.claim is not None:
        claim = to_text(expr.request.claim)
    if claim is None:
        raise UsageError("there is no claim to check", hint='claim="2 A x"')
    with paused_collection():
        derivative = derive(expr, wrt, None, order, layout)
        if isinstance(claim, Expr):
            claim = claim.formula
        if isinstance(claim, str):
            reading = read_claim(claim, expr, derivative.node.shape, syntax)
            subject = _Subject(derivative, reading, None, claim)
        elif callable(claim):
            subject = _Subject(derivative, None, claim, getattr(claim, "__name__", "a function"))
        else:
            subject = _Subject(derivative, None, _constant_claim(claim, at), "an array")
        with warnings.catch_warnings():
            # SciPy warns of matrices at which the claim, or what explains it, is not defined
            warnings.simplefilter("ignore")
            return _Check(subject, at, seed).report()


class _Subject(NamedTuple):
    """What is checked: a claim as text or as a function."""

    derivative: Derivative
    reading: Reading | None
    function: Callable[..., Any] | None
    shown: str


def _constant_claim(claim: Any, at: Mapping[str, Any] | None) -> Callable[..., Any]:
    if at is None:
        raise UsageError(
            "an array can be checked only where it was computed",
            hint='at={"A": A, "x": x} with the arrays, or give a formula',
        )
    try:
        array = np.asarray(claim, dtype=float)
    except (TypeError, ValueError):
        raise UsageError(
            f"a claim is a formula, a function or an array, not {type(claim).__name__}", hint='claim="2 A x"'
        ) from None
    return lambda **_: array


class _Check:
    """One check: the points, the values there and what follows from them."""

    def __init__(self, subject: _Subject, at: Mapping[str, Any] | None, seed: int) -> None:
        self.derivative, self.reading, self.function, self.shown = subject
        self.expr = self.derivative.function
        self.seed = seed
        self.random = np.random.default_rng(seed)
        self.stated = tuple(demands(self.expr, [self.derivative.node]))
        nodes = [self.derivative.node]
        self.granted: tuple[Demand, ...] = ()
        self.node = None if self.reading is None else self.reading.node
        if self.node is not None:
            nodes.append(self.node)
            # what holds almost everywhere is granted to the claim: its own divisors and inverses
            own = demands(self.expr, [self.derivative.node, self.node])
            self.granted = tuple(demand for demand in own if demand.template in ALMOST_EVERYWHERE)
        self.values = Values(self.expr, nodes)
        self.given = None if at is None else _given_point(self.derivative, at)
        self.notes = (*self.derivative.notes, *(self.reading.notes if self.reading is not None else ()))

    # --- values ----------------------------------------------------------------------------------

    def both(self, point: Point) -> tuple[Array | None, Array]:
        """The claim and the derivative at a point; None for a claim whose shapes do not fit."""
        found = self.values.at(point)
        if self.function is not None:
            return _called(self.function, self.expr, point), found[0]
        return (found[1] if self.node is not None else None), found[0]

    def finite(self, point: Point) -> bool:
        """Whether the derivative is finite at a point."""
        return bool(np.all(np.isfinite(self.values.at(point)[0])))

    def allowed(self, point: Point) -> bool:
        """Whether a point is well within the conditions of the derivative."""
        try:
            return judge(self.stated, point.arrays, point.sizes).clear
        except (MatcalcError, np.linalg.LinAlgError):
            return False

    def agree(self, point: Point) -> bool:
        yours, right = self.both(point)
        if yours is None or not np.any(np.abs(right) > FLOOR):
            return False  # where the derivative vanishes, agreement says little
        return difference(yours, right) <= 1e2 * AGREEMENT

    # --- the verdict -----------------------------------------------------------------------------

    def report(self) -> ClaimReport:
        if self.node is not None and self.given is None and equal(self.node, self.derivative.node):
            faults = self.orientation()
            if not faults:
                return self.right(True, (), 0.0)
        points, errors = self.compare()
        if not points:
            return self.undecided("no random point was found at which the derivative is defined", ())
        if self.node is None and self.function is None:
            return self.wrong(points, malformed=True)
        if any(error > DISAGREEMENT for error in errors):
            return self.wrong(points)
        settled = [error for error in errors if error <= AGREEMENT]
        if len(settled) < min(POINTS, len(points)) or not settled:
            reason = f"the relative error of {max(errors):.1g} is neither small nor large"
            return self.undecided(reason, points)
        faults = self.orientation()
        if faults:
            return self.wrong(points, faults)
        outside = self.outside()
        if outside is not None:
            return self.wrong((*points, outside))
        certificate = self.derivative.check(self.seed)
        if not certificate.ok and certificate.trials:
            return self.undecided(f"the derivative itself is {certificate.message}", points)
        return self.right(False, points, max(errors))

    def compare(self) -> tuple[tuple[Point, ...], list[float]]:
        """Points of the domain and the relative errors there; more points where the first ones leave a doubt."""
        if self.given is not None:
            yours, right = self.both(self.given)
            return (self.given,), [float("inf") if yours is None else difference(yours, right)]
        points: list[Point] = []
        errors: list[float] = []
        for trial in range(3 * POINTS):
            point = draw_point(
                self.expr, (*self.stated, *self.granted), trial, self.random, accept=self.finite
            ) or draw_point(self.expr, self.stated, trial, self.random, accept=self.finite)
            if point is None:
                break
            yours, right = self.both(point)
            points.append(point)
            errors.append(float("inf") if yours is None else difference(yours, right))
            if len(points) >= POINTS and not any(AGREEMENT < error <= DISAGREEMENT for error in errors[-POINTS:]):
                break
        return tuple(points), errors

    def outside(self, assumption: Assumption = NOTHING) -> Point | None:
        """A point at which the derivative exists, but not the claim: beyond the claim's own conditions."""
        if self.node is None or self.given is not None:
            return None
        for demand in demands(self.expr, [self.derivative.node, self.node]):
            if demand in self.stated or demand.template in ALMOST_EVERYWHERE:
                continue
            beyond = partial(self.breaks, demand)
            point = draw_point(self.expr, self.stated, 0, self.random, assumption, beyond)
            if point is not None and not self.agree(point):
                return point
        return None

    def refuted(self, assumption: Assumption) -> bool:
        """Whether the claim is undefined somewhere even under an assumption."""
        return self.outside(assumption) is not None

    def breaks(self, demand: Demand, point: Point) -> bool:
        """Whether a condition fails at a point at which the derivative is finite."""
        return self.finite(point) and not judge((demand,), point.arrays, point.sizes).holds

    def orientation(self) -> tuple[Fault, ...]:
        """A row where the layout has a column, or a column where it has a row; ``gradient`` tells no difference."""
        if self.reading is None or self.node is None or self.node.order != 1 or self.derivative.layout == "gradient":
            return ()
        layout = self.derivative.layout
        orders = (self.expr.node.order, self.derivative.raw.order - self.expr.node.order)
        row = arrange(self.derivative.raw, orders, layout).row
        if row == (self.reading.kind == "row"):
            return ()
        return (fault("column" if row else "row", instead=layout),)

    # --- answers ---------------------------------------------------------------------------------

    def right(self, exact: bool, points: tuple[Point, ...], error: float) -> ClaimReport:
        places = f"{len(points)} point{'s' * (len(points) != 1)}"
        how = "the same in normal form" if exact else f"equal at {places}, largest relative error {error:.1g}"
        return self.answer("right", f"RIGHT: {how}", points, exact=exact, error=error, notes=self.side_notes(exact))

    def side_notes(self, exact: bool) -> tuple[str, ...]:
        """Where a right claim is defined less often than the derivative, or takes other values at kinks."""
        found: list[str] = []
        if self.node is not None:
            if self.reading is not None and self.reading.kind == "row" and self.derivative.layout == "gradient":
                found.append("your result is written as a row, as in the numerator layout")
            own = self.own_conditions()
            more = [condition for condition in own if condition not in self.derivative.conditions]
            if more:
                found.append(f"your form needs {', '.join(more)}")
        if not exact and self.given is None:
            found += self.at_kinks()
        return tuple(found)

    def own_conditions(self) -> tuple[str, ...]:
        """Where the claim is defined, as it is written."""
        assert self.reading is not None
        try:
            written = Expr(to_text(self.reading.tree), self.expr.vars, self.derivative.node.shape)
        except MatcalcError:
            return ()
        return conditions(written, [])

    def at_kinks(self) -> list[str]:
        """What the claim says where a function of the expression has a kink: at zeros of the variable."""
        kinks = {
            OPERATIONS[node.op].kink
            for node in postorder(self.expr.simplified)
            if isinstance(node, Map | Call) and node.op in OPERATIONS
        } - {""}
        name = self.derivative.wrt[0]
        symbol = self.expr.meaning.symbols.get(name)
        if not kinks or symbol is None:
            return []
        point = draw_point(self.expr, self.stated, 0, self.random)
        if point is None:
            return []
        zero = np.zeros_like(point.arrays[name]) if symbol.type.shape else 0.0
        at_zero = Point(point.sizes, {**point.arrays, name: zero})
        yours, right = self.both(at_zero)
        if yours is None or not np.all(np.isfinite(right)) or difference(yours, right) <= DISAGREEMENT:
            return []
        what = "is not defined" if not np.all(np.isfinite(yours)) else "differs"
        return [f"at the kink {name} = 0 your form {what}; the value taken there is {_short(right)}"]

    def undecided(self, reason: str, points: tuple[Point, ...]) -> ClaimReport:
        return self.answer("undecided", f"UNDECIDED: {reason}", points)

    def wrong(self, points: tuple[Point, ...], faults: tuple[Fault, ...] = (), malformed: bool = False) -> ClaimReport:
        """The answer to a wrong claim."""
        values = [self.both(point) for point in points]
        apart = None if malformed else _difference(values)
        right_if: tuple[str, ...] = ()
        if not faults:
            problem = self.problem(points, values)
            diagnosis = Diagnosis(problem)
            faults = diagnosis.plain() or diagnosis.paired(PAIRS)
            right_if = self.under_square_sizes() if malformed else self.right_if()
            if not faults and right_if and not malformed:
                faults = (fault("assumption", part=" or ".join(right_if)),)
            if not faults:
                faults = diagnosis.plain(LATE) or diagnosis.paired(LATE_PAIRS)
            if not faults and not malformed:
                right_if = self.right_if(of_sizes=True)
                faults = (fault("assumption", part=right_if[0]),) if right_if else self.unexplained(values, apart)
            if malformed and self.reading is not None and self.reading.error is not None:
                faults = (*faults, fault("malformed", self.reading.error.message))
        example = small_counterexample(self.expr, self.shown_names(), self.allowed, self.both, self.seed)
        if self.given is not None:
            example = None
        message = "WRONG" if not right_if else f"WRONG in general, right if {' or if '.join(right_if)}"
        return self.answer("wrong", message, points, faults=faults, right_if=right_if, example=example, apart=apart)

    def problem(self, points: tuple[Point, ...], values: Sequence[tuple[Array | None, Array]]) -> Problem:
        claimed = tuple(yours for yours, _ in values if yours is not None)
        readable = read_claim(self.derivative.formula, self.expr, self.derivative.node.shape).node
        return Problem(
            self.derivative,
            self.derivative.node if readable is None else readable,
            self.reading,
            points,
            tuple(right for _, right in values),
            claimed,
            self.scalars(points),
        )

    def scalars(self, points: Sequence[Point]) -> dict[str, list[float]]:
        """The scalars of the expression, of the derivative and of the claim with their values at the points."""
        roots = [self.expr.simplified, self.derivative.node, *([self.node] if self.node is not None else [])]
        nodes = [
            node
            for node in postorder(*roots)
            if not node.shape and (isinstance(node, Variable) or node.children) and variables(node)
        ]
        nodes.sort(key=lambda node: not isinstance(node, Variable))
        for variable in self.occurring():
            if variable.order == 2 and variable.shape[0] == variable.shape[1]:
                nodes += [call("det", variable), trace(variable)]
            elif variable.order == 1:
                nodes.append(call("norm", variable))
        nodes = nodes[:MOST_SCALARS]
        values = Values(self.expr, nodes)
        seen = [values.at(point) for point in points]
        return {
            to_text(to_ast(node, self.expr.order), separator="; "): [float(row[place]) for row in seen]
            for place, node in enumerate(nodes)
        }

    def occurring(self) -> list[Variable]:
        """The variables of the derivative and of the claim, in the order of the expression."""
        roots: list[Node] = [self.derivative.node, *([self.node] if self.node is not None else [])]
        if self.node is None:
            roots.append(self.expr.node)
        known = {variable.name: variable for variable in variables(*roots)}
        return [known[name] for name in self.expr.order if name in known]

    def shown_names(self) -> list[str]:
        """The variables of a counterexample: those that occur, and all where these do not tell every size."""
        occurring = self.occurring()
        told = {name for variable in occurring for dim in variable.shape for name in dim.names}
        wanted = {name for dim in self.derivative.node.shape for name in dim.names}
        return [variable.name for variable in occurring] if wanted <= told else list(self.expr.order)

    def right_if(self, of_sizes: bool = False) -> tuple[str, ...]:
        """The assumptions under which the claim is right."""
        if self.given is not None:
            return ()
        return assumptions_that_help(
            self.expr, self.occurring(), self.stated, self.finite, self.agree, self.seed, self.refuted, of_sizes
        )

    def under_square_sizes(self) -> tuple[str, ...]:
        """Whether a claim whose shapes do not fit is right when two sizes, or all of them, are one."""
        names = sorted({name for s in self.expr.meaning.symbols.values() for dim in s.type.shape for name in dim.names})
        groups = [(a, b) for place, a in enumerate(names) for b in names[place + 1 :]]
        if len(names) > 2:
            groups.append(tuple(names))  # type: ignore[arg-type]
        for group in groups:
            merged = {name: Dim.of(group[0]) for name in group}
            declared = {
                name: type_text(
                    Type(symbol.type.kind, tuple(dim.substitute(merged) for dim in symbol.type.shape)),
                    symbol.properties,
                )
                for name, symbol in self.expr.meaning.symbols.items()
            }
            assert self.reading is not None
            try:
                derivative = Derivative(self.expr.with_types(declared), self.derivative.wrt, self.derivative.layout)
                reading = read_claim(self.reading.text, derivative.function, derivative.node.shape)
                inner = _Check(_Subject(derivative, reading, None, self.shown), None, self.seed)
            except MatcalcError:
                continue
            if reading.node is None:
                continue
            points, errors = inner.compare()
            if points and max(errors) <= DISAGREEMENT:
                return (" = ".join(group),)
            helped = inner.right_if()
            if points and helped:
                return tuple(f"{' = '.join(group)} and {text}" for text in helped)
        return ()

    def unexplained(self, values: Sequence[tuple[Array | None, Array]], apart: Difference | None) -> tuple[Fault, ...]:
        yours, right = values[0]
        if yours is None:
            return ()
        if yours.shape != right.shape:
            shape = self.node.shape if self.node is not None else None
            shown = shape_text(shape) if shape is not None else str(yours.shape)
            wanted = self.derivative.shape_text if shape is not None else str(right.shape)
            return (fault("shape", shown, wanted),)
        if any(v is not None and not np.all(np.isfinite(v)) for v, _ in values):
            sound = [(v, r) for v, r in values if v is not None and np.all(np.isfinite(v))]
            if sound and all(difference(v, r) <= DISAGREEMENT for v, r in sound):
                return (fault("domain"),)
        assert apart is not None
        listed = ", ".join("[" + ", ".join(map(str, entry)) + "]" for entry in apart.entries[:MOST_ENTRIES])
        if apart.differing == right.size:
            which = "every entry differs" if right.shape else "a number"
        else:
            which = f"{apart.differing} of {right.size} entries differ: {listed}"
        return (fault("unknown", which, factor=f"{apart.error:.2g}"),)

    def answer(
        self,
        verdict: Any,
        message: str,
        points: tuple[Point, ...],
        *,
        exact: bool = False,
        error: float = 0.0,
        faults: tuple[Fault, ...] = (),
        right_if: tuple[str, ...] = (),
        example: Counterexample | None = None,
        apart: Difference | None = None,
        notes: tuple[str, ...] = (),
    ) -> ClaimReport:
        return ClaimReport(
            verdict,
            message,
            self.shown,
            self.derivative.formula,
            self.derivative.layout,
            exact,
            faults,
            right_if,
            example,
            apart,
            error,
            len(points),
            tuple(dict(point.sizes) for point in points),
            self.seed,
            (*self.notes, *notes),
        )


# --- values --------------------------------------------------------------------------------------


def _called(function: Callable[..., Any], expr: Expr, point: Point) -> Array:
    """The value of a claim that is a function."""
    given = {as_keyword(name): value for name, value in point.arrays.items()}
    try:
        parameters = signature(function).parameters
    except (TypeError, ValueError):
        parameters = {}  # type: ignore[assignment]
    open_ended = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values())
    if parameters and not open_ended:
        unknown = [name for name in parameters if name not in given and spell_keyword(name) not in point.arrays]
        if unknown:
            raise UsageError(
                f"the claim takes {', '.join(unknown)}, which the expression does not have",
                hint=f"its variables are {', '.join(expr.order)}",
            )
        given = {name: point.arrays[spell_keyword(name)] for name in parameters}
    try:
        return np.asarray(function(**given), dtype=float)
    except (ArithmeticError, np.linalg.LinAlgError):
        return UNDEFINED
    except (TypeError, ValueError, IndexError) as error:
        shapes = ", ".join(f"{name} {np.shape(value)}" for name, value in given.items())
        raise UsageError(
            f"the claim failed for {shapes}: {error}", hint="it is called with one array for each variable, by name"
        ) from error


def _given_point(derivative: Derivative, at: Mapping[str, Any]) -> Point:
    """The point a person gave; the arrays are checked as those of the compiled derivative."""
    arrays = {spell_keyword(name): value for name, value in at.items()}
    derivative(**arrays)
    found = {name: np.asarray(arrays[name], dtype=float) for name in derivative.function.order}
    return Point(_sizes_of(derivative.function, found), found)


def _sizes_of(expr: Expr, arrays: Mapping[str, Any]) -> dict[str, int]:
    """The named sizes that arrays have."""
    sizes: dict[str, int] = {}
    for name, symbol in expr.meaning.symbols.items():
        for dim, length in zip(symbol.type.shape, np.shape(arrays[name]), strict=True):
            if dim.name is not None:
                sizes[dim.name] = length
    return sizes


def _difference(values: Sequence[tuple[Array | None, Array]]) -> Difference | None:
    """The largest error, and the entries that differ at the first point."""
    errors = [difference(yours, right) for yours, right in values if yours is not None]
    yours, right = values[0]
    if not errors or yours is None:
        return None
    if yours.shape != right.shape:
        return Difference(float("inf"), (), int(right.size))
    largest = max(float(np.max(np.abs(right), initial=0.0)), 1e-300)
    with np.errstate(invalid="ignore"):
        apart = ~(np.abs(yours - right) <= DISAGREEMENT * largest)
    entries = tuple(tuple(int(place) + 1 for place in entry) for entry in np.argwhere(apart))
    return Difference(max(errors), entries[:MOST_ENTRIES], int(np.sum(apart)))


def _short(value: Array) -> str:
    if value.size and np.all(value == value.flat[0]):
        return f"{value.flat[0]:.4g}"
    return np.array2string(value, precision=4, separator=", ")
