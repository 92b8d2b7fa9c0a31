"""What `explain_plan` says is what runs: orders, kernels, loops, buffers, the text."""

from __future__ import annotations

import re

import pytest

import matcalc as mc
from matcalc.cli import main
from matcalc.errors import UsageError
from matcalc.functions import Function
from matcalc.lower.panels import Loop, Machine, plan
from matcalc.lower.plans import RULES
from matcalc.lower.runs import prepared, schedule
from matcalc.lower.source import _WRITERS

ONE_THREAD = Machine()
LOGISTIC = {"X": "matrix(N, d)", "y": "vector(N)", "w": "vector(d)"}


def sections(text: str) -> dict[str, str]:
    """The parts of a plan by their title."""
    head, *parts = text.split("\n\n")
    return {"head": head, **dict(part.split("\n", 1) for part in parts)}


def logistic() -> Function:
    return mc.hessian("sum(log(1 + exp(-y .* (X w))))", "w", vars=LOGISTIC)


def shown(text: str) -> str:
    """A part of a plan as it was before it was indented."""
    return "\n".join(line.removeprefix("  ") for line in text.split("\n")).strip()


def test_loops_and_buffers_are_those_of_the_schedule() -> None:
    function, sizes = logistic(), {"N": 100_000, "d": 200}
    found = sections(function.explain_plan(sizes, ONE_THREAD))
    program = function.compiled._code_for(sizes).program
    planned = schedule(program, sizes, ONE_THREAD)
    assert planned is not None
    loops = [item for item in plan(prepared(program, sizes), ONE_THREAD) if isinstance(item, Loop)]
    assert len(loops) == 1
    panels = -(-loops[0].length // loops[0].step)
    assert f"{panels} panels of {loops[0].step} of 100000 rows" in found["loops"]
    assert loops[0].gain > 0
    assert len(found["buffers"].splitlines()) == len(planned.buffers)
    assert shown(found["text"]) == planned.read().strip()
    assert found["cost"].replace("\n  ", "\n").strip() == repr(function.cost(sizes, ONE_THREAD))
    assert "weighted_gram of 100000 x 200 and 100000" in found["kernels"]


def test_threads_share_loops_with_products() -> None:
    many = ONE_THREAD._replace(threads=8)
    gradient = mc.grad("sum(log(1 + exp(-y .* (X w))))", "w", vars=LOGISTIC)
    for function in (logistic(), gradient):
        found = sections(function.explain_plan({"N": 100_000, "d": 200}, many))
        assert "8 threads share the panels" in found["loops"]
        assert "matmul" in found["loops"]
    # a loop that is too short for threads of its own is none: they share whole products
    found = sections(gradient.explain_plan({"N": 2000, "d": 200}, many))
    assert "8 threads share each product of whole matrices" in found["loops"]


def test_threads_share_loops_without_products() -> None:
    function = mc.grad("sum(log(1 + exp(-x .* y)))", "x", vars={"x": "vector(n)", "y": "vector(n)"})
    for threads in (1, 4):
        found = sections(function.explain_plan({"n": 2_000_000}, ONE_THREAD._replace(threads=threads)))
        assert ("4 threads share the panels" in found["loops"]) == (threads == 4)


def test_small_arrays_take_a_text_without_buffers() -> None:
    function, sizes = logistic(), {"N": 10, "d": 3}
    found = sections(function.explain_plan(sizes, ONE_THREAD))
    assert "so small" in found["loops"]
    assert found["buffers"].strip() == "none"
    planned = schedule(function.compiled.program, sizes, ONE_THREAD)
    assert planned is not None
    assert not planned.buffers
    assert shown(found["text"]) == planned.read().strip()


def test_empty_arrays_take_the_text_for_all_sizes() -> None:
    function = logistic()
    found = sections(function.explain_plan({"N": 0, "d": 3}, ONE_THREAD))
    assert shown(found["text"]) == function.compiled.text.strip()


def inner(text: str) -> set[str]:
    """The shapes of the two factors that are multiplied first, by what a plan says of a product of three."""
    shapes = dict(re.findall(r"(\d): ([\dx ]+\d)", text))
    order = re.search(r"^    \S.*?\((\d) (\d)\)|^    \((\d) (\d)\)", text, re.MULTILINE)
    assert order is not None
    return {shapes[number] for number in order.groups() if number}


def test_an_order_is_chosen_for_the_sizes() -> None:
    """``(A B) C`` for a short last axis is dear, and the other way round."""
    kinds = {"A": "matrix(m, n)", "B": "matrix(n, p)", "C": "matrix(p, q)"}
    function = mc.parse("A B C", vars=kinds).compile()
    first = sections(function.explain_plan({"m": 2, "n": 900, "p": 900, "q": 900}, ONE_THREAD))["products"]
    last = sections(function.explain_plan({"m": 900, "n": 900, "p": 900, "q": 2}, ONE_THREAD))["products"]
    assert [inner(text) for text in (first, last)] == [{"2 x 900", "900 x 900"}] * 2, "the thin factor goes first"
    assert ("the default order is the best one" in first) != ("the default order is the best one" in last)
    dear = first if "the default order is the best one" in last else last
    units = {"ms": 1e-3, "us": 1e-6, "s": 1.0}
    best, default = (float(number) * units[unit] for number, unit in re.findall(r"([\d.]+) (ms|us|s)\b", dear))
    assert 10 * best < default


@pytest.mark.parametrize(
    ("text", "kinds", "kernels"),
    [
        ("S^-1", {"S": "matrix(n, n) spd"}, ["potrf + potri"]),
        ("A^-1", {"A": "matrix(n, n)"}, ["getrf + getri"]),
        ("L^-1 b", {"L": "matrix(n, n) lower", "b": "vector(n)"}, ["trtrs"]),
        ("logdet(S) + b' S^-1 b", {"S": "matrix(n, n) spd", "b": "vector(n)"}, ["potrf of", "potrs", "np.log", "dot"]),
        ("B' B", {"B": "matrix(m, n)"}, ["syrk"]),
        ("A B", {"A": "matrix(m, n)", "B": "matrix(n, p)"}, ["gemm"]),
        ("A b", {"A": "matrix(m, n)", "b": "vector(n)"}, ["gemv"]),
        ("sum(sigmoid(x))", {"x": "vector(n)"}, ["np.exp", "np.add.reduce"]),
    ],
)
def test_kernels_have_their_names(text: str, kinds: dict[str, str], kernels: list[str]) -> None:
    found = sections(mc.parse(text, vars=kinds).compile().explain_plan(machine=ONE_THREAD))
    assert found["head"].endswith("typical sizes")
    lines = found["kernels"].splitlines()
    for kernel in kernels:
        assert sum(line.strip().startswith(kernel) or f"{kernel} +" in line for line in lines) == 1


def test_what_is_shared_is_named() -> None:
    function = mc.value_and_grad("logdet(S) + y' S^-1 y", "S", vars={"S": "matrix(n, n) spd", "y": "vector(n)"})
    found = sections(function.explain_plan({"n": 50}, ONE_THREAD))
    assert "potrf, 50 x 50: computed once, used" in found["shared"]
    assert found["shared"].count("symv") == 1


def test_kernels_are_of_statements_that_exist() -> None:
    assert set(RULES) <= {*_WRITERS, "ufunc", "reduce", "weighted_gram", "outer", "outer_slices", "stack"}


def test_every_function_can_be_explained_without_sizes() -> None:
    for text in ("x' x", "sum(X)", "kron(A, B)", "2 a"):
        assert mc.parse(text).compile().explain_plan(machine=ONE_THREAD).startswith("for ")


# --- the command line -------------------------------------------------------------------------------


def test_the_command_says_what_a_call_costs(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["code", "x' A x", "--wrt", "x", "--var", "A: matrix(n, n)", "--var", "x: vector(n)"]
    assert main([*words, "--sizes", "n=1000"]) == 0
    shown = capsys.readouterr().out
    function = mc.value_and_grad("x' A x", "x", vars={"A": "matrix(n, n)", "x": "vector(n)"})
    assert shown == f"{function.source}\n{function.cost({'n': 1000})!r}\n"
    assert main([*words, "--sizes", "n=1000", "--plan"]) == 0
    assert capsys.readouterr().out == f"{function.explain_plan({'n': 1000})}\n"
    assert main([*words, "--plan"]) == 0
    assert capsys.readouterr().out == f"{function.explain_plan()}\n"
    for wrong in ("n", "n=", "n=-1", "n=1.5", "=3", ""):
        if wrong:
            assert main([*words, "--sizes", wrong]) == UsageError.exit_status
            assert "n=1000,m=50" in capsys.readouterr().err
