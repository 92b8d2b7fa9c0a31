"""A 64-32-10 ReLU network on the handwritten digits, trained on minibatches by plain descent, momentum and Adam.

Run it with ``python examples/digits_mlp.py``. The network and its loss are two lines of formula; one compiled
function returns the loss and the four gradients, for batches of any size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

import matcalc as mc

SCORES = "relu(X W1 + b1^T) W2 + b2^T"
LOSS = f"""Z = {SCORES}
1/N (sum(logsumexp(Z, axis=1)) - sum(Y .* Z)) + lambda/2 (||W1||_F^2 + ||W2||_F^2)"""
TYPES = {"X": "matrix(N, d)", "W1": "matrix(d, h)", "W2": "matrix(h, k)"}  # N is the number of rows, whatever it is
PARAMETERS = ("W1", "b1", "W2", "b2")

LOSS_AND_GRADIENT = mc.value_and_grad(LOSS, wrt=PARAMETERS, vars=TYPES)
PREDICT = mc.parse(SCORES, vars=TYPES).compile()

PIXELS, HIDDEN, CLASSES = 64, 32, 10
PENALTY = 1e-4
BATCH = 64
EPOCHS = 40

Array = NDArray[np.float64]
Arrays = tuple[Array, ...]
Rule = Callable[[Arrays], Arrays]


class Data(NamedTuple):
    """Pixels in [0, 1], one image in a row; Y has a 1 in the column of each image's digit."""

    X: Array
    Y: Array
    X_test: Array
    digits_test: NDArray[np.int64]


class Fit(NamedTuple):
    """What one rule found: the parameters, the losses of the whole training set before each epoch and at the end."""

    method: str
    parameters: Arrays
    losses: tuple[float, ...]
    accuracy: float
    seconds: float


class Result(NamedTuple):
    """The gradients' formulas, the sizes of the batches of an epoch, and what every rule found."""

    formulas: dict[str, str]
    batches: tuple[int, ...]
    fits: tuple[Fit, ...]


def load(seed: int = 0) -> Data:
    """Split the data 75 to 25."""
    images, digits = load_digits(return_X_y=True)
    X, X_test, train, test = train_test_split(images / 16, digits, test_size=0.25, random_state=seed, stratify=digits)
    return Data(X, np.eye(CLASSES)[train], X_test, test)


def initial(generator: np.random.Generator) -> Arrays:
    """Weights of a size that keeps the scale of the activations, and biases of zero."""
    W1 = generator.standard_normal((PIXELS, HIDDEN)) * np.sqrt(2 / PIXELS)
    W2 = generator.standard_normal((HIDDEN, CLASSES)) * np.sqrt(2 / HIDDEN)
    return W1, np.zeros(HIDDEN), W2, np.zeros(CLASSES)


def loss_and_gradients(X: Array, Y: Array, parameters: Arrays) -> tuple[float, Arrays]:
    """The loss of a batch and its gradients by W1, b1, W2, b2."""
    named = dict(zip(PARAMETERS, parameters, strict=True))
    loss, gradients = LOSS_AND_GRADIENT(X=X, Y=Y, λ=PENALTY, **named)
    return float(loss), gradients


def descent(rate: float) -> Rule:
    """Steps along the negative gradient."""
    return lambda gradients: tuple(-rate * gradient for gradient in gradients)


def momentum(rate: float, decay: float = 0.9) -> Rule:
    """Steps that are a velocity, pushed by the gradient."""
    velocities: list[Array] = []

    def step(gradients: Arrays) -> Arrays:
        velocities[:] = velocities or [np.zeros_like(gradient) for gradient in gradients]
        velocities[:] = [decay * v - rate * gradient for v, gradient in zip(velocities, gradients, strict=True)]
        return tuple(velocities)

    return step


def adam(rate: float, decay: float = 0.9, square_decay: float = 0.999) -> Rule:
    """Steps whose size is set, entry by entry, by the recent size of the gradient."""
    means: list[Array] = []
    squares: list[Array] = []
    count = 0

    def step(gradients: Arrays) -> Arrays:
        nonlocal count
        count += 1
        means[:] = means or [np.zeros_like(gradient) for gradient in gradients]
        squares[:] = squares or [np.zeros_like(gradient) for gradient in gradients]
        means[:] = [decay * m + (1 - decay) * g for m, g in zip(means, gradients, strict=True)]
        squares[:] = [square_decay * s + (1 - square_decay) * g**2 for s, g in zip(squares, gradients, strict=True)]
        scale = rate * np.sqrt(1 - square_decay**count) / (1 - decay**count)
        return tuple(-scale * m / (np.sqrt(s) + 1e-8) for m, s in zip(means, squares, strict=True))

    return step


def batches(samples: int, generator: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """The rows of one epoch in random order, ``BATCH`` at a time; the last batch takes what is left."""
    rows = generator.permutation(samples)
    for first in range(0, samples, BATCH):
        yield rows[first : first + BATCH]


def train(data: Data, parameters: Arrays, rule: Rule, generator: np.random.Generator) -> tuple[Arrays, list[float]]:
    """Go through the data ``EPOCHS`` times."""
    losses = [loss_and_gradients(data.X, data.Y, parameters)[0]]
    for _ in range(EPOCHS):
        for rows in batches(len(data.X), generator):
            _, gradients = loss_and_gradients(data.X[rows], data.Y[rows], parameters)
            parameters = tuple(p + step for p, step in zip(parameters, rule(gradients), strict=True))
        losses.append(loss_and_gradients(data.X, data.Y, parameters)[0])
    return parameters, losses


def accuracy(data: Data, parameters: Arrays) -> float:
    """The share of test images whose digit has the largest score."""
    scores = PREDICT(X=data.X_test, **dict(zip(PARAMETERS, parameters, strict=True)))
    return float(np.mean(np.argmax(scores, axis=1) == data.digits_test))


def run(seed: int = 0) -> Result:
    """Train with every rule from the same start on the same batches."""
    data = load(seed)
    sizes = tuple(len(rows) for rows in batches(len(data.X), np.random.default_rng(seed)))

    def fit(method: str, rule: Rule) -> Fit:
        generator = np.random.default_rng(seed)
        began = perf_counter()
        parameters, losses = train(data, initial(generator), rule, generator)
        seconds = perf_counter() - began
        return Fit(method, parameters, tuple(losses), accuracy(data, parameters), seconds)

    with threadpool_limits(1):  # threads only get in each other's way when the matrices are this small
        return Result(
            formulas=dict(zip(PARAMETERS, LOSS_AND_GRADIENT.formula, strict=True)),
            batches=sizes,
            fits=(
                fit("gradient descent", descent(0.3)),
                fit("momentum", momentum(0.05)),
                fit("Adam", adam(0.005)),
            ),
        )


def report(result: Result) -> str:
    """The formulas and a table of the rules."""
    lines = [f"{title:<13}{line}" for title, line in zip(("loss", ""), LOSS.splitlines(), strict=True)]
    lines += [f"gradient {name:<3} {formula}" for name, formula in result.formulas.items()]
    first, *_, last = result.batches
    lines.append(f"batches      {len(result.batches)} an epoch, of {first} images, the last of {last}")
    lines += ["", f"{'method':<18}{'epochs':>7}{'first loss':>12}{'last loss':>12}{'accuracy':>10}{'seconds':>9}"]
    for fit in result.fits:
        lines.append(
            f"{fit.method:<18}{EPOCHS:>7}{fit.losses[0]:>12.4f}{fit.losses[-1]:>12.4f}"
            f"{fit.accuracy:>10.1%}{fit.seconds:>9.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Train and print the report."""
    print(report(run()))


if __name__ == "__main__":
    main()
