"""Elements, rows, columns and ranges of arrays, and sums and products over an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UnknownName, Unsupported
from ..expr import build
from ..expr.dims import Dim
from ..expr.nodes import Map, Node, Product, Structure, postorder
from ..expr.typed import SCALAR, Type, column, row
from ..ops.apply import call
from ..ops.signature import shorter
from ..syntax.ast import Add, Ast, Binary, Call, Name, Num
from .context import Access, Origin, Session, Site, is_open
from .operators import batch_labels, contract, entrywise, final_shape, number
from .values import BATCH, IndexVariable, Value


@dataclass(frozen=True, slots=True)
class Place:
    """One position along an axis, counted from 1: ``offset``, or the index plus ``offset``."""

    index: IndexVariable | None
    offset: Dim


@dataclass(frozen=True, slots=True)
class Stretch:
    """The positions ``first`` to ``last`` of an axis; both None is the whole axis."""

    first: Dim | None = None
    last: Dim | None = None


Item = Place | Stretch
WHOLE = Stretch()


# --- integers in the text ------------------------------------------------------------------------


def place_of(session: Session, node: Ast, sizes: dict[str, Dim], indices: dict[str, IndexVariable]) -> Place:
    """What a subscript or a bound says: an integer, a size, an index, or a sum of these.

    Raises
    ------
    UnknownName: for a name that is neither a size nor a bound index.
    Unsupported: for anything that is not an index plus a constant.
    """
    # post-order with a stack of (index coefficients, rest)
    done: dict[int, tuple[dict[str, Dim], Dim]] = {}
    stack: list[tuple[Ast, bool]] = [(node, False)]
    while stack:
        part, ready = stack.pop()
        match part:
            case Num(value):
                if value.denominator != 1:
                    message = f"{session.text(part) or value} is not an integer"
                    session.at(part).fail(message, "sizes and indices are integers")
                done[id(part)] = ({}, Dim.of(value))
            case Name(name):
                if name in indices:
                    done[id(part)] = ({name: Dim.of(1)}, Dim.of(0))
                elif name in sizes:
                    done[id(part)] = ({}, sizes[name])
                else:
                    session.at(part).refuse(
                        UnknownName(
                            f"{name} is neither a size nor an index of a sum here",
                            hint="a vector needs no axis of length one: x is a column, x^T a row"
                            if name == "None"
                            else f"bind it with sum_{{{name}=1}}^{{n}}, or use a size of a declaration",
                        )
                    )
            case Add(terms) if not ready:
                stack.append((part, True))
                stack.extend((term, False) for _, term in terms)
            case Add(terms):
                coefficients: dict[str, Dim] = {}
                rest = Dim.of(0)
                for sign, term in terms:
                    own, constant_part = done[id(term)]
                    rest = rest + constant_part * sign
                    for name, coefficient in own.items():
                        coefficients[name] = coefficients.get(name, Dim.of(0)) + coefficient * sign
                done[id(part)] = ({name: c for name, c in coefficients.items() if c.terms}, rest)
            case Binary("*" | "/" | "^" | ".*", left, right) if not ready:
                stack.append((part, True))
                stack.extend([(left, False), (right, False)])
            case Binary("*" | "/" | "^" | ".*" as op, left, right):
                done[id(part)] = _combine(session, part, op, done[id(left)], done[id(right)])
            case Call(func, (arg,), ()) if func in sizes and not ready:
                # n(n + 1) without a blank is a product
                stack.extend([(part, True), (arg, False)])
            case Call(func, (arg,)) if func in sizes:
                done[id(part)] = _combine(session, part, "*", ({}, sizes[func]), done[id(arg)])
            case Call("min", (first, second), ()) if not ready:
                stack.extend([(part, True), (first, False), (second, False)])
            case Call("min", (first, second)) if not done[id(first)][0] and not done[id(second)][0]:
                done[id(part)] = ({}, shorter(done[id(first)][1], done[id(second)][1]))
            case _:
                _not_affine(session, part)
    coefficients, rest = done[id(node)]
    if not coefficients:
        return Place(None, rest)
    if len(coefficients) > 1 or next(iter(coefficients.values())) != Dim.of(1):
        _not_affine(session, node)
    return Place(indices[next(iter(coefficients))], rest)


def _combine(
    session: Session, node: Ast, op: str, left: tuple[dict[str, Dim], Dim], right: tuple[dict[str, Dim], Dim]
) -> tuple[dict[str, Dim], Dim]:
    if op in ("*", ".*") and (not left[0] or not right[0]):
        scaled, factor = (left, right[1]) if not right[0] else (right, left[1])
        return {name: c * factor for name, c in scaled[0].items()}, scaled[1] * factor
    whole = right[1].constant
    if op == "/" and not left[0] and not right[0] and whole:
        return {}, left[1] * (Dim.of(1).terms[0][1] / whole)
    if op == "^" and not left[0] and not right[0] and whole is not None and 0 <= whole <= 8:
        power = Dim.of(1)
        for _ in range(whole):
            power = power * left[1]
        return {}, power
    _not_affine(session, node)
    raise AssertionError


def _not_affine(session: Session, node: Ast) -> None:
    session.at(node).refuse(
        Unsupported(
            f"the position {session.text(node) or 'written here'} is not an index plus a constant",
            hint="x_{i+1}, x[i-1] and x[3] are positions; an array as an index is not supported",
        )
    )


# --- access --------------------------------------------------------------------------------------


def access(site: Site, base: Value, items: Sequence[Item], what: str) -> Value:
    """The part of an array that the items say, one for each axis; missing ones mean the whole axis."""
    session = site.session
    kind, shape = base.type
    if not shape:
        site.fail(f"{what} is a scalar and has no entries", "leave out the index, or declare it as a vector")
    if len(items) > len(shape):
        entries = {"matrix": "two indices", "tensor": f"{len(shape)} indices"}.get(kind, "one index")
        site.fail(f"{what} takes {entries}, not {len(items)}", f"{what} has the shape {session.shape_text(base.type)}")
    padded = [*items, *[WHOLE] * (len(shape) - len(items))]
    kept: list[Dim] = []
    places = set(base.batch)
    for item, size in zip(padded, shape, strict=True):
        if isinstance(item, Place):
            if item.index is not None:
                places.add(item.index.place)
            _record(session, size, item, what, site)
            continue
        if item.first is None or item.last is None:
            kept.append(size)
            continue
        kept.append(item.last - item.first + 1)
        session.accesses.append(Access(size, item.first, item.last, True, what, "", site.span))
    batch = tuple(sorted(places))
    value_type = _part_type(kind, padded, kept, whole_rest=len(items) < len(shape))

    def make(nodes: Sequence[Node]) -> Node:
        return _part(session, nodes[0], base, padded, batch, value_type)

    return Value(value_type, (base,), make, batch, bare=base.bare, open=base.open)


def _part_type(kind: str, items: Sequence[Item], kept: Sequence[Dim], whole_rest: bool) -> Type:
    if not kept:
        return SCALAR
    if kind in ("column", "row"):
        return column(kept[0]) if kind == "column" else row(kept[0])
    if kind == "matrix" and len(kept) == 1:
        # A_i is sample i as a column; A[i, :] is a row
        return column(kept[0]) if whole_rest or isinstance(items[0], Stretch) else row(kept[0])
    if len(kept) == 1:
        return column(kept[0])
    return Type("matrix" if len(kept) == 2 else "tensor", tuple(kept))


def _record(session: Session, size: Dim, item: Place, what: str, site: Site) -> None:
    if item.index is None:
        session.accesses.append(Access(size, item.offset, item.offset, True, what, "", site.span))
        return
    first, last = item.index.first + item.offset, item.index.last + item.offset
    runner = f"the index {item.index.name}"
    session.accesses.append(Access(size, first, last, False, what, runner, site.span))


def selection(count: Dim, size: Dim, offset: Dim) -> Node:
    """The matrix that picks ``count`` entries of ``size`` from behind the first ``offset``."""
    if not offset.terms and count == size:
        return build.delta(size)
    return Structure("select", count, size, offset)


def _part(
    session: Session, node: Node, base: Value, items: Sequence[Item], batch: tuple[int, ...], value_type: Type
) -> Node:
    resolve = session.dimensions.resolve
    labels: list[int] = []
    out: list[int] = []
    extra: list[tuple[Node, int, tuple[int, ...]]] = []
    for axis, (item, given) in enumerate(zip(items, base.type.shape, strict=True)):
        size = resolve(given)
        label = 100 + axis
        if isinstance(item, Stretch):
            if item.first is None or item.last is None:
                out.append(label)
            else:
                first, last = resolve(item.first), resolve(item.last)
                out.append(200 + axis)
                extra.append((selection(last - first + 1, size, first - 1), 1, (200 + axis, label)))
        elif item.index is None:
            extra.append((Structure("unit", resolve(item.offset), size), 1, (label,)))
        else:
            run = resolve(item.index.size)
            start = resolve(item.index.first + item.offset)
            if run == size and start == Dim.of(1):
                label = item.index.label
            else:
                extra.append((selection(run, size, start - 1), 1, (item.index.label, label)))
        labels.append(label)
    result = (*batch_labels(batch), *out)
    sizes = dict(zip(result, final_shape(session, batch, value_type), strict=True))
    return build.product([(node, 1, (*batch_labels(base.batch), *labels)), *extra], result, sizes)


def settle_accesses(session: Session) -> None:
    """Fix sizes that follow from the ranges of indices, then check that no access leaves its array.

    A size that nothing else fixes is as large as the largest position read; an index without a bound runs over the
    whole axis.
    """
    dimensions = session.dimensions
    for _ in range(4):
        before = len(dimensions.trail)
        for unknown_size in (False, True):
            groups: dict[str, list[Access]] = {}
            for item in session.accesses:
                if not item.fixed and is_open(dimensions.resolve(item.size)) == unknown_size:
                    groups.setdefault(dimensions.resolve(item.size).key, []).append(item)
            for group in groups.values():
                _settle_group(session, group)
        if len(dimensions.trail) == before:
            break
    for item in session.accesses:
        _check(session, item)


def _settle_group(session: Session, group: Sequence[Access]) -> None:
    """Unify the size of an axis with the largest position read, for each family of positions that can be compared."""
    resolve = session.dimensions.resolve
    largest: list[tuple[Dim, Access]] = []
    for item in group:
        last = resolve(item.last)
        for position, (known, _) in enumerate(largest):
            ahead = (last - known).constant
            if ahead is not None:
                if ahead > 0:
                    largest[position] = (last, item)
                break
        else:
            largest.append((last, item))
    for last, item in largest:
        if is_open(resolve(item.size)) or is_open(resolve(last)):
            session.dimensions.unify(item.size, last, item.span)


def _check(session: Session, item: Access) -> None:
    resolve = session.dimensions.resolve
    size, first, last = resolve(item.size), resolve(item.first), resolve(item.last)
    start = first.constant
    if first is last and start is not None and start >= 1 and (size.constant is None or size.constant >= start):
        return
    site = Site(session, item.span)
    if start is not None and start < 1:
        position = f"position {start}" if item.fixed else f"{item.runner} reaches position {start}, which"
        site.fail(f"{position} is not in {item.what}", "positions count from 1")
    if any(name.startswith("?") for name in (size - last).names):
        return
    if any(_may_hold(size - bound) for bound in (last, *_upper_bounds(last))):
        return
    described = f"{item.what} has {session.dim_text(size)} entries along this axis"
    if item.fixed:
        site.fail(f"position {session.dim_text(last)} is outside: {described}", "positions count from 1")
    site.fail(f"{item.runner} runs to {session.dim_text(last)}, but {described}", "shorten the sum, or change the size")


def _may_hold(room: Dim) -> bool:
    """Whether this many entries may be left: for all sizes, or once they are large enough, as behind ``x[3]``.

    The sizes of a call are checked at the call.
    """
    return all(c > 0 for monomial, c in room.terms if monomial or len(room.terms) == 1)


def _upper_bounds(dim: Dim) -> list[Dim]:
    """What a size with ``min(m, n)`` in it does not exceed."""
    found: list[Dim] = []
    for name in dim.names:
        if name.startswith("min(") and any(monomial == ((name, 1),) and c > 0 for monomial, c in dim.terms):
            found.extend(dim.substitute({name: Dim.of(side)}) for side in name[4:-1].split(", "))
    return found


# --- sums and products over an index -------------------------------------------------------------


def bind(
    site: Site, name: str, lower: Place | None, upper: Place | None
) -> tuple[IndexVariable, list[tuple[str, Place]]]:
    """A new index variable, and the bounds that depend on another index (to be masked)."""
    session = site.session
    masks: list[tuple[str, Place]] = []
    first = Dim.of(1)
    if lower is not None:
        first = lower.offset
        if lower.index is not None:
            first = lower.index.first + lower.offset
            masks.append(("ge", lower))
    if upper is None:
        origin = Origin(f"the index {name}", site.span, f"write its range: sum_{{{name}=1}}^{{n}}")
        return session.index(name, first, session.dimensions.fresh(origin), site.span), masks
    last = upper.offset
    if upper.index is not None:
        last = upper.index.last + upper.offset
        masks.append(("le", upper))
    size = last - first + 1
    known = session.dimensions.resolve(size)
    if all(coefficient <= 0 for _, coefficient in known.terms):
        ends = f"from {session.dim_text(first)} to {session.dim_text(last)}"
        site.fail(f"the index {name} runs {ends}: there is nothing to sum", "write the smaller bound first")
    return session.index(name, first, size, site.span), masks


def mask(session: Session, index: IndexVariable, relation: str, bound: Place) -> Value:
    """1 where the index is at most (``le``) or at least (``ge``) another index plus a constant, else 0."""
    other = bound.index
    assert other is not None
    batch = tuple(sorted((index.place, other.place)))

    def make(_nodes: Sequence[Node]) -> Node:
        resolve = session.dimensions.resolve
        size, start = resolve(index.size), resolve(index.first)
        other_size, other_start = resolve(other.size), resolve(other.first)
        low, high = (index, other) if relation == "le" else (other, index)
        # lower[a, b] is 1 where a >= b
        labels = (high.label, low.label)
        out = batch_labels(batch)
        shift = resolve(bound.offset)
        if size == other_size and start == other_start and shift == Dim.of(0):
            return build.product([(Structure("lower", size), 1, labels)], out)
        mine = Structure("range", start, size)
        theirs = Structure("range", other_start + shift, other_size)
        axes = {index.place: batch.index(index.place), other.place: batch.index(other.place)}
        shape = final_shape(session, batch, SCALAR)
        return Map(relation, (mine, theirs), ((axes[index.place],), (axes[other.place],)), shape)

    return Value(SCALAR, (), make, batch, count=True)


def masked(session: Session, value: Value, by: Value, neutral: int) -> Value:
    """The value where the mask is 1, the neutral number elsewhere."""
    value_type = value.type
    labels = tuple(range(len(value_type.shape)))
    plain = contract(session, [(by, 1, ()), (value, 1, labels)], labels, value_type)
    rest = number(neutral)
    careful = entrywise(session, "where", [by, value, rest], [(), labels, ()], value_type)

    def make(nodes: Sequence[Node]) -> Node:
        if neutral == 0 and is_finite(nodes[1]):
            return plain.make(nodes)
        return careful.make([*nodes, build.number(neutral)])

    return Value(value_type, (by, value), make, plain.batch, open=value.open)


TOTAL_MAPS = frozenset(
    {"sin", "cos", "tanh", "sigmoid", "softplus", "relu", "abs", "erf", "atan", "maximum", "minimum", "sign"}
    | {"le", "lt", "ge", "gt", "eq", "ne"}
)


def is_finite(root: Node) -> bool:
    """Whether a value is finite for all finite inputs, by its construction; only then may a mask multiply it."""
    for node in postorder(root):
        if isinstance(node, Product):
            if any(factor.exponent < 0 or factor.exponent % 1 for factor in node.factors):
                return False
        elif isinstance(node, Map):
            if node.op not in TOTAL_MAPS:
                return False
        elif type(node).__name__ == "Call":
            return False
    return True


def sum_over(session: Session, value: Value, indices: Sequence[IndexVariable]) -> Value:
    """The sum over index variables; one the value does not vary with counts its range."""
    bound = {index.place for index in indices}
    batch = tuple(place for place in value.batch if place not in bound)
    labels = tuple(range(len(value.type.shape)))

    def make(nodes: Sequence[Node]) -> Node:
        out = (*batch_labels(batch), *labels)
        sizes = dict(zip(out, final_shape(session, batch, value.type), strict=True))
        for index in indices:
            sizes[index.label] = session.dimensions.resolve(index.size)
        return build.product([(nodes[0], 1, (*batch_labels(value.batch), *labels))], out, sizes)

    return Value(value.type, (value,), make, batch, open=value.open)


def product_over(site: Site, value: Value, indices: Sequence[IndexVariable]) -> Value:
    """The product of scalars over index variables."""
    session = site.session
    if value.is_array:
        site.refuse(Unsupported("a product over an index of arrays", hint="prod_{i} takes a scalar behind it"))
    bound = [index.place for index in indices]
    batch = tuple(place for place in value.batch if place not in bound)
    whole = (*batch, *bound)

    def make(nodes: Sequence[Node]) -> Node:
        out = batch_labels(whole)
        sizes = {BATCH + place: session.dimensions.resolve(session.indices[place].size) for place in whole}
        spread = build.product([(nodes[0], 1, batch_labels(value.batch))], out, sizes)
        return call("prod", spread, core=len(bound))

    return Value(SCALAR, (value,), make, batch, open=value.open)


def unpack(session: Session, value: Value, span_of: Ast) -> tuple[Value, list[IndexVariable]]:
    """An array as a scalar that varies with one new index for each axis."""
    indices = [session.index("", Dim.of(1), size, span_of.span) for size in value.type.shape]
    batch = (*value.batch, *(index.place for index in indices))
    return Value(SCALAR, (value,), lambda nodes: nodes[0], batch, bare=value.bare, open=value.open), indices


def pack(session: Session, value: Value, indices: Sequence[IndexVariable], value_type: Type) -> Value:
    """The inverse of `unpack`: index variables become the leading core axes."""
    bound = [index.place for index in indices]
    batch = tuple(place for place in value.batch if place not in bound)
    core = tuple(range(len(value.type.shape)))

    def make(nodes: Sequence[Node]) -> Node:
        out = (*batch_labels(batch), *batch_labels(bound), *core)
        sizes = dict(zip(out, final_shape(session, batch, value_type), strict=True))
        return build.product([(nodes[0], 1, (*batch_labels(value.batch), *core))], out, sizes)

    return Value(value_type, (value,), make, batch, open=value.open)
