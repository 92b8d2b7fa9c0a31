"""Shorter forms of what logistic losses compute: one exponential serves the loss and its derivative.

With ``e = exp(-|v|)``, which is between 0 and 1, ``log(1 + e)`` needs no reduction of its argument, and
``1 / (1 + exp(v))`` is ``e / (1 + e)`` where v is positive, else ``1 / (1 + e)``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..program import Literal
from .works import Input, Read, Work

ONE = Literal(1.0)


def shortened(works: Sequence[Work], needed: Collection[int]) -> list[Work]:
    """The same works, in the same order, with logistic forms in few steps.

    Parameters
    ----------
    needed: the values that are used elsewhere.
    """
    found = {work.target: work for work in works}
    decays: dict[Input, Read] = {}
    """For v, the value of ``exp(-|v|)``."""
    result: list[Work] = []
    for work in works:
        inner = _source(work, "log1p({0})", found)
        if inner is not None:
            decay = _decayed(inner, found)
            if decay is not None:
                work = work._replace(body="log1p_unit({0})")
        decay = _decayed(work, found)
        if decay is not None:
            decays.setdefault(decay, Read(work.target, tuple(range(len(work.domain)))))
        quotient = _over_one_and_exp(work, found)
        if quotient is not None and quotient in decays:
            numerator = work.inputs[0]
            body = "({0} * choose({1} > real(0.0), {2}, real(1.0)) / (real(1.0) + {2}))"
            work = work._replace(body=body, inputs=(numerator, quotient, decays[quotient]))
        result.append(work)
        found[work.target] = work
    return _used(result, needed)


def _used(works: Sequence[Work], needed: Collection[int]) -> list[Work]:
    """The works whose values are read or needed elsewhere."""
    used = set(needed)
    kept: list[Work] = []
    for work in reversed(works):
        if work.target in used:
            kept.append(work)
            used.update(read.value for read in work.reads)
    return kept[::-1]


def _identity(work: Work, given: Input) -> bool:
    return isinstance(given, Read) and given.labels == tuple(range(len(work.domain)))


def _source(work: Work, body: str, found: dict[int, Work]) -> Work | None:
    """The work whose value is the one operand of a body."""
    if work.body != body or work.kind != "map" or not _identity(work, work.inputs[0]):
        return None
    (given,) = work.inputs
    assert isinstance(given, Read)
    return found.get(given.value)


def _decayed(work: Work, found: dict[int, Work]) -> Input | None:
    """v where a work is ``exp(-|v|)``."""
    negative = _source(work, "exp({0})", found)
    size = None if negative is None else _source(negative, "(-{0})", found)
    return size.inputs[0] if size is not None and size.body == "size({0})" else None


def _over_one_and_exp(work: Work, found: dict[int, Work]) -> Input | None:
    """v where a work is a quotient by ``1 + exp(v)``."""
    if work.kind != "map" or work.body != "({0} / {1})" or not _identity(work, work.inputs[1]):
        return None
    divisor = work.inputs[1]
    assert isinstance(divisor, Read)
    total = found.get(divisor.value)
    if total is None or total.kind != "map" or total.body != "({0} + {1})" or ONE not in total.inputs:
        return None
    other = total.inputs[1] if total.inputs[0] == ONE else total.inputs[0]
    if not _identity(total, other):
        return None
    assert isinstance(other, Read)
    power = found.get(other.value)
    return power.inputs[0] if power is not None and power.kind == "map" and power.body == "exp({0})" else None
