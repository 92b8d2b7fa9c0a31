"""Saved functions: text and a checksum, made again on load; what was changed or is newer is refused."""

from __future__ import annotations

import io
import json
import os
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import matcalc as mc
from matcalc.saving import FORMAT, checksum, described
from tests.test_safety import UNSEEN


def built() -> mc.Expr:
    A, x = mc.symbols("A: matrix(n, n), x: vector(n)")
    expr: mc.Expr = x.T @ A @ x
    return expr


MAKERS: dict[str, Callable[[], Any]] = {
    "derivative": lambda: mc.derive("||A x - b||^2", "x"),
    "second derivative": lambda: mc.derive("x^T A x", "x", order=2),
    "mixed derivative": lambda: mc.derive("x^T A y", ("x", "y")),
    "layout": lambda: mc.derive("A X B", "X", layout="vec"),
    "structure": lambda: mc.derive("logdet(X)", "X", "X: matrix(n, n) symmetric", structure="vech"),
    "variable not named": lambda: mc.derive("sin(t)"),
    "variable that does not occur": lambda: mc.derive("x^T x", "y"),
    "LaTeX": lambda: mc.derive(r"\mathbf{x}^\top A \mathbf{x}", "x"),
    "compiled derivative": lambda: mc.derive("A x", "x", layout="denominator").compile(),
    "grad": lambda: mc.grad("||A x - b||^2", "x"),
    "grad of several": lambda: mc.grad("x^T A y", ("x", "y")),
    "value_and_grad": lambda: mc.value_and_grad("sum(log(1 + exp(X w))) + lambda w^T w", "w"),
    "jacobian": lambda: mc.jacobian("softmax(z)", "z"),
    "hessian": lambda: mc.hessian("sum(x.^3)", "x"),
    "hvp": lambda: mc.hvp("sum(x.^3)", "x"),
    "vjp": lambda: mc.vjp("A x", "x"),
    "jvp": lambda: mc.jvp("A x", "x"),
    "value": lambda: mc.parse("||A x - b||^2").compile(),
    "expression": lambda: mc.parse("s = A x; s^T s", {"A": "matrix(m, n)"}),
    "expression of a derivative": lambda: mc.derive("x^T A x", "x").expr,
    "expression of known shape": lambda: mc.derive("n^2 x^T x", "x", "x: vector(2 n)", order=2).expr,
    "built by operators": lambda: built().diff("x"),
    "function of what is built": lambda: mc.grad(built(), "x"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "saved.json"


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_saved_is_the_same_when_it_is_loaded(name: str, path: Path) -> None:
    made = MAKERS[name]()
    mc.save(made, path)
    again = mc.load(path)
    assert type(again) is type(made)
    for fact in ("formula", "latex", "vars", "notes", "shape"):
        assert getattr(again, fact) == getattr(made, fact), fact
    if not isinstance(made, mc.Expr):
        assert again.source == made.source
    assert described(again) == described(made)
    assert list(path.parent.iterdir()) == [path]


def test_a_loaded_function_computes(path: Path) -> None:
    rng = np.random.default_rng(3)
    A, x, b = rng.standard_normal((4, 3)), rng.standard_normal(3), rng.standard_normal(4)
    mc.save(mc.value_and_grad("||A x - b||^2", "x"), path)
    value, gradient = mc.load(path)(A=A, x=x, b=b)
    np.testing.assert_allclose(value, np.sum((A @ x - b) ** 2), rtol=1e-13)
    np.testing.assert_allclose(gradient, 2 * A.T @ (A @ x - b), rtol=1e-12)


def test_a_file_holds_text_and_declarations_and_no_code(path: Path) -> None:
    mc.save(mc.grad("||A x - b||^2", "x", {"A": "matrix(m, n)"}), path)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content.pop("sha256") == checksum(content)
    assert content == {
        "format": FORMAT,
        "version": mc.__version__,
        "kind": "grad",
        "text": "||A x - b||^2",
        "syntax": "auto",
        "vars": {"A": "matrix(m, n)"},
        "shape": None,
        "wrt": ["x"],
        "single": True,
        "layout": "gradient",
        "structure": None,
        "form": "array",
        "backend": "numpy",
        "notes": [],
    }


def test_a_file_of_before_there_were_forms_is_read(path: Path) -> None:
    mc.save(mc.hessian("x^T x", "x", {"x": "vector(n)"}), path)
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["form"], content["sha256"]
    path.write_text(json.dumps({**content, "sha256": checksum(content)}), encoding="utf-8")
    np.testing.assert_array_equal(mc.load(path)(x=np.ones(3)), 2 * np.eye(3))


@pytest.mark.parametrize("form", ["sparse", "operator"])
def test_a_form_that_the_kind_has_not_is_refused(path: Path, form: str) -> None:
    mc.save(mc.grad("x^T x", "x", {"x": "vector(n)"}), path)
    content = {**json.loads(path.read_text(encoding="utf-8")), "form": form}
    del content["sha256"]
    path.write_text(json.dumps({**content, "sha256": checksum(content)}), encoding="utf-8")
    with pytest.raises(mc.UsageError, match="no form"):
        mc.load(path)


# --- files that are refused ----------------------------------------------------------------------


def saved(path: Path) -> dict[str, Any]:
    mc.save(mc.derive("x^T A x", "x"), path)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def signed(content: dict[str, Any]) -> str:
    """A file that somebody wrote who knows how the checksum is made."""
    content.pop("sha256", None)
    return json.dumps({**content, "sha256": checksum(content)})


@pytest.mark.parametrize(
    ("key", "value"),
    [("text", "x^T x"), ("wrt", ["A"]), ("layout", "vec"), ("vars", {"x": "scalar"}), ("notes", ["!"])],
)
def test_a_file_that_was_changed_is_refused(key: str, value: object, path: Path) -> None:
    content = saved(path)
    path.write_text(json.dumps({**content, key: value}), encoding="utf-8")
    with pytest.raises(mc.UsageError, match="changed after it was saved"):
        mc.load(path)


def test_blanks_and_order_do_not_count_as_a_change(path: Path) -> None:
    content = saved(path)
    path.write_text(json.dumps(dict(reversed(content.items()))), encoding="utf-8")
    assert mc.load(path).formula == "(A + A^T) x"


@pytest.mark.parametrize(("key", "value"), [("format", FORMAT + 1), ("version", "999.0"), ("version", "0.1.0.1")])
def test_a_newer_file_is_refused_with_the_reason(key: str, value: object, path: Path) -> None:
    path.write_text(signed({**saved(path), key: value}), encoding="utf-8")
    with pytest.raises(mc.UsageError, match=f"newer than this one \\({mc.__version__}\\)"):
        mc.load(path)


def test_an_older_file_is_read(path: Path) -> None:
    path.write_text(signed({**saved(path), "version": "0.0.9"}), encoding="utf-8")
    assert mc.load(path).formula == "(A + A^T) x"


FORGED: dict[str, dict[str, Any]] = {
    "kind": {"kind": "__class__"},
    "unknown kind": {"kind": "eval"},
    "layout": {"layout": "{0.__class__}"},
    "structure": {"structure": "os"},
    "syntax": {"syntax": "python"},
    "no variable": {"wrt": []},
    "many variables": {"wrt": ["x"] * 3},
    "name": {"wrt": ["__import__('os')"]},
    "bidi": {"wrt": [f"x{UNSEEN['isolate']}"]},
    "declaration": {"vars": {"x": "vector(__import__('os'))"}},
    "declared name": {"vars": {"<b>": "scalar"}},
    "shape": {"shape": ["open('x')"]},
    "more": {"code": "import os"},
    "types": {"wrt": "x"},
    "numbers": {"wrt": [1]},
    "text": {"text": None},
    "format": {"format": "1"},
    "text that is code": {"text": "__import__('os').system('true')"},
    "single": {"kind": "grad", "wrt": []},
    "value of a variable": {"kind": "value"},
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_file_can_do_no_more_than_a_text(name: str, path: Path) -> None:
    path.write_text(signed({**saved(path), **FORGED[name]}), encoding="utf-8")
    with pytest.raises(mc.MatcalcError):
        mc.load(path)


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"null",
        b"{}",
        b"\xff\xfe",
        b"\x80\x04K\x01.",
        b"[" * 100_000,
        b'{"format": ' + b"9" * 5000,
    ],
    ids=["empty", "brace", "list", "number", "null", "nothing", "bytes", "pickle", "deep", "digits"],
)
def test_what_is_no_saved_function_is_refused(written: bytes, path: Path) -> None:
    path.write_bytes(written)
    with pytest.raises(mc.UsageError, match=r"is not a file that mc\.save wrote"):
        mc.load(path)


def test_a_large_file_is_not_read(path: Path) -> None:
    path.write_bytes(b" " * 5_000_000)
    with pytest.raises(mc.LimitError) as caught:
        mc.load(path)
    assert caught.value.limit == "length"


def test_limits_hold_for_what_is_loaded(path: Path) -> None:
    mc.save(mc.derive("x^T A x", "x"), path)
    with pytest.raises(mc.LimitError):
        mc.load(path, limits=mc.Limits(length=3))
    assert mc.load(path, timeout=30).limits.timeout == 30


def test_a_missing_file_and_what_cannot_be_saved_are_said(path: Path) -> None:
    with pytest.raises(mc.UsageError, match="cannot be read"):
        mc.load(path)
    with pytest.raises(mc.UsageError, match="cannot be saved"):
        mc.save(print, path)  # type: ignore[arg-type]
    with pytest.raises(mc.UsageError, match="cannot be written"):
        mc.save(mc.parse("x^T x"), path / "below" / "file.json")
    assert not path.exists()


# --- writing -------------------------------------------------------------------------------------


def test_a_file_is_replaced_as_a_whole_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mc.save(mc.parse("x^T x"), path)
    before = path.read_bytes()

    def broken(_descriptor: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(mc.UsageError, match="the disk is full"):
        mc.save(mc.parse("x^T A x"), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_link_stays_a_link(path: Path) -> None:
    link = path.with_name("link.json")
    mc.save(mc.parse("x^T x"), path)
    link.symlink_to(path)
    mc.save(mc.parse("x^T A x"), link)
    assert link.is_symlink()
    assert mc.load(path).text == "x^T A x"


# --- pickles -------------------------------------------------------------------------------------

GLOBALS = frozenset(
    {
        "matcalc.derivation Derivative",
        "matcalc.functions Function",
        "matcalc.functions Request",
        "matcalc.expression Expr",
        "matcalc.expr.dims Dim",
        "matcalc.limits Limits",
        "fractions Fraction",
        "copyreg __newobj__",
        "copyreg _reconstructor",
        "builtins object",
        "dataclasses _dataclass_setstate",
    }
)
"""What a pickle may name: classes that are made from text and numbers."""


class Recording(pickle.Unpickler):
    """Reads a pickle and keeps what it names."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.named: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.named.add(f"{module} {name}")
        return super().find_class(module, name)


@pytest.mark.parametrize("name", MAKERS)
def test_a_pickle_carries_text_only(name: str) -> None:
    made = MAKERS[name]()
    if not isinstance(made, mc.Expr):
        made.source  # noqa: B018  what was compiled does not travel
    written = pickle.dumps(made)
    reader = Recording(io.BytesIO(written))
    again = reader.load()
    assert reader.named <= GLOBALS
    strings = [argument for _, argument, _ in pickletools.genops(written) if isinstance(argument, str)]
    assert made.function.text in strings if not isinstance(made, mc.Expr) else made.text in strings
    assert not any("def f(" in text or "np." in text for text in strings)
    assert len(written) < 2000
    assert again.formula == made.formula
