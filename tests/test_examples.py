"""The examples on real data reach scikit-learn's optimum, and the gradients that they use are the losses' slopes."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import log_loss

import matcalc as mc
from examples import breast_cancer, digits_mlp, digits_softmax

EXAMPLES = (breast_cancer, digits_softmax, digits_mlp)
Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def cancer() -> breast_cancer.Result:
    return breast_cancer.run()


@pytest.fixture(scope="module")
def softmax() -> digits_softmax.Result:
    return digits_softmax.run()


@pytest.fixture(scope="module")
def network() -> digits_mlp.Result:
    return digits_mlp.run()


def name_of(module: Any) -> str:
    return str(module.__name__).rpartition(".")[2]


def slope(function: Callable[[Array], Any], point: Array, direction: Array, step: float = 1e-5) -> Any:
    """The derivative in a direction by central differences."""
    return (function(point + step * direction) - function(point - step * direction)) / (2 * step)


# --- logistic regression ---------------------------------------------------------------------------------


def test_logistic_regression_reaches_the_optimum(cancer: breast_cancer.Result) -> None:
    assert [fit.method for fit in cancer.fits] == ["gradient descent", "momentum", "Adam", "Newton"]
    for fit in cancer.fits:
        assert fit.loss == pytest.approx(cancer.reference.loss, rel=1e-6), fit.method
        assert fit.steps < breast_cancer.STEPS
        assert fit.accuracy >= 0.95


def test_logistic_loss_is_the_one_that_scikit_learn_computes(cancer: breast_cancer.Result) -> None:
    data = breast_cancer.load()
    for fit in (cancer.reference, *cancer.fits):
        w, b = fit.theta[:-1], fit.theta[-1]
        probabilities = 1 / (1 + np.exp(-(data.X @ w + b)))
        expected = log_loss(data.y > 0, probabilities) + w @ w / (2 * len(data.y))
        assert fit.loss == pytest.approx(expected, rel=1e-12)


def test_logistic_gradient_and_hessian_are_slopes() -> None:
    data, penalty = breast_cancer.load(), 0.1
    objective, hessian = breast_cancer.make_objective(data, penalty), breast_cancer.make_hessian(data, penalty)
    generator = np.random.default_rng(1)
    theta, direction = generator.standard_normal((2, data.X.shape[1] + 1))
    _, gradient = objective(theta)
    assert gradient @ direction == pytest.approx(slope(lambda x: objective(x)[0], theta, direction), rel=1e-7)
    curvature = hessian(theta)
    np.testing.assert_allclose(curvature @ direction, slope(lambda x: objective(x)[1], theta, direction), rtol=1e-6)
    np.testing.assert_allclose(curvature, curvature.T, rtol=1e-12)


def test_logistic_gradient_is_finite_at_large_margins() -> None:
    data = breast_cancer.load()
    objective = breast_cancer.make_objective(data, 0.0)
    loss, gradient = objective(np.full(data.X.shape[1] + 1, 1e3))
    margins = data.y * (1e3 * data.X.sum(axis=1) + 1e3)
    assert loss == pytest.approx(np.mean(np.maximum(-margins, 0)))
    assert np.isfinite(gradient).all()


# --- softmax regression ----------------------------------------------------------------------------------


def test_softmax_regression_reaches_the_optimum(softmax: digits_softmax.Result) -> None:
    assert [fit.method for fit in softmax.fits] == ["L-BFGS", "Newton-CG", "momentum"]
    for fit in softmax.fits:
        assert fit.loss == pytest.approx(softmax.reference.loss, rel=1e-6), fit.method
        assert fit.steps < digits_softmax.STEPS
        assert fit.accuracy >= 0.95


def test_softmax_loss_is_the_one_that_scikit_learn_computes(softmax: digits_softmax.Result) -> None:
    data = digits_softmax.load()
    for fit in (softmax.reference, *softmax.fits):
        W, b = digits_softmax.parts(fit.theta)
        weights = np.exp(data.X @ W + b)
        expected = log_loss(data.Y, weights / weights.sum(axis=1, keepdims=True))
        expected += digits_softmax.PENALTY / 2 * np.sum(W**2)
        assert fit.loss == pytest.approx(expected, rel=1e-12)


def test_softmax_gradient_and_hessian_product_are_slopes() -> None:
    data = digits_softmax.load()
    objective, product = digits_softmax.make_objective(data), digits_softmax.make_hessian_product(data)
    theta, direction = np.random.default_rng(2).standard_normal((2, 650))
    _, gradient = objective(theta)
    assert gradient @ direction == pytest.approx(slope(lambda x: objective(x)[0], theta, direction), rel=1e-7)
    expected = slope(lambda x: objective(x)[1], theta, direction)
    np.testing.assert_allclose(product(theta, direction), expected, rtol=1e-5, atol=1e-8)


# --- a network -------------------------------------------------------------------------------------------


def test_network_reads_the_digits(network: digits_mlp.Result) -> None:
    assert [fit.method for fit in network.fits] == ["gradient descent", "momentum", "Adam"]
    for fit in network.fits:
        assert fit.accuracy >= 0.95, fit.method
        assert fit.losses[-1] < 0.1 < 2 < fit.losses[0]


def test_network_takes_a_last_batch_of_another_size(network: digits_mlp.Result) -> None:
    samples = len(digits_mlp.load().X)
    assert sum(network.batches) == samples
    assert set(network.batches[:-1]) == {digits_mlp.BATCH}
    assert network.batches[-1] == samples % digits_mlp.BATCH > 0


def test_network_loss_is_the_one_that_scikit_learn_computes(network: digits_mlp.Result) -> None:
    data = digits_mlp.load()
    for fit in network.fits:
        W1, b1, W2, b2 = fit.parameters
        weights = np.exp(np.maximum(data.X @ W1 + b1, 0) @ W2 + b2)
        expected = log_loss(data.Y, weights / weights.sum(axis=1, keepdims=True))
        expected += digits_mlp.PENALTY / 2 * (np.sum(W1**2) + np.sum(W2**2))
        assert fit.losses[-1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_network_gradients_are_slopes(rows: int) -> None:
    data = digits_mlp.load()
    X, Y = data.X[:rows], data.Y[:rows]
    generator = np.random.default_rng(3)
    point = digits_mlp.initial(generator)
    _, gradients = digits_mlp.loss_and_gradients(X, Y, point)
    for number, (parameter, gradient) in enumerate(zip(point, gradients, strict=True)):
        assert gradient.shape == parameter.shape
        direction = generator.standard_normal(parameter.shape)

        def loss(moved: Array, place: int = number) -> float:
            return digits_mlp.loss_and_gradients(X, Y, (*point[:place], moved, *point[place + 1 :]))[0]

        # a step this small crosses no kink of a relu
        expected = slope(loss, parameter, direction, 1e-6)
        assert np.vdot(gradient, direction) == pytest.approx(expected, rel=1e-6), digits_mlp.PARAMETERS[number]


# --- all of them -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "parameter"),
    [(module, parameter) for module in EXAMPLES for parameter in module.PARAMETERS],
    ids=lambda value: value if isinstance(value, str) else name_of(value),
)
def test_the_formula_of_every_gradient_passes_its_check(module: Any, parameter: str) -> None:
    derivative = mc.derive(module.LOSS, parameter, module.TYPES)
    outcome = derivative.check()
    assert outcome.ok, outcome.message


@pytest.mark.parametrize("module", EXAMPLES, ids=name_of)
def test_the_report_shows_formulas_and_an_aligned_table(module: Any, request: pytest.FixtureRequest) -> None:
    fixture = {"breast_cancer": "cancer", "digits_softmax": "softmax", "digits_mlp": "network"}[name_of(module)]
    result = request.getfixturevalue(fixture)
    text = module.report(result)
    for formula in result.formulas.values():
        assert formula in text
    table = text.partition("\n\n")[2].splitlines()
    assert len(table) == 1 + len(result.fits) + hasattr(result, "reference")
    assert len({len(row) for row in table}) == 1


def test_an_example_is_a_script(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(breast_cancer.__file__, run_name="__main__")
    printed = capsys.readouterr().out
    assert printed.startswith(f"loss         {breast_cancer.LOSS}\n")
    assert "scikit-learn" in printed
