"""Signatures of calls, ``"(n,n),(n)->(n)"``: the shape of a value and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from ..errors import ShapeError, UsageError
from ..expr.build import is_symmetric
from ..expr.dims import Dim, Shape
from ..expr.facts import FACTS, facts_of
from ..expr.nodes import Call, Node, Parameter
from .record import Operation

# What each property says besides itself.
IMPLIED: Mapping[str, tuple[str, ...]] = {
    "spd": ("psd", "symmetric"),
    "psd": ("symmetric",),
    "diagonal": ("symmetric", "lower", "upper"),
    "positive": ("nonnegative",),
}


@cache
def cores(signature: str) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """The core axes of the operands and of the value.

    >>> cores("(n,n),(n)->(n)")
    ((('n', 'n'), ('n',)), ('n',))
    """
    left, _, right = signature.partition("->")
    operands = [_names(part) for part in left.removeprefix("(").removesuffix(")").split("),(")]
    return tuple(operands), _names(right.strip("()"))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def shorter(m: Dim, n: Dim) -> Dim:
    """The smaller of two dimensions; of two names it is a size of its own, called ``min(m, n)``.

    >>> str(shorter(Dim.of(3), Dim.of(5))), str(shorter(Dim.of("m"), Dim.of("n")))
    ('3', 'min(m, n)')
    """
    if m == n:
        return m
    if m.constant is not None and n.constant is not None:
        return Dim.of(min(m.constant, n.constant))
    difference = m - n
    if difference.constant is not None:
        return n if difference.constant > 0 else m
    first, second = sorted((m.key, n.key))
    return Dim.of(f"min({first}, {second})")


def value_core(names: Sequence[str], sizes: Mapping[str, Dim]) -> Shape:
    """The core axes of the value; ``min`` is the smaller of m and n."""
    return tuple(shorter(sizes["m"], sizes["n"]) if name == "min" else sizes[name] for name in names)


def apply_call(operation: Operation, args: Sequence[Node], parameters: Mapping[str, Parameter] | None = None) -> Call:
    """The call of an operation on operands that have the same batch axes in front.

    Parameters
    ----------
    parameters: those that differ from the defaults of the record, such as ``core``.
    """
    given = dict(operation.parameters)
    for name, value in (parameters or {}).items():
        if name not in given:
            raise UsageError(f"{operation.name} has no parameter {name}", hint=f"it has: {', '.join(given) or 'none'}")
        given[name] = value
    shape = value_shape(operation, args, given)
    return Call(operation.name, tuple(args), shape, tuple(sorted(given.items())), value_properties(operation, args))


def value_shape(operation: Operation, args: Sequence[Node], parameters: Mapping[str, Parameter]) -> Shape:
    """The shape of the value of a call."""
    operands, value = cores(operation.signature)
    if len(operands) != len(args):
        raise UsageError(f"{operation.name} takes {len(operands)} operands, not {len(args)}")
    if operands == (("...",),):
        shape = args[0].shape
        core = int(parameters.get("core", 1))
        batch, block = shape[: len(shape) - core], shape[len(shape) - core :]
        return batch + block * len(value)
    sizes: dict[str, Dim] = {}
    batch = args[0].shape[: args[0].order - len(operands[0])]
    for names, arg in zip(operands, args, strict=True):
        lead = arg.order - len(names)
        if lead < 0 or arg.shape[:lead] != batch:
            raise ShapeError(f"{operation.name} does not take an operand of order {arg.order} here")
        for name, dim in zip(names, arg.shape[lead:], strict=True):
            if sizes.setdefault(name, dim) != dim:
                raise ShapeError(f"{operation.name} takes {name} = {sizes[name]}, not {dim}")
    return batch + value_core(value, sizes)


def value_properties(operation: Operation, args: Sequence[Node]) -> frozenset[str]:
    """What is known of the value of a call: what it gives, and what all its operands with axes have and it keeps."""
    found = set(operation.gives)
    if operation.keeps or operation.turns:
        operands = cores(operation.signature)[0]
        counted = [arg for arg, names in zip(args, operands, strict=True) if names]
        shared = -1
        for arg in counted:
            shared &= _known(arg)
        found |= {name for name in operation.keeps if shared & FACTS[name]}
        for given, more in operation.turns.items():
            if shared & FACTS[given]:
                found |= set(more)
    return closure(found)


def _known(node: Node) -> int:
    facts = facts_of(node)
    return facts | FACTS["symmetric"] if is_symmetric(node) else facts


def closure(properties: set[str]) -> frozenset[str]:
    """The properties with all that they imply."""
    found: set[str] = set()
    stack = sorted(properties)
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack.extend(IMPLIED.get(name, ()))
    return frozenset(found)
