"""Constant tensors in a product, resolved without their entries: slices, padded writes, reshapes, gathers.

A `Network` is a product on its way to code. Each constant tensor in it is turned into a change of the other factors'
axes, or into a step that is done to the result at the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from ..expr.build import magnitude
from ..expr.dims import Dim, Shape
from ..expr.nodes import Exact, Structure
from .contract import Term, explicit
from .entrywise import UNIT, Tensor, arrange, binary, expand, raised, reciprocal, reshape, settle
from .program import Builder, Literal, Operand


@dataclass(slots=True, eq=False)
class Piece:
    """A factor of a network: a value, its labels and its entrywise exponent.

    ``structure`` is set while the factor is a constant tensor that has no value yet; ``inverse`` when the value is a
    matrix of which the inverse is meant.
    """

    tensor: Tensor
    exponent: Exact = 1
    structure: Structure | None = None
    template: str = ""
    facts: str = ""

    @property
    def labels(self) -> tuple[int, ...]:
        return self.tensor.labels


@dataclass(frozen=True, slots=True)
class Finish:
    """A step on the result: ``diagonal`` ties a new axis, ``embed`` pads with zeros, ``merge`` joins two axes,
    ``scatter`` spreads one axis over a triangle, ``rename`` gives a label another name."""

    kind: str
    labels: tuple[int, ...]
    dims: tuple[Dim, ...]


@dataclass(slots=True, eq=False)
class Network:
    """The factors, the labels of the result so far, the size of every label and what is left to do to the result."""

    pieces: list[Piece]
    out: list[int]
    sizes: dict[int, Dim]
    finish: list[Finish] = field(default_factory=list)
    spare: int = -1
    """A label that was never used; they go down from here."""

    def fresh(self) -> int:
        self.spare -= 1
        return self.spare + 1

    def rename(self, old: int, new: int) -> None:
        """Give a summed label the name of another one."""
        for piece in self.pieces:
            if old in piece.labels:
                labels = tuple(new if label == old else label for label in piece.labels)
                piece.tensor = Tensor(piece.tensor.value, labels)
        del self.sizes[old]

    def carriers(self, labels: Iterable[int], but: Piece) -> list[Piece]:
        """The other factors that have one of the labels."""
        wanted = set(labels)
        return [piece for piece in self.pieces if piece is not but and wanted & set(piece.labels)]


ORDER = ("delta", "unit", "select", "pair", "halfpair", "levicivita", "lower", "range")


def resolve(builder: Builder, network: Network) -> None:
    """Resolve every constant tensor; only values and lower triangles are left."""
    if all(piece.structure is None for piece in network.pieces):
        return
    for kind in ORDER:
        while True:
            piece = next(
                (piece for piece in network.pieces if piece.structure is not None and piece.structure.kind == kind),
                None,
            )
            if piece is None or kind == "lower":
                break
            _resolve_one(builder, network, piece)


def _resolve_one(builder: Builder, network: Network, piece: Piece) -> None:
    assert piece.structure is not None
    done = False
    if piece.exponent > 0 and len(set(piece.labels)) == len(piece.labels):
        match piece.structure.kind:
            case "delta":
                done = _delta(network, piece)
            case "unit":
                done = _unit(builder, network, piece)
            case "select":
                done = _select(builder, network, piece)
            case "pair":
                done = _pair(builder, network, piece)
            case "halfpair":
                done = _halfpair(builder, network, piece)
            case "levicivita":
                done = _cross(builder, network, piece)
    if not done:
        densify(builder, piece)


def densify(builder: Builder, piece: Piece) -> None:
    """Give a constant tensor its entries."""
    structure = piece.structure
    assert structure is not None
    if structure.kind == "delta" and piece.exponent > 0 and len(set(piece.labels)) == 1:
        piece.tensor = Tensor(Literal(1.0))
    else:
        piece.tensor = Tensor(entries(builder, structure), piece.labels)
    piece.structure = None


def entries(builder: Builder, structure: Structure) -> Operand:
    """A constant tensor as a value."""
    names = {
        "delta": "eye",
        "unit": "unit",
        "select": "shifted_eye",
        "pair": "pairs",
        "halfpair": "half_pairs",
        "lower": "triangle",
        "levicivita": "levi_civita",
        "range": "arange",
    }
    return builder.emit(names[structure.kind], (), structure.shape, tuple(structure.parameters))


def _remove(network: Network, piece: Piece) -> None:
    network.pieces = [other for other in network.pieces if other is not piece]


def _delta(network: Network, piece: Piece) -> bool:
    first, second = piece.labels
    _remove(network, piece)
    if second in network.out and first not in network.out:
        first, second = second, first
    if second in network.out:
        size = network.sizes[second]
        # later in the list means earlier in the finish: the tied axis is restored when `first` is there again
        network.finish.append(Finish("diagonal", (first, second), (size,)))
        network.out.remove(second)
    network.rename(second, first)
    return True


def _slice(builder: Builder, piece: Piece, label: int, offset: Dim, length: Dim, new: int) -> None:
    """Keep a run of entries along every axis with the label."""
    value, labels = piece.tensor
    for axis, own in enumerate(labels):
        if own != label:
            continue
        shape = list(builder.shape(value))
        if shape[axis] == length:
            continue
        shape[axis] = length
        value = builder.emit("slice", (value,), tuple(shape), (axis, offset, offset + length))
    piece.tensor = Tensor(value, tuple(new if own == label else own for own in labels))


def _unit(builder: Builder, network: Network, piece: Piece) -> bool:
    assert piece.structure is not None
    place, size = piece.structure.parameters
    (label,) = piece.labels
    index = place - 1
    others = network.carriers([label], piece)
    for other in others:
        if other.structure is None:
            continue
        if other.structure.kind == "select" and other.labels[0] == label and other.exponent > 0:
            # row k of a run of rows of the identity is a unit vector again
            _, n, offset = other.structure.parameters
            moved = Structure("unit", place + offset, n)
            other.structure = moved
            other.tensor = Tensor(other.tensor.value, (other.labels[1],))
            continue
        densify(builder, other)
    for other in network.carriers([label], piece):
        value, labels = other.tensor
        if other.template:
            _make_explicit(builder, other)
            value = other.tensor.value
        while label in labels:
            axis = labels.index(label)
            shape = builder.shape(value)
            value = builder.emit("element", (value,), (*shape[:axis], *shape[axis + 1 :]), (axis, index))
            labels = (*labels[:axis], *labels[axis + 1 :])
        other.tensor = Tensor(value, labels)
    _remove(network, piece)
    if label in network.out:
        network.out.remove(label)
        network.finish.append(Finish("embed", (network.fresh(), label), (index, size, Dim.of(1))))
    del network.sizes[label]
    return True


def _make_distinct(builder: Builder, piece: Piece) -> None:
    """Take diagonals, so that no label of a factor is there twice."""
    if len(set(piece.labels)) < len(piece.labels):
        piece.tensor = settle(builder, piece.tensor, frozenset(piece.labels))


def _make_explicit(builder: Builder, piece: Piece) -> None:
    """Compute an inverse whose rows are needed one by one."""
    inverse = Term(piece.tensor.value, piece.labels, "inverse", piece.template, piece.facts)
    piece.tensor = explicit(builder, inverse)
    piece.template = ""


def _select(builder: Builder, network: Network, piece: Piece) -> bool:
    assert piece.structure is not None
    length, size, offset = piece.structure.parameters
    row, column = piece.labels
    if row in network.out and column in network.out:
        return False
    if offset.constant is not None and offset.constant < 0:
        return False
    for other in network.carriers([column], piece):
        if other.structure is None:
            if other.template:
                _make_explicit(builder, other)
            continue
        if other.structure.kind == "select" and other.labels[0] == column and other.exponent > 0:
            _, n, more = other.structure.parameters
            other.structure = Structure("select", length, n, offset + more)
            other.tensor = Tensor(other.tensor.value, (column, other.labels[1]))
            continue
        densify(builder, other)
    _remove(network, piece)
    for other in network.pieces:
        if column not in other.labels:
            continue
        if other.structure is not None:
            labels = tuple(row if label == column else label for label in other.labels)
            other.tensor = Tensor(other.tensor.value, labels)
            continue
        _slice(builder, other, column, offset, length, row)
    if column in network.out:
        network.out[network.out.index(column)] = row
        network.finish.append(Finish("embed", (row, column), (offset, size, length)))
    del network.sizes[column]
    return True


def _pair(builder: Builder, network: Network, piece: Piece) -> bool:
    assert piece.structure is not None
    m, n = piece.structure.parameters
    long, row, column = piece.labels
    inner = network.carriers([row, column], piece)
    outer = network.carriers([long], piece)
    summed = row not in network.out and column not in network.out
    if summed and len(inner) == 1 and inner[0].structure is None and _has_once(inner[0], row, column):
        other = inner[0]
        if other.template:
            _make_explicit(builder, other)
        _make_distinct(builder, other)
        if long not in other.labels:
            other.tensor = _joined(builder, other.tensor, row, column, long)
            _remove(network, piece)
            del network.sizes[row], network.sizes[column]
            return True
    if long in network.out and (row in network.out or column in network.out):
        return False
    for other in outer:
        if other.structure is not None:
            densify(builder, other)
        if other.template:
            _make_explicit(builder, other)
        value, labels = other.tensor
        while long in labels:
            axis = labels.index(long)
            shape = builder.shape(value)
            value = reshape(builder, value, (*shape[:axis], n, m, *shape[axis + 1 :]))
            labels = (*labels[:axis], column, row, *labels[axis + 1 :])
        other.tensor = Tensor(value, labels)
    _remove(network, piece)
    if long in network.out:
        place = network.out.index(long)
        network.out[place : place + 1] = [column, row]
        network.finish.append(Finish("merge", (long, row, column), (m, n)))
    del network.sizes[long]
    return True


def _has_once(piece: Piece, *labels: int) -> bool:
    return all(piece.labels.count(label) == 1 for label in labels)


def _joined(builder: Builder, tensor: Tensor, row: int, column: int, long: int) -> Tensor:
    """Join two axes into one, the first one running fastest; in place where they are side by side."""
    place = tensor.labels.index(column)
    if tensor.labels[place : place + 2] != (column, row):
        rest = [label for label in tensor.labels if label not in (row, column)]
        place = len(rest)
        tensor = Tensor(arrange(builder, tensor, (*rest, column, row)), (*rest, column, row))
    shape = builder.shape(tensor.value)
    joined = (*shape[:place], shape[place] * shape[place + 1], *shape[place + 2 :])
    labels = (*tensor.labels[:place], long, *tensor.labels[place + 2 :])
    return Tensor(reshape(builder, tensor.value, joined), labels)


def _halfpair(builder: Builder, network: Network, piece: Piece) -> bool:
    assert piece.structure is not None
    (n,) = piece.structure.parameters
    long, row, column = piece.labels
    inner = network.carriers([row, column], piece)
    outer = network.carriers([long], piece)
    for other in (*inner, *outer):
        if other.structure is not None:
            densify(builder, other)
        if other.template:
            _make_explicit(builder, other)
        _make_distinct(builder, other)
    if long not in network.out and len(outer) == 1 and _has_once(outer[0], long):
        other = outer[0]
        if row not in other.labels and column not in other.labels:
            if other.exponent < 0:
                # the zeros that scattering writes must not be divided by
                other.tensor = reciprocal(builder, raised(builder, other.tensor, magnitude(other.exponent)))
                other.exponent = 1
            rest = [label for label in other.labels if label != long]
            value = arrange(builder, other.tensor, (*rest, long))
            shape = builder.shape(value)
            value = builder.emit("scatter_half", (value,), (*shape[:-1], n, n), (n,))
            other.tensor = Tensor(value, (*rest, row, column))
            _remove(network, piece)
            del network.sizes[long]
            return True
    scatter = row in network.out and column in network.out and long not in network.out
    if not scatter and (row in network.out or column in network.out):
        return False
    if any(long in other.labels for other in inner):
        return False
    for other in inner:
        rest = [label for label in other.labels if label not in (row, column)]
        which = [label for label in (row, column) if label in other.labels]
        value = arrange(builder, other.tensor, (*rest, *which))
        shape = (*(network.sizes[label] for label in rest), network.sizes[long])
        operation = "gather_half" if len(which) == 2 else "gather_rows" if which == [row] else "gather_columns"
        other.tensor = Tensor(builder.emit(operation, (value,), shape, (n,)), (*rest, long))
    _remove(network, piece)
    if scatter:
        network.out[network.out.index(row)] = long
        network.out.remove(column)
        network.finish.append(Finish("scatter", (long, row, column), (n,)))
    del network.sizes[row], network.sizes[column]
    return True


def _cross(builder: Builder, network: Network, piece: Piece) -> bool:
    """The Levi-Civita symbol against two vectors is their cross product."""
    vectors: list[tuple[int, Piece]] = []
    for place, label in enumerate(piece.labels):
        if label in network.out:
            continue
        others = network.carriers([label], piece)
        if len(others) == 1 and others[0].labels == (label,) and others[0].structure is None:
            vectors.append((place, others[0]))
    if len(vectors) < 2:
        return False
    (first_place, first), (second_place, second) = vectors[:2]
    if first.exponent != 1 or second.exponent != 1:
        return False
    left = (3 - first_place - second_place) % 3
    # e_(free, a, b) a_a b_b is a x b when (free, a, b) is an even order of the places
    if (first_place - left) % 3 != 1:
        first, second = second, first
    shape: Shape = (Dim.of(3),)
    value = builder.emit("cross", (first.tensor.value, second.tensor.value), shape)
    network.pieces = [other for other in network.pieces if other not in (piece, first, second)]
    network.pieces.append(Piece(Tensor(value, (piece.labels[left],))))
    for place in (first_place, second_place):
        del network.sizes[piece.labels[place]]
    return True


def finished(builder: Builder, network: Network, tensor: Tensor) -> Tensor:
    """Do to the result what was left for the end."""
    for step in reversed(network.finish):
        match step.kind:
            case "diagonal":
                tensor = _finish_diagonal(builder, tensor, step)
            case "embed":
                tensor = _finish_embed(builder, tensor, step)
            case "merge":
                tensor = _finish_merge(builder, tensor, step)
            case "scatter":
                long, row, column = step.labels
                (n,) = step.dims
                size = (n * n + n) * Fraction(1, 2)
                tensor = carry(builder, tensor, long, size)
                rest = [label for label in tensor.labels if label != long]
                packed = arrange(builder, tensor, (*rest, long))
                shape = (*builder.shape(packed)[:-1], n, n)
                full = builder.emit("scatter_half", (packed,), shape, (n,))
                tensor = Tensor(full, (*rest, row, column))
    return tensor


def carry(builder: Builder, tensor: Tensor, label: int, size: Dim) -> Tensor:
    """The value with an axis for a label it may be constant along."""
    if label in tensor.labels:
        return tensor
    shape = (size, *builder.shape(tensor.value))
    if builder.is_plain(tensor.value):
        return Tensor(builder.emit("full", (tensor.value,), shape), (label,))
    return Tensor(builder.emit("broadcast", (tensor.value,), shape), (label, *tensor.labels))


def _finish_diagonal(builder: Builder, tensor: Tensor, step: Finish) -> Tensor:
    first, second = step.labels
    (size,) = step.dims
    value: Operand
    if not tensor.labels:
        identity = builder.emit("eye", (), (size, size), (size,))
        return Tensor(binary(builder, "multiply", tensor.value, identity, (size, size)), (first, second))
    rest = [label for label in tensor.labels if label != first]
    if first in tensor.labels:
        value = arrange(builder, tensor, (*rest, first))
    else:
        value = expand(builder, tensor.value, (*(0 for _ in rest), 1))
    shape = (*builder.shape(value)[:-1], size, size)
    return Tensor(builder.emit("embed_diagonal", (value,), shape, (size,)), (*rest, first, second))


def _finish_embed(builder: Builder, tensor: Tensor, step: Finish) -> Tensor:
    inner, label = step.labels
    offset, size, length = step.dims
    if inner not in tensor.labels and length != UNIT:
        tensor = carry(builder, tensor, inner, length)
    if inner not in tensor.labels:
        if not tensor.labels:
            value = builder.emit("one_hot", (tensor.value,), (size,), (offset, size))
            return Tensor(value, (label,))
        wide = expand(builder, tensor.value, (1, *(0 for _ in tensor.labels)))
        tensor = Tensor(wide, (inner, *tensor.labels))
    axis = tensor.labels.index(inner)
    shape = list(builder.shape(tensor.value))
    shape[axis] = size
    value = builder.emit("embed", (tensor.value,), tuple(shape), (axis, offset, size))
    return Tensor(value, tuple(label if own == inner else own for own in tensor.labels))


def _finish_merge(builder: Builder, tensor: Tensor, step: Finish) -> Tensor:
    long, row, column = step.labels
    m, n = step.dims
    if row not in tensor.labels and column not in tensor.labels:
        return tensor
    tensor = carry(builder, carry(builder, tensor, row, m), column, n)
    return _joined(builder, tensor, row, column, long)
