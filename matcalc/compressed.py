"""Compiled functions whose value is a derivative kept compressed, as an operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from .derivation import Attached
from .errors import ShapeError, UsageError
from .expr.facts import is_definite
from .expr.nodes import Node
from .functions import Function, Request, add_hint, program_arguments
from .limits import bounded
from .lower.compress import Arrangement, Compressed, Kept, arrange, compress, structure_text
from .lower.compress import choose as chosen_ways
from .lower.entry import arranged, entry
from .lower.function import SIGNATURES, Compiled, Measured, Signature, compile_function
from .lower.networks import Frame
from .operators import DerivativeOperator, Layout
from .structure import SPACES, properties_of

Choice = tuple[tuple[int, ...], ...]
"""For each derivative, how its components are kept."""


class _Variant(NamedTuple):
    """The arrangement of each derivative, over the results of one compiled function."""

    compiled: Compiled
    arrangements: tuple[Arrangement, ...]
    places: tuple[tuple[int, ...], ...]


class _Known(NamedTuple):
    """What a set of shapes means: the function that is run, and what makes operators of its results."""

    variant: _Variant
    made: Callable[..., Any]


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
        self._known: dict[Signature, _Known] = {}

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
        if self._compiled is None:
            contracted = tuple([(0,) * sum(len(s.components) for s in block.summands) for block in self._blocks])
            self._compiled = self._variant(contracted).compiled
        return self._compiled

    @property
    def structure(self) -> Any:
        """What structure the derivative has, in the names of the sizes; a tuple for several names."""
        return self._each([structure_text(block) for block in self._blocks])

    def _general(self, *directions: Any, **arrays: Any) -> Any:
        """The operator in the general way; calls like this one take the quick way from now on."""
        if directions:
            arrays = self._with_directions(directions, arrays)
        compiled = self.compiled
        try:
            known = self._at(compiled.signature(arrays), arrays)
            results, seen = known.variant.compiled.evaluate(arrays)
        except (ShapeError, UsageError) as error:
            add_hint(error, self.function, compiled, arrays)
            raise
        if seen is not None:
            self.__call__ = entry(seen, known.variant.compiled.surroundings, self._retry, known.made, 0)
        return known.made(*results)

    def _at(self, signature: Signature, arrays: Mapping[str, Any]) -> _Known:
        """What is decided by shapes and types alone, decided once for each of the last few sets of them."""
        known = self._known.get(signature)
        if known is not None:
            return known
        measured = self.compiled.measured(arrays)
        variant = self._variant(tuple([chosen_ways(block, measured.sizes) for block in self._blocks]))
        known = _Known(variant, self._maker(variant, measured))
        recent = list(self._known.items())[1 - SIGNATURES :]
        self._known = {**dict(recent), signature: known}
        return known

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

    def _maker(self, variant: _Variant, measured: Measured) -> Callable[..., Any]:
        """What makes operators of the results of a variant."""
        lengths = [measured.shape(shape) for shape in variant.compiled.result_shapes]
        layouts = [
            self._layout(block, arrangement, names, [lengths[place] for place in places], measured)
            for block, arrangement, places, names in zip(
                self._blocks, variant.arrangements, variant.places, self._pairs, strict=True
            )
        ]
        if self.request.single:
            return partial(DerivativeOperator, layouts[0])

        def made(*arrays: Any) -> Any:
            own = [[arrays[place] for place in places] for places in variant.places]
            operators = [DerivativeOperator(layout, *some) for layout, some in zip(layouts, own, strict=True)]
            return arranged(operators, self._form)

        return made

    def _layout(
        self,
        block: Compressed,
        arrangement: Arrangement,
        names: tuple[str, ...],
        shapes: Sequence[tuple[int, ...]],
        measured: Measured,
    ) -> Layout:
        """The layout of one derivative; ``shapes`` are those of its arrays."""
        shape = measured.shape(block.node.shape)
        rows, columns = measured.shape(arrangement.rows), measured.shape(arrangement.columns)
        return Layout(
            f"{self.request.kind.capitalize()} by {' and '.join(dict.fromkeys(names))}",
            shape[: block.lead],
            shape[block.lead :],
            rows,
            columns,
            tuple([_frame(term, shapes, (*rows, *columns)) for term in arrangement.terms]),
            measured.dtype,
            self.request.kind == "hessian" and len(set(names)) == 1 and is_definite(block.node),
            self._singular(names[-1]),
        )

    def _singular(self, name: str) -> str:
        """Why a derivative by a variable has no inverse; empty where it may have one."""
        spaces = sorted({SPACES[word] for word in properties_of(self.function, name) if word in SPACES})
        if not spaces or self.request.structure not in (None, "respect"):
            return ""
        return f"the derivative within {' and '.join(spaces)} matrices has no inverse on all matrices"


def function_of(request: Request) -> Function:
    """The compiled function of a request, in the form that it asks for."""
    return OperatorFunction(request) if request.form == "operator" else Function(request)


def _frame(term: Kept, shapes: Sequence[tuple[int, ...]], axes: tuple[int, ...]) -> Frame:
    """A term for arrays of some shapes; ``axes`` are the lengths of its rows and columns."""
    lengths = dict(zip((*term.rows, *term.columns), axes, strict=True))
    for place, labels in term.parts:
        lengths.update(zip(labels, shapes[place], strict=True))
    return Frame(float(term.number), term.rows, term.columns, term.parts, lengths)
