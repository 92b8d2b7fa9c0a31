"""Reductions over all entries or one axis, and the maps that act row by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from ..errors import NotDifferentiable
from ..expr.build import add, einsum, elementwise, hadamard, permute, power, product, scale, size, subtract
from ..expr.nodes import Call, Map, Node, Structure
from ..expr.typed import SCALAR, Type, Typing
from .record import Make, Operation, Options, TypingRule
from .signature import apply_call
from .typing_rules import broadcast_types, check_count, described, kind_of, letters, make_map

HALF = Fraction(1, 2)

# --- typing --------------------------------------------------------------------------------------

# What a reduction does: the operand and how many trailing axes go away.
Reduce = Callable[[Node, int], Node]


def axis_of(context: Typing, name: str, given: Type, options: Options, default: object = None) -> int | None:
    """The axis that was asked for, counted from 0, or None for all entries."""
    axis = options.get("axis", default)
    if axis is None:
        return None
    if isinstance(axis, Fraction) and axis.denominator == 1:
        axis = int(axis)
    order = len(given.shape)
    if not isinstance(axis, int) or not -order <= axis < order:
        axes = "its one axis is 0" if order == 1 else f"the axes are 0 to {order - 1}"
        context.fail(f"{name} has no axis {axis} of {described(context, given)}", axes)
    return axis % order


def reduced_type(given: Type, axis: int | None) -> Type:
    """The type that is left: of a matrix, ``axis=0`` leaves a row and ``axis=1`` a column."""
    if axis is None:
        return SCALAR
    shape = given.shape[:axis] + given.shape[axis + 1 :]
    if given.kind == "matrix" and axis == 0:
        return Type("row", shape)
    return kind_of(shape)


def moved_last(node: Node, axis: int, order: int) -> Node:
    """The node with one of its own ``order`` trailing axes moved to the end."""
    batch = node.order - order
    place = batch + axis
    places = [k for k in range(node.order) if k != place] + [place]
    return node if place == node.order - 1 else permute(node, places)


def moved_back(node: Node, axis: int, order: int) -> Node:
    """The inverse of `moved_last`."""
    batch = node.order - order
    place = batch + axis
    if place == node.order - 1:
        return node
    places = [*range(place), node.order - 1, *range(place, node.order - 1)]
    return permute(node, places)


def reduction(name: str, reduce: Reduce, of_scalar: Callable[[Node], Node] = lambda node: node) -> TypingRule:
    """The rule of a reduction over all entries or one axis.

    Parameters
    ----------
    reduce: builds the reduction of so many trailing axes.
    of_scalar: what the reduction makes of a single number.
    """

    def rule(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:
        check_count(context, name, types, 1)
        given = types[0]
        if given.kind == "scalar":
            return SCALAR, lambda nodes: of_scalar(nodes[0])
        axis = axis_of(context, name, given, options)
        if len(given.shape) == 1:
            axis = None
        order = len(given.shape)

        def make(nodes: Sequence[Node]) -> Node:
            if axis is None:
                return reduce(nodes[0], order)
            return reduce(moved_last(nodes[0], axis, order), 1)

        return reduced_type(given, axis), make

    return rule


def extreme(name: str, entrywise: str) -> TypingRule:
    """The rule of max and min: a reduction of one operand, entrywise of several."""

    def rule(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:
        if len(types) == 1:
            return reduction(name, lambda node, core: calls(name, node, core))(context, types, options)
        check_count(context, name, types, 2, 64)
        if options.get("axis") is not None:
            context.fail(f"{name} of several operands is entrywise and has no axis")
        first, axes = broadcast_types(context, types[:2], name)
        steps = [(first, make_map(entrywise, types[:2], axes, len(first.shape)))]
        for following in types[2:]:
            pair = (steps[-1][0], following)
            wider, axes = broadcast_types(context, pair, name)
            steps.append((wider, make_map(entrywise, pair, axes, len(wider.shape))))

        def make(nodes: Sequence[Node]) -> Node:
            value = steps[0][1](nodes[:2])
            for node, (_, build) in zip(nodes[2:], steps[1:], strict=True):
                value = build((value, node))
            return value

        return steps[-1][0], make

    return rule


def row_wise(name: str, build: Callable[[Node], Node]) -> TypingRule:
    """The rule of a map that acts on each vector along an axis, the last one unless given."""

    def rule(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:
        check_count(context, name, types, 1)
        given = types[0]
        if given.kind == "scalar":
            context.fail(f"{name} takes an array, not a scalar")
        order = len(given.shape)
        axis = axis_of(context, name, given, options, -1)
        last = order - 1 if axis is None else axis

        def make(nodes: Sequence[Node]) -> Node:
            return moved_back(build(moved_last(nodes[0], last, order)), last, order)

        return given, make

    return rule


def same_shape(name: str) -> TypingRule:
    """The rule of a call that acts on all entries, or on each vector along an axis when one is given."""

    def rule(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:
        if options.get("axis") is not None:
            return row_wise(name, lambda node: calls(name, node, 1))(context, types, options)
        check_count(context, name, types, 1)
        given = types[0]
        if given.kind == "scalar":
            context.fail(f"{name} takes an array, not a scalar")
        return given, lambda nodes: calls(name, nodes[0], len(given.shape))

    return rule


def pairs_typing(context: Typing, types: Sequence[Type], options: Options) -> tuple[Type, Make]:  # noqa: ARG001
    """A vector gives a matrix of pairs, an array of order k one of order 2 k."""
    check_count(context, "prodexcept2", types, 1)
    shape = types[0].shape
    return kind_of(shape * 2), lambda nodes: calls("prodexcept2", nodes[0], len(shape))


# --- building ------------------------------------------------------------------------------------


def calls(name: str, node: Node, core: int = 1) -> Call:
    """A reduction of this family over ``core`` trailing axes; what acts on vectors takes none."""
    return apply_call(BY_NAME[name], (node,), {"core": core} if "core" in BY_NAME[name].parameters else None)


def core_of(call: Call) -> int:
    """How many trailing axes a call acts on."""
    return int(dict(call.parameters)["core"])


def total(node: Node, core: int) -> Node:
    """The sum over the trailing axes."""
    return einsum(f"...{letters(core)}->...", node)


def inner(left: Node, right: Node, core: int) -> Node:
    """The inner product over the trailing axes."""
    names = letters(core)
    return einsum(f"...{names},...{names}->...", left, right)


def stretch(node: Node, like: Node) -> Node:
    """A value for each batch, repeated along the trailing axes of another node."""
    names = tuple(range(like.order))
    return product([(node, 1, names[: node.order])], names, dict(enumerate(like.shape)))


def times(node: Node, factor: Node, exponent: int = 1) -> Node:
    """A node scaled by a value for each batch."""
    names = tuple(range(node.order))
    return product([(node, 1, names), (factor, exponent, names[: factor.order])], names)


def entry_count(node: Node, core: int) -> Node:
    """The number of entries along the trailing axes, as a scalar."""
    return product([(size(dim), 1, ()) for dim in node.shape[node.order - core :]], ())


def mean(node: Node, core: int) -> Node:
    """The mean over the trailing axes."""
    return times(total(node, core), entry_count(node, core), -1)


def deviation(node: Node, core: int) -> Node:
    """What remains when the mean is taken away."""
    return subtract(node, stretch(mean(node, core), node))


def cumulative(node: Node) -> Node:
    """The running sum along the last axis."""
    return einsum("ij,...j->...i", Structure("lower", node.shape[-1]), node)


# --- differentials -------------------------------------------------------------------------------


def equals(node: Node, value: Node) -> Map:
    """The mask of the entries that equal the value of their batch."""
    names = tuple(range(node.order))
    return Map("eq", (node, value), (names, names[: value.order]), node.shape)


def shared(mask: Node, change: Node, core: int) -> Node:
    """The mean of the changes where the mask is 1."""
    names = tuple(range(change.order))
    batch = names[: change.order - core]
    return product([(mask, 1, names), (change, 1, names), (total(mask, core), -1, batch)], batch)


def extreme_differential(call: Call, _position: int, change: Node) -> Node:
    """Ties share."""
    return shared(equals(call.args[0], call), change, core_of(call))


def largest_differential(call: Call, _position: int, change: Node) -> Node:
    """The sign at the largest entries; ties share."""
    operand = call.args[0]
    mask = equals(elementwise("abs", operand), call)
    return shared(mask, hadamard(elementwise("sign", operand), change), core_of(call))


def var_differential(call: Call, _position: int, change: Node) -> Node:
    """``2/n <x - mean(x), d>``, for the deviations sum to 0."""
    operand = call.args[0]
    core = core_of(call)
    along = inner(deviation(operand, core), change, core)
    return scale(2, times(along, entry_count(operand, core), -1))


def std_differential(call: Call, _position: int, change: Node) -> Node:
    """The direction of the deviation over sqrt(n), which is 0 where all entries are equal."""
    operand = call.args[0]
    core = core_of(call)
    along = inner(calls("normalize", deviation(operand, core), core), change, core)
    return times(along, power(entry_count(operand, core), HALF), -1)


def logsumexp_differential(call: Call, _position: int, change: Node) -> Node:
    """The weights are the softmax of the operand."""
    operand = call.args[0]
    core = core_of(call)
    if core == 1:
        return inner(calls("softmax", operand), change, 1)
    weights = elementwise("exp", subtract(operand, stretch(call, operand)))
    return inner(weights, change, core)


def norm_differential(call: Call, _position: int, change: Node) -> Node:
    core = core_of(call)
    return inner(calls("normalize", call.args[0], core), change, core)


def normalize_differential(call: Call, _position: int, change: Node) -> Node:
    """``(d - u <u, d>) / ||x||``."""
    core = core_of(call)
    along = times(call, inner(call, change, core))
    return times(subtract(change, along), calls("norm", call.args[0], core), -1)


def prod_differential(call: Call, _position: int, change: Node) -> Node:
    core = core_of(call)
    return inner(calls("prodexcept", call.args[0], core), change, core)


def prodexcept_differential(call: Call, _position: int, change: Node) -> Node:
    core = core_of(call)
    names = letters(2 * core)
    left, right = names[:core], names[core:]
    return einsum(f"...{left}{right},...{right}->...{left}", calls("prodexcept2", call.args[0], core), change)


def prodexcept2_differential(call: Call, _position: int, change: Node) -> Node:  # noqa: ARG001
    raise NotDifferentiable(
        "prodexcept2 has no derivative: the third derivative of prod is not known",
        hint="where no entry is 0, write the product as exp(sum(log(x)))",
    )


def softmax_differential(call: Call, _position: int, change: Node) -> Node:
    """``s .* d - s (s^T d)``."""
    return subtract(hadamard(call, change), times(call, inner(call, change, 1)))


def log_softmax_differential(call: Call, _position: int, change: Node) -> Node:
    weights = calls("softmax", call.args[0])
    return subtract(change, stretch(inner(weights, change, 1), change))


# --- NumPy ---------------------------------------------------------------------------------------


def axes_text(node: Node) -> str:
    """The trailing axes a call acts on, as NumPy's ``axis``."""
    assert isinstance(node, Call)
    core = core_of(node)
    return "-1" if core == 1 else "(" + ", ".join(str(axis) for axis in range(-core, 0)) + ")"


def over_axes(function: str) -> Callable[[Node, Sequence[str]], str]:
    """A NumPy reduction over the axes of the node."""

    def text(node: Node, names: Sequence[str]) -> str:
        return f"{function}({names[0]}, axis={axes_text(node)})"

    return text


def with_core(function: str) -> Callable[[Node, Sequence[str]], str]:
    """A kernel that takes the number of trailing axes."""

    def text(node: Node, names: Sequence[str]) -> str:
        assert isinstance(node, Call)
        return f"{function}({names[0]}, {core_of(node)})"

    return text


def largest_entry(node: Node, names: Sequence[str]) -> str:
    return f"np.max(np.abs({names[0]}), axis={axes_text(node)}, initial=0)"


def argmax_text(node: Node, names: Sequence[str]) -> str:
    """The place among the entries, row by row when several axes are searched."""
    assert isinstance(node, Call)
    core = core_of(node)
    if core == 1:
        return f"np.argmax({names[0]}, axis=-1)"
    return f"np.argmax({names[0]}.reshape(*{names[0]}.shape[:-{core}], -1), axis=-1)"


# --- the records ---------------------------------------------------------------------------------

AXIS: Mapping[str, object] = {"axis": None}
LAST: Mapping[str, object] = {"axis": -1}
CORE = {"core": 1}
ENTRYWISE_SUM = "Magnus & Neudecker, Matrix Differential Calculus (1999), ch. 8"


def _of(name: str) -> Reduce:
    return lambda node, core: calls(name, node, core)


def _absolute(node: Node) -> Node:
    return elementwise("abs", node)


def _zero(node: Node) -> Node:
    return add([], node.shape)


EXPRESSIONS: tuple[Operation, ...] = (
    Operation(
        "sum",
        "expression",
        "Sum of the entries.",
        typing=reduction("sum", total),
        options=AXIS,
        latex=r"\operatorname{sum}",
        reference=ENTRYWISE_SUM,
    ),
    Operation("mean", "expression", "Mean of the entries.", typing=reduction("mean", mean), options=AXIS),
    Operation(
        "norm1",
        "expression",
        "Sum of the absolute entries.",
        typing=reduction("norm1", lambda node, core: total(elementwise("abs", node), core), _absolute),
        options=AXIS,
        gives=("nonnegative",),
        kink="0 at 0",
    ),
    Operation(
        "cumsum",
        "expression",
        "Running sum along the last axis, or along the axis given.",
        typing=row_wise("cumsum", cumulative),
        options=LAST,
    ),
)

CALLS: tuple[Operation, ...] = (
    Operation(
        "prod",
        "call",
        "Product of the entries.",
        signature="(...)->()",
        parameters=CORE,
        options=AXIS,
        typing=reduction("prod", _of("prod")),
        differential=prod_differential,
        numpy=over_axes("np.prod"),
        latex=r"\prod",
        keeps=("positive", "nonnegative", "nonzero"),
    ),
    Operation(
        "prodexcept",
        "call",
        "Product of all the other entries, for every entry.",
        signature="(...)->(...)",
        parameters=CORE,
        options=AXIS,
        typing=same_shape("prodexcept"),
        differential=prodexcept_differential,
        numpy=with_core("prodexcept"),
        keeps=("positive", "nonnegative", "nonzero"),
    ),
    Operation(
        "prodexcept2",
        "call",
        "Product of all entries but two, for every pair; 0 for a pair of one entry with itself.",
        signature="(...)->(...,...)",
        parameters=CORE,
        differential=prodexcept2_differential,
        numpy=with_core("prodexcept2"),
        nondifferentiable="the third derivative of prod is not known",
        typing=pairs_typing,
    ),
    Operation(
        "max",
        "call",
        "Largest entry; of several operands the largest, entry by entry.",
        signature="(...)->()",
        parameters=CORE,
        options=AXIS,
        typing=extreme("max", "maximum"),
        differential=extreme_differential,
        numpy=over_axes("np.max"),
        latex=r"\max",
        kink="ties share",
        reference="Boyd & Vandenberghe, Convex Optimization (2004), section 3.2.3",
        keeps=("positive", "nonnegative", "negative", "nonpositive", "nonzero", "integer", "zero"),
    ),
    Operation(
        "min",
        "call",
        "Smallest entry; of several operands the smallest, entry by entry.",
        signature="(...)->()",
        parameters=CORE,
        options=AXIS,
        typing=extreme("min", "minimum"),
        differential=extreme_differential,
        numpy=over_axes("np.min"),
        latex=r"\min",
        kink="ties share",
        keeps=("positive", "nonnegative", "negative", "nonpositive", "nonzero", "integer", "zero"),
    ),
    Operation(
        "var",
        "call",
        "Variance of the entries, divided by n.",
        signature="(...)->()",
        parameters=CORE,
        options=AXIS,
        typing=reduction("var", _of("var"), _zero),
        differential=var_differential,
        numpy=over_axes("np.var"),
        gives=("nonnegative",),
        reference=ENTRYWISE_SUM,
        keeps=("zero",),
    ),
    Operation(
        "std",
        "call",
        "Standard deviation of the entries, divided by n.",
        signature="(...)->()",
        parameters=CORE,
        options=AXIS,
        typing=reduction("std", _of("std"), _zero),
        differential=std_differential,
        numpy=over_axes("np.std"),
        kink="0 where all entries are equal",
        gives=("nonnegative",),
        keeps=("zero",),
    ),
    Operation(
        "logsumexp",
        "call",
        "Logarithm of the sum of the exponentials.",
        aliases=("lse",),
        signature="(...)->()",
        parameters=CORE,
        options=AXIS,
        typing=reduction("logsumexp", _of("logsumexp")),
        differential=logsumexp_differential,
        numpy=with_core("logsumexp"),
        reference="Boyd & Vandenberghe, Convex Optimization (2004), section 3.1.5",
    ),
    Operation(
        "norm",
        "call",
        "Euclidean norm; of a matrix the Frobenius norm.",
        aliases=("norm2", "normF", "normf"),
        signature="(...)->()",
        parameters=CORE,
        options=AXIS,
        typing=reduction("norm", _of("norm"), _absolute),
        differential=norm_differential,
        numpy=with_core("norm"),
        kink="0 at 0",
        gives=("nonnegative",),
        reference="Petersen & Pedersen, The Matrix Cookbook (2012), eq. 129",
        turns={"nonzero": ("positive",)},
    ),
    Operation(
        "norminf",
        "call",
        "Largest absolute entry.",
        signature="(...)->()",
        parameters=CORE,
        options=AXIS,
        typing=reduction("norminf", _of("norminf"), _absolute),
        differential=largest_differential,
        numpy=largest_entry,
        kink="ties share; 0 at 0",
        gives=("nonnegative",),
        turns={"nonzero": ("positive",)},
    ),
    Operation(
        "argmax",
        "call",
        "Place of the largest entry, counted from 0.",
        signature="(...)->()",
        parameters=CORE,
        options=AXIS,
        typing=reduction("argmax", _of("argmax"), _zero),
        numpy=argmax_text,
        nondifferentiable="its value is a place, not a quantity",
        gives=("integer", "nonnegative"),
        latex=r"\arg\max",
    ),
    Operation(
        "normalize",
        "call",
        "The vector divided by its Euclidean norm, row by row; 0 at 0.",
        signature="(...)->(...)",
        parameters=CORE,
        options=LAST,
        typing=row_wise("normalize", lambda node: calls("normalize", node, 1)),
        differential=normalize_differential,
        numpy=with_core("normalize"),
        kink="0 at 0",
        reference="Petersen & Pedersen, The Matrix Cookbook (2012), eq. 130",
        keeps=("positive", "nonnegative", "negative", "nonpositive", "nonzero"),
    ),
    Operation(
        "softmax",
        "call",
        "Exponentials divided by their sum, row by row.",
        signature="(n)->(n)",
        options=LAST,
        typing=row_wise("softmax", lambda node: calls("softmax", node)),
        differential=softmax_differential,
        numpy="softmax({0})",
        gives=("positive",),
        reference="Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.106",
    ),
    Operation(
        "log_softmax",
        "call",
        "Logarithm of the softmax, row by row.",
        signature="(n)->(n)",
        options=LAST,
        typing=row_wise("log_softmax", lambda node: calls("log_softmax", node)),
        differential=log_softmax_differential,
        numpy="log_softmax({0})",
    ),
)


BY_NAME: Mapping[str, Operation] = {record.name: record for record in CALLS}

REDUCTIONS: tuple[Operation, ...] = (*EXPRESSIONS, *CALLS)
