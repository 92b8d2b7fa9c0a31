"""The derivative as a formula to read: differentiated term by term, each term presented, what the reader wrote kept."""

from __future__ import annotations

from collections.abc import Sequence

from ..expr.build import add, scale, split_coefficient
from ..expr.dims import Shape
from ..expr.nodes import Exact, Node, Sum, Term, Variable
from .derive import derivative
from .present import (
    by_entries,
    cost,
    factor_sum,
    fold_pseudo_inverses,
    is_too_large,
    present,
    sums_of,
    tidy_numbers,
    with_residual_turned,
)
from .simplify import simplify

#: Sums with more terms than this are differentiated as a whole.
LARGEST_TERMWISE_SUM = 12


def differentiate(root: Node, wrt: Sequence[Variable]) -> Node:
    """The derivative by one variable after another, in normal form: the node that is evaluated and differentiated on.

    Parameters
    ----------
    root: the output.
    wrt: the variables, in the order of the axes they append.
    """
    (node,) = simplify(root)
    function = node
    for position, variable in enumerate(wrt):
        if position:
            # what cancels in the first derivative must not come back in the second
            node = present(node, sums_of(function))
        (node,) = simplify(derivative(node, variable))
    return node


def formula(root: Node, wrt: Sequence[Variable], derived: Node | None = None) -> Node:
    """The derivative in the form in which it is printed; equal to `differentiate`.

    The derivative of a sum is the sum of the derivatives of its terms, in that form: ``2 A^T (A x - b) + 2 c x`` for
    a residual and a penalty.

    Parameters
    ----------
    root: the output.
    wrt: the variables, in the order of the axes they append; none to present the output itself.
    derived: the result of `differentiate`, where it is known already.
    """
    (node,) = simplify(root)
    if is_too_large(node):
        return differentiate(node, wrt) if derived is None else derived
    written = sums_of(root) | sums_of(node)
    terms = node.terms if isinstance(node, Sum) and 2 <= len(node.terms) <= LARGEST_TERMWISE_SUM else (Term(1, node),)
    shape = _shape(root, wrt)
    parts: list[tuple[Exact, Node]] = []
    for coefficient, term in terms:
        whole = derived is not None and len(terms) == 1
        slope = derived if whole and derived is not None else add([(coefficient, differentiate(term, wrt))], shape)
        shown = present(slope, written)
        parts += [(c, part) for c, part in shown.terms] if isinstance(shown, Sum) else [(1, shown)]
    if len(terms) > 1 and any(c > 0 for c, _ in parts):
        parts = [split_coefficient(with_residual_turned(scale(c, part), written)) for c, part in parts]
    apart = add(parts, shape, flatten=False)
    total = apart
    if len(terms) > 1 and isinstance(apart, Sum):
        total = tidy_numbers(factor_sum(apart))
        if cost(apart) < cost(total):
            total = apart
    if wrt:
        total = fold_pseudo_inverses(total, node)
    return by_entries(total, node, written)


def _shape(root: Node, wrt: Sequence[Variable]) -> Shape:
    shape = root.shape
    for variable in wrt:
        shape = shape + variable.shape
    return shape
