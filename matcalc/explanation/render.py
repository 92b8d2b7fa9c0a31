"""Derivations as text, with mathematical signs, as LaTeX and as plain data."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any

from ..notation.latex import latex_name, to_latex
from ..notation.text import to_text
from ..notation.unicode import to_unicode, unicode_name
from ..syntax.ast import Ast, Index, Name, Program
from .steps import Line, Rule, Symbol
from .trees import replaced

#: Rules are written in this column, or after two blanks where a formula is longer.
RULE_COLUMN = 44


def text_symbol(symbol: Symbol) -> str:
    """The left side as plain text.

    >>> text_symbol(Symbol("derivative", "f", "x", by_indices=("k",)))
    'df/dx_k'
    """
    return _plain(symbol, "d", str)


def unicode_symbol(symbol: Symbol) -> str:
    """The left side with mathematical signs.

    >>> unicode_symbol(Symbol("derivative", "f", "theta"))
    '∂f/∂θ'
    """
    return _plain(symbol, "∂", unicode_name)


def _plain(symbol: Symbol, sign: str, spell: Any) -> str:
    name = spell(symbol.name) + _subscript(symbol.indices)
    match symbol.kind:
        case "value":
            return str(name)
        case "derivative":
            quotient = f"{sign}{name}/{sign}{spell(symbol.by)}{_subscript(symbol.by_indices)}"
            return f"{spell(symbol.alias)} = {quotient}" if symbol.alias else quotient
        case "differential":
            return f"d{name}"
        case _:
            return f"vec(d{name})"


def _subscript(indices: Sequence[str]) -> str:
    if not indices:
        return ""
    return f"_{indices[0]}" if len(indices) == 1 else "_{" + "".join(indices) + "}"


def latex_symbol(symbol: Symbol) -> str:
    r"""The left side as LaTeX.

    >>> latex_symbol(Symbol("derivative", "f", "x"))
    '\\frac{\\partial f}{\\partial x}'
    """
    name = _latex_entry(symbol.name, symbol.indices)
    match symbol.kind:
        case "value":
            return name
        case "derivative":
            quotient = rf"\frac{{\partial {name}}}{{\partial {_latex_entry(symbol.by, symbol.by_indices)}}}"
            return f"{latex_name(symbol.alias)} = {quotient}" if symbol.alias else quotient
        case "differential":
            return rf"\mathrm{{d}}{name}"
        case _:
            return rf"\operatorname{{vec}}(\mathrm{{d}}{name})"


def _latex_entry(name: str, indices: Sequence[str]) -> str:
    shown = latex_name(name)
    if not indices:
        return shown
    return f"{shown if '_' not in name else f'({shown})'}_{{{''.join(indices)}}}"


def subscripted(line: Line) -> Ast:
    """The right side as it is printed: entries with subscripts, ``A_{ij}`` for ``A[i, j]``."""

    def short(node: Ast) -> Ast | None:
        if not isinstance(node, Index) or not isinstance(node.base, Name) or "_" in node.base.id:
            return None
        letters = [item.id for item in node.items if isinstance(item, Name) and item.id in line.ranges]
        if len(letters) < len(node.items) or len(letters) > 3:
            return None
        if len(letters) == 1:
            return Name(f"{node.base.id}_{letters[0]}")
        return Index(node.base, (Name("".join(letters)),), subscript=True)

    return replaced(line.tree, short) if line.ranges else line.tree


def rule_text(rules: Sequence[Rule], said: Container[Rule] = ()) -> str:
    """The names of the rules, with what they say where that has not been said before."""
    return "; ".join(
        f"{rule.name}: {rule.statement}" if rule.statement and rule not in said else rule.name for rule in rules
    )


def _right(line: Line, formula: Callable[[Ast], str]) -> str:
    """The right side; what an answer names is written behind it."""
    tree = subscripted(line)
    if not isinstance(tree, Program):
        return formula(tree)
    *named, last = tree.statements
    return f"{formula(last)} where {', '.join(formula(statement) for statement in named)}"


def to_lines(lines: Sequence[Line], *, unicode: bool = False, rules: bool = True) -> list[str]:
    """The derivation, one line of text for each line; what justifies it stands behind a ``#``.

    Parameters
    ----------
    lines: the derivation.
    unicode: with Greek letters and mathematical signs.
    rules: whether the rules are written.
    """
    symbol, formula = (unicode_symbol, to_unicode) if unicode else (text_symbol, to_text)
    shown: list[tuple[str, str]] = []
    previous = ""
    said: set[Rule] = set()
    for line in lines:
        words = rule_text(line.rules, said) if rules else ""
        said |= set(line.rules)
        left = symbol(line.left)
        if line.continues and previous:
            left = " " * len(previous)
        else:
            previous = left
        shown.append((f"{left} = {_right(line, formula)}", words))
    column = min(RULE_COLUMN, max((len(text) for text, rule in shown if rule), default=0)) + 2
    return [f"{text:<{column - 2}}  # {rule}" if rule else text for text, rule in shown]


def to_aligned(lines: Sequence[Line], differentials: Sequence[str] = ()) -> str:
    r"""The derivation as a LaTeX ``aligned`` environment.

    Parameters
    ----------
    lines: the derivation.
    differentials: the names of changes, set as ``\mathrm{d}x``.
    """
    rows = []
    for line in lines:
        left = "" if line.continues else latex_symbol(line.left)
        right = _right(line, to_latex).replace(" where ", r" \quad\text{where}\quad ")
        for name in differentials:
            right = right.replace(latex_name(name), rf"\mathrm{{d}}{latex_name(name[1:])}")
        words = "; ".join(rule.name for rule in line.rules)
        rows.append(rf"{left} &= {right}" + (rf" && \text{{{words}}}" if words else ""))
    return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"


def to_data(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The derivation as plain data."""
    return [
        {
            "left": text_symbol(line.left),
            "formula": to_text(subscripted(line), separator="; "),
            "unicode": f"{unicode_symbol(line.left)} = {to_unicode(subscripted(line), separator='; ')}",
            "latex": f"{latex_symbol(line.left)} = {to_latex(subscripted(line))}",
            "name": line.left.alias,
            "continues": line.continues,
            "rules": [rule._asdict() for rule in line.rules],
        }
        for line in lines
    ]
