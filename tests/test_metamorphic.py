"""Relations between derivatives of random programs, threads, processes, and the fuzzers themselves."""

from __future__ import annotations

import multiprocessing
import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import matcalc as mc
from matcalc.errors import MatcalcError
from matcalc.expression import Expr
from tests.fuzz import targets
from tests.fuzz.relations import RELATIONS, Mismatch, Setting, relative_error, try_relation
from tests.fuzz.targets import Finding, attempt
from tests.fuzz.texts import changed, sentence, tokens, written
from tests.random_programs import random_case

PROGRAMS = 24

# --- relations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RELATIONS)
def test_relations_of_derivatives(name: str) -> None:
    outcomes = [try_relation(name, 7, number) for number in range(PROGRAMS)]
    wrong = [o for o in outcomes if isinstance(o, Mismatch) or o.startswith(("crash", "refused"))]
    assert wrong == []
    assert outcomes.count("ok") >= PROGRAMS // 3


@pytest.mark.slow
@pytest.mark.parametrize("name", RELATIONS)
def test_relations_of_many_derivatives(name: str) -> None:
    outcomes = [try_relation(name, 8, number) for number in range(1500)]
    wrong = [o for o in outcomes if isinstance(o, Mismatch) or o.startswith(("crash", "refused"))]
    assert wrong == []


@pytest.mark.parametrize("name", ["linearity", "homogeneous", "dot test", "size 1"])
def test_a_wrong_derivative_breaks_a_relation(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relation that holds of anything would find nothing."""
    right = Setting.slope

    def wrong(self: Setting, expr: Expr, *wrt: str, **options: Any) -> Any:
        found = right(self, expr, *wrt, **options)
        return found + 0.125 * np.arange(1, found.size + 1).reshape(found.shape)

    monkeypatch.setattr(Setting, "slope", wrong)
    function_of = mc.jvp

    def wrong_jvp(*arguments: Any) -> Any:
        function = function_of(*arguments)

        class Wrong:
            args = function.args

            def __call__(self, *directions: Any, **arrays: Any) -> Any:
                return function(*directions, **arrays) + 0.125

        return Wrong()

    monkeypatch.setattr(mc, "jvp", wrong_jvp)
    outcomes = [try_relation(name, 7, number) for number in range(PROGRAMS)]
    assert any(isinstance(outcome, Mismatch) for outcome in outcomes)
    assert outcomes.count("ok") <= 2


# --- texts ---------------------------------------------------------------------------------------


def some_texts(maker: str, count: int) -> list[str]:
    others, pieces = written(), tokens()
    if maker == "sentences":
        return [sentence(random.Random(f"test/{number}"))[:400] for number in range(count)]
    rngs = [random.Random(f"test/{number}") for number in range(count)]
    return [changed(rng, rng.choice(others), others, pieces)[:400] for rng in rngs]


@pytest.mark.parametrize("maker", ["sentences", "changes"])
@pytest.mark.parametrize(("target", "count"), [("text", 1000), ("latex", 600), ("parts", 300), ("derivative", 150)])
def test_only_errors_of_ours_leave(maker: str, target: str, count: int) -> None:
    findings = [attempt(target, text, 5.0) for text in some_texts(maker, count)]
    assert [finding for finding in findings if isinstance(finding, Finding)] == []


def test_changes_are_accepted_often_enough_to_reach_the_engine() -> None:
    accepted = Counter(attempt("text", text, 5.0) for text in some_texts("changes", 400))
    assert 0.05 < accepted[True] / 400 < 0.95


def test_texts_depend_on_the_seed_alone() -> None:
    assert some_texts("changes", 50) == some_texts("changes", 50)
    assert len(set(some_texts("sentences", 50))) > 40


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(KeyError("x"), "KeyError"), (RecursionError(), "RecursionError"), (MatcalcError(" "), "AssertionError")],
)
def test_the_fuzzer_sees_a_fault(fault: Exception, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(text: str) -> None:
        raise fault

    monkeypatch.setattr(targets, "TARGETS", {**targets.TARGETS, "text": broken})
    finding = attempt("text", "x", 1.0)
    assert isinstance(finding, Finding)
    assert finding.kind == kind


def test_the_fuzzer_sees_what_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(text: str) -> None:
        while True:
            pass

    monkeypatch.setattr(targets, "TARGETS", {**targets.TARGETS, "text": endless})
    finding = attempt("text", "x", 0.05)
    assert isinstance(finding, Finding)
    assert finding.kind == "slow"


# --- threads and processes -----------------------------------------------------------------------

LOGISTIC = "sum(log(1 + exp(-y .* (X w)))) + 1/2 ||w||^2"
TYPES = {"X": "matrix(N, d)", "y": "vector(N)", "w": "vector(d)"}
THREADS, CALLS = 8, 2000


def data(sizes: tuple[int, int]) -> dict[str, Any]:
    generator = np.random.default_rng(sizes[0])
    N, d = sizes
    return {
        "X": generator.normal(size=(N, d)),
        "y": generator.choice([-1.0, 1.0], size=N),
        "w": generator.normal(size=d),
    }


def bits(result: Any) -> bytes:
    value, slope = result
    return bytes(np.asarray(value).tobytes() + slope.tobytes())


def in_threads(work: Callable[[int], list[bytes]]) -> list[list[bytes]]:
    """The work of every thread, all started at once."""
    barrier = threading.Barrier(THREADS)

    def started(number: int) -> list[bytes]:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(started, range(THREADS)))


def test_threads_compute_what_one_thread_computes() -> None:
    """8 threads, 2000 calls each of one function, with more sets of shapes than are remembered."""
    function = mc.value_and_grad(LOGISTIC, "w", vars=TYPES)
    given = [data((5 + k, 2 + k % 3)) for k in range(12)]
    expected = [bits(function(**arrays)) for arrays in given]

    def work(number: int) -> list[bytes]:
        return [bits(function(**given[(number + call) % 12])) for call in range(CALLS)]

    for number, found in enumerate(in_threads(work)):
        assert found == [expected[(number + call) % 12] for call in range(CALLS)]


def test_first_calls_may_race() -> None:
    """Nothing is compiled, bound or simplified before the threads start."""
    arrays = data((20, 4))
    expected = bits(mc.value_and_grad(LOGISTIC, "w", vars=TYPES)(**arrays))
    for _ in range(10):
        function = mc.value_and_grad(LOGISTIC, "w", vars=TYPES)
        assert in_threads(lambda _, f=function: [bits(f(**arrays))]) == [[expected]] * THREADS


def test_several_functions_at_once() -> None:
    """Threads that derive, compile and call different programs."""
    texts = [
        "x^T A x",
        "||A x||^2",
        "log(sum(exp(A x)))",
        "sum(sigmoid(A x))",
        "logdet(A A^T + I)",
        "x^T (A + A^T)^2 x",
    ]
    types = {"A": "matrix(n, n)", "x": "vector(n)"}
    A = np.random.default_rng(0).normal(size=(4, 4))
    x = np.arange(4.0)

    def once(text: str) -> bytes:
        wrt = "x" if "x" in mc.parse(text).vars else "A"
        function = mc.value_and_grad(text, wrt, vars={name: types[name] for name in mc.parse(text).vars})
        return bits(function(**{name: {"A": A, "x": x}[name] for name in function.args}))

    expected = [once(text) for text in texts]
    found = in_threads(lambda number: [once(texts[(number + k) % len(texts)]) for k in range(30)])
    assert found == [[expected[(number + k) % len(texts)] for k in range(30)] for number in range(THREADS)]


def of_process(number: int) -> tuple[str, bytes]:
    case = random_case(7, number)
    function = mc.value_and_grad(LOGISTIC, "w", vars=TYPES)
    return mc.derive(case.text, case.wrt[0]).formula, bits(function(**data((9, 3))))


def test_processes_answer_alike() -> None:
    """Formulas and numbers, from processes that start anew; a compiled function may travel."""
    expected = [of_process(number) for number in range(6)]
    function = mc.value_and_grad(LOGISTIC, "w", vars=TYPES)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(of_process, range(6))) == expected
        travelled = pool.submit(call, function, data((9, 3)))
        assert travelled.result() == expected[0][1]


def call(function: Any, arrays: dict[str, Any]) -> bytes:
    return bits(function(**arrays))


def test_a_difference_of_shapes_is_infinite() -> None:
    assert relative_error(np.zeros((2, 3)), np.zeros((3, 2))) == np.inf
