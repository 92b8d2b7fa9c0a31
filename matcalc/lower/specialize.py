"""Sizes put into a program: every dimension becomes a number."""

from __future__ import annotations

from collections.abc import Mapping

from ..expr.dims import Dim, Shape
from .program import Argument, Operand, Parameter, Program, Statement


def specialize(program: Program, sizes: Mapping[str, int]) -> Program:
    """The program for arrays of given sizes, without named sizes.

    Parameters
    ----------
    sizes: a value for every named size of the program.
    """
    known: dict[Dim, Dim] = {}

    def number(dim: Dim) -> Dim:
        found = known.get(dim)
        if found is None:
            found = known[dim] = dim if dim.constant is not None else Dim.of(dim.evaluate(sizes))
        return found

    def shape(dims: Shape) -> Shape:
        return tuple([number(dim) for dim in dims])

    def parameter(value: Parameter) -> Parameter:
        if isinstance(value, Dim):
            return number(value)
        return tuple(parameter(part) for part in value) if isinstance(value, tuple) else value

    def operand(value: Operand) -> Operand:
        return number(value) if isinstance(value, Dim) else value

    def statement(old: Statement) -> Statement:
        return Statement(
            old.target,
            old.operation,
            tuple([number(value) if isinstance(value, Dim) else value for value in old.operands]),
            tuple([parameter(value) for value in old.parameters]) if old.parameters else (),
            shape(old.shape),
            old.plain,
        )

    return program._replace(
        arguments=tuple(Argument(given.name, shape(given.shape), given.properties) for given in program.arguments),
        sizes=(),
        statements=tuple(statement(old) for old in program.statements),
        results=tuple(operand(result) for result in program.results),
        inlined=frozenset(),
    )
