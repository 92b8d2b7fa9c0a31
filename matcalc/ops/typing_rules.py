"""The typing rules that several operations share: entrywise, by signature, and for expressions of one operand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from ..expr.build import broadcast, number
from ..expr.dims import Dim, Shape
from ..expr.nodes import Map, Node
from ..expr.typed import SCALAR, Type, Typing
from .record import Make, Operation, Options, TypingRule
from .signature import apply_call, cores, value_core

Build = Callable[..., Node]

CORE_LETTERS = "ijklmnopqrstuv"


def letters(count: int) -> str:
    """Labels for so many axes.

    >>> letters(3)
    'ijk'
    """
    return CORE_LETTERS[:count]


def kind_of(shape: Shape) -> Type:
    """The type of an array with no orientation of its own: a vector is a column."""
    match len(shape):
        case 0:
            return SCALAR
        case 1:
            return Type("column", shape)
        case 2:
            return Type("matrix", shape)
    return Type("tensor", shape)


def described(context: Typing, given: Type) -> str:
    """``a column of length n``, ``a matrix (m, n)``."""
    if given.kind == "scalar":
        return "a scalar"
    sizes = [str(context.resolve(dim)) for dim in given.shape]
    if given.kind in ("column", "row"):
        return f"a {given.kind} of length {sizes[0]}"
    return f"a {given.kind} ({', '.join(sizes)})"


def check_count(context: Typing, name: str, types: Sequence[Type], least: int, most: int | None = None) -> None:
    """Fail unless the number of operands is right."""
    most = least if most is None else most
    if least <= len(types) <= most:
        return
    wanted = str(least) if least == most else f"{least} to {most}"
    example = f"{name}({', '.join('xyzuvw'[:least])})" if least else f"{name}()"
    context.fail(f"{name} takes {wanted} argument{'' if most == 1 else 's'}, not {len(types)}", f"write {example}")


def trailing(node: Node, given: Type) -> tuple[Shape, Shape]:
    """The batch axes and the axes of the type itself."""
    cut = node.order - len(given.shape)
    return node.shape[:cut], node.shape[cut:]


def batch_order(nodes: Sequence[Node], types: Sequence[Type]) -> int:
    """How many batch axes the operands carry in front."""
    return max((node.order - len(given.shape) for node, given in zip(nodes, types, strict=True)), default=0)


# --- entrywise -----------------------------------------------------------------------------------


def broadcast_types(
    context: Typing, types: Sequence[Type], name: str = "this operation"
) -> tuple[Type, tuple[tuple[int, ...], ...]]:
    """The common type of operands that meet entrywise, and the axis of it that each operand axis is.

    A scalar expands over an array, a row over the rows of a matrix, a column over its columns.
    """
    kinds = {given.kind for given in types}
    if "tensor" in kinds:
        return _broadcast_tensors(context, types, name)
    if "matrix" in kinds:
        result = next(given for given in types if given.kind == "matrix")
        places: list[tuple[int, ...]] = []
        for given in types:
            axes = {"scalar": (), "column": (0,), "row": (1,)}.get(given.kind, (0, 1))
            for axis, dim in zip(axes, given.shape, strict=True):
                context.unify(result.shape[axis], dim)
            places.append(axes)
        return result, tuple(places)
    if {"column", "row"} <= kinds:
        one = next(given for given in types if given.kind == "column")
        other = next(given for given in types if given.kind == "row")
        context.fail(
            f"{name} does not combine {described(context, one)} with {described(context, other)}",
            "transpose one of them; x y^T is the outer product",
        )
    result = next((given for given in types if given.kind != "scalar"), SCALAR)
    for given in types:
        if given.shape:
            context.unify(result.shape[0], given.shape[0])
    return result, tuple(tuple(range(len(given.shape))) for given in types)


def _broadcast_tensors(context: Typing, types: Sequence[Type], name: str) -> tuple[Type, tuple[tuple[int, ...], ...]]:
    result = next(given for given in types if given.kind == "tensor")
    for given in types:
        if given.kind == "scalar":
            continue
        if len(given.shape) != len(result.shape):
            context.fail(f"{name} does not combine {described(context, result)} with {described(context, given)}")
        for left, right in zip(result.shape, given.shape, strict=True):
            context.unify(left, right)
    return result, tuple(tuple(range(len(given.shape))) for given in types)


def wide_shape(nodes: Sequence[Node], axes: Sequence[tuple[int, ...]], order: int, batch: int) -> Shape:
    """The shape of the value of an entrywise operation, from its operands."""
    sizes: dict[int, Dim] = {}
    for node, places in zip(nodes, axes, strict=True):
        lead = node.order - len(places)
        sizes.update(enumerate(node.shape[:lead]))
        sizes.update((batch + place, dim) for place, dim in zip(places, node.shape[lead:], strict=True))
    return tuple(sizes[position] for position in range(batch + order))


def make_map(name: str, types: Sequence[Type], axes: Sequence[tuple[int, ...]], order: int) -> Make:
    """Build the map of operands that stand at the given axes of the value."""

    def make(nodes: Sequence[Node]) -> Node:
        batch = batch_order(nodes, types)
        shape = wide_shape(nodes, axes, order, batch)
        places = tuple(
            (*range(node.order - len(own)), *(batch + axis for axis in own))
            for node, own in zip(nodes, axes, strict=True)
        )
        return Map(name, tuple(nodes), places, shape)

    return make


def entrywise(operation: Operation) -> TypingRule:
    """The rule of a map: its operands are broadcast against each other."""

    def rule(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
        check_count(context, operation.name, types, operation.arity)
        result, axes = broadcast_types(context, types, operation.name)
        return result, make_map(operation.name, types, axes, len(result.shape))

    return rule


def with_default(name: str, value: Fraction) -> TypingRule:
    """The rule of a map of two operands whose second one has a default value."""

    def rule(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
        check_count(context, name, types, 1, 2)
        if len(types) == 2:
            result, axes = broadcast_types(context, types, name)
            return result, make_map(name, types, axes, len(result.shape))
        result = types[0]

        def make(nodes: Sequence[Node]) -> Node:
            (node,) = nodes
            return Map(name, (node, number(value)), (tuple(range(node.order)), ()), node.shape)

        return result, make

    return rule


# --- by signature --------------------------------------------------------------------------------


def by_signature(operation: Operation) -> TypingRule:
    """The rule that a signature says: ``(n)`` takes a column or a row, ``(m,n)`` a matrix, ``()`` a scalar.

    A tensor is a stack: its axes in front of those of the signature are the same for every stacked operand.
    """
    operands, value = cores(operation.signature)

    def rule(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
        check_count(context, operation.name, types, len(operands))
        sizes: dict[str, Dim] = {}
        stack: Shape = ()
        cores_of: list[Type] = []
        for names, given in zip(operands, types, strict=True):
            extra = len(given.shape) - len(names) if given.kind == "tensor" else 0
            if extra > 0:
                stack = _same_stack(context, operation.name, stack, given.shape[:extra])
                given = kind_of(given.shape[extra:])
            match_core(context, operation.name, names, given, sizes)
            cores_of.append(given)
        resolved = {name: context.resolve(dim) for name, dim in sizes.items()}
        result = kind_of(stack + value_core(value, resolved))

        def make(nodes: Sequence[Node]) -> Node:
            shape = tuple(context.resolve(dim) for dim in stack)
            stacked = [
                node if len(given.shape) > len(core.shape) else _stacked(node, shape, len(core.shape))
                for node, given, core in zip(nodes, types, cores_of, strict=True)
            ]
            return apply_call(operation, stacked)

        return result, make

    return rule


def _same_stack(context: Typing, name: str, known: Shape, found: Shape) -> Shape:
    """The axes in front of two stacked operands, unified."""
    if known and len(known) != len(found):
        context.fail(f"the operands of {name} are stacked along {len(known)} and {len(found)} axes")
    for left, right in zip(known, found, strict=False):
        context.unify(left, right)
    return found


def _stacked(node: Node, stack: Shape, core: int) -> Node:
    """An operand repeated along a stack: its core axes stay last."""
    if not stack:
        return node
    lead = node.order - core
    shape = node.shape[:lead] + stack + node.shape[lead:]
    return broadcast(node, shape, (*range(lead), *range(lead + len(stack), len(shape))))


WANTED: Mapping[int, str] = {0: "a scalar", 1: "a vector", 2: "a matrix"}


def match_core(context: Typing, name: str, names: Sequence[str], given: Type, sizes: dict[str, Dim]) -> None:
    """Unify the axes of an operand with the named axes of a signature."""
    if len(names) != len(given.shape):
        wanted = WANTED.get(len(names), f"a tensor of order {len(names)}")
        if len(names) == 2 and len(set(names)) == 1:
            wanted = "a square matrix"
        context.fail(f"{name} takes {wanted}, not {described(context, given)}")
    for axis, dim in zip(names, given.shape, strict=True):
        if axis in sizes:
            context.unify(sizes[axis], dim)
        else:
            sizes[axis] = dim


# --- expressions of one operand ------------------------------------------------------------------


def square(context: Typing, name: str, given: Type) -> Dim:
    """The size of a square matrix, else fail."""
    if given.kind != "matrix":
        context.fail(f"{name} takes a square matrix, not {described(context, given)}")
    context.unify(given.shape[0], given.shape[1])
    return given.shape[0]


def unary(name: str, build: Callable[[Node], Node]) -> TypingRule:
    """An entrywise expression: the value has the type of the operand."""

    def rule(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
        check_count(context, name, types, 1)
        return types[0], lambda nodes: build(nodes[0])

    return rule
