"""Many small products of matrices as one: the steps of a recurrence share their weights.

A recurrence multiplies every input by the same matrix, and the gradient by that matrix is a sum of one product for each
step. Both are one product of the inputs below each other, which takes a fraction of the time of many small ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..expr.dims import Dim, Shape
from .program import Operand, Program, Statement, use_counts
from .views import remove_dead_code

FEWEST = 4
"""So many products of a kind are one."""

ROWS_ALONE = -1
"""Stands for A where a term is a sum of the rows of B."""

OFTEN = 8
"""A matrix that is multiplied with so many times by its transpose is transposed in memory."""


def batch_products(program: Program) -> Program:
    """Products of the slices of an array with one matrix, sums of products, and repeated transposes, as one each."""
    for step in (_inputs, _sums, _transposes):
        program = remove_dead_code(step(program))
    return program


Part = tuple[Operand, int]


class _Known:
    """What the rules ask of a program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.counts = use_counts(program)
        self.definitions: Mapping[int, Statement] = {statement.target: statement for statement in program.statements}
        self.places = {statement.target: place for place, statement in enumerate(program.statements)}
        self.fresh = 1 + max([*self.definitions, len(program.arguments)])

    def place(self, value: Operand) -> int:
        """Where a value is computed; arguments come first."""
        return self.places.get(value, -1) if isinstance(value, int) else -1

    def new(self) -> int:
        self.fresh += 1
        return self.fresh - 1

    def made(self, operand: Operand, operation: str) -> Statement | None:
        """The statement that makes an operand, if it is an operation of a kind."""
        statement = self.definitions.get(operand) if isinstance(operand, int) else None
        return statement if statement is not None and statement.operation == operation else None

    def shape(self, value: Operand) -> Shape:
        if not isinstance(value, int):
            return ()
        if value < len(self.program.arguments):
            return self.program.arguments[value].shape
        return self.definitions[value].shape

    def slab(self, operand: Operand) -> tuple[int, int] | None:
        """The array of three axes of which an operand is the matrix at a place of the first, and that place."""
        statement = self.made(operand, "element")
        if statement is None or statement.parameters[0] != 0 or not isinstance(statement.operands[0], int):
            return None
        place = statement.parameters[1]
        index = place.constant if isinstance(place, Dim) else None
        array = statement.operands[0]
        return None if index is None or len(self.shape(array)) != 3 else (array, index)


# --- one product for the slices of an array --------------------------------------------------------------


def _inputs(program: Program) -> Program:
    """``X_t W`` for the matrices of an array of three axes: one product of all their rows with W."""
    known = _Known(program)
    groups: dict[tuple[int, Operand], list[Statement]] = {}
    for statement in program.statements:
        slab = known.slab(statement.operands[0]) if statement.operation == "matmul" else None
        if slab is not None and len(statement.shape) == 2 and _is_given(statement.operands[1], known):
            groups.setdefault((slab[0], statement.operands[1]), []).append(statement)
    instead: dict[int, Statement] = {}
    front: list[Statement] = []
    for (array, matrix), members in groups.items():
        steps, rows, columns = known.shape(array)
        if len(members) < FEWEST or 2 * len(members) < (steps.constant or 0) or not _is_given(array, known):
            continue
        flat = Statement(known.new(), "reshape", (array,), (), (steps * rows, columns))
        width = members[0].shape[1]
        product = Statement(known.new(), "matmul", (flat.target, matrix), (), (steps * rows, width))
        front += [flat, product]
        for member in members:
            slab = known.slab(member.operands[0])
            assert slab is not None
            bounds = (0, rows * slab[1], rows * (slab[1] + 1))
            instead[member.target] = member._replace(operation="slice", operands=(product.target,), parameters=bounds)
    statements = [*front, *(instead.get(statement.target, statement) for statement in program.statements)]
    return program._replace(statements=tuple(statements))


def _is_given(operand: Operand, known: _Known) -> bool:
    """Whether an operand is an argument, so that it is there from the start."""
    return isinstance(operand, int) and operand < len(known.program.arguments)


# --- one product for a sum of products ---------------------------------------------------------------------


def _sums(program: Program) -> Program:
    """``sum_t A_t^T B_t`` as one product of the A_t and the B_t below each other; sums of columns likewise."""
    known = _Known(program)
    roots: dict[int, list[Statement]] = {}
    inner: set[int] = set()
    for statement in reversed(program.statements):
        if statement.target in inner:
            continue
        leaves, additions = _terms(statement, known)
        parts = [_part(leaf, known) for leaf in leaves]
        if len(leaves) >= FEWEST and all(part is not None for part in parts):
            inner |= additions
            roots[statement.target] = leaves
    if not roots:
        return program
    ordered = [(root, _ordered(roots[root], known)) for root in sorted(roots, key=lambda root: known.places[root])]
    wanted = [tuple(part[side] for part in parts) for _, parts in ordered for side in (0, 1)]
    stacks = _Stacks(known, wanted)
    instead = {root: stacks.product(known.definitions[root], parts) for root, parts in ordered}
    statements: list[Statement] = []
    for statement in program.statements:
        statements += instead.get(statement.target, [statement])
    return program._replace(statements=tuple(statements))


def _is_addition(statement: Statement) -> bool:
    return statement.operation == "ufunc" and statement.parameters[0] == "np.add"


def _terms(statement: Statement, known: _Known) -> tuple[list[Statement], set[int]]:
    """The terms of a sum, or of the sum of the rows of one, and the partial sums, which have no other use."""
    if _is_addition(statement) and len(statement.shape) == 2:
        return _leaves(statement, known, shared=False)
    if statement.operation != "sum" or statement.parameters != (0,):
        return [], set()
    root = known.made(statement.operands[0], "ufunc")
    if root is None or not _is_addition(root) or len(root.shape) != 2 or known.counts[root.target] > 1:
        return [], set()
    leaves, additions = _leaves(root, known, shared=True)
    rows = [leaf._replace(operation="sum", operands=(leaf.target,), parameters=(0,)) for leaf in leaves]
    return rows, {root.target, *additions}


def _leaves(root: Statement, known: _Known, *, shared: bool) -> tuple[list[Statement], set[int]]:
    """The terms of a sum, which may have other uses or not, and its partial sums, which have none."""
    leaves: list[Statement] = []
    additions: set[int] = set()
    pending: list[Operand] = list(root.operands)
    while pending:
        operand = pending.pop()
        statement = known.definitions.get(operand) if isinstance(operand, int) else None
        if statement is None or statement.shape != root.shape:
            return [], set()
        once = known.counts[statement.target] == 1
        if _is_addition(statement) and once:
            additions.add(statement.target)
            pending += statement.operands
        elif once or shared:
            leaves.append(statement)
        else:
            return [], set()
    return leaves, additions


def _part(leaf: Statement, known: _Known) -> Part | None:
    """A and B of a term ``A^T B``; B alone of a sum of the rows of B."""
    if leaf.operation == "sum" and leaf.parameters == (0,) and len(known.shape(leaf.operands[0])) == 2:
        (operand,) = leaf.operands
        return (ROWS_ALONE, operand) if isinstance(operand, int) else None
    if leaf.operation != "matmul" or len(leaf.shape) != 2:
        return None
    turned = known.made(leaf.operands[0], "transpose")
    right = leaf.operands[1]
    if turned is None or not isinstance(right, int) or len(known.shape(turned.operands[0])) != 2:
        return None
    return turned.operands[0], right


def _ordered(leaves: Sequence[Statement], known: _Known) -> list[Part]:
    """The terms of a sum by time: what a recurrence computes last belongs to its first step."""
    parts = [part for part in (_part(leaf, known) for leaf in leaves) if part is not None]
    return sorted(parts, key=lambda part: -known.place(part[1]))


class _Stacks:
    """Arrays with matrices below each other; one that is part of another is cut out of it.

    ``wanted`` are all that are needed, so that the longest is made where it can be.
    """

    def __init__(self, known: _Known, wanted: Sequence[tuple[Operand, ...]]) -> None:
        self.known = known
        self.wanted = sorted({key for key in wanted if key[0] != ROWS_ALONE}, key=lambda key: (-len(key), key))
        self.made: dict[tuple[Operand, ...], int] = {}

    def product(self, root: Statement, parts: Sequence[Part]) -> list[Statement]:
        """The statements that take the place of a sum."""
        known = self.known
        lines: list[Statement] = []
        right = self.stack([part[1] for part in parts], root, lines)
        if parts[0][0] == ROWS_ALONE:
            lines.append(root._replace(operation="sum", operands=(right,), parameters=(0,)))
            return lines
        left = self.stack([part[0] for part in parts], root, lines)
        rows, columns = known.shape(parts[0][0])
        turned = Statement(known.new(), "transpose", (left,), (1, 0), (columns, rows * len(parts)))
        lines.append(turned)
        lines.append(root._replace(operation="matmul", operands=(turned.target, right), parameters=()))
        return lines

    def stack(self, values: Sequence[Operand], root: Statement, lines: list[Statement]) -> int:
        """The array of some matrices below each other."""
        known = self.known
        rows, columns = known.shape(values[0])
        slabs = [slab for slab in (known.slab(value) for value in values) if slab is not None]
        if len(slabs) == len(values):
            array, start = slabs[0]
            if slabs == [(array, start + k) for k in range(len(slabs))]:
                shape = (known.shape(array)[0] * rows, columns)
                flat = Statement(known.new(), "reshape", (array,), (), shape)
                lines.append(flat)
                return self.cut(flat, start, len(values), rows, lines)
        key = tuple(values)
        place = known.places[root.target]
        for whole in self.wanted:
            starts = [start for start in range(len(whole) - len(key) + 1) if whole[start : start + len(key)] == key]
            there = whole in self.made or all(known.place(value) < place for value in whole)
            if starts and there:
                shape = (rows * len(whole), columns)
                if whole not in self.made:
                    self.made[whole] = known.new()
                    lines.append(Statement(self.made[whole], "stack", whole, (), shape))
                stacked = Statement(self.made[whole], "stack", whole, (), shape)
                return self.cut(stacked, starts[0], len(key), rows, lines)
        raise AssertionError("what is wanted can be made where it is wanted")

    def cut(self, whole: Statement, start: int, count: int, rows: Dim, lines: list[Statement]) -> int:
        """The rows of some matrices of an array."""
        shape = (rows * count, whole.shape[1])
        if shape == whole.shape:
            return whole.target
        part = Statement(self.known.new(), "slice", (whole.target,), (0, rows * start, rows * (start + count)), shape)
        lines.append(part)
        return part.target


# --- one transpose -------------------------------------------------------------------------------------------


def _transposes(program: Program) -> Program:
    """A small matrix whose transpose stands on the right of many products, transposed once in memory."""
    known = _Known(program)
    uses: dict[int, int] = {}
    for statement in program.statements:
        right = statement.operands[1] if statement.operation == "matmul" else None
        if isinstance(right, int) and known.made(right, "transpose") is not None:
            uses[right] = uses.get(right, 0) + 1
    copies = {value: known.new() for value, count in uses.items() if count >= OFTEN}
    statements: list[Statement] = []
    for statement in program.statements:
        operands = tuple(statement.operands)
        if statement.operation == "matmul" and operands[1] in copies:
            statement = statement._replace(operands=(operands[0], copies[operands[1]]))  # type: ignore[index]
        statements.append(statement)
        if statement.target in copies:
            statements.append(Statement(copies[statement.target], "copy", (statement.target,), (), statement.shape))
    return program._replace(statements=tuple(statements))
