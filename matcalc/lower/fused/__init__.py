"""The Numba form of a program: loops that are fused, compiled when a function is first called."""
