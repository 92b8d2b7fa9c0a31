"""Errors as a part of the product: class, place, caret, hint, plain data and exit status."""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import matcalc as mc
from matcalc import errors
from matcalc.cli import main
from matcalc.error_guide import GUIDES
from matcalc.errors import MatcalcError, NotDifferentiable, ShapeError, Span, UnknownName, UsageError

TABLE = tomllib.loads((Path(__file__).parent / "error_cases.toml").read_text(encoding="utf-8"))
CASES: list[dict[str, Any]] = TABLE["case"]
DECLARED: dict[str, str] = TABLE["vars"]
FAMILY = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MatcalcError)]


def raised(text: str, **arguments: Any) -> MatcalcError:
    with pytest.raises(MatcalcError) as caught:
        mc.derive(text, **{"wrt": "x", "vars": DECLARED, **arguments})
    return caught.value


def test_the_table_is_long_and_by_all_kinds_of_newcomers() -> None:
    assert len(CASES) >= 120
    assert len({case["text"] for case in CASES}) == len(CASES)
    assert {case["by"] for case in CASES} == {"students", "numpy", "matlab", "latex"}
    assert {case["error"] for case in CASES} >= {kind.__name__ for kind in FAMILY} - {"MatcalcError", "LimitError"}


@pytest.mark.parametrize("case", CASES, ids=[case["text"] for case in CASES])
def test_what_a_newcomer_is_told(case: dict[str, Any]) -> None:
    error = raised(case["text"])
    assert type(error).__name__ == case["error"]
    assert error.position == (case.get("line", 1), case["column"])
    assert error.span is not None
    assert error.source is not None
    assert error.source[error.span.start : error.span.end] == case["place"]
    assert case["hint"] in (error.hint or "")
    assert "\n" not in error.message
    facts = error.to_dict()
    assert facts["code"] == error.code
    assert (facts["line"], facts["column"]) == error.position
    assert str(error) == "\n".join([error.message, error.caret or "", f"hint: {error.hint}"])


@pytest.mark.parametrize("case", CASES[::9], ids=[case["text"] for case in CASES[::9]])
def test_the_command_line_says_the_same_in_json(case: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["diff", "--wrt", "x", *(word for name, kind in DECLARED.items() for word in ("--var", f"{name}: {kind}"))]
    status = main([*words, "--json", case["text"]])
    printed = capsys.readouterr()
    assert printed.err == ""
    error = raised(case["text"])
    assert json.loads(printed.out)["error"] == error.to_dict()
    assert status == error.exit_status
    assert main([*words, case["text"]]) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert str(error) in printed.err


def test_every_class_has_a_code_and_the_status_of_its_kind() -> None:
    codes = [kind.code for kind in FAMILY]
    assert len(set(codes)) == len(codes)
    assert {kind.code: kind.exit_status for kind in FAMILY if kind is not MatcalcError} == {
        "syntax": 2, "usage": 2, "limit": 2, "name": 3, "shape": 3, "domain": 3,
        "not-differentiable": 4, "unsupported": 4,
    }  # fmt: skip
    assert all(issubclass(kind, ValueError) for kind in FAMILY)


def test_the_caret_stands_below_the_place_also_in_long_lines() -> None:
    error = MatcalcError("m", span=Span(150, 153), source="a" * 150 + "bad" + "a" * 100)
    assert error.caret is not None
    line, marks = error.caret.split("\n")
    assert len(line) <= 102
    assert line[marks.index("^") : marks.rindex("^") + 1] == "bad"


def test_a_fault_in_a_declaration_is_shown_there() -> None:
    error = raised("a + x^T x", vars={"x": "vector(0)"})
    assert error.source == "x: vector(0)"
    assert error.caret == "  x: vector(0)\n     ^^^^^^^^^"


def test_the_three_readings_of_a_product_of_columns() -> None:
    error = raised("x y")
    assert error.message == "cannot multiply x (n) by y (n): both are columns"
    for reading in ("x^T y", "x y^T", "x .* y"):
        assert reading in (error.hint or "")
        assert mc.parse(reading, DECLARED).formula


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("x^T A x / x^T x", "(x^T A x) / (x^T x)"),
        ("log x", "log(x)"),
        ("xTAx", "x^T A x"),
        ("A^T²", "(A^T)^2"),
        ("[A, x; x, a]", "[A, x; x^T, a]"),
        ("x A", "x^T A"),
        ("A x^T", "A x"),
        ("x^T Ax", "x^T A x"),
        ("x(2)", "x[2]"),
        ("A^T A^t", "A^T A^T"),
    ],
)
def test_the_proposed_text_is_right(wrong: str, right: str) -> None:
    error = raised(wrong)
    assert mc.parse(right, DECLARED).formula
    assert any(part in (error.hint or "") for part in (right, right.split("; ")[-1].split(",")[0], right[-3:]))


def test_no_intermediate_gets_the_name_of_an_invented_size() -> None:
    expr = mc.parse("q = A B C D x; q^T q")
    sizes = {word for text in expr.vars.values() for word in re.findall(r"\w+", text)}
    assert "q" not in sizes
    assert mc.parse(expr.formula, expr.vars).vars == expr.vars


def test_a_derivative_with_named_intermediates_is_read_back() -> None:
    text = 'q = mean(cbrt(W), axis=1) + Q z + z; sin(tan(einsum("i,j->ij", norm(A^T, axis=1), q - q - q)))'
    declared = {"z": "vector(k)", "W": "matrix(k, p)", "Q": "matrix(k, k) skew", "A": "matrix(p, m)"}
    for given in (declared, {}):
        expr = mc.parse(text, given)
        found = mc.derive(expr, "z")
        assert mc.parse(found.formula, expr.vars, "text").shape == found.shape
        assert mc.derive(expr.formula, "z", expr.vars).formula == found.formula


def test_sizes_that_factors_share_are_divided_out() -> None:
    expr = mc.parse("unvec(kron(w, x), 2, n)", {"x": "vector(n)"})
    assert expr.vars["w"] == "vector(2)"
    w, x = np.array([2.0, 3.0]), np.array([1.0, 4.0, 5.0])
    assert np.array_equal(expr.compile()(w=w, x=x), np.kron(w, x).reshape((2, 3), order="F"))
    assert raised("unvec(kron(w, x), 2, n)", vars={"x": "vector(n)", "w": "vector(3)"}).code == "shape"


def test_a_size_of_no_variable_is_said_to_be_assumed() -> None:
    (note,) = mc.derive("a sum_{i=1}^{n} 1", "a", {"a": "scalar"}).notes
    assert note == "n is taken as a size, a whole number above 0: no variable has it"
    assert mc.derive("a sum_{i=1}^{n} x_i", "a").notes == ()
    assert mc.derive("a sum_{i=1}^{n} 1", "a", {"a": "scalar", "x": "vector(n)"}).notes == ()


def test_what_has_no_derivative_is_shown_in_the_text() -> None:
    error = raised("a + argmax(A x)")
    assert isinstance(error, NotDifferentiable)
    assert error.caret == "  a + argmax(A x)\n      ^^^^^^^^^^^"


@pytest.mark.parametrize("name", ["x+y", "2", "x^T", "sum(x)", "x[1]", "n", "pi", "exp", "I", ""])
def test_a_derivative_is_taken_by_a_name(name: str) -> None:
    with pytest.raises(MatcalcError) as caught:
        mc.derive("x^T x", name, DECLARED)
    assert caught.value.exit_status in (2, 3)
    assert caught.value.hint


def test_a_word_that_is_not_allowed_proposes_the_nearest() -> None:
    with pytest.raises(UsageError, match="there is no layout 'gradent'") as caught:
        mc.derive("x^T x", "x", layout="gradent")
    assert caught.value.hint == "did you mean gradient? the layouts are gradient, numerator, denominator, vec, vec-row"
    with pytest.raises(UsageError, match="there is no style None"):
        mc.explain("x^T x", "x", style=None)  # type: ignore[arg-type]


def test_two_spellings_of_one_name_may_not_differ() -> None:
    with pytest.raises(UsageError, match="two spellings"):
        mc.parse("lambda x", {"lambda": "scalar", "λ": "vector(n)"})


def test_words_of_other_languages_are_names_once_they_are_declared() -> None:
    assert mc.derive("if x", "x", {"if": "scalar", "x": "vector(n)"}).formula == "if I(n)"
    with pytest.raises(UnknownName):
        mc.derive("if x", "x", {"x": "vector(n)"})


def test_a_power_with_an_array_does_not_expand() -> None:
    with pytest.raises(ShapeError, match="to the power"):
        mc.parse("x^A", DECLARED)
    assert mc.parse("x .^ A", DECLARED).shape == ("n", "n")


def test_the_pages_of_errors_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(__file__).resolve().parents[1] / "docs" / "reference"
    codes = {kind.code for kind in FAMILY if kind is not MatcalcError}
    assert {page.stem for page in (folder / "errors").glob("*.md")} == codes
    for code, path in {"": "errors.md", **{code: f"errors/{code}.md" for code in codes}}.items():
        words = ["errors", *([code] if code else []), "--markdown"]
        assert main(words) == 0
        page = (folder / path).read_text(encoding="utf-8")
        assert page == capsys.readouterr().out, f"run: matcalc {' '.join(words)} > docs/reference/{path}"


def test_the_examples_of_a_page_raise_what_the_page_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    for guide in GUIDES:
        raising = [cause for cause in guide.causes if not cause.title.startswith("For comparison")]
        assert raising
        for cause in raising:
            words = shlex.split(cause.command)[1:]
            assert main([*words[:1], "--json", *words[1:]]) == guide.kind.exit_status, cause.command
            assert json.loads(capsys.readouterr().out)["error"]["code"] == guide.kind.code, cause.command


def test_the_command_explains_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["errors"]) == 0
    out = capsys.readouterr().out
    assert all(kind.__name__ in out for kind in FAMILY if kind is not MatcalcError)
    assert main(["errors", "shape"]) == 0
    out = capsys.readouterr().out
    assert "both are columns" in out
    assert "```" not in out
    assert main(["errors", "shpae"]) == 2
    assert "did you mean shape?" in capsys.readouterr().err
    assert main(["errors", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["result"]) == {guide.kind.code for guide in GUIDES}


USER_FACING = (
    "api.py", "cli.py", "derivation.py", "elaborate", "syntax", "forms", "lower/function.py", "claims", "layout.py",
)  # fmt: skip


def test_every_error_that_is_written_out_has_a_next_move() -> None:
    names = {kind.__name__ for kind in FAMILY}
    package = Path(errors.__file__).parent
    missing = []
    for part in USER_FACING:
        place = package / part
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                    # a kind of syntax node that no reader makes
                    internal = "type(node)" in ast.unparse(node) or "type(statement)" in ast.unparse(node)
                    internal = internal or "node.op" in ast.unparse(node)
                    if not internal and all(keyword.arg != "hint" for keyword in node.keywords):
                        missing.append(f"{path.relative_to(package)}:{node.lineno}")
    assert missing == []
