"""Texts to try: what people write, sentences of the grammar, and what changes make of them."""

from __future__ import annotations

import random
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

from lark import Lark
from lark.lexer import Lexer

from matcalc.ops.registry import OPERATIONS
from matcalc.syntax.grammar_file import read_grammar

TESTS = Path(__file__).resolve().parents[1]

SPELLINGS: dict[str, tuple[str, ...]] = {
    "NAME": (
        "x",
        "y",
        "A",
        "B",
        "W_1",
        "lambda",
        "λ",
        "Σ",
        "theta",
        "n",
        "i",
        "e",
        "T",
        "I",
        "x_i",
        "A_{ij}",
        "x_train",
    ),
    "NUMBER": ("0", "1", "2", "3", "0.5", ".5", "1e-3", "1e400", "2.", "784", "00", "1_0", "1e", "9" * 30),
    "STRING": ('"ij,jk->ik"', '"i,i->"', '"->"', '""', '"ii->i"', "'ij->ji'", '"ij'),
    "SIGN": ("+", "-", "−"),
    "PRODUCT": ("*", "@", "·", "", " ", ".*", "/", "./", "\\", "⊙", "∘", "⊗", "×", "÷"),
    "COMPARE": ("<", "<=", ">", ">=", "==", "!=", "≤", "≥", "≠"),
    "CARET": ("^", "**", ".^"),
    "SUPERSCRIPT": ("²", "³", "⁻¹", "ⁿ", "¹⁰"),
    "TRANSPOSE": ("'", "^T", ".T", "^\\top", "ᵀ", "^-T", "^{T}", "^⊤"),
    "POSITIVE_PART": ("_+",),
    "ROOT": ("√", "∛"),
    "SUM": ("sum", "prod", "∑", "∏", "Σ"),
    "EQUALS": ("=", ":=", " = "),
    "COMMA": (",", ", "),
    "COLON": (":", " : ", "∈", " in "),
    "ROW": (";", "\n"),
    "SEPARATOR": (";", "\n", "; ", "\r\n", " # comment\n"),
    "OPEN": ("(", "{"),
    "BLOCK_OPEN": ("[",),
    "CALL_OPEN": ("(",),
    "INDEX_OPEN": ("[",),
    "SUB_OPEN": ("_{",),
    "INNER_OPEN": ("<", "⟨"),
    "NORM_OPEN": ("||", "‖"),
    "BAR_OPEN": ("|", "∣"),
    "SHAPE_OPEN": ("(", "{"),
    "KIND": ("scalar", "vector", "matrix", "tensor"),
    "REALS": ("R", "ℝ"),
    "PROPERTY": ("symmetric", "spd", "psd", "skew", "diagonal", "lower", "upper", "orthogonal", "positive", "integer"),
    "TIMES": ("×", " x "),
}
CLOSERS = {"(": ")", "{": "}", "[": "]", "_{": "}", "<": ">", "⟨": "⟩", "||": "||", "‖": "‖", "|": "|", "∣": "∣"}
NORM_ENDS = ("", "", "_2", "_F", "_1", "_inf", "_*", "_2^2", "²", "_{F}^{2}", "_q")
LATEX = r"""
\frac{ } \sum_{i=1}^{n} \left( \right) \mathbf{x} ^\top \| \odot \otimes \operatorname{tr} \log \det \lambda
\hat{y} \begin{pmatrix} \end{pmatrix} \\ & $ \partial \nabla \sqrt{x} \exp \, \mathbb{R} \in _F^2 \bigl| ^{(1)}
\text{s.t.} \sigma \cdot \times \min_W \int \lim \mathrm{diag} \begin{align*} \end{align*} \def \ { }
\newcommand{\R}{\mathbb{R}}
""".split()  # noqa: SIM905
STRANGE = (
    "\x00",
    "\ufeff",
    "\u200b",
    "\u202e",
    "а",
    "０",
    "\ud800",
    "𝐱",
    "́",
    "\t",
    "\x0b",
    "\u2028",
    "☃",
    "'",
    '"',
    "`",
    "%",
    "~",
)
DEEPEST = 40
LARGEST = 400
"""From this depth, and after so many productions, the shortest one is taken."""
RARE = frozenset(
    {
        "ROOT", "SUM", "SIGN", "POSITIVE_PART", "SUPERSCRIPT", "COMPARE", "ROW", "rooted", "summation", "INDEX_OPEN",
        "SUB_OPEN", "TRANSPOSE", "CARET",
    }
)  # fmt: skip
"""What a text has few of: productions with these are taken one time in ten."""


# --- what people write ---------------------------------------------------------------------------


@cache
def written() -> tuple[str, ...]:
    """The texts of the corpus, of the LaTeX corpus and of what once failed.

    >>> len(written()) > 300
    True
    """
    found: list[str] = []
    for path in (*sorted((TESTS / "corpus").glob("*.toml")), TESTS / "latex_corpus.toml", TESTS / "regressions.toml"):
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["case"]:
            found += [entry[key] for key in ("text", "latex", "expected") if isinstance(entry.get(key), str)]
            types = entry.get("vars", entry.get("types", {}))
            found.append(types if isinstance(types, str) else ", ".join(f"{k}: {v}" for k, v in types.items()))
    return tuple(dict.fromkeys(found))


# --- sentences of the grammar --------------------------------------------------------------------


class _NoLexer(Lexer):
    def __init__(self, conf: Any) -> None: ...

    def lex(self, lexer_state: Any, parser_state: Any) -> Any:
        raise NotImplementedError


Productions = dict[str, tuple[tuple[str, ...], ...]]


@cache
def productions() -> tuple[Productions, dict[str, int]]:
    """The productions of the grammar by name, and how deep the shortest tree of each name is."""
    grammar = Lark(read_grammar("matcalc.lark"), parser="lalr", lexer=_NoLexer, start="program")
    found: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for rule in grammar.rules:
        found[rule.origin.name].append(tuple(symbol.name for symbol in rule.expansion))
    rules = {name: tuple(options) for name, options in found.items()}
    depth = dict.fromkeys(rules, 1000)
    for _ in rules:
        for name, options in rules.items():
            depth[name] = 1 + min(max((depth.get(part, 0) for part in option), default=0) for option in options)
    return rules, depth


def sentence(rng: random.Random) -> str:
    """A text that follows the grammar but for what the scanner and the shapes make of it.

    >>> sentence(random.Random(1)) == sentence(random.Random(1))
    True
    """
    rules, depth = productions()
    pending: list[tuple[str, int]] = [("program", 0)]
    count, largest = 0, rng.choice((60, 150, LARGEST))
    closers: list[str] = []
    parts: list[str] = []
    previous = ""
    while pending:
        name, level = pending.pop()
        if name in rules:
            options = rules[name]
            count += 1
            if level > DEEPEST or count > largest:
                least = min(max((depth.get(part, 0) for part in option), default=0) for option in options)
                options = tuple(o for o in options if max((depth.get(part, 0) for part in o), default=0) == least)
            weights = [
                0.1 if RARE.intersection(option) or option == ("NAME", "CALL_OPEN", "CLOSE") else 1
                for option in options
            ]
            pending += [(part, level + 1) for part in reversed(rng.choices(options, weights)[0])]
            continue
        if name == "CLOSE":
            end = closers.pop()
            parts.append(end + (rng.choice(NORM_ENDS) if end in ("||", "‖") else ""))
        elif name == "NAME" and pending and pending[-1][0] == "CALL_OPEN":
            parts.append(rng.choice(tuple(OPERATIONS)))
        else:
            spelling = rng.choice(SPELLINGS[name])
            if name.endswith("_OPEN") or name == "OPEN":
                closers.append(CLOSERS[spelling])
            elif previous in ("NAME", "NUMBER", "KIND", "PROPERTY") and name in ("NAME", "NUMBER", "KIND", "PROPERTY"):
                parts.append(" ")
            parts.append(spelling)
        if rng.random() < 0.15 and not (pending and pending[-1][0] in ("CALL_OPEN", "INDEX_OPEN")):
            parts.append(" ")
        previous = name
    return "".join(parts)


# --- changes -------------------------------------------------------------------------------------


def tokens() -> tuple[str, ...]:
    """Pieces that a change puts in."""
    spellings = [spelling for options in SPELLINGS.values() for spelling in options]
    return (*spellings, *LATEX, *STRANGE, *OPERATIONS, ")", "]", "}", "(", "[", "{", "|", "||")


def changed(rng: random.Random, text: str, others: tuple[str, ...], pieces: tuple[str, ...]) -> str:
    """A text with one to four pieces of it replaced, removed, doubled, moved or taken from another text."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        start = rng.randint(0, len(text))
        end = min(len(text), start + rng.choice((0, 0, 1, 1, 2, 5, 20)))
        other = rng.choice(others)
        cut = rng.randint(0, len(other))
        match rng.randrange(8):
            case 0 | 1 | 2:
                text = text[:start] + rng.choice(pieces) + text[end:]
            case 3:
                text = text[:start] + text[end:]
            case 4:
                text = text[:end] + text[start:end] * rng.choice((1, 2, 9)) + text[end:]
            case 5:
                text = text[:start] + other[cut : cut + rng.choice((3, 10, 40))] + text[end:]
            case 6:
                text = text[:start] + text[start:end][::-1] + text[end:]
            case _:
                text = text[:start] + chr(
                    rng.choice((rng.randrange(128), rng.randrange(0x3000), rng.randrange(0x10FFFF)))
                )
                text += other[cut:]
    return text
