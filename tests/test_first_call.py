"""What a first call costs, as counts: it grows with the length of a program; nothing is loaded or written in vain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import numpy as np
import pytest

import matcalc as mc
from matcalc import limits
from matcalc.calculus import simplify as simplify_module
from matcalc.calculus.simplify import simplify
from matcalc.functions import Function
from matcalc.lower import function as function_module

WEIGHTS = ("Wx", "Wh", "b", "Wo")
SHAPES = {"Wx": (2, 4), "Wh": (4, 4), "b": (4,), "Wo": (4, 3), "Y": (5, 3)}


def recurrence(steps: int) -> tuple[str, dict[str, str], dict[str, Any]]:
    """The squared error of a recurrent network: its text, the types and arrays of its variables."""
    lines = ["H1 = tanh(X[1,:,:] Wx + b')"]
    lines += [f"H{t} = tanh(X[{t},:,:] Wx + H{t - 1} Wh + b')" for t in range(2, steps + 1)]
    types = {
        "X": f"tensor({steps}, N, d)", "Y": "matrix(N, k)",
        "Wx": "matrix(d, h)", "Wh": "matrix(h, h)", "b": "vector(h)", "Wo": "matrix(h, k)",
    }  # fmt: skip
    rng = np.random.default_rng(steps)
    arrays = {name: rng.standard_normal(shape) for name, shape in {**SHAPES, "X": (steps, 5, 2)}.items()}
    return "; ".join([*lines, f"||H{steps} Wo - Y||_F^2 / N"]), types, arrays


def first_call(steps: int) -> Function:
    text, types, arrays = recurrence(steps)
    function = mc.value_and_grad(text, WEIGHTS, vars=types)
    function(**arrays)
    return function


def python_calls(work: Callable[[], object]) -> int:
    """How many functions of Python are entered: the same number in every run."""
    count = 0

    def entered(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    previous = sys.getprofile()
    sys.setprofile(entered)
    try:
        work()
    finally:
        sys.setprofile(previous)
    return count


def ticks(work: Callable[[], object]) -> int:
    """The steps of all passes that the limit on them counts."""
    allowed = mc.Limits()
    with limits.bounded(allowed):
        work()
        measure = limits._MEASURE.get()
        assert measure is not None
        measure.look()
        return allowed.steps - measure.steps


@pytest.mark.parametrize("count", [python_calls, ticks])
def test_a_first_call_costs_the_length_of_the_program(count: Callable[[Callable[[], object]], int]) -> None:
    first_call(2)  # tables are read at first use
    short, long, longer = (count(partial(first_call, steps)) for steps in (20, 40, 80))
    assert long > short
    # what is added by each step of the recurrence stays the same
    assert longer - long < 1.1 * 2 * (long - short)


def test_a_first_call_of_a_recurrence_takes_few_python_calls() -> None:
    first_call(2)
    short, long = (python_calls(partial(first_call, steps)) for steps in (20, 40))
    assert long - short < 20 * 10_000


def test_what_is_simple_is_not_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = first_call(20)._plan.outputs
    built: list[object] = []
    original = simplify_module._built

    def counted(node: Any, *given: Any) -> Any:
        built.append(node)
        return original(node, *given)

    monkeypatch.setattr(simplify_module, "_built", counted)
    assert simplify(*outputs) == outputs
    assert len(built) < 5


def test_equal_nodes_are_one_object() -> None:
    """Passes find what they know of a node by the object; equal nodes of the text are made many times."""
    objects: dict[int, Any] = {}
    pending = list(first_call(20)._plan.outputs)
    while pending:
        node = pending.pop()
        if id(node) not in objects:
            objects[id(node)] = node
            pending += node.children
    assert len({node.digest for node in objects.values()}) == len(objects)


def test_only_the_text_that_runs_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text for all sizes and the source for the reader are written when they are asked for."""
    written: list[str] = []

    def noted(name: str) -> Any:
        original = getattr(function_module, name)

        def write(*given: Any) -> Any:
            written.append(name)
            return original(*given)

        return write

    for name in ("function_source", "module_source"):
        monkeypatch.setattr(function_module, name, noted(name))
    function = first_call(3)
    assert written == []
    assert function.source.startswith(("def f(", "import"))
    assert written == ["module_source"]
    assert function.compiled.text.startswith("def f(")
    assert written == ["module_source", "function_source"]


# --- what is loaded -----------------------------------------------------------------------------------

REPORT = """
import json, sys
import numpy as np
import matcalc as mc
mc.value_and_grad({text!r}, {wrt!r}, vars={types!r})(**{{name: {value} for name in {types!r}}})
print(json.dumps(sorted(sys.modules)))
"""

NEVER = {
    "sympy", "numba", "lark", "matcalc.lower.fused", "matcalc.operators", "matcalc.compressed", "matcalc.claims",
    "matcalc.lower.compress", "matcalc.export", "matcalc.explanation", "matcalc.verify", "matcalc.cli",
}  # fmt: skip
LINEAR_ALGEBRA = {"scipy.linalg", "matcalc.lower.factorizations", "matcalc.lower.triangles"}


@pytest.mark.parametrize(
    ("text", "wrt", "types", "value", "loaded", "absent"),
    [
        (
            "sum(log(1 + exp(-y .* (X w)))) + ||w||^2", "w",
            {"X": "matrix(N, N)", "y": "vector(N)", "w": "vector(N)"},
            "np.eye(3) if name == 'X' else np.ones(3)", set(), {"scipy", *LINEAR_ALGEBRA},
        ),
        ("sum(gelu(x))", "x", {"x": "vector(n)"}, "np.ones(3)", {"scipy.special"}, LINEAR_ALGEBRA),
        (
            "logdet(S)", "S", {"S": "matrix(n, n) spd"}, "np.eye(3)",
            {"scipy.linalg", "matcalc.lower.factorizations"}, {"scipy.special"},
        ),
    ],
    ids=["products", "special functions", "linear algebra"],
)  # fmt: skip
def test_a_first_call_loads_what_it_needs(
    text: str, wrt: str, types: dict[str, str], value: str, loaded: set[str], absent: set[str]
) -> None:
    code = REPORT.format(text=text, wrt=wrt, types=types, value=value)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env={**os.environ}
    )
    modules = set(json.loads(done.stdout))
    assert loaded <= modules
    assert modules.isdisjoint({*NEVER, *absent})
