"""The tests as plain calls, and which lines of the rules each of them runs."""

from __future__ import annotations

import functools
import gc
import importlib
import inspect
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType
from typing import Any, NamedTuple

import pytest

from matcalc.expr.nodes import Node

MODULES = (
    "test_normal_form",
    "test_operations",
    "test_structured_rules",
    "test_calculus",
    "test_stability",
    "test_facts",
    "test_corpus",
)
#: Tests that are about speed, memory or many processes, or look at the whole table at once.
LEFT_OUT = frozenset(
    {"test_formulas_are_written_as_the_references_write_them", "test_output_is_the_same_bytes_under_every_hash_seed"}
)


class Item(NamedTuple):
    """One test with its parameters."""

    name: str
    function: Callable[..., None]
    arguments: Mapping[str, Any]

    def run(self) -> str:
        """``passed``, ``skipped`` or what went wrong."""
        try:
            self.function(**self.arguments)
        except pytest.skip.Exception:
            return "skipped"
        except (Exception, pytest.fail.Exception) as error:
            return f"{type(error).__name__}: {str(error)[:200]}"
        return "passed"

    def reads(self, names: frozenset[str]) -> bool:
        """Whether the test itself uses one of the names."""
        return not names.isdisjoint(_names_in(self.function.__code__))

    def mentions(self, record: str) -> bool:
        """Whether the test is about a record."""
        values = self.arguments.values()
        return any(getattr(value, "name", value) == record for value in values if not hasattr(value, "shape"))


@functools.cache
def _names_in(code: CodeType) -> frozenset[str]:
    inner = [part for part in code.co_consts if isinstance(part, CodeType)]
    return frozenset(code.co_names).union(*(_names_in(part) for part in inner))


def items(modules: Sequence[str] = MODULES) -> list[Item]:
    """Every test of the modules that needs no fixture, in the order of the files."""
    found: list[Item] = []
    for module in modules:
        for name, function in vars(importlib.import_module(module)).items():
            if not name.startswith("test_") or not callable(function) or name in LEFT_OUT:
                continue
            marks = getattr(function, "pytestmark", [])
            if any(mark.name == "slow" for mark in marks):
                continue
            rows = [list(_rows(mark)) for mark in marks if mark.name == "parametrize"]
            for chosen in itertools.product(*rows):
                arguments = {key: value for _, row in chosen for key, value in row.items()}
                if set(arguments) == set(inspect.signature(function).parameters):
                    label = "-".join(text for text, _ in chosen)
                    found.append(Item(f"{module}::{name}[{label}]", function, arguments))
    return found


def _rows(mark: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    names, rows = mark.args[:2]
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    ids = mark.kwargs.get("ids")
    for place, row in enumerate(rows):
        values, label = row, None
        if hasattr(row, "values") and hasattr(row, "marks"):
            if row.marks:
                continue
            values, label = row.values, row.id
        elif len(names) == 1:
            values = (row,)
        if label is None:
            label = str(ids(row) if callable(ids) else place if ids is None else ids[place])
        yield label, dict(zip(names, values, strict=True))


def forget() -> None:
    """Empty all memories of earlier results, so that a changed rule is seen."""
    for thing in gc.get_objects():
        if isinstance(thing, Node):
            thing.cache.clear()
        elif isinstance(thing, functools._lru_cache_wrapper):
            thing.cache_clear()


class Run(NamedTuple):
    """What happened when an item ran on the unchanged rules: seconds, and the lines of the rules it ran."""

    seconds: float
    lines: frozenset[tuple[str, int]]
    outcome: str


def observe(item: Item, files: frozenset[str]) -> Run:
    """Run an item and note which lines of the files it runs; the seconds are those of the second run."""
    lines: set[tuple[str, int]] = set()

    def line(frame: Any, event: str, _argument: Any) -> Any:
        lines.add((frame.f_code.co_filename, frame.f_lineno))
        return line

    def called(frame: Any, _event: str, _argument: Any) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        lines.add((frame.f_code.co_filename, frame.f_lineno))
        return line

    sys.settrace(called)
    try:
        outcome = item.run()
    finally:
        sys.settrace(None)
    started = time.perf_counter()
    if outcome == "passed":
        item.run()
    return Run(time.perf_counter() - started, frozenset(lines), outcome)
