"""Exploration: actions that are not thought best."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

Rate = float | Callable[[Any], Any]
"""A number, mostly a probability, or a schedule of it over time, which agents count."""


def epsilon_greedy(
    key: Key[Array, ""], values: Float[Array, "batch actions"], epsilon: Any
) -> Int[Array, "batch"]:
    """The best action of each row, or with probability epsilon any, all alike.

    Args:
        key: For the draw.
        values: Of the actions.
        epsilon: From 0 to 1.

    Returns:
        One action per row.

    >>> print(epsilon_greedy(jax.random.key(0), jnp.array([[1.0, 2.0]]), 0.0))
    [1]
    """
    rows, num_actions = values.shape
    # One draw for both: below epsilon it is uniform still.
    draw = jax.random.uniform(key, (rows,))
    share = draw / jnp.clip(epsilon, min=jnp.finfo(jnp.float32).tiny, max=1)
    anyhow = jnp.floor(share * num_actions).astype(jnp.int32)
    best = jnp.argmax(values, axis=-1).astype(jnp.int32)
    return jnp.where(draw < epsilon, jnp.minimum(anyhow, num_actions - 1), best)


def rate_at(rate: Rate, step: Any) -> Any:
    """A rate that may be a schedule, at a step.

    Args:
        rate: A number, or a function of the step.
        step: What the time is.

    Returns:
        A number.

    >>> rate_at(0.1, 5), rate_at(lambda step: step / 10, 5)
    (0.1, 0.5)
    """
    return rate(step) if callable(rate) else rate
