"""matcalc with Numba: the text of the workload, derived and compiled once, its loops fused."""

from __future__ import annotations

from functools import partial

from . import matcalc

build = partial(matcalc.build, backend="numba")
