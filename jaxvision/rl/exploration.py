"""Exploration by random actions."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

Rate = float | Callable[[Any], Any]
"""A number, usually a probability, or a schedule: a function from a step to that number."""


def epsilon_greedy(
    key: Key[Array, ""], values: Float[Array, "batch actions"], epsilon: Any
) -> Int[Array, "batch"]:
    """Takes each row's best action, or with probability `epsilon` a uniformly random one.

    >>> print(epsilon_greedy(jax.random.key(0), jnp.array([[1.0, 2.0]]), 0.0))
    [1]
    """
    rows, num_actions = values.shape
    # One draw decides both: if it is below epsilon, it is uniform between 0 and epsilon.
    draw = jax.random.uniform(key, (rows,))
    share = draw / jnp.clip(epsilon, min=jnp.finfo(jnp.float32).tiny, max=1)
    anyhow = jnp.floor(share * num_actions).astype(jnp.int32)
    best = jnp.argmax(values, axis=-1).astype(jnp.int32)
    return jnp.where(draw < epsilon, jnp.minimum(anyhow, num_actions - 1), best)


def rate_at(rate: Rate, step: Any) -> Any:
    """Evaluates a rate, which may be a schedule, at a step.

    >>> rate_at(0.1, 5), rate_at(lambda step: step / 10, 5)
    (0.1, 0.5)
    """
    return rate(step) if callable(rate) else rate
