"""JAX: jitted, float64, arrays on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve

from ..workloads import DIRECTION, Array, Arrays, Case
from .array_losses import Loss, losses
from .contract import Bind, Prepared


def normal(S: Any, y: Any) -> Any:
    factor = jnp.linalg.cholesky(S)
    return jnp.sum(jnp.log(jnp.diagonal(factor))) + 0.5 * (y @ cho_solve((factor, True), y))


def gauss(p: Mapping[str, Any]) -> Any:
    return normal(p["S"], p["y"])


def evidence(p: Mapping[str, Any]) -> Any:
    return normal(p["a"] * jnp.exp(-p["b"] * p["D"]) + p["c"] * jnp.eye(p["D"].shape[0]), p["y"])


def recurrent(p: Mapping[str, Any]) -> Any:
    def step(h: Any, x: Any) -> tuple[Any, None]:
        return jnp.tanh(x @ p["Wx"] + h @ p["Wh"] + p["b"]), None

    h, _ = jax.lax.scan(step, jnp.zeros((p["X"].shape[1], p["Wh"].shape[0])), p["X"])
    r = h @ p["Wo"] - p["Y"]
    return jnp.sum(r * r) / r.shape[0]


#: What a user of JAX writes differently from NumPy.
OWN: Mapping[str, Loss] = {"gauss": gauss, "evidence": evidence, "recurrent": recurrent}


def build(case: Case, threads: int) -> Bind:
    jax.config.update("jax_enable_x64", True)
    wrt, mode, problem = case.workload.wrt, case.workload.mode, case.workload.problem
    loss = OWN.get(problem) or losses(jnp)[problem]

    def f(arguments: tuple[Any, ...], fixed: Mapping[str, Any]) -> Any:
        return loss({**fixed, **dict(zip(wrt, arguments, strict=True))})

    def hessian(arguments: tuple[Any, ...], fixed: Mapping[str, Any]) -> Any:
        return jax.hessian(lambda a: f((a,), fixed))(arguments[0])

    def jacobian(arguments: tuple[Any, ...], fixed: Mapping[str, Any]) -> Any:
        return jax.jacfwd(lambda a: f((a,), fixed))(arguments[0])

    def product(arguments: tuple[Any, ...], fixed: Mapping[str, Any]) -> Any:
        gradient = jax.grad(lambda a: f((a,), fixed))
        return jax.jvp(gradient, (arguments[0],), (fixed[DIRECTION],))[1]

    whole = {
        "value and gradient": jax.value_and_grad(f),
        "Hessian": hessian,
        "Jacobian": jacobian,
        "Hessian-vector product": product,
    }
    compiled = jax.jit(whole[mode])

    def to_numpy(result: Any) -> list[Array]:
        if mode != "value and gradient":
            return [np.asarray(result)]
        return [np.asarray(result[0]), *(np.asarray(part) for part in result[1])]

    def bind(arrays: Arrays) -> Prepared:
        placed = {name: jnp.asarray(array) for name, array in arrays.items()}
        point = tuple(placed.pop(name) for name in wrt)
        return Prepared(lambda: jax.block_until_ready(compiled(point, placed)), to_numpy)

    return bind
