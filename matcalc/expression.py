"""Expressions: a program with the types of its names, its meaning, and Python's operators on it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from .calculus.present import present
from .calculus.simplify import simplify
from .collection import paused_collection
from .elaborate import Elaborated, elaborate, type_text
from .errors import MatcalcError, ShapeError, UsageError, require_one_of, shown
from .expr.build import variables
from .expr.dims import Shape
from .expr.nodes import Node, Variable
from .expr.typed import Type
from .limits import Limits, bounded, bounded_property, check_order, check_printed, chosen, current, exceeded
from .notation.latex import to_latex
from .notation.matrices import to_program
from .notation.text import to_text
from .notation.unicode import to_unicode
from .ops.registry import OPERATIONS
from .syntax.ast import (
    Add,
    Assign,
    Ast,
    Bars,
    Binary,
    Call,
    Define,
    Name,
    Norm,
    Num,
    Output,
    Program,
    Request,
    Transpose,
)
from .syntax.detect import SYNTAXES, is_latex
from .syntax.greek import spell
from .syntax.parse import parse as parse_text
from .syntax.parse import parse_declarations
from .syntax.rewrite import rewritten

if TYPE_CHECKING:
    from .functions import Function

Operand = "Expr | int | float | Fraction"
Declarations = Mapping[str, str]

NUMBERS_WITH_A_NAME = frozenset({"pi", "inf", "e", "I"})


def is_function(name: str) -> bool:
    """Whether a name is that of an operation that takes arguments: ``pi (a + b)`` is a product."""
    return name in OPERATIONS and name not in NUMBERS_WITH_A_NAME


def read(text: str, syntax: str = "auto", declared: Collection[str] = ()) -> Program:
    r"""Parse a program; errors carry the text.

    Parameters
    ----------
    text: the program.
    syntax: ``text``, ``latex``, or ``auto`` for what the text looks like.
    declared: names with a declaration, which LaTeX does not split into letters.

    Raises
    ------
    UsageError: there is no such syntax.
    ParseError: the text does not follow the grammar.
    """
    require_one_of(syntax, SYNTAXES, "syntax")
    if not isinstance(text, str):
        raise UsageError(f"an expression is text or an Expr, not {shown(text)}", hint='write "x^T A x"')
    if syntax == "latex" or (syntax == "auto" and is_latex(text)):
        from .syntax.latex.parse import parse as parse_latex  # plain text is read without the tables of LaTeX

        return parse_latex(text, is_function=is_function, declared=declared)
    try:
        return parse_text(text, is_function=is_function)
    except MatcalcError as error:
        raise error.with_source(text) from None


def shape_names(shape: Shape) -> tuple[int | str, ...]:
    """A shape as plain data: written sizes as integers, all others as text."""
    return tuple(str(dim) if dim.constant is None else dim.constant for dim in shape)


def declarations(given: Mapping[str, str] | str | None) -> dict[str, str]:
    """Declarations from a mapping or from text (``"A: matrix(n, n), x: vector(n)"``), by canonical name.

    Raises
    ------
    UsageError: a value that is not text.
    ParseError: text that is not a declaration.
    """
    if given is None:
        return {}
    if isinstance(given, str):
        found: dict[str, str] = {}
        for statement in parse_declarations(given):
            for declared in statement.names:
                found[declared.id] = to_text(statement.type)
        return found
    example = 'write {"A": "matrix(m, n)", "x": "vector(n)"}'
    if not isinstance(given, Mapping):
        raise UsageError(f"declarations are a mapping or text, not {shown(given)}", hint=example)
    made: dict[str, str] = {}
    unchecked: Mapping[Any, Any] = given
    for name, kind in unchecked.items():
        if not isinstance(name, str):
            raise UsageError(f"a name must be text, not {shown(name)}", hint=example)
        if not isinstance(kind, str):
            raise UsageError(f"the type of {name} must be text, not {shown(kind)}", hint=example)
        spelled = spell(name)
        if made.setdefault(spelled, kind) != kind:
            raise UsageError(
                f"{spelled} is declared twice, as two spellings of one name", hint="leave out one of the declarations"
            )
    return made


class Expr:
    """A program with the types of its names: what `parse` and `symbols` return and operators combine.

    >>> import matcalc as mc
    >>> A, x = mc.symbols("A: matrix(n, n), x: vector(n)")
    >>> (x.T @ A @ x).diff("x").formula
    '(A + A^T) x'

    ``*``, ``/`` and ``**`` are entrywise and ``@`` is the matrix product, as in NumPy.

    Parameters
    ----------
    text: the program.
    vars: declared types by name; names that are missing are inferred.
    shape: the shape of the output, where the text alone leaves it open (``2 I``).
    syntax: ``text``, ``latex``, or ``auto`` for what the text looks like.
    limits: what reading, differentiating and printing may use; by default what is in force.

    Raises
    ------
    MatcalcError: the program does not parse, or its shapes do not fit.
    """

    def __init__(
        self,
        text: str,
        vars: Mapping[str, str] | str | None = None,  # noqa: A002
        shape: Shape | None = None,
        syntax: str = "auto",
        limits: Limits | None = None,
    ) -> None:
        self.limits = current() if limits is None else limits
        with bounded(self.limits):
            self._given = declarations(vars)
        self._syntax = syntax
        self._expected = shape
        self._is_built = False
        self.text = text
        self._size = 1
        self._meaning  # noqa: B018  errors are raised here, not at the first use

    @classmethod
    def _built(cls, program: Program, declared: Declarations, size: int) -> Expr:
        self = cls.__new__(cls)
        self.limits = current()
        self._given = dict(declared)
        self._expected = None
        self._syntax = "text"
        self._is_built = True
        self._size = size
        self.__dict__["program"] = program
        return self

    @classmethod
    def of_node(cls, node: Node, like: Expr) -> Expr:
        """The expression of a node over the variables of another expression."""
        return cls.of_formula(to_program(present(node), like.order, named=False), node.shape, like)

    @classmethod
    def of_formula(cls, formula: Ast, shape: Shape, like: Expr) -> Expr:
        """The expression of a formula over the variables of another expression."""
        program = formula if isinstance(formula, Program) else Program((Output(formula),))
        return cls(to_text(program), like.vars, shape, "text", like.limits)

    def _within(self, limits: Limits) -> Expr:
        """The same expression, what is asked of it held to other limits."""
        made = Expr.__new__(Expr)
        made.__dict__.update(self.__dict__)
        made.limits = limits
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Expr, (self.text, self._given, self._expected, self._syntax, self.limits)

    # --- meaning ---------------------------------------------------------------------------------

    @bounded_property
    def text(self) -> str:
        """The program as text."""
        return to_text(self.program)

    @property
    def _declared(self) -> Declarations:
        """The types of all names: built expressions have them, of read ones some are inferred."""
        return self._given if self._is_built else self.vars

    @bounded_property
    def program(self) -> Program:
        """The syntax tree."""
        return self._without_bars(only_by_type=True)

    def _without_bars(self, *, only_by_type: bool) -> Program:
        """The program with what its bars mean in their place: bars of a vector are its length in LaTeX, not in text."""
        written, meanings = self._written, self._meaning.bars
        if not meanings:
            return written

        def change(original: Ast, node: Ast) -> Ast:
            kind = meanings.get(id(original))
            if kind is None or not isinstance(node, Bars) or (only_by_type and not node.by_type):
                return node
            if kind == "norm":
                return Norm("", node.arg, span=node.span)
            return Call(kind, (node.arg,), span=node.span, func_span=node.span)

        program = rewritten(written, change)
        assert isinstance(program, Program)
        return program

    @bounded_property
    def _written(self) -> Program:
        """The syntax tree as it was read."""
        built: Program | None = self.__dict__.get("program")
        return built if built is not None else read(self.text, self._syntax, self._given)

    @bounded_property
    def _meaning(self) -> Elaborated:
        try:
            with paused_collection():
                meaning = elaborate(self._written, self._given, shape=self._expected)
            for name, symbol in meaning.symbols.items():
                check_order(len(symbol.type.shape), name)
            check_order(len(meaning.type.shape), "the value")
            return meaning
        except MatcalcError as error:
            if error.source is None:
                error.source = self.text
            raise error from None

    @property
    def request(self) -> Request | None:
        r"""The derivative that the text itself asks for, as ``\frac{\partial E}{\partial x} = answer`` in LaTeX.

        >>> import matcalc as mc
        >>> request = mc.parse(r"\nabla_x x^\top x = 2 x").request
        >>> request.wrt, request.order, request.claim.right.id
        (('x',), 1, 'x')
        """
        return self._written.request

    @property
    def node(self) -> Node:
        """The root of the expression in the index normal form."""
        return self._meaning.node

    @bounded_property
    def simplified(self) -> Node:
        """The root after simplification."""
        with paused_collection():
            return simplify(self.node)[0]

    @bounded_property
    def definitions(self) -> dict[str, Node]:
        """The intermediates that the program names, in normal form."""
        return {name: simplify(node)[0] for name, node in self._meaning.definitions.items()}

    @bounded_property
    def occurring(self) -> dict[str, Variable]:
        """The variables that occur in the root, by name."""
        return {variable.name: variable for variable in variables(self.node)}

    @property
    def meaning(self) -> Elaborated:
        """What elaboration found: symbols, sizes, notes."""
        return self._meaning

    @property
    def sizes(self) -> tuple[str, ...]:
        """The named sizes of all variables, which nothing else may be called in a formula."""
        symbols = self.meaning.symbols.values()
        return tuple({name: None for symbol in symbols for dim in symbol.type.shape for name in dim.names})

    @bounded_property
    def type(self) -> Type:
        """Kind and shape."""
        return self._meaning.type

    @property
    def shape(self) -> tuple[int | str, ...]:
        """The shape; sizes without a number are text."""
        return shape_names(self.type.shape)

    @bounded_property
    def order(self) -> tuple[str, ...]:
        """The names of the variables, in order of first appearance."""
        return tuple(self._meaning.symbols)

    @bounded_property
    def vars(self) -> dict[str, str]:
        """The type of every variable, declared or inferred."""
        return {name: type_text(symbol.type, symbol.properties) for name, symbol in self._meaning.symbols.items()}

    @property
    def inferred(self) -> tuple[str, ...]:
        """The names whose type was inferred."""
        return tuple(name for name, symbol in self._meaning.symbols.items() if symbol.inferred)

    @property
    def notes(self) -> tuple[str, ...]:
        """How the text was read, where it could be read in two ways."""
        return tuple(self._meaning.notes)

    def with_types(self, vars: Mapping[str, str]) -> Expr:  # noqa: A002
        """The same text, in the same notation, under other declarations."""
        return Expr(self.text, vars, self._expected, self._syntax, self.limits)

    # --- printing --------------------------------------------------------------------------------

    @bounded_property
    def formula(self) -> str:
        """The expression on one line of text; valid input again."""
        return check_printed(to_text(self.program, separator="; "))

    @bounded_property
    def latex(self) -> str:
        """The expression as LaTeX."""
        return check_printed(to_latex(self._without_bars(only_by_type=False)))

    @bounded_property
    def unicode(self) -> str:
        """The expression with Greek letters and mathematical signs."""
        return check_printed(to_unicode(self.program, separator="; "))

    def __str__(self) -> str:
        return self.formula

    def __repr__(self) -> str:
        return f"Expr({self.formula!r})"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex}$"

    # --- derivatives and functions ---------------------------------------------------------------

    def diff(self, *names: str) -> Expr:
        """Differentiate by one name after another.

        >>> import matcalc as mc
        >>> mc.parse("x^T A x", {"A": "matrix(n, n)"}).diff("x", "x").formula
        'A + A^T'

        Raises
        ------
        NotDifferentiable: an operation on the way has no derivative.
        """
        from .derivation import Derivative, canonical  # built on expressions, so it cannot be imported before them

        return Derivative(self, tuple(canonical(name) for name in names), "gradient").expr

    def compile(self, *, backend: str = "numpy") -> Function:
        """A NumPy function of the variables, called with keyword arguments.

        Parameters
        ----------
        backend: ``numpy``, or ``numba`` for loops that Numba compiles at the first call.

        Raises
        ------
        UsageError: the text asks for a derivative, so that it could be meant instead of the value.
        """
        self._refuse_request()
        from .functions import Function, Request  # needs NumPy, which a formula does not

        return Function(Request("value", self, (), True, backend=backend))

    def _refuse_request(self) -> None:
        """What is asked for is a derivative, not the value of this expression."""
        if self.request is not None:
            raise UsageError(
                "the text asks for a derivative, which is not the value of an expression",
                source=self.text,
                span=self.request.span,
                hint="use mc.derive or mc.grad for it, or give what is differentiated alone",
            )

    # --- operators -------------------------------------------------------------------------------

    @property
    def _value(self) -> Ast:
        """The output as an expression that may stand inside another one."""
        self._refuse_request()
        last = self.program.statements[-1]
        if isinstance(last, Assign):
            return last.target
        if isinstance(last, Define):
            return last.body
        if isinstance(last, Output):
            return last.value
        raise UsageError("the program has no output to build on", source=self.text)

    @property
    def _setting(self) -> tuple[Ast, ...]:
        """The statements before the output (and the output, when it is named)."""
        statements = self.program.statements
        return statements if isinstance(statements[-1], Assign) else statements[:-1]

    def _combine(self, operands: Sequence[Expr | Ast], build: Callable[..., Ast]) -> Expr:
        """The expression ``build(*operands)`` over the settings of the operands.

        Only the new operation is typed, with names in place of its operands, so that a long expression is built in
        linear time; the whole of it is elaborated when it is needed, or to report an error in the user's names.
        """
        expressions = [operand for operand in operands if isinstance(operand, Expr)]
        size = 1 + sum(expression._size for expression in expressions)
        allowed = current().operations
        if size > allowed:
            raise exceeded(
                "operations",
                f"the expression has more than {allowed} operations",
                hint='name what is used several times: mc.parse("s = …; s .* s")',
            )
        declared: dict[str, str] = {}
        setting: dict[str, Ast] = {}
        for expression in expressions:
            _merge(declared, expression._declared)
            setting |= {to_text(statement): statement for statement in expression._setting}
        targets = [statement.target.id for statement in setting.values() if isinstance(statement, Assign)]
        for name in targets:
            if targets.count(name) > 1:
                raise UsageError(f"{name} is defined differently by two operands", hint="rename one of them")
        value = build(*(operand._value if isinstance(operand, Expr) else operand for operand in operands))
        made = Expr._built(Program((*setting.values(), Output(value))), declared, size)
        made.__dict__["type"] = _type_of(operands, build) or made._meaning.type
        return made

    def _binary(self, op: str, other: object, *, reflected: bool = False) -> Expr:
        right = as_operand(other)
        if right is None:
            return NotImplemented  # type: ignore[no-any-return]
        operands = (right, self) if reflected else (self, right)
        match op:
            case "+":
                return self._combine(operands, lambda a, b: Add(((1, a), (1, b))))
            case "-":
                return self._combine(operands, lambda a, b: Add(((1, a), (-1, b))))
        return self._combine(operands, lambda a, b: Binary(op, a, b, juxtaposed=op == "*"))

    def _entrywise(self, op: str, other: object, *, reflected: bool = False) -> Expr:
        """``*`` between arrays is entrywise; with a number or a scalar it is the plain product."""
        scalar = self._is_scalar or not isinstance(other, Expr) or other._is_scalar
        return self._binary(op if scalar else f".{op}", other, reflected=reflected)

    @property
    def _is_scalar(self) -> bool:
        return not self.type.shape

    def __add__(self, other: object) -> Expr:
        return self._binary("+", other)

    def __radd__(self, other: object) -> Expr:
        return self._binary("+", other, reflected=True)

    def __sub__(self, other: object) -> Expr:
        return self._binary("-", other)

    def __rsub__(self, other: object) -> Expr:
        return self._binary("-", other, reflected=True)

    def __mul__(self, other: object) -> Expr:
        return self._entrywise("*", other)

    def __rmul__(self, other: object) -> Expr:
        return self._entrywise("*", other, reflected=True)

    def __truediv__(self, other: object) -> Expr:
        return self._entrywise("/", other)

    def __rtruediv__(self, other: object) -> Expr:
        return self._binary("/" if self._is_scalar else "./", other, reflected=True)

    def __matmul__(self, other: object) -> Expr:
        return self._binary("*", other)

    def __rmatmul__(self, other: object) -> Expr:
        return self._binary("*", other, reflected=True)

    def __pow__(self, other: object) -> Expr:
        if len(self.type.shape) == 2 and isinstance(other, int) and other < 0:
            raise UsageError(
                "a negative power of a matrix could be meant entrywise or as an inverse",
                hint="write A.inv() for the inverse and 1 / A for the reciprocals",
            )
        return self._binary("^" if self._is_scalar else ".^", other)

    def __rpow__(self, other: object) -> Expr:
        return self._binary("^" if self._is_scalar else ".^", other, reflected=True)

    def __neg__(self) -> Expr:
        return self._combine([self], lambda a: Add(((-1, a),)))

    def __pos__(self) -> Expr:
        return self

    @property
    def T(self) -> Expr:  # noqa: N802
        """The transpose."""
        return self._combine([self], Transpose)

    def apply(self, function: str, *others: Expr | int | float | Fraction, **options: int | float) -> Expr:
        """Apply a function of the language by its name.

        >>> import matcalc as mc
        >>> z = mc.symbols("z: vector(n)")
        >>> str(z.apply("exp").sum())
        'sum(exp(z))'

        Parameters
        ----------
        function: any name listed by ``matcalc ops``.
        others: further operands.
        options: keyword arguments of the function, such as ``axis=0``.

        Raises
        ------
        UnknownName: there is no such function.
        """
        if not isinstance(function, str):
            raise UsageError(f"a function is named by text, not {shown(function)}", hint='x.apply("exp")')
        operands: list[Expr | Ast] = [self]
        for other in others:
            operand = as_operand(other)
            if operand is None:
                raise UsageError(
                    f"an operand of {function} is {shown(other)}, neither an expression nor a number",
                    hint="pass an Expr, as mc.symbols makes them, or a number",
                )
            operands.append(operand)
        keywords = tuple((name, number_ast(value)) for name, value in options.items())
        return self._combine(operands, lambda *asts: Call(function, asts, keywords))

    def sum(self, axis: int | None = None) -> Expr:
        """The sum of all entries, or along an axis."""
        return self.apply("sum") if axis is None else self.apply("sum", axis=axis)

    def mean(self, axis: int | None = None) -> Expr:
        """The mean of all entries, or along an axis."""
        return self.apply("mean") if axis is None else self.apply("mean", axis=axis)

    def trace(self) -> Expr:
        """The trace."""
        return self.apply("tr")

    def inv(self) -> Expr:
        """The inverse."""
        return self.apply("inv")


def _merge(into: dict[str, str], other: Declarations) -> None:
    """Add declarations; a name may not have two types."""
    for name, text in other.items():
        known = into.setdefault(name, text)
        if known != text:
            raise ShapeError(
                f"{name} is {known} in one operand and {text} in the other",
                hint="declare the names once, with mc.symbols",
            )


def _type_of(operands: Sequence[Expr | Ast], build: Callable[..., Ast]) -> Type | None:
    """The type of an operation on operands of known types; None when it does not fit."""
    types: dict[str, str] = {}
    places: list[Ast] = []
    for position, operand in enumerate(operands):
        if not isinstance(operand, Expr):
            places.append(operand)
            continue
        name = f"operand_{position}"
        types[name] = type_text(operand.type)
        places.append(Transpose(Name(name)) if operand.type.kind == "row" else Name(name))
    try:
        return elaborate(Program((Output(build(*places)),)), types).type
    except MatcalcError:
        return None


def number_ast(value: int | float | Fraction) -> Ast:
    """A number as syntax, exactly."""
    number = Fraction(str(value)) if isinstance(value, float) else Fraction(value)
    return Add(((-1, Num(-number)),)) if number < 0 else Num(number)


def as_operand(value: object) -> Expr | Ast | None:
    """An operand of an operator: an expression, a number, or None for anything else."""
    if isinstance(value, Expr):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction):
        return None
    if isinstance(value, float) and value - value != 0:
        raise UsageError(f"{value} cannot stand in an expression", hint='use a finite number, or mc.parse("inf")')
    return number_ast(value)


def as_expr(
    text: str | Expr, given: Mapping[str, str] | str | None, syntax: str = "auto", limits: Limits | None = None
) -> Expr:
    """An expression from text, or the expression with further declarations.

    Raises
    ------
    UsageError: anything else.
    """
    if isinstance(text, Expr):
        extra = declarations(given)
        if not extra:
            return text if limits is None or limits == text.limits else text._within(limits)
        return Expr(text.text, {**text._given, **extra}, text._expected, text._syntax, limits or text.limits)
    if isinstance(text, str):
        return Expr(text, given, syntax=syntax, limits=limits)
    raise UsageError(f"an expression is text or an Expr, not {shown(text)}", hint='write "x^T A x"')


def parse(
    text: str,
    vars: Mapping[str, str] | str | None = None,  # noqa: A002
    syntax: str = "auto",
    *,
    timeout: float | None = None,
    limits: Limits | None = None,
) -> Expr:
    r"""Read a program.

    >>> import matcalc as mc
    >>> mc.parse("||A x - b||^2", {"A": "matrix(m, n)"}).vars
    {'A': 'matrix(m, n)', 'x': 'vector(n)', 'b': 'vector(m)'}
    >>> mc.parse(r"\left\lVert A\mathbf{x} - \mathbf{b} \right\rVert_2^2").formula
    '||A x - b||_2^2'

    Parameters
    ----------
    text: the program, in plain text or in LaTeX.
    vars: declared types by name, or declarations as text; names that are missing are inferred.
    syntax: ``text``, ``latex``, or ``auto`` for what the text looks like.
    timeout: seconds, by default no end.
    limits: what the call may use, by default the defaults of `Limits`.

    Raises
    ------
    ParseError: the text does not follow the grammar.
    UnknownName: a function that does not exist.
    ShapeError: shapes that do not fit.
    LimitError: a limit was reached; it is named.
    """
    return Expr(text, vars, syntax=syntax, limits=chosen(limits, timeout))


def symbols(text: str) -> Any:
    """Declare names and return an expression for each.

    >>> import matcalc as mc
    >>> A, x = mc.symbols("A: matrix(m, n), x: vector(n)")
    >>> (A @ x).shape
    ('m',)

    Returns a tuple, or the `Expr` itself for a single name.

    Parameters
    ----------
    text: declarations.

    Raises
    ------
    ParseError: the text is not a declaration.
    """
    declared = declarations(text)
    made = tuple(Expr._built(Program((Output(Name(name)),)), {name: kind}, 1) for name, kind in declared.items())
    for expression in made:
        expression._meaning  # noqa: B018  a type that makes no sense is reported here
    if not made:
        raise UsageError("no name is declared", hint='write "A: matrix(n, n), x: vector(n)"')
    return made[0] if len(made) == 1 else made
