"""Candidates turned over: the transpose of what they say."""

from __future__ import annotations

from ..expr.build import permute
from .problem import Candidate


def turned(candidate: Candidate) -> Candidate:
    """The candidate with its matrix transposed."""
    return candidate._replace(node=permute(candidate.node, (1, 0)))
