"""Text from strangers is data: it reaches no interpreter, no file and no module, and what is shown does nothing."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import matcalc as mc
from matcalc.lower.entry import Pattern, entry_text
from matcalc.lower.source import BUILTINS, KERNELS, MODULES, SHORTCUTS
from matcalc.syntax.greek import VARIANT_TO_NAME
from tests.random_programs import random_case

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"

RANDOM_PROGRAMS = 60


class Text(NamedTuple):
    """A program, the types of its names and the variable to differentiate by, where one is known."""

    text: str
    vars: Mapping[str, str] | str | None
    wrt: str | None


def corpus() -> Iterator[Text]:
    """Every text of the corpora, and programs that nobody wrote."""
    for path in sorted((TESTS / "corpus").glob("*.toml")):
        for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]:
            yield Text(case["text"], case["vars"], case["wrt"])
    for case in tomllib.loads((TESTS / "latex_corpus.toml").read_text(encoding="utf-8"))["case"]:
        yield Text(case["latex"], None if "names" in case else case["vars"], None)
    for number in range(RANDOM_PROGRAMS):
        made = random_case(11, number)
        yield Text(made.text, None, made.wrt[0])


# --- generated code ------------------------------------------------------------------------------

NODES = frozenset(
    {
        "Module", "FunctionDef", "arguments", "arg", "Assign", "Return", "Name", "Load", "Store", "Constant", "Tuple",
        "List", "Attribute", "Subscript", "Slice", "Call", "keyword", "BinOp", "UnaryOp", "Compare", "Add", "Sub",
        "Mult", "Div", "FloorDiv", "MatMult", "Pow", "USub", "Eq", "NotEq", "Lt", "LtE", "Gt", "GtE",
    }
)  # fmt: skip
"""What generated code is made of: one function, straight lines, no loops, branches, imports or strings."""

ATTRIBUTES = frozenset(
    {
        "T", "abs", "all", "any", "arange", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh",
        "argmax", "argmin", "broadcast_to", "cbrt", "ceil", "cholesky", "copy", "cos", "cosh", "cross", "cumsum",
        "cumprod", "det", "diag", "diagonal", "digamma", "dot", "dtype", "e", "eigh", "eigvalsh", "einsum", "erf",
        "erfc", "exp", "expit", "expm", "expm1", "eye", "floor", "full", "gammaln", "hypot", "identity", "inf", "inv",
        "kron", "linalg", "log", "log10", "log1p", "log2", "log_ndtr", "max", "maximum", "mean", "min", "minimum",
        "nan", "ndtr", "norm", "ones", "outer", "pi", "pinv", "polygamma", "power", "prod", "ravel", "reciprocal",
        "reshape", "result_type", "rint", "round", "shape", "sign", "sin", "sinh", "slogdet", "solve", "sort", "sqrt",
        "square", "std", "sum", "svd", "svdvals", "take_along_axis", "tan", "tanh", "tensordot", "trace", "transpose",
        "tri", "tril", "triu", "var", "vdot", "where", "zeros",
    }
)  # fmt: skip
"""Attributes of arrays, NumPy and SciPy that compute; none of them reads, writes, imports or looks into objects."""

COUNTED = re.compile(r"[ant]\d+")


def kernels() -> frozenset[str]:
    """The functions of the modules that generated code may call."""
    return frozenset(
        node.name
        for module in KERNELS
        for node in ast.parse((ROOT / "matcalc" / "lower" / f"{module}.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    )


KNOWN = frozenset({*MODULES, *BUILTINS, *SHORTCUTS, *kernels(), "dtype"})


def faults(source: str) -> list[str]:
    """What generated code must not contain."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        kind = type(node).__name__
        if kind not in NODES:
            found.append(kind)
        match node:
            case ast.Name(id=name) | ast.arg(arg=name):
                found += [name] if not COUNTED.fullmatch(name) and name not in KNOWN else []
            case ast.Attribute(attr=name):
                found += [f".{name}"] if name not in ATTRIBUTES else []
            case ast.FunctionDef(name=name, decorator_list=decorators):
                found += [name] if name != "f" or decorators else []
            case ast.Constant(value=value):
                plain = value is None or value is Ellipsis or isinstance(value, int | float)
                found += [] if plain else [repr(value)]
    return found


def functions(text: Text) -> Iterator[mc.Function]:
    """The functions of a text: its value where it has one, and its derivative where a variable is clear."""
    makers = (lambda: mc.parse(text.text, text.vars).compile(), lambda: mc.jacobian(text.text, text.wrt, text.vars))
    for make in makers:
        with suppress(mc.MatcalcError):  # a text that asks for a derivative has no value, several have no one variable
            yield make()


def test_generated_code_is_made_of_counted_names_and_known_functions() -> None:
    checked = 0
    for text in corpus():
        for function in functions(text):
            assert faults(function.compiled.text) == [], text.text
            checked += 1
    assert checked > 1400


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("def f(a0):\n    return a0.__class__\n", ".__class__"),
        ("def f(a0):\n    return open(a0)\n", "open"),
        ("def f(a0):\n    import os\n", "Import"),
        ("def f(x):\n    return x\n", "x"),
        ("def f(a0):\n    return 'x'\n", "'x'"),
        ("def f(a0):\n    return [a0 for a0 in a0]\n", "ListComp"),
        ("def f(a0):\n    return np.load(a0)\n", ".load"),
    ],
)
def test_the_guard_sees_what_it_looks_for(source: str, fault: str) -> None:
    assert fault in faults(source)


@pytest.mark.parametrize("name", ["lambda", "class", "a0", "t1", "n0", "np", "f", "dtype", "import", "print", "eval_1"])
def test_names_of_the_user_stay_out_of_what_is_run(name: str) -> None:
    function = mc.grad(f"{name}^T {name}", name, {name: "vector(n)"})
    assert faults(function.compiled.text) == []
    np.testing.assert_array_equal(function(**{name: np.array([1.0, 2.0])}), [2.0, 4.0])


OWN = frozenset({
    "wrap",
    "make", "call", "dtype", "number", "quiet", "function", "finish", "retry", "names", "more", "other", "ndarray",
    "float", "int", "type", "Exception",
})  # fmt: skip
"""The names in the text that tests a call, beside counted ones."""


@pytest.mark.parametrize("leading", [0, 1])
@pytest.mark.parametrize("checked", [(), (0, 3)])
@pytest.mark.parametrize("form", [0, (0, 1), (0, (1, 2))])
def test_the_text_that_tests_a_call_is_made_of_counted_names(
    leading: int, checked: tuple[int, ...], form: int | tuple[int | tuple[int, ...], ...]
) -> None:
    kinds = ("array", "point", "number", "float", "int")
    text = entry_text(Pattern(kinds, leading, checked, ("array", "number", "array"), form))
    tree = ast.parse(text)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    assert {name for name in names if not re.fullmatch(r"[ascqr]\d", name)} <= OWN
    assert {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} == {"dtype", "shape", "run"}
    assert {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)} == {None}


@pytest.mark.parametrize("name", ["lambda", "class", "a0", "a1", "r0", "more", "other", "call", "names", "λ"])
def test_keywords_of_the_user_are_data_of_the_function_that_tests_a_call(name: str) -> None:
    function = mc.grad(f"{name}^T A {name}", name, {name: "vector(n)", "A": "matrix(n, n)"})
    given = {name: np.array([1.0, 2.0]), "A": np.eye(2)}
    for _ in range(3):
        np.testing.assert_array_equal(function(**given), [2.0, 4.0])
    call: Any = function.__call__
    assert set(call.__kwdefaults__) == set(given)
    assert set(call.__globals__["__builtins__"]) == set()
    assert name in call.__code__.co_varnames


def test_generated_code_runs_without_builtins() -> None:
    inner = mc.grad("x^T A x", "x").compiled
    found = inner._function.__globals__
    assert set(found["__builtins__"]) == {"__import__"}
    with pytest.raises(ImportError):
        found["__builtins__"]["__import__"]("os")


# --- events --------------------------------------------------------------------------------------

WATCHER = r"""
import json, sys
sys.path.insert(0, sys.argv[1])
import matcalc as mc
from matcalc.elaborate import elaborate

texts = json.load(sys.stdin)
CASES = r"f(x) = \begin{cases} x & \text{if } x > 0 \\ 0 & \text{if } x \leq 0 \end{cases}"

def answer(text, given, wrt):
    try:
        derived = mc.derive(text, wrt, given)
        return [derived.formula, derived.latex, derived.unicode, derived.conditions, derived.notes, repr(derived)]
    except mc.MatcalcError as error:
        return [str(error), json.dumps(error.to_dict())]

# what is imported late is imported now
for text in ("x^T A x", r"\mathbf{x}^\top A \mathbf{x}", "softmax(z)", "sum_{i=1}^{n} x_i", "tanh(A x)", "x^T (",
             CASES):
    answer(text, None, None)
mc.derive("A X B", "X").forms, mc.derive("A X B", "X", layout="vec").formula

found, watching = [], False
FORBIDDEN = ("open", "import", "exec", "compile", "socket", "subprocess", "os.", "ctypes", "pickle", "marshal",
             "shutil", "code.__new__", "urllib", "tempfile", "glob", "pty", "signal", "sys._getframe", "sys.settrace")

def hook(event, arguments):
    if watching and event.startswith(FORBIDDEN):
        found.append(f"{event} {arguments!r:.200}")

sys.addaudithook(hook)
watching = True
for text, given, wrt in texts:
    before = len(found)
    answer(text, given, wrt)
    if len(found) > before:
        found.append(f"in {text}")
count = len(texts)
watching = False
if sys.argv[2] == "tamper":
    watching = True
    open(__file__ if "__file__" in globals() else sys.executable, "rb").close()
    watching = False
print(json.dumps({"found": found, "count": count}))
"""


def watched(texts: list[Text], mode: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", WATCHER, str(ROOT), mode],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    result: dict[str, object] = json.loads(done.stdout)
    return result


HOSTILE = [
    Text("__import__('os').system('true')", None, None),
    Text('einsum("__import__", x)', None, "x"),
    Text("eval(x)", None, "x"),
    Text("open(x)", None, "x"),
    Text("x.__class__.__mro__", None, "x"),
    Text("{x.__class__}^T x", None, "x"),
    Text("%s %(x)s {0} {x!r}", None, "x"),
    Text(r"\input{/etc/passwd} x", None, "x"),
    Text(r"\write18{true} x", None, "x"),
    Text(r"\include{a} \openin5=x \x", None, "x"),
    Text("x", {"x": "vector(__import__('os'))"}, "x"),
    Text("x", {"x": "{0.__class__}"}, "x"),
]


def test_reading_and_differentiating_touches_nothing_outside() -> None:
    texts = [*corpus(), *HOSTILE]
    assert watched(texts, "watch") == {"found": [], "count": len(texts)}


def test_the_watcher_sees_a_file_that_is_opened() -> None:
    assert len(watched(HOSTILE[:1], "tamper")["found"]) == 1  # type: ignore[arg-type]


DANGEROUS = frozenset(
    {"pickle", "marshal", "shelve", "subprocess", "socket", "ctypes", "code", "runpy", "urllib", "http"}
)

ALLOWED: Mapping[str, set[str]] = {"matcalc/lower/threads.py": {"ctypes"}}
"""NumPy's own library is told how many threads to use: no text and no number of a user gets there."""


@pytest.mark.parametrize("path", sorted((ROOT / "matcalc").rglob("*.py")), ids=lambda path: path.stem)
def test_no_module_imports_what_could_act(path: Path) -> None:
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    assert imported & DANGEROUS == ALLOWED.get(path.relative_to(ROOT).as_posix(), set())


# --- characters ----------------------------------------------------------------------------------

LOOKALIKES = {
    "fullwidth": "ｘ",
    "bold": "𝐱",
    "cyrillic": "х",
    "ligature": "ﬁ",
    "double-struck": "𝕏",
    "arabic": "ﷺ",
    "hebrew": "א",
    "cjk": "中",
    "armenian": "հ",
    "cherokee": "Ꭺ",
}
UNSEEN = {
    "right-to-left override": "\u202e",
    "isolate": "\u2066",
    "zero width space": "\u200b",
    "zero width joiner": "\u200d",
    "soft hyphen": "\u00ad",
    "tag": "\U000e0041",
    "null": "\x00",
    "escape": "\x1b",
    "variation selector": "\ufe0f",
    "hangul filler": "\u3164",
}
CHARACTERS = LOOKALIKES | UNSEEN


def refused(error: mc.MatcalcError, position: int | None) -> None:
    """The error stands at the position and shows nothing that a terminal would act on."""
    if position is not None:
        assert error.span is not None
        assert error.span.start == position
    for shown in (str(error), *(value for value in error.to_dict().values() if isinstance(value, str))):
        assert all(character.isprintable() or character == "\n" for character in shown)


@pytest.mark.parametrize("character", CHARACTERS.values(), ids=CHARACTERS)
@pytest.mark.parametrize("syntax", ["text", "latex"])
def test_strange_characters_are_refused_where_they_stand(character: str, syntax: str) -> None:
    text = f"y + {character}"
    with pytest.raises(mc.ParseError) as caught:
        mc.parse(text, syntax=syntax)
    refused(caught.value, text.index(character))


@pytest.mark.parametrize("character", UNSEEN.values(), ids=UNSEEN)
@pytest.mark.parametrize(
    ("text", "syntax"), [("x^T x # {}", "text"), ("\\text{{for all {}}} x", "latex"), ("x % {}\n", "latex")]
)
def test_what_cannot_be_seen_is_refused_in_comments_and_prose_too(character: str, text: str, syntax: str) -> None:
    written = text.format(character)
    with pytest.raises(mc.ParseError) as caught:
        mc.parse(written, syntax=syntax)
    refused(caught.value, written.index(character))


@pytest.mark.parametrize("character", LOOKALIKES.values(), ids=LOOKALIKES)
@pytest.mark.parametrize("command", ["mathrm", "mathbf", "operatorname", "text"])
def test_no_font_makes_a_name_of_a_lookalike(character: str, command: str) -> None:
    with pytest.raises(mc.MatcalcError) as caught:
        mc.parse(f"y + \\{command}{{{character}}}", syntax="latex")
    refused(caught.value, None)


@pytest.mark.parametrize("character", CHARACTERS.values(), ids=CHARACTERS)
def test_names_beside_the_text_are_read_as_strictly(character: str) -> None:
    x = mc.symbols("x: vector(n)")
    attempts = (
        lambda: mc.derive("x^T x", character),
        lambda: mc.derive("x^T x", "x", {character: "vector(n)"}),
        lambda: mc.derive("x^T x", "x", {"x": f"vector({character})"}),
        lambda: mc.derive("x^T x", "x", f"{character}: vector(n)"),
        lambda: mc.symbols(f"{character}: vector(n)"),
        lambda: mc.grad("x^T x", "x")(**{character: np.ones(2)}),
        lambda: x.apply(character),
        lambda: x.apply("sum", **{character: 1}),
        lambda: mc.check("x^T x", "x", claim=character),
        lambda: mc.derive("x^T x", "x", layout=character),
        lambda: mc.derive("x^T x", "x", structure=character),
        lambda: mc.derive("x^T x", "x").form(character),
    )
    for attempt in attempts:
        with pytest.raises(mc.MatcalcError) as caught:
            attempt()
        refused(caught.value, None)


def test_letters_that_normalization_changes_are_no_names() -> None:
    """Python would take ``ｘ`` for ``x`` as a keyword argument, so that two names would be one."""
    allowed = set(VARIANT_TO_NAME)
    for code in range(0x250, 0x30000):
        letter = chr(code)
        if unicodedata.normalize("NFKC", letter) == letter or not letter.isalpha() or letter in allowed:
            continue
        with pytest.raises(mc.MatcalcError):
            mc.derive("x^T x", letter)


# --- what is shown -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "x_<script>alert(1)</script>",
        "<script>alert(1)</script>",
        'x^T x # <img src="x" onerror="alert(1)">',
        'einsum("<b>", x)',
        "x^T x </div>",
    ],
)
def test_no_answer_is_a_page(text: str) -> None:
    """Notebooks get text and formulas, never HTML, so that nothing in a name, a comment or an error is run."""
    with suppress(mc.MatcalcError):
        bundle = mc.derive(text, "x", {"x": "vector(n)"})._repr_mimebundle_()
        assert set(bundle) == {"text/plain", "text/latex"}
        assert "<" not in bundle["text/latex"]
        assert "<" not in bundle["text/plain"]


def test_nothing_has_a_page_of_its_own() -> None:
    for path in (ROOT / "matcalc").rglob("*.py"):
        assert "_repr_html_" not in path.read_text(encoding="utf-8"), path


COMMANDS = re.compile(
    r"\\(?:href|url|includegraphics|input|include|write|def|let|html\w*|unicode|require|class|style)\b"
)


def test_latex_holds_no_command_that_acts() -> None:
    for text in corpus():
        with suppress(mc.MatcalcError):
            printed = mc.parse(text.text, text.vars).latex
            assert not COMMANDS.search(printed), text.text
            assert printed.count("{") == printed.count("}")


def test_a_name_cannot_end_its_group_in_latex() -> None:
    for name in ("x_train", "a_b_c", "lambda_max", "W1", "theta_hat_0"):
        printed = mc.parse(name, {name: "scalar"}).latex
        assert re.fullmatch(r"(?:\\[A-Za-z]+|[\w{}]|\\_)+", printed), printed
