"""C++ with Eigen: numbers, column vectors and matrices of doubles, each statement in a variable of its type."""

from __future__ import annotations

from collections.abc import Mapping

from ..expr.dims import Dim, Shape
from ..lower.program import Operand, Statement
from ..lower.source import ADD, ATOM, MULTIPLY, UNARY, Text, inside
from . import columns
from .columns import Words, embedded, of_sizes, of_vectors, plus_diagonal, put, spread, unit
from .writer import Frame, Row, Syntax, Target, Writer

WORDS = Words(
    turned="{0}.transpose()",
    dot="{0}.dot({1})",
    total="{0}.cwiseProduct({1}).sum()",
    column="{0}",
    sum_all="{0}.sum()",
    sum_rows="{0}.rowwise().sum()",
    sum_columns="{0}.colwise().sum().transpose()",
    flat="Eigen::MatrixXd({0}).reshaped()",
    folded="Eigen::MatrixXd({0}).reshaped({1}, {2})",
    entry="{0}({1})",
    row="{0}.row({1}).transpose()",
    column_of="{0}.col({1})",
    run="{0}.segment({1}, {3})",
    rows="{0}.middleRows({1}, {3})",
    columns="{0}.middleCols({1}, {3})",
    vector_of="Eigen::VectorXd::Constant({1}, {0})",
    matrix_of="Eigen::MatrixXd::Constant({1}, {2}, {0})",
    repeated="spread({0}, {1}, {2})",
)

UNIT = Dim.of(1)
ENTRIES = ("entry", "other", "third")
"""What the parameters of functions of entries are called."""


def _beside(shape: Shape, statement: Statement) -> Shape:
    """The shape of an operand with the axis in front that a vector beside a matrix gets."""
    return (UNIT, *shape) if len(shape) == 1 and len(statement.shape) == 2 else shape


def _fitting(writer: Writer, operand: Operand, statement: Statement) -> Text:
    """An operand of an entrywise operation in the shape of the value, or a number."""
    text = spread(WORDS, writer, operand, statement)
    shape = writer.shape_of(operand)
    if not shape:
        return text
    if _beside(shape, statement) == statement.shape:
        return text
    return f"spread({text[0]}, {writer.shape(statement.shape)})", ATOM


def _sum(sign: str) -> Row:
    def write(writer: Writer, statement: Statement) -> Text:
        left, right = (_fitting(writer, operand, statement) for operand in statement.operands)
        orders = [writer.order(operand) for operand in statement.operands]
        if bool(orders[0]) == bool(orders[1]):
            return f"{inside(left, ADD)} {sign} {inside(right, ADD + 1)}", ADD
        left, right = (
            (f"{inside(text, ATOM)}.array()", ATOM) if order else text
            for text, order in zip((left, right), orders, strict=True)
        )
        return f"({inside(left, ADD)} {sign} {inside(right, ADD + 1)}).matrix()", ATOM

    return write


def _multiply(writer: Writer, statement: Statement) -> Text:
    left, right = (_fitting(writer, operand, statement) for operand in statement.operands)
    shapes = [_beside(writer.shape_of(operand), statement) for operand in statement.operands]
    if shapes == [(*statement.shape[:1], UNIT), (UNIT, *statement.shape[1:])]:
        column, row = (spread(WORDS, writer, operand, statement) for operand in statement.operands)
        return f"{inside(column, MULTIPLY)} * {inside(row, MULTIPLY + 1)}", MULTIPLY
    if all(writer.order(operand) for operand in statement.operands):
        return f"{inside(left, ATOM)}.cwiseProduct({right[0]})", ATOM
    return f"{inside(left, MULTIPLY)} * {inside(right, MULTIPLY + 1)}", MULTIPLY


def _divide(writer: Writer, statement: Statement) -> Text:
    left, right = (_fitting(writer, operand, statement) for operand in statement.operands)
    first, second = (writer.order(operand) for operand in statement.operands)
    if not second:
        return f"{inside(left, MULTIPLY)} / {inside(right, MULTIPLY + 1)}", MULTIPLY
    if first:
        return f"{inside(left, ATOM)}.cwiseQuotient({right[0]})", ATOM
    return f"({inside(left, MULTIPLY)} / {inside(right, ATOM)}.array()).matrix()", ATOM


def _square(writer: Writer, statement: Statement) -> Text:
    text = writer.operand(statement.operands[0])
    return (f"{inside(text, ATOM)}.cwiseAbs2()" if statement.shape else f"std::pow({text[0]}, 2)"), ATOM


def _map(name: str, method: str = "") -> Row:
    """A function of numbers; of arrays by a method of Eigen, or entry by entry."""

    def write(writer: Writer, statement: Statement) -> Text:
        operands = statement.operands
        texts = [_fitting(writer, operand, statement) for operand in operands]
        if not statement.shape:
            numbers = [
                f"double({text})" if writer.is_number(o) else text for (text, _), o in zip(texts, operands, strict=True)
            ]
            return f"{name}({', '.join(numbers)})", ATOM
        if method:
            return f"{inside(texts[0], ATOM)}.array().{method}().matrix()", ATOM
        entries = iter(ENTRIES)
        arrays = [text for text, operand in zip(texts, operands, strict=True) if writer.order(operand)]
        names = [
            next(entries) if writer.order(operand) else text for (text, _), operand in zip(texts, operands, strict=True)
        ]
        inner = ", ".join(f"double {name}" for name in ENTRIES[: len(arrays)])
        call = f"[&]({inner}) {{ return {name}({', '.join(names)}); }}"
        if len(arrays) == 1:
            return f"{inside(arrays[0], ATOM)}.unaryExpr({call})", ATOM
        if len(arrays) == 2:
            return f"{inside(arrays[0], ATOM)}.binaryExpr({arrays[1][0]}, {call})", ATOM
        return f"entrywise({call}, Eigen::MatrixXd({'), Eigen::MatrixXd('.join(text for text, _ in arrays)}))", ATOM

    return write


def _negate(writer: Writer, statement: Statement) -> Text:
    return f"-{inside(writer.operand(statement.operands[0]), UNARY)}", UNARY


def _solve(method: str) -> Row:
    def write(writer: Writer, statement: Statement) -> Text:
        matrix, right = (writer.operand(operand) for operand in statement.operands)
        return f"Eigen::MatrixXd({matrix[0]}).{method}.solve({right[0]})", ATOM

    return write


def _on_matrix(form: str) -> Row:
    """A function of a matrix that Eigen wants evaluated."""

    def write(writer: Writer, statement: Statement) -> Text:
        text = writer.filled("{0}", statement)
        return put(form, text[0]), ATOM

    return write


EIGENVALUES = "Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>({0}).eigenvalues()"
SINGULAR_VALUES = "Eigen::JacobiSVD<Eigen::MatrixXd>({0}).singularValues()"

STATEMENTS: Mapping[str, Row] = {
    **columns.rows(WORDS),
    "negate": _negate,
    "add": _sum("+"),
    "subtract": _sum("-"),
    "multiply": _multiply,
    "divide": _divide,
    "square": _square,
    "power": _map("std::pow"),
    "sqrt": _map("std::sqrt", "sqrt"),
    "trace": _on_matrix("Eigen::MatrixXd({0}).trace()"),
    "diagonal": _on_matrix("Eigen::MatrixXd({0}).diagonal()"),
    "lower_part": _on_matrix("Eigen::MatrixXd(Eigen::MatrixXd({0}).triangularView<Eigen::Lower>())"),
    **{f"solve{kind}": _solve("partialPivLu()") for kind in ("", "_symmetric", "_diagonal")},
    "solve_spd": _solve("llt()"),
    "solve_lower": _solve("triangularView<Eigen::Lower>()"),
    "solve_upper": _solve("triangularView<Eigen::Upper>()"),
    "inverse": _on_matrix("Eigen::MatrixXd({0}).inverse()"),
    "eye": "Eigen::MatrixXd::Identity({p0}, {p0})",
    "unit": unit("one_hot"),
    "one_hot": of_sizes("one_hot"),
    "arange": of_sizes("run_from"),
    "embed": embedded("embed"),
    "embed_diagonal": _on_matrix("Eigen::MatrixXd(Eigen::VectorXd({0}).asDiagonal())"),
    "add_diagonal": plus_diagonal(
        "Eigen::MatrixXd::Identity({0}, {0})", "Eigen::MatrixXd(Eigen::VectorXd({0}).asDiagonal())"
    ),
}

FUNCTIONS: Mapping[str, Row] = {
    **{
        name: _map(f"std::{name}", name)
        for name in ("abs", "acos", "asin", "atan", "ceil", "cos", "cosh", "exp", "floor", "log", "sin", "sinh",
                     "tan", "tanh")
    },
    **{
        name: _map(f"std::{name}")
        for name in ("acosh", "asinh", "atanh", "atan2", "cbrt", "erf", "erfc", "expm1", "hypot", "lgamma", "log10",
                     "log1p", "log2", "pow")
    },
    **{
        name: _map(name)
        for name in ("sign", "step", "relu", "sigmoid", "softplus", "silu", "normpdf", "normcdf", "gelu", "huber",
                     "elu", "selu", "leaky_relu")
    },
    "round": _map("std::nearbyint"),
    "maximum": _map("std::max<double>"),
    "minimum": _map("std::min<double>"),
    "eq": _map("equal"),
    "ne": _map("different"),
    "lt": _map("less"),
    "le": _map("at_most"),
    "gt": _map("greater"),
    "ge": _map("at_least"),
    "where": _map("choose"),
    "logsumexp": of_vectors("logsumexp({0})", "logsumexp_rows({0})", "logsumexp({0})"),
    "softmax": of_vectors("softmax({0})", "softmax_rows({0})"),
    "log_softmax": of_vectors("log_softmax({0})", "log_softmax_rows({0})"),
    "norm": of_vectors("{0}.norm()", "{0}.rowwise().norm()", "{0}.norm()"),
    "normalize": of_vectors("{0}.stableNormalized()", "", "{0}.stableNormalized()"),
    "max": of_vectors("{0}.maxCoeff()", "{0}.rowwise().maxCoeff()", "{0}.maxCoeff()"),
    "min": of_vectors("{0}.minCoeff()", "{0}.rowwise().minCoeff()", "{0}.minCoeff()"),
    "prod": of_vectors("{0}.prod()", "{0}.rowwise().prod()", "{0}.prod()"),
    "norminf": of_vectors("{0}.cwiseAbs().maxCoeff()", "", "{0}.cwiseAbs().maxCoeff()"),
    "inv": _on_matrix("Eigen::MatrixXd({0}).inverse()"),
    "det": _on_matrix("Eigen::MatrixXd({0}).determinant()"),
    "smooth_det": _on_matrix("Eigen::MatrixXd({0}).determinant()"),
    "logdet": "logdet({0})",
    "adj": "adjugate({0})",
    "smooth_adj": "adjugate({0})",
    "chol": _on_matrix("Eigen::MatrixXd(Eigen::MatrixXd({0}).llt().matrixL())"),
    "eigvals": _on_matrix(EIGENVALUES),
    "eigmax": _on_matrix(f"{EIGENVALUES}.maxCoeff()"),
    "eigmin": _on_matrix(f"{EIGENVALUES}.minCoeff()"),
    "svdvals": _on_matrix(SINGULAR_VALUES),
    "spectral": _on_matrix(f"{SINGULAR_VALUES}.maxCoeff()"),
    "nuclear": _on_matrix(f"{SINGULAR_VALUES}.sum()"),
    "pinv": _on_matrix("Eigen::MatrixXd({0}).completeOrthogonalDecomposition().pseudoInverse()"),
}  # fmt: skip


def _of_numbers(name: str, parameters: str, value: str) -> str:
    typed = ", ".join(f"double {parameter}" for parameter in parameters.split())
    return f"inline double {name}({typed}) {{ return {value}; }}\n"


MATRIX = "const Eigen::MatrixXd&"
VECTOR = "const Eigen::VectorXd&"

HELPERS: Mapping[str, str] = {
    "sign": _of_numbers("sign", "x", "double((x > 0) - (x < 0))"),
    "step": _of_numbers("step", "x", "x > 0"),
    "relu": _of_numbers("relu", "x", "x > 0 ? x : 0"),
    "sigmoid": _of_numbers("sigmoid", "x", "1 / (1 + std::exp(-x))"),
    "softplus": _of_numbers("softplus", "x", "std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)))"),
    "silu": _of_numbers("silu", "x", "x / (1 + std::exp(-x))"),
    "normpdf": _of_numbers("normpdf", "x", "0.3989422804014327 * std::exp(-0.5 * x * x)"),
    "normcdf": _of_numbers("normcdf", "x", "0.5 * std::erfc(-0.7071067811865476 * x)"),
    "gelu": _of_numbers("gelu", "x", "0.5 * x * std::erfc(-0.7071067811865476 * x)"),
    "huber": _of_numbers("huber", "r d", "std::min(std::abs(r), d) * (std::abs(r) - std::min(std::abs(r), d) / 2)"),
    "elu": _of_numbers("elu", "x a", "x > 0 ? x : a * std::expm1(x)"),
    "selu": _of_numbers("selu", "x", "1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * std::expm1(x))"),
    "leaky_relu": _of_numbers("leaky_relu", "x a", "x > 0 ? x : a * x"),
    "equal": _of_numbers("equal", "x y", "x == y"),
    "different": _of_numbers("different", "x y", "x != y"),
    "less": _of_numbers("less", "x y", "x < y"),
    "at_most": _of_numbers("at_most", "x y", "x <= y"),
    "greater": _of_numbers("greater", "x y", "x > y"),
    "at_least": _of_numbers("at_least", "x y", "x >= y"),
    "choose": _of_numbers("choose", "c x y", "c != 0 ? x : y"),
    "entrywise": f"""
template <class Function>
Eigen::MatrixXd entrywise(Function f, {MATRIX} X, {MATRIX} Y, {MATRIX} Z) {{
    Eigen::MatrixXd R(X.rows(), X.cols());
    for (Eigen::Index k = 0; k < R.size(); ++k) R.data()[k] = f(X.data()[k], Y.data()[k], Z.data()[k]);
    return R;
}}
""",
    "spread": f"""
inline Eigen::MatrixXd spread({MATRIX} X, Eigen::Index m, Eigen::Index n) {{
    return X.replicate(m / X.rows(), n / X.cols());
}}
""",
    "logsumexp": f"""
inline double logsumexp({MATRIX} x) {{
    const double largest = x.maxCoeff(), top = std::isfinite(largest) ? largest : 0.0;
    return std::log((x.array() - top).exp().sum()) + top;
}}
""",
    "logsumexp_rows": f"""
inline Eigen::VectorXd logsumexp_rows({MATRIX} X) {{
    Eigen::VectorXd y(X.rows());
    for (Eigen::Index i = 0; i < X.rows(); ++i) y(i) = logsumexp(X.row(i));
    return y;
}}
""",
    "softmax": f"""
inline Eigen::VectorXd softmax({VECTOR} x) {{
    const Eigen::VectorXd y = (x.array() - x.maxCoeff()).exp();
    return y / y.sum();
}}
""",
    "softmax_rows": f"""
inline Eigen::MatrixXd softmax_rows({MATRIX} X) {{
    Eigen::MatrixXd Y(X.rows(), X.cols());
    for (Eigen::Index i = 0; i < X.rows(); ++i) Y.row(i) = softmax(X.row(i)).transpose();
    return Y;
}}
""",
    "log_softmax": f"""
inline Eigen::VectorXd log_softmax({VECTOR} x) {{
    const Eigen::ArrayXd y = x.array() - x.maxCoeff();
    return y - std::log(y.exp().sum());
}}
""",
    "log_softmax_rows": f"""
inline Eigen::MatrixXd log_softmax_rows({MATRIX} X) {{
    Eigen::MatrixXd Y(X.rows(), X.cols());
    for (Eigen::Index i = 0; i < X.rows(); ++i) Y.row(i) = log_softmax(X.row(i)).transpose();
    return Y;
}}
""",
    "logdet": f"""
inline double logdet({MATRIX} A) {{
    return A.partialPivLu().matrixLU().diagonal().cwiseAbs().array().log().sum();
}}
""",
    "adjugate": f"""
inline Eigen::MatrixXd adjugate({MATRIX} A) {{
    // by singular values, right for singular matrices too
    Eigen::JacobiSVD<Eigen::MatrixXd> svd(A, Eigen::ComputeFullU | Eigen::ComputeFullV);
    const Eigen::VectorXd s = svd.singularValues();
    Eigen::VectorXd others = Eigen::VectorXd::Ones(s.size());
    for (Eigen::Index i = 0; i < s.size(); ++i)
        for (Eigen::Index j = 0; j < s.size(); ++j)
            if (i != j) others(i) *= s(j);
    const double sign = svd.matrixU().determinant() * svd.matrixV().determinant() < 0 ? -1.0 : 1.0;
    return sign * svd.matrixV() * others.asDiagonal() * svd.matrixU().transpose();
}}
""",
    "symmetric_part": f"""
inline Eigen::MatrixXd symmetric_part({MATRIX} A) {{
    return (A + A.transpose()) / 2;
}}
""",
    "one_hot": """
inline Eigen::VectorXd one_hot(double value, Eigen::Index place, Eigen::Index n) {
    return value * Eigen::VectorXd::Unit(n, place);
}
""",
    "run_from": """
inline Eigen::VectorXd run_from(Eigen::Index first, Eigen::Index n) {
    return Eigen::VectorXd::LinSpaced(n, double(first), double(first + n - 1));
}
""",
    "embed": f"""
inline Eigen::VectorXd embed({VECTOR} x, Eigen::Index offset, Eigen::Index n) {{
    Eigen::VectorXd y = Eigen::VectorXd::Zero(n);
    y.segment(offset, x.size()) = x;
    return y;
}}
""",
    "embed_rows": f"""
inline Eigen::MatrixXd embed_rows({MATRIX} X, Eigen::Index offset, Eigen::Index n) {{
    Eigen::MatrixXd Y = Eigen::MatrixXd::Zero(n, X.cols());
    Y.middleRows(offset, X.rows()) = X;
    return Y;
}}
""",
    "embed_columns": f"""
inline Eigen::MatrixXd embed_columns({MATRIX} X, Eigen::Index offset, Eigen::Index n) {{
    Eigen::MatrixXd Y = Eigen::MatrixXd::Zero(X.rows(), n);
    Y.middleCols(offset, X.cols()) = X;
    return Y;
}}
""",
}

TYPES = ("double", "Eigen::VectorXd", "Eigen::MatrixXd")


def _type(shape: Shape) -> str:
    return TYPES[len(shape)]


def frame(parts: Frame) -> str:
    """A function whose results are one value or a tuple."""
    parameters = [
        f"const {_type(argument.shape)}& {name}" if argument.shape else f"double {name}"
        for name, argument in parts.arguments
    ]
    parameters += [f"Eigen::Index {name}" for name in parts.sizes]
    types = [_type(shape) for _, shape in parts.results]
    result = types[0] if len(types) == 1 else f"std::tuple<{', '.join(types)}>"
    lines = [f"const Eigen::Index {target} = {text};" for target, text in parts.head]
    lines += [f"const {_type(statement.shape)} {target} = {text};" for target, text, statement in parts.body]
    texts = [text for text, _ in parts.results]
    lines.append(f"return {texts[0]};" if len(texts) == 1 else f"return {{{', '.join(texts)}}};")
    head = f"inline {result} {parts.name}({', '.join(parameters)}) {{"
    return "\n".join([head, *(f"    {line}" for line in lines), "}"]) + "\n"


RESERVED = frozenset(
    """alignas alignof and asm auto bitand bitor bool break case catch char class compl concept const consteval
    constexpr constinit continue decltype default delete do double else enum explicit export extern false
    float for friend goto if inline int long mutable namespace new noexcept not nullptr operator or private
    protected public register requires return short signed sizeof static struct switch template this throw
    true try typedef typeid typename union unsigned using virtual void volatile while xor Eigen std exp log
    sqrt sin cos tan abs pow gamma entry other third y0 y1 yn j0 j1 jn main M_PI M_E INFINITY NAN""".split()  # noqa: SIM905
)

TARGET = Target(
    name="eigen",
    title="Eigen",
    syntax=Syntax(
        comment="//",
        length="{0}.LENGTH{1}()",
        quotient="{0} / {1}",
        power="",
        smaller="std::min({0}, {1})",
        numbers={
            "pi": "3.141592653589793",
            "e": "2.718281828459045",
            "inf": "std::numeric_limits<double>::infinity()",
            "nan": "std::numeric_limits<double>::quiet_NaN()",
        },
    ),
    reserved=RESERVED,
    statements=STATEMENTS,
    functions=FUNCTIONS,
    numbers={},
    helpers=HELPERS,
    imports={
        "Eigen": "#include <Eigen/Dense>",
        "std": "#include <cmath>",
        "tuple": "#include <tuple>",
    },
    frame=frame,
    finish=lambda text: text.replace(".LENGTH0()", ".rows()").replace(".LENGTH1()", ".cols()"),
    passes=columns.PASSES,
    count="double({0})",
    most_axes=2,
    gap=1,
    notes=("Vectors are columns; all numbers are double.",),
)
