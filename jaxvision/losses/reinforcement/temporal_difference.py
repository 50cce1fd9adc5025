"""Errors of temporal-difference learning: what a step led to, less what was expected of it.

The gradient flows into the estimate alone, never into the target. A loss is the square of the
error, or `optax.losses.huber_loss` of it.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxvision.losses.reinforcement._common import at_least_float32, chosen, same_shapes

Rows = Float[Array, "*batch"]


def td_error(values: Rows, rewards: Rows, discounts: Rows, next_values: Rows) -> Rows:
    """The error of state values, `r + d v' - v`.

    Args:
        values: v, the value of where the step began.
        rewards: r, the reward of the step.
        discounts: d: gamma, or 0 where the episode terminated.
        next_values: v', the value of what the step led to.

    Returns:
        The errors, float32 at least.

    Raises:
        ValueError: Shapes differ.

    Reference: Sutton, Learning to predict by the methods of temporal differences, Machine Learning
    3, 1988.

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
    """The error of action values on the actions that were taken, `r + d q'(a') - q(a)`.

    Args:
        q_values: q, the values of all actions where the step began.
        actions: a, the action taken.
        rewards: r, the reward of the step.
        discounts: d: gamma, or 0 where the episode terminated.
        next_q_values: q', the values of all actions where the step led.
        next_actions: a', the action taken there.

    Returns:
        The errors, float32 at least; NaN for an action that there is not.

    Raises:
        ValueError: There is not one action, reward and discount for each row of values.

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
    """The error of action values towards the best action, `r + d max_a' q'(a') - q(a)`.

    With a selector it is double Q-learning: the action is the best by the selector, its value that
    of `next_q_values`, so that the noise of one does not raise the other.

    Args:
        q_values: q, the values of all actions where the step began.
        actions: a, the action taken.
        rewards: r, the reward of the step.
        discounts: d: gamma, or 0 where the episode terminated.
        next_q_values: q', the values of all actions where the step led.
        selector: Chooses the action there; None chooses by q' itself.

    Returns:
        The errors, float32 at least; NaN for an action that there is not.

    Raises:
        ValueError: There is not one action, reward and discount for each row of values.

    Reference: Watkins and Dayan, Q-learning, Machine Learning 8, 1992; van Hasselt, Guez and
    Silver, Deep reinforcement learning with double Q-learning, AAAI 2016, arXiv:1509.06461.

    >>> q, next_q = jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 5.0]])
    >>> print(q_learning_error(q, jnp.array([1]), jnp.ones(1), jnp.full(1, 0.5), next_q))
    [1.5]
    """
    best = jnp.argmax(next_q_values if selector is None else selector, axis=-1)
    return sarsa_error(q_values, actions, rewards, discounts, next_q_values, best)
