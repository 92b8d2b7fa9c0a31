"""The forms of one derivative by name, each as a program with its cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from ..errors import Unsupported, require_one_of
from ..expr.dims import Dim, Shape
from ..expr.nodes import Node, Variable, postorder
from ..notation.cost import operator_count
from ..notation.intermediates import name_intermediates
from ..notation.latex import latex_name, to_latex
from ..notation.matrices import KINDS, to_program
from ..notation.pieces import call, dimension, in_front, signed, times
from ..notation.precedence import walk
from ..notation.text import to_text
from ..notation.unicode import to_unicode, unicode_name
from ..syntax import ast
from .indices import entries
from .kronecker import kronecker
from .maps import applied, definition

#: Formulas with more nodes than this, written out, have no form without named intermediates.
LARGEST_WRITTEN = 3000
TYPES = ("scalar", "vector", "matrix")


@dataclass(frozen=True, slots=True)
class Subject:
    """A derivative whose forms are wanted.

    Parameters
    ----------
    node: the derivative, of shape S + T or S + T1 + T2, in a form to be read.
    orders: the numbers of axes of S, T1 and, for a second derivative, T2.
    wrt: the variable that was differentiated by last.
    order: the variables in the order in which the reader wrote them.
    taken: names that mean something in the program.
    written: digests of the sums that the reader wrote.
    definitions: intermediates that the reader named.
    rows, columns: the axes that are stacked into the rows and the columns of a matrix, the slowest first.
    stacking: ``column-major`` or ``row-major``.
    free: for a derivative by the distinct entries of symmetric matrices, the one by all entries; None for others.
    """

    node: Node
    orders: tuple[int, ...]
    wrt: str
    order: tuple[str, ...]
    taken: tuple[str, ...]
    written: frozenset[bytes]
    definitions: Mapping[str, Node]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    stacking: str
    free: Subject | None = None


class Form(NamedTuple):
    """A derivative in one form.

    Parameters
    ----------
    name: of the form.
    text: a program that says it, valid input again.
    unicode, latex: the same for reading; of a map ``dX ↦ …``.
    meaning: what the value of the program is.
    shape: of the value of the program.
    vars: the types of names that the form adds.
    cost: the number of operators and of indices.
    """

    name: str
    text: str
    unicode: str
    latex: str
    meaning: str
    shape: tuple[int | str, ...]
    vars: Mapping[str, str]
    cost: int

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {**self._asdict(), "shape": list(self.shape), "vars": dict(self.vars)}


def form(subject: Subject, name: str) -> Form:
    """One form of a derivative.

    Parameters
    ----------
    subject: the derivative.
    name: one of `FORMS`.

    Raises
    ------
    UsageError: there is no form of this name.
    Unsupported: this derivative has no such form; the reason is named.
    """
    require_one_of(name, FORMS, "form")
    if name != "einsum":
        _require_short(subject.node)
    return FORMS[name](subject)


def forms(subject: Subject, names: Iterable[str]) -> dict[str, Form]:
    """Those of the named forms that a derivative has."""
    found = {}
    for name in names:
        with suppress(Unsupported):
            found[name] = form(subject, name)
    return found


def shortest(subject: Subject) -> Form:
    """The form of least cost; among equals the first of the catalogue. The adjoint says another map and is left out."""
    found = forms(subject, (name for name in FORMS if name != "adjoint"))
    return min(found.values(), key=lambda each: each.cost)


def cost(tree: ast.Ast) -> int:
    """The length of a form: its operators, and every index that is written.

    >>> from matcalc.expression import read
    >>> cost(read("kron(B^T, A)")), cost(read('einsum("ik,lj->ijkl", A, B)')), cost(read("D[i, j] = A[i, k] B[k, j]"))
    (2, 9, 9)
    """
    total = operator_count(tree)
    for node in walk(tree):
        if isinstance(node, ast.Index):
            total += len(node.items)
        elif isinstance(node, ast.Str):
            total += sum(letter.isalpha() for letter in node.value)
        elif isinstance(node, ast.Assign | ast.IndexSum):
            total += len(node.indices)
    return total


def matrix(subject: Subject) -> ast.Ast:
    """The matrix of the derivative with its axes stacked, as a program.

    Raises
    ------
    Unsupported: it has no Kronecker form; the reason is named.
    """
    node = subject.node
    _require_short(node)
    if subject.free is not None and (len(subject.orders) == 2 or not subject.orders[0]):
        return _condensed(matrix(subject.free), subject.free)
    if not subject.rows or not subject.columns:
        raise Unsupported(
            "there is no Kronecker form where the output or the variable is a scalar", hint="use the layout vec"
        )
    tree = kronecker(node, subject.rows, subject.columns, subject.order)
    kinds = {part.name: KINDS.get(part.order, "") for part in postorder(node) if isinstance(part, Variable)}
    return name_intermediates(tree, kinds, {*subject.taken, *subject.order})


def _condensed(tree: ast.Ast, free: Subject) -> ast.Ast:
    """The matrix by vech from that by vec: ``J D``, of a scalar's Hessian ``D^T H D`` (Magnus & Neudecker, ch. 3)."""
    before = tree.statements[:-1] if isinstance(tree, ast.Program) else ()
    last = tree.statements[-1] if isinstance(tree, ast.Program) else ast.Output(tree)
    assert isinstance(last, ast.Output)
    (right, *left) = (
        call("duplication", dimension(free.node.shape[axis])) for axis in (-1, *((0,) if len(free.orders) > 2 else ()))
    )
    value = last.value
    sign = 1
    if isinstance(value, ast.Add) and len(value.terms) == 1:
        sign, value = value.terms[0]
    for factor in left:
        value = in_front(ast.Transpose(factor), value)
    unchanged = isinstance(value, ast.Call) and value.func in ("I", "commutation")  # K D = D
    value = signed(sign, right if unchanged else times(value, right))
    return ast.Program((*before, ast.Output(value))) if before else value


def _map(subject: Subject) -> Form:
    count = subject.orders[-1]
    axes = tuple(range(subject.node.order - count, subject.node.order))
    if len(subject.orders) == 2:
        return _applied(subject, "map", "dF", (f"d{subject.wrt}",), axes)
    return _applied(subject, "map", "H", ("V" if count > 1 else "v", f"d{subject.wrt}"), axes)


def _adjoint(subject: Subject) -> Form:
    axes = tuple(range(subject.node.order - subject.orders[-1]))
    return _applied(subject, "adjoint", "adjoint", ("G" if len(axes) > 1 else "g", "dF"), axes)


def _applied(subject: Subject, name: str, function: str, arguments: tuple[str, ...], axes: tuple[int, ...]) -> Form:
    function, argument = _fresh((function,), subject.taken), _fresh(arguments, subject.taken)
    shape = tuple(subject.node.shape[axis] for axis in axes)
    direction = Variable(argument, shape)
    node = applied(subject.node, direction, axes, subject.written)
    tree = definition(node, function, direction, subject.order, subject.taken)
    assert isinstance(tree, ast.Program)
    last = tree.statements[-1]
    assert isinstance(last, ast.Define)
    body = ast.Program((*tree.statements[:-1], ast.Output(last.body)))
    *before, value = to_unicode(body).split("\n")
    *lines, line = to_latex(body).split(" \\\\\n")
    what = "the change of the gradient" if len(subject.orders) > 2 else "the differential"
    what = "the adjoint of the differential" if name == "adjoint" else what
    return Form(
        name,
        to_text(tree, separator="; "),
        "; ".join([*before, f"{unicode_name(argument)} ↦ {value}"]),
        " \\\\\n".join([*lines, f"{latex_name(argument)} \\mapsto {line}"]),
        f"{what}, for {argument}",
        _names(node.shape),
        {argument: type_text(shape)},
        cost(tree),
    )


def _kronecker(subject: Subject) -> Form:
    tree = matrix(subject)
    shape = tuple(_length(subject.node, axes) for axes in (subject.rows, subject.columns))
    vec = "vec" if subject.stacking == "column-major" else "rvec"
    change = f"{vec}(d{subject.wrt})"
    said = f"{vec}(dF) = J {change}" if len(subject.orders) == 2 else f"d {vec}(DF^T) = H {change}"
    return _plain("kronecker", tree, f"the matrix of {said}, {subject.stacking}", shape)


def _index(subject: Subject) -> Form:
    tree = entries(subject.node, subject.order, subject.taken)
    return _plain("index", tree, "the entries, first those of the output", subject.node.shape)


def _einsum(subject: Subject) -> Form:
    tree = to_program(subject.node, subject.order, subject.taken, subject.definitions)
    return _plain("einsum", tree, "the array, the axes of the output first", subject.node.shape)


def _plain(name: str, tree: ast.Ast, meaning: str, shape: Shape) -> Form:
    texts = to_text(tree, separator="; "), to_unicode(tree, separator="; "), to_latex(tree)
    return Form(name, *texts, meaning, _names(shape), {}, cost(tree))


FORMS: Mapping[str, Callable[[Subject], Form]] = MappingProxyType(
    {"map": _map, "kronecker": _kronecker, "index": _index, "einsum": _einsum, "adjoint": _adjoint}
)


def type_text(shape: Shape) -> str:
    """The declared type of an array of a shape.

    >>> type_text((Dim.of("m"), Dim.of("n")))
    'matrix(m, n)'
    """
    kind = TYPES[len(shape)] if len(shape) < len(TYPES) else "tensor"
    return f"{kind}({', '.join(map(str, shape))})" if shape else kind


def _names(shape: Shape) -> tuple[int | str, ...]:
    return tuple(str(dim) if dim.constant is None else dim.constant for dim in shape)


def _length(node: Node, axes: tuple[int, ...]) -> Dim:
    total = Dim.of(1)
    for axis in axes:
        total = total * node.shape[axis]
    return total


def _fresh(names: tuple[str, ...], taken: tuple[str, ...]) -> str:
    """The first of the names that nothing else has, with a number where all are taken."""
    numbered = (f"{names[0]}_{k}" for k in range(1, len(taken) + 2))
    return next(name for name in (*names, *numbered) if name not in taken)


def _require_short(node: Node) -> None:
    """Refuse a formula that is long when everything that is used twice is written twice."""
    sizes: dict[bytes, int] = {}
    for part in postorder(node):
        sizes[part.digest] = min(10**9, 1 + sum(sizes[child.digest] for child in part.children))
    if sizes[node.digest] > LARGEST_WRITTEN:
        raise Unsupported("this formula is too long to be written in another form", hint="use the form einsum")
