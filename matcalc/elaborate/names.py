"""What names mean: indices, parameters, assigned and declared names, sizes, constants, elements, variables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import UnknownName
from ..expr import build
from ..expr.dims import Dim
from ..expr.nodes import Node, Structure, Variable
from ..expr.typed import SCALAR, Type, matrix
from ..ops.registry import OPERATIONS
from ..syntax.ast import Ast, Define, Name
from ..syntax.greek import NAME_TO_LETTER
from ..syntax.hints import PROGRAMMING
from . import operators
from .context import Origin, Session
from .declare import kind_of_order
from .indices import Item, Place, access
from .infer import first_kind
from .operators import contract, number, range_of_index
from .tree import Survey
from .values import IndexVariable, Value

CONSTANTS = ("pi", "inf", "e")
PREFIX_FUNCTIONS = (
    "log", "ln", "exp", "sin", "cos", "tan", "sum", "tr", "Tr", "det", "sqrt", "abs", "mean", "max", "min", "norm",
    "inv", "diag", "vec", "tanh", "sinh", "cosh", "sigmoid", "relu", "logdet", "trace",
)  # fmt: skip
WORDS = frozenset({"cost", "tank", "mint", "since", "sine", "trx"})


def following(source: str, end: int) -> str:
    """What stands behind a name up to the next sum or bracket: the argument that was meant; ``x`` if nothing does.

    >>> following("log A x + y", 3)
    'A x'
    """
    match = re.match(r"[ ]+([A-Za-z][A-Za-z0-9_^'. *]*)", source[end : end + 30])
    return match[1].strip() if match is not None else "x"


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean inside a function body or a sum, beside what they mean in the program."""

    parameters: Mapping[str, Value] = field(default_factory=dict)
    indices: Mapping[str, IndexVariable] = field(default_factory=dict)

    def under(self, indices: Iterable[IndexVariable]) -> Scope:
        return Scope(self.parameters, {**self.indices, **{index.name: index for index in indices}})


EMPTY = Scope()


@dataclass(slots=True)
class Names:
    """What is known of names at this point of the program.

    Parameters
    ----------
    assigned: named intermediates, so far.
    declared: types and properties by name.
    sizes: the names of sizes.
    integers: names that were assigned a whole number, which may stand in bounds.
    functions: functions defined so far.
    """

    assigned: dict[str, Value] = field(default_factory=dict)
    declared: dict[str, tuple[Type, tuple[str, ...]]] = field(default_factory=dict)
    sizes: dict[str, Dim] = field(default_factory=dict)
    integers: dict[str, Dim] = field(default_factory=dict)
    functions: dict[str, Define] = field(default_factory=dict)


@dataclass(slots=True)
class Resolver:
    """Gives names their values within one attempt.

    Parameters
    ----------
    session: what the attempt collects.
    table: what is known of names so far.
    seen: the survey of the program.
    """

    session: Session
    table: Names
    seen: Survey

    def known(self, name: str, scope: Scope) -> Value | None:
        """The value of a name that was declared, assigned or bound."""
        index = scope.indices.get(name)
        if index is not None:
            return range_of_index(self.session, index.place)
        value = scope.parameters.get(name) or self.table.assigned.get(name)
        if value is not None:
            return value
        if name in self.table.declared:
            return self.variable(name)
        size = self.table.sizes.get(name)
        return None if size is None else operators.count(self.session, size)

    def variable(self, name: str) -> Value:
        """The value of a variable; an undeclared one has the kind that this attempt chose."""
        found = self.session.variables.get(name)
        if found is not None:
            return found
        session = self.session
        declared = self.table.declared.get(name)
        if declared is not None:
            value_type, properties = declared
        else:
            kind = session.kinds.get(name) or first_kind(name, self.seen)
            count = {"scalar": 0, "column": 1, "matrix": 2}[kind]
            value_type, properties = kind_of_order(tuple(session.dimensions.fresh() for _ in range(count))), ()

        def make(_nodes: Sequence[Node]) -> Node:
            return Variable(name, tuple(map(session.dimensions.resolve, value_type.shape)), properties)

        undeclared = None if declared is not None else name
        value = Value(value_type, (), make, bare=True, open=declared is None, undeclared=undeclared)
        session.variables[name] = value
        return value

    def name(self, node: Name, scope: Scope) -> Value:
        """The value of a name."""
        name = node.id
        value = self.known(name, scope)
        if value is not None:
            return value
        constant = self.constant(node)
        if constant is not None:
            return constant
        items = self.subscript(name, scope)
        if items is not None:
            base = name.rpartition("_")[0]
            if len(items) == 1 and self.is_sample(base, scope):
                self.session.at(node).note(f"{name} is row {name.rpartition('_')[2]} of {base.upper()}, as a column")
                base = base.upper()
            return access(self.session.at(node), self.known(base, scope) or self.variable(base), items, base)
        if name not in self.session.variables:
            self.refuse_misspelling(node, scope)
        return self.variable(name)

    def constant(self, node: Name) -> Value | None:
        """``pi``, ``e``, ``inf``, ``I`` and ``ones`` without arguments."""
        session = self.session
        if node.id in CONSTANTS:
            return Value(SCALAR, (), lambda _nodes: Structure(node.id), count=True)
        if node.id == "I":
            side = session.dimensions.fresh(Origin("I", node.span, "write I(n)"))
            return Value(matrix(side, side), (), lambda _nodes: build.delta(session.dimensions.resolve(side)))
        if node.id in ("ones", "zeros"):
            return self.filled(node, number(int(node.id == "ones")), 1, node.id)
        return None

    def filled(self, node: Ast, entry: Value, order: int, what: str) -> Value:
        """An array with all entries equal, its size to follow from the context."""
        hint = "write ones(n)" if order == 1 else "write ones(m, n)"
        dims = tuple(self.session.dimensions.fresh(Origin(what, node.span, hint)) for _ in range(order))
        return contract(self.session, [(entry, 1, ())], tuple(range(order)), kind_of_order(dims))

    def subscript(self, name: str, scope: Scope) -> list[Item] | None:
        """The positions that ``x_i``, ``A_ij``, ``x_1`` stand for, when they are elements."""
        base, _, below = name.rpartition("_")
        if not base:
            return None
        known = self.order_of(base, scope)
        if below in scope.indices:
            return None if known is None and base in OPERATIONS else [Place(scope.indices[below], Dim.of(0))]
        if len(below) > 1 and all(letter in scope.indices for letter in below) and known != 1:
            return [Place(scope.indices[letter], Dim.of(0)) for letter in below]
        if known is None or known == 0:
            return None
        if below.isdigit() and below.isascii():
            digits = list(below) if len(below) == known else [below]
            return [Place(None, Dim.of(int(digit))) for digit in digits]
        sizes = self.sizes()
        return [Place(None, sizes[below])] if below in sizes else None

    def is_sample(self, name: str, scope: Scope) -> bool:
        """Whether ``x_i`` means row i of a declared matrix ``X``, for there is no x."""
        if len(name) != 1 or not name.islower() or name in self.session.variables:
            return False
        return self.order_of(name, scope) is None and self.order_of(name.upper(), scope) == 2

    def order_of(self, name: str, scope: Scope) -> int | None:
        """The number of axes of a known name."""
        value = scope.parameters.get(name) or self.table.assigned.get(name)
        if value is not None:
            return len(value.type.shape)
        declared = self.table.declared.get(name)
        return None if declared is None else len(declared[0].shape)

    def sizes(self) -> dict[str, Dim]:
        """Names that may stand in bounds and as sizes."""
        return {**self.table.sizes, **self.table.integers} if self.table.integers else self.table.sizes

    def refuse_misspelling(self, node: Name, scope: Scope) -> None:
        """Function names used as variables, ``logx``, ``xTAx``, an index that is not bound."""
        name = node.id
        refuse = self.session.at(node).refuse
        if name == "T":
            hint = "write x^T, or call the variable T_1"
            refuse(UnknownName("T alone is not a name: it marks a transpose", hint=hint))
        if name in OPERATIONS or name in self.table.functions:
            hint = f"write {name}({following(self.session.source, node.span.end)})"
            refuse(UnknownName(f"{name} is a function and needs its argument in brackets", hint=hint))
        for prefix in PREFIX_FUNCTIONS:
            rest = name[len(prefix) :]
            if name.startswith(prefix) and re.fullmatch(r"[A-Zxyzwuvabpq](_?\d+)?", rest) and name not in WORDS:
                refuse(UnknownName(f"the name {name} is not known", hint=f"write {prefix}({rest})"))
        joined = len(name) in (2, 3) and name.isalpha() and name not in NAME_TO_LETTER
        if joined and all(self.known(letter, scope) is not None for letter in name):
            hint = f"write {' '.join(name)} for the product, or declare {name}"
            refuse(UnknownName(f"the name {name} is not known, but its letters are", hint=hint))
        if name in PROGRAMMING:
            hint = f"{PROGRAMMING[name]}; a variable of this name needs a declaration"
            refuse(UnknownName(f"{name} is a word of programming languages and means nothing here", hint=hint))
        product = re.fullmatch(r"([a-z])T([A-Za-z])([a-z]?)", name)
        if product is not None:
            spaced = " ".join(part for part in product.groups()[1:] if part)
            refuse(UnknownName(f"the name {name} is not known", hint=f"write {product[1]}^T {spaced}"))
        base, _, below = name.rpartition("_")
        if base and below in ("i", "j") and self.order_of(base, scope):
            refuse(
                UnknownName(
                    f"the index {below} of {name} is not bound",
                    hint=f"write sum_{{{below}}} {name}, or define an array entry by entry: p_{below} = {name}",
                )
            )
