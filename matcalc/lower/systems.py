"""Exact solution of linear systems whose matrix is a sum of networks: by blocks, by Kronecker factors, by low rank."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from .compress import groups_of, open_labels
from .networks import COLUMN, Array, Frame, Network, Operand, along, contract, formed, once

MOST_FORMED = 2**25
"""No array of more entries than this is formed to solve a system (256 MB in double precision)."""

RESTARTS = 4
"""How often conjugate gradients begin again from the residual that is left."""

EIGENVALUES_COST = 20
"""How many times as long the eigenvalues of a symmetric matrix take as its factors."""


class System(NamedTuple):
    """A sum of networks as a square matrix from arrays of ``variable_shape`` to arrays of ``output_shape``."""

    networks: tuple[Network, ...]
    output_shape: tuple[int, ...]
    variable_shape: tuple[int, ...]
    dtype: Any

    @property
    def size(self) -> int:
        """The number of unknowns."""
        return prod(self.variable_shape)


class Method(NamedTuple):
    """A way to solve a system: its name, about how many multiplications it takes, and the function.


    ``solve`` takes an array of output shape + (K,) and returns one of variable shape + (K,). It raises
    `numpy.linalg.LinAlgError` where the system is singular; where it is not ``conclusive``, it may also be only a part
    that is singular.
    """

    name: str
    cost: float
    solve: Callable[[Array], Array]
    conclusive: bool = True


def methods(system: System) -> Iterator[Method]:
    """The exact ways to solve a system, the cheapest first, each found when it is asked for."""
    places = {id(array): place for place, array in enumerate(array for n in system.networks for array, _ in n.parts)}
    terms = [
        Frame(n.number, n.rows, n.columns, tuple([(places[id(a)], labels) for a, labels in n.parts]), n.lengths)
        for n in system.networks
    ]
    shapes = tuple([array.shape for n in system.networks for array, _ in n.parts])
    known = tuple([(term.rows, term.columns, term.parts, tuple(term.lengths.items())) for term in terms])
    for place in _ranked(known, shapes, system.output_shape, system.variable_shape):
        yield from WAYS[place](system)


@lru_cache(maxsize=64)
def _ranked(
    terms: tuple[tuple[Any, ...], ...],
    shapes: tuple[tuple[int, ...], ...],
    output_shape: tuple[int, ...],
    variable_shape: tuple[int, ...],
) -> tuple[int, ...]:
    """The ways to solve a system by their places, the cheapest first: shapes and which arrays are one decide."""
    arrays = [np.broadcast_to(0.0, shape) for shape in shapes]
    networks = [
        Frame(1.0, rows, columns, parts, dict(lengths)).filled(arrays) for rows, columns, parts, lengths in terms
    ]
    system = System(tuple(networks), output_shape, variable_shape, np.dtype(float))
    costs = [(method.cost, place) for place, way in enumerate(WAYS) for method in way(system)]
    return tuple([place for _, place in sorted(costs)])


# --- axes that all terms tie ---------------------------------------------------------------------


def _ties(network: Network) -> set[tuple[int, int]]:
    """The axes of the rows and of the columns that have one label, which is on no other axis."""
    return {
        (network.rows.index(label), network.columns.index(label))
        for label in network.pattern.tied
        if network.rows.count(label) == network.columns.count(label) == 1
    }


def _canonical(system: System) -> tuple[tuple[Network, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The networks with common labels of rows and columns, these labels, and those that every network ties."""
    ties = sorted(set.intersection(*(_ties(network) for network in system.networks)))
    lead = len(system.output_shape)
    rows = tuple(range(lead))
    partner = {b: a for a, b in ties}
    columns = tuple([partner.get(b, lead + b) for b in range(len(system.variable_shape))])
    networks = []
    for network in system.networks:
        # other labels are moved out of the way
        high = 1000
        names = {label: high + place for place, label in enumerate(sorted(network.lengths))}
        for a, b in ties:
            names[network.rows[a]] = rows[a]
            assert network.rows[a] == network.columns[b]
        networks.append(network.relabelled(names))
    return tuple(networks), rows, columns, tuple(a for a, _ in ties)


def _without_ties(networks: Sequence[Network], tied: Sequence[int]) -> list[Network]:
    """The blocks along the labels that all networks tie: those labels are on neither rows nor columns."""
    kept = []
    for network in networks:
        rows = tuple([label for label in network.rows if label not in tied])
        columns = tuple([label for label in network.columns if label not in tied])
        kept.append(network._replace(rows=rows, columns=columns))
    return kept


def _by_blocks(system: System) -> Iterator[Method]:
    """One block for every index of the axes that all terms tie; blocks that do not depend on such an index are one."""
    networks, rows, columns, tied = _canonical(system)
    lengths = dict(zip((*columns, *rows), (*system.variable_shape, *system.output_shape), strict=True))
    inner_rows = [label for label in rows if label not in tied]
    inner_columns = [label for label in columns if label not in tied]
    carried = [label for label in tied if any(label in own for n in networks for _, own in n.parts)]
    size, count = along(inner_rows, lengths), along(carried, lengths)
    # what is kept as blocks may be formed as blocks
    most = max(MOST_FORMED, 2 * sum(array.size for network in networks for array, _ in network.parts))
    if size != along(inner_columns, lengths) or count * size * size > most:
        return

    def solve(right: Array) -> Array:
        blocks = formed(_without_ties(networks, tied), carried, system.dtype)
        everything = {**lengths, COLUMN: right.shape[-1]}
        stacked = blocks.reshape(count, size, size)
        return _solved(stacked, right, (*rows, COLUMN), (carried, inner_rows, inner_columns), columns, everything)

    name = "diagonal" if size == 1 else "dense factorization" if count == 1 and not tied else "block by block"
    forming = sum(_forming(network) for network in networks)
    yield Method(name, forming + count * (size**3 / 3 + size**2) + system.size * size, solve)


def _forming(network: Network) -> float:
    """About how many multiplications it takes to form a network as one array."""
    carried = {label for _, labels in network.parts for label in labels}
    axes = {*network.rows, *network.columns}
    summed = [network.lengths[label] for label in carried - axes]
    return float(along(carried & axes, network.lengths) * max(summed, default=1))


def _solved(
    blocks: Array,
    right: Array,
    labels: Sequence[int],
    place: tuple[Sequence[int], Sequence[int], Sequence[int]],
    columns: Sequence[int],
    lengths: Mapping[int, int],
) -> Array:
    """Solve along some labels of the right-hand side.

    Parameters
    ----------
    blocks: matrices of shape (count, size, size).
    right: an array with these ``labels``.
    place: the labels along which there are blocks, those of the rows of a block, and those of its columns.
    columns: the labels of the result, before that of the columns.
    """
    carried, rows, inner = place
    rest = [label for label in labels if label not in carried and label not in rows]
    order = (*carried, *rows, *rest)
    count, size = blocks.shape[:2]
    stacked = right.transpose([list(labels).index(label) for label in order]).reshape(count, size, along(rest, lengths))
    solution = solve_matrices(blocks, stacked)
    after = (*carried, *inner, *rest)
    wanted = (*columns, COLUMN)
    return solution.reshape([lengths[label] for label in after]).transpose([after.index(label) for label in wanted])


def solve_matrices(blocks: Array, right: Array) -> Array:
    """Solve with each of several matrices, of shapes (count, size, size) and (count, size, columns).

    A single symmetric matrix is factorized by Cholesky's method where it is positive definite.
    """
    if blocks.shape[-1] == 1:
        if (blocks == 0).any():
            raise np.linalg.LinAlgError("a diagonal entry is 0")
        return np.asarray(right / blocks)
    if len(blocks) == 1 and is_symmetric(blocks[0]):
        from scipy.linalg import cho_solve, cholesky  # a product with a vector does not need SciPy

        try:
            factor = cholesky(blocks[0], lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            return np.linalg.solve(blocks, right)
        return np.asarray(cho_solve((factor, True), right[0], check_finite=False))[None]
    return np.linalg.solve(blocks, right)


def is_symmetric(matrix: Array) -> bool:
    """Whether a matrix equals its transpose up to rounding."""
    largest = np.max(np.abs(matrix), initial=0.0)
    return bool(np.max(np.abs(matrix - matrix.T), initial=0.0) <= 8 * np.finfo(matrix.dtype).eps * largest)


# --- one Kronecker product -----------------------------------------------------------------------


def _by_factors(system: System) -> Iterator[Method]:
    """The factors of a Kronecker product one after the other: ``(A ⊗ B)^-1 = A^-1 ⊗ B^-1``.

    Van Loan, The ubiquitous Kronecker product (2000), section 2.
    """
    if len(system.networks) != 1:
        return
    (network,) = system.networks
    ties = _ties(network)
    if len(ties) < len(network.pattern.tied):
        return
    groups = groups_of(network.pattern)
    lengths = network.lengths
    if len(groups) < 2 or any(along(group.rows, lengths) != along(group.columns, lengths) for group in groups):
        return
    tied = network.pattern.tied
    carried = [_carried(network, group.parts) for group in groups]
    sizes = [(along(own, lengths), along(group.rows, lengths)) for own, group in zip(carried, groups, strict=True)]
    if any(count * size * size > MOST_FORMED for count, size in sizes):
        return

    def solve(right: Array) -> Array:
        weights = [part for part in network.parts if set(part[1]) <= tied]
        over = once(label for _, own in weights for label in own)
        scale = network.number * contract(weights, over, lengths, system.dtype)
        if (scale == 0).any():
            raise np.linalg.LinAlgError("a factor is 0")
        labels: tuple[int, ...] = (*network.rows, COLUMN)
        everything = {**lengths, COLUMN: right.shape[-1]}
        current = right / contract([(np.asarray(scale), over)], labels, everything, system.dtype)
        for group, own, (count, size) in zip(groups, carried, sizes, strict=True):
            parts = [network.parts[place] for place in group.parts]
            matrix = contract(parts, (*own, *group.rows, *group.columns), lengths, system.dtype)
            after = (*[label for label in labels if label not in group.rows and label != COLUMN], *group.columns)
            blocks = matrix.reshape(count, size, size)
            current = _solved(blocks, current, labels, (own, group.rows, group.columns), after, everything)
            labels = (*after, COLUMN)
        return current.transpose([labels.index(label) for label in (*network.columns, COLUMN)])

    cost = sum(count * size**3 / 3 + system.size * size for count, size in sizes)
    yield Method("Kronecker factors", cost, solve)


def _carried(network: Network, places: Sequence[int]) -> tuple[int, ...]:
    """The tied labels that some of the arrays have."""
    tied = network.pattern.tied
    return once(label for place in places for label in network.parts[place][1] if label in tied)


# --- sums of Kronecker products ------------------------------------------------------------------


def _by_eigenvalues(system: System) -> Iterator[Method]:
    """Sums such as ``A ⊗ B + c I`` of Kronecker products in which every factor is I or one symmetric matrix.

    With ``A = P diag(a) P^T`` and ``B = Q diag(b) Q^T`` the inverse has the eigenvalues ``1 / (a_i b_j + c)``.
    Golub & Van Loan, Matrix Computations (2013), section 12.3.
    """
    order = len(system.output_shape)
    if len(system.networks) < 2 or system.output_shape != system.variable_shape:
        return
    known: dict[tuple[int, ...], list[Operand]] = {}
    terms: list[tuple[Network, set[tuple[int, ...]]]] = []
    for network in system.networks:
        factors = _matrices(network)
        if factors is None:
            return
        for axes, parts in factors.items():
            if axes in known and not _same(known[axes], parts):
                return
            known[axes] = parts
        terms.append((network, set(factors)))
    if len([axis for axes in known for axis in axes]) != len({axis for axes in known for axis in axes}):
        return
    groups = sorted(known)
    if len(groups) + (sum(map(len, groups)) < order) < 2:
        return
    sizes = [prod(system.output_shape[axis] for axis in axes) for axes in groups]
    if any(size * size > MOST_FORMED for size in sizes):
        return
    lengths = {COLUMN: 1, **dict(enumerate(system.output_shape))}

    def solve(right: Array) -> Array:
        spectra: dict[tuple[int, ...], Array] = {}
        bases: dict[tuple[int, ...], Array] = {}
        for axes, size in zip(groups, sizes, strict=True):
            out = (*axes, *[order + axis for axis in axes])
            inner = {label: n for array, own in known[axes] for label, n in zip(own, array.shape, strict=True)}
            matrix = contract(known[axes], out, inner, system.dtype).reshape(size, size)
            if not is_symmetric(matrix):
                raise np.linalg.LinAlgError("a factor is not symmetric")
            values, vectors = np.linalg.eigh(matrix)
            shape = [system.output_shape[axis] for axis in axes]
            spectra[axes], bases[axes] = values.reshape(shape), vectors.reshape(*shape, size)
        total = np.zeros(system.output_shape, system.dtype)
        for network, own in terms:
            scalars = [array for array, labels in network.parts if not labels]
            operands = [(spectra[axes], axes) for axes in own]
            value = contract(operands, range(order), lengths, system.dtype)
            total += network.number * prod(scalars, start=system.dtype.type(1)) * value
        if (total == 0).any():
            raise np.linalg.LinAlgError("an eigenvalue is 0")
        current = _turned(right, bases, 0)
        return _turned(current / total[..., None], bases, 1)

    cost = sum(EIGENVALUES_COST * size**3 + 4 * system.size * size for size in sizes)
    yield Method("eigenvalues of the Kronecker factors", cost, solve, conclusive=False)


def _matrices(network: Network) -> dict[tuple[int, ...], list[Operand]] | None:
    """The factors of a Kronecker product of square matrices by the axes they act on; the others are the identity.

    None where the term is something else.
    """
    ties = _ties(network)
    pattern = network.pattern
    if len(ties) < len(pattern.tied) or any(a != b for a, b in ties):
        return None
    if any(set(labels) & pattern.tied for labels in pattern.parts):
        return None
    order = len(network.rows)
    names = {label: axis for axis, label in enumerate(network.rows)}
    names.update({label: order + axis for axis, label in enumerate(network.columns) if label not in pattern.tied})
    found: dict[tuple[int, ...], list[Operand]] = {}
    for group in groups_of(pattern):
        rows = tuple(sorted(network.rows.index(label) for label in group.rows))
        columns = tuple(sorted(network.columns.index(label) for label in group.columns))
        if rows != columns or not group.parts or not rows:
            return None
        parts = [network.parts[place] for place in group.parts]
        # summed labels by the order in which they appear, so that equal factors have equal labels
        inner = [label for label in once(label for _, own in parts for label in own) if label not in names]
        all_names = {**names, **{label: 2 * order + place for place, label in enumerate(inner)}}
        found[rows] = [(array, tuple([all_names[label] for label in own])) for array, own in parts]
    return found


def _same(first: Sequence[Operand], second: Sequence[Operand]) -> bool:
    """Whether two factors are the same arrays, joined in the same way."""
    if len(first) != len(second):
        return False
    pairs = zip(first, second, strict=True)
    return all(array is other and labels == others for (array, labels), (other, others) in pairs)


def _turned(array: Array, bases: Mapping[tuple[int, ...], Array], side: int) -> Array:
    """An array in the bases of the factors (side 0), or back from there (side 1)."""
    current = array
    order = array.ndim
    for axes, basis in bases.items():
        # the vectors are numbered along one axis, which takes the place of the axes they have
        size = basis.shape[-1]
        flat = basis.reshape(size, size)
        rest = [axis for axis in range(order) if axis not in axes]
        moved = current.transpose((*axes, *rest))
        matrix = flat.T if side == 0 else flat
        turned = (matrix @ moved.reshape(size, along(rest, dict(enumerate(array.shape))))).reshape(moved.shape)
        current = turned.transpose(np.argsort((*axes, *rest)))
    return current


# --- low rank ------------------------------------------------------------------------------------


def _by_low_rank(system: System) -> Iterator[Method]:
    """Terms of low rank beside others that are solved: ``(B + U V)^-1 = B^-1 - B^-1 U (I + V B^-1 U)^-1 V B^-1``.

    Sherman, Morrison and Woodbury; Golub & Van Loan, Matrix Computations (2013), section 2.1.4.
    """
    low = [network for network in system.networks if _rank(network) is not None]
    base = system._replace(networks=tuple([n for n in system.networks if _rank(n) is None]))
    rank = sum(_rank(network) or 0 for network in low)
    if not low or not base.networks or 2 * rank > system.size or rank * system.size > MOST_FORMED:
        return
    inner = sorted([*_by_blocks(base), *_by_factors(base), *_by_eigenvalues(base)], key=lambda method: method.cost)
    if not inner:
        return

    def solve(right: Array) -> Array:
        sides = [_halves(network, system.dtype) for network in low]
        above = np.concatenate([left for left, _ in sides], axis=1)
        beside = np.concatenate([other for _, other in sides], axis=0)
        count = right.shape[-1]
        together = np.concatenate([right, above.reshape(*system.output_shape, rank)], axis=-1)
        plain = inner[0].solve(together).reshape(system.size, count + rank)
        solution, spread = plain[:, :count], plain[:, count:]
        small = np.eye(rank, dtype=system.dtype) + beside @ spread
        corrected: Array = solution - spread @ np.linalg.solve(small, beside @ solution)
        return corrected.reshape((*system.variable_shape, count))

    cost = inner[0].cost * (1 + rank / max(1, system.size)) + rank**3 + 2 * rank**2 * system.size
    yield Method(f"low rank beside {inner[0].name}", cost, solve, conclusive=False)


def _open(network: Network) -> tuple[int, ...] | None:
    """The summed labels between arrays of the rows and arrays of the columns, along which the rank is bounded.

    None where an axis is tied or an array reaches both rows and columns.
    """
    pattern = network.pattern
    axes = (*network.rows, *network.columns)
    if len(set(axes)) < len(axes) or any(open_labels(group, pattern) is None for group in groups_of(pattern)):
        return None
    left, right = _sides(network)
    above = {label for _, labels in left for label in labels}
    return once(label for _, labels in right for label in labels if label in above)


def _rank(network: Network) -> int | None:
    """A bound of the rank; None where there is none but the size."""
    labels = _open(network)
    return None if labels is None else along(labels, network.lengths)


def _sides(network: Network) -> tuple[list[Operand], list[Operand]]:
    """The arrays that reach no column, and those that do."""
    columns = set(network.columns)
    left = [part for part in network.parts if not set(part[1]) & columns]
    return left, [part for part in network.parts if set(part[1]) & columns]


def _halves(network: Network, dtype: Any) -> tuple[Array, Array]:
    """``U`` and ``V`` of a term ``U V`` of low rank, the number included."""
    shared = _open(network) or ()
    left, right = _sides(network)
    rank = along(shared, network.lengths)
    above = contract(left, (*network.rows, *shared), network.lengths, dtype)
    beside = contract(right, (*shared, *network.columns), network.lengths, dtype)
    height, width = (along(labels, network.lengths) for labels in (network.rows, network.columns))
    return network.number * above.reshape(height, rank), beside.reshape(rank, width)


WAYS: tuple[Callable[[System], Iterator[Method]], ...] = (_by_blocks, _by_factors, _by_eigenvalues, _by_low_rank)
"""The exact ways to solve a system; each finds one method or none."""


# --- conjugate gradients -------------------------------------------------------------------------


def conjugate_gradients(
    apply: Callable[[Array], Array], right: Array, scale: Array, tolerance: float, most: int
) -> tuple[Array, bool]:
    """The solution for one right-hand side of a symmetric positive definite system, and whether it was reached.

    Hestenes & Stiefel, Methods of conjugate gradients for solving linear systems (1952), section 3.

    Parameters
    ----------
    apply: the matrix times an array of the shape of ``right``.
    scale: the diagonal of the matrix, which preconditions; ones where it is not positive.
    tolerance: the largest norm of the residual, relative to that of the right-hand side.
    most: how many products with the matrix may be used.

    Raises
    ------
    numpy.linalg.LinAlgError: a direction has no positive curvature.
    """
    solution = np.zeros_like(right)
    wanted = tolerance * float(np.linalg.norm(right))
    left = most
    for _ in range(RESTARTS):
        # the residual is computed from the solution, for the updated one drifts away from it
        residual = right - apply(solution)
        if float(np.linalg.norm(residual)) <= wanted:
            return solution, True
        direction = residual / scale
        slope = float(np.vdot(residual, direction))
        while left > 0 and float(np.linalg.norm(residual)) > wanted:
            left -= 1
            image = apply(direction)
            curvature = float(np.vdot(direction, image))
            if curvature <= 0:
                raise np.linalg.LinAlgError("a direction has no positive curvature")
            step = slope / curvature
            solution += step * direction
            residual -= step * image
            scaled = residual / scale
            following = float(np.vdot(residual, scaled))
            direction = scaled + following / slope * direction
            slope = following
    return solution, float(np.linalg.norm(right - apply(solution))) <= wanted
