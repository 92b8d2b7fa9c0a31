"""Calls with arrays of other libraries: the same kind comes out, on the same device; nothing is copied to the host."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..errors import DomainError, MatcalcError, ShapeError, Unsupported
from ..expr.nodes import Node
from ..lower import Declared
from ..lower.function import Compiled, check_properties, defined
from ..lower.program import Argument
from . import portable
from .array_api import TARGET as ARRAY_API
from .jax import TARGET as JAX
from .torch import TARGET as TORCH
from .writer import Target, Writer, definitions

BUILTINS: Mapping[str, Any] = MappingProxyType(
    {
        "ValueError": ValueError, "abs": abs, "float": float, "int": int, "len": len, "list": list, "max": max,
        "min": min, "range": range, "round": round, "tuple": tuple,
    }
)  # fmt: skip
"""What helpers use of Python."""


class Library(NamedTuple):
    """A library of arrays.

    Parameters
    ----------
    name: what a person calls it.
    target: how programs are written for it.
    modules: what the names in such a text mean, as modules; without the namespace of the array API, which is found
        from an array.
    """

    name: str
    target: Target
    modules: Mapping[str, str]


LIBRARIES: Mapping[str, Library] = {
    "torch": Library("PyTorch", TORCH, {"torch": "torch"}),
    "jax": Library("JAX", JAX, {"jax": "jax", "jnp": "jax.numpy", "jsp": "jax.scipy"}),
    "jaxlib": Library("JAX", JAX, {"jax": "jax", "jnp": "jax.numpy", "jsp": "jax.scipy"}),
    "cupy": Library("CuPy", ARRAY_API, {"special": "cupyx.scipy.special"}),
    # dask applies the functions of SciPy to each block
    "dask": Library("Dask", ARRAY_API, {"special": "scipy.special"}),
}
"""Libraries by the package that their arrays come from; others are known by the standard."""


def library_of(values: Iterable[Any]) -> Library | None:
    """The library of the arrays among some values; None where they are NumPy's, numbers or lists.

    Raises
    ------
    DomainError: arrays of two libraries.
    """
    found: Library | None = None
    for value in values:
        kind = type(value)
        if kind is np.ndarray or kind is float or kind is int or isinstance(value, np.ndarray | np.generic):
            continue
        package = kind.__module__.partition(".")[0]
        library = LIBRARIES.get(package)
        if library is None and hasattr(value, "__array_namespace__"):
            library = Library(package, ARRAY_API, {})
        # what has no axes to count is no array, such as a data type
        if library is None or not hasattr(value, "shape"):
            continue
        if found is not None and found.name != library.name:
            raise DomainError(
                f"arrays of {found.name} and of {library.name} do not go together",
                hint="convert them to one library",
            )
        found = library
    return found


class Elsewhere:
    """A compiled function on arrays of other libraries.

    Parameters
    ----------
    outputs: the nodes to compute.
    arguments: of the function, in order.
    compiled: the function for NumPy, which knows names, shapes and declared properties.
    """

    def __init__(self, outputs: Sequence[Node], arguments: Sequence[Declared], compiled: Compiled) -> None:
        self.outputs = tuple(outputs)
        self.arguments = tuple(arguments)
        self.compiled = compiled
        self._functions: dict[str, tuple[Callable[..., Any], tuple[tuple[str, str], ...]]] = {}

    def __call__(self, library: Library, arrays: Mapping[str, Any]) -> tuple[Any, ...]:
        """The results for arrays of a library.

        Raises
        ------
        Unsupported: the library has no such operation.
        ShapeError: shapes do not fit the declared ones or each other.
        DomainError: values that are not real, or lack a declared property, or at which the function is not defined.
        """
        compiled = self.compiled
        values, given = compiled.given(arrays)
        xp, device = _namespace(library, values)
        data = _converted(xp, device, compiled.arguments, values)
        sizes, shapes = compiled.fitted([tuple(array.shape) for array in data], given)
        if compiled.check:
            for argument, array in zip(compiled.arguments, data, strict=True):
                if argument.properties and _is_known(array) and _may_lack(xp, argument.properties, array):
                    check_properties(argument, _on_host(array))
        function, passed = self._function(library, xp, device)
        try:
            results = function(*data, **{parameter: sizes[name] for parameter, name in passed})
        except MatcalcError:
            raise
        except Exception as error:
            raise _explained(error, library) from error
        found = results if len(shapes) > 1 else (results,)
        # of a function that is constant, or a multiple of a size, a number comes out
        return tuple(
            result if hasattr(result, "shape") else xp.asarray(result, dtype=data[0].dtype, **_place(device, data[0]))
            for result in found
        )

    def _function(
        self, library: Library, xp: Any, device: Callable[[Any], Any]
    ) -> tuple[Callable[..., Any], tuple[tuple[str, str], ...]]:
        """The function for a library, and the sizes that it takes: parameter and name of the size."""
        known = self._functions.get(library.name)
        if known is not None:
            return known
        program = portable(self.outputs, self.arguments, library.target)
        writer = Writer(program, library.target, counted=True)
        text = definitions(writer, "f")
        if "special" not in library.modules and (missing := re.search(r"(?<![\w.])special\.(\w+)", text)):
            raise Unsupported(
                f"{missing.group(1)} is not among the functions of {library.name}", hint="pass NumPy arrays"
            )
        packages = {xp.__name__, *library.modules.values()}
        builtins = {**BUILTINS, "__import__": _importer({name.partition(".")[0] for name in packages})}
        namespace: dict[str, Any] = {"__builtins__": builtins, "math": math, "xp": xp, "device": device}
        namespace.update({name: import_module(module) for name, module in library.modules.items()})
        passed = tuple(
            (writer.sizes[size.name], size.name)
            for size in program.sizes
            if size.argument == -1 and size.name in writer.used_sizes
        )
        made = defined(text, namespace, self), passed
        self._functions = {**self._functions, library.name: made}
        return made


def _importer(packages: set[str]) -> Callable[..., Any]:
    """What functions of a library import on their first use; nothing else may be imported from generated text."""

    def importer(name: str, *arguments: Any) -> Any:
        if name.partition(".")[0] not in packages:
            raise ImportError(f"generated code does not import {name}")
        return __import__(name, *arguments)

    return importer


def _namespace(library: Library, values: Sequence[Any]) -> tuple[Any, Callable[[Any], Any]]:
    """The functions of a library, and what tells the device of an array.

    Raises
    ------
    Unsupported: the library takes `array-api-compat` to speak the standard, which is not installed.
    """
    if library.target is not ARRAY_API:
        return import_module(library.modules["jnp" if library.target is JAX else "torch"]), _device
    arrays = [value for value in values if library_of([value]) is not None]
    try:
        compat = import_module("array_api_compat")
    except ImportError:
        if all(hasattr(array, "__array_namespace__") for array in arrays):
            return arrays[0].__array_namespace__(), _device
        raise Unsupported(
            f"arrays of {library.name} take the package array-api-compat",
            hint='install it with pip install "matcalculus[array-api]"',
        ) from None
    return compat.array_namespace(*arrays), compat.device


def _device(array: Any) -> Any:
    return array.device


def _place(device: Callable[[Any], Any], array: Any) -> dict[str, Any]:
    """Where a new array stands; JAX places constants itself, also while it traces."""
    return {} if type(array).__module__.startswith("jax") else {"device": device(array)}


def _converted(
    xp: Any, device: Callable[[Any], Any], arguments: Sequence[Argument], values: Sequence[Any]
) -> list[Any]:
    """The values as arrays of one floating-point type; numbers take the type of the arrays they meet.

    Raises
    ------
    DomainError: complex values, or what is no array of numbers.
    """
    foreign = [library_of([value]) is not None for value in values]
    first = values[foreign.index(True)]
    types = []
    for argument, value, own in zip(arguments, values, foreign, strict=True):
        if not own:
            continue
        kind = str(value.dtype)
        if "complex" in kind:
            raise DomainError(
                f"{argument.name} is {kind}; matcalc is real", hint=f"pass the real part of {argument.name}"
            )
        if "float" in kind:
            types.append(value.dtype)
    dtype = types[0] if types else xp.float64
    for other in types[1:]:
        dtype = (xp.promote_types if hasattr(xp, "promote_types") else xp.result_type)(dtype, other)
    converted = []
    for argument, value, own in zip(arguments, values, foreign, strict=True):
        if own:
            converted.append(value if value.dtype == dtype else _cast(xp, value, dtype))
            continue
        try:
            number = value if isinstance(value, float) else np.asarray(value, dtype=float)
        except (TypeError, ValueError) as error:
            raise ShapeError(f"{argument.name} cannot be read as an array: {error}", hint="pass an array") from error
        number = float(number) if isinstance(number, np.ndarray) and not number.ndim else number
        content = number if isinstance(number, float) or _takes_numpy(xp) else number.tolist()
        converted.append(xp.asarray(content, dtype=dtype, **_place(device, first)))
    return converted


def _takes_numpy(xp: Any) -> bool:
    """Whether a namespace makes arrays from those of NumPy; the strict one of the standard does not."""
    return "strict" not in xp.__name__


def _cast(xp: Any, array: Any, dtype: Any) -> Any:
    return array.to(dtype) if hasattr(array, "to") and not hasattr(xp, "astype") else xp.astype(array, dtype)


def _is_known(array: Any) -> bool:
    """Whether the entries can be looked at: not while a library traces, and not where that would start computing."""
    kind = type(array)
    if kind.__module__.startswith(("dask", "ndonnx")) or "Tracer" in kind.__name__:
        return False
    return not (getattr(array, "is_meta", False) or kind.__name__ in ("FakeTensor", "FunctionalTensor"))


def _may_lack(xp: Any, properties: frozenset[str], array: Any) -> bool:
    """Whether an array seems to lack a declared property, found where the array is."""
    if 0 in array.shape:
        return False
    square = array.ndim == 2 and array.shape[0] == array.shape[1]
    tests = []
    if square:
        slack = (1e-4 if "32" in str(array.dtype) or "16" in str(array.dtype) else 1e-8) * xp.max(xp.abs(array))
        if properties & {"symmetric", "spd", "psd"}:
            tests.append(xp.abs(array - array.T) > slack)
        if "skew" in properties:
            tests.append(xp.abs(array + array.T) > slack)
        if properties & {"lower", "diagonal"}:
            tests.append(xp.abs(array - xp.tril(array)) > slack)
        if properties & {"upper", "diagonal"}:
            tests.append(xp.abs(array - xp.triu(array)) > slack)
    triangular = square and bool(properties & {"lower", "upper", "diagonal"})
    inside = xp.linalg.diagonal(array) if triangular else array
    if "positive" in properties:
        tests.append(inside <= 0)
    if "nonnegative" in properties:
        tests.append(inside < 0)
    if "integer" in properties:
        tests.append(array != xp.floor(array))
    try:
        return any(bool(xp.any(test)) for test in tests)
    except Exception as error:
        # inside a function that is traced, JAX records also what is done to known arrays
        if "Tracer" in type(error).__name__:
            return False
        raise


def _on_host(array: Any) -> Any:
    """A copy as a NumPy array, for the sentence of an error."""
    if hasattr(array, "detach"):
        array = array.detach().cpu()
    elif hasattr(array, "get"):
        array = array.get()
    return np.from_dlpack(array) if not hasattr(array, "__array__") else np.asarray(array)


def _explained(error: Exception, library: Library) -> Exception:
    """What a failure inside the computation means; errors of tracing are the library's own."""
    if type(error).__name__ in ("LinAlgError", "_LinAlgError"):
        return DomainError(
            f"the value is not defined for these arrays: {error}",
            hint="a matrix that is inverted or factorized is singular, or not positive definite",
        )
    missing = re.search(r"no attribute '(\w+)'", str(error)) if isinstance(error, AttributeError) else None
    if missing or isinstance(error, NotImplementedError):
        what = missing.group(1) if missing else str(error).partition("\n")[0]
        return Unsupported(f"{library.name} has no {what}", hint="pass NumPy arrays")
    return error
