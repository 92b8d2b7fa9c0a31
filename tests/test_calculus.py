"""The engine on random graphs: derivatives in both modes, normal form, presentation and the way back."""

from __future__ import annotations

from random import Random
from typing import Literal

import numpy as np
import pytest
from node_eval import evaluate
from random_nodes import SIZES, VARIABLES, data, random_graph

from matcalc.calculus.derive import derivative, derivatives, pullback, pushforward
from matcalc.calculus.formula import differentiate, formula
from matcalc.calculus.present import present
from matcalc.calculus.simplify import PRODUCT_RULES, simplify
from matcalc.elaborate import elaborate
from matcalc.errors import NotDifferentiable, Unsupported
from matcalc.expr.build import (
    add,
    einsum,
    elementwise,
    number,
    power,
    product,
    scale,
    subtract,
    swap_axes,
    variables,
    zeros,
)
from matcalc.expr.dims import Dim
from matcalc.expr.nodes import Map, Node, Product, Structure, Sum, Variable, postorder
from matcalc.notation.matrices import to_ast, to_program
from matcalc.notation.text import to_text
from matcalc.ops.apply import call, map_
from matcalc.ops.registry import OPERATIONS
from matcalc.syntax.parse import parse

N, M = Dim.of("n"), Dim.of("m")
A, B = Variable("A", (N, N)), Variable("B", (N, N))
X = Variable("X", (M, N))
x, y = Variable("x", (N,)), Variable("y", (N,))
b, w = Variable("b", (M,)), Variable("w", (N,))
S = Variable("S", (N, N), {"symmetric"})
SEEDS = range(120)


def close(got: object, want: object, tolerance: float = 1e-9) -> bool:
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    if not (np.all(np.isfinite(got)) and np.all(np.isfinite(want))):
        return True  # a point outside the domain tells nothing
    return bool(np.max(np.abs(got - want), initial=0.0) <= tolerance * max(1.0, np.max(np.abs(want), initial=0.0)))


def text(node: Node, order: str = "AXWBSYCxywb") -> str:
    return to_text(to_ast(node, list(order)))


def graph(seed: int) -> tuple[Node, dict[str, np.ndarray]]:
    random = Random(seed)
    node = random_graph(random, 6)
    return node, data(random)


def some_variable(node: Node, seed: int) -> Variable | None:
    found = [variable for variable in variables(node) if variable.order <= 2]
    return Random(seed).choice(found) if found else None


@pytest.mark.parametrize("seed", SEEDS)
def test_the_normal_form_keeps_the_value_and_is_idempotent(seed: int) -> None:
    node, values = graph(seed)
    (normal,) = simplify(node)
    with np.errstate(all="ignore"):
        assert close(evaluate(normal, values, SIZES), evaluate(node, values, SIZES))
    assert simplify(normal) == (normal,)


@pytest.mark.parametrize("seed", SEEDS)
def test_presentation_keeps_the_value(seed: int) -> None:
    node, values = graph(seed)
    with np.errstate(all="ignore"):
        assert close(evaluate(present(node), values, SIZES), evaluate(node, values, SIZES))


@pytest.mark.parametrize("seed", SEEDS)
def test_forward_and_reverse_mode_agree(seed: int) -> None:
    node, values = graph(seed)
    wrt = some_variable(node, seed)
    if wrt is None or node.order + wrt.order > 4:
        return
    forward, reverse = derivative(node, wrt, "forward"), derivative(node, wrt, "reverse")
    with np.errstate(all="ignore"):
        assert close(evaluate(forward, values, SIZES), evaluate(reverse, values, SIZES))


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_written_reads_back(seed: int) -> None:
    node, values = graph(seed)
    if node.order > 2:
        return
    try:
        tree = to_program(present(node), [variable.name for variable in VARIABLES])
    except Unsupported:
        pytest.skip("a call on stacked matrices")
    kinds = {0: "scalar", 1: "vector", 2: "matrix"}
    declared = {
        v.name: " ".join([kinds[v.order] + (f"({', '.join(map(str, v.shape))})" if v.order else ""), *v.properties])
        for v in VARIABLES
        if v.order <= 2
    }
    declared |= {v.name: f"tensor({', '.join(map(str, v.shape))})" for v in VARIABLES if v.order > 2}
    again = elaborate(parse(to_text(tree), is_function=OPERATIONS.__contains__), declared, shape=node.shape)
    with np.errstate(all="ignore"):
        assert close(evaluate(again.node, values, SIZES), evaluate(node, values, SIZES))


def test_equal_networks_are_one_node_whatever_the_labels_and_the_order() -> None:
    random = Random(5)
    for _ in range(50):
        matrices = [random.choice([A, B, S]) for _ in range(random.randint(2, 5))]
        ring = [(matrix, 1, (k, (k + 1) % len(matrices))) for k, matrix in enumerate(matrices)]
        one = product(ring, ())
        places = random.sample(range(100, 200), len(matrices))
        shuffled = [(node, e, (places[i], places[j])) for node, e, (i, j) in random.sample(ring, len(ring))]
        assert product(shuffled, ()) == one


def test_the_notation_has_no_rules_for_its_identities() -> None:
    assert einsum("i,ij,j->", x, A, y) == einsum("j,ij,i->", y, A, x)
    assert einsum("i,i->", x, x) == product([(x, 2, (0,))], ())
    assert einsum("ij,ji->", A, B) == einsum("ji,ij->", A, B)
    assert einsum("i,ij,j->", x, S, y) == einsum("i,ij,j->", y, S, x)
    assert einsum("ij,jk->ik", A, Structure("delta", N)) == A
    assert einsum("ij,ij->", Structure("delta", N), Structure("delta", N)) == Structure("size", N)
    assert power(power(x, 2), 1) == power(x, 2)


def test_a_summed_label_that_only_one_factor_carries_broadcasts_in_the_pullback() -> None:
    row_sums = einsum("ij->i", X)
    slope = derivative(row_sums, X)
    assert [str(dim) for dim in slope.shape] == ["m", "m", "n"]
    values = {"X": np.zeros((2, 3))}
    expected = np.einsum("ij,k->ijk", np.eye(2), np.ones(3))
    assert close(evaluate(slope, values, {"m": 2, "n": 3}), expected)


def test_the_square_root_of_a_square_is_the_absolute_value() -> None:
    assert power(power(x, 2), power_half()) == elementwise("abs", x)


def power_half() -> object:
    from fractions import Fraction

    return Fraction(1, 2)


def test_directional_derivatives_meet_in_the_dot_test() -> None:
    value = map_("tanh", add([(1, einsum("ij,j->i", X, w)), (1, b)], (M,)))
    direction, weight = Variable("v", (N,)), Variable("u", (M,))
    forward = pushforward(value, {w: direction})
    (backward,) = pullback(value, [w], weight)
    generator = np.random.default_rng(0)
    values = {
        v.name: generator.normal(size=[{"n": 4, "m": 3}[str(d)] for d in v.shape]) for v in (X, w, b, direction, weight)
    }
    left = values["u"] @ evaluate(forward, values)
    right = values["v"] @ evaluate(backward, values)
    assert abs(left - right) < 1e-12


def test_several_gradients_come_from_one_pass() -> None:
    value = einsum("i,ij,j->", x, A, y)
    assert derivatives(value, [x, A, y]) == tuple(derivative(value, v) for v in (x, A, y))


@pytest.mark.parametrize(
    ("properties", "project"),
    [
        ("symmetric", lambda G: (G + G.T) / 2),
        ("skew", lambda G: (G - G.T) / 2),
        ("diagonal", lambda G: np.diag(np.diag(G))),
        ("lower", np.tril),
        ("upper", np.triu),
    ],
)
def test_structured_variables_get_the_derivative_within_their_space(properties: str, project) -> None:
    Z = Variable("Z", (N, N), {properties})
    generator = np.random.default_rng(1)
    values = {"Z": project(generator.normal(size=(4, 4))), "A": generator.normal(size=(4, 4))}
    got = evaluate(derivative(einsum("ij,ij->", A, Z), Z), values)
    assert close(got, project(values["A"]))


@pytest.mark.parametrize("properties", ["symmetric", "skew", "diagonal", "lower", "upper"])
def test_jacobians_stay_within_the_space_of_their_variable(properties: str) -> None:
    """The derivative of every entry of an output is projected on its own: here along the last two of three axes."""
    Z = Variable("Z", (N, N), {properties})
    generator = np.random.default_rng(2)
    left, right = generator.normal(size=(3, 4)), generator.normal(size=4)
    jacobian = derivative(einsum("ij,jk,k->i", X, Z, x), Z)
    got = evaluate(jacobian, {"X": left, "x": right, "Z": np.zeros((4, 4))})
    for row, slope in zip(left, got, strict=True):
        free = np.outer(row, right)
        expected = {
            "symmetric": (free + free.T) / 2,
            "skew": (free - free.T) / 2,
            "diagonal": np.diag(np.diag(free)),
            "lower": np.tril(free),
            "upper": np.triu(free),
        }[properties]
        np.testing.assert_allclose(slope, expected, rtol=1e-14)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_a_diagonal_inside_an_output_of_several_axes(mode: str) -> None:
    """``d(A_ii x_j) / dA_kl`` is x_j where i = k = l."""
    jacobian = derivative(einsum("ii,j->ij", A, x), A, mode)
    generator = np.random.default_rng(3)
    values = {"A": generator.normal(size=(4, 4)), "x": generator.normal(size=4)}
    eye = np.eye(4)
    expected = np.einsum("ik,il,j->ijkl", eye, eye, values["x"])
    np.testing.assert_allclose(evaluate(jacobian, values), expected, rtol=1e-14)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_the_derivative_by_what_does_not_occur_is_zero(mode: Literal["forward", "reverse"]) -> None:
    assert derivative(einsum("ij,j->i", X, w), A, mode) == zeros((M, N, N))


def test_an_operation_without_a_derivative_raises_by_name() -> None:
    place = call("argmax", x, core=1)
    with pytest.raises(NotDifferentiable, match="argmax"):
        derivative(place, x)


@pytest.mark.parametrize(
    ("node", "wrt", "expected"),
    [
        (einsum("i,ij,j->", x, A, x), [x], "(A + A^T) x"),
        (einsum("i,ij,j->", x, S, x), [x], "2 S x"),
        (einsum("i,ij,j->", x, A, x), [x, x], "A + A^T"),
        (call("logdet", A), [A], "A^-T"),
        (call("det", A), [A], "det(A) A^-T"),
        (call("norm", x, core=1), [x], "x / ||x||"),
        (call("norm", x, core=1), [x, x], "I / ||x|| - x x^T / ||x||^3"),
        (call("softmax", einsum("ij,j->i", A, x)), [x], "(diag(softmax(A x)) - softmax(A x) softmax(A x)^T) A"),
        (einsum("ij,ji->", A, A), [A], "2 A^T"),
        (power(einsum("i,ij,j->", x, A, x), 2), [x], "2 (x^T A x) (A + A^T) x"),
        (einsum("ij,ij->", A, elementwise("exp", A)), [A], "exp(A) .* (A + 1)"),
    ],
)
def test_formulas(node: Node, wrt: list[Variable], expected: str) -> None:
    got = text(formula(node, wrt))
    assert got == expected or text(swap_axes(formula(node, wrt))) == expected or sorted(got) == sorted(expected)


def test_a_residual_is_not_multiplied_out() -> None:
    residual = subtract(einsum("ij,j->i", X, w), b)
    assert text(formula(einsum("i,i->", residual, residual), [w])) == "2 X^T (X w - b)"
    assert text(formula(einsum("i,i->", residual, residual), [X])) == "2 (X w - b) w^T"


def test_sigmoid_keeps_its_name() -> None:
    z = Variable("x", (N,))
    explicit = power(add([(1, product([], [0], {0: N})), (1, map_("exp", scale(-1, z)))], (N,)), -1)
    assert simplify(explicit) == (map_("sigmoid", z),)
    assert text(differentiate(explicit, [z])) == "diag(sigmoid(x) .* (1 - sigmoid(x)))"


def test_rules_do_not_depend_on_the_order_in_which_they_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    from matcalc.calculus import simplify as module

    for seed in range(40):
        node, values = graph(seed)
        (usual,) = simplify(node)
        order = Random(seed).sample(PRODUCT_RULES, len(PRODUCT_RULES))
        monkeypatch.setattr(module, "PRODUCT_RULES", tuple(order))
        (shuffled,) = simplify(graph(seed)[0])
        monkeypatch.setattr(module, "PRODUCT_RULES", PRODUCT_RULES)
        with np.errstate(all="ignore"):
            assert close(evaluate(shuffled, values, SIZES), evaluate(usual, values, SIZES))


def test_sharing_survives_in_a_deep_network() -> None:
    nodes = []
    for layers in (20, 40, 80):
        hidden: Node = x
        weights = []
        for layer in range(layers):
            matrix = Variable(f"W{layer}", (N, N))
            weights.append(matrix)
            hidden = map_("tanh", einsum("ij,j->i", matrix, hidden))
        gradients = derivatives(einsum("i,i->", hidden, hidden), weights)
        nodes.append(len(list(postorder(*simplify(*gradients)))))
    assert nodes[2] - nodes[1] == 2 * (nodes[1] - nodes[0])


def test_numbers_fold() -> None:
    assert add([(2, number(3)), (1, number(4))], ()) == number(10)
    assert scale(0, A) == Sum((), A.shape)
    assert isinstance(elementwise("exp", x), Map)
    assert isinstance(einsum("i,j->ij", x, y), Product)
