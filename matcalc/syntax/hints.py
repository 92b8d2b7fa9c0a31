"""The sentences of the reader: for every way a text can fail, what is wrong, where, and the next move."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable

from ..errors import ParseError, Span
from .greek import LOOKALIKE_GREEK, NAME_TO_LETTER, VARIANT_TO_NAME
from .table import END, Token

CYRILLIC_LOOKALIKES: dict[str, str] = dict(
    zip("асеорхуіјѕһԁԛԝАВЕЅІЈКМНОРСТХУԌԚԜ", "aceopxyijshdqwABESIJKMHOPCTXYGQW", strict=True)
)

REPLACEMENTS: dict[str, str] = {
    "–": "-", "—": "-", "‐": "-", "‑": "-", "’": "'", "‘": "'", "´": "'", "`": "'", "“": '"', "”": '"', "″": "''",
    "⨯": "*", "⨉": "*", "✕": "*", "〈": "<", "〉": ">", "⟦": "[", "⟧": "]",
    "½": "(1/2)", "¼": "(1/4)", "¾": "(3/4)", "⅓": "(1/3)",
}  # fmt: skip

STRAY: dict[str, str] = {
    "%": "a comment starts with `#`, a remainder is not available",
    "&": "combine masks by a product: `(a < b) .* (b < c)`",
    "~": "compare with `!=`, or write `1 - mask`",
    "!": "compare with `!=`; a factorial is `exp(lgamma(n + 1))`",
    "?": "choose with `where(condition, a, b)`",
    "$": "leave out the dollar signs, or choose the syntax `latex`",
    "∂": "write the function only, and name the variable of the derivative beside it (`--wrt x`)",
    "∇": "write the function only, and name the variable of the derivative beside it (`--wrt x`)",
    "±": "write the two cases one by one",
    "†": "everything is real: write the transpose `A^T`, or `pinv(A)` for the pseudoinverse",
    ".": "a decimal point needs digits on its right, the entrywise operators are `.*` `./` `.^`",
    "_": "write `x_1`, `x_i` or `x_{i+1}`",
    "…": "write the sum out with an index: `sum_{i=1}^{n} x_i`",
    "⊕": "write `+`, or `blockdiag(A, B)` for the direct sum",
    "⇒": "write one formula",
    "→": "write one formula",
    "∀": "leave out the quantifier",
    "≈": "write `=` to define, `==` to compare",
    "∝": "write the constant as a factor",
}

_DERIVATIVE = "write the function only, and name the variable of the derivative beside it (`--wrt x`)"
_SIZE = "a size is a name: `n` of `x: vector(n)`"
_STACK = "write `[x; y]` for one below the other, `[A, B]` side by side"

FOREIGN: dict[str, str] = {
    "matmul": "write the product `A x`, or `A @ x`", "mtimes": "write the product `A x`, or `A @ x`",
    "multiply": "write `x .* y`", "times": "write `x .* y`", "divide": "write `x ./ y`", "power": "write `x .^ k`",
    "len": _SIZE, "length": _SIZE, "size": _SIZE, "numel": _SIZE, "shape": _SIZE, "ndim": _SIZE, "ndims": _SIZE,
    "grad": _DERIVATIVE, "diff": _DERIVATIVE, "derivative": _DERIVATIVE, "jacobian": _DERIVATIVE,
    "hessian": _DERIVATIVE, "D": _DERIVATIVE, "gradient": _DERIVATIVE,
    "reshape": "write `unvec(x, m, n)`, which fills column by column, or `vec(A)`",
    "ravel": "write `vec(A)`, which goes column by column", "flatten": "write `vec(A)`, which goes column by column",
    "concatenate": _STACK, "vstack": _STACK, "hstack": _STACK, "stack": _STACK, "cat": _STACK, "vertcat": _STACK,
    "zeros_like": "write `zeros(n)`", "ones_like": "write `ones(n)`", "identity": "write `I` or `I(n)`",
    "repmat": "write `x ones(n)^T`, the product with a row of ones", "tile": "write `x ones(n)^T`",
    "eig": "write `eigvals(S)`", "eigh": "write `eigvals(S)`", "eigvalsh": "write `eigvals(S)`",
    "svd": "write `svdvals(A)`", "cholesky": "write `chol(S)`", "lstsq": "write `A \\ b`, or `pinv(A) b`",
    "sigma": "write `sigmoid(x)`", "logistic": "write `sigmoid(x)`", "arange": "write a sum over an index: `sum_i`",
    "sumsq": "write `x^T x`", "argmin": "write `argmax(-x)`", "dotproduct": "write `x^T y`",
    "print": "write the formula alone",
    "eval": "nothing is executed here; write a formula", "exec": "nothing is executed here; write a formula",
    "__import__": "nothing is executed here; write a formula", "open": "nothing is read here; write a formula",
}  # fmt: skip
"""What other languages call it, and how it is written here."""

PROGRAMMING: dict[str, str] = {
    **dict.fromkeys(("if", "else", "elif"), "choose with `where(condition, a, b)`"),
    **dict.fromkeys(
        ("and", "or", "not", "is"), "masks are numbers: `(a < 1) .* (b < 2)` for and, `1 - (a < 1)` for not"
    ),
    **dict.fromkeys(("for", "while"), "write a sum over an index: `sum_{i=1}^{n} x_i`"),
    **dict.fromkeys(
        ("return", "def", "function", "end", "class"), "write the formula; `f(x) = ...` defines a function"
    ),
    **dict.fromkeys(("import", "from", "print"), "write the formula alone; its functions are all known"),
    **dict.fromkeys(("None", "True", "False"), "write a number: 0 or 1"),
}
"""Words of programming languages, which are names only where they are declared, and what to write."""


def foreign_function(name: str) -> str | None:
    """How a function of NumPy, MATLAB or a computer algebra system is written here.

    >>> foreign_function("matmul"), foreign_function("softmax")
    ('write the product `A x`, or `A @ x`', None)
    """
    if len(name) == 2 and name[0] == "d":
        return _DERIVATIVE
    return FOREIGN.get(name)


OPERATORS = frozenset({"SIGN", "PRODUCT", "COMPARE", "CARET", "EQUALS", "COLON", "ROOT", "TIMES"})
OPENERS = frozenset(
    {"OPEN", "BLOCK_OPEN", "CALL_OPEN", "INDEX_OPEN", "SUB_OPEN", "INNER_OPEN", "NORM_OPEN", "BAR_OPEN", "SHAPE_OPEN"}
)
DIVIDERS = frozenset({END, "SEPARATOR", "ROW", "COMMA", "CLOSE"})
_RANGE = "write `x[1:3]` with both ends, which belong to it, or `:` for all"
POSTFIX = frozenset({"TRANSPOSE", "SUPERSCRIPT", "POSITIVE_PART"})


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that differs least from ``word``, if it differs little.

    >>> closest("symetric", ["symmetric", "skew"])
    'symmetric'
    """
    best: tuple[int, str] | None = None
    for candidate in sorted(known):
        if abs(len(candidate) - len(word)) > 2:
            continue
        distance = edit_distance(word.lower(), candidate.lower())
        if best is None or distance < best[0]:
            best = (distance, candidate)
    if best is None or best[0] > max(1, len(best[1]) // 3):
        return None
    return best[1]


def edit_distance(first: str, second: str) -> int:
    """How many letters to insert, delete, replace or swap with their neighbour."""
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        below = [i]
        for j, b in enumerate(second, 1):
            cost = min(row[j] + 1, below[j - 1] + 1, row[j - 1] + (a != b))
            if i > 1 and j > 1 and a == second[j - 2] and first[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            below.append(cost)
        before, row = row, below
    return row[-1]


def code_point(character: str) -> str:
    """``U+0430 CYRILLIC SMALL LETTER A``."""
    return f"U+{ord(character):04X} {unicodedata.name(character, 'without a name')}"


def invisible_character(text: str, position: int) -> ParseError:
    """A character nobody can see, or one that changes the order in which text is shown."""
    return ParseError(
        f"There is an invisible character here, {code_point(text[position])}.",
        span=Span(position, position + 1),
        hint="delete it, or type the line again",
    )


def stray_character(text: str, position: int) -> ParseError:
    """A character that no rule of the language uses."""
    character = text[position]
    span = Span(position, position + 1)
    if text.startswith("_\\", position):
        return latex_in_text("\\" + "".join(itertools.takewhile(str.isalpha, text[position + 2 :])), span)
    if character in LOOKALIKE_GREEK:
        latin, name = LOOKALIKE_GREEK[character]
        return ParseError(
            f"The letter here is {code_point(character)}, which looks like the Latin {latin}.",
            span=span,
            hint=f"write the Latin `{latin}`, or `{name}` for the Greek letter",
        )
    plain = CYRILLIC_LOOKALIKES.get(character) or REPLACEMENTS.get(character)
    if plain is None and not character.isascii() and character not in STRAY:
        folded = unicodedata.normalize("NFKC", character)
        plain = folded if folded != character and folded.isprintable() else None
    if plain is not None:
        return ParseError(
            f"The character {code_point(character)} looks like `{plain}` but is another one.",
            span=span,
            hint=f"write `{plain}`",
        )
    if unicodedata.category(character) in ("Mn", "Mc", "Me"):
        return ParseError(
            f"An accent stands here as a character of its own, {code_point(character)}.",
            span=span,
            hint="write the accent as a part of the name: `x_hat`, `x_bar`, `x_tilde`",
        )
    if character in STRAY:
        return ParseError(f"`{character}` means nothing here.", span=span, hint=STRAY[character])
    shown = f"`{character}`, {code_point(character)}," if character.isprintable() else code_point(character)
    if character.isalpha():
        return ParseError(
            f"The letter {shown} is neither Latin nor Greek.", span=span, hint="use Latin or Greek letters in names"
        )
    return ParseError(
        f"The character {shown} is not part of the language.", span=span, hint="remove it, or write it in words"
    )


def latex_in_text(command: str, span: Span) -> ParseError:
    """``\\lambda`` where plain text is read."""
    word = command.lstrip("\\")
    is_letter = word in NAME_TO_LETTER or word in VARIANT_TO_NAME.values()
    return ParseError(
        f"`{command}` is LaTeX, and this is read as plain text.",
        span=span,
        hint=f"write `{word}`" if is_letter else "use the plain notation, such as `1/2 x^T A x`, or the syntax `latex`",
    )


def method_call(prefix: str, attribute: str, span: Span) -> ParseError:
    """``np.exp``, ``x.sum()``."""
    name = attribute.lstrip(".")
    if prefix in ("np", "numpy", "jnp", "torch", "math", "scipy", "sp", "tf", "jax", "linalg", "special", "nn", "F"):
        return ParseError(
            f"Names have no module prefix such as `{prefix}.`.",
            span=span,
            hint=f"write `{name}`" if name != "linalg" else f"leave out `{prefix}.linalg.`",
        )
    if name in ("dot", "matmul", "mm"):
        fix = f"write the product `{prefix} B`, or `{prefix} @ B`"
    elif name in ("shape", "size", "ndim"):
        fix = _SIZE
    elif name in ("reshape", "ravel", "flatten"):
        fix = FOREIGN[name]
    elif name in ("H", "mT", "t"):
        fix = f"write `{prefix}^T`"
    else:
        fix = f"write the function in front: `{name}({prefix or 'x'})`"
    return ParseError(f"`{attribute}` is read as a method, and values have no methods here.", span=span, hint=fix)


def unclosed(opener: str, closer: str, span: Span) -> ParseError:
    """An opening bracket or bar without its partner."""
    if opener in ("|", "||"):
        return ParseError(
            f"The bar `{opener}` opened here is never closed.",
            span=span,
            hint=f"close it with `{closer}`; blanks tell nested bars apart: `| |x| - 1 |`",
        )
    return ParseError(
        f"The bracket `{opener}` opened here is never closed.", span=span, hint=f"add the missing `{closer}`"
    )


def mismatched(opener: str, expected: str, found: Span, closer: str, opened_at: str) -> ParseError:
    """A closing bracket of the wrong kind."""
    bar = opener in ("|", "||")
    hint = f"put `{expected}` before the `{closer}`"
    if bar:
        hint += "; a condition as in `p(y | x)` is an argument, `p(y, x)`"
    return ParseError(
        f"`{closer}` closes here while the {'bar' if bar else 'bracket'} `{opener}` {opened_at} is still open.",
        span=found,
        hint=hint,
    )


def unopened(closer: str, span: Span) -> ParseError:
    """A closing bracket without its partner."""
    partner = {")": "(", "]": "[", "}": "{", "⟩": "⟨"}.get(closer, closer)
    return ParseError(
        f"The bracket `{closer}` closes nothing.", span=span, hint=f"remove it, or add the missing `{partner}` before"
    )


def number_after_value(previous: Token, number: Token) -> ParseError:
    """``1.2.3``, ``2 3``, ``x 2``, ``||x||2``."""
    span = Span(previous.start, number.end)
    adjacent = previous.end == number.start
    if previous.kind == "NUMBER" and adjacent:
        return ParseError(
            f"`{previous.text}{number.text}` is not a number.", span=span, hint="a number has one decimal point"
        )
    if previous.kind == "NUMBER":
        return ParseError(
            f"The numbers `{previous.text}` and `{number.text}` stand side by side.",
            span=span,
            hint="put an operator or a comma between them",
        )
    return ParseError(
        f"The number `{number.text}` follows a value without an operator.",
        span=Span(number.start, number.end),
        hint=f"write `^{number.text}` for a power, `_{number.text}` for a subscript, `* {number.text}` for a product",
    )


def norm_kind(kind: str, span: Span) -> ParseError:
    """``||x||_3``."""
    fixes = {
        "0": "counting entries has no derivative; use `||x||_1` or a smooth function",
        "op": "the largest singular value is `||X||_2` or `spectral(X)`",
        "spec": "the largest singular value is `||X||_2` or `spectral(X)`",
        "tr": "the nuclear norm is `||X||_*`",
        "nuc": "the nuclear norm is `||X||_*`",
        "max": "the largest absolute entry is `||X||_inf`",
        "2,1": "the sum of the row norms is `sum(sqrt(sum(X.^2, axis=1)))`",
    }
    power = kind if kind.isdigit() else "p"
    default = f"write `sum(abs(x).^{power})^(1/{power})` for it"
    if kind[:1].isalpha() and kind not in ("p", "q", "r") and kind not in fixes:
        default = "write a weighted norm as a form: `x^T M x`"
    return ParseError(
        f"There is no norm `||.||_{kind}`; the kinds are `_1`, `_2`, `_inf`, `_F` and `_*`.",
        span=span,
        hint=fixes.get(kind, default),
    )


def line_begins_with(operator: str, span: Span) -> ParseError:
    """A line that goes on from the line above."""
    hint = f"put `{operator}` at the end of the line above, or the whole in brackets"
    if operator == "-":
        hint += "; without a blank behind it, `-x` begins a statement of its own"
    return ParseError(
        f"A line begins with `{operator}`: it could go on from the line above or stand alone.", span=span, hint=hint
    )


def describe(token: Token) -> str:
    """A token as the user sees it."""
    if token.kind == END:
        return "the end"
    if token.kind == "SEPARATOR":
        return "the end of the line" if "\n" in token.text or "\r" in token.text else "`;`"
    return f"`{token.text}`" if token.text else "a value"


def unexpected(token: Token, previous: Token | None, expected: frozenset[str], inside: str) -> ParseError:
    """The error for a token that no rule allows where it stands.

    Parameters: ``previous`` is the token before it, ``expected`` the kinds that could stand there, ``inside``
    the kind of the innermost open bracket: empty outside brackets, `SUM` beside the index of a sum.
    """
    span = Span(token.start, token.end)
    kind, text = token.kind, token.text
    starts = previous is None or previous.kind in DIVIDERS - {"CLOSE"} or previous.kind in OPENERS
    if previous is not None and kind in DIVIDERS:
        found = _ends_too_early(token, previous, expected, inside)
        if found is not None:
            return found
    if kind == "COLON" and inside == "CALL_OPEN":
        hint = "entries are taken in square brackets: `A[:, 1]`, `x[1:3]`"
        return ParseError("`:` cannot stand in round brackets.", span=span, hint=hint)
    if kind in DIVIDERS and starts:
        return ParseError(
            f"A value is missing before {describe(token)}.", span=span, hint="write it, or remove the separator"
        )
    if kind in OPERATORS | POSTFIX and starts and inside != "SUM":
        return ParseError(
            f"Nothing stands on the left of `{text}`.", span=span, hint=f"write a value before `{text}`, or remove it"
        )
    if kind in OPERATORS | POSTFIX and previous is not None and previous.kind in OPERATORS:
        return _operator_after_operator(token, previous)
    if inside == "SUM":
        return ParseError(
            f"{_first_upper(describe(token))} cannot stand beside the index of a sum.",
            span=span,
            hint="an index runs over a range, `sum_{i=1}^{N}` or `sum_{i,j}`; a condition is a factor, `(i != j)`",
        )
    if inside == "INNER_OPEN" and kind == "CLOSE":
        return ParseError(
            "An inner product has two values.",
            span=span,
            hint="write `<x, y>`; a comparison needs a value on both sides",
        )
    if previous is not None and previous.kind == "COLON" and inside in ("INDEX_OPEN", "SUB_OPEN"):
        return ParseError("A range has two ends.", span=span, hint=_RANGE)
    if kind == "PRODUCT" and not text:
        return ParseError("Two values stand side by side.", span=span, hint="put an operator or a comma between them")
    if kind == "EQUALS":
        return _equals(span, expected, inside)
    if kind == "COMPARE":
        return ParseError(
            f"A second comparison, `{text}`, follows the first without brackets.",
            span=span,
            hint="write `(a < b) .* (b < c)`; the inner product `<x, y>` behind a value needs `*` before it",
        )
    if kind == "COMMA":
        where = "blocks are `[a, b]`, arguments `f(a, b)`, a type is `matrix(m, n)`"
        return ParseError(
            "A comma cannot stand here.",
            span=span,
            hint=where if inside else "write one formula per statement, and `*` before an inner product `<x, y>`",
        )
    if kind == "COLON":
        return ParseError(
            "`:` cannot stand here.",
            span=span,
            hint="declare on a line of its own, `x: vector(n)`; a range is `x[1:3]`",
        )
    if kind == "STRING":
        return ParseError(
            "Quoted text can only be an argument of a function.", span=span, hint='as in `einsum("ij,j->i", A, x)`'
        )
    if kind == "CARET":
        return ParseError(
            f"The power `{text}` could belong to the root or to what is under it.",
            span=span,
            hint="write `√(x^2)` or `(√x)^2`",
        )
    if kind == "SUM":
        return ParseError(
            "A sum over an index cannot stand here without brackets.", span=span, hint="write `(sum_{i=1}^{N} x_i)`"
        )
    if kind == "TIMES":
        return ParseError(
            f"`{text}` cannot stand here.",
            span=span,
            hint="dimensions are written `m × n` or `R^{m×n}`, without brackets",
        )
    after = "" if previous is None else f" behind {describe(previous)}"
    hint = "put brackets around what it belongs to" if kind in POSTFIX else _way_on(expected)
    return ParseError(f"{_first_upper(describe(token))} cannot stand here{after}.", span=span, hint=hint)


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _ends_too_early(token: Token, previous: Token, expected: frozenset[str], inside: str) -> ParseError | None:
    """The end of a line or bracket where something is still to come."""
    if previous.kind in OPENERS and token.kind == "CLOSE":
        return ParseError(
            f"There is nothing between `{previous.text or '_'}` and `{token.text}`.",
            span=Span(previous.start, token.end),
            hint="write a value between them, or remove them",
        )
    if previous.kind in OPERATORS:
        name = previous.text or "*"
        hint = f"write what belongs behind `{name}`, or remove it"
        if name == ":" and inside:
            hint = _RANGE
        if name == ">":
            hint = "the inner product `<x, y>` behind a value needs `*` before it"
        return ParseError(
            f"Nothing stands on the right of `{name}`.", span=Span(previous.start, previous.end), hint=hint
        )
    if "SUM" in expected and previous.kind in ("CLOSE", "NAME", "NUMBER"):
        return ParseError(
            "The sum over an index has no body.",
            span=Span(previous.start, max(previous.end, previous.start)),
            hint="write what is summed behind it: `sum_{i=1}^{N} x_i^2`",
        )
    if previous.kind == "PROPERTY" and "KIND" in expected:
        return ParseError(
            f"The property `{previous.text}` stands without a type.",
            span=Span(previous.start, previous.end),
            hint=f"write the type first: `matrix(n, n) {previous.text}`",
        )
    if "COLON" in expected and not inside:
        return ParseError(
            "Several values stand side by side, separated by commas.",
            span=Span(previous.start, previous.end),
            hint="declare `x, y: vector(n)`, write blocks as `[x, y]`, or one formula per line",
        )
    return None


def _equals(span: Span, expected: frozenset[str], inside: str) -> ParseError:
    if inside:
        return ParseError(
            "`=` cannot stand inside brackets here.",
            span=span,
            hint="compare with `==`; assign on a line of its own; only `f(x, axis=0)` names an argument",
        )
    if "TIMES" in expected or "PROPERTY" in expected:
        return ParseError(
            "A declaration has no value.", span=span, hint="declare and assign on two lines: `x: vector(n)`, `x = ...`"
        )
    return ParseError(
        "A second `=` in one statement.", span=span, hint="write one assignment per line, and compare with `==`"
    )


def _operator_after_operator(token: Token, previous: Token) -> ParseError:
    both = f"`{previous.text}` and `{token.text}`"
    if previous.text in ("<", ">", "=", "!") and token.text == "=":
        return ParseError(
            f"{both} stand apart.",
            span=Span(previous.start, token.end),
            hint=f"write `{previous.text}=` without a blank",
        )
    if previous.kind == "EQUALS" and token.kind == "EQUALS":
        return ParseError("Two `=` stand apart.", span=Span(previous.start, token.end), hint="compare with `==`")
    hint = "write the value, or remove one of the two operators"
    if previous.text == token.text == "/":
        hint = "write `floor(x ./ y)` for whole quotients"
    elif previous.text == token.text == ":":
        hint = "a range has two ends and no step: `x[1:3]`"
    elif token.kind == "EQUALS":
        hint = f"write `z = x {previous.text} y`, with a name of its own"
    return ParseError(f"A value is missing between {both}.", span=Span(previous.start, token.end), hint=hint)


def _way_on(expected: frozenset[str]) -> str:
    if "KIND" in expected:
        return "a type is expected: `scalar`, `vector(n)`, `matrix(m, n)`, `tensor(...)` or `R^{m×n}`"
    if "NAME" in expected:
        return "a value is expected here: a name, a number or a bracket"
    return "put an operator between the two"
