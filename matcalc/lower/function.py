"""Compiled functions: arrays are checked and bound to named sizes, then the generated text is run."""

from __future__ import annotations

import linecache
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from difflib import get_close_matches
from functools import cached_property, partial
from hashlib import blake2b
from importlib import import_module
from itertools import repeat
from math import prod
from types import FunctionType, MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..collection import paused_collection
from ..errors import DomainError, MatcalcError, ShapeError, Unsupported, UsageError
from ..errors import UnknownName as UnknownNameError
from ..expr.build import variables
from ..expr.dims import Dim, Shape, shape_text
from ..expr.nodes import Node
from ..syntax.greek import as_keyword, spell, spell_keyword
from . import Declared, lower_program
from .arrays import is_lower, is_mirrored
from .cost import Cost, cost
from .entry import DOUBLE, Seen, Surroundings, kind_of
from .order import Leaf, Path, contraction_path, path_cost
from .panels import Machine
from .plans import Order, plan_text
from .program import Argument, Choice, Program, Size, bind_sizes, size_values
from .runs import schedule
from .scheduled import Scheduled
from .source import Source, function_source, kernel_modules, module_source, program_names, user_names
from .workspace import Buffer, Workspaces

if TYPE_CHECKING:
    from .fused.function import Fusible

Array = NDArray[Any]

MODULES: Mapping[str, str] = MappingProxyType({"np": "numpy", "linalg": "scipy.linalg", "special": "scipy.special"})
KERNELS = ("workspace", "arrays", "runtime")
"""Modules with functions that generated code may call, and that need no more than NumPy."""
BUILTINS: Mapping[str, Any] = MappingProxyType({"range": range, "slice": slice, "float": float, "min": min})
SHORTCUTS: Mapping[str, Any] = MappingProxyType({"add_reduce": np.add.reduce})

FAST = (np.dtype(np.float64), np.dtype(np.float32))
"""Types in which arrays are taken as they are."""

NUMBA = "numba"
"""The backend that fuses loops."""

NOTHING: Mapping[str, Any] = MappingProxyType({})

NO_SIZES: Mapping[str, int] = MappingProxyType({})

SIGNATURES = 8
"""How many sets of shapes have buffers that are kept from call to call."""

PLANNED = 64
"""How many sets of shapes are remembered, with the text that was written for them. Two texts round differently, so that
the one that runs must not depend on the calls before."""

LONG = 1 << 20
"""Entries of a result for which a plan is made however many sets of shapes there were."""

ORDERS = 32
"""For how many magnitudes of the sizes the order of products is remembered."""

WORTHWHILE = 1.5
LEAST_GAIN = 2000.0
"""The order of products is chosen anew where the default one takes so many times as long, and so many nanoseconds
longer."""

SYMMETRIC = frozenset({"symmetric", "spd", "psd"})
LOWER = frozenset({"lower", "diagonal"})
UPPER = frozenset({"upper", "diagonal"})
TRIANGULAR = LOWER | UPPER

FEW_BYTES = 1 << 15
"""Up to this size a matrix is copied in less time than it is compared with its transpose."""


Signature = tuple[np.dtype[Any], tuple[tuple[int, ...], ...], tuple[tuple[str, int], ...]]
"""The working type of some arrays, their shapes, and the sizes that are passed beside them."""


class ArgumentSpec(NamedTuple):
    """An argument of a compiled function: a name, a shape and declared properties."""

    name: str
    shape: Shape
    properties: frozenset[str] = frozenset()


Load = Callable[[str, Sequence[str]], Callable[..., Any]]
"""Makes a function of a text and the names from outside that it uses."""


class _Code:
    """A program, and its text for arrays of any size, which is written and compiled when it is first needed."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._loaded: Callable[..., Any] | None = None

    @cached_property
    def text(self) -> Source:
        return function_source(self.program)

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        """The parameter of every size that the function takes by name."""
        unbound = [size.name for size in self.program.sizes if size.argument == -1]
        if not unbound:
            return {}
        names = program_names(self.program)
        return {name: names.sizes[name] for name in unbound if _takes(self.text.text, names.sizes[name])}

    def function(self, load: Load) -> Callable[..., Any]:
        """The function of the text."""
        if self._loaded is None:
            self._loaded = load(self.text.text, self.text.required)
        return self._loaded


class _Bound(NamedTuple):
    """What a set of array shapes means: the named sizes, the shapes of the results (-1 where not known), the function
    for these sizes and what it takes beside the arrays."""

    sizes: Mapping[str, int]
    results: tuple[tuple[int, ...], ...]
    function: Callable[..., Any]
    passed: Mapping[str, int]


class Measured(NamedTuple):
    """The named sizes, the length of every axis by its dimension, and the working type of some arrays."""

    sizes: Mapping[str, int]
    lengths: Mapping[Dim, int]
    dtype: np.dtype[Any]

    def shape(self, dims: Shape) -> tuple[int, ...]:
        """A shape in numbers."""
        return tuple([self.lengths[dim] if dim in self.lengths else dim.evaluate(self.sizes) for dim in dims])


class _Quiet(threading.local):
    """Runs functions without NumPy's warnings; entering a context takes a tenth of the time of `numpy.errstate`.

    ``run`` refuses to be entered twice in one thread, which `run_anywhere` does not.
    """

    def __init__(self) -> None:
        super().__init__()
        context = Context()
        context.run(np.seterr, all="ignore")
        self.run = context.run

    def run_anywhere(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        try:
            return self.run(function, *arguments, **keywords)
        except RuntimeError:
            # the thread is inside already: a signal handler or a finalizer calls
            with np.errstate(all="ignore"):
                return function(*arguments, **keywords)


class Recipe(NamedTuple):
    """What a program was made from, so that it can be made again for other sizes."""

    outputs: tuple[Node, ...]
    arguments: tuple[Declared, ...]
    sizes: Mapping[str, int]


def compile_function(
    outputs: Node | Sequence[Node],
    arguments: Sequence[Declared],
    *,
    sizes: Mapping[str, int] | None = None,
    check: bool = True,
    backend: str = "numpy",
) -> Compiled:
    """A NumPy function that computes the outputs.

    >>> from matcalc.expr.build import einsum
    >>> from matcalc.expr.dims import Dim
    >>> from matcalc.expr.nodes import Variable
    >>> n = Dim.of("n")
    >>> A, x = Variable("A", (n, n)), Variable("x", (n,))
    >>> f = compile_function(einsum("i,ij,j->", x, A, x), [A, x])
    >>> float(f(A=[[1, 2], [3, 4]], x=[1, 1]))
    10.0

    Parameters
    ----------
    outputs: a node, or several; for several the function returns a tuple.
    arguments: variables, or anything with ``name``, ``shape`` and ``properties``; every variable of the outputs.
    sizes: values of named sizes for which the order of products is chosen.
    check: whether declared properties (``symmetric``, ``positive`` …) are checked at each call.
    backend: ``numpy``, or ``numba`` for loops that are fused and compiled at the first call.

    Raises
    ------
    UnknownName: a variable of the outputs is not among the arguments.
    Unsupported: an operation has no NumPy form.
    """
    nodes = (outputs,) if isinstance(outputs, Node) else tuple(outputs)
    known = {argument.name for argument in arguments}
    for variable in variables(*nodes):
        if variable.name not in known:
            raise UnknownNameError(f"the variable {variable.name} is not among the arguments")
    program = lower_program(nodes, arguments, sizes)
    function = compiled(
        program, tuple(node.shape for node in nodes), single=isinstance(outputs, Node), check=check, backend=backend
    )
    if program.choices:
        function.recipe = Recipe(nodes, tuple(arguments), dict(sizes or {}))
    return function


def compiled(
    program: Program, shapes: Sequence[Shape], *, single: bool, check: bool = True, backend: str = "numpy"
) -> Compiled:
    """The compiled function of a finished program.

    Parameters
    ----------
    shapes: the shapes of the results.
    single: whether the function returns its one result instead of a tuple.
    """
    return Compiled(program=program, shapes=tuple(shapes), single=single, check=check, backend=backend)


def _takes(text: str, name: str) -> bool:
    """Whether the function of a text has a parameter of this name."""
    head = text.partition("\n")[0]
    return name in head[head.index("(") + 1 : head.rindex(")")].replace("*", "").replace(" ", "").split(",")


class Compiled:
    """A NumPy function of named arrays.

    ``arguments`` are the arguments with their shapes. It may be pickled and called from several threads. Results are
    new arrays of the working type: float32 when all floating-point arguments are float32, else float64.
    """

    __slots__ = (
        "__weakref__", "_bounds", "_checked", "_code", "_fusible", "_met", "_names", "_orders", "_quiet", "_sizes",
        "_source", "arguments", "backend", "check", "choices", "fits", "nonzero", "passed", "program", "recipe",
        "result_shapes", "single", "surroundings",
    )  # fmt: skip

    def __init__(
        self,
        *,
        program: Program,
        shapes: Sequence[Shape],
        single: bool,
        check: bool,
        backend: str = "numpy",
    ) -> None:
        self.program = program
        self.arguments = program.arguments
        self.result_shapes = tuple(shapes)
        unbound = [size.name for size in program.sizes if size.argument == -1]
        self.passed = {name: user_names(program).sizes[name] for name in unbound} if unbound else {}
        self.nonzero = program.nonzero
        self.fits = program.fits
        self.choices = program.choices
        self.single = single
        self.check = check
        self.backend = backend
        self._fusible = _fusible() if backend == NUMBA else None
        self.recipe: Recipe | None = None
        """How to make the function again for other sizes; it does not travel with copies."""
        names = dict.fromkeys(name for argument in self.arguments for dim in argument.shape for name in dim.names)
        names.update(dict.fromkeys(name for shape in self.result_shapes for dim in shape for name in dim.names))
        names.update(dict.fromkeys(self.passed))
        self._sizes = bind_sizes(names, self.arguments)
        self._names = tuple(argument.name for argument in self.arguments)
        self._checked = [k for k, argument in enumerate(self.arguments) if check and argument.properties]
        self._quiet = _Quiet()
        checks = {position: partial(check_properties, self.arguments[position]) for position in self._checked}
        self.surroundings = Surroundings(checks, self._quiet, _finished)
        # dictionaries are replaced, never changed, so that threads need no lock
        self._bounds: dict[tuple[Any, ...], _Bound] = {}
        self._orders: dict[tuple[int, ...], _Code] = {}
        self._met = 0
        self._code = _Code(program)
        self._source: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {
            "program": self.program, "shapes": self.result_shapes, "single": self.single, "check": self.check,
            "backend": self.backend,
        }  # fmt: skip
        return _rebuild, (fields,)

    def __repr__(self) -> str:
        return f"<compiled function of {', '.join(argument.name for argument in self.arguments)}>"

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shape of every argument, by name."""
        return {argument.name: argument.shape for argument in self.arguments}

    @property
    def source(self) -> str:
        """What is run, as a module in the user's names."""
        if self._source is None:
            self._source = module_source(self.program)
        return self._source

    @property
    def text(self) -> str:
        """The text that runs where there is none for the sizes of the arrays."""
        return self._code.text.text

    @property
    def parameters(self) -> Mapping[str, str]:
        """The parameter of every size that this text takes by name."""
        return self._code.parameters

    @property
    def _function(self) -> Callable[..., Any]:
        """The function of this text."""
        return self._code.function(self._load)

    def _load(
        self,
        text: str,
        required: Sequence[str],
        buffers: Sequence[Buffer] = (),
        numbers: Sequence[float] = (),
        ones: Sequence[int] = (),
        *,
        keep: bool = True,
        own: Mapping[str, Any] = NOTHING,
    ) -> Callable[..., Any]:
        """Run a generated definition; the text has no name in it that was not made here."""
        namespace: dict[str, Any] = {"__builtins__": {"__import__": _import_numpy}, **_namespace(required), **own}
        if buffers:
            spaces = Workspaces(buffers, keep=keep)
            namespace.update(take=spaces.take, give=spaces.give)
        # ones of the narrowest type take on that of what they are multiplied with
        namespace.update(_constants(numbers, [np.ones(length, np.float16) for length in ones]))
        function = defined(text, namespace, self)
        if numbers or ones:
            doubles = _constants([_without_axes(value) for value in numbers], [np.ones(length) for length in ones])
            function.in_doubles = FunctionType(function.__code__, {**namespace, **doubles})  # type: ignore[attr-defined]
        return function

    def __call__(self, /, **arrays: Any) -> Any:
        """Evaluate for one array (or number) for each argument, by name.

        Raises
        ------
        UnknownName: an argument that the function does not have.
        UsageError: an argument is missing.
        ShapeError: shapes do not fit the declared ones or each other.
        DomainError: a value that is not real, or lacks a declared property, or at which the result is not defined.
        """
        results, _ = self.evaluate(arrays)
        return results[0] if self.single else results

    def evaluate(self, arrays: Mapping[str, Any]) -> tuple[tuple[Any, ...], Seen | None]:
        """The results, and what was seen in the arrays where calls with arrays like these may take the quick way."""
        values, given = self.given(arrays)
        dtype, data = _working(values) or _converted(self.arguments, values)
        shapes = tuple([array.shape for array in data])
        signature: tuple[Any, ...] = (*shapes, tuple(given.items())) if given else shapes
        bound = self._bounds.get(signature)
        if bound is None:
            bound = self._bind(signature, shapes, given)
        for position in self._checked:
            check_properties(self.arguments[position], data[position])
        seen = None
        try:
            function = _of_type(bound.function, dtype)
            results = self._quiet.run_anywhere(function, *data, **bound.passed)
            seen = self._seen(arrays, values, dtype, shapes, bound._replace(function=function))
        except MatcalcError:
            raise
        except (ArithmeticError, ValueError, IndexError, TypeError) as error:
            results = self._recovered(error, data, dtype, bound)
        if len(bound.results) == 1:
            results = (results,)
        return tuple(map(_finished, results, bound.results, repeat(dtype))), seen

    def _seen(
        self,
        arrays: Mapping[str, Any],
        values: Sequence[Any],
        dtype: np.dtype[Any],
        shapes: tuple[tuple[int, ...], ...],
        bound: _Bound,
    ) -> Seen | None:
        """What the next call has to have in common with this one, if nothing is to be converted."""
        kinds = tuple([kind_of(value, dtype) for value in values])
        if bound.passed or not all(kinds) or len(arrays) != len(kinds):
            return None
        names = self._names
        if any(name not in arrays for name in names):
            written = {spell_keyword(keyword): keyword for keyword in arrays}
            names = tuple([name if name in arrays else written[spell(name)] for name in names])
        return Seen(names, kinds, shapes, bound.results, dtype, bound.function)

    # --- arguments --------------------------------------------------------------------------------

    def given(self, arrays: Mapping[str, Any]) -> tuple[list[Any], Mapping[str, int]]:
        """The values in the order of the arguments, and sizes that were passed by name.

        Raises
        ------
        UnknownName: an argument that the function does not have.
        UsageError: an argument is missing.
        """
        names = self._names
        if len(arrays) == len(names) and not self.passed:
            try:
                return [arrays[name] for name in names], NO_SIZES
            except KeyError:
                pass
        canonical = [spell(name) for name in names]
        spelled = {name if name in canonical else spell_keyword(name): value for name, value in arrays.items()}
        keywords = {keyword: size for size, keyword in self.passed.items()}
        expected = [*canonical, *keywords]
        listed = ", ".join(map(as_keyword, expected))
        for name in spelled:
            if name not in expected:
                near = get_close_matches(name, expected, 1, 0.5)
                hint = f"did you mean {as_keyword(near[0])}?" if near else f"the arguments are {listed or 'none'}"
                raise UnknownNameError(f"there is no argument {name}", hint=hint)
        missing = [name for name in expected if name not in spelled]
        if missing:
            raise UsageError(
                f"missing argument{'s' * (len(missing) > 1)}: {', '.join(missing)}",
                hint=f"the arguments are {listed}, passed by name",
            )
        sizes: dict[str, int] = {}
        for keyword, size in keywords.items():
            value = spelled[keyword]
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
                raise UsageError(f"the size {keyword} is an integer, not {value!r:.40}", hint=f"{keyword}=3")
            sizes[size] = int(value)
        return [spelled[name] for name in canonical], sizes

    def fitted(
        self, shapes: Sequence[tuple[int, ...]], given: Mapping[str, int]
    ) -> tuple[dict[str, int], tuple[tuple[int, ...], ...]]:
        """The named sizes and the shapes of the results (-1 where not known) for some shapes of the arguments.

        Parameters
        ----------
        shapes: of the arguments, in order.
        given: sizes that were passed by name.

        Raises
        ------
        ShapeError: shapes do not fit the declared ones or each other.
        DomainError: a size that is divided by is 0.
        """
        for argument, shape in zip(self.arguments, shapes, strict=True):
            if len(shape) != len(argument.shape):
                raise _order_error(argument, shape)
        sizes: dict[str, int] = dict(given)
        origin: dict[str, Size] = {}
        for size in self._sizes:
            if size.name in given:
                continue
            if size.argument == -2:
                sizes[size.name] = min(dim.evaluate(sizes) for dim in size.smaller)
            elif size.argument >= 0:
                sizes[size.name] = self._solved(size, shapes[size.argument][size.axis], sizes)
                origin[size.name] = size
        lengths: dict[Dim, int] = {}
        for position, (argument, shape) in enumerate(zip(self.arguments, shapes, strict=True)):
            for axis, (dim, length) in enumerate(zip(argument.shape, shape, strict=True)):
                known = all(name in sizes for name in dim.names)
                # the factors of a length m n may be unknown; it still has to be the same everywhere
                expected = dim.evaluate(sizes) if known else lengths.setdefault(dim, length)
                if expected != length:
                    raise self._mismatch(position, axis, length, expected, shapes, origin)
        for dim in self.nonzero:
            if all(name in sizes for name in dim.names) and dim.evaluate(sizes) == 0:
                raise DomainError(f"the value divides by {dim}, which is 0 here", hint="the arrays are empty")
        for need, have in self.fits:
            if any(name not in sizes for name in (*need.names, *have.names)):
                continue
            least, found = need.evaluate(sizes), have.evaluate(sizes)
            if least > found and need.constant in (0, 1):
                raise ShapeError(
                    f"{have} is {found} here",
                    hint=f"{have} is at least {least}: positions count from 1, and no part has fewer than 0 entries",
                )
            if least > found:
                raise ShapeError(
                    f"entry {least} is taken where {have} = {found}",
                    hint=f"{have} is at least {need}",
                )
        results = tuple(
            tuple(
                dim.evaluate(sizes) if all(name in sizes for name in dim.names) else lengths.get(dim, -1)
                for dim in shape
            )
            for shape in self.result_shapes
        )
        return sizes, results

    def _bind(self, signature: tuple[Any, ...], shapes: Sequence[tuple[int, ...]], given: Mapping[str, int]) -> _Bound:
        """Find the named sizes from the shapes, check that every shape is the declared one, and remember it."""
        with paused_collection():
            bound = self._bound(shapes, given)
        recent = list(self._bounds.items())[1 - PLANNED :]
        self._bounds = {**dict(recent), signature: bound}
        return bound

    def _bound(self, shapes: Sequence[tuple[int, ...]], given: Mapping[str, int]) -> _Bound:
        """What a set of shapes means."""
        sizes, results = self.fitted(shapes, given)
        code = self._code_for(sizes)
        self._met += 1
        planned = self.plan(sizes, code.program) if self._met <= PLANNED or _is_long(results) else None
        if planned is None:
            passed = {parameter: sizes[name] for name, parameter in code.parameters.items()}
            bound = _Bound(sizes, results, code.function(self._load), passed)
        else:
            bound = _Bound(sizes, results, self._load(*planned, keep=self._met <= SIGNATURES), {})
        if self._fusible is not None:
            bound = self._fused(code.program, bound)
        return bound

    def _fused(self, program: Program, bound: _Bound) -> _Bound:
        """The same with fused loops, where all sizes are known and some statements can be fused."""
        assert self._fusible is not None
        names = [*_sizes_of(program), *(name for a in program.arguments for dim in a.shape for name in dim.names)]
        if any(bound.sizes.get(name, 0) == 0 for name in names):
            return bound

        def load(text: str, required: Sequence[str], own: Mapping[str, Any]) -> Callable[..., Any]:
            return self._load(text, required, own=own)

        machine, other = Machine(threads=product_threads()), partial(bound.function, **bound.passed)
        function = self._fusible.bound(program, bound.sizes, machine, load, other)
        return bound if function is None else bound._replace(function=function, passed={})

    def plan(self, sizes: Mapping[str, int], program: Program | None = None) -> Scheduled | None:
        """What runs for arrays of given sizes, or None where that is the text for all sizes.

        Parameters
        ----------
        sizes: a value for every named size.
        program: the program in the order of products for these sizes, where that is known.
        """
        program = self._code_for(sizes).program if program is None else program
        dims = [dim for argument in program.arguments for dim in argument.shape]
        if any(name not in sizes for name in (*(name for dim in dims for name in dim.names), *_sizes_of(program))):
            return None
        return schedule(program, sizes, Machine(threads=product_threads()))

    def cost(self, sizes: Mapping[str, Any], machine: Machine | None = None) -> Cost:
        """What one call costs for arrays of given sizes; nothing is run.

        >>> from matcalc.expr.build import einsum
        >>> from matcalc.expr.nodes import Variable
        >>> n = Dim.of("n")
        >>> A, x = Variable("A", (n, n)), Variable("x", (n,))
        >>> f = compile_function(einsum("i,ij,j->", x, A, x), [A, x])
        >>> f.cost({"n": 1000}).flops, f.cost({"A": (1000, 1000)}).flops
        (2002000, 2002000)

        Parameters
        ----------
        sizes: a number for each named size, or the shape of an array, or both.
        machine: the rates of the machine; by default usual ones, and the threads that NumPy's products use.

        Raises
        ------
        UnknownName: there is no size and no argument of a name.
        UsageError: a size is not known, or is not a number that counts something.
        ShapeError: shapes do not fit the declared ones or each other.
        """
        known = self.sizes(sizes)
        return cost(self._code_for(known).program, known, machine or Machine(threads=product_threads()))

    def explain_plan(self, sizes: Mapping[str, Any] | None = None, machine: Machine | None = None) -> str:
        """What runs for arrays of given sizes and why: orders of products, kernels, loops, buffers, cost and text.

        Parameters
        ----------
        sizes: a number for each named size, or the shape of an array, or both; by default those for which the order
            of products is chosen before arrays are there, N = 1000 and others about 100.
        machine: what decides where loops gain, and the rates of the bound; by default a usual one, with the threads
            that NumPy's products use.

        Raises
        ------
        UnknownName: there is no size and no argument of a name.
        UsageError: a size is not known, or is not a number that counts something.
        ShapeError: shapes do not fit the declared ones or each other.
        """
        names = [size.name for size in self._sizes if size.argument != -2]
        known = self.sizes(size_values(map(Dim.of, names), {}) if sizes is None else sizes)
        code = self._code_for(known)
        orders = [
            Order(choice, *_compared(choice, known))
            for choice in self.choices
            if all(name in known for name in _names_of(choice))
        ]
        return plan_text(
            code.program,
            known,
            orders,
            code.text.text,
            chosen=code.program is not self.program,
            representative=sizes is None,
            machine=machine or Machine(threads=product_threads()),
        )

    def sizes(self, given: Mapping[str, Any]) -> dict[str, int]:
        """A value for every named size, from values of some of them and shapes of arrays.

        Parameters
        ----------
        given: a number for each named size, or the shape of an array, or both.

        Raises
        ------
        UnknownName: there is no size and no argument of a name.
        UsageError: a size is not known, or is not a number that counts something.
        ShapeError: shapes do not fit the declared ones or each other.
        """
        names = [size.name for size in self._sizes]
        positions = {name: place for place, name in enumerate(self._names)}
        shapes: dict[int, tuple[int, ...]] = {}
        known: dict[str, int] = {}
        for keyword, value in given.items():
            name = keyword if keyword in names or keyword in positions else spell_keyword(keyword)
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            lengths = (value,) if whole else tuple(value) if isinstance(value, tuple | list) else (None,)
            if not all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= 0 for n in lengths):
                raise UsageError(f"the size {keyword} is not {value!r:.40}", hint=f"{keyword}=3, or the shape (3, 4)")
            if name in names and whole:
                known[name] = int(value)
            elif name in positions:
                argument = self.arguments[positions[name]]
                shapes[positions[name]] = tuple(map(int, lengths))
                if len(lengths) != len(argument.shape):
                    raise _order_error(argument, shapes[positions[name]])
            else:
                near = get_close_matches(name, [*names, *positions], 1, 0.5)
                hint = f"did you mean {near[0]}?" if near else f"the sizes are {', '.join(names) or 'fixed'}"
                raise UnknownNameError(f"there is no size {keyword}", hint=hint)
        self._measure(known, shapes)
        missing = [name for name in names if name not in known]
        if missing:
            raise UsageError(
                f"missing size{'s' * (len(missing) > 1)}: {', '.join(missing)}",
                hint=f"pass a number for each, such as {missing[0]}=100, or the shapes of the arrays",
            )
        for position, shape in shapes.items():
            argument = self.arguments[position]
            expected = tuple(dim.evaluate(known) for dim in argument.shape)
            if shape != expected:
                raise ShapeError(
                    f"{argument.name} has shape {shape} but {expected} is expected",
                    hint=f"{argument.name} is declared with the shape {shape_text(argument.shape)}",
                )
        return known

    def _measure(self, known: dict[str, int], shapes: Mapping[int, tuple[int, ...]]) -> None:
        """Find the sizes that the shapes of some arrays tell."""
        places = [
            (position, axis, dim)
            for position in shapes
            for axis, dim in enumerate(self.arguments[position].shape)
            if dim.names
        ]
        # names that are an axis of their own first; each round finds a name in a longer dimension or is the last one
        for _ in range(1 + len({name for _, _, dim in places for name in dim.names})):
            for position, axis, dim in sorted(places, key=lambda place: place[2].name is None):
                unknown = [name for name in dim.names if name not in known]
                if len(unknown) == 1:
                    size = Size(unknown[0], position, axis, dim)
                    known[unknown[0]] = self._solved(size, shapes[position][axis], known)
        for size in (*self._sizes, *self.program.sizes):
            needed = [name for dim in size.smaller for name in dim.names]
            if size.argument == -2 and size.name not in known and all(name in known for name in needed):
                known[size.name] = min(dim.evaluate(known) for dim in size.smaller)

    def _code_for(self, sizes: Mapping[str, int]) -> _Code:
        """The function in the best order of products for some sizes; the default one where that is hardly worse."""
        default = self._code
        if self.recipe is None or any(name not in sizes for choice in self.choices for name in _names_of(choice)):
            return default
        # sizes that are close have the same best order
        scale = tuple(sizes[name].bit_length() for name in sorted(sizes))
        known = self._orders.get(scale)
        if known is not None:
            return known
        code = default
        taken = possible = 0.0
        for choice in self.choices:
            before, best, _ = _compared(choice, sizes)
            taken, possible = taken + before, possible + best
        if taken > WORTHWHILE * possible and taken - possible > LEAST_GAIN:
            code = _Code(lower_program(self.recipe.outputs, self.recipe.arguments, {**self.recipe.sizes, **sizes}))
        recent = list(self._orders.items())[1 - ORDERS :]
        self._orders = {**dict(recent), scale: code}
        return code

    def _solved(self, size: Size, length: int, sizes: Mapping[str, int]) -> int:
        """The value of a name for which a dimension has a length."""
        if size.dim.name == size.name:
            return length
        known = size.dim.substitute({name: Dim.of(value) for name, value in sizes.items()})
        low, high = 0, 1
        while high <= 4 * length + 4 and _at(known, size.name, high) < length:
            high *= 2
        while low < high:
            middle = (low + high) // 2
            if _at(known, size.name, middle) < length:
                low = middle + 1
            else:
                high = middle
        if _at(known, size.name, low) != length:
            argument = self.arguments[size.argument]
            raise ShapeError(
                f"{_measure(argument, size.axis, length)}, which is not {size.dim} for any {size.name}",
                hint=f"{argument.name} is declared with the shape {shape_text(argument.shape)}",
            )
        return low

    def _mismatch(
        self,
        position: int,
        axis: int,
        length: int,
        expected: int,
        shapes: Sequence[tuple[int, ...]],
        origin: Mapping[str, Size],
    ) -> ShapeError:
        argument = self.arguments[position]
        dim = argument.shape[axis]
        found = _measure(argument, axis, length)
        hint = f"{argument.name} has shape {shapes[position]}, {shape_text(argument.shape)} is expected"
        if dim.name is not None and dim.name in origin:
            size = origin[dim.name]
            owner = self.arguments[size.argument]
            other = _measure(owner, size.axis, shapes[size.argument][size.axis])
            if size.dim.name is not None:
                return ShapeError(f"{found} but {other} ({dim})", hint=hint)
            return ShapeError(f"{found} but {dim} = {expected} because {other}", hint=hint)
        sources = [
            f"{name} = {_length(shapes, origin[name])} from {self.arguments[origin[name].argument].name}"
            for name in dim.names
            if name in origin and origin[name].dim.name is not None
        ]
        reason = f" ({', '.join(sources)})" if sources else ""
        wanted = f"{dim} = {expected}" if dim.names else str(expected)
        return ShapeError(f"{found} but {wanted} is expected{reason}", hint=hint)

    def signature(self, arrays: Mapping[str, Any]) -> Signature:
        """What shapes, types and sizes are passed, by which calls can be told apart; nothing is checked."""
        values, given = self.given(arrays)
        dtype, data = _working(values) or _converted(self.arguments, values)
        return dtype, tuple([array.shape for array in data]), tuple(given.items())

    def measured(self, arrays: Mapping[str, Any]) -> Measured:
        """What the shapes and types of arrays mean, checked as in a call, without a computation."""
        values, given = self.given(arrays)
        dtype, data = _working(values) or _converted(self.arguments, values)
        shapes = [array.shape for array in data]
        signature = (*shapes, tuple(given.items())) if given else tuple(shapes)
        bound = self._bounds.get(signature) or self._bind(signature, shapes, given)
        lengths = {
            dim: length
            for argument, shape in zip(self.arguments, shapes, strict=True)
            for dim, length in zip(argument.shape, shape, strict=True)
        }
        return Measured(bound.sizes, lengths, dtype)

    # --- failures ---------------------------------------------------------------------------------

    def _recovered(self, error: Exception, data: Sequence[Array], dtype: Any, bound: _Bound) -> Any:
        """What a failure inside the computation means: NaN for NaN data, else an error that says what is undefined."""
        if isinstance(error, np.linalg.LinAlgError):
            known = all(length >= 0 for shape in bound.results for length in shape)
            if known and any(not np.isfinite(np.sum(array)) for array in data):
                filled = tuple(np.full(shape, np.nan, dtype=dtype) for shape in bound.results)
                return filled[0] if len(filled) == 1 else filled
            reason = str(error)
            raise DomainError(
                f"the value is not defined for these arrays: {reason[:1].lower()}{reason[1:]}",
                hint="a matrix that is inverted or factorized is singular, or not positive definite",
            ) from error
        if isinstance(error, ZeroDivisionError):
            raise DomainError(
                "the value divides by a number that is 0", hint="a size or a number in a divisor is 0 for these arrays"
            ) from error
        if any(0 in array.shape for array in data):
            empty = sorted(name for name, size in bound.sizes.items() if size == 0)
            raise DomainError(
                f"the value is not defined for empty arrays ({', '.join(f'{name} = 0' for name in empty)})",
                hint="pass arrays with at least one entry",
            ) from error
        if isinstance(error, TypeError) and dtype.itemsize > 8:
            raise Unsupported(
                f"an operation in this function does not take arrays of type {dtype}", hint="pass float64 arrays"
            ) from error
        if isinstance(error, ValueError) and not isinstance(error, MatcalcError):
            raise DomainError(
                f"the value cannot be computed: {error}", hint="look for NaN and infinite entries"
            ) from error
        raise error


def _constants(numbers: Sequence[Any], ones: Sequence[Array]) -> dict[str, Any]:
    """The names of a text for its numbers and vectors of ones."""
    for array in ones:
        array.flags.writeable = False
    return {
        **{f"k{place}": value for place, value in enumerate(numbers)},
        **{f"o{len(array)}": array for array in ones},
    }


def _without_axes(value: float) -> Array:
    """A number as an array of doubles, which a ufunc takes as it is; with narrow types it would widen the result."""
    array = np.array(value, DOUBLE)
    array.flags.writeable = False
    return array


def _fusible() -> Fusible:
    """What fuses loops; it is loaded where it is asked for, for Numba is optional."""
    from .fused.function import Fusible

    return Fusible()


def _of_type(function: Callable[..., Any], dtype: np.dtype[Any]) -> Callable[..., Any]:
    """The form of a function for a type: loops that were fused for it, numbers that need no conversion."""
    by_type = getattr(function, "of", None)
    if by_type is not None:
        found: Callable[..., Any] = by_type(dtype)
        return found
    return getattr(function, "in_doubles", function) if dtype is DOUBLE else function


def defined(text: str, namespace: dict[str, Any], owner: object) -> Callable[..., Any]:
    """The function ``f`` of a generated text, which is shown in tracebacks for as long as its owner lives.

    Parameters
    ----------
    text: definitions in which every name was made by counting or comes from a table of this package.
    namespace: what the names mean.
    owner: what keeps the function.
    """
    mark = blake2b(text.encode(), digest_size=6).hexdigest()
    filename = f"<matcalc-{mark}-{id(owner):x}>"
    exec(compile(text, filename, "exec"), namespace)  # noqa: S102
    lines = [f"{line}\n" for line in text.split("\n")]
    linecache.cache[filename] = (len(text), None, lines, filename)
    weakref.finalize(owner, linecache.cache.pop, filename, None).atexit = False
    function: Callable[..., Any] = namespace["f"]
    return function


def _rebuild(fields: Mapping[str, Any]) -> Compiled:
    return Compiled(**fields)


def _sizes_of(program: Program) -> list[str]:
    return [size.name for size in program.sizes]


def _is_long(results: Sequence[tuple[int, ...]]) -> bool:
    """Whether a result is so large that making its plan takes no time beside computing it."""
    return any(prod(shape) > LONG for shape in results if -1 not in shape)


def product_threads() -> int:
    """How many threads the products of matrices use: what the environment says, else one for each core."""
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").partition(",")[0]
        if value.isdecimal() and int(value):
            return int(value)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _names_of(choice: Choice) -> list[str]:
    return [name for _, dim in choice.dims for name in dim.names]


def _compared(choice: Choice, sizes: Mapping[str, int]) -> tuple[float, float, Path]:
    """The time that a product takes in the default order and in the best one for some sizes, and that order."""
    lengths = {label: dim.evaluate(sizes) for label, dim in choice.dims}
    leaves = [Leaf(frozenset(labels), kind, last) for labels, kind, last in choice.leaves]
    output = frozenset(choice.output)
    best = contraction_path(leaves, output, lengths)
    return path_cost(leaves, choice.path, output, lengths), path_cost(leaves, best, output, lengths), best


def _import_numpy(name: str, *arguments: Any) -> Any:
    """What NumPy's own methods import on their first use; nothing else may be imported from generated text."""
    if name.partition(".")[0] != "numpy":
        raise ImportError(f"generated code does not import {name}")
    return __import__(name, *arguments)


def _namespace(required: Sequence[str]) -> dict[str, Any]:
    """The functions that a text may use, by name; SciPy is imported when it is needed."""
    found: dict[str, Any] = {}
    for name in required:
        if name in BUILTINS:
            found[name] = BUILTINS[name]
        elif name in SHORTCUTS:
            found[name] = SHORTCUTS[name]
        elif name in MODULES:
            found[name] = import_module(MODULES[name])
        else:
            for module in KERNELS:
                kernels = import_module(f"{__package__}.{module}")
                if hasattr(kernels, name):
                    found[name] = getattr(kernels, name)
                    break
            else:
                # only the one that is needed: SciPy takes longer to load than all the rest
                home = kernel_modules().get(name)
                if home is not None:
                    found[name] = getattr(import_module(f"{__package__}.{home}"), name)
    return found


def _at(dim: Dim, name: str, value: int) -> int:
    """A dimension for a value of its one name; halves are rounded down, which keeps the order."""
    total = dim.substitute({name: Dim.of(value)})
    return int(sum(coefficient for _, coefficient in total.terms) // 1)


def _length(shapes: Sequence[tuple[int, ...]], size: Size) -> int:
    return shapes[size.argument][size.axis]


def _measure(argument: Argument, axis: int, length: int) -> str:
    """``A has 5 columns``, ``x has length 4``."""
    if len(argument.shape) == 1:
        return f"{argument.name} has length {length}"
    if len(argument.shape) == 2:
        what = ("row", "column")[axis]
        return f"{argument.name} has {length} {what}{'s' * (length != 1)}"
    return f"axis {axis} of {argument.name} has length {length}"


def _order_error(argument: Argument, shape: tuple[int, ...]) -> ShapeError:
    """An array with the wrong number of axes."""
    name, order = argument.name, len(argument.shape)
    kinds = {0: "a number", 1: "a vector", 2: "a matrix"}
    wanted = kinds.get(order, f"an array with {order} axes")
    if order:
        wanted += f" of shape {shape_text(argument.shape)}"
    hint = f"the declared shape is {shape_text(argument.shape)}: pass such an array, or declare another type"
    if order == 1 and len(shape) == 2 and 1 in shape:
        hint = f"a vector is one-dimensional: pass {name}.ravel()"
    elif order == 0 and np.prod(shape) == 1:
        hint = f"pass {name}.item()"
    elif order == 2 and len(shape) == 1:
        hint = f"pass {name}[:, None] for a column, {name}[None, :] for a row"
    return ShapeError(f"{name} has shape {shape}, but {wanted} is expected", hint=hint)


def _working(values: Sequence[Any]) -> tuple[np.dtype[Any], list[Any]] | None:
    """The values and their type where they are plain arrays of one type and numbers, as they are; else None."""
    common: np.dtype[Any] | None = None
    data: list[Any] = []
    weak = False
    for value in values:
        kind = type(value)
        if kind is np.ndarray:
            dtype = value.dtype
            if dtype is not common:
                if common is not None or dtype not in FAST:
                    return None
                common = dtype
            data.append(value if value.ndim else value[()])
        elif kind is float:
            weak = True
            data.append(np.float64(value))
        else:
            return None
    if common is None or common is FAST[0]:
        return FAST[0], data
    return None if weak else (common, data)


def _converted(arguments: Sequence[Argument], values: Sequence[Any]) -> tuple[np.dtype[Any], list[Any]]:
    """The arrays in the working type, which is the common one of all floating-point data."""
    arrays: list[Array] = []
    types: list[np.dtype[Any]] = []
    weak: list[bool] = []
    for argument, value in zip(arguments, values, strict=True):
        if type(value) is float or type(value) is int or type(value) is bool:
            # a Python number takes the type of the arrays it meets
            arrays.append(np.asarray(_as_float(argument, value)))
            weak.append(True)
            continue
        array = value if type(value) is np.ndarray else _as_array(argument, value)
        kind = array.dtype.kind
        if kind == "f":
            types.append(array.dtype)
        elif kind in "iub":
            types.append(np.dtype(float))
        elif kind == "c":
            raise DomainError(f"{argument.name} is {array.dtype}; matcalc is real", hint=f"pass {argument.name}.real")
        else:
            raise DomainError(
                f"{argument.name} is an array of type {array.dtype}; numbers are expected",
                hint=f"pass np.asarray({argument.name}, dtype=float)",
            )
        arrays.append(array)
        weak.append(False)
    dtype = np.result_type(*types) if types else np.dtype(float)
    if dtype.itemsize < 4:
        dtype = np.dtype(np.float32)
    if not dtype.isnative:
        dtype = dtype.newbyteorder("=")
    arrays = [array if array.dtype is dtype else array.astype(dtype, copy=False) for array in arrays]
    return dtype, [array if array.ndim else array[()] for array in arrays]


def _as_float(argument: Argument, value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise DomainError(
            f"{argument.name} is too large for a floating-point number", hint="scale the quantities of the formula"
        ) from None


def _as_array(argument: Argument, value: Any) -> Array:
    name = argument.name
    if isinstance(value, np.ma.MaskedArray):
        raise DomainError(f"{name} is a masked array", hint=f"pass {name}.filled(value)")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ShapeError(
            f"{name} is not a rectangular array: {error}", hint="give every row as many entries"
        ) from error
    except (TypeError, RuntimeError) as error:
        # what other libraries raise where their array is on a graphics card or part of a graph
        raise DomainError(f"{name} cannot be read as an array: {error}", hint="pass a NumPy array") from error
    if array.dtype == object and hasattr(value, "toarray"):
        raise DomainError(f"{name} is a sparse matrix; arrays are expected", hint=f"pass {name}.toarray()")
    return array


def check_properties(argument: Argument, array: Any) -> None:
    """Refuse data that lack a declared property, for the answer would be wrong without a sign.

    Of a triangular or diagonal matrix that is positive, the diagonal is: a factor of Cholesky's kind.
    """
    name, properties = argument.name, argument.properties
    if not array.size:
        return
    square = array.ndim == 2 and array.shape[0] == array.shape[1]
    if square:
        if not properties.isdisjoint(SYMMETRIC) and not _is_symmetric(array):
            raise DomainError(
                f"{name} was declared {_first(properties & SYMMETRIC)} but is not symmetric",
                hint=f"pass ({name} + {name}.T) / 2",
            )
        if "skew" in properties and not _equal(array, -array.T, array):
            raise DomainError(
                f"{name} was declared skew but {name}.T is not -{name}", hint=f"pass ({name} - {name}.T) / 2"
            )
        if not properties.isdisjoint(LOWER) and not is_lower(array) and not _equal(np.triu(array, 1), 0, array):
            raise DomainError(
                f"{name} was declared {_first(properties & LOWER)} but has entries above the diagonal",
                hint=f"pass np.tril({name}), or leave the property out of the declaration",
            )
        if not properties.isdisjoint(UPPER) and not is_lower(array.T) and not _equal(np.tril(array, -1), 0, array):
            raise DomainError(
                f"{name} was declared {_first(properties & UPPER)} but has entries below the diagonal",
                hint=f"pass np.triu({name}), or leave the property out of the declaration",
            )
    triangular = _first(properties & TRIANGULAR) if square and not properties.isdisjoint(TRIANGULAR) else ""
    inside = np.diagonal(array) if triangular else array
    for sign, bad in (("positive", np.less_equal), ("nonnegative", np.less)):
        if sign in properties and np.count_nonzero(bad(inside, 0.0)):
            place = " on the diagonal" if triangular else ""
            wrong = "that are not" if sign == "positive" else "that are negative"
            hint = f"leave {sign} out of the declaration, or pass other data"
            if triangular:
                hint = f"{sign} means the diagonal of a matrix that is {triangular}"
            raise DomainError(f"{name} was declared {sign} but has entries{place} {wrong}", hint=hint)
    if "integer" in properties and (array != np.floor(array)).any():
        raise DomainError(
            f"{name} was declared integer but has entries that are not whole numbers", hint=f"pass np.round({name})"
        )


def _is_symmetric(array: Array) -> bool:
    """Whether a matrix equals its transpose up to rounding."""
    # a small one is compared as bytes by rows and by columns, in a third of the time
    if array.nbytes <= FEW_BYTES and array.tobytes() == array.tobytes("F"):
        return True
    return is_mirrored(array) or _equal(array, array.T, array)


def _equal(left: Any, right: Any, array: Array) -> bool:
    """Whether two arrays are equal up to rounding; NaN is left to the computation."""
    if not np.count_nonzero(left != right):
        return True
    return not (np.abs(left - right) > _tolerance(array)).any()


def _tolerance(array: Array) -> float:
    """How far apart entries may be that count as equal: relative to the largest one."""
    largest = float(np.max(np.abs(array)))
    return (1e-8 if array.dtype.itemsize >= 8 else 1e-4) * largest


def _first(properties: frozenset[str]) -> str:
    return min(properties)


def _finished(result: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """A result in the working type; numbers are NumPy scalars."""
    if type(result) is np.ndarray:
        if result.dtype is dtype and result.shape == shape and shape:
            return result
    elif type(result) is dtype.type and not shape:
        return result
    if not shape:
        return dtype.type(result)
    array = np.asarray(result)
    if array.shape != shape and any(a != b for a, b in zip(array.shape, shape, strict=True) if b >= 0):
        raise AssertionError(f"a result of shape {array.shape} where {shape} is expected")
    return array if array.dtype is dtype else array.astype(dtype, copy=False)
