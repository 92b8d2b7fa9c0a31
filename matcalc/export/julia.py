"""Julia: numbers, vectors and matrices, with broadcasting dots and the standard library of linear algebra."""

from __future__ import annotations

from collections.abc import Mapping

from ..lower.program import Statement
from ..lower.source import ADD, ATOM, MULTIPLY, POWER, Text, inside
from . import columns
from .columns import Words, of_vectors, plus_diagonal, spread
from .writer import Frame, Row, Syntax, Target, Writer

WORDS = Words(
    turned="{0}'",
    dot="dot({0}, {1})",
    total="dot({0}, {1})",
    column="reshape({0}, :, 1)",
    sum_all="sum({0})",
    sum_rows="vec(sum({0}, dims=2))",
    sum_columns="vec(sum({0}, dims=1))",
    flat="vec({0})",
    folded="reshape({0}, {1}, {2})",
    entry="{0}[{2}]",
    row="{0}[{2}, :]",
    column_of="{0}[:, {2}]",
    run="{0}[{4}:{2}]",
    rows="{0}[{4}:{2}, :]",
    columns="{0}[:, {4}:{2}]",
    vector_of="fill({0}, {1})",
    matrix_of="fill({0}, {1}, {2})",
    repeated="({0} .+ zeros({1}, {2}))",
)


def _entrywise(sign: str, level: int) -> Row:
    def write(writer: Writer, statement: Statement) -> Text:
        left, right = statement.operands
        first, second = (spread(WORDS, writer, operand, statement) for operand in (left, right))
        if sign in "+-":
            plain = writer.shape_of(left) == writer.shape_of(right)
        else:
            plain = not writer.order(right) or (sign == "*" and not writer.order(left))
        return f"{inside(first, level)} {'' if plain else '.'}{sign} {inside(second, level + 1)}", level

    return write


def _power(writer: Writer, statement: Statement) -> Text:
    base, exponent = (spread(WORDS, writer, operand, statement) for operand in statement.operands)
    return f"{inside(base, ATOM)} {'.' if statement.shape else ''}^ {inside(exponent, ATOM)}", POWER


def _square(writer: Writer, statement: Statement) -> Text:
    sign = ".^" if statement.shape else "^"
    return f"{inside(writer.operand(statement.operands[0]), ATOM)} {sign} 2", POWER


def _map(name: str) -> Row:
    """A function of numbers, with a dot where it is applied to each entry."""

    def write(writer: Writer, statement: Statement) -> Text:
        texts = [spread(WORDS, writer, operand, statement)[0] for operand in statement.operands]
        return f"{name}{'.' if statement.shape else ''}({', '.join(texts)})", ATOM

    return write


def _cumulative_sum(writer: Writer, statement: Statement) -> Text:
    axis, backward = statement.parameters
    assert isinstance(axis, int)
    text = writer.operand(statement.operands[0])[0]
    name = "backward_cumsum" if backward else "cumsum"
    return f"{name}({text}, dims={axis + 1})", ATOM


STATEMENTS: Mapping[str, Row] = {
    **columns.rows(WORDS),
    **columns.ALIKE,
    "add": _entrywise("+", ADD),
    "subtract": _entrywise("-", ADD),
    "multiply": _entrywise("*", MULTIPLY),
    "divide": _entrywise("/", MULTIPLY),
    "square": _square,
    "power": _power,
    "sqrt": _map("sqrt"),
    "trace": "tr({0})",
    "cumulative_sum": _cumulative_sum,
    **{f"solve{kind}": "({0} \\ {1})" for kind in ("", "_symmetric")},
    "solve_spd": "(cholesky(Symmetric({0})) \\ {1})",
    "solve_lower": "(LowerTriangular({0}) \\ {1})",
    "solve_upper": "(UpperTriangular({0}) \\ {1})",
    "solve_diagonal": "(Diagonal({0}) \\ {1})",
    "eye": "Matrix{Float64}(I, {p0}, {p0})",
    "triangle": "tril(ones({p0}, {p0}))",
    "embed_diagonal": "diagm({0})",
    "add_diagonal": plus_diagonal("I", "Diagonal({0})"),
}

FUNCTIONS: Mapping[str, Row] = {
    **{name: _map(name) for name in (*columns.ENTRYWISE, "relu", "step", "digamma", "trigamma")},
    **columns.FUNCTIONS_ALIKE,
    "atan2": _map("atan"),
    "maximum": _map("max"),
    "minimum": _map("min"),
    "pow": _power,
    "lgamma": _map("loggamma"),
    "eq": _map("equal"),
    "ne": _map("different"),
    "lt": _map("less"),
    "le": _map("at_most"),
    "gt": _map("greater"),
    "ge": _map("at_least"),
    "where": _map("choose"),
    "logsumexp": of_vectors("logsumexp({0})", "map(logsumexp, eachrow({0}))", "logsumexp({0})"),
    "softmax": of_vectors("softmax({0})", "mapslices(softmax, {0}, dims=2)"),
    "log_softmax": of_vectors("log_softmax({0})", "mapslices(log_softmax, {0}, dims=2)"),
    "norm": of_vectors("norm({0})", "map(norm, eachrow({0}))", "norm({0})"),
    "normalize": of_vectors("normalized({0})", "", "normalized({0})"),
    "max": of_vectors("maximum({0})", "vec(maximum({0}, dims=2))", "maximum({0})"),
    "min": of_vectors("minimum({0})", "vec(minimum({0}, dims=2))", "minimum({0})"),
    "prod": of_vectors("prod({0})", "vec(prod({0}, dims=2))", "prod({0})"),
    "var": of_vectors("variance({0})", "map(variance, eachrow({0}))", "variance({0})"),
    "std": of_vectors("sqrt(variance({0}))", "sqrt.(map(variance, eachrow({0})))", "sqrt(variance({0}))"),
    "norminf": of_vectors("norm({0}, Inf)", "", "norm({0}, Inf)"),
    "logdet": "logabsdet({0})[1]",
    "chol": "Matrix(cholesky(Symmetric({0})).L)",
    "eigvals": "eigvals(Symmetric({0}))",
    "eigmax": "eigmax(Symmetric({0}))",
    "eigmin": "eigmin(Symmetric({0}))",
    "expm": "exp({0})",
    "logm": "log({0})",
    "sqrtm": "sqrt({0})",
    "pinv": "pinv({0})",
    "svdvals": "svdvals({0})",
    "spectral": "opnorm({0})",
    "nuclear": "sum(svdvals({0}))",
}

HELPERS: Mapping[str, str] = {
    "sigmoid": "sigmoid(x) = 1 / (1 + exp(-x))\n",
    "softplus": "softplus(x) = max(x, 0) + log1p(exp(-abs(x)))\n",
    "silu": "silu(x) = x / (1 + exp(-x))\n",
    "normpdf": "normpdf(x) = 0.3989422804014327 * exp(-0.5 * x^2)\n",
    "normcdf": "normcdf(x) = 0.5 * erfc(-0.7071067811865476 * x)\n",
    "gelu": "gelu(x) = 0.5 * x * erfc(-0.7071067811865476 * x)\n",
    "huber": "huber(r, d) = min(abs(r), d) * (abs(r) - min(abs(r), d) / 2)\n",
    "elu": "elu(x, a) = x > 0 ? x : a * expm1(x)\n",
    "selu": "selu(x) = 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * expm1(x))\n",
    "leaky_relu": "leaky_relu(x, a) = x > 0 ? x : a * x\n",
    "relu": "relu(x) = max(x, 0.0)\n",
    "step": "step(x) = x > 0 ? 1.0 : 0.0\n",
    "equal": "equal(x, y) = x == y ? 1.0 : 0.0\n",
    "different": "different(x, y) = x != y ? 1.0 : 0.0\n",
    "less": "less(x, y) = x < y ? 1.0 : 0.0\n",
    "at_most": "at_most(x, y) = x <= y ? 1.0 : 0.0\n",
    "greater": "greater(x, y) = x > y ? 1.0 : 0.0\n",
    "at_least": "at_least(x, y) = x >= y ? 1.0 : 0.0\n",
    "choose": "choose(condition, yes, no) = condition != 0 ? yes : no\n",
    "logsumexp": """
function logsumexp(x)
    top = isfinite(maximum(x)) ? maximum(x) : 0.0
    return log(sum(exp.(x .- top))) + top
end
""",
    "softmax": """
function softmax(x)
    weights = exp.(x .- maximum(x))
    return weights / sum(weights)
end
""",
    "log_softmax": """
function log_softmax(x)
    shifted = x .- maximum(x)
    return shifted .- log(sum(exp.(shifted)))
end
""",
    "normalized": """
normalized(x) = norm(x) > 0 ? x / norm(x) : zero(x)
""",
    "variance": """
variance(x) = sum(abs2, x .- sum(x) / length(x)) / length(x)
""",
    "adjugate": """
function adjugate(A)
    # by singular values, right for singular matrices too
    F = svd(A)
    others = [prod(F.S[[j for j in eachindex(F.S) if j != i]]) for i in eachindex(F.S)]
    return sign(det(F.U) * det(F.Vt)) * F.V * Diagonal(others) * F.U'
end
""",
    "symmetric_part": """
symmetric_part(A) = (A + A') / 2
""",
    "backward_cumsum": """
backward_cumsum(x; dims) = reverse(cumsum(reverse(x, dims=dims), dims=dims), dims=dims)
""",
    "one_hot": """
one_hot(value, place, n) = [k == place + 1 ? float(value) : 0.0 for k in 1:n]
""",
    "run_from": """
run_from(first, n) = collect(float(first):float(first + n - 1))
""",
    "embed": """
embed(x, offset, n) = vcat(zeros(offset), x, zeros(n - offset - length(x)))
""",
    "embed_rows": """
function embed_rows(X, offset, n)
    return vcat(zeros(offset, size(X, 2)), X, zeros(n - offset - size(X, 1), size(X, 2)))
end
""",
    "embed_columns": """
function embed_columns(X, offset, n)
    return hcat(zeros(size(X, 1), offset), X, zeros(size(X, 1), n - offset - size(X, 2)))
end
""",
}

LINEAR_ALGEBRA = (
    "I", "Diagonal", "LowerTriangular", "Symmetric", "UpperTriangular", "cholesky", "cross", "det", "diag", "diagm",
    "dot", "eigmax", "eigmin", "eigvals", "logabsdet", "norm", "opnorm", "pinv", "svd", "svdvals", "tr", "tril",
)  # fmt: skip
SPECIAL_FUNCTIONS = ("digamma", "erf", "erfc", "loggamma", "trigamma")


def frame(parts: Frame) -> str:
    """A function; sizes that no array tells are keywords."""
    parameters = ", ".join(name for name, _ in parts.arguments)
    if parts.sizes:
        parameters += "; " + ", ".join(parts.sizes)
    lines = [f"{target} = {text}" for target, text in parts.head]
    lines += [f"{target} = {text}" for target, text, _ in parts.body]
    lines.append(f"return {', '.join(text for text, _ in parts.results)}")
    return "\n".join([f"function {parts.name}({parameters})", *(f"    {line}" for line in lines), "end"]) + "\n"


TARGET = Target(
    name="julia",
    title="Julia",
    syntax=Syntax(
        comment="#",
        length="size({0}, {1})",
        quotient="{0} ÷ {1}",
        power="{0}^{1}",
        smaller="min({0}, {1})",
        numbers={"pi": "float(pi)", "e": "exp(1)", "inf": "Inf", "nan": "NaN"},
        first=1,
    ),
    reserved=frozenset(
        {
            "baremodule", "begin", "break", "catch", "const", "continue", "do", "else", "elseif", "end", "export",
            "false", "finally", "for", "function", "global", "if", "import", "let", "local", "macro", "module",
            "quote", "return", "struct", "true", "try", "using", "while", "where", "in", "isa", "im", "pi", "Inf",
            "NaN", "sum", "prod", "max", "min", "exp", "log", "sqrt", "abs", "vec", "size", "zeros", "ones", "fill",
            "inv", "sign", "map", "reshape", "reverse", "maximum", "minimum", "cumsum", "float", "Matrix", "Float64",
        }
    ),
    statements=STATEMENTS,
    functions=FUNCTIONS,
    numbers={},
    helpers=HELPERS,
    imports={
        **dict.fromkeys(LINEAR_ALGEBRA, "using LinearAlgebra"),
        **dict.fromkeys(SPECIAL_FUNCTIONS, "using SpecialFunctions"),
    },
    frame=frame,
    finish=lambda text: text,
    passes=columns.PASSES,
    most_axes=2,
    gap=1,
)  # fmt: skip
