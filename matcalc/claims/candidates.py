"""The formulas that a claim is compared with: each generator makes those of a few kinds of fault."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import permutations

from ..calculus.derive import derivative as differentiate
from ..calculus.derive import identity
from ..calculus.present import present
from ..calculus.simplify import simplify
from ..derivation import Derivative
from ..errors import MatcalcError
from ..expr.build import add, as_number, broadcast, delta, permute, product, scale, substitute
from ..expr.nodes import Map, Node, Structure, Variable, postorder
from ..expression import read
from ..layout import LAYOUTS, arrange
from ..ops.registry import OPERATIONS
from ..structure import SPACES
from .expand import expanded, terms_of
from .problem import Candidate, Problem, Side, matches, minus, over_declared, plus
from .reading import meaning
from .surgery import edits

#: How many intermediates of an expression the chain rule is broken at.
LARGEST_CHAIN = 16
#: … and up to how many nodes of it.
LARGEST_BROKEN = 200
#: How many pieces of the formulas are tried as factors.
LARGEST_POOL = 40
#: Formulas up to this length stand inside a sentence.
LONGEST_PART = 60
#: How many terms are looked at, and how many where they are tried in pairs.
LARGEST_TERMS = 40
LARGEST_REPLACED = 12


def whole(problem: Problem) -> Iterator[Candidate]:
    """The derivative itself, up to a number."""
    yield Candidate("whole", problem.derivative.node)


def scaled(problem: Problem) -> Iterator[Candidate]:
    """The derivative itself, up to a size or a scalar of the expression."""
    yield Candidate("scaled", problem.derivative.node)


# --- arrangements and other derivatives ----------------------------------------------------------


def arrangements(problem: Problem) -> Iterator[Candidate]:
    """Other layouts, transposes and orders of axes."""
    derived = problem.derivative
    if derived.order == 1:
        for layout in LAYOUTS:
            if layout != derived.layout:
                try:
                    node = derived.in_layout(layout).node
                except MatcalcError:
                    continue
                if node == derived.node:
                    continue
                turned = node.order == derived.node.order == 2 and node == simplify(permute(derived.node, (1, 0)))[0]
                said = f"{layout} layout (the transpose)" if turned else f"{layout} layout"
                yield Candidate("layout", node, part=said, instead=derived.layout)
    node = derived.node
    if node.order == 2:
        yield Candidate("transpose", permute(node, (1, 0)))
    elif 2 < node.order <= 4:
        for axes in permutations(range(node.order)):
            if axes != tuple(range(node.order)):
                names = ", ".join(str(axis + 1) for axis in axes)
                usual = ", ".join(str(axis + 1) for axis in range(node.order))
                yield Candidate("axes", permute(node, axes), part=names, instead=usual)


def shapes(problem: Problem) -> Iterator[Candidate]:
    """What is right in number but not in shape: diagonals, repeated entries, a number for a multiple of I."""
    node = problem.derivative.node
    if node.order == 2 and node.shape[0] == node.shape[1]:
        yield Candidate("diagonal", product([(node, 1, (0, 0))], (0,)))
    if problem.derivative.order == 1 and problem.expr.node.order:
        raw, lead = problem.derivative.raw, problem.expr.node.order
        summed = product([(raw, 1, tuple(range(raw.order)))], tuple(range(lead, raw.order)))
        yield Candidate("summed", summed)
    claim = problem.node
    if claim is None or claim.shape == node.shape:
        return
    shown = _shape(claim), _shape(node)
    if claim.order == 0:
        if node.order == 2 and node.shape[0] == node.shape[1]:
            unit: Node = delta(node.shape[0])
        elif node.order % 2 == 0 and node.shape[: node.order // 2] == node.shape[node.order // 2 :]:
            unit = identity(node.shape[: node.order // 2])
        else:
            unit = node
        if unit is not node:
            spread = product([(claim, 1, ()), (unit, 1, tuple(range(node.order)))], range(node.order))
            yield Candidate("identity", spread, "right", problem.text(claim))
    if claim.order < node.order:
        for axes in permutations(range(node.order), claim.order):
            if axes == tuple(sorted(axes)) and all(claim.shape[k] == node.shape[a] for k, a in enumerate(axes)):
                yield Candidate("broadcast", broadcast(claim, node.shape, axes), "right", *shown)
    ones = [axis for axis, dim in enumerate(claim.shape) if dim.constant == 1]
    if ones and claim.order - len(ones) == node.order:
        kept = tuple(axis for axis in range(claim.order) if axis not in ones)
        yield Candidate("shape", product([(claim, 1, tuple(range(claim.order)))], kept), "right", *shown)


def _shape(node: Node) -> str:
    return "(" + ", ".join(map(str, node.shape)) + ("," if node.order == 1 else "") + ")" if node.shape else "()"


def others(problem: Problem) -> Iterator[Candidate]:
    """Derivatives by other variables, of another order, the expression itself."""
    derived = problem.derivative
    expr = problem.expr
    yield Candidate("function", expr.simplified)
    if derived.order == 1:
        for name in expr.order:
            if name not in derived.wrt and name in expr.occurring:
                try:
                    other = Derivative(expr, (name,), derived.layout)
                except MatcalcError:
                    continue
                yield Candidate("variable", other.node, part=name, instead=", ".join(derived.wrt))
    orders = {1: "first", 2: "second"}
    names = (derived.wrt[0],) * (3 - derived.order)
    try:
        other = Derivative(expr, names, "gradient")
    except MatcalcError:
        return
    yield Candidate("order", other.node, part=orders[other.order], instead=orders[derived.order])


def structures(problem: Problem) -> Iterator[Candidate]:
    """Derivatives within and without a declared structure, and the convention of handbooks for symmetric ones."""
    derived = problem.derivative
    if derived.order != 1 or not problem.wanted or derived.layout != "gradient":
        return
    variable = problem.wanted[0]
    lead = problem.expr.node.order
    if variable.order != 2 or variable.shape[0] != variable.shape[1]:
        return
    spaces = [SPACES[name] for name in sorted(variable.properties) if name in SPACES]
    free = derived.raw
    if spaces:
        declared = dict(problem.expr.vars)
        declared[variable.name] = declared[variable.name].partition(")")[0] + ")"
        try:
            plain = Derivative(problem.expr.with_types(declared), derived.wrt, "gradient")
        except MatcalcError:
            return
        free = over_declared(plain.raw, problem.expr)
        yield Candidate("unstructured", free, part=spaces[0])
    names = tuple(range(lead))
    turned = permute(free, (*names, lead + 1, lead))
    kept = product(
        [(free, 1, (*names, lead, lead + 1)), (delta(variable.shape[0]), 1, (lead, lead + 1))], range(lead + 2)
    )
    yield Candidate("handbook", minus(plus(free, turned), kept), part=variable.name)
    if not spaces:
        half = Fraction(1, 2)
        yield Candidate(
            "structured", add([(half, free), (half, turned)], free.shape), part="symmetric", instead=variable.name
        )
        yield Candidate(
            "structured", add([(half, free), (-half, turned)], free.shape), part="skew-symmetric", instead=variable.name
        )
        yield Candidate("structured", kept, part="diagonal", instead=variable.name)


# --- terms ---------------------------------------------------------------------------------------


def plain_terms(problem: Problem) -> Iterator[Candidate]:
    """One term missing, superfluous or with the other sign."""
    return (candidate._replace(kind="plain term") for candidate in terms(problem) if candidate.kind == "term")


def terms(problem: Problem) -> Iterator[Candidate]:
    """One term missing, superfluous, or with another factor, of the formulas as printed and multiplied out."""
    sides: list[tuple[Node, tuple[Node, ...], Side]] = [
        (problem.derivative.node, (problem.readable, expanded(problem.derivative.node)), "claim")
    ]
    if problem.node is not None:
        sides.append((problem.node, (problem.node, expanded(problem.node)), "right"))
    for total, forms, of in sides:
        seen: set[bytes] = set()
        for form in forms:
            parts = terms_of(form)
            if len(parts) < 2 or len(parts) > LARGEST_TERMS:
                continue
            for coefficient, part in parts:
                term = scale(coefficient, part)
                if term.digest in seen or term.shape != total.shape:
                    continue
                seen.add(term.digest)
                text = problem.text(term)
                rest = minus(total, term)
                yield Candidate("term", term, of, text, base=rest)
                if term.order == 2 and term.shape[0] == term.shape[1]:
                    turned = plus(rest, permute(term, (1, 0)))
                    yield Candidate("term transpose", turned, of, text)


def replaced_terms(problem: Problem) -> Iterator[Candidate]:
    """A term of the claim in the place of a term of the derivative."""
    if problem.node is None or problem.node.shape != problem.derivative.node.shape:
        return
    total = problem.derivative.node
    rights = [scale(*term) for term in terms_of(expanded(total))]
    claims = [scale(*term) for term in terms_of(expanded(problem.node))]
    if len(rights) < 2 or max(len(rights), len(claims)) > LARGEST_REPLACED:
        return
    replaced: dict[Candidate, tuple[Node, Node]] = {}
    for right in rights:
        rest = minus(total, right)
        for claim in claims:
            if claim not in rights and right not in claims:
                candidate = Candidate(
                    "wrong term", plus(rest, claim), "claim", problem.text(claim), problem.text(right)
                )
                replaced[candidate] = claim, right
    for candidate, factor in matches(problem, list(replaced)):
        if factor.kind == "one":
            kind, part, instead = _change_of(problem, _pool(problem), *replaced[candidate])
            yield candidate._replace(kind=kind, part=part, instead=instead)


def _change_of(problem: Problem, pool: Sequence[Node], claim: Node, right: Node) -> tuple[str, str, str]:
    """What makes one term of the other: a factor that is missing or too many, or nothing that has a name."""
    said = problem.text(claim)
    for kind, less, more in (("missing factor", claim, right), ("extra factor", right, claim)):
        wanted = expanded(more)
        for piece in pool:
            if piece == more:
                continue  # a term is not missing from itself
            if any(node.shape == more.shape and expanded(node) == wanted for node in _scaled(less, piece)):
                return kind, f"{problem.text(piece)} of the term {problem.text(more)}", ""
    return "wrong term", said, problem.text(right)


# --- the chain rule ------------------------------------------------------------------------------


def chain(problem: Problem) -> Iterator[Candidate]:
    """The chain rule broken at one intermediate: its own derivative dropped, or taken twice."""
    derived = problem.derivative
    if derived.order != 1 or not problem.wanted:
        return
    root, variable = problem.expr.simplified, problem.wanted[0]
    if sum(1 for _ in postorder(root)) > LARGEST_BROKEN:
        return
    inside = {variable.digest}
    inner: list[Node] = []
    for node in postorder(root):
        if any(child.digest in inside for child in node.children):
            inside.add(node.digest)
            if node != root:
                inner.append(node)
    if isinstance(root, Map):
        inner.append(root)
    for node in inner[: -LARGEST_CHAIN - 1 : -1]:
        try:
            yield from _broken_at(problem, root, variable, node)
        except MatcalcError:
            continue


def _broken_at(problem: Problem, root: Node, variable: Variable, node: Node) -> Iterator[Candidate]:
    stand_in = Variable("inner", node.shape, ("intermediate",))
    outer = substitute(differentiate(substitute(root, {node: stand_in}), stand_in), {stand_in: node})
    text = problem.text(node)
    by_variable = differentiate(node, variable)
    if node != root:
        yield Candidate("chain", simplify(outer)[0], part=text, instead=_said(problem, by_variable))
    if not (isinstance(node, Map) and len(node.args) == 1 and node.axes[0] == tuple(range(node.order))):
        return
    lead = root.order
    through = _contracted(outer, by_variable, lead, node.order)
    argument = node.args[0]
    dropped = _contracted(outer, differentiate(argument, variable), lead, node.order)
    names = tuple(range(lead + node.order))
    slope = _slope(node)
    twice = _contracted(product([(outer, 1, names), (slope, 1, names[lead:])], names), by_variable, lead, node.order)
    rest = minus(problem.derivative.raw, through)
    for kind, other in (("chain", dropped), ("extra chain", twice)):
        (total,) = simplify(plus(rest, other))
        if problem.layout != "gradient":
            total = arrange(total, (lead, variable.order), problem.layout).node
        yield Candidate(kind, total, part=text, instead=_said(problem, slope))


def _said(problem: Problem, node: Node) -> str:
    """A short formula in commas; nothing for a long one."""
    text = problem.text(present(node)) if node.order <= 2 else ""
    return f", {text}," if text and len(text) <= LONGEST_PART else ""


def _slope(node: Map) -> Node:
    """The derivative of an entrywise function at its argument."""
    argument = node.args[0]
    stand_in = Variable("inner", argument.shape, ("intermediate",))
    names = tuple(range(node.order))
    total = product([(Map(node.op, (stand_in,), node.axes, node.shape), 1, names)], ())
    return substitute(differentiate(total, stand_in), {stand_in: argument})


def _contracted(outer: Node, inner: Node, lead: int, order: int) -> Node:
    """The chain rule: the last axes of one derivative with the first ones of the other."""
    left = tuple(range(lead + order))
    behind = inner.order - order
    right = (*left[lead:], *range(lead + order, lead + order + behind))
    return product([(outer, 1, left), (inner, 1, right)], (*left[:lead], *right[order:]))


# --- factors -------------------------------------------------------------------------------------


def factors(problem: Problem) -> Iterator[Candidate]:
    """A piece of the formulas as a factor too many or too few: entrywise, by rows or columns, or as a matrix."""
    right, claim = problem.derivative.node, problem.node
    for piece in _pool(problem):
        text = problem.text(piece)
        for node in _scaled(right, piece):
            yield Candidate("extra factor", node, "claim", text)
        if claim is not None:
            for node in _scaled(claim, piece):
                yield Candidate("missing factor", node, "right", text)


def _pool(problem: Problem) -> list[Node]:
    """The intermediates of the expression, of its derivative and of the claim, and the slopes of its functions."""
    roots = [problem.expr.simplified, problem.derivative.node, problem.readable]
    if problem.node is not None:
        roots.append(problem.node)
    found: dict[bytes, Node] = {}
    for node in postorder(*roots):
        if isinstance(node, Structure) or node.order > 2 or as_number(node) is not None or node in roots[1:]:
            continue
        found.setdefault(node.digest, node)
        if isinstance(node, Map) and len(node.args) == 1 and OPERATIONS[node.op].slopes:
            slope = simplify(_slope(node))[0]
            found.setdefault(slope.digest, slope)
    return list(found.values())[:LARGEST_POOL]


def _scaled(node: Node, piece: Node) -> Iterator[Node]:
    names = tuple(range(node.order))
    if node.order >= piece.order > 0:
        for axes in permutations(names, piece.order):
            if tuple(node.shape[axis] for axis in axes) == piece.shape:
                yield product([(node, 1, names), (piece, 1, axes)], names)
    if piece.order == 2 and 1 <= node.order <= 2:
        inner = 10
        for axis in names:
            for side in (0, 1):
                if piece.shape[side] == node.shape[axis]:
                    labels = tuple(inner if name == axis else name for name in names)
                    matrix = (inner, axis) if side == 0 else (axis, inner)
                    yield product([(node, 1, labels), (piece, 1, matrix)], names)
    if piece.order == 1 and node.order == 1:
        # a vector in front of or behind another one: outer products
        yield product([(node, 1, (0,)), (piece, 1, (1,))], (0, 1))
        yield product([(node, 1, (1,)), (piece, 1, (0,))], (0, 1))


# --- small changes -------------------------------------------------------------------------------


def repairs(problem: Problem) -> Iterator[Candidate]:
    """The claim with one small change."""
    if problem.reading is None:
        return
    wanted = problem.derivative.node
    for edit in edits(problem.reading.tree):
        try:
            node = meaning(edit.tree, problem.expr, wanted.shape).node
        except MatcalcError:
            continue
        if node.shape == wanted.shape:
            yield Candidate(edit.row.undone, node, "right", edit.part, edit.instead)


def mistakes(problem: Problem) -> Iterator[Candidate]:
    """The right formula, as it is printed, with one small change."""
    if problem.node is None:
        return
    for edit in edits(read(problem.derivative.formula)):
        try:
            node = meaning(edit.tree, problem.expr, problem.node.shape).node
        except MatcalcError:
            continue
        if node.shape == problem.node.shape:
            yield Candidate(edit.row.made, node, "claim", edit.part, edit.instead)
