"""Compiled functions: arrays are checked and bound to named sizes, then the generated text is run."""

from __future__ import annotations

import linecache
import weakref
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from hashlib import blake2b
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DomainError, MatcalcError, ShapeError, Unsupported, UsageError
from ..errors import UnknownName as UnknownNameError
from ..expr.build import variables
from ..expr.dims import Dim, Shape, shape_text
from ..expr.nodes import Node
from ..syntax.greek import as_keyword, spell, spell_keyword
from . import Declared, lower_program
from .program import Argument, Program, Size, bind_sizes
from .source import function_source, module_source, program_names, user_names

Array = NDArray[Any]

MODULES: Mapping[str, str] = MappingProxyType({"np": "numpy", "linalg": "scipy.linalg", "special": "scipy.special"})
KERNELS = ("arrays", "runtime", "factorizations", "runtime_scipy")
BUILTINS: Mapping[str, Any] = MappingProxyType({"float": float, "min": min})

FAST = (np.dtype(np.float64), np.dtype(np.float32))
"""Types in which arrays are taken as they are."""

SYMMETRIC = frozenset({"symmetric", "spd", "psd"})


class ArgumentSpec(NamedTuple):
    """An argument of a compiled function: a name, a shape and declared properties."""

    name: str
    shape: Shape
    properties: frozenset[str] = frozenset()


class _Bound(NamedTuple):
    """What a set of array shapes means: the named sizes and the shapes of the results (-1 where not known)."""

    shapes: tuple[tuple[int, ...], ...]
    sizes: Mapping[str, int]
    results: tuple[tuple[int, ...], ...]


def compile_function(
    outputs: Node | Sequence[Node],
    arguments: Sequence[Declared],
    *,
    sizes: Mapping[str, int] | None = None,
    check: bool = True,
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
    return compiled(program, tuple(node.shape for node in nodes), single=isinstance(outputs, Node), check=check)


def compiled(program: Program, shapes: Sequence[Shape], *, single: bool, check: bool = True) -> Compiled:
    """The compiled function of a finished program.

    Parameters
    ----------
    shapes: the shapes of the results.
    single: whether the function returns its one result instead of a tuple.
    """
    names = user_names(program)
    text = function_source(program, program_names(program))
    code_names = program_names(program)
    unbound = [size.name for size in program.sizes if size.argument == -1]
    passed = {name: names.sizes[name] for name in unbound}
    parameters = {name: code_names.sizes[name] for name in unbound if _takes(text.text, code_names.sizes[name])}
    return Compiled(
        text=text.text,
        required=text.required,
        source=module_source(program),
        arguments=program.arguments,
        shapes=tuple(shapes),
        passed=passed,
        parameters=parameters,
        nonzero=program.nonzero,
        fits=program.fits,
        single=single,
        check=check,
    )


def _takes(text: str, name: str) -> bool:
    """Whether the function of a text has a parameter of this name."""
    head = text.partition("\n")[0]
    return name in head[head.index("(") + 1 : head.rindex(")")].replace("*", "").replace(" ", "").split(",")


class Compiled:
    """A NumPy function of named arrays.

    ``source`` is what is run, as a module in the user's names; ``arguments`` the arguments with their shapes. It
    may be pickled and called from several threads. Results are new arrays of the working type: float32 when all
    floating-point arguments are float32, else float64.
    """

    __slots__ = (
        "__weakref__", "_bound", "_checked", "_fields", "_function", "_names", "_sizes", "arguments", "check", "fits",
        "nonzero", "parameters", "passed", "required", "result_shapes", "single", "source", "text",
    )  # fmt: skip

    def __init__(
        self,
        *,
        text: str,
        required: Sequence[str],
        source: str,
        arguments: Sequence[Argument],
        shapes: Sequence[Shape],
        passed: Mapping[str, str],
        parameters: Mapping[str, str],
        nonzero: Sequence[Dim],
        fits: Sequence[tuple[Dim, Dim]],
        single: bool,
        check: bool,
    ) -> None:
        self._fields: dict[str, Any] = {
            "text": text, "required": tuple(required), "source": source, "arguments": tuple(arguments),
            "shapes": tuple(shapes), "passed": dict(passed), "parameters": dict(parameters),
            "nonzero": tuple(nonzero), "fits": tuple(fits), "single": single, "check": check,
        }  # fmt: skip
        self.text = text
        self.required = tuple(required)
        self.source = source
        self.arguments = tuple(arguments)
        self.result_shapes = tuple(shapes)
        self.passed = dict(passed)
        self.parameters = dict(parameters)
        self.nonzero = tuple(nonzero)
        self.fits = tuple(fits)
        self.single = single
        self.check = check
        names = dict.fromkeys(name for argument in self.arguments for dim in argument.shape for name in dim.names)
        names.update(dict.fromkeys(name for shape in self.result_shapes for dim in shape for name in dim.names))
        names.update(dict.fromkeys(self.passed))
        self._sizes = bind_sizes(names, self.arguments)
        self._names = tuple(argument.name for argument in self.arguments)
        self._checked = [k for k, argument in enumerate(self.arguments) if check and argument.properties]
        self._bound: _Bound | None = None
        self._function = self._load()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._fields,)

    def __repr__(self) -> str:
        return f"<compiled function of {', '.join(argument.name for argument in self.arguments)}>"

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shape of every argument, by name."""
        return {argument.name: argument.shape for argument in self.arguments}

    def _load(self) -> Callable[..., Any]:
        """Run the generated definition; the text has no name in it that was not made here."""
        mark = blake2b(self.text.encode(), digest_size=6).hexdigest()
        filename = f"<matcalc-{mark}-{id(self):x}>"
        namespace: dict[str, Any] = {"__builtins__": {"__import__": _import_numpy}, **_namespace(self.required)}
        exec(compile(self.text, filename, "exec"), namespace)  # noqa: S102
        lines = [f"{line}\n" for line in self.text.split("\n")]
        linecache.cache[filename] = (len(self.text), None, lines, filename)
        weakref.finalize(self, linecache.cache.pop, filename, None).atexit = False
        function: Callable[..., Any] = namespace["f"]
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
        values, given_sizes = self._given(arrays)
        dtype, data = _converted(self.arguments, values)
        bound = self._bound
        shapes = tuple([array.shape for array in data])
        if bound is None or bound.shapes != shapes or given_sizes:
            bound = self._bind(shapes, given_sizes)
            self._bound = bound
        for position in self._checked:
            _check_properties(self.arguments[position], data[position])
        operands = [array if array.ndim else array[()] for array in data]
        passed = {code: bound.sizes[name] for name, code in self.parameters.items()} if self.parameters else {}
        try:
            with np.errstate(all="ignore"):
                results = self._function(*operands, **passed)
        except MatcalcError:
            raise
        except (ArithmeticError, ValueError, IndexError, TypeError) as error:
            results = self._recovered(error, data, dtype, bound)
        if len(self.result_shapes) == 1:
            result = _finished(results, bound.results[0], dtype)
            return result if self.single else (result,)
        return tuple([_finished(result, shape, dtype) for result, shape in zip(results, bound.results, strict=True)])

    # --- arguments --------------------------------------------------------------------------------

    def _given(self, arrays: Mapping[str, Any]) -> tuple[list[Any], dict[str, int]]:
        """The values in the order of the arguments, and sizes that were passed by name."""
        names = self._names
        if len(arrays) == len(names) and not self.passed:
            try:
                return [arrays[name] for name in names], {}
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
                raise UsageError(f"the size {keyword} is an integer, not {value!r:.40}")
            sizes[size] = int(value)
        return [spelled[name] for name in canonical], sizes

    def _bind(self, shapes: tuple[tuple[int, ...], ...], given: Mapping[str, int]) -> _Bound:
        """Find the named sizes from the shapes, and check that every shape is the declared one."""
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
            if need.evaluate(sizes) > have.evaluate(sizes):
                raise ShapeError(
                    f"entry {need.evaluate(sizes)} is taken where {have} = {have.evaluate(sizes)}",
                    hint=f"{have} is at least {need}",
                )
        results = tuple(
            tuple(
                dim.evaluate(sizes) if all(name in sizes for name in dim.names) else lengths.get(dim, -1)
                for dim in shape
            )
            for shape in self.result_shapes
        )
        return _Bound(shapes, sizes, results)

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
                f"{_measure(argument, size.axis, length)}, which is not {size.dim} for any {size.name}"
            )
        return low

    def _mismatch(
        self,
        position: int,
        axis: int,
        length: int,
        expected: int,
        shapes: tuple[tuple[int, ...], ...],
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
            raise DomainError("the value divides by a number that is 0") from error
        if any(0 in array.shape for array in data):
            empty = sorted(name for name, size in bound.sizes.items() if size == 0)
            raise DomainError(
                f"the value is not defined for empty arrays ({', '.join(f'{name} = 0' for name in empty)})"
            ) from error
        if isinstance(error, TypeError) and dtype.itemsize > 8:
            raise Unsupported(f"an operation in this function does not take arrays of type {dtype}") from error
        if isinstance(error, ValueError) and not isinstance(error, MatcalcError):
            raise DomainError(f"the value cannot be computed: {error}") from error
        raise error


def _rebuild(fields: Mapping[str, Any]) -> Compiled:
    return Compiled(**fields)


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
        elif name in MODULES:
            found[name] = import_module(MODULES[name])
        else:
            for module in KERNELS:
                kernels = import_module(f"{__package__}.{module}")
                if hasattr(kernels, name):
                    found[name] = getattr(kernels, name)
                    break
    return found


def _at(dim: Dim, name: str, value: int) -> int:
    """A dimension for a value of its one name; halves are rounded down, which keeps the order."""
    total = dim.substitute({name: Dim.of(value)})
    return int(sum(coefficient for _, coefficient in total.terms) // 1)


def _length(shapes: tuple[tuple[int, ...], ...], size: Size) -> int:
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
    hint = None
    if order == 1 and len(shape) == 2 and 1 in shape:
        hint = f"a vector is one-dimensional: pass {name}.ravel()"
    elif order == 0 and np.prod(shape) == 1:
        hint = f"pass {name}.item()"
    elif order == 2 and len(shape) == 1:
        hint = f"pass {name}[:, None] for a column, {name}[None, :] for a row"
    return ShapeError(f"{name} has shape {shape}, but {wanted} is expected", hint=hint)


def _converted(arguments: Sequence[Argument], values: Sequence[Any]) -> tuple[np.dtype[Any], list[Array]]:
    """The arrays in the working type, which is the common one of all floating-point data."""
    alike = _common_type(values)
    if alike is not None:
        return alike, list(values)
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
    return dtype, [array if array.dtype is dtype else array.astype(dtype, copy=False) for array in arrays]


def _common_type(values: Sequence[Any]) -> np.dtype[Any] | None:
    """The one type of plain arrays that need no conversion, else None."""
    common: np.dtype[Any] | None = None
    for value in values:
        if type(value) is not np.ndarray:
            return None
        dtype = value.dtype
        if dtype is not common:
            if common is not None or dtype not in FAST:
                return None
            common = dtype
    return common


def _as_float(argument: Argument, value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise DomainError(f"{argument.name} is too large for a floating-point number") from None


def _as_array(argument: Argument, value: Any) -> Array:
    name = argument.name
    if isinstance(value, np.ma.MaskedArray):
        raise DomainError(f"{name} is a masked array", hint=f"pass {name}.filled(value)")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ShapeError(f"{name} is not a rectangular array: {error}") from error
    if array.dtype == object and hasattr(value, "toarray"):
        raise DomainError(f"{name} is a sparse matrix; arrays are expected", hint=f"pass {name}.toarray()")
    return array


def _check_properties(argument: Argument, array: Array) -> None:
    """Refuse data that lack a declared property, for the answer would be wrong without a sign."""
    name, properties = argument.name, argument.properties
    if array.ndim == 2 and array.shape[0] == array.shape[1] and array.size:
        bound = _tolerance(array)
        if properties & SYMMETRIC and np.any(np.abs(array - array.T) > bound):
            raise DomainError(f"{name} was declared {_first(properties & SYMMETRIC)} but is not symmetric",
                              hint=f"pass ({name} + {name}.T) / 2, or compile with check=False")
        if "skew" in properties and np.any(np.abs(array + array.T) > bound):
            raise DomainError(f"{name} was declared skew but {name}.T is not -{name}")
        if properties & {"lower", "diagonal"} and np.any(np.abs(np.triu(array, 1)) > bound):
            raise DomainError(f"{name} was declared {_first(properties & {'lower', 'diagonal'})} "
                              "but has entries above the diagonal")
        if properties & {"upper", "diagonal"} and np.any(np.abs(np.tril(array, -1)) > bound):
            raise DomainError(f"{name} was declared {_first(properties & {'upper', 'diagonal'})} "
                              "but has entries below the diagonal")
    inside = np.diagonal(array) if properties & {"lower", "upper", "diagonal"} and array.ndim == 2 else array
    if "positive" in properties and (np.any(inside <= 0) or np.any(array < 0)):
        raise DomainError(f"{name} was declared positive but has entries that are not")
    if "nonnegative" in properties and np.any(array < 0):
        raise DomainError(f"{name} was declared nonnegative but has negative entries")
    if "integer" in properties and np.any(array != np.floor(array)):
        raise DomainError(f"{name} was declared integer but has entries that are not whole numbers")


def _tolerance(array: Array) -> float:
    """How far apart entries may be that count as equal: relative to the largest one."""
    largest = float(np.max(np.abs(array)))
    return (1e-8 if array.dtype.itemsize >= 8 else 1e-4) * largest


def _first(properties: frozenset[str]) -> str:
    return min(properties)


def _finished(result: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """A result in the working type; numbers are NumPy scalars."""
    if not shape:
        return dtype.type(result)
    array = np.asarray(result)
    if array.shape != shape and any(a != b for a, b in zip(array.shape, shape, strict=True) if b >= 0):
        raise AssertionError(f"a result of shape {array.shape} where {shape} is expected")
    return array if array.dtype is dtype else array.astype(dtype, copy=False)
