"""What programs cost: every kind of statement is counted, by the textbooks' formulas, and no workload gets dearer."""

from __future__ import annotations

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
from benchmarks.workloads import DIRECTION, WORKLOADS
from matcalc.derivation import Derivative
from matcalc.errors import ShapeError, UnknownName, Unsupported, UsageError
from matcalc.expr.dims import Dim
from matcalc.expr.nodes import Node, Variable
from matcalc.expression import Expr
from matcalc.functions import program_arguments
from matcalc.lower.cost import FUNCTIONS, RULES, Cost, View, bound, cost, work_of
from matcalc.lower.elementary import UFUNCS
from matcalc.lower.function import Compiled, compile_function
from matcalc.lower.panels import Machine
from matcalc.lower.program import Statement
from matcalc.lower.source import _WRITERS
from matcalc.ops.apply import call, map_
from matcalc.ops.record import Operation

ONE_THREAD = Machine()

# --- every kind is counted ------------------------------------------------------------------------


def test_every_statement_has_a_rule() -> None:
    """What can be written can be counted: the statements of the text, and those of the scheduled form."""
    assert {*_WRITERS, "ufunc", "reduce", "first_column", "weighted_gram", "outer"} == set(RULES)
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
    "quadratic form", "ridge", "masked factorisation", "chain a'XYZb by Y", "chain |XYZb|^2 by Y", "deep MLP, 10 layers",
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
