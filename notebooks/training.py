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
# # Training with derived gradients
#
# To fit a model you need a loss, its gradient and a rule that takes steps. Here the loss is typed as a formula, the
# gradient is derived from it, and the rules (gradient descent, momentum, Adam) are a few lines of NumPy each. In the
# end scikit-learn says whether we arrived.
#
# The first model is logistic regression on the Wisconsin breast-cancer data: 30 measurements of a tumour, and the
# question whether it is benign. The second is a small neural network that reads handwritten digits.

# %%
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import matcalc as mc

# %%
measurements, is_benign = load_breast_cancer(return_X_y=True)
labels = 2.0 * is_benign - 1  # -1 and 1
X, X_test, y, y_test = train_test_split(measurements, labels, random_state=0, stratify=labels)
scaler = StandardScaler().fit(X)
X, X_test = scaler.transform(X), scaler.transform(X_test)
X.shape, X_test.shape

# %% [markdown]
# ## The loss, and its gradient as a formula
#
# A sample with measurements $x$ gets the score $w^\top x + b$, and its label $y$ should have the sign of the score.
# The loss of a sample is $\log(1 + \exp(-y\,(w^\top x + b)))$; we take the mean over all samples and add a penalty on
# large weights. The samples are the rows of `X`, so all the scores are `X w + b`.
#
# Two things have to be declared: that `X` has `N` rows (then `N` is known from `X`), and that `b` is one number rather
# than a vector with an entry for every sample.

# %%
LOSS = "1/N sum(log(1 + exp(-y .* (X w + b)))) + lambda/2 ||w||^2"
TYPES = {"X": "matrix(N, d)", "b": "scalar"}

by_w = mc.derive(LOSS, wrt="w", vars=TYPES)
by_w

# %%
by_b = mc.derive(LOSS, wrt="b", vars=TYPES)
by_b

# %% [markdown]
# In words: every sample pulls the weights towards $y\,x$, the more so the more it is on the wrong side; $\sigma$ is the
# logistic function. Before we trust the formulas, we compare them with numerical differences at random points:

# %%
print(by_w.check().message)
print(by_b.check().message)

# %% [markdown]
# ## One function for the loss and both gradients
#
# `value_and_grad` compiles NumPy code. What the loss and the two gradients have in common is computed once, and
# `log(1 + exp(z))` does not overflow for large `z`.

# %%
loss_and_gradient = mc.value_and_grad(LOSS, wrt=("w", "b"), vars=TYPES)
print(loss_and_gradient.source)

# %%
loss, (slope_w, slope_b) = loss_and_gradient(X=X, y=y, w=np.zeros(30), b=0.0, λ=0.1)
print(f"loss {loss:.6f} = log(2), gradients of shape {slope_w.shape} and {np.shape(slope_b)}")

# %% [markdown]
# The rules below change one vector, so `w` and `b` are kept in one: `w` first, `b` last. The strength of the penalty is
# `1/N`, which is what scikit-learn takes unless told otherwise.

# %%
N, d = X.shape


def objective(theta):
    loss, (slope_w, slope_b) = loss_and_gradient(X=X, y=y, w=theta[:-1], b=theta[-1], λ=1 / N)
    return loss, np.append(slope_w, slope_b)


# %% [markdown]
# ## Gradient descent
#
# Take a step against the gradient, again and again. The rate must not exceed 2 divided by the largest curvature of the
# loss, or the steps overshoot; we know from the formula of the Hessian that the curvature is at most a quarter of that
# of $\frac1N X^\top X$, plus the penalty.

# %%
mc.derive(LOSS, wrt="w", vars=TYPES, order=2)

# %%
curvature = np.linalg.norm(np.column_stack([X, np.ones(N)]), 2) ** 2 / (4 * N) + 1 / N
rate = 1 / curvature


def gradient_descent(theta, steps):
    losses = []
    for _ in range(steps):
        loss, gradient = objective(theta)
        losses.append(loss)
        theta = theta - rate * gradient
    return theta, losses


# %% [markdown]
# ## Momentum
#
# In a long valley the gradient points from wall to wall. A velocity that remembers the last gradients averages the
# walls away and keeps going along the valley.


# %%
def momentum(theta, steps, decay=0.97):
    losses, velocity = [], np.zeros_like(theta)
    for _ in range(steps):
        loss, gradient = objective(theta)
        losses.append(loss)
        velocity = decay * velocity - rate * gradient
        theta = theta + velocity
    return theta, losses


# %% [markdown]
# ## Adam
#
# Adam scales each entry's step by the recent size of its gradient, so that the rate need not fit the curvature. The
# division by `1 - decay**count` corrects for averages that start at zero.


# %%
def adam(theta, steps, rate=0.05, decay=0.9, square_decay=0.999):
    losses, mean, square = [], np.zeros_like(theta), np.zeros_like(theta)
    for count in range(1, steps + 1):
        loss, gradient = objective(theta)
        losses.append(loss)
        mean = decay * mean + (1 - decay) * gradient
        square = square_decay * square + (1 - square_decay) * gradient**2
        step = (mean / (1 - decay**count)) / (np.sqrt(square / (1 - square_decay**count)) + 1e-8)
        theta = theta - rate * step
    return theta, losses


# %% [markdown]
# ## Did we arrive?
#
# scikit-learn minimises `C sum(...) + 1/2 ||w||^2` over the same samples. Divided by `C N` that is our loss with
# `lambda = 1/(C N)`, so its default `C = 1` is our `1/N`. The table shows by how much each loss exceeds its loss, in
# relation to it, after 100, 1000 and 10000 steps.

# %%
model = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-10).fit(X, y)
best, _ = objective(np.append(model.coef_, model.intercept_))


def accuracy(theta):
    return np.mean(np.sign(X_test @ theta[:-1] + theta[-1]) == y_test)


print(f"{'method':<18}{'100':>10}{'1000':>10}{'10000':>10}{'accuracy':>10}")
for method in (gradient_descent, momentum, adam):
    theta, losses = method(np.zeros(d + 1), 10_000)
    excess = [abs(losses[step - 1] - best) / best for step in (100, 1000, 10_000)]
    print(f"{method.__name__:<18}{excess[0]:>10.0e}{excess[1]:>10.0e}{excess[2]:>10.0e}{accuracy(theta):>10.1%}")
print(f"{'scikit-learn':<48}{model.score(X_test, y_test):>10.1%}")

# %% [markdown]
# All three find scikit-learn's optimum. With a Hessian it takes eight steps: this is Newton's method, and the Hessian
# has four blocks, since there are two parameters.

# %%
hessian = mc.hessian(LOSS, wrt=("w", "b"), vars=TYPES)
theta = np.zeros(d + 1)
for _ in range(8):
    (ww, wb), (bw, bb) = hessian(X=X, y=y, w=theta[:-1], b=theta[-1], λ=1 / N)
    theta = theta - np.linalg.solve(np.block([[ww, wb[:, None]], [bw[None, :], bb]]), objective(theta)[1])
print(f"{'newton':<18}{abs(objective(theta)[0] - best) / best:>10.0e}")

# %% [markdown]
# ## A neural network
#
# The digits are images of 8 by 8 pixels. A network with one hidden layer of 32 units scores the ten classes; the loss
# is the cross-entropy of the scores. A program may have several lines: the last one is the loss.

# %%
NETWORK = """
H = relu(X W1 + b1^T)
Z = H W2 + b2^T
1/N (sum(logsumexp(Z, axis=1)) - sum(Y .* Z))
"""
NETWORK_TYPES = {"X": "matrix(N, d)", "W1": "matrix(d, h)", "W2": "matrix(h, k)"}
NAMES = ("W1", "b1", "W2", "b2")

network = mc.value_and_grad(NETWORK, wrt=NAMES, vars=NETWORK_TYPES)
for name, formula in zip(NAMES, network.unicode):
    print(f"{name}: {formula}")

# %% [markdown]
# Back-propagation is what happens when these four formulas share their common parts:

# %%
print(network.source)

# %% [markdown]
# Now Adam again, on minibatches of 64 images. The sizes were never fixed, so the last batch of an epoch may be smaller.

# %%
images, digits = load_digits(return_X_y=True)
X, X_test, train, test = train_test_split(images / 16, digits, random_state=0, stratify=digits)
Y = np.eye(10)[train]

generator = np.random.default_rng(0)
parameters = {
    "W1": generator.standard_normal((64, 32)) * np.sqrt(2 / 64),
    "b1": np.zeros(32),
    "W2": generator.standard_normal((32, 10)) * np.sqrt(2 / 32),
    "b2": np.zeros(10),
}
mean = {name: np.zeros_like(array) for name, array in parameters.items()}
square = {name: np.zeros_like(array) for name, array in parameters.items()}

count = 0
for epoch in range(40):
    order = generator.permutation(len(X))
    for first in range(0, len(X), 64):
        rows = order[first : first + 64]
        loss, gradients = network(X=X[rows], Y=Y[rows], **parameters)
        count += 1
        for name, gradient in zip(NAMES, gradients):
            mean[name] = 0.9 * mean[name] + 0.1 * gradient
            square[name] = 0.999 * square[name] + 0.001 * gradient**2
            step = (mean[name] / (1 - 0.9**count)) / (np.sqrt(square[name] / (1 - 0.999**count)) + 1e-8)
            parameters[name] = parameters[name] - 0.005 * step
    if epoch % 10 == 9:
        print(f"epoch {epoch + 1:>3}  loss {network(X=X, Y=Y, **parameters)[0]:.4f}")

# %%
scores = mc.parse("relu(X W1 + b1^T) W2 + b2^T", vars=NETWORK_TYPES).compile()
share = np.mean(np.argmax(scores(X=X_test, **parameters), axis=1) == test)
print(f"{share:.1%} of the test images are read correctly")
