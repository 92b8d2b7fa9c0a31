"""Derivations: known ones line by line, every line of the corpus against numbers, and what is refused.

The default run takes every case of the corpus in one style, in turn. All cases in all styles:
``pytest -m slow tests/test_explain.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import oracle
import pytest
from corpus_data import Case, load_cases, sample_case

import matcalc as mc
from matcalc.cli import main
from matcalc.explanation import explain as explaining
from matcalc.explanation.check import verify
from matcalc.explanation.explain import Explanation
from matcalc.explanation.outline import outline
from matcalc.explanation.render import to_lines
from matcalc.explanation.steps import STYLES, Line
from matcalc.notation.pieces import integer, times
from matcalc.syntax.ast import Program

CASES = load_cases()
#: More lines than this nobody follows; the longest are networks and sums of many different functions.
MOST_LINES = {"chain": 14, "differential": 20, "index": 40}


def lines(text: str, wrt: str, style: str, **types: str) -> list[str]:
    """The lines without their rules; a left side that goes on is repeated as blanks."""
    return [line.strip() for line in to_lines(mc.explain(text, wrt, types, style).lines, rules=False)]


# --- derivations done by hand --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wrt", "types", "expected"),
    [
        ("x^T A x", "x", {}, ["f = x^T A x", "df/dx = (A + A^T) x"]),
        (
            "||X w - y||^2",
            "w",
            {},
            [
                "r1 = X w - y",
                "f = r1^T r1",
                "delta_r1 = df/dr1 = 2 r1",
                "df/dw = X^T delta_r1",
                "= 2 X^T (X w - y)",
            ],
        ),
        ("logdet(X)", "X", {}, ["f = logdet(X)", "df/dX = X^-T"]),
        (
            "tr(X^-1 A)",
            "X",
            {},
            [
                "M1 = X^-1",
                "f = tr(M1 A)",
                "delta_M1 = df/dM1 = A^T",
                "df/dX = -M1^T delta_M1 M1^T",
            ],
        ),
        (
            "sum(log(1 + exp(-y .* (X w))))",
            "w",
            {},
            [
                "z1 = -y .* (X w)",
                "f = sum(softplus(z1))",
                "delta_z1 = df/dz1 = sigmoid(z1)",
                "df/dw = -X^T (y .* delta_z1)",
                "= -X^T (y .* sigmoid(-y .* (X w)))",
            ],
        ),
        (
            "-sum(y .* log(softmax(W x)))",
            "W",
            {},
            [
                "z1 = W x",
                "p1 = softmax(z1)",
                "f = -y^T log(p1)",
                "delta_p1 = df/dp1 = -y ./ p1",
                "delta_z1 = df/dz1 = p1 .* delta_p1 - (p1^T delta_p1) p1",
                "df/dW = delta_z1 x^T",
                "= (sum(y) softmax(W x) - y) x^T",
            ],
        ),
        (
            "z1 = W1 x + b1; h = tanh(z1); z2 = W2 h + b2; L = 1/2 ||z2 - y||^2",
            "W1",
            {"W1": "matrix(p, d)", "W2": "matrix(k, p)"},
            [
                "z1 = W1 x + b1",
                "h = tanh(z1)",
                "z2 = W2 h + b2",
                "r1 = z2 - y",
                "L = 1/2 r1^T r1",
                "delta_r1 = dL/dr1 = r1",
                "delta_z2 = dL/dz2 = delta_r1",
                "delta_h = dL/dh = W2^T delta_z2",
                "delta_z1 = dL/dz1 = delta_h .* (1 - h.^2)",
                "dL/dW1 = delta_z1 x^T",
            ],
        ),
    ],
    ids=["quadratic form", "least squares", "log det", "inverse", "logistic loss", "cross-entropy", "network"],
)
def test_chain_as_by_hand(text: str, wrt: str, types: dict[str, str], expected: list[str]) -> None:
    found = lines(text, wrt, "chain", **types)
    assert found[: len(expected)] == expected
    assert len(found) <= len(expected) + 1


@pytest.mark.parametrize(
    ("text", "wrt", "expected"),
    [
        (
            "x^T A x",
            "x",
            [
                "f = x^T A x",
                "df = dx^T A x + x^T A dx",
                "= (A x)^T dx + (A^T x)^T dx",
                "= ((A + A^T) x)^T dx",
                "df/dx = (A + A^T) x",
            ],
        ),
        (
            "||X w - y||^2",
            "w",
            [
                "r1 = X w - y",
                "f = r1^T r1",
                "df = 2 r1^T dr1",
                "dr1 = X dw",
                "df = 2 r1^T X dw",
                "= 2 (X^T r1)^T dw",
                "df/dw = 2 X^T (X w - y)",
            ],
        ),
        (
            "tr(X^-1 A)",
            "X",
            [
                "M1 = X^-1",
                "f = tr(M1 A)",
                "df = tr(dM1 A)",
                "dM1 = -X^-1 dX X^-1",
                "df = -tr(X^-1 dX X^-1 A)",
                "= -tr(M1 A M1 dX)",
            ],
        ),
        ("logdet(X)", "X", ["f = logdet(X)", "df = tr(X^-1 dX)", "df/dX = X^-T"]),
        ("A X B", "X", ["F = A X B", "dF = A dX B", "vec(dF) = kron(B^T, A) vec(dX)"]),
    ],
    ids=["quadratic form", "least squares", "inverse", "log det", "matrix of a matrix"],
)
def test_differential_as_by_hand(text: str, wrt: str, expected: list[str]) -> None:
    found = lines(text, wrt, "differential")
    assert found[: len(expected)] == expected
    assert len(found) <= len(expected) + 1


@pytest.mark.parametrize(
    ("text", "wrt", "expected"),
    [
        (
            "x^T A x",
            "x",
            [
                "f = sum_{i,j} x_i A_{ij} x_j",
                "df/dx_k = sum_{i,j} delta_{ik} A_{ij} x_j + sum_{i,j} x_i A_{ij} delta_{jk}",
                "= sum_i x_i A_{ki} + sum_j x_j A_{jk}",
                "df/dx = (A + A^T) x",
            ],
        ),
        (
            "||X w - y||^2",
            "w",
            [
                "r1_i = sum_j X_{ij} w_j - y_i",
                "f = sum_i r1_i^2",
                "df/dr1_j = 2 sum_i r1_i delta_{ij}",
                "= 2 r1_j",
                "delta_r1 = df/dr1 = 2 r1",
                "dr1_i/dw_k = sum_j X_{ij} delta_{jk}",
                "= X_{ik}",
                "df/dw_k = sum_i X_{ik} delta_r1[i]",
                "df/dw = X^T delta_r1",
                "= 2 X^T (X w - y)",
            ],
        ),
    ],
    ids=["quadratic form", "least squares"],
)
def test_index_as_by_hand(text: str, wrt: str, expected: list[str]) -> None:
    assert lines(text, wrt, "index") == expected


def test_rules_are_cited() -> None:
    rules = [step.rules for step in mc.explain("x^T A x", "x")]
    assert rules == [(), ("quadratic form",)]
    (step,) = [step for step in mc.explain("||tanh(W x)||^2", "W") if step.left.startswith("delta_z1")]
    assert step.rules == ("hyperbolic tangent",)


# --- the corpus ----------------------------------------------------------------------------------


def explained(case: Case, style: str) -> Explanation | None:
    """The derivation; None where there is nothing to derive, or the style is refused with one that works."""
    derivative = mc.derive(case.text, case.variables if case.order == 2 else case.wrt, dict(case.vars), case.order)
    if derivative.warnings:
        with pytest.raises(mc.UsageError, match="there is nothing to derive"):
            Explanation(derivative, style)
        return None
    if style != "chain":
        try:
            return Explanation(derivative, style)
        except mc.Unsupported as error:
            reason = error
        assert "chain" in (reason.hint or "")
        return None
    return Explanation(derivative, style)


def examine(case: Case, style: str) -> None:
    found = explained(case, style)
    if found is None:
        return
    # a line that disagrees raises; a line that could not be confronted with numbers is no line either
    assert found.verification.ok, found.verification.message
    assert found.steps[-1].formula == found.derivative.formula
    assert len(found) <= MOST_LINES[style]
    assert found.latex.count("{") == found.latex.count("}")


@pytest.mark.parametrize(
    ("case", "style"),
    [
        pytest.param(case, STYLES[place % 3], id=f"{case.name}-{STYLES[place % 3]}")
        for place, case in enumerate(CASES[::4])
    ],
)
def test_every_line_agrees_with_numbers(case: Case, style: str) -> None:
    examine(case, style)


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_line_of_every_style_agrees_with_numbers(case: Case, style: str) -> None:
    examine(case, style)


@pytest.mark.parametrize("case", [case for case in CASES[::3] if case.order == 1], ids=lambda case: case.name)
def test_a_chain_is_a_program_that_computes_the_derivative(case: Case) -> None:
    """Definitions, adjoints and the derivative, read as one program by an interpreter that shares no rules."""
    found = explained(case, "chain")
    if found is None:
        return
    statements = []
    for line, step in zip(found.lines, found.steps, strict=True):
        name = line.left.alias or (line.left.name if line.left.kind == "value" else "answer")
        if isinstance(line.tree, Program) or (line is found.lines[-1] and line.continues):
            continue
        statements.append(f"{name} = {step.formula}")
    dims, values = sample_case(case)
    try:
        got = oracle.evaluate(oracle.read("\n".join(statements)), values, dims)
    except mc.UnknownName:
        pytest.skip("the interpreter does not know a function of ours")
    want = oracle.derivative(oracle.read(case.text), values, dims, case.wrt, types=case.vars)
    if np.shape(got) != np.shape(want):
        pytest.skip("an identity whose size only the formula's place tells")
    assert np.max(np.abs(got - want), initial=0.0) <= 1e-7 * max(1.0, np.max(np.abs(want), initial=0.0))


# --- the check of lines --------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("text", "wrt"), [("||X w - y||^2", "w"), ("tr(X^-1 A)", "X"), ("A X B", "X"), ("softmax(W x + b)", "x")]
)
def test_a_wrong_line_is_found(text: str, wrt: str, style: str) -> None:
    """Every line in turn is made three times too large."""
    found = mc.explain(text, wrt, style=style)
    for place, line in enumerate(found.lines):
        if isinstance(line.tree, Program):
            continue
        wrong = list(found.lines)
        wrong[place] = replace(line, tree=times(integer(3), line.tree))
        report = verify(wrong, found._plan)
        assert not report.ok
        assert report.failed == place


def test_a_wrong_line_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    right: Callable[..., list[Line]] = explaining.MAKERS["chain"]

    def wrong(plan: object) -> list[Line]:
        made = right(plan)
        return [*made[:-1], replace(made[-1], tree=times(integer(2), made[-1].tree))]

    monkeypatch.setattr(explaining, "MAKERS", {"chain": wrong})
    with pytest.raises(AssertionError, match="does NOT agree"):
        mc.explain("x^T A x", "x")


# --- what is refused -----------------------------------------------------------------------------


def test_what_cannot_be_said_names_a_style_that_can() -> None:
    with pytest.raises(mc.Unsupported, match="eigmax has no formula in entries") as caught:
        mc.explain("eigmax(A)", "A", {"A": "matrix(n, n) symmetric"}, "index")
    assert caught.value.hint == "use the style chain or differential"
    assert mc.explain("eigmax(A)", "A", {"A": "matrix(n, n) symmetric"}, "differential").verification.ok


def test_usage() -> None:
    with pytest.raises(mc.UsageError, match="there is no style 'prose'"):
        mc.explain("x^T x", "x", style="prose")
    with pytest.raises(mc.UsageError, match="nothing to derive"):
        mc.explain("x^T x", "q")


def test_deep_programs() -> None:
    depth = 300
    statements = ["h0 = x"] + [f"h{k} = tanh(W h{k - 1} + b)" for k in range(1, depth + 1)]
    derivative = mc.derive("; ".join([*statements, f"sum(h{depth})"]), "x", {"x": "vector(n)", "W": "matrix(n, n)"})
    plan = outline(derivative)
    assert len(plan.parts) > depth
    with pytest.raises(mc.Unsupported, match="too long"):
        Explanation(derivative, "differential", check=False)
    with pytest.raises(mc.Unsupported, match="too long"):
        Explanation(derivative, "index", check=False)


# --- output --------------------------------------------------------------------------------------


def test_steps_of_a_derivative() -> None:
    steps = mc.derive("||A x - b||^2", "x").steps
    assert [str(step) for step in steps][-1] == "df/dx = 2 A^T (A x - b)"


def test_forms_of_output() -> None:
    found = mc.explain("||X w - theta||^2", "w", style="differential")
    assert found.unicode.splitlines()[-1].startswith("∂f/∂w = 2 Xᵀ (X w - θ)")
    assert found.latex.startswith("\\begin{aligned}\n")
    assert r"\mathrm{d}w" in found.latex
    assert found._repr_latex_().startswith("$")
    assert set(found._repr_mimebundle_()) == {"text/plain", "text/latex"}
    data = json.loads(json.dumps(found.to_dict()))
    assert data["verification"]["ok"] is True
    assert data["lines"][-1]["formula"] == found.derivative.formula
    assert all(rule["name"] for line in data["lines"] for rule in line["rules"])


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "x^T A x", "--wrt", "x", "--style", "index"]) == 0
    shown = capsys.readouterr().out
    assert "df/dx_k = sum_{i,j}" in shown
    assert "every line verified" in shown
    assert main(["explain", "x^T A x", "--wrt", "x", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["formula"] == "(A + A^T) x"
    assert main(["explain", "eigvals(A)", "--wrt", "A", "--style", "index"]) == 4


@pytest.mark.parametrize(("layout", "structure"), [("numerator", None), ("gradient", "free"), ("gradient", "vech")])
@pytest.mark.parametrize("style", STYLES)
def test_other_layouts_are_not_written_as_equal(layout: str, structure: str | None, style: str) -> None:
    types = {"A": "matrix(n, n)", "X": "matrix(n, n) symmetric"}
    found = Explanation(mc.derive("tr(A X)", "X", types, layout=layout, structure=structure), style)
    assert found.verification.ok
    assert not found.lines[-1].continues
    assert found.steps[-1].formula == found.derivative.formula
    assert found.steps[-1].rules == ((f"structure {structure}",) if structure else (f"{layout} layout",))


def test_second_derivatives() -> None:
    found = mc.explain("||A x - b||^2", "x", order=2)
    assert found.steps[-1].formula == "2 A^T A"
    assert found.verification.ok


def test_explanations_do_not_depend_on_the_hash_seed() -> None:
    code = 'import matcalc as mc; print(mc.explain("||W2 tanh(W1 x + b) - y||^2", "W1", style="differential"))'
    shown = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(shown) == 1


def test_formulas_do_not_load_explanations() -> None:
    code = (
        "import sys; from matcalc.cli import main; main(['diff', 'x^T A x', '--wrt', 'x']);"
        "print([name for name in sys.modules if 'explanation' in name or name == 'numpy'])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"
