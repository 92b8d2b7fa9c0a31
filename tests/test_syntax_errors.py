"""What is refused: the class of the error, its line and column, the text under the carets, the words that help."""

from __future__ import annotations

import pytest

from matcalc import errors
from matcalc.errors import MatcalcError, ParseError, Span
from matcalc.syntax.hints import closest, edit_distance
from matcalc.syntax.parse import parse, parse_declarations, parse_expression, parse_type

BRACKETS = [
    ("(x", "ParseError", (1, 1), "(", ("`(`", "never closed", "missing `)`")),
    ("x)", "ParseError", (1, 2), ")", ("closes nothing", "missing `(`")),
    ("(x]", "ParseError", (1, 3), "]", ("still open", "put `)`")),
    ("f(x, y", "ParseError", (1, 2), "(", ("never closed",)),
    ("[A, B; C", "ParseError", (1, 1), "[", ("never closed",)),
    ("A[i, j", "ParseError", (1, 2), "[", ("never closed",)),
    ("x_{i+1", "ParseError", (1, 2), "_{", ("never closed",)),
    ("a + (b\nc = 3", "ParseError", (1, 5), "(", ("never closed",)),
    ("()", "ParseError", (1, 1), "()", ("nothing between",)),
    ("[]", "ParseError", (1, 1), "[]", ("nothing between",)),
    ("A[]", "ParseError", (1, 2), "[]", ("nothing between",)),
    ("x (", "ParseError", (1, 3), "(", ("never closed",)),
    ("⟨x, y", "ParseError", (1, 1), "⟨", ("never closed",)),
    ("<x, y", "ParseError", (1, 1), "<", ("never closed",)),
    ("<x>", "ParseError", (1, 3), ">", ("two values",)),
    ("(a; b)", "ParseError", (1, 3), ";", ("`;` stands inside", "close `(`")),
    ("{x, y}", "ParseError", (1, 3), ",", ("comma", "blocks are `[a, b]`")),
    ("(a, b)", "ParseError", (1, 3), ",", ("comma", "`matrix(m, n)`")),
    ("[A, B\nC, D]", "ParseError", (2, 1), "C", ("new line", "`;` between rows")),
]

BARS = [
    ("||x", "ParseError", (1, 1), "||", ("bar", "never closed")),
    ("|x", "ParseError", (1, 1), "|", ("bar", "blanks")),
    ("(|x)", "ParseError", (1, 4), ")", ("still open", "put `|`")),
    ("p(y | x)", "ParseError", (1, 8), ")", ("p(y, x)",)),
    ("|||x|||", "ParseError", (1, 1), "|||", ("Three bars", "nuclear")),
    ("||x||_3", "ParseError", (1, 4), "||_3", ("no norm", "sum(abs(x).^3)^(1/3)")),
    ("||x||_0", "ParseError", (1, 4), "||_0", ("no derivative",)),
    ("||X||_nuc", "ParseError", (1, 4), "||_nuc", ("`||X||_*`",)),
    ("||X||_op", "ParseError", (1, 4), "||_op", ("spectral(X)",)),
    ("||x||_M", "ParseError", (1, 4), "||_M", ("x^T M x",)),
    ("||x||_{2,1}", "ParseError", (1, 4), "||_{2,1}", ("row norms",)),
    ("|x|_2", "ParseError", (1, 4), "_2", ("double bars",)),
    ("||x||2", "ParseError", (1, 6), "2", ("without an operator", "`^2`")),
    ("| x |y|", "ParseError", (1, 1), "|", ("never closed", "blanks")),
]

OPERATORS = [
    ("x +", "ParseError", (1, 3), "+", ("right of `+`",)),
    ("x + ; y", "ParseError", (1, 3), "+", ("right of `+`",)),
    ("x * ", "ParseError", (1, 3), "*", ("right of `*`",)),
    ("(x^)", "ParseError", (1, 3), "^", ("right of `^`",)),
    ("* x", "ParseError", (1, 1), "*", ("left of `*`",)),
    ("^2", "ParseError", (1, 1), "^", ("left of `^`",)),
    ("' x", "ParseError", (1, 1), "'", ("quoted", "transpose")),
    ("x * / y", "ParseError", (1, 3), "* /", ("missing between `*` and `/`",)),
    ("x ^ ^ y", "ParseError", (1, 3), "^ ^", ("`^`",)),
    ("f(, x)", "ParseError", (1, 3), ",", ("missing before `,`",)),
    ("f(x,)", "ParseError", (1, 5), ")", ("missing before `)`",)),
    ("f(x,,y)", "ParseError", (1, 5), ",", ("missing before `,`",)),
    ("[A,; B]", "ParseError", (1, 4), ";", ("missing before `;`",)),
    ("[A; ]", "ParseError", (1, 5), "]", ("missing before `]`",)),
    ("a < b < c", "ParseError", (1, 7), "<", ("second comparison", ".* (b < c)")),
    ("f(2 <x, y>)", "ParseError", (1, 10), ">", ("`*` before",)),
    ("x < = y", "ParseError", (1, 3), "< =", ("stand apart", "`<=`")),
    ("x = = y", "ParseError", (1, 3), "= =", ("stand apart",)),
    ("x === y", "ParseError", (1, 3), "===", ("`==`",)),
    ("√x^2", "ParseError", (1, 3), "^", ("belong to the root", "(√x)^2")),
    ("A^+ b", "ParseError", (1, 2), "^+", ("pinv(A)",)),
    ("A^*", "ParseError", (1, 2), "^*", ("pinv(A)",)),
    ("A^{*}", "ParseError", (1, 2), "^{*}", ("A^T",)),
    ("x^TA x", "ParseError", (1, 2), "^TA", ("^T A",)),
    ("x^T_i", "ParseError", (1, 2), "^T_i", ("x_i^T",)),
    ("x^2_i", "ParseError", (1, 3), "2_i", ("x_i^2",)),
    ("x²ⁿ", "ParseError", (1, 2), "²ⁿ", ("^(2n)",)),
    ("x 2", "ParseError", (1, 3), "2", ("without an operator",)),
    ("a\n+ b", "ParseError", (2, 1), "+", ("end of the line above",)),
    ("a = 3\n- b", "ParseError", (2, 1), "-", ("`-x` begins",)),
    ("a = 3\n* b", "ParseError", (2, 1), "*", ("end of the line above",)),
]

NUMBERS = [
    ("1.2.3", "ParseError", (1, 1), "1.2.3", ("not a number", "one decimal point")),
    ("[1 2 3]", "ParseError", (1, 2), "1 2", ("side by side", "comma")),
    ("1_000", "ParseError", (1, 1), "1_000", ("not a number", "without `_`")),
    ("2_x", "ParseError", (1, 1), "2_x", ("subscript",)),
    ("1e5000", "LimitError", (1, 1), "1e5000", ("exponent",)),
    ("x . y", "ParseError", (1, 3), ".", ("decimal point",)),
]

SUMS = [
    ("sum_{i=1}^{N}", "ParseError", (1, 13), "}", ("no body",)),
    ("sum_{i=1}^N", "ParseError", (1, 11), "N", ("no body",)),
    ("sum_{i=1}^{N} + 3", "ParseError", (1, 15), "+", ("without a sign",)),
    ("∑ x_i", "ParseError", (1, 1), "∑", ("no index", "sum(x)")),
    ("sum_{i≠j} x_i", "ParseError", (1, 7), "≠", ("beside the index", "(i != j)")),
    ("sum_{i=1, j=1}^N x", "ParseError", (1, 9), ",", ("beside the index",)),
    ("sum_{i ∈ S} x_i", "ParseError", (1, 8), "∈", ("declaration", "range")),
    ("sum_{i in S} x_i", "ParseError", (1, 8), "", ("beside the index",)),
    ("sum_{i,i} x_i", "ParseError", (1, 8), "i", ("twice",)),
    ("sum_{} x", "ParseError", (1, 4), "_{}", ("nothing between",)),
    ("sum_{i=1}^Nx_i y_i", "ParseError", (1, 11), "Nx_i", ("in braces",)),
    ("sum_{i=1}^ x_i", "ParseError", (1, 12), "x_i", ("^",)),
    ("sum_i = 3", "ParseError", (1, 1), "sum_i", ("cannot be a name", "sum_{i=1}^{N}")),
    ("2^sum_i x_i", "ParseError", (1, 3), "sum_i", ("without brackets",)),
]

CHARACTERS = [
    ("а + b", "ParseError", (1, 1), "а", ("CYRILLIC", "write `a`")),
    ("Α x", "ParseError", (1, 1), "Α", ("GREEK CAPITAL LETTER ALPHA", "Latin `A`")),
    ("ｘ + 1", "ParseError", (1, 1), "ｘ", ("FULLWIDTH", "write `x`")),
    ("𝐱 + 1", "ParseError", (1, 1), "𝐱", ("MATHEMATICAL BOLD", "write `x`")),
    ("x + \u200by", "ParseError", (1, 5), "\u200b", ("invisible", "U+200B")),
    ("x\u202e + y", "ParseError", (1, 2), "\u202e", ("invisible", "U+202E")),
    ("x # \u2066hidden", "ParseError", (1, 5), "\u2066", ("invisible", "U+2066")),
    ("x\x00", "ParseError", (1, 2), "\x00", ("invisible", "U+0000")),
    ("x̂ + 1", "ParseError", (1, 2), "̂", ("accent", "x_hat")),
    ("x – y", "ParseError", (1, 3), "–", ("EN DASH", "write `-`")),
    ("“x”", "ParseError", (1, 1), "“", ('write `"`',)),
    ("½ x", "ParseError", (1, 1), "½", ("(1/2)",)),
    ("漢 + 1", "ParseError", (1, 1), "漢", ("neither Latin nor Greek",)),
    ("x % y", "ParseError", (1, 3), "%", ("#",)),
    ("a & b", "ParseError", (1, 3), "&", ("masks",)),
    ("!x", "ParseError", (1, 1), "!", ("!=",)),
    ("n!", "ParseError", (1, 2), "!", ("lgamma",)),
    ("$x$", "ParseError", (1, 1), "$", ("dollar",)),
    ("∇f", "ParseError", (1, 1), "∇", ("--wrt",)),
    ("∂x", "ParseError", (1, 1), "∂", ("--wrt",)),
    ("x ⊕ y", "ParseError", (1, 3), "⊕", ("blockdiag",)),
    ("x ☃", "ParseError", (1, 3), "☃", ("not part of the language",)),
    ("x\ud800", "ParseError", (1, 2), "\ud800", ("U+D800",)),
]

FOREIGN = [
    ("\\lambda x", "ParseError", (1, 1), "\\lambda", ("LaTeX", "write `lambda`")),
    ("\\mathbf{x}", "ParseError", (1, 1), "\\mathbf", ("LaTeX",)),
    ("x^\\alpha", "ParseError", (1, 3), "\\alpha", ("write `alpha`",)),
    ("x \\lambda", "ParseError", (1, 3), "\\lambda", ("LaTeX",)),
    ("A \\\\ B", "ParseError", (1, 3), "\\\\", ("LaTeX",)),
    ("h_\\theta(x)", "ParseError", (1, 2), "_", ("LaTeX", "write `theta`")),
    ("x_1 + … + x_n", "ParseError", (1, 7), "…", ("sum_{i=1}^{n} x_i",)),
    ("np.exp(x)", "ParseError", (1, 1), "np.exp", ("write `exp`",)),
    ("np.linalg.inv(A)", "ParseError", (1, 1), "np.linalg", ("np.linalg",)),
    ("x.sum()", "ParseError", (1, 1), "x.sum", ("sum(x)",)),
    ("A.dot(x)", "ParseError", (1, 1), "A.dot", ("product",)),
    ('"abc', "ParseError", (1, 1), '"', ("quoted", "never closed")),
    ('"abc" + 2', "ParseError", (1, 1), '"abc"', ("einsum",)),
    ("x_", "ParseError", (1, 2), "_", ("x_1",)),
    ("_x", "ParseError", (1, 1), "_x", ("begins with a letter",)),
    ("xᵢ₊₁", "ParseError", (1, 3), "₊₁", ("x_{i+1}",)),
]

STATEMENTS = [
    ("", "ParseError", (1, 1), "", ("nothing to read",)),
    ("  # only a comment", "ParseError", (1, 1), "", ("nothing to read",)),
    (";;", "ParseError", (1, 1), "", ("nothing to read",)),
    ("= 3", "ParseError", (1, 1), "=", ("left of `=`",)),
    ("x =", "ParseError", (1, 3), "=", ("right of `=`",)),
    ("a = b = c", "ParseError", (1, 7), "=", ("second `=`",)),
    ("x = (y = 3)", "ParseError", (1, 8), "=", ("inside brackets", "`==`")),
    ("x y = 3", "ParseError", (1, 1), "x y", ("assign to",)),
    ("f (x) = x", "ParseError", (1, 1), "f (x)", ("without a blank",)),
    ("A' = B", "ParseError", (1, 1), "A'", ("assign to",)),
    ("f(2) = 3", "ParseError", (1, 3), "2", ("parameters", "names")),
    ("f(x, x) = 1", "ParseError", (1, 6), "x", ("twice",)),
    ("f() = 1", "ParseError", (1, 1), "f()", ("no parameter",)),
    ("f(a=1) = 1", "ParseError", (1, 5), "1", ("parameters",)),
    ("x_{i+1} = 3", "ParseError", (1, 1), "x_{i+1}", ("free indices",)),
    ("f(a=1, 2)", "ParseError", (1, 8), "2", ("without a name",)),
    ("f(a=1, a=2)", "ParseError", (1, 8), "a", ("twice",)),
    ("x, y", "ParseError", (1, 4), "y", ("declare `x, y: vector(n)`",)),
    ("A[1:]", "ParseError", (1, 4), ":", ("both ends",)),
    ("A[:2]", "ParseError", (1, 4), "2", ("both ends",)),
    ("A[::2]", "ParseError", (1, 3), "::", ("between `:` and `:`",)),
    ('f("a" b)', "ParseError", (1, 7), "b", ("operator",)),
]

DECLARATIONS = [
    ("x:", "ParseError", (1, 2), ":", ("right of `:`",)),
    (": vector(n)", "ParseError", (1, 1), ":", ("left of `:`",)),
    ("2: vector(n)", "ParseError", (1, 1), "2", ("Only names",)),
    ("x y: vector(n)", "ParseError", (1, 1), "x y", ("Only names",)),
    ("x: vectr(n)", "ParseError", (1, 4), "vectr", ("did you mean `vector`",)),
    ("x: vectr", "ParseError", (1, 4), "vectr", ("did you mean `vector(n)`",)),
    ("a: real", "ParseError", (1, 4), "real", ("did you mean `scalar`",)),
    ("x: vector(n) symetric", "ParseError", (1, 14), "symetric", ("did you mean `symmetric`",)),
    ("x: vector(n) shiny", "ParseError", (1, 14), "shiny", ("the properties are",)),
    ("x: symmetric", "ParseError", (1, 4), "symmetric", ("without a type",)),
    ("A: matrix(n, n) spd spd", "ParseError", (1, 21), "spd", ("twice",)),
    ("A: matrix(n)", "ParseError", (1, 4), "matrix(n)", ("two dimensions",)),
    ("x: vector(m, n)", "ParseError", (1, 4), "vector(m, n)", ("one dimension",)),
    ("a: scalar(n)", "ParseError", (1, 4), "scalar(n)", ("no dimension",)),
    ("A: matrix(n, n) vector(n)", "ParseError", (1, 17), "vector", ("second type",)),
    ("A: mxn", "ParseError", (1, 4), "mxn", ("m x n",)),
    ("A: R^{m n}", "ParseError", (1, 9), "n", ("m × n",)),
    ("A: (m × n)", "ParseError", (1, 7), "×", ("without brackets",)),
    ("x: vector(1.5)", "ParseError", (1, 11), "1.5", ("count",)),
    ("x: vector(-1)", "ParseError", (1, 11), "-1", ("count",)),
    ("x: vector(x_{i+1})", "ParseError", (1, 11), "x_{i+1}", ("not a dimension",)),
    ("x: vector(n) = 3", "ParseError", (1, 14), "=", ("no value", "two lines")),
    ("x in y", "ParseError", (1, 3), "in", ("x in R^n",)),
    ("x: n: m", "ParseError", (1, 5), ":", ("`:`",)),
]

CASES = [
    *BRACKETS,
    *BARS,
    *OPERATORS,
    *NUMBERS,
    *SUMS,
    *CHARACTERS,
    *FOREIGN,
    *STATEMENTS,
    *DECLARATIONS,
]


@pytest.mark.parametrize(("text", "kind", "place", "part", "words"), CASES)
def test_refused(text: str, kind: str, place: tuple[int, int], part: str, words: tuple[str, ...]) -> None:
    with pytest.raises(MatcalcError) as caught:
        parse(text)
    error = caught.value
    assert type(error) is getattr(errors, kind)
    assert error.source == text
    assert error.position == place
    assert error.span is not None
    assert text[error.span.start : error.span.end] == part
    assert error.message.endswith(".")
    assert error.hint
    for word in words:
        assert word in f"{error.message}\n{error.hint}"


@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        (parse_expression, "x = 3", "not an assignment"),
        (parse_expression, "x: vector(n)", "not a statement"),
        (parse_expression, "x\ny", "several"),
        (parse_declarations, "x + 1", "declaration"),
        (parse_declarations, "", "nothing to read"),
        (parse_type, "", "nothing to read"),
        (parse_type, "vectr(n)", "not a type"),
        (parse_type, "matrix(n, n) symetric", "not a property"),
        (parse_type, "matrix(n, n", "never closed"),
    ],
)
def test_refused_by_the_other_readers(read: object, text: str, words: str) -> None:
    assert callable(read)
    with pytest.raises(ParseError, match=words) as caught:
        read(text)
    assert caught.value.source == text
    assert caught.value.hint


def test_the_caret_stands_under_the_fault_on_its_line() -> None:
    with pytest.raises(ParseError) as caught:
        parse("y = A x\nz = y +* 2\nz")
    assert caught.value.caret == "  z = y +* 2\n        ^^"
    assert caught.value.position == (2, 7)
    assert caught.value.to_dict()["code"] == "syntax"


def test_the_first_reading_of_bars_gives_the_error() -> None:
    with pytest.raises(ParseError) as caught:
        parse("||x - y|| + |z")
    assert caught.value.span == Span(12, 13)


def test_every_lookalike_of_a_latin_letter_names_it() -> None:
    for letter, latin in {
        "а": "a",
        "е": "e",
        "о": "o",
        "р": "p",
        "с": "c",
        "х": "x",
        "А": "A",
        "В": "B",
        "Н": "H",
    }.items():
        with pytest.raises(ParseError) as caught:
            parse(f"2 {letter}")
        assert caught.value.hint == f"write `{latin}`"
        assert f"U+{ord(letter):04X}" in caught.value.message


@pytest.mark.parametrize(
    "code", [0x7F, 0xAD, 0x61C, 0x200B, 0x200D, 0x200F, 0x202A, 0x2060, 0x2069, 0xFE0F, 0xFEFF, 0xE0041]
)
def test_invisible_characters_are_refused_everywhere(code: int) -> None:
    for text in (f"x{chr(code)}", f"x # {chr(code)}", f'f("{chr(code)}")'):
        with pytest.raises(ParseError, match="invisible") as caught:
            parse(text)
        assert caught.value.span == Span(text.index(chr(code)), text.index(chr(code)) + 1)
        assert f"U+{code:04X}" in caught.value.message


@pytest.mark.parametrize(
    ("word", "near"),
    [("symetric", "symmetric"), ("symmetrc", "symmetric"), ("spd", "spd"), ("pds", "psd"), ("banana", None)],
)
def test_closest(word: str, near: str | None) -> None:
    assert closest(word, ["symmetric", "spd", "psd", "skew"]) == near


def test_edit_distance_counts_a_swap_once() -> None:
    assert edit_distance("matrix", "matirx") == 1
    assert edit_distance("matrix", "metrics") == 3
    assert edit_distance("", "abc") == 3
