"""The text of a program for arrays of given sizes: ufuncs store their results in memory at hand, rows run in panels.

`source` writes what is read. This writes what runs where arrays are large: every entrywise operation as one ufunc that
is given an array for its result, which is that of an operand that nobody needs any more, else a buffer that is kept
from call to call, or new memory for what is returned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import NamedTuple

from .overwriting import WRITERS, overwrite_dead
from .panels import PRODUCTS, Axis, Loop, Machine, Placed, Sizes, plan
from .products import row_parts
from .program import Operand, Program, Statement
from .scheduled import FREE_VIEWS, Numbers, Scheduled, function_text, number_or_text, reduction
from .signs import is_truth
from .source import ATOM, Names, StatementWriter, program_names
from .views import may_be_view
from .workspace import Buffer

LARGE_RESULT = 8192
"""Entries of a result from which on it begins on a line of the cache."""

LONG_OUTER = 1 << 19
"""Entries of an outer product from which on it is taken in panels of rows, twice as quick behind a small cache."""


def panel_name(buffer: str) -> str:
    """What a buffer is called in a loop whose last panel is short."""
    return f"p{buffer[1:]}"


class _Event(NamedTuple):
    """A statement at its place: in which loop, and how its operands and its result are cut."""

    statement: Statement
    loop: int
    cuts: tuple[Axis, ...]
    axis: Axis


STORED = frozenset({"ufunc", "outer", "outer_slices", "stack", "matmul", "sum", "reduce", "weighted_gram"})
"""Operations that store their result in an array that they are given."""

NAMED_OUT = frozenset({"np.maximum", "np.minimum"})
"""Ufuncs that take the array for their result by name."""

NO_LOOP = -1
FOREVER = 1 << 60


class Scheduler:
    """Decides where values live, and writes the text."""

    def __init__(self, program: Program, shapes: Mapping[int, Sizes], machine: Machine) -> None:
        self.program = program
        self.shapes = shapes
        self.machine = machine
        self.items = plan(program, machine)
        self.loops = [item for item in self.items if isinstance(item, Loop)]
        self.events = self._in_place(list(self._events()))
        self.definitions = {event.statement.target: event.statement for event in self.events}
        self.places = {event.statement.target: place for place, event in enumerate(self.events)}
        self.ends = {event.loop: place for place, event in enumerate(self.events)}
        self.starts = {event.loop: place for place, event in reversed(list(enumerate(self.events)))}
        self.results = {result for result in program.results if isinstance(result, int)}
        self.last = self._last_uses()
        self.storage = self._storage()
        self.fresh = {self.storage[owner] for owner in map(self.owner, self.results) if owner in self.storage}
        self.full = self._full()
        self.stacked = self._stacked()
        self.names: Names = program_names(program)
        self.writer = StatementWriter(program, self.names, quick=False)
        self.numbers = Numbers()
        self.buffers: list[Buffer] = []
        self.buffer_of: dict[int, str] = {}
        self.extra: dict[int, list[str]] = {}

    def _events(self) -> Iterator[_Event]:
        loop = 0
        for item in self.items:
            if isinstance(item, Statement):
                yield _Event(item, NO_LOOP, (None,) * len(item.operands), None)
                continue
            for placed in item.body:
                yield _Event(placed.statement, loop, placed.cuts, placed.axis)
            loop += 1

    def _in_place(self, events: list[_Event]) -> list[_Event]:
        """Say anew which statements may write to their first operand, for they are in another order now."""
        ordered = overwrite_dead(self.program._replace(statements=tuple(event.statement for event in events)))
        return [event._replace(statement=new) for event, new in zip(events, ordered.statements, strict=True)]

    # --- where values live ------------------------------------------------------------------------------

    def viewed(self, statement: Statement) -> bool:
        """Whether the value of a statement may be the memory of its operand."""
        if statement.operation == "call" and statement.parameters[0] == "finite":
            return True
        return statement.operation in WRITERS or statement.operation == "first_column" or may_be_view(statement)

    def owner(self, value: int) -> int:
        """The value whose memory a value is."""
        while value in self.definitions and self.viewed(self.definitions[value]):
            statement = self.definitions[value]
            place = WRITERS.get(statement.operation)
            operands = statement.operands if place is None else (statement.operands[place],)
            source = next((x for x in operands if isinstance(x, int)), None)
            if source is None:
                return value
            value = source
        return value

    def _last_uses(self) -> dict[int, int]:
        """The last place at which the memory of every value is needed."""
        last: dict[int, int] = {}
        for place, event in enumerate(self.events):
            for operand in event.statement.operands:
                if not isinstance(operand, int):
                    continue
                owner = self.owner(operand)
                # what comes from before a loop is needed in every round
                outer = event.loop != NO_LOOP and self.loop_of(owner) != event.loop
                last[owner] = max(last.get(owner, 0), self.ends[event.loop] if outer else place)
        for result in self.results:
            last[self.owner(result)] = FOREVER
        return last

    def loop_of(self, value: int) -> int:
        """The loop in which a value is computed in panels."""
        place = self.places.get(value)
        if place is None or self.events[place].axis is None:
            return NO_LOOP
        return self.events[place].loop

    def stored(self, statement: Statement) -> bool:
        """Whether a value is stored in an array that is chosen here."""
        if not statement.shape or statement.operation not in STORED:
            return False
        return statement.operation != "sum" or bool(statement.parameters)

    def _storage(self) -> dict[int, int]:
        """For every value that is stored, the value whose array it takes over, or itself."""
        storage: dict[int, int] = {}
        for place, event in enumerate(self.events):
            statement = event.statement
            if not self.stored(statement):
                continue
            storage[statement.target] = statement.target
            if statement.operation != "ufunc":
                continue
            for operand in statement.operands:
                if not isinstance(operand, int) or operand not in storage or self.last.get(operand) != place:
                    continue
                other = self.definitions[operand]
                same = self.shapes[operand] == self.shapes[statement.target]
                if not same or is_truth(other) != is_truth(statement):
                    continue
                if self.loop_of(operand) == self.loop_of(statement.target):
                    storage[statement.target] = storage[operand]
                    break
        return storage

    def _stacked(self) -> dict[int, tuple[int, int]]:
        """For a store that is a part of a stack from the start: the stack, and the first row there."""
        found: dict[int, tuple[int, int]] = {}
        for place, event in enumerate(self.events):
            if event.statement.operation != "stack" or event.statement.target not in self.storage:
                continue
            row = 0
            for operand in event.statement.operands:
                assert isinstance(operand, int)
                store = self.storage.get(operand, -1)
                # a part that is needed behind the stack may be overwritten there
                ends = self.last.get(operand) == place and self.loop_of(store) == NO_LOOP
                if store >= 0 and ends and store not in {*self.fresh, *found} and not is_truth(self.definitions[store]):
                    found[store] = event.statement.target, row
                row += self.shapes[operand][0]
        return found

    def _full(self) -> set[int]:
        """The stores of values computed in panels that are needed as a whole."""
        found: set[int] = set()
        for value, store in self.storage.items():
            loop = self.loop_of(value)
            if loop == NO_LOOP or store in self.fresh:
                found.add(store)
        for event in self.events:
            for operand in event.statement.operands:
                if isinstance(operand, int) and self.loop_of(self.owner(operand)) not in (NO_LOOP, event.loop):
                    owner = self.owner(operand)
                    if owner in self.storage:
                        found.add(self.storage[owner])
        return found

    def intervals(self) -> dict[int, tuple[int, int]]:
        """From where to where the array of a store is in use."""
        found: dict[int, tuple[int, int]] = {}
        for value, store in self.storage.items():
            place = self.places[value]
            event = self.events[place]
            first, last = place, self.last.get(value, place)
            if event.loop != NO_LOOP and (event.axis is None or store in self.full):
                first, last = self.starts[event.loop], max(last, self.ends[event.loop])
            for part in (store, self.stacked.get(store, (store, 0))[0]):
                known = found.get(part, (first, last))
                found[part] = (min(first, known[0]), max(last, known[1]))
        return found

    def assign_buffers(self) -> None:
        """A buffer for every store that is not returned; those whose times do not meet share one."""
        intervals = self.intervals()
        free: dict[Buffer, list[tuple[int, str]]] = {}
        wanted: list[tuple[int, int, tuple[int, int], Buffer]] = []
        for store, (first, last) in intervals.items():
            if store not in self.fresh and store not in self.stacked:
                wanted.append((first, last, (0, store), self.buffer(store)))
        for place, event in enumerate(self.events):
            for number, shape in enumerate(self.needs(event)):
                wanted.append((place, place, (1, number), Buffer(shape)))
        for first, last, (beside, store), buffer in sorted(wanted, key=lambda item: item[:3]):
            usable = [entry for entry in free.get(buffer, []) if entry[0] < first]
            if usable:
                entry = usable[0]
                free[buffer].remove(entry)
                name = entry[1]
            else:
                name = f"b{len(self.buffers)}"
                self.buffers.append(buffer)
            free.setdefault(buffer, []).append((last, name))
            if beside:
                self.extra.setdefault(first, []).append(name)
            else:
                self.buffer_of[store] = name

    def name_parts(self) -> None:
        """The parts of stacks as buffers within buffers."""
        for store, (stack, row) in self.stacked.items():
            number = int(self.buffer_of[self.storage[stack]][1:])
            self.buffer_of[store] = f"b{len(self.buffers)}"
            self.buffers.append(Buffer(self.shapes[store], within=(number, row)))

    def buffer(self, store: int) -> Buffer:
        shape = self.shapes[store]
        loop = self.loop_of(store)
        if loop != NO_LOOP and store not in self.full:
            shape = (self.loops[loop].step, *shape[1:])
        return Buffer(shape, is_truth(self.definitions[store]))

    def needs(self, event: _Event) -> list[Sizes]:
        """The arrays that a statement needs beside that of its result."""
        statement, needed = event.statement, []
        summed = event.loop != NO_LOOP and event.axis is None and bool(statement.shape)
        if summed:
            needed.append(self.shapes[statement.target])
        if statement.operation == "weighted_gram":
            shape = self.shapes[statement.operands[0]]  # type: ignore[index]
            needed.append((self.loops[event.loop].step, *shape[1:]) if event.loop != NO_LOOP else shape)
        return needed

    # --- text ----------------------------------------------------------------------------------------

    def text(self) -> Scheduled:
        self.assign_buffers()
        self.name_parts()
        body: list[str] = []
        place = 0
        made: set[int] = set()
        for item in self.items:
            if isinstance(item, Loop):
                body += self.loop(item, place, made)
                place += len(item.body)
                continue
            body += self.whole(self.events[place], place, made)
            place += 1
        tail: list[str] = []
        if self.buffers:
            names = ", ".join(f"b{k}" for k in range(len(self.buffers)))
            body = [f"w = take({self.writer.dtype()})", f"{names}, = w", *body]
            tail = [f"give({self.writer.dtype()}, w)"]
        text = function_text(self.writer, self.program, body, tail)
        required = tuple(sorted(self.writer.required))
        return Scheduled(text, required, tuple(self.buffers), self.numbers.listed())

    def operand(self, operand: Operand) -> str:
        return self.writer.operand(operand)[0]

    def store(self, value: int, made: set[int]) -> list[str]:
        """Name the array in which a value is stored; the lines that make it."""
        store = self.storage[value]
        if store not in self.fresh:
            return []
        name = f"t{store}"
        if store in made:
            return []
        made.add(store)
        return self.empty(name, self.shapes[store], truth=is_truth(self.definitions[store]))

    def empty(self, name: str, shape: Sizes, *, truth: bool) -> list[str]:
        """The line that makes a new array."""
        self.writer.require("np")
        self.writer.needs_dtype = self.writer.needs_dtype or not truth
        kind = "np.bool_" if truth else "dtype"
        if prod(shape) < LARGE_RESULT:
            return [f"{name} = np.empty({shape}, {kind})"]
        self.writer.require("aligned_empty")
        return [f"{name} = aligned_empty({shape}, {kind})"]

    def array(self, value: int) -> str:
        """The name of the array in which a value is stored, as a whole."""
        store = self.storage[value]
        return f"t{store}" if store in self.fresh else self.buffer_of[store]

    def whole(self, event: _Event, place: int, made: set[int]) -> list[str]:
        """The lines of a statement outside loops."""
        statement = event.statement
        if not self.stored(statement):
            return self.named(statement)
        lines = self.store(statement.target, made)
        target = self.array(statement.target)
        if statement.operation == "stack":
            lines += self.copies(statement, target)
        else:
            lines += self.parts(statement, target) or [self.call(statement, target, place)]
        self.writer.texts[statement.target] = (target, ATOM)
        return lines

    def copies(self, statement: Statement, target: str) -> list[str]:
        """The lines that copy into a stack what is not computed there."""
        self.writer.require("np")
        lines: list[str] = []
        row = 0
        for operand in statement.operands:
            assert isinstance(operand, int)
            end = row + self.shapes[operand][0]
            if self.stacked.get(self.storage.get(operand, -1)) != (statement.target, row):
                lines.append(f"np.copyto({target}[{row}:{end}], {self.operand(operand)})")
            row = end
        return lines

    def parts(self, statement: Statement, target: str) -> list[str]:
        """The lines of a product that is quicker in parts of its rows, nothing where it is not."""
        if statement.operation != "matmul" or self.machine.threads > 1:
            return []
        left, right = statement.operands
        first, second = self.shapes.get(left, ()), self.shapes.get(right, ())  # type: ignore[arg-type]
        turned = right in self.definitions and self.definitions[right].operation == "transpose"  # type: ignore[index]
        one, other = self.operand(left), self.operand(right)
        cuts = [f"{start}:{stop}" for start, stop in row_parts(first, second, turned=turned)]
        if not cuts:
            return []
        self.writer.require("np")
        return [f"np.dot({one}[{cut}], {other}, {target}[{cut}])" for cut in cuts]

    def named(self, statement: Statement) -> list[str]:
        """A statement that makes its own value."""
        if statement.operation == "first_column":
            text = f"{self.operand(statement.operands[0])}[..., 0]", ATOM
        elif statement.operation == "reduce":
            text = reduction(self.writer, statement), ATOM
        elif statement.operation == "ufunc":
            raise AssertionError("ufuncs of arrays are stored")
        else:
            text = self.writer.statement(statement)
        if statement.operation in FREE_VIEWS:
            self.writer.texts[statement.target] = text
            return []
        name = f"t{statement.target}"
        self.writer.texts[statement.target] = (name, ATOM)
        return [f"{name} = {text[0]}"]

    def call(self, statement: Statement, target: str, place: int) -> str:
        """The call that stores the value of a statement in an array."""
        self.writer.require("np")
        operands = [self.operand(operand) for operand in statement.operands]
        match statement.operation:
            case "ufunc":
                name = str(statement.parameters[0])
                both = statement.operands
                operands = [number_or_text(self.writer, self.numbers, operand, both)[0] for operand in both]
                return f"{name}({', '.join(operands)}, {'out=' * (name in NAMED_OUT)}{target})"
            case "matmul":
                flat = all(len(self.shapes[x]) <= 2 for x in statement.operands if isinstance(x, int))
                return f"np.{'dot' if flat else 'matmul'}({', '.join(operands)}, {target})"
            case "outer":
                if self.events[place].loop == NO_LOOP and prod(self.shapes[statement.target]) >= LONG_OUTER:
                    self.writer.require("outer_product")
                    return f"outer_product({operands[0]}, {operands[1]}[None], {target})"
                return f"np.dot({operands[0]}, {operands[1]}[None], {target})"
            case "outer_slices":
                self.writer.require("outer_slices")
                return f"outer_slices({operands[0]}, {operands[1]}, {target})"
            case "sum":
                axes = statement.parameters
                axis = str(axes[0]) if len(axes) == 1 else f"({', '.join(map(str, axes))})"
                return f"np.add.reduce({operands[0]}, {axis}, None, {target})"
            case "reduce":
                return f"{statement.parameters[0]}.reduce({operands[0]}, -1, None, {target}, True)"
        self.writer.require("weighted_gram")
        rows = self.extra[place][-1]
        return f"weighted_gram({', '.join(operands)}, {rows}, {target})"

    # --- loops ------------------------------------------------------------------------------------------

    def loop(self, loop: Loop, first: int, made: set[int]) -> list[str]:
        """The lines of a loop: sums begin at 0, then panel by panel."""
        before: list[str] = []
        body: list[str] = []
        outside = dict(self.writer.texts)
        cut: dict[tuple[int, Axis], str] = {}
        sums: dict[int, str] = {}
        spread: dict[int, str] = {}
        panels: set[str] = set()
        working: list[str] = []
        rest = loop.length % loop.step
        self.writer.require("range", "slice")
        for place, placed in enumerate(loop.body, first):
            statement = placed.statement
            self.bind(placed, outside, cut, body)
            if placed.axis is None:
                before += self.sum_start(statement, made, sums)
                rows = self.extra[place][-1] if statement.operation == "weighted_gram" else ""
                if rows and rest:
                    self.extra[place][-1] = panel_name(rows)
                panels.update([rows] * bool(rows))
                working += self.extra[place][:1] if statement.shape else []
                body += self.sum_step(statement, place, sums)
                continue
            if not self.stored(statement):
                body += self.named(statement)
                if statement.operation not in FREE_VIEWS and self.needed_after(statement.target, place):
                    spread[statement.target] = f"t{statement.target}_"
                    before += self.empty(spread[statement.target], self.shapes[statement.target], truth=False)
                    body.append(f"{spread[statement.target]}[s] = {self.operand(statement.target)}")
                continue
            store = self.storage[statement.target]
            before += self.store(statement.target, made)
            array = self.array(statement.target)
            if store in self.full:
                if (store, 0) not in cut:
                    cut[store, 0] = f"c{len(cut)}"
                    body.append(f"{cut[store, 0]} = {array}[s]")
                target = cut[store, 0]
            else:
                target = panel_name(array) if rest else array
                panels.add(array)
            body.append(self.call(statement, target, place))
            self.writer.texts[statement.target] = (target, ATOM)
        head = [*(f"{panel_name(name)} = {name}" for name in sorted(panels) if rest)]
        first_row, end = ("i0", "i1") if loop.threads > 1 else ("0", str(loop.length))
        head += [f"for i in range({first_row}, {end}, {loop.step}):", f"    s = slice(i, i + {loop.step})"]
        if rest and panels:
            short = [f"        {panel_name(name)} = {name}[:{rest}]" for name in sorted(panels)]
            head += [f"    if i == {loop.length - rest}:", *short]
        self.writer.texts = outside
        for placed in loop.body:
            value = placed.statement.target
            if value in sums:
                self.writer.texts[value] = (sums[value], ATOM)
            elif value in self.storage:
                self.writer.texts[value] = (self.array(value), ATOM)
            elif value in spread:
                self.writer.texts[value] = (spread[value], ATOM)
            elif placed.statement.operation in FREE_VIEWS and self.known(placed.statement):
                self.named(placed.statement)
        lines = [*head, *(f"    {line}" for line in body)]
        if loop.threads > 1:
            lines = self.in_parts(loop, lines, list(dict.fromkeys([*sorted(panels), *working])), sums)
        return [*before, *lines]

    def in_parts(self, loop: Loop, lines: Sequence[str], buffers: Sequence[str], sums: Mapping[int, str]) -> list[str]:
        """The loop as a function of its first and last row, and the call that runs it in several threads."""
        self.writer.require("in_parts")
        name = f"g{self.loops.index(loop)}"
        head = f"def {name}({', '.join(['i0', 'i1', *buffers])}):"
        start = [f"    {total} = {self.zero(value)}" for value, total in sums.items()]
        answer = f"    return ({''.join(f'{total}, ' for total in sums.values())})"
        products = any(placed.statement.operation in PRODUCTS for placed in loop.body)
        given = f"({''.join(f'{buffer}, ' for buffer in buffers)}), {products}"
        call = f"in_parts({name}, {loop.length}, {loop.step}, {loop.threads}, {given})"
        totals = [f"    {total} += u[{place}]" for place, total in enumerate(sums.values())]
        runs = [f"for u in {call}:", *totals] if totals else [call]
        return [head, *start, *(f"    {line}" for line in lines), answer, *runs]

    def zero(self, value: int) -> str:
        """The text of a new total."""
        if not self.shapes[value]:
            return "0.0"
        self.writer.require("np")
        self.writer.needs_dtype = True
        return f"np.zeros({self.shapes[value]}, dtype)"

    def known(self, statement: Statement) -> bool:
        """Whether what a statement is made from has a name."""
        return all(operand in self.writer.texts for operand in statement.operands if isinstance(operand, int))

    def needed_after(self, value: int, place: int) -> bool:
        """Whether a value that is computed in panels, or a view of it, is needed behind its loop."""
        return self.last.get(value, place) > self.ends[self.events[place].loop]

    def bind(
        self, placed: Placed, outside: Mapping[int, tuple[str, int]], cut: dict[tuple[int, Axis], str], body: list[str]
    ) -> None:
        """Let the operands of a statement mean the rows of the panel, or all of what comes from before the loop."""
        for operand, axis in zip(placed.statement.operands, placed.cuts, strict=True):
            if not isinstance(operand, int) or operand not in outside:
                continue
            if axis is None:
                self.writer.texts[operand] = outside[operand]
                continue
            key = (operand, axis)
            if key not in cut:
                cut[key] = f"c{len(cut)}"
                text, level = outside[operand]
                inner = text if level == ATOM else f"({text})"
                body.append(f"{cut[key]} = {inner}[{':, ' * axis}s]")
            self.writer.texts[operand] = (cut[key], ATOM)

    def sum_start(self, statement: Statement, made: set[int], sums: dict[int, str]) -> list[str]:
        if not statement.shape:
            sums[statement.target] = f"t{statement.target}"
            return [f"t{statement.target} = 0.0"]
        lines = self.store(statement.target, made)
        sums[statement.target] = self.array(statement.target)
        return [*lines, f"{sums[statement.target]}.fill(0.0)"]

    def sum_step(self, statement: Statement, place: int, sums: Mapping[int, str]) -> list[str]:
        name = sums[statement.target]
        if not statement.shape:
            return [f"{name} += {self.writer.statement(statement)[0]}"]
        part = self.extra[place][0]
        return [self.call(statement, part, place), f"np.add({name}, {part}, {name})"]
