"""The forms of derivatives of many axes: each, read again and evaluated, is the compiled derivative rearranged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from corpus_data import Case, load_cases, sample_case

import matcalc as mc
from matcalc.derivation import Derivative
from matcalc.errors import NotDifferentiable, Unsupported
from matcalc.expression import Expr
from tests.node_eval import evaluate
from tests.random_programs import SIZES, random_case, values_of

RANDOM = np.random.default_rng(7)
TOLERANCE = 1e-9
DIMENSIONS = {"m": 2, "n": 3, "p": 4, "q": 5}


# --- the oracle ----------------------------------------------------------------------------------


def stacked(tensor: Any, orders: tuple[int, ...], layout: str) -> Any:
    """The matrix of a derivative by NumPy's own stacking; of a second one that of D vec((DF)^T)."""
    output, *variables = orders
    first = range(output, output + variables[0]) if len(variables) == 2 else range(0)
    rest = range(output + len(first), sum(orders))
    rows = int(np.prod(tensor.shape[: sum(orders[:-1])], dtype=int))
    if layout == "vec-row":
        return tensor.reshape(rows, -1)
    return tensor.transpose(*first, *range(output), *rest).reshape(rows, -1, order="F")


def value_of(text: str, types: Mapping[str, str], values: Mapping[str, Any], sizes: Mapping[str, int]) -> Any:
    """The value of a printed form by the independent interpreter of nodes."""
    return np.asarray(evaluate(Expr(text, dict(types)).node, dict(values), dict(sizes)))


def close(got: Any, want: Any) -> bool:
    return got.shape == want.shape and bool(
        np.max(np.abs(got - want), initial=0.0) <= TOLERANCE * max(1.0, np.max(np.abs(want), initial=0.0))
    )


def wrong_forms(d: Derivative, values: Mapping[str, Any], sizes: Mapping[str, int]) -> Iterator[str]:
    """What is wrong with the forms of a derivative in the layout gradient; the compiled derivative is the measure."""
    known = {**sizes, **values}
    compiled = d.compile()
    tensor = np.asarray(compiled(**{name: known[name] for name in compiled.args}), dtype=float)
    orders = d._orders
    types = dict(d.vars)
    split = tensor.ndim - orders[-1]
    for name, form in d.forms.items():
        extra = {
            argument: RANDOM.standard_normal(tensor.shape[split:] if name == "map" else tensor.shape[:split])
            for argument in form.vars
        }
        got = value_of(form.text, {**types, **form.vars}, {**values, **extra}, sizes)
        (direction,) = extra.values() or (None,)
        if name == "map":
            want = np.tensordot(tensor, direction, orders[-1])
        elif name == "adjoint":
            want = np.tensordot(direction, tensor, split)
        else:
            want = stacked(tensor, orders, "vec") if name == "kronecker" else tensor
        if not close(got, np.asarray(want)):
            yield f"{name}: {form.text}"
        if form.shape != () and len(form.shape) != got.ndim:
            yield f"{name}: the shape is said to be {form.shape}, it is {got.shape}"
        if name not in ("map", "adjoint") and not close(value_of(form.unicode, types, values, sizes), got):
            yield f"{name}: {form.unicode}"
    for layout in ("vec", "vec-row"):
        turned = d.in_layout(layout)
        text = turned.formula
        want = stacked(tensor, orders, layout)
        if not close(value_of(text, types, values, sizes), want):
            yield f"{layout}: {text}"
        function = turned.compile()
        if not close(np.asarray(function(**{name: known[name] for name in function.args}), dtype=float), want):
            yield f"{layout}: the compiled function"


# --- the corpus and random programs --------------------------------------------------------------

CASES = [
    case for case in load_cases() if case.order == 2 or case.vars.get(case.wrt, "").startswith(("matrix", "tensor"))
]


def derivative_of(case: Case) -> Derivative:
    wrt = case.variables if len(set(case.variables)) > 1 else case.wrt
    return mc.derive(case.text, wrt, dict(case.vars), order=case.order)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_form_of_a_textbook_problem_is_its_derivative(case: Case) -> None:
    d = derivative_of(case)
    sizes, values = sample_case(case, seed=3)
    assert list(wrong_forms(d, values, sizes)) == []


@pytest.mark.parametrize("number", range(60))
def test_every_form_of_a_random_program_is_its_derivative(number: int) -> None:
    case = random_case(5, number)
    values = values_of(case)
    try:
        expr = Expr(case.text, dict(case.types))
        d = mc.derive(expr, case.wrt if len(set(case.wrt)) > 1 else case.wrt[0], order=case.order)
        assert d.formula
    except (NotDifferentiable, Unsupported):
        pytest.skip("refused")
    assert list(wrong_forms(d, values, SIZES)) == []
