"""Loops over panels of rows that several threads share, each a run of the panels."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .workspace import aligned_empty

Array = NDArray[Any]


def in_parts(
    part: Callable[..., tuple[Any, ...]], length: int, step: int, threads: int, buffers: Sequence[Array], products: bool
) -> list[tuple[Any, ...]]:
    """What a function returns for each run of panels, in their order; the first runs in the thread of the caller.

    >>> in_parts(lambda first, last: (last - first,), 10, 4, 2, (), False)
    [(4,), (6,)]

    Parameters
    ----------
    part: takes the first row of its run, the row behind the last, and arrays to work in.
    length: of all rows.
    step: the rows of a panel.
    threads: how many runs there are at most.
    buffers: what the first run works in; the others get arrays like these.
    products: whether there are products of matrices, each of which then uses one thread. Where the library that
        multiplies cannot be told so, there is one run, and its products use what threads they do.
    """
    if not products:
        return _runs(part, length, step, threads, buffers)
    library = _library()
    if library is None:
        return [part(0, length, *buffers)]
    with library:
        return _runs(part, length, step, threads, buffers)


def _runs(
    part: Callable[..., tuple[Any, ...]], length: int, step: int, threads: int, buffers: Sequence[Array]
) -> list[tuple[Any, ...]]:
    panels = -(-length // step)
    runs = max(1, min(threads, panels))
    starts = [step * (panels * run // runs) for run in range(runs)]
    ends = [*starts[1:], length]
    if runs == 1:
        return [part(0, length, *buffers)]
    pool = _pool(threads - 1)
    others: list[Future[tuple[Any, ...]]] = []
    for first, last in zip(starts[1:], ends[1:], strict=True):
        working = [aligned_empty(buffer.shape, buffer.dtype) for buffer in buffers]
        try:
            others.append(pool.submit(_quietly, part, first, last, *working))
        except RuntimeError:
            # no thread can be started, as when the interpreter ends
            break
    try:
        results = [part(starts[0], ends[0], *buffers)]
        results += [part(starts[run], ends[run], *buffers) for run in range(1 + len(others), runs)]
    finally:
        # they write to arrays of the caller
        wait(others)
    return [results[0], *(other.result() for other in others), *results[1:]]


def _quietly(part: Callable[..., tuple[Any, ...]], first: int, last: int, *buffers: Array) -> tuple[Any, ...]:
    with np.errstate(all="ignore"):
        return part(first, last, *buffers)


class _Library:
    """The library that multiplies matrices; while at least one caller is inside, a product uses one thread."""

    def __init__(self, count: Callable[[], int], use: Callable[[int], Any]) -> None:
        self._count = count
        self._use = use
        self._lock = Lock()
        self._inside = 0
        self._usual = 1

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._usual = self._count()
                self._use(1)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._use(self._usual)


@cache
def _library() -> _Library | None:
    """The OpenBLAS that comes with NumPy's wheels; None where another library multiplies."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        for path in sorted(folder.glob("*scipy_openblas64*")):
            try:
                loaded = ctypes.CDLL(str(path))
                count, use = loaded.scipy_openblas_get_num_threads64_, loaded.scipy_openblas_set_num_threads64_
            except (OSError, AttributeError):
                continue
            return _Library(count, use)
    return None


@cache
def _pool(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, thread_name_prefix="matcalc")


if hasattr(os, "register_at_fork"):
    # the threads of a pool do not live on in a child
    os.register_at_fork(after_in_child=_pool.cache_clear)
