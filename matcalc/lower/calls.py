"""The NumPy form of an operation, as a template for its operands."""

from __future__ import annotations

from ..errors import Unsupported
from ..expr.nodes import Call, Map
from ..ops.registry import OPERATIONS


def template_of(node: Map | Call) -> str:
    """The NumPy expression of a map or call, with ``{0}``, ``{1}`` … for the operands.

    Raises
    ------
    Unsupported: the operation has no NumPy form.
    """
    form = OPERATIONS[node.op].numpy
    places = [f"{{{k}}}" for k in range(len(node.args))]
    text = form if isinstance(form, str) else form(node, places)
    if not text:
        raise Unsupported(
            f"{node.op} has no NumPy form, so it cannot be evaluated", hint="the formula can be printed all the same"
        )
    return text
