"""The tests notice wrong rules: a fixed sample of mutants always, all of them with `pytest -m slow`.

python -m tests.mutation.run --jobs 2    # all of them, with a list of the mutants that no test notices
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import test_identities

from matcalc.calculus.identities import IDENTITIES, Identity
from tests.mutation.mutants import RECORD_MODULES, RULES, TARGETS, mutants_of, text_variants
from tests.mutation.run import EQUIVALENT

#: Measured on one mutant in three: 67 of 684, half of them in `lower.stable` and in guards against odd shapes.
LARGEST_SHARE_SURVIVING = 0.1


def test_every_target_has_mutants_of_every_kind() -> None:
    names = [mutant.name for module in TARGETS for mutant in mutants_of(module)]
    assert len(set(names)) == len(names) > 2000
    kinds = (
        "sign",
        "constant",
        "swapped operands",
        "another function",
        "transposed",
        "dropped transpose of",
        "dropped",
    )
    assert all(any(f": {kind}" in name for name in names) for kind in kinds)
    records = {mutant.record for module in RECORD_MODULES for mutant in mutants_of(module)}
    assert len(records) > 80


def test_labels_are_transposed_and_functions_replaced() -> None:
    assert ("ji,jk->ik", "transposed") in list(text_variants("ij,jk->ik"))
    assert ("ij,jk->ki", "transposed") in list(text_variants("ij,jk->ik"))
    assert list(text_variants("np.sin({0})")) == [("np.cos({0})", "another function")]
    assert list(text_variants("cos")) == [("sin", "another function")]


def test_equivalent_mutants_exist_and_have_a_reason() -> None:
    names = {mutant.name for module in TARGETS for mutant in mutants_of(module)}
    for row in tomllib.loads(EQUIVALENT.read_text("utf-8"))["equivalent"]:
        assert row["mutant"] in names
        assert len(row["reason"].split()) >= 4


def tried(root: Path, *arguments: str) -> str:
    """What the command says; it runs in a process of its own, which it forks."""
    command = [sys.executable, "-m", "tests.mutation.run", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, encoding="utf-8", check=False)
    assert done.stdout, done.stderr[-2000:]
    return done.stdout


def test_a_sample_of_mutants_is_noticed(root: Path) -> None:
    said = tried(root, "--sample")
    assert " 0 survived" in said, said


@pytest.mark.slow
def test_every_mutant_of_a_record_or_a_rule_is_noticed(root: Path) -> None:
    said = tried(
        root, "--jobs", "2", *(word for module in RULES for word in ("--only", module.removeprefix("matcalc.")))
    )
    counts = outcomes(said)
    assert sum(counts.values()) > 1500
    assert counts.get("survived", 0) == 0, said[-8000:]


@pytest.mark.slow
def test_mutants_of_the_stable_forms_are_noticed(root: Path) -> None:
    """No more survive than are known to; the command lists them, and the bound only ever falls."""
    said = tried(root, "--jobs", "2", "--only", "lower.stable")
    counts = outcomes(said)
    assert sum(counts.values()) > 250
    assert counts.get("survived", 0) <= LARGEST_SHARE_SURVIVING * sum(counts.values()), said[-8000:]


def outcomes(said: str) -> dict[str, int]:
    return {outcome: int(count) for outcome, count in re.findall(r"'(\w+)': (\d+)", said.splitlines()[-1])}


# --- the table of identities ---------------------------------------------------------------------

CHECKS = {
    "derivative": test_identities.test_derivatives_agree_with_the_engine,
    "differential": test_identities.test_differentials_agree_with_differences_and_with_the_engine,
    "equality": test_identities.test_equalities_hold,
}
ZERO = re.compile(r"^\s*(0|zeros\([^)]*\))\s*$")
CHANGES = (
    (r" \+ ", " - "),
    (r" - ", " + "),
    (r"\bsin\(", "cos("),
    (r"\b2 ", "3 "),
    (r"\b1/2 ", ""),
    (r"(?<=\w)\^T", ""),
    (r"(?<=\w)\^-T", "^-1"),
)
#: Changed rows that say the same, with the reason.
SAME: dict[tuple[str, str], str] = {}


def wrong_rows(identity: Identity) -> Iterator[Identity]:
    """The identity with one change of its result: its sign, a factor, a transpose, a constant, the sign of a term."""
    head, _, last = identity.result.rpartition(";")
    prefix = f"{head}; " if head else ""
    if not ZERO.search(last):
        yield identity._replace(result=f"{prefix}-({last})")
        yield identity._replace(result=f"{prefix}2 ({last})")
    for pattern, replacement in CHANGES:
        for found in re.finditer(pattern, last):
            yield identity._replace(result=prefix + last[: found.start()] + replacement + last[found.end() :])


def is_noticed(identity: Identity) -> bool:
    try:
        CHECKS[identity.kind](identity)
    except (Exception, pytest.fail.Exception):
        return True
    return False


WRONG_ROWS = [wrong for identity in IDENTITIES for wrong in wrong_rows(identity)]


def unnoticed(rows: Sequence[Identity]) -> list[tuple[str, str]]:
    return [(row.name, row.result) for row in rows if (row.name, row.result) not in SAME and not is_noticed(row)]


def test_a_sample_of_wrong_identities_is_noticed() -> None:
    assert unnoticed(WRONG_ROWS[::40]) == []


@pytest.mark.slow
def test_all_wrong_identities_are_noticed() -> None:
    assert len(WRONG_ROWS) > 600
    assert unnoticed(WRONG_ROWS) == []
