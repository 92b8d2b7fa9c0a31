"""The facts of a node from those of its operands: one rule for each kind of node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from ..dims import Dim, Shape
from ..nodes import Call, Exact, Factor, Map, Node, Product, Structure, Sum, Variable, derived
from .algebra import (
    DIAGONAL,
    DIAGONAL_NONNEGATIVE,
    DIAGONAL_POSITIVE,
    FACTS,
    IDEMPOTENT,
    INTEGER,
    INVERTIBLE,
    LOWER,
    NEGATIVE,
    NONNEGATIVE,
    NONPOSITIVE,
    NONZERO,
    ORTHOGONAL,
    POSITIVE,
    PSD,
    RANK_ONE,
    SIGNS,
    SKEW,
    SPD,
    SQUARE,
    SYMMETRIC,
    UPPER,
    ZERO,
    closure,
    contradictory,
    of_diagonal,
    on_diagonal,
    sign_of_power,
    sign_of_product,
    sign_of_sum,
)
from .mirror import is_psd_form
from .ranges import RANGES

MINIMUM_SIGNS = NONPOSITIVE | NEGATIVE
MAXIMUM_SIGNS = NONNEGATIVE | POSITIVE


def is_positive(node: Node) -> bool:
    """Whether every entry is known to be greater than zero."""
    return bool(facts_of(node) & POSITIVE)


def is_nonnegative(node: Node) -> bool:
    """Whether every entry is known to be at least zero."""
    return bool(facts_of(node) & NONNEGATIVE)


def is_definite(node: Node) -> bool:
    """Whether a matrix is known to be symmetric positive definite."""
    return bool(facts_of(node) & SPD)


def facts_of(node: Node) -> int:
    """Everything that is known to be true of a node, as a set of bits, computed once for each node."""
    return derived(node, "facts", _facts)


def known(node: Node, fact: str) -> bool | None:
    """Whether a fact is true of a node, false, or not known.

    >>> S = Variable("S", (Dim.of("n"), Dim.of("n")), {"spd"})
    >>> known(S, "invertible"), known(S, "skew"), known(S, "diagonal")
    (True, False, None)

    A fact is false where it would contradict what is true.

    Parameters
    ----------
    fact: a name of `FACTS`, such as ``positive`` or ``orthogonal``.
    """
    wanted = FACTS[fact]
    true = facts_of(node)
    if true & wanted:
        return True
    square = is_square(node.shape)
    if wanted & SQUARE and not square:
        # a matrix with two names for its sizes may be square for some of them
        return False if node.order != 2 or _differ(*node.shape) else None
    assumed = closure(true | wanted, square=square)
    length = node.shape[0].constant if square else None
    if contradictory(assumed, square, int(length) if length is not None else None):
        return False
    return None


def is_square(shape: Shape) -> bool:
    return len(shape) == 2 and shape[0] == shape[1]


def _differ(m: Dim, n: Dim) -> bool:
    """Whether two sizes are different numbers, whatever their names stand for."""
    gap = m - n
    return gap.constant is not None and gap.constant != 0


def _facts(node: Node) -> int:
    square = is_square(node.shape)
    found = 0
    if isinstance(node, Product):
        found = _of_product(node, square)
    elif isinstance(node, Sum):
        found = _of_sum(node, square)
    elif isinstance(node, Map):
        found = _of_map(node)
    elif isinstance(node, Variable):
        found = _declared(node.properties, square)
    elif isinstance(node, Call):
        found = _named(node.properties)
    elif isinstance(node, Structure):
        found = _of_structure(node)
    return closure(found if square else found & ~SQUARE, square=square)


# --- leaves --------------------------------------------------------------------------------------


def _named(properties: Iterable[str]) -> int:
    found = 0
    for name in properties:
        found |= FACTS.get(name, 0)
    return found


def _declared(properties: Iterable[str], square: bool) -> int:
    """What declared properties say: integers are labels, ``positive`` means the triangle of a triangular matrix."""
    found = _named(properties)
    if found & INTEGER:
        found |= NONNEGATIVE
    if square and found & (DIAGONAL | LOWER | UPPER) and found & (POSITIVE | NONNEGATIVE):
        diagonal = DIAGONAL_POSITIVE if found & POSITIVE else DIAGONAL_NONNEGATIVE
        found = (found & ~POSITIVE) | NONNEGATIVE | diagonal
    return found


def _of_structure(node: Structure) -> int:
    match node.kind:
        case "delta":
            return INTEGER | NONNEGATIVE | DIAGONAL | ORTHOGONAL | SPD | IDEMPOTENT
        case "lower":
            return INTEGER | NONNEGATIVE | LOWER | DIAGONAL_POSITIVE
        case "size":
            return INTEGER | POSITIVE
        case "pi" | "e" | "inf":
            return POSITIVE
        case "levicivita":
            return INTEGER
        case "range":
            start = node.parameters[0].constant
            if start is None or start < 0:
                return INTEGER
            return INTEGER | (POSITIVE if start > 0 else NONNEGATIVE)
    return INTEGER | NONNEGATIVE


# --- linear combinations -------------------------------------------------------------------------


def _of_sum(node: Sum, square: bool) -> int:
    parts = [(term.coefficient, _cached(term.node)) for term in node.terms]
    found = sign_of_sum([(c > 0, not isinstance(c, Fraction), facts) for c, facts in parts])
    if not square or not parts:
        return found
    every = DIAGONAL | LOWER | UPPER | SYMMETRIC | SKEW
    for _, facts in parts:
        every &= facts
    found |= every
    found |= on_diagonal(sign_of_sum([(c > 0, False, of_diagonal(facts)) for c, facts in parts]))
    if all(c > 0 and facts & PSD for c, facts in parts):
        found |= SPD if any(facts & SPD for _, facts in parts) else PSD
    if len(parts) == 1:
        coefficient, facts = parts[0]
        found |= facts & (INVERTIBLE | RANK_ONE)
        found |= facts & ORTHOGONAL if coefficient == -1 else 0
    return found | _complement(parts, node)


def _complement(parts: list[tuple[Exact, int]], node: Sum) -> int:
    """``I - P`` is idempotent where P is, ``I - 2 P`` is orthogonal where P is symmetric, too."""
    if len(parts) != 2:
        return 0
    for one, other in ((0, 1), (1, 0)):
        identity = node.terms[one].node
        if not (isinstance(identity, Structure) and identity.kind == "delta" and parts[one][0] == 1):
            continue
        coefficient, facts = parts[other]
        if facts & IDEMPOTENT and coefficient == -1:
            return IDEMPOTENT
        if facts & IDEMPOTENT and facts & SYMMETRIC and coefficient == -2:
            return ORTHOGONAL
    return 0


# --- functions -----------------------------------------------------------------------------------


def _of_map(node: Map) -> int:
    operands = [_cached(arg) for arg in node.args]
    plain = node.order == 2 and all(axes == (0, 1) or not axes for axes in node.axes)
    found = SYMMETRIC if plain and all(not a or f & SYMMETRIC for a, f in zip(node.axes, operands, strict=True)) else 0
    if node.op in ("maximum", "minimum"):
        wide, narrow = (MAXIMUM_SIGNS, MINIMUM_SIGNS) if node.op == "maximum" else (MINIMUM_SIGNS, MAXIMUM_SIGNS)
        every = wide | narrow | NONZERO | INTEGER | ZERO
        for facts in operands:
            found |= facts & wide
            every &= facts
        return found | every
    if node.op == "pow":
        base = operands[0]
        return found | (base & (POSITIVE | NONNEGATIVE) if base & NONNEGATIVE else 0)
    if node.op == "where":
        return found | (operands[1] & operands[2] & (SIGNS | INTEGER))
    row = RANGES.get(node.op)
    if row is None or len(operands) > 1:
        return found | (row.gives if row is not None else 0)
    (facts,) = operands
    found |= row.gives | (facts & row.keeps)
    for given, more in row.turns:
        found |= more if facts & given == given else 0
    if row.keeps & ZERO and plain:
        found |= facts & (DIAGONAL | LOWER | UPPER)
        kept = on_diagonal(of_diagonal(facts) & row.keeps)
        found |= kept
    return found


# --- contractions --------------------------------------------------------------------------------


def _of_product(node: Product, square: bool) -> int:
    if not node.factors:
        # a tensor of ones, or a size
        return POSITIVE | INTEGER | (PSD | RANK_ONE if square else 0)
    summed = len(node.sizes) > node.order
    found = sign_of_product([_entry_sign(factor) for factor in node.factors], summed)
    if is_psd_form(node):
        found |= PSD if node.order else NONNEGATIVE
    if node.order != 2:
        return found
    found |= _rank(node)
    if not square:
        return found
    merged = [_entry_sign(factor, {1: 0}) for factor in node.factors]
    found |= on_diagonal(sign_of_product(merged, summed))
    return found | _triangle(node) | _of_chain(node) | _of_single(node)


def _cached(node: Node) -> int:
    facts: int = node.cache["facts"]
    return facts


def _entry_sign(factor: Factor, merged: Mapping[int, int] | None = None) -> int:
    """The sign of the entries that a product reaches, with its exponent; labels may be merged to see a diagonal."""
    labels = [merged.get(label, label) for label in factor.labels] if merged else factor.labels
    facts = _cached(factor.node)
    repeated = len(labels) == 2 and labels[0] == labels[1]
    return _raised(of_diagonal(facts) if repeated else facts & (SIGNS | INTEGER), factor.exponent)


def _raised(sign: int, exponent: Exact) -> int:
    if exponent == 1:
        return sign
    value = Fraction(exponent)
    whole = value.denominator == 1
    even_top = value.numerator % 2 == 0
    return sign_of_power(sign, whole, even_top, value.denominator % 2 == 0, value < 0)


def _triangle(node: Product) -> int:
    """Entries that are zero because a chain of triangular factors orders the two output labels."""
    below: dict[int, list[int]] = {}
    for factor in node.factors:
        if len(factor.labels) != 2 or factor.exponent <= 0:
            continue
        facts = _cached(factor.node)
        row, column = factor.labels
        if facts & LOWER:
            below.setdefault(row, []).append(column)
        if facts & UPPER:
            below.setdefault(column, []).append(row)
    found = 0
    for start, end, fact in ((0, 1, LOWER), (1, 0, UPPER)):
        reached, stack = {start}, [start]
        while stack:
            for label in below.get(stack.pop(), ()):
                if label not in reached:
                    reached.add(label)
                    stack.append(label)
        found |= fact if end in reached else 0
    return found


def _of_chain(node: Product) -> int:
    """Products of square matrices: invertible and orthogonal where all are; also diag(v) and Kronecker products."""
    scalars = [factor for factor in node.factors if not factor.labels]
    nonzero = all(_cached(factor.node) & NONZERO for factor in scalars)
    matrices = [factor for factor in node.factors if factor.labels]
    vectors = [factor for factor in matrices if set(factor.labels) == {0}]
    ties = [factor for factor in matrices if set(factor.labels) == {0, 1}]
    is_diagonal = len(ties) == 1 and len(vectors) + 1 == len(matrices) and len(node.sizes) == 2
    if is_diagonal and isinstance(ties[0].node, Structure) and ties[0].node.kind == "delta":
        signs = [_entry_sign(factor) for factor in vectors]
        return INVERTIBLE if nonzero and all(sign & NONZERO for sign in signs) else 0
    if not _is_chain(matrices, node) and not is_kronecker(node):
        return 0
    common = INVERTIBLE | ORTHOGONAL
    for factor in matrices:
        if not (isinstance(factor.node, Structure) and factor.node.kind == "pair"):
            common &= _cached(factor.node)
    if scalars:
        common &= INVERTIBLE
    return common if nonzero else 0


def _is_chain(matrices: list[Factor], node: Product) -> bool:
    """Whether factors are square matrices in a row from label 0 to label 1."""
    degree: dict[int, int] = {}
    for factor in matrices:
        if factor.exponent != 1 or len(set(factor.labels)) != 2 or len(factor.labels) != 2:
            return False
        if factor.node.shape[0] != factor.node.shape[1]:
            return False
        for label in factor.labels:
            degree[label] = degree.get(label, 0) + 1
    if degree.get(0) != 1 or degree.get(1) != 1:
        return False
    if any(degree.get(label) != 2 for label in node.summed):
        return False
    return _is_connected(matrices)


def _is_connected(matrices: list[Factor]) -> bool:
    reached = {0}
    rest = list(matrices)
    while rest:
        following = [factor for factor in rest if reached & set(factor.labels)]
        if not following:
            return False
        for factor in following:
            reached |= set(factor.labels)
        rest = [factor for factor in rest if factor not in following]
    return True


def is_kronecker(node: Product) -> bool:
    """Whether a product is ``A ⊗ B`` of two square matrices."""
    pairs = [f for f in node.factors if isinstance(f.node, Structure) and f.node.kind == "pair" and f.exponent == 1]
    rest = [f for f in node.factors if f.labels and f not in pairs]
    if len(pairs) != 2 or len(rest) != 2 or {f.labels[0] for f in pairs} != {0, 1}:
        return False
    for axis in (1, 2):
        ends = {pairs[0].labels[axis], pairs[1].labels[axis]}
        if len(ends) != 2 or sum(len(f.labels) == 2 and set(f.labels) == ends for f in rest) != 1:
            return False
    return all(f.exponent == 1 and f.node.shape[0] == f.node.shape[1] for f in rest)


def _rank(node: Product) -> int:
    """``u v^T`` has rank one, unless it is zero: no label connects the two outputs."""
    reached, rest = {0}, [factor for factor in node.factors if factor.labels]
    while True:
        following = [factor for factor in rest if reached & set(factor.labels)]
        if not following:
            break
        for factor in following:
            reached |= set(factor.labels)
        rest = [factor for factor in rest if factor not in following]
    return RANK_ONE if 1 not in reached else 0


def _of_single(node: Product) -> int:
    """A transpose, and a multiple by a scalar of what is known."""
    matrices = [factor for factor in node.factors if factor.labels]
    if len(matrices) != 1 or sorted(matrices[0].labels) != [0, 1] or matrices[0].exponent != 1:
        return 0
    facts = _cached(matrices[0].node)
    turned = matrices[0].labels == (1, 0)
    kept = facts & (SYMMETRIC | SKEW | RANK_ONE)
    if len(node.factors) > 1:
        return kept
    kept |= facts & (INVERTIBLE | ORTHOGONAL | IDEMPOTENT)
    if facts & LOWER:
        kept |= UPPER if turned else LOWER
    if facts & UPPER:
        kept |= LOWER if turned else UPPER
    return kept
