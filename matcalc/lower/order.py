"""The order in which the factors of a product are contracted: the cheapest of all for few factors, greedy beyond."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

EXHAUSTIVE = 8
"""Up to this many factors every order is compared."""

STEP = 500.0
VIEW = 100.0
MOVE = 0.5
MULTIPLY = 1.0
FUSED = 0.04
SOLVE = 0.05
LOOP = 7.0


class Leaf(NamedTuple):
    """A factor: its labels, whether it is an ``array``, the ``inverse`` of a matrix or the ``lower`` triangle, and
    the label of its last axis where that is known."""

    labels: frozenset[int]
    kind: str = "array"
    last: int | None = None


Path = list[tuple[int, int]]
"""Pairs of operands; the result of step k is operand ``number of factors + k``."""


def contraction_path(leaves: Sequence[Leaf], output: frozenset[int], sizes: Mapping[int, int]) -> Path:
    """The pairs to contract, in order.

    The cost of a step is an estimate of its time: a matrix product costs little for each multiplication and
    something for each number read or written, an entrywise product more for each entry.

    >>> matrix, vector = Leaf(frozenset({0, 1})), Leaf(frozenset({1}))
    >>> contraction_path([Leaf(frozenset({0, 2})), Leaf(frozenset({2, 1})), vector], frozenset({0}), {0: 9, 1: 9, 2: 9})
    [(1, 2), (0, 3)]
    """
    if len(leaves) < 2:
        return []
    if len(leaves) == 2:
        return [(0, 1)]
    if len(leaves) <= EXHAUSTIVE:
        return _exhaustive(leaves, output, sizes)
    return _greedy(leaves, output, sizes)


def volume(labels: frozenset[int], sizes: Mapping[int, int]) -> float:
    """The number of entries."""
    result = 1.0
    for label in labels:
        result *= sizes[label]
    return result


def step_cost(left: Leaf, right: Leaf, result: frozenset[int], sizes: Mapping[int, int]) -> float:
    """The estimated time of contracting two operands, in nanoseconds."""
    both = left.labels | right.labels
    dropped = both - result
    moved = MOVE * (volume(left.labels, sizes) + volume(right.labels, sizes) + volume(result, sizes))
    cost = STEP + moved
    for one, other in ((left, right), (right, left)):
        if one.kind == "inverse":
            n = math.sqrt(volume(one.labels, sizes))
            if len(one.labels & other.labels & dropped) == 1 and not one.labels <= other.labels:
                return cost + 0.02 * n * n * n + SOLVE * volume(both, sizes)
            if one.labels <= other.labels and dropped >= one.labels:
                return cost + 0.02 * n * n * n + SOLVE * n * volume(both, sizes)
            return cost + 0.15 * n * n * n + FUSED * volume(both, sizes)
        if one.kind == "lower":
            # a running sum or a triangle: one pass over the other operand
            return cost + 2.0 * volume(other.labels, sizes)
    shared = left.labels & right.labels
    if not dropped:
        cost += MULTIPLY * volume(both, sizes)
        return cost if shared else cost + LOOP * _inner_loops(left.labels, right.labels, sizes)
    for one, other in ((left, right), (right, left)):
        if len(one.labels) == 1 and len(other.labels) == 2 and other.last is not None and other.last not in dropped:
            # A^T x takes a view more than A x
            cost += VIEW
    if both - shared:
        return cost + FUSED * volume(both, sizes)
    if result:
        return cost + 2.0 * volume(both, sizes)
    return cost


def _inner_loops(left: frozenset[int], right: frozenset[int], sizes: Mapping[int, int]) -> float:
    """How often the inner loop of an outer product starts: it runs over the last axes that are of one operand alone."""
    loops = volume(left | right, sizes)
    last = sorted(left | right, reverse=True)
    inner = left if last and last[0] in left else right
    for label in last:
        if label not in inner:
            break
        loops /= max(sizes[label], 1)
    return loops


def path_cost(
    leaves: Sequence[Leaf], path: Sequence[tuple[int, int]], output: frozenset[int], sizes: Mapping[int, int]
) -> float:
    """The estimated time of contracting along a path, in nanoseconds."""
    operands = dict(enumerate(leaves))
    total = 0.0
    for number, (left, right) in enumerate(path, len(leaves)):
        one, other = operands.pop(left), operands.pop(right)
        needed = output.union(*(leaf.labels for leaf in operands.values()))
        result = (one.labels | other.labels) & needed
        total += step_cost(one, other, result, sizes)
        operands[number] = Leaf(result)
    return total


def _exhaustive(leaves: Sequence[Leaf], output: frozenset[int], sizes: Mapping[int, int]) -> Path:
    """Dynamic programming over the subsets of factors."""
    count = len(leaves)
    everything = (1 << count) - 1
    inside: dict[int, frozenset[int]] = {0: frozenset()}
    for mask in range(1, everything + 1):
        low = (mask & -mask).bit_length() - 1
        inside[mask] = inside[mask & (mask - 1)] | leaves[low].labels
    kept = {mask: inside[mask] & (output | inside[everything ^ mask]) for mask in range(1, everything + 1)}
    best: dict[int, tuple[float, int]] = {1 << k: (0.0, 0) for k in range(count)}
    operands: dict[int, Leaf] = {1 << k: leaf for k, leaf in enumerate(leaves)}
    for mask in range(3, everything + 1):
        if mask & (mask - 1) == 0:
            continue
        operands[mask] = Leaf(kept[mask])
        low_bit = mask & -mask
        found: tuple[float, int] | None = None
        part = (mask - 1) & mask
        while part:
            if part & low_bit:
                other = mask ^ part
                before = best[part][0] + best[other][0]
                if found is None or before < found[0]:
                    cost = before + step_cost(operands[part], operands[other], kept[mask], sizes)
                    # of equal costs the last wins: later factors go together first, as in A (B x)
                    if found is None or cost < found[0] * (1 + 1e-9):
                        found = (cost, part)
            part = (part - 1) & mask
        assert found is not None
        best[mask] = found
    path: Path = []
    numbers: dict[int, int] = {1 << k: k for k in range(count)}
    stack = [everything]
    while stack:
        mask = stack[-1]
        if mask in numbers:
            stack.pop()
            continue
        part = best[mask][1]
        other = mask ^ part
        missing = [piece for piece in (other, part) if piece not in numbers]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        numbers[mask] = count + len(path)
        pair = sorted((numbers[part], numbers[other]))
        path.append((pair[0], pair[1]))
    return path


def _greedy(leaves: Sequence[Leaf], output: frozenset[int], sizes: Mapping[int, int]) -> Path:
    """Always the cheapest pair that shares a label; what is left shares none and is multiplied, smallest first."""
    operands: dict[int, Leaf] = dict(enumerate(leaves))
    owners: dict[int, set[int]] = {}
    path: Path = []
    costs: dict[tuple[int, int], float] = {}
    # factors on the same labels are multiplied entry by entry in any case
    alike: dict[frozenset[int], int] = {}
    for number, leaf in enumerate(leaves):
        first = alike.get(leaf.labels)
        if leaf.kind != "array":
            continue
        if first is None:
            alike[leaf.labels] = number
            continue
        merged = len(leaves) + len(path)
        path.append((first, number))
        del operands[first], operands[number]
        operands[merged] = leaf
        alike[leaf.labels] = merged
    for number, leaf in operands.items():
        for label in leaf.labels:
            owners.setdefault(label, set()).add(number)

    def result_of(left: int, right: int) -> frozenset[int]:
        both = operands[left].labels | operands[right].labels
        return frozenset(label for label in both if label in output or owners[label] - {left, right})

    def cost_of(left: int, right: int) -> float:
        one, other = operands[left], operands[right]
        result = result_of(left, right)
        growth = volume(result, sizes) - volume(one.labels, sizes) - volume(other.labels, sizes)
        return step_cost(one, other, result, sizes) + MOVE * max(growth, 0.0)

    def add_pairs(number: int) -> None:
        near = {other for label in operands[number].labels for other in owners[label]} - {number}
        for other in near:
            pair = (min(number, other), max(number, other))
            costs[pair] = cost_of(*pair)

    for number in operands:
        add_pairs(number)
    while len(operands) > 1:
        if costs:
            left, right = min(costs, key=lambda pair: (costs[pair], pair))
        elif 2 < len(operands) <= EXHAUSTIVE:
            apart = list(operands)
            numbers = [*apart, *range(len(leaves) + len(path), len(leaves) + len(path) + len(apart))]
            rest = _exhaustive([operands[number] for number in apart], output, sizes)
            return path + [(numbers[left], numbers[right]) for left, right in rest]
        else:
            smallest = sorted(operands, key=lambda number: (volume(operands[number].labels, sizes), number))
            left, right = sorted(smallest[:2])
        result = result_of(left, right)
        number = len(leaves) + len(path)
        path.append((left, right))
        for old in (left, right):
            for label in operands[old].labels:
                owners[label].discard(old)
            near = {other for label in operands[old].labels for other in owners[label]} | {left, right}
            for other in near:
                costs.pop((min(old, other), max(old, other)), None)
            del operands[old]
        operands[number] = Leaf(result)
        for label in result:
            owners[label].add(number)
        add_pairs(number)
    return path
