r"""The sentences of the LaTeX reader: what is wrong, and the next move."""

from __future__ import annotations

from ...errors import ParseError, Span, Unsupported
from .. import hints as plain
from ..scan import is_name
from ..table import END, Token
from .tex import LAYOUT_ENVIRONMENTS, unclosed_brace
from .vocabulary import (
    ACCENTS,
    ARGUMENTS,
    BRACKETS,
    COMMAND_FUNCTIONS,
    COMPARISONS,
    IGNORED,
    LETTERS,
    MATRICES,
    PRODUCTS,
    SIZES,
    UNSUPPORTED,
)

__all__ = ["unclosed_brace"]

COMMANDS = frozenset(
    {*ACCENTS, *ARGUMENTS, *LETTERS, *COMMAND_FUNCTIONS, *SIZES, *UNSUPPORTED, "sum", "prod", "nabla", "partial",
     "begin", "end", "in", "top", "intercal", "argmin", "argmax"}
    | {written[1:] for written in (*BRACKETS, *PRODUCTS, *COMPARISONS) if written[0] == "\\"}
    | {word for word in IGNORED if word.isalpha()}
)  # fmt: skip
"""Every command that is known, for the nearest one."""

ENVIRONMENTS = LAYOUT_ENVIRONMENTS | MATRICES | {"cases"}


def unknown_command(name: str, span: Span) -> ParseError:
    """A command that neither LaTeX nor the text defines."""
    alike = [command for command in COMMANDS if command[0] == name[0]]
    near = (plain.closest(name, alike) or plain.closest(name, COMMANDS)) if name.isalpha() else None
    if near is not None:
        hint = f"did you mean `\\{near}`?"
    elif name.isalpha():
        hint = f"define it in the text: `\\newcommand{{\\{name}}}{{…}}`, or write a name as `\\mathrm{{{name}}}`"
    else:
        hint = "leave it out"
    return ParseError(f"The command `\\{name}` is not known.", span=span, hint=hint)


def unknown_environment(name: str, span: Span) -> ParseError:
    """An environment that holds no formulas."""
    near = plain.closest(name.rstrip("*"), ENVIRONMENTS)
    hint = f"did you mean `{near}`?" if near else "formulas stand in `align`, `gather`, `equation`, `cases`, `bmatrix`"
    return ParseError(f"The environment `{name}` is not supported.", span=span, hint=hint)


def end_alone(name: str, span: Span) -> ParseError:
    return ParseError(
        f"`\\end{{{name}}}` closes nothing.", span=span, hint=f"remove it, or add `\\begin{{{name}}}` before"
    )


def crossed_environments(opened: str, closed: str, span: Span) -> ParseError:
    return ParseError(
        f"`\\end{{{closed}}}` closes here while `\\begin{{{opened}}}` is still open.",
        span=span,
        hint=f"put `\\end{{{opened}}}` before it",
    )


def missing_argument(owner: str, span: Span) -> ParseError:
    what = "script" if owner in ("^", "_") else "argument"
    hint = f"write it in braces: `{owner}{{…}}`"
    return ParseError(f"`{owner}` has no {what}.", span=span, hint=hint)


def half_fraction(name: str, span: Span) -> ParseError:
    return ParseError(f"`\\{name}` has a numerator but no denominator.", span=span, hint=f"write `\\{name}{{a}}{{b}}`")


def empty_fraction(name: str, span: Span) -> ParseError:
    return ParseError(
        f"One of the two arguments of `\\{name}` is empty.", span=span, hint=f"write `\\{name}{{a}}{{b}}`"
    )


def unclosed(opener: str, closer: str, span: Span) -> ParseError:
    shown = {"{": r"\{", "<": r"\langle", "||": r"\|", "floor": r"\lfloor", "ceil": r"\lceil"}.get(opener, opener)
    what = "bar" if opener in ("|", "||") else "bracket" if closer else "environment"
    closing = closer or rf"\end{{{opener}}}"
    return ParseError(
        f"The {what} `{shown}` opened here is never closed.", span=span, hint=f"add the missing `{closing}`"
    )


def mismatched(opener: str, expected: str, found: Span, closer: str) -> ParseError:
    hint = f"put `{expected}` before the `{closer}`"
    if opener in ("|", r"\|"):
        hint += r"; a condition as in `p(y \mid x)` is an argument, `p(y, x)`"
    return ParseError(f"`{closer}` closes here while `{opener}` is still open.", span=found, hint=hint)


def no_delimiter(name: str, span: Span) -> ParseError:
    return ParseError(
        f"`\\{name}` is not followed by a bracket.", span=span, hint=f"write `\\{name}(`, `\\{name}[` or `\\{name}|`"
    )


def null_delimiter(name: str, span: Span) -> ParseError:
    return ParseError(
        f"`\\{name}.` leaves out one of the two brackets.",
        span=span,
        hint="close a bracket that spans lines with the same bracket; a value at a point is not part of a formula",
    )


def wrong_side(name: str, bracket: str, span: Span) -> ParseError:
    return ParseError(
        f"`{bracket}` behind `\\{name}` is the other half of the pair.",
        span=span,
        hint=r"`\left(` opens and `\right)` closes",
    )


def right_alone(name: str, span: Span) -> ParseError:
    return ParseError(
        f"`\\{name}` closes a bracket that was not opened.",
        span=span,
        hint=r"add the `\left` before it, or remove `\right` and its bracket",
    )


def double_script(what: str, span: Span) -> ParseError:
    return ParseError(
        f"This is a second {what} on one symbol.", span=span, hint=r"group what is meant: `{x^{a}}^{b}`, `x_{i,j}`"
    )


def crowded_subscript(values: list[str], span: Span) -> ParseError:
    return ParseError(
        f"The subscript `{''.join(values)}` could be two indices or a product.",
        span=span,
        hint=f"write `_{{{','.join(values)}}}` for two indices, `_{{\\mathrm{{{''.join(values)}}}}}` for a label",
    )


def conjugate(span: Span) -> Unsupported:
    return Unsupported(
        "This is a complex conjugate, or a pseudoinverse.",
        span=span,
        hint=r"everything is real: write the transpose `A^\top`, or `A^{+}` for the pseudoinverse",
    )


def wide_accent(name: str, span: Span) -> ParseError:
    return ParseError(
        f"`\\{name}` stands over more than a name.",
        span=span,
        hint=rf"give it a name of its own: `\{name}{{y}} = …`",
    )


def primed(span: Span) -> Unsupported:
    return Unsupported(
        "This is the derivative of a function, by a prime.",
        span=span,
        hint="write the derivative out, or ask for it alone: `\\frac{d}{dx} f(x)`",
    )


def lone_partial(span: Span) -> ParseError:
    return ParseError(
        r"`\partial` stands outside of a derivative.",
        span=span,
        hint=r"write `\frac{\partial f}{\partial x}`",
    )


def inner_derivative(span: Span) -> Unsupported:
    return Unsupported(
        "A derivative stands inside of a formula.",
        span=span,
        hint=r"ask for one derivative, alone or in front of `=`: `\frac{\partial f}{\partial x} = …`",
    )


def inner_objective(name: str, span: Span) -> Unsupported:
    return Unsupported(
        f"`\\{name}` over a variable stands inside of a formula.",
        span=span,
        hint=r"it is read in front of an objective; the largest entry is `\max(x)`",
    )


def over_an_index(name: str, span: Span) -> Unsupported:
    return Unsupported(
        f"`\\{name}` runs over an index.",
        span=span,
        hint=r"the largest entry of x is `\max(x)`, the smallest `\min(x)`",
    )


def inner_element(span: Span) -> ParseError:
    return ParseError(
        r"`\in` can only stand in a declaration or below a sum.",
        span=span,
        hint=r"declare on a line of its own: `x \in \mathbb{R}^n`",
    )


def function_subscript(name: str, base: str, span: Span) -> Unsupported:
    hint = rf"write `\frac{{\log x}}{{\log {base}}}`" if name == "log" else "leave it out, or name an axis"
    return Unsupported(f"`{name}` has the subscript `{base}`.", span=span, hint=hint)


def function_power(name: str, span: Span) -> Unsupported:
    return Unsupported(
        f"The superscript on `{name}` is not a whole number.",
        span=span,
        hint="write the power behind the bracket: `f(x)^{a}`",
    )


def bound_alone(name: str, span: Span) -> ParseError:
    return ParseError(f"`\\{name}` has an upper bound but no index.", span=span, hint=f"write `\\{name}_{{i=1}}^{{n}}`")


def two_faces(name: str, span: Span) -> Unsupported:
    return Unsupported(
        f"`{name}` stands here in two faces, which could be two variables.",
        span=span,
        hint=f"rename one of them, for example `\\mathcal{{{name}}}` to `\\mathrm{{loss}}`",
    )


def prose(words: str, span: Span) -> ParseError:
    return ParseError(f"The words “{words}” stand inside of a formula.", span=span, hint="leave them out")


def no_name(text: str, span: Span) -> ParseError:
    """Letters that no name may have, such as those that look like others."""
    for position, character in enumerate(text):
        if not character.isascii() and not is_name(character):
            alike = plain.stray_character(text, position)
            alike.span = span
            return alike
    return ParseError(
        f"`{text}` is not a name.", span=span, hint="a name is a letter, followed by letters, digits and subscripts"
    )


def stray(text: str, span: Span) -> ParseError:
    known = {
        "!": "a factorial is `\\exp(\\operatorname{lgamma}(n + 1))`",
        "$": "the dollar signs do not pair",
        ".": "a full stop can only stand at the end",
        ";": "separate arguments by commas",
        "&": "it can only stand in an environment such as `align` or `pmatrix`",
        "#": "a parameter can only stand in a macro",
        '"': "leave out the quotation marks",
    }
    if len(text) == 1 and not text.isascii():
        alike = plain.stray_character(text, 0)
        alike.span = span
        return alike
    return ParseError(
        f"`{text}` means nothing here.", span=span, hint=known.get(text, "remove it, or write it in words")
    )


_SPELLED = {"JOIN": "PRODUCT", "HEAD": "NAME", "FUNCTION": "NAME", "SUB_OPEN": "OPEN"}


def unexpected(token: Token, previous: Token | None, expected: frozenset[str], inside: str) -> ParseError:
    """The error for a token that no rule allows where it stands."""
    span = Span(token.start, token.end)
    kind = token.kind
    if previous is not None and previous.kind in ("HEAD", "FUNCTION"):
        return ParseError(
            f"The function `{previous.text}` has no argument.",
            span=Span(previous.start, previous.end),
            hint=f"write `{previous.text}(x)`",
        )
    if kind == "EQUALS" and not inside:
        return ParseError(
            "A second `=` in one statement.",
            span=span,
            hint="keep one of the forms; a derivative may have one `= answer` behind it",
        )
    if kind in ("SIGN", "PRODUCT", "JOIN") and "EQUALS" in expected and "SEPARATOR" in expected and not inside:
        return ParseError(
            "A derivative stands here beside other terms.",
            span=span,
            hint=r"ask for one derivative, and put brackets around what is differentiated: `\nabla_x (f + g)`",
        )
    if kind == "COMMA" and inside == "OPEN":
        return ParseError(
            "A comma cannot stand inside of these brackets.",
            span=span,
            hint=r"a vector is `\begin{pmatrix} a \\ b \end{pmatrix}`; a name in front of `(x, y)` is a function",
        )
    if kind == "SEPARATOR" or kind == END:
        shown = token._replace(text="\\\\" if kind == "SEPARATOR" else "")
        return plain.unexpected(shown, previous, expected, inside)
    return plain.unexpected(token._replace(kind=_SPELLED.get(kind, kind)), previous, expected, inside)
