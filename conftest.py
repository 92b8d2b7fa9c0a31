"""What the tests leave out where an optional package is missing: examples are looked for in every module."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("numba") is not None else ["matcalc/lower/fused/kernels.py"]
