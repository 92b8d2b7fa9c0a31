"""The rules that lines cite: rows of the table of identities, operation records, and a few words of our own."""

from __future__ import annotations

from ..calculus.identities import Identity
from ..calculus.identities.match import find_match
from ..calculus.present import present
from ..expr.build import is_ones
from ..expr.nodes import Call, Map, Node, Product, Sum, Variable, postorder
from ..notation.matrices import to_ast
from ..notation.text import to_text
from ..ops.registry import OPERATIONS
from ..structure import SPACES
from .steps import Rule

MAGNUS = "Magnus & Neudecker, Matrix Differential Calculus (1999)"

LINEAR = Rule("linear map", "d(A x) = A dx", f"{MAGNUS}, ch. 8")
SUM = Rule("sum rule", "d(u + v) = du + dv", f"{MAGNUS}, ch. 8")
PRODUCT = Rule("product rule", "d(U V) = dU V + U dV", f"{MAGNUS}, ch. 8")
QUADRATIC = Rule("quadratic form", "d(x^T A x) = x^T (A + A^T) dx", f"{MAGNUS}, ch. 9")
SQUARES = Rule("squared norm", "d||r||^2 = 2 r^T dr", f"{MAGNUS}, ch. 9")
POWERS = Rule("power rule", "d(u^k) = k u^(k-1) du")
INVERSE = Rule("inverse", "d(X^-1) = -X^-1 dX X^-1", f"{MAGNUS}, ch. 8, section 4")
SUBSTITUTION = Rule("substitution")
CHAIN = Rule("chain rule", "", f"{MAGNUS}, ch. 5, section 11")
TRANSPOSITION = Rule("transpose", "tr(M) = tr(M^T)")
OWN_TRANSPOSE = Rule("transpose", "a scalar is its own transpose")
CYCLIC = Rule("cyclic property", "tr(A B) = tr(B A)")
COLLECTING = Rule("collected")
READ_GRADIENT = Rule("first identification", "df = g^T dx makes g the gradient", f"{MAGNUS}, ch. 5, section 9")
READ_MATRIX = Rule("first identification", "df = tr(G^T dX) makes G the gradient", f"{MAGNUS}, ch. 9, section 3")
READ_JACOBIAN = Rule("first identification", "df = J dx makes J the derivative", f"{MAGNUS}, ch. 5, section 9")
READ_VEC = Rule(
    "first identification",
    "vec(dF) = J vec(dX) makes J the derivative, here by its axes",
    f"{MAGNUS}, ch. 9, section 5",
)
VEC = Rule("vec of a product", "vec(A X B) = (B^T kron A) vec(X)", f"{MAGNUS}, ch. 2, theorem 2")
DELTA = Rule("Kronecker delta", "dx_i/dx_k = delta_ik, which is 1 where i = k and 0 elsewhere")
COLLAPSE = Rule("deltas collapse", "sum_j delta_jk u_j = u_k")
PATTERN = Rule("pattern", "sums over a shared index are matrix products")
MATRIX_FORM = Rule("matrix form", "all entries at once")
NAMES = Rule("intermediates written out")
CONSTANT = Rule("constant", "nothing in it changes")
#: What a rule says is left out where it is longer than this.
LONGEST_STATEMENT = 60


def projection(variable: Variable) -> tuple[Rule, ...]:
    """The rule for a variable that is confined to a space of matrices."""
    found = sorted({SPACES[name] for name in variable.properties if name in SPACES})
    return tuple(Rule(f"projection onto {space} matrices") for space in found) if variable.order == 2 else ()


def operation_rule(node: Map | Call) -> Rule:
    """The derivative of an operation as its record states it."""
    record = OPERATIONS[node.op]
    statement = ""
    if isinstance(node, Map) and len(node.args) == 1 and record.slopes:
        inner = Variable("t", ())
        value = Map(node.op, (inner,), ((),), ())
        slope = to_text(to_ast(present(record.slopes[0](value, inner)), ["t"]), separator="; ")
        statement = f"{node.op}'(t) = {slope}"
    elif record.zero_derivative:
        statement = f"zero: {record.zero_derivative}"
    return Rule(f"derivative of {node.op}", statement, record.reference)


def identity_rule(identity: Identity) -> Rule:
    """A row of the table of identities as a rule."""
    statement = f"d({identity.expression})/d{identity.wrt} = {identity.result}"
    readable = len(statement) <= LONGEST_STATEMENT and "einsum" not in statement
    return Rule(identity.name, statement if readable else "", identity.reference)


def local_rules(node: Node, by: Variable, named: bool = True) -> tuple[Rule, ...]:
    """The rules that differentiate a part by one of its inputs.

    Parameters
    ----------
    node: the part.
    by: the input.
    named: whether a row of the table of identities may speak for all of it.
    """
    match = find_match(node, by) if named else None
    if match is not None and match.inner == by and not match.function:
        return (identity_rule(match.identity),)
    found: dict[Rule, None] = {}
    inside: set[bytes] = set()
    for part in postorder(node):
        if part != by and not any(child.digest in inside for child in part.children):
            continue
        inside.add(part.digest)
        if isinstance(part, Map | Call):
            found[operation_rule(part)] = None
        elif isinstance(part, Product):
            touched = [factor for factor in part.factors if factor.node.digest in inside]
            if any(factor.exponent == 2 for factor in touched) and not part.order and touched[0].labels:
                found[SQUARES] = None
            elif any(factor.exponent != 1 for factor in touched):
                found[POWERS] = None
            elif (
                len(touched) == 2 and not part.order and all(factor.node == by for factor in touched) and by.order == 1
            ):
                found[QUADRATIC] = None
            elif len(touched) > 1:
                found[PRODUCT] = None
            else:
                found[LINEAR] = None
        elif isinstance(part, Sum):
            touched_terms = [term for term in part.terms if term.node.digest in inside]
            if len(touched_terms) > 1:
                found[SUM] = None
            elif not any(is_ones(term.node) for term in part.terms) and len(part.terms) == 1:
                found[LINEAR] = None
    if len(found) > 1:
        found.pop(LINEAR, None)
    return tuple(found) or (LINEAR,)
