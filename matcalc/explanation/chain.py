"""The chain rule as in backpropagation: the parts of the program forwards, then one adjoint for each part backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..calculus.derive import derivative, pullback
from ..calculus.present import present
from ..expr.build import add, substitute, zeros
from ..expr.nodes import Node, Variable
from ..notation.matrices import to_ast
from ..notation.text import to_text
from ..syntax.ast import Ast
from .outline import Outline, Part, fresh_name
from .rules import CONSTANT, NAMES, local_rules, projection
from .steps import Claim, Line, Rule, Symbol


class Adjoint(NamedTuple):
    """The derivative of the output by a part, or by what is differentiated by.

    Parameters
    ----------
    by: the part, or the variable, as a variable.
    node: in terms of the names and of later adjoints.
    variable: how earlier adjoints refer to it.
    users: the parts it comes through, with the rules that apply.
    rules: all of these.
    """

    by: Variable
    node: Node
    variable: Variable
    users: tuple[Part, ...]
    rules: tuple[Rule, ...]


def adjoints(plan: Outline) -> list[Adjoint]:
    """The adjoints of all parts the derivative passes through, the variable's last."""
    lead = plan.output.node.shape
    contributions: dict[str, list[Node]] = {}
    users: dict[str, list[Part]] = {}
    rules: dict[str, dict[Rule, None]] = {}
    seeds: dict[str, Variable] = {}
    found: list[Adjoint] = []
    taken = set(plan.taken)
    sources = [part for part in reversed(plan.parts) if part.active]
    targets = [*(part.variable for part in sources[1:]), plan.wrt]
    by_name = {part.name: part for part in sources}
    _spread(plan, plan.output, None, contributions, users, rules)
    for target in targets:
        parts = contributions.get(target.name)
        total = zeros(lead + target.shape) if not parts else add([(1, part) for part in parts], lead + target.shape)
        name = fresh_name((f"delta_{target.name}", f"adjoint_{target.name}"), taken)
        taken.add(name)
        seeds[target.name] = Variable(name, lead + target.shape)
        total = substitute(total, plan.named)
        own = tuple(rules.get(target.name, {CONSTANT: None}))
        found.append(Adjoint(target, total, seeds[target.name], tuple(users.get(target.name, ())), own))
        if target.name in by_name:
            _spread(plan, by_name[target.name], seeds[target.name], contributions, users, rules)
    return found


def _spread(
    plan: Outline,
    part: Part,
    seed: Variable | None,
    contributions: dict[str, list[Node]],
    users: dict[str, list[Part]],
    rules: dict[str, dict[Rule, None]],
) -> None:
    """Pull the adjoint of a part back to each of its inputs."""
    for child in plan.inputs(part):
        pulled = derivative(part.node, child) if seed is None else pullback(part.node, [child], seed)[0]
        contributions.setdefault(child.name, []).append(pulled)
        users.setdefault(child.name, []).append(part)
        rules.setdefault(child.name, {}).update(dict.fromkeys(local_rules(part.node, child)))


def write(plan: Outline, node: Node, order: Sequence[str] = ()) -> Ast:
    """A node as syntax, in a short form, with the names of the parts where they occur."""
    shown = substitute(present(node, plan.written), plan.named)
    return to_ast(shown, order or plan.order)


def forwards(plan: Outline) -> list[Line]:
    """The definitions of the parts, the output last."""
    lines = []
    for part in plan.parts:
        tree = to_ast(part.node, plan.order)
        lines.append(Line(Symbol("value", part.name), tree, (), Claim("value", part.node)))
    return lines


def answer(plan: Outline, before: Line | None, rules: tuple[Rule, ...] = (NAMES,)) -> list[Line]:
    """The derivative as `derive` prints it, unless the line before is that already."""
    tree = plan.derivative.ast
    arrangement = []
    if plan.derivative.layout != "gradient":
        arrangement.append(Rule(f"{plan.derivative.layout} layout"))
    if plan.derivative.structure in ("free", "vech"):
        arrangement.append(Rule(f"structure {plan.derivative.structure}", "the space in which the derivative is taken"))
    plain = not arrangement
    if plain and before is not None and to_text(before.tree, separator="; ") == to_text(tree, separator="; "):
        return []
    left = Symbol("derivative", plan.output.name, plan.wrt.name)
    continues = plain and before is not None and before.left == left
    if not plain:
        rules = tuple(arrangement)
    return [Line(left, tree, rules, Claim("answer", plan.derivative.node), continues)]


def chain(plan: Outline) -> list[Line]:
    """The lines of the style ``chain``."""
    lines = forwards(plan)
    found = adjoints(plan)
    order = (*plan.order, *(adjoint.variable.name for adjoint in found))
    for adjoint in found:
        last = adjoint is found[-1]
        tree = write(plan, adjoint.node, order)
        claim = Claim("derivative", plan.tail(adjoint.by.name), adjoint.by)
        left = Symbol("derivative", plan.output.name, adjoint.by.name, alias="" if last else adjoint.variable.name)
        rules = adjoint.rules + (projection(plan.wrt) if last else ())
        lines.append(Line(left, tree, rules, claim))
    return [*lines, *answer(plan, lines[-1])]
