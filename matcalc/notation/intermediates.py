"""Names for what a formula repeats: ``p = softmax(A x); (diag(p) - p p^T) A``.

A repeated part gets a name when that saves operators, the part that saves most first. What counts as a part is a
piece of syntax or a run of neighbours in a matrix product (``A x`` in ``A x x^T``). The result is a program that means
the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from types import MappingProxyType
from typing import NamedTuple

from ..ops.registry import OPERATIONS
from ..syntax import ast
from ..syntax.rewrite import parts_of, with_parts
from .cost import FREE_CALLS, operator_count
from .pieces import integer
from .precedence import (
    POWERS,
    PRODUCTS,
    children,
    distinct,
    is_plain_quotient,
    starts_negative,
    walk,
    written_size,
)

#: A name is given when it saves at least so many operators …
LEAST_SAVING = 3
#: … or so many where it is a scalar, a sum (a residual) or a value in which the derivative of its function is written.
LEAST_SAVING_OF_VALUES = 2
#: Larger formulas are named while they are written.
LARGEST_TREE = 2000
#: No formula gets more names than this.
MOST_NAMES = 6
#: Runs of at most so many neighbours in a product are looked at.
LONGEST_RUN = 8

#: What a name looks like: by the function it is the value of, by the kind of value.
LETTERS_BY_FUNCTION: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "softmax": ("p", "P"),
        "sigmoid": ("s", "S"),
        "tanh": ("h", "H"),
        "relu": ("h", "H"),
        "exp": ("z", "Z"),
    }
)
LETTERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "scalar": ("q", "s", "t", "u", "v"),
        "column": ("u", "v", "z", "r", "s"),
        "row": ("u", "v", "z", "r", "s"),
        "residual": ("r", "u", "v", "z", "s"),
        "matrix": ("M", "Q", "S", "C", "H"),
        "difference": ("R", "M", "Q", "S", "C"),
        "inverse": ("M", "Q", "S", "C", "H"),
    }
)
RESERVED = frozenset({"I", "T", "e", "pi", "inf"})

SCALAR, COLUMN, ROW, MATRIX, UNKNOWN = "scalar", "column", "row", "matrix", ""
SCALAR_CALLS = frozenset({"tr", "det", "logdet", "dot", "inner", "size"})
MATRIX_CALLS = frozenset({"inv", "pinv", "chol", "expm", "logm", "sqrtm", "adj", "cofactor", "I", "eye"})
COLUMN_CALLS = frozenset({"vec", "vech", "eigvals", "svdvals"})
SAME_KIND_CALLS = frozenset({"softmax", "log_softmax", "normalize", "cumsum"})
#: The kind of a matrix product, by the kinds of its two factors; scalars are handled apart.
PRODUCT_KINDS: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        (ROW, COLUMN): SCALAR,
        (COLUMN, ROW): MATRIX,
        (MATRIX, COLUMN): COLUMN,
        (ROW, MATRIX): ROW,
        (MATRIX, MATRIX): MATRIX,
    }
)

Key = tuple[object, ...]


class _Part(NamedTuple):
    """What can be said about a piece of syntax: a number that is the same for equal pieces, and the kind of value."""

    number: int
    kind: str


class _Candidate(NamedTuple):
    """A repeated part: a tree to write behind the name, and how often it occurs."""

    tree: ast.Ast
    kind: str
    operators: int
    uses: int


def name_intermediates(root: ast.Ast, kinds: Mapping[str, str], taken: Iterable[str]) -> ast.Ast:
    """Give names to the repeated parts of a formula, where that makes it shorter.

    Parameters
    ----------
    root: an expression, or a program of assignments and an output.
    kinds: of every variable: ``scalar``, ``column``, ``matrix``, or empty for more axes.
    taken: names that may not be given.
    """
    statements = list(root.statements) if isinstance(root, ast.Program) else [ast.Output(root)]
    if written_size(root) >= LARGEST_TREE:
        return root
    known = dict(kinds)
    used = {*taken, *kinds, *RESERVED, *OPERATIONS}
    used |= {node.id for node in distinct(root) if isinstance(node, ast.Name)}
    for _ in range(MOST_NAMES):
        reading = _Reading(known)
        best = reading.best(statements)
        if best is None:
            break
        name = _fresh_name(best, used)
        used.add(name)
        statements = reading.replaced(statements, best, name)
        known[name] = best.kind
    if len(statements) == 1:
        return root
    return ast.Program(tuple(statements))


def _fresh_name(part: _Candidate, used: set[str]) -> str:
    tree = part.tree
    letters = LETTERS.get(part.kind, ())
    if isinstance(tree, ast.Call) and tree.func in LETTERS_BY_FUNCTION:
        small, capital = LETTERS_BY_FUNCTION[tree.func]
        letters = (capital if part.kind == MATRIX else small, *letters)
    elif isinstance(tree, ast.Add) and any(sign < 0 for sign, _ in tree.terms) and part.kind in (COLUMN, MATRIX):
        letters = LETTERS["residual" if part.kind == COLUMN else "difference"]
    for name in (*letters, *(f"t{number}" for number in range(1, 1000))):
        if name not in used:
            return name
    raise AssertionError("more names are in use than a formula has room for")


class _Reading:
    """One look at the statements: equal parts have equal numbers."""

    def __init__(self, kinds: Mapping[str, str]) -> None:
        self.kinds = kinds
        self.numbers: dict[Key, int] = {}
        self.parts: dict[int, _Part] = {}
        self.kept: list[ast.Ast] = []  # so that no identity is given twice while this reading lasts

    # -- equal parts

    def part(self, root: ast.Ast) -> _Part:
        """The number and the kind of a piece of syntax."""
        stack = [(root, False)]
        while stack:
            node, ready = stack.pop()
            if id(node) in self.parts:
                continue
            if not ready:
                stack.append((node, True))
                stack.extend((child, False) for child in children(node))
                continue
            self.kept.append(node)
            spine = factors_of(node)
            if len(spine) > 1:
                key: Key = ("product", *(self.parts[id(factor)].number for factor in spine))
                kind = self.run_kind(spine)
            else:
                key = (*_own(node), *(self.parts[id(child)].number for child in children(node)))
                kind = self.kind(node)
            self.parts[id(node)] = _Part(self.number(key), kind)
        return self.parts[id(root)]

    def number(self, key: Key) -> int:
        return self.numbers.setdefault(key, len(self.numbers))

    def run_kind(self, factors: Sequence[ast.Ast]) -> str:
        """The kind of a matrix product read from left to right; unknown where it has no meaning by itself."""
        result = SCALAR
        for factor in factors:
            kind = self.parts[id(factor)].kind
            if kind == UNKNOWN:
                return UNKNOWN
            if SCALAR in (result, kind):
                result = kind if result == SCALAR else result
            else:
                result = PRODUCT_KINDS.get((result, kind), UNKNOWN)
                if result == UNKNOWN:
                    return UNKNOWN
        return result

    def kind(self, node: ast.Ast) -> str:
        """The kind of value of a piece of syntax whose parts are known."""
        inner = [self.parts[id(child)].kind for child in children(node)]
        match node:
            case ast.Num() | ast.Norm():
                return SCALAR
            case ast.Name(id="I"):
                return MATRIX
            case ast.Name(id=name):
                return self.kinds.get(name, SCALAR)
            case ast.Transpose():
                return {COLUMN: ROW, ROW: COLUMN}.get(inner[0], inner[0])
            case ast.Group() | ast.Bars():
                return inner[0] if isinstance(node, ast.Group) else UNKNOWN
            case ast.Add() | ast.Binary(op=".*" | "./" | "<" | "<=" | ">" | ">=" | "==" | "!="):
                return _broadcast(inner)
            case ast.Binary(op="/"):
                return inner[0] if inner[1] == SCALAR else _broadcast(inner)
            case ast.Binary(op="dot"):
                return SCALAR
            case ast.Binary(op=op) if op in POWERS:
                return inner[0] if inner[1] == SCALAR else UNKNOWN
            case ast.Binary(op="\\"):
                return inner[1]
            case ast.Index(items=items):
                return _index_kind(inner[0], items)
            case ast.IndexSum():
                return inner[-1]
            case ast.Call():
                return self.call_kind(node, inner)
        return UNKNOWN

    def call_kind(self, node: ast.Call, inner: Sequence[str]) -> str:
        if node.func in SCALAR_CALLS:
            return SCALAR
        if node.func in MATRIX_CALLS:
            return MATRIX
        if node.func in COLUMN_CALLS:
            return COLUMN
        if node.func in ("ones", "zeros"):
            return {1: COLUMN, 2: MATRIX}.get(len(node.args), UNKNOWN)
        if node.func in SAME_KIND_CALLS and not node.kwargs:
            return inner[0]
        if node.func == "diag":
            return {COLUMN: MATRIX, MATRIX: COLUMN}.get(inner[0], UNKNOWN)
        record = OPERATIONS.get(node.func)
        if record is None:
            return UNKNOWN
        if record.kind == "map" or len(node.args) > 1:
            return _broadcast(inner) if record.kind == "map" or node.func in ("max", "min") else UNKNOWN
        if "axis" in record.options:
            if not node.kwargs:
                return SCALAR
            axis = node.kwargs[0][1]
            along = axis.value if isinstance(axis, ast.Num) else None
            return {0: ROW, 1: COLUMN}.get(int(along), UNKNOWN) if along is not None else UNKNOWN
        return UNKNOWN

    # -- repeated parts

    def best(self, statements: Sequence[ast.Ast]) -> _Candidate | None:
        """The part whose name saves the most operators."""
        bound = {
            index for s in statements for node in walk(s) if isinstance(node, ast.IndexSum) for index in node.indices
        }
        uses: dict[int, int] = {}
        trees: dict[int, tuple[ast.Ast, str]] = {}
        for statement in statements:
            value = _value(statement)
            self.part(value)
            for node in _nameable(value):
                number, kind = self.parts[id(node)]
                uses[number] = uses.get(number, 0) + 1
                trees.setdefault(number, (node, kind))
                self.count_runs(node, uses, trees)
        best: _Candidate | None = None
        for number, count in uses.items():
            if count < 2:
                continue
            tree, kind = trees[number]
            operators = operator_count(tree)
            saved = (count - 1) * operators
            least = LEAST_SAVING_OF_VALUES if kind == SCALAR or _is_residual_or_value(tree) else LEAST_SAVING
            if saved < least or not _deserves_name(tree, kind):
                continue
            if best is not None and (saved, operators) <= ((best.uses - 1) * best.operators, best.operators):
                continue
            if self.stands_alone(tree, bound):
                best = _Candidate(tree, kind, operators, count)
        return best

    def count_runs(self, node: ast.Ast, uses: dict[int, int], trees: dict[int, tuple[ast.Ast, str]]) -> None:
        """Count the runs of neighbours in a product, those that do not overlap."""
        spine = factors_of(node)
        if len(spine) < 3:
            return
        numbers = [self.parts[id(factor)].number for factor in spine]
        for length in range(2, min(LONGEST_RUN + 1, len(spine))):
            free_from: dict[int, int] = {}
            for start in range(len(spine) - length + 1):
                run = spine[start : start + length]
                if any(isinstance(factor, ast.Num) for factor in run) or self.run_kind(run) == UNKNOWN:
                    continue
                number = self.number(("product", *numbers[start : start + length]))
                if start < free_from.get(number, 0):
                    continue
                free_from[number] = start + length
                uses[number] = uses.get(number, 0) + 1
                if number not in trees:
                    trees[number] = (product_of(run), self.run_kind(run))

    def stands_alone(self, tree: ast.Ast, bound: set[str]) -> bool:
        """Whether a part means the same by itself: no bound index in it, a variable, and no identity of unsaid size."""
        names = {node.id for node in distinct(tree) if isinstance(node, ast.Name)}
        subscripts = {letter for name in names for letter in name.partition("_")[2]}
        if (names | subscripts) & bound or not names & set(self.kinds):
            return False
        if "I" not in names:
            return True
        sized: set[int] = set()
        for node in walk(tree):
            if not isinstance(node, ast.Add):
                continue
            terms = [term for _, term in node.terms]
            plain = [term for term in terms if not any(_is_identity(factor) for factor in factors_of(term))]
            if any(self.part(term).kind == MATRIX for term in plain):
                sized |= {id(factor) for term in terms for factor in factors_of(term)}
        return all(id(node) in sized for node in walk(tree) if _is_identity(node))

    # -- writing the name

    def replaced(self, statements: Sequence[ast.Ast], part: _Candidate, name: str) -> list[ast.Ast]:
        """The statements with a name for a part, and its definition in front of the first that uses it."""
        result: list[ast.Ast] = []
        defined = False
        for statement in statements:
            value = self.with_name(_value(statement), part, name)
            if value is not _value(statement) and not defined:
                result.append(ast.Assign(ast.Name(name), part.tree))
                defined = True
            result.append(
                ast.Assign(statement.target, value, statement.indices)
                if isinstance(statement, ast.Assign)
                else ast.Output(value)
            )
        return result

    def with_name(self, root: ast.Ast, part: _Candidate, name: str) -> ast.Ast:
        wanted = self.part(part.tree).number

        def named(node: ast.Ast) -> ast.Ast | None:
            return ast.Name(name) if self.parts[id(node)].number == wanted else None

        def run(node: ast.Ast, factors: Sequence[ast.Ast]) -> ast.Ast:
            found = self.named_runs(factors_of(node), factors, wanted, name)
            return product_of(_powers(found, name) if part.kind == MATRIX else found)

        return rewritten_products(root, run, named)

    def named_runs(self, spine: Sequence[ast.Ast], factors: Sequence[ast.Ast], wanted: int, name: str) -> list[ast.Ast]:
        """The factors of a product with the name in place of the runs that it stands for."""
        numbers = [self.parts[id(factor)].number for factor in spine]
        found: list[ast.Ast] = []
        start = 0
        while start < len(spine):
            for length in range(min(LONGEST_RUN, len(spine) - 1), 1, -1):
                run = numbers[start : start + length]
                if len(run) == length and self.numbers.get(("product", *run)) == wanted:
                    found.append(ast.Name(name))
                    start += length
                    break
            else:
                found.append(factors[start])
                start += 1
        return found


def rewritten_products(
    root: ast.Ast,
    change: Callable[[ast.Ast, Sequence[ast.Ast]], ast.Ast],
    instead: Callable[[ast.Ast], ast.Ast | None] = lambda _: None,
) -> ast.Ast:
    """A tree with its matrix products rewritten, each as a whole and after its factors; shared parts once.

    Parameters
    ----------
    change: the new product, of the old one and its new factors.
    instead: what stands in place of a node before anything below it is looked at, or None.
    """
    done: dict[int, ast.Ast] = {}
    stack = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if id(node) in done:
            continue
        replacement = instead(node)
        if replacement is not None:
            done[id(node)] = replacement
            continue
        spine = factors_of(node)
        if not ready:
            stack.append((node, True))
            stack.extend((child, False) for child in (spine if len(spine) > 1 else replaceable(node)))
        elif len(spine) == 1:
            done[id(node)] = rebuilt(node, done)
        else:
            made = change(node, [done[id(factor)] for factor in spine])
            same = all(new is old for new, old in zip_longest(factors_of(made), spine))
            done[id(node)] = node if same else made
    return done[id(root)]


def _powers(factors: Sequence[ast.Ast], name: str) -> list[ast.Ast]:
    """``M^2`` for ``M M``."""
    merged: list[tuple[ast.Ast, int]] = []
    for factor in factors:
        is_name = isinstance(factor, ast.Name) and factor.id == name
        if is_name and merged and isinstance(merged[-1][0], ast.Name) and merged[-1][0].id == name:
            merged[-1] = (factor, merged[-1][1] + 1)
        else:
            merged.append((factor, 1))
    return [factor if count == 1 else ast.Binary("^", factor, integer(count)) for factor, count in merged]


def _value(statement: ast.Ast) -> ast.Ast:
    return statement.value if isinstance(statement, ast.Assign | ast.Output) else statement


def _deserves_name(tree: ast.Ast, kind: str) -> bool:
    """Whether people give such a part a name: not to a row, a transpose, a negative or a multiple."""
    if kind in (UNKNOWN, ROW) or isinstance(tree, ast.Transpose) or starts_negative(tree, PRODUCTS):
        return False
    if isinstance(tree, ast.Index) and isinstance(tree.base, ast.Name):
        return False
    first = factors_of(tree)[0]
    return first is tree or not (isinstance(first, ast.Num) or is_plain_quotient(first))


def _is_residual_or_value(tree: ast.Ast) -> bool:
    return isinstance(tree, ast.Add) or (isinstance(tree, ast.Call) and tree.func in LETTERS_BY_FUNCTION)


def _broadcast(kinds: Sequence[str]) -> str:
    """The kind of an entrywise operation."""
    found = set(kinds) - {SCALAR}
    if UNKNOWN in found:
        return UNKNOWN
    if not found:
        return SCALAR
    if len(found) == 1:
        return found.pop()
    return MATRIX if MATRIX in found else UNKNOWN


def _index_kind(base: str, items: Sequence[ast.Ast]) -> str:
    """The kind of an element, a row, a column or a part."""
    ranges = [isinstance(item, ast.Range) for item in items]
    if base in (COLUMN, ROW) and len(ranges) == 1:
        return base if ranges[0] else SCALAR
    if base == MATRIX and len(ranges) == 2:
        return {(True, True): MATRIX, (False, True): ROW, (True, False): COLUMN}.get((ranges[0], ranges[1]), SCALAR)
    return UNKNOWN


def _own(node: ast.Ast) -> Key:
    """What sets a piece of syntax apart from others with the same parts."""
    match node:
        case ast.Num(value=value):
            return ("number", value)
        case ast.Name(id=name):
            return ("name", name)
        case ast.Str(value=value):
            return ("string", value)
        case ast.Add(terms=terms):
            return ("sum", *(sign for sign, _ in terms))
        case ast.Binary(op=op):
            return ("binary", op)
        case ast.Call(func=func, kwargs=kwargs):
            return ("call", func, *(name for name, _ in kwargs))
        case ast.Norm(kind=kind):
            return ("norm", kind)
        case ast.IndexSum(kind=kind, indices=indices):
            return ("over", kind, indices)
        case ast.Block(rows=rows):
            return ("block", *(len(row) for row in rows))
        case ast.Range(start=start, stop=stop):
            return ("range", start is None, stop is None)
        case _:
            return (type(node).__name__,)


def factors_of(node: ast.Ast) -> list[ast.Ast]:
    """The factors of a matrix product, read from left to right."""
    found: list[ast.Ast] = []
    while isinstance(node, ast.Binary) and node.op == "*":
        found.append(node.right)
        node = node.left
    found.append(node)
    return found[::-1]


def product_of(factors: Sequence[ast.Ast]) -> ast.Ast:
    result = factors[0]
    for factor in factors[1:]:
        result = ast.Binary("*", result, factor, juxtaposed=True)
    return result


def _is_identity(node: ast.Ast) -> bool:
    return isinstance(node, ast.Name) and node.id == "I"


def replaceable(node: ast.Ast) -> tuple[ast.Ast, ...]:
    """The parts of a piece of syntax that are values: not the sizes and positions in it."""
    match node:
        case ast.Index(base=base):
            return (base,)
        case ast.Call(func=func) if func in FREE_CALLS:
            return ()
        case ast.Call(func=func, args=args):
            record = OPERATIONS.get(func)
            places = record.size_arguments if record is not None else ()
            return () if places == "all" else tuple(arg for k, arg in enumerate(args) if k not in places)
        case ast.IndexSum(body=body):
            return (body,)
        case ast.Binary(op=op, left=left, right=right) if op in POWERS:
            return (left,) if isinstance(right, ast.Num) else (left, right)
        case _:
            return children(node)


def _nameable(root: ast.Ast) -> list[ast.Ast]:
    """The pieces of a tree that could have a name, a product as a whole and then its factors."""
    found: list[ast.Ast] = []
    stack = [root]
    while stack:
        node = stack.pop()
        found.append(node)
        spine = factors_of(node)
        stack.extend(reversed(spine if len(spine) > 1 else replaceable(node)))
    return found


def rebuilt(node: ast.Ast, done: Mapping[int, ast.Ast]) -> ast.Ast:
    """A piece of syntax with those of its parts replaced that are values."""
    values = {id(part) for part in replaceable(node)}
    parts = tuple(done[id(part)] if id(part) in values else part for part in parts_of(node))
    if all(new is old for new, old in zip(parts, parts_of(node), strict=True)):
        return node
    if isinstance(node, ast.Group) and isinstance(parts[0], ast.Name):
        return parts[0]
    return with_parts(node, parts)
