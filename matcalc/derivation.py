"""A derivative as a formula: which variable is meant, the layout, the notation and what must hold."""

from __future__ import annotations

from contextlib import suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from .calculus.formula import differentiate, formula
from .calculus.present import present, sums_of
from .calculus.simplify import simplify
from .collection import paused_collection
from .conditions import conditions
from .elaborate.program import RESERVED
from .elaborate.tree import nodes_of
from .errors import MatcalcError, NotDifferentiable, Span, Unsupported, UsageError, shown
from .expr.build import zeros
from .expr.dims import shape_text
from .expr.nodes import Node, Variable
from .expression import Expr, shape_names
from .forms.catalogue import FORMS, Form, Subject, form, forms, matrix, shortest
from .layout import STACKED, Arranged, arrange, stacks
from .limits import bounded, bounded_property, check_order, check_printed
from .notation.echo import habits
from .notation.latex import to_latex
from .notation.matrices import to_program
from .notation.text import to_text
from .notation.unicode import to_unicode
from .ops.registry import OPERATIONS
from .structure import SYMMETRIC, chosen, notes_of, properties_of, restored, structured, subject, within
from .syntax.ast import Assign, Ast, Call, Output, Program, Transpose
from .syntax.scan import canonical_name

if TYPE_CHECKING:
    from .explanation.explain import Step
    from .functions import Function
    from .verify import CheckReport

USUAL_UNKNOWNS = ("x", "X", "w", "W", "theta", "beta")


def choose_variable(expr: Expr) -> tuple[str, str]:
    """The variable a reader would differentiate by when none is named, and the note that says so.

    Raises
    ------
    UsageError: none or several are as likely.
    """
    names = [name for name in expr.order if name in expr.occurring]
    vectors = [name for name in names if expr.meaning.symbols[name].type.kind in ("column", "row")]
    usual = [name for name in names if name in USUAL_UNKNOWNS]
    for candidates in (names, vectors, usual):
        if len(candidates) == 1:
            return candidates[0], f"no variable was named: differentiated by {candidates[0]}"
    if not names:
        raise UsageError(
            "the expression has no variable to differentiate by", source=expr.text, hint="every name in it is a number"
        )
    raise UsageError(
        f"name the variable to differentiate by: {', '.join(names)} are possible",
        source=expr.text,
        hint=f'wrt="{(vectors or names)[0]}" (on the command line --wrt {(vectors or names)[0]})',
    )


def canonical(name: object) -> str:
    """The one spelling of the name of a variable.

    Raises
    ------
    UsageError: something that is not text.
    ParseError: text that is not a name.
    """
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"a variable is named by text, not by {shown(name)}", hint='wrt="x"')
    return canonical_name(name)


def find_variable(expr: Expr, name: str) -> tuple[Variable, str]:
    """The variable of this name, and a warning where the expression does not depend on it."""
    variable = expr.occurring.get(name)
    if variable is not None:
        return variable, ""
    symbol = expr.meaning.symbols.get(name)
    if symbol is not None:
        reason = f"the expression does not depend on {name}: the derivative is zero"
        return Variable(name, symbol.type.shape, symbol.properties), reason
    if name in expr.meaning.definitions:
        raise UsageError(
            f"{name} is defined by the program, it is not one of its variables",
            source=expr.text,
            hint=f"differentiate by one of {', '.join(expr.order)}",
        )
    sizes = {size for known in expr.meaning.symbols.values() for dim in known.type.shape for size in dim.names}
    if name in sizes or name in OPERATIONS or name in RESERVED:
        what = "a size, a whole number" if name in sizes else "a constant or a function of the language"
        hint = f"differentiate by one of {', '.join(expr.order)}" if expr.order else "name a variable"
        raise UsageError(f"{name} is {what}, not a variable", hint=hint)
    nearest = get_close_matches(name, expr.order, 1, 0.5) or [
        known for known in expr.order if known.casefold() == name.casefold()
    ]
    reason = f"{name} does not occur in the expression: the derivative is zero"
    if nearest:
        reason += f" (did you mean {nearest[0]}?)"
    alone = Expr(name, {name: expr._given[name]} if name in expr._given else None)
    return Variable(name, alone.node.shape), reason


class Derivative:
    """A derivative as a formula, with everything that is known about it.

    Attributes
    ----------
    wrt: the names differentiated by, one for each order.
    order: 1 or 2.
    layout: the layout in force.
    structure: ``respect``, ``free`` or ``vech``: the space in which it is taken.
    node: the derivative in the index normal form, in that layout.
    notes: how the text was read, and warnings.
    warnings: those of the notes that may make the answer a surprise.
    """

    def __init__(
        self,
        expr: Expr,
        wrt: tuple[str, ...],
        layout: str,
        notes: tuple[str, ...] = (),
        structure: str | None = None,
    ) -> None:
        self.function = expr
        self.wrt = wrt
        self.order = len(wrt)
        self.layout = layout
        self.structure = chosen(expr, wrt, structure)
        self._asked = structure
        self.limits = expr.limits
        with Attached(expr), bounded(self.limits):
            self._differentiate(expr, wrt, notes, structure)

    def _differentiate(self, expr: Expr, wrt: tuple[str, ...], notes: tuple[str, ...], structure: str | None) -> None:
        warnings: list[str] = []
        self._written = subject(expr, wrt, structure)
        raw = self._written.simplified
        wanted = []
        for name in wrt:
            variable, warning = find_variable(self._written, name)
            wanted.append(variable)
            if warning and warning not in warnings:
                warnings.append(warning)
        check_order(raw.order + sum(variable.order for variable in wanted), "The derivative")
        if warnings:
            raw = zeros(raw.shape + tuple(dim for variable in wanted for dim in variable.shape))
        else:
            with paused_collection():
                raw = differentiate(raw, wanted)
        self._slope = raw
        if self._is_moved:
            raw = simplify(self._in_space(raw))[0]
        halves = structure == "vech"
        self.orders = (expr.node.order, *(1 if halves else variable.order for variable in wanted))
        arranged = self._arranged(raw)
        self.raw = raw
        self.node = simplify(arranged.node)[0] if arranged.node is not raw else raw
        self._row = arranged.row
        self.warnings = tuple(warnings)
        about = notes_of(expr, wrt, structure) if not warnings else ()
        self.notes = (*expr.notes, *dict.fromkeys((*notes, *about)), *warnings)

    @property
    def _is_moved(self) -> bool:
        """Whether the space is another than that in which derivatives are computed."""
        return self._written is not self.function or self.structure == "vech"

    def _in_space(self, node: Node) -> Node:
        """A derivative of what was differentiated, over the declared variables and in the space asked for."""
        declared = [find_variable(self.function, name)[0] for name in self.wrt]
        return within(restored(node, self.function), declared, self._asked)

    def _arranged(self, node: Node) -> Arranged:
        """A derivative of this order in this layout."""
        return arrange(node, self.orders, self.layout)

    # --- formulas --------------------------------------------------------------------------------

    @bounded_property
    def _readable(self) -> Node:
        """The derivative of shape output + variables, in the form in which it is printed."""
        if self.warnings:
            return self.raw
        wanted = [find_variable(self._written, name)[0] for name in self.wrt]
        with paused_collection():
            readable = formula(self._written.node, wanted, self._slope)
            if not self._is_moved:
                return readable
            placed = self._in_space(readable)
            return placed if self._written is self.function else present(simplify(placed)[0])

    @bounded_property
    def ast(self) -> Ast:
        """The formula as syntax."""
        if self.layout in STACKED:
            with suppress(Unsupported):  # without a Kronecker form the matrix is written as a contraction
                return matrix(self._subject)
        return self._written_as(named=True)

    def _written_as(self, *, named: bool) -> Ast:
        readable = self._readable
        if self.layout != "gradient":
            readable = present(self._arranged(readable).node)
        spellings = habits(self.function.program)
        tree = to_program(
            readable,
            self.function.order,
            definitions=self.function.definitions if named else {},
            spellings=spellings,
            taken=self.function.sizes,
            named=named,
        )
        return _transposed(tree) if self._row else tree

    @bounded_property
    def formula(self) -> str:
        """The formula as text, valid input again."""
        with paused_collection():
            return check_printed(to_text(self.ast, separator="; "))

    @bounded_property
    def latex(self) -> str:
        """The formula as LaTeX."""
        return check_printed(to_latex(self.ast))

    @bounded_property
    def unicode(self) -> str:
        """The formula with Greek letters and mathematical signs."""
        return check_printed(to_unicode(self.ast, separator="; "))

    def in_layout(self, layout: str) -> Derivative:
        """The same derivative in another layout.

        >>> import matcalc as mc
        >>> mc.derive("A X B", "X").in_layout("vec").formula
        'kron(B^T, A)'

        Parameters
        ----------
        layout: ``gradient``, ``numerator``, ``denominator``, ``vec`` or ``vec-row``.

        Raises
        ------
        UsageError: the layout is not defined for these shapes.
        """
        return self.__class__(self.function, self.wrt, layout, self._kept_notes(), self._asked)

    def form(self, name: str) -> Form:
        """The derivative in another form: a program, what its value is, and its cost.

        >>> import matcalc as mc
        >>> d = mc.derive("X^-1", "X")
        >>> print(d.form("map"), d.form("kronecker"), d.form("index"), sep="\\n")
        dF(dX) = -X^-1 dX X^-1
        -kron(X^-T, X^-1)
        D[i, j, k, l] = -(X^-1)[i, k] (X^-1)[l, j]

        Parameters
        ----------
        name: ``map`` (a function of a change of the variable), ``adjoint`` (its adjoint, a function of a cotangent),
            ``kronecker`` (the matrix of ``vec(dF) = J vec(dX)``; rows are stacked in the layout ``vec-row``),
            ``index`` (entry by entry) or ``einsum`` (the array).

        Raises
        ------
        UsageError: there is no form of this name.
        Unsupported: this derivative has no such form; the reason is named.
        """
        with bounded(self.limits), paused_collection():
            return form(self._subject, name)

    @bounded_property
    def forms(self) -> dict[str, Form]:
        """Every form that this derivative has, by name."""
        with paused_collection():
            return forms(self._subject, FORMS)

    @bounded_property
    def shortest(self) -> Form | None:
        """The form that is displayed where the array has three or more axes, in the layout gradient."""
        if self.layout != "gradient" or self.node.order < 3:
            return None
        with paused_collection():
            return shortest(self._subject)

    @property
    def _subject(self) -> Subject:
        expr = self.function
        layout = self.layout if self.layout in STACKED else "vec"
        rows, columns = stacks(self.orders, layout)
        sizes = {name for dim in self._readable.shape for name in dim.names}
        symbols = expr.meaning.symbols.values()
        sizes |= {name for symbol in symbols for dim in symbol.type.shape for name in dim.names}
        free = None
        if self.structure == "vech" and all(properties_of(expr, name) & SYMMETRIC for name in self.wrt):
            free = Derivative(expr, self.wrt, self.layout, (), "free")._subject
        return Subject(
            self._readable,
            self.orders,
            self.wrt[-1],
            tuple(expr.order),
            (*expr.meaning.symbols, *expr.definitions, *sorted(sizes)),
            sums_of(expr.node),
            expr.definitions,
            rows,
            columns,
            STACKED[layout],
            free,
        )

    @property
    def evaluated(self) -> Node:
        """The derivative as it is compiled: that of the function in its stable form."""
        from .lower.stable import differentiable  # a formula is printed without the lowering

        if self.warnings:
            return self.node
        (value,) = differentiable(self._written.simplified)
        with paused_collection():
            wanted = [find_variable(self._written, name)[0] for name in self.wrt]
            slope = differentiate(value, wanted)
            if self._is_moved:
                slope = self._in_space(slope)
        return simplify(self._arranged(slope).node)[0]

    @property
    def shape(self) -> tuple[int | str, ...]:
        """The shape, in the names of the sizes."""
        return shape_names(self.node.shape)

    @property
    def shape_text(self) -> str:
        """The shape as it is printed; a row is marked as one."""
        return shape_text(self.node.shape) + (" row" if self._row else "")

    @property
    def layout_text(self) -> str:
        """The layout as it is printed; one that stacks axes with its order."""
        return f"{self.layout} ({STACKED[self.layout]})" if self.layout in STACKED else self.layout

    @property
    def stacked_text(self) -> str:
        """The layout of the Kronecker form as it is printed."""
        return self.layout_text if self.layout in STACKED else f"vec ({STACKED['vec']})"

    @property
    def structure_text(self) -> str:
        """The space in which the derivative is taken, where the variable has one; else empty."""
        return self.structure if structured(self.function, self.wrt) else ""

    @property
    def vars(self) -> dict[str, str]:
        """The type of every variable, declared or inferred."""
        return self.function.vars

    @property
    def inferred(self) -> tuple[str, ...]:
        """The names whose type was inferred."""
        return self.function.inferred

    @bounded_property
    def conditions(self) -> tuple[str, ...]:
        """What must hold for the function and its derivative to be defined."""
        return conditions(self.function, [self.node])

    @bounded_property
    def expr(self) -> Expr:
        """The derivative as an expression, to go on with: the formula in one piece, without names of its own."""
        return Expr.of_formula(self._written_as(named=False), self.node.shape, self.function)

    @property
    def source(self) -> str:
        """The NumPy source of the compiled derivative."""
        return self.compile().source

    # --- numbers ---------------------------------------------------------------------------------

    def compile(self, *, backend: str = "numpy") -> Function:
        """The derivative as a NumPy function of the variables.

        Parameters
        ----------
        backend: ``numpy``, or ``numba`` for loops that Numba compiles at the first call.
        """
        return self._function if backend == "numpy" else self._made(backend)

    @bounded_property
    def _function(self) -> Function:
        return self._made("numpy")

    def _made(self, backend: str) -> Function:
        from .functions import Function, Request  # needs NumPy, which a formula does not

        asked = Request(
            "derivative", self.function, self.wrt, True, self.layout, structure=self._asked, backend=backend
        )
        return Function(asked)

    def __call__(self, **arrays: Any) -> Any:
        """Evaluate the derivative at arrays given by name."""
        return self._function(**arrays)

    def check(self, seed: int = 0) -> CheckReport:
        """Compare with numerical derivatives at random points, and the printed formula with both.

        >>> import matcalc as mc
        >>> mc.derive("x^T A x", "x").check().ok
        True

        Parameters
        ----------
        seed: of the random points.
        """
        from .verify import check  # needs NumPy, which a formula does not

        return check(self, seed)

    @bounded_property
    def steps(self) -> tuple[Step, ...]:
        """How the derivative comes about, line by line, in the style ``chain``; see `matcalc.explain`.

        >>> import matcalc as mc
        >>> for step in mc.derive("||A x - b||^2", "x").steps:
        ...     print(step)
        r1 = A x - b
        f = r1^T r1
        delta_r1 = df/dr1 = 2 r1
        df/dx = A^T delta_r1
        df/dx = 2 A^T (A x - b)
        """
        from .explanation.explain import Explanation  # built on derivatives

        return Explanation(self).steps

    # --- display ---------------------------------------------------------------------------------

    def __str__(self) -> str:
        return self.formula if self.shortest is None else self.shortest.text

    def __repr__(self) -> str:
        return f"Derivative({self.formula!r}, wrt={', '.join(self.wrt)!r}, shape={self.shape_text!r})"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex if self.shortest is None else self.shortest.latex}$"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": str(self), "text/latex": self._repr_latex_()}

    def to_dict(self) -> dict[str, Any]:
        """Everything but the function as plain data.

        >>> import matcalc as mc
        >>> mc.derive("sin(t)", vars={"t": "scalar"}).to_dict()["formula"]
        'cos(t)'
        """
        return {
            "formula": self.formula,
            "latex": self.latex,
            "unicode": self.unicode,
            "shape": list(self.shape),
            "layout": self.layout,
            "structure": self.structure,
            "wrt": list(self.wrt),
            "order": self.order,
            "vars": self.vars,
            "inferred": list(self.inferred),
            "conditions": list(self.conditions),
            "notes": list(self.notes),
            "forms": {name: found.to_dict() for name, found in self.forms.items()} if self.raw.order > 2 else {},
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return Derivative, (self.function, self.wrt, self.layout, self._kept_notes(), self._asked)

    def _kept_notes(self) -> tuple[str, ...]:
        """The notes that the derivative was given."""
        return self.notes[len(self.function.notes) : len(self.notes) - len(self.warnings)]


class Attached:
    """Errors that leave the block carry the text of the expression."""

    def __init__(self, expr: Expr) -> None:
        self._expr = expr

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, NotDifferentiable) and error.span is None and error.source is None:
            error.span = _place_of(error.operation, self._expr.program)
        if isinstance(error, MatcalcError):
            error.with_source(self._expr.text)


def _place_of(operation: str, program: Program) -> Span | None:
    """Where an operation is first called in the text that was read."""
    if not program.source:
        return None
    for node in nodes_of(program):
        if isinstance(node, Call) and node.func in OPERATIONS and OPERATIONS[node.func].name == operation:
            return node.span
    return None


def _transposed(formula: Ast) -> Ast:
    """The formula of the row whose column is given."""
    if not isinstance(formula, Program):
        return formula.arg if isinstance(formula, Transpose) else Transpose(formula)
    last = formula.statements[-1]
    value = last.value if isinstance(last, Output | Assign) else last
    return Program((*formula.statements[:-1], Output(Transpose(value))))
