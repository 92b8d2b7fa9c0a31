"""The forms of derivatives of many axes: each, read again and evaluated, is the compiled derivative rearranged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from corpus_data import Case, load_cases, sample_case

import matcalc as mc
from matcalc.cli import main
from matcalc.derivation import Derivative
from matcalc.errors import NotDifferentiable, Unsupported
from matcalc.expression import Expr
from tests.node_eval import evaluate
from tests.random_programs import SIZES, random_case, values_of

RANDOM = np.random.default_rng(7)
TOLERANCE = 1e-9
DIMENSIONS = {"m": 2, "n": 3, "p": 4, "q": 5}


# --- the oracle ----------------------------------------------------------------------------------


def stacked(tensor: Any, orders: tuple[int, ...], layout: str) -> Any:
    """The matrix of a derivative by NumPy's own stacking; of a second one that of D vec((DF)^T)."""
    output, *variables = orders
    first = range(output, output + variables[0]) if len(variables) == 2 else range(0)
    rest = range(output + len(first), sum(orders))
    rows = int(np.prod(tensor.shape[: sum(orders[:-1])], dtype=int))
    if layout == "vec-row":
        return tensor.reshape(rows, -1)
    return tensor.transpose(*first, *range(output), *rest).reshape(rows, -1, order="F")


def value_of(text: str, types: Mapping[str, str], values: Mapping[str, Any], sizes: Mapping[str, int]) -> Any:
    """The value of a printed form by the independent interpreter of nodes."""
    return np.asarray(evaluate(Expr(text, dict(types)).node, dict(values), dict(sizes)))


def close(got: Any, want: Any) -> bool:
    return got.shape == want.shape and bool(
        np.max(np.abs(got - want), initial=0.0) <= TOLERANCE * max(1.0, np.max(np.abs(want), initial=0.0))
    )


def wrong_forms(d: Derivative, values: Mapping[str, Any], sizes: Mapping[str, int]) -> Iterator[str]:
    """What is wrong with the forms of a derivative in the layout gradient; the compiled derivative is the measure."""
    known = {**sizes, **values}
    compiled = d.compile()
    tensor = np.asarray(compiled(**{name: known[name] for name in compiled.args}), dtype=float)
    orders = d.orders
    types = dict(d.vars)
    split = tensor.ndim - orders[-1]
    for name, form in d.forms.items():
        extra = {
            argument: RANDOM.standard_normal(tensor.shape[split:] if name == "map" else tensor.shape[:split])
            for argument in form.vars
        }
        got = value_of(form.text, {**types, **form.vars}, {**values, **extra}, sizes)
        (direction,) = extra.values() or (None,)
        if name == "map":
            want = np.tensordot(tensor, direction, orders[-1])
        elif name == "adjoint":
            want = np.tensordot(direction, tensor, split)
        else:
            want = stacked(tensor, orders, "vec") if name == "kronecker" else tensor
        if not close(got, np.asarray(want)):
            yield f"{name}: {form.text}"
        if form.shape != () and len(form.shape) != got.ndim:
            yield f"{name}: the shape is said to be {form.shape}, it is {got.shape}"
        if name not in ("map", "adjoint") and not close(value_of(form.unicode, types, values, sizes), got):
            yield f"{name}: {form.unicode}"
    for layout in ("vec", "vec-row"):
        turned = d.in_layout(layout)
        text = turned.formula
        want = stacked(tensor, orders, layout)
        if not close(value_of(text, types, values, sizes), want):
            yield f"{layout}: {text}"
        function = turned.compile()
        if not close(np.asarray(function(**{name: known[name] for name in function.args}), dtype=float), want):
            yield f"{layout}: the compiled function"


# --- the corpus and random programs --------------------------------------------------------------

CASES = [
    case for case in load_cases() if case.order == 2 or case.vars.get(case.wrt, "").startswith(("matrix", "tensor"))
]


def derivative_of(case: Case) -> Derivative:
    wrt = case.variables if len(set(case.variables)) > 1 else case.wrt
    return mc.derive(case.text, wrt, dict(case.vars), order=case.order)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_form_of_a_textbook_problem_is_its_derivative(case: Case) -> None:
    d = derivative_of(case)
    sizes, values = sample_case(case, seed=3)
    assert list(wrong_forms(d, values, sizes)) == []


@pytest.mark.parametrize("number", range(60))
def test_every_form_of_a_random_program_is_its_derivative(number: int) -> None:
    case = random_case(5, number)
    values = values_of(case)
    try:
        expr = Expr(case.text, dict(case.types))
        d = mc.derive(expr, case.wrt if len(set(case.wrt)) > 1 else case.wrt[0], order=case.order)
        assert d.formula
    except (NotDifferentiable, Unsupported):
        pytest.skip("refused")
    assert list(wrong_forms(d, values, SIZES)) == []


# --- textbook derivatives ------------------------------------------------------------------------


def commutation(m: int, n: int) -> Any:
    """K with K vec(X) = vec(X^T) for an m×n matrix X, unit vector by unit vector."""
    columns = []
    for position in range(m * n):
        X = np.zeros(m * n)
        X[position] = 1.0
        columns.append(X.reshape((m, n), order="F").T.ravel(order="F"))
    return np.stack(columns, axis=1)


def softmax_slope(z: Any) -> Any:
    p = np.exp(z) / np.exp(z).sum()
    return np.diag(p) - np.outer(p, p)


inv, kron, eye = np.linalg.inv, np.kron, np.eye
M, N, P, Q = (DIMENSIONS[name] for name in ("m", "n", "p", "q"))

# text, variable, types, order, as displayed, in vec layout, and the matrix as the source states it
TEXTBOOK: list[tuple[str, str, dict[str, str], int, str, str, Any]] = [
    # Magnus & Neudecker, Matrix Differential Calculus, ch. 9
    (
        "A X B", "X", {"A": "matrix(m, n)", "X": "matrix(n, p)", "B": "matrix(p, q)"}, 1,
        "dF(dX) = A dX B", "kron(B^T, A)", lambda A, X, B: kron(B.T, A),
    ),
    (
        "X^-1", "X", {"X": "matrix(n, n)"}, 1,
        "dF(dX) = -X^-1 dX X^-1", "-kron(X^-T, X^-1)", lambda X: -kron(inv(X).T, inv(X)),
    ),
    (
        "X^T", "X", {"X": "matrix(m, n)"}, 1,
        "dF(dX) = dX^T", "commutation(m, n)", lambda X: commutation(M, N),
    ),
    (
        "X^T X", "X", {"X": "matrix(m, n)"}, 1,
        "dF(dX) = X^T dX + dX^T X", "(I(n^2) + commutation(n, n)) kron(I(n), X^T)",
        lambda X: (eye(N * N) + commutation(N, N)) @ kron(eye(N), X.T),
    ),
    (
        "X X^T", "X", {"X": "matrix(m, n)"}, 1,
        "(I(m^2) + commutation(m, m)) kron(X, I(m))", "(I(m^2) + commutation(m, m)) kron(X, I(m))",
        lambda X: (eye(M * M) + commutation(M, M)) @ kron(X, eye(M)),
    ),
    # the same, ch. 9, section 13: (I_n ⊗ K_qm ⊗ I_p) (I_mn ⊗ vec Y)
    (
        "kron(X, Y)", "X", {"X": "matrix(m, n)", "Y": "matrix(p, q)"}, 1,
        "dF(dX) = kron(dX, Y)", "kron(I(n), kron(commutation(q, m), I(p))) kron(I(m n), vec(Y))",
        lambda X, Y: kron(kron(eye(N), commutation(Q, M)), eye(P)) @ kron(eye(M * N), Y.ravel(order="F")[:, None]),
    ),
    (
        "kron(X, Y)", "Y", {"X": "matrix(m, n)", "Y": "matrix(p, q)"}, 1,
        "dF(dY) = kron(X, dY)", "kron(I(n), kron(commutation(q, m), I(p))) kron(vec(X), I(p q))",
        lambda X, Y: kron(kron(eye(N), commutation(Q, M)), eye(P)) @ kron(X.ravel(order="F")[:, None], eye(P * Q)),
    ),
    (
        "X .* X", "X", {"X": "matrix(m, n)"}, 1,
        "dF(dX) = 2 X .* dX", "2 diag(vec(X))", lambda X: 2 * np.diag(X.ravel(order="F")),
    ),
    (
        "A X x", "X", {"A": "matrix(m, n)", "X": "matrix(n, p)"}, 1,
        "dF(dX) = A dX x", "kron(x^T, A)", lambda A, X, x: kron(x[None], A),
    ),
    (
        "softmax(W x + b)", "W", {"W": "matrix(m, n)"}, 1,
        "p = softmax(W x + b); dF(dW) = (diag(p) - p p^T) dW x",
        "p = softmax(W x + b); kron(x^T, diag(p) - p p^T)",
        lambda W, x, b: kron(x[None], softmax_slope(W @ x + b)),
    ),
    # Hessians: the same, ch. 10
    (
        "tr(X^T A X B)", "X", {"X": "matrix(m, n)"}, 2,
        "kron(B, A^T) + kron(B^T, A)", "kron(B, A^T) + kron(B^T, A)",
        lambda X, A, B: kron(B.T, A) + kron(B, A.T),
    ),
    (
        "||Y - U V^T||_F^2", "U", {"Y": "matrix(m, n)", "U": "matrix(m, p)", "V": "matrix(n, p)"}, 2,
        "H(dU) = 2 dU V^T V", "2 kron(V^T V, I(m))", lambda Y, U, V: 2 * kron(V.T @ V, eye(M)),
    ),
    (
        "logdet(X)", "X", {"X": "matrix(n, n)"}, 2,
        "H(V) = -(X^-1 V X^-1)^T", "-commutation(n, n) kron(X^-T, X^-1)",
        lambda X: -commutation(N, N) @ kron(inv(X).T, inv(X)),
    ),
]  # fmt: skip


def arrays_of(d: Derivative) -> dict[str, Any]:
    return {
        name: RANDOM.standard_normal([dim.evaluate(DIMENSIONS) for dim in symbol.type.shape])
        for name, symbol in d.function.meaning.symbols.items()
    }


@pytest.mark.parametrize(
    ("text", "wrt", "types", "order", "displayed", "matrix", "stated"),
    TEXTBOOK,
    ids=[f"{case[0]} by {case[1]}" for case in TEXTBOOK],
)
def test_textbook_derivatives_read_as_in_the_textbook(
    text: str, wrt: str, types: dict[str, str], order: int, displayed: str, matrix: str, stated: Any
) -> None:
    d = mc.derive(text, wrt, types, order)
    turned = d.in_layout("vec")
    assert str(d) == displayed
    assert turned.formula == d.form("kronecker").text == matrix
    values = arrays_of(d)
    np.testing.assert_allclose(turned(**values), stated(**values), atol=1e-10)
    assert list(wrong_forms(d, values, DIMENSIONS)) == []


@pytest.mark.parametrize(
    ("text", "wrt", "types", "form", "printed"),
    [
        ("X^T X", "X", {"X": "matrix(m, n)"}, "index", "D[i, j, k, l] = I[i, l] X[k, j] + X[k, i] I[j, l]"),
        ("X^T", "X", {"X": "matrix(m, n)"}, "index", "D[i, j, k, l] = I(n)[i, l] I(m)[j, k]"),
        ("X^-1", "X", {}, "adjoint", "adjoint(G) = -X^-T G X^-T"),
        ("X^-1", "X", {}, "einsum", '-einsum("ik,lj->ijkl", X^-1, X^-1)'),
        ("X^T i", "X", {"i": "vector(n)"}, "index", "D[j, k, l] = I(m)[j, l] i[k]"),
        ("kron(X, D)", "X", {"X": "matrix(m, n)", "D": "matrix(p, q)"}, "map", "dF(dX) = kron(dX, D)"),
        ("dF X dX", "X", {"dF": "matrix(m, n)", "dX": "matrix(p, q)"}, "map", "dF_1(dX_1) = dF dX_1 dX"),
        ("X - X^T", "X", {}, "kronecker", "I(n^2) - commutation(n, n)"),
        ("vec(X)", "X", {}, "kronecker", "I(m n)"),
        ("B vec(X)", "X", {"X": "matrix(m, n)", "B": "matrix(p, m n)"}, "kronecker", "B"),
        ("tr(X) A", "X", {}, "kronecker", "vec(A) vec(I(n))^T"),
        ("tanh(A X)", "X", {}, "kronecker", "diag(vec(1 - tanh(A X).^2)) kron(I(p), A)"),
        ("0 X", "X", {}, "index", "D[i, j, k, l] = 0 ones(m)[i] ones(n)[j] ones(m)[k] ones(n)[l]"),
    ],
)
def test_forms_on_request(text: str, wrt: str, types: dict[str, str], form: str, printed: str) -> None:
    assert mc.derive(text, wrt, types).form(form).text == printed


def test_a_form_says_what_it_is() -> None:
    found = mc.derive("X^-1 A", "X").form("map")
    assert (found.name, found.shape, dict(found.vars)) == ("map", ("n", "m"), {"dX": "matrix(n, n)"})
    assert found.unicode == "dX ↦ -X⁻¹ dX X⁻¹ A"
    assert found.latex.startswith(r"\mathrm{dX} \mapsto")
    assert found.to_dict()["text"] == str(found)
    assert "row-major" in mc.derive("X^T", "X", layout="vec-row").form("kronecker").meaning
    assert mc.derive("X^T", "X", {"X": "matrix(m, n)"}).form("kronecker").latex == "K_{m,n}"


def test_the_shortest_form_is_the_one_of_least_cost() -> None:
    for text in ("A X B", "X^T X", "X X^T", "tanh(X)", "x y^T"):
        d = mc.derive(text, text[0] if text[0] == "x" else "X")
        assert d.shortest is not None
        assert d.shortest.cost == min(form.cost for name, form in d.forms.items() if name != "adjoint")
        assert set(d.to_dict()["forms"]) == set(d.forms)
    gradient = mc.derive("x^T A x", "x")
    assert gradient.shortest is None
    assert gradient.to_dict()["forms"] == {}
    assert gradient.form("map").text == "dF(dx) = x^T (A + A^T) dx"


def test_what_has_no_kronecker_form_is_refused_with_the_reason() -> None:
    d = mc.derive("(A X) .* (X^T B)", "X", {"X": "matrix(n, n)", "A": "matrix(n, n)", "B": "matrix(n, n)"})
    assert d.forms["kronecker"]
    hard = mc.derive('einsum("ia,ib,abk->ik", X, X, T0)', "X", {"T0": "tensor(n, n, p)", "X": "matrix(m, n)"})
    with pytest.raises(mc.Unsupported, match="no Kronecker form"):
        hard.form("kronecker")
    assert "kronecker" not in hard.forms
    with pytest.raises(mc.UsageError, match="there is no form 'dense'"):
        d.form("dense")
    with pytest.raises(mc.Unsupported, match="scalar"):
        mc.derive("t A", "t", {"t": "scalar"}).form("kronecker")


@pytest.mark.parametrize("layout", ["gradient", "vec", "vec-row"])
def test_a_certificate_covers_every_form(layout: str) -> None:
    types = {"X": "matrix(m, n)", "A": "matrix(p, m)"}
    report = mc.derive("tanh(A X) .* (A X)", "X", types, layout=layout).check()
    assert report.ok
    assert ({"form map", "form kronecker", "form index", "form adjoint"} <= set(report.forms)) == (layout == "gradient")
    assert mc.derive("(x^T x) x", "x", order=2, layout=layout).check().ok
    assert mc.derive("X^T x", ("X", "x"), types, layout=layout).check().ok


def test_a_certificate_finds_a_wrong_form() -> None:
    d = mc.derive("A X B", "X")
    forms = d.forms
    forms["map"] = forms["map"]._replace(text="dF(dX) = A dX B + A dX B")
    report = d.check()
    assert not report.ok
    assert "form map" in report.message


def test_a_long_formula_keeps_its_array_form() -> None:
    layers = "; ".join(f"h{k} = tanh(W h{k - 1})" for k in range(1, 31))
    d = mc.derive(f"{layers}; h30", "W", {"W": "matrix(n, n)", "h0": "vector(n)"})
    assert list(d.forms) == ["einsum"]
    assert str(d) == d.formula
    with pytest.raises(mc.Unsupported, match="too long"):
        d.form("map")


def test_deep_brackets_and_long_products() -> None:
    deep = mc.derive("(" * 1000 + "A X" + ")" * 1000, "X")
    assert str(deep) == "dF(dX) = A dX"
    long = mc.derive(" ".join(["A"] * 12) + " X", "X", {"A": "matrix(n, n)", "X": "matrix(n, p)"})
    assert long.in_layout("vec").formula == "kron(I(p), A^12)"


@pytest.mark.parametrize(
    ("text", "order", "printed"),
    [
        ("X^-1", 1, "-kron(X^-1, X^-1) duplication(n)"),
        ("A X A^T", 1, "kron(A, A) duplication(n)"),
        ("vec(X)", 1, "duplication(n)"),
        ("X - X^T", 1, None),
        ("sum(exp(X))", 2, "duplication(n)^T diag(vec(exp(X))) duplication(n)"),
        ("logdet(X)", 2, "-duplication(n)^T commutation(n, n) kron(X^-1, X^-1) duplication(n)"),
        ("X x", 2, None),
    ],
)
@pytest.mark.parametrize("layout", ["vec", "vec-row"])
def test_distinct_entries_are_reached_by_the_duplication_matrix(
    text: str, order: int, printed: str | None, layout: str
) -> None:
    """D J(vec) by the chain rule (Magnus & Neudecker, ch. 3, section 8); the certificate compares with differences."""
    types = {"X": "matrix(n, n) spd", "A": "matrix(m, n)"}
    expr = Expr(text, {name: types[name] for name in types if name in text})
    d = Derivative(expr, ("X",) * order, layout, (), "vech")
    if printed is not None and layout == "vec":
        assert d.formula == printed
    assert d.check().ok


def test_the_command_line_prints_forms(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jacobian", "A X B", "--wrt", "X"]) == 0
    formula, facts = capsys.readouterr().out.splitlines()
    assert formula == "dF(dX) = A dX B"
    assert facts.startswith("shape (m, q, n, p) · layout gradient · form map (the differential, for dX)")
    assert main(["jacobian", "A X B", "--wrt", "X", "--form", "kronecker", "--latex"]) == 0
    formula, facts = capsys.readouterr().out.splitlines()
    assert formula == r"B^{\top} \otimes A"
    assert facts.startswith("shape (m q, n p) · layout vec (column-major) · form kronecker")
    assert main(["jacobian", "A X B", "--wrt", "X", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)["result"]
    assert result["form"] == "map"
    assert {name: form["text"] for name, form in result["forms"].items()} == {
        "map": "dF(dX) = A dX B",
        "kronecker": "kron(B^T, A)",
        "index": "D[i, j, k, l] = A[i, k] B[l, j]",
        "einsum": 'einsum("ik,lj->ijkl", A, B)',
        "adjoint": "adjoint(G) = A^T G B^T",
    }
    assert main(["jacobian", "A X B", "--wrt", "X", "--form", "dense"]) == 2


# --- the constant matrices -----------------------------------------------------------------------


def test_commutation_and_duplication_matrices() -> None:
    K = mc.parse("commutation(m, n)").compile()(m=M, n=N)
    np.testing.assert_array_equal(K, commutation(M, N))
    D = mc.parse("duplication(n)").compile()(n=N)
    S = RANDOM.standard_normal((N, N))
    S = S + S.T
    np.testing.assert_allclose(D @ S.T[np.triu_indices(N)], S.ravel(order="F"))


@pytest.mark.parametrize(
    "text",
    [
        "commutation(m, n) vec(X)",
        "commutation(m, n)",
        "commutation(m, n) kron(A, B)",
        "kron(B, A) commutation(p, q)",
        "duplication(n)",
        "duplication(n) vech(S)",
        "(I(m n) + commutation(m, n))^T kron(A, B)",
    ],
)
def test_formulas_with_them_read_back(text: str) -> None:
    types = {"X": "matrix(m, n)", "A": "matrix(m, q)", "B": "matrix(n, p)"}
    expr = mc.parse(text, {name: types[name] for name in types if name in text})
    again = mc.parse(Expr.of_node(expr.node, expr).text, expr.vars)
    values = {
        name: RANDOM.standard_normal([dim.evaluate(DIMENSIONS) for dim in symbol.type.shape])
        for name, symbol in expr.meaning.symbols.items()
    }
    np.testing.assert_allclose(
        evaluate(again.node, values, DIMENSIONS), evaluate(expr.node, values, DIMENSIONS), atol=1e-12
    )


def test_an_entry_of_the_identity_has_the_size_of_its_index() -> None:
    assert (
        mc.parse("D[i, j, k] = I[i, j] x[k] x[i]", {"x": "vector(n)"}).node.shape
        == mc.parse("D[i, j, k] = I(n)[i, j] x[k] x[i]", {"x": "vector(n)"}).node.shape
    )
    with pytest.raises(mc.ShapeError):
        mc.parse("D[i, j] = I[i, j]")
