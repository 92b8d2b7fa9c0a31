"""Softmax regression on the handwritten digits: L-BFGS, Newton-CG and momentum meet scikit-learn's optimum.

Run it with ``python examples/digits_softmax.py``. SciPy's optimizers take the gradient and the Hessian-vector product
that matcalc derives from the typed loss; the Hessian, 650 times 650, is never formed.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

import matcalc as mc

LOSS = "1/N (sum(logsumexp(X W + b^T, axis=1)) - sum(Y .* (X W + b^T))) + lambda/2 ||W||_F^2"
TYPES = {"X": "matrix(N, d)", "W": "matrix(d, k)"}  # naming the rows of X makes N their number
PARAMETERS = ("W", "b")

LOSS_AND_GRADIENT = mc.value_and_grad(LOSS, wrt=PARAMETERS, vars=TYPES)
HESSIAN_PRODUCT = mc.hvp(LOSS, wrt=PARAMETERS, vars=TYPES)

PIXELS, CLASSES = 64, 10
PENALTY = 1e-3
TOLERANCE = 1e-6
STEPS = 10_000

Array = NDArray[np.float64]
Objective = Callable[[Array], tuple[float, Array]]
HessianProduct = Callable[[Array, Array], Array]


class Data(NamedTuple):
    """Pixels in [0, 1], one image in a row; Y has a 1 in the column of each image's digit."""

    X: Array
    Y: Array
    X_test: Array
    digits_test: NDArray[np.int64]


class Fit(NamedTuple):
    """What one method found: the parameters (W row by row, then b) and how long it took."""

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
    """Split the data 75 to 25."""
    images, digits = load_digits(return_X_y=True)
    X, X_test, train, test = train_test_split(images / 16, digits, test_size=0.25, random_state=seed, stratify=digits)
    return Data(X, np.eye(CLASSES)[train], X_test, test)


def flat(W: Array, b: Array) -> Array:
    """Both parameters, or their gradients, as one vector."""
    return np.concatenate([W.ravel(), b])


def parts(theta: Array) -> tuple[Array, Array]:
    """W and b of one vector."""
    return theta[:-CLASSES].reshape(PIXELS, CLASSES), theta[-CLASSES:]


def make_objective(data: Data) -> Objective:
    """The loss and its gradient as functions of one flat vector."""

    def objective(theta: Array) -> tuple[float, Array]:
        W, b = parts(theta)
        loss, gradients = LOSS_AND_GRADIENT(X=data.X, Y=data.Y, W=W, b=b, λ=PENALTY)
        return float(loss), flat(*gradients)

    return objective


def make_hessian_product(data: Data) -> HessianProduct:
    """The Hessian at one flat vector times another."""

    def hessian_product(theta: Array, direction: Array) -> Array:
        W, b = parts(theta)
        return flat(*HESSIAN_PRODUCT(*parts(direction), X=data.X, Y=data.Y, W=W, b=b, λ=PENALTY))

    return hessian_product


def momentum(objective: Objective, theta: Array, rate: float, decay: float = 0.98) -> tuple[Array, int]:
    """Keep a velocity that the gradient pushes, until the gradient vanishes."""
    velocity = np.zeros_like(theta)
    for step in range(STEPS):
        _, gradient = objective(theta)
        if np.linalg.norm(gradient) < TOLERANCE:
            return theta, step
        velocity = decay * velocity - rate * gradient
        theta = theta + velocity
    return theta, STEPS


def lbfgs(objective: Objective, theta: Array) -> tuple[Array, int]:
    """SciPy's L-BFGS with the derived gradient."""
    found = minimize(objective, theta, jac=True, method="L-BFGS-B", options={"gtol": TOLERANCE, "ftol": 0.0})
    return found.x, found.nit


def newton_cg(objective: Objective, hessian_product: HessianProduct, theta: Array) -> tuple[Array, int]:
    """SciPy's Newton-CG with the derived gradient and Hessian-vector product."""
    found = minimize(objective, theta, jac=True, hessp=hessian_product, method="Newton-CG", options={"xtol": TOLERANCE})
    return found.x, found.nit


def accuracy(data: Data, theta: Array) -> float:
    """The share of test images whose digit has the largest score."""
    W, b = parts(theta)
    return float(np.mean(np.argmax(data.X_test @ W + b, axis=1) == data.digits_test))


def run(seed: int = 0) -> Result:
    """Fit with every method and with scikit-learn, whose C is 1/(λ N)."""
    data = load(seed)
    objective, hessian_product = make_objective(data), make_hessian_product(data)
    start = np.zeros(PIXELS * CLASSES + CLASSES)

    def sklearn() -> tuple[Array, int]:
        inverse = 1 / (PENALTY * len(data.X))
        model = LogisticRegression(C=inverse, tol=1e-8, max_iter=5000).fit(data.X, np.argmax(data.Y, axis=1))
        return flat(model.coef_.T, model.intercept_), int(model.n_iter_[0])

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
                fit("L-BFGS", lambda: lbfgs(objective, start)),
                fit("Newton-CG", lambda: newton_cg(objective, hessian_product, start)),
                fit("momentum", lambda: momentum(objective, start, rate=0.3)),
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
