"""Outer products are multiplied last: values stay, and large intermediate arrays become small ones."""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest
from node_eval import evaluate
from random_nodes import SIZES, VARIABLES, data, random_graph

import matcalc as mc
from matcalc.expr.build import add, einsum, elementwise, is_zero, product, variables
from matcalc.expr.dims import Dim
from matcalc.expr.nodes import Node, Product, Structure, Variable, postorder
from matcalc.lower.arrays import outer_product, outer_slices
from matcalc.lower.cost import cost
from matcalc.lower.function import compiled
from matcalc.lower.graph import lower
from matcalc.lower.order import Leaf, contraction_path
from matcalc.lower.outer import outer_last, with_network
from matcalc.lower.panels import Machine
from matcalc.lower.passes import optimize
from matcalc.lower.products import slice_entries
from matcalc.lower.program import Argument, Program
from matcalc.lower.workspace import aligned_empty
from tests.plain_text import assert_close

N = Dim.of("n")
X, Y, Z = (Variable(name, (N,)) for name in "xyz")
A, B = (Variable(name, (N, N)) for name in "AB")


def outer_graph(random: Random, steps: int) -> Node:
    """Outer products that are used again: in sums, in products and in other outer products."""
    pool: list[Node] = [*VARIABLES, Structure("delta", Dim.of("n")), Structure("delta", Dim.of("m"))]
    made: list[Node] = []
    for _ in range(steps):
        chance = random.random()
        if made and chance < 0.3:
            first = random.choice(made)
            alike = [node for node in (*made, *pool) if node.shape == first.shape]
            node = add([(random.choice((1, -1, Fraction(2, 3))), random.choice(alike)) for _ in range(3)], first.shape)
        elif made and chance < 0.4:
            node = elementwise("tanh", random.choice(made))
        else:
            node = contraction(random, pool, made)
        if is_zero(node) or not 1 <= node.order <= 4 or len(node.children) > 30:
            continue
        made.append(node)
    return made[-1] if made else pool[2]


def contraction(random: Random, pool: list[Node], made: list[Node]) -> Node:
    """A product whose factors mostly have no index in common."""
    factors: list[tuple[Node, int, tuple[int, ...]]] = []
    sizes: dict[int, Dim] = {}
    for _ in range(random.choice((2, 2, 3))):
        node = random.choice([*pool, *made, *made, *made])
        labels: list[int] = []
        for dim in node.shape:
            known = [label for label, size in sizes.items() if size == dim and label not in labels]
            if known and (random.random() < 0.35 or len(sizes) > 6):
                labels.append(random.choice(known))
            else:
                labels.append(len(sizes))
                sizes[len(sizes)] = dim
        exponent = 2 if random.random() < 0.1 and not isinstance(node, Structure) else 1
        factors.append((node, exponent, tuple(labels)))
    out = [label for label in sizes if random.random() < 0.7][:4]
    random.shuffle(out)
    return product(factors, out, sizes)


def program_of(node: Node) -> Program:
    return optimize(lower((node,), [Argument(given.name, given.shape) for given in variables(node)]))


def value_of(program: Program, node: Node, values: Any) -> Any:
    function = compiled(program, [node.shape], single=True, check=False)
    passed = {keyword: SIZES[name] for name, keyword in function.passed.items()}
    return function(**{argument.name: values[argument.name] for argument in program.arguments}, **passed)


@pytest.mark.parametrize("start", range(0, 800, 100))
def test_values_stay(start: int) -> None:
    """Random graphs, against the evaluator of nodes and against the program of the graph as it was."""
    changed = 0
    for seed in range(start, start + 100):
        random = Random(seed)
        node = outer_graph(random, random.choice((3, 5, 8, 12)))
        (new,) = outer_last(node)
        assert new.shape == node.shape
        if new == node:
            continue
        changed += 1
        values = data(random)
        assert_close([evaluate(new, values, SIZES)], [evaluate(node, values, SIZES)])
        assert_close([value_of(program_of(new), new, values)], [value_of(program_of(node), node, values)])
    assert changed > 10


def test_graphs_of_all_kinds_keep_their_values() -> None:
    changed = 0
    for seed in range(400):
        random = Random(seed)
        node = random_graph(random, random.choice((6, 10, 16)))
        (new,) = outer_last(node)
        if new == node:
            continue
        changed += 1
        values = data(random)
        known = evaluate(node, values, SIZES)
        if np.all(np.isfinite(known)):
            found = evaluate(new, values, SIZES)
            scale = max(1.0, float(np.max(np.abs(known), initial=0.0)))
            np.testing.assert_allclose(found, known, rtol=0, atol=1e-9 * scale)
    assert changed > 10


def flops(node: Node) -> int:
    program = program_of(node)
    return cost(program, {"n": 40}, scheduled=False).flops


SHARED = einsum("i,j->ij", X, Y)
EXAMPLES: tuple[tuple[str, Node, float], ...] = (
    # ((x y') A)' + x y' A x: the outer product is never formed for its product with A
    (
        "a product that sums",
        add([(1, einsum("ij,jk->ki", SHARED, A)), (1, einsum("ij,jk->ik", SHARED, B))], (N, N)), 0.1,
    ),
    ("a common part", add([(1, SHARED), (-2, einsum("i,j->ij", X, Z))], (N, N)), 0.6),
    ("an outer product of one", einsum("ij,jk,k,l->il", SHARED, SHARED, Z, Y), 0.6),
    (
        "a part in every term of an array of three axes",
        add([(1, einsum("i,jk->ijk", X, A)), (1, einsum("i,j,k->ijk", X, Y, Z))], (N, N, N)), 0.6,
    ),
)  # fmt: skip


@pytest.mark.parametrize(("name", "node", "share"), EXAMPLES, ids=[row[0] for row in EXAMPLES])
def test_flops_go_down(name: str, node: Node, share: float) -> None:
    (new,) = outer_last(node)
    assert flops(new) <= share * flops(node)


def test_what_is_formed_in_any_case_is_formed_once() -> None:
    """Where the entries of an outer product meet those of other matrices, it is made once and used twice."""
    first, second = (einsum("ij,ij->ij", SHARED, matrix) for matrix in (A, B))
    node = add([(1, elementwise("tanh", first)), (1, elementwise("sin", second))], (N, N))
    assert outer_last(node) == (node,)


def test_another_order_of_its_axes_is_no_second_product() -> None:
    node = add([(1, SHARED), (1, einsum("ij->ji", SHARED))], (N, N))
    (new,) = outer_last(node)
    assert flops(new) <= flops(node) <= 2 * 40**2


def test_a_network_is_found_under_other_names() -> None:
    known = einsum("ij,jk->ik", A, B)
    assert isinstance(known, Product)
    whole = einsum("j,ij,jl,lm->im", X, B, A, B)
    assert isinstance(whole, Product)
    found = with_network(whole, known)
    assert found == einsum("j,ij,jm->im", X, B, known)
    # an index inside that something else is on, or that is not summed, is no network of its own
    for text, operands in (("ij,j,jk->ik", (A, X, B)), ("ij,jk->ijk", (A, B)), ("ij,jk,kj->i", (A, B, A))):
        other = einsum(text, *operands)
        assert isinstance(other, Product)
        assert with_network(other, known) == other


def test_the_second_derivative_of_a_network_is_written_once() -> None:
    """Its Hessian by the first matrix is an outer product of small arrays: one pass over the result."""
    function = mc.hessian(
        "h = relu(W relu(U x)); z = V h; logsumexp(z) - t' z", "U",
        vars={"U": "matrix(n, n)", "W": "matrix(n, n)", "V": "matrix(n, n)", "x": "vector(n)", "t": "vector(n)"},
    )  # fmt: skip
    n = 40
    counted = function.cost({"n": n})
    assert counted.flops <= n**4 + 6 * n**3
    assert counted.bytes <= 1.2 * counted.compulsory_bytes


def test_deep_graphs_take_no_recursion() -> None:
    node = einsum("i,j->ij", X, Y)
    for _ in range(1500):
        node = add([(1, node), (1, einsum("ij,jk->ik", node, A))], (N, N), flatten=False)
    (new,) = outer_last(node)
    outer = [part for part in postorder(new) if part.shape == (N, N) and part != A]
    assert len(outer) == 1


def test_the_last_axes_are_multiplied_first() -> None:
    """``S_ac x_b x_d``: with S x first, the last step runs along two axes at once."""
    leaves = [Leaf(frozenset({0, 2})), Leaf(frozenset({1})), Leaf(frozenset({3}))]
    sizes = dict.fromkeys(range(4), 30)
    assert contraction_path(leaves, frozenset(range(4)), sizes) == [(0, 2), (1, 3)]
    # also behind many factors, of which pairs are taken greedily
    ring = [Leaf(frozenset({4 + place, 4 + (place + 1) % 9})) for place in range(9)]
    every = dict.fromkeys(range(13), 30)
    labels = [leaf.labels for leaf in (*leaves, *ring)]
    for left, right in contraction_path([*leaves, *ring], frozenset(range(4)), every):
        labels.append(labels[left] | labels[right])
    last = contraction_path([*leaves, *ring], frozenset(range(4)), every)[-1]
    assert {labels[operand] & {*range(4)} for operand in last} == {frozenset({1}), frozenset({0, 2, 3})}


SHAPES = ((3, 4, 5, 6), (2, 3, 4, 1, 5), (1, 7, 300), (5, 1, 9), (4, 3, 2))


@pytest.mark.parametrize("shape", SHAPES)
def test_slices_of_outer_products(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(5)
    for before in range(1, len(shape) - 1):
        for own in range(1, len(shape) - before):
            vector = rng.normal(size=(*shape[before : before + own], *(1,) * (len(shape) - before - own)))
            slices = rng.normal(size=(*shape[:before], *(1,) * own, *shape[before + own :]))
            slices.flat[0] = np.inf
            for out in (np.empty(shape), np.empty(shape[::-1]).T, np.empty((*shape, 2))[..., 0]):
                # calls run without warnings: BLAS multiplies infinity by the zeros behind the last row
                with np.errstate(invalid="ignore"):
                    outer_slices(vector, slices, out)
                np.testing.assert_array_equal(out, vector * slices)
            if all(length > 1 for length in vector.shape[:own]):
                assert slice_entries(vector.shape, slices.shape, shape) == np.prod(shape[before:])
    assert slice_entries(shape, shape, shape) == 0
    assert slice_entries(shape[1:], shape, shape) == 0


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 50_000), (700, 97), (2, 70_000)])
def test_panels_of_an_outer_product(rows: int, columns: int) -> None:
    rng = np.random.default_rng(11)
    column, row = rng.normal(size=(rows, 1)), rng.normal(size=(1, columns))
    for out in (np.empty((rows, columns)), np.empty((2 * rows, columns))[rows:]):
        outer_product(column, row, out)
        np.testing.assert_array_equal(out, column * row)


def test_long_outer_products_run_in_panels() -> None:
    """Several threads would not write them in less time."""
    function = mc.value_and_grad("a' X b", "X", vars={"a": "vector(m)", "b": "vector(n)", "X": "matrix(m, n)"})
    m, n = 900, 700
    rng = np.random.default_rng(2)
    a, b, X = rng.normal(size=m), rng.normal(size=n), rng.normal(size=(m, n))
    _, slope = function(a=a, b=b, X=X)
    np.testing.assert_array_equal(slope, np.outer(a, b))
    plans = [function.explain_plan({"m": m, "n": n}, Machine(threads=threads)) for threads in (1, 4)]
    assert ["outer_product(" in plan and "in_parts(" not in plan for plan in plans] == [True, True]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_slices_are_scheduled(dtype: Any) -> None:
    """A transposed tensor, whose rows are not in order in memory, and its outer product with a vector."""
    function = mc.parse(
        "einsum('ijk,l->ilkj', F, x)", vars={"F": "tensor(m, n, k)", "x": "vector(p)"}
    ).compile()  # fmt: skip
    rng = np.random.default_rng(3)
    F, x = rng.normal(size=(4, 60, 70)).astype(dtype), rng.normal(size=5).astype(dtype)
    sizes = {"m": 4, "n": 60, "k": 70, "p": 5}
    assert "outer_slices" in function.explain_plan(sizes)
    for _ in range(3):
        found = function(F=F, x=x)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, np.einsum("ijk,l->ilkj", F, x))


def test_large_results_begin_on_large_pages() -> None:
    for shape, alignment in (((5, 1 << 20), 1 << 21), ((7, 11), 64)):
        array = aligned_empty(shape, float)
        assert array.ctypes.data % alignment == 0
        assert array.shape == shape
        array[0, 0] = array[-1, -1] = 2.0
        assert array[0, 0] + array[-1, -1] == 4.0
