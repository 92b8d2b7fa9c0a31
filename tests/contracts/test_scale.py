"""Large inputs: long sums, deep nesting and networks of many layers cost what their size allows.

The bounds are on processor time, so that a busy machine does not break them, and leave room for a slow one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import FrameType

import numpy as np
import pytest
from corpus_data import Case, load_cases

import matcalc as mc
from matcalc.syntax.parse import parse

DEPTH = 1000


def spent(work: Callable[[], object]) -> float:
    """Seconds of the processor that a call takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def network(layers: int) -> tuple[str, dict[str, str], tuple[str, ...]]:
    """The squared error of a network of tanh layers, its declarations and the names of its parameters."""
    declarations = {"x": "vector(n0)", "y": f"vector(n{layers})"}
    names: list[str] = []
    lines = ["h0 = x"]
    for layer in range(1, layers + 1):
        declarations[f"W{layer}"] = f"matrix(n{layer}, n{layer - 1})"
        declarations[f"b{layer}"] = f"vector(n{layer})"
        names += [f"W{layer}", f"b{layer}"]
        lines.append(f"h{layer} = tanh(W{layer} h{layer - 1} + b{layer})")
    lines.append(f"||h{layers} - y||^2")
    return "\n".join(lines), declarations, tuple(names)


def calls_of(work: Callable[[], object]) -> int:
    """How many Python functions are called: the same on every machine, as seconds are not."""
    count = 0

    def notice(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(notice)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def summands(count: int) -> str:
    return " + ".join(f"sin({number} x)" for number in range(1, count + 1))


def test_ten_thousand_summands() -> None:
    """Right, and in as many steps as take less than 2 s on a quiet machine (the seconds themselves: the test below)."""
    formulas: list[str] = []
    assert mc.derive("sin(x)", "x", {"x": "scalar"}).formula == "cos(x)"  # tables are read on first use
    calls = calls_of(lambda: formulas.append(mc.derive(summands(10_000), "x", {"x": "scalar"}).formula))
    expected = ["cos(x)", *(f"{count} cos({count} x)" for count in range(2, 10_001))]
    assert sorted(formulas[0].split(" + ")) == sorted(expected)
    assert calls < 5_200_000


@pytest.mark.slow
def test_ten_thousand_summands_take_two_seconds() -> None:
    """Read, differentiated and printed, on a machine that does nothing else; the best of three."""
    text = summands(10_000)
    assert min(spent(lambda: mc.derive(text, "x", {"x": "scalar"}).formula) for _ in range(3)) < 2


@pytest.mark.parametrize(
    "term",
    ["log({} + x^2)", "{} x^2", "exp({} x) y", "z^T A{} z"],
    ids=["logarithms", "like terms", "products", "matrices of inferred types"],
)
def test_sums_cost_their_length(term: str) -> None:
    def seconds(count: int) -> float:
        text = "x, y: scalar; " + " + ".join(term.format(number) for number in range(1, count + 1))
        variable = "z" if "z" in term else "x"
        return min(spent(lambda: mc.derive(text, variable).formula) for _ in range(2))

    assert seconds(2000) < 10 * seconds(400)


def test_a_thousand_brackets() -> None:
    text = "(" * DEPTH + "x" + ")" * DEPTH + "^T x"
    assert mc.derive(text, "x", {"x": "vector(n)"}).formula == "2 x"


def sines(x: float, depth: int) -> tuple[float, float]:
    """The nested sine and its slope, by the chain rule for numbers."""
    slope = 1.0
    for _ in range(depth):
        x, slope = float(np.sin(x)), slope * float(np.cos(x))
    return x, slope


def test_a_thousand_nested_functions() -> None:
    derived = mc.derive("sin(" * DEPTH + "x" + ")" * DEPTH, "x", {"x": "scalar"})
    assert derived.formula
    assert derived.latex
    value, slope = mc.value_and_grad(derived.function, "x")(x=0.3)
    np.testing.assert_allclose([value, slope], sines(0.3, DEPTH), rtol=1e-12)


def test_a_formula_of_great_depth_reads_back() -> None:
    derived = mc.derive("sin(" * 100 + "x" + ")" * 100, "x", {"x": "scalar"})
    again = mc.parse(derived.formula, {"x": "scalar"})
    np.testing.assert_allclose(again.compile()(x=0.3), sines(0.3, 100)[1], rtol=1e-12)


def test_a_thousand_nested_powers() -> None:
    derived = mc.derive("0.5^(" * DEPTH + "x" + ")" * DEPTH, "x", {"x": "scalar"})
    assert derived.formula
    value, slope = 0.3, 1.0
    for _ in range(DEPTH):
        value = 0.5**value
        slope *= float(np.log(0.5)) * value
    np.testing.assert_allclose(derived.function.compile()(x=0.3), value, rtol=1e-12)
    np.testing.assert_allclose(derived.compile()(x=0.3), slope, rtol=1e-9, atol=1e-290)


def test_a_tower_of_squares() -> None:
    derived = mc.derive("(1/2 (" * DEPTH + "x" + " + 1))^2" * DEPTH, "x", {"x": "scalar"})
    assert derived.formula
    value, slope = 0.1, 1.0
    for _ in range(DEPTH):
        value, slope = ((value + 1) / 2) ** 2, slope * (value + 1) / 2
    np.testing.assert_allclose(derived.function.compile()(x=0.1), value, rtol=1e-9)
    np.testing.assert_allclose(derived.compile()(x=0.1), slope, rtol=1e-6)


@pytest.mark.parametrize("text", ["x" + "^1" * DEPTH, "x" + "^T" * DEPTH], ids=["powers", "transposes"])
def test_a_thousand_postfix_operators(text: str) -> None:
    assert mc.derive(f"c^T ({text})", "x", {"x": "vector(n)", "c": "vector(n)"}).formula == "c"


def test_a_thousand_unclosed_brackets_are_an_error() -> None:
    with pytest.raises(mc.ParseError):
        parse("(" * DEPTH)


def test_a_small_network_is_quick() -> None:
    text, declarations, names = network(10)
    mc.value_and_grad(text, names, declarations)  # tables are read on first use
    seconds = min(spent(lambda: mc.value_and_grad(text, names, declarations)) for _ in range(3))
    assert seconds < 0.3


def test_networks_cost_their_length() -> None:
    short, long = network(100), network(1000)
    few = min(spent(lambda: mc.value_and_grad(short[0], short[2], short[1])) for _ in range(2))
    many = spent(lambda: mc.value_and_grad(long[0], long[2], long[1]))
    assert many < 15 * few


def test_textbook_derivatives_are_quick() -> None:
    """Half of the corpus within 20 ms each, from text to formula, and none beyond half a second."""
    assert mc.derive("x^T A x", "x").formula  # what is loaded at the first call is not counted
    times = sorted((spent(lambda case=case: formula_of(case)), case.name) for case in load_cases())
    assert times[len(times) // 2][0] < 0.020
    assert times[-1][0] < 0.500, times[-5:]


def formula_of(case: Case) -> str:
    names = list(case.variables)
    return mc.derive(case.text, names if len(names) > 1 else names[0], vars=dict(case.vars)).formula
