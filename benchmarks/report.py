"""Write the page of benchmarks anew from result files: ``python -m benchmarks.report results.json growth.json``.

The parts of ``docs/reference/benchmarks.md`` between ``<!-- begin … -->`` and ``<!-- end … -->`` are replaced, the
plots are drawn, and the results are kept beside them, those on one thread and on two in a file each. What there is no
new file for is written from the kept results.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from .peers import BASE, PEERS
from .results import Results, Row, best_peer, geometric_mean, merged, ratio, read, to_json
from .workloads import WORKLOADS, Case, Workload, table_cases

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "benchmarks.md"
FOLDER = PAGE.with_suffix("")
KEPT: Mapping[int, Path] = MappingProxyType({1: FOLDER / "results.json", 2: FOLDER / "two-threads.json"})
"""The results that the page shows, by the number of threads."""

OURS = "matcalc"
WITH_NUMBA = "matcalc-numba"
BY_HAND = frozenset({"expert", "naive", "numba"})
"""Peers whose derivatives a person has written."""

COARSE = 100_000
"""Bytes that the growth of a process does not tell from nothing."""

EVEN = 1.1
"""A ratio up to this counts as the same time."""


def cell(value: float | None) -> str:
    """A ratio in a table.

    >>> cell(0.00345), cell(0.987), cell(23.4), cell(None)
    ('0.0034', '0.99', '23', '–')
    """
    if value is None:
        return "–"
    if value < 0.1:
        return f"{value:.2g}"
    return f"{value:.2f}" if value < 9.995 else f"{value:.0f}"


def duration(seconds: float | None) -> str:
    """Seconds with a unit that fits.

    >>> duration(0.00123), duration(12.34), duration(4.5e-7)
    ('1.23 ms', '12.3 s', '0.45 µs')
    """
    if seconds is None:
        return "–"
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def amount(number: int | None) -> str:
    """Bytes with a unit that fits.

    >>> amount(1_234_567), amount(80), amount(None)
    ('1.23 MB', '80 B', '–')
    """
    if number is None:
        return "–"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= scale:
            return f"{number / scale:.3g} {unit}"
    return f"{number} B"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""A Markdown table whose columns but the first are aligned to the right.

    >>> table(["case", "a"], [["x|y", "1"]])
    '| case | a |\n| --- | ---: |\n| x\\|y | 1 |'
    """
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)


def rows_of_table(results: Results) -> list[Row]:
    """The rows in the order of the workloads; the other points of the plots are left out."""
    found = {row.label: row for row in results.rows}
    return [found[case.label] for case in table_cases() if case.label in found]


def columns(rows: Sequence[Row]) -> list[str]:
    """The peers of the rows, in their order."""
    return [peer.name for peer in PEERS if any(peer.name in row.timings for row in rows)]


def times(results: Results) -> str:
    """Time of the base, and every peer's ratio to it."""
    rows = rows_of_table(results)
    others = [name for name in columns(rows) if name != BASE]
    lines = []
    for row in rows:
        base = row.timings.get(BASE)
        ratios = [cell(ratio(row, name, BASE)) for name in others]
        lines.append([row.label, duration(base.seconds if base else None), *ratios])
    return table(["case", BASE, *others], lines)


def first_calls(results: Results) -> str:
    """The seconds up to the first answer."""
    rows = rows_of_table(results)
    names = [name for name in columns(rows) if name not in BY_HAND]
    lines = [
        [row.label, *(duration(t.first if (t := row.timings.get(name)) else None) for name in names)] for row in rows
    ]
    return table(["case", *names], lines)


def memory(results: Results) -> str:
    """The bytes of one call."""
    rows = rows_of_table(results)
    names = columns(rows)
    lines = []
    for row in rows:
        taken = {name: timing.memory for name, timing in row.timings.items()}
        ours, base = taken.get(OURS), taken.get(BASE)
        over = ours / base if ours is not None and base else None
        lines.append([row.label, cell(over), *(seen(name, taken.get(name)) for name in names)])
    return table(["case", f"{OURS} / {BASE}", *names], lines)


def seen(name: str, number: int | None) -> str:
    """Bytes of a peer; from outside a process, small amounts are not told from nothing."""
    (peer,) = (peer for peer in PEERS if peer.name == name)
    if number is not None and not peer.is_traced and number < COARSE:
        return f"< {amount(COARSE)}"
    return amount(number)


def imports(results: Results) -> str:
    """The seconds of importing each peer."""
    return table(["peer", "import"], [[name, duration(seconds)] for name, seconds in results.imports.items()])


def machine(results: Results) -> str:
    """What the run ran on."""
    facts = {**results.machine, "threads of every peer": str(results.threads), "seed": str(results.seed)}
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items())


def standing(results: Results) -> str:
    """matcalc against the code by hand, and against the fastest of those that derive too; losses are bold."""
    lines: list[list[str]] = []
    to_base: list[float] = []
    to_best: list[float] = []
    for row in rows_of_table(results):
        best = best_peer(row, BY_HAND | {OURS, WITH_NUMBA})
        over_base, over_best = ratio(row, OURS, BASE), ratio(row, OURS, best or "")
        to_base += [] if over_base is None else [over_base]
        to_best += [] if over_best is None else [over_best]
        lines.append([row.label, marked(over_base), marked(over_best), best or "–"])
    sentences = [against(to_base, BASE), against(to_best, "the fastest other peer that derives")]
    head = ["case", f"{OURS} / {BASE}", f"{OURS} / fastest that derives", "which is"]
    return " ".join(sentence for sentence in sentences if sentence) + "\n\n" + table(head, lines)


def marked(value: float | None) -> str:
    """A ratio, bold where it is a loss."""
    return f"**{cell(value)}**" if value is not None and value > EVEN else cell(value)


def against(ratios: Sequence[float], other: str) -> str:
    """A sentence about ratios.

    >>> against([0.5, 2.0], "expert")
    'Against expert: 1.00 times as long in the geometric mean of 2 cases, less in 1 of them, over 1.1 times in 1.'
    """
    if not ratios:
        return ""
    less, lost = sum(value < 1 for value in ratios), sum(value > EVEN for value in ratios)
    return (
        f"Against {other}: {cell(geometric_mean(ratios))} times as long in the geometric mean of {len(ratios)} cases, "
        f"less in {less} of them, over {EVEN} times in {lost}."
    )


def missing(results: Results) -> str:
    """Cases that were not timed, and why."""
    lines = [
        f"- {row.label}, {name}: {note}"
        for row in rows_of_table(results)
        for name, note in row.notes.items()
        if "no hand-written" not in note
    ]
    return "\n".join(lines) if lines else "Every peer did every case."


def peers(results: Results) -> str:
    """How each peer is used."""
    present = columns(rows_of_table(results))
    return "\n".join(f"- **{peer.name}**: {peer.about}" for peer in PEERS if peer.name in present)


def plots(results: Results) -> str:
    """The pictures."""
    lines = [
        f"![{workload.name}: seconds of one call]({FOLDER.name}/{slug(workload.name)}.svg)"
        for workload in drawn(results)
    ]
    return "\n\n".join(lines) or "Not measured."


def drawn(results: Results) -> list[Workload]:
    """The workloads whose plot has all its points."""
    labels = {row.label for row in results.rows}
    return [
        workload
        for workload in WORKLOADS
        if workload.growth and all(Case(workload, sizes).label in labels for sizes in workload.growth)
    ]


def slug(name: str) -> str:
    """A name of a file.

    >>> slug("RNN, 50 steps")
    'rnn-50-steps'
    """
    return "-".join(re.findall(r"[a-z0-9]+", name.lower()))


Part = Callable[[Results], str]

PARTS: Mapping[str, tuple[int, Part]] = MappingProxyType(
    {
        "machine": (1, machine),
        "peers": (1, peers),
        "standing": (1, standing),
        "times": (1, times),
        "missing": (1, missing),
        "first calls": (1, first_calls),
        "memory": (1, memory),
        "imports": (1, imports),
        "plots": (1, plots),
        "two threads, standing": (2, standing),
        "two threads, times": (2, times),
    }
)
"""For a part of the page, of how many threads the results are that it shows, and what it says of them."""


def rewritten(page: str, results: Mapping[int, Results]) -> str:
    """The page with its parts written anew.

    Parameters
    ----------
    page: the text.
    results: by the number of threads.

    Raises
    ------
    ValueError: the page lacks a part.
    """
    for name, (threads, part) in PARTS.items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"the page has no part {name!r}")
        page = f"{before}{begin}\n{part(results[threads])}\n\n{end}{after}"
    return page


def kept() -> dict[int, Results]:
    """The results that the page shows, by the number of threads."""
    return {threads: read(path) for threads, path in KEPT.items()}


def main(words: Sequence[str] | None = None) -> int:
    """The command."""
    made = argparse.ArgumentParser("python -m benchmarks.report", description=__doc__)
    made.add_argument(
        "files", nargs="*", type=Path, help="results of benchmarks.run: the table, then the points of plots"
    )
    arguments = made.parse_args(words)
    found = [read(path) for path in arguments.files]
    for threads, path in KEPT.items():
        parts = [results for results in found if results.threads == threads]
        if parts:
            path.write_text(to_json(merged(parts)), encoding="utf-8")
    results = kept()
    if any(part.threads == 1 for part in found):
        from .plots import draw  # Matplotlib is optional

        for workload in drawn(results[1]):
            draw(workload, results[1].rows, FOLDER / f"{slug(workload.name)}.svg")
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
