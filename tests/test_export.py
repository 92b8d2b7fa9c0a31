"""Source in other languages: it is run there and gives what NumPy gives; what a target lacks is refused by name."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from corpus_data import Case, load_cases, sample_case
from export_programs import PROGRAMS, SIZES, declared, sampled

import matcalc as mc
from matcalc.cli import main
from matcalc.errors import Unsupported, UsageError
from matcalc.export import TARGETS, portable
from matcalc.export.writer import Target, needed_helpers, statement_name
from matcalc.functions import Function, program_arguments
from matcalc.ops.registry import OPERATIONS

CASES = load_cases()
EVERY = 5

#: What a target has no function for; everything else of the corpus and of the programs is written.
MISSING = {
    "jax": ("logm",),
    "torch": ("sqrtm", "logm", "several Sylvester equations"),
}
TOLERANCE = 1e-12

PYTHON = ("jax", "torch")
INSTALLED = tuple(name for name in PYTHON if importlib.util.find_spec(name) is not None)

LOGISTIC = "sum(log(1 + exp(-y .* (X w)))) + lambda/2 w^T w"
LOGISTIC_VARS = {"y": "vector(N)", "X": "matrix(N, d)"}
GAUSSIAN = "1/2 logdet(S) + 1/2 (x - m)^T S^-1 (x - m)"
GAUSSIAN_VARS = {"S": "matrix(n, n) spd", "x": "vector(n)", "m": "vector(n)"}


def functions_of(case: Case) -> Iterator[Function]:
    """The value of a case and its first derivative."""
    expr = mc.Expr(case.text, dict(case.vars))
    yield expr.compile()
    yield mc.jacobian(expr, case.variables[0])


def close(got: Any, want: Any, tolerance: float = TOLERANCE) -> bool:
    """Whether arrays are equal up to rounding, relative to the largest entry."""
    got, want = np.asarray(got, dtype=float), np.asarray(want, dtype=float)
    if got.shape != want.shape:
        return False
    size = max(1.0, float(np.max(np.abs(want), initial=0.0)))
    return bool(np.max(np.abs(got - want), initial=0.0) <= tolerance * size)


def as_tuple(results: Any) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)


def runner(target: str) -> Callable[[str], Callable[..., Any]]:
    """Runs exported text and gives its function, of NumPy arrays."""
    if target == "jax":
        jax = pytest.importorskip("jax")
        jax.config.update("jax_enable_x64", True)
        convert = jax.numpy.asarray
    else:
        torch = pytest.importorskip("torch")

        def convert(value: Any) -> Any:
            return torch.tensor(np.array(value), dtype=torch.float64)

    def run(text: str) -> Callable[..., Any]:
        namespace: dict[str, Any] = {}
        exec(compile(text, "<exported>", "exec"), namespace)

        def call(*arrays: Any, **sizes: int) -> tuple[Any, ...]:
            return as_tuple(namespace["f"](*map(convert, arrays), **sizes))

        return call

    return run


def exported_or_refused(function: Function, target: str) -> str:
    """The text for a target, or nothing where it is refused for what `MISSING` says."""
    try:
        return function.export(target)
    except Unsupported as refusal:
        if not any(str(refusal).startswith(operation) for operation in MISSING[target]):
            raise
        return ""


def arguments_of(function: Function, values: Mapping[str, Any]) -> list[Any]:
    return [np.asarray(values[name], dtype=float) for name in function.function.order]


@pytest.mark.parametrize("target", INSTALLED)
@pytest.mark.parametrize("case", CASES[::EVERY], ids=lambda case: case.name)
def test_text_for_a_library_of_python_gives_what_numpy_gives(case: Case, target: str) -> None:
    run = runner(target)
    dims, values = sample_case(case)
    for function in functions_of(case):
        sizes = {name: dims[name] for name in function.compiled.passed.values()}
        text = exported_or_refused(function, target)
        if not text:
            continue
        want = as_tuple(function(**values, **sizes))
        got = run(text)(*arguments_of(function, values), **sizes)
        assert len(got) == len(want)
        for one, other in zip(got, want, strict=True):
            assert close(one, other), text


def functions_of_program(text: str, types: str) -> Iterator[Function]:
    """The value of a program, its derivative and, where there is one, its second derivative."""
    expr = mc.Expr(text, declared(types))
    wrt = next(iter(declared(types)))
    yield expr.compile()
    if text.startswith("argmax"):
        return
    yield mc.jacobian(expr, wrt) if expr.node.shape else mc.value_and_grad(expr, wrt)
    # a second derivative of singular vectors loses digits in every library
    if not expr.node.shape and not re.search("svd_|eigvecs|prodexcept", text):
        yield mc.hessian(expr, wrt)


def sizes_of(function: Function) -> dict[str, int]:
    return {name: SIZES[name] for name in function.compiled.passed.values()}


@pytest.mark.parametrize("target", INSTALLED)
@pytest.mark.parametrize(("text", "types"), PROGRAMS, ids=[text for text, _ in PROGRAMS])
def test_every_operation_gives_what_numpy_gives(text: str, types: str, target: str) -> None:
    run = runner(target)
    values = sampled(types)
    for function in functions_of_program(text, types):
        source = exported_or_refused(function, target)
        if not source:
            continue
        sizes = sizes_of(function)
        want = as_tuple(function(**values, **sizes))
        got = run(source)(*arguments_of(function, values), **sizes)
        for one, other in zip(got, want, strict=True):
            assert close(one, other), source


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_row_is_used_by_the_programs(target: Target) -> None:
    seen: set[str] = set()
    for text, types in PROGRAMS:
        for function in functions_of_program(text, types):
            arguments = program_arguments(function.function, function._plan.outputs)
            program = portable(function._plan.outputs, arguments, target)
            seen.update(statement_name(statement) for statement in program.statements)
    # batches of inverses come with second derivatives of matrices of inverses
    assert {*target.statements, *target.functions} - seen <= {"inv", "copy"}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_rows_name_operations_that_exist(target: Target) -> None:
    assert set(target.functions) <= set(OPERATIONS)
    for row in (*target.functions.values(), *target.numbers.values(), *target.statements.values()):
        if isinstance(row, str):
            places = re.findall(r"\{a?(\d+)\}", row)
            assert len(places) == len(set(places)), "an operand that is mentioned twice would be computed twice"


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_helpers_are_written_only_where_they_are_used(target: Target) -> None:
    text = mc.grad("x^T A x", "x").export(target.name)
    assert not any(re.search(rf"\b{name}\b", text) for name in target.helpers)
    assert needed_helpers("nothing at all", target.helpers) == []


@pytest.mark.skipif("jax" not in INSTALLED, reason="JAX is not installed")
def test_text_for_jax_is_traced_and_differentiated_by_jax() -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    namespace: dict[str, Any] = {}
    exec(mc.value_and_grad(GAUSSIAN, ("m", "S"), GAUSSIAN_VARS).export("jax"), namespace)
    random = np.random.default_rng(0)
    S = np.cov(random.normal(size=(3, 20)))
    x, m = random.normal(size=(2, 3))
    value, by_m, by_S = jax.jit(namespace["f"])(S, x, m)
    again = jax.grad(lambda S, x, m: namespace["f"](S, x, m)[0], argnums=(2, 0))(S, x, m)
    assert close(by_m, again[0], 1e-10)
    assert close(by_S, (again[1] + again[1].T) / 2, 1e-10)
    assert close(value, namespace["f"](S, x, m)[0])


@pytest.mark.skipif("torch" not in INSTALLED, reason="PyTorch is not installed")
def test_text_for_torch_keeps_float32() -> None:
    torch = pytest.importorskip("torch")
    for text, types in PROGRAMS:
        function = next(functions_of_program(text, types))
        source = exported_or_refused(function, "torch")
        if not source:
            continue
        namespace: dict[str, Any] = {}
        exec(source, namespace)
        values = [torch.tensor(value, dtype=torch.float32) for value in arguments_of(function, sampled(types))]
        results = as_tuple(namespace["f"](*values, **sizes_of(function)))
        assert all(result.dtype == torch.float32 for result in results), source


def test_names_that_the_language_needs_are_spelled_otherwise() -> None:
    text = mc.Expr("sum(lambda x) + 2 jnp + t1", {"x": "vector(n)"}).compile().export("jax")
    assert "def f(lambda_, x, jnp_, t1):" in text
    assert "import jax.numpy as jnp" in text


def test_an_unknown_target_is_refused_with_the_near_one() -> None:
    with pytest.raises(UsageError, match=r"did you mean torch\?"):
        mc.grad("x^T x", "x").export("pytorch")
    with pytest.raises(UsageError, match="jax"):
        mc.grad("x^T x", "x").export("fortran")


@pytest.mark.parametrize("name", ["", "1f", "f()", "import os\nf", "f\n", "é"])
def test_the_name_of_the_function_is_a_name(name: str) -> None:
    with pytest.raises(UsageError):
        mc.grad("x^T x", "x").export("jax", name)


def test_the_command_line_writes_for_a_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["code", "x^T A x", "--wrt", "x", "--target", "torch"]) == 0
    printed = capsys.readouterr().out
    assert printed.strip() == mc.value_and_grad("x^T A x", "x").export("torch").strip()
    assert main(["code", "x^T A x", "--wrt", "x", "--target", "cobol"]) == 2
