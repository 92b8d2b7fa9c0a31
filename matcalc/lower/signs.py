"""Signs where they cost least: in a difference, in a number, or on the smallest factor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from types import MappingProxyType

from ..expr.dims import Shape
from .program import Literal, Operand, Program, Statement, use_counts
from .views import VIEWS

LINEAR = frozenset(
    {"matmul", "inner", "tensordot", "sum", "trace", "transpose", "expand", "diagonal", "reshape", "element", "slice"}
)
"""Operations, other than ufuncs, through which the signs of their operands pass."""

ODD = frozenset(
    {"np.tanh", "np.sin", "np.tan", "np.arctan", "np.sinh", "np.arcsinh", "np.arcsin", "np.cbrt", "np.sign"}
)  # fmt: skip
EVEN = frozenset({"np.abs", "np.cos", "np.cosh"})
"""Ufuncs of one value: ``f(-x) = -f(x)`` and ``f(-x) = f(x)``."""

COMPARISONS = frozenset(
    {"np.greater", "np.greater_equal", "np.less", "np.less_equal", "np.equal", "np.not_equal"}
)  # fmt: skip
"""Ufuncs whose value is a truth value unless it is stored as a number."""

MIRRORED: Mapping[str, str] = MappingProxyType(
    {
        "np.maximum": "np.minimum",
        "np.minimum": "np.maximum",
        "np.greater": "np.less",
        "np.less": "np.greater",
        "np.greater_equal": "np.less_equal",
        "np.less_equal": "np.greater_equal",
        "np.equal": "np.equal",
        "np.not_equal": "np.not_equal",
    }
)
"""What a ufunc of two becomes when the signs of both operands change; `maximum` and `minimum` change theirs."""

DEEPEST = 12
"""How many operations a sign is moved across."""

MUCH_SMALLER = 4
"""How many times fewer entries a factor has for which a sign is worth a step of its own."""

Signed = tuple[Operand, bool]
"""A value, and whether its negative is meant."""


USUAL_SIZE = 100
"""What a named size counts as."""


def is_truth(statement: Statement) -> bool:
    """Whether the value of a statement is computed as truth values."""
    return statement.operation == "ufunc" and statement.parameters[1] == "truth"


def are_truths(value: Operand, definitions: Mapping[int, Statement]) -> bool:
    """Whether a value is made of truth values, which NumPy does not negate.

    >>> compared = Statement(1, "ufunc", (0, Literal(0.0)), ("np.greater", "truth"), ())
    >>> turned = Statement(2, "transpose", (1,), (1, 0), ())
    >>> are_truths(2, {1: compared, 2: turned}), are_truths(0, {1: compared, 2: turned})
    (True, False)
    """
    statement = definitions.get(value) if isinstance(value, int) else None
    while statement is not None and statement.operation in VIEWS:
        source = statement.operands[0]
        statement = definitions.get(source) if isinstance(source, int) else None
    return statement is not None and is_truth(statement)


def unsigned(name: str, operands: Sequence[Signed]) -> tuple[str, list[Signed], bool]:
    """A ufunc with as few signs on its operands as there can be, and whether its value then has the other sign.

    >>> unsigned("np.add", [(3, False), (4, True)])
    ('np.subtract', [(3, False), (4, False)], False)
    """
    values = [operand for operand, _ in operands]
    signs = [sign for _, sign in operands]
    plain = [(value, False) for value in values]
    if name in ("np.multiply", "np.divide"):
        return name, plain, signs[0] != signs[1]
    if name in ODD:
        return name, plain, signs[0]
    if name in EVEN:
        return name, plain, False
    if name == "np.add" and any(signs):
        if all(signs):
            return name, plain, True
        return "np.subtract", plain if signs[1] else plain[::-1], False
    if name == "np.subtract" and any(signs):
        if all(signs):
            return name, plain[::-1], False
        # x - (-y) = x + y, -x - y = -(x + y)
        return "np.add", plain, signs[0]
    if name in MIRRORED and any(signs):
        zero = [isinstance(value, Literal) and value.value == 0 for value in values]
        if all(sign or is_zero for sign, is_zero in zip(signs, zero, strict=True)):
            return MIRRORED[name], plain, name not in COMPARISONS
    if name == "np.subtract" and isinstance(values[1], Literal):
        # one form for x - c and c - x
        return name, plain[::-1], True
    return name, list(operands), False


def place_signs(program: Program) -> Program:
    """Move the signs that are computed as steps of their own to where they cost nothing, or little."""
    signs = [s for s in program.statements if s.operation == "ufunc" and s.parameters[0] == "np.negative"]
    for statement in signs:
        program = _moved(program, statement)
    return program


def _moved(program: Program, sign: Statement) -> Program:
    counts = use_counts(program)
    (value,) = sign.operands
    if not isinstance(value, int) or counts.get(value) != 1:
        return program
    search = _Search({statement.target: statement for statement in program.statements}, counts, program)
    changed = search.free(value, 0)
    if changed is None:
        changed = search.cheapest(value, prod_of(sign.shape))
    if changed is None:
        return program
    statements: list[Statement] = []
    for statement in program.statements:
        if statement.target == sign.target:
            continue
        operands = tuple(value if operand == sign.target else operand for operand in statement.operands)
        statements += search.extra.get(statement.target, [])
        statements.append(changed.get(statement.target, statement._replace(operands=operands)))
    results = tuple(value if result == sign.target else result for result in program.results)
    return program._replace(statements=tuple(statements), results=results)


def prod_of(shape: Shape) -> int:
    """The entries of a shape; a named size counts as a usual one."""
    return prod(USUAL_SIZE if dim.constant is None else dim.constant for dim in shape)


class _Search:
    """Looks for a place where a sign costs nothing, or least, among the steps that lead to one value alone."""

    def __init__(self, definitions: Mapping[int, Statement], counts: Mapping[int, int], program: Program) -> None:
        self.definitions = definitions
        self.counts = counts
        self.shapes = {k: argument.shape for k, argument in enumerate(program.arguments)}
        self.shapes.update((statement.target, statement.shape) for statement in program.statements)
        self.fresh = 1 + max(self.shapes)
        self.extra: dict[int, list[Statement]] = {}

    def own(self, value: Operand) -> Statement | None:
        """The statement of a value that is used once."""
        if not isinstance(value, int) or self.counts.get(value) != 1:
            return None
        return self.definitions.get(value)

    def free(self, value: Operand, depth: int) -> dict[int, Statement] | None:
        """The statements that change so that a value has the other sign, at no cost."""
        statement = self.own(value)
        if statement is None or depth > DEEPEST:
            return None
        name = statement.parameters[0] if statement.operation == "ufunc" else ""
        if name == "np.subtract":
            return {statement.target: statement._replace(operands=statement.operands[::-1])}
        if name == "np.add":
            for one, other in (statement.operands, statement.operands[::-1]):
                found = self.free(one, depth + 1)
                if found is not None:
                    turned = statement._replace(operands=(one, other), parameters=("np.subtract", "number"))
                    return {**found, statement.target: turned}
            return None
        if name not in ("np.multiply", "np.divide") and statement.operation not in LINEAR:
            return None
        for place, operand in enumerate(statement.operands):
            if isinstance(operand, Literal):
                operands = (*statement.operands[:place], Literal(-operand.value), *statement.operands[place + 1 :])
                return {statement.target: statement._replace(operands=operands)}
            found = self.free(operand, depth + 1)
            if found is not None:
                return found
        return None

    def factors(self, value: Operand) -> Iterator[tuple[Statement, int]]:
        """Every operand on which a sign would change that of a value: its statement and place."""
        pending: list[Operand] = [value]
        while pending:
            statement = self.own(pending.pop())
            if statement is None:
                continue
            product = statement.operation == "ufunc" and statement.parameters[0] in ("np.multiply", "np.divide")
            if not product and statement.operation not in LINEAR:
                continue
            for place, operand in enumerate(statement.operands):
                if isinstance(operand, int) and statement.operands.count(operand) == 1:
                    yield statement, place
                    pending.append(operand)

    def cheapest(self, value: int, entries: int) -> dict[int, Statement] | None:
        """The statement that changes where a sign is put on the smallest factor."""
        found = [
            (prod_of(self.shapes[operand]), statement.target, place)
            for statement, place in self.factors(value)
            if isinstance(operand := statement.operands[place], int) and not are_truths(operand, self.definitions)
        ]
        if not found or min(found)[0] * MUCH_SMALLER > entries:
            return None
        _, target, place = min(found)
        statement = self.definitions[target]
        operand = statement.operands[place]
        assert isinstance(operand, int)
        shape = self.shapes[operand]
        parameters = ("np.negative", "number") if shape else ()
        negative = Statement(self.fresh, "ufunc" if shape else "negate", (operand,), parameters, shape)
        self.extra[target] = [negative]
        operands = (*statement.operands[:place], negative.target, *statement.operands[place + 1 :])
        return {target: statement._replace(operands=operands)}
