"""Time every workload with every installed peer: ``python -m benchmarks.run --quick``.

    python -m benchmarks.run --quick                       # under a minute: the main cases and peers, one thread
    python -m benchmarks.run --json results.json           # every case and peer, one thread: CPU time
    python -m benchmarks.run --threads 2                   # two threads: wall time, wants a quiet machine
    python -m benchmarks.run --growth --json growth.json   # cost as sizes grow
    python -m benchmarks.run --cases logistic,MLP --peers matcalc,expert,jax
    python -m benchmarks.run --list

Every peer runs in a process of its own. Each case draws fresh float64 arrays from the seed; every answer is compared
with that of JAX, or of the first peer that answers, before it is timed. A wrong answer is never timed, and makes the
exit status 1. Then come rounds: in each of them every peer gets a time slice while the others sleep. Reported is the
median over the slices that were least disturbed. A peer that is not installed is left out.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from .machine import busy_ticks, describe, import_seconds, wait_until_quiet
from .measure import Slice
from .peers import BASE, COMPRESSING, PEERS, Peer
from .results import (
    TOLERANCE,
    Results,
    Row,
    Sample,
    Timing,
    median_and_spread,
    ratio,
    relative_error,
    to_json,
)
from .worker import Failure, First, Worker
from .workloads import LEFT_OUT, Array, Case, growth_cases, quick_cases, table_cases

REFERENCE = "jax"
GROWTH_PEERS = ("matcalc", "expert", "jax")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
CACHES = {"TORCHINDUCTOR_CACHE_DIR": "{folder}/torch", "PYTENSOR_FLAGS": "base_compiledir={folder}/pytensor"}
"""What peers keep on disk is empty at the start, or a first call would be one only once."""

ENVIRONMENT = {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1"}


class Effort(NamedTuple):
    """How long is measured.

    Attributes
    ----------
    threads: of every peer; with one, CPU time counts, else wall time.
    rounds: time slices of every peer.
    seconds: of a slice.
    longest: a call that takes more seconds is quoted from a single one.
    timeout: seconds after which a peer has no answer.
    wait: seconds that a slice waits for a quiet machine.
    patience: how many times as many slices are tried while the machine is not quiet.
    quiet: the share of the machine that others may use in a slice that counts.
    imports: how often an import is timed.
    with_memory: whether memory is measured.
    """

    threads: int
    rounds: int
    seconds: float
    longest: float
    timeout: float
    wait: float
    patience: int
    quiet: float
    imports: int
    with_memory: bool


def effort(threads: int, *, is_quick: bool) -> Effort:
    """The usual effort."""
    alone = threads == 1
    return Effort(
        threads=threads,
        rounds=3 if is_quick else 7,
        seconds=0.02 if is_quick else 0.12,
        longest=3.0,
        timeout=60.0 if is_quick else 300.0,
        wait=0.0 if alone or is_quick else 1.0,
        patience=1 if alone or is_quick else 3,
        quiet=0.55 if alone else 0.12,
        imports=1 if is_quick else 3,
        with_memory=not is_quick,
    )


def run_case(case: Case, workers: Mapping[str, Worker], how: Effort, seed: int) -> Row:
    """Check every peer's answer, and time those that are right."""
    if case.workload.is_compressed:
        workers = {name: worker for name, worker in workers.items() if name in COMPRESSING}
    notes: dict[str, str] = {}
    ready: dict[str, tuple[First, float]] = {}
    memory: dict[str, int | None] = {}
    reference: list[Array] | None = None
    left_out, reason = LEFT_OUT.get(case.label, (frozenset(), ""))
    for name in sorted(workers, key=lambda name: name != REFERENCE):
        if name in left_out:
            notes[name] = reason
            continue
        first = workers[name].ask("first", case.label, seed, timeout=how.timeout)
        if isinstance(first, Failure):
            notes[name] = first.reason
            continue
        reference = first.answer if reference is None else reference
        error = relative_error(first.answer, reference)
        if error > TOLERANCE:
            notes[name] = f"WRONG: differs by {error:.1e}"
            workers[name].ask("drop", timeout=how.timeout)
            continue
        ready[name] = first._replace(answer=[]), error
    samples = interleaved({name: first for name, (first, _) in ready.items()}, workers, how)
    for name in ready:
        if how.with_memory:
            found = workers[name].ask("memory", case.label, seed, timeout=how.timeout)
            memory[name] = None if isinstance(found, Failure) else found
        workers[name].ask("drop", timeout=how.timeout)
    timings = {}
    for name in (name for name in workers if name in ready):
        first, error = ready[name]
        seconds, spread = median_and_spread(samples[name], how.rounds)
        timings[name] = Timing(seconds, spread, first.first, memory.get(name), error)
    return Row(case.label, timings, notes)


def interleaved(ready: Mapping[str, First], workers: Mapping[str, Worker], how: Effort) -> Mapping[str, list[Sample]]:
    """The time slices of every peer, in turn."""
    samples = {name: [Sample(first.warm, 0.0)] if first.warm > how.longest else [] for name, first in ready.items()}
    missing = {name: 0 if taken else how.rounds for name, taken in samples.items()}
    for turn in range(how.rounds * how.patience):
        waiting = [name for name, count in missing.items() if count > 0]
        if not waiting:
            break
        start = turn % len(waiting)
        for name in waiting[start:] + waiting[:start]:
            wait_until_quiet(how.wait, how.quiet)
            busy, total = busy_ticks()
            taken = workers[name].ask("slice", how.seconds, timeout=how.timeout)
            busy_after, total_after = busy_ticks()
            if isinstance(taken, Failure):
                samples[name] = samples[name] or [Sample(ready[name].warm, 1.0)]
                missing[name] = 0
                continue
            own = taken.total * os.sysconf("SC_CLK_TCK")
            others = max(0.0, busy_after - busy - own) / max(1, total_after - total)
            samples[name].append(Sample(seconds_of(taken, how.threads), others))
            missing[name] -= others <= how.quiet
    return samples


def seconds_of(taken: Slice, threads: int) -> float:
    """CPU time on one thread, which other load hardly changes; wall time on several."""
    return taken.cpu if threads == 1 else statistics.median(taken.wall)


def run(
    cases: Iterable[Case], peers: Sequence[Peer], how: Effort, seed: int, destination: Path | None = None
) -> Results:
    """Time the cases, printing each row as it is done; the results so far are kept in a file."""
    workers = {peer.name: Worker(peer, how.threads) for peer in peers}
    try:
        for peer in peers:
            started = workers[peer.name].ask(timeout=how.timeout)
            if isinstance(started, Failure):
                print(f"  {peer.name}: {started.reason}")
                workers.pop(peer.name).stop()
        installed = [peer for peer in peers if peer.name in workers]
        results = Results(describe(), how.threads, seed, import_seconds(installed, how.imports), ())
        begin = time.monotonic()
        for case in cases:
            row = run_case(case, workers, how, seed)
            results = results._replace(rows=(*results.rows, row))
            print(f"[{time.monotonic() - begin:4.0f} s] {summary(row)}", flush=True)
            if destination:
                destination.write_text(to_json(results), encoding="utf-8")
        return results
    finally:
        for worker in workers.values():
            worker.stop()


def summary(row: Row) -> str:
    """One line about a row.

    >>> summary(Row("case", {"expert": Timing(2e-6, 0.0, 0.1, None, 0.0)}, {"jax": "WRONG: differs by 1e+00"}))
    'case: expert 2 us (1.00); jax WRONG: differs by 1e+00'
    """
    parts = []
    for name, timing in row.timings.items():
        over = ratio(row, name, BASE)
        parts.append(f"{name} {duration(timing.seconds)}" + (f" ({over:.2f})" if over is not None else ""))
    parts += [f"{name} {note}" for name, note in row.notes.items() if row.is_wrong and note.startswith("WRONG")]
    return f"{row.label}: {'; '.join(parts)}"


def duration(seconds: float) -> str:
    """Seconds with a unit that fits.

    >>> duration(0.00123), duration(12.3)
    ('1.23 ms', '12.3 s')
    """
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def chosen_cases(arguments: argparse.Namespace) -> list[Case]:
    source = growth_cases() if arguments.growth else quick_cases() if arguments.quick else table_cases()
    parts = arguments.cases.split(",") if arguments.cases else [""]
    return [case for case in source if any(part in case.label for part in parts)]


def chosen_peers(arguments: argparse.Namespace) -> list[Peer]:
    if arguments.peers:
        wanted = arguments.peers.split(",")
        return [peer for peer in PEERS if peer.name in wanted]
    if arguments.growth:
        return [peer for peer in PEERS if peer.name in GROWTH_PEERS]
    return [peer for peer in PEERS if peer.is_quick or not arguments.quick]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        "python -m benchmarks.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--quick", action="store_true", help="the main cases and peers, short slices")
    made.add_argument("--growth", action="store_true", help="the points of the plots instead of the table")
    made.add_argument("--threads", type=int, choices=(1, 2), default=1, help="of every peer")
    made.add_argument("--cases", default="", help="only labels with one of these parts, separated by commas")
    made.add_argument("--peers", default="", help="only these peers, separated by commas")
    made.add_argument("--rounds", type=int, help="time slices of every peer")
    made.add_argument("--seconds", type=float, help="of a time slice")
    made.add_argument("--seed", type=int, help="of the data; by default another one each time")
    made.add_argument("--json", type=Path, help="a file for the results")
    made.add_argument("--list", action="store_true", help="print the cases and their texts")
    return made


def main(words: Sequence[str] | None = None) -> int:
    """The command; 1 if an answer was wrong."""
    arguments = parser().parse_args(words)
    cases = chosen_cases(arguments)
    if arguments.list:
        for case in cases:
            print(f"{case.label}\n    {case.workload.mode} by {', '.join(case.workload.wrt)}: {case.workload.text}")
        return 0
    os.environ.update(ENVIRONMENT)
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(arguments.threads)))
    if arguments.threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    how = effort(arguments.threads, is_quick=arguments.quick)
    how = how._replace(rounds=arguments.rounds or how.rounds, seconds=arguments.seconds or how.seconds)
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}, {arguments.threads} thread(s); in brackets: time over that of {BASE}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update({name: value.format(folder=folder) for name, value in CACHES.items()})
        results = run(cases, chosen_peers(arguments), how, seed, arguments.json)
    return 1 if any(row.is_wrong for row in results.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
