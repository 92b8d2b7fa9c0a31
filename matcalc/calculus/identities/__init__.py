"""The table of identities: what a derivation cites and `matcalc rules` finds, each row proved by test."""

from __future__ import annotations

from collections.abc import Mapping

from .forms import FORMS
from .record import Identity

IDENTITIES: tuple[Identity, ...] = (*FORMS,)
"""All rows, family by family."""

BY_NAME: Mapping[str, Identity] = {identity.name: identity for identity in IDENTITIES}

__all__ = ["BY_NAME", "IDENTITIES", "Identity"]
