"""The table of all operations, by name and alias."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .elementwise import ELEMENTWISE
from .linalg import LINEAR_ALGEBRA
from .record import Operation
from .reductions import REDUCTIONS
from .structure import STRUCTURE

FAMILIES: Mapping[str, tuple[Operation, ...]] = MappingProxyType(
    {
        "elementwise": ELEMENTWISE,
        "reductions": REDUCTIONS,
        "linear algebra": LINEAR_ALGEBRA,
        "structure and constants": STRUCTURE,
    }
)


def _by_name() -> dict[str, Operation]:
    table: dict[str, Operation] = {}
    for family in FAMILIES.values():
        for operation in family:
            for name in (operation.name, *operation.aliases):
                if name in table:
                    raise AssertionError(f"two operations are called {name}")
                table[name] = operation
    return table


OPERATIONS: Mapping[str, Operation] = MappingProxyType(_by_name())
