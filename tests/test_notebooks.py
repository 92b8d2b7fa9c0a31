"""The notebooks run from start to end, print what they promise, and are stored in step with their scripts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS_PER_CELL = 120

Notebook = nbformat.NotebookNode


def read(path: Path) -> Notebook:
    return nbformat.read(path, as_version=4)


def name_of(path: Path) -> str:
    return path.stem


@pytest.fixture(scope="module")
def executed() -> Callable[[str], Notebook]:
    """A notebook by name, with its outputs; each one is run once."""
    done: dict[str, Notebook] = {}

    def run(name: str) -> Notebook:
        if name not in done:
            notebook = read(ROOT / "notebooks" / f"{name}.ipynb")
            resources = {"metadata": {"path": str(ROOT)}}
            client = NotebookClient(notebook, timeout=SECONDS_PER_CELL, kernel_name="python3", resources=resources)
            with pytest.MonkeyPatch.context() as patch:
                # with few cores and other work on them, threads wait for each other longer than they compute
                patch.setenv("OPENBLAS_NUM_THREADS", "1")
                done[name] = client.execute()
        return done[name]

    return run


def shown(notebook: Notebook, mime: str) -> list[str]:
    """What code cells display in one format."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data: dict[str, Any] = output.get("data", {})
            if mime in data:
                found.append(data[mime])
    return found


def printed(notebook: Notebook) -> str:
    """What code cells print."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(output["text"] for output in outputs if output["output_type"] == "stream")


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["first_steps", "training"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_notebooks_and_scripts_are_in_step(path: Path) -> None:
    script = path.with_suffix(".py").read_text(encoding="utf-8")
    assert jupytext.writes(read(path), fmt="py:percent") == script, f"run: jupytext --sync notebooks/{path.name}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_notebooks_are_stored_without_outputs(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_notebooks_run_without_warnings(path: Path, executed: Callable[[str], Notebook]) -> None:
    for cell in executed(path.stem).cells:
        for output in cell.get("outputs", ()):
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr", output["text"]


def test_first_steps_shows_formulas(executed: Callable[[str], Notebook]) -> None:
    notebook = executed("first_steps")
    formulas = shown(notebook, "text/latex")
    for expected in (
        r"\left(A + A^{\top}\right) x",
        r"2 A x",
        r"A + A^{\top}",
        r"\frac{2}{N} X^{\top} X + 2 \lambda I",
        r"2 A^{\top} A",
        r"X^{-\top}",
    ):
        assert f"$\\displaystyle {expected}$" in formulas
    assert "ok=True" in "".join(shown(notebook, "text/plain"))
    text = printed(notebook)
    assert "size of the gradient is below 1e-12: True" in text
    assert "columns add up to [0. 0. 0.]" in text
    assert "('X invertible',)" in text
    assert "argmax has no derivative" in text
    assert "cannot multiply x (n) by y (m)" in text


def test_training_reaches_the_optimum(executed: Callable[[str], Notebook]) -> None:
    notebook = executed("training")
    text = printed(notebook)
    assert text.count("verified at 3 random points") == 2
    for method in ("gradient_descent", "momentum", "adam", "newton"):
        row = re.search(rf"^{method} +(.*)$", text, re.MULTILINE)
        assert row is not None, method
        excess = [float(entry) for entry in row[1].split() if not entry.endswith("%")]
        assert excess[-1] <= 1e-6, method
    read_correctly = re.search(r"([\d.]+)% of the test images", text)
    assert read_correctly is not None
    assert float(read_correctly[1]) >= 95
