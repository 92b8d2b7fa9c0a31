"""Compiled functions where formulas as written would overflow, divide 0 by 0 or multiply 0 with infinity."""

from __future__ import annotations

import importlib
import itertools
from random import Random
from typing import Any

import node_eval
import numpy as np
import pytest
from random_nodes import SIZES, data, random_graph

import matcalc as mc
from matcalc.calculus import simplify as rules
from matcalc.calculus.derive import derivative
from matcalc.calculus.simplify import simplify
from matcalc.errors import DomainError
from matcalc.expr.build import add, divide, einsum, elementwise, hadamard, number, power, scale, subtract, variables
from matcalc.expr.dims import Dim
from matcalc.expr.nodes import Call, Map, Node, Variable
from matcalc.lower import numpy_source
from matcalc.lower.function import PLANNED, compile_function
from matcalc.lower.stable import recognised, stable
from matcalc.ops.registry import OPERATIONS

N = Dim.of("n")
x, z = Variable("x", (N,)), Variable("z", (N,))

LOGITS = np.array([1000.0, -1000.0, 0.0, 3.0])
TARGETS = np.array([0.0, 1.0, 1.0, 0.0])
VECTORS = {"z": "vector(n)", "y": "vector(n)"}


def sigmoid(values: Any) -> Any:
    return np.exp(-np.logaddexp(0, -values))


def softmax(values: Any) -> Any:
    shifted = np.exp(values - np.max(values, axis=-1, keepdims=True))
    return shifted / np.sum(shifted, axis=-1, keepdims=True)


S, P = sigmoid(LOGITS), softmax(LOGITS)
BENT = np.diag(S * (1 - S))
CURVED = np.diag(P) - np.outer(P, P)
LSE = np.logaddexp.reduce(LOGITS)

LOSSES = [
    ("sum(softplus(z))", np.logaddexp(0, LOGITS).sum(), S, BENT),
    ("sum(log(1 + exp(z)))", np.logaddexp(0, LOGITS).sum(), S, BENT),
    ("sum(sigmoid(z))", S.sum(), S * (1 - S), np.diag(S * (1 - S) * (1 - 2 * S))),
    ("sum(1 ./ (1 + exp(-z)))", S.sum(), S * (1 - S), np.diag(S * (1 - S) * (1 - 2 * S))),
    ("sum(log(sigmoid(z)))", -np.logaddexp(0, -LOGITS).sum(), 1 - S, -BENT),
    ("sum(log(1 - sigmoid(z)))", -np.logaddexp(0, LOGITS).sum(), -S, -BENT),
    ("log(sum(exp(z)))", LSE, P, CURVED),
    ("logsumexp(z) - y^T z", LSE - TARGETS @ LOGITS, P - TARGETS, CURVED),
    ("sum(z .* sigmoid(z))", LOGITS @ S, S + LOGITS * S * (1 - S), None),
    (
        "sum(log(cosh(z)))",
        np.logaddexp(LOGITS, -LOGITS).sum() - 4 * np.log(2),
        np.tanh(LOGITS),
        np.diag(1 - np.tanh(LOGITS) ** 2),
    ),
    (
        "-sum(y .* log(sigmoid(z)) + (1 - y) .* log(1 - sigmoid(z)))",
        np.logaddexp(0, LOGITS).sum() - TARGETS @ LOGITS,
        S - TARGETS,
        BENT,
    ),
    (
        "-y^T log(sigmoid(z)) - (1 - y)^T log(1 - sigmoid(z))",
        np.logaddexp(0, LOGITS).sum() - TARGETS @ LOGITS,
        S - TARGETS,
        BENT,
    ),
    (
        "-y^T log(softmax(z))",
        TARGETS.sum() * LSE - TARGETS @ LOGITS,
        TARGETS.sum() * P - TARGETS,
        TARGETS.sum() * CURVED,
    ),
    (
        "-y^T log(exp(z) / sum(exp(z)))",
        TARGETS.sum() * LSE - TARGETS @ LOGITS,
        TARGETS.sum() * P - TARGETS,
        TARGETS.sum() * CURVED,
    ),
    ("-log(softmax(z)[2])", LSE - LOGITS[1], P - np.eye(4)[1], CURVED),
]


@pytest.mark.parametrize(("text", "value", "gradient", "hessian"), LOSSES, ids=[row[0] for row in LOSSES])
def test_large_logits(text: str, value: float, gradient: Any, hessian: Any) -> None:
    arrays = {name: array for name, array in {"z": LOGITS, "y": TARGETS}.items() if name in mc.parse(text).vars}
    types = {name: VECTORS[name] for name in arrays}
    found, slope = mc.value_and_grad(text, "z", vars=types)(**arrays)
    np.testing.assert_allclose(found, value, rtol=1e-13)
    np.testing.assert_allclose(slope, gradient, rtol=0, atol=1e-13 * max(1.0, float(np.max(np.abs(gradient)))))
    if hessian is not None:
        bent = mc.hessian(text, "z", vars=types)(**arrays)
        np.testing.assert_allclose(bent, hessian, rtol=0, atol=1e-13)


def test_cross_entropy_by_rows() -> None:
    X = np.array([[1000.0, -1000], [-1000, 1000], [0, 1], [600, 600]])
    W = np.array([[1.0, -1, 0], [0.5, 2, 0]])
    Y = np.eye(3)[[1, 2, 0, 0]]
    types = {"X": "matrix(N, d)", "Y": "matrix(N, k)", "W": "matrix(d, k)"}
    function = mc.value_and_grad("-sum(Y .* log(softmax(X W)))/N", "W", vars=types)
    value, gradient = function(X=X, Y=Y, W=W)
    logits = X @ W
    expected = (np.logaddexp.reduce(logits, axis=1) - np.sum(Y * logits, axis=1)).mean()
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    np.testing.assert_allclose(gradient, X.T @ (softmax(logits) - Y) / 4, rtol=1e-13, atol=1e-10)
    assert function.source.count("exponentials(") == 1
    assert "/ softmax" not in function.source


def test_a_hessian_is_finite_when_logarithms_are_recognised_first() -> None:
    y = Variable("y", (N,))
    loss = einsum("i,i->", y, elementwise("log", Call("softmax", (z,), (N,))))
    (form,) = recognised(loss)
    node = derivative(simplify(derivative(form, z))[0], z)
    found = compile_function(node, [z, y])(z=LOGITS, y=TARGETS)
    np.testing.assert_allclose(found, TARGETS.sum() * (np.outer(P, P) - np.diag(P)), atol=1e-13)


def test_logistic_regression_reads_as_an_expert_writes_it() -> None:
    types = {"X": "matrix(N, d)", "y": "vector(N)", "w": "vector(d)"}
    text = "-sum(y .* log(sigmoid(X w)) + (1 - y) .* log(1 - sigmoid(X w)))"
    source = mc.value_and_grad(text, "w", vars=types).source
    assert "(softplus(t1) - y * t1).sum()" in source
    assert "X.T @ (sigmoid(t1) - y)" in source


# --- selections ----------------------------------------------------------------------------------

SELECTIONS = [
    ("sum(where(x > 0, log(x), 0))", [-1, 0, 2], [0, 0, 0.5], [0, 0, -0.25]),
    ("sum(where(x > 0, sqrt(x), x))", [-1, 0, 4], [1, 1, 0.25], [0, 0, -1 / 32]),
    ("sum(where(x > 0, x .* log(x), 0))", [-1, 0, 1], [0, 0, 1], [0, 0, 1]),
    ("sum(where(x != 0, 1 ./ x, 0))", [-1, 0, 2], [-1, 0, -0.25], [-2, 0, 0.25]),
    ("sum(where(x < 10, exp(x), x))", [0, 1, 2000], [1, np.e, 1], [1, np.e, 0]),
    ("sum((x > 0) .* log(max(x, 1e-300)))", [-1, 0, 2], [0, 0, 0.5], None),
    ("sum(where(x > 0, log(x).^2 .* log(x), 0))", [-1, 0, np.e], [0, 0, 3 / np.e], None),
    ("sum(where(x > 0, log(x) .* sqrt(log(x)), 0))", [-1, 0, np.e], [0, 0, 1.5 / np.e], None),
    ("where(sum(x) > 0, sum(log(x)), 0)", [-1, 0, 0], [0, 0, 0], None),
]


@pytest.mark.parametrize(("text", "at", "gradient", "diagonal"), SELECTIONS, ids=[row[0] for row in SELECTIONS])
def test_what_is_not_selected_does_no_harm(text: str, at: Any, gradient: Any, diagonal: Any) -> None:
    for dtype in (np.float64, np.float32):
        given = np.array(at, dtype=dtype)
        value, slope = mc.value_and_grad(text, "x", vars={"x": "vector(n)"})(x=given)
        assert np.isfinite(value)
        assert slope.dtype == dtype
        np.testing.assert_allclose(slope, gradient, rtol=1e-6)
    if diagonal is not None:
        bent = mc.hessian(text, "x", vars={"x": "vector(n)"})(x=np.array(at, dtype=float))
        np.testing.assert_allclose(bent, np.diag(diagonal), rtol=1e-13)


def test_selections_use_truth_values() -> None:
    source = mc.grad("sum(where(x > 0, log(x), 0))", "x", vars={"x": "vector(n)"}).source
    assert "np.where(x > 0.0, 1.0 / x, 0.0)" in source
    relu = mc.grad("sum(relu(X w).^2 .* y)", "w", vars={"X": "matrix(m, n)", "w": "vector(n)", "y": "vector(m)"})
    assert "where" not in relu.source


def random_mask_graph(random: Random) -> Node:
    """Masks in sums and products with each other, with numbers and with what they select."""
    values: list[Node] = [x, z, power(add([(1, number(2)), (1, einsum("i,i->", x, x))], ()), -1)]
    values += [einsum(",i->i", values[2], x), elementwise("exp", x)]
    masks: list[Node] = [
        elementwise(random.choice(("lt", "ge", "ne")), random.choice(values[:2]), random.choice((x, z, number(0))))
        for _ in range(2)
    ]
    masks.append(elementwise("step", x))
    for _ in range(6):
        left, right = random.choice([*values, *masks]), random.choice([*values, *masks])
        if not left.order or not right.order:
            continue
        mask = random.choice(masks)
        values.append(
            random.choice(
                (
                    lambda left=left, right=right: hadamard(left, right),
                    lambda left=left, right=right: add([(2, left), (-1, right)], (N,)),
                    lambda left=left, mask=mask: hadamard(mask, divide(left, x)),
                    lambda left=left, right=right, mask=mask: elementwise("where", mask, left, right),
                    lambda left=left, mask=mask: hadamard(mask, scale(-1, left)),
                )
            )()
        )
    return add([(1, values[-1]), (1, values[-2] if values[-2].order else x)], (N,))


FORMS = importlib.import_module("matcalc.lower.stable")
#: Numbers of every size, with those where functions have poles and branches.
PLACES = np.array([-1e100, -1e3, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 1e3, 1e100])
#: `where` is looked at branch by branch, a tangent has its poles between floats, atan2 has none but a slope that has.
UNLISTED = {"where", "tan", "atan2"}


@pytest.mark.parametrize("name", sorted({record.name for record in OPERATIONS.values() if record.kind == "map"}))
def test_the_tables_of_masks_and_of_finite_functions_by_definition(name: str) -> None:
    """A mask is 0 or 1 everywhere, a finite function is finite at all finite numbers."""
    arity = OPERATIONS[name].arity
    operands = np.array(list(itertools.product(PLACES, repeat=arity))).T
    node = Map(name, tuple(Variable(f"x{k}", (N,)) for k in range(arity)), ((0,),) * arity, (N,))
    with np.errstate(all="ignore"):
        value = np.asarray(node_eval.apply_template(node, list(operands)), dtype=float)
    is_mask = bool(np.all((value == 0) | (value == 1)))
    assert (name in FORMS.MASKS) == (name in rules.MASKS) == is_mask
    if name not in UNLISTED:
        assert (name in FORMS.FINITE) == bool(np.all(np.isfinite(value)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_random_masks(dtype: Any) -> None:
    generator = np.random.default_rng(5)
    for seed in range(150):
        node = random_mask_graph(Random(seed))
        values = {"x": generator.uniform(-1, 1, 4).astype(dtype), "z": generator.uniform(-1, 1, 4).astype(dtype)}
        values["z"][0] = values["x"][0]
        given = {variable.name: values[variable.name] for variable in variables(node)}
        found = compile_function(node, variables(node))(**given)
        assert found.dtype == dtype
        wide = {name: array.astype(float) for name, array in given.items()}
        expected = np.asarray(node_eval.evaluate(node, wide, {"n": 4}))
        bound = max(1.0, float(np.max(np.abs(expected))))
        np.testing.assert_allclose(found, expected, rtol=0, atol=(1e-12 if dtype == np.float64 else 1e-4) * bound)


def test_rewriting_keeps_values() -> None:
    for seed in range(200):
        random = Random(seed)
        node = random_graph(random, 6)
        (form,) = stable(node)
        assert form.shape == node.shape
        values = data(random)
        with np.errstate(all="ignore"):
            expected = np.asarray(node_eval.evaluate(node, values, SIZES))
            found = np.asarray(node_eval.evaluate(form, values, SIZES))
        finite = np.abs(expected[np.isfinite(expected)])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * max(0.1, float(np.max(finite, initial=0))))


# --- points at which a convention decides --------------------------------------------------------

CONVENTIONS = [
    ("norm(x)", [0, 0, 0], 0, [0, 0, 0]),
    ("sqrt(x^T x)", [0, 0, 0], 0, [0, 0, 0]),
    ("norm1(x)", [0, 1, -2], 3, [0, 1, -1]),
    ("sum(abs(x))", [0, 1, -2], 3, [0, 1, -1]),
    ("sum(relu(x))", [0, 1, -2], 1, [0, 1, 0]),
    ("sum(max(x, 0))", [0, 2, -2], 2, [0, 1, 0]),
    ("max(x)", [2, 2, -2], 2, [0.5, 0.5, 0]),
    ("prod(x)", [1, 0, 2], 0, [0, 2, 0]),
    ("prod(x)", [0, 0, 2], 0, [0, 0, 0]),
    ("sum(x.^0)", [0, 1, 2], 3, [0, 0, 0]),
    ("sum(x.^2)", [0, 1, 2], 5, [0, 2, 4]),
]


@pytest.mark.parametrize(("text", "at", "value", "gradient"), CONVENTIONS, ids=[f"{r[0]} {r[1]}" for r in CONVENTIONS])
def test_conventions(text: str, at: Any, value: float, gradient: Any) -> None:
    found, slope = mc.value_and_grad(text, "x", vars={"x": "vector(n)"})(x=np.array(at, dtype=float))
    assert found == value
    np.testing.assert_array_equal(slope, gradient)


def test_zero_times_the_logarithm_of_zero_is_not_a_number() -> None:
    # as in NumPy; the limit is had by saying so: where(x > 0, x .* log(x), 0)
    function = mc.parse("sum(x .* log(x))", vars={"x": "vector(n)"}).compile()
    assert np.isnan(function(x=np.array([0.0, 1.0])))
    limit = mc.parse("sum(where(x > 0, x .* log(x), 0))", vars={"x": "vector(n)"}).compile()
    assert limit(x=np.array([0.0, 1.0])) == 0


def test_a_determinant_beyond_the_range_of_floats() -> None:
    A = 0.1 * np.eye(400)
    value, gradient = mc.value_and_grad("log(det(A))", "A", vars={"A": "matrix(n, n)"})(A=A)
    np.testing.assert_allclose(value, 400 * np.log(0.1), rtol=1e-13)
    np.testing.assert_allclose(gradient, 10 * np.eye(400), rtol=1e-13)


# --- what is shared, and the order of products ---------------------------------------------------


def test_common_divisors_are_divided_by_once() -> None:
    types = {"X": "matrix(N, d)", "Y": "matrix(N, k)", "W": "matrix(d, k)"}
    source = mc.grad("-sum(Y .* log(softmax(X W)))/N", "W", vars=types).source
    assert source.count("/ N") == 1


def test_the_diagonal_of_a_product_is_a_sum_over_rows() -> None:
    types = {"A": "matrix(n, k)", "B": "matrix(n, k)"}
    for text in ("sum(diag(A B^T).^2)", "sum(log(diag(A B^T + B A^T)))"):
        function = mc.value_and_grad(text, "A", vars=types)
        assert "(A * B).sum(axis=1)" in function.source
        assert "diagonal" not in function.source
    A, B = np.arange(6.0).reshape(3, 2) + 1, np.ones((3, 2))
    both = mc.parse("sum(diag(A B^T).^2) + sum(A B^T)", vars=types).compile()
    assert both(A=A, B=B) == np.sum(np.diag(A @ B.T) ** 2) + np.sum(A @ B.T)


def test_the_order_of_products_follows_real_sizes() -> None:
    # by the sizes that stand for themselves A (B X) is cheaper, as X has few columns; here it has many
    m, k = Dim.of("m"), Dim.of("N")
    A, B, X = Variable("A", (N, m)), Variable("B", (m, N)), Variable("X", (N, k))
    function = compile_function(einsum("ij,jk,kl->il", A, B, X), [A, B, X])
    assert function.source == numpy_source([einsum("ij,jk,kl->il", A, B, X)], [A, B, X])
    default = function.source
    generator = np.random.default_rng(0)

    def arrays(n: int, inner: int, columns: int) -> dict[str, Any]:
        shapes = {"A": (n, inner), "B": (inner, n), "X": (n, columns)}
        return {name: generator.normal(size=shape) for name, shape in shapes.items()}

    for sizes in ((300, 2, 300), (3, 400, 500), (300, 2, 300)):
        given = arrays(*sizes)
        np.testing.assert_allclose(function(**given), given["A"] @ given["B"] @ given["X"], rtol=1e-9, atol=1e-9)
    codes = {bound.function.__code__.co_filename for bound in function._bounds.values()}
    assert len(codes) == 2
    assert function.source == default


def test_a_chain_is_reordered_for_real_sizes() -> None:
    text = "||X Y Z B||^2"
    types = {"X": "matrix(p, q)", "Y": "matrix(q, r)", "Z": "matrix(r, s)", "B": "matrix(s, t)"}
    function = mc.value_and_grad(text, "Y", vars=types)
    generator = np.random.default_rng(1)
    X, Y = generator.normal(size=(300, 4)), generator.normal(size=(4, 300))
    Z, B = generator.normal(size=(300, 3)), generator.normal(size=(3, 200))
    value, gradient = function(X=X, Y=Y, Z=Z, B=B)
    whole = X @ Y @ Z @ B
    np.testing.assert_allclose(value, np.sum(whole**2), rtol=1e-12)
    np.testing.assert_allclose(gradient, 2 * X.T @ whole @ (Z @ B).T, rtol=1e-10, atol=1e-6)


# --- calls ---------------------------------------------------------------------------------------


def test_many_shapes_are_remembered() -> None:
    function = compile_function(einsum("i->", x), [x])
    for _ in range(2):
        for length in range(1, PLANNED + 20):
            assert function(x=np.ones(length)) == length
    assert len(function._bounds) == PLANNED


def test_numbers_and_arrays_without_axes() -> None:
    a = Variable("a", ())
    function = compile_function(einsum(",i->i", a, x), [a, x])
    for given in (2, 2.0, np.float64(2), np.array(2.0), np.float32(2), np.array(2)):
        for dtype in (np.float64, np.float32):
            result = function(a=given, x=np.ones(3, dtype=dtype))
            wide = dtype == np.float64 or (not isinstance(given, int | float) and np.asarray(given).dtype != np.float32)
            wide = wide or isinstance(given, np.float64)
            assert result.dtype == (np.float64 if wide else np.float32)
            assert result.tolist() == [2.0] * 3


def test_settings_of_the_caller_stay_and_do_not_matter() -> None:
    function = compile_function(elementwise("exp", x), [x])
    with np.errstate(all="raise"):
        assert function(x=np.array([1e5]))[0] == np.inf
        assert np.geterr()["over"] == "raise"


def test_a_positive_triangular_matrix_has_a_positive_diagonal() -> None:
    for structure in ("lower", "upper", "diagonal"):
        G = Variable("G", (N, N), {structure, "positive"})
        function = compile_function(einsum("ii->", G), [G])
        corner = {"lower": [[1.0, 0], [-3, 2]], "upper": [[1.0, -3], [0, 2]], "diagonal": [[1.0, 0], [0, 2]]}[structure]
        assert function(G=np.array(corner)) == 3
        with pytest.raises(DomainError, match="entries on the diagonal that are not"):
            function(G=np.array(corner) - np.diag([0, 2.0]))
    dense = Variable("G", (N, N), {"positive"})
    with pytest.raises(DomainError, match="declared positive"):
        compile_function(einsum("ii->", dense), [dense])(G=np.array([[1.0, 0], [1, 2]]))


def test_a_factor_of_cholesky_in_a_formula() -> None:
    types = {"L": "matrix(n, n) lower positive", "x": "vector(n)"}
    assert mc.derive("sum(log(diag(L))) + 1/2 ||L^-1 x||^2", wrt="x", vars=types).check()
    L = np.array([[1.0, 0], [-3, 2]])
    gradient = mc.grad("sum(log(diag(L))) + 1/2 ||L^-1 x||^2", "x", vars=types)(L=L, x=np.ones(2))
    np.testing.assert_allclose(gradient, np.linalg.solve(L @ L.T, np.ones(2)), rtol=1e-12)


def test_cancellation_needs_no_logarithm() -> None:
    s = elementwise("sigmoid", z)
    complement = subtract(
        divide(x, s),
        divide(
            x, add([(1, number(1) if not z.order else elementwise("sigmoid", z)), (1, elementwise("exp", x))], (N,))
        ),
    )
    node = hadamard(s, complement)
    found = compile_function(node, [x, z])(x=np.array([2.0, -1.0]), z=np.array([-1000.0, 5.0]))
    assert np.isfinite(found).all()
    assert found[0] == 2.0


def test_masks_on_a_diagonal() -> None:
    text = "sigmoid(log(tr(max(softplus(A).^(-1/2) ./ A^T, 0))))"
    A = np.array([[0.5, -1.0], [2.0, 0.25]])
    gradient = mc.grad(text, "A", vars={"A": "matrix(k, k)"})(A=A)
    value = mc.parse(text, vars={"A": "matrix(k, k)"}).compile()
    step = 1e-6 * np.eye(2)[0][:, None] * np.eye(2)[0]
    assert np.count_nonzero(gradient) == 2
    np.testing.assert_allclose(gradient[0, 0], (value(A=A + step) - value(A=A - step)) / 2e-6, rtol=1e-7)
