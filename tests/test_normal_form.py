"""The normal form: the same for every order of terms, factors and rules, and of the same value."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import random_nodes
import rule_nodes
from node_eval import evaluate

from matcalc.calculus.simplify import LARGEST_PRODUCT, flat_product, simplify
from matcalc.elaborate import elaborate
from matcalc.errors import DomainError
from matcalc.expr.build import (
    Operand,
    add,
    broadcast,
    delta,
    einsum,
    is_symmetric,
    number,
    ones,
    power,
    product,
    scale,
    swap_axes,
)
from matcalc.expr.dims import Dim
from matcalc.expr.nodes import Call, Factor, Map, Node, Product, Structure, Sum, Term, Variable, postorder
from matcalc.ops.apply import call, map_
from matcalc.ops.registry import OPERATIONS
from matcalc.syntax.parse import parse

ROOT = Path(__file__).resolve().parents[1]
SEEDS = range(300)
ORDERS = range(6)
n = Dim.of("n")
SYMMETRIC_MAPS = frozenset({"maximum", "minimum", "hypot", "eq", "ne"})

# --- nodes ---------------------------------------------------------------------------------------


def graph(seed: int) -> Node:
    """A random node, from one of two generators."""
    if seed % 3 == 0:
        return random_nodes.random_graph(Random(seed), 3 + seed % 9)
    return rule_nodes.random_node(Random(seed), 1 + seed % 6)


def values(seed: int) -> tuple[Mapping[str, Any], Mapping[str, int]]:
    """The point and the sizes that belong to `graph`."""
    module: Any = random_nodes if seed % 3 == 0 else rule_nodes
    return module.data(Random(seed)), module.SIZES


def rebuilt(root: Node, make: Callable[[Node, Sequence[Node]], Node]) -> Node:
    """The graph built again, every node from its new children."""
    done: dict[bytes, Node] = {}
    for node in postorder(root):
        done[node.digest] = make(node, [done[child.digest] for child in node.children])
    return done[root.digest]


def same(node: Node, children: Sequence[Node]) -> Node:
    """A new object with the same structure, of which nothing is known yet."""
    if isinstance(node, Product):
        factors = tuple(Factor(c, f.exponent, f.labels) for f, c in zip(node.factors, children, strict=True))
        return Product(factors, node.order, node.sizes)
    if isinstance(node, Sum):
        return Sum(tuple(Term(t.coefficient, c) for t, c in zip(node.terms, children, strict=True)), node.shape)
    if isinstance(node, Map):
        return Map(node.op, tuple(children), node.axes, node.shape)
    if isinstance(node, Call):
        return Call(node.op, tuple(children), node.shape, node.parameters, node.properties)
    return node


def fresh(root: Node) -> Node:
    """The same graph without what earlier passes noted on its nodes."""
    return rebuilt(root, same)


def shuffled(root: Node, random: Random) -> Node:
    """The same graph with terms, factors, labels and operands of symmetric maps in another order."""

    def make(node: Node, children: Sequence[Node]) -> Node:
        if isinstance(node, Product):
            places = random.sample(range(100), len(node.sizes))
            operands = [
                (child, factor.exponent, tuple(places[label] for label in factor.labels))
                for factor, child in zip(node.factors, children, strict=True)
            ]
            random.shuffle(operands)
            return product(operands, places[: node.order], dict(zip(places, node.sizes, strict=True)))
        if isinstance(node, Sum):
            terms = [(term.coefficient, child) for term, child in zip(node.terms, children, strict=True)]
            random.shuffle(terms)
            return add(terms, node.shape, flatten=False)
        if isinstance(node, Map) and node.op in SYMMETRIC_MAPS and random.random() < 0.5:
            return Map(node.op, tuple(children[::-1]), node.axes[::-1], node.shape)
        return same(node, children)

    return rebuilt(root, make)


def normal(root: Node) -> Node | None:
    """The normal form; None for a division by zero, which is refused."""
    try:
        return simplify(fresh(root))[0]
    except DomainError:
        return None


# --- properties ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_normal_form_has_the_same_value(seed: int) -> None:
    node = graph(seed)
    found = normal(node)
    if found is None:
        return
    point, sizes = values(seed)
    try:
        with np.errstate(all="ignore"):
            expected, got = evaluate(node, point, sizes), evaluate(found, point, sizes)
    except np.linalg.LinAlgError:
        pytest.skip("a singular matrix")
    # outside the domain, and where exponentials run out of digits, nothing can be compared
    if np.all(np.isfinite(expected)) and np.max(np.abs(expected), initial=0) < 1e8:
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_normal_form_is_its_own_normal_form(seed: int) -> None:
    found = normal(graph(seed))
    if found is None:
        return
    assert simplify(found)[0] is found
    assert normal(found) == found


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_terms_and_factors_does_not_matter(seed: int) -> None:
    node = graph(seed)
    assert normal(shuffled(node, Random(seed))) == normal(node)


@cache
def rules_in_order(seed: int) -> ModuleType:
    """A second instance of the module with its tables of rules in another order; the first one is left alone."""
    name = "matcalc.calculus.simplify"
    specification = importlib.util.find_spec(name)
    assert specification is not None
    assert specification.loader is not None
    module: Any = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    random = Random(seed)
    module.PRODUCT_RULES = tuple(random.sample(module.PRODUCT_RULES, len(module.PRODUCT_RULES)))
    for own, general in (("MAP_RULES", "ANY_MAP_RULES"), ("CALL_RULES", "ANY_CALL_RULES")):
        # the rules for one operation and those for all of its kind, in one shuffled list
        given, rest = getattr(module, own), getattr(module, general)
        table = {}
        for operation in OPERATIONS:
            together = (*given.get(operation, ()), *rest)
            table[operation] = tuple(random.sample(together, len(together)))
        setattr(module, own, table)
        setattr(module, general, ())
    return module  # type: ignore[no-any-return]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_the_rules_does_not_matter(seed: int) -> None:
    node = graph(seed)
    found = normal(node)
    for order in ORDERS if found is not None else ():
        assert rules_in_order(order).simplify(fresh(node))[0] == found


def test_the_orders_differ_and_the_tables_of_the_engine_stay() -> None:
    from matcalc.calculus.simplify import PRODUCT_RULES

    names = [tuple(rule.__name__ for rule in rules_in_order(order).PRODUCT_RULES) for order in ORDERS]
    assert len(set(names)) == len(ORDERS)
    assert {frozenset(order) for order in names} == {frozenset(rule.__name__ for rule in PRODUCT_RULES)}
    assert PRODUCT_RULES[0].__name__ == "cancel_inverse"


def test_the_products_that_are_symmetric_are_those_that_are_the_same_when_turned() -> None:
    found: dict[bool, int] = {True: 0, False: 0}
    for seed in SEEDS:
        root = graph(seed)
        matrices = [node for node in postorder(root) if node.order == 2]
        pairs = [(a, b) for a in matrices for b in matrices if a.shape == b.shape]
        products = [einsum("ij,kj->ik", *pair) for pair in pairs[:9]]
        vectors = [node for node in postorder(root) if node.order == 1]
        diagonals = [product([(delta(v.shape[0]), 1, (0, 1)), (v, 1, (0,))], (0, 1)) for v in vectors]
        for node in postorder(root, *products, *diagonals):
            if isinstance(node, Product) and node.order == 2 and node.shape[0] == node.shape[1]:
                turned = swap_axes(node) == node
                assert is_symmetric(node) == turned, (seed, node)
                found[turned] += 1
    assert min(found.values()) > 100, found


def test_a_matrix_is_symmetric_where_a_delta_ties_what_is_written_along_its_rows() -> None:
    v, w = Variable("v", (n,)), Variable("w", (n,))
    assert is_symmetric(product([(delta(n), 1, (0, 1)), (v, 1, (0,)), (w, 1, (1,))], (0, 1)))
    assert not is_symmetric(einsum("i,j->ij", v, w))


# --- rules, one by one ---------------------------------------------------------------------------

TYPES = {
    **dict.fromkeys(("x", "y"), "vector(n)"),
    **dict.fromkeys(("A", "B", "X", "Y"), "matrix(n, n)"),
    **dict.fromkeys(("a", "k"), "scalar"),
    "z": "vector(n) positive",
    "c": "scalar positive",
    "w": "vector(m)",
    "M": "matrix(m, n)",
    "S": "matrix(n, n) symmetric",
    "P": "matrix(n, n) spd",
    "Q": "matrix(n, n) orthogonal",
    "D": "matrix(n, n) diagonal",
}


def meaning(text: str) -> Node:
    return elaborate(parse(text, is_function=OPERATIONS.__contains__), TYPES).node


#: What the rules are for: the left side becomes the right side, which is in normal form.
RULES = [
    # inverses and orthogonal matrices
    ("A^-1 A x", "x"),
    ("A A^-1 x", "x"),
    ("A^-1 (A x)", "x"),
    ("A^-1 (2 (A x))", "2 x"),
    ("(x^T A^-1) (A y)", "x^T y"),
    ("x + (y + x)", "2 x + y"),
    ("x^T A^-1 A y", "x^T y"),
    ("x^T A^T A^-T y", "x^T y"),
    ("S^-1 S x", "x"),
    ("Q^T Q x", "x"),
    ("Q Q^T x", "x"),
    ("x^T Q^T Q y", "x^T y"),
    ("tr(Q^T Q)", "n"),
    ("sum(Q .* Q, axis=0)^T", "ones(n)"),
    ("sum(Q .* Q, axis=1)", "ones(n)"),
    ("inv(inv(A))", "A"),
    ("inv(2 A)", "1/2 A^-1"),
    ("inv(-A)", "-A^-1"),
    ("inv(a A)", "A^-1 / a"),
    ("inv(I(n))", "I(n)"),
    ("inv(Q)", "Q^T"),
    ("inv(A B)", "B^-1 A^-1"),
    ("inv(A^T B)", "B^-1 A^-T"),
    ("inv(A B^T X)", "X^-1 B^-T A^-1"),
    ("inv(A^T)", "A^-T"),
    ("inv(kron(A, B))", "kron(A^-1, B^-1)"),
    ("inv(kron(A^T, B))", "kron(A^-T, B^-1)"),
    ("inv(kron(A, B)^T)", "kron(A^-T, B^-T)"),
    ("x^T inv(2 a A) y", "1/2 (x^T A^-1 y) / a"),
    ("inv(a k A B)", "B^-1 A^-1 / (a k)"),
    ("matpow(A^T, k)", "matpow(A, k)^T"),
    ("tracepow(A^T, k)", "tracepow(A, k)"),
    # determinants and eigenvalues
    ("det(I(n))", "1"),
    ("logdet(I(n))", "0"),
    ("det(inv(A))", "1 / det(A)"),
    ("logdet(inv(A))", "-logdet(A)"),
    ("det(expm(A))", "exp(tr(A))"),
    ("logdet(expm(A))", "tr(A)"),
    ("det(A^T)", "det(A)"),
    ("logdet(A^T)", "logdet(A)"),
    ("log(det(P))", "logdet(P)"),
    ("prod(eigvals(S))", "det(S)"),
    ("expm(A^T)", "expm(A)^T"),
    ("logm(A^T)", "logm(A)^T"),
    ("sqrtm(A^T)", "sqrtm(A)^T"),
    ("adj(A^T)", "adj(A)^T"),
    ("pinv(M^T)", "pinv(M)^T"),
    ("nuclear(M^T)", "nuclear(M)"),
    ("spectral(M^T)", "spectral(M)"),
    # exponentials, logarithms and their relatives
    ("log(exp(x))", "x"),
    ("log(exp(-x))", "-x"),
    ("log(1 ./ exp(x))", "-x"),
    ("log(1 + exp(x))", "softplus(x)"),
    ("log(exp(-x) + 1)", "softplus(-x)"),
    ("log(sum(exp(x)))", "logsumexp(x)"),
    ("log(sum(exp(A), axis=1))", "logsumexp(A, axis=1)"),
    ("log(sum(exp(A), axis=0))", "logsumexp(A, axis=0)"),
    ("log(ones(n))", "zeros(n)"),
    ("exp(log(z))", "z"),
    ("exp(2 log(z))", "z.^2"),
    ("exp(-log(z))", "1 ./ z"),
    ("exp(zeros(n))", "ones(n)"),
    ("exp(x - logsumexp(x))", "softmax(x)"),
    ("exp(A - logsumexp(A, axis=1))", "softmax(A)"),
    ("exp(A - logsumexp(A, axis=0))", "softmax(A, axis=0)"),
    ("exp(x) / sum(exp(x))", "softmax(x)"),
    ("exp(A) ./ sum(exp(A), axis=1)", "softmax(A)"),
    ("exp(A) ./ sum(exp(A), axis=0)", "softmax(A, axis=0)"),
    ("exp(x) .* exp(-x)", "ones(n)"),
    ("exp(2 x) .* exp(-x)", "exp(x)"),
    ("exp(x) ./ exp(2 x)", "exp(-x)"),
    ("exp(x).^3 .* exp(2 x)", "exp(5 x)"),
    ("1 ./ (1 + exp(x))", "sigmoid(-x)"),
    ("1 ./ (1 + exp(-x))", "sigmoid(x)"),
    ("1 ./ (1 + exp(x)).^2", "sigmoid(-x).^2"),
    ("exp(x) ./ (1 + exp(x))", "sigmoid(x)"),
    ("exp(x) ./ (1 + exp(x)).^2", "sigmoid(x) .* sigmoid(-x)"),
    ("exp(x).^2 ./ (1 + exp(x))", "sigmoid(x) .* exp(x)"),
    ("1 ./ exp(-x) ./ (1 + exp(x))", "sigmoid(x)"),
    ("exp(x) .* sigmoid(-x)", "sigmoid(x)"),
    ("sigmoid(x) ./ exp(x)", "sigmoid(-x)"),
    ("sigmoid(-x) .* (1 - sigmoid(-x))", "sigmoid(x) .* (1 - sigmoid(x))"),
    ("sigmoid(-2 x) .* (1 - sigmoid(-2 x))", "sigmoid(2 x) .* (1 - sigmoid(2 x))"),
    # norms
    ("(x^T x)^(1/2)", "||x||"),
    ("1 / (x^T x)^(1/2)", "1 / ||x||"),
    ("(x^T x)^(3/2)", "||x||^3"),
    ("sum(A.^2)^(1/2)", "||A||_F"),
    ("normalize(x) ||x||", "x"),
    ("normalize(x) ||x||^3", "(x^T x) x"),
    ("normalize(x) (x^T x)", "||x|| x"),
    ("normalize(A) .* norm(A, axis=1)", "A"),
    ("sum(A.^2, axis=0).^(1/2)", "norm(A, axis=0)"),
    ("sum(A.^2, axis=1).^(1/2)", "norm(A, axis=1)"),
    ("sum(M.^2, axis=0).^(1/2)", "norm(M, axis=0)"),
    ("normalize(x).^2", "x.^2 / (x^T x)"),
    ("normalize(x) normalize(x)^T", "x x^T / (x^T x)"),
    ("||x|| (x^T x)", "||x||^3"),
    ("||x|| / (x^T x)", "1 / ||x||"),
    ("||-x||", "||x||"),
    ("||2 x||", "2 ||x||"),
    ("norminf(-3 x)", "3 norminf(x)"),
    ("nuclear(-2 A)", "2 nuclear(A)"),
    ("spectral(-2 A)", "2 spectral(A)"),
    ("||A^T||_F", "||A||_F"),
    ("normalize(3 x)", "normalize(x)"),
    ("normalize(-3 x)", "-normalize(x)"),
    # functions that know the sign of their operand
    ("abs(z)", "z"),
    ("abs(-2 x)", "2 abs(x)"),
    ("abs(-z)", "z"),
    ("relu(z)", "z"),
    ("relu(-z)", "zeros(n)"),
    ("relu(zeros(n))", "zeros(n)"),
    ("cos(-x)", "cos(x)"),
    ("cosh(-2 x)", "cosh(2 x)"),
    ("normpdf(-x)", "normpdf(x)"),
    ("sin(-x)", "-sin(x)"),
    ("tan(-x)", "-tan(x)"),
    ("tanh(-3 x)", "-tanh(3 x)"),
    ("sinh(-x)", "-sinh(x)"),
    ("asin(-x)", "-asin(x)"),
    ("atan(-x)", "-atan(x)"),
    ("asinh(-x)", "-asinh(x)"),
    ("atanh(-x)", "-atanh(x)"),
    ("erf(-x)", "-erf(x)"),
    ("cbrt(-x)", "-cbrt(x)"),
    ("sin(zeros(n))", "zeros(n)"),
    ("sign(3 x)", "sign(x)"),
    ("sign(-3 x)", "-sign(x)"),
    ("max(0, x)", "relu(x)"),
    ("max(x, 0)", "relu(x)"),
    ("max(y, x)", "max(x, y)"),
    ("min(y, x)", "min(x, y)"),
    ("min(1, x)", "min(x, 1)"),
    ("hypot(y, x)", "hypot(x, y)"),
    ("x^T (y == x)", "x^T (x == y)"),
    ("x^T (y != x)", "x^T (x != y)"),
    # masks, quotients and powers
    ("step(x).^2", "step(x)"),
    ("(x > y) .* (x > y)", "(x > y) .* 1"),
    ("abs(x).^2", "x.^2"),
    ("abs(x).^4", "x.^4"),
    ("sign(x) .* abs(x)", "x"),
    ("sign(x) .* abs(x).^3", "x.^3"),
    ("relu(x) .* step(x)", "relu(x)"),
    ("relu(x).^2 .* step(x)", "relu(x).^2"),
    ("sinh(x) ./ cosh(x)", "tanh(x)"),
    ("sin(x) ./ cos(x)", "tan(x)"),
    ("z.^a .* z", "z.^(a + 1)"),
    ("z.^a ./ z", "z.^(a - 1)"),
    # spectral forms
    ("eigvecs(S) diag(eigvals(S)) eigvecs(S)^T", "S"),
    ("eigvecs(S) diag(eigvals(S).^2) eigvecs(S)^T x", "S S x"),
    ("eigvecs(S) diag(eigvals(S).^3) eigvecs(S)^T x", "S S S x"),
    ("eigvecs(S) diag(eigvals(S).^5) eigvecs(S)^T x", "S S S S S x"),
    ("eigvecs(S) diag(1 ./ eigvals(S)) eigvecs(S)^T", "S^-1"),
    ("eigvecs(S) diag(1 ./ eigvals(S).^2) eigvecs(S)^T x", "S^-1 S^-1 x"),
    ("eigvecs(S) eigvecs(S)^T x", "x"),
    ("svd_u(A) diag(svdvals(A)) svd_v(A)^T", "A"),
    # functions of matrices that are only rearranged, repeated or constant
    ("exp(A^T)", "exp(A)^T"),
    ("tanh(diag(A))", "diag(tanh(A))"),
    ("exp(x ones(n)^T)", "exp(x) ones(n)^T"),
    ("tanh(-x ones(n)^T)", "-tanh(x) ones(n)^T"),
    ("exp(3 ones(n))", "exp(3) ones(n)"),
    ("max(x ones(n)^T, 1)", "max(x, 1) ones(n)^T"),
    ("max(-2 x ones(n)^T, 1)", "max(-2 x, 1) ones(n)^T"),
    ("max(1 ./ (z ones(n)^T), 1)", "max(1 ./ z, 1) ones(n)^T"),
    ("tanh(-2 ./ (x ones(n)^T))", "tanh(-2 ./ x) ones(n)^T"),
    ("hypot(x, zeros(n))", "hypot(x, 0)"),
    ("hypot(x, -2 ones(n))", "hypot(x, -2)"),
    ("softmax(-2 ones(m) x^T)", "ones(m) softmax(-2 x)^T"),
    ("softmax(ones(m) x^T)", "ones(m) softmax(x)^T"),
    # structure
    ("D .* I(n)", "diag(diag(D))"),
    ("e(2, n)^T (x + e(2, n))", "e(2, n)^T x + 1"),
]


@pytest.mark.parametrize(("left", "right"), RULES, ids=[left for left, _ in RULES])
def test_a_rule(left: str, right: str) -> None:
    (given,), (wanted,) = simplify(fresh(meaning(left))), simplify(fresh(meaning(right)))
    assert given == wanted


@pytest.mark.parametrize("name", "abcdefghij")
def test_a_softmax_whatever_the_order_of_its_terms(name: str) -> None:
    """The order of the terms of a sum follows from their structure, in which the name takes part."""
    x = Variable(name, (n,))
    node = map_("exp", add([(1, x), (-1, broadcast(call("logsumexp", x), (n,), ()))], (n,)))
    assert simplify(node) == (call("softmax", x),)


def test_the_larger_operand_comes_first() -> None:
    for text in ("max(sum(x), x)", "max(x, sum(x))"):
        (node,) = simplify(fresh(meaning(text)))
        assert isinstance(node, Map)
        assert [arg.order for arg in node.args] == [1, 0]


@pytest.mark.parametrize("exponent", [3, -2, Fraction(1, 2)])
def test_a_power_with_a_number_is_an_exponent(exponent: int | Fraction) -> None:
    z = rule_nodes.Z
    for given in (number(exponent), scale(exponent, ones(z.shape))):
        assert simplify(map_("pow", z, given)) == (power(z, exponent),)


# --- pairs that cancel, wherever they stand ------------------------------------------------------

Link = tuple[Node, bool]
A, B, C = (Variable(name, (n, n)) for name in "ABC")
S, P = Variable("S", (n, n), {"symmetric"}), Variable("P", (n, n), {"spd"})
Q, X, V = Variable("Q", (n, n), {"orthogonal"}), Variable("X", (Dim.of("m"), n)), Variable("V", (n, Dim.of("m")))
GRAM, MIXED = einsum("ki,kj->ij", X, X), einsum("ik,kj->ij", V, X)
T = Variable("T", (Dim.of("m"), Dim.of("m")), {"symmetric"})
WEIGHTED, BETWEEN = einsum("ki,kl,lj->ij", X, T, X), einsum("ik,kl,lj->ij", V, T, X)
#: Neighbours, each with whether it is transposed, and what stays of them.
PAIRS: dict[str, tuple[list[Link], list[Link]]] = {
    "A^-1 A": ([(call("inv", A), False), (A, False)], []),
    "A A^-1": ([(A, False), (call("inv", A), False)], []),
    "A^T A^-T": ([(A, True), (call("inv", A), True)], []),
    "S^-1 S": ([(call("inv", S), False), (S, False)], []),
    "S S^-1": ([(S, False), (call("inv", S), False)], []),
    "Q^T Q": ([(Q, True), (Q, False)], []),
    "Q Q^T": ([(Q, False), (Q, True)], []),
    "eigvecs(S) eigvecs(S)^T": ([(call("eigvecs", S), False), (call("eigvecs", S), True)], []),
    "sqrtm(A) sqrtm(A)": ([(call("sqrtm", A), False), (call("sqrtm", A), False)], [(A, False)]),
    "sqrtm(P) sqrtm(P)": ([(call("sqrtm", P), False), (call("sqrtm", P), False)], [(P, False)]),
    "chol(P) chol(P)^T": ([(call("chol", P), False), (call("chol", P), True)], [(P, False)]),
    "(X^T X)^-1 X^T X": ([(call("inv", GRAM), False), (X, True), (X, False)], []),
    "X^T X (X^T X)^-1": ([(X, True), (X, False), (call("inv", GRAM), False)], []),
    "(V X)^-1 V X": ([(call("inv", MIXED), False), (V, False), (X, False)], []),
    "V X (V X)^-1": ([(V, False), (X, False), (call("inv", MIXED), False)], []),
    "(X^T T X)^-1 X^T T X": ([(call("inv", WEIGHTED), False), (X, True), (T, False), (X, False)], []),
    "X^T T X (X^T T X)^-1": ([(X, True), (T, False), (X, False), (call("inv", WEIGHTED), False)], []),
    "(V T X)^-1 V T X": ([(call("inv", BETWEEN), False), (V, False), (T, False), (X, False)], []),
    "V T X (V T X)^-1": ([(V, False), (T, False), (X, False), (call("inv", BETWEEN), False)], []),
    "X^T V^T (V X)^-T": ([(X, True), (V, True), (call("inv", MIXED), True)], []),
}
ENDS: tuple[Node | None, ...] = (
    *(None, Variable("x", (n,)), Variable("y", (n,)), B, C),
    map_("exp", Variable("a", (n,))),
)


def in_contexts(links: Sequence[Link], left: Node | None) -> list[Node]:
    """A matrix product between a left end and all kinds of right ones, both ways round, and as a trace."""
    made: list[Node] = []
    for right in ENDS:
        labels = range(10, 11 + len(links))
        operands = _chain(links, labels)
        out = []
        for end, label, outer in ((left, labels[0], 1), (right, labels[-1], 2)):
            if end is None:
                out.append(label)
            elif end.order == 1:
                operands.append((end, 1, (label,)))
            else:
                operands.append((end, 1, (outer, label)))
                out.append(outer)
        if left is None and right is None:
            operands.append((delta(n), 1, (labels[0], 3)))
            out[0] = 3
        made += [product(operands, out), product(operands, out[::-1])]
    around = [*_chain(links, range(10, 11 + len(links))), (B, 1, (10 + len(links), 10))]
    return [*made, product(around, ())]


def _chain(links: Sequence[Link], labels: Sequence[int]) -> list[Operand]:
    return [
        (node, 1, (labels[k + 1], labels[k]) if flipped else (labels[k], labels[k + 1]))
        for k, (node, flipped) in enumerate(links)
    ]


@pytest.mark.parametrize("left", range(len(ENDS)))
@pytest.mark.parametrize("name", PAIRS)
def test_neighbours_cancel_in_every_context(name: str, left: int) -> None:
    given, kept = PAIRS[name]
    for before, after in zip(in_contexts(given, ENDS[left]), in_contexts(kept, ENDS[left]), strict=True):
        assert simplify(fresh(before)) == simplify(fresh(after))


# --- what is shared ------------------------------------------------------------------------------


def test_a_root_that_others_use_stays_one_node() -> None:
    x, y, z = (Variable(name, (n,)) for name in "xyz")
    residual = einsum("ij,j->i", A, x)
    uses = [einsum("i,i->", residual, y), einsum("i,i->", residual, z)]
    kept, *rest = simplify(residual, *uses)
    assert all(kept in node.children for node in rest)
    (alone,) = simplify(uses[0])
    assert residual not in alone.children


def test_a_selection_meets_each_piece_of_a_sum() -> None:
    """Of ``S^T u + v`` the selection S picks ``u + S v``, of ``e_1 + v`` it picks the first unit vector and S v."""
    m = Dim.of("m")
    pick = Structure("select", m, m * 2, Dim.of(0))
    u, v = Variable("u", (m,)), Variable("v", (m * 2,))
    laid = einsum("ir,i->r", pick, u)
    (found,) = simplify(einsum("ir,r->i", pick, add([(1, laid), (1, v)], v.shape)))
    (wanted,) = simplify(add([(1, u), (1, einsum("ir,r->i", pick, v))], u.shape))
    assert found == wanted


@pytest.mark.parametrize(("sizes", "merged"), [((7, 7, 7), True), ((10, 10, 10), False)])
def test_products_are_written_out_up_to_a_size(sizes: tuple[int, ...], merged: bool) -> None:
    parts = [
        product([(Variable(f"v{k}_{place}", (n,)), 1, (0,)) for place in range(size)], (0,))
        for k, size in enumerate(sizes)
    ]
    operands: list[Operand] = [(part, 1, (0,)) for part in parts]
    for node in (flat_product(operands, (0,), {0: n}), *simplify(product(operands, (0,)))):
        assert isinstance(node, Product)
        assert (len(node.factors) == sum(sizes)) == merged
        assert len(node.factors) <= LARGEST_PRODUCT


def test_what_was_shared_is_written_out_where_it_is_alone() -> None:
    x, y = Variable("x", (n,)), Variable("y", (n,))
    for coefficient in (1, -2):
        inner = einsum("ij,j->i", A, x)
        node = einsum("i,i->", scale(coefficient, inner), y)
        together, _ = simplify(node, inner)
        assert simplify(together) == simplify(fresh(node))
        assert simplify(together) != (together,)


# --- bytes ---------------------------------------------------------------------------------------

OUTPUT = """
import json
import sys
import matcalc as mc
from matcalc.errors import MatcalcError
sys.path[:0] = ["tests"]
from corpus_data import load_cases
from tests.random_programs import random_case
cases = [(case.name, case.text, case.vars, case.variables) for case in load_cases()]
for number in range(200):
    case = random_case(7, number)
    cases.append((case.name, case.text, case.types, case.wrt))
for name, text, types, wrt in cases[:: int(sys.argv[1])]:
    try:
        d = mc.derive(text, tuple(wrt), dict(types))
        print(name, d.formula, d.latex, d.unicode, d.source, json.dumps(d.to_dict()), sep="\\n")
    except MatcalcError as error:
        print(name, type(error).__name__, error)
"""


@pytest.mark.parametrize("every", [15, pytest.param(1, marks=pytest.mark.slow)])
def test_output_is_the_same_bytes_under_every_hash_seed(every: int) -> None:
    """The corpus and 200 random programs; without `-m slow`, one in fifteen of them."""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", OUTPUT, str(every)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "4242")
    ]
    assert outputs[0].count(b"\n{") > 400 / every
    assert outputs[0] == outputs[1]
