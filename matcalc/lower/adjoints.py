"""Products with a transpose that a gradient needs anyway serve the value too."""

from __future__ import annotations

from collections.abc import Mapping

from .program import Operand, Program, Statement, use_counts
from .views import remove_dead_code

Adjoints = Mapping[tuple[Operand, Operand], tuple[Statement, Statement]]
"""For a matrix M and a vector v: the transpose of M, and its product with v."""


def share_adjoints(program: Program) -> Program:
    """``v^T (M z) = (M^T v)^T z`` where ``M^T v`` is computed too and ``M z`` is not needed for anything else."""
    definitions = {statement.target: statement for statement in program.statements}
    adjoints = _adjoints(program, definitions)
    if not adjoints:
        return program
    counts = use_counts(program)
    statements: list[Statement] = []
    known = set(range(len(program.arguments)))
    for statement in program.statements:
        found = _instead(statement, definitions, counts, adjoints, known)
        for part in found or (statement,):
            if part.target not in known:
                known.add(part.target)
                statements.append(part)
    return remove_dead_code(program._replace(statements=tuple(statements)))


def _vector(operand: Operand, definitions: Mapping[int, Statement]) -> Statement | None:
    """The product of a matrix and a vector that an operand is."""
    found = definitions.get(operand) if isinstance(operand, int) else None
    return found if found is not None and found.operation == "matmul" and len(found.shape) == 1 else None


def _adjoints(program: Program, definitions: Mapping[int, Statement]) -> Adjoints:
    found: dict[tuple[Operand, Operand], tuple[Statement, Statement]] = {}
    for statement in program.statements:
        if _vector(statement.target, definitions) is None or not isinstance(statement.operands[0], int):
            continue
        turned = definitions.get(statement.operands[0])
        if turned is not None and turned.operation == "transpose":
            found[turned.operands[0], statement.operands[1]] = turned, statement
    return found


def _instead(
    statement: Statement,
    definitions: Mapping[int, Statement],
    counts: Mapping[int, int],
    adjoints: Adjoints,
    known: set[int],
) -> tuple[Statement, ...]:
    """The statements that take the place of an inner product with a product that has no other use."""
    if statement.operation != "matmul" or statement.shape:
        return ()
    for left, right in (statement.operands, statement.operands[::-1]):
        product = _vector(right, definitions)
        if product is None or counts[product.target] > 1:
            continue
        matrix, vector = product.operands
        if (matrix, left) in adjoints and matrix in known and left in known:
            turned, adjoint = adjoints[matrix, left]
            return turned, adjoint, statement._replace(operands=(adjoint.target, vector))
    return ()
