"""Sums of small networks of arrays: applied to arrays, as one array, their diagonal; contracted pair by pair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from .compress import Pattern
from .order import Leaf, contraction_path

Array = NDArray[Any]
Operand = tuple[Array, tuple[int, ...]]
"""An array and the label of each of its axes."""

COLUMN = -1
"""The label of the columns that a network is applied to."""


class Network(NamedTuple):
    """A number times arrays with labels, as a matrix from the axes ``columns`` to the axes ``rows``.

    A label in both is a tie, one in neither is summed. ``lengths`` has the number of entries along every label.
    """

    number: float
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    parts: tuple[Operand, ...]
    lengths: Mapping[int, int]

    @property
    def pattern(self) -> Pattern:
        """The labels alone."""
        return Pattern(self.rows, self.columns, tuple([labels for _, labels in self.parts]))

    def relabelled(self, names: Mapping[int, int]) -> Network:
        """The network with other labels; those without a name keep theirs."""

        def new(labels: Sequence[int]) -> tuple[int, ...]:
            return tuple([names.get(label, label) for label in labels])

        parts = tuple([(array, new(labels)) for array, labels in self.parts])
        lengths = {names.get(label, label): length for label, length in self.lengths.items()}
        return Network(self.number, new(self.rows), new(self.columns), parts, lengths)


class Frame(NamedTuple):
    """A network without its arrays, of which ``parts`` has the places; else as `Network`."""

    number: float
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    parts: tuple[tuple[int, tuple[int, ...]], ...]
    lengths: Mapping[int, int]

    @property
    def transposed(self) -> Frame:
        """Rows and columns exchanged."""
        return self._replace(rows=self.columns, columns=self.rows)

    def filled(self, arrays: Sequence[Array]) -> Network:
        """The network over some arrays."""
        parts = tuple([(arrays[place], labels) for place, labels in self.parts])
        return Network(self.number, self.rows, self.columns, parts, self.lengths)


def along(labels: Iterable[int], lengths: Mapping[int, int]) -> int:
    """The number of entries along some labels."""
    return prod([lengths[label] for label in labels])


def once(labels: Iterable[int]) -> tuple[int, ...]:
    """The labels, each once, in order."""
    return tuple(dict.fromkeys(labels))


def view_along(array: Array, labels: Sequence[int], kept: Sequence[int]) -> Array:
    """The entries with equal indices where labels are equal, as a view whose axes are ``kept``, which are all labels.

    Parameters
    ----------
    array: one axis for each label; where it may be written to, so may the view.
    """
    if tuple(labels) == tuple(kept):
        return array
    strides, shape = dict.fromkeys(kept, 0), dict.fromkeys(kept, 0)
    for label, stride, length in zip(labels, array.strides, array.shape, strict=True):
        strides[label] += stride
        shape[label] = length
    return as_strided(array, tuple(shape.values()), tuple(strides.values()))


# --- contraction ---------------------------------------------------------------------------------


def contract(operands: Sequence[Operand], out: Sequence[int], lengths: Mapping[int, int], dtype: Any) -> Array:
    """The product of arrays, summed over the labels that are not in ``out``, repeated along those that no array has.

    Parameters
    ----------
    operands: every label that is not in ``out`` is on one of them.
    out: distinct labels.
    dtype: the type of the result where there are no operands.
    """
    pending: dict[int, Operand] = {
        place: (view_along(array, labels, once(labels)), once(labels)) for place, (array, labels) in enumerate(operands)
    }
    known = tuple([(label, lengths[label]) for label in sorted({label for _, labels in operands for label in labels})])
    for number, (first, second) in enumerate(
        _order(tuple([labels for _, labels in pending.values()]), tuple(out), known), len(operands)
    ):
        left, right = pending.pop(first), pending.pop(second)
        rest = {*out, *(label for _, labels in pending.values() for label in labels)}
        one, other = _summed(left, rest | set(right[1])), _summed(right, rest | set(left[1]))
        pending[number] = _pair(one, other, rest, lengths)
    if not pending:
        return np.ones([lengths[label] for label in out], dtype)
    (last,) = pending.values()
    array, labels = _summed(last, set(out))
    aligned = _aligned(array, labels, out)
    shape = tuple([lengths[label] for label in out])
    return aligned if aligned.shape == shape else np.broadcast_to(aligned, shape)


@lru_cache(maxsize=256)
def _order(
    operands: tuple[tuple[int, ...], ...], out: tuple[int, ...], lengths: tuple[tuple[int, int], ...]
) -> tuple[tuple[int, int], ...]:
    """The pairs to contract, in order; the result of a pair has the next free number."""
    leaves = [Leaf(frozenset(labels), "array", labels[-1] if labels else None) for labels in operands]
    return tuple(contraction_path(leaves, frozenset(out), dict(lengths)))


def _summed(operand: Operand, needed: set[int]) -> Operand:
    """An operand without the labels that nothing else needs."""
    array, labels = operand
    axes = tuple([axis for axis, label in enumerate(labels) if label not in needed])
    if not axes:
        return operand
    return np.sum(array, axis=axes), tuple([label for label in labels if label in needed])


def _pair(left: Operand, right: Operand, needed: set[int], lengths: Mapping[int, int]) -> Operand:
    """The product of two arrays, summed over what is not needed: an entrywise or a matrix product."""
    (a, own), (b, other) = left, right
    summed = [label for label in own if label in other and label not in needed]
    if not summed:
        labels = once((*own, *other))
        return _aligned(a, own, labels) * _aligned(b, other, labels), labels
    batch = [label for label in own if label in other and label in needed]
    rows = [label for label in own if label not in other]
    columns = [label for label in other if label not in own]
    first = _stacked(a, own, (batch, rows, summed), lengths)
    second = _stacked(b, other, (batch, summed, columns), lengths)
    labels = (*batch, *rows, *columns)
    return np.matmul(first, second).reshape([lengths[label] for label in labels]), labels


def _stacked(array: Array, labels: Sequence[int], groups: Sequence[Sequence[int]], lengths: Mapping[int, int]) -> Array:
    """The array with the axes of each group stacked into one; no axis for a first group that is empty."""
    order = [label for group in groups for label in group]
    shape = [along(group, lengths) for place, group in enumerate(groups) if group or place]
    return array.transpose([labels.index(label) for label in order]).reshape(shape)


def _aligned(array: Array, labels: Sequence[int], order: Sequence[int]) -> Array:
    """A view with the axes in an order, of length 1 where the array has none."""
    present = [label for label in order if label in labels]
    moved = array.transpose([labels.index(label) for label in present])
    return moved[tuple([slice(None) if label in labels else None for label in order])]


# --- sums of networks ----------------------------------------------------------------------------


def applied(networks: Sequence[Network], array: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """The sum of the networks as matrices, times columns: from variable shape + (K,) to ``shape`` + (K,)."""
    result = np.zeros((*shape, array.shape[-1]), dtype)
    for network in networks:
        lengths = {**network.lengths, COLUMN: array.shape[-1]}
        operands = [*network.parts, (array, (*network.columns, COLUMN))]
        kept = (*once(network.rows), COLUMN)
        value = contract(operands, kept, lengths, dtype)
        place = view_along(result, (*network.rows, COLUMN), kept)
        np.add(place, network.number * value, out=place)
    return result


def formed(networks: Sequence[Network], lead: Sequence[int], dtype: Any) -> Array:
    """The sum of the networks as one array: the axes ``lead``, then the rows, then the columns of the networks.

    Parameters
    ----------
    lead: labels that rows and columns of all networks share, which then are on neither of them.
    """
    first = networks[0]
    result = np.zeros([first.lengths[label] for label in (*lead, *first.rows, *first.columns)], dtype)
    for network in networks:
        labels = (*lead, *network.rows, *network.columns)
        kept = once(labels)
        place = view_along(result, labels, kept)
        np.add(place, network.number * contract(network.parts, kept, network.lengths, dtype), out=place)
    return result


def diagonal(networks: Sequence[Network], shape: tuple[int, ...], dtype: Any) -> Array:
    """The entries with equal row and column, of the shape of the rows, which is that of the columns."""
    result = np.zeros(shape, dtype)
    for network in networks:
        names = {label: label for label in (*network.rows, *network.columns)}
        for row, column in zip(network.rows, network.columns, strict=True):
            kept, dropped = sorted((names[row], names[column]))
            names = {label: kept if name == dropped else name for label, name in names.items()}
        equal = network.relabelled(names)
        kept_labels = once(equal.rows)
        place = view_along(result, equal.rows, kept_labels)
        np.add(place, network.number * contract(equal.parts, kept_labels, equal.lengths, dtype), out=place)
    return result
