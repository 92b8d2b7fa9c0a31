"""Notebooks: ``%load_ext matcalc`` gives the magics ``%matcalc`` and ``%%matcalc``."""

from __future__ import annotations

import shlex
from typing import Any

from .api import Derivative, derive
from .errors import MatcalcError, UsageError
from .expression import declarations

USAGE = 'write  %matcalc x^T A x --wrt x --var "A: matrix(n, n) symmetric"'


def split_line(line: str) -> tuple[str, dict[str, Any]]:
    """The expression and the options of a magic line.

    >>> split_line("x^T A x --wrt x --order 2")
    ('x^T A x', {'wrt': 'x', 'order': 2})

    Raises
    ------
    UsageError: an option that does not exist, or one without a value.
    """
    text, *options = f" {line}".split(" --")
    found: dict[str, Any] = {}
    for option in options:
        name, _, value = option.strip().partition(" ")
        value = " ".join(shlex.split(value))
        if not value:
            raise UsageError(f"--{name} needs a value", hint=USAGE)
        if name == "var":
            found["vars"] = {**found.get("vars", {}), **declarations(value)}
        elif name == "order":
            found["order"] = int(value) if value.isdigit() else value
        elif name == "wrt":
            names = tuple(part.strip() for part in value.split(","))
            found["wrt"] = names[0] if len(names) == 1 else names
        elif name == "layout":
            found["layout"] = value
        else:
            raise UsageError(f"there is no option --{name}", hint=USAGE)
    return text.strip(), found


def matcalc_magic(line: str, cell: str | None = None) -> Derivative | None:
    """Differentiate the expression of a line, or the program of a cell with the options of its first line."""
    try:
        text, options = split_line(line.strip())
        return derive(text if cell is None else cell, **options)
    except MatcalcError as error:
        print(f"{type(error).__name__}: {error}")
        return None


def load_ipython_extension(shell: Any) -> None:
    """Register the magics with an IPython shell.

    Parameters
    ----------
    shell: the running IPython.
    """
    shell.register_magic_function(matcalc_magic, magic_kind="line_cell", magic_name="matcalc")
