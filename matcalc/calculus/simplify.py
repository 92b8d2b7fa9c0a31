"""To the normal form: products flattened where nothing is shared, functions recognised, inverses cancelled.

`simplify` takes all roots of interest at once, because a product with several consumers keeps its identity (an
adjoint, a residual, an activation) while one with a single consumer is merged into it. The rules are small functions
in the tables at the end, by the kind of node they look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise

from ..expr.build import (
    Operand,
    add,
    as_number,
    broadcast,
    delta,
    exact,
    is_ones,
    is_symmetric,
    is_zero,
    magnitude,
    number,
    ones,
    permute,
    power,
    product,
    scale,
    split_coefficient,
    swap_axes,
    trace,
    variables,
    with_children,
    zeros,
)
from ..expr.dims import Dim
from ..expr.facts import is_nonnegative
from ..expr.nodes import ONE, Call, Exact, Factor, Map, Node, Product, Structure, Sum, Variable, postorder
from ..ops.apply import call, map_
from ..ops.registry import OPERATIONS
from ..ops.signature import apply_call, cores
from .structured import structured

#: A product that would grow beyond this many factors keeps its nested products as factors.
LARGEST_PRODUCT = 24

LARGEST_SPECTRAL_POWER = 8

MASKS = frozenset({"step", "lt", "le", "gt", "ge", "eq", "ne"})
#: Maps that rules for products begin with; the others begin with calls, structures, declared properties, and with
#: exponents that are negative or not whole.
MAPS_OF_PRODUCT_RULES = MASKS | {"exp", "sigmoid", "abs", "sign", "pow", "log"}
#: Calls f with f(X^T) = f(X)^T, or f(X^T) = f(X) for scalar values.
COMMUTES_WITH_TRANSPOSE = frozenset(
    {
        "inv",
        "det",
        "logdet",
        "expm",
        "logm",
        "sqrtm",
        "adj",
        "pinv",
        "nuclear",
        "spectral",
        "matpow",
        "tracepow",
    }
)


def simplify(*roots: Node) -> tuple[Node, ...]:
    """The roots in normal form, sharing what they share.

    Parameters
    ----------
    roots: nodes of any shape; a product that several of them use stays one node.
    """
    if len(roots) == 1 and "normal" in roots[0].cache:
        return roots
    current = roots
    for _ in range(8):
        following = _pass(current)
        if following == current:
            break
        current = following
    if len(current) == 1:
        # with other roots beside it, less may be merged into it
        current[0].cache["normal"] = True
    return current


def _pass(roots: tuple[Node, ...]) -> tuple[Node, ...]:
    order = list(postorder(*roots))
    consumers: dict[bytes, int] = {}
    for root in roots:
        consumers[root.digest] = consumers.get(root.digest, 0) + 1
    for node in order:
        for child in node.children:
            consumers[child.digest] = consumers.get(child.digest, 0) + 1
    done: dict[bytes, Node] = {}
    made: dict[bytes, Node] = {}
    for node in order:
        built = _rebuild(node, done, consumers)
        # equal nodes become one object, so that what is known of it is found at every place
        done[node.digest] = made.setdefault(built.digest, built)
    return tuple([done[root.digest] for root in roots])


def _rebuild(node: Node, done: Mapping[bytes, Node], consumers: Mapping[bytes, int]) -> Node:
    same = True
    for child in node.children:
        same = same and done[child.digest] is child
    if same:
        settled = node.cache.get("settled")
        if settled is not None and not any(consumers[child] == 1 for child in settled):
            return node
    built = rewrite(node) if same and _stays(node, consumers) else _built(node, done, consumers)
    if built.digest == node.digest:
        # what is known of it stays with it
        if same:
            built = node
        else:
            built.cache.update(node.cache)
            if any("facts" not in child.cache for child in built.children):
                # where a node has its facts, all that it is made of has them
                built.cache.pop("facts", None)
    mergeable = _mergeable(built)
    # the transpose of a symmetric product is known to be the product only when it is built again
    if not (mergeable and isinstance(built, Product) and len(built.factors) == 1):
        built.cache["settled"] = mergeable
    return built


def _stays(node: Node, consumers: Mapping[bytes, int]) -> bool:
    """Whether a node with children that is built again from them is the same node for certain."""
    if isinstance(node, Map):
        return True
    if isinstance(node, Product):
        # one factor may be the transpose of a symmetric matrix
        return len(node.factors) > 1 and not any(consumers[child] == 1 for child in _mergeable(node))
    if not isinstance(node, Sum) or any(isinstance(child, Sum) for child in node.children):
        return False
    if len(node.terms) == 1:
        return node.terms[0].coefficient not in (0, 1)
    ascending = all(one.digest < other.digest for one, other in pairwise(node.children))
    return ascending and all(term.coefficient for term in node.terms)


def _mergeable(node: Node) -> tuple[bytes, ...]:
    """The children that are written out in the node when nothing else uses them."""
    if isinstance(node, Product):
        return tuple([child.digest for child in node.children if isinstance(split_coefficient(child)[1], Product)])
    if isinstance(node, Sum):
        return tuple([child.digest for child in node.children if isinstance(child, Sum)])
    return ()


def _built(node: Node, done: Mapping[bytes, Node], consumers: Mapping[bytes, int]) -> Node:
    if isinstance(node, Product):
        single = {done[factor.node.digest].digest for factor in node.factors if consumers[factor.node.digest] == 1}
        operands: list[Operand] = [(done[f.node.digest], f.exponent, f.labels) for f in node.factors]
        return rewrite(flat_product(operands, range(node.order), dict(enumerate(node.sizes)), single))
    if isinstance(node, Sum):
        terms: list[tuple[Exact, Node]] = []
        for coefficient, part in node.terms:
            child = done[part.digest]
            if isinstance(child, Sum) and consumers[part.digest] == 1 and len(node.terms) > 1:
                terms += [(coefficient * inner, grandchild) for inner, grandchild in child.terms]
            else:
                terms.append((coefficient, child))
        return rewrite(add(terms, node.shape, flatten=False))
    if not node.children:
        return node
    children = [done[child.digest] for child in node.children]
    if isinstance(node, Call):
        # what is known of the value (symmetric, …) may be known only now
        return rewrite(apply_call(OPERATIONS[node.op], children, dict(node.parameters)))
    return rewrite(with_children(node, children))


def flat_product(
    operands: Sequence[Operand], out: Sequence[int], sizes: dict[int, Dim], merge: set[bytes] | None = None
) -> Node:
    """A product whose nested products are written out (those in ``merge`` only, when it is given)."""
    flat: list[Operand] = []
    coefficient: Exact = 1
    next_label = max([*sizes, *out, *(label for _, _, names in operands for label in names)], default=-1) + 1
    total = len(operands)
    stack = list(reversed(list(operands)))
    while stack:
        node, exponent, names = stack.pop()
        part, inner = split_coefficient(node)
        merges = merge is None or node.digest in merge
        if exponent == 1 and part != 1 and isinstance(inner, Product) and merges:
            coefficient = exact(coefficient * part)
            stack.append((inner, 1, names))
            if merge is not None:
                merge = merge | {inner.digest}
            continue
        grows = isinstance(node, Product) and total + len(node.factors) > LARGEST_PRODUCT
        scalar = isinstance(node, Product) and not node.shape and bool(list(node.summed))
        if (
            isinstance(node, Product)
            and not grows
            and not scalar
            and merges
            and (exponent == 1 or (not list(node.summed) and isinstance(exact(exponent), int)))
        ):
            renaming = dict(enumerate(names))
            for label in node.summed:
                renaming[label] = next_label
                sizes[next_label] = node.sizes[label]
                next_label += 1
            total += len(node.factors) - 1
            for factor in reversed(node.factors):
                labels = tuple(renaming[label] for label in factor.labels)
                stack.append((factor.node, exact(factor.exponent * exponent), labels))
            continue
        flat.append((node, exponent, names))
    return scale(coefficient, product(flat, out, sizes))


# --- the driver of the rules ---------------------------------------------------------------------


def rewrite(node: Node) -> Node:
    """Apply the rules for this kind of node until none fires."""
    for _ in range(50):
        coefficient, inner = split_coefficient(node)
        changed = None if "settled" in inner.cache else _rewrite_once(inner)
        if changed is None:
            if coefficient == 1:
                return node
            changed = _rewrite_once(node)
            if changed is None:
                return node
            node = changed
            continue
        node = scale(coefficient, changed)
    return node


def _rewrite_once(node: Node) -> Node | None:
    if isinstance(node, Sum):
        return None
    rules: Sequence[Callable[..., Node | None]] = ()
    if isinstance(node, Product):
        if not any(_concerns_a_rule(factor) for factor in node.factors):
            return None
        rules = PRODUCT_RULES
    elif isinstance(node, Map):
        rules = (*MAP_RULES.get(node.op, ()), *ANY_MAP_RULES)
    elif isinstance(node, Call):
        rules = (*CALL_RULES.get(node.op, ()), *ANY_CALL_RULES)
    for rule in rules:
        result = rule(node)
        if result is not None:
            return result
    return structured(node)


def _concerns_a_rule(factor: Factor) -> bool:
    """Whether a rule for products begins with such a factor; most products have none, and are left at once."""
    node, exponent, _ = factor
    if not isinstance(exponent, int) or exponent < 0:
        return True
    if isinstance(node, Map):
        return node.op in MAPS_OF_PRODUCT_RULES
    return isinstance(node, Call | Structure) or (isinstance(node, Variable) and bool(node.properties))


def _all_labels(node: Product) -> dict[int, Dim]:
    return dict(enumerate(node.sizes))


def _replace(node: Product, removed: set[int], added: Sequence[Operand]) -> Node:
    """The product without some factors and with others."""
    operands: list[Operand] = [factor for place, factor in enumerate(node.factors) if place not in removed]
    operands += added
    return product(operands, range(node.order), _all_labels(node))


def _uses(node: Product, label: int) -> int:
    return sum(factor.labels.count(label) for factor in node.factors)


# --- products ------------------------------------------------------------------------------------


def cancel_inverse(node: Product) -> Node | None:
    """``X^-1 X = I`` and ``X X^-1 = I``."""
    for place, factor in enumerate(node.factors):
        inverse = factor.node
        if not (isinstance(inverse, Call) and inverse.op == "inv" and factor.exponent == 1):
            continue
        target = inverse.args[0]
        for other_place, other in enumerate(node.factors):
            if other.node != target or other.exponent != 1 or other_place == place or len(other.labels) != 2:
                continue
            sides = ((1, 0), (0, 1), (0, 0), (1, 1)) if is_symmetric(target) else ((1, 0), (0, 1))
            for mine, its in sides:
                middle = factor.labels[mine]
                free = factor.labels[1 - mine]
                if other.labels[its] != middle or middle < node.order or _uses(node, middle) != 2 or free == middle:
                    continue
                ends = (free, other.labels[1 - its])
                return _drop_label(node, {place, other_place}, middle, ends)
    return None


def cancel_orthogonal(node: Product) -> Node | None:
    """``Q^T Q = I`` and ``Q Q^T = I`` for an orthogonal Q."""
    for place, factor in enumerate(node.factors):
        if not (isinstance(factor.node, Variable | Call) and "orthogonal" in factor.node.properties):
            continue
        if factor.exponent == 2 and len(set(factor.labels)) == 2:
            for side in (0, 1):
                middle = factor.labels[side]
                if middle >= node.order and _uses(node, middle) == 1:
                    # the squared entries of one row or column add up to 1
                    remaining = [f for p, f in enumerate(node.factors) if p != place]
                    sizes = {k: v for k, v in _all_labels(node).items() if k != middle}
                    return product(remaining, range(node.order), sizes)
        for other_place in range(place + 1, len(node.factors)):
            other = node.factors[other_place]
            if other.node != factor.node or other.exponent != 1 or factor.exponent != 1:
                continue
            for side in (0, 1):
                middle = factor.labels[side]
                if other.labels[side] == middle and middle >= node.order and _uses(node, middle) == 2:
                    ends = (factor.labels[1 - side], other.labels[1 - side])
                    return _drop_label(node, {place, other_place}, middle, ends)
    return None


def _drop_label(node: Product, removed: set[int], middle: int, ends: tuple[int, int]) -> Node:
    operands: list[Operand] = [factor for place, factor in enumerate(node.factors) if place not in removed]
    operands.append((delta(node.sizes[middle]), 1, ends))
    sizes = {label: dim for label, dim in _all_labels(node).items() if label != middle}
    return product(operands, range(node.order), sizes)


def unit_norm(node: Product) -> Node | None:
    """``normalize(x) ||x||^p`` is ``x ||x||^(p-1)`` when another power of the norm is there to meet it."""
    for factor in node.factors:
        unit = factor.node
        if not (isinstance(unit, Call) and unit.op == "normalize"):
            continue
        core = int(dict(unit.parameters)["core"])
        arg = unit.args[0]
        length = call("norm", arg, core=core)
        lead = factor.labels[: unit.order - core]
        squares = power(length, 2)
        others = [p for p, f in enumerate(node.factors) if f.node in (length, squares) and f.labels == lead]
        twins = isinstance(exact(factor.exponent), int) and factor.exponent != 1
        more = sum(1 for f in node.factors if f.node == unit)
        if not others and not twins and more < 2:
            continue
        removed = {p for p, f in enumerate(node.factors) if f.node == unit and f.labels[: unit.order - core] == lead}
        total: Exact = 0
        added: list[Operand] = []
        for p in sorted(removed):
            added.append((arg, node.factors[p].exponent, node.factors[p].labels))
            total += node.factors[p].exponent
        added.append((length, -total, lead))
        return _replace(node, removed, added)
    return None


def merge_norms(node: Product) -> Node | None:
    """``||x||^a (x^T x)^b`` is ``||x||^(a + 2 b)``."""
    for place, factor in enumerate(node.factors):
        length = factor.node
        if not (isinstance(length, Call) and length.op == "norm"):
            continue
        squares = power(length, 2)
        for other_place, other in enumerate(node.factors):
            if other.node == squares and other.labels == factor.labels and other_place != place:
                total = exact(factor.exponent + 2 * other.exponent)
                return _replace(node, {place, other_place}, [(length, total, factor.labels)])
    return None


def norm_of_squares(node: Product) -> Node | None:
    """``(x^T x)^(1/2)`` is ``||x||``."""
    for place, factor in enumerate(node.factors):
        exponent = factor.exponent
        if isinstance(exponent, int) or exponent.denominator != 2:
            continue
        base = factor.node
        if not isinstance(base, Product) or len(base.factors) != 1 or base.factors[0].exponent != 2:
            continue
        inner = base.factors[0]
        if sorted(inner.labels) != list(range(len(base.sizes))) or not list(base.summed):
            continue
        arranged = permute(inner.node, [inner.labels.index(label) for label in range(len(base.sizes))])
        length = call("norm", arranged, core=len(list(base.summed)))
        return _replace(node, {place}, [(length, exact(2 * exponent), factor.labels)])
    return None


def _one_plus_exp(node: Node) -> Node | None:
    """The ``u`` of ``1 + exp(u)``."""
    if not isinstance(node, Sum) or len(node.terms) != 2:
        return None
    if any(term.coefficient != 1 for term in node.terms):
        return None
    for one, other in (node.terms, node.terms[::-1]):
        if is_ones(one.node):
            return exponent_of(other.node)
    return None


def exponent_of(node: Node) -> Node | None:
    """The ``u`` of ``exp(u)``, also when it is written ``1 / exp(-u)``."""
    if isinstance(node, Map) and node.op == "exp":
        return node.args[0]
    if isinstance(node, Product) and len(node.factors) == 1 and not list(node.summed):
        base, exponent, names = node.factors[0]
        if isinstance(base, Map) and base.op == "exp" and names == tuple(range(node.order)):
            return scale(exponent, base.args[0])
    return None


def sigmoid_of_exp(node: Product) -> Node | None:
    """``1/(1 + exp(u))`` is ``sigmoid(-u)`` and ``exp(u)/(1 + exp(u))`` is ``sigmoid(u)``."""
    for place, factor in enumerate(node.factors):
        if factor.exponent >= 0 or not isinstance(exact(factor.exponent), int):
            continue
        argument = _one_plus_exp(factor.node)
        if argument is None:
            continue
        count = -int(factor.exponent)
        kept = _exponentials_of_softmax(node)
        removed = {place}
        added: list[Operand] = []
        for other_place, other in enumerate(node.factors):
            if not (isinstance(other.node, Map) and other.node.op == "exp" and other.labels == factor.labels):
                continue
            if other_place in kept:
                continue
            power_of_exp = exact(other.exponent)
            if not isinstance(power_of_exp, int):
                continue
            if other.node.args[0] == argument and power_of_exp > 0:
                used = min(count, power_of_exp)
            elif scale(-1, other.node.args[0]) == argument and power_of_exp < 0:
                used = min(count, -power_of_exp)
            else:
                continue
            removed.add(other_place)
            added.append((map_("sigmoid", argument), used, factor.labels))
            left = power_of_exp - used if power_of_exp > 0 else power_of_exp + used
            if left:
                added.append((other.node, left, other.labels))
            count -= used
            break
        if count:
            added.append((map_("sigmoid", scale(-1, argument)), count, factor.labels))
        return _replace(node, removed, added)
    return None


def sigmoid_times_exp(node: Product) -> Node | None:
    """``exp(u) sigmoid(-u) = sigmoid(u)``."""
    for place, factor in enumerate(node.factors):
        if not (isinstance(factor.node, Map) and factor.node.op == "sigmoid" and factor.exponent == 1):
            continue
        argument = factor.node.args[0]
        for other_place, other in enumerate(node.factors):
            if not (isinstance(other.node, Map) and other.node.op == "exp" and other.labels == factor.labels):
                continue
            if other_place in _exponentials_of_softmax(node):
                continue
            if (other.exponent == 1 and other.node.args[0] == scale(-1, argument)) or (
                other.exponent == -1 and other.node.args[0] == argument
            ):
                flipped = map_("sigmoid", scale(-1, argument))
                return _replace(node, {place, other_place}, [(flipped, 1, factor.labels)])
    return None


def sigmoid_pair(node: Product) -> Node | None:
    """``sigmoid(-u) (1 - sigmoid(-u)) = sigmoid(u) (1 - sigmoid(u))``."""
    for place, factor in enumerate(node.factors):
        base = factor.node
        if not (isinstance(base, Map) and base.op == "sigmoid" and factor.exponent == 1):
            continue
        coefficient, inner = split_coefficient(base.args[0])
        if coefficient >= 0:
            continue
        complement = add([(1, ones(base.shape)), (-1, base)], base.shape)
        for other_place, other in enumerate(node.factors):
            if other.node == complement and other.exponent == 1 and other.labels == factor.labels:
                turned = map_("sigmoid", scale(-coefficient, inner))
                rest = add([(1, ones(base.shape)), (-1, turned)], base.shape)
                return _replace(node, {place, other_place}, [(turned, 1, factor.labels), (rest, 1, factor.labels)])
    return None


def softmax_of_exp(node: Product) -> Node | None:
    """``exp(z) / sum(exp(z))`` is ``softmax(z)``."""
    for place, other_place in _softmax_quotients(node):
        total, other = node.factors[place].node, node.factors[other_place]
        assert isinstance(total, Product)
        assert isinstance(other.node, Map)
        axis = total.factors[0].labels.index(total.order)
        moved = [a for a in range(other.node.order) if a != axis] + [axis]
        weights = call("softmax", permute(other.node.args[0], moved))
        return _replace(node, {place, other_place}, [(weights, 1, tuple(other.labels[a] for a in moved))])
    return None


def _softmax_quotients(node: Product) -> Iterator[tuple[int, int]]:
    """The places of ``1 / sum(exp(z))`` and ``exp(z)``."""
    for place, factor in enumerate(node.factors):
        total = factor.node
        if factor.exponent != -1 or not isinstance(total, Product) or len(total.factors) != 1:
            continue
        top, exponent, names = total.factors[0]
        if exponent != 1 or not (isinstance(top, Map) and top.op == "exp"):
            continue
        if len(list(total.summed)) != 1 or sorted(names) != list(range(len(total.sizes))):
            continue
        for other_place, other in enumerate(node.factors):
            if other.node != top or other.exponent != 1:
                continue
            outer = tuple(other.labels[names.index(label)] for label in range(total.order))
            if outer == factor.labels:
                yield place, other_place


def _exponentials_of_softmax(node: Product) -> frozenset[int]:
    """The places of exponentials that `softmax_of_exp` needs, which other rules leave to it."""
    return frozenset(top for _, top in _softmax_quotients(node))


def cancel_exponentials(node: Product) -> Node | None:
    """``exp(u) exp(-u) = 1``."""
    found: dict[tuple[bytes, tuple[int, ...]], int] = {}
    kept = _exponentials_of_softmax(node)
    for place, factor in enumerate(node.factors):
        if isinstance(factor.node, Map) and factor.node.op == "exp" and place not in kept:
            coefficient, inner = split_coefficient(factor.node.args[0])
            key = (inner.digest, factor.labels)
            if key not in found:
                found[key] = place
                continue
            first = node.factors[found[key]]
            assert isinstance(first.node, Map)
            known = split_coefficient(first.node.args[0])[0]
            total = exact(known * first.exponent + coefficient * factor.exponent)
            added: list[Operand] = []
            if total:
                added.append((map_("exp", scale(total, inner)), 1, factor.labels))
            return _replace(node, {place, found[key]}, added)
    return None


def masks_are_idempotent(node: Product) -> Node | None:
    """A 0/1 mask equals its powers; ``sign(x) |x| = x``; ``|x|^2 = x^2``; ``relu(x) step(x) = relu(x)``."""
    for place, factor in enumerate(node.factors):
        base = factor.node
        if not isinstance(base, Map):
            continue
        if base.op in MASKS and factor.exponent > 0 and factor.exponent != 1:
            return _replace(node, {place}, [(base, 1, factor.labels)])
        if base.op == "abs" and isinstance(exact(factor.exponent), int) and factor.exponent % 2 == 0:
            return _replace(node, {place}, [(base.args[0], factor.exponent, factor.labels)])
        if base.op == "sign" and factor.exponent == 1:
            for other_place, other in enumerate(node.factors):
                its = other.node
                if isinstance(its, Map) and its.op == "abs" and its.args == base.args and other.labels == factor.labels:
                    added: list[Operand] = [(base.args[0], 1, factor.labels)]
                    if other.exponent != 1:
                        added.append((its, exact(other.exponent - 1), other.labels))
                    return _replace(node, {place, other_place}, added)
        if base.op == "step" and factor.exponent == 1:
            for other_place, other in enumerate(node.factors):
                its = other.node
                same = isinstance(its, Map) and its.op == "relu" and its.args == base.args
                if same and other.labels == factor.labels and other.exponent > 0 and place != other_place:
                    return _replace(node, {place}, [])
    return None


def distribute_over_structures(node: Product) -> Node | None:
    """A selection, a unit vector or a vec tensor that meets a sum of such pieces meets each piece."""
    for place, factor in enumerate(node.factors):
        base = factor.node
        if not (isinstance(base, Structure) and base.kind in ("unit", "select", "pair", "halfpair")):
            continue
        for other_place, other in enumerate(node.factors):
            total = other.node
            if not isinstance(total, Sum) or other.exponent != 1 or len(total.terms) < 2 or other_place == place:
                continue
            shared = set(factor.labels) & set(other.labels)
            if not any(label >= node.order for label in shared):
                continue
            axes = [axis for axis, label in enumerate(other.labels) if label in shared and label >= node.order]
            if not any(_has_structure(part, base.kind, axis) for _, part in total.terms for axis in axes):
                continue
            return spread_factor(node, other_place)
    return None


def _has_structure(node: Node, kind: str, axis: int) -> bool:
    """Whether a structure of this kind stands on an axis of a term."""
    kinds = ("unit", "select") if kind in ("unit", "select") else (kind,)
    if isinstance(node, Structure):
        return node.kind in kinds
    return isinstance(node, Product) and any(
        isinstance(factor.node, Structure) and factor.node.kind in kinds and axis in factor.labels
        for factor in node.factors
    )


def spread_factor(node: Product, place: int) -> Node:
    """The product with one factor, a sum, multiplied out."""
    total = node.factors[place].node
    assert isinstance(total, Sum)
    terms: list[tuple[Exact, Node]] = []
    for coefficient, part in total.terms:
        operands: list[Operand] = list(node.factors)
        operands[place] = (part, 1, node.factors[place].labels)
        terms.append((coefficient, rewrite(flat_product(operands, range(node.order), dict(enumerate(node.sizes))))))
    return add(terms, node.shape)


def quotient_functions(node: Product) -> Node | None:
    """``sinh/cosh = tanh``, ``sin/cos = tan``."""
    for top, bottom, name in (("sinh", "cosh", "tanh"), ("sin", "cos", "tan")):
        for place, factor in enumerate(node.factors):
            base = factor.node
            if not (isinstance(base, Map) and base.op == bottom and factor.exponent == -1):
                continue
            for other_place, other in enumerate(node.factors):
                its = other.node
                same = isinstance(its, Map) and its.op == top and its.args == base.args
                if same and other.labels == factor.labels and other.exponent == 1:
                    return _replace(node, {place, other_place}, [(map_(name, base.args[0]), 1, factor.labels)])
    return None


def merge_powers(node: Product) -> Node | None:
    """``b^s b^k = b^(s + k)`` for a symbolic exponent s."""
    for place, factor in enumerate(node.factors):
        base = factor.node
        if not (isinstance(base, Map) and base.op == "pow" and factor.exponent == 1):
            continue
        inside = base.args[0]
        for other_place, other in enumerate(node.factors):
            if other_place == place:
                continue
            exponent: Node | None = None
            if other.node == inside and base.axes[0] == tuple(range(base.order)) and other.labels == factor.labels:
                shape = base.args[1].shape
                exponent = add([(1, base.args[1]), (other.exponent, ones(shape))], shape)
            if exponent is None:
                continue
            total = rewrite(Map("pow", (inside, exponent), base.axes, base.shape))
            return _replace(node, {place, other_place}, [(total, 1, factor.labels)])
    return None


def spectral_power(node: Product) -> Node | None:
    """``V diag(w^k) V^T = X^k`` for the eigenvectors V and eigenvalues w of a symmetric X, ``U diag(s) V^T = X``."""
    for left, right, values in (("eigvecs", "eigvecs", "eigvals"), ("svd_u", "svd_v", "svdvals")):
        for place, factor in enumerate(node.factors):
            first = factor.node
            if not (isinstance(first, Call) and first.op == left and factor.exponent == 1 and first.order == 2):
                continue
            for other_place, other in enumerate(node.factors):
                second = other.node
                if other_place == place or other.exponent != 1 or not (isinstance(second, Call) and second.op == right):
                    continue
                middle = factor.labels[1]
                ends = (factor.labels[0], other.labels[0])
                if other.labels[1] != middle or middle < node.order or second.args != first.args or ends[0] == ends[1]:
                    continue
                between = [
                    p for p, f in enumerate(node.factors) if middle in f.labels and p not in (place, other_place)
                ]
                spectrum = call(values, first.args[0])
                if len(between) != 1 or node.factors[between[0]].node != spectrum:
                    continue
                exponent = exact(node.factors[between[0]].exponent)
                operands: list[Operand] = [
                    f for p, f in enumerate(node.factors) if p not in (place, other_place, *between)
                ]
                sizes = {label: dim for label, dim in _all_labels(node).items() if label != middle}
                if left == "svd_u":
                    if exponent != 1:
                        continue
                    operands.append((first.args[0], 1, ends))
                elif isinstance(exponent, int) and abs(exponent) <= LARGEST_SPECTRAL_POWER:
                    matrix = first.args[0] if exponent > 0 else call("inv", first.args[0])
                    start = ends[0]
                    for step in range(abs(exponent)):
                        end = ends[1] if step == abs(exponent) - 1 else len(node.sizes) + step
                        operands.append((matrix, 1, (start, end)))
                        start = end
                else:
                    continue
                return product(operands, range(node.order), sizes)
    return None


def constant_structures(node: Product) -> Node | None:
    """A delta between labels of a diagonal matrix, and similar facts of constants, once labels are final."""
    for place, factor in enumerate(node.factors):
        base = factor.node
        if isinstance(base, Variable) and "diagonal" in base.properties and len(set(factor.labels)) == 2:
            first, second = factor.labels
            for other in node.factors:
                if other.node == delta(base.shape[0]) and set(other.labels) == {first, second}:
                    return _replace(node, {place}, [(base, factor.exponent, (first, first))])
    return None


# --- maps ----------------------------------------------------------------------------------------


def map_of_relabelled(node: Map) -> Node | None:
    """``f(A^T) = f(A)^T``: a scalar function commutes with transposes, diagonals and broadcasting."""
    if len(node.args) != 1:
        return None
    arg = node.args[0]
    coefficient, inner = split_coefficient(arg)
    if arg.shape and (is_ones(inner) or is_zero(arg)):
        value = number(coefficient) if is_ones(inner) else number(0)
        return broadcast(rewrite(map_(node.op, value)), node.shape, ())
    kept = _varying_axes(arg)
    if len(kept) < arg.order:
        return broadcast(rewrite(map_(node.op, _along(arg, kept))), node.shape, kept)
    if not isinstance(inner, Product) or list(inner.summed) or len(inner.factors) != 1:
        return None
    base, exponent, names = inner.factors[0]
    if isinstance(base, Structure) or (exponent != 1 and names == tuple(range(node.order))):
        return None
    if names == tuple(range(node.order)):
        return None
    small = scale(coefficient, power(base, exponent))
    value = rewrite(map_(node.op, small))
    return product([(value, 1, names)], range(node.order), dict(enumerate(node.shape)))


def _varying_axes(node: Node) -> list[int]:
    """The axes along which a value is not the same everywhere for certain."""
    if isinstance(node, Product):
        return sorted({label for factor in node.factors for label in factor.labels if label < node.order})
    if isinstance(node, Sum) and node.terms:
        return sorted({axis for term in node.terms for axis in _varying_axes(term.node)})
    return list(range(node.order))


def _along(node: Node, kept: Sequence[int]) -> Node:
    """A value without the axes along which it is the same everywhere."""
    shape = tuple(node.shape[axis] for axis in kept)
    if isinstance(node, Sum):
        return add([(term.coefficient, _along(term.node, kept)) for term in node.terms], shape)
    assert isinstance(node, Product)
    sizes = {label: size for label, size in _all_labels(node).items() if label in kept or label >= node.order}
    return product([(factor.node, factor.exponent, factor.labels) for factor in node.factors], kept, sizes)


def map_args_by_axes(node: Map) -> Node | None:
    """An operand of a several-place map that is only broadcast is taken as it is, with its axes."""
    if len(node.args) < 2:
        return None
    args: list[Node] = []
    axes: list[tuple[int, ...]] = []
    changed = False
    for arg, places in zip(node.args, node.axes, strict=True):
        coefficient, inner = split_coefficient(arg)
        if arg.shape and (is_ones(inner) or is_zero(arg)):
            args.append(number(coefficient if is_ones(inner) else 0))
            axes.append(())
            changed = True
            continue
        if isinstance(inner, Product) and len(inner.factors) == 1 and not list(inner.summed):
            base, exponent, names = inner.factors[0]
            plain = not isinstance(base, Structure) and len(set(names)) == len(names)
            if plain and names != tuple(range(arg.order)):
                args.append(scale(coefficient, power(base, exponent)))
                axes.append(tuple(places[label] for label in names))
                changed = True
                continue
        kept = _varying_axes(arg)
        if len(kept) < arg.order:
            args.append(_along(arg, kept))
            axes.append(tuple(places[axis] for axis in kept))
            changed = True
            continue
        args.append(arg)
        axes.append(places)
    if not changed:
        return None
    carried = {axis for places in axes for axis in places}
    if carried != set(range(node.order)):
        # every operand is constant along some axis: compute once, then repeat
        kept = sorted(carried)
        small = Map(
            node.op,
            tuple(args),
            tuple(tuple(kept.index(axis) for axis in places) for places in axes),
            tuple(node.shape[axis] for axis in kept),
        )
        return broadcast(small, node.shape, kept)
    return Map(node.op, tuple(args), tuple(axes), node.shape)


def symmetric_operands(node: Map) -> Node | None:
    """``max(y, x) = max(x, y)``: operands by the names in them, numbers last."""

    def place(position: int) -> tuple[bool, list[str], int, bytes, tuple[int, ...]]:
        arg = node.args[position]
        names = [variable.name for variable in variables(arg)]
        return not names, names, -arg.order, arg.digest, node.axes[position]

    if place(0) <= place(1):
        return None
    return Map(node.op, node.args[::-1], node.axes[::-1], node.shape)


def log_of(node: Map) -> Node | None:
    """``log exp z = z``, ``log(1 + exp z) = softplus(z)``, ``log sum exp z``, ``log det X``."""
    arg = node.args[0]
    if arg == ONE or is_ones(arg):
        return zeros(node.shape)
    inside = exponent_of(arg)
    if inside is not None:
        return inside
    shifted = _one_plus_exp(arg)
    if shifted is not None:
        return map_("softplus", shifted)
    if isinstance(arg, Call) and arg.op == "det":
        return call("logdet", arg.args[0])
    if isinstance(arg, Structure) and arg.kind == "e":
        return ONE
    if isinstance(arg, Product) and len(arg.factors) == 1 and list(arg.summed):
        base, exponent, names = arg.factors[0]
        if (
            exponent == 1
            and isinstance(base, Map)
            and base.op == "exp"
            and sorted(names) == list(range(len(arg.sizes)))
        ):
            moved = [names.index(label) for label in range(len(arg.sizes))]
            return call("logsumexp", permute(base.args[0], moved), core=len(list(arg.summed)))
    return None


def exp_of(node: Map) -> Node | None:
    """``exp log x = x``, ``exp 0 = 1``, ``exp(z - logsumexp(z)) = softmax(z)``."""
    arg = node.args[0]
    if isinstance(arg, Sum) and not arg.terms:
        return ones(node.shape)
    if arg == ONE:
        return Structure("e")
    coefficient, inner = split_coefficient(arg)
    if isinstance(inner, Map) and inner.op == "log" and isinstance(exact(coefficient), int):
        return power(inner.args[0], coefficient)
    if isinstance(arg, Sum) and len(arg.terms) == 2:
        for plus, minus in (arg.terms, arg.terms[::-1]):
            if plus.coefficient != 1 or minus.coefficient != -1:
                continue
            total, names = minus.node, tuple(range(arg.order))
            if isinstance(total, Product) and len(total.factors) == 1 and not list(total.summed):
                total, exponent, names = total.factors[0]
                if exponent != 1:
                    continue
            if not (isinstance(total, Call) and total.op == "logsumexp"):
                continue
            core = dict(total.parameters)["core"]
            if core != 1 or arg.order != total.order + 1:
                continue
            axis = next(a for a in range(arg.order) if a not in names)
            moved = [*names, axis]
            if permute(plus.node, moved) == total.args[0]:
                inverse = [moved.index(a) for a in range(arg.order)]
                return permute(call("softmax", total.args[0]), inverse)
    return None


def abs_of(node: Map) -> Node | None:
    """``|x| = x`` where x is known to be nonnegative, ``|c x| = |c| |x|``."""
    arg = node.args[0]
    if is_nonnegative(arg):
        return arg
    coefficient, inner = split_coefficient(arg)
    if coefficient != 1:
        return scale(magnitude(coefficient), inner if is_nonnegative(inner) else map_("abs", inner))
    return None


def even_function(node: Map) -> Node | None:
    """``cos(-x) = cos(x)``."""
    coefficient, inner = split_coefficient(node.args[0])
    if coefficient < 0:
        return map_(node.op, scale(-coefficient, inner))
    return None


def odd_function(node: Map) -> Node | None:
    """``sin(-x) = -sin(x)``."""
    coefficient, inner = split_coefficient(node.args[0])
    if isinstance(node.args[0], Sum) and not node.args[0].terms:
        return zeros(node.shape)
    if coefficient < 0:
        return scale(-1, map_(node.op, scale(-coefficient, inner)))
    return None


def sign_of_scaled(node: Map) -> Node | None:
    """``sign(c x) = sign(x)`` for a positive number c."""
    coefficient, inner = split_coefficient(node.args[0])
    if coefficient != 1 and as_number(node.args[0]) is None and inner != ONE and coefficient != 0:
        return scale(1 if coefficient > 0 else -1, map_("sign", inner))
    return None


def numeric_power(node: Map) -> Node | None:
    """``pow(b, c)`` with a number c is an exponent."""
    exponent = node.args[1]
    coefficient, inner = split_coefficient(exponent)
    value = as_number(exponent)
    if value is None and is_ones(inner):
        value = coefficient
    if value is None:
        return None
    names = node.axes[0]
    return product([(node.args[0], value, names)], range(node.order), dict(enumerate(node.shape)))


# --- calls ---------------------------------------------------------------------------------------


def call_of_transpose(node: Call) -> Node | None:
    """``f(X^T) = f(X)^T``."""
    if node.op not in COMMUTES_WITH_TRANSPOSE:
        return None
    arg = node.args[0]
    if not isinstance(arg, Product) or arg.order != 2 or len(arg.factors) != 1:
        return None
    base, exponent, names = arg.factors[0]
    if exponent != 1 or names != (1, 0):
        return None
    # what is known of the value is found anew: the triangle that is zero is the other one
    value = apply_call(OPERATIONS[node.op], (base, *node.args[1:]), dict(node.parameters))
    return value if node.order == 0 else permute(value, (1, 0))


def call_of_broadcast(node: Call) -> Node | None:
    """A call on operands that are all repeated along a batch axis is computed once and repeated."""
    record = OPERATIONS[node.op]
    core = dict(node.parameters).get("core")
    lengths = [int(core)] * len(node.args) if core is not None else [len(c) for c in cores(record.signature)[0]]
    batch = node.args[0].order - lengths[0]
    for axis in range(batch):
        smaller = [without_axis(arg, axis) for arg in node.args]
        if any(arg is None for arg in smaller):
            continue
        value = apply_call(record, [arg for arg in smaller if arg is not None], dict(node.parameters))
        return broadcast(value, node.shape, [place for place in range(node.order) if place != axis])
    return None


def without_axis(node: Node, axis: int) -> Node | None:
    """The node without an axis along which it is constant by construction, else None."""
    if axis in _varying_axes(node):
        return None
    return _along(node, [other for other in range(node.order) if other != axis])


def inverse_of(node: Call) -> Node | None:
    """``(X^-1)^-1 = X``, ``(c X)^-1 = X^-1 / c``, ``I^-1 = I``, ``(A B)^-1 = B^-1 A^-1``, ``Q^-1 = Q^T``."""
    arg = node.args[0]
    if arg.order != 2:
        return None
    coefficient, inner = split_coefficient(arg)
    if coefficient not in (0, 1):
        return scale(Fraction(1) / coefficient, call("inv", inner))
    if isinstance(arg, Call) and arg.op == "inv":
        return arg.args[0]
    if isinstance(arg, Structure) and arg.kind == "delta":
        return arg
    if isinstance(arg, Variable) and "orthogonal" in arg.properties:
        return permute(arg, (1, 0))
    if isinstance(arg, Product):
        scalars = [factor for factor in arg.factors if not factor.labels]
        if scalars:
            rest: list[Operand] = [factor for factor in arg.factors if factor.labels]
            inverse = call("inv", product(rest, (0, 1), _all_labels(arg)))
            outer: list[Operand] = [(f.node, exact(-f.exponent), ()) for f in scalars]
            return product([(inverse, 1, (0, 1)), *outer], (0, 1))
        factors = _kronecker_factors(arg)
        if factors:
            inverted: list[Operand] = [
                (call("inv", f.node) if place in factors else f.node, f.exponent, f.labels)
                for place, f in enumerate(arg.factors)
            ]
            return product(inverted, (0, 1), _all_labels(arg))
        chain = _square_chain(arg)
        if chain is not None:
            operands: list[Operand] = []
            for position, (base, flipped) in enumerate(reversed(chain)):
                left = 0 if position == 0 else 1 + position
                right = 1 if position == len(chain) - 1 else 2 + position
                inverse = call("inv", base)
                operands.append((inverse, 1, (right, left) if flipped else (left, right)))
            return product(operands, (0, 1))
    return None


def _kronecker_factors(node: Product) -> tuple[int, ...]:
    """The places of A and B in ``A ⊗ B`` of square matrices, whose inverse is ``A^-1 ⊗ B^-1``; else none."""
    pairs = [f for f in node.factors if isinstance(f.node, Structure) and f.node.kind == "pair" and f.exponent == 1]
    rest = [place for place, f in enumerate(node.factors) if f not in pairs]
    if len(pairs) != 2 or len(rest) != 2 or {f.labels[0] for f in pairs} != {0, 1}:
        return ()
    for axis in (1, 2):
        ends = {pairs[0].labels[axis], pairs[1].labels[axis]}
        if len(ends) != 2 or sum(set(node.factors[place].labels) == ends for place in rest) != 1:
            return ()
    square = all(node.factors[place].node.shape[0] == node.factors[place].node.shape[1] for place in rest)
    plain = all(node.factors[place].exponent == 1 for place in rest)
    return tuple(rest) if square and plain else ()


def _square_chain(node: Product) -> list[tuple[Node, bool]] | None:
    """The factors of a matrix product of square matrices in order, each with whether it is transposed."""
    if len(node.factors) < 2:
        return None
    around: dict[int, list[int]] = {}
    for place, factor in enumerate(node.factors):
        if factor.exponent != 1 or len(set(factor.labels)) != 2 or factor.node.shape[0] != factor.node.shape[1]:
            return None
        for label in factor.labels:
            around.setdefault(label, []).append(place)
    if any(len(around.get(label, ())) != 1 for label in (0, 1)):
        return None
    if any(len(around.get(label, ())) != 2 for label in node.summed):
        return None
    chain: list[tuple[Node, bool]] = []
    label, used = 0, set()
    while label != 1:
        following = [place for place in around[label] if place not in used]
        if not following:
            return None
        place = following[0]
        used.add(place)
        factor = node.factors[place]
        flipped = factor.labels[1] == label
        chain.append((factor.node, flipped))
        label = factor.labels[0] if flipped else factor.labels[1]
    return chain if len(chain) == len(node.factors) else None


def determinant_of(node: Call) -> Node | None:
    """``det I = 1``, ``det X^-1 = 1/det X``, ``log det I = 0``, ``log det X^-1 = -log det X``,
    ``det e^X = e^(tr X)``."""
    arg = node.args[0]
    log = node.op == "logdet"
    if arg.order != 2:
        return None
    if isinstance(arg, Structure) and arg.kind == "delta":
        return zeros(()) if log else ONE
    if isinstance(arg, Call) and arg.op == "inv":
        value = call(node.op, arg.args[0])
        return scale(-1, value) if log else power(value, -1)
    if isinstance(arg, Call) and arg.op == "expm":
        exponent = trace(arg.args[0])
        return exponent if log else map_("exp", exponent)
    return None


def product_of_eigenvalues(node: Call) -> Node | None:
    """The product of the eigenvalues is the determinant."""
    arg = node.args[0]
    if isinstance(arg, Call) and arg.op == "eigvals" and dict(node.parameters).get("core") == 1:
        return call("det", arg.args[0])
    return None


def norm_of_scaled(node: Call) -> Node | None:
    """``||c x|| = |c| ||x||``."""
    coefficient, inner = split_coefficient(node.args[0])
    if coefficient not in (0, 1):
        return scale(magnitude(coefficient), call(node.op, inner, **dict(node.parameters)))
    arg = node.args[0]
    core = int(dict(node.parameters).get("core", 1))
    if isinstance(arg, Product) and len(arg.factors) == 1 and core == arg.order and not list(arg.summed):
        base, exponent, names = arg.factors[0]
        if (
            exponent == 1
            and sorted(names) == list(range(arg.order))
            and base.order == arg.order
            and names != tuple(range(arg.order))
        ):
            # the order of the entries does not matter to a norm over all of them
            return call(node.op, base, **dict(node.parameters))
    return None


def direction_of_scaled(node: Call) -> Node | None:
    """``c x / ||c x||`` is ``x / ||x||`` for a positive number c, its negative for a negative one."""
    coefficient, inner = split_coefficient(node.args[0])
    if coefficient == 1:
        return None
    return scale(1 if coefficient > 0 else -1, call("normalize", inner, **dict(node.parameters)))


def commutes_plainly(first: Node, second: Node) -> bool:
    """Whether two matrices are multiples of the same matrix, or one of the identity."""
    cores = []
    for node in (first, second):
        _, inner = split_coefficient(node)
        if isinstance(inner, Structure) and inner.kind == "delta":
            return True
        if isinstance(inner, Product):
            rest: list[Operand] = [factor for factor in inner.factors if factor.labels]
            if len(rest) == 1 and isinstance(rest[0][0], Structure) and rest[0][0].kind == "delta":
                return True
            inner = product(rest, (0, 1), dict(enumerate(inner.sizes)))
        cores.append(inner)
    return cores[0] == cores[1]


#: f' by the name of the Fréchet derivative of f.
SLOPE_OF_FRECHET: Mapping[str, str] = {"expm_frechet": "expm", "logm_frechet": "inv"}


def frechet_of_commuting(node: Call) -> Node | None:
    """The Fréchet derivative of a matrix function f at A in a direction E with A E = E A is f'(A) E.

    Higham, Functions of Matrices (2008), theorem 3.8: for commuting A and E the block triangular argument splits.
    """
    if node.order != 2 or not commutes_plainly(node.args[0], node.args[1]):
        return None
    value = call(SLOPE_OF_FRECHET[node.op], node.args[0])
    return product([(node.args[1], 1, (0, 2)), (value, 1, (2, 1))], (0, 1))


def frechet_paired_with_commuting(node: Product) -> Node | None:
    """``<L(A, E), D>`` is ``<E, f'(A^T) D>`` for a direction D that commutes with A^T, as the adjoint of L(A, .) is
    L(A^T, .) (Higham, Functions of Matrices (2008), section 3.2 and theorem 3.8)."""
    for place, factor in enumerate(node.factors):
        frechet = factor.node
        if not (isinstance(frechet, Call) and frechet.op in SLOPE_OF_FRECHET and frechet.order == 2):
            continue
        ends = factor.labels
        if factor.exponent != 1 or min(ends) < node.order or any(_uses(node, end) != 2 for end in ends):
            continue
        for other_place, other in enumerate(node.factors):
            if other_place == place or other.exponent != 1 or sorted(other.labels) != sorted(ends):
                continue
            direction = other.node if other.labels == ends else swap_axes(other.node)
            turned = swap_axes(frechet.args[0])
            if not commutes_plainly(turned, direction):
                continue
            middle = len(node.sizes)
            slope = call(SLOPE_OF_FRECHET[frechet.op], turned)
            added: list[Operand] = [
                (frechet.args[1], 1, ends),
                (direction, 1, (ends[0], middle)),
                (slope, 1, (middle, ends[1])),
            ]
            operands = [f for k, f in enumerate(node.factors) if k not in (place, other_place)]
            return product([*operands, *added], range(node.order), _all_labels(node))
    return None


def sylvester_of_commuting(node: Call) -> Node | None:
    """``S Z + Z S = E`` with E a multiple of I or of S has the solution ``1/2 S^-1 E``."""
    if node.order != 2 or node.args[0] != node.args[1] or not commutes_plainly(node.args[0], node.args[2]):
        return None
    inverse = call("inv", node.args[0])
    return scale(Fraction(1, 2), product([(inverse, 1, (0, 2)), (node.args[2], 1, (2, 1))], (0, 1)))


def maximum_with_zero(node: Map) -> Node | None:
    """``max(x, 0) = relu(x)``; `symmetric_operands` puts the number last."""
    first, second = node.args
    if as_number(second) == 0 and node.axes[0] == tuple(range(node.order)):
        return map_("relu", first)
    return None


PRODUCT_RULES: tuple[Callable[[Product], Node | None], ...] = (
    cancel_inverse,
    cancel_orthogonal,
    softmax_of_exp,
    cancel_exponentials,
    sigmoid_of_exp,
    sigmoid_times_exp,
    sigmoid_pair,
    norm_of_squares,
    unit_norm,
    merge_norms,
    masks_are_idempotent,
    quotient_functions,
    merge_powers,
    spectral_power,
    constant_structures,
    distribute_over_structures,
    frechet_paired_with_commuting,
)
MAP_RULES: Mapping[str, tuple[Callable[[Map], Node | None], ...]] = {
    "log": (log_of,),
    "exp": (exp_of,),
    "abs": (abs_of,),
    "pow": (numeric_power,),
    "sign": (sign_of_scaled,),
    "maximum": (symmetric_operands, maximum_with_zero),
    **dict.fromkeys(("minimum", "hypot", "eq", "ne"), (symmetric_operands,)),
    **dict.fromkeys(("cos", "cosh", "normpdf"), (even_function,)),
    **dict.fromkeys(("sin", "tan", "tanh", "sinh", "asin", "atan", "asinh", "atanh", "erf", "cbrt"), (odd_function,)),
}
ANY_MAP_RULES: tuple[Callable[[Map], Node | None], ...] = (map_of_relabelled, map_args_by_axes)
CALL_RULES: Mapping[str, tuple[Callable[[Call], Node | None], ...]] = {
    "inv": (inverse_of,),
    "expm_frechet": (frechet_of_commuting,),
    "logm_frechet": (frechet_of_commuting,),
    "sylvester": (sylvester_of_commuting,),
    "prod": (product_of_eigenvalues,),
    "normalize": (direction_of_scaled,),
    "det": (determinant_of,),
    "logdet": (determinant_of,),
    **dict.fromkeys(("norm", "norminf", "nuclear", "spectral"), (norm_of_scaled,)),
}
ANY_CALL_RULES: tuple[Callable[[Call], Node | None], ...] = (call_of_transpose, call_of_broadcast)
