"""Text to tokens: the characters, and everything that depends on what stands beside them.

Juxtaposition, the two ends of `|`, an index against a block, a call against a product, new lines inside
brackets, `x` between dimensions: all are settled here, in one pass, so that the grammar has no ambiguity.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from ..errors import ParseError, Span
from ..limits import check_length, current, exceeded, tick
from . import hints
from .greek import GREEK, LATIN, SUBSCRIPTS, SUPERSCRIPTS, spell
from .table import END, Token

KINDS = ("matrix", "scalar", "tensor", "vector")
PROPERTIES = (
    "diagonal", "integer", "lower", "nonnegative", "orthogonal", "positive", "psd", "skew", "spd", "symmetric", "upper",
)  # fmt: skip

NORM_KINDS = {
    "1": "1", "2": "2", "inf": "inf", "∞": "inf", "oo": "inf", "infty": "inf", "\\infty": "inf", "infinity": "inf",
    "Inf": "inf", "F": "F", "f": "F", "fro": "F", "Fro": "F", "*": "*", "\\ast": "*",
}  # fmt: skip

_WORD = f"[{LATIN}{GREEK}0-9]+"
_SUB = "".join(SUBSCRIPTS)
_SUPER = "".join(SUPERSCRIPTS).replace("-", r"\-")
NAME = rf"(?:[{LATIN}][{LATIN}0-9]*|[{GREEK}][0-9]*)(?:_+{_WORD}|[{_SUB}]+)*"
_TOP = r"(?:\\top\b|\\intercal\b|[⊤⊺]|T(?![^\W_]))"
_GAP = "[ \t\u00a0]*"
_BLANK = "\t\x0b\x0c \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"

_RAW = re.compile(
    "|".join(
        f"(?P<{kind}>{pattern})"
        for kind, pattern in {
            "BLANK": f"[{_BLANK}]+|#[^\n\r\x85\u2028\u2029]*",
            "NEWLINE": "\r\n|[\n\r\x85\u2028\u2029]",
            "NAME": NAME,
            "NUMBER": r"(?:[0-9]+(?:\.[0-9]+|\.(?![\w.*/^'\\×]))?|\.[0-9]+)(?:[eE][+\-]?[0-9]+)?",
            "TRANSPOSE": (
                rf"\^{_GAP}(?:-?{_TOP}|\{{\s*-?\s*{_TOP}\s*\}}|\(\s*-?\s*{_TOP}\s*\))"
                r"|⁻?ᵀ|[⊤⊺]|\.T(?!\w)|\.'|′"
            ),
            "POWER": r"\*\*|\.\^|\^",
            "SUPER": f"[{_SUPER}]+",
            "DOTNAME": rf"\.[{LATIN}_]\w*",
            "PRODUCT": r"\.[*/×]|[*@/\\·⋅∙•⊙∘⊘⊗÷∗∕⁄]",
            "TIMES": "×",
            "COMPARE": "<=|>=|==|!=|[≤≥≠⩽⩾]",
            "EQ": ":=|[=≔]",
            "SIGN": r"[+\-−]",
            "LT": "<",
            "GT": ">",
            "BAR": "[|∣]+",
            "DOUBLE": "[‖∥]",
            "OPENER": r"[(\[{⟨]",
            "CLOSER": r"[)\]}⟩]",
            "POSITIVE": r"_(?:\+|\{\s*\+\s*\})",
            "SUBBRACE": r"_\{",
            "SUBNAME": f"_{_WORD}",
            "SUBSIGN": "_[*∞]",
            "LOWERED": f"[{_SUB}₊₋]+",
            "SUMSIGN": "[∑∏]",
            "ROOT": "[√∛]",
            "INFINITY": "∞",
            "REALS": "ℝ",
            "ELEMENT": "∈",
            "COMMA": ",",
            "SEMICOLON": ";",
            "COLON": ":",
            "STRING": '"[^"\n\r]*"',
            "QUOTE": "['\"]",
        }.items()
    )
)

_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_SINGLE_QUOTED = re.compile("'[^'\n\r]*'")
_NAME = re.compile(NAME)
_BRACED_NAME = re.compile(rf"({NAME})_\{{\s*({_WORD})\s*\}}")
_LATEX = re.compile(r"\\(?:[A-Za-z]{2,}|[^A-Za-z\s(\[{0-9]|$)")
_INDEX_SUM = re.compile(r"(sum|prod)_([a-z]|[i-np-t]{2,3})")
_CROSSED_DIMENSION = re.compile("[0-9]+|[A-Za-z][A-Za-z0-9]*")
_STARTS_VALUE = re.compile(r"[\w(\[{√∑⟨\-−]")
_NO_POWER = re.compile(rf"\^{_GAP}(?:\+(?!\s*[0-9(])|\{{\s*[+†*]\s*\}}|[*†])")
_NORM_KIND = r"_(?:\{\s*([^{}]*?)\s*\}|([A-Za-z0-9]+|[*∞]))|([₀-₉]+)"
_NORM_SUFFIX = re.compile(_NORM_KIND)
_POWERED_SUFFIX = re.compile(rf"({_GAP}\^{_GAP}(?:\{{\s*[0-9]+\s*\}}|[0-9])|[²³⁴])(?:{_NORM_KIND})")

_VALUE_ENDS = frozenset(
    {"NAME", "NUMBER", "CLOSE", "SUPERSCRIPT", "TRANSPOSE", "POSITIVE_PART", "KIND", "PROPERTY", "REALS", "STRING"}
)
_RAW_VALUE_ENDS = frozenset(
    {"NAME", "NUMBER", "CLOSER", "TRANSPOSE", "SUPER", "SUBNAME", "LOWERED", "POSITIVE", "INFINITY", "BAR", "DOUBLE"}
)
_RAW_VALUE_STARTS = frozenset(
    {"NAME", "NUMBER", "OPENER", "SUMSIGN", "ROOT", "INFINITY", "REALS", "BAR", "DOUBLE", "LT"}
)
_OPENS = {"(": ("OPEN", "group"), "{": ("OPEN", "group"), "[": ("BLOCK_OPEN", "block"), "⟨": ("INNER_OPEN", "inner")}
_CLOSERS = {"(": ")", "[": "]", "{": "}", "_{": "}", "⟨": "⟩", "<": ">", "|": "|", "||": "||"}
_COMPARE = {"≤": "<=", "≥": ">=", "≠": "!=", "⩽": "<=", "⩾": ">="}
_INNER_REACH = 400  # pieces to look ahead for the end of an inner product that follows a value
_PRODUCTS = {
    "@": "*", "∗": "*", "×": "*", "·": "dot", "⋅": "dot", "∙": "dot", "•": "dot", "⊙": ".*", "∘": ".*", ".×": ".*",
    "÷": "/", "∕": "/", "⁄": "/", "⊘": "./", "⊗": "kron",
}  # fmt: skip


@dataclass(slots=True)
class Opened:
    """A bracket or bar that waits for its partner; ``head`` is the state of the index sum it belongs to."""

    role: str
    text: str
    start: int
    end: int
    head: SumHead | None = None


@dataclass(slots=True)
class SumHead:
    """Which parts of ``sum_{i=1}^{N}`` have been read."""

    start: int
    end: int
    subscript: bool = False
    bound: bool = False


def no_function(_name: str) -> bool:
    """The answer where no function names are known."""
    return False


def _spaced(text: str) -> str:
    """Letters that stand for a product, apart: ``Ax`` is ``A x``; longer words are names."""
    return " ".join(text) if len(text) == 2 and text.isalpha() else text


def is_name(text: str) -> bool:
    """Whether a text is a name, of Latin and Greek letters alone."""
    return _NAME.fullmatch(text) is not None


def canonical_name(text: str) -> str:
    """The one spelling of a name: Greek letters by name, subscripts with an underscore.

    >>> canonical_name("λ"), canonical_name("W_{1}"), canonical_name("x₁")
    ('lambda', 'W_1', 'x_1')

    Raises ParseError where the text is not a name.
    """
    stripped = text.strip()
    check_visible(text)
    if _NAME.fullmatch(stripped):
        return spell(stripped)
    braced = _BRACED_NAME.fullmatch(stripped)
    if braced is not None:
        return spell(f"{braced[1]}_{braced[2]}")
    for position, character in enumerate(text):
        if not character.isascii() and _RAW.match(character) is None:
            raise hints.stray_character(text, position).with_source(text)
    raise ParseError(
        f"`{text}` is not a name." if text.isprintable() else "This is not a name.",
        span=Span(0, len(text)),
        source=text,
        hint="a name is a letter followed by letters, digits and subscripts, as in `x`, `W_1`, `lambda`",
    )


def scan(
    text: str, *, is_function: Callable[[str], bool] = no_function, close_first: bool = False, type_only: bool = False
) -> list[Token]:
    """The tokens of a text, the last one of kind `END`.

    >>> [token.kind for token in scan("2 x^T y")]
    ['NUMBER', 'PRODUCT', 'NAME', 'TRANSPOSE', 'PRODUCT', 'NAME', '$END']

    Parameters: ``is_function`` tells which names are functions, so that ``f (x)`` is a call; ``close_first`` lets a
    bar close whenever it can, whatever the blanks around it say; ``type_only`` reads a type, not a program.
    Raises ParseError, LimitError.
    """
    check_length(text)
    check_visible(text)
    return _Scanner(text, _split(text), is_function, close_first, type_only).scan()


def check_visible(text: str) -> None:
    """Refuse characters that cannot be seen or that change the order of others.

    Raises ParseError with the position of the first one.
    """
    found = _INVISIBLE.search(text, 1 if text.startswith("\ufeff") else 0)
    if found is not None:
        raise hints.invisible_character(text, found.start())


def _split(text: str) -> list[Token]:
    """The first pass: characters to words, blanks and comments left out."""
    pieces: list[Token] = []
    position = 1 if text.startswith("\ufeff") else 0
    match, size = _RAW.match, len(text)
    last = ""
    while position < size:
        if text[position] == " ":
            position += 1
            continue
        found = match(text, position)
        if found is None:
            raise hints.stray_character(text, position)
        kind, end = found.lastgroup or "", found.end()
        if kind == "QUOTE":
            kind, end = _quote(text, position, last)
        if kind != "BLANK":
            pieces.append(Token(kind, text[position:end], position, end))
            last = kind
        position = end
    return pieces


def _quote(text: str, position: int, last: str) -> tuple[str, int]:
    """A ``'`` is a transpose behind a value and opens quoted text elsewhere."""
    if text[position] == "'" and last in _RAW_VALUE_ENDS:
        return "TRANSPOSE", position + 1
    quoted = _SINGLE_QUOTED.match(text, position)
    if quoted is None:
        raise ParseError(
            "The quoted text that begins here is never closed.",
            span=Span(position, position + 1),
            hint=f"add the missing {text[position]}; a transpose `'` stands directly behind its value",
        )
    return "STRING", quoted.end()


def _rowed_brackets(pieces: list[Token]) -> set[int]:
    """Where the brackets begin that have a ``;`` directly inside: blocks, not indices."""
    found: set[int] = set()
    open_brackets: list[Token] = []
    for piece in pieces:
        if piece.kind in ("OPENER", "SUBBRACE"):
            open_brackets.append(piece)
        elif piece.kind == "CLOSER" and open_brackets:
            open_brackets.pop()
        elif piece.kind == "SEMICOLON" and open_brackets and open_brackets[-1].text == "[":
            found.add(open_brackets[-1].start)
    return found


def _next_bars(pieces: list[Token]) -> dict[int, int]:
    """For every piece of bars the next one inside the same brackets."""
    following: dict[int, int] = {}
    waiting: list[int | None] = [None]
    for position, piece in enumerate(pieces):
        if piece.kind in ("OPENER", "SUBBRACE"):
            waiting.append(None)
        elif piece.kind == "CLOSER" and len(waiting) > 1:
            waiting.pop()
        elif piece.kind == "BAR":
            if waiting[-1] is not None:
                following[waiting[-1]] = position
            waiting[-1] = position
    return following


class _Scanner:
    """The state of the second pass."""

    def __init__(
        self, text: str, pieces: list[Token], is_function: Callable[[str], bool], close_first: bool, type_only: bool
    ) -> None:
        self.text = text
        self.pieces = pieces
        self.is_function = is_function
        self.close_first = close_first
        self.out: list[Token] = []
        self.stack: list[Opened] = []
        self.products_of_sizes = False  # `vector(m n)` is one size, `R^{m n}` could be two
        self.after = False  # a value ends directly before
        self.folded = False  # a new line was passed since the last token
        self.in_type = type_only
        self.statement = 0  # where the statement begins in out
        self.statements = 1
        self.declares = False
        self.skip: dict[int, int] = {}  # norm kinds behind a power, read with the bar before it
        self.following_bar = _next_bars(pieces)
        self.rowed = _rowed_brackets(pieces)
        self.handlers: dict[str, Callable[[int], int]] = {
            "NEWLINE": self.newline, "NAME": self.name, "NUMBER": self.number, "TRANSPOSE": self.transpose,
            "POWER": self.power, "SUPER": self.superscript, "DOTNAME": self.dotted, "PRODUCT": self.product,
            "TIMES": self.times, "COMPARE": self.compare, "EQ": self.equals, "SIGN": self.sign, "LT": self.less,
            "GT": self.greater, "BAR": self.bars, "DOUBLE": self.bars, "OPENER": self.opener, "CLOSER": self.closer,
            "POSITIVE": self.positive, "SUBBRACE": self.subscript, "SUBNAME": self.subscript,
            "SUBSIGN": self.lone_subscript, "LOWERED": self.subscript, "SUMSIGN": self.sum_sign, "ROOT": self.root,
            "INFINITY": self.infinity, "REALS": self.reals, "ELEMENT": self.element, "COMMA": self.comma,
            "SEMICOLON": self.semicolon, "COLON": self.colon, "STRING": self.string,
        }  # fmt: skip

    def scan(self) -> list[Token]:
        pieces, handlers, skip = self.pieces, self.handlers, self.skip
        position, size = 0, len(pieces)
        while position < size:
            tick()
            piece = pieces[position]
            if piece.start in skip:
                end = skip[piece.start]
                while position < size and pieces[position].start < end:
                    position += 1
                continue
            position = handlers[piece.kind](position)
        if self.stack:
            top = self.stack[-1]
            raise hints.unclosed(top.text, _CLOSERS[top.text], Span(top.start, top.end))
        if self.out and self.out[-1].kind == "SEPARATOR":
            self.out.pop()
        place = self.out[-1].end if self.out else 0
        self.out.append(Token(END, "", place, place))
        return self.out

    # --- small tools -----------------------------------------------------------------------------

    def emit(self, kind: str, piece: Token, value: str = "") -> None:
        self.out.append(Token(kind, piece.text, piece.start, piece.end, value))
        self.after = kind in _VALUE_ENDS
        self.folded = False

    def peek(self, position: int) -> Token | None:
        """The piece at a place in the list, if there is one."""
        return self.pieces[position] if 0 <= position < len(self.pieces) else None

    def adjacent(self, position: int) -> Token | None:
        """The next piece, if no blank lies between."""
        piece, following = self.pieces[position], self.peek(position + 1)
        return following if following is not None and following.start == piece.end else None

    def blank_before(self, start: int) -> bool:
        return start == 0 or self.text[start - 1].isspace()

    def blank_behind(self, end: int) -> bool:
        return end >= len(self.text) or self.text[end].isspace()

    def touches(self, piece: Token) -> bool:
        """Whether a value ends exactly where the piece begins."""
        return self.after and self.out[-1].end == piece.start

    def push(self, role: str, piece: Token, head: SumHead | None = None) -> None:
        allowed = current().nesting
        if len(self.stack) >= allowed:
            raise exceeded(
                "nesting",
                f"More than {allowed} brackets are open at once",
                Span(piece.start, piece.end),
                "name parts of the formula on lines of their own",
            )
        self.stack.append(Opened(role, piece.text, piece.start, piece.end, head))

    def top(self) -> str:
        return self.stack[-1].role if self.stack else ""

    def juxtapose(self, piece: Token) -> None:
        """Before the start of a value: the product sign that is not written."""
        if not self.after:
            return
        previous = self.out[-1]
        if previous.kind in ("KIND", "PROPERTY", "REALS", "STRING"):
            return
        if self.folded and self.top() == "block":
            raise ParseError(
                "A new line inside `[ ]` could begin a row or go on with a product.",
                span=Span(piece.start, piece.end),
                hint="write `;` between rows, `,` between blocks, `*` for a product",
            )
        if piece.kind == "NUMBER":
            raise hints.number_after_value(previous, piece)
        self.out.append(Token("PRODUCT", "", piece.start, piece.start, "*"))
        self.after = False

    # --- lines -----------------------------------------------------------------------------------

    def newline(self, position: int) -> int:
        if self.stack:
            self.folded = self.folded or self.after
            return position + 1
        if not self.after:
            return position + 1
        piece, following = self.pieces[position], position + 1
        while (then := self.peek(following)) is not None and then.kind == "NEWLINE":
            following += 1
        if then is not None and not self.declares:
            operator = then.kind in ("PRODUCT", "POWER", "COMPARE", "EQ", "TIMES", "GT")
            sign = then.kind == "SIGN" and (then.text == "+" or self.blank_behind(then.end))
            if operator or sign:
                raise hints.line_begins_with(then.text, Span(then.start, then.end))
        self.separate(piece)
        return following

    def separate(self, piece: Token) -> None:
        if not self.out or self.out[-1].kind == "SEPARATOR":
            return
        self.statements += 1
        allowed = current().statements
        if self.statements > allowed:
            raise exceeded(
                "statements",
                f"The program has more than {allowed} statements",
                Span(piece.start, piece.end),
                "split it into several programs",
            )
        self.emit("SEPARATOR", piece)
        self.in_type = False
        self.declares = False
        self.statement = len(self.out)

    def semicolon(self, position: int) -> int:
        piece = self.pieces[position]
        if not self.stack:
            self.separate(piece)
        elif self.top() == "block":
            self.emit("ROW", piece)
        elif self.top() == "call":
            self.emit("COMMA", piece)
        else:
            opened = self.stack[-1]
            raise ParseError(
                f"`;` stands inside the open `{opened.text}`.",
                span=Span(piece.start, piece.end),
                hint=f"close `{opened.text}` before it, or write blocks in `[ ]`",
            )
        return position + 1

    # --- values ----------------------------------------------------------------------------------

    def name(self, position: int) -> int:
        piece = self.pieces[position]
        if self.in_type:
            return self.type_name(position)
        if piece.text == "in" and self.only_names():
            return self.element_word(position)
        letters = self.index_sum_letters(position)
        if letters is not None:
            self.juxtapose(piece)
            self.emit("SUM", piece, "prod" if piece.text[0] in "pΠ" else "sum")
            head = SumHead(piece.start, piece.end)
            if letters:
                self.emit_indices(letters, piece, head)
            return self.sum_part(position + 1, head)
        self.juxtapose(piece)
        self.emit("NAME", piece, spell(piece.text))
        return position + 1

    def index_sum_letters(self, position: int) -> str | None:
        """The indices in ``sum_i``; nothing for ``sum_{...}``; None where the name is an ordinary one."""
        piece, following = self.pieces[position], self.adjacent(position)
        text = piece.text
        if text in ("sum", "prod"):
            heads = ("SUBBRACE", "POWER", "TRANSPOSE", "SUPER")
            return "" if following is not None and following.kind in heads else None
        if text in ("Σ", "Π"):
            inner, then = self.peek(position + 2), self.peek(position + 3)
            braced = following is not None and following.kind == "SUBBRACE"
            ranged = inner is not None and inner.kind == "NAME" and then is not None and then.kind == "EQ"
            return "" if braced and ranged else None
        found = _INDEX_SUM.fullmatch(spell(text)) if text[0] in "sp" else None
        if found is None:
            return None
        then = self.peek(position + 1)
        if then is not None and then.kind in ("EQ", "COLON"):
            raise ParseError(
                f"`{text}` is read as a sum over `{found[2]}`, so it cannot be a name.",
                span=Span(piece.start, piece.end),
                hint=f"write the range as `{found[1]}_{{{found[2]}=1}}^{{N}}`, or choose another name",
            )
        return found[2]

    def number(self, position: int) -> int:
        piece = self.pieces[position]
        self.juxtapose(piece)
        self.emit("NUMBER", piece)
        return self.crossed(position + 1) if self.in_type else position + 1

    def crossed(self, position: int) -> int:
        """The rest of ``28x28`` or ``3xn``, which is one word to the first pass."""
        piece = self.peek(position)
        if piece is None or piece.kind != "NAME" or piece.start != self.out[-1].end:
            return position
        _, *dimensions = piece.text.split("x")
        if piece.text[0] != "x" or not all(_CROSSED_DIMENSION.fullmatch(word) for word in dimensions):
            return position
        start = piece.start
        for word in dimensions:
            self.emit("TIMES", Token("", "x", start, start + 1))
            end = start + 1 + len(word)
            self.emit("NUMBER" if word.isdigit() else "NAME", Token("", word, start + 1, end), spell(word))
            start = end
        return position + 1

    def infinity(self, position: int) -> int:
        piece = self.pieces[position]
        self.juxtapose(piece)
        self.emit("NAME", piece, "inf")
        return position + 1

    def reals(self, position: int) -> int:
        piece = self.pieces[position]
        if not self.in_type:
            raise ParseError(
                "`ℝ` can only stand in a declaration.", span=Span(piece.start, piece.end), hint="write `x ∈ ℝ^n`"
            )
        return self.type_name(position)

    def string(self, position: int) -> int:
        self.emit("STRING", self.pieces[position])
        return position + 1

    def root(self, position: int) -> int:
        piece = self.pieces[position]
        self.juxtapose(piece)
        self.emit("ROOT", piece, "cbrt" if piece.text == "∛" else "sqrt")
        return position + 1

    def sum_sign(self, position: int) -> int:
        piece = self.pieces[position]
        self.juxtapose(piece)
        self.emit("SUM", piece, "prod" if piece.text == "∏" else "sum")
        return self.sum_part(position + 1, SumHead(piece.start, piece.end))

    # --- sums over an index ----------------------------------------------------------------------

    def sum_part(self, position: int, head: SumHead) -> int:
        """Read the next part of ``sum_{i=1}^{N}``, if one follows."""
        piece = self.peek(position)
        kind = "" if piece is None else piece.kind
        if piece is not None and not head.subscript and kind in ("SUBBRACE", "SUBNAME", "LOWERED"):
            if kind == "SUBBRACE":
                head.subscript = True
                self.emit("SUB_OPEN", piece)
                self.push("sum", piece, head)
                return position + 1
            self.emit_indices(spell(piece.text).strip("_"), piece, head)
            return self.sum_part(position + 1, head)
        raised = kind in ("POWER", "TRANSPOSE", "SUPER")
        if piece is not None and not head.bound and raised and piece.text[0] not in "*.′'⊤⊺⁻" and "-" not in piece.text:
            head.bound = True
            return self.sum_bound(position, piece, head)
        if not head.subscript:
            symbol = self.text[head.start : head.end]
            raise ParseError(
                f"The sum `{symbol}` has no index.",
                span=Span(head.start, head.end),
                hint="write `sum_{i=1}^{N} x_i`, or `sum(x)` for the sum of all entries",
            )
        self.after = False
        return position

    def emit_indices(self, letters: str, piece: Token, head: SumHead) -> None:
        head.subscript = True
        invisible = Token("", "", piece.end - len(letters), piece.end - len(letters))
        self.emit("SUB_OPEN", invisible)
        for offset, letter in enumerate(letters):
            place = piece.end - len(letters) + offset
            if offset:
                self.emit("COMMA", Token("", "", place, place))
            self.emit("NAME", Token("", letter, place, place + 1), letter)
        self.emit("CLOSE", Token("", "", piece.end, piece.end))
        self.after = False

    def sum_bound(self, position: int, piece: Token, head: SumHead) -> int:
        if piece.kind == "SUPER":
            self.emit("CARET", Token("", "", piece.start, piece.start), "^")
            plain = "".join(SUPERSCRIPTS[character] for character in piece.text)
            if not plain.isdigit() and len(plain) > 1:
                raise ParseError(
                    f"The upper end `{piece.text}` of the sum is not one name.",
                    span=Span(piece.start, piece.end),
                    hint=f"write it in braces: `^{{{plain}}}`",
                )
            self.emit("NUMBER" if plain.isdigit() else "NAME", Token("", plain, piece.start, piece.end), plain)
            return self.sum_part(position + 1, head)
        if piece.kind == "TRANSPOSE":  # sum_{t=1}^T
            self.emit("CARET", Token("", "^", piece.start, piece.start + 1), "^")
            place = max(piece.text.find("T"), 0) + piece.start
            self.emit("NAME", Token("", "T", place, place + 1), "T")
            return self.sum_part(position + 1, head)
        self.emit("CARET", piece, "^")
        bound = self.peek(position + 1)
        if bound is not None and bound.kind == "OPENER" and bound.text in "({":
            self.emit("OPEN", bound)
            self.push("sum", bound, head)
            return position + 2
        if bound is not None and bound.kind in ("NAME", "NUMBER", "INFINITY"):
            value = "inf" if bound.kind == "INFINITY" else spell(bound.text)
            if len(bound.text.partition("_")[0].rstrip("0123456789")) > 1:
                raise ParseError(
                    f"The upper end `{bound.text}` of the sum may be more than one name.",
                    span=Span(bound.start, bound.end),
                    hint=f"write it in braces, `^{{{bound.text}}}`, or put a blank behind the end",
                )
            self.emit("NUMBER" if bound.kind == "NUMBER" else "NAME", bound, value)
            return self.sum_part(position + 2, head)
        raise ParseError(
            "The upper end of the sum is missing.",
            span=Span(piece.start, piece.end),
            hint="write `sum_{i=1}^{N} x_i`, the end in braces if it is longer than a name",
        )

    # --- operators -------------------------------------------------------------------------------

    def sign(self, position: int) -> int:
        piece = self.pieces[position]
        self.emit("SIGN", piece, "+" if piece.text == "+" else "-")
        return position + 1

    def product(self, position: int) -> int:
        piece = self.pieces[position]
        if piece.text == "\\":
            latex = _LATEX.match(self.text, piece.start)
            if latex is not None and (not self.after or self.blank_before(piece.start)):
                raise hints.latex_in_text(latex[0], Span(piece.start, latex.end()))
        self.emit("PRODUCT", piece, _PRODUCTS.get(piece.text, piece.text))
        return position + 1

    def times(self, position: int) -> int:
        piece = self.pieces[position]
        between_dimensions = self.in_type and self.top() in ("", "shape", "group")
        self.emit("TIMES" if between_dimensions else "PRODUCT", piece, "*")
        return position + 1

    def compare(self, position: int) -> int:
        piece = self.pieces[position]
        self.emit("COMPARE", piece, _COMPARE.get(piece.text, piece.text))
        return position + 1

    def equals(self, position: int) -> int:
        self.emit("EQUALS", self.pieces[position])
        return position + 1

    def power(self, position: int) -> int:
        piece, following = self.pieces[position], self.adjacent(position)
        adjoint = _NO_POWER.match(self.text, piece.start) if piece.text == "^" else None
        if adjoint is not None:
            raise ParseError(
                f"`{adjoint[0]}` is not a power.",
                span=Span(piece.start, adjoint.end()),
                hint="everything is real: the adjoint is `A^T`; the pseudoinverse is `pinv(A)`",
            )
        if following is not None and following.kind == "NAME" and re.match("T[A-Za-z]", following.text):
            raise ParseError(
                f"`^{following.text}` could be a transpose or a power.",
                span=Span(piece.start, following.end),
                hint=f"write `^T {_spaced(following.text[1:])}` for the transpose, `^{{{following.text}}}` for a power",
            )
        self.emit("CARET", piece, ".^" if piece.text == ".^" else "^")
        return position + 1

    def superscript(self, position: int) -> int:
        piece = self.pieces[position]
        if self.out and self.out[-1].kind == "REALS":
            return self.raised_dimensions(position)
        self.emit("SUPERSCRIPT", piece, "".join(SUPERSCRIPTS[character] for character in piece.text))
        return position + 1

    def transpose(self, position: int) -> int:
        piece, following = self.pieces[position], self.adjacent(position)
        if following is not None and following.kind in ("SUBNAME", "SUBBRACE") and piece.text[0] == "^":
            raise ParseError(
                "A subscript stands behind the transpose.",
                span=Span(piece.start, following.end),
                hint="write the subscript first: `x_i^T`, or `(A^T)_{ij}` for an entry of the transpose",
            )
        self.emit("TRANSPOSE", piece, "-" if "-" in piece.text or "⁻" in piece.text else "")
        return position + 1

    def positive(self, position: int) -> int:
        self.emit("POSITIVE_PART", self.pieces[position])
        return position + 1

    def dotted(self, position: int) -> NoReturn:
        piece = self.pieces[position]
        previous = self.out[-1] if self.touches(piece) else None
        prefix = previous.text if previous is not None and previous.kind == "NAME" else ""
        start = piece.start if previous is None else previous.start
        raise hints.method_call(prefix, piece.text, Span(start, piece.end))

    # --- subscripts ------------------------------------------------------------------------------

    def subscript(self, position: int) -> int:
        piece = self.pieces[position]
        if not self.touches(piece):
            return self.lone_subscript(position)
        previous = self.out[-1]
        if "₊" in piece.text or "₋" in piece.text:
            raise ParseError(
                f"The lowered `{piece.text}` is not read.",
                span=Span(piece.start, piece.end),
                hint="write the subscript in braces: `x_{i+1}`",
            )
        if previous.kind == "NUMBER" and piece.text.strip("_").isdigit():
            raise ParseError(
                f"`{previous.text}{piece.text}` is not a number.",
                span=Span(previous.start, piece.end),
                hint="write the digits without `_`, and the index of a name before its power: `x_1^2`",
            )
        if previous.kind in ("NUMBER", "SUPERSCRIPT"):
            raise ParseError(
                f"A subscript stands behind `{previous.text}`.",
                span=Span(previous.start, piece.end),
                hint="a subscript belongs to the name, before a power: `x_i^2`",
            )
        if piece.kind == "SUBBRACE":
            self.emit("SUB_OPEN", piece)
            self.push("sub", piece)
            return position + 1
        if previous.kind == "CLOSE" and previous.text in (">", "⟩") and piece.text == "_F":
            return position + 1
        if previous.kind == "CLOSE" and previous.text == "|" and piece.text in ("_1", "_2", "_F", "_inf"):
            raise ParseError(
                f"Single bars have no kind `{piece.text}`.",
                span=Span(piece.start, piece.end),
                hint=f"a norm has double bars: `||x||{piece.text}`",
            )
        word = spell(piece.text).lstrip("_")
        if word[0].isdigit() and not word.isdigit():
            return self.lone_subscript(position)
        # the word may be longer than what is written: a Greek letter is spelled out
        start = piece.end - len(piece.text.lstrip("_"))
        self.emit("SUB_OPEN", Token("", "", start, start))
        inner = Token("", word, start, piece.end)
        self.emit("NUMBER" if word.isdigit() else "NAME", inner, word)
        self.emit("CLOSE", Token("", "", piece.end, piece.end))
        return position + 1

    def lone_subscript(self, position: int) -> NoReturn:
        piece = self.pieces[position]
        raise ParseError(
            f"The subscript `{piece.text}` belongs to no value.",
            span=Span(piece.start, piece.end),
            hint="a subscript stands directly behind a name, as in `x_i`, `x_{i+1}`; a name begins with a letter",
        )

    # --- brackets --------------------------------------------------------------------------------

    def opener(self, position: int) -> int:
        piece = self.pieces[position]
        previous = self.out[-1] if self.out else None
        touching = self.touches(piece)
        if self.in_type and not self.stack and previous is not None and piece.text in "({":
            of_kind = previous.kind == "KIND"
            of_reals = previous.kind == "CARET" and len(self.out) > 1 and self.out[-2].kind == "REALS"
            if of_kind or of_reals:
                self.emit("SHAPE_OPEN", piece)
                self.push("shape", piece)
                self.products_of_sizes = of_kind
                return position + 1
        named = self.after and previous is not None and previous.kind == "NAME"
        known = named and previous is not None and not self.folded and self.is_function(previous.value)
        if named and ((piece.text == "(" and (touching or known)) or (piece.text == "[" and touching and known)):
            self.emit("CALL_OPEN", piece)
            self.push("call", piece)
            return position + 1
        if piece.text == "[" and touching and previous is not None and not self.begins_block(previous, piece):
            self.emit("INDEX_OPEN", piece)
            self.push("index", piece)
            return position + 1
        self.juxtapose(piece)
        kind, role = _OPENS[piece.text]
        self.emit(kind, piece)
        self.push(role, piece)
        return position + 1

    def begins_block(self, previous: Token, piece: Token) -> bool:
        """Whether ``[`` behind a value begins a block: behind a number or a norm, with rows behind all but a name."""
        if previous.kind == "NUMBER" or (previous.kind == "CLOSE" and previous.text[:1] in ("|", "‖", "∥")):
            return True
        return piece.start in self.rowed and previous.kind != "NAME"

    def closer(self, position: int) -> int:
        piece = self.pieces[position]
        if not self.stack:
            raise hints.unopened(piece.text, Span(piece.start, piece.end))
        opened = self.stack[-1]
        expected = _CLOSERS[opened.text]
        if piece.text != expected:
            where = f"at column {opened.start - (self.text.rfind(chr(10), 0, opened.start) + 1) + 1}"
            raise hints.mismatched(opened.text, expected, Span(piece.start, piece.end), piece.text, where)
        self.stack.pop()
        self.emit("CLOSE", piece)
        if opened.head is not None:
            return self.sum_part(position + 1, opened.head)
        return position + 1

    def less(self, position: int) -> int:
        piece = self.pieces[position]
        spaced = self.blank_before(piece.start) and not self.blank_behind(piece.end)
        if self.after and not (spaced and self.top() != "call" and self.closes_pair(position)):
            return self.compare(position)
        self.juxtapose(piece)
        self.emit("INNER_OPEN", piece)
        self.push("inner", piece)
        return position + 1

    def closes_pair(self, position: int) -> bool:
        """Whether ``<`` is followed by one comma and then by a ``>`` that no blank precedes, in the same brackets."""
        depth = commas = 0
        for piece in self.pieces[position + 1 : position + 1 + _INNER_REACH]:
            if piece.kind in ("OPENER", "SUBBRACE"):
                depth += 1
            elif piece.kind == "CLOSER":
                depth -= 1
            if depth < 0 or (piece.kind in ("SEMICOLON", "LT") and not depth):
                return False
            if piece.kind == "COMMA" and not depth:
                commas += 1
            if piece.kind == "GT" and not depth:
                return commas == 1 and not self.blank_before(piece.start)
        return False

    def greater(self, position: int) -> int:
        piece = self.pieces[position]
        if self.stack and self.stack[-1].text == "<":
            self.stack.pop()
            self.emit("CLOSE", piece)
            return position + 1
        return self.compare(position)

    # --- bars ------------------------------------------------------------------------------------

    def bars(self, position: int) -> int:
        piece = self.pieces[position]
        start, end = piece.start, piece.end
        double = piece.kind == "DOUBLE"
        while start < end:
            opened = self.stack[-1] if self.stack else None
            role = "" if opened is None else opened.role
            opens = self.looks_opening(start, end) and not self.close_first
            room = end - start
            if self.after and not opens and role == "norm" and (double or room >= 2):
                width = 1 if double else 2
                self.stack.pop()
                mark = Token("", self.text[start : start + width], start, start + width)
                self.close_norm(mark, last=start + width == end)
            elif self.after and not opens and role == "bar" and not double:
                width = 1
                self.stack.pop()
                self.emit("CLOSE", Token("", "|", start, start + 1))
            else:
                width = 1 if double else self.opening_width(position, room)
                norm = double or width == 2
                mark = Token("", "||" if norm else "|", start, start + width)
                self.juxtapose(mark)
                self.emit("NORM_OPEN" if norm else "BAR_OPEN", mark)
                self.push("norm" if norm else "bar", mark)
            start += width
        return position + 1

    def looks_opening(self, start: int, end: int) -> bool:
        """A blank before the bars and a value directly behind them."""
        return self.blank_before(start) and _STARTS_VALUE.match(self.text, end) is not None

    def looks_closing(self, position: int) -> bool:
        """A value directly before the bars and no value directly behind them."""
        piece, previous = self.pieces[position], self.peek(position - 1)
        following = self.adjacent(position)
        ends_value = previous is not None and previous.end == piece.start and previous.kind in _RAW_VALUE_ENDS
        return ends_value and (following is None or following.kind not in _RAW_VALUE_STARTS)

    def opening_width(self, position: int, room: int) -> int:
        """How many of the bars that open here make the outermost mark: ``||x| - |y||`` opens two single ones."""
        if room == 1:
            return 1
        following = self.following_bar.get(position)
        if following is None or not self.looks_closing(following):
            return 2
        closing = self.pieces[following].end - self.pieces[following].start
        if room == closing == 3:
            raise ParseError(
                "Three bars are not a norm.",
                span=Span(self.pieces[position].start, self.pieces[position].start + 3),
                hint="set nested bars apart by blanks; the spectral norm is `||X||_2`, the nuclear norm `||X||_*`",
            )
        if room == 2:
            return 1 if closing == 1 else 2
        return 1 if closing == 2 and room % 2 else 2

    def close_norm(self, mark: Token, last: bool) -> None:
        kind, end = "", mark.end
        suffix = _NORM_SUFFIX.match(self.text, mark.end) if last else None
        if suffix is None and last:
            powered = _POWERED_SUFFIX.match(self.text, mark.end)
            if powered is not None:  # ||x||^2_2
                groups = [group for group in powered.groups()[1:] if group is not None]
                self.skip[powered.end(1)] = powered.end()
                kind = self.norm_kind(groups[0], Span(powered.end(1), powered.end()))
        elif suffix is not None:
            groups = [group for group in suffix.groups() if group is not None]
            kind, end = self.norm_kind(groups[0], Span(mark.start, suffix.end())), suffix.end()
            self.skip[suffix.start()] = suffix.end()
        self.emit("CLOSE", Token("", mark.text, mark.start, end), kind)

    def norm_kind(self, text: str, span: Span) -> str:
        plain = spell(text).lstrip("_") if text not in NORM_KINDS else text
        if plain not in NORM_KINDS:
            raise hints.norm_kind(plain, span)
        return NORM_KINDS[plain]

    # --- declarations ----------------------------------------------------------------------------

    def colon(self, position: int) -> int:
        if self.stack or self.in_type:
            self.emit("COLON", self.pieces[position])
            return position + 1
        return self.begin_type(position)

    def element(self, position: int) -> int:
        piece = self.pieces[position]
        if self.stack or not self.after or self.in_type:
            raise ParseError(
                "`∈` can only stand in a declaration.",
                span=Span(piece.start, piece.end),
                hint="declare on a line of its own, `x ∈ R^n`; a sum runs over a range, `sum_{i=1}^{N}`",
            )
        return self.begin_type(position)

    def begin_type(self, position: int) -> int:
        self.emit("COLON", self.pieces[position])
        self.in_type = True
        self.declares = True
        return position + 1

    def only_names(self) -> bool:
        """Whether the statement consists of names up to here."""
        if self.stack or not self.after:
            return False
        return all(token.kind in ("NAME", "COMMA") for token in self.out[self.statement :])

    def element_word(self, position: int) -> int:
        """``in`` behind names is "element of"."""
        piece, following = self.pieces[position], self.peek(position + 1)
        if following is not None and following.text in ("R", "ℝ", *KINDS):
            return self.begin_type(position)
        raise ParseError(
            "`in` declares a name, and a type must follow it.",
            span=Span(piece.start, piece.end),
            hint="write `x in R^n` or `x: vector(n)`",
        )

    def comma(self, position: int) -> int:
        self.emit("COMMA", self.pieces[position])
        if self.in_type and not self.stack:
            self.in_type = False
            self.statement = len(self.out)
        return position + 1

    def type_name(self, position: int) -> int:
        """A name in a declared type: a kind, a property, `R`, the cross between dimensions, or a dimension."""
        piece = self.pieces[position]
        text, previous = piece.text, self.out[-1] if self.out else None
        before = "" if previous is None else previous.kind
        begins = before in ("", "COLON", "PROPERTY")
        following = self.peek(position + 1)
        if not self.stack and begins and text in KINDS:
            self.emit("KIND", piece, text)
            return position + 1
        if not self.stack and text in PROPERTIES:
            self.emit("PROPERTY", piece, text)
            return position + 1
        if not self.stack and begins and text in ("R", "ℝ"):
            ends = following is None or following.kind in ("NEWLINE", "SEMICOLON", "COMMA", "POWER", "SUPER", "NAME")
            if ends or text == "ℝ":
                self.emit("REALS", piece)
                return position + 1
        crosses = following is not None and following.kind in ("NAME", "NUMBER", "OPENER")
        if text == "x" and self.after and before in ("NAME", "NUMBER", "CLOSE") and crosses:
            self.emit("TIMES", piece)
            return position + 1
        is_product = self.products_of_sizes and bool(self.stack)
        if self.after and before in ("KIND", "REALS", "PROPERTY", "NAME", "CLOSE", "SUPERSCRIPT") and not is_product:
            raise self.unknown_property(piece, shape=bool(self.stack))
        self.juxtapose(piece)
        self.emit("NAME", piece, spell(text))
        return position + 1

    def unknown_property(self, piece: Token, shape: bool) -> ParseError:
        span = Span(piece.start, piece.end)
        if shape:
            return ParseError(
                f"The dimensions before and behind `{piece.text}` are not separated.",
                span=span,
                hint="write `m × n` or `m, n` for two dimensions, `m * n` for their product",
            )
        if piece.text in KINDS:
            return ParseError(f"A second type, `{piece.text}`.", span=span, hint="a name has one type")
        near = hints.closest(piece.text, PROPERTIES)
        return ParseError(
            f"`{piece.text}` is not a property.",
            span=span,
            hint=f"did you mean `{near}`?" if near else f"the properties are {', '.join(PROPERTIES)}",
        )

    def raised_dimensions(self, position: int) -> int:
        """``ℝᵐˣⁿ``."""
        piece = self.pieces[position]
        self.emit("CARET", Token("", "", piece.start, piece.start), "^")
        self.emit("SHAPE_OPEN", Token("", "", piece.start, piece.start))
        start = piece.start
        for part in re.finditer("[0-9]+|.", "".join(SUPERSCRIPTS[character] for character in piece.text)):
            place = Token("", part[0], start + part.start(), start + part.end())
            if part[0] == "x":
                self.emit("TIMES", place)
                continue
            kind = "NUMBER" if part[0].isdigit() else "SIGN" if part[0] in "+-" else "NAME"
            if kind != "SIGN":
                self.juxtapose(place)
            self.emit(kind, place, part[0])
        self.emit("CLOSE", Token("", "", piece.end, piece.end))
        return position + 1
