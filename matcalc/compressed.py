"""Compiled functions whose value is a derivative kept compressed, as an operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .derivation import Attached
from .errors import ShapeError, UsageError
from .expr.facts import is_definite
from .expr.nodes import Node
from .functions import Function, Request, add_hint, program_arguments
from .limits import bounded
from .lower.compress import Arrangement, Kept, arrange, compress, structure_text
from .lower.compress import choose as chosen_ways
from .lower.function import Compiled, Measured, compile_function
from .lower.networks import Array, Network
from .operators import DerivativeOperator
from .structure import SPACES, properties_of

Choice = tuple[tuple[int, ...], ...]
"""For each derivative, how its components are kept."""


class _Variant(NamedTuple):
    """The arrangement of each derivative, over the results of one compiled function."""

    compiled: Compiled
    arrangements: tuple[Arrangement, ...]
    places: tuple[tuple[int, ...], ...]


class OperatorFunction(Function):
    """A compiled function whose results are of the type `DerivativeOperator`; else as `Function`.

    >>> import matcalc as mc
    >>> f = mc.hessian("||M .* (X - U V^T)||_F^2", "U", form="operator")
    >>> f.structure
    'block diagonal: m blocks of p × p'
    """

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        with Attached(self.function), bounded(self.limits):
            pairs = zip(self._plan.shown, self._leads, strict=True)
            self._blocks = tuple([compress(node, lead) for node, lead in pairs])
        # replaced, never changed, so that threads need no lock
        self._variants: dict[Choice, _Variant] = {}

    @property
    def _pairs(self) -> list[tuple[str, ...]]:
        """The variables of each derivative."""
        names = self.request.wrt
        if self.request.kind == "hessian":
            return [(first, second) for first in names for second in names]
        return [(name,) for name in names]

    @property
    def _leads(self) -> list[int]:
        """The number of output axes of each derivative."""
        if self.request.kind == "jacobian":
            return [self.function.node.order] * len(self.request.wrt)
        symbols = self.function.meaning.symbols
        vech = self.request.structure == "vech"
        return [1 if vech else len(symbols[first].type.shape) for first, _ in self._pairs]

    @property
    def compiled(self) -> Compiled:
        """The compiled code of the components where every one of them is contracted."""
        return self._variant(tuple([(0,) * sum(len(s.components) for s in b.summands) for b in self._blocks])).compiled

    @property
    def structure(self) -> Any:
        """What structure the derivative has, in the names of the sizes; a tuple for several names."""
        return self._each([structure_text(block) for block in self._blocks])

    def __call__(self, *directions: Any, **arrays: Any) -> Any:
        """The operator for some arrays; errors are those of `Function`."""
        if directions:
            arrays = self._with_directions(directions, arrays)
        try:
            measured = self.compiled.measured(arrays)
            variant = self._variant(tuple([chosen_ways(block, measured.sizes) for block in self._blocks]))
            results = variant.compiled(**arrays)
        except (ShapeError, UsageError) as error:
            add_hint(error, self.function, self.compiled, arrays)
            raise
        operators = self._operators(variant, [_read_only(result) for result in results], measured)
        if self.request.single:
            return operators[0]
        width = len(self.request.wrt)
        if self.request.kind == "jacobian":
            return tuple(operators)
        return tuple([tuple(operators[row * width : (row + 1) * width]) for row in range(width)])

    def _variant(self, choice: Choice) -> _Variant:
        """The compiled function of a choice, made once unless two threads race, which is harmless."""
        known = self._variants.get(choice)
        if known is not None:
            return known
        arrangements = tuple([arrange(block, ways) for block, ways in zip(self._blocks, choice, strict=True)])
        nodes: dict[Node, int] = {}
        places = tuple([tuple([nodes.setdefault(n, len(nodes)) for n in a.nodes]) for a in arrangements])
        arguments = program_arguments(self.function, self._plan.outputs)
        with Attached(self.function), bounded(self.limits):
            variant = _Variant(
                compile_function(tuple(nodes), arguments, backend=self.request.backend), arrangements, places
            )
        self._variants = {**self._variants, choice: variant}
        return variant

    def _operators(self, variant: _Variant, arrays: Sequence[Array], measured: Measured) -> list[DerivativeOperator]:
        """The operators over computed arrays."""
        made = []
        for block, arrangement, places, names in zip(
            self._blocks, variant.arrangements, variant.places, self._pairs, strict=True
        ):
            shape = measured.shape(block.node.shape)
            rows, columns = measured.shape(arrangement.rows), measured.shape(arrangement.columns)
            own = [arrays[place] for place in places]
            made.append(
                DerivativeOperator(
                    f"{self.request.kind.capitalize()} by {' and '.join(dict.fromkeys(names))}",
                    shape[: block.lead],
                    shape[block.lead :],
                    rows,
                    columns,
                    tuple([_network(term, own, (*rows, *columns)) for term in arrangement.terms]),
                    measured.dtype,
                    self.request.kind == "hessian" and len(set(names)) == 1 and is_definite(block.node),
                    self._singular(names[-1]),
                )
            )
        return made

    def _singular(self, name: str) -> str:
        """Why a derivative by a variable has no inverse; empty where it may have one."""
        spaces = sorted({SPACES[word] for word in properties_of(self.function, name) if word in SPACES})
        if not spaces or self.request.structure not in (None, "respect"):
            return ""
        return f"the derivative within {' and '.join(spaces)} matrices has no inverse on all matrices"


def function_of(request: Request) -> Function:
    """The compiled function of a request, in the form that it asks for."""
    return OperatorFunction(request) if request.form == "operator" else Function(request)


def _network(term: Kept, arrays: Sequence[Array], shape: tuple[int, ...]) -> Network:
    """A term over computed arrays; ``shape`` has the lengths of its rows and columns."""
    parts = tuple([(arrays[place], labels) for place, labels in term.parts])
    lengths = dict(zip((*term.rows, *term.columns), shape, strict=True))
    for array, labels in parts:
        lengths.update(zip(labels, array.shape, strict=True))
    return Network(float(term.number), term.rows, term.columns, parts, lengths)


def _read_only(result: Any) -> Array:
    # many small matrix products are fast where each matrix lies in one piece
    array = np.ascontiguousarray(result).reshape(np.shape(result))
    array.flags.writeable = False
    return array
