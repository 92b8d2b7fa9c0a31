"""The matrix of a derivative in vec layout: ``B^T ⊗ A``, ``diag(vec(D))``, commutation matrices.

The rows of the matrix are some axes of the derivative stacked into one, its columns the others. A term whose blocks
each reach at most one row axis and one column axis is a Kronecker product of these blocks, up to the order of the
axes, which a commutation matrix mends; a block over all row axes scales the rows (Magnus & Neudecker, Matrix
Differential Calculus, chapters 2 and 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, permutations, product
from typing import NamedTuple

from ..errors import Unsupported
from ..expr.build import delta, is_ones, magnitude, permute
from ..expr.dims import Dim
from ..expr.nodes import Exact, Factor, Node, Structure
from ..notation.cost import operator_count
from ..notation.matrices import to_ast, to_program
from ..notation.pieces import call, dimension, raised, times, with_scalars
from ..syntax import ast
from .terms import Block, Term, blocks_of, in_order, is_structure, terms_of

#: Terms with more independent factors than this have no Kronecker form: their orders are tried one by one.
MOST_PIECES = 6


def kronecker(node: Node, rows: Sequence[int], columns: Sequence[int], order: Sequence[str] = ()) -> ast.Ast:
    """The matrix of a derivative whose axes are stacked, as a sum of Kronecker products.

    Parameters
    ----------
    node: the derivative, in a form to be read.
    rows: the axes that are stacked into the rows, the slowest first.
    columns: the axes that are stacked into the columns, the slowest first.
    order: the variables in the order in which the reader wrote them.

    Raises
    ------
    Unsupported: a term joins more axes than a Kronecker product can keep apart.
    """
    if len(rows) == len(columns) == 1:
        return to_program(permute(node, (*rows, *columns)), order)
    trees = _Trees(order)
    height, width = (_times([node.shape[axis] for axis in axes]) for axes in (rows, columns))
    readings = [_Reading(term, rows, columns, trees).best() for term in terms_of(node)]
    if not readings:
        return call("zeros", dimension(height), dimension(width))
    return in_order([_write(reading, height, trees) for reading in _gathered(readings)])


class _Trees:
    """The syntax of nodes, each written once."""

    def __init__(self, order: Sequence[str]) -> None:
        self.order = order
        self.written: dict[bytes, ast.Ast] = {}

    def of(self, node: Node) -> ast.Ast:
        """The syntax of a node."""
        if node.digest not in self.written:
            self.written[node.digest] = to_ast(node, self.order)
        return self.written[node.digest]


class _Piece(NamedTuple):
    """One factor of a Kronecker product: its row axes and its column axes, the slowest first.

    The node has the axes of the matrix; where both axes are on one side, it is the matrix whose vec is meant.
    """

    node: Node
    rows: tuple[int, ...]
    columns: tuple[int, ...]


class _Swap(NamedTuple):
    """``I_a ⊗ K_{mn} ⊗ I_b``: two neighbouring runs of axes change places."""

    a: Dim
    m: Dim
    n: Dim
    b: Dim


class _Line(NamedTuple):
    """``diag(left) (I_a ⊗ K ⊗ I_b) (p1 ⊗ p2 ⊗ …) (I_a ⊗ K ⊗ I_b) diag(right)`` times a number and scalars.

    ``twin`` is 1 or -1 where the commutation matrix stands for the sum or the difference of the identity and it.
    """

    coefficient: Exact
    scalars: tuple[Factor, ...]
    left: Node | None
    before: _Swap | None
    pieces: tuple[_Piece, ...]
    after: _Swap | None
    right: Node | None
    twin: Exact = 0


class _Reading:
    """One term on its way to a Kronecker product."""

    def __init__(self, term: Term, rows: Sequence[int], columns: Sequence[int], trees: _Trees) -> None:
        self.sizes = dict(term.sizes)
        self.rows = tuple(rows)
        self.columns = tuple(columns)
        self.trees = trees
        factors = self.refined(list(term.factors))
        self.term = Term(term.coefficient, tuple(factors), self.sizes)

    # --- axes that are stacks themselves ---------------------------------------------------------

    def refined(self, factors: list[Factor]) -> list[Factor]:
        """The factors without vec tensors: an axis that one stacks is split, two neighbouring axes are joined."""
        for factor in list(factors):
            if not is_structure(factor, "pair") or len(set(factor.labels)) < 3:
                continue
            long, fast, slow = factor.labels
            rest = [other for other in factors if other is not factor]
            axes = (*self.rows, *self.columns)
            alone = all(long not in other.labels for other in rest)
            if long in axes and alone:
                halves = []
                for label in (slow, fast):
                    if label in axes:
                        # the half of the stacked axis is an axis already: the two are equal
                        fresh = 1 + max(self.sizes)
                        self.sizes[fresh] = self.sizes[label]
                        rest.append(Factor(delta(self.sizes[label]), 1, (label, fresh)))
                        halves.append(fresh)
                    else:
                        halves.append(label)
                self.rows, self.columns = (_replaced(stack, (long,), halves) for stack in (self.rows, self.columns))
                factors = rest
            elif long not in axes and all({fast, slow}.isdisjoint(other.labels) for other in rest):
                before = (self.rows, self.columns)
                self.rows, self.columns = (_replaced(stack, (slow, fast), [long]) for stack in before)
                if (self.rows, self.columns) != before:
                    factors = rest
        return factors

    # --- blocks and pieces -----------------------------------------------------------------------

    def best(self) -> _Line:
        """The order of the blocks that needs fewest commutation matrices, and then fewest operators."""
        left, right, pieces = self.sorted_blocks()
        if len(pieces) > MOST_PIECES:
            raise _without_form(f"a term has {len(pieces)} independent factors")
        candidates: list[tuple[int, _Line]] = []
        for chosen in product(*pieces):
            for line in permutations(chosen):
                given_rows = tuple(axis for piece in line for axis in piece.rows)
                given_columns = tuple(axis for piece in line for axis in piece.columns)
                if given_rows != self.rows and given_columns != self.columns:
                    continue
                before, after = self.swap(given_rows, self.rows), self.swap(self.columns, given_columns)
                if before == IMPOSSIBLE or after == IMPOSSIBLE:
                    continue
                swaps = (before is not None) + (after is not None)
                term = self.term
                candidates.append((swaps, _Line(term.coefficient, term.scalars, left, before, line, after, right)))
        if not candidates:
            raise _without_form("its axes are out of order in more than one place")
        fewest = min(swaps for swaps, _ in candidates)
        lines = [line for swaps, line in candidates if swaps == fewest]
        return min(lines, key=self.price)

    def price(self, line: _Line) -> tuple[int, int, bool]:
        """Operators, in all and in the Kronecker product; among equals a commutation matrix stands in front."""
        within = sum(operator_count(tree) for tree in _pieces_ast(line.pieces, self.trees))
        return operator_count(_write(line, Dim.of(1), self.trees)[1]), within, line.after is not None

    def sorted_blocks(self) -> tuple[Node | None, Node | None, list[list[_Piece]]]:
        """What scales the rows, what scales the columns, and for every other block the ways to read it."""
        axes = (*self.rows, *self.columns)
        blocks = _merged(self.relabelled(blocks_of(self.term.factors, axes)))
        scaling: dict[tuple[int, ...], list[Factor]] = {self.rows: [], self.columns: []}
        pieces: list[list[_Piece]] = []
        covered: set[int] = set()
        for block in blocks:
            others = {axis for other in blocks if other is not block for axis in other.axes}
            side = next((stack for stack in (self.rows, self.columns) if set(block.axes) <= set(stack)), None)
            if set(block.axes) & others and side is not None:
                scaling[side] += block.factors
                continue
            if set(block.axes) & covered:
                raise _without_form("two factors share one axis of the output and one of the variable")
            covered |= set(block.axes)
            pieces.append(self.pieces(block))
        for axis in axes:
            if axis not in covered:
                one = self.term.array((), (axis,))
                pieces.append([_Piece(one, (axis,), ()) if axis in self.rows else _Piece(one, (), (axis,))])
        left, right = (self.diagonal(scaling[stack], stack) for stack in (self.rows, self.columns))
        return left, right, pieces

    def relabelled(self, blocks: list[Block]) -> list[Block]:
        """The blocks, moved along identities to where they scale rows or columns instead of joining the two.

        Axes that identities make equal form a class; one identity joins its rows with its columns, others its rows
        among themselves and its columns among themselves.
        """
        classes: list[set[int]] = []
        for block in blocks:
            if block.is_delta:
                touched = [group for group in classes if group & set(block.axes)]
                classes = [group for group in classes if not group & set(block.axes)]
                classes.append(set(block.axes).union(*touched))
        moved: list[Block] = []
        for group in classes:
            rows, columns = ([axis for axis in stack if axis in group] for stack in (self.rows, self.columns))
            ties = [*pairwise(rows), *pairwise(columns)]
            if rows and columns:
                ties.append((rows[0], columns[0]))
            for tie in ties:
                axes = tuple(sorted(tie))
                moved.append(Block((Factor(delta(self.sizes[axes[0]]), 1, axes),), axes))
        equal = {axis: sorted(group) for group in classes for axis in group}
        for block in blocks:
            if block.is_delta:
                continue
            best = min(product(*(equal.get(axis, [axis]) for axis in block.axes)), key=self.spread)
            if len(set(best)) < len(best):
                best = block.axes
            names = dict(zip(block.axes, best, strict=True))
            factors = tuple(
                Factor(f.node, f.exponent, tuple(names.get(label, label) for label in f.labels)) for f in block.factors
            )
            moved.append(Block(factors, tuple(sorted(best))))
        return moved

    def spread(self, axes: Sequence[int]) -> tuple[int, int, tuple[int, ...]]:
        """How far axes are from lying on one side, the rows before the columns."""
        rows = sum(axis in self.rows for axis in axes)
        return min(rows, len(axes) - rows), len(axes) - rows, tuple(axes)

    def diagonal(self, factors: Sequence[Factor], stack: tuple[int, ...]) -> Node | None:
        """The array whose vec scales a stack of axes."""
        if not factors:
            return None
        if len(stack) > 2:
            raise _without_form("an array scales some of three or more axes")
        return self.term.array(factors, stack[::-1])

    def pieces(self, block: Block) -> list[_Piece]:
        """The ways in which a block may stand in a Kronecker product."""
        rows = tuple(axis for axis in self.rows if axis in block.axes)
        columns = tuple(axis for axis in self.columns if axis in block.axes)
        if len(rows) <= 1 and len(columns) <= 1:
            return [_Piece(self.term.array(block.factors, (*rows, *columns)), rows, columns)]
        if len(rows) == 2 and not columns:
            return [_Piece(self.term.array(block.factors, pair[::-1]), pair, ()) for pair in (rows, rows[::-1])]
        if len(columns) == 2 and not rows:
            return [_Piece(self.term.array(block.factors, pair[::-1]), (), pair) for pair in (columns, columns[::-1])]
        raise _without_form(f"one factor joins {len(rows)} axes of the output and {len(columns)} of the variable")

    def swap(self, start: tuple[int, ...], end: tuple[int, ...]) -> _Swap | None:
        """The matrix that takes a vector over axes in one order to the other order; None for the identity.

        A vector over (x, y), y fast, is the vec of a matrix with rows y; over (y, x) it is the vec of the transpose.
        """
        if start == end:
            return None
        head = next(k for k in range(len(start)) if start[k] != end[k])
        tail = next(k for k in range(len(start)) if start[-1 - k] != end[-1 - k])
        stop = len(start) - tail
        middle = start[head:stop]
        for cut in range(1, len(middle)):
            if middle[cut:] + middle[:cut] == end[head:stop]:
                runs = (start[:head], middle[cut:], middle[:cut], start[stop:])
                return _Swap(*(_times([self.sizes[axis] for axis in run]) for run in runs))
        return IMPOSSIBLE


IMPOSSIBLE = _Swap(Dim.of(0), Dim.of(0), Dim.of(0), Dim.of(0))


def _replaced(stack: tuple[int, ...], run: tuple[int, ...], by: Sequence[int]) -> tuple[int, ...]:
    """The stack with a run of neighbouring axes replaced, where it has that run."""
    for place in range(len(stack) - len(run) + 1):
        if stack[place : place + len(run)] == run:
            return (*stack[:place], *by, *stack[place + len(run) :])
    return stack


def _merged(blocks: Sequence[Block]) -> list[Block]:
    """Blocks with the same axes as one, and vectors within a block that has their axis."""
    found: dict[tuple[int, ...], list[Factor]] = {}
    for block in sorted(blocks, key=lambda block: -len(block.axes)):
        home = block.axes
        if len(block.axes) == 1:
            home = next((axes for axes in found if block.axes[0] in axes), block.axes)
        found.setdefault(home, []).extend(block.factors)
    return [Block(tuple(factors), axes) for axes, factors in found.items()]


def _gathered(lines: Sequence[_Line]) -> list[_Line]:
    """``(I + K) (A ⊗ B)`` for a product and its twin with the axes of the rows exchanged."""
    result: list[_Line] = []
    for line in lines:
        for place, other in enumerate(result):
            joined = _joined(other, line) or _joined(line, other)
            if joined is not None:
                result[place] = joined
                break
        else:
            result.append(line)
    return result


def _joined(plain: _Line, swapped: _Line) -> _Line | None:
    """The sum of two lines of two matrices each that differ by a commutation matrix and perhaps a sign."""
    bare = plain._replace(pieces=(), coefficient=1)
    swap = swapped.before or swapped.after
    if bare != swapped._replace(pieces=(), coefficient=1, before=None, after=None):
        return None
    if bare.left is not None or bare.right is not None or swap is None or (swapped.before and swapped.after):
        return None
    if magnitude(plain.coefficient) != magnitude(swapped.coefficient):
        return None
    if not all(len(line.pieces) == 2 and all(p.rows and p.columns for p in line.pieces) for line in (plain, swapped)):
        return None
    given, twin = ([piece.node for piece in line.pieces] for line in (plain, swapped))
    in_front = swapped.before is not None
    if given != twin:
        if given != twin[::-1]:
            return None
        in_front = not in_front  # K (A ⊗ B) = (B ⊗ A) K
    n = given[0].shape[0 if in_front else 1]
    square = _Swap(Dim.of(1), n, n, Dim.of(1))
    sign = 1 if plain.coefficient == swapped.coefficient else -1
    return plain._replace(before=square if in_front else None, after=None if in_front else square, twin=sign)


# --- writing -------------------------------------------------------------------------------------


def _write(line: _Line, height: Dim, trees: _Trees) -> tuple[int, ast.Ast]:
    """A sign and a tree."""
    above: list[ast.Ast] = []
    below: list[ast.Ast] = []
    for factor in line.scalars:
        powered = raised(trees.of(factor.node), magnitude(factor.exponent), False)
        (above if factor.exponent > 0 else below).append(powered)
    factors: list[ast.Ast] = []
    if line.left is not None:
        factors.append(_diagonal(line.left, trees))
    if line.before is not None:
        factors.append(_swap_ast(line.before, line.twin))
    factors += _pieces_ast(line.pieces, trees)
    if line.after is not None:
        factors.append(_swap_ast(line.after, line.twin))
    if line.right is not None:
        factors.append(_diagonal(line.right, trees))
    tree = factors[0] if factors else call("I", dimension(height))
    for following in factors[1:]:
        tree = times(tree, following)
    return with_scalars(line.coefficient, above, below, tree)


def _diagonal(node: Node, trees: _Trees) -> ast.Ast:
    tree = trees.of(node)
    return call("diag", call("vec", tree) if node.order == 2 else tree)


def _swap_ast(swap: _Swap, twin: Exact) -> ast.Ast:
    tree: ast.Ast = call("commutation", dimension(swap.m), dimension(swap.n))
    if swap.b.constant != 1:
        tree = call("kron", tree, call("I", dimension(swap.b)))
    if swap.a.constant != 1:
        tree = call("kron", call("I", dimension(swap.a)), tree)
    if not twin:
        return tree
    size = call("I", dimension(_times(swap)))
    return ast.Add(((1, size), (1 if twin > 0 else -1, tree)))


def _pieces_ast(pieces: Sequence[_Piece], trees: _Trees) -> list[ast.Ast]:
    """The Kronecker product, as at most one factor; none for the identity.

    Neighbouring identities are one, and a column next to a row is their outer product.
    """
    merged: list[tuple[str, ast.Ast, Dim | None, bool]] = []  # side, syntax, size of an identity or of ones, ones
    for piece in pieces:
        side = ("rows" if piece.rows else "") + ("columns" if piece.columns else "")
        if side == "rowscolumns" and _is_identity(piece.node):
            size = piece.node.shape[0]
            if merged and merged[-1][0] == "identity":
                size = (merged.pop()[2] or Dim.of(1)) * size
            merged.append(("identity", call("I", dimension(size)), size, False))
            continue
        tree = trees.of(piece.node)
        if piece.node.order == 2 and side != "rowscolumns":
            tree = call("vec", tree)
        if side == "columns":
            tree = ast.Transpose(tree)
        filled = piece.node.order == 1 and is_ones(piece.node)
        length = piece.node.shape[0] if filled else None
        if merged and {side, merged[-1][0]} == {"rows", "columns"}:
            _, other, known, was_filled = merged.pop()
            column, row = (other, tree) if side == "columns" else (tree, other)
            outer = times(column, row)
            if filled and was_filled and length is not None and known is not None:
                sizes = (known, length) if side == "columns" else (length, known)
                outer = call("ones", *(dimension(size) for size in sizes))
            merged.append(("outer", outer, None, False))
            continue
        merged.append((side, tree, length, filled))
    if not merged or (len(merged) == 1 and merged[0][0] == "identity"):
        return []
    result = merged[0][1]
    for _, tree, _, _ in merged[1:]:
        result = call("kron", result, tree)
    return [result]


def _is_identity(node: Node) -> bool:
    is_one = node.order == 2 and is_ones(node) and all(dim.constant == 1 for dim in node.shape)
    return is_one or (isinstance(node, Structure) and node.kind == "delta")


def _times(sizes: Sequence[Dim]) -> Dim:
    result = Dim.of(1)
    for size in sizes:
        result = result * size
    return result


def _without_form(why: str) -> Unsupported:
    return Unsupported(f"there is no Kronecker form: {why}", hint="use the form map, index or einsum")
