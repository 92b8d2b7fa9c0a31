"""Any library of the array API standard: what the standard has, and special functions where the library has them."""

from __future__ import annotations

from collections.abc import Mapping

from ..lower.passes import fold_signs, inline_expressions, own_results, turn_products
from ..lower.sharing import name_inverses
from ..lower.views import remove_dead_code
from . import python
from .writer import Row, Target

FUNCTIONS: Mapping[str, Row] = {
    **python.FUNCTIONS,
    "erf": "special.erf({0})",
    "erfc": "special.erfc({0})",
    "normcdf": "special.ndtr({0})",
    "gelu": "gelu({0})",
    "lgamma": "special.gammaln({0})",
    "digamma": "special.digamma({0})",
    "trigamma": "special.polygamma(1, {0})",
    "polygamma": "special.polygamma({0}, {1})",
}

HELPERS: Mapping[str, str] = {
    **python.for_library(python.HELPERS, "dtype={0}.dtype, device=device({0})", ", device=device({0})"),
    "normcdf": """
def normcdf(x):
    return special.ndtr(x)
""",
}


def finish(text: str) -> str:
    """The text as it is: what the namespace is called is known when it runs."""
    return text


TARGET = Target(
    name="array-api",
    title="libraries of the array API",
    syntax=python.SYNTAX,
    reserved=python.RESERVED | {"xp", "special", "device", "like"},
    statements=python.STATEMENTS,
    functions=FUNCTIONS,
    numbers=python.NUMBERS,
    helpers=HELPERS,
    imports={},
    frame=python.frame,
    finish=finish,
    passes=(remove_dead_code, turn_products, name_inverses, fold_signs, own_results, inline_expressions),
    like=("**like", ("like", '{"dtype": {0}.dtype, "device": device({0})}')),
    array="xp.asarray({0}, {like})",
)
