"""The printers: what each construct looks like, that text and Unicode read back, and that LaTeX is safe to typeset."""

from __future__ import annotations

import re
import time
import tomllib
from fractions import Fraction
from pathlib import Path

import pytest
from random_ast import canonical, random_ast

from matcalc.errors import UsageError
from matcalc.notation.cost import operator_count
from matcalc.notation.latex import DEFAULT_HEADS, latex_name, to_latex
from matcalc.notation.precedence import decimal_digits, spell_number
from matcalc.notation.text import to_text
from matcalc.notation.unicode import to_unicode, unicode_name
from matcalc.syntax.ast import (
    Add,
    Assign,
    Ast,
    Bars,
    Binary,
    Block,
    Call,
    Declare,
    Define,
    Index,
    IndexSum,
    Name,
    Norm,
    Num,
    Output,
    Program,
    Range,
    Str,
    Transpose,
    TypeExpr,
)
from matcalc.syntax.parse import parse, parse_expression


def num(value: int | str | Fraction, text: str = "") -> Num:
    return Num(Fraction(value), text)


def lift(value: Ast | int | str) -> Ast:
    """``"x"`` is a name, ``2`` and ``"1/2"`` are numbers."""
    if isinstance(value, Ast):
        return value
    if isinstance(value, str) and not re.match(r"-?\d", value):
        return Name(value)
    return num(value)


def chain(op: str, *factors: Ast | int | str) -> Ast:
    result = lift(factors[0])
    for factor in factors[1:]:
        result = Binary(op, result, lift(factor))
    return result


def mul(*factors: Ast | int | str) -> Ast:
    return chain("*", *factors)


def had(*factors: Ast | int | str) -> Ast:
    return chain(".*", *factors)


def div(left: Ast | int | str, right: Ast | int | str) -> Ast:
    return chain("/", left, right)


def power(base: Ast | int | str, exponent: Ast | int | str) -> Binary:
    return Binary("^", lift(base), lift(exponent))


def tr(arg: Ast | int | str) -> Ast:
    return Transpose(lift(arg))


def add(*terms: Ast | int | str) -> Ast:
    return Add(tuple((1, lift(term)) for term in terms))


def sub(first: Ast | int | str, *terms: Ast | int | str) -> Ast:
    return Add(((1, lift(first)), *((-1, lift(term)) for term in terms)))


def neg(term: Ast | int | str) -> Ast:
    return Add(((-1, lift(term)),))


def call(func: str, *args: Ast | int | str, **kwargs: Ast | int | str) -> Ast:
    return Call(func, tuple(map(lift, args)), tuple((key, lift(value)) for key, value in kwargs.items()))


def norm(arg: Ast | str, kind: str = "") -> Ast:
    return Norm(kind, lift(arg))


def bars(arg: Ast | str) -> Ast:
    return Bars(lift(arg))


def at(base: Ast | str, *items: Ast | int | str) -> Ast:
    return Index(lift(base), tuple(map(lift, items)))


def below(base: Ast | str, *items: Ast | int | str) -> Ast:
    return Index(lift(base), tuple(map(lift, items)), subscript=True)


def over(body: Ast | str, upper: Ast | int | str | None = "n", *, kind: str = "sum", lower: int = 1) -> Ast:
    if upper is None:
        return IndexSum(kind, ("i",), None, None, lift(body))
    return IndexSum(kind, ("i",), num(lower), lift(upper), lift(body))


def block(*rows: tuple[Ast | int | str, ...]) -> Ast:
    return Block(tuple(tuple(map(lift, row)) for row in rows))


def compare(op: str, left: Ast | int | str, right: Ast | int | str) -> Ast:
    return Binary(op, lift(left), lift(right))


ALL = Range(None, None)

ROWS: list[tuple[Ast | int | str, str, str, str]] = [
    # products
    ("x", "x", "x", "x"),
    (mul("A", "x"), "A x", "A x", "A x"),
    (mul(tr("x"), "A", "x"), "x^T A x", "xᵀ A x", r"x^{\top} A x"),
    (mul(2, "A", "x"), "2 A x", "2 A x", "2 A x"),
    (mul("1/2", tr("x"), "A", "x"), "1/2 x^T A x", "1/2 xᵀ A x", r"\frac{1}{2} x^{\top} A x"),
    (mul(div(1, 2), tr("x"), "x"), "1/2 x^T x", "1/2 xᵀ x", r"\frac{1}{2} x^{\top} x"),
    (mul("x", 2), "x * 2", "x * 2", r"x \cdot 2"),
    (mul(2, 3), "2 * 3", "2 * 3", r"2 \cdot 3"),
    (mul(2, "1/2"), "2 (1/2)", "2 (1/2)", r"2 \cdot \frac{1}{2}"),
    (mul("x", "1/2"), "x (1/2)", "x (1/2)", r"x \frac{1}{2}"),
    (mul("x", -2), "x (-2)", "x (-2)", r"x \left(-2\right)"),
    (mul(-2, "x"), "-2 x", "-2 x", "-2 x"),
    (mul("-1/2", "x", "y"), "-1/2 x y", "-1/2 x y", r"-\frac{1}{2} x y"),
    (mul(neg("x"), "y"), "(-x) y", "(-x) y", r"\left(-x\right) y"),
    (mul("A", add("B", "C")), "A (B + C)", "A (B + C)", r"A \left(B + C\right)"),
    (mul(add("A", tr("A")), "x"), "(A + A^T) x", "(A + Aᵀ) x", r"\left(A + A^{\top}\right) x"),
    (mul("A", mul("B", "x")), "A (B x)", "A (B x)", r"A \left(B x\right)"),
    (mul("A", had("x", "y")), "A (x .* y)", "A (x ⊙ y)", r"A \left(x \odot y\right)"),
    (had("x", "y"), "x .* y", "x ⊙ y", r"x \odot y"),
    (had(mul("A", "x"), "y"), "A x .* y", "A x ⊙ y", r"A x \odot y"),
    (mul(had("x", "A"), "y"), "(x .* A) y", "(x ⊙ A) y", r"\left(x \odot A\right) y"),
    (had("x", mul("A", "y")), "x .* (A y)", "x ⊙ (A y)", r"x \odot \left(A y\right)"),
    (had(2, "x"), "2 .* x", "2 ⊙ x", r"2 \odot x"),
    (had("a", "b", "c"), "a .* b .* c", "a ⊙ b ⊙ c", r"a \odot b \odot c"),
    (chain("./", "x", "y"), "x ./ y", "x ⊘ y", r"x \oslash y"),
    (had(chain("./", "x", "y"), "z"), "(x ./ y) .* z", "(x ⊘ y) ⊙ z", r"\left(x \oslash y\right) \odot z"),
    (chain("./", had("x", "y"), "z"), "x .* y ./ z", "x ⊙ y ⊘ z", r"x \odot y \oslash z"),
    (chain("\\", "A", "b"), r"A \ b", r"A \ b", r"A \backslash b"),
    (mul(chain("\\", "A", "B"), "c"), r"(A \ B) c", r"(A \ B) c", r"\left(A \backslash B\right) c"),
    (chain("\\", mul("A", "B"), "c"), r"A B \ c", r"A B \ c", r"A B \backslash c"),
    (chain("kron", "A", "B"), "kron(A, B)", "A ⊗ B", r"A \otimes B"),
    (
        chain("kron", "A", chain("kron", "B", "C")),
        "kron(A, kron(B, C))",
        "A ⊗ (B ⊗ C)",
        r"A \otimes \left(B \otimes C\right)",
    ),
    (chain("kron", "A", "B", "C"), "kron(kron(A, B), C)", "A ⊗ B ⊗ C", r"A \otimes B \otimes C"),
    (
        mul(chain("kron", "A", "B"), call("vec", "X")),
        "kron(A, B) vec(X)",
        "(A ⊗ B) vec(X)",
        r"\left(A \otimes B\right) \operatorname{vec}\left(X\right)",
    ),
    (mul("A", chain("kron", "B", "C")), "A kron(B, C)", "A (B ⊗ C)", r"A \left(B \otimes C\right)"),
    (chain("kron", mul("A", "B"), "C"), "kron(A B, C)", "A B ⊗ C", r"A B \otimes C"),
    (call("kron", tr("A"), "B"), "kron(A^T, B)", "Aᵀ ⊗ B", r"A^{\top} \otimes B"),
    (tr(call("kron", "A", "B")), "kron(A, B)^T", "(A ⊗ B)ᵀ", r"\left(A \otimes B\right)^{\top}"),
    (call("kron", -2, "x"), "kron(-2, x)", "-2 ⊗ x", r"-2 \otimes x"),
    (mul(call("kron", "A", "B"), "x"), "kron(A, B) x", "(A ⊗ B) x", r"\left(A \otimes B\right) x"),
    (mul("f", add("a", "b")), "f (a + b)", "f (a + b)", r"f \, \left(a + b\right)"),
    (mul("e", "x"), "e x", "e x", "e x"),
    (mul("x", num("1/2", ".5")), "x (1/2)", "x (1/2)", r"x \frac{1}{2}"),
    (mul("x", num("1/2", "0.5")), "x * 0.5", "x * 0.5", r"x \cdot 0.5"),
    (mul(div(1, 2), "e", "x"), "1/2 e x", "1/2 e x", r"\frac{1}{2} e x"),
    (chain("dot", "w", "x"), "dot(w, x)", "w · x", r"w \cdot x"),
    (mul(2, chain("dot", "w", "x")), "2 dot(w, x)", "2 (w · x)", r"2 \left(w \cdot x\right)"),
    # division
    (div(1, 2), "1/2", "1/2", r"\frac{1}{2}"),
    (div(1, "n"), "1/n", "1/n", r"\frac{1}{n}"),
    (div("x", "n"), "x/n", "x/n", r"\frac{x}{n}"),
    (mul(div(1, "n"), "x"), "1/n x", "1/n x", r"\frac{1}{n} x"),
    (
        mul(div(2, "n"), tr("X"), sub(mul("X", "w"), "y")),
        "2/n X^T (X w - y)",
        "2/n Xᵀ (X w - y)",
        r"\frac{2}{n} X^{\top} \left(X w - y\right)",
    ),
    (div("x", norm("x")), "x / ||x||", "x / ‖x‖", r"\frac{x}{\left\|x\right\|}"),
    (mul(div("x", norm("x")), tr("x")), "(x / ||x||) x^T", "(x / ‖x‖) xᵀ", r"\frac{x}{\left\|x\right\|} x^{\top}"),
    (
        div(mul(tr("x"), "A", "x"), mul(tr("x"), "x")),
        "x^T A x / (x^T x)",
        "xᵀ A x / (xᵀ x)",
        r"\frac{x^{\top} A x}{x^{\top} x}",
    ),
    (div(mul("a", "b"), "c"), "a b / c", "a b / c", r"\frac{a b}{c}"),
    (div("a", mul("b", "c")), "a / (b c)", "a / (b c)", r"\frac{a}{b c}"),
    (div(div("a", "b"), "c"), "a/b / c", "a/b / c", r"\frac{\frac{a}{b}}{c}"),
    (div("a", div("b", "c")), "a / (b/c)", "a / (b/c)", r"\frac{a}{\frac{b}{c}}"),
    (div(add("a", "b"), 2), "(a + b) / 2", "(a + b) / 2", r"\frac{a + b}{2}"),
    (div(-2, "n"), "-2/n", "-2/n", r"-\frac{2}{n}"),
    (div(compare(">", "x", 0), 2), "(x > 0) / 2", "(x > 0) / 2", r"\frac{\left[x > 0\right]}{2}"),
    (div("a", -2), "a / (-2)", "a / (-2)", r"\frac{a}{-2}"),
    (div(div(1, 2), "n"), "1/2 / n", "1/2 / n", r"\frac{\frac{1}{2}}{n}"),
    # sums and signs
    (add("x", "y"), "x + y", "x + y", "x + y"),
    (sub("x", "y"), "x - y", "x - y", "x - y"),
    (neg("x"), "-x", "-x", "-x"),
    (neg(mul("A", "x")), "-A x", "-A x", "-A x"),
    (neg(power("x", 2)), "-x^2", "-x²", "-x^{2}"),
    (neg(neg("x")), "-(-x)", "-(-x)", r"-\left(-x\right)"),
    (sub("a", neg("b")), "a - (-b)", "a - (-b)", r"a - \left(-b\right)"),
    (add("a", neg("b")), "a + (-b)", "a + (-b)", r"a + \left(-b\right)"),
    (sub("a", sub("b", "c")), "a - (b - c)", "a - (b - c)", r"a - \left(b - c\right)"),
    (add("a", add("b", "c")), "a + (b + c)", "a + (b + c)", r"a + \left(b + c\right)"),
    (neg(add("a", "b")), "-(a + b)", "-(a + b)", r"-\left(a + b\right)"),
    (add("a", -2), "a - 2", "a - 2", "a - 2"),
    (sub("a", -2), "a + 2", "a + 2", "a + 2"),
    (add("a", mul(-2, "x")), "a - 2 x", "a - 2 x", "a - 2 x"),
    (sub("a", mul(-2, "x")), "a + 2 x", "a + 2 x", "a + 2 x"),
    (sub("a", mul("-1/2", "x")), "a + 1/2 x", "a + 1/2 x", r"a + \frac{1}{2} x"),
    (add(-1, "x"), "-1 + x", "-1 + x", "-1 + x"),
    (add(mul(-1, "x"), "y"), "-1 x + y", "-1 x + y", "-1 x + y"),
    (Add(((-1, num(-3)), (1, Name("x")))), "3 + x", "3 + x", "3 + x"),
    (Add(()), "0", "0", "0"),
    (Add(((1, Name("x")),)), "x", "x", "x"),
    (mul("a", neg("b")), "a (-b)", "a (-b)", r"a \left(-b\right)"),
    (mul(sub("a", "b"), sub("a", "b")), "(a - b) (a - b)", "(a - b) (a - b)", r"\left(a - b\right) \left(a - b\right)"),
    # numbers
    (0, "0", "0", "0"),
    (784, "784", "784", "784"),
    ("-5/3", "-5/3", "-5/3", r"-\frac{5}{3}"),
    ("1/1000", "0.001", "0.001", "0.001"),
    ("3/100000", "0.00003", "0.00003", "0.00003"),
    ("1/128", "1/128", "1/128", r"\frac{1}{128}"),
    (num("0.10", "0.10"), "0.10", "0.10", "0.10"),
    (num("0.5", "0.5"), "0.5", "0.5", "0.5"),
    (num("1/100000", "1e-5"), "1e-5", "1e-5", "10^{-5}"),
    (num(-2, "2"), "-2", "-2", "-2"),
    (num("7/2", "junk"), "7/2", "7/2", r"\frac{7}{2}"),
    (10**24, "1e24", "1e24", "10^{24}"),
    (mul("3/10000000", "x"), "3e-7 x", "3e-7 x", r"3 \cdot 10^{-7} x"),
    (power(num("1/100000", "1e-5"), 2), "(1e-5)^2", "(1e-5)²", r"\left(10^{-5}\right)^{2}"),
    # powers and transposes
    (tr("A"), "A^T", "Aᵀ", r"A^{\top}"),
    (tr(mul("A", "x")), "(A x)^T", "(A x)ᵀ", r"\left(A x\right)^{\top}"),
    (tr(tr("x")), "(x^T)^T", "(xᵀ)ᵀ", r"\left(x^{\top}\right)^{\top}"),
    (tr(add("A", "B")), "(A + B)^T", "(A + B)ᵀ", r"\left(A + B\right)^{\top}"),
    (power("X", -1), "X^-1", "X⁻¹", "X^{-1}"),
    (tr(power("X", -1)), "X^-T", "X⁻ᵀ", r"X^{-\top}"),
    (power(tr("X"), -1), "(X^T)^-1", "(Xᵀ)⁻¹", r"\left(X^{\top}\right)^{-1}"),
    (tr(power("X", -2)), "(X^-2)^T", "(X⁻²)ᵀ", r"\left(X^{-2}\right)^{\top}"),
    (tr(power("X", neg(1))), "X^-T", "X⁻ᵀ", r"X^{-\top}"),
    (power("X", neg(1)), "X^-1", "X⁻¹", "X^{-1}"),
    (mul(power("X", -1), tr(power("X", -1))), "X^-1 X^-T", "X⁻¹ X⁻ᵀ", r"X^{-1} X^{-\top}"),
    (power(mul("A", "B"), -1), "(A B)^-1", "(A B)⁻¹", r"\left(A B\right)^{-1}"),
    (power("x", 2), "x^2", "x²", "x^{2}"),
    (power("x", 3), "x^3", "x³", "x^{3}"),
    (power("x", 12), "x^12", "x¹²", "x^{12}"),
    (power("x", "k"), "x^k", "x^k", "x^{k}"),
    (power("x", "T_1"), "x^(T_1)", "x^(T₁)", "x^{T_{1}}"),
    (power("x", neg("k")), "x^(-k)", "x^(-k)", "x^{-k}"),
    (power("x", sub("k", 1)), "x^(k - 1)", "x^(k - 1)", "x^{k-1}"),
    (power("x", "1/2"), "x^(1/2)", "x^(1/2)", "x^{1/2}"),
    (power("x", "-1/2"), "x^(-1/2)", "x^(-1/2)", "x^{-1/2}"),
    (power("x", num("0.5", "0.5")), "x^0.5", "x^0.5", "x^{0.5}"),
    (power("x", div("a", "b")), "x^(a/b)", "x^(a/b)", "x^{a/b}"),
    (power("x", mul(2, "n")), "x^(2 n)", "x^(2 n)", "x^{2 n}"),
    (power("x", power("y", "z")), "x^(y^z)", "x^(y^z)", "x^{y^{z}}"),
    (power(power("x", 2), 3), "(x^2)^3", "(x²)³", r"\left(x^{2}\right)^{3}"),
    (power(-2, 2), "(-2)^2", "(-2)²", r"\left(-2\right)^{2}"),
    (power("1/2", "n"), "(1/2)^n", "(1/2)^n", r"\left(\frac{1}{2}\right)^{n}"),
    (power(2, "n"), "2^n", "2^n", "2^{n}"),
    (power("e", "x"), "e^x", "e^x", "e^{x}"),
    (power("e", neg(power("x", 2))), "e^(-x^2)", "e^(-x²)", "e^{-x^{2}}"),
    (power(add("x", "y"), 2), "(x + y)^2", "(x + y)²", r"\left(x + y\right)^{2}"),
    (power(div("a", "b"), 2), "(a/b)^2", "(a/b)²", r"\left(\frac{a}{b}\right)^{2}"),
    (Binary(".^", Name("x"), num(2)), "x.^2", "x.^2", r"x^{\odot 2}"),
    (Binary(".^", Name("x"), num(-1)), "x.^-1", "x.^-1", r"x^{\odot -1}"),
    (Binary(".^", Name("x"), num("1/2")), "x.^(1/2)", "x.^(1/2)", r"x^{\odot 1/2}"),
    (Binary(".^", num(2), Name("x")), "(2).^x", "(2).^x", r"2^{\odot x}"),
    (Binary(".^", mul("A", "x"), Name("k")), "(A x).^k", "(A x).^k", r"\left(A x\right)^{\odot k}"),
    (tr(Binary(".^", Name("x"), num(-1))), "(x.^-1)^T", "(x.^-1)ᵀ", r"\left(x^{\odot -1}\right)^{\top}"),
    (power(call("f", "x"), 2), "f(x)^2", "f(x)²", r"f\left(x\right)^{2}"),
    (power("W_1", 2), "W_1^2", "W₁²", "W_{1}^{2}"),
    # norms and bars
    (norm("x"), "||x||", "‖x‖", r"\left\|x\right\|"),
    (norm("x", "2"), "||x||_2", "‖x‖₂", r"\left\|x\right\|_{2}"),
    (norm("x", "1"), "||x||_1", "‖x‖₁", r"\left\|x\right\|_{1}"),
    (norm("x", "inf"), "||x||_inf", "‖x‖_∞", r"\left\|x\right\|_{\infty}"),
    (norm("X", "F"), "||X||_F", "‖X‖_F", r"\left\|X\right\|_{F}"),
    (norm("X", "*"), "||X||_*", "‖X‖_*", r"\left\|X\right\|_{*}"),
    (power(norm("x"), 2), "||x||^2", "‖x‖²", r"\left\|x\right\|^{2}"),
    (power(norm("X", "F"), 2), "||X||_F^2", "‖X‖_F²", r"\left\|X\right\|_{F}^{2}"),
    (power(norm(sub(mul("A", "x"), "b"), "2"), 2), "||A x - b||_2^2", "‖A x - b‖₂²", r"\left\|A x - b\right\|_{2}^{2}"),
    (mul(norm("x"), norm("y")), "||x|| ||y||", "‖x‖ ‖y‖", r"\left\|x\right\| \left\|y\right\|"),
    (mul(bars("x"), bars("y")), "|x| |y|", "|x| |y|", r"\left|x\right| \left|y\right|"),
    (
        norm(sub("x", mul(norm("y"), "z"))),
        "||x - norm(y) z||",
        "‖x - norm(y) z‖",
        r"\left\|x - \left\|y\right\| z\right\|",
    ),
    (norm(add("x", norm("y", "2"))), "||x + (||y||_2)||", "‖x + (‖y‖₂)‖", r"\left\|x + \left\|y\right\|_{2}\right\|"),
    (
        norm(mul("x", call("f", norm("y", "1")))),
        "||x f(||y||_1)||",
        "‖x f(‖y‖₁)‖",
        r"\left\|x f\left(\left\|y\right\|_{1}\right)\right\|",
    ),
    (bars(sub(norm("x"), 1)), "|norm(x) - 1|", "|norm(x) - 1|", r"\left|\left\|x\right\| - 1\right|"),
    (bars(bars("x")), "|(|x|)|", "|(|x|)|", r"\left|\left|x\right|\right|"),
    (
        norm(mul(add(norm("x", "F"), "a"), "y")),
        "||(||x||_F + a) y||",
        "‖(‖x‖_F + a) y‖",
        r"\left\|\left(\left\|x\right\|_{F} + a\right) y\right\|",
    ),
    (norm(neg("x")), "||-x||", "‖-x‖", r"\left\|-x\right\|"),
    # names
    ("lambda", "lambda", "λ", r"\lambda"),
    ("W_1", "W_1", "W₁", "W_{1}"),
    ("W_12", "W_12", "W₁₂", "W_{12}"),
    ("W1", "W1", "W1", r"\mathrm{W1}"),
    ("lambda_1", "lambda_1", "λ₁", r"\lambda_{1}"),
    ("theta_train", "theta_train", "θ_train", r"\theta_{\mathrm{train}}"),
    ("x_i", "x_i", "x_i", "x_{i}"),
    ("y_hat", "y_hat", "y_hat", r"\hat{y}"),
    ("y_hat_1", "y_hat_1", "y_hat_1", r"\hat{y}_{1}"),
    ("learning_rate", "learning_rate", "learning_rate", r"\mathrm{learning}_{\mathrm{rate}}"),
    ("Sigma_x_y", "Sigma_x_y", "Σ_x_y", r"\Sigma_{\mathrm{x\_y}}"),
    ("pi", "pi", "π", r"\pi"),
    ("I", "I", "I", "I"),
    ("sigma1", "sigma1", "sigma1", r"\mathrm{sigma1}"),
    (mul("lambda", power(norm("w"), 2)), "lambda ||w||^2", "λ ‖w‖²", r"\lambda \left\|w\right\|^{2}"),
    # calls
    (call("tr", mul("A", "X")), "tr(A X)", "tr(A X)", r"\operatorname{tr}\left(A X\right)"),
    (call("exp", neg("x")), "exp(-x)", "exp(-x)", r"\exp\left(-x\right)"),
    (call("logdet", "X"), "logdet(X)", "logdet(X)", r"\log\det\left(X\right)"),
    (call("log", call("det", "X")), "log(det(X))", "log(det(X))", r"\log\left(\det\left(X\right)\right)"),
    (mul("a", call("sigmoid", "z")), "a sigmoid(z)", "a sigmoid(z)", r"a \sigma\left(z\right)"),
    (
        mul("sigma", call("sigmoid", "z")),
        "sigma sigmoid(z)",
        "σ sigmoid(z)",
        r"\sigma \operatorname{sigmoid}\left(z\right)",
    ),
    (call("relu", "z"), "relu(z)", "relu(z)", r"\operatorname{relu}\left(z\right)"),
    (call("sqrt", "x"), "sqrt(x)", "sqrt(x)", r"\sqrt{x}"),
    (call("abs", "x"), "abs(x)", "abs(x)", r"\operatorname{abs}\left(x\right)"),
    (mul(call("abs", "x"), "y"), "abs(x) y", "abs(x) y", r"\operatorname{abs}\left(x\right) y"),
    (call("inv", "X"), "inv(X)", "inv(X)", "X^{-1}"),
    (call("inv", mul("A", "B")), "inv(A B)", "inv(A B)", r"\left(A B\right)^{-1}"),
    (tr(call("inv", "X")), "inv(X)^T", "inv(X)ᵀ", r"X^{-\top}"),
    (power(call("inv", "X"), 2), "inv(X)^2", "inv(X)²", r"\left(X^{-1}\right)^{2}"),
    (call("transpose", add("A", "B")), "transpose(A + B)", "transpose(A + B)", r"\left(A + B\right)^{\top}"),
    (call("norm2", "x"), "norm2(x)", "norm2(x)", r"\left\|x\right\|"),
    (call("nuclear", "X"), "nuclear(X)", "nuclear(X)", r"\left\|X\right\|_{*}"),
    (call("inner", "x", "y"), "inner(x, y)", "inner(x, y)", r"\left\langle x, y \right\rangle"),
    (call("floor", div("x", 2)), "floor(x/2)", "floor(x/2)", r"\left\lfloor \frac{x}{2} \right\rfloor"),
    (call("diag", "x"), "diag(x)", "diag(x)", r"\operatorname{diag}\left(x\right)"),
    (
        call("softmax", "X", axis=1),
        "softmax(X, axis=1)",
        "softmax(X, axis=1)",
        r"\operatorname{softmax}\left(X, \mathrm{axis} = 1\right)",
    ),
    (
        call("sum", "X", axis=0),
        "sum(X, axis=0)",
        "sum(X, axis=0)",
        r"\operatorname{sum}\left(X, \mathrm{axis} = 0\right)",
    ),
    (
        call("leaky_relu", "x", 0),
        "leaky_relu(x, 0)",
        "leaky_relu(x, 0)",
        r"\operatorname{leaky\_relu}\left(x, 0\right)",
    ),
    (call("max", "z", 0), "max(z, 0)", "max(z, 0)", r"\max\left(z, 0\right)"),
    (
        call("where", compare(">", "x", 0), "x", 0),
        "where(x > 0, x, 0)",
        "where(x > 0, x, 0)",
        r"\operatorname{where}\left(x > 0, x, 0\right)",
    ),
    (call("ones", "n"), "ones(n)", "ones(n)", r"\mathbf{1}_{n}"),
    (call("ones", "m", "n"), "ones(m, n)", "ones(m, n)", r"\mathbf{1}_{m \times n}"),
    (call("zeros", add("m", 1), "n"), "zeros(m + 1, n)", "zeros(m + 1, n)", r"\mathbf{0}_{\left(m+1\right) \times n}"),
    (call("I", "n"), "I(n)", "I(n)", "I_{n}"),
    (mul(call("I", "n"), "x"), "I(n) x", "I(n) x", "I_{n} x"),
    (power(call("I", "n"), 2), "I(n)^2", "I(n)²", "I_{n}^{2}"),
    (call("f", "x"), "f(x)", "f(x)", r"f\left(x\right)"),
    (call("phi", "x", "y"), "phi(x, y)", "phi(x, y)", r"\phi\left(x, y\right)"),
    (call("g_1", "x"), "g_1(x)", "g_1(x)", r"g_{1}\left(x\right)"),
    (call("my_f", "x"), "my_f(x)", "my_f(x)", r"\operatorname{my\_f}\left(x\right)"),
    (call("log2", "x"), "log2(x)", "log2(x)", r"\log_{2}\left(x\right)"),
    (call("asin", "x"), "asin(x)", "asin(x)", r"\arcsin\left(x\right)"),
    (call("rand"), "rand()", "rand()", r"\operatorname{rand}\left(\right)"),
    (
        Call("einsum", (Str("ij,jk->ik"), Name("A"), Name("B"))),
        r'einsum("ij,jk->ik", A, B)',
        r'einsum("ij,jk->ik", A, B)',
        r"\operatorname{einsum}\left(\text{ij,jk->ik}, A, B\right)",
    ),
    (at(call("f", "x"), "i"), "f(x)[i]", "f(x)[i]", r"\left(f\left(x\right)\right)_{i}"),
    # elements
    (at("x", "i"), "x[i]", "x[i]", "x_{i}"),
    (at("x", add("i", 1)), "x[i+1]", "x[i+1]", "x_{i+1}"),
    (at("A", "i", "j"), "A[i, j]", "A[i, j]", "A_{ij}"),
    (at("A", "i", ALL), "A[i, :]", "A[i, :]", "A_{i, :}"),
    (at("x", Range(num(2), Name("n"))), "x[2:n]", "x[2:n]", "x_{2:n}"),
    (at("x", Range(num(1), sub("n", 1))), "x[1:n-1]", "x[1:n-1]", "x_{1:n-1}"),
    (at(mul("A", "x"), "i"), "(A x)[i]", "(A x)[i]", r"\left(A x\right)_{i}"),
    (at(tr("A"), "i", "j"), "(A^T)[i, j]", "(Aᵀ)[i, j]", r"\left(A^{\top}\right)_{ij}"),
    (at(at("A", "i", ALL), "j"), "(A[i, :])[j]", "(A[i, :])[j]", r"\left(A_{i, :}\right)_{j}"),
    (at("W_1", 1, 2), "W_1[1, 2]", "W₁[1, 2]", r"\left(W_{1}\right)_{1, 2}"),
    (power(at("x", "i"), 2), "x[i]^2", "x[i]²", "x_{i}^{2}"),
    (tr(at("A", ALL, "j")), "A[:, j]^T", "A[:, j]ᵀ", r"A_{:, j}^{\top}"),
    (mul("A", at("x", "i")), "A x[i]", "A x[i]", "A x_{i}"),
    (below("x", add("i", 1)), "x_{i+1}", "x_{i+1}", "x_{i+1}"),
    (below("x", "i"), "x_i", "x_i", "x_{i}"),
    (below("A", "i", "j"), "A_{i,j}", "A_{i,j}", "A_{ij}"),
    (below("A", "ij"), "A_{ij}", "A_{ij}", "A_{ij}"),
    (below("A", 12), "A_12", "A₁₂", "A_{12}"),
    (below("x", mul(2, "i")), "x_{2 i}", "x_{2 i}", "x_{2 i}"),
    (below("W_1", "i"), "W_1[i]", "W₁[i]", r"\left(W_{1}\right)_{i}"),
    (below(mul("A", "x"), "i"), "(A x)[i]", "(A x)[i]", r"\left(A x\right)_{i}"),
    # sums over an index
    (over("x_i"), "sum_{i=1}^{n} x_i", "∑_{i=1}^{n} x_i", r"\sum_{i=1}^{n} x_{i}"),
    (over(power("x_i", 2), None), "sum_i x_i^2", "∑_i x_i²", r"\sum_{i} x_{i}^{2}"),
    (
        over(mul(at("A", "i", "i"), "x_i"), "N"),
        "sum_{i=1}^{N} A[i, i] x_i",
        "∑_{i=1}^{N} A[i, i] x_i",
        r"\sum_{i=1}^{N} A_{ii} x_{i}",
    ),
    (
        over(power(sub("y_i", add(mul("w", "x_i"), "b")), 2)),
        "sum_{i=1}^{n} (y_i - (w x_i + b))^2",
        "∑_{i=1}^{n} (y_i - (w x_i + b))²",
        r"\sum_{i=1}^{n} \left(y_{i} - \left(w x_{i} + b\right)\right)^{2}",
    ),
    (over("x_i", sub("n", 1)), "sum_{i=1}^{n-1} x_i", "∑_{i=1}^{n-1} x_i", r"\sum_{i=1}^{n-1} x_{i}"),
    (over("x_i", 10, kind="prod", lower=0), "prod_{i=0}^{10} x_i", "∏_{i=0}^{10} x_i", r"\prod_{i=0}^{10} x_{i}"),
    (
        mul(div(1, "N"), over("x_i", "N")),
        "1/N sum_{i=1}^{N} x_i",
        "1/N ∑_{i=1}^{N} x_i",
        r"\frac{1}{N} \sum_{i=1}^{N} x_{i}",
    ),
    (mul("a", over("x_i")), "a sum_{i=1}^{n} x_i", "a ∑_{i=1}^{n} x_i", r"a \sum_{i=1}^{n} x_{i}"),
    (
        mul("a", over("x_i"), "b"),
        "a (sum_{i=1}^{n} x_i) b",
        "a (∑_{i=1}^{n} x_i) b",
        r"a \left(\sum_{i=1}^{n} x_{i}\right) b",
    ),
    (mul(over("x_i"), "b"), "(sum_{i=1}^{n} x_i) b", "(∑_{i=1}^{n} x_i) b", r"\left(\sum_{i=1}^{n} x_{i}\right) b"),
    (
        mul(over("x_i"), over("y_i")),
        "(sum_{i=1}^{n} x_i) sum_{i=1}^{n} y_i",
        "(∑_{i=1}^{n} x_i) ∑_{i=1}^{n} y_i",
        r"\left(\sum_{i=1}^{n} x_{i}\right) \sum_{i=1}^{n} y_{i}",
    ),
    (
        had("a", over("x_i")),
        "a .* (sum_{i=1}^{n} x_i)",
        "a ⊙ (∑_{i=1}^{n} x_i)",
        r"a \odot \left(\sum_{i=1}^{n} x_{i}\right)",
    ),
    (add(over("x_i"), "b"), "sum_{i=1}^{n} x_i + b", "∑_{i=1}^{n} x_i + b", r"\sum_{i=1}^{n} x_{i} + b"),
    (sub("b", over("x_i")), "b - sum_{i=1}^{n} x_i", "b - ∑_{i=1}^{n} x_i", r"b - \sum_{i=1}^{n} x_{i}"),
    (neg(over("x_i")), "-sum_{i=1}^{n} x_i", "-∑_{i=1}^{n} x_i", r"-\sum_{i=1}^{n} x_{i}"),
    (over(neg("x_i")), "sum_{i=1}^{n} (-x_i)", "∑_{i=1}^{n} (-x_i)", r"\sum_{i=1}^{n} \left(-x_{i}\right)"),
    (over(mul(-2, "x_i")), "sum_{i=1}^{n} (-2 x_i)", "∑_{i=1}^{n} (-2 x_i)", r"\sum_{i=1}^{n} \left(-2 x_{i}\right)"),
    (power(over("x_i"), 2), "(sum_{i=1}^{n} x_i)^2", "(∑_{i=1}^{n} x_i)²", r"\left(\sum_{i=1}^{n} x_{i}\right)^{2}"),
    (tr(over("x_i")), "(sum_{i=1}^{n} x_i)^T", "(∑_{i=1}^{n} x_i)ᵀ", r"\left(\sum_{i=1}^{n} x_{i}\right)^{\top}"),
    (div(over("x_i"), "n"), "(sum_{i=1}^{n} x_i) / n", "(∑_{i=1}^{n} x_i) / n", r"\frac{\sum_{i=1}^{n} x_{i}}{n}"),
    (norm(over("x_i")), "||sum_{i=1}^{n} x_i||", "‖∑_{i=1}^{n} x_i‖", r"\left\|\sum_{i=1}^{n} x_{i}\right\|"),
    (over(over(at("A", "i", "i"), None), None), "sum_i sum_i A[i, i]", "∑_i ∑_i A[i, i]", r"\sum_{i} \sum_{i} A_{ii}"),
    (
        IndexSum("sum", ("i", "j"), None, None, mul(at("A", "i", "j"), "x_i")),
        "sum_{i,j} A[i, j] x_i",
        "∑_{i,j} A[i, j] x_i",
        r"\sum_{i, j} A_{ij} x_{i}",
    ),
    (
        over(compare(">", "x_i", 0)),
        "sum_{i=1}^{n} (x_i > 0)",
        "∑_{i=1}^{n} (x_i > 0)",
        r"\sum_{i=1}^{n} \left[x_{i} > 0\right]",
    ),
    # blocks and comparisons
    (block(("A", "B"), ("C", "D")), "[A, B; C, D]", "[A, B; C, D]", r"\begin{bmatrix} A & B \\ C & D \end{bmatrix}"),
    (block(("x",), ("y",)), "[x; y]", "[x; y]", r"\begin{bmatrix} x \\ y \end{bmatrix}"),
    (mul("x", block(("A", "B"))), "x [A, B]", "x [A, B]", r"x \begin{bmatrix} A & B \end{bmatrix}"),
    (tr(block((1, neg("x")))), "[1, -x]^T", "[1, -x]ᵀ", r"\begin{bmatrix} 1 & -x \end{bmatrix}^{\top}"),
    (compare(">", "x", 0), "x > 0", "x > 0", "x > 0"),
    (compare("==", "a", "b"), "a == b", "a == b", "a = b"),
    (compare("<=", add("a", 1), mul(2, "b")), "a + 1 <= 2 b", "a + 1 ≤ 2 b", r"a + 1 \le 2 b"),
    (compare("!=", "a", "b"), "a != b", "a ≠ b", r"a \ne b"),
    (mul(compare(">", "x", 0), "y"), "(x > 0) y", "(x > 0) y", r"\left[x > 0\right] y"),
    (had("y", compare(">=", "x", 0)), "y .* (x >= 0)", "y ⊙ (x ≥ 0)", r"y \odot \left[x \ge 0\right]"),
    (add(compare("<", "x", 0), 1), "(x < 0) + 1", "(x < 0) + 1", r"\left[x < 0\right] + 1"),
    (compare("<", compare("<", "a", "b"), "c"), "(a < b) < c", "(a < b) < c", r"\left[a < b\right] < c"),
    (tr(compare(">", "x", 0)), "(x > 0)^T", "(x > 0)ᵀ", r"\left[x > 0\right]^{\top}"),
]


@pytest.mark.parametrize(("ast", "text", "unicode", "latex"), ROWS, ids=[row[1] for row in ROWS])
def test_each_construct_looks_as_a_careful_person_writes_it(
    ast: Ast | int | str, text: str, unicode: str, latex: str
) -> None:
    tree = lift(ast)
    assert to_text(tree) == text
    assert to_unicode(tree) == unicode
    assert to_latex(tree) == latex


def test_the_table_is_large() -> None:
    assert len(ROWS) >= 120
    assert len({row[1] for row in ROWS}) > 0.9 * len(ROWS)


# --- reading back --------------------------------------------------------------------------------


# What prints as something else on purpose: an empty sum, and elements of a base that has no subscript form.
READ_BACK = [row for row in ROWS if row[1] not in ("0", "rand()")]


@pytest.mark.parametrize("row", READ_BACK, ids=[row[1] for row in READ_BACK])
def test_each_construct_reads_back(row: tuple[Ast | int | str, str, str, str]) -> None:
    expected = canonical(lift(row[0]))
    assert canonical(parse_expression(row[1])) == expected
    assert canonical(parse_expression(row[2])) == expected


@pytest.mark.parametrize("start", range(0, 2000, 250))
def test_random_expressions_read_back(start: int) -> None:
    for seed in range(start, start + 250):
        tree = random_ast(seed)
        expected = canonical(tree)
        text, unicode = to_text(tree), to_unicode(tree)
        assert text.isascii()
        assert canonical(parse_expression(text)) == expected, text
        assert canonical(parse_expression(unicode)) == expected, unicode
        for printer, printed in ((to_text, text), (to_unicode, unicode)):
            again = printer(parse_expression(printed))  # two minus signs may have become a plus
            assert printer(parse_expression(again)) == again


def corpus_texts() -> list[str]:
    """Every formula of the corpus of textbook derivatives, as people wrote them."""
    files = sorted((Path(__file__).parent / "corpus").glob("*.toml"))
    cases = [case for file in files for case in tomllib.loads(file.read_text(encoding="utf-8"))["case"]]
    return [text for case in cases for text in (case["text"], case["expected"]) if text]


def same_statement(left: Ast, right: Ast) -> bool:
    match left, right:
        case (Output(value=a), Output(value=b)) | (Assign(value=a), Assign(value=b)):
            return canonical(a) == canonical(b)
        case Define(body=a), Define(body=b):
            return canonical(a) == canonical(b)
        case _:
            return type(left) is type(right)


def test_textbook_formulas_read_back() -> None:
    texts = corpus_texts()
    assert len(texts) > 500
    for text in texts:
        program = parse(text)
        for printer in (to_text, to_unicode):
            again = parse(printer(program))
            assert len(again.statements) == len(program.statements)
            assert all(map(same_statement, program.statements, again.statements)), text
        assert_safe(to_latex(program))


# --- LaTeX ---------------------------------------------------------------------------------------

LETTERED_COMMANDS = """
frac top odot oslash otimes cdot backslash left right begin end sum prod operatorname mathrm mathbf
mathbb text infty le ge ne langle rangle lfloor rfloor lceil rceil sqrt hat bar tilde times in exp
log ln det max min sin cos tan sinh cosh tanh arcsin arccos arctan alpha beta gamma delta epsilon
zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega ell varpi
varsigma Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega
"""
COMMANDS = frozenset(f"\\{word}" for word in LETTERED_COMMANDS.split()) | {rf"\{sign}" for sign in "_|\\#%&$ ,"}


def assert_safe(latex: str) -> None:
    """Only known commands, braces and delimiters in pairs."""
    tokens = re.findall(r"\\[A-Za-z]+|\\.|[{}]", latex, flags=re.DOTALL)
    assert {token for token in tokens if token.startswith("\\")} <= COMMANDS
    stack: list[str] = []
    for token in tokens:
        if token in ("{", r"\left"):
            stack.append(token)
        elif token in ("}", r"\right"):
            assert stack.pop() == {"}": "{", r"\right": r"\left"}[token]
    assert not stack
    assert latex.count(r"\begin{bmatrix}") == latex.count(r"\end{bmatrix}")
    assert "\n\n" not in latex


def test_latex_of_random_expressions_is_balanced_and_uses_known_commands() -> None:
    for seed in range(1000):
        assert_safe(to_latex(random_ast(seed)))


@pytest.mark.parametrize("latex", [row[3] for row in ROWS])
def test_latex_of_each_construct_is_balanced(latex: str) -> None:
    assert_safe(latex)


@pytest.mark.parametrize(
    "evil", ["x}\\input{secret", "\\write18", "a b", "$x$", "%", "x_}{", "x_\\evil", "_", "", "a^b", "~", "x\n\n"]
)
def test_names_cannot_smuggle_commands_into_latex(evil: str) -> None:
    trees: list[Ast] = [Name(evil), Call(evil, (Name("x"),)), IndexSum("sum", (evil,), None, None, Name(evil))]
    trees += [below("x", Name(evil)), Call("f", (), ((evil, num(1)),)), Str(evil)]
    trees += [Assign(Name(evil), num(1), (evil,)), Define(Name(evil), (Name(evil),), num(1))]
    trees += [Declare((Name(evil),), TypeExpr("vector", (Name(evil),), (evil,)))]
    for tree in trees:
        assert_safe(to_latex(tree))


def test_heads_extend_the_table() -> None:
    heads = {"relu": r"\mathrm{relu}", "tr": "", "pair": r"\left\{{{0}, {1}\right\}}", "expm": "e^{{{0}}}"}
    assert to_latex(call("relu", "z"), heads=heads) == r"\mathrm{relu}\left(z\right)"
    assert to_latex(call("tr", "X"), heads=heads) == r"\operatorname{tr}\left(X\right)"
    assert to_latex(call("pair", "x", add("y", 1)), heads=heads) == r"\left\{x, y + 1\right\}"
    assert to_latex(call("pair", "x"), heads=heads) == r"\operatorname{pair}\left(x\right)"
    assert to_latex(call("expm", add("A", "B")), heads=heads) == "e^{A + B}"
    assert "relu" not in DEFAULT_HEADS


def test_a_template_brackets_what_it_does_not_enclose() -> None:
    heads = {"logdet": r"\log\det {0}", "adj": r"{0}^{{*}}", "comm": r"{0} \star {1}"}
    assert to_latex(call("logdet", "X"), heads=heads) == r"\log\det \left(X\right)"
    assert to_latex(call("adj", add("A", "B")), heads=heads) == r"\left(A + B\right)^{*}"
    assert to_latex(power(call("adj", "A"), 2), heads=heads) == r"\left(A^{*}\right)^{2}"
    assert (
        to_latex(mul(call("comm", "A", mul("B", "C")), "D"), heads=heads) == r"\left(A \star \left(B C\right)\right) D"
    )


def test_keyword_arguments_are_never_lost_in_a_template() -> None:
    assert to_latex(call("norm", "X", axis=1)) == r"\operatorname{norm}\left(X, \mathrm{axis} = 1\right)"


@pytest.mark.parametrize(
    ("name", "latex"),
    [
        ("x", "x"),
        ("Omega", r"\Omega"),
        ("ell", r"\ell"),
        ("x_bar", r"\bar{x}"),
        ("mu_hat_1", r"\hat{\mu}_{1}"),
        ("a_b_c", r"a_{\mathrm{b\_c}}"),
        ("W_max", r"W_{\mathrm{max}}"),
        ("beta_gamma", r"\beta_{\gamma}"),
        ("x12", r"\mathrm{x12}"),
    ],
)
def test_latex_names(name: str, latex: str) -> None:
    assert latex_name(name) == latex


@pytest.mark.parametrize(
    ("name", "printed"),
    [("Sigma_2", "Σ₂"), ("x_1_2", "x_1_2"), ("alphabet", "alphabet"), ("mu_hat", "μ_hat"), ("x_", "x_"), ("nu", "ν")],
)
def test_unicode_names(name: str, printed: str) -> None:
    assert unicode_name(name) == printed


# --- statements ----------------------------------------------------------------------------------

PROGRAM = Program(
    (
        Declare((Name("A"), Name("B")), TypeExpr("matrix", (Name("m"), mul(2, "n")), ("symmetric", "positive"))),
        Declare((Name("lambda"),), TypeExpr("scalar", ())),
        Declare((Name("x"),), TypeExpr("vector", (add("n", 1),))),
        Define(Name("f"), (Name("t"), Name("u")), div("t", add(1, call("exp", neg("u"))))),
        Assign(Name("r_1"), sub(mul("A", "x"), "y")),
        Assign(Name("p"), power("x_i", 2), ("i",)),
        Assign(Name("D"), mul("x_i", "x_j"), ("i", "j")),
        Output(add(mul(tr("r_1"), "r_1"), mul("lambda", power(norm("x"), 2)))),
    )
)

PROGRAM_TEXT = """A, B: matrix(m, 2 n) symmetric positive
lambda: scalar
x: vector(n + 1)
f(t, u) = t / (1 + exp(-u))
r_1 = A x - y
p_i = x_i^2
D_{ij} = x_i x_j
r_1^T r_1 + lambda ||x||^2"""

PROGRAM_UNICODE = """A, B: matrix(m, 2 n) symmetric positive
λ: scalar
x: vector(n + 1)
f(t, u) = t / (1 + exp(-u))
r₁ = A x - y
p_i = x_i²
D_{ij} = x_i x_j
r₁ᵀ r₁ + λ ‖x‖²"""

PROGRAM_LATEX = r"""\begin{aligned}
& A, B \in \mathbb{R}^{m \times 2 n}\ \text{symmetric}\ \text{positive} \\
& \lambda \in \mathbb{R} \\
& x \in \mathbb{R}^{n + 1} \\
f\left(t, u\right) &= \frac{t}{1 + \exp\left(-u\right)} \\
r_{1} &= A x - y \\
p_{i} &= x_{i}^{2} \\
D_{ij} &= x_{i} x_{j} \\
& r_{1}^{\top} r_{1} + \lambda \left\|x\right\|^{2}
\end{aligned}"""


def test_programs_are_printed_one_statement_a_line() -> None:
    assert to_text(PROGRAM) == PROGRAM_TEXT
    assert to_unicode(PROGRAM) == PROGRAM_UNICODE
    assert to_latex(PROGRAM) == PROGRAM_LATEX
    assert to_text(PROGRAM, separator="; ") == PROGRAM_TEXT.replace("\n", "; ")
    assert_safe(PROGRAM_LATEX)


@pytest.mark.parametrize("separator", ["\n", "; "])
def test_programs_read_back(separator: str) -> None:
    assert to_text(parse(to_text(PROGRAM, separator=separator))) == PROGRAM_TEXT
    assert to_text(parse(to_unicode(PROGRAM, separator=separator))) == PROGRAM_TEXT


def test_single_statements_are_printed_too() -> None:
    assert to_text(PROGRAM.statements[0]) == "A, B: matrix(m, 2 n) symmetric positive"
    assert to_text(TypeExpr("tensor", (Name("o"), num(3)))) == "tensor(o, 3)"
    assert to_latex(TypeExpr("tensor", (Name("o"), num(3)))) == r"\mathbb{R}^{o \times 3}"


@pytest.mark.parametrize("printer", [to_text, to_unicode])
def test_a_string_with_quotes_is_refused(printer: object) -> None:
    assert callable(printer)
    with pytest.raises(UsageError, match="quotation mark"):
        printer(Str('a"b'))


@pytest.mark.parametrize("printer", [to_text, to_unicode, to_latex])
def test_a_statement_inside_an_expression_is_refused(printer: object) -> None:
    assert callable(printer)
    with pytest.raises(UsageError, match="Output is not an expression"):
        printer(add("x", Output(Name("y"))))


# --- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text", "printed"),
    [
        ("1/2", "", "1/2"),
        ("1/3", "0.333", "1/3"),
        ("1/4", "0.25", "0.25"),
        ("2", "2.0", "2.0"),
        ("2", "2.", "2"),
        ("1/2", ".5", "1/2"),
        ("1000", "1E3", "1e3"),
        ("1000", "1e+3", "1e3"),
        ("1/100", "", "1/100"),
        ("1/200", "", "0.005"),
        ("123/1000", "", "0.123"),
        ("1/1024", "", "1/1024"),
        ("1/1000000007", "", "1/1000000007"),
        ("12345678901234567890", "", "12345678901234567890"),
        ("-7", "", "7"),
    ],
)
def test_numbers_are_exact_and_short(value: str, text: str, printed: str) -> None:
    assert spell_number(num(value, text)).text == printed


def test_numbers_beyond_the_digit_limit_of_python() -> None:
    huge = 3**20_000
    digits = decimal_digits(huge)
    assert len(digits) == 9543
    assert int(digits[-4000:]) == huge % 10**4000
    assert int(digits[:4000]) == huge // 10 ** (9543 - 4000)
    assert to_text(num(10**5000)) == "1e5000"
    assert to_text(Num(Fraction(1, 10**5000))) == "1e-5000"
    assert to_text(Num(Fraction(2), "1e999999999")) == "2"


# --- size ----------------------------------------------------------------------------------------

DEEP = 5_000


def nested(kind: str, depth: int) -> Ast:
    """A tree that is deep in one way."""
    tree: Ast = Name("x")
    for level in range(depth):
        match kind:
            case "brackets":
                tree = mul("A", add(tree, 1))
            case "left products":
                tree = mul(tree, -level)
            case "powers":
                tree = power(2, tree)
            case "transposes":
                tree = tr(tree)
            case "bars":
                tree = bars(tree) if level % 2 else norm(tree, "2")
            case "calls":
                tree = call("exp", tree)
            case "minus":
                tree = neg(tree)
            case "quotients":
                tree = div(1, add(1, tree))
            case "plus":
                tree = Add(((1, tree),))
            case "index":
                tree = at(tree, "i")
            case _:
                tree = over(tree)
    return tree


KINDS = (
    "brackets",
    "left products",
    "powers",
    "transposes",
    "bars",
    "calls",
    "minus",
    "quotients",
    "plus",
    "index",
    "sums",
)


@pytest.mark.parametrize("kind", KINDS)
def test_deep_trees_print_in_linear_time(kind: str) -> None:
    tree = nested(kind, DEEP)
    start = time.process_time()
    for printer in (to_text, to_unicode, to_latex):
        assert printer(tree).count("x") >= 1
    assert operator_count(tree) >= (0 if kind == "plus" else DEEP)
    assert time.process_time() - start < 3


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "plus"])
def test_deep_trees_read_back(kind: str) -> None:
    tree = nested(kind, 60)
    assert canonical(parse_expression(to_text(tree))) == canonical(tree)
    assert canonical(parse_expression(to_unicode(tree))) == canonical(tree)


def test_wide_sums_print_fast() -> None:
    tree = Add(tuple(((-1) ** k, mul(-k, f"x_{k}", tr("y"))) for k in range(10_000)))
    start = time.process_time()
    text = to_text(tree)
    assert time.process_time() - start < 1
    assert text.startswith("0 x_0 y^T + 1 x_1 y^T - 2 x_2 y^T")
    assert text.count(" + ") + text.count(" - ") == 9_999


# --- length --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ast", "count"),
    [
        ("x", 0),
        (2, 0),
        ("1/2", 0),
        (div(1, 2), 0),
        (call("I", "n"), 0),
        (call("ones", "n"), 0),
        (neg("x"), 1),
        (-2, 1),
        (mul("A", "x"), 1),
        (mul(2, "A", "x"), 2),
        (mul(-2, "A", "x"), 3),
        (neg(mul(2, "A", "x")), 3),
        (add("a", "b", "c"), 2),
        (sub("a", mul(2, "b")), 2),
        (add("a", mul(-2, "b")), 2),
        (add(neg("a"), "b"), 2),
        (Add(((-1, Name("a")), (1, Name("b")))), 2),
        (power("x", 2), 1),
        (power("X", -1), 1),
        (power("X", neg(1)), 1),
        (power("x", sub("k", 1)), 2),
        (tr(power("X", -1)), 2),
        (mul(add("A", tr("A")), "x"), 3),
        (norm("x"), 1),
        (call("f", "x", mul("a", "b")), 2),
        (call("sum", "X", axis=0), 1),
        (at("x", "i"), 1),
        (at("x", add("i", 1)), 2),
        (at("A", "i", ALL), 1),
        (over(mul("a", "x_i")), 2),
        (compare(">", "x", 0), 1),
        (block(("A", "B")), 1),
        (bars("x"), 1),
        (PROGRAM.statements[4], 2),
    ],
)
def test_operator_count(ast: Ast | int | str, count: int) -> None:
    assert operator_count(lift(ast)) == count


def test_operator_count_does_not_depend_on_where_the_minus_is() -> None:
    left = mul(-2, "A", "x")
    right = neg(mul(2, "A", "x"))
    assert to_text(left) == to_text(right)
    assert operator_count(left) == operator_count(right)
