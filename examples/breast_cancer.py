"""Logistic regression on the Wisconsin breast-cancer data: four optimizers, one gradient, scikit-learn's optimum.

Run it with ``python examples/breast_cancer.py``. The loss is typed as a formula; its gradient and its Hessian are
derived by matcalc, and everything around them is plain NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

import matcalc as mc

LOSS = "1/N sum(log(1 + exp(-y .* (X w + b)))) + lambda/2 ||w||^2"
TYPES = {"X": "matrix(N, d)", "b": "scalar"}  # naming the rows of X makes N their number
PARAMETERS = ("w", "b")

LOSS_AND_GRADIENT = mc.value_and_grad(LOSS, wrt=PARAMETERS, vars=TYPES)
HESSIAN = mc.hessian(LOSS, wrt=PARAMETERS, vars=TYPES)

TOLERANCE = 1e-6
STEPS = 50_000

Array = NDArray[np.float64]
Objective = Callable[[Array], tuple[float, Array]]


class Data(NamedTuple):
    """Samples in rows and labels -1 (malignant) and 1 (benign); standardised by the training part."""

    X: Array
    y: Array
    X_test: Array
    y_test: Array


class Fit(NamedTuple):
    """What one method found: the parameters (w, then b) and how long it took."""

    method: str
    theta: Array
    steps: int
    loss: float
    accuracy: float
    seconds: float


class Result(NamedTuple):
    """The gradient's formulas, scikit-learn's optimum of the same loss, and what every method found."""

    formulas: dict[str, str]
    reference: Fit
    fits: tuple[Fit, ...]

    def relative_difference(self, fit: Fit) -> float:
        """How far a loss is from that of scikit-learn."""
        return abs(fit.loss - self.reference.loss) / self.reference.loss


def load(seed: int = 0) -> Data:
    """Split the data 75 to 25 and standardise it."""
    X, is_benign = load_breast_cancer(return_X_y=True)
    labels = 2.0 * is_benign - 1
    X, X_test, y, y_test = train_test_split(X, labels, test_size=0.25, random_state=seed, stratify=labels)
    scaler = StandardScaler().fit(X)
    return Data(scaler.transform(X), y, scaler.transform(X_test), y_test)


def make_objective(data: Data, penalty: float) -> Objective:
    """The loss and its gradient as functions of one flat vector, w followed by b."""

    def objective(theta: Array) -> tuple[float, Array]:
        loss, (w, b) = LOSS_AND_GRADIENT(X=data.X, y=data.y, w=theta[:-1], b=theta[-1], λ=penalty)
        return float(loss), np.append(w, b)

    return objective


def make_hessian(data: Data, penalty: float) -> Callable[[Array], Array]:
    """The Hessian by one flat vector, put together from its four blocks."""

    def hessian(theta: Array) -> Array:
        (ww, wb), (bw, bb) = HESSIAN(X=data.X, y=data.y, w=theta[:-1], b=theta[-1], λ=penalty)
        return np.block([[ww, wb[:, None]], [bw[None, :], np.reshape(bb, (1, 1))]])

    return hessian


def smoothness(data: Data, penalty: float) -> float:
    """The largest curvature that the loss can have; its inverse is a safe rate."""
    rows = np.column_stack([data.X, np.ones(len(data.y))])
    return float(np.linalg.norm(rows, 2) ** 2 / (4 * len(data.y)) + penalty)


def gradient_descent(objective: Objective, theta: Array, rate: float) -> tuple[Array, int]:
    """Follow the negative gradient until it vanishes; return the parameters and the number of steps."""
    for step in range(STEPS):
        _, gradient = objective(theta)
        if np.linalg.norm(gradient) < TOLERANCE:
            return theta, step
        theta = theta - rate * gradient
    return theta, STEPS


def momentum(objective: Objective, theta: Array, rate: float, decay: float = 0.97) -> tuple[Array, int]:
    """Keep a velocity that the gradient pushes."""
    velocity = np.zeros_like(theta)
    for step in range(STEPS):
        _, gradient = objective(theta)
        if np.linalg.norm(gradient) < TOLERANCE:
            return theta, step
        velocity = decay * velocity - rate * gradient
        theta = theta + velocity
    return theta, STEPS


def adam(
    objective: Objective, theta: Array, rate: float = 0.05, decay: float = 0.9, square_decay: float = 0.999
) -> tuple[Array, int]:
    """Scale every entry's step by the recent size of its gradient."""
    mean, square = np.zeros_like(theta), np.zeros_like(theta)
    for step in range(STEPS):
        _, gradient = objective(theta)
        if np.linalg.norm(gradient) < TOLERANCE:
            return theta, step
        mean = decay * mean + (1 - decay) * gradient
        square = square_decay * square + (1 - square_decay) * gradient**2
        unbiased = mean / (1 - decay ** (step + 1))
        scale = np.sqrt(square / (1 - square_decay ** (step + 1)))
        theta = theta - rate * unbiased / (scale + 1e-8)
    return theta, STEPS


def newton(objective: Objective, hessian: Callable[[Array], Array], theta: Array) -> tuple[Array, int]:
    """Jump to the minimum of the quadratic model; a step that does not lower the loss enough is halved."""
    for step in range(STEPS):
        loss, gradient = objective(theta)
        if np.linalg.norm(gradient) < TOLERANCE:
            return theta, step
        direction = -np.linalg.solve(hessian(theta), gradient)
        length = 1.0
        while objective(theta + length * direction)[0] > loss + 1e-4 * length * (gradient @ direction):
            length /= 2
        theta = theta + length * direction
    return theta, STEPS


def accuracy(data: Data, theta: Array) -> float:
    """The share of test samples on their side of the plane."""
    return float(np.mean(np.sign(data.X_test @ theta[:-1] + theta[-1]) == data.y_test))


def run(seed: int = 0) -> Result:
    """Fit with every method and with scikit-learn, whose default C = 1 is λ = 1/N."""
    data = load(seed)
    penalty = 1 / len(data.y)
    objective, hessian = make_objective(data, penalty), make_hessian(data, penalty)
    rate = 1 / smoothness(data, penalty)
    start = np.zeros(data.X.shape[1] + 1)

    def sklearn() -> tuple[Array, int]:
        model = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-10).fit(data.X, data.y)
        return np.append(model.coef_[0], model.intercept_), int(model.n_iter_[0])

    def fit(method: str, solve: Callable[[], tuple[Array, int]]) -> Fit:
        began = perf_counter()
        theta, steps = solve()
        seconds = perf_counter() - began
        return Fit(method, theta, steps, objective(theta)[0], accuracy(data, theta), seconds)

    with threadpool_limits(1):  # threads only get in each other's way when the matrices are this small
        return Result(
            formulas=dict(zip(PARAMETERS, LOSS_AND_GRADIENT.formula, strict=True)),
            reference=fit("scikit-learn", sklearn),
            fits=(
                fit("gradient descent", lambda: gradient_descent(objective, start, rate)),
                fit("momentum", lambda: momentum(objective, start, rate)),
                fit("Adam", lambda: adam(objective, start)),
                fit("Newton", lambda: newton(objective, hessian, start)),
            ),
        )


def report(result: Result) -> str:
    """The formulas and a table of the methods."""
    lines = [f"loss         {LOSS}"]
    lines += [f"gradient {name:<3} {formula}" for name, formula in result.formulas.items()]
    lines += ["", f"{'method':<18}{'steps':>7}{'loss':>14}{'difference':>13}{'accuracy':>10}{'seconds':>9}"]
    for fit in (result.reference, *result.fits):
        lines.append(
            f"{fit.method:<18}{fit.steps:>7}{fit.loss:>14.9f}{result.relative_difference(fit):>13.1e}"
            f"{fit.accuracy:>10.1%}{fit.seconds:>9.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Fit and print the report."""
    print(report(run()))


if __name__ == "__main__":
    main()
