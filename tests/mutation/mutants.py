"""Small wrong changes to the rules: each mutant is one changed place in the source of a rule, applied in memory.

A mutant is made on the syntax tree of a top-level statement. `apply` puts it into the running process: a function
gets the changed code in place, so that tables and records that hold it have it too, and records are built anew. It is
meant for a process of its own, which ends after the tests (`tests.mutation.run`).
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

from matcalc.ops.record import Operation
from matcalc.ops.registry import OPERATIONS

RECORD_MODULES = ("matcalc.ops.elementwise", "matcalc.ops.reductions", "matcalc.ops.linalg", "matcalc.ops.structure")
#: Where the records and the tables of rules are.
RULES = (
    *RECORD_MODULES,
    "matcalc.calculus.simplify",
    "matcalc.calculus.structured",
    "matcalc.calculus.derive",
)
TARGETS = (*RULES, "matcalc.lower.stable")

#: A function and one that is easily taken for it.
NEIGHBOURS = {
    "sin": "cos", "cos": "sin", "sinh": "cosh", "cosh": "sinh", "tan": "tanh", "tanh": "tan", "exp": "expm1",
    "expm1": "exp", "log": "log1p", "log1p": "log", "maximum": "minimum", "minimum": "maximum", "max": "min",
    "min": "max", "gt": "ge", "ge": "gt", "lt": "le", "le": "lt", "eq": "ne", "ne": "eq", "step": "sign",
    "sign": "step", "relu": "abs", "abs": "relu", "sigmoid": "softplus", "softplus": "sigmoid", "inv": "pinv",
    "det": "logdet", "logdet": "det", "softmax": "log_softmax", "eigvals": "svdvals", "svdvals": "eigvals",
    "eigvecs": "svd_u", "svd_u": "svd_v", "svd_v": "svd_u", "normcdf": "normpdf", "normpdf": "normcdf",
    "norm": "logsumexp", "logsumexp": "norm", "expm": "logm", "logm": "expm", "lower": "delta", "asin": "acos",
    "acos": "asin", "asinh": "acosh", "acosh": "asinh", "atan": "atanh", "erf": "erfc", "erfc": "erf",
    "eigmaxproj": "eigminproj", "eigminproj": "eigmaxproj", "eigmax": "eigmin", "eigmin": "eigmax",
}  # fmt: skip
#: Functions whose first two operands are not interchangeable.
ORDERED = frozenset(
    {"matmul", "chain", "subtract", "divide", "ratio", "entry", "call", "calls", "map_", "where", "einsum"}
)
#: Functions of two operands that may be exchanged, so that an exchange is no mutant.
COMMUTATIVE = frozenset({"maximum", "minimum", "hypot", "eq", "ne"})
#: Functions of one operand that a mutant leaves out.
WRAPPERS = frozenset({"transpose", "swap_axes", "symmetric_part", "magnitude"})
#: Fields of a record that say nothing about values.
WORDS = frozenset({"doc", "aliases", "reference", "kink", "sample", "nondifferentiable", "zero_derivative", "options"})


class Mutant(NamedTuple):
    """One changed place: ``name`` stays the same when lines move."""

    name: str
    module: str
    line: int
    statement: int
    place: int
    variant: int
    record: str
    about: frozenset[str] = frozenset()  # names by which a test reads what is changed: of a table, of fields


@cache
def statements(module: str) -> list[ast.stmt]:
    source = inspect.getsource(importlib.import_module(module))
    body = ast.parse(source).body
    for statement in body:
        _mark_places(statement)
    return body


def _mark_places(statement: ast.stmt) -> None:
    """Note which numbers are places of a pair: there -1 is the same as 1, and the wrong one is 0."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Tuple) and owner_of(statement).endswith("RULES"):
            # they are tried until none fires, in any order
            node.is_table = True  # type: ignore[attr-defined]
        inside = node.slice if isinstance(node, ast.Subscript) else node
        pairs = isinstance(inside, ast.Tuple) and all(
            isinstance(part, ast.Constant) and part.value in (0, 1) for part in inside.elts
        )
        if inside is not node or pairs:
            for part in ast.walk(inside):
                part.is_place = True  # type: ignore[attr-defined]


def owner_of(statement: ast.stmt) -> str:
    """What a statement defines."""
    if isinstance(statement, ast.FunctionDef):
        return statement.name
    target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
    return ast.unparse(target) if target is not None else ""


@cache
def lines_with(module: str, name: str) -> frozenset[int]:
    """The lines of the functions of a module that use a name."""
    return frozenset(
        node.lineno
        for statement in statements(module)
        if isinstance(statement, ast.FunctionDef)
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and node.id == name
    )


def mutants_of(module: str) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its source."""
    counts: dict[str, int] = {}
    for number, statement in enumerate(statements(module)):
        owner = owner_of(statement)
        if not isinstance(statement, ast.FunctionDef | ast.Assign | ast.AnnAssign) or _is_tuning(owner):
            continue
        if isinstance(getattr(statement, "value", None), ast.Subscript) or _is_example(statement):
            continue  # the name of a type, or declarations for the examples of rows
        records, fields = _records_by_node(statement)
        named = frozenset({owner, *_fields_with(module, owner)}) if not isinstance(statement, ast.FunctionDef) else None
        skipped = _skipped(statement)
        for place, node in enumerate(ast.walk(statement)):
            if id(node) in skipped:
                continue
            for variant, (_, told) in enumerate(variants(node)):
                record = records.get(id(node), "")
                key = f"{module.removeprefix('matcalc.')} {record or owner}: {told}"
                counts[key] = counts.get(key, 0) + 1
                name = key if counts[key] == 1 else f"{key} #{counts[key]}"
                line = getattr(node, "lineno", statement.lineno)
                about = fields.get(id(node), named or frozenset())
                yield Mutant(name, module, line, number, place, variant, record, about)


def _is_tuning(owner: str) -> bool:
    """Limits of effort and types are no rules."""
    return owner.startswith(("LARGEST", "NARROWED", "REFERENCE", "Operand", "Terms", "Rule", "Located", "Scalars"))


def _is_example(statement: ast.stmt) -> bool:
    """Whether a statement only declares names for the examples of rules."""
    return owner_of(statement) in ("(X, ROOT)", "ONE_OF", "(Q, K, S, H, L, D)")


def _fields_with(module: str, name: str) -> set[str]:
    """The fields of records that are written with a name."""
    return {
        keyword.arg or ""
        for statement in statements(module)
        for call in ast.walk(statement)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Operation"
        for keyword in call.keywords
        if any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(keyword.value))
    }


def _records_by_node(statement: ast.stmt) -> tuple[dict[int, str], dict[int, frozenset[str]]]:
    """The record that each node of a list of records belongs to, and the field."""
    owners: dict[int, str] = {}
    fields: dict[int, frozenset[str]] = {}
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Operation" and node.args:
            name = node.args[0].value if isinstance(node.args[0], ast.Constant) else ""
            owners.update({id(part): str(name) for part in ast.walk(node)})
            for keyword in node.keywords:
                fields.update({id(part): frozenset({keyword.arg or ""}) for part in ast.walk(keyword)})
    return owners, fields


def _skipped(statement: ast.stmt) -> set[int]:
    """Parts that are no rule: docstrings, annotations, conditions, messages, and the words of a record."""
    skipped: set[int] = set()

    def skip(*nodes: ast.AST | None) -> None:
        for node in nodes:
            if node is not None:
                skipped.update(id(part) for part in ast.walk(node))

    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef):
            skip(node.returns, node.args)
            if ast.get_docstring(node) is not None:
                skip(node.body[0])
        elif isinstance(node, ast.AnnAssign):
            skip(node.annotation)
        elif isinstance(node, ast.If | ast.While | ast.IfExp):
            skip(node.test)
        elif isinstance(node, ast.comprehension):
            skip(*node.ifs)
        elif isinstance(node, ast.GeneratorExp) and ast.unparse(node.elt).startswith("Operation("):
            skip(*(part.iter for part in node.generators))  # the words of several records
        elif isinstance(node, ast.Assert | ast.Raise | ast.Compare) or _is_message(node):
            skip(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("isinstance", "check_count", "described", "max", "len"):
                skip(node)
            if node.func.id == "Operation":
                skip(*node.args, *(keyword for keyword in node.keywords if keyword.arg in WORDS))
            if node.func.id == "StructuredRule":
                skip(node)  # an example; what the row does is a variant of the list
            if node.func.id == "_replaced":
                skipped.add(id(node.args[1]))  # the places that go, in any order
    return skipped


def _is_message(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("fail", "note")


def variants(node: ast.AST) -> list[tuple[ast.AST, str]]:
    """The changed forms of a node, each with what was changed."""
    found: list[tuple[ast.AST, str]] = []

    def put(new: ast.AST, what: str) -> None:
        found.append((new, f"{what} `{_short(node)}` → `{_short(new)}`"))

    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        put(node.operand, "sign")
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        other = 0 if getattr(node, "is_place", False) else -1
        put(ast.Constant({0: 1, 1: other}.get(node.value, node.value + 1)), "constant")
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        for text, what in text_variants(node.value):
            put(ast.Constant(text), what)
    elif isinstance(node, ast.BinOp):
        flipped = {ast.Add: ast.Sub, ast.Sub: ast.Add}.get(type(node.op))
        if flipped is not None and not _is_sequence(node):
            put(ast.BinOp(node.left, flipped(), node.right), "sign")
        place = getattr(node, "is_place", False)  # `side - 1` is the same place of a pair as `1 - side`
        if isinstance(node.op, ast.Sub | ast.Div | ast.Pow) and not place:
            put(ast.BinOp(node.right, node.op, node.left), "swapped operands")
    elif isinstance(node, ast.Call):
        found += _call_variants(node)
    elif isinstance(node, ast.Set | ast.Tuple) and _are_words(node):
        for position, part in enumerate(node.elts):
            rest = [*node.elts[:position], *node.elts[position + 1 :]]
            # a set without an element is no literal
            new = type(node)(rest, ast.Load()) if isinstance(node, ast.Tuple) else ast.Set(rest or [ast.Constant("")])
            put(new, f"dropped `{_short(part)}` from")
    elif isinstance(node, ast.Tuple | ast.List) and isinstance(node.ctx, ast.Load):
        table = getattr(node, "is_table", False)
        if table and len(node.elts) == 2 and all(isinstance(part, ast.Name) for part in node.elts):
            for part, kept in zip(node.elts, node.elts[::-1], strict=True):
                put(ast.Tuple([kept], ast.Load()), f"dropped `{_short(part)}` from")
        elif len(node.elts) == 2 and all(
            isinstance(part, ast.Constant | ast.Name | ast.Subscript) for part in node.elts
        ):
            words = all(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in node.elts)
            if not words and ast.dump(node.elts[0]) != ast.dump(node.elts[1]):
                put(type(node)(node.elts[::-1], node.ctx), "swapped operands")
        elif any(_is_row(part) for part in node.elts):
            found += _row_variants(node)
        elif len(node.elts) >= 2 and _is_listing(node):
            for position, part in enumerate(node.elts):
                what = f"dropped `{_short(part)}` from"
                put(type(node)([*node.elts[:position], *node.elts[position + 1 :]], node.ctx), what)
    elif isinstance(node, ast.Dict) and node.keys:
        for position, key in enumerate(node.keys):
            keys, values = list(node.keys), list(node.values)
            del keys[position], values[position]
            what = f"dropped row `{_short(key or node.values[position])}` of"
            put(ast.Dict(keys, values), what)
    return found


def _is_row(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "StructuredRule"


def _row_variants(node: ast.Tuple | ast.List) -> list[tuple[ast.AST, str]]:
    """The table without a function for an operation; several rows may be examples of one function."""
    pairs = dict.fromkeys(
        (ast.unparse(row.args[5]), part.value)
        for row in node.elts
        if isinstance(row, ast.Call) and isinstance(row.args[1], ast.Tuple)
        for part in row.args[1].elts
        if isinstance(part, ast.Constant)
    )
    found: list[tuple[ast.AST, str]] = []
    for function, operation in pairs:
        rows = copy.deepcopy(node)
        for row in rows.elts:
            if (
                isinstance(row, ast.Call)
                and isinstance(row.args[1], ast.Tuple)
                and ast.unparse(row.args[5]) == function
            ):
                kept = [part for part in row.args[1].elts if ast.literal_eval(part) != operation]
                row.args[1].elts = kept
        found.append((rows, f"dropped `{function}` for `{operation}`"))
    return found


def _are_words(node: ast.Set | ast.Tuple) -> bool:
    """Whether a set or a tuple lists names: facts, or operations that share a rule."""
    words = [part.value for part in node.elts if isinstance(part, ast.Constant)]
    return len(words) == len(node.elts) and all(isinstance(word, str) and word.isidentifier() for word in words)


def _is_listing(node: ast.Tuple | ast.List) -> bool:
    """Whether the parts are terms, factors or rules, not one factor with its exponent and labels."""
    whole = (ast.Tuple, ast.Call, ast.Lambda, ast.Starred)
    # that every record is there is no rule, and seen at once
    names = {part.func.id for part in node.elts if isinstance(part, ast.Call) and isinstance(part.func, ast.Name)}
    if "Operation" in names or all(isinstance(part, ast.Starred) for part in node.elts):
        return False
    return isinstance(node, ast.List) or all(isinstance(part, (*whole, ast.Name)) for part in node.elts)


def _is_sequence(node: ast.BinOp) -> bool:
    return any(
        isinstance(side, ast.Tuple | ast.List | ast.Subscript | ast.JoinedStr) for side in (node.left, node.right)
    )


def _call_variants(node: ast.Call) -> list[tuple[ast.AST, str]]:
    found: list[tuple[ast.AST, str]] = []
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name in WRAPPERS and len(node.args) == 1:
        found.append((node.args[0], f"dropped {name} of `{_short(node.args[0])}`"))
    if name in ("scale", "power") and len(node.args) == 2:
        kept = node.args[1] if name == "scale" else node.args[0]
        found.append((kept, f"dropped {name} of `{_short(node)}`"))
    if name == "permute" and len(node.args) == 2:
        found.append((node.args[0], f"dropped permutation of `{_short(node)}`"))
    skip = 1 if name in ("entry", "call", "calls", "map_", "einsum") else 0
    starred = any(isinstance(argument, ast.Starred) for argument in node.args)
    if name in ORDERED and len(node.args) >= skip + 2 and not starred and not _may_be_exchanged(node, skip):
        swapped = list(node.args)
        swapped[skip], swapped[skip + 1] = swapped[skip + 1], swapped[skip]
        new = ast.Call(node.func, swapped, node.keywords)
        found.append((new, f"swapped operands `{_short(node)}`"))
    if name == "total" and len(node.args) >= 2:
        for position in range(len(node.args)):
            new = ast.Call(node.func, [*node.args[:position], *node.args[position + 1 :]], node.keywords)
            found.append((new, f"dropped `{_short(node.args[position])}` from `{_short(node)}`"))
    return found


def _may_be_exchanged(node: ast.Call, skip: int) -> bool:
    """Whether the first two operands of a call are interchangeable, or the same."""
    head = node.args[0].value if skip and isinstance(node.args[0], ast.Constant) else ""
    first, second = node.args[skip], node.args[skip + 1]
    if head in COMMUTATIVE or ast.dump(first) == ast.dump(second):
        return True
    if not isinstance(head, str) or "->" not in head:
        return False
    left, _, right = head.partition("->")
    one, other, *rest = left.split(",")
    return _renamed(",".join([one, other, *rest]) + "->" + right) == _renamed(
        ",".join([other, one, *rest]) + "->" + right
    )


def _renamed(spec: str) -> str:
    """A label string with its letters in order of appearance, those of the result first."""
    order: dict[str, str] = {}
    left, _, right = spec.partition("->")
    for letter in right + left:
        if letter.isalpha():
            order.setdefault(letter, chr(ord("A") + len(order)))
    return "".join(order.get(letter, letter) for letter in spec)


def text_variants(text: str) -> Iterator[tuple[str, str]]:
    """Changed forms of a name, a label string or a template."""
    if text in NEIGHBOURS:
        yield NEIGHBOURS[text], "another function"
        return
    if "->" in text:
        left, _, right = text.partition("->")
        parts = left.split(",")
        for position, part in enumerate(parts):
            if re.search(r"[a-z]{2}$", part) and part[-1] != part[-2]:
                turned = [*parts[:position], part[:-2] + part[:-3:-1], *parts[position + 1 :]]
                yield ",".join(turned) + "->" + right, "transposed"
        if re.search(r"[a-z]{2}$", right):
            yield left + "->" + right[:-2] + right[:-3:-1], "transposed"
        return
    if "{0}" in text and "{1}" in text and not any(f".{name}(" in text for name in COMMUTATIVE):
        yield text.replace("{0}", "{?}").replace("{1}", "{0}").replace("{?}", "{1}"), "swapped operands"
    if "{0}" in text:
        for found in re.finditer(r"(?<=[ .])(\w+)(?=\()", text):
            if found[0] in NEIGHBOURS:
                yield text[: found.start()] + NEIGHBOURS[found[0]] + text[found.end() :], "another function"
        for old, new in ((" + ", " - "), (" - ", " + "), (" > ", " < "), (" >= ", " <= "), (".T", "")):
            if old in text:
                yield text.replace(old, new, 1), "sign" if old.strip() in "+-" else "condition"
    elif text.startswith("\\"):
        yield text + "x", "heading"


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else text[:57] + "…"


# --- into the running process ---------------------------------------------------------------------


def mutated(mutant: Mutant) -> ast.stmt:
    """The statement with the changed place."""
    statement = copy.deepcopy(statements(mutant.module)[mutant.statement])
    node = next(node for place, node in enumerate(ast.walk(statement)) if place == mutant.place)
    new, _ = variants(node)[mutant.variant]
    changed = _Replace(node, new).visit(statement)
    ast.fix_missing_locations(changed)
    return changed  # type: ignore[no-any-return]


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> Any:
        if node is self.old:
            return ast.copy_location(self.new, node) if isinstance(node, ast.expr) else self.new
        return self.generic_visit(node)


def apply(mutant: Mutant) -> None:
    """Make the running process wrong in this one place; there is no way back."""
    module = importlib.import_module(mutant.module)
    statement = mutated(mutant)
    if isinstance(statement, ast.FunctionDef):
        _replace_function(module, statement)
        changed = None
    else:
        changed = statement
        if not _holds_records(module, statement):
            _execute(module, statement, vars(module))
            if mutant.module not in RECORD_MODULES:
                _rebuild_tables(module, mutant.statement)
    if mutant.module in RECORD_MODULES:
        _rebuild_records(module, mutant.statement, changed)


def _execute(module: ModuleType, statement: ast.stmt, namespace: dict[str, Any]) -> None:
    tree = ast.Module([statement], [])
    exec(compile(tree, module.__file__ or "", "exec", flags=_FUTURE), namespace)


_FUTURE = 0x1000000  # annotations stay text


def _replace_function(module: ModuleType, statement: ast.FunctionDef) -> None:
    namespace = dict(vars(module))
    _execute(module, statement, namespace)
    old, new = vars(module)[statement.name], namespace[statement.name]
    old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__


def _rebuild_tables(module: ModuleType, number: int) -> None:
    """What is computed from a changed table, below it in the module."""
    for statement in statements(module.__name__)[number + 1 :]:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            _execute(module, statement, vars(module))


def _holds_records(module: ModuleType, statement: ast.stmt) -> bool:
    value = vars(module).get(owner_of(statement))
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], Operation)


def _rebuild_records(module: ModuleType, number: int, changed: ast.stmt | None) -> None:
    """Build the records of a module anew and write them into those that the registry has."""
    scratch = dict(vars(module))
    for place, statement in enumerate(statements(module.__name__)):
        if isinstance(statement, ast.Assign | ast.AnnAssign) and _holds_records(module, statement):
            _execute(module, changed if place == number and changed is not None else statement, scratch)
            names = [record.name for record in scratch[owner_of(statement)]]
            if len(set(names)) < len(names):
                raise AssertionError("two operations have one name")
            for record in scratch[owner_of(statement)]:
                live = OPERATIONS[record.name]
                for part in dataclasses.fields(Operation):
                    object.__setattr__(live, part.name, getattr(record, part.name))
