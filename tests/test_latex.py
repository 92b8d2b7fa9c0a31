"""LaTeX in: the grammar, what is read as what, the corpus, our own LaTeX read back, and the errors."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from corpus_data import Case, load_cases
from node_eval import evaluate
from random_ast import canonical, random_ast

import matcalc as mc
from matcalc.errors import LimitError, MatcalcError, ParseError, Span, Unsupported, UsageError
from matcalc.expression import Expr, is_function
from matcalc.notation.latex import to_latex
from matcalc.notation.precedence import walk
from matcalc.notation.text import to_text
from matcalc.ops.registry import OPERATIONS
from matcalc.syntax.ast import Add, Ast, Binary, Call, Index, Name, Norm, Num, Program, Transpose
from matcalc.syntax.detect import is_latex
from matcalc.syntax.grammar_file import read_grammar
from matcalc.syntax.latex.parse import parse
from matcalc.syntax.parse import parse as parse_text
from matcalc.syntax.rewrite import rewritten
from matcalc.syntax.table import TABLES, build_table, load_table, stored_path, to_json

ROOT = Path(__file__).resolve().parents[1]


def read(text: str, declared: tuple[str, ...] = ()) -> Program:
    return parse(text, is_function=is_function, declared=declared)


def as_text(text: str, declared: tuple[str, ...] = ()) -> str:
    """A LaTeX text in plain notation."""
    return to_text(read(text, declared), separator="; ")


# --- the grammar ---------------------------------------------------------------------------------


def test_the_grammar_has_no_conflict_and_its_stored_table_is_current() -> None:
    grammar = read_grammar("latex.lark")
    built = build_table(grammar, TABLES["latex"])
    stored = Path(stored_path("latex")).read_text(encoding="utf-8")
    assert stored == to_json(built, grammar), "run python -m matcalc.syntax.table"
    assert load_table("latex", TABLES["latex"]) == built


def test_every_rule_of_the_grammar_has_an_action_and_is_used() -> None:
    from matcalc.syntax.latex.build import ACTIONS

    named = {rule.action for rule in load_table("latex", TABLES["latex"]).rules if not (rule.single and rule.size == 1)}
    assert named <= set(ACTIONS) | {"program"}


def test_plain_text_does_not_load_the_reader_of_latex() -> None:
    code = (
        "import sys; from matcalc.cli import main; main(['diff', 'x^T A x', '--wrt', 'x']);"
        "print([m for m in sys.modules if 'syntax.latex' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"


# --- the corpus ----------------------------------------------------------------------------------

PASTED = tomllib.loads((ROOT / "tests" / "latex_corpus.toml").read_text(encoding="utf-8"))["case"]


def declared_types(case: dict[str, Any]) -> dict[str, str]:
    """The declarations of a case, which a comma outside of brackets separates."""
    parts = re.split(r", (?=[A-Za-z_0-9]+: )", case["vars"])
    return dict(part.split(": ") for part in parts)


def drawn(case: dict[str, Any]) -> tuple[dict[str, str], dict[str, int], dict[str, oracle.Array]]:
    types = declared_types(case)
    dims = oracle.choose_dimensions(types, case.get("dims"))
    return types, dims, oracle.sample(types, dims, 0, case.get("scale"))


def test_the_corpus_of_latex_is_large_and_names_its_sources() -> None:
    assert len(PASTED) >= 150
    assert all(case["source"] for case in PASTED)
    assert len({case["latex"] for case in PASTED}) == len(PASTED)


@pytest.mark.parametrize("case", PASTED, ids=[case["latex"][:40] for case in PASTED])
def test_latex_means_what_its_text_means(case: dict[str, Any]) -> None:
    types, dims, values = drawn(case)
    spelled = case.get("names", {})
    expr = Expr(case["latex"], {spelled.get(name, name): kind for name, kind in types.items()}, syntax="latex")
    want = oracle.evaluate(oracle.read(case["text"]), values, dims)
    with np.errstate(divide="ignore", invalid="ignore"):  # of branches that are not taken
        got = evaluate(expr.node, {spelled.get(name, name): value for name, value in values.items()}, dims)
    assert np.all(np.isfinite(want))
    assert np.shape(got) == np.shape(want)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)
    request = expr.request
    assert (request is not None) == ("wrt" in case)
    if request is not None:
        assert list(request.wrt) == case["wrt"].split(", ")
        assert (request.claim is not None) == ("claim" in case)
    if request is not None and request.claim is not None:
        claim = evaluate(Expr(to_text(request.claim), types).node, values, dims)
        stated = oracle.evaluate(oracle.read(case["claim"]), values, dims)
        np.testing.assert_allclose(claim, stated, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", PASTED, ids=[case["latex"][:40] for case in PASTED])
def test_pasted_latex_is_recognised(case: dict[str, Any]) -> None:
    assert is_latex(case["latex"]) or "\\" not in case["latex"]


# --- our own LaTeX -------------------------------------------------------------------------------


NORM_NAMES = {"": "norm", "F": "normF", "1": "norm1", "inf": "norminf", "*": "nuclear"}


def first_factor(node: Ast) -> Ast:
    """What a product begins with: a digit is set apart by a dot."""
    while isinstance(node, Binary):
        node = node.left
    return node


def spelled_alike(_: Ast, node: Ast) -> Ast:
    """One spelling for what LaTeX does not tell apart and what means the same."""
    match node:
        case Num(value):
            return Num(value, str(value))
        case Add(((sign, Num(value)),)):
            return Num(sign * value, str(sign * value))
        case Binary("/", Num(a), Num(b)) if b:
            return Num(Fraction(a, b), str(Fraction(a, b)))
        case Binary("^", Num(base), Num(exponent)) if base == 10 and exponent.denominator == 1:
            value = base ** int(exponent)
            return Num(value, str(value))
        case Binary("dot", left, right) if isinstance(left, Num) or isinstance(first_factor(right), Num):
            return spelled_alike(node, Binary("*", left, right))
        case Norm(kind, arg) if kind in NORM_NAMES:
            return spelled_alike(node, Call(NORM_NAMES[kind], (arg,)))
        case Binary("*", Num(a), Num(b)):
            return Num(a * b, str(a * b))
        case Binary("*", left, right):
            return Binary("*", left, right)
        case Call("kron", (left, right)):
            return Binary("kron", left, right)
        case Call("inv", (arg,)):
            return spelled_alike(node, Binary("^", arg, Num(Fraction(-1), "-1")))
        case Call("transpose", (arg,)):
            return Transpose(arg)
        case Call(func, args, kwargs):
            record = OPERATIONS.get(func)
            return Call(record.name if record else func, args, kwargs)
        case Index(Name(base), (Name(item),)) if len(item) == 1:
            return Name(f"{base}_{item}")
        case Index(Name(base), (Num(value, text),)) if value.denominator == 1 and value >= 0:
            return Name(f"{base}_{text}")
        case Index(base, items) if all(isinstance(item, Name) and item.id.isalpha() for item in items):
            return Index(base, tuple(Name(letter) for item in items if isinstance(item, Name) for letter in item.id))
        case Index(base, items):
            return Index(base, items)
    return node


def alike(tree: Ast) -> object:
    return canonical(rewritten(tree, spelled_alike))


CASES = load_cases()


def derivative_of(case: Case) -> Expr:
    wrt = case.variables if len(case.variables) > 1 else case.wrt
    derivative = mc.derive(case.text, wrt, dict(case.vars), order=case.order)
    return Expr(derivative.formula, derivative.vars, derivative.node.shape)


@pytest.mark.parametrize("what", ["program", "derivative"])
@pytest.mark.parametrize("start", range(0, len(CASES), 60))
def test_our_latex_of_the_corpus_reads_back(start: int, what: str) -> None:
    """Programs and derivatives of the textbook corpus: the same tree up to spelling, or the same node."""
    for case in CASES[start : start + 60]:
        expr = Expr(case.text, dict(case.vars)) if what == "program" else derivative_of(case)
        again = Expr(expr.latex, expr.vars, expr.type.shape, "latex")
        same = alike(again.program) == alike(expr.program) or again.simplified.digest == expr.simplified.digest
        assert same, f"{case.name}: {expr.formula}\n{expr.latex}\n{again.formula}"


@pytest.mark.parametrize("start", range(0, 1500, 250))
def test_our_latex_of_random_expressions_reads_back(start: int) -> None:
    for seed in range(start, start + 250):
        program = parse_text(to_text(random_ast(seed)))
        called = frozenset(node.func for node in walk(program) if isinstance(node, Call))
        names = frozenset(node.id for node in walk(program) if isinstance(node, Name))
        latex = to_latex(program)
        again = parse(
            latex, is_function=lambda name, called=called: name in called or is_function(name), declared=names
        )
        assert alike(again) == alike(program), latex


# --- what is read as what ------------------------------------------------------------------------

READINGS = [
    # transposes
    *[(rf"x{mark} A x", "x^T A x") for mark in ("^T", r"^\top", r"^\intercal", r"^{\mathsf T}", r"^{\mathrm{T}}",
                                              r"^\prime", "'", r"^{\!\top}", r"^\mathsf{T}", r"^{\text{T}}", "^⊤")],
    (r"A^{-\top} A^{-T} A^{-1}", "A^-T A^-T A^-1"),
    # faces
    *[(rf"\{face}{{x}}", "x") for face in ("mathbf", "boldsymbol", "bm", "vec", "mathrm", "mathcal", "mathsf")],
    (r"\mathbf x^\top\mathbf{Ax}", "x^T A x"),
    (r"{\bf x}^T{\bf A}", "x^T A"),
    # norms
    *[(norm, "||x||") for norm in (r"\lVert x \rVert", r"\|x\|", r"\left\| x \right\|", r"\Vert x \Vert", "||x||",
                                   r"\bigl\| x \bigr\|", r"\norm{x}")],
    (r"\|X\|_F^2 + \|X\|^2_F + \|x\|_2^2 + \|x\|_1 + \|X\|_{\infty} + \|X\|_*",
     "||X||_F^2 + ||X||_F^2 + ||x||_2^2 + ||x||_1 + ||X||_inf + ||X||_*"),
    (r"||x||y||z||", "||x|| y ||z||"),
    # fractions and roots
    *[(rf"\{frac}{{a}}{{b}}", "a / b") for frac in ("frac", "dfrac", "tfrac", "cfrac")],
    (r"\frac12 x", "1/2 x"),
    (r"\frac1n\sum_{i=1}^n x_i", "1/n sum_{i=1}^{n} x_i"),
    (r"\sqrt2 x + \sqrt[3]{x} + \sqrt[n]{x}", "sqrt(2) x + cbrt(x) + x^(1/n)"),
    # functions
    *[(rf"{tr}(AX)", "tr(A X)") for tr in (r"\operatorname{tr}", r"\text{tr}", r"\mathrm{Tr}", r"\tr", r"\Tr")],
    (r"\log\det A", "logdet(A)"),
    (r"\log 2\pi + \operatorname{tr} AXB", "log(2 pi) + tr(A X B)"),
    (r"\sin x \cos y", "sin(x) cos(y)"),
    (r"a \log x \log y", "a log(x) log(y)"),
    (r"\log \sin x", "log(sin(x))"),
    (r"\exp\left(-x\right) y", "exp(-x) y"),
    (r"\exp\{-x\}", "exp(-x)"),
    (r"\log{x} y", "log(x) y"),
    (r"\tanh^2(x) + \sin^{-1} x", "tanh(x).^2 + asin(x)"),
    (r"\max(0, z) + \max\{0, z\}", "max(0, z) + max(0, z)"),
    (r"[z]_+ + (1 - z)_+", "relu(z) + relu(1 - z)"),
    (r"\sigma(z) + \sigma^2", "sigmoid(z) + sigma^2"),
    (r"\log\sum_i \exp(x_i) + b", "log(sum_i exp(x_i)) + b"),
    # products
    (r"A \odot B \circ C \otimes D", "kron(A .* B .* C, D)"),
    (r"a \cdot b \times c", "a · b c"),
    (r"2Ax", "2 A x"),
    (r"w^Tx_i", "w^T x_i"),
    (r"\langle x, y\rangle", "inner(x, y)"),
    # sums
    (r"\sum_{i,j} A_{ij}x_iy_j", "sum_{i,j} A_{ij} x_i y_j"),
    (r"\sum\limits_{i=1}^{N} x_i", "sum_{i=1}^{N} x_i"),
    (r"\sum^{N}_{i=1} x_i", "sum_{i=1}^{N} x_i"),
    (r"\sum_{\substack{i=1 \\ i \ne k}}^{n} x_i", "sum_{i=1}^{n} where(i != k, x_i, 0)"),
    (r"y_i = \sum_{j \ne i} x_j", "y_i = sum_j where(j != i, x_j, 0)"),
    (r"\sum_{i \in S} x_i", "sum_i S[i] x_i"),
    (r"\sum x_i^2 + \sum x", "sum_i x_i^2 + sum(x)"),
    (r"\lambda_{\max}(A) + \lambda_{\max}", "eigmax(A) + lambda_max"),
    (r"\mathbf{1}\{x > 0\} y", "(x > 0) y"),
    (r"f(x) = \log x, \quad x > 0", "f(x) = log(x)"),
    # names
    (r"\hat{y}_i + \hat y + \bar{\mathbf x} + \tilde{W}_1", "y_hat_i + y_hat + x_bar + W_tilde_1"),
    (r"W^{(1)} a^{[2]} + w^* + x_{\mathrm{train}}", "W_1 a_2 + w_star + x_train"),
    (r"x^{(i)}_j + W^{(1)\top} z", "x_i[j] + W_1^T z"),
    (r"X_{i\cdot} + X_{:,j}", "X[i, :] + X[:, j]"),
    (r"\varepsilon + \varphi + \ell", "epsilon + phi + ell"),
    # constants
    (r"\mathbf{1}^\top x + \mathbf{1}_n + \mathbf{0}", "ones^T x + ones(n) + zeros"),
    (r"\mathbb{1}_{m \times n}", "ones(m, n)"),
    (r"A + \mathbf{I} + I_n", "A + I + I(n)"),
    (r"\mathbb{1}[x > 0] y", "(x > 0) y"),
    # lines
    (r"\begin{align*} z &= W x \\ a &= f(z) \end{align*}", "z = W x; a = f(z)"),
    (r"\begin{gather} u = 2 x \\ u^2 \end{gather}", "u = 2 x; u^2"),
    (r"y \coloneqq Ax, \quad z := By", "y = A x; z = B y"),
    (r"f &= a + b \\ &\quad + c", "f = a + b + c"),
    (r"y = a z \quad\text{where}\quad z = x^2", "z = x^2; y = a z"),
    (r"x, y \in \mathbb{R}^n, \; A \in \mathbb{R}^{m\times n} \\ A x", "x, y: vector(n); A: matrix(m, n); A x"),
    (r"S \in \mathbb{S}_{++}^{n} \\ S", "S: matrix(n, n) spd; S"),
    (r"x \in R^n, A \in \mathrm{R}^{m\times n} \\ A x", "x: vector(n); A: matrix(m, n); A x"),
    (r"y ∈ ℝ^m \\ y^\top y", "y: vector(m); y^T y"),
    # layout
    (r"\displaystyle \left( \; x \, + ~ y \right)\! % a remark", "x + y"),
    (r"\min_{w, b} \|w\|^2.", "||w||^2"),
    (r"\hat w = \arg\min_w \|w\|^2", "||w||^2"),
    ("Find $f(x) = x^2$, please.", "f(x) = x^2"),
]  # fmt: skip


@pytest.mark.parametrize(("latex", "text"), READINGS, ids=[latex for latex, _ in READINGS])
def test_each_spelling_is_read_as_it_is_meant(latex: str, text: str) -> None:
    assert as_text(latex) == to_text(parse_text(text, is_function=is_function), separator="; ")


def test_a_declared_longer_name_wins() -> None:
    assert as_text("AB") == "A B"
    assert as_text("2AB + A B", ("AB",)) == "2 AB + A B"
    assert mc.parse(r"\frac12 lr x", {"lr": "scalar"}).order == ("lr", "x")


def test_a_letter_is_no_function_when_it_is_declared() -> None:
    assert mc.parse(r"\sigma(x + y)", {"sigma": "scalar"}).formula == "sigma (x + y)"
    assert mc.parse(r"\sigma(x + y)").formula == "sigmoid(x + y)"
    assert mc.parse(r"\lambda(x + y)").formula == "lambda (x + y)"
    with pytest.raises(mc.UnknownName, match="there is no function q"):
        mc.parse(r"\log q(x)")


@pytest.mark.parametrize(
    ("kind", "formula"),
    [("scalar", "abs(x)"), ("vector(n)", "||x||"), ("matrix(n, n)", "det(x)"), ("matrix(m, n)", "abs(x)")],
)
def test_single_bars_go_by_type(kind: str, formula: str) -> None:
    expr = mc.parse(r"\left|x\right|", {"x": kind})
    assert expr.formula == formula
    again = mc.parse(expr.latex, {"x": kind}, syntax="latex")
    assert again.simplified.digest == expr.simplified.digest


# --- derivatives that the text asks for ----------------------------------------------------------


@pytest.mark.parametrize(
    ("latex", "wrt", "formula"),
    [
        (r"\frac{\partial}{\partial x} x^\top A x", ("x",), "(A + A^T) x"),
        (r"\frac{\partial x^\top A x}{\partial x}", ("x",), "(A + A^T) x"),
        (r"\nabla_{\mathbf x} \mathbf x^\top \mathbf x", ("x",), "2 x"),
        (r"\frac{d}{dt} \sin(t)", ("t",), "cos(t)"),
        (r"\frac{\mathrm{d}}{\mathrm{d}t} \sin t", ("t",), "cos(t)"),
        (r"\frac{\partial^2}{\partial x^2} x^\top x", ("x", "x"), "2 I"),
        (r"\frac{\partial^2 f}{\partial x \partial x^\top}\text{ where } f = x^\top A x", ("x", "x"), "A + A^T"),
        (r"L = \|X w - y\|^2 \\ \frac{\partial L}{\partial w}", ("w",), "2 X^T (X w - y)"),
        (r"J(\theta) = \theta^\top\theta \\ \nabla_\theta J(\theta)", ("theta",), "2 theta"),
        (r"\nabla_w \left( \|w\|^2 + b^\top w \right)", ("w",), "2 w + b"),
    ],
)
def test_the_derivative_that_is_asked_for(latex: str, wrt: tuple[str, ...], formula: str) -> None:
    types = {"x": "vector(n)", "t": "scalar", "w": "vector(n)", "theta": "vector(n)"}
    derivative = mc.derive(latex, vars={name: kind for name, kind in types.items() if name in wrt})
    assert derivative.wrt == wrt
    want = Expr(formula, derivative.vars, derivative.node.shape)
    assert derivative.expr.simplified.digest == want.simplified.digest


def test_a_claim_is_carried_and_a_request_is_no_value() -> None:
    expr = mc.parse(r"\frac{\partial}{\partial x} x^\top A x = 2Ax")
    assert expr.request is not None
    assert expr.request.claim is not None
    assert to_text(expr.request.claim) == "2 A x"
    with pytest.raises(UsageError, match="asks for a derivative"):
        expr.compile()
    with pytest.raises(UsageError, match="the text asks for the derivative by x, the call for A"):
        mc.derive(expr, "A")
    with pytest.raises(UsageError, match="of order 1, the call for order 2"):
        mc.derive(expr, order=2)
    assert mc.derive(expr, "x").formula == "(A + A^T) x"


# --- errors --------------------------------------------------------------------------------------

ERRORS = [
    (r"x + \lamda y", ParseError, r"\lamda", "did you mean `\\lambda`?"),
    (r"x + \xyzzy", ParseError, r"\xyzzy", "newcommand"),
    (r"\left( x + 1", ParseError, r"\left(", "add the missing `)`"),
    (r"x + 1 \right)", ParseError, r"\right)", "add the `\\left`"),
    (r"\left( x \right]", ParseError, r"\right]", "put `)` before"),
    (r"a + x^{2", ParseError, "{", "add the missing `}`"),
    (r"x} + 1", ParseError, "}", "add the missing `{`"),
    (r"1 + \frac{x}", ParseError, r"\frac{x}", "write `\\frac{a}{b}`"),
    (r"\begin{tikz} x \end{tikz}", ParseError, r"\begin{tikz}", "align"),
    (r"\begin{algn} x \end{algn}", ParseError, r"\begin{algn}", "did you mean `align`?"),
    (r"\begin{align} x \end{gather}", ParseError, r"\end{gather}", "\\end{align}"),
    (r"x_i_j", ParseError, "_", "x_{i,j}"),
    (r"\int_0^1 x", Unsupported, r"\int", "sum"),
    (r"\mathbb{E}[x]", Unsupported, r"\mathbb", "mean"),
    (r"\newcommand{\a}{\b}\newcommand{\b}{\a\a}\a", LimitError, r"\a", "contain itself"),
    (r"a \frac{\partial f}{\partial x}", Unsupported, r"\frac{\partial f}{\partial x}", "one derivative"),
    (r"\nabla_x f + x", ParseError, "+", "brackets around what is differentiated"),
    (r"x_1, \dots, x_n", Unsupported, r"\dots", "index"),
    (r"\mathcal{L} = L x", Unsupported, "L", "rename"),
    (r"f'(x)", Unsupported, "f'", "derivative"),
    (r"\max_i x_i", Unsupported, r"\max", "largest entry"),
    (r"x^\dagger", Unsupported, "^", "real"),
    (r"a + b \\ c + d \\ e", ParseError, "a + b", "give one of them"),
    (r"x^\top A x = 0", ParseError, r"x^\top A x", "assign"),
    (r"A_{1j}", ParseError, "_{1j", "two indices"),
    (r"\overline{AB}", ParseError, r"\overline{AB", "name of its own"),
    (r"\left. x \right|_{x=0}", ParseError, r"\left.", "bracket"),
]


@pytest.mark.parametrize(("latex", "kind", "part", "hint"), ERRORS, ids=[row[0] for row in ERRORS])
def test_errors_point_into_the_latex_and_say_what_to_write(
    latex: str, kind: type[MatcalcError], part: str, hint: str
) -> None:
    with pytest.raises(kind) as raised:
        mc.parse(latex, syntax="latex")
    error = raised.value
    assert error.source == latex
    assert error.span is not None
    assert latex[error.span.start : error.span.end].startswith(part)
    assert error.hint is not None
    assert hint in error.hint
    assert error.caret is not None


def span_of_error(text: str) -> Span | None:
    """Where the reader refuses a text, if it does; any other exception is a defect."""
    try:
        read(text)
    except MatcalcError as error:
        return error.span
    return None


def test_no_text_makes_the_reader_stumble() -> None:
    """Every piece of valid LaTeX is either read or refused as an error of ours."""
    for case in PASTED:
        latex = case["latex"]
        for cut in range(1, len(latex), 7):
            for text in (latex[:cut], latex[cut:], latex[:cut] + latex[cut + 1 :]):
                place = span_of_error(text) or Span(0, 0)
                assert 0 <= place.start <= place.end <= len(text) + 1, text


# --- limits --------------------------------------------------------------------------------------


def test_nesting_and_length_have_no_cost_but_their_size() -> None:
    deep = r"\left(" * 1000 + "x" + r"\right)" * 1000
    assert as_text(deep) == "x"
    assert as_text("{" * 1000 + "x" + "}" * 1000) == "x"
    fraction = "x"
    for _ in range(300):
        fraction = rf"\frac{{{fraction}}}{{2}}"
    assert as_text(fraction).startswith("x/2 / 2 / 2")
    long = " + ".join([r"\frac{1}{2} \mathbf{x}^\top A \mathbf{x}"] * 2000)
    assert len(read(long).statements) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x^T A x", False), ("A \\ b", False), ("A\\b", False), ("x_train^\\top w", False), ("exp(x^\\top w)", False),
        (r"x^\top A x", True), (r"\frac12 x", True), ("$x^T x$", True), (r"\|x\|", True), (r"\[ x \]", True),
        (r"\lambda x", True), ("w ∈ R^n positive\nw^\\top w", False), ("w in ℝ^n\nw^\\top w", False),
        (r"w \in R^n \\ w^\top w", True),
    ],
)  # fmt: skip
def test_the_notation_is_told_from_the_text(text: str, expected: bool) -> None:
    assert is_latex(text) is expected


def test_the_notation_can_be_forced() -> None:
    assert mc.parse("Ax", syntax="latex").formula == "A x"
    assert mc.parse("Ax", syntax="text").order == ("Ax",)
    with pytest.raises(UsageError, match="there is no syntax 'tex'"):
        mc.parse("x", syntax="tex")


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("q = (A^2)^\\top\nq[1, 2]", "q = (A^2)^T; q[1, 2]"),
        ("B = A^\\top\nx^T B x", "B = A^T; x^T B x"),
        ("f(z) = A^\\top z\nf(x)^\\top f(x)", "f(z) = A^T z; f(x)^T f(x)"),
        ("J = x^\\top A x\n + b^\\top x", "x^T A x + b^T x"),
        ("y = A^\\top\n x", "A^T x"),
    ],
)
def test_lines_that_define_what_later_lines_use_are_statements(text: str, same: str) -> None:
    """``B = A^\\top`` and ``x^T B x`` below it were read as one product, in which B was a variable."""
    found, wanted = mc.parse(text), mc.parse(same)
    assert found.vars == wanted.vars
    assert found.node == wanted.node
