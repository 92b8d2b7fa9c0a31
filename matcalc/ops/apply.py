"""Maps and calls by name: nodes with the right shape and with what is known of their value."""

from __future__ import annotations

from ..errors import UnknownName, UsageError
from ..expr.build import elementwise
from ..expr.nodes import Call, Map, Node, Parameter
from .record import Operation, TypingRule
from .registry import OPERATIONS
from .signature import apply_call
from .typing_rules import by_signature, entrywise


def operation(name: str) -> Operation:
    """The record of an operation, by name or alias.

    Raises
    ------
    UnknownName: when there is none.
    """
    record = OPERATIONS.get(name)
    if record is None:
        raise UnknownName(f"there is no operation {name}")
    return record


def map_(name: str, *args: Node) -> Node:
    """The entrywise function of operands of one shape; scalars are broadcast.

    Raises
    ------
    UsageError: when the operation is not a map or takes another number of operands.
    """
    record = operation(name)
    if record.kind != "map" or record.arity != len(args):
        raise UsageError(f"{name} is not an entrywise function of {len(args)} operands")
    return elementwise(record.name, *args)


def call(name: str, *args: Node, **parameters: Parameter) -> Call:
    """The call of an operation on the trailing axes of its operands.

    Parameters
    ----------
    parameters: such as ``core=2``: how many trailing axes are acted on.

    Raises
    ------
    UsageError: when the operation is not a call, or has no such parameter.
    ShapeError: when the operands do not fit its signature.
    """
    record = operation(name)
    if record.kind != "call":
        raise UsageError(f"{name} is not a call")
    return apply_call(record, args, parameters)


def typing_rule(record: Operation) -> TypingRule:
    """How an operation is typed and built: its own rule, else entrywise for maps and by signature for calls."""
    if record.typing is not None:
        return record.typing
    if record.kind == "map":
        return entrywise(record)
    if record.kind == "call":
        return by_signature(record)
    raise UsageError(f"{record.name} has no value of its own", hint=record.doc)


def is_map(node: Node, name: str) -> bool:
    """Whether a node is this entrywise function."""
    return isinstance(node, Map) and node.op == name
