"""The functions a person calls: derivatives as formulas, and as compiled NumPy functions that know their formula."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

from .derivation import Derivative, canonical, choose_variable, find_variable
from .errors import UnknownName, UsageError, require_one_of, shown
from .expression import Expr, as_expr, parse, symbols
from .layout import FORMS, LAYOUTS
from .limits import Limits, bounded, chosen
from .remarks import flat_parts

if TYPE_CHECKING:
    from .explanation.explain import Explanation
    from .functions import Function, Kind

__all__ = [
    "Derivative",
    "Expr",
    "derive",
    "explain",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "parse",
    "symbols",
    "value_and_grad",
    "vjp",
]

Text = str | Expr
Vars = Mapping[str, str] | str | None


def derive(
    text: Text,
    wrt: str | tuple[str, ...] | None = None,
    vars: Vars = None,  # noqa: A002
    order: int | None = None,
    layout: str = "gradient",
    syntax: str = "auto",
    structure: str | None = None,
    *,
    timeout: float | None = None,
    limits: Limits | None = None,
) -> Derivative:
    r"""Differentiate an expression.

    >>> import matcalc as mc
    >>> d = mc.derive("||A x - b||^2", wrt="x")
    >>> d.formula, d.shape
    ('2 A^T (A x - b)', ('n',))
    >>> mc.derive(r"\frac{\partial}{\partial \mathbf{x}} \mathbf{x}^\top A \mathbf{x}").formula
    '(A + A^T) x'

    Parameters
    ----------
    text: a program, in plain text or in LaTeX, or an `Expr`.
    wrt: the variable; a tuple of two for a mixed second derivative; chosen, with a note, when it is left out and the
        text does not name it.
    vars: declared types by name, or declarations as text; the rest is inferred.
    order: 1 or 2; by default what the text asks for, else 1.
    layout: ``gradient`` (the axes of the output, then of the variable), ``numerator``, ``denominator``, ``vec`` or
        ``vec-row``.
    syntax: ``text``, ``latex``, or ``auto`` for what the text looks like.
    structure: for a variable declared ``symmetric``, ``diagonal`` …: ``respect`` for the gradient within that space
        (the default), ``free`` for independent entries, ``vech`` for the derivative by the distinct entries.
    timeout: seconds for the derivative, and again for its formula; by default no end.
    limits: what the call may use, by default the defaults of `Limits`.

    Raises
    ------
    LimitError: a limit was reached; it is named.
    ParseError: the text does not follow the grammar.
    ShapeError: shapes do not fit.
    NotDifferentiable: an operation on the way has no derivative; it is named.
    """
    require_one_of(layout, LAYOUTS, "layout")
    if order is not None and (type(order) is not int or order not in (1, 2)):
        raise UsageError(
            f"the order of a derivative is 1 or 2, not {shown(order)}",
            hint="differentiate the derivative again for a higher order: d.expr.diff(…)",
        )
    allowed = _allowed(text, limits, timeout)
    with bounded(allowed):
        return _derived(as_expr(text, vars, syntax, allowed), wrt, order, layout, structure)


def _allowed(text: Text, limits: Limits | None, timeout: float | None) -> Limits:
    """The limits of a call; those of an expression go on unless others are named."""
    return chosen(text.limits if limits is None and isinstance(text, Expr) else limits, timeout)


def _derived(
    expr: Expr, wrt: str | tuple[str, ...] | None, order: int | None, layout: str, structure: str | None
) -> Derivative:
    """The derivative of an expression by the variables that are meant."""
    notes: tuple[str, ...] = ()
    wrt, order = _requested(expr, wrt, order)
    if wrt is None:
        name, note = choose_variable(expr)
        names, notes = (name,) * order, (note,)
    elif isinstance(wrt, str):
        names = (canonical(wrt),) * order
    else:
        names = _names(wrt)
        if len(names) not in (1, 2) or (order == 2 and len(names) != 2):
            raise UsageError(
                f"a derivative is taken by one or two variables, not {len(names)}",
                hint='wrt="x", or wrt=("x", "y") for a mixed second derivative',
            )
    return Derivative(expr, names, layout, (*notes, *flat_parts(expr, names, len(names))), structure)


def explain(
    text: Text | Derivative,
    wrt: str | tuple[str, ...] | None = None,
    vars: Vars = None,  # noqa: A002
    style: str = "chain",
    order: int | None = None,
    *,
    timeout: float | None = None,
    limits: Limits | None = None,
) -> Explanation:
    """Show how a derivative comes about; every line is verified with numbers before it is shown.

    >>> import matcalc as mc
    >>> print(mc.explain("x^T A x", "x", style="differential"))
    f = x^T A x
    df = dx^T A x + x^T A dx        # product rule: d(U V) = dU V + U dV
       = (A x)^T dx + (A^T x)^T dx  # transpose: a scalar is its own transpose
       = ((A + A^T) x)^T dx         # collected
    df/dx = (A + A^T) x             # first identification: df = g^T dx makes g the gradient

    Parameters
    ----------
    text: a program, an `Expr`, or a `Derivative`.
    wrt: the variable, as in `derive`.
    vars: declared types by name.
    style: ``chain``, intermediates and one adjoint for each, as in backpropagation; ``differential``, the differential
        with ``dX`` brought to the end; ``index``, one entry first.
    order: 1 or 2; of a second derivative, how it follows from the gradient.
    timeout, limits: as for `derive`.

    Raises
    ------
    UsageError: an unknown style, or a function that does not depend on the variable.
    Unsupported: the style cannot say this; the hint names one that can.
    """
    from .explanation.explain import Explanation  # formulas alone do not need it

    allowed = _allowed(text.function if isinstance(text, Derivative) else text, limits, timeout)
    with bounded(allowed):
        asked = text if isinstance(text, Derivative) else derive(text, wrt, vars, order, limits=allowed)
        return Explanation(asked, style)


def _requested(
    expr: Expr, wrt: str | tuple[str, ...] | None, order: int | None
) -> tuple[str | tuple[str, ...] | None, int]:
    """The variable and the order: as given, else as the text itself asks for.

    Raises
    ------
    UsageError: the text asks for another derivative than the call.
    """
    request = expr.request
    if request is None:
        return wrt, order or 1
    hint = "leave out what the text says, or give the text without the derivative"
    if order is not None and order != request.order:
        raise UsageError(
            f"the text asks for a derivative of order {request.order}, the call for order {order}",
            source=expr.text,
            span=request.span,
            hint=hint,
        )
    if wrt is None:
        return request.wrt or None, request.order
    names = (canonical(wrt),) * request.order if isinstance(wrt, str) else _names(wrt)
    if request.wrt and names != request.wrt:
        raise UsageError(
            f"the text asks for the derivative by {', '.join(request.wrt)}, the call for {', '.join(names)}",
            source=expr.text,
            span=request.span,
            hint=hint,
        )
    return wrt, request.order


def _function(
    kind: Kind,
    text: Text,
    wrt: str | tuple[str, ...] | None,
    given: Vars,
    structure: str | None,
    limits: Limits,
    backend: str,
    form: str = "array",
) -> Function:
    """The compiled function of a request, made within the limits."""
    with bounded(limits):
        return _made(kind, as_expr(text, given, limits=limits), wrt, structure, form, backend)


def _made(
    kind: Kind, expr: Expr, wrt: str | tuple[str, ...] | None, structure: str | None, form: str, backend: str
) -> Function:
    require_one_of(form, FORMS, "form")
    if expr.request is not None:
        second = kind in ("hessian", "hvp")
        found, _ = _requested(expr, wrt, 2 if second and expr.request.order == 2 else 1)
        wrt = found[0] if isinstance(found, tuple) and not isinstance(wrt, tuple) else found
    single = wrt is None or isinstance(wrt, str)
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    if wrt is None:
        name, note = choose_variable(expr)
        names, notes = (name,), (note,)
    elif isinstance(wrt, str):
        names = (canonical(wrt),)
    else:
        names = _names(wrt)
        if not names or len(set(names)) != len(names):
            raise UsageError("each variable is named once", hint=f"wrt={tuple(dict.fromkeys(names)) or ('x',)}")
    for name in names:
        _require(expr, name)
    from .functions import Function, Request  # needs NumPy, which a formula does not

    order = 2 if kind in ("hessian", "hvp") else 1
    noted = (*notes, *flat_parts(expr, names, order))
    asked = Request(kind, expr, names, single, notes=noted, structure=structure, form=form, backend=backend)
    if form == "array":
        return Function(asked)
    from .compressed import OperatorFunction

    return OperatorFunction(asked)


def _names(wrt: Iterable[str]) -> tuple[str, ...]:
    """Several variables by canonical name."""
    if not isinstance(wrt, tuple | list):
        raise UsageError(f"a variable is named by text, not by {shown(wrt)}", hint='wrt="x", or ("x", "y") for two')
    return tuple(canonical(name) for name in wrt)


def _require(expr: Expr, name: str) -> None:
    """A compiled function differentiates only by variables of its program."""
    if name in expr.order:
        return
    find_variable(expr, name)  # a defined name has a message of its own
    nearest = get_close_matches(name, expr.order, 1, 0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else f"the variables are {', '.join(expr.order)}"
    raise UnknownName(f"there is no variable {name} in the expression", source=expr.text, hint=hint)


def grad(
    text: Text,
    wrt: str | tuple[str, ...] | None = None,
    vars: Vars = None,  # noqa: A002
    structure: str | None = None,
    *,
    backend: str = "numpy",
    timeout: float | None = None,
    limits: Limits | None = None,
) -> Function:
    """The gradient of a scalar as a NumPy function.

    >>> import matcalc as mc
    >>> g = mc.grad("||A x - b||^2", wrt="x")
    >>> g.formula
    '2 A^T (A x - b)'
    >>> g(A=np.eye(2), x=np.ones(2), b=np.zeros(2))
    array([2., 2.])

    Parameters
    ----------
    text: a program with a scalar output, or an `Expr`.
    wrt: a name, or a tuple of names for a tuple of gradients.
    vars: declared types by name, or declarations as text; the rest is inferred.
    structure, timeout, limits: as for `derive`.
    backend: ``numpy``, or ``numba`` for loops that Numba compiles at the first call.

    Raises
    ------
    ShapeError: the output is not a scalar.
    UnknownName: no variable of that name.
    Unsupported: ``numba`` is asked for and not installed.
    """
    return _function("grad", text, wrt, vars, structure, _allowed(text, limits, timeout), backend)


def value_and_grad(
    text: Text,
    wrt: str | tuple[str, ...] | None = None,
    vars: Vars = None,  # noqa: A002
    structure: str | None = None,
    *,
    backend: str = "numpy",
    timeout: float | None = None,
    limits: Limits | None = None,
) -> Function:
    """A scalar and its gradient, computed together.

    >>> import matcalc as mc
    >>> value, gradient = mc.value_and_grad("x^T x", "x")(x=np.array([1.0, 2.0]))
    >>> print(value, gradient)
    5.0 [2. 4.]

    Parameters and errors are those of `grad`.
    """
    return _function("value_and_grad", text, wrt, vars, structure, _allowed(text, limits, timeout), backend)


def jacobian(
    text: Text,
    wrt: str | tuple[str, ...] | None = None,
    vars: Vars = None,  # noqa: A002
    structure: str | None = None,
    *,
    form: str = "array",
    backend: str = "numpy",
    timeout: float | None = None,
    limits: Limits | None = None,
) -> Function:
    """The derivative of an output of any shape, of shape output + variable, as a NumPy function.

    >>> import matcalc as mc
    >>> mc.jacobian("A x", "x").formula
    'A'

    Parameters
    ----------
    text: a program, or an `Expr`.
    wrt: a name, or a tuple of names for a tuple of derivatives.
    vars: declared types by name, or declarations as text; the rest is inferred.
    structure, timeout, limits, backend: as for `derive` and `grad`.
    form: ``array``, or ``operator`` for a function that returns a `DerivativeOperator`, which never forms the array.
    """
    return _function("jacobian", text, wrt, vars, structure, _allowed(text, limits, timeout), backend, form)


def hessian(
    text: Text,
    wrt: str | tuple[str, ...] | None = None,
    vars: Vars = None,  # noqa: A002
    structure: str | None = None,
    *,
    form: str = "array",
    backend: str = "numpy",
    timeout: float | None = None,
    limits: Limits | None = None,
) -> Function:
    """The Hessian of a scalar as a NumPy function; a tuple of tuples of blocks for a tuple of names.

    >>> import matcalc as mc
    >>> mc.hessian("x^T A x", "x").formula
    'A + A^T'
    >>> H = mc.hessian("||X - U V^T||_F^2", "U", form="operator")
    >>> H.structure
    'block diagonal: m equal blocks of p × p'

    With ``form="operator"`` the function returns a `DerivativeOperator`: products, solutions and the diagonal without
    the array. Parameters and errors are those of `grad`.
    """
    return _function("hessian", text, wrt, vars, structure, _allowed(text, limits, timeout), backend, form)


def hvp(
    text: Text,
    wrt: str | tuple[str, ...] | None = None,
    vars: Vars = None,  # noqa: A002
    *,
    backend: str = "numpy",
    timeout: float | None = None,
    limits: Limits | None = None,
) -> Function:
    """The product of the Hessian of a scalar with a vector, without forming the Hessian.

    >>> import matcalc as mc
    >>> h = mc.hvp("sum(x.^3)", "x")
    >>> h(np.array([1.0, 0.0]), x=np.array([2.0, 5.0]))
    array([12.,  0.])

    The direction is the first argument, or ``v``; for a tuple of names it is a tuple.
    Parameters and errors are those of `grad`.
    """
    return _function("hvp", text, wrt, vars, None, _allowed(text, limits, timeout), backend)


def vjp(
    text: Text,
    wrt: str | tuple[str, ...] | None = None,
    vars: Vars = None,  # noqa: A002
    *,
    backend: str = "numpy",
    timeout: float | None = None,
    limits: Limits | None = None,
) -> Function:
    """The product of an array of the output's shape with the Jacobian, without forming the Jacobian.

    >>> import matcalc as mc
    >>> mc.vjp("A x", "x").formula
    'A^T v'

    The array is the first argument, or ``v``. Parameters are those of `jacobian`.
    """
    return _function("vjp", text, wrt, vars, None, _allowed(text, limits, timeout), backend)


def jvp(
    text: Text,
    wrt: str | tuple[str, ...] | None = None,
    vars: Vars = None,  # noqa: A002
    *,
    backend: str = "numpy",
    timeout: float | None = None,
    limits: Limits | None = None,
) -> Function:
    """The derivative in a direction: the Jacobian times an array of the variable's shape.

    >>> import matcalc as mc
    >>> mc.jvp("A x", "x").formula
    'A v'

    The direction is the first argument, or ``v``; for a tuple of names it is a tuple.
    Parameters are those of `jacobian`.
    """
    return _function("jvp", text, wrt, vars, None, _allowed(text, limits, timeout), backend)
