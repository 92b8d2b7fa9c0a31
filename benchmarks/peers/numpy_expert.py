"""Hand-written NumPy and SciPy by an expert: the practical limit of a NumPy program.

Each function receives the arrays once, and returns a function that does one evaluation. What is used: buffers that are
allocated once and ``out=``, panels of rows that fit the cache, BLAS and LAPACK called directly (syrk, potrf and potri,
getrf and getri), and algebra (the order of products, structured Hessians and Jacobians). There is no compiler. With two
threads, BLAS has both for products; where ufuncs or syrk dominate, two Python threads take half of the rows each.

What is returned are the function's own buffers, overwritten by its next call.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import blas, lapack

from ..workloads import LAYERS, SMALL_LAYERS, Array, Arrays, Case
from .contract import Bind, Prepared

Outputs = tuple[Any, ...]
Evaluate = Callable[[], Outputs]
Make = Callable[[Arrays, int], Evaluate]

CACHE = 1 << 20
"""Bytes of a panel: about half of a core's second cache."""

ONES = np.ones(1 << 16)
ONE = np.array(1.0)  # 0-d operands: no conversion of a Python float at each call
ZERO = np.array(0.0)


def aligned(shape: int | tuple[int, ...], dtype: Any = np.float64, order: Any = "C") -> Any:
    """An empty array that starts at a cache line: ufuncs write up to twice as fast to it."""
    kind = np.dtype(dtype)
    size = int(np.prod(shape)) * kind.itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(kind).reshape(shape, order=order)


def like(array: Array) -> Any:
    """An aligned empty array of the same shape."""
    return aligned(array.shape)


@cache
def _blas_switch() -> Callable[[int], Any] | None:
    """What sets the number of threads of NumPy's OpenBLAS, where that can be found."""
    folder = Path(np.__file__).parents[1] / "numpy.libs"
    for library in folder.glob("libscipy_openblas64*.so"):
        return getattr(ctypes.CDLL(str(library)), "scipy_openblas_set_num_threads64_", None)
    return None


def blas_threads(count: int) -> None:
    switch = _blas_switch()
    if switch:
        switch(count)


def halves(
    p: Arrays,
    names: Sequence[str],
    make: Callable[[Arrays], Evaluate],
    combine: Callable[[Any, Any], Outputs],
    *,
    one_blas: bool,
) -> Evaluate:
    """Both halves of the rows of some arrays, each in a thread of its own."""
    middle = len(p[names[0]]) // 2
    pool = ThreadPoolExecutor(1)
    parts = (slice(0, middle), slice(middle, None))
    first, second = (make({**p, **{name: p[name][part] for name in names}}) for part in parts)

    def f() -> Outputs:
        if one_blas:
            blas_threads(1)
        try:
            later = pool.submit(second)
            done = first()
            return combine(done, later.result())
        finally:
            if one_blas:
                blas_threads(2)

    return f


def panels_of(rows: int, row_bytes: int, target: int = CACHE) -> list[slice]:
    """Slices of rows with about so many bytes."""
    step = max(1, min(rows, target // max(1, row_bytes)))
    return [slice(i, min(i + step, rows)) for i in range(0, rows, step)]


def vector_panels(rows: int, row_bytes: int, threads: int) -> list[slice]:
    """Panels of a matrix that is multiplied by a vector from both sides."""
    return panels_of(rows, row_bytes) if threads == 1 else [slice(0, rows)]


def small_product_rows(rows: int, work_per_row: int, row_bytes: int) -> list[slice]:
    """Panels for which OpenBLAS multiplies without packing (up to 1e6 multiplications), and that fit the cache."""
    step = max(1, min(rows, int(0.65e6 / work_per_row), 3 * CACHE // 4 // row_bytes))
    return [slice(i, min(i + step, rows)) for i in range(0, rows, step)]


def quadratic(p: Arrays, threads: int) -> Evaluate:
    A, x = p["A"], p["x"]
    n = len(x)
    t, g, AT = aligned(n), aligned(n), p["A"].T
    if A.nbytes <= 4 * CACHE or threads > 1:

        def at_once() -> Outputs:
            np.dot(A, x, out=t)
            np.dot(AT, x, out=g)
            v = x.dot(t)
            np.add(g, t, out=g)
            return v, g

        return at_once
    # large: each row panel is read from memory once and used twice
    panels = [(A[s], A[s].T, x[s], t[s]) for s in panels_of(n, A.strides[0])]
    u = aligned(n)

    def f() -> Outputs:
        g.fill(0.0)
        for a, aT, xs, ts in panels:
            np.dot(a, x, out=ts)
            np.dot(aT, xs, out=u)
            np.add(g, u, out=g)
        v = x.dot(t)
        np.add(g, t, out=g)
        return v, g

    return f


def ridge(p: Arrays, threads: int) -> Evaluate:
    X, y, w, lam = p["X"], p["y"], p["w"], float(p["lam"])
    N, d = X.shape
    r, g, u = aligned(N), aligned(d), aligned(d)
    panels = [(X[s], X[s].T, y[s], r[s]) for s in vector_panels(N, X.strides[0], threads)]

    def f() -> Outputs:
        np.multiply(w, lam, out=g)
        v = g.dot(w)
        for x, xT, ys, rs in panels:
            np.dot(x, w, out=rs)
            np.subtract(rs, ys, out=rs)
            np.dot(xT, rs, out=u)
            np.add(g, u, out=g)
        v += r.dot(r)
        np.multiply(g, 2.0, out=g)
        return v, g

    return f


def total(a: Array) -> Any:
    """The sum; BLAS's dot has a fifth of the cost of a call of ``a.sum()``."""
    return a.dot(ONES[: a.size]) if a.size <= 1 << 16 else a.sum()


def logistic_panel(m: Array, y: Array, e: Array, t: Array) -> Any:
    """The sum of softplus(-m), and y sigmoid(-m) in ``e``; ``m`` is used up.

    Two exponentials and no selection: a masked copy costs more than four times as much as an exponential. exp(m) may
    be infinite, which is right in 1 / (1 + exp(m)).
    """
    np.exp(m, out=t)
    np.add(t, ONE, out=t)
    np.abs(m, out=e)
    np.negative(e, out=e)
    np.exp(e, out=e)  # exp(-|m|) in (0, 1]
    np.log1p(e, out=e)
    np.minimum(m, ZERO, out=m)
    np.subtract(e, m, out=e)  # + max(-m, 0)
    v = total(e)
    np.divide(y, t, out=e)
    return v


def logistic(p: Arrays, threads: int) -> Evaluate:
    X, y, w = p["X"], p["y"], p["w"]
    N, d = X.shape
    g, u = aligned(d), aligned(d)
    pan = vector_panels(N, X.strides[0], threads)
    size = pan[0].stop
    bufs = [aligned(size) for _ in range(3)]
    panels = []
    for s in pan:
        k = s.stop - s.start
        panels.append((X[s], X[s].T, y[s], *[b[:k] for b in bufs]))

    def f() -> Outputs:
        v = 0.0
        g.fill(0.0)
        for x, xT, ys, m, e, t in panels:
            np.dot(x, w, out=m)
            np.multiply(m, ys, out=m)
            v += logistic_panel(m, ys, e, t)
            np.dot(xT, e, out=u)
            np.subtract(g, u, out=g)
        return v, g

    def one_panel() -> Outputs:
        x, xT, ys, m, e, t = panels[0]
        np.dot(x, w, out=m)
        np.multiply(m, ys, out=m)
        v = logistic_panel(m, ys, e, t)
        np.dot(xT, e, out=g)
        np.negative(g, out=g)
        return v, g

    return one_panel if len(panels) == 1 else f


def logistic_curvature(m: Array, e: Array, t: Array) -> None:
    """sigmoid(m) sigmoid(-m) in ``t``."""
    np.abs(m, out=e)
    np.negative(e, out=e)
    np.exp(e, out=e)
    np.add(e, ONE, out=t)
    np.multiply(t, t, out=t)
    np.divide(e, t, out=t)


def logistic_hessian(p: Arrays, threads: int) -> Evaluate:
    X, y, w = p["X"], p["y"], p["w"]
    N, d = X.shape
    if threads > 1 and N * d * d > 2e7:
        return halves(
            p,
            ("X", "y"),
            lambda part: logistic_hessian(part, 1),
            lambda a, b: (np.add(a[0], b[0], out=a[0]),),
            one_blas=True,
        )
    H, U = aligned((d, d)), aligned((d, d))
    pan = panels_of(N, X.strides[0], 2 * CACHE)
    B = aligned((pan[0].stop, d))
    bufs = [aligned(pan[0].stop) for _ in range(3)]
    panels = []
    for s in pan:
        k = s.stop - s.start
        panels.append((X[s], y[s], B[:k], B[:k].T, *[b[:k] for b in bufs]))

    def f() -> Outputs:
        first = True
        for x, ys, b, bT, m, e, t in panels:
            np.dot(x, w, out=m)
            logistic_curvature(m, e, t)
            np.multiply(t, ys, out=t)
            np.multiply(t, ys, out=t)  # y*y = 1 is not assumed
            np.sqrt(t, out=t)
            np.multiply(x, t[:, None], out=b)
            np.dot(bT, b, out=H if first else U)  # numpy sees b'b and calls syrk
            if not first:
                np.add(H, U, out=H)
            first = False
        return (H,)

    return f


def logistic_product(p: Arrays, threads: int) -> Evaluate:
    X, y, w, vv = p["X"], p["y"], p["w"], p["v"]
    N, d = X.shape
    g, u = aligned(d), aligned(d)
    pan = vector_panels(N, X.strides[0], threads)
    bufs = [aligned(pan[0].stop) for _ in range(4)]
    panels = []
    for s in pan:
        k = s.stop - s.start
        panels.append((X[s], X[s].T, y[s], *[b[:k] for b in bufs]))

    def f() -> Outputs:
        g.fill(0.0)
        for x, xT, ys, m, e, t, q in panels:
            np.dot(x, w, out=m)
            np.dot(x, vv, out=q)
            logistic_curvature(m, e, t)
            np.multiply(t, ys, out=t)
            np.multiply(t, ys, out=t)
            np.multiply(t, q, out=t)
            np.dot(xT, t, out=u)
            np.add(g, u, out=g)
        return (g,)

    return f


def cross_entropy(n: int, k: int, scale: float) -> Callable[[Array, Array, Array], Any]:
    """The cross entropy of logits ``Z`` and one-hot ``Y``, times a scale, and its gradient by ``Z`` in ``D``."""
    m, s, yz = aligned((n, 1)), aligned((n, 1)), aligned((n, k))

    def f(Z: Array, Y: Array, D: Array) -> Any:
        np.max(Z, axis=1, keepdims=True, out=m)
        np.multiply(Y, Z, out=yz)
        v = -yz.sum()
        np.subtract(Z, m, out=D)
        np.exp(D, out=D)
        np.sum(D, axis=1, keepdims=True, out=s)
        np.divide(D, s, out=D)
        np.subtract(D, Y, out=D)
        np.multiply(D, scale, out=D)
        np.log(s, out=s)
        v += m.sum() + s.sum()
        return v * scale

    return f


def softmax_regression(p: Arrays, threads: int) -> Evaluate:
    X, Y, W = p["X"], p["Y"], p["W"]
    N, d = X.shape
    k = W.shape[1]
    Z, D, g, u = aligned((N, k)), aligned((N, k)), aligned((d, k)), aligned((d, k))
    pan = small_product_rows(N, d * k, d * 8)
    ces = {s.stop - s.start: cross_entropy(s.stop - s.start, k, 1.0 / N) for s in pan}
    panels = [(X[s], X[s].T, Y[s], Z[s], D[s], ces[s.stop - s.start]) for s in pan]

    def f() -> Outputs:
        g.fill(0.0)
        v = 0.0
        for x, xT, y, z, q, ce in panels:
            np.dot(x, W, out=z)
            v += ce(z, y, q)
            np.dot(xT, q, out=u)
            np.add(g, u, out=g)
        return v, g

    return f


def mlp(p: Arrays, threads: int) -> Evaluate:
    X, Y, W1, b1, W2, b2 = (p[s] for s in ("X", "Y", "W1", "b1", "W2", "b2"))
    N, h, k = X.shape[0], W1.shape[1], W2.shape[1]
    # intermediates stored with the longer axis contiguous: OpenBLAS is then 18% faster
    T = h < N
    A, E = (aligned((h, N)).T, aligned((h, N)).T) if T else (aligned((N, h)), aligned((N, h)))
    pos = aligned((h, N), bool).T if T else aligned((N, h), bool)
    Z, D = aligned((N, k)), aligned((N, k))
    g1 = aligned(W1.shape[::-1]).T if T else like(W1)
    g2, gb1, gb2 = like(W2), like(b1), like(b2)
    one = np.ones(N)
    ce = cross_entropy(N, k, 1.0 / N)

    def f() -> Outputs:
        if T:
            np.dot(W1.T, X.T, out=A.T)
        else:
            np.dot(X, W1, out=A)
        np.add(A, b1, out=A)
        np.greater(A, ZERO, out=pos)
        np.maximum(A, ZERO, out=A)
        np.dot(A, W2, out=Z)
        np.add(Z, b2, out=Z)
        v = ce(Z, Y, D)
        if T:
            np.dot(W2, D.T, out=E.T)
        else:
            np.dot(D, W2.T, out=E)
        np.multiply(E, pos, out=E)
        if T:
            np.dot(E.T, X, out=g1.T)
        else:
            np.dot(X.T, E, out=g1)
        np.dot(one, E, out=gb1)
        np.dot(A.T, D, out=g2)
        np.dot(one, D, out=gb2)
        return v, g1, gb1, g2, gb2

    return f


def deep_mlp(p: Arrays, threads: int) -> Evaluate:
    L = LAYERS
    X, Y = p["X"], p["Y"]
    N = X.shape[0]
    W = [p[f"W{i}"] for i in range(1, L + 1)]
    b = [p[f"b{i}"] for i in range(1, L + 1)]
    acts = [X] + [aligned((N, w.shape[1])) for w in W]
    gW, gb = [like(w) for w in W], [like(c) for c in b]
    D = [aligned((N, w.shape[1])) for w in W]
    masks = [aligned((N, w.shape[1]), bool) for w in W]
    one = np.ones(N)
    fwd, back = [], []
    for i, w in enumerate(W):
        m = int(0.65e6 // w.size) or N
        fwd.append([(acts[i][j : j + m], acts[i + 1][j : j + m]) for j in range(0, N, m)])
        m = int(0.65e6 // (N * w.shape[1])) or w.shape[0]
        back.append([(acts[i].T[j : j + m], gW[i][j : j + m]) for j in range(0, w.shape[0], m)])

    def f() -> Outputs:
        for i in range(L):
            a = acts[i + 1]
            for x, o in fwd[i]:  # two panels: both under the small-matrix limit
                np.dot(x, W[i], out=o)
            np.add(a, b[i], out=a)
            if i < L - 1:
                np.greater(a, 0.0, out=masks[i])
                np.maximum(a, 0.0, out=a)
        r, d = acts[L], D[L - 1]
        np.subtract(r, Y, out=r)
        v = np.dot(r.ravel(), r.ravel()) / N
        np.multiply(r, 2.0 / N, out=d)
        for i in range(L - 1, -1, -1):
            for x, o in back[i]:
                np.dot(x, d, out=o)
            np.dot(one, d, out=gb[i])
            if i:
                np.dot(d, W[i].T, out=D[i - 1])
                d = D[i - 1]
                np.multiply(d, masks[i - 1], out=d)
        return (v, *[g for pair in zip(gW, gb, strict=True) for g in pair])

    return f


def factorisation(p: Arrays, threads: int) -> Evaluate:
    X, M, U, V = p["X"], p["M"], p["U"], p["V"]
    n, k = U.shape
    gU, gV, t = aligned((n, k)), aligned((n, k)), aligned((n, k))
    pan = panels_of(n, n * 8, 512 << 10)
    R = aligned((pan[0].stop, n))
    VT = V.T

    def f() -> Outputs:
        v = 0.0
        gV.fill(0.0)
        for s in pan:
            r = R[: s.stop - s.start]
            np.dot(U[s], VT, out=r)
            np.subtract(r, X[s], out=r)
            np.multiply(r, M[s], out=r)
            v += np.dot(r.ravel(), r.ravel())
            np.multiply(r, M[s], out=r)
            np.dot(r, V, out=gU[s])
            np.dot(r.T, U[s], out=t)
            np.add(gV, t, out=gV)
        np.multiply(gU, 2.0, out=gU)
        np.multiply(gV, 2.0, out=gV)
        return v, gU, gV

    return f


def factorisation_hessian(p: Arrays, threads: int) -> Evaluate:
    M, V = p["M"], p["V"]
    n, k = p["U"].shape
    H = np.zeros((n, k, n, k))  # only the n diagonal k*k blocks are ever written
    s = H.strides
    blocks = np.lib.stride_tricks.as_strided(H, (n, k, k), (s[0] + s[2], s[1], s[3]))
    VV, Q, C = aligned((n, k, k)), aligned((n, n)), aligned((n, k * k))

    def f() -> Outputs:
        np.multiply(V[:, :, None], V[:, None, :], out=VV)
        np.multiply(M, M, out=Q)
        np.dot(Q, VV.reshape(n, k * k), out=C)
        np.multiply(C.reshape(n, k, k), 2.0, out=blocks)
        return (H,)

    return f


def small_network_hessian(p: Arrays, threads: int) -> Evaluate:
    L = SMALL_LAYERS
    W = [p[f"W{i}"] for i in range(1, L + 1)]
    x = p["x"]
    n = len(x)
    H = aligned((n, n, n, n))
    S, xx = aligned((n, n)), aligned((n, n))

    def f() -> Outputs:
        h, masks = x, []
        for w in W[:-1]:
            z = w @ h
            masks.append(z > 0)
            h = np.maximum(z, 0)
        z = W[-1] @ h
        e = np.exp(z - z.max())
        s = e / e.sum()
        B = W[-1] * masks[-1]
        for j in range(L - 2, 0, -1):
            B = (B @ W[j]) * masks[j - 1]
        q = s @ B
        np.dot(B.T, s[:, None] * B, out=S)
        np.subtract(S, q[:, None] * q, out=S)
        np.multiply(x[:, None], x, out=xx)
        np.multiply(S[:, None, :, None], xx[None, :, None, :], out=H)
        return (H,)

    return f


def inverse_and_log_determinant(K: Array) -> tuple[Array, Any]:
    """The lower triangle of the inverse, and the logarithm of the determinant; ``K``, by columns, is used up."""
    c, _ = lapack.dpotrf(K, lower=1, clean=0, overwrite_a=1)
    ld = 2.0 * np.log(np.einsum("ii->i", c)).sum()
    ci, _ = lapack.dpotri(c, lower=1, overwrite_c=1)
    return ci, ld


def gauss(p: Arrays, threads: int) -> Evaluate:
    S, y = p["S"], p["y"]
    n = len(y)
    K, G = aligned((n, n), order="F"), aligned((n, n), order="F")
    blocks = [(i, min(i + 128, n)) for i in range(0, n, 128)]

    def f() -> Outputs:
        np.copyto(K.T, S)  # S is symmetric
        ci, ld = inverse_and_log_determinant(K)
        t = blas.dsymv(1.0, ci, y, lower=1)
        v = 0.5 * ld + 0.5 * y.dot(t)
        ci = blas.dsyr(-1.0, t, lower=1, a=ci, overwrite_a=1)
        for i, j in blocks:  # G = 0.5 * (lower + lower')
            G[j:, i:j] = ci[j:, i:j]
            G[i:j, j:] = ci[j:, i:j].T
            d = np.tril(ci[i:j, i:j])
            G[i:j, i:j] = d + np.tril(d, -1).T
        np.multiply(G, 0.5, out=G)
        return v, G

    return f


def evidence(p: Arrays, threads: int) -> Evaluate:
    D, y, a, b, c = p["D"], p["y"], float(p["a"]), float(p["b"]), float(p["c"])
    n = len(y)
    E, K = aligned((n, n), order="F"), aligned((n, n), order="F")
    DT = D.T  # symmetric
    cols = [(j, min(j + 32, n)) for j in range(0, n, 32)]

    def f() -> Outputs:
        for i, j in cols:  # lower trapezoid only
            e, k, dd = E[i:, i:j], K[i:, i:j], DT[i:, i:j]
            np.multiply(dd, -b, out=e)
            np.exp(e, out=e)
            np.multiply(e, a, out=k)
        np.einsum("ii->i", K)[:] += c
        ci, ld = inverse_and_log_determinant(K)
        t = blas.dsymv(1.0, ci, y, lower=1)
        v = 0.5 * ld + 0.5 * y.dot(t)
        ci = blas.dsyr(-1.0, t, lower=1, a=ci, overwrite_a=1)
        ga = gb = 0.0
        for i, j in cols:  # sums over the lower triangle, off-diagonal twice
            e, w, dd = E[i:, i:j], ci[i:, i:j], DT[i:, i:j]
            k = j - i
            top = np.tril(w[:k]) * e[:k]
            ga += 2 * top.sum() - np.trace(top)
            gb += 2 * (top * dd[:k]).sum()
            np.multiply(e[k:], w[k:], out=e[k:])
            ga += 2 * e[k:].sum()
            gb += 2 * np.einsum("ij,ij->", e[k:], dd[k:])
        gc = np.trace(ci)
        return v, 0.5 * ga, -0.5 * a * gb, 0.5 * gc

    return f


def entrywise(p: Arrays, threads: int) -> Evaluate:
    g = aligned(len(p["x"]))
    with_result = {**p, "g": g}
    if threads == 1:
        return entrywise_into(with_result)
    return halves(with_result, ("x", "y", "g"), entrywise_into, lambda a, b: (a[0] + b[0], g), one_blas=False)


def entrywise_into(p: Arrays) -> Evaluate:
    """The gradient is written to ``g``."""
    x, y, g = p["x"], p["y"], p["g"]
    n = len(x)
    pan = panels_of(n, 8, 256 << 10)  # every temporary stays in the cache
    bufs = [aligned(pan[0].stop) for _ in range(3)]
    panels = [(x[s], y[s], g[s], *[b[: s.stop - s.start] for b in bufs]) for s in pan]

    def f() -> Outputs:
        v = 0.0
        for xs, ys, gs, m, e, t in panels:
            np.multiply(xs, ys, out=m)
            v += logistic_panel(m, ys, e, t)
            np.tanh(xs, out=t)
            v += t.dot(t)
            np.multiply(t, t, out=m)
            np.subtract(1.0, m, out=m)
            np.multiply(m, t, out=m)
            np.multiply(m, 2.0, out=m)
            np.subtract(m, e, out=gs)
        return v, g

    return f


def chain(p: Arrays, threads: int) -> Evaluate:
    a, X, Y, Z, b = (p[s] for s in "aXYZb")
    n = len(a)
    u, w, t, G = aligned(n), aligned(n), aligned(n), aligned((n, n))

    def f() -> Outputs:
        np.dot(X.T, a, out=u)
        np.dot(Z, b, out=w)
        np.dot(Y, w, out=t)
        np.einsum("i,j->ij", u, w, out=G)  # 1.4-2x faster than a broadcast multiply
        return u.dot(t), G

    return f


def squared_chain(p: Arrays, threads: int) -> Evaluate:
    X, Y, Z, b = (p[s] for s in "XYZb")
    n = len(b)
    w, t, r, u, G = aligned(n), aligned(n), aligned(n), aligned(n), aligned((n, n))

    def f() -> Outputs:
        np.dot(Z, b, out=w)
        np.dot(Y, w, out=t)
        np.dot(X, t, out=r)
        np.dot(X.T, r, out=u)
        np.multiply(u, 2.0, out=u)
        np.einsum("i,j->ij", u, w, out=G)
        return r.dot(r), G

    return f


def trace_of_inverse(p: Arrays, threads: int) -> Evaluate:
    X, A = p["X"], p["A"]
    n = len(X)
    XT, t, g = X.T, aligned((n, n)), aligned((n, n))

    def f() -> Outputs:
        lu, piv, _ = lapack.dgetrf(XT)  # of X', which is F-ordered: no transposing copy
        inv, _ = lapack.dgetri(lu, piv, lwork=64 * n, overwrite_lu=1)  # the default lwork is unblocked
        i = inv.T  # inv(X), C-ordered
        np.dot(i, A, out=t)
        v = np.trace(t)
        np.dot(t, i, out=g)
        np.negative(g, out=g)
        return v, g.T

    return f


def log_determinant(p: Arrays, threads: int) -> Evaluate:
    X = p["X"]
    n, XT = len(X), X.T

    def f() -> Outputs:
        lu, piv, _ = lapack.dgetrf(XT)
        v = np.log(np.abs(np.einsum("ii->i", lu))).sum()
        inv, _ = lapack.dgetri(lu, piv, lwork=64 * n, overwrite_lu=1)
        return v, inv  # inv(X') = inv(X)'

    return f


def softmax_jacobian(p: Arrays, threads: int) -> Evaluate:
    A, x = p["A"], p["x"]
    n = len(x)
    z, q, J = aligned(n), aligned(n), aligned((n, n))
    pan = [(A[s], J[s], z[s, None]) for s in panels_of(n, n * 8)]

    def f() -> Outputs:
        np.dot(A, x, out=z)
        np.subtract(z, z.max(), out=z)
        np.exp(z, out=z)
        np.divide(z, z.sum(), out=z)
        np.dot(A.T, z, out=q)
        for a, j, s in pan:  # J = s .* (A - 1 q')
            np.subtract(a, q, out=j)
            np.multiply(j, s, out=j)
        return (J,)

    return f


def sigmoid_jacobian(p: Arrays, threads: int) -> Evaluate:
    A, x, b = p["A"], p["x"], p["b"]
    n = len(x)
    z, t, J = aligned(n), aligned(n), aligned((n, n))

    def f() -> Outputs:
        np.dot(A, x, out=z)
        np.add(z, b, out=z)
        np.negative(z, out=z)
        np.exp(z, out=z)
        np.add(z, 1.0, out=z)
        np.reciprocal(z, out=z)
        np.subtract(1.0, z, out=t)
        np.multiply(z, t, out=z)
        np.multiply(A, z[:, None], out=J)
        return (J,)

    return f


def recurrent(p: Arrays, threads: int) -> Evaluate:
    X, Y, Wx, Wh, b, Wo = (p[s] for s in ("X", "Y", "Wx", "Wh", "b", "Wo"))
    T, n, d = X.shape
    h = Wh.shape[0]
    Hs = np.zeros((T + 1, n, h))
    pre, dA = aligned((T, n, h)), aligned((T, n, h))
    tmp, dh = aligned((n, h)), aligned((n, h))
    r, D = aligned(Y.shape), aligned(Y.shape)
    X2, pre2, dA2, Hin = X.reshape(T * n, d), pre.reshape(T * n, h), dA.reshape(T * n, h), Hs[:-1].reshape(T * n, h)
    gWx, gWh, gb, gWo = like(Wx), like(Wh), like(b), like(Wo)
    one = np.ones(T * n)
    WhT, WoT = Wh.T, Wo.T
    WhTc = aligned((h, h))

    def f() -> Outputs:
        np.dot(X2, Wx, out=pre2)  # every step's input term in one product
        np.add(pre2, b, out=pre2)
        for t in range(T):
            o = Hs[t + 1]
            np.dot(Hs[t], Wh, out=tmp)
            np.add(tmp, pre[t], out=tmp)
            np.tanh(tmp, out=o)
        np.dot(Hs[T], Wo, out=r)
        np.subtract(r, Y, out=r)
        v = np.dot(r.ravel(), r.ravel()) / n
        np.multiply(r, 2.0 / n, out=D)
        np.dot(Hs[T].T, D, out=gWo)
        np.dot(D, WoT, out=dh)
        np.copyto(WhTc, WhT)
        np.multiply(Hs[1:], Hs[1:], out=pre)  # 1 - h^2 for all steps at once
        np.subtract(1.0, pre, out=pre)
        for t in range(T - 1, -1, -1):
            np.multiply(dh, pre[t], out=dA[t])
            np.dot(dA[t], WhTc, out=dh)
        np.dot(X2.T, dA2, out=gWx)  # weight gradients in one product each
        np.dot(Hin.T, dA2, out=gWh)
        np.dot(one, dA2, out=gb)
        return v, gWx, gWh, gb, gWo

    return f


MAKERS: Mapping[str, Make] = {
    "quadratic form": quadratic,
    "ridge": ridge,
    "logistic": logistic,
    "logistic Hessian": logistic_hessian,
    "logistic HVP": logistic_product,
    "softmax regression": softmax_regression,
    "MLP": mlp,
    "deep MLP, 10 layers": deep_mlp,
    "masked factorisation": factorisation,
    "masked factorisation, Hessian by U": factorisation_hessian,
    "masked factorisation, dense Hessian by U": factorisation_hessian,
    "network Hessian by W1, 5 layers": small_network_hessian,
    "Gaussian likelihood": gauss,
    "GP evidence": evidence,
    "entrywise": entrywise,
    "chain a'XYZb by Y": chain,
    "chain |XYZb|^2 by Y": squared_chain,
    "tr(X^-1 A)": trace_of_inverse,
    "log det X": log_determinant,
    "Jacobian of softmax(A x)": softmax_jacobian,
    "Jacobian of sigmoid(A x + b)": sigmoid_jacobian,
    "RNN, 50 steps": recurrent,
}


def to_numpy(result: Outputs) -> list[Array]:
    return [np.array(part) for part in result]


def build(case: Case, threads: int) -> Bind:
    make = MAKERS[case.workload.name]

    def bind(arrays: Arrays) -> Prepared:
        return Prepared(make(arrays, threads), to_numpy)

    return bind
