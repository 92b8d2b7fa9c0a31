"""MATLAB and GNU Octave: vectors are columns, sizes agree by implicit expansion."""

from __future__ import annotations

from collections.abc import Mapping

from ..lower.program import Statement
from ..lower.source import ADD, ATOM, MULTIPLY, POWER, Text, inside
from . import columns
from .columns import Words, of_vectors, plus_diagonal, spread
from .writer import Frame, Row, Syntax, Target, Writer

WORDS = Words(
    turned="{0}.'",
    dot="{0}.' * {1}",
    total="sum(sum({0} .* {1}))",
    column="{0}",
    sum_all="sum({0}(:))",
    sum_rows="sum({0}, 2)",
    sum_columns="sum({0}, 1).'",
    flat="reshape({0}, [], 1)",
    folded="reshape({0}, {1}, {2})",
    entry="{0}({2})",
    row="{0}({2}, :).'",
    column_of="{0}(:, {2})",
    run="{0}({4}:{2})",
    rows="{0}({4}:{2}, :)",
    columns="{0}(:, {4}:{2})",
    vector_of="repmat({0}, {1}, 1)",
    matrix_of="repmat({0}, {1}, {2})",
    repeated="({0} + zeros({1}, {2}))",
)


def _entrywise(sign: str, level: int) -> Row:
    def write(writer: Writer, statement: Statement) -> Text:
        left, right = statement.operands
        first, second = (spread(WORDS, writer, operand, statement) for operand in (left, right))
        entries = sign in "*/" and writer.order(right) and (writer.order(left) or sign == "/")
        return f"{inside(first, level)} {'.' if entries else ''}{sign} {inside(second, level + 1)}", level

    return write


def _power(writer: Writer, statement: Statement) -> Text:
    base, exponent = (spread(WORDS, writer, operand, statement) for operand in statement.operands)
    return f"{inside(base, ATOM)} .^ {inside(exponent, ATOM)}", POWER


def _square(writer: Writer, statement: Statement) -> Text:
    return f"{inside(writer.operand(statement.operands[0]), ATOM)} .^ 2", POWER


def _sum(writer: Writer, statement: Statement) -> Text:
    # an expression has no (:) behind it
    if writer.order(statement.operands[0]) == 1 or not statement.shape:
        text = writer.operand(statement.operands[0])[0]
        return (f"sum({text})" if writer.order(statement.operands[0]) == 1 else f"sum(sum({text}))"), ATOM
    return _common("sum", writer, statement)


def _common(name: str, writer: Writer, statement: Statement) -> Text:
    row = ROWS[name]
    assert callable(row)
    return row(writer, statement)


def _cumulative_sum(writer: Writer, statement: Statement) -> Text:
    axis, backward = statement.parameters
    assert isinstance(axis, int)
    text = writer.operand(statement.operands[0])[0]
    name = "backward_cumsum" if backward else "cumsum"
    return f"{name}({text}, {axis + 1})", ATOM


def _map(name: str) -> Row:
    def write(writer: Writer, statement: Statement) -> Text:
        texts = [spread(WORDS, writer, operand, statement)[0] for operand in statement.operands]
        return f"{name}({', '.join(texts)})", ATOM

    return write


def _comparison(sign: str) -> Row:
    def write(writer: Writer, statement: Statement) -> Text:
        left, right = (spread(WORDS, writer, operand, statement) for operand in statement.operands)
        return f"double({inside(left, ADD)} {sign} {inside(right, ADD)})", ATOM

    return write


ROWS = columns.rows(WORDS)

STATEMENTS: Mapping[str, Row] = {
    **ROWS,
    **columns.ALIKE,
    "add": _entrywise("+", ADD),
    "subtract": _entrywise("-", ADD),
    "multiply": _entrywise("*", MULTIPLY),
    "divide": _entrywise("/", MULTIPLY),
    "square": _square,
    "power": _power,
    "sqrt": "sqrt({0})",
    "sum": _sum,
    "trace": "trace({0})",
    "cumulative_sum": _cumulative_sum,
    **{f"solve{kind}": "({0} \\ {1})" for kind in ("", "_symmetric", "_spd", "_lower", "_upper", "_diagonal")},
    "eye": "eye({p0})",
    "triangle": "tril(ones({p0}))",
    "embed_diagonal": "diag({0})",
    "add_diagonal": plus_diagonal("eye({0})", "diag({0})"),
}

FUNCTIONS: Mapping[str, Row] = {
    **{name: _map(name) for name in (*columns.ENTRYWISE, "atan2")},
    **columns.FUNCTIONS_ALIKE,
    "eq": _comparison("=="),
    "ne": _comparison("~="),
    "lt": _comparison("<"),
    "le": _comparison("<="),
    "gt": _comparison(">"),
    "ge": _comparison(">="),
    "step": "double({0} > 0)",
    "relu": "max({0}, 0)",
    "maximum": _map("max"),
    "minimum": _map("min"),
    "pow": _power,
    "lgamma": "gammaln({0})",
    "digamma": "psi({0})",
    "trigamma": "psi(1, {0})",
    "polygamma": "psi({0}, {1})",
    "where": _map("choose"),
    "logsumexp": of_vectors("logsumexp({0})", "logsumexp_rows({0})", "logsumexp(reshape({0}, [], 1))"),
    "softmax": of_vectors("softmax({0})", "softmax({0}.').'"),
    "log_softmax": of_vectors("log_softmax({0})", "log_softmax({0}.').'"),
    "norm": of_vectors("norm({0})", "sqrt(sum({0} .^ 2, 2))", "norm({0}, 'fro')"),
    "normalize": of_vectors("normalized({0})", "", "normalized({0})"),
    "max": of_vectors("max({0})", "max({0}, [], 2)", "max(max({0}))"),
    "min": of_vectors("min({0})", "min({0}, [], 2)", "min(min({0}))"),
    "prod": of_vectors("prod({0})", "prod({0}, 2)", "prod(prod({0}))"),
    "var": of_vectors("var({0}, 1)", "var({0}, 1, 2)", "var(reshape({0}, [], 1), 1)"),
    "std": of_vectors("std({0}, 1)", "std({0}, 1, 2)", "std(reshape({0}, [], 1), 1)"),
    "norminf": of_vectors("max(abs({0}))", "", "max(max(abs({0})))"),
    "logdet": "logdet({0})",
    "chol": "chol({0}, 'lower')",
    "eigvals": "sort(eig({0}))",
    "eigmax": "max(eig({0}))",
    "eigmin": "min(eig({0}))",
    "expm": "expm({0})",
    "logm": "logm({0})",
    "sqrtm": "sqrtm({0})",
    "sylvester": "sylvester({0}, {1}, {2})",
    "matpow": "mpower({0}, {1})",
    "tracepow": "trace(mpower({0}, {1}))",
    "pinv": "pinv({0})",
    "svdvals": "svd({0})",
    "spectral": "max(svd({0}))",
    "nuclear": "sum(svd({0}))",
}

HELPERS: Mapping[str, str] = {
    "sigmoid": """
function y = sigmoid(x)
    y = 1 ./ (1 + exp(-x));
end
""",
    "silu": """
function y = silu(x)
    y = x .* sigmoid(x);
end
""",
    "softplus": """
function y = softplus(x)
    y = max(x, 0) + log1p(exp(-abs(x)));
end
""",
    "normpdf": """
function y = normpdf(x)
    y = exp(-0.5 * x .^ 2) * 0.3989422804014327;
end
""",
    "normcdf": """
function y = normcdf(x)
    y = 0.5 * erfc(-0.7071067811865476 * x);
end
""",
    "gelu": """
function y = gelu(x)
    y = 0.5 * x .* erfc(-0.7071067811865476 * x);
end
""",
    "huber": """
function y = huber(r, d)
    s = min(abs(r), d);
    y = s .* (abs(r) - s / 2);
end
""",
    "elu": """
function y = elu(x, a)
    y = max(x, 0) + a .* expm1(min(x, 0));
end
""",
    "selu": """
function y = selu(x)
    y = 1.0507009873554805 * elu(x, 1.6732632423543772);
end
""",
    "leaky_relu": """
function y = leaky_relu(x, a)
    y = max(x, 0) + a .* min(x, 0);
end
""",
    "cbrt": """
function y = cbrt(x)
    y = sign(x) .* abs(x) .^ (1 / 3);
end
""",
    "choose": """
function y = choose(condition, yes, no)
    zero = 0 * (condition + 0);
    yes = yes + zero;
    y = no + zero;
    y(condition ~= 0) = yes(condition ~= 0);
end
""",
    "logsumexp": """
function y = logsumexp(x)
    top = max(x);
    if ~isfinite(top)
        top = 0;
    end
    y = log(sum(exp(x - top))) + top;
end
""",
    "logsumexp_rows": """
function y = logsumexp_rows(X)
    top = max(X, [], 2);
    top(~isfinite(top)) = 0;
    y = log(sum(exp(X - top), 2)) + top;
end
""",
    "softmax": """
function y = softmax(x)
    % of each column
    y = exp(x - max(x, [], 1));
    y = y ./ sum(y, 1);
end
""",
    "log_softmax": """
function y = log_softmax(x)
    % of each column
    y = x - max(x, [], 1);
    y = y - log(sum(exp(y), 1));
end
""",
    "normalized": """
function y = normalized(x)
    s = sqrt(sum(x(:) .^ 2));
    y = x / (s + (s == 0));
end
""",
    "logdet": """
function y = logdet(A)
    [~, U, ~] = lu(A);
    y = sum(log(abs(diag(U))));
end
""",
    "adjugate": """
function B = adjugate(A)
    % by singular values, right for singular matrices too
    [U, S, V] = svd(A);
    s = diag(S);
    others = ones(size(s));
    for k = 1:numel(s)
        others(k) = prod(s([1:k-1, k+1:end]));
    end
    B = sign(det(U) * det(V)) * V * diag(others) * U.';
end
""",
    "symmetric_part": """
function S = symmetric_part(A)
    S = (A + A.') / 2;
end
""",
    "backward_cumsum": """
function y = backward_cumsum(x, axis)
    y = flip(cumsum(flip(x, axis), axis), axis);
end
""",
    "one_hot": """
function y = one_hot(value, place, n)
    y = zeros(n, 1);
    y(place + 1) = value;
end
""",
    "run_from": """
function y = run_from(first, n)
    y = (first:first + n - 1).';
end
""",
    "embed": """
function y = embed(x, offset, n)
    y = zeros(n, 1);
    y(offset + 1:offset + numel(x)) = x;
end
""",
    "embed_rows": """
function Y = embed_rows(X, offset, n)
    Y = zeros(n, size(X, 2));
    Y(offset + 1:offset + size(X, 1), :) = X;
end
""",
    "embed_columns": """
function Y = embed_columns(X, offset, n)
    Y = embed_rows(X.', offset, n).';
end
""",
}


def frame(parts: Frame) -> str:
    """A function with its results in front of it."""
    names = [name for name, _ in parts.arguments]
    results = [f"y{place + 1}" for place in range(len(parts.results))]
    while {*results} & {*names, *parts.sizes}:
        results = [f"{name}_" for name in results]
    left = results[0] if len(results) == 1 else f"[{', '.join(results)}]"
    lines = [f"function {left} = {parts.name}({', '.join([*names, *parts.sizes])})"]
    lines += [f"    {target} = {text};" for target, text in parts.head]
    lines += [f"    {target} = {text};" for target, text, _ in parts.body]
    lines += [f"    {name} = {text};" for name, (text, _) in zip(results, parts.results, strict=True)]
    return "\n".join([*lines, "end"]) + "\n"


RESERVED = frozenset(
    {
        "break", "case", "catch", "classdef", "continue", "else", "elseif", "end", "for", "function", "global",
        "if", "otherwise", "parfor", "persistent", "return", "spmd", "switch", "try", "while", "pi", "Inf", "NaN",
        "eps", "i", "j", "ans", "sum", "max", "min", "exp", "log", "sqrt", "size", "zeros", "ones", "eye", "diag",
        "det", "inv", "trace", "reshape", "norm", "prod", "var", "std", "abs", "sign", "tanh", "repmat", "double",
        "cumsum", "tril", "svd", "eig", "chol", "expm", "logm", "sqrtm",
    }
)  # fmt: skip

TARGET = Target(
    name="matlab",
    title="MATLAB",
    syntax=Syntax(
        comment="%",
        length="size({0}, {1})",
        quotient="{0} / {1}",
        power="{0}^{1}",
        smaller="min({0}, {1})",
        numbers={"pi": "pi", "e": "exp(1)", "inf": "Inf", "nan": "NaN"},
        first=1,
    ),
    reserved=RESERVED,
    statements=STATEMENTS,
    functions=FUNCTIONS,
    numbers={},
    helpers=HELPERS,
    imports={},
    frame=frame,
    finish=lambda text: text,
    passes=columns.PASSES,
    most_axes=2,
    gap=1,
    main_first=True,
    notes=("Vectors are columns; all numbers are double.",),
)
