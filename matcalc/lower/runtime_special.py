"""The kernels that generated code calls and that need SciPy's special functions, but none of its linear algebra."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from .runtime import floating


def gelu(x: Any) -> Any:
    """x times the normal distribution function at x."""
    return x * special.ndtr(x)


def polygamma(k: Any, x: Any) -> Any:
    """The k-th derivative of the digamma function, of the type of x."""
    return np.asarray(special.polygamma(k, x), dtype=floating(x))
