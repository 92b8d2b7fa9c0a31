"""The workloads as data: what is computed, at which sizes, and how fresh arrays for it are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float64]
Arrays = Mapping[str, Any]
Sizes = Mapping[str, int]
Mode = Literal["value and gradient", "Hessian", "Hessian-vector product", "Jacobian"]

DIRECTION = "v"
"""The array that a Hessian is multiplied by."""

LAYERS = 10
SMALL_LAYERS = 5
STEPS = 50


class Workload(NamedTuple):
    """One mathematical expression, what is wanted of it, and the sizes at which it is timed.

    Attributes
    ----------
    name: unique.
    problem: what the peers know the expression by; several workloads may share it.
    mode: the value and its gradients by each variable; or the Hessian, a product with it, or the Jacobian by the first.
    text: the expression in matcalc's language.
    types: the type of every variable of the text.
    wrt: the variables differentiated by.
    draw: fresh float64 arrays for at least every variable and the direction.
    sizes: the sizes of the rows of the table.
    small: sizes for tests.
    quick: those of ``sizes`` that are timed by ``--quick``.
    growth: the sizes of the plot, if there is one.
    is_compressed: whether the derivative may stay compressed: a peer computes the numbers that it is made of, and the
        array of all its entries only for the check of the answer.
    """

    name: str
    problem: str
    mode: Mode
    text: str
    types: Mapping[str, str]
    wrt: tuple[str, ...]
    draw: Callable[[Generator, Sizes], Arrays]
    sizes: tuple[Sizes, ...]
    small: Sizes
    quick: tuple[Sizes, ...] = ()
    growth: tuple[Sizes, ...] = ()
    is_compressed: bool = False


class Case(NamedTuple):
    """A workload at one set of sizes."""

    workload: Workload
    sizes: Sizes

    @property
    def label(self) -> str:
        """The name and the sizes.

        >>> Case(WORKLOADS[0], {"n": 10}).label
        'quadratic form n=10'
        """
        return " ".join([self.workload.name, *(f"{name}={size}" for name, size in self.sizes.items())])

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of every variable, and of the direction if there is one."""
        shapes = {name: shape_of(declared, self.sizes) for name, declared in self.workload.types.items()}
        if self.workload.mode == "Hessian-vector product":
            shapes[DIRECTION] = shapes[self.workload.wrt[0]]
        return shapes

    def arrays(self, seed: int) -> Arrays:
        """Fresh arrays, the same for the same seed."""
        drawn = self.workload.draw(np.random.default_rng([seed, *self.label.encode()]), self.sizes)
        return {name: drawn[name] for name in self.shapes}


def shape_of(declared: str, sizes: Sizes) -> tuple[int, ...]:
    """The shape of a declared type at the given sizes.

    >>> shape_of("tensor(50, N, d)", {"N": 3, "d": 2}), shape_of("scalar", {})
    ((50, 3, 2), ())
    """
    names = declared.partition("(")[2].partition(")")[0]
    return tuple(sizes[name] if name in sizes else int(name) for name in names.split(", ") if name)


# --- how arrays are drawn -----------------------------------------------------------------------------


def one_hot(rng: Generator, rows: int, classes: int) -> Array:
    """Rows of an identity matrix: labels of classes."""
    return np.eye(classes)[rng.integers(0, classes, rows)]


def positive_definite(rng: Generator, n: int) -> Array:
    """A well conditioned symmetric matrix."""
    a = rng.standard_normal((n, n))
    product = a @ a.T
    return (product + product.T) / (2 * n) + np.eye(n)


def draw_quadratic(rng: Generator, s: Sizes) -> Arrays:
    return {"A": rng.standard_normal((s["n"], s["n"])), "x": rng.standard_normal(s["n"])}


def draw_ridge(rng: Generator, s: Sizes) -> Arrays:
    return {
        "X": rng.standard_normal((s["N"], s["d"])),
        "y": rng.standard_normal(s["N"]),
        "w": rng.standard_normal(s["d"]),
        "lam": np.float64(0.1),
    }


def draw_logistic(rng: Generator, s: Sizes) -> Arrays:
    return {
        "X": rng.standard_normal((s["N"], s["d"])),
        "y": rng.choice([-1.0, 1.0], s["N"]),
        "w": rng.standard_normal(s["d"]) / np.sqrt(s["d"]),
        DIRECTION: rng.standard_normal(s["d"]),
    }


def draw_softmax_regression(rng: Generator, s: Sizes) -> Arrays:
    return {
        "X": rng.standard_normal((s["N"], s["d"])),
        "Y": one_hot(rng, s["N"], s["k"]),
        "W": rng.standard_normal((s["d"], s["k"])) / np.sqrt(s["d"]),
    }


def draw_mlp(rng: Generator, s: Sizes) -> Arrays:
    return {
        "X": rng.random((s["N"], s["d"])),
        "Y": one_hot(rng, s["N"], s["k"]),
        "W1": rng.standard_normal((s["d"], s["h"])) * np.sqrt(2 / s["d"]),
        "b1": rng.standard_normal(s["h"]) * 0.1,
        "W2": rng.standard_normal((s["h"], s["k"])) * np.sqrt(2 / s["h"]),
        "b2": rng.standard_normal(s["k"]) * 0.1,
    }


def draw_deep_mlp(rng: Generator, s: Sizes) -> Arrays:
    arrays = {"X": rng.standard_normal((s["N"], s["h"])), "Y": rng.standard_normal((s["N"], s["h"]))}
    for i in range(1, LAYERS + 1):
        arrays[f"W{i}"] = rng.standard_normal((s["h"], s["h"])) * np.sqrt(2 / s["h"])
        arrays[f"b{i}"] = rng.standard_normal(s["h"]) * 0.1
    return arrays


def draw_factorisation(rng: Generator, s: Sizes) -> Arrays:
    return {
        "X": rng.standard_normal((s["n"], s["n"])),
        "M": (rng.random((s["n"], s["n"])) < 0.5).astype(float),
        "U": rng.standard_normal((s["n"], s["k"])),
        "V": rng.standard_normal((s["n"], s["k"])),
    }


def draw_small_network(rng: Generator, s: Sizes) -> Arrays:
    arrays = {"x": rng.standard_normal(s["n"]), "t": one_hot(rng, 1, s["n"])[0]}
    for i in range(1, SMALL_LAYERS + 1):
        arrays[f"W{i}"] = rng.standard_normal((s["n"], s["n"])) * np.sqrt(2 / s["n"])
    return arrays


def draw_gauss(rng: Generator, s: Sizes) -> Arrays:
    return {"S": positive_definite(rng, s["n"]), "y": rng.standard_normal(s["n"])}


def draw_evidence(rng: Generator, s: Sizes) -> Arrays:
    points = rng.random((s["n"], 3))
    return {
        "D": ((points[:, None, :] - points[None, :, :]) ** 2).sum(-1),
        "y": rng.standard_normal(s["n"]),
        "a": np.float64(1 + rng.random()),
        "b": np.float64(2 + rng.random()),
        "c": np.float64(0.1 + rng.random()),
    }


def draw_entrywise(rng: Generator, s: Sizes) -> Arrays:
    return {"x": rng.standard_normal(s["n"]), "y": rng.standard_normal(s["n"])}


def draw_chain(rng: Generator, s: Sizes) -> Arrays:
    n = s["n"]
    vectors = {name: rng.standard_normal(n) for name in "ab"}
    return vectors | {name: rng.standard_normal((n, n)) / np.sqrt(n) for name in "XYZ"}


def draw_invertible(rng: Generator, s: Sizes) -> Arrays:
    n = s["n"]
    return {"X": rng.standard_normal((n, n)) + 2 * np.sqrt(n) * np.eye(n), "A": rng.standard_normal((n, n))}


def draw_layer(rng: Generator, s: Sizes) -> Arrays:
    n = s["n"]
    return {"A": rng.standard_normal((n, n)) / np.sqrt(n), "b": rng.standard_normal(n), "x": rng.standard_normal(n)}


def draw_recurrent(rng: Generator, s: Sizes) -> Arrays:
    return {
        "X": rng.standard_normal((STEPS, s["N"], s["d"])),
        "Y": rng.standard_normal((s["N"], s["k"])),
        "Wx": rng.standard_normal((s["d"], s["h"])) / np.sqrt(s["d"]),
        "Wh": rng.standard_normal((s["h"], s["h"])) / np.sqrt(s["h"]),
        "b": rng.standard_normal(s["h"]) * 0.1,
        "Wo": rng.standard_normal((s["h"], s["k"])) / np.sqrt(s["h"]),
    }


# --- texts that are written by a loop -----------------------------------------------------------------

LOGISTIC = "sum(log(1 + exp(-y .* (X w))))"
LOGISTIC_TYPES = MappingProxyType({"X": "matrix(N, d)", "y": "vector(N)", "w": "vector(d)"})
FACTORISATION = "||M .* (X - U V')||_F^2"
FACTORISATION_TYPES = MappingProxyType(
    {"X": "matrix(n, n)", "M": "matrix(n, n)", "U": "matrix(n, k)", "V": "matrix(n, k)"}
)
CHAIN_TYPES = MappingProxyType(dict.fromkeys("XYZ", "matrix(n, n)"))
DEEP_MLP = (
    "A0 = X; "
    + " ".join(f"A{i} = relu(A{i - 1} W{i} + b{i}');" for i in range(1, LAYERS))
    + f" ||A{LAYERS - 1} W{LAYERS} + b{LAYERS}' - Y||_F^2 / N"
)
SMALL_NETWORK = (
    "h0 = x; "
    + " ".join(f"h{i} = relu(W{i} h{i - 1});" for i in range(1, SMALL_LAYERS))
    + f" z = W{SMALL_LAYERS} h{SMALL_LAYERS - 1}; logsumexp(z) - t' z"
)
RECURRENT = (
    "H1 = tanh(X[1,:,:] Wx + b'); "
    + " ".join(f"H{i} = tanh(X[{i},:,:] Wx + H{i - 1} Wh + b');" for i in range(2, STEPS + 1))
    + f" ||H{STEPS} Wo - Y||_F^2 / N"
)
LOGISTIC_SIZES = ({"N": 100, "d": 5}, {"N": 10_000, "d": 100}, {"N": 100_000, "d": 200})

WORKLOADS: tuple[Workload, ...] = (
    Workload(
        name="quadratic form", problem="quadratic", mode="value and gradient",
        text="x' A x", types={"A": "matrix(n, n)", "x": "vector(n)"}, wrt=("x",), draw=draw_quadratic,
        sizes=({"n": 10}, {"n": 1000}, {"n": 3000}), quick=({"n": 10}, {"n": 1000}), small={"n": 7},
        growth=tuple({"n": n} for n in (10, 30, 100, 300, 1000, 3000)),
    ),
    Workload(
        name="ridge", problem="ridge", mode="value and gradient",
        text="||X w - y||^2 + lam ||w||^2",
        types={"X": "matrix(N, d)", "y": "vector(N)", "w": "vector(d)", "lam": "scalar"}, wrt=("w",), draw=draw_ridge,
        sizes=({"N": 100, "d": 5}, {"N": 10_000, "d": 100}), quick=({"N": 100, "d": 5},), small={"N": 9, "d": 4},
    ),
    Workload(
        name="logistic", problem="logistic", mode="value and gradient",
        text=LOGISTIC, types=LOGISTIC_TYPES, wrt=("w",), draw=draw_logistic,
        sizes=LOGISTIC_SIZES, quick=LOGISTIC_SIZES[:2], small={"N": 9, "d": 4},
        growth=tuple({"N": n, "d": 100} for n in (10, 100, 1000, 10_000, 100_000)),
    ),
    Workload(
        name="logistic Hessian", problem="logistic", mode="Hessian",
        text=LOGISTIC, types=LOGISTIC_TYPES, wrt=("w",), draw=draw_logistic,
        sizes=LOGISTIC_SIZES, quick=LOGISTIC_SIZES[:1], small={"N": 9, "d": 4},
        growth=tuple({"N": 10_000, "d": d} for d in (5, 10, 20, 50, 100, 200)),
    ),
    Workload(
        name="logistic HVP", problem="logistic", mode="Hessian-vector product",
        text=LOGISTIC, types=LOGISTIC_TYPES, wrt=("w",), draw=draw_logistic,
        sizes=LOGISTIC_SIZES, small={"N": 9, "d": 4},
    ),
    Workload(
        name="softmax regression", problem="softmax regression", mode="value and gradient",
        text="Z = X W; (sum(logsumexp(Z, axis=1)) - sum(Y .* Z)) / N",
        types={"X": "matrix(N, d)", "Y": "matrix(N, k)", "W": "matrix(d, k)"}, wrt=("W",),
        draw=draw_softmax_regression,
        sizes=({"N": 5000, "d": 784, "k": 10},), quick=({"N": 5000, "d": 784, "k": 10},),
        small={"N": 9, "d": 5, "k": 3},
        growth=tuple({"N": n, "d": 784, "k": 10} for n in (10, 30, 100, 300, 1000, 3000, 10_000)),
    ),
    Workload(
        name="MLP", problem="mlp", mode="value and gradient",
        text="A = relu(X W1 + b1'); Z = A W2 + b2'; (sum(logsumexp(Z, axis=1)) - sum(Y .* Z)) / N",
        types={
            "X": "matrix(N, d)", "Y": "matrix(N, k)",
            "W1": "matrix(d, h)", "b1": "vector(h)", "W2": "matrix(h, k)", "b2": "vector(k)",
        },
        wrt=("W1", "b1", "W2", "b2"), draw=draw_mlp,
        sizes=tuple({"N": n, "d": 784, "h": 128, "k": 10} for n in (64, 1024)),
        quick=({"N": 64, "d": 784, "h": 128, "k": 10},), small={"N": 9, "d": 5, "h": 4, "k": 3},
    ),
    Workload(
        name="deep MLP, 10 layers", problem="deep mlp", mode="value and gradient",
        text=DEEP_MLP,
        types={"X": "matrix(N, h)", "Y": "matrix(N, h)"}
        | {f"W{i}": "matrix(h, h)" for i in range(1, LAYERS + 1)}
        | {f"b{i}": "vector(h)" for i in range(1, LAYERS + 1)},
        wrt=tuple(f"{kind}{i}" for i in range(1, LAYERS + 1) for kind in "Wb"), draw=draw_deep_mlp,
        sizes=({"N": 128, "h": 100},), small={"N": 5, "h": 4},
    ),
    Workload(
        name="masked factorisation", problem="factorisation", mode="value and gradient",
        text=FACTORISATION, types=FACTORISATION_TYPES, wrt=("U", "V"), draw=draw_factorisation,
        sizes=tuple({"n": n, "k": 5} for n in (50, 200, 1000)), quick=({"n": 200, "k": 5},), small={"n": 7, "k": 3},
    ),
    Workload(
        name="masked factorisation, Hessian by U", problem="factorisation", mode="Hessian",
        text=FACTORISATION, types=FACTORISATION_TYPES, wrt=("U",), draw=draw_factorisation,
        sizes=tuple({"n": n, "k": 5} for n in (50, 100, 200, 1000)), quick=({"n": 50, "k": 5},),
        small={"n": 7, "k": 3}, is_compressed=True,
    ),
    Workload(
        name="masked factorisation, dense Hessian by U", problem="factorisation", mode="Hessian",
        text=FACTORISATION, types=FACTORISATION_TYPES, wrt=("U",), draw=draw_factorisation,
        sizes=tuple({"n": n, "k": 5} for n in (50, 100, 200, 1000)), small={"n": 7, "k": 3},
    ),
    Workload(
        name="network Hessian by W1, 5 layers", problem="small network", mode="Hessian",
        text=SMALL_NETWORK,
        types={"x": "vector(n)", "t": "vector(n)"} | {f"W{i}": "matrix(n, n)" for i in range(1, SMALL_LAYERS + 1)},
        wrt=("W1",), draw=draw_small_network,
        sizes=({"n": 20}, {"n": 50}), small={"n": 6},
    ),
    Workload(
        name="Gaussian likelihood", problem="gauss", mode="value and gradient",
        text="1/2 logdet(S) + 1/2 y' S^-1 y", types={"S": "matrix(n, n) spd", "y": "vector(n)"}, wrt=("S",),
        draw=draw_gauss,
        sizes=({"n": 500}, {"n": 2000}), quick=({"n": 500},), small={"n": 7},
        growth=tuple({"n": n} for n in (10, 30, 100, 300, 1000, 2000)),
    ),
    Workload(
        name="GP evidence", problem="evidence", mode="value and gradient",
        text="K = a exp(-b D) + c I; 1/2 logdet(K) + 1/2 y' K^-1 y",
        types={"D": "matrix(n, n) symmetric", "y": "vector(n)", "a": "scalar", "b": "scalar", "c": "scalar"},
        wrt=("a", "b", "c"), draw=draw_evidence,
        sizes=({"n": 500}, {"n": 2000}), small={"n": 7},
    ),
    Workload(
        name="entrywise", problem="entrywise", mode="value and gradient",
        text="sum(log(1 + exp(-x .* y)) + tanh(x).^2)", types={"x": "vector(n)", "y": "vector(n)"}, wrt=("x",),
        draw=draw_entrywise,
        sizes=({"n": 1_000_000},), quick=({"n": 1_000_000},), small={"n": 7},
    ),
    Workload(
        name="chain a'XYZb by Y", problem="chain", mode="value and gradient",
        text="a' X Y Z b", types=CHAIN_TYPES | {"a": "vector(n)", "b": "vector(n)"}, wrt=("Y",), draw=draw_chain,
        sizes=({"n": 1000},), quick=({"n": 1000},), small={"n": 7},
    ),
    Workload(
        name="chain |XYZb|^2 by Y", problem="squared chain", mode="value and gradient",
        text="||X Y Z b||^2", types=CHAIN_TYPES | {"b": "vector(n)"}, wrt=("Y",), draw=draw_chain,
        sizes=({"n": 1000},), small={"n": 7},
    ),
    Workload(
        name="tr(X^-1 A)", problem="trace of inverse", mode="value and gradient",
        text="tr(X^-1 A)", types={"X": "matrix(n, n)", "A": "matrix(n, n)"}, wrt=("X",), draw=draw_invertible,
        sizes=({"n": 500},), quick=({"n": 500},), small={"n": 7},
    ),
    Workload(
        name="log det X", problem="log determinant", mode="value and gradient",
        text="log(det(X))", types={"X": "matrix(n, n)"}, wrt=("X",), draw=draw_invertible,
        sizes=({"n": 500},), small={"n": 7},
    ),
    Workload(
        name="Jacobian of softmax(A x)", problem="softmax", mode="Jacobian",
        text="softmax(A x)", types={"A": "matrix(n, n)", "x": "vector(n)"}, wrt=("x",), draw=draw_layer,
        sizes=({"n": 1000},), quick=({"n": 1000},), small={"n": 7},
    ),
    Workload(
        name="Jacobian of sigmoid(A x + b)", problem="sigmoid", mode="Jacobian",
        text="sigmoid(A x + b)", types={"A": "matrix(n, n)", "x": "vector(n)", "b": "vector(n)"}, wrt=("x",),
        draw=draw_layer,
        sizes=({"n": 1000},), small={"n": 7},
    ),
    Workload(
        name="RNN, 50 steps", problem="recurrent", mode="value and gradient",
        text=RECURRENT,
        types={
            "X": f"tensor({STEPS}, N, d)", "Y": "matrix(N, k)",
            "Wx": "matrix(d, h)", "Wh": "matrix(h, h)", "b": "vector(h)", "Wo": "matrix(h, k)",
        },
        wrt=("Wx", "Wh", "b", "Wo"), draw=draw_recurrent,
        sizes=({"N": 32, "d": 32, "h": 64, "k": 10},), small={"N": 5, "d": 2, "h": 4, "k": 3},
    ),
)  # fmt: skip

PASS_BY_PASS = frozenset({"autograd", "pytensor", "torch.compile"})
AUTOMATIC = PASS_BY_PASS | {"jax", "torch"}
LEFT_OUT: Mapping[str, tuple[frozenset[str], str]] = MappingProxyType(
    {
        "logistic Hessian N=100000 d=200": (PASS_BY_PASS, "one pass over X for each of d columns: over 10 s"),
        "masked factorisation, dense Hessian by U n=200 k=5": (PASS_BY_PASS, "one pass for each entry of U: over 10 s"),
        "masked factorisation, dense Hessian by U n=1000 k=5": (AUTOMATIC, "an array of n*k*n*n numbers: 40 GB"),
        "log det X n=500": (frozenset({"pytensor"}), "its slogdet forms the determinant, which overflows"),
        "network Hessian by W1, 5 layers n=50": (PASS_BY_PASS, "one pass for each of n^2 entries: over 10 s"),
    }
)
"""Cases that are not tried, by their label: for which peers, and why."""


def table_cases() -> Iterator[Case]:
    """The rows of the table."""
    for workload in WORKLOADS:
        yield from (Case(workload, sizes) for sizes in workload.sizes)


def quick_cases() -> Iterator[Case]:
    """The rows that ``--quick`` times."""
    for workload in WORKLOADS:
        yield from (Case(workload, sizes) for sizes in workload.quick)


def growth_cases() -> Iterator[Case]:
    """The points of the plots."""
    for workload in WORKLOADS:
        yield from (Case(workload, sizes) for sizes in workload.growth)


CASES: Mapping[str, Case] = MappingProxyType({case.label: case for case in [*table_cases(), *growth_cases()]})
"""Every case by its label."""
