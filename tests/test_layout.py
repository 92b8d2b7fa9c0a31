"""Layouts: what the literature defines, how they convert into each other, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import matcalc as mc
from matcalc.layout import LAYOUTS, STACKED, stacks

RANDOM = np.random.default_rng(11)
SIZES = {"m": 2, "n": 3, "p": 4, "q": 5}

# output, variable, types; the expression is generic for its shapes
GENERIC = {
    ("scalar", "scalar"): ("sin(t)", "t", {"t": "scalar"}),
    ("scalar", "vector"): ("x^T A x", "x", {"A": "matrix(n, n)"}),
    ("scalar", "matrix"): ("a^T X b", "X", {"X": "matrix(m, n)"}),
    ("vector", "scalar"): ("sin(t) a", "t", {"t": "scalar", "a": "vector(n)"}),
    ("vector", "vector"): ("tanh(A x)", "x", {"A": "matrix(m, n)"}),
    ("vector", "matrix"): ("tanh(X x)", "X", {"X": "matrix(m, n)"}),
    ("matrix", "scalar"): ("sin(t) A", "t", {"t": "scalar", "A": "matrix(m, n)"}),
    ("matrix", "vector"): ("x y^T", "x", {"x": "vector(m)", "y": "vector(n)"}),
    ("matrix", "matrix"): ("A X B", "X", {"A": "matrix(m, n)", "X": "matrix(n, p)", "B": "matrix(p, q)"}),
}

# Wikipedia, "Matrix calculus", the tables of layouts: how the array of shape output + variable is arranged
DEFINED: dict[tuple[str, str, str], Any] = {
    ("numerator", "scalar", "scalar"): lambda D: D,
    ("numerator", "scalar", "vector"): lambda D: D,  # a row
    ("numerator", "scalar", "matrix"): lambda D: D.T,
    ("numerator", "vector", "scalar"): lambda D: D,
    ("numerator", "vector", "vector"): lambda D: D,
    ("numerator", "matrix", "scalar"): lambda D: D,
    ("denominator", "scalar", "scalar"): lambda D: D,
    ("denominator", "scalar", "vector"): lambda D: D,
    ("denominator", "scalar", "matrix"): lambda D: D,
    ("denominator", "vector", "scalar"): lambda D: D,  # a row
    ("denominator", "vector", "vector"): lambda D: D.T,
}
ROWS = {("numerator", "scalar", "vector"), ("denominator", "vector", "scalar")}


def derivative(output: str, variable: str, layout: str = "gradient") -> mc.Derivative:
    text, wrt, types = GENERIC[output, variable]
    return mc.derive(text, wrt, types, layout=layout)


def arrays(d: mc.Derivative) -> dict[str, Any]:
    random = np.random.default_rng(5)
    return {
        name: random.standard_normal([dim.evaluate(SIZES) for dim in symbol.type.shape])
        for name, symbol in d.function.meaning.symbols.items()
    }


@pytest.mark.parametrize("layout", ["numerator", "denominator"])
@pytest.mark.parametrize(("output", "variable"), list(GENERIC))
def test_numerator_and_denominator_are_those_of_the_literature(layout: str, output: str, variable: str) -> None:
    arrange = DEFINED.get((layout, output, variable))
    plain = derivative(output, variable)
    if arrange is None:
        with pytest.raises(mc.UsageError, match=f"the {layout} layout is not defined for") as caught:
            derivative(output, variable, layout)
        assert "use the layout" in str(caught.value.hint)
        return
    d = derivative(output, variable, layout)
    values = arrays(d)
    expected = arrange(np.asarray(plain(**values)))
    np.testing.assert_allclose(d(**values), expected)
    again = mc.parse(d.formula, d.vars)
    function = again.compile()
    np.testing.assert_allclose(function(**{name: values[name] for name in function.args}), expected)
    assert d.shape_text.endswith("row") == ((layout, output, variable) in ROWS)
    assert (again.meaning.type.kind == "row") == ((layout, output, variable) in ROWS)


@pytest.mark.parametrize(("output", "variable"), list(GENERIC))
@pytest.mark.parametrize("layout", list(STACKED))
def test_stacking_layouts_are_the_matrix_of_the_differential(layout: str, output: str, variable: str) -> None:
    d = derivative(output, variable, layout)
    values = arrays(d)
    wrt = d.wrt[0]
    change = RANDOM.standard_normal(np.shape(values[wrt]))
    order = "C" if layout == "vec-row" else "F"
    value = mc.parse(d.function.text, d.vars).compile()
    step = 1e-5
    ahead, behind = (value(**{**values, wrt: values[wrt] + sign * step * change}) for sign in (1, -1))
    slope = np.ravel(np.asarray((ahead - behind) / (2 * step)), order=order)
    np.testing.assert_allclose(d(**values) @ np.ravel(change, order=order), slope, rtol=1e-6, atol=1e-8)
    function = mc.parse(d.formula, d.vars).compile()
    known = {**SIZES, **values}
    np.testing.assert_allclose(function(**{name: known[name] for name in function.args}), d(**values))


@pytest.mark.parametrize(("output", "variable"), list(GENERIC))
def test_layouts_convert_exactly_into_each_other(output: str, variable: str) -> None:
    start = derivative(output, variable)
    for first in LAYOUTS:
        try:
            turned = start.in_layout(first)
        except mc.UsageError:
            continue
        assert turned.layout == first
        back = turned.in_layout("gradient")
        assert back.node == start.node
        assert back.formula == start.formula
        assert back.notes == start.notes


@pytest.mark.parametrize("layout", list(STACKED))
@pytest.mark.parametrize(
    ("text", "wrt", "types"),
    [
        ("tr(X^T A X B)", ("X", "X"), {"X": "matrix(m, n)"}),
        ("a^T X Y b", ("X", "Y"), {"X": "matrix(m, n)", "Y": "matrix(n, p)"}),
        ("sum(exp(X))", ("X", "X"), {"X": "matrix(m, n)"}),
        ("(x^T x) x", ("x", "x"), {"x": "vector(n)"}),
        ("X^T x x^T X", ("X", "x"), {"X": "matrix(m, n)", "x": "vector(m)"}),
    ],
)
def test_second_derivatives_follow_magnus_and_neudecker(
    layout: str, text: str, wrt: tuple[str, str], types: dict[str, str]
) -> None:
    """H F(X) = D (D F(X))^T: the first variable varies fastest along the rows, then the output (chapters 6 and 10)."""
    d = mc.derive(text, wrt, types, order=2, layout=layout)
    values = arrays(d)
    first = mc.derive(text, wrt[0], types, layout=layout)
    change = RANDOM.standard_normal(np.shape(values[wrt[1]]))
    order = "C" if layout == "vec-row" else "F"
    step = 1e-5
    ahead, behind = (first(**{**values, wrt[1]: values[wrt[1]] + sign * step * change}) for sign in (1, -1))
    # vec of the transpose of DF: the axis of the variable varies fastest, whichever way arrays are stacked
    slope = np.ravel(((ahead - behind) / (2 * step)).T, order="F")
    np.testing.assert_allclose(d(**values) @ np.ravel(change, order=order), slope, rtol=1e-5, atol=1e-7)


def test_the_hessian_of_a_scalar_is_symmetric_in_both_stackings() -> None:
    for layout in STACKED:
        d = mc.derive("logdet(X) + tr(X A X)", "X", order=2, layout=layout)
        H = d(**arrays(d))
        assert H.shape == (9, 9)
        np.testing.assert_allclose(H, H.T, atol=1e-10)


def test_the_order_of_stacking_is_printed() -> None:
    assert derivative("matrix", "matrix", "vec").layout_text == "vec (column-major)"
    assert derivative("matrix", "matrix", "vec-row").layout_text == "vec-row (row-major)"
    assert derivative("vector", "vector", "numerator").layout_text == "numerator"


def test_stacks_put_the_slowest_axis_first() -> None:
    assert stacks((2, 2), "vec") == ((1, 0), (3, 2))
    assert stacks((2, 2), "vec-row") == ((0, 1), (2, 3))
    # of a second derivative the output varies slowest along the rows
    assert stacks((2, 2, 1), "vec") == ((1, 0, 3, 2), (4,))
    assert stacks((0, 1), "vec") == ((), (0,))


def test_second_derivatives_have_no_numerator_layout() -> None:
    with pytest.raises(mc.UsageError, match="for first derivatives"):
        mc.derive("x^T x", "x", order=2, layout="numerator")
    with pytest.raises(mc.UsageError, match="there is no layout 'rows'"):
        mc.derive("x^T x", "x").in_layout("rows")
