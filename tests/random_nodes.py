"""Random well-typed node graphs, small enough to be evaluated entry by entry, with distinct sizes."""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Any

import numpy as np

from matcalc.errors import MatcalcError
from matcalc.expr.build import add, broadcast, elementwise, is_zero, number, permute, product, size
from matcalc.expr.dims import Dim
from matcalc.expr.nodes import Call, Node, Structure, Variable

SIZES = {"n": 4, "m": 3, "k": 2, "p": 5}
N, M, K, P = (Dim.of(name) for name in SIZES)
HALF_N = (N * N + N) * Fraction(1, 2)

VARIABLES = (
    Variable("a", ()),
    Variable("c", (), {"positive"}),
    Variable("x", (N,)),
    Variable("y", (M,)),
    Variable("z", (N,), {"positive"}),
    Variable("u", (Dim.of(3),)),
    Variable("v", (Dim.of(3),)),
    Variable("w", (M * N,)),
    Variable("h", (HALF_N,)),
    Variable("A", (N, N)),
    Variable("B", (M, N)),
    Variable("C", (N, M)),
    Variable("D", (N, K)),
    Variable("S", (N, N), {"symmetric"}),
    Variable("Q", (N, N), {"spd"}),
    Variable("F", (M, N, K)),
    Variable("E", (P, M), {"positive"}),
)

STRUCTURES = (
    Structure("delta", N),
    Structure("delta", M),
    Structure("unit", Dim.of(2), N),
    Structure("unit", Dim.of(1), M),
    Structure("select", K, N, Dim.of(1)),
    Structure("select", Dim.of(3), N, Dim.of(0)),
    Structure("pair", M, N),
    Structure("pair", N, M),
    Structure("halfpair", N),
    Structure("lower", N),
    Structure("lower", M),
    Structure("levicivita"),
    Structure("range", Dim.of(1), N),
    Structure("pi"),
)

UNARY = ("tanh", "sin", "sigmoid", "softplus", "exp", "relu", "abs")
COMPARISONS = ("gt", "ge", "lt", "le")
POSITIVE = ("exp", "sigmoid", "softplus")
EXPONENTS = (2, 3, -1, -2, Fraction(1, 2), Fraction(-1, 2), Fraction(3, 2))

MAX_LABELS = 7


def data(random: Random, dtype: Any = float) -> dict[str, Any]:
    """An array for each variable, with the declared properties."""
    generator = np.random.default_rng(random.randrange(2**32))
    values: dict[str, Any] = {}
    for variable in VARIABLES:
        shape = tuple(dim.evaluate(SIZES) for dim in variable.shape)
        array = generator.uniform(-1, 1, shape)
        if "positive" in variable.properties:
            array = np.abs(array) + 0.5
        if "symmetric" in variable.properties:
            array = (array + array.T) / 2
        if "spd" in variable.properties:
            array = array @ array.T + np.eye(len(array))
            array = (array + array.T) / 2
        values[variable.name] = np.asarray(array, dtype=dtype)
    return values


def random_graph(random: Random, steps: int = 8, *, comparing: bool = False) -> Node:
    """A node that was built from variables and constant tensors in some random steps, with comparisons if wanted."""
    pool: list[Node] = list(VARIABLES)
    positive: list[Node] = [node for node in VARIABLES if "positive" in node.properties]
    made: list[Node] = []
    for _ in range(steps):
        try:
            node = _step(random, pool, positive, made)
            if comparing and node.shape and random.random() < 0.1:
                node = elementwise(random.choice(COMPARISONS), node, number(Fraction(1, 7)))
        except MatcalcError:
            # a random product may divide by zero; the builder refuses it
            continue
        if is_zero(node) or node.order > 4 or len(node.children) > 40:
            continue
        made.append(node)
        pool.append(node)
    return made[-1] if made else pool[0]


def _pick(random: Random, pool: list[Node], made: list[Node]) -> Node:
    if made and random.random() < 0.5:
        return random.choice(made[-4:])
    return random.choice(pool)


def _step(random: Random, pool: list[Node], positive: list[Node], made: list[Node]) -> Node:
    kind = random.choices(("product", "sum", "map", "call", "permute", "broadcast"), (10, 4, 3, 2, 1, 1))[0]
    if kind == "product":
        return _product(random, pool, positive, made)
    node = _pick(random, pool, made)
    if kind == "sum":
        alike = [other for other in pool if other.shape == node.shape]
        terms = [(random.choice((1, -1, 2, Fraction(1, 3))), random.choice([*alike, node])) for _ in range(3)]
        if node.order == 2 and node.shape[0] == node.shape[1] and random.random() < 0.5:
            terms.append((random.choice((1, -2)), Structure("delta", node.shape[0])))
        if random.random() < 0.3:
            terms.append((1, broadcast(number(Fraction(3, 2)), node.shape, ())))
        return add(terms, node.shape)
    if kind == "map":
        name = random.choice(UNARY)
        result = elementwise("tanh", node) if name == "exp" else node
        result = elementwise(name, result)
        if name in POSITIVE:
            positive.append(result)
        if random.random() < 0.3 and result.shape:
            return elementwise("maximum", result, number(Fraction(1, 4)))
        return result
    if kind == "call":
        return _call(random, pool, made)
    if kind == "permute":
        axes = list(range(node.order))
        random.shuffle(axes)
        return permute(node, axes)
    extra = random.choice((N, M, K))
    return broadcast(node, (*node.shape, extra), tuple(range(node.order)))


def _call(random: Random, pool: list[Node], made: list[Node]) -> Node:
    if random.random() < 0.6:
        matrix = random.choice([node for node in VARIABLES if node.name in "AQ"])
        shifted = add([(1, matrix), (6, Structure("delta", N))], matrix.shape)
        properties = ("symmetric", "spd") if matrix.name == "Q" else ()
        inverted = matrix if matrix.name == "Q" else shifted
        return Call("inv", (inverted,), matrix.shape, (), properties)
    node = _pick(random, pool, made)
    if node.order == 0:
        return elementwise("tanh", node)
    if random.random() < 0.5:
        return Call("softmax", (node,), node.shape)
    return Call("norm", (node,), node.shape[:-1], (("core", 1),))


def _product(random: Random, pool: list[Node], positive: list[Node], made: list[Node]) -> Node:
    """A network: each factor after the first shares a size, and mostly a label, with what is there."""
    sizes: dict[int, Dim] = {}
    factors: list[tuple[Node, int | Fraction, tuple[int, ...]]] = []
    structured = random.random() < 0.5
    for position in range(random.choice((1, 2, 2, 3, 3, 4))):
        exponent: int | Fraction = 1
        chance = random.random()
        if structured and (position == 0 or chance < 0.2):
            choices: list[Node] = list(STRUCTURES)
        elif chance < 0.25:
            choices, exponent = positive, random.choice(EXPONENTS)
        else:
            choices = [*pool, *made, *made]
            exponent = 2 if chance > 0.9 else 1
        touching = [node for node in choices if set(node.shape) & set(sizes.values())]
        node = random.choice(touching or choices)
        labels: list[int] = []
        for dim in node.shape:
            known = [label for label, length in sizes.items() if length == dim]
            if random.random() < 0.9:
                known = [label for label in known if label not in labels]
            if known and (random.random() < 0.8 or len(sizes) >= MAX_LABELS):
                labels.append(random.choice(known))
            else:
                labels.append(len(sizes))
                sizes[len(sizes)] = dim
        if len(sizes) <= MAX_LABELS:
            factors.append((node, exponent, tuple(labels)))
    if random.random() < 0.1:
        factors.append((size(N), -1, ()))
    carried = sorted({label for _, _, labels in factors for label in labels})
    counts = {label: sum(label in labels for _, _, labels in factors) for label in carried}
    # a label of one factor alone is mostly an axis of the result
    free = [label for label in carried if counts[label] == 1 and random.random() < 0.8]
    shared = [label for label in carried if label not in free and random.random() < 0.25]
    out = [*free, *shared][:4]
    random.shuffle(out)
    return product(factors, out, {label: sizes[label] for label in carried})
