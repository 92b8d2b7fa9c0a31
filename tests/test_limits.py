"""Limits: each is named, can be set, and stops what would take too long, in bounded time and memory."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

import matcalc as mc
from matcalc.limits import bounded, current, tick
from tests.hostile import DECLARED, TEXTS

ROOT = Path(__file__).resolve().parents[1]

SECONDS = 0.3
"""The time that a hostile text is given for each thing that is asked."""

SLOWEST, LARGEST = 2.0, 512
"""Seconds of the processor that one thing may take all the same, and megabytes of the whole process."""

# --- hostile texts -------------------------------------------------------------------------------

RUNNER = r"""
import json, re, resource, sys, time
sys.path.insert(0, sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
import matcalc as mc
from tests.hostile import DECLARED, TEXTS

seconds = float(sys.argv[2])
mc.derive("x^T A x", "x").source

def asked(text, wrt):
    given = {name: kind for name, kind in DECLARED.items() if not text.startswith(f"{name}:")}
    derived = mc.derive(text, wrt, given, timeout=seconds)
    yield "derive"
    for fact in ("formula", "latex", "conditions", "source"):
        try:
            getattr(derived, fact)
        except mc.MatcalcError as error:
            outcome.append(getattr(error, "limit", "") or type(error).__name__)
        yield fact
    mc.derive(derived.function, (wrt, wrt)).formula
    yield "second"

for name in sys.argv[3:]:
    outcome, times, last = [], {}, time.process_time()
    step = "refused"
    try:
        for step in asked(*TEXTS[name]):
            now = time.process_time()
            times[step], last = now - last, now
    except mc.MatcalcError as error:
        outcome.append(getattr(error, "limit", "") or type(error).__name__)
        times[f"after {step}"] = time.process_time() - last
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"name": name, "outcome": outcome, "times": times, "peak": peak}), flush=True)
"""

GROUPS = 8
NAMES = list(TEXTS)


@pytest.mark.parametrize("group", range(GROUPS))
def test_hostile_texts_end_soon_in_little_memory(group: int) -> None:
    names = NAMES[group::GROUPS]
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, str(ROOT), str(SECONDS), *names],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [entry["name"] for entry in found] == names, done.stderr[-2000:]
    for entry in found:
        assert max(entry["times"].values()) < SLOWEST, entry
        assert entry["peak"] < LARGEST, entry


REFUSED = {
    "power by power": "exponent",
    "squared number": "exponent",
    "squared fraction": "exponent",
    "large literals": "exponent",
    "expanded size": "terms",
    "axes": "order",
    "einsum of 52 labels": "order",
    "brackets": "nesting",
    "indices": "nesting",
    "macros": "expansions",
    "macros in a circle": "expansions",
    "macro of macros": "expansions",
    "wide macro": "symbols",
    "fractions in LaTeX": "nesting",
    "hats": "nesting",
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_no_time_would_help_is_refused_by_the_limit_that_is_meant(name: str) -> None:
    text, wrt = TEXTS[name]
    given = {known: kind for known, kind in DECLARED.items() if not text.startswith(f"{known}:")}
    start = time.process_time()
    with pytest.raises(mc.LimitError) as caught:
        mc.derive(text, wrt, given)
    assert time.process_time() - start < SLOWEST
    assert caught.value.limit == REFUSED[name]
    assert f"`{REFUSED[name]}`" in caught.value.message
    assert f"mc.Limits({REFUSED[name]}=…)" in str(caught.value.hint)


# --- every limit ---------------------------------------------------------------------------------

Call = Callable[[mc.Limits], object]

SETTINGS: dict[str, tuple[int, int, Call]] = {
    "length": (10, 30, lambda limits: mc.parse("x^T A x + x^T x", limits=limits)),
    "nesting": (3, 4, lambda limits: mc.parse("((((x))))", limits=limits)),
    "statements": (2, 4, lambda limits: mc.parse("a = 1; b = 2; c = 3; a + b + c", limits=limits)),
    "expansions": (2, 3, lambda limits: mc.parse(r"\def\a{x} \a + \a + \a", limits=limits)),
    "symbols": (10, 100, lambda limits: mc.parse(r"\newcommand{\a}[1]{#1 + #1 + #1} \a{2 x}", limits=limits)),
    "digits": (4, 5, lambda limits: mc.parse("12345 x", limits=limits)),
    "exponent": (20, 40, lambda limits: mc.parse("1e30 x", limits=limits)),
    "order": (3, 4, lambda limits: mc.derive("A X", "X", {"A": "matrix(m, n)", "X": "matrix(n, k)"}, limits=limits)),
    "terms": (3, 4, lambda limits: mc.parse("y", {"y": "vector((a + b) (c + d))"}, limits=limits)),
    "nodes": (200, 20_000, lambda limits: mc.derive("+".join(f"sin({k} t)" for k in range(300)), "t", limits=limits)),
    "steps": (300, 10**6, lambda limits: mc.derive("+".join(f"sin({k} t)" for k in range(300)), "t", limits=limits)),
    "printed": (10, 100, lambda limits: mc.derive("||A x - b||^2 + c^T x", "x", limits=limits).formula),
}


def test_every_limit_has_a_test() -> None:
    assert {*SETTINGS, "timeout", "operations"} == {field.name for field in fields(mc.Limits)}


def test_the_page_lists_every_limit_with_its_default() -> None:
    page = (ROOT / "docs" / "explanation" / "safety.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\w,]+) \|", page, re.MULTILINE))
    defaults = {field.name: "none" if field.default is None else f"{field.default:,}" for field in fields(mc.Limits)}
    assert rows == defaults


@pytest.mark.parametrize("name", SETTINGS)
def test_a_limit_stops_below_and_lets_pass_above(name: str) -> None:
    low, high, call = SETTINGS[name]
    with pytest.raises(mc.LimitError) as caught:
        call(mc.Limits(**{name: low}))
    assert caught.value.limit == name
    assert f"mc.Limits({name}=…)" in str(caught.value.hint)
    assert caught.value.to_dict()["code"] == "limit"
    call(mc.Limits(**{name: high}))


def test_expressions_built_by_operators_have_a_limit() -> None:
    x = mc.symbols("x: scalar")
    with mc.limited(operations=8):
        with pytest.raises(mc.LimitError) as caught:
            x * x * x * x * x * x
        assert caught.value.limit == "operations"
    assert (x * x * x * x * x * x).shape == ()


@pytest.mark.parametrize("name", [field.name for field in fields(mc.Limits)])
@pytest.mark.parametrize("value", [0, -1, "1", True, float("nan")])
def test_limits_that_make_no_sense_are_refused(name: str, value: object) -> None:
    with pytest.raises(mc.UsageError, match=name):
        mc.Limits(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(mc.UsageError, match=name), mc.limited(**{name: value}):
        raise AssertionError


def test_a_limit_that_does_not_exist_is_refused() -> None:
    with pytest.raises(mc.UsageError, match="lenght"), mc.limited(lenght=3):
        raise AssertionError
    with pytest.raises(mc.UsageError):
        mc.derive("x", "x", limits={"length": 3})  # type: ignore[arg-type]
    with pytest.raises(mc.UsageError):
        mc.Limits(exponent=10_000)


# --- time ----------------------------------------------------------------------------------------

SLOW = "+".join(f"log(1 + exp(sin({k} t)))" for k in range(8_000))


@pytest.mark.parametrize(
    "call",
    [
        lambda: mc.parse(SLOW, timeout=0.1),
        lambda: mc.derive(SLOW, "t", timeout=0.1),
        lambda: mc.grad(SLOW, "t", timeout=0.1),
        lambda: mc.value_and_grad(SLOW, "t", timeout=0.1),
        lambda: mc.jacobian(SLOW, "t", timeout=0.1),
        lambda: mc.hessian(SLOW, "t", timeout=0.1),
        lambda: mc.hvp(SLOW, "t", timeout=0.1),
        lambda: mc.vjp(SLOW, "t", timeout=0.1),
        lambda: mc.jvp(SLOW, "t", timeout=0.1),
        lambda: mc.explain(SLOW, "t", timeout=0.1),
        lambda: mc.check(SLOW, "t", claim="1", timeout=0.1),
    ],
    ids=["parse", "derive", "grad", "value_and_grad", "jacobian", "hessian", "hvp", "vjp", "jvp", "explain", "check"],
)
def test_every_call_takes_a_time_limit(call: Callable[[], object]) -> None:
    start = time.process_time()
    with pytest.raises(mc.LimitError, match=r"longer than 0\.1 s \(the limit `timeout`\)") as caught:
        call()
    assert time.process_time() - start < SLOWEST
    assert caught.value.limit == "timeout"
    assert "--timeout" in str(caught.value.hint)


def test_what_is_asked_later_is_limited_too() -> None:
    derived = mc.derive(*TEXTS["matrix squares"], {"A": "matrix(n, n)"}, limits=mc.Limits(steps=50_000))
    with pytest.raises(mc.LimitError):
        derived.formula  # noqa: B018
    with pytest.raises(mc.LimitError):
        derived.formula  # noqa: B018  nothing unfinished was kept


def test_a_function_given_enough_time_is_the_same() -> None:
    assert mc.derive("x^T A x", "x", timeout=60).formula == mc.derive("x^T A x", "x").formula


def test_limits_go_with_an_expression() -> None:
    expr = mc.parse("sum(sin(x)) + " * 30 + "x^T x", {"x": "vector(n)"}, limits=mc.Limits(printed=30))
    for later in (expr, pickle.loads(pickle.dumps(expr)), mc.derive(expr, "x"), mc.grad(expr, "x")):
        assert later.limits.printed == 30
    with pytest.raises(mc.LimitError):
        expr.latex  # noqa: B018
    assert mc.derive(expr, "x", limits=mc.Limits()).formula
    with pytest.raises(mc.LimitError):
        expr.latex  # noqa: B018


def test_the_command_takes_a_time_limit(capsys: pytest.CaptureFixture[str]) -> None:
    from matcalc.cli import main

    assert main(["diff", SLOW, "--wrt", "t", "--timeout", "0.1", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "limit"
    assert main(["diff", "x^T x", "--wrt", "x", "--timeout", "60"]) == 0
    assert main(["diff", "x^T x", "--wrt", "x", "--timeout", "0"]) == 2


# --- scopes --------------------------------------------------------------------------------------


def test_a_block_sets_limits_and_leaves_them_as_they_were() -> None:
    before = current()
    with mc.limited(length=10) as outer:
        assert current() is outer
        with mc.limited(nesting=5) as inner:
            assert (inner.length, inner.nesting) == (10, 5)
        with pytest.raises(mc.LimitError):
            mc.parse("x + x + x + x")
        mc.parse("x + x + x + x", limits=mc.Limits())
    assert current() == before


def test_a_limit_reached_leaves_nothing_behind() -> None:
    with pytest.raises(mc.LimitError):
        mc.derive(SLOW, "t", timeout=0.05)
    time.sleep(0.05)
    assert current() == mc.Limits()
    assert mc.derive("x^T A x", "x").formula == "(A + A^T) x"


def test_threads_have_limits_of_their_own() -> None:
    found: dict[str, int] = {}
    barrier = threading.Barrier(2)

    def work(name: str, length: int) -> None:
        with mc.limited(length=length):
            barrier.wait()
            found[name] = current().length
            barrier.wait()

    threads = [threading.Thread(target=work, args=(f"t{length}", length)) for length in (50, 60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"t50": 50, "t60": 60}
    assert current().length == mc.Limits().length


def test_a_call_within_a_call_shares_its_work() -> None:
    def inside() -> None:
        with bounded(mc.Limits()):
            for _ in range(1000):
                tick()

    with bounded(mc.Limits(steps=1000)):
        tick(600)
        with pytest.raises(mc.LimitError) as caught:
            inside()
    assert caught.value.limit == "steps"


def test_steps_are_the_same_on_every_machine() -> None:
    def least() -> int:
        low, high = 1, 100_000
        while low < high:
            middle = (low + high) // 2
            try:
                mc.derive("sum(tanh(A x).^2) / (1 + x^T x)", "x", limits=mc.Limits(steps=middle)).formula  # noqa: B018
            except mc.LimitError:
                low = middle + 1
            else:
                high = middle
        return low

    least()  # facts of the constant nodes are kept between calls
    assert least() == least()


# --- formulas of long products -------------------------------------------------------------------


@pytest.mark.parametrize("count", [3, 25, 60, 300])
def test_a_long_product_of_one_matrix_is_one_power(count: int) -> None:
    expr = mc.parse(" ".join(["A"] * count) + " x", {"A": "matrix(n, n)", "x": "vector(n)"})
    assert expr.diff("x").formula == f"A^{count}"
    count = min(count, 60)
    inverse = mc.parse(" ".join(["A^-1"] * count) + " x", {"A": "matrix(n, n)", "x": "vector(n)"})
    assert inverse.diff("x").formula == f"A^-{count}"
