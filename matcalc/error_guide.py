"""What every code of an error means, by example, and what to do: the rows behind ``matcalc errors``."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import NamedTuple

from . import errors
from .errors import MatcalcError, require_one_of

Run = Callable[[Sequence[str]], str]


class Cause(NamedTuple):
    """One way to come to an error.

    Parameters
    ----------
    title: what was done.
    command: a command that does it, as one types it.
    remedy: what to do, as sentences.
    """

    title: str
    command: str
    remedy: str


class Guide(NamedTuple):
    """What a class of errors is about.

    Parameters
    ----------
    kind: the class.
    brief: what it is raised for, in a few words.
    meaning: the same in sentences.
    causes: the usual ways to come to it.
    """

    kind: type[MatcalcError]
    brief: str
    meaning: str
    causes: tuple[Cause, ...]


GUIDES: tuple[Guide, ...] = (
    Guide(
        errors.ParseError,
        "text that does not follow the grammar",
        "The text does not follow the grammar, that of plain text or that of LaTeX. Nothing has been computed. The "
        "caret stands under the first character that has no meaning where it is.",
        (
            Cause(
                "A bracket or a bar is open",
                'matcalc diff "||x||^2 + ||A x - y|" --wrt x',
                "The caret stands under the bracket that has no partner. Blanks tell nested bars apart.",
            ),
            Cause(
                "Something is missing beside an operator",
                'matcalc diff "x^T A x +" --wrt x',
                "Write the missing value. A line that goes on ends with the operator, or stands in brackets.",
            ),
            Cause(
                "A character only looks like another one",
                'matcalc diff "x – y" --wrt x',
                "Text from word processors and web pages has dashes, quotes, bold letters and invisible characters of "
                "its own. Type the character that the hint names.",
            ),
            Cause(
                "The notation is that of another language",
                'matcalc diff "np.dot(x, y)" --wrt x',
                "Functions have no prefix and values no methods. `matcalc ops` lists all functions, and the hint says "
                "what the usual ones of NumPy and MATLAB are called here.",
            ),
        ),
    ),
    Guide(
        errors.UsageError,
        "an argument that does not make sense",
        "An argument of the Python interface or of the command line does not make sense, is missing, or contradicts "
        "another one. Most have no place in the text of the expression, and no caret.",
        (
            Cause(
                "A word is not one of those allowed",
                'matcalc diff "x^T x" --wrt x --layout gradent',
                "The hint lists the words, and proposes the nearest.",
            ),
            Cause(
                "No variable is named, and several are likely",
                'matcalc diff "a + b"',
                "Name the variable. It may be left out where there is only one, or one vector among numbers.",
            ),
            Cause(
                "The variable is a size",
                'matcalc diff "x^T x" --wrt n --var "x: vector(n)"',
                "Sizes are whole numbers, and nothing is differentiated by them.",
            ),
            Cause(
                "A function has no such option",
                'matcalc diff "sum(A, dim=0)" --wrt A',
                "`matcalc ops NAME` shows the options of a function.",
            ),
        ),
    ),
    Guide(
        errors.LimitError,
        "an input or a computation beyond a named limit",
        "The input, the work or the time is beyond a limit. It is named in the message, so that text from strangers "
        "cannot occupy a machine. The limits are fields of `matcalc.Limits`.",
        (
            Cause(
                "A number is too large to be written out",
                'matcalc diff "x + 1e9999" --wrt x',
                "Scale the quantities of the formula.",
            ),
            Cause(
                "A tensor has too many axes",
                'matcalc diff "sum(K)" --wrt K --var "K: tensor(2, 2, 2, 2, 2, 2, 2, 2, 2)"',
                "Join axes that always stand together into one.",
            ),
        ),
    ),
    Guide(
        errors.UnknownName,
        "a name or function that is not known",
        "A function, an index or an argument is not known. Names of variables need no declaration, so this is mostly a "
        "slip; the nearest known name is proposed.",
        (
            Cause(
                "A function is misspelled",
                'matcalc diff "sum(sofmax(x))" --wrt x',
                "A name directly in front of a bracket is a function. A product with a bracket has a blank or `*`.",
            ),
            Cause(
                "A function has no brackets",
                'matcalc diff "log x" --wrt x',
                "In plain text the argument of a function stands in brackets; in LaTeX it need not.",
            ),
            Cause(
                "A product is written without blanks",
                'matcalc diff "xTAx" --wrt x',
                "Names may have several letters, so factors are separated by blanks or `*`, and a transpose is `^T`.",
            ),
            Cause(
                "An index is not bound",
                'matcalc diff "sum_{i=1}^{n} x_j" --wrt x --var "x: vector(n)"',
                "Every index is bound by a sum, or stands on the left side of a definition `p_i = …`.",
            ),
        ),
    ),
    Guide(
        errors.ShapeError,
        "shapes that do not fit",
        "Shapes do not fit: in the text, in the user's names of sizes, or in arrays that are passed to a compiled "
        "function. The message shows both shapes and what they are the shapes of. Where types were inferred the hint "
        "lists them; declare those that are meant differently.",
        (
            Cause(
                "The inner sizes of a product differ",
                'matcalc diff "x^T y" --wrt x --var "x: vector(n)" --var "y: vector(m)"',
                "Declare one size for both, or look for the factor that is missing between them.",
            ),
            Cause(
                "A product of two columns",
                'matcalc diff "x y" --wrt x --var "x, y: vector(n)"',
                "It has three readings. Write the one that is meant.",
            ),
            Cause(
                "A division that ends too early",
                'matcalc diff "x^T A x / x^T x" --wrt x',
                "Products and divisions are read from left to right: a divisor of several factors stands in brackets.",
            ),
            Cause(
                "A column where a block matrix needs a row",
                'matcalc diff "[A, x; x, a]" --wrt x --var "A: matrix(n, n)" --var "x: vector(n)" --var "a: scalar"',
                "A vector is a column; its transpose is a row.",
            ),
            Cause(
                "Arrays of different sizes",
                'matcalc eval "x^T y" --set x=1,2 --set y=1,2,3',
                "Every named size is the same number in all arrays of one call.",
            ),
        ),
    ),
    Guide(
        errors.DomainError,
        "a value outside the domain of an operation",
        "A value lies outside the domain of an operation, is not a real number, or lacks a declared property.",
        (
            Cause(
                "A matrix is singular",
                'matcalc eval "inv(A)" --set "A=1,1;1,1"',
                "The conditions of an answer, such as `det(A) != 0`, say what must hold. `pinv` is defined everywhere.",
            ),
            Cause(
                "A declared property does not hold",
                'matcalc eval "x^T S x" --var "S: matrix(n, n) symmetric" --set "S=1,2;3,4" --set x=1,1',
                "The formula uses the property, so it would be wrong for these data. Pass other data, or declare less.",
            ),
            Cause(
                "A divisor is zero for every input", 'matcalc diff "x / 0" --wrt x', "Look for the factor that cancels."
            ),
        ),
    ),
    Guide(
        errors.NotDifferentiable,
        "an operation without a derivative",
        "An operation on the way from the variable to the output has no derivative; it is named and shown. The answer "
        "is never a silent 0: a piecewise constant function has the derivative 0, and a note that says so.",
        (
            Cause(
                "The value is a place",
                'matcalc diff "argmax(x)" --wrt x',
                "Differentiate by a variable that it does not depend on, or use a smooth function such as `softmax`.",
            ),
            Cause(
                "For comparison: a piecewise constant function",
                'matcalc diff "sum(floor(x))" --wrt x',
                "This is no error, but seldom what is wanted.",
            ),
        ),
    ),
    Guide(
        errors.Unsupported,
        "what makes sense but cannot be done",
        "The text has a meaning, but not one that matcalc can compute; the reason is given.",
        (
            Cause(
                "A fractional power of a matrix",
                'matcalc diff "X^0.3" --wrt X --var "X: matrix(n, n)"',
                "Integers and 1/2 are supported. `.^` takes powers entry by entry.",
            ),
            Cause(
                "An array as an index",
                'matcalc diff "x[y > 0]" --wrt x',
                "Multiply by the mask: `x .* (y > 0)`.",
            ),
            Cause(
                "A function that is defined by itself",
                'matcalc diff "f(t) = t f(t - 1); f(a)" --wrt a',
                "Write the recursion out as far as it goes.",
            ),
        ),
    ),
)

BY_CODE = {guide.kind.code: guide for guide in GUIDES}

INTRODUCTION = """\
Every error that matcalc raises on purpose is a `MatcalcError`, which is a `ValueError`. It has a `message` of one
sentence, the `span` in the text, the text as `source`, and a `hint` with the next move; `str(error)` shows them all.

```python
>>> import matcalc as mc
>>> try:
...     mc.derive("log(x) + sine(x)", "x")
... except mc.UnknownName as error:
...     print(error.caret)
...     print(error.to_dict())
  log(x) + sine(x)
           ^^^^
{'code': 'name', 'message': 'there is no function sine', 'offset': 9, 'end': 13, 'line': 1, 'column': 10,
 'caret': '  log(x) + sine(x)\\n           ^^^^', 'hint': 'did you mean sin?'}
```

`offset` and `end` count characters from 0, `line` and `column` from 1. On the command line, `--json` prints the same
under `error`. `matcalc errors CODE` shows a page of this list.
"""


def guide_of(code: str) -> Guide:
    """The row of a code.

    >>> guide_of("shape").kind.__name__
    'ShapeError'

    Raises
    ------
    UsageError: there is no such code.
    """
    require_one_of(code, BY_CODE, "code")
    return BY_CODE[code]


def page(guide: Guide, run: Run) -> str:
    """The page of a code.

    Parameters
    ----------
    run: runs the words behind ``matcalc`` and returns what is printed.
    """
    code = guide.kind.code
    lines = [
        f"# `{code}`: {guide.kind.__name__}",
        "",
        f"<!-- generated by `matcalc errors {code} --markdown`; change the rows in matcalc/error_guide.py instead -->",
        "",
        *wrapped(guide.meaning),
        "",
        f"The command line leaves with status {guide.kind.exit_status}. [All errors](../errors.md)",
    ]
    for cause in guide.causes:
        printed = run(shlex.split(cause.command)[1:]).rstrip("\n")
        lines += ["", f"## {cause.title}", "", "```console", f"$ {cause.command}", printed, "```", ""]
        lines += wrapped(cause.remedy)
    return "\n".join(lines) + "\n"


def index() -> str:
    """The page of all codes."""
    lines = [
        "# Errors",
        "",
        "<!-- generated by `matcalc errors --markdown`; change the rows in matcalc/error_guide.py instead -->",
        "",
        INTRODUCTION,
        "| code | class | raised for | exit status |",
        "| --- | --- | --- | --- |",
    ]
    for guide in GUIDES:
        code, name = guide.kind.code, guide.kind.__name__
        lines.append(f"| [`{code}`](errors/{code}.md) | `{name}` | {guide.brief} | {guide.kind.exit_status} |")
    lines += ["", "The page of a code shows the usual causes, with what is printed, and what to do."]
    return "\n".join(lines) + "\n"


def wrapped(text: str, width: int = 116) -> list[str]:
    """Sentences as lines of a page."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines
