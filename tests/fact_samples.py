"""Matrices with declared properties, and whether a fact holds of an array: the oracle of the tests about facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

Array = Any
CLOSE = 1e-9
TINY = 1e-12


def with_properties(properties: Iterable[str], shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """A random array with declared properties, at times with zeros where these allow them."""
    given = set(properties)
    values = generator.uniform(-1.5, 1.5, shape)
    if "integer" in given:
        return generator.integers(0, 3, shape).astype(float)
    if given & {"positive", "nonnegative"}:
        values = np.abs(values) + 0.1
    if "nonnegative" in given:
        values = values * generator.integers(0, 2, shape)
    if len(shape) != 2 or shape[0] != shape[1]:
        return values
    return _square(values, given, generator)


def _square(values: Array, given: set[str], generator: np.random.Generator) -> Array:
    n = len(values)
    if "diagonal" in given:
        values = values * np.eye(n)
        if "spd" in given:
            values = np.abs(values) + 0.1 * np.eye(n)
        if "orthogonal" in given:
            values = np.diag(generator.choice([-1.0, 1.0], n))
        return values
    if "spd" in given:
        return values @ values.T + 0.2 * np.eye(n)
    if "psd" in given:
        thin = values[:, : max(1, n - 1)]
        return thin @ thin.T
    if "orthogonal" in given:
        return np.linalg.qr(values)[0] * generator.choice([-1.0, 1.0])
    if "skew" in given:
        return values - values.T
    if "symmetric" in given:
        values = values + values.T
    if "lower" in given:
        values = np.tril(values)
    if "upper" in given:
        values = np.triu(values)
    if "invertible" in given:
        values = values + 3 * np.diag(np.where(np.diag(values) < 0, -1.0, 1.0))
    return values


def _symmetric(value: Array) -> bool:
    return bool(np.allclose(value, value.T, atol=CLOSE))


def _eigenvalues(value: Array) -> Array:
    return np.linalg.eigvalsh((value + value.T) / 2)


def _scale(value: Array) -> float:
    return float(max(1.0, np.max(np.abs(value), initial=0.0)))


HOLDS: Mapping[str, Callable[[Array], bool]] = {
    "zero": lambda v: bool(np.all(np.abs(v) < CLOSE)),
    "positive": lambda v: bool(np.all(v > TINY)),
    "negative": lambda v: bool(np.all(v < -TINY)),
    "nonnegative": lambda v: bool(np.all(v >= -CLOSE)),
    "nonpositive": lambda v: bool(np.all(v <= CLOSE)),
    "nonzero": lambda v: bool(np.all(np.abs(v) > TINY)),
    "integer": lambda v: bool(np.allclose(v, np.round(v), atol=CLOSE)),
    "symmetric": _symmetric,
    "skew": lambda v: bool(np.allclose(v, -v.T, atol=CLOSE)),
    "diagonal": lambda v: bool(np.allclose(v, np.diag(np.diag(v)), atol=CLOSE)),
    "lower": lambda v: bool(np.allclose(v, np.tril(v), atol=CLOSE)),
    "upper": lambda v: bool(np.allclose(v, np.triu(v), atol=CLOSE)),
    "orthogonal": lambda v: bool(np.allclose(v.T @ v, np.eye(len(v)), atol=CLOSE)),
    "psd": lambda v: _symmetric(v) and bool(_eigenvalues(v)[0] > -CLOSE * _scale(v)),
    "spd": lambda v: _symmetric(v) and bool(_eigenvalues(v)[0] > 1e-12 * _scale(v)),
    "invertible": lambda v: bool(np.linalg.svd(v, compute_uv=False)[-1] > 1e-12 * _scale(v)),
    "idempotent": lambda v: bool(np.allclose(v @ v, v, atol=CLOSE)),
    "rank_one": lambda v: bool(np.linalg.matrix_rank(v, tol=CLOSE * _scale(v)) <= 1),
    "diagonal_positive": lambda v: bool(np.all(np.diag(v) > TINY)),
    "diagonal_nonnegative": lambda v: bool(np.all(np.diag(v) >= -CLOSE)),
    "diagonal_negative": lambda v: bool(np.all(np.diag(v) < -TINY)),
    "diagonal_nonpositive": lambda v: bool(np.all(np.diag(v) <= CLOSE)),
}


def holds(fact: str, value: Array) -> bool:
    """Whether an array has a fact; facts of square matrices are false of all other arrays."""
    value = np.asarray(value)
    square = value.ndim == 2 and value.shape[0] == value.shape[1]
    anywhere = ("zero", "positive", "negative", "nonnegative", "nonpositive", "nonzero", "integer")
    if fact not in anywhere and not square and not (fact == "rank_one" and value.ndim == 2):
        return False
    return HOLDS[fact](value)
