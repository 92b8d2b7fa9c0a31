"""The record of an operation: everything there is to know about it, in one place.

Three kinds of operation exist. A *map* applies a scalar function entrywise and states its slopes. A *call* is neither
entrywise nor multilinear and states its differential. An *expression* is a name for something built from others
(``tr``, ``mean``, ``vec``) and states how to build it; it needs no derivative of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..expr.nodes import Call, Node, Parameter
from ..expr.typed import Type, Typing

Options = Mapping[str, object]
Make = Callable[[Sequence[Node]], Node]
Slope = Callable[..., Node]
Differential = Callable[[Call, int, Node], Node]
TypingRule = Callable[[Typing, Sequence[Type], Options], tuple[Type, Make]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the language.

    Parameters
    ----------
    name, aliases: what a person types.
    kind: ``map``, ``call`` or ``expression``.
    doc: one sentence.
    signature: for calls, the core shapes as in NumPy's generalised ufuncs, ``"(n,n)->()"``; ``(...)`` stands for the
        trailing axes that the parameter ``core`` counts, ``min`` for the smaller of m and n. Also the typing rule
        unless ``typing`` is given: an argument ``(n)`` takes a column (a row is accepted and read as a column),
        a result ``(n)`` is a column.
    arity: how many operands a map takes.
    slopes: for maps, one function ``slope(y, *args)`` per operand: the partial derivative, with ``y`` the value; every
        node has the shape of the value. Empty when there is no derivative.
    differential: for calls, ``differential(call, k, d)``: the differential of the value for the change ``d`` of
        operand k, as an expression linear in ``d``. Batch axes come first and are the same for all.
    pullback: for calls that are linear in operand k and cannot be written as a contraction, the adjoint:
        ``pullback(call, k, g)`` with ``g`` of the value's shape, of the operand's shape; ``NotImplemented`` for an
        operand in which the call is not linear.
    nondifferentiable: why there is no derivative.
    zero_derivative: why the derivative is zero almost everywhere (``piecewise constant``).
    typing: the typing rule of what the signature cannot say; also how an expression is built. ``typing(context,
        types, options)`` returns the type and ``make(nodes)``, which is called after unification with the operand
        nodes; these carry the same batch axes in front, so ``make`` works on trailing axes (``...``).
    options: the keyword arguments it takes, with their defaults.
    parameters: for calls, the parameters of the node with their defaults: ``core``, how many trailing axes it acts on.
    size_arguments: positions of arguments that are dimensions, not expressions; they reach ``typing`` as
        ``options["sizes"]``, a tuple of `Dim`. ``"all"`` for ``ones(m, n)``.
    numpy: the NumPy expression, a template with ``{0}``, ``{1}`` …, or a function ``(call or map, operand names) ->
        str``; the operands are names. Only ``np``, ``linalg`` (scipy.linalg), ``special`` (scipy.special) and the
        functions of ``matcalc.lower.runtime``, ``runtime_special`` and ``runtime_scipy`` may be named.
    latex: the head of a call, ``\\exp``; empty means ``\\operatorname{name}``.
    domain: where the value is defined, as text for conditions, with ``{0}`` for the operand: ``"{0} > 0"``; several
        conditions are separated by ``;``, empty is everywhere. What a derivative needs besides follows from the
        operations in it.
    kink: the value taken at kinks.
    sample: how test operands are drawn: ``real positive nonzero unit above_one mask order spd symmetric invertible``,
        one word per operand, or one for all.
    reference: author and equation number of the formula.
    keeps: facts of the operands that the value shares (``symmetric spd``), as `matcalc.expr.facts` names them.
    turns: what a fact of the operands makes of the value: ``{"skew": ("orthogonal",)}`` for the matrix exponential.
    gives: facts of the value in any case.
    """

    name: str
    kind: Literal["map", "call", "expression"]
    doc: str
    aliases: tuple[str, ...] = ()
    signature: str = ""
    arity: int = 1
    slopes: tuple[Slope, ...] = ()
    differential: Differential | None = None
    pullback: Differential | None = None
    nondifferentiable: str = ""
    zero_derivative: str = ""
    typing: TypingRule | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    size_arguments: tuple[int, ...] | Literal["all"] = ()
    numpy: str | Callable[[Node, Sequence[str]], str] = ""
    latex: str = ""
    domain: str = ""
    kink: str = ""
    sample: str = "real"
    reference: str = ""
    keeps: tuple[str, ...] = ()
    turns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gives: tuple[str, ...] = ()
