"""Memory for what a function computes on the way, kept from call to call and never shared by two calls at once."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

ALIGNMENT = 64
"""Bytes; the ufuncs of NumPy are up to twice as quick where arrays begin on a line of the cache."""


MAPPED = 1 << 25
HUGE = 1 << 21
"""Bytes from which on memory is new to the process at each call, and of a page in which the system then gives it: where
an array begins and ends on such pages, it does not take the rest in small ones, each of which costs a fault."""


class Buffer(NamedTuple):
    """An array that a function needs on the way: its shape, and whether it is made of truth values.

    ``within`` says that it is no array of its own: the number of the buffer and the first of its rows that it is.
    """

    shape: tuple[int, ...]
    truth: bool = False
    within: tuple[int, int] | None = None


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """A new array that begins on a line of the cache.

    >>> aligned_empty((2, 3), float).ctypes.data % 64
    0
    """
    kind = np.dtype(dtype)
    size = prod(shape) * kind.itemsize
    alignment, beyond = (HUGE, HUGE) if size >= MAPPED else (ALIGNMENT, 0)
    memory = np.empty(size + alignment + beyond, np.uint8)
    start = -memory.ctypes.data % alignment
    array: Array = memory[start : start + size].view(kind).reshape(shape)
    return array


class Workspaces:
    """The buffers of one function; a call takes a set of them and gives it back, to be kept for the next or not.

    >>> spaces = Workspaces([Buffer((2,)), Buffer((3,), truth=True)])
    >>> first = spaces.take(np.dtype(float))
    >>> [array.dtype.name for array in first]
    ['float64', 'bool']
    >>> spaces.give(np.dtype(float), first)
    >>> spaces.take(np.dtype(float)) is first
    True
    """

    __slots__ = ("_buffers", "_free", "_keep")

    def __init__(self, buffers: Sequence[Buffer], *, keep: bool = True) -> None:
        self._buffers = tuple(buffers)
        self._keep = keep
        self._free: dict[np.dtype[Any], list[tuple[Array, ...]]] = {}

    def take(self, dtype: np.dtype[Any]) -> tuple[Array, ...]:
        """Buffers that nobody uses; taking from a list is one step, so that threads need no lock."""
        try:
            return self._free[dtype].pop()
        except (KeyError, IndexError):
            arrays: list[Array] = []
            for shape, truth, within in self._buffers:
                if within is None:
                    arrays.append(aligned_empty(shape, bool if truth else dtype))
                else:
                    number, row = within
                    arrays.append(arrays[number][row : row + shape[0]])
            return tuple(arrays)

    def give(self, dtype: np.dtype[Any], buffers: tuple[Array, ...]) -> None:
        """Give buffers back after the last use of them."""
        if self._keep:
            self._free.setdefault(dtype, []).append(buffers)
