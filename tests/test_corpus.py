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
from matcalc.calculus.present import present
from matcalc.calculus.simplify import flat_product, rewrite, simplify
from matcalc.elaborate import Elaborated, elaborate
from matcalc.errors import UnknownName
from matcalc.expr.build import swap_axes, variables, with_children
from matcalc.expr.nodes import Call, Node, Product, Sum, Variable, postorder
from matcalc.notation.cost import operator_count
from matcalc.notation.echo import habits
from matcalc.notation.latex import to_latex
from matcalc.notation.matrices import to_program
from matcalc.notation.precedence import walk
from matcalc.notation.text import to_text
from matcalc.notation.unicode import to_unicode
from matcalc.ops.apply import call
from matcalc.ops.registry import OPERATIONS
from matcalc.syntax.ast import Ast, Name
from matcalc.syntax.parse import parse

CASES = load_cases()
PROPERTIES = frozenset(
    (
        "symmetric",
        "spd",
        "psd",
        "skew",
        "diagonal",
        "lower",
        "upper",
        "orthogonal",
        "nonnegative",
        "positive",
        "integer",
    )
)

#: The share of problems whose formula is that of a reference, as `same_form` compares them.
SHARE_AS_THE_REFERENCE = 0.90
#: The share of formulas that have no more operators than the reference.
SHARE_NO_LONGER = 0.98
#: No formula has more than so many times the operators of the reference.
LARGEST_RATIO = 1.5


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
    program = parse(case.text, is_function=OPERATIONS.__contains__)
    tree = to_program(formula(elaborated.node, wrt), list(elaborated.symbols), spellings=habits(program))
    return elaborated, node, tree


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
    return re.sub(r"\s+", "", text)


def notation_free(root: Node) -> Node:
    """The normal form with nested products written out and every transpose at the leaves, sums left as they are."""
    done: dict[bytes, Node] = {}
    for node in postorder(root):
        children = [done[child.digest] for child in node.children]
        if isinstance(node, Product):
            operands = [(child, f.exponent, f.labels) for child, f in zip(children, node.factors, strict=True)]
            built = rewrite(flat_product(operands, range(node.order), dict(enumerate(node.sizes))))
            if isinstance(built, Product) and len(built.factors) == 1 and isinstance(built.factors[0].node, Sum):
                factor = built.factors[0]
                if factor.exponent == 1 and factor.labels == (1, 0):
                    built = swap_axes(factor.node)
        elif isinstance(node, Call) and node.op == "inv" and node.order == 2:
            one, other = children[0], swap_axes(children[0])
            built = call("inv", one) if one.digest <= other.digest else swap_axes(call("inv", other))
        else:
            built = rewrite(with_children(node, children)) if children else node
        done[node.digest] = built
    return done[root.digest]


def normal(case: Case, text: str) -> Node:
    (node,) = simplify(meaning(case, text).node)
    return notation_free(notation_free(node))


def same_form(case: Case) -> bool:
    """Whether our formula is the reference's up to the order of terms and factors, the spelling of an operation, where
    a transpose is written and whether an intermediate has a name; nothing is multiplied out or factored."""
    _, node, tree = printed(case.name)
    text = to_text(tree, separator="; ")
    if plain(text) == plain(case.expected):
        return True
    sized = case.expected
    if node.shape:
        length = str(node.shape[0]).replace(" ", "*")
        sized = re.sub(r"\bI\b(?!\()", f"I({length})", sized)
    for reference in (case.expected, sized, sized.replace("vector(1)", f"ones({node.shape[0] if node.shape else 1})")):
        try:
            theirs = normal(case, reference)
        except ValueError:
            continue
        if normal(case, text) == theirs:
            return True
    return False


def problem(case: Case) -> tuple[str, ...]:
    """What is differentiated, whatever the letters: cases with the same problem come from different references."""
    elaborated = meaning(case, case.text)
    order = [*case.variables, *sorted(set(elaborated.symbols) - set(case.variables))]
    (node,) = simplify(elaborated.node)
    texts = [to_text(to_program(present(node), order)), *case.variables]
    texts += [f"{name}: {case.vars[name]}" for name in order if name in case.vars]
    letters: dict[str, str] = {}
    fixed = set(OPERATIONS) | {"T", "scalar", "vector", "matrix", "tensor"} | PROPERTIES

    def letter(found: re.Match[str]) -> str:
        name = found.group(0)
        return name if name in fixed else letters.setdefault(name, f"v{len(letters)}")

    return tuple(re.sub(r"[A-Za-z_]\w*", letter, text) for text in texts)


def test_formulas_are_written_as_the_references_write_them() -> None:
    """A problem counts when our formula is that of one of the references that print it."""
    stated = [case for case in CASES if case.expected]
    matched: dict[tuple[str, ...], bool] = {}
    names: dict[tuple[str, ...], list[str]] = {}
    for case in stated:
        key = problem(case)
        matched[key] = matched.get(key, False) or same_form(case)
        names.setdefault(key, []).append(case.name)
    share = sum(matched.values()) / len(matched)
    others = [names[key] for key, found in matched.items() if not found]
    assert len(matched) >= 250
    assert share >= SHARE_AS_THE_REFERENCE, f"{share:.3f} of {len(matched)}: {others}"


def reference_operators(case: Case) -> int:
    """The operators of the reference; an element written ``x_1`` counts as the index that it is."""
    tree = parse(case.expected, is_function=OPERATIONS.__contains__)
    names = set(meaning(case, case.text).symbols)
    written = [node.id for node in walk(tree) if isinstance(node, Name)]
    elements = [name for name in written if name not in names and name.partition("_")[0] in names and "_" in name]
    return operator_count(tree) + len(elements)


def test_formulas_are_no_longer_than_the_references() -> None:
    """Where several references print one problem, the longest is the measure: det(X) X^-T beside cofactor(X)."""
    stated = [case for case in CASES if case.expected]
    longest: dict[tuple[str, ...], int] = {}
    for case in stated:
        key = problem(case)
        longest[key] = max(longest.get(key, 0), reference_operators(case))
    longer: dict[str, float] = {}
    for case in stated:
        mine, theirs = operator_count(printed(case.name)[2]), longest[problem(case)]
        if mine > theirs:
            longer[case.name] = mine / max(theirs, 1)
    share = 1 - len(longer) / len(stated)
    assert len(stated) >= 400
    assert share >= SHARE_NO_LONGER, f"{share:.3f}: {longer}"
    assert max(longer.values(), default=1.0) <= LARGEST_RATIO, longer
