"""Random programs: value, derivative, printed formulas and compiled functions against the oracle."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.oracle import evaluate, read
from tests.program_checks import (
    Outcome,
    Report,
    _TimeoutError,
    check,
    describe,
    limited,
    run_many,
    shrink,
    smaller_programs,
)
from tests.program_rules import RULES
from tests.random_programs import SIZES, Case, random_case, values_of

REGRESSIONS = Path(__file__).with_name("regressions.toml")
LARGEST_SKIP_RATE = 0.15
LARGEST_TIMEOUT_RATE = 0.02
LARGEST_REFUSAL_RATE = 0.03


def load_regressions() -> list[Any]:
    """Every program that once failed, as test parameters."""
    parameters = []
    for entry in tomllib.loads(REGRESSIONS.read_text(encoding="utf-8"))["case"]:
        case = Case(entry["text"], entry["types"], tuple(entry["wrt"]), entry.get("seed", "0"), None, entry["name"])
        if "means" in entry:
            case = replace(case, value=evaluate(read(entry["means"]), values_of(case), SIZES))
        marks = [pytest.mark.xfail(reason=entry["wrong"], strict=False)] if entry.get("open") else []
        parameters.append(pytest.param(case, entry["wrong"], id=case.name, marks=marks))
    return parameters


REGRESSED = load_regressions()


@pytest.mark.parametrize(("case", "wrong"), REGRESSED)
def test_what_once_failed(case: Case, wrong: str) -> None:
    assert wrong, "an entry says what was wrong"
    outcome = check(case, seconds=5)
    assert outcome.kind == "ok" or outcome.is_documented, describe(case, outcome)


def test_names_of_regressions_are_unique() -> None:
    names = [parameter.id for parameter in REGRESSED]
    assert len(set(names)) == len(names)


def failures_of(report: Report) -> list[str]:
    """What a reader needs of every failure that the language does not allow for; slow programs are counted."""
    return [
        describe(case, outcome)
        for found in report.failures.values()
        for case, outcome in found
        if not outcome.is_documented and outcome.kind != "timeout"
    ]


def assert_healthy(report: Report) -> None:
    assert failures_of(report) == []
    assert report.counts["skipped"] <= LARGEST_SKIP_RATE * report.total
    assert report.counts["timeout"] <= LARGEST_TIMEOUT_RATE * report.total
    assert report.counts["refusal"] <= LARGEST_REFUSAL_RATE * report.total


def test_random_programs() -> None:
    """The engine agrees with the oracle on the first programs of seed 0."""
    report = run_many([(0, number) for number in range(500)])
    assert report.total == 500
    assert_healthy(report)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_many_random_programs(seed: int) -> None:
    assert_healthy(run_many([(seed, number) for number in range(2000)]))


# --- the generator -------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(0, 200, 10))
def test_a_program_means_what_the_generator_meant(number: int) -> None:
    case = random_case(3, number)
    assert case.value is not None
    np.testing.assert_allclose(evaluate(read(case.text), values_of(case), SIZES), case.value, rtol=1e-9, atol=1e-9)


def test_programs_are_reproducible_and_differ() -> None:
    texts = [random_case(5, number).text for number in range(60)]
    assert texts == [random_case(5, number).text for number in range(60)]
    assert len(set(texts)) == 60


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_programs_do_not_depend_on_the_hash_seed(root: Path, hash_seed: str) -> None:
    code = "from tests.random_programs import random_case; print([random_case(5, n).text for n in range(20)])"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root), "PYTHONIOENCODING": "utf-8"}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, encoding="utf-8", check=True
    )
    assert result.stdout.strip() == str([random_case(5, number).text for number in range(20)])


def test_programs_cover_the_language() -> None:
    """Outputs of order 0, 1 and 2, both orders of derivatives, and all that the table has rows for."""
    cases = [random_case(4, number) for number in range(600)]
    outputs = {np.ndim(case.value) for case in cases}
    variables = {values_of(case)[case.wrt[0]].ndim for case in cases}
    assert outputs == variables == {0, 1, 2}
    assert {case.order for case in cases} == {1, 2}
    text = "\n".join(case.text for case in cases)
    pieces = "sum_{i=1} einsum( axis=0 inv( ^-1 || ⊙ ᵀ [1,2] [2:n] where( @ vec( det( solve( softmax( _1 I"
    assert [piece for piece in pieces.split() if piece not in text.replace(", ", ",")] == []
    assert len(RULES) > 200


# --- the checker ---------------------------------------------------------------------------------


def test_the_checker_sees_a_wrong_value() -> None:
    case = random_case(0, 0)
    assert case.value is not None
    outcome = check(Case(case.text, case.types, case.wrt, case.seed, case.value + 1e-3))
    assert (outcome.kind, outcome.stage) == ("wrong", "reading")


def test_the_checker_tells_refusals_from_crashes() -> None:
    outcome = check(Case("S: matrix(n, n); argmax(S x) x", {"S": "matrix(n, n)", "x": "vector(n)"}, ("x",), "0"))
    assert outcome.kind in ("ok", "refusal")
    assert Outcome("refusal", "derive", "NotDifferentiable: argmax").is_documented
    assert not Outcome("refusal", "elaborate", "ShapeError: no").is_documented


def test_a_failure_is_reduced() -> None:
    """The reduction keeps the failure and drops the rest."""
    types = {"x": "vector(n)", "y": "vector(n)"}
    long = Case("x, y: vector(n); r = x .* y; sum(sin(r)) + (x + unknown_thing)^T y", types, ("x",), "0")
    outcome = check(long)
    small, told = shrink(long, outcome, seconds=5)
    assert told.key == outcome.key
    assert len(small.text) < len(long.text)


def test_smaller_programs_are_smaller_or_equal() -> None:
    program = read("r = A x - y; r^T r")
    assert len(list(smaller_programs(program, ["x"]))) > 5


# --- the time limit ------------------------------------------------------------------------------


def count_to(number: int) -> None:
    """Processor time of the program alone, which is what the alarm measures."""
    for _ in range(number):
        pass


class Lingering:
    """Something whose end takes long, so that the alarm goes off in it."""

    def __del__(self) -> None:
        count_to(10_000_000)


def linger() -> None:
    left = Lingering()
    del left
    count_to(50_000_000)


def test_an_alarm_in_a_finalizer_is_repeated() -> None:
    """Python swallows what is raised in a finalizer: the alarm was lost, and the run reported an error."""
    with pytest.raises(_TimeoutError), limited(0.05):
        linger()
