# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: -all
#     formats: ipynb,py:percent
#     notebook_metadata_filter: jupytext,kernelspec,-jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # First steps
#
# You type an expression with matrices and vectors, the way it stands on paper, and get its derivative: as a formula
# you can read, as a check that it is right, and as a NumPy function. This notebook takes a few minutes.

# %%
import numpy as np

import matcalc as mc

# %% [markdown]
# ## A quadratic form
#
# `x^T A x` is the product of a row, a matrix and a column, so a number. Its derivative by `x` is a vector.

# %%
d = mc.derive("x^T A x", wrt="x")
d

# %% [markdown]
# Nothing was declared, so matcalc worked the types out: lower-case `x` is a vector, upper-case `A` a matrix, and the
# product only makes sense if `A` is square. What was assumed is part of the answer.

# %%
d.vars, d.shape

# %% [markdown]
# If you know more, say so. With a symmetric `A` the two terms are the same:

# %%
mc.derive("x^T A x", wrt="x", vars={"A": "matrix(n, n) symmetric"})

# %% [markdown]
# The formula is text as well. It is valid input again, so it can be differentiated once more; `order=2` does so.

# %%
print(d.formula)
mc.derive("x^T A x", wrt="x", order=2)

# %% [markdown]
# ## Is it right?
#
# `check` draws random arrays of several sizes and compares the derivative with numerical differences. It also reads
# the printed formula back and compares that.

# %%
d.check()

# %% [markdown]
# ## Numbers
#
# A derivative is also a function. Vectors are arrays of shape `(n,)`, matrices of shape `(m, n)`, and every name of
# the formula is a keyword.

# %%
A = np.array([[1.0, 2.0], [3.0, 4.0]])
d(A=A, x=np.array([1.0, 1.0]))

# %% [markdown]
# `source` shows the NumPy code that was run:

# %%
print(d.source)

# %% [markdown]
# ## Linear regression
#
# A loss with two terms: the mean squared error and a penalty on large weights. Declaring `X` as an `N` by `d` matrix
# makes `N` the number of its rows, and it need not be passed.

# %%
LOSS = "1/N ||X w - y||^2 + lambda ||w||^2"
TYPES = {"X": "matrix(N, d)"}
mc.derive(LOSS, wrt="w", vars=TYPES)

# %% [markdown]
# The Hessian does not depend on `w`, so one Newton step from anywhere lands in the minimum. `value_and_grad` and
# `hessian` return compiled functions. Greek letters may be typed or spelled: `λ` and `lambda` are one name, and since
# `lambda` is a keyword of Python, calls use `λ`.

# %%
loss_and_gradient = mc.value_and_grad(LOSS, wrt="w", vars=TYPES)
hessian = mc.hessian(LOSS, wrt="w", vars=TYPES)
hessian

# %%
generator = np.random.default_rng(0)
X = generator.standard_normal((100, 3))
y = X @ [1.0, -2.0, 3.0] + 0.1 * generator.standard_normal(100)

w = np.zeros(3)
loss, gradient = loss_and_gradient(X=X, y=y, w=w, λ=0.01)
w = w - np.linalg.solve(hessian(X=X, y=y, w=w, λ=0.01), gradient)
loss, gradient = loss_and_gradient(X=X, y=y, w=w, λ=0.01)
print("weights", w.round(2), "size of the gradient is below 1e-12:", np.linalg.norm(gradient) < 1e-12)

# %% [markdown]
# The derivative by the data works the same way; nothing makes a parameter special:

# %%
mc.derive(LOSS, wrt="X", vars=TYPES)

# %% [markdown]
# ## A Jacobian
#
# The derivative of a vector by a vector is a matrix: row `i` holds the slopes of entry `i`. For softmax it is
# well known, and easily got wrong by hand.

# %%
jacobian = mc.jacobian("softmax(z)", wrt="z")
jacobian

# %%
J = jacobian(z=np.array([1.0, 2.0, 3.0]))
print(J.round(4))
print("columns add up to", abs(J.sum(axis=0)).round(12))

# %% [markdown]
# ## The Hessian of a logistic loss
#
# `log(1 + exp(...))` is recognised as softplus, and its slope as the logistic function $\sigma$. A dot before an
# operator (`.*`) makes it entrywise.

# %%
LOGISTIC = "1/N sum(log(1 + exp(-y .* (X w))))"
mc.derive(LOGISTIC, wrt="w", vars=TYPES)

# %%
mc.derive(LOGISTIC, wrt="w", vars=TYPES, order=2)

# %% [markdown]
# The compiled function never forms the diagonal matrix of that formula, and it stays finite where `exp` overflows:

# %%
print(mc.hessian(LOGISTIC, wrt="w", vars=TYPES).source)

# %%
mc.value_and_grad(LOGISTIC, wrt="w", vars=TYPES)(X=1e4 * X, y=np.sign(y), w=np.ones(3))

# %% [markdown]
# ## Without text
#
# Expressions can be built with Python's operators. `@` is the matrix product and `*` is entrywise, as in NumPy.

# %%
A, x, b = mc.symbols("A: matrix(m, n), x: vector(n), b: vector(m)")
residual = A @ x - b
squares = residual.T @ residual
squares

# %%
squares.diff("x")

# %%
squares.diff("x", "x")

# %% [markdown]
# ## Conditions
#
# Some derivatives exist only where something holds. The answer says so.

# %%
d = mc.derive("logdet(X)", wrt="X")
print(d.conditions)
d

# %%
d = mc.derive("sum(log(x)) + ||x||_1", wrt="x")
print(d.conditions)
d

# %% [markdown]
# ## When something does not fit
#
# What has no meaning, or no derivative, is refused with the reason and a hint, never answered by a zero.

# %%
try:
    mc.derive("x y", wrt="x")
except mc.ShapeError as error:
    print(error)

# %%
try:
    mc.derive("argmax(x)", wrt="x")
except mc.NotDifferentiable as error:
    print(error)

# %% [markdown]
# From here, the notebook `training` fits models to real data with gradients like these.
