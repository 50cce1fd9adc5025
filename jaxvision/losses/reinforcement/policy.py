"""Losses of policies over discrete actions, which logits describe."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxvision.losses.classification import cross_entropy
from jaxvision.losses.reinforcement._common import at_least_float32, same_shapes

Rows = Float[Array, "*batch"]


def log_probability(
    logits: Float[Array, "*batch actions"], actions: Integer[Array, "*batch"]
) -> Rows:
    """The log-probability of each action under the softmax of the logits, in nats.

    Args:
        logits: Logits of the policy; -inf makes an action impossible.
        actions: The actions taken; one out of range gives NaN.

    >>> print(jnp.exp(log_probability(jnp.array([[0.0, jnp.log(3.0)]]), jnp.array([1]))))
    [0.75]
    """
    return -cross_entropy(logits, actions)


def policy_gradient(
    logits: Float[Array, "*batch actions"], actions: Integer[Array, "*batch"], advantages: Rows
) -> Rows:
    """The loss `-A log p(a)`, whose gradient is minus that of the expected return.

    Args:
        logits: Logits of the policy.
        actions: The actions taken, a; one out of range gives NaN.
        advantages: Returns minus a baseline independent of the action, A. Not differentiated.

    Reference: Williams, Simple statistical gradient-following algorithms, Machine Learning 8, 1992.

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

    It does not reward changes of an action's probability beyond the factors 1 - e and 1 + e.

    Args:
        logits: Logits of the policy that learns.
        actions: The actions taken, a; one out of range gives NaN.
        old_log_probabilities: Log-probabilities of these actions under the policy that took them.
        advantages: Advantages A. Not differentiated.
        clip: The largest relative change e, positive.

    Raises:
        ValueError: `clip` is not positive, or the shapes do not match.

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
    """The larger squared error of a value and of that value kept within `clip` of the old one.

    Args:
        values: Values of the network that learns.
        old_values: Values of the network when the actions were taken.
        targets: Targets of the values. Not differentiated.
        clip: The largest change of a value, positive.

    Raises:
        ValueError: `clip` is not positive, or the shapes do not match.

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
    """The entropy of the softmax of the logits in nats, `-sum_a p(a) log p(a)`.

    Actions whose logit is -inf are impossible and add nothing.

    >>> print(jax.jit(entropy)(jnp.array([[0.0, 0.0], [0.0, -jnp.inf]])))
    [ 0.6931472 -0.       ]
    """
    logits = at_least_float32(logits)
    return cross_entropy(logits, jax.nn.softmax(logits, axis=-1))
