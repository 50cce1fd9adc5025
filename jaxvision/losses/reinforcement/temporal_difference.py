"""Errors of temporal-difference (TD) learning: target minus estimate.

The gradient flows into the estimate only, not into the target. For a loss, square the error or use
`optax.losses.huber_loss`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxvision.losses.reinforcement._common import at_least_float32, chosen, same_shapes

Rows = Float[Array, "*batch"]


def td_error(values: Rows, rewards: Rows, discounts: Rows, next_values: Rows) -> Rows:
    """The TD error of state values, `r + d v' - v`.

    Args:
        values: Values v of the states.
        rewards: Rewards r of the steps.
        discounts: Discounts d: gamma, or 0 where the episode terminated.
        next_values: Values v' of the next states.

    Raises:
        ValueError: The shapes differ.

    Reference: Sutton, Learning to predict by the methods of temporal differences, 1988.

    >>> print(td_error(jnp.ones(1), jnp.ones(1), jnp.full(1, 0.5), jnp.full(1, 4.0)))
    [2.]
    """
    same_shapes(values=values, rewards=rewards, discounts=discounts, next_values=next_values)
    values, next_values = at_least_float32(values), at_least_float32(next_values)
    return jax.lax.stop_gradient(rewards + discounts * next_values) - values


def sarsa_error(
    q_values: Float[Array, "*batch actions"],
    actions: Integer[Array, "*batch"],
    rewards: Rows,
    discounts: Rows,
    next_q_values: Float[Array, "*batch actions"],
    next_actions: Integer[Array, "*batch"],
) -> Rows:
    """The TD error of action values for the actions taken, `r + d q'(a') - q(a)`.

    Args:
        q_values: Values q of all actions in the first state.
        actions: The actions a taken; one out of range gives NaN.
        rewards: Rewards r of the steps.
        discounts: Discounts d: gamma, or 0 where the episode terminated.
        next_q_values: Values q' of all actions in the next state.
        next_actions: The actions a' taken in the next state.

    Reference: Rummery and Niranjan, On-line Q-learning using connectionist systems, Cambridge 1994.

    >>> q, next_q = jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 5.0]])
    >>> action, next_action = jnp.array([1]), jnp.array([0])
    >>> print(sarsa_error(q, action, jnp.ones(1), jnp.full(1, 0.5), next_q, next_action))
    [0.5]
    """
    return td_error(
        chosen(q_values, actions), rewards, discounts, chosen(next_q_values, next_actions)
    )


def q_learning_error(
    q_values: Float[Array, "*batch actions"],
    actions: Integer[Array, "*batch"],
    rewards: Rows,
    discounts: Rows,
    next_q_values: Float[Array, "*batch actions"],
    *,
    selector: Float[Array, "*batch actions"] | None = None,
) -> Rows:
    """The TD error of action values for the best next action, `r + d max_a' q'(a') - q(a)`.

    With `selector` it is double Q-learning: the selector's best action is chosen and
    `next_q_values` give its value, so that noise in one does not raise the other.

    Args:
        q_values: Values q of all actions in the first state.
        actions: The actions a taken; one out of range gives NaN.
        rewards: Rewards r of the steps.
        discounts: Discounts d: gamma, or 0 where the episode terminated.
        next_q_values: Values q' of all actions in the next state.
        selector: Values that choose the next action; None uses q'.

    Reference: Watkins and Dayan, Q-learning, Machine Learning 8, 1992; van Hasselt et al., Deep
    reinforcement learning with double Q-learning, AAAI 2016, arXiv:1509.06461.

    >>> q, next_q = jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 5.0]])
    >>> print(q_learning_error(q, jnp.array([1]), jnp.ones(1), jnp.full(1, 0.5), next_q))
    [1.5]
    """
    best = jnp.argmax(next_q_values if selector is None else selector, axis=-1)
    return sarsa_error(q_values, actions, rewards, discounts, next_q_values, best)
