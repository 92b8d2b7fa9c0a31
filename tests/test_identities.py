"""Every identity against numerical derivatives and against the engine, and the recognition of instances."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import permutations
from random import Random

import numpy as np
import oracle
import pytest
from node_eval import evaluate
from random_nodes import SIZES as SIZE_OF
from random_nodes import data, random_graph

from matcalc.calculus.derive import derivative, pushforward
from matcalc.calculus.formula import differentiate
from matcalc.calculus.identities import BY_NAME, IDENTITIES, Identity
from matcalc.calculus.identities.instance import instantiate
from matcalc.calculus.identities.match import Match, find_match, identify
from matcalc.calculus.identities.patterns import read
from matcalc.calculus.simplify import simplify
from matcalc.cli import main
from matcalc.elaborate import elaborate
from matcalc.expr.build import product, variables
from matcalc.expr.nodes import Node, Variable, postorder
from matcalc.expression import Expr
from matcalc.layout import arrange
from matcalc.ops.registry import OPERATIONS
from matcalc.rulebook import latex, nearest, page, rules
from matcalc.syntax.parse import parse, parse_type

Array = np.ndarray
Moves = list[tuple[str, Array]]
Point = tuple[dict[str, int], dict[str, Array]]

SIZES = (3, 4, 2, 5, 6, 7)
#: Conditions that samples meet with probability one, and those on the functions of a sample.
ALWAYS = frozenset(
    {
        "f differentiable",
        "g differentiable",
        "f and g differentiable",
        "the largest eigenvalue is simple",
        "the smallest eigenvalue is simple",
        "the largest entry is unique",
        "no margin is 1",
        "the largest singular value is simple",
        "sum(y) = 1, for a cross-entropy",
        "the rows of Y sum to 1, for a cross-entropy",
    }
)
#: Operations of the engine that the independent interpreter does not have.
OWN_OPERATIONS = frozenset(
    {"eigmaxproj", "eigminproj", "spectraldir", "expm_frechet", "tril", "vec_tensor", "vech_tensor"}
)


# --- points of the domain ------------------------------------------------------------------------


def holds(condition: str, values: dict[str, Array], dims: dict[str, int]) -> bool:
    """Whether a condition of a row holds at a point, computed from its words."""

    def value(text: str) -> Array:
        return oracle.evaluate(oracle.read(text), values, dims)

    if condition in ALWAYS:
        return True
    for ending, test in (
        (" invertible", lambda a: np.linalg.cond(a) < 1e3),
        (" symmetric", lambda a: np.allclose(a, a.T)),
        (" skew-symmetric", lambda a: np.allclose(a, -a.T)),
        (" diagonal", lambda a: np.allclose(a, np.diag(np.diag(a)))),
        (" positive definite", lambda a: np.allclose(a, a.T) and np.min(np.linalg.eigvalsh(a)) > 0),
        (" of full column rank", lambda a: a.shape[0] >= a.shape[1] and np.linalg.cond(a) < 1e3),
        (" of full row rank", lambda a: a.shape[0] <= a.shape[1] and np.linalg.cond(a) < 1e3),
    ):
        if condition.endswith(ending):
            subject = condition.removesuffix(ending)
            return all(test(value(text)) for text in re.split(r", | and ", subject))
    subject, sign, bound = re.fullmatch(r"(.*) (≠|>|<) (.*)", condition).groups()  # type: ignore[union-attr]
    every = subject.startswith("every entry of ")
    for text in subject.removeprefix("every entry of ").split(" and "):
        difference = value(text) - value(bound)
        if sign == "≠" and not (np.all(np.abs(difference) > 0.05) if every else np.max(np.abs(difference)) > 0.05):
            return False
        if (sign == ">" and np.min(difference) <= 0.02) or (sign == "<" and np.max(difference) >= -0.02):
            return False
    return True


def size_names(identity: Identity) -> list[str]:
    found = dict.fromkeys(
        name
        for kind in identity.types.values()
        for name in re.findall(r"[A-Za-z]\w*", kind.partition("(")[2].partition(")")[0])
    )
    return list(found)


def sides(identity: Identity, values: dict[str, Array], dims: dict[str, int]) -> list[bool]:
    """On which side of each number that is not zero a point lies: ``max(0, u)`` has two."""
    found = []
    for condition in identity.conditions:
        text, separator, _ = condition.partition(" ≠ 0")
        if separator and not text.startswith("every entry of ") and " and " not in text:
            difference = oracle.evaluate(oracle.read(text), values, dims)
            if difference.ndim == 0:
                found.append(bool(difference > 0))
    return found


@cache
def points(identity: Identity) -> list[Point]:
    """Two points at which the conditions of a row hold, all sizes distinct, on two sides of its kinks."""
    names = size_names(identity)
    found: list[Point] = []
    for seed in range(60):
        for sizes in permutations(SIZES, len(names)):
            dims = dict(zip(names, sizes, strict=True))
            values = oracle.sample(identity.types, dims, seed)
            if all(holds(condition, values, dims) for condition in identity.conditions):
                found.append((dims, values))
                break
        if len(found) < 2:
            continue
        first, last = (sides(identity, values, dims) for dims, values in (found[0], found[-1]))
        if first != last or not first or seed > 20:
            return [found[0], found[-1]]
    raise AssertionError(f"{identity.name}: no point of the domain found")


def texts(identity: Identity, text: str) -> Iterator[tuple[int, str]]:
    """A text of a row as a program, once for each sample of its functions."""
    for position, definitions in enumerate(identity.definitions or ("",)):
        yield position, f"{definitions}; {text}" if definitions else text


def close(got: Array, want: Array, tolerance: float) -> bool:
    assert got.shape == want.shape
    return bool(np.max(np.abs(got - want), initial=0.0) <= tolerance * max(1.0, np.max(np.abs(want), initial=0.0)))


def row_value(
    identity: Identity, sample: int, text: str, values: dict[str, Array], dims: dict[str, int], want: Array
) -> Array:
    """What a text of a row is at a point, by the independent interpreter wherever it can."""
    definitions = f"{identity.definitions[sample]}; " if identity.definitions else ""
    if any(name in text for name in OWN_OPERATIONS):
        return np.asarray(evaluate(read(identity, text, sample=sample), values, dims))
    result = oracle.evaluate(oracle.read(definitions + text), values, dims, want.shape)
    return np.asarray(np.broadcast_to(result, want.shape) if not np.any(result) else result)


# --- the rows ------------------------------------------------------------------------------------


def test_the_table_is_large_and_its_names_are_unique() -> None:
    assert len(IDENTITIES) >= 150
    assert len(BY_NAME) == len(IDENTITIES)
    assert all(identity.reference and identity.family for identity in IDENTITIES)
    expressions = [(i.expression, i.wrt, i.order, i.layout, i.declarations, i.kind, i.result) for i in IDENTITIES]
    assert len(set(expressions)) == len(expressions)


@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda identity: identity.name)
def test_rows_are_programs_over_declared_names(identity: Identity) -> None:
    expression = read(identity, identity.expression)
    changes: set[str] = set()
    shape = expression.shape
    if identity.kind == "differential":
        changes = {f"d{name}" for name in identity.variables}
    elif identity.kind == "derivative":
        shape += tuple(dim for name in identity.variables for dim in symbol(identity, name).shape)
    result = read(identity, identity.result, None if identity.layout == "vec" else shape)
    assert {variable.name for variable in variables(expression, result)} <= {*identity.types, *changes}
    assert identity.kind == "equality" or identity.variables
    assert set(identity.variables) <= set(identity.types)


def symbol(identity: Identity, name: str) -> Variable:
    """A variable of a row."""
    made = elaborate(parse(name, is_function=OPERATIONS.__contains__), {name: identity.types[name]})
    assert isinstance(made.node, Variable)
    return made.node


def flattened(array: Array, output_order: int) -> Array:
    """The matrix of ``vec(dF) = J vec(dX)``."""
    rows = int(np.prod(array.shape[:output_order]))
    both = array.reshape(array.shape[:output_order], order="F") if output_order == array.ndim else array
    return both.reshape((rows, -1), order="F")


DERIVATIVES = [identity for identity in IDENTITIES if identity.kind == "derivative"]


def numerical(identity: Identity, program: str, values: dict[str, Array], dims: dict[str, int]) -> tuple[Array, float]:
    """The derivative by the independent interpreter alone, and how far it can be trusted."""
    names = identity.variables
    read_program = oracle.read(program)
    kwargs = {"order": 2, "wrt2": names[1]} if len(names) == 2 else {}
    try:
        want = oracle.derivative(read_program, values, dims, names[0], types=identity.types, method="complex", **kwargs)
        return want, 1e-10 if len(names) == 1 else 1e-8
    except oracle.NotAnalyticError:
        want = oracle.derivative(
            read_program, values, dims, names[0], types=identity.types, method="differences", **kwargs
        )
        return want, 1e-7 if len(names) == 1 else 1e-5


@pytest.mark.parametrize("identity", DERIVATIVES, ids=lambda identity: identity.name)
def test_derivatives_agree_with_numerical_ones(identity: Identity) -> None:
    for dims, values in points(identity):
        for sample, program in texts(identity, identity.expression):
            want, tolerance = numerical(identity, program, values, dims)
            if identity.layout == "vec":
                order = want.ndim - sum(values[name].ndim for name in identity.variables)
                want = flattened(want, order)
            got = row_value(identity, sample, identity.result, values, dims, want)
            assert close(got, want, tolerance), identity.name


@pytest.mark.parametrize("identity", DERIVATIVES, ids=lambda identity: identity.name)
def test_derivatives_agree_with_the_engine(identity: Identity) -> None:
    for sample, _ in texts(identity, identity.expression):
        root = read(identity, identity.expression, sample=sample)
        inside = {variable.name: variable for variable in variables(root)}
        wrt = [inside[name] for name in identity.variables]
        computed = differentiate(root, wrt)
        orders = (root.order, *(variable.order for variable in wrt))
        arranged = simplify(arrange(computed, orders, identity.layout).node)[0]
        stated = read(identity, identity.result, arranged.shape, sample)
        assert stated.shape == arranged.shape
        if stated == arranged:
            continue
        for dims, values in points(identity):
            assert close(np.asarray(evaluate(stated, values, dims)), np.asarray(evaluate(arranged, values, dims)), 1e-9)


@pytest.mark.parametrize(
    "identity", [i for i in IDENTITIES if i.kind == "differential"], ids=lambda identity: identity.name
)
def test_differentials_agree_with_differences_and_with_the_engine(identity: Identity) -> None:
    """Along a random direction of the space of the variables, for all of them at once."""
    for dims, values in points(identity):
        random = np.random.default_rng(5)
        changes: dict[str, Array] = {}
        for name in identity.variables:
            basis = oracle.directions(values[name].shape, parse_type(identity.types[name]).properties)
            changes[name] = sum(random.standard_normal() * along for along in basis)
        moves = {f"d{name}": change for name, change in changes.items()}
        for sample, program in texts(identity, identity.expression):
            at = oracle.Differentiator(oracle.read(program), values, dims)

            ahead, behind = ([(name, sign * change) for name, change in changes.items()] for sign in (1, -1))

            def moved(h: float, at: oracle.Differentiator = at, ahead: Moves = ahead, behind: Moves = behind) -> Array:
                there, back = (at.at([(name, h * change) for name, change in moves]) for moves in (ahead, behind))
                return (there - back) / (2 * h)

            want = oracle.richardson(moved, 0.02, 4)
            result = row_value(identity, sample, identity.result, {**values, **moves}, dims, want)
            assert close(result, want, 1e-7)
            root = read(identity, identity.expression, sample=sample)
            seeds: dict[Variable, Node] = {
                variable: Variable(f"d{variable.name}", variable.shape, variable.properties)
                for variable in variables(root)
                if variable.name in changes
            }
            pushed = evaluate(pushforward(root, seeds), {**values, **moves}, dims)
            assert close(np.asarray(pushed), want, 1e-7)


@pytest.mark.parametrize(
    "identity", [i for i in IDENTITIES if i.kind == "equality"], ids=lambda identity: identity.name
)
def test_equalities_hold(identity: Identity) -> None:
    for dims, values in points(identity):
        left, right = (
            oracle.evaluate(oracle.read(text), values, dims) for text in (identity.expression, identity.result)
        )
        assert close(left, right, 1e-9)
        both = [
            np.asarray(evaluate(read(identity, text), values, dims)) for text in (identity.expression, identity.result)
        ]
        assert close(both[0], left, 1e-9)
        assert close(both[1], left, 1e-9)


# --- instances -----------------------------------------------------------------------------------

#: What stands for a name in an instance, by the order of its shape and whether it has declared structure.
REPLACEMENTS = {
    0: ("{0}1 + 2 {0}2", "{0}1 {0}2"),
    1: ("{0}1 + 2 {0}2", "{0}1 .* {0}2"),
    2: ("{0}1 + 2 {0}2", "{0}1 .* {0}2"),
}
RECOGNISED = [i for i in DERIVATIVES if len(set(i.variables)) == 1]
#: Rows whose expression is the same node as that of another row, so that either may be cited.
SAME_NODE = {
    "bilinear form by the transposed matrix",
    "multivariate least squares by the left matrix",
    "trace of a product with the transpose",
    "inner product of matrices",
    "trace of X^T X",
    "inverse, in vec form",
    "transposed linear map",
    "product from both sides, in vec form",
    "trace with a diagonal matrix",
    "inner product of vecs",
    "entrywise function",
    "entrywise quotient by the numerator",
    "sum of squares",
    "Gaussian process evidence by the kernel",
    "divergence of two Gaussians by the covariance",
}
#: Instances that are beyond recognition: products in the place of names that are contracted with each other, a sum in
#: the place of a name in a part that is free of the variable.
UNRECOGNISED = {
    ("ridge solution by the penalty", 1),
    ("squared norm of a Kronecker product", 1),
    ("cross-entropy of a linear classifier by its input", 1),
    ("Gaussian log-density by the variance", 0),
}
#: Rows that simplify to something else where the variable is an exponential.
SIMPLIFIED = {
    "lasso",
    "entropy",
    "Kullback-Leibler divergence by the first distribution",
    "Gaussian log-density by the variance",
}


def of_name(expr: Expr, name: str) -> Variable:
    return expr.occurring[name]


def agrees(expected: Node, stated: Node, types: dict[str, str], identity: Identity) -> bool:
    """Whether two nodes have the same values, at two points at which they have any."""
    if expected == stated:
        return True
    compared = 0
    for seed in range(20):
        dims = oracle.choose_dimensions(types, points(identity)[0][0])
        values = oracle.sample(types, dims, seed)
        with np.errstate(all="ignore"):
            left, right = (np.asarray(evaluate(node, values, dims)) for node in (expected, stated))
        if not np.all(np.isfinite(left)):
            continue
        if not close(right, left, 1e-7):
            return False
        compared += 1
        if compared == 2:
            return True
    raise AssertionError("no point of the domain was found")


@pytest.mark.parametrize("identity", RECOGNISED, ids=lambda identity: identity.name)
def test_a_row_recognises_itself(identity: Identity) -> None:
    node = read(identity, identity.expression)
    variable = symbol(identity, identity.variables[0])
    found = find_match(node, variable, identity.order)
    assert found is not None
    assert found.inner == variable
    if found.identity is not identity:
        assert identity.name in SAME_NODE
    if found.identity.layout == "gradient":
        computed = differentiate(node, [variable] * identity.order)
        assert agrees(computed, instantiate(found), identity.types, identity)


def instance(identity: Identity, kind: int) -> tuple[str, dict[str, str]]:
    """A program in which every other name of a row is an expression, and the types of its names."""
    types: dict[str, str] = {}
    text = ""
    for name, declared in identity.types.items():
        if name in identity.variables:
            types[name] = declared
            continue
        structured = bool(set(parse_type(declared).properties) - {"positive"})
        form = REPLACEMENTS[len(parse_type(declared).dims)][0 if structured else kind]
        text += f"{name} = {form.format(name)}; "
        types |= {f"{name}1": declared, f"{name}2": declared}
    definitions = f"{identity.definitions[0]}; " if identity.definitions else ""
    return f"{definitions}{text}3 c0 ({identity.expression})", types | {"c0": "scalar"}


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("identity", RECOGNISED, ids=lambda identity: identity.name)
def test_instances_are_recognised_with_the_right_derivative(identity: Identity, kind: int) -> None:
    text, types = instance(identity, kind)
    expr = Expr(text, types)
    variable = of_name(expr, identity.variables[0])
    found = find_match(expr.simplified, variable, identity.order)
    if (identity.name, kind) in UNRECOGNISED:
        assert found is None or found.inner != variable
        return
    assert found is not None
    assert found.inner == variable
    if found.identity.layout == "gradient":
        computed = differentiate(expr.simplified, [variable] * identity.order)
        assert agrees(computed, instantiate(found), types, identity)


def completed(found: Match, node: Node, variable: Variable) -> Node:
    """The derivative that a match states, by the variable: that of the row, times that of the node between."""
    outer = instantiate(found)
    if found.inner == variable:
        return outer
    lead, middle = node.order, found.inner.order
    names = tuple(range(lead + middle + variable.order))
    inner = derivative(found.inner, variable)
    out = (*names[:lead], *names[lead + middle :])
    return product([(outer, 1, names[: lead + middle]), (inner, 1, names[lead:])], out)


INNER = {0: "exp(a0 q0)", 1: "exp(M0 q0)", 2: "exp(M0 Q0)"}
#: What the variable of an instance by the chain rule depends on.
DEEP = {0: "scalar", 1: "vector(h)", 2: "matrix(h, {1})"}


@pytest.mark.parametrize(
    "identity",
    [i for i in RECOGNISED if i.order == 1 and not set(parse_type(i.types[i.wrt]).properties) - {"positive"}],
    ids=lambda identity: identity.name,
)
def test_the_chain_rule_is_seen(identity: Identity) -> None:
    """With ``exp(M0 q0)`` for the variable, some row holds for a node between, whose derivative completes it."""
    declared = parse_type(identity.types[identity.wrt])
    dims = identity.types[identity.wrt].partition("(")[2].rpartition(")")[0].split(", ")
    order = len(declared.dims)
    deep = "Q0" if order == 2 else "q0"
    types = {name: kind for name, kind in identity.types.items() if name != identity.wrt}
    types[deep] = DEEP[order].format(*dims)
    types |= {"a0": "scalar"} if not order else {"M0": f"matrix({dims[0]}, h)"}
    definitions = f"{identity.definitions[0]}; " if identity.definitions else ""
    expr = Expr(f"{definitions}{identity.wrt} = {INNER[order]}; {identity.expression}", types)
    variable = of_name(expr, deep)
    found = find_match(expr.simplified, variable)
    if found is None:
        assert identity.name in SIMPLIFIED
        return
    if found.identity.layout != "gradient":
        return
    outer = completed(found, expr.simplified, variable)
    assert agrees(derivative(expr.simplified, variable), outer, types, identity)


@pytest.mark.parametrize(
    ("text", "wrt", "name"),
    [
        ("3 x^T A x", "x", "quadratic form"),
        ("x^T (A + B C) x", "x", "quadratic form"),
        ("x^T A^T A x", "x", "quadratic form, symmetric matrix"),
        ("lambda x^T x", "x", "squared Euclidean norm"),
        ("||X w - y||^2", "w", "least squares"),
        ("||y - X w||^2", "w", "least squares"),
        ("sum_{i=1}^N (y_i - w^T X_i)^2", "w", "least squares"),
        ("tr(B X C)", "X", "trace of a product from both sides"),
        ("log(det(S))", "S", "log determinant"),
        ("log(sum(exp(z)))", "z", "log-sum-exp"),
        ("tanh(z)", "z", "hyperbolic tangent"),
        ("gelu(z)", "z", "entrywise function"),
        ("sum(gelu(z))", "z", "sum of an entrywise function"),
        ("(x^T B x) / (x^T x)", "x", "Rayleigh quotient, any matrix"),
    ],
)
def test_what_people_write_is_recognised(text: str, wrt: str, name: str) -> None:
    expr = Expr(text, {"X": "matrix(N, d)"} if "X_i" in text else None)
    found = identify(expr.simplified, of_name(expr, wrt))
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    ("text", "wrt"),
    [("sin(x)^T A exp(x)", "x"), ("(a^T x) exp(b^T x)", "x"), ("sum(x .* sin(x))", "x"), ("a^T b", "x")],
)
def test_what_is_no_instance_is_not_recognised(text: str, wrt: str) -> None:
    expr = Expr(text)
    variable = expr.occurring.get(wrt) or Variable(wrt, expr.occurring["a"].shape)
    assert identify(expr.simplified, variable) is None


def test_a_symmetric_variable_is_not_taken_for_a_diagonal_one() -> None:
    expr = Expr("tr(A X)", {"X": "matrix(n, n) symmetric"})
    found = identify(expr.simplified, of_name(expr, "X"))
    assert found is not None
    assert found.name == "trace of a product, symmetric variable"


def test_deep_and_long_expressions_are_matched() -> None:
    """Without recursion on their depth, and without trying the orders of their terms."""
    deep = "x" + "".join(f"; h{k} = tanh(W h{k - 1})" if k else "; h0 = x" for k in range(400))
    expr = Expr(deep.removeprefix("x; ") + "; sum(h399)", {"W": "matrix(n, n)", "x": "vector(n)"})
    found = find_match(expr.simplified, of_name(expr, "x"))
    assert found is not None
    assert found.inner != of_name(expr, "x")
    long = Expr(" + ".join(f"c_{k}^T x" for k in range(300)), {"x": "vector(n)"})
    assert identify(long.simplified, of_name(long, "x")) is None


# --- searching -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("log det", "log determinant"),
        ("logdet", "log determinant"),
        ("quadratic form", "quadratic form"),
        ("tr(A X", "trace of a product"),
        ("x'Ax", "quadratic form"),
        ("xᵀ A x", "quadratic form"),
        ("w^T B w", "quadratic form"),
        ("||M v - c||^2", "least squares"),
        ("softmax", "softmax"),
        ("Woodbury", "Woodbury identity"),
        ("eq 57", "log determinant"),
        ("hessian logistic", "Hessian of the logistic loss, labels -1 and 1"),
        ("relu", "rectifier"),
        ("mse", "mean squared error"),
        ("sigmoid", "logistic function"),
        ("KL", "Kullback-Leibler divergence by the first distribution"),
        ("differential inverse", "differential of an inverse"),
    ],
)
def test_people_find_what_they_look_for(query: str, first: str) -> None:
    assert rules(query)[0].name == first


def test_every_row_is_found_by_its_name_and_its_formula() -> None:
    for identity in IDENTITIES:
        assert identity in rules(identity.name)
        assert identity in rules(identity.statement)


def test_without_a_query_all_rows_are_listed() -> None:
    assert rules() == IDENTITIES
    assert rules("  ") == IDENTITIES


def test_nothing_is_found_for_nonsense_and_the_nearest_are_named() -> None:
    assert rules("gausian") == ()
    assert any("Gaussian" in name for name in nearest("gausian"))
    assert rules("zzz (qqq") == ()
    assert set(nearest("kroneker")) <= set(BY_NAME)


@pytest.mark.parametrize(
    "query", ["(", ")", "|", "^", "a^", "\\frac", "x" * 5000, "((((", "1/0", "é", "\x00", "sum_{i"]
)
def test_no_query_is_an_error(query: str) -> None:
    assert isinstance(rules(query), tuple)
    assert isinstance(nearest(query), tuple)


@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda identity: identity.name)
def test_rows_are_printed(identity: Identity) -> None:
    printed = latex(identity)
    assert printed.count("{") == printed.count("}")
    assert "operatorname{d" not in printed.replace("operatorname{diag", "").replace("operatorname{det", "").replace(
        "operatorname{digamma", ""
    )
    assert f"{identity.name} | " in page([identity])


def test_the_command_finds_and_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "log", "det", "gram"]) == 0
    out = capsys.readouterr().out
    assert "d/dX (logdet(X^T X)) = 2 X (X^T X)^-1" in out
    assert "X of full column rank" in out
    assert main(["rules", "gausian"]) == 1
    assert "Gaussian" in capsys.readouterr().err
    assert main(["rules", "Woodbury", "--json"]) == 0
    envelope = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in envelope["result"]["rules"]] == ["Woodbury identity"]
    assert main(["rules", "gausian", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False
    assert main(["rules", "log determinant", "--latex"]) == 0
    assert capsys.readouterr().out.startswith(r"\frac{\partial}{\partial X}")


@pytest.mark.parametrize(
    ("arguments", "table", "numbers"),
    [(["diff", "x^T A x", "--wrt", "x"], False, False), (["rules", "w^T B w"], True, False)],
    ids=["diff", "rules"],
)
def test_what_is_imported(arguments: list[str], table: bool, numbers: bool) -> None:
    """A derivative does without the table, and the table without NumPy."""
    code = f"import sys; from matcalc.cli import main; main({arguments!r}); print(sorted(sys.modules), file=sys.stderr)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stderr
    assert ("'matcalc.calculus.identities'" in modules) is table
    assert ("'numpy'" in modules) is numbers


def test_the_answer_is_the_same_in_every_process() -> None:
    """Rows and what their names stand for do not depend on the hash seed."""
    code = (
        "from matcalc.expression import Expr\n"
        "from matcalc.calculus.identities.match import find_match\n"
        "for text in ('x^T A B x', 'sum(w .* x.^2) / c', 'tr(A X B X^T)', '(x^T A x) / (x^T x)'):\n"
        "    expr = Expr(text)\n"
        "    name = 'X' if 'X' in text else 'x'\n"
        "    m = find_match(expr.simplified, expr.occurring[name])\n"
        "    print(m.identity.name, m.inner, m.coefficient, sorted((k, repr(v)) for k, v in m.bindings.items()))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(outputs) == 1


def test_random_matches_state_the_derivative() -> None:
    """Whatever is found in random graphs, by the variable or by the chain rule, is the derivative of what was given."""
    found = 0
    for seed in range(150):
        (root,) = simplify(random_graph(Random(seed), 5))
        values = data(Random(seed))
        for node in postorder(root):
            for variable in variables(node) if node.order <= 2 else ():
                match = find_match(node, variable)
                if match is None or match.identity.layout != "gradient" or node == variable:
                    continue
                computed, stated = derivative(node, variable), completed(match, node, variable)
                with np.errstate(all="ignore"):
                    want, got = (np.asarray(evaluate(side, values, SIZE_OF)) for side in (computed, stated))
                if np.all(np.isfinite(want)):
                    assert close(got, want, 1e-7), match.identity.name
                    found += 1
    assert found > 100
