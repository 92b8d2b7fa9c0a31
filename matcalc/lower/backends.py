"""What may run a compiled function: NumPy, or NumPy and loops that Numba compiles."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import Unsupported, require_one_of

BACKENDS = ("numpy", "numba")


def require_backend(name: str) -> None:
    """Refuse a backend that there is not, or that is not installed.

    Raises
    ------
    UsageError: there is no such backend.
    Unsupported: Numba is not installed.
    """
    require_one_of(name, BACKENDS, "backend")
    if name == "numba" and find_spec("numba") is None:
        raise Unsupported('backend="numba" needs Numba, which is not installed', hint="pip install matcalculus[numba]")
