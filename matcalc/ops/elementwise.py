"""Entrywise functions: a scalar function and its slope each."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from ..errors import NotDifferentiable
from ..expr.build import (
    add,
    as_number,
    elementwise,
    hadamard,
    number,
    ones,
    power,
    product,
    scale,
    zeros,
)
from ..expr.nodes import Exact, Map, Node, Product, Structure, Sum
from ..expr.typed import Type, Typing
from .record import Make, Operation, Options
from .typing_rules import (
    broadcast_types,
    check_count,
    described,
    make_map,
    unary,
    with_default,
)

HALF = Fraction(1, 2)
SELU_SCALE = Fraction("1.0507009873554804934193349852946")
SELU_ALPHA = Fraction("1.6732632423543772848170429916717")
REFERENCE = "Abramowitz & Stegun, Handbook of Mathematical Functions (1964)"

# --- writing slopes ------------------------------------------------------------------------------


def total(constant: Exact, *terms: tuple[Exact, Node]) -> Node:
    """A number plus a linear combination of nodes of one shape."""
    shape = terms[0][1].shape
    return add([(constant, ones(shape)), *terms], shape)


def spread(scalar: Node, like: Node) -> Node:
    """A scalar repeated in the shape of another node."""
    return product([(scalar, 1, ())], range(like.order), dict(enumerate(like.shape)))


def narrow(node: Node) -> Node:
    """The scalar that was repeated along every axis, else the node itself."""
    if not node.order:
        return node
    if isinstance(node, Sum):
        scalars = [(term.coefficient, narrow(term.node)) for term in node.terms if isinstance(term.node, Product)]
        if len(scalars) == len(node.terms) and all(not scalar.order for _, scalar in scalars):
            return add(scalars, ())
    elif isinstance(node, Product) and not any(factor.labels for factor in node.factors) and not list(node.summed):
        return product(node.factors, ())
    return node


def entry(name: str, *args: Node) -> Node:
    """The map of operands of one shape, with repeated scalars as scalars."""
    scalars = [narrow(arg) for arg in args]
    if all(not scalar.order for scalar in scalars):
        return elementwise(name, *args)
    return elementwise(name, *scalars)


def is_constant(node: Node) -> bool:
    """Whether every entry is one number by construction."""
    return as_number(narrow(node)) is not None


def comparison_of(condition: Node, negated: bool) -> Node:
    """The 0/1 mask where a condition holds, or where it does not."""
    inner = narrow(condition)
    if not isinstance(inner, Map) or inner.op not in NEGATION:
        mask = elementwise("eq" if negated else "ne", inner, number(0))
    elif negated:
        mask = Map(NEGATION[inner.op], inner.args, inner.axes, inner.shape)
    else:
        mask = inner
    return mask if mask.shape == condition.shape else spread(mask, condition)


NEGATION = {"lt": "ge", "ge": "lt", "gt": "le", "le": "gt", "eq": "ne", "ne": "eq"}


def share(mask: str, one: Node, other: Node) -> Node:
    """The slope of the larger or smaller of two numbers; ties share, a constant takes no part."""
    strict = entry(mask, one, other)
    if is_constant(other):
        return strict
    return add([(1, strict), (HALF, entry("eq", one, other))], one.shape)


def gaussian_slope(sign: int, x: Node) -> Node:
    """``2 exp(-x^2) / sqrt(pi)``, the slope of the error function, times a sign."""
    bell = entry("exp", scale(-1, power(x, 2)))
    names = tuple(range(x.order))
    return scale(2 * sign, product([(bell, 1, names), (Structure("pi"), -HALF, ())], names))


def logarithm_slope(base: int, x: Node) -> Node:
    """``1 / (x log(base))``."""
    names = tuple(range(x.order))
    return product([(x, -1, names), (entry("log", number(base)), -1, ())], names)


def huber_slope(_y: Node, x: Node, d: Node) -> Node:
    """``min(max(x, -d), d)``, which is x within d and the sign times d beyond."""
    return entry("minimum", entry("maximum", x, scale(-1, d)), d)


def huber_threshold_slope(_y: Node, x: Node, d: Node) -> Node:
    """``max(|x| - d, 0)``."""
    return entry("relu", add([(1, entry("abs", x)), (-1, d)], x.shape))


def power_slope(_y: Node, base: Node, exponent: Node) -> Node:
    """``p b^(p - 1)``."""
    lowered = entry("pow", base, total(-1, (1, exponent)))
    return hadamard(exponent, lowered)


def circle(y: Node, x: Node, numerator: Node, sign: int) -> Node:
    """``numerator / (x^2 + y^2)``."""
    squares = add([(1, power(x, 2)), (1, power(y, 2))], x.shape)
    return scale(sign, hadamard(numerator, power(squares, -1)))


def ratio(numerator: Node, denominator: Node) -> Node:
    return hadamard(numerator, power(denominator, -1))


def no_order_slope(_y: Node, order: Node, _x: Node) -> Node:
    """The order of a polygamma function is a whole number."""
    if is_constant(order):
        return zeros(order.shape)
    raise NotDifferentiable("polygamma has no derivative by its order", hint="the order is a whole number")


def exponential_part(x: Node) -> Node:
    """``exp(min(x, 0))``, finite for every x."""
    return entry("exp", entry("minimum", x, number(0)))


def selu_slope(_y: Node, x: Node) -> Node:
    beyond = scale(SELU_SCALE, ones(x.shape))
    below = scale(SELU_SCALE * SELU_ALPHA, exponential_part(x))
    return entry("where", entry("ge", x, number(0)), beyond, below)


def elu_slope(_y: Node, x: Node, a: Node) -> Node:
    """1 above 0, ``a exp(x)`` below."""
    below = hadamard(a, exponential_part(x))
    return entry("where", entry("gt", x, number(0)), ones(x.shape), below)


def silu_slope(y: Node, x: Node) -> Node:
    """``s + y (1 - s)`` with s the sigmoid."""
    s = entry("sigmoid", x)
    return add([(1, s), (1, hadamard(y, total(1, (-1, s))))], x.shape)


def gelu_slope(_y: Node, x: Node) -> Node:
    """``normcdf(x) + x normpdf(x)``."""
    return add([(1, entry("normcdf", x)), (1, hadamard(x, entry("normpdf", x)))], x.shape)


def leaky_slope(_y: Node, x: Node, a: Node) -> Node:
    """1 above 0, a elsewhere: ``a + (1 - a) step(x)``."""
    step = entry("step", x)
    return add([(1, a), (1, hadamard(total(1, (-1, a)), step))], x.shape)


def below_zero(x: Node) -> Node:
    return entry("minimum", x, number(0))


# --- typing --------------------------------------------------------------------------------------


def polygamma_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
    check_count(context, "polygamma", types, 2)
    if types[0].kind != "scalar":
        context.fail(f"polygamma takes a whole number first, not {described(context, types[0])}")
    result, axes = broadcast_types(context, types, "polygamma")
    build = make_map("polygamma", types, axes, len(result.shape))

    def make(nodes: Sequence[Node]) -> Node:
        value = as_number(narrow(nodes[0]))
        if not isinstance(value, int) or value < 0:
            context.fail("polygamma takes a whole number first", "polygamma(1, x) is the trigamma function")
        return build(nodes)

    return result, make


# --- the records ---------------------------------------------------------------------------------

EXPONENTIALS = (
    Operation(
        "exp",
        "map",
        "Exponential of every entry.",
        slopes=(lambda y, _x: y,),
        numpy="np.exp({0})",
        latex=r"\exp",
        reference=f"{REFERENCE}, 4.2.1",
        gives=("positive",),
    ),
    Operation(
        "log",
        "map",
        "Natural logarithm of every entry.",
        aliases=("ln",),
        slopes=(lambda _y, x: power(x, -1),),
        numpy="np.log({0})",
        latex=r"\log",
        domain="{0} > 0",
        sample="positive",
        reference=f"{REFERENCE}, 4.1.46",
    ),
    Operation(
        "log1p",
        "map",
        "Logarithm of 1 + x, accurate for small x.",
        slopes=(lambda _y, x: power(total(1, (1, x)), -1),),
        numpy="np.log1p({0})",
        domain="{0} > -1",
        sample="positive",
    ),
    Operation(
        "expm1",
        "map",
        "Exponential less 1, accurate for small x.",
        slopes=(lambda _y, x: entry("exp", x),),
        numpy="np.expm1({0})",
    ),
    Operation(
        "log2",
        "map",
        "Logarithm to base 2.",
        slopes=(lambda _y, x: logarithm_slope(2, x),),
        numpy="np.log2({0})",
        latex=r"\log_2",
        domain="{0} > 0",
        sample="positive",
    ),
    Operation(
        "log10",
        "map",
        "Logarithm to base 10.",
        slopes=(lambda _y, x: logarithm_slope(10, x),),
        numpy="np.log10({0})",
        latex=r"\log_{10}",
        domain="{0} > 0",
        sample="positive",
    ),
)

POWERS = (
    Operation(
        "sqrt",
        "expression",
        "Square root of every entry.",
        typing=unary("sqrt", lambda x: power(x, HALF)),
        domain="{0} >= 0",
        sample="positive",
        latex=r"\sqrt",
    ),
    Operation(
        "square",
        "expression",
        "Square of every entry.",
        typing=unary("square", lambda x: power(x, 2)),
    ),
    Operation(
        "reciprocal",
        "expression",
        "One over every entry.",
        typing=unary("reciprocal", lambda x: power(x, -1)),
        domain="{0} != 0",
        sample="positive",
    ),
    Operation(
        "cbrt",
        "map",
        "Real cube root of every entry.",
        slopes=(lambda y, _x: scale(Fraction(1, 3), power(y, -2)),),
        numpy="np.cbrt({0})",
        sample="nonzero",
        kink="the slope is infinite at 0",
    ),
    Operation(
        "pow",
        "map",
        "Power with an exponent that may vary.",
        aliases=("power",),
        arity=2,
        slopes=(power_slope, lambda y, base, _p: hadamard(y, entry("log", base))),
        numpy="np.power({0}, {1})",
        domain="{0} > 0",
        sample="positive real",
        reference=f"{REFERENCE}, 4.2.9",
    ),
)

TRIGONOMETRY = (
    Operation(
        "sin",
        "map",
        "Sine.",
        slopes=(lambda _y, x: entry("cos", x),),
        numpy="np.sin({0})",
        latex=r"\sin",
        reference=f"{REFERENCE}, 4.3.105",
    ),
    Operation(
        "cos",
        "map",
        "Cosine.",
        slopes=(lambda _y, x: scale(-1, entry("sin", x)),),
        numpy="np.cos({0})",
        latex=r"\cos",
        reference=f"{REFERENCE}, 4.3.106",
    ),
    Operation(
        "tan",
        "map",
        "Tangent.",
        slopes=(lambda y, _x: total(1, (1, power(y, 2))),),
        numpy="np.tan({0})",
        latex=r"\tan",
        domain="cos({0}) != 0",
        sample="unit",
        reference=f"{REFERENCE}, 4.3.107",
    ),
    Operation(
        "asin",
        "map",
        "Inverse sine.",
        aliases=("arcsin",),
        slopes=(lambda _y, x: power(total(1, (-1, power(x, 2))), -HALF),),
        numpy="np.arcsin({0})",
        latex=r"\arcsin",
        domain="abs({0}) <= 1",
        sample="unit",
        reference=f"{REFERENCE}, 4.4.52",
    ),
    Operation(
        "acos",
        "map",
        "Inverse cosine.",
        aliases=("arccos",),
        slopes=(lambda _y, x: scale(-1, power(total(1, (-1, power(x, 2))), -HALF)),),
        numpy="np.arccos({0})",
        latex=r"\arccos",
        domain="abs({0}) <= 1",
        sample="unit",
        reference=f"{REFERENCE}, 4.4.53",
    ),
    Operation(
        "atan",
        "map",
        "Inverse tangent.",
        aliases=("arctan",),
        slopes=(lambda _y, x: power(total(1, (1, power(x, 2))), -1),),
        numpy="np.arctan({0})",
        latex=r"\arctan",
        reference=f"{REFERENCE}, 4.4.54",
    ),
    Operation(
        "sinh",
        "map",
        "Hyperbolic sine.",
        slopes=(lambda _y, x: entry("cosh", x),),
        numpy="np.sinh({0})",
        latex=r"\sinh",
    ),
    Operation(
        "cosh",
        "map",
        "Hyperbolic cosine.",
        slopes=(lambda _y, x: entry("sinh", x),),
        numpy="np.cosh({0})",
        latex=r"\cosh",
        gives=("positive",),
    ),
    Operation(
        "tanh",
        "map",
        "Hyperbolic tangent.",
        slopes=(lambda y, _x: total(1, (-1, power(y, 2))),),
        numpy="np.tanh({0})",
        latex=r"\tanh",
        reference=f"{REFERENCE}, 4.5.73",
    ),
    Operation(
        "asinh",
        "map",
        "Inverse hyperbolic sine.",
        aliases=("arcsinh",),
        slopes=(lambda _y, x: power(total(1, (1, power(x, 2))), -HALF),),
        numpy="np.arcsinh({0})",
        latex=r"\operatorname{arsinh}",
    ),
    Operation(
        "acosh",
        "map",
        "Inverse hyperbolic cosine.",
        aliases=("arccosh",),
        slopes=(lambda _y, x: power(total(-1, (1, power(x, 2))), -HALF),),
        numpy="np.arccosh({0})",
        latex=r"\operatorname{arcosh}",
        domain="{0} >= 1",
        sample="above_one",
    ),
    Operation(
        "atanh",
        "map",
        "Inverse hyperbolic tangent.",
        aliases=("arctanh",),
        slopes=(lambda _y, x: power(total(1, (-1, power(x, 2))), -1),),
        numpy="np.arctanh({0})",
        latex=r"\operatorname{artanh}",
        domain="abs({0}) < 1",
        sample="unit",
    ),
    Operation(
        "atan2",
        "map",
        "Angle of the point (x, y), the arguments are y and x.",
        aliases=("arctan2",),
        arity=2,
        slopes=(lambda _v, y, x: circle(y, x, x, 1), lambda _v, y, x: circle(y, x, y, -1)),
        numpy="np.arctan2({0}, {1})",
    ),
    Operation(
        "hypot",
        "map",
        "Length of the vector (a, b).",
        arity=2,
        slopes=(lambda y, a, _b: ratio(a, y), lambda y, _a, b: ratio(b, y)),
        numpy="np.hypot({0}, {1})",
        gives=("nonnegative",),
    ),
)

ACTIVATIONS = (
    Operation(
        "sigmoid",
        "map",
        "Logistic function 1 / (1 + exp(-x)).",
        aliases=("logistic", "expit"),
        slopes=(lambda y, _x: hadamard(y, total(1, (-1, y))),),
        numpy="sigmoid({0})",
        latex=r"\sigma",
        gives=("positive",),
        reference="Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.88",
    ),
    Operation(
        "softplus",
        "map",
        "log(1 + exp(x)), the smooth relu.",
        slopes=(lambda _y, x: entry("sigmoid", x),),
        numpy="softplus({0})",
        gives=("positive",),
    ),
    Operation(
        "relu",
        "map",
        "Positive part max(x, 0).",
        slopes=(lambda _y, x: entry("step", x),),
        numpy="np.maximum({0}, 0)",
        kink="0 at 0",
        sample="nonzero",
        gives=("nonnegative",),
    ),
    Operation(
        "leaky_relu",
        "map",
        "x above 0 and a x below, with a = 0.01 unless given.",
        arity=2,
        slopes=(leaky_slope, lambda _y, x, _a: below_zero(x)),
        typing=with_default("leaky_relu", Fraction(1, 100)),
        numpy="np.where({0} > 0, {0}, {1} * {0})",
        kink="a at 0",
        sample="nonzero unit",
    ),
    Operation(
        "elu",
        "map",
        "x above 0 and a (exp(x) - 1) below, with a = 1 unless given.",
        arity=2,
        slopes=(elu_slope, lambda _y, x, _a: entry("expm1", below_zero(x))),
        typing=with_default("elu", Fraction(1)),
        numpy="elu({0}, {1})",
        kink="a at 0",
        sample="nonzero positive",
        reference="Clevert, Unterthiner & Hochreiter, Exponential Linear Units (2016), eq. 15",
    ),
    Operation(
        "selu",
        "map",
        "Scaled exponential linear unit with its self-normalising constants.",
        slopes=(selu_slope,),
        numpy="selu({0})",
        kink="1.0507 at 0",
        sample="nonzero",
        reference="Klambauer et al., Self-Normalizing Neural Networks (2017), eq. 2",
    ),
    Operation(
        "gelu",
        "map",
        "x times the normal distribution function at x (the exact form).",
        slopes=(gelu_slope,),
        numpy="gelu({0})",
        reference="Hendrycks & Gimpel, Gaussian Error Linear Units (2016), section 2",
    ),
    Operation(
        "silu",
        "map",
        "x times the logistic function of x.",
        aliases=("swish",),
        slopes=(silu_slope,),
        numpy="silu({0})",
        reference="Elfwing, Uchibe & Doya, Sigmoid-weighted linear units (2018), eq. 6",
    ),
    Operation(
        "huber",
        "map",
        "x^2 / 2 within d and d (|x| - d / 2) beyond.",
        arity=2,
        slopes=(huber_slope, huber_threshold_slope),
        numpy="huber({0}, {1})",
        domain="{1} > 0",
        sample="real positive",
        reference="Huber, Robust estimation of a location parameter (1964)",
        gives=("nonnegative",),
    ),
)

SPECIAL = (
    Operation(
        "erf",
        "map",
        "Error function.",
        slopes=(lambda _y, x: gaussian_slope(1, x),),
        numpy="special.erf({0})",
        reference=f"{REFERENCE}, 7.1.1",
    ),
    Operation(
        "erfc",
        "map",
        "Complementary error function 1 - erf(x).",
        slopes=(lambda _y, x: gaussian_slope(-1, x),),
        numpy="special.erfc({0})",
        gives=("positive",),
        reference=f"{REFERENCE}, 7.1.2",
    ),
    Operation(
        "normpdf",
        "map",
        "Density of the standard normal distribution.",
        slopes=(lambda y, x: scale(-1, hadamard(x, y)),),
        numpy="normpdf({0})",
        latex=r"\varphi",
        gives=("positive",),
        reference=f"{REFERENCE}, 26.2.1",
    ),
    Operation(
        "normcdf",
        "map",
        "Distribution function of the standard normal distribution.",
        slopes=(lambda _y, x: entry("normpdf", x),),
        numpy="special.ndtr({0})",
        latex=r"\Phi",
        gives=("positive",),
        reference=f"{REFERENCE}, 26.2.2",
    ),
    Operation(
        "lgamma",
        "map",
        "Logarithm of the gamma function's absolute value.",
        aliases=("gammaln",),
        slopes=(lambda _y, x: entry("digamma", x),),
        numpy="special.gammaln({0})",
        latex=r"\log\Gamma",
        domain="{0} is not 0, -1, -2, …",
        sample="positive",
        reference=f"{REFERENCE}, 6.3.1",
    ),
    Operation(
        "digamma",
        "map",
        "Slope of lgamma.",
        slopes=(lambda _y, x: entry("trigamma", x),),
        numpy="special.digamma({0})",
        latex=r"\psi",
        domain="{0} is not 0, -1, -2, …",
        sample="positive",
        reference=f"{REFERENCE}, 6.3.1",
    ),
    Operation(
        "trigamma",
        "map",
        "Slope of digamma.",
        slopes=(lambda _y, x: entry("polygamma", number(2), x),),
        numpy="polygamma(1, {0})",
        latex=r"\psi_1",
        domain="{0} is not 0, -1, -2, …",
        sample="positive",
        reference=f"{REFERENCE}, 6.4.1",
        gives=("positive",),
    ),
    Operation(
        "polygamma",
        "map",
        "The k-th slope of digamma, the arguments are k and x.",
        arity=2,
        slopes=(no_order_slope, lambda _y, k, x: entry("polygamma", total(1, (1, k)), x)),
        typing=polygamma_typing,
        numpy="polygamma({0}, {1})",
        domain="{1} is not 0, -1, -2, …",
        sample="order positive",
        reference=f"{REFERENCE}, 6.4.1",
    ),
)

FLAT = "piecewise constant"

PIECEWISE = (
    Operation(
        "abs",
        "map",
        "Absolute value.",
        slopes=(lambda _y, x: entry("sign", x),),
        numpy="np.abs({0})",
        kink="0 at 0",
        sample="nonzero",
        gives=("nonnegative",),
    ),
    Operation(
        "sign",
        "map",
        "-1, 0 or 1 by the sign.",
        zero_derivative=FLAT,
        numpy="np.sign({0})",
        latex=r"\operatorname{sign}",
        sample="nonzero",
    ),
    Operation(
        "step",
        "map",
        "1 above 0, else 0.",
        aliases=("heaviside",),
        zero_derivative=FLAT,
        numpy="mask({0} > 0, {0})",
        sample="nonzero",
        gives=("nonnegative",),
    ),
    Operation("floor", "map", "Largest integer that is not above.", zero_derivative=FLAT, numpy="np.floor({0})"),
    Operation("ceil", "map", "Smallest integer that is not below.", zero_derivative=FLAT, numpy="np.ceil({0})"),
    Operation("round", "map", "Nearest integer, halves to the even one.", zero_derivative=FLAT, numpy="np.round({0})"),
    Operation(
        "maximum",
        "map",
        "The larger of two numbers, entry by entry.",
        arity=2,
        slopes=(lambda _y, a, b: share("gt", a, b), lambda _y, a, b: share("gt", b, a)),
        numpy="np.maximum({0}, {1})",
        latex=r"\max",
        kink="ties share; 0 where the other operand is a constant",
    ),
    Operation(
        "minimum",
        "map",
        "The smaller of two numbers, entry by entry.",
        arity=2,
        slopes=(lambda _y, a, b: share("lt", a, b), lambda _y, a, b: share("lt", b, a)),
        numpy="np.minimum({0}, {1})",
        latex=r"\min",
        kink="ties share; 0 where the other operand is a constant",
    ),
    Operation(
        "where",
        "map",
        "a where the condition c is not 0, else b.",
        arity=3,
        slopes=(
            lambda y, _c, _a, _b: zeros(y.shape),
            lambda _y, c, _a, _b: comparison_of(c, negated=False),
            lambda _y, c, _a, _b: comparison_of(c, negated=True),
        ),
        numpy="np.where({0} != 0, {1}, {2})",
        sample="mask real real",
    ),
)

COMPARISONS = tuple(
    Operation(
        name,
        "map",
        f"1 where {words}, else 0.",
        arity=2,
        zero_derivative=FLAT,
        numpy=f"mask({{0}} {symbol} {{1}}, {{0}}, {{1}})",
        gives=("nonnegative",),
    )
    for name, symbol, words in (
        ("lt", "<", "the first operand is smaller"),
        ("le", "<=", "the first operand is not larger"),
        ("gt", ">", "the first operand is larger"),
        ("ge", ">=", "the first operand is not smaller"),
        ("eq", "==", "the operands are equal"),
        ("ne", "!=", "the operands differ"),
    )
)

ELEMENTWISE: tuple[Operation, ...] = (
    *EXPONENTIALS,
    *POWERS,
    *TRIGONOMETRY,
    *ACTIVATIONS,
    *SPECIAL,
    *PIECEWISE,
    *COMPARISONS,
)
