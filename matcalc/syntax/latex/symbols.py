r"""A text of symbols to look at: arguments of commands, scripts, words, and what lies ahead; nothing here reads on."""

from __future__ import annotations

from typing import NamedTuple

from ...errors import ParseError, Span
from ...limits import current, exceeded
from ..greek import spell
from . import hints
from .tex import LAYOUT_ENVIRONMENTS, Symbol
from .vocabulary import (
    ARGUMENTS,
    BRACKETS,
    DROPPED,
    EQUALS,
    FONTS,
    IGNORED,
    LETTERS,
    SIZES,
    SWITCHES,
    WORDS,
)

SCRIPTS = frozenset({"^", "_", "'", "′"})


class Scripts(NamedTuple):
    """The scripts behind a symbol: two ranges, how many primes, and where they end."""

    below: tuple[int, int] | None
    above: tuple[int, int] | None
    primes: int
    end: int
    at: Symbol


def letter_of(command: str) -> str:
    r"""The letter a command stands for, or nothing; ``\vx``, ``\mA``, ``\vtheta`` are those of a common macro file."""
    if command in LETTERS:
        return LETTERS[command]
    rest = command[1:]
    if command[:1] not in ("v", "m") or command in ARGUMENTS or command in IGNORED:
        return ""
    if len(rest) == 1 and rest.isascii() and rest.isalpha() and rest.isupper() == (command[0] == "m"):
        return rest
    return LETTERS.get(rest, "")


def _partners(symbols: list[Symbol]) -> dict[int, int]:
    """For every opening brace the closing one."""
    found: dict[int, int] = {}
    waiting: list[int] = []
    allowed = current().nesting
    for position, symbol in enumerate(symbols):
        if symbol.kind == "open":
            waiting.append(position)
            if len(waiting) > allowed:
                raise exceeded(
                    "nesting",
                    f"More than {allowed} braces are open at once",
                    Span(symbol.start, symbol.end),
                    "name parts of the formula on lines of their own",
                )
        elif symbol.kind == "close":
            if not waiting:
                raise ParseError(
                    "The brace `}` closes nothing.",
                    span=Span(symbol.start, symbol.end),
                    hint="remove it, or add the missing `{` before",
                )
            found[waiting.pop()] = position
    if waiting:
        raise hints.unclosed_brace(symbols[waiting[-1]])
    return found


class Symbols:
    """The symbols of a text with the partner of every brace."""

    def __init__(self, text: str, symbols: list[Symbol]) -> None:
        self.text = text
        self.symbols = symbols
        self.partner = _partners(symbols)

    def at(self, position: int) -> Symbol:
        return self.symbols[position]

    def skip(self, position: int, end: int) -> int:
        """The next symbol that is not about layout."""
        while position < end:
            symbol = self.symbols[position]
            if symbol.kind != "space" and not (symbol.kind == "command" and symbol.text in IGNORED):
                break
            if symbol.kind == "command" and symbol.text in SIZES:
                break
            position += 1
        return position

    def written(self, symbol: Symbol) -> str:
        """A symbol as it is looked up: commands with their backslash."""
        return f"\\{symbol.text}" if symbol.kind == "command" else symbol.text

    def argument(self, position: int, end: int, owner: Symbol) -> tuple[int, int, int]:
        """The content of the argument at a position, and where reading goes on behind it."""
        position = self.skip_spaces(position, end)
        if position >= end or self.symbols[position].kind in ("close", "row") or self.symbols[position].text == "&":
            raise hints.missing_argument(self.written(owner), Span(owner.start, owner.end))
        first = self.symbols[position]
        if first.kind == "open":
            return position + 1, self.partner[position], self.partner[position] + 1
        if first.kind == "char" and first.text in "^_" and owner.kind == "command":
            raise hints.missing_argument(self.written(owner), Span(owner.start, owner.end))
        waiting, place = 1, position
        while waiting:
            place = self.skip_spaces(place, end)
            if place >= end:
                raise hints.missing_argument(self.written(owner), Span(owner.start, owner.end))
            symbol = self.symbols[place]
            if symbol.kind == "command" and symbol.text in ARGUMENTS and symbol.text not in SWITCHES:
                waiting += ARGUMENTS[symbol.text] - 1
                place += 1
                if symbol.text == "sqrt" and place < end and self.symbols[place].text == "[":
                    place = self.option_end(place, end)
                continue
            place = self.partner[place] + 1 if symbol.kind == "open" else place + 1
            waiting -= 1
        return position, place, place

    def skip_spaces(self, position: int, end: int) -> int:
        while position < end and self.symbols[position].kind == "space":
            position += 1
        return position

    def option_end(self, position: int, end: int) -> int:
        """Behind the ``]`` that closes the ``[`` at a position."""
        place = position + 1
        while place < end:
            symbol = self.symbols[place]
            if symbol.text == "]" and symbol.kind == "char":
                return place + 1
            place = self.partner[place] + 1 if symbol.kind == "open" else place + 1
        raise hints.unclosed("[", "]", Span(self.symbols[position].start, self.symbols[position].end))

    def last(self, extent: tuple[int, int]) -> Symbol:
        """The last symbol of an argument, its closing brace if it has one."""
        behind = self.symbols[extent[1]] if extent[1] < len(self.symbols) else None
        return behind if behind is not None and behind.kind == "close" else self.symbols[extent[1] - 1]

    def word(self, start: int, end: int) -> str:
        r"""The text of ``\text{…}``."""
        found: list[str] = []
        for symbol in self.symbols[start:end]:
            if symbol.kind == "space" or (symbol.kind == "command" and symbol.text in (",", " ", ";", ":", "quad")):
                found.append(" ")
            elif symbol.kind == "command":
                found.append(symbol.text if symbol.text in "_#%&$" else LETTERS.get(symbol.text, ""))
            elif symbol.kind not in ("open", "close"):
                found.append(symbol.text)
        return " ".join("".join(found).split())

    def plain(self, start: int, end: int) -> list[tuple[str, str]]:
        """A range without faces, braces and layout: what kind each symbol is, and its name."""
        found: list[tuple[str, str]] = []
        position = start
        while position < end:
            symbol = self.symbols[position]
            position += 1
            if symbol.kind in ("space", "open", "close"):
                continue
            if symbol.kind == "command":
                if symbol.text in WORDS:
                    first, last, position = self.argument(position, end, symbol)
                    word = self.word(first, last)
                    found.append(("letter" if len(word) == 1 else "word", word))
                elif letter_of(symbol.text):
                    found.append(("letter", letter_of(symbol.text)))
                elif symbol.text not in IGNORED and symbol.text not in FONTS and symbol.text not in SIZES:
                    found.append(("command", symbol.text))
                continue
            if symbol.kind == "digit" and found and found[-1][0] == "number":
                found[-1] = ("number", found[-1][1] + symbol.text)
                continue
            kind = {"digit": "number", "letter": "letter"}.get(symbol.kind, "char")
            found.append((kind, spell(symbol.text) if kind == "letter" else symbol.text))
        return found

    def gather(self, position: int, end: int) -> Scripts:
        """All scripts from a position on, in whatever order they are written."""
        below: tuple[int, int] | None = None
        above: tuple[int, int] | None = None
        primes = 0
        at = self.symbols[min(position, len(self.symbols) - 1)]
        while True:
            place = self.skip(position, end)
            if place >= end or self.symbols[place].kind != "char" or self.symbols[place].text not in SCRIPTS:
                break
            symbol = self.symbols[place]
            if symbol.text in ("'", "′"):
                primes += 1
                position = place + 1
                continue
            start, stop, position = self.argument(place + 1, end, symbol)
            if start == stop:
                raise hints.missing_argument(symbol.text, Span(symbol.start, symbol.end))
            if symbol.text == "_":
                if below is not None:
                    raise hints.double_script("subscript", Span(symbol.start, symbol.end))
                below = (start, stop)
            else:
                if above is not None:
                    raise hints.double_script("superscript", Span(symbol.start, symbol.end))
                above = (start, stop)
        return Scripts(below, above, primes, position, at)

    def inside(self, position: int, end: int) -> list[tuple[str, str]]:
        """The content of the bracket that opens at a position; commas inside of brackets in it do not count."""
        depth, place = 1, position + 1
        inner: list[tuple[int, int]] = []
        start = place
        while place < end:
            symbol = self.symbols[place]
            written = self.written(symbol)
            if symbol.kind == "open":
                place = self.partner[place]
            elif written in BRACKETS and BRACKETS[written][0] not in ("|", "||"):
                depth += 1 if BRACKETS[written][1] == "l" else -1
                if depth == 0:
                    break
                if depth == 2 and BRACKETS[written][1] == "l":
                    inner.append((start, place + 1))
                elif depth == 1:
                    start = place
            place += 1
        inner.append((start, place))
        return [part for first, last in inner for part in self.plain(first, last)]

    def beyond(self, position: int, end: int) -> Symbol | None:
        """The first symbol of the next line."""
        while position < end:
            symbol = self.symbols[position]
            if symbol.kind == "command" and symbol.text in ("begin", "end"):
                start, stop, _ = self.argument(position + 1, end, symbol)
                name = "".join(part.text for part in self.symbols[start:stop]).strip().rstrip("*")
                if symbol.text == "begin" and name not in LAYOUT_ENVIRONMENTS:
                    return symbol
                position += 1
                while position < end and self.symbols[position].kind != "close":
                    position += 1
            elif symbol.kind == "command" and symbol.text in DROPPED:
                position = self.argument(position + 1, end, symbol)[2] - 1
            elif symbol.kind == "open" and self.partner[position] == self.skip_spaces(position + 1, end):
                position = self.partner[position]
            elif not (
                symbol.kind in ("space", "row")
                or symbol.text in ("&", ".", ",")
                or (symbol.kind == "command" and symbol.text in IGNORED)
            ):
                return symbol
            position += 1
        return None

    def ahead(self, position: int, end: int) -> str:
        """What the symbols up to the next comma or line hold: ``statement``, ``run``, ``nothing`` or ``value``."""
        found = "nothing"
        depth = 0
        while position < end:
            symbol = self.symbols[position]
            written = self.written(symbol)
            if symbol.kind == "open":
                position = self.partner[position]
                found = "value" if found == "nothing" else found
            elif symbol.kind == "row" or (written in (",", r"\end", "&") and not depth):
                break
            elif written in EQUALS or written in (r"\in", "∈"):
                return "statement"
            elif written in BRACKETS:
                depth += {"l": 1, "r": -1}.get(BRACKETS[written][1], 0)
                found = "value"
            elif not (
                symbol.kind == "space" or written == "." or (symbol.kind == "command" and symbol.text in IGNORED)
            ):
                found = "value"
            position += 1
        return found

    def loose(self, start: int, end: int) -> bool:
        """Whether several factors or terms stand side by side in a range."""
        position, values = start, 0
        while position < end:
            symbol = self.symbols[position]
            position += 1
            if symbol.kind == "open":
                position = self.partner[position - 1] + 1
                continue
            if symbol.text in ("+", "-"):
                return True
            if self.written(symbol) in BRACKETS:
                return False
            if symbol.text in ("^", "_"):
                position = self.argument(position, end, symbol)[2]
            elif (
                symbol.kind in ("letter", "digit")
                or (symbol.kind == "command" and symbol.text in LETTERS)
                or (symbol.kind == "command" and symbol.text in ARGUMENTS)
            ):
                values += 1
        return values > 1

    def bracketed(self, extent: tuple[int, int]) -> tuple[int, int]:
        """The range inside the first brackets of a range."""
        positions = [place for place in range(*extent) if self.symbols[place].text in ("(", ")", "[", "]")]
        return positions[0] + 1, positions[1]
