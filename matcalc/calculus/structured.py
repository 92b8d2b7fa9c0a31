"""Rules that need facts: orthogonal, triangular, definite and skew matrices, and numbers of known sign.

Each rule is a row of `RULES`: what it says as two texts that are equal under declarations, and the function that
does it. The texts are what the tests read; the functions are what `simplify` calls, by the kind of node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple

from ..expr.build import (
    Operand,
    add,
    broadcast,
    delta,
    einsum,
    exact,
    is_symmetric,
    ones,
    permute,
    product,
    scale,
    split_coefficient,
    trace,
    zeros,
)
from ..expr.facts import FACTS, facts_of
from ..expr.nodes import ONE, Call, Factor, Map, Node, Product, Structure, Sum, Variable
from ..ops.apply import call, map_

POSITIVE, NEGATIVE, NONNEGATIVE, NONPOSITIVE = (
    FACTS[n] for n in ("positive", "negative", "nonnegative", "nonpositive")
)
LOWER, UPPER, ORTHOGONAL, SKEW = (FACTS[n] for n in ("lower", "upper", "orthogonal", "skew"))
PSD, INVERTIBLE, DIAGONAL_POSITIVE = (FACTS[n] for n in ("psd", "invertible", "diagonal_positive"))

COOKBOOK = "Petersen & Pedersen, The Matrix Cookbook (2012)"
HORN = "Horn & Johnson, Matrix Analysis (2013)"
HIGHAM = "Higham, Functions of Matrices (2008)"


class StructuredRule(NamedTuple):
    """A rule of simplification that holds where something is known.

    Parameters
    ----------
    name: what it is called.
    operations: the operations of the nodes it looks at; ``product`` for products.
    before, after: an example as text; equal under the declarations.
    where: the declarations of the example.
    apply: the simpler node, or None where the rule does not fit.
    reference: a source.
    """

    name: str
    operations: tuple[str, ...]
    before: str
    after: str
    where: Mapping[str, str]
    apply: Callable[..., Node | None]
    reference: str = ""


# --- products ------------------------------------------------------------------------------------


def _replaced(node: Product, removed: Sequence[int], added: Sequence[Operand]) -> Node:
    operands: list[Operand] = [factor for place, factor in enumerate(node.factors) if place not in removed]
    sizes = dict(enumerate(node.sizes))
    carried = {label for _, _, labels in (*operands, *added) for label in labels}
    lost = {label for place in removed for label in node.factors[place].labels} - carried
    for label in lost:
        # it was summed inside what is replaced, so it is not the length of a sum of ones
        if label >= node.order:
            del sizes[label]
    return product([*operands, *added], range(node.order), sizes)


def _uses(node: Product, label: int) -> int:
    return sum(factor.labels.count(label) for factor in node.factors)


def _is_call(factor: Factor, op: str) -> bool:
    return isinstance(factor.node, Call) and factor.node.op == op and factor.node.order == 2 and factor.exponent == 1


def _is_skew(factor: Factor) -> bool:
    base = factor.node
    known = isinstance(base, Variable | Call) and "skew" in base.properties
    return known and len(factor.labels) == 2 and Fraction(factor.exponent).numerator % 2 == 1


def skew_form(node: Product) -> Node | None:
    """A product that is the same with a skew matrix turned is its own negative."""
    for place, factor in enumerate(node.factors):
        if not _is_skew(factor):
            continue
        turned: Operand = (factor.node, factor.exponent, factor.labels[::-1])
        if split_coefficient(_replaced(node, (place,), [turned])) == (1, node):
            return zeros(node.shape)
    return None


def skew_transpose(node: Product) -> Node | None:
    """``K^T = -K`` where the second axis is one of the result."""
    for place, factor in enumerate(node.factors):
        if not _is_skew(factor):
            continue
        row, column = factor.labels
        if column < node.order and (row >= node.order or column < row):
            return scale(-1, _replaced(node, (place,), [(factor.node, factor.exponent, (column, row))]))
    return None


def cholesky_pair(node: Product) -> Node | None:
    """``chol(A) chol(A)^T = A``."""
    for place, factor in enumerate(node.factors):
        if not _is_call(factor, "chol") or not is_symmetric(factor.node.children[0]):
            continue
        middle = factor.labels[1]
        for other in range(place + 1, len(node.factors)):
            twin = node.factors[other]
            meet = twin.node == factor.node and twin.exponent == 1 and twin.labels[1] == middle
            if meet and middle >= node.order and _uses(node, middle) == 2:
                ends = (factor.labels[0], twin.labels[0])
                return _replaced(node, (place, other), [(factor.node.children[0], 1, ends)])
    return None


def logarithm_of_cholesky_diagonal(node: Product) -> Node | None:
    """Half the log-determinant as the sum of the logarithms of the Cholesky factor's diagonal."""
    for place, factor in enumerate(node.factors):
        base = factor.node
        if not (isinstance(base, Map) and _is_log_of_cholesky(base)) or factor.exponent != 1:
            continue
        label, twin = factor.labels
        if label != twin or label < node.order or _uses(node, label) != 2:
            continue
        half = scale(Fraction(1, 2), call("logdet", base.args[0].children[0]))
        sizes = {k: dim for k, dim in enumerate(node.sizes) if k != label}
        operands: list[Operand] = [other for k, other in enumerate(node.factors) if k != place]
        return product([*operands, (half, 1, ())], range(node.order), sizes)
    return None


def _is_log_of_cholesky(node: Map) -> bool:
    arg = node.args[0]
    is_factor = isinstance(arg, Call) and arg.op == "chol" and arg.order == 2
    return node.op == "log" and is_factor and is_symmetric(arg.children[0])


def root_pair(node: Product) -> Node | None:
    """``sqrtm(A) sqrtm(A) = A``."""
    for place, factor in enumerate(node.factors):
        if not _is_call(factor, "sqrtm"):
            continue
        symmetric = is_symmetric(factor.node)
        for other, twin in enumerate(node.factors):
            if other == place or twin.node != factor.node or twin.exponent != 1:
                continue
            for mine, its in ((1, 0), (0, 0), (1, 1)):
                middle = factor.labels[mine]
                if (mine, its) != (1, 0) and not symmetric:
                    continue
                if twin.labels[its] == middle and middle >= node.order and _uses(node, middle) == 2:
                    ends = (factor.labels[1 - mine], twin.labels[1 - its])
                    return _replaced(node, (place, other), [(factor.node.children[0], 1, ends)])
    return None


def inverse_of_neighbours(node: Product) -> Node | None:
    """``(V U)^-1 V U = I`` where the factors of the inverted product stand beside the inverse."""
    for place, factor in enumerate(node.factors):
        if not _is_call(factor, "inv"):
            continue
        target = factor.node.children[0]
        if not isinstance(target, Product) or len(target.factors) >= len(node.factors):
            continue
        # the network of a symmetric product is its own mirror image, so that two sides are enough for it as well
        for mine, its in ((1, 0), (0, 1)):
            middle, free = factor.labels[mine], factor.labels[1 - mine]
            if middle < node.order or middle == free:
                continue
            for end, places in _embeddings(target, node, its, middle, place):
                inside = sum(node.factors[p].labels.count(middle) for p in places)
                if _uses(node, middle) == inside + 1:
                    return _replaced(node, (place, *places), [(delta(target.shape[0]), 1, (free, end))])
    return None


def _embeddings(
    pattern: Product, node: Product, axis: int, label: int, taken: int
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Where the factors of a matrix occur in a product with one axis on a label: the other end, and their places."""
    order = _connected(pattern, axis)
    if len(order) < len(pattern.factors):
        return
    stack: list[tuple[dict[int, int], tuple[int, ...]]] = [({axis: label}, ())]
    while stack:
        mapping, places = stack.pop()
        if len(places) == len(pattern.factors):
            if 1 - axis in mapping and _is_closed(pattern, node, mapping):
                yield mapping[1 - axis], places
            continue
        wanted = order[len(places)]
        for place, factor in enumerate(node.factors):
            if place == taken or place in places:
                continue
            if factor.node != wanted.node or factor.exponent != wanted.exponent:
                continue
            turns = [factor.labels]
            if len(factor.labels) == 2 and is_symmetric(factor.node):
                turns.append(factor.labels[::-1])
            for labels in turns:
                extended = dict(mapping)
                if all(extended.setdefault(a, b) == b for a, b in zip(wanted.labels, labels, strict=True)):
                    stack.append((extended, (*places, place)))


def _connected(pattern: Product, start: int) -> list[Factor]:
    """The factors in an order in which each touches a label before it; fewer where some are apart."""
    reached = {start}
    order: list[Factor] = []
    rest = list(pattern.factors)
    while rest:
        following = next((factor for factor in rest if reached & set(factor.labels)), None)
        if following is None:
            break
        order.append(following)
        rest.remove(following)
        reached |= set(following.labels)
    return order


def _is_closed(pattern: Product, node: Product, mapping: Mapping[int, int]) -> bool:
    """Whether the summed labels of the pattern are summed labels that nothing else in the product uses."""
    inner = [mapping[label] for label in pattern.summed]
    if len({*inner, mapping[0], mapping[1]}) < len(inner) + len({mapping[0], mapping[1]}):
        return False
    return all(
        mapping[label] >= node.order and _uses(node, mapping[label]) == _uses(pattern, label)
        for label in pattern.summed
    )


def orthogonal_determinant_power(node: Product) -> Node | None:
    """``det(Q)^2 = 1`` for an orthogonal Q."""
    for place, factor in enumerate(node.factors):
        base = factor.node
        if not (isinstance(base, Call) and base.op == "det" and isinstance(exact(factor.exponent), int)):
            continue
        if factor.exponent != 1 and base.args[0].order == 2 and facts_of(base.args[0]) & ORTHOGONAL:
            odd = factor.exponent % 2 == 1
            return _replaced(node, (place,), [(base, 1, ())] if odd else [])
    return None


def triangle_on_diagonal(node: Product) -> Node | None:
    """The diagonal of the triangle of ones is ones."""
    ties = {frozenset(factor.labels) for factor in node.factors if _is_tie(factor)}
    for place, factor in enumerate(node.factors):
        labels = frozenset(factor.labels)
        if isinstance(factor.node, Structure) and factor.node.kind == "lower" and (len(labels) == 1 or labels in ties):
            kept = [other for other in range(len(node.factors)) if other != place]
            operands: list[Operand] = [node.factors[other] for other in kept]
            return product(operands, range(node.order), dict(enumerate(node.sizes)))
    return None


# --- scalar functions ----------------------------------------------------------------------------


def known_sign(node: Map) -> Node | None:
    """``sign`` and ``step`` of what has a known sign."""
    facts = facts_of(node.args[0])
    if facts & POSITIVE:
        return ones(node.shape)
    if node.op == "step":
        return zeros(node.shape) if facts & NONPOSITIVE else None
    return scale(-1, ones(node.shape)) if facts & NEGATIVE else None


def known_rectifier(node: Map) -> Node | None:
    """``relu(x) = x`` where x >= 0, and 0 where x <= 0."""
    facts = facts_of(node.args[0])
    if facts & NONNEGATIVE:
        return node.args[0]
    return zeros(node.shape) if facts & NONPOSITIVE else None


def known_absolute(node: Map) -> Node | None:
    """``|x| = -x`` where x <= 0, ``|det Q| = 1`` for an orthogonal Q."""
    arg = node.args[0]
    if facts_of(arg) & NONPOSITIVE:
        return add([(-c, part) for c, part in arg.terms], arg.shape) if isinstance(arg, Sum) else scale(-1, arg)
    if isinstance(arg, Call) and arg.op == "det" and arg.args[0].order == 2 and facts_of(arg.args[0]) & ORTHOGONAL:
        return ONE
    return None


def known_extreme(node: Map) -> Node | None:
    """``max(x, y) = x`` where x >= 0 >= y."""
    first, second = (facts_of(arg) for arg in node.args)
    for larger, smaller, place in ((first, second, 0), (second, first, 1)):
        if larger & NONNEGATIVE and smaller & NONPOSITIVE:
            chosen = place if node.op == "maximum" else 1 - place
            return broadcast(node.args[chosen], node.shape, node.axes[chosen])
    return None


def known_comparison(node: Map) -> Node | None:
    """``x > y`` is 1 where x > 0 >= y."""
    left, right = (facts_of(arg) for arg in node.args)
    above = (left & POSITIVE and right & NONPOSITIVE) or (left & NONNEGATIVE and right & NEGATIVE)
    below = (right & POSITIVE and left & NONPOSITIVE) or (right & NONNEGATIVE and left & NEGATIVE)
    if above:
        return ones(node.shape) if node.op in ("gt", "ge", "ne") else zeros(node.shape)
    if below:
        return ones(node.shape) if node.op in ("lt", "le", "ne") else zeros(node.shape)
    return None


def log_of_power(node: Map) -> Node | None:
    """``log(x^k) = k log(x)`` where x > 0."""
    arg = node.args[0]
    if not isinstance(arg, Product) or len(arg.factors) != 1 or len(arg.sizes) > arg.order:
        return None
    base, exponent, labels = arg.factors[0]
    if exponent == 1 or labels != tuple(range(arg.order)):
        return None
    if isinstance(base, Call) and base.op == "det" and exponent % 2 == 0:
        return scale(exponent, call("logdet", base.args[0]))
    return scale(exponent, map_("log", base)) if facts_of(base) & POSITIVE else None


def log_of_exponential(node: Map) -> Node | None:
    """``log(e^u x) = u + log(x)`` where x > 0."""
    arg = node.args[0]
    coefficient, inner = split_coefficient(arg)
    if coefficient <= 0 or not isinstance(inner, Product) or len(inner.sizes) > inner.order or len(inner.factors) < 2:
        return None
    everywhere = tuple(range(inner.order))
    for place, (base, exponent, labels) in enumerate(inner.factors):
        if not (isinstance(base, Map) and base.op == "exp" and labels == everywhere):
            continue
        rest = scale(coefficient, _replaced(inner, (place,), []))
        if facts_of(rest) & POSITIVE:
            return add([(exponent, base.args[0]), (1, map_("log", rest))], node.shape)
    return None


# --- functions of matrices -----------------------------------------------------------------------


def inverse_of_orthogonal(node: Call) -> Node | None:
    """``Q^-1 = Q^T``."""
    arg = node.args[0]
    if arg.order == 2 and not isinstance(arg, Product) and facts_of(arg) & ORTHOGONAL:
        return permute(arg, (1, 0))
    return None


def inverse_of_diagonal(node: Call) -> Node | None:
    """``diag(v)^-1 = diag(1 ./ v)``."""
    arg = node.args[0]
    if not _is_diag(arg):
        return None
    assert isinstance(arg, Product)
    operands = [f if _is_tie(f) else Factor(f.node, exact(-f.exponent), f.labels) for f in arg.factors]
    return product(operands, (0, 1), dict(enumerate(arg.sizes)))


def _is_tie(factor: Factor) -> bool:
    return isinstance(factor.node, Structure) and factor.node.kind == "delta"


def _is_diag(node: Node) -> bool:
    """Whether a node is ``diag`` of an entrywise product of vectors."""
    if not isinstance(node, Product) or node.order != 2 or len(node.sizes) != 2:
        return False
    ties = [factor for factor in node.factors if _is_tie(factor)]
    return len(ties) == 1 and all(_is_tie(f) or set(f.labels) <= {0} for f in node.factors)


def pseudoinverse_of_invertible(node: Call) -> Node | None:
    """``pinv(A) = A^-1`` for an invertible A."""
    arg = node.args[0]
    return call("inv", arg) if arg.order == 2 and facts_of(arg) & INVERTIBLE else None


def determinant_of_triangular(node: Call) -> Node | None:
    """The product of the diagonal, for a triangular or diagonal matrix."""
    arg = node.args[0]
    if arg.order != 2 or not facts_of(arg) & (LOWER | UPPER):
        return None
    diagonal = einsum("ii->i", arg)
    if node.op == "det":
        return call("prod", diagonal, core=1)
    magnitude = diagonal if facts_of(arg) & DIAGONAL_POSITIVE else map_("abs", diagonal)
    return einsum("i->", map_("log", magnitude))


def determinant_of_orthogonal(node: Call) -> Node | None:
    """``log |det Q| = 0``."""
    arg = node.args[0]
    return zeros(()) if arg.order == 2 and facts_of(arg) & ORTHOGONAL else None


def determinant_of_chain(node: Call) -> Node | None:
    """``det(A B) = det(A) det(B)`` where one of the factors is orthogonal or triangular."""
    arg = node.args[0]
    if not isinstance(arg, Product) or arg.order != 2:
        return None
    matrices = [factor for factor in arg.factors if factor.labels]
    if len(matrices) < 2 or len(matrices) != len(arg.factors) or not _is_square_chain(matrices, arg):
        return None
    known = [facts_of(factor.node) for factor in matrices]
    if not any(facts & (ORTHOGONAL | LOWER | UPPER) for facts in known):
        return None
    values = [call(node.op, factor.node) for factor in matrices]
    if node.op == "logdet":
        return add([(1, value) for value in values], ())
    return product([(value, 1, ()) for value in values], ())


def _is_square_chain(matrices: Sequence[Factor], node: Product) -> bool:
    """Whether square matrices stand in a row from label 0 to label 1."""
    if any(f.exponent != 1 or len(set(f.labels)) != 2 or f.node.shape[0] != f.node.shape[1] for f in matrices):
        return False
    if any(_uses(node, label) != 1 for label in (0, 1)) or any(_uses(node, label) != 2 for label in node.summed):
        return False
    label, rest = 0, list(matrices)
    while rest:
        following = next((factor for factor in rest if label in factor.labels), None)
        if following is None:
            return False
        rest.remove(following)
        label = following.labels[1] if following.labels[0] == label else following.labels[0]
    return label == 1


def norm_of_rotated(node: Call) -> Node | None:
    """``||Q X|| = ||X||`` for an orthogonal Q: the Euclidean, Frobenius, nuclear and spectral norm."""
    arg = node.args[0]
    axes = {0, 1} if node.op in ("nuclear", "spectral") else set(range(int(dict(node.parameters)["core"])))
    if not isinstance(arg, Product) or len(axes) != arg.order:
        return None
    for place, factor in enumerate(arg.factors):
        if len(factor.labels) != 2 or factor.exponent != 1 or not isinstance(factor.node, Variable | Call):
            continue
        for side in (0, 1):
            outer, middle = factor.labels[side], factor.labels[1 - side]
            if outer not in axes or middle < arg.order or _uses(arg, outer) != 1 or _uses(arg, middle) != 2:
                continue
            if not facts_of(factor.node) & ORTHOGONAL:
                continue
            moved: list[Operand] = [
                (f.node, f.exponent, tuple(outer if label == middle else label for label in f.labels))
                for p, f in enumerate(arg.factors)
                if p != place
            ]
            sizes = {label: dim for label, dim in enumerate(arg.sizes) if label != middle}
            return call(node.op, product(moved, range(arg.order), sizes), **dict(node.parameters))
    return None


def factor_of_gram(node: Call) -> Node | None:
    """``chol(L L^T) = L`` for a lower triangular L with a positive diagonal."""
    arg = node.args[0]
    pair = _twins(arg)
    if pair is None:
        return None
    first, second = pair
    outer = first.labels[0] < 2 and second.labels[0] < 2
    wanted = LOWER | DIAGONAL_POSITIVE
    return first.node if outer and facts_of(first.node) & wanted == wanted else None


def root_of_square(node: Call) -> Node | None:
    """``sqrtm(A A) = A`` for a positive semidefinite A."""
    pair = _twins(node.args[0])
    return pair[0].node if pair is not None and facts_of(pair[0].node) & PSD else None


def _twins(node: Node) -> tuple[Factor, Factor] | None:
    """The factors of a product of a square matrix with itself or its transpose."""
    if not isinstance(node, Product) or node.order != 2 or len(node.factors) != 2 or len(node.sizes) != 3:
        return None
    first, second = node.factors
    if first.node != second.node or first.exponent != 1 or second.exponent != 1 or first.node.order != 2:
        return None
    return (first, second) if {*first.labels, *second.labels} == {0, 1, 2} else None


def logarithm_of_exponential(node: Call) -> Node | None:
    """``logm(expm(S)) = S`` for a symmetric S."""
    arg = node.args[0]
    inverse = isinstance(arg, Call) and arg.op == "expm" and is_symmetric(arg.args[0])
    return arg.children[0] if inverse else None


def exponential_of_logarithm(node: Call) -> Node | None:
    """``expm(logm(A)) = A``."""
    arg = node.args[0]
    return arg.args[0] if isinstance(arg, Call) and arg.op == "logm" else None


def nuclear_of_definite(node: Call) -> Node | None:
    """The nuclear norm of a positive semidefinite matrix is its trace."""
    arg = node.args[0]
    return trace(arg) if arg.order == 2 and facts_of(arg) & PSD else None


# --- the rows ------------------------------------------------------------------------------------

SQUARE = "matrix(n, n)"
Q, K, S, H, L, D = (
    {name: f"{SQUARE} {word}"}
    for name, word in (
        ("Q", "orthogonal"),
        ("K", "skew"),
        ("S", "symmetric"),
        ("H", "spd"),
        ("L", "lower"),
        ("D", "diagonal"),
    )
)
X, ROOT = {"X": "matrix(m, n)"}, {"L": f"{SQUARE} lower positive"}
ONE_OF = {"c": "scalar positive", "d": "scalar nonnegative", "x": "vector(n) positive", "t": "scalar"}

RULES: tuple[StructuredRule, ...] = (
    StructuredRule("skew form", ("product",), "x^T K x", "0", {**K, "x": "vector(n)"}, skew_form, f"{HORN}, 4.1.P5"),
    StructuredRule("trace of a skew matrix", ("product",), "tr(K)", "0", K, skew_form, f"{HORN}, section 0.2.5"),
    StructuredRule("trace of skew times symmetric", ("product",), "tr(K S)", "0", {**K, **S}, skew_form),
    StructuredRule("transpose of a skew matrix", ("product",), "K^T", "-K", K, skew_transpose),
    StructuredRule(
        "Cholesky factors", ("product",), "chol(H) chol(H)^T", "H", H, cholesky_pair, f"{HORN}, corollary 7.2.9"
    ),
    StructuredRule(
        "log-determinant by the Cholesky factor",
        ("product",),
        "sum(log(diag(chol(H))))",
        "1/2 logdet(H)",
        H,
        logarithm_of_cholesky_diagonal,
        "Golub & Van Loan, Matrix Computations (2013), section 4.2",
    ),
    StructuredRule("square of a root", ("product",), "sqrtm(H) sqrtm(H)", "H", H, root_pair, f"{HIGHAM}, section 1.7"),
    StructuredRule(
        "projector", ("product",), "X (X^T X)^-1 X^T X", "X", X, inverse_of_neighbours, f"{HORN}, section 0.9.12"
    ),
    StructuredRule("trace of a projector", ("product",), "tr(X (X^T X)^-1 X^T)", "n", X, inverse_of_neighbours),
    StructuredRule(
        "weighted projector",
        ("product",),
        "X (X^T diag(w) X)^-1 X^T diag(w) X",
        "X",
        {**X, "w": "vector(m) positive"},
        inverse_of_neighbours,
    ),
    StructuredRule("diagonal of a triangle", ("product",), "diag(tril(S))", "diag(S)", S, triangle_on_diagonal),
    StructuredRule(
        "determinant of an orthogonal matrix", ("product",), "det(Q)^2", "1", Q, orthogonal_determinant_power
    ),
    StructuredRule("sign of a positive number", ("sign", "step"), "sign(c + d)", "1", ONE_OF, known_sign),
    StructuredRule("sign of a negative number", ("sign", "step"), "sign(-1 - exp(t))", "-1", ONE_OF, known_sign),
    StructuredRule("rectifier", ("relu",), "relu(d t^2)", "d t^2", ONE_OF, known_rectifier),
    StructuredRule("rectifier of a negative number", ("relu",), "relu(-d)", "0", ONE_OF, known_rectifier),
    StructuredRule("absolute value", ("abs",), "abs(-1 - d)", "1 + d", ONE_OF, known_absolute),
    StructuredRule("absolute value of a determinant", ("abs",), "abs(det(Q))", "1", Q, known_absolute),
    StructuredRule("maximum", ("maximum", "minimum"), "max(d, -c)", "d", ONE_OF, known_extreme),
    StructuredRule("comparison", ("gt", "ge", "lt", "le", "eq", "ne"), "sum(x > 0)", "n", ONE_OF, known_comparison),
    StructuredRule("logarithm of a power", ("log",), "log(c^3)", "3 log(c)", ONE_OF, log_of_power),
    StructuredRule("logarithm of a square", ("log",), "log(det(S)^2)", "2 logdet(S)", S, log_of_power),
    StructuredRule("logarithm of an exponential", ("log",), "log(c exp(t))", "t + log(c)", ONE_OF, log_of_exponential),
    StructuredRule("inverse of an orthogonal matrix", ("inv",), "inv(expm(K))", "expm(K)^T", K, inverse_of_orthogonal),
    StructuredRule(
        "inverse of a diagonal matrix", ("inv",), "inv(diag(x))", "diag(1 ./ x)", ONE_OF, inverse_of_diagonal
    ),
    StructuredRule("pseudo-inverse", ("pinv",), "pinv(H)", "inv(H)", H, pseudoinverse_of_invertible),
    StructuredRule(
        "determinant of a triangular matrix",
        ("det", "logdet"),
        "det(L)",
        "prod(diag(L))",
        L,
        determinant_of_triangular,
        f"{HORN}, section 0.9.3",
    ),
    StructuredRule(
        "log-determinant of a triangular matrix",
        ("det", "logdet"),
        "logdet(D)",
        "sum(log(abs(diag(D))))",
        D,
        determinant_of_triangular,
    ),
    StructuredRule(
        "log-determinant of a Cholesky factor",
        ("det", "logdet"),
        "logdet(L)",
        "sum(log(diag(L)))",
        ROOT,
        determinant_of_triangular,
    ),
    StructuredRule(
        "log-determinant of an orthogonal matrix", ("logdet",), "logdet(Q)", "0", Q, determinant_of_orthogonal
    ),
    StructuredRule(
        "determinant of a product",
        ("det", "logdet"),
        "logdet(Q^T S Q)",
        "logdet(S)",
        {**Q, **S},
        determinant_of_chain,
        f"{COOKBOOK}, eq. 20",
    ),
    StructuredRule(
        "norm of a rotated vector",
        ("norm", "nuclear", "spectral"),
        "nuclear(Q S)",
        "nuclear(S)",
        {**Q, **S},
        norm_of_rotated,
        f"{HORN}, section 5.6",
    ),
    StructuredRule("Cholesky factor of L L^T", ("chol",), "chol(L L^T)", "L", ROOT, factor_of_gram),
    StructuredRule("root of a square", ("sqrtm",), "sqrtm(H H)", "H", H, root_of_square, f"{HIGHAM}, theorem 1.29"),
    StructuredRule(
        "logarithm of a matrix exponential",
        ("logm",),
        "logm(expm(S))",
        "S",
        S,
        logarithm_of_exponential,
        f"{HIGHAM}, problem 1.39",
    ),
    StructuredRule(
        "exponential of a matrix logarithm",
        ("expm",),
        "expm(logm(H))",
        "H",
        H,
        exponential_of_logarithm,
        f"{HIGHAM}, theorem 1.31",
    ),
    StructuredRule("nuclear norm of a definite matrix", ("nuclear",), "nuclear(H)", "tr(H)", H, nuclear_of_definite),
)


def _by_operation() -> Mapping[str, tuple[Callable[..., Node | None], ...]]:
    """The functions of the rows, each once, by the operation they look at."""
    names = dict.fromkeys(chain.from_iterable(rule.operations for rule in RULES))
    found = {name: dict.fromkeys(rule.apply for rule in RULES if name in rule.operations) for name in names}
    return MappingProxyType({name: tuple(functions) for name, functions in found.items()})


BY_OPERATION = _by_operation()


def structured(node: Node) -> Node | None:
    """The result of the first rule that fits, or None.

    Parameters
    ----------
    node: a product, a map or a call in normal form.
    """
    if isinstance(node, Product):
        if not any(_matters(factor) for factor in node.factors):
            return None
        rules = BY_OPERATION["product"]
    elif isinstance(node, Map | Call):
        rules = BY_OPERATION.get(node.op, ())
    else:
        return None
    for rule in rules:
        result = rule(node)
        if result is not None:
            return result
    return None


def _matters(factor: Factor) -> bool:
    """Whether a rule for products looks at a factor: most products have none, and are left at once."""
    base = factor.node
    if isinstance(base, Map):
        return _is_log_of_cholesky(base)
    if isinstance(base, Call):
        return base.op in ("inv", "chol", "sqrtm", "det") or "skew" in base.properties
    if isinstance(base, Structure):
        return base.kind == "lower"
    return isinstance(base, Variable) and "skew" in base.properties
