"""A program as named parts: the reader's own intermediates, and fresh names where an inner node deserves one.

Every part is an expression over the variables and the names of earlier parts; the last part is the output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ..calculus.derive import depends
from ..calculus.formula import formula
from ..calculus.present import cost, sums_of
from ..calculus.simplify import simplify
from ..derivation import Derivative, find_variable
from ..expr.build import is_symmetric, substitute, with_children
from ..expr.facts import is_definite, is_nonnegative, is_positive
from ..expr.nodes import Call, Map, Node, Product, Sum, Variable, postorder
from ..ops.registry import OPERATIONS

OUTPUT_NAMES = ("f", "F", "J", "L", "phi", "f0", "f1", "f2")
RESERVED = frozenset({"I", "T", "e", "pi", "inf", "d"})


class Part(NamedTuple):
    """One named expression of a program.

    Parameters
    ----------
    name: its name.
    node: the expression, over variables and the names of earlier parts.
    variable: how later parts refer to it.
    whole: the expression over the variables of the program alone.
    active: whether it depends on what is differentiated by.
    """

    name: str
    node: Node
    variable: Variable
    whole: Node
    active: bool


@dataclass(frozen=True)
class Outline:
    """The parts of a program in order.

    Parameters
    ----------
    derivative: what is explained.
    parts: the last one is the output.
    wrt: what is differentiated by.
    taken: all names in use.
    changes: the name of the differential of each active part, and of the variable's own.
    """

    derivative: Derivative
    parts: tuple[Part, ...]
    wrt: Variable
    taken: frozenset[str]
    changes: Mapping[str, Variable]

    @property
    def output(self) -> Part:
        return self.parts[-1]

    @cached_property
    def wholes(self) -> dict[str, Node]:
        """The parts as functions of the variables of the program."""
        return {part.name: part.whole for part in self.parts}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The names in the order in which formulas mention them: a part where its first variable stands."""
        rank = {name: position for position, name in enumerate(self.derivative.function.order)}
        places: dict[str, list[str]] = {}
        for part in self.parts:
            ranks = [rank.get(node.name, len(rank)) for node in postorder(part.whole) if isinstance(node, Variable)]
            first = min(ranks, default=len(rank))
            places.setdefault(self.derivative.function.order[first] if first < len(rank) else "", []).append(part.name)
        return (*(part for name in rank for part in (*places.get(name, ()), name)), *places.get("", ()))

    @cached_property
    def written(self) -> frozenset[bytes]:
        """The sums of the program, which stay as they are."""
        return frozenset().union(*(sums_of(part.node) for part in self.parts))

    @cached_property
    def named(self) -> dict[Node, Node]:
        """The name of every expression that has one."""
        return {part.node: part.variable for part in self.parts if part.node.children}

    def inputs(self, part: Part) -> list[Variable]:
        """What a part uses and the derivative passes through, the last named first."""
        found = {node.name: node for node in postorder(part.node) if isinstance(node, Variable)}
        names = [other.name for other in reversed(self.parts) if other.active and other.name in found]
        through = [found[name] for name in names]
        return through + ([found[self.wrt.name]] if self.wrt.name in found else [])

    def tail(self, name: str) -> Node:
        """The output as a function of a part (and of the variables)."""
        values: dict[Node, Node] = {}
        for part in self.parts[:-1]:
            if part.name != name:
                values[part.variable] = substitute(part.node, values)
        return substitute(self.output.node, values)


def fresh_name(candidates: Sequence[str], taken: set[str] | frozenset[str]) -> str:
    """The first name that is free; the last candidate is numbered when none is."""
    for name in candidates:
        if name not in taken:
            return name
    number = 1
    while f"{candidates[-1]}_{number}" in taken:
        number += 1
    return f"{candidates[-1]}_{number}"


def outline(derivative: Derivative) -> Outline:
    """The parts of what a derivative differentiates.

    Parameters
    ----------
    derivative: of order 1, or of order 2, where the gradient is what is differentiated.
    """
    expr = derivative.function
    wanted = [find_variable(expr, name)[0] for name in derivative.wrt]
    root = expr.node if derivative.order == 1 else formula(expr.node, wanted[:-1])
    wrt = wanted[-1]
    taken = {*expr.order, *expr.meaning.definitions, *RESERVED, *OPERATIONS, *(d for s in _sizes(root) for d in s)}
    given = expr.meaning.definitions if derivative.order == 1 else expr.definitions
    known: dict[Node, Node] = {}
    parts: list[Part] = []
    for name, value in given.items():
        if value == root or not value.children or value in known or not _is_declarable(value):
            continue
        local = simplify(_in_terms_of(value, known))[0]
        if not local.children:
            continue
        _append(parts, name, local, value, wrt, taken)
        known[value] = parts[-1].variable
        if derivative.order == 1:
            known.setdefault(simplify(value)[0], parts[-1].variable)
    name = (expr.meaning.output_name if derivative.order == 1 else None) or fresh_name(
        (OUTPUT_NAMES if root.order < 2 else OUTPUT_NAMES[1:]) if derivative.order == 1 else ("g", "G", "g0", "g1"),
        taken,
    )
    taken.add(name)
    _append(parts, name, simplify(_in_terms_of(root, known))[0], root, wrt, taken)
    used = _used(parts)
    changes: dict[str, Variable] = {}
    for variable in [wrt, *(part.variable for part in used if part.active)]:
        change = fresh_name((f"d{variable.name}", f"d_{variable.name}"), taken)
        taken.add(change)
        changes[variable.name] = Variable(change, variable.shape)
    return Outline(derivative, used, wrt, frozenset(taken), changes)


def _in_terms_of(root: Node, known: Mapping[Node, Node]) -> Node:
    """A node with what has a name replaced by it; what lies below a name is not looked at."""
    done: dict[bytes, Node] = {}
    stack = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if node.digest in done:
            continue
        if node in known:
            done[node.digest] = known[node]
        elif ready:
            done[node.digest] = with_children(node, [done[child.digest] for child in node.children])
        else:
            stack.append((node, True))
            stack.extend((child, False) for child in node.children)
    return done[root.digest]


def _sizes(root: Node) -> list[tuple[str, ...]]:
    return [dim.names for node in postorder(root) for dim in node.shape]


def _append(parts: list[Part], name: str, local: Node, whole: Node, wrt: Variable, taken: set[str]) -> None:
    """Add a part, after the inner nodes of its own that get fresh names."""
    through: list[Node] = [wrt, *(part.variable for part in parts if part.active)]
    active = depends(local, through)
    values: dict[Node, Node] = {part.variable: part.whole for part in parts}
    consumers: dict[bytes, list[Node]] = {}
    for node in postorder(local):
        for child in node.children:
            consumers.setdefault(child.digest, []).append(node)
    cut: dict[Node, Node] = {}
    for node in postorder(local):
        if node == local or node.digest not in active or not _deserves(node, consumers, active):
            continue
        fresh = _fresh_part_name(node, consumers[node.digest], taken)
        taken.add(fresh)
        inner = substitute(node, cut)
        variable = Variable(fresh, node.shape)
        parts.append(Part(fresh, inner, variable, substitute(node, values), True))
        cut[node] = variable
    is_active = local.digest in active
    variable = Variable(name, local.shape, () if is_active else _facts(whole))
    parts.append(Part(name, substitute(local, cut), variable, whole, is_active))


def _facts(node: Node) -> tuple[str, ...]:
    """What is known of a constant and helps to write what follows from it."""
    found = []
    if node.order == 2 and is_definite(node):
        found.append("spd")
    elif node.order == 2 and is_symmetric(node):
        found.append("symmetric")
    if is_positive(node):
        found.append("positive")
    elif is_nonnegative(node):
        found.append("nonnegative")
    return tuple(found)


def _deserves(node: Node, consumers: Mapping[bytes, Sequence[Node]], active: set[bytes]) -> bool:
    """Whether a reader would give an inner node a name: what a function is applied to, its value, a residual."""
    users = consumers[node.digest]
    if isinstance(node, Variable) or not node.children or not _is_declarable(node):
        return False
    if len(users) == 1 and _is_plain_use(node, users[0], active):
        return isinstance(node, Call) and node.order > 0
    if isinstance(node, Map) and _ends_entrywise(node, consumers):
        return False
    if isinstance(node, Map | Call):
        return bool(node.order) or cost(node) > 1 or len(users) > 1
    in_function = any(isinstance(consumer, Map | Call) for consumer in users)
    if in_function or len(users) > 1:
        return cost(node) > 3 or _contracts(node) or (len(users) > 1 and cost(node) > 0)
    return isinstance(node, Sum) and len(node.terms) > 1 and any(isinstance(consumer, Product) for consumer in users)


def _is_declarable(node: Node) -> bool:
    """Whether the sizes of a node can be written in a declaration: that of singular values is ``min(m, n)``."""
    return all(name.isidentifier() for dim in node.shape for name in dim.names)


def _contracts(node: Node) -> bool:
    """Whether a sum over an index is taken somewhere in a node."""
    return any(isinstance(part, Product) and len(part.summed) > 0 for part in postorder(node))


def _ends_entrywise(node: Node, consumers: Mapping[bytes, Sequence[Node]]) -> bool:
    """Whether a function enters a scalar entry by entry: ``sum(y .* log(p))``, ``sin(t) exp(t)``."""
    while True:
        users = consumers.get(node.digest, ())
        if not users:
            return not node.order
        if len(users) > 1:
            return False
        node = users[0]
        if isinstance(node, Product) and not node.order:
            return all(factor.exponent == 1 or not factor.labels for factor in node.factors) and len(node.sizes) <= 1
        if not isinstance(node, Sum) and not (isinstance(node, Product) and not node.summed):
            return False


def _is_plain_use(node: Node, consumer: Node, active: set[bytes]) -> bool:
    """Whether a node enters a scalar linearly, with constants: ``sum(log(z))``, ``y^T log(p)``."""
    if isinstance(consumer, Sum):
        return not node.order or len(consumer.terms) == 1
    if not isinstance(consumer, Product) or consumer.order:
        return False
    inside = [factor for factor in consumer.factors if factor.node.digest in active]
    return len(inside) == 1 and inside[0].exponent == 1


def _fresh_part_name(node: Node, consumers: Sequence[Node], taken: set[str]) -> str:
    if not node.order:
        letters = "snu"
    elif isinstance(node, Call) and node.op in ("softmax", "sigmoid"):
        letters = "pq"
    elif isinstance(node, Map):
        letters = "ahu"
    elif any(
        isinstance(consumer, Map) or (isinstance(consumer, Call) and "norm" not in consumer.op)
        for consumer in consumers
    ):
        letters = "zuv"
    elif isinstance(node, Sum):
        letters = "ruv"
    else:
        letters = "uvw"
    if node.order >= 2:
        letters = "MPQ" if isinstance(node, Call) else letters.upper()
    letter = next((letter for letter in letters if letter not in taken), letters[0])
    number = 1
    while f"{letter}{number}" in taken:
        number += 1
    return f"{letter}{number}"


def _used(parts: Sequence[Part]) -> tuple[Part, ...]:
    """The parts on which the output depends."""
    by_variable: Mapping[str, Part] = {part.name: part for part in parts[:-1]}
    wanted = {parts[-1].name}
    for part in reversed(parts):
        if part.name in wanted:
            inside = {node.name for node in postorder(part.node) if isinstance(node, Variable)}
            wanted |= {name for name in inside if name in by_variable}
    return tuple(part for part in parts if part.name in wanted)
