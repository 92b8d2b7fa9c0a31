"""Try the tests on every mutant of the rules, and list those that no test notices.

    python -m tests.mutation.run --jobs 2                     # all of it
    python -m tests.mutation.run --only calculus.derive       # the mutants with this in their name
    python -m tests.mutation.run --sample                     # the fixed sample of `sample.toml`, in seconds

Every mutant runs in a fork of this process: first the tests that run the changed line and little else, until
one fails. What survives and is not listed with a reason in ``equivalent.toml`` makes the command fail.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT / "tests", ROOT):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import importlib  # noqa: E402

from tests.mutation.items import Item, Run, forget, items, observe  # noqa: E402
from tests.mutation.mutants import TARGETS, Mutant, apply, lines_with, mutants_of, owner_of, statements  # noqa: E402

EQUIVALENT = Path(__file__).with_name("equivalent.toml")
#: Mutants of all kinds, each with a quick test that notices it.
SAMPLE = Path(__file__).with_name("sample.toml")
#: One killed mutant in so many goes into a new sample.
SAMPLED = 36
#: Seconds of tests that a mutant is given at most, by their time on the unchanged rules.
BUDGET = 2.0
#: The same for a change of a table, which no line tells apart.
TABLE_BUDGET = 4.0
#: Where the rules of a module are tried one by one.
HOME = {
    "matcalc.calculus.simplify": "test_normal_form::test_a_rule",
    "matcalc.calculus.structured": "test_structured_rules::",
    "matcalc.calculus.derive": "test_calculus::",
    "matcalc.lower.stable": "test_stability::",
}
#: Seconds after which a mutant counts as noticed: it does not end.
PATIENCE = 30


class Verdict(NamedTuple):
    """What became of a mutant: ``killed`` and by which test, or ``survived``."""

    mutant: Mutant
    outcome: str
    killer: str = ""


def equivalents() -> dict[str, str]:
    """The mutants that are really the same function, each with the reason."""
    return {row["mutant"]: row["reason"] for row in tomllib.loads(EQUIVALENT.read_text("utf-8"))["equivalent"]}


def file_of(module: str) -> str:
    return importlib.import_module(module).__file__ or ""


def baseline(found: Sequence[Item], jobs: int) -> list[Run]:
    """What each test runs on the unchanged rules."""
    files = frozenset(file_of(module) for module in TARGETS)
    parts: list[tuple[int, int]] = []
    for job in range(jobs):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            runs = [observe(item, files) for item in found[job::jobs]]
            with os.fdopen(writer, "wb") as stream:
                pickle.dump(runs, stream)
            os._exit(0)
        os.close(writer)
        parts.append((child, reader))
    result: dict[int, Run] = {}
    for job, (child, reader) in enumerate(parts):
        with os.fdopen(reader, "rb") as stream:
            for place, run in enumerate(pickle.load(stream)):
                result[job + place * jobs] = run
        os.waitpid(child, 0)
    return [result[place] for place in range(len(found))]


def relevant(mutant: Mutant, found: Sequence[Item], runs: Sequence[Run]) -> list[Item]:
    """The tests that run the changed line or are about its record, within a budget of seconds."""
    node = statements(mutant.module)[mutant.statement]
    file, first, last = file_of(mutant.module), node.lineno, node.end_lineno or node.lineno
    table = not hasattr(node, "body")
    readers = {(file, line) for line in lines_with(mutant.module, owner_of(node))} if table else set()
    home = HOME.get(mutant.module, "test_operations::")
    ranked: list[tuple[float, int, float, Item]] = []
    for item, run in zip(found, runs, strict=True):
        if run.outcome != "passed":
            continue
        if item.reads(mutant.about) and (not mutant.record or item.mentions(mutant.record)):
            rank = -1.0
        elif (file, mutant.line) in run.lines or (mutant.record and item.mentions(mutant.record)):
            rank = 0 if item.name.startswith(home) else 1
        elif table:
            rank = 2 - (not readers.isdisjoint(run.lines)) - item.name.startswith(home) / 2
        elif any((file, line) in run.lines for line in range(first, last + 1)):
            rank = 2
        else:
            continue
        # what runs little else is the most likely to notice
        ranked.append((rank, len(run.lines), run.seconds, item))
    chosen, left = [], TABLE_BUDGET if table else BUDGET
    for _, _, seconds, item in sorted(ranked, key=lambda row: row[:3]):
        if seconds <= left:
            left -= seconds
            chosen.append(item)
    return chosen


def try_mutant(mutant: Mutant, chosen: Sequence[Item]) -> str:
    """The name of the first test that fails in a fork with the mutant, ``""`` when none does."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        told = ""
        try:
            apply(mutant)
        except Exception as error:
            told = f"cannot be built: {type(error).__name__}"
        else:
            for item in chosen:
                outcome = item.run()
                if outcome not in ("passed", "skipped"):
                    told = item.name
                    break
        os.write(writer, (told or "-").encode()[:4000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        told = stream.read().decode()
    os.waitpid(child, 0)
    return "does not end" if not told else "" if told == "-" else told


def run(chosen: Sequence[Mutant], found: Sequence[Item], runs: Sequence[Run], jobs: int) -> list[Verdict]:
    """The verdict on each mutant."""
    forget()
    known = equivalents()
    parts = []
    for job in range(jobs):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            verdicts = []
            for number, mutant in enumerate(chosen[job::jobs]):
                killer = try_mutant(mutant, relevant(mutant, found, runs))
                verdicts.append(Verdict(mutant, "killed" if killer else "survived", killer))
                if not killer and mutant.name not in known:
                    print(f"so far: {mutant.name}", file=sys.stderr, flush=True)
                if number % 50 == 0:
                    print(f"job {job}: {number} of {len(chosen[job::jobs])}", file=sys.stderr, flush=True)
            with os.fdopen(writer, "wb") as stream:
                pickle.dump(verdicts, stream)
            os._exit(0)
        os.close(writer)
        parts.append((child, reader))
    result: list[Verdict] = []
    for child, reader in parts:
        with os.fdopen(reader, "rb") as stream:
            result += pickle.load(stream)
        os.waitpid(child, 0)
    order = {mutant.name: place for place, mutant in enumerate(chosen)}
    return sorted(result, key=lambda verdict: order[verdict.mutant.name])


def run_sample() -> list[str]:
    """The mutants of the sample that their tests do not notice; those that are no longer in the source are counted."""
    rows = tomllib.loads(SAMPLE.read_text("utf-8"))["row"]
    known = {mutant.name: mutant for module in TARGETS for mutant in mutants_of(module)}
    found = {item.name: item for item in items()}
    forget()
    missed: list[str] = []
    gone = 0
    for row in rows:
        mutant, item = known.get(row["mutant"]), found.get(row["test"])
        if mutant is None or item is None:
            gone += 1
        elif not try_mutant(mutant, [item]):
            missed.append(row["mutant"])
    print(f"{len(rows)} mutants, {gone} of them no longer in the source: {len(missed)} survived")
    if gone * 4 > len(rows):
        missed.append("the sample is out of date: write it anew with --write-sample")
    return missed


def write_sample(verdicts: Sequence[Verdict]) -> None:
    """Keep some of the mutants that a test noticed, with that test."""
    noticed = [verdict for verdict in verdicts if "::" in verdict.killer and "corpus" not in verdict.killer]
    rows = [
        f"[[row]]\nmutant = {json.dumps(verdict.mutant.name)}\ntest = {json.dumps(verdict.killer)}\n"
        for verdict in noticed[::SAMPLED]
    ]
    SAMPLE.write_text("\n".join(rows), "utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", help="mutants whose name has this in it; may be repeated")
    parser.add_argument("--every", type=int, default=1, help="take one mutant in so many")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--killers", action="store_true", help="say which test noticed each mutant")
    parser.add_argument("--sample", action="store_true", help="try the fixed sample only")
    parser.add_argument("--write-sample", action="store_true", help="make a new sample of what was noticed")
    given = parser.parse_args(arguments)
    if given.sample:
        missed = run_sample()
        for name in missed:
            print(f"survived: {name}")
        return 1 if missed else 0
    started = time.perf_counter()
    wanted = given.only or [""]
    chosen = [
        mutant for module in TARGETS for mutant in mutants_of(module) if any(text in mutant.name for text in wanted)
    ]
    chosen = chosen[:: given.every]
    found = items()
    runs = baseline(found, given.jobs)
    broken = [f"{item.name}: {run.outcome}" for item, run in zip(found, runs, strict=True)
              if run.outcome not in ("passed", "skipped")]  # fmt: skip
    for line in broken:
        print("fails without a mutant:", line)
    print(f"{len(found)} tests, {len(chosen)} mutants, {time.perf_counter() - started:.0f} s", flush=True)
    verdicts = run(chosen, found, runs, given.jobs)
    if given.write_sample:
        write_sample(verdicts)
    known = equivalents()
    counts: Counter[str] = Counter()
    for verdict in verdicts:
        name = verdict.mutant.name
        outcome = "equivalent" if verdict.outcome == "survived" and name in known else verdict.outcome
        counts[outcome] += 1
        if outcome == "survived":
            print(f"survived: {name}  (line {verdict.mutant.line})")
        elif given.killers:
            print(f"{outcome}: {name}  by {verdict.killer}")
        if outcome == "killed" and name in known:
            print(f"listed as equivalent, but noticed: {name} by {verdict.killer}")
    print(f"{len(verdicts)} mutants: {dict(counts)}, {time.perf_counter() - started:.0f} s")
    return 1 if counts["survived"] or broken else 0


if __name__ == "__main__":
    sys.exit(main())
