"""Every record of an operation is tried: slopes, differentials, properties, types and kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NoReturn

import numpy as np
import pytest
import scipy.linalg
import scipy.special
from fact_samples import holds
from node_eval import apply_template, evaluate
from oracle import evaluate as interpret
from oracle import read

from matcalc.calculus.derive import derivative
from matcalc.calculus.simplify import simplify
from matcalc.elaborate import elaborate
from matcalc.errors import MatcalcError, NotDifferentiable, ShapeError, UnknownName, Unsupported, UsageError
from matcalc.expr.build import add, broadcast, delta, einsum, number, ones, product, scale
from matcalc.expr.dims import Dim
from matcalc.expr.nodes import Call, Map, Node, Variable, postorder
from matcalc.expr.typed import SCALAR, Type
from matcalc.lower import runtime, runtime_scipy
from matcalc.lower.function import compile_function
from matcalc.ops.apply import call, map_, operation, typing_rule
from matcalc.ops.record import Operation
from matcalc.ops.registry import FAMILIES, OPERATIONS
from matcalc.ops.signature import cores, shorter
from matcalc.syntax.parse import parse

N, M, B, D = Dim.of("n"), Dim.of("m"), Dim.of("b"), Dim.of("d")
SIZES = {"n": 3, "m": 4, "b": 2, "d": 5}

RECORDS = [record for family in FAMILIES.values() for record in family]
MAPS = [record for record in RECORDS if record.kind == "map"]
CALLS = [record for record in RECORDS if record.kind == "call"]
EXPRESSIONS = [record for record in RECORDS if record.kind == "expression"]
SMOOTH_MAPS = [record for record in MAPS if record.slopes]
SMOOTH_CALLS = [record for record in CALLS if record.differential and not record.nondifferentiable]


def names(records: Sequence[Operation]) -> list[str]:
    return [record.name for record in records]


def each(records: Sequence[Operation]) -> Any:
    return pytest.mark.parametrize("record", records, ids=names(records))


# --- drawing operands ----------------------------------------------------------------------------


def generator(name: str) -> np.random.Generator:
    return np.random.default_rng(sum(ord(letter) * (k + 1) for k, letter in enumerate(name)))


def words(record: Operation, count: int) -> list[str]:
    """One sampling word for each operand."""
    given = record.sample.split()
    return given if len(given) == count else given * count


def numbers(word: str, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """Entries for an entrywise function, away from its kinks."""
    match word:
        case "real":
            return rng.normal(size=shape)
        case "positive":
            return rng.uniform(0.3, 2.5, size=shape)
        case "nonzero":
            return rng.choice([-1.0, 1.0], size=shape) * rng.uniform(0.2, 2.0, size=shape)
        case "unit":
            return rng.uniform(0.1, 0.9, size=shape) * rng.choice([-1.0, 1.0], size=shape)
        case "above_one":
            return rng.uniform(1.2, 3.0, size=shape)
        case "mask":
            return rng.integers(0, 2, size=shape).astype(float)
        case "order":
            return np.full(shape, 3.0)
    raise AssertionError(word)


def array(word: str, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """An operand of a call."""
    if word in ("spd", "symmetric", "invertible"):
        base = rng.normal(size=shape)
        size = shape[-1]
        if word == "invertible":
            return base / 2 + 2 * np.eye(size)
        if word == "symmetric":
            return base + np.swapaxes(base, -1, -2)
        return base @ np.swapaxes(base, -1, -2) / size + np.eye(size) + np.diag(np.arange(size) / 2)
    return numbers(word, shape, rng)


def integers(shape: Sequence[Dim]) -> tuple[int, ...]:
    return tuple(dim.evaluate({**SIZES, "min(m, n)": min(SIZES["m"], SIZES["n"])}) for dim in shape)


def call_cases(record: Operation) -> list[tuple[str, list[Variable], dict[str, int]]]:
    """The operands a call is tried on: with no batch axis, one and two of them, over one and two axes."""
    operands, _ = cores(record.signature)
    named = {"n": N, "m": M}
    cases: list[tuple[str, list[Variable], dict[str, int]]] = []
    for label, lead in (("plain", ()), ("batch", (B,)), ("batches", (D, B))):
        if operands == (("...",),):
            for core in (1, 2):
                shape = (*lead, *(M, N)[:core])
                cases.append((f"{label}-core{core}", [Variable("x0", shape)], {"core": core}))
            continue
        wide = [(*lead, *(named[axis] for axis in axes)) for axes in operands]
        cases.append((label, [Variable(f"x{k}", shape) for k, shape in enumerate(wide)], {}))
        if any("m" in axes for axes in operands):
            turned = [tuple({"m": N, "n": M}.get(str(dim), dim) for dim in shape) for shape in wide]
            cases.append((f"{label}-wide", [Variable(f"x{k}", shape) for k, shape in enumerate(turned)], {}))
    return cases


def call_parameters(records: Sequence[Operation], batch: bool = True) -> Any:
    cases = [
        pytest.param(record, variables, parameters, id=f"{record.name}-{label}")
        for record in records
        for label, variables, parameters in call_cases(record)
        if batch or not label.startswith("batch")
    ]
    return pytest.mark.parametrize(("record", "operands", "parameters"), cases)


def draw(record: Operation, operands: Sequence[Variable]) -> dict[str, Any]:
    rng = generator(record.name)
    return {
        variable.name: array(word, integers(variable.shape), rng)
        for word, variable in zip(words(record, len(operands)), operands, strict=True)
    }


# --- differences ---------------------------------------------------------------------------------


def directional(function: Callable[[Any], Any], x: Any, direction: Any, step: float = 1e-2) -> Any:
    """The derivative along a direction by central differences, extrapolated three times."""
    estimates = []
    for level in range(4):
        h = step / 2**level
        estimates.append((function(x + h * direction) - function(x - h * direction)) / (2 * h))
    for level in range(1, 4):
        factor = 4.0**level
        estimates = [(factor * fine - coarse) / (factor - 1) for coarse, fine in pairwise(estimates)]
    return estimates[0]


# --- records -------------------------------------------------------------------------------------

LANGUAGE = """
    exp log log1p expm1 log2 log10 sqrt cbrt abs sign sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh
    sigmoid softplus relu leaky_relu elu selu gelu silu erf erfc lgamma digamma normpdf normcdf square reciprocal floor
    ceil round step atan2 hypot min max pow where huber
    sum mean prod var std logsumexp norm norm1 norm2 normF norminf argmax
    softmax log_softmax normalize cumsum
    tr trace det logdet inv pinv adj cofactor transpose diag vec unvec vech kron outer inner dot solve chol cross
    blockdiag expm logm sqrtm eigmax eigmin eigvals svdvals nuclear spectral
    I eye ones zeros vector e pi ln Tr arcsin
"""


@pytest.mark.parametrize("name", LANGUAGE.split())
def test_every_name_of_the_language_has_a_record(name: str) -> None:
    assert operation(name).doc


@each(RECORDS)
def test_a_record_is_complete(record: Operation) -> None:
    assert record.doc[0].isupper() or not record.doc[0].isalpha() or record.doc.split()[0].islower()
    assert record.doc.endswith(".")
    assert record.numpy or record.kind == "expression"
    if record.kind == "map":
        assert bool(record.slopes) != bool(record.zero_derivative)
        assert len(record.slopes) in (0, record.arity)
    if record.kind == "call":
        assert record.signature
        assert record.differential is not None or record.nondifferentiable
    if record.kind == "expression" and record.name not in ("vector", "matrix"):
        assert record.typing is not None


def test_an_unknown_operation_is_named() -> None:
    with pytest.raises(UnknownName, match="frobnicate"):
        operation("frobnicate")


def test_a_call_checks_its_operands() -> None:
    with pytest.raises(ShapeError, match="inv takes n = n, not m"):
        call("inv", Variable("X", (N, M)))
    with pytest.raises(UsageError, match="has no parameter"):
        call("inv", Variable("X", (N, N)), core=2)
    with pytest.raises(UsageError, match="entrywise function of 2"):
        map_("exp", Variable("x", (N,)), Variable("y", (N,)))


# --- maps ----------------------------------------------------------------------------------------


def map_nodes(record: Operation) -> tuple[Map, list[Node], dict[str, Any]]:
    """A map of vectors and their values; the order of a polygamma function is a number."""
    rng = generator(record.name)
    length = Dim.of("n")
    nodes: list[Node] = []
    values: dict[str, Any] = {}
    for place, word in enumerate(words(record, record.arity)):
        if word == "order":
            nodes.append(scale(3, ones((length,))))
            continue
        nodes.append(Variable(f"x{place}", (length,)))
        values[f"x{place}"] = numbers(word, (12,), rng)
    return Map(record.name, tuple(nodes), ((0,),) * record.arity, (length,)), nodes, values


@each(SMOOTH_MAPS)
def test_slopes_match_differences(record: Operation) -> None:
    node, operands, values = map_nodes(record)
    for operand, slope in zip(operands, record.slopes, strict=True):
        if not isinstance(operand, Variable) or words(record, record.arity)[operands.index(operand)] == "mask":
            continue
        computed = evaluate(slope(node, *operands), values, {"n": 12})

        def along(x: Any, name: str = operand.name) -> Any:
            return evaluate(node, {**values, name: x}, {"n": 12})

        expected = directional(along, values[operand.name], np.ones(12), 2e-3)
        np.testing.assert_allclose(computed, expected, rtol=2e-7, atol=1e-9)


@each(SMOOTH_MAPS)
def test_slopes_have_slopes(record: Operation) -> None:
    node, operands, values = map_nodes(record)
    for operand in operands:
        if not isinstance(operand, Variable):
            continue
        first = derivative(einsum("i->", node), operand)
        second = evaluate(derivative(einsum("i->", first), operand), values, {"n": 12})

        def along(x: Any, name: str = operand.name, first: Node = first) -> Any:
            return evaluate(first, {**values, name: x}, {"n": 12})

        expected = directional(along, values[operand.name], np.ones(12), 2e-3)
        np.testing.assert_allclose(second, expected, rtol=2e-6, atol=1e-7)


@each([record for record in MAPS if record.zero_derivative])
def test_flat_maps_are_flat(record: Operation) -> None:
    node, operands, values = map_nodes(record)
    for operand in operands:
        assert isinstance(operand, Variable)
        shifted = {**values, operand.name: values[operand.name] + 1e-9}
        np.testing.assert_array_equal(evaluate(node, values), evaluate(node, shifted))


@each(MAPS)
def test_maps_keep_single_precision(record: Operation) -> None:
    node, _, values = map_nodes(record)
    double = evaluate(node, values, {"n": 12})
    single = {name: value.astype(np.float32) for name, value in values.items()}
    operands = [single[f"x{k}"] if f"x{k}" in single else np.float32(3) for k in range(record.arity)]
    value = run(node, operands)
    assert value.dtype == np.float32
    np.testing.assert_allclose(value, double, rtol=2e-4, atol=1e-4)


def run(node: Node, operands: Sequence[Any]) -> Any:
    assert isinstance(node, Map | Call)
    return apply_template(node, operands)


@each([record for record in SMOOTH_MAPS if record.arity == 1 and not record.domain])
def test_slopes_are_finite_far_out(record: Operation) -> None:
    x = Variable("x", (N,))
    node = Map(record.name, (x,), ((0,),), (N,))
    values = {"x": np.array([-1000.0, -40.0, 40.0, 1000.0])}
    with np.errstate(all="ignore"):
        value = evaluate(node, values, {"n": 4})
        slope = evaluate(record.slopes[0](node, x), values, {"n": 4})
    assert np.all(np.isfinite(slope[np.isfinite(value)]))
    assert not np.any(np.isnan(value))


KINKS = [
    ("relu(x)", lambda x: map_("relu", x), 0.0, 0.0),
    ("abs(x)", lambda x: map_("abs", x), 0.0, 0.0),
    ("max(x, 0)", lambda x: map_("maximum", x, number(0)), 0.0, 0.0),
    ("min(x, 1)", lambda x: map_("minimum", x, number(1)), 1.0, 0.0),
    ("max(x, 2 x)", lambda x: map_("maximum", x, scale(2, x)), 0.0, 1.5),
    ("leaky_relu(x)", lambda x: map_("leaky_relu", x, number(Dim.of(1).terms[0][1] / 100)), 0.0, 0.01),
    ("huber(x, 1)", lambda x: map_("huber", x, number(1)), 1.0, 1.0),
    ("min(x, 2 x)", lambda x: map_("minimum", x, scale(2, x)), 0.0, 1.5),
    ("elu(x, 1/2)", lambda x: map_("elu", x, number(Dim.of(1).terms[0][1] / 2)), 0.0, 0.5),
    ("selu(x)", lambda x: map_("selu", x), 0.0, 1.0507009873554804934193349852946),
]


@pytest.mark.parametrize(("build", "place", "slope"), [pytest.param(*case[1:], id=case[0]) for case in KINKS])
def test_the_value_at_a_kink(build: Callable[[Node], Node], place: float, slope: float) -> None:
    x = Variable("x", ())
    assert evaluate(derivative(build(x), x), {"x": place}) == pytest.approx(slope)


def test_where_takes_no_derivative_of_its_condition() -> None:
    x = Variable("x", (N,))
    node = map_("where", map_("gt", x, number(0)), map_("exp", x), scale(3, x))
    value = evaluate(derivative(einsum("i->", node), x), {"x": np.array([-1.0, 0.5])})
    np.testing.assert_allclose(value, [3.0, np.exp(0.5)])


COMPARISONS = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}


@pytest.mark.parametrize("name", COMPARISONS)
def test_where_passes_a_change_to_the_branch_that_is_taken(name: str) -> None:
    """At every place exactly one branch has the slope 1, also where the compared numbers are equal."""
    x, y, a, b = (Variable(letter, (N,)) for letter in "xyab")
    chosen = einsum("i->", map_("where", map_(name, x, y), a, b))
    values = {"x": np.array([1.0, 2.0, 3.0]), "y": np.full(3, 2.0), "a": np.ones(3), "b": np.zeros(3)}
    taken = COMPARISONS[name](values["x"], values["y"])
    np.testing.assert_array_equal(evaluate(derivative(chosen, a), values), taken)
    np.testing.assert_array_equal(evaluate(derivative(chosen, b), values), ~taken)


@pytest.mark.parametrize("name", COMPARISONS)
def test_a_comparison_is_negated_by_the_one_that_holds_elsewhere(name: str) -> None:
    """The slope by the other branch is one comparison of the same operands, not a test of a mask for 0."""
    left, right = np.array([1.0, 2.0, 3.0]), np.full(3, 2.0)
    (other,) = (
        found
        for found, compare in COMPARISONS.items()
        if np.all(compare(left, right) != COMPARISONS[name](left, right))
    )
    x, y, a, b = (Variable(letter, (N,)) for letter in "xyab")
    condition = map_(name, x, y)
    slopes = operation("where").slopes
    node = map_("where", condition, a, b)
    assert slopes[2](node, condition, a, b) == map_(other, x, y)
    assert slopes[1](node, condition, a, b) == condition


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_one_condition_for_all_entries(sign: float) -> None:
    c, a, b = Variable("c", ()), Variable("a", (N,)), Variable("b", (N,))
    condition = broadcast(map_("gt", c, number(0)), (N,), ())
    node = einsum("i->", map_("where", condition, a, b))
    values = {"c": np.asarray(sign), "a": np.ones(3), "b": np.zeros(3)}
    np.testing.assert_array_equal(evaluate(derivative(node, a), values, SIZES), np.full(3, sign > 0))
    np.testing.assert_array_equal(evaluate(derivative(node, b), values, SIZES), np.full(3, sign < 0))


#: What amsmath has, where it is not ``\\operatorname`` and the name itself.
HEADS = {
    **{name: f"\\{name}" for name in ["exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "max", "min", "det"]},
    "asin": r"\arcsin",
    "acos": r"\arccos",
    "atan": r"\arctan",
    "log2": r"\log_2",
    "log10": r"\log_{10}",
    "asinh": r"\operatorname{arsinh}",
    "acosh": r"\operatorname{arcosh}",
    "atanh": r"\operatorname{artanh}",
    "sigmoid": r"\sigma",
    "lgamma": r"\log\Gamma",
    "digamma": r"\psi",
    "trigamma": r"\psi_1",
    "normpdf": r"\varphi",
    "normcdf": r"\Phi",
    "logdet": r"\log\det",
    "sign": r"\operatorname{sign}",
    "pi": r"\pi",
    "inf": r"\infty",
    "levi_civita": r"\varepsilon",
    "sqrt": r"\sqrt",
    "maximum": r"\max",
    "minimum": r"\min",
    "argmax": r"\arg\max",
    "prod": r"\prod",
    "expm": r"\exp",
    "logm": r"\log",
    "eigmax": r"\lambda_{\max}",
    "eigmin": r"\lambda_{\min}",
    "ones": r"\mathbf{1}",
    "zeros": r"\mathbf{0}",
    "vec_tensor": r"\operatorname{vec\_tensor}",
    "vech_tensor": r"\operatorname{vech\_tensor}",
    "commutation": "K_{{{0},{1}}}",
    "duplication": "D_{{{0}}}",
    **{name: rf"\operatorname{{{name}}}" for name in ("sum", "tr", "diag", "vector", "matrix")},
}


@each([record for record in RECORDS if record.name in HEADS])
def test_the_usual_heads_in_latex(record: Operation) -> None:
    assert record.latex == HEADS[record.name]


@each([record for record in MAPS if record.arity == 1 and record.domain and "not" not in record.domain])
def test_a_domain_is_where_the_value_is_real(record: Operation) -> None:
    """On points that are not on the boundary."""
    places = np.array([-2.7, -1.3, -0.6, -0.2, 0.3, 0.7, 1.2, 2.9])
    inside = oracle_of(record.domain, places)
    with np.errstate(all="ignore"):
        value = run(Map(record.name, (Variable("x0", (N,)),), ((0,),), (N,)), [places])
    assert np.all(np.isfinite(value[inside]))
    assert not np.any(np.isfinite(value[~inside]))


def oracle_of(condition: str, places: Any) -> Any:
    """Where a condition such as ``|{0}| <= 1`` holds."""
    program = read(condition.format("u"))
    return np.array([bool(interpret(program, {"u": np.asarray(place)}, {}) > 0) for place in places])


@pytest.mark.parametrize(("name", "slope"), [("expm_frechet", "expm"), ("logm_frechet", "inv")])
def test_a_frechet_derivative_along_what_commutes(name: str, slope: str) -> None:
    """Higham, Functions of Matrices (2008), theorem 3.8: it is ``f'(A) E``."""
    X, c = Variable("X", (N, N)), Variable("c", ())
    values = {"X": S33 + np.triu(np.ones((3, 3)), 1) / 4, "c": np.asarray(3.0)}
    for direction in (X, scale(2, X), delta(N), product([(c, 1, ()), (X, 1, (0, 1))], (0, 1))):
        node = call(name, X, direction)
        (short,) = simplify(node)
        assert {part.op for part in postorder(short) if isinstance(part, Call)} <= {slope}
        np.testing.assert_allclose(
            evaluate(short, values, {"n": 3}), evaluate(node, values, {"n": 3}), rtol=1e-9, atol=1e-10
        )


@pytest.mark.parametrize("name", ["expm_frechet", "logm_frechet"])
def test_a_frechet_derivative_beside_what_commutes(name: str) -> None:
    """``<L(A, E), D>`` is ``<E, f'(A^T) D>`` for a D that commutes with A^T (ibid., section 3.2)."""
    X, E, B = Variable("X", (N, N)), Variable("E", (N, N)), Variable("B", (N, N))
    rng = np.random.default_rng(8)
    values = {"X": S33 + np.triu(np.ones((3, 3)), 1) / 4, "E": rng.normal(size=(3, 3)), "B": rng.normal(size=(3, 3))}
    node = call(name, X, E)
    paired = {
        "tr(L X)": einsum("ij,ji->", node, X),
        "tr(L X) 1": product([(node, 1, (0, 1)), (X, 1, (1, 0))], (2,), {0: N, 1: N, 2: M}),
        "tr(L X) B": einsum("ij,ji,kl->kl", node, X, B),
    }
    for given in paired.values():
        (short,) = simplify(given)
        assert name not in {part.op for part in postorder(short) if isinstance(part, Call)}
        expected = evaluate(given, values, SIZES)
        np.testing.assert_allclose(evaluate(short, values, SIZES), expected, rtol=1e-8)
    # beside its transpose it stays: that does not commute
    other = einsum("ij,ij->", node, X)
    (kept,) = simplify(other)
    np.testing.assert_allclose(evaluate(kept, values, {"n": 3}), evaluate(other, values, {"n": 3}), rtol=1e-8)


def test_a_sylvester_equation_of_what_commutes() -> None:
    """``S Z + Z S = E`` has the solution ``S^-1 E / 2``."""
    X, c = Variable("X", (N, N)), Variable("c", ())
    base = S33 + np.triu(np.ones((3, 3)), 1) / 4
    values = {"X": base, "c": np.asarray(3.0)}
    for right in (X, scale(-3, X), delta(N), product([(c, 1, ()), (X, 1, (0, 1))], (0, 1))):
        node = call("sylvester", X, X, right)
        (short,) = simplify(node)
        assert {part.op for part in postorder(short) if isinstance(part, Call)} <= {"inv"}
        np.testing.assert_allclose(
            evaluate(short, values, {"n": 3}),
            scipy.linalg.solve_sylvester(base, base, evaluate(right, values, {"n": 3})),
            rtol=1e-10,
            atol=1e-12,
        )


def test_the_order_of_a_polygamma_function_is_a_number() -> None:
    k, x = Variable("k", ()), Variable("x", (N,))
    with pytest.raises(NotDifferentiable, match="order"):
        derivative(map_("polygamma", k, x), x)


# --- calls ---------------------------------------------------------------------------------------


@call_parameters(SMOOTH_CALLS)
def test_differentials_match_differences(
    record: Operation, operands: list[Variable], parameters: dict[str, int]
) -> None:
    node = call(record.name, *operands, **parameters)
    values = draw(record, operands)
    rng = generator(record.name + "direction")
    assert record.differential is not None
    for position, operand in enumerate(operands):
        if words(record, len(operands))[position] == "order":
            with pytest.raises(NotDifferentiable, match="exponent"):
                record.differential(node, position, Variable("d", operand.shape))
            continue
        change = Variable("d", operand.shape)
        direction = rng.normal(size=integers(operand.shape)) / 4
        linear = record.differential(node, position, change)
        assert linear.shape == node.shape
        computed = evaluate(linear, {**values, "d": direction}, sizes_with_minimum())

        def along(x: Any, name: str = operand.name) -> Any:
            return evaluate(node, {**values, name: x}, sizes_with_minimum())

        expected = directional(along, values[operand.name], direction)
        np.testing.assert_allclose(computed, expected, rtol=1e-6, atol=1e-7)


def sizes_with_minimum() -> dict[str, int]:
    smaller = min(SIZES["m"], SIZES["n"])
    return {**SIZES, "min(m, n)": smaller}


@call_parameters([record for record in CALLS if record.pullback])
def test_pullbacks_are_adjoint(record: Operation, operands: list[Variable], parameters: dict[str, int]) -> None:
    node = call(record.name, *operands, **parameters)
    values = draw(record, operands)
    rng = generator(record.name + "adjoint")
    assert record.differential is not None
    assert record.pullback is not None
    tried = 0
    for position, operand in enumerate(operands):
        change, adjoint = Variable("d", operand.shape), Variable("g", node.shape)
        pulled = record.pullback(node, position, adjoint)
        if pulled is NotImplemented:
            continue
        tried += 1
        d, g = (rng.normal(size=integers(shape)) for shape in (operand.shape, node.shape))
        forward = evaluate(record.differential(node, position, change), {**values, "d": d}, SIZES)
        backward = evaluate(pulled, {**values, "g": g}, SIZES)
        assert np.sum(g * forward) == pytest.approx(np.sum(backward * d))
    assert tried == 1


def weighted(node: Node) -> Node:
    """A scalar in which every entry has a weight of its own."""
    axes = "abcdef"[: node.order]
    return einsum(f"{axes},{axes}->", Variable("weights", node.shape), node)


@call_parameters(SMOOTH_CALLS, batch=False)
def test_second_derivatives_close(record: Operation, operands: list[Variable], parameters: dict[str, int]) -> None:
    node = call(record.name, *operands, **parameters)
    values = draw(record, operands)
    rng = generator(record.name + "second")
    values["weights"] = rng.normal(size=integers(node.shape))
    sizes = sizes_with_minimum()
    for position, operand in enumerate(operands):
        if words(record, len(operands))[position] == "order":
            continue
        direction = rng.normal(size=integers(operand.shape)) / 4
        first = derivative(weighted(node), operand)
        axes = "abcdef"[: operand.order]
        slope = einsum(f"{axes},{axes}->", Variable("d", operand.shape), first)
        if record.name == "prodexcept":
            with pytest.raises(NotDifferentiable, match="prodexcept2"):
                derivative(slope, operand)
            continue
        second = derivative(slope, operand)
        computed = evaluate(second, {**values, "d": direction}, sizes)

        def along(x: Any, name: str = operand.name, first: Node = first) -> Any:
            return evaluate(first, {**values, name: x}, sizes)

        expected = directional(along, values[operand.name], direction)
        np.testing.assert_allclose(computed, expected, rtol=2e-5, atol=2e-5)


@call_parameters([record for record in CALLS if record.numpy])
def test_calls_keep_single_precision(record: Operation, operands: list[Variable], parameters: dict[str, int]) -> None:
    node = call(record.name, *operands, **parameters)
    values = [value.astype(np.float32) for value in draw(record, operands).values()]
    value = run(node, values)
    if record.name == "argmax":
        assert value.dtype.kind == "i"
    else:
        assert value.dtype == np.float32


def test_argmax_has_no_derivative() -> None:
    x = Variable("x", (N,))
    with pytest.raises(NotDifferentiable, match="argmax has no derivative: its value is a place"):
        derivative(call("argmax", x), x)


def test_the_third_derivative_of_a_product_is_refused_by_name() -> None:
    x = Variable("x", (N,))
    second = derivative(derivative(call("prod", x), x), x)
    with pytest.raises(NotDifferentiable, match="prodexcept2"):
        derivative(second, x)


@pytest.mark.parametrize("name", ["expm", "logm", "sqrtm"])
def test_matrix_functions_close_at_the_third_order(name: str) -> None:
    X = Variable("X", (N, N))
    rng = generator(name)
    base = array("spd", (3, 3), rng)
    directions = [rng.normal(size=(3, 3)) / 4 for _ in range(3)]
    node: Node = call(name, X)
    slopes = [einsum("ij,ij->", Variable("weights", (N, N)), node)]
    for k in range(3):
        slopes.append(einsum("ij,ij->", Variable(f"d{k}", (N, N)), derivative(slopes[-1], X)))
    values = {"weights": rng.normal(size=(3, 3)), **{f"d{k}": direction for k, direction in enumerate(directions)}}
    expected = directional(lambda x: evaluate(slopes[2], {**values, "X": x}), base, directions[2])
    assert evaluate(slopes[3], {**values, "X": base}) == pytest.approx(float(expected), rel=1e-5, abs=1e-8)


TIED = np.diag([2.0, 5.0, 5.0])
SHARED = [
    ("max", {"core": 1}, np.array([1.0, 3.0, 3.0]), np.array([0, 0.5, 0.5])),
    ("min", {"core": 1}, np.array([1.0, 1.0, 3.0]), np.array([0.5, 0.5, 0])),
    ("norminf", {"core": 1}, np.array([-3.0, 3.0, 1.0]), np.array([-0.5, 0.5, 0])),
    ("norminf", {"core": 1}, np.zeros(3), np.zeros(3)),
    ("norm", {"core": 1}, np.zeros(3), np.zeros(3)),
    ("std", {"core": 1}, np.ones(3), np.zeros(3)),
    ("norm", {"core": 2}, np.zeros((3, 3)), np.zeros((3, 3))),
    ("eigmax", {}, TIED, np.diag([0, 0.5, 0.5])),
    ("eigmin", {}, -TIED, np.diag([0, 0.5, 0.5])),
    ("spectral", {}, TIED, np.diag([0, 0.5, 0.5])),
    ("spectral", {}, np.zeros((3, 3)), np.zeros((3, 3))),
    ("nuclear", {}, np.diag([4.0, 0.0, 0.0]), np.diag([1.0, 0, 0])),
    ("prod", {"core": 1}, np.array([0.0, 2.0, 3.0]), np.array([6.0, 0, 0])),
    ("prod", {"core": 1}, np.array([0.0, 0.0, 3.0]), np.zeros(3)),
]


@pytest.mark.parametrize(("name", "parameters", "place", "gradient"), SHARED)
def test_the_gradient_of_least_norm_at_a_kink(name: str, parameters: dict[str, int], place: Any, gradient: Any) -> None:
    x = Variable("x", (N,) * place.ndim)
    value = evaluate(derivative(call(name, x, **parameters), x), {"x": place})
    np.testing.assert_allclose(value, gradient, atol=1e-14)


TRACES = [
    ("expm", lambda a: scipy.linalg.expm(a).T, "expm"),
    ("logm", lambda a: np.linalg.inv(a).T, "inv"),
    ("sqrtm", lambda a: np.linalg.inv(scipy.linalg.sqrtm(a)).T / 2, "inv"),
]


@pytest.mark.parametrize(("name", "expected", "slope"), TRACES)
def test_the_trace_of_a_matrix_function_has_its_slope(name: str, expected: Callable[[Any], Any], slope: str) -> None:
    """Higham, Functions of Matrices (2008), section 3: the gradient of ``tr f(A)`` is ``f'(A)^T``."""
    X, c = Variable("X", (N, N)), Variable("c", ())
    base = array("spd", (3, 3), generator(name)) + np.triu(np.ones((3, 3)), 1) / 4
    gradient = derivative(einsum(",ii->", c, call(name, X)), X)
    found = {node.op for node in postorder(gradient) if isinstance(node, Call)}
    assert found <= {slope, name}
    np.testing.assert_allclose(evaluate(gradient, {"X": base, "c": 3.0}), 3 * expected(base), rtol=1e-10)
    scaled = derivative(scale(-2, einsum(",ii->", c, call(name, X))), X)
    np.testing.assert_allclose(evaluate(scaled, {"X": base, "c": 3.0}), -6 * expected(base), rtol=1e-10)
    plain = derivative(einsum("ii->", call(name, X)), X)
    np.testing.assert_allclose(evaluate(plain, {"X": base}), expected(base), rtol=1e-10)


def test_the_derivative_of_an_adjugate_of_higher_degree() -> None:
    """Up to three rows the derivative at X along E is that at E along X; here there are four."""
    X, E, G = (Variable(letter, (M, M)) for letter in "XEG")
    rng = np.random.default_rng(4)
    values = {letter: rng.normal(size=(4, 4)) for letter in "XEG"}
    node = call("adj", X)
    along = directional(lambda x: evaluate(node, {"X": x}), values["X"], values["E"])
    for slope in (derivative(einsum("ij,ij->", G, node), X), derivative(node, X, "forward")):
        letters = "ij" if slope.order == 2 else "ijkl"
        paired = einsum(f"{letters},{letters[-2:]}->{letters[:-2]}", slope, E)
        expected = np.sum(values["G"] * along) if slope.order == 2 else along
        np.testing.assert_allclose(evaluate(paired, values), expected, rtol=1e-8, atol=1e-10)
    linear = derivative(call("adj_frechet", X, E), E, "forward")
    np.testing.assert_allclose(evaluate(einsum("ijkl,kl->ij", linear, E), values), along, rtol=1e-8, atol=1e-10)
    # the derivative of the derivative, in the direction of its second operand as well
    first = einsum("ij,ij->", G, call("adj_frechet", X, E))
    for variable, direction in ((X, "D"), (E, "D")):
        values["D"] = rng.normal(size=(4, 4))
        slope = einsum("ij,ij->", derivative(first, variable), Variable("D", (M, M)))

        def moved(x: Any, name: str = variable.name) -> Any:
            return evaluate(first, {**values, name: x})

        expected = directional(moved, values[variable.name], values[direction])
        assert evaluate(slope, values) == pytest.approx(float(expected), rel=1e-7)


# --- properties ----------------------------------------------------------------------------------


GIVEN = [
    pytest.param(record, given, id=f"{record.name}-{given}") for record in (*CALLS, *MAPS) for given in record.gives
]


@pytest.mark.parametrize(("record", "given"), GIVEN)
def test_what_an_operation_gives(record: Operation, given: str) -> None:
    if record.kind == "map":
        node, _, values = map_nodes(record)
        assert holds(given, evaluate(node, values, {"n": 12}))
        return
    for _, operands, parameters in call_cases(record)[:2]:
        node = call(record.name, *operands, **parameters)
        assert given in node.properties
        value = evaluate(node, draw(record, operands), sizes_with_minimum())
        matrices = value.reshape(-1, *value.shape[-2:]) if value.ndim > 2 else [value]
        assert all(holds(given, matrix) for matrix in matrices)


#: What is true of every value, whatever the operands.
OF_EVERY_VALUE = {
    "positive": "exp cosh sigmoid softplus erfc normpdf normcdf trigamma softmax ones pi inf",
    "nonnegative": "hypot relu huber abs step lt le gt ge eq ne norm1 var std norm norminf duplication svdvals nuclear "
    "spectral zeros vec_tensor vech_tensor argmax commutation",
    "integer": "argmax",
    "orthogonal": "commutation eigvecs I",
    "invertible": "inv expm",
    "lower": "chol",
    "diagonal_positive": "chol",
    "psd": "eigmaxproj eigminproj",
    "spd": "I",
    "diagonal": "I",
}


@each(RECORDS)
def test_a_record_gives_what_is_true_of_every_value(record: Operation) -> None:
    """With numbers it is tried above; here nothing is missing."""
    assert set(record.gives) == {fact for fact, given in OF_EVERY_VALUE.items() if record.name in given.split()}


#: What a fact of the operand makes of the value, from the literature.
CONSEQUENCES = [
    *((name, "spd", "positive") for name in ("det", "eigvals", "eigmax", "eigmin")),
    *((name, "psd", "nonnegative") for name in ("det", "eigvals", "eigmax", "eigmin")),
    *((name, "invertible", "nonzero") for name in ("det", "eigvals", "eigmax", "eigmin")),
    *((name, "invertible", "positive") for name in ("svdvals", "nuclear", "spectral")),
    *((name, "nonzero", "positive") for name in ("norm", "norminf", "nuclear", "spectral")),
    ("expm", "symmetric", "spd"),
    ("expm", "skew", "orthogonal"),
    ("logm", "orthogonal", "skew"),
    ("polar", "invertible", "orthogonal"),
    ("tracepow", "spd", "positive"),
]


@pytest.mark.parametrize(("name", "given", "value"), CONSEQUENCES)
def test_a_fact_of_the_operand_is_one_of_the_value(name: str, given: str, value: str) -> None:
    assert value in operation(name).turns.get(given, ())


def test_every_consequence_is_one_of_the_literature() -> None:
    """`tests/test_facts.py` tries them with numbers; none is there that is not listed here."""
    found = {
        (record.name, given, value) for record in RECORDS for given, all_ in record.turns.items() for value in all_
    }
    assert found == set(CONSEQUENCES)


# --- types ---------------------------------------------------------------------------------------


class Context:
    """A typing context in which every dimension is known."""

    def unify(self, left: Dim, right: Dim) -> None:
        if left != right:
            raise ShapeError(f"{left} and {right} differ")

    def resolve(self, dim: Dim) -> Dim:
        return dim

    def fresh(self) -> Dim:
        raise AssertionError("nothing is inferred here")

    def fail(self, message: str, hint: str | None = None) -> NoReturn:
        raise ShapeError(message, hint=hint)

    def note(self, message: str) -> None:
        raise AssertionError(message)


def typed(name: str, *types: Type, **options: object) -> tuple[Type, Callable[[Sequence[Node]], Node]]:
    return typing_rule(operation(name))(Context(), types, options)


def apply(name: str, *operands: tuple[str, Any], **options: object) -> tuple[Type, Any]:
    """The type and the value of an operation on arrays of given kinds, with batch axes tried as well."""
    kinds = [kind for kind, _ in operands]
    arrays = [np.asarray(value, dtype=float) for _, value in operands]
    shapes = [tuple(Dim.of(length) for length in value.shape) for value in arrays]
    types = [Type(kind, shape) for kind, shape in zip(kinds, shapes, strict=True)]  # type: ignore[arg-type]
    result, make = typed(name, *types, **options)
    nodes = [Variable(f"x{k}", shape) for k, shape in enumerate(shapes)]
    node = make(nodes)
    assert node.shape == result.shape
    value = evaluate(node, {f"x{k}": operand for k, operand in enumerate(arrays)}, {})
    lead = (Dim.of(2), Dim.of(5))
    wide = make([Variable(f"x{k}", (*lead, *shape)) for k, shape in enumerate(shapes)])
    stacked = {f"x{k}": np.broadcast_to(operand, (2, 5, *operand.shape)) for k, operand in enumerate(arrays)}
    if operands:
        batched = evaluate(wide, stacked, {})
        np.testing.assert_allclose(batched, np.broadcast_to(value, (2, 5, *value.shape)), rtol=1e-12)
    return result, value


RNG = np.random.default_rng(5)
A34, A33, S33 = RNG.normal(size=(3, 4)), RNG.normal(size=(3, 3)), array("spd", (3, 3), RNG)
X3, Y3, Z4 = RNG.normal(size=3), RNG.normal(size=3), RNG.normal(size=4)
T234 = RNG.uniform(0.5, 1.5, size=(2, 3, 4))

REDUCTIONS = {
    "sum": np.sum,
    "mean": np.mean,
    "prod": np.prod,
    "max": np.max,
    "min": np.min,
    "var": np.var,
    "std": np.std,
    "argmax": np.argmax,
    "logsumexp": scipy.special.logsumexp,
    "norm": lambda x, axis: np.sqrt(np.sum(x**2, axis=axis)),
    "norm2": lambda x, axis: np.sqrt(np.sum(x**2, axis=axis)),
    "normF": lambda x, axis: np.sqrt(np.sum(x**2, axis=axis)),
    "norm1": lambda x, axis: np.sum(np.abs(x), axis=axis),
    "norminf": lambda x, axis: np.max(np.abs(x), axis=axis),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name: str) -> None:
    reference = REDUCTIONS[name]
    for axis, kind in ((None, "scalar"), (0, "row"), (1, "column"), (-1, "column"), (-2, "row")):
        result, value = apply(name, ("matrix", A34), axis=axis)
        assert result.kind == kind
        np.testing.assert_allclose(value, reference(A34, axis=axis))
    for kind in ("column", "row"):
        for axis in (None, 0, -1):
            result, value = apply(name, (kind, X3), axis=axis)
            assert result == SCALAR
            np.testing.assert_allclose(value, reference(X3, axis=axis))
    result, value = apply(name, ("tensor", T234), axis=1)
    assert result.kind == "matrix"
    np.testing.assert_allclose(value, reference(T234, axis=1))
    np.testing.assert_allclose(apply(name, ("tensor", T234))[1], reference(T234, axis=None))
    with pytest.raises(ShapeError, match=f"{operation(name).name} has no axis 2") as caught:
        apply(name, ("matrix", A34), axis=2)
    assert caught.value.hint == "the axes are 0 to 1"
    usual = operation(name).options["axis"]
    np.testing.assert_array_equal(apply(name, ("tensor", T234), axis=usual)[1], apply(name, ("tensor", T234))[1])


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_of_a_number(name: str) -> None:
    for number_given in (2.5, -1.5):
        expected = REDUCTIONS[name](np.array([number_given]), axis=0)
        np.testing.assert_allclose(apply(name, ("scalar", number_given))[1], expected, atol=1e-15)


ROW_WISE = {
    "softmax": scipy.special.softmax,
    "log_softmax": scipy.special.log_softmax,
    "cumsum": np.cumsum,
    "normalize": lambda x, axis: x / np.sqrt(np.sum(x**2, axis=axis, keepdims=True)),
}


@pytest.mark.parametrize("name", ROW_WISE)
def test_row_wise_maps(name: str) -> None:
    with pytest.raises(ShapeError, match=rf"(?<!_){name} .*scalar"):
        apply(name, ("scalar", 1.0))
    for axis in (0, 1, -1, -2):
        result, value = apply(name, ("matrix", A34), axis=axis)
        assert result.kind == "matrix"
        np.testing.assert_allclose(value, ROW_WISE[name](A34, axis=axis))
    for options in ({}, {"axis": None}):
        np.testing.assert_allclose(apply(name, ("matrix", A34), **options)[1], ROW_WISE[name](A34, axis=-1))
    usual = operation(name).options["axis"]
    np.testing.assert_array_equal(apply(name, ("tensor", T234), axis=usual)[1], apply(name, ("tensor", T234))[1])
    for axis in (0, 1, 2):
        np.testing.assert_allclose(apply(name, ("tensor", T234), axis=axis)[1], ROW_WISE[name](T234, axis=axis))
    result, value = apply(name, ("row", X3))
    assert result.kind == "row"
    np.testing.assert_allclose(value, ROW_WISE[name](X3, axis=0))


@each([record for record in CALLS if "core" in record.parameters])
def test_a_call_acts_on_the_last_axis_unless_told(record: Operation) -> None:
    X = Variable("X", (M, N))
    assert call(record.name, X) == call(record.name, X, core=1)


def test_max_of_several_operands_is_entrywise() -> None:
    result, value = apply("max", ("matrix", A34), ("column", X3), ("row", Z4), ("scalar", 0.1))
    assert result.kind == "matrix"
    expected = np.maximum(np.maximum(np.maximum(A34, X3[:, None]), Z4), 0.1)
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(apply("min", ("scalar", 0.1), ("matrix", A34))[1], np.minimum(A34, 0.1))
    result, value = apply("min", ("scalar", 0.1), ("column", X3), ("matrix", A34), ("row", Z4))
    assert result.kind == "matrix"
    np.testing.assert_array_equal(value, np.minimum(np.minimum(np.minimum(0.1, X3[:, None]), A34), Z4))


def test_a_column_and_a_row_do_not_meet_entrywise() -> None:
    with pytest.raises(ShapeError, match="a column of length 3 with a row of length 3"):
        apply("max", ("column", X3), ("row", Y3))


@each([record for record in MAPS if record.typing is None])
def test_maps_are_broadcast(record: Operation) -> None:
    rng = generator(record.name)
    kinds = ("matrix", "column", "row")[: record.arity]
    shapes = ((3, 4), (3,), (4,))[: record.arity]
    drawn = [numbers(word, shape, rng) for word, shape in zip(words(record, record.arity), shapes, strict=True)]
    result, value = apply(record.name, *zip(kinds, drawn, strict=True))
    assert result.kind == "matrix"
    wide = [drawn[0], *(part[:, None] if part.shape == (3,) else part for part in drawn[1:])]
    node = Map(record.name, tuple(Variable(f"x{k}", (M, N)) for k in range(record.arity)), (), (M, N))
    np.testing.assert_allclose(value, run(node, [np.broadcast_to(part, (3, 4)) for part in wide]))


def test_optional_arguments_of_maps() -> None:
    np.testing.assert_allclose(apply("leaky_relu", ("column", X3))[1], np.where(X3 > 0, X3, 0.01 * X3))
    np.testing.assert_allclose(apply("leaky_relu", ("column", X3), ("scalar", 0.2))[1], np.where(X3 > 0, X3, 0.2 * X3))
    np.testing.assert_allclose(apply("elu", ("matrix", A34))[1], np.where(A34 > 0, A34, np.expm1(A34)))
    with pytest.raises(ShapeError, match="takes 1 to 2 arguments, not 3"):
        apply("elu", ("scalar", 1.0), ("scalar", 1.0), ("scalar", 1.0))


def column_matrix(kind: str, value: Any) -> Any:
    return {"scalar": np.atleast_2d(value), "column": np.reshape(value, (-1, 1)), "row": np.atleast_2d(value)}.get(
        kind, value
    )


KINDS = {"scalar": 1.7, "column": X3, "row": Z4, "matrix": A34}


@pytest.mark.parametrize("left", KINDS)
@pytest.mark.parametrize("right", ["scalar", "column", "row", "matrix"])
def test_kron(left: str, right: str) -> None:
    others = {"scalar": -0.3, "column": Z4, "row": Y3, "matrix": A33}
    result, value = apply("kron", (left, KINDS[left]), (right, others[right]))
    expected = np.kron(column_matrix(left, KINDS[left]), column_matrix(right, others[right]))
    np.testing.assert_allclose(value, expected.reshape(value.shape))
    rows = {"column", "matrix"} & {left, right}
    columns = {"row", "matrix"} & {left, right}
    kind = "matrix" if rows and columns else "column" if rows else "row" if columns else "scalar"
    assert result.kind == kind


VECH = np.concatenate([S33[j:, j] for j in range(3)])

SHAPED = [
    ("tr", [("matrix", A33)], "scalar", np.trace(A33)),
    ("tr", [("scalar", 2.0)], "scalar", 2.0),
    ("transpose", [("matrix", A34)], "matrix", A34.T),
    ("transpose", [("column", X3)], "row", X3),
    ("transpose", [("row", X3)], "column", X3),
    ("transpose", [("scalar", 2.0)], "scalar", 2.0),
    ("diag", [("column", X3)], "matrix", np.diag(X3)),
    ("diag", [("row", X3)], "matrix", np.diag(X3)),
    ("diag", [("matrix", A33)], "column", np.diag(A33)),
    ("diag", [("scalar", 2.0)], "scalar", 2.0),
    ("vec", [("scalar", 2.0)], "scalar", 2.0),
    ("vec", [("column", X3)], "column", X3),
    ("vec", [("matrix", A34)], "column", A34.ravel(order="F")),
    ("vec", [("row", X3)], "column", X3),
    ("vech", [("matrix", S33)], "column", VECH),
    ("outer", [("column", X3), ("row", Z4)], "matrix", np.outer(X3, Z4)),
    ("inner", [("matrix", A33), ("matrix", S33)], "scalar", np.sum(A33 * S33)),
    ("inner", [("column", X3), ("row", Y3)], "scalar", X3 @ Y3),
    ("dot", [("column", X3), ("column", Y3)], "scalar", X3 @ Y3),
    ("dot", [("matrix", A33), ("matrix", A34)], "matrix", A33 @ A34),
    ("dot", [("matrix", A34), ("column", Z4)], "column", A34 @ Z4),
    ("dot", [("row", X3), ("matrix", A34)], "row", X3 @ A34),
    ("dot", [("scalar", 2.0), ("matrix", A34)], "matrix", 2 * A34),
    ("solve", [("matrix", S33), ("column", X3)], "column", np.linalg.solve(S33, X3)),
    ("solve", [("matrix", S33), ("matrix", A34)], "matrix", np.linalg.solve(S33, A34)),
    ("cross", [("column", X3), ("column", Y3)], "column", np.cross(X3, Y3)),
    ("cross", [("row", X3), ("column", Y3)], "row", np.cross(X3, Y3)),
    ("prodexcept2", [("column", X3)], "matrix", np.prod(X3) / np.outer(X3, X3) * (1 - np.eye(3))),
    ("tril", [("matrix", A33)], "matrix", np.tril(A33)),
    ("triu", [("matrix", A33)], "matrix", np.triu(A33)),
    ("cofactor", [("matrix", A33)], "matrix", np.linalg.det(A33) * np.linalg.inv(A33).T),
    ("sqrt", [("matrix", np.abs(A34))], "matrix", np.sqrt(np.abs(A34))),
    ("square", [("column", X3)], "column", X3**2),
    ("reciprocal", [("row", X3)], "row", 1 / X3),
    ("prodexcept", [("column", X3)], "column", np.prod(X3) / X3),
    ("prodexcept", [("matrix", A34)], "matrix", np.prod(A34) / A34),
]


@pytest.mark.parametrize(("name", "operands", "kind", "expected"), SHAPED)
def test_expressions(name: str, operands: list[tuple[str, Any]], kind: str, expected: Any) -> None:
    result, value = apply(name, *operands)
    assert result.kind == kind
    np.testing.assert_allclose(value, expected, rtol=1e-10)


def test_commutation_and_duplication_matrices() -> None:
    """``K vec(A) = vec(A^T)`` and ``D vech(S) = vec(S)``: Magnus & Neudecker, chapter 3, sections 7 and 8."""
    result, swap = apply("commutation", sizes=(Dim.of(3), Dim.of(4)))
    assert result == Type("matrix", (Dim.of(12), Dim.of(12)))
    np.testing.assert_array_equal(swap @ A34.ravel(order="F"), A34.T.ravel(order="F"))
    result, double = apply("duplication", sizes=(Dim.of(3),))
    assert result == Type("matrix", (Dim.of(9), Dim.of(6)))
    np.testing.assert_array_equal(double @ VECH, S33.ravel(order="F"))


@pytest.mark.parametrize(
    ("name", "domain"), [("sqrt", "{0} >= 0"), ("pow", "{0} > 0"), ("reciprocal", "{0} != 0"), ("log1p", "{0} > -1")]
)
def test_domains_by_definition(name: str, domain: str) -> None:
    assert operation(name).domain == domain


def test_blockdiag() -> None:
    operands = [("matrix", A34), ("scalar", 2.0), ("column", X3), ("row", Z4)]
    result, value = apply("blockdiag", *operands)
    assert result.kind == "matrix"
    expected = scipy.linalg.block_diag(*(column_matrix(kind, block) for kind, block in operands))
    np.testing.assert_allclose(value, expected)


@pytest.mark.parametrize("axis", [0, 1])
def test_products_of_the_other_entries_along_an_axis(axis: int) -> None:
    result, value = apply("prodexcept", ("matrix", A34), axis=axis)
    assert result.kind == "matrix"
    np.testing.assert_allclose(value, np.prod(A34, axis=axis, keepdims=True) / A34)


def test_unvec_inverts_vec() -> None:
    sizes = (Dim.of(3), Dim.of(4))
    result, value = apply("unvec", ("column", A34.ravel(order="F")), sizes=sizes)
    assert result == Type("matrix", sizes)
    np.testing.assert_array_equal(value, A34)


def test_constants() -> None:
    three, four = Dim.of(3), Dim.of(4)
    np.testing.assert_array_equal(apply("eye", sizes=(three,))[1], np.eye(3))
    np.testing.assert_array_equal(apply("ones", sizes=(three, four))[1], np.ones((3, 4)))
    assert apply("ones", sizes=(three,))[0].kind == "column"
    assert apply("zeros", sizes=(three, three, four))[0].kind == "tensor"
    np.testing.assert_array_equal(apply("e", sizes=(Dim.of(2), three))[1], [0, 1, 0])
    assert apply("pi")[1] == pytest.approx(np.pi)
    assert apply("inf")[1] == np.inf
    np.testing.assert_array_equal(apply("eye", sizes=(three, three))[1], np.eye(3))
    with pytest.raises(ShapeError, match="3 and 4 differ"):
        apply("eye", sizes=(three, four))
    with pytest.raises(ShapeError, match="no place 4"):
        apply("e", sizes=(four, three))


@pytest.mark.parametrize("exponent", [-3, -1, 0, 1, 2, 5])
def test_written_matrix_powers_are_products(exponent: int) -> None:
    _, make = typed("matpow", Type("matrix", (N, N)), SCALAR)
    node = make([Variable("X", (N, N)), number(exponent)])
    np.testing.assert_allclose(evaluate(node, {"X": S33}, {"n": 3}), np.linalg.matrix_power(S33, exponent), rtol=1e-10)
    assert not isinstance(node, Call) or node.op != "matpow"


@pytest.mark.parametrize("exponent", [65, -65, None])
def test_long_and_unwritten_matrix_powers_are_calls(exponent: int | None) -> None:
    result, make = typed("matpow", Type("matrix", (N, N)), SCALAR)
    assert result.kind == "matrix"
    k = Variable("k", ()) if exponent is None else number(exponent)
    node = make([Variable("X", (N, N)), k])
    assert isinstance(node, Call)
    near = np.eye(3) + A33 / 100
    expected = np.linalg.matrix_power(near, 3 if exponent is None else exponent)
    np.testing.assert_allclose(evaluate(node, {"X": near, "k": 3.0}, {"n": 3}), expected, rtol=1e-10)


def test_a_polygamma_function_by_its_order() -> None:
    length = Dim.of(3)
    _, make = typed("polygamma", SCALAR, Type("column", (length,)))
    x = np.abs(X3) + 1
    value = evaluate(make([number(2), Variable("x", (length,))]), {"x": x})
    np.testing.assert_allclose(value, scipy.special.polygamma(2, x))


def test_constant_tensors() -> None:
    """What is told of them: the tensors of vec and vech, and the sign of a permutation."""
    three, four = Dim.of(3), Dim.of(4)
    _, pairs = apply("vec_tensor", sizes=(three, four))
    np.testing.assert_array_equal(np.einsum("rij,ij->r", pairs, A34), A34.ravel(order="F"))
    _, halves = apply("vech_tensor", sizes=(three,))
    np.testing.assert_array_equal(np.einsum("rij,ij->r", halves, S33), VECH)
    _, signs = apply("levi_civita")
    np.testing.assert_allclose(np.einsum("ijk,j,k->i", signs, X3, Y3), np.cross(X3, Y3))


def test_sizes_among_the_arguments() -> None:
    program = parse("unvec(v, 3, 4)", is_function=OPERATIONS.__contains__)
    node = elaborate(program, {"v": "vector(12)"}).node
    np.testing.assert_array_equal(evaluate(node, {"v": A34.ravel(order="F")}), A34)


def test_a_singular_matrix_has_no_inverse() -> None:
    X = Variable("X", (N, N))
    with pytest.raises(np.linalg.LinAlgError):
        run(call("inv", X), [np.ones((3, 3))])


def test_the_pseudo_inverse_of_a_square_variable() -> None:
    """Its rank is constant nearby where it is invertible."""
    X, change = Variable("X", (N, N)), Variable("d", (N, N))
    node = call("pinv", X)
    differential = operation("pinv").differential
    assert differential is not None
    linear = differential(node, 0, change)
    assert {part.op for part in postorder(linear) if isinstance(part, Call)} == {"inv"}
    base = array("invertible", (3, 3), np.random.default_rng(6))
    expected = directional(lambda x: evaluate(node, {"X": x}), base, A33)
    np.testing.assert_allclose(evaluate(linear, {"X": base, "d": A33}), expected, rtol=1e-8, atol=1e-10)


@call_parameters([record for record in SMOOTH_CALLS if record.name != "pinv"], batch=False)
def test_what_is_invertible_is_inverted(
    record: Operation, operands: list[Variable], parameters: dict[str, int]
) -> None:
    """A pseudo-inverse has the same value and costs a singular value decomposition."""
    node = call(record.name, *operands, **parameters)
    assert record.differential is not None
    for position, operand in enumerate(operands):
        if words(record, len(operands))[position] == "order":
            continue
        linear = record.differential(node, position, Variable("d", operand.shape))
        assert "pinv" not in {part.op for part in postorder(linear) if isinstance(part, Call)}


def test_a_broken_matrix_power_is_refused() -> None:
    _, make = typed("matpow", Type("matrix", (N, N)), SCALAR)
    with pytest.raises(Unsupported, match="1/2"):
        make([Variable("X", (N, N)), number(Dim.of(1).terms[0][1] / 2)])


REFUSED = [
    ("inv", [("matrix", A34)]),
    ("inv", [("column", X3)]),
    ("det", [("scalar", 1.0)]),
    ("tr", [("matrix", A34)]),
    ("diag", [("tensor", T234)]),
    ("vec", [("tensor", T234)]),
    ("outer", [("matrix", A34), ("column", X3)]),
    ("inner", [("column", X3), ("column", Z4)]),
    ("dot", [("matrix", A34), ("matrix", A34)]),
    ("dot", [("row", X3), ("tensor", T234)]),
    ("solve", [("matrix", A33), ("row", X3)]),
    ("cross", [("column", Z4), ("column", Z4)]),
    ("kron", [("tensor", T234), ("column", X3)]),
    ("blockdiag", []),
    ("softmax", [("scalar", 1.0)]),
    ("exp", [("scalar", 1.0), ("scalar", 1.0)]),
    ("polygamma", [("scalar", 1.5), ("column", X3)]),
    ("polygamma", [("column", X3), ("column", X3)]),
    ("matpow", [("matrix", A33), ("column", X3)]),
]


@pytest.mark.parametrize(("name", "operands"), REFUSED)
def test_shapes_that_do_not_fit_are_refused(name: str, operands: list[tuple[str, Any]]) -> None:
    with pytest.raises(MatcalcError):
        apply(name, *operands)


def test_the_shorter_side() -> None:
    assert shorter(N, N) == N
    assert shorter(N + 2, N) == N
    assert str(shorter(M, N)) == str(shorter(N, M)) == "min(m, n)"


# --- kernels -------------------------------------------------------------------------------------


def test_kernels_are_stable_far_out() -> None:
    x = np.array([-1000.0, -40.0, 0.0, 40.0, 1000.0])
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_allclose(runtime.sigmoid(x), scipy.special.expit(x), rtol=1e-14)
        np.testing.assert_allclose(runtime.softplus(x), np.logaddexp(0, x), rtol=1e-14)
        np.testing.assert_allclose(runtime.logsumexp(x), 1000.0)
        np.testing.assert_allclose(runtime.softmax(x), [0, 0, 0, 0, 1])
        np.testing.assert_allclose(runtime.log_softmax(x), x - 1000)
    assert runtime.logsumexp(np.array([-np.inf, -np.inf])) == -np.inf
    assert runtime.logsumexp(np.array([np.inf, 0])) == np.inf


@pytest.mark.parametrize("factor", [1e-320, 1e-200, 1.0, 1e200])
def test_the_norm_neither_overflows_nor_vanishes(factor: float) -> None:
    x = np.array([[3.0, 4.0], [0.0, 0.0]]) * factor
    np.testing.assert_allclose(runtime.norm(x), np.array([5.0, 0.0]) * factor, rtol=1e-3 if factor < 1e-300 else 1e-14)
    if factor > 1e-300:
        np.testing.assert_allclose(runtime.normalize(x), [[0.6, 0.8], [0, 0]], rtol=1e-14)


def test_the_norm_of_something_not_finite() -> None:
    assert runtime.norm(np.array([np.inf, 1.0])) == np.inf
    assert np.isnan(runtime.norm(np.array([np.nan, 1.0])))


def test_the_adjugate_of_a_singular_matrix() -> None:
    singular = np.array([[1.0, 2.0], [2.0, 4.0]])
    np.testing.assert_allclose(runtime.adjugate(singular), [[4.0, -2.0], [-2.0, 1.0]], atol=1e-14)
    assert runtime.adjugate(np.zeros((1, 1))) == pytest.approx(1.0)


def test_a_logarithm_that_is_not_real_is_not_a_number() -> None:
    assert np.all(np.isnan(runtime_scipy.logm(np.diag([-1.0, 2.0]))))
    np.testing.assert_allclose(runtime_scipy.sqrtm(np.stack([S33, S33]))[1] @ runtime_scipy.sqrtm(S33), S33)


def test_a_power_that_is_not_an_integer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2\.5"):
        runtime.matpow(np.eye(2), 2.5)


def test_a_sum_of_slopes_is_one_node() -> None:
    x = Variable("x", (N,))
    y = map_("tanh", x)
    slope = operation("tanh").slopes[0](y, x)
    assert slope == add([(1, ones((N,))), (-1, einsum("i,i->i", y, y))], (N,))


def test_the_derivative_of_the_adjugate_takes_the_matrix_first() -> None:
    """``adj_frechet(A, E)`` is the slope of adj at A along E, not of adj at E along A."""
    A, E = Variable("A", (N, N)), Variable("E", (N, N))
    rng = np.random.default_rng(3)
    a, e = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))

    def adjugate(matrix: np.ndarray) -> np.ndarray:
        return np.linalg.det(matrix) * np.linalg.inv(matrix)

    step = 1e-5
    slope = (adjugate(a + step * e) - adjugate(a - step * e)) / (2 * step)
    found = compile_function(call("adj_frechet", A, E), [A, E])(A=a, E=e)
    np.testing.assert_allclose(found, slope, rtol=1e-7, atol=1e-8)


def test_a_variable_of_any_name_is_apart_from_the_change() -> None:
    """The differential of a call is taken along a change of its own; a variable called d is another matrix."""
    d = Variable("d", (N, N))
    slope = derivative(einsum("ii->", call("inv", d)), d)
    values = {"d": np.random.default_rng(4).normal(size=(3, 3)) + 3 * np.eye(3)}
    inverse = np.linalg.inv(values["d"])
    np.testing.assert_allclose(evaluate(slope, values, {"n": 3}), -(inverse @ inverse).T, rtol=1e-10)
