"""Wrong inputs by category: templates filled in with operators, functions and names, always in the same order.

A ``§`` in a text marks where the error has to point; it is taken out before the text is used. Texts without one have no
place of their own: the fault is in an argument beside the text.
"""

# ruff: noqa: E501  (lists of texts read best side by side)

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from matcalc.ops.registry import FAMILIES, OPERATIONS
from matcalc.ops.signature import cores

from .classes import CLASSES

MARK = "§"

Vars = Mapping[str, str]

TYPES: Vars = {
    "x": "vector(n)",
    "y": "vector(n)",
    "z": "vector(m)",
    "u": "vector(p)",
    "A": "matrix(n, n)",
    "B": "matrix(m, n)",
    "C": "matrix(n, p)",
    "S": "matrix(n, n) symmetric",
    "K": "tensor(o, c, h)",
    "a": "scalar",
    "b": "scalar",
}
"""The names that the texts use: every length differs."""


class Case(NamedTuple):
    """One wrong input.

    Parameters
    ----------
    category: the kind of mistake.
    how: ``derive`` (a text), ``cli`` (words of the command line) or ``python`` (a call of the interface as code).
    text: the text, the code, or the text among the words; without the mark.
    at: the offset at which the error has to point; None where the fault is not in the text.
    expected: names of the classes that are right.
    arguments: keyword arguments of ``derive``, or the words of the command line under ``words``.
    """

    category: str
    how: str
    text: str
    at: int | None
    expected: tuple[str, ...]
    arguments: Mapping[str, Any]


Pair = tuple[str, str]
CATEGORIES: dict[str, Callable[[], Iterator[Case]]] = {}


def _case(category: str, text: str, expected: str, how: str = "derive", **arguments: Any) -> Case:
    at = text.find(MARK)
    plain = text.replace(MARK, "")
    if how == "derive":
        arguments = {"wrt": "x", "vars": dict(TYPES), **arguments}
    return Case(category, how, plain, None if at < 0 else at, tuple(expected.split("|")), arguments)


def texts(category: str, expected: str, **arguments: Any) -> Callable[[Callable[[], Iterator[str]]], None]:
    """A category of texts that all raise the same class."""

    def register(make: Callable[[], Iterator[str]]) -> None:
        def cases() -> Iterator[Case]:
            for text in make():
                yield _case(category, text, expected, **arguments)

        CATEGORIES[category] = cases

    return register


def mixed(category: str) -> Callable[[Callable[[], Iterator[tuple[str, str, dict[str, Any]]]]], None]:
    """A category whose cases name their class: text, class, further arguments."""

    def register(make: Callable[[], Iterator[tuple[str, str, dict[str, Any]]]]) -> None:
        def cases() -> Iterator[Case]:
            for text, expected, arguments in make():
                yield _case(category, text, expected, **arguments)

        CATEGORIES[category] = cases

    return register


def within(*parts: str) -> Iterator[str]:
    """The parts alone and inside larger formulas."""
    for part in parts:
        yield part
        yield f"a + {part}"
        yield f"x^T A x + {part}"


# --- syntax ----------------------------------------------------------------------------------------


@texts("brackets", "ParseError")
def _brackets() -> Iterator[str]:
    for opener in "([{":
        yield from within(f"§{opener}x", f"sum(x) * §{opener}x + y")
    for closer in ")]}":
        yield from within(f"x§{closer}", f"sum(x)§{closer}")
    for opener, closer in ("(]", "(}", "[)", "[}", "{)", "{]"):
        yield from within(f"{opener}x§{closer}")
    yield from within("sum§(x", "f§(x, y", "A§[1, 2", "§(x + (y)", "((x)§]", "§()", "§[]", "A§[]")


@texts("bars", "ParseError")
def _bars() -> Iterator[str]:
    yield from within("§||x", "§|x", "§||x - y", "||x§||_3", "||x§||_0", "||A§||_op", "||A§||_{2,1}", "||x||§2")
    yield from within("(|x§)", "(||x§)", "§|||A|||", "|x|§_2", "§‖x", "sum(§|x)", "§||x + ||y||")


@texts("missing operands", "ParseError")
def _missing_operands() -> Iterator[str]:
    for operator in ("+", "-", "*", "/", "^", ".*", "./", ".^", "@", "\\", "<", "==", "⊙", "⊗"):
        yield f"x §{operator}"
        yield f"(x §{operator})"
        yield f"sum(x §{operator})"
    for operator in ("*", "/", "^", ".*", "./", "@", ">", "==", "⊙", "⊗"):
        yield f"§{operator} x"
        yield f"(§{operator} x)"
    for pair in ("* /", "/ *", "^ *", "+ *", ".* /", "* ^", "- /", "== >"):
        yield f"x §{pair} y"


@texts("separators", "ParseError")
def _separators() -> Iterator[str]:
    yield from ("sum(x§,)", "sum(§, x)", "dot(x,§, y)", "x, §y", "(x§, y)", "{x§, y}", "[x§; ]", "[x,§; y]", "§x y =3")
    yield from ("a = b §= x", "x = (y §= 3)", "sum(x§, ) = 3", "§= x", "x §=", "§x y = 3", "§f (x) = x", "§A' = x")
    yield from (
        "f(§2) = 3",
        "f(x, §x) = 1",
        "§f() = 1",
        "sum(x, axis=0, §2)",
        "sum(x, axis=0, §axis=1)",
        "x\n§+ y",
        "x\n§* y",
    )
    yield from ("x§:", "§: vector(n)", "§2: vector(n)\nx", "x < y §< z", "x §< = y", "x §= = y", "x §=== y", "sum(§;)")


@texts("numbers", "ParseError|LimitError|ShapeError")
def _numbers() -> Iterator[str]:
    for number in ("1.2.3", "1_000", "1e5000", "1e-5000", "1..2", "9" * 300, "2_x", "3.4.5e6", "1.2e3.4"):
        yield from within(f"§{number}")
    yield from ("x §2", "[§1 2 3]", "A §3", "x + y §4 z", "x §.5", "5 §. x", "x §1e3", "x^§2_3")


@texts("index sums", "ParseError|ShapeError|UnknownName|Unsupported")
def _index_sums() -> Iterator[str]:
    yield from (
        "sum_{i=1}^{n§}",
        "sum_{i=1}^§n",
        "sum_{i=1}^{n} §+ 3",
        "§∑ x",
        "sum_{i§≠j} x_i",
        "sum_{i=1§, j=1}^n x_i",
    )
    yield from (
        "sum_{i §∈ S} x_i",
        "sum_{i,§i} x_i",
        "sum§_{} x_i",
        "sum_{i=1}^§nx_i",
        "sum_{i=1}^ §x_i",
        "§sum_i = 3",
        "2^§sum_i x_i",
    )
    yield from ("§sum_{i=5}^{2} x_i", "sum_{i=1}^{§1.5} x_i", "sum_{i=1}^{§x} x_i", "sum_i §A[i, 1, 2]")
    yield from (
        "sum_{i=1}^{n+1} §x_i",
        "sum_{i=0}^{n} §x_i",
        "sum_{i=1}^{n} §x_{i+1}",
        "sum_{i=1}^{n} §x_{i-1}",
        "sum_i §a_i",
        "sum_i sum_j §A[i, j, 1]",
    )
    yield from (
        "§x_i",
        "a + §x_j",
        "sum_{i=1}^{n} §x_j",
        "sum_i x_i §y_j",
        "sum_i x[§2 i]",
        "sum_i x[§i^2]",
        "sum_i x[§x]",
        "sum_{i=1}^{n m} §x_i",
    )
    yield from (
        "prod_i §A[i, 1, 1]",
        "§prod_{i} A_i",
        "§prod_{i=5}^{2} x_i",
        "sum_{i=1§.5}^{n} x_i",
        "§sum_{x} x",
        "sum_{i=1}^{n}{§}",
    )
    yield from (
        "sum_{(i,j§ ∈ S} x_i",
        "§sum_{i=1}^{-n} x_i",
        "sum_{i=§A}^{n} x_i",
        "sum_i^§n",
        "sum_{i=1}^{n} §K[i, 1, 1, 1]",
    )


# --- names -----------------------------------------------------------------------------------------

TYPED = [
    record.name for family in FAMILIES.values() for record in family if len(record.name) >= 4 and "_" not in record.name
]


@texts("misspelled functions", "UnknownName")
def _misspelled() -> Iterator[str]:
    for name in TYPED:
        swapped = name[:-3] + name[-2] + name[-3] + name[-1]
        dropped = name[:2] + name[3:]
        for wrong in (swapped, dropped):
            if wrong not in OPERATIONS and wrong != name:
                yield f"a + §{wrong}(x)"
                break
    yield from (
        "§f(x)",
        "§g(A, x)",
        "§trase(A)",
        "sum(§sofmax(x))",
        "§Exp(x)",
        "§LOG(x)",
        "§Inv(A)",
        "§foo(x)^2",
        "§sigmoidd(x)",
    )


@texts("functions without brackets", "UnknownName")
def _unbracketed() -> Iterator[str]:
    for name in (
        "log",
        "exp",
        "sin",
        "tr",
        "det",
        "inv",
        "sqrt",
        "softmax",
        "norm",
        "diag",
        "sigmoid",
        "mean",
        "max",
        "logdet",
    ):
        yield f"§{name} x"
        yield f"a + §{name} A x"
    for wrong in (
        "logx",
        "expx",
        "sumx",
        "trA",
        "detA",
        "invA",
        "sqrtx",
        "xTAx",
        "xTx",
        "sinx",
        "normx",
        "tanhx",
        "vecA",
        "diagx",
    ):
        yield f"§{wrong}"
        yield f"a §{wrong}"


@texts("reserved names", "UsageError|ParseError|UnknownName|ShapeError")
def _reserved() -> Iterator[str]:
    for name in ("exp", "I", "T", "pi", "inf", "sum", "log", "det", "tr", "softmax", "norm", "einsum"):
        yield f"§{name} = 3\nx"
        yield f"§{name}: vector(n)\nx"
    yield from ("§n = 3\nx", "§m = x\nx", "§n: scalar\nx^T x", "x^§T²", "A^T§²", "x^T + §T", "A §T", "§T x")


# --- shapes ----------------------------------------------------------------------------------------

UNEQUAL: tuple[Pair, ...] = (
    ("x", "z"), ("A", "B"), ("B", "A"), ("B", "C"), ("x^T", "z^T"), ("x", "x^T"), ("y^T", "x"), ("C", "x^T"), ("B", "x"),
    ("K", "x"), ("K", "A"), ("A", "K"), ("A^2", "B"), ("x^T A", "z^T"), ("B x", "x"),
)  # fmt: skip


@texts("sums of unequal shapes", "ShapeError")
def _unequal_sums() -> Iterator[str]:
    for left, right in UNEQUAL:
        yield f"{left} + §{right}"
        yield f"{left} - §{right}"
        yield f"sum({left} + §{right})"


@texts("entrywise operators on unequal shapes", "ShapeError")
def _unequal_entrywise() -> Iterator[str]:
    for left, right in UNEQUAL:
        for operator in (".*", "./", ".^", "<", "=="):
            base = f"({left})" if operator == ".^" else left
            exponent = f"({right})" if operator == ".^" else right
            yield f"§{base} {operator} {exponent}"
    for name in ("atan2", "hypot", "pow", "maximum", "huber", "leaky_relu"):
        for left, right in (("x", "z"), ("A", "B"), ("x", "y^T")):
            yield f"§{name}({left}, {right})"
    yield from ("§where(x, y, z)", "§where(A, B, 1)", "§max(x, z)", "§min(A, B)")


UNFIT: tuple[Pair, ...] = (
    ("x", "y"), ("x", "A"), ("A", "z"), ("A", "y^T"), ("B", "B x"), ("C", "A"), ("z^T", "A"), ("x^T", "y^T"), ("x^T", "z"),
    ("K", "x"), ("A", "K"), ("B", "C^T"), ("A", "B"), ("x", "x"), ("C", "x"), ("x^T", "B"), ("2 x", "x"),
)  # fmt: skip


@texts("products that do not fit", "ShapeError")
def _products() -> Iterator[str]:
    for left, right in UNFIT:
        group = f"({right})" if " " in right else right
        yield f"§{left} {group}"
        yield f"a + §{left} * {group}"
        yield f"sum(§{left} @ {group})"


@texts("division and solving", "ShapeError|DomainError")
def _division() -> Iterator[str]:
    for left, right in (("x", "z"), ("A", "x^T"), ("A", "B"), ("x", "A"), ("x^T", "y"), ("K", "x"), ("A", "K")):
        yield f"§{left} / {right}"
        yield f"a + §{left} / {right}"
    for left, right in (("B", "x"), ("A", "z"), ("x", "A"), ("C", "u"), ("K", "x"), ("A", "x^T"), ("x", "y")):
        yield f"§{left} \\ {right}"
    yield from ("§x^T A x / x^T x", "§y^T x / x^T y", "§x / 0", "§1/0", "a + §x^T x / 0", "§A / 0", "§a / (1 - 1)")


@texts("powers", "ShapeError|Unsupported|ParseError|UnknownName")
def _powers() -> Iterator[str]:
    yield from within(
        "§B^2", "§B^-1", "§C^(1/2)", "§A^x", "§A^B", "A§^+", "A§^*", "§A^0.3", "x§^TA x", "x§^T_i", "§K^T"
    )
    yield from (
        "x^§2_i",
        "x§²ⁿ",
        "§A^S",
        "§x^A",
        "§x^z",
        "§B^a",
        "§x .^ z",
        "x^§",
        "§x^t",
        "§x^t A x",
        "A§^{*}",
        "√x§^2",
    )


SQUARE = [
    record.name for record in OPERATIONS.values() if record.signature and cores(record.signature)[0] == (("n", "n"),)
]
MATRIX = [
    record.name for record in OPERATIONS.values() if record.signature and cores(record.signature)[0] == (("m", "n"),)
]


@texts("function arguments of a wrong shape", "ShapeError")
def _wrong_arguments() -> Iterator[str]:
    for name in sorted({*SQUARE, "tr"}):
        yield f"§{name}(B)"
        yield f"a + §{name}(x)"
    for name in sorted(set(MATRIX)):
        yield f"§{name}(x)"
    yield from (
        "§diag(K)",
        "§vec(K)",
        "§vech(B)",
        "§tril(x)",
        "§triu(K)",
        "§blockdiag(K, A)",
        "§cross(x, y)",
        "§outer(A, x)",
    )
    yield from (
        "§inner(x, z)",
        "§dot(x, z)",
        "§dot(A, z)",
        "§solve(B, x)",
        "§solve(A, z)",
        "§sylvester(A, A, B)",
        "§cofactor(B)",
        "§kron(K, A)",
    )
    yield from (
        "§unvec(x, 2, 3)",
        "§unvec(A, n, n)",
        "§matpow(B, 2)",
        "§polygamma(x, x)",
        "§transpose(K)",
        "§commutation(2)",
        "§I(2, 3)",
    )
    yield from (
        "§e(0, n)",
        "§e(5, 3)",
        "A + §I(m)",
        "x + §ones(m)",
        "e(1, m) + §x",
        "§A zeros(m, n)",
        "§prod(K, axis=5)",
    )


@texts("wrong number of arguments", "ShapeError|UsageError|ParseError")
def _arity() -> Iterator[str]:
    seen = set()
    for record in OPERATIONS.values():
        if record.name in seen or record.name in (
            "unvec",
            "pi",
            "inf",
            "e",
            "max",
            "min",
            "kron",
            "blockdiag",
            "I",
            "ones",
            "zeros",
        ):
            continue
        seen.add(record.name)
        yield (
            f"§{record.name}(x, x, x, x, x, x)"
            if record.size_arguments != "all"
            else f"§{record.name}(2, 2, 2, 2, 2, 2, 2)"
        )
    for name in ("exp", "log", "sum", "tr", "inv", "norm", "softmax", "diag", "where", "max", "kron"):
        yield f"§{name}()"
    yield from (
        "§where(x, y)",
        "§atan2(x)",
        "§dot(x)",
        "§outer(x)",
        "§solve(A)",
        "§cross(x)",
        "§huber()",
        "§e(1)",
        "§unvec(x)",
        "§einsum()",
    )


@texts("options", "UsageError|ShapeError|Unsupported|ParseError|UnknownName")
def _options() -> Iterator[str]:
    for name in ("sum", "mean", "max", "norm", "softmax", "logsumexp", "cumsum", "var"):
        yield f"{name}(B, §axes=0)"
        yield f"§{name}(B, axis=2)"
        yield f"§{name}(B, axis=-3)"
        yield f"§{name}(x, axis=1)"
        yield f"§{name}(B, axis=0.5)"
    for name in ("exp", "tr", "inv", "diag", "kron"):
        yield f"{name}(A, §axis=0)"
        yield f"a + {name}(A, §foo=1)"
    yield from (
        "sum(B, axis=§x)",
        "§sum(a, axis=0)",
        'sum(B, axis=§"rows")',
        "§sum(B, axis=rows)",
        "sum(B, §keepdims=1)",
        "sum(B, §dim=1)",
    )


@texts("ambiguous products", "ShapeError")
def _ambiguous() -> Iterator[str]:
    for left, right in (
        ("x", "y"),
        ("x", "x"),
        ("A x", "y"),
        ("exp(x)", "y"),
        ("(x + y)", "x"),
        ("x", "(A y)"),
        ("y", "exp(x)"),
    ):
        yield f"§{left} {right}"
        yield f"a + §{left} * {right}"
        yield f"sum(§{left} @ {right})"
    for left, right in (("k", "l"), ("w", "v"), ("r", "s"), ("t", "w")):
        yield f"§{left} {right}"


@texts("blocks", "ShapeError|ParseError|UnknownName")
def _blocks() -> Iterator[str]:
    yield from (
        "[A, x; §x, a]",
        "§[A, B; C]",
        "§[x, y; z]",
        "[A, §B]",
        "[A; §C]",
        "[A, x; §z^T, a]",
        "[A, §z]",
        "[A; §z^T]",
    )
    yield from (
        "[S, C; C^T, §A]",
        "[A, §x^T]",
        "[A; §x]",
        "§[K, A]",
        "[x, §z]",
        "[A, C; B, §a]",
        "§[1, 2; 3]",
        "§[1; 2, 3]",
        "[A, §1; x^T, 1]",
    )
    yield from (
        "[x; §A]",
        "[x^T, §A]",
        "§[A, B; C",
        "[A, B§)",
        "[A, B\n§C, S]",
        "[A,§, B]",
        "[§; A]",
        "[§, A]",
        "[A, x; x^T, §A]",
        "[§a, A]",
    )


@texts("einsum", "ShapeError|ParseError|UsageError|UnknownName")
def _einsum() -> Iterator[str]:
    for spec in (
        "ij,jk->ii",
        "ij,jk->iz",
        "ij->ij",
        "i,j->ij",
        "ijk,jk->i",
        "ij,jk->i->k",
        "i1,jk->ik",
        "ij;jk->ik",
        "ij,jk=>ik",
        "ij,jk,kl->il",
        ",->",
    ):
        yield f'einsum(§"{spec}", A, S)'
    yield from ('einsum("ij,j->i", A, §z)', 'einsum("ij,jk->ik", B, §B)', 'einsum(§"i->", A)', 'einsum(§"ij->", x)')
    yield from (
        "§einsum(A, x)",
        "§einsum(ij, A)",
        'einsum(§"ij->ji")',
        'einsum(§"ij,j->i", A)',
        'einsum(§"ij',
        "a + §einsum(x)",
    )
    yield from (
        'einsum("ii->", §B)',
        'einsum("ij,ji->", A, §B)',
        'einsum(§"ijk->", A)',
        'einsum(§"...i->i", x)',
        'einsum(§"", x)',
    )
    yield from (
        '§"ij" + x',
        'x + §"text"',
        'sum(§"x")',
        'einsum("i,i->", x, §"y")',
        'einsum(§"ij,jk->ki->", A, A)',
        'einsum(§"i|j", x)',
        'einsum(§"i,i->", x)',
    )


@texts("elements and ranges", "ShapeError|ParseError|Unsupported|UnknownName")
def _elements() -> Iterator[str]:
    yield from within(
        "§x[0]",
        "§A[0, 1]",
        "§A[1, 2, 3]",
        "§x[1, 2]",
        "§a[1]",
        "x[§1.5]",
        "x[§y]",
        "x[§w]",
        "A[1§:]",
        "A[:§2]",
        "A[§::2]",
        "§x[-1]",
    )
    yield from (
        "x[§3:2]",
        "§x[n+1]",
        "§A[n+1, 1]",
        "§K[1, 2, 3, 4]",
        "x§[]",
        "§x[0:3]",
        "§x[1:n+1]",
        "x[§x > 0]",
        "x[§exp(1)]",
        "x[§a]",
        "§B[m+1, 1]",
    )


# --- declarations ----------------------------------------------------------------------------------


@texts("declarations in the text", "ParseError|ShapeError")
def _declarations() -> Iterator[str]:
    for kind in (
        "§vectr(n)", "§matrx(n, n)", "§real", "§vector(m, n)", "§matrix(n)", "§scalar(n)", "matrix(n, n) §symetric", "matrix(n, n) §spd2", "§symmetric",
        "vector(§1.5)", "vector(§-1)", "§vector(0)", "matrix(n, n) §vector(n)", "R^{m §n}", "vector(n) §= 3", "matrix(n, n) spd §spd", "vector(n§",
        "§mxn", "vector(§x_{i+1})", "§float", "§ndarray", "vector§()", "§array(n)", "§list", "§double", "§np.ndarray",
    ):  # fmt: skip
        yield f"w: {kind}\nx"
    yield from ("x §in y", "§2: vector(n)\nx", "§w v: vector(n)\nx")
    for properties in ("symmetric", "spd", "skew", "diagonal", "orthogonal", "psd"):
        yield f"W: §matrix(l, k) {properties}\nx"
    for properties in ("symmetric", "spd", "lower", "orthogonal"):
        yield f"w: §vector(k) {properties}\nx"
        yield f"w: §scalar {properties}\nx"


@mixed("declarations beside the text")
def _outside() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for kind in (
        "vectr(n)",
        "matrix(n)",
        "vector(m, n)",
        "scalar(n)",
        "matrix(n, n) symetric",
        "vector(-1)",
        "vector(0)",
        "vector(1.5)",
        "",
        "vector(n",
        "real",
        "matrix(m, n) symmetric",
        "vector(n) spd",
        "vector(n); y: vector(n)",
        "__import__('os')",
        "tensor",
        "3.5",
        "vector(n) = 1",
        "{}",
        "(n,)",
        "vector(x_{i+1})",
        "vector(n) vector(n)",
    ):
        yield f"x^T x + {len(kind)}", "ParseError|ShapeError|UsageError", {"vars": {"x": kind}}
    for name in ("2x", "x y", "", "x+y", "exp", "I", "T", "pi", "x-y", "а", "f(x)", "x;", "x\ny", "x:", "x = 2"):
        yield "x^T x", "ParseError|UsageError", {"vars": {name: "vector(n)"}}


@mixed("contradictions")
def _contradictions() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for inside, outside in (
        ("vector(n)", "matrix(n, n)"), ("vector(n)", "scalar"), ("matrix(m, n)", "vector(n)"), ("vector(2)", "vector(3)"), ("vector(n)", "vector(m)"),
        ("matrix(2, 3)", "matrix(3, 2)"), ("scalar", "vector(n)"), ("matrix(n, n)", "matrix(m, n)"), ("vector(n)", "tensor(n, n, n)"),
    ):  # fmt: skip
        yield f"§w: {inside}\nsum(w)", "ShapeError", {"vars": {"w": outside}, "wrt": "w"}
        yield f"w: {inside}\n§w: {outside}\nsum(w)", "ShapeError", {"vars": {}, "wrt": "w"}
    yield "n: scalar\nx: vector(n)\nx^T x", "ShapeError|UsageError", {"vars": {}}
    yield "x^T x", "ShapeError|UsageError", {"vars": {"x": "vector(n)", "n": "scalar"}}
    yield "x^T x + n", "ShapeError|UsageError", {"vars": {"x": "vector(n)", "n": "vector(m)"}}
    yield "lambda x", "UsageError", {"vars": {"lambda": "scalar", "λ": "vector(n)"}, "wrt": "x"}
    yield "w: vector(n)\n§w = A\nx^T w", "ShapeError", {}
    yield "w: scalar\n§w = x\nx^T w", "ShapeError", {}
    yield "w: vector(m)\n§w = x\nx^T w", "ShapeError", {}
    yield "§x = A\nx", "ShapeError", {}
    yield "§n = 3\nx^T x", "ShapeError", {}
    yield "§exp = 3\nx^T x", "UsageError", {}
    yield "x: vector(n); y: vector(m)\n§x^T y", "ShapeError", {"vars": {}}
    yield "x: vector(3); y: vector(4)\nx + §y", "ShapeError", {"vars": {}}


@mixed("functions of the user")
def _user_functions() -> Iterator[tuple[str, str, dict[str, Any]]]:
    yield "f(t) = t^2\n§f(x, y)", "ShapeError|UsageError", {}
    yield "f(t) = t^2\n§f()", "ShapeError|UsageError|ParseError", {}
    yield "f(s, t) = s t\n§f(a)", "ShapeError|UsageError", {}
    yield "f(t) = t^2\nf§[1]", "UnknownName|ParseError|ShapeError", {}
    yield "f(t) = §g(t)\nf(x)", "UnknownName", {}
    yield "f(t) = §f(t - 1)\nf(a)", "Unsupported", {}
    yield "f(t) = g(t); g(t) = §f(t)\nf(a)", "Unsupported|UnknownName", {}
    yield "f(t) = t + §sofmax(t)\nf(x)", "UnknownName", {}
    yield "f(t) = t + §z\nf(x)", "ShapeError", {}
    yield "f(t) = §t A\nf(x)", "ShapeError", {}
    yield "f(§2) = 3", "ParseError", {}
    yield "f(t, §t) = 3", "ParseError", {}
    yield "§f() = 3", "ParseError", {}
    yield "f(t) = t^2\n§fo(x)", "UnknownName", {}
    yield "g(t) = t^2\na + §v(x)", "UnknownName", {}
    yield "§n(t) = t\nx", "UsageError|ParseError|ShapeError", {}
    yield "f(t) = t^2\n§f", "UnknownName", {}
    yield "f(t) = t^2\nx + §f", "UnknownName", {}
    yield "f(t) = t^2\nf(§t=3)", "UsageError|ShapeError", {}


# --- what is not of the language -------------------------------------------------------------------


@texts("injection", "ParseError|UnknownName|ShapeError")
def _injection() -> Iterator[str]:
    yield from (
        "§__import__('os')", "§__import__('os').system('ls')", "§x.__class__", "§().__class__.__bases__", "§eval('1')", "§exec('1')", "§open('/etc/passwd')",
        "§os.system('ls')", "§globals()", "§locals()", "§getattr(x, 'T')", "§compile('1', '', 'eval')", "§breakpoint()", "§exit()", "§print(x)", "§input()",
        "x; §import os", "§import os", "§from os import system", "x\n§def f(): pass", "§{0.__class__}", "[x §for x in y]", "§`ls`", "§$(ls)", "x §&& ls",
        "x §| ls", "§\\input{/etc/passwd}", "§%s %s", "x\n§' OR 1=1 --", "§__builtins__", "§self.x", "x[§__import__('os')]",
        "sum(x, axis=§__import__('os'))", "§vars()", "§dir()", "§type(x)", "§object()", "a = §__import__('os')", "f(t) = §eval(t)\nf(x)", "§np.load('x.npy')", "§subprocess.run(x)",
    )  # fmt: skip


@texts("look-alikes", "ParseError")
def _lookalikes() -> Iterator[str]:
    for letter in "асеорхуіјѕАВЕКМНОРСТХ":
        yield f"§{letter} + 1"
        yield f"x^T x + §{letter}^T y"
    for letter in "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ":
        yield f"x + §{letter}"
    for character in "ｘｙ１２＋－＊／（）＝，𝐱𝑥𝒙𝖷𝟏ℝ①½–—‐“”‘":
        yield f"x + §{character}" if character not in "＋－＊／＝–—‐，）" else f"x §{character} y"


@texts("invisible characters", "ParseError")
def _invisible() -> Iterator[str]:
    for code in (
        0x00,
        0x01,
        0x07,
        0x08,
        0x1B,
        0x7F,
        0xAD,
        0x61C,
        0x200B,
        0x200C,
        0x200D,
        0x200E,
        0x200F,
        0x202A,
        0x202D,
        0x202E,
        0x2060,
        0x2066,
        0x2067,
        0x2069,
        0xFE0F,
        0xFEFF,
        0xE0041,
    ):
        yield f"x§{chr(code)} + y"
        yield f"x + y # §{chr(code)}"


@texts("other characters", "ParseError")
def _characters() -> Iterator[str]:
    for character in "%&~!?$∂∇±†…⊕⇒→∀≈∝☃漢€£©☺日あ":
        yield f"x + §{character}"
    yield from (
        "x§̂ + 1",
        "§'x' y",
        "x§! + y",
        "x §% 2",
        "x §&& y",
        "x §|| y",
        "§!x",
        "§~x",
        "x§? y : a",
        "x -§> y",
        "x + §\ud800",
    )


@texts("NumPy, MATLAB and Python", "ParseError|UnknownName|ShapeError|Unsupported|UsageError")
def _foreign() -> Iterator[str]:
    yield from (
        "§np.dot(x, y)",
        "§np.exp(x)",
        "§np.linalg.inv(A)",
        "§x.sum()",
        "§A.dot(x)",
        "x^T §A.inv()",
        "§A.transpose()",
        "§torch.sum(x)",
        "§math.log(a)",
        "§x.shape",
        "§len(x)",
    )
    yield from (
        "x[§1:]",
        "x[:§2]",
        "x[§::2]",
        "§x[-1]",
        "A[:, §None]",
        "x §if a else b",
        "§lambda t: t",
        "x §and y",
        "x §or y",
        "§not x",
        "x §is y",
        "x §** ",
        "x §+= y",
        "x §// y",
        "x §% y",
    )
    yield from (
        "§matmul(A, x)",
        "§multiply(x, y)",
        "§zeros_like(x)",
        "§arange(3)",
        "§size(A)",
        "§numel(x)",
        "§repmat(x, 2, 2)",
        "§bsxfun(x)",
        "A.^§T",
        "§function f",
        "x §~= y",
        "x §% comment",
    )
    yield from (
        "Transpose[§A]",
        "§grad(x)",
        "§diff(x)",
        "§transpose(x, 0, 1)",
        "§reshape(A, 2, 3)",
        "§tf.matmul(A, x)",
        "§jnp.exp(x)",
        "x§++",
        "§return x",
        "§print(x)",
        "[§x for x in y]",
    )


# --- LaTeX -----------------------------------------------------------------------------------------


@texts("LaTeX", "ParseError|UnknownName|Unsupported|ShapeError", syntax="latex")
def _latex() -> Iterator[str]:
    yield from (
        r"§\frac{x}",
        r"§\frac",
        r"\frac{1}{2",
        r"\left( x",
        r"x \right)",
        r"\left( x \right]",
        r"\begin{pmatrix} x",
        r"\end{pmatrix}",
        r"§\foo{x}",
        r"§\undefined",
    )
    yield from (
        r"x^",
        r"x_",
        r"x^{",
        r"\sqrt",
        r"\sqrt{",
        r"\mathbf{x",
        r"\sum_{i=1}^{n}",
        r"\|x",
        r"\left\| x",
        r"x \cdot",
        r"x \times",
        r"\operatorname{foo}(x)",
        r"\operatorname{tr",
        r"\log",
        r"\exp",
    )
    yield from (
        r"x &",
        r"x \\ \\ &",
        r"\int x",
        r"\lim x",
        r"\prod",
        r"\hat",
        r"\bar{",
        r"x^{2}^{3}",
        r"x_1_2",
        r"\begin{align} x",
        r"\begin{foo} x \end{foo}",
        r"\begin{pmatrix} x \end{bmatrix}",
        r"}x{",
        r"{x",
        r"x}",
        r"$x$$",
        r"\[ x",
        r"\( x",
        r"\input{file}",
        r"\write18{ls}",
        r"\usepackage{x}",
        r"\cases x",
        r"\underbrace{x",
        r"x \in",
        r"\mathbb{R",
        r"\infty x \infty +",
        r"x = = y",
        r"\left| x",
        r"+ * x",
        r"\partial",
        r"\nabla",
        r"\frac{\partial}{\partial x}",
        r"\frac{d}{dx}",
        r"\int_0^1 x dx",
        r"\max_x",
        r"\binom{n}{k}",
        r"\dot{x} +",
    )


@texts("LaTeX in plain text", "ParseError", syntax="text")
def _latex_in_text() -> Iterator[str]:
    for command in (
        "lambda",
        "alpha",
        "mathbf{x}",
        "frac{1}{2}",
        "sum",
        "log",
        "top",
        "cdot",
        "left(x",
        "sqrt{x}",
        "text{x}",
        "hat{x}",
        "operatorname{tr}",
        "begin{pmatrix}",
        "|x",
        "{x",
        ",x",
        "in",
    ):
        yield f"§\\{command}"
        yield f"x + §\\{command}"
        yield f"A x §\\{command}"


# --- limits ----------------------------------------------------------------------------------------


@mixed("size and depth")
def _limits() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for opener, closer in ("()", "[]", "{}"):
        yield opener * 5000 + "x" + closer * 5000, "LimitError|ParseError", {}
        yield opener * 100_000, "LimitError|ParseError", {}
        yield "x" + closer * 100_000, "LimitError|ParseError", {}
    yield "x + " * 100_000 + "x", "LimitError", {}
    yield "x" * 300_000, "LimitError", {}
    yield "x\n" * 200_000, "LimitError", {}
    yield "exp(" * 3000 + "x" + ")" * 3000, "LimitError", {}
    yield "|" * 100_000, "LimitError|ParseError", {}
    yield "-" * 100_000, "LimitError|ParseError", {}
    yield "x^" * 60_000, "LimitError|ParseError", {}
    yield "sum(" * 60_000, "LimitError|ParseError", {}
    yield "A[" * 60_000, "LimitError|ParseError", {}
    yield "1" * 100_000, "LimitError|ParseError", {}
    yield "a + §1e99999", "LimitError", {}
    yield "a + §1e999999999999999999", "LimitError", {}
    yield "a^(§1e9999)", "LimitError", {}
    yield "# " + "x" * 300_000, "LimitError|ParseError", {}
    yield "a;" * 60_000 + "a", "LimitError", {}
    yield "x[" + "1," * 60_000, "LimitError|ParseError|ShapeError", {}
    yield "[" + "x;" * 130_000, "LimitError|ParseError", {}
    yield '"' + "x" * 240_000, "ParseError|LimitError", {}
    yield "sum_{i}" * 30_000, "LimitError|ParseError", {}
    yield "x'" * 40_000 + "+", "LimitError|ParseError|ShapeError", {}
    yield "e(1, " * 40_000, "LimitError|ParseError", {}
    yield "\\frac{" * 30_000, "LimitError|ParseError", {"syntax": "latex"}
    yield "\\left(" * 30_000, "LimitError|ParseError", {"syntax": "latex"}
    yield "{" * 100_000, "LimitError|ParseError", {"syntax": "latex"}
    yield "x^{" * 50_000, "LimitError|ParseError", {"syntax": "latex"}


# --- what cannot be differentiated -----------------------------------------------------------------


@mixed("no derivative")
def _no_derivative() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for text in ("argmax(x)", "argmax(A x)", "argmax(B x) + a", "a argmax(x)", "argmax(x) x", "argmax(A x, axis=0)"):
        yield text, "NotDifferentiable", {}
        yield text, "NotDifferentiable", {"order": 2}
    yield "polygamma(x, 2)", "NotDifferentiable|ShapeError", {}
    yield "A^0.3", "Unsupported", {"wrt": "A"}
    yield "tr(A^0.7)", "Unsupported", {"wrt": "A"}
    yield "Q x", "Unsupported", {"wrt": ("Q", "Q"), "vars": {"Q": "matrix(n, n) orthogonal"}, "structure": "respect"}


# --- arguments -------------------------------------------------------------------------------------


@mixed("variables to differentiate by")
def _wrt() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for wrt in (
        "",
        " ",
        "2",
        "x y",
        "x+y",
        "x^T",
        "exp",
        "I",
        "pi",
        "sum(x)",
        "__class__",
        "x,",
        "а",
        "x[1]",
        "'x'",
        "x;y",
        "\n",
        "\u200b",
        "x\u200b",
        "n",
        "T",
        "1.5",
        "[x]",
        "(x)",
        "-x",
    ):
        yield "x^T A x", "UsageError|ParseError|UnknownName|ShapeError", {"wrt": wrt}
    for several in ((), ("x", "y", "z"), ("x", ""), ("x", "2"), ("x", "exp"), ("", "")):
        yield "x^T A y", "UsageError|ParseError|UnknownName", {"wrt": several}
    yield "r = A x; r^T r", "UsageError", {"wrt": "r"}
    yield "a + b", "UsageError", {"wrt": None}
    yield "3 + 4", "UsageError", {"wrt": None}
    yield "p + q + r", "UsageError", {"wrt": None, "vars": {}}


@mixed("orders, layouts, spaces and notations")
def _arguments() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for order in (0, 3, -1, 1.5, "2", True, 10**9, float("nan"), 2.0):
        yield "x^T A x", "UsageError|Unsupported", {"order": order}
    for layout in ("sideways", "", "Gradient", "jacobian", "numerator ", "vec-col", "row", "None", "hessian"):
        yield "x^T A x", "UsageError", {"layout": layout}
    for structure in ("", "symmetric", "vec", "Respect", "free ", "none", "vech"):
        yield "x^T A x", "UsageError", {"structure": structure}
    for syntax in ("", "tex", "markdown", "Text", "LaTeX", "python"):
        yield "x^T A x", "UsageError", {"syntax": syntax}
    for layout in ("numerator", "denominator"):
        yield "A", "UsageError", {"layout": layout, "wrt": "A"}
        yield "A x", "UsageError", {"layout": layout, "wrt": "A"}
        yield "x^T A x", "UsageError", {"layout": layout, "order": 2}
    yield "x^T A y", "UsageError", {"wrt": ("x",), "order": 2}
    yield "x^T A y", "UsageError", {"wrt": ("x", "y", "x"), "order": 2}
    yield "x^T A x", "UsageError", {"structure": "vech"}


def call(category: str, expected: str, *codes: str) -> None:
    """A category of calls of the interface, as code."""

    def cases() -> Iterator[Case]:
        for code in codes:
            yield Case(category, "python", code, None, tuple(expected.split("|")), {})

    CATEGORIES[category] = cases


WRONG = (
    "None",
    "3",
    "3.5",
    "b'x'",
    "[]",
    "{}",
    "object()",
    "('x', 1)",
    "True",
    "np.ones(2)",
    "{'x'}",
    "lambda: 1",
    "float('nan')",
    "1j",
    "type",
)

call(
    "wrong Python types",
    "UsageError|ParseError|ShapeError|UnknownName|LimitError",
    *(f"mc.derive({wrong}, 'x')" for wrong in WRONG),
    *(f"mc.parse({wrong})" for wrong in WRONG),
    *(f"mc.derive('x^T x', {wrong})" for wrong in WRONG if wrong != "None"),
    *(f"mc.derive('x^T x', 'x', {wrong})" for wrong in WRONG if wrong not in ("None", "{}")),
    *(f"mc.derive('x^T x', 'x', {{'x': {wrong}}})" for wrong in WRONG),
    *(
        f"mc.derive('x^T x', 'x', {{{wrong}: 'vector(n)'}})"
        for wrong in ("None", "3", "b'x'", "('x', 1)", "True", "type")
    ),
    *(f"mc.derive('x^T x', 'x', layout={wrong})" for wrong in WRONG),
    *(f"mc.derive('x^T x', 'x', syntax={wrong})" for wrong in WRONG),
    *(f"mc.derive('x^T x', 'x', structure={wrong})" for wrong in WRONG if wrong != "None"),
    *(f"mc.derive('x^T x', 'x', order={wrong})" for wrong in WRONG if wrong not in ("None", "3")),
    *(f"mc.grad({wrong}, 'x')" for wrong in WRONG),
    *(f"mc.grad('x^T x', {wrong})" for wrong in WRONG if wrong != "None"),
    *(f"mc.symbols({wrong})" for wrong in WRONG),
    *(f"mc.check('x^T x', 'x', {wrong})" for wrong in WRONG),
    *(f"mc.explain('x^T x', 'x', style={wrong})" for wrong in WRONG),
    *(f"mc.derive('x^T x', 'x').in_layout({wrong})" for wrong in WRONG),
    *(f"mc.derive('x^T x', 'x').form({wrong})" for wrong in WRONG),
    *(f"mc.symbols('x: vector(n)').apply({wrong})" for wrong in WRONG),
    *(f"mc.symbols('x: vector(n)').apply('max', {wrong})" for wrong in WRONG if wrong not in ("3", "3.5")),
    *(f"mc.rules({wrong})" for wrong in WRONG),
)

call(
    "calls of the interface",
    "UsageError|ParseError|ShapeError|UnknownName|NotDifferentiable|Unsupported",
    "mc.grad('A x', 'x')",
    "mc.grad('x^T x', 'q')",
    "mc.grad('x^T x', ('x', 'x'))",
    "mc.grad('x^T x', ())",
    "mc.hessian('A x', 'x')",
    "mc.hvp('A x', 'x')",
    "mc.value_and_grad('A x', 'x')",
    "mc.jacobian('A x', 'q')",
    "mc.jacobian('A x', '')",
    "mc.vjp('A x', 'q')",
    "mc.jvp('A x', 'q')",
    "mc.symbols('')",
    "mc.symbols('x')",
    "mc.symbols('x + y')",
    "mc.symbols('x: vectr(n)')",
    "mc.symbols('x: vector(0)')",
    "mc.symbols('exp: vector(n)')",
    "mc.symbols('x: vector(n)').apply('nope')",
    "mc.symbols('x: vector(n)').apply('inv')",
    "mc.symbols('x: vector(n)').sum(axis=3)",
    "mc.symbols('x: vector(n)').inv()",
    "mc.symbols('x: vector(n)').trace()",
    "mc.symbols('A: matrix(n, n)') ** -1",
    "mc.symbols('A: matrix(n, n)') ** -2",
    "mc.symbols('A: matrix(m, n)') @ mc.symbols('B: matrix(m, n)')",
    "mc.symbols('A: matrix(m, n)') + mc.symbols('B: matrix(n, m)')",
    "mc.symbols('x: vector(n)') @ mc.symbols('y: vector(n)')",
    "mc.symbols('x: vector(n)') + mc.symbols('x: vector(m)')",
    "mc.symbols('x: vector(n)') + float('inf')",
    "mc.symbols('x: vector(n)') * float('nan')",
    "mc.explain('x^T x', 'x', style='poem')",
    "mc.explain('x^T x', 'q')",
    "mc.explain('', 'x')",
    "mc.check('x^T x', 'x', '')",
    "mc.check('x^T x', 'x', '2 x +')",
    "mc.check('x^T x', 'x', 'sofmax(x)')",
    "mc.check('x^T x', 'q', '2 x', layout='sideways')",
    "mc.check('', 'x', '2 x')",
    "mc.check('x^T x', 'x', '2 x', order=5)",
    "mc.derive('x^T x', 'x').form('poem')",
    "mc.derive('x^T x', 'x').in_layout('poem')",
    "mc.derive('argmax(x)', 'x')",
    "mc.grad('argmax(x)', 'x')",
    "mc.hessian('argmax(x)', 'x')",
    "mc.parse('')",
    "mc.parse('   ')",
    "mc.parse('# only a comment')",
    "mc.parse('x: vector(n)')",
    "mc.parse('x^T x', 'x')",
    "mc.parse('x^T x', 'x = 3')",
    "mc.parse('x^T x', syntax='tex')",
)

SCALE = "mc.parse('x^T A x', {'A': 'matrix(n, n)', 'x': 'vector(n)'}).compile()"
SPD = "mc.parse('logdet(S)', {'S': 'matrix(n, n) spd'}).compile()"

call(
    "arrays",
    "UsageError|ShapeError|UnknownName|DomainError",
    f"{SCALE}()",
    f"{SCALE}(A=np.eye(2))",
    f"{SCALE}(x=np.ones(2))",
    f"{SCALE}(A=np.eye(2), x=np.ones(3))",
    f"{SCALE}(A=np.ones((2, 3)), x=np.ones(3))",
    f"{SCALE}(A=np.eye(2), x=np.ones((2, 1)))",
    f"{SCALE}(A=np.eye(2), x=np.ones((2, 2)))",
    f"{SCALE}(A=np.eye(2), x=3.0)",
    f"{SCALE}(A=3.0, x=np.ones(2))",
    f"{SCALE}(A=np.eye(2), x=np.ones(2), q=1)",
    f"{SCALE}(np.eye(2), np.ones(2))",
    f"{SCALE}(A=np.eye(2), x=None)",
    f"{SCALE}(A=np.eye(2), x='x')",
    f"{SCALE}(A=np.eye(2), x=['a', 'b'])",
    f"{SCALE}(A=np.eye(2), x=np.array([1j, 2]))",
    f"{SCALE}(A=np.eye(2), x=object())",
    f"{SCALE}(A=np.eye(2), x=[[1], [2, 3]])",
    f"{SCALE}(A=np.eye(2), x={{'a': 1}})",
    f"{SCALE}(A=np.eye(2), x=np.array(['a', 'b']))",
    f"{SCALE}(A=np.eye(2), x=np.array([None, 1.0]))",
    f"{SCALE}(A=[[1, 2], [3]], x=np.ones(2))",
    f"{SCALE}(A=np.eye(2), X=np.ones(2))",
    f"{SCALE}(A=np.eye(2), x=np.array(['2020-01-01', '2020-01-02'], dtype='datetime64[D]'))",
    f"{SPD}(S=np.array([[1.0, 2.0], [3.0, 4.0]]))",
    f"{SPD}(S=np.ones((2, 3)))",
    f"{SPD}(S=np.ones(3))",
    "mc.parse('inv(A)', {'A': 'matrix(n, n)'}).compile()(A=np.zeros((2, 2)))",
    "mc.parse('A \\\\ x', {'A': 'matrix(n, n)', 'x': 'vector(n)'}).compile()(A=np.zeros((2, 2)), x=np.ones(2))",
    "mc.parse('chol(S)', {'S': 'matrix(n, n) spd'}).compile()(S=-np.eye(2))",
    "mc.parse('sum(log(x))', {'x': 'vector(n) positive'}).compile()(x=np.array([-1.0, 1.0]))",
    "mc.parse('x^T x', {'x': 'vector(n) nonnegative'}).compile()(x=np.array([-1.0, 1.0]))",
    "mc.parse('sum(L)', {'L': 'matrix(n, n) lower'}).compile()(L=np.ones((2, 2)))",
    "mc.parse('sum(D)', {'D': 'matrix(n, n) diagonal'}).compile()(D=np.ones((2, 2)))",
    "mc.parse('sum(W)', {'W': 'matrix(n, n) skew'}).compile()(W=np.ones((2, 2)))",
    "mc.parse('x^T x', {'x': 'vector(3)'}).compile()(x=np.ones(2))",
    "mc.parse('x^T y', {'x': 'vector(n)', 'y': 'vector(n + 1)'}).compile()",
    "mc.grad('x^T x', 'x')(y=np.ones(2))",
    "mc.hvp('sum(x.^3)', 'x')(x=np.ones(2))",
    "mc.hvp('sum(x.^3)', 'x')(np.ones(3), x=np.ones(2))",
    "mc.hvp('sum(x.^3)', 'x')(np.ones(2), np.ones(2), x=np.ones(2))",
    "mc.vjp('A x', 'x')(A=np.eye(2), x=np.ones(2))",
    "mc.derive('x^T x', 'x')(x='a')",
    "mc.derive('x^T x', 'x')()",
)


# --- the command line ------------------------------------------------------------------------------


def _cli() -> Iterator[Case]:
    usage, names = "UsageError|ParseError", "UnknownName|ShapeError|UsageError"
    lines: tuple[tuple[str, str], ...] = (
        (usage, "dif|x^T x"), (usage, "frobnicate"), (usage, "--nope"), (usage, "x^T x"), (usage, "diff"), (usage, "diff|x^T x|y"), (usage, "diff|x^T x|--wrt"),
        (usage, "diff|x^T x|--wtr|x"), (usage, "diff|x^T x|--wrt|"), (usage, "diff|x^T x|--wrt|x|--layout|sideways"), (usage, "diff|x^T x|--wrt|x|--order|3"),
        (usage, "diff|x^T x|--wrt|x|--order|two"), (usage, "diff|x^T x|--wrt|x|--order"), (usage, "diff|x^T x|--wrt|x|--var|x"), (usage, "diff|x^T x|--wrt|x|--var|x: vectr(n)"),
        (usage, "diff|x^T x|--wrt|x|--var"), (usage, "diff|x^T x|--wrt|x|--var|x = 3"), (usage, "diff|x^T x|--wrt|x|--var|"), (usage, "diff|x^T x|--wrt|x|--form|poem"),
        (usage, "diff|x^T x|--wrt|x|--structure|poem"), (usage, "diff|x^T x|--wrt|x|--latex|--unicode"), (usage, "diff|x^T x|--wrt|x|--syntax|tex"), (usage, "diff|--file|/nowhere"),
        (usage, "diff|x^T x|--file|/nowhere"), (usage, "diff|--file|/"), (usage, "diff||--wrt|x"), (usage, "diff|x^T A x +|--wrt|x"), (usage, "diff|a + b"), (usage, "hessian|A x|--wrt|x"),
        (usage, "check|x^T x|--wrt|x|--claim|2 x +"), (usage, "check|x^T x|--wrt|x"), (usage, "check|x^T x|--wrt|x|--claim|"), (usage, "explain|x^T x|--wrt|x|--style|poem"), (usage, "explain"),
        (usage, "eval|x^T x|--set|x"), (usage, "eval|x^T x|--set|x=a,b"), (usage, "eval|x^T x|--set|x=1,2;3"), (usage, "eval|x^T x|--set|x="), (usage, "eval|x^T x"), (usage, "eval|x^T x|--data|/nowhere.npz"),
        (usage, "eval|x^T x|--data|/nowhere.json"), (usage, "eval|x^T x|--data|/etc/hostname"), (usage, "eval|x^T x|--set|=1"), (usage, "code"), (usage, "code|x +"), (usage, "ops|--nope"), (usage, "rules|--nope"),
        (usage, "ops|exp|log"), (usage, "doctor|x"), (usage, "diff|x^T x|--wrt|x|--json=1"), (usage, "diff|x^T x|--wrt|x,y,z"), (usage, "diff|x^T x|--order|"), (usage, "check|x^T x|--claim|2 x|--seed|a"),
        (usage, "check|x^T x|--wrt|x|--claim|2 x|--seed|-1"), (usage, "diff|x^T x|--wrt|2"), (usage, "diff|x^T x|--wrt|x^T"), (usage, "explain|x^T x|--wrt|x|--latex|--unicode"),
        (usage, "explain|x^T x|--wrt|x|--order|7"), (usage, "jacobian|x^T x|--wrt|x|--order|2"), (usage, "hessian|x^T x|--wrt|x|--order|1"), (usage, "eval|x^T x|--set|x=1,,2|--set|x"),
        (names, "diff|x^T y|--wrt|x|--var|x: vector(n)|--var|y: vector(m)"), (names, "diff|sofmax(x)|--wrt|x"), (names, "diff|log x|--wrt|x"), (names, "diff|x y|--wrt|x|--var|x, y: vector(n)"),
        (names, "diff|x^T A x / x^T x|--wrt|x"), (names, "ops|sofmax"), (names, "code|x^T x|--wrt|q"), (names, "eval|x^T x|--set|x=1,2;3,4"), (names, "eval|x^T y|--set|x=1,2|--set|y=1,2,3"),
        (names, "explain|xTAx|--wrt|x"), (names, "check|x^T x|--wrt|x|--claim|sofmax(x)"), (names, "diff|x^T x|--wrt|x|--var|x: vector(n) symmetric"), (names, "jacobian|inv(x)|--wrt|x|--var|x: vector(n)"),
        ("DomainError", "eval|inv(A)|--set|A=1,1;1,1"), ("DomainError", "eval|x^T S x|--var|S: matrix(n, n) symmetric|--set|S=1,2;3,4|--set|x=1,1"), ("DomainError", "diff|x / 0|--wrt|x"),
        ("NotDifferentiable", "diff|argmax(x)|--wrt|x"), ("NotDifferentiable", "explain|argmax(x)|--wrt|x"), ("NotDifferentiable", "code|argmax(x)|--wrt|x"), ("Unsupported", "diff|X^0.3|--wrt|X|--var|X: matrix(n, n)"),
        ("LimitError", "diff|x + 1e9999|--wrt|x"),
    )  # fmt: skip
    for expected, line in lines:
        yield Case("the command line", "cli", line, None, tuple(expected.split("|")), {"words": line.split("|")})


CATEGORIES["the command line"] = _cli


def _exact(case: Case) -> Case:
    """The case with the one class that is right for it, where the category has several."""
    usual, others = CLASSES.get(case.category, ("", {}))
    if not usual or len(case.expected) == 1:
        return case
    kind = next((kind for kind, members in others.items() if case.text in members), usual)
    assert kind in case.expected, case
    return case._replace(expected=(kind,))


def cases() -> list[Case]:
    """Every wrong input, once."""
    found: dict[tuple[object, ...], Case] = {}
    for make in CATEGORIES.values():
        for case in make():
            found.setdefault((case.how, case.text, repr(sorted(case.arguments.items()))), _exact(case))
    return list(found.values())
