"""PyTorch: tensors of any type on any device, no gradients recorded by the text itself."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..errors import Unsupported
from ..lower.passes import fold_signs, inline_expressions, own_results, turn_products
from ..lower.program import Statement
from ..lower.sharing import name_inverses, share_factorizations
from ..lower.source import ATOM, Text
from ..lower.views import remove_dead_code
from . import python
from .factorized import factorizations
from .writer import Row, Target, Writer

RENAMED: Mapping[str, str] = {
    "permute_dims": "permute",
    "cumulative_sum": "cumsum",
    "cumulative_prod": "cumprod",
    "max": "amax",
    "min": "amin",
    "linalg.trace": "trace",
    "matrix_transpose": "adjoint",
    "take_along_axis": "take_along_dim",
    "astype": "asarray",
}
"""What PyTorch calls a function of the array API."""


def _tensordot(writer: Writer, statement: Statement) -> Text:
    text, level = _as_row(python.STATEMENTS["tensordot"], writer, statement)
    return text.replace("axes=", "dims="), level


def _as_row(row: Row, writer: Writer, statement: Statement) -> Text:
    return row(writer, statement) if callable(row) else writer.filled(row, statement)


def _copy(writer: Writer, statement: Statement) -> Text:
    text, level = writer.operand(statement.operands[0])
    return f"{text if level == ATOM else f'({text})'}.clone()", ATOM


def _sylvester(writer: Writer, statement: Statement) -> Text:
    if len(statement.shape) != 2:
        raise Unsupported(
            f"several Sylvester equations at once are not written for {writer.target.title}",
            hint="the NumPy text is in .source",
        )
    return writer.filled("sylvester({0}, {1}, {2})", statement)


STATEMENTS: Mapping[str, Row] = {
    **python.STATEMENTS,
    **factorizations("torch.linalg.lu_factor", "torch.linalg.cholesky"),
    "copy": _copy,
    "tensordot": _tensordot,
    "solve_lower": "solve_triangular({0}, {1}, upper=False)",
    "solve_upper": "solve_triangular({0}, {1}, upper=True)",
}

FUNCTIONS: Mapping[str, Row] = {
    **python.FUNCTIONS,
    "relu": "torch.relu({0})",
    "sigmoid": "torch.sigmoid({0})",
    "gelu": "torch.nn.functional.gelu({0})",
    "silu": "torch.nn.functional.silu({0})",
    "selu": "torch.selu({0})",
    "erf": "torch.erf({0})",
    "erfc": "torch.erfc({0})",
    "normcdf": "torch.special.ndtr({0})",
    "lgamma": "torch.lgamma({0})",
    "digamma": "torch.digamma({0})",
    "trigamma": "polygamma(1, {0})",
    "polygamma": "polygamma({0}, {1})",
    "logsumexp": "torch.logsumexp({0}, dim={axes})",
    "softmax": "torch.softmax({0}, dim=-1)",
    "log_softmax": "torch.log_softmax({0}, dim=-1)",
    "prod": "torch.prod(torch.flatten({0}, -{core}), dim=-1)",
    "var": "torch.var({0}, dim={axes}, correction=0)",
    "std": "torch.std({0}, dim={axes}, correction=0)",
    "expm": "expm({0})",
    "sylvester": _sylvester,
    "expm_frechet": "expm_derivative({0}, {1})",
}

HELPERS: Mapping[str, str] = {
    **python.for_library(python.HELPERS, "dtype={0}.dtype, device={0}.device", ", device={0}.device"),
    "mask": """
def mask(condition, like):
    return condition.to(like.dtype)
""",
    "backwards": """
def backwards(x, axis):
    return torch.flip(x, (axis,))
""",
    "taken": """
def taken(x, places):
    return torch.index_select(x, -1, torch.tensor(places, device=x.device))
""",
    "polygamma": """
def polygamma(n, x):
    # by Hurwitz's zeta function, which is exact to the last digits where torch.polygamma is not
    return (-1) ** (round(n) + 1) * math.factorial(round(n)) * torch.special.zeta(round(n) + 1, x)
""",
    "expm": """
def expm(A):
    return torch.linalg.matrix_exp(A)
""",
    "sylvester": """
def sylvester(A, B, C):
    # A Z + Z B = C as one system of equations for all entries of Z
    left = torch.kron(A, torch.eye(len(B), dtype=B.dtype, device=B.device))
    right = torch.kron(torch.eye(len(A), dtype=A.dtype, device=A.device), B.T.contiguous())
    return torch.linalg.solve(left + right, C.reshape(-1)).reshape(C.shape)
""",
    "columns": """
def columns(b):
    return b[:, None] if b.ndim == 1 else b
""",
    "solve_triangular": """
def solve_triangular(A, b, upper):
    return torch.linalg.solve_triangular(A, columns(b), upper=upper).reshape(b.shape)
""",
    "lu_solution": """
def lu_solution(factors, b, transposed=False):
    return torch.linalg.lu_solve(*factors, columns(b), adjoint=transposed).reshape(b.shape)
""",
    "lu_log_determinant": """
def lu_log_determinant(factors):
    return torch.sum(torch.log(torch.abs(torch.diagonal(factors[0]))))
""",
    "cholesky_solution": """
def cholesky_solution(L, b):
    return torch.cholesky_solve(columns(b), L).reshape(b.shape)
""",
    "cholesky_log_determinant": """
def cholesky_log_determinant(L):
    return 2 * torch.sum(torch.log(torch.diagonal(L)))
""",
}


def finish(text: str) -> str:
    """The text in the names that PyTorch has."""
    for name, own in RENAMED.items():
        text = re.sub(rf"\bxp\.{re.escape(name)}\(", f"torch.{own}(", text)
    text = re.sub(r"\bxp\.", "torch.", text)
    return text.replace("axis=", "dim=").replace("keepdims=", "keepdim=")


TARGET = Target(
    name="torch",
    title="PyTorch",
    syntax=python.SYNTAX,
    reserved=python.RESERVED | {"xp", "torch", "like"},
    statements=STATEMENTS,
    functions=FUNCTIONS,
    numbers=python.NUMBERS,
    helpers=HELPERS,
    imports={"math": "import math", "torch": "import torch"},
    frame=python.frame,
    finish=finish,
    passes=(
        remove_dead_code, turn_products, share_factorizations, name_inverses, fold_signs, own_results,
        inline_expressions,
    ),
    like=("**like", ("like", '{"dtype": {0}.dtype, "device": {0}.device}')),
    array="torch.as_tensor({0}, {like})",
    notes=("Arguments are tensors of one type, numbers too; torch.float64 gives the precision of NumPy.",),
)  # fmt: skip
