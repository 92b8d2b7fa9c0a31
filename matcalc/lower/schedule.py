"""The text of a program for arrays of given sizes: ufuncs store their results in memory at hand, rows run in panels.

`source` writes what is read. This writes what runs where arrays are large: every entrywise operation as one ufunc that
is given an array for its result, which is that of an operand that nobody needs any more, else a buffer that is kept
from call to call, or new memory for what is returned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import NamedTuple

from ..expr.dims import Dim, Shape
from .batching import batch_products
from .compact import FREE_VIEWS, Numbers, Scheduled, compact, number_or_text, reduction
from .elementary import elementary, is_ufunc
from .overwriting import OVERWRITE, WRITERS, overwrite_dead
from .panels import USUAL, Axis, Item, Loop, Machine, Placed, Sizes, plan, shapes_of, sharing
from .passes import own_results
from .program import Operand, Program, Statement, use_counts
from .signs import is_truth
from .source import ATOM, Names, StatementWriter, program_names
from .specialize import specialize
from .views import may_be_view, remove_dead_code
from .workspace import Buffer

WORTHWHILE = 2000
"""Entries of all entrywise values together from which on buffers that are kept are quicker than new arrays."""


LARGE_RESULT = 8192
"""Entries of a result from which on it begins on a line of the cache."""


LARGE_OUTER = 1 << 14
"""Entries of a product of two vectors from which on a product of matrices takes half the time of an entrywise one."""

LONG_OUTER = 1 << 19
"""Entries from which on it is taken in panels of rows; it is up to twice as quick in a cache of 32 MB and behind it."""

LARGE_SLICE = 4096
"""Entries of each of several outer products from which on products of matrices take half the time."""

UNPACKED = 1_000_000
SLOWEST = 4_000_000
PART = 650_000
"""Multiplications up to which a product of matrices is not packed, up to which it gains from being taken in parts of
its rows, and of such a part."""

LONG_PRODUCT = 8_000_000
"""Multiplications of a product from which on the order of its result in memory matters."""

THIN = 32
"""Columns of a matrix for which it does not."""

TINY = 2000
THIN_PACKED = 400_000
"""Multiplications of each product of a stack up to which starting them takes the most time, and from which on they
are packed where they are thin."""

FEWEST_STARTS = 32
"""So many products of a stack take longer to start than their arrays take to get another shape."""

FEWEST_ROWS = 32
"""The fewest rows of a part."""


class Run(NamedTuple):
    """What runs for arrays of given sizes: a program without named sizes, its statements and loops, and its text.

    ``scheduled`` is None where the text for all sizes runs; ``kept`` says whether values are stored in kept buffers
    rather than in new arrays.
    """

    program: Program
    items: Sequence[Item]
    scheduled: Scheduled | None
    kept: bool


def run_of(program: Program, sizes: Mapping[str, int], machine: Machine = USUAL, *, always: bool = False) -> Run:
    """What runs for arrays of given sizes: loops and kept buffers, for small arrays a `compact` text.

    Parameters
    ----------
    program: a finished program.
    sizes: a value for every named size.
    machine: what decides where loops gain.
    always: whether to use loops and buffers for small arrays too.
    """
    bare = simple(program, sizes)
    shapes = shapes_of(bare)
    if any(0 in shape for shape in shapes.values()):
        plain = specialize(program, sizes)
        return Run(plain, plain.statements, None, False)
    entries = sum(prod(shapes[s.target]) for s in bare.statements if is_ufunc(s))
    if entries < WORTHWHILE and not always:
        short = overwrite_dead(flat_products(bare))
        return Run(short, short.statements, compact(short), False)
    special = _chosen(bare)
    scheduler = _Scheduler(special, shapes_of(special), machine)
    return Run(special, scheduler.items, scheduler.text(), True)


def schedule(
    program: Program, sizes: Mapping[str, int], machine: Machine = USUAL, *, always: bool = False
) -> Scheduled | None:
    """The text of a program for arrays of given sizes, or None where one of them is empty; see `run_of`."""
    return run_of(program, sizes, machine, always=always).scheduled


def prepared(program: Program, sizes: Mapping[str, int]) -> Program:
    """The program that is scheduled: without named sizes, its entrywise statements single ufuncs."""
    return _chosen(simple(program, sizes))


def simple(program: Program, sizes: Mapping[str, int]) -> Program:
    """The program without named sizes, its entrywise statements single ufuncs."""
    # results that differ in their signs alone, or are copies, have become one value
    return own_results(elementary(not_in_place(specialize(program, sizes))))


def _chosen(program: Program) -> Program:
    for choose in (batch_products, symmetric_products, outer_products, flat_products, long_rows):
        program = choose(program)
    return program


def not_in_place(program: Program) -> Program:
    """A program whose statements may be put in another order."""
    statements = [
        statement._replace(parameters=statement.parameters[:-1])
        if statement.operation in WRITERS and statement.parameters[-1:] == (OVERWRITE,)
        else statement
        for statement in program.statements
    ]
    return program._replace(statements=tuple(statements))


def symmetric_products(program: Program) -> Program:
    """``X^T diag(d) X`` as one operation, which takes half of the multiplications where d is not negative."""
    if not any(_is_column(statement) for statement in program.statements):
        return program
    counts = use_counts(program)
    definitions = {statement.target: statement for statement in program.statements}

    def origin(operand: Operand, operation: str) -> Statement | None:
        found = definitions.get(operand) if isinstance(operand, int) else None
        return found if found is not None and found.operation == operation else None

    def gram(statement: Statement) -> Statement:
        if statement.operation != "matmul" or len(statement.shape) != 2:
            return statement
        left, right = (origin(operand, "transpose") for operand in statement.operands)
        turned, scaled = (left, statement.operands[1]) if left is not None else (right, statement.operands[0])
        product = origin(scaled, "ufunc")
        if turned is None or product is None or counts[product.target] > 1 or not is_ufunc(product, "np.multiply"):
            return statement
        for one, other in (product.operands, product.operands[::-1]):
            weights = origin(one, "expand")
            if (
                weights is not None
                and weights.parameters == (0, 1)
                and left is not None
                and other == turned.operands[0]
            ):
                return statement._replace(operation="weighted_gram", operands=(other, weights.operands[0]))
        return statement

    return remove_dead_code(program._replace(statements=tuple(gram(statement) for statement in program.statements)))


def _is_column(statement: Statement) -> bool:
    """Whether a statement makes a vector a column."""
    return statement.operation == "expand" and statement.parameters == (0, 1)


def outer_products(program: Program) -> Program:
    """``u v^T`` as a product of matrices, where it is large; of several, ``u_j V_ik``, one for each i."""
    shapes = shapes_of(program)
    truths = {statement.target for statement in program.statements if is_truth(statement)}
    columns = {statement.target for statement in program.statements if _is_column(statement)}

    def outer(statement: Statement) -> Statement:
        if not is_ufunc(statement, "np.multiply") or prod(shapes[statement.target]) < LARGE_OUTER:
            return statement
        for column, row in (statement.operands, statement.operands[::-1]):
            if column in columns and isinstance(row, int) and len(shapes[row]) == 1:
                return statement._replace(operation="outer", operands=(column, row), parameters=())
        for vector, slices in (statement.operands, statement.operands[::-1]):
            if not isinstance(vector, int) or not isinstance(slices, int) or truths & {vector, slices}:
                continue
            if slice_entries(shapes[vector], shapes[slices], shapes[statement.target]) >= LARGE_SLICE:
                return statement._replace(operation="outer_slices", operands=(vector, slices), parameters=())
        return statement

    return program._replace(statements=tuple(outer(statement) for statement in program.statements))


def slice_entries(vector: Sizes, slices: Sizes, result: Sizes) -> int:
    """The entries of an outer product of which an array is several: a vector times one row each; 0 if it is none.

    >>> slice_entries((4, 1, 1), (3, 1, 5, 6), (3, 4, 5, 6))
    120

    Parameters
    ----------
    vector: the shape of the vector, with axes of length 1 behind.
    slices: the shape of the rows, with axes of length 1 where the vector has its own.
    result: the shape of the product.
    """
    before = len(result) - len(vector)
    own = sum(1 for length in vector if length != 1)
    if len(slices) != len(result) or before < 1 or not 0 < own < len(vector):
        return 0
    shape = (*result[:before], *(1,) * own, *result[before + own :])
    if vector != (*result[before : before + own], *(1,) * (len(vector) - own)) or slices != shape:
        return 0
    return prod(result[before:])


def flat_products(program: Program) -> Program:
    """Many products with one matrix as one product, where they are thin, for each of them would pack that matrix."""
    if not any(statement.operation == "matmul" and len(statement.shape) > 2 for statement in program.statements):
        return program
    shapes = shapes_of(program)
    definitions = {statement.target: statement for statement in program.statements}
    fresh = 1 + max(shapes, default=-1)
    statements: list[Statement] = []
    for statement in program.statements:
        left, right = (*statement.operands, None, None)[:2]
        many, one = shapes.get(left, ()), shapes.get(right, ())  # type: ignore[arg-type]
        stacked = statement.operation == "matmul" and len(many) > 2 and len(one) == 2
        if not stacked or not is_quicker_flat(many, one) or not _is_compact(left, definitions):
            statements.append(statement)
            continue
        rows, (length, columns) = Dim.of(prod(many[:-1])), map(Dim.of, one)
        statements += [
            Statement(fresh, "reshape", (left,), (), (rows, length)),  # type: ignore[arg-type]
            Statement(fresh + 1, "matmul", (fresh, right), (), (rows, columns)),  # type: ignore[arg-type]
            statement._replace(operation="reshape", operands=(fresh + 1,), parameters=()),
        ]
        fresh += 2
    return program._replace(statements=tuple(statements))


def is_quicker_flat(many: Sizes, one: Sizes) -> bool:
    """Whether products of a stack of matrices with one are quicker as one product.

    >>> is_quicker_flat((5, 5, 1000), (1000, 1000)), is_quicker_flat((5, 200, 100), (100, 10))
    (True, False)
    >>> is_quicker_flat((1000, 5, 5), (5, 5)), is_quicker_flat((3, 5, 5), (5, 5))
    (True, False)

    Parameters
    ----------
    many, one: the shapes of the stack and of the matrix.
    """
    each = prod(many[-2:]) * one[1]
    if each <= TINY:
        return prod(many[:-2]) >= FEWEST_STARTS
    return each > THIN_PACKED and many[-2] <= THIN


def _is_compact(value: Operand | None, definitions: Mapping[int, Statement]) -> bool:
    """Whether the entries of a value most likely follow each other in memory, in the order of its axes."""
    while value in definitions and definitions[value].operation == "reshape":  # type: ignore[index]
        value = definitions[value].operands[0]  # type: ignore[index]
    return value not in definitions or not may_be_view(definitions[value])  # type: ignore[index]


def long_rows(program: Program) -> Program:
    """Returned products of matrices with more rows than columns as transposes, whose rows in memory are the longer."""
    returned = {s.target for s in program.statements if s.operation == "matmul" and len(s.shape) == 2}
    returned.intersection_update([result for result in program.results if isinstance(result, int)])
    if not returned:
        return program
    counts = use_counts(program)
    shapes = shapes_of(program)
    fresh = 1 + max(shapes, default=-1)
    statements: list[Statement] = []
    for statement in program.statements:
        if statement.target not in returned or counts[statement.target] > 1:
            statements.append(statement)
            continue
        left, right = statement.operands
        rows, columns = shapes[statement.target]
        if rows <= columns or columns <= THIN or rows * columns * shapes[left][-1] < LONG_PRODUCT:  # type: ignore[index]
            statements.append(statement)
            continue
        for number, operand in enumerate((right, left)):
            shape = program_shape(program, operand)[::-1]
            statements.append(Statement(fresh + number, "transpose", (operand,), (1, 0), shape))
        turned = Statement(fresh + 2, "matmul", (fresh, fresh + 1), (), statement.shape[::-1])
        statements += [turned, statement._replace(operation="transpose", operands=(fresh + 2,), parameters=(1, 0))]
        fresh += 3
    return program._replace(statements=tuple(statements))


def row_parts(first: Sizes, second: Sizes, *, turned: bool) -> list[tuple[int, int]]:
    """The parts of its rows in which a product is quicker, from where to where; nothing where it is not.

    >>> row_parts((128, 100), (100, 100), turned=False)
    [(0, 64), (64, 128)]

    Parameters
    ----------
    first, second: the shapes of the factors.
    turned: whether the second factor is a transpose.
    """
    if len(first) != 2 or len(second) != 2 or turned:
        return []
    each = second[0] * second[1]
    rows = PART // max(each, 1)
    if not UNPACKED < first[0] * each <= SLOWEST or rows < FEWEST_ROWS:
        return []
    rows = -(-first[0] // -(-first[0] // rows))
    return [(start, min(start + rows, first[0])) for start in range(0, first[0], rows)]


def program_shape(program: Program, value: Operand) -> Shape:
    """The shape of a value."""
    if isinstance(value, int) and value < len(program.arguments):
        return program.arguments[value].shape
    return next(statement.shape for statement in program.statements if statement.target == value)


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


class _Scheduler:
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
        results = ", ".join(self.writer.operand(result)[0] for result in self.program.results)
        head: list[str] = []
        tail: list[str] = []
        if self.buffers:
            names = ", ".join(f"b{k}" for k in range(len(self.buffers)))
            head = [f"w = take({self.writer.dtype()})", f"{names}, = w"]
            tail = [f"give({self.writer.dtype()}, w)"]
        if self.writer.needs_dtype:
            head.insert(0, f"dtype = {self.writer.dtype()}")
        answer = f"return {results}" if len(self.program.results) == 1 else f"return ({results})"
        lines = [*head, *body, *tail, answer]
        text = f"def f({', '.join(self.names.arguments)}):\n" + "".join(f"    {line}\n" for line in lines)
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
        if statement.operation != "matmul":
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
                whole = self.events[place].loop == NO_LOOP and self.machine.threads == 1
                if whole and prod(self.shapes[statement.target]) >= LONG_OUTER:
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
        threads = sharing(loop, self.machine)
        parted = threads > 1
        first_row, end = ("i0", "i1") if parted else ("0", str(loop.length))
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
        return [
            *before,
            *(self.in_parts(loop, threads, lines, sorted(panels), list(sums.values())) if parted else lines),
        ]

    def in_parts(
        self, loop: Loop, threads: int, lines: Sequence[str], panels: Sequence[str], sums: Sequence[str]
    ) -> list[str]:
        """The loop as a function of its first and last row, and the call that runs it in several threads."""
        self.writer.require("in_parts")
        name = f"g{self.loops.index(loop)}"
        head = f"def {name}({', '.join(['i0', 'i1', *panels])}):"
        start = [f"    {total} = 0.0" for total in sums]
        answer = f"    return ({''.join(f'{total}, ' for total in sums)})"
        buffers = "".join(f"{panel}, " for panel in panels)
        call = f"in_parts({name}, {loop.length}, {loop.step}, {threads}, ({buffers}))"
        totals = [f"    {total} += u[{place}]" for place, total in enumerate(sums)]
        runs = [f"for u in {call}:", *totals] if totals else [call]
        return [head, *start, *(f"    {line}" for line in lines), answer, *runs]

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
