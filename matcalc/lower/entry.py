"""The quick way into a compiled function: one test that a call is like the last one, then the text runs.

What is tested is generated for the kinds of the arguments and results, as text made of counted names; the keywords by
which arguments are passed are given to the finished function as plain data. A call that does not pass the test is
handed on to the general way, which also explains what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import numpy as np

DOUBLE = np.dtype(np.float64)

ARRAY, POINT, NUMBER = "array", "point", "number"
"""Kinds of values: an array, an array without axes, a NumPy number; a Python number is called by its type."""

MISSING = object()
"""Stands for an argument that is not passed."""

PATTERNS = 256
"""How many patterns are remembered."""

Form = int | tuple["Form", ...]
"""How results are returned: the number of one, or a tuple of forms."""

Retry = Callable[[Sequence[str], Sequence[Any], Sequence[Any], Mapping[str, Any], Sequence[Any]], Any]
"""Takes a call that is not like the last one: keywords, values by position, more of them, values by other keywords,
and those by the keywords; what is `MISSING` was not passed."""


class Pattern(NamedTuple):
    """What the text of an entry depends on.

    ``arguments`` are the kinds of the arguments, of which the first ``leading`` are passed by position; ``checked``
    those that are looked at for declared properties; ``results`` the kinds of the results, ``form`` how they are
    returned, or nothing where a function makes one value of them.
    """

    arguments: tuple[str, ...]
    leading: int
    checked: tuple[int, ...]
    results: tuple[str, ...]
    form: Form | None


class Seen(NamedTuple):
    """A call that succeeded: what has to be the same for the next one to take the quick way.

    ``names`` are the keywords of all arguments, ``shapes`` and ``kinds`` what was passed, ``results`` the shapes of the
    results and ``function`` what was run.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    results: tuple[tuple[int, ...], ...]
    dtype: np.dtype[Any]
    function: Callable[..., Any]


class Surroundings(NamedTuple):
    """What the entries of one function share.

    ``checks`` has for the place of each checked argument a function that raises an error for what is not as declared;
    ``quiet.run`` runs a function without warnings; ``finish`` brings a result into the expected shape and type.
    """

    checks: Mapping[int, Callable[[Any], None]]
    quiet: Any
    finish: Callable[..., Any]


def are_of_numpy(values: Iterable[Any]) -> bool:
    """Whether values are arrays of NumPy, numbers or lists, rather than arrays of another library.

    >>> are_of_numpy([np.ones(2), 1.0, [2, 3]]), are_of_numpy([object()])
    (True, False)
    """
    return all(isinstance(value, np.ndarray | np.generic | float | int | list | tuple) for value in values)


def kind_of(value: Any, dtype: np.dtype[Any]) -> str:
    """The kind of an argument that is taken as it is for a working type, else nothing."""
    found = type(value)
    if found is np.ndarray:
        if value.dtype is not dtype:
            return ""
        return ARRAY if value.ndim else POINT
    if found is dtype.type:
        return NUMBER
    # in a narrow type a Python number may overflow
    return found.__name__ if dtype is DOUBLE and (found is float or found is int) else ""


def entry(
    seen: Seen, surroundings: Surroundings, retry: Retry, form: Form | Callable[..., Any], leading: int
) -> FunctionType:
    """The function that takes calls like one that was seen, and hands on all others.

    Parameters
    ----------
    retry: takes the others.
    form: how the results are returned, or what makes of them, one after another, the value that is.
    leading: how many of the first arguments are passed by position.
    """
    results = tuple([ARRAY if shape else NUMBER for shape in seen.results])
    wrap = form if callable(form) else None
    pattern = Pattern(seen.kinds, leading, tuple(surroundings.checks), results, None if callable(form) else form)
    names = seen.names[leading:]
    made = _made(pattern, names)
    dtype = seen.dtype
    call = made.make(
        dtype, dtype.type, surroundings.quiet, seen.function, surroundings.finish, retry, names, wrap,
        *seen.shapes, *surroundings.checks.values(), *seen.results,
    )  # fmt: skip
    call.__code__ = made.code
    call.__defaults__ = (MISSING,) * leading
    call.__kwdefaults__ = made.defaults
    return call


class _Made(NamedTuple):
    """A function that makes entries, the code that they run, and what stands for keywords that are not passed."""

    make: Callable[..., FunctionType]
    code: CodeType
    defaults: dict[str, Any]


@lru_cache(maxsize=PATTERNS)
def _made(pattern: Pattern, names: tuple[str, ...]) -> _Made:
    namespace: dict[str, Any] = {
        "__builtins__": {}, "Exception": Exception, "float": float, "int": int, "ndarray": np.ndarray, "type": type,
    }  # fmt: skip
    exec(compile(entry_text(pattern), "<matcalc-entry>", "exec"), namespace)  # noqa: S102
    make = namespace["make"]
    (code,) = (constant for constant in make.__code__.co_consts if isinstance(constant, CodeType))
    # the keywords are names of the user; they become data of the function and are no part of any text
    variables = (*code.co_varnames[: pattern.leading], *names, *code.co_varnames[len(pattern.arguments) :])
    return _Made(make, code.replace(co_varnames=variables), dict.fromkeys(names, MISSING))


_TESTS: Mapping[str, str] = {
    ARRAY: "type({0}) is ndarray and {0}.dtype is dtype and {0}.shape == s{1}",
    POINT: "type({0}) is ndarray and {0}.dtype is dtype and {0}.shape == s{1}",
    NUMBER: "type({0}) is number",
    "float": "type({0}) is float",
    "int": "type({0}) is int",
}
_VALUES: Mapping[str, str] = {POINT: "{0}[()]", "float": "number({0})", "int": "number({0})"}
_UNLIKE: Mapping[str, str] = {
    ARRAY: "type({0}) is not ndarray or {0}.dtype is not dtype",
    NUMBER: "type({0}) is not number",
}
"""When a result is to be finished; its shape follows from those of the arguments, and was right for the call seen."""


def entry_text(pattern: Pattern) -> str:
    """The text of the function that makes entries of a pattern.

    >>> print(entry_text(Pattern(("array", "float"), 0, (), ("array",), form=0)), end="")
    def make(dtype, number, quiet, function, finish, retry, names, wrap, s0, s1, q0):
        def call(*more, a0=None, a1=None, **other):
            if (
                not more
                and not other
                and type(a0) is ndarray and a0.dtype is dtype and a0.shape == s0
                and type(a1) is float
            ):
                try:
                    r0 = quiet.run(function, a0, number(a1))
                except Exception:
                    pass
                else:
                    if type(r0) is not ndarray or r0.dtype is not dtype:
                        r0 = finish(r0, q0, dtype)
                    return r0
            return retry(names, (), more, other, (a0, a1, ))
        return call
    """
    arguments = [f"a{k}" for k in range(len(pattern.arguments))]
    results = [f"r{k}" for k in range(len(pattern.results))]
    first, named = arguments[: pattern.leading], arguments[pattern.leading :]
    outside = [f"s{k}" for k in range(len(arguments))]
    outside += [f"c{k}" for k in pattern.checked]
    outside += [f"q{k}" for k in range(len(results))]
    parameters = [f"{name}=None" for name in first]
    parameters += ["/"] * bool(first)
    parameters += ["*more", *(f"{name}=None" for name in named), "**other"]
    tests = [_TESTS[kind].format(f"a{k}", k) for k, kind in enumerate(pattern.arguments)]
    values = [_VALUES.get(kind, "{0}").format(f"a{k}") for k, kind in enumerate(pattern.arguments)]
    outer = ["dtype", "number", "quiet", "function", "finish", "retry", "names", "wrap", *outside]
    targets = f"{', '.join(results)} = " if results else ""
    lines = [
        f"def make({', '.join(outer)}):",
        f"    def call({', '.join(parameters)}):",
        "        if (",
        "            not more",
        "            and not other",
        *(f"            and {test}" for test in tests),
        "        ):",
        "            try:",
        *(f"                c{k}({values[k]})" for k in pattern.checked),
        f"                {targets}quiet.run({', '.join(['function', *values])})",
        "            except Exception:",
        "                pass",
        "            else:",
    ]
    for k, kind in enumerate(pattern.results):
        lines.append(f"                if {_UNLIKE[kind].format(f'r{k}')}:")
        lines.append(f"                    r{k} = finish(r{k}, q{k}, dtype)")
    lines += [
        f"                return {_returned(pattern.form, results)}",
        f"        return retry(names, {_tuple(first)}, more, other, {_tuple(named)})",
        "    return call",
    ]
    return "\n".join(lines) + "\n"


def arranged(results: Sequence[Any], form: Form) -> Any:
    """The results in a form.

    >>> arranged([1.0, 2.0, 3.0], (0, (1, 2)))
    (1.0, (2.0, 3.0))
    """
    if isinstance(form, int):
        return results[form]
    return tuple(arranged(results, part) for part in form)


def _returned(form: Form | None, results: Sequence[str]) -> str:
    if form is None:
        return f"wrap({', '.join(results)})"
    return results[form] if isinstance(form, int) else _tuple([_returned(part, results) for part in form])


def _tuple(names: Sequence[str]) -> str:
    return f"({''.join(f'{name}, ' for name in names)})"
