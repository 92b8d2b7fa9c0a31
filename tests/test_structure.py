"""Derivatives by structured variables: within the space, with free entries, and by the distinct entries."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from fact_samples import with_properties

import matcalc as mc
from matcalc.cli import main
from matcalc.errors import Unsupported, UsageError
from matcalc.structure import HANDBOOK

N = 4
SPACES = ("symmetric", "spd", "psd", "skew", "diagonal", "lower", "upper", "orthogonal")
PROJECTIONS: Mapping[str, Callable[[Any], Any]] = {
    "symmetric": lambda G: (G + G.T) / 2,
    "skew": lambda G: (G - G.T) / 2,
    "diagonal": lambda G: np.diag(np.diag(G)),
    "lower": np.tril,
    "upper": np.triu,
}
LINEAR = ("symmetric", "spd", "psd", "skew", "diagonal", "lower", "upper")

# Functions of X in the language and in NumPy; they are not symmetric in X, so that every space gives another answer.
FUNCTIONS: Mapping[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    "a^T X b": lambda X, v: v["a"] @ X @ v["b"],
    "tr(X A X B)": lambda X, v: np.trace(X @ v["A"] @ X @ v["B"]),
    "||X a - b||^2": lambda X, v: np.sum((X @ v["a"] - v["b"]) ** 2),
    "tr(X^T A X B) + sum(tanh(X))": lambda X, v: np.trace(X.T @ v["A"] @ X @ v["B"]) + np.sum(np.tanh(X)),
    "log(1 + (a^T X X b)^2)": lambda X, v: np.log(1 + (v["a"] @ X @ X @ v["b"]) ** 2),
    "norm(X a)": lambda X, v: np.linalg.norm(X @ v["a"]),
}


def point(word: str, seed: int = 3) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {
        "X": with_properties((word,), (N, N), generator),
        "a": generator.normal(size=N),
        "b": generator.normal(size=N),
        "A": generator.normal(size=(N, N)),
        "B": generator.normal(size=(N, N)),
    }


def types(text: str, word: str) -> dict[str, str]:
    given = {"X": f"matrix(n, n) {word}", "a": "vector(n)", "b": "vector(n)"}
    given |= {"A": "matrix(n, n)", "B": "matrix(n, n)"}
    return {name: kind for name, kind in given.items() if name in text}


def values(text: str, word: str) -> dict[str, Any]:
    return {name: array for name, array in point(word).items() if name in types(text, word)}


def entrywise(text: str, word: str) -> np.ndarray:
    """The partial derivatives with independent entries, by central differences of the NumPy function."""
    given = point(word)
    function, X = FUNCTIONS[text], given["X"]
    gradient = np.zeros_like(X)
    for place in np.ndindex(X.shape):
        step = np.zeros_like(X)
        step[place] = 1e-5
        gradient[place] = (function(X + step, given) - function(X - step, given)) / 2e-5
    return gradient


CASES = [(text, word) for text in FUNCTIONS for word in SPACES]


@pytest.mark.parametrize(("text", "word"), CASES)
def test_free_entries(text: str, word: str) -> None:
    """Formula, compiled derivative and gradient function all give the partial derivatives of what was written."""
    want = entrywise(text, word)
    given = values(text, word)
    d = mc.derive(text, "X", types(text, word), structure="free")
    g = mc.grad(text, "X", types(text, word), structure="free")
    again = mc.parse(d.formula, types(text, word)).compile()
    for got in (d(**given), g(**given), again(**{k: v for k, v in given.items() if k in again.args})):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)
    assert d.structure == "free"
    assert any("independent" in note for note in d.notes)


@pytest.mark.parametrize(("text", "word"), [case for case in CASES if case[1] in LINEAR])
def test_within_the_space(text: str, word: str) -> None:
    """The gradient is in the space, and gives the slope in every direction of the space."""
    given = values(text, word)
    symmetric = "symmetric" if word in ("spd", "psd") else word
    want = PROJECTIONS[symmetric](entrywise(text, word))
    d = mc.derive(text, "X", types(text, word), structure="respect")
    np.testing.assert_allclose(d(**given), want, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(mc.grad(text, "X", types(text, word))(**given), want, rtol=1e-6, atol=1e-7)
    function, everything = FUNCTIONS[text], point(word)
    direction = PROJECTIONS[symmetric](np.random.default_rng(1).normal(size=(N, N)))
    ahead, behind = (function(everything["X"] + step * direction, everything) for step in (1e-5, -1e-5))
    np.testing.assert_allclose(np.sum(d(**given) * direction), (ahead - behind) / 2e-5, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("text", FUNCTIONS)
def test_the_space_of_a_linear_variable_is_respected_by_default(text: str) -> None:
    for word in LINEAR:
        asked, default = (mc.derive(text, "X", types(text, word), structure=s) for s in ("respect", None))
        assert asked.formula == default.formula
        assert default.structure == "respect"


@pytest.mark.parametrize("text", FUNCTIONS)
def test_orthogonal_matrices(text: str) -> None:
    """Within them the gradient is tangent and gives the slope along a curve; by default the entries are free."""
    given, declared = values(text, "orthogonal"), types(text, "orthogonal")
    d = mc.derive(text, "X", declared, structure="respect")
    gradient, X = d(**given), given["X"]
    np.testing.assert_allclose(X.T @ gradient + gradient.T @ X, 0, atol=1e-10)
    skew = np.random.default_rng(2).normal(size=(N, N))
    skew = skew - skew.T
    everything = point("orthogonal")

    def along(t: float) -> Any:
        half = np.eye(N) - t / 2 * skew
        return FUNCTIONS[text](X @ np.linalg.solve(half, np.eye(N) + t / 2 * skew), everything)

    slope = (along(1e-5) - along(-1e-5)) / 2e-5
    np.testing.assert_allclose(np.sum(gradient * (X @ skew)), slope, rtol=1e-5, atol=1e-7)
    assert mc.derive(text, "X", declared).structure == "free"
    np.testing.assert_allclose(mc.derive(text, "X", declared)(**given), entrywise(text, "orthogonal"), rtol=1e-6)


def unfolded(half: np.ndarray, word: str) -> np.ndarray:
    """The matrix with the given entries on and below the diagonal, column by column."""
    lower = np.zeros((N, N))
    columns, rows = np.triu_indices(N)
    lower[rows, columns] = half
    return lower + np.tril(lower, -1).T if word != "lower" else lower


@pytest.mark.parametrize(("text", "word"), [c for c in CASES if c[1] in ("symmetric", "spd", "psd", "lower")])
def test_the_distinct_entries(text: str, word: str) -> None:
    """Each entry on or below the diagonal is changed in turn, together with its mirror image."""
    everything, given = point(word), values(text, word)
    function, columns, rows = FUNCTIONS[text], *np.triu_indices(N)
    half = everything["X"][rows, columns]
    want = np.zeros(len(half))
    for place in range(len(half)):
        step = np.zeros(len(half))
        step[place] = 1e-5
        ahead, behind = (function(unfolded(half + sign * step, word), everything) for sign in (1, -1))
        want[place] = (ahead - behind) / 2e-5
    d = mc.derive(text, "X", types(text, word), structure="vech")
    g = mc.grad(text, "X", types(text, word), structure="vech")
    again = mc.parse(d.formula, types(text, word)).compile()
    for got in (d(**given), g(**given), again(**{k: v for k, v in given.items() if k in again.args})):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)
    if word != "lower":
        gradient = mc.grad(text, "X", types(text, word))(**given)
        np.testing.assert_allclose(unfolded(want, word), 2 * gradient - np.diag(np.diag(gradient)), atol=1e-6)


@pytest.mark.parametrize("word", ["symmetric", "lower"])
def test_second_derivatives_by_the_distinct_entries(word: str) -> None:
    text = "log(1 + (a^T X X b)^2)"
    everything, given = point(word), values(text, word)
    columns, rows = np.triu_indices(N)
    half = everything["X"][rows, columns]
    h = mc.hessian(text, "X", types(text, word), structure="vech")(**given)
    g = mc.grad(text, "X", types(text, word), structure="vech")
    want = np.zeros((len(half), len(half)))
    for place in range(len(half)):
        step = np.zeros(len(half))
        step[place] = 1e-5
        ahead, behind = (g(**{**given, "X": unfolded(half + sign * step, word)}) for sign in (1, -1))
        want[:, place] = (ahead - behind) / 2e-5
    np.testing.assert_allclose(h, want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mc.derive(text, "X", types(text, word), order=2, structure="vech")(**given), h)


@pytest.mark.parametrize("word", ["symmetric", "skew", "diagonal", "upper"])
def test_second_derivatives_with_free_entries(word: str) -> None:
    """The Hessian with free entries is that of the function of an undeclared matrix."""
    text = "tr(X A X B)"
    given = values(text, word)
    h = mc.hessian(text, "X", types(text, word), structure="free")(**given)
    plain = mc.hessian(text, "X", types(text, ""))(**given)
    np.testing.assert_allclose(h, plain, rtol=1e-12)


def test_a_jacobian_in_each_structure() -> None:
    text, declared, given = "X b", types("X b", "symmetric"), values("X b", "symmetric")
    free = np.einsum("ij,k->ijk", np.eye(N), given["b"])
    np.testing.assert_allclose(mc.jacobian(text, "X", declared, structure="free")(**given), free)
    respect = mc.jacobian(text, "X", declared)(**given)
    np.testing.assert_allclose(respect, (free + free.transpose(0, 2, 1)) / 2)
    half = mc.jacobian(text, "X", declared, structure="vech")(**given)
    columns, rows = np.triu_indices(N)
    twice = free + free.transpose(0, 2, 1)
    twice[:, range(N), range(N)] /= 2
    np.testing.assert_allclose(half, twice[:, rows, columns])


def test_value_and_gradient_follow_the_choice() -> None:
    text, declared, given = "a^T X b", types("a^T X b", "symmetric"), values("a^T X b", "symmetric")
    value, gradient = mc.value_and_grad(text, "X", declared, structure="free")(**given)
    np.testing.assert_allclose(value, given["a"] @ given["X"] @ given["b"])
    np.testing.assert_allclose(gradient, np.outer(given["a"], given["b"]))


FORMULAS = [
    ("a^T X b", "symmetric", None, "1/2 (a b^T + b a^T)"),
    ("a^T X b", "symmetric", "free", "a b^T"),
    ("a^T X b", "skew", None, "1/2 (a b^T - b a^T)"),
    ("a^T X b", "diagonal", None, "diag(a .* b)"),
    ("a^T X b", "lower", None, "tril(a b^T)"),
    ("a^T X b", "upper", None, "triu(a b^T)"),
    ("tr(A X)", "lower", None, "tril(A^T)"),
    ("logdet(X)", "spd", None, "X^-1"),
    ("logdet(X)", "spd", "free", "X^-1"),
    ("logdet(X)", "spd", "vech", "vech(2 X^-1 - X^-1 .* I)"),
    ("a^T X b", "symmetric", "vech", "vech(a b^T + b a^T - diag(a .* b))"),
    ("logdet(X)", "lower", None, "diag(1 ./ diag(X))"),
    ("||X a||^2", "orthogonal", None, "2 X a a^T"),
    ("||X a||^2", "orthogonal", "respect", "zeros(n, n)"),
]


@pytest.mark.parametrize(("text", "word", "structure", "formula"), FORMULAS)
def test_formulas(text: str, word: str, structure: str | None, formula: str) -> None:
    assert mc.derive(text, "X", types(text, word), structure=structure).formula == formula


def test_the_handbook_form_is_explained_for_gradients_by_symmetric_matrices() -> None:
    assert HANDBOOK in mc.derive("a^T X b", "X", types("a^T X b", "symmetric")).notes
    for other in (
        mc.derive("a^T X b", "X", types("a^T X b", "lower")),
        mc.derive("a^T X b", "X", types("a^T X b", "symmetric"), structure="free"),
        mc.derive("a^T X b", "a", types("a^T X b", "symmetric")),
    ):
        assert HANDBOOK not in other.notes


@pytest.mark.parametrize("structure", ["respect", "free", "vech"])
def test_a_derivative_is_verified_pickled_and_turned_to_data(structure: str) -> None:
    d = mc.derive("tr(X A X B)", "X", types("tr(X A X B)", "symmetric"), structure=structure)
    assert d.check().ok
    again = pickle.loads(pickle.dumps(d))
    assert (again.formula, again.notes, again.structure) == (d.formula, d.notes, structure)
    assert d.to_dict()["structure"] == structure


@pytest.mark.parametrize("word", SPACES)
@pytest.mark.parametrize("structure", ["respect", "free"])
def test_every_space_is_verified(word: str, structure: str) -> None:
    declared = types("a^T X b", word)
    assert mc.derive("a^T X b + ||X a - b||^2", "X", declared, structure=structure).check().ok


def test_a_wrong_space_is_not_verified() -> None:
    """The certificate of a tangent gradient can fail: the projection of another function is refused."""
    d = mc.derive("a^T X b", "X", types("a^T X b", "orthogonal"), structure="respect")
    d.node = mc.derive("b^T X a", "X", types("b^T X a", "orthogonal"), structure="respect").node
    assert not d.check().ok


def test_what_cannot_be_asked_for() -> None:
    with pytest.raises(UsageError, match="no structure 'sparse'"):
        mc.derive("a^T X b", "X", types("a^T X b", "symmetric"), structure="sparse")
    with pytest.raises(UsageError, match="no structure 'sparse'"):
        mc.grad("a^T X b", "X", types("a^T X b", "symmetric"), structure="sparse")
    for word in ("", "skew", "diagonal"):
        with pytest.raises(UsageError, match="not declared as one"):
            mc.derive("a^T X b", "X", types("a^T X b", word), structure="vech")
    with pytest.raises(Unsupported, match="no linear space"):
        mc.derive("a^T X b", "X", types("a^T X b", "orthogonal"), order=2, structure="respect")
    with pytest.raises(Unsupported, match="no linear space"):
        mc.hessian("tr(X A X B)", "X", types("tr(X A X B)", "orthogonal"), structure="respect")


def test_the_command_line_prints_the_choice(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["diff", "a^T X b", "--wrt", "X", "--var", "X: matrix(n, n) symmetric"]
    assert main([*arguments, "--structure", "free"]) == 0
    assert "a b^T\n" in (out := capsys.readouterr().out)
    assert "structure free" in out
    assert main(arguments) == 0
    assert "structure respect" in capsys.readouterr().out
    assert main(["diff", "a^T X b", "--wrt", "a"]) == 0
    assert "structure" not in capsys.readouterr().out
    assert main([*arguments, "--structure", "sparse"]) == 2
