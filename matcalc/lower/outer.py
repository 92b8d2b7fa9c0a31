"""Outer products are multiplied last: factors without a common index pass apart through products and sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..expr.build import add, product, scale, split_coefficient, with_children
from ..expr.nodes import Exact, Node, Product, Sum, postorder

Operand = tuple[Node, Exact, tuple[int, ...]]


class Parts(NamedTuple):
    """A node as a coefficient times the outer product of parts, each on some axes of the node, no two on the same."""

    coefficient: Exact
    parts: tuple[tuple[Node, tuple[int, ...]], ...]

    @property
    def is_outer(self) -> bool:
        """Whether two parts have axes."""
        return len(self.parts) > 1 and sum(1 for _, axes in self.parts if axes) > 1


def outer_last(*roots: Node) -> tuple[Node, ...]:
    """The same values with fewer large intermediate ones: ``(u v^T) A`` as ``u (A^T v)^T`` wherever ``u v^T`` is from.

    A node that is an outer product and has several uses would be formed for them. A product that sums over its axes, or
    that is an outer product itself, takes its parts instead, and the part that all terms of a sum have in common is
    multiplied once, with the sum of the others.

    >>> from matcalc.expr.build import einsum
    >>> from matcalc.expr.dims import Dim
    >>> from matcalc.expr.nodes import Variable
    >>> n = Dim.of("n")
    >>> u, v, w = (Variable(name, (n,)) for name in "uvw")
    >>> formed = add([(1, einsum("i,j->ij", u, v)), (-1, einsum("i,j->ij", u, w))], (n, n))
    >>> outer_last(formed) == (einsum("i,j->ij", u, add([(1, v), (-1, w)], (n,))),)
    True
    """
    return _with_networks(roots, _Separation(roots).result())


class _Separation:
    """For every node so far what takes its place as a whole, and its parts."""

    def __init__(self, roots: Sequence[Node]) -> None:
        self.roots = roots
        self.uses: dict[bytes, int] = {}
        self.whole: dict[bytes, Node] = {}
        self.parts: dict[bytes, Parts] = {}

    def result(self) -> tuple[Node, ...]:
        nodes = list(postorder(*self.roots))
        for child in (*self.roots, *(child for node in nodes for child in node.children)):
            self.uses[child.digest] = self.uses.get(child.digest, 0) + 1
        for node in nodes:
            if isinstance(node, Product) and node.order:
                self.separate_product(node)
            elif isinstance(node, Sum) and node.order and node.terms:
                self.separate_sum(node)
            else:
                self.keep(node)
        return tuple(self.whole[root.digest] for root in self.roots)

    def keep(self, node: Node) -> None:
        """A node of one part."""
        children = [self.whole[child.digest] for child in node.children]
        same = all(new is old for new, old in zip(children, node.children, strict=True))
        whole = node if same else with_children(node, children)
        self.whole[node.digest] = whole
        self.parts[node.digest] = Parts(1, ((whole, tuple(range(node.order))),))

    def separate_product(self, node: Product) -> None:
        self.keep(node)
        coefficient: Exact = 1
        operands: list[Operand] = []
        opened = False
        apart = [self.parts[factor.node.digest] for factor in node.factors]
        if not any(inside.is_outer for inside in apart) and any(
            len({label for label in factor.labels if label < node.order}) == node.order for factor in node.factors
        ):
            # a factor with all axes joins whatever has one of them
            return
        for place, (inner, exponent, labels) in enumerate(node.factors):
            inside = apart[place]
            if inside.is_outer and isinstance(exponent, int) and exponent > 0 and self.gains(node, place):
                coefficient *= inside.coefficient**exponent
                operands += [(part, exponent, tuple(labels[axis] for axis in axes)) for part, axes in inside.parts]
                opened = True
            else:
                operands.append((self.whole[inner.digest], exponent, labels))
        groups = connected(operands)
        several = sum(1 for labels, _ in groups if any(label < node.order for label in labels)) > 1
        if not opened and not several:
            return
        sizes = dict(enumerate(node.sizes))
        parts: list[tuple[Node, tuple[int, ...]]] = []
        carried: set[int] = set()
        for names, group in groups:
            carried |= names
            axes = tuple(sorted(label for label in names if label < node.order))
            own, part = split_coefficient(product(group, axes, {label: sizes[label] for label in names}))
            coefficient *= own
            parts.append((part, axes))
        # an index that nothing carries counts as often as it is long
        for label in node.summed:
            if label not in carried:
                own, part = split_coefficient(product([], (), {label: sizes[label]}))
                coefficient *= own
                parts.append((part, ()))
        found = Parts(coefficient, tuple(parts))
        self.parts[node.digest] = found
        # the same array with other axes costs nothing where there is the array
        if len(node.factors) > 1 and (opened or self.uses[node.digest] > 1):
            self.whole[node.digest] = _formed(found, node)

    def gains(self, node: Product, place: int) -> bool:
        """Whether a product had better take the parts of a factor: it sums over them, or they stay apart in it."""
        inside, labels = self.parts[node.factors[place].node.digest], node.factors[place].labels
        if any(label >= node.order for label in labels):
            return True
        rest: list[Operand] = [factor for other, factor in enumerate(node.factors) if other != place]
        own: list[Operand] = [(part, 1, tuple(labels[axis] for axis in axes)) for part, axes in inside.parts if axes]
        return sum(1 for group, _ in connected([*rest, *own]) if group & set(labels)) > 1

    def separate_sum(self, node: Sum) -> None:
        self.keep(node)
        terms = [self.parts[term.node.digest] for term in node.terms]
        first, *others = terms
        if len(terms) == 1:
            (term,) = node.terms
            if first.is_outer:
                self.parts[node.digest] = Parts(term.coefficient * first.coefficient, first.parts)
            return
        shared = {part for part in first.parts if part[1]}
        for other in others:
            shared &= set(other.parts)
        if not shared:
            return
        taken = {axis for _, axes in shared for axis in axes}
        axes = tuple(axis for axis in range(node.order) if axis not in taken)
        sizes = {axis: node.shape[axis] for axis in axes}
        rest = [
            (
                term.coefficient * inside.coefficient,
                product([(part, 1, own) for part, own in inside.parts if (part, own) not in shared], axes, sizes),
            )
            for term, inside in zip(node.terms, terms, strict=True)
        ]
        coefficient, core = split_coefficient(add(rest, tuple(sizes.values()), flatten=False))
        common = tuple(part for part in first.parts if part in shared)
        found = Parts(coefficient, (*common, (core, axes)))
        self.parts[node.digest] = found
        self.whole[node.digest] = _formed(found, node)


def _with_networks(before: Sequence[Node], roots: Sequence[Node]) -> tuple[Node, ...]:
    """Products that have the whole network of another one among their factors take that as one factor.

    Only parts that were taken out are looked for, and only those with several uses, which are computed in any case.
    """
    if all(new is old for new, old in zip(roots, before, strict=True)):
        return tuple(roots)
    known = {node.digest for node in postorder(*before)}
    users: dict[Node, list[Node]] = {}
    nodes = list(postorder(*roots))
    for node in nodes:
        for child in node.children:
            users.setdefault(child, []).append(node)
    networks = [
        node
        for node in nodes
        if isinstance(node, Product) and node.summed and len(users.get(node, ())) > 1 and node.digest not in known
    ]
    if not networks:
        return tuple(roots)
    instead: dict[bytes, Node] = {}
    for network in networks:
        for node in min((users[factor.node] for factor in network.factors), key=len):
            new = instead.get(node.digest, node)
            if isinstance(new, Product):
                instead[node.digest] = with_network(new, network)
    done: dict[bytes, Node] = {}
    stack = list(roots)
    while stack:
        node = stack[-1]
        new = instead.get(node.digest, node)
        missing = [child for child in new.children if child.digest not in done]
        if missing:
            stack += missing
            continue
        stack.pop()
        children = [done[child.digest] for child in new.children]
        same = all(child is old for child, old in zip(children, new.children, strict=True))
        done[node.digest] = new if same else with_children(new, children)
    return tuple(done[root.digest] for root in roots)


def with_network(node: Product, network: Product) -> Node:
    """A product with the factors of another one, where it has them all, as a single one.

    >>> from matcalc.expr.build import einsum
    >>> from matcalc.expr.dims import Dim
    >>> from matcalc.expr.nodes import Variable
    >>> n = Dim.of("n")
    >>> A, B, C = (Variable(name, (n, n)) for name in "ABC")
    >>> known = einsum("ij,jk->ik", B, C)
    >>> with_network(einsum("ij,jk,kl->il", A, B, C), known) == einsum("ij,jk->ik", A, known)
    True

    Parameters
    ----------
    node: what may have the factors, with the indices that they are summed over and no other factor is on.
    network: a product that sums.
    """
    count = len(network.factors)
    if count >= len(node.factors) or not {f.node for f in network.factors} <= {f.node for f in node.factors}:
        return node
    for first, factor in enumerate(node.factors):
        if factor.node != network.factors[0].node:
            continue
        found = _matched(node, network, first)
        if found is None:
            continue
        places, names = found
        rest: list[Operand] = [other for place, other in enumerate(node.factors) if place not in places]
        taken: Operand = (network, 1, tuple(names[axis] for axis in range(network.order)))
        hidden = {names[label] for label in network.summed}
        sizes = {label: size for label, size in enumerate(node.sizes) if label not in hidden}
        return product([*rest, taken], range(node.order), sizes)
    return node


def _matched(node: Product, network: Product, first: int) -> tuple[set[int], dict[int, int]] | None:
    """The places of the factors of a network in a product, and the names of its indices there."""
    names: dict[int, int] = {}
    places: set[int] = set()
    pending = list(network.factors)
    while pending:
        # a factor on an index that is known by now, so that there is seldom a choice
        factor = next((f for f in pending if not names.keys().isdisjoint(f.labels)), pending[0])
        pending.remove(factor)
        for place in [first] if not places else range(len(node.factors)):
            other = node.factors[place]
            if place in places or (other.node, other.exponent) != (factor.node, factor.exponent):
                continue
            if all(names.get(own, name) == name for own, name in zip(factor.labels, other.labels, strict=True)):
                places.add(place)
                names.update(zip(factor.labels, other.labels, strict=True))
                break
        else:
            return None
    hidden = [names[label] for label in network.summed if label in names]
    shown = {names[axis] for axis in range(network.order) if axis in names}
    outside = {label for place, other in enumerate(node.factors) if place not in places for label in other.labels}
    distinct = len(set(hidden)) == len(hidden) == len(network.summed) and len(names) == len(network.sizes)
    if not distinct or any(name < node.order or name in shown or name in outside for name in hidden):
        return None
    return places, names


def _formed(found: Parts, node: Node) -> Node:
    sizes = dict(enumerate(node.shape))
    operands: list[Operand] = [(part, 1, axes) for part, axes in found.parts]
    return scale(found.coefficient, product(operands, range(node.order), sizes))


def connected(operands: Iterable[Operand]) -> list[tuple[set[int], list[Operand]]]:
    """The factors of a product in groups, between which there is no common label, with the labels of each.

    >>> from matcalc.expr.dims import Dim
    >>> from matcalc.expr.nodes import Variable
    >>> n = Dim.of("n")
    >>> A, x = Variable("A", (n, n)), Variable("x", (n,))
    >>> [sorted(labels) for labels, _ in connected([(A, 1, (0, 2)), (x, 1, (1,)), (x, 1, (2,))])]
    [[1], [0, 2]]
    """
    groups: list[tuple[set[int], list[Operand]]] = []
    for operand in operands:
        labels = set(operand[2])
        members = [operand]
        apart: list[tuple[set[int], list[Operand]]] = []
        for group in groups:
            if group[0] & labels:
                labels |= group[0]
                members = group[1] + members
            else:
                apart.append(group)
        groups = [*apart, (labels, members)]
    return groups
