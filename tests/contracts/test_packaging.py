"""The wheel and the source archive hold what they must, and the wheel works on its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import matcalc


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the source archive of this checkout."""
    root = Path(__file__).resolve().parents[2]
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), "-t", "wheel", "-t", "sdist"]
    subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    return wheel, sdist


def test_the_wheel_holds_the_package_and_the_grammar_only(archives: tuple[Path, Path]) -> None:
    names = zipfile.ZipFile(archives[0]).namelist()
    assert f"matcalculus-{matcalc.__version__}-py3-none-any.whl" == archives[0].name
    assert {name.partition("/")[0] for name in names} == {"matcalc", f"matcalculus-{matcalc.__version__}.dist-info"}
    assert "matcalc/_grammar/matcalc.lark" in names
    assert "matcalc/py.typed" in names
    assert not [name for name in names if "__pycache__" in name]


def test_the_source_archive_holds_what_the_tests_need(archives: tuple[Path, Path]) -> None:
    with tarfile.open(archives[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "grammar/matcalc.lark"} <= names
    assert {"matcalc/api.py", "tests/conftest.py", "benchmarks/run.py", "docs/reference/operations.md"} <= names


@pytest.mark.parametrize("unpacked", [True, False], ids=["unpacked", "as a zip file"])
def test_the_wheel_derives_away_from_the_checkout(archives: tuple[Path, Path], tmp_path: Path, unpacked: bool) -> None:
    location = archives[0]
    if unpacked:
        location = tmp_path / "site"
        zipfile.ZipFile(archives[0]).extractall(location)
    code = (
        "import sys, matcalc; assert sys.argv[1] in matcalc.__file__; from matcalc.cli import main; main(sys.argv[2:])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(location), "diff", "x^T A x", "--wrt", "x"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(location)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[0] == "(A + A^T) x"
