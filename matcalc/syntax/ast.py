"""The abstract syntax tree: what was written, with a span on every node.

The parser builds it, elaboration gives it a meaning, the way back from the engine
builds it again and the printers write it. It knows no shapes and no functions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from ..errors import Span

NOWHERE = Span(0, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Ast:
    """Any piece of syntax."""

    span: Span = field(default=NOWHERE, kw_only=True)


# --- expressions ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Num(Ast):
    """A number, exact (``0.1`` is 1/10); ``text`` is how it was written."""

    value: Fraction
    text: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Name(Ast):
    """A name in canonical spelling: Greek letters by name (``λ`` is ``lambda``), ``W_{1}`` is ``W_1``.

    ``x_i`` stays one name ``x_i``; elaboration decides whether it is an element of ``x``.
    """

    id: str


@dataclass(frozen=True, slots=True, eq=False)
class Str(Ast):
    """A quoted string (only as the first argument of ``einsum``)."""

    value: str


@dataclass(frozen=True, slots=True, eq=False)
class Add(Ast):
    """A flat sum of signed terms, signs are +1 or -1; ``-x`` is ``Add(((-1, x),))``."""

    terms: tuple[tuple[int, Ast], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Binary(Ast):
    """A product-level operator, a power or a comparison.

    ``op`` is one of ``* .* / ./ \\ kron ^ .^ < <= > >= == !=``. ``*`` is also ``@`` and juxtaposition
    (``juxtaposed`` tells), ``dot`` is the centred dot ``·``; ``**`` is ``^``. A transpose is `Transpose`; ``^-1`` is an
    ordinary power.
    """

    op: str
    left: Ast
    right: Ast
    juxtaposed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Transpose(Ast):
    """``A^T``, ``A'``, ``A.T``, ``Aᵀ``; ``A^-T`` is ``Transpose(Binary("^", A, -1))``."""

    arg: Ast


@dataclass(frozen=True, slots=True, eq=False)
class Call(Ast):
    """``f(a, b, key=value)``; the name is resolved by elaboration, not by the grammar."""

    func: str
    args: tuple[Ast, ...]
    kwargs: tuple[tuple[str, Ast], ...] = ()
    func_span: Span = field(default=NOWHERE, kw_only=True)


@dataclass(frozen=True, slots=True, eq=False)
class Norm(Ast):
    """``||x||_kind`` with kind one of ``"" 2 1 inf F *``."""

    kind: str
    arg: Ast


@dataclass(frozen=True, slots=True, eq=False)
class Bars(Ast):
    """``|x|``: absolute value, or the determinant of a square matrix.

    ``by_type`` is True in LaTeX, where ``|x|`` of a vector is its length.
    """

    arg: Ast
    by_type: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Range(Ast):
    """Inside an index: ``:`` (both ends None) or ``a:b`` (both ends included, counted from 1)."""

    start: Ast | None
    stop: Ast | None


@dataclass(frozen=True, slots=True, eq=False)
class Index(Ast):
    """``x[i]``, ``A[i, :]``, ``x_{i+1}``, ``A_{ij}``.

    ``subscript`` is True for the ``_{...}`` spelling. ``A_{ij}`` has the single item ``Name("ij")`` (elaboration
    splits it when ``i`` and ``j`` are bound), ``A_{12}`` the single item ``Num(12)``.
    """

    base: Ast
    items: tuple[Ast, ...]
    subscript: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class IndexSum(Ast):
    """``sum_{i=1}^{N} body``, ``sum_{i,j} body``, ``prod_{i=1}^{n} body``; ``kind`` is ``sum`` or ``prod``."""

    kind: str
    indices: tuple[str, ...]
    lower: Ast | None
    upper: Ast | None
    body: Ast


@dataclass(frozen=True, slots=True, eq=False)
class Block(Ast):
    """``[A, B; C, D]``: rows of blocks."""

    rows: tuple[tuple[Ast, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Group(Ast):
    """Brackets for the reader's sake, where the grammar needs none; printers write it, the parser never builds it."""

    arg: Ast


# --- statements ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class TypeExpr(Ast):
    """A declared type: ``kind`` is ``scalar vector matrix tensor``, dims are expressions over names and integers."""

    kind: str
    dims: tuple[Ast, ...]
    properties: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Declare(Ast):
    """``A, B: matrix(m, n) symmetric``."""

    names: tuple[Name, ...]
    type: TypeExpr


@dataclass(frozen=True, slots=True, eq=False)
class Assign(Ast):
    """``r = A x - y``; with ``indices``, ``D_{ij} = ...`` defines an array entry by entry."""

    target: Name
    value: Ast
    indices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Define(Ast):
    """``f(x, y) = ...``."""

    name: Name
    params: tuple[Name, ...]
    body: Ast


@dataclass(frozen=True, slots=True, eq=False)
class Output(Ast):
    """A bare expression statement."""

    value: Ast


@dataclass(frozen=True, slots=True, eq=False)
class Request(Ast):
    r"""The derivative that LaTeX asks for: ``\frac{\partial E}{\partial x} = answer``, ``\nabla_x E``.

    ``wrt`` has one name for each order and is empty where none is written (``\nabla E``, whose ``order`` is 1);
    ``claim`` is what stands behind the equals sign.
    """

    wrt: tuple[str, ...]
    order: int = 1
    claim: Ast | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Program(Ast):
    """The statements of a program, in order, with its text.

    With a ``request``, the output is what is to be differentiated. ``notes`` say how the text was read.
    """

    statements: tuple[Ast, ...]
    source: str = ""
    request: Request | None = None
    notes: tuple[str, ...] = ()
