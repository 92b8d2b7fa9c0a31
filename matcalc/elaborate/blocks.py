"""Block matrices and stacked vectors, as sums of parts placed by runs of rows of the identity."""

from __future__ import annotations

from collections.abc import Sequence

from ..expr import build
from ..expr.dims import Dim
from ..expr.nodes import Node, Structure
from ..expr.typed import Type, column, matrix, row
from ..syntax.ast import Ast, Block
from .context import Session, Site
from .indices import selection
from .operators import DOUBT_SCALAR_IN_SUM, batch_labels, final_shape, flipped, joint_batch
from .values import Value

ONE = Dim.of(1)


def block(session: Session, node: Block, rows: Sequence[Sequence[Value]]) -> Value:
    """The value of ``[A, B; C, D]``, ``[x; y]``, ``[1, 2, 3]``."""
    cells = [value for line in rows for value in line]
    site = session.at(node, *cells)
    if len({len(line) for line in rows}) > 1:
        counts = " and ".join(str(len(line)) for line in rows[:2])
        site.fail(f"the rows of a block matrix have different lengths ({counts})", "every row needs as many blocks")
    if any(value.type.kind == "tensor" for value in cells):
        site.fail("a block cannot be a tensor of order 3 or more", "take a matrix of it: K[1, :, :]")
    kinds = {value.type.kind for value in cells}
    if len(rows[0]) == 1 and kinds <= {"column", "scalar"}:
        return _stack(session, [line[0] for line in rows], "column")
    if len(rows) == 1 and kinds <= {"row", "scalar"}:
        return rows[0][0] if len(cells) == 1 else _stack(session, rows[0], "row")
    return _grid(site, node, rows)


def _length(value: Value) -> Dim:
    return value.type.shape[0] if value.type.shape else ONE


def _offsets(lengths: Sequence[Dim]) -> tuple[list[Dim], Dim]:
    offsets: list[Dim] = []
    total = Dim.of(0)
    for length in lengths:
        offsets.append(total)
        total = total + length
    return offsets, total


def _stack(session: Session, parts: Sequence[Value], kind: str) -> Value:
    offsets, total = _offsets([_length(part) for part in parts])
    value_type = column(total) if kind == "column" else row(total)
    batch = joint_batch(parts)

    def make(nodes: Sequence[Node]) -> Node:
        resolve = session.dimensions.resolve
        terms = []
        for part, node, offset in zip(parts, nodes, offsets, strict=True):
            factors = [(node, 1, (*batch_labels(part.batch), *range(1, 1 + len(part.type.shape))))]
            _place(factors, part.type.shape and 1, 0, resolve(_length(part)), resolve(total), resolve(offset))
            terms.append((1, _product(session, factors, batch, (0,), value_type)))
        return build.add(terms, final_shape(session, batch, value_type), flatten=False)

    return Value(value_type, tuple(parts), make, batch, open=any(part.open for part in parts))


def _place(
    factors: list[tuple[Node, int, tuple[int, ...]]],
    axis: object,
    target: int,
    length: Dim,
    total: Dim,
    offset: Dim,
) -> None:
    """Put label ``target`` behind ``offset`` entries; an operand without that axis stands at one place."""
    if axis:
        factors.append((selection(length, total, offset), 1, (target + 1, target)))
    else:
        factors.append((Structure("unit", offset + 1, total), 1, (target,)))


def _product(
    session: Session,
    factors: list[tuple[Node, int, tuple[int, ...]]],
    batch: tuple[int, ...],
    core: tuple[int, ...],
    value_type: Type,
) -> Node:
    out = (*batch_labels(batch), *core)
    sizes = dict(zip(out, final_shape(session, batch, value_type), strict=True))
    return build.product(factors, out, sizes)


def _grid(site: Site, node: Block, rows: Sequence[Sequence[Value]]) -> Value:
    session = site.session
    width = len(rows[0])
    heights: list[Dim | None] = [None] * len(rows)
    widths: list[Dim | None] = [None] * width

    def fix(sides: list[Dim | None], at: int, size: Dim, cell: Ast, value: Value) -> None:
        known = sides[at]
        if known is None:
            sides[at] = size
        elif not session.dimensions.unify(known, size, cell.span):
            hint = f"the place is {session.dim_text(known)} entries long, the block {session.dim_text(size)}"
            resolve = session.dimensions.resolve
            if value.type.kind in ("column", "row") and size == ONE and resolve(known) == resolve(value.type.shape[0]):
                hint = f"did you mean {flipped(session.text(cell) or 'x')}? a vector is a column, its transpose a row"
            session.at(cell, value).fail(
                f"{session.describe(cell, value)} does not fit into its place in the block matrix", hint
            )

    for i, line in enumerate(rows):
        for j, value in enumerate(line):
            sides = _sides(value)
            if sides is not None:
                fix(heights, i, sides[0], node.rows[i][j], value)
                fix(widths, j, sides[1], node.rows[i][j], value)
    # a zero fills its place; any other scalar is a block of one entry where nothing fixes the place
    tall = [height or ONE for height in heights]
    wide = [side or ONE for side in widths]
    for i, line in enumerate(rows):
        for j, value in enumerate(line):
            if value.is_scalar and value.number != 0:
                fix([*tall], i, ONE, node.rows[i][j], value)
                fix([*wide], j, ONE, node.rows[i][j], value)
                if value.bare:
                    session.doubt(DOUBT_SCALAR_IN_SUM, value)
    row_offsets, total_height = _offsets(tall)
    column_offsets, total_width = _offsets(wide)
    value_type = matrix(total_height, total_width)
    cells = [(i, j, value) for i, line in enumerate(rows) for j, value in enumerate(line) if value.number != 0]
    parts = tuple(value for _, _, value in cells)
    batch = joint_batch(parts)

    def make(nodes: Sequence[Node]) -> Node:
        resolve = session.dimensions.resolve
        high, long = resolve(total_height), resolve(total_width)
        terms = []
        for (i, j, value), part in zip(cells, nodes, strict=True):
            own = {"scalar": (), "column": (1,), "row": (3,), "matrix": (1, 3)}[value.type.kind]
            factors: list[tuple[Node, int, tuple[int, ...]]] = [(part, 1, (*batch_labels(value.batch), *own))]
            _place(factors, 1 in own, 0, resolve(tall[i]), high, resolve(row_offsets[i]))
            _place(factors, 3 in own, 2, resolve(wide[j]), long, resolve(column_offsets[j]))
            terms.append((1, _product(session, factors, batch, (0, 2), value_type)))
        return build.add(terms, final_shape(session, batch, value_type), flatten=False)

    return Value(value_type, parts, make, batch, open=any(part.open for part in parts))


def _sides(value: Value) -> tuple[Dim, Dim] | None:
    kind, shape = value.type
    if kind == "matrix":
        return shape[0], shape[1]
    if kind == "column":
        return shape[0], ONE
    if kind == "row":
        return ONE, shape[0]
    return None
