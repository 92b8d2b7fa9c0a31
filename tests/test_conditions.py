"""Conditions: right (inside them nothing fails, outside something does), least, and in the user's notation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from corpus_data import load_cases
from test_operations import CALLS, RECORDS, N, cores

import matcalc as mc
from matcalc.conditions import Demand, demands
from matcalc.conditions.demand import templates
from matcalc.conditions.reduce import holds
from matcalc.expr.build import variables
from matcalc.expr.dims import Dim
from matcalc.expr.nodes import Variable
from matcalc.lower.function import compile_function
from matcalc.ops.apply import call
from matcalc.verify.domain import MARGINS, judge
from matcalc.verify.interpreter import evaluate
from matcalc.verify.points import arrays_of, sizes_of

SYMMETRIC, SPD = {"X": "matrix(n, n) symmetric"}, {"X": "matrix(n, n) spd"}
SCALARS = {"x": "scalar", "y": "scalar", "t": "scalar"}
VECTOR = {"x": "vector(n)"}


@pytest.mark.parametrize(
    ("text", "wrt", "types", "order", "expected"),
    [
        # what is divided by, and what functions ask for
        ("1/t", "t", SCALARS, 1, ("t ≠ 0",)),
        ("1 ./ x", "x", VECTOR, 1, ("every entry of x ≠ 0",)),
        ("sqrt(t)", "t", SCALARS, 1, ("t > 0",)),
        ("cbrt(t)", "t", SCALARS, 1, ("t ≠ 0",)),
        ("tan(t)", "t", SCALARS, 1, ("cos(t) ≠ 0",)),
        ("lgamma(t)", "t", SCALARS, 1, ("t is not 0, -1, -2, …",)),
        ("log(t) - log(t)", "t", SCALARS, 1, ("t > 0",)),
        # the bound and not its square
        ("asin(t)", "t", SCALARS, 1, ("abs(t) < 1",)),
        ("atanh(t/2)", "t", SCALARS, 1, ("abs(t/2) < 1",)),
        ("acosh(t)", "t", SCALARS, 1, ("t > 1",)),
        ("acosh(1 + t)", "t", {"t": "scalar positive"}, 1, ()),
        ("atan2(x, y)", "x", SCALARS, 1, ("x^2 + y^2 ≠ 0",)),
        ("hypot(x, y)", "x", SCALARS, 1, ("hypot(x, y) ≠ 0",)),
        # norms and forms are 0 where their vector is
        ("1/||x||", "x", VECTOR, 1, ("x ≠ 0",)),
        ("||x||", "x", VECTOR, 2, ("x ≠ 0",)),
        ("normalize(x)", "x", VECTOR, 1, ("x ≠ 0",)),
        ("log(x^T x)", "x", VECTOR, 1, ("x ≠ 0",)),
        ("sqrt(x^T A x)", "x", {"A": "matrix(n, n) spd"}, 1, ("x ≠ 0",)),
        ("log(x^T A x)", "x", {"A": "matrix(n, n)"}, 1, ("x^T A x > 0",)),
        ("sum(x.^4)^(1/4)", "x", VECTOR, 1, ("x ≠ 0",)),
        # what is known
        ("sum(log(cosh(x)))", "x", VECTOR, 1, ()),
        ("sum(log(1 - sigmoid(x)))", "x", VECTOR, 1, ()),
        ("sum(log(2 + sin(x)))", "x", VECTOR, 1, ()),
        ("sum(log(1 - sin(x)))", "x", VECTOR, 1, ("1 - sin(x) > 0",)),
        ("log10(t)", "t", {"t": "scalar positive"}, 1, ()),
        ("log1p(t^2)", "t", SCALARS, 1, ()),
        ("log1p(t)", "t", SCALARS, 1, ("t > -1",)),
        ("prod(x)^(1/n)", "x", {"x": "vector(n) positive"}, 1, ()),
        ("logdet(A + X B X^T)", "X", {"A": "matrix(n, n) spd", "B": "matrix(m, m) spd"}, 1, ()),
        # what follows from another
        ("log(t) + log(1 + t)", "t", SCALARS, 1, ("t > 0",)),
        ("log(t) + 1/t", "t", SCALARS, 1, ("t > 0",)),
        ("log(-(t - 1))", "t", SCALARS, 1, ("-(t - 1) > 0",)),
        ("1/t + 1/(2 t^3)", "t", SCALARS, 1, ("t ≠ 0",)),
        ("sum(p .* log(p ./ q))", "p", {"p": "vector(n)", "q": "vector(n)"}, 1, ("p ./ q > 0",)),
        ("logdet(X) + tr(X^-1)", "X", {}, 1, ("X invertible",)),
        ("log(det(X)) + tr(X^-1)", "X", {}, 1, ("det(X) > 0",)),
        # matrices
        ("det(X^3)", "X", {}, 1, ("X invertible",)),
        ("log(abs(det(X)))", "X", {}, 1, ("X invertible",)),
        ("log(det(X X^T))", "X", {"X": "matrix(m, n)"}, 1, ("X X^T invertible",)),
        ("tr((A X)^-1)", "X", {"A": "matrix(n, n) spd", "X": "matrix(n, n)"}, 1, ("X invertible",)),
        ("logdet(X ⊗ A)", "X", {"A": "matrix(m, m)", "X": "matrix(n, n)"}, 1, ("X invertible", "A invertible")),
        ("a^T logm(X) b", "X", {}, 1, ("X has no eigenvalue on the closed negative real axis",)),
        ("tr(sqrtm(X))", "X", {}, 1, ("X has no eigenvalue on the closed negative real axis",)),
        ("tr(sqrtm(X))", "X", SPD, 1, ()),
        ("sum(chol(X))", "X", SYMMETRIC, 1, ("X is positive definite",)),
        ("sum(chol(X))", "X", {}, 1, ("X is symmetric", "X is positive definite")),
        ("tr(pinv(X) A)", "X", {"X": "matrix(m, n)"}, 1, ("X has full rank",)),
        ("tr(pinv(X) A)", "X", {"X": "matrix(n, n)"}, 1, ("X invertible",)),
        ("sum(pinv(x y^T))", "x", {"x": "vector(n)", "y": "vector(m)"}, 1, ("the rank of x y^T is constant nearby",)),
        # eigenvalues and singular values
        ("sum(eigvals(X))", "X", SYMMETRIC, 1, ()),
        ("max(eigvals(X))", "X", SYMMETRIC, 1, ("the eigenvalues of X are distinct",)),
        ("eigmax(X)", "X", SYMMETRIC, 1, ("the largest eigenvalue of X is simple",)),
        ("eigmax(X)", "X", SYMMETRIC, 2, ("the largest eigenvalue of X is simple",)),
        ("eigmin(X)", "X", SYMMETRIC, 2, ("the smallest eigenvalue of X is simple",)),
        ("eigmax(X)", "X", {}, 1, ("X is symmetric", "the largest eigenvalue of X is simple")),
        ("sum(svdvals(X).^2)", "X", {"X": "matrix(m, n)"}, 1, ()),
        ("svdvals(X)", "X", {"X": "matrix(m, n)"}, 1, ("the singular values of X are distinct and not 0",)),
        ("nuclear(X)", "X", {"X": "matrix(m, n)"}, 1, ("X has full rank",)),
        ("nuclear(X)", "X", {"X": "matrix(m, n)"}, 2, ("X has full rank",)),
        ("spectral(X)", "X", {"X": "matrix(m, n)"}, 1, ("the largest singular value of X is simple",)),
        ("spectral(X)", "X", {"X": "matrix(m, n)"}, 2, ("the largest singular value of X is simple", "X ≠ 0")),
    ],
)
def test_conditions_are_least(
    text: str, wrt: str, types: dict[str, str], order: int, expected: tuple[str, ...]
) -> None:
    assert mc.derive(text, wrt, types, order).conditions == expected


def test_every_domain_can_be_tested() -> None:
    for record in RECORDS:
        for template in templates(record.domain):
            assert template in MARGINS, f"{record.name}: {template}"


# --- inside the conditions nothing fails, outside something does ---------------------------------

CORES = {record.name: cores(record.signature)[0] for record in CALLS if record.signature}
# Points outside the domain of a record with more than entries to be drawn.
OUTSIDE: dict[str, dict[str, Any]] = {
    "inv": {"x0": np.ones((3, 3))},
    "logdet": {"x0": np.ones((3, 3))},
    "chol": {"x0": -np.eye(3)},
    "logm": {"x0": np.diag([1.0, 2.0, -1.0])},
    "logm_frechet": {"x0": np.diag([1.0, 2.0, -1.0]), "x1": np.ones((3, 3))},
    "sqrtm": {"x0": np.diag([1.0, 2.0, -1.0])},
    "sylvester": {"x0": np.eye(4), "x1": -np.eye(3), "x2": np.ones((4, 3))},
}


def fails(function: Any, arrays: dict[str, Any]) -> bool:
    """Whether a compiled function has no finite value, or is refused."""
    try:
        with np.errstate(all="ignore"):
            return not np.all(np.isfinite(function(**arrays)))
    except mc.MatcalcError:
        return True


DECLARED_MAPS = ["log", "log1p", "log2", "log10", "asin", "acos", "acosh", "atanh", "sqrt", "reciprocal"]


@pytest.mark.parametrize("name", DECLARED_MAPS)
def test_entrywise_domains_are_exact(name: str) -> None:
    """The derivative is finite exactly at the points the printed conditions admit."""
    derivative = mc.derive(f"{name}(t)", "t", {"t": "scalar"})
    function = derivative.compile()
    stated = demands(derivative.function, [derivative.node])
    assert derivative.conditions
    value = derivative.function.compile()
    points = [*np.linspace(-3, 3, 121), *np.random.default_rng(0).uniform(-2, 2, 100)]
    inside = 0
    for t in points:
        admitted = judge(stated, {"t": t}, {}).holds
        inside += admitted
        assert admitted != (fails(function, {"t": t}) or fails(value, {"t": t})), t
    assert 0 < inside < len(points)


@pytest.mark.parametrize("name", ["lgamma", "digamma", "trigamma", "cbrt", "tan"])
def test_poles_are_named(name: str) -> None:
    derivative = mc.derive(f"{name}(t)", "t", {"t": "scalar"})
    stated = demands(derivative.function, [derivative.node])
    function = derivative.compile()
    for t in np.linspace(-2.75, 2.75, 12):
        assert judge(stated, {"t": t}, {}).holds == (not fails(function, {"t": t})), t
    poles = {"cbrt": [0.0], "tan": [np.pi / 2]}.get(name, [0.0, -1.0, -2.0])
    for pole in poles:
        verdict = judge(stated, {"t": pole}, {})
        assert not verdict.clear
        assert name == "tan" or fails(function, {"t": pole})


def test_a_power_and_a_threshold_ask_for_what_they_need() -> None:
    """``x^p`` has no derivative by p below 0; the derivative of ``huber`` is wrong for a negative threshold."""
    power = mc.derive("x^p", "p", {"x": "scalar", "p": "scalar"})
    assert power.conditions == ("x > 0",)
    assert fails(power.compile(), {"x": -1.5, "p": 0.5})
    assert not fails(power.compile(), {"x": 1.5, "p": 0.5})
    huber = mc.derive("huber(r, d)", "r", {"r": "scalar", "d": "scalar"})
    assert huber.conditions == ("d > 0",)
    value = huber.function.compile()
    difference = (value(r=-2.0 + 1e-6, d=-1.0) - value(r=-2.0 - 1e-6, d=-1.0)) / 2e-6
    assert abs(huber(r=-2.0, d=-1.0) - difference) > 0.5
    assert huber(r=-2.0, d=1.0) == -1.0


@pytest.mark.parametrize("name", sorted(OUTSIDE))
def test_outside_the_domain_of_a_matrix_function_it_fails(name: str) -> None:
    shapes = [tuple(Dim.of(axis) for axis in axes) for axes in CORES[name]]
    operands = [Variable(f"x{k}", shape) for k, shape in enumerate(shapes)]
    node = call(name, *operands)
    (record,) = [record for record in CALLS if record.name == name]
    stated = tuple(
        Demand(template, tuple(operands[: 1 + ("{1}" in template)])) for template in templates(record.domain)
    )
    arrays = OUTSIDE[name]
    assert not judge(stated, arrays, {"n": 3, "m": 4}).holds
    if name == "sylvester":  # LAPACK moves the eigenvalues apart by rounding: the value is as large as numbers go
        assert np.max(np.abs(compile_function(node, operands)(**arrays))) > 1e14
        return
    assert fails(compile_function(node, operands), arrays)


def jump(text: str, X: Any, E: Any, types: dict[str, str]) -> float:
    """How far the slopes to both sides of a point in one direction are apart, or the value is from its neighbours."""
    value = mc.parse(text, types).compile()
    h = 1e-6
    ahead = (np.asarray(value(X=X + h * E)) - value(X=X)) / h
    behind = (np.asarray(value(X=X)) - value(X=X - h * E)) / h
    step = np.asarray(value(X=X + h * E)) - value(X=X)
    return float(max(np.max(np.abs(ahead - behind)), np.max(np.abs(step))))


@pytest.mark.parametrize(
    ("text", "types", "X", "E"),
    [
        ("eigmax(X)", SYMMETRIC, np.eye(3), np.diag([1.0, 0.0, -1.0])),
        ("eigmin(X)", SYMMETRIC, np.eye(3), np.diag([1.0, 0.0, -1.0])),
        ("eigvals(X)", SYMMETRIC, np.eye(3), np.diag([1.0, 0.0, -1.0])),
        ("svdvals(X)", {"X": "matrix(m, n)"}, np.eye(3, 2), np.diag([1.0, -1.0, 0.0])[:, :2]),
        ("svdvals(X)", {"X": "matrix(m, n)"}, np.diag([2.0, 0.0, 0.0])[:, :2], np.diag([0.0, 1.0, 0.0])[:, :2]),
        ("spectral(X)", {"X": "matrix(m, n)"}, np.eye(3, 2), np.diag([1.0, -1.0, 0.0])[:, :2]),
        ("nuclear(X)", {"X": "matrix(m, n)"}, np.diag([2.0, 0.0, 0.0])[:, :2], np.diag([0.0, 1.0, 0.0])[:, :2]),
        ("pinv(X)", {"X": "matrix(m, n)"}, np.diag([2.0, 0.0, 0.0])[:, :2], np.diag([0.0, 1.0, 0.0])[:, :2]),
    ],
)
def test_outside_the_conditions_on_spectra_there_is_no_derivative(text: str, types: Any, X: Any, E: Any) -> None:
    """The slopes to both sides differ where a condition fails, and agree where it holds."""
    derivative = mc.derive(text, "X", types)
    stated = demands(derivative.function, [derivative.node])
    sizes = {"m": X.shape[0], "n": X.shape[1]}
    assert not judge(stated, {"X": X}, sizes).holds
    assert jump(text, X, E, types) > 0.1
    inside = X + np.diag(np.arange(1.0, 4.0))[:, : X.shape[1]] if X.shape[1] < 3 else np.diag([1.0, 2.0, 4.0])
    assert judge(stated, {"X": inside}, sizes).holds
    assert jump(text, inside, E, types) < 1e-3


@pytest.mark.parametrize("case", load_cases(), ids=lambda case: case.name)
def test_inside_the_conditions_of_the_corpus_everything_is_finite(case: Any) -> None:
    """At every random point that the printed conditions admit, the function and its derivative have a value."""
    wrt = case.variables if case.order == 2 else case.wrt
    derivative = mc.derive(case.text, wrt, dict(case.vars), case.order)
    expr = derivative.function
    stated = demands(expr, [derivative.node])
    assert all(variables(*demand.operands) for demand in stated), "a condition on a number"
    random = np.random.default_rng(3)
    with np.errstate(all="ignore"):
        for draw in range(5):  # larger numbers overflow, and a sigmoid of 40 is 1
            sizes = sizes_of(expr, 0, draw, random)
            try:
                arrays = arrays_of(expr, sizes, draw, random)
            except mc.ShapeError:
                continue
            if not judge(stated, arrays, sizes).holds:
                continue
            for node in (expr.node, derivative.node):
                assert np.all(np.isfinite(evaluate(node, arrays, sizes))), (derivative.conditions, arrays)


# --- kinks that have a value ---------------------------------------------------------------------


def test_norms_at_the_origin() -> None:
    """The gradient is the subgradient of least norm; there is no Hessian, and x ≠ 0 says so."""
    zero = np.zeros(3)
    assert np.all(mc.grad("||x||", "x")(x=zero) == 0)
    second = mc.derive("||x||", "x", order=2)
    assert second.conditions == ("x ≠ 0",)
    assert not np.all(np.isfinite(second(x=zero)))


def test_entropy_at_zero() -> None:
    """``x log x`` ends at 0 with slope -∞: the value there is not a number, and the condition says so."""
    entropy = mc.derive("x log(x)", "x", {"x": "scalar"})
    assert entropy.conditions == ("x > 0",)
    assert entropy(x=0.0) == -np.inf


def test_what_is_assumed_of_a_variable_is_known() -> None:
    x = Variable("x", (N,))
    assert not holds(Demand("{0} > 0", (x,)))
    assert holds(Demand("{0} > 0", (Variable("x", (N,), ("positive",)),)))
