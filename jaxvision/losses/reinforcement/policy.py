"""Losses of policies over discrete actions, given by logits."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxvision.losses.classification import cross_entropy
from jaxvision.losses.reinforcement._common import at_least_float32, same_shapes

Rows = Float[Array, "*batch"]


def log_probability(
    logits: Float[Array, "*batch actions"], actions: Integer[Array, "*batch"]
) -> Rows:
    """The log-probability of each action under the softmax of the logits.

    Args:
        logits: Of the policy; -inf makes an action impossible.
        actions: The actions taken.

    Returns:
        In nats, float32 at least; NaN for an action that there is not.

    Raises:
        ValueError: There is not one action for each row of logits.

    >>> print(jnp.exp(log_probability(jnp.array([[0.0, jnp.log(3.0)]]), jnp.array([1]))))
    [0.75]
    """
    return -cross_entropy(logits, actions)


def policy_gradient(
    logits: Float[Array, "*batch actions"], actions: Integer[Array, "*batch"], advantages: Rows
) -> Rows:
    """The loss `-A log p(a)`, whose gradient is that of the expected return.

    Args:
        logits: Of the policy.
        actions: The actions taken.
        advantages: A: returns, less a baseline that does not depend on the action. No gradient
            flows into them.

    Returns:
        One loss per row, float32 at least; NaN for an action that there is not.

    Raises:
        ValueError: There is not one action and one advantage for each row of logits.

    Reference: Williams, Simple statistical gradient-following algorithms for connectionist
    reinforcement learning, Machine Learning 8, 1992.

    >>> print(policy_gradient(jnp.zeros((1, 2)), jnp.array([0]), jnp.full(1, 2.0)))
    [1.3862944]
    """
    same_shapes(actions=actions, advantages=advantages)
    return -log_probability(logits, actions) * jax.lax.stop_gradient(advantages)


def clipped_surrogate(
    logits: Float[Array, "*batch actions"],
    actions: Integer[Array, "*batch"],
    old_log_probabilities: Rows,
    advantages: Rows,
    *,
    clip: float = 0.2,
) -> Rows:
    """The loss of PPO, `-min(k A, clip(k, 1 - e, 1 + e) A)` with k = p(a) / p_old(a).

    There is no gain, and no gradient, in moving the probability of an action further than by a
    factor of 1 - e or 1 + e from what it was when the action was taken.

    Args:
        logits: Of the policy that learns.
        actions: The actions taken.
        old_log_probabilities: Of these actions under the policy that took them.
        advantages: A. No gradient flows into them.
        clip: e.

    Returns:
        One loss per row, float32 at least; NaN for an action that there is not.

    Raises:
        ValueError: `clip` is not positive, or shapes differ.

    Reference: Schulman et al., Proximal policy optimization algorithms, 2017, arXiv:1707.06347.

    >>> old, advantages = jnp.log(jnp.full(1, 0.25)), jnp.full(1, 2.0)
    >>> print(jax.jit(clipped_surrogate)(jnp.zeros((1, 2)), jnp.array([0]), old, advantages))
    [-2.4]
    """
    if not clip > 0:
        raise ValueError(f"clip must be positive, got {clip}")
    same_shapes(actions=actions, old_log_probabilities=old_log_probabilities, advantages=advantages)
    advantages = jax.lax.stop_gradient(advantages)
    ratios = jnp.exp(
        log_probability(logits, actions) - jax.lax.stop_gradient(old_log_probabilities)
    )
    clipped = jnp.clip(ratios, min=1 - clip, max=1 + clip)
    return -jnp.minimum(ratios * advantages, clipped * advantages)


def clipped_value_error(values: Rows, old_values: Rows, targets: Rows, *, clip: float) -> Rows:
    """The squared error of values, or that of values moved by at most `clip`, if it is greater.

    Args:
        values: Of the network that learns.
        old_values: Of the network when the actions were taken.
        targets: What the values should be. No gradient flows into them.
        clip: How far a value may move.

    Returns:
        One error per row, float32 at least.

    Raises:
        ValueError: `clip` is not positive, or shapes differ.

    >>> print(clipped_value_error(jnp.ones(1), jnp.zeros(1), jnp.ones(1), clip=0.5))
    [0.25]
    """
    if not clip > 0:
        raise ValueError(f"clip must be positive, got {clip}")
    same_shapes(values=values, old_values=old_values, targets=targets)
    values, old_values = at_least_float32(values), jax.lax.stop_gradient(old_values)
    targets = jax.lax.stop_gradient(targets)
    clipped = old_values + jnp.clip(values - old_values, min=-clip, max=clip)
    return jnp.maximum(jnp.square(values - targets), jnp.square(clipped - targets))


def entropy(logits: Float[Array, "*batch actions"]) -> Rows:
    """The entropy of the softmax of the logits, `-sum_a p(a) log p(a)`.

    Args:
        logits: Of the policy; -inf makes an action impossible, and adds nothing.

    Returns:
        In nats, float32 at least.

    >>> print(jax.jit(entropy)(jnp.array([[0.0, 0.0], [0.0, -jnp.inf]])))
    [ 0.6931472 -0.       ]
    """
    logits = at_least_float32(logits)
    return cross_entropy(logits, jax.nn.softmax(logits, axis=-1))
