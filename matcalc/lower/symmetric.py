"""Inverses of symmetric matrices as lower triangles, for all that is made of them and asked of them.

LAPACK gives the inverse as a triangle in half the time. Its products with vectors, its sums with ``v v^T`` and the
sums of its entries against another symmetric matrix need no more; a result is made whole once, at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..expr.dims import Shape
from .program import PLAIN, Literal, Operand, Parameter, Program, Statement
from .views import remove_dead_code

Parameters = tuple[Parameter, ...]

SCALINGS = frozenset({"negate", "multiply", "divide"})


@dataclass(frozen=True, slots=True)
class Scalar:
    """A product of numbers: ``number`` times the values above over the values below."""

    number: float = 1.0
    above: tuple[Operand, ...] = ()
    below: tuple[Operand, ...] = ()

    def times(self, other: Scalar) -> Scalar:
        return Scalar(self.number * other.number, self.above + other.above, self.below + other.below)


@dataclass(frozen=True, slots=True)
class Scaled:
    """A value as a number times another."""

    scalar: Scalar
    value: Operand


@dataclass(frozen=True, slots=True)
class Form:
    """A symmetric matrix as a number times a triangle, times whole symmetric matrices entry by entry.

    ``triangle`` is the value that the triangle stands for: an inverse or a sum.
    """

    scalar: Scalar
    triangle: int
    factors: tuple[int, ...] = ()


def keep_triangles(program: Program) -> Program:
    """Compute inverses of symmetric matrices as triangles where nothing needs them whole but results.

    >>> from matcalc.expr.dims import Dim
    >>> from matcalc.lower.program import Argument
    >>> n = Dim.of("n")
    >>> statements = (
    ...     Statement(2, "factorize", (0,), ("spd",), ()),
    ...     Statement(3, "inverse_factorized", (2,), ("spd",), (n, n)),
    ...     Statement(4, "matmul", (3, 1), (), (n,)),
    ... )
    >>> arguments = (Argument("S", (n, n)), Argument("y", (n,)))
    >>> [step.operation for step in keep_triangles(Program(arguments, (), statements, (4,))).statements]
    ['factorize', 'inverse_triangle', 'triangle_times']
    """
    if not any(_is_inverse(statement) for statement in program.statements):
        return program
    reading = _Reading(program)
    kept = reading.kept()
    return remove_dead_code(_Writing(program, reading, kept).program()) if kept else program


def _is_inverse(statement: Statement) -> bool:
    return statement.operation == "inverse_factorized" and statement.parameters[0] in ("symmetric", "spd")


class _Reading:
    """What every value is in terms of triangles, and which triangles are needed whole."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.definitions = {statement.target: statement for statement in program.statements}
        self.forms: dict[int, Form] = {}
        self.updates: dict[int, tuple[Scaled, Scaled]] = {}
        """Sums of a triangle and ``v v^T``: each as a number times a value."""
        self.origin: dict[int, int] = {}
        """The inverse that a triangle comes from."""
        self.useful: set[int] = set()
        self.whole: set[int] = set()
        for statement in program.statements:
            self._read(statement)
        for result in program.results:
            if isinstance(result, int) and result in self.forms:
                self._needs_whole(result)

    def kept(self) -> set[int]:
        """The inverses to compute as triangles."""
        whole = {self.forms[value].triangle for value in self.whole if self._is_bare(value)}
        inverses = {value for value in self.origin if value not in self.updates}
        return {value for value in inverses if value in self.useful and value not in whole}

    def _is_bare(self, value: int) -> bool:
        """Whether a value is an inverse itself."""
        return self.forms[value].triangle == value and value not in self.updates

    def _needs_whole(self, value: int) -> None:
        form = self.forms[value]
        if form.factors:
            # entrywise products are computed as they stand, from whole matrices
            stack = [value]
            while stack:
                seen = stack.pop()
                self.whole.add(seen)
                if self.forms[seen].factors:
                    parts = self.definitions[seen].operands
                    stack += [part for part in parts if isinstance(part, int) and part in self.forms]
            return
        self.whole.add(value)
        if not self._is_bare(value):
            self.useful.add(self.origin[form.triangle])

    def _read(self, statement: Statement) -> None:
        target, operands = statement.target, statement.operands
        if _is_inverse(statement):
            self.forms[target] = Form(Scalar(), target)
            self.origin[target] = target
            return
        mentioned = [operand for operand in operands if isinstance(operand, int) and operand in self.forms]
        if not mentioned:
            return
        if len(mentioned) == 1:
            form = self.forms[mentioned[0]]
            found = self._scaled(statement, form) or self._masked(statement, form)
            if found is not None:
                self.forms[target] = found
                return
            if self._updated(statement, mentioned[0]) or self._asked(statement, form):
                self.useful.add(self.origin[form.triangle])
                return
        for operand in mentioned:
            self._needs_whole(operand)

    def _scaled(self, statement: Statement, form: Form) -> Form | None:
        """A number times a form."""
        scaled = self.scaling(statement)
        if scaled is None or scaled.value not in self.forms:
            return None
        return replace(form, scalar=form.scalar.times(scaled.scalar))

    def scaling(self, statement: Statement) -> Scaled | None:
        """A statement that multiplies a value with axes by a number."""
        if statement.operation not in SCALINGS or not statement.shape:
            return None
        if statement.operation == "negate":
            return Scaled(Scalar(-1.0), statement.operands[0])
        left, right = statement.operands
        if not self._has_axes(right):
            if statement.operation == "divide":
                return Scaled(Scalar(below=(right,)), left)
            return Scaled(_scalar(right), left)
        if statement.operation == "multiply" and not self._has_axes(left):
            return Scaled(_scalar(left), right)
        return None

    def _has_axes(self, operand: Operand) -> bool:
        if not isinstance(operand, int):
            return False
        if operand in self.definitions:
            return bool(self.definitions[operand].shape)
        return bool(self.program.arguments[operand].shape)

    def peeled(self, operand: Operand) -> Scaled:
        """A value without the numbers that it is multiplied by."""
        scalar = Scalar()
        while isinstance(operand, int) and operand in self.definitions:
            found = self.scaling(self.definitions[operand])
            if found is None:
                break
            scalar, operand = scalar.times(found.scalar), found.value
        return Scaled(scalar, operand)

    def _masked(self, statement: Statement, form: Form) -> Form | None:
        """The entrywise product of a form with a whole symmetric matrix."""
        if statement.operation != "multiply" or len(statement.shape) != 2:
            return None
        other = next((operand for operand in statement.operands if operand not in self.forms), None)
        if not isinstance(other, int) or other not in self.program.symmetric:
            return None
        return replace(form, factors=(*form.factors, other))

    def _updated(self, statement: Statement, operand: int) -> bool:
        """The sum or difference of a form and ``v v^T``, which is a triangle again."""
        form = self.forms[operand]
        if statement.operation not in ("add", "subtract") or form.factors:
            return False
        left, right = statement.operands
        square = self._outer_square(right if left == operand else left)
        if square is None:
            return False
        own, outer = form.scalar, square.scalar
        if statement.operation == "subtract":
            minus = Scalar(-1.0)
            own, outer = (own, outer.times(minus)) if left == operand else (own.times(minus), outer)
        result = Scalar()
        if not own.above and not own.below and own.number:
            # a number in front stays in front, so that the triangle need not be scaled
            result, own, outer = own, Scalar(), outer.times(Scalar(1 / own.number))
        self.forms[statement.target] = Form(result, statement.target)
        self.origin[statement.target] = self.origin[form.triangle]
        self.updates[statement.target] = Scaled(own, form.triangle), Scaled(outer, square.value)
        return True

    def _outer_square(self, operand: Operand) -> Scaled | None:
        """``v v^T`` times a number, of a vector v or a matrix."""
        whole = self.peeled(operand)
        statement = self.definitions.get(whole.value) if isinstance(whole.value, int) else None
        if statement is None or len(statement.shape) != 2 or statement.operation not in ("multiply", "matmul"):
            return None
        if statement.operation == "multiply":
            parts = [self._spread(part, axis) for part, axis in zip(statement.operands, (0, 1), strict=True)]
            if None in parts:
                parts = [self._spread(part, axis) for part, axis in zip(statement.operands, (1, 0), strict=True)]
        else:
            left, right = (self.peeled(part) for part in statement.operands)
            if self._transposed(left.value) == right.value:
                parts = [left, replace(right, value=left.value)]
            else:
                origin = self._transposed(right.value)
                parts = [left, None if origin is None else replace(right, value=origin)]
        if parts[0] is None or parts[1] is None or parts[0].value != parts[1].value or parts[0].value in self.forms:
            return None
        scalar = whole.scalar.times(parts[0].scalar).times(parts[1].scalar)
        return Scaled(scalar, parts[0].value)

    def _spread(self, operand: Operand, axis: int) -> Scaled | None:
        """The vector that runs along an axis of a matrix and is constant along the other."""
        whole = self.peeled(operand)
        statement = self.definitions.get(whole.value) if isinstance(whole.value, int) else None
        if statement is not None and statement.operation == "expand":
            if statement.parameters != ((0, 1) if axis == 0 else (1, 0)):
                return None
            inner = self.peeled(statement.operands[0])
            return Scaled(whole.scalar.times(inner.scalar), inner.value) if self._order(inner.value) == 1 else None
        return whole if axis == 1 and self._order(whole.value) == 1 else None

    def _order(self, operand: Operand) -> int:
        if not isinstance(operand, int):
            return 0
        known = self.definitions.get(operand)
        return len(known.shape if known is not None else self.program.arguments[operand].shape)

    def _transposed(self, operand: Operand) -> Operand | None:
        """The matrix that a value is the transpose of."""
        statement = self.definitions.get(operand) if isinstance(operand, int) else None
        if statement is None or statement.operation != "transpose" or len(statement.shape) != 2:
            return None
        return statement.operands[0]

    def _asked(self, statement: Statement, form: Form) -> bool:
        """Whether a statement asks for what a triangle gives: traces, sums, products with vectors."""
        operation, operands = statement.operation, statement.operands
        if operation in ("trace", "diagonal"):
            return not form.factors
        if operation == "sum":
            return bool(form.factors) and not statement.shape
        other = next((operand for operand in operands if operand not in self.forms), None)
        if operation == "inner":
            return isinstance(other, int) and other in self.program.symmetric
        if operation != "matmul" or form.factors or not isinstance(other, int):
            return False
        # several vectors at once, on the right
        few = self._order(other) == 2 and operands[1] == other and statement.shape[0] != statement.shape[1]
        return self._order(other) == 1 or few


def _scalar(operand: Operand) -> Scalar:
    return Scalar(operand.value) if isinstance(operand, Literal) else Scalar(above=(operand,))


class _Writing:
    """The program with triangles in it."""

    def __init__(self, source: Program, reading: _Reading, kept: set[int]) -> None:
        self.source = source
        self.reading = reading
        self.kept = kept
        self.statements: list[Statement] = []
        self.fresh = 1 + max(statement.target for statement in source.statements)
        self.triangles: dict[int, int] = {}
        self.plain = {statement.target for statement in source.statements if statement.plain}

    def program(self) -> Program:
        for statement in self.source.statements:
            self._write(statement)
        return self.source._replace(statements=tuple(self.statements))

    def _form(self, operand: Operand) -> Form | None:
        """The form of a value that is computed as a triangle."""
        form = self.reading.forms.get(operand) if isinstance(operand, int) else None
        return form if form is not None and self.reading.origin[form.triangle] in self.kept else None

    def _write(self, statement: Statement) -> None:
        form = self._form(statement.target)
        if form is not None:
            self._write_form(statement, form)
            return
        asked = next((found for found in map(self._form, statement.operands) if found is not None), None)
        if asked is None or any(operand in self.reading.whole for operand in statement.operands):
            self.statements.append(statement)
            return
        triangle = self.triangles[asked.triangle]
        others = [operand for operand in statement.operands if self._form(operand) is None]
        operands: tuple[Operand, ...]
        parameters: Parameters = ()
        if statement.operation in ("inner", "sum"):
            operation, operands = "triangle_inner", (triangle, *asked.factors, *others)
        elif statement.operation == "matmul":
            operation, operands = "triangle_times", (triangle, *others)
        else:
            operation, operands, parameters = statement.operation, (triangle,), statement.parameters
        self._scaled(statement, asked.scalar, operation, operands, parameters)

    def _write_form(self, statement: Statement, form: Form) -> None:
        target, shape = statement.target, statement.shape
        if form.triangle == target:
            update = self.reading.updates.get(target)
            if update is None:
                triangle = self._add("inverse_triangle", statement.operands, shape)
            else:
                own, outer = update
                assert isinstance(own.value, int)
                numbers = self._number(own.scalar), self._number(outer.scalar)
                operands = (self.triangles[own.value], outer.value, *numbers)
                triangle = self._add("triangle_update", operands, shape)
            self.triangles[target] = triangle
        if target not in self.reading.whole:
            return
        if form.factors:
            self.statements.append(statement)
            return
        scale = self._number(form.scalar)
        operands = (self.triangles[form.triangle], *(() if scale == Literal(1.0) else (scale,)))
        self.statements.append(Statement(target, "mirrored", operands, (), shape))

    def _scaled(
        self, statement: Statement, scalar: Scalar, operation: str, operands: Sequence[Operand], parameters: Parameters
    ) -> None:
        """A statement's value as a number times another operation's."""
        target, shape = statement.target, statement.shape
        number = self._number(scalar)
        if number == Literal(1.0):
            self.statements.append(Statement(target, operation, tuple(operands), parameters, shape))
            return
        value = self._add(operation, operands, shape, parameters)
        if number == Literal(-1.0):
            self.statements.append(Statement(target, "negate", (value,), (), shape))
            return
        self.statements.append(Statement(target, "multiply", (number, value), (), shape))

    def _add(self, operation: str, operands: Sequence[Operand], shape: Shape, parameters: Parameters = ()) -> int:
        numbers = all(not isinstance(operand, int) or operand in self.plain for operand in operands)
        plain = operation in PLAIN and numbers
        if plain:
            self.plain.add(self.fresh)
        self.statements.append(Statement(self.fresh, operation, tuple(operands), parameters, shape, plain))
        self.fresh += 1
        return self.fresh - 1

    def _number(self, scalar: Scalar) -> Operand:
        """A product of numbers as one value."""
        value: Operand = Literal(scalar.number)
        for operand in scalar.above:
            value = self._arithmetic("multiply", value, operand)
        for operand in scalar.below:
            value = self._arithmetic("divide", value, operand)
        return value

    def _arithmetic(self, operation: str, left: Operand, right: Operand) -> Operand:
        if operation == "multiply" and left == Literal(1.0):
            return right
        return self._add(operation, (left, right), ())
