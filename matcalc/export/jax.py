"""JAX: the array API that JAX has itself, its special functions and its factorizations."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..lower.passes import fold_signs, inline_expressions, turn_products
from ..lower.sharing import name_inverses, share_factorizations
from ..lower.views import remove_dead_code
from . import python
from .factorized import factorizations
from .writer import Row, Target

STATEMENTS: Mapping[str, Row] = {
    **python.STATEMENTS,
    **factorizations("jsp.linalg.lu_factor", "jnp.linalg.cholesky"),
    "solve_spd": 'jsp.linalg.solve({0}, {1}, assume_a="pos")',
    "solve_lower": "jsp.linalg.solve_triangular({0}, {1}, lower=True)",
    "solve_upper": "jsp.linalg.solve_triangular({0}, {1})",
}

FUNCTIONS: Mapping[str, Row] = {
    **python.FUNCTIONS,
    "cbrt": "xp.cbrt({0})",
    "relu": "jax.nn.relu({0})",
    "sigmoid": "jax.nn.sigmoid({0})",
    "silu": "jax.nn.silu({0})",
    "softplus": "jax.nn.softplus({0})",
    "selu": "jax.nn.selu({0})",
    "gelu": "jax.nn.gelu({0}, approximate=False)",
    "erf": "jsp.special.erf({0})",
    "erfc": "jsp.special.erfc({0})",
    "normcdf": "jsp.special.ndtr({0})",
    "lgamma": "jsp.special.gammaln({0})",
    "digamma": "jsp.special.digamma({0})",
    "trigamma": "jsp.special.polygamma(1, {0})",
    "polygamma": "polygamma({0}, {1})",
    "logsumexp": "jax.nn.logsumexp({0}, axis={axes})",
    "softmax": "jax.nn.softmax({0}, axis=-1)",
    "log_softmax": "jax.nn.log_softmax({0}, axis=-1)",
    "expm": "expm({0})",
    "expm_frechet": "expm_derivative({0}, {1})",
    "sqrtm": "real_root({0})",
    "sylvester": "jsp.linalg.solve_sylvester({0}, {1}, {2})",
}

HELPERS: Mapping[str, str] = {
    **python.for_library(python.HELPERS, "dtype={0}.dtype", ""),
    "expm": """
def expm(A):
    return jsp.linalg.expm(A)
""",
    "polygamma": """
def polygamma(n, x):
    return jsp.special.polygamma(round(n), x)
""",
    "real_root": """
def real_root(A):
    # NaN where the square root is not real
    root = jsp.linalg.sqrtm(A)
    bound = 1e-8 * jnp.maximum(1.0, jnp.max(jnp.abs(root)))
    return jnp.where(jnp.max(jnp.abs(jnp.imag(root))) > bound, jnp.nan, jnp.real(root))
""",
    "lu_solution": """
def lu_solution(factors, b, transposed=False):
    return jsp.linalg.lu_solve(factors, b, trans=int(transposed))
""",
    "lu_log_determinant": """
def lu_log_determinant(factors):
    return jnp.sum(jnp.log(jnp.abs(jnp.diagonal(factors[0]))))
""",
    "cholesky_solution": """
def cholesky_solution(L, b):
    return jsp.linalg.cho_solve((L, True), b)
""",
    "cholesky_log_determinant": """
def cholesky_log_determinant(L):
    return 2 * jnp.sum(jnp.log(jnp.diagonal(L)))
""",
}


def finish(text: str) -> str:
    """The text with the name of the library in place."""
    return re.sub(r"\bxp\.", "jnp.", text)


TARGET = Target(
    name="jax",
    title="JAX",
    syntax=python.SYNTAX,
    reserved=python.RESERVED | {"xp", "jnp", "jsp", "jax", "dtype"},
    statements=STATEMENTS,
    functions=FUNCTIONS,
    numbers=python.NUMBERS,
    helpers=HELPERS,
    imports={
        "math": "import math",
        "jax": "import jax",
        "jnp": "import jax.numpy as jnp",
        "jsp": "import jax.scipy as jsp",
    },
    frame=python.frame,
    finish=finish,
    passes=(
        remove_dead_code, turn_products, share_factorizations, name_inverses, fold_signs, inline_expressions,
    ),
    lone="jnp.asarray({0}, {like})",
    like=("dtype=dtype", ("dtype", "{0}.dtype")),
    notes=('JAX computes in float32 unless jax.config.update("jax_enable_x64", True) has been called.',),
)  # fmt: skip
