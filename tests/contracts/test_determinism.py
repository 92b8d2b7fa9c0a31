"""Formulas, LaTeX, conditions, notes and source are the same under every hash seed."""

from __future__ import annotations

import os
import subprocess
import sys

CORPUS = """
import matcalc as mc
for text, wrt, order in [
    ("x^T A x", "x", 1),
    ("x^T A x", "x", 2),
    ("tr(A X B)", "X", 1),
    ("logdet(X)", "X", 1),
    ("||A x - b||^2 + lambda ||x||^2", "x", 1),
    ("sum(log(1 + exp(-y .* (X w)))) + lambda/2 ||w||^2", "w", 2),
    ("sum((Y - U V^T).^2)", "U", 1),
    ("softmax(A x)", "x", 1),
    ("sum(relu(W_2 relu(W_1 x)))", "W_1", 1),
]:
    d = mc.derive(text, wrt=wrt, order=order)
    print(d.formula, d.latex, d.unicode, d.shape, d.vars, d.conditions, d.notes, d.source, sep="\\n")
"""


def test_output_does_not_depend_on_the_hash_seed() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", CORPUS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(outputs) == 1
    assert "(A + A^T) x" in outputs.pop()
