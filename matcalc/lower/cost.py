"""What a program costs for arrays of given sizes: operations, bytes, arrays it makes, and the least time for that.

Everything is counted from the statements; nothing is run. Counts of operations are those of the textbooks (Golub &
Van Loan, Matrix Computations, 4th ed.; Higham, Functions of Matrices), estimates where an algorithm iterates.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from math import log2, prod
from types import MappingProxyType
from typing import NamedTuple

from ..errors import Unsupported
from .elementary import KERNEL_FORMS, OPERATORS, UFUNCS
from .overwriting import OVERWRITE, WRITERS, overwrite_dead
from .panels import USUAL, Item, Loop, Machine, Sizes, shapes_of
from .products import row_parts
from .program import Literal, Operand, Program, Statement
from .runs import Run, run_of
from .schedule import STORED
from .scheduled import Scheduled
from .signs import is_truth
from .specialize import specialize
from .views import may_be_view
from .workspace import Buffer

ITEM = 8
"""Bytes of a number."""


class Cost(NamedTuple):
    """What one call costs, in counts; bytes are of float64 numbers.

    flops: additions, multiplications, divisions, comparisons and roots, those of matrix products among them.
    transcendentals: values of exp, log, tanh and the like, which cost as much as many additions.
    compulsory_bytes: the arguments read once and the results written once.
    bytes: what the statements read and write; a loop over panels reads and writes an array once.
    temporaries: arrays that are allocated at each call and are no result.
    temporary_bytes: those arrays together.
    buffers: arrays that are kept from call to call.
    buffer_bytes: those arrays together.
    operations: calls of NumPy that compute, each once for every panel of a loop.
    passes: how often a large array is read or written.
    bound_s: seconds that no way of doing these flops in float64 can beat: that of the flops, of the compulsory bytes
        or of the transcendentals, whichever is longest, at the rates of the machine.
    """

    flops: int
    transcendentals: int
    compulsory_bytes: int
    bytes: int
    temporaries: int
    temporary_bytes: int
    buffers: int
    buffer_bytes: int
    operations: int
    passes: int
    bound_s: float

    def __repr__(self) -> str:
        lines = (
            f"flops        {short(self.flops)}, and {short(self.transcendentals)} transcendentals",
            f"bytes        {short(self.bytes)}, of which {short(self.compulsory_bytes)} are compulsory",
            f"temporaries  {self.temporaries}, {short(self.temporary_bytes)} bytes",
            f"buffers      {self.buffers}, {short(self.buffer_bytes)} bytes",
            f"operations   {self.operations}, with {self.passes} passes over large arrays",
            f"bound        {seconds(self.bound_s)}",
        )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, int | float]:
        """The counts by name, ready for JSON."""
        return self._asdict()


def short(number: float) -> str:
    """A count in short: ``2.5 million``.

    >>> short(999), short(12_345), short(2_500_000)
    ('999', '12.3 thousand', '2.5 million')
    """
    for unit, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"), (1e4, "thousand")):
        if number >= unit:
            return f"{number / (unit if unit > 1e4 else 1e3):.3g} {name}"
    return f"{number:.0f}"


def seconds(time: float) -> str:
    """A time in the unit in which it is short.

    >>> seconds(0.0025), seconds(4.2e-7)
    ('2.5 ms', '420 ns')
    """
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if time >= unit:
            return f"{time / unit:.3g} {name}"
    return f"{time * 1e9:.3g} ns"


class Work(NamedTuple):
    """What a statement computes: flops, transcendentals, and in how many steps, each of which makes an array."""

    flops: float = 0.0
    transcendentals: float = 0.0
    steps: int = 1

    def times(self, number: float) -> Work:
        """The work for so many entries."""
        return Work(self.flops * number, self.transcendentals * number, self.steps)


# --- functions ------------------------------------------------------------------------------------

TRANSCENDENTAL = frozenset(
    {
        "np.exp", "np.log", "np.log1p", "np.expm1", "np.log2", "np.log10", "np.cbrt", "np.power", "np.sin", "np.cos",
        "np.tan", "np.arcsin", "np.arccos", "np.arctan", "np.sinh", "np.cosh", "np.tanh", "np.arcsinh", "np.arccosh",
        "np.arctanh", "np.arctan2", "np.hypot", "special.erf", "special.erfc", "special.ndtr", "special.gammaln",
        "special.digamma",
    }
)  # fmt: skip
"""Functions of which a value costs as much as many additions."""

FUNCTIONS: Mapping[str, Work] = MappingProxyType(
    {
        **dict.fromkeys(sorted(UFUNCS - TRANSCENDENTAL), Work(1)),
        **dict.fromkeys(sorted(TRANSCENDENTAL), Work(0, 1)),
        "np.where": Work(1), "np.round": Work(1), "mask": Work(1),
        "elu": Work(3, 1, 4), "selu": Work(4, 1, 5), "gelu": Work(2, 1, 3), "polygamma": Work(0, 1),
        "np.sum": Work(1), "np.prod": Work(1), "np.max": Work(1), "np.min": Work(1), "np.argmax": Work(1),
        "np.var": Work(4), "np.std": Work(4), "finite": Work(1),
        "norm": Work(2), "normalize": Work(3, 0, 2), "prodexcept": Work(3, 0, 3), "prodexcept2": Work(3, 0, 3),
        "exponentials": Work(3, 1, 4), "softmax": Work(4, 1, 5), "log_softmax": Work(4, 1, 5),
        "logsumexp": Work(3, 1, 4), "softmax_of": Work(1), "log_softmax_of": Work(1), "logsumexp_of": Work(0),
        "symmetric_part": Work(2, 0, 2), "determinant_of": Work(0), "adjugate_of": Work(0),
    }
)  # fmt: skip
"""What a function takes for each entry: of its result where it works entry by entry, else of its operand."""

TOTALS = frozenset({"logsumexp_of", "determinant_of", "adjugate_of"})
"""Functions that take what was computed with another one."""

MATRIX: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "np.linalg.inv": (0, 2), "np.linalg.det": (0, 2 / 3), "np.linalg.slogdet": (0, 2 / 3),
        "np.linalg.cholesky": (0, 1 / 3), "minors": (0, 2), "adjugate": (0, 8 / 3), "adj_frechet": (0, 30),
        "np.linalg.svd": (4, -4 / 3), "spectral": (4, -4 / 3), "svd_u": (14, 8), "svd_v": (14, 8),
        "polar": (16, 8), "spectraldir": (16, 8), "np.linalg.pinv": (16, 8),
        "eigvals": (0, 4 / 3), "eigmax": (0, 4 / 3), "eigmin": (0, 4 / 3), "eigvecs": (0, 9),
        "eigmaxproj": (0, 11), "eigminproj": (0, 11),
        "expm": (0, 44 / 3), "expm_frechet": (0, 44), "logm": (0, 30), "logm_frechet": (0, 240),
        "sqrtm": (0, 85 / 3),
        "inverse_lower": (0, 1 / 3), "inverse_upper": (0, 1 / 3), "inverse_diagonal": (0, 0),
    }
)  # fmt: skip
"""For functions of m × n matrices with m not below n the flops as multiples of ``m n^2`` and of ``n^3``.

Golub & Van Loan: inverses (3.4), singular values (8.6.1), eigenvalues of symmetric matrices (8.3); Higham: the
exponential (Pade approximant of order 13 without squarings), logarithm and square root by the Schur form. What follows
a decomposition is added.
"""

POWERS = MappingProxyType({"matpow": 1, "tracepow": 1, "matpow_frechet": 8})
"""Integer powers of a matrix, and how many times the work of a product of its size one multiplication is."""


@cache
def functions_of(form: str) -> tuple[str, ...]:
    """The functions in a template that reach an operand, operators by their ufunc.

    >>> functions_of("np.where({0} > 0, {0}, {1} * {0})")
    ('np.where', 'np.multiply', 'np.greater')

    Raises
    ------
    Unsupported: the template has a part whose cost is not known.
    """
    found: list[str] = []
    stack: list[ast.expr] = [ast.parse(re.sub(r"\{(\d+)\}", r"_\1", form), mode="eval").body]
    while stack:
        part = stack.pop()
        if not any(isinstance(inner, ast.Name) and inner.id.startswith("_") for inner in ast.walk(part)):
            continue
        match part:
            case ast.Name() | ast.Attribute():
                continue
            case ast.UnaryOp(op=operator, operand=inner) if type(operator) in OPERATORS:
                found.append(OPERATORS[type(operator)])
                stack.append(inner)
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in OPERATORS:
                found.append(OPERATORS[type(operator)])
                stack += [left, right]
            case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in OPERATORS:
                found.append(OPERATORS[type(operator)])
                stack += [left, right]
            case ast.Subscript(value=value):
                stack.append(value)
            case ast.Starred(value=value):
                stack.append(value)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="reshape")) if name.startswith("_"):
                continue
            case ast.Call(func=function, args=arguments):
                name = ast.unparse(function)
                found += functions_of(KERNEL_FORMS[name]) if name in KERNEL_FORMS else (name,)
                stack += arguments
            case _:
                raise Unsupported(f"the cost of {ast.unparse(part)} is not known")
    return tuple(found)


# --- statements -----------------------------------------------------------------------------------


class View(NamedTuple):
    """What a rule may ask: the shapes of operands and result, and which operands are one matrix and its transpose."""

    operands: tuple[Sizes, ...]
    result: Sizes
    mirrored: bool = False

    @property
    def entries(self) -> int:
        """The entries of the result."""
        return prod(self.result)

    @property
    def size(self) -> int:
        """The rows of the first operand, a square matrix."""
        return self.operands[0][-1]

    @property
    def batch(self) -> int:
        """How many matrices the first operand is."""
        return prod(self.operands[0][:-2])

    @property
    def columns(self) -> int:
        """The columns of the last operand; 1 for a vector."""
        return self.operands[-1][-1] if len(self.operands[-1]) > 1 else 1


Rule = Callable[[Statement, View], Work]


def _each(flops: float, transcendentals: float = 0) -> Rule:
    """So much for each entry of the result."""
    return lambda _statement, view: Work(flops, transcendentals).times(view.entries)


def _read(flops: float) -> Rule:
    """So many flops for each entry of the first operand."""
    return lambda _statement, view: Work(flops * prod(view.operands[0]))


def _nothing(_statement: Statement, _view: View) -> Work:
    return Work()


def _named(name: str, view: View, entries: int, statement: Statement) -> Work:
    """The work of a function by its name."""
    if name in FUNCTIONS:
        return FUNCTIONS[name].times(1 if name in TOTALS else entries)
    first = view.operands[0]
    if name in MATRIX:
        short, long = sorted(first[-2:])
        mixed, pure = MATRIX[name]
        return Work(prod(first[:-2]) * (mixed * long * short**2 + pure * short**3))
    if name in POWERS:
        exponent = statement.operands[-1]
        count = max(1.0, log2(max(1.0, abs(exponent.value)))) if isinstance(exponent, Literal) else 1.0
        return Work(prod(first[:-2]) * 2 * POWERS[name] * count * first[-1] ** 3)
    if name == "sylvester":
        m, n = first[-1], view.operands[1][-1]
        return Work(view.batch * (25 * (m**3 + n**3) + 5 * m * n * (m + n)))
    raise Unsupported(f"the cost of the function {name} is not known")


def _sum_of(parts: Iterable[Work]) -> Work:
    """The work of several functions; what makes no array is no step."""
    found = list(parts)
    steps = sum(part.steps for part in found)
    return Work(sum(part.flops for part in found), sum(part.transcendentals for part in found), max(1, steps))


def _map(statement: Statement, view: View) -> Work:
    names = functions_of(str(statement.parameters[1]))
    return _sum_of(_named(name, view, view.entries, statement) for name in names)


def _call(statement: Statement, view: View) -> Work:
    entries = max(prod(view.operands[0]), view.entries)
    return _sum_of(_named(name, view, entries, statement) for name in functions_of(str(statement.parameters[1])))


def _ufunc(statement: Statement, view: View) -> Work:
    return _named(str(statement.parameters[0]), view, view.entries, statement)


def _matmul(_statement: Statement, view: View) -> Work:
    inner = view.operands[0][-1]
    if view.mirrored:
        n = view.result[0]
        return Work(inner * n * (n + 1))
    return Work(2 * inner * prod(view.result))


def _weighted_gram(_statement: Statement, view: View) -> Work:
    rows, columns = view.operands[0]
    return Work(rows * columns * (columns + 1) + rows * columns + rows)


def _tensordot(statement: Statement, view: View) -> Work:
    axes = statement.parameters[0]
    assert isinstance(axes, tuple)
    inner = prod(view.operands[0][axis] for axis in axes if isinstance(axis, int))
    return Work(2 * inner * view.entries)


def _cubic(factor: float) -> Rule:
    """A multiple of ``n^3``."""
    return lambda _statement, view: Work(factor * view.batch * view.size**3)


def _by_kind(general: float, definite: float) -> Rule:
    """A multiple of ``n^3`` for general matrices, and one for symmetric ones that turn out to be definite."""

    def work(statement: Statement, view: View) -> Work:
        kind = statement.parameters[0] if statement.parameters else ""
        return Work((definite if kind in ("symmetric", "spd") else general) * view.size**3)

    return work


def _inverse(statement: Statement, view: View) -> Work:
    kind = statement.parameters[0] if statement.parameters else ""
    if f"inverse_{kind}" in MATRIX:
        return _named(f"inverse_{kind}", view, view.entries, statement)
    return _by_kind(2, 1)(statement, view)


def _system(factor: float, columns: float) -> Rule:
    """A factorization, ``factor n^3``, and ``columns n^2`` for each right side."""
    return lambda _statement, view: Work(
        view.batch * (factor * view.size**3 + columns * view.size**2 * view.columns), 0, 2 if factor else 1
    )


def _square_times(factor: float) -> Rule:
    """``factor n^2`` for each column of the last operand."""
    return lambda _statement, view: Work(factor * view.size**2 * view.columns)


def _triangle_update(_statement: Statement, view: View) -> Work:
    factor = view.operands[1]
    return Work(view.size * (view.size + 1) * (factor[1] if len(factor) > 1 else 1))


def _triangle_inner(_statement: Statement, view: View) -> Work:
    return Work(view.size**2 * (len(view.operands) - 1))


def _diagonal_logarithms(_statement: Statement, view: View) -> Work:
    return Work(view.size, view.size, 2)


CONSTANTS = (
    "full", "eye", "triangle", "shifted_eye", "unit", "one_hot", "arange", "pairs", "half_pairs", "levi_civita",
)  # fmt: skip
MOVES = (
    "transpose", "expand", "diagonal", "slice", "element", "reshape", "broadcast", "copy", "lower_part", "gather_half",
    "gather_rows", "gather_columns", "scatter_half", "embed", "embed_diagonal", "mirrored", "first_column",
)  # fmt: skip

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **dict.fromkeys((*CONSTANTS, *MOVES), _nothing),
        **dict.fromkeys(("add", "subtract", "multiply", "divide", "negate", "square", "sqrt"), _each(1)),
        "power": _each(0, 1),
        "map": _map,
        "call": _call,
        "ufunc": _ufunc,
        "reduce": _read(1),
        "sum": _read(1),
        "trace": lambda _statement, view: Work(view.batch * view.size),
        "inner": _read(2),
        "matmul": _matmul,
        "weighted_gram": _weighted_gram,
        "outer": _each(1),
        "outer_slices": _each(1),
        "stack": _each(0),
        "tensordot": _tensordot,
        "cross": _each(3),
        "cumulative_sum": _each(1),
        "solve": _system(2 / 3, 2),
        "solve_symmetric": _system(1 / 3, 2),
        "solve_spd": _system(1 / 3, 2),
        "solve_lower": _system(0, 1),
        "solve_upper": _system(0, 1),
        "solve_diagonal": _each(1),
        "factorize": _by_kind(2 / 3, 1 / 3),
        "solve_factorized": _square_times(2),
        "inverse": _inverse,
        "inverse_factorized": _by_kind(4 / 3, 2 / 3),
        "inverse_triangle": _cubic(2 / 3),
        "determinant_factorized": lambda _statement, view: Work(view.size),
        "log_determinant_factorized": _diagonal_logarithms,
        "triangle_times": _square_times(2),
        "triangle_update": _triangle_update,
        "triangle_inner": _triangle_inner,
        "add_diagonal": lambda _statement, view: Work(view.size),
    }
)
"""What a statement computes, by its operation."""

HOLDS: Mapping[str, int] = MappingProxyType({"factorize": 1, "exponentials": 2, "minors": 1})
"""Statements whose value is several arrays, and how many of them are as large as the operand."""


def work_of(statement: Statement, view: View) -> Work:
    """What a statement computes.

    >>> work_of(Statement(2, "matmul", (0, 1), (), ()), View(((3, 4), (4, 5)), (3, 5)))
    Work(flops=120, transcendentals=0.0, steps=1)

    Parameters
    ----------
    view: the shapes of the operands and of the result in numbers.

    Raises
    ------
    Unsupported: the operation, or a function in it, has no rule.
    """
    rule = RULES.get(statement.operation)
    if rule is None:
        raise Unsupported(f"the cost of a statement of the kind {statement.operation} is not known")
    return rule(statement, view)


# --- programs -------------------------------------------------------------------------------------


def cost(
    program: Program, sizes: Mapping[str, int], machine: Machine = USUAL, *, scheduled: bool | None = None
) -> Cost:
    """What a program costs for arrays of given sizes.

    >>> from matcalc.expr.dims import Dim
    >>> from matcalc.lower.program import Argument
    >>> n = Dim.of("n")
    >>> square = (Argument("A", (n, n)), Argument("B", (n, n)))
    >>> product = Program(square, (), (Statement(2, "matmul", (0, 1), (), (n, n)),), (2,))
    >>> cost(product, {"n": 10}).flops, cost(product, {"n": 10}).compulsory_bytes
    (2000, 2400)

    Parameters
    ----------
    program: a finished program.
    sizes: a value for every named size.
    machine: the rates for the bound, and what decides whether loops over panels run.
    scheduled: whether to count the scheduled form or whole passes; by default what runs.

    Raises
    ------
    Unsupported: a statement whose cost is not known.
    """
    if scheduled is False:
        plain = specialize(program, sizes)
        return items_cost(plain, plain.statements, None, machine)
    return run_cost(run_of(program, sizes, machine, always=scheduled is True), machine)


def run_cost(run: Run, machine: Machine = USUAL) -> Cost:
    """What one call costs of what runs."""
    return items_cost(run.program, run.items, run.scheduled if run.kept else None, machine)


def items_cost(program: Program, items: Sequence[Item], planned: Scheduled | None, machine: Machine = USUAL) -> Cost:
    """What statements and loops cost.

    Parameters
    ----------
    program: a program without named sizes.
    items: its statements, some of them in loops.
    planned: its scheduled form, whose buffers are counted; None where every statement makes its own array.
    """
    return _Counter(program, items, planned, machine).cost()


class Placement(NamedTuple):
    """A statement of a program, and the loop in which it runs."""

    statement: Statement
    loop: Loop | None
    axis: int | None = None


def placements(items: Sequence[Item]) -> list[Placement]:
    """The statements in the order in which they run."""
    placed: list[Placement] = []
    for item in items:
        if isinstance(item, Statement):
            placed.append(Placement(item, None))
        else:
            placed += [Placement(part.statement, item, part.axis) for part in item.body]
    return placed


class _Counter:
    """Adds up what the statements of a program cost."""

    def __init__(self, program: Program, items: Sequence[Item], planned: Scheduled | None, machine: Machine) -> None:
        self.program = program
        self.planned = planned
        self.machine = machine
        self.placed = placements(items)
        if planned is not None:
            # as the schedule does, for the statements are in another order than before
            ordered = overwrite_dead(program._replace(statements=tuple(part.statement for part in self.placed)))
            self.placed = [
                part._replace(statement=new) for part, new in zip(self.placed, ordered.statements, strict=True)
            ]
        self.shapes: dict[int, Sizes] = shapes_of(program)
        self.definitions = {part.statement.target: part.statement for part in self.placed}
        self.copies: dict[int, int] = {}
        """How many arrays a value is that is not one."""
        for part in self.placed:
            self._note_held(part.statement)
        results = {result for result in program.results if isinstance(result, int)}
        self.returned = {self.owner(result) for result in results}
        self.loops = {part.statement.target: part.loop for part in self.placed}
        self.flops = self.transcendentals = 0.0
        self.moved = self.passes = self.operations = self.temporaries = self.temporary_bytes = 0

    def _note_held(self, statement: Statement) -> None:
        name = str(statement.parameters[0]) if statement.operation == "call" else statement.operation
        if name in HOLDS and not statement.shape:
            self.copies[statement.target] = HOLDS[name]
            self.shapes[statement.target] = self.shape(statement.operands[0])

    # --- values -------------------------------------------------------------------------------------

    def shape(self, operand: Operand) -> Sizes:
        return self.shapes[operand] if isinstance(operand, int) else ()

    def owner(self, value: int) -> int:
        """The value whose memory a value is."""
        while value in self.definitions:
            statement = self.definitions[value]
            source: Operand | None = None
            if _is_view(statement):
                source = next((x for x in statement.operands if isinstance(x, int)), None)
            elif statement.parameters[-1:] == (OVERWRITE,):
                source = statement.operands[WRITERS[statement.operation]]
            if not isinstance(source, int):
                return value
            value = source
        return value

    def is_made(self, statement: Statement) -> bool:
        """Whether a statement makes an array or writes to one, rather than look at one or make a number."""
        return bool(self.shapes[statement.target]) and not _is_view(statement)

    def bytes(self, value: int) -> int:
        """The memory of a value; that of what is repeated counts once."""
        owner = self.owner(value)
        known = self.definitions.get(owner)
        item = 1 if known is not None and is_truth(known) else ITEM
        entries = min(prod(self.shapes[value]), prod(self.shapes[owner])) if self.shapes[value] else 0
        return entries * item * self.copies.get(owner, 1)

    def view(self, statement: Statement) -> View:
        shapes = tuple(self.shape(operand) for operand in statement.operands)
        return View(shapes, self.shapes[statement.target], _mirrored(statement, self.definitions))

    # --- totals -------------------------------------------------------------------------------------

    def cost(self) -> Cost:
        loops: list[list[Placement]] = []
        for part in self.placed:
            if part.loop is None:
                self.whole(part.statement)
            elif loops and loops[-1][0].loop is part.loop:
                loops[-1].append(part)
            else:
                loops.append([part])
        for body in loops:
            self.loop(body)
        buffers: Sequence[Buffer] = () if self.planned is None else self.planned.buffers
        own = [buffer for buffer in buffers if buffer.within is None]
        kept = sum(prod(buffer.shape) * (1 if buffer.truth else ITEM) for buffer in own)
        compulsory = self.compulsory()
        return Cost(
            round(self.flops), round(self.transcendentals), compulsory, self.moved, self.temporaries,
            self.temporary_bytes, len(own), kept, self.operations, self.passes,
            bound(self.flops, compulsory, self.transcendentals, self.machine),
        )  # fmt: skip

    def work(self, statement: Statement) -> Work:
        """Note what a statement computes."""
        work = work_of(statement, self.view(statement))
        self.flops += work.flops
        self.transcendentals += work.transcendentals
        return work

    def touches(self, arrays: Iterable[int], times: int = 1) -> None:
        """Note that arrays of so many bytes are read or written."""
        for size in arrays:
            self.moved += size * times
            self.passes += times * (size >= self.machine.large)

    def whole(self, statement: Statement) -> None:
        """Note a statement that passes over whole arrays."""
        work = self.work(statement)
        reads: dict[int, int] = {}
        for operand in statement.operands:
            if isinstance(operand, int):
                reads[self.owner(operand)] = max(reads.get(self.owner(operand), 0), self.bytes(operand))
        made = self.is_made(statement)
        if not made and statement.operation != "call" and (statement.shape or not any(reads.values())):
            return
        self.operations += max(work.steps, self.parts(statement))
        self.touches(reads.values())
        if not made:
            return
        own = self.bytes(statement.target)
        self.touches([own])
        if statement.operation in ("map", "call"):
            self.touches([self.between(statement)], 2 * (work.steps - 1))
        self.allocate(statement, work, 1)

    def parts(self, statement: Statement) -> int:
        """In how many parts of its rows a product of a schedule is taken."""
        if statement.operation != "matmul" or self.planned is None or self.machine.threads > 1:
            return 1
        first, second = (self.shape(operand) for operand in statement.operands)
        last = statement.operands[1]
        origin = self.definitions.get(last) if isinstance(last, int) else None
        return len(row_parts(first, second, turned=origin is not None and origin.operation == "transpose"))

    def allocate(self, statement: Statement, work: Work, times: int) -> None:
        """Note the arrays that a statement makes at each call, each in so many panels."""
        between = work.steps - 1 if statement.operation in ("map", "call") else 0
        own = self.owner(statement.target) == statement.target and statement.target not in self.returned
        if self.planned is not None and statement.operation in STORED:
            return
        self.temporaries += (between + own) * times
        self.temporary_bytes += between * self.between(statement) + own * self.bytes(statement.target)

    def between(self, statement: Statement) -> int:
        """The bytes of an array that a function of several steps makes on the way."""
        values = (statement.target, *statement.operands[: statement.operation == "call"])
        return max(prod(self.shape(value)) for value in values) * ITEM

    def loop(self, body: Sequence[Placement]) -> None:
        """Note a loop: what comes from outside is read once, what is needed outside is written once."""
        loop = body[0].loop
        assert loop is not None
        panels = -(-loop.length // loop.step)
        inside = {part.statement.target for part in body}
        outer: dict[int, int] = {}
        needed = self.needed_outside(inside, loop)
        cuts = {placed.statement.target: placed.cuts for placed in loop.body}
        for part in body:
            statement = part.statement
            work = self.work(statement)
            for operand, axis in zip(statement.operands, cuts[statement.target], strict=True):
                if not isinstance(operand, int) or self.owner(operand) in inside:
                    continue
                size = self.bytes(operand)
                again = panels if axis is None and size > self.machine.panel else 1
                outer[self.owner(operand)] = max(outer.get(self.owner(operand), 0), size * again)
            added = part.axis is None and bool(statement.shape)
            if not self.is_made(statement):
                self.operations += panels * (part.axis is None or statement.operation == "call")
                continue
            self.operations += panels * (work.steps + added)
            if statement.target in needed or added:
                self.touches([self.bytes(statement.target)])
            self.allocate(statement, work, panels)
            if statement.target in needed and statement.operation not in STORED and not added:
                # panels that NumPy makes are put together in an array
                whole = statement.target not in self.returned
                self.temporaries += whole
                self.temporary_bytes += whole * self.bytes(statement.target)
        self.touches(outer.values())

    def needed_outside(self, inside: set[int], loop: Loop) -> set[int]:
        """The values of a loop that are results or are used behind it."""
        used = {
            self.owner(operand)
            for part in self.placed
            if part.loop is not loop
            for operand in part.statement.operands
            if isinstance(operand, int)
        }
        return inside & (used | self.returned)

    def compulsory(self) -> int:
        """The bytes of what is used of the arguments, and of the results."""
        used: dict[int, int] = {}
        count = len(self.program.arguments)
        for part in self.placed:
            partly = part.statement.operation in ("slice", "element", "diagonal")
            for operand in part.statement.operands:
                if isinstance(operand, int) and operand < count:
                    size = prod(self.shapes[part.statement.target]) * ITEM if partly else self.bytes(operand)
                    used[operand] = min(used.get(operand, 0) + size, self.bytes(operand))
        results = {result for result in self.program.results if isinstance(result, int)}
        written = sum(prod(self.shapes[result]) for result in results)
        return sum(used.values()) + written * ITEM


def computing(program: Program) -> list[tuple[Statement, View]]:
    """The statements of a program without named sizes that compute with arrays, with their shapes; no views."""
    counter = _Counter(program, program.statements, None, USUAL)
    found: list[tuple[Statement, View]] = []
    for statement in program.statements:
        view = counter.view(statement)
        if not _is_view(statement) and (view.result or any(view.operands)):
            found.append((statement, view))
    return found


def bound(flops: float, compulsory: float, transcendentals: float, machine: Machine) -> float:
    """The longest of the times for flops, bytes and transcendentals, in seconds.

    >>> bound(70e9, 8, 0, Machine())
    1.0
    """
    rate = machine.memory_rate
    if compulsory <= machine.panel:
        rate = machine.cache_rate
    elif compulsory <= machine.shared:
        rate = machine.shared_rate
    times = (flops / (machine.product_rate * machine.threads), compulsory / rate, transcendentals / machine.values_rate)
    return max(times) * 1e-9


def _is_view(statement: Statement) -> bool:
    """Whether a statement computes nothing: its value is its operand, a part of it, or a stack of parts in place.

    An array without infinities is left as it is.
    """
    finite = statement.operation == "call" and statement.parameters[0] == "finite"
    return finite or statement.operation in ("first_column", "stack") or may_be_view(statement)


def _mirrored(statement: Statement, definitions: Mapping[int, Statement]) -> bool:
    """Whether a product is that of a matrix and its own transpose, of which NumPy computes half."""
    if statement.operation != "matmul" or len(statement.shape) != 2:
        return False
    left, right = statement.operands
    for one, other in ((left, right), (right, left)):
        turned = definitions.get(one) if isinstance(one, int) else None
        if turned is not None and turned.operation == "transpose" and turned.operands[0] == other:
            return True
    return False
