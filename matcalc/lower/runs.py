"""What runs for arrays of given sizes: the text for large arrays, the one for small ones, or that for all sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

from .compact import compact
from .elementary import elementary, is_ufunc
from .overwriting import not_in_place, overwrite_dead
from .panels import USUAL, Item, Machine, shapes_of
from .passes import own_results
from .products import flat_products, quick_products
from .program import Program
from .schedule import Scheduler
from .scheduled import Scheduled
from .specialize import specialize

WORTHWHILE = 2000
"""Entries of all entrywise values together from which on buffers that are kept are quicker than new arrays."""


class Run(NamedTuple):
    """What runs for arrays of given sizes: a program without named sizes, its statements and loops, and its text.

    ``scheduled`` is None where the text for all sizes runs; ``kept`` says whether values are stored in kept buffers
    rather than in new arrays.
    """

    program: Program
    items: Sequence[Item]
    scheduled: Scheduled | None
    kept: bool


def run_of(program: Program, sizes: Mapping[str, int], machine: Machine = USUAL, *, always: bool = False) -> Run:
    """What runs for arrays of given sizes: loops and kept buffers, for small arrays a `compact` text.

    Parameters
    ----------
    program: a finished program.
    sizes: a value for every named size.
    machine: what decides where loops gain.
    always: whether to use loops and buffers for small arrays too.
    """
    bare = simple(program, sizes)
    shapes = shapes_of(bare)
    if any(0 in shape for shape in shapes.values()):
        plain = specialize(program, sizes)
        return Run(plain, plain.statements, None, False)
    entries = sum(prod(shapes[s.target]) for s in bare.statements if is_ufunc(s))
    if entries < WORTHWHILE and not always:
        short = overwrite_dead(flat_products(bare))
        return Run(short, short.statements, compact(short), False)
    special = quick_products(bare)
    scheduler = Scheduler(special, shapes_of(special), machine)
    return Run(special, scheduler.items, scheduler.text(), True)


def schedule(
    program: Program, sizes: Mapping[str, int], machine: Machine = USUAL, *, always: bool = False
) -> Scheduled | None:
    """The text of a program for arrays of given sizes, or None where one of them is empty; see `run_of`."""
    return run_of(program, sizes, machine, always=always).scheduled


def prepared(program: Program, sizes: Mapping[str, int]) -> Program:
    """The program that is scheduled: without named sizes, its entrywise statements single ufuncs."""
    return quick_products(simple(program, sizes))


def simple(program: Program, sizes: Mapping[str, int]) -> Program:
    """The program without named sizes, its entrywise statements single ufuncs."""
    # results that differ in their signs alone, or are copies, have become one value
    return own_results(elementary(not_in_place(specialize(program, sizes))))
