"""Rows for matrices that are factorized once: by Cholesky where they are known to be definite, else by LU."""

from __future__ import annotations

from collections.abc import Mapping

from ..lower.program import Statement
from ..lower.source import ATOM, Text
from .writer import Row, Writer


def _factorization(writer: Writer, statement: Statement) -> Statement:
    """The statement that factorized what a statement is about."""
    origin = writer.origin(statement.operands[0], "factorize")
    assert origin is not None
    return origin


def _is_definite(origin: Statement) -> bool:
    return origin.parameters[0] == "spd"


def _solve(writer: Writer, statement: Statement) -> Text:
    factors, right = (writer.operand(operand)[0] for operand in statement.operands)
    if _is_definite(_factorization(writer, statement)):
        return f"cholesky_solution({factors}, {right})", ATOM
    turned = ", transposed=True" if statement.parameters[0] else ""
    return f"lu_solution({factors}, {right}{turned})", ATOM


def _inverse(writer: Writer, statement: Statement) -> Text:
    name = "cholesky_solution" if _is_definite(_factorization(writer, statement)) else "lu_solution"
    size = writer.dim(statement.shape[-1])
    return f"{name}({writer.operand(statement.operands[0])[0]}, xp.eye({size}, {writer.like()}))", ATOM


def _log_determinant(writer: Writer, statement: Statement) -> Text:
    name = "cholesky" if _is_definite(_factorization(writer, statement)) else "lu"
    return f"{name}_log_determinant({writer.operand(statement.operands[0])[0]})", ATOM


def _determinant(writer: Writer, statement: Statement) -> Text:
    # of the matrix itself: the factors do not tell the sign without counting the exchanges of rows
    matrix = _factorization(writer, statement).operands[0]
    return f"xp.linalg.det({writer.operand(matrix)[0]})", ATOM


def factorizations(lu: str, cholesky: str) -> Mapping[str, Row]:
    """The rows, with the names of the functions that factorize."""

    def factorize(writer: Writer, statement: Statement) -> Text:
        name = cholesky if _is_definite(statement) else lu
        return f"{name}({writer.operand(statement.operands[0])[0]})", ATOM

    return {
        "factorize": factorize,
        "solve_factorized": _solve,
        "inverse_factorized": _inverse,
        "determinant_factorized": _determinant,
        "log_determinant_factorized": _log_determinant,
    }
