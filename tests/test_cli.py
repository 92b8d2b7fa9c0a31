"""The command line: answers, statuses, envelopes, and input that looks like something else."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import matcalc
from matcalc.cli import COMMANDS, main
from matcalc.ops.registry import OPERATIONS

Run = Any


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command; returns status, standard output and standard error."""

    def run_command(*words: str) -> tuple[int, str, str]:
        status = main(words)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run_command


def process(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "matcalc", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


# --- answers -------------------------------------------------------------------------------------


def test_the_formula_is_the_first_line_and_the_facts_are_the_second(run: Run) -> None:
    status, out, err = run("diff", "x^T A x", "--wrt", "x")
    formula, facts = out.splitlines()
    assert status == 0
    assert err == ""
    assert formula == "(A + A^T) x"
    assert facts == "shape (n,) · layout gradient · x: vector(n), A: matrix(n, n) (inferred)"


def test_declarations_win_over_inference(run: Run) -> None:
    status, out, _ = run("diff", "x^T A x", "--wrt", "x", "--var", "A: matrix(n, n) symmetric")
    assert status == 0
    assert out.splitlines()[0] == "2 A x"
    assert "A: matrix(n, n) symmetric" in out
    assert "x: vector(n) (inferred)" in out


def test_conditions_stand_in_the_facts(run: Run) -> None:
    _, out, _ = run("diff", "logdet(X)", "--wrt", "X")
    assert out.splitlines()[0] == "X^-T"
    assert "X invertible" in out


def test_second_order_and_hessian_agree(run: Run) -> None:
    _, once, _ = run("hessian", "x^T A x", "--wrt", "x")
    _, twice, _ = run("diff", "x^T A x", "--wrt", "x", "--order", "2")
    assert once == twice
    assert once.splitlines()[0] == "A + A^T"


def test_mixed_derivative(run: Run) -> None:
    status, out, _ = run("diff", "x^T A y", "--wrt", "x", "--wrt", "y")
    assert status == 0
    assert out.splitlines()[0] == "A"


def test_jacobian(run: Run) -> None:
    status, out, _ = run("jacobian", "A x", "--wrt", "x")
    assert status == 0
    assert out.splitlines()[0] == "A"


def test_latex_and_unicode(run: Run) -> None:
    _, latex, _ = run("diff", "x^T A x", "--wrt", "x", "--latex")
    _, signs, _ = run("diff", "x^T A x", "--wrt", "x", "--unicode")
    assert latex.splitlines()[0].count("\\top") == 1
    assert signs.splitlines()[0] == "(A + Aᵀ) x"


def test_code_and_verify(run: Run) -> None:
    status, out, _ = run("diff", "||A x - b||^2", "--wrt", "x", "--code", "--verify")
    assert status == 0
    assert "def " in out
    assert "verified at 3 random points" in out


def test_code(run: Run) -> None:
    status, out, _ = run("code", "||A x - b||^2", "--wrt", "x")
    assert status == 0
    compile(out, "generated", "exec")


def test_the_chosen_variable_is_named_on_standard_error(run: Run) -> None:
    status, out, err = run("diff", "x^T A x")
    assert status == 0
    assert out.splitlines()[0] == "(A + A^T) x"
    assert "differentiated by x" in err


def test_a_name_that_does_not_occur_is_a_warning(run: Run) -> None:
    status, out, err = run("diff", "x^T A x", "--wrt", "X")
    assert status == 0
    assert out.startswith("zeros(")
    assert "X does not occur" in err
    assert "did you mean x?" in err


@pytest.mark.parametrize("text", ["-x^T A x", "-2 * x^T A x", "- x' * A * x", "-x'*A*x"])
def test_an_expression_may_begin_with_a_minus(run: Run, text: str) -> None:
    status, out, _ = run("diff", text, "--wrt", "x")
    assert status == 0
    assert out.startswith("-")


def test_words_after_two_dashes_are_the_expression(run: Run) -> None:
    assert run("diff", "--wrt", "x", "--", "x^T A x")[1].splitlines()[0] == "(A + A^T) x"


def test_standard_input_and_files(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = "A: matrix(m, n)\nr = A x - b\nr^T r\n"
    expected = run("diff", program, "--wrt", "x")[1]
    assert expected.splitlines()[0] == "2 A^T (A x - b)"
    monkeypatch.setattr("sys.stdin", io.StringIO(program))
    assert run("diff", "-", "--wrt", "x")[1] == expected
    path = tmp_path / "loss.txt"
    path.write_text(program, encoding="utf-8")
    assert run("diff", "--file", str(path), "--wrt", "x")[1] == expected
    assert run("diff", "--file", str(tmp_path / "none"), "--wrt", "x")[0] == 2


# --- evaluation ----------------------------------------------------------------------------------


def test_eval_with_values(run: Run) -> None:
    assert run("eval", "x^T x", "--set", "x=1,2,3")[:2] == (0, "14.0\n")
    assert run("eval", "A x", "--set", "x=1,1", "--set", "A=1,2;3,4")[:2] == (0, "[3., 7.]\n")
    assert run("eval", "x^T x", "--set", "x=1,2,3", "--wrt", "x")[:2] == (0, "[2., 4., 6.]\n")
    assert run("eval", "-t^2", "--var", "t: scalar", "--set", "t=-3")[:2] == (0, "-9.0\n")


def test_eval_with_data(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, A=np.eye(2), x=np.array([1.0, 2.0]), unused=np.zeros(3))
    status, out, err = run("eval", "sum(A x)", "--data", str(path), "--json")
    answer = json.loads(out)
    assert (status, err) == (0, "")
    assert answer["result"] == {"value": 3.0}
    assert answer["warnings"] == ["unused is not used by the expression"]


def test_eval_reports_what_is_missing(run: Run) -> None:
    status, out, err = run("eval", "A x", "--set", "x=1,2")
    assert status == 2
    assert out == ""
    assert "missing argument: A" in err


# --- envelopes and statuses ----------------------------------------------------------------------


def test_json_envelope(run: Run) -> None:
    status, out, err = run("diff", "logdet(X)", "--wrt", "X", "--json", "--verify")
    answer = json.loads(out)
    assert (status, err) == (0, "")
    assert sorted(answer) == ["command", "ok", "result", "version", "warnings"]
    assert answer["ok"] is True
    assert answer["command"] == "diff"
    assert answer["version"] == matcalc.__version__
    result = answer["result"]
    assert result["formula"] == "X^-T"
    assert result["shape"] == ["n", "n"]
    assert result["conditions"] == ["X invertible"]
    assert result["vars"] == {"X": "matrix(n, n)"}
    assert result["verified"]["ok"] is True
    assert result["verified"]["max_error"] < 1e-6


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["diff", "x +", "--wrt", "x"], 2, "syntax"),
        (["diff", "x^T A x", "--wrt", "x", "--layout", "sideways"], 2, "usage"),
        (["diff", "x^T A x", "--wrt", "x", "--order", "3"], 2, "usage"),
        (["diff", "x^T A x", "--wrt", "x", "--nonsense"], 2, "usage"),
        (["diff", "--wrt", "x"], 2, "usage"),
        (["unknown"], 2, "usage"),
        (["diff", "A x + y", "--wrt", "x", "--var", "A: matrix(2, 3)", "--var", "y: vector(3)"], 3, "shape"),
        (["diff", "sine(x)", "--wrt", "x"], 3, "name"),
        (["diff", "argmax(x)", "--wrt", "x"], 4, "not-differentiable"),
    ],
)
def test_errors(run: Run, words: list[str], status: int, code: str) -> None:
    plain_status, plain_out, plain_err = run(*words)
    assert plain_status == status
    assert plain_out == ""
    assert plain_err.startswith("error: ")
    json_status, out, err = run(*words, "--json")
    answer = json.loads(out)
    assert (json_status, err) == (status, "")
    assert answer["ok"] is False
    assert answer["error"]["code"] == code
    assert answer["error"]["message"] in plain_err


def test_errors_show_the_place(run: Run) -> None:
    _, _, err = run("diff", "sin(x) + sine(x)", "--wrt", "x")
    lines = err.splitlines()
    assert lines[1].strip() == "sin(x) + sine(x)"
    assert lines[2].index("^") == lines[1].index("sine")
    assert "sin" in lines[3]


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (["dif", "x"], "did you mean diff?"),
        (["diff", "x", "--latx"], "did you mean --latex?"),
        (["diff", "x", "--wtr=x"], "did you mean --wrt?"),
        (["x^T A x", "--wrt", "x"], 'matcalc diff "x^T A x"'),
        (["ops", "logdett"], "logdet"),
    ],
)
def test_suggestions(run: Run, words: list[str], suggestion: str) -> None:
    status, _, err = run(*words)
    assert status in (2, 3)
    assert suggestion in err


def test_options_are_not_abbreviated(run: Run) -> None:
    assert run("diff", "x^T x", "--wr", "x")[0] == 2


def test_a_failed_verification_is_a_negative_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matcalc.verify._error", lambda *_: 1.0)
    status, out, _ = run("diff", "x^T A x", "--wrt", "x", "--verify")
    assert status == 1
    assert "NOT confirmed" in out


# --- lists ---------------------------------------------------------------------------------------


def test_ops_lists_every_operation(run: Run) -> None:
    status, out, _ = run("ops")
    assert status == 0
    listed = {line.split()[0] for line in out.splitlines() if line.startswith("  ")}
    assert listed == {operation.name for operation in OPERATIONS.values()}


def test_one_operation_by_name_or_alias(run: Run) -> None:
    status, out, _ = run("ops", "logdet")
    assert status == 0
    assert "doc: " in out
    assert run("ops", "Tr", "--json")[1] == run("ops", "tr", "--json")[1]


def test_doctor(run: Run) -> None:
    status, out, _ = run("doctor", "--json")
    result = json.loads(out)["result"]
    assert status == 0
    assert result["healthy"] is True
    assert result["matcalc"].startswith(matcalc.__version__)


def test_help_and_version(run: Run) -> None:
    assert run("--version")[:2] == (0, f"matcalc {matcalc.__version__}\n")
    status, out, _ = run("--help")
    assert status == 0
    assert all(command in out for command in COMMANDS)
    for command in COMMANDS:
        assert run(command, "--help")[0] == 0
    assert run()[0] == 2


# --- as a process --------------------------------------------------------------------------------


def test_colour_is_for_terminals(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in process("diff", "x^T x", "--wrt", "x").stdout
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert "\x1b[2m" in run("diff", "x^T x", "--wrt", "x")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("diff", "x^T x", "--wrt", "x")[1]


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_closed_pipe_is_no_traceback() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "matcalc", "ops", "--markdown"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    errors = child.stderr.read().decode()
    child.stderr.close()
    assert child.wait(timeout=60) == 141
    assert errors == ""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_is_no_traceback() -> None:
    """The child is given time to start, so that the interrupt meets it at its input."""
    child = subprocess.Popen(
        [sys.executable, "-m", "matcalc", "diff", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a run in the background is born deaf to interrupts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    time.sleep(4.0)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130
    assert errors.strip() == "interrupted"


def test_any_terminal_encoding_will_do() -> None:
    done = process("diff", "logdet(X)", "--wrt", "X", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "X^-T"


def test_a_mistake_of_ours_is_reported_as_one(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("out of cheese")

    from matcalc import cli

    monkeypatch.setattr(cli, "_RUN", {**cli._RUN, "doctor": broken})
    monkeypatch.setattr("sys.argv", ["matcalc", "doctor"])
    with pytest.raises(SystemExit) as stop:
        cli.entry()
    assert stop.value.code == 70
    assert "out of cheese" in capsys.readouterr().err
