"""Wrong inputs of every kind end in the right error: nothing is accepted, nothing crashes, nothing hangs.

All are tried in a process of their own, with 512 MB of memory and a second of computing for each. The figures are
printed by ``pytest -s tests/test_bad_inputs.py``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bad_inputs.cases import CATEGORIES, Case, cases

from matcalc import errors

WORKER = Path(__file__).parent / "bad_inputs" / "worker.py"
CLASS_OF_CODE = {
    kind.code: name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.MatcalcError) and kind is not errors.MatcalcError
}
SECOND = 1.0
NEAR = 2


@pytest.fixture(scope="module")
def results() -> list[tuple[Case, dict[str, Any]]]:
    """Every case with what became of it; a process that dies takes one case with it."""
    wanted = cases()
    found: dict[int, dict[str, Any]] = {}
    while len(found) < len(wanted):
        start = len(found)
        done = subprocess.run(
            [sys.executable, str(WORKER), str(start)], capture_output=True, text=True, timeout=300, check=False
        )
        found.update(json.loads(line) for line in done.stdout.splitlines())
        if done.returncode:
            found[len(found)] = {"crash": f"the process ended with {done.returncode}: {done.stderr[-300:]}"}
        assert len(found) > start, done.stderr
    return [(case, found[number]) for number, case in enumerate(wanted)]


def told(case: Case, result: dict[str, Any]) -> str:
    """A case and its outcome on one line."""
    return f"[{case.category}] {case.text[:80]!r} {dict(case.arguments) if case.at is None else ''}: {result}"[:400]


def refused(results: list[tuple[Case, dict[str, Any]]]) -> list[tuple[Case, dict[str, Any]]]:
    return [(case, result) for case, result in results if "code" in result]


def test_there_are_enough_inputs_of_every_kind() -> None:
    counted = Counter(case.category for case in cases())
    assert len(counted) == len(CATEGORIES) >= 25
    assert sum(counted.values()) >= 1000
    assert min(counted.values()) >= 5, counted


def test_nothing_wrong_is_accepted(results: list[tuple[Case, dict[str, Any]]]) -> None:
    assert [told(*pair) for pair in results if "accepted" in pair[1]] == []


def test_only_errors_of_the_family_leave(results: list[tuple[Case, dict[str, Any]]]) -> None:
    assert [told(*pair) for pair in results if "crash" in pair[1]] == []


def test_nothing_hangs(results: list[tuple[Case, dict[str, Any]]]) -> None:
    late = [pair for pair in results if "hang" in pair[1] or pair[1].get("seconds", 0) > SECOND]
    assert [told(*pair) for pair in late] == []


def test_the_class_says_what_kind_of_mistake_it_is(results: list[tuple[Case, dict[str, Any]]]) -> None:
    pairs = refused(results)
    wrong = [told(case, result) for case, result in pairs if CLASS_OF_CODE[result["code"]] not in case.expected]
    print(f"\n{len(results)} inputs in {len(CATEGORIES)} categories; class right for {1 - len(wrong) / len(pairs):.2%}")
    assert len(wrong) <= 0.02 * len(pairs), wrong


def test_the_error_points_at_the_mistake(results: list[tuple[Case, dict[str, Any]]]) -> None:
    placed = [(case, result) for case, result in refused(results) if case.at is not None]
    wrong = [
        told(case, result)
        for case, result in placed
        if result["offset"] is None or abs(result["offset"] - case.at) > NEAR
    ]
    print(f"\nplace within {NEAR} characters for {1 - len(wrong) / len(placed):.2%} of {len(placed)}")
    assert len(placed) >= 1000
    assert len(wrong) <= 0.05 * len(placed), wrong


def test_every_error_has_a_sentence_and_a_next_move(results: list[tuple[Case, dict[str, Any]]]) -> None:
    for case, result in refused(results):
        assert result["message"], told(case, result)
        assert result["hint"], told(case, result)
        assert "\n" not in result["message"], told(case, result)
        assert "?0" not in result["message"] + result["hint"], told(case, result)


def test_the_command_line_leaves_with_the_status_of_the_class(results: list[tuple[Case, dict[str, Any]]]) -> None:
    statuses = {kind.code: kind.exit_status for kind in vars(errors).values() if hasattr(kind, "exit_status")}
    seen = set()
    for case, result in refused(results):
        if case.how == "cli":
            lookup = case.arguments["words"][0] == "ops" and result["status"] == errors.UnknownName.exit_status
            assert result["status"] == statuses[result["code"]] or lookup, told(case, result)
            seen.add(result["status"])
    assert seen == {2, 3, 4}
