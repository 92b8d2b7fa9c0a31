"""What is wrong with a claim: candidates are tried from the plainest to the least likely, then two faults at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from .candidates import (
    arrangements,
    chain,
    factors,
    mistakes,
    others,
    plain_terms,
    repairs,
    replaced_terms,
    scaled,
    shapes,
    structures,
    terms,
    whole,
)
from .coefficients import Coefficient
from .expr_shapes import turned
from .faults import PAIRED, fault
from .problem import Candidate, Match, Problem, matches
from .report import Fault

Generator = Callable[[Problem], Iterator[Candidate]]

#: In the order in which they are tried; those of one line are tried together, and the first one that fits is said.
STAGES: tuple[tuple[Generator, ...], ...] = (
    (whole,),
    (arrangements, shapes, structures, others),
    (plain_terms,),
    (scaled,),
    (terms,),
    (chain,),
    (repairs,),
)
#: Tried after the assumptions, because what they say is less likely to be what happened.
LATE: tuple[tuple[Generator, ...], ...] = ((mistakes,), (factors,), (replaced_terms,))
#: What a factor of the whole is tried together with, before the assumptions and after them.
PAIRS: tuple[tuple[Generator, ...], ...] = ((arrangements, shapes, structures),)
LATE_PAIRS: tuple[tuple[Generator, ...], ...] = ((chain,), (others,), (repairs,), (mistakes,), (factors,))

#: What the factor of the whole derivative is called.
OF_WHOLE = {"minus": "sign", "rational": "factor"}
OF_SCALED = {"size": "size", "scalar": "scalar"}


class Diagnosis:
    """The search for the faults of one claim; what a generator found is kept, for it is asked for twice."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._candidates: dict[Generator, list[Candidate]] = {}
        self._matches: dict[Generator, list[Match]] = {}

    def plain(self, stages: Sequence[Sequence[Generator]] = STAGES) -> tuple[Fault, ...]:
        """A single fault that explains the claim; empty when there is none of the kinds of these stages."""
        for stage in stages:
            for match in (match for generator in stage for match in self._matching(generator)):
                said = _single(match)
                if said is not None:
                    return (said,)
        return ()

    def paired(self, stages: Sequence[Sequence[Generator]]) -> tuple[Fault, ...]:
        """Two faults that explain the claim together: one of them is a factor, or a transpose of the whole."""
        generators = [generator for stage in stages for generator in stage]
        for match in (match for generator in generators for match in self._matching(generator)):
            first, second = _single(match._replace(factor=ONE)), _of_factor(match)
            if first is not None and second is not None:
                return (first, second)
        loose = [
            turned(candidate)
            for generator in generators
            for candidate in self._candidates[generator]
            if candidate.kind not in ("transpose", "layout", "axes") and candidate.node.order == 2
        ]
        for match in matches(self._problem, loose):
            first, second = _single(match._replace(factor=ONE)), _of_factor(match)
            if first is not None:
                return (first, fault("transpose"), *((second,) if second is not None else ()))
        return ()

    def _matching(self, generator: Generator) -> list[Match]:
        if generator not in self._matches:
            self._candidates[generator] = list(generator(self._problem))
            self._matches[generator] = matches(self._problem, self._candidates[generator])
        return self._matches[generator]


ONE = Coefficient("one", "1")


def _single(match: Match) -> Fault | None:
    """The fault that a match stands for by itself."""
    candidate, factor = match
    match candidate.kind:
        case "whole" | "scaled":
            kind = (OF_WHOLE if candidate.kind == "whole" else OF_SCALED).get(factor.kind)
            return fault(kind, factor=factor.text) if kind else None
        case "plain term":
            return _of_term(candidate, factor) if factor.kind in ("zero", "minus") else None
        case "term":
            return _of_term(candidate, factor)
    if factor.kind != "one":
        return None
    if candidate.of == "right" and candidate.kind in PAIRED:
        return fault(candidate.kind, candidate.instead, candidate.part)
    return fault(candidate.kind, candidate.part, candidate.instead)


def _of_term(candidate: Candidate, factor: Coefficient) -> Fault | None:
    """A term of the derivative occurs ``factor`` times in the claim, or a term of the claim in the derivative."""
    if factor.kind == "zero":
        return fault("missing term" if candidate.of == "claim" else "extra term", candidate.part)
    if factor.kind == "minus":
        return fault("term sign", candidate.part)
    if factor.kind == "one":
        return None
    if candidate.of == "claim":
        return fault("term factor", candidate.part, factor=factor.text)
    return None


def _of_factor(match: Match) -> Fault | None:
    """The factor of a match as a second fault."""
    kind = (OF_WHOLE | OF_SCALED).get(match.factor.kind)
    if kind is None:
        return None
    text = match.factor.text
    if match.candidate.of == "right":
        text = _inverse(match.factor)
    return fault(kind, factor=text)


def _inverse(factor: Coefficient) -> str:
    """One over a factor."""
    if factor.text == "-1":
        return "-1"
    if factor.text.startswith("1/"):
        return factor.text[2:]
    return f"1/{factor.text}" if factor.text.isalnum() else f"1/({factor.text})"
