"""Log-densities of the normal distribution by the point, the mean, the covariance and the precision."""

from __future__ import annotations

from .record import Identity
from .sources import BISHOP, COOKBOOK, MAGNUS

FAMILY = "Gaussian log-density"
DEFINITE_S = ("S positive definite",)
X_M_S = "x: vector(n); m: vector(n); S: matrix(n, n) spd"
X_M_P = "x: vector(n); m: vector(n); P: matrix(n, n) spd"

GAUSSIAN = (
    Identity(
        "Gaussian log-density by the point",
        FAMILY,
        "-1/2 (x - m)^T S^-1 (x - m)",
        "x",
        "-S^-1 (x - m)",
        X_M_S,
        f"{COOKBOOK}, section 8.1",
        DEFINITE_S,
    ),
    Identity(
        "Gaussian log-density by the mean",
        FAMILY,
        "-1/2 logdet(2 pi S) - 1/2 (x - m)^T S^-1 (x - m)",
        "m",
        "S^-1 (x - m)",
        X_M_S,
        f"{BISHOP}, eq. (2.120)",
        DEFINITE_S,
    ),
    Identity(
        "Gaussian log-density by the covariance",
        FAMILY,
        "-1/2 logdet(S) - 1/2 (x - m)^T S^-1 (x - m)",
        "S",
        "1/2 (S^-1 (x - m) (x - m)^T S^-1 - S^-1)",
        X_M_S,
        f"{BISHOP}, section 2.3.4 and appendix C",
        DEFINITE_S,
    ),
    Identity(
        "Gaussian log-density by the precision",
        FAMILY,
        "1/2 logdet(P) - 1/2 (x - m)^T P (x - m)",
        "P",
        "1/2 (P^-1 - (x - m) (x - m)^T)",
        X_M_P,
        f"{BISHOP}, section 2.3.4",
        ("P positive definite",),
    ),
    Identity(
        "Gaussian log-density of a sample by the mean",
        FAMILY,
        "-1/2 sum_{i=1}^{N} (X_i - m)^T P (X_i - m)",
        "m",
        "P sum_{i=1}^{N} (X_i - m)",
        "X: matrix(N, d); m: vector(d); P: matrix(d, d) spd",
        f"{BISHOP}, eq. (2.120)",
        ("P positive definite",),
    ),
    Identity(
        "Gaussian log-likelihood by the covariance",
        FAMILY,
        "-N/2 logdet(V) - 1/2 tr(V^-1 Z)",
        "V",
        "1/2 V^-1 (Z - N V) V^-1",
        "N: scalar positive; V: matrix(n, n) spd; Z: matrix(n, n) symmetric",
        f"{MAGNUS}, ch. 15",
        ("V positive definite", "Z symmetric"),
    ),
    Identity(
        "Gaussian log-density by the variance",
        FAMILY,
        "-1/2 log(2 pi s) - (x - m)^2/(2 s)",
        "s",
        "(x - m)^2/(2 s^2) - 1/(2 s)",
        "x: scalar; m: scalar; s: scalar positive",
        f"{BISHOP}, section 1.2.4",
        ("s > 0",),
    ),
    Identity(
        "covariance estimation",
        FAMILY,
        "logdet(P) - tr(P S)",
        "P",
        "P^-1 - S",
        "P: matrix(n, n) spd; S: matrix(n, n) symmetric",
        "Boyd & Vandenberghe, Convex Optimization (2004), section 7.1.1",
        ("P positive definite", "S symmetric"),
    ),
    Identity(
        "Gaussian process evidence by the kernel",
        FAMILY,
        "-1/2 y^T K^-1 y - 1/2 logdet(K)",
        "K",
        "1/2 (K^-1 y y^T K^-1 - K^-1)",
        "y: vector(n); K: matrix(n, n) spd",
        f"{BISHOP}, eq. (6.70)",
        ("K positive definite",),
    ),
    Identity(
        "Gaussian process evidence by the noise",
        FAMILY,
        "-1/2 y^T (K + s I)^-1 y - 1/2 logdet(K + s I)",
        "s",
        "1/2 y^T (K + s I)^-2 y - 1/2 tr((K + s I)^-1)",
        "y: vector(n); K: matrix(n, n) spd; s: scalar positive",
        f"{BISHOP}, eq. (6.70)",
        ("K + s I positive definite",),
    ),
    Identity(
        "divergence of two Gaussians by the covariance",
        FAMILY,
        "1/2 (tr(P S) - logdet(S))",
        "S",
        "1/2 (P - S^-1)",
        "P: matrix(n, n) spd; S: matrix(n, n) spd",
        f"{BISHOP}, section 1.6.1",
        ("P and S positive definite",),
    ),
    Identity(
        "responsibility in a mixture",
        FAMILY,
        "log(a exp(-1/2 ||x - m||^2) + b)",
        "m",
        "a exp(-1/2 ||x - m||^2) / (a exp(-1/2 ||x - m||^2) + b) (x - m)",
        "a: scalar positive; b: scalar positive; x: vector(n); m: vector(n)",
        f"{BISHOP}, section 9.2.2",
    ),
)
