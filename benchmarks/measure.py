"""What is measured of one prepared computation: the time of a slice of calls, and the memory that one call takes."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SHORTEST = 1e-3
"""Calls are timed in groups that take at least so many seconds."""


class Slice(NamedTuple):
    """Seconds of one call in a time slice: the wall time of each group, and the CPU time over the slice.

    ``total`` is the CPU time that the process has used in the whole slice, with all its threads.
    """

    wall: list[float]
    cpu: float
    total: float


def time_slice(call: Callable[[], Any], seconds: float) -> Slice:
    """Call for about so many seconds; the first calls, which fill the caches again, do not count.

    >>> time_slice(lambda: sum(range(100)), 0.01).cpu < 0.01
    True
    """
    gc.collect()
    gc.disable()
    try:
        begin = time.process_time()
        one = _wall(call, 1)
        if one < seconds / 4:
            one = _wall(call, 1)
        group = max(1, int(SHORTEST / max(one, 1e-7)))
        samples: list[float] = []
        start, end = time.process_time(), time.perf_counter() + seconds
        while not samples or time.perf_counter() < end:
            samples.append(_wall(call, group))
        stop = time.process_time()
        return Slice(samples, (stop - start) / (group * len(samples)), stop - begin)
    finally:
        gc.enable()


def _wall(call: Callable[[], Any], count: int) -> float:
    """Seconds of one of so many calls."""
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


def traced_memory(prepare: Callable[[], Callable[[], Any]]) -> int:
    """The bytes of the NumPy arrays that a prepared function keeps, and the most that one call of it allocates.

    >>> traced_memory(lambda: lambda: np.zeros(10_000) + np.ones(10_000)) // 10_000
    24
    """
    gc.collect()
    tracemalloc.start()
    try:
        call = prepare()
        call()  # what is made at the first call and is no array does not count
        gc.collect()
        arrays = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
        kept = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([arrays]).traces)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        call()
        return kept + tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def resident_memory(use: Callable[[], Any]) -> int | None:
    """By how many bytes the process grows at most beyond what it has: None where the system does not say."""
    status = Path("/proc/self/status")
    if sys.platform != "linux" or not status.exists():
        return None
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    except OSError:
        return None
    before = _kilobytes(status, "VmRSS")
    use()
    return 1024 * max(0, _kilobytes(status, "VmHWM") - before)


def _kilobytes(status: Path, field: str) -> int:
    for line in status.read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            return int(rest.split()[0])
    raise KeyError(field)


def pin() -> None:
    """Keep this process on one core, where the system can do that."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
