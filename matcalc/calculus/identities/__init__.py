"""The table of identities: what a derivation cites and `matcalc rules` finds, each row proved by test."""

from __future__ import annotations

from collections.abc import Mapping

from .determinants import DETERMINANTS
from .entrywise import ENTRYWISE
from .forms import FORMS
from .gaussian import GAUSSIAN
from .inverses import INVERSES
from .learning import LEARNING
from .least_squares import LEAST_SQUARES
from .norms import NORMS
from .record import Identity
from .rules import DIFFERENTIALS, EQUALITIES
from .second import SECOND
from .spectral import SPECTRAL
from .structured import STRUCTURED
from .traces import TRACES

IDENTITIES: tuple[Identity, ...] = (
    *FORMS,
    *NORMS,
    *LEAST_SQUARES,
    *TRACES,
    *DETERMINANTS,
    *INVERSES,
    *STRUCTURED,
    *SPECTRAL,
    *ENTRYWISE,
    *LEARNING,
    *GAUSSIAN,
    *SECOND,
    *DIFFERENTIALS,
    *EQUALITIES,
)
"""All rows, family by family."""

BY_NAME: Mapping[str, Identity] = {identity.name: identity for identity in IDENTITIES}

__all__ = ["BY_NAME", "IDENTITIES", "Identity"]
