"""Texts that are made to cost much: one row each, by name; `test_limits.py` says what must become of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from string import ascii_letters

DECLARED: Mapping[str, str] = {"x": "vector(n)", "A": "matrix(n, n)", "B": "matrix(n, n)", "t": "scalar"}


def tower(first: str, step: str, last: str, height: int = 60) -> str:
    """Statements each of which uses the one before several times."""
    lines = [f"S_0 = {first}", *(f"S_{k} = {step.format(f'S_{k - 1}')}" for k in range(1, height))]
    return "; ".join([*lines, last.format(f"S_{height - 1}")])


def nest(opening: str, inside: str, closing: str, depth: int) -> str:
    return opening * depth + inside + closing * depth


CHAIN = ",".join(a + b for a, b in itertools.pairwise(ascii_letters))
CLIQUE = ",".join(a + b for a in "abcdefghijkl" for b in "abcdefghijkl" if a < b)
EDGES = CLIQUE.count(",") + 1

TEXTS: Mapping[str, tuple[str, str]] = {
    # towers: what is written is short, what is meant is exponential
    "squares": (tower("x^T x", "{0} {0}", "{0}"), "x"),
    "matrix squares": (tower("A", "{0} {0}", "tr({0})"), "A"),
    "doubles": (tower("x^T x", "{0} + {0}", "{0}"), "x"),
    "entrywise squares": (tower("x", "{0} .* {0}", "sum({0})"), "x"),
    "products with sines": (tower("x^T x", "sin({0}) {0}", "{0}"), "x"),
    "sums with exponentials": (tower("x^T x", "exp({0}) + {0}", "{0}"), "x"),
    "kronecker squares": (tower("A", "kron({0}, {0})", "sum({0})", 30), "A"),
    "shifted squares": (tower("1 + t", "({0} + 1)^2", "{0}"), "t"),
    "fractions": (tower("t", "({0} + 1)/({0} - 1)", "{0}", 50), "t"),
    "softmaxes": (tower("x", "softmax({0} .* {0})", "sum({0} .* x)", 40), "x"),
    "inverses": (tower("A", "inv({0} + {0}^T {0})", "tr({0})", 40), "A"),
    "residual network": (tower("x", "tanh(A {0}) + {0}", "{0}^T {0}", 40), "A"),
    "attention": (tower("A", "attention({0}, {0}, {0})", "sum({0})", 12), "A"),
    "fibonacci": (
        "v_0 = t; v_1 = sin(t); " + "; ".join(f"v_{k} = v_{k - 1} v_{k - 2}" for k in range(2, 300)) + "; v_299",
        "t",
    ),
    "functions twice": (
        "f0(a) = a + sin(a); " + "; ".join(f"f{k}(a) = f{k - 1}(a) + f{k - 1}(2 a)" for k in range(1, 40)) + "; f39(t)",
        "t",
    ),
    "functions of functions": (
        "f0(a) = a sin(a); " + "; ".join(f"f{k}(a) = f{k - 1}(f{k - 1}(a))" for k in range(1, 30)) + "; f29(t)",
        "t",
    ),
    # numbers
    "power of a vector": ("sum(x.^100000000)", "x"),
    "power of a number": ("2^100000000 t", "t"),
    "powers of powers": ("9^9^9^9^9 t", "t"),
    "power by power": ("((((9^4000)^4000)^4000)^4000) t", "t"),
    "squared number": (tower("9^4000", "{0} {0}", "{0} t"), "t"),
    "squared fraction": (tower("1.5 t", "{0} {0}", "{0}"), "t"),
    "power of a matrix": ("tr(A^1000000)", "A"),
    "negative power of a matrix": ("tr(A^-1000000)", "A"),
    "literals": ("+".join(["1"] * 124_000) + "+t", "t"),
    "large literals": ("1e4000*" * 30_000 + "t", "t"),
    # sizes
    "sum to a thousand million": ("sum_{i=1}^{1000000000} x_i^2", "x"),
    "product to a thousand million": ("prod_{i=1}^{1000000000} (t + i)", "t"),
    "ones": ("ones(1000000000)^T ones(1000000000) t", "t"),
    "long size": ("y: vector(" + "+".join(f"n{k}" for k in range(2000)) + "); y^T y", "y"),
    "expanded size": ("y: vector(" + " ".join(f"(n{k}+1)" for k in range(60)) + "); y^T y", "y"),
    "stride": ("conv2d(X, K, stride=1000000000, padding=100000000000)", "K"),
    "axes": ("K: tensor(" + ", ".join(f"n{k}" for k in range(100)) + "); sum(K .* K)", "K"),
    # wide
    "factors": (" ".join(f"a{k}" for k in range(30_000)) + " t", "t"),
    "equal matrices": (" ".join(["A"] * 300), "A"),
    "trace of matrices": ("tr(" + " ".join(f"A{k}" for k in range(3000)) + ")", "A1"),
    "entrywise factors": ("sum(" + " .* ".join(["x"] * 20_000) + ")", "x"),
    "kronecker products": ("sum(" + " ⊗ ".join(["A"] * 60) + ")", "A"),
    "quotients": ("+".join(f"1/(t + {k})" for k in range(3000)), "t"),
    "product of sums": (" ".join(f"(t + a{k})" for k in range(200)), "t"),
    "power of a sum": ("(t + a + b + c)^4000", "t"),
    "determinants": (" + ".join(f"det(A + {k} I)" for k in range(1000)), "A"),
    "determinant of blocks": ("det([" + "; ".join(", ".join(["A"] * 20) for _ in range(20)) + "])", "A"),
    "maximum": ("max(" + ", ".join(f"t + {k}" for k in range(5000)) + ")", "t"),
    "einsum of 52 labels": (f'K: tensor({", ".join("n" * 52)}); einsum("{ascii_letters}->", K)', "K"),
    "einsum chain": (f'einsum("{CHAIN}->aZ", ' + ", ".join(["A"] * 51) + ")", "A"),
    "einsum clique": (f'einsum("{CLIQUE}->", ' + ", ".join(["A"] * EDGES) + ")", "A"),
    "statements": ("; ".join(f"v{k} = t + {k}" for k in range(12_000)) + "; v1", "t"),
    "chain of statements": ("v0 = t; " + "; ".join(f"v{k} = sin(v{k - 1})" for k in range(1, 10_000)) + "; v9999", "t"),
    # deep
    "brackets": (nest("(", "t", ")", 100_000), "t"),
    "minus signs": ("-" * 200_000 + "t", "t"),
    "powers": ("t" + "^t" * 100_000, "t"),
    "primes": ("tr(A" + "'" * 200_000 + ")", "A"),
    "bars": ("|" * 1000 + "t" + "|" * 1000, "t"),
    "indices": (nest("x[", "1", "]", 5000), "x"),
    "logarithms": (nest("log(", "t", ")", 900), "t"),
    "roots": (nest("sqrt(1+", "t", ")", 900), "t"),
    "quotients of quotients": ("1/(1+" * 900 + "t" + ")" * 900, "t"),
    "norms": (nest("norm(", "x", ")", 500), "x"),
    "cases": ("where(t > 0, " * 900 + "t" + ", 1)" * 900, "t"),
    "sums over indices": (
        " ".join(f"sum_{{{c}=1}}^n" for c in "abcdefghijkl")
        + " "
        + " ".join(f"A_{{{a}{b}}}" for a in "abcdefghijkl" for b in "abcdefghijkl" if a < b),
        "A",
    ),
    # long
    "long name": ("x_" + "a" * 200_000 + " + t", "t"),
    "letters": ("α" * 100_000 + " + t", "t"),
    "semicolons": (";" * 200_000 + "t", "t"),
    # LaTeX
    "macros": (
        "\\def\\a{t t}" + "".join(f"\\def\\{b}{{\\{a}\\{a}}}" for a, b in itertools.pairwise(ascii_letters)) + " \\z",
        "t",
    ),
    "macros in a circle": ("\\def\\a{\\b}\\def\\b{\\a} \\a", "t"),
    "macro of macros": ("\\newcommand{\\a}[1]{" + "#1" * 10 + "} " + nest("\\a{", "t", "}", 30), "t"),
    "wide macro": ("\\newcommand{\\a}[1]{" + "#1" * 50_000 + "} \\a{" + "t" * 100_000 + "}", "t"),
    "fractions in LaTeX": (nest("\\frac{1}{", "t", "}", 20_000), "t"),
    "letters in LaTeX": ("a" * 100_000 + "\\cdot t", "t"),
    "hats": (nest("\\hat{", "t", "}", 5000), "t"),
    "columns": ("\\begin{align}" + "&" * 100_000 + "\\end{align}", "t"),
}
