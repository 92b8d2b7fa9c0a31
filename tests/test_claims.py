"""Claims about derivatives: the verdict, the name of the fault, the counterexample, and what is refused.

The sweep over the corpus (``pytest -m slow tests/test_claims.py``) injects known faults into right formulas and writes
right formulas differently; `claim_faults` judges both by an interpreter that shares no code with the engine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import claim_faults
import numpy as np
import oracle
import pytest

import matcalc as mc
from matcalc.claims.coefficients import name_coefficient
from matcalc.claims.expand import equal, expanded
from matcalc.claims.faults import FAULTS
from matcalc.claims.surgery import edits, places, put
from matcalc.cli import main
from matcalc.expression import read
from matcalc.notation.text import to_text

LEAST_SQUARES = "||A x - b||^2"
RIDGE = "||A x - b||^2 + lambda ||x||^2"
NETWORK = "||W2 tanh(W1 x + b) - y||^2"
SQUARE: dict[str, str] = dict.fromkeys("ABX", "matrix(n, n)")

MATRIX = {"A": "matrix(m, n)"}
SYMMETRIC = {"X": "matrix(n, n) symmetric"}
SCALAR = {"t": "scalar"}

# kind of the first fault, expression, variable, claim, declarations, layout, a piece of the sentence
WRONG: list[tuple[str, str, str, str, dict[str, str], str, str]] = [
    ("sign", "sum(log(x))", "x", "-1 ./ x", {}, "gradient", "minus"),
    ("factor", LEAST_SQUARES, "x", "A^T (A x - b)", {}, "gradient", "1/2 of"),
    ("factor", LEAST_SQUARES, "x", "-6 A^T (A x - b)", {}, "gradient", "-3 times"),
    ("size", "mean((A x - b).^2)", "x", "2 A^T (A x - b)", {}, "gradient", "m times"),
    ("size", "sum((A x - b).^2)", "x", "2/m A^T (A x - b)", {}, "gradient", "1/m of"),
    ("scalar", "lambda ||x||^2", "x", "2 x", {}, "gradient", "1/lambda of"),
    ("scalar", "||x||", "x", "x", {}, "gradient", "||x|| times"),
    ("transpose", "t X A", "t", "A^T X^T", {**SQUARE, **SCALAR}, "gradient", "transpose"),
    ("layout", "tr(A X)", "X", "A", SQUARE, "gradient", "numerator"),
    ("layout", "A x", "x", "A^T", MATRIX, "gradient", "denominator"),
    ("row", "x^T A x", "x", "x^T (A + A^T)", {}, "denominator", "a column"),
    ("column", "x^T A x", "x", "(A + A^T) x", {}, "numerator", "a row"),
    (
        "axes",
        "A X",
        "X",
        'einsum("ik,jl->klij", A, I(p))',
        {**MATRIX, "X": "matrix(n, p)"},
        "gradient",
        "another order",
    ),
    ("diagonal", "exp(x)", "x", "exp(x)", {}, "gradient", "diagonal"),
    ("broadcast", "sum(x)", "x", "1", {}, "gradient", "repeat"),
    ("identity", "3 x", "x", "3", {}, "gradient", "3 I"),
    ("summed", "A x", "x", "A^T ones(m)", MATRIX, "gradient", "sum of the entries"),
    ("variable", "x^T A y", "x", "A^T x", {"A": "matrix(n, n)"}, "gradient", "by y, not by x"),
    ("function", "t sin(t)", "t", "sin(t) t", SCALAR, "gradient", "itself"),
    ("order", "t^4", "t", "12 t^2", SCALAR, "gradient", "second"),
    ("unstructured", "a^T X b", "X", "a b^T", SYMMETRIC, "gradient", "symmetric"),
    ("structured", "a^T X b", "X", "1/2 (a b^T + b a^T)", {"X": "matrix(n, n)"}, "gradient", "symmetric"),
    ("handbook", "a^T X b", "X", "a b^T + b a^T - diag(a .* b)", SYMMETRIC, "gradient", "handbook"),
    ("chain", LEAST_SQUARES, "x", "2 (A x - b)", {}, "gradient", "A x - b, A,"),
    ("chain", NETWORK, "W1", "2 (W2^T (W2 tanh(W1 x + b) - y)) x^T", {}, "gradient", "tanh(W1 x + b)"),
    ("extra chain", "sum(exp(A x))", "x", "A^T exp(A x).^2", {}, "gradient", "twice"),
    ("missing term", "x^T A x", "x", "A x", {}, "gradient", "A^T x"),
    ("missing term", RIDGE, "x", "2 A^T (A x - b)", {}, "gradient", "2 lambda x"),
    ("extra term", LEAST_SQUARES, "x", "2 A^T (A x - b) + x", {}, "gradient", "term x should"),
    ("term sign", LEAST_SQUARES, "x", "2 A^T (A x + b)", {}, "gradient", "A^T b"),
    ("term factor", RIDGE, "x", "2 A^T (A x - b) + lambda x", {}, "gradient", "1/2 of"),
    ("term transpose", "tr(A X) + tr(B X X)", "X", "A + X^T B^T + B^T X^T", SQUARE, "gradient", "A^T"),
    ("wrong term", "a^T x + x^T B x", "x", "ones(n) + (B + B^T) x", {"B": "matrix(n, n)"}, "gradient", "should be a"),
    ("missing transpose", LEAST_SQUARES, "x", "2 A (A x - b)", {}, "gradient", "A should be A^T"),
    ("extra transpose", "tr(A^T X B)", "X", "A^T B^T", SQUARE, "gradient", "A^T should be A"),
    ("inverse transpose", "a^T X^-1 b", "X", "-X^-1 a b^T X^-T", SQUARE, "gradient", "X^-1 should be X^-T"),
    ("operand order", "tr(A X B)", "X", "B^T A^T", SQUARE, "gradient", "B^T and A^T"),
    ("matrix product", "sum((A .* B) .* X)", "X", "A B", SQUARE, "gradient", "A B should be A .* B"),
    ("entrywise product", "tr(A X B)", "X", "A^T .* B^T", SQUARE, "gradient", "should be A^T B^T"),
    ("missing factor", "sum(sin(x) .* y .* y)", "x", "cos(x) .* y", {}, "gradient", "factor y"),
    ("extra factor", "sum(exp(x))", "x", "exp(x) .* x", {}, "gradient", "factor x"),
    ("missing inverse", "logdet(X)", "X", "X^T", SQUARE, "gradient", "X should be X^-1"),
    ("extra inverse", "tr(A X)", "X", "A^-T", SQUARE, "gradient", "A^-1 should be A"),
    ("missing function", "A sin(x)", "x", "A diag(x)", MATRIX, "gradient", "cos"),
    ("extra function", "sum(x .* y)", "x", "exp(y)", {}, "gradient", "exp"),
    ("number", "sum(x.^4)", "x", "4 x.^2", {}, "gradient", "2 should be 3"),
    ("assumption", "x^T A x", "x", "2 A x", {}, "gradient", "A is symmetric"),
    ("domain", "||x||^2 + t", "x", "2 x + log(4 - t^2) - log(2 - t) - log(2 + t)", SCALAR, "gradient", "defined"),
    ("shape", LEAST_SQUARES, "x", "A", {}, "gradient", "(m, n)"),
    ("malformed", LEAST_SQUARES, "x", "A x A", MATRIX, "gradient", "cannot multiply"),
    ("unknown", "sum(sin(x))", "x", "tan(x) + 5", {}, "gradient", "every entry"),
]


@pytest.mark.parametrize(("kind", "text", "wrt", "claim", "types", "layout", "piece"), WRONG)
def test_the_fault_is_named(
    kind: str, text: str, wrt: str, claim: str, types: dict[str, str], layout: str, piece: str
) -> None:
    report = mc.check(text, wrt, claim, types, layout)
    assert report.verdict == "wrong"
    assert not report.ok
    assert report.faults[0].kind == kind, str(report)
    assert piece in report.faults[0].sentence
    assert report.faults[0].sentence in str(report) or kind == "assumption"
    assert report.formula in str(report)


def test_every_fault_has_an_example() -> None:
    assert {kind for kind, *_ in WRONG} == set(FAULTS)


@pytest.mark.parametrize(
    ("text", "wrt", "claim", "types", "expected"),
    [
        ("x^T A x", "x", "2 A x", {}, ("A is symmetric",)),
        ("x^T A x", "x", "0 x", {}, ()),
        ("tr(A X B)", "X", "A^T B", SQUARE, ("B is symmetric",)),
        ("tr(X^-1 A)", "X", "-X A^T X", SQUARE, ()),
        ("logdet(X)", "X", "X", SQUARE, ("X is orthogonal",)),
        ("sum(abs(x) .* x)", "x", "2 x", {}, ("x has positive entries",)),
        ("abs(t)^3", "t", "3 t^2", {"t": "scalar"}, ("t is positive",)),
        ("tr(A X) + tr(X B)", "X", "A + B", SQUARE, ("A and B are symmetric",)),
        ("x^T A B x", "x", "2 A B x", {"A": "matrix(n, n) symmetric", "B": "matrix(n, n) symmetric"}, ()),
        ("sum(A B x)", "x", "(B A)^T ones(n)", {"A": "matrix(n, n)", "B": "matrix(n, n)"}, ("A and B commute",)),
        (LEAST_SQUARES, "x", "2 A (A x - b)", {}, ("m = n and A is symmetric",)),
    ],
)
def test_the_weakest_assumptions_are_found(
    text: str, wrt: str, claim: str, types: dict[str, str], expected: tuple[str, ...]
) -> None:
    report = mc.check(text, wrt, claim, types)
    assert report.verdict == "wrong"
    assert set(expected) <= set(report.right_if)
    assert bool(expected) or not any("symmetric" in text for text in report.right_if)
    for phrase in report.right_if:
        assert phrase in report.message


def test_two_faults_at_once_are_both_named() -> None:
    types = {"A": "matrix(n, n)", "X": "matrix(n, n)", "t": "scalar"}
    report = mc.check("t X A", "t", "-A^T X^T", types)
    assert {fault.kind for fault in report.faults} == {"transpose", "sign"}
    report = mc.check("tr(X^-1 A)", "X", "X^-1 A X^-1", {"A": "matrix(n, n)"})
    assert {fault.kind for fault in report.faults} == {"layout", "sign"}
    report = mc.check(NETWORK, "W1", "(W2^T (W2 tanh(W1 x + b) - y)) x^T")
    assert {fault.kind for fault in report.faults} == {"chain", "factor"}


# --- right claims --------------------------------------------------------------------------------

RIGHT = [
    ("x^T A x", "x", "A x + A^T x", {}, "gradient"),
    ("x^T A x", "x", "x^T (A + A^T)", {}, "gradient"),
    ("x^T A x", "x", "x^T (A + A^T)", {}, "numerator"),
    ("A x", "x", "A^T", MATRIX, "denominator"),
    ("A X B", "X", "B^T ⊗ A", {**MATRIX, "X": "matrix(n, p)", "B": "matrix(p, q)"}, "vec"),
    (LEAST_SQUARES, "x", "2 A^T A x - 2 A^T b", {}, "gradient"),
    ("r = A x - b; r^T r", "x", "2 A^T r", {}, "gradient"),
    ("f(z) = z^2; sum(f(x))", "x", "f(x) .* 2 ./ x", {"x": "vector(n) positive"}, "gradient"),
    ("sum(log(1 + exp(x)))", "x", "1 ./ (1 + exp(-x))", {}, "gradient"),
    ("sum(tanh(x))", "x", "1 ./ cosh(x).^2", {}, "gradient"),
    ("softmax(z)", "z", "diag(softmax(z)) - softmax(z) softmax(z)^T", {}, "gradient"),
    ("tr(A X)", "X", 'einsum("ji->ij", A)', {"A": "matrix(n, m)", "X": "matrix(m, n)"}, "gradient"),
    ("1/2 x^T x + 0 y^T y", "x", "x", {"y": "vector(n)"}, "gradient"),
    ("3 x", "x", "3 I", {}, "gradient"),
    ("λ x^T x", "x", "2 lambda x", {}, "gradient"),
    ("A: matrix(n, n) symmetric; x^T A x", "x", "2 A x", {}, "gradient"),
]


@pytest.mark.parametrize(("text", "wrt", "claim", "types", "layout"), RIGHT)
def test_right_claims_are_right(text: str, wrt: str, claim: str, types: dict[str, str], layout: str) -> None:
    report = mc.check(text, wrt, claim, types, layout)
    assert report.ok, str(report)
    assert report
    assert report.faults == ()
    assert report.counterexample is None
    assert report.exact == (report.points == 0)


def test_second_derivatives_are_checked() -> None:
    assert mc.check("x^T A x", "x", "A + A^T", order=2).ok
    assert mc.check("x^T A y", ("x", "y"), "A", {"A": "matrix(m, n)"}).ok
    wrong = mc.check("x^T A x", "x", "2 A", order=2)
    assert wrong.right_if == ("A is symmetric",)


def test_where_a_right_claim_is_not_defined_is_said() -> None:
    report = mc.check("sum(abs(x))", "x", "x ./ abs(x)")
    assert report.ok
    assert any("every entry of x ≠ 0" in note for note in report.notes)
    assert any("kink x = 0" in note and "is 0" in note for note in report.notes)


def test_close_is_not_decided() -> None:
    report = mc.check("x^T x", "x", "2.0000001 x")
    assert report.verdict == "undecided"
    assert not report.ok
    assert "neither small nor large" in report.message
    assert mc.check("x^T x", "x", "2.00001 x").verdict == "wrong"


# --- functions and arrays ------------------------------------------------------------------------


def test_a_function_is_a_claim() -> None:
    assert mc.check("x^T A x", "x", lambda A, x: (A + A.T) @ x).ok
    assert mc.check("x^T A x", "x", lambda **data: (data["A"] + data["A"].T) @ data["x"]).ok
    report = mc.check("x^T A x", "x", lambda A, x: 2 * A @ x)
    assert report.right_if == ("A is symmetric",)
    assert mc.check("lambda x^T x", "x", lambda lambda_, x: lambda_ * x).faults[0].kind == "factor"
    with pytest.raises(mc.UsageError, match="takes B"):
        mc.check("x^T A x", "x", lambda B, x: B @ x)
    with pytest.raises(mc.UsageError, match="failed for"):
        mc.check(LEAST_SQUARES, "x", lambda A, x, b: A @ (A @ x - b))


def test_an_array_is_a_claim_with_the_data_it_was_computed_at() -> None:
    data = {"A": np.array([[1.0, 2.0], [0.0, 1.0]]), "x": np.array([1.0, 3.0])}
    right = (data["A"] + data["A"].T) @ data["x"]
    assert mc.check("x^T A x", "x", right, at=data).ok
    report = mc.check("x^T A x", "x", -right, at=data)
    assert report.faults[0].kind == "sign"
    assert mc.check("x^T A x", "x", right[:1], at=data).faults[0].kind == "shape"
    assert mc.check("mean(x)", "x", np.ones(5), at={"x": np.arange(5.0)}).faults[0].kind == "size"
    odd = mc.check("x^T A x", "x", right + np.array([0.0, 1.0]), at=data)
    assert odd.difference is not None
    assert odd.difference.entries == ((2,),)


# --- counterexamples -----------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "wrt", "claim", "types"), [row[1:5] for row in WRONG if row[5] == "gradient"])
def test_counterexamples_are_true(text: str, wrt: str, claim: str, types: dict[str, str]) -> None:
    """The interpreter agrees with both values, and the numbers are short."""
    report = mc.check(text, wrt, claim, types)
    example = report.counterexample
    if example is None:
        pytest.skip("no point in short numbers")
    values = {name: np.asarray(value, dtype=float) for name, value in example.arrays.items()}
    for array in values.values():
        assert np.array_equal(array, np.round(array, 1))
    declared = mc.parse(text, types).vars
    dims: dict[str, int] = {}
    for name, array in values.items():
        for place, size in enumerate(np.shape(array)):
            dims[declared[name].partition("(")[2].partition(")")[0].split(", ")[place]] = size
    if example.yours is not None and set(declared) == set(values):
        program = oracle.read(claim)
        got = oracle.evaluate(program, values, dims, np.shape(example.yours))
        np.testing.assert_allclose(np.asarray(example.yours, dtype=float), got, rtol=1e-7, atol=1e-9)
    formula = oracle.evaluate(oracle.read(report.formula), {**values}, dims, np.shape(example.right))
    np.testing.assert_allclose(np.asarray(example.right, dtype=float), formula, rtol=1e-7, atol=1e-9)


# --- what is refused -----------------------------------------------------------------------------


def test_names_the_expression_does_not_have_are_refused() -> None:
    with pytest.raises(mc.UnknownName, match="names B") as error:
        mc.check("x^T A x", "x", "2 B x")
    assert error.value.span is not None
    assert error.value.source == "2 B x"
    assert "x, A" in str(error.value)
    with pytest.raises(mc.UnknownName, match="names N"):
        mc.check(LEAST_SQUARES, "x", "2/N A^T (A x - b)")
    with pytest.raises(mc.UnknownName):
        mc.check("x^T A x", "x", "foo(x)")


def test_unreadable_claims_are_refused() -> None:
    with pytest.raises(mc.ParseError) as error:
        mc.check("x^T A x", "x", "2 A (x")
    assert error.value.source == "2 A (x"
    with pytest.raises(mc.UsageError, match="no claim"):
        mc.check("x^T A x", "x")
    with pytest.raises(mc.UsageError, match="only where it was computed"):
        mc.check("x^T A x", "x", np.ones(2))
    with pytest.raises(mc.UsageError, match="a claim is a formula"):
        mc.check("x^T A x", "x", object(), at={"A": np.eye(2), "x": np.ones(2)})
    with pytest.raises(mc.UsageError, match="no layout"):
        mc.check("x^T A x", "x", "2 A x", layout="sideways")


def test_deep_and_long_claims() -> None:
    assert mc.check("x^T x", "x", "(" * 500 + "2 x" + ")" * 500).ok
    assert mc.check("x^T x", "x", " + ".join(["x"] * 400)).verdict == "wrong"
    nested = "tanh(" * 300 + "x" + ")" * 300
    assert mc.check("x^T x", "x", nested).verdict == "wrong"


# --- the command line ----------------------------------------------------------------------------


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "x^T A x", "--wrt", "x", "--claim", "2 A x"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "WRONG in general, right if A is symmetric"
    assert lines[1] == "right formula: (A + A^T) x"
    assert lines[2].startswith("counterexample: at ")
    assert lines[3].startswith("tried: 4 random points, seed 0, sizes n = 3")
    assert main(["check", "x^T A x", "--wrt", "x", "--claim", "A x + A^T x"]) == 0
    assert main(["check", "x^T A x", "--wrt", "x", "--claim", "-A x"]) == 1
    assert main(["check", "x^T A x", "--wrt", "x", "--claim", "2 A ("]) == 2
    assert main(["check", "x^T A x", "--wrt", "x"]) == 2
    assert main(["check", "x^T A x", "--wrt", "x", "--claim", "2 B x"]) == 3
    assert main(["check", "x^T x", "--wrt", "x", "--claim", "2.0000001 x"]) == 4
    assert main(["check", "x^T A x", "--wrt", "x", "--claim", "2 A x", "--var", "A: matrix(n, n) symmetric"]) == 0


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "x^T A x", "--wrt", "x", "--claim", "2 A x", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    result = answer["result"]
    assert result["verdict"] == "wrong"
    assert result["right_if"] == ["A is symmetric"]
    assert result["faults"][0]["kind"] == "assumption"
    assert result["counterexample"]["yours"] != result["counterexample"]["right"]
    assert result["sizes"][0] == {"n": 3}


def test_the_answer_does_not_depend_on_the_hash_seed() -> None:
    code = (
        "import matcalc as mc\n"
        "for text, wrt, claim in [('tr(A X B)', 'X', 'B A'), ('x^T A x', 'x', '2 A x'), ('||x||', 'x', 'x + 1')]:\n"
        "    print(mc.check(text, wrt, claim).to_dict())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1


def test_diff_does_not_load_the_checker() -> None:
    code = (
        "import sys; from matcalc.cli import main; main(['diff', 'x^T A x', '--wrt', 'x']); "
        "sys.exit(any(name.startswith('matcalc.claims') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


# --- the pieces ----------------------------------------------------------------------------------


def test_numbers_are_named() -> None:
    sizes = [{"m": 2, "n": 3}, {"m": 5, "n": 4}, {"m": 7, "n": 2}]

    def named(*values: float, **scalars: list[float]) -> Any:
        found = name_coefficient(values, sizes, scalars)
        return found and tuple(found)

    assert named(1.0, 1.0, 1.0) == ("one", "1")
    assert named(-1.0, -1.0, -1.0) == ("minus", "-1")
    assert named(0.0, 0.0, 0.0) == ("zero", "0")
    assert named(2 / 3, 2 / 3, 2 / 3) == ("rational", "2/3")
    assert named(1 / 6, 1 / 20, 1 / 14) == ("size", "1/(m n)")
    assert named(4 / 3, 1.0, 2.0) == ("size", "4/n")
    assert named(4.0, 9.0, 2.25, t=[2.0, 3.0, 1.5]) == ("scalar", "t^2")
    assert named(0.1, 0.7, 0.2) is None
    assert named(float("nan"), 1.0, 1.0) is None


def test_expansion_multiplies_out() -> None:
    types = {"A": "matrix(n, n)", "B": "matrix(n, n)", "x": "vector(n)"}
    assert equal(mc.parse("(A + B) (A - B) x", types).node, mc.parse("A A x - A B x + B A x - B B x", types).node)
    assert not equal(mc.parse("(A + B) (A - B) x", types).node, mc.parse("A A x - B B x", types).node)
    one = expanded(mc.parse("(A + B)^2 x", types).node)
    assert one.shape == mc.parse("x", types).node.shape


def test_surgery_replaces_one_place() -> None:
    program = read("2 A^T (A x - b)")
    for path, node in places(program):
        assert to_text(put(program, path, node)) == to_text(program)
    texts = [to_text(edit.tree) for edit in edits(program)]
    assert "2 A (A x - b)" in texts
    assert "2 A^T (A x + b)" in texts
    assert "2 A^T (A x)" in texts
    assert "A^T (A x - b)" in texts


# --- the corpus ----------------------------------------------------------------------------------


def summary(outcomes: list[claim_faults.Outcome]) -> str:
    missed = [outcome for outcome in outcomes if not outcome.ok]
    lines = [f"{len(outcomes) - len(missed)} of {len(outcomes)}"]
    lines += [f"{o.claim.fault}: {o.claim.case.name}: {o.claim.text!r}: {o.verdict} {o.kinds}" for o in missed]
    return "\n".join(lines)


def test_a_sample_of_injected_faults_is_named() -> None:
    chosen = claim_faults.some_wrong_claims(list(claim_faults.CASES.values())[3::45], 2, 0)
    outcomes = [claim_faults.examine(claim) for claim in chosen]
    assert len(outcomes) >= 20
    assert all(outcome.verdict == "wrong" for outcome in outcomes), summary(outcomes)
    assert sum(outcome.ok for outcome in outcomes) >= 0.85 * len(outcomes), summary(outcomes)


def test_a_sample_of_rewritten_formulas_is_right() -> None:
    cases = list(claim_faults.CASES.values())[3::45]
    chosen = claim_faults.sample_of(claim_faults.by_fault(claim_faults.right_claims, cases), 4, 0)
    outcomes = [claim_faults.examine(claim) for claim in chosen]
    assert len(outcomes) >= 20
    assert all(outcome.ok for outcome in outcomes), summary(outcomes)


@pytest.mark.slow
def test_injected_faults_are_named() -> None:
    """At least 95 of 100 faults by a correct name, and no wrong claim taken for right."""
    cases = list(claim_faults.CASES.values())[::4]
    chosen = claim_faults.sample_of(claim_faults.by_fault(claim_faults.wrong_claims, cases), 18, 0)
    outcomes = [claim_faults.examine(claim) for claim in chosen]
    assert len(outcomes) >= 300
    assert not any(outcome.verdict == "right" for outcome in outcomes), summary(outcomes)
    assert sum(outcome.ok for outcome in outcomes) >= 0.95 * len(outcomes), summary(outcomes)


@pytest.mark.slow
def test_rewritten_formulas_are_right() -> None:
    """No false alarm."""
    cases = list(claim_faults.CASES.values())[::4]
    chosen = claim_faults.sample_of(claim_faults.by_fault(claim_faults.right_claims, cases), 45, 0)
    outcomes = [claim_faults.examine(claim) for claim in chosen]
    assert len(outcomes) >= 300
    assert all(outcome.ok for outcome in outcomes), summary(outcomes)
