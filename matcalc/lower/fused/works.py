"""What a statement computes, entry by entry: a domain of one or two axes, what is read there, what is summed.

A matrix product with a vector, a sum over rows, a softmax: each is a text for one entry over a domain and, where some
of the axes of the domain are not axes of the value, a sum or a largest entry over those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...expr.dims import Dim, Shape
from ..elementary import UNIT
from ..program import Literal, Operand, Program, Statement
from .expressions import body_of

AXES = 2
"""Loops are over so many axes at most."""


class Read(NamedTuple):
    """An entry of a value: for each of its axes, the axis of the domain that runs along it."""

    value: int
    labels: tuple[int, ...]


Input = Read | Literal | Dim

SUM, LARGEST, SMALLEST = "sum", "largest", "smallest"
REDUCTIONS: Mapping[str, str] = {"np.add": SUM, "np.maximum": LARGEST, "np.minimum": SMALLEST}


class Work(NamedTuple):
    """One value: ``body`` over the ``domain``, with ``kind`` over the ``reduced`` axes; both axes of a matrix product.

    ``kind`` is ``map`` where nothing is reduced, and ``product`` for the product of two small matrices, which is not
    part of a loop. ``times`` says that the body is a matrix times a vector.
    """

    target: int
    kind: str
    domain: tuple[Dim, ...]
    body: str
    inputs: tuple[Input, ...]
    reduced: tuple[int, ...] = ()
    times: bool = False

    @property
    def shape(self) -> tuple[Dim, ...]:
        """The lengths of the axes of the value."""
        return tuple(dim for axis, dim in enumerate(self.domain) if axis not in self.reduced)

    @property
    def reads(self) -> list[Read]:
        """What is read of other values."""
        return [given for given in self.inputs if isinstance(given, Read)]


def squeezed(shape: Shape) -> tuple[Dim, ...]:
    """A shape without axes of length 1."""
    return tuple(dim for dim in shape if dim != UNIT)


class Values:
    """The shapes of all values, and for those that are other values seen in another way, what they are."""

    def __init__(self, program: Program) -> None:
        self.shapes: dict[int, Shape] = {k: argument.shape for k, argument in enumerate(program.arguments)}
        self.shapes.update((statement.target, statement.shape) for statement in program.statements)
        self.views: dict[int, Read] = {}
        for statement in program.statements:
            view = self._view(statement)
            if view is not None:
                self.views[statement.target] = view

    def shape(self, operand: Operand) -> Shape:
        return self.shapes[operand] if isinstance(operand, int) else ()

    def _view(self, statement: Statement) -> Read | None:
        if not statement.operands or not isinstance(statement.operands[0], int):
            return None
        (operand, *_) = statement.operands
        assert isinstance(operand, int)
        before, after = self.shapes[operand], statement.shape
        match statement.operation:
            case "transpose":
                places = {axis: place for place, axis in enumerate(_kept(after))}
                turned = {int(axis): place for place, axis in enumerate(statement.parameters)}  # type: ignore[arg-type]
                labels = tuple(places[turned[axis]] for axis in _kept(before))
            case "expand" | "first_column":
                labels = tuple(range(len(squeezed(before))))
            case "reshape" if squeezed(before) == squeezed(after):
                labels = tuple(range(len(squeezed(before))))
            case "diagonal" if len(before) == 2 and len(squeezed(after)) == 1:
                labels = (0, 0)
            case _:
                return None
        return self.read(operand, labels)

    def read(self, value: int, labels: Sequence[int]) -> Read:
        """An entry of a value, where for each of its axes longer than 1 an axis of the domain is given."""
        view = self.views.get(value)
        return Read(value, tuple(labels)) if view is None else Read(view.value, tuple(labels[k] for k in view.labels))

    def aligned(self, operand: Operand, shape: Shape) -> Input:
        """What is read of an operand that is expanded to a shape, the last axes side by side."""
        if not isinstance(operand, int):
            return operand
        own = self.shapes[operand]
        axes = {axis: place for place, axis in enumerate(_kept(shape))}
        skipped = len(shape) - len(own)
        return self.read(operand, [axes[axis + skipped] for axis in _kept(own)])


def _kept(shape: Shape) -> list[int]:
    return [axis for axis, dim in enumerate(shape) if dim != UNIT]


def work_of(statement: Statement, values: Values, *, small: bool) -> Work | None:
    """What a statement computes, or None where it is left to NumPy.

    Parameters
    ----------
    small: whether the arrays are so small that no product is worth a call of BLAS, and the order of axes in memory
        does not matter.
    """
    found = _found(statement, values)
    if found is None:
        return None
    if found.kind == "product":
        return found if small else None
    if len(found.domain) > AXES:
        return None
    found = _by_rows(found)
    if found.times and sorted(read.labels for read in found.reads) != sorted([(0, 1), found.reduced]):
        found = found._replace(times=False)
    orders = [len(squeezed(values.shapes[read.value])) for read in found.reads]
    if any(order > AXES for order in orders):
        return None
    scattered = any(len(read.labels) == 2 and read.labels != (0, 1) for read in found.reads)
    return None if scattered and not small else found


def _found(statement: Statement, values: Values) -> Work | None:
    target, shape = statement.target, statement.shape
    match statement.operation:
        case "matmul":
            return _product(statement, values)
        case "inner":
            return _reduced(target, SUM, statement.operands, "({0} * {1})", None, values)
        case "sum":
            return _reduced(target, SUM, statement.operands, "{0}", statement.parameters or None, values)
        case "reduce":
            kind = REDUCTIONS.get(str(statement.parameters[0]))
            last = len(values.shape(statement.operands[0])) - 1
            return None if kind is None else _reduced(target, kind, statement.operands, "{0}", (last,), values)
    body = body_of(statement)
    if body is None:
        return None
    inputs = tuple(values.aligned(operand, shape) for operand in statement.operands)
    return Work(target, "map", squeezed(shape), body, inputs)


def _reduced(
    target: int, kind: str, operands: Sequence[Operand], body: str, axes: Sequence[object] | None, values: Values
) -> Work | None:
    shape = values.shape(operands[0])
    if any(values.shape(operand) != shape for operand in operands) or not squeezed(shape):
        return None
    kept = _kept(shape)
    reduced = tuple(place for place, axis in enumerate(kept) if axes is None or axis in axes)
    inputs = tuple(values.aligned(operand, shape) for operand in operands)
    if not reduced:
        return Work(target, "map", squeezed(shape), body, inputs)
    return Work(target, kind, squeezed(shape), body, inputs, reduced)


def _product(statement: Statement, values: Values) -> Work | None:
    """A product of matrices and vectors; axes of length 1 are none."""
    left, right = statement.operands
    first, second = values.shape(left), values.shape(right)
    if not (isinstance(left, int) and isinstance(right, int)) or len(first) not in (1, 2) or len(second) not in (1, 2):
        return None
    # the rows of the left factor are axis 0, what is summed is axis 1, the columns of the right factor are axis 2
    axes = ((0, 1)[2 - len(first) :], (1, 2)[: len(second)])
    lengths = dict(zip((*axes[0], *axes[1]), (*first, *second), strict=True))
    domain = [axis for axis in sorted(lengths) if lengths[axis] != UNIT]
    labels = [[domain.index(axis) for axis in own if lengths[axis] != UNIT] for own in axes]
    inputs = tuple(values.read(operand, own) for operand, own in zip((left, right), labels, strict=True))
    sizes = tuple(lengths[axis] for axis in domain)
    if len(domain) == 3:
        return Work(statement.target, "product", sizes, "", inputs, (1,))
    reduced = tuple(place for place, axis in enumerate(domain) if axis == 1)
    return Work(statement.target, SUM if reduced else "map", sizes, "({0} * {1})", inputs, reduced, bool(reduced))


def _by_rows(work: Work) -> Work:
    """A work whose value does not say which axis comes first, in the order of what it reads."""
    matrices = [read.labels for read in work.reads if len(read.labels) == 2]
    if len(work.shape) > 1 or not matrices or any(labels != (1, 0) for labels in matrices):
        return work
    inputs = tuple(
        given._replace(labels=tuple(1 - label for label in given.labels)) if isinstance(given, Read) else given
        for given in work.inputs
    )
    return work._replace(domain=work.domain[::-1], inputs=inputs, reduced=tuple(1 - axis for axis in work.reduced))
