"""Hand-written kernels compiled by Numba: fused, vectorised loops around BLAS.

What a program with a compiler could reach. The wheels of llvmlite have no vector mathematics, so exp, log1p and tanh
are polynomials without branches that LLVM vectorises, to about one unit in the last place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numba
import numpy as np
from numba import njit, prange
from numba.core import types
from numba.extending import intrinsic
from scipy.linalg import blas, lapack

from ..workloads import LAYERS, Array, Arrays, Case
from .contract import Bind, Prepared, Unsupported
from .numpy_expert import aligned, like, small_product_rows

Outputs = tuple[Any, ...]
Evaluate = Callable[[], Outputs]

#: Fast, but NaN and infinities stay what they are.
FLAGS = {"nsz", "arcp", "contract", "afn", "reassoc"}
THREADED = {"parallel": numba.config.NUMBA_NUM_THREADS > 1, "fastmath": FLAGS, "error_model": "numpy"}
SERIAL = {"fastmath": FLAGS, "error_model": "numpy", "inline": "never"}
INLINED = {"fastmath": {"contract"}, "error_model": "numpy", "inline": "always"}


@intrinsic
def _bits(tyctx, v):
    def codegen(cg, builder, sig, args):
        return builder.bitcast(args[0], cg.get_value_type(types.float64))

    return types.float64(types.int64), codegen


@njit(**INLINED)
def _expm1_parts(x):
    """exp(x) = s + s*q with s = 2^k, q = expm1(r); x in [-708, 709]."""
    x = min(max(x, -708.0), 709.0)
    k = math.floor(x * 1.4426950408889634 + 0.5)
    r = (x - k * 6.93145751953125e-1) - k * 1.42860682030941723212e-6
    q = 1.6059043836821613e-10
    q = q * r + 2.08767569878681e-09
    q = q * r + 2.505210838544172e-08
    q = q * r + 2.755731922398589e-07
    q = q * r + 2.7557319223985893e-06
    q = q * r + 2.48015873015873e-05
    q = q * r + 0.0001984126984126984
    q = q * r + 0.001388888888888889
    q = q * r + 0.008333333333333333
    q = q * r + 0.041666666666666664
    q = q * r + 0.16666666666666666
    q = q * r + 0.5
    q = r + r * r * q
    s = _bits((np.int64(k) + 1023) << 52)
    return s, q


@njit(**INLINED)
def vexp(x):
    s, q = _expm1_parts(x)
    return s + s * q


@njit(**INLINED)
def vtanh(x):
    s, q = _expm1_parts(-2.0 * abs(x))
    em1 = s * q + (s - 1.0)
    return math.copysign(-em1 / (2.0 + em1), x)


@njit(**INLINED)
def vlog1p01(e):
    """log(1+e), 0 <= e <= 1: 2 atanh(e/(2+e))."""
    s = e / (2.0 + e)
    z = s * s
    q = 1.0 / 33
    q = q * z + 1.0 / 31
    q = q * z + 1.0 / 29
    q = q * z + 1.0 / 27
    q = q * z + 1.0 / 25
    q = q * z + 1.0 / 23
    q = q * z + 1.0 / 21
    q = q * z + 1.0 / 19
    q = q * z + 1.0 / 17
    q = q * z + 1.0 / 15
    q = q * z + 1.0 / 13
    q = q * z + 1.0 / 11
    q = q * z + 1.0 / 9
    q = q * z + 1.0 / 7
    q = q * z + 1.0 / 5
    q = q * z + 1.0 / 3
    return 2.0 * (s + s * z * q)


@njit(**SERIAL)
def _gemv_rows(X, w, m, i0, i1):
    """m[i] = X[i] . w, four rows at a time."""
    d = X.shape[1]
    i = i0
    while i + 4 <= i1:
        a0 = a1 = a2 = a3 = 0.0
        for j in range(d):
            wj = w[j]
            a0 += X[i, j] * wj
            a1 += X[i + 1, j] * wj
            a2 += X[i + 2, j] * wj
            a3 += X[i + 3, j] * wj
        m[i - i0] = a0
        m[i - i0 + 1] = a1
        m[i - i0 + 2] = a2
        m[i - i0 + 3] = a3
        i += 4
    while i < i1:
        a0 = 0.0
        for j in range(d):
            a0 += X[i, j] * w[j]
        m[i - i0] = a0
        i += 1


@njit(**SERIAL)
def _gevm_rows(X, c, g, i0, i1):
    """g += sum_i c[i] X[i], four rows at a time."""
    d = X.shape[1]
    i = i0
    while i + 4 <= i1:
        c0, c1, c2, c3 = c[i - i0], c[i - i0 + 1], c[i - i0 + 2], c[i - i0 + 3]
        for j in range(d):
            g[j] += (c0 * X[i, j] + c1 * X[i + 1, j]) + (c2 * X[i + 2, j] + c3 * X[i + 3, j])
        i += 4
    while i < i1:
        c0 = c[i - i0]
        for j in range(d):
            g[j] += c0 * X[i, j]
        i += 1


@njit(**SERIAL)
def _logistic(m, y, i0, n, c):
    """c = -y*sigma(-y m); returns the sum of softplus(-y m)."""
    v = 0.0
    for i in range(n):
        z = m[i] * y[i0 + i]
        e = vexp(-abs(z))
        v += vlog1p01(e) - min(z, 0.0)
        num = 1.0 if z < 0.0 else e
        c[i] = -y[i0 + i] * (num / (1.0 + e))
    return v


@njit(**SERIAL)
def _curv(m, y, q, i0, n, c):
    for i in range(n):
        e = vexp(-abs(m[i]))
        t = 1.0 + e
        c[i] = y[i0 + i] * y[i0 + i] * q[i] * (e / (t * t))


@njit(**THREADED)
def k_quad(A, x, t, G, T, P):
    n = A.shape[0]
    for th in prange(T):
        lo, hi = n * th // T, n * (th + 1) // T
        g = G[th]
        g[:] = 0.0
        for i in range(lo, hi, P):
            j = min(i + P, hi)
            _gemv_rows(A, x, t[i:], i, j)
            _gevm_rows(A, x[i:], g, i, j)
    v = 0.0
    for i in range(n):
        v += x[i] * t[i]
        for th in range(1, T):
            G[0, i] += G[th, i]
        G[0, i] += t[i]
    return v


@njit(**THREADED)
def k_ridge(X, y, w, lam, M, G, V, T, P):
    N = X.shape[0]
    for th in prange(T):
        lo, hi = N * th // T, N * (th + 1) // T
        g, m = G[th], M[th]
        g[:] = 0.0
        v = 0.0
        for i in range(lo, hi, P):
            j = min(i + P, hi)
            _gemv_rows(X, w, m, i, j)
            for r in range(j - i):
                m[r] -= y[i + r]
                v += m[r] * m[r]
            _gevm_rows(X, m, g, i, j)
        V[th] = v
    s = 0.0
    for th in range(T):
        s += V[th]
    for j in range(w.shape[0]):
        for th in range(1, T):
            G[0, j] += G[th, j]
        G[0, j] = 2.0 * (G[0, j] + lam * w[j])
        s += lam * w[j] * w[j]
    return s


@njit(**THREADED)
def k_logreg(X, y, w, M, C, G, V, T, P):
    N = X.shape[0]
    for th in prange(T):
        lo, hi = N * th // T, N * (th + 1) // T
        g, m, c = G[th], M[th], C[th]
        g[:] = 0.0
        v = 0.0
        for i in range(lo, hi, P):
            j = min(i + P, hi)
            _gemv_rows(X, w, m, i, j)
            v += _logistic(m, y, i, j - i, c)
            _gevm_rows(X, c, g, i, j)
        V[th] = v
    s = 0.0
    for th in range(T):
        s += V[th]
    for th in range(1, T):
        for j in range(w.shape[0]):
            G[0, j] += G[th, j]
    return s


@njit(**THREADED)
def k_logreg_hvp(X, y, w, u, M, Q, C, G, T, P):
    N = X.shape[0]
    for th in prange(T):
        lo, hi = N * th // T, N * (th + 1) // T
        g, m, q, c = G[th], M[th], Q[th], C[th]
        g[:] = 0.0
        for i in range(lo, hi, P):
            j = min(i + P, hi)
            _gemv_rows(X, w, m, i, j)
            _gemv_rows(X, u, q, i, j)
            _curv(m, y, q, i, j - i, c)
            _gevm_rows(X, c, g, i, j)
    for th in range(1, T):
        for j in range(w.shape[0]):
            G[0, j] += G[th, j]


def _panel(N, row_bytes, T, target=256 << 10):
    return max(4, min(-(-N // T), target // row_bytes // 4 * 4))


def quadratic(p: Arrays, threads: int) -> Evaluate:
    A, x = p["A"], p["x"]
    n = len(x)
    T = threads if n >= 200 else 1
    t, G, P = aligned(n), aligned((T, n)), _panel(n, n * 8, T)

    def f() -> Outputs:
        return k_quad(A, x, t, G, T, P), G[0]

    return f


def ridge(p: Arrays, threads: int) -> Evaluate:
    X, y, w, lam = p["X"], p["y"], p["w"], float(p["lam"])
    N, d = X.shape
    T = threads if N * d > 40_000 else 1
    P = _panel(N, d * 8, T)
    M, G, V = aligned((T, P)), aligned((T, d)), aligned(T)

    def f() -> Outputs:
        return k_ridge(X, y, w, lam, M, G, V, T, P), G[0]

    return f


def logistic(p: Arrays, threads: int) -> Evaluate:
    X, y, w = p["X"], p["y"], p["w"]
    N, d = X.shape
    T = threads if N * d > 40_000 else 1
    P = _panel(N, d * 8, T)
    M, C, G, V = aligned((T, P)), aligned((T, P)), aligned((T, d)), aligned(T)

    def f() -> Outputs:
        return k_logreg(X, y, w, M, C, G, V, T, P), G[0]

    return f


def logistic_product(p: Arrays, threads: int) -> Evaluate:
    X, y, w, u = p["X"], p["y"], p["w"], p["v"]
    N, d = X.shape
    T = threads if N * d > 40_000 else 1
    P = _panel(N, d * 8, T)
    M, Q, C, G = aligned((T, P)), aligned((T, P)), aligned((T, P)), aligned((T, d))

    def f() -> Outputs:
        k_logreg_hvp(X, y, w, u, M, Q, C, G, T, P)
        return (G[0],)

    return f


@njit(**SERIAL)
def k_ce(Z, bias, Y, D, scale):
    """D = (softmax(Z + bias) - Y)*scale; returns the scaled cross entropy."""
    N, k = Z.shape
    v = 0.0
    for i in range(N):
        m = -np.inf
        for j in range(k):
            Z[i, j] += bias[j]
            v -= Y[i, j] * Z[i, j]
            m = max(m, Z[i, j])
        s = 0.0
        for j in range(k):
            D[i, j] = vexp(Z[i, j] - m)
            s += D[i, j]
        v += m + math.log(s)
        r = 1.0 / s
        for j in range(k):
            D[i, j] = (D[i, j] * r - Y[i, j]) * scale
    return v * scale


@njit(**SERIAL)
def k_bias_relu(A, b):
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            A[i, j] = max(A[i, j] + b[j], 0.0)


@njit(**SERIAL)
def k_relu_back(E, A, gb):
    gb[:] = 0.0
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            E[i, j] = E[i, j] if A[i, j] > 0.0 else 0.0
            gb[j] += E[i, j]


@njit(**SERIAL)
def k_colsum(D, gb):
    gb[:] = 0.0
    for i in range(D.shape[0]):
        for j in range(D.shape[1]):
            gb[j] += D[i, j]


def softmax_regression(p: Arrays, threads: int) -> Evaluate:
    X, Y, W = p["X"], p["Y"], p["W"]
    N, d = X.shape
    k = W.shape[1]
    Z, D, g, u, zero = aligned((N, k)), aligned((N, k)), aligned((d, k)), aligned((d, k)), np.zeros(k)
    panels = [(X[s], X[s].T, Y[s], Z[s], D[s]) for s in small_product_rows(N, d * k, d * 8)]

    def f() -> Outputs:
        g.fill(0.0)
        v = 0.0
        for x, xT, y, z, q in panels:
            np.dot(x, W, out=z)
            v += k_ce(z, zero, y, q, 1.0 / N)
            np.dot(xT, q, out=u)
            np.add(g, u, out=g)
        return v, g

    return f


@njit(**SERIAL)
def k_bias_relu_t(A, b):
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            A[i, j] = max(A[i, j] + b[i], 0.0)


@njit(**SERIAL)
def k_relu_back_t(E, A, gb):
    for i in range(A.shape[0]):
        s = 0.0
        for j in range(A.shape[1]):
            E[i, j] = E[i, j] if A[i, j] > 0.0 else 0.0
            s += E[i, j]
        gb[i] = s


def mlp(p: Arrays, threads: int) -> Evaluate:
    X, Y, W1, b1, W2, b2 = (p[s] for s in ("X", "Y", "W1", "b1", "W2", "b2"))
    N, h, k = X.shape[0], W1.shape[1], W2.shape[1]
    A, E, Z, D = aligned((h, N)), aligned((h, N)), aligned((N, k)), aligned((N, k))  # A, E stored transposed
    g1, g2, gb1, gb2 = aligned((h, X.shape[1])), like(W2), like(b1), like(b2)

    def f() -> Outputs:
        np.dot(W1.T, X.T, out=A)
        k_bias_relu_t(A, b1)
        np.dot(A.T, W2, out=Z)
        v = k_ce(Z, b2, Y, D, 1.0 / N)
        np.dot(W2, D.T, out=E)
        k_relu_back_t(E, A, gb1)
        np.dot(E, X, out=g1)
        np.dot(A, D, out=g2)
        k_colsum(D, gb2)
        return v, g1.T, gb1, g2, gb2

    return f


@njit(**SERIAL)
def k_err(r, bias, Y, d, gb, scale):
    v = 0.0
    gb[:] = 0.0
    for i in range(r.shape[0]):
        for j in range(r.shape[1]):
            e = r[i, j] + bias[j] - Y[i, j]
            v += e * e
            d[i, j] = e * (2.0 * scale)
            gb[j] += d[i, j]
    return v * scale


def deep_mlp(p: Arrays, threads: int) -> Evaluate:
    L = LAYERS
    X, Y = p["X"], p["Y"]
    N = X.shape[0]
    W, b = [p[f"W{i}"] for i in range(1, L + 1)], [p[f"b{i}"] for i in range(1, L + 1)]
    acts = [X] + [aligned((N, w.shape[1])) for w in W]
    D = [aligned((N, w.shape[1])) for w in W]
    gW, gb = [like(w) for w in W], [like(c) for c in b]

    def f() -> Outputs:
        for i in range(L):
            np.dot(acts[i], W[i], out=acts[i + 1])
            if i < L - 1:
                k_bias_relu(acts[i + 1], b[i])
        v = k_err(acts[L], b[L - 1], Y, D[L - 1], gb[L - 1], 1.0 / N)
        for i in range(L - 1, -1, -1):
            np.dot(acts[i].T, D[i], out=gW[i])
            if i:
                np.dot(D[i], W[i].T, out=D[i - 1])
                k_relu_back(D[i - 1], acts[i], gb[i - 1])
        return (v, *[g for pair in zip(gW, gb, strict=True) for g in pair])

    return f


@njit(**THREADED)
def k_matfac(X, M, U, VT, gU, GV, R, V, T):
    n, m = X.shape
    k = U.shape[1]
    for th in prange(T):
        lo, hi = n * th // T, n * (th + 1) // T
        G, r = GV[th], R[th]
        G[:] = 0.0
        v = 0.0
        for i in range(lo, hi):
            for j in range(m):
                r[j] = -X[i, j]
            for a in range(k):
                u = U[i, a]
                for j in range(m):
                    r[j] += u * VT[a, j]
            for j in range(m):
                q = r[j] * M[i, j]
                v += q * q
                r[j] = 2.0 * q * M[i, j]
            for a in range(k):
                u = U[i, a]
                s = 0.0
                for j in range(m):
                    s += r[j] * VT[a, j]
                    G[a, j] += u * r[j]
                gU[i, a] = s
        V[th] = v


def factorisation(p: Arrays, threads: int) -> Evaluate:
    X, M, U, Vm = p["X"], p["M"], p["U"], p["V"]
    n, k = U.shape
    T = threads if n >= 200 else 1
    VT, gU, GV, R, V = aligned((k, n)), aligned((n, k)), aligned((T, k, n)), aligned((T, n)), aligned(T)

    def f() -> Outputs:
        np.copyto(VT, Vm.T)
        k_matfac(X, M, U, VT, gU, GV, R, V, T)
        for th in range(1, T):
            GV[0] += GV[th]
        return V.sum(), gU, GV[0].T

    return f


@njit(**THREADED)
def k_elementwise(x, y, g):
    v = 0.0
    for i in prange(x.shape[0]):
        m = x[i] * y[i]
        e = vexp(-abs(m))
        t = vtanh(x[i])
        v += vlog1p01(e) - min(m, 0.0) + t * t
        num = 1.0 if m < 0.0 else e
        g[i] = 2.0 * t * (1.0 - t * t) - y[i] * (num / (1.0 + e))
    return v


def entrywise(p: Arrays, threads: int) -> Evaluate:
    x, y = p["x"], p["y"]
    g = like(x)

    def f() -> Outputs:
        return k_elementwise(x, y, g), g

    return f


@njit(**THREADED)
def k_gp_build(D, a, b, c, E, K):
    n = D.shape[0]
    for i in prange(n):
        for j in range(i, n):  # K is F-ordered K[j, i]: column i, rows i..n
            e = vexp(-b * D[i, j])
            E[i, j] = e
            K[i, j] = a * e
        K[i, i] += c


@njit(**THREADED)
def k_gp_grad(D, E, W, t):
    n = D.shape[0]
    ga = 0.0
    gb = 0.0
    gc = 0.0
    for i in prange(n):
        ti = t[i]
        w = W[i, i] - ti * ti
        gc += w
        ga += w * E[i, i]
        sa = 0.0
        sb = 0.0
        for j in range(i + 1, n):
            q = (W[i, j] - ti * t[j]) * E[i, j]
            sa += q
            sb += q * D[i, j]
        ga += 2.0 * sa
        gb += 2.0 * sb
    return ga, gb, gc


def evidence(p: Arrays, threads: int) -> Evaluate:
    D, y, a, b, c = p["D"], p["y"], float(p["a"]), float(p["b"]), float(p["c"])
    n = len(y)
    E, K = aligned((n, n)), aligned((n, n))

    def f() -> Outputs:
        k_gp_build(D, a, b, c, E, K)  # upper triangle of K == lower of K.T (F-order)
        cf, _ = lapack.dpotrf(K.T, lower=1, clean=0, overwrite_a=1)
        ld = 2.0 * np.log(np.einsum("ii->i", cf)).sum()
        ci, _ = lapack.dpotri(cf, lower=1, overwrite_c=1)
        t = blas.dsymv(1.0, ci, y, lower=1)
        ga, gb, gc = k_gp_grad(D, E, ci.T, t)
        return 0.5 * ld + 0.5 * y.dot(t), 0.5 * ga, -0.5 * a * gb, 0.5 * gc

    return f


@njit(**THREADED)
def k_mirror(C, t, G):
    n = C.shape[0]
    for i in prange(n):
        for j in range(i, n):
            w = 0.5 * (C[i, j] - t[i] * t[j])
            G[i, j] = w
    B = 64
    for ib in prange((n + B - 1) // B):
        for jb in range(ib, (n + B - 1) // B):
            for i in range(ib * B, min(n, ib * B + B)):
                for j in range(max(i + 1, jb * B), min(n, jb * B + B)):
                    G[j, i] = G[i, j]


def gauss(p: Arrays, threads: int) -> Evaluate:
    S, y = p["S"], p["y"]
    n = len(y)
    K, G = aligned((n, n)), aligned((n, n))

    def f() -> Outputs:
        np.copyto(K, S)
        cf, _ = lapack.dpotrf(K.T, lower=1, clean=0, overwrite_a=1)
        ld = 2.0 * np.log(np.einsum("ii->i", cf)).sum()
        ci, _ = lapack.dpotri(cf, lower=1, overwrite_c=1)
        t = blas.dsymv(1.0, ci, y, lower=1)
        v = 0.5 * ld + 0.5 * y.dot(t)
        k_mirror(ci.T, t, G)
        return v, G

    return f


@njit(**THREADED)
def k_jac_softmax(A, x, z, Q, J, T):
    n, d = A.shape
    for th in prange(T):
        _gemv_rows(A, x, z[n * th // T :], n * th // T, n * (th + 1) // T)
    m = -np.inf
    for i in range(n):
        m = max(m, z[i])
    s = 0.0
    for i in range(n):
        z[i] = vexp(z[i] - m)
        s += z[i]
    r = 1.0 / s
    for i in range(n):
        z[i] *= r
    for th in prange(T):
        Q[th, :] = 0.0
        _gevm_rows(A, z[n * th // T :], Q[th], n * th // T, n * (th + 1) // T)
    for th in range(1, T):
        for j in range(d):
            Q[0, j] += Q[th, j]
    for i in prange(n):
        for j in range(d):
            J[i, j] = z[i] * (A[i, j] - Q[0, j])


def softmax_jacobian(p: Arrays, threads: int) -> Evaluate:
    A, x = p["A"], p["x"]
    n = len(x)
    z, Q, J = aligned(n), aligned((threads, n)), aligned((n, n))

    def f() -> Outputs:
        k_jac_softmax(A, x, z, Q, J, threads)
        return (J,)

    return f


@njit(**THREADED)
def k_jac_sigmoid(A, x, b, J, T, Z):
    n, d = A.shape
    for th in prange(T):
        lo, hi = n * th // T, n * (th + 1) // T
        z = Z[th]
        for i in range(lo, hi, 16):
            k = min(i + 16, hi)
            _gemv_rows(A, x, z, i, k)
            for r in range(i, k):
                e = vexp(-abs(z[r - i] + b[r]))
                c = e / ((1.0 + e) * (1.0 + e))
                for j in range(d):
                    J[r, j] = c * A[r, j]


def sigmoid_jacobian(p: Arrays, threads: int) -> Evaluate:
    A, x, b = p["A"], p["x"], p["b"]
    n = len(x)
    J, Z = aligned((n, n)), aligned((threads, 16))

    def f() -> Outputs:
        k_jac_sigmoid(A, x, b, J, threads, Z)
        return (J,)

    return f


@njit(**SERIAL)
def k_add_tanh(tmp, pre, o):
    for i in range(tmp.shape[0]):
        for j in range(tmp.shape[1]):
            o[i, j] = vtanh(tmp[i, j] + pre[i, j])


@njit(**SERIAL)
def k_rnn_fwd(Hs, pre, b, Wh, tmp):
    for t in range(pre.shape[0]):
        np.dot(Hs[t], Wh, tmp)
        o, q = Hs[t + 1], pre[t]
        for i in range(tmp.shape[0]):
            for j in range(tmp.shape[1]):
                o[i, j] = vtanh(tmp[i, j] + q[i, j] + b[j])


@njit(**SERIAL)
def k_rnn_bwd(Hs, dA, dh, WhT, gb):
    gb[:] = 0.0
    for t in range(dA.shape[0] - 1, -1, -1):
        o, d = Hs[t + 1], dA[t]
        for i in range(dh.shape[0]):
            for j in range(dh.shape[1]):
                d[i, j] = dh[i, j] * (1.0 - o[i, j] * o[i, j])
                gb[j] += d[i, j]
        np.dot(d, WhT, dh)


def recurrent(p: Arrays, threads: int) -> Evaluate:
    X, Y, Wx, Wh, b, Wo = (p[s] for s in ("X", "Y", "Wx", "Wh", "b", "Wo"))
    T, n, d = X.shape
    h = Wh.shape[0]
    Hs = np.zeros((T + 1, n, h))
    pre, dA, tmp, dh = aligned((T, n, h)), aligned((T, n, h)), aligned((n, h)), aligned((n, h))
    X2, Hin = X.reshape(T * n, d), Hs[:-1].reshape(T * n, h)
    WhT = aligned((h, h))
    gWx, gWh, gb, gWo = like(Wx), like(Wh), like(b), like(Wo)
    r = aligned(Y.shape)

    def f() -> Outputs:
        np.dot(X2, Wx, out=pre.reshape(T * n, h))
        k_rnn_fwd(Hs, pre, b, Wh, tmp)
        np.dot(Hs[T], Wo, out=r)
        np.subtract(r, Y, out=r)
        v = np.dot(r.ravel(), r.ravel()) / n
        np.multiply(r, 2.0 / n, out=r)
        np.dot(Hs[T].T, r, out=gWo)
        np.dot(r, Wo.T, out=dh)
        np.copyto(WhT, Wh.T)
        k_rnn_bwd(Hs, dA, dh, WhT, gb)
        np.dot(X2.T, dA.reshape(T * n, h), out=gWx)
        np.dot(Hin.T, dA.reshape(T * n, h), out=gWh)
        return v, gWx, gWh, gb, gWo

    return f


MAKERS: Mapping[str, Callable[[Arrays, int], Evaluate]] = {
    "quadratic form": quadratic,
    "ridge": ridge,
    "logistic": logistic,
    "logistic HVP": logistic_product,
    "softmax regression": softmax_regression,
    "MLP": mlp,
    "deep MLP, 10 layers": deep_mlp,
    "masked factorisation": factorisation,
    "Gaussian likelihood": gauss,
    "GP evidence": evidence,
    "entrywise": entrywise,
    "Jacobian of softmax(A x)": softmax_jacobian,
    "Jacobian of sigmoid(A x + b)": sigmoid_jacobian,
    "RNN, 50 steps": recurrent,
}


def to_numpy(result: Outputs) -> list[Array]:
    return [np.array(part) for part in result]


def build(case: Case, threads: int) -> Bind:
    numba.set_num_threads(threads)
    make = MAKERS.get(case.workload.name)
    if make is None:
        raise Unsupported("no hand-written kernel")
    make(Case(case.workload, case.workload.small).arrays(0), threads)()  # compiles

    def bind(arrays: Arrays) -> Prepared:
        return Prepared(make(arrays, threads), to_numpy)

    return bind
