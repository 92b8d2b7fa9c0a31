r"""LaTeX source to symbols: characters, commands, comments, formulas among prose, and the author's own macros."""

from __future__ import annotations

import re
from typing import NamedTuple

from ...errors import ParseError, Span
from ...limits import current, exceeded, tick
from ..greek import GREEK, LATIN

LAYOUT_ENVIRONMENTS = frozenset(
    {"equation", "align", "aligned", "alignat", "gather", "gathered", "split", "multline", "eqnarray", "displaymath",
     "math", "flalign", "document", "center", "subequations", "flushleft"}
)  # fmt: skip
"""Environments that only place formulas on the page; a star may follow the name."""

_DISPLAYED = LAYOUT_ENVIRONMENTS - {"document", "center", "flushleft"}


class Symbol(NamedTuple):
    r"""A character, a command or a brace.

    ``kind`` is ``command`` (``text`` is its name without the backslash), ``letter``, ``digit``, ``open``, ``close``,
    ``row`` (``\\``), ``space``, ``parameter`` (``#1`` in a macro) or ``char``.
    """

    kind: str
    text: str
    start: int
    end: int


class Macro(NamedTuple):
    """What a command of the author stands for."""

    arity: int
    default: tuple[Symbol, ...] | None
    body: tuple[Symbol, ...]


_PATTERN = re.compile(
    r"(?P<space>(?:\s|~|(?<!\\)%[^\n]*(?:\n|$))+)"
    r"|(?P<row>\\\\(?:\*)?(?:\s*\[\s*-?[0-9.]+\s*(?:pt|em|ex|mm|cm|in|baselineskip)\s*\])?|\\(?:tabular)?newline(?![A-Za-z])|\\cr(?![A-Za-z]))"
    r"|\\(?P<command>(?:operatorname|(?:new|renew|provide)command|DeclareMathOperator|[hv]space|tag)\*|[A-Za-z]+|.)"
    r"|(?P<open>\{)|(?P<close>\})|(?P<parameter>\#+[1-9])"
    rf"|(?P<digit>[0-9])|(?P<letter>[{LATIN}{GREEK}])|(?P<char>.)",
    re.DOTALL,
)


def split(text: str) -> list[Symbol]:
    r"""The symbols of a text.

    >>> [symbol.text for symbol in split(r"x^\top % a comment")]
    ['x', '^', 'top', ' % a comment']
    """
    found: list[Symbol] = []
    for match in _PATTERN.finditer(text):
        kind = match.lastgroup or "char"
        value = match[kind] if kind == "command" else match[0]
        found.append(Symbol(kind, value, match.start(), match.end()))
    return found


# --- formulas among prose ------------------------------------------------------------------------

_CLOSING = {"$": "$", "$$": "$$", "[": "]", "(": ")"}


def formulas(symbols: list[Symbol]) -> tuple[list[Symbol], bool]:
    r"""The symbols inside ``$…$``, ``\[…\]`` and displayed environments, a row between two of them.

    Definitions of macros are kept wherever they stand. Also tells whether there is prose that is left out; without any
    delimiters the whole text is one formula.
    """
    pieces: list[list[Symbol]] = []
    definitions: list[Symbol] = []
    prose = found = False
    position = 0
    while position < len(symbols):
        symbol = symbols[position]
        opener, width = _opener(symbols, position)
        if opener:
            found = True
            end = _closing(symbols, position + width, opener, symbol)
            stop = end if opener != "begin" else _environment_end(symbols, end)
            inner = symbols[position + width : end] if opener != "begin" else symbols[position:stop]
            pieces.append(inner)
            position = stop + (0 if opener == "begin" else len(opener) if opener[0] == "$" else 1)
            continue
        if symbol.kind == "command" and symbol.text in _DEFINING:
            end = _definition_end(symbols, position)
            definitions += symbols[position:end]
            position = end
            continue
        environment = _environment(symbols, position)
        if environment is not None:
            position = _environment_end(symbols, position)
            continue
        prose = prose or (symbol.kind not in ("space", "row") and symbol.text not in ".,;:")
        position += 1
    if not found:
        return symbols, False
    for position, piece in enumerate(pieces):
        if position and piece:
            definitions.append(Symbol("row", "", piece[0].start, piece[0].start))
        definitions += piece
    return definitions, prose


def _opener(symbols: list[Symbol], position: int) -> tuple[str, int]:
    symbol = symbols[position]
    if symbol.text == "$" and symbol.kind == "char":
        following = symbols[position + 1] if position + 1 < len(symbols) else None
        double = following is not None and following.text == "$" and following.kind == "char"
        return ("$$", 2) if double else ("$", 1)
    if symbol.kind == "command" and symbol.text in "[(":
        return symbol.text, 1
    name = _environment(symbols, position)
    return ("begin", 0) if symbol.text == "begin" and name is not None and name.rstrip("*") in _DISPLAYED else ("", 0)


def _closing(symbols: list[Symbol], start: int, opener: str, at: Symbol) -> int:
    """Where a formula ends."""
    if opener == "begin":
        depth = 0
        for position in range(start, len(symbols)):
            if symbols[position].kind == "command" and symbols[position].text in ("begin", "end"):
                depth += 1 if symbols[position].text == "begin" else -1
                if not depth:
                    return position
        raise unclosed_environment(_environment(symbols, start) or "", at)
    closer = _CLOSING[opener]
    for position in range(start, len(symbols)):
        symbol = symbols[position]
        if opener in "[(":
            if symbol.kind == "command" and symbol.text == closer:
                return position
        elif symbol.kind == "char" and symbol.text == "$":
            following = symbols[position + 1] if position + 1 < len(symbols) else None
            if opener == "$" or (following is not None and following.text == "$"):
                return position
    shown = opener if opener[0] == "$" else f"\\{opener}"
    partner = closer if opener[0] == "$" else f"\\{closer}"
    raise ParseError(
        f"The formula that begins with `{shown}` is never closed.",
        span=Span(at.start, at.end),
        hint=f"add the missing `{partner}`",
    )


def unclosed_environment(name: str, at: Symbol) -> ParseError:
    """``\\begin`` without ``\\end``."""
    return ParseError(
        f"The environment `{name}` that begins here is never closed.",
        span=Span(at.start, at.end),
        hint=f"add `\\end{{{name}}}`",
    )


def _environment(symbols: list[Symbol], position: int) -> str | None:
    r"""The name behind ``\begin`` or ``\end``."""
    symbol = symbols[position]
    if symbol.kind != "command" or symbol.text not in ("begin", "end"):
        return None
    end = _environment_end(symbols, position)
    return "".join(part.text for part in symbols[position + 1 : end] if part.kind in ("letter", "char"))


def _environment_end(symbols: list[Symbol], position: int) -> int:
    end = position + 1
    while end < len(symbols) and symbols[end].kind != "close":
        end += 1
    return end + 1


# --- macros --------------------------------------------------------------------------------------

_DEFINING = frozenset(
    {"newcommand", "renewcommand", "providecommand", "newcommand*", "renewcommand*", "providecommand*", "def",
     "DeclareMathOperator", "DeclareMathOperator*", "let", "DeclarePairedDelimiter"}
)  # fmt: skip


def _skip(symbols: list[Symbol], position: int) -> int:
    while position < len(symbols) and symbols[position].kind == "space":
        position += 1
    return position


def _group_end(symbols: list[Symbol], position: int) -> int:
    """Behind the brace that closes the group at a position; a single symbol is a group, too."""
    if position >= len(symbols):
        return position
    if symbols[position].kind != "open":
        return position + 1
    depth = 0
    for end in range(position, len(symbols)):
        depth += (symbols[end].kind == "open") - (symbols[end].kind == "close")
        if not depth:
            return end + 1
    raise unclosed_brace(symbols[position])


def unclosed_brace(opening: Symbol) -> ParseError:
    """``{`` without its partner."""
    return ParseError(
        "The brace `{` opened here is never closed.",
        span=Span(opening.start, opening.end),
        hint="add the missing `}`",
    )


def _bracket_end(symbols: list[Symbol], position: int) -> int:
    """Behind the ``]`` of an optional argument."""
    depth = 0
    for end in range(position, len(symbols)):
        depth += (symbols[end].kind == "open") - (symbols[end].kind == "close")
        if not depth and symbols[end].text == "]" and symbols[end].kind == "char":
            return end + 1
    raise ParseError(
        "The bracket `[` opened here is never closed.",
        span=Span(symbols[position].start, symbols[position].end),
        hint="add the missing `]`",
    )


def _definition_end(symbols: list[Symbol], position: int) -> int:
    return _definition(symbols, position)[2]


def _definition(symbols: list[Symbol], position: int) -> tuple[str, Macro | None, int]:
    """The macro that is defined at a position, and where its definition ends."""
    start = symbols[position]
    kind = start.text.rstrip("*")
    at = _skip(symbols, position + 1)
    end = _group_end(symbols, at)
    named = [part for part in symbols[at:end] if part.kind == "command"]
    if len(named) != 1:
        raise ParseError(
            f"`\\{start.text}` names no command.",
            span=Span(start.start, start.end),
            hint="write `\\newcommand{\\name}{meaning}`",
        )
    name = named[0].text
    if kind == "let":
        at = _skip(symbols, end)
        if at < len(symbols) and symbols[at].text == "=":
            at = _skip(symbols, at + 1)
        return name, Macro(0, None, tuple(symbols[at : at + 1])), at + 1
    count, default = 0, None
    at = _skip(symbols, end)
    while at < len(symbols) and symbols[at].kind == "parameter":  # \def\f#1#2
        count, at = count + 1, _skip(symbols, at + 1)
    if at < len(symbols) and symbols[at].text == "[" and kind not in ("def", "DeclareMathOperator"):
        end = _bracket_end(symbols, at)
        digits = "".join(part.text for part in symbols[at + 1 : end - 1]).strip()
        count = int(digits) if digits.isascii() and digits.isdigit() else 0
        at = _skip(symbols, end)
        if at < len(symbols) and symbols[at].text == "[":
            end = _bracket_end(symbols, at)
            default = tuple(symbols[at + 1 : end - 1])
            at = _skip(symbols, end)
    body, end = _argument(symbols, at, start)
    if kind == "DeclareMathOperator":
        word = Symbol("command", "operatorname", start.start, start.end)
        body = [word, symbols[at], *body, symbols[end - 1]]
    if kind == "DeclarePairedDelimiter":
        right, end = _argument(symbols, _skip(symbols, end), start)
        count, body = 1, [*body, Symbol("parameter", "#1", start.start, start.end), *right]
    return name, Macro(count, default, tuple(body)), end


def _argument(symbols: list[Symbol], at: int, owner: Symbol) -> tuple[list[Symbol], int]:
    """The content of the group at a position, and where it ends."""
    if at >= len(symbols) or symbols[at].kind in ("close", "row"):
        raise ParseError(
            f"An argument of `\\{owner.text}` is missing.",
            span=Span(owner.start, owner.end),
            hint=f"write it in braces behind `\\{owner.text}`",
        )
    end = _group_end(symbols, at)
    return (symbols[at + 1 : end - 1] if symbols[at].kind == "open" else symbols[at:end]), end


def expand(symbols: list[Symbol]) -> list[Symbol]:
    r"""Replace the commands that the text itself defines; what a macro yields stands where the macro is used.

    >>> [symbol.text for symbol in expand(split(r"\newcommand{\sq}[1]{#1^2}\sq{x}"))]
    ['x', '^', '2']

    Raises LimitError where macros call each other without end, ParseError where an argument is missing.
    """
    if not any(symbol.kind == "command" and symbol.text in _DEFINING for symbol in symbols):
        return symbols
    macros: dict[str, Macro] = {}
    waiting = symbols[::-1]
    out: list[Symbol] = []
    uses = 0
    allowed = current()
    while waiting:
        tick()
        symbol = waiting.pop()
        if symbol.kind != "command":
            out.append(symbol)
            continue
        if symbol.text in _DEFINING:
            rest = [symbol, *waiting[::-1]]
            name, macro, end = _definition(rest, 0)
            if macro is not None:
                macros[name] = macro
            waiting = rest[end:][::-1]
            tick(len(rest))
            continue
        macro = macros.get(symbol.text)
        if macro is None:
            out.append(symbol)
            continue
        uses += 1
        span = Span(symbol.start, symbol.end)
        if uses > allowed.expansions:
            message = f"`\\{symbol.text}` and the macros in it are expanded more than {allowed.expansions} times"
            raise exceeded("expansions", message, span, "a macro may not contain itself")
        waiting += _filled(macro, symbol, waiting, len(out))[::-1]
    return out


def _filled(macro: Macro, use: Symbol, waiting: list[Symbol], before: int) -> list[Symbol]:
    """The body of a macro with its arguments, which are taken from what is waiting.

    Parameters: ``before`` is the number of symbols that stand before the macro.
    Raises LimitError where the text would have too many symbols.
    """
    arguments: list[list[Symbol]] = []
    for number in range(macro.arity):
        while waiting and waiting[-1].kind == "space":
            waiting.pop()
        optional = number == 0 and macro.default is not None
        bracket = bool(waiting) and waiting[-1].text == "["
        if optional and not bracket:
            arguments.append(list(macro.default or ()))
            continue
        ahead = _ahead(waiting, bracket and optional)
        if bracket and optional:
            arguments.append(ahead[1:-1])
        else:
            content, _ = _argument(ahead, 0, use)
            arguments.append(content)
        del waiting[len(waiting) - len(ahead) :]
    body: list[Symbol] = []
    allowed = current().symbols
    for part in macro.body:
        if before + len(body) + len(waiting) > allowed:
            message = f"With `\\{use.text}` expanded the text has more than {allowed} symbols"
            raise exceeded("symbols", message, Span(use.start, use.end), "write macros that repeat less")
        if part.kind == "parameter":
            place = int(part.text.lstrip("#")) - 1
            body += arguments[place] if place < len(arguments) else []
        else:
            body.append(part._replace(start=use.start, end=use.end))
    return body


def _ahead(waiting: list[Symbol], bracket: bool) -> list[Symbol]:
    """The next group or bracket of a reversed list, in order."""
    found: list[Symbol] = []
    depth = 0
    for symbol in reversed(waiting):
        found.append(symbol)
        depth += (symbol.kind == "open") - (symbol.kind == "close")
        if not depth and (not bracket or symbol.text == "]"):
            return found
    if found:
        raise unclosed_brace(found[0])
    return found
