"""Constants: identity matrices, ones, zeros, unit vectors and numbers with a name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..expr.build import delta, ones, zeros
from ..expr.dims import Dim, Shape
from ..expr.nodes import Node, Structure
from ..expr.typed import SCALAR, Type, Typing, column, matrix
from .record import Make, Operation, Options, TypingRule
from .typing_rules import check_count, kind_of


def sizes_of(options: Options) -> tuple[Dim, ...]:
    """The dimensions among the arguments."""
    sizes = options.get("sizes", ())
    assert isinstance(sizes, tuple)
    return tuple(Dim.of(size) for size in sizes)


def filled(name: str, build: Callable[[Shape], Node]) -> TypingRule:
    """The rule of an array of the sizes given: one size makes a column."""

    def rule(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:
        check_count(context, name, types, 0)
        sizes = sizes_of(options)
        return kind_of(sizes), lambda _nodes: build(tuple(context.resolve(dim) for dim in sizes))

    return rule


def identity_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:
    """One size, or two that are equal."""
    check_count(context, "I", types, 0)
    sizes = sizes_of(options)
    if len(sizes) not in (1, 2):
        context.fail(f"I takes 1 size, not {len(sizes)}", "write I(n); in I alone the size is inferred")
    if len(sizes) == 2:
        context.unify(sizes[0], sizes[1])
    return matrix(sizes[0], sizes[0]), lambda _nodes: delta(context.resolve(sizes[0]))


def unit_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:
    """``e(i, n)``: entry i is 1."""
    check_count(context, "e", types, 0)
    sizes = sizes_of(options)
    if len(sizes) != 2:
        context.fail(f"e takes a place and a size, not {len(sizes)} of them", "e(i, n) has a 1 at place i of n")
    place, size = sizes
    if place.constant is not None and (
        place.constant < 1 or (size.constant is not None and place.constant > size.constant)
    ):
        context.fail(f"there is no place {place} in a vector of length {size}", "places count from 1")
    return column(size), lambda _nodes: Structure("unit", context.resolve(place), context.resolve(size))


def named(kind: str) -> TypingRule:
    """The rule of a number with a name."""

    def rule(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
        check_count(context, kind, types, 0)
        return SCALAR, lambda _nodes: Structure(kind)

    return rule


def constant_tensor(kind: str, count: int) -> TypingRule:
    """The rule of a constant tensor known by its kind and ``count`` sizes."""

    def rule(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:
        check_count(context, kind, types, 0)
        sizes = sizes_of(options)
        if len(sizes) != count:
            context.fail(
                f"this tensor takes {count} size{'s' * (count != 1)}, not {len(sizes)}",
                f"it is written with {', '.join('mnp'[:count]) or 'empty brackets'}",
            )
        shape = Structure(kind, *sizes).shape
        return kind_of(shape), lambda _nodes: Structure(kind, *(context.resolve(dim) for dim in sizes))

    return rule


STRUCTURE: tuple[Operation, ...] = (
    Operation(
        "I",
        "expression",
        "Identity matrix; its size is inferred unless given: I(n).",
        aliases=("eye",),
        typing=identity_typing,
        size_arguments="all",
        latex="I",
        gives=("spd", "diagonal", "orthogonal"),
    ),
    Operation(
        "ones",
        "expression",
        "Array of ones: ones(n) is a column, ones(m, n) a matrix.",
        typing=filled("ones", ones),
        size_arguments="all",
        latex=r"\mathbf{1}",
        gives=("positive",),
    ),
    Operation(
        "zeros",
        "expression",
        "Array of zeros: zeros(n) is a column, zeros(m, n) a matrix.",
        typing=filled("zeros", zeros),
        size_arguments="all",
        latex=r"\mathbf{0}",
        gives=("nonnegative",),
    ),
    Operation(
        "vector",
        "expression",
        "Column of one number, vector(1) is all ones; its length is inferred.",
        latex=r"\operatorname{vector}",
    ),
    Operation(
        "matrix",
        "expression",
        "Matrix of one number, matrix(1) is all ones; its sizes are inferred.",
        latex=r"\operatorname{matrix}",
    ),
    Operation(
        "e",
        "expression",
        "Unit vector e(i, n) with a 1 at place i; alone, Euler's number.",
        typing=unit_typing,
        size_arguments="all",
        latex="e",
    ),
    Operation("pi", "expression", "The number pi.", typing=named("pi"), latex=r"\pi", gives=("positive",)),
    Operation("inf", "expression", "Infinity.", typing=named("inf"), latex=r"\infty", gives=("positive",)),
    Operation(
        "vec_tensor",
        "expression",
        "Tensor V of shape (m n, m, n) with vec(X)_r = V_rij X_ij: the derivative of vec.",
        typing=constant_tensor("pair", 2),
        size_arguments="all",
        latex=r"\operatorname{vec\_tensor}",
        gives=("nonnegative",),
    ),
    Operation(
        "vech_tensor",
        "expression",
        "Tensor of shape (n (n+1)/2, n, n) with vech(X)_r = V_rij X_ij.",
        typing=constant_tensor("halfpair", 1),
        size_arguments="all",
        latex=r"\operatorname{vech\_tensor}",
        gives=("nonnegative",),
    ),
    Operation(
        "levi_civita",
        "expression",
        "Sign of the permutation (i, j, k) of (1, 2, 3); cross(a, b)_i = E_ijk a_j b_k.",
        typing=constant_tensor("levicivita", 0),
        size_arguments="all",
        latex=r"\varepsilon",
    ),
)
