"""Try the wrong inputs from a given number on, in a process with a limit on its memory, one line of JSON for each."""

from __future__ import annotations

import contextlib
import io
import json
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[level]) for level in (1, 2)]

import numpy as np  # noqa: E402

import matcalc as mc  # noqa: E402
from bad_inputs.cases import Case, cases  # noqa: E402
from matcalc.cli import main  # noqa: E402
from matcalc.errors import MatcalcError  # noqa: E402

MEMORY = 512 * 2**20
PATIENCE = 10


class _TooLongError(BaseException):
    """A case did not end."""


def attempt(case: Case) -> Any:
    """Do what the case says; what it returns is what was accepted."""
    if case.how == "derive":
        arguments = dict(case.arguments)
        return mc.derive(case.text, arguments.pop("wrt"), arguments.pop("vars"), **arguments).formula
    if case.how == "python":
        return eval(case.text, {"mc": mc, "np": np})  # noqa: S307  the calls are those of this folder
    return None


def command(case: Case) -> dict[str, Any]:
    """What the command line says, in JSON and in words."""
    plain, talk, printed = io.StringIO(), io.StringIO(), io.StringIO()
    words = list(case.arguments["words"])
    with contextlib.redirect_stdout(plain), contextlib.redirect_stderr(talk):
        status = main(words)
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        again = main([*words[:1], "--json", *words[1:]])
    if status in (0, 1) or "Traceback" in talk.getvalue() + plain.getvalue():
        return {"accepted": plain.getvalue()[:200], "status": status}
    error = json.loads(printed.getvalue())["error"]
    assert again == status
    assert error["message"] in talk.getvalue()
    return {**error, "status": status}


def outcome(case: Case) -> dict[str, Any]:
    """What became of a case."""
    try:
        if case.how == "cli":
            return command(case)
        return {"accepted": str(attempt(case))[:200]}
    except MatcalcError as error:
        return {**error.to_dict(), "class": type(error).__name__, "text": str(error)}
    except _TooLongError:
        return {"hang": True}
    except BaseException as error:  # whatever leaves is a crash
        return {"crash": f"{type(error).__name__}: {error}"[:300]}


def _stop(_signal: int, _frame: object) -> None:
    raise _TooLongError


def run(start: int) -> None:
    """Try all cases from ``start`` on."""
    signal.signal(signal.SIGALRM, _stop)
    mc.derive("x^T x", "x")(x=np.ones(2))  # what every process pays once is not the price of a case
    mc.check("x^T x", "x", "2 x")
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    for number, case in enumerate(cases()[start:], start):
        began = time.process_time()
        signal.alarm(PATIENCE)
        result = outcome(case)
        signal.alarm(0)
        result["seconds"] = time.process_time() - began
        print(json.dumps([number, result]), flush=True)


if __name__ == "__main__":
    run(int(sys.argv[1]))
