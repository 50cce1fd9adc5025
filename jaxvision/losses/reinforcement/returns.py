"""Returns: what rewards add up to, as targets of values and as advantages of actions.

Time is the first axis, and any axes of environments follow. A step's discount is gamma, or 0 where
the episode *terminated*: nothing follows. Where it was only *truncated*, by a limit of time, the
value of its last observation stands for what would have followed. Hence every function takes the
values of what the actions led to (of `final_observation`, where the environment began anew), and
which steps a sum must not run across.
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
    """The discounted sums of rewards to the end, `G_t = r_t + d_t G_{t+1}`.

    Reward-to-go, and the Monte-Carlo target of values. The end is where an episode terminated or
    was truncated, or the last step; the last two add the discounted value of what follows.

    Args:
        rewards: r_t, the reward of each step.
        discounts: d_t: gamma, or 0 where the episode terminated.
        next_values: The value of what the step led to; zeros, to leave it out.
        truncated: Steps after which another episode begins though this one did not terminate.

    Returns:
        G_t, float32 at least.

    Raises:
        ValueError: Shapes differ.

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

    The average of the n-step returns for all n, weighted by (1 - lambda) lambda**(n - 1): with
    `lambda_=0` the target of TD(0), with 1 the discounted sum to the end.

    Args:
        rewards: r_t, the reward of each step.
        discounts: d_t: gamma, or 0 where the episode terminated.
        next_values: v_{t+1}, the value of what the step led to.
        lambda_: The weight of longer sums, from 0 to 1.
        truncated: Steps after which another episode begins though this one did not terminate.

    Returns:
        G_t, float32 at least.

    Raises:
        ValueError: `lambda_` is not in [0, 1], or shapes differ.

    Reference: Sutton and Barto, Reinforcement learning: an introduction, 2nd edition, MIT Press
    2018, section 12.1.

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
    """The sums of n discounted rewards and the value of what follows them.

    `r_t + d_t r_{t+1} + ... + d_t ... d_{t+n-1} v_{t+n}`, of fewer rewards where the episode or the
    last step comes earlier.

    Args:
        rewards: r_t, the reward of each step.
        discounts: d_t: gamma, or 0 where the episode terminated.
        next_values: v_{t+1}, the value of what the step led to.
        n: How many rewards; at least 1.
        truncated: Steps after which another episode begins though this one did not terminate.

    Returns:
        One sum for every step, float32 at least.

    Raises:
        ValueError: `n` is no whole number or below 1, or shapes differ.

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

    delta_t = r_t + d_t v_{t+1} - v_t is the TD error. It is the lambda-return less the value: with
    `lambda_=0` of least variance, with 1 of no bias from wrong values.

    Args:
        rewards: r_t, the reward of each step.
        discounts: d_t: gamma, or 0 where the episode terminated.
        values: v_t, the value of what the step started from.
        next_values: v_{t+1}, the value of what it led to.
        lambda_: The weight of later errors, from 0 to 1.
        truncated: Steps after which another episode begins though this one did not terminate.

    Returns:
        A_t; `A_t + values` are the lambda-returns, as targets of the values.

    Raises:
        ValueError: `lambda_` is not in [0, 1], or shapes differ.

    Reference: Schulman et al., High-dimensional continuous control using generalized advantage
    estimation, ICLR 2016, arXiv:1506.02438.

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
    """Steps beyond which nothing is known: those that were truncated, and the last."""
    cuts = jnp.zeros(rewards.shape, bool) if truncated is None else truncated
    return cuts.at[-1:].set(True)
