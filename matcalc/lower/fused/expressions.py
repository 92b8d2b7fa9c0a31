"""What one entry of a value is, as text: templates of operations in the functions that fused loops may call."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType

from ..elementary import KERNEL_FORMS, template_tree
from ..program import Statement

BINARY: Mapping[type[ast.AST], str] = MappingProxyType(
    {ast.Add: "({0} + {1})", ast.Sub: "({0} - {1})", ast.Mult: "({0} * {1})", ast.Div: "({0} / {1})"}
)
COMPARED: Mapping[type[ast.AST], str] = MappingProxyType(
    {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<=", ast.Eq: "==", ast.NotEq: "!="}
)
TRUTH = "choose({condition}, real(1.0), real(0.0))"

FUNCTIONS: Mapping[str, str] = MappingProxyType(
    {
        "add": "({0} + {1})", "subtract": "({0} - {1})", "multiply": "({0} * {1})", "divide": "({0} / {1})",
        "negative": "(-{0})", "square": "({0} * {0})", "reciprocal": "(real(1.0) / {0})", "sqrt": "root({0})",
        "abs": "size({0})", "floor": "down({0})", "ceil": "up({0})", "round": "even({0})", "sign": "sign({0})",
        "maximum": "larger({0}, {1})", "minimum": "smaller({0}, {1})", "power": "power({0}, {1})",
        "greater": TRUTH.format(condition="{0} > {1}"), "greater_equal": TRUTH.format(condition="{0} >= {1}"),
        "less": TRUTH.format(condition="{0} < {1}"), "less_equal": TRUTH.format(condition="{0} <= {1}"),
        "equal": TRUTH.format(condition="{0} == {1}"), "not_equal": TRUTH.format(condition="{0} != {1}"),
        **{name: f"{name}({{0}})" for name in (
            "exp", "expm1", "log", "log1p", "tanh", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh",
            "arcsinh", "arccosh", "arctanh", "log2", "log10", "cbrt",
        )},
        "arctan2": "arctan2({0}, {1})", "hypot": "hypot({0}, {1})",
    }
)  # fmt: skip
"""For a function of NumPy, the text of one entry."""

OPERATIONS: Mapping[str, str] = MappingProxyType(
    {
        "add": "({0} + {1})", "subtract": "({0} - {1})", "multiply": "({0} * {1})", "divide": "({0} / {1})",
        "negate": "(-{0})", "square": "({0} * {0})", "sqrt": "root({0})", "power": "power({0}, {1})",
        "copy": "{0}", "broadcast": "{0}", "full": "{0}",
    }
)  # fmt: skip
"""For an entrywise operation of programs, the text of one entry."""

FORMS: Mapping[str, str] = MappingProxyType(
    {
        **KERNEL_FORMS,
        "elu": "np.where({0} > 0, {0}, {1} * np.expm1(np.minimum({0}, 0)))",
        "selu": "1.0507009873554805 * np.where({0} > 0, {0}, 1.6732632423543772 * np.expm1(np.minimum({0}, 0)))",
        "softplus": "np.maximum({0}, 0) + np.log1p(np.exp(-np.abs({0})))",
    }
)
"""Functions of `runtime` that are made of functions of NumPy."""


def body_of(statement: Statement) -> str | None:
    """The text of one entry of the value of an entrywise statement, with a place for each operand, or None."""
    operation = statement.operation
    if operation == "ufunc":
        return FUNCTIONS.get(str(statement.parameters[0]).removeprefix("np."))
    if operation in OPERATIONS:
        return OPERATIONS[operation]
    if operation == "call" and statement.parameters[0] == "finite":
        return "finite({0})"
    if operation == "map":
        return _translated(str(statement.parameters[1]))
    return None


@cache
def _translated(form: str) -> str | None:
    """The text of one entry for a template of NumPy, or None where it needs something else."""
    count = form.count("{")
    return _written(template_tree(form), [f"{{{k}}}" for k in range(count)])


def _written(tree: ast.expr, operands: Sequence[str]) -> str | None:
    """Written from the leaves up: the trees come from our own records and are small."""
    done: dict[int, str | None] = {}
    stack: list[tuple[ast.expr, bool]] = [(tree, False)]
    while stack:
        node, ready = stack.pop()
        inner = _inner(node)
        if inner is None:
            return None
        if not ready:
            stack.append((node, True))
            stack += [(part, False) for part in inner]
            continue
        texts = [done[id(part)] for part in inner]
        if any(text is None for text in texts):
            return None
        done[id(node)] = _one(node, [text for text in texts if text is not None], operands)
    return done[id(tree)]


def _inner(node: ast.expr) -> list[ast.expr] | None:
    match node:
        case ast.Name() | ast.Constant(value=int() | float()):
            return []
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return [operand]
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in BINARY or type(operator) is ast.Pow:
            return [left, right]
        case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in COMPARED:
            return [left, right]
        case ast.Call(func=ast.Name(id="mask"), args=[condition, *_], keywords=[]):
            return [condition]
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FORMS:
            return arguments
        case ast.Call(func=ast.Attribute(value=ast.Name(id="np"), attr="where"), args=[condition, yes, no]):
            return [condition, yes, no]
        case ast.Call(func=ast.Attribute(value=ast.Name(id="np"), attr=name), args=arguments, keywords=[]):
            return arguments if name in FUNCTIONS else None
    return None


def _one(node: ast.expr, texts: Sequence[str], operands: Sequence[str]) -> str | None:
    match node:
        case ast.Name(id=name):
            return operands[int(name[1:])]
        case ast.Constant(value=value):
            return f"real({float(value)!r})"  # type: ignore[arg-type]
        case ast.UnaryOp():
            return f"(-{texts[0]})"
        case ast.BinOp(op=ast.Pow()):
            return f"power({texts[0]}, {texts[1]})"
        case ast.BinOp(op=operator):
            return BINARY[type(operator)].format(*texts)
        case ast.Compare(ops=[operator]):
            return TRUTH.format(condition=f"{texts[0]} {COMPARED[type(operator)]} {texts[1]}")
        case ast.Call(func=ast.Name(id="mask")):
            return texts[0]
        case ast.Call(func=ast.Name(id=name)):
            return _written_form(FORMS[name], texts)
        case ast.Call(func=ast.Attribute(attr="where")):
            return f"choose({texts[0]} != real(0.0), {texts[1]}, {texts[2]})"
        case ast.Call(func=ast.Attribute(attr=name)):
            return FUNCTIONS[name].format(*texts)
    raise AssertionError(f"no text for {ast.dump(node)}")


def _written_form(form: str, texts: Sequence[str]) -> str | None:
    """A form with texts in its places; forms are made of functions of NumPy alone."""
    text = _translated(form)
    return None if text is None else text.format(*texts)
