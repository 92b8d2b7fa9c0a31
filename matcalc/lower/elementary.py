"""Entrywise operations as single ufuncs: templates are taken apart, and short equal forms are chosen.

A function of the language such as ``sigmoid`` or ``log_softmax`` is written as one call where code is read. Where
arrays are large it is written as the ufuncs that it consists of, each of which may store its result in memory that is
at hand.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType

from ..expr.dims import Dim, Shape
from .program import Literal, Operand, Program, Statement, use_counts
from .signs import COMPARISONS, LINEAR, Signed, are_truths, place_signs, unsigned
from .views import remove_dead_code

ARITHMETIC: Mapping[str, str] = MappingProxyType(
    {
        "add": "np.add",
        "subtract": "np.subtract",
        "multiply": "np.multiply",
        "divide": "np.divide",
        "negate": "np.negative",
        "sqrt": "np.sqrt",
    }
)
"""Statements that are one ufunc."""

KERNEL_FORMS: Mapping[str, str] = MappingProxyType(
    {
        "sigmoid": "1 / (1 + np.exp(-{0}))",
        "softplus": "np.maximum({0}, 0) + np.log1p(np.exp(-np.abs({0})))",
        "silu": "{0} / (1 + np.exp(-{0}))",
        "normpdf": "np.exp(-0.5 * ({0} * {0})) * 0.3989422804014327",
        "huber": "np.minimum(np.abs({0}), {1}) * (np.abs({0}) - np.minimum(np.abs({0}), {1}) / 2)",
    }
)
"""The kernels of `runtime` that consist of ufuncs, by their operands."""

OPERATORS: Mapping[type[ast.AST], str] = MappingProxyType(
    {
        ast.Add: "np.add",
        ast.Sub: "np.subtract",
        ast.Mult: "np.multiply",
        ast.Div: "np.divide",
        ast.Pow: "np.power",
        ast.USub: "np.negative",
        ast.Gt: "np.greater",
        ast.GtE: "np.greater_equal",
        ast.Lt: "np.less",
        ast.LtE: "np.less_equal",
        ast.Eq: "np.equal",
        ast.NotEq: "np.not_equal",
    }
)
"""The ufunc of an operator of Python."""

UFUNCS = frozenset(
    {
        *ARITHMETIC.values(), *OPERATORS.values(), "np.exp", "np.log", "np.log1p", "np.expm1", "np.log2", "np.log10",
        "np.cbrt", "np.sin", "np.cos", "np.tan", "np.arcsin", "np.arccos", "np.arctan", "np.sinh", "np.cosh", "np.tanh",
        "np.arcsinh", "np.arccosh", "np.arctanh", "np.arctan2", "np.hypot", "np.maximum", "np.minimum", "np.abs",
        "np.sign", "np.floor", "np.ceil", "np.square",
    }
)  # fmt: skip
"""Functions that store their result in an array that they are given last."""

ROW_FORMS = ("exponentials", "softmax", "log_softmax", "logsumexp", "softmax_of", "log_softmax_of", "logsumexp_of")
"""Functions along the last axis that consist of ufuncs and of sums and largest entries of rows."""

UNIT = Dim.of(1)


def is_ufunc(statement: Statement, *names: str) -> bool:
    """Whether a statement is a ufunc, or one of some."""
    return statement.operation == "ufunc" and (not names or statement.parameters[0] in names)


def elementary(program: Program, *, vectors: bool = False) -> Program:
    """The same program with every entrywise operation of arrays as single ufuncs, where it consists of such.

    Parameters
    ----------
    vectors: whether a softmax and its kin are taken apart also where there is a single row.
    """
    return remove_dead_code(place_signs(_shortened(_TakenApart(program, least=1 if vectors else 2).result())))


class _TakenApart:
    """The statements of a program so far, with what they are made of; equal ones are found again.

    A change of sign is not computed where it arises: it passes through products, sums and odd functions until something
    takes it up, so that values which differ in sign alone are one.
    """

    def __init__(self, program: Program, least: int) -> None:
        self.program = program
        self.least = least
        """How many axes an array has at least whose rows are taken apart."""
        self.shapes: dict[int, Shape] = {k: argument.shape for k, argument in enumerate(program.arguments)}
        self.shapes.update((statement.target, statement.shape) for statement in program.statements)
        self.fresh = 1 + max(self.shapes, default=-1)
        self.definitions: dict[int, Statement] = {}
        self.known: dict[tuple[object, ...], int] = {}
        self.renamed: dict[int, Signed] = {}
        self.exponentials: dict[Operand, tuple[Operand, ...]] = {}

    def result(self) -> Program:
        for statement in self.program.statements:
            self.renamed[statement.target] = self.value(statement)
        results = tuple(self.settled(self.signed(result)) for result in self.program.results)
        return self.program._replace(statements=tuple(self.definitions.values()), results=results, inlined=frozenset())

    def signed(self, operand: Operand) -> Signed:
        return self.renamed.get(operand, (operand, False)) if isinstance(operand, int) else (operand, False)

    def settled(self, value: Signed) -> Operand:
        """A value with its sign."""
        operand, negative = value
        if not negative:
            return operand
        if isinstance(operand, Literal):
            return Literal(-operand.value)
        if not self.shape(operand):
            return self.emit("negate", (operand,), (), ())
        if are_truths(operand, self.definitions):
            return self.emit("ufunc", (operand, Literal(-1.0)), ("np.multiply", "number"), self.shape(operand))
        return self.emit("ufunc", (operand,), ("np.negative", "number"), self.shape(operand))

    def value(self, statement: Statement) -> Signed:
        """The value of a statement, taken apart where it can be."""
        operation = statement.operation
        operands = tuple(self.signed(operand) for operand in statement.operands)
        if operation == "negate":
            return operands[0][0], not operands[0][1]
        if operation in LINEAR and not statement.plain:
            bare = tuple(operand for operand, _ in operands)
            return self.kept(statement._replace(operands=bare)), sum(sign for _, sign in operands) % 2 == 1
        if statement.plain or not statement.shape:
            settled = statement._replace(operands=tuple(self.settled(operand) for operand in operands))
            row = operation == "call" and statement.parameters[0] in ROW_FORMS
            return self.rows(settled) if row else self.kept(settled), False
        if operation in ARITHMETIC:
            return self.ufunc(ARITHMETIC[operation], operands, statement.shape)
        if operation == "square":
            return self.ufunc("np.multiply", (operands[0], operands[0]), statement.shape)
        if operation == "power":
            return self.ufunc("np.power", operands, statement.shape)
        if operation == "map":
            form = statement.parameters[1]
            assert isinstance(form, str)
            found = self.evaluated(template_tree(form), operands)
            if found is not None:
                return found
        settled = statement._replace(operands=tuple(self.settled(operand) for operand in operands))
        if operation == "call" and statement.parameters[0] in ROW_FORMS:
            return self.rows(settled), False
        return self.kept(settled), False

    def kept(self, statement: Statement) -> int:
        key = (statement.operation, statement.operands, statement.parameters, statement.shape)
        known = self.known.get(key)
        if known is None:
            known = self.known[key] = statement.target
            self.definitions[statement.target] = statement
        return known

    def emit(self, operation: str, operands: Sequence[Operand], parameters: tuple[str, ...], shape: Shape) -> int:
        key = (operation, tuple(operands), parameters, shape)
        known = self.known.get(key)
        if known is not None:
            return known
        target = self.fresh
        self.fresh += 1
        self.shapes[target] = shape
        self.known[key] = target
        self.definitions[target] = Statement(target, operation, tuple(operands), parameters, shape)
        return target

    def ufunc(self, name: str, operands: Sequence[Signed], shape: Shape | None = None, kind: str = "") -> Signed:
        """The value of a ufunc; comparisons are truth values unless ``kind`` is ``number``."""
        name, operands, negative = unsigned(name, [self.positive(operand) for operand in operands])
        if name == "np.negative":
            return operands[0][0], operands[0][1] != negative
        settled = tuple(self.settled(operand) for operand in operands)
        shape = self.broadcast(settled) if shape is None else shape
        kind = kind or ("truth" if name in COMPARISONS else "number")
        return self.emit("ufunc", settled, (name, kind), shape), negative

    def positive(self, value: Signed) -> Signed:
        """A number below 0 as the negative of one above."""
        operand, negative = value
        if isinstance(operand, Literal) and operand.value < 0:
            return Literal(-operand.value), not negative
        return value

    def bare(self, name: str, *operands: Operand, shape: Shape | None = None) -> int:
        """The value of a ufunc of values without signs."""
        shape = self.broadcast(operands) if shape is None else shape
        return self.emit("ufunc", operands, (name, "number"), shape)

    def shape(self, operand: Operand) -> Shape:
        return self.shapes[operand] if isinstance(operand, int) else ()

    def broadcast(self, operands: Sequence[Operand]) -> Shape:
        """The shape that operands have together."""
        shapes = [self.shape(operand) for operand in operands]
        order = max(map(len, shapes))
        result: list[Dim] = []
        for axis in range(-order, 0):
            lengths = [shape[axis] for shape in shapes if len(shape) >= -axis]
            result.append(next((length for length in lengths if length != UNIT), UNIT))
        return tuple(result)

    # --- templates ----------------------------------------------------------------------------------

    def evaluated(self, tree: ast.expr, operands: Sequence[Signed]) -> Signed | None:
        """The value of a template, or None where it is not made of ufuncs alone."""
        if not _consists_of_ufuncs(tree):
            return None
        value = self.evaluate(tree, operands)
        return value if isinstance(value[0], int) else None

    def evaluate(self, tree: ast.expr, operands: Sequence[Signed]) -> Signed:
        match tree:
            case ast.Name(id=name):
                return operands[int(name[1:])]
            case ast.Constant(value=value):
                assert isinstance(value, int | float)
                return Literal(float(value)), False
            case ast.UnaryOp(operand=inner):
                operand, negative = self.evaluate(inner, operands)
                return operand, not negative
            case ast.BinOp(left=left, op=operator, right=right):
                both = (self.evaluate(left, operands), self.evaluate(right, operands))
                return self.one(OPERATORS[type(operator)], both)
            case ast.Compare(left=left, ops=[comparison], comparators=[right]):
                both = (self.evaluate(left, operands), self.evaluate(right, operands))
                return self.one(OPERATORS[type(comparison)], both)
            case ast.Call(func=ast.Name(id="mask"), args=[ast.Compare() as condition, *_]):
                both = (self.evaluate(condition.left, operands), self.evaluate(condition.comparators[0], operands))
                return self.ufunc(OPERATORS[type(condition.ops[0])], both, kind="number")
            case ast.Call(func=ast.Name(id=name), args=arguments):
                given = tuple(self.evaluate(argument, operands) for argument in arguments)
                return self.evaluate(template_tree(KERNEL_FORMS[name]), given)
            case ast.Call(func=ast.Attribute(attr=name), args=arguments):
                return self.one(f"np.{name}", tuple(self.evaluate(argument, operands) for argument in arguments))
        raise AssertionError(f"no ufunc for {ast.dump(tree)}")

    def one(self, name: str, operands: Sequence[Signed]) -> Signed:
        """A ufunc; of numbers alone it is left to NumPy as an expression of its own."""
        if any(self.shape(operand) for operand, _ in operands):
            return self.ufunc(name, operands)
        settled = tuple(self.settled(operand) for operand in operands)
        holes = ", ".join(f"{{{k}}}" for k in range(len(operands)))
        return self.emit("map", settled, (name, f"{name}({holes})"), ()), False

    # --- along the last axis --------------------------------------------------------------------------

    def rows(self, statement: Statement) -> Operand:
        """Softmax and its kin for a matrix of rows; for a single row the functions of `runtime` are as good."""
        form = str(statement.parameters[1])
        name = form.partition("(")[0]
        (x,) = statement.operands
        if name == "exponentials":
            if len(self.shape(x)) < self.least:
                return self.kept(statement)
            self.exponentials[statement.target] = self.shared(x)
            return statement.target
        if x in self.exponentials:
            return self.row_value(name, self.exponentials[x], statement.shape)
        if name.endswith("_of"):
            return self.kept(statement)
        if form not in (f"{name}({{0}})", f"{name}({{0}}, 1)") or len(self.shape(x)) < self.least:
            return self.kept(statement)
        return self.row_value(f"{name}_of", self.shared(x), statement.shape)

    def shared(self, x: Operand) -> tuple[Operand, ...]:
        """The largest entry of each row, the entries less that, their exponentials and the sums of those."""
        shape = self.shape(x)
        column = (*shape[:-1], UNIT)
        largest = self.emit("reduce", (x,), ("np.maximum",), column)
        top = self.emit("call", (largest,), ("finite", "finite({0})", ""), column)
        shifted = self.bare("np.subtract", x, top, shape=shape)
        weights = self.bare("np.exp", shifted)
        return top, shifted, weights, self.emit("reduce", (weights,), ("np.add",), column)

    def row_value(self, name: str, shared: tuple[Operand, ...], shape: Shape) -> Operand:
        top, shifted, weights, total = shared
        if name == "softmax_of":
            return self.bare("np.divide", weights, total, shape=shape)
        logarithm = self.bare("np.log", total)
        if name == "log_softmax_of":
            return self.bare("np.subtract", shifted, logarithm, shape=shape)
        value = self.bare("np.add", logarithm, top)
        return self.emit("first_column", (value,), (), shape)


@cache
def template_tree(form: str) -> ast.expr:
    """A template as Python's own tree; the operands are ``_0``, ``_1`` …"""
    text = form
    for place in range(form.count("{")):
        text = text.replace(f"{{{place}}}", f"_{place}")
    return ast.parse(text, mode="eval").body


def _consists_of_ufuncs(tree: ast.expr) -> bool:
    """Whether a template is made of operands, numbers, operators, ufuncs and kernels that are."""
    stack: list[ast.expr] = [tree]
    while stack:
        match stack.pop():
            case ast.Name() | ast.Constant(value=int() | float()):
                continue
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                stack.append(inner)
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in OPERATORS:
                stack += [left, right]
            case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in OPERATORS:
                stack += [left, right]
            case ast.Call(func=ast.Name(id="mask"), args=[ast.Compare(ops=[_]) as condition, *_], keywords=[]):
                stack.append(condition)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in KERNEL_FORMS:
                stack += arguments
            case ast.Call(func=ast.Attribute(attr=name), args=arguments, keywords=[]) if f"np.{name}" in UFUNCS:
                stack += arguments
            case _:
                return False
    return True


# --- short forms ------------------------------------------------------------------------------------


class _Seen:
    """What the short forms ask of the statements before: their definitions and how often they are used."""

    def __init__(self, program: Program) -> None:
        self.counts = use_counts(program)
        self.shapes = {k: argument.shape for k, argument in enumerate(program.arguments)}
        self.definitions: dict[int, Statement] = {}
        self.products: dict[frozenset[Operand], int] = {}
        """Entrywise products of two different values."""
        self.fresh = 1 + max((statement.target for statement in program.statements), default=-1)

    def note(self, statement: Statement) -> None:
        """A statement that stands."""
        self.definitions[statement.target] = statement
        self.shapes[statement.target] = statement.shape
        if is_ufunc(statement, "np.multiply"):
            self.products.setdefault(frozenset(statement.operands), statement.target)

    def new(self) -> int:
        """The number of a value that is yet to be computed."""
        self.fresh += 1
        return self.fresh - 1

    def square(self, operand: Operand) -> Operand | None:
        """What an operand is the square of."""
        statement = self.ufunc(operand, "np.multiply")
        return statement.operands[0] if statement is not None and len({*statement.operands}) == 1 else None

    def ufunc(self, operand: Operand, *names: str, once: bool = False) -> Statement | None:
        """The ufunc that computes an operand, if it is one of some."""
        if not isinstance(operand, int) or (once and self.counts.get(operand) != 1):
            return None
        statement = self.definitions.get(operand)
        return statement if statement is not None and is_ufunc(statement, *names) else None


Short = Callable[[Statement, _Seen], Sequence[Statement]]
"""The statements that take the place of one, nothing where there is no shorter form."""


def _as(statement: Statement, name: str, *operands: Operand) -> Statement:
    return statement._replace(operands=operands, parameters=(name, "number"))


def _product(statement: Statement, seen: _Seen) -> Sequence[Statement]:
    """``(1/t) y = y/t``, ``x y^2 = (x y) y`` where ``x y`` is known."""
    left, right = statement.operands
    for one, other in ((left, right), (right, left)):
        quotient = seen.ufunc(one, "np.divide", once=True)
        if quotient is not None and quotient.operands[0] == Literal(1.0) and other != one:
            return (_as(statement, "np.divide", other, quotient.operands[1]),)
    for one, other in ((left, right), (right, left)):
        root = seen.square(other)
        if root is not None and root != one:
            known = seen.products.get(frozenset((one, root)))
            if known is not None:
                return (_as(statement, "np.multiply", known, root),)
    return ()


def _inner(statement: Statement, seen: _Seen) -> Sequence[Statement]:
    """``<x^2, y^2> = <x y, x y>``"""
    left, right = (seen.square(operand) for operand in statement.operands)
    if left is None or right is None or left == right:
        return ()
    shape = seen.definitions[statement.operands[0]].shape  # type: ignore[index]
    product = Statement(seen.new(), "ufunc", (left, right), ("np.multiply", "number"), shape)
    return product, statement._replace(operands=(product.target, product.target))


def _common(statement: Statement, seen: _Seen) -> Sequence[Statement]:
    """``d x - d y = d (x - y)``"""
    products = [seen.ufunc(operand, "np.multiply", once=True) for operand in statement.operands]
    first, second = products
    if first is None or second is None:
        return ()
    for one, other in (first.operands, first.operands[::-1]):
        for again, last in (second.operands, second.operands[::-1]):
            whole = statement.shape in (seen.shapes.get(other), seen.shapes.get(last))  # type: ignore[arg-type]
            # of two truth values NumPy takes a sum as "or", and no difference
            truths = are_truths(other, seen.definitions) and are_truths(last, seen.definitions)
            if one == again and whole and not truths:
                inner = statement._replace(target=seen.new(), operands=(other, last))
                return inner, _as(statement, "np.multiply", one, inner.target)
    return ()


SHORT_FORMS: Mapping[str, Short] = MappingProxyType(
    {
        "np.multiply": _product,
        "np.add": _common,
        "np.subtract": _common,
        "inner": _inner,
    }
)
"""For a ufunc or another operation, its equal forms with fewer steps."""


def _shortened(program: Program) -> Program:
    """Equal forms with fewer steps: a common factor once, one division for a reciprocal and a product."""
    before: tuple[Statement, ...] = ()
    while before != program.statements:
        before = program.statements
        program = remove_dead_code(_shortened_once(program))
    return program


def _shortened_once(program: Program) -> Program:
    seen = _Seen(program)
    statements: list[Statement] = []
    for statement in program.statements:
        form = SHORT_FORMS.get(str(statement.parameters[0]) if is_ufunc(statement) else statement.operation)
        instead = () if form is None else form(statement, seen)
        for part in instead or (statement,):
            seen.note(part)
            statements.append(part)
    return program._replace(statements=tuple(statements))
