"""The textbook corpus: every derivative right, readable again, and written as the reference writes it."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import oracle
import pytest
from corpus_data import Case, load_cases, sample_case
from node_eval import evaluate

from matcalc.calculus.formula import differentiate, formula
from matcalc.calculus.simplify import simplify
from matcalc.elaborate import Elaborated, elaborate
from matcalc.errors import UnknownName
from matcalc.expr.build import variables
from matcalc.expr.nodes import Node, Variable
from matcalc.notation.latex import to_latex
from matcalc.notation.matrices import to_program
from matcalc.notation.text import to_text
from matcalc.notation.unicode import to_unicode
from matcalc.ops.registry import OPERATIONS
from matcalc.syntax.ast import Ast
from matcalc.syntax.parse import parse

CASES = load_cases()

#: The share of formulas that are the reference's own, up to the order of terms and factors and the spelling of one
#: operation (``A^T`` and ``A'``, ``ones(n)`` and ``vector(1)``, a named intermediate and what it stands for).
SHARE_AS_THE_REFERENCE = 0.83


def meaning(case: Case, text: str) -> Elaborated:
    return elaborate(parse(text, is_function=OPERATIONS.__contains__), dict(case.vars))


def wrt_of(case: Case, elaborated: Elaborated) -> list[Variable]:
    present = {variable.name: variable for variable in variables(elaborated.node)}
    result = []
    for name in case.variables:
        symbol = elaborated.symbols.get(name)
        fallback = Variable(name, symbol.type.shape, symbol.properties) if symbol else None
        variable = present.get(name, fallback)
        assert variable is not None
        result.append(variable)
    return result


@cache
def printed(name: str) -> tuple[Elaborated, Node, Ast]:
    case = next(case for case in CASES if case.name == name)
    elaborated = meaning(case, case.text)
    wrt = wrt_of(case, elaborated)
    node = differentiate(elaborated.node, wrt)
    return elaborated, node, to_program(formula(elaborated.node, wrt), list(elaborated.symbols))


def relative_error(got: object, want: object) -> float:
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    return float(np.max(np.abs(got - want), initial=0.0) / max(1.0, np.max(np.abs(want), initial=0.0)))


def test_the_corpus_is_large_enough() -> None:
    assert len(CASES) >= 250
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(case.reference for case in CASES)


def numerical(case: Case, values: dict[str, np.ndarray], dims: dict[str, int]) -> tuple[np.ndarray, float]:
    """The derivative by the interpreter alone, and how far it can be trusted.

    A complex step gives a first derivative to the last digits. A second derivative is the complex step of our printed
    first one, which is checked by itself; the interpreter reads it like any other text.
    """
    program = oracle.read(case.text)
    if case.order == 1:
        try:
            return oracle.derivative(program, values, dims, case.wrt, types=case.vars, method="complex"), 1e-10
        except oracle.NotAnalyticError:
            return oracle.derivative(program, values, dims, case.wrt, types=case.vars, method="differences"), 1e-8
    first = meaning(case, case.text)
    (variable, second) = wrt_of(case, first)
    text = to_text(to_program(formula(first.node, [variable]), list(first.symbols)))
    try:
        return oracle.derivative(oracle.read(text), values, dims, second.name, types=case.vars, method="complex"), 1e-10
    except UnknownName:
        # the first derivative names a function of ours that the interpreter does not know
        want = oracle.derivative(program, values, dims, case.wrt, order=2, wrt2=case.wrt2, types=case.vars)
        return want, 1e-6


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_derivative_agrees_with_the_interpreter(case: Case) -> None:
    _, node, _ = printed(case.name)
    dims, values = sample_case(case)
    want, tolerance = numerical(case, values, dims)
    assert relative_error(evaluate(node, values, dims), want) < tolerance


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_printed_formula_reads_back_to_the_same_numbers(case: Case) -> None:
    _, node, tree = printed(case.name)
    dims, values = sample_case(case, seed=1)
    want = evaluate(node, values, dims)
    for text in (to_text(tree), to_unicode(tree)):
        again = meaning(case, text)
        assert relative_error(evaluate(again.node, values, dims), want) < 1e-9
    assert to_latex(tree).count("{") == to_latex(tree).count("}")


def plain(text: str) -> str:
    """A reference with the spellings that mean the same made one."""
    text = text.replace("vector(1)", "ones(n)")
    return re.sub(r"\s+", "", text)


def same_form(case: Case) -> bool:
    """Whether our formula is the reference's: the same text, or the same node when nothing is multiplied out."""
    elaborated, _, tree = printed(case.name)
    text = to_text(tree, separator="; ")
    if plain(text) == plain(case.expected) or re.sub(r"\bI\(\w+\)", "I", plain(text)) == plain(case.expected):
        return True
    try:
        reference = meaning(case, case.expected.replace("vector(1)", "ones(n)"))
    except ValueError:
        return False
    (ours,), (theirs,) = simplify(meaning(case, text).node), simplify(reference.node)
    return ours == theirs


def test_formulas_are_written_as_the_references_write_them() -> None:
    stated = [case for case in CASES if case.expected]
    others = [case.name for case in stated if not same_form(case)]
    share = 1 - len(others) / len(stated)
    assert share >= SHARE_AS_THE_REFERENCE, f"{share:.3f}: {others}"
