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
