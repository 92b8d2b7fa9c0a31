"""One entry at a time: the program in sums over indices, the deltas of its derivatives and what they collapse.

Only what sums over entries can say has this style: contractions, entrywise functions, and the few functions whose
derivative is made of their own entries (inverse, determinant, softmax, norm).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ..calculus.derive import derivative
from ..calculus.present import cost
from ..calculus.simplify import simplify
from ..errors import Unsupported
from ..expr.build import is_ones, magnitude, split_coefficient, substitute
from ..expr.dims import Dim
from ..expr.nodes import Call, Exact, Factor, Map, Node, Product, Structure, Sum, Term, Variable, postorder
from ..notation.matrices import COMPARISONS, RENAMED_MAPS, to_ast
from ..notation.pieces import call, integer, raised, signed, with_scalars
from ..notation.precedence import walk
from ..notation.text import to_text
from ..syntax.ast import Add, Ast, Binary, Index, IndexSum, Name
from .chain import Adjoint, adjoints, answer, write
from .outline import Outline, Part
from .rules import (
    CHAIN,
    COLLAPSE,
    COLLECTING,
    DELTA,
    LINEAR,
    NAMES,
    PATTERN,
    POWERS,
    PRODUCT,
    QUADRATIC,
    SQUARES,
    local_rules,
    projection,
)
from .steps import Claim, Line, Rule, Symbol

#: Functions of whole arrays whose derivatives can be written in entries.
IN_ENTRIES = frozenset({"inv", "det", "logdet", "softmax", "logsumexp", "norm", "normalize", "tracepow", "matpow"})
#: Programs with more parts than this are not written entry by entry.
MOST_PARTS = 12
#: Expressions with more operators than this are not, either.
LONGEST = 150
LETTERS = "ijklrstuvpqabcghmnowxyz"
NOTHING_FIXED: Mapping[str, Dim] = MappingProxyType({})


class Entries:
    """Writes entries of nodes; every summed label gets a letter of its own."""

    def __init__(self, plan: Outline, order: Sequence[str]) -> None:
        self.order = order
        self.rank = {name: place for place, name in enumerate(order)}
        self.free = [letter for letter in LETTERS if letter not in plan.taken]
        self.delta = "delta" if "delta" not in plan.taken else "Delta"
        self.ranges: dict[str, Dim] = {}
        self.used: set[str] = set()

    def start(self, fixed: Mapping[str, Dim] = NOTHING_FIXED) -> None:
        """Begin a new line, in which some letters stand for free indices."""
        self.used = set(fixed)
        self.ranges = dict(fixed)

    def letters(self, dims: Sequence[Dim]) -> tuple[str, ...]:
        """Letters that are not used on this line, for indices over given ranges."""
        found: list[str] = []
        for dim in dims:
            letter = next((letter for letter in self.free if letter not in self.used), None)
            if letter is None:
                raise Unsupported("there are more indices than letters", hint="use the style chain")
            self.used.add(letter)
            self.ranges[letter] = dim
            found.append(letter)
        return tuple(found)

    def entry(self, node: Node, labels: Sequence[str]) -> Ast:
        """One entry of a node.

        Parameters
        ----------
        node: an expression.
        labels: the index of each of its axes.
        """
        if isinstance(node, Variable):
            return element(node.name, labels)
        if isinstance(node, Structure):
            return self.constant(node, labels)
        if isinstance(node, Product):
            return signed(*self.product(1, node, labels))
        if isinstance(node, Sum):
            terms = sorted(node.terms, key=lambda term: (term.coefficient < 0, self.place(term.node)))
            return self.total([self.term(term, labels) for term in terms])
        if isinstance(node, Map):
            args = [self.entry(arg, [labels[a] for a in axes]) for arg, axes in zip(node.args, node.axes, strict=True)]
            if node.op in COMPARISONS:
                return Binary(COMPARISONS[node.op], args[0], args[1])
            if node.op == "step":
                return Binary(">", args[0], integer(0))
            if node.op == "pow":
                return Binary("^", args[0], args[1])
            return call(RENAMED_MAPS.get(node.op, node.op), *args)
        assert isinstance(node, Call)
        if node.op not in IN_ENTRIES:
            raise Unsupported(f"{node.op} has no formula in entries", hint="use the style chain or differential")
        whole = to_ast(node, self.order)
        return Index(whole, tuple(Name(label) for label in labels)) if labels else whole

    def constant(self, node: Structure, labels: Sequence[str]) -> Ast:
        if node.kind == "delta":
            return integer(1) if labels[0] == labels[1] else element(self.delta, labels)
        if node.kind in ("size", "pi", "e"):
            return to_ast(node)
        raise Unsupported(
            "selections, blocks and stacked vectors are not written entry by entry", hint="use the style chain"
        )

    @staticmethod
    def total(terms: Sequence[tuple[int, Ast]]) -> Ast:
        """A sum of signed terms; nested sums are one sum."""
        flat: list[tuple[int, Ast]] = []
        for sign, tree in terms:
            flat += [(sign * s, t) for s, t in tree.terms] if isinstance(tree, Add) else [(sign, tree)]
        if not flat:
            return integer(0)
        return signed(*flat[0]) if len(flat) == 1 else Add(tuple(flat))

    def term(self, term: Term, labels: Sequence[str]) -> tuple[int, Ast]:
        if is_ones(term.node):
            return with_scalars(term.coefficient, (), (), None)
        if isinstance(term.node, Product):
            return self.product(term.coefficient, term.node, labels)
        return with_scalars(term.coefficient, (self.entry(term.node, labels),), (), None)

    def product(self, coefficient: Exact, node: Product, labels: Sequence[str]) -> tuple[int, Ast]:
        """A sign and a sum over the labels that are not free."""
        factors = self.sorted(node.factors)
        summed = [label for factor in factors for label in factor.labels if label >= node.order]
        order = list(dict.fromkeys([*summed, *node.summed]))
        names = dict(enumerate(labels))
        names |= dict(zip(order, self.letters([node.sizes[label] for label in order]), strict=True))
        above: list[Ast] = []
        below: list[Ast] = []
        for base, exponent, places in factors:
            tree = self.entry(base, [names[label] for label in places])
            powered = raised(tree, magnitude(exponent), False)
            (above if exponent > 0 else below).append(powered)
        indices = tuple(names[label] for label in order)
        if not indices:
            return with_scalars(coefficient, above, below, None)
        _, body = with_scalars(1, above, below, None)
        return with_scalars(coefficient, (), (), IndexSum("sum", indices, None, None, body))

    def sorted(self, factors: Sequence[Factor]) -> list[Factor]:
        """The factors as a chain: each shares an index with the one before where that is possible."""
        left = sorted(factors, key=lambda factor: (bool(factor.labels), self.place(factor.node), factor.labels))
        chain: list[Factor] = []
        while left:
            last = chain[-1].labels if chain else ()
            following = next((factor for factor in left if set(factor.labels) & set(last)), left[0])
            left.remove(following)
            chain.append(following)
        return chain

    def place(self, node: Node) -> tuple[int, int]:
        inside = [self.rank.get(part.name, len(self.rank)) for part in postorder(node) if isinstance(part, Variable)]
        return min(inside, default=len(self.rank)), node.order


def element(name: str, labels: Sequence[str]) -> Ast:
    """One element of an array with a name."""
    return Index(Name(name), tuple(Name(label) for label in labels)) if labels else Name(name)


def index(plan: Outline) -> list[Line]:
    """The lines of the style ``index``.

    Raises
    ------
    Unsupported: something in the program has no formula in entries.
    """
    active = [part for part in plan.parts if part.active]
    if len(active) > MOST_PARTS or any(cost(part.node) > LONGEST for part in plan.parts):
        raise Unsupported("the program is too long to be written entry by entry", hint="use the style chain")
    for node in postorder(plan.output.whole):
        if isinstance(node, Call) and node.op not in IN_ENTRIES:
            raise Unsupported(f"{node.op} has no formula in entries", hint="use the style chain or differential")
    found = adjoints(plan)
    order = (*plan.order, *(adjoint.variable.name for adjoint in found))
    writer = Entries(plan, order)
    lines: list[Line] = []
    free: dict[str, tuple[str, ...]] = {}
    after: dict[str, dict[str, Dim]] = {}
    for part in plan.parts:
        writer.start()
        labels = writer.letters(part.node.shape)
        tree = writer.entry(part.node, labels)
        free[part.name], after[part.name] = labels, dict(writer.ranges)
        left = Symbol("value", part.name, indices=labels)
        claim = Claim("value", part.node)
        lines.append(Line(left, tree, (), claim, ranges=dict(writer.ranges), delta=writer.delta))
    for adjoint in found:
        last = adjoint is found[-1]
        places: tuple[str, ...] = ()
        for part in adjoint.users:
            made, places = _local(plan, writer, part, adjoint.by, free[part.name], after[part.name])
            lines += made
        lines += _adjoint(plan, writer, adjoint, order, places, lines[-1], last=last)
    rules = (PATTERN, *projection(plan.wrt)) if len(found) == 1 else (NAMES,)
    return [*lines, *answer(plan, lines[-1], rules)]


def _local(
    plan: Outline, writer: Entries, part: Part, by: Variable, labels: tuple[str, ...], used: Mapping[str, Dim]
) -> tuple[list[Line], tuple[str, ...]]:
    """The derivative of one entry of a part by one entry of an input: with all deltas, then collapsed."""
    plain = Variable(by.name, by.shape)
    node = substitute(part.node, {by: plain})
    writer.start(used)
    places = writer.letters(by.shape)
    fixed = dict(zip((*labels, *places), (*node.shape, *by.shape), strict=True))
    writer.start(fixed)
    left = Symbol("derivative", part.name, by.name, labels, places)
    claim = Claim("derivative", node, plain)
    spread = _spread(plan, writer, node, plain, labels, places)
    with_deltas = any(isinstance(piece, Name) and piece.id == writer.delta for piece in walk(spread))
    rules = local_rules(node, plain, named=False)
    if with_deltas and isinstance(node, Sum | Product):
        rules = (*_in_entries(rules), DELTA)
    lines = [Line(left, spread, rules, claim, ranges=dict(writer.ranges), delta=writer.delta)]
    writer.start(fixed)
    (slope,) = simplify(derivative(node, plain))
    collapsed = writer.entry(substitute(slope, plan.named), (*labels, *places))
    if to_text(collapsed) != to_text(spread):
        reason = COLLAPSE if with_deltas else COLLECTING
        lines.append(Line(left, collapsed, (reason,), claim, True, dict(writer.ranges), writer.delta))
    return lines, places


def _in_entries(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """The rules that single entries follow."""
    plainer = {QUADRATIC: PRODUCT, SQUARES: POWERS}
    return tuple(dict.fromkeys(plainer.get(rule, rule) for rule in rules if rule != LINEAR))


def _spread(
    plan: Outline, writer: Entries, node: Node, by: Variable, labels: Sequence[str], places: Sequence[str]
) -> Ast:
    """The product rule entry by entry: each factor that depends on the input is replaced by its derivative."""
    terms: list[tuple[int, Ast]] = []
    for coefficient, part in node.terms if isinstance(node, Sum) else (Term(1, node),):
        if by not in set(postorder(part)):
            continue
        if not isinstance(part, Product):
            (slope,) = simplify(derivative(part, by))
            terms.append(
                with_scalars(coefficient, (writer.entry(substitute(slope, plan.named), (*labels, *places)),), (), None)
            )
            continue
        terms += _spread_product(plan, writer, coefficient, part, by, labels, places)
    return writer.total(terms)


def _spread_product(
    plan: Outline,
    writer: Entries,
    coefficient: Exact,
    node: Product,
    by: Variable,
    labels: Sequence[str],
    places: Sequence[str],
) -> list[tuple[int, Ast]]:
    factors = writer.sorted(node.factors)
    summed = list(dict.fromkeys([label for f in factors for label in f.labels if label >= node.order]))
    summed = list(dict.fromkeys([*summed, *node.summed]))
    names = dict(enumerate(labels))
    names |= dict(zip(summed, writer.letters([node.sizes[label] for label in summed]), strict=True))
    found: list[tuple[int, Ast]] = []
    for place, (base, exponent, axes) in enumerate(factors):
        if by not in set(postorder(base)):
            continue
        (slope,) = simplify(derivative(base, by))
        multiple, slope = split_coefficient(slope)
        above: list[Ast] = []
        below: list[Ast] = []
        for other, (node_of, power_of, axes_of) in enumerate(factors):
            less = power_of - 1 if other == place else power_of
            if less:
                tree = raised(writer.entry(node_of, [names[a] for a in axes_of]), magnitude(less), False)
                (above if less > 0 else below).append(tree)
            if other == place:
                change = writer.entry(substitute(slope, plan.named), [*(names[a] for a in axes), *places])
                if not _is_one(change):
                    above.append(change)
        indices = tuple(names[label] for label in summed)
        if not indices:
            found.append(with_scalars(coefficient * exponent * multiple, above, below, None))
            continue
        _, body = with_scalars(1, above, below, None)
        found.append(
            with_scalars(coefficient * exponent * multiple, (), (), IndexSum("sum", indices, None, None, body))
        )
    return found


def _is_one(tree: Ast) -> bool:
    return to_text(tree) == "1"


def _adjoint(
    plan: Outline,
    writer: Entries,
    adjoint: Adjoint,
    order: Sequence[str],
    places: tuple[str, ...],
    before: Line,
    *,
    last: bool,
) -> list[Line]:
    """The derivative of the output by an input: by the chain rule in entries, then in matrices."""
    lines: list[Line] = []
    output = plan.output
    claim = Claim("derivative", plan.tail(adjoint.by.name), adjoint.by)
    (node,) = simplify(adjoint.node)
    through = [part for part in adjoint.users if part.name != output.name]
    projected = projection(plan.wrt) if last else ()
    if through:
        writer.start(dict(zip(places, adjoint.by.shape, strict=True)))
        lead = writer.letters(output.node.shape)
        tree = writer.entry(node, (*lead, *places))
        left = Symbol("derivative", output.name, adjoint.by.name, lead, places)
        lines.append(Line(left, tree, (CHAIN, *projected), claim, False, dict(writer.ranges), writer.delta))
        projected = ()
    whole = write(plan, adjoint.node, order)
    left = Symbol("derivative", output.name, adjoint.by.name, alias="" if last else adjoint.variable.name)
    before = lines[-1] if lines else before
    if before.left == left and to_text(before.tree) == to_text(whole):
        return lines
    lines.append(Line(left, whole, (PATTERN, *projected), claim, continues=before.left == left))
    return lines
