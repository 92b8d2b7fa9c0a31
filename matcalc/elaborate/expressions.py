"""From syntax to values: names, operators, calls, indices; one pass on an explicit stack.

The functions that visit syntax are generators: they yield the visit of a part and receive its value. `run` keeps them
on a list, so that nesting costs no recursion.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from ..errors import MatcalcError, ShapeError, Span, UnknownName, Unsupported, UsageError
from ..expr.dims import Dim
from ..expr.nodes import Node, Structure
from ..expr.typed import SCALAR, Type, column
from ..limits import tick
from ..ops.apply import typing_rule
from ..ops.record import Operation
from ..ops.registry import FAMILIES, OPERATIONS
from ..syntax.ast import (
    Add,
    Ast,
    Bars,
    Binary,
    Block,
    Call,
    Define,
    Index,
    IndexSum,
    Name,
    Norm,
    Num,
    Range,
    Str,
    Transpose,
)  # fmt: skip
from ..syntax.hints import foreign_function
from . import operators
from .blocks import block
from .context import Origin, Session
from .declare import kind_of_order
from .indices import (
    WHOLE,
    Item,
    Place,
    Stretch,
    access,
    bind,
    mask,
    masked,
    pack,
    place_of,
    product_over,
    selection,
    sum_over,
    unpack,
)  # fmt: skip
from .names import EMPTY, Resolver, Scope
from .operators import alike, contract, entrywise, number
from .values import IndexVariable, Value

Visit = Generator[Any, Any, Any]

MAX_FUNCTION_DEPTH = 200
ARRAY_FUNCTIONS = frozenset(record.name for family in ("reductions", "linear algebra") for record in FAMILIES[family])
MATRIX_NORMS: Mapping[str, str] = MappingProxyType(
    {"": "the Frobenius norm", "1": "the sum of absolute entries", "inf": "the largest absolute entry"}
)
NORMS: Mapping[str, str] = MappingProxyType(
    {"": "norm", "2": "norm", "F": "norm", "1": "norm1", "inf": "norminf", "*": "nuclear"}
)

NORM_NOTES: Mapping[str, str] = MappingProxyType({"norm": "", "norm1": "1", "norminf": "inf"})


def run(visit: Visit) -> Any:
    """Drive a visit to its value; the stack is a list."""
    stack = [visit]
    value: Any = None
    error: MatcalcError | None = None
    while stack:
        tick()
        try:
            child = stack[-1].send(value) if error is None else stack[-1].throw(error)
        except StopIteration as done:
            stack.pop()
            value, error = done.value, None
        except MatcalcError as raised:
            stack.pop()
            value, error = None, raised
        else:
            stack.append(child)
            value, error = None, None
    if error is not None:
        raise error.with_traceback(None)
    return value


@dataclass(slots=True)
class Visitor:
    """Types expressions within one attempt."""

    session: Session
    resolver: Resolver
    active: list[str] = field(default_factory=list)
    applied: dict[tuple[str, int, tuple[int, ...]], tuple[Value, list[Value]]] = field(default_factory=dict)

    # --- expressions -----------------------------------------------------------------------------

    def leaf(self, node: Ast, scope: Scope) -> Value | None:
        """The value of a name or a number, without a visit."""
        if isinstance(node, Name):
            return self.resolver.name(node, scope)
        return number(node.value) if isinstance(node, Num) else None

    def expression(self, node: Ast, scope: Scope) -> Visit:
        """The value of an expression."""
        session = self.session
        match node:
            case Name() | Num():
                return self.leaf(node, scope)
            case Call():
                return (yield from self.call(node, scope))
            case Add(terms):
                signed: list[tuple[int, Value]] = []
                for sign, term in terms:
                    signed.append((sign, self.leaf(term, scope) or (yield self.expression(term, scope))))
                return operators.add(session, signed, [term for _, term in terms])
            case Binary("^" | ".^", Name("e"), right) if self.resolver.known("e", scope) is None:
                exponent = yield self.expression(right, scope)
                if exponent.type.kind == "matrix":
                    text = session.text(node) or "e^A"
                    session.at(node).note(f"{text} is entrywise; expm(A) is the matrix exponential")
                return self.operation(node, OPERATIONS["exp"], [exponent], [right])
            case Binary("^", left, Name("T")) if self.resolver.known("T", scope) is None:
                value = yield self.expression(left, scope)
                return operators.transpose(session, node, value, left)
            case Binary("^", left, Binary("^", Name("T"), power) as above) if self.resolver.known("T", scope) is None:
                exponent = str(power.value) if isinstance(power, Num) else f"({session.text(power) or 'k'})"
                hint = f"write ({session.text(left) or 'A'}^T)^{exponent} for the power of the transpose"
                error = UnknownName("a transpose takes no power without brackets", hint=hint, span=above.span)
                session.at(node).refuse(error)
            case Binary("^", Name(base) as left, Name("t")) if self.resolver.known("t", scope) is None:
                value = self.resolver.name(left, scope)
                if value.is_array and "t" not in session.kinds:
                    hint = f"write {base}^T for the transpose, or declare t: scalar for the power"
                    session.at(node).refuse(UnknownName("a small t is not the mark of a transpose", hint=hint))
                return operators.binary(session, node, value, self.resolver.name(Name("t", span=node.span), scope))
            case Binary("kron", left, right):
                pair = [(yield self.expression(left, scope)), (yield self.expression(right, scope))]
                operators.note_reading(session, node, pair[1])
                return self.operation(node, OPERATIONS["kron"], pair, [left, right])
            case Binary(_, left, right):
                first = self.leaf(left, scope) or (yield self.expression(left, scope))
                second = self.leaf(right, scope) or (yield self.expression(right, scope))
                return operators.binary(session, node, first, second)
            case Transpose(arg):
                value = self.leaf(arg, scope) or (yield self.expression(arg, scope))
                return operators.transpose(session, node, value, arg)
            case Norm(kind, arg):
                value = yield self.expression(arg, scope)
                return self.norm(node, kind, value)
            case Bars(arg):
                value = yield self.expression(arg, scope)
                return self.bars(node, value)
            case Index():
                return (yield self.index(node, scope))
            case IndexSum():
                return (yield self.index_sum(node, scope))
            case Block(rows):
                cells: list[list[Value]] = []
                for line in rows:
                    cells.append([])
                    for cell in line:
                        cells[-1].append((yield self.expression(cell, scope)))
                return block(session, node, cells)
            case Str():
                session.at(node).fail("quoted text has no value here", 'only einsum("ij,j->i", A, x) takes it')
            case Range():
                session.at(node).fail("a range stands only inside an index", "write x[1:3]")
        raise Unsupported(f"{type(node).__name__} is not an expression", span=node.span)

    def norm(self, node: Norm, kind: str, value: Value) -> Value:
        """``||x||`` and its relatives."""
        if value.is_scalar:
            self.session.doubt(operators.DOUBT_SCALAR_AS_ARRAY, value)
            return entrywise(self.session, "abs", [value], [()], SCALAR)
        name = NORMS[kind]
        if value.type.kind == "matrix":
            text = self.session.text(node) or "the norm of a matrix"
            if kind == "2":
                name = "spectral"
                self.session.at(node).note(f"{text} is the largest singular value; ||X||_F is the Frobenius norm")
            elif kind in ("", "1", "inf"):
                self.session.at(node).note(f"{text} of a matrix is {MATRIX_NORMS[kind]}")
        elif kind == "*":
            name = "norm"
        return self.operation(node, OPERATIONS[name], [value], [node.arg], quiet=True)

    def bars(self, node: Bars, value: Value) -> Value:
        """``|x|``: the absolute value, of a square matrix its determinant, in LaTeX of a vector its length."""
        square = value.type.kind == "matrix" and self.session.dimensions.unify(value.type.shape[0], value.type.shape[1])
        kind = "det" if square else "norm" if node.by_type and value.type.kind in ("column", "row") else "abs"
        if self.session.bars.setdefault(id(node), kind) != kind and node.by_type:
            hint = r"write \det(A), \|x\| or \operatorname{abs}(x)"
            self.session.at(node, value).refuse(
                Unsupported("bars that mean one thing here and another there", hint=hint)
            )
        if kind != "abs":
            meaning = "the determinant; write abs(A) for absolute entries" if square else "the length of a vector"
            self.session.at(node).note(f"{self.session.text(node) or '|A|'} is {meaning}")
            return self.operation(node, OPERATIONS[kind], [value], [node.arg], quiet=True)
        return self.operation(node, OPERATIONS["abs"], [value], [node.arg])

    # --- calls -----------------------------------------------------------------------------------

    def call(self, node: Call, scope: Scope) -> Visit:
        """A function applied to arguments, or a known name in front of a bracket."""
        name = node.func
        if name in self.resolver.table.functions:
            return (yield self.user_function(node, scope))
        value = self.resolver.known(name, scope) or self.indexed_name(node, scope)
        if value is not None:
            return (yield self.bracket_product(node, value, scope))
        if name == "einsum":
            return (yield self.einsum(node, scope))
        if name in ("vector", "matrix") and len(node.args) == 1:
            entry = yield self.expression(node.args[0], scope)
            if not entry.is_scalar:
                self.session.at(node, entry).fail(f"{name}(…) repeats a scalar, not an array", f"write {name}(1)")
            return self.resolver.filled(node, entry, 1 if name == "vector" else 2, self.session.text(node) or name)
        if name == "e" and len(node.args) == 2:
            return self.unit_vector(node, scope)
        if name in ("I", "eye") and any(isinstance(arg, Name) and arg.id in scope.indices for arg in node.args):
            return self.kronecker_delta(node, scope)
        record = OPERATIONS.get(name)
        if record is None:
            raise self.unknown_function(node)
        return (yield from self.known_function(node, record, scope))

    def indexed_name(self, node: Call, scope: Scope) -> Value | None:
        """``x_i(a + b)``: an element in front of a bracket."""
        if node.func in OPERATIONS:
            return None
        items = self.resolver.subscript(node.func, scope)
        if items is None:
            return None
        return self.resolver.name(Name(node.func, span=node.func_span), scope)

    def bracket_product(self, node: Call, value: Value, scope: Scope) -> Visit:
        """``a(b + c)`` with a known name is a product."""
        if len(node.args) != 1 or node.kwargs:
            self.session.at(node, value).refuse(
                ShapeError(
                    f"{node.func} is a variable, not a function",
                    hint=f"write {node.func}[…] for an entry, {node.func} * (…) for a product",
                )
            )
        only = node.args[0]
        if value.is_array and isinstance(only, Num) and only.value.denominator == 1 and node.span.end:
            self.session.at(node, value).refuse(
                ShapeError(
                    f"{node.func}({only.value}) could be an entry or a product",
                    hint=f"write {node.func}[{only.value}] for the entry, {only.value} {node.func} for the product",
                )
            )
        argument = yield self.expression(node.args[0], scope)
        written = Binary("*", Name(node.func, span=node.func_span), node.args[0], True, span=node.span)
        return operators.binary(self.session, written, value, argument)

    def unknown_function(self, node: Call) -> MatcalcError:
        """The error for a name that is no function, with the nearest one that is."""
        span = node.func_span if node.func_span.end else node.span
        told = foreign_function(node.func)
        if told is not None:
            return UnknownName(f"there is no function {node.func}", span=span, hint=told)
        candidates = [*OPERATIONS, *self.resolver.table.functions, "einsum"]
        close = get_close_matches(node.func, sorted(candidates), 8, 0.6)
        close.sort(key=lambda name: name[0] != node.func[0])
        if not close:
            lower = {name.lower(): name for name in sorted(candidates)}
            close = [lower[node.func.lower()]] if node.func.lower() in lower else []
        define = f"define it, {node.func}(x) = …, or for a product write {node.func} * (…)"
        hint = f"did you mean {close[0]}?" if close else define
        return UnknownName(f"there is no function {node.func}", span=span, hint=hint)

    def known_function(self, node: Call, record: Operation, scope: Scope) -> Visit:
        """A function of the registry."""
        sized = record.size_arguments
        positions = range(len(node.args)) if sized == "all" else [p for p in sized if p < len(node.args)]
        options: dict[str, object] = dict(record.options)
        sizes = tuple(self.size(node.args[position], scope) for position in positions)
        if sized:
            options["sizes"] = sizes
        for key, argument in node.kwargs:
            if key not in record.options:
                known = ", ".join(f"{option}=" for option in record.options)
                hint = f"it has: {known}" if known else "it takes no options"
                self.session.at(node, span=self.key_span(node, key, argument)).refuse(
                    UsageError(f"{node.func} has no option {key}", hint=hint)
                )
            options[key] = yield self.option(argument, scope)
        values: list[Value] = []
        nodes: list[Ast] = []
        for position, argument in enumerate(node.args):
            if position in positions:
                continue
            values.append(self.leaf(argument, scope) or (yield self.expression(argument, scope)))
            nodes.append(argument)
        if node.func != "normF" and options.get("axis") is None and values:
            self.note_norm(node, record.name, values[0])
        if record.name == "tr" and len(values) == 1:
            traced = self.trace_of_power(node, nodes[0], values[0])
            if traced is not None:
                return traced
        return self.operation(node, record, values, nodes, options)

    def key_span(self, node: Call, key: str, argument: Ast) -> Span:
        """Where the name of an option stands, in front of its value."""
        start = self.session.source.rfind(key, node.span.start, max(argument.span.start, node.span.start))
        return Span(start, start + len(key)) if start >= 0 else argument.span

    def note_norm(self, node: Call, name: str, value: Value) -> None:
        """Say which norm of a matrix is meant."""
        if name in NORM_NOTES and value.type.kind == "matrix":
            text = self.session.text(node) or node.func
            self.session.at(node).note(f"{text} of a matrix is {MATRIX_NORMS[NORM_NOTES[name]]}")

    def trace_of_power(self, node: Call, argument: Ast, value: Value) -> Value | None:
        """``tr(X^k)`` with a symbolic k has a derivative that X^k has not."""
        if "tracepow" not in OPERATIONS or not isinstance(argument, Binary) or argument.op != "^":
            return None
        if value.type.kind != "matrix" or len(value.operands) != 2:
            return None
        if value.operands[1].is_array or value.operands[1].number is not None:
            return None
        return self.operation(node, OPERATIONS["tracepow"], list(value.operands), [argument.left, argument.right])

    def size(self, node: Ast, scope: Scope) -> Dim:
        """An argument that is a size."""
        place = place_of(self.session, node, self.resolver.sizes(), dict(scope.indices))
        if place.index is not None:
            self.session.at(node).refuse(
                Unsupported("a size that depends on an index", hint="sizes are the same for every term of a sum")
            )
        return place.offset

    def option(self, node: Ast, scope: Scope) -> Visit:
        """The value of a keyword argument: a number, a word or quoted text."""
        if isinstance(node, Str):
            return node.value
        if isinstance(node, Name) and self.resolver.known(node.id, scope) is None:
            return node.id
        value = yield self.expression(node, scope)
        if value.number is None:
            self.session.at(node).refuse(Unsupported("an option that is not a number", hint="write the number itself"))
        return value.number

    def operation(
        self,
        node: Ast,
        record: Operation,
        values: Sequence[Value],
        nodes: Sequence[Ast],
        options: Mapping[str, object] | None = None,
        quiet: bool = False,
    ) -> Value:
        """An operation of the registry applied to values."""
        session = self.session
        site = session.at(node, *values)
        if record.kind == "map" and record.typing is None and len(values) == record.arity:
            kind = operators.align(session, values, nodes, "combine", node)
            return entrywise(session, record.name, values, [operators.operand_labels(v, kind) for v in values], kind)
        if record.name in ARRAY_FUNCTIONS and len(values) == 1 and values[0].is_scalar:
            session.doubt(operators.DOUBT_SCALAR_AS_ARRAY, values[0])
        if options is not None and options.get("axis") != record.options.get("axis") and values[0].is_scalar:
            site.fail(f"{session.describe(nodes[0], values[0])} is a scalar and has no axis", "leave out axis=")
        types = [Type(value.type.kind, tuple(map(session.dimensions.resolve, value.type.shape))) for value in values]
        before = dict(session.notes)
        try:
            value_type, make = typing_rule(record)(site, types, dict(record.options) if options is None else options)
        except ShapeError as error:
            self.explain(error, node, nodes, values, record)
            raise
        except MatcalcError as error:
            error.span = error.span or node.span
            raise
        if quiet:
            session.notes.clear()
            session.notes.update(before)
        result = alike(session, values, value_type, make)
        if record.kind == "expression" and not values:
            result.open = False
        return result

    def explain(
        self, error: ShapeError, node: Ast, nodes: Sequence[Ast], values: Sequence[Value], record: Operation
    ) -> None:
        """Add the operands in the reader's words to an error of a typing rule."""
        self.session.guilty = tuple(values)
        square = record.signature.startswith("(n,n)->") or record.name in ("tr", "cofactor", "vech")
        if error.message.startswith("the sizes ") and square and len(values) == 1:
            name = node.func if isinstance(node, Call) else record.name
            error.message = f"{name} takes a square matrix, {self.session.describe(nodes[0], values[0])} is not"
            error.hint = "declare it square, as matrix(n, n), or take a square product of it"
        elif error.message.startswith("the sizes ") and isinstance(node, Call):
            error.message = f"{self.session.text(node) or node.func}: {error.message}"
        if error.hint is None and values:
            shown = ", ".join(self.session.describe(part, value) for part, value in zip(nodes, values, strict=True))
            error.hint = f"given: {shown}"
        error.hint = error.hint or "both must be equal"

    def einsum(self, node: Call, scope: Scope) -> Visit:
        """``einsum("ij,jk->ik", A, B)``."""
        session = self.session
        site = session.at(node)
        if not node.args or not isinstance(node.args[0], Str):
            site.fail("einsum takes its index string first", 'write einsum("ij,jk->ik", A, B)')
        spec = node.args[0].value.replace(" ", "")
        values: list[Value] = []
        for argument in node.args[1:]:
            values.append((yield self.expression(argument, scope)))  # noqa: PERF401 (a visit cannot be in a list)
        quoted = session.at(node.args[0], *values)
        left, arrow, out = spec.partition("->")
        inputs = left.split(",")
        if not arrow:
            letters = left.replace(",", "")
            out = "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
        if not all(text.isalpha() or not text for text in (*inputs, out)):
            quoted.fail(f'the index string "{spec}" may only hold letters, commas and one ->', 'write "ij,jk->ik"')
        if len(inputs) != len(values):
            counted = f"{len(inputs)} operand{'s' * (len(inputs) > 1)}"
            hint = "the indices of an operand stand between commas, one letter for each of its axes"
            quoted.fail(f'"{spec}" names {counted}, but {len(values)} {"are" if len(values) > 1 else "is"} given', hint)
        sizes: dict[str, Dim] = {}
        for argument, text, value in zip(node.args[1:], inputs, values, strict=True):
            if len(text) != len(value.type.shape):
                session.at(node.args[0], value).fail(
                    f'"{text}" does not fit {session.describe(argument, value)}',
                    f"one letter for each axis: {len(value.type.shape)} for {session.text(argument) or 'it'}",
                )
            for letter, dim in zip(text, value.type.shape, strict=True):
                known = sizes.setdefault(letter, dim)
                if not session.dimensions.unify(known, dim, argument.span):
                    shown = f"{session.dim_text(known)} and {session.dim_text(dim)}"
                    session.at(argument, *values).fail(
                        f"the index {letter} of einsum has the sizes {shown}",
                        "one letter is one size: rename it, or transpose an operand",
                    )
        if len(set(out)) < len(out) or not set(out) <= set(sizes):
            quoted.fail(
                f'the output "{out}" of einsum must hold distinct letters of its operands',
                f"the letters are {', '.join(sizes)}" if sizes else "the operands have no letters",
            )
        parts = [(value, 1, tuple(map(ord, text))) for value, text in zip(values, inputs, strict=True)]
        return contract(session, parts, tuple(map(ord, out)), kind_of_order(tuple(sizes[letter] for letter in out)))

    def unit_vector(self, node: Call, scope: Scope) -> Value:
        """``e(i, n)``."""
        session = self.session
        place = place_of(session, node.args[0], self.resolver.sizes(), dict(scope.indices))
        size = self.size(node.args[1], scope)
        known = (place.offset.constant, size.constant)
        index = place.index
        if index is None:
            if known[0] is not None and (known[0] < 1 or (known[1] is not None and known[0] > known[1])):
                message = f"position {known[0]} is not in a vector of length {size}"
                session.at(node).fail(message, "positions count from 1")
            resolve = session.dimensions.resolve
            return Value(column(size), (), lambda _: Structure("unit", resolve(place.offset), resolve(size)))

        def make(_nodes: Sequence[Node]) -> Node:
            resolve = session.dimensions.resolve
            start = resolve(index.first + place.offset)
            return selection(resolve(index.size), resolve(size), start - 1)

        return Value(column(size), (), make, (index.place,))

    def kronecker_delta(self, node: Call, scope: Scope) -> Value:
        """``I[i, k]``: an entry of an identity matrix whose size follows from the indices."""
        identity = self.resolver.constant(Name("I", span=node.func_span))
        assert identity is not None
        return access(self.session.at(node), identity, [self.item(arg, scope) for arg in node.args], "I")

    # --- functions of the user -------------------------------------------------------------------

    def user_function(self, node: Call, scope: Scope) -> Visit:
        """A function of the program: its body with the arguments put in, entry by entry where that is needed."""
        definition = self.resolver.table.functions[node.func]
        site = self.session.at(node)
        if node.func in self.active:
            site.refuse(Unsupported(f"the function {node.func} is defined by itself", hint="write the recursion out"))
        if len(self.active) > MAX_FUNCTION_DEPTH:
            message = f"more than {MAX_FUNCTION_DEPTH} functions inside each other"
            site.refuse(Unsupported(message, hint="name parts of the formula"))
        names = [parameter.id for parameter in definition.params]
        if node.kwargs or len(names) != len(node.args):
            given = len(node.args)
            wanted = f"{len(names)} argument{'' if len(names) == 1 else 's'}"
            site.fail(f"{node.func} takes {wanted}, not {given}", f"it is defined as {node.func}({', '.join(names)})")
        values: list[Value] = []
        for argument in node.args:
            values.append((yield self.expression(argument, scope)))  # noqa: PERF401 (a visit cannot be in a list)
        key = (node.func, id(definition), tuple(map(id, values)))
        cached = self.applied.get(key)
        if cached is not None:
            return cached[0]
        self.active.append(node.func)
        try:
            result = yield self.apply_body(node, definition, names, values)
        finally:
            self.active.pop()
        self.applied[key] = (result, values)
        return result

    def apply_body(self, node: Call, definition: Define, names: Sequence[str], values: Sequence[Value]) -> Visit:
        session = self.session
        arrays = [value for value in values if value.is_array]
        point = session.dimensions.mark(), len(session.doubts), len(session.accesses), dict(session.notes)
        try:
            return (yield self.expression(definition.body, Scope(dict(zip(names, values, strict=True)))))
        except ShapeError as error:
            if not arrays or len({value.type.kind for value in arrays}) > 1:
                raise
            direct = error
        session.dimensions.rollback(point[0])
        del session.doubts[point[1] :], session.accesses[point[2] :]
        session.notes.clear()
        session.notes.update(point[3])
        # the body has no meaning for arrays: it is a function of numbers, applied to every entry
        lead = arrays[0].type
        indices: list[IndexVariable] | None = None
        entries: list[Value] = []
        for value in values:
            if value.is_scalar:
                entries.append(value)
                continue
            for one, other in zip(lead.shape, value.type.shape, strict=True):
                if not session.dimensions.unify(one, other):
                    raise direct
            entry, found = unpack(session, value, node)
            indices = indices or found
            entry.batch = (*value.batch, *(index.place for index in indices))
            entries.append(entry)
        assert indices is not None
        try:
            result = yield self.expression(definition.body, Scope(dict(zip(names, entries, strict=True))))
        except ShapeError:
            raise direct from None
        if result.is_array:
            raise direct
        return pack(session, result, indices, lead)

    # --- indices ---------------------------------------------------------------------------------

    def index(self, node: Index, scope: Scope) -> Visit:
        """``x[i]``, ``A[i, :]``, ``x_{i+1}``, ``A_{ij}``."""
        base_node = node.base
        only = node.items[0] if len(node.items) == 1 else None
        if node.subscript and isinstance(base_node, Name) and isinstance(only, Name | Num):
            text = only.id if isinstance(only, Name) else str(only.value)
            name = f"{base_node.id}_{text}"
            known = self.resolver.known(base_node.id, scope)
            whole = self.resolver.known(name, scope)
            if whole is not None:
                return whole
            splits = isinstance(only, Name) and len(text) > 1 and all(letter in scope.indices for letter in text)
            if isinstance(only, Num) and known is None:
                return self.resolver.name(Name(name, span=node.span), scope)
            placed = splits or text in scope.indices or text in self.resolver.sizes()
            if isinstance(only, Name) and not placed:
                return self.resolver.name(Name(name, span=node.span), scope)
        base = self.leaf(base_node, scope) or (yield self.expression(base_node, scope))
        what = self.session.text(base_node) or "the array"
        items: list[Item] = []
        order = len(base.type.shape)
        if node.subscript and isinstance(only, Name) and only.id not in scope.indices and len(only.id) > 1:
            if all(letter in scope.indices for letter in only.id):
                items = [Place(scope.indices[letter], Dim.of(0)) for letter in only.id]
        elif node.subscript and isinstance(only, Num) and only.value.denominator == 1:
            digits = str(only.value)
            whole_number = len(digits) != order or order < 2
            items = [Place(None, Dim.of(int(d))) for d in ([digits] if whole_number else digits)]
        if not items:
            items = [self.item(item, scope) for item in node.items]
        return access(self.session.at(node, base), base, items, what)

    def item(self, node: Ast, scope: Scope) -> Item:
        sizes = self.resolver.sizes()
        indices = dict(scope.indices)
        if not isinstance(node, Range):
            if isinstance(node, Name) and self.is_array_name(node.id, scope):
                self.session.at(node).refuse(
                    Unsupported(f"{node.id} as an index", hint="positions are integers, sizes or indices of a sum")
                )
            return place_of(self.session, node, sizes, indices)
        if node.start is None and node.stop is None:
            return WHOLE
        if node.start is None or node.stop is None:
            self.session.at(node).fail("a range needs both ends or none", "write 1:k or k:n")
        first, last = (place_of(self.session, end, sizes, indices) for end in (node.start, node.stop))
        if first.index is not None or last.index is not None:
            self.session.at(node).refuse(
                Unsupported("a range whose length depends on an index", hint="sum over the entries: sum_{j=1}^{i} x_j")
            )
        length = (last.offset - first.offset + 1).constant
        if length is not None and length < 1:
            self.session.at(node).fail(
                f"the range {first.offset}:{last.offset} is empty",
                "write the smaller end first; both ends belong to it",
            )
        return Stretch(first.offset, last.offset)

    def is_array_name(self, name: str, scope: Scope) -> bool:
        if name in scope.indices or name in self.resolver.sizes():
            return False
        return self.resolver.order_of(name, scope) is not None

    def index_sum(self, node: IndexSum, scope: Scope) -> Visit:
        """``sum_{i=1}^{N} …`` and ``prod``."""
        session = self.session
        site = session.at(node)
        for name in node.indices:
            if name in OPERATIONS and name != "e":
                site.fail(f"{name} is a function and cannot be an index")
        variables: list[IndexVariable] = []
        masks: list[Value] = []
        inner = scope
        for name in node.indices:
            bounds: list[Place | None] = []
            for bound in (node.lower, node.upper):
                if bound is None:
                    bounds.append(None)
                    continue
                if isinstance(bound, Name) and bound.id in self.resolver.table.declared:
                    session.at(bound).refuse(
                        ShapeError(
                            f"the bound {bound.id} is declared as a variable",
                            hint=f"a bound is a size: leave out the declaration of {bound.id}",
                        )
                    )
                bounds.append(place_of(session, bound, self.resolver.sizes(), dict(inner.indices)))
            variable, dependent = bind(site, name, bounds[0], bounds[1])
            masks.extend(mask(session, variable, relation, place) for relation, place in dependent)
            variables.append(variable)
            inner = inner.under([variable])
        body = yield self.expression(node.body, inner)
        for condition in masks:
            body = masked(session, body, condition, 0 if node.kind == "sum" else 1)
        if node.kind == "prod":
            return product_over(session.at(node, body), body, variables)
        return sum_over(session, body, variables)

    def entries(self, node: Ast, indices: Sequence[str], span_of: Ast) -> Visit:
        """An array defined entry by entry: ``D_{ij} = …``."""
        session = self.session
        variables = []
        for name in indices:
            origin = Origin(f"the index {name}", span_of.span, "let it run over the axis of an array")
            variables.append(session.index(name, Dim.of(1), session.dimensions.fresh(origin), span_of.span))
        body = yield self.expression(node, EMPTY.under(variables))
        shape = tuple(index.size for index in variables) + body.type.shape
        return pack(session, body, variables, kind_of_order(shape))
