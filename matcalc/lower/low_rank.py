"""Products with diagonal and rank-one matrices without forming them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..expr.dims import Dim, Shape
from .program import Operand, Program, Statement, use_counts
from .views import remove_dead_code

COLUMN = (0, 1)
"""The pattern of a vector that becomes a column."""


def split_products(program: Program) -> Program:
    """``(M + diag(d)) B = M B + d .* B`` and ``(u v^T) B = u (v^T B)``, and both from the right.

    A product of matrices becomes a product with a vector and an entrywise one where the matrix is made for it alone.
    """
    if not any(statement.operation == "expand" and statement.parameters == COLUMN for statement in program.statements):
        # no product of two vectors
        return program
    before: tuple[Statement, ...] = ()
    while before != program.statements:
        before = program.statements
        program = remove_dead_code(_Splitter(program).result())
    return program


class _Splitter:
    """Writes the statements of a program anew, with more of them where a product is split."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.counts = use_counts(program)
        self.definitions: Mapping[int, Statement] = {statement.target: statement for statement in program.statements}
        self.fresh = 1 + max([*self.definitions, len(program.arguments)])
        self.statements: list[Statement] = []

    def result(self) -> Program:
        for statement in self.program.statements:
            if not (statement.operation == "matmul" and self.split(statement)):
                self.statements.append(statement)
        return self.program._replace(statements=tuple(self.statements))

    def made(self, operand: Operand, operation: str) -> Statement | None:
        """The statement that makes an operand, where it has no other use."""
        if not isinstance(operand, int) or self.counts.get(operand) != 1:
            return None
        statement = self.definitions.get(operand)
        return statement if statement is not None and statement.operation == operation else None

    def rank_one(self, operand: Operand, *, signed: bool = True) -> tuple[Operand, Operand, bool] | None:
        """The column, the row and the sign of a product of two vectors."""
        negative = self.made(operand, "negate") if signed else None
        if negative is not None:
            found = self.rank_one(negative.operands[0], signed=False)
            return None if found is None else (found[0], found[1], not found[2])
        product = self.made(operand, "multiply")
        if product is None or len(product.shape) != 2:
            return None
        column, row = product.operands
        expanded = self.definitions.get(column) if isinstance(column, int) else None
        vector = isinstance(row, int) and len(self.shape(row)) == 1
        if expanded is None or expanded.operation != "expand" or expanded.parameters != COLUMN or not vector:
            return None
        return expanded.operands[0], row, False

    def shape(self, value: int) -> Shape:
        if value < len(self.program.arguments):
            return self.program.arguments[value].shape
        return self.definitions[value].shape

    def emit(self, operation: str, *operands: Operand, shape: Shape, parameters: tuple[int, ...] = ()) -> int:
        self.fresh += 1
        self.statements.append(Statement(self.fresh - 1, operation, operands, parameters, shape))
        return self.fresh - 1

    def split(self, statement: Statement) -> bool:
        """Write a product in parts, if it is one with a matrix of structure."""
        left, right = statement.operands
        if not isinstance(left, int) or not isinstance(right, int) or len(statement.shape) != 2:
            return False
        if len(self.shape(left)) != 2 or len(self.shape(right)) != 2:
            return False
        rules: tuple[Callable[[Statement, int, int], bool], ...] = (
            self.diagonal_left, self.diagonal_right, self.rank_one_left, self.rank_one_right,
        )  # fmt: skip
        return any(rule(statement, left, right) for rule in rules)

    def diagonal_left(self, statement: Statement, left: int, right: int) -> bool:
        """``(M + diag(d)) B = M B + d .* B``"""
        found = self.diagonal(left)
        if found is None:
            return False
        matrix, vector, sign = found
        if isinstance(vector, int) and self.shape(vector):
            vector = self.emit("expand", vector, shape=(*self.shape(vector), Dim.of(1)), parameters=COLUMN)
        product = self.emit("matmul", matrix, right, shape=statement.shape)
        scaled = self.emit("multiply", vector, right, shape=statement.shape)
        self.statements.append(statement._replace(operation=sign, operands=(product, scaled)))
        return True

    def diagonal_right(self, statement: Statement, left: int, right: int) -> bool:
        """``A (M + diag(d)) = A M + A .* d^T``"""
        found = self.diagonal(right)
        if found is None:
            return False
        matrix, vector, sign = found
        product = self.emit("matmul", left, matrix, shape=statement.shape)
        scaled = self.emit("multiply", left, vector, shape=statement.shape)
        self.statements.append(statement._replace(operation=sign, operands=(product, scaled)))
        return True

    def diagonal(self, operand: Operand) -> tuple[Operand, Operand, str] | None:
        """M, d and the operation of ``M + diag(d)`` or ``M - diag(d)``, where M is a product of two vectors."""
        total = self.made(operand, "add_diagonal")
        if total is None or self.rank_one(total.operands[0]) is None:
            return None
        matrix, vector = total.operands
        negative = self.made(vector, "negate")
        return (matrix, vector, "add") if negative is None else (matrix, negative.operands[0], "subtract")

    def rank_one_left(self, statement: Statement, left: int, right: int) -> bool:
        """``(u v^T) B = u (v^T B)``"""
        found = self.rank_one(left)
        if found is None:
            return False
        column, row, negative = found
        applied = self.emit("matmul", row, right, shape=statement.shape[1:])
        self.outer(statement, column, applied, negative)
        return True

    def rank_one_right(self, statement: Statement, left: int, right: int) -> bool:
        """``A (u v^T) = (A u) v^T``"""
        found = self.rank_one(right)
        if found is None:
            return False
        column, row, negative = found
        applied = self.emit("matmul", left, column, shape=statement.shape[:1])
        self.outer(statement, applied, row, negative)
        return True

    def outer(self, statement: Statement, column: Operand, row: Operand, negative: bool) -> None:
        shape = (statement.shape[0], Dim.of(1))
        wide = self.emit("expand", column, shape=shape, parameters=COLUMN)
        if negative:
            row = self.emit("negate", row, shape=statement.shape[1:])
        self.statements.append(statement._replace(operation="multiply", operands=(wide, row)))
