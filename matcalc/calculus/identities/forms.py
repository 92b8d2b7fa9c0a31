"""Linear, bilinear and quadratic forms."""

from __future__ import annotations

from .record import Identity

FORMS = (
    Identity(
        "linear form",
        "linear and bilinear forms",
        "a^T x",
        "x",
        "a",
        "a: vector(n); x: vector(n)",
        "Petersen & Pedersen, The Matrix Cookbook (2012), eq. 69",
    ),
    Identity(
        "quadratic form",
        "quadratic forms",
        "x^T A x",
        "x",
        "(A + A^T) x",
        "A: matrix(n, n); x: vector(n)",
        "Petersen & Pedersen, The Matrix Cookbook (2012), eq. 81",
    ),
)
