"""What is known of nodes is true of numbers: facts of random nodes, and every rule by which they are inferred."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
import pytest
import scipy.linalg
from fact_samples import holds, with_properties
from node_eval import evaluate

from matcalc.calculus.simplify import simplify
from matcalc.elaborate import elaborate
from matcalc.errors import DomainError
from matcalc.expr.build import add, einsum, elementwise, number, ones, permute, power, product, scale, transpose
from matcalc.expr.dims import Dim
from matcalc.expr.facts import FACTS, known
from matcalc.expr.facts.algebra import closure, contradictory
from matcalc.expr.facts.ranges import RANGES
from matcalc.expr.nodes import Map, Node, Product, Structure, Variable, postorder
from matcalc.ops.apply import call
from matcalc.ops.linalg import CALLS as MATRIX_CALLS
from matcalc.ops.record import Operation
from matcalc.ops.reductions import CALLS as REDUCTION_CALLS
from matcalc.ops.registry import OPERATIONS
from matcalc.ops.signature import cores
from matcalc.syntax.parse import parse

SIZES = {"n": 3, "m": 4, "k": 2}
N, M, K = (Dim.of(name) for name in SIZES)
DECLARED = {
    "a": (),
    "c": ("positive",),
    "d": ("nonnegative",),
    "g": ("integer",),
}
SQUARE_ONES = {
    "A": (),
    "S": ("symmetric",),
    "F": ("symmetric", "positive"),
    "H": ("spd",),
    "G": ("psd",),
    "Q": ("orthogonal",),
    "W": ("skew",),
    "D": ("diagonal",),
    "E": ("diagonal", "positive"),
    "L": ("lower",),
    "P": ("lower", "positive"),
    "U": ("upper",),
    "R": ("upper", "nonnegative"),
}
VARIABLES: dict[str, Variable] = {
    **{name: Variable(name, (), properties) for name, properties in DECLARED.items()},
    **{name: Variable(name, (N, N), properties) for name, properties in SQUARE_ONES.items()},
    "x": Variable("x", (N,)),
    "y": Variable("y", (N,), ("positive",)),
    "z": Variable("z", (N,), ("nonnegative",)),
    "B": Variable("B", (M, N)),
    "C": Variable("C", (N, K)),
}
TRIALS = 12


def values_for(seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        name: np.asarray(
            with_properties(variable.properties, tuple(d.evaluate(SIZES) for d in variable.shape), generator)
        )
        for name, variable in VARIABLES.items()
    }


def assert_facts(node: Node, trials: int = TRIALS) -> None:
    """Everything known to be true holds of sampled values, and nothing that is known to be false does."""
    answers = {fact: known(node, fact) for fact in FACTS}
    for seed in range(trials):
        with np.errstate(all="ignore"):
            value = evaluate(node, values_for(seed), SIZES)
        if not np.all(np.isfinite(value)):
            continue
        for fact, answer in answers.items():
            if answer is not None:
                assert holds(fact, value) == answer, (fact, answer, value)


def read(text: str) -> Node:
    types = dict.fromkeys(DECLARED, "scalar") | dict.fromkeys(SQUARE_ONES, "matrix(n, n)")
    types |= {"x": "vector(n)", "y": "vector(n)", "z": "vector(n)", "B": "matrix(m, n)", "C": "matrix(n, k)"}
    given = {name: " ".join((kind, *sorted(VARIABLES[name].properties))) for name, kind in types.items()}
    program = parse(text, is_function=OPERATIONS.__contains__)
    return elaborate(program, {name: kind for name, kind in given.items() if re.search(rf"\b{name}\b", text)}).node


# --- each rule -----------------------------------------------------------------------------------

RULES = [
    # sums
    ("S + H", "symmetric", ""),
    ("2 H + G", "spd invertible", "skew zero"),
    ("-H", "symmetric invertible diagonal_negative", "psd spd"),
    ("D + E", "diagonal", ""),
    ("L + 3 P", "lower", ""),
    ("2 W", "skew", "spd diagonal_positive"),
    ("c + d", "positive", "negative"),
    ("-c - d", "negative nonzero", "nonnegative"),
    ("g + 2", "positive integer", ""),
    ("A A^T + c I", "spd", "zero"),
    ("I - 2 x x^T/(x^T x)", "symmetric", ""),
    # products
    ("A^T A", "psd symmetric", ""),
    ("B^T B", "psd", ""),
    ("A^T H A", "psd", ""),
    ("Q^T H Q", "spd", "zero"),
    ("B H B^T", "psd", ""),
    ("C^T G C", "psd", ""),
    ("B^T diag(B z) B", "", ""),
    ("A diag(z) A^T", "psd", ""),
    ("H .* G", "psd", ""),
    ("H .* (x x^T)", "psd", ""),
    ("H S H", "", ""),
    ("S S", "psd", ""),
    ("S S S S", "psd", ""),
    ("W W", "", ""),
    ("x x^T", "psd rank_one", ""),
    ("y y^T", "positive psd", ""),
    ("x^T H x", "nonnegative", "negative"),
    ("x^T A^T A x", "nonnegative", ""),
    ("x^T x", "nonnegative", ""),
    ("tr(G)", "nonnegative", ""),
    ("tr(H)", "positive", "zero"),
    ("tr(A A)", "", ""),
    ("A .* A^T", "", ""),
    ("sum(y)", "positive", ""),
    ("sum(y .* z)", "nonnegative", ""),
    ("L P", "lower", ""),
    ("L D P", "lower", ""),
    ("U R", "upper", ""),
    ("L U", "", ""),
    ("L .* A", "lower", ""),
    ("L .* U", "diagonal", ""),
    ("L^T", "upper", ""),
    ("D E", "diagonal", ""),
    ("diag(x)", "diagonal", ""),
    ("diag(y)", "spd", "skew"),
    ("diag(z)", "psd", ""),
    ("diag(H)", "positive", ""),
    ("Q Q Q", "orthogonal invertible", "zero"),
    ("-Q", "orthogonal", ""),
    ("Q P", "invertible", ""),
    ("c Q", "invertible", ""),
    ("kron(H, G)", "psd", ""),
    ("kron(H, H)", "psd spd", ""),
    ("kron(Q, Q)", "orthogonal", ""),
    ("ones(n, n) - 0 A", "positive psd rank_one", "negative zero skew"),
    # entrywise
    ("c d", "nonnegative", "negative"),
    ("-c c", "negative", "positive"),
    ("a^2", "nonnegative", "negative"),
    ("c^a", "positive", ""),
    ("sqrt(c)", "positive", ""),
    ("1/c", "positive", ""),
    ("tanh(-c)", "negative", "zero"),
    ("tanh(L)", "lower", ""),
    ("tanh(D)", "diagonal", ""),
    ("exp(S)", "positive", "skew"),
    ("relu(-c)", "zero", "positive"),
    ("max(c, a)", "positive", ""),
    ("min(-c, a)", "negative", ""),
    ("max(a, d)", "nonnegative", ""),
    # functions of matrices
    ("H^-1", "spd", ""),
    ("Q^-1", "orthogonal", ""),
    ("P^-1", "lower invertible", ""),
    ("chol(H)", "lower invertible diagonal_positive", "skew"),
    ("chol(H) chol(H)^T", "spd", ""),
    ("expm(A)", "invertible", "zero"),
    ("expm(S)", "spd", ""),
    ("expm(W)", "orthogonal", ""),
    ("logm(H)", "symmetric", ""),
    ("sqrtm(H)", "spd", ""),
    ("pinv(G)", "psd", ""),
    ("adj(L)", "lower", ""),
    ("adj(L^T)", "upper", ""),
    ("expm(L^T)", "upper", ""),
    ("(P^T)^-1", "upper", ""),
    ("det(H)", "positive", "zero"),
    ("det(Q)", "nonzero", "zero"),
    ("eigvals(H)", "positive", ""),
    ("eigmin(H)", "positive", ""),
    ("nuclear(Q)", "positive", ""),
    ("prod(y)", "positive", ""),
    ("max(-y)", "negative", ""),
    ("norm(y)", "positive", ""),
    ("blockdiag(H, G)", "psd", ""),
]


@pytest.mark.parametrize(("text", "true", "false"), RULES, ids=[row[0] for row in RULES])
def test_a_rule_of_inference(text: str, true: str, false: str) -> None:
    node = read(text)
    for fact in set(true.split()):
        assert known(node, fact) is True, fact
    for fact in set(false.split()):
        assert known(node, fact) is False, fact
    for part in postorder(node):
        assert_facts(part)


@pytest.mark.parametrize("text", [text for text, _, _ in RULES])
def test_what_is_known_holds_in_normal_form(text: str) -> None:
    # a call of a transpose once kept the triangle of its argument when the transpose was taken out of it
    for part in postorder(*simplify(read(text))):
        assert_facts(part)


UNKNOWN = [
    ("A + A", "symmetric"),
    ("tr(A A)", "nonnegative"),
    ("A .* A^T", "psd"),
    ("A^T A", "spd"),
    ("H S H", "psd"),
    ("H G", "psd"),
    ("S - H", "psd"),
    ("H G", "symmetric"),
    ("P", "positive"),
    ("x", "nonzero"),
    ("B", "symmetric"),
    ("x x^T", "invertible"),
]


@pytest.mark.parametrize(("text", "fact"), UNKNOWN)
def test_what_may_or_may_not_be_is_unknown(text: str, fact: str) -> None:
    assert known(read(text), fact) is None


def test_a_false_fact_needs_a_size_that_is_a_number() -> None:
    three = Dim.of(3)
    x, W = Variable("x", (three,)), Variable("W", (three, three), {"skew"})
    assert known(einsum("i,j->ij", x, x), "invertible") is False
    assert known(W, "invertible") is False, "a skew matrix of odd size is singular"
    assert known(Variable("F", (three, Dim.of(2))), "symmetric") is False
    assert known(Variable("F", (N, N + 1)), "symmetric") is False


def test_a_fact_without_a_name_is_refused() -> None:
    with pytest.raises(KeyError):
        known(number(1), "beautiful")


# --- compositions --------------------------------------------------------------------------------

MAPS = ("exp", "tanh", "abs", "relu", "sign", "sigmoid", "sinh", "atan", "floor", "ceil", "step", "softplus", "erf")
SQUARE_CALLS = ("inv", "expm", "pinv", "sqrtm", "chol", "logm", "adj")


def grown(random: Random, pool: list[Node]) -> Node:
    """One more node over those of a pool."""
    matrices = [node for node in pool if node.shape == (N, N)]
    vectors = [node for node in pool if node.shape == (N,)]
    scalars = [node for node in pool if not node.shape]
    A, B = random.choice(matrices), random.choice(matrices)
    x, y = random.choice(vectors), random.choice(vectors)
    s, t = random.choice(scalars), random.choice(scalars)
    match random.randrange(22):
        case 0:
            return add([(random.choice((1, -1, 2)), A), (random.choice((1, -1, Fraction(1, 2))), B)], A.shape)
        case 1:
            return einsum("ij,jk->ik", A, B)
        case 2:
            return einsum("ji,jk,kl->il", A, B, A)
        case 3:
            return einsum("ij,ij->ij", A, B)
        case 4:
            return transpose(A)
        case 5:
            return einsum("ij,kj->ik", A, A)
        case 6:
            return elementwise(random.choice(MAPS), random.choice((A, x, s)))
        case 7:
            return einsum("i,ij->ij", x, Structure("delta", N))
        case 8:
            return einsum("i,j->ij", x, y)
        case 9:
            return einsum("i,ij,j->", x, A, y)
        case 10:
            return einsum("i,ij,j->", x, A, x)
        case 11:
            return einsum("ii->", A)
        case 12:
            return einsum("ii->i", A)
        case 13:
            return einsum("ij->i", A)
        case 14:
            return product([(s, random.choice((1, 2, -1)), ()), (A, 1, (0, 1))], (0, 1))
        case 15:
            return power(random.choice((A, x, s)), random.choice((2, 3, 4, -1, -2, Fraction(1, 2), Fraction(3, 2))))
        case 16:
            return add([(1, Structure("delta", N)), (random.choice((1, -1, -2)), A)], A.shape)
        case 17:
            return add([(random.choice((1, -1)), s), (random.choice((1, 2, -3)), t)], ())
        case 18:
            return elementwise(random.choice(("maximum", "minimum")), A, B)
        case 19:
            return call(random.choice(("max", "min", "norm", "prod", "std")), x)
        case 20:
            return call(random.choice(("det", "logdet", "nuclear", "spectral")), A)
    return call(random.choice(SQUARE_CALLS), A)


@pytest.mark.parametrize("seed", range(40))
def test_facts_of_random_nodes_hold(seed: int) -> None:
    random = Random(seed)
    pool: list[Node] = [v for v in VARIABLES.values() if v.shape in ((), (N,), (N, N))]
    pool += [Structure("delta", N), Structure("lower", N), ones((N, N))]
    for _ in range(25):
        try:
            node = grown(random, random.choices(pool, k=6) + pool[:1] + [VARIABLES[name] for name in "HWQxyac"])
        except DomainError:
            continue  # a division by entries that are zero
        pool.append(node)
    answers = {node: {fact: known(node, fact) for fact in FACTS} for node in pool}
    for trial in range(3):
        values = values_for(100 * seed + trial)
        for node, facts in answers.items():
            check_at(node, facts, values)


def check_at(node: Node, facts: dict[str, bool | None], values: dict[str, np.ndarray]) -> None:
    """The facts hold at a point where every part of the node is defined and neither very large nor very small."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            parts = [np.asarray(evaluate(part, values, SIZES)) for part in postorder(node)]
        except (np.linalg.LinAlgError, ValueError):
            return
    if not all(within_reason(part) for part in parts) or not is_in_domain(node, values):
        return
    for fact, answer in facts.items():
        if answer is not None:
            assert holds(fact, parts[-1]) == answer, (fact, answer, parts[-1])


def within_reason(value: np.ndarray) -> bool:
    """Whether rounding says nothing about signs and rank."""
    magnitudes = np.abs(value[value != 0]) if not np.iscomplexobj(value) else np.asarray([np.inf])
    return bool(np.all(np.isfinite(value))) and bool(np.all((magnitudes > 1e-4) & (magnitudes < 1e4)))


def is_in_domain(node: Node, values: dict[str, np.ndarray]) -> bool:
    """Whether every matrix that is inverted, or has a root or logarithm taken, is one that may be."""
    for part in postorder(node):
        op = getattr(part, "op", "")
        if op in ("inv", "pinv", "adj", "det", "logdet", "prod", *SQUARE_CALLS, "nuclear", "spectral"):
            argument = evaluate(part.children[0], values, SIZES)
            if argument.ndim == 2 and np.linalg.cond(argument) > 1e3:
                return False
            if op in ("sqrtm", "logm") and np.any(np.linalg.eigvals(argument).real <= 1e-3):
                return False
            if op == "chol" and (not np.allclose(argument, argument.T) or np.linalg.eigvalsh(argument)[0] < 1e-3):
                return False
    return True


# --- tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(RANGES))
def test_the_range_of_a_scalar_function(name: str) -> None:
    """Signs of the operand, one after another: what the row says of the value is true of sampled values."""
    record = OPERATIONS[name]
    assert record.kind == "map"
    generator = np.random.default_rng(len(name))
    low, high = {"asin": (0.05, 0.95), "acos": (0.05, 0.95), "atanh": (0.05, 0.95), "log1p": (0.05, 0.9)}.get(
        name, (1.05, 2.5) if name == "acosh" else (0.05, 2.5)
    )
    for properties, sign in ((("positive",), 1), (("positive",), -1), ((), 0)):
        if (name == "acosh" or record.sample == "positive") and sign != 1 and name != "log1p":
            continue
        points = generator.uniform(low, high, 40) * (sign or generator.choice([-1.0, 1.0], 40))
        x = Variable("x", (N,), properties)
        operands = [scale(-1, x) if sign == -1 else x] + [number(1)] * (record.arity - 1)
        node = Map(name, tuple(operands), ((0,),) + ((),) * (record.arity - 1), x.shape)
        values = {"x": np.abs(points) if properties else points}
        value = evaluate(node, values, {"n": 40})
        for fact in FACTS:
            answer = known(node, fact)
            if answer is not None:
                assert holds(fact, value) == answer, (fact, answer, sign)


@pytest.mark.parametrize("name", sorted(name for name, row in RANGES.items() if row.keeps & FACTS["zero"]))
def test_a_function_that_keeps_triangles_is_zero_at_zero(name: str) -> None:
    assert evaluate(elementwise(name, Variable("t", ())), {"t": 0.0}) == 0


@pytest.mark.parametrize("record", [r for r in OPERATIONS.values() if r.kind == "map"], ids=lambda record: record.name)
def test_the_row_of_a_scalar_function_gives_what_its_record_gives(record: Operation) -> None:
    node = Map(record.name, tuple(Variable(f"x{k}", ()) for k in range(record.arity)), ((),) * record.arity, ())
    assert all(known(node, given) for given in record.gives)
    missing = {fact for fact in ("positive", "nonnegative") if known(node, fact)} - {"nonnegative"}
    assert missing <= set(record.gives)


TURNED = [
    pytest.param(record, given, id=f"{record.name}-{given}")
    for record in (*MATRIX_CALLS, *REDUCTION_CALLS)
    for given in sorted({*record.turns, *record.keeps})
]


@pytest.mark.parametrize(("record", "given"), TURNED)
def test_what_a_call_makes_of_a_fact(record: Operation, given: str) -> None:
    """Everything that follows for the value of a call from one fact of its operands is true of samples."""
    operand_axes, _ = cores(record.signature)
    scalar = [not axes for axes in operand_axes]
    sign = {"negative": -1, "nonpositive": -1}.get(given, 1)
    declared = {"negative": "positive", "nonpositive": "nonnegative", "nonzero": "positive"}.get(given, given)
    generator = np.random.default_rng(7)
    operands: list[Node] = []
    values: dict[str, np.ndarray] = {}
    for place in range(len(scalar)):
        shape = () if scalar[place] else (N,) if "..." in record.signature else (N, N)
        properties = () if scalar[place] or declared == "zero" else (declared,)
        variable = Variable(f"v{place}", shape, properties)
        lengths = (4,) * len(shape)
        sampled = np.asarray(3.0) if scalar[place] else with_properties(properties, lengths, generator)
        if record.sample.startswith("spd"):
            sampled = in_domain(given, sampled, generator)
        values[variable.name] = sampled
        operands.append(scale(0 if declared == "zero" else sign, variable))
    node = call(record.name, *operands)
    value = evaluate(node, values, {"n": 4})
    assert {*record.turns.get(given, ()), *(kept for kept in record.keeps if kept == given)} <= {
        fact for fact in FACTS if known(node, fact)
    }
    for fact in FACTS:
        answer = known(node, fact)
        if answer is not None:
            assert holds(fact, value) == answer, (fact, answer, value)
    plain = call(record.name, *(Variable(f"v{place}", part.shape) for place, part in enumerate(operands)))
    assert given in record.gives or given not in plain.properties


SIGNS = ("zero", "positive", "negative", "nonnegative", "nonpositive", "nonzero", "integer")
FORMS = ("symmetric", "skew", "diagonal", "lower", "upper", "orthogonal", "spd", "psd", "invertible")
#: What is kept as well, but nobody asks for, is given in any case, or follows from `turns`.
UNCLAIMED: dict[str, set[str]] = {
    "inv": {"invertible"},
    "pinv": {"upper", "lower", "skew"},
    "adj": {"orthogonal", "skew", "psd"},
    "smooth_adj": {"invertible", "orthogonal", "skew", "psd"},
    "chol": {"invertible", "lower", "skew"},
    "expm": {"spd", "invertible", "psd"},
    "logm": {"invertible"},
    "eigvecs": {"invertible", "orthogonal"},
    "eigmaxproj": {"diagonal", "symmetric", "psd"},
    "eigminproj": {"diagonal", "symmetric", "psd"},
    "svd_u": {"invertible", "orthogonal"},
    "svd_v": {"invertible", "orthogonal"},
    "polar": {"orthogonal", "skew", "psd", "symmetric", "invertible"},
    "spectraldir": {"diagonal", "symmetric", "skew", "psd"},
    "prod": {"integer", "zero"},
    "prodexcept": {"negative", "nonpositive", "integer", "zero"},
    "prodexcept2": {"nonnegative", "integer", "zero"},
    "var": {"nonnegative", "nonzero", "positive"},
    "std": {"nonnegative", "nonzero", "positive"},
    "logsumexp": {"nonnegative", "nonzero", "positive"},
    "norm": {"nonnegative", "zero", "nonzero", "positive"},
    "norminf": {"nonnegative", "zero", "nonzero", "integer", "positive"},
    "argmax": {"nonnegative", "integer", "zero"},
    "normalize": {"zero"},
}


def orders(record: Operation) -> list[int]:
    """Of the operands and of the value."""
    operands, value = cores(record.signature)
    return [len(axes) for axes in (*operands, value)]


KEEPING = [
    record for record in (*MATRIX_CALLS, *REDUCTION_CALLS) if "..." in record.signature or orders(record) == [2, 2]
]


@pytest.mark.parametrize("record", KEEPING, ids=lambda record: record.name)
def test_a_call_keeps_what_samples_keep(record: Operation) -> None:
    """Each fact of the operand, tried on samples: the record names those that the value has, too."""
    reduces = "..." in record.signature
    variable = Variable("v", (N,) if reduces else (N, N))
    kept = set()
    for fact in SIGNS if reduces else FORMS:
        generator = np.random.default_rng(3)
        found = []
        for _ in range(12):
            try:
                found.append(
                    evaluate(call(record.name, variable), {"v": operand_with(fact, record, generator)}, {"n": 4})
                )
            except np.linalg.LinAlgError:
                continue  # outside the domain
        if all(holds(fact, value) for value in found if np.all(np.isfinite(value))):
            kept.add(fact)
    assert set(record.keeps) == kept - UNCLAIMED.get(record.name, set())


def operand_with(fact: str, record: Operation, generator: np.random.Generator) -> np.ndarray:
    if "..." not in record.signature:
        sampled = with_properties((fact,), (4, 4), generator)
        return in_domain(fact, sampled, generator) if record.sample.startswith("spd") else sampled
    match fact:
        case "zero":
            return np.zeros(4)
        case "nonzero":
            return generator.choice([-1.0, 1.0], 4) * generator.uniform(0.2, 2, 4)
        case "negative":
            return -with_properties(("positive",), (4,), generator)
        case "nonpositive":
            return -with_properties(("nonnegative",), (4,), generator)
    return with_properties((fact,), (4,), generator)


def in_domain(given: str, sampled: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A matrix with the fact and positive eigenvalues, or a rotation; what is singular stays so."""
    base = with_properties(("spd",), (4, 4), generator)
    match given:
        case "orthogonal":
            return rotation(generator)
        case "diagonal":
            return np.diag(np.diag(base))
        case "lower":
            return np.tril(base)
        case "upper":
            return np.triu(base)
        case "symmetric" | "spd" | "invertible":
            return base
    return sampled


def rotation(generator: np.random.Generator) -> np.ndarray:
    """A rotation by less than half a turn: its logarithm and root are real."""
    skew = generator.uniform(-0.5, 0.5, (4, 4))
    return np.asarray(scipy.linalg.expm(skew - skew.T))


def test_facts_that_follow_never_contradict_each_other_for_sampled_matrices() -> None:
    """The closure of what holds of a matrix holds, and is not contradictory."""
    for name, properties in SQUARE_ONES.items():
        for seed in range(TRIALS):
            value = values_for(seed)[name]
            true = sum(bit for fact, bit in FACTS.items() if holds(fact, value))
            assert closure(true, square=True) == true, (name, properties, seed)
            assert not contradictory(true, square=True, length=3)


def test_facts_do_not_depend_on_the_hash_seed(root: Path) -> None:
    program = (
        "from matcalc.expr.nodes import Variable, postorder; from matcalc.expr.dims import Dim\n"
        "from matcalc.expr.build import einsum; from matcalc.expr.facts import facts_of\n"
        "n = Dim.of('n'); A = Variable('A', (n, n)); H = Variable('H', (n, n), {'spd', 'positive'})\n"
        "print([facts_of(node) for node in postorder(einsum('ji,jk,kl->il', A, H, A))])"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1


def test_facts_of_a_deep_graph_need_no_stack() -> None:
    node: Node = VARIABLES["y"]
    for _ in range(3000):
        node = elementwise("tanh", node)
    assert known(node, "positive") is True


def test_the_search_for_a_mirror_image_is_bounded() -> None:
    node = product([(VARIABLES["A"], 1, (k, k + 1)) for k in range(2, 18)], ())
    assert isinstance(node, Product)
    assert known(node, "nonnegative") is None
    assert known(permute(VARIABLES["A"], (1, 0)), "psd") is None
