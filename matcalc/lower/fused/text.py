"""The text of one fused function: passes over panels of rows, written with counted names and no text of the user."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ...expr.dims import Dim
from ..program import Literal
from .passes import Pass, Stage, Step, passes
from .works import LARGEST, SMALLEST, SUM, Input, Read, Work

PANEL = 32768
"""Entries of the widest array in a panel, which stay in the cache of a core."""
LONGEST = 2048
"""Rows of a panel at most, so that what is computed on the way stays in cache and long sums lose little."""

STARTS: Mapping[str, str] = {SUM: "real(0.0)", LARGEST: "real(-inf)", SMALLEST: "real(inf)"}
ADDED: Mapping[str, str] = {SUM: "accumulate", LARGEST: "larger", SMALLEST: "smaller"}


ROWS = ("for row in range(stop - start):", "    p = index(row)", "    i = index(start + row)")
"""The loop over the rows of a panel: their places in the panel and in whole arrays."""


class Fused(NamedTuple):
    """The text of a function ``f``: it reads ``inputs``, fills ``arrays`` and returns ``numbers``.

    Its parameters are the inputs, the sizes and the arrays, in this order; ``orders`` has the number of axes of every
    input and array.
    """

    text: str
    inputs: tuple[int, ...]
    sizes: tuple[Dim, ...]
    arrays: tuple[int, ...]
    numbers: tuple[int, ...]
    orders: Mapping[int, int]


def fused(works: Sequence[Work], needed: Iterable[int], orders: Mapping[int, int]) -> Fused:
    """The text that computes some works.

    Parameters
    ----------
    works: in an order in which they can be computed.
    needed: the values that are used elsewhere.
    orders: the number of axes longer than 1 of every value that is read.
    """
    # counted anew, so that functions that do the same to other values have the same text, and are compiled once
    values = dict.fromkeys(value for work in works for value in (*(read.value for read in work.reads), work.target))
    number = {value: place for place, value in enumerate(values)}
    counted = [_counted(work, number) for work in works]
    wanted = [number[value] for value in needed if value in number]
    found = _Writer(
        counted, wanted, {number[value]: order for value, order in orders.items() if value in number}
    ).function()
    names = list(values)
    return found._replace(
        inputs=tuple(names[value] for value in found.inputs),
        arrays=tuple(names[value] for value in found.arrays),
        numbers=tuple(names[value] for value in found.numbers),
        orders={names[value]: order for value, order in found.orders.items()},
    )


def _counted(work: Work, number: Mapping[int, int]) -> Work:
    """A work with other numbers for the values."""
    inputs = tuple(
        given._replace(value=number[given.value]) if isinstance(given, Read) else given for given in work.inputs
    )
    return work._replace(target=number[work.target], inputs=inputs)


class _Writer:
    def __init__(self, works: Sequence[Work], needed: Iterable[int], orders: Mapping[int, int]) -> None:
        self.steps: list[Step] = passes(works)
        self.works = {work.target: work for work in works}
        self.needed = set(needed) & set(self.works)
        self.orders = {**orders, **{work.target: len(work.shape) for work in works}}
        self.step_of = {work.target: place for place, step in enumerate(self.steps) for work in _works_of(step)}
        self.stage_of = {
            work.target: number
            for step in self.steps
            if isinstance(step, Pass)
            for number, stage in enumerate(step.stages)
            for work in stage.works
        }
        self.inputs: dict[int, None] = {}
        self.sizes: dict[Dim, str] = {}
        self.whole, self.kept = self._storage()
        self.names: dict[Read, str] = {}
        """Entries that have a name where the text is being written."""

    def _storage(self) -> tuple[set[int], set[int]]:
        """The arrays that are stored as a whole, and those that are kept for the rows of a panel."""
        whole = {value for value in self.needed if self.orders[value]}
        kept: set[int] = set()
        for work in self.works.values():
            for read in work.reads:
                source = self.works.get(read.value)
                if source is None or not source.shape:
                    continue
                if self.step_of[read.value] != self.step_of[work.target] or 0 in source.reduced:
                    whole.add(read.value)
                elif source.times or source.reduced or self._stage(read.value) != self._stage(work.target):
                    kept.add(read.value)
        whole |= {w.target for w in self.works.values() if w.shape and (w.kind == "product" or 0 in w.reduced)}
        return whole, kept - whole

    def _stage(self, value: int) -> tuple[int, int]:
        return self.step_of[value], self.stage_of.get(value, -1)

    # --- names ----------------------------------------------------------------------------------------

    def size(self, dim: Dim) -> str:
        constant = dim.constant
        return str(constant) if constant is not None else self.sizes.setdefault(dim, f"n{len(self.sizes)}")

    def array(self, value: int) -> str:
        if value in self.works:
            return f"o{value}" if value in self.needed else f"b{value}"
        self.inputs[value] = None
        return f"a{value}"

    def entry(self, read: Read, indices: Sequence[str]) -> str:
        """The text of an entry, by the indices of the axes of the domain; that of its row within the panel is p."""
        if read in self.names:
            return self.names[read]
        if not read.labels:
            return f"s{read.value}" if read.value in self.works else self.array(read.value)
        if read.value in self.kept:
            inside = ("p", *indices[1:])
            return f"{self.array(read.value)}[{', '.join(inside[label] for label in read.labels)}]"
        return f"{self.array(read.value)}[{', '.join(indices[label] for label in read.labels)}]"

    def given(self, given: Input, indices: Sequence[str]) -> str:
        if isinstance(given, Read):
            return self.entry(given, indices)
        return f"real({self.size(given)})" if isinstance(given, Dim) else _literal(given)

    def body(self, work: Work, indices: Sequence[str]) -> str:
        return work.body.format(*(self.given(given, indices) for given in work.inputs))

    # --- the function -----------------------------------------------------------------------------------

    def function(self) -> Fused:
        lines: list[str] = []
        for step in self.steps:
            self.names = {}
            lines += self.rows(step) if isinstance(step, Pass) else self.single(step)
        numbers = tuple(sorted(value for value in self.needed if not self.orders[value]))
        arrays = tuple(sorted(value for value in self.needed if self.orders[value]))
        made = self.empty(sorted(self.whole - self.needed))
        lines = [*made, *lines]
        if numbers:
            lines.append(f"return {', '.join(f's{value}' for value in numbers)}")
        inputs = tuple(sorted(self.inputs))
        parameters = [*(f"a{value}" for value in inputs), *self.sizes.values(), *(f"o{value}" for value in arrays)]
        text = f"def f({', '.join(parameters)}):\n" + "".join(f"    {line}\n" for line in lines)
        orders = {value: self.orders[value] for value in (*inputs, *arrays)}
        return Fused(text, inputs, tuple(self.sizes), arrays, numbers, orders)

    def empty(self, values: Iterable[int]) -> list[str]:
        """New arrays for values that are needed as a whole on the way."""
        lines = []
        for value in values:
            shape = ", ".join(self.size(dim) for dim in self.works[value].shape)
            lines.append(f"b{value} = empty(({shape},), kind)")
        return lines

    def single(self, work: Work) -> list[str]:
        """A number, or a product of small matrices."""
        if work.kind != "product":
            return [f"s{work.target} = {self.body(work, ())}"]
        factors = []
        for given, natural in zip(work.inputs, ((0, 1), (1, 2)), strict=True):
            assert isinstance(given, Read)
            factors.append(self.array(given.value) + ("" if given.labels == natural else ".T"))
        return [f"small_product({', '.join(factors)}, {self.array(work.target)})"]

    # --- one pass ---------------------------------------------------------------------------------------

    def rows(self, step: Pass) -> list[str]:
        """The loop over panels: totals begin before it, and are added up panel by panel."""
        length = self.size(step.rows)
        works = step.works
        totals = [work for work in works if work.reduced and not work.shape]
        columns = [work for work in works if 0 in work.reduced and work.shape]
        before = [f"s{work.target} = {STARTS[work.kind]}" for work in totals]
        before += [f"{self.array(work.target)}[:] = {STARTS[work.kind]}" for work in columns]
        kept = [work for work in works if work.target in self.kept]
        panels = len(step.stages) > 1 or bool(totals)
        inside: list[str] = [f"c{work.target} = {STARTS[work.kind]}" for work in totals]
        for stage in step.stages:
            inside += self.stage(stage)
        for work in totals:
            whole, part = f"s{work.target}", f"c{work.target}"
            inside.append(
                f"{whole} = {whole} + {part}" if work.kind == SUM else f"{whole} = {ADDED[work.kind]}({whole}, {part})"
            )
        if not panels:
            return [*before, "start = 0", f"stop = {length}", *inside]
        wide = sorted({self.size(work.domain[1]) for work in works if len(work.domain) > 1})
        step_text = f"min({length}, {LONGEST})"
        if wide:
            widest = wide[0]
            for other in wide[1:]:
                widest = f"max({widest}, {other})"
            step_text = f"min({length}, max(8, min({LONGEST}, {PANEL} // {widest} // 8 * 8)))"
        before.append(f"step = {step_text}")
        for work in kept:
            shape = ", ".join(["step", *(self.size(dim) for dim in work.shape[1:])])
            before.append(f"b{work.target} = empty(({shape},), kind)")
        loop = [f"for start in range(0, {length}, step):", f"    stop = min(start + step, {length})"]
        return [*before, *loop, *(f"    {line}" for line in inside)]

    def stage(self, stage: Stage) -> list[str]:
        """One loop over the rows of a panel."""
        if stage.works[0].times:
            lines: list[str] = []
            for work in stage.works:
                lines += self.times(work)
            return lines
        self.names = {}
        entries: list[str] = []
        if len(stage.domain) == 1:
            for work in stage.works:
                entries += self.computed(work, ("i",))
            self.names = {}
            return [*ROWS, *(f"    {line}" for line in entries)]
        head: list[str] = []
        tail: list[str] = []
        inside = {work.target for work in stage.works}
        for work in stage.works:
            for read in work.reads:
                if read.labels == (0,) and read not in self.names and read.value not in inside:
                    head.append(f"r{read.value} = {self.entry(read, ('i', 'j'))}")
                    self.names[read] = f"r{read.value}"
            if work.reduced == (1,):
                head.append(f"c{work.target} = {STARTS[work.kind]}")
                tail += self.stored(work, f"c{work.target}", ("i",))
        for work in stage.works:
            entries += self.computed(work, ("i", "j"))
        self.names = {}
        columns = [f"for column in range({self.size(stage.domain[1])}):", "    j = index(column)"]
        lines = [*head, *columns, *(f"    {line}" for line in entries), *tail]
        return [*ROWS, *(f"    {line}" for line in lines)]

    def computed(self, work: Work, indices: Sequence[str]) -> list[str]:
        """The lines for one entry of the domain of a work."""
        text = self.body(work, indices)
        if not work.reduced:
            name = f"v{work.target}"
            self.names[Read(work.target, tuple(range(len(indices))))] = name
            return [f"{name} = {text}", *self.stored(work, name, indices)]
        if not work.shape or work.reduced == (1,):
            return [f"c{work.target} = {ADDED[work.kind]}(c{work.target}, {text})"]
        target = f"{self.array(work.target)}[j]"
        if work.kind == SUM:
            return [f"{target} += {text}"]
        return [f"{target} = {ADDED[work.kind]}({target}, {text})"]

    def stored(self, work: Work, name: str, indices: Sequence[str]) -> list[str]:
        if work.target in self.whole:
            return [f"{self.array(work.target)}[{', '.join(indices)}] = {name}"]
        if work.target in self.kept:
            return [f"b{work.target}[{', '.join(('p', *indices[1:]))}] = {name}"]
        return []

    def times(self, work: Work) -> list[str]:
        """A matrix times a vector for the rows of a panel."""
        first, second = work.reads
        matrix, vector = (first, second) if len(first.labels) > 1 else (second, first)
        text, start = self.array(matrix.value), "0" if matrix.value in self.kept else "start"
        if work.reduced == (1,):
            place = "0" if work.target in self.kept else "start"
            call = f"{text}, {self.array(vector.value)}, {self.array(work.target)}"
            return [f"rows_times({call}, {start}, 0, stop - start, {place})"]
        place = "0" if vector.value in self.kept else "start"
        call = f"{text}, {self.array(vector.value)}, {self.array(work.target)}"
        return [f"add_rows({call}, {start}, 0, stop - start, {place})"]


def _works_of(step: Step) -> list[Work]:
    return step.works if isinstance(step, Pass) else [step]


def _literal(literal: Literal) -> str:
    """A number of the working type; ``repr`` of what is not finite is no Python."""
    value = literal.value
    text = (
        "nan"
        if value != value
        else "inf"
        if value == float("inf")
        else "-inf"
        if value == float("-inf")
        else repr(value)
    )
    return f"real({text})"
