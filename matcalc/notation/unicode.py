"""The Unicode printer: the text style with the signs of print (``λ xᵀ W₁``), valid input again."""

from __future__ import annotations

from ..syntax.ast import Ast
from ..syntax.greek import NAME_TO_LETTER
from .precedence import COMPARISONS, PRODUCTS
from .text import Spelling, print_statements

SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
SIGNS = {".*": "⊙", "./": "⊘", "kron": "⊗", "dot": "·", "<=": "≤", ">=": "≥", "!=": "≠"}


def to_unicode(ast: Ast, *, separator: str = "\n") -> str:
    """Print an expression or a program with mathematical signs, as valid input.

    >>> from matcalc.syntax.parse import parse_expression
    >>> to_unicode(parse_expression("lambda * x^T W_1^-1 x"))
    'λ xᵀ W₁⁻¹ x'

    Parameters
    ----------
    ast: an expression, a statement or a program.
    separator: what stands between the statements of a program, a newline or ``"; "``.

    Raises
    ------
    UsageError: a string that the language has no way to write.
    """
    return print_statements(ast, UNICODE, separator)


def unicode_name(name: str) -> str:
    """A name with its Greek letter and its number as a subscript.

    >>> unicode_name("lambda_12"), unicode_name("theta_train")
    ('λ₁₂', 'θ_train')
    """
    head, underscore, subscript = name.partition("_")
    head = NAME_TO_LETTER.get(head, head)
    if subscript.isascii() and subscript.isdigit():
        return head + subscript.translate(SUBSCRIPTS)
    return head + underscore + subscript


def _exponent(digits: str) -> str:
    return f"^{digits}" if "." in digits else digits.translate(SUPERSCRIPTS)


UNICODE = Spelling(
    operators={op: SIGNS.get(op, op) for op in PRODUCTS | COMPARISONS},
    functions={},
    transpose="ᵀ",
    inverse_transpose="⁻ᵀ",
    norm_bars="‖",
    norm_kinds={"": "", "2": "₂", "1": "₁", "inf": "_∞", "F": "_F", "*": "_*"},
    sums={"sum": "∑", "prod": "∏"},
    name=unicode_name,
    number_exponent=_exponent,
)
