"""What a reader should know of a derivative that its formula does not show: where it is zero by flatness."""

from __future__ import annotations

from collections.abc import Sequence

from .calculus.derive import derivative
from .derivation import Attached
from .expr.nodes import Call, Map, Node, Variable, postorder
from .expression import Expr
from .ops.registry import OPERATIONS

COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})


def flat_parts(expr: Expr, names: Sequence[str], order: int = 1) -> tuple[str, ...]:
    """A note for every piecewise constant function of the variables that are differentiated by.

    >>> from matcalc.expression import parse
    >>> flat_parts(parse("floor(t)", {"t": "scalar"}), ["t"])
    ('floor is piecewise constant: its derivative is 0 almost everywhere',)

    Parameters
    ----------
    expr: what is differentiated.
    names: the variables.
    order: of the derivative; the slope of ``relu`` is flat, so its second derivative is 0 almost everywhere.
    """
    occurring = [expr.occurring[name] for name in names if name in expr.occurring]
    roots = [expr.node]
    if order == 2 and occurring and any(_has_kink(node) for node in postorder(expr.node)):
        with Attached(expr):
            roots.append(derivative(expr.node, occurring[0]))
    wanted = {variable.digest for variable in occurring}
    found = dict.fromkeys(name for root in roots for name in _flat(root, wanted))
    return tuple(f"{name} is piecewise constant: its derivative is 0 almost everywhere" for name in found)


def _has_kink(node: Node) -> bool:
    return isinstance(node, Map | Call) and bool(OPERATIONS[node.op].kink)


def _flat(root: Node, wanted: set[bytes]) -> list[str]:
    """The piecewise constant functions of the wanted variables; the conditions of ``where`` are meant to be so."""
    nodes = list(postorder(root))
    if not any(isinstance(node, Map | Call) and OPERATIONS[node.op].zero_derivative for node in nodes):
        return []
    dependent: set[bytes] = set()
    values = {root.digest}
    for node in nodes:
        if node.digest in wanted or any(child.digest in dependent for child in node.children):
            dependent.add(node.digest)
        read = node.children[1:] if isinstance(node, Map) and node.op == "where" else node.children
        values.update(child.digest for child in read)
    flat = []
    for node in nodes:
        if isinstance(node, Variable) or node.digest not in dependent or node.digest not in values:
            continue
        if isinstance(node, Map | Call) and OPERATIONS[node.op].zero_derivative:
            flat.append("a comparison" if node.op in COMPARISONS else node.op)
    return flat
