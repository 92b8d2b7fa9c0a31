"""The benchmarks time right answers: every workload at small sizes, the harness, and the page of results."""

from __future__ import annotations

import doctest
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import matcalc as mc
from benchmarks import measure, report, workloads
from benchmarks import results as results_module
from benchmarks import run as run_module
from benchmarks.measure import Slice
from benchmarks.peers import BASE, PEERS, Peer, load, matcalc, numpy_expert, numpy_naive
from benchmarks.peers.array_losses import losses
from benchmarks.peers.contract import Unsupported
from benchmarks.report import PAGE, PARTS, kept, rewritten, standing, times
from benchmarks.results import (
    TOLERANCE,
    Results,
    Row,
    Timing,
    best_peer,
    from_json,
    merged,
    read,
    relative_error,
    to_json,
)
from benchmarks.run import Effort, effort, run_case
from benchmarks.worker import Failure, First
from benchmarks.workloads import CASES, LEFT_OUT, WORKLOADS, Case, Workload, quick_cases, shape_of, table_cases

ROOT = Path(__file__).resolve().parents[1]


ALWAYS = frozenset({"matcalc", "numpy_expert", "numpy_naive"})
"""Modules that every test may import."""


def small(workload: Workload) -> Case:
    return Case(workload, workload.small)


def by_name(named: Workload | Peer) -> str:
    return named.name


# --- the answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("workload", WORKLOADS, ids=by_name)
def test_matcalc_agrees_with_the_programs_by_hand(workload: Workload, threads: int) -> None:
    case = small(workload)
    for seed in (1, 2):
        arrays = case.arrays(seed)
        kept = {name: np.array(array) for name, array in arrays.items()}
        answers = []
        for peer in (matcalc, numpy_naive, numpy_expert):
            prepared = peer.build(case, threads)(arrays)
            prepared.call()
            answers.append(prepared.to_numpy(prepared.call()))
        ours, naive, expert = answers
        assert relative_error(naive, ours) < 1e-11
        assert relative_error(expert, ours) < 1e-11
        assert all(np.array_equal(arrays[name], array) for name, array in kept.items()), "an argument was changed"


def test_halves_of_the_rows_make_the_whole() -> None:
    arrays = {"X": np.arange(10.0).reshape(5, 2), "y": np.arange(5.0), "w": np.ones(2)}

    def make(part: Mapping[str, Any]) -> numpy_expert.Evaluate:
        return lambda: (part["X"].T @ part["y"], part["w"])

    f = numpy_expert.halves(arrays, ("X", "y"), make, lambda a, b: (a[0] + b[0], a[1]), one_blas=False)
    total, kept = f()
    assert np.array_equal(total, arrays["X"].T @ arrays["y"])
    assert kept is arrays["w"]


@pytest.mark.slow
@pytest.mark.parametrize("workload", WORKLOADS, ids=by_name)
@pytest.mark.parametrize("peer", [peer for peer in PEERS if peer.module not in ALWAYS], ids=by_name)
def test_installed_peers_agree(peer: Peer, workload: Workload) -> None:
    pytest.importorskip(peer.imports.removeprefix("import ").partition(",")[0])
    case = small(workload)
    arrays = case.arrays(4)
    expected = numpy_naive.build(case, 1)(arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            prepared = load(peer)(case, 1)(arrays)
        except Unsupported as reason:
            pytest.skip(str(reason))
        answer = prepared.to_numpy(prepared.call())
    assert relative_error(answer, expected.to_numpy(expected.call())) < 1e-11


@pytest.mark.parametrize("workload", WORKLOADS, ids=by_name)
def test_answers_have_the_shapes_of_derivatives(workload: Workload) -> None:
    case = small(workload)
    arrays = case.arrays(0)
    prepared = matcalc.build(case, 1)(arrays)
    shapes = [part.shape for part in prepared.to_numpy(prepared.call())]
    of_wrt = [case.shapes[name] for name in workload.wrt]
    expected: Mapping[str, list[tuple[int, ...]]] = {
        "value and gradient": [(), *of_wrt],
        "Hessian": [of_wrt[0] * 2],
        "Hessian-vector product": of_wrt,
        "Jacobian": [np.shape(losses(np)[workload.problem](arrays)) + of_wrt[0]],
    }
    assert shapes == expected[workload.mode]


@pytest.mark.parametrize("workload", WORKLOADS, ids=by_name)
def test_the_functions_of_the_automatic_peers_have_the_same_value(workload: Workload) -> None:
    case = small(workload)
    arrays = case.arrays(3)
    value = losses(np)[workload.problem](arrays)
    compute = mc.parse(workload.text, vars=dict(workload.types)).compile()
    expected = compute(**{name: array for name, array in arrays.items() if name in workload.types})
    assert relative_error([value], [np.asarray(expected)]) < 1e-11


# --- the table of workloads ---------------------------------------------------------------------------


def test_names_are_unique_and_labels_tell_the_sizes() -> None:
    assert len({workload.name for workload in WORKLOADS}) == len(WORKLOADS)
    labels = [case.label for case in table_cases()]
    assert len(set(labels)) == len(labels)
    assert "logistic Hessian N=10000 d=100" in labels


@pytest.mark.parametrize("workload", WORKLOADS, ids=by_name)
def test_drawn_arrays_have_the_declared_shapes(workload: Workload) -> None:
    case = small(workload)
    arrays = case.arrays(0)
    assert {name: np.shape(array) for name, array in arrays.items()} == dict(case.shapes)
    assert set(workload.wrt) <= set(workload.types)
    assert all(np.asarray(array).dtype == np.float64 for array in arrays.values())


def test_the_seed_and_the_case_decide_the_arrays() -> None:
    first, second = (CASES[label] for label in ("quadratic form n=10", "quadratic form n=30"))
    assert np.array_equal(first.arrays(5)["A"], first.arrays(5)["A"])
    assert not np.array_equal(first.arrays(5)["A"], first.arrays(6)["A"])
    assert not np.array_equal(first.arrays(5)["x"], second.arrays(5)["x"][:10])


def test_sizes_that_are_quick_are_in_the_table_and_what_is_left_out_exists() -> None:
    labels = {case.label for case in table_cases()}
    assert {case.label for case in quick_cases()} < labels
    assert set(LEFT_OUT) <= labels
    assert {name for names, _ in LEFT_OUT.values() for name in names} <= {peer.name for peer in PEERS}
    assert all(names.isdisjoint({"matcalc", BASE}) for names, _ in LEFT_OUT.values())


def test_shapes_of_types() -> None:
    assert shape_of("matrix(n, n) spd", {"n": 4}) == (4, 4)
    assert shape_of("vector(d)", {"N": 3, "d": 2}) == (2,)


# --- the harness --------------------------------------------------------------------------------------


class Told:
    """A peer that answers what it is told to."""

    def __init__(self, answer: list[Any] | str, seconds: float = 1.0, warm: float = 0.0) -> None:
        self.answer = answer
        self.seconds = seconds
        self.warm = warm
        self.asked: list[str] = []

    def ask(self, kind: str, *arguments: Any, timeout: float) -> Any:
        self.asked.append(kind)
        if isinstance(self.answer, str):
            return Failure(self.answer)
        replies: Mapping[str, Any] = {
            "first": First(self.answer, 0.5, self.warm),
            "slice": Slice([self.seconds], self.seconds, self.seconds),
            "memory": 80,
        }
        return replies.get(kind)


def hurried() -> Effort:
    return effort(1, is_quick=True)._replace(rounds=2)


def run_told(**workers: Told) -> Row:
    return run_case(CASES["quadratic form n=10"], workers, hurried(), 0)  # type: ignore[arg-type]


def test_a_wrong_answer_is_never_timed() -> None:
    right, wrong = Told([np.array(1.0), np.ones(3)]), Told([np.array(1.0), np.array([1.0, 1.0, 1.0 + 2 * TOLERANCE])])
    row = run_told(expert=right, other=wrong)
    assert list(row.timings) == ["expert"]
    assert row.is_wrong
    assert row.notes["other"].startswith("WRONG: differs by 2.0e-08")
    assert "slice" in right.asked
    assert "slice" not in wrong.asked


def test_jax_is_what_others_are_compared_with() -> None:
    row = run_told(expert=Told([np.ones(2)]), jax=Told([np.zeros(2)]))
    assert list(row.timings) == ["jax"]


def test_a_case_that_a_peer_does_not_do_is_a_note() -> None:
    row = run_told(expert=Told([np.ones(2)]), other=Told("no implementation"))
    assert not row.is_wrong
    assert row.notes == {"other": "no implementation"}


def test_times_are_medians_and_slow_calls_are_made_once() -> None:
    slow = Told([np.ones(2)], seconds=7.0, warm=9.0)
    row = run_told(expert=Told([np.ones(2)], seconds=2.0), slow=slow)
    assert row.timings["expert"] == Timing(2.0, 0.0, 0.5, None, 0.0)
    assert row.timings["slow"].seconds == 9.0
    assert "slice" not in slow.asked


def test_compressed_cases_are_for_peers_that_compress() -> None:
    label = "masked factorisation, Hessian by U n=50 k=5"
    workers = {name: Told([np.ones(2)]) for name in ("expert", "jax", "matcalc", "naive")}
    row = run_case(CASES[label], workers, hurried(), 0)  # type: ignore[arg-type]
    assert set(row.timings) == {"expert", "matcalc"}
    assert not row.notes
    assert not workers["jax"].asked
    row = run_case(CASES[label.replace("Hessian", "dense Hessian")], workers, hurried(), 0)  # type: ignore[arg-type]
    assert set(row.timings) == set(workers)


def test_what_may_stay_compressed_does() -> None:
    compressed = [workload for workload in WORKLOADS if workload.is_compressed]
    assert compressed
    for workload in WORKLOADS:
        arrays = small(workload).arrays(0)
        result = matcalc.build(small(workload), 1)(arrays).call()
        assert isinstance(result, mc.DerivativeOperator) is workload.is_compressed
        if workload.is_compressed:
            n, k = workload.small["n"], workload.small["k"]
            assert result.nbytes == 8 * n * k * k


def test_memory_is_measured_unless_it_must_be_quick() -> None:
    row = run_case(CASES["quadratic form n=10"], {"expert": Told([np.ones(2)])}, effort(1, is_quick=False), 0)  # type: ignore[dict-item]
    assert row.timings["expert"].memory == 80


@pytest.mark.parametrize(
    "answer", [[np.ones(2), np.ones(2)], [np.ones((2, 1))], [np.array([1.0, np.nan])], [np.array([1.0, np.inf])]]
)
def test_other_shapes_and_what_is_not_finite_is_wrong(answer: list[Any]) -> None:
    assert relative_error(answer, [np.ones(2)]) == np.inf


@pytest.mark.parametrize("module", [measure, report, results_module, run_module, workloads], ids=lambda m: m.__name__)
def test_examples_in_the_modules(module: ModuleType) -> None:
    done = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.attempted > 0
    assert done.failed == 0


# --- tables -------------------------------------------------------------------------------------------


def timing(seconds: float) -> Timing:
    return Timing(seconds, 0.01, 0.5, 1000, 0.0)


def two_rows() -> Results:
    first = Row("quadratic form n=10", {"matcalc": timing(2e-6), "expert": timing(1e-6), "jax": timing(4e-6)}, {})
    second = Row("log det X n=500", {"matcalc": timing(0.003), "expert": timing(0.006), "torch": timing(0.001)}, {})
    return Results({"cores": "2"}, 1, 7, {"matcalc": 0.1}, (second, first))


def test_the_table_of_times() -> None:
    assert times(two_rows()).splitlines() == [
        "| case | expert | matcalc | jax | torch |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| quadratic form n=10 | 1 µs | 2.00 | 4.00 | – |",
        "| log det X n=500 | 6 ms | 0.50 | – | 0.17 |",
    ]


def test_losses_are_marked() -> None:
    lines = standing(two_rows()).splitlines()
    assert "| quadratic form n=10 | **2.00** | 0.50 | jax |" in lines
    assert "| log det X n=500 | 0.50 | **3.00** | torch |" in lines
    assert lines[0].startswith("Against expert: 1.00 times as long in the geometric mean of 2 cases, less in 1 of them")


def test_the_best_peer_is_the_fastest() -> None:
    row = two_rows().rows[1]
    assert best_peer(row, frozenset()) == "expert"
    assert best_peer(row, frozenset({"expert", "matcalc"})) == "jax"
    assert best_peer(row, frozenset({"expert", "matcalc", "jax"})) is None


def test_results_survive_a_file_and_first_rows_are_kept() -> None:
    results = two_rows()
    assert from_json(to_json(results)) == results
    again = results._replace(rows=(Row("quadratic form n=10", {"expert": timing(9.0)}, {}), Row("new", {}, {})))
    both = merged([results, again])
    assert [row.label for row in both.rows] == ["log det X n=500", "quadratic form n=10", "new"]
    assert both.rows[1] == results.rows[1]


def test_the_page_shows_the_results_that_are_kept() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == rewritten(page, kept()), "run: python -m benchmarks.report"
    assert all(f"<!-- begin {name} -->" in page for name in PARTS)


def test_a_page_without_a_part_is_refused() -> None:
    with pytest.raises(ValueError, match="no part 'machine'"):
        rewritten("# Benchmarks\n", {1: two_rows(), 2: two_rows()})


# --- the command --------------------------------------------------------------------------------------


def test_the_command_times_what_is_installed(tmp_path: Path) -> None:
    (tmp_path / "autograd.py").write_text("raise ImportError('not here')\n", encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "benchmarks.run", "--quick", "--cases", "quadratic form n=10", "--seed", "1"]
    options = ["--peers", "matcalc,expert,autograd", "--rounds", "1", "--seconds", "0.001"]
    done = subprocess.run(
        [*command, *options, "--json", str(tmp_path / "out.json")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "autograd: not installed (not here)" in done.stdout
    results = read(tmp_path / "out.json")
    assert [row.label for row in results.rows] == ["quadratic form n=10", "quadratic form n=1000"]
    for row in results.rows:
        assert set(row.timings) == {"matcalc", "expert"}
        assert all(0 < measured.seconds < 10 for measured in row.timings.values())
    assert set(results.imports) == {"matcalc", "expert"}


@pytest.mark.parametrize("is_wrong", [False, True])
def test_a_wrong_answer_is_the_exit_status(is_wrong: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = {"other": "WRONG: differs by 1.0e+00"} if is_wrong else {"other": "no implementation"}
    found = two_rows()._replace(rows=(*two_rows().rows, Row("log det X n=500", {}, notes)))
    monkeypatch.setattr(run_module, "run", lambda *_: found)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert run_module.main(["--quick"]) == int(is_wrong)


@pytest.mark.parametrize("peer", [matcalc, numpy_expert, numpy_naive], ids=lambda peer: peer.__name__)
def test_memory_counts_workspaces_and_results(peer: ModuleType) -> None:
    case = Case(next(workload for workload in WORKLOADS if workload.name == "log det X"), {"n": 200})
    arrays = case.arrays(0)
    bind = peer.build(case, 1)
    size = 200**2 * 8
    assert size <= measure.traced_memory(lambda: bind(arrays).call) < 8 * size
