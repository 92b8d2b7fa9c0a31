"""The peers: matcalc, and what people would use instead of it, one module each."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from .contract import Build


class Peer(NamedTuple):
    """A peer of the table.

    Attributes
    ----------
    name: as it is printed.
    module: the module of this package that has its ``build``.
    imports: what a program that uses it imports.
    is_traced: whether its arrays are NumPy's, whose memory Python can count.
    is_quick: whether it takes part in ``--quick``.
    about: how it is used here.
    is_compressing: whether it does the cases in which the derivative may stay compressed.
    """

    name: str
    module: str
    imports: str
    is_traced: bool
    is_quick: bool
    about: str
    is_compressing: bool = False


PEERS = (
    Peer("matcalc", "matcalc", "import matcalc; matcalc.value_and_grad", True, True,
         "the text, derived and compiled once, called with the arrays by name", is_compressing=True),
    Peer("matcalc-numba", "matcalc_numba", 'import matcalc, numba; matcalc.value_and_grad', True, False,
         "the same with `backend=\"numba\"`", is_compressing=True),
    Peer("expert", "numpy_expert", "import numpy, scipy.linalg", True, True,
         "hand-written NumPy and SciPy: buffers allocated once, `out=`, panels that fit the cache, BLAS and LAPACK "
         "called directly; what it returns is overwritten by its next call",
         is_compressing=True),
    Peer("naive", "numpy_naive", "import numpy", True, True,
         "the formula in NumPy as printed: fresh temporaries, products from left to right, explicit inverses"),
    Peer("numba", "numba", "import numba", True, False,
         "hand-written loops, fused and vectorised, around BLAS"),
    Peer("jax", "jax", "import jax, jax.numpy", False, True,
         "the function, its derivatives by JAX, all of it jitted, float64, arrays on the device"),
    Peer("torch", "torch", "import torch", False, True,
         "the function, its derivatives by PyTorch, eager"),
    Peer("torch.compile", "torch_compile", "import torch", False, False,
         "the same after `torch.compile`, a C++ compiler behind it"),
    Peer("pytensor", "pytensor", "import pytensor, pytensor.tensor", False, False,
         "the graph and its gradients compiled in mode NUMBA"),
    Peer("autograd", "autograd", "import autograd, autograd.numpy", True, False,
         "the function in NumPy, its derivatives by HIPS autograd"),
)  # fmt: skip

BASE = "expert"
"""Ratios are times over the time of this peer."""


COMPRESSING = frozenset(peer.name for peer in PEERS if peer.is_compressing)
"""The peers of the cases in which the derivative may stay compressed."""


def load(peer: Peer) -> Build:
    """The peer's ``build``; an ``ImportError`` where it is not installed."""
    build: Build = import_module(f".{peer.module}", __package__).build
    return build
