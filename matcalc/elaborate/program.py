"""Whole programs: declarations, assignments, definitions and the output, from syntax to nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import MatcalcError, ShapeError, UsageError
from ..expr.dims import Dim, Shape
from ..expr.nodes import Node
from ..expr.typed import Type
from ..ops.registry import OPERATIONS
from ..syntax.ast import (
    Assign,
    Ast,
    Declare,
    Define,
    Name,
    Output,
    Program,
    TypeExpr,
)  # fmt: skip
from ..syntax.greek import spell
from .context import Session, Site, is_open, name_placeholders, taken_names
from .declare import Symbol, agree, declared_dims, outside_declarations, read_type, type_text
from .expressions import Visitor, run
from .indices import settle_accesses
from .infer import Attempt, choose
from .names import EMPTY, Names, Resolver
from .tree import Survey, free_indices, survey
from .values import Value, build, undeclared_names

RESERVED = frozenset({"I", "T", "pi", "inf"})
FUNCTIONS = frozenset({*OPERATIONS, "einsum"}) - {"e"}


@dataclass(frozen=True, slots=True)
class Elaborated:
    """A program with its meaning.

    Parameters
    ----------
    node: the output.
    type: the kind and shape of the output.
    symbols: the variables by name, in the order of their first use; those that are only declared come last.
    notes: how what could be read in two ways was read.
    definitions: the nodes of the named intermediates, in order.
    definition_types: their types.
    output_name: the name of the output, when the last statement gives it one.
    bars: what single bars mean (``abs``, ``det`` or ``norm``), by the identity of the node.
    """

    node: Node
    type: Type
    symbols: Mapping[str, Symbol]
    notes: tuple[str, ...] = ()
    definitions: Mapping[str, Node] = field(default_factory=dict)
    definition_types: Mapping[str, Type] = field(default_factory=dict)
    output_name: str | None = None
    bars: Mapping[int, str] = field(default_factory=dict)


def elaborate(
    program: Program, declared: Mapping[str, str | TypeExpr] | None = None, *, shape: Shape | None = None
) -> Elaborated:
    """Give a program its meaning: names, types, sizes and nodes.

    >>> from matcalc.syntax.parse import parse
    >>> result = elaborate(parse("A x + b"))
    >>> {name: symbol.declared for name, symbol in result.symbols.items()}
    {'A': 'matrix(m, n)', 'x': 'vector(n)', 'b': 'vector(m)'}

    Parameters
    ----------
    program: the syntax tree.
    declared: types by name, given beside the text; they win over inference and may not contradict the text.
    shape: the shape the output has to have, when it is known (``2 I`` alone has no size).

    Raises
    ------
    ShapeError: when shapes do not fit, with the operator's place.
    UnknownName: for an unknown function or an index that is not bound.
    Unsupported: for what has a meaning but no place in the engine.
    UsageError: when a declaration contradicts another one.
    """
    try:
        outside = outside_declarations(declared or {})
        seen = survey(program)
        beside = {spell(name): f"{name}: {text}" for name, text in (declared or {}).items() if isinstance(text, str)}
        typed = choose(lambda kinds: _attempt(program, outside, seen, kinds, shape, beside), seen)
        return _finish(typed, outside)
    except MatcalcError as error:
        if program.source:
            error.with_source(program.source)
        raise


@dataclass(slots=True)
class _Typed:
    """A program whose statements are typed."""

    visitor: Visitor
    definitions: dict[str, Value] = field(default_factory=dict)
    output: Value | None = None
    output_name: str | None = None


def _attempt(
    program: Program,
    outside: Mapping[str, TypeExpr],
    seen: Survey,
    kinds: Mapping[str, str],
    shape: Shape | None,
    beside: Mapping[str, str],
) -> Attempt[_Typed]:
    """Type the program under one choice of kinds for its undeclared names."""
    session = Session(program.source, dict(kinds), notes=dict.fromkeys(program.notes), assigned=seen.assigned)
    visitor = Visitor(session, Resolver(session, Names(), seen))
    typed = _Typed(visitor)
    try:
        _declare(typed, program, outside, seen, beside)
        last = len(program.statements) - 1
        # the order of the variables is that of their use, so declarations come after the statements that compute
        for position, statement in sorted(enumerate(program.statements), key=lambda item: isinstance(item[1], Declare)):
            _statement(typed, statement, last=position == last)
        if typed.output is None:
            raise UsageError("the program has no output", hint="end it with an expression, or with an assignment")
        if shape is not None:
            _shaped(session, program, typed.output, shape)
        _settle(session)
        blamed = [undeclared_names(doubt.values) for doubt in session.doubts[:1000]]
        cost = sum(doubt.cost for doubt in session.doubts)
    except MatcalcError as error:
        guilty = undeclared_names(session.guilty) or [name for name, value in session.variables.items() if value.open]
        return Attempt(None, error, 0.0, [guilty], _assumed(session), session.ambiguous)
    return Attempt(typed, None, cost, blamed, ())


def _assumed(session: Session) -> list[str]:
    """The undeclared names with the types they had in an attempt, as declarations."""
    loose = {name: value for name, value in session.variables.items() if value.open}
    names = session.open_names() if loose else {}
    found = []
    for name, value in loose.items():
        shape = tuple(session.dimensions.resolve(dim).substitute(names) for dim in value.type.shape)
        found.append(f"{name}: {type_text(Type(value.type.kind, shape))}")
    return found


# --- statements ----------------------------------------------------------------------------------


def _declare(
    typed: _Typed, program: Program, outside: Mapping[str, TypeExpr], seen: Survey, beside: Mapping[str, str]
) -> None:
    """Declarations from both sides, and the names of sizes."""
    session, names = typed.visitor.session, typed.visitor.resolver.table
    inside = [statement for statement in program.statements if isinstance(statement, Declare)]
    for value_type in [*outside.values(), *(statement.type for statement in inside)]:
        for size in declared_dims(value_type):
            names.sizes[size] = Dim.of(size)
    for name, value_type in outside.items():
        try:
            _check_name(session, name, value_type)
            names.declared[name] = (read_type(session, value_type, name), value_type.properties)
        except MatcalcError as error:
            # the fault is in the declaration, which is not a part of the program's text
            error.source = beside.get(name)
            if error.source is None:
                error.span = None
            raise
    for statement in inside:
        for target in statement.names:
            _check_name(session, target.id, target)
            read = read_type(session, statement.type, target.id)
            known = names.declared.get(target.id)
            properties = statement.type.properties
            if known is not None:
                if not agree(session, known[0], read):
                    _contradiction(session, target, known[0], read)
                properties = tuple(dict.fromkeys((*known[1], *properties)))
            names.declared[target.id] = (read, properties)
    for name in names.sizes:
        if name in names.declared:
            node = next((s for s in inside if any(t.id == name for t in s.names)), program)
            session.at(node).refuse(
                ShapeError(
                    f"{name} is declared as a variable and used as a size",
                    hint=f"a size is a number everywhere and needs no declaration: leave out {name}",
                )
            )
    for name in seen.sizes:
        taken = name in names.sizes or name in names.declared or name in seen.indices or name in seen.assigned
        if not taken and name not in ("e", "pi", "inf", "I"):
            names.sizes[name] = Dim.of(f"?{name}")


def _check_name(session: Session, name: str, node: Ast) -> None:
    if name in RESERVED or name in FUNCTIONS:
        what = "is reserved" if name in RESERVED else "is a function"
        session.at(node).refuse(UsageError(f"{name} {what} and cannot be a variable", hint=f"call it {name}_1"))


def _contradiction(session: Session, node: Ast, left: Type, right: Type) -> None:
    shown = session.shape_text(left), session.shape_text(right)
    name = node.id if isinstance(node, Name) else "it"
    session.at(node).refuse(
        ShapeError(
            f"{name} is declared as {left.kind} ({shown[0]}) and as {right.kind} ({shown[1]})",
            hint="leave out one of the two declarations",
        )
    )


def _statement(typed: _Typed, statement: Ast, *, last: bool) -> None:
    visitor = typed.visitor
    names = visitor.resolver.table
    match statement:
        case Declare(targets):
            for target in targets:
                if target.id not in visitor.resolver.seen.assigned:
                    visitor.resolver.variable(target.id)
        case Assign(target, value, indices):
            loose = () if target.id in names.declared else free_indices(statement, names.declared, names.assigned)
            name = target.id.rpartition("_")[0] if not indices and loose else target.id
            _check_target(visitor.session, name, target, names)
            bound = indices or loose
            visit = visitor.entries(value, bound, target) if bound else visitor.expression(value, EMPTY)
            result: Value = run(visit)
            if name in names.declared:
                _check_declared(visitor.session, statement, name, names.declared.pop(name)[0], result)
            names.assigned[name] = result
            whole = result.number if isinstance(result.number, int) else None
            names.integers.pop(name, None)
            if whole is not None:
                names.integers[name] = Dim.of(whole)
            typed.definitions[name] = result
            typed.output, typed.output_name = result, name
        case Define(target, _, body):
            _check_target(visitor.session, target.id, target, names, function=True)
            names.functions[target.id] = statement
            if last:
                typed.output, typed.output_name = run(visitor.expression(body, EMPTY)), target.id
        case Output(value):
            typed.output, typed.output_name = run(visitor.expression(value, EMPTY)), None
        case _:
            raise UsageError(f"{type(statement).__name__} is not a statement", span=statement.span)


def _check_target(session: Session, name: str, node: Ast, names: Names, *, function: bool = False) -> None:
    if not function:
        _check_name(session, name, node)
    if name in names.sizes and not is_open(names.sizes[name]):
        session.at(node).refuse(ShapeError(f"{name} is a size and cannot be assigned", hint="use another name"))


def _check_declared(session: Session, node: Assign, name: str, declared: Type, value: Value) -> None:
    """An assignment to a declared name has to have the declared type."""
    kind = "column" if value.type.kind == "row" else value.type.kind
    if not agree(session, declared, Type(kind, value.type.shape)):
        session.at(node, value).refuse(
            ShapeError(
                f"{name} is declared as {declared.kind} ({session.shape_text(declared)}), "
                f"but its value is a {value.type.kind} ({session.shape_text(value.type)})",
                hint="change the declaration, or the value",
            )
        )


def _shaped(session: Session, program: Program, output: Value, shape: Shape) -> None:
    """Give the output the shape it has to have."""
    own = output.type.shape
    if len(own) != len(shape) or not all(session.dimensions.unify(a, b) for a, b in zip(own, shape, strict=True)):
        wanted = "×".join(map(str, shape)) or "a scalar"
        session.at(program, output).fail(f"the output ({session.shape_text(output.type)}) is not of the shape {wanted}")


# --- sizes and nodes -----------------------------------------------------------------------------


def _settle(session: Session) -> None:
    """Solve what is left, name the free sizes of variables, and refuse sizes that nothing fixes."""
    dimensions = session.dimensions
    _solve_postponed(session)
    settle_accesses(session)
    _solve_postponed(session)
    shapes = [tuple(map(dimensions.resolve, value.type.shape)) for value in session.variables.values()]
    named = name_placeholders(shapes, taken_names(session, shapes) | set(session.variables))
    for placeholder, dim in named.items():
        dimensions.bindings[placeholder] = dim
    _solve_postponed(session)
    for placeholder, origin in dimensions.origins.items():
        dim = dimensions.resolve(Dim.of(placeholder))
        loose = [name for name in dim.names if name.startswith("?") and name[1:].isdigit()]
        if loose:
            Site(session, origin.span).fail(f"the size of {origin.what} does not follow from its context", origin.hint)
        _name_loose(session, dim)


def _name_loose(session: Session, dim: Dim) -> None:
    """A size that is named in the text alone keeps that name."""
    for name in dim.names:
        if name.startswith("?"):
            session.dimensions.bindings[name] = Dim.of(name[1:])


def _solve_postponed(session: Session) -> None:
    clash = session.dimensions.settle()
    if clash is not None:
        left, right, span = clash
        shown = session.dim_text(left), session.dim_text(right)
        Site(session, span).fail(f"the sizes {shown[0]} and {shown[1]} differ")


def _note_assumed_sizes(visitor: Visitor) -> None:
    """Say of a size that no declaration and no variable has what it is taken for."""
    session = visitor.session
    shapes = [value.type.shape for value in session.variables.values()]
    shapes += [declared[0].shape for declared in visitor.resolver.table.declared.values()]
    told = {name for shape in shapes for dim in shape for name in session.dimensions.resolve(dim).names}
    for name, size in visitor.resolver.table.sizes.items():
        if size.name == f"?{name}" and session.dimensions.resolve(size).name == name and name not in told:
            session.notes[f"{name} is taken as a size, a whole number above 0: no variable has it"] = None


def _note_joined_names(session: Session, symbols: Mapping[str, Symbol]) -> None:
    """Say of an undeclared ``Ax`` beside ``x`` that it is one name; in print it is a product."""
    for name, symbol in symbols.items():
        joined = len(name) == 2 and name[0].isupper() and name[1].islower()
        if joined and symbol.inferred and name[1] in symbols:
            session.notes[f"{name} is read as one name; write {name[0]} {name[1]} for the product"] = None


def _finish(typed: _Typed, outside: Mapping[str, TypeExpr]) -> Elaborated:
    """Build the nodes and collect the symbols."""
    visitor = typed.visitor
    session = visitor.session
    for size in visitor.resolver.table.sizes.values():
        _name_loose(session, session.dimensions.resolve(size))
    _note_assumed_sizes(visitor)
    assert typed.output is not None
    roots = build([typed.output, *typed.definitions.values()])

    def final(value_type: Type) -> Type:
        return Type(value_type.kind, tuple(map(session.dimensions.resolve, value_type.shape)))

    symbols: dict[str, Symbol] = {}
    for name, value in session.variables.items():
        properties = visitor.resolver.table.declared.get(name, (None, ()))[1]
        symbols[name] = Symbol(name, final(value.type), properties, inferred=value.open)
    for name in outside:
        if name not in symbols and name in visitor.resolver.table.declared:
            value_type, properties = visitor.resolver.table.declared[name]
            symbols[name] = Symbol(name, final(value_type), properties)
    _note_joined_names(session, symbols)
    return Elaborated(
        roots[0],
        final(typed.output.type),
        symbols,
        tuple(session.notes),
        dict(zip(typed.definitions, roots[1:], strict=True)),
        {name: final(value.type) for name, value in typed.definitions.items()},
        typed.output_name,
        dict(session.bars),
    )
