"""The node kinds of the index normal form, and how they are compared and walked.

A node is an immutable tensor with positional axes. Its digest is a hash of its structure, the same in
every process: equal digests are equal nodes, so a pass that keeps its results by digest works on the
shared graph and never on the tree. Nodes build what they are told; the normal form is made by
`matcalc.expr.build`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from hashlib import blake2b
from typing import Any, NamedTuple, TypeVar

from ..limits import built, tick
from .dims import Dim, Shape

Exact = int | Fraction
T = TypeVar("T")


def magnitude(value: Exact) -> Exact:
    """The absolute value; `abs` of either kind of number is an ``object`` to a type checker."""
    return value if value >= 0 else -value


class Factor(NamedTuple):
    """One factor of a `Product`: an operand, its entrywise exponent and the label of each of its axes."""

    node: Node
    exponent: Exact
    labels: tuple[int, ...]


class Term(NamedTuple):
    """One term of a `Sum`: an exact coefficient and a node of the sum's shape."""

    coefficient: Exact
    node: Node


def _digest(*parts: str) -> bytes:
    return _digest_of([part.encode() for part in parts])


def _digest_of(parts: list[bytes]) -> bytes:
    built()
    return blake2b(b"\x00".join(parts), digest_size=16).digest()


class Node:
    """A tensor expression: ``shape`` is a tuple of dimensions, ``children`` the operands in order."""

    __slots__ = ("_cache", "digest", "shape")

    shape: Shape
    digest: bytes
    children: tuple[Node, ...] = ()
    _cache: dict[str, Any]

    @property
    def order(self) -> int:
        """The number of axes: 0 for a scalar, 1 for a vector, 2 for a matrix."""
        return len(self.shape)

    @property
    def cache(self) -> dict[str, Any]:
        """Facts derived from the structure alone, computed once."""
        try:
            return self._cache
        except AttributeError:
            self._cache = {}
            return self._cache

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Node) and self.digest == other.digest)

    def __hash__(self) -> int:
        return int.from_bytes(self.digest[:8], "big")

    def __lt__(self, other: Node) -> bool:
        return self.digest < other.digest

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.digest.hex()[:8]} {tuple(map(str, self.shape))}>"


class Variable(Node):
    """A named input. ``properties`` are the declared ones: ``symmetric``, ``spd``, ``positive`` …"""

    __slots__ = ("name", "properties")

    def __init__(self, name: str, shape: Shape, properties: Iterable[str] = ()) -> None:
        self.name = name
        self.shape = shape
        self.properties = frozenset(properties)
        self.digest = _digest("variable", name, *(d.key for d in shape), "|", *sorted(self.properties))


class Structure(Node):
    """A constant tensor known by its kind and dimensions, never by its entries.

    ========== ================== ============= ======================================================
    kind       parameters         shape         entry
    ========== ================== ============= ======================================================
    delta      n                  (n, n)        1 where i = j
    unit       k, n               (n,)          1 where i = k (k counts from 1)
    select     m, n, offset       (m, n)        1 where j = i + offset (a run of rows of the identity)
    pair       m, n               (m n, m, n)   1 where r = i + m j (column-major vec)
    halfpair   n                  (n(n+1)/2, n, n)  1 where r is the place of i >= j, column by column
    lower      n                  (n, n)        1 where i >= j
    levicivita                    (3, 3, 3)     sign of the permutation
    range      start, n           (n,)          start + i, i from 0
    size       n                  ()            the number n
    pi, e, inf                    ()            the number
    ========== ================== ============= ======================================================
    """

    __slots__ = ("kind", "parameters")

    def __init__(self, kind: str, *parameters: Dim) -> None:
        self.kind = kind
        self.parameters = parameters
        self.shape = _structure_shape(kind, parameters)
        self.digest = _digest("structure", kind, *(d.key for d in parameters))


def _structure_shape(kind: str, parameters: tuple[Dim, ...]) -> Shape:
    match kind:
        case "delta" | "lower":
            return parameters[0], parameters[0]
        case "unit" | "range":
            return (parameters[1],)
        case "select":
            return parameters[0], parameters[1]
        case "pair":
            return parameters[0] * parameters[1], parameters[0], parameters[1]
        case "halfpair":
            n = parameters[0]
            return (n * n + n) * Fraction(1, 2), n, n
        case "levicivita":
            return Dim.of(3), Dim.of(3), Dim.of(3)
        case "size" | "pi" | "e" | "inf":
            return ()
    raise AssertionError(f"no structure {kind}")


class Product(Node):
    """An n-ary contraction: factors with labels, the labels ``0 … order-1`` are the output axes in order,
    every other label is summed. An output label that no factor carries broadcasts (a tensor of ones is the
    product without factors).
    """

    __slots__ = ("children", "factors", "sizes")

    children: tuple[Node, ...]

    def __init__(self, factors: tuple[Factor, ...], order: int, sizes: tuple[Dim, ...]) -> None:
        self.factors = factors
        self.sizes = sizes
        self.shape = sizes[:order]
        pieces = [b"product", str(order).encode(), *[dim.key.encode() for dim in sizes]]
        for node, exponent, labels in factors:
            pieces.append(node.digest)
            pieces.append(f"{exponent}:{labels}".encode())
        self.digest = _digest_of(pieces)
        self.children = tuple([factor.node for factor in factors])

    @property
    def summed(self) -> range:
        """The summed labels."""
        return range(len(self.shape), len(self.sizes))


class Sum(Node):
    """A linear combination with exact coefficients; the empty sum is zero, a number is a multiple of `ONE`."""

    __slots__ = ("children", "terms")

    children: tuple[Node, ...]

    def __init__(self, terms: tuple[Term, ...], shape: Shape) -> None:
        self.terms = terms
        self.shape = shape
        pieces = [b"sum", *[dim.key.encode() for dim in shape], b"|"]
        for coefficient, node in terms:
            pieces.append(str(coefficient).encode())
            pieces.append(node.digest)
        self.digest = _digest_of(pieces)
        self.children = tuple([term.node for term in terms])


class Map(Node):
    """A scalar function applied entrywise: ``axes[k]`` says which output axis each axis of argument k is.

    A unary map has the shape of its argument; with several arguments each is broadcast along the output
    axes it does not carry.
    """

    __slots__ = ("args", "axes", "children", "op")

    children: tuple[Node, ...]

    def __init__(self, op: str, args: tuple[Node, ...], axes: tuple[tuple[int, ...], ...], shape: Shape) -> None:
        self.op = op
        self.args = self.children = args
        self.axes = axes
        self.shape = shape
        sizes = [dim.key.encode() for dim in shape]
        self.digest = _digest_of([b"map", op.encode(), *sizes, repr(axes).encode(), *[arg.digest for arg in args]])


Parameter = str | int | Fraction


class Call(Node):
    """A function that is neither entrywise nor multilinear, by operation name.

    The trailing axes of each argument are the core axes of the operation's signature, all axes before them
    are batch axes, the same for every argument. ``properties`` are facts about the value that were known
    when it was built (``symmetric`` …); they follow from the rest and are not part of its identity.
    """

    __slots__ = ("args", "children", "op", "parameters", "properties")

    children: tuple[Node, ...]

    def __init__(
        self,
        op: str,
        args: tuple[Node, ...],
        shape: Shape,
        parameters: tuple[tuple[str, Parameter], ...] = (),
        properties: Iterable[str] = (),
    ) -> None:
        self.op = op
        self.args = self.children = args
        self.shape = shape
        self.parameters = parameters
        self.properties = frozenset(properties)
        pieces = [b"call", op.encode(), repr(parameters).encode(), *[dim.key.encode() for dim in shape], b"|"]
        self.digest = _digest_of(pieces + [arg.digest for arg in args])


ONE = Product((), 0, ())


def derived(root: Node, key: str, rule: Callable[[Node], T]) -> T:
    """A fact of a node that follows from the same fact of its operands, computed once per node and kept with it.

    Parameters
    ----------
    root: the node asked about.
    key: the name of the fact in `Node.cache`.
    rule: the fact of a node whose operands have theirs in their caches.
    """
    stack = [] if key in root.cache else [root]
    while stack:
        node = stack[-1]
        missing = [child for child in node.children if key not in child.cache]
        if missing:
            stack += missing
            continue
        stack.pop()
        if key not in node.cache:
            tick()
            node.cache[key] = rule(node)
    value: T = root.cache[key]
    return value


def postorder(*roots: Node) -> Iterator[Node]:
    """Every distinct node reachable from the roots, children before parents, each once."""
    done: set[bytes] = set()
    for root in roots:
        if root.digest in done:
            continue
        stack = [(root, iter(root.children))]
        while stack:
            node, operands = stack[-1]
            for child in operands:
                if child.digest in done:
                    continue
                if child.children:
                    stack.append((child, iter(child.children)))
                    break
                done.add(child.digest)
                yield child
            else:
                stack.pop()
                done.add(node.digest)
                yield node
    tick(len(done))
