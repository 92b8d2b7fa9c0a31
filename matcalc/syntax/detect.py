r"""Which notation a text is written in: LaTeX, or the plain one."""

from __future__ import annotations

import re

SYNTAXES = ("auto", "text", "latex")
"""What a caller may ask for; ``auto`` is decided by the text."""

_COMMAND = re.compile(r"\\(?:([A-Za-z]{2,})|[\\\[\](){}|,;:!%]|[a-z]\{)")
_SHARED = frozenset({"top", "intercal", "infty", "ast"})
_PLAIN = re.compile(
    r"\.[*/^]|:\s*(?:scalar|vector|matrix|tensor)\b|#|_[A-Za-z]{2,}|\b[A-Za-z]{2,}\(|\*\*|@|(?:∈|(?<!\\)\bin)\s*[Rℝ]"
)

_WORD = re.compile(r"[A-Za-z]\w*")
_DEFINITION = re.compile(r"^[ \t]*([A-Za-z]\w*)[ \t]*(?:\([^()\n]*\)[ \t]*)?=(?!=)[^\n]*$", re.MULTILINE)


def is_latex(text: str) -> bool:
    r"""Whether a text is LaTeX: it has a command or dollar signs.

    ``\top`` and ``\intercal`` belong to both notations; beside a sign that only plain text has (``.*``, ``x_train``,
    ``exp(``), or a name that one line defines and another uses, they do not make LaTeX of it.

    >>> is_latex(r"\frac12 x^T A x"), is_latex("x^T (A \\ b)"), is_latex(r"x_train^\top w")
    (True, False, False)
    """
    if "\\" not in text and "$" not in text:
        return False
    if text.count("$") > 1:
        return True
    found = [match[1] for match in _COMMAND.finditer(text)]
    if not found:
        return False
    return not (set(found) <= _SHARED and (_PLAIN.search(text) or _has_definitions(text)))


def _has_definitions(text: str) -> bool:
    """Whether a line defines a name that a later line uses: a line of LaTeX does not end where the text breaks."""
    last = {word[0]: word.start() for word in _WORD.finditer(text)}
    return any(last[line[1]] > line.end() for line in _DEFINITION.finditer(text))
