"""One factorization for everything that is asked of a matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .program import Operand, Program, Statement, use_counts
from .views import remove_dead_code

FACTORIZED = {"inv": "inverse", "logdet": "log_determinant", "det": "determinant"}
"""Functions of a matrix that its factorization gives, and how they are called then."""

SOLVES = {"solve": "", "solve_symmetric": "symmetric", "solve_spd": "spd"}
"""Systems of equations that a factorization solves, and what they say of the matrix."""

KINDS = ("", "symmetric", "spd")
"""What may be known of a matrix that is factorized, the most useful last."""


def share_factorizations(program: Program) -> Program:
    """Factorize a matrix once when it is inverted, or solved with and that or its determinant is needed again."""
    definitions = {statement.target: statement for statement in program.statements}
    uses: dict[int, list[_Use]] = {}
    for statement in program.statements:
        use = _matrix_use(statement, definitions)
        if use is not None:
            uses.setdefault(use.matrix, []).append(use)
    shared = {matrix for matrix, found in uses.items() if _worth_sharing(found)}
    if not shared:
        return program
    fresh = 1 + max(statement.target for statement in program.statements)
    factorizations: dict[int, int] = {}
    rewritten: list[Statement] = []
    for statement in program.statements:
        use = _matrix_use(statement, definitions)
        if use is None or use.matrix not in shared:
            rewritten.append(statement)
            continue
        kind = max((other.kind for other in uses[use.matrix]), key=KINDS.index)
        if use.matrix not in factorizations:
            factorizations[use.matrix] = fresh
            rewritten.append(Statement(fresh, "factorize", (use.matrix,), (kind,), ()))
            fresh += 1
        operands = (factorizations[use.matrix], *statement.operands[1:])
        operation = f"{use.function}_factorized"
        parameters = (int(use.transposed and not kind),) if use.function == "solve" else (kind,)
        rewritten.append(statement._replace(operation=operation, operands=operands, parameters=parameters))
    return remove_dead_code(program._replace(statements=tuple(rewritten)))


@dataclass(frozen=True, slots=True)
class _Use:
    """What a statement wants of a matrix, ``solve``, ``inverse``, ``determinant`` …, and what it says of it."""

    matrix: int
    function: str
    kind: str
    transposed: bool = False


def _matrix_use(statement: Statement, definitions: Mapping[int, Statement]) -> _Use | None:
    if not statement.operands or not isinstance(statement.operands[0], int):
        return None
    matrix = statement.operands[0]
    kind = SOLVES.get(statement.operation)
    if kind is not None and len(statement.shape) <= 2:
        origin = definitions.get(matrix)
        turned = origin is not None and origin.operation == "transpose" and len(origin.shape) == 2
        if origin is not None and turned and isinstance(origin.operands[0], int):
            return _Use(origin.operands[0], "solve", kind, transposed=True)
        return _Use(matrix, "solve", kind)
    if statement.operation != "call" or len(statement.operands) != 1:
        return None
    name, _, facts = statement.parameters
    if name not in FACTORIZED or len(statement.shape) != (2 if name == "inv" else 0):
        return None
    assert isinstance(name, str)
    if facts not in KINDS:
        return None
    assert isinstance(facts, str)
    return _Use(matrix, FACTORIZED[name], facts)


def _worth_sharing(uses: Sequence[_Use]) -> bool:
    if len(uses) == 1:
        return uses[0].function == "inverse"
    # a determinant alone is defined for singular matrices too
    return any(use.function in ("solve", "inverse") for use in uses)


MINORS = {"det": "determinant_of({0})", "adj": "adjugate_of({0})"}
"""Functions that a matrix with all its minors gives, and how they are called then."""


def share_minors(program: Program) -> Program:
    """Compute a determinant with the adjugate, which is its slope, where that is needed too."""
    wanted = {statement.operands[0] for statement in program.statements if _minor(statement) == "adj"}
    if not wanted:
        return program
    fresh = 1 + max(statement.target for statement in program.statements)
    shared: dict[Operand, int] = {}
    # a second name of the adjugate would be the same array, which results may not share
    taken: set[tuple[str, Operand]] = set()
    rewritten: list[Statement] = []
    for statement in program.statements:
        name = _minor(statement)
        if name and statement.operands[0] in wanted:
            (matrix,) = statement.operands
            if (name, matrix) in taken:
                rewritten.append(statement)
                continue
            taken.add((name, matrix))
            if matrix not in shared:
                shared[matrix] = fresh
                rewritten.append(Statement(fresh, "call", (matrix,), ("minors", "minors({0})", ""), ()))
                fresh += 1
            statement = statement._replace(operands=(shared[matrix],), parameters=(name, MINORS[name], ""))
        rewritten.append(statement)
    return program._replace(statements=tuple(rewritten))


def _minor(statement: Statement) -> str:
    """The name of a function that minors give, else nothing."""
    if statement.operation != "call" or len(statement.operands) != 1:
        return ""
    name = str(statement.parameters[0]).removeprefix("smooth_")
    return name if len(statement.shape) == {"det": 0, "adj": 2}.get(name) else ""


def name_inverses(program: Program) -> Program:
    """Write an inverse that is all that is wanted of a matrix in one step, and that of a triangle as such."""
    if not any(statement.operation in ("inverse_factorized", "call") for statement in program.statements):
        return program
    counts = use_counts(program)
    definitions = {statement.target: statement for statement in program.statements}
    rewritten: list[Statement] = []
    for statement in program.statements:
        if statement.operation == "inverse_factorized":
            origin = statement.operands[0]
            assert isinstance(origin, int)
            if counts[origin] == 1:
                factorization = definitions[origin]
                operands, parameters = factorization.operands, factorization.parameters
                statement = statement._replace(operation="inverse", operands=operands, parameters=parameters)
        elif statement.operation == "call" and statement.parameters[0] == "inv" and len(statement.shape) == 2:
            statement = statement._replace(operation="inverse", parameters=statement.parameters[2:])
        rewritten.append(statement)
    return remove_dead_code(program._replace(statements=tuple(rewritten)))
