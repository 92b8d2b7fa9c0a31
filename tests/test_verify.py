"""The certificate: it confirms what is right to eleven digits, and notices everything that is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from corpus_data import load_cases
from test_operations import CALLS, MAPS, N, call_parameters, draw, integers

import matcalc as mc
from matcalc import verify
from matcalc.calculus import derive
from matcalc.calculus.simplify import simplify
from matcalc.derivation import Derivative
from matcalc.expr.build import add, permute, scale
from matcalc.expr.nodes import Call, Map, Node, Variable
from matcalc.layout import LAYOUTS
from matcalc.lower.function import compile_function
from matcalc.ops import registry
from matcalc.ops.apply import call, map_
from matcalc.ops.record import Operation
from matcalc.verify.analytic import NotContinued, continued
from matcalc.verify.interpreter import evaluate
from matcalc.verify.slopes import COMPLEX_STEP, CONSTANT, DIFFERENCES, directional

CASES = load_cases()
SAMPLE = CASES[::12]


def derived(case: Any) -> Derivative:
    return mc.derive(case.text, case.variables if case.order == 2 else case.wrt, dict(case.vars), case.order)


# --- what is right is confirmed ------------------------------------------------------------------


@pytest.mark.parametrize("case", SAMPLE, ids=lambda case: case.name)
def test_the_corpus_is_confirmed(case: Any) -> None:
    report = derived(case).check(seed=1)
    assert report.ok, report.message
    assert report.precision == verify.PRECISION
    assert max(report.max_error, report.formula_error) < 1e-11


@pytest.mark.slow
def test_every_case_of_the_corpus_is_confirmed_to_eleven_digits(capsys: pytest.CaptureFixture[str]) -> None:
    """Run it with ``pytest -m slow tests/test_verify.py -s`` to see the counts."""
    counts: Counter[str] = Counter()
    lower: list[str] = []
    for case in CASES:
        report = derived(case).check()
        assert report.ok, f"{case.name}: {report.message}"
        assert report.undefined == 0, f"{case.name}: the conditions miss something"
        exact = report.precision == verify.PRECISION
        counts["to 1e-11" if exact else "to less"] += 1
        lower += [] if exact else [f"{case.name}: {report.precision:.0e} by {', '.join(report.methods)}"]
    with capsys.disabled():
        print(dict(counts), *lower, sep="\n")
    assert not lower


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("text", "wrt"),
    [("x^T A x", "x"), ("A x", "x"), ("a^T X b", "X"), ("t x", "t"), ("t^2 A", "t"), ("log(t)", "t"), ("A X B", "X")],
)
def test_every_layout_is_confirmed(text: str, wrt: str, layout: str) -> None:
    types = {"x": "vector(n)", "A": "matrix(m, n)", "t": "scalar", "X": "matrix(n, p)", "B": "matrix(p, q)"}
    types["A"] = "matrix(n, n)" if text == "x^T A x" else types["A"]
    try:
        derivative = mc.derive(text, wrt, types, layout=layout)
    except mc.UsageError:
        assert layout in ("numerator", "denominator")  # it has no form for these orders
        return
    report = derivative.check()
    assert report.ok, report.message
    assert report.max_error < 1e-11


@pytest.mark.parametrize("declared", ["symmetric", "spd", "skew", "diagonal", "lower", "upper", "orthogonal"])
@pytest.mark.parametrize("text", ["tr(A X B X^T)", "a^T expm(X) b", "X A X"])
def test_structured_variables_move_within_their_space(declared: str, text: str) -> None:
    types = {"X": f"matrix(n, n) {declared}", "A": "matrix(n, n)", "B": "matrix(n, n)"}
    report = mc.derive(text, "X", types).check()
    assert report.ok, report.message
    assert report.max_error < 1e-11


@pytest.mark.parametrize(
    ("text", "wrt"),
    [
        ("u^T A^2 v", ("u", "A")),
        ("sum(eigvals(X).^3)", ("X", "X")),
        ("spectral(X)", ("X", "X")),
        ("nuclear(X)", ("X", "X")),
        ("tr(A logm(X))", ("X", "X")),
        ("det(X)", ("X", "X")),
        ("logsumexp(A x)", ("x", "A")),
        ("prod(x)", ("x", "x")),
        ("lgamma(x)", ("x", "x")),
    ],
)
def test_second_derivatives_are_confirmed(text: str, wrt: tuple[str, str]) -> None:
    types = {"X": "matrix(n, n) spd"} if "X" in wrt and "spec" not in text and "nuc" not in text else {}
    types |= {"x": "scalar"} if "lgamma" in text else {}
    report = mc.derive(text, wrt, types, order=2).check()
    assert report.ok, report.message
    assert report.max_error < 1e-10


@pytest.mark.parametrize("layout", ["vec", "vec-row"])
@pytest.mark.parametrize("text", ["x^T A x", "A x .* x", "x x^T A"])
def test_stacked_second_derivatives_are_confirmed(text: str, layout: str) -> None:
    report = mc.derive(text, "x", {"A": "matrix(n, n)"}, order=2, layout=layout).check()
    assert report.ok, report.message


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("structure", ["respect", "free", "vech"])
def test_every_space_is_confirmed(structure: str, order: int) -> None:
    expr = mc.parse("tr(A X B X)", {"X": "matrix(n, n) symmetric", "A": "matrix(n, n)"})
    report = Derivative(expr, ("X",) * order, "gradient", structure=structure).check()
    assert report.ok, report.message


def test_the_report_says_what_was_tried() -> None:
    report = mc.derive("sum(log(A x))", "x").check(seed=5)
    assert report.ok
    assert report.seed == 5
    assert report.methods == (COMPLEX_STEP,)
    assert report.forms[:4] == ("compiled function", "normal form", "text", "Unicode")
    assert report.rejected > 0, "half of all points are outside A x > 0"
    assert report.undefined == 0
    assert all(len(set(sizes.values())) == len(sizes) for sizes in report.sizes)
    assert len({tuple(sizes.values()) for sizes in report.sizes}) == report.trials == 3
    assert "seed 5" in report.details
    assert f"{report.rejected} points rejected" in report.details
    data = report.to_dict()
    assert data["precision"] == report.precision
    assert mc.derive("sum(log(A x))", "x").check(seed=5) == report
    assert mc.derive("sum(log(A x))", "x").check(seed=6) != report


def test_what_has_no_point_is_not_confirmed() -> None:
    report = mc.derive("log(-x^2 - 1)", "x", {"x": "scalar"}).check()
    assert not report.ok
    assert report.message.startswith("not checked")
    assert report.trials == 0
    assert report.rejected > 0


# --- what is wrong is noticed --------------------------------------------------------------------


BREAKS: dict[str, tuple[str, str, Callable[[Derivative], None]]] = {
    "a formula without a term": ("x^T A x", "formula", lambda d: d.__dict__.update(formula="2 A x")),
    "a formula with a wrong factor": ("x^T A x", "text", lambda d: d.__dict__.update(formula="(A + A^T) x / 2")),
    "a formula that is no program": ("x^T A x", "text", lambda d: d.__dict__.update(formula="(A + A^T x")),
    "another formula in Unicode": ("x^T A x", "Unicode", lambda d: d.__dict__.update(unicode="(A - Aᵀ) x")),
    "a transposed normal form": (
        "tr(A X)",
        "normal form",
        lambda d: setattr(d, "node", permute(d.node, (1, 0))),
    ),
    "a normal form of the other sign": ("x^T A x", "normal form", lambda d: setattr(d, "node", scale(-1, d.node))),
    "a compiled function that is a little off": (
        "x^T A x",
        "compiled function",
        lambda d: d.__dict__.update(_function=_off(d.compile(), 1e-10)),
    ),
}


class _off:  # noqa: N801
    """A compiled function with a relative error."""

    def __init__(self, function: Any, error: float) -> None:
        self.function, self.error, self.args = function, error, function.args

    def __call__(self, **arrays: Any) -> Any:
        return self.function(**arrays) * (1 + self.error)


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_answer_is_noticed(name: str) -> None:
    text, form, break_it = BREAKS[name]
    types = {"A": "matrix(n, n)", "X": "matrix(n, n)"}
    derivative = mc.derive(text, text[-1] if text[-1] == "x" else "X", types)
    assert derivative.check().ok
    break_it(derivative)
    report = derivative.check()
    assert not report.ok
    assert report.message.startswith("NOT confirmed")
    assert form in report.message or form == "formula"


@pytest.mark.parametrize("layout", ["numerator", "denominator", "vec"])
def test_a_formula_in_another_layout_is_noticed(layout: str) -> None:
    types = {"A": "matrix(n, n)", "x": "vector(n)"}
    derivative = mc.derive("A x .* x", "x", types, layout=layout)
    turned = mc.derive("A x .* x", "x", types, layout="numerator" if layout == "denominator" else "denominator")
    assert derivative.check().ok
    derivative.__dict__["formula"] = turned.formula
    derivative.__dict__["unicode"] = turned.unicode
    report = derivative.check()
    assert not report.ok
    assert "text" in report.message


def test_a_row_for_a_column_is_noticed() -> None:
    derivative = mc.derive("a^T x", "x", {"x": "vector(n)"}, layout="numerator")
    assert derivative.check().ok
    derivative.__dict__["formula"] = "a"
    report = derivative.check()
    assert not report.ok
    assert "column" in report.message


def test_a_derivative_outside_its_space_is_noticed() -> None:
    """The entrywise derivative agrees in every symmetric direction, and is not symmetric."""
    derivative = mc.derive("a^T X b", "X", {"X": "matrix(n, n) symmetric"})
    assert derivative.check().ok
    free = mc.derive("a^T X b", "X")
    derivative.__dict__["_function"] = free.compile()
    assert "space" in derivative.check().message


def test_a_wrong_function_is_noticed() -> None:
    """The function and its derivatives are wrong in the same way: only the definition is right."""
    derivative = mc.derive("x^T x", "x")
    wrong = mc.derive("2 x^T x", "x")
    expr = derivative.function
    expr.compile = lambda: wrong.function.compile()  # type: ignore[method-assign]
    assert "not the function that was written" in derivative.check().message


@pytest.mark.parametrize("name", ["tanh", "log", "normcdf"])
def test_a_wrong_slope_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = mc.derive(f"sum({name}(A x))", "x").check()
    assert right.ok
    record = registry.OPERATIONS[name]
    slope = record.slopes[0]
    broken = replace(record, slopes=(lambda y, x: add([(1, slope(y, x)), (Fraction(1, 1000), y)], y.shape),))
    monkeypatch.setattr(derive, "OPERATIONS", {**registry.OPERATIONS, name: broken})
    report = mc.derive(f"sum({name}(A x))", "x").check()
    assert not report.ok
    assert "numerical derivatives" in report.message


# --- the numerical derivatives -------------------------------------------------------------------


def value_of(node: Node, sizes: dict[str, int]) -> Callable[[Any], Any]:
    return lambda arrays: evaluate(node, arrays, sizes)


@pytest.mark.parametrize("record", MAPS, ids=lambda record: record.name)
def test_every_map_is_continued(record: Operation) -> None:
    """The continuation is the compiled function at real points."""
    operands = [Variable(f"x{k}", (N,)) for k in range(record.arity)]
    node = map_(record.name, *operands)
    arrays = draw(record, operands)
    with np.errstate(all="ignore"):
        found = evaluate(node, arrays, {"n": 3})
        complex_value = evaluate(node, {name: array + 0j for name, array in arrays.items()}, {"n": 3})
    np.testing.assert_allclose(found, compile_function(node, operands)(**arrays), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(complex_value.real, found, rtol=1e-12, atol=1e-14)


@call_parameters(CALLS)
def test_every_call_is_continued(record: Operation, operands: list[Variable], parameters: dict[str, int]) -> None:
    """The interpreter's value is that of the compiled function, and the complex step agrees with differences."""
    node = call(record.name, *operands, **parameters)
    assert isinstance(node, Call)
    assert continued(node) is not None
    arrays = draw(record, operands)
    sizes = {"n": 3, "m": 4, "b": 2}
    function = value_of(node, sizes)
    compiled = compile_function(node, operands)(**arrays)
    np.testing.assert_allclose(function(arrays), compiled, rtol=1e-9, atol=1e-11)
    if record.nondifferentiable:
        return
    random = np.random.default_rng(1)
    direction = random.standard_normal(integers(operands[0].shape))
    if "sym" in record.sample or record.sample == "spd":
        direction = direction + np.swapaxes(direction, -1, -2)
    found = directional(function, arrays, "x0", direction)
    assert found is not None
    by_differences = directional(_real_only(function), arrays, "x0", direction)
    assert by_differences is not None
    assert by_differences.method == DIFFERENCES
    scale_of = max(1.0, float(np.max(np.abs(by_differences.value))))
    assert np.max(np.abs(found.value - by_differences.value)) / scale_of < 1e-8


def _real_only(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def real(arrays: Any) -> Any:
        if any(np.iscomplexobj(array) for array in arrays.values()):
            raise NotContinued("test")
        return function(arrays)

    return real


def test_a_name_that_does_not_occur_has_slope_zero() -> None:
    found = directional(lambda arrays: np.asarray(arrays["x"]), {"x": 2.0}, "y", np.asarray(1.0))
    assert found is not None
    assert found.method == CONSTANT
    assert found.value == 0


@pytest.mark.parametrize(("function", "slope"), [(np.sin, np.cos), (np.log, lambda x: 1 / x), (np.exp, np.exp)])
def test_differences_know_their_error(function: Any, slope: Any) -> None:
    found = directional(_real_only(lambda arrays: np.asarray(function(arrays["x"]))), {"x": 1.3}, "x", np.asarray(1.0))
    assert found is not None
    assert abs(found.value - slope(1.3)) <= max(found.error, 1e-12)
    assert found.error < 1e-11


# --- determinants of singular matrices -----------------------------------------------------------


def by_definition(text: str, X: Any, order: int) -> Any:
    """Entries of a derivative of a polynomial of the entries of X, by complex steps of the minors."""
    expr = mc.parse(text)
    node = expr.node if order == 1 else mc.derive(text, "X").evaluated
    size = len(X)
    result = np.empty((*np.shape(evaluate(node, {"X": X}, {"n": size})), size, size))
    for i, j in np.ndindex(size, size):
        moved = X + 0j
        moved[i, j] += 1e-30j
        result[..., i, j] = np.imag(evaluate(node, {"X": moved}, {"n": size})) / 1e-30
    return result


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("text", "order"), [("det(X)", 1), ("det(X)", 2), ("adj(X)", 1), ("cofactor(X)", 1), ("det(X)^2", 1)]
)
def test_determinants_are_differentiated_where_matrices_are_singular(text: str, order: int, rank: int) -> None:
    random = np.random.default_rng(rank)
    X = random.standard_normal((4, rank)) @ random.standard_normal((rank, 4))
    found = mc.derive(text, "X", order=order)(X=X)
    np.testing.assert_allclose(found, by_definition(text, X, order), rtol=1e-9, atol=1e-12)


def test_the_textbook_formula_of_a_determinant_stays() -> None:
    derivative = mc.derive("det(X)", "X")
    assert derivative.formula == "det(X) X^-T"
    assert derivative.conditions == ("X invertible",)
    assert mc.grad("det(X)", "X").formula == "det(X) X^-T"
    assert mc.grad("det(X)", "X").conditions == ("X invertible",)


def test_the_gradient_of_a_determinant_is_the_matrix_of_cofactors() -> None:
    X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [5.0, 7.0, 9.0]])  # of rank 2
    cofactors = [[3.0, -6.0, 3.0], [3.0, -6.0, 3.0], [-3.0, 6.0, -3.0]]
    np.testing.assert_allclose(mc.grad("det(X)", "X")(X=X), cofactors, atol=1e-13)
    np.testing.assert_allclose(mc.parse("cofactor(X)").compile()(X=X), cofactors, atol=1e-13)
    value, gradient = mc.value_and_grad("det(X)", "X")(X=X)
    assert abs(value) < 1e-14
    np.testing.assert_allclose(gradient, cofactors, atol=1e-13)


def test_simplified_nodes_keep_their_value() -> None:
    """The interpreter gives a node and its normal form the same value."""
    node = mc.parse("sum(softmax(A x) .* log(1 + exp(x^T x)))", {"A": "matrix(m, n)"}).node
    arrays = {"A": np.random.default_rng(0).standard_normal((2, 3)), "x": np.array([0.1, -0.2, 0.3])}
    sizes = {"m": 2, "n": 3}
    one, other = (evaluate(root, arrays, sizes) for root in (node, simplify(node)[0]))
    np.testing.assert_allclose(one, other, rtol=1e-14)
    assert isinstance(map_("exp", Variable("x", (N,))), Map)
