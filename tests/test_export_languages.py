"""Source for MATLAB, Eigen and Julia: run where Octave and a C++ compiler are installed, and read where not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from corpus_data import load_cases, sample_case
from export_programs import PROGRAMS, SIZES, declared, sampled

import matcalc as mc
from matcalc.errors import Unsupported
from matcalc.functions import Function

TOLERANCE = 1e-12
EIGEN = Path(os.environ.get("EIGEN_INCLUDE", "/usr/include/eigen3"))

LOGISTIC = "sum(log(1 + exp(-y .* (X w)))) + lambda/2 w^T w"
GAUSSIAN = "1/2 logdet(S) + 1/2 (x - m)^T S^-1 (x - m)"

NAMED: tuple[tuple[str, str], ...] = (
    (LOGISTIC, "w: vector(n); y: vector(m); X: matrix(m, n); lambda: scalar"),
    (GAUSSIAN, "S: matrix(n, n) spd; x: vector(n); m: vector(n)"),
    (GAUSSIAN, "m: vector(n); x: vector(n); S: matrix(n, n) spd"),
    ("sum((W tanh(V x + b) - y).^2)", "V: matrix(m, n); W: matrix(p, m); b: vector(m); x: vector(n); y: vector(p)"),
    ("-sum(Y .* log_softmax(X W))", "W: matrix(n, p); X: matrix(m, n); Y: matrix(m, p)"),
    ("1/2 ||X w - y||^2 + c ||w||^2", "w: vector(n); X: matrix(m, n); y: vector(m); c: scalar"),
    ("||R - U V^T||_F^2", "U: matrix(m, p); V: matrix(n, p); R: matrix(m, n)"),
    ("x^T A x / (x^T x)", "x: vector(n); A: matrix(n, n)"),
    ("logsumexp(A x + b)", "x: vector(n); A: matrix(m, n); b: vector(m)"),
    ("det(A)", "A: matrix(n, n)"),
    ("sum(huber(A x - b, d))", "x: vector(n); A: matrix(m, n); b: vector(m); d: scalar positive"),
    ("tr(A X B X^T)", "X: matrix(n, m); A: matrix(n, n); B: matrix(m, m)"),
    ("sum_{i=1}^{n-1} (x_{i+1} - x_i^2)^2", "x: vector(n)"),
    ("n^3 sum(x) / n + sum(x) / (n + 1)", "x: vector(n)"),
)


class Job(NamedTuple):
    """A function as text, its arguments and what it should give."""

    name: str
    text: str
    arguments: list[Any]
    sizes: list[int]
    results: tuple[Any, ...]


def job(target: str, name: str, function: Function, values: dict[str, Any], sizes: dict[str, int]) -> Job | None:
    try:
        text = function.export(target, name)
    except Unsupported:
        return None
    results = function(**values, **sizes)
    order = [np.asarray(values[key], dtype=float) for key in function.function.order]
    return Job(name, text, order, list(sizes.values()), results if isinstance(results, tuple) else (results,))


def of_programs(target: str, programs: Sequence[tuple[str, str]]) -> Iterator[Job | None]:
    for place, (text, types) in enumerate(programs):
        expr = mc.Expr(text, declared(types))
        functions = [expr.compile()]
        if not text.startswith("argmax"):
            make = mc.jacobian if expr.node.shape else mc.value_and_grad
            functions.append(make(expr, next(iter(declared(types)))))
        for number, function in enumerate(functions):
            sizes = {size: SIZES[size] for size in function.compiled.passed.values()}
            yield job(target, f"f{place}_{number}", function, dict(sampled(types)), sizes)


def of_corpus(target: str) -> Iterator[Job | None]:
    for place, case in enumerate(load_cases()[::5]):
        dims, values = sample_case(case)
        expr = mc.Expr(case.text, dict(case.vars))
        for number, function in enumerate((expr.compile(), mc.jacobian(expr, case.variables[0]))):
            sizes = {size: dims[size] for size in function.compiled.passed.values()}
            yield job(target, f"g{place}_{number}", function, dict(values), sizes)


def compared(jobs: Sequence[Job], printed: str) -> None:
    """Compare lines ``name rows columns entry entry …`` with what NumPy gives; vectors are columns."""
    found: dict[str, list[np.ndarray]] = {}
    for line in printed.splitlines():
        name, rows, columns, *entries = line.split()
        found.setdefault(name, []).append(np.array(entries, dtype=float).reshape(int(rows), int(columns)))
    for one in jobs:
        assert len(found.get(one.name, [])) == len(one.results), one.text
        for got, wanted in zip(found[one.name], one.results, strict=True):
            want = np.asarray(wanted, dtype=float)
            want = want.reshape(-1, 1) if want.ndim < 2 else want
            assert got.shape == want.shape, one.text
            size = max(1.0, float(np.max(np.abs(want), initial=0.0)))
            assert np.max(np.abs(got - want), initial=0.0) <= TOLERANCE * size, one.text


# --- Octave --------------------------------------------------------------------------------------


def for_octave(value: Any) -> str:
    rows = np.atleast_2d(value) if np.ndim(value) != 1 else np.asarray(value)[:, None]
    return "[" + "; ".join(", ".join(repr(float(entry)) for entry in row) for row in rows) + "]"


@pytest.mark.skipif(shutil.which("octave-cli") is None, reason="GNU Octave is not installed")
def test_text_for_matlab_gives_what_numpy_gives_in_octave(tmp_path: Path) -> None:
    jobs = [one for one in (*of_programs("matlab", (*NAMED, *PROGRAMS)), *of_corpus("matlab")) if one is not None]
    assert len(jobs) > 200
    lines = []
    for one in jobs:
        (tmp_path / f"{one.name}.m").write_text(one.text, encoding="utf-8")
        arguments = ", ".join([*map(for_octave, one.arguments), *map(str, one.sizes)])
        lines.append(f"r = cell(1, {len(one.results)}); [r{{:}}] = {one.name}({arguments});")
        lines.append(
            f"for k = 1:numel(r) printf('{one.name} %d %d', size(r{{k}})); printf(' %.17g', r{{k}}.'); disp(''); end"
        )
    (tmp_path / "run_all.m").write_text("1;\n" + "\n".join(lines), encoding="utf-8")
    command = ["octave-cli", "--no-gui", "--quiet", "--norc", "run_all.m"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    compared(jobs, done.stdout)


# --- C++ -----------------------------------------------------------------------------------------


SHOW = """\
#include <cstdio>
void show(const char* name, double x) { std::printf("%s 1 1 %.17g\\n", name, x); }
void show(const char* name, const Eigen::MatrixXd& X) {
    std::printf("%s %d %d", name, int(X.rows()), int(X.cols()));
    for (int i = 0; i < X.rows(); ++i)
        for (int j = 0; j < X.cols(); ++j) std::printf(" %.17g", X(i, j));
    std::puts("");
}
"""


def for_eigen(value: Any) -> str:
    array = np.asarray(value)
    if not array.ndim:
        return repr(float(array))
    kind = "VectorXd" if array.ndim == 1 else "MatrixXd"
    entries = ", ".join(repr(float(entry)) for entry in array.ravel())
    return f"(Eigen::{kind}({', '.join(map(str, array.shape))}) << {entries}).finished()"


needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None or not (EIGEN / "Eigen").is_dir(), reason="g++ or Eigen is not installed"
)


@needs_compiler
def test_text_for_eigen_gives_what_numpy_gives(tmp_path: Path) -> None:
    jobs = [one for one in of_programs("eigen", (*NAMED, *PROGRAMS[::8])) if one is not None]
    assert len(jobs) >= 2 * len(NAMED)
    lines = ["#include <Eigen/Dense>", "#include <cmath>", "#include <tuple>", SHOW]
    main = ["int main() {"]
    for one in jobs:
        text = re.sub(r"(?m)^#include .*\n", "", one.text)
        lines.append(f"namespace in_{one.name} {{\n{text}}}")
        call = f"in_{one.name}::{one.name}({', '.join([*map(for_eigen, one.arguments), *map(str, one.sizes)])})"
        if len(one.results) == 1:
            main.append(f'    show("{one.name}", {call});')
            continue
        shown = " ".join(f'show("{one.name}", std::get<{place}>(r));' for place in range(len(one.results)))
        main.append(f"    {{ const auto r = {call}; {shown} }}")
    (tmp_path / "all.cpp").write_text("\n".join([*lines, *main, "}"]) + "\n", encoding="utf-8")
    compile_it = ["g++", "-std=c++17", "-Werror=return-type", f"-I{EIGEN}", "all.cpp", "-o", "all"]
    built = subprocess.run(compile_it, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert built.returncode == 0, built.stderr[:4000]
    done = subprocess.run(["./all"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    compared(jobs, done.stdout)


@needs_compiler
def test_a_module_for_eigen_compiles_by_itself(tmp_path: Path) -> None:
    text = mc.value_and_grad(LOGISTIC, "w", {"y": "vector(N)", "X": "matrix(N, d)"}).export("eigen", "loss")
    (tmp_path / "loss.cpp").write_text(f"{text}\nint main() {{}}\n", encoding="utf-8")
    command = ["g++", "-std=c++17", "-Wall", "-Werror", "-fsyntax-only", f"-I{EIGEN}", "loss.cpp"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=300, check=True)


# --- without a compiler --------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["julia", "matlab", "eigen"])
def test_brackets_are_closed_and_nothing_of_python_is_left(target: str) -> None:
    written = [one for one in of_programs(target, (*NAMED, *PROGRAMS)) if one is not None]
    assert len(written) > 150
    for one in written:
        depth = 0
        for character in re.sub(r"(?m)^\s*(#|%|//).*$", "", one.text):
            depth += (character in "([{") - (character in ")]}")
            assert depth >= 0, one.text
        assert depth == 0, one.text
        assert not re.search(r"\bxp\.|\bnp\.|\{p?\d\}|None|\*\*", one.text), one.text


def test_julia_is_written_in_the_words_of_julia() -> None:
    text = mc.value_and_grad(LOGISTIC, "w", {"y": "vector(N)", "X": "matrix(N, d)"}).export("julia", "loss")
    code = text[text.index("using") :]
    assert (
        code
        == """\
using LinearAlgebra

sigmoid(x) = 1 / (1 + exp(-x))

softplus(x) = max(x, 0) + log1p(exp(-abs(x)))

function loss(y, X, w, lambda)
    t1 = y .* (X * (-w))
    t2 = 0.5 * (lambda * dot(w, w)) + sum(softplus.(t1))
    t3 = lambda * w - X' * (sigmoid.(t1) .* y)
    return t2, t3
end
"""
    )


@pytest.mark.parametrize("target", ["julia", "matlab", "eigen"])
def test_more_than_two_axes_are_refused(target: str) -> None:
    with pytest.raises(Unsupported, match="axes"):
        mc.jacobian("A x x^T", "x", {"A": "matrix(n, n)"}).export(target)
    with pytest.raises(Unsupported, match="axes"):
        mc.Expr("sum(Z)", {"Z": "tensor(m, n, p)"}).compile().export(target)


@pytest.mark.parametrize(("target", "name"), [("julia", "end"), ("matlab", "end"), ("eigen", "double")])
def test_words_of_the_language_are_no_names(target: str, name: str) -> None:
    text = mc.Expr(f"2 {name}", {name: "scalar"}).compile().export(target)
    assert f"{name}_" in text
