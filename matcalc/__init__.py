"""Matrix calculus: derivatives of matrix expressions as readable formulas and fast NumPy functions.

>>> import matcalc as mc
>>> mc.derive("x^T A x", wrt="x").formula
'(A + A^T) x'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import derive, explain, grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
    from .claims import ClaimReport, check
    from .derivation import Derivative
    from .errors import (
        DomainError,
        LimitError,
        MatcalcError,
        NotDifferentiable,
        ParseError,
        ShapeError,
        UnknownName,
        Unsupported,
        UsageError,
    )
    from .explanation.explain import Explanation
    from .expression import Expr, parse, symbols
    from .functions import Function
    from .jupyter import load_ipython_extension
    from .limits import Limits, limited
    from .operators import DerivativeOperator
    from .rulebook import rules
    from .saving import load, save
    from .verify import CheckReport

__version__ = "0.1.0"

__all__ = [
    "CheckReport",
    "ClaimReport",
    "Derivative",
    "DerivativeOperator",
    "DomainError",
    "Explanation",
    "Expr",
    "Function",
    "LimitError",
    "Limits",
    "MatcalcError",
    "NotDifferentiable",
    "ParseError",
    "ShapeError",
    "UnknownName",
    "Unsupported",
    "UsageError",
    "__version__",
    "check",
    "derive",
    "explain",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "limited",
    "load",
    "load_ipython_extension",
    "parse",
    "rules",
    "save",
    "symbols",
    "value_and_grad",
    "vjp",
]

_HOME = {
    "CheckReport": ".verify",
    "ClaimReport": ".claims",
    "check": ".claims",
    "Derivative": ".derivation",
    "DerivativeOperator": ".operators",
    "Explanation": ".explanation.explain",
    "Expr": ".expression",
    "Function": ".functions",
    "derive": ".api",
    "explain": ".api",
    "grad": ".api",
    "hessian": ".api",
    "hvp": ".api",
    "jacobian": ".api",
    "jvp": ".api",
    "parse": ".expression",
    "load": ".saving",
    "rules": ".rulebook",
    "save": ".saving",
    "symbols": ".expression",
    "value_and_grad": ".api",
    "vjp": ".api",
    "Limits": ".limits",
    "limited": ".limits",
    "DomainError": ".errors",
    "LimitError": ".errors",
    "MatcalcError": ".errors",
    "NotDifferentiable": ".errors",
    "ParseError": ".errors",
    "ShapeError": ".errors",
    "UnknownName": ".errors",
    "Unsupported": ".errors",
    "UsageError": ".errors",
    "load_ipython_extension": ".jupyter",
}


def __getattr__(name: str) -> Any:
    """Import the home of a public name on first use, so that ``import matcalc`` costs a millisecond."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'matcalc' has no attribute {name!r}")
    # what is imported stays; a collector that walks it again and again takes a quarter of the time
    with import_module(".collection", __name__).paused_collection():
        value = getattr(import_module(home, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
