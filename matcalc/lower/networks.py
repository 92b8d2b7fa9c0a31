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


class _Form(NamedTuple):
    """How an array is brought into the form that a step takes: summed, its axes reordered, and in another shape.

    Nothing stands for what is not to be done.
    """

    summed: tuple[int, ...] | None
    axes: tuple[int, ...] | None
    shape: tuple[int, ...] | None

    def of(self, array: Array) -> Array:
        """The array in this form."""
        if self.summed is not None:
            array = np.add.reduce(array, axis=self.summed)
        if self.axes is not None:
            array = array.transpose(self.axes)
        return array if self.shape is None else array.reshape(self.shape)


class _Step(NamedTuple):
    """The product of two arrays by their numbers: of matrices, of which ``shape`` is the result's, or entrywise."""

    left: int
    right: int
    first: _Form
    second: _Form
    is_matrix: bool
    shape: tuple[int, ...]


class _Plan(NamedTuple):
    """A contraction: the labels of operands that have one twice, the steps, the form of the last array, its shape."""

    repeated: tuple[tuple[int, tuple[int, ...]], ...]
    steps: tuple[_Step, ...]
    last: _Form
    shape: tuple[int, ...]


def contract(operands: Sequence[Operand], out: Sequence[int], lengths: Mapping[int, int], dtype: Any) -> Array:
    """The product of arrays, summed over the labels that are not in ``out``, repeated along those that no array has.

    Parameters
    ----------
    operands: every label that is not in ``out`` is on one of them.
    out: distinct labels.
    dtype: the type of the result where there are no operands.
    """
    if not operands:
        return np.ones([lengths[label] for label in out], dtype)
    plan = _planned(tuple([labels for _, labels in operands]), tuple(out), tuple(lengths.items()))
    pending: dict[int, Array] = {place: array for place, (array, _) in enumerate(operands)}
    for place, labels in plan.repeated:
        pending[place] = view_along(pending[place], labels, once(labels))
    for number, step in enumerate(plan.steps, len(operands)):
        left, right = step.first.of(pending.pop(step.left)), step.second.of(pending.pop(step.right))
        pending[number] = np.matmul(left, right).reshape(step.shape) if step.is_matrix else left * right
    (result,) = pending.values()
    result = plan.last.of(result)
    return result if result.shape == plan.shape else np.broadcast_to(result, plan.shape)


@lru_cache(maxsize=256)
def _planned(
    operands: tuple[tuple[int, ...], ...], out: tuple[int, ...], lengths: tuple[tuple[int, int], ...]
) -> _Plan:
    """The plan of a contraction for the labels of its operands and their lengths."""
    known = dict(lengths)
    pending = {place: once(labels) for place, labels in enumerate(operands)}
    repeated = tuple([(place, operands[place]) for place, labels in pending.items() if labels != operands[place]])
    leaves = [Leaf(frozenset(labels), "array", labels[-1] if labels else None) for labels in pending.values()]
    steps: list[_Step] = []
    for number, (first, second) in enumerate(contraction_path(leaves, frozenset(out), known), len(operands)):
        left, right = pending.pop(first), pending.pop(second)
        needed = {*out, *(label for labels in pending.values() for label in labels)}
        step, pending[number] = _step((first, second), left, right, needed, known)
        steps.append(step)
    (last,) = pending.values()
    return _Plan(repeated, tuple(steps), _aligned(last, set(out), out, known), tuple([known[label] for label in out]))


def _step(
    places: tuple[int, int],
    left: tuple[int, ...],
    right: tuple[int, ...],
    needed: set[int],
    lengths: Mapping[int, int],
) -> tuple[_Step, tuple[int, ...]]:
    """The product of two arrays, summed over what is not needed, and the labels of its result."""
    kept_left, kept_right = needed | set(right), needed | set(left)
    own = [label for label in left if label in kept_left]
    other = [label for label in right if label in kept_right]
    summed = [label for label in own if label in other and label not in needed]
    if not summed:
        labels = once((*own, *other))
        first, second = _aligned(left, kept_left, labels, lengths), _aligned(right, kept_right, labels, lengths)
        return _Step(*places, first, second, is_matrix=False, shape=()), labels
    batch = [label for label in own if label in other and label in needed]
    rows = [label for label in own if label not in other]
    columns = [label for label in other if label not in own]
    first = _stacked(left, kept_left, (batch, rows, summed), lengths)
    second = _stacked(right, kept_right, (batch, summed, columns), lengths)
    labels = (*batch, *rows, *columns)
    shape = tuple([lengths[label] for label in labels])
    return _Step(*places, first, second, is_matrix=True, shape=shape), labels


def _stacked(
    labels: Sequence[int], kept: set[int], groups: Sequence[Sequence[int]], lengths: Mapping[int, int]
) -> _Form:
    """The form with the axes of each group but the first stacked into one."""
    batch, *stacked = groups
    shape = (*(lengths[label] for label in batch), *(along(group, lengths) for group in stacked))
    return _form(labels, kept, [label for group in groups for label in group], shape, lengths)


def _aligned(labels: Sequence[int], kept: set[int], order: Sequence[int], lengths: Mapping[int, int]) -> _Form:
    """The form with the axes in an order, of length 1 where the array has none."""
    present = [label for label in order if label in labels]
    shape = tuple([lengths[label] if label in labels else 1 for label in order])
    return _form(labels, kept, present, shape, lengths)


def _form(
    labels: Sequence[int], kept: set[int], order: Sequence[int], shape: tuple[int, ...], lengths: Mapping[int, int]
) -> _Form:
    """The form of an array with some labels: those that are not kept summed, the others in an order, then a shape."""
    summed = tuple([axis for axis, label in enumerate(labels) if label not in kept])
    rest = [label for label in labels if label in kept]
    axes = tuple([rest.index(label) for label in order])
    return _Form(
        summed or None,
        None if axes == tuple(range(len(axes))) else axes,
        None if shape == tuple([lengths[label] for label in order]) else shape,
    )


# --- sums of networks ----------------------------------------------------------------------------


def applied(networks: Sequence[Network], array: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """The sum of the networks as matrices, times columns: from variable shape + (K,) to ``shape`` + (K,)."""
    result: Array | None = None
    for network in networks:
        lengths = {**network.lengths, COLUMN: array.shape[-1]}
        operands = [*network.parts, (array, (*network.columns, COLUMN))]
        rows = (*network.rows, COLUMN)
        kept = once(rows)
        value = network.number * contract(operands, kept, lengths, dtype)
        if result is None and kept == rows:
            result = value
            continue
        result = np.zeros((*shape, array.shape[-1]), dtype) if result is None else result
        place = view_along(result, rows, kept)
        np.add(place, value, out=place)
    return np.zeros((*shape, array.shape[-1]), dtype) if result is None else result


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
