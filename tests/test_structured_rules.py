"""The rules that need facts: each row is true of samples, is applied, and asks for what it needs."""

from __future__ import annotations

import re
import warnings
from fractions import Fraction

import numpy as np
import pytest
from fact_samples import with_properties
from node_eval import evaluate

from matcalc.calculus.simplify import simplify
from matcalc.calculus.structured import (
    BY_OPERATION,
    RULES,
    StructuredRule,
    logarithm_of_cholesky_diagonal,
    root_pair,
)
from matcalc.elaborate import elaborate
from matcalc.expr.build import einsum, scale
from matcalc.expr.dims import Dim
from matcalc.expr.nodes import Factor, Node, Product, Variable
from matcalc.ops.apply import call, map_
from matcalc.ops.registry import OPERATIONS
from matcalc.syntax.parse import parse

SIZES = {"n": 4, "m": 5}
ROWS = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


def value(node: Node, values: dict[str, np.ndarray]) -> np.ndarray:
    with warnings.catch_warnings(), np.errstate(divide="ignore"):
        # SciPy estimates the error of a logarithm; entries off a diagonal are computed and not used
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(evaluate(node, values, SIZES))


def read(text: str, where: dict[str, str]) -> Node:
    used = {name: kind for name, kind in where.items() if re.search(rf"\b{name}\b", text)}
    program = parse(text, is_function=OPERATIONS.__contains__)
    return elaborate(program, used).node


def both(rule: StructuredRule, where: dict[str, str]) -> tuple[Node, Node]:
    """The two sides; a size named on the right is one of the left."""
    before = read(rule.before, where)
    if rule.after == "n":
        return before, read("sum(ones(n))", {})
    return before, read(rule.after, where)


def sampled(where: dict[str, str], seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    values = {}
    for name, kind in where.items():
        sizes = re.search(r"\((.*)\)", kind)
        shape = tuple(SIZES[size.strip()] for size in sizes.group(1).split(",")) if sizes else ()
        words = kind.rpartition(")")[2].split() if sizes else kind.split()[1:]
        values[name] = np.asarray(with_properties(words, shape, generator))
    return values


@ROWS
def test_the_sides_of_a_row_are_equal_at_samples(rule: StructuredRule) -> None:
    before, after = both(rule, dict(rule.where))
    for seed in range(6):
        values = sampled(dict(rule.where), seed)
        want = value(before, values)
        np.testing.assert_allclose(value(after, values), want, rtol=1e-8, atol=1e-9)


@ROWS
def test_the_row_is_applied(rule: StructuredRule) -> None:
    before, after = both(rule, dict(rule.where))
    assert simplify(before) == simplify(after)
    for operation in rule.operations:
        assert rule.apply in BY_OPERATION[operation]


NEEDED = [
    rule
    for rule in RULES
    if any(len(kind.rpartition(")")[2].split()) > 0 for kind in rule.where.values())
    and rule.name
    not in (
        # true of every matrix for which the left side is defined
        "weighted projector",
        "inverse of a diagonal matrix",
        "sign of a negative number",
        "diagonal of a triangle",
        "square of a root",
        "logarithm of a square",
        "exponential of a matrix logarithm",
        "logarithm of an exponential",
    )
]


@pytest.mark.parametrize("rule", NEEDED, ids=lambda rule: rule.name)
def test_without_what_it_needs_the_row_is_not_applied(rule: StructuredRule) -> None:
    """The declarations are stripped of their properties: the left side stays as it is."""
    plain = {name: re.sub(r"(\)|scalar).*", r"\1", kind) for name, kind in rule.where.items()}
    before, after = both(rule, plain)
    assert simplify(before) != simplify(after)


def test_names_of_rows_are_distinct() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


FURTHER = [
    ("A^T K A", {"A": "matrix(n, m)", "K": "matrix(n, n) skew"}, None),
    ("x^T A^T K A x", {"A": "matrix(n, m)", "K": "matrix(n, n) skew", "x": "vector(m)"}, "0"),
    ("tr(K K K)", {"K": "matrix(n, n) skew"}, "0"),
    ("x^T K y + y^T K x", {"K": "matrix(n, n) skew", "x": "vector(n)", "y": "vector(n)"}, None),
    ("logdet(Q^T H Q)", {"Q": "matrix(n, n) orthogonal", "H": "matrix(n, n) spd"}, "logdet(H)"),
    ("logdet(chol(H))", {"H": "matrix(n, n) spd"}, "sum(log(diag(chol(H))))"),
    ("norm(Q x)", {"Q": "matrix(n, n) orthogonal", "x": "vector(n)"}, "norm(x)"),
    ("norm(Q X)", {"Q": "matrix(n, n) orthogonal", "X": "matrix(n, m)"}, "norm(X)"),
    ("norm(Q X, axis=1)", {"Q": "matrix(n, n) orthogonal", "X": "matrix(n, m)"}, None),
    ("spectral(X Q)", {"Q": "matrix(n, n) orthogonal", "X": "matrix(m, n)"}, "spectral(X)"),
    ("det(Q)^3", {"Q": "matrix(n, n) orthogonal"}, "det(Q)"),
    ("sum(diag(v)^-1)", {"v": "vector(n)"}, "sum(1 ./ v)"),
    ("log(c^2 d^2)", {"c": "scalar", "d": "scalar"}, None),
    ("X (X^T X)^-1 X^T X (X^T X)^-1 X^T", {"X": "matrix(m, n)"}, "X (X^T X)^-1 X^T"),
    ("X (Y^T X)^-1 Y^T X", {"X": "matrix(m, n)", "Y": "matrix(m, n)"}, "X"),
    ("X (X^T Y)^-1 Y^T X", {"X": "matrix(m, n)", "Y": "matrix(m, n)"}, None),
    ("X (X^T X)^-1 X X^T", {"X": "matrix(n, n)"}, None),
    ("abs(max(-x))", {"x": "vector(n) positive"}, "-max(-x)"),
    ("max(-c, d)", {"c": "scalar positive", "d": "scalar positive"}, "d"),
    ("max(c, -d)", {"c": "scalar positive", "d": "scalar positive"}, "c"),
    ("min(-c, d)", {"c": "scalar positive", "d": "scalar positive"}, "-c"),
    ("min(c, -d)", {"c": "scalar positive", "d": "scalar positive"}, "-d"),
    ("min(x, -c)", {"x": "vector(n) positive", "c": "scalar positive"}, "-c ones(n)"),
    ("log(2 c exp(t))", {"c": "scalar positive", "t": "scalar"}, "t + log(2 c)"),
    ("det(Q S)", {"Q": "matrix(n, n) orthogonal", "S": "matrix(n, n)"}, "det(Q) det(S)"),
    ("t sum(log(diag(chol(H))))", {"H": "matrix(n, n) spd", "t": "scalar"}, "1/2 t logdet(H)"),
    ("step(-c)", {"c": "scalar positive"}, "0"),
    ("sum(x < 0)", {"x": "vector(n) positive"}, "0"),
    ("sum(x >= 0)", {"x": "vector(n) positive"}, "sum(ones(n))"),
    ("sum(x <= 0)", {"x": "vector(n) positive"}, "0"),
    ("sum(x == 0)", {"x": "vector(n) positive"}, "0"),
    ("sum(x != 0)", {"x": "vector(n) positive"}, "sum(ones(n))"),
    ("sum(-x < 0)", {"x": "vector(n) positive"}, "sum(ones(n))"),
    ("sum(-x <= 0)", {"x": "vector(n) positive"}, "sum(ones(n))"),
    ("sum(-x > 0)", {"x": "vector(n) positive"}, "0"),
    ("sum(-x >= 0)", {"x": "vector(n) positive"}, "0"),
    ("sum(-x != 0)", {"x": "vector(n) positive"}, "sum(ones(n))"),
    ("det(Q S)", {"Q": "matrix(n, n) lower", "S": "matrix(n, n)"}, "det(Q) det(S)"),
    ("chol(H)^T chol(H)", {"H": "matrix(n, n) spd"}, None),
]


def test_a_log_determinant_beside_other_factors() -> None:
    dim = Dim.of("n")
    H, x = Variable("H", (dim, dim), {"spd"}), Variable("x", (dim,))
    node = einsum("j,ii->j", x, map_("log", call("chol", H)))
    assert simplify(node) == simplify(einsum("j,->j", x, scale(Fraction(1, 2), call("logdet", H))))


@pytest.mark.parametrize(("text", "where", "expected"), FURTHER, ids=[row[0] for row in FURTHER])
def test_further_expressions(text: str, where: dict[str, str], expected: str | None) -> None:
    """What is to be simplified is, and what looks like it keeps its value."""
    node = read(text, where)
    (simple,) = simplify(node)
    for seed in range(4):
        values = sampled(where, seed)
        want = value(node, values)
        np.testing.assert_allclose(value(simple, values), want, rtol=1e-7, atol=1e-9)
    if expected is not None:
        wanted = read(expected, where) if expected != "0" else None
        assert simple == (simplify(wanted)[0] if wanted is not None else simplify(read("0", {}))[0])


DIM = Dim.of("n")


def pair(matrix: Node, first: tuple[int, int], second: tuple[int, int]) -> Product:
    """Two factors over the output labels 0 and 1 and the summed label 2, with the labels as they are given."""
    return Product((Factor(matrix, 1, first), Factor(matrix, 1, second)), 2, (DIM, DIM, DIM))


SIDES = [((0, 2), (2, 1)), ((2, 0), (1, 2)), ((0, 2), (1, 2)), ((2, 0), (2, 1))]


@pytest.mark.parametrize(("first", "second"), SIDES)
def test_roots_meet_on_every_side_where_the_matrix_is_symmetric(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    root = call("sqrtm", Variable("H", (DIM, DIM), ("spd",)))
    node = pair(root, first, second)
    found = root_pair(node)
    assert found is not None
    values = sampled({"H": "matrix(n, n) spd"}, 0)
    np.testing.assert_allclose(value(found, values), value(node, values), rtol=1e-9)
    assert simplify(found) == simplify(Variable("H", (DIM, DIM), ("spd",)))


@pytest.mark.parametrize(("first", "second"), SIDES)
def test_roots_of_other_matrices_meet_head_to_tail(first: tuple[int, int], second: tuple[int, int]) -> None:
    node = pair(call("sqrtm", Variable("X", (DIM, DIM))), first, second)
    found = root_pair(node)
    assert (found is not None) == (first.index(2) != second.index(2))
    if found is not None:
        values = sampled({"X": "matrix(n, n) spd"}, 1)
        np.testing.assert_allclose(value(found, values), value(node, values), rtol=1e-9)


def test_a_log_determinant_keeps_the_factors_beside_it() -> None:
    spd = Variable("H", (DIM, DIM), ("spd",))
    logs = map_("log", call("chol", spd))
    node = Product((Factor(Variable("x", (DIM,)), 1, (0,)), Factor(logs, 1, (1, 1))), 1, (DIM, DIM))
    found = logarithm_of_cholesky_diagonal(node)
    assert found is not None
    values = sampled({"H": "matrix(n, n) spd", "x": "vector(n)"}, 2)
    np.testing.assert_allclose(value(found, values), 0.5 * np.linalg.slogdet(values["H"])[1] * values["x"], rtol=1e-9)
