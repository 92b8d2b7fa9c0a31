"""From nodes to a straight-line program: every shared node is computed once, products in the cheapest order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from ..expr.build import exact, is_symmetric, product
from ..expr.dims import Dim, Shape
from ..expr.facts import known
from ..expr.nodes import ONE as UNIT_NODE
from ..expr.nodes import Call, Exact, Map, Node, Product, Structure, Sum, Term, Variable, postorder
from .calls import template_of
from .contract import Term as Labelled
from .contract import array_term, contract, explicit
from .entrywise import (
    Tensor,
    align,
    arrange,
    binary,
    combine,
    combined_labels,
    dims_by_label,
    literal,
    magnitude,
    raised,
    scale,
    settle,
    total,
)
from .order import Leaf, Path, contraction_path, volume
from .program import Argument, Builder, Choice, Literal, Operand, Program, bind_sizes, dims_of, size_values
from .structures import Network, Piece, entries, finished, resolve

NUMBERS = {"pi": math.pi, "e": math.e, "inf": math.inf}
AXES = range(64)
NOWHERE = -1
"""Stands for the operand that is scaled where nothing is."""
SCALARS = frozenset({"size", *NUMBERS})
MEANS = frozenset({"var", "std"})
"""Calls that divide by how many entries there are."""

Flat = tuple[Exact, list[tuple[Node, Exact, tuple[int, ...]]], dict[int, Dim]]
"""A product with its nested products taken apart: coefficient, factors, size of every label."""


def lower(outputs: Sequence[Node], arguments: Sequence[Argument], sizes: Mapping[str, int] | None = None) -> Program:
    """The program that computes the outputs from the arguments, before any pass.

    Parameters
    ----------
    outputs: the nodes to compute.
    arguments: the arguments, in order; every variable of the outputs is among them.
    sizes: values of the named sizes for which the order of products is chosen.
    """
    lowering = _Lowering(outputs, arguments, sizes or {})
    results = tuple(lowering.result(node) for node in outputs)
    builder = lowering.builder
    dims = [dim for statement in builder.statements for dim in (*dims_of(statement), *statement.shape)]
    dims += [result for result in results if isinstance(result, Dim)]
    names = dict.fromkeys(name for dim in dims for name in dim.names)
    return Program(
        arguments=tuple(arguments),
        sizes=bind_sizes(names, arguments),
        statements=tuple(builder.statements),
        results=results,
        nonzero=tuple(builder.nonzero),
        fits=tuple(lowering.fits),
        choices=tuple(lowering.choices),
        symmetric=frozenset(value for value in builder.symmetric if isinstance(value, int)),
    )


class _Lowering:
    """The state of one lowering: what is known about uses, and the value of every node so far."""

    def __init__(self, outputs: Sequence[Node], arguments: Sequence[Argument], sizes: Mapping[str, int]) -> None:
        self.builder = Builder(arguments)
        self.numbers = {argument.name: number for number, argument in enumerate(arguments)}
        self.values: dict[bytes, Tensor] = {}
        self.roots = {node.digest for node in outputs}
        self.uses: dict[bytes, int] = {node.digest: 1 for node in outputs}
        self.fits: dict[tuple[Dim, Dim], None] = {}
        self.choices: dict[Choice, None] = {}
        self.absorbed: set[bytes] = set()
        self._flat: dict[bytes, Flat] = {}
        self._diagonals: dict[bytes, Node | None] = {}
        nodes = list(postorder(*outputs))
        dims = [dim for argument in arguments for dim in argument.shape]
        for node in nodes:
            dims += node.shape
            if isinstance(node, Product):
                dims += node.sizes
            for child in node.children:
                self.uses[child.digest] = self.uses.get(child.digest, 0) + 1
            if isinstance(node, Structure):
                self._note_fit(node)
        self.sizes = size_values(dims, sizes)
        self.implicit = self._implicit_inverses(nodes)

    def _note_fit(self, node: Structure) -> None:
        if node.kind == "unit":
            place, size = node.parameters
            self.fits[place, size] = None
            self._note_least(1, place)
        elif node.kind == "select":
            length, size, offset = node.parameters
            if offset.constant is None or offset.constant >= 0:
                self.fits[offset + length, size] = None
            if any(coefficient > 0 for _, coefficient in offset.terms):
                self._note_least(0, offset)
                self._note_least(0, length)

    def _note_least(self, least: int, dim: Dim) -> None:
        """Note a size that small arrays could make too small."""
        if dim.constant is None and not (least == 0 and dim.is_nonnegative):
            self.fits[Dim.of(least), dim] = None

    # --- which nodes are computed, and what they need ---------------------------------------------

    def _is_absorbed(self, node: Node) -> bool:
        """Whether a node is only one factor of one product, so that it can be taken apart there."""
        return (
            isinstance(node, Product)
            and node.order > 0
            and self.uses.get(node.digest, 0) == 1
            and node.digest not in self.roots
        )

    def flat(self, node: Product) -> Flat:
        """The factors of a product, those of products that are used here alone among them."""
        known = self._flat.get(node.digest)
        if known is not None:
            return known
        coefficient: Exact = 1
        sizes = dict(enumerate(node.sizes))
        factors: list[tuple[Node, Exact, tuple[int, ...]]] = []
        stack = [(factor.node, factor.exponent, factor.labels) for factor in reversed(node.factors)]
        while stack:
            inner, exponent, labels = stack.pop()
            if exponent == 1 and isinstance(inner, Sum) and len(inner.terms) == 1:
                part = inner.terms[0]
                if self.uses.get(inner.digest, 0) == 1 and inner.digest not in self.roots:
                    coefficient *= part.coefficient
                    stack.append((part.node, 1, labels))
                    continue
            if exponent == 1 and self._is_absorbed(inner):
                assert isinstance(inner, Product)
                self.absorbed.add(inner.digest)
                names = dict(enumerate(labels))
                for label in inner.summed:
                    names[label] = len(sizes)
                    sizes[len(sizes)] = inner.sizes[label]
                stack.extend(
                    (factor.node, factor.exponent, tuple(names[label] for label in factor.labels))
                    for factor in reversed(inner.factors)
                )
                continue
            if isinstance(inner, Sum) and isinstance(exponent, int):
                content, inner = _primitive(inner)
                coefficient *= Fraction(content) ** exponent
            factors.append((inner, exponent, labels))
        result = coefficient, factors, sizes
        self._flat[node.digest] = result
        return result

    def _implicit_inverses(self, nodes: Sequence[Node]) -> set[bytes]:
        """Inverses of matrices that only ever meet something to solve for, so that they need not be computed."""
        if not any(_is_inverse(node) for node in nodes):
            return set()
        fitting: dict[bytes, int] = {}
        for node in reversed(nodes):
            # parents come first, so that a product which is taken apart above is known by now
            if not isinstance(node, Product) or node.digest in self.absorbed:
                continue
            _, factors, _ = self.flat(node)
            if all(_is_inverse(inner) or isinstance(inner, Structure) or not inner.order for inner, _, _ in factors):
                # a product of inverses alone needs one of them in full
                continue
            for position, (inner, exponent, labels) in enumerate(factors):
                if not _is_inverse(inner) or exponent != 1 or labels[0] == labels[1]:
                    continue
                for other_position, (other, _, names) in enumerate(factors):
                    if other_position == position or isinstance(other, Structure):
                        continue
                    if any(label in names and label >= node.order for label in labels):
                        fitting[inner.digest] = fitting.get(inner.digest, 0) + 1
                        break
        return {digest for digest, count in fitting.items() if count == self.uses[digest]}

    def diagonal(self, node: Node) -> Node | None:
        """The diagonal of a matrix that is known to be diagonal and used once, else None."""
        if node.order != 2 or node.shape[0] != node.shape[1]:
            return None
        if node.digest in self._diagonals:
            return self._diagonals[node.digest]
        found: Node | None = None
        if isinstance(node, Structure) and node.kind == "delta":
            found = UNIT_NODE
        elif isinstance(node, Product) and self.uses.get(node.digest, 0) == 1 and node.digest not in self.roots:
            rest = [
                (factor.node, factor.exponent, tuple(0 if label == 1 else label for label in factor.labels))
                for factor in node.factors
                if not _ties(factor.node, factor.exponent, factor.labels)
            ]
            if len(rest) < len(node.factors):
                found = product(rest, (0,), {0: node.shape[0]})
        self._diagonals[node.digest] = found
        return found

    def needs(self, node: Node) -> list[Node]:
        """The nodes whose values the node is computed from."""
        if isinstance(node, Product):
            _, factors, _ = self.flat(node)
            return [
                inner.children[0] if inner.digest in self.implicit else inner
                for inner, _, _ in factors
                if not isinstance(inner, Structure)
            ]
        if isinstance(node, Sum):
            found: list[Node] = []
            for _, inner in node.terms:
                diagonal = self.diagonal(inner)
                if diagonal is not None:
                    found.append(diagonal)
                elif self._takes_coefficient(inner):
                    found.extend(self.needs(inner))
                else:
                    found.append(inner)
            return found
        return list(node.children)

    def _takes_coefficient(self, node: Node) -> bool:
        """Whether the coefficient of a term can go into the product that the term is."""
        return (
            isinstance(node, Product)
            and bool(node.factors)
            and self.uses.get(node.digest, 0) == 1
            and node.digest not in self.roots
        )

    # --- values -------------------------------------------------------------------------------------

    def value(self, root: Node) -> Tensor:
        """The value of a node; what it needs is computed first, without recursion."""
        stack = [(root, False)]
        while stack:
            node, ready = stack.pop()
            if node.digest in self.values:
                continue
            if not ready:
                stack.append((node, True))
                stack += [(need, False) for need in reversed(self.needs(node)) if need.digest not in self.values]
                continue
            value = self._compute(node)
            if node.order == 2 and len(value.labels) == 2 and is_symmetric(node):
                self.builder.symmetric.add(value.value)
            self.values[node.digest] = value
        return self.values[root.digest]

    def result(self, node: Node) -> Operand:
        """The value of an output, with all its axes in order."""
        return self.whole(self.value(node), node.shape)

    def whole(self, tensor: Tensor, shape: Shape) -> Operand:
        """A value with every axis of a shape, in order."""
        builder = self.builder
        if not shape:
            return tensor.value
        if builder.is_plain(tensor.value):
            return builder.emit("full", (tensor.value,), shape)
        labels = tuple(range(len(shape)))
        if len(tensor.labels) == len(shape):
            return arrange(builder, tensor, labels)
        return builder.emit("broadcast", (align(builder, tensor, labels),), shape)

    def _compute(self, node: Node) -> Tensor:
        if isinstance(node, Variable):
            return Tensor(self.numbers[node.name], tuple(range(node.order)))
        if isinstance(node, Structure):
            return self._structure(node)
        if isinstance(node, Product):
            return self._product(node, 1)
        if isinstance(node, Sum):
            return self._sum(node)
        if isinstance(node, Map):
            return self._map(node)
        assert isinstance(node, Call)
        operands = [self.whole(self.values[arg.digest], arg.shape) for arg in node.args]
        facts = _matrix_facts(node.args[0]) if len(node.args) == 1 else ""
        if node.op in MEANS:
            self.builder.nonzero.update(dict.fromkeys(node.args[0].shape[node.order :]))
        value = self.builder.emit("call", operands, node.shape, (node.op, template_of(node), facts))
        return Tensor(value, tuple(range(node.order)))

    def _structure(self, node: Structure) -> Tensor:
        if node.kind == "size":
            return Tensor(node.parameters[0])
        if node.kind in NUMBERS:
            return Tensor(Literal(NUMBERS[node.kind]))
        return Tensor(entries(self.builder, node), tuple(range(node.order)))

    def _map(self, node: Map) -> Tensor:
        builder = self.builder
        tensors = []
        for arg, axes in zip(node.args, node.axes, strict=True):
            known = self.values[arg.digest]
            tensors.append(Tensor(known.value, tuple(axes[axis] for axis in known.labels)))
        labels = combined_labels(*tensors, preferred=AXES)
        sizes = dims_by_label(builder, *tensors)
        operands = [align(builder, tensor, labels) for tensor in tensors]
        shape = tuple(sizes[label] for label in labels)
        return Tensor(builder.emit("map", operands, shape, (node.op, template_of(node))), labels)

    # --- sums ---------------------------------------------------------------------------------------

    def _sum(self, node: Sum) -> Tensor:
        builder = self.builder
        if not node.terms:
            return Tensor(Literal(0.0))
        if len(node.terms) == 1 and self.diagonal(node.terms[0].node) is None:
            coefficient, inner = node.terms[0]
            if self._takes_coefficient(inner):
                assert isinstance(inner, Product)
                return self._product(inner, coefficient)
            return scale(builder, coefficient, self.values[inner.digest])
        content, primitive = _primitive(node)
        if content != 1 and primitive.digest in self.values:
            return scale(builder, content, self.values[primitive.digest])
        common = self._common_factor(node)
        groups: dict[frozenset[int], list[tuple[int, Tensor]]] = {}
        diagonal: list[tuple[int, Tensor]] = []
        constant: list[tuple[int, Tensor]] = []
        for coefficient, inner in node.terms:
            sign = -1 if coefficient < 0 else 1
            size: Exact = magnitude(coefficient) if common == 1 else 1
            on_diagonal = self.diagonal(inner)
            if on_diagonal is not None:
                diagonal.append((sign, scale(builder, size, self.values[on_diagonal.digest])))
                continue
            if self._takes_coefficient(inner):
                assert isinstance(inner, Product)
                # a sign inside the product is written as the sign of the term
                inside = -1 if self.flat(inner)[0] < 0 else 1
                sign *= inside
                tensor = self._product(inner, size * inside)
            else:
                tensor = scale(builder, size, self.values[inner.digest])
            if isinstance(tensor.value, Literal):
                constant.append((sign, tensor))
                continue
            groups.setdefault(frozenset(tensor.labels), []).append((sign, tensor))
        if constant:
            value = sum(sign * self._number(tensor) for sign, tensor in constant)
            sign = -1 if value < 0 else 1
            groups.setdefault(frozenset(), []).append((sign, Tensor(Literal(abs(value)))))
        lengths = {axis: dim.evaluate(self.sizes) for axis, dim in enumerate(node.shape)}
        largest_first = sorted(groups, key=lambda labels: (-volume(labels, lengths), sorted(labels)))
        parts = [self._signed_total(groups[labels]) for labels in largest_first]
        return scale(builder, common, self._with_diagonal(node, parts, diagonal))

    @staticmethod
    def _number(tensor: Tensor) -> float:
        assert isinstance(tensor.value, Literal)
        return tensor.value.value

    def _common_factor(self, node: Sum) -> Exact:
        """The number that every term is multiplied by, when it is better taken out."""
        first = magnitude(node.terms[0].coefficient)
        if first == 1 or len(node.terms) < 2 or any(magnitude(term.coefficient) != first for term in node.terms):
            return 1
        if node.order > 1 and all(self._takes_coefficient(term.node) for term in node.terms):
            return 1
        return first

    def _signed_total(self, parts: Sequence[tuple[int, Tensor]]) -> tuple[int, Tensor]:
        """The sum of signed values: those with a plus first; all with a minus become one with a minus."""
        builder = self.builder
        ordered = [tensor for sign, tensor in parts if sign > 0]
        subtracted = [tensor for sign, tensor in parts if sign < 0]
        sign = 1 if ordered else -1
        if not ordered:
            ordered, subtracted = subtracted, []
        result = ordered[0]
        for tensor in ordered[1:]:
            result = combine(builder, "add", result, tensor, AXES)
        for tensor in subtracted:
            result = combine(builder, "subtract", result, tensor, AXES)
        return sign, result

    def _with_diagonal(
        self, node: Sum, parts: Sequence[tuple[int, Tensor]], diagonal: Sequence[tuple[int, Tensor]]
    ) -> Tensor:
        builder = self.builder
        sign, result = self._signed_total(parts) if parts else (1, Tensor(Literal(0.0)))
        result = _negated(builder, result) if sign < 0 else result
        if not diagonal:
            return result
        sign, extra = self._signed_total(diagonal)
        extra = _negated(builder, extra) if sign < 0 else extra
        if not parts:
            finish = Network([], [0, 1], dict(enumerate(node.shape)))
            finish.pieces.append(Piece(extra))
            finish.pieces.append(Piece(Tensor(Literal(1.0), (0, 1)), structure=Structure("delta", node.shape[0])))
            resolve(builder, finish)
            return finished(builder, finish, extra)
        matrix = self.whole(result, node.shape)
        return Tensor(builder.emit("add_diagonal", (matrix, extra.value), node.shape), (0, 1))

    # --- products -----------------------------------------------------------------------------------

    def _product(self, node: Product, coefficient: Exact) -> Tensor:
        """The value of a coefficient times a product."""
        builder = self.builder
        part, factors, sizes = self.flat(node)
        network = Network([], list(range(node.order)), dict(sizes))
        above: list[Tensor] = []
        below: list[Tensor] = []
        for inner, exponent, labels in factors:
            if isinstance(inner, Structure) and inner.kind in SCALARS:
                self._scalar(self._structure(inner), exponent, above, below)
            else:
                network.pieces.append(self._piece(inner, exponent, labels))
        resolve(builder, network)
        terms = self._terms(network, above, below)
        scaled = _Scale(builder, coefficient * part, above, below)
        if not terms:
            return finished(builder, network, scaled.alone())
        if len(terms) <= 2 and scaled.is_one:
            path = [(0, 1)] if len(terms) == 2 else []
            return finished(builder, network, contract(builder, terms, path, network.out, NOWHERE, scaled))
        lengths = {label: dim.evaluate(self.sizes) for label, dim in network.sizes.items()}
        outputs = frozenset(network.out)
        leaves = [Leaf(frozenset(term.labels), term.kind, term.labels[-1]) for term in terms]
        path = contraction_path(leaves, outputs, lengths)
        if len(leaves) > 2:
            described = tuple((tuple(sorted(leaf.labels)), leaf.kind, leaf.last) for leaf in leaves)
            dims = tuple(sorted(network.sizes.items()))
            self.choices[Choice(described, tuple(sorted(outputs)), dims, tuple(path))] = None
        place = _smallest_operand(terms, path, outputs, lengths)
        result = contract(builder, terms, path, network.out, place, scaled)
        return finished(builder, network, result)

    def _piece(self, node: Node, exponent: Exact, labels: tuple[int, ...]) -> Piece:
        if isinstance(node, Structure):
            return Piece(Tensor(Literal(1.0), labels), exponent, structure=node)
        if node.digest in self.implicit:
            assert isinstance(node, Call)
            (matrix,) = node.args
            value = self.whole(self.values[matrix.digest], matrix.shape)
            return Piece(Tensor(value, labels), exponent, template=template_of(node), facts=_matrix_facts(matrix))
        known = self.values[node.digest]
        return Piece(Tensor(known.value, tuple(labels[axis] for axis in known.labels)), exponent)

    def _scalar(self, tensor: Tensor, exponent: Exact, above: list[Tensor], below: list[Tensor]) -> None:
        value = raised(self.builder, tensor, magnitude(exponent))
        (above if exponent > 0 else below).append(value)
        if exponent < 0 and isinstance(tensor.value, Dim):
            self.builder.nonzero[tensor.value] = None

    def _terms(self, network: Network, above: list[Tensor], below: list[Tensor]) -> list[Labelled]:
        """The factors with axes as terms of a contraction; scalars go above or below the line."""
        counts: dict[int, int] = {}
        for piece in network.pieces:
            for label in set(piece.labels):
                counts[label] = counts.get(label, 0) + 1
        for label, dim in network.sizes.items():
            if label not in counts and label not in network.out:
                above.append(Tensor(dim))
        terms: list[Labelled] = []
        for piece in network.pieces:
            keep = frozenset(label for label in piece.labels if label in network.out or counts[label] > 1)
            term = self._term(piece, keep)
            if term.labels:
                terms.append(term)
            else:
                (below if term.kind == "divisor" else above).append(term.tensor)
        places = {label: place for place, label in enumerate(network.out)}
        return sorted(terms, key=lambda term: min(places.get(label, len(places)) for label in term.labels))

    def _term(self, piece: Piece, keep: frozenset[int]) -> Labelled:
        builder = self.builder
        if piece.structure is not None:
            size = piece.structure.parameters[0]
            labels = piece.labels
            if labels[0] == labels[1] and piece.exponent > 0:
                # the diagonal of the triangle is one everywhere
                tensor = Tensor(builder.emit("full", (Literal(1.0),), (size,)), (labels[0],))
                return array_term(settle(builder, tensor, keep))
            lower = Labelled(Literal(1.0), labels, "lower", size=size)
            if piece.exponent > 0 and set(labels) <= keep:
                return lower
            piece.tensor = explicit(builder, lower)
        if piece.template:
            inverse = Labelled(piece.tensor.value, piece.labels, "inverse", piece.template, piece.facts)
            if piece.exponent == 1 and len(set(piece.labels)) == 2 and keep:
                return inverse
            piece.tensor = explicit(builder, inverse)
        if piece.exponent == 2 and not keep and len(set(piece.labels)) == len(piece.labels):
            operation = "matmul" if len(piece.labels) == 1 else "inner"
            value = piece.tensor.value
            if piece.labels:
                return Labelled(builder.emit(operation, (value, value), ()), ())
        if piece.exponent == 1:
            return array_term(settle(builder, piece.tensor, keep))
        tensor = settle(builder, piece.tensor, frozenset(piece.labels))
        tensor = raised(builder, tensor, magnitude(piece.exponent))
        if piece.exponent > 0:
            return array_term(settle(builder, tensor, keep))
        if set(tensor.labels) <= keep:
            return Labelled(tensor.value, tensor.labels, "divisor")
        inverted = explicit(builder, Labelled(tensor.value, tensor.labels, "divisor"))
        return array_term(total(builder, inverted, frozenset(tensor.labels) - keep))


class _Scale:
    """Multiplication by the scalar factors of a product: a coefficient, those above the line and those below it."""

    def __init__(self, builder: Builder, coefficient: Exact, above: Sequence[Tensor], below: Sequence[Tensor]) -> None:
        self.builder = builder
        self.coefficient = coefficient
        self.above = above
        self.below = below

    @property
    def is_one(self) -> bool:
        """Whether nothing is to be multiplied by."""
        return self.coefficient == 1 and not self.above and not self.below

    def _multiplied(self, tensors: Sequence[Tensor]) -> Operand:
        value: Operand = Literal(1.0)
        for tensor in sorted(tensors, key=self._place):
            value = binary(self.builder, "multiply", value, tensor.value)
        return value

    def _place(self, tensor: Tensor) -> int:
        """Numbers first, then arguments, then what was computed."""
        if self.builder.is_plain(tensor.value):
            return 0
        return 1 if self.builder.statement(tensor.value) is None else 2

    def alone(self) -> Tensor:
        """The scalar itself."""
        if not self.below:
            return scale(self.builder, self.coefficient, Tensor(self._multiplied(self.above)))
        if not self.above:
            top: Operand = literal(self.coefficient)
        else:
            top = scale(self.builder, self.coefficient, Tensor(self._multiplied(self.above))).value
        return Tensor(binary(self.builder, "divide", top, self._multiplied(self.below)))

    def __call__(self, tensor: Tensor) -> Tensor:
        scaled = self._scaled(tensor)
        if tensor.value in self.builder.symmetric:
            self.builder.symmetric.add(scaled.value)
        return scaled

    def _scaled(self, tensor: Tensor) -> Tensor:
        shape = self.builder.shape(tensor.value)
        if not self.above and self.coefficient in (1, -1):
            if self.below:
                divisor = self._multiplied(self.below)
                tensor = Tensor(binary(self.builder, "divide", tensor.value, divisor, shape), tensor.labels)
            return _negated(self.builder, tensor) if self.coefficient < 0 else tensor
        if not self.above and not self.below:
            return scale(self.builder, self.coefficient, tensor)
        return Tensor(binary(self.builder, "multiply", self.alone().value, tensor.value, shape), tensor.labels)


def _negated(builder: Builder, tensor: Tensor) -> Tensor:
    return scale(builder, -1, tensor)


def _primitive(node: Sum) -> tuple[Exact, Sum]:
    """A sum as a number times the better known of its multiples, so that one residual is not computed twice.

    What all terms have in common is taken out; more terms with a plus are better, then a plus at the first computed
    term: ``X w - y``.
    """
    if len(node.terms) < 2:
        return 1, node
    content = magnitude(node.terms[0].coefficient)
    if any(magnitude(term.coefficient) != content for term in node.terms):
        content = 1
    balance = sum(1 if term.coefficient > 0 else -1 for term in node.terms)
    if not balance:
        first = next((term for term in node.terms if not isinstance(term.node, Variable)), node.terms[0])
        balance = 1 if first.coefficient > 0 else -1
    if balance < 0:
        content = -content
    if content == 1:
        return 1, node
    terms = tuple(Term(exact(Fraction(term.coefficient) / content), term.node) for term in node.terms)
    return content, Sum(terms, node.shape)


def _ties(node: Node, exponent: Exact, labels: tuple[int, ...]) -> bool:
    """Whether a factor is the identity on the two axes of a matrix."""
    return isinstance(node, Structure) and node.kind == "delta" and exponent > 0 and set(labels) == {0, 1}


def _is_inverse(node: Node) -> bool:
    return isinstance(node, Call) and node.op == "inv" and node.order == 2


def _is_spd(node: Node) -> bool:
    if isinstance(node, Variable | Call):
        return "spd" in node.properties
    return False


def _matrix_facts(node: Node) -> str:
    """What is known of a matrix that tells how to invert it: it is spd, diagonal, symmetric, lower or upper."""
    if node.order != 2 or node.shape[0] != node.shape[1]:
        return ""
    if _is_spd(node):
        return "spd"
    if known(node, "diagonal"):
        return "diagonal"
    if is_symmetric(node):
        return "symmetric"
    return next((fact for fact in ("lower", "upper") if known(node, fact)), "")


def _smallest_operand(terms: Sequence[Labelled], path: Path, outputs: frozenset[int], sizes: Mapping[int, int]) -> int:
    """The result, or the smallest operand where that has far fewer entries."""
    labels = [frozenset(term.labels) for term in terms]
    alive = dict(enumerate(labels))
    for left, right in path:
        both = alive.pop(left) | alive.pop(right)
        needed = outputs.union(*alive.values()) if alive else outputs
        alive[len(labels)] = both & needed
        labels.append(both & needed)
    last = len(labels) - 1
    scalable = [number for number in range(last, -1, -1) if number >= len(terms) or terms[number].kind == "array"]
    smallest = min(scalable, key=lambda number: volume(labels[number], sizes), default=last)
    return smallest if 4 * volume(labels[smallest], sizes) < volume(labels[last], sizes) else last
