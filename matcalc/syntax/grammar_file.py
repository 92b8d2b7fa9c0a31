"""Where the grammar files are: inside an installed package, or at the top of a checkout."""

# Importing pathlib takes as long as all the rest of a parse:
# ruff: noqa: PTH100, PTH118, PTH120, PTH123
from __future__ import annotations

import os

from ..errors import UsageError

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def grammar_directories() -> tuple[str, str]:
    """The two places a grammar may be in, in the order they are tried."""
    return os.path.join(_PACKAGE, "_grammar"), os.path.join(os.path.dirname(_PACKAGE), "grammar")


def read_data(path: str) -> bytes:
    """Read a file that was installed with the package, also from a zip archive.

    Raises OSError where there is no such file.
    """
    # The loader's own reader: importlib.resources would do the same and takes longer to import than a parse.
    loader = globals().get("__loader__")
    if loader is not None and hasattr(loader, "get_data"):
        data: bytes = loader.get_data(path)
        return data
    with open(path, "rb") as file:
        return file.read()


def read_grammar(name: str) -> str:
    """Read a grammar by its file name.

    >>> read_grammar("matcalc.lark").startswith("//")
    True

    Raises UsageError, naming both places, where neither holds the file.
    """
    places = [os.path.join(directory, name) for directory in grammar_directories()]
    for place in places:
        try:
            return read_data(place).decode("utf-8").replace("\r\n", "\n")
        except OSError:
            continue
    raise UsageError(
        f"The grammar {name} is missing: neither {places[0]} nor {places[1]} can be read.",
        hint="install matcalculus again, or run from a complete checkout",
    )
