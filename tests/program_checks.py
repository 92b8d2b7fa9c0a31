"""One random program against the oracle: every stage of the engine, the reduction of a failure, and the report."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import multiprocessing
import re
import signal
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from matcalc.calculus.derive import derivative as engine_derivative
from matcalc.derivation import Derivative, find_variable
from matcalc.elaborate import elaborate
from matcalc.errors import MatcalcError, NotDifferentiable, Unsupported
from matcalc.expr.dims import Dim
from matcalc.expression import Expr
from matcalc.expression import read as engine_read
from matcalc.functions import program_arguments
from matcalc.notation.text import to_text
from matcalc.syntax.ast import Ast, Name, Num, Program
from tests import node_eval
from tests.oracle import Array, Differentiator, NotAnalyticError, derivative, evaluate, read, structure_of
from tests.plain_text import MACHINES, plain_results, scheduled_results
from tests.random_programs import SIZES, Case, random_case, values_of

SECONDS = 2.0
"""For the engine on one program."""
ORACLE_SECONDS = 8.0
LARGEST_DERIVATIVE = 1e6
TOLERANCE = {(1, True): 1e-7, (2, True): 1e-5, (1, False): 1e-6, (2, False): 1e-3}
"""By order and by whether the program has a complex continuation: without one the oracle takes differences."""
SAME = 1e-9
BATCH = 500


# --- the outcome of one program ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one program.

    Parameters
    ----------
    kind: ``ok``, ``skipped`` (the oracle cannot tell), ``wrong``, ``crash``, ``refusal``, ``timeout``.
    stage: where in the engine.
    message: what happened.
    expected, got: the arrays that differ.
    """

    kind: str
    stage: str = ""
    message: str = ""
    expected: Array | None = None
    got: Array | None = None

    @property
    def is_failure(self) -> bool:
        return self.kind not in ("ok", "skipped")

    @property
    def is_documented(self) -> bool:
        """Whether it is a refusal that the language allows for: no derivative, or not supported."""
        return self.kind == "refusal" and self.message.startswith((NotDifferentiable.__name__, Unsupported.__name__))

    @property
    def key(self) -> tuple[str, str, str]:
        """What failures of one cause have in common."""
        if self.kind in ("wrong", "timeout"):
            return self.kind, self.stage, ""
        return self.kind, self.stage, re.sub(r"\b(\w|\w_\w+|t\d+|Sigma|Lambda|[a-z]{2,6})\b|[0-9]+", "_", self.message)


class _TimeoutError(BaseException):
    pass


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Stop what takes more processor time than this (main thread only).

    An alarm that goes off in a finalizer is swallowed by Python, which then reports it, so the alarm is repeated and
    that report left out.
    """

    def stop(*_: Any) -> None:
        raise _TimeoutError

    def report(unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_type is not _TimeoutError:
            report_others(unraisable)

    report_others, sys.unraisablehook = sys.unraisablehook, report
    previous = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, seconds / 4)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)
        sys.unraisablehook = report_others


def relative_error(got: Array, expected: Array) -> float:
    """The largest difference, relative to the largest entry."""
    if got.shape != expected.shape:
        return float("inf")
    if got.size == 0:
        return 0.0
    if not np.all(np.isfinite(got)):
        return float("inf")
    return float(np.max(np.abs(got - expected)) / max(1e-2, float(np.max(np.abs(expected)))))


def check(case: Case, seconds: float = SECONDS, *, scheduled: bool = False) -> Outcome:
    """Compare the engine with the oracle on one program.

    >>> check(Case("x^T x", {"x": "vector(n)"}, ("x",), "0")).kind
    'ok'

    Parameters
    ----------
    case: the program.
    seconds: the time the engine has.
    scheduled: whether to try the texts for large arrays as well.
    """
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with limited(ORACLE_SECONDS):
                told = ask_oracle(case)
        except _TimeoutError:
            return Outcome("skipped", "oracle", "too slow")
        if isinstance(told, Outcome):
            return told
        engine = Engine(case, *told, scheduled=scheduled)
        try:
            with limited(seconds):
                return engine.compare()
        except _TimeoutError:
            return Outcome("timeout", engine.stage, f"more than {seconds:g} s")
        except MatcalcError as error:
            return Outcome("refusal", engine.stage, f"{type(error).__name__}: {error.message}")
        except Exception as error:  # a crash is what is looked for
            return Outcome("crash", engine.stage, f"{type(error).__name__}: {error}")


def ask_oracle(case: Case) -> tuple[Array, Array, float] | Outcome:
    """The value of the program, its derivative and how far that can be trusted, or why there is none."""
    values = values_of(case)
    try:
        program = read(case.text)
        value = np.asarray(evaluate(program, values, SIZES), dtype=float)
    except MatcalcError as error:
        return Outcome("refusal", "oracle", f"{type(error).__name__}: {error.message}")
    except Exception as error:
        return Outcome("skipped", "oracle", f"{type(error).__name__}: {error}")
    if case.value is not None and relative_error(value, case.value) > SAME:
        return Outcome("wrong", "reading", "the text does not mean what the generator wrote", case.value, value)
    try:
        slope, analytic = numerical_derivative(case, program, values)
    except Exception as error:
        return Outcome("skipped", "oracle", f"{type(error).__name__}: {error}")
    if not np.all(np.isfinite(slope)):
        return Outcome("skipped", "oracle", "not finite")
    if np.max(np.abs(slope), initial=0.0) > LARGEST_DERIVATIVE:
        return Outcome("skipped", "oracle", "huge")
    return value, slope, TOLERANCE[case.order, analytic]


def numerical_derivative(case: Case, program: Program, values: dict[str, Array]) -> tuple[Array, bool]:
    """By complex steps where the program has a continuation, else by differences."""

    def by(method: str) -> Array:
        first, last = case.wrt[0], case.wrt[-1]
        return derivative(program, values, SIZES, first, case.order, last, types=case.types, method=method)

    try:
        return by("complex"), True
    except NotAnalyticError:
        return by("differences"), False


def is_stable(case: Case, slope: Array, error: float) -> bool:
    """Whether plain differences confirm the oracle's derivative rather than one that differs from it by an error."""
    program, values = read(case.text), values_of(case)
    at = Differentiator(program, values, dict(SIZES))
    step, tolerance = (1e-5, 1e-5) if case.order == 1 else (1e-3, 1e-3)
    tolerance = min(tolerance, error / 2)
    first_basis = structure_of(case.wrt[0], values[case.wrt[0]], program, case.types)
    second_basis = structure_of(case.wrt[-1], values[case.wrt[-1]], program, case.types)
    scale = max(1e-2, float(np.max(np.abs(slope), initial=0.0)))
    for first in first_basis:
        if case.order == 1:
            moved = [at.at([(case.wrt[0], sign * step * first)]) for sign in (1, -1)]
            plain = (moved[0] - moved[1]) / (2 * step)
            claimed = np.tensordot(slope, first, first.ndim) if first.ndim else slope * first
            if np.max(np.abs(plain - claimed), initial=0.0) > tolerance * scale:
                return False
            continue
        for second in second_basis:
            corners = [
                one * other * at.at([(case.wrt[0], one * step * first), (case.wrt[-1], other * step * second)])
                for one in (1, -1)
                for other in (1, -1)
            ]
            plain = np.asarray(sum(corners) / (4 * step * step))
            claimed = np.tensordot(slope, second, second.ndim) if second.ndim else slope * second
            claimed = np.tensordot(claimed, first, first.ndim) if first.ndim else claimed * first
            if np.max(np.abs(plain - claimed), initial=0.0) > tolerance * scale:
                return False
    return True


class Engine:
    """The engine on one program; ``stage`` says how far it got."""

    def __init__(self, case: Case, value: Array, slope: Array, tolerance: float, *, scheduled: bool = False) -> None:
        self.case = case
        self.scheduled = scheduled
        self.value = value
        self.slope = slope
        self.tolerance = tolerance
        self.values = values_of(case)
        self.sizes: dict[str, int] = dict(SIZES)
        self.stage = "reading"

    def evaluate(self, node: Any) -> Array:
        return np.asarray(node_eval.evaluate(node, self.values, self.sizes), dtype=float)

    def differs(self, got: Array, expected: Array, tolerance: float, message: str = "") -> Outcome | None:
        error = relative_error(got, expected)
        if error <= tolerance:
            return None
        shapes = (
            f"shape {got.shape} instead of {expected.shape}" if got.shape != expected.shape else f"error {error:.1e}"
        )
        return Outcome("wrong", self.stage, f"{shapes} {message}".strip(), expected, got)

    def compare(self) -> Outcome:
        """Every stage in turn; the first difference is the outcome."""
        case = self.case
        self.stage = "elaborate"
        expr = Expr(case.text)
        plain: set[str] = set()
        compound: list[tuple[Dim, int]] = []
        for name, symbol in expr.meaning.symbols.items():
            shape = self.values[name].shape
            if len(symbol.type.shape) != len(shape):
                message = f"{name} is read as {symbol.type.kind}, it is {case.types[name]}"
                return Outcome("skipped", "inferred type", message)
            for dim, length in zip(symbol.type.shape, shape, strict=True):
                if dim.name is not None:
                    self.sizes[dim.name] = length
                    plain.add(dim.name)
                else:
                    compound.append((dim, length))
        for dim, length in compound:
            # a size that occurs in sums alone, as in vector(n - m), is the one for which they are right
            free = [name for name in dim.names if name not in plain]
            if len(free) == 1 and dim.evaluate(self.sizes) != length:
                fitting = (size for size in range(100) if dim.evaluate({**self.sizes, free[0]: size}) == length)
                self.sizes[free[0]] = next(fitting, self.sizes[free[0]])
        wrong = self.differs(self.evaluate(expr.node), self.value, SAME)
        if wrong is not None:
            return wrong
        self.stage = "simplify the program"
        wrong = self.differs(self.evaluate(expr.simplified), self.value, SAME)
        if wrong is not None:
            return wrong
        self.stage = "derivative"
        found = Derivative(expr, case.wrt, "gradient")
        got = self.evaluate(found.raw)
        wrong = self.differs(got, self.slope, self.tolerance)
        if wrong is not None:
            if not is_stable(case, self.slope, relative_error(got, self.slope)):
                return Outcome("skipped", "oracle", "unstable")
            return self.locate(expr, wrong)
        refused: Outcome | None = None
        try:
            wrong = self.compare_formulas(expr, found, got)
        except (NotDifferentiable, Unsupported) as error:
            # not everything has a formula in matrix notation, but everything is computed
            refused = Outcome("refusal", self.stage, f"{type(error).__name__}: {error.message}")
        if wrong is not None:
            return wrong
        self.stage = "compiled derivative"
        wrong = self.differs(self.call(found.compile()), got, SAME)
        if wrong is not None:
            return wrong
        if self.scheduled:
            self.stage = "derivative for large arrays"
            wrong = self.compare_schedules(expr, found, got)
            if wrong is not None:
                return wrong
        self.stage = "compiled value"
        return self.differs(self.call(expr.compile()), self.value, SAME) or refused or Outcome("ok")

    def compare_formulas(self, expr: Expr, found: Derivative, got: Array) -> Outcome | None:
        """The printed formulas, read again."""
        self.stage = "present"
        wrong = self.differs(self.evaluate(found._readable), got, SAME)
        if wrong is not None:
            return wrong
        for self.stage, text in (("text", found.formula), ("unicode", found.unicode)):
            again = elaborate(engine_read(text), expr.vars, shape=found.node.shape)
            wrong = self.differs(self.evaluate(again.node), got, SAME, text)
            if wrong is not None:
                return wrong
        self.stage = "latex"
        assert found.latex
        return None

    def compare_schedules(self, expr: Expr, found: Derivative, got: Array) -> Outcome | None:
        """The texts for large arrays, on machines where every loop gains."""
        nodes = [found.node]
        plain = plain_results(nodes, program_arguments(expr, nodes), self.values, self.sizes)
        if plain is None:
            return None
        for machine in MACHINES.values():
            results = scheduled_results(plain.function, plain.sizes, plain.arrays, machine)
            wrong = None if results is None else self.differs(np.asarray(results[0], dtype=float), got, SAME)
            if wrong is not None:
                return wrong
        return None

    def call(self, function: Any) -> Array:
        """A compiled function at the values of the case."""
        known = {**self.sizes, **self.values}
        return np.asarray(function(**{name: known[name] for name in function.args}), dtype=float)

    def locate(self, expr: Expr, wrong: Outcome) -> Outcome:
        """Whether the derivative itself or its simplification is wrong."""
        node = expr.simplified
        for name in self.case.wrt:
            variable, _ = find_variable(expr, name)
            node = engine_derivative(node, variable)
        if relative_error(self.evaluate(node), self.slope) > self.tolerance:
            return replace(wrong, stage="derive")
        return replace(wrong, stage="simplify the derivative")


# --- reduction -----------------------------------------------------------------------------------

Path_ = tuple[Any, ...]


def places(root: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Ast]]:
    """Every node below ``root`` with the way to it: names of fields and positions in tuples."""
    pending: list[tuple[Path_, Any]] = [(path, root)]
    while pending:
        here, item = pending.pop()
        if isinstance(item, tuple):
            pending.extend(((*here, position), part) for position, part in reversed(list(enumerate(item))))
        elif isinstance(item, Ast):
            if here != path:
                yield here, item
            names = [entry.name for entry in dataclasses.fields(item) if entry.name not in ("span", "func_span")]
            pending.extend(((*here, name), getattr(item, name)) for name in reversed(names))


def put(root: Any, path: Path_, new: Any) -> Any:
    """``root`` with the node at the end of ``path`` replaced."""
    if not path:
        return new
    step = path[0]
    if isinstance(step, int):
        return (*root[:step], put(root[step], path[1:], new), *root[step + 1 :])
    return dataclasses.replace(root, **{step: put(getattr(root, step), path[1:], new)})


def smaller_programs(program: Program, names: Iterable[str]) -> Iterator[Program]:
    """Programs with one piece less, the boldest first."""
    count = len(program.statements)
    for position in range(count - 1):
        yield Program((*program.statements[:position], *program.statements[position + 1 :]))
    found = sorted(places(program), key=lambda place: len(place[0]))
    for path, node in found:
        for below, part in places(node):
            if len(below) <= 4 and path[-1] != "target":
                yield put(program, path, part)
    for path, node in found:
        if isinstance(node, Name | Num) or path[-1] in ("target", "name") or len(path) < 3:
            continue
        for name in names:
            yield put(program, path, Name(name))
        yield put(program, path, Num(1))  # type: ignore[arg-type]


def shrink(case: Case, outcome: Outcome, seconds: float = 20.0) -> tuple[Case, Outcome]:
    """A smaller program with the same failure, found greedily.

    Parameters
    ----------
    case: a program that fails.
    outcome: how.
    seconds: the time to spend.
    """
    end = time.monotonic() + seconds
    current = replace(case, value=None)
    if check(current).key != outcome.key:
        return case, outcome
    if case.order == 2:
        for wrt in ((case.wrt[0],), (case.wrt[1],)):
            lower = replace(current, wrt=wrt)
            told = check(lower)
            if told.key == outcome.key:
                current, outcome = lower, told
                break
    improved = True
    tried: set[str] = {current.text}
    while improved and time.monotonic() < end:
        improved = False
        program = read(current.text)
        for candidate in smaller_programs(program, current.types):
            if time.monotonic() > end:
                break
            try:
                text = to_text(candidate, separator="; ")
            except Exception:  # not every tree has a text
                continue
            if text in tried or len(text) >= len(current.text):
                continue
            tried.add(text)
            attempt = replace(current, text=text)
            told = check(attempt)
            if told.key == outcome.key:
                current, outcome, improved = attempt, told, True
                break
    used = {node.id for _, node in places(read(current.text)) if isinstance(node, Name)}
    kept = {name: kind for name, kind in current.types.items() if name in used or name in current.wrt}
    return replace(current, types=kept), outcome


# --- many programs -------------------------------------------------------------------------------


@dataclass(slots=True)
class Report:
    """Counts by outcome and the failures with the programs they happened on."""

    counts: Counter[str]
    failures: dict[tuple[str, str, str], list[tuple[Case, Outcome]]]
    skips: Counter[str]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def add(self, case: Case, outcome: Outcome) -> None:
        self.counts[outcome.kind] += 1
        if outcome.kind == "skipped":
            self.skips[f"{outcome.stage}: {outcome.message[:60]}"] += 1
        if outcome.is_failure:
            self.failures[outcome.key].append((case, outcome))


def empty_report() -> Report:
    return Report(Counter(), defaultdict(list), Counter())


def one(task: tuple[int, int], *, scheduled: bool = False) -> tuple[Case, Outcome]:
    try:
        case = random_case(*task)
    except MatcalcError as error:
        text = error.source or ""
        return Case(text, {}, ("x",), "", name=f"{task[0]}/{task[1]}"), Outcome("refusal", "generator", str(error))
    return case, check(case, scheduled=scheduled)


def run_many(
    tasks: Sequence[tuple[int, int]], jobs: int = 1, out: Path | None = None, *, scheduled: bool = False
) -> Report:
    """Check many programs, given by seed and number.

    Parameters
    ----------
    tasks: seeds and numbers.
    jobs: how many processes.
    out: a file in which what was found so far is kept, should the run be stopped.
    scheduled: whether to try the texts for large arrays as well.
    """
    report = empty_report()
    each = partial(one, scheduled=scheduled)
    for case, outcome in map(each, tasks) if jobs == 1 else outcomes(each, tasks, jobs):
        report.add(case, outcome)
        if out is not None and report.total % BATCH == 0:
            out.write_text(summary(report, reduce=False) + "\n", encoding="utf-8")
    return report


def outcomes(
    each: Callable[[tuple[int, int]], tuple[Case, Outcome]], tasks: Sequence[tuple[int, int]], jobs: int
) -> Iterator[tuple[Case, Outcome]]:
    """The programs with their outcomes, as they end; a process is replaced by a new one now and then."""
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=200) as pool:
        yield from pool.imap_unordered(each, tasks, chunksize=20)


def short(array: Array | None) -> str:
    if array is None:
        return "-"
    return np.array2string(np.asarray(array), precision=6, threshold=24, max_line_width=110)


def describe(case: Case, outcome: Outcome) -> str:
    """A failure as a person reads it."""
    lines = [f"[{case.name}] {outcome.kind} at {outcome.stage}: {outcome.message}", "", case.text, ""]
    lines.append(f"wrt {', '.join(case.wrt)}   types {dict(case.types)}   seed {case.seed!r}")
    if outcome.expected is not None:
        lines += ["expected", short(outcome.expected), "got", short(outcome.got)]
    return "\n".join(lines)


def summary(report: Report, reduce: bool = True, seconds: float = 20.0) -> str:
    """The report as text, worst failures first, one reduced example for each cause."""
    lines = [f"{report.total} programs: " + ", ".join(f"{kind} {count}" for kind, count in report.counts.most_common())]
    lines.append(f"skipped {report.counts['skipped'] / max(1, report.total):.1%}: {dict(report.skips.most_common(8))}")
    rank = {"wrong": 0, "crash": 1, "timeout": 2, "refusal": 3}
    for key, found in sorted(report.failures.items(), key=lambda item: (rank[item[0][0]], -len(item[1]), item[0])):
        case, outcome = min(found, key=lambda pair: len(pair[0].text))
        note = " (documented)" if outcome.is_documented else ""
        lines += ["", "=" * 100, f"{len(found)} × {key}{note}", describe(case, outcome)]
        if reduce and outcome.stage != "generator":
            small, told = shrink(case, outcome, seconds)
            if small.text != case.text:
                lines += ["--- reduced", describe(small, told)]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="number of the first program")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--no-reduce", action="store_true")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each reduction")
    parser.add_argument("--scheduled", action="store_true", help="try the texts for large arrays as well")
    parser.add_argument("--show", action="store_true", help="only print the programs")
    parser.add_argument("--out", type=Path, default=None, help="also write the report to this file")
    options = parser.parse_args(arguments)
    tasks = [(options.seed, number) for number in range(options.start, options.start + options.count)]
    if options.show:
        for task in tasks:
            case = random_case(*task)
            print(f"# {case.name}  by {', '.join(case.wrt)}\n{case.text}\n")
        return
    report = run_many(tasks, options.jobs, options.out, scheduled=options.scheduled)
    text = summary(report, reduce=not options.no_reduce, seconds=options.seconds)
    if options.out is not None:
        options.out.write_text(text + "\n", encoding="utf-8")
    print(text)
