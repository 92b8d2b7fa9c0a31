"""Compiled NumPy functions that know their formula, may be pickled and may be called from several threads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .calculus.derive import derivative, derivatives, pullback, pushforward
from .calculus.formula import formula
from .calculus.present import present
from .calculus.simplify import simplify
from .collection import paused_collection
from .conditions import conditions
from .derivation import Attached, Derivative, find_variable
from .errors import MatcalcError, ShapeError, UsageError
from .expr.build import add, product, variables
from .expr.dims import Shape, shape_text
from .expr.nodes import Node, Variable
from .expression import Expr, shape_names
from .limits import Limits, bounded, bounded_property, check_printed
from .lower.backends import require_backend
from .lower.cost import Cost
from .lower.entry import MISSING, Form, are_of_numpy, arranged, entry
from .lower.function import Compiled, compile_function
from .lower.panels import Machine
from .lower.stable import differentiable, named_as_written, recognised
from .notation.echo import habits
from .notation.latex import to_latex
from .notation.matrices import to_program
from .notation.text import to_text
from .notation.unicode import to_unicode
from .structure import chosen, notes_of, restored, subject, within
from .syntax.ast import Ast
from .syntax.greek import as_keyword, spell_keyword

if TYPE_CHECKING:
    from .export.elsewhere import Elsewhere, Library

KINDS = ("scalar", "vector", "matrix")
"""What an array with so many axes is declared as."""

USUAL_SIZES = frozenset("NMKDnmkd")
"""Names that mean the size of an array on paper, and are read as numbers where no declaration says so."""

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

DESCRIBED: Mapping[str, str] = {
    "value": "",
    "derivative": "derivative of ",
    "grad": "gradient of ",
    "value_and_grad": "value and gradient of ",
    "jacobian": "Jacobian of ",
    "hessian": "Hessian of ",
    "hvp": "Hessian-vector product of ",
    "vjp": "vector-Jacobian product of ",
    "jvp": "Jacobian-vector product of ",
}
"""What a function of a kind computes, before the formula of what was differentiated."""

Kind = Literal["value", "derivative", "grad", "value_and_grad", "jacobian", "hessian", "hvp", "vjp", "jvp"]


@dataclass(frozen=True, slots=True)
class Request:
    """What a compiled function was asked for: it is enough to build the function again, also in another process.

    Parameters
    ----------
    kind: what is computed.
    function: what is differentiated.
    wrt: the names differentiated by.
    single: whether the result is an array rather than a tuple with one array for each name.
    layout: for ``derivative``.
    notes: what was chosen for the caller.
    structure: for derivatives other than products with vectors, the space in which they are taken.
    form: ``array``, or ``operator`` for a Jacobian or a Hessian that stays compressed.
    backend: ``numpy``, or ``numba`` for fused loops that are compiled at the first call.
    """

    kind: Kind
    function: Expr
    wrt: tuple[str, ...]
    single: bool
    layout: str = "gradient"
    notes: tuple[str, ...] = ()
    structure: str | None = None
    form: str = "array"
    backend: str = "numpy"


class _Plan(NamedTuple):
    """The nodes of a request: outputs, the derivatives among them, and the directions that are passed first."""

    outputs: tuple[Node, ...]
    shown: tuple[Node, ...]
    directions: tuple[Variable, ...]


class Function:
    """A compiled NumPy function that remembers its formula.

    It is called with one keyword argument for each variable, may be pickled and may be called from several threads.

    >>> import matcalc as mc
    >>> g = mc.grad("x^T x", "x")
    >>> g(x=np.array([1.0, 2.0]))
    array([2., 4.])
    """

    # a call looks up what stands in the slot and runs it, without a method in between that would pack the arguments
    __slots__ = {
        "__call__": """Evaluate; ``hvp``, ``vjp`` and ``jvp`` take their direction first, or as ``v``.

        Raises
        ------
        UnknownName: an argument that the function does not have.
        UsageError: an argument is missing.
        ShapeError: shapes do not fit the declared ones or each other.
        DomainError: values that lack a declared property, or at which the function is not defined.
        """,
        "__dict__": "Facts about the function that are found when they are asked for.",
        "__weakref__": "References that do not keep the function alive.",
    }  # fmt: skip

    __call__: Callable[..., Any]

    def __init__(self, request: Request) -> None:
        require_backend(request.backend)
        for names in _differentiated(request):
            chosen(request.function, names, request.structure)
        self.request = request
        self.function = request.function
        with Attached(self.function), bounded(self.limits), paused_collection():
            self._plan = _plan(self.function, request)
        self._compiled: Compiled | None = None
        self._form = _form(request, len(self._plan.outputs))
        self.__call__ = self._general

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.request,)

    def __repr__(self) -> str:
        arguments = ", ".join(self.args)
        return f"<{self.request.kind} of {self.function.formula!r} as a function of {arguments}>"

    # --- calling ---------------------------------------------------------------------------------

    @property
    def limits(self) -> Limits:
        """What making the function and its formula may use."""
        return self.function.limits

    @property
    def args(self) -> tuple[str, ...]:
        """The names of the arguments: directions, variables, and sizes that no array tells."""
        directions = (variable.name for variable in self._plan.directions)
        return (*directions, *self.function.order, *self.compiled.passed.values())

    @property
    def __signature__(self) -> Signature:
        """What `inspect.signature` and the completion of interactive shells show."""
        given = [Parameter("directions", Parameter.VAR_POSITIONAL)] if self._plan.directions else []
        named = [Parameter(as_keyword(name), Parameter.KEYWORD_ONLY) for name in self.args]
        return Signature([*given, *named])

    def _general(self, *directions: Any, **arrays: Any) -> Any:
        """Evaluate in the general way, and take the quick way for calls like this one from now on."""
        leading = len(directions)
        if directions or self._plan.directions:
            arrays = self._with_directions(directions, arrays)
        compiled = self.compiled
        library = _library_of(arrays.values())
        try:
            if library is not None:
                return arranged(self._elsewhere(library, arrays), self._form)
            results, seen = compiled.evaluate(arrays)
        except (ShapeError, UsageError) as error:
            add_hint(error, self.function, compiled, arrays)
            raise
        # several directions that are passed as one tuple are looked at each time
        if seen is not None and leading in (0, len(self._plan.directions)):
            self.__call__ = entry(seen, compiled.surroundings, self._retry, self._form, leading)
        return arranged(results, self._form)

    def _retry(
        self,
        names: Sequence[str],
        first: Sequence[Any],
        more: Sequence[Any],
        other: Mapping[str, Any],
        values: Sequence[Any],
    ) -> Any:
        """The general way for a call that is not like the last one."""
        directions = [value for value in first if value is not MISSING]
        arrays = {name: value for name, value in zip(names, values, strict=True) if value is not MISSING}
        return self._general(*directions, *more, **arrays, **other)

    def _with_directions(self, directions: tuple[Any, ...], arrays: dict[str, Any]) -> dict[str, Any]:
        """The arguments with the directions under their names."""
        if not directions and not isinstance(arrays.get("v"), tuple | list):
            return arrays
        names = [variable.name for variable in self._plan.directions]
        if not directions and "v" not in self.args:
            directions = tuple(arrays.pop("v"))
        if len(directions) == 1 and not self.request.single and isinstance(directions[0], tuple | list):
            directions = tuple(directions[0])
        if not directions:
            return arrays
        if len(directions) != len(names):
            expected = f"{len(names)} expected" if names else "none is expected"
            raise UsageError(
                f"positional arguments: {len(directions)} given, {expected}",
                hint=f"pass the arrays by name: {', '.join(f'{as_keyword(name)}=…' for name in self.function.order)}",
            )
        return {**arrays, **dict(zip(names, directions, strict=True))}

    @property
    def compiled(self) -> Compiled:
        """The compiled code; made on first use, and only once unless two threads race, which is harmless."""
        if self._compiled is None:
            arguments = [*self._plan.directions, *program_arguments(self.function, self._plan.outputs)]
            with Attached(self.function), bounded(self.limits):
                self._compiled = compile_function(self._plan.outputs, arguments, backend=self.request.backend)
        return self._compiled

    @cached_property
    def _elsewhere(self) -> Elsewhere:
        """The function on arrays of other libraries."""
        from .export.elsewhere import Elsewhere  # for optional packages

        arguments = [*self._plan.directions, *program_arguments(self.function, self._plan.outputs)]
        with Attached(self.function), bounded(self.limits):
            return Elsewhere(self._plan.outputs, arguments, self.compiled)

    @property
    def source(self) -> str:
        """The NumPy source."""
        return check_printed(self.compiled.source)

    def cost(self, sizes: Mapping[str, Any], machine: Machine | None = None) -> Cost:
        """What one call costs for arrays of given sizes: flops, bytes, temporaries; nothing is run.

        >>> import matcalc as mc
        >>> g = mc.grad("x^T A x", "x", vars={"A": "matrix(n, n)", "x": "vector(n)"})
        >>> g.cost({"n": 1000}).flops
        4001000

        Parameters
        ----------
        sizes: a number for each named size, or the shape of an array, or both: ``{"A": (1000, 1000)}``.
        machine: the rates of the machine; by default usual ones, and the threads that NumPy's products use.

        Raises
        ------
        UnknownName: there is no size and no argument of a name.
        UsageError: a size is not known, or is not a number that counts something.
        ShapeError: shapes do not fit the declared ones or each other.
        """
        return self.compiled.cost(sizes, machine)

    def explain_plan(self, sizes: Mapping[str, Any] | None = None, machine: Machine | None = None) -> str:
        """What runs for arrays of given sizes and why, as text to read.

        It has the order of every product with its time against the default order, the kernels, the loops over panels
        of rows, what is shared, the buffers that are kept from call to call, the cost, and the text that runs.

        >>> import matcalc as mc
        >>> g = mc.grad("x^T A x", "x", vars={"A": "matrix(n, n)", "x": "vector(n)"})
        >>> print(g.explain_plan({"n": 10}).partition("shared")[0].rstrip())
        for n = 10
        <BLANKLINE>
        products
          none has three factors or more
        <BLANKLINE>
        kernels
          gemv of 10 x 10 and 10, 2 times, 400 operations: memory sets the time, every entry is read once
          np.add of 10 and 10, 10 operations
        <BLANKLINE>
        loops
          none: the arrays are so small that a new array for every step is as quick

        The parameters and errors are those of `cost`; without sizes, N counts as 1000 and other sizes as about 100.
        """
        return self.compiled.explain_plan(sizes, machine)

    def export(self, target: str, name: str = "f") -> str:
        """The source of the function in another language or for another library.

        >>> import matcalc as mc
        >>> print(mc.grad("x^T A x", "x", {"A": "matrix(n, n) symmetric"}).export("jax"), end="")
        # gradient of x^T A x by x
        # x: array of shape (n,)
        # A: array of shape (n, n), symmetric
        # returns array of shape (n,)
        # JAX computes in float32 unless jax.config.update("jax_enable_x64", True) has been called.
        <BLANKLINE>
        <BLANKLINE>
        def f(x, A):
            return 2.0 * (A @ x)

        Parameters
        ----------
        target: ``jax``, ``torch``, ``julia``, ``matlab`` or ``eigen``.
        name: the name of the function.

        Raises
        ------
        UsageError: there is no such target, or the name is no name.
        Unsupported: an operation that the target does not have.
        """
        from .export import exported  # other languages take as long to load as a call

        if not NAME.fullmatch(name):
            raise UsageError(f"{name!r} is not the name of a function", hint='name="f"')
        arguments = [*self._plan.directions, *program_arguments(self.function, self._plan.outputs)]
        with Attached(self.function), bounded(self.limits):
            text = exported(self._plan.outputs, arguments, target, name, [self._described])
        return check_printed(text)

    @property
    def _described(self) -> str:
        """What is computed, in a line."""
        wrt = f" by {', '.join(self.request.wrt)}" if self.request.wrt else ""
        return f"{DESCRIBED[self.request.kind]}{self.function.formula}{wrt}"

    @property
    def _is_single(self) -> bool:
        """Whether one array is computed; the directions of several names add up to one ``jvp``."""
        return self.request.single or self.request.kind == "jvp"

    # --- facts -----------------------------------------------------------------------------------

    @bounded_property
    def _asts(self) -> tuple[Ast, ...]:
        order = [*self.function.order, *(variable.name for variable in self._plan.directions)]
        names = self.function.definitions
        spelled = habits(self.function.program)
        taken = self.function.sizes
        return tuple(
            to_program(node, order, definitions=names, spellings=spelled, taken=taken) for node in self._formulas()
        )

    def _formulas(self) -> tuple[Node, ...]:
        """What is shown, in the form in which it reads best."""
        written = subject(self.function, self.request.wrt, self.request.structure)
        value = written.node
        wanted = [find_variable(written, name)[0] for name in self.request.wrt]
        place = _Placing(self.function, written, self.request.structure)
        match self.request.kind:
            case "grad" | "value_and_grad" | "jacobian":
                return tuple(place.readable(formula(value, [variable]), variable) for variable in wanted)
            case "hessian":
                pairs = [(first, second) for first in wanted for second in wanted]
                return tuple(place.readable(formula(value, pair), *pair) for pair in pairs)
        return tuple(present(node) for node in named_as_written(*self._plan.shown))

    def _printed(self, printer: Callable[[Ast], str]) -> list[str]:
        asts = self._asts
        with bounded(self.limits):
            return [check_printed(printer(ast)) for ast in asts]

    def _each(self, items: Sequence[Any]) -> Any:
        """One item, or a tuple of them when several derivatives are computed."""
        return items[0] if self._is_single else tuple(items)

    @property
    def formula(self) -> Any:
        """The formula of what is computed (of the derivative, for ``value_and_grad``); a tuple for several names."""
        return self._each(self._printed(lambda ast: to_text(ast, separator="; ")))

    @property
    def latex(self) -> Any:
        """The formula as LaTeX."""
        return self._each(self._printed(to_latex))

    @property
    def unicode(self) -> Any:
        """The formula with Greek letters and mathematical signs."""
        return self._each(self._printed(lambda ast: to_unicode(ast, separator="; ")))

    @property
    def shape(self) -> Any:
        """The shape of what is computed, in the names of the sizes."""
        return self._each([shape_names(node.shape) for node in self._plan.shown])

    @property
    def vars(self) -> dict[str, str]:
        """The type of every variable."""
        return self.function.vars

    @property
    def conditions(self) -> tuple[str, ...]:
        """What must hold for the function and its derivatives to be defined."""
        with bounded(self.limits):
            return conditions(self.function, self._formulas())

    @property
    def notes(self) -> tuple[str, ...]:
        """How the text was read."""
        about = notes_of(self.function, self.request.wrt, self.request.structure)
        return (*self.function.notes, *self.request.notes, *about)

    def _repr_latex_(self) -> str:
        formulas = self.latex if isinstance(self.latex, tuple) else (self.latex,)
        return f"$\\displaystyle {', '.join(formulas)}$"


def _library_of(values: Iterable[Any]) -> Library | None:
    """The library of arrays that are not NumPy's; what knows of libraries is loaded only for such."""
    if are_of_numpy(values):
        return None
    from .export.elsewhere import library_of  # for optional packages

    return library_of(values)


def _form(request: Request, count: int) -> Form:
    """How so many results are returned; by several names, gradients and rows of second derivatives are tuples."""
    every = tuple(range(count))
    if request.kind == "value_and_grad":
        return (0, 1) if request.single else (0, every[1:])
    if request.single or request.kind == "jvp":
        return 0
    if request.kind == "hessian":
        width = len(request.wrt)
        return tuple(every[row * width : (row + 1) * width] for row in range(width))
    return every


def add_hint(error: MatcalcError, expr: Expr, compiled: Compiled, arrays: Mapping[str, Any]) -> None:
    """Name the declaration that is missing when an inferred type does not fit the arrays."""
    given = {spell_keyword(name): value for name, value in arrays.items()}
    symbols = {name: expr.meaning.symbols[name].type for name in expr.inferred}
    for name, inferred in symbols.items():
        order = getattr(given.get(name, 0.0), "ndim", 0)
        wanted = len(inferred.shape)
        if isinstance(error, ShapeError) and name in given and order != wanted and order < len(KINDS):
            _append(error, f'the type of {name} was inferred; declare it with vars={{"{name}": "{KINDS[order]}"}}')
            return
    counts = [name for name, inferred in symbols.items() if not inferred.shape and name in USUAL_SIZES]
    sizes = [name for name in (*compiled.passed, *counts) if name not in given]
    if not sizes or isinstance(error, ShapeError):
        return
    for order, rest in ((2, ", d"), (1, "")):
        for name, inferred in symbols.items():
            if len(inferred.shape) == order:
                declared = f"{name}: {KINDS[order]}({sizes[0]}{rest})"
                _append(error, f"if {sizes[0]} is the size of an array, declare it: {declared}")
                return


def _append(error: MatcalcError, hint: str) -> None:
    error.hint = f"{error.hint}; {hint}" if error.hint else hint


def program_arguments(expr: Expr, outputs: Sequence[Node]) -> list[Variable]:
    """Every variable of the program, also those that do not occur in the outputs."""
    present = {variable.name: variable for variable in variables(expr.node, *outputs)}
    made = []
    for name, symbol in expr.meaning.symbols.items():
        made.append(present.get(name) or Variable(name, symbol.type.shape, symbol.properties))
    return made


def _plan(expr: Expr, request: Request) -> _Plan:
    """The nodes that answer a request."""
    written = subject(expr, request.wrt, request.structure)
    # derivatives of a stable form are stable where those of the written one are not
    (value,) = (recognised if request.kind == "value" else differentiable)(written.simplified)
    wanted = [find_variable(written, name)[0] for name in request.wrt]
    place = _Placing(expr, written, request.structure)
    match request.kind:
        case "value":
            return _Plan((value,), (value,), ())
        case "derivative":
            node = Derivative(expr, request.wrt, request.layout, structure=request.structure).evaluated
            return _Plan((node,), (node,), ())
        case "jacobian":
            shown = simplify(*(place(derivative(value, variable), variable) for variable in wanted))
            return _Plan(shown, shown, ())
        case "grad":
            shown = simplify(*place.each(_gradients(expr, value, wanted, "jacobian"), wanted))
            return _Plan(shown, shown, ())
        case "value_and_grad":
            outputs = simplify(place(value), *place.each(_gradients(expr, value, wanted, "jacobian"), wanted))
            return _Plan(outputs, outputs[1:], ())
        case "hessian":
            gradients = simplify(*_gradients(expr, value, wanted, "jacobian"))
            shown = simplify(
                *(
                    place(part, first, second)
                    for first, gradient in zip(wanted, gradients, strict=True)
                    for second, part in zip(wanted, derivatives(gradient, wanted), strict=True)
                )
            )
            return _Plan(shown, shown, ())
        case "hvp":
            directions = _directions(expr, [(variable.name, variable.shape) for variable in wanted], request.single)
            gradients = simplify(*_gradients(expr, value, wanted, "jvp"))
            slope = _sum_of([_inner(g, v) for g, v in zip(gradients, directions, strict=True)])
            shown = simplify(*(place(part) for part in derivatives(slope, wanted)))
            return _Plan(shown, shown, tuple(directions))
        case "vjp":
            (direction,) = _directions(expr, [("", value.shape)], single=True)
            shown = simplify(*(place(part) for part in pullback(value, wanted, direction)))
            return _Plan(shown, shown, (direction,))
        case "jvp":
            directions = _directions(expr, [(variable.name, variable.shape) for variable in wanted], request.single)
            shown = simplify(place(pushforward(value, dict(zip(wanted, directions, strict=True)))))
            return _Plan(shown, shown, tuple(directions))
    raise UsageError(f"there is no function kind {request.kind!r}")


def _differentiated(request: Request) -> tuple[tuple[str, ...], ...]:
    """The names that are differentiated by one after another, for each derivative."""
    times = 2 if request.kind == "hessian" else 1
    return tuple((name,) * times for name in request.wrt)


class _Placing(NamedTuple):
    """Puts a derivative of what was differentiated over the declared variables and into the space asked for."""

    declared: Expr
    written: Expr
    structure: str | None

    def __call__(self, node: Node, *wrt: Variable) -> Node:
        if self.written is self.declared and self.structure != "vech":
            return node
        variables_of = [find_variable(self.declared, variable.name)[0] for variable in wrt]
        return within(restored(node, self.declared), variables_of, self.structure)

    def each(self, nodes: Sequence[Node], wrt: Sequence[Variable]) -> list[Node]:
        """First derivatives, each by its variable."""
        return [self(node, variable) for node, variable in zip(nodes, wrt, strict=True)]

    def readable(self, node: Node, *wrt: Variable) -> Node:
        """A formula, which is simpler again where what is declared was not used before."""
        placed = self(node, *wrt)
        return placed if self.written is self.declared else present(simplify(placed)[0])


def _gradients(expr: Expr, value: Node, wanted: Sequence[Variable], instead: str) -> list[Node]:
    """The gradients of a scalar."""
    if value.shape:
        raise ShapeError(
            f"the expression has shape {shape_text(value.shape)}, so it has a Jacobian, not a gradient",
            source=expr.text,
            hint=f"use {instead}, or sum(...) to make it a scalar",
        )
    return list(derivatives(value, wanted))


def _inner(left: Node, right: Node) -> Node:
    """The sum of the entrywise product."""
    names = tuple(range(left.order))
    return product([(left, 1, names), (right, 1, names)], ())


def _sum_of(nodes: Sequence[Node]) -> Node:
    return add([(1, node) for node in nodes], nodes[0].shape)


def _directions(expr: Expr, wanted: Sequence[tuple[str, Shape]], single: bool) -> list[Variable]:
    """Variables for directions: ``v``, or ``v_w`` for each name, with a name that the program does not use."""
    taken = {*expr.order, *expr.meaning.definitions}
    made = []
    for name, shape in wanted:
        chosen = "v" if single else f"v_{name}"
        while chosen in taken:
            chosen = chosen.replace("v", "v_0", 1) if chosen == "v" else f"{chosen}0"
        made.append(Variable(chosen, shape))
    return made
