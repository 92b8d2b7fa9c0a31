"""Arrays that are not needed any more hold the next result."""

from __future__ import annotations

from collections.abc import Mapping

from .program import Program, Statement
from .views import is_fresh, may_be_view

OVERWRITE = "overwrite"
"""The last parameter of a statement that may write to an operand, which nothing behind it reads."""

WRITERS = {
    "factorize": 0, "inverse_factorized": 0, "inverse_triangle": 0, "triangle_update": 0, "mirrored": 0,
    "add_diagonal": 0, "solve_factorized": 1,
}  # fmt: skip
"""Operations that can put their value in the place of an operand, and of which."""

ONLY_DIAGONAL = frozenset({"determinant_factorized", "log_determinant_factorized"})
"""What reads no more of a factorization than its diagonal, which is kept apart."""


def overwrite_dead(program: Program) -> Program:
    """Say which statements may write to an operand: an array made here whose last use they are.

    A value that is written where it is used is computed there, so that inlining has been decided before.
    """
    if not any(statement.operation in WRITERS for statement in program.statements):
        return program
    definitions = {statement.target: statement for statement in program.statements}
    times = _times(program)
    aliases = _aliases(program)
    readers: dict[int, list[int]] = {}
    for statement in program.statements:
        if statement.operation not in ONLY_DIAGONAL:
            for read in statement.operands:
                if isinstance(read, int):
                    readers.setdefault(read, []).append(statement.target)
    returned = {result for result in program.results if isinstance(result, int)}
    rewritten: list[Statement] = []
    for statement in program.statements:
        place = WRITERS.get(statement.operation)
        operand = statement.operands[place] if place is not None else None
        if isinstance(operand, int) and operand in definitions:
            sharing = aliases.get(operand, {operand})
            others = [reader for value in sharing for reader in readers.get(value, ()) if reader not in sharing]
            first = min(times[statement.target], default=-1)
            before = all(reader == statement.target or max(times[reader], default=-1) < first for reader in others)
            once = others.count(statement.target) == 1 and not sharing & returned
            # a vector is not worth a word
            if once and before and _is_own(operand, definitions) and len(statement.shape) != 1:
                statement = statement._replace(parameters=(*statement.parameters, OVERWRITE))
        rewritten.append(statement)
    return program._replace(statements=tuple(rewritten))


def _is_own(operand: int, definitions: Mapping[int, Statement]) -> bool:
    """Whether a value is an array of its own, or the transpose of one."""
    origin = definitions.get(operand)
    if origin is not None and origin.operation == "transpose" and isinstance(origin.operands[0], int):
        origin = definitions.get(origin.operands[0])
    return origin is not None and is_fresh(origin)


def _times(program: Program) -> dict[int, set[int]]:
    """When each value is computed: the places of the statements in whose text it is written."""
    times: dict[int, set[int]] = {}
    for place in range(len(program.statements) - 1, -1, -1):
        statement = program.statements[place]
        if statement.target not in program.inlined:
            times[statement.target] = {place}
        own = times.setdefault(statement.target, {len(program.statements)})
        for operand in statement.operands:
            if operand in program.inlined and isinstance(operand, int):
                times.setdefault(operand, set()).update(own)
    for result in program.results:
        if isinstance(result, int) and result in program.inlined:
            times[result].add(len(program.statements))
    return times


def _aliases(program: Program) -> dict[int, set[int]]:
    """For every value that others share memory with, these and itself."""
    groups: dict[int, set[int]] = {}
    for statement in program.statements:
        if not may_be_view(statement):
            continue
        source = next((operand for operand in statement.operands if isinstance(operand, int)), None)
        if source is not None:
            group = groups.setdefault(source, {source})
            group.add(statement.target)
            groups[statement.target] = group
    return groups


def not_in_place(program: Program) -> Program:
    """A program whose statements may be put in another order."""
    statements = [
        statement._replace(parameters=statement.parameters[:-1])
        if statement.operation in WRITERS and statement.parameters[-1:] == (OVERWRITE,)
        else statement
        for statement in program.statements
    ]
    return program._replace(statements=tuple(statements))
