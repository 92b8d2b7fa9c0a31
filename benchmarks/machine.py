"""What a run ran on: processor, BLAS and versions, in general words."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from .peers import Peer

PACKAGES = ("numpy", "scipy", "jax", "torch", "pytensor", "autograd", "numba")


def describe() -> Mapping[str, str]:
    """The facts that matter for comparing times."""
    facts = {
        "system": f"{platform.system()} on {platform.machine()}",
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "memory": memory(),
        "Python": platform.python_version(),
        "BLAS of NumPy": blas(),
    }
    return facts | {name: installed for name in PACKAGES if (installed := version_of(name))}


def version_of(package: str) -> str:
    """The installed version, or nothing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def processor() -> str:
    """The model of the processor, with the widest vectors it has."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = {name.strip(): rest.strip() for name, _, rest in (line.partition(":") for line in lines)}
    flags = fields.get("flags", "").split()
    vectors = next((name for name in ("avx512f", "avx2", "avx") if name in flags), "")
    return " ".join(part for part in (fields.get("model name", platform.machine()), vectors) if part)


def memory() -> str:
    """The memory of the machine."""
    if sys.platform != "linux":
        return "unknown"
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def blas() -> str:
    """Which BLAS NumPy was built with."""
    found = np.show_config(mode="dicts")
    entry = found.get("Build Dependencies", {}).get("blas", {})
    return f"{entry.get('name', 'unknown')} {entry.get('version', '')}".strip()


def import_seconds(peers: Iterable[Peer], repeats: int) -> Mapping[str, float]:
    """The CPU seconds of importing each peer in a fresh process: the least of several."""
    return {peer.name: min(_import_once(peer) for _ in range(repeats)) for peer in peers}


def _import_once(peer: Peer) -> float:
    code = f"import time; start = time.process_time(); {peer.imports}; print(time.process_time() - start)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120)
    return float(done.stdout.split()[-1])


def busy_ticks() -> tuple[int, int]:
    """Clock ticks of the whole machine that were used, and all of them; (0, 0) where the system does not say."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    except OSError:
        return 0, 0
    ticks = [int(field) for field in first.split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def wait_until_quiet(limit: float, share: float, settle: float = 0.04, probe: float = 0.03) -> None:
    """Wait until the machine is used less than ``share``, at most ``limit`` seconds.

    The threads of a BLAS spin for a while after a call: ``settle`` lets them end.
    """
    time.sleep(settle)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        busy, total = busy_ticks()
        time.sleep(probe)
        busy_now, total_now = busy_ticks()
        if busy_now - busy <= share * max(1, total_now - total) + 0.5:
            return
