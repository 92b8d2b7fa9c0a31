"""Functions that Numba compiles: fused loops of our own, and NumPy for products of matrices and factorizations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...expr.dims import Dim
from ..elementary import elementary
from ..overwriting import not_in_place, overwrite_dead
from ..panels import PRODUCTS, Loop, Machine, plan
from ..program import Operand, Program, Statement
from ..runs import prepared
from ..signs import COMPARISONS
from ..source import ATOM, StatementWriter, program_names
from ..specialize import specialize
from .logistic import shortened
from .text import Fused, fused
from .works import Values, Work, squeezed, work_of

Array = NDArray[Any]

LEAST_WORKS = 2
"""With fewer works of arrays there is nothing to fuse."""
SIMPLE = 2
"""Brackets in the text of one entry of what is a single step of NumPy."""
SHARED_MATRIX = 1 << 21
"""Entries from which on the cores of a machine read a matrix in less time together than one alone."""
SMALL_PRODUCT = 8192
"""Up to so many multiplications a product of matrices is a loop of our own."""
SMALL_ARRAY = 4096
"""Up to so many entries the order of the axes of an array in memory does not matter."""

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


Load = Callable[[str, Sequence[str], Mapping[str, Any]], Callable[..., Any]]
"""Makes a function of a text, the names from outside that it uses, and what was made for it."""


class Part(NamedTuple):
    """What runs as one: a fused function, or statements of NumPy."""

    function: Fused | None
    statements: tuple[Statement, ...] = ()


class Divided(NamedTuple):
    """A program as parts, in order; its statements are single ufuncs where they are entrywise."""

    program: Program
    values: Values
    parts: tuple[Part, ...]


def divide(program: Program, *, small: bool) -> Divided:
    """A program as fused functions and statements of NumPy.

    Parameters
    ----------
    program: a finished program, for arrays of any size.
    small: whether every axis of every array is short.
    """
    program = elementary(not_in_place(program), vectors=True)
    values = Values(program)
    works = {s.target: work_of(s, values, small=small) for s in program.statements if s.target not in values.views}
    groups = _groups(program, values, works)
    parts: list[Part] = []
    for place, group in enumerate(groups):
        own = [works[statement.target] for statement in group]
        chosen = [work for work in own if work is not None]
        if sum(bool(work.domain) for work in chosen) < LEAST_WORKS and not any(_selects(work) for work in chosen):
            parts.append(Part(None, tuple(group)))
            continue
        targets = {work.target for work in chosen}
        later = [s for other in groups[place + 1 :] for s in other]
        orders = {read.value: len(squeezed(values.shapes[read.value])) for work in chosen for read in work.reads}
        needed = targets & _needed(program, values, later)
        parts.append(Part(fused(shortened(chosen, needed), needed, orders)))
    return _in_place(Divided(program, values, tuple(parts)), [s for group in groups for s in group])


def _in_place(divided: Divided, order: Sequence[Statement]) -> Divided:
    """The same where statements of NumPy say which operands they may write to, in the order in which they run."""
    views: dict[int, list[Statement]] = {}
    for statement in divided.program.statements:
        if statement.target in divided.values.views:
            views.setdefault(divided.values.views[statement.target].value, []).append(statement)
    statements = [view for k in range(len(divided.program.arguments)) for view in views.get(k, [])]
    for statement in order:
        statements += [statement, *views.get(statement.target, [])]
    program = overwrite_dead(divided.program._replace(statements=tuple(statements)))
    known = {statement.target: statement for statement in program.statements}
    parts = [part._replace(statements=tuple(known[s.target] for s in part.statements)) for part in divided.parts]
    return Divided(program, divided.values, tuple(parts))


def _selects(work: Work) -> bool:
    """Whether NumPy takes several passes for a work."""
    return work.body.count("(") > SIMPLE


def _base(values: Values, operand: Operand) -> Operand:
    return values.views[operand].value if isinstance(operand, int) and operand in values.views else operand


def _needed(program: Program, values: Values, later: Sequence[Statement]) -> set[int]:
    """What some statements and the results read, through views."""
    operands = [operand for statement in later for operand in statement.operands]
    found = (_base(values, operand) for operand in (*operands, *program.results))
    return {operand for operand in found if isinstance(operand, int)}


def _groups(program: Program, values: Values, works: Mapping[int, Work | None]) -> list[list[Statement]]:
    """Statements that are left to NumPy and statements that are fused by turns, each as early as it can be."""
    done: set[int] = set(range(len(program.arguments)))
    left = [statement for statement in program.statements if statement.target in works]
    groups: list[list[Statement]] = []
    fusing = False
    while left:
        group: list[Statement] = []
        rest: list[Statement] = []
        for statement in left:
            ready = all(not isinstance(x, int) or _base(values, x) in done for x in statement.operands)
            if ready and (works[statement.target] is not None) == fusing:
                group.append(statement)
                done.add(statement.target)
            else:
                rest.append(statement)
        fusing, left = not fusing, rest
        if group:
            groups.append(group)
    return groups


def compiled(part: Fused, single: bool) -> Callable[..., Any]:
    """A fused function as Numba compiles it."""
    from numba import njit, types  # optional

    kernels = import_module(f"{__package__}.kernels")
    namespace: dict[str, Any] = {**kernels.namespace(single), "inf": np.inf, "nan": np.nan, "__builtins__": {}}
    exec(compile(part.text, "<matcalc-fused>", "exec"), namespace)  # noqa: S102
    real = types.float32 if single else types.float64

    def kind(value: int, *, given: bool) -> Any:
        order = part.orders[value]
        return types.Array(real, order, "C", readonly=given) if order else real

    signature = (
        *(kind(value, given=True) for value in part.inputs),
        *(types.int64 for _ in part.sizes),
        *(kind(value, given=False) for value in part.arrays),
    )
    function: Callable[..., Any] = njit([signature], error_model="numpy", nogil=True)(namespace["f"])
    return function


def in_order(array: Any) -> Any:
    """An array as the fused functions take it: row by row in memory, aligned."""
    return np.require(array, requirements=("C", "A")) if isinstance(array, np.ndarray) else array


def is_small(program: Program, sizes: Mapping[str, int]) -> bool:
    """Whether all arrays and products of a program are so small that NumPy is called for nothing that loops can do."""
    shapes = {k: argument.shape for k, argument in enumerate(program.arguments)}
    shapes.update((statement.target, statement.shape) for statement in program.statements)
    lengths = {value: [dim.evaluate(sizes) for dim in shape] for value, shape in shapes.items()}
    if any(prod(shape) > SMALL_ARRAY for shape in lengths.values()):
        return False
    products = [statement for statement in program.statements if statement.operation == "matmul"]
    return all(
        _multiplications([lengths[x] for x in s.operands if isinstance(x, int)]) <= SMALL_PRODUCT for s in products
    )


def _multiplications(factors: Sequence[Sequence[int]]) -> int:
    left, right = factors
    return prod(left) * (right[-1] if len(right) > 1 else 1)


def in_panels(program: Program, sizes: Mapping[str, int], machine: Machine) -> bool:
    """Whether NumPy gains by taking products of matrices panel by panel, which is worth more than fused loops."""
    special = prepared(program, sizes)
    shapes = {k: argument.shape for k, argument in enumerate(special.arguments)}
    shapes.update((statement.target, statement.shape) for statement in special.statements)
    loops = [item for item in plan(special, machine) if isinstance(item, Loop)]
    products = [s for loop in loops for s, _, _ in loop.body if s.operation in PRODUCTS]
    return any(
        s.operation != "matmul" or all(isinstance(x, int) and len(squeezed(shapes[x])) > 1 for x in s.operands)
        for s in products
    )


def threads_pay(program: Program, sizes: Mapping[str, int], machine: Machine) -> bool:
    """Whether a matrix is so large that BLAS multiplies it by vectors on several cores in less time than one takes."""
    if machine.threads == 1:
        return False
    shapes = {k: argument.shape for k, argument in enumerate(program.arguments)}
    shapes.update((statement.target, statement.shape) for statement in program.statements)
    factors = (x for s in program.statements if s.operation == "matmul" for x in s.operands if isinstance(x, int))
    return any(prod(dim.evaluate(sizes) for dim in shapes[x]) >= SHARED_MATRIX for x in factors)


class Driver(NamedTuple):
    """The text of a function ``f`` for arrays of some sizes and one type, and the names from outside that it uses.

    ``required`` are functions of this package and modules, ``own`` what was made for this function.
    """

    text: str
    required: tuple[str, ...]
    own: Mapping[str, Any]


def _statement(writer: StatementWriter, statement: Statement) -> str:
    """The text of a statement that is left to NumPy."""
    operands = [writer.operand(operand)[0] for operand in statement.operands]
    if statement.operation == "first_column":
        return f"{operands[0]}[..., 0]"
    if statement.operation == "reduce":
        writer.require("np")
        return f"{statement.parameters[0]}.reduce({operands[0]}, -1, None, None, True)"
    if statement.operation != "ufunc":
        return writer.statement(statement)[0]
    writer.require("np")
    text = f"{statement.parameters[0]}({', '.join(operands)})"
    if statement.parameters[0] not in COMPARISONS:
        return text
    # NumPy's truth values do not multiply as numbers do where single ones are expected
    writer.require("mask")
    return f"mask({text}, {', '.join(operands)})"


def driver(divided: Divided, sizes: Mapping[str, int], dtype: np.dtype[Any], fusible: Fusible) -> Driver:
    """The text that calls the parts one after another, for arrays of some sizes and one type."""
    special = specialize(divided.program, sizes)
    writer = StatementWriter(special, program_names(special), quick=True)
    statements = {statement.target: statement for statement in special.statements}
    lines: list[str] = []
    namespace: dict[str, Any] = {
        "dtype": dtype, "number": dtype.type, "empty": np.empty, "in_order": in_order, "TypeError": TypeError,
    }  # fmt: skip

    def made(operand: Operand) -> None:
        """Name the views of a value that statements of NumPy read."""
        chain: list[Statement] = []
        while isinstance(operand, int) and operand not in writer.texts:
            chain.append(statements[operand])
            operand = statements[operand].operands[0]
        for view in reversed(chain):
            name = f"t{view.target}"
            lines.append(f"{name} = {_statement(writer, view)}")
            writer.texts[view.target] = (name, ATOM)

    def length(dim: Dim) -> int:
        return dim.evaluate(sizes)

    for number, part in enumerate(divided.parts):
        if part.function is None:
            for statement in part.statements:
                for operand in statement.operands:
                    made(operand)
                name = f"t{statement.target}"
                lines.append(f"{name} = {_statement(writer, statements[statement.target])}")
                writer.texts[statement.target] = (name, ATOM)
            continue
        function = part.function
        namespace[f"k{number}"] = fusible.compiled(function, single=dtype == SINGLE)
        given: list[str] = []
        for value in function.inputs:
            text = writer.texts[value][0]
            shape = divided.values.shapes[value]
            if len(shape) != function.orders[value]:
                wanted = tuple(length(dim) for dim in squeezed(shape))
                text = f"{text}.reshape({wanted}){'' if wanted else '[()]'}"
            given.append(text)
        arrays: list[str] = []
        for value in function.arrays:
            shape = divided.values.shapes[value]
            lengths = tuple(length(dim) for dim in squeezed(shape))
            size = str(lengths[0]) if len(lengths) == 1 else str(lengths)
            lines.append(f"o{value} = empty({size}{'' if dtype == DOUBLE else ', dtype'})")
            arrays.append(f"o{value}")
        rest = [*(str(length(dim)) for dim in function.sizes), *arrays]
        targets = ", ".join(f"s{value}" for value in function.numbers)
        head = f"{targets} = " if targets else ""
        safe = ", ".join([*(f"in_order({text})" for text in given), *rest])
        lines += ["try:", f"    {head}k{number}({', '.join([*given, *rest])})"]
        lines += ["except TypeError:", f"    {head}k{number}({safe})"]
        for value in (*function.arrays, *function.numbers):
            full = tuple(length(dim) for dim in divided.values.shapes[value])
            name = f"o{value}" if value in function.arrays else f"number(s{value})"
            if len(full) != len(squeezed(divided.values.shapes[value])):
                writer.require("np")
                name = f"np.reshape({name}, {full})"
            if value in function.arrays and name == f"o{value}":
                writer.texts[value] = (name, ATOM)
                continue
            lines.append(f"t{value} = {name}")
            writer.texts[value] = (f"t{value}", ATOM)
    for result in special.results:
        made(result)
    results = [writer.operand(result)[0] for result in special.results]
    lines.append(f"return {results[0]}" if len(results) == 1 else f"return ({', '.join(results)})")
    text = f"def f({', '.join(writer.names.arguments)}):\n" + "".join(f"    {line}\n" for line in lines)
    return Driver(text, tuple(sorted(writer.required)), namespace)


class ByType:
    """A function for arrays of some sizes, made for each type when it is first called with that.

    Parameters
    ----------
    divided, sizes, fusible: as for `driver`.
    load: makes a function of the text, the names from outside and what was made for it.
    other: what runs for types that Numba does not take.
    """

    def __init__(
        self,
        divided: Divided,
        sizes: Mapping[str, int],
        fusible: Fusible,
        load: Load,
        other: Callable[..., Any],
    ) -> None:
        self._made: dict[np.dtype[Any], Callable[..., Any]] = {}
        self._divided, self._sizes, self._fusible, self._load, self._other = divided, dict(sizes), fusible, load, other

    def __call__(self, *arrays: Any) -> Any:
        return self.of(np.result_type(*arrays))(*arrays)

    def of(self, dtype: np.dtype[Any]) -> Callable[..., Any]:
        """The function for a working type."""
        known = self._made.get(dtype)
        if known is None:
            known = self._other
            if dtype in (SINGLE, DOUBLE):
                known = self._load(*driver(self._divided, self._sizes, dtype, self._fusible))
            self._made = {**self._made, dtype: known}
        return known


class Fusible:
    """The fused functions of one program: compiled at the first call for a type, and shared by all sizes.

    Parameters
    ----------
    make: makes a function of the text of a fused function, for single or double precision.
    """

    def __init__(self, make: Callable[[Fused, bool], Callable[..., Any]] | None = None) -> None:
        self._make = compiled if make is None else make
        # dictionaries are replaced, never changed, so that threads need no lock
        self._compiled: dict[tuple[str, bool], Callable[..., Any]] = {}
        self._divided: dict[tuple[int, bool], tuple[Program, Divided]] = {}

    def bound(
        self, program: Program, sizes: Mapping[str, int], machine: Machine, load: Load, other: Callable[..., Any]
    ) -> ByType | None:
        """The function of a program for arrays of some sizes, or None where there is nothing to fuse.

        Parameters
        ----------
        machine: as for `plan`.
        load, other: as for `ByType`.
        """
        if in_panels(program, sizes, machine) or threads_pay(program, sizes, machine):
            return None
        small = is_small(program, sizes)
        key = (id(program), small)
        if key not in self._divided:
            # the program is kept with its parts, so that its number stays its own
            self._divided = {**self._divided, key: (program, divide(program, small=small))}
        divided = self._divided[key][1]
        if all(part.function is None for part in divided.parts):
            return None
        return ByType(divided, sizes, self, load, other)

    def compiled(self, part: Fused, *, single: bool) -> Callable[..., Any]:
        """A fused function for a type; arrays lie row by row in memory."""
        known = self._compiled.get((part.text, single))
        if known is None:
            known = self._make(part, single)
            self._compiled = {**self._compiled, (part.text, single): known}
        return known
