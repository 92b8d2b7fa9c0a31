"""The size limits of the reader; each is named in the error it raises."""

from __future__ import annotations

MAX_LENGTH = 250_000
"""Characters of source text."""

MAX_NESTING = 2_000
"""Brackets and bars open at the same time."""

MAX_STATEMENTS = 50_000
"""Statements of one program."""

MAX_EXPONENT = 4_000
"""Decimal exponent of a number, either sign."""

MAX_DIGITS = 200
"""Digits of one number as written."""
