"""Which identity an expression is an instance of: what a derivation cites.

Both sides are in index normal form, so that only three things vary: a product's factors that are free of the variable
are grouped into the networks that connect the others, and each group is one name of the row; the terms of a sum that
are free of the variable are one name; and the row's variable is the variable itself or, by the chain rule, any node
that depends on it. The search is bounded by the size of the rows, not by that of the expression.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice, permutations
from itertools import product as choices
from typing import NamedTuple

from ...expr.build import (
    Operand,
    add,
    exact,
    is_symmetric,
    number,
    product,
    scale,
    split_coefficient,
)
from ...expr.dims import Dim
from ...expr.nodes import (
    ONE,
    Call,
    Exact,
    Factor,
    Map,
    Node,
    Product,
    Structure,
    Sum,
    Term,
    Variable,
)
from ...ops.registry import OPERATIONS
from . import Identity
from .patterns import ANY_FUNCTION, SPACES, STRUCTURES, SYMMETRIC, Pattern, candidates, depends_on

#: Ways of assigning the parts of one node to those of a row that are tried before it is given up.
MOST_ASSIGNMENTS = 200


class Match(NamedTuple):
    """An identity and what its names stand for.

    Parameters
    ----------
    identity: the row.
    coefficient: a scalar node; the expression is this number times the instance of the row.
    inner: what the row's variable stands for: the variable, or a node that depends on it (then the chain rule goes on).
    bindings: what every other name of the row stands for.
    sizes: what the row's sizes stand for.
    function: the operation that stands for ``f``, in a row about any function.
    """

    identity: Identity
    coefficient: Node
    inner: Node
    bindings: Mapping[str, Node]
    sizes: Mapping[str, Dim]
    function: str = ""


def identify(node: Node, variable: Node, order: int = 1) -> Identity | None:
    """The row of the table that the derivative of a node by a variable is an instance of; None when there is none.

    >>> from matcalc.expression import Expr
    >>> expr = Expr("||X w - y||^2")
    >>> identify(expr.simplified, expr.occurring["w"]).name
    'least squares'

    A row that holds for the variable itself is preferred to one that needs the chain rule, and then the more special
    one.

    Parameters
    ----------
    node: an expression in normal form (`matcalc.calculus.simplify.simplify`).
    variable: the variable, or any node inside the expression that is taken as one.
    order: 1 for a first derivative, 2 for a second one.
    """
    found = find_match(node, variable, order)
    return None if found is None else found.identity


def find_match(node: Node, variable: Node, order: int = 1) -> Match | None:
    """As `identify`, with what the names of the row stand for.

    >>> from matcalc.expression import Expr
    >>> expr = Expr("sum(tanh(W x))")
    >>> found = find_match(expr.simplified, expr.occurring["x"])
    >>> found.identity.name, found.function, Expr.of_node(found.inner, expr).formula
    ('sum of an entrywise function', 'tanh', 'W x')
    """
    if not depends_on(node, variable):
        return None
    best: tuple[tuple[int, ...], Match] | None = None
    for multiple, coefficient, root in _readings(node, variable):
        for pattern in candidates(root, variable, order):
            if best is not None and (1, *pattern.weight, 1) < best[0]:
                break
            found = _search(pattern, root, coefficient, variable)
            if found is None:
                continue
            direct = found.inner == variable
            if not direct and (order > 1 or isinstance(pattern.root, Variable)):
                continue
            whole = product([(multiple, 1, ()), (found.coefficient, 1, ())], ())
            rank = (int(direct), *pattern.weight, int(whole == ONE))
            if best is None or rank > best[0]:
                best = rank, found._replace(coefficient=whole)
    return None if best is None else best[1]


def _readings(node: Node, variable: Node) -> Iterator[tuple[Node, Exact, Node]]:
    """A node as a scalar times a number times a root: as it is, then without scalars that are free of the variable."""
    coefficient, root = split_coefficient(node)
    yield ONE, coefficient, root
    if isinstance(root, Product):
        scalars = [factor for factor in root.factors if not factor.labels and not depends_on(factor.node, variable)]
        if scalars:
            rest = [factor for factor in root.factors if factor not in scalars]
            yield product(scalars, ()), coefficient, product(rest, range(root.order), dict(enumerate(root.sizes)))


# --- the search ----------------------------------------------------------------------------------


class _Goal(NamedTuple):
    """A part of the row must be ``ratio`` times a part of the expression."""

    pattern: Node
    target: Node
    ratio: Exact


class _State(NamedTuple):
    goals: tuple[_Goal, ...]
    bindings: Mapping[str, Node]
    sizes: Mapping[str, Dim]
    coefficient: Node
    function: str = ""


def _search(pattern: Pattern, root: Node, coefficient: Exact, variable: Node) -> Match | None:
    ratio = exact(Fraction(coefficient) / Fraction(pattern.coefficient))
    stack = [_State((_Goal(pattern.root, root, ratio),), {}, {}, ONE)]
    search = _Search(pattern, variable)
    first = True
    by_chain_rule: Match | None = None
    while stack:
        state = stack.pop()
        if not state.goals:
            bindings = dict(state.bindings)
            inner = bindings.pop(pattern.variable.name)
            space = _space(pattern.variable)
            if space and (inner != variable or _space(inner) != space):
                continue
            found = Match(pattern.identity, state.coefficient, inner, bindings, state.sizes, state.function)
            if inner == variable:
                return found
            by_chain_rule = by_chain_rule or found
            continue
        goal = state.goals[0]
        following = list(islice(search.steps(goal, state._replace(goals=state.goals[1:]), first), MOST_ASSIGNMENTS))
        stack += reversed(following)
        first = False
    return by_chain_rule


class _Search(NamedTuple):
    """The rules of matching one row."""

    pattern: Pattern
    variable: Node

    def steps(self, goal: _Goal, state: _State, is_root: bool) -> Iterator[_State]:
        """The states that meet a goal, possibly with further goals."""
        pattern, target, ratio = goal
        part, pattern = split_coefficient(pattern)
        own, target = split_coefficient(target)
        ratio = exact(Fraction(ratio) * Fraction(own) / Fraction(part))
        if isinstance(pattern, Variable) and is_root and ratio != 1:
            yield from self.steps(_Goal(pattern, target, 1), _with_coefficient(state, scale(ratio, ONE)), False)
        elif isinstance(pattern, Variable):
            bound = self.bind(state, pattern, scale(ratio, target))
            if bound is not None:
                yield bound
            return
        multiple = self.multiple(pattern, ratio, state)
        if multiple is not None:
            inner, after = multiple
            yield after._replace(goals=(_Goal(inner, target, 1), *after.goals))
        if isinstance(pattern, Sum) and isinstance(target, Sum):
            yield from self.sums(pattern, target, ratio, state, is_root)
        elif isinstance(pattern, Product) and isinstance(target, Product):
            yield from self.products(pattern, target, ratio, state, is_root)
        elif is_root and ratio != 1:
            yield from self.steps(_Goal(pattern, target, 1), _with_coefficient(state, scale(ratio, ONE)), False)
        elif ratio == 1:
            yield from self.functions(pattern, target, state)

    def multiple(self, pattern: Node, ratio: Exact, state: _State) -> tuple[Node, _State] | None:
        """A part of a row that is a named number times something, where the expression has a plain number there."""
        if not isinstance(pattern, Product) or len(pattern.factors) != 2 or any(f.labels for f in pattern.factors):
            return None
        for name, inner in (pattern.factors, pattern.factors[::-1]):
            if isinstance(name.node, Variable) and not self.is_own(name.node) and name.exponent == inner.exponent == 1:
                after = self.bind(state, name.node, number(ratio))
                return None if after is None else (inner.node, after)
        return None

    def is_active(self, node: Node) -> bool:
        return depends_on(node, self.variable)

    def is_own(self, node: Node) -> bool:
        """Whether the row's variable occurs in a part of the row."""
        return depends_on(node, self.pattern.variable)

    def bind(self, state: _State, name: Variable, node: Node) -> _State | None:
        """The state in which a name of the row stands for a node; None when it cannot."""
        if node.order != name.order or self.is_active(node) != (name == self.pattern.variable):
            return None
        known = state.bindings.get(name.name)
        if known is not None:
            return state if known == node else None
        if not _has(node, name.properties):
            return None
        sizes = _fit_sizes(state.sizes, name.shape, node.shape)
        if sizes is None:
            return None
        return state._replace(bindings={**state.bindings, name.name: node}, sizes=sizes)

    def functions(self, pattern: Node, target: Node, state: _State) -> Iterator[_State]:
        if isinstance(pattern, Structure) and isinstance(target, Structure):
            sizes = _fit_sizes(state.sizes, pattern.parameters, target.parameters)
            if pattern.kind == target.kind and sizes is not None:
                yield state._replace(sizes=sizes)
        elif isinstance(pattern, Map) and isinstance(target, Map):
            yield from self.maps(pattern, target, state)
        elif isinstance(pattern, Call) and isinstance(target, Call):
            same = pattern.op == target.op and pattern.parameters == target.parameters
            if same and pattern.order == target.order and len(pattern.args) == len(target.args):
                goals = tuple(_Goal(a, b, 1) for a, b in zip(pattern.args, target.args, strict=True))
                yield state._replace(goals=goals + state.goals)

    def maps(self, pattern: Map, target: Map, state: _State) -> Iterator[_State]:
        if pattern.axes != target.axes or pattern.order != target.order:
            return
        if self.pattern.is_about_any_function and pattern.op == ANY_FUNCTION:
            if state.function not in ("", target.op) or not OPERATIONS[target.op].slopes:
                return
            state = state._replace(function=target.op)
        elif pattern.op != target.op:
            return
        goals = tuple(_Goal(a, b, 1) for a, b in zip(pattern.args, target.args, strict=True))
        yield state._replace(goals=goals + state.goals)

    # --- sums

    def sums(self, pattern: Sum, target: Sum, ratio: Exact, state: _State, is_root: bool) -> Iterator[_State]:
        mine = [term for term in pattern.terms if self.is_own(term.node)]
        rest = [term for term in pattern.terms if not self.is_own(term.node)]
        its = [term for term in target.terms if self.is_active(term.node)]
        others = [term for term in target.terms if not self.is_active(term.node)]
        if len(mine) != len(its) or bool(rest) != bool(others):
            return
        if len(rest) == 1 and isinstance(rest[0].node, Variable):
            for order in permutations(its):
                for common in self.common_ratios(mine, order, ratio) if is_root else (1,):
                    after = self.bind(state, rest[0].node, _combined(others, rest[0].coefficient, ratio, common))
                    if after is not None:
                        yield _pairs(after, mine, order, ratio, common)
            return
        if len(rest) != len(others):
            return
        for order in permutations(its):
            for other_order in permutations(others):
                for common in self.common_ratios(mine, order, ratio) if is_root else (1,):
                    yield _pairs(state, [*mine, *rest], [*order, *other_order], ratio, common)

    def common_ratios(self, mine: Sequence[Term], its: Sequence[Term], ratio: Exact) -> list[Exact]:
        """Numbers that may be taken out of a whole sum; 1 first."""
        found: list[Exact] = [1]
        for left, right in zip(mine, its, strict=True):
            part = exact(Fraction(ratio) * Fraction(right.coefficient) / Fraction(left.coefficient))
            if part not in found:
                found.append(part)
        return found

    # --- products

    def products(
        self, pattern: Product, target: Product, ratio: Exact, state: _State, is_root: bool
    ) -> Iterator[_State]:
        if pattern.order != target.order:
            return
        mine = [factor for factor in pattern.factors if self.is_own(factor.node)]
        its = [factor for factor in target.factors if self.is_active(factor.node)]
        if sorted(factor.exponent for factor in mine) != sorted(factor.exponent for factor in its):
            return
        free, fixed = self.divide(pattern)
        others = [factor for factor in target.factors if not self.is_active(factor.node)]
        if len(others) < len(fixed) or (others and not free and len(others) != len(fixed) and not is_root):
            return
        for order in permutations(its):
            if any(a.exponent != b.exponent for a, b in zip(mine, order, strict=True)):
                continue
            for chosen in permutations(range(len(others)), len(fixed)):
                taken = [others[place] for place in chosen]
                if any(not _alike(a, b) for a, b in zip(fixed, taken, strict=True)):
                    continue
                remaining = [factor for place, factor in enumerate(others) if place not in chosen]
                pairs = [*zip(mine, order, strict=True), *zip(fixed, taken, strict=True)]
                for after, labels in self.label(pattern, target, pairs, state):
                    yield from self.group(target, free, remaining, labels, ratio, after, is_root)

    def divide(self, pattern: Product) -> tuple[list[Factor], list[Factor]]:
        """The factors of a row that are free of its variable: names, each for a network, and what is met one to one."""
        carried = {label for factor in pattern.factors if self.is_own(factor.node) for label in factor.labels}
        known = carried | set(range(pattern.order))
        free: list[Factor] = []
        fixed: list[Factor] = []
        for factor in pattern.factors:
            if self.is_own(factor.node):
                continue
            plain = isinstance(factor.node, Variable) and len(set(factor.labels)) == len(factor.labels)
            (free if plain and set(factor.labels) <= known else fixed).append(factor)
        return free, fixed

    def label(
        self, pattern: Product, target: Product, pairs: Sequence[tuple[Factor, Factor]], state: _State
    ) -> Iterator[tuple[_State, Mapping[int, int]]]:
        """Every way in which the labels of paired factors correspond, with the pairs' nodes as further goals."""
        readings = [
            (its.labels, its.labels[::-1]) if len(its.labels) == 2 and is_symmetric(its.node) else (its.labels,)
            for _, its in pairs
        ]
        for reading in islice(choices(*readings), MOST_ASSIGNMENTS):
            labels = {label: label for label in range(pattern.order)}
            fits = True
            for (mine, _), names in zip(pairs, reading, strict=True):
                if len(mine.labels) != len(names):
                    fits = False
                    break
                fits = fits and all(labels.setdefault(a, b) == b for a, b in zip(mine.labels, names, strict=True))
            if not fits or len(set(labels.values())) != len(labels):
                continue
            sizes: Mapping[str, Dim] | None = _fit_sizes(
                state.sizes,
                tuple(pattern.sizes[label] for label in labels),
                tuple(target.sizes[label] for label in labels.values()),
            )
            if sizes is None:
                continue
            # an even power of a sum is also that of its opposite
            signs = [(1, -1) if isinstance(mine.node, Sum) and mine.exponent == 2 else (1,) for mine, _ in pairs]
            for chosen in choices(*signs):
                goals = tuple(_Goal(mine.node, its.node, sign) for (mine, its), sign in zip(pairs, chosen, strict=True))
                yield state._replace(goals=goals + state.goals, sizes=sizes), labels

    def group(
        self,
        target: Product,
        free: Sequence[Factor],
        remaining: Sequence[Factor],
        labels: Mapping[int, int],
        ratio: Exact,
        state: _State,
        is_root: bool,
    ) -> Iterator[_State]:
        """Every way in which the remaining factors of an expression are the free names of a row."""
        known = set(labels.values())
        networks = _networks(remaining, known)
        scalars = [network for network in networks if not network.boundary]
        connected = [network for network in networks if network.boundary]
        places = [tuple(labels[label] for label in factor.labels) for factor in free]
        options = [
            [place for place, names in enumerate(places) if network.boundary <= set(names)] for network in connected
        ]
        outside = [factor for network in scalars for factor in network.factors]
        for assignment in islice(choices(*options), MOST_ASSIGNMENTS):
            shares: list[list[Factor]] = [[] for _ in free]
            for network, place in zip(connected, assignment, strict=True):
                shares[place] += network.factors
            bare = [place for place, names in enumerate(places) if not names and free[place].exponent == 1]
            if is_root and not bare:
                after = self.shared(target, free, places, shares, state)
                if after is not None:
                    yield _with_coefficient(after, scale(ratio, product(outside, ())))
            if not outside and ratio == 1:
                takers: list[int | None] = [] if is_root and not bare else [None]
            else:
                takers = [*bare, *(p for p, factor in enumerate(free) if factor.exponent == 1 and p not in bare)]
            for taker in takers:
                given = [*shares]
                if taker is not None:
                    given[taker] = [*shares[taker], *outside]
                after = self.shared(target, free, places, given, state, taker, ratio)
                if after is not None:
                    yield after

    def shared(
        self,
        target: Product,
        free: Sequence[Factor],
        places: Sequence[tuple[int, ...]],
        shares: Sequence[Sequence[Factor]],
        state: _State,
        taker: int | None = None,
        ratio: Exact = 1,
    ) -> _State | None:
        """The state in which every free name of a row stands for its share of the factors; one takes a number, too."""
        after: _State | None = state
        for place, (factor, names, members) in enumerate(zip(free, places, shares, strict=True)):
            carried = {label for inner in members for label in inner.labels}
            if not set(names) <= carried or (not members and place != taker):
                return None
            node = _network_node(members, names, target, factor.exponent)
            if node is None or after is None or not isinstance(factor.node, Variable):
                return None
            after = self.bind(after, factor.node, scale(ratio, node) if place == taker else node)
        return after


class _Network(NamedTuple):
    """Factors that are connected by labels of their own, and the labels at which the rest is attached."""

    factors: tuple[Factor, ...]
    boundary: frozenset[int]


def _networks(factors: Sequence[Factor], known: set[int]) -> list[_Network]:
    found: list[tuple[set[int], list[Factor]]] = []
    for factor in factors:
        own = set(factor.labels) - known
        members = [factor]
        apart = []
        for labels, others in found:
            if labels & own:
                own |= labels
                members = others + members
            else:
                apart.append((labels, others))
        found = [*apart, (own, members)]
    return [
        _Network(tuple(members), frozenset(label for factor in members for label in factor.labels if label in known))
        for _, members in found
    ]


def _network_node(members: Sequence[Factor], names: tuple[int, ...], target: Product, exponent: Exact) -> Node | None:
    """The node that raised to an exponent is the product of some factors; None when there is none."""
    summed = {label for factor in members for label in factor.labels} - set(names)
    operands: list[Operand] = [
        (factor.node, exact(Fraction(factor.exponent) / Fraction(exponent)), factor.labels) for factor in members
    ]
    if exponent != 1 and (summed or not all(isinstance(power, int) for _, power, _ in operands)):
        return None
    return product(operands, names, {label: target.sizes[label] for label in names})


def _pairs(state: _State, mine: Sequence[Term], its: Sequence[Term], ratio: Exact, common: Exact) -> _State:
    goals = tuple(
        _Goal(
            left.node,
            right.node,
            exact(Fraction(ratio) * Fraction(right.coefficient) / Fraction(left.coefficient) / Fraction(common)),
        )
        for left, right in zip(mine, its, strict=True)
    )
    after = state._replace(goals=goals + state.goals)
    return after if common == 1 else _with_coefficient(after, scale(common, ONE))


def _combined(terms: Sequence[Term], coefficient: Exact, ratio: Exact, common: Exact) -> Node:
    """The sum of some terms, divided by the coefficient that it has in a row."""
    by = Fraction(ratio) / Fraction(coefficient) / Fraction(common)
    return add([(exact(by * Fraction(term.coefficient)), term.node) for term in terms], terms[0].node.shape)


def _with_coefficient(state: _State, more: Node) -> _State:
    return state._replace(coefficient=product([(state.coefficient, 1, ()), (more, 1, ())], ()))


def _alike(left: Factor, right: Factor) -> bool:
    """Whether two factors may correspond, judged by what is cheap to see."""
    if left.exponent != right.exponent or len(left.labels) != len(right.labels):
        return False
    return isinstance(left.node, Variable) or type(left.node) is type(right.node)


def _has(node: Node, properties: frozenset[str]) -> bool:
    """Whether a node is what a row declares; signs and definiteness are conditions that are told to the reader."""
    structure = properties & STRUCTURES
    if structure & SYMMETRIC:
        return is_symmetric(node)
    return not structure or (isinstance(node, Variable | Call) and structure <= node.properties)


def _space(node: Node) -> frozenset[str]:
    """The space of matrices in which a variable is declared."""
    properties = node.properties & SPACES if isinstance(node, Variable) else frozenset()
    return frozenset({"symmetric"}) if properties and properties <= SYMMETRIC else properties - SYMMETRIC


def _fit_sizes(known: Mapping[str, Dim], pattern: Sequence[Dim], target: Sequence[Dim]) -> Mapping[str, Dim] | None:
    """The sizes of a row that make one shape the other; None when they differ."""
    if len(pattern) != len(target):
        return None
    sizes = dict(known)
    for mine, its in zip(pattern, target, strict=True):
        name = mine.name
        if name is not None:
            if sizes.setdefault(name, its) != its:
                return None
        elif mine.substitute(sizes) != its:
            return None
    return sizes
