"""Types and nodes of the operators: sums, products by orientation, quotients, powers, comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NoReturn

from ..errors import DomainError, ShapeError, Unsupported
from ..expr import build
from ..expr.dims import Dim
from ..expr.nodes import Exact, Map, Node, Structure
from ..expr.typed import SCALAR, Type, column, matrix, row
from ..ops.apply import call
from ..syntax.ast import Ast, Binary, Name, Num, Transpose
from .context import Session
from .values import BATCH, Make, Value, undeclared_names

Labels = tuple[int, ...]
Part = tuple[Value, Exact, Labels]

MAX_REPEATED_POWER = 16
"""Matrix powers up to here are written out as repeated products."""

COUNTING_NAMES = frozenset({"n", "m", "k"})
"""Lower-case letters that, as a divisor on their own, are read as a number."""

DOUBT_SCALAR_IN_SUM = 3.0
DOUBT_ARRAY_IN_SUM = 6.0
DOUBT_SCALAR_BEHIND_ARRAY = 3.0
DOUBT_SCALAR_AS_ARRAY = 6.0

COMPARISONS = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}


# --- building blocks -----------------------------------------------------------------------------


def joint_batch(values: Sequence[Value]) -> tuple[int, ...]:
    """The index variables of all values together."""
    if not any(value.batch for value in values):
        return ()
    return tuple(sorted({place for value in values for place in value.batch}))


def batch_labels(places: Sequence[int]) -> Labels:
    return tuple(BATCH + place for place in places)


def final_size(session: Session, label: int) -> Dim:
    """The size of an index variable's axis."""
    return session.dimensions.resolve(session.indices[label - BATCH].size)


def final_shape(session: Session, batch: Sequence[int], value_type: Type) -> tuple[Dim, ...]:
    """The shape of a node: batch axes, then core axes."""
    sizes = [final_size(session, BATCH + place) for place in batch]
    return (*sizes, *map(session.dimensions.resolve, value_type.shape))


def contract(
    session: Session,
    parts: Sequence[Part],
    out: Labels,
    value_type: Type,
    *,
    batch: tuple[int, ...] | None = None,
    bare: bool = False,
) -> Value:
    """A product of values with labelled core axes; ``out`` are the labels of the core axes of the result.

    Batch axes are aligned by index variable. ``batch`` are those that stay; the others are summed.
    """
    values = tuple(part[0] for part in parts)
    kept = joint_batch(values) if batch is None else batch
    result = (*batch_labels(kept), *out)

    def make(nodes: Sequence[Node]) -> Node:
        sizes = dict(zip(result, final_shape(session, kept, value_type), strict=True))
        operands = [
            (node, exponent, (*batch_labels(value.batch), *labels))
            for node, (value, exponent, labels) in zip(nodes, parts, strict=True)
        ]
        return build.product(operands, result, sizes)

    open_ = any(value.open for value in values)
    counted = not value_type.shape and all(value.count for value in values)
    return Value(value_type, values, make, kept, bare=bare, open=open_, count=counted)


def stretch(
    session: Session, value: Value, node: Node, batch: tuple[int, ...], labels: Labels, value_type: Type
) -> Node:
    """Repeat a node along the batch and core axes it does not carry."""
    own = (*batch_labels(value.batch), *labels)
    result = (*batch_labels(batch), *range(len(value_type.shape)))
    if own == result:
        return node
    sizes = dict(zip(result, final_shape(session, batch, value_type), strict=True))
    return build.product([(node, 1, own)], result, sizes)


def entrywise(session: Session, op: str, values: Sequence[Value], labels: Sequence[Labels], value_type: Type) -> Value:
    """A map over values whose core axes are broadcast as the labels say."""
    batch = joint_batch(values)
    where = {place: axis for axis, place in enumerate(batch)}
    axes = tuple(
        (*(where[place] for place in value.batch), *(len(batch) + label for label in own))
        for value, own in zip(values, labels, strict=True)
    )

    def make(nodes: Sequence[Node]) -> Node:
        return Map(op, tuple(nodes), axes, final_shape(session, batch, value_type))

    return Value(value_type, tuple(values), make, batch, open=any(value.open for value in values))


def alike(session: Session, values: Sequence[Value], value_type: Type, make: Make) -> Value:
    """A value whose ``make`` wants every operand with the same batch axes in front."""
    batch = joint_batch(values)
    if not batch:
        return Value(value_type, tuple(values), make, open=any(value.open for value in values))

    def stretched(nodes: Sequence[Node]) -> Node:
        return make(
            [
                stretch(session, value, node, batch, tuple(range(len(value.type.shape))), value.type)
                for value, node in zip(values, nodes, strict=True)
            ]
        )

    return Value(value_type, tuple(values), stretched, batch, open=any(value.open for value in values))


def called(session: Session, op: str, values: Sequence[Value], value_type: Type) -> Value:
    """A call on the core axes; operands are repeated along the batch axes they lack."""
    return alike(session, values, value_type, lambda nodes: call(op, *nodes))


def number(value: Exact) -> Value:
    """A scalar that depends on nothing."""
    value = build.exact(value)
    return Value(SCALAR, (), lambda _nodes: build.number(value), number=value, count=True)


def count(session: Session, dim: Dim) -> Value:
    """The number of entries along a dimension."""
    known = session.dimensions.resolve(dim).constant
    if known is not None:
        return number(known)
    return Value(SCALAR, (), lambda _nodes: build.size(session.dimensions.resolve(dim)), count=True)


def labels_in(kind: str, target: str) -> Labels:
    """Which axes of the target an operand of this kind runs along."""
    if kind == "scalar":
        return ()
    if target == "matrix" and kind == "column":
        return (0,)
    if target == "matrix" and kind == "row":
        return (1,)
    return (0, 1) if kind == "matrix" else (0,)


def operand_labels(value: Value, value_type: Type) -> Labels:
    if value_type.kind == "tensor" and value.type.kind == "tensor":
        return tuple(range(len(value_type.shape)))
    return labels_in(value.type.kind, value_type.kind)


# --- alignment -----------------------------------------------------------------------------------


def align(
    session: Session, values: Sequence[Value], nodes: Sequence[Ast], verb: str, span_of: Ast | None = None
) -> Type:
    """The type of an entrywise combination; sizes are unified."""
    lead = 0
    rank = {"scalar": 0, "column": 1, "row": 1, "matrix": 2, "tensor": 3}
    for position, value in enumerate(values):
        if rank[value.type.kind] > rank[values[lead].type.kind]:
            lead = position
    value_type = values[lead].type
    if not value_type.shape:
        return value_type
    for position, value in enumerate(values):
        if position == lead or not value.type.shape:
            continue
        own = value.type
        fits = own.kind == value_type.kind and len(own.shape) == len(value_type.shape)
        if not fits and not (value_type.kind == "matrix" and own.kind in ("column", "row")):
            _cannot_combine(session, values, nodes, lead, position, verb, span_of)
        for label, dim in zip(operand_labels(value, value_type), own.shape, strict=True):
            if not session.dimensions.unify(value_type.shape[label], dim, nodes[position].span):
                _cannot_combine(session, values, nodes, lead, position, verb, span_of)
    return value_type


def _cannot_combine(
    session: Session,
    values: Sequence[Value],
    nodes: Sequence[Ast],
    lead: int,
    position: int,
    verb: str,
    span_of: Ast | None,
) -> NoReturn:
    first, second = sorted((lead, position))
    left, right = values[first], values[second]
    texts = session.describe(nodes[first], left), session.describe(nodes[second], right)
    joint = {"multiply": "by", "divide": "by", "compare": "with", "raise": "to the power"}.get(verb, "and")
    hint = _alignment_hint(session, left, right, nodes[first], nodes[second])
    site = session.at(span_of or nodes[second], left, right)
    site.fail(f"cannot {verb} {texts[0]} {joint} {texts[1]}", hint)


def _alignment_hint(session: Session, left: Value, right: Value, left_node: Ast, right_node: Ast) -> str:
    a, b = session.text(left_node), session.text(right_node)
    kinds = {left.type.kind, right.type.kind}
    if kinds == {"row", "column"}:
        row_text = a if left.type.kind == "row" else b
        turned = flipped(_bracketed(row_text))
        return f"one is a row, the other a column: did you mean {turned}?" if row_text else "transpose one of them"
    resolve = session.dimensions.resolve
    both = left.type.kind == right.type.kind == "matrix"
    mirrored = tuple(map(resolve, right.type.shape[::-1]))
    if both and b and tuple(map(resolve, left.type.shape)) == mirrored:
        return f"did you mean {_bracketed(b)}^T?"
    if "matrix" in kinds and kinds & {"row", "column"}:
        vector_text = a if right.type.kind == "matrix" else b
        of_matrix = right.type if right.type.kind == "matrix" else left.type
        vector = left.type if right.type.kind == "matrix" else right.type
        other = of_matrix.shape[1] if vector.kind == "column" else of_matrix.shape[0]
        if resolve(other) == resolve(vector.shape[0]) and vector_text:
            return f"did you mean {_bracketed(vector_text)}^T? (a column expands over the columns, a row over the rows)"
    return "both must have the same shape"


def _bracketed(text: str) -> str:
    """Brackets around a text that is not a single name or bracketed already."""
    name = text.removesuffix("^T").removesuffix("'").replace("_", "")
    if name.isalnum() or (text.startswith("(") and closing(text, 0) == len(text) - 1):
        return text
    return f"({text})"


def closing(text: str, start: int) -> int:
    """Where the bracket opened at ``start`` closes, -1 if nowhere."""
    depth = 0
    for position in range(start, len(text)):
        if text[position] in "([{":
            depth += 1
        elif text[position] in ")]}":
            depth -= 1
            if depth == 0:
                return position
    return -1


# --- sums ----------------------------------------------------------------------------------------


def add(session: Session, signed: Sequence[tuple[int, Value]], nodes: Sequence[Ast]) -> Value:
    """A signed sum; scalars, rows and columns expand."""
    if all(value.number is not None for _, value in signed):
        return number(sum(sign * value.number for sign, value in signed if value.number is not None))
    values = tuple(value for _, value in signed)
    if len(values) == 1:
        sign, only = signed[0]
        if sign == 1:
            return only
        result = Value(only.type, (only,), lambda parts: build.negate(parts[0]), only.batch, bare=only.bare)
        result.open = only.open
        return result
    value_type = align(session, values, nodes, "add")
    if value_type.shape:
        _doubt_mixture(session, values)
    batch = joint_batch(values)
    labels = [operand_labels(value, value_type) for value in values]

    def make(parts: Sequence[Node]) -> Node:
        shape = final_shape(session, batch, value_type)
        terms = [
            (sign, stretch(session, value, part, batch, own, value_type))
            for (sign, value), own, part in zip(signed, labels, parts, strict=True)
        ]
        return build.add(terms, shape, flatten=False)

    bare = not value_type.shape and all(value.bare or value.count for value in values)
    counted = not value_type.shape and all(value.count for value in values)
    return Value(value_type, values, make, batch, bare=bare, open=any(value.open for value in values), count=counted)


def _doubt_mixture(session: Session, values: Sequence[Value]) -> None:
    """Where an undeclared name is expanded, or is expanded over, another order is likelier."""
    scalars = [value for value in values if value.is_scalar and not value.count]
    if not scalars:
        return
    arrays = [value for value in values if value.is_array and value.bare and value.open]
    if arrays:
        session.doubt(DOUBT_ARRAY_IN_SUM, *arrays, *(value for value in scalars if value.bare))
        return
    for value in scalars:
        if value.bare:
            session.doubt(DOUBT_SCALAR_IN_SUM, value)


# --- products ------------------------------------------------------------------------------------


def multiply(session: Session, node: Ast, left: Value, right: Value, left_node: Ast, right_node: Ast) -> Value:
    """The product by orientation."""
    if left.is_scalar or right.is_scalar:
        return _scale(session, left, right)
    kinds = (left.type.kind, right.type.kind)
    a, b = left.type.shape, right.type.shape
    # the labels of both operands and of the result; label 1 is contracted
    rules: dict[tuple[str, str], tuple[Labels, Labels, Labels, Type]] = {
        ("row", "column"): ((1,), (1,), (), SCALAR),
        ("column", "row"): ((0,), (2,), (0, 2), matrix(a[0], b[0])),
        ("matrix", "column"): ((0, 1), (1,), (0,), column(a[0])),
        ("row", "matrix"): ((1,), (1, 2), (2,), row(b[-1])),
        ("matrix", "matrix"): ((0, 1), (1, 2), (0, 2), matrix(a[0], b[-1])),
    }
    rule = rules.get(kinds)
    if rule is None:
        _cannot_multiply(session, node, left, right, left_node, right_node)
    own, other, out, value_type = rule
    contracted = kinds != ("column", "row")
    if contracted and not session.dimensions.unify(a[-1], b[0], node.span):
        _cannot_multiply(session, node, left, right, left_node, right_node)
    return contract(session, [(left, 1, own), (right, 1, other)], out, value_type)


def _scale(session: Session, left: Value, right: Value) -> Value:
    if left.number is not None and right.number is not None:
        return number(left.number * right.number)
    array = right if left.is_scalar else left
    if right.is_scalar and left.is_array and not right.count:
        if right.bare and right.open:
            session.doubt(DOUBT_SCALAR_BEHIND_ARRAY, right, left) if left.bare else session.doubt(
                DOUBT_SCALAR_BEHIND_ARRAY, right
            )
        elif left.bare and left.open:
            session.doubt(DOUBT_SCALAR_BEHIND_ARRAY, left)
    if left.number is not None:
        factor = left.number
        return Value(
            right.type,
            (right,),
            lambda nodes: build.scale(factor, nodes[0]),
            right.batch,
            bare=right.bare,
            open=right.open,
            count=right.count,
        )
    labels = tuple(range(len(array.type.shape)))
    bare = (left.bare or left.count) and (right.bare or right.count)
    if array.is_array:
        bare = array.bare
    return contract(
        session,
        [(left, 1, labels if left.is_array else ()), (right, 1, labels if right.is_array else ())],
        labels,
        array.type,
        bare=bare,
    )


def _cannot_multiply(
    session: Session, node: Ast, left: Value, right: Value, left_node: Ast, right_node: Ast
) -> NoReturn:
    site = session.at(node, left, right)
    described = session.describe(left_node, left), session.describe(right_node, right)
    a = _bracketed(session.text(left_node) or "x")
    b = _bracketed(session.text(right_node) or "y")
    kinds = (left.type.kind, right.type.kind)
    message = f"cannot multiply {described[0]} by {described[1]}"
    resolve = session.dimensions.resolve
    p, q = tuple(map(resolve, left.type.shape)), tuple(map(resolve, right.type.shape))
    if "tensor" in kinds:
        site.fail(message, 'write the contraction as einsum("ijk,kl->ijl", A, B)')
    if kinds == ("column", "column"):
        session.ambiguous = left.open and right.open
        site.fail(
            f"{message}: both are columns",
            f"write {a}^T {b} for the inner product, {a} {b}^T for the outer product or {a} .* {b} entry by entry"
            + ("; or declare their types" if session.ambiguous else ""),
        )
    if kinds == ("row", "row"):
        first, second = session.text(left_node) or "x^T", _untransposed(b)
        hint = f"write {first} {second} for the inner product or {a} .* {b} entry by entry"
        site.fail(f"{message}: both are rows", hint)
    if kinds == ("matrix", "row"):
        site.fail(f"{message}: a row cannot stand behind a matrix", f"did you mean {a} {_untransposed(b)}?")
    if kinds == ("column", "matrix"):
        site.fail(f"{message}: a column cannot stand before a matrix", f"did you mean {a}^T {b}?")
    if kinds == ("matrix", "column") and p[0] == q[0]:
        site.fail(message, f"did you mean {flipped(a)} {b}?")
    if kinds == ("row", "matrix") and p[0] == q[1]:
        site.fail(message, f"did you mean {a} {flipped(b)}?")
    if kinds == ("matrix", "matrix"):
        if p[0] == q[0]:
            site.fail(message, f"did you mean {flipped(a)} {b}?")
        if p[1] == q[1]:
            site.fail(message, f"did you mean {a} {flipped(b)}?")
        if p[0] == q[1]:
            site.fail(message, f"did you mean {b} {a}?")
    site.fail(message, f"the inner sizes {session.dim_text(p[-1])} and {session.dim_text(q[0])} must be equal")


def flipped(text: str) -> str:
    """The transpose of what a text says, as text."""
    bare = _untransposed(text)
    return f"{_bracketed(text)}^T" if bare == text else bare


def _untransposed(text: str) -> str:
    if text.startswith("(") and closing(text, 0) == len(text) - 1 and text[1:-1].endswith(("^T", "'")):
        text = text[1:-1]
    return text.removesuffix("^T").removesuffix("'")


def dot(session: Session, node: Ast, left: Value, right: Value, left_node: Ast, right_node: Ast) -> Value:
    """The centred dot: the inner product of two columns, otherwise the product."""
    if left.type.kind == right.type.kind == "column":
        if not session.dimensions.unify(left.type.shape[0], right.type.shape[0], node.span):
            _cannot_combine(session, (left, right), (left_node, right_node), 0, 1, "multiply", node)
        return contract(session, [(left, 1, (0,)), (right, 1, (0,))], (), SCALAR)
    return multiply(session, node, left, right, left_node, right_node)


def hadamard(session: Session, node: Ast, left: Value, right: Value, left_node: Ast, right_node: Ast) -> Value:
    """The entrywise product, with the expansion of sums."""
    if left.is_scalar and right.is_scalar:
        return _scale(session, left, right)
    value_type = align(session, (left, right), (left_node, right_node), "multiply", node)
    _doubt_entrywise(session, left, right)
    return contract(
        session,
        [(left, 1, operand_labels(left, value_type)), (right, 1, operand_labels(right, value_type))],
        tuple(range(len(value_type.shape))),
        value_type,
    )


def _doubt_entrywise(session: Session, left: Value, right: Value) -> None:
    for value, other in ((left, right), (right, left)):
        if value.is_scalar and value.bare and other.is_array:
            session.doubt(DOUBT_SCALAR_IN_SUM, value)


def divide(session: Session, node: Binary, left: Value, right: Value, *, expand: bool) -> Value:
    """The quotient: by a scalar, of a scalar, or entrywise; only ``./`` expands rows and columns."""
    if left.number is not None and right.number:
        return number(Fraction(left.number) / Fraction(right.number))
    site = session.at(node, left, right)
    if right.number == 0:
        site.refuse(DomainError("division by zero", hint="the divisor is zero for every input"))
    if left.is_array and right.is_array:
        same = left.type.kind == right.type.kind and len(left.type.shape) == len(right.type.shape)
        if not expand and not same:
            a, b = session.text(node.left), session.text(node.right)
            site.fail(
                f"cannot divide {session.describe(node.left, left)} by {session.describe(node.right, right)}",
                f"write {_bracketed(a)} ./ {_bracketed(b)} to divide entry by entry, or bracket the divisor"
                if a and b
                else "write ./ to divide entry by entry, or bracket the divisor",
            )
        if not expand and left.type.kind == "matrix":
            site.note("/ of two matrices is entrywise, as ./; write A inv(B) or B \\ A to divide by a matrix")
    if right.is_array and right.bare and right.open:
        number_above = left.is_scalar and right.type.kind == "matrix"
        if number_above or COUNTING_NAMES.issuperset(undeclared_names([right])):
            session.doubt(DOUBT_SCALAR_AS_ARRAY, right)
    if expand:
        _doubt_entrywise(session, left, right)
    value_type = align(session, (left, right), (node.left, node.right), "divide", node)
    result = contract(
        session,
        [(left, 1, operand_labels(left, value_type)), (right, -1, operand_labels(right, value_type))],
        tuple(range(len(value_type.shape))),
        value_type,
    )
    result.bare = ((left.bare or left.count) and right.count) or (left.count and right.bare and right.is_scalar)
    return result


def solve(session: Session, node: Ast, left: Value, right: Value, left_node: Ast, right_node: Ast) -> Value:
    """Left division ``A \\ b``, the solution of ``A x = b``."""
    site = session.at(node, left, right)
    if left.is_scalar:
        labels = tuple(range(len(right.type.shape)))
        return contract(session, [(left, -1, ()), (right, 1, labels)], labels, right.type)
    if left.type.kind != "matrix" or right.type.kind not in ("column", "matrix"):
        site.fail(
            f"cannot solve with {session.describe(left_node, left)} and {session.describe(right_node, right)}",
            "A \\ b needs a square matrix on the left and a column or a matrix on the right",
        )
    require_square(session, left_node, left, "left division")
    return multiply(session, node, inverse(session, left), right, left_node, right_node)


def require_square(session: Session, node: Ast, value: Value, what: str) -> Dim:
    """The side of a square matrix."""
    site = session.at(node, value)
    if value.type.kind != "matrix":
        site.fail(f"{what} needs a square matrix, not {session.describe(node, value)}")
    if not session.dimensions.unify(value.type.shape[0], value.type.shape[1], node.span):
        text = session.text(node) or "X"
        site.fail(
            f"{what} needs a square matrix, {session.describe(node, value)} is not",
            f"{_bracketed(text)}^T {_bracketed(text)} is square, .^ takes powers entry by entry, pinv({text}) is the "
            "pseudo-inverse",
        )
    return value.type.shape[0]


def inverse(session: Session, value: Value) -> Value:
    return called(session, "inv", [value], value.type)


def transpose(session: Session, node: Ast, value: Value, arg: Ast) -> Value:
    """Rows become columns; a scalar stays."""
    kind, shape = value.type
    if kind == "tensor":
        session.at(node, value).fail(
            f"cannot transpose {session.describe(arg, value)}, a tensor of order {len(shape)}",
            'write the permutation as einsum("ijk->kij", X)',
        )
    if kind == "scalar":
        if value.bare:
            session.doubt(DOUBT_SCALAR_AS_ARRAY, value)
        return value
    if kind in ("column", "row"):
        flipped = Type("row" if kind == "column" else "column", shape)
        return Value(flipped, (value,), lambda nodes: nodes[0], value.batch, bare=value.bare, open=value.open)
    return contract(session, [(value, 1, (0, 1))], (1, 0), matrix(shape[1], shape[0]), bare=value.bare)


# --- powers --------------------------------------------------------------------------------------


def power(session: Session, node: Binary, base: Value, exponent: Value) -> Value:
    """``^``: of a matrix a matrix power, otherwise entrywise."""
    if base.type.kind != "matrix":
        if base.is_array and base.type.kind != "tensor" and exponent.number is not None and node.op == "^":
            text = session.text(node)
            session.at(node).note(f"{text or 'a power of a vector'} is entrywise")
        return entrywise_power(session, node, base, exponent)
    site = session.at(node, base, exponent)
    if exponent.is_array:
        session.at(node, exponent).fail(
            f"cannot raise {session.describe(node.left, base)} to the power {session.describe(node.right, exponent)}",
            "the exponent of a matrix is a number; write .^ to take powers entry by entry",
        )
    require_square(session, node.left, base, "a matrix power")
    value = exponent.number
    if value is None:
        if exponent.batch:
            site.refuse(Unsupported("a matrix power whose exponent is a bound index", hint="write the terms out"))
        return called(session, "matpow", [base, exponent], base.type)
    if Fraction(value) == Fraction(1, 2):
        return called(session, "sqrtm", [base], base.type)
    if Fraction(value) == Fraction(-1, 2):
        return inverse(session, called(session, "sqrtm", [base], base.type))
    if not isinstance(value, int):
        site.refuse(
            Unsupported(
                f"a matrix to the power {value}", hint="integers and 1/2 are supported; .^ takes powers entry by entry"
            )
        )
    return integer_power(session, base, exponent, value)


def integer_power(session: Session, base: Value, exponent: Value, value: int) -> Value:
    """A matrix power as repeated products, of the inverse for negative exponents."""
    if abs(value) > MAX_REPEATED_POWER:
        return called(session, "matpow", [base, exponent], base.type)
    if value == 0:

        def identity(_nodes: Sequence[Node]) -> Node:
            shape = final_shape(session, base.batch, base.type)
            order = len(shape)
            return build.broadcast(build.delta(shape[-1]), shape, (order - 2, order - 1))

        return Value(base.type, (base,), identity, base.batch, open=base.open)
    if value < 0:
        base = inverse(session, base)
    result: Value | None = None
    square, left = base, abs(value)
    while left:
        if left % 2:
            result = square if result is None else _matrix_product(session, result, square)
        left //= 2
        if left:
            square = _matrix_product(session, square, square)
    assert result is not None
    return result


def _matrix_product(session: Session, left: Value, right: Value) -> Value:
    return contract(session, [(left, 1, (0, 1)), (right, 1, (1, 2))], (0, 2), left.type)


def entrywise_power(session: Session, node: Binary, base: Value, exponent: Value) -> Value:
    """A power taken entry by entry; a numeric exponent is exact."""
    if exponent.number is not None:
        if base.number is not None:
            folded = build.exact_power(base.number, exponent.number)
            if folded is not None:
                return number(folded)
        labels = tuple(range(len(base.type.shape)))
        return contract(session, [(base, exponent.number, labels)], labels, base.type)
    if node.op == "^" and base.is_array and exponent.is_array and base.type.kind != exponent.type.kind:
        session.at(node, base, exponent).fail(
            f"cannot raise {session.describe(node.left, base)} to the power {session.describe(node.right, exponent)}",
            "the exponent is a number; .^ takes powers entry by entry and expands rows and columns",
        )
    if base.is_array and exponent.is_array and exponent.bare:
        session.doubt(DOUBT_SCALAR_AS_ARRAY, exponent)
    value_type = align(session, (base, exponent), (node.left, node.right), "raise", node)
    labels_of = [operand_labels(base, value_type), operand_labels(exponent, value_type)]
    result = entrywise(session, "pow", [base, exponent], labels_of, value_type)
    if not exponent.count or exponent.batch:
        return result

    def make(nodes: Sequence[Node]) -> Node:
        # a size may turn out to be a number
        known = build.as_number(nodes[1])
        return result.make(nodes) if known is None else build.power(nodes[0], known)

    return Value(value_type, result.operands, make, result.batch, open=result.open)


def compare(session: Session, node: Binary, left: Value, right: Value) -> Value:
    """A comparison: a mask of zeros and ones."""
    value_type = align(session, (left, right), (node.left, node.right), "compare", node)
    labels = [operand_labels(left, value_type), operand_labels(right, value_type)]
    return entrywise(session, COMPARISONS[node.op], [left, right], labels, value_type)


# --- dispatch ------------------------------------------------------------------------------------


def binary(session: Session, node: Binary, left: Value, right: Value) -> Value:
    """The value of a binary operator."""
    note_reading(session, node, right)
    match node.op:
        case "*":
            refuse_divided_row(session, node, left, right)
            return multiply(session, node, left, right, node.left, node.right)
        case "dot":
            return dot(session, node, left, right, node.left, node.right)
        case ".*":
            return hadamard(session, node, left, right, node.left, node.right)
        case "/":
            return divide(session, node, left, right, expand=False)
        case "./":
            return divide(session, node, left, right, expand=True)
        case "\\":
            return solve(session, node, left, right, node.left, node.right)
        case "^":
            return power(session, node, left, right)
        case ".^":
            return entrywise_power(session, node, left, right)
    if node.op in COMPARISONS:
        return compare(session, node, left, right)
    raise Unsupported(f"the operator {node.op}", span=node.span)


def refuse_divided_row(session: Session, node: Binary, left: Value, right: Value) -> None:
    """``x^T A x / x^T x`` reads ``((x^T A x) / x^T) x``, which nobody means."""
    inner = node.left
    if not isinstance(inner, Binary) or inner.op != "/" or not isinstance(inner.right, Transpose):
        return
    if left.type.kind != "row" or is_bracketed(session, node, inner):
        return
    top, bottom, rest = (session.text(part) for part in (inner.left, inner.right, node.right))
    session.ambiguous = True
    hint = f"did you mean ({top}) / ({bottom} {rest})?" if top and bottom and rest else "bracket the whole divisor"
    session.at(node, left, right).refuse(
        ShapeError(f"the division by {bottom or 'a row'} ends before {rest or 'the last factor'}", hint=hint)
    )


def is_bracketed(session: Session, node: Ast, child: Ast) -> bool:
    """Whether the left operand of a node was written in brackets of its own."""
    text = session.source
    if not text or child.span.end <= child.span.start:
        return False
    if text[child.span.start] == "(" and closing(text, child.span.start) == child.span.end - 1:
        return True
    before = text[: child.span.start].rstrip()
    after = text[child.span.end :].lstrip()
    return before.endswith("(") and after.startswith(")") and node.span.start < child.span.start


def note_reading(session: Session, node: Binary, right: Value) -> None:
    """Tell how ``x .* A y`` and ``1/2x^2`` were read."""
    inner = node.left
    if node.op != "*" or not node.juxtaposed or not isinstance(inner, Binary) or inner.op == "*":
        return
    if inner.op not in (".*", "/", "./", "kron") or is_bracketed(session, node, inner):
        return
    whole, first, second = session.text(node), session.text(inner), session.text(node.right)
    if not whole:
        return
    if inner.op == "/":
        gap = session.source[inner.span.end : node.right.span.start]
        if gap.strip() or gap or not isinstance(inner.right, Num | Name):
            return
    elif right.is_scalar:
        return
    session.at(node).note(f"{whole} is read as ({first}) {second}")


def range_of_index(session: Session, place: int) -> Value:
    """The number that a bound index is."""
    index = session.indices[place]

    def make(_nodes: Sequence[Node]) -> Node:
        resolve = session.dimensions.resolve
        return Structure("range", resolve(index.first), resolve(index.size))

    return Value(SCALAR, (), make, (place,))
