"""A derivative as a linear map: ``dF(dX) = -X^-1 dX X^-1``, and its adjoint."""

from __future__ import annotations

from collections.abc import Sequence

from ..calculus.present import present
from ..calculus.simplify import simplify
from ..expr.build import add, product
from ..expr.nodes import Exact, Factor, Node, Variable
from ..notation.matrices import to_program
from ..syntax import ast
from .terms import terms_of


def applied(node: Node, direction: Variable, axes: Sequence[int], written: frozenset[bytes] = frozenset()) -> Node:
    """The derivative contracted with a direction, in a form to be read.

    Parameters
    ----------
    node: the derivative.
    direction: a variable whose axes are those that are contracted.
    axes: the axes of the derivative that are contracted.
    written: digests of the sums that the reader wrote.
    """
    rest = [axis for axis in range(node.order) if axis not in axes]
    shape = tuple(node.shape[axis] for axis in rest)
    contracted: list[tuple[Exact, Node]] = []
    for coefficient, factors, sizes in terms_of(node):
        operands = (*factors, Factor(direction, 1, tuple(axes)))
        contracted.append((coefficient, product(operands, rest, dict(sizes))))
    return present(simplify(add(contracted, shape))[0], written)


def definition(node: Node, name: str, direction: Variable, order: Sequence[str], taken: Sequence[str]) -> ast.Ast:
    """The map as the last statement of a program, ``name(direction) = …``.

    Parameters
    ----------
    node: the value of the map.
    name: what the map is called.
    direction: its variable.
    order: the variables in the order in which the reader wrote them.
    taken: names that may not be used for intermediates.
    """
    tree = to_program(node, (*order, direction.name), (*taken, name, direction.name))
    statements = tree.statements if isinstance(tree, ast.Program) else (ast.Output(tree),)
    last = statements[-1]
    body = last.value if isinstance(last, ast.Output | ast.Assign) else last
    return ast.Program((*statements[:-1], ast.Define(ast.Name(name), (ast.Name(direction.name),), body)))
