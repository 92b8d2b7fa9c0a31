"""Programs that between them use every operation which source in other languages is written for."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

SIZES: Mapping[str, int] = {"m": 4, "n": 3, "p": 2, "q": 5, "n m": 12, "n (n+1)/2": 6, "3": 3}

PROGRAMS: tuple[tuple[str, str], ...] = (
    ("sum(abs(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(asin(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(asinh(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(atan(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(cbrt(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(ceil(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(cos(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(cosh(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(exp(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(expm1(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(floor(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(acos(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(atanh(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(normpdf(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(normcdf(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(gelu(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(relu(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(round(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(selu(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(sigmoid(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(sign(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(silu(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(sin(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(sinh(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(softplus(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(step(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(tan(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(tanh(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(erf(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(erfc(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(log(x) .* c)", "x: vector(n) positive; c: vector(n)"),
    ("sum(log10(x) .* c)", "x: vector(n) positive; c: vector(n)"),
    ("sum(log1p(x) .* c)", "x: vector(n) positive; c: vector(n)"),
    ("sum(log2(x) .* c)", "x: vector(n) positive; c: vector(n)"),
    ("sum(lgamma(x) .* c)", "x: vector(n) positive; c: vector(n)"),
    ("sum(digamma(x) .* c)", "x: vector(n) positive; c: vector(n)"),
    ("sum(trigamma(x) .* c)", "x: vector(n) positive; c: vector(n)"),
    ("sum(sqrt(x) .* c)", "x: vector(n) positive; c: vector(n)"),
    ("sum(polygamma(2, x) .* c)", "x: vector(n) positive; c: vector(n)"),
    ("sum(acosh(1 + x) .* c)", "x: vector(n) positive; c: vector(n)"),
    ("sum(atan2(x, y) .* c)", "x: vector(n); y: vector(n); c: vector(n)"),
    ("sum(hypot(x, y) .* c)", "x: vector(n); y: vector(n); c: vector(n)"),
    ("sum(maximum(x, y) .* c)", "x: vector(n); y: vector(n); c: vector(n)"),
    ("sum(minimum(x, y) .* c)", "x: vector(n); y: vector(n); c: vector(n)"),
    ("sum(maximum(x, 1/4) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(elu(x) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(leaky_relu(x, 1/10) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(huber(x, 1/2) .* c)", "x: vector(n); c: vector(n)"),
    ("sum(huber(x, d) .* c)", "x: vector(n); c: vector(n); d: scalar positive"),
    ("sum(x.^y .* c)", "x: vector(n) positive; y: vector(n); c: vector(n)"),
    ("sum(where(x > y, x.^2, y.^3))", "x: vector(n); y: vector(n)"),
    ("sum(where(x >= 0, x.^2, 1))", "x: vector(n)"),
    ("sum((x < y) .* x + (x <= y) .* y + (x == y) .* x + (x != y) .* y)", "x: vector(n); y: vector(n)"),
    ("sum(logsumexp(X, axis=1))", "X: matrix(m,n)"),
    ("logsumexp(X)", "X: matrix(m,n)"),
    ("sum(softmax(X).^2)", "X: matrix(m,n)"),
    ("sum(Y .* log_softmax(X))", "X: matrix(m,n); Y: matrix(m,n)"),
    ("sum(max(X, axis=0)^T .* c) + max(X)", "X: matrix(m,n); c: vector(n)"),
    ("sum(min(X, axis=0)^T .* c) + min(X)", "X: matrix(m,n); c: vector(n)"),
    ("sum(prod(X, axis=0)^T .* c) + prod(X)", "X: matrix(m,n); c: vector(n)"),
    ("sum(var(X, axis=0)^T .* c) + var(X)", "X: matrix(m,n); c: vector(n)"),
    ("sum(std(X, axis=0)^T .* c) + std(X)", "X: matrix(m,n); c: vector(n)"),
    ("sum(mean(X, axis=0)^T .* c) + mean(X)", "X: matrix(m,n); c: vector(n)"),
    ("sum(prodexcept(x) .* c)", "x: vector(n); c: vector(n)"),
    ("norm(X) + norm(x)", "X: matrix(m,n); x: vector(n)"),
    ("norminf(x)", "x: vector(n)"),
    ("argmax(x)", "x: vector(n)"),
    ("sum(normalize(x) .* c)", "x: vector(n); c: vector(n)"),
    ("tr(B adj(A))", "A: matrix(n,n); B: matrix(n,n)"),
    ("det(A)", "A: matrix(n,n)"),
    ("det(A A^T)", "A: matrix(m,n)"),
    ("sum(chol(S) .* B)", "S: matrix(n,n) spd; B: matrix(n,n)"),
    ("sum(inv(A) .* B)", "A: matrix(n,n); B: matrix(n,n)"),
    ("logdet(A) + b^T A^-1 b", "A: matrix(n,n); b: vector(n)"),
    ("det(A) b^T A^-1 b", "A: matrix(n,n); b: vector(n)"),
    ("nuclear(X)", "X: matrix(m,n)"),
    ("spectral(X)", "X: matrix(m,n)"),
    ("sum(svdvals(X).^3)", "X: matrix(m,n)"),
    ("sum(pinv(X) .* Y)", "X: matrix(m,n); Y: matrix(n,m)"),
    ("sum(polar(X) .* Y)", "X: matrix(m,n); Y: matrix(m,n)"),
    ("eigmax(S)", "S: matrix(n,n) symmetric"),
    ("eigmin(S)", "S: matrix(n,n) symmetric"),
    ("sum(eigvals(S).^3)", "S: matrix(n,n) symmetric"),
    ("sum(eigvals(S).^3)", "S: matrix(n,n)"),
    ("sum(eigvecs(S) .* B)", "S: matrix(n,n) symmetric; B: matrix(n,n)"),
    ("sum(svd_u(X) .* B)", "X: matrix(n,n); B: matrix(n,n)"),
    ("sum(svd_v(X) .* B)", "X: matrix(n,n); B: matrix(n,n)"),
    ("tr(B A^3)", "A: matrix(n,n); B: matrix(n,n)"),
    ("tr(B A^k)", "A: matrix(n,n); B: matrix(n,n); k: scalar integer"),
    ("tr(A^k)", "A: matrix(n,n); k: scalar integer"),
    ("tr(B expm(A))", "A: matrix(n,n); B: matrix(n,n)"),
    ("tr(B logm(S))", "S: matrix(n,n) spd; B: matrix(n,n)"),
    ("tr(B sqrtm(S))", "S: matrix(n,n) spd; B: matrix(n,n)"),
    ("b^T L^-1 b", "L: matrix(n,n) lower; b: vector(n)"),
    ("b^T U^-1 b + tr(U^-1 B)", "U: matrix(n,n) upper; b: vector(n); B: matrix(n,n)"),
    ("b^T D^-1 b + sum(D^-1 B)", "D: matrix(n,n) diagonal; b: vector(n); B: matrix(n,m)"),
    ("sum(A^-1 B)", "A: matrix(n,n); B: matrix(n,m)"),
    ("a^T vech(X)", "X: matrix(n,n) symmetric; a: vector(n (n+1)/2)"),
    ("a^T vec(A X)", "X: matrix(n,m); A: matrix(n,n); a: vector(n m)"),
    ("sum(cumsum(x) .* c)", "x: vector(n); c: vector(n)"),
    ("cross(a,b)", "a: vector(3); b: vector(3)"),
    ("x_1 x_2 + X_{1,2}", "x: vector(n); X: matrix(n,m)"),
    ("sum_{i=1}^{n-1} (x_{i+1} - x_i^2)^2", "x: vector(n)"),
    ("sum((A + t I).^2)", "A: matrix(n,n); t: scalar"),
    ("tr(A)^2", "A: matrix(n,n)"),
    ("sum(diag(A).^2)", "A: matrix(n,n)"),
    ("sum(A diag(x) A^T .* B)", "A: matrix(m,n); x: vector(n); B: matrix(m,m)"),
    ("sum(abs(x y^T))", "x: vector(m); y: vector(n)"),
    ("sum(kron(A,B).^2)", "A: matrix(m,n); B: matrix(p,q)"),
    ("A X B", "A: matrix(m,n); X: matrix(n,p); B: matrix(p,q)"),
    ("x + t ones(n)", "x: vector(n); t: scalar"),
    ("n sum(x) + lgamma(n/2) + log(n) + sqrt(n)", "x: vector(n)"),
    ("sum((X - ones(m) x^T).^2)", "X: matrix(m,n); x: vector(n)"),
    ("sum(cumsum(X, axis=0) .* Y)", "X: matrix(m,n); Y: matrix(m,n)"),
    ("x^T A y", "x: vector(m); A: matrix(m,n); y: vector(n)"),
    ("digamma(n) sum(x) + erf(n) + gelu(n) relu(t)", "x: vector(n); t: scalar"),
    ("b^T S^-1 b", "S: matrix(n,n) spd; b: vector(n)"),
    ("b^T S^-1 b", "S: matrix(n,n) symmetric; b: vector(n)"),
    ("logdet(A)", "A: matrix(n,n)"),
    ("x_2 + sum(x)", "x: vector(n)"),
    ("vec(X)", "X: matrix(m,n)"),
    ("vech(X)", "X: matrix(n,n) symmetric"),
    ("1/2 logdet(S) + 1/2 x^T S^-1 x", "S: matrix(n,n) spd; x: vector(n)"),
    ("X^T", "X: matrix(m,n)"),
    ("sum(vech(x y^T).^2) + sum(vech(X).^2)", "x: vector(n); y: vector(n); X: matrix(n,n)"),
    ("sum(abs(A^-1))", "A: matrix(n,n)"),
    ("sum_{i=1}^{n} i x_i^2", "x: vector(n)"),
)
"""A text, and the types of its variables, of which the first is differentiated by."""


def declared(types: str) -> dict[str, str]:
    """The types by name."""
    return dict(part.split(": ") for part in types.split("; "))


def sampled(types: str) -> dict[str, NDArray[np.float64]]:
    """Values of the variables: of moderate size, with the declared properties."""
    random = np.random.default_rng(5)
    return {name: _value(text, random) for name, text in declared(types).items()}


def _value(text: str, random: np.random.Generator) -> NDArray[np.float64]:
    if "integer" in text:
        return np.array(3.0)
    match = re.fullmatch(r"(?:vector|matrix)\((.*)\) ?\w*", text)
    shape = [SIZES[length.strip()] for length in match.group(1).split(",")] if match else []
    value = np.asarray(random.uniform(-0.9, 0.9, shape))
    match text.rpartition(" ")[2]:
        case "positive":
            return np.abs(value) + 0.1
        case "spd":
            return value @ value.T + np.eye(len(value))
        case "symmetric":
            return value + value.T
        case "lower":
            return np.tril(value) + np.eye(len(value))
        case "upper":
            return np.triu(value) + np.eye(len(value))
        case "diagonal":
            return np.diag(np.diag(value)) + 2 * np.eye(len(value))
    return value
