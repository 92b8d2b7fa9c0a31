"""Random programs of the language, made type by type at a concrete point, and the command that checks them.

Every program is text. While it is made, the value of each of its parts at the point is known from the oracle, so that
logarithms meet positive numbers and no part stands near a kink.

    python -m tests.random_programs --count 20000 --seed 0 --jobs 2
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from matcalc.syntax.ast import Ast, Output
from matcalc.syntax.greek import NAME_TO_LETTER
from matcalc.syntax.parse import parse_type
from tests.oracle import Array, NotAnalyticError, Scope, Value, of_array, read, run, sample_array
from tests.program_rules import (
    ARRAY_FUNCTIONS,
    COMPARE,
    ELEMENTWISE_BODIES,
    ENTRY_FUNCTIONS,
    GUARDS,
    POSTFIX,
    POWER,
    PRODUCT,
    REPAIRS,
    RULES,
    SLOT_LEVELS,
    SPELLINGS,
    SUM,
    TERM,
    Dim,
    Rule,
)

SIZES: Mapping[str, int] = {"n": 3, "m": 4, "k": 2, "p": 5}
DIM_WEIGHTS: Mapping[str, float] = {"n": 5, "m": 4, "k": 3, "p": 1}
LARGEST = 60.0
"""No part of a program is larger than this at its point."""
MAX_ENTRIES = 4000
"""The largest derivative that is asked for."""
SLOW = re.compile(r"eig|svd|nuclear|spectral|logm|sqrtm|\|_\*|_2(?!\^)|\^\(1/2\)|digamma")
"""Parts without a cheap complex continuation: their second derivatives are left to small variables."""


# --- types ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Type:
    """A kind (``scalar column row matrix``, or a wish: ``sym spd inv integer``) and its sizes."""

    kind: str
    dims: tuple[Dim, ...] = ()

    @property
    def value_type(self) -> Type:
        """The type without the wish for a property."""
        if self.kind in ("sym", "spd", "inv"):
            return Type("matrix", (self.dims[0], self.dims[0]))
        if self.kind == "integer":
            return Type("scalar")
        return self


SCALAR = Type("scalar")


def size_of(dim: Dim) -> int:
    """The integer a size is."""
    if isinstance(dim, int):
        return dim
    if isinstance(dim, str):
        return SIZES[dim]
    operation, left, right = dim
    match operation:
        case "*":
            return size_of(left) * size_of(right)
        case "+":
            return size_of(left) + size_of(right)
        case "-":
            return size_of(left) - size_of(right)
    return size_of(left) * (size_of(left) + 1) // 2


def declaration(type_: Type, properties: Sequence[str]) -> str:
    """A type as the oracle reads it."""
    kind = {"column": "vector"}.get(type_.kind, type_.kind)
    sizes = f"({', '.join(map(str, type_.dims))})" if type_.dims else ""
    return " ".join([kind + sizes, *properties])


@cache
def tokens_of(pattern: str) -> tuple[str, tuple[str, ...]]:
    kind, *dims = pattern.split()
    return kind, tuple(dims)


def match_dim(token: str, dim: Dim, bound: dict[str, Dim]) -> bool:
    """Whether a size fits a pattern, given the letters bound so far."""
    if token.isdigit():
        return dim == int(token)
    if len(token) == 1:
        return bound.setdefault(token, dim) == dim
    if isinstance(dim, str | int):
        return False
    operation, left, right = dim
    if token.startswith("tri("):
        return operation == "tri" and match_dim(token[4], left, bound)
    return operation == token[1] and match_dim(token[0], left, bound) and match_dim(token[2], right, bound)


def match_type(pattern: str, wanted: Type) -> dict[str, Dim] | None:
    """The sizes that letters of a pattern stand for, if it fits."""
    kind, tokens = tokens_of(pattern)
    if kind == "any":
        return {} if wanted.kind in ("scalar", "column", "row", "matrix") else None
    if kind != wanted.kind or len(tokens) != len(wanted.dims):
        return None
    bound: dict[str, Dim] = {}
    fits = all(match_dim(token, dim, bound) for token, dim in zip(tokens, wanted.dims, strict=True))
    return bound if fits else None


def letters_of(patterns: Sequence[str]) -> list[str]:
    """The letters of the sizes in patterns, in order."""
    found = [letter for pattern in patterns for letter in re.findall(r"\b[a-d]\b", pattern.partition(" ")[2])]
    return list(dict.fromkeys(found))


def dim_of(token: str, bound: Mapping[str, Dim]) -> Dim:
    if token.isdigit():
        return int(token)
    if token.startswith("tri("):
        return ("tri", bound[token[4]], 0)
    if len(token) == 3:
        return (token[1], bound[token[0]], dim_of(token[2], bound))
    return bound[token]


# --- pieces --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a program: its text, how tightly that binds, its type and its value at the point.

    ``names`` are the variables and intermediates it is made of, ``sizes`` the sizes it mentions as numbers.
    """

    text: str
    level: int
    type: Type
    value: Value
    names: frozenset[str] = frozenset()
    sizes: frozenset[str] = frozenset()

    @property
    def array(self) -> Array:
        return self.value.array


@dataclass(frozen=True, slots=True)
class Known:
    """A name of the program: a variable or an intermediate."""

    name: str
    type: Type
    value: Value
    properties: tuple[str, ...] = ()
    is_variable: bool = True


@cache
def template_ast(text: str) -> Ast:
    statement = read(text).statements[0]
    assert isinstance(statement, Output)
    return statement.value


SLOT = re.compile(r"\{(\d):(\w)\}")
OPERATOR_ENDS = "+-−*.@·⊙∘⊘/÷⊗<>≥≤=^\\,;:([|‖"
NO_JUXTAPOSITION = re.compile(r"[\d.\-−+|‖\[<⟨√]")


def spell_operators(rng: random.Random, template: str) -> str:
    """Choose one spelling for each operator of a template."""

    def choose(found: re.Match[str]) -> str:
        options = SPELLINGS.get(found[0])
        if options is None:
            return found[0]
        return rng.choices([text for text, _ in options], [weight for _, weight in options])[0]

    return re.sub(r"<[\w+]+>", choose, template)


def needs_brackets(operand: Piece, slot: str, before: str, after: str) -> bool:
    """Whether an operand is bracketed between the characters before and after its slot."""
    text = operand.text
    if operand.level < SLOT_LEVELS[slot]:
        return True
    if slot == "x":  # an exponent takes no operator of its own
        return "ᵀ" in text or not re.fullmatch(r"\w+|[\d.]+", text)
    if slot == "b" and (text.endswith((".T", r"\top")) or (text.endswith("T") and after in "²³⁻")):
        return True
    # bars next to bars are read in another way, or refused
    return before.endswith(("|", "‖")) and text.startswith(("|", "‖"))


def fill(template: str, operands: Sequence[Piece]) -> str:
    """Put operands into a template, with the brackets they need there."""
    parts: list[str] = []
    end = 0
    for found in SLOT.finditer(template):
        before = template[end : found.start()]
        parts.append(before)
        operand = operands[int(found[1])]
        text = operand.text
        if needs_brackets(operand, found[2], before, template[found.end() : found.end() + 1]):
            text = f"({text})"
        side = before.strip()
        glued = before.endswith(" ") and (side[-1] not in OPERATOR_ENDS if side else len(parts) > 1)
        if glued and NO_JUXTAPOSITION.match(text):
            text = f"({text})" if text[0] in "-−+" else f"* {text}"
        elif before.endswith(("*", "@", "/")) and text[:1] in "-−+":
            text = f"({text})"
        parts.append(text)
        end = found.end()
    return "".join(parts) + template[end:]


# --- the generator -------------------------------------------------------------------------------

MATRIX_NAMES = ("A", "B", "X", "W", "C", "M", "Q", "S", "Y", "P", "W_1", "Sigma", "K", "Lambda", "X_train")
COLUMN_NAMES = ("x", "y", "w", "z", "u", "v", "b", "theta", "r", "s", "beta", "h", "x_0", "w_1")
SCALAR_NAMES = ("a", "c", "alpha", "lambda", "d", "g", "mu", "sigma", "eta", "tau", "gamma")
INTERMEDIATE_NAMES = ("r2", "t1", "H", "yhat", "G", "R", "q", "loss", "V", "res", "f0", "Z", "D", "psi")
FUNCTION_NAMES = ("f", "phi", "act", "F", "g2")
OMITTED = {
    "matrix": re.compile(r"[A-Z](?![a-z])|Sigma|Lambda"),
    "column": re.compile(r"[h-z](_|$)"),
    "scalar": re.compile(r"alpha|lambda|mu|sigma|eta|tau|gamma"),
}
"""Names whose type follows from their look alone."""


FITTING: Mapping[str, frozenset[str]] = {
    "sym": frozenset({"symmetric", "spd", "psd"}),
    "spd": frozenset({"spd"}),
    "inv": frozenset({"spd", "orthogonal", "lower", "upper"}),
    "integer": frozenset({"integer"}),
}
"""The declared properties that fulfil a wish."""


class ExhaustedError(Exception):
    """The generator used up its budget for one program."""


@dataclass(frozen=True, slots=True)
class Case:
    """A program and the derivative asked for, with all that is needed to evaluate both.

    Parameters
    ----------
    text: the program.
    types: the type of every variable, declared in the program or not.
    wrt: the variables differentiated by, one for each order.
    seed: of the values.
    value: what the generator says the program's value is; None when it is not known.
    name: how the case is called in reports.
    """

    text: str
    types: Mapping[str, str]
    wrt: tuple[str, ...]
    seed: str
    value: Array | None = None
    name: str = ""

    @property
    def order(self) -> int:
        return len(self.wrt)


def value_of(name: str, type_text: str, seed: str) -> Array:
    """The value of a variable; it depends on nothing but its own name and type and the seed."""
    declared = parse_type(type_text)
    sizes = re.findall(r"\w+", type_text.partition("(")[2].partition(")")[0])
    shape = tuple(size_of(int(size) if size.isdigit() else size) for size in sizes)
    generator = np.random.default_rng(list(f"{seed} {name}".encode()))
    return sample_array(shape, declared.properties, generator)


def values_of(case: Case) -> dict[str, Array]:
    """The values of all variables of a case."""
    return {name: value_of(name, text, case.seed) for name, text in case.types.items()}


Entry = tuple[str, int, frozenset[str], set[str]]
"""A scalar under bound indices: its text, how tightly that binds, its names, and the indices its elements carry."""


@dataclass(slots=True)
class Maker:
    """The state of one program in the making."""

    rng: random.Random
    seed: str
    known: dict[str, Known] = field(default_factory=dict)
    functions: list[tuple[str, tuple[str, ...], str, str, tuple[str, ...]]] = field(default_factory=list)
    statements: list[tuple[str, str, frozenset[str], frozenset[str]]] = field(default_factory=list)
    definitions: dict[str, str] = field(default_factory=dict)
    budget: int = 1500
    max_variables: int = 4
    scope: Scope = field(default_factory=lambda: Scope({}, dict(SIZES)))

    # -- names

    def fresh_name(self, names: Sequence[str]) -> str | None:
        free = [name for name in names if name not in self.known and name not in self.definitions]
        # common names first: the list is in the order of how often people use them
        return free[min(int(self.rng.expovariate(0.5)), len(free) - 1)] if free else None

    def variable_count(self) -> int:
        return sum(entry.is_variable for entry in self.known.values())

    def add_variable(self, type_: Type) -> Known | None:
        """Declare a new variable, with a property now and then."""
        wish = type_.kind
        plain = type_.value_type
        if any(isinstance(dim, tuple) for dim in plain.dims) or plain.kind == "row":
            return None
        names = {"scalar": SCALAR_NAMES, "column": COLUMN_NAMES, "matrix": MATRIX_NAMES}[plain.kind]
        name = self.fresh_name(names)
        if name is None:
            return None
        properties: tuple[str, ...] = ()
        chance = self.rng.random()
        if wish == "sym":
            properties = ("symmetric",)
        elif wish == "spd":
            properties = ("spd",)
        elif wish == "integer":
            properties = ("integer", "positive")
        elif wish == "inv":
            properties = self.rng.choice([("lower",), ("upper",), ("orthogonal",), ("spd",), (), ("symmetric",)])
        elif plain.kind == "matrix" and plain.dims[0] == plain.dims[1] and chance < 0.4:
            choices = ("symmetric", "spd", "lower", "upper", "diagonal", "skew", "orthogonal", "psd", "positive")
            properties = (self.rng.choices(choices, (6, 4, 2, 2, 2, 2, 1, 1, 1))[0],)
        elif plain.kind == "matrix" and chance < 0.45:
            properties = (self.rng.choice(("positive", "nonnegative")),) if chance < 0.05 else ()
        elif plain.kind in ("column", "scalar") and chance < 0.25:
            properties = ("positive",) if chance < 0.2 else ("nonnegative",)
        text = declaration(plain, properties)
        value = of_array(value_of(name, text, self.seed))
        entry = Known(name, plain, value, properties)
        self.known[name] = entry
        self.scope.values[name] = value
        return entry

    def spelled(self, name: str) -> str:
        """A name as it is written: now and then with Greek letters."""
        head, underscore, rest = name.partition("_")
        letter = NAME_TO_LETTER.get(head)
        if letter is None or self.rng.random() < 0.6:
            return name
        return letter + underscore + rest

    def named(self, entry: Known) -> Piece:
        return Piece(self.spelled(entry.name), POSTFIX, entry.type, entry.value, frozenset([entry.name]))

    # -- leaves

    def existing(self, type_: Type) -> list[Known]:
        plain = type_.value_type
        fitting = FITTING.get(type_.kind)
        return [
            entry
            for entry in self.known.values()
            if entry.type == plain and (fitting is None or fitting & set(entry.properties))
        ]

    def leaf(self, type_: Type, named: bool = False) -> Piece | None:
        rng = self.rng
        if type_.kind == "scalar" and not named and rng.random() < 0.35:
            return self.number()
        found = self.existing(type_)
        intermediates = [entry for entry in found if not entry.is_variable]
        if intermediates and rng.random() < 0.6:
            return self.named(rng.choice(intermediates))
        room = self.variable_count() < self.max_variables
        if found and (not room or rng.random() < 0.65):
            return self.named(rng.choice(found))
        if type_.kind == "row":
            column = self.leaf(Type("column", type_.dims))
            return None if column is None else self.compose("{0:b}<T>", [column], type_, POSTFIX)
        if type_.kind == "matrix" and not named and rng.random() < 0.3:
            turned = self.existing(Type("matrix", type_.dims[::-1]))
            if turned:
                return self.compose("{0:b}<T>", [self.named(rng.choice(turned))], type_, POSTFIX)
        if room or self.variable_count() < 7:
            entry = self.add_variable(type_)
            if entry is not None:
                return self.named(entry)
        return self.named(rng.choice(found)) if found else None

    def number(self) -> Piece:
        rng = self.rng
        chance = rng.random()
        if chance < 0.08:
            return self.literal("pi", POSTFIX)
        if chance < 0.2:
            sizes = sorted({dim for entry in self.known.values() for dim in entry.type.dims if isinstance(dim, str)})
            if sizes:
                name = rng.choice(sizes)
                return replace(self.literal(name, POSTFIX), sizes=frozenset([name]))
        text = rng.choice(("2", "2", "3", "0.5", "1/2", "1", "0.1", "1.5", "1/3", "4", "2e-1", ".5"))
        return self.literal(text, PRODUCT if "/" in text else POSTFIX)

    def literal(self, text: str, level: int) -> Piece:
        return Piece(text, level, SCALAR, run(template_ast(text), self.scope))

    # -- composition

    def compose(
        self, template: str, operands: Sequence[Piece], type_: Type, level: int, bound: Mapping[str, Dim] | None = None
    ) -> Piece | None:
        """Fill a template; None if the value is not moderate."""
        self.budget -= 1
        if self.budget < 0:
            raise ExhaustedError
        if template == "{0:a}":
            return replace(operands[0], type=type_)
        template = spell_operators(self.rng, template)
        sizes: set[str] = set()

        def size_text(found: re.Match[str]) -> str:
            dim = (bound or {})[found[1]]
            if isinstance(dim, str):
                sizes.add(dim)
            return str(dim)

        template = re.sub(r"\[([a-d])\]", size_text, template)
        text = fill(template, operands)
        value = self.evaluate(template, operands)
        if value is None:
            return None
        names = frozenset().union(*(operand.names for operand in operands))
        mentioned = frozenset(sizes).union(*(operand.sizes for operand in operands))
        return Piece(text, level, type_, value, names, mentioned)

    def evaluate(self, template: str, operands: Sequence[Piece]) -> Value | None:
        """The value of a filled template, from the values of the operands; None if it is not moderate."""
        bound = {f"o{position}": operand.value for position, operand in enumerate(operands)}
        node = template_ast(SLOT.sub(r"o\1", template))
        return self.moderate(node, self.scope.inner(bound))

    def moderate(self, node: Ast, scope: Scope) -> Value | None:
        with np.errstate(all="ignore"):
            try:
                value = run(node, scope)
            except (np.linalg.LinAlgError, NotAnalyticError):
                return None
        fine = value.array.size > 0 and np.all(np.isfinite(value.array)) and np.max(np.abs(value.array)) < LARGEST
        return value if fine else None

    def apply(self, rule: Rule, wanted: Type, bound: dict[str, Dim], depth: int) -> Piece | None:
        """Build a value by a rule."""
        for token in letters_of(rule.args):
            bound.setdefault(token, self.some_dim())
        for found in re.findall(r"\[([a-d])\]", rule.template):
            if not isinstance(bound.get(found), str | int):
                return None
        operands: list[Piece] = []
        for position, pattern in enumerate(rule.args):
            operand = self.operand(
                pattern, wanted, bound, depth if position == 0 else min(depth, self.rng.randint(0, max(0, depth)))
            )
            if operand is None:
                return None
            operands.append(operand)
        if not self.guarded(rule.guard, operands):
            repaired = self.repair(rule.guard, operands)
            if repaired is None:
                return None
            operands = repaired
        type_ = wanted.value_type
        if rule.written:
            return self.subscripted(rule, operands[0])
        return self.compose(rule.template, operands, type_, rule.level, bound)

    def guarded(self, guard: str, operands: Sequence[Piece]) -> bool:
        try:
            return bool(GUARDS[guard]([operand.array for operand in operands]))
        except np.linalg.LinAlgError:
            return False

    def repair(self, guard: str, operands: list[Piece]) -> list[Piece] | None:
        """Wrap the operand that the guard refused."""
        if guard not in REPAIRS:
            return None
        position = 1 if guard.startswith("second") else 0
        template = self.rng.choice(REPAIRS[guard])
        operand = operands[position]
        level = SUM if template[0] in "12" or " + " in template else PRODUCT if " " in template else POSTFIX
        level = POWER if template == "{0:b}.^2" else level
        wrapped = self.compose(template, [operand], operand.type, level)
        if wrapped is None:
            return None
        result = [*operands[:position], wrapped, *operands[position + 1 :]]
        return result if self.guarded(guard, result) else None

    def subscripted(self, rule: Rule, base: Piece) -> Piece | None:
        """An element written with a subscript, whose meaning depends on the name in front."""
        if not re.fullmatch(r"[^\W_]+", base.text):
            return None
        text = base.text + rule.template.removeprefix("{0:b}")
        value = self.moderate(template_ast(text), self.scope)
        return None if value is None else Piece(text, POSTFIX, SCALAR, value, base.names)

    def operand(self, pattern: str, wanted: Type, bound: Mapping[str, Dim], depth: int) -> Piece | None:
        rng = self.rng
        if pattern == "same":
            return self.make(wanted, depth - 1)
        if pattern == "vector":
            return self.make(Type("column", (self.some_dim(derived=0.3),)), depth - 1)
        if pattern == "array":
            kind = rng.choices(("matrix", "column", "row"), (5, 3, 1))[0]
            dims = tuple(
                self.some_dim(derived=0.2 if rng.random() < 0.5 else 0) for _ in range(2 if kind == "matrix" else 1)
            )
            if kind == "matrix" and isinstance(dims[0], tuple) != isinstance(dims[1], tuple):
                dims = (self.some_dim(), self.some_dim())
            return self.make(Type(kind, dims), depth - 1)
        if pattern.startswith("named "):
            kind, tokens = tokens_of(pattern.removeprefix("named "))
            return self.leaf(Type(kind, tuple(dim_of(token, bound) for token in tokens)), named=True)
        kind, tokens = tokens_of(pattern)
        return self.make(Type(kind, tuple(dim_of(token, bound) for token in tokens)), depth - 1)

    def some_dim(self, derived: float = 0.0) -> Dim:
        rng = self.rng
        if rng.random() < derived:
            left, right = rng.choices(("n", "m", "k"), k=2)
            shorter = ("-", rng.choice(("n", "m")), 1)
            return rng.choice((("*", left, right), ("+", left, right), ("tri", left, 0), shorter, shorter, 2, 3))
        used = [dim for entry in self.known.values() for dim in entry.type.dims if isinstance(dim, str)]
        if used and rng.random() < 0.6:
            return rng.choice(used)
        return rng.choices(list(DIM_WEIGHTS), list(DIM_WEIGHTS.values()))[0]

    def make(self, wanted: Type, depth: int, top: bool = False) -> Piece | None:
        """A piece of the wanted type, about as deep as asked for; at the top it is more than a name."""
        rng = self.rng
        for _ in range(6):
            piece: Piece | None
            derived = any(isinstance(dim, tuple) for dim in wanted.dims)
            if (depth <= 0 and not derived) or (not top and rng.random() < (0.1 if depth < 4 else 0.03)):
                piece = self.leaf(wanted)
            elif derived and depth <= -2:
                return None
            else:
                piece = self.special(wanted, depth) if rng.random() < 0.12 else None
                if piece is None:
                    piece = self.by_rule(wanted, depth)
            if piece is not None:
                return piece
        return self.leaf(wanted)

    def by_rule(self, wanted: Type, depth: int) -> Piece | None:
        fitting = []
        for rule in rules_for(wanted.kind):
            bound = match_type(rule.target, wanted)
            if bound is not None and self.allowed(rule, wanted):
                fitting.append((rule, bound))
        if not fitting:
            return None
        derived = any(isinstance(dim, tuple) for dim in wanted.dims)
        weights = [rule.weight * (0.1 if derived and rule.target == "any" else 1.0) for rule, _ in fitting]
        rule, bound = self.rng.choices(fitting, weights)[0]
        return self.apply(rule, wanted, bound, depth)

    @staticmethod
    def allowed(rule: Rule, wanted: Type) -> bool:
        if wanted.kind == "scalar":
            # a scalar against a scalar is already there as ``same``; entrywise signs belong to arrays
            return not (rule.target == "any" and "scalar" in rule.args)
        return True

    # -- sums over an index, user functions

    def special(self, wanted: Type, depth: int) -> Piece | None:
        """What no template says: sums over an index, calls of the program's own functions."""
        rng = self.rng
        if self.functions and rng.random() < 0.6:
            return self.call_function(wanted, depth)
        if wanted.kind == "scalar":
            return self.index_sum(min(depth, 3))
        if wanted.kind == "column" and isinstance(wanted.dims[0], str):
            return self.sum_of_samples(wanted.dims[0])
        return None

    def call_function(self, wanted: Type, depth: int) -> Piece | None:
        name, _, body, target, args = self.rng.choice(self.functions)
        if target == "elementwise":
            if wanted.kind not in ("scalar", "column", "matrix") or (wanted.kind == "matrix" and "exp(-{0} .*" in body):
                return None
            operand = self.make(wanted, depth - 1)
            if operand is None or ("where" in body and not GUARDS["kink at zero"]([operand.array - 0.05])):
                return None
            operands = [operand]
        else:
            bound = match_type(target, wanted)
            if bound is None:
                return None
            for token in letters_of(args):
                bound.setdefault(token, self.some_dim())
            found = [self.operand(pattern, wanted, bound, min(depth, 2)) for pattern in args]
            if any(operand is None for operand in found):
                return None
            operands = [operand for operand in found if operand is not None]
        slots = ", ".join(f"{{{position}:a}}" for position in range(len(operands)))
        piece = self.compose(f"{name}({slots})", operands, wanted, POSTFIX)
        return None if piece is None else replace(piece, names=piece.names | {name})

    def entry(self, indices: Mapping[str, Dim], depth: int) -> Entry | None:
        """A scalar under bound indices."""
        rng = self.rng
        if depth <= 0:
            return self.entry_leaf(indices)
        choice = rng.choices(("product", "sum", "function", "quotient", "leaf"), (8, 6, 5, 1, 2))[0]
        if choice == "leaf":
            return self.entry_leaf(indices)
        first = self.entry(indices, depth - 1)
        if first is None:
            return None
        if choice == "function":
            weights = [weight for *_, weight in ENTRY_FUNCTIONS]
            template, level, _ = rng.choices(ENTRY_FUNCTIONS, weights)[0]
            return self.entry_fill(template, [first], level)
        second = self.entry(indices, rng.randint(0, depth - 1))
        if second is None:
            return None
        template, level = {
            "product": ("{0:l}<times>{1:f}", PRODUCT),
            "sum": ("{0:s}<+>{1:t}", SUM),
            "quotient": ("{0:l} / (1 + {1:b}^2)", PRODUCT),
        }[choice]
        return self.entry_fill(template, [first, second], level)

    def entry_fill(self, template: str, parts: Sequence[Entry], level: int) -> Entry:
        pieces = [Piece(text, part_level, SCALAR, of_array(1.0)) for text, part_level, _, _ in parts]
        text = fill(spell_operators(self.rng, template), pieces)
        return text, level, frozenset().union(*(part[2] for part in parts)), set().union(*(part[3] for part in parts))

    def entry_leaf(self, indices: Mapping[str, Dim]) -> Entry | None:
        rng = self.rng
        letters = list(indices)
        chance = rng.random()
        if chance < 0.1:
            piece = self.number()
            if piece.sizes:
                return None
            return piece.text, piece.level, piece.names, set()
        if chance < 0.17:
            found = self.leaf(SCALAR, named=True)
            return None if found is None else (found.text, found.level, found.names, set())
        if chance < 0.2:
            return rng.choice(letters), POSTFIX, frozenset(), set()
        index = rng.choice(letters)
        if chance < 0.6 or (len(letters) == 1 and chance < 0.75):
            base = self.leaf(Type("column", (indices[index],)), named=True)
            if base is None:
                return None
            simple = re.fullmatch(r"[^\W_]+", base.text) is not None
            subscripts = ("_{I}", "_I") if simple else ()
            return base.text + rng.choice((*subscripts, "[I]")).replace("I", index), POSTFIX, base.names, {index}
        if len(letters) == 1:
            return self.sample_product(index, indices[index])
        other = rng.choice([letter for letter in letters if letter != index])
        base = self.leaf(Type("matrix", (indices[index], indices[other])), named=True)
        if base is None:
            return None
        simple = re.fullmatch(r"[^\W_]+", base.text) is not None
        written = ("_{IJ}", "_{I,J}", "_IJ") if simple else ()
        text = base.text + rng.choice((*written, "[I, J]", "[I,J]")).replace("I", index).replace("J", other)
        return text, POSTFIX, base.names, {index, other}

    def sample_product(self, index: str, count: Dim) -> Entry | None:
        """An inner product with sample ``i`` of a matrix, or a diagonal element."""
        rng = self.rng
        dim = self.some_dim()
        if rng.random() < 0.25 or dim == count:
            base = self.leaf(Type("matrix", (count, count)), named=True)
            if base is None:
                return None
            text = f"{base.text}[{index}, {index}]"
            return text, POSTFIX, base.names, {index}
        samples = self.leaf(Type("matrix", (count, dim)), named=True)
        weights = self.leaf(Type("column", (dim,)), named=True)
        if samples is None or weights is None:
            return None
        simple = re.fullmatch(r"[^\W_]+", samples.text) is not None
        row = samples.text + (rng.choice((f"_{index}", f"_{{{index}}}")) if simple else f"[{index}]")
        template, level = rng.choice(
            (
                ("{0:b}<T> {1:f}", PRODUCT),
                ("{1:b}<T> {0:f}", PRODUCT),
                ("<{1:s}, {0:s}>", POSTFIX),
                ("||{0:s} - {1:t}||^2", POWER),
            )
        )
        names = samples.names | weights.names
        return self.entry_fill(
            template, [(row, POSTFIX, names, {index}), (weights.text, POSTFIX, names, {index})], level
        )

    def named_dim(self) -> str:
        dim = self.some_dim()
        return dim if isinstance(dim, str) else "n"

    def sum_head(self, indices: Mapping[str, Dim], carried: set[str], kind: str) -> tuple[str, frozenset[str]]:
        """The text in front of the body of a sum, and the sizes it mentions."""
        rng = self.rng
        sign = {"sum": ("sum", "sum", "∑"), "prod": ("prod", "prod", "∏")}[kind]
        symbol = rng.choice(sign)
        letters = list(indices)
        free = carried >= set(letters)
        if len(letters) > 1 and rng.random() < 0.5:
            heads = [self.sum_head({letter: dim}, carried & {letter}, kind) for letter, dim in indices.items()]
            return "".join(text for text, _ in heads), frozenset().union(*(sizes for _, sizes in heads))
        if len(letters) > 1:
            return f"{symbol}_{{{','.join(letters)}}} ", frozenset()
        letter, dim = letters[0], indices[letters[0]]
        if free and rng.random() < 0.4:
            return rng.choice((f"{symbol}_{letter} ", f"{symbol}_{{{letter}}} ")), frozenset()
        bound = rng.choice((f"{{{dim}}}", f"{{{dim}}}", str(dim)))
        return f"{symbol}_{{{letter}=1}}^{bound} ", frozenset([str(dim)])

    def index_sum(self, depth: int) -> Piece | None:
        rng = self.rng
        chance = rng.random()
        if chance < 0.12:
            return self.neighbours()
        letters = ("i", "j")
        count = 1 if chance < 0.65 else 2
        indices: dict[str, Dim] = {letter: self.named_dim() for letter in letters[:count]}
        kind = "prod" if count == 1 and rng.random() < 0.12 else "sum"
        nested = count == 2 and rng.random() < 0.4
        if nested:
            inner = self.entry(indices, rng.randint(1, max(1, depth)))
            if inner is None or inner[3] != {"i", "j"}:
                return None
            head, sizes = self.sum_head({"j": indices["j"]}, inner[3], "sum")
            body = inner[0] if inner[1] >= PRODUCT else f"({inner[0]})"
            template, level = rng.choice(
                (("{0:b}^2", POWER), ("{0:t}", TERM), ("log(1 + {0:b}^2)", POSTFIX), ("tanh({0:a})", POSTFIX))
            )
            text, level, names, _ = self.entry_fill(template, [(head + body, TERM, inner[2], {"i"})], level)
            part = (text, level, names)
            outer_head, outer_sizes = self.sum_head({"i": indices["i"]}, {"i"}, "sum")
            mentioned = sizes | outer_sizes
        else:
            made = self.entry(indices, rng.randint(1, max(1, depth)))
            if made is None or (count == 2 and made[3] != {"i", "j"}):
                return None
            part = made[:3]
            outer_head, mentioned = self.sum_head(indices, made[3], kind)
        body = part[0] if part[1] >= TERM else f"({part[0]})"
        text = outer_head + body
        if rng.random() < 0.25:
            text = "1/2 " + text
        elif rng.random() < 0.2:
            text, mentioned = f"1/{indices['i']} {text}", mentioned | {str(indices["i"])}
        return self.written(text, TERM, SCALAR, part[2], mentioned)

    def neighbours(self) -> Piece | None:
        """A sum over neighbouring elements."""
        rng = self.rng
        dim = self.named_dim()
        base = self.leaf(Type("column", (dim,)), named=True)
        if base is None or not re.fullmatch(r"[^\W_]+", base.text):
            return None
        x = base.text
        ahead = rng.choice((f"{x}_{{i+1}}", f"{x}[i+1]", f"{x}[i + 1]"))
        here = rng.choice((f"{x}_i", f"{x}[i]", f"{x}_{{i}}"))
        body = rng.choice(("({1} - {0})^2", "{0} {1}", "i {0} {1}", "({1} - {0}^2)^2", "{0} sin({1})")).format(
            here, ahead
        )
        text = f"sum_{{i=1}}^{{{dim}-1}} {body}"
        return self.written(text, TERM, SCALAR, base.names, frozenset([dim]))

    def sum_of_samples(self, dim: str) -> Piece | None:
        """A weighted sum of the rows of a matrix, as columns."""
        rng = self.rng
        count = self.named_dim()
        samples = self.leaf(Type("matrix", (count, dim)), named=True)
        weights = self.leaf(Type("column", (count,)), named=True)
        if samples is None or weights is None:
            return None
        row = samples.text + ("_i" if re.fullmatch(r"[^\W_]+", samples.text) else "[i]")
        weight = weights.text + "[i]"
        body = rng.choice((f"{weight} {row}", f"sin({weight}) {row}", f"{weight}^2 tanh({row})", f"({row} + {weight})"))
        text = f"sum_{{i=1}}^{{{count}}} {body}"
        return self.written(text, TERM, Type("column", (dim,)), samples.names | weights.names, frozenset([count]))

    def written(self, text: str, level: int, type_: Type, names: frozenset[str], sizes: frozenset[str]) -> Piece | None:
        """A piece whose value is that of its text."""
        self.budget -= 5
        value = self.moderate(read(text).statements[0].value, self.scope)  # type: ignore[attr-defined]
        return None if value is None else Piece(text, level, type_, value, names, sizes)

    # -- statements

    def add_intermediate(self, depth: int) -> None:
        """``r = A x - y``, or an array entry by entry."""
        rng = self.rng
        name = self.fresh_name(INTERMEDIATE_NAMES)
        if name is None:
            return
        if rng.random() < 0.2:
            self.add_entries(name)
            return
        kind = rng.choices(("scalar", "column", "matrix"), (2, 5, 3))[0]
        type_ = Type(kind, tuple(self.some_dim() for _ in range({"scalar": 0, "column": 1, "matrix": 2}[kind])))
        piece = self.make(type_, depth, top=True)
        if piece is None or not piece.names:
            return
        self.keep(name, f"{self.spelled(name)} = {piece.text}", piece)

    def add_entries(self, name: str) -> None:
        letters = ("i", "j")[: self.rng.randint(1, 2)]
        indices: dict[str, Dim] = {letter: self.named_dim() for letter in letters}
        made = self.entry(indices, self.rng.randint(1, 2))
        if made is None or made[3] != set(letters) or "_" in name or name in ("loss", "yhat", "res"):
            return
        text = f"{name}_{''.join(letters)}" if len(letters) == 1 else f"{name}_{{{''.join(letters)}}}"
        shape = tuple(indices.values())
        total = np.zeros([size_of(dim) for dim in shape])
        node = read(made[0]).statements[0].value  # type: ignore[attr-defined]
        for position in np.ndindex(*total.shape):
            scope = self.scope.inner(indices={letter: at + 1 for letter, at in zip(letters, position, strict=True)})
            value = self.moderate(node, scope)
            if value is None:
                return
            total[position] = value.array
        type_ = Type("column" if len(letters) == 1 else "matrix", shape)
        self.keep(name, f"{text} = {made[0]}", Piece(made[0], COMPARE, type_, of_array(total), made[2]))

    def keep(self, name: str, text: str, piece: Piece) -> None:
        self.statements.append((name, text, piece.names, piece.sizes))
        self.known[name] = Known(name, piece.type.value_type, piece.value, (), is_variable=False)
        self.scope.values[name] = piece.value

    def add_function(self) -> None:
        """``f(t) = …``."""
        rng = self.rng
        name = self.fresh_name(FUNCTION_NAMES)
        if name is None:
            return
        if rng.random() < 0.5:
            parameters: tuple[str, ...] = (rng.choice(("t", "z", "x", "u")),)
            body = rng.choice(ELEMENTWISE_BODIES)
            self.functions.append((name, parameters, body, "elementwise", ()))
            text = f"{name}({parameters[0]}) = {body.format(parameters[0])}"
        else:
            parameters, body, target, args = rng.choice(ARRAY_FUNCTIONS)
            self.functions.append((name, parameters, body, target, args))
            text = f"{name}({', '.join(parameters)}) = {body}"
        self.definitions[name] = text
        self.scope.functions[name] = read(text).statements[0]  # type: ignore[assignment]


@cache
def rules_for(kind: str) -> tuple[Rule, ...]:
    return tuple(rule for rule in RULES if tokens_of(rule.target)[0] in (kind, "any"))


# --- whole programs ------------------------------------------------------------------------------


def random_case(seed: int, number: int) -> Case:
    """The program of this number, the same for the same seed.

    >>> random_case(0, 1).text == random_case(0, 1).text
    True

    Parameters
    ----------
    seed: of the run.
    number: of the program in the run.
    """
    for attempt in range(50):
        key = f"{seed}/{number}/{attempt}"
        try:
            case = attempt_case(random.Random(key), key)
        except ExhaustedError:
            continue
        if case is not None:
            return case
    raise AssertionError(f"no program for {seed}/{number}")


def attempt_case(rng: random.Random, key: str) -> Case | None:
    maker = Maker(rng, key, max_variables=rng.choice((1, 2, 3, 3, 4, 5)))
    order = 2 if rng.random() < 0.3 else 1
    depth = rng.choice((2, 3, 4, 4, 5, 5, 6)) - (1 if order == 2 and rng.random() < 0.5 else 0)
    if rng.random() < 0.2:
        maker.add_function()
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        maker.add_intermediate(rng.randint(1, 3))
    kind = rng.choices(("scalar", "column", "matrix", "row"), (60, 22, 14, 4) if order == 1 else (80, 15, 5, 0))[0]
    type_ = Type(kind, tuple(maker.some_dim(derived=0.05) for _ in range({"scalar": 0, "matrix": 2}.get(kind, 1))))
    if kind == "matrix" and isinstance(type_.dims[0], tuple) != isinstance(type_.dims[1], tuple):
        type_ = Type(kind, (maker.some_dim(), maker.some_dim()))
    output = maker.make(type_, depth, top=True)
    if output is None:
        return None
    used = closure(maker, output)
    variables = [name for name in maker.known if name in used and maker.known[name].is_variable]
    wrt = choose_variables(maker, variables, output, order)
    mentioned = output.sizes.union(*(sizes for name, _, _, sizes in maker.statements if name in used))
    declared = {dim for name in variables for dim in maker.known[name].type.dims}
    if wrt is None or not mentioned <= declared:
        return None
    text = program_text(maker, output, used, mentioned, wrt)
    types = {name: declaration(maker.known[name].type, maker.known[name].properties) for name in variables}
    return Case(text, types, wrt, key, np.asarray(output.array), key)


def closure(maker: Maker, output: Piece) -> set[str]:
    """Every name the output depends on."""
    used = set(output.names)
    for name, _, names, _ in reversed(maker.statements):
        if name in used:
            used |= names
    return used


def choose_variables(maker: Maker, variables: Sequence[str], output: Piece, order: int) -> tuple[str, ...] | None:
    rng = maker.rng
    allowed = [name for name in variables if not {"orthogonal", "integer"} & set(maker.known[name].properties)]
    if not allowed:
        return None
    first = rng.choice(allowed)
    if order == 1:
        return (first,)
    second = first if rng.random() < 0.75 else rng.choice(allowed)
    entries = output.array.size * maker.known[first].value.array.size * maker.known[second].value.array.size
    written = " ".join([output.text, *(text for _, text, _, _ in maker.statements)])
    if entries > MAX_ENTRIES or (SLOW.search(written) and maker.known[first].value.array.size > 4):
        return (first,)
    return (first, second)


def program_text(maker: Maker, output: Piece, used: set[str], sizes: frozenset[str], wrt: Sequence[str]) -> str:
    """Declarations, functions, statements and the output."""
    rng = maker.rng
    lines = [text for name, text, _, _ in maker.statements if name in used]
    functions = [text for name, text in maker.definitions.items() if name in used]
    declared: list[str] = []
    typed: list[tuple[str, str]] = []
    for name, entry in maker.known.items():
        if name not in used or not entry.is_variable:
            continue
        pattern = OMITTED[entry.type.kind]
        subscripted = any(
            f"{maker_name}_" in line
            for line in [*lines, output.text]
            for maker_name in (name, NAME_TO_LETTER.get(name, name))
        )
        certain = pattern.match(name) is not None and "_" not in name and not entry.properties and not subscripted
        if certain and not sizes & set(entry.type.dims) and rng.random() < 0.12:
            continue
        typed.append((maker.spelled(name), declaration_text(rng, entry)))
    position = 0
    while position < len(typed):
        names = [typed[position][0]]
        kind = typed[position][1]
        while position + 1 < len(typed) and typed[position + 1][1] == kind and rng.random() < 0.7:
            position += 1
            names.append(typed[position][0])
        position += 1
        separator = " ∈ " if kind.startswith("R^") and rng.random() < 0.5 else " in " if kind.startswith("R^") else ": "
        declared.append(", ".join(names) + separator + kind)
    body = output.text
    chance = rng.random()
    if chance < 0.08:
        body = f"J = {body}"
    elif chance < 0.11 and output.level > COMPARE:
        body = f"J({', '.join(dict.fromkeys(wrt))}) = {body}"
    order = [*declared, *functions] if rng.random() < 0.7 else [*functions, *declared]
    statements = [*order, *lines, body]
    separator = "\n" if rng.random() < 0.6 else "; "
    text = separator.join(statements)
    if separator == "\n" and rng.random() < 0.1:
        text = text.replace("\n", "  # a comment\n", 1)
    return text


def declaration_text(rng: random.Random, entry: Known) -> str:
    """One of the accepted spellings of a type."""
    kind, dims = entry.type.kind, [str(dim) for dim in entry.type.dims]
    properties = "".join(f" {name}" for name in entry.properties)
    chance = rng.random()
    if kind == "scalar":
        return "scalar" + properties
    if chance < 0.08 and kind == "column":
        return f"R^{dims[0]}" + properties
    if chance < 0.08 and kind == "matrix":
        return rng.choice((f"R^{{{dims[0]}×{dims[1]}}}", f"R^({dims[0]} x {dims[1]})")) + properties
    name = "vector" if kind == "column" else "matrix"
    return f"{name}({', '.join(dims)})" + properties


if __name__ == "__main__":
    from tests.program_checks import main

    main()
