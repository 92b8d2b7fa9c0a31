"""Which values share memory with their operands, which are arrays of their own, and which nobody uses."""

from __future__ import annotations

from .program import Program, Statement

VIEWS = frozenset({"transpose", "expand", "diagonal", "slice", "element", "reshape", "broadcast"})
"""Operations whose value may share memory with their operand."""

FREE = frozenset({"transpose", "expand"})
"""Operations that cost so little that they are written again at each use."""

FRESH = frozenset(
    {
        "add", "subtract", "multiply", "divide", "negate", "square", "sqrt", "power", "matmul", "tensordot", "map",
        "copy", "ufunc", "add_diagonal", "factorize", "solve_factorized", "inverse_triangle", "triangle_times",
        "triangle_update", "mirrored",
    }
)  # fmt: skip
"""Operations whose value is an array of its own."""


def may_be_view(statement: Statement) -> bool:
    """Whether the value of a statement may share memory with its first operand."""
    if statement.operation in ("map", "call"):
        template = statement.parameters[1]
        return isinstance(template, str) and not template.endswith(")") and template.startswith("{")
    return statement.operation in VIEWS


def is_fresh(statement: Statement) -> bool:
    """Whether the value of a statement is an array that nothing else refers to."""
    return statement.operation in FRESH and not statement.plain and not may_be_view(statement)


def remove_dead_code(program: Program) -> Program:
    """Leave out statements whose value nobody uses."""
    used = {*program.results}
    kept: list[Statement] = []
    for statement in reversed(program.statements):
        if statement.target in used:
            kept.append(statement)
            used.update(statement.operands)
    if len(kept) == len(program.statements):
        return program
    return program._replace(statements=tuple(reversed(kept)))
