"""The space in which a derivative by a structured variable is taken: its own space, all entries, or the distinct ones.

For a scalar f of a symmetric matrix X let G hold the partial derivatives with all entries independent. ``respect``
answers with the gradient in the space of symmetric matrices, the symmetric part of G; ``free`` with G; ``vech`` with
the derivatives by the n(n+1)/2 distinct entries, ``D^T vec(G)`` for the duplication matrix D. Tables that print
``2 G - G .* I`` print these last ones, laid out as a matrix.

Magnus & Neudecker, Matrix Differential Calculus (2019), ch. 3, section 8; Srinivasan & Panda, arXiv:1911.06491.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType

from .calculus.simplify import flat_product
from .elaborate.declare import type_text
from .errors import Unsupported, UsageError, require_one_of
from .expr.build import add, delta, product, variables, with_children
from .expr.nodes import Call, Exact, Node, Structure, Sum, Variable, postorder
from .expression import Expr
from .notation.text import to_text
from .ops.registry import OPERATIONS
from .ops.signature import apply_call
from .syntax.ast import Declare, Program

STRUCTURES = ("respect", "free", "vech")

# What a property of the variable makes of the space in which the derivative is taken.
SPACES: Mapping[str, str] = MappingProxyType(
    {
        "symmetric": "symmetric",
        "spd": "symmetric",
        "psd": "symmetric",
        "skew": "skew-symmetric",
        "diagonal": "diagonal",
        "lower": "lower triangular",
        "upper": "upper triangular",
    }
)
CURVED = "orthogonal"
SYMMETRIC = frozenset({"symmetric", "spd", "psd"})
SIGNS_WITHIN = frozenset({"positive", "nonnegative"})
HANDBOOK = (
    "2 G - G .* I, as some tables print it for the gradient G, lists the derivatives by the distinct entries: "
    'structure="vech" gives these'
)


def chosen(expr: Expr, names: Sequence[str], structure: str | None) -> str:
    """The structure in force: as asked for, else ``respect``, and ``free`` for orthogonal variables.

    Raises
    ------
    UsageError: an unknown structure, or ``vech`` for a variable without distinct entries.
    Unsupported: a second derivative within orthogonal matrices, which form no linear space.
    """
    if structure is not None:
        require_one_of(structure, STRUCTURES, "structure")
    for name in names:
        properties = properties_of(expr, name)
        if structure == "respect" and CURVED in properties and len(names) > 1:
            raise Unsupported(
                f"orthogonal matrices form no linear space: there is no second derivative within them by {name}",
                hint='structure="free" takes all entries as independent',
            )
        if structure == "vech" and not properties & (SYMMETRIC | {"lower"}):
            raise UsageError(
                f"vech is for symmetric and lower triangular variables, and {name} is not declared as one",
                hint=f'declare it: {{"{name}": "matrix(n, n) symmetric"}}',
            )
    curved = any(CURVED in properties_of(expr, name) for name in names)
    return structure or ("free" if curved else "respect")


def structured(expr: Expr, names: Sequence[str]) -> bool:
    """Whether the space makes a difference for one of the variables."""
    return any(properties_of(expr, name) & {CURVED, *SPACES} for name in names)


def properties_of(expr: Expr, name: str) -> frozenset[str]:
    """The declared properties of a variable of the program."""
    symbol = expr.meaning.symbols.get(name)
    return frozenset(symbol.properties) if symbol is not None else frozenset()


def subject(expr: Expr, names: Sequence[str], structure: str | None) -> Expr:
    """The expression that is differentiated: where entries are free, without what ties them.

    Rules such as ``Q^T Q = I`` or ``X^T = X`` hold on the space alone, so that a function simplified by them has other
    partial derivatives than the one that was written. Orthogonal matrices form no linear space, so their entries are
    free at first in any case.

    Parameters
    ----------
    names: the variables differentiated by.
    """
    ties = [CURVED] if structure != "free" else [CURVED, *SPACES]
    loose = [name for name in names if properties_of(expr, name) & set(ties)]
    if not loose:
        return expr
    types = dict(expr.vars)
    for name in loose:
        symbol = expr.meaning.symbols[name]
        dropped = set(ties) | (SIGNS_WITHIN if structure == "free" else set())
        types[name] = type_text(symbol.type, [word for word in symbol.properties if word not in dropped])
    program = Program(tuple(part for part in expr.program.statements if not isinstance(part, Declare)))
    return Expr(to_text(program), types, expr.type.shape)


def restored(node: Node, expr: Expr) -> Node:
    """A node over the variables of `subject` as one over the declared variables."""
    declared = {variable.name: variable for variable in variables(expr.node)}
    known: dict[Node, Node] = {
        variable: declared[variable.name]
        for variable in variables(node)
        if declared.get(variable.name, variable) != variable
    }
    if not known:
        return node
    done: dict[bytes, Node] = {}
    for part in postorder(node):
        children = [done[child.digest] for child in part.children]
        if part in known:
            done[part.digest] = known[part]
        elif isinstance(part, Call):
            # what is known of a value follows from what its operands are declared as
            done[part.digest] = apply_call(OPERATIONS[part.op], children, dict(part.parameters))
        else:
            done[part.digest] = with_children(part, children)
    return done[node.digest]


def within(node: Node, wrt: Sequence[Variable], structure: str | None) -> Node:
    """A derivative with its trailing axes as the structure wants them.

    Parameters
    ----------
    node: the derivative, of shape S + T1 + T2, over the declared variables and already projected onto linear spaces.
    wrt: the declared variables, in order.
    """
    lead = node.order - sum(variable.order for variable in wrt)
    if structure == "vech":
        for variable in wrt:
            node = _half(node, lead, variable)
            lead += 1
        return node
    if structure == "respect" and len(wrt) == 1 and CURVED in wrt[0].properties:
        return _tangent(node, lead, wrt[0])
    return node


def _half(node: Node, lead: int, variable: Variable) -> Node:
    """``D^T vec(G)``: the derivative by the entries on and below the diagonal, column by column."""
    size = variable.shape[0]
    names = tuple(range(node.order))
    i, j = lead, lead + 1
    full = node
    if variable.properties & SYMMETRIC:
        diagonal = _on_diagonal(node, i, j)
        full = add([(2, node), (-1, diagonal)], node.shape)
    place = node.order
    return product(
        [(full, 1, names), (Structure("halfpair", size), 1, (place, i, j))], (*names[:i], place, *names[j + 1 :])
    )


def _on_diagonal(node: Node, i: int, j: int) -> Node:
    """The entries with i = j, of each term of a sum where these add up to one term."""
    names = tuple(range(node.order))
    tie = (delta(node.shape[i]), 1, (i, j))
    terms: list[tuple[Exact, Node]] = []
    stack: list[tuple[Exact, Node]] = [(1, node)]
    while stack:
        coefficient, part = stack.pop()
        if isinstance(part, Sum):
            stack.extend((coefficient * inner, term) for inner, term in part.terms)
        else:
            terms.append((coefficient, flat_product([(part, 1, names), tie], names, dict(enumerate(node.shape)))))
    apart = add(terms, node.shape)
    if isinstance(apart, Sum) and len(apart.terms) > 1:
        return product([(node, 1, names), tie], names)
    return apart


def _tangent(node: Node, lead: int, variable: Variable) -> Node:
    """``1/2 (G - Q G^T Q)``: the projection onto the tangent space of orthogonal matrices at Q.

    Edelman, Arias & Smith, The Geometry of Algorithms with Orthogonality Constraints (1998), eq. 2.53.
    """
    names = tuple(range(lead))
    i, j, k, m = range(lead, lead + 4)
    turned = product([(variable, 1, (i, k)), (node, 1, (*names, m, k)), (variable, 1, (m, j))], (*names, i, j))
    return add([(Fraction(1, 2), node), (Fraction(-1, 2), turned)], node.shape)


def notes_of(expr: Expr, names: Sequence[str], structure: str | None) -> tuple[str, ...]:
    """What the reader has to know of the space."""
    found: dict[str, None] = {}
    for name in names:
        properties = properties_of(expr, name)
        spaces = sorted({SPACES[word] for word in properties if word in SPACES})
        if CURVED in properties:
            found[
                "the gradient is in the tangent space of orthogonal matrices"
                if structure == "respect"
                else f'the entries of {name} are taken as independent; structure="respect" projects onto the tangent '
                "space of orthogonal matrices"
            ] = None
        elif spaces and structure == "free":
            found[f"the entries of {name} are taken as independent, although it is {' and '.join(spaces)}"] = None
        elif structure == "vech":
            found[f"the derivative by vech({name}): D^T vec(G) for the duplication matrix D"] = None
        else:
            for space in spaces:
                found[f"the derivative is taken within {space} matrices"] = None
            if properties & SYMMETRIC and not expr.node.shape and len(names) == 1:
                found[HANDBOOK] = None
    return tuple(found)
