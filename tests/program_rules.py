"""The table of what a random program is made of: one row for each way to build a value of a given type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Dim = str | int | tuple[str, Any, Any]
"""A named size, a written one, or ``("*", a, b)``, ``("+", a, b)``, ``("-", a, 1)``, ``("tri", a, 0)``."""

COMPARE, SUM, TERM, PRODUCT, POWER, POSTFIX = range(6)
"""How tightly a piece of text binds; a sum over an index is a `TERM`: it takes all factors behind it."""

SLOT_LEVELS: Mapping[str, int] = {
    "a": COMPARE, "s": SUM, "t": TERM, "l": PRODUCT, "f": POWER, "b": POSTFIX, "x": POSTFIX,
}  # fmt: skip
"""What a slot asks of its operand: any, sum, term, left factor, right factor, base of a postfix, exponent."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to build a value.

    Parameters
    ----------
    target: the type built, as a pattern: a kind and sizes; a letter stands for any size, the same letter for the same
        size; the kind ``any`` stands for whatever is wanted.
    template: the text; ``{0:f}`` is the first operand with the brackets it needs as a right-hand factor (see
        `SLOT_LEVELS`), ``<mul>`` one of the `SPELLINGS` of an operator, ``[a]`` the size bound to the letter.
    args: the patterns of the operands; ``same`` is the type wanted.
    level: how tightly the text binds.
    weight: how often it is taken, relative to the others.
    guard: a name in `GUARDS`; operands at which the function has a kink, a pole or no value are refused.
    written: whether the meaning depends on how the operand is written (``x_1``), so that it cannot be computed from
        the operand's value.
    """

    target: str
    template: str
    args: tuple[str, ...] = ()
    level: int = POSTFIX
    weight: float = 1.0
    guard: str = ""
    written: bool = False


SPELLINGS: Mapping[str, Sequence[tuple[str, float]]] = {
    "<mul>": ((" ", 10), (" * ", 2), ("*", 1), (" @ ", 2), ("@", 0.5)),
    "<times>": ((" ", 10), (" * ", 3), ("*", 2), (" · ", 0.7)),
    "<+>": ((" + ", 10), (" - ", 8), ("+", 1), ("-", 1), (" − ", 0.3)),
    "<had>": ((" .* ", 8), (" ⊙ ", 2), (" ∘ ", 1), (".*", 1)),
    "<ediv>": ((" ./ ", 6), (" ⊘ ", 1), (" / ", 3)),
    "<div>": ((" / ", 8), ("/", 2), (" ÷ ", 0.3)),
    "<bdiv>": ((" ./ ", 6), (" ⊘ ", 1)),
    "<kron>": ((" ⊗ ", 1),),
    "<T>": (("^T", 10), ("'", 6), ("ᵀ", 2), (".T", 2), ("^{T}", 1), (r"^\top", 0.5), ("⊤", 0.3)),
    "<inv>": (("^-1", 6), ("^{-1}", 2), ("⁻¹", 2), ("^(-1)", 1)),
    "<invT>": (("^-T", 3), ("^{-T}", 1), ("^-1'", 1)),
    "<sq>": (("^2", 8), ("²", 2), (".^2", 2), ("**2", 1), ("^{2}", 1)),
    "<esq>": ((".^2", 8), (".^ 2", 1)),
    "<cmp>": ((" > ", 3), (" < ", 2), (" >= ", 1), (" <= ", 1), (" ≥ ", 0.3), (" != ", 0.3)),
}


# --- where an operation may be used --------------------------------------------------------------

MARGIN = 0.1


def gap(values: Array) -> float:
    """The smallest distance between two entries."""
    ordered = np.sort(values.ravel())
    return float(np.min(np.diff(ordered), initial=np.inf))


def lead(values: Array, axis: int) -> float:
    """How far the largest entry along an axis is ahead of the next one."""
    if values.shape[axis] < 2:
        return float("inf")
    ordered = np.sort(values, axis=axis)
    return float(np.min(np.take(ordered, -1, axis=axis) - np.take(ordered, -2, axis=axis)))


def smallest(values: Array) -> float:
    return float(np.min(np.abs(values), initial=np.inf))


def largest(values: Array) -> float:
    return float(np.max(np.abs(values), initial=0.0))


def condition(matrix: Array) -> float:
    return float(np.linalg.cond(matrix)) if matrix.ndim == 2 else 1.0


def off_integers(values: Array) -> bool:
    return smallest(values - np.round(values)) > MARGIN and smallest(values - np.floor(values) - 0.5) > MARGIN


GUARDS: Mapping[str, Callable[[Sequence[Array]], bool]] = {
    "": lambda v: True,
    "positive": lambda v: float(np.min(v[0])) > 0.2 and largest(v[0]) < 20,
    "away": lambda v: smallest(v[0]) > 0.2,
    "second away": lambda v: smallest(v[1]) > 0.2,
    "small": lambda v: largest(v[0]) < 0.85,
    "moderate": lambda v: largest(v[0]) < 4,
    "above one": lambda v: float(np.min(v[0])) > 1.2,
    "above minus one": lambda v: float(np.min(v[0])) > -0.7,
    "off poles": lambda v: smallest(np.cos(v[0])) > 0.3 and largest(v[0]) < 4,
    "off integers": lambda v: off_integers(v[0]),
    "kink at zero": lambda v: smallest(v[0]) > MARGIN and largest(v[0]) < 10,
    "kink at one": lambda v: smallest(np.abs(v[0]) - 1) > MARGIN,
    "apart": lambda v: smallest(v[0] - v[1]) > MARGIN,
    "power": lambda v: float(np.min(v[0])) > 0.3 and largest(v[0]) < 4 and largest(v[1]) < 2.5,
    "not both small": lambda v: float(np.min(np.hypot(v[0], v[1]))) > 0.3,
    "branch cut": lambda v: smallest(np.hypot(v[0], v[1])) > 0.3 and bool(np.all((v[1] > 0.1) | (np.abs(v[0]) > 0.1))),
    "top": lambda v: lead(v[0].ravel(), 0) > MARGIN,
    "bottom": lambda v: lead(-v[0].ravel(), 0) > MARGIN,
    "top size": lambda v: lead(np.abs(v[0]).ravel(), 0) > MARGIN and largest(v[0]) > 0.3,
    "top down": lambda v: lead(v[0], 0) > MARGIN,
    "top along": lambda v: lead(v[0], 1) > MARGIN,
    "bottom down": lambda v: lead(-v[0], 0) > MARGIN,
    "bottom along": lambda v: lead(-v[0], 1) > MARGIN,
    "norm": lambda v: float(np.linalg.norm(v[0])) > 0.3,
    "norm down": lambda v: bool(np.all(np.linalg.norm(v[0], axis=0) > 0.3)),
    "norm along": lambda v: bool(np.all(np.linalg.norm(v[0], axis=-1) > 0.3)),
    "spread": lambda v: v[0].size > 1 and float(np.std(v[0])) > 0.2,
    "spread down": lambda v: bool(np.all(np.std(v[0], axis=0) > 0.2)),
    "spread along": lambda v: bool(np.all(np.std(v[0], axis=1) > 0.2)),
    "invertible": lambda v: condition(v[0]) < 30 and largest(v[0]) < 20,
    "second invertible": lambda v: condition(v[1]) < 30 and largest(v[1]) < 20,
    "full rank": lambda v: condition(v[0]) < 15,
    "positive determinant": lambda v: float(np.linalg.det(v[0])) > 0.2 and condition(v[0]) < 30,
    "definite": lambda v: float(np.linalg.eigvalsh((v[0] + v[0].T) / 2)[0]) > 0.2 and condition(v[0]) < 30,
    "distinct eigenvalues": lambda v: gap(np.linalg.eigvalsh((v[0] + v[0].T) / 2)) > 2 * MARGIN,
    "distinct singular values": lambda v: (
        gap(np.linalg.svd(v[0], compute_uv=False)) > 2 * MARGIN and condition(v[0]) < 15
    ),
    "tame invertible": lambda v: condition(v[0]) < 30 and float(np.linalg.norm(v[0])) < 4,
    "tame matrix": lambda v: float(np.linalg.norm(v[0])) < 4,
}

REPAIRS: Mapping[str, Sequence[str]] = {
    "positive": ("1 + {0:b}.^2", "exp({0:a})", "softplus({0:a})", "{0:b}.^2 + 1/2"),
    "away": ("1 + {0:b}.^2", "2 + sin({0:a})", "exp({0:a})"),
    "second away": ("1 + {0:b}.^2", "2 + sin({0:a})"),
    "small": ("tanh({0:a}) / 2", "0.7 sin({0:a})"),
    "moderate": ("tanh({0:a})", "sin({0:a})"),
    "above one": ("1.5 + {0:b}.^2",),
    "above minus one": ("{0:b}.^2",),
    "power": ("1 + {0:b}.^2",),
}
"""Templates that make the guarded operand acceptable (the second one for ``second away``)."""


# --- the table -----------------------------------------------------------------------------------


def elementwise() -> list[Rule]:
    """Functions of one argument, by the guard they need."""
    frequent = "exp log tanh sigmoid relu sin cos abs sqrt softplus square"
    names = {
        "": "sin cos atan asinh sigmoid softplus gelu silu swish erf erfc normpdf normcdf square tanh logistic arctan",
        "moderate": "exp expm1 sinh cosh",
        "positive": "log ln log2 log10 sqrt lgamma digamma",
        "above minus one": "log1p",
        "small": "asin acos atanh arcsin arccos",
        "above one": "acosh",
        "off poles": "tan",
        "off integers": "floor ceil round",
        "kink at zero": "abs relu leaky_relu elu selu cbrt step sign",
        "away": "reciprocal",
    }
    rare = "floor ceil round step sign digamma lgamma logistic swish ln arctan arcsin"
    return [
        Rule(
            "any",
            f"{name}({{0:a}})",
            ("same",),
            weight=1.5 if name in frequent.split() else 0.15 if name in rare.split() else 0.5,
            guard=guard,
        )
        for guard, listed in names.items()
        for name in listed.split()
    ]


ANY = [
    Rule("any", "{0:s}<+>{1:t}", ("same", "same"), SUM, 14),
    Rule("any", "{0:s}<+>{1:t}<+>{2:t}", ("same", "same", "same"), SUM, 3),
    Rule("any", "{0:s}<+>{1:t}", ("same", "scalar"), SUM, 2),
    Rule("any", "{0:s}<+>{1:t}", ("scalar", "same"), SUM, 2),
    Rule("any", "-{0:l}", ("same",), SUM, 2),
    Rule("any", "{0:l}<times>{1:f}", ("scalar", "same"), PRODUCT, 8),
    Rule("any", "{0:l}<times>{1:f}", ("same", "scalar"), PRODUCT, 2),
    Rule("any", "{0:l}<div>{1:f}", ("same", "scalar"), PRODUCT, 4, "second away"),
    Rule("any", "{0:l}<had>{1:f}", ("same", "same"), PRODUCT, 6),
    Rule("any", "{0:l}<ediv>{1:f}", ("same", "same"), TERM, 3, "second away"),
    Rule("any", "1 ./ {0:f}", ("same",), PRODUCT, 1, "away"),
    Rule("any", "{0:l} ./ {1:f}", ("scalar", "same"), PRODUCT, 1, "second away"),
    Rule("any", "{0:b}<esq>", ("same",), POWER, 4),
    Rule("any", "{0:b}.^3", ("same",), POWER, 1.5),
    Rule("any", "{0:b}.^4", ("same",), POWER, 0.3),
    Rule("any", "{0:b}.^(-1)", ("same",), POWER, 0.6, "away"),
    Rule("any", "{0:b}.^-2", ("same",), POWER, 0.4, "away"),
    Rule("any", "{0:b}.^0.5", ("same",), POWER, 0.8, "positive"),
    Rule("any", "{0:b}.^(1/2)", ("same",), POWER, 0.5, "positive"),
    Rule("any", "{0:b}.^(3/2)", ("same",), POWER, 0.5, "positive"),
    Rule("any", "{0:b}.^(-1/2)", ("same",), POWER, 0.4, "positive"),
    Rule("any", "{0:b}.^1.7", ("same",), POWER, 0.3, "positive"),
    Rule("any", "{0:b}.^{1:x}", ("same", "same"), POWER, 0.4, "power"),
    Rule("any", "{0:b}.^{1:x}", ("same", "scalar"), POWER, 0.4, "power"),
    Rule("any", "2 .^ {0:x}", ("same",), POWER, 0.4, "moderate"),
    Rule("any", "pow({0:a}, {1:a})", ("same", "same"), weight=0.3, guard="power"),
    Rule("any", "max({0:a}, 0)", ("same",), weight=0.8, guard="kink at zero"),
    Rule("any", "[{0:a}]_+", ("same",), weight=0.4, guard="kink at zero"),
    Rule("any", "max({0:a}, {1:a})", ("same", "same"), weight=0.8, guard="apart"),
    Rule("any", "min({0:a}, {1:a})", ("same", "same"), weight=0.6, guard="apart"),
    Rule("any", "max({0:a}, {1:a})", ("same", "scalar"), weight=0.4, guard="apart"),
    Rule("any", "min({1:a}, {0:a})", ("same", "scalar"), weight=0.3, guard="apart"),
    Rule("any", "atan2({0:a}, {1:a})", ("same", "same"), weight=0.4, guard="branch cut"),
    Rule("any", "hypot({0:a}, {1:a})", ("same", "same"), weight=0.4, guard="not both small"),
    Rule("any", "huber({0:a}, 1)", ("same",), weight=0.5, guard="kink at one"),
    Rule("any", "where({0:a}<cmp>{1:a}, {2:a}, {3:a})", ("same", "same", "same", "same"), weight=0.6, guard="apart"),
    Rule("any", "where({0:a}<cmp>{1:a}, {2:a}, {3:a})", ("same", "scalar", "same", "same"), weight=0.6, guard="apart"),
    Rule("any", "({0:s}<cmp>{1:s})<had>{2:f}", ("same", "same", "same"), PRODUCT, 0.5, "apart"),
    Rule("any", "leaky_relu({0:a}, 0.2)", ("same",), weight=0.1, guard="kink at zero"),
    Rule("any", "elu({0:a}, 2)", ("same",), weight=0.1, guard="kink at zero"),
    *elementwise(),
]

LIST_REDUCTIONS = {
    "sum": ("", 6.0), "mean": ("", 2.5), "logsumexp": ("moderate", 2.0), "prod": ("moderate", 0.6),
    "max": ("top", 0.8), "min": ("bottom", 0.5), "var": ("", 0.8), "std": ("spread", 0.6),
    "norm": ("norm", 0.8), "norm1": ("kink at zero", 0.4), "norm2": ("norm", 0.3), "normF": ("norm", 0.2),
    "norminf": ("top size", 0.3),
}  # fmt: skip

AXIS_REDUCTIONS = {
    "sum": ("", "", 3.0), "mean": ("", "", 1.0), "logsumexp": ("moderate", "moderate", 0.7),
    "prod": ("moderate", "moderate", 0.25), "max": ("top down", "top along", 0.3),
    "min": ("bottom down", "bottom along", 0.25), "var": ("", "", 0.3),
    "std": ("spread down", "spread along", 0.25), "norm": ("norm down", "norm along", 0.4),
    "norm1": ("kink at zero", "kink at zero", 0.2), "norm2": ("norm down", "norm along", 0.2),
}  # fmt: skip

SCALAR = [
    Rule("scalar", "{0:b}<T><mul>{1:f}", ("column a", "column a"), PRODUCT, 10),
    Rule("scalar", "{0:b}<T><mul>{1:f}<mul>{2:f}", ("column a", "matrix a b", "column b"), PRODUCT, 8),
    Rule("scalar", "{0:b}<T><mul>{1:f}<mul>{0:f}", ("column a", "matrix a a"), PRODUCT, 6),
    Rule("scalar", "{0:b}<T><mul>{0:f}", ("column a",), PRODUCT, 5),
    Rule("scalar", "1/2 {0:b}<T><mul>{1:f}<mul>{0:f}", ("column a", "sym a"), PRODUCT, 2),
    Rule("scalar", "{0:l}<mul>{1:f}", ("row a", "column a"), PRODUCT, 3),
    Rule("scalar", "<{0:s}, {1:s}>", ("column a", "column a"), weight=1.5),
    Rule("scalar", "⟨{0:s}, {1:s}⟩", ("column a", "column a"), weight=0.5),
    Rule("scalar", "{0:l} · {1:f}", ("column a", "column a"), PRODUCT, 1.5),
    Rule("scalar", "dot({0:a}, {1:a})", ("column a", "column a"), weight=1),
    Rule("scalar", "inner({0:a}, {1:a})", ("matrix a b", "matrix a b"), weight=1),
    Rule("scalar", "<{0:s}, {1:s}>", ("matrix a b", "matrix a b"), weight=0.7),
    Rule("scalar", "{0:b}<sq>", ("scalar",), POWER, 5),
    Rule("scalar", "{0:b}^3", ("scalar",), POWER, 1.5),
    Rule("scalar", "{0:b}^-1", ("scalar",), POWER, 0.5, "away"),
    Rule("scalar", "{0:b}^(1/2)", ("scalar",), POWER, 0.7, "positive"),
    Rule("scalar", "√{0:x}", ("scalar",), POWER, 0.4, "positive"),
    Rule("scalar", "{0:b}^{1:x}", ("scalar", "scalar"), POWER, 0.5, "power"),
    Rule("scalar", "{0:b}^{1:x}", ("scalar", "integer"), POWER, 0.3, "moderate"),
    Rule("scalar", "e^{0:x}", ("scalar",), POWER, 0.7, "moderate"),
    Rule("scalar", "|{0:s}|", ("scalar",), weight=0.8, guard="kink at zero"),
    Rule("scalar", "tr({0:a})", ("matrix a a",), weight=3),
    Rule("scalar", "trace({0:a})", ("matrix a a",), weight=0.5),
    Rule("scalar", "tr({0:l}<mul>{1:f})", ("matrix a b", "matrix b a"), weight=3),
    Rule("scalar", "tr({0:b}<T><mul>{1:f}<mul>{0:f})", ("matrix a b", "matrix a a"), weight=2),
    Rule("scalar", "det({0:a})", ("matrix a a",), weight=1, guard="tame invertible"),
    Rule("scalar", "|{0:s}|", ("matrix a a",), weight=0.4, guard="tame invertible"),
    Rule("scalar", "logdet({0:a})", ("inv a",), weight=1.5, guard="invertible"),
    Rule("scalar", "log(det({0:a}))", ("spd a",), weight=1, guard="positive determinant"),
    Rule("scalar", "log(|{0:s}|)", ("spd a",), POSTFIX, 0.4, "positive determinant"),
    Rule("scalar", "||{0:s}||", ("vector",), weight=2, guard="norm"),
    Rule("scalar", "‖{0:s}‖", ("vector",), weight=0.4, guard="norm"),
    Rule("scalar", "||{0:s}||_2", ("vector",), weight=0.7, guard="norm"),
    Rule("scalar", "||{0:s}||<sq>", ("vector",), POWER, 5),
    Rule("scalar", "||{0:s}||_2^2", ("vector",), POWER, 3),
    Rule("scalar", "||{0:s}||_1", ("array",), weight=1, guard="kink at zero"),
    Rule("scalar", "||{0:s}||_inf", ("array",), weight=0.6, guard="top size"),
    Rule("scalar", "||{0:s}||_F", ("matrix a b",), weight=1, guard="norm"),
    Rule("scalar", "||{0:s}||_F^2", ("matrix a b",), POWER, 3),
    Rule("scalar", "||{0:s}||", ("matrix a b",), weight=0.6, guard="norm"),
    Rule("scalar", "||{0:s}||_*", ("matrix a b",), weight=0.4, guard="distinct singular values"),
    Rule("scalar", "||{0:s}||_2", ("matrix a b",), weight=0.4, guard="distinct singular values"),
    Rule("scalar", "nuclear({0:a})", ("matrix a b",), weight=0.3, guard="distinct singular values"),
    Rule("scalar", "spectral({0:a})", ("matrix a b",), weight=0.3, guard="distinct singular values"),
    Rule("scalar", "sum(svdvals({0:a}).^3)", ("matrix a b",), weight=0.2, guard="distinct singular values"),
    Rule("scalar", "eigmax({0:a})", ("sym a",), weight=0.5, guard="distinct eigenvalues"),
    Rule("scalar", "eigmin({0:a})", ("sym a",), weight=0.4, guard="distinct eigenvalues"),
    Rule("scalar", "||{0:b}[2:[a]] - {0:b}[1:[a]-1]||^2", ("column a",), POWER, 0.5),
    Rule("scalar", "sum({0:b}[2:[a]] .* {0:b}[1:[a]-1])", ("column a",), weight=0.4),
    Rule("scalar", "{0:b}[1]", ("column a",), weight=0.7),
    Rule("scalar", "{0:b}[2]", ("column a",), weight=0.7),
    Rule("scalar", "{0:b}[[a]]", ("column a",), weight=0.4),
    Rule("scalar", "{0:b}_1", ("named column a",), weight=0.6, written=True),
    Rule("scalar", "{0:b}_{2}", ("named column a",), weight=0.4, written=True),
    Rule("scalar", "{0:b}[1, 2]", ("matrix a b",), weight=0.8),
    Rule("scalar", "{0:b}[2,1]", ("matrix a b",), weight=0.5),
    Rule("scalar", "{0:b}_{12}", ("named matrix a b",), weight=0.4, written=True),
    Rule("scalar", "{0:b}_{2,1}", ("named matrix a b",), weight=0.3, written=True),
    Rule("scalar", 'einsum("i,i->", {0:a}, {1:a})', ("column a", "column a"), weight=0.5),
    Rule("scalar", 'einsum("ij,ij->", {0:a}, {1:a})', ("matrix a b", "matrix a b"), weight=0.5),
    Rule("scalar", 'einsum("ii->", {0:a})', ("matrix a a",), weight=0.4),
    Rule("scalar", "einsum('ij,i,j->', {0:a}, {1:a}, {2:a})", ("matrix a b", "column a", "column b"), weight=0.5),
    Rule("scalar", 'einsum("ij,jk,ki->", {0:a}, {1:a}, {2:a})', ("matrix a b", "matrix b c", "matrix c a"), weight=0.3),
    Rule(
        "scalar",
        "{0:b}<T><mul>{1:b}<inv><mul>{2:f}",
        ("column a", "inv a", "column a"),
        PRODUCT,
        1.5,
        "second invertible",
    ),
    Rule("scalar", "{0:b}<T><mul>solve({1:a}, {0:a})", ("column a", "spd a"), PRODUCT, 0.7, "second invertible"),
    *[
        Rule("scalar", f"{name}({{0:a}})", (argument,), weight=weight * share, guard=guard)
        for name, (guard, weight) in LIST_REDUCTIONS.items()
        for argument, share in (("vector", 0.6), ("array", 0.4))
    ],
]

COLUMN = [
    Rule("column a", "{0:l}<mul>{1:f}", ("matrix a b", "column b"), PRODUCT, 16),
    Rule("column a", "{0:b}<T><mul>{1:f}", ("matrix b a", "column b"), PRODUCT, 8),
    Rule("column a", "{0:l}<mul>{1:f}<mul>{2:f}", ("matrix a b", "matrix b c", "column c"), PRODUCT, 2),
    Rule("column a", "{0:l} \\ {1:f}", ("inv a", "column a"), PRODUCT, 1, "invertible"),
    Rule("column a", "solve({0:a}, {1:a})", ("inv a", "column a"), weight=1, guard="invertible"),
    Rule("column a", "{0:b}<inv><mul>{1:f}", ("inv a", "column a"), PRODUCT, 1.5, "invertible"),
    Rule("column a", "inv({0:a})<mul>{1:f}", ("inv a", "column a"), PRODUCT, 0.7, "invertible"),
    Rule("column a", "{0:b}<invT><mul>{1:f}", ("inv a", "column a"), PRODUCT, 0.4, "invertible"),
    Rule("column a", "{0:b}<sq>", ("column a",), POWER, 1),
    Rule("column a", "{0:b}^3", ("column a",), POWER, 0.3),
    Rule("column a", "e^{0:x}", ("column a",), POWER, 0.4, "moderate"),
    Rule("column a", "diag({0:a})", ("matrix a a",), weight=2),
    Rule("column a", "diag({0:a})<mul>{1:f}", ("column a", "column a"), PRODUCT, 1.5),
    Rule("column a", "softmax({0:a})", ("column a",), weight=1.5),
    Rule("column a", "log_softmax({0:a})", ("column a",), weight=0.7),
    Rule("column a", "normalize({0:a})", ("column a",), weight=0.6, guard="norm"),
    Rule("column a", "cumsum({0:a})", ("column a",), weight=0.5),
    Rule("column a", "{0:b}<T>", ("row a",), weight=1.5),
    Rule("column a", "{0:b}[:, 1]", ("matrix a b",), weight=0.6),
    Rule("column a", "{0:b}[:, 2]", ("matrix a b",), weight=0.5),
    Rule("column a", "{0:b}[2, :]<T>", ("matrix b a",), weight=0.6),
    Rule("column a", "sum({0:a}, axis=0)<T>", ("matrix b a",), weight=0.5),
    Rule("column a", 'einsum("ij,j->i", {0:a}, {1:a})', ("matrix a b", "column b"), weight=0.6),
    Rule("column a", 'einsum("ij,ij->i", {0:a}, {1:a})', ("matrix a b", "matrix a b"), weight=0.4),
    Rule("column a", 'einsum("ji->i", {0:a})', ("matrix b a",), weight=0.3),
    Rule("column a", 'einsum("i,i->i", {0:a}, {1:a})', ("column a", "column a"), weight=0.2),
    Rule("column a", 'einsum("ii->i", {0:a})', ("matrix a a",), weight=0.2),
    Rule("column a", "{0:s} + ones([a])", ("column a",), SUM, 0.4),
    Rule("column a", "{0:s} - vector(1)", ("column a",), SUM, 0.4),
    Rule("column a", "vector(1) - {0:t}", ("column a",), SUM, 0.3),
    Rule("column a", "{0:l}<mul>vector(1)", ("matrix a b",), PRODUCT, 0.5),
    Rule("column a", "{0:l}<mul>ones([b])", ("matrix a b",), PRODUCT, 0.5),
    Rule("column a", "{0:l}<mul>e(1, [b])", ("matrix a b",), PRODUCT, 0.4),
    Rule("column a", "{0:s} + e(2, [a])", ("column a",), SUM, 0.3),
    Rule("column a", "eigvals({0:a})", ("sym a",), weight=0.2, guard="distinct eigenvalues"),
    Rule("column a", "({0:s} + I)<mul>{1:f}", ("matrix a a", "column a"), PRODUCT, 0.8),
    Rule("column a", "(I - {0:t})<mul>{1:f}", ("matrix a a", "column a"), PRODUCT, 0.8),
    Rule("column 3", "cross({0:a}, {1:a})", ("column 3", "column 3"), weight=6),
    Rule("column a*b", "vec({0:a})", ("matrix a b",), weight=10),
    Rule("column a*b", "kron({0:a}, {1:a})", ("column a", "column b"), weight=4),
    Rule("column a*b", "{0:l}<kron>{1:f}", ("column a", "column b"), PRODUCT, 4),
    Rule("column a+b", "[{0:a}; {1:a}]", ("column a", "column b"), weight=10),
    Rule("column tri(a)", "vech({0:a})", ("sym a",), weight=5),
    Rule("column tri(a)", "vech({0:a})", ("matrix a a",), weight=5),
    Rule("column a-1", "{0:b}[2:[a]]", ("column a",), weight=5),
    Rule("column a-1", "{0:b}[1:[a]-1]", ("column a",), weight=5),
    Rule("column a-1", "{0:b}[2:[a]] - {0:b}[1:[a]-1]", ("column a",), SUM, 3),
    Rule("column 2", "{0:b}[1:2]", ("column a",), weight=5),
    Rule("column 2", "[{0:a}; {1:a}]", ("scalar", "scalar"), weight=3),
    *[
        Rule("column a", f"{name}({{0:a}}, axis=1)", ("matrix a b",), weight=weight, guard=along)
        for name, (_, along, weight) in AXIS_REDUCTIONS.items()
    ],
]

ROW = [
    Rule("row a", "{0:b}<T>", ("column a",), weight=14),
    Rule("row a", "{0:l}<mul>{1:f}", ("row b", "matrix b a"), PRODUCT, 5),
    Rule("row a", "{0:b}<T><mul>{1:f}", ("column b", "matrix b a"), PRODUCT, 3),
    Rule("row a", "{0:b}[1, :]", ("matrix b a",), weight=1.5),
    Rule("row a", "softmax({0:a})", ("row a",), weight=0.5),
    Rule("row a", "cumsum({0:a})", ("row a",), weight=0.3),
    Rule("row a", "vector(1)<T><mul>{0:f}", ("matrix b a",), PRODUCT, 0.5),
    Rule("row a+b", "[{0:a}, {1:a}]", ("row a", "row b"), weight=5),
    *[
        Rule("row a", f"{name}({{0:a}}, axis=0)", ("matrix b a",), weight=weight, guard=down)
        for name, (down, _, weight) in AXIS_REDUCTIONS.items()
    ],
]

MATRIX = [
    Rule("matrix a b", "{0:l}<mul>{1:f}", ("matrix a c", "matrix c b"), PRODUCT, 10),
    Rule("matrix a b", "{0:b}<T><mul>{1:f}", ("matrix c a", "matrix c b"), PRODUCT, 4),
    Rule("matrix a b", "{0:l}<mul>{1:b}<T>", ("matrix a c", "matrix b c"), PRODUCT, 4),
    Rule("matrix a b", "{0:l}<mul>{1:b}<T>", ("column a", "column b"), PRODUCT, 5),
    Rule("matrix a b", "outer({0:a}, {1:a})", ("column a", "column b"), weight=0.7),
    Rule("matrix a b", "{0:l}<mul>{1:f}", ("column a", "row b"), PRODUCT, 1),
    Rule("matrix a b", "{0:b}<T>", ("matrix b a",), weight=5),
    Rule("matrix a b", "transpose({0:a})", ("matrix b a",), weight=0.4),
    Rule("matrix a b", "{0:s}<+>{1:t}", ("matrix a b", "column a"), SUM, 2),
    Rule("matrix a b", "{0:s}<+>{1:t}", ("matrix a b", "row b"), SUM, 2.5),
    Rule("matrix a b", "{0:s}<+>{1:t}", ("column a", "matrix a b"), SUM, 0.5),
    Rule("matrix a b", "{0:l}<had>{1:f}", ("matrix a b", "column a"), PRODUCT, 0.8),
    Rule("matrix a b", "{0:l}<had>{1:f}", ("row b", "matrix a b"), PRODUCT, 0.8),
    Rule("matrix a b", "{0:l}<bdiv>{1:f}", ("matrix a b", "column a"), PRODUCT, 0.4, "second away"),
    Rule("matrix a b", "{0:l}<bdiv>{1:f}", ("matrix a b", "row b"), PRODUCT, 0.4, "second away"),
    Rule("matrix a b", "max({0:a}, {1:a})", ("matrix a b", "row b"), weight=0.2, guard="apart"),
    Rule("matrix a b", "diag({0:a})<mul>{1:f}", ("column a", "matrix a b"), PRODUCT, 1.5),
    Rule("matrix a b", "{0:l}<mul>diag({1:a})", ("matrix a b", "column b"), PRODUCT, 1.2),
    Rule("matrix a b", "{0:l} \\ {1:f}", ("inv a", "matrix a b"), PRODUCT, 0.5, "invertible"),
    Rule("matrix a b", "solve({0:a}, {1:a})", ("inv a", "matrix a b"), weight=0.5, guard="invertible"),
    Rule("matrix a b", "{0:b}<inv><mul>{1:f}", ("inv a", "matrix a b"), PRODUCT, 0.8, "invertible"),
    Rule("matrix a b", "pinv({0:a})", ("matrix b a",), weight=0.3, guard="full rank"),
    Rule("matrix a b", "softmax({0:a})", ("matrix a b",), weight=0.7),
    Rule("matrix a b", "softmax({0:a}, axis=0)", ("matrix a b",), weight=0.3),
    Rule("matrix a b", "log_softmax({0:a})", ("matrix a b",), weight=0.3),
    Rule("matrix a b", "normalize({0:a})", ("matrix a b",), weight=0.3, guard="norm along"),
    Rule("matrix a b", "normalize({0:a}, axis=0)", ("matrix a b",), weight=0.2, guard="norm down"),
    Rule("matrix a b", "cumsum({0:a})", ("matrix a b",), weight=0.2),
    Rule("matrix a b", "cumsum({0:a}, axis=0)", ("matrix a b",), weight=0.2),
    Rule("matrix a b", 'einsum("ij,jk->ik", {0:a}, {1:a})', ("matrix a c", "matrix c b"), weight=0.5),
    Rule("matrix a b", 'einsum("ij,kj->ik", {0:a}, {1:a})', ("matrix a c", "matrix b c"), weight=0.4),
    Rule("matrix a b", 'einsum("i,j->ij", {0:a}, {1:a})', ("column a", "column b"), weight=0.4),
    Rule("matrix a b", 'einsum("ij,i->ij", {0:a}, {1:a})', ("matrix a b", "column a"), weight=0.4),
    Rule("matrix a b", 'einsum("ij->ji", {0:a})', ("matrix b a",), weight=0.3),
    Rule(
        "matrix a b", 'einsum("ik,kj,k->ij", {0:a}, {1:a}, {2:a})', ("matrix a c", "matrix c b", "column c"), weight=0.3
    ),
    Rule("matrix a b", "unvec({0:a}, [a], [b])", ("column a*b",), weight=0.5),
    Rule("matrix a b", "{0:s} + ones([a], [b])", ("matrix a b",), SUM, 0.3),
    Rule("matrix a a", "diag({0:a})", ("column a",), weight=2),
    Rule("matrix a a", "{0:b}<inv>", ("inv a",), POWER, 2, "invertible"),
    Rule("matrix a a", "inv({0:a})", ("inv a",), weight=1.5, guard="invertible"),
    Rule("matrix a a", "{0:b}<invT>", ("inv a",), POWER, 0.7, "invertible"),
    Rule("matrix a a", "{0:b}^2", ("matrix a a",), POWER, 1.5),
    Rule("matrix a a", "{0:b}²", ("matrix a a",), POWER, 0.4),
    Rule("matrix a a", "{0:b}^3", ("matrix a a",), POWER, 0.6),
    Rule("matrix a a", "{0:b}^{1:x}", ("matrix a a", "integer"), POWER, 0.3, "tame matrix"),
    Rule("matrix a a", "{0:b}^-2", ("inv a",), POWER, 0.4, "invertible"),
    Rule("matrix a a", "{0:s} + I", ("matrix a a",), SUM, 1.5),
    Rule("matrix a a", "{0:s}<+>{1:l} I", ("matrix a a", "scalar"), SUM, 1.5),
    Rule("matrix a a", "I - {0:t}", ("matrix a a",), SUM, 1),
    Rule("matrix a a", "{0:s} + I([a])", ("matrix a a",), SUM, 0.4),
    Rule("matrix a a", "{0:s} - eye([a])", ("matrix a a",), SUM, 0.3),
    Rule("matrix a a", "{0:l}<had>I", ("matrix a a",), TERM, 0.3),
    Rule("matrix a a", "adj({0:a})", ("matrix a a",), weight=0.3, guard="tame invertible"),
    Rule("matrix a a", "cofactor({0:a})", ("matrix a a",), weight=0.3, guard="tame invertible"),
    Rule("matrix a a", "expm({0:a})", ("matrix a a",), weight=0.5, guard="tame matrix"),
    Rule("matrix a a", "logm({0:a})", ("spd a",), weight=0.15, guard="definite"),
    Rule("matrix a a", "sqrtm({0:a})", ("spd a",), weight=0.15, guard="definite"),
    Rule("matrix a a", "{0:b}^(1/2)", ("spd a",), POWER, 0.1, "definite"),
    Rule("matrix a a", "chol({0:a})", ("spd a",), weight=0.4, guard="definite"),
    Rule("matrix a*c b*d", "kron({0:a}, {1:a})", ("matrix a b", "matrix c d"), weight=5),
    Rule("matrix a*c b*d", "{0:l}<kron>{1:f}", ("matrix a b", "matrix c d"), PRODUCT, 4),
    Rule(
        "matrix a+c b+d",
        "[{0:a}, {1:a}; {2:a}, {3:a}]",
        ("matrix a b", "matrix a d", "matrix c b", "matrix c d"),
        weight=5,
    ),
    Rule("matrix a+c b+d", "[{0:a}, 0; 0, {1:a}]", ("matrix a b", "matrix c d"), weight=2),
    Rule("matrix a+c b+d", "blockdiag({0:a}, {1:a})", ("matrix a b", "matrix c d"), weight=2),
    Rule("matrix a+b a+b", "[{0:a}, {1:a}; {1:b}<T>, I]", ("matrix a a", "matrix a b"), weight=2),
    Rule("matrix a+1 a+1", "[{0:a}, {1:a}; {1:b}<T>, {2:a}]", ("matrix a a", "column a", "scalar"), weight=5),
    Rule("matrix a+c b", "[{0:a}; {1:a}]", ("matrix a b", "matrix c b"), weight=5),
    Rule("matrix a b+d", "[{0:a}, {1:a}]", ("matrix a b", "matrix a d"), weight=5),
    Rule("matrix a b+1", "[{0:a}, {1:a}]", ("matrix a b", "column a"), weight=5),
    Rule("matrix 2 b", "{0:b}[1:2, :]", ("matrix a b",), weight=5),
    Rule("matrix a b-1", "{0:b}[:, 2:[b]]", ("matrix a b",), weight=5),
    Rule("matrix a-1 b", "{0:b}[1:[a]-1, :]", ("matrix a b",), weight=5),
]

STRUCTURED = [
    Rule("sym a", "{0:s} + {0:b}<T>", ("matrix a a",), SUM, 3),
    Rule("sym a", "{0:b}<T><mul>{0:f}", ("matrix b a",), PRODUCT, 3),
    Rule("sym a", "{0:l}<mul>{0:b}<T>", ("matrix a b",), PRODUCT, 2),
    Rule("sym a", "{0:b}<T><mul>{1:f}<mul>{0:f}", ("matrix b a", "sym b"), PRODUCT, 2),
    Rule("sym a", "{0:s}<+>{1:t}", ("sym a", "sym a"), SUM, 1),
    Rule("sym a", "{0:l}<times>{1:f}", ("scalar", "sym a"), PRODUCT, 1),
    Rule("sym a", "{0:s}<+>{1:l} I", ("sym a", "scalar"), SUM, 1),
    Rule("sym a", "{0:b}<inv>", ("spd a",), POWER, 0.7, "definite"),
    Rule("sym a", "diag({0:a})", ("column a",), weight=0.7),
    Rule("sym a", "{0:l}<mul>{0:b}<T>", ("column a",), PRODUCT, 1),
    Rule("sym a", "{0:a}", ("spd a",), COMPARE, 2),
    Rule("spd a", "{0:b}<T><mul>{0:f} + I", ("matrix b a",), SUM, 5, "tame matrix"),
    Rule("spd a", "{0:l}<mul>{0:b}<T> + I", ("matrix a b",), SUM, 2, "tame matrix"),
    Rule("spd a", "I + {0:l}<mul>{0:b}<T>", ("column a",), SUM, 1.5, "norm"),
    Rule("spd a", "{0:s} + {1:l}<mul>{1:b}<T>", ("spd a", "column a"), SUM, 1.5),
    Rule("spd a", "{0:b}<inv>", ("spd a",), POWER, 0.5, "definite"),
    Rule("spd a", "diag({0:a})", ("column a",), weight=0.7, guard="positive"),
    Rule("spd a", "diag(exp({0:a}))", ("column a",), weight=0.5, guard="moderate"),
    Rule("inv a", "{0:s} + 2 I", ("matrix a a",), SUM, 1.5),
    Rule("inv a", "{0:s} + I", ("spd a",), SUM, 1),
    Rule("inv a", "{0:l}<mul>{1:f}", ("inv a", "inv a"), PRODUCT, 0.7),
    Rule("inv a", "{0:a}", ("spd a",), COMPARE, 3),
    Rule("inv a", "{0:a}", ("matrix a a",), COMPARE, 4),
]  # fmt: skip

RULES: tuple[Rule, ...] = (*ANY, *SCALAR, *COLUMN, *ROW, *MATRIX, *STRUCTURED)

ENTRY_FUNCTIONS: Sequence[tuple[str, int, float]] = (
    ("{0:b}^2", POWER, 6), ("{0:b}^3", POWER, 0.7), ("1 / (1 + {0:b}^2)", PRODUCT, 0.7),
    *((f"{name}({{0:a}})", POSTFIX, weight) for name, weight in (
        ("sin", 2), ("tanh", 2), ("sigmoid", 2), ("softplus", 1.5), ("exp", 1.5), ("cos", 1), ("atan", 0.5),
        ("relu", 0.5),
    )),
    ("log(1 + {0:b}^2)", POSTFIX, 1), ("exp(-{0:b}^2)", POSTFIX, 1), ("sqrt(1 + {0:b}^2)", POSTFIX, 1),
    ("log(1 + exp({0:a}))", POSTFIX, 1),
)  # fmt: skip
"""Functions for the entries under an index; all but ``relu`` are smooth on the whole line."""

ELEMENTWISE_BODIES: Sequence[str] = (
    "{0} / (1 + exp(-{0}))", "{0} .* tanh({0})", "log(1 + exp({0}))", "sin({0}) + cos(2 {0})", "exp(-{0} .* {0})",
    "1 / (1 + exp(-{0}))", "sqrt(1 + {0} .* {0})", "{0} - tanh({0})", "atan({0}) .* {0}", "2 {0} - 1",
    "square({0}) / 2", "softplus({0}) - log(2)", "where({0} > 0.05, {0}, 0.1 {0})", "1 - {0}",
)  # fmt: skip

ARRAY_FUNCTIONS: Sequence[tuple[tuple[str, ...], str, str, tuple[str, ...]]] = (
    (("u", "M"), "u^T M u", "scalar", ("column a", "matrix a a")),
    (("u", "v"), "<u, v> / (1 + ||u||^2)", "scalar", ("column a", "column a")),
    (("M",), "tr(M^T M)", "scalar", ("matrix a b",)),
    (("u",), "u .* u - 1", "column a", ("column a",)),
    (("M", "u"), "tanh(M u) + 1", "column a", ("matrix a b", "column b")),
    (("u", "c"), "c u + c^2", "column a", ("column a", "scalar")),
    (("M", "L"), "M L - L M", "matrix a a", ("matrix a a", "matrix a a")),
    (("u", "v"), "u v^T", "matrix a b", ("column a", "column b")),
    (("z",), "logsumexp(z) - mean(z)", "scalar", ("column a",)),
    (("s", "t"), "s^2 + s t + 1", "scalar", ("scalar", "scalar")),
)
"""Parameters, body, type of the value and types of the arguments of functions that a program may define."""
