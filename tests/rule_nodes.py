"""Random nodes in which the rules of the normal form meet: factors and their relatives on the same labels."""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Any

import numpy as np

from matcalc.errors import MatcalcError
from matcalc.expr.build import add, broadcast, delta, is_zero, number, ones, power, product, scale, transpose
from matcalc.expr.dims import Dim
from matcalc.expr.nodes import Exact, Map, Node, Variable, postorder
from matcalc.ops.apply import call, map_

SIZES = {"n": 3}
N = Dim.of("n")
X, Y, Z = Variable("x", (N,)), Variable("y", (N,)), Variable("z", (N,), {"positive"})
SCALARS = (Variable("a", ()), Variable("c", (), {"positive"}))
A, B = Variable("A", (N, N)), Variable("B", (N, N))
Q = Variable("Q", (N, N), {"orthogonal"})
S, P = Variable("S", (N, N), {"symmetric"}), Variable("P", (N, N), {"spd"})
D = Variable("D", (N, N), {"diagonal"})
VARIABLES = (X, Y, Z, *SCALARS, A, B, Q, S, P, D)

MAPS = (
    *("exp", "exp", "exp", "sigmoid", "sigmoid", "softplus", "relu", "step", "abs", "sign"),
    *("sin", "cos", "sinh", "cosh", "tanh", "log", "erf", "normpdf", "gt", "pow", "maximum", "minimum", "square"),
)
UNARY = MAPS[:18]
EXPONENTS: tuple[Exact, ...] = (1, 1, 1, 1, 1, -1, -1, 2, -2, 3, Fraction(1, 2), Fraction(-1, 2))
LARGEST = 60


def data(random: Random) -> dict[str, Any]:
    """An array for each variable, with the declared properties."""
    generator = np.random.default_rng(random.randrange(2**32))
    values: dict[str, Any] = {}
    for variable in VARIABLES:
        array = generator.uniform(-1, 1, (SIZES["n"],) * variable.order)
        if "positive" in variable.properties:
            array = np.abs(array) + 0.5
        elif "orthogonal" in variable.properties:
            array = np.linalg.qr(array)[0]
        elif "symmetric" in variable.properties:
            array = array + array.T
        elif "spd" in variable.properties:
            array = array @ array.T + np.eye(len(array))
        elif "diagonal" in variable.properties:
            array = np.diag(np.diag(array))
        elif variable.order == 2:
            array = array + 2 * np.eye(len(array))
        values[variable.name] = np.asarray(array)
    return values


def random_node(random: Random, steps: int) -> Node:
    """A node that was built in some random steps."""
    made: list[Node] = []
    for _ in range(steps):
        try:
            node = _step(random, made)
        except MatcalcError:
            # a random product may divide by zero; the builder refuses it
            continue
        if not is_zero(node) and sum(1 for _ in postorder(node)) <= LARGEST:
            made.append(node)
    return made[-1] if made else X


def _step(random: Random, made: list[Node]) -> Node:
    kind = random.choices((_product, _entrywise, _matrix, _scalar, _sum), (50, 20, 10, 7, 13))[0]
    return kind(random, made)


def _pick(random: Random, made: list[Node], order: int, base: tuple[Node, ...]) -> Node:
    recent = [node for node in made if node.order == order][-5:]
    return random.choice([*base, *recent, *recent])


def _vector(random: Random, made: list[Node]) -> Node:
    return scale(random.choice((1, 1, -1, -1, 2, -2, Fraction(1, 2))), _pick(random, made, 1, (X, X, X, Y, Z)))


def _entrywise(random: Random, made: list[Node]) -> Node:
    u = _vector(random, made)
    chance = random.random()
    if chance < 0.6:
        return _mapped(random, u, _vector(random, made))
    if chance < 0.8:
        return call("softmax" if chance < 0.7 else "normalize", u)
    if chance < 0.9:
        return add([(1, ones(u.shape)), (random.choice((1, -1)), map_(random.choice(("exp", "sigmoid")), u))], u.shape)
    return u


def _mapped(random: Random, u: Node, other: Node) -> Node:
    name = random.choice(MAPS)
    match name:
        case "gt":
            return map_("gt", u, number(0))
        case "maximum" | "minimum":
            right = number(random.choice((0, 1))) if random.random() < 0.5 else other
            return map_(name, *random.sample([u, right], 2))
        case "pow":
            return map_("pow", Z, SCALARS[0])
        case "square":
            return power(u, 2)
    return map_(name, u)


def _scalar(random: Random, made: list[Node]) -> Node:
    u = _vector(random, made)
    match random.randrange(8):
        case 0 | 1:
            return call("norm", u, core=1)
        case 2:
            return product([(u, 2, (0,))], ())
        case 3 | 4:
            return product([(map_(random.choice(("exp", "sigmoid")), u), 1, (0,))], ())
        case 5:
            return call("logsumexp", u, core=1)
        case 6:
            return call(random.choice(("det", "logdet")), _pick(random, made, 2, (A, B, Q, S, P)))
    return call("prod", call("eigvals", random.choice((S, P))), core=1)


def _matrix(random: Random, made: list[Node]) -> Node:
    m = _pick(random, made, 2, (A, A, B, Q, Q, S, P, D, delta(N)))
    chance = random.random()
    if chance < 0.35:
        return call("inv", m)
    if chance < 0.45:
        return call(random.choice(("expm", "sqrtm", "adj")), m)
    if chance < 0.55:
        return transpose(m)
    if chance < 0.65:
        return call("eigvecs", random.choice((S, P)))
    if chance < 0.7:
        return call(random.choice(("svd_u", "svd_v")), random.choice((A, B)))
    if chance < 0.8:
        return map_(random.choice(UNARY), m)
    if chance < 0.85:
        return call("softmax", m)
    if chance < 0.95:
        return broadcast(_vector(random, made), (N, N), (random.choice((0, 1)),))
    return m


def _product(random: Random, made: list[Node]) -> Node:
    labels = range(random.choice((1, 1, 1, 2, 3)))
    factors: list[tuple[Node, Exact, tuple[int, ...]]] = []
    vectors: list[tuple[Node, int]] = []
    for _ in range(random.randint(2, 5)):
        chance = random.random()
        if len(labels) > 1 and chance < 0.6:
            places = tuple(random.sample(labels, 2)) if random.random() < 0.9 else (labels[0],) * 2
            exponent = 1 if random.random() < 0.85 else random.choice(EXPONENTS)
            factors.append((_matrix(random, made), exponent, places))
            if random.random() < 0.3:
                factors.append((call("eigvals", S), random.choice((1, 2, -1)), places[1:]))
        elif chance < 0.75:
            vector, label = _entrywise(random, made), random.choice(labels)
            vectors.append((vector, label))
            factors.append((vector, random.choice(EXPONENTS), (label,)))
        else:
            factors.append((_scalar(random, made), random.choice(EXPONENTS), ()))
    if vectors and random.random() < 0.7:
        vector, label = random.choice(vectors)
        factors.append((_relative(random, vector), random.choice((1, 1, -1, -1, 2)), (label,)))
        factors.append((product([(vector, 1, (0,))], ()), random.choice((-1, 1)), ()))
    if vectors and random.random() < 0.3:
        factors.append((call("norm", random.choice(vectors)[0], core=1), random.choice((1, -1, 2, 3)), ()))
    carried = sorted({label for _, _, names in factors for label in names})
    out = [label for label in carried if random.random() < 0.5][:2]
    random.shuffle(out)
    return product(factors, out, dict.fromkeys(carried, N))


def _relative(random: Random, vector: Node) -> Node:
    """Something that a rule knows together with a function of the same operand."""
    u = vector.args[0] if isinstance(vector, Map) and vector.args[0].order == 1 else vector
    one = ones(u.shape)
    turned = random.choice((1, -1))
    relatives = (
        map_("exp", scale(turned, u)),
        map_("sigmoid", scale(-1, u)),
        add([(1, one), (1, map_("exp", scale(turned, u)))], u.shape),
        add([(1, one), (-1, map_("sigmoid", u))], u.shape),
        *(map_(name, u) for name in ("abs", "cosh", "cos", "relu")),
        u,
    )
    return random.choice(relatives)


def _sum(random: Random, made: list[Node]) -> Node:
    first = random.choice([*made[-4:], X, A])
    alike = [node for node in (*made, *VARIABLES) if node.shape == first.shape]
    terms = [(1, first), *((random.choice((1, -1, 2)), random.choice(alike)) for _ in range(2))]
    if first.shape and random.random() < 0.3:
        terms.append((1, ones(first.shape)))
    return add(terms, first.shape)
