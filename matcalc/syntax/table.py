"""Parse tables: built by Lark from a grammar file, shipped as plain data, driven by one loop.

Lark needs about 0.1 s to start and to turn the grammar into a table, which is most of what a short command
may take. So the table is stored next to this module with the checksum of its grammar; where the two
differ (somebody edits the grammar) Lark builds the table again in memory. `python -m matcalc.syntax.table`
writes the stored tables.
"""

# Importing pathlib takes as long as all the rest of a parse:
# ruff: noqa: PTH100, PTH118, PTH120, PTH123
from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from ..limits import tick
from .grammar_file import read_data, read_grammar

END = "$END"

TABLES: dict[str, tuple[str, ...]] = {"matcalc": ("program", "type"), "latex": ("program",)}
"""The grammars with a stored table, and the rules a text may start with."""


class Token(NamedTuple):
    """A terminal of the grammar with its place in the source; ``value`` is its canonical spelling."""

    kind: str
    text: str
    start: int
    end: int
    value: str = ""


class Rule(NamedTuple):
    """A production: what it makes, how many symbols it takes, the action that builds its value."""

    origin: str
    size: int
    action: str
    single: bool


@dataclass(frozen=True, slots=True)
class Table:
    """An LALR(1) table: per state and symbol a state to go to (>= 0) or a rule to apply (-1 - rule)."""

    rules: tuple[Rule, ...]
    rows: tuple[dict[str, int], ...]
    starts: dict[str, int]
    ends: dict[str, int]


class UnexpectedTokenError(Exception):
    """A token that no rule allows at its place; ``values`` is what had been read up to there."""

    def __init__(self, token: Token, previous: Token | None, expected: frozenset[str], values: Sequence[Any]) -> None:
        super().__init__(token.kind)
        self.token = token
        self.previous = previous
        self.expected = expected
        self.values = values


def build_table(grammar: str, starts: tuple[str, ...]) -> Table:
    """Let Lark build the table of a grammar, refusing any conflict, with states numbered in one fixed order."""
    # Imported here because a start with a stored table does without it.
    from lark import Lark
    from lark.lexer import Lexer
    from lark.parsers.lalr_analysis import Shift

    class NoLexer(Lexer):
        def __init__(self, conf: Any) -> None: ...

        def lex(self, lexer_state: Any, parser_state: Any) -> Any:
            raise NotImplementedError

    built: Any = Lark(grammar, parser="lalr", lexer=NoLexer, start=list(starts), strict=True)
    raw = built.parser.parser._parse_table

    def rule_of(rule: Any) -> Rule:
        single = bool(rule.options.expand1) and not rule.alias
        return Rule(rule.origin.name, len(rule.expansion), rule.alias or rule.origin.name, single)

    order = [raw.start_states[start] for start in starts]
    number = {state: position for position, state in enumerate(order)}
    rules: dict[Rule, int] = {}
    rows: list[dict[str, int]] = []
    for state in order:  # grows while it is walked
        row: dict[str, int] = {}
        for symbol, (action, target) in sorted(raw.states[state].items()):
            if action is Shift:
                if target not in number:
                    number[target] = len(order)
                    order.append(target)
                row[symbol] = number[target]
            else:
                row[symbol] = -1 - rules.setdefault(rule_of(target), len(rules))
        rows.append(row)
    ends = {start: number[raw.end_states[start]] for start in starts}
    return Table(tuple(rules), tuple(rows), {start: number[raw.start_states[start]] for start in starts}, ends)


def to_json(table: Table, grammar: str) -> str:
    """The table as text, one row per line, with the checksum of its grammar."""
    rules = ",\n".join(json.dumps(rule) for rule in table.rules)
    rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in table.rows)
    return (
        f'{{"grammar": {checksum(grammar)},\n"starts": {json.dumps(table.starts)},\n"ends": {json.dumps(table.ends)},\n'
        f'"rules": [\n{rules}\n],\n"rows": [\n{rows}\n]}}\n'
    )


def checksum(grammar: str) -> int:
    """The number by which a stored table knows its grammar."""
    return zlib.crc32(grammar.encode())


def stored_path(name: str) -> str:
    """Where the stored table of a grammar is."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.table.json")


@cache
def load_table(name: str, starts: tuple[str, ...]) -> Table:
    """The table of a grammar file: the stored one if it belongs to the grammar as it is now, else a new one.

    >>> load_table("matcalc", ("program", "type")).starts
    {'program': 0, 'type': 1}
    """
    grammar = read_grammar(f"{name}.lark")
    try:
        stored = json.loads(read_data(stored_path(name)))
    except (OSError, ValueError):
        return build_table(grammar, starts)
    if stored.get("grammar") != checksum(grammar) or tuple(stored["starts"]) != starts:
        return build_table(grammar, starts)
    rules = tuple(Rule(*rule) for rule in stored["rules"])
    return Table(rules, tuple(stored["rows"]), stored["starts"], stored["ends"])


def run(table: Table, start: str, tokens: Iterable[Token], actions: Mapping[str, Callable[[list[Any]], Any]]) -> Any:
    """Parse tokens (the last one of kind `END`) and return the value of the start rule.

    Parameters: ``actions`` builds the value of a rule from the values of its symbols.
    Raises `UnexpectedTokenError` at the first token that cannot follow.
    """
    rows, rules = table.rows, table.rules
    end_state = table.ends[start]
    states = [table.starts[start]]
    values: list[Any] = []
    previous: Token | None = None
    renamed: dict[tuple[int, int, str], int] = {}  # what `_renamed` finds, for the chains met so far
    for token in tokens:
        tick()
        kind = token.kind
        while True:
            state = states[-1]
            row = rows[state]
            step = row.get(kind)
            if step is None:
                expected = frozenset(symbol for symbol in row if symbol.isupper())
                raise UnexpectedTokenError(token, previous, expected, values)
            if step >= 0:
                states.append(step)
                values.append(token)
                break
            origin, size, action, single = rules[-1 - step]
            if size == 1 and single:
                chain = (states[-2], state, kind)
                if chain not in renamed:
                    renamed[chain] = _renamed(table, *chain, end_state)
                states[-1] = renamed[chain]
            else:
                value = actions[action](values[-size:])
                del values[-size:]
                del states[-size:]
                states.append(rows[states[-1]][origin])
                values.append(value)
            if kind == END and states[-1] == end_state:
                return values[-1]
        previous = token
    raise AssertionError("the token stream did not end")


def innermost(tokens: Iterable[Token], stop: Token, opens: Callable[[str], bool]) -> str:
    """The kind of the innermost bracket that is open at a token; ``SUM`` for the subscript of a sum.

    Parameters: ``opens`` tells the kinds of tokens that open a bracket; ``CLOSE`` closes one.
    """
    opened: list[str] = []
    previous = ""
    for token in tokens:
        if token is stop:
            break
        if opens(token.kind):
            opened.append("SUM" if token.kind == "SUB_OPEN" and previous == "SUM" else token.kind)
        elif token.kind == "CLOSE" and opened:
            opened.pop()
        previous = token.kind
    return opened[-1] if opened else ""


def _renamed(table: Table, below: int, state: int, kind: str, end_state: int) -> int:
    """The state behind the reductions before a token that only rename a value: an atom is a power is a product …"""
    rows, rules = table.rows, table.rules
    while not (kind == END and state == end_state):
        step = rows[state].get(kind)
        if step is None or step >= 0 or rules[-1 - step].size != 1 or not rules[-1 - step].single:
            break
        state = rows[below][rules[-1 - step].origin]
    return state


def main() -> None:
    """Write the stored tables."""
    for name, starts in TABLES.items():
        grammar = read_grammar(f"{name}.lark")
        with open(stored_path(name), "w", encoding="utf-8", newline="\n") as file:
            file.write(to_json(build_table(grammar, starts), grammar))


if __name__ == "__main__":
    main()
