"""The derivative that a matched row states, in the names of the expression."""

from __future__ import annotations

from ...errors import Unsupported
from ...expr.build import Operand, add, elementwise, product
from ...expr.nodes import Call, Map, Node, Product, Structure, Sum, Variable, postorder
from ...ops.registry import OPERATIONS
from ...ops.signature import apply_call
from ..derive import project
from ..simplify import simplify
from .match import Match
from .patterns import ANY_FUNCTION, ITS_SLOPE, read


def instantiate(match: Match) -> Node:
    """The derivative that a row states for what was matched, by `Match.inner`; equal to what the engine computes.

    >>> from matcalc.calculus.identities.match import find_match
    >>> from matcalc.expression import Expr
    >>> expr = Expr("3 z^T B C z")
    >>> found = find_match(expr.simplified, expr.occurring["z"])
    >>> Expr.of_node(instantiate(found), expr).formula
    '3 (B C + C^T B^T) z'

    Parameters
    ----------
    match: what `find_match` returned.

    Raises
    ------
    Unsupported: the row is not in the layout of the computed derivative.
    """
    identity = match.identity
    if identity.layout != "gradient":
        raise Unsupported(f"the identity {identity.name} is stated in the layout {identity.layout}")
    expression = read(identity, identity.expression)
    variable = next(
        part for part in postorder(expression) if isinstance(part, Variable) and part.name == identity.variables[0]
    )
    shape = expression.shape + variable.shape * identity.order
    result = _replaced(read(identity, identity.result, shape), match)
    names = tuple(range(result.order))
    whole = product([(match.coefficient, 1, ()), (result, 1, names)], names, dict(enumerate(result.shape)))
    if isinstance(match.inner, Variable) and identity.order == 1:
        whole = project(whole, match.inner, expression.order)
    return simplify(whole)[0]


def _replaced(root: Node, match: Match) -> Node:
    """A node in the names of a row with what they stand for."""
    values = {**match.bindings, match.identity.variables[0]: match.inner}
    about_any = bool(match.identity.definitions)
    done: dict[bytes, Node] = {}
    for node in postorder(root):
        shape = tuple(dim.substitute(match.sizes) for dim in node.shape)
        children = [done[child.digest] for child in node.children]
        made = node
        if isinstance(node, Variable):
            made = values[node.name]
        elif isinstance(node, Structure):
            made = Structure(node.kind, *(dim.substitute(match.sizes) for dim in node.parameters))
        elif isinstance(node, Product):
            operands: list[Operand] = [
                (child, factor.exponent, factor.labels) for factor, child in zip(node.factors, children, strict=True)
            ]
            sizes = {label: dim.substitute(match.sizes) for label, dim in enumerate(node.sizes)}
            made = product(operands, range(node.order), sizes)
        elif isinstance(node, Sum):
            made = add([(term.coefficient, child) for term, child in zip(node.terms, children, strict=True)], shape)
        elif isinstance(node, Map) and about_any and node.op in (ANY_FUNCTION, ITS_SLOPE):
            value = elementwise(match.function, *children)
            made = value if node.op == ANY_FUNCTION else OPERATIONS[match.function].slopes[0](value, *children)
        elif isinstance(node, Map):
            made = Map(node.op, tuple(children), node.axes, shape)
        elif isinstance(node, Call):
            made = apply_call(OPERATIONS[node.op], children, dict(node.parameters))
        done[node.digest] = made
    return done[root.digest]
