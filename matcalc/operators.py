"""Hessians and Jacobians as linear operators: products, solutions and diagonals without the tensor."""

from __future__ import annotations

import math
from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .errors import DomainError, ShapeError, Unsupported
from .lower.compress import described
from .lower.networks import Array, Frame, Network, along, applied, diagonal, formed
from .lower.systems import MOST_FORMED, Method, System, conjugate_gradients, methods

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

PRODUCTS_FOR_EACH = 10
"""Conjugate gradients take at most so many products for each unknown."""


class Layout(NamedTuple):
    """What the operators of one function for arrays of the same shapes have in common.

    ``name`` is what they are, for messages; ``output_shape`` and ``variable_shape`` the shapes of what is
    differentiated, and of what it is differentiated by. ``rows`` and ``columns`` are the lengths of the axes of the
    terms: those of the output and of the variable, except that an axis which stacks two by ``vec`` is these two.
    ``terms`` have places for the arrays, ``dtype`` is the type of these. ``definite`` says whether it is known to be
    symmetric positive definite, ``singular`` why there is no solution for every right-hand side, where that is known.
    """

    name: str
    output_shape: tuple[int, ...]
    variable_shape: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    terms: tuple[Frame, ...]
    dtype: np.dtype[Any]
    definite: bool = False
    singular: str = ""

    @property
    def transposed(self) -> Layout:
        """Rows and columns exchanged."""
        return self._replace(
            output_shape=self.variable_shape,
            variable_shape=self.output_shape,
            rows=self.columns,
            columns=self.rows,
            terms=tuple([term.transposed for term in self.terms]),
        )


class DerivativeOperator:
    """A derivative as a linear map from arrays of the variable's shape to arrays of the output's shape.

    >>> import matcalc as mc
    >>> H = mc.hessian("||X - U V^T||_F^2", "U", form="operator")(X=np.ones((4, 3)), U=np.ones((4, 2)), V=np.eye(3, 2))
    >>> H
    <DerivativeOperator of shape (4, 2, 4, 2): block diagonal: 4 equal blocks of 2 × 2>
    >>> H @ np.ones((4, 2))
    array([[2., 2.],
           [2., 2.],
           [2., 2.],
           [2., 2.]])

    Parameters
    ----------
    layout: what is known from the shapes.
    arrays: those of the terms, which nothing else refers to; they become read-only.
    """

    __slots__ = ("_arrays", "_networks", "layout")

    layout: Layout

    def __init__(self, layout: Layout, *arrays: Any) -> None:
        # a call of the function takes little longer than computing the arrays, so everything else waits for its use
        self.layout = layout
        self._arrays = arrays
        self._networks: tuple[Network, ...] | None = None

    __array_ufunc__ = None

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a DerivativeOperator is no array; H.todense() forms one")

    def __reduce__(self) -> tuple[Any, ...]:
        return DerivativeOperator, (self.layout, *self._arrays)

    def __repr__(self) -> str:
        return f"<DerivativeOperator of shape {self.shape}: {self.structure}>"

    # --- facts -----------------------------------------------------------------------------------

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of what is differentiated."""
        return self.layout.output_shape

    @property
    def variable_shape(self) -> tuple[int, ...]:
        """The shape of what it is differentiated by."""
        return self.layout.variable_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the arrays."""
        return self.layout.dtype

    @property
    def definite(self) -> bool:
        """Whether it is known to be symmetric positive definite."""
        return self.layout.definite

    @property
    def singular(self) -> str:
        """Why there is no solution for every right-hand side, where that is known."""
        return self.layout.singular

    @property
    def networks(self) -> tuple[Network, ...]:
        """The terms, over arrays that are not to be changed."""
        if self._networks is None:
            self._arrays = tuple([_read_only(array) for array in self._arrays])
            self._networks = tuple([term.filled(self._arrays) for term in self.layout.terms])
        return self._networks

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the dense array: that of the output, then that of the variable."""
        return (*self.output_shape, *self.variable_shape)

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """The shape as a matrix that acts on flattened arrays."""
        return prod(self.output_shape), prod(self.variable_shape)

    @property
    def structure(self) -> str:
        """What was found, in words."""
        patterns = [(network.pattern, _Sizes(network)) for network in self.networks]
        return described(patterns)

    @property
    def nbytes(self) -> int:
        """The memory of the arrays that are kept."""
        return sum({id(array): array.nbytes for network in self.networks for array, _ in network.parts}.values())

    @property
    def method(self) -> str:
        """How `solve` finds the solution; empty where it cannot."""
        found = next(self._methods(), None)
        return found.name if found else "conjugate gradients" if self.definite else ""

    # --- as a map --------------------------------------------------------------------------------

    def __matmul__(self, direction: Any) -> Any:
        """The derivative in a direction.

        Parameters
        ----------
        direction: an array of the variable's shape, for a result of the output's shape; flattened, for a flattened
            result; or a matrix whose columns are flattened.

        Raises
        ------
        ShapeError: another shape.
        """
        if isinstance(direction, DerivativeOperator):
            return NotImplemented
        given, form = self._columns(direction, self.variable_shape, "the variable")
        stacked = given.reshape((*self.layout.columns, given.shape[-1]))
        return _formed_as(form, self._product(stacked), self.output_shape)

    @property
    def T(self) -> DerivativeOperator:  # noqa: N802
        """The adjoint: from arrays of the output's shape to arrays of the variable's shape."""
        return DerivativeOperator(self.layout.transposed, *self._arrays)

    def todense(self) -> Array:
        """The dense array of the derivative, as it is computed without ``form="operator"``."""
        if not self.networks:
            return np.zeros(self.shape, self.dtype)
        return formed(self.networks, (), self.dtype).reshape(self.shape)

    def diagonal(self) -> Array:
        """The entries with equal output and variable axes, of the variable's shape.

        Raises
        ------
        ShapeError: the output has another shape than the variable.
        """
        if self.output_shape != self.variable_shape:
            raise ShapeError(
                f"the {self.layout.name} maps shape {self.variable_shape} to {self.output_shape}, "
                "so that it has no diagonal",
                hint="only derivatives of an output of the variable's shape have one",
            )
        if self.layout.rows != self.layout.columns:
            # an axis happens to have the length of the two that another one stacks
            return np.diagonal(self.todense().reshape(self.matrix_shape)).reshape(self.variable_shape).copy()
        return diagonal(self.networks, self.layout.columns, self.dtype).reshape(self.variable_shape)

    def linear_operator(self) -> LinearOperator:
        """The map on flattened arrays as an operator of SciPy, for its iterative methods."""
        from scipy.sparse.linalg import LinearOperator  # SciPy is not needed otherwise

        turned = self.T
        return LinearOperator(
            self.matrix_shape,
            matvec=lambda v: self._flat(v),
            rmatvec=lambda v: turned._flat(v),
            matmat=self.__matmul__,
            rmatmat=turned.__matmul__,
            dtype=self.dtype,
        )

    def _flat(self, vector: Array) -> Array:
        result: Array = self @ np.reshape(vector, (-1, 1))
        return result[:, 0]

    # --- linear systems --------------------------------------------------------------------------

    def solve(self, right: Any, *, definite: bool | None = None, tolerance: float = 1e-10) -> Any:
        """The array ``x`` with ``H @ x = right``, by the cheapest exact method that the structure has.

        Diagonals are divided by, blocks solved one by one, Kronecker products factor by factor, sums of them with the
        identity by eigenvalues, terms of low rank by the formula of Sherman, Morrison and Woodbury; whatever is left is
        formed and factorized, up to 2^25 entries. A system that is larger is solved by conjugate gradients, where it is
        symmetric positive definite. Every solution is substituted: its residual is at most the square root of the
        rounding unit, relative to the right-hand side (``tolerance``, for conjugate gradients).

        >>> import matcalc as mc
        >>> H = mc.hessian("||A x - b||^2", "x", form="operator")(A=np.diag([1.0, 2.0]), b=np.ones(2), x=np.ones(2))
        >>> H.solve(np.array([2.0, 8.0]))
        array([1., 1.])

        Parameters
        ----------
        right: an array of the output's shape, for a result of the variable's shape; flattened, for a flattened
            result; or a matrix whose columns are flattened.
        definite: whether the matrix is symmetric positive definite, where that is not known by itself.
        tolerance: for conjugate gradients, the largest residual relative to the right-hand side.

        Raises
        ------
        ShapeError: another shape, or a derivative that is no square matrix.
        DomainError: the matrix is singular for these arrays, or nearly so.
        Unsupported: the system is too large to be formed, and not known to be definite.
        """
        rows, columns = self.matrix_shape
        if rows != columns:
            raise ShapeError(
                f"the {self.layout.name} has {rows} rows and {columns} columns, so that it has no inverse",
                hint="only square systems are solved; numpy.linalg.lstsq solves H.todense() by least squares",
            )
        if self.singular:
            hint = 'structure="vech" or structure="free" leaves entries independent'
            raise Unsupported(self.singular, hint=hint)
        given, form = self._columns(right, self.output_shape, "the output")
        if given.dtype.itemsize > 8:
            raise Unsupported(f"systems of type {given.dtype} are not solved", hint="pass float64 arrays")
        stacked = given.reshape((*self.layout.rows, given.shape[-1]))
        return _formed_as(form, self._solved(stacked, definite, tolerance), self.variable_shape)

    def _solved(self, right: Array, definite: bool | None, tolerance: float) -> Array:
        if not right.size:
            return np.zeros((*self.layout.columns, right.shape[-1]), right.dtype)
        limit = float(np.sqrt(np.finfo(right.dtype).eps))
        with np.errstate(all="ignore"):
            found: list[Method] = []
            for method in self._methods():
                found.append(method)
                solution = self._attempt(method, right, limit)
                if solution is not None:
                    return solution
            if not self.networks or any(method.conclusive for method in found):
                raise DomainError(
                    f"the {self.layout.name} is singular for these arrays, or so nearly that no solution fits",
                    hint="add a multiple of the identity: for a variable x, lambda/2 ||x||^2 to the function",
                )
            if self.definite if definite is None else definite:
                return self._iterated(right, tolerance)
        raise Unsupported(
            f"a system of {self.matrix_shape[0]} unknowns is not formed ({MOST_FORMED} entries at most), and its "
            f"structure ({self.structure}) has no exact solution of its own for these arrays",
            hint="H.solve(g, definite=True) takes conjugate gradients where H is symmetric positive definite; "
            "H.linear_operator() works with the iterative methods of SciPy",
        )

    def _methods(self) -> Iterator[Method]:
        if not self.networks or prod(self.output_shape) != prod(self.variable_shape):
            return iter(())
        return methods(System(self.networks, self.layout.rows, self.layout.columns, self.dtype))

    def _attempt(self, method: Method, right: Array, limit: float) -> Array | None:
        """A solution that was substituted; None where the method finds none. NaN in the data is NaN in the solution."""
        try:
            solution = method.solve(right)
            left = self._relative_residual(right, solution)
            if left > limit**1.5:
                # what the method lost to rounding
                solution = solution + method.solve(right - self._product(solution))
                left = self._relative_residual(right, solution)
        except np.linalg.LinAlgError:
            solution, left = np.full((*self.layout.columns, right.shape[-1]), np.nan, right.dtype), np.inf
        if np.isfinite(solution).all():
            return solution.astype(right.dtype, copy=False) if left <= limit else None
        finite = np.isfinite(right).all() and all(np.isfinite(a).all() for n in self.networks for a, _ in n.parts)
        return None if finite else solution

    def _relative_residual(self, right: Array, solution: Array) -> float:
        """The largest norm of the residual of a column, relative to that of the right-hand side."""
        residual = right - self._product(solution)
        if right.shape[-1] == 1:
            norm = math.sqrt(np.vdot(right, right))
            return math.sqrt(np.vdot(residual, residual)) / (norm if norm > 0 else 1)
        axes = tuple(range(right.ndim - 1))
        left = np.sqrt(np.sum(residual**2, axis=axes))
        norms = np.sqrt(np.sum(right**2, axis=axes))
        return float(np.max(left / np.where(norms > 0, norms, 1), initial=0.0))

    def _product(self, columns: Array) -> Array:
        """The map on columns."""
        return applied(self.networks, columns, self.layout.rows, columns.dtype)

    def _image(self, direction: Array) -> Array:
        return self._product(direction[..., None])[..., 0]

    def _iterated(self, right: Array, tolerance: float) -> Array:
        """The solution by conjugate gradients, column by column."""
        scale = np.ones(self.layout.columns, self.dtype)
        if self.layout.rows == self.layout.columns:
            entries = diagonal(self.networks, self.layout.columns, self.dtype)
            scale = entries if (entries > 0).all() else scale
        most = PRODUCTS_FOR_EACH * self.matrix_shape[0]
        solutions = []
        for place in range(right.shape[-1]):
            try:
                solution, reached = conjugate_gradients(self._image, right[..., place], scale, tolerance, most)
            except np.linalg.LinAlgError:
                raise DomainError(
                    f"the {self.layout.name} is not positive definite for these arrays",
                    hint="add a multiple of the identity: for a variable x, lambda/2 ||x||^2 to the function",
                ) from None
            if not reached:
                raise DomainError(
                    f"conjugate gradients did not reach a residual of {tolerance:g} in {most} products",
                    hint="the matrix is nearly singular: add a multiple of the identity, or ask for a larger tolerance",
                )
            solutions.append(solution)
        return np.stack(solutions, axis=-1)

    # --- shapes ----------------------------------------------------------------------------------

    def _columns(self, given: Any, shape: tuple[int, ...], what: str) -> tuple[Array, str]:
        """An argument with a last axis for columns, and how it was given."""
        if type(given) is np.ndarray and given.dtype is self.dtype and given.shape == shape:
            return given[..., None], "array"
        array = np.asarray(given)
        if array.dtype.kind not in "fiub":
            raise DomainError(
                f"an array of type {array.dtype} is given; matcalc is real", hint="pass real and imaginary parts apart"
            )
        if array.dtype.kind != "f":
            array = array.astype(self.dtype)
        array = array.astype(np.result_type(array, self.dtype), copy=False)
        size = prod(shape)
        if array.shape == shape:
            return array[..., None], "array"
        if array.shape == (size,):
            return array.reshape(*shape, 1), "flat"
        if array.ndim == 2 and array.shape[0] == size:
            return array.reshape(*shape, array.shape[1]), "columns"
        raise ShapeError(
            f"an array of shape {array.shape} is given, but {shape} is expected, the shape of {what}",
            hint=f"or ({size},) for a flattened array, or ({size}, k) for k columns",
        )


def _read_only(result: Any) -> Array:
    # many small matrix products are fast where each matrix lies in one piece
    array = np.ascontiguousarray(result).reshape(np.shape(result))
    array.flags.writeable = False
    return array


class _Sizes:
    """Writes the number of entries along labels of a network."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def __call__(self, labels: Any) -> str:
        return str(along(labels, self.network.lengths))


def _formed_as(form: str, columns: Array, shape: tuple[int, ...]) -> Array:
    """A result in the form in which the argument was given."""
    if form == "array":
        return columns.reshape(shape)
    flat = columns.reshape(prod(shape), columns.shape[-1])
    return flat[:, 0] if form == "flat" else flat
