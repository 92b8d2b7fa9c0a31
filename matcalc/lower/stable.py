"""Nodes in forms that stay finite: logarithms of probabilities, quotients that cancel, masks that select.

``recognised`` may be used before differentiation too, so that no reciprocal of a probability appears in the first
place. `stable` also repairs what derivatives of other forms leave behind: ``s .* (y ./ s)`` is ``y``, a mask times
``1 ./ x`` selects instead of multiplying 0 with infinity, and numbers that all terms share are taken out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction

from ..expr.build import add, is_ones, is_symmetric, number, product, scale, split_coefficient, with_children, zeros
from ..expr.dims import Dim
from ..expr.facts import is_definite, is_nonnegative
from ..expr.nodes import Call, Exact, Map, Node, Product, Structure, Sum, Variable, derived, postorder

Operand = tuple[Node, Exact, tuple[int, ...]]
Terms = list[tuple[Exact, Node]]
Rule = Callable[[Node], Node | None]

MASKS = frozenset({"step", "lt", "le", "gt", "ge", "eq", "ne"})
"""Maps whose value is 0 or 1."""

FINITE = frozenset(
    {
        *MASKS, "sin", "cos", "tanh", "atan", "asinh", "sigmoid", "softplus", "relu", "leaky_relu", "elu", "selu",
        "silu", "gelu", "abs", "sign", "floor", "ceil", "round", "maximum", "minimum", "erf", "erfc", "normpdf",
        "normcdf", "huber", "cbrt", "hypot",
    }
)  # fmt: skip
"""Maps that are finite wherever their operands are."""

ENTRY_STRUCTURES = frozenset({"unit", "select"})
LARGEST_DISTRIBUTED = 8
LARGEST_EXPANDED = 24
LARGEST_PRODUCT = 24
NARROWED = 4
"""Through how many functions and sums a diagonal is followed to a product."""


def stable(*roots: Node) -> tuple[Node, ...]:
    """The same values in forms that are finite wherever the values are.

    >>> from matcalc.expr.build import elementwise
    >>> z = Variable("z", (Dim.of("n"),))
    >>> (node,) = stable(elementwise("log", elementwise("sigmoid", z)))
    >>> node == scale(-1, elementwise("softplus", scale(-1, z)))
    True
    """
    return _hoisted(_narrowed(_guarded(_rebuilt(roots, *RECOGNISED, _cancel))))


def _rebuilt(roots: Sequence[Node], *rules: Rule) -> tuple[Node, ...]:
    """Every node after a rule, from the leaves up; then after the next rule."""
    current = tuple(roots)
    order = list(postorder(*current))
    for rule in rules:
        changed: dict[bytes, Node] = {}
        for node in order:
            new = node
            if changed and any(child.digest in changed for child in node.children):
                new = with_children(node, [changed.get(child.digest, child) for child in node.children])
            new = rule(new) or new
            if new is not node:
                changed[node.digest] = new
        if changed:
            current = tuple([changed.get(root.digest, root) for root in current])
            order = list(postorder(*current))
    return current


# --- logarithms ----------------------------------------------------------------------------------


def recognised(*roots: Node) -> tuple[Node, ...]:
    """The logarithm of a probability as a function of its own, and cross-entropy of logits in the usual form."""
    return _rebuilt(roots, *RECOGNISED)


SMOOTH = {"det": "smooth_det", "adj": "smooth_adj"}
"""Functions whose usual derivative has an inverse in it that is not needed."""


def differentiable(*roots: Node) -> tuple[Node, ...]:
    """Forms whose derivatives are finite wherever derivatives exist: `recognised`, and determinants by cofactors.

    The derivative ``det(X) X^-T`` is the matrix of cofactors, which exists for singular matrices, too. A determinant
    that is divided by or whose logarithm is taken stays: it is not 0 there.
    """
    nodes = _rebuilt(recognised(*roots), _spectral_sum)
    kept: set[Node] = set()
    for node in postorder(*nodes):
        if isinstance(node, Map):
            kept.update(node.args)
        elif isinstance(node, Product):
            kept.update(f.node for f in node.factors if not isinstance(f.exponent, int) or f.exponent < 0)

    def smooth(node: Node) -> Node | None:
        if not isinstance(node, Call) or node.op not in SMOOTH or node in kept or is_definite(node.args[0]):
            return None
        return Call(SMOOTH[node.op], node.args, node.shape, node.parameters, node.properties)

    return _rebuilt(nodes, smooth)


def _spectral_sum(node: Node) -> Node | None:
    """Sums over a spectrum as functions of the matrix, which are smooth where eigenvalues are repeated.

    ``sum(svdvals(X)) = nuclear(X)`` and ``sum(exp(eigvals(X))) = tr(expm(X))``.
    """
    if not isinstance(node, Product):
        return None
    factors: list[Operand] = []
    for base, exponent, labels in _factors(node):
        alone = len(labels) == 1 and sum(labels[0] in names for _, _, names in node.factors) == 1
        total = _of_spectrum(base) if alone and exponent == 1 and labels[0] in node.summed else None
        factors.append((base, exponent, labels) if total is None else (total, 1, ()))
    if all(new is old.node for (new, _, _), old in zip(factors, node.factors, strict=True)):
        return None
    used = {label for _, _, labels in factors for label in labels}
    sizes = {label: dim for label, dim in _sizes_of(node).items() if label < node.order or label in used}
    return product(factors, range(node.order), sizes)


def _of_spectrum(node: Node) -> Node | None:
    if isinstance(node, Call) and node.op == "svdvals":
        return Call("nuclear", node.args, (), node.parameters)
    if not _is_exponential(node):
        return None
    inside = node.children[0]
    if not isinstance(inside, Call) or inside.op != "eigvals" or inside.args[0].order != 2:
        return None
    (matrix,) = inside.args
    if not is_symmetric(matrix):
        turned = product([(matrix, 1, (1, 0))], range(2))
        matrix = add([(Fraction(1, 2), matrix), (Fraction(1, 2), turned)], matrix.shape)
    return product([(Call("expm", (matrix,), matrix.shape), 1, (0, 0))], ())


def named_as_written(*roots: Node) -> tuple[Node, ...]:
    """The nodes with the names that `differentiable` replaced."""
    usual = {smooth: name for name, smooth in SMOOTH.items()}

    def rename(node: Node) -> Node | None:
        if not isinstance(node, Call) or node.op not in usual:
            return None
        return Call(usual[node.op], node.args, node.shape, node.parameters, node.properties)

    return _rebuilt(roots, rename)


def _logarithm(node: Node) -> Node | None:
    """The logarithm of what is made of exponentials and probabilities, without either."""
    if not (isinstance(node, Map) and node.op in ("log", "log1p") and node.axes == (tuple(range(node.order)),)):
        return None
    (arg,) = node.args
    if node.op == "log1p":
        inside = _exponent(arg)
        return None if inside is None or is_ones(arg) else _unary("softplus", inside)
    return _logarithm_of(arg)


def _logarithm_of(arg: Node) -> Node | None:
    """The logarithm of a node where it has a form of its own.

    ``softmax(z)``, ``sigmoid(u)``, ``1 - sigmoid(u)``, ``cosh(u)``, ``1 - tanh(u)^2``, sums of exponentials, and
    products of these.
    """
    if isinstance(arg, Call) and arg.op == "softmax":
        return Call("log_softmax", arg.args, arg.shape, arg.parameters)
    if isinstance(arg, Map) and arg.op == "sigmoid":
        return scale(-1, _unary("softplus", scale(-1, arg.args[0])))
    if isinstance(arg, Map) and arg.op == "cosh":
        return _logarithm_of_cosh(arg.args[0])
    complement = _one_minus(arg)
    if isinstance(complement, Map) and complement.op == "sigmoid":
        return scale(-1, _unary("softplus", complement.args[0]))
    if complement is not None:
        square = _factors(complement)
        if len(square) == 1 and square[0][1] == 2 and isinstance(square[0][0], Map) and square[0][0].op == "tanh":
            return scale(-2, _logarithm_of_cosh(square[0][0].args[0]))
    coefficient, inner = split_coefficient(arg)
    if coefficient > 0 and coefficient != 1:
        found = _logarithm_of(inner)
        return None if found is None else add([(1, found), (1, _spread(_log_of_number(coefficient), arg))], arg.shape)
    if isinstance(arg, Call) and arg.op == "prod":
        found = _logarithm_of(arg.args[0])
        sizes = dict(enumerate(arg.args[0].shape))
        return None if found is None else product([(found, 1, tuple(sizes))], range(arg.order), sizes)
    return _logarithm_of_exponentials(arg) or _logarithm_of_factors(arg) or _logarithm_of_entries(arg)


def _logarithm_of_cosh(u: Node) -> Node:
    tail = add([(1, _unary("softplus", scale(2, u))), (-1, u)], u.shape)
    return add([(1, tail), (-1, _spread(_log_of_number(2), u))], u.shape)


def _log_of_number(value: Exact) -> Node:
    return Map("log", (number(value),), ((),), ())


def _exponent(node: Node) -> Node | None:
    """The u of ``exp(u)``, of a product of exponentials, or of ones."""
    if is_ones(node):
        return zeros(node.shape)
    if isinstance(node, Product) and list(node.summed):
        return None
    terms: Terms = []
    for inner, exponent, labels in _factors(node):
        if not _is_exponential(inner):
            return None
        terms.append((exponent, product([(inner.children[0], 1, labels)], range(node.order), _sizes_of(node))))
    return add(terms, node.shape) if terms else None


def _is_exponential(node: Node) -> bool:
    return isinstance(node, Map) and node.op == "exp" and node.axes == (tuple(range(node.order)),)


def _logarithm_of_exponentials(arg: Node) -> Node | None:
    """``log(exp(u) + exp(v)) = u + softplus(v - u)``, term after term."""
    if not isinstance(arg, Sum) or not 2 <= len(arg.terms) <= LARGEST_DISTRIBUTED:
        return None
    total: Node | None = None
    for coefficient, part in arg.terms:
        inside = _exponent(part)
        if inside is None or coefficient <= 0:
            return None
        if coefficient != 1:
            inside = add([(1, inside), (1, _spread(_log_of_number(coefficient), arg))], arg.shape)
        if total is None:
            total = inside
            continue
        total = add([(1, total), (1, _unary("softplus", add([(1, inside), (-1, total)], arg.shape)))], arg.shape)
    return total


def _logarithm_of_factors(arg: Node) -> Node | None:
    """The sum of the logarithms of factors that are positive, if one of them has a form of its own."""
    if not isinstance(arg, Product):
        return None
    terms: Terms = []
    recognised_one = False
    summed: list[Operand] = []
    for inner, exponent, labels in _factors(arg):
        if set(labels) & set(arg.summed):
            summed.append((inner, exponent, labels))
            continue
        own = _logarithm_of(inner)
        recognised_one = recognised_one or own is not None
        if own is None:
            if not _away_from_zero(inner):
                return None
            own = _unary("log", inner)
        terms.append((exponent, product([(own, 1, labels)], range(arg.order), _sizes_of(arg))))
    if summed:
        total = _logarithm_of_sum(arg, summed)
        if total is None:
            return None
        terms.append((1, total))
    elif not recognised_one or any(label in arg.summed for label in _sizes_of(arg)):
        return None
    return add(terms, arg.shape)


def _logarithm_of_sum(arg: Product, summed: Sequence[Operand]) -> Node | None:
    """The log-sum-exp of the one factor that carries the summed labels of a product."""
    if len(summed) != 1:
        return None
    base, exponent, labels = summed[0]
    if exponent != 1 or not _is_exponential(base) or len(set(labels)) < len(labels) or set(arg.summed) - set(labels):
        return None
    kept = [label for label in labels if label not in arg.summed]
    names = {label: place for place, label in enumerate([*kept, *arg.summed])}
    sizes = _sizes_of(arg)
    inside = product(
        [(base.children[0], 1, tuple(names[label] for label in labels))],
        range(len(names)),
        {place: sizes[label] for label, place in names.items()},
    )
    shape = tuple(sizes[label] for label in kept)
    total = Call("logsumexp", (inside,), shape, (("core", len(list(arg.summed))),))
    return product([(total, 1, tuple(kept))], range(arg.order), {label: sizes[label] for label in range(arg.order)})


# --- quotients of exponentials -------------------------------------------------------------------


def _quotient(node: Node) -> Node | None:
    """Exponentials over sums of exponentials as sigmoid, softmax and tanh; roots of exponentials as exponentials."""
    if not isinstance(node, Product):
        return None
    if any(_is_exponential(base) and not isinstance(exponent, int) for base, exponent, _ in node.factors):
        return product([_rooted(factor) for factor in _factors(node)], range(node.order), _sizes_of(node))
    for place, (divisor, power, labels) in enumerate(node.factors):
        if power != -1:
            continue
        for other, (inner, exponent, own) in enumerate(node.factors):
            if exponent != 1 or other == place:
                continue
            found = _share(divisor, labels, inner, own) or _share_inside(divisor, labels, inner, own)
            if found is not None:
                rest = [factor for k, factor in enumerate(_factors(node)) if k not in (place, other)]
                return product([*rest, found], range(node.order), _sizes_of(node))
    return None


def _rooted(factor: Operand) -> Operand:
    node, exponent, labels = factor
    if not _is_exponential(node) or isinstance(exponent, int):
        return factor
    return _unary("exp", scale(exponent, node.children[0])), 1, labels


def _share_inside(divisor: Node, labels: tuple[int, ...], inner: Node, own: tuple[int, ...]) -> Operand | None:
    """``(exp(z)^T y) / sum(exp(z))``: the divisor taken into a product."""
    if not isinstance(inner, Product) or not set(labels) <= set(own) or len(set(own)) < len(own):
        return None
    inside = tuple(own.index(label) for label in labels)
    for place, (base, exponent, names) in enumerate(inner.factors):
        found = _share(divisor, inside, base, names) if exponent == 1 else None
        if found is not None:
            rest = [factor for k, factor in enumerate(_factors(inner)) if k != place]
            return product([*rest, found], range(inner.order), _sizes_of(inner)), 1, own
    return None


def _share(divisor: Node, labels: tuple[int, ...], inner: Node, own: tuple[int, ...]) -> Operand | None:
    """``exp(u) / (exp(u) + exp(v))`` as a sigmoid, ``exp(z) / sum(exp(z))`` as a softmax, and tanh."""
    if isinstance(divisor, Sum) and len(divisor.terms) == 2 and labels == own:
        (first, u), (second, v) = divisor.terms
        ends = _exponent(u), _exponent(v)
        if ends[0] is None or ends[1] is None or first != second or first <= 0:
            return None
        difference = add([(1, ends[0]), (-1, ends[1])], divisor.shape)
        if isinstance(inner, Sum) and len(inner.terms) == 2:
            # (exp(u) - exp(v)) / (exp(u) + exp(v)) is the tanh of half the difference
            signs = {part: coefficient for coefficient, part in inner.terms}
            if signs.get(u) is None or signs.get(v) != -signs[u]:
                return None
            share = _unary("tanh", scale(Fraction(1, 2), difference))
            return scale(Fraction(signs[u]) / Fraction(first), share), 1, own
        if inner not in (u, v) or is_ones(inner):
            return None
        share = _unary("sigmoid", difference if inner == u else scale(-1, difference))
        return scale(Fraction(1) / Fraction(first), share), 1, own
    if not _is_exponential(inner) or not isinstance(divisor, Product) or len(divisor.factors) != 1:
        return None
    base, exponent, names = divisor.factors[0]
    summed = list(divisor.summed)
    if base != inner or exponent != 1 or len(summed) != 1 or sorted(names) != list(range(len(names))):
        return None
    if len(set(own)) < len(own) or any(
        own[axis] != labels[name] for axis, name in enumerate(names) if name < len(labels)
    ):
        return None
    z = inner.children[0]
    turned = product([(z, 1, names)], range(len(names)), dict(zip(names, z.shape, strict=True)))
    return Call("softmax", (turned,), turned.shape), 1, (*labels, own[names.index(summed[0])])


def _logarithm_of_entries(arg: Node) -> Node | None:
    """The logarithm of entries of a probability: the entries of its logarithm."""
    if not isinstance(arg, Product):
        return None
    inside = [factor for factor in arg.factors if not isinstance(factor.node, Structure)]
    if len(inside) != 1 or inside[0].exponent != 1 or len(set(inside[0].labels)) < len(inside[0].labels):
        return None
    chosen: set[int] = set()
    for factor in arg.factors:
        if factor is inside[0]:
            continue
        if not isinstance(factor.node, Structure) or factor.node.kind not in ENTRY_STRUCTURES or factor.exponent != 1:
            return None
        label = factor.labels[-1]
        if label not in arg.summed or label in chosen or any(kept in arg.summed for kept in factor.labels[:-1]):
            return None
        if len(factor.labels) == 2 and factor.labels[0] in inside[0].labels:
            return None
        chosen.add(label)
    if chosen != set(arg.summed) or not chosen <= set(inside[0].labels):
        return None
    base = inside[0].node
    found = _logarithm_of(base)
    if found is None:
        return None
    factors: list[Operand] = [(found, 1, f.labels) if f is inside[0] else f for f in arg.factors]
    return product(factors, range(arg.order), dict(enumerate(arg.sizes)))


def _unary(op: str, arg: Node) -> Node:
    return Map(op, (arg,), (tuple(range(arg.order)),), arg.shape)


def _spread(scalar: Node, like: Node) -> Node:
    return product([(scalar, 1, ())], range(like.order), dict(enumerate(like.shape)))


def _one_minus(node: Node) -> Node | None:
    """The p of ``1 - p``."""
    if not isinstance(node, Sum) or len(node.terms) != 2:
        return None
    for one, other in (node.terms, node.terms[::-1]):
        if one.coefficient == 1 and is_ones(one.node) and other.coefficient == -1:
            return other.node
    return None


def _logits(node: Node) -> Node | None:
    """A sum in which a sigmoid or softplus of u and of -u meet, in those of u alone, where that is shorter."""
    if not isinstance(node, Sum) or len(node.terms) < 2:
        return None
    arguments: dict[Node, None] = {}
    for _, part in node.terms:
        for inner, _, _ in _factors(part):
            if isinstance(inner, Map) and inner.op in ("sigmoid", "softplus"):
                arguments[inner.args[0]] = None
    turned = {arg for arg in arguments if split_coefficient(arg)[0] < 0 and scale(-1, arg) in arguments}
    if not turned:
        return None
    terms: Terms = []
    for coefficient, part in node.terms:
        factors = [(_upright(inner, turned), exponent, labels) for inner, exponent, labels in _factors(part)]
        terms.append((coefficient, product(factors, range(node.order), _sizes_of(part))))
    return _shorter(node, terms)


def _upright(node: Node, turned: set[Node]) -> Node:
    """``1 - sigmoid(u)`` for ``sigmoid(-u)`` and ``softplus(u) - u`` for ``softplus(-u)``."""
    if not isinstance(node, Map) or node.op not in ("sigmoid", "softplus") or node.args[0] not in turned:
        return node
    u = scale(-1, node.args[0])
    value = _unary(node.op, u)
    if node.op == "sigmoid":
        return add([(1, product([], range(u.order), dict(enumerate(u.shape)))), (-1, value)], u.shape)
    return add([(1, value), (-1, u)], u.shape)


def _factors(node: Node) -> list[Operand]:
    if isinstance(node, Product):
        return [(factor.node, factor.exponent, factor.labels) for factor in node.factors]
    return [(node, 1, tuple(range(node.order)))]


def _sizes_of(node: Node) -> dict[int, Dim]:
    return dict(enumerate(node.sizes if isinstance(node, Product) else node.shape))


RECOGNISED: Sequence[Rule] = (_logarithm, _quotient, _logits)
"""What `recognised` does, in this order."""


def _shorter(node: Node, terms: Terms) -> Node | None:
    """The sum of terms with products of short sums written out, when that is shorter than the node."""
    pending = list(reversed(terms))
    flat: Terms = []
    while pending:
        coefficient, part = pending.pop()
        part_coefficient, part = split_coefficient(part)
        coefficient = Fraction(coefficient) * part_coefficient
        factors = _factors(part)
        place = next(
            (k for k, (inner, exponent, _) in enumerate(factors)
             if exponent == 1 and isinstance(inner, Sum) and 2 <= len(inner.terms) <= 3),
            None,
        )  # fmt: skip
        if place is None:
            flat.append((coefficient, part))
            continue
        if len(pending) + len(flat) > LARGEST_EXPANDED:
            return None
        inner, _, labels = factors[place]
        assert isinstance(inner, Sum)
        for c, term in inner.terms:
            # a contraction (the logits X w) stays one factor, for the other terms have it too
            whole = isinstance(term, Product) and bool(list(term.summed))
            middle = [(term, 1, labels)] if whole else _renamed(term, labels, factors, part)
            opened = product(
                [*factors[:place], *middle, *factors[place + 1 :]],
                range(node.order),
                _sizes_of(part),
            )
            pending.append((coefficient * c, opened))
    total = add(flat, node.shape)
    return total if _length(total) < _length(node) else None


def _renamed(term: Node, labels: tuple[int, ...], factors: Sequence[Operand], whole: Node) -> list[Operand]:
    """The factors of a term in place of the sum it is from, with summed labels that are free."""
    if not isinstance(term, Product):
        return [(term, 1, labels)]
    used = [label for _, _, names in factors for label in names]
    fresh = 1 + max([*used, *_sizes_of(whole)], default=-1)
    names = dict(enumerate(labels))
    names.update({label: fresh + place for place, label in enumerate(term.summed)})
    # a label that the term is constant along is kept by the other factors, or by the sizes of the whole
    return [(inner, exponent, tuple(names[label] for label in own)) for inner, exponent, own in _factors(term)]


def _length(node: Node) -> int:
    """How many factors are written."""
    pending = [node]
    count = 0
    while pending:
        part = pending.pop()
        if isinstance(part, Sum):
            pending += [inner for _, inner in part.terms]
            count += len(part.terms)
        elif isinstance(part, Product):
            count += len(part.factors)
            pending += [f.node for f in part.factors if isinstance(f.node, Sum) and len(f.node.terms) <= 3]
        if count > 10 * LARGEST_EXPANDED:
            break
    return count


# --- quotients that cancel -----------------------------------------------------------------------


def _cancel(node: Node) -> Node | None:
    """A product in which a probability meets its reciprocal inside a factor: ``s .* (y ./ s)`` is ``y``."""
    changed: Node = node
    for _ in range(LARGEST_DISTRIBUTED):
        coefficient, inner = split_coefficient(changed)
        following = _cancel_once(inner) if isinstance(inner, Product) else None
        if following is None:
            break
        changed = scale(coefficient, following)
    return changed


def _cancel_once(node: Product) -> Node | None:
    powers = {(f.node, f.labels): f.exponent for f in node.factors if _can_vanish(f.node)}
    if not powers:
        return None
    picked = _picked(node, powers) or _tangents(node, powers)
    if picked is not None:
        return picked
    for place, (inner, exponent, labels) in enumerate(node.factors):
        if exponent != 1:
            continue
        if isinstance(inner, Product):
            if len(node.factors) + len(inner.factors) <= LARGEST_PRODUCT and _meets(inner, labels, powers):
                factors = _factors(node)
                opened = [*factors[:place], *_renamed(inner, labels, factors, node), *factors[place + 1 :]]
                sizes = _sizes_of(node)
                return product(opened, range(node.order), sizes)
        elif isinstance(inner, Sum) and 2 <= len(inner.terms) <= LARGEST_DISTRIBUTED:
            if not any(isinstance(part, Product) and _meets(part, labels, powers) for _, part in inner.terms):
                continue
            return _distributed(node, place, powers)
    return None


def _picked(node: Product, powers: Mapping[tuple[Node, tuple[int, ...]], Exact]) -> Node | None:
    """``e_k .* p`` over the k-th entry of p is ``e_k``."""
    for entry in node.factors:
        if entry.exponent >= 0 or entry.labels or not isinstance(entry.node, Product):
            continue
        inside = entry.node.factors
        unit = next((f for f in inside if isinstance(f.node, Structure) and f.node.kind == "unit"), None)
        if unit is None or len(inside) != 2:
            continue
        (base,) = (f for f in inside if f is not unit)
        for factor in node.factors:
            if factor.node != unit.node or base.exponent != 1 or powers.get((base.node, factor.labels), 0) <= 0:
                continue
            operands: list[Operand] = [
                (entry.node, other.exponent, ()) if other.node == base.node and other.labels == factor.labels else other
                for other in node.factors
            ]
            return product(operands, range(node.order), _sizes_of(node))
    return None


def _tangents(node: Product, powers: Mapping[tuple[Node, tuple[int, ...]], Exact]) -> Node | None:
    """``sinh(u) / cosh(u)`` is ``tanh(u)``."""
    for place, (base, exponent, labels) in enumerate(node.factors):
        if not isinstance(base, Map) or base.op != "sinh" or exponent <= 0:
            continue
        below = _unary("cosh", base.args[0])
        if powers.get((below, labels), 0) > -1:
            continue
        rest = [factor for k, factor in enumerate(_factors(node)) if k != place]
        turned: list[Operand] = [(_unary("tanh", base.args[0]), 1, labels), (below, 1, labels)]
        if exponent != 1:
            turned.append((base, exponent - 1, labels))
        return product([*rest, *turned], range(node.order), _sizes_of(node))
    return None


def _can_vanish(node: Node) -> bool:
    """Whether a node is a probability, which may be so small that its reciprocal is infinite."""
    if isinstance(node, Sum):
        return len(node.terms) == 2 and any(_can_vanish(part) for _, part in node.terms if not isinstance(part, Sum))
    return (isinstance(node, Map) and node.op in ("sigmoid", "exp", "softplus", "normcdf", "normpdf", "cosh")) or (
        isinstance(node, Call) and node.op in ("softmax", "prod")
    )


def _meets(inner: Product, labels: tuple[int, ...], powers: Mapping[tuple[Node, tuple[int, ...]], Exact]) -> bool:
    """Whether a factor of an inner product cancels with one outside."""
    for node, exponent, own in _factors(inner):
        if any(label in inner.summed for label in own):
            continue
        outside = powers.get((node, tuple(labels[label] for label in own)))
        if outside is not None and (outside > 0) != (exponent > 0):
            return True
    return False


def _distributed(node: Product, place: int, powers: Mapping[tuple[Node, tuple[int, ...]], Exact]) -> Node | None:
    """A product with the vanishing factors multiplied into the terms of the sum that divides by them."""
    inner, _, labels = node.factors[place]
    assert isinstance(inner, Sum)
    if len(set(labels)) < len(labels):
        return None
    moved: list[int] = []
    for k, factor in enumerate(node.factors):
        if (factor.node, factor.labels) not in powers or k == place or not set(factor.labels) <= set(labels):
            continue
        alone = {(factor.node, factor.labels): factor.exponent}
        if any(isinstance(part, Product) and _meets(part, labels, alone) for _, part in inner.terms):
            moved.append(k)
    if not moved:
        return None
    axes = {label: axis for axis, label in enumerate(labels)}
    factors = [
        (node.factors[k].node, node.factors[k].exponent, tuple(axes[label] for label in node.factors[k].labels))
        for k in moved
    ]
    whole = tuple(range(inner.order))
    terms: Terms = []
    for coefficient, part in inner.terms:
        made: Node = product([*factors, *_renamed(part, whole, [(part, 1, whole)], part)], whole, _sizes_of(inner))
        terms.append((coefficient, made))
    total = add(terms, inner.shape)
    total = _shorter(total, terms) or total
    rest: list[Operand] = [factor for k, factor in enumerate(node.factors) if k != place and k not in moved]
    return product([*rest, (total, 1, labels)], range(node.order), _sizes_of(node))


# --- masks ---------------------------------------------------------------------------------------


def _guarded(roots: Sequence[Node]) -> tuple[Node, ...]:
    """Products of a mask and something that may be infinite where the mask is 0, as a selection."""
    if not any(isinstance(node, Map) and node.op in MASKS for node in postorder(*roots)):
        return tuple(roots)
    return _rebuilt(roots, _guard)


def _guard(node: Node) -> Node | None:
    if not isinstance(node, Product) or not any(_masks(factor.node) for factor in node.factors):
        return None
    masks = [(mask, own) for mask, own in _product_masks(_factors(node)) if len(set(own)) == len(own)]
    removed: set[int] = set()
    added: list[Operand] = []
    for place, (inner, exponent, labels) in enumerate(node.factors):
        if len(set(labels)) < len(labels) or not _unbounded_factor(inner, exponent):
            continue
        known = {(mask, tuple(labels[axis] for axis in own)) for mask, own in _masks(inner)} if exponent > 0 else set()
        wanted = [(mask, own) for mask, own in masks if (mask, own) not in known and _belongs(set(own), set(labels))]
        if not wanted:
            continue
        names, guarded = labels, product([(inner, exponent, tuple(range(inner.order)))], range(inner.order))
        for mask, own in wanted:
            union = (*names, *(label for label in own if label not in names))
            shapes = {**dict(zip(names, guarded.shape, strict=True)), **dict(zip(own, mask.shape, strict=True))}
            places = {label: axis for axis, label in enumerate(union)}
            axes = (tuple(places[label] for label in own), tuple(places[label] for label in names), ())
            guarded = Map("where", (mask, guarded, number(0)), axes, tuple(shapes[label] for label in union))
            names = union
            for k, factor in enumerate(node.factors):
                if factor.node == mask and factor.labels == own and factor.exponent > 0:
                    # what is selected is 0 where the mask is
                    removed.add(k)
        removed.add(place)
        added.append((guarded, 1, names))
    if not added:
        return None
    rest: list[Operand] = [factor for k, factor in enumerate(node.factors) if k not in removed]
    return product([*rest, *added], range(node.order), _sizes_of(node))


def _belongs(mask: set[int], factor: set[int]) -> bool:
    """Whether a mask may say where a factor is wanted; a number is wanted everywhere."""
    return mask <= factor or bool(factor and factor <= mask)


Located = tuple[Node, tuple[int, ...]]


def _masks(node: Node) -> frozenset[Located]:
    """The masks, each with the axes it lies on, where whose 0 the node is 0."""
    return derived(node, "masks", _own_masks)


def _own_masks(node: Node) -> frozenset[Located]:
    if isinstance(node, Map) and node.op in MASKS:
        return frozenset({(node, tuple(range(node.order)))})
    if isinstance(node, Map) and node.op == "where" and node.args[2] == number(0):
        return frozenset({(node.args[0], node.axes[0])})
    if isinstance(node, Sum) and node.terms:
        parts = [part.cache["masks"] for _, part in node.terms]
        return frozenset(parts[0].intersection(*parts[1:]))
    if isinstance(node, Product):
        inside = _product_masks(_factors(node))
        return frozenset((mask, labels) for mask, labels in inside if all(label < node.order for label in labels))
    return frozenset()


def _product_masks(factors: Iterable[Operand]) -> list[Located]:
    found: dict[Located, None] = {}
    tied: list[tuple[int, ...]] = []
    for inner, exponent, labels in factors:
        if isinstance(inner, Structure) and inner.kind == "delta":
            tied.append(labels)
        elif exponent > 0:
            own = sorted(_masks(inner), key=lambda located: (located[0].digest, located[1]))
            found.update({(mask, tuple(labels[axis] for axis in axes)): None for mask, axes in own})
    for one, other in (ends for left, right in tied for ends in ((left, right), (right, left))):
        # off a diagonal the product is 0 anyway, on it a mask of the rows is one of the columns
        for mask, labels in list(found):
            if one in labels:
                found[mask, tuple(other if label == one else label for label in labels)] = None
    return list(found)


def _unbounded(node: Node) -> bool:
    """Whether an entry of a node may be infinite or not defined for finite data."""
    return derived(node, "unbounded", _own_unbounded)


def _own_unbounded(node: Node) -> bool:
    if isinstance(node, Map):
        args = node.args[1:] if node.op == "where" else node.args
        if any(arg.cache["unbounded"] for arg in args):
            return True
        if node.op == "exp":
            return not is_nonnegative(scale(-1, node.args[0])) and not _is_cut(node.args[0])
        return node.op not in FINITE and node.op != "where"
    if isinstance(node, Sum):
        return any(part.cache["unbounded"] for _, part in node.terms)
    if isinstance(node, Product):
        # where a sum is taken, an infinity has nothing to do with a mask at one place
        return any(
            _unbounded_factor(inner, exponent)
            for inner, exponent, labels in _factors(node)
            if not any(label in node.summed for label in labels)
        )
    return False


def _is_cut(node: Node) -> bool:
    """Whether a node is ``min(x, 0)``."""
    return isinstance(node, Map) and node.op == "minimum" and number(0) in node.args


def _unbounded_factor(node: Node, exponent: Exact) -> bool:
    if _unbounded(node):
        return True
    if exponent < 0:
        return not _away_from_zero(node)
    return not isinstance(exponent, int) and not is_nonnegative(node)


def _away_from_zero(node: Node) -> bool:
    """Whether a node is a size, a number, or at least a positive number."""
    if isinstance(node, Structure):
        return node.kind in ("size", "pi", "e")
    if isinstance(node, Variable):
        return "positive" in node.properties
    if isinstance(node, Product):
        return all(factor.exponent > 0 and _away_from_zero(factor.node) for factor in node.factors)
    if isinstance(node, Sum):
        return is_nonnegative(node) and any(is_ones(part) for _, part in node.terms)
    return False


# --- diagonals -----------------------------------------------------------------------------------


def _narrowed(roots: Sequence[Node]) -> tuple[Node, ...]:
    """The diagonal of a matrix product as sums over its rows, where nothing else of the product is used."""
    whole = {root.digest for root in roots}
    order = list(postorder(*roots))
    if not any(len(set(f.labels)) < len(f.labels) for node in order if isinstance(node, Product) for f in node.factors):
        return tuple(roots)
    for node in reversed(order):
        # consumers come first
        if isinstance(node, Product):
            whole.update(f.node.digest for f in node.factors if len(set(f.labels)) == len(f.labels))
        elif not isinstance(node, Sum | Map) or node.digest in whole:
            whole.update(child.digest for child in node.children)

    def rule(node: Node) -> Node | None:
        if not isinstance(node, Product):
            return None
        factors: list[Operand] = []
        changed = False
        for inner, exponent, labels in _factors(node):
            kept = tuple(dict.fromkeys(labels))
            narrow = None
            if len(kept) < len(labels) and inner.digest not in whole:
                narrow = _entries(inner, tuple(kept.index(label) for label in labels), len(kept))
            factors.append((inner, exponent, labels) if narrow is None else (narrow, exponent, kept))
            changed = changed or narrow is not None
        return product(factors, range(node.order), _sizes_of(node)) if changed else None

    return _rebuilt(roots, rule)


def _entries(node: Node, axes: tuple[int, ...], order: int, depth: int = NARROWED) -> Node | None:
    """A node in which matrices are multiplied with some of its axes tied: axis k becomes axis ``axes[k]``."""
    shape = dict(zip(axes, node.shape, strict=True))
    if isinstance(node, Product):
        return _tied(node, axes, order, shape) if node.summed else None
    if not isinstance(node, Sum | Map) or not depth:
        return None
    own = node.axes if isinstance(node, Map) else ((tuple(range(node.order)),) * len(node.terms))
    children: list[Node] = []
    places: list[tuple[int, ...]] = []
    narrower = False
    for child, lie in zip(node.children, own, strict=True):
        named = tuple(axes[axis] for axis in lie)
        kept = tuple(dict.fromkeys(named)) if isinstance(node, Map) else tuple(range(order))
        tied = tuple(kept.index(axis) for axis in named)
        sizes = {kept.index(axis): shape[axis] for axis in kept}
        found = _entries(child, tied, len(kept), depth - 1) if len(kept) < len(named) else None
        # a function of a diagonal is computed on the diagonal: off it, it may not be defined
        narrower = narrower or found is not None or (isinstance(node, Map) and len(kept) < len(named))
        children.append(_tied(child, tied, len(kept), sizes) if found is None else found)
        places.append(kept)
    if not narrower:
        return None
    result = tuple(shape[axis] for axis in range(order))
    if isinstance(node, Map):
        return Map(node.op, tuple(children), tuple(places), result)
    return add([(term.coefficient, child) for term, child in zip(node.terms, children, strict=True)], result)


def _tied(node: Node, axes: tuple[int, ...], order: int, shape: Mapping[int, Dim]) -> Node:
    names = dict(enumerate(axes))
    if isinstance(node, Product):
        names.update({label: order + place for place, label in enumerate(node.summed)})
    factors = [(inner, exponent, tuple(names[label] for label in own)) for inner, exponent, own in _factors(node)]
    sizes = {names[label]: dim for label, dim in _sizes_of(node).items()}
    return product(factors, range(order), {**sizes, **shape})


# --- numbers that are shared ---------------------------------------------------------------------


def _hoisted(roots: Sequence[Node]) -> tuple[Node, ...]:
    """Scalar factors taken out of sums whose terms all have them, and out of nested products.

    A sum that several nodes use is multiplied once, where it is.
    """
    uses: dict[bytes, int] = {}
    order = list(postorder(*roots))
    for node in order:
        for child in node.children:
            uses[child.digest] = uses.get(child.digest, 0) + 1
    parts: dict[bytes, tuple[tuple[tuple[Node, Exact], ...], Node]] = {}
    whole: dict[bytes, Node] = {}

    def put_together(node: Node) -> Node:
        known = whole.get(node.digest)
        if known is None:
            scalars, core = parts[node.digest]
            known = _times(scalars, core) if scalars else core
            whole[node.digest] = known
        return known

    for node in order:
        if not node.children:
            parts[node.digest] = (), node
        elif isinstance(node, Product) and node.order:
            parts[node.digest] = _hoisted_product(node, parts, put_together)
        elif isinstance(node, Sum) and node.order:
            parts[node.digest] = _hoisted_sum(node, parts, put_together)
            if uses.get(node.digest, 0) > 1 and parts[node.digest][0]:
                parts[node.digest] = (), put_together(node)
        else:
            children = [put_together(child) for child in node.children]
            same = all(new is old for new, old in zip(children, node.children, strict=True))
            parts[node.digest] = (), node if same else with_children(node, children)
    return tuple(put_together(root) for root in roots)


Scalars = tuple[tuple[Node, Exact], ...]
Parts = Mapping[bytes, tuple[Scalars, Node]]


def _times(scalars: Scalars, core: Node) -> Node:
    names = tuple(range(core.order))
    coefficient, inner = split_coefficient(core)
    factors: list[Operand] = [(scalar, exponent, ()) for scalar, exponent in scalars]
    return scale(coefficient, product([*factors, *_factors(inner)], names, _sizes_of(inner)))


def _hoisted_product(node: Product, parts: Parts, put_together: Callable[[Node], Node]) -> tuple[Scalars, Node]:
    scalars: list[tuple[Node, Exact]] = []
    rest: list[Operand] = []
    changed = False
    for inner, exponent, labels in node.factors:
        if not labels:
            scalars.append((put_together(inner), exponent))
            continue
        own, core = parts[inner.digest]
        if own and isinstance(exponent, int):
            scalars += [(scalar, power * exponent) for scalar, power in own]
            rest.append((core, exponent, labels))
            changed = True
            continue
        whole = put_together(inner)
        changed = changed or whole is not inner
        rest.append((whole, exponent, labels))
    if not changed and not scalars:
        return (), node
    if not rest:
        return (), product([(scalar, power, ()) for scalar, power in scalars], range(node.order), _sizes_of(node))
    merged: dict[Node, Exact] = {}
    for scalar, power in scalars:
        merged[scalar] = merged.get(scalar, 0) + power
    core = product(rest, range(node.order), _sizes_of(node))
    return tuple((scalar, power) for scalar, power in merged.items() if power), core


def _hoisted_sum(node: Sum, parts: Parts, put_together: Callable[[Node], Node]) -> tuple[Scalars, Node]:
    if not node.terms:
        return (), node
    common = dict(parts[node.terms[0].node.digest][0])
    for _, part in node.terms[1:]:
        own = dict(parts[part.digest][0])
        common = {scalar: power for scalar, power in common.items() if own.get(scalar) == power}
    terms: Terms = []
    for coefficient, part in node.terms:
        if not common:
            terms.append((coefficient, put_together(part)))
            continue
        scalars, core = parts[part.digest]
        left = tuple((scalar, power) for scalar, power in scalars if scalar not in common)
        terms.append((coefficient, _times(left, core) if left else core))
    if all(new is old.node for (_, new), old in zip(terms, node.terms, strict=True)):
        return (), node
    return tuple(common.items()), add(terms, node.shape, flatten=False)
