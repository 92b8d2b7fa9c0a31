"""A peer in a process of its own: it prepares cases, and times a slice when it is asked."""

from __future__ import annotations

import gc
import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from .measure import pin, resident_memory, time_slice, traced_memory
from .peers import Peer, load
from .peers.contract import Build, Prepared, Unsupported
from .workloads import CASES, Array, Case


class First(NamedTuple):
    """A case is ready: the answer, the seconds up to it, and the seconds of a call after it."""

    answer: list[Array]
    first: float
    warm: float


class Failure(NamedTuple):
    """A request was not answered, and why."""

    reason: str


class Worker:
    """The peer's process, as the runner sees it. A process that dies or does not answer is started again."""

    def __init__(self, peer: Peer, threads: int) -> None:
        self.peer = peer
        self.threads = threads
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=serve, args=(other, self.peer, self.threads), daemon=True)
        self._process.start()
        other.close()

    def ask(self, *request: Any, timeout: float) -> Any:
        """The answer to a request, or a `Failure`; ``ask()`` waits for the process to have started."""
        try:
            if request:
                self._connection.send(request)
            if self._connection.poll(timeout):
                return self._connection.recv()
            reason = f"no answer in {timeout:.0f} s"
        except (EOFError, OSError):
            reason = "its process ended (out of memory?)"
        self._process.kill()
        self._process.join()
        self._start()
        self.ask(timeout=timeout) if request else None
        return Failure(reason)

    def stop(self) -> None:
        self._process.kill()
        self._process.join()


def serve(connection: Connection, peer: Peer, threads: int) -> None:
    """Answer requests until the connection is closed: ``first``, ``slice``, ``memory`` and ``drop``."""
    if threads == 1:
        pin()
    try:
        build = load(peer)
    except ImportError as error:
        connection.send(Failure(f"not installed ({error})"))
        return
    connection.send("ready")
    prepared: Prepared | None = None
    while True:
        try:
            kind, *arguments = connection.recv()
        except EOFError:
            return
        try:
            match kind:
                case "first":
                    prepared = None
                    label, seed = arguments
                    prepared, first = _first(build, CASES[label], seed, threads)
                    connection.send(first)
                case "slice":
                    assert prepared is not None
                    connection.send(time_slice(prepared.call, arguments[0]))
                case "memory" if peer.is_traced:
                    label, seed = arguments
                    prepared = None
                    connection.send(_traced(build, CASES[label], seed, threads))
                case "memory":
                    assert prepared is not None
                    connection.send(resident_memory(prepared.call))
                case "drop":
                    prepared = None
                    gc.collect()
                    connection.send(None)
        except (Unsupported, MemoryError) as error:
            connection.send(Failure(str(error) or "out of memory"))
        except Exception as error:  # whatever a peer raises is reported, the other cases go on
            connection.send(
                Failure(f"{type(error).__name__}: {str(error).splitlines()[0][:160] if str(error) else ''}")
            )


def _first(build: Build, case: Case, seed: int, threads: int) -> tuple[Prepared, First]:
    gc.collect()
    arrays = case.arrays(seed)
    start = time.perf_counter()
    prepared = build(case, threads)(arrays)
    prepared.call()
    ready = time.perf_counter()
    result = prepared.call()
    done = time.perf_counter()
    return prepared, First(prepared.to_numpy(result), ready - start, done - ready)


def _traced(build: Build, case: Case, seed: int, threads: int) -> int:
    """The bytes of a fresh function: the arrays it keeps from the first call on, and the most of a further call."""
    arrays = case.arrays(seed)
    bind = build(case, threads)
    return traced_memory(lambda: bind(arrays).call)
