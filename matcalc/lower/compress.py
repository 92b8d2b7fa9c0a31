"""A derivative of several axes as a sum of small networks of arrays, without forming the tensor.

The derivative of an output with axes ``i…`` by a variable with axes ``k…`` is a matrix whose rows are the output's axes
and whose columns are the variable's. In index normal form each term of it is a network: a delta ties an axis of the
output to one of the variable (a diagonal, or blocks along it), factors that no summed label joins are a Kronecker
product, and a summed label between rows and columns is a bound of the rank. What is kept of a term are the arrays of
its components; where the arrays of a component are smaller apart than contracted, the labels between them stay open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from ..expr.build import add, as_number, delta, exact, product
from ..expr.dims import Dim, Shape
from ..expr.nodes import Exact, Factor, Node
from ..forms.terms import Block, Term, blocks_of, is_structure, terms_of

MOST_KEPT_APART = 16
"""A derivative of more terms is one array."""

MOST_OPEN = 6
"""Of more summed labels in one component, none stays open."""

DENSE: tuple[int, ...] = (-1,)
"""The choice to keep the whole derivative as one array."""


KINDS = ("block", "blocks", "Kronecker", "dense", "factored", "diagonal", "permuted", "repeated", "multiple", "rank")
"""The first words of what is said of a term, in the order in which terms are listed."""


class Pattern(NamedTuple):
    """Which labels a term has: those of its rows and columns, one for each axis, and those of each of its arrays.

    A label that is in the rows and in the columns ties these axes; one that is in neither is summed.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    parts: tuple[tuple[int, ...], ...]

    @property
    def tied(self) -> frozenset[int]:
        """The labels of axes that are tied."""
        return frozenset(self.rows) & frozenset(self.columns)


class Summand(NamedTuple):
    """One term: a number, scalars, and for each component the ways to keep it, contracted first."""

    term: Term
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    components: tuple[tuple[tuple[Block, ...], ...], ...]


class Compressed(NamedTuple):
    """A derivative as its terms.

    ``lead`` is the number of the output's axes; ``rows`` and ``columns`` are the sizes of the axes that the terms have,
    which are those of the output and of the variable, except that an axis which stacks two by ``vec`` is these two.
    """

    node: Node
    lead: int
    summands: tuple[Summand, ...]
    rows: Shape
    columns: Shape


class Kept(NamedTuple):
    """A term of an arrangement: a number times arrays, each by its place and with its labels."""

    number: Exact
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    parts: tuple[tuple[int, tuple[int, ...]], ...]


class Arrangement(NamedTuple):
    """What is computed: nodes, each once, the terms that are made of them, and the sizes of their axes."""

    nodes: tuple[Node, ...]
    terms: tuple[Kept, ...]
    rows: Shape
    columns: Shape


def compress(node: Node, lead: int) -> Compressed:
    """The terms of a derivative.

    Parameters
    ----------
    node: the derivative, of shape output + variable.
    lead: the number of axes of the output.
    """
    terms = terms_of(node)
    if len(terms) > MOST_KEPT_APART:
        whole = Factor(node, 1, tuple(range(node.order)))
        terms = [Term(1, (whole,), dict(enumerate(node.shape)))]
    stacks = [_stack(terms, axis) for axis in range(node.order)]
    if node.shape[:lead] == node.shape[lead:] and stacks[:lead] != stacks[lead:]:
        # rows and columns of a square matrix have the same axes
        stacks = [None] * node.order
    sizes = [(dim,) if stack is None else stack for dim, stack in zip(node.shape, stacks, strict=True)]
    split = [axis for axis, stack in enumerate(stacks) if stack is not None]
    return Compressed(
        node,
        lead,
        tuple([_summand(*_unstacked(term, node.order, split), lead) for term in terms]),
        tuple([dim for parts in sizes[:lead] for dim in parts]),
        tuple([dim for parts in sizes[lead:] for dim in parts]),
    )


def _stacking(term: Term, axis: int) -> Factor | None:
    """The vec tensor by which an axis stacks two labels, where nothing else has the axis."""
    having = [factor for factor in term.factors if axis in factor.labels]
    if len(having) != 1 or not is_structure(having[0], "pair") or len(set(having[0].labels)) < 3:
        return None
    return having[0] if having[0].labels[0] == axis else None


def _stack(terms: Sequence[Term], axis: int) -> tuple[Dim, Dim] | None:
    """The sizes of the two axes, the slow one first, that an axis stacks in every term."""
    found: set[tuple[Dim, Dim]] = set()
    for term in terms:
        factor = _stacking(term, axis)
        if factor is None:
            return None
        found.add((term.sizes[factor.labels[2]], term.sizes[factor.labels[1]]))
    return found.pop() if len(found) == 1 else None


def _unstacked(term: Term, order: int, split: Sequence[int]) -> tuple[Term, list[tuple[int, ...]]]:
    """The term without the vec tensors of some axes, and for each axis its labels."""
    sizes = dict(term.sizes)
    factors = list(term.factors)
    axes: list[tuple[int, ...]] = [(axis,) for axis in range(order)]
    taken = set(range(order))
    for axis in split:
        factor = _stacking(term, axis)
        assert factor is not None
        factors.remove(factor)
        _, fast, slow = factor.labels
        halves = []
        for label in (slow, fast):
            if label in taken:
                # the half is an axis already: the two are equal
                fresh = 1 + max(sizes)
                sizes[fresh] = sizes[label]
                factors.append(Factor(delta(sizes[label]), 1, (label, fresh)))
                label = fresh
            taken.add(label)
            halves.append(label)
        axes[axis] = tuple(halves)
    return Term(term.coefficient, tuple(factors), sizes), axes


def _summand(term: Term, labels: Sequence[tuple[int, ...]], lead: int) -> Summand:
    """A term with one label for axes that are tied, and the ways to keep each component.

    Parameters
    ----------
    labels: those of each axis of the derivative.
    lead: the number of axes of the output.
    """
    axes = [label for parts in labels for label in parts]
    equal = {axis: axis for axis in axes}
    rest: list[Factor] = []
    for factor in term.factors:
        if not Block((factor,), tuple(sorted(set(factor.labels)))).is_delta or not set(factor.labels) <= set(axes):
            rest.append(factor)
            continue
        first, second = sorted(equal[axis] for axis in factor.labels)
        equal = {axis: first if label == second else label for axis, label in equal.items()}
    factors = [
        Factor(node, exponent, tuple([equal.get(label, label) for label in labels])) for node, exponent, labels in rest
    ]
    kept = sorted(set(equal.values()))
    rows = tuple([equal[label] for parts in labels[:lead] for label in parts])
    columns = tuple([equal[label] for parts in labels[lead:] for label in parts])
    components = tuple([_ways(block, kept) for block in blocks_of(factors, kept)])
    return Summand(Term(term.coefficient, tuple(factors), term.sizes), rows, columns, components)


def _ways(block: Block, axes: Sequence[int]) -> tuple[tuple[Block, ...], ...]:
    """The ways to keep a component: contracted, or apart at one or two of its summed labels."""
    summed = sorted({label for factor in block.factors for label in factor.labels} - set(axes))
    ways: list[tuple[Block, ...]] = [(block,)]
    if len(block.axes) < 2 or len(summed) > MOST_OPEN:
        return tuple(ways)
    for count in (1, 2):
        for opened in combinations(summed, count):
            apart = tuple(blocks_of(block.factors, {*axes, *opened}))
            if len(apart) > 1:
                ways.append(apart)
    return tuple(ways)


# --- choosing ------------------------------------------------------------------------------------


def choose(compressed: Compressed, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The way to keep each component that takes the fewest numbers, `DENSE` where one array takes fewer than all.

    Parameters
    ----------
    sizes: the values of the named sizes; components with a size that is not known are contracted.
    """
    total = 0
    chosen: list[int] = []
    if any(name not in sizes for dim in (*compressed.rows, *compressed.columns) for name in dim.names):
        return DENSE
    for summand in compressed.summands:
        counts = _Counts(summand.term.sizes, sizes)
        for ways in summand.components:
            known = [(count, place) for place, way in enumerate(ways) if (count := counts.of(way)) is not None]
            fewest, best = min(known) if len(known) == len(ways) else (0, 0)
            chosen.append(best)
            total += fewest
    whole = _Counts(dict(enumerate(compressed.node.shape)), sizes).entries(range(compressed.node.order))
    return DENSE if whole is not None and total > whole else tuple(chosen)


class _Counts(NamedTuple):
    """Counts numbers for known sizes."""

    dims: Mapping[int, Dim]
    sizes: Mapping[str, int]

    def entries(self, labels: Iterable[int]) -> int | None:
        """The entries of an array; None where a size is not known."""
        total = 1
        for label in labels:
            dim = self.dims[label]
            if any(name not in self.sizes for name in dim.names):
                return None
            total *= dim.evaluate(self.sizes)
        return total

    def of(self, way: Sequence[Block]) -> int | None:
        """The numbers of a way to keep a component, equal arrays counted once; None where a size is not known."""
        total = 0
        for block in {_identity(block): block for block in way}.values():
            count = self.entries(block.axes)
            if count is None:
                return None
            total += count
        return total


def _identity(block: Block) -> object:
    """What makes the array of a block with one factor; other blocks are counted each."""
    if len(block.factors) > 1:
        return block
    node, exponent, labels = block.factors[0]
    return node.digest, exponent, len(set(labels)) == len(labels) or labels


def arrange(compressed: Compressed, choice: tuple[int, ...]) -> Arrangement:
    """The nodes to compute, and the terms over them.

    Parameters
    ----------
    choice: for every component of every term the way to keep it, or `DENSE`.
    """
    gathered = _Gathered()
    if choice == DENSE:
        axes = tuple(range(compressed.node.order))
        place = gathered.place(compressed.node)
        lead = compressed.lead
        kept = Kept(1, axes[:lead], axes[lead:], ((place, axes),))
        shape = compressed.node.shape
        return Arrangement(gathered.result(), (kept,), shape[:lead], shape[lead:])
    remaining = iter(choice)
    terms: list[Kept] = []
    whole: dict[tuple[tuple[int, ...], tuple[int, ...]], list[tuple[Summand, tuple[int, ...]]]] = {}
    for summand in compressed.summands:
        blocks = [block for ways in summand.components for block in ways[next(remaining)]]
        if len(blocks) < 2:
            carried = blocks[0].axes if blocks else ()
            whole.setdefault((summand.rows, summand.columns), []).append((summand, carried))
            continue
        parts = [gathered.part(summand.term, block) for block in blocks]
        if summand.term.scalars:
            parts.append((gathered.place(product(summand.term.scalars, ())), ()))
        terms.append(Kept(summand.term.coefficient, summand.rows, summand.columns, tuple(parts)))
    for (rows, columns), members in whole.items():
        terms += [gathered.merged(rows, columns, group) for group in _nested(members)]
    return Arrangement(gathered.result(), tuple(terms), compressed.rows, compressed.columns)


Member = tuple[Summand, tuple[int, ...]]


def _nested(members: Sequence[Member]) -> list[list[Member]]:
    """Terms of one array each, those together whose labels are among the labels of the first of them."""
    groups: list[list[Member]] = []
    for member in sorted(members, key=lambda member: -len(member[1])):
        home = next((group for group in groups if set(member[1]) <= set(group[0][1])), None)
        if home is None:
            groups.append([member])
        else:
            home.append(member)
    return groups


class _Gathered:
    """Collects nodes, each once."""

    def __init__(self) -> None:
        self.places: dict[Node, int] = {}

    def place(self, node: Node) -> int:
        return self.places.setdefault(node, len(self.places))

    def result(self) -> tuple[Node, ...]:
        return tuple(self.places)

    def part(self, term: Term, block: Block) -> tuple[int, tuple[int, ...]]:
        """The array of a block; a factor alone keeps the order of its own axes, so that equal ones are one array."""
        node, exponent, labels = block.factors[0]
        if len(block.factors) == 1 and set(labels) == set(block.axes) and len(labels) == len(block.axes):
            return self.place(product([Factor(node, exponent, labels)], labels)), labels
        return self.place(term.array(block.factors, block.axes)), block.axes

    def merged(self, rows: tuple[int, ...], columns: tuple[int, ...], members: Sequence[Member]) -> Kept:
        """Terms of one array each as one term of one array."""
        carried = members[0][1]
        sizes = members[0][0].term.sizes
        if len(members) == 1 and carried:
            term = members[0][0].term
            factors = [factor for factor in term.factors if factor.labels]
            parts = [self.part(term, Block(tuple(factors), carried))]
            if term.scalars:
                parts.append((self.place(product(term.scalars, ())), ()))
            return Kept(term.coefficient, rows, columns, tuple(parts))
        shape = tuple([sizes[label] for label in carried])
        total = add(
            [(summand.term.coefficient, summand.term.array(summand.term.factors, carried)) for summand, _ in members],
            shape,
        )
        number = as_number(total)
        if number is not None:
            return Kept(exact(number), rows, columns, ())
        return Kept(1, rows, columns, ((self.place(total), carried),))


# --- what is shown -------------------------------------------------------------------------------


def structure_text(compressed: Compressed) -> str:
    """The structure of a derivative in the names of its sizes, such as ``block diagonal: n blocks of k × k``."""
    patterns: list[tuple[Pattern, Callable[[Sequence[int]], str]]] = []
    for summand in compressed.summands:
        way: list[Block] = []
        for ways in summand.components:
            way += next((apart for apart in ways[1:] if _separates(apart, summand)), ways[0])
        pattern = Pattern(summand.rows, summand.columns, tuple([block.axes for block in way]))
        patterns.append((pattern, _sizes_text(summand.term.sizes)))
    return described(patterns)


def _separates(way: Sequence[Block], summand: Summand) -> bool:
    """Whether no array of a component reaches both rows and columns, by which the rank has a bound of its own."""
    rows = set(summand.rows) - set(summand.columns)
    columns = set(summand.columns) - set(summand.rows)
    if any(rows & set(block.axes) and columns & set(block.axes) for block in way):
        return False
    text = _sizes_text(summand.term.sizes)
    reached = {label for block in way for label in block.axes}
    opened = text(sorted(reached - {*summand.rows, *summand.columns}))
    # a bound that is one of the sizes says nothing
    return opened not in (text(sorted(reached & rows)), text(sorted(reached & columns)))


def _sizes_text(dims: Mapping[int, Dim]) -> Callable[[Sequence[int]], str]:
    def text(labels: Sequence[int]) -> str:
        total = Dim.of(1)
        for label in labels:
            total = total * dims[label]
        written = str(total)
        return f"({written})" if " + " in written or " - " in written else written

    return text


def described(patterns: Sequence[tuple[Pattern, Callable[[Sequence[int]], str]]]) -> str:
    """The structure of a sum of terms in words.

    Parameters
    ----------
    patterns: the labels of each term, and how the number of entries along some of its labels is written.
    """
    texts = dict.fromkeys(_described(pattern, text) for pattern, text in patterns)
    return " + ".join(sorted(texts, key=lambda text: (KINDS.index(text.partition(" ")[0].rstrip(":")), text))) or "zero"


def _described(pattern: Pattern, text: Callable[[Sequence[int]], str]) -> str:
    rows, columns, parts = pattern
    tied = sorted(pattern.tied)
    carried = {label for part in parts for label in part}
    single = all(side.count(label) == 1 for side in (rows, columns) for label in tied)
    straight = single and all(rows.index(label) == columns.index(label) for label in tied)
    if set(rows) == set(columns):
        if straight:
            return f"diagonal: {text(tied)} entries" if carried & set(tied) else "multiple of the identity"
        return f"{'permuted' if single else 'repeated'} diagonal: {text(tied)} entries"
    groups = groups_of(pattern)
    inner = " ⊗ ".join([f"({_size_text(group, text)})" for group in groups])
    if len(groups) == 1:
        inner = _size_text(groups[0], text)
        bound = open_labels(groups[0], pattern)
        if bound is not None and text(bound) not in (text(groups[0].rows), text(groups[0].columns)):
            inner = f"rank {'at most ' if bound else ''}{text(bound)}: {inner}" if not tied else inner
        elif not tied:
            everything = {*groups[0].rows, *groups[0].columns}
            inner = f"{'dense' if any(everything <= set(part) for part in parts) else 'factored'}: {inner}"
    if not tied:
        return inner if len(groups) == 1 else f"Kronecker product: {inner}"
    kind = "block diagonal" if straight else "blocks along tied axes"
    return f"{kind}: {text(tied)} {'' if carried & set(tied) else 'equal '}blocks of {inner}"


def _size_text(group: Group, text: Callable[[Sequence[int]], str]) -> str:
    return f"{text(group.rows)} × {text(group.columns)}"


class Group(NamedTuple):
    """Rows and columns of a term that its arrays join, beside the tied ones; ``parts`` are the places of the arrays."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    parts: tuple[int, ...]


def groups_of(pattern: Pattern) -> list[Group]:
    """The factors of a term as a Kronecker product, and one group for its rows and columns that no array carries."""
    tied = pattern.tied
    joined: list[tuple[set[int], list[int]]] = []
    for place, labels in enumerate(pattern.parts):
        own = set(labels) - tied
        if not own:
            continue
        touched = [group for group in joined if group[0] & own]
        joined = [group for group in joined if not group[0] & own]
        members = sorted([place, *(other for group in touched for other in group[1])])
        joined.append((own.union(*(group[0] for group in touched)), members))
    carried: set[int] = set().union(*(labels for labels, _ in joined))
    above, beside = _without(pattern.rows, tied), _without(pattern.columns, tied)
    groups = [
        Group(tuple([a for a in above if a in labels]), tuple([b for b in beside if b in labels]), tuple(members))
        for labels, members in joined
    ]
    two_sided = [group for group in groups if group.rows and group.columns]
    rest = [group for group in groups if not (group.rows and group.columns)]
    alone = Group(
        tuple([a for a in above if a not in carried or any(a in group.rows for group in rest)]),
        tuple([b for b in beside if b not in carried or any(b in group.columns for group in rest)]),
        tuple(sorted({place for group in rest for place in group.parts})),
    )
    found = [*two_sided, alone] if alone.rows or alone.columns or alone.parts else two_sided
    return sorted(found, key=lambda group: (group.rows or group.columns, group.columns))


def open_labels(group: Group, pattern: Pattern) -> tuple[int, ...] | None:
    """The summed labels of a group none of whose arrays reaches both rows and columns: the rank is at most their size.

    None where an array reaches both.
    """
    inside: set[int] = set()
    for place in group.parts:
        labels = set(pattern.parts[place])
        if labels & set(group.rows) and labels & set(group.columns):
            return None
        inside |= labels
    return tuple(sorted(inside - set(pattern.rows) - set(pattern.columns)))


def _without(labels: Sequence[int], tied: Iterable[int]) -> list[int]:
    """The labels that are not tied, each once."""
    return list(dict.fromkeys(label for label in labels if label not in set(tied)))
