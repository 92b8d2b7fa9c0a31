"""Declared types: dimensions, properties, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..errors import MatcalcError, UsageError
from ..expr.dims import Dim
from ..expr.typed import SCALAR, Type
from ..syntax.ast import Name, TypeExpr
from ..syntax.parse import parse_declarations
from .context import Session
from .indices import place_of
from .tree import nodes_of

SQUARE = frozenset({"symmetric", "spd", "psd", "skew", "diagonal", "orthogonal"})
MATRIX_ONLY = SQUARE | {"lower", "upper"}


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name of the program: its type, its declared properties, and whether the type was inferred.

    Parameters
    ----------
    name: in canonical spelling.
    type: the kind and shape.
    properties: ``symmetric``, ``positive`` …, in the order in which they were written.
    inferred: whether it was not declared.
    """

    name: str
    type: Type
    properties: tuple[str, ...] = ()
    inferred: bool = False

    @property
    def declared(self) -> str:
        """The type as one writes it in a declaration."""
        return type_text(self.type, self.properties)


def type_text(value_type: Type, properties: Iterable[str] = ()) -> str:
    """A type as one writes it in a declaration.

    >>> type_text(Type("matrix", (Dim.of("n"), Dim.of("n"))), ["symmetric"])
    'matrix(n, n) symmetric'
    """
    word = {"scalar": "scalar", "column": "vector", "row": "vector"}.get(value_type.kind, value_type.kind)
    shape = f"({', '.join(map(str, value_type.shape))})" if value_type.shape else ""
    return " ".join([word + shape, *properties])


def outside_declarations(given: Mapping[str, str | TypeExpr]) -> dict[str, TypeExpr]:
    """Declarations given beside the text, by canonical name (``λ`` is ``lambda``).

    Raises
    ------
    UsageError: when two spellings of one name are declared differently.
    ParseError: when a name or a type cannot be read.
    """
    found: dict[str, TypeExpr] = {}
    for name, value_type in given.items():
        text = f"{name}: {value_type if isinstance(value_type, str) else 'scalar'}"
        declarations = parse_declarations(text)
        if len(declarations) != 1 or len(declarations[0].names) != 1:
            raise UsageError(f"the declaration of {name} is not a single type", hint='write {"x": "vector(n)"}')
        identifier = declarations[0].names[0].id
        read = declarations[0].type if isinstance(value_type, str) else value_type
        if identifier in found and type_of_text(found[identifier]) != type_of_text(read):
            raise UsageError(
                f"{identifier} is declared twice, as two spellings of one name",
                hint="leave out one of the declarations",
            )
        found[identifier] = read
    return found


def type_of_text(value_type: TypeExpr) -> str:
    """A comparable form of a written type."""
    from_dims = [str(node) if not isinstance(node, Name) else node.id for node in nodes_of(value_type)]
    return f"{value_type.kind}{from_dims}{sorted(value_type.properties)}"


def declared_dims(value_type: TypeExpr) -> list[str]:
    """The names of sizes in a type, in order."""
    return [node.id for node in nodes_of(value_type) if isinstance(node, Name)]


def read_type(session: Session, declared: TypeExpr, name: str) -> Type:
    """The type that a declaration says; sizes left out are inferred.

    Raises
    ------
    ShapeError: when the number of sizes or a property does not fit.
    """
    site = session.at(declared)
    sizes = {size: Dim.of(size) for size in declared_dims(declared)}
    try:
        dims = tuple(place_of(session, node, sizes, {}).offset for node in declared.dims)
    except MatcalcError as error:
        error.hint = error.hint or "a size is a name, a positive integer, or a sum or product of them"
        raise
    for dim in dims:
        known = dim.constant
        if (known is not None and known < 1) or (known is None and not dim.names):
            site.fail(f"{name} cannot have the size {dim}", "sizes are positive integers")
    wanted = {"scalar": 0, "vector": 1, "matrix": 2}.get(declared.kind)
    if not dims and wanted:
        dims = tuple(session.dimensions.fresh() for _ in range(wanted))
    if wanted is not None and len(dims) != wanted:
        sizes_text = {0: "no size", 1: "one size", 2: "two sizes"}[wanted]
        hint = "write vector(n), matrix(m, n) or tensor(o, c, h)"
        site.fail(f"a {declared.kind} takes {sizes_text}, not {len(dims)}", hint)
    if declared.kind == "tensor" and not dims:
        site.fail("a tensor needs its sizes", "write tensor(o, c, h, w)")
    value_type = kind_of_order(dims)
    wrong = [p for p in declared.properties if p in MATRIX_ONLY and value_type.kind != "matrix"]
    if wrong:
        site.fail(f"{name} is a {declared.kind} and cannot be {wrong[0]}", f"{wrong[0]} is a property of matrices")
    square = [p for p in declared.properties if p in SQUARE]
    if square and not session.dimensions.unify(dims[0], dims[1]):
        site.fail(f"{name} is {square[0]} but not square: {dims[0]}×{dims[1]}", "write matrix(n, n)")
    return value_type


def kind_of_order(dims: tuple[Dim, ...]) -> Type:
    """The type of an array of this shape; a vector is a column."""
    if len(dims) <= 2:
        return (SCALAR, Type("column", dims), Type("matrix", dims))[len(dims)]
    return Type("tensor", dims)


def agree(session: Session, left: Type, right: Type) -> bool:
    """Whether two declared types can be one, and make them so."""
    if left.kind != right.kind or len(left.shape) != len(right.shape):
        return False
    return all(session.dimensions.unify(a, b) for a, b in zip(left.shape, right.shape, strict=True))
