"""Generated code: the same numbers as entry-by-entry evaluation, the order an expert takes, and what calls refuse."""

from __future__ import annotations

import copy
import linecache
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from fractions import Fraction
from multiprocessing import get_context
from random import Random
from typing import Any

import node_eval
import numpy as np
import pytest
from random_nodes import SIZES, VARIABLES, data, random_graph

from matcalc.errors import DomainError, ShapeError, UnknownName, UsageError
from matcalc.expr.build import (
    add,
    broadcast,
    delta,
    divide,
    einsum,
    elementwise,
    hadamard,
    matmul,
    number,
    ones,
    power,
    product,
    scale,
    size,
    subtract,
    trace,
    transpose,
    variables,
    zeros,
)
from matcalc.expr.dims import Dim
from matcalc.expr.nodes import Call, Node, Structure, Variable
from matcalc.lower import lower_program, numpy_source
from matcalc.lower.function import ArgumentSpec, Compiled, compile_function
from matcalc.lower.graph import lower
from matcalc.lower.order import Leaf, contraction_path
from matcalc.lower.passes import inline_expressions, own_results
from matcalc.lower.program import Argument, Literal, Program, Statement, bind_sizes
from matcalc.lower.sharing import share_factorizations
from matcalc.lower.views import remove_dead_code

N, M, K = Dim.of("n"), Dim.of("m"), Dim.of("k")
A, B, C = Variable("A", (N, N)), Variable("B", (N, N)), Variable("C", (N, N))
X, W = Variable("X", (M, N)), Variable("W", (N, K))
x, y, z = Variable("x", (N,)), Variable("y", (M,)), Variable("z", (N,))
a, b = Variable("a", ()), Variable("b", ())
Q = Variable("Q", (N, N), {"spd"})
RESIDUAL = subtract(einsum("ij,j->i", X, x), y)


def inverse(node: Node) -> Node:
    properties = ("symmetric", "spd") if isinstance(node, Variable) and "spd" in node.properties else ()
    return Call("inv", (node,), node.shape, (), properties)


def body(*outputs: Node) -> str:
    """The displayed function after its first line."""
    text = numpy_source(outputs, variables(*outputs))
    lines = text[text.index("def f(") :].split("\n")[1:]
    return "\n".join(line.strip() for line in lines if line)


def run(node: Node, **values: Any) -> Any:
    return compile_function(node, variables(node))(**values)


def random_arrays(*nodes: Node, **sizes: int) -> dict[str, Any]:
    generator = np.random.default_rng(3)
    return {
        variable.name: generator.uniform(0.5, 1.5, tuple(dim.evaluate(sizes) for dim in variable.shape))
        for variable in variables(*nodes)
    }


def assert_equals_evaluation(node: Node, values: dict[str, Any], sizes: dict[str, int]) -> None:
    function = compile_function(node, variables(node))
    passed = {keyword: sizes[name] for name, keyword in function.passed.items()}
    found = np.asarray(function(**values, **passed))
    with np.errstate(all="ignore"):
        expected = np.asarray(node_eval.evaluate(node, values, sizes))
    assert found.shape == expected.shape
    finite = np.abs(expected[np.isfinite(expected)])
    scale_ = max(0.1, float(np.max(finite, initial=0)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * scale_)


# --- the same numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize("start", range(0, 1000, 100))
def test_random_graphs(start: int) -> None:
    for seed in range(start, start + 100):
        random = Random(seed)
        node = random_graph(random, random.choice((1, 2, 4, 8)))
        values = data(random)
        wanted = {variable.name: values[variable.name] for variable in variables(node)}
        assert_equals_evaluation(node, wanted, SIZES)


@pytest.mark.slow
def test_many_random_graphs() -> None:
    for seed in range(100_000, 120_000):
        random = Random(seed)
        node = random_graph(random, random.choice((1, 2, 4, 8, 12)))
        values = data(random)
        wanted = {variable.name: values[variable.name] for variable in variables(node)}
        assert_equals_evaluation(node, wanted, SIZES)


STRUCTURED = {
    "select": einsum("ij,jk->ik", Structure("select", Dim.of(2), N, Dim.of(1)), A),
    "select, padded": einsum("ij,ik->jk", Structure("select", Dim.of(2), N, Dim.of(1)), Variable("P", (Dim.of(2), M))),
    "select, nothing to pad": einsum("ij,k->jk", Structure("select", Dim.of(2), N, Dim.of(1)), y),
    "select itself": Structure("select", Dim.of(2), N, Dim.of(1)),
    "select twice": einsum(
        "ij,jk,kl->il",
        Structure("select", Dim.of(1), Dim.of(2), Dim.of(1)),
        Structure("select", Dim.of(2), N, Dim.of(1)),
        A,
    ),
    "unit": einsum("i,ij->j", Structure("unit", Dim.of(2), N), A),
    "unit, written": einsum("i,j->ij", Structure("unit", Dim.of(2), N), y),
    "unit, number": einsum("i,->i", Structure("unit", Dim.of(3), N), a),
    "unit, last": einsum("i,ij->j", Structure("unit", N, N), A),
    "vec": einsum("rij,ij->r", Structure("pair", M, N), X),
    "unvec": einsum("rij,r->ij", Structure("pair", M, N), Variable("w", (M * N,))),
    "vec of an outer product": einsum("rij,i,j->r", Structure("pair", M, N), y, x),
    "kron": einsum("rik,sjl,ij,kl->rs", Structure("pair", M, N), Structure("pair", N, N), X, A),
    "commutation": einsum("rij,sji->rs", Structure("pair", M, N), Structure("pair", N, M)),
    "pair itself": Structure("pair", M, N),
    "vech": einsum("rij,ij->r", Structure("halfpair", N), A),
    "unvech": einsum("rij,r->ij", Structure("halfpair", N), Variable("h", ((N * N + N) * Fraction(1, 2),))),
    "vech of a vector": einsum("rij,i->r", Structure("halfpair", N), x),
    "cumulative sum": einsum("ij,j->i", Structure("lower", N), x),
    "cumulative sum, backward": einsum("ij,ik->jk", Structure("lower", N), A),
    "lower part": hadamard(Structure("lower", N), A),
    "upper part": einsum("ij,ji->ji", Structure("lower", N), A),
    "cross": einsum("ijk,j,k->i", Structure("levicivita"), Variable("u", (Dim.of(3),)), Variable("v", (Dim.of(3),))),
    "cross, other place": einsum(
        "jki,j,k->i", Structure("levicivita"), Variable("u", (Dim.of(3),)), Variable("v", (Dim.of(3),))
    ),
    "cross, odd": einsum(
        "jik,j,k->i", Structure("levicivita"), Variable("u", (Dim.of(3),)), Variable("v", (Dim.of(3),))
    ),
    "levicivita": Structure("levicivita"),
    "range": hadamard(Structure("range", Dim.of(1), N), x),
    "size": divide(einsum("i->", x), size(N)),
    "identity": delta(N),
    "identity, scaled": scale(3, delta(N)),
    "diagonal matrix": einsum("i,ij->ij", x, delta(N)),
    "diagonal of a tensor": einsum("kl,ij->ikjl", A, delta(M)),
    "three axes tied": product([(x, 1, (0,)), (delta(N), 1, (0, 1)), (delta(N), 1, (0, 2))], (0, 1, 2)),
    "plus identity": add([(1, A), (-2, delta(N)), (1, einsum("i,ij->ij", x, delta(N)))], A.shape),
    "identity alone in a sum": add([(2, delta(N)), (1, einsum("i,ij->ij", x, delta(N)))], A.shape),
    "ones": ones((M, N)),
    "zeros": zeros((M, N)),
    "outer sum": add([(1, broadcast(x, (N, M), (0,))), (-1, broadcast(y, (N, M), (1,)))], (N, M)),
    "trace": trace(A),
    "diagonal": einsum("ii->i", A),
    "trace of four": einsum("ij,jk,kl,li->", A, B, C, A),
    "batched": einsum("bij,bjk->bik", Variable("T", (M, N, K)), Variable("U", (M, K, N))),
    "batched vector": einsum("bij,bj->bi", Variable("T", (M, N, K)), Variable("V", (M, K))),
    "batched, vector in front": einsum("bj,bij->bi", Variable("V", (M, K)), Variable("T", (M, N, K))),
    "two labels contracted": einsum("ijk,ijl->kl", Variable("T", (M, N, K)), Variable("T", (M, N, K))),
    "two labels free": einsum("ijk,kl->ijl", Variable("T", (M, N, K)), Variable("V", (K, M))),
    "rows against rows": einsum("ij,ij->i", X, Variable("Y", (M, N))),
    "powers": product([(x, Fraction(3, 2), (0,)), (z, -2, (0,)), (z, Fraction(-1, 2), (0,)), (x, 5, (0,))], (0,)),
    "quotient inside a sum": einsum("ij,j->i", X, power(x, -1)),
    "sum of quotients": product([(x, 1, (0,)), (z, -1, (0,))], ()),
    "mixed inverse": einsum("i,ij,jk,k->", x, inverse(A), inverse(B), z),
    "trace with inverse": einsum("ij,ji->", inverse(A), B),
    "inverse against a tensor": einsum("ij,jkl->ikl", inverse(A), Variable("T", (N, M, K))),
    "inverse and its diagonal": einsum("ii->i", inverse(A)),
    "inverse, transposed": einsum("ji,j->i", inverse(A), x),
    "inverse, definite": einsum("ij,j->i", inverse(Q), x),
}


@pytest.mark.parametrize("name", STRUCTURED)
def test_structures(name: str) -> None:
    node = STRUCTURED[name]
    sizes = {"n": 4, "m": 3, "k": 2}
    values = random_arrays(node, **sizes)
    for matrix in ("A", "B"):
        if matrix in values:
            values[matrix] += 5 * np.eye(4)
    if "Q" in values:
        values["Q"] = values["Q"] @ values["Q"].T + np.eye(4)
    assert_equals_evaluation(node, values, sizes)


def test_no_dense_constant_tensor_in_ordinary_products() -> None:
    dense = ("eye", "triangle", "shifted_eye", "pairs", "half_pairs", "unit", "levi_civita")
    for name in ("select", "select, padded", "unit", "vec", "unvec", "kron", "vech", "unvech", "cumulative sum",
                 "lower part", "cross", "diagonal matrix", "diagonal of a tensor", "plus identity"):  # fmt: skip
        node = STRUCTURED[name]
        operations = {statement.operation for statement in lower_program([node], variables(node)).statements}
        assert not operations & set(dense), name


# --- what an expert would write ------------------------------------------------------------------

WRITTEN = [
    (einsum("ij,jk,k->i", A, B, x), "return A @ (B @ x)"),
    (einsum("ik,k->i", matmul(A, matmul(B, C)), x), "return A @ (B @ (C @ x))"),
    (einsum("i,ij,j->", x, A, x), "return x @ (A @ x)"),
    (einsum("ij,i->j", X, y), "return X.T @ y"),
    (einsum("ij,ji->", A, B), "return np.vdot(A, B.T)"),
    (einsum("ij,ij->", X, X), "return np.vdot(X, X)"),
    (einsum("i,i->", x, x), "return x @ x"),
    (einsum("ii->", A), "return np.trace(A)"),
    (einsum("ij->", A), "return A.sum()"),
    (einsum("ij->i", X), "return X.sum(axis=1)"),
    (einsum("i,ij->ij", y, X), "return y[:, None] * X"),
    (einsum("i,j->ij", x, y), "return x[:, None] * y"),
    (divide(x, z), "return x / z"),
    (einsum("i,->i", x, power(a, -1)), "return x / a"),
    (power(x, 2), "return x * x"),
    (power(x, Fraction(1, 2)), "return np.sqrt(x)"),
    (power(x, Fraction(-1, 2)), "return 1.0 / np.sqrt(x)"),
    (power(x, Fraction(5, 2)), "return x ** 2.5"),
    (add([(1, x), (1, broadcast(number(1), (N,), ()))], (N,)), "return x + 1.0"),
    (add([(-1, x), (1, broadcast(number(1), (N,), ()))], (N,)), "return 1.0 - x"),
    (scale(Fraction(1, 3), x), "return x / 3.0"),
    (scale(Fraction(1, 2), x), "return 0.5 * x"),
    (scale(2, einsum("ij,i->j", X, RESIDUAL)), "return 2.0 * (X.T @ (X @ x - y))"),
    (einsum("ij,j->i", inverse(A), x), "return solve(A, x)"),
    (einsum("ij,jk,k->i", inverse(A), B, x), "return solve(A, B @ x)"),
    (einsum("ji,j->i", inverse(A), x), "return solve(A.T, x)"),
    (einsum("ij,j->i", inverse(Q), x), "return solve_spd(Q, x)"),
    (inverse(A), "return inverse(A)"),
    (STRUCTURED["select"], "return A[1:3]"),
    (STRUCTURED["unit"], "return A[1]"),
    (STRUCTURED["vec"], "return X.T.reshape(-1)"),
    (STRUCTURED["cumulative sum"], "return x.cumsum()"),
    (STRUCTURED["lower part"], "return np.tril(A)"),
    (add([(1, A), (1, delta(N))], A.shape), "return add_diagonal(A, 1.0)"),
]  # fmt: skip


@pytest.mark.parametrize(("node", "text"), WRITTEN, ids=[text for _, text in WRITTEN])
def test_written_as_by_hand(node: Node, text: str) -> None:
    lines = body(node).split("\n")
    assert [line for line in lines if ".shape[" not in line] == [text] or lines[-1] == f"{text}.copy()"


def test_a_gradient_and_its_value_share_what_they_can() -> None:
    value = einsum("i,i->", RESIDUAL, RESIDUAL)
    slope = scale(2, einsum("ij,i->j", X, RESIDUAL))
    opposite = scale(-2, einsum("ij,i->j", X, subtract(y, einsum("ij,j->i", X, x))))
    for gradient in (slope, opposite):
        assert body(value, gradient).split("\n") == [
            "t1 = X @ x - y", "t2 = t1 @ t1", "t3 = 2.0 * (X.T @ t1)", "return (t2, t3)",
        ]  # fmt: skip


def test_no_einsum_in_ordinary_products() -> None:
    for node in (*STRUCTURED.values(), *(node for node, _ in WRITTEN)):
        assert "einsum" not in numpy_source([node], variables(node))


def test_no_ones_in_sums() -> None:
    node = einsum("i,ij,j->", ones((M,)), X, x)
    assert body(node) in ("return X.sum(axis=0) @ x", "return x @ X.sum(axis=0)")


def test_scalars_multiply_the_smallest_operand() -> None:
    assert body(einsum(",i,j->ij", a, x, y)) in ("return (a * x)[:, None] * y", "return x[:, None] * (a * y)")


def test_factorization_is_shared() -> None:
    solution = einsum("ij,j->i", inverse(A), x)
    text = body(solution, einsum("ij,j->i", inverse(A), z))
    assert text.count("factorize(A)") == 1
    assert "inv" not in text
    definite = body(Call("logdet", (Q,), ()), einsum("ij,j->i", inverse(Q), x))
    assert definite.count("factorize_spd(Q)") == 1
    assert "slogdet" not in definite


def test_an_inverse_that_is_wanted_is_used_everywhere() -> None:
    text = body(inverse(A), einsum("ij,j->i", inverse(A), x))
    assert text.split("\n") == ["t1 = inverse(A)", "t2 = t1 @ x", "return (t1, t2)"]


def test_shared_factorizations_compute_the_same() -> None:
    generator = np.random.default_rng(5)
    general = generator.normal(size=(5, 5))
    definite = general @ general.T + np.eye(5)
    right = generator.normal(size=5)
    outputs = [
        Call("det", (A,), ()), Call("logdet", (A,), ()), inverse(A), einsum("ij,j->i", inverse(A), x),
        einsum("ji,j->i", inverse(A), x),
    ]  # fmt: skip
    results = compile_function(outputs, [A, x])(A=general, x=right)
    expected = (np.linalg.det(general), np.linalg.slogdet(general)[1], np.linalg.inv(general),
                np.linalg.solve(general, right), np.linalg.solve(general.T, right))  # fmt: skip
    for found, wanted in zip(results, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10)
    outputs = [Call("det", (Q,), ()), Call("logdet", (Q,), ()), inverse(Q), einsum("ij,j->i", inverse(Q), x)]
    results = compile_function(outputs, [Q, x])(Q=definite, x=right)
    expected_spd = (np.linalg.det(definite), np.linalg.slogdet(definite)[1], np.linalg.inv(definite),
                    np.linalg.solve(definite, right))  # fmt: skip
    for found, wanted in zip(results, expected_spd, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10)


# --- the order of products -----------------------------------------------------------------------


def leaves(*labels: str) -> list[Leaf]:
    return [Leaf(frozenset(map(ord, word))) for word in labels]


def lengths(**sizes: int) -> dict[int, int]:
    return {ord(name): length for name, length in sizes.items()}


def test_the_classic_chain() -> None:
    path = contraction_path(leaves("ab", "bc", "cd"), frozenset(map(ord, "ad")), lengths(a=1000, b=3000, c=500, d=6000))
    assert path == [(0, 1), (2, 3)]


def test_vectors_come_first() -> None:
    path = contraction_path(leaves("ij", "jk", "kl", "l"), frozenset({ord("i")}), lengths(i=90, j=90, k=90, l=90))
    assert path == [(2, 3), (1, 4), (0, 5)]


def test_sizes_decide() -> None:
    # (X W) V against X (W V)
    wide, narrow = Variable("U", (K, M)), Variable("V", (N, K))
    node = matmul(matmul(X, narrow), wide)
    small = numpy_source([node], variables(node), {"m": 1000, "n": 1000, "k": 2})
    large = numpy_source([node], variables(node), {"m": 2, "n": 1000, "k": 1000})
    assert "X @ V @ U" in small
    assert "X @ (V @ U)" in large
    tall = numpy_source([node], variables(node), {"m": 1000, "n": 2, "k": 900})
    assert "X @ (V @ U)" in tall


@pytest.mark.parametrize("count", [3, 8, 9, 40])
def test_every_path_contracts_everything(count: int) -> None:
    words = [chr(97 + k % 20) + chr(97 + (k + 1) % 20) for k in range(count)]
    path = contraction_path(leaves(*words), frozenset(), {ord(letter): 3 for word in words for letter in word})
    operands = set(range(count))
    for step, (left, right) in enumerate(path):
        operands -= {left, right}
        operands.add(count + step)
    assert operands == {2 * count - 2}


# --- passes --------------------------------------------------------------------------------------


def program(statements: Sequence[Statement], results: Sequence[int], arguments: int = 1) -> Program:
    given = tuple(Argument(f"x{k}", (N,)) for k in range(arguments))
    return Program(given, (), tuple(statements), tuple(results))


def test_dead_code_is_removed() -> None:
    found = remove_dead_code(
        program([Statement(1, "square", (0,), (), (N,)), Statement(2, "negate", (0,), (), (N,))], [2])
    )
    assert [statement.target for statement in found.statements] == [2]


def test_results_are_copied_once_they_would_alias() -> None:
    found = own_results(program([Statement(1, "transpose", (0,), (0,), (N,)), Statement(2, "negate", (0,), (), (N,))],
                                [0, 1, 2, 2]))  # fmt: skip
    copies = [statement.operands for statement in found.statements if statement.operation == "copy"]
    assert copies == [(0,), (1,), (2,)]
    assert len(set(found.results)) == 4


def test_nested_expressions_are_bounded() -> None:
    node: Node = x
    for _ in range(200):
        node = elementwise("sin", node)
    text = body(node)
    assert max(line.count("np.sin") for line in text.split("\n")) <= 6
    assert text.count("np.sin") == 200


def test_what_is_transposed_at_each_use_is_computed_once() -> None:
    inverse_of = Statement(1, "inverse", (0,), ("",), (N, N))
    turned = Statement(2, "transpose", (1,), (1, 0), (N, N))
    scaled = Statement(3, "multiply", (2, 0), (), (N, N))
    summed = Statement(4, "add", (2, 3), (), (N, N))
    found = inline_expressions(program([inverse_of, turned, scaled, summed], [4]))
    assert found.inlined == {2, 3}


def test_values_used_twice_are_named() -> None:
    statements = [
        Statement(1, "negate", (0,), (), (N,)),
        Statement(2, "multiply", (1, 1), (), (N,)),
        Statement(3, "sqrt", (2,), (), (N,)),
    ]
    assert inline_expressions(program(statements, [3])).inlined == frozenset({2})


def test_one_system_is_not_factorized() -> None:
    statements = [Statement(2, "solve", (0, 1), (), (N,))]
    given = program(statements, [2], arguments=2)
    assert share_factorizations(given) == given


def test_constants_are_folded() -> None:
    node = scale(2, scale(3, einsum("i,->i", x, number(5))))
    statements = lower([node], [Argument("x", (N,))]).statements
    assert [statement.operands for statement in statements] == [(Literal(30.0), 0)]


def test_long_sums_and_deep_networks() -> None:
    terms = [Variable(f"s{k}", (N,)) for k in range(10_000)]
    total = compile_function(add([(1, term) for term in terms], (N,)), terms)
    np.testing.assert_array_equal(total(**{term.name: np.ones(2) for term in terms}), [10_000, 10_000])
    assert max(len(line) for line in total.text.split("\n")[1:]) < 120
    weights = [Variable(f"W{k}", (N, N)) for k in range(1000)]
    layer: Node = x
    for weight in weights:
        layer = elementwise("tanh", einsum("ij,j->i", weight, layer))
    network = compile_function(layer, [x, *weights])
    result = network(x=np.ones(2), **{weight.name: np.eye(2) for weight in weights})
    assert 0 < result[0] < 0.1


# --- sizes ---------------------------------------------------------------------------------------


def test_sizes_are_found_in_compound_dimensions() -> None:
    longer = Variable("p", (N * 2 + 1,))
    half = Variable("h", ((N * N + N) * Fraction(1, 2),))
    node = scale(2, broadcast(einsum("i->", longer), (N,), ()))
    np.testing.assert_array_equal(run(node, p=np.ones(7)), [14.0, 14.0, 14.0])
    node = broadcast(einsum("i->", half), (N,), ())
    np.testing.assert_array_equal(run(node, h=np.ones(10)), [10.0] * 4)
    with pytest.raises(ShapeError, match="h has length 11, which is not"):
        run(node, h=np.ones(11))
    joined = Variable("q", (N + M,))
    node = einsum("i,j,k->ijk", x, joined, ones((M,)))
    assert run(node, x=np.ones(2), q=np.ones(5)).shape == (2, 5, 3)
    with pytest.raises(ShapeError, match="q"):
        run(node, x=np.ones(6), q=np.ones(5))


def test_a_size_that_no_array_has_is_passed() -> None:
    function = compile_function(delta(N), [])
    assert function(n=3).tolist() == np.eye(3).tolist()
    with pytest.raises(UsageError, match="missing argument: n"):
        function()
    with pytest.raises(UsageError, match="integer"):
        function(n=1.5)


def test_the_smaller_of_two_sizes() -> None:
    rank = Dim.of("min(m, n)")
    node = einsum("ij,k->k", X, Call("svdvals", (X,), (rank,)))
    assert run(node, X=np.ones((4, 3))).shape == (3,)
    assert run(broadcast(einsum("ij->", X), (rank,), ()), X=np.ones((2, 3))).tolist() == [6.0, 6.0]


def test_size_binding_prefers_plain_axes() -> None:
    found = bind_sizes(["n"], [Argument("p", (N + 1,)), Argument("x", (N,))])
    assert (found[0].argument, found[0].axis) == (1, 0)


@pytest.mark.parametrize(
    ("node", "shapes"),
    [
        (einsum("i,ij,j->", x, A, x), {"A": (0, 0), "x": (0,)}),
        (einsum("ij,i->j", X, RESIDUAL), {"X": (0, 3), "x": (3,), "y": (0,)}),
        (einsum("ij,i->j", X, RESIDUAL), {"X": (3, 0), "x": (0,), "y": (3,)}),
        (Call("det", (A,), ()), {"A": (0, 0)}),
        (Call("logdet", (A,), ()), {"A": (0, 0)}),
        (inverse(A), {"A": (0, 0)}),
        (einsum("ij,j->i", inverse(Q), x), {"Q": (0, 0), "x": (0,)}),
        (add([(1, Call("logdet", (Q,), ())), (1, trace(inverse(Q)))], ()), {"Q": (0, 0)}),
        (delta(N), {}),
    ],
    ids=repr,
)
def test_empty_arrays(node: Node, shapes: dict[str, tuple[int, ...]]) -> None:
    values = {name: np.ones(shape) for name, shape in shapes.items()}
    function = compile_function(node, variables(node))
    result = function(**values, **dict.fromkeys(function.passed.values(), 0))
    sizes = {"n": 0, "m": 0} if "X" not in shapes else dict(zip(("m", "n"), shapes["X"], strict=True))
    assert np.shape(result) == tuple(dim.evaluate(sizes) for dim in node.shape)
    assert np.all(np.isfinite(result))


def test_a_mean_of_nothing_is_refused() -> None:
    node = divide(einsum("i->", x), size(N))
    assert run(node, x=[1.0, 3.0]) == 2.0
    with pytest.raises(DomainError, match="divides by n, which is 0"):
        run(node, x=np.ones(0))


def test_entries_beyond_the_end_are_refused() -> None:
    with pytest.raises(ShapeError, match="entry 3 is taken where n = 2"):
        run(STRUCTURED["select"], A=np.eye(2))


# --- types and memory ----------------------------------------------------------------------------


def test_float32_stays_float32() -> None:
    for seed in range(300):
        random = Random(seed)
        node = random_graph(random, 6)
        values = data(random, np.float32)
        function = compile_function([node], variables(node))
        text, names = function.text, {argument.name: values[argument.name] for argument in function.arguments}
        if not names:
            continue
        passed = {keyword: SIZES[name] for name, keyword in function.passed.items()}
        (result,) = function(**names, **passed)
        assert result.dtype == np.float32
        raw = function._function(
            *(array if array.ndim else array[()] for array in names.values()),
            **{code: SIZES[name] for name, code in function.parameters.items()},
        )
        assert np.asarray(raw).dtype in (np.float32, np.int64) or isinstance(raw, float | int), text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((np.float32, np.float32), np.float32),
        ((np.float32, np.float64), np.float64),
        ((np.int64, np.float64), np.float64),
        ((np.int32, np.int8), np.float64),
        ((np.bool_, np.float64), np.float64),
        ((np.float16, np.float16), np.float32),
        (np.dtype(">f8").type and (np.dtype(">f8"), np.dtype(">f4")), np.float64),
    ],
    ids=str,
)
def test_working_type(given: tuple[Any, Any], expected: Any) -> None:
    function = compile_function([einsum("ij,j->i", A, x), einsum("i,i->", x, x)], [A, x])
    for result in function(A=np.eye(2, dtype=given[0]), x=np.ones(2, dtype=given[1])):
        assert result.dtype == expected
        assert result.dtype.isnative


def test_numbers_take_the_type_of_arrays() -> None:
    function = compile_function(einsum(",i->i", a, x), [a, x])
    assert function(a=2, x=np.ones(2, dtype=np.float32)).dtype == np.float32
    assert function(a=0.1, x=[1, 2]).dtype == np.float64
    assert type(compile_function(power(a, 2), [a])(a=3)) is np.float64


def test_results_never_alias() -> None:
    matrix, vector = np.arange(9.0).reshape(3, 3), np.ones(3)
    outputs = [A, A, transpose(A), einsum("ii->i", A), x, STRUCTURED["unit"], STRUCTURED["vec"].children[0], A]
    outputs = [node for node in outputs if not isinstance(node, Structure)]
    kept = matrix.copy(), vector.copy()
    results = compile_function(outputs, [A, X, x])(A=matrix, x=vector, X=np.ones((2, 3)))
    for position, result in enumerate(results):
        assert result.flags.writeable
        assert not np.shares_memory(result, matrix)
        assert not np.shares_memory(result, vector)
        for other in results[position + 1 :]:
            assert not np.shares_memory(result, other)
        result[...] = -1
    np.testing.assert_array_equal(matrix, kept[0])
    np.testing.assert_array_equal(vector, kept[1])


def test_random_graphs_leave_their_inputs_alone() -> None:
    for seed in range(200):
        random = Random(seed)
        node = random_graph(random, 4)
        values = data(random)
        frozen = {name: array.copy() for name, array in values.items()}
        for array in values.values():
            array.flags.writeable = False
        function = compile_function([node, node], VARIABLES)
        results = function(**values, **{keyword: SIZES[name] for name, keyword in function.passed.items()})
        assert not np.shares_memory(*results)
        for name, array in values.items():
            np.testing.assert_array_equal(array, frozen[name])
            assert not any(np.shares_memory(result, array) for result in results)


@pytest.mark.parametrize("layout", ["F", "strided", "reversed", "broadcast", "list", "subclass", "big-endian"])
def test_layouts(layout: str) -> None:
    matrix = np.random.default_rng(1).normal(size=(4, 4))
    given: Any = {
        "F": np.asfortranarray(matrix),
        "strided": np.repeat(np.repeat(matrix, 2, axis=0), 3, axis=1)[::2, ::3],
        "reversed": matrix[::-1, ::-1].copy()[::-1, ::-1],
        "broadcast": np.broadcast_to(matrix[:1], (4, 4)),
        "list": matrix.tolist(),
        "subclass": matrix.view(type("Sub", (np.ndarray,), {})),
        "big-endian": matrix.astype(">f8"),
    }[layout]
    function = compile_function(einsum("ij,jk,k->i", A, B, x), [A, B, x])
    plain = function(A=np.array(given, dtype=float), B=matrix, x=matrix[0])
    found = function(A=given, B=matrix, x=matrix[0])
    assert type(found) is np.ndarray
    np.testing.assert_allclose(found, plain, rtol=1e-14)


def test_nan_propagates_without_warnings() -> None:
    # warnings are errors in this test suite
    lost = np.full((2, 2), np.nan)
    assert np.isnan(run(elementwise("log", x), x=[-1.0, 1.0])[0])
    assert run(divide(a, b), a=1.0, b=0.0) == np.inf
    assert np.isnan(run(einsum("ij,j->i", inverse(A), x), A=lost, x=np.ones(2))).all()
    assert np.isnan(run(inverse(A), A=lost)).all()
    assert np.isnan(run(inverse(Q), Q=lost)).all()


# --- what is refused -----------------------------------------------------------------------------

QUADRATIC = compile_function(einsum("ij,j->i", X, x), [X, x])

REFUSED = [
    ({"X": np.ones((2, 5)), "x": np.ones(4)}, ShapeError, r"x has length 4 but X has 5 columns \(n\)"),
    ({"X": np.ones((2, 5)), "x": np.ones((5, 1))}, ShapeError, r"pass x.ravel\(\)"),
    ({"X": np.ones(5), "x": np.ones(5)}, ShapeError, r"X has shape \(5,\), but a matrix of shape \(m, n\)"),
    ({"X": np.ones((2, 5)), "x": 1.0}, ShapeError, "a vector of shape"),
    ({"X": np.ones((2, 5))}, UsageError, "missing argument: x"),
    ({"X": np.ones((2, 5)), "xx": np.ones(5)}, UnknownName, "did you mean x"),
    ({"X": np.ones((2, 5)) * 1j, "x": np.ones(5)}, DomainError, "X is complex128; matcalc is real"),
    ({"X": np.ones((2, 5)), "x": ["a"] * 5}, DomainError, "x is an array of type <U1"),
    ({"X": np.ones((2, 5)), "x": np.array([None] * 5)}, DomainError, "x is an array of type object"),
    ({"X": np.ones((2, 5)), "x": np.ma.masked_array(np.ones(5))}, DomainError, "x is a masked array"),
    ({"X": [[1, 2], [3]], "x": np.ones(2)}, ShapeError, "X is not a rectangular array"),
]


@pytest.mark.parametrize(("values", "kind", "message"), REFUSED, ids=[row[2] for row in REFUSED])
def test_refused(values: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        QUADRATIC(**values)


def test_compound_mismatch_says_where_the_size_is_from() -> None:
    longer = Variable("p", (N + 1,))
    function = compile_function([einsum("i->", x), einsum("i->", longer)], [x, longer])
    with pytest.raises(ShapeError, match=r"p has length 5 but n \+ 1 = 6 is expected \(n = 5 from x\)"):
        function(x=np.ones(5), p=np.ones(5))
    fixed = compile_function(einsum("i->", Variable("g", (Dim.of(784),))), [Variable("g", (Dim.of(784),))])
    with pytest.raises(ShapeError, match="g has length 3 but 784 is expected"):
        fixed(g=np.ones(3))


@pytest.mark.parametrize(
    ("properties", "good", "bad"),
    [
        ({"symmetric"}, [[1, 2], [2, 1]], [[1, 2], [3, 1]]),
        ({"spd"}, [[2, 1], [1, 2]], [[2, 1], [0, 2]]),
        ({"skew"}, [[0, 2], [-2, 0]], [[0, 2], [2, 0]]),
        ({"diagonal"}, [[1, 0], [0, 2]], [[1, 1], [0, 2]]),
        ({"lower"}, [[1, 0], [5, 2]], [[1, 1], [0, 2]]),
        ({"upper"}, [[1, 5], [0, 2]], [[1, 0], [1, 2]]),
        ({"positive"}, [[1, 5], [1, 2]], [[1, 0], [1, 2]]),
        ({"nonnegative"}, [[1, 5], [0, 2]], [[1, 0], [1, -2]]),
        ({"integer"}, [[1, 5], [0, 2]], [[1, 0], [1, 2.5]]),
    ],
    ids=str,
)
def test_declared_properties_are_checked(properties: set[str], good: Any, bad: Any) -> None:
    variable = Variable("G", (N, N), properties)
    function = compile_function(einsum("ij->", variable), [variable])
    assert function(G=good) == np.sum(good)
    with pytest.raises(DomainError, match=f"G was declared {min(properties)}"):
        function(G=bad)
    assert compile_function(einsum("ij->", variable), [variable], check=False)(G=bad) == np.sum(bad)


def test_singular_matrices_are_named() -> None:
    with pytest.raises(DomainError, match="singular"):
        run(inverse(A), A=np.ones((2, 2)))
    with pytest.raises(DomainError, match="singular"):
        run(einsum("ij,j->i", inverse(A), x), A=np.ones((2, 2)), x=np.ones(2))
    with pytest.raises(DomainError, match="positive definite"):
        run(einsum("ij,j->i", inverse(Q), x), Q=-np.eye(2), x=np.ones(2))
    function = compile_function([inverse(A), Call("det", (A,), ())], [A])
    with pytest.raises(DomainError, match="singular"):
        function(A=np.ones((2, 2)))


def test_an_unknown_variable_is_refused() -> None:
    with pytest.raises(UnknownName, match="the variable x is not among"):
        compile_function(einsum("i->", x), [A])


# --- names, text and copies ----------------------------------------------------------------------


def test_greek_is_accepted_by_letter_and_by_name() -> None:
    weight = Variable("lambda", ())
    function = compile_function(einsum(",i->i", weight, x), [weight, x])
    assert function(λ=2.0, x=[1.0]).tolist() == [2.0]
    assert function(**{"lambda": 2.0}, x=[1.0]).tolist() == [2.0]
    assert "def f(lambda_, x):" in function.source


def test_user_text_never_reaches_what_is_run() -> None:
    evil = Variable("__import__('os').system('true')", (Dim.of("exec('1')"),))
    function = compile_function([evil, broadcast(einsum("i->", evil), evil.shape, ())], [evil])
    for text in (function.text, function.source):
        assert "import" not in text.replace("import numpy as np", "")
        assert "exec" not in text
    assert function(**{evil.name: [1.0, 2.0]})[1].tolist() == [3.0, 3.0]


def test_names_that_clash_are_kept_apart() -> None:
    names = ["np", "t1", "n", "class", "float", "dtype", "solve", "a0", "x_é"]
    given = [Variable(name, (N,)) for name in names]
    function = compile_function([add([(1, node) for node in given], (N,)), delta(N)], given)
    namespace: dict[str, Any] = {}
    exec(function.source, namespace)
    total, identity = namespace["f"](*(np.full(3, 2.0**k) for k in range(len(names))))
    assert total.tolist() == [511.0] * 3
    assert identity.tolist() == np.eye(3).tolist()


def test_the_displayed_module_runs_alone() -> None:
    for seed in range(150):
        random = Random(seed)
        node = random_graph(random, 5)
        function = compile_function(node, VARIABLES)
        values = data(random)
        namespace: dict[str, Any] = {}
        with np.errstate(all="ignore"):
            exec(function.source, namespace)
            passed = {keyword: SIZES[name] for name, keyword in function.passed.items()}
            inside = {k: v for k, v in passed.items() if k in function.source.split("):")[0]}
            alone = namespace["f"](*values.values(), **inside)
        np.testing.assert_allclose(alone, function(**values, **passed), rtol=1e-12)


def test_source_is_found_by_tracebacks() -> None:
    function = compile_function(STRUCTURED["unit"], [A])
    with pytest.raises(TypeError) as caught:
        function._function(None)
    assert "a0[1]" in "".join(traceback.format_exception(caught.value))
    mark = function._function.__code__.co_filename
    assert mark in linecache.cache
    del function, caught
    assert mark not in linecache.cache


def test_text_is_the_same_under_any_hash_seed() -> None:
    code = (
        "import sys; sys.path[:0] = ['tests', '.']\n"
        "from random import Random\n"
        "from random_nodes import VARIABLES, random_graph\n"
        "from matcalc.lower import numpy_source\n"
        "for seed in range(60): print(numpy_source([random_graph(Random(seed))], VARIABLES))\n"
        "assert 'scipy' not in sys.modules"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(texts) == 1
    assert len(texts.pop()) > 1000


def test_source_needs_no_numpy() -> None:
    code = "import sys, matcalc.lower, matcalc.lower.source; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_copies_and_pickles() -> None:
    node = einsum("ij,j->i", inverse(Q), x)
    function = compile_function([node, STRUCTURED["plus identity"]], [Q, x, A])
    values = {"Q": 2 * np.eye(2), "x": np.ones(2), "A": np.ones((2, 2))}
    for other in (copy.copy(function), copy.deepcopy(function), pickle.loads(pickle.dumps(function))):
        assert isinstance(other, Compiled)
        assert other.source == function.source
        for found, expected in zip(other(**values), function(**values), strict=True):
            np.testing.assert_array_equal(found, expected)


def call_with_ones(function: Compiled) -> Any:
    return function(X=np.ones((2, 3)), x=np.ones(3))


def test_process_pool() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(call_with_ones, QUADRATIC).result(timeout=120).tolist() == [3.0, 3.0]


def test_threads() -> None:
    function = compile_function([einsum("ij,j->i", X, x), einsum("ij,ik->jk", X, X)], [X, x])
    generator = np.random.default_rng(2)
    cases = [(generator.normal(size=(rows, 3 + rows % 4)), rows) for rows in range(1, 9)]
    expected = {rows: (matrix @ matrix[0], matrix.T @ matrix) for matrix, rows in cases}
    barrier = threading.Barrier(8)

    def work(case: tuple[Any, int]) -> None:
        matrix, rows = case
        barrier.wait()
        for _ in range(200):
            for found, wanted in zip(function(X=matrix, x=matrix[0]), expected[rows], strict=True):
                np.testing.assert_allclose(found, wanted, rtol=1e-12)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, cases))


def test_arguments_may_be_plain_data() -> None:
    function = compile_function(einsum("i->", x), [ArgumentSpec("x", (N,))])
    assert function(x=[1, 2]) == 3
    assert function.shapes == {"x": (N,)}
