"""Saving derivatives and compiled functions as text, from which they are made again.

A file holds the program, the declarations, what was asked for, the version and a checksum, as JSON. It never holds
code: `load` reads the program as `derive` would, so that a file from a stranger can do no more than a text can.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from . import __version__
from .derivation import Derivative, canonical
from .errors import MatcalcError, UsageError
from .expression import Expr
from .layout import FORMS, LAYOUTS
from .limits import Limits, bounded, chosen, exceeded

if TYPE_CHECKING:
    from .functions import Function

Saved: TypeAlias = "Derivative | Function | Expr"
FilePath: TypeAlias = "str | os.PathLike[str]"

FORMAT = 1
"""Counted up when a file of the next version could not be read by this one."""

FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "format": int,
    "version": str,
    "kind": str,
    "text": str,
    "syntax": str,
    "vars": dict,
    "shape": (list, type(None)),
    "wrt": list,
    "single": bool,
    "layout": str,
    "structure": (str, type(None)),
    "form": str,
    "backend": str,
    "notes": list,
}
"""What a file says beside its checksum, and of which type."""

EXPRESSION, DERIVATIVE = "expression", "formula"
"""The kinds that are not compiled functions."""


def save(function: Saved, path: FilePath) -> None:
    """Write a derivative, a compiled function or an expression to a file.

    The file is replaced as a whole: whoever reads it finds the old one or the new one.

    >>> import matcalc as mc
    >>> from tempfile import mkdtemp
    >>> file = f"{mkdtemp()}/gradient.json"
    >>> mc.save(mc.grad("||A x - b||^2", "x"), file)
    >>> mc.load(file).formula
    '2 A^T (A x - b)'

    Parameters
    ----------
    function: what `derive`, `grad`, `value_and_grad`, `jacobian`, `hessian`, `hvp`, `vjp`, `jvp`, `parse` or
        ``compile`` returned.
    path: where to write; a file that is there is replaced.

    Raises
    ------
    UsageError: something else is to be saved, or the file cannot be written.
    """
    content = described(function)
    written = json.dumps({**content, "sha256": checksum(content)}, ensure_ascii=False, indent=1) + "\n"
    target = Path(path).resolve()
    draft = target.with_name(f"{target.name}.{token_hex(8)}.part")
    try:
        with draft.open("x", encoding="utf-8", newline="\n") as file:
            file.write(written)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except (OSError, UnicodeEncodeError) as error:
        message = f"{os.fspath(path)} cannot be written: {error}"
        raise UsageError(message, hint="name a file in a folder that exists") from None
    finally:
        draft.unlink(missing_ok=True)


def load(path: FilePath, *, timeout: float | None = None, limits: Limits | None = None) -> Any:
    """Read what `save` wrote, and make it again.

    >>> import matcalc as mc
    >>> from tempfile import mkdtemp
    >>> file = f"{mkdtemp()}/derivative.json"
    >>> mc.save(mc.derive("x^T A x", "x"), file)
    >>> mc.load(file).formula
    '(A + A^T) x'

    Returns a `Derivative`, a `Function` or an `Expr`, as it was saved.

    Parameters
    ----------
    path: the file.
    timeout: seconds, by default no end.
    limits: what reading and differentiating may use, by default the defaults of `Limits`.

    Raises
    ------
    UsageError: the file cannot be read, was changed by hand, or is from a newer version.
    LimitError: a limit was reached; it is named.
    """
    allowed = chosen(limits, timeout)
    name = os.fspath(path)
    content = _checked(_read(name, allowed), name)
    try:
        with bounded(allowed):
            return _made(content, allowed)
    except MatcalcError as error:
        error.message = f"{name}: {error.message}"
        raise


# --- what a file says ----------------------------------------------------------------------------


def described(function: Saved) -> dict[str, Any]:
    """The facts from which a function can be made again, as plain data.

    Parameters
    ----------
    function: as for `save`.

    Raises
    ------
    UsageError: it is nothing that can be made from text.
    """
    if isinstance(function, Expr):
        return _content(EXPRESSION, function)
    if isinstance(function, Derivative):
        expr, wrt, layout, notes, structure = function.__reduce__()[1]
        return _content(DERIVATIVE, expr, wrt, layout=layout, notes=notes, structure=structure)
    from .functions import Function  # needs NumPy, which a formula does not

    if isinstance(function, Function):
        asked = function.request
        return _content(
            asked.kind,
            asked.function,
            asked.wrt,
            single=asked.single,
            layout=asked.layout,
            notes=asked.notes,
            structure=asked.structure,
            form=asked.form,
            backend=asked.backend,
        )
    raise UsageError(
        f"a {type(function).__name__} cannot be saved",
        hint="save what mc.derive, mc.grad or another function of mc returned",
    )


def _content(
    kind: str,
    expr: Expr,
    wrt: tuple[str, ...] = (),
    *,
    single: bool = True,
    layout: str = "gradient",
    notes: tuple[str, ...] = (),
    structure: str | None = None,
    form: str = "array",
    backend: str = "numpy",
) -> dict[str, Any]:
    _, (text, given, expected, syntax, _) = expr.__reduce__()
    return {
        "format": FORMAT,
        "version": __version__,
        "kind": kind,
        "text": text,
        "syntax": syntax,
        "vars": dict(given),
        "shape": None if expected is None else [str(dim) for dim in expected],
        "wrt": list(wrt),
        "single": single,
        "layout": layout,
        "structure": structure,
        "form": form,
        "backend": backend,
        "notes": list(notes),
    }


def checksum(content: Mapping[str, Any]) -> str:
    """The hash of the facts, whatever their order and the blanks between them."""
    return sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


# --- reading -------------------------------------------------------------------------------------


def _read(name: str, allowed: Limits) -> Any:
    """The plain data of a file that is not larger than its program may be."""
    largest = 8 * allowed.length + 100_000
    try:
        with Path(name).open("rb") as file:
            raw = file.read(largest + 1)
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error}", hint="name a file that mc.save wrote") from None
    if len(raw) > largest:
        raise exceeded(
            "length", f"{name} has more than {largest} bytes, too many for a program of {allowed.length} characters"
        )
    try:
        return json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        raise UsageError(f"{name} is not a file that mc.save wrote", hint="it holds JSON") from None


def _checked(data: Any, name: str) -> dict[str, Any]:
    """The facts of a file, when it is complete, unchanged and not from the future."""
    if not isinstance(data, dict) or not isinstance(data.get("format"), int):
        raise UsageError(f"{name} is not a file that mc.save wrote", hint="it says its format, version and checksum")
    written_by = data.get("version")
    if data["format"] > FORMAT or (isinstance(written_by, str) and _release(written_by) > _release(__version__)):
        raise UsageError(
            f"{name} was written by matcalc {written_by!s:.40}, which is newer than this one ({__version__})",
            hint="install that version, or derive again from the text in the file",
        )
    content = {key: value for key, value in data.items() if key != "sha256"}
    if data.get("sha256") != checksum(content):
        raise UsageError(
            f"{name} was changed after it was saved", hint="save it again, or derive again from the text in the file"
        )
    content.setdefault("form", "array")  # files of before there were operators
    content.setdefault("backend", "numpy")  # and of before there was a choice
    wrong = [key for key, kind in FIELDS.items() if not isinstance(content.get(key), kind)]
    wrong += [key for key in content if key not in FIELDS]
    for key in ("wrt", "notes", "shape", "vars"):
        parts = content.get(key) or ()
        entries = parts.values() if isinstance(parts, dict) else parts
        wrong += [key] if key not in wrong and not all(isinstance(part, str) for part in entries) else []
    if wrong:
        raise UsageError(f"{name} says nothing that makes sense under {', '.join(wrong)[:80]}", hint="save it again")
    return content


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version, for comparing."""
    numbers: list[int] = []
    for part in version.split(".")[:4]:
        if not (part.isascii() and part.isdigit() and len(part) < 10):
            break
        numbers.append(int(part))
    return tuple(numbers)


def _made(content: Mapping[str, Any], allowed: Limits) -> Saved:
    """The function that the facts of a file describe."""
    shape = None
    if content["shape"] is not None:
        kind = {0: "scalar", 1: "vector", 2: "matrix"}.get(len(content["shape"]), "tensor")
        sizes = f"({', '.join(content['shape'])})" if content["shape"] else ""
        shape = Expr("a", {"a": kind + sizes}, limits=allowed).type.shape
    expr = Expr(content["text"], content["vars"], shape, content["syntax"], allowed)
    wrt, notes = tuple(map(canonical, content["wrt"])), tuple(content["notes"])
    if content["layout"] not in LAYOUTS:
        raise UsageError(f"there is no layout {content['layout']!r:.40}", hint=f"the layouts are {', '.join(LAYOUTS)}")
    if content["kind"] == EXPRESSION:
        return expr
    if content["kind"] in (DERIVATIVE, "derivative") and len(wrt) not in (1, 2):
        raise UsageError(f"a derivative is taken by one or two variables, not {len(wrt)}")
    if content["kind"] == DERIVATIVE:
        return Derivative(expr, wrt, content["layout"], notes, content["structure"])
    from .compressed import function_of  # needs NumPy, which a formula does not
    from .functions import Kind, Request

    if content["kind"] not in get_args(Kind):
        raise UsageError(f"there is no function kind {content['kind']!r:.40}", hint="save it again")
    if (content["kind"] == "value") != (not wrt):
        raise UsageError(f"a {content['kind']} is not taken by {len(wrt)} variables")
    several = content["kind"] in ("jacobian", "hessian")
    if content["form"] not in FORMS or (content["form"] != "array" and not several):
        raise UsageError(f"a {content['kind']} has no form {content['form']!r:.40}", hint="save it again")
    space, form, backend = content["structure"], content["form"], content["backend"]
    asked = Request(content["kind"], expr, wrt, content["single"], content["layout"], notes, space, form, backend)
    return function_of(asked)
