"""Small passes from program to program, each one pure and testable alone, and the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from .adjoints import share_adjoints
from .low_rank import split_products
from .overwriting import overwrite_dead
from .program import Literal, Operand, Program, Statement, use_counts
from .sharing import name_inverses, share_factorizations, share_minors
from .symmetric import keep_triangles
from .views import FREE, may_be_view, remove_dead_code

Pass = Callable[[Program], Program]

NOTHING = Literal(0.0)
"""Stands for the value that a statement multiplies by a number where it does not."""

MAX_DEPTH = 6
MAX_PARTS = 12


def turn_products(program: Program) -> Program:
    """Write ``(A @ B.T).T`` as ``B @ A.T`` where that takes fewer transposes."""
    counts = use_counts(program)
    definitions = {statement.target: statement for statement in program.statements}
    fresh = 1 + max([*definitions, len(program.arguments)])
    rewritten: list[Statement] = []
    for statement in program.statements:
        product = _turned_product(statement, definitions)
        if product is None or counts[product.target] > 1:
            rewritten.append(statement)
            continue
        left, right = product.operands
        turned: list[Operand] = []
        extra: list[Statement] = []
        for number, operand in enumerate((right, left)):
            inner = _untransposed(operand, definitions)
            if inner is not None:
                turned.append(inner)
                continue
            shape = (statement.shape[0], product.shape[0]) if number else (product.shape[1], statement.shape[1])
            extra.append(Statement(fresh, "transpose", (operand,), (1, 0), shape))
            turned.append(fresh)
            fresh += 1
        if len(extra) >= 1 + 2 - len(extra):
            rewritten.append(statement)
            continue
        rewritten += [*extra, Statement(statement.target, "matmul", tuple(turned), (), statement.shape)]
    return remove_dead_code(program._replace(statements=tuple(rewritten)))


def _turned_product(statement: Statement, definitions: Mapping[int, Statement]) -> Statement | None:
    """The matrix product that a statement transposes."""
    if statement.operation != "transpose" or statement.parameters != (1, 0):
        return None
    operand = statement.operands[0]
    product = definitions.get(operand) if isinstance(operand, int) else None
    return product if product is not None and product.operation == "matmul" and len(product.shape) == 2 else None


def _untransposed(operand: Operand, definitions: Mapping[int, Statement]) -> Operand | None:
    """What a value is the transpose of."""
    origin = definitions.get(operand) if isinstance(operand, int) else None
    if origin is None or origin.operation != "transpose" or origin.parameters != (1, 0):
        return None
    return origin.operands[0]


EXPONENTIAL = {"softmax": "softmax_of", "log_softmax": "log_softmax_of", "logsumexp": "logsumexp_of"}
"""Functions along the last axis that share the largest entry and the exponentials, and how they are called then."""


def share_exponentials(program: Program) -> Program:
    """Take the exponentials once for the softmax, its logarithm and the log-sum-exp of one value."""
    uses: dict[Operand, int] = {}
    for statement in program.statements:
        if _exponential(statement):
            uses[statement.operands[0]] = uses.get(statement.operands[0], 0) + 1
    if all(count == 1 for count in uses.values()):
        return program
    fresh = 1 + max(statement.target for statement in program.statements)
    shared: dict[Operand, int] = {}
    rewritten: list[Statement] = []
    for statement in program.statements:
        name = _exponential(statement)
        if not name or uses[statement.operands[0]] == 1:
            rewritten.append(statement)
            continue
        (operand,) = statement.operands
        if operand not in shared:
            shared[operand] = fresh
            parameters = ("exponentials", "exponentials({0})", "")
            rewritten.append(Statement(fresh, "call", (operand,), parameters, ()))
            fresh += 1
        form = f"{EXPONENTIAL[name]}({{0}})"
        rewritten.append(statement._replace(operands=(shared[operand],), parameters=(name, form, "")))
    return program._replace(statements=tuple(rewritten))


def _exponential(statement: Statement) -> str:
    """The name of a function along the last axis that exponentials give, else nothing."""
    if statement.operation != "call":
        return ""
    name, form, _ = statement.parameters
    whole = form in (f"{name}({{0}})", f"{name}({{0}}, 1)")
    return name if isinstance(name, str) and name in EXPONENTIAL and whole else ""


def bare_conditions(program: Program) -> Program:
    """Take truth values as they are where entries are selected or an array is multiplied by them."""
    definitions = {statement.target: statement for statement in program.statements}
    needed = {result for result in program.results if isinstance(result, int)}
    masks = {target for target, statement in definitions.items() if _condition(statement)}
    if not masks:
        return program
    for statement in program.statements:
        for place, operand in enumerate(statement.operands):
            if operand not in masks or not isinstance(operand, int):
                continue
            if place == 0 and _selecting(statement) == operand:
                continue
            other = statement.operands[1 - place] if statement.operation == "multiply" else None
            # a truth value times an array of floats is of their type
            if isinstance(other, int) and other not in masks and not _is_plain(other, definitions):
                continue
            needed.add(operand)
    fresh = 1 + max(statement.target for statement in program.statements)
    bare: dict[int, int] = {}
    rewritten: list[Statement] = []
    for statement in program.statements:
        condition = _condition(statement)
        if condition:
            name = statement.parameters[0]
            parameters = (f"condition {name}", condition)
            bare[statement.target] = fresh if statement.target in needed else statement.target
            rewritten.append(statement._replace(target=bare[statement.target], parameters=parameters, plain=False))
            fresh += 1
            if statement.target in needed:
                rewritten.append(statement)
            continue
        mask = _selecting(statement)
        if mask in bare:
            selected = (bare[mask], *statement.operands[1:])
            statement = statement._replace(operands=selected, parameters=("where", SELECTION))
        rewritten.append(statement)
    return remove_dead_code(program._replace(statements=tuple(rewritten)))


def _is_plain(value: int, definitions: Mapping[int, Statement]) -> bool:
    return value in definitions and definitions[value].plain


SELECTION = "np.where({0}, {1}, {2})"


def _condition(statement: Statement) -> str:
    """The comparison inside a mask, else nothing."""
    if statement.operation != "map" or statement.plain or not statement.shape:
        return ""
    form = statement.parameters[1]
    if not isinstance(form, str) or not form.startswith("mask("):
        return ""
    return form.removeprefix("mask(").partition(", ")[0]


def _selecting(statement: Statement) -> int:
    """The value by which a statement selects and for nothing else, or -1."""
    if statement.operation != "map" or statement.parameters[0] != "where" or statement.plain:
        return -1
    mask = statement.operands[0]
    return mask if isinstance(mask, int) and statement.operands.count(mask) == 1 else -1


def fold_signs(program: Program) -> Program:
    """Put a sign into the number or the difference it stands before: ``-0.5 * -x`` is ``0.5 * x``."""
    counts = use_counts(program)
    definitions: dict[int, Statement] = {}
    rewritten: list[Statement] = []
    for statement in program.statements:
        number, value = _multiple(statement)
        inner = definitions.get(value) if isinstance(value, int) and counts.get(value) == 1 else None
        factor, rest = _multiple(inner) if inner is not None else (None, value)
        if number is not None and factor is not None and 1 in (abs(number), abs(factor)) and number * factor != 1:
            statement = _multiplied(statement, number * factor, rest)
        elif statement.operation == "negate" and inner is not None and inner.operation == "subtract":
            statement = statement._replace(operation="subtract", operands=inner.operands[::-1])
        definitions[statement.target] = statement
        rewritten.append(statement)
    return remove_dead_code(program._replace(statements=tuple(rewritten)))


def _multiple(statement: Statement) -> tuple[float | None, Operand]:
    """The number and the value that a statement multiplies, if it does."""
    if statement.operation == "negate":
        return -1.0, statement.operands[0]
    if statement.operation == "multiply" and isinstance(statement.operands[0], Literal):
        return statement.operands[0].value, statement.operands[1]
    return None, NOTHING


def _multiplied(statement: Statement, number: float, value: Operand) -> Statement:
    if number == -1:
        return statement._replace(operation="negate", operands=(value,))
    return statement._replace(operation="multiply", operands=(Literal(number), value))


def own_results(program: Program) -> Program:
    """Copy results that are arguments or share memory with an argument or with another result."""
    definitions = {statement.target: statement for statement in program.statements}
    fresh = max([*definitions, len(program.arguments) - 1], default=-1) + 1
    taken: set[int] = set()
    statements = list(program.statements)
    results: list[Operand] = []
    for result in program.results:
        if not isinstance(result, int):
            results.append(result)
            continue
        owner, repeats = _owner(result, definitions)
        statement = definitions.get(result)
        shape = statement.shape if statement is not None else program.arguments[result].shape
        if shape and (owner < len(program.arguments) or owner in taken or repeats):
            statements.append(Statement(fresh, "copy", (result,), (), shape))
            results.append(fresh)
            fresh += 1
            continue
        taken.add(owner)
        results.append(result)
    return program._replace(statements=tuple(statements), results=tuple(results))


def _owner(value: int, definitions: dict[int, Statement]) -> tuple[int, bool]:
    """The value whose memory a value may share, and whether entries are repeated on the way."""
    repeats = False
    while True:
        statement = definitions.get(value)
        if statement is None or not may_be_view(statement):
            return value, repeats
        repeats = repeats or statement.operation in ("broadcast", "diagonal")
        source = next((operand for operand in statement.operands if isinstance(operand, int)), None)
        if source is None:
            return value, repeats
        value = source


class _Extent(NamedTuple):
    """How deep an inlined expression is and how many names and numbers it has."""

    depth: int
    parts: int


def inline_expressions(program: Program) -> Program:
    """Choose the values that are written where they are used: used once, and short, or free to repeat.

    A value stays named when the statement that uses it would mention it twice, and when the expression would be
    deeper or longer than a reader or the compiler of the language can take.
    """
    counts = use_counts(program)
    definitions = {statement.target: statement for statement in program.statements}
    results = set(program.results) if len(program.results) > 1 else set()
    kept = _mentioned_twice(program) | results
    inlined: set[int] = set()
    extents: dict[int, _Extent] = {}
    for statement in program.statements:
        depth, parts = 1, max(len(statement.operands), 1)
        candidates = {operand for operand in statement.operands if isinstance(operand, int) and operand in definitions}
        for operand in sorted(candidates, key=lambda operand: (extents[operand].parts, operand)):
            extent = extents[operand]
            if definitions[operand].operation in FREE and extent.parts == 1 and operand not in results:
                inlined.add(operand)
                continue
            if counts[operand] > 1 or operand in kept:
                continue
            if statement.operation in FREE and counts[statement.target] > 1:
                # what is written at each use is a name and no computation
                continue
            grown = extent.depth + int(statement.operation not in ("add", "subtract"))
            if grown > MAX_DEPTH or parts + extent.parts - 1 > MAX_PARTS:
                continue
            inlined.add(operand)
            parts += extent.parts - 1
            depth = max(depth, grown)
        extents[statement.target] = _Extent(depth, parts)
    return program._replace(inlined=frozenset(inlined))


def _mentioned_twice(program: Program) -> set[int]:
    """Values that the text of some statement mentions more than once."""
    found: set[int] = set()
    for statement in program.statements:
        if statement.operation in ("map", "call"):
            template = statement.parameters[1]
            assert isinstance(template, str)
            for place, operand in enumerate(statement.operands):
                if isinstance(operand, int) and template.count(f"{{{place}}}") != 1:
                    found.add(operand)
        operands = statement.operands
        if len({*operands}) < len(operands):
            found.update([value for value in operands if isinstance(value, int) and operands.count(value) > 1])
    return found


PIPELINE: tuple[Pass, ...] = (
    remove_dead_code,
    turn_products,
    split_products,
    share_adjoints,
    share_minors,
    share_factorizations,
    keep_triangles,
    name_inverses,
    fold_signs,
    share_exponentials,
    bare_conditions,
    own_results,
    inline_expressions,
    overwrite_dead,
)


def optimize(program: Program, passes: tuple[Pass, ...] = PIPELINE) -> Program:
    """Run the passes in order."""
    for step in passes:
        program = step(program)
    return program
