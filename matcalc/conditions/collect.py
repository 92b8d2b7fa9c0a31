"""What the operations of an expression ask for, before anything is known or simplified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice

from ..elaborate import elaborate
from ..errors import MatcalcError
from ..expr.build import product, variables
from ..expr.nodes import Call, Exact, Factor, Map, Node, Product, Structure, Variable, postorder
from ..expression import Expr
from ..notation.precedence import as_number, walk
from ..notation.text import to_text
from ..ops.registry import OPERATIONS
from ..syntax.ast import Assign, Ast, Binary, Declare, Define, IndexSum, Name, Output, Program
from ..syntax.ast import Call as Written
from .demand import (
    CONSTANT_RANK,
    EVERYWHERE_NONZERO,
    FULL_RANK,
    INVERTIBLE,
    NONNEGATIVE,
    NONZERO,
    POSITIVE,
    Demand,
    templates,
)

LARGEST_WRITTEN = 48
"""Operands of one statement that are read by themselves: each costs what its size allows."""


def of_nodes(roots: Sequence[Node]) -> Iterator[Demand]:
    """The conditions of every function and power in some nodes."""
    for node in postorder(*roots):
        if isinstance(node, Product):
            for factor in node.factors:
                operand = _seen(node, factor)
                template = _of_power(factor.exponent, operand)
                if template:
                    yield Demand(template, (operand,))
        elif isinstance(node, Map) and node.op in OPERATIONS:
            args = tuple(_diagonal(arg, axes) for arg, axes in zip(node.args, node.axes, strict=True))
            for template in templates(OPERATIONS[node.op].domain):
                yield Demand(template, _named(template, args))
        elif isinstance(node, Call) and node.op in OPERATIONS:
            for template in templates(OPERATIONS[node.op].domain):
                args = tuple(_unbatched(arg) for arg in node.args)
                # any low rank of a free matrix can be raised by a small change
                if template == CONSTANT_RANK and isinstance(args[0], Variable):
                    template = FULL_RANK
                yield Demand(template, _named(template, args))


def _named(template: str, args: tuple[Node, ...]) -> tuple[Node, ...]:
    """The operands up to the last one that a template names."""
    return tuple(args[: 1 + max(place for place in range(len(args)) if f"{{{place}}}" in template)])


def _diagonal(node: Node, labels: Sequence[int]) -> Node:
    """The entries that are reached when axes share a label: the diagonal of a matrix."""
    if len(set(labels)) == len(labels):
        return node
    return product([(node, 1, tuple(labels))], tuple(dict.fromkeys(labels)))


def _unbatched(node: Node) -> Node:
    """The matrix that was repeated along batch axes, else the node itself."""
    if not isinstance(node, Product):
        return node
    carried = {label for factor in node.factors for label in factor.labels}
    kept = [label for label in range(node.order) if label in carried]
    if len(kept) == node.order:
        return node
    return product([(factor.node, factor.exponent, factor.labels) for factor in node.factors], kept)


def _seen(node: Product, factor: Factor) -> Node:
    """The entries of a factor that its product reaches: the diagonal, or the one that a unit vector picks."""
    units = [
        (other.node, 1, other.labels)
        for other in node.factors
        if isinstance(other.node, Structure) and other.node.kind == "unit" and other.labels[0] in factor.labels
    ]
    if not units:
        return _diagonal(factor.node, factor.labels)
    picked = {labels[0] for _, _, labels in units}
    rest = tuple(label for label in dict.fromkeys(factor.labels) if label not in picked)
    return product([(factor.node, 1, factor.labels), *units], rest)


def _of_power(exponent: Exact, base: Node) -> str:
    """Where an entrywise power with an exact exponent is defined."""
    if Fraction(exponent).denominator % 2 == 0:
        return POSITIVE if exponent < 0 else NONNEGATIVE
    if exponent < 0:
        return NONZERO if not base.shape else EVERYWHERE_NONZERO
    return ""


def of_text(expr: Expr) -> Iterator[Demand]:
    """The divisors, inverses and restricted functions of the text: what cancels is gone from the nodes, but not from
    the conditions."""
    before: list[Ast] = []
    types = expr.vars
    for statement in expr.program.statements:
        if isinstance(statement, Define | Declare):
            before.append(statement)
            continue
        value = statement.value if isinstance(statement, Assign | Output) else statement
        bound = set(statement.indices) if isinstance(statement, Assign) else set()
        bound |= {index for node in walk(value) if isinstance(node, IndexSum) for index in node.indices}
        for kinds, operand in islice(_restricted(value), LARGEST_WRITTEN):
            names = {node.id for node in walk(operand) if isinstance(node, Name)}
            if names & bound:
                continue
            try:
                node = elaborate(Program((*before, Output(operand))), types if before else _only(types, names)).node
            except MatcalcError:
                continue  # it has no meaning by itself; what is left of it in the nodes is enough
            if variables(node):
                for kind in kinds or _of_inverse(node):
                    each = NONZERO if kind == EVERYWHERE_NONZERO and not node.shape else kind
                    yield Demand(each, (node,), to_text(operand))
        before.append(statement)


def _only(types: Mapping[str, str], names: set[str]) -> dict[str, str]:
    """The types of the names that occur; all types where one of the names is not a variable but a size."""
    return {name: types[name] for name in types if name in names} if names <= set(types) else dict(types)


def _of_inverse(node: Node) -> tuple[str, ...]:
    """What an operand must be for its power -1: a matrix has an inverse, a vector one for each entry."""
    if node.order == 2:
        return (INVERTIBLE,)
    return (EVERYWHERE_NONZERO if node.shape else NONZERO,)


def _restricted(root: Ast) -> Iterator[tuple[tuple[str, ...], Ast]]:
    """Operands with what is asked of them; nothing is named where that depends on the operand's type."""
    for node in walk(root):
        if isinstance(node, Written) and node.func in OPERATIONS and len(node.args) == 1:
            domain = templates(OPERATIONS[node.func].domain)
            if domain and CONSTANT_RANK not in domain:
                yield domain, node.args[0]
        if not isinstance(node, Binary):
            continue
        if node.op in ("/", "./") and as_number(node.right) is None:
            yield (EVERYWHERE_NONZERO,), node.right
        exponent = as_number(node.right) if node.op in ("^", ".^") else None
        if exponent is not None and exponent < 0:
            yield ((EVERYWHERE_NONZERO,) if node.op == ".^" else ()), node.left
