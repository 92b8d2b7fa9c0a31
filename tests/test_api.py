"""The Python interface: formulas, compiled functions, expressions built by operators, and what they refuse."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest

import matcalc as mc
from matcalc.errors import MatcalcError

RANDOM = np.random.default_rng(7)
A = RANDOM.standard_normal((4, 3))
S = RANDOM.standard_normal((3, 3))
B = RANDOM.standard_normal(4)
X = RANDOM.standard_normal(3)
V = RANDOM.standard_normal(3)

LOGISTIC = "sum(log(1 + exp(-y .* (X w)))) + lambda/2 ||w||^2"
LOGISTIC_DATA: dict[str, Any] = {
    "X": RANDOM.standard_normal((20, 5)),
    "y": np.sign(RANDOM.standard_normal(20)),
    "w": RANDOM.standard_normal(5),
    "lambda": 0.3,
}


def slope(function: Any, point: Any, direction: Any, step: float = 1e-5) -> Any:
    """The central difference of a function in a direction."""
    return (function(point + step * direction) - function(point - step * direction)) / (2 * step)


# --- derive --------------------------------------------------------------------------------------


def test_everything_about_a_derivative() -> None:
    d = mc.derive("x^T A x", wrt="x", vars={"A": "matrix(n, n)", "x": "vector(n)"})
    assert d.formula == str(d) == "(A + A^T) x"
    assert d.unicode == "(A + Aᵀ) x"
    assert d.latex == r"\left(A + A^{\top}\right) x"
    assert d.shape == ("n",)
    assert d.vars == {"x": "vector(n)", "A": "matrix(n, n)"}
    assert (d.wrt, d.order, d.layout) == (("x",), 1, "gradient")
    assert d.conditions == ()
    assert d.notes == ()
    assert d.node.shape == (d.function.node.shape + d.function.meaning.symbols["x"].type.shape)
    np.testing.assert_allclose(d(A=S, x=X), (S + S.T) @ X)
    np.testing.assert_allclose(d.compile()(A=S, x=X), (S + S.T) @ X)
    assert "def " in d.source
    assert d._repr_latex_() == f"$\\displaystyle {d.latex}$"
    assert d._repr_mimebundle_() == {"text/plain": d.formula, "text/latex": d._repr_latex_()}
    assert repr(d).startswith("Derivative('(A + A^T) x'")
    assert d.to_dict()["shape"] == ["n"]


def test_types_may_be_declared_again() -> None:
    e = mc.parse("a^T vec(X)")
    assert e.vars == {"a": "vector(m n)", "X": "matrix(m, n)"}
    assert mc.parse("a^T vec(X)", e.vars).vars == e.vars
    assert mc.derive("a^T vec(X)", "X").check().ok


def test_written_sizes_are_integers() -> None:
    assert mc.derive("W x", "x", {"W": "matrix(10, 784)"}).shape == (10, 784)


def test_the_variable_is_chosen_when_only_one_is_likely() -> None:
    d = mc.derive("x^T A x")
    assert d.wrt == ("x",)
    assert d.notes == ("no variable was named: differentiated by x",)
    assert mc.derive("logdet(X)").wrt == ("X",)
    with pytest.raises(mc.UsageError, match="name the variable") as error:
        mc.derive("u^T v")
    assert "u, v" in str(error.value)


def test_second_and_mixed_derivatives() -> None:
    assert mc.derive("x^T A x", "x", order=2).formula == "A + A^T"
    mixed = mc.derive("x^T A y", ("x", "y"))
    assert mixed.formula == "A"
    assert mixed.order == 2
    assert mc.derive("x^T A y", ("y", "x")).formula == "A^T"
    assert mc.derive("x^T A y", ("y", "x"), order=2).formula == "A^T"
    assert mc.derive("sum(x.^3)", "x", order=2).shape == ("n", "n")


def test_names_that_do_not_occur_are_warned_about() -> None:
    known = mc.derive("A: matrix(n, n); z: vector(n); x^T A x", "z")
    assert known.notes == ("the expression does not depend on z: the derivative is zero",)
    assert known.shape == ("n",)
    assert np.array_equal(known(A=S, x=X, z=X), np.zeros(3))
    unknown = mc.derive("x^T A x", "B")
    assert "B does not occur" in unknown.notes[0]
    assert len(unknown.shape) == 2
    assert "did you mean lambda?" in mc.derive("lambda x^T x", "lambdaa").notes[-1]


def test_a_defined_name_is_refused() -> None:
    with pytest.raises(mc.UsageError, match="r is defined by the program"):
        mc.derive("r = A x - b; r^T r", "r")


def test_greek_letters_and_their_names_are_one() -> None:
    d = mc.derive("λ x^T x", "λ", {"λ": "scalar"})
    assert d.formula == mc.derive("lambda x^T x", "lambda").formula
    assert d.wrt == ("lambda",)
    np.testing.assert_allclose(d(λ=2.0, x=X), X @ X)


def test_the_hessian_in_vec_layout_is_a_matrix() -> None:
    d = mc.derive("tr(X A X)", "X", order=2, layout="vec")
    assert d.shape == ("n^2", "n^2")


def test_layouts() -> None:
    def shown(text: str, wrt: str, layout: str) -> tuple[str, Any]:
        d = mc.derive(text, wrt, layout=layout)
        return d.formula, d.shape

    assert shown("A x", "x", "gradient") == ("A", ("m", "n"))
    assert shown("A x", "x", "numerator") == ("A", ("m", "n"))
    assert shown("A x", "x", "denominator") == ("A^T", ("n", "m"))
    assert shown("a^T x", "x", "numerator")[0] == "a^T"
    assert shown("a^T x", "x", "denominator")[0] == "a"
    assert shown("tr(A X)", "X", "denominator")[0] == "A^T"
    assert shown("tr(A X)", "X", "numerator")[0] == "A"
    with pytest.raises(mc.UsageError, match="numerator layout is not defined"):
        mc.derive("A X", "X", layout="numerator")
    with pytest.raises(mc.UsageError, match="no layout"):
        mc.derive("A X", "X", layout="sideways")


@pytest.mark.parametrize(
    ("text", "wrt", "types"),
    [
        ("A X B", "X", {"A": "matrix(m, n)", "X": "matrix(n, p)", "B": "matrix(p, q)"}),
        ("X^T", "X", {"X": "matrix(m, n)"}),
        ("A x", "x", {"A": "matrix(m, n)"}),
        ("tr(A X)", "X", {"A": "matrix(m, n)", "X": "matrix(n, m)"}),
        ("t A", "t", {"A": "matrix(m, n)", "t": "scalar"}),
    ],
)
def test_vec_layout_is_the_matrix_of_the_differential(text: str, wrt: str, types: dict[str, str]) -> None:
    sizes = {"m": 2, "n": 3, "p": 4, "q": 5}
    d = mc.derive(text, wrt, types, layout="vec")
    data = {
        name: RANDOM.standard_normal([sizes[str(dim)] for dim in symbol.type.shape])
        for name, symbol in d.function.meaning.symbols.items()
    }
    change = RANDOM.standard_normal(np.shape(data[wrt]))
    value = mc.parse(text, types).compile()
    moved = slope(lambda point: value(**{**data, wrt: point}), data[wrt], change)
    expected = np.ravel(moved, order="F")
    np.testing.assert_allclose(d(**data) @ np.ravel(change, order="F"), expected, rtol=1e-6, atol=1e-8)
    again = mc.parse(d.formula, d.vars).compile()
    np.testing.assert_allclose(again(**{name: data[name] for name in again.args}), d(**data))


# --- conditions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wrt", "types", "expected"),
    [
        ("logdet(X)", "X", {}, ["X invertible"]),
        ("tr(X^-1)", "X", {}, ["X invertible"]),
        ("logdet(X)", "X", {"X": "matrix(n, n) spd"}, []),
        ("1 / t", "t", {"t": "scalar"}, ["t ≠ 0"]),
        ("sqrt(t)", "t", {"t": "scalar"}, ["t > 0"]),
        ("sum(log(z))", "z", {}, ["z > 0"]),
        ("sum(log(z))", "z", {"z": "vector(n) positive"}, []),
        ("sum(log(1 + exp(z)))", "z", {}, []),
        ("sum(x ./ x)", "x", {}, ["x ≠ 0"]),
        ("x^T x", "x", {}, []),
        ("1 / x[2]", "x", {"x": "vector(n)"}, ["x[2] ≠ 0"]),
        ("sum(log(diag(X)))", "X", {}, ["diag(X) > 0"]),
        ("1/n sum(x)", "x", {"x": "vector(n)"}, []),
    ],
)
def test_conditions(text: str, wrt: str, types: dict[str, str], expected: list[str]) -> None:
    found = mc.derive(text, wrt, types).conditions
    for condition in expected:
        assert any(condition in item for item in found), found
    assert len(found) == len(expected)


# --- check ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wrt", "order", "types"),
    [
        ("x^T A x", "x", 1, {}),
        ("x^T A x", "x", 2, {}),
        ("logdet(X)", "X", 1, {"X": "matrix(n, n) spd"}),
        ("tr(A X X^T)", "X", 1, {}),
        ("tr(X A X)", "X", 1, {"X": "matrix(n, n) symmetric"}),
        (LOGISTIC, "w", 2, {}),
        ("softmax(A x)", "x", 1, {}),
        ("||x||", "x", 2, {}),
    ],
)
def test_check_confirms(text: str, wrt: str, order: int, types: dict[str, str]) -> None:
    report = mc.derive(text, wrt, types, order).check()
    assert report.ok, report.message
    assert bool(report) is True
    assert report.trials == 3
    assert len({tuple(sizes.values()) for sizes in report.sizes}) == 3
    assert report.max_error < 1e-11
    assert report.to_dict()["ok"] is True


def test_check_notices_a_wrong_derivative() -> None:
    """A derivative whose node is replaced by another one of its shape is not confirmed."""
    right = mc.derive("x^T A x", "x")
    wrong = mc.derive("x^T A x", "x")
    wrong.__dict__["formula"] = "2 A x"
    report = wrong.check()
    assert not report.ok
    assert "the text differs" in report.message
    assert right.check(seed=3).ok


# --- compiled functions --------------------------------------------------------------------------


def test_grad() -> None:
    g = mc.grad("||A x - b||^2", wrt="x")
    assert g.formula == "2 A^T (A x - b)"
    assert g.shape == ("n",)
    assert g.args == ("A", "x", "b")
    np.testing.assert_allclose(g(A=A, x=X, b=B), 2 * A.T @ (A @ X - B))
    assert "2" in g.source
    assert "\\top" in g.latex
    assert g.unicode == "2 Aᵀ (A x - b)"


def test_several_names_give_tuples() -> None:
    gradients = mc.grad("||A x - b||^2", wrt=("x", "b"))(A=A, x=X, b=B)
    assert isinstance(gradients, tuple)
    np.testing.assert_allclose(gradients[0], 2 * A.T @ (A @ X - B))
    np.testing.assert_allclose(gradients[1], -2 * (A @ X - B))
    value, both = mc.value_and_grad("||A x - b||^2", wrt=("x", "b"))(A=A, x=X, b=B)
    np.testing.assert_allclose(value, np.sum((A @ X - B) ** 2))
    np.testing.assert_allclose(both[1], gradients[1])
    assert mc.grad("||A x - b||^2", wrt=("x",))(A=A, x=X, b=B)[0].shape == (3,)


def test_value_and_grad_agrees_with_its_parts() -> None:
    value, gradient = mc.value_and_grad(LOGISTIC, "w")(**LOGISTIC_DATA)
    z = -LOGISTIC_DATA["y"] * (LOGISTIC_DATA["X"] @ LOGISTIC_DATA["w"])
    expected = np.sum(np.log1p(np.exp(z))) + 0.15 * LOGISTIC_DATA["w"] @ LOGISTIC_DATA["w"]
    np.testing.assert_allclose(value, expected)
    np.testing.assert_allclose(gradient, mc.grad(LOGISTIC, "w")(**LOGISTIC_DATA))


def test_gradient_of_an_array_is_refused() -> None:
    with pytest.raises(mc.ShapeError, match="it has a Jacobian") as error:
        mc.grad("A x", "x")
    assert "use jacobian, or sum(...)" in str(error.value)


def test_jacobian_and_hessian() -> None:
    np.testing.assert_allclose(mc.jacobian("A x", "x")(A=A, x=X), A)
    np.testing.assert_allclose(mc.jacobian("x x^T", "x")(x=X).shape, (3, 3, 3))
    np.testing.assert_allclose(mc.hessian("x^T A x", "x")(A=S, x=X), S + S.T)
    blocks = mc.hessian("x^T A y", ("x", "y"))(A=A, x=B, y=X)
    np.testing.assert_allclose(blocks[0][1], A)
    np.testing.assert_allclose(blocks[1][0], A.T)
    assert np.array_equal(blocks[0][0], np.zeros((4, 4)))


def test_hessian_vector_product() -> None:
    h = mc.hvp(LOGISTIC, "w")
    direction = RANDOM.standard_normal(5)
    expected = mc.hessian(LOGISTIC, "w")(**LOGISTIC_DATA) @ direction
    np.testing.assert_allclose(h(direction, **LOGISTIC_DATA), expected)
    np.testing.assert_allclose(h(v=direction, **LOGISTIC_DATA), expected)
    with pytest.raises(mc.ShapeError):
        mc.hvp("A x", "x")


def test_hessian_vector_product_for_several_names() -> None:
    data = {"A": A, "x": B, "y": X}
    both = mc.hvp("x^T A y", ("x", "y"))
    first, second = both((B, X), **data)
    np.testing.assert_allclose(first, A @ X)
    np.testing.assert_allclose(second, A.T @ B)
    np.testing.assert_allclose(both(v=(B, X), **data)[0], A @ X)


def test_the_direction_never_collides_with_a_variable() -> None:
    h = mc.hvp("sum(v.^3)", "v")
    assert h.args[0] != "v"
    np.testing.assert_allclose(h(X, v=V), 6 * V * X)


def test_directional_products_agree_with_the_jacobian() -> None:
    text = "tanh(A x)"
    full = mc.jacobian(text, "x")(A=A, x=X)
    np.testing.assert_allclose(mc.vjp(text, "x")(B, A=A, x=X), B @ full)
    np.testing.assert_allclose(mc.jvp(text, "x")(V, A=A, x=X), full @ V)
    both = mc.jvp("A x", ("A", "x"))((A, X), A=A, x=V)
    np.testing.assert_allclose(both, A @ V + A @ X)


def test_arguments_are_checked_by_name() -> None:
    g = mc.grad("||A x - b||^2", wrt="x")
    with pytest.raises(mc.UsageError, match="missing argument: b"):
        g(A=A, x=X)
    with pytest.raises(mc.UnknownName, match="no argument B"):
        g(A=A, x=X, B=B)
    with pytest.raises(mc.UsageError, match="by name"):
        g(A, X, B)
    with pytest.raises(mc.UnknownName, match="no variable z"):
        mc.grad("x^T x", "z")
    with pytest.raises(MatcalcError):
        g(A=A, x=B, b=B)


def test_greek_keywords() -> None:
    g = mc.grad("λ x^T x", "x", {"λ": "scalar"})
    np.testing.assert_allclose(g(λ=2.0, x=X), 4 * X)
    np.testing.assert_allclose(g(**{"lambda": 2.0}, x=X), 4 * X)


FUNCTIONS = [
    mc.grad(LOGISTIC, "w"),
    mc.value_and_grad(LOGISTIC, "w"),
    mc.hessian(LOGISTIC, "w"),
    mc.derive(LOGISTIC, "w").compile(),
    mc.parse(LOGISTIC).compile(),
]


def flat(result: Any) -> Any:
    return np.concatenate([np.ravel(part) for part in (result if isinstance(result, tuple) else (result,))])


def call(function: Any, data: dict[str, Any]) -> Any:
    return flat(function(**data))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.request.kind)
def test_functions_pickle(function: Any) -> None:
    again = pickle.loads(pickle.dumps(function))
    assert again.formula == function.formula
    assert again.source == function.source
    assert np.array_equal(call(again, LOGISTIC_DATA), call(function, LOGISTIC_DATA))


def test_derivatives_and_expressions_pickle() -> None:
    d = pickle.loads(pickle.dumps(mc.derive("x^T A x", layout="numerator")))
    assert (d.formula, d.layout) == (mc.derive("x^T A x", layout="numerator").formula, "numerator")
    assert d.notes == ("no variable was named: differentiated by x",)
    matrix, vector = mc.symbols("A: matrix(n, n), x: vector(n)")
    e = pickle.loads(pickle.dumps(vector.T @ matrix @ vector))
    assert e.formula == "x^T A x"
    assert e.vars == {"x": "vector(n)", "A": "matrix(n, n)"}


def test_functions_work_in_other_processes() -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(call, FUNCTIONS, [LOGISTIC_DATA] * len(FUNCTIONS)))
    for function, result in zip(FUNCTIONS, results, strict=True):
        np.testing.assert_allclose(result, call(function, LOGISTIC_DATA), rtol=1e-12)


def test_functions_may_be_called_from_several_threads() -> None:
    g = mc.grad("||A x - b||^2", wrt="x")
    points = [RANDOM.standard_normal((rows, 3)) for rows in range(1, 41)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda M: g(A=M, x=X, b=np.ones(len(M))), points))
    for matrix, result in zip(points, results, strict=True):
        np.testing.assert_allclose(result, 2 * matrix.T @ (matrix @ X - 1))


# --- expressions ---------------------------------------------------------------------------------


def test_operators_print_as_a_person_would_write() -> None:
    M, x, b, t = mc.symbols("A: matrix(n, n), x: vector(n), b: vector(n), t: scalar")
    assert str(x.T @ M @ x) == "x^T A x"
    assert str(M @ x - b) == "A x - b"
    assert str(2 * x + x / 2) == "2 x + x/2"
    assert str(x * b) == "x .* b"
    assert str(t * x) == "t x"
    assert str(x**2) in ("x.^2", "x .^ 2")
    assert str(t**2) == "t^2"
    assert str(-(x.T @ b)) == "-x^T b"
    assert str((x * b).sum()) == "sum(x .* b)"
    assert str(M.inv().trace()) == "tr(inv(A))"
    assert (M @ x).shape == ("n",)
    assert (1 / t).formula == "1/t"
    assert x.apply("exp").mean().formula == "mean(exp(x))"
    assert M.sum(axis=0).formula == "sum(A, axis=0)"


def test_operators_compute_what_numpy_does() -> None:
    M, x, b, t = mc.symbols("A: matrix(n, n), x: vector(n), b: vector(n), t: scalar")
    e = ((M @ x - b) ** 2).sum() / (1 + t**2) - 0.5 * (x * b).sum() * t
    data = {"A": S, "x": X, "b": V, "t": 1.5}
    expected = np.sum((S @ X - V) ** 2) / (1 + 1.5**2) - 0.5 * np.sum(X * V) * 1.5
    np.testing.assert_allclose(e.compile()(**data), expected)
    np.testing.assert_allclose(mc.grad(e, "x")(**data), e.diff("x").compile()(**data))


def test_operands_must_agree() -> None:
    x = mc.symbols("x: vector(n)")
    other = mc.symbols("x: vector(m)")
    with pytest.raises(mc.ShapeError, match="x is vector"):
        x + other
    M, y = mc.symbols("A: matrix(2, 3), y: vector(2)")
    with pytest.raises(mc.ShapeError) as error:
        M @ y
    assert "^" in str(error.value)
    with pytest.raises(mc.UsageError, match="inverse"):
        M**-1
    with pytest.raises(TypeError):
        x + "y"


def test_expressions_keep_their_named_intermediates() -> None:
    e = mc.parse("r = A x - b; r^T r")
    total = e + mc.parse("||x||^2", e.vars)
    assert total.formula.startswith("r = A x - b; ")
    np.testing.assert_allclose(total.compile()(A=A, x=X, b=B), np.sum((A @ X - B) ** 2) + X @ X)


def test_diff_of_expressions() -> None:
    e = mc.parse("x^T A x")
    assert e.diff("x").formula == "(A + A^T) x"
    assert e.diff("x", "x").formula == "A + A^T"
    assert e.diff("x").diff("A").shape == ("n", "n", "n")
    assert e.latex
    assert e.unicode == "xᵀ A x"
    assert "\\displaystyle" in e._repr_latex_()


def test_long_sums_are_built_in_reasonable_time() -> None:
    x = mc.symbols("x: vector(n)")
    total = x.sum()
    for _ in range(400):
        total = total + x.T @ x
    np.testing.assert_allclose(total.compile()(x=X), X.sum() + 400 * X @ X)


def test_doubling_is_refused_with_advice() -> None:
    t = mc.symbols("t: scalar")

    def doubled(factor: mc.Expr) -> mc.Expr:
        for _ in range(60):
            factor = factor * factor
        return factor

    with pytest.raises(mc.LimitError, match="operations") as error:
        doubled(t)
    assert "name what is used" in str(error.value)


def test_symbols() -> None:
    assert isinstance(mc.symbols("x: vector(n)"), mc.Expr)
    names = mc.symbols("A, B: matrix(m, n) ; x: vector(n)")
    assert [str(name) for name in names] == ["A", "B", "x"]
    with pytest.raises(mc.ParseError):
        mc.symbols("x^T x")


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        (lambda: mc.derive("x^T A", "x", {"A": "matrix(2, 2)", "x": "vector(3)"}), mc.ShapeError),
        (lambda: mc.derive("x +* y", "x"), mc.ParseError),
        (lambda: mc.parse("sine(x)"), mc.UnknownName),
        (lambda: mc.derive("argmax(x)", "x"), mc.NotDifferentiable),
        (lambda: mc.grad("argmax(x)", "x"), mc.NotDifferentiable),
    ],
)
def test_errors_show_the_text(action: Any, kind: type[MatcalcError]) -> None:
    with pytest.raises(kind) as error:
        action()
    assert error.value.source is not None
    if error.value.span is not None:
        assert "^" in str(error.value)


@pytest.mark.parametrize(
    "action",
    [
        lambda: mc.derive(3, "x"),
        lambda: mc.derive("x^T x", 3),
        lambda: mc.derive("x^T x", ("x", "x", "x")),
        lambda: mc.derive("x^T x", "x", order=3),
        lambda: mc.derive("x^T x", "x", {"x": 3}),
        lambda: mc.derive("x^T x", "x", order=2, layout="numerator"),
        lambda: mc.derive("1 + 2"),
        lambda: mc.grad("x^T x", ()),
        lambda: mc.grad("x^T x", ("x", "x")),
    ],
)
def test_misuse_is_explained(action: Any) -> None:
    with pytest.raises(mc.UsageError):
        action()


def test_the_notebook_magic(capsys: pytest.CaptureFixture[str]) -> None:
    from matcalc.jupyter import load_ipython_extension, matcalc_magic

    registered: dict[str, Any] = {}

    class Shell:
        def register_magic_function(self, function: Any, magic_kind: str, magic_name: str) -> None:
            registered[magic_name] = (function, magic_kind)

    load_ipython_extension(Shell())
    assert registered == {"matcalc": (matcalc_magic, "line_cell")}
    line = matcalc_magic('x^T A x --wrt x --var "A: matrix(n, n) symmetric"')
    assert line is not None
    assert line.formula == "2 A x"
    cell = matcalc_magic("--wrt x --order 2", "r = A x - b\nr^T r\n")
    assert cell is not None
    assert cell.formula == "2 A^T A"
    assert matcalc_magic("x +") is None
    assert "ParseError" in capsys.readouterr().out
    assert matcalc_magic("x --nonsense 3") is None
    assert "no option" in capsys.readouterr().out


# --- what a reader is told -----------------------------------------------------------------------


def test_only_public_names_are_listed() -> None:
    assert dir(mc) == sorted(mc.__all__)


def test_lambda_is_passed_by_a_name_that_python_takes() -> None:
    f = mc.grad("lambda ||x||^2", "x")
    for keyword in ("lambda_", "λ", "lambda"):
        np.testing.assert_allclose(f(x=np.ones(2), **{keyword: 2.0}), [4.0, 4.0])
    for given in ({"x": np.ones(2)}, {"x": np.ones(2), "lamda": 1.0}):
        with pytest.raises(mc.MatcalcError) as caught:
            f(**given)
        assert "λ" in str(caught.value.hint)
        assert "lambda" not in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "declared", "expected"),
    [
        ("log(det(X))", "matrix(n, n) spd", ()),
        ("logdet(X)", "matrix(n, n) spd", ()),
        ("logdet(X + I)", "matrix(n, n) spd", ()),
        ("logdet(X^T X + I)", "matrix(m, n)", ()),
        ("logdet(2 inv(X))", "matrix(n, n) spd", ()),
        ("log(det(X))", "matrix(n, n)", ("det(X) > 0",)),
        ("logdet(X - I)", "matrix(n, n) spd", ("X - I invertible",)),
        ("logdet(X^T X)", "matrix(m, n)", ("X^T X invertible",)),
    ],
)
def test_conditions_that_follow_are_not_listed(text: str, declared: str, expected: tuple[str, ...]) -> None:
    assert mc.derive(text, "X", {"X": declared}).conditions == expected


@pytest.mark.parametrize(
    ("text", "order", "flat"),
    [
        ("sum(floor(x))", 1, ["floor"]),
        ("sum((x > 0) .* x)", 1, ["a comparison"]),
        ("sum(floor(y) .* x)", 1, []),
        ("sum(where(x > 0, x.^2, x))", 1, []),
        ("sum(relu(x))", 1, []),
        ("sum(relu(x))", 2, ["step"]),
    ],
)
def test_flat_functions_are_noted(text: str, order: int, flat: list[str]) -> None:
    notes = mc.derive(text, "x", order=order).notes
    assert notes == tuple(f"{name} is piecewise constant: its derivative is 0 almost everywhere" for name in flat)


def test_compiled_functions_carry_the_notes() -> None:
    assert mc.grad("sum(floor(x))", "x").notes == mc.derive("sum(floor(x))", "x").notes


def test_a_declaration_is_proposed_where_inference_does_not_fit() -> None:
    X, y, w = np.ones((3, 2)), np.ones(3), np.ones(2)
    with pytest.raises(mc.ShapeError, match=r'declare it with vars=\{"b": "scalar"\}'):
        mc.grad("||X w + b - y||^2", "w")(X=X, y=y, w=w, b=0.0)
    with pytest.raises(mc.UsageError, match=r"declare it: X: matrix\(N, d\)"):
        mc.grad("1/N ||X w - y||^2", "w")(X=X, y=y, w=w)
    declared = mc.grad("1/N ||X w - y||^2", "w", {"X": "matrix(N, d)"})
    np.testing.assert_allclose(declared(X=X, y=y, w=w), [2.0, 2.0])


def test_terms_follow_their_use_and_not_their_declaration() -> None:
    text = "(A x - b)^T (A x - b) + c^T x"
    declared = "c: vector(n); b: vector(m); x: vector(n); A: matrix(m, n); unused: scalar; "
    assert mc.derive(declared + text, "x").formula == mc.derive(text, "x", {"c": "vector(n)"}).formula
    assert mc.parse(declared + text).order == ("A", "x", "b", "c", "unused")


@pytest.mark.parametrize("text", [r"\frac{1}{2} x^T x", r"$\tfrac12 x^T x$"])
def test_latex_is_read_as_latex(text: str) -> None:
    assert mc.derive(text, "x").formula == "x"
    assert mc.derive(text, "x", syntax="latex").formula == "x"
    with pytest.raises(mc.ParseError, match=r"LaTeX|means nothing"):
        mc.derive(text, "x", syntax="text")
