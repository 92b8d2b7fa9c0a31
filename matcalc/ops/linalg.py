"""Linear algebra: contractions with a name, and matrix functions with their differentials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Literal

from ..errors import NotDifferentiable, Unsupported
from ..expr.build import (
    add,
    as_number,
    batched_identity,
    broadcast,
    delta,
    einsum,
    is_symmetric,
    matmul,
    number,
    ones,
    power,
    product,
    scale,
    split_coefficient,
    subtract,
    trace,
    transpose,
    zeros,
)
from ..expr.dims import Dim
from ..expr.nodes import Call, Node, Product, Structure, Variable
from ..expr.typed import SCALAR, Kind, Type, Typing, column, matrix
from .record import Make, Operation, Options, TypingRule
from .signature import apply_call
from .typing_rules import check_count, described, kind_of, letters, square

HALF = Fraction(1, 2)
MAGNUS = "Magnus & Neudecker, Matrix Differential Calculus (1999)"
COOKBOOK = "Petersen & Pedersen, The Matrix Cookbook (2012)"
HIGHAM = "Higham, Functions of Matrices (2008)"

# --- shorthands ----------------------------------------------------------------------------------


def calls(name: str, *args: Node) -> Call:
    """A call of this family."""
    return apply_call(BY_NAME[name], args)


def chain(*factors: Node) -> Node:
    """A matrix product as one contraction."""
    names = letters(len(factors) + 1)
    spec = ",".join(f"...{names[k]}{names[k + 1]}" for k in range(len(factors)))
    return einsum(f"{spec}->...{names[0]}{names[-1]}", *factors)


def form(left: Node, change: Node) -> Node:
    """``tr(left^T change)``."""
    return einsum("...ij,...ij->...", left, change)


def symmetric_part(node: Node) -> Node:
    """``(X + X^T) / 2``."""
    return add([(HALF, node), (HALF, transpose(node))], node.shape)


def total(*terms: Node) -> Node:
    return add([(1, term) for term in terms], terms[0].shape)


def times(scalar: Node, node: Node, exponent: int = 1) -> Node:
    """A matrix scaled by a value for each batch."""
    names = tuple(range(node.order))
    return product([(scalar, exponent, names[: scalar.order]), (node, 1, names)], names)


# --- blocks --------------------------------------------------------------------------------------


def place(size: Dim, whole: Dim, offset: Dim | int) -> Structure:
    """The rows of the identity that pick a block out of a longer axis."""
    return Structure("select", size, whole, Dim.of(offset))


def upper_block(diagonal: Node, corner: Node) -> Node:
    """``[A, E; 0, A]``: a function of it carries the function's derivative in its corner."""
    size = diagonal.shape[-1]
    first, last = place(size, size * 2, 0), place(size, size * 2, size)
    return total(
        einsum("ir,...ij,js->...rs", first, diagonal, first),
        einsum("ir,...ij,js->...rs", last, diagonal, last),
        einsum("ir,...ij,js->...rs", first, corner, last),
    )


def corner_of(node: Node, size: Dim) -> Node:
    """The upper right block."""
    return einsum("ir,...rs,js->...ij", place(size, size * 2, 0), node, place(size, size * 2, size))


def both_blocks(change: Node) -> Node:
    """``[D, 0; 0, D]``."""
    return upper_block(change, zeros(change.shape))


# --- differentials -------------------------------------------------------------------------------


def inv_differential(call: Call, _position: int, change: Node) -> Node:
    return scale(-1, chain(call, change, call))


def det_differential(call: Call, _position: int, change: Node) -> Node:
    return times(call, einsum("...ij,...ji->...", calls("inv", call.args[0]), change))


def logdet_differential(call: Call, _position: int, change: Node) -> Node:
    return einsum("...ij,...ji->...", calls("inv", call.args[0]), change)


def pinv_differential(call: Call, _position: int, change: Node) -> Node:
    """``-P d P + P P^T d^T (I - X P) + (I - P X) d^T P^T P``.

    The rank of a square variable is constant nearby only where it is invertible; there ``X P = P X = I``.
    """
    X, P = call.args[0], call
    if isinstance(X, Variable) and X.shape[-2] == X.shape[-1]:
        return scale(-1, chain(calls("inv", X), change, calls("inv", X)))
    turned, flipped = transpose(change), transpose(P)
    left, right = matmul(X, P), matmul(P, X)
    return total(
        scale(-1, chain(P, change, P)),
        chain(P, flipped, turned, subtract(batched_identity(left), left)),
        chain(subtract(batched_identity(right), right), turned, flipped, P),
    )


def adj_differential(call: Call, _position: int, change: Node) -> Node:
    """``tr(X^-1 d) Y - Y d X^-1``."""
    inverse = calls("inv", call.args[0])
    return subtract(times(einsum("...ij,...ji->...", inverse, change), call), chain(call, change, inverse))


def smooth_det_differential(call: Call, _position: int, change: Node) -> Node:
    """``tr(adj(X) d)``."""
    return einsum("...ij,...ji->...", calls("smooth_adj", call.args[0]), change)


def smooth_adj_differential(call: Call, _position: int, change: Node) -> Node:
    return calls("adj_frechet", call.args[0], change)


def adj_frechet_differential(call: Call, position: int, change: Node) -> Node:
    """Linear in the direction; by the matrix from ``tr(X^-1 E) Y - Y E X^-1`` with Y the adjugate."""
    X, E = call.args
    if position == 1:
        return calls("adj_frechet", X, change)
    inverse = calls("inv", X)
    turned = calls("adj_frechet", X, change)
    Y = calls("smooth_adj", X)
    return total(
        times(einsum("...ij,...ji->...", inverse, E), turned),
        scale(-1, times(einsum("...ij,...jk,...kl,...li->...", inverse, change, inverse, E), Y)),
        scale(-1, chain(turned, E, inverse)),
        chain(Y, E, inverse, change, inverse),
    )


def adj_frechet_pullback(call: Call, position: int, adjoint: Node) -> Node:
    if position != 1:
        return NotImplemented  # type: ignore[no-any-return]
    return calls("adj_frechet", transpose(call.args[0]), adjoint)


def chol_differential(call: Call, _position: int, change: Node) -> Node:
    """``L Phi(L^-1 sym(d) L^-T)``, where Phi keeps the lower triangle and halves the diagonal."""
    inverse = calls("inv", call)
    size = call.shape[-1]
    half_lower = add([(1, Structure("lower", size)), (-HALF, delta(size))], (size, size))
    middle = chain(inverse, symmetric_part(change), transpose(inverse))
    return matmul(call, einsum("ij,...ij->...ij", half_lower, middle))


def by_frechet(name: str) -> Callable[[Call, int, Node], Node]:
    """The differential of a matrix function is its Fréchet derivative."""

    def differential(call: Call, _position: int, change: Node) -> Node:
        return calls(name, call.args[0], change)

    return differential


def frechet_differential(name: str) -> Callable[[Call, int, Node], Node]:
    """Linear in the direction; by the matrix it is the corner of the same derivative of ``[A, E; 0, A]``."""

    def differential(call: Call, position: int, change: Node) -> Node:
        A, E = call.args
        if position == 1:
            return calls(name, A, change)
        return corner_of(calls(name, upper_block(A, E), both_blocks(change)), A.shape[-1])

    return differential


def frechet_pullback(name: str) -> Callable[[Call, int, Node], Node]:
    """The derivative at the transpose; for a trace the slope of the function: ``expm(A)^T`` for ``tr(expm(A))``."""

    def pullback(call: Call, position: int, adjoint: Node) -> Node:
        if position != 1:
            return NotImplemented  # type: ignore[no-any-return]
        multiple = identity_multiple(adjoint)
        if multiple is not None:
            return times(multiple, transpose(calls(SLOPES[name], call.args[0])))
        return calls(name, transpose(call.args[0]), adjoint)

    return pullback


SLOPES = {"expm_frechet": "expm", "logm_frechet": "inv"}


def identity_multiple(node: Node) -> Node | None:
    """The scalar whose multiple of the identity this is, else None."""
    coefficient, inner = split_coefficient(node)
    if node.order != 2:
        return None
    if inner == delta(node.shape[0]):
        return number(coefficient)
    if not isinstance(inner, Product) or list(inner.summed):
        return None
    identities = [factor for factor in inner.factors if factor.labels]
    if [(factor.node, factor.labels) for factor in identities] != [(delta(node.shape[0]), (0, 1))]:
        return None
    scalars = [factor for factor in inner.factors if not factor.labels]
    return scale(coefficient, product(scalars, ()))


def sqrtm_differential(call: Call, _position: int, change: Node) -> Node:
    """Z with ``Y Z + Z Y = d``."""
    return calls("sylvester", call, call, change)


def sylvester_differential(call: Call, position: int, change: Node) -> Node:
    A, B, _ = call.args
    if position == 2:
        return calls("sylvester", A, B, change)
    moved = matmul(change, call) if position == 0 else matmul(call, change)
    return scale(-1, calls("sylvester", A, B, moved))


def sylvester_pullback(call: Call, position: int, adjoint: Node) -> Node:
    if position != 2:
        return NotImplemented  # type: ignore[no-any-return]
    A, B, _ = call.args
    multiple = identity_multiple(adjoint)
    if multiple is not None and A == B:
        return times(scale(HALF, multiple), transpose(calls("inv", A)))
    return calls("sylvester", transpose(A), transpose(B), adjoint)


def tracepow_differential(call: Call, position: int, change: Node) -> Node:
    """``k tr(X^(k-1) d)``."""
    X, k = call.args
    if position == 1:
        raise NotDifferentiable("tr(X^k) has no derivative by k", hint="the exponent of a matrix power is an integer")
    lowered = calls("matpow", X, add([(1, k), (-1, ones(k.shape))], k.shape))
    return einsum("...,...ij,...ji->...", k, lowered, change)


def matpow_differential(call: Call, position: int, change: Node) -> Node:
    """The sum of ``X^r d X^(k-1-r)``."""
    X, k = call.args
    if position == 1:
        raise NotDifferentiable("X^k has no derivative by k", hint="the exponent of a matrix power is an integer")
    return calls("matpow_frechet", X, change, k)


def matpow_frechet_differential(call: Call, position: int, change: Node) -> Node:
    X, E, k = call.args
    if position == 2:
        raise NotDifferentiable("X^k has no derivative by k", hint="the exponent of a matrix power is an integer")
    if position == 1:
        return calls("matpow_frechet", X, change, k)
    return corner_of(calls("matpow_frechet", upper_block(X, E), both_blocks(change), k), X.shape[-1])


def matpow_frechet_pullback(call: Call, position: int, adjoint: Node) -> Node:
    if position != 1:
        return NotImplemented  # type: ignore[no-any-return]
    X, _, k = call.args
    return calls("matpow_frechet", transpose(X), adjoint, k)


# --- eigenvalues of symmetric matrices -----------------------------------------------------------


def eigvals_differential(call: Call, _position: int, change: Node) -> Node:
    """``v_i^T d v_i``."""
    V = calls("eigvecs", call.args[0])
    return einsum("...ji,...jk,...ki->...i", V, change, V)


def inverse_gaps(values: Node) -> Node:
    """``1 / (l_j - l_i)``, 0 on the diagonal."""
    n = values.shape[-1]
    shape = (*values.shape, n)
    last = len(shape) - 1
    rows = broadcast(values, shape, range(last))
    columns = broadcast(values, shape, (*range(last - 1), last))
    identity = broadcast(delta(n), shape, (last - 1, last))
    gaps = add([(1, columns), (-1, rows), (1, identity)], shape)
    return subtract(power(gaps, -1), identity)


def eigvecs_differential(call: Call, _position: int, change: Node) -> Node:
    """``V (F .* (V^T sym(d) V))`` with F the inverse gaps between the eigenvalues."""
    weights = inverse_gaps(calls("eigvals", call.args[0]))
    inside = chain(transpose(call), symmetric_part(change), call)
    return einsum("...ij,...jk,...jk->...ik", call, weights, inside)


def extreme_eigenvalue_differential(projector: str) -> Callable[[Call, int, Node], Node]:
    def differential(call: Call, _position: int, change: Node) -> Node:
        return form(calls(projector, call.args[0]), change)

    return differential


def projector_change(value: Node, A: Node, P: Node, change: Node) -> Node:
    """``R sym(d) P + P sym(d) R`` with R the pseudo-inverse of ``value I - A``, of which P spans the null space."""
    identity = batched_identity(A)
    shifted = add([(1, times(value, identity)), (-1, A), (1, P)], A.shape)
    resolvent = subtract(calls("inv", shifted), P)
    moved = symmetric_part(change)
    return total(chain(resolvent, moved, P), chain(P, moved, resolvent))


def projector_differential(eigenvalue: str) -> Callable[[Call, int, Node], Node]:
    def differential(call: Call, _position: int, change: Node) -> Node:
        A = symmetric_part(call.args[0])
        return projector_change(calls(eigenvalue, A), A, call, change)

    return differential


# --- singular values -----------------------------------------------------------------------------


def svdvals_differential(call: Call, _position: int, change: Node) -> Node:
    """``u_i^T d v_i``."""
    X = call.args[0]
    return einsum("...ji,...jk,...ki->...i", calls("svd_u", X), change, calls("svd_v", X))


def singular_vectors_differential(side: Literal["u", "v"]) -> Callable[[Call, int, Node], Node]:
    """``U (F .* (M S + S M^T)) + (I - U U^T) d V / S`` with ``M = U^T d V``; for v of the transpose."""

    def differential(call: Call, _position: int, change: Node) -> Node:
        X = call.args[0]
        values = calls("svdvals", X)
        U, V = (call, calls("svd_v", X)) if side == "u" else (call, calls("svd_u", X))
        moved = change if side == "u" else transpose(change)
        M = chain(transpose(U), moved, V)
        weights = inverse_gaps(power(values, 2))
        scaled = einsum("...ij,...j->...ij", M, values)
        inside = einsum("...ij,...jk,...jk->...ik", U, weights, total(scaled, transpose(scaled)))
        outside = einsum("...ij,...j->...ij", matmul(moved, V), power(values, -1))
        return total(inside, subtract(outside, chain(U, transpose(U), outside)))

    return differential


def nuclear_differential(call: Call, _position: int, change: Node) -> Node:
    return form(calls("polar", call.args[0]), change)


def polar_differential(call: Call, _position: int, change: Node) -> Node:
    """Z with ``X Q^T Z + Z Q^T X = d - Q d^T Q``."""
    X = call.args[0]
    turned = transpose(call)
    right = subtract(change, chain(call, transpose(change), call))
    return calls("sylvester", matmul(X, turned), matmul(turned, X), right)


def spectral_differential(call: Call, _position: int, change: Node) -> Node:
    return form(calls("spectraldir", call.args[0]), change)


def spectraldir_differential(call: Call, _position: int, change: Node) -> Node:
    """From ``u v^T = X v v^T / s``, where ``v v^T`` is a projector of ``X^T X``."""
    X = call.args[0]
    value = calls("spectral", X)
    gram = matmul(transpose(X), X)
    P = calls("eigmaxproj", gram)
    half = matmul(transpose(X), change)
    turned = projector_change(power(value, 2), gram, P, scale(2, half))
    along = times(form(call, change), call)
    moved = total(matmul(change, P), matmul(X, turned))
    return times(value, subtract(moved, along), -1)


# --- typing --------------------------------------------------------------------------------------


def trace_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
    check_count(context, "tr", types, 1)
    if types[0].kind == "scalar":
        return SCALAR, lambda nodes: nodes[0]
    square(context, "tr", types[0])
    return SCALAR, lambda nodes: trace(nodes[0])


TURNED: Mapping[Kind, Kind] = {"scalar": "scalar", "column": "row", "row": "column", "matrix": "matrix"}


def transpose_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
    check_count(context, "transpose", types, 1)
    given = types[0]
    if given.kind == "tensor":
        context.fail(f"transpose takes a matrix or a vector, not {described(context, given)}")
    turned = Type(TURNED[given.kind], given.shape[::-1])
    return turned, lambda nodes: transpose(nodes[0]) if given.kind == "matrix" else nodes[0]


def diag_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
    check_count(context, "diag", types, 1)
    given = types[0]
    if given.kind == "scalar":
        return SCALAR, lambda nodes: nodes[0]
    if given.kind == "matrix":
        size = square(context, "diag", given)
        return column(size), lambda nodes: einsum("...ii->...i", nodes[0])
    if given.kind == "tensor":
        context.fail(f"diag takes a vector or a matrix, not {described(context, given)}")

    def make(nodes: Sequence[Node]) -> Node:
        return einsum("...i,ij->...ij", nodes[0], delta(nodes[0].shape[-1]))

    return matrix(given.shape[0], given.shape[0]), make


def vec_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
    check_count(context, "vec", types, 1)
    given = types[0]
    if given.kind == "scalar":
        return given, lambda nodes: nodes[0]
    if given.kind in ("column", "row"):
        return column(given.shape[0]), lambda nodes: nodes[0]
    if given.kind == "tensor":
        context.fail(f"vec takes a matrix, not {described(context, given)}")
    m, n = (context.resolve(dim) for dim in given.shape)

    def make(nodes: Sequence[Node]) -> Node:
        return einsum("rij,...ij->...r", Structure("pair", *nodes[0].shape[-2:]), nodes[0])

    return column(m * n), make


def sizes_of(context: Typing, name: str, options: Options, count: int) -> tuple[Dim, ...]:
    """The dimensions among the arguments."""
    sizes = options.get("sizes", ())
    assert isinstance(sizes, tuple)
    if len(sizes) != count:
        example = f"{name}(…, m, n)" if name == "unvec" else f"{name}({', '.join('mn'[:count])})"
        context.fail(f"{name} takes {count} size{'s' if count > 1 else ''}, not {len(sizes)}", f"write {example}")
    return tuple(Dim.of(size) for size in sizes)


def unvec_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:
    check_count(context, "unvec", types, 1)
    m, n = sizes_of(context, "unvec", options, 2)
    given = types[0]
    if len(given.shape) != 1:
        context.fail(f"unvec takes a vector, not {described(context, given)}")
    context.unify(given.shape[0], m * n)

    def make(nodes: Sequence[Node]) -> Node:
        rows, columns = context.resolve(m), context.resolve(n)
        return einsum("rij,...r->...ij", Structure("pair", rows, columns), nodes[0])

    return matrix(m, n), make


def vech_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
    check_count(context, "vech", types, 1)
    n = context.resolve(square(context, "vech", types[0]))

    def make(nodes: Sequence[Node]) -> Node:
        return einsum("rij,...ij->...r", Structure("halfpair", nodes[0].shape[-1]), nodes[0])

    return column((n * n + n) * HALF), make


def kron_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
    check_count(context, "kron", types, 2)
    left, right = types
    for given in types:
        if given.kind == "tensor":
            context.fail(f"kron takes matrices and vectors, not {described(context, given)}")
    rows = [context.resolve(given.shape[0]) for given in types if given.kind in ("column", "matrix")]
    columns = [context.resolve(given.shape[-1]) for given in types if given.kind in ("row", "matrix")]
    shape = tuple(dims[0] * dims[1] if len(dims) == 2 else dims[0] for dims in (rows, columns) if dims)
    result = Type("column" if rows else "row", shape) if len(shape) == 1 else kind_of(shape)

    def make(nodes: Sequence[Node]) -> Node:
        one, other = nodes
        axes = {"scalar": "", "column": "i", "row": "j", "matrix": "ij"}[left.kind]
        others = {"scalar": "", "column": "k", "row": "l", "matrix": "kl"}[right.kind]
        operands: list[Node] = []
        labels: list[str] = []
        out = ""
        for outer, inner, merged in (("i", "k", "r"), ("j", "l", "s")):
            if outer in axes and inner in others:
                slow = one.shape[one.order - len(axes) + axes.index(outer)]
                fast = other.shape[other.order - len(others) + others.index(inner)]
                operands.append(Structure("pair", fast, slow))
                labels.append(merged + inner + outer)
                out += merged
            elif outer in axes or inner in others:
                out += outer if outer in axes else inner
        spec = ",".join([*labels, f"...{axes}", f"...{others}"])
        return einsum(f"{spec}->...{out}", *operands, one, other)

    return result, make


def commutation_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:
    """``K_{mn} vec(X) = vec(X^T)`` for an m×n matrix X."""
    check_count(context, "commutation", types, 0)
    m, n = sizes_of(context, "commutation", options, 2)

    def make(_nodes: Sequence[Node]) -> Node:
        rows, columns = context.resolve(m), context.resolve(n)
        return einsum("rji,sij->rs", Structure("pair", columns, rows), Structure("pair", rows, columns))

    return matrix(m * n, m * n), make


def duplication_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:
    """``D_n vech(S) = vec(S)`` for a symmetric S: the triangle, its mirror, less the diagonal that is in both."""
    check_count(context, "duplication", types, 0)
    (n,) = sizes_of(context, "duplication", options, 1)

    def make(_nodes: Sequence[Node]) -> Node:
        size = context.resolve(n)
        whole, half = Structure("pair", size, size), Structure("halfpair", size)
        straight, mirrored = einsum("rij,sij->rs", whole, half), einsum("rji,sij->rs", whole, half)
        diagonal = einsum("rii,sii->rs", whole, half)
        return add([(1, straight), (1, mirrored), (-1, diagonal)], straight.shape)

    return matrix(n * n, (n * n + n) * HALF), make


def outer_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
    check_count(context, "outer", types, 2)
    for given in types:
        if len(given.shape) != 1:
            context.fail(f"outer takes two vectors, not {described(context, given)}")
    return (
        matrix(types[0].shape[0], types[1].shape[0]),
        lambda nodes: einsum("...i,...j->...ij", nodes[0], nodes[1]),
    )


def inner_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
    check_count(context, "inner", types, 2)
    left, right = types
    if len(left.shape) != len(right.shape):
        context.fail(
            f"inner takes two arrays of one shape, not {described(context, left)} and {described(context, right)}"
        )
    for one, other in zip(left.shape, right.shape, strict=True):
        context.unify(one, other)
    names = letters(len(left.shape))
    return SCALAR, lambda nodes: einsum(f"...{names},...{names}->...", nodes[0], nodes[1])


def dot_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:
    """The inner product of vectors, the product of matrices, as in NumPy."""
    check_count(context, "dot", types, 2)
    left, right = types
    if len(left.shape) == len(right.shape) == 1 or "scalar" in (left.kind, right.kind):
        if left.shape and right.shape:
            return inner_typing(context, types, options)
        result = left if left.shape else right
        names = letters(len(result.shape))
        first, second = (names if given.shape else "" for given in types)
        return result, lambda nodes: einsum(f"...{first},...{second}->...{names}", nodes[0], nodes[1])
    if "tensor" in (left.kind, right.kind) or "matrix" not in (left.kind, right.kind):
        context.fail(f"dot does not combine {described(context, left)} with {described(context, right)}")
    context.unify(left.shape[-1], right.shape[0])
    first = "ij" if left.kind == "matrix" else "j"
    second = "jk" if right.kind == "matrix" else "j"
    out = ("i" if left.kind == "matrix" else "") + ("k" if right.kind == "matrix" else "")
    shape = (*left.shape[:-1], *right.shape[1:])
    result = Type("row", shape) if left.kind != "matrix" else kind_of(shape)
    return result, lambda nodes: einsum(f"...{first},...{second}->...{out}", nodes[0], nodes[1])


def solve_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
    check_count(context, "solve", types, 2)
    left, right = types
    size = square(context, "solve", left)
    if right.kind not in ("column", "matrix"):
        context.fail(f"solve takes a column or a matrix on the right, not {described(context, right)}")
    context.unify(size, right.shape[0])
    names = "j" if right.kind == "column" else "jk"
    out = names.replace("j", "i")
    return right, lambda nodes: einsum(f"...ij,...{names}->...{out}", calls("inv", nodes[0]), nodes[1])


def cross_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
    check_count(context, "cross", types, 2)
    for given in types:
        if len(given.shape) != 1:
            context.fail(f"cross takes two vectors of length 3, not {described(context, given)}")
        context.unify(given.shape[0], Dim.of(3))
    return types[0], lambda nodes: einsum("ijk,...j,...k->...i", Structure("levicivita"), nodes[0], nodes[1])


def blockdiag_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
    if not types:
        context.fail("blockdiag takes at least one matrix")
    for given in types:
        if given.kind == "tensor":
            context.fail(f"blockdiag takes matrices, not {described(context, given)}")
    one = Dim.of(1)
    heights = [context.resolve(given.shape[0]) if given.kind in ("column", "matrix") else one for given in types]
    widths = [context.resolve(given.shape[-1]) if given.kind in ("row", "matrix") else one for given in types]

    def make(nodes: Sequence[Node]) -> Node:
        blocks = [as_matrix(node, given.kind) for node, given in zip(nodes, types, strict=True)]
        height, width = (added([block.shape[axis] for block in blocks]) for axis in (-2, -1))
        terms: list[Node] = []
        down = right = Dim.of(0)
        for block in blocks:
            rows, columns = block.shape[-2:]
            picked = place(rows, height, down), place(columns, width, right)
            terms.append(einsum("ir,...ij,js->...rs", picked[0], block, picked[1]))
            down, right = down + rows, right + columns
        return total(*terms)

    return matrix(added(heights), added(widths)), make


def added(sizes: Sequence[Dim]) -> Dim:
    result = Dim.of(0)
    for size in sizes:
        result = result + size
    return result


def as_matrix(node: Node, kind: Kind) -> Node:
    """A column as an n×1 matrix, a row as 1×n, a scalar as 1×1."""
    one = Dim.of(1)
    if kind == "matrix":
        return node
    if kind == "column":
        return broadcast(node, (*node.shape, one), range(node.order))
    if kind == "row":
        return broadcast(node, (*node.shape[:-1], one, node.shape[-1]), (*range(node.order - 1), node.order))
    return broadcast(node, (*node.shape, one, one), range(node.order))


def triangle(name: str, spec: str) -> TypingRule:
    def rule(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
        check_count(context, name, types, 1)
        square(context, name, types[0])
        return types[0], lambda nodes: einsum(spec, Structure("lower", nodes[0].shape[-1]), nodes[0])

    return rule


def matrix_expression(name: str, build: Callable[[Node], Node]) -> TypingRule:
    """The rule of a square matrix made from a square matrix."""

    def rule(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
        check_count(context, name, types, 1)
        square(context, name, types[0])
        return types[0], lambda nodes: build(nodes[0])

    return rule


def matpow_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
    """A written integer makes a product of inverses or copies, any other exponent a call."""
    check_count(context, "matpow", types, 2)
    square(context, "matpow", types[0])
    if types[1].kind != "scalar":
        context.fail(f"matpow takes an integer exponent, not {described(context, types[1])}")

    def make(nodes: Sequence[Node]) -> Node:
        return matrix_power(nodes[0], nodes[1])

    return types[0], make


LARGEST_WRITTEN_POWER = 64


def matrix_power(X: Node, k: Node) -> Node:
    """``X^k``: a chain of products for a small written integer, else a call."""
    written = as_number(k)
    if isinstance(written, Fraction):
        raise Unsupported(f"the matrix power {written} is not an integer", hint="X^(1/2) is sqrtm(X)")
    if written is None or abs(written) > LARGEST_WRITTEN_POWER:
        return calls("matpow", X, k)
    if written == 0:
        return batched_identity(X)
    base = X if written > 0 else calls("inv", X)
    value = base
    for _ in range(abs(written) - 1):
        value = matmul(value, base)
    return value


# --- NumPy ---------------------------------------------------------------------------------------


def symmetric_argument(template: str) -> Callable[[Node, Sequence[str]], str]:
    """The function of the symmetric part, which is the argument itself where that is known to be symmetric."""

    def text(node: Node, names: Sequence[str]) -> str:
        known = is_symmetric(node.children[0])
        return template.format(names[0] if known else f"symmetric_part({names[0]})")

    return text


# --- the records ---------------------------------------------------------------------------------

EXPRESSIONS: tuple[Operation, ...] = (
    Operation(
        "tr",
        "expression",
        "Trace, the sum of the diagonal.",
        aliases=("trace", "Tr", "Trace"),
        typing=trace_typing,
        latex=r"\operatorname{tr}",
        reference=f"{COOKBOOK}, eq. 11",
    ),
    Operation("transpose", "expression", "Transpose.", typing=transpose_typing),
    Operation(
        "diag",
        "expression",
        "The diagonal matrix of a vector; the diagonal of a matrix.",
        aliases=("Diag",),
        typing=diag_typing,
        latex=r"\operatorname{diag}",
    ),
    Operation(
        "vec",
        "expression",
        "The columns of a matrix under each other.",
        aliases=("Vec",),
        typing=vec_typing,
        reference=f"{MAGNUS}, ch. 2, section 4",
    ),
    Operation(
        "unvec",
        "expression",
        "The m×n matrix whose columns are the pieces of a vector: unvec(v, m, n).",
        typing=unvec_typing,
        size_arguments=(1, 2),
        reference=f"{MAGNUS}, ch. 2, section 4",
    ),
    Operation(
        "vech",
        "expression",
        "The lower triangle of a matrix, column by column.",
        typing=vech_typing,
        reference=f"{MAGNUS}, ch. 3, section 8",
    ),
    Operation(
        "kron",
        "expression",
        "Kronecker product; a column is an n×1 matrix.",
        typing=kron_typing,
        reference=f"{MAGNUS}, ch. 2, section 2",
    ),
    Operation(
        "commutation",
        "expression",
        "Commutation matrix K with K vec(X) = vec(X^T) for an m×n matrix X: commutation(m, n).",
        typing=commutation_typing,
        size_arguments="all",
        latex=r"K_{{{0},{1}}}",
        reference=f"{MAGNUS}, ch. 3, section 7",
        gives=("orthogonal", "nonnegative"),
    ),
    Operation(
        "duplication",
        "expression",
        "Duplication matrix D with D vech(S) = vec(S) for a symmetric n×n matrix S: duplication(n).",
        typing=duplication_typing,
        size_arguments="all",
        latex=r"D_{{{0}}}",
        reference=f"{MAGNUS}, ch. 3, section 8",
        gives=("nonnegative",),
    ),
    Operation("outer", "expression", "Outer product x y^T of two vectors.", typing=outer_typing),
    Operation("inner", "expression", "Sum of the entrywise product.", typing=inner_typing),
    Operation("dot", "expression", "Inner product of vectors, product of matrices.", typing=dot_typing),
    Operation("solve", "expression", "The solution x of A x = b: solve(A, b).", typing=solve_typing),
    Operation("cross", "expression", "Vector product of two vectors of length 3.", typing=cross_typing),
    Operation(
        "blockdiag",
        "expression",
        "The block diagonal matrix of its arguments.",
        typing=blockdiag_typing,
    ),
    Operation(
        "tril",
        "expression",
        "The lower triangle, with zeros above.",
        typing=triangle("tril", "ij,...ij->...ij"),
    ),
    Operation(
        "triu",
        "expression",
        "The upper triangle, with zeros below.",
        typing=triangle("triu", "ji,...ij->...ij"),
    ),
    Operation(
        "cofactor",
        "expression",
        "Matrix of cofactors, the transpose of the adjugate.",
        aliases=("cof",),
        typing=matrix_expression("cofactor", lambda node: transpose(calls("adj", node))),
        sample="invertible",
    ),
)

SHAPES = ("symmetric", "diagonal", "lower", "upper")

FUNCTIONS: tuple[Operation, ...] = (
    Operation(
        "inv",
        "call",
        "Inverse of a square matrix.",
        aliases=("inverse",),
        signature="(n,n)->(n,n)",
        differential=inv_differential,
        numpy="np.linalg.inv({0})",
        domain="det({0}) != 0",
        sample="invertible",
        reference=f"{COOKBOOK}, eq. 59",
        keeps=(*SHAPES, "spd", "skew", "orthogonal"),
        gives=("invertible",),
    ),
    Operation(
        "det",
        "call",
        "Determinant.",
        aliases=("Det",),
        signature="(n,n)->()",
        differential=det_differential,
        numpy="np.linalg.det({0})",
        latex=r"\det",
        sample="invertible",
        reference=f"{COOKBOOK}, eq. 46",
        turns={"spd": ("positive",), "psd": ("nonnegative",), "invertible": ("nonzero",)},
    ),
    Operation(
        "logdet",
        "call",
        "Logarithm of the absolute value of the determinant.",
        aliases=("logabsdet",),
        signature="(n,n)->()",
        differential=logdet_differential,
        numpy="np.linalg.slogdet({0})[1]",
        latex=r"\log\det",
        domain="det({0}) != 0",
        sample="invertible",
        reference=f"{COOKBOOK}, eq. 57",
    ),
    Operation(
        "pinv",
        "call",
        "Moore-Penrose pseudo-inverse.",
        signature="(m,n)->(n,m)",
        differential=pinv_differential,
        numpy="np.linalg.pinv({0})",
        domain="the rank of {0} is constant nearby",
        reference="Golub & Pereyra, SIAM J. Numer. Anal. 10 (1973), eq. 4.12",
        keeps=("symmetric", "diagonal", "spd", "psd", "orthogonal", "invertible"),
    ),
    Operation(
        "adj",
        "call",
        "Adjugate, the transposed matrix of cofactors.",
        aliases=("adjugate",),
        signature="(n,n)->(n,n)",
        differential=adj_differential,
        numpy="adjugate({0})",
        sample="invertible",
        reference=f"{MAGNUS}, ch. 8, section 6",
        keeps=(*SHAPES, "spd", "invertible"),
    ),
    Operation(
        "adj_frechet",
        "call",
        "Derivative of the adjugate at X in the direction E, also where X is singular.",
        signature="(n,n),(n,n)->(n,n)",
        differential=adj_frechet_differential,
        pullback=adj_frechet_pullback,
        numpy="adj_frechet({0}, {1})",
        sample="invertible real",
        reference=f"{MAGNUS}, ch. 8, section 6",
    ),
    Operation(
        "smooth_adj",
        "call",
        "Adjugate, differentiated without the inverse: compiled derivatives hold where X is singular, too.",
        signature="(n,n)->(n,n)",
        differential=smooth_adj_differential,
        numpy="adjugate({0})",
        sample="invertible",
        reference=f"{MAGNUS}, ch. 8, section 6",
        keeps=(*SHAPES, "spd"),
    ),
    Operation(
        "smooth_det",
        "call",
        "Determinant, differentiated without the inverse: compiled derivatives hold where X is singular, too.",
        signature="(n,n)->()",
        differential=smooth_det_differential,
        numpy="np.linalg.det({0})",
        sample="invertible",
        reference=f"{MAGNUS}, ch. 8, section 3",
    ),
    Operation(
        "chol",
        "call",
        "Lower Cholesky factor L of A = L L^T.",
        aliases=("cholesky",),
        signature="(n,n)->(n,n)",
        differential=chol_differential,
        numpy=symmetric_argument("np.linalg.cholesky({0})"),
        domain="{0} is symmetric; {0} is positive definite",
        sample="spd",
        reference="Murray, Differentiation of the Cholesky decomposition (2016), eq. 8",
        keeps=("diagonal",),
        gives=("lower", "diagonal_positive"),
    ),
    Operation(
        "expm",
        "call",
        "Matrix exponential.",
        signature="(n,n)->(n,n)",
        differential=by_frechet("expm_frechet"),
        numpy="expm({0})",
        latex=r"\exp",
        reference=f"{HIGHAM}, eq. 10.15",
        keeps=SHAPES,
        turns={"symmetric": ("spd",), "skew": ("orthogonal",)},
        gives=("invertible",),
    ),
    Operation(
        "expm_frechet",
        "call",
        "Derivative of the matrix exponential at A in the direction E.",
        signature="(n,n),(n,n)->(n,n)",
        differential=frechet_differential("expm_frechet"),
        pullback=frechet_pullback("expm_frechet"),
        numpy="expm_frechet({0}, {1})",
        reference=f"{HIGHAM}, eq. 10.15",
        keeps=SHAPES,
    ),
    Operation(
        "logm",
        "call",
        "Principal matrix logarithm.",
        signature="(n,n)->(n,n)",
        differential=by_frechet("logm_frechet"),
        numpy="logm({0})",
        latex=r"\log",
        domain="{0} has no eigenvalue on the closed negative real axis",
        sample="spd",
        reference=f"{HIGHAM}, eq. 11.10",
        keeps=SHAPES,
        turns={"orthogonal": ("skew",)},
    ),
    Operation(
        "logm_frechet",
        "call",
        "Derivative of the matrix logarithm at A in the direction E.",
        signature="(n,n),(n,n)->(n,n)",
        differential=frechet_differential("logm_frechet"),
        pullback=frechet_pullback("logm_frechet"),
        numpy="logm_frechet({0}, {1})",
        domain="{0} has no eigenvalue on the closed negative real axis",
        sample="spd real",
        reference=f"{HIGHAM}, eq. 11.10",
        keeps=SHAPES,
    ),
    Operation(
        "sqrtm",
        "call",
        "Principal matrix square root.",
        signature="(n,n)->(n,n)",
        differential=sqrtm_differential,
        numpy="sqrtm({0})",
        domain="{0} has no eigenvalue on the closed negative real axis",
        sample="spd",
        reference=f"{HIGHAM}, section 6.1",
        keeps=(*SHAPES, "psd", "spd", "orthogonal", "invertible"),
    ),
    Operation(
        "sylvester",
        "call",
        "The solution Z of A Z + Z B = C: sylvester(A, B, C).",
        signature="(m,m),(n,n),(m,n)->(m,n)",
        differential=sylvester_differential,
        pullback=sylvester_pullback,
        numpy="sylvester({0}, {1}, {2})",
        domain="{0} and -{1} share no eigenvalue",
        sample="spd spd real",
        reference=f"{HIGHAM}, appendix B.14",
    ),
    Operation(
        "matpow",
        "call",
        "Power of a square matrix to an integer.",
        signature="(n,n),()->(n,n)",
        typing=matpow_typing,
        differential=matpow_differential,
        numpy="matpow({0}, {1})",
        sample="invertible order",
        reference=f"{MAGNUS}, ch. 9, section 14",
        keeps=(*SHAPES, "spd", "orthogonal", "invertible"),
    ),
    Operation(
        "matpow_frechet",
        "call",
        "Derivative of X^k in the direction E: the sum of X^r E X^(k-1-r).",
        signature="(n,n),(n,n),()->(n,n)",
        differential=matpow_frechet_differential,
        pullback=matpow_frechet_pullback,
        numpy="matpow_frechet({0}, {1}, {2})",
        sample="invertible real order",
        reference=f"{HIGHAM}, eq. 3.24",
        keeps=SHAPES,
    ),
    Operation(
        "tracepow",
        "call",
        "Trace of a power of a square matrix to an integer.",
        signature="(n,n),()->()",
        differential=tracepow_differential,
        numpy="tracepow({0}, {1})",
        sample="invertible order",
        reference=f"{COOKBOOK}, eq. 121",
        turns={"spd": ("positive",)},
    ),
)

SPECTRA: tuple[Operation, ...] = (
    Operation(
        "eigvals",
        "call",
        "Eigenvalues of a symmetric matrix, ascending.",
        signature="(n,n)->(n)",
        differential=eigvals_differential,
        numpy=symmetric_argument("eigvals({0})"),
        domain="{0} is symmetric",
        sample="symmetric",
        reference=f"{MAGNUS}, ch. 8, theorem 7",
        turns={"spd": ("positive",), "psd": ("nonnegative",), "invertible": ("nonzero",)},
    ),
    Operation(
        "eigvecs",
        "call",
        "Eigenvectors of a symmetric matrix as columns, by ascending eigenvalue.",
        signature="(n,n)->(n,n)",
        differential=eigvecs_differential,
        numpy=symmetric_argument("eigvecs({0})"),
        domain="{0} is symmetric; the eigenvalues of {0} are distinct",
        sample="symmetric",
        reference=f"{MAGNUS}, ch. 8, theorem 7",
        gives=("orthogonal",),
    ),
    Operation(
        "eigmax",
        "call",
        "Largest eigenvalue of a symmetric matrix.",
        signature="(n,n)->()",
        differential=extreme_eigenvalue_differential("eigmaxproj"),
        numpy=symmetric_argument("eigmax({0})"),
        latex=r"\lambda_{\max}",
        domain="{0} is symmetric",
        sample="symmetric",
        reference=f"{MAGNUS}, ch. 8, theorem 7",
        kink="equal eigenvalues share",
        turns={"spd": ("positive",), "psd": ("nonnegative",), "invertible": ("nonzero",)},
    ),
    Operation(
        "eigmin",
        "call",
        "Smallest eigenvalue of a symmetric matrix.",
        signature="(n,n)->()",
        differential=extreme_eigenvalue_differential("eigminproj"),
        numpy=symmetric_argument("eigmin({0})"),
        latex=r"\lambda_{\min}",
        domain="{0} is symmetric",
        sample="symmetric",
        reference=f"{MAGNUS}, ch. 8, theorem 7",
        kink="equal eigenvalues share",
        turns={"spd": ("positive",), "psd": ("nonnegative",), "invertible": ("nonzero",)},
    ),
    Operation(
        "eigmaxproj",
        "call",
        "v v^T for the eigenvector v of the largest eigenvalue; the mean where it is repeated.",
        signature="(n,n)->(n,n)",
        differential=projector_differential("eigmax"),
        numpy=symmetric_argument("eigmaxproj({0})"),
        domain="{0} is symmetric; the largest eigenvalue of {0} is simple",
        sample="symmetric",
        reference=f"{MAGNUS}, ch. 8, theorem 7",
        gives=("psd",),
    ),
    Operation(
        "eigminproj",
        "call",
        "v v^T for the eigenvector v of the smallest eigenvalue; the mean where it is repeated.",
        signature="(n,n)->(n,n)",
        differential=projector_differential("eigmin"),
        numpy=symmetric_argument("eigminproj({0})"),
        domain="{0} is symmetric; the smallest eigenvalue of {0} is simple",
        sample="symmetric",
        reference=f"{MAGNUS}, ch. 8, theorem 7",
        gives=("psd",),
    ),
    Operation(
        "svdvals",
        "call",
        "Singular values, descending.",
        signature="(m,n)->(min)",
        differential=svdvals_differential,
        numpy="np.linalg.svd({0}, compute_uv=False)",
        reference=f"{COOKBOOK}, eq. 65",
        gives=("nonnegative",),
        turns={"invertible": ("positive",)},
    ),
    Operation(
        "svd_u",
        "call",
        "Left singular vectors as columns.",
        signature="(m,n)->(m,min)",
        differential=singular_vectors_differential("u"),
        numpy="svd_u({0})",
        domain="the singular values of {0} are distinct and not 0",
        reference="Townsend, Differentiating the singular value decomposition (2016), eq. 18",
    ),
    Operation(
        "svd_v",
        "call",
        "Right singular vectors as columns.",
        signature="(m,n)->(n,min)",
        differential=singular_vectors_differential("v"),
        numpy="svd_v({0})",
        domain="the singular values of {0} are distinct and not 0",
        reference="Townsend, Differentiating the singular value decomposition (2016), eq. 20",
    ),
    Operation(
        "nuclear",
        "call",
        "Nuclear norm, the sum of the singular values.",
        signature="(m,n)->()",
        differential=nuclear_differential,
        numpy="np.sum(np.linalg.svd({0}, compute_uv=False), axis=-1)",
        kink="the subgradient of least norm where singular values are 0",
        gives=("nonnegative",),
        reference="Watson, Linear Algebra Appl. 170 (1992)",
        turns={"invertible": ("positive",), "nonzero": ("positive",)},
    ),
    Operation(
        "polar",
        "call",
        "The factor U V^T of the singular value decomposition U S V^T.",
        signature="(m,n)->(m,n)",
        differential=polar_differential,
        numpy="polar({0})",
        domain="{0} has full rank",
        reference=f"{HIGHAM}, section 8.1",
        keeps=("spd", "diagonal"),
        turns={"invertible": ("orthogonal",)},
    ),
    Operation(
        "spectral",
        "call",
        "Spectral norm, the largest singular value.",
        signature="(m,n)->()",
        differential=spectral_differential,
        numpy="spectral({0})",
        kink="equal singular values share; 0 at 0",
        gives=("nonnegative",),
        reference="Watson, Linear Algebra Appl. 170 (1992)",
        turns={"invertible": ("positive",), "nonzero": ("positive",)},
    ),
    Operation(
        "spectraldir",
        "call",
        "u v^T for the singular vectors of the largest singular value; the mean of several.",
        signature="(m,n)->(m,n)",
        differential=spectraldir_differential,
        numpy="spectraldir({0})",
        domain="the largest singular value of {0} is simple",
        reference="Watson, Linear Algebra Appl. 170 (1992)",
    ),
)

CALLS: tuple[Operation, ...] = (*FUNCTIONS, *SPECTRA)

BY_NAME: Mapping[str, Operation] = {record.name: record for record in CALLS}

LINEAR_ALGEBRA: tuple[Operation, ...] = (*EXPRESSIONS, *CALLS)
