r"""Symbols to grammar tokens: names with their accents and labels, scripts in one order, calls, brackets, lines.

One pass over the symbols; ranges that wait (arguments of commands, scripts) lie on an explicit stack.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from ...errors import ParseError, Span, Unsupported
from ...limits import current, exceeded, tick
from .. import hints as plain_hints
from ..greek import spell
from ..scan import NORM_KINDS, PROPERTIES, is_name
from ..table import END, Token
from . import hints
from .symbols import SCRIPTS, Scripts, Symbols, letter_of
from .tex import LAYOUT_ENVIRONMENTS, Symbol, unclosed_environment
from .vocabulary import (
    ACCENTS,
    BLACKBOARD_SETS,
    BRACKETS,
    COMMAND_FUNCTIONS,
    COMPARISONS,
    DROPPED,
    EQUALS,
    FONTS,
    FRACTIONS,
    FUNCTIONS,
    IGNORED,
    LETTERS,
    MATRICES,
    OBJECTIVES,
    PRODUCTS,
    PROSE_SEPARATORS,
    SECOND_FIRST,
    SIZES,
    SWITCHES,
    TRANSPARENT,
    UNSUPPORTED,
    WORDS,
)

_VALUE_ENDS = frozenset(
    {"NAME", "NUMBER", "CLOSE", "TRANSPOSE", "PSEUDOINVERSE", "POSITIVE_PART", "SPACE", "PROPERTY", "OTHERWISE",
     "STRING", "COLON"}
)  # fmt: skip
_TRANSPOSES = frozenset({"T", "top", "intercal", "prime", "⊤", "⊺", "'", "′", "mathsf"})
_CALLED = frozenset({"f", "g", "h", "phi", "psi"})
_CONSTANTS = frozenset({"I", "ones", "zeros"})
_INDEX_LETTERS = frozenset("hijklmnpqrstuv")
_EXTREMES = {"lambda_max": "eigmax", "lambda_min": "eigmin", "sigma_max": "spectral"}
_COUNTERS = frozenset("ijklmn")
_INVERSES = {"sin": "asin", "cos": "acos", "tan": "atan", "sinh": "asinh", "cosh": "acosh", "tanh": "atanh"}
_PLACES = {"(": "OPEN", "{": "OPEN", "[": "BLOCK_OPEN", "<": "INNER_OPEN", "|": "BAR_OPEN", "||": "NORM_OPEN",
           "floor": "ROUND_OPEN", "ceil": "ROUND_OPEN"}  # fmt: skip
_ROLES = {"(": "group", "{": "group", "[": "block", "<": "inner", "|": "bar", "||": "norm", "floor": "round",
          "ceil": "round"}  # fmt: skip
_SHOWN = {"{": r"\{", "<": r"\langle", "||": r"\|", "floor": r"\lfloor", "ceil": r"\lceil"}
_PARTNERS = {"(": ")", "[": "]", "{": r"\}", "<": r"\rangle", "|": "|", "||": r"\|", "floor": r"\rfloor",
             "ceil": r"\rceil"}  # fmt: skip


class Scanned(NamedTuple):
    """What scanning finds: tokens (the last one of kind `END`), how the text was read, and the names it defines."""

    tokens: list[Token]
    notes: tuple[str, ...]
    functions: frozenset[str]
    names: frozenset[str]


@dataclass(slots=True)
class Range:
    """Symbols still to be read, in one face; ``depth`` is the number of brackets open at its beginning."""

    position: int
    end: int
    font: str
    depth: int
    top: bool
    opening: Symbol | None = None


@dataclass(slots=True)
class Opened:
    """A bracket or environment that waits for its partner."""

    role: str
    text: str
    start: int
    end: int
    passed: bool = False


@dataclass(slots=True)
class Known:
    """What is known of names before the text is read."""

    is_function: Callable[[str], bool]
    declared: Collection[str]
    functions: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    longer: tuple[str, ...] = field(default=())


def scan(text: str, symbols: list[Symbol], known: Known) -> Scanned:
    """The grammar tokens of a formula.

    Parameters: ``known`` tells functions, declared names and what an earlier pass found defined.
    Raises ParseError, LimitError, Unsupported.
    """
    return _Scanner(text, symbols, known).scan()


class _Scanner(Symbols):
    """The state of the pass."""

    def __init__(self, text: str, symbols: list[Symbol], known: Known) -> None:
        super().__init__(text, symbols)
        self.known = known
        self.out: list[Token] = []
        self.steps: list[Range | Callable[[], None]] = []
        self.stack: list[Opened] = []
        self.environments: list[tuple[str, Symbol]] = []
        self.after = False
        self.calls = False  # the bracket that comes next holds arguments
        self.statement = 0  # where the statement begins in out
        self.statements = 1
        self.kinds: set[str] = set()  # of the tokens of the statement
        self.notes: dict[str, None] = {}
        self.functions: set[str] = set(known.functions)
        self.names: set[str] = set(known.names)
        self.faces: dict[str, dict[str, Symbol]] = {}
        self.sigmoid = False
        self.head = -1  # how many brackets were open around a function without brackets
        self.closed = ""  # the role of the bracket closed last
        self.longer = sorted((n for n in (*known.declared, *known.names) if len(n) > 1), key=len, reverse=True)

    # --- the loop --------------------------------------------------------------------------------

    def scan(self) -> Scanned:
        self.steps.append(Range(0, len(self.symbols), "", 0, top=True))
        while self.steps:
            tick()
            step = self.steps[-1]
            if not isinstance(step, Range):
                self.steps.pop()
                step()
            elif step.position < step.end:
                position = step.position
                step.position = self.end_of(position)
                self.symbol(position, step)
            else:
                self.steps.pop()
                self.leave(step)
        if self.environments:
            raise unclosed_environment(*self.environments[-1])
        while self.out and self.out[-1].kind == "SEPARATOR":
            self.out.pop()
        place = self.out[-1].end if self.out else 0
        self.out.append(Token(END, "", place, place))
        self.compare_faces()
        return Scanned(self.out, tuple(self.notes), frozenset(self.functions), frozenset(self.names))

    def end_of(self, position: int) -> int:
        """Where reading goes on behind a symbol; a group is one symbol."""
        return self.partner[position] + 1 if self.symbols[position].kind == "open" else position + 1

    def leave(self, step: Range) -> None:
        if len(self.stack) > step.depth:
            top = self.stack[-1]
            raise hints.unclosed(top.text, _PARTNERS.get(top.text, ""), Span(top.start, top.end))

    def goto(self, position: int) -> None:
        """Go on reading the innermost range from a place further on."""
        step = self.steps[-1]
        assert isinstance(step, Range)
        step.position = position

    def push(self, *steps: Range | Callable[[], None]) -> None:
        """What is done next, in order."""
        self.steps.extend(reversed(steps))

    def range(self, extent: tuple[int, int], font: str = "", top: bool = False, depth: int = 0) -> Range:
        opening = self.symbols[extent[0] - 1] if extent[0] else None
        return Range(extent[0], extent[1], font, len(self.stack) + depth, top, opening)

    # --- small tools -----------------------------------------------------------------------------

    def emit(self, kind: str, start: int, end: int, value: str = "", text: str | None = None) -> None:
        if kind == "NAME" and not is_name(value):
            raise hints.no_name(value, Span(start, end))
        self.out.append(Token(kind, self.text[start:end] if text is None else text, start, end, value))
        self.after = kind in _VALUE_ENDS
        self.kinds.add(kind)
        if kind in ("SIGN", "EQUALS", "COMPARE", "COMMA", "SEPARATOR"):
            self.head = -1

    def mark(self, kind: str, symbol: Symbol, value: str = "") -> None:
        self.emit(kind, symbol.start, symbol.end, value)

    def emits(self, kind: str, symbol: Symbol, value: str = "") -> Callable[[], None]:
        """A step that writes a token."""
        return lambda: self.mark(kind, symbol, value)

    def closes(self, symbol: Symbol) -> Callable[[], None]:
        """A step that writes the end of an argument whose beginning was on no stack."""
        return lambda: self.emit("CLOSE", symbol.end, symbol.end, text="}")

    def top(self) -> str:
        return self.stack[-1].role if self.stack else ""

    def open(self, role: str, text: str, symbol: Symbol) -> None:
        allowed = current().nesting
        if len(self.stack) >= allowed:
            raise exceeded(
                "nesting",
                f"More than {allowed} brackets are open at once",
                Span(symbol.start, symbol.end),
                "name parts of the formula on lines of their own",
            )
        self.stack.append(Opened(role, text, symbol.start, symbol.end))

    def juxtapose(self, symbol: Symbol) -> None:
        """Before the start of a value: the product sign that is not written."""
        if not self.after:
            return
        if self.out[-1].kind in ("SPACE", "PROPERTY", "STRING", "OTHERWISE", "COLON"):
            return
        if self.stack and self.stack[-1].role == "indices" and not self.stack[-1].passed:
            self.emit("COMMA", symbol.start, symbol.start)
            return
        self.emit("PRODUCT", symbol.start, symbol.start, "*")

    def join(self) -> None:
        """The product sign in front of what takes all that follows."""
        if self.out and self.out[-1].kind == "PRODUCT":
            self.out[-1] = self.out[-1]._replace(kind="JOIN")

    def note(self, text: str) -> None:
        self.notes[text] = None

    def begins(self) -> bool:
        """Whether nothing of the statement was read, or only its left side."""
        return len(self.out) == self.statement or self.out[-1].kind == "EQUALS"

    def names_a_set(self) -> bool:
        r"""Whether what comes stands behind ``\in``, where an R of any face is the real numbers."""
        return bool(self.out) and self.out[-1].kind == "ELEMENT"

    def is_name(self, value: str) -> bool:
        return value in self.known.declared or value in self.names

    def refuse(self, what: str, symbol: Symbol, hint: str) -> NoReturn:
        raise Unsupported(f"This is {what}.", span=Span(symbol.start, symbol.end), hint=hint)

    # --- symbols ---------------------------------------------------------------------------------

    def symbol(self, position: int, step: Range) -> None:
        symbol = self.symbols[position]
        match symbol.kind:
            case "space":
                return
            case "letter":
                self.letter(position, step)
            case "digit":
                self.number(position, step)
            case "open":
                self.group(position, step)
            case "row":
                self.row(symbol, position, step)
            case "command":
                self.command(position, step)
            case _:
                self.character(position, step)

    def character(self, position: int, step: Range) -> None:
        symbol = self.symbols[position]
        text = symbol.text
        if text in SCRIPTS:
            self.scripts(position, step)
        elif text in BRACKETS:
            self.bracket(text, symbol, position, step, "")
        elif text in "+-−":
            self.mark("SIGN", symbol, "+" if text == "+" else "-")
        elif text in EQUALS:
            self.equals(symbol)
        elif text in COMPARISONS:
            self.compare(symbol, COMPARISONS[text])
        elif text in PRODUCTS:
            self.product(symbol, text)
        elif text == ",":
            self.comma(symbol, position, step)
        elif text == ";":
            self.semicolon(symbol)
        elif text == ".":
            self.full_stop(symbol, position, step)
        elif text == ":":
            following = self.skip(position + 1, step.end)
            if following < step.end and self.symbols[following].text == "=":
                self.goto(following + 1)
                self.equals(symbol)
            else:
                self.mark("COLON", symbol)
        elif text == "&":
            self.ampersand(symbol, position, step)
        elif text == "∈":
            self.element(symbol)
        elif text == "ℝ" and self.names_a_set():
            self.mark("SPACE", symbol)
        else:
            raise hints.stray(text, Span(symbol.start, symbol.end))

    def letter(self, position: int, step: Range) -> None:
        """A letter, or the longest declared name that begins here."""
        symbol = self.symbols[position]
        if symbol.text == "R" and self.names_a_set():
            self.mark("SPACE", symbol)
            return
        run = position
        end = min(step.end, position + len(self.longer[0])) if self.longer else position
        while run < end and self.symbols[run].kind in ("letter", "digit"):
            run += 1
        written = "".join(part.text for part in self.symbols[position:run])
        for name in self.longer:
            if written.startswith(name):
                last = self.symbols[position + len(name) - 1]
                self.goto(position + len(name))
                self.name(name, Symbol("letter", name, symbol.start, last.end), step.font)
                return
        self.name(spell(symbol.text), symbol, step.font)

    def name(self, value: str, symbol: Symbol, font: str = "") -> None:
        if value == "I" and font == "board":
            font = ""
        self.juxtapose(symbol)
        self.mark("NAME", symbol, value)
        self.faces.setdefault(value, {}).setdefault(font, symbol)

    def number(self, position: int, step: Range) -> None:
        end = position
        while end < step.end and self.symbols[end].kind == "digit":
            end += 1
        if end + 1 < step.end and self.symbols[end].text == "." and self.symbols[end + 1].kind == "digit":
            end += 1
            while end < step.end and self.symbols[end].kind == "digit":
                end += 1
        first, last = self.symbols[position], self.symbols[end - 1]
        digits = "".join(part.text for part in self.symbols[position:end])
        if step.font in ("bold", "board") and digits in ("0", "1"):
            self.name("ones" if digits == "1" else "zeros", first)
            return
        span = Token("NUMBER", digits, first.start, last.end)
        indices = self.stack and self.stack[-1].role == "indices" and not self.stack[-1].passed
        if self.after and self.out[-1].kind in ("NAME", "NUMBER", "CLOSE", "TRANSPOSE") and not indices:
            raise plain_hints.number_after_value(self.out[-1], span)
        self.juxtapose(first)
        self.emit("NUMBER", first.start, last.end, text=digits)
        self.goto(end)

    def group(self, position: int, step: Range) -> None:
        """Braces: a value of its own, unless they only set a face."""
        symbol, end = self.symbols[position], self.partner[position]
        inside = self.skip_spaces(position + 1, end)
        if inside == end:
            return
        first = self.symbols[inside]
        if first.kind == "command" and first.text in SWITCHES:
            font = SWITCHES[first.text]
            if first.text == "rm" and len(self.word(inside + 1, end)) > 1:
                self.push(lambda: self.words(self.word(inside + 1, end), first, self.partner[position] + 1, step))
                return
            self.push(self.range((inside + 1, end), font))
            return
        following = self.skip_spaces(end + 1, step.end)
        scripted = following < step.end and self.symbols[following].text in SCRIPTS
        if scripted and len(self.plain(position + 1, end)) > 1 and self.loose(position + 1, end):
            shown = self.text[symbol.start : self.symbols[end].end]
            self.note(f"{shown} with a script behind it is read as a bracket; in print the braces are not seen")
        self.juxtapose(symbol)
        self.mark("OPEN", symbol)
        self.push(self.range((position + 1, end), step.font), self.closes(self.symbols[end]))

    # --- lines -----------------------------------------------------------------------------------

    def row(self, symbol: Symbol, position: int, step: Range) -> None:
        role = self.top()
        if role in ("matrix", "cases", "block"):
            if self.after:
                self.mark("ROW", symbol)
            return
        if role == "indices":
            if self.after:
                self.mark("COMMA", symbol)
            return
        if self.stack or not self.after:
            return
        following = self.beyond(position + 1, step.end)
        if following is None:
            return
        written = self.written(following)
        if written in "+-−=" or written in PRODUCTS or written in EQUALS:
            return
        self.separate(symbol)

    def separate(self, symbol: Symbol, value: str = "") -> None:
        """The end of a statement."""
        if len(self.out) == self.statement:
            return
        allowed = current().statements
        if self.statements >= allowed:
            message = f"The program has more than {allowed} statements"
            raise exceeded("statements", message, Span(symbol.start, symbol.end), "split it into several programs")
        self.statements += 1
        self.mark("SEPARATOR", symbol, value)
        self.statement = len(self.out)
        self.kinds.clear()

    def holds(self, kind: str) -> bool:
        """Whether the statement has a token of a kind."""
        return kind in self.kinds

    def comma(self, symbol: Symbol, position: int, step: Range) -> None:
        if self.stack:
            if self.top() == "cases":
                following = self.skip(position + 1, step.end)
                ends = self.symbols[following] if following < step.end else None
                if ends is not None and (ends.text in ("&", "end") or ends.kind == "row"):
                    return
            if self.top() == "indices" and not self.after:
                return
            self.mark("COMMA", symbol)
            return
        if not step.top:
            self.mark("COMMA", symbol)
            return
        ahead = self.ahead(position + 1, step.end)
        if ahead == "nothing":
            return
        if self.runs(position + 1, step):
            return
        if ahead == "value" and self.holds("EQUALS") and self.domain(position + 1, step):
            return
        if ahead == "statement" and (self.holds("EQUALS") or self.holds("ELEMENT")):
            self.separate(symbol)
            return
        self.mark("COMMA", symbol)

    def runs(self, position: int, step: Range) -> bool:
        r"""``i = 1, \dots, n`` behind a formula: the index runs over all entries anyhow."""
        start = self.skip(position, step.end)
        sign = self.skip(start + 1, step.end)
        if sign >= step.end or self.symbols[sign].text != "=":
            return False
        end = position
        while end < step.end and self.symbols[end].kind != "row":
            if self.symbols[end].kind == "command" and self.symbols[end].text == "end":
                break
            end += 1
        found = self.plain(position, end)
        if len(found) < 5 or found[0][0] != "letter" or found[1] != ("char", "="):
            return False
        if not any(kind == "command" and value in ("dots", "ldots", "cdots", "dotsc") for kind, value in found):
            return False
        self.note(f"{self.text[self.at(position).start : self.at(end - 1).end].strip()} is not read: "
                  f"{found[0][1]} runs over all entries")  # fmt: skip
        self.goto(end)
        return True

    def domain(self, position: int, step: Range) -> bool:
        r"""``x > 0`` behind a formula: where it holds, which is a matter of declarations."""
        end, compares = position, False
        while end < step.end and self.symbols[end].kind != "row" and self.symbols[end].text != "end":
            compares = compares or self.written(self.symbols[end]) in COMPARISONS
            end += 1
        if compares:
            shown = self.text[self.at(position).start : self.at(end - 1).end].strip()
            self.note(f"{shown} is not read; declare x positive or nonnegative where that matters")
            self.goto(end)
        return compares

    def semicolon(self, symbol: Symbol) -> None:
        if self.top() in ("block", "matrix"):
            self.mark("ROW", symbol)
        elif self.top() == "call":
            self.mark("COMMA", symbol)
        elif not self.stack:
            self.separate(symbol)
        else:
            raise hints.stray(";", Span(symbol.start, symbol.end))

    def full_stop(self, symbol: Symbol, position: int, step: Range) -> None:
        """A full stop behind the formula is not read."""
        following = self.skip(position + 1, step.end)
        if not self.stack and (following >= step.end or self.symbols[following].kind == "row"):
            return
        if following < step.end and self.written(self.symbols[following]) == r"\end":
            return
        if following < step.end and self.symbols[following].kind == "digit" and following == position + 1:
            self.number_from_point(position, step)
            return
        raise hints.stray(".", Span(symbol.start, symbol.end))

    def number_from_point(self, position: int, step: Range) -> None:
        end = position + 1
        while end < step.end and self.symbols[end].kind == "digit":
            end += 1
        first, last = self.symbols[position], self.symbols[end - 1]
        digits = "".join(part.text for part in self.symbols[position:end])
        if self.after:
            raise plain_hints.number_after_value(self.out[-1], Token("NUMBER", digits, first.start, last.end))
        self.emit("NUMBER", first.start, last.end, text=digits)
        self.goto(end)

    def ampersand(self, symbol: Symbol, position: int, step: Range) -> None:
        role = self.top()
        if role in ("matrix", "cases", "block"):
            self.mark("COMMA", symbol)
            return
        if self.stack or not self.after:
            return
        if not self.environments:
            following = self.beyond(position + 1, step.end)
            if following is None or (self.written(following) not in EQUALS and following.text not in ("+", "-", ":")):
                raise hints.stray("&", Span(symbol.start, symbol.end))
        if self.holds("EQUALS") and self.ahead(position + 1, step.end) == "statement":
            following = self.beyond(position + 1, step.end)
            if following is not None and self.written(following) not in EQUALS:
                self.separate(symbol)

    # --- operators -------------------------------------------------------------------------------

    def equals(self, symbol: Symbol) -> None:
        """An equals sign: of a statement, of an index, of a named argument, or a comparison."""
        role = self.top()
        reading = self.steps[-1]
        if not self.stack and isinstance(reading, Range) and reading.top:
            self.define()
            self.mark("EQUALS", symbol)
        elif role == "indices":
            self.stack[-1].passed = True
            self.mark("EQUALS", symbol)
        elif (
            role == "call"
            and self.after
            and self.out[-1].kind == "NAME"
            and self.out[-2].kind
            in (
                "CALL_OPEN",
                "COMMA",
            )
        ):
            self.mark("EQUALS", symbol)
        else:
            self.mark("COMPARE", symbol, "==")

    def define(self) -> None:
        """Remember what the left side of a statement names."""
        left = self.out[self.statement :]
        kinds = [token.kind for token in left]
        if kinds == ["NAME"]:
            self.names.add(left[0].value)
        elif (
            len(left) >= 4
            and kinds[:2] == ["NAME", "CALL_OPEN"]
            and kinds[-1] == "CLOSE"
            and all(kind == ("COMMA" if place % 2 else "NAME") for place, kind in enumerate(kinds[2:-1]))
        ):
            self.functions.add(left[0].value)

    def compare(self, symbol: Symbol, value: str) -> None:
        if self.top() == "indices":
            self.stack[-1].passed = True
        self.mark("COMPARE", symbol, value)

    def product(self, symbol: Symbol, written: str) -> None:
        if self.top() == "shape" or (self.top() == "dims" and PRODUCTS[written] == "*" and written != "*"):
            self.mark("TIMES" if self.top() == "shape" else "COMMA", symbol)
            return
        if self.head == len(self.stack):
            self.note("a function without brackets takes the whole product that follows it")
        self.mark("PRODUCT", symbol, PRODUCTS[written])

    # --- brackets --------------------------------------------------------------------------------

    def bracket(self, written: str, symbol: Symbol, position: int, step: Range, side: str) -> None:
        kind, own = BRACKETS[written]
        side = own or side
        if kind == "|" and written == "|" and not side:
            following = self.symbols[position + 1] if position + 1 < step.end else None
            doubled = following is not None and following.text == "|" and following.start == symbol.end
            if doubled and self.top() != "bar":
                assert following is not None
                self.goto(position + 2)
                kind, symbol = "||", Symbol("char", "||", symbol.start, following.end)
        if not side:
            role = "norm" if kind == "||" else "bar"
            side = "r" if self.after and self.top() == role else "l"
        if side == "l":
            self.open_bracket(kind, symbol, position, step)
        else:
            self.close_bracket(kind, symbol)

    def open_bracket(self, kind: str, symbol: Symbol, position: int, step: Range) -> None:
        if self.calls and kind in ("(", "[", "{"):
            self.calls = False
            self.mark("CALL_OPEN", symbol)
            self.open("call", kind, symbol)
            return
        if self.after and self.out[-1].kind == "NAME" and kind in ("(", "[", "{") and not self.spaced(symbol):
            if self.applied(kind, symbol, position, step):
                return
        elif self.after and self.out[-1].kind == "CLOSE" and self.closed == "call" and kind in ("(", "["):
            self.note("a bracket behind a function with brackets is a factor of its value")
        self.juxtapose(symbol)
        self.mark(_PLACES[kind], symbol, kind)
        self.open(_ROLES[kind], kind, symbol)

    def spaced(self, symbol: Symbol) -> bool:
        r"""Whether a space is written between a name and the bracket behind it, as in ``f \, (x + 1)``, a product."""
        between = self.text[self.out[-1].end : symbol.start]
        return any(space in between for space in (r"\,", r"\;", r"\ ", r"\:", r"\cdot"))

    def applied(self, kind: str, symbol: Symbol, position: int, step: Range) -> bool:
        """Whether the bracket behind a name holds arguments or an index."""
        name = self.out[-1]
        if name.value == "ones" and not self.is_name("ones"):
            # the indicator of a condition
            self.out.pop()
            self.after = bool(self.out) and self.out[-1].kind in _VALUE_ENDS
            if self.out and self.out[-1].kind == "PRODUCT" and not self.out[-1].text:
                self.out.pop()
                self.after = True
            return False
        if kind == "{":
            return False
        content = self.inside(position, step.end)
        if kind == "[":
            index = content and all(what in ("number", "letter") or value in (",", ":") for what, value in content)
            if not index or name.value in self.functions:
                return False
            self.mark("INDEX_OPEN", symbol)
            self.open("index", kind, symbol)
            return True
        base = name.value.partition("_")[0]
        if name.value == "sigma" and not self.is_name("sigma") and "sigma" not in self.functions:
            self.out[-1] = name._replace(kind="FUNCTION", value="sigmoid")
            self.sigmoid = True
        elif name.value in _EXTREMES and not self.is_name(name.value):
            self.out[-1] = name._replace(kind="FUNCTION", value=_EXTREMES[name.value])
        elif name.value in self.functions:
            pass
        elif self.is_name(name.value) or name.value in _CONSTANTS or not (base in _CALLED or self.is_argument(content)):
            return False
        self.mark("CALL_OPEN", symbol)
        self.open("call", kind, symbol)
        return True

    def is_argument(self, content: list[tuple[str, str]]) -> bool:
        """Whether no product would be written like this: one name alone, or a list, in brackets."""
        if any(value in (",", ";") for kind, value in content if kind == "char"):
            return True
        return len(content) == 1 and content[0][0] in ("letter", "word", "number")

    def close_bracket(self, kind: str, symbol: Symbol) -> None:
        shown = self.written(symbol) if symbol.kind == "command" else symbol.text
        if not self.stack or self.stack[-1].role in ("indices", "shape", "dims", "sub"):
            raise plain_hints.unopened(shown, Span(symbol.start, symbol.end))
        top = self.stack[-1]
        if top.text != kind or (isinstance(self.steps[-1], Range) and len(self.stack) <= self.steps[-1].depth):
            raise hints.mismatched(_SHOWN.get(top.text, top.text), _PARTNERS.get(top.text, rf"\end{{{top.text}}}"),
                                   Span(symbol.start, symbol.end), shown)  # fmt: skip
        self.stack.pop()
        self.mark("CLOSE", symbol)
        self.closed = top.role

    def sized(self, position: int, step: Range) -> None:
        r"""``\left(``, ``\bigr|``: the side of a bracket, or only its size."""
        symbol = self.symbols[position]
        side = SIZES[symbol.text]
        place = self.skip_spaces(position + 1, step.end)
        if place >= step.end:
            raise hints.no_delimiter(symbol.text, Span(symbol.start, symbol.end))
        delimiter = self.symbols[place]
        written = self.written(delimiter)
        if written == "." and side:
            self.goto(place + 1)
            raise hints.null_delimiter(symbol.text, Span(symbol.start, delimiter.end))
        if written not in BRACKETS:
            if written in PRODUCTS:
                return
            raise hints.no_delimiter(symbol.text, Span(symbol.start, symbol.end))
        self.goto(place + 1)
        own = BRACKETS[written][1]
        if side and own and own != side:
            raise hints.wrong_side(symbol.text, written, Span(symbol.start, delimiter.end))
        whole = Symbol(delimiter.kind, delimiter.text, symbol.start, delimiter.end)
        if side == "r" and not self.stack:
            raise hints.right_alone(symbol.text, Span(symbol.start, delimiter.end))
        if written == "|" and not side:
            self.bracket(written, whole, place, step, "")
            return
        kind = BRACKETS[written][0]
        side = side or own or ("r" if self.after and self.top() in ("bar", "norm") else "l")
        if side == "l":
            self.open_bracket(kind, whole, place, step)
        else:
            self.close_bracket(kind, whole)

    # --- scripts ---------------------------------------------------------------------------------

    def scripts(self, position: int, step: Range) -> None:
        symbol = self.symbols[position]
        if not self.after:
            raise ParseError(
                f"Nothing stands on the left of `{symbol.text}`.",
                span=Span(symbol.start, symbol.end),
                hint=f"write a value before `{symbol.text}`, or remove it",
            )
        found = self.gather(position, step.end)
        self.goto(found.end)
        following = self.skip(found.end, step.end)
        last = self.out[-1]
        opens = following < step.end and self.symbols[following].text in ("(", "left")
        if found.primes and opens and last.kind == "NAME" and not self.is_name(last.value):
            raise hints.primed(Span(last.start, found.at.end))
        if self.out[-1].kind == "SPACE":
            self.space_scripts(found)
            return
        labelled = False
        steps: list[Range | Callable[[], None]] = []
        if found.above is not None:
            labelled, above = self.above(found.above, symbol)
            steps += above
        if found.below is not None:
            steps = [*self.below(found.below, symbol, labelled), *steps]
        steps += [self.emits("TRANSPOSE", symbol)] * found.primes
        self.push(*steps)

    def label(self, text: str) -> None:
        """Make a label a part of the name before."""
        last = self.out[-1]
        assert last.kind == "NAME"
        self.out[-1] = last._replace(value=f"{last.value}_{text}")

    def above(self, extent: tuple[int, int], symbol: Symbol) -> tuple[bool, list[Range | Callable[[], None]]]:
        """What a superscript means: whether it labelled the name before it, and the steps for the rest."""
        found = self.plain(*extent)
        values = [value for _, value in found]
        last = self.out[-1]
        is_name = last.kind == "NAME"
        if is_name and values and values[0] in ("(", "[") and found[0][0] == "char" and last.value != "e":
            closing = {"(": ")", "[": "]"}[values[0]]
            if closing in values:
                end = values.index(closing)
                inner, rest = found[1:end], found[end + 1 :]
                simple = len(inner) == 1 and inner[0][0] in ("letter", "number", "word")
                steps: list[Range | Callable[[], None]] = []
                if not rest or self.is_transpose(rest):
                    steps = [self.emits("TRANSPOSE", symbol)] if rest else []
                    if simple:
                        self.label(inner[0][1])
                        return True, steps
                    shifted = len(inner) == 3 and inner[0][0] == "letter" and inner[1][1] in "+-"
                    if shifted and inner[2][0] == "number":
                        start, stop = self.bracketed(extent)
                        return True, [self.emits("INDEX_OPEN", symbol), self.range((start, stop)),
                                      self.closes(symbol), *steps]  # fmt: skip
        if is_name and len(found) == 1 and values[0] in ("*", "star", "ast"):
            self.label("star")
            return True, []
        if self.is_transpose(found):
            return False, [self.emits("TRANSPOSE", symbol, "-" if values[0] in ("-", "−") else "")]
        if len(found) == 1 and values[0] == "+":
            return False, [self.emits("PSEUDOINVERSE", symbol)]
        if len(found) == 1 and values[0] in ("dagger", "ddagger", "*"):
            raise hints.conjugate(Span(symbol.start, symbol.end))
        if len(found) == 1 and values[0] == "H" and not self.is_name("H"):
            raise hints.conjugate(Span(symbol.start, symbol.end))
        start, stop = extent
        kind = "^"
        first = self.skip(start, stop)
        if first < stop and self.written(self.symbols[first]) in (r"\odot", r"\circ"):
            kind, start = ".^", first + 1
        return False, [
            self.emits("CARET", symbol, kind),
            self.range((start, stop)),
            self.closes(self.last((start, stop))),
        ]

    def is_transpose(self, found: list[tuple[str, str]]) -> bool:
        """Whether a superscript is a transpose, perhaps with a minus."""
        if len(found) == 2 and found[0][1] in ("-", "−"):
            found = found[1:]
        if not found or (len(found) > 1 and any(value not in ("'", "′", "prime") for _, value in found)):
            return False
        value = found[0][1]
        return value in _TRANSPOSES and not (value == "T" and self.is_name("T"))

    def below(self, extent: tuple[int, int], symbol: Symbol, labelled: bool) -> list[Range | Callable[[], None]]:
        """What a subscript means."""
        found = self.plain(*extent)
        values = [value for _, value in found]
        last = self.out[-1]
        if last.kind == "CLOSE" and self.closed == "norm":
            self.norm_kind(values, symbol)
            return []
        if values == ["+"]:
            return [self.emits("POSITIVE_PART", symbol)]
        if last.kind == "NAME" and last.value in _CONSTANTS and not self.is_name(last.value) and not labelled:
            return self.sized_constant(extent, found, symbol)
        is_name = last.kind == "NAME"
        if is_name and not labelled and len(found) == 1:
            kind, value = found[0]
            if kind == "letter" or (kind == "number" and len(value) == 1):
                self.label(value)
                return []
            if value == "*":
                self.label("star")
                return []
        if is_name and len(found) == 1 and found[0] in (("command", "max"), ("command", "min")) and not labelled:
            self.label(values[0])
            return []
        if is_name and len(found) == 1 and found[0][0] == "word":
            word = found[0][1].replace(" ", "_").replace("-", "_")
            if word.replace("_", "").isalnum():
                self.label(word)
                return []
        letters = [what for what, _ in found]
        if is_name and len(found) > 1 and all(what == "letter" and len(value) == 1 for what, value in found):
            token = Symbol("letter", "", self.at(extent[0]).start, self.at(extent[1] - 1).end)
            return [self.emits("SUB_OPEN", symbol), self.emits("NAME", token, "".join(values)), self.closes(symbol)]
        whole = [place for place, value in enumerate(values) if value in ("cdot", ":", "bullet", "*")]
        if len(found) >= 2 and whole and set(values) - {",", "cdot", ":", "bullet", "*"} <= {
            value for what, value in found if what in ("letter", "number")
        } and ":" not in values[1:-1]:  # fmt: skip
            return self.whole_axes(found, symbol)
        if is_name and len(found) > 1 and set(letters) == {"letter", "number"} and values[0] != "e":
            raise hints.crowded_subscript(values, Span(symbol.start, self.at(extent[1] - 1).end))
        opening = "INDEX_OPEN" if labelled else "SUB_OPEN"
        self_role = Symbol("char", "_", symbol.start, symbol.end)
        return [self.emits(opening, self_role), self.range(extent), self.closes(self.last(extent))]

    def whole_axes(self, found: list[tuple[str, str]], symbol: Symbol) -> list[Range | Callable[[], None]]:
        r"""``X_{i\cdot}``, ``X_{:,j}``: a row or a column."""
        steps: list[Range | Callable[[], None]] = [self.emits("INDEX_OPEN", symbol)]
        entries = [(kind, value) for kind, value in found if value != ","]
        for place, (kind, value) in enumerate(entries):
            if place:
                steps.append(self.emits("COMMA", symbol))
            if kind == "number":
                steps.append(lambda value=value: self.emit("NUMBER", symbol.start, symbol.end, text=value))  # type: ignore[misc]
            elif kind == "letter":
                steps.append(self.emits("NAME", symbol, value))
            else:
                steps.append(self.emits("COLON", symbol))
        return [*steps, self.closes(symbol)]

    def sized_constant(
        self, extent: tuple[int, int], found: list[tuple[str, str]], symbol: Symbol
    ) -> list[Range | Callable[[], None]]:
        r"""``I_n``, ``\mathbf{1}_{m \times n}``, and the indicator ``\mathbf{1}_{x > 0}``."""
        last = self.out[-1]
        compares = any(f"\\{value}" in COMPARISONS or value in COMPARISONS or value == "=" for _, value in found)
        if last.value == "ones" and compares:
            self.out.pop()
            return [self.emits("OPEN", symbol), self.inner_role(extent, "group", symbol), self.closes(symbol)]
        if any(kind == "word" for kind, _ in found):
            self.label("_".join(value for _, value in found).replace(" ", "_"))
            return []
        self.out[-1] = last._replace(kind="FUNCTION")
        return [self.emits("CALL_OPEN", symbol), self.inner_role(extent, "dims", symbol), self.closes(symbol)]

    def inner_role(self, extent: tuple[int, int], role: str, symbol: Symbol) -> Callable[[], None]:
        """A step that reads a range inside a bracket of its own kind."""

        def begin() -> None:
            self.open(role, "_", symbol)
            self.push(self.range(extent), self.drop)

        return begin

    def drop(self) -> None:
        """The end of what `inner_role` opened."""
        self.stack.pop()

    def norm_kind(self, values: list[str], symbol: Symbol) -> None:
        written = "".join(values)
        kind = NORM_KINDS.get(written)
        if kind is None:
            raise plain_hints.norm_kind(written, Span(symbol.start, symbol.end + len(written)))
        self.out[-1] = self.out[-1]._replace(value=kind)

    def space_scripts(self, found: Scripts) -> None:
        r"""The scripts of ``\mathbb{R}^{m \times n}``."""
        space = self.out[-1]
        family = "S" if space.value == "symmetric" else "R"
        kind = space.value
        if found.below is not None:
            sign = "".join(value for _, value in self.plain(*found.below))
            pair = {("R", "+"): "nonnegative", ("R", "++"): "positive", ("S", "+"): "psd", ("S", "++"): "spd"}
            if (family, sign) not in pair:
                raise hints.stray(f"_{sign}", Span(space.start, space.end))
            kind = pair[family, sign]
        square = found.above is not None and family == "S"
        self.out[-1] = space._replace(value=f"square {kind}" if square else kind)
        if found.above is None:
            return
        symbol = found.at
        text = [value for kind, value in self.plain(*found.above) if kind == "char"]
        if text == ["+"]:
            raise hints.stray("^+", Span(symbol.start, symbol.end))
        self.push(self.emits("SHAPE_OPEN", symbol), self.inner_role(found.above, "shape", symbol), self.closes(symbol))

    # --- commands --------------------------------------------------------------------------------

    def command(self, position: int, step: Range) -> None:
        symbol = self.symbols[position]
        text = symbol.text
        written = f"\\{text}"
        if text in SIZES:
            self.sized(position, step)
        elif text in LETTERS:
            if text == "infty":
                self.juxtapose(symbol)
                self.mark("NAME", symbol, "inf")
            else:
                self.name(LETTERS[text], symbol, step.font)
        elif text == "rm" and position + 1 < step.end and self.symbols[position + 1].kind == "open":
            start, stop, end = self.argument(position + 1, step.end, symbol)
            self.goto(end)
            self.words(self.word(start, stop), symbol, end, step)
        elif text in IGNORED:
            return
        elif text in FRACTIONS:
            self.fraction(position, step)
        elif text in FONTS:
            start, stop, end = self.argument(position + 1, step.end, symbol)
            self.goto(end)
            self.face(FONTS[text], start, stop, symbol)
        elif text in WORDS:
            start, stop, end = self.argument(position + 1, step.end, symbol)
            self.goto(end)
            self.words(self.word(start, stop), symbol, end, step)
        elif text in ACCENTS:
            start, stop, end = self.argument(position + 1, step.end, symbol)
            self.goto(end)
            self.accent(ACCENTS[text], start, stop, symbol)
        elif text in ("argmin", "argmax", "arg"):
            self.arg(position, step)
        elif text in COMMAND_FUNCTIONS or text in OBJECTIVES:
            self.function(FUNCTIONS.get(text, text), symbol, position + 1, step)
        elif written in BRACKETS:
            self.bracket(written, symbol, position, step, "")
        elif written in PRODUCTS:
            self.product(symbol, written)
        elif written in COMPARISONS:
            self.compare(symbol, COMPARISONS[written])
        elif written in EQUALS:
            self.equals(symbol)
        elif text in ("sum", "prod"):
            self.index_sum(position, step)
        elif text == "sqrt":
            self.root(position, step)
        elif text == "nabla":
            self.nabla(position, step)
        elif text in ("begin", "end"):
            self.environment(position, step)
        elif text in ("in", "isin"):
            self.element(symbol)
        elif text in TRANSPARENT or text == "substack":
            start, stop, end = self.argument(position + 1, step.end, symbol)
            self.goto(end)
            self.push(self.range((start, stop), step.font, step.top))
        elif text in ("underbrace", "overbrace"):
            start, stop, end = self.argument(position + 1, step.end, symbol)
            self.goto(self.gather(end, step.end).end)
            self.push(self.range((start, stop), step.font, step.top))
        elif text in ("underset", "overset", "stackrel"):
            self.stacked(position, step)
        elif text in DROPPED:
            self.goto(self.argument(position + 1, step.end, symbol)[2])
        elif text == "textcolor":
            end = self.argument(position + 1, step.end, symbol)[2]
            start, stop, end = self.argument(end, step.end, symbol)
            self.goto(end)
            self.push(self.range((start, stop), step.font, step.top))
        elif text in ("norm", "abs") or text in ("R", "E", "ones", "T"):
            self.habit(position, step)
        elif text == "partial":
            raise hints.lone_partial(Span(symbol.start, symbol.end))
        elif text in UNSUPPORTED:
            what, hint = UNSUPPORTED[text]
            self.refuse(what, symbol, hint)
        elif letter_of(text):
            self.name(letter_of(text), symbol, "bold")
        else:
            raise hints.unknown_command(text, Span(symbol.start, symbol.end))

    def habit(self, position: int, step: Range) -> None:
        r"""``\norm{x}``, ``\abs{x}``, ``\R``: macros so common that they are often left undefined."""
        symbol = self.symbols[position]
        if symbol.text in ("norm", "abs"):
            following = self.skip_spaces(position + 1, step.end)
            if following < step.end and self.symbols[following].kind == "open":
                start, stop, end = self.argument(position + 1, step.end, symbol)
                self.goto(end)
                kind = "||" if symbol.text == "norm" else "|"
                self.juxtapose(symbol)
                self.mark(_PLACES[kind], symbol, kind)

                def close() -> None:
                    self.emit("CLOSE", self.at(stop - 1).end, self.at(stop - 1).end, text="}")
                    self.closed = _ROLES[kind]

                self.push(self.range((start, stop), step.font), close)
                return
            self.function(symbol.text, symbol, position + 1, step)
        elif symbol.text == "R" and self.names_a_set():
            self.mark("SPACE", symbol)
        else:
            raise hints.unknown_command(symbol.text, Span(symbol.start, symbol.end))

    def face(self, font: str, start: int, stop: int, symbol: Symbol) -> None:
        """A face: of letters it means nothing, of ``1`` the ones, of ``R`` the real numbers."""
        found = self.plain(start, stop)
        if font == "board" and len(found) == 1:
            letter = found[0][1]
            if letter in BLACKBOARD_SETS and self.names_a_set():
                self.mark("SPACE", symbol, BLACKBOARD_SETS[letter])
                return
            if letter in ("E", "P", "V"):
                what = {"E": "an expectation", "P": "a probability", "V": "a variance"}[letter]
                self.refuse(what, symbol, r"write the mean over the data, \frac{1}{N} \sum_{i=1}^{N}")
            if letter in ("R", "N", "Z", "C", "Q", "S"):
                self.refuse("a set", symbol, r"declare on a line of its own: `x \in \mathbb{R}^n`")
        if font == "bold" and found == [("letter", "R")] and self.names_a_set():
            self.mark("SPACE", symbol)
            return
        if len(found) > 1 and found[0][0] == "letter":
            run = "".join(value for kind, value in found)
            if run in self.known.declared and all(kind in ("letter", "number") for kind, _ in found):
                self.name(run, symbol, font)
                return
        self.push(self.range((start, stop), font))

    def accent(self, accent: str, start: int, stop: int, symbol: Symbol) -> None:
        r"""``\hat{y}`` is ``y_hat``; ``\hat{y}_i`` and ``\hat{y_i}`` are ``y_hat_i``."""
        before = len(self.out) + self.after

        def rename() -> None:
            if len(self.out) != before + 1 or self.out[-1].kind != "NAME":
                raise hints.wide_accent(symbol.text, Span(symbol.start, self.at(stop - 1).end))
            name = self.out[-1]
            parts = name.value.split("_")
            place = 1
            while place < len(parts) and parts[place] in ACCENTS.values():
                place += 1
            value = "_".join([*parts[:place], accent, *parts[place:]])
            self.out[-1] = name._replace(value=value, start=symbol.start, text=f"\\{symbol.text}{{…}}")

        self.push(self.range((start, stop)), rename)

    # --- words and functions ---------------------------------------------------------------------

    def words(self, word: str, symbol: Symbol, position: int, step: Range) -> None:
        """A word: a letter, a name, the name of a function, or prose between formulas."""
        bare = word.strip(" .,;:")
        lower = bare.lower()
        if self.top() == "call" and self.out[-1].kind == "CALL_OPEN" and self.out[-2].value == "einsum":
            self.emit("STRING", symbol.start, self.at(position - 1).end, text=f'"{word}"')
            return
        if self.top() == "cases":
            if lower in ("if", "for", "when", "where", ""):
                return
            if lower in ("otherwise", "else", "elsewhere"):
                self.mark("OTHERWISE", symbol)
                return
        if bare == "R" and self.names_a_set():
            self.mark("SPACE", symbol)
            return
        if self.top() == "" and self.holds("ELEMENT") and self.out[-1].kind != "ELEMENT" and bare in PROPERTIES:
            self.mark("PROPERTY", symbol, bare)
            return
        if lower in ("for", "where") and self.runs(position, step):
            return
        said = symbol.text not in ("operatorname", "operatorname*", "mathrm", "mathop")
        if not self.stack and said and lower in PROSE_SEPARATORS and word != "":
            self.separate(symbol, "where" if lower in SECOND_FIRST else "")
            return
        if said and lower in ("s.t", "subject to", "such that", "st", "s. t"):
            self.refuse("a constraint", symbol, "give the objective alone, or its Lagrangian")
        if not bare:
            return
        function = self.function_of(bare)
        if function is not None:
            self.function(function, symbol, position, step)
            return
        if len(bare) == 1 and bare.isalpha():
            self.name(spell(bare), symbol, "")
            return
        cleaned = bare.replace("-", "_")
        if " " in bare or not cleaned.replace("_", "").isalnum() or not cleaned[0].isalpha():
            if self.stack:
                raise hints.prose(bare, Span(symbol.start, self.at(position - 1).end))
            end = position
            if self.after and self.ahead(position, step.end) != "statement":
                while end < step.end and self.symbols[end].kind != "row" and self.symbols[end].text != "end":
                    end += 1
            elif self.after:
                self.separate(symbol)
            self.note(f"the words “{bare}” {'and what follows them ' if end > position else ''}are not read")
            self.goto(end)
            return
        self.juxtapose(symbol)
        self.emit("NAME", symbol.start, self.at(position - 1).end, spell(cleaned))

    def function_of(self, word: str) -> str | None:
        """The function a word names, if it names one and no declared name is spelled like it."""
        if word in self.known.declared or word in self.names or word in self.functions:
            return None
        if word in FUNCTIONS and (self.known.is_function(FUNCTIONS[word]) or FUNCTIONS[word] in OBJECTIVES):
            return FUNCTIONS[word]
        if word in OBJECTIVES or word == "einsum":
            return word
        if len(word) > 1 and self.known.is_function(word):
            return word
        return word.lower() if len(word) > 1 and self.known.is_function(word.lower()) else None

    def arg(self, position: int, step: Range) -> None:
        r"""``\arg\max``."""
        symbol = self.symbols[position]
        place = position + 1
        name = symbol.text
        if name == "arg":
            place = self.skip(place, step.end)
            if place >= step.end or self.symbols[place].text not in ("min", "max"):
                raise hints.unknown_command("arg", Span(symbol.start, symbol.end))
            name = f"arg{self.symbols[place].text}"
            place += 1
        self.goto(place)
        self.function(name, symbol, place, step)

    def function(self, name: str, symbol: Symbol, position: int, step: Range) -> None:
        """A function name: with brackets a call, without them it takes the product that follows."""
        found = self.gather(position, step.end)
        position = found.end
        self.goto(position)
        place = self.skip(position, step.end)
        following = self.symbols[place] if place < step.end else None
        written = "" if following is None else self.written(following)
        if following is not None and following.kind == "command" and following.text in SIZES:
            place = self.skip_spaces(place + 1, step.end)
            following = self.symbols[place] if place < step.end else None
            written = "" if following is None else self.written(following)
        bracket = BRACKETS.get(written, ("", ""))
        called = bracket[0] in ("(", "[", "{") and bracket[1] == "l"
        if name in OBJECTIVES and found.below is not None:
            letters = {value for kind, value in self.plain(*found.below) if kind == "letter"}
            if letters and letters <= _COUNTERS:
                raise hints.over_an_index(symbol.text, Span(symbol.start, symbol.end))
        if name in OBJECTIVES and (found.below is not None or not called) and name not in ("max", "min", "argmax"):
            self.objective(symbol)
            return
        if name in ("max", "min", "argmax") and found.below is not None:
            self.objective(symbol)
            return
        if found.primes:
            raise hints.primed(Span(found.at.start, found.at.end))
        if name == "log" and written == r"\det" and found.below is None and found.above is None:
            self.goto(self.skip(position, step.end) + 1)
            self.function("logdet", symbol, self.skip(position, step.end) + 1, step)
            return
        name = self.decorated(name, found, symbol)
        self.juxtapose(symbol)
        if called:
            self.mark("FUNCTION", symbol, name)
            self.calls = True
            return
        if following is not None and following.kind == "open":
            start, stop, end = self.argument(place, step.end, symbol)
            behind = self.skip_spaces(end, step.end)
            if not (behind < step.end and self.symbols[behind].text in SCRIPTS):
                self.goto(end)
                self.mark("FUNCTION", symbol, name)
                self.push(self.emits("CALL_OPEN", following), self.inner_role((start, stop), "call", following),
                          self.closes(self.at(stop)))  # fmt: skip
                return
        self.join()
        self.mark("HEAD", symbol, name)
        self.head = len(self.stack)

    def decorated(self, name: str, found: Scripts, symbol: Symbol) -> str:
        r"""A function with a base or a power on it: ``\log_2``, ``\tanh^2``, ``\sin^{-1}``."""
        if found.below is not None:
            base = "".join(value for _, value in self.plain(*found.below))
            if name in ("log", "ln") and base in ("2", "10", "e"):
                name = {"2": "log2", "10": "log10", "e": "log"}[base]
            elif self.known.is_function(f"{name}{base}"):
                name = f"{name}{base}"
            else:
                raise hints.function_subscript(name, base, Span(symbol.start, symbol.end))
        if found.above is not None:
            power = "".join(value for _, value in self.plain(*found.above))
            if power in ("-1", "−1") and name in _INVERSES:
                self.note(f"\\{name}^{{-1}} is the inverse function")
                return _INVERSES[name]
            if not power.isdigit():
                raise hints.function_power(name, Span(symbol.start, symbol.end))
            name = f"{name}^{power}"
        return name

    def objective(self, symbol: Symbol) -> None:
        if not self.begins():
            raise hints.inner_objective(symbol.text, Span(symbol.start, symbol.end))
        self.mark("OBJECTIVE", symbol, symbol.text)

    def stacked(self, position: int, step: Range) -> None:
        r"""``\underset{w}{\min}``; ``\overset{!}{=}``."""
        symbol = self.symbols[position]
        over = self.argument(position + 1, step.end, symbol)
        start, stop, end = self.argument(over[2], step.end, symbol)
        self.goto(end)
        found = self.plain(start, stop)
        if symbol.text == "underset" and found and found[-1][1] in OBJECTIVES:
            self.objective(symbol)
            return
        self.push(self.range((start, stop), step.font, step.top))

    # --- sums, roots, fractions ------------------------------------------------------------------

    def index_sum(self, position: int, step: Range) -> None:
        symbol = self.symbols[position]
        found = self.gather(position + 1, step.end)
        self.goto(found.end)
        self.juxtapose(symbol)
        self.join()
        if found.below is None:
            if found.above is not None:
                raise hints.bound_alone(symbol.text, Span(symbol.start, symbol.end))
            self.mark("HEAD", symbol, symbol.text)
            return
        self.mark("SUM", symbol, symbol.text)
        steps: list[Range | Callable[[], None]] = [
            self.emits("SUB_OPEN", symbol), self.inner_role(found.below, "indices", symbol), self.closes(symbol)
        ]  # fmt: skip
        if found.above is not None:
            steps += [self.emits("CARET", symbol, "^"), self.inner_role(found.above, "bound", symbol),
                      self.closes(symbol)]  # fmt: skip
        # what follows is a body, not a factor
        steps.append(self.begin_body)
        self.push(*steps)

    def begin_body(self) -> None:
        self.after = False

    def root(self, position: int, step: Range) -> None:
        symbol = self.symbols[position]
        place = self.skip_spaces(position + 1, step.end)
        degree: tuple[int, int] | None = None
        if place < step.end and self.symbols[place].text == "[" and self.symbols[place].kind == "char":
            end = self.option_end(place, step.end)
            degree = (place + 1, end - 1)
            place = end
        start, stop, end = self.argument(place, step.end, symbol)
        self.goto(end)
        self.juxtapose(symbol)
        self.mark("ROOT", symbol)
        steps: list[Range | Callable[[], None]] = []
        if degree is not None:
            steps = [self.emits("DEGREE", symbol), self.range(degree), self.closes(symbol)]
        self.push(*steps, *self.braced((start, stop), symbol, step.font))

    def braced(self, extent: tuple[int, int], symbol: Symbol, font: str = "") -> list[Range | Callable[[], None]]:
        """The steps of an argument between brackets."""
        closing = self.last(extent) if extent[1] > extent[0] else symbol
        return [self.emits("OPEN", symbol), self.range(extent, font), self.closes(closing)]

    def fraction(self, position: int, step: Range) -> None:
        symbol = self.symbols[position]
        upper = self.argument(position + 1, step.end, symbol)
        try:
            lower = self.argument(upper[2], step.end, symbol)
        except ParseError:
            raise hints.half_fraction(symbol.text, Span(symbol.start, self.at(upper[2] - 1).end)) from None
        for start, stop, _ in (upper, lower):
            if self.skip(start, stop) == stop:
                raise hints.empty_fraction(symbol.text, Span(symbol.start, self.at(lower[2] - 1).end))
        self.goto(lower[2])
        if self.differential(upper[0], upper[1], lower[0], lower[1]):
            self.derivative(symbol, upper, lower)
            return
        self.juxtapose(symbol)
        self.mark("FRACTION", symbol)
        self.push(*self.braced(upper[:2], symbol), *self.braced(lower[:2], symbol))

    # --- derivatives -----------------------------------------------------------------------------

    def marker(self, position: int, end: int) -> tuple[str, int]:
        r"""``\partial`` or the ``d`` of a differential at a position, and where it ends."""
        position = self.skip(position, end)
        if position >= end:
            return "", position
        symbol = self.symbols[position]
        if symbol.kind == "command" and symbol.text == "partial":
            return "partial", position + 1
        if symbol.kind == "letter" and symbol.text == "d" and not self.is_name("d"):
            return "d", position + 1
        if symbol.kind == "command" and symbol.text in ("mathrm", "operatorname", "text", "rm"):
            start, stop, behind = self.argument(position + 1, end, symbol)
            if self.word(start, stop) == "d":
                return "d", behind
        return "", position

    def differential(self, start: int, stop: int, below: int, end: int) -> bool:
        """Whether a fraction is a derivative: the same marker above and below, with a variable behind the lower."""
        upper, _ = self.marker(start, stop)
        lower, place = self.marker(below, end)
        if not upper or upper != lower:
            return False
        place = self.skip(place, end)
        return place < end and self.symbols[place].text not in ("^", "_", "+", "-")

    def derivative(self, symbol: Symbol, upper: tuple[int, int, int], lower: tuple[int, int, int]) -> None:
        if not self.begins():
            raise hints.inner_derivative(Span(symbol.start, self.at(lower[2] - 1).end))
        marker, place = self.marker(upper[0], upper[1])
        order = ""
        place = self.skip(place, upper[1])
        if place < upper[1] and self.symbols[place].text == "^":
            start, stop, place = self.argument(place + 1, upper[1], self.symbols[place])
            order = "".join(value for _, value in self.plain(start, stop))
        rest = self.skip(place, upper[1])
        variables = self.variables(marker, lower[0], lower[1], symbol)
        if rest < upper[1]:
            self.mark("DIFFERENTIAL", symbol, order)
            self.push(*self.braced((rest, upper[1]), symbol), *variables)
            return
        self.mark("OPERATOR", symbol, order)
        self.push(*variables, self.begin_body)

    def variables(self, marker: str, start: int, end: int, symbol: Symbol) -> list[Range | Callable[[], None]]:
        """The steps of the variables below a derivative."""
        steps: list[Range | Callable[[], None]] = [self.emits("BY_OPEN", symbol)]
        _, place = self.marker(start, end)
        begin = place
        count = 0
        while begin < end:
            stop = begin
            while stop < end:
                if stop > begin and self.symbols[stop - 1].text not in ("^", "_"):
                    found, _ = self.marker(stop, end)
                    if found == marker and (marker == "partial" or stop > begin):
                        break
                stop = self.partner[stop] + 1 if self.symbols[stop].kind == "open" else stop + 1
            if count:
                steps.append(self.emits("COMMA", symbol))
            steps.append(self.range((begin, stop)))
            count += 1
            begin = self.marker(stop, end)[1] if stop < end else end
        return [*steps, self.closes(self.at(end - 1))]

    def nabla(self, position: int, step: Range) -> None:
        symbol = self.symbols[position]
        found = self.gather(position + 1, step.end)
        self.goto(found.end)
        if not self.begins():
            raise hints.inner_derivative(Span(symbol.start, symbol.end))
        order = "" if found.above is None else "".join(value for _, value in self.plain(*found.above))
        self.mark("OPERATOR", symbol, order)
        if found.below is None:
            return
        self.push(
            self.emits("BY_OPEN", symbol), self.inner_role(found.below, "sub", symbol), self.closes(symbol),
            self.begin_body,
        )  # fmt: skip

    # --- environments and declarations -----------------------------------------------------------

    def environment(self, position: int, step: Range) -> None:
        symbol = self.symbols[position]
        start, stop, end = self.argument(position + 1, step.end, symbol)
        name = "".join(part.text for part in self.symbols[start:stop] if part.kind != "space")
        base = name.rstrip("*")
        whole = Symbol("command", f"{symbol.text}{{{name}}}", symbol.start, self.at(end - 1).end)
        if symbol.text == "end":
            self.goto(end)
            self.end(name, base, whole)
            return
        place = self.skip_spaces(end, step.end)
        if base in ("array", "alignat") and place < step.end:
            if self.symbols[place].text == "[":
                place = self.skip_spaces(self.option_end(place, step.end), step.end)
            end = self.argument(place, step.end, symbol)[2]
        self.goto(end)
        if base in MATRICES:
            self.juxtapose(whole)
            if base in ("vmatrix", "Vmatrix"):
                self.mark("BAR_OPEN" if base == "vmatrix" else "NORM_OPEN", whole)
            self.mark("MATRIX_OPEN", whole, base)
            self.open("matrix", name, whole)
        elif base in ("cases", "dcases", "rcases"):
            self.juxtapose(whole)
            self.mark("CASES_OPEN", whole)
            self.open("cases", name, whole)
        elif base not in LAYOUT_ENVIRONMENTS:
            raise hints.unknown_environment(name, Span(whole.start, whole.end))
        self.environments.append((name, whole))

    def end(self, name: str, base: str, whole: Symbol) -> None:
        if not self.environments:
            raise hints.end_alone(name, Span(whole.start, whole.end))
        opened, at = self.environments.pop()
        if opened != name:
            raise hints.crossed_environments(opened, name, Span(whole.start, whole.end))
        if base not in MATRICES and base not in ("cases", "dcases", "rcases"):
            return
        top = self.stack[-1]
        if top.text != name:
            raise hints.mismatched(_SHOWN.get(top.text, top.text), _PARTNERS.get(top.text, ""),
                                   Span(whole.start, whole.end), f"\\{whole.text}")  # fmt: skip
        self.stack.pop()
        while self.out[-1].kind in ("ROW", "COMMA") and self.out[-1].start > at.start:
            self.out.pop()
        self.mark("CLOSE", whole)
        if base in ("vmatrix", "Vmatrix"):
            self.mark("CLOSE", whole)
            self.closed = "norm" if base == "Vmatrix" else "bar"
        else:
            self.closed = "matrix"

    def element(self, symbol: Symbol) -> None:
        if self.top() == "indices":
            self.stack[-1].passed = True
            self.mark("ELEMENT", symbol)
            return
        if self.stack:
            raise hints.inner_element(Span(symbol.start, symbol.end))
        for token in self.out[self.statement :]:
            if token.kind == "NAME":
                self.names.add(token.value)
        self.mark("ELEMENT", symbol)

    # --- the end ---------------------------------------------------------------------------------

    def compare_faces(self) -> None:
        """Letters that only their face tells apart are one name; what is drawn must not be lost silently."""
        for name, faces in self.faces.items():
            fonts = {font or "plain" for font in faces}
            if "fancy" in fonts and len(fonts) > 1:
                other = next(symbol for font, symbol in faces.items() if font == "fancy")
                raise hints.two_faces(name, Span(other.start, other.end))
            if fonts >= {"bold", "plain"}:
                self.note(f"{name} stands here in bold and in plain type; both are read as one name")
        if self.sigmoid and any(token.kind == "NAME" and token.value == "sigma" for token in self.out):
            self.note(r"\sigma with a bracket behind it is read as the logistic function, elsewhere as a variable")
