"""Discounted returns and advantages, the targets of values and of policies.

Time is the first axis; axes of environments may follow. The discount of a step is gamma, or 0 where
the episode *terminated*. Where the episode was *truncated* by a time limit, the value of its last
observation replaces the rewards that would have followed. Therefore every function takes the values
of the next observations (after a reset, those of `final_observation`), and `truncated`.
"""

import numbers
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxvision.losses.reinforcement._common import at_least_float32, same_shapes

Steps = Float[Array, "time *batch"]
Cuts = Bool[Array, "time *batch"] | None

_UNROLL = 8  # a step of the scan is a few additions


def discounted_returns(
    rewards: Steps, discounts: Steps, next_values: Steps, *, truncated: Cuts = None
) -> Steps:
    """The discounted sums of rewards, `G_t = r_t + d_t G_{t+1}` (reward-to-go).

    A sum ends where the episode terminates, where it is truncated, or at the last step; in the last
    two cases, the discounted value of the next observation is added.

    Args:
        rewards: Rewards r_t of the steps.
        discounts: Discounts d_t: gamma, or 0 where the episode terminated.
        next_values: Values of the next observations; zeros leave them out.
        truncated: True at the last steps of episodes that were cut off without terminating.

    >>> discounted_returns(jnp.ones(3), jnp.full(3, 0.5), jnp.zeros(3)).tolist()
    [1.75, 1.5, 1.0]
    """
    return lambda_returns(rewards, discounts, next_values, lambda_=1.0, truncated=truncated)


def lambda_returns(
    rewards: Steps,
    discounts: Steps,
    next_values: Steps,
    *,
    lambda_: float,
    truncated: Cuts = None,
) -> Steps:
    """The lambda-returns `G_t = r_t + d_t ((1 - lambda) v_{t+1} + lambda G_{t+1})`.

    They average the n-step returns of all n with the weights (1 - lambda) lambda**(n - 1):
    `lambda_=0` gives the target of TD(0), 1 the discounted sum of all rewards.

    Args:
        rewards: Rewards r_t of the steps.
        discounts: Discounts d_t: gamma, or 0 where the episode terminated.
        next_values: Values v_{t+1} of the next observations.
        lambda_: The weight of longer sums, from 0 to 1.
        truncated: True at the last steps of episodes that were cut off without terminating.

    Raises:
        ValueError: `lambda_` is not in [0, 1], or the shapes differ.

    Reference: Sutton and Barto, Reinforcement learning, 2nd edition, MIT Press 2018, section 12.1.

    >>> lambda_returns(jnp.ones(3), jnp.full(3, 0.5), jnp.full(3, 8.0), lambda_=0.5).tolist()
    [4.0625, 4.25, 5.0]
    """
    if not 0 <= lambda_ <= 1:
        raise ValueError(f"lambda_ must be in [0, 1], got {lambda_}")

    def back(following: Array, step: tuple[Array, ...]) -> tuple[Array, Array]:
        reward, discount, value, cut = step
        mixed = jnp.where(cut, value, (1 - lambda_) * value + lambda_ * following)
        total = reward + discount * mixed
        return total, total

    _check_steps(rewards, discounts, next_values, truncated)
    rewards = at_least_float32(rewards)
    steps = (rewards, discounts, next_values, _cuts(truncated, rewards))
    nothing = jnp.zeros(rewards.shape[1:], jnp.result_type(rewards, discounts, next_values))
    return jax.lax.scan(back, nothing, steps, reverse=True, unroll=_UNROLL)[1]


def n_step_returns(
    rewards: Steps,
    discounts: Steps,
    next_values: Steps,
    *,
    n: int,
    truncated: Cuts = None,
) -> Steps:
    """The n-step returns `r_t + d_t r_{t+1} + ... + d_t ... d_{t+n-1} v_{t+n}`.

    They have fewer rewards where the episode or the array of steps ends earlier. `n` is the number
    of rewards; for the other arguments, see `lambda_returns`.

    Raises:
        ValueError: `n` is not a positive whole number, or the shapes differ.

    >>> n_step_returns(jnp.ones(3), jnp.full(3, 0.5), jnp.full(3, 8.0), n=2).tolist()
    [3.5, 3.5, 5.0]
    """
    if not isinstance(n, numbers.Integral) or n < 1:
        raise ValueError(f"n must be a whole number, at least 1, got {n!r}")
    _check_steps(rewards, discounts, next_values, truncated)
    rewards = at_least_float32(rewards)
    cuts = _cuts(truncated, rewards)

    def one_more(_: Any, totals: Steps) -> Steps:
        following = jnp.where(cuts, next_values, jnp.roll(totals, -1, axis=0))
        return rewards + discounts * following

    totals = rewards + discounts * next_values
    return jax.lax.fori_loop(0, min(n, len(rewards)) - 1, one_more, totals)


def generalized_advantages(
    rewards: Steps,
    discounts: Steps,
    values: Steps,
    next_values: Steps,
    *,
    lambda_: float,
    truncated: Cuts = None,
) -> Steps:
    """The generalized advantage estimates (GAE), `A_t = sum_k (d lambda)**k delta_{t+k}`.

    delta_t = r_t + d_t v_{t+1} - v_t is the TD error. `A_t + values` are the lambda-returns, which
    are targets of the values. `lambda_=0` has the least variance; 1 has no bias from wrong values.

    Args:
        rewards: Rewards r_t of the steps.
        discounts: Discounts d_t: gamma, or 0 where the episode terminated.
        values: Values v_t of the observations that the steps started from.
        next_values: Values v_{t+1} of the next observations.
        lambda_: The weight of later errors, from 0 to 1.
        truncated: True at the last steps of episodes that were cut off without terminating.

    Raises:
        ValueError: `lambda_` is not in [0, 1], or the shapes differ.

    Reference: Schulman et al., High-dimensional continuous control using generalized advantage
    estimation, arXiv:1506.02438.

    >>> ones = jnp.ones(3)
    >>> generalized_advantages(ones, 0.5 * ones, 2 * ones, 8 * ones, lambda_=0.5).tolist()
    [2.0625, 2.25, 3.0]
    """
    same_shapes(rewards=rewards, values=values)
    returns = lambda_returns(rewards, discounts, next_values, lambda_=lambda_, truncated=truncated)
    return returns - values


def _check_steps(rewards: Steps, discounts: Steps, next_values: Steps, truncated: Cuts) -> None:
    named = {} if truncated is None else {"truncated": truncated}
    same_shapes(rewards=rewards, discounts=discounts, next_values=next_values, **named)


def _cuts(truncated: Cuts, rewards: Steps) -> Bool[Array, "time *batch"]:
    """Marks the steps at which sums stop: truncated ones and the last."""
    cuts = jnp.zeros(rewards.shape, bool) if truncated is None else truncated
    return cuts.at[-1:].set(True)
