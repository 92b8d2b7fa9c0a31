"""Loops over panels of rows: statements that pass over the same large arrays run on a few rows at a time.

A program of whole passes reads and writes arrays that no cache holds once for every statement. Where a statement
needs of its operands only the rows of its result, or adds something up over the rows, it may run on a panel of rows
that stays in cache, together with the statements before and after it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import NamedTuple

from ..expr.dims import Shape
from .program import Operand, Program, Statement


class Machine(NamedTuple):
    """What a core does: sizes in bytes, times in nanoseconds; measured on a server, and much the same on others.

    cache: what stays in the cache of a core from one statement to the next.
    shared: what stays in the cache that all cores share.
    panel: the rows of a panel, all its arrays together.
    stream: to bring a byte from memory; what the shared cache holds arrives in time.
    spilled: to write a byte to the shared cache and read it again.
    call: to start an operation.
    added: for each byte that is added to a total, or brought into the order that a product of matrices takes.
    small_product: up to so many multiplications a product is not packed, which pays for thin matrices.
    packed: for each multiplication of thin matrices what packing costs.
    thin: columns of a thin matrix.
    least_rows: the fewest rows for which a thin product is taken apart.
    large: bytes of an array whose passes count.
    threads: how many threads matrix products use; so many share the panels of a loop.
    parted: entries that the operations of a loop compute together for which a thread of its own may pay.
    multiplied: multiplications of a product of matrices that take the time of an entry.
    entry: to compute an entry, which threads share in a loop and in whole passes do not.
    started: to start a thread and wait for it.
    product_rate: flops of a matrix product in float64 in a nanosecond, of each thread.
    cache_rate, shared_rate, memory_rate: bytes in a nanosecond from the cache of a core, from the one that all cores
        share, and from memory.
    values_rate: values of exp in float64 in a nanosecond.
    """

    cache: int = 1_500_000
    shared: int = 30_000_000
    panel: int = 1_500_000
    stream: float = 0.06
    spilled: float = 0.02
    call: float = 450.0
    added: float = 0.1
    small_product: int = 650_000
    packed: float = 0.035
    thin: int = 32
    least_rows: int = 32
    large: int = 1 << 17
    threads: int = 1
    parted: int = 1 << 19
    multiplied: int = 32
    entry: float = 0.5
    started: float = 100_000.0
    product_rate: float = 70.0
    cache_rate: float = 113.0
    shared_rate: float = 29.0
    memory_rate: float = 14.0
    values_rate: float = 1.4


USUAL = Machine()

ATTEMPTS = 8
"""From how many statements on a loop over rows of one length is tried to begin."""

LINE = 8
"""Rows of a long panel come in multiples of this, so that panels begin on a line of the cache."""

Sizes = tuple[int, ...]
Axis = int | None
"""The axis along which an operand is cut into panels, None where all of it is used."""


class Placed(NamedTuple):
    """A statement in a loop: the axes along which its operands are cut, and that of its result.

    ``axis`` is None for a statement that adds up over the panels; its value is there after the loop.
    """

    statement: Statement
    cuts: tuple[Axis, ...]
    axis: Axis


class Loop(NamedTuple):
    """Statements that run on ``step`` of ``length`` rows at a time; each of so many threads takes some of the panels.

    ``gain`` is in nanoseconds, over whole passes.
    """

    length: int
    step: int
    body: tuple[Placed, ...]
    gain: float = 0.0
    threads: int = 1


Item = Statement | Loop


def shapes_of(program: Program) -> dict[int, Sizes]:
    """The shape of every value of a program without named sizes."""
    arguments = {k: _numbers(argument.shape) for k, argument in enumerate(program.arguments)}
    return {**arguments, **{statement.target: _numbers(statement.shape) for statement in program.statements}}


def _numbers(shape: Shape) -> Sizes:
    return tuple([dim.constant for dim in shape])  # type: ignore[misc]


def plan(program: Program, machine: Machine = USUAL, itemsize: int = 8) -> tuple[Item, ...]:
    """The statements in an order in which what gains by it is in loops.

    Parameters
    ----------
    program: a program without named sizes, its entrywise statements single ufuncs.
    itemsize: the bytes of a number.
    """
    shapes = shapes_of(program)
    results = frozenset(result for result in program.results if isinstance(result, int))
    planner = _Planner(shapes, results, machine, itemsize)
    return tuple(planner.items(list(program.statements)))


def refused(program: Program, machine: Machine = USUAL, itemsize: int = 8) -> tuple[Loop, ...]:
    """The loops over panels in which statements of a program could run, but gain nothing by it; the longest first.

    The parameters are those of `plan`.
    """
    shapes = shapes_of(program)
    results = frozenset(result for result in program.results if isinstance(result, int))
    planner = _Planner(shapes, results, machine, itemsize)
    statements = [item for item in planner.items(list(program.statements)) if isinstance(item, Statement)]
    lengths = {shape[0] for shape in planner.considered(statements)}
    cuts = [next(planner.cuts(statements, length), None) for length in sorted(lengths, reverse=True)]
    return tuple(cut.loop for cut in cuts if cut is not None and cut.gain <= 0)


class _Cut(NamedTuple):
    """Statements divided by a loop, and what the loop gains in nanoseconds."""

    gain: float
    before: list[Statement]
    loop: Loop
    after: list[Statement]


class _Planner:
    def __init__(self, shapes: Mapping[int, Sizes], results: frozenset[int], machine: Machine, itemsize: int) -> None:
        self.shapes = shapes
        self.results = results
        self.itemsize = itemsize
        self.machine = machine
        self.turned: dict[int, int] = {}
        """For a transpose, what it is the transpose of."""
        self.large = {value for value in shapes if shapes[value] and self.bytes(value) >= machine.large}
        self.passes: set[int] = set()
        """Targets of statements that pass over something large."""

    def items(self, statements: list[Statement]) -> Iterator[Item]:
        """The best loop with what comes before and after it, for as long as there is one that gains."""
        for statement in statements:
            (source, *_) = (*statement.operands, None)
            if statement.operation == "transpose" and isinstance(source, int):
                self.turned[statement.target] = self.turned.get(source, source)
            if not self.large.isdisjoint((statement.target, *statement.operands)):
                self.passes.add(statement.target)
        todo: list[list[Statement] | Loop] = [statements]
        while todo:
            part = todo.pop()
            if isinstance(part, Loop):
                yield part
                continue
            found = self.best(part)
            if found is None:
                yield from part
                continue
            todo += [found.after, found.loop, found.before]

    def best(self, statements: list[Statement]) -> _Cut | None:
        lengths = {shape[0] for shape in self.considered(statements)}
        cuts = [cut for length in sorted(lengths, reverse=True) for cut in self.cuts(statements, length)]
        return max((cut for cut in cuts if cut.gain > 0), key=lambda cut: cut.gain, default=None)

    def cuts(self, statements: list[Statement], length: int) -> Iterator[_Cut]:
        """The loop that begins as early as it can; while that gains nothing, those that begin later."""
        first = 0
        for _ in range(ATTEMPTS):
            begins, found = self.cut(statements[first:], length)
            if found is not None:
                yield found._replace(before=[*statements[:first], *found.before])
            if begins is None or (found is not None and found.gain > 0):
                return
            first += begins + 1

    def considered(self, statements: list[Statement]) -> Iterator[Sizes]:
        """The shapes of large values and operands, whose rows may be taken in panels."""
        for statement in statements:
            if statement.target in self.passes:
                values = (statement.target, *statement.operands)
                yield from (self.shapes[value] for value in values if isinstance(value, int) and value in self.large)

    def bytes(self, value: int) -> int:
        return prod(self.shapes[value]) * self.itemsize

    # --- one loop -------------------------------------------------------------------------------------

    def cut(self, statements: list[Statement], length: int) -> tuple[int | None, _Cut | None]:
        """The statements that can run in panels of rows of a length, those before them and those after.

        Also the place of the first of them, if there is one.
        """
        begins = next((place for place, statement in enumerate(statements) if self.begins(statement, length)), None)
        if begins is None:
            return None, None
        states: dict[int, Axis | str] = {}
        before: list[Statement] = statements[:begins]
        body: list[Placed] = []
        after: list[Statement] = []
        for statement in statements[begins:]:
            if statement.target not in self.passes and states.keys().isdisjoint(statement.operands):
                # passes over nothing large and needs nothing of the loop
                before.append(statement)
                continue
            values = [operand for operand in statement.operands if isinstance(operand, int)]
            met = [states[value] for value in values if value in states]
            if "after" in met:
                states[statement.target] = "after"
                after.append(statement)
                continue
            inside = any(isinstance(state, int) for state in met)
            placed = self.place(statement, states, length)
            if placed is not None and (inside or self.streams(placed)):
                states[statement.target] = "after" if placed.axis is None else placed.axis
                body.append(placed)
                continue
            if inside:
                states[statement.target] = "after"
                after.append(statement)
                continue
            before.append(statement)
        if len(body) < 2:
            return begins, None
        threads = self.threads(body, length)
        gain, step = self.gain(body, length, _needed([*_used(after), *self.results], body), threads)
        return begins, _Cut(gain, before, Loop(length, step, tuple(body), gain, threads), after)

    def begins(self, statement: Statement, length: int) -> bool:
        """Whether a loop may begin with a statement."""
        if statement.target not in self.passes:
            return False
        placed = self.place(statement, {}, length)
        return placed is not None and self.streams(placed)

    def streams(self, placed: Placed) -> bool:
        """Whether a statement whose operands are all there passes over something large in panels."""
        values = [x for x, axis in zip(placed.statement.operands, placed.cuts, strict=True) if axis is not None]
        values = [x for x in values if isinstance(x, int)]
        if placed.axis is not None:
            values.append(placed.statement.target)
        return any(self.bytes(x) >= self.machine.large for x in values if isinstance(x, int))

    def place(self, statement: Statement, states: Mapping[int, Axis | str], length: int) -> Placed | None:
        """How a statement runs on panels, or None where it needs more than those rows."""
        rule = RULES.get(statement.operation)
        if rule is None or (not statement.operands):
            return None
        view = _View(self.shapes, states, length, self.turned)
        placed = rule(statement, view)
        if placed is None:
            return None
        if len({*zip(statement.operands, placed.cuts, strict=True)}) > len({*statement.operands}):
            # one operand cannot be cut in two ways
            return None
        for operand, axis in zip(statement.operands, placed.cuts, strict=True):
            if not isinstance(operand, int):
                continue
            state = states.get(operand)
            if isinstance(state, int) and state != axis:
                return None
            if axis is not None and self.shapes[operand][axis] != length:
                return None
        return placed

    def threads(self, body: Sequence[Placed], length: int) -> int:
        """How many threads share the panels of a loop."""
        entries = float(self.computed(body))
        for placed in body:
            if placed.statement.operation in PRODUCTS:
                operands = zip(placed.statement.operands, placed.cuts, strict=True)
                read = sum(prod(self.shapes[x]) for x, axis in operands if isinstance(x, int) and axis is not None)
                entries += max(read, self.work(placed, length)[0] * length / self.machine.multiplied)
        return max(1, min(self.machine.threads, int(entries / max(1, self.machine.parted))))

    def computed(self, body: Sequence[Placed]) -> int:
        """The entries that a loop computes, and does not only write."""
        targets = [placed.statement.target for placed in body if placed.statement.operation not in WRITTEN]
        return sum(prod(self.shapes[target]) for target in targets)

    def gain(self, body: Sequence[Placed], length: int, needed: set[int], threads: int) -> tuple[float, int]:
        """What a loop gains over whole passes, in nanoseconds, and the rows of a panel."""
        touched: dict[int, int] = {}
        for placed in body:
            for operand, axis in zip(placed.statement.operands, placed.cuts, strict=True):
                if isinstance(operand, int) and axis is not None:
                    memory = self.turned.get(operand, operand)
                    touched[memory] = touched.get(memory, 0) + 1
            if placed.axis is not None and placed.statement.operation not in VIEWED:
                touched[placed.statement.target] = touched.get(placed.statement.target, 0) + 1
        total = sum(self.bytes(value) for value in touched)
        products = [placed for placed in body if placed.statement.operation in PRODUCTS]
        step = min(length, max(1, int(self.machine.panel / self.width(body, touched, length))))
        thin, rows = 0.0, step
        for placed in products:
            each, columns = self.work(placed, length)
            if columns <= self.machine.thin and each * length > self.machine.small_product:
                rows = min(rows, int(self.machine.small_product / each))
                thin += self.machine.packed * each * length
        if thin and rows >= self.machine.least_rows:
            step = rows
        else:
            thin = 0.0
        # each thread takes as many panels as the others
        panels = -(-length // (step * threads)) * threads
        step = -(-length // panels)
        if step > 8 * LINE:
            step = -(-step // LINE) * LINE
        if panels == 1:
            return 0.0, step
        made = {placed.statement.target for placed in body if placed.axis is not None}
        saved = 0.0
        for value, count in touched.items():
            # what is only made and used inside never leaves the cache
            inside = value in made and value not in needed
            if total > self.machine.shared:
                saved += (count + 1 if inside else count - 1) * self.machine.stream * self.bytes(value)
            elif inside and self.bytes(value) > self.machine.cache:
                saved += count * self.machine.spilled * self.bytes(value)
        grams = [placed.statement for placed in products if placed.statement.operation == "weighted_gram"]
        scaled = [gram.operands[0] for gram in grams if isinstance(gram.operands[0], int)]
        saved += sum(self.machine.spilled * self.bytes(matrix) for matrix in scaled)
        again = sum(self.bytes(placed.statement.target) for placed in body if placed.axis is None)
        for placed in products:
            operands = zip(placed.statement.operands, placed.cuts, strict=True)
            again += sum(self.bytes(x) for x, axis in operands if isinstance(x, int) and axis is None)
        if threads > 1:
            entries = self.computed(body) + sum(prod(self.shapes[matrix]) for matrix in scaled)
            saved += (1 - 1 / threads) * self.machine.entry * entries - self.machine.started
        if products and self.machine.threads > threads:
            # threads share products of whole matrices, but not those of one panel
            saved = thin = 0.0
        return saved + thin - (panels - 1) * (self.machine.call * len(body) + self.machine.added * again), step

    def width(self, body: Sequence[Placed], touched: Collection[int], length: int) -> float:
        """The bytes for each row of what comes from outside and of what is there at once of what is computed."""
        made = {placed.statement.target for placed in body}
        last = {x: place for place, placed in enumerate(body) for x in placed.statement.operands if isinstance(x, int)}
        outside = sum(self.bytes(value) for value in touched if value not in made)
        peak = live = 0
        for place, placed in enumerate(body):
            value = placed.statement.target
            if value in touched:
                live += self.bytes(value)
            peak = max(peak, live)
            ending = {x for x in placed.statement.operands if isinstance(x, int) and x in made and last[x] == place}
            live -= sum(self.bytes(x) for x in ending if x in touched)
        return (outside + peak) / length

    def work(self, placed: Placed, length: int) -> tuple[float, int]:
        """The multiplications of a product for each row of a panel, and its smallest length but for the rows."""
        if placed.statement.operation == "weighted_gram":
            columns = self.shapes[placed.statement.target][0]
            return float(columns * columns), columns
        left, right = (self.shapes[operand] for operand in placed.statement.operands if isinstance(operand, int))
        lengths = [*left, *right[1:]]
        everything = prod(lengths)
        others = list(lengths)
        if length in others:
            others.remove(length)
        return everything / length, min((n for n in others), default=1) if len(others) > 1 else self.machine.thin + 1


def _needed(values: Sequence[int], body: Sequence[Placed]) -> set[int]:
    """Values that are needed behind a loop, with those that they are views of."""
    sources = {p.statement.target: p.statement.operands[0] for p in body if p.statement.operation in VIEWED}
    found: set[int] = set()
    for value in values:
        seen: Operand = value
        while isinstance(seen, int) and seen not in found:
            found.add(seen)
            seen = sources.get(seen, seen)
    return found


def _used(statements: Sequence[Statement]) -> Iterator[int]:
    for statement in statements:
        for operand in statement.operands:
            if isinstance(operand, int):
                yield operand


# --- rules --------------------------------------------------------------------------------------------


class _View(NamedTuple):
    """What a rule may ask: shapes, which operands are cut already and along which axis, the length of the cut axis."""

    shapes: Mapping[int, Sizes]
    states: Mapping[int, Axis | str]
    length: int
    turned: Collection[int]
    """Values that are the transposes of others: their last axis is the slow one in memory."""

    def shape(self, operand: Operand) -> Sizes:
        return self.shapes[operand] if isinstance(operand, int) else ()

    def axis(self, operand: Operand) -> Axis:
        """The axis along which an operand is computed in panels."""
        state = self.states.get(operand) if isinstance(operand, int) else None
        return state if isinstance(state, int) else None


Rule = Callable[[Statement, _View], Placed | None]


def _entrywise(statement: Statement, view: _View) -> Placed | None:
    shape = view.shape(statement.target)
    if not shape or shape[0] != view.length:
        return None
    cuts: list[Axis] = []
    for operand in statement.operands:
        own = view.shape(operand)
        cuts.append(0 if len(own) == len(shape) and own[0] == view.length else None)
    return Placed(statement, tuple(cuts), 0)


def _rows(statement: Statement, view: _View) -> Placed | None:
    """What works along the last axis for each of the others."""
    shape = view.shape(statement.operands[0])
    if len(shape) < 2 or shape[0] != view.length or len(statement.operands) != 1:
        return None
    return Placed(statement, (0,), 0)


def _row_call(statement: Statement, view: _View) -> Placed | None:
    return _rows(statement, view) if statement.parameters[0] == "finite" else None


def _expanded(statement: Statement, view: _View) -> Placed | None:
    axis = view.axis(statement.operands[0])
    if axis is None:
        return None
    pattern = statement.parameters
    places = [place for place, new in enumerate(pattern) if not new]
    places += range(len(pattern), len(view.shape(statement.target)))
    return Placed(statement, (axis,), places[axis])


def _transposed(statement: Statement, view: _View) -> Placed | None:
    axis = view.axis(statement.operands[0])
    return None if axis is None else Placed(statement, (axis,), statement.parameters.index(axis))


def _total(statement: Statement, view: _View) -> Placed | None:
    (operand,) = statement.operands
    axis = view.axis(operand)
    axis = 0 if axis is None else axis
    axes = statement.parameters
    if not axes or axis in axes:
        return Placed(statement, (axis,), None)
    if axis != 0:
        return None
    return Placed(statement, (0,), 0)


def _inner(statement: Statement, view: _View) -> Placed | None:
    axes = {view.axis(operand) for operand in statement.operands} - {None}
    if len(axes) > 1:
        return None
    axis = axes.pop() if axes else 0
    return Placed(statement, (axis, axis), None)


def _product(statement: Statement, view: _View) -> Placed | None:
    left, right = statement.operands
    first, second = view.shape(left), view.shape(right)
    if not 1 <= len(first) <= 2 or not 1 <= len(second) <= 2:
        return None
    last = len(first) - 1
    if len(first) == 2 and view.axis(left) == 0:
        return Placed(statement, (0, None), 0)
    if view.axis(left) == last or view.axis(right) == 0:
        return Placed(statement, (last, 0), None)
    if view.axis(right) is not None:
        return None
    if len(first) == 2 and first[0] == view.length and left not in view.turned:
        return Placed(statement, (0, None), 0)
    if first[last] == view.length:
        return Placed(statement, (last, 0), None)
    return None


def _gram(statement: Statement, _view: _View) -> Placed | None:
    return Placed(statement, (0, 0), None)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "ufunc": _entrywise,
        "outer": _entrywise,
        "outer_slices": _entrywise,
        "map": _entrywise,
        "reduce": _rows,
        "first_column": _rows,
        "call": _row_call,
        "expand": _expanded,
        "transpose": _transposed,
        "sum": _total,
        "inner": _inner,
        "matmul": _product,
        "weighted_gram": _gram,
    }
)
"""For an operation, how it runs on panels of rows."""

VIEWED = frozenset({"expand", "transpose", "first_column"})
"""Operations that compute nothing."""

WRITTEN = frozenset({"outer", "outer_slices"})
"""Operations that do little but write to memory, which one core does as quickly as several."""

PRODUCTS = frozenset({"matmul", "weighted_gram"})
