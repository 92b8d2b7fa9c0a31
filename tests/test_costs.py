"""What programs cost: every kind of statement is counted, by the textbooks' formulas, and no workload gets dearer."""

from __future__ import annotations

import ast
import tracemalloc
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from corpus_data import Case, load_cases, sample_case
from test_operations import CALLS, MAPS, SIZES, call_cases

import matcalc as mc
from benchmarks.peers.matcalc import function
from benchmarks.workloads import CASES as WORKLOAD_CASES
from benchmarks.workloads import WORKLOADS
from matcalc.derivation import Derivative
from matcalc.errors import ShapeError, UnknownName, Unsupported, UsageError
from matcalc.expr.dims import Dim
from matcalc.expr.nodes import Node, Variable
from matcalc.expression import Expr
from matcalc.functions import program_arguments
from matcalc.lower.cost import FUNCTIONS, RULES, Cost, View, bound, cost, work_of
from matcalc.lower.elementary import UFUNCS
from matcalc.lower.function import compile_function
from matcalc.lower.panels import Machine
from matcalc.lower.program import Statement
from matcalc.lower.runs import schedule
from matcalc.lower.source import _WRITERS
from matcalc.ops.apply import call, map_
from matcalc.ops.record import Operation

ONE_THREAD = Machine()

# --- every kind is counted ------------------------------------------------------------------------


def test_every_statement_has_a_rule() -> None:
    """What can be written can be counted: the statements of the text, and those of the scheduled form."""
    assert {*_WRITERS, "ufunc", "reduce", "first_column", "weighted_gram", "outer", "outer_slices", "stack"} == set(
        RULES
    )
    assert set(FUNCTIONS) >= UFUNCS


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(Unsupported, match="kind teleport"):
        work_of(Statement(1, "teleport", (0,), (), ()), View(((3,),), ()))
    for operation in ("map", "call"):
        with pytest.raises(Unsupported, match="function teleport"):
            work_of(Statement(1, operation, (0,), ("teleport", "teleport({0})", ""), ()), View(((3,),), (3,)))
    with pytest.raises(Unsupported, match="the cost of"):
        work_of(Statement(1, "map", (0,), ("odd", "[{0}]"), ()), View(((3,),), (3,)))


def grown(node: Node, operands: list[Variable]) -> tuple[float, float]:
    """The work of a function at some sizes and at sizes three times as long."""
    compiled = compile_function(node, operands)
    found: list[float] = []
    for factor in (1, 3):
        sizes = {name: factor * size for name, size in SIZES.items()}
        shapes = {operand.name: tuple(dim.evaluate(sizes) for dim in operand.shape) for operand in operands}
        counted = compiled.cost(shapes, ONE_THREAD)
        found.append(counted.flops + counted.transcendentals)
    return found[0], found[1]


@pytest.mark.parametrize("record", MAPS, ids=lambda record: record.name)
def test_entrywise_functions_are_counted(record: Operation) -> None:
    """Three times the entries, three times the work."""
    operands = [Variable(f"x{place}", (Dim.of("n"),)) for place in range(record.arity)]
    small, large = grown(map_(record.name, *operands), operands)
    assert 0 < small == large / 3


@pytest.mark.parametrize("record", CALLS, ids=lambda record: record.name)
def test_functions_of_arrays_are_counted(record: Operation) -> None:
    """Three times the lengths, at least three and no more than 3^6 times the work (two batch axes)."""
    for _, operands, parameters in call_cases(record):
        small, large = grown(call(record.name, *operands, **parameters), operands)
        assert 0 < 3 * small <= large * 1.01
        assert large <= 3**6.01 * small


CORPUS = load_cases()


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_the_corpus_is_counted(case: Case) -> None:
    """Both forms; single ufuncs with kept buffers never make more arrays than whole passes."""
    expr = Expr(case.text, dict(case.vars))
    nodes = [expr.simplified, Derivative(expr, case.variables, "gradient").node]
    compiled = compile_function(nodes, program_arguments(expr, nodes))
    _, values = sample_case(case)
    known = compiled.sizes({name: np.shape(value) for name, value in values.items()})
    whole = cost(compiled.program, known, ONE_THREAD, scheduled=False)
    counted = cost(compiled.program, known, ONE_THREAD, scheduled=True)
    assert counted.temporary_bytes <= whole.temporary_bytes
    assert counted.compulsory_bytes <= whole.compulsory_bytes
    assert whole.flops + whole.transcendentals >= 0
    assert min(whole) >= 0


# --- against what is really done --------------------------------------------------------------------


class Counted:
    """A number that counts the operations on it."""

    done = 0

    def __init__(self, value: float) -> None:
        self.value = value

    def _other(self, other: Any) -> float:
        Counted.done += 1
        return other.value if isinstance(other, Counted) else float(other)

    def __add__(self, other: Any) -> Counted:
        return Counted(self.value + self._other(other))

    def __sub__(self, other: Any) -> Counted:
        return Counted(self.value - self._other(other))

    def __rsub__(self, other: Any) -> Counted:
        return Counted(self._other(other) - self.value)

    def __mul__(self, other: Any) -> Counted:
        return Counted(self.value * self._other(other))

    def __truediv__(self, other: Any) -> Counted:
        return Counted(self.value / self._other(other))

    def __neg__(self) -> Counted:
        return Counted(-self.value - 0 * self._other(0))

    def __gt__(self, other: Any) -> bool:
        return self.value > self._other(other)

    def __ge__(self, other: Any) -> bool:
        return self.value >= self._other(other)

    def __lt__(self, other: Any) -> bool:
        return self.value < self._other(other)

    def conjugate(self) -> Counted:
        return self

    __radd__, __rmul__ = __add__, __mul__


POLYNOMIAL = (
    "quadratic form", "ridge", "masked factorisation", "chain a'XYZb by Y", "chain |XYZb|^2 by Y",
    "deep MLP, 10 layers",
)  # fmt: skip


@pytest.mark.parametrize("name", POLYNOMIAL)
def test_flops_are_those_that_numbers_count(name: str) -> None:
    """The text runs on numbers that count; a sum of k terms has k - 1 additions, of which k are counted."""
    workload = next(workload for workload in WORKLOADS if workload.name == name)
    case = next(case for case in WORKLOAD_CASES.values() if case.workload is workload)
    sizes = {key: 12 + place for place, key in enumerate(case.sizes)}
    case = case._replace(sizes=sizes)
    compiled = function(case).compiled
    arrays = [
        np.vectorize(Counted, otypes=[object])(array) if np.ndim(array) else float(array)
        for array in (case.arrays(0)[argument.name] for argument in compiled.arguments)
    ]
    Counted.done = 0
    compiled._function(*arrays)
    counted = compiled.cost(sizes, ONE_THREAD)
    assert counted.transcendentals == 0
    assert Counted.done <= counted.flops <= 1.1 * Counted.done


LINEAR_ALGEBRA: tuple[tuple[str, dict[str, str], Callable[[int, int], float]], ...] = (
    ("S^-1", {"S": "matrix(n, n) spd"}, lambda n, m: n**3),
    ("A^-1", {"A": "matrix(n, n)"}, lambda n, m: 2 * n**3),
    ("A^-1 B", {"A": "matrix(n, n)", "B": "matrix(n, m)"}, lambda n, m: 2 / 3 * n**3 + 2 * n * n * m),
    ("S^-1 b", {"S": "matrix(n, n) spd", "b": "vector(n)"}, lambda n, m: n**3 / 3 + 2 * n * n),
    ("L^-1 B", {"L": "matrix(n, n) lower", "B": "matrix(n, m)"}, lambda n, m: n * n * m),
    ("logdet(S)", {"S": "matrix(n, n) spd"}, lambda n, m: 2 / 3 * n**3),
    ("det(A)", {"A": "matrix(n, n)"}, lambda n, m: 2 / 3 * n**3),
    ("chol(S)", {"S": "matrix(n, n) spd"}, lambda n, m: n**3 / 3),
    ("svdvals(B)", {"B": "matrix(n, m)"}, lambda n, m: 4 * n * m * m - 4 / 3 * m**3),
    ("eigvals(S)", {"S": "matrix(n, n) symmetric"}, lambda n, m: 4 / 3 * n**3),
    ("A B", {"A": "matrix(n, n)", "B": "matrix(n, m)"}, lambda n, m: 2 * n * n * m),
    ("B^T B", {"B": "matrix(n, m)"}, lambda n, m: n * m * (m + 1)),
    ("A b", {"A": "matrix(n, n)", "b": "vector(n)"}, lambda n, m: 2 * n * n),
)


@pytest.mark.parametrize(("text", "kinds", "expected"), LINEAR_ALGEBRA, ids=[row[0] for row in LINEAR_ALGEBRA])
def test_flops_of_linear_algebra(text: str, kinds: dict[str, str], expected: Callable[[int, int], float]) -> None:
    n, m = 700, 300
    sizes = {"n": n, "m": m} if any("m)" in kind for kind in kinds.values()) else {"n": n}
    counted = mc.parse(text, vars=kinds).compile().cost(sizes, ONE_THREAD)
    assert counted.flops == pytest.approx(expected(n, m), rel=2e-3)


BYTES = (
    "logistic", "logistic Hessian", "softmax regression", "MLP", "masked factorisation", "entrywise", "GP evidence",
    "Jacobian of softmax(A x)",
)  # fmt: skip


@pytest.mark.parametrize("name", BYTES)
def test_memory_is_that_which_python_counts(name: str) -> None:
    """A second call allocates the results and no more than the temporaries, beside blocks inside of kernels."""
    workload = next(workload for workload in WORKLOADS if workload.name == name)
    most = {"N": 3000, "n": 50_000 if name == "entrywise" else 300}
    sizes = {key: min(size, most.get(key, size)) for key, size in workload.sizes[-1].items()}
    case = next(case for case in WORKLOAD_CASES.values() if case.workload is workload)._replace(sizes=sizes)
    compiled = function(case).compiled
    drawn = case.arrays(0)
    arrays = {argument.name: drawn[argument.name] for argument in compiled.arguments}
    compiled(**arrays)
    tracemalloc.start()
    try:
        results = compiled(**arrays)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    made = sum(np.asarray(result).nbytes for result in (results if isinstance(results, tuple) else (results,)))
    counted = compiled.cost(sizes)
    assert counted.buffers, "the case is large enough for kept buffers"
    largest = max(array.nbytes for array in map(np.asarray, arrays.values()))
    assert peak <= made + counted.temporary_bytes + 0.6 * largest


# --- sizes ----------------------------------------------------------------------------------------


def test_sizes_are_named_or_those_of_arrays() -> None:
    gradient = mc.grad("||X w - y||^2", "w", vars={"X": "matrix(N, d)", "y": "vector(N)", "w": "vector(d)"})
    named = gradient.cost({"N": 400, "d": 30})
    assert named == gradient.cost({"X": (400, 30)}) == gradient.cost({"N": 400, "w": (30,)})
    assert named == gradient.cost({"X": (400, 30), "y": (400,), "w": 30})
    assert named.flops == 4 * 400 * 30 + 400 + 30
    assert named.compulsory_bytes == 8 * (400 * 30 + 400 + 30 + 30)
    assert named.to_dict()["flops"] == named.flops
    refused: tuple[tuple[dict[str, Any], type[Exception], str], ...] = (
        ({"N": 4}, UsageError, "missing size: d"),
        ({"N": 4, "e": 4}, UnknownName, "no size e"),
        ({"N": -4, "d": 4}, UsageError, "the size N"),
        ({"N": 4.0, "d": 4}, UsageError, "the size N"),
        ({"N": True, "d": 4}, UsageError, "the size N"),
        ({"X": (4, 3), "y": (5,)}, ShapeError, "y has shape"),
        ({"X": (4, 3), "d": 5}, ShapeError, "X has shape"),
        ({"X": (4,)}, ShapeError, "X has shape"),
    )
    for sizes, error, message in refused:
        with pytest.raises(error, match=message):
            gradient.cost(sizes)


def test_sizes_are_solved_for() -> None:
    """A size that is part of a longer one, and the smaller of two."""
    stacked = compile_function(Variable("x", (Dim.of("n") + 1,)), [Variable("x", (Dim.of("n") + 1,))])
    assert stacked.sizes({"x": (8,)}) == {"n": 7}
    several = mc.parse(
        "x[1:n]' y + sum(z)", vars={"x": "vector(n + 1)", "y": "vector(n)", "z": "vector(m n)"}
    ).compile()
    assert several.compiled.sizes({"x": (6,), "z": (20,)}) == {"n": 5, "m": 4}
    assert several.cost({"x": (6,), "m": 4}) == several.cost({"n": 5, "z": (20,)})
    with pytest.raises(ShapeError, match="which is not"):
        several.cost({"n": 5, "z": (21,)})
    singular = mc.parse("sum(svdvals(A))", vars={"A": "matrix(m, n)"}).compile()
    assert singular.cost({"m": 9, "n": 4}) == singular.cost({"A": (9, 4)})


def test_rates_of_a_machine_change_the_bound_alone() -> None:
    product = mc.parse("A B", vars={"A": "matrix(n, n)", "B": "matrix(n, n)"}).compile()
    usual = product.cost({"n": 1000}, ONE_THREAD)
    quick = product.cost({"n": 1000}, ONE_THREAD._replace(product_rate=700.0))
    assert usual.bound_s == pytest.approx(2e9 / 70e9)
    assert quick._replace(bound_s=usual.bound_s) == usual
    assert quick.bound_s == pytest.approx(2e9 / 700e9)
    # where bytes are what takes time, flops for nothing do not help
    assert product.cost({"n": 1000}, ONE_THREAD._replace(product_rate=1e9)).bound_s == pytest.approx(24e6 / 29e9)
    assert bound(0, 0, 1.4e9, ONE_THREAD) == pytest.approx(1.0)


# --- no workload gets dearer ------------------------------------------------------------------------

Count = Callable[[Mapping[str, int]], float]


class Row(NamedTuple):
    """The most that a workload may cost at its largest sizes, on one thread.

    least: the fewest flops by which it is known to be computed, counted by hand.
    flops: how many times those.
    values: transcendentals.
    moved: how many times the arguments and the results are moved.
    passes: over large arrays.
    temporaries: arrays that are made at each call.
    operations: calls of NumPy where every statement passes over whole arrays.
    """

    name: str
    least: Count
    flops: float
    values: Count
    moved: float
    passes: int
    temporaries: int
    operations: int


def none(_sizes: Mapping[str, int]) -> float:
    return 0


ROWS = (
    Row("quadratic form", lambda s: 4 * s["n"] ** 2, 1.01, none, 1.01, 1, 0, 4),
    Row("ridge", lambda s: 4 * s["N"] * s["d"], 1.01, none, 2.05, 2, 0, 8),
    Row("logistic", lambda s: 4 * s["N"] * s["d"], 1.02, lambda s: 3 * s["N"], 1.01, 2, 0, 17),
    Row("logistic Hessian", lambda s: s["N"] * s["d"] ** 2, 1.03, lambda s: s["N"], 1.01, 3, 0, 12),
    Row("logistic HVP", lambda s: 6 * s["N"] * s["d"], 1.01, lambda s: s["N"], 1.01, 2, 0, 13),
    Row(
        "softmax regression", lambda s: 4 * s["N"] * s["d"] * s["k"], 1.01, lambda s: s["N"] * (s["k"] + 1),
        1.01, 2, 0, 12,
    ),
    Row(
        "MLP", lambda s: 4 * s["N"] * s["d"] * s["h"] + 6 * s["N"] * s["h"] * s["k"], 1.01,
        lambda s: s["N"] * (s["k"] + 1), 3.8, 19, 0, 23,
    ),
    Row("deep MLP, 10 layers", lambda s: 58 * s["N"] * s["h"] ** 2, 1.02, none, 10.1, 0, 0, 89),
    Row("masked factorisation", lambda s: 6 * s["n"] ** 2 * s["k"], 1.2, none, 1.01, 2, 0, 11),
    Row(
        "masked factorisation, Hessian by U", lambda s: s["n"] ** 2 * s["k"] * (s["k"] + 1), 1.71, none, 3, 6, 0, 3,
    ),
    Row(
        "masked factorisation, dense Hessian by U", lambda s: s["n"] ** 2 * s["k"] * (s["k"] + 1), 1.71, none,
        1.1, 8, 0, 5,
    ),
    Row("network Hessian by W1, 5 layers", lambda s: s["n"] ** 4, 1.2, lambda s: s["n"], 1.02, 1, 5, 32),
    Row("Gaussian likelihood", lambda s: s["n"] ** 3, 1.01, lambda s: s["n"], 5.1, 10, 1, 8),
    Row("GP evidence", lambda s: s["n"] ** 3, 1.01, lambda s: s["n"] ** 2 + s["n"], 19.1, 19, 1, 14),
    Row("entrywise", lambda s: 10 * s["n"], 1.41, lambda s: 4 * s["n"], 1.01, 3, 0, 21),
    Row("chain a'XYZb by Y", lambda s: 7 * s["n"] ** 2, 1.01, none, 1.01, 4, 0, 5),
    Row("chain |XYZb|^2 by Y", lambda s: 9 * s["n"] ** 2, 1.01, none, 1.26, 5, 0, 7),
    Row("tr(X^-1 A)", lambda s: 14 / 3 * s["n"] ** 3, 1.01, none, 3.7, 11, 2, 5),
    Row("log det X", lambda s: 2 * s["n"] ** 3, 1.01, lambda s: s["n"], 2.6, 5, 0, 4),
    Row("Jacobian of softmax(A x)", lambda s: 6 * s["n"] ** 2, 1.01, lambda s: s["n"], 3.1, 6, 5, 11),
    Row("Jacobian of sigmoid(A x + b)", lambda s: 3 * s["n"] ** 2, 1.01, lambda s: s["n"], 1.6, 3, 0, 9),
    Row(
        "RNN, 50 steps",
        lambda s: 50 * (4 * s["N"] * s["d"] * s["h"] + 6 * s["N"] * s["h"] ** 2) + 6 * s["N"] * s["h"] * s["k"],
        1.01, lambda s: 50 * s["N"] * s["h"], 51, 9, 1, 704,
    ),
)  # fmt: skip


def test_every_workload_has_a_row() -> None:
    assert [row.name for row in ROWS] == [workload.name for workload in WORKLOADS]


@cache
def counted_workload(name: str) -> tuple[Mapping[str, int], Cost, Cost]:
    """The largest sizes of a workload, what runs for them on one thread, and the same in whole passes."""
    workload = next(workload for workload in WORKLOADS if workload.name == name)
    case = WORKLOAD_CASES[f"{name} " + " ".join(f"{key}={size}" for key, size in workload.sizes[-1].items())]
    compiled = function(case).compiled
    sizes = compiled.sizes(case.sizes)
    program = compiled._code_for(sizes).program
    return sizes, compiled.cost(sizes, ONE_THREAD), cost(program, sizes, ONE_THREAD, scheduled=False)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_no_workload_gets_dearer(row: Row) -> None:
    sizes, runs, whole = counted_workload(row.name)
    assert runs.flops <= row.flops * row.least(sizes)
    assert runs.flops >= 0.98 * row.least(sizes), "the least work known is less than what is counted by hand"
    assert runs.transcendentals <= row.values(sizes)
    assert runs.bytes <= row.moved * runs.compulsory_bytes
    assert runs.passes <= row.passes
    assert runs.temporaries <= row.temporaries
    assert whole.operations <= row.operations
    assert runs.flops <= whole.flops * 1.001
    assert runs.bytes <= 1.02 * whole.bytes
    assert runs.temporary_bytes <= whole.temporary_bytes


# --- operations are the calls in the text -----------------------------------------------------------

FREE_CALLS = frozenset(
    {"take", "give", "slice", "range", "aligned_empty", "empty", "fill", "reshape", "transpose", "broadcast_to"}
)
"""What computes nothing."""

IN_STEPS = {
    "network Hessian by W1, 5 layers": 4,
    "Jacobian of softmax(A x)": 4,
    "GP evidence": 1,
    "Gaussian likelihood": 1,
    "log det X": 1,
}
"""Workloads with kernels of several steps, softmax and the logarithm of a diagonal, and how many more these are."""


def calls_in(statements: list[ast.stmt]) -> int:
    """The calls that compute in the text of a schedule, those of a loop once for every panel."""
    total = 0
    for statement in statements:
        if isinstance(statement, ast.For):
            assert isinstance(statement.iter, ast.Call)
            _, length, step = (part.value for part in statement.iter.args if isinstance(part, ast.Constant))
            total += -(-length // step) * calls_in([part for part in statement.body if not isinstance(part, ast.If)])
            continue
        for part in ast.walk(statement):
            if isinstance(part, ast.Call):
                name = part.func.attr if isinstance(part.func, ast.Attribute) else ast.unparse(part.func)
                total += name not in FREE_CALLS
            total += isinstance(part, ast.BinOp) and isinstance(part.op, ast.MatMult)
    return total


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_operations_are_the_calls_in_the_text(row: Row) -> None:
    sizes, runs, _ = counted_workload(row.name)
    workload = next(workload for workload in WORKLOADS if workload.name == row.name)
    compiled = function(next(case for case in WORKLOAD_CASES.values() if case.workload is workload)).compiled
    planned = schedule(compiled._code_for(sizes).program, sizes, ONE_THREAD)
    if planned is None:
        assert runs.buffers == 0
        return
    definition = ast.parse(planned.text).body[0]
    assert isinstance(definition, ast.FunctionDef)
    assert runs.operations == calls_in(definition.body) + IN_STEPS.get(row.name, 0)
