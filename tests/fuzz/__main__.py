"""Fuzzing: texts made by one of several makers go through one of several targets, and what breaks is written down.

python -m tests.fuzz bytes --target text --count 1000000        # guided by coverage (atheris)
python -m tests.fuzz sentences --target derivative --count 20000 --seed 1
python -m tests.fuzz changes --target derivative --count 20000 --seed 1
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

LONGEST = 400
"""Characters of a text."""
EVERY = 10_000
"""After how many executions the counts are written."""


class Record:
    """Counts, and one text for every kind and place of failure, kept in a file as they are found."""

    def __init__(self, out: Path | None, head: str) -> None:
        self.out = out
        self.head = head
        self.total = 0
        self.accepted = 0
        self.kinds: Counter[str] = Counter()
        self.known: set[tuple[str, str]] = set()
        self.start = time.monotonic()

    def add(self, target: str, text: str, seconds: float) -> None:
        from tests.fuzz.targets import Finding, attempt  # atheris rewrites what is imported after it

        finding = attempt(target, text, seconds)
        self.total += 1
        if finding is True:
            self.accepted += 1
        if isinstance(finding, Finding):
            self.kinds[finding.kind] += 1
            if (finding.kind, finding.place) not in self.known:
                self.known.add((finding.kind, finding.place))
                self.write({"kind": finding.kind, "place": finding.place, "text": finding.text, "story": finding.story})
        if self.total % EVERY == 0:
            self.count()

    def count(self) -> None:
        took = round(time.monotonic() - self.start)
        counts = {"executions": self.total, "accepted": self.accepted, "seconds": took}
        self.write({"run": self.head, **counts, "findings": dict(self.kinds)})

    def write(self, entry: dict[str, object]) -> None:
        line = json.dumps(entry, ensure_ascii=True)
        print(line, flush=True)
        if self.out is not None:
            with self.out.open("a", encoding="utf-8") as file:
                file.write(line + "\n")


def made_texts(maker: str, seed: int, count: int, start: int) -> Iterator[str]:
    """The texts of a run; a text depends on the seed and its number alone."""
    from tests.fuzz.texts import changed, sentence, tokens, written

    others, pieces = written(), tokens()
    for number in range(start, start + count):
        rng = random.Random(f"{maker}/{seed}/{number}")
        if maker == "sentences":
            yield sentence(rng)[:LONGEST]
        else:
            yield changed(rng, rng.choice(others), others, pieces)[:LONGEST]


def guided(record: Record, target: str, seconds: float, count: int, seed: int, corpus: Path) -> None:
    """Bytes that atheris makes, guided by the branches of the package that they reach."""
    import atheris

    with atheris.instrument_imports(include=["matcalc.syntax", "matcalc.elaborate"]):
        import tests.fuzz.targets  # noqa: F401
    from tests.fuzz.texts import tokens, written

    corpus.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(written()):
        (corpus / f"written{number}").write_bytes(text.encode("utf-8", "surrogatepass")[:LONGEST])
    words = corpus.parent / "words.txt"
    escaped = (
        "".join(f"\\x{byte:02x}" for byte in token.encode("utf-8", "surrogatepass")) for token in tokens() if token
    )
    words.write_text("".join(f'"{word}"\n' for word in escaped), encoding="ascii")

    def one(data: bytes) -> None:
        record.add(target, data.decode("utf-8", "replace"), seconds)
        if record.total == count:
            record.count()

    options = [
        f"-runs={count}",
        f"-seed={seed}",
        f"-max_len={LONGEST}",
        f"-dict={words}",
        "-timeout=60",
        "-verbosity=0",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("maker", choices=("bytes", "sentences", "changes"))
    parser.add_argument("--target", choices=("text", "latex", "parts", "derivative"), default="text")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=int, default=0, help="number of the first text")
    parser.add_argument("--seconds", type=float, default=2.0, help="processor time that a text may take")
    parser.add_argument("--out", type=Path, help="the file that findings are added to")
    parser.add_argument("--corpus", type=Path, default=Path("/tmp/matcalc-fuzz/corpus"), help="for bytes: kept inputs")
    options = parser.parse_args()
    record = Record(options.out, f"{options.maker} {options.target} seed {options.seed}")
    if options.maker == "bytes":
        guided(record, options.target, options.seconds, options.count, options.seed, options.corpus)
        return
    for text in itertools.islice(made_texts(options.maker, options.seed, options.count, options.start), options.count):
        record.add(options.target, text, options.seconds)
    record.count()


if __name__ == "__main__":
    main()
