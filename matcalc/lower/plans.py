"""What runs for arrays of given sizes, in words: orders of products, kernels, loops over panels, buffers, the text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import NamedTuple

from .cost import View, computing, functions_of, run_cost, seconds, short, work_of
from .order import Path
from .panels import PRODUCTS, USUAL, VIEWED, Item, Loop, Machine, Sizes, refused
from .program import Choice, Program, Statement
from .runs import run_of
from .scheduled import Scheduled


class Order(NamedTuple):
    """A product of three or more factors: its default order and the one that is best for the sizes.

    Times are estimates in nanoseconds.
    """

    choice: Choice
    default: float
    best: float
    path: Path


def plan_text(
    program: Program,
    sizes: Mapping[str, int],
    orders: Sequence[Order],
    text: str,
    *,
    chosen: bool = False,
    representative: bool = False,
    machine: Machine = USUAL,
) -> str:
    """What runs for arrays of given sizes and why, in words.

    Parameters
    ----------
    program: a finished program, in the order of products that runs.
    sizes: a value for every named size.
    orders: the products whose order matters.
    text: what runs where no schedule is quicker.
    chosen: whether the best orders run rather than the default ones.
    representative: whether the sizes are not those of arrays, but typical ones.
    machine: what decides where loops gain.
    """
    run = run_of(program, sizes, machine)
    special, items, written, kept = run
    planned = written if kept else None
    parts = (
        ("products", _orders(orders, sizes, chosen)),
        ("kernels", _kernels(special)),
        ("loops", _loops(special, items, planned, machine)),
        ("shared", _shared(special)),
        ("buffers", _buffers(planned)),
        ("cost", _indented(repr(run_cost(run, machine)))),
        ("text", _indented((text if written is None else written.read()).rstrip("\n"))),
    )
    head = ", ".join(f"{name} = {size}" for name, size in sizes.items())
    found = [f"for {head}{', typical sizes' * representative}" if head else "for all arrays"]
    for title, lines in parts:
        found += ["", title, *lines]
    return "\n".join(found)


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.split("\n")]


# --- orders of products -----------------------------------------------------------------------------


def _orders(orders: Sequence[Order], sizes: Mapping[str, int], chosen: bool) -> list[str]:
    """Each product with the sizes of its factors, the order that runs, and what another one would take."""
    lines: list[str] = []
    for order in orders:
        dims = {label: dim.evaluate(sizes) for label, dim in order.choice.dims}
        factors = ", ".join(
            f"{number}: {times(tuple(dims[label] for label in labels))}{KINDS[kind]}"
            for number, (labels, kind, _) in enumerate(order.choice.leaves, 1)
        )
        count = len(order.choice.leaves)
        default, best = brackets(count, order.choice.path), brackets(count, order.path)
        lines.append(f"  factors {factors}")
        if default == best:
            lines.append(f"    {default}, {seconds(order.default * 1e-9)}: the default order is the best one")
        elif chosen:
            lines.append(f"    {best}, {seconds(order.best * 1e-9)}; the default order {default} takes")
            lines[-1] += f" {seconds(order.default * 1e-9)}"
        else:
            lines.append(f"    {default}, {seconds(order.default * 1e-9)}: the default order, for the best one {best}")
            lines[-1] += f" gains too little, {seconds(order.best * 1e-9)}"
    return lines or ["  none has three factors or more"]


KINDS: Mapping[str, str] = MappingProxyType({"array": "", "inverse": " inverted", "lower": " triangle"})


def times(shape: Sizes) -> str:
    """A shape in words.

    >>> times((3, 4)), times((3,)), times(())
    ('3 x 4', '3', 'number')
    """
    return " x ".join(map(str, shape)) or "number"


def brackets(count: int, path: Sequence[tuple[int, int]]) -> str:
    """The order of a product of so many factors, which are numbered from 1.

    >>> brackets(3, [(1, 2), (0, 3)]), brackets(3, [(0, 1), (2, 3)])
    ('1 (2 3)', '(1 2) 3')
    """
    names = {number: (number, str(number + 1)) for number in range(count)}
    for number, (left, right) in enumerate(path, count):
        (first, one), (_, other) = sorted((names[left], names[right]))
        names[number] = first, f"({one} {other})"
    return names[count + len(path) - 1][1].removeprefix("(").removesuffix(")") if path else "1"


# --- kernels --------------------------------------------------------------------------------------


class Kernel(NamedTuple):
    """The routine that computes a statement, and why that one."""

    name: str
    why: str = ""


class Context(NamedTuple):
    """What a rule may ask: shapes, and for a factorization what is known of its matrix."""

    view: View
    kind: str


Rule = Callable[[Statement, Context], Kernel]

HALF = "symmetric and definite: a third of n^3 where LU takes two"


def _constant(name: str, why: str = "") -> Rule:
    return lambda _statement, _context: Kernel(name, why)


def _matmul(_statement: Statement, context: Context) -> Kernel:
    left, right = context.view.operands
    if len(left) == len(right) == 1:
        return Kernel("dot")
    if 1 in (len(left), len(right)) and max(len(left), len(right)) == 2:
        return Kernel("gemv", "memory sets the time, every entry is read once")
    if context.view.mirrored:
        return Kernel("syrk", "a matrix times its own transpose: half of the multiplications")
    if max(len(left), len(right)) > 2:
        return Kernel("gemm", "one for each index of the leading axes")
    return Kernel("gemm")


def _factorize(_statement: Statement, context: Context) -> Kernel:
    if context.kind == "spd":
        return Kernel("potrf", HALF)
    if context.kind == "symmetric":
        return Kernel("potrf, else getrf", "symmetric, so that it may be definite; LU where it is not")
    return Kernel("getrf", "LU, for nothing is known of the matrix")


def _solve_factorized(_statement: Statement, context: Context) -> Kernel:
    routine = "potrs" if context.kind else "getrs"
    return Kernel(routine, "the factorization is there, and no inverse is formed")


def _solve(_statement: Statement, _context: Context) -> Kernel:
    return Kernel("getrf + getrs", "LU, for nothing is known of the matrix; no inverse is formed")


def _inverse(_statement: Statement, context: Context) -> Kernel:
    if context.kind in ("lower", "upper"):
        return Kernel("trtri", "triangular: no factorization")
    if context.kind == "diagonal":
        return Kernel("np.reciprocal", "diagonal")
    if context.kind:
        return Kernel("potrf + potri", f"{HALF}, and the inverse is needed itself")
    return Kernel("getrf + getri", "the inverse is needed itself")


def _inverse_factorized(_statement: Statement, context: Context) -> Kernel:
    return Kernel("potri" if context.kind else "getri", "the factorization is there, and the inverse is needed itself")


def _triangle(vector: str, matrix: str, why: str) -> Rule:
    """One routine for vectors, another for matrices."""
    return lambda _statement, context: Kernel(matrix if len(context.view.operands[1]) > 1 else vector, why)


def _functions(statement: Statement, _context: Context) -> Kernel:
    return Kernel(" + ".join(dict.fromkeys(functions_of(str(statement.parameters[1])))))


def _first(statement: Statement, _context: Context) -> Kernel:
    name = str(statement.parameters[0])
    return Kernel(f"{name}.reduce" if statement.operation == "reduce" else name)


def _numpy(name: str) -> Rule:
    return lambda _statement, _context: Kernel(f"np.{name}")


ONE_TRIANGLE = "one triangle of a symmetric matrix is enough"
TRIANGULAR = "triangular: no factorization"

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **{name: _numpy(name) for name in ("add", "subtract", "multiply", "divide", "square", "sqrt", "power")},
        "negate": _numpy("negative"),
        "map": _functions,
        "call": _functions,
        "ufunc": _first,
        "reduce": _first,
        "sum": _numpy("add.reduce"),
        "matmul": _matmul,
        "weighted_gram": _constant(
            "weighted_gram",
            "X^T diag(w) X by syrk, half of the multiplications, where no weight is negative, else gemm",
        ),
        "stack": _constant("concatenate", "the steps of a recurrence in one array take one product for all of them"),
        "outer": _constant("gemm", "an outer product of this size is quicker as a product of matrices"),
        "outer_slices": _constant("gemm", "outer products of this size are quicker as products of matrices"),
        "inner": _constant("dot"),
        "tensordot": _constant("gemm", "the axes that are summed are brought together"),
        "factorize": _factorize,
        "solve_factorized": _solve_factorized,
        "solve": _solve,
        "solve_symmetric": _constant("potrf, else getrf, + solve", "symmetric, so that it may be definite"),
        "solve_spd": _constant("potrf + potrs", HALF),
        "solve_lower": _constant("trtrs", TRIANGULAR),
        "solve_upper": _constant("trtrs", TRIANGULAR),
        "solve_diagonal": _constant("np.divide", "diagonal"),
        "inverse": _inverse,
        "inverse_factorized": _inverse_factorized,
        "inverse_triangle": _constant("potri", ONE_TRIANGLE),
        "triangle_times": _triangle("symv", "symm", ONE_TRIANGLE),
        "triangle_update": _triangle("syr", "syrk", ONE_TRIANGLE),
        "triangle_inner": _constant("triangle_inner", ONE_TRIANGLE),
        "mirrored": _constant("mirrored", "a result is a whole matrix"),
        "determinant_factorized": _constant("np.prod", "of the diagonal of the factorization that is there"),
        "log_determinant_factorized": _constant("np.log", "of the diagonal of the factorization that is there"),
    }
)
"""The routine of a statement, by its operation; others are called what their operation is."""


def kernel_of(statement: Statement, view: View, kind: str = "") -> Kernel:
    """The routine that computes a statement, and why.

    >>> kernel_of(Statement(1, "factorize", (0,), ("spd",), ()), View(((3, 3),), ()), "spd").name
    'potrf'

    Parameters
    ----------
    view: the shapes of the operands and of the result in numbers.
    kind: what is known of the matrix, or of that which was factorized: ``spd``, ``symmetric``, ``lower`` …
    """
    rule = RULES.get(statement.operation)
    return Kernel(statement.operation) if rule is None else rule(statement, Context(view, kind))


def _kind(statement: Statement, definitions: Mapping[int, Statement]) -> str:
    """What is known of the matrix of a statement."""
    origin = statement.operands[0] if statement.operands else None
    factorized = definitions.get(origin) if isinstance(origin, int) else None
    known = factorized if factorized is not None and factorized.operation == "factorize" else statement
    kind = known.parameters[0] if known.parameters else ""
    return kind if isinstance(kind, str) else ""


def _kernels(program: Program) -> list[str]:
    """Each routine with the shapes it is called for, how often, the flops of all, and why it was chosen."""
    definitions = {statement.target: statement for statement in program.statements}
    found: dict[tuple[Kernel, str], list[float]] = {}
    for statement, view in computing(program):
        shapes = " and ".join(times(shape) for shape in view.operands if shape) or times(view.result)
        work = work_of(statement, view)
        kernel = kernel_of(statement, view, _kind(statement, definitions))
        found.setdefault((kernel, shapes), []).append(work.flops + work.transcendentals)
    lines: list[str] = []
    for (kernel, shapes), works in found.items():
        often = f", {len(works)} times" if len(works) > 1 else ""
        operations = f", {short(sum(works))} operations" if sum(works) else ""
        lines.append(f"  {kernel.name} of {shapes}{often}{operations}{': ' * bool(kernel.why)}{kernel.why}")
    return lines or ["  none"]


# --- loops, buffers ---------------------------------------------------------------------------------


def _names(loop: Loop) -> str:
    """The operations of a loop, each once."""
    names = (
        placed.statement.parameters[0]
        if placed.statement.operation in ("ufunc", "map", "call")
        else placed.statement.operation
        for placed in loop.body
        if placed.statement.operation not in VIEWED
    )
    return ", ".join(dict.fromkeys(map(str, names)))


def _loops(program: Program, items: Sequence[Item], planned: Scheduled | None, machine: Machine) -> list[str]:
    """The loops over panels of rows and what they gain; where there is none, why whole passes are as quick."""
    lines: list[str] = []
    for loop in items:
        if not isinstance(loop, Loop):
            continue
        panels = -(-loop.length // loop.step)
        lines.append(f"  {panels} panels of {loop.step} of {loop.length} rows: {_names(loop)}")
        lines.append(f"    a panel stays in the cache of a core; gains {seconds(loop.gain * 1e-9)} over whole passes")
        if loop.threads > 1:
            lines.append(f"    {loop.threads} threads share the panels")
    if planned is None:
        return ["  none: the arrays are so small that a new array for every step is as quick"]
    for loop in refused(program, machine):
        panels = -(-loop.length // loop.step)
        lines.append(f"  none over {loop.length} rows for {_names(loop)}")
        if panels == 1:
            lines.append("    all rows together stay in the cache of a core")
            continue
        reason = "starting every operation again takes longer than what is read once instead of often"
        if machine.threads > loop.threads and any(placed.statement.operation in PRODUCTS for placed in loop.body):
            reason = f"{machine.threads} threads share each product of whole matrices"
        lines.append(f"    {panels} panels would lose {seconds(-loop.gain * 1e-9)}: {reason}")
    return lines or ["  none: no statements pass over the same rows of a large array one after another"]


def _shared(program: Program) -> list[str]:
    """What is computed once and used more than once."""
    uses = Counter(x for statement in program.statements for x in {*statement.operands} if isinstance(x, int))
    uses.update(result for result in {*program.results} if isinstance(result, int))
    definitions = {statement.target: statement for statement in program.statements}
    lines: list[str] = []
    for statement, view in computing(program):
        users = uses[statement.target]
        if users > 1:
            kernel = kernel_of(statement, view, _kind(statement, definitions))
            shape = times(view.result or view.operands[0] if statement.operation == "factorize" else view.result)
            lines.append(f"  {kernel.name}, {shape}: computed once, used {users} times")
    return lines or ["  nothing is needed twice"]


def _buffers(planned: Scheduled | None) -> list[str]:
    """The arrays that are kept from call to call."""
    if planned is None or not planned.buffers:
        return ["  none"]
    return [
        f"  b{number}: {times(buffer.shape)}{' truth values' * buffer.truth}, "
        f"{short(prod(buffer.shape) * (1 if buffer.truth else 8))} bytes"
        for number, buffer in enumerate(planned.buffers)
        if buffer.within is None
    ]
