"""The differential of a program: one rule for each part, ``dX`` is brought to the end, the gradient is read off.

The rules work on the written formula, so that ``dX`` stands where ``X`` stood; what they do not cover is differentiated
by the engine and written from its answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from ..calculus.derive import pullback, pushforward
from ..calculus.present import present
from ..derivation import Derivative
from ..elaborate import elaborate
from ..errors import MatcalcError, Unsupported
from ..expr.build import add, is_zero, permute, split_coefficient, substitute
from ..expr.dims import Shape
from ..expr.nodes import ONE, Exact, Map, Node, Variable
from ..notation.cost import operator_count
from ..notation.matrices import to_ast
from ..notation.pieces import HALF, call, integer, rational, signed, times, with_scalars
from ..notation.precedence import PRODUCTS, as_number, children, unwrap, walk
from ..notation.text import to_text
from ..ops.registry import OPERATIONS
from ..syntax.ast import Add, Ast, Binary, Call, Group, Name, Norm, Num, Output, Program, Transpose
from ..syntax.rewrite import parts_of, with_parts
from .chain import answer, forwards, write
from .outline import Outline, Part
from .rules import (
    COLLECTING,
    CONSTANT,
    CYCLIC,
    INVERSE,
    LINEAR,
    OWN_TRANSPOSE,
    POWERS,
    PRODUCT,
    READ_GRADIENT,
    READ_JACOBIAN,
    READ_MATRIX,
    READ_VEC,
    SQUARES,
    SUBSTITUTION,
    TRANSPOSITION,
    VEC,
    local_rules,
    operation_rule,
    projection,
)
from .steps import Claim, Line, Rule, Symbol
from .trees import type_of, without_groups

#: Functions that are linear in their first argument: the differential goes inside.
LINEAR_CALLS = frozenset({"tr", "sum", "mean", "diag", "vec"})
BILINEAR = frozenset({"*", ".*", "kron", "dot"})
#: Programs with more parts than this have a differential that nobody reads.
MOST_PARTS = 12
#: A substituted differential with more operators than this is written with ``dX`` at the end at once.
LONGEST_SUBSTITUTED = 40


class Change(NamedTuple):
    """The differential of a formula: signed terms, each linear in one change."""

    terms: tuple[tuple[int, Ast], ...]
    rules: tuple[Rule, ...]


class Typed(NamedTuple):
    """What is known of the names of a formula: their types and the changes of those that change."""

    types: Mapping[str, str]
    changes: Mapping[str, Variable]
    nodes: Mapping[str, Variable]
    order: tuple[str, ...]
    named: Mapping[Node, Node]

    def node(self, tree: Ast) -> Node:
        """The node of a formula."""
        return node_of(tree, self.types)


def node_of(tree: Ast, types: Mapping[str, str], shape: Shape | None = None) -> Node:
    """The node of a formula; brackets for the reader's sake carry no meaning."""
    return elaborate(Program((Output(without_groups(tree)),)), types, shape=shape).node


NOTHING = Change((), ())


def differential_of(tree: Ast, known: Typed) -> Change:
    """The differential of a written formula, each rule applied where it stands.

    Parameters
    ----------
    tree: the formula.
    known: its names.
    """
    done: dict[int, Change] = {}
    stack = [(tree, False)]
    while stack:
        node, ready = stack.pop()
        if not ready:
            stack.append((node, True))
            stack.extend((child, False) for child in children(node))
            continue
        parts = [done[id(child)] for child in children(node)]
        done[id(node)] = NOTHING if isinstance(node, Name) else _apply(node, parts, known)
        if isinstance(node, Name) and node.id in known.changes:
            done[id(node)] = Change(((1, Name(known.changes[node.id].name)),), ())
    return done[id(tree)]


def _apply(node: Ast, parts: list[Change], known: Typed) -> Change:
    """The differential of a formula from those of its parts."""
    if not any(part.terms for part in parts):
        return NOTHING
    match node:
        case Group():
            return parts[0]
        case Add(terms=terms):
            found = [(sign * s, t) for (sign, _), part in zip(terms, parts, strict=True) for s, t in part.terms]
            return Change(tuple(found), _rules(parts))
        case Transpose():
            return Change(tuple((s, Transpose(t)) for s, t in parts[0].terms), parts[0].rules)
        case Binary(op="^" | ".^"):
            return _power(node, parts, known) or _by_engine(node, known)
        case Binary(op="/" | "./", left=left, right=right):
            if not parts[1].terms:
                return Change(tuple((s, Binary(node.op, t, right)) for s, t in parts[0].terms), _rules(parts))
            return _by_engine(node, known)
        case Binary(op=op, left=left, right=right) if op in BILINEAR:
            first = [(s, _multiply(op, t, right)) for s, t in parts[0].terms]
            second = [(s, _multiply(op, left, t)) for s, t in parts[1].terms]
            if first and second and _is_square(op, left, right, known):
                return Change(tuple((s, _doubled(tree)) for s, tree in second), _rules(parts, SQUARES))
            own = (PRODUCT,) if first and second else ()
            return Change((*first, *second), _rules(parts, *own))
        case Call(func=func, args=(_,), kwargs=()) if func in LINEAR_CALLS:
            return Change(tuple((s, Call(func, (t,))) for s, t in parts[0].terms), _rules(parts, LINEAR))
        case Call(func=func, args=(arg,), kwargs=()) if func in OPERATIONS and OPERATIONS[func].kind == "map":
            return _function(func, arg, parts[0], known) or _by_engine(node, known)
        case _:
            return _by_engine(node, known)


def _rules(parts: list[Change], *own: Rule) -> tuple[Rule, ...]:
    return tuple(dict.fromkeys((*own, *(rule for part in parts for rule in part.rules))))


def _is_square(op: str, left: Ast, right: Ast, known: Typed) -> bool:
    """Whether a product is ``r^T r``, or a constant in front of it."""
    last = left.right if isinstance(left, Binary) and left.op == "*" else left
    if op != "*" or not isinstance(last, Transpose) or to_text(last.arg) != to_text(right):
        return False
    front = left.left if last is not left and isinstance(left, Binary) else integer(1)
    moves = any(isinstance(part, Name) and part.id in known.changes for part in walk(front))
    return not moves and known.node(right).order == 1


def _number(tree: Ast) -> Fraction | None:
    """The number that a formula is: ``2`` or ``1/2``."""
    if isinstance(tree, Binary) and tree.op == "/":
        above, below = as_number(tree.left), as_number(tree.right)
        return above / below if above is not None and below else None
    return as_number(tree)


def _doubled(tree: Ast) -> Ast:
    """Twice a product, its number in front."""
    spine: list[Binary] = []
    while isinstance(tree, Binary) and _number(tree) is None:
        spine.append(tree)
        tree = tree.left
    number = _number(tree)
    result = tree
    if number is None:
        result = times(integer(2), tree)
    elif number != HALF or not spine:
        result = rational(2 * number)
    else:
        last = spine.pop()
        result = last.right if last.op == "*" else Binary(last.op, integer(1), last.right)
    for node in reversed(spine):
        result = Binary(node.op, result, node.right, node.juxtaposed)
    return result


def _is_identity(tree: Ast) -> bool:
    return isinstance(tree, Name) and tree.id == "I"


def _multiply(op: str, left: Ast, right: Ast) -> Ast:
    """A product; matrix products and entrywise products associate, so they are written without brackets."""
    if op not in ("*", ".*"):
        return Binary(op, left, right)
    if op == "*" and isinstance(left, Binary) and left.op == "*" and _is_identity(left.right):
        return _multiply(op, left.left, right)
    spine: list[Ast] = []
    plain = unwrap(right)
    while isinstance(plain, Binary) and plain.op == op:
        spine.append(plain.right)
        plain = unwrap(plain.left)
    if isinstance(plain, Num) or (isinstance(plain, Binary) and plain.op in PRODUCTS):
        return Binary(op, left, right, juxtaposed=op == "*")
    result = Binary(op, left, plain, juxtaposed=op == "*")
    for factor in reversed(spine):
        result = Binary(op, result, factor, juxtaposed=op == "*")
    return result


def _power(node: Binary, parts: list[Change], known: Typed) -> Change | None:
    """Squared norms, inverses, entrywise and scalar powers."""
    exponent, base = as_number(node.right), unwrap(node.left)
    if exponent is None or parts[1].terms:
        return None
    if isinstance(base, Norm) and base.kind in ("", "2", "F") and exponent == 2 and not isinstance(base.arg, Add):
        inner = differential_of(base.arg, known)
        order = known.node(base.arg).order
        terms = []
        for sign, change in inner.terms:
            row = Transpose(base.arg)
            half = _multiply("*", row, change) if order == 1 else call("tr", _multiply("*", row, change))
            terms.append((sign, times(integer(2), half)))
        return Change(tuple(terms), (SQUARES, *inner.rules))
    order = known.node(node.left).order
    if exponent == -1 and order == 2 and node.op == "^":
        terms = [(-s, _multiply("*", _multiply("*", node, t), node)) for s, t in parts[0].terms]
        return Change(tuple(terms), (INVERSE, *parts[0].rules))
    if order == 2 and node.op == "^":
        return None
    if order == 0 or node.op == ".^":
        lowered = _lowered(node, exponent)
        terms = []
        for sign, change in parts[0].terms:
            times_change = Binary(".*", lowered, change) if order else times(lowered, change)
            front = rational(abs(exponent))
            whole = times_change if abs(exponent) == 1 else times(front, times_change)
            terms.append((sign if exponent > 0 else -sign, whole))
        return Change(tuple(terms), (POWERS, *parts[0].rules))
    return None


def _lowered(node: Binary, exponent: Exact) -> Ast:
    """The base to one power less."""
    if exponent == 2:
        return node.left
    less = exponent - 1
    power_of = rational(less) if less > 0 else signed(-1, rational(-less))
    return Binary(node.op, node.left, integer(less) if less.denominator == 1 else power_of)


def _function(func: str, arg: Ast, change: Change, known: Typed) -> Change | None:
    """An entrywise function: its slope times the change."""
    record = OPERATIONS[func]
    if not record.slopes or record.arity != 1:
        return None
    try:
        inner = known.node(arg)
    except MatcalcError:
        return None
    value = Map(record.name, (inner,), (tuple(range(inner.order)),), inner.shape)
    tree = to_ast(substitute(present(record.slopes[0](value, inner)), known.named), known.order)
    terms: list[tuple[int, Ast]] = []
    for sign, moved in change.terms:
        if isinstance(tree, Binary) and tree.op in ("/", "./") and as_number(tree.left) == 1:
            terms.append((sign, Binary(tree.op, moved, tree.right)))
        else:
            terms.append((sign, _multiply(".*" if inner.order else "*", tree, moved)))
    return Change(tuple(terms), (operation_rule(value), *change.rules))


def _by_engine(node: Ast, known: Typed) -> Change:
    """What no rule covers: the differential that the engine finds, written from its answer."""
    try:
        value = known.node(node)
    except MatcalcError:
        raise _NoRule from None
    inside = {part.id for part in walk(node) if isinstance(part, Name)}
    moving = {known.nodes[name]: known.changes[name] for name in known.changes if name in inside}
    order = (*known.order, *(change.name for change in known.changes.values()))
    shown = substitute(present(pushforward(value, moving)), known.named)
    rules = tuple(dict.fromkeys(rule for variable in moving for rule in local_rules(value, variable)))
    if is_zero(shown):
        return NOTHING
    tree = to_ast(shown, order)
    if isinstance(tree, Add):
        return Change(tree.terms, rules)
    return Change(((1, tree),), rules)


class _NoRule(Exception):
    """A part of a formula has no meaning by itself."""


# --- the parts of a program ----------------------------------------------------------------------


def _typed(plan: Outline, part: Part) -> Typed:
    types = dict(plan.derivative.vars)
    types |= {other.name: type_of(other.node.shape) for other in plan.parts}
    nodes = {variable.name: variable for variable in plan.inputs(part)}
    changes = {name: plan.changes[name] for name in nodes}
    return Typed(types, changes, nodes, plan.order, plan.named)


def _joined(change: Change) -> Ast:
    """The terms as one formula."""
    if not change.terms:
        return integer(0)
    if len(change.terms) == 1:
        return signed(*change.terms[0])
    return Add(change.terms)


def _local(plan: Outline, part: Part) -> Change:
    """The differential of one part in the changes of its inputs."""
    known = _typed(plan, part)
    tree = to_ast(part.node, plan.order)
    moving = {known.nodes[name]: known.changes[name] for name in known.changes}
    try:
        change = differential_of(tree, known)
        types = {**known.types, **{v.name: type_of(v.shape) for v in known.changes.values()}}
        node_of(_joined(change), types, part.node.shape)
        return change
    except (_NoRule, MatcalcError):
        order = (*plan.order, *(variable.name for variable in known.changes.values()))
        shown = substitute(present(pushforward(part.node, moving), plan.written), plan.named)
        rules = tuple(dict.fromkeys(rule for variable in moving for rule in local_rules(part.node, variable)))
        return Change(((1, to_ast(shown, order)),), rules)


def _inserted(change: Change, found: Mapping[str, Change]) -> Change:
    """The formula with the changes of parts replaced by their differentials."""
    terms: list[tuple[int, Ast]] = []
    for sign, tree in change.terms:
        tree, flips = _replace(tree, found)
        terms.append((sign * flips, tree))
    return Change(tuple(terms), change.rules)


def _replace(tree: Ast, found: Mapping[str, Change]) -> tuple[Ast, int]:
    """Put formulas in place of names; a sign that all of them share is taken out."""
    flips = 1
    done: dict[int, Ast] = {}
    stack = [(tree, False)]
    while stack:
        node, ready = stack.pop()
        if not ready:
            stack.append((node, True))
            stack.extend((child, False) for child in parts_of(node))
            continue
        if isinstance(node, Name) and node.id in found:
            change = found[node.id]
            single_term = len(change.terms) == 1
            if single_term and change.terms[0][0] < 0:
                flips = -flips
            done[id(node)] = change.terms[0][1] if single_term else _joined(change)
        else:
            parts = tuple(done[id(child)] for child in parts_of(node))
            done[id(node)] = _multiply(node.op, *parts) if isinstance(node, Binary) else with_parts(node, parts)
    return done[id(tree)], flips


def differential(plan: Outline) -> list[Line]:
    """The lines of the style ``differential``.

    Raises
    ------
    Unsupported: the program has too many parts, or an output of more than two axes.
    """
    active = [part for part in plan.parts if part.active]
    if len(active) > MOST_PARTS:
        raise Unsupported(
            f"with {len(active)} intermediates the differential is too long to read", hint="use the style chain"
        )
    lines = forwards(plan)
    output = plan.output
    if not output.active:
        return [*lines, *answer(plan, None, (CONSTANT,))]
    whole: dict[str, Change] = {}
    for part in reversed(active):
        change = _local(plan, part)
        left = Symbol("differential", part.name)
        claim = Claim("differential", part.whole, plan.wrt)
        lines.append(Line(left, _joined(change), change.rules or (LINEAR,), claim))
        whole[part.name] = change
    total = whole[output.name]
    if len(active) > 1:
        inserted: dict[str, Change] = {}
        for part in active:
            inserted[plan.changes[part.name].name] = _inserted(whole[part.name], inserted)
        total = inserted[plan.changes[output.name].name]
        _append(plan, lines, _joined(total), (SUBSTITUTION,))
    found = _read_off(plan, total, lines)
    return [*lines, *found]


def _append(plan: Outline, lines: list[Line], tree: Ast, rules: tuple[Rule, ...]) -> None:
    """Another form of the differential of the output, unless it is the one before."""
    left = Symbol("differential", plan.output.name)
    before = lines[-1]
    if before.left == left and to_text(before.tree) == to_text(tree):
        return
    if operator_count(tree) > LONGEST_SUBSTITUTED:
        return
    claim = Claim("differential", plan.output.whole, plan.wrt)
    lines.append(Line(left, tree, rules, claim, continues=before.left == left))


def _read_off(plan: Outline, total: Change, lines: list[Line]) -> list[Line]:
    """Bring the change to the end of every term, collect, and read the derivative off."""
    output, wrt = plan.output.node, plan.wrt
    change = plan.changes[wrt.name]
    if output.order == 0 and wrt.order <= 2:
        types = dict(plan.derivative.vars) | {part.name: type_of(part.node.shape) for part in plan.parts}
        types[change.name] = type_of(change.shape)
        terms: list[tuple[int, Ast]] = []
        coefficients: list[tuple[Exact, Node]] = []
        moved: dict[Rule, None] = {}
        for sign, tree in total.terms:
            node = node_of(tree, types, ())
            (coefficient,) = pullback(node, [change], ONE)
            ended = _ended(plan, coefficient, change)
            coefficients.append((sign, coefficient))
            terms.append((sign * ended[0], ended[1]))
            moved |= dict.fromkeys(_moves(tree, ended[1], change))
        if wrt.order:
            _append(plan, lines, _joined(Change(tuple(terms), ())), tuple(moved) or (COLLECTING,))
        if wrt.order and len(terms) > 1:
            sign, tree = _ended(plan, add(coefficients, change.shape), change)
            _append(plan, lines, signed(sign, tree), (COLLECTING,))
        rules: tuple[Rule, ...] = (READ_MATRIX,) if wrt.order == 2 else (READ_GRADIENT,)
        return answer(plan, None, rules + projection(wrt))
    if output.order == 1 and wrt.order <= 1:
        jacobian = plan.derivative.ast
        if not isinstance(jacobian, Program):
            _append(plan, lines, _multiply("*", jacobian, Name(change.name)), (COLLECTING,))
        return answer(plan, None, (READ_JACOBIAN,))
    if 1 <= output.order <= 2 and wrt.order in (1, 2) and not projection(wrt):
        return _read_vec(plan, change)
    return answer(plan, None, (READ_JACOBIAN, *projection(wrt)))


def _read_vec(plan: Outline, change: Variable) -> list[Line]:
    """``vec(dF) = J vec(dX)``, and the derivative by its axes."""
    derivative = plan.derivative
    output = plan.output
    lines: list[Line] = []
    if derivative.order == 1:
        try:
            tree = Derivative(derivative.function, derivative.wrt, "vec").ast
        except Unsupported:
            tree = Program(())
        if not isinstance(tree, Program):
            vector: Ast = Name(change.name) if change.order == 1 else call("vec", Name(change.name))
            kind = "vec" if output.node.order == 2 else "differential"
            claim = Claim("vec" if output.node.order == 2 else "differential", output.whole, plan.wrt)
            left = Symbol("vec" if kind == "vec" else "differential", output.name)
            lines.append(Line(left, _multiply("*", tree, vector), (VEC,), claim))
    return [*lines, *answer(plan, None, (READ_VEC,))]


def _ended(plan: Outline, gradient: Node, change: Variable) -> tuple[int, Ast]:
    """A sign, and ``g^T dx`` or ``tr(G^T dX)`` with the number in front."""
    end = Name(change.name)
    if change.order == 0:
        return 1, _multiply("*", write(plan, gradient), end)
    coefficient, rest = split_coefficient(present(gradient, plan.written))
    if coefficient == 0:
        return 1, integer(0)
    if change.order == 1:
        tree = unwrap(write(plan, rest))
        body = _multiply("*", tree.arg if isinstance(tree, Transpose) else Transpose(tree), end)
        return with_scalars(coefficient, (), (), body)
    tree = unwrap(write(plan, permute(rest, (1, 0))))
    sign = 1
    if isinstance(tree, Add) and len(tree.terms) == 1:
        sign, tree = tree.terms[0]
    back, ended = with_scalars(coefficient, (), (), call("tr", _multiply("*", tree, end)))
    return sign * back, ended


def _moves(before: Ast, after: Ast, change: Variable) -> list[Rule]:
    """What brings the change to the end: a transpose where it stands transposed, a rotation where it is inside."""
    if to_text(before) == to_text(after):
        return []
    below = [node for node in walk(before) if isinstance(node, Transpose)]
    has = any(isinstance(part, Name) and part.id == change.name for node in below for part in walk(node))
    if change.order < 2:
        return [OWN_TRANSPOSE]
    return [TRANSPOSITION] if has else [CYCLIC]
