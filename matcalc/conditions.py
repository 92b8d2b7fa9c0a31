"""Where an expression and its derivative are defined, in the user's notation: ``X invertible``, ``z > 0``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from .calculus.simplify import simplify
from .elaborate import elaborate
from .errors import MatcalcError
from .expr.build import is_symmetric, product, variables
from .expr.facts import is_definite, is_nonnegative, is_positive
from .expr.nodes import Call, Exact, Factor, Map, Node, Product, Structure, postorder
from .expression import Expr
from .notation.matrices import to_ast
from .notation.precedence import as_number, walk
from .notation.text import to_text
from .ops.apply import call
from .ops.registry import OPERATIONS
from .syntax.ast import Assign, Ast, Binary, Declare, Define, IndexSum, Name, Output, Program

NONZERO, POSITIVE, NONNEGATIVE = "{0} ≠ 0", "{0} > 0", "{0} ≥ 0"
EVERYWHERE_NONZERO = "every entry of {0} ≠ 0"
INVERTIBLE = "{0} invertible"
SPELLINGS = {"det({0}) != 0": INVERTIBLE, "{0} != 0": NONZERO, "{0} >= 0": NONNEGATIVE}


class Demand(NamedTuple):
    """A condition: a template with ``{0}``, ``{1}`` … for the operands, and their text where it was written by hand."""

    template: str
    operands: tuple[Node, ...]
    written: str = ""


def conditions(expr: Expr, roots: Sequence[Node]) -> tuple[str, ...]:
    """What must hold for an expression and nodes derived from it, in the user's notation, each condition once.

    Parameters are those of `demands`.
    """
    return tuple(dict.fromkeys(_spell(demand, expr.order) for demand in demands(expr, roots)))


def demands(expr: Expr, roots: Sequence[Node]) -> tuple[Demand, ...]:
    """What must hold for an expression and nodes derived from it, and is not known to hold.

    Parameters
    ----------
    expr: the expression as it was written, so that ``x ./ x`` still asks for ``x ≠ 0``.
    roots: nodes over its variables.
    """
    found: dict[tuple[str | bytes, ...], Demand] = {}
    for demand in (*_of_nodes([expr.node]), *_written(expr), *_of_nodes(roots)):
        if _holds(demand):
            continue
        key: tuple[str | bytes, ...] = (demand.template, *(operand.digest for operand in demand.operands))
        if demand.template in (NONZERO, EVERYWHERE_NONZERO, POSITIVE, NONNEGATIVE):
            key = (simplify(demand.operands[0])[0].digest,)
        elif demand.template == INVERTIBLE:
            key = (simplify(call("det", demand.operands[0]))[0].digest,)
        known = found.get(key)
        found[key] = demand if known is None else _both(known, demand)
    return tuple(found.values())


def _both(left: Demand, right: Demand) -> Demand:
    """Two conditions on one operand as one; that a matrix is invertible is a condition on its determinant."""
    if INVERTIBLE in (left.template, right.template):
        matrix, number = (left, right) if left.template == INVERTIBLE else (right, left)
        return matrix if number.template in (INVERTIBLE, NONZERO) else number._replace(template=POSITIVE)
    template = left.template if left.template == right.template else POSITIVE
    return left._replace(template=template, written=left.written or right.written)


def _of_nodes(roots: Sequence[Node]) -> Iterator[Demand]:
    for node in postorder(*roots):
        if isinstance(node, Product):
            for factor in node.factors:
                operand = _seen(node, factor)
                template = _of_power(factor.exponent, operand)
                if template:
                    yield Demand(template, (operand,))
        elif isinstance(node, Map | Call) and node.op in OPERATIONS:
            domain = OPERATIONS[node.op].domain
            if domain and isinstance(node, Map):
                args = tuple(_diagonal(arg, axes) for arg, axes in zip(node.args, node.axes, strict=True))
                yield Demand(SPELLINGS.get(domain, domain), args)
            elif domain and node.args:
                yield Demand(SPELLINGS.get(domain, domain), node.args)


def _diagonal(node: Node, labels: Sequence[int]) -> Node:
    """The entries that are reached when axes share a label: the diagonal of a matrix."""
    if len(set(labels)) == len(labels):
        return node
    return product([(node, 1, tuple(labels))], tuple(dict.fromkeys(labels)))


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


def _written(expr: Expr) -> Iterator[Demand]:
    """The divisors of the text: those that cancel are gone from the nodes, but not from the conditions."""
    before: list[Ast] = []
    for statement in expr.program.statements:
        if isinstance(statement, Define | Declare):
            before.append(statement)
            continue
        value = statement.value if isinstance(statement, Assign | Output) else statement
        bound = set(statement.indices) if isinstance(statement, Assign) else set()
        bound |= {index for node in walk(value) if isinstance(node, IndexSum) for index in node.indices}
        for divisor in _divisors(value):
            names = {node.id for node in walk(divisor) if isinstance(node, Name)}
            if names & bound:
                continue
            try:
                node = elaborate(Program((*before, Output(divisor))), expr.vars).node
            except MatcalcError:
                continue  # it has no meaning by itself; what is left of it in the nodes is enough
            if variables(node):
                template = EVERYWHERE_NONZERO if node.shape else NONZERO
                yield Demand(template, (node,), to_text(divisor))
        before.append(statement)


def _divisors(root: Ast) -> Iterator[Ast]:
    for node in walk(root):
        if not isinstance(node, Binary):
            continue
        if node.op in ("/", "./") and as_number(node.right) is None:
            yield node.right
        exponent = as_number(node.right) if node.op in ("^", ".^") else None
        if node.op == ".^" and exponent is not None and exponent < 0:
            yield node.left


def _holds(demand: Demand) -> bool:
    """Whether a condition is known to hold from the structure and the declared properties."""
    operand = demand.operands[0]
    properties: frozenset[str] = getattr(operand, "properties", frozenset())
    match demand.template:
        case "{0} ≥ 0":
            return is_nonnegative(operand)
        case "{0} > 0" | "{0} ≠ 0" | "every entry of {0} ≠ 0" | "{0} > -1":
            return is_positive(operand)
        case "{1} > 0":
            return is_positive(demand.operands[1])
        case "{0} invertible":
            regular = isinstance(operand, Call) and operand.op in ("chol", "expm", "inv")
            return regular or "orthogonal" in properties or is_definite(operand)
        case "{0} is symmetric":
            return is_symmetric(operand)
        case "{0} is symmetric positive definite":
            return is_definite(operand)
    return False


def _spell(demand: Demand, order: Sequence[str]) -> str:
    text = demand.template
    for position, operand in enumerate(demand.operands):
        place = f"{{{position}}}"
        if place in text:
            written = demand.written or to_text(to_ast(operand, order), separator="; ")
            text = text.replace(place, written)
    return text
