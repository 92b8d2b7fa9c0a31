"""What every spelling means: text against its syntax tree."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matcalc.errors import MatcalcError, ParseError, Span, UsageError
from matcalc.limits import Limits
from matcalc.syntax import ast
from matcalc.syntax.build import ACTIONS
from matcalc.syntax.dump import dump
from matcalc.syntax.grammar_file import grammar_directories, read_grammar
from matcalc.syntax.greek import LETTER_TO_NAME, NAME_TO_LETTER, VARIANT_TO_NAME
from matcalc.syntax.parse import canonical_name, parse, parse_declarations, parse_expression, parse_type
from matcalc.syntax.table import TABLES, build_table, checksum, load_table, stored_path, to_json

FUNCTIONS = ("log", "tr", "exp", "sum")

PRODUCTS = [
    ("x^T A x", "(_ (_ (T x) A) x)"),
    ("1/2 x^T A x", "(_ (_ (_ (/ 1 2) (T x)) A) x)"),
    ("1/2x^2", "(_ (/ 1 2) (^ x 2))"),
    ("2x", "(_ 2 x)"),
    ("2 x y", "(_ (_ 2 x) y)"),
    ("3n", "(_ 3 n)"),
    ("2 (x+1)", "(_ 2 (+ x 1))"),
    ("2(x+1)", "(_ 2 (+ x 1))"),
    ("(a + b)(c + d)", "(_ (+ a b) (+ c d))"),
    ("a * b @ c", "(* (* a b) c)"),
    ("a · b", "(dot a b)"),
    ("a ⋅ b", "(dot a b)"),
    ("a .* b ./ c", "(./ (.* a b) c)"),
    ("a ⊙ b ∘ c ⊘ d", "(./ (.* (.* a b) c) d)"),
    ("a ⊗ b ⊙ c", "(.* (kron a b) c)"),
    ("A \\ b", "(\\ A b)"),
    ("A\\b", "(\\ A b)"),
    ("a / b * c", "(* (/ a b) c)"),
    ("x^T A x / x^T x", "(_ (/ (_ (_ (T x) A) x) (T x)) x)"),
    ("a × b", "(* a b)"),
    ("a÷b", "(/ a b)"),
    ("A'B", "(_ (T A) B)"),
    ("A' B'", "(_ (T A) (T B))"),
    ("x (y+z)", "(_ x (+ y z))"),
    ("2πr", "(_ (_ 2 pi) r)"),
    ("λI", "(_ lambda I)"),
    ("λ||w||^2", "(_ lambda (^ (norm w) 2))"),
    ("{a + b} c", "(_ (+ a b) c)"),
    ("[a + b] c", "(_ (+ a b) c)"),
]

SUMS = [
    ("a + b - c", "(+ a b (- c))"),
    ("a - (b - c)", "(+ a (- (+ b (- c))))"),
    ("(a + b) + c", "(+ (+ a b) c)"),
    ("-x", "(- x)"),
    ("--x", "x"),
    ("---x", "(- x)"),
    ("a - -b", "(+ a b)"),
    ("a +-b", "(+ a (- b))"),
    ("+x", "x"),
    ("-x^2", "(- (^ x 2))"),
    ("-a b + c", "(+ (- (_ a b)) c)"),
    ("a * -b", "(* a (- b))"),
    ("a / -b c", "(_ (/ a (- b)) c)"),
    ("-(a + b)", "(- (+ a b))"),
    ("a − b", "(+ a (- b))"),
    ("a < b", "(< a b)"),
    ("a <= b + 1", "(<= a (+ b 1))"),
    ("a ≤ b", "(<= a b)"),
    ("a ≥ b", "(>= a b)"),
    ("a ≠ b", "(!= a b)"),
    ("a == b", "(== a b)"),
    ("a != b", "(!= a b)"),
    ("(a < b) .* (b < c)", "(.* (< a b) (< b c))"),
    ("-1 < x", "(< (- 1) x)"),
]

POWERS = [
    ("x^2", "(^ x 2)"),
    ("x**2", "(^ x 2)"),
    ("x.^2", "(.^ x 2)"),
    ("2^3^2", "(^ 2 (^ 3 2))"),
    ("2^-x", "(^ 2 (- x))"),
    ("2^-x^2", "(^ 2 (- (^ x 2)))"),
    ("x^(1/2)", "(^ x (/ 1 2))"),
    ("x^{n+1}", "(^ x (+ n 1))"),
    ("x^-1", "(^ x -1)"),
    ("A^{-1}", "(^ A -1)"),
    ("A^(-1)", "(^ A -1)"),
    ("A⁻¹", "(^ A -1)"),
    ("A²", "(^ A 2)"),
    ("x³", "(^ x 3)"),
    ("x⁻²", "(^ x -2)"),
    ("xⁿ", "(^ x n)"),
    ("x¹⁰", "(^ x 10)"),
    ("e^{-x^2}", "(^ e (- (^ x 2)))"),
    ("e^-x²", "(^ e (- (^ x 2)))"),
    ("x^y[i]", "(^ x (index y i))"),
    ("x^a_i", "(^ x a_i)"),
    ("M^(1/2)", "(^ M (/ 1 2))"),
    ("x.^-1", "(.^ x -1)"),
    ("10^+3", "(^ 10 3)"),
    ("(a + b)^2", "(^ (+ a b) 2)"),
    ("x_1^2", "(^ x_1 2)"),
]

TRANSPOSES = [
    ("A'", "(T A)"),
    ("A^T", "(T A)"),
    ("A^ T", "(T A)"),
    ("A^{T}", "(T A)"),
    ("A^(T)", "(T A)"),
    ("A^\\top", "(T A)"),
    ("A^{\\top}", "(T A)"),
    ("A^⊤", "(T A)"),
    ("A⊤ x", "(_ (T A) x)"),
    ("Aᵀ", "(T A)"),
    ("A.T", "(T A)"),
    ("A.'", "(T A)"),
    ("A′", "(T A)"),
    ("A''", "(T (T A))"),
    ("A^T'", "(T (T A))"),
    ("(A x)^T", "(T (_ A x))"),
    ("[A, B]'", "(T (block (row A B)))"),
    ("A^-T", "(T (^ A -1))"),
    ("A^{-T}", "(T (^ A -1))"),
    ("A⁻ᵀ", "(T (^ A -1))"),
    ("A^-1'", "(T (^ A -1))"),
    ("A^{-1}^T", "(T (^ A -1))"),
    ("A^2^T", "(T (^ A 2))"),
    ("A^T^2", "(^ (T A) 2)"),
    ("A⁻¹ᵀ", "(T (^ A -1))"),
    ("A.T @ x", "(* (T A) x)"),
    ("x' y'", "(_ (T x) (T y))"),
    ("f(x)'", "(T (call f x))"),
    ("A[i, :]'", "(T (index A i :))"),
    ("||x||^2 x'", "(_ (^ (norm x) 2) (T x))"),
]

BRACKETS = [
    ("[A, B; C, D]", "(block (row A B) (row C D))"),
    ("[x; y]", "(block (row x) (row y))"),
    ("[A x - b; sqrt(λ) x]", "(block (row (+ (_ A x) (- b))) (row (_ (call sqrt lambda) x)))"),
    ("[[a, b]; [c, d]]", "(block (row (block (row a b))) (row (block (row c d))))"),
    ("[e]", "e"),
    ("[z]_+", "(call relu z)"),
    ("(z)_+", "(call relu z)"),
    ("[x - 1]_{+}^2", "(^ (call relu (+ x (- 1))) 2)"),
    ("x [A, b]", "(_ x (block (row A b)))"),
    ("2[A, B]", "(_ 2 (block (row A B)))"),
    ("x[i]", "(index x i)"),
    ("A[i, j]", "(index A i j)"),
    ("A[i, :]", "(index A i :)"),
    ("A[:, j]", "(index A : j)"),
    ("A[1:3, 2]", "(index A (: 1 3) 2)"),
    ("A[i][j]", "(index (index A i) j)"),
    ("x[i + 1]", "(index x (+ i 1))"),
    ("(A x)[i]", "(index (_ A x) i)"),
    ("A'[i, j]", "(index (T A) i j)"),
    ("f(x)[2]", "(index (call f x) 2)"),
    ("x_{i+1}", "(sub x (+ i 1))"),
    ("x_{i}", "x_i"),
    ("x_i", "x_i"),
    ("x_i_j", "x_i_j"),
    ("A_{ij}", "(sub A ij)"),
    ("A_{12}", "(sub A 12)"),
    ("A_{i,j}", "(sub A i j)"),
    ("A_{i j}", "(sub A i j)"),
    ("A_{i,:}", "(sub A i :)"),
    ("A_{2i}", "(sub A (_ 2 i))"),
    ("x_{λ}", "x_lambda"),
    ("(A x)_i", "(sub (_ A x) i)"),
    ("(A x)_2", "(sub (_ A x) 2)"),
    ("(A^T)_{ij}", "(sub (T A) ij)"),
    ("W_1", "W_1"),
    ("W_{1}", "W_1"),
    ("W_{12}", "(sub W 12)"),
    ("x_{train}", "(sub x train)"),
    ("x₁", "x_1"),
    ("xᵢ", "x_i"),
    ("A₁₂", "A_12"),
    ("(A x)ᵢ", "(sub (_ A x) i)"),
]

BARS = [
    ("||x||", "(norm x)"),
    ("‖x‖", "(norm x)"),
    ("∥x∥", "(norm x)"),
    ("|x|", "(bars x)"),
    ("||x||_2", "(norm2 x)"),
    ("||x||_1", "(norm1 x)"),
    ("||x||_inf", "(norminf x)"),
    ("||x||_∞", "(norminf x)"),
    ("||x||_{\\infty}", "(norminf x)"),
    ("||X||_F", "(normF X)"),
    ("||X||_*", "(norm* X)"),
    ("||x||_{2}", "(norm2 x)"),
    ("‖x‖₂", "(norm2 x)"),
    ("‖x‖²", "(^ (norm x) 2)"),
    ("‖x‖₂²", "(^ (norm2 x) 2)"),
    ("||x||_2^2", "(^ (norm2 x) 2)"),
    ("||x||^2_2", "(^ (norm2 x) 2)"),
    ("||x||^{2}_2", "(^ (norm2 x) 2)"),
    ("‖x‖²_2", "(^ (norm2 x) 2)"),
    ("||X W - Y||^2 + ||W||^2", "(+ (^ (norm (+ (_ X W) (- Y))) 2) (^ (norm W) 2))"),
    ("a ||x||", "(_ a (norm x))"),
    ("||x|| ||y||", "(_ (norm x) (norm y))"),
    ("||x||||y||", "(_ (norm x) (norm y))"),
    ("||x|| y ||z||", "(_ (_ (norm x) y) (norm z))"),
    ("||x||_1 y", "(_ (norm1 x) y)"),
    ("|a||b|", "(_ (bars a) (bars b))"),
    ("|a| |b|", "(_ (bars a) (bars b))"),
    ("2|x|", "(_ 2 (bars x))"),
    ("a|x|b", "(_ (_ a (bars x)) b)"),
    ("-|x|", "(- (bars x))"),
    ("| |x| - |y| |", "(bars (+ (bars x) (- (bars y))))"),
    ("||x| - |y||", "(bars (+ (bars x) (- (bars y))))"),
    ("||x - |y| ||", "(norm (+ x (- (bars y))))"),
    ("||x - |y|||", "(norm (+ x (- (bars y))))"),
    ("|x - |y||", "(bars (+ x (- (bars y))))"),
    ("| ||x|| - 1 |", "(bars (+ (norm x) (- 1)))"),
    ("|||x|| - 1|", "(bars (+ (norm x) (- 1)))"),
    ("||a ||b|| c||", "(norm (_ (_ a (norm b)) c))"),
    ("‖a ‖x‖ b‖", "(norm (_ (_ a (norm x)) b))"),
    ("|x|^2", "(^ (bars x) 2)"),
    ("|x|'", "(T (bars x))"),
    ("||A x - b||_2^2 / ||b||_2^2", "(/ (^ (norm2 (+ (_ A x) (- b))) 2) (^ (norm2 b) 2))"),
    ("log(|det(A)|)", "(call log (bars (call det A)))"),
    ("f(||x||, |y|)", "(call f (norm x) (bars y))"),
    ("<x, y>", "(call inner x y)"),
    ("⟨x, y⟩", "(call inner x y)"),
    ("<x, y>^2", "(^ (call inner x y) 2)"),
    ("⟨A, B⟩_F", "(call inner A B)"),
    ("2 <x, y>", "(_ 2 (call inner x y))"),
    ("<x,y> > 0", "(> (call inner x y) 0)"),
    ("<A x, (b > 0) c>", "(call inner (_ A x) (_ (> b 0) c))"),
    ("where(a < b, c > d, e)", "(call where (< a b) (> c d) e)"),
]

INDEX_SUMS = [
    ("sum_{i=1}^{N} (y_i - (w x_i + b))^2", "(sum (i) 1 N (^ (+ y_i (- (+ (_ w x_i) b))) 2))"),
    ("sum_{i=1}^N x_i", "(sum (i) 1 N x_i)"),
    ("sum_{i=1}^N(x_i)", "(sum (i) 1 N x_i)"),
    ("1/N sum_{i=1}^N (x_i - m)^2 + c", "(+ (_ (/ 1 N) (sum (i) 1 N (^ (+ x_i (- m)) 2))) c)"),
    ("sum_i x_i^2", "(sum (i) _ _ (^ x_i 2))"),
    ("sum_i(x_i)", "(sum (i) _ _ x_i)"),
    ("sum_{i} x_i y_i - 1", "(+ (sum (i) _ _ (_ x_i y_i)) (- 1))"),
    ("sum_{i,j} A[i,j] x_i y_j", "(sum (i j) _ _ (_ (_ (index A i j) x_i) y_j))"),
    ("sum_{ij} A_{ij}", "(sum (i j) _ _ (sub A ij))"),
    ("sum_ij A_{ij}", "(sum (i j) _ _ (sub A ij))"),
    ("sum_{i=1}^{n-1} (x_{i+1} - x_i)^2", "(sum (i) 1 (+ n (- 1)) (^ (+ (sub x (+ i 1)) (- x_i)) 2))"),
    ("sum_{i=1}^{n} sum_{j=1}^{m} A_{ij} x_i y_j", "(sum (i) 1 n (sum (j) 1 m (_ (_ (sub A ij) x_i) y_j)))"),
    ("sum_{t=1}^T x_t", "(sum (t) 1 T x_t)"),
    ("sum_{t=1}^{T} x_t", "(sum (t) 1 T x_t)"),
    ("sum^{N}_{i=1} x_i", "(sum (i) 1 N x_i)"),
    ("prod_{i=1}^{n} x_i", "(prod (i) 1 n x_i)"),
    ("prod_i x_i", "(prod (i) _ _ x_i)"),
    ("∑_{i} x_i", "(sum (i) _ _ x_i)"),
    ("∑_{i=1}^N x_i", "(sum (i) 1 N x_i)"),
    ("∑ᵢ xᵢ", "(sum (i) _ _ x_i)"),
    ("∑_{i=1}ⁿ xᵢ", "(sum (i) 1 n x_i)"),
    ("∏_{i=1}^{n} x_i", "(prod (i) 1 n x_i)"),
    ("Σ_{i=1}^N x_i", "(sum (i) 1 N x_i)"),
    ("Π_{i=1}^n x_i", "(prod (i) 1 n x_i)"),
    ("Σ_1 x", "(_ Sigma_1 x)"),
    ("2 * -sum_i x_i", "(* 2 (- (sum (i) _ _ x_i)))"),
    ("-sum_i x_i y_i", "(- (sum (i) _ _ (_ x_i y_i)))"),
    ("sum_i -x_i", "(sum (i) _ _ (- x_i))"),
    ("a sum_i x_i < b", "(< (_ a (sum (i) _ _ x_i)) b)"),
    ("exp(x_i) / sum_j exp(x_j)", "(/ (call exp x_i) (sum (j) _ _ (call exp x_j)))"),
    ("sum_{k=0}^{∞} a_k", "(sum (k) 0 inf a_k)"),
    ("sum(x)", "(call sum x)"),
    ("sum (x)", "(call sum x)"),
    ("sum(X, axis=0)", "(call sum X axis=0)"),
]

CALLS = [
    ("f(x)", "(call f x)"),
    ("f(x, y, z)", "(call f x y z)"),
    ("f()", "(call f)"),
    ("f(x; w)", "(call f x w)"),
    ("f (x)", "(_ f x)"),
    ("log (x + 1)", "(call log (+ x 1))"),
    ("tr (A B)", "(call tr (_ A B))"),
    ("tr[A B]", "(call tr (_ A B))"),
    ("log(det(A))", "(call log (call det A))"),
    ('einsum("ij,jk->ik", A, B)', '(call einsum "ij,jk->ik" A B)'),
    ("einsum('ij,jk->ik', A, B)", '(call einsum "ij,jk->ik" A B)'),
    ("conv2d(X, K, stride=2, padding=1)", "(call conv2d X K stride=2 padding=1)"),
    ("σ(W x + b)", "(call sigma (+ (_ W x) b))"),
    ("f(a = 1)", "(call f a=1)"),
    ("f(a == 1)", "(call f (== a 1))"),
    ("√x", "(call sqrt x)"),
    ("√(x + 1)", "(call sqrt (+ x 1))"),
    ("2√x", "(_ 2 (call sqrt x))"),
    ("√√x", "(call sqrt (call sqrt x))"),
    ("∛x", "(call cbrt x)"),
    ("sqrt(2) x", "(_ (call sqrt 2) x)"),
]

NUMBERS = [
    ("2", "2"),
    ("0.5", "1/2"),
    (".5", "1/2"),
    ("5.", "5"),
    ("1e-3", "1/1000"),
    ("2.5E+3", "2500"),
    ("1e3x", "(_ 1000 x)"),
    ("2e x", "(_ (_ 2 e) x)"),
    ("2.*x", "(.* 2 x)"),
    ("2./x", "(./ 2 x)"),
    ("2.^x", "(.^ 2 x)"),
    ("∞", "inf"),
    ("-∞", "(- inf)"),
]

NAMES = [
    ("λ", "lambda"),
    ("lambda", "lambda"),
    ("Σ", "Sigma"),
    ("σ_z", "sigma_z"),
    ("λ_max", "lambda_max"),
    ("λ_{1}", "lambda_1"),
    ("α1", "alpha1"),
    ("ϵ + ε", "(+ epsilon epsilon)"),
    ("ϕ + φ", "(+ phi phi)"),
    ("µ", "mu"),
    ("ℓ", "ell"),
    ("θᵀx", "(_ (T theta) x)"),
    ("Δx", "(_ Delta x)"),
    ("x_train", "x_train"),
    ("W1", "W1"),
    ("x_1_2", "x_1_2"),
    ("café", "café"),
    ("h_θ", "h_theta"),
]

STATEMENTS = [
    ("x; y", "x; y"),
    ("x;;y;", "x; y"),
    ("x\ny", "x; y"),
    ("x\n\n  \n# comment\ny", "x; y"),
    ("x # comment; not a statement", "x"),
    ("r = A x - y; r^T r", "(= r (+ (_ A x) (- y))); (_ (T r) r)"),
    ("p_i = exp(x_i)", "(= p_i (call exp x_i))"),
    ("D_{ij} = ||x_i - x_j||^2", "(= [i j] D (^ (norm (+ x_i (- x_j))) 2))"),
    ("D_{i,j} = x_i y_j", "(= [i j] D (_ x_i y_j))"),
    ("D[i, j] = x_i y_j", "(= [i j] D (_ x_i y_j))"),
    ("D_{ij} = 1", "(= D_ij 1)"),
    ("x_{new} = x", "(= x_new x)"),
    ("W_{1} = 2", "(= W_1 2)"),
    ("f(x) = x / (1 + exp(-x))", "(define f x (/ x (+ 1 (call exp (- x)))))"),
    ("J(theta) = theta^T theta", "(define J theta (_ (T theta) theta))"),
    ("h_θ(x) = θ^T x", "(define h_theta x (_ (T theta) x))"),
    ("f(x, y) = x y; f(a, b)", "(define f x y (_ x y)); (call f a b)"),
    ("x := 3", "(= x 3)"),
    ("a = b < c", "(= a (< b c))"),
    ("x = \n 3", "(= x 3)"),
    ("a +\n b", "(+ a b)"),
    ("f(a,\n b)", "(call f a b)"),
    ("(a\n+ b)", "(+ a b)"),
    ("[A, B;\n C, D]", "(block (row A B) (row C D))"),
    ("||x\n - y||", "(norm (+ x (- y)))"),
    ("a\n-b", "a; (- b)"),
    ("x: vector(n)\n-x", "(declare x (vector n)); (- x)"),
    ("a\r\nb", "a; b"),
    ("a\rb", "a; b"),
    ("x\xa0y", "(_ x y)"),
    ("\ufeffx", "x"),
]

DECLARATIONS = [
    ("a: scalar", "(declare a (scalar))"),
    ("x: vector(n)", "(declare x (vector n))"),
    ("A: matrix(m, n)", "(declare A (matrix m n))"),
    ("K: tensor(o, c, h, w)", "(declare K (tensor o c h w))"),
    ("a: scalar positive", "(declare a (scalar positive))"),
    ("A: matrix(n, n) symmetric", "(declare A (matrix n n symmetric))"),
    ("A, B: matrix(n,n) symmetric spd", "(declare A B (matrix n n symmetric spd))"),
    ("A: symmetric matrix(n, n)", "(declare A (matrix n n symmetric))"),
    ("x: vector", "(declare x (vector))"),
    ("A: matrix symmetric", "(declare A (matrix symmetric))"),
    ("A ∈ R^{m×n}", "(declare A (matrix m n))"),
    ("A ∈ ℝ^{m × n}", "(declare A (matrix m n))"),
    ("A ∈ ℝ^{n×n} spd", "(declare A (matrix n n spd))"),
    ("x in R^n", "(declare x (vector n))"),
    ("x in R^n\nx^T x", "(declare x (vector n)); (_ (T x) x)"),
    ("x, y in R^n", "(declare x y (vector n))"),
    ("A: R^(m x n)", "(declare A (matrix m n))"),
    ("A: R^{m, n}", "(declare A (matrix m n))"),
    ("A: R^m×n", "(declare A (matrix m n))"),
    ("x ∈ ℝⁿ", "(declare x (vector n))"),
    ("A ∈ ℝᵐˣⁿ", "(declare A (matrix m n))"),
    ("A ∈ ℝ²ˣ³", "(declare A (matrix 2 3))"),
    ("y ∈ R", "(declare y (scalar))"),
    ("a: ℝ", "(declare a (scalar))"),
    ("x: n", "(declare x (vector n))"),
    ("x: 784", "(declare x (vector 784))"),
    ("A: n×d", "(declare A (matrix n d))"),
    ("A: n x d", "(declare A (matrix n d))"),
    ("A: 28x28", "(declare A (matrix 28 28))"),
    ("A: 28x28x3", "(declare A (tensor 28 28 3))"),
    ("A: 3xn", "(declare A (matrix 3 n))"),
    ("A: 3×n", "(declare A (matrix 3 n))"),
    ("K: o×c×h×w", "(declare K (tensor o c h w))"),
    ("x: 2 n + 1", "(declare x (vector (+ (_ 2 n) 1)))"),
    ("x: vector(n - 1)", "(declare x (vector (+ n (- 1))))"),
    ("A: matrix(2 n, n + m)", "(declare A (matrix (_ 2 n) (+ n m)))"),
    ("A: matrix(m×n)", "(declare A (matrix m n))"),
    ("A: n×n, x: n", "(declare A (matrix n n)); (declare x (vector n))"),
    ("A: matrix(n,n); x: vector(n)", "(declare A (matrix n n)); (declare x (vector n))"),
    ("A: matrix(n, n) symmetric, x, y: vector(n)", "(declare A (matrix n n symmetric)); (declare x y (vector n))"),
    ("n: scalar; x: vector(n_1)", "(declare n (scalar)); (declare x (vector n_1))"),
]

CASES = [
    *PRODUCTS,
    *SUMS,
    *POWERS,
    *TRANSPOSES,
    *BRACKETS,
    *BARS,
    *INDEX_SUMS,
    *CALLS,
    *NUMBERS,
    *NAMES,
    *STATEMENTS,
    *DECLARATIONS,
]


@pytest.mark.parametrize(("text", "tree"), CASES)
def test_tree(text: str, tree: str) -> None:
    assert dump(parse(text, is_function=FUNCTIONS.__contains__)) == tree


def test_a_tree_keeps_its_source() -> None:
    program = parse("x; y")
    assert program.source == "x; y"
    assert program.span == Span(0, 4)


# --- spans ---------------------------------------------------------------------------------------

SPANS = [
    ("x + y", "x + y"),
    ("  (a + b) c  ", "(a + b) c"),
    ("A^-1", "A^-1"),
    ("||x||_2^2", "||x||_2^2"),
    ("f(x, y)", "f(x, y)"),
    ("-x y", "-x y"),
    ("A'", "A'"),
    ("A[i, :]", "A[i, :]"),
    ("x_{i+1}", "x_{i+1}"),
    ("sum_{i=1}^{N} x_i^2", "sum_{i=1}^{N} x_i^2"),
    ("[A, B; C, D] # block", "[A, B; C, D]"),
    ("⟨x, y⟩", "⟨x, y⟩"),
    ("√x", "√x"),
    ("λ", "λ"),
    ("[x; y]^T[x; y]", "[x; y]^T[x; y]"),
]


@pytest.mark.parametrize(("text", "part"), SPANS)
def test_span_of_the_whole(text: str, part: str) -> None:
    span = parse_expression(text).span
    assert text[span.start : span.end] == part


def test_span_of_a_subscript_that_is_spelled_out() -> None:
    indexed = parse_expression("|v|_cλita")
    assert isinstance(indexed, ast.Index)
    assert indexed.items[0].span == Span(4, 9)


def test_rows_behind_a_value_are_a_block_not_an_index() -> None:
    written = dump(parse_expression("[x; y]^T[x; y] + 2 (A)[x; y]"))
    assert written == dump(parse_expression("[x; y]^T [x; y] + 2 A [x; y]"))
    with pytest.raises(ParseError, match="stands inside the open"):
        parse_expression("A[1; 2]")


def test_every_node_lies_inside_its_parent() -> None:
    text = "sum_{i=1}^{N} (y_i - ||A x_i||_2^2 / (2 σ²))^2 + [x; y]' tr(A^-T B[1:2, :]) + f(a, k=b)"
    program = parse(text)
    waiting: list[tuple[ast.Ast, Span]] = [(program, program.span)]
    seen = 0
    while waiting:
        node, outer = waiting.pop()
        seen += 1
        assert outer.start <= node.span.start < node.span.end <= outer.end, (dump(node), node.span, outer)
        waiting.extend((child, node.span) for child in parts(node))
    assert seen > 40


def parts(node: ast.Ast) -> list[ast.Ast]:
    found: list[ast.Ast] = []
    waiting: list[object] = [getattr(node, name) for name in node.__dataclass_fields__ if name != "span"]
    while waiting:
        value = waiting.pop()
        if isinstance(value, ast.Ast):
            found.append(value)
        elif isinstance(value, tuple):
            waiting.extend(value)
    return found


def test_a_call_knows_where_its_name_is() -> None:
    call = parse_expression("2 logg(x)")
    assert isinstance(call, ast.Binary)
    assert isinstance(call.right, ast.Call)
    assert call.right.func_span == Span(2, 6)


# --- values --------------------------------------------------------------------------------------


def test_numbers_are_exact() -> None:
    number = parse_expression("0.1")
    assert isinstance(number, ast.Num)
    assert number.value == Fraction(1, 10)
    assert number.text == "0.1"


@pytest.mark.parametrize("text", ["A^-1", "A^{-1}", "A^(-1)", "A⁻¹", "A**-1"])
def test_every_inverse_has_one_tree(text: str) -> None:
    power = parse_expression(text)
    assert isinstance(power, ast.Binary)
    assert isinstance(power.right, ast.Num)
    assert power.right.value == -1
    assert power.right.text == "-1"


def test_a_blank_before_the_bracket_calls_only_functions() -> None:
    assert dump(parse_expression("g (x)")) == "(_ g x)"
    assert dump(parse_expression("g (x)", is_function="g".__eq__)) == "(call g x)"
    assert dump(parse_expression("γ (x)", is_function="gamma".__eq__)) == "(call gamma x)"
    assert dump(parse_expression("g[x]")) == "(index g x)"
    assert dump(parse_expression("g[x]", is_function="g".__eq__)) == "(call g x)"


# --- names ---------------------------------------------------------------------------------------


def test_greek_letters_and_their_names_are_the_same() -> None:
    for letter, name in (LETTER_TO_NAME | VARIANT_TO_NAME).items():
        assert dump(parse_expression(letter)) == name
        assert canonical_name(letter) == canonical_name(name) == name
    assert all(LETTER_TO_NAME[letter] == name for name, letter in NAME_TO_LETTER.items())
    assert len(NAME_TO_LETTER) == len(LETTER_TO_NAME)


@pytest.mark.parametrize(
    ("text", "name"),
    [("x", "x"), (" λ ", "lambda"), ("W_{1}", "W_1"), ("W_{max}", "W_max"), ("x₁", "x_1"), ("λ_σ", "lambda_sigma")],
)
def test_canonical_name(text: str, name: str) -> None:
    assert canonical_name(text) == name


@pytest.mark.parametrize("text", ["", "1x", "x y", "x+", "x_", "_x", "а", "x\u200b", "ｘ", "Α", "x.y", "x̂", "f(x)"])
def test_what_is_not_a_name(text: str) -> None:
    with pytest.raises(MatcalcError):
        canonical_name(text)


# --- entry points --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("matrix(n, n) symmetric", "(matrix n n symmetric)"),
        ("R^{m×n}", "(matrix m n)"),
        ("vector(n)", "(vector n)"),
        ("n×d", "(matrix n d)"),
        ("n x d", "(matrix n d)"),
        ("n", "(vector n)"),
        ("scalar", "(scalar)"),
        ("scalar positive integer", "(scalar positive integer)"),
        ("R", "(scalar)"),
        ("ℝⁿ", "(vector n)"),
        ("tensor(2, n, n)", "(tensor 2 n n)"),
        ("spd matrix(n, n)", "(matrix n n spd)"),
    ],
)
def test_types(text: str, tree: str) -> None:
    assert dump(parse_type(text)) == tree


@pytest.mark.parametrize(
    "text", ["", "x: n", "vector(n); n", "vector(n), n", "f(x)", "x + y = 3", "symmetric", "[A, B]"]
)
def test_what_is_not_a_type(text: str) -> None:
    with pytest.raises(MatcalcError):
        parse_type(text)


def test_declarations_alone() -> None:
    found = parse_declarations("A: matrix(n,n) spd; x: vector(n), y: n\nz ∈ R")
    assert [dump(declaration) for declaration in found] == [
        "(declare A (matrix n n spd))",
        "(declare x (vector n))",
        "(declare y (vector n))",
        "(declare z (scalar))",
    ]
    with pytest.raises(MatcalcError, match="declaration"):
        parse_declarations("x: vector(n); x^T x")


def test_an_expression_alone() -> None:
    assert dump(parse_expression("\n x # comment\n")) == "x"
    for text in ("x; y", "x = 3", "x: vector(n)", "f(x) = x"):
        with pytest.raises(MatcalcError, match="expression"):
            parse_expression(text)


def test_text_is_expected() -> None:
    with pytest.raises(UsageError):
        parse(b"x")  # type: ignore[arg-type]


# --- size ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "(" * 1000 + "x" + ")" * 1000,
        "[" * 1000 + "x" + "]" * 1000,
        "exp(" * 1000 + "x" + ")" * 1000,
        "| " * 1000 + "x" + " |" * 1000,
        "-" * 5000 + "x",
        "a*" + "-" * 5000 + "x",
        "x" + "^x" * 5000,
        "x" + "'" * 5000,
        "x" + "[1]" * 5000,
        " + ".join("a x" for _ in range(10_000)),
        " ".join("x" for _ in range(10_000)),
        "sum_i " * 1000 + "x_i",
        "√" * 1000 + "x",
    ],
    ids=lambda text: text[:6],
)
def test_deep_and_long_texts(text: str) -> None:
    assert len(dump(parse(text))) > 0


def test_a_sum_is_flat() -> None:
    total = parse_expression(" - ".join(f"x_{i}" for i in range(10_000)))
    assert isinstance(total, ast.Add)
    assert len(total.terms) == 10_000


@pytest.mark.parametrize(
    "text",
    [
        "x" * (Limits().length + 1),
        "(" * (Limits().nesting + 1) + "x" + ")" * (Limits().nesting + 1),
        "x\n" * (Limits().statements + 2),
        "1e5000",
        "1e-5000",
        "1" * (Limits().digits + 1),
        "x" + "²" * (Limits().digits + 1),
    ],
    ids=["length", "nesting", "statements", "exponent", "negative exponent", "digits", "raised digits"],
)
def test_limits(text: str) -> None:
    with pytest.raises(MatcalcError) as caught:
        parse(text)
    assert caught.value.code == "limit"


# --- the grammar ---------------------------------------------------------------------------------


def test_the_grammar_has_no_conflict_and_every_rule_an_action() -> None:
    """Lark builds in strict mode, where a shift/reduce conflict is an error as a reduce/reduce conflict always is."""
    logging.getLogger("lark").setLevel(logging.DEBUG)
    table = build_table(read_grammar("matcalc.lark"), TABLES["matcalc"])
    assert {rule.action for rule in table.rules if not (rule.single and rule.size == 1)} <= set(ACTIONS)


def test_the_stored_table_belongs_to_the_grammar() -> None:
    grammar = read_grammar("matcalc.lark")
    built = build_table(grammar, TABLES["matcalc"])
    assert Path(stored_path("matcalc")).read_text(encoding="utf-8") == to_json(built, grammar), (
        "run `python -m matcalc.syntax.table`"
    )
    assert load_table("matcalc", TABLES["matcalc"]) == built
    assert json.loads(to_json(built, grammar))["grammar"] == checksum(grammar)


def test_a_missing_grammar_names_both_places() -> None:
    with pytest.raises(UsageError) as caught:
        read_grammar("none.lark")
    assert all(place in caught.value.message for place in grammar_directories())


def test_reading_needs_no_slow_import() -> None:
    code = (
        "import sys, matcalc.syntax.parse as p; p.parse('x^T A x + ||x||^2');"
        "print([m for m in ('lark', 'numpy', 'sympy', 'scipy', 'interegular') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- whatever is typed ---------------------------------------------------------------------------

WORDS = (
    "x A λ 2 0.5 + - * / .* \\ ^ ^T ' ² ( ) [ ] { } _{ | || ‖ < > ⟨ ⟩ , ; : = == # \" sum_{i=1}^{N} sum_i ∑ _i "
    "_2 _+ √ ∈ R × in matrix symmetric f( T . ° \\top ₁ ⁿ x_i"
)
PIECES = st.sampled_from([" ", "\n", *WORDS.split()])


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_pieces_of_the_language_in_any_order(text: str) -> None:
    read_or_refuse(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20))
def test_any_text(text: str) -> None:
    read_or_refuse(text)


def read_or_refuse(text: str) -> None:
    """A text is read, with spans inside it, or refused with a sentence, a place and a hint."""
    try:
        program = parse(text)
    except MatcalcError as found:
        error = found
    else:
        assert dump(program)
        return
    assert error.hint
    assert error.message.endswith(".")
    assert error.span is not None
    assert 0 <= error.span.start <= error.span.end <= len(text)
    assert str(error)
