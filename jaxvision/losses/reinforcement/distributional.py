"""Losses of agents that learn the whole distribution of the return instead of its mean."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Integer

from jaxvision.losses.classification import cross_entropy
from jaxvision.losses.reinforcement._common import (
    at_least_float32,
    chosen_distribution,
    same_shapes,
)

Rows = Float[Array, "*batch"]


def categorical_projection(
    atoms: Float[Array, "*batch atoms"],
    probabilities: Float[Array, "*batch atoms"],
    support: Float[Array, "support"],
) -> Float[Array, "*batch support"]:
    """Projects a distribution onto a fixed support: neighboring points share each atom's mass.

    The mean does not change, except that mass beyond the ends of the support moves to the ends.

    Args:
        atoms: The values of the distribution.
        probabilities: The probability of each atom.
        support: The new values, increasing, at least 2.

    Returns:
        The probability of each point of the support.

    Raises:
        ValueError: The support has one point or does not increase (not checked under `jit`), or the
            shapes of atoms and probabilities differ.

    Reference: Bellemare et al., A distributional perspective on reinforcement learning, 2017,
    arXiv:1707.06887, equation 7.

    >>> atoms, support = jnp.array([0.25, 3.0]), jnp.array([0.0, 1.0, 2.0])
    >>> print(categorical_projection(atoms, jnp.array([0.5, 0.5]), support))
    [0.375 0.125 0.5  ]
    """
    same_shapes(atoms=atoms, probabilities=probabilities)
    if support.shape[0] < 2:
        raise ValueError(f"a support needs 2 points at least, got {support.shape[0]}")
    if not isinstance(support, jax.core.Tracer) and not (np.diff(support) > 0).all():
        raise ValueError(f"a support must rise, got {support}")
    atoms = jnp.clip(atoms, min=support[0], max=support[-1])
    gaps = jnp.diff(support)
    # Distances as a share of the gap to the next point (atom above) or the previous one (below).
    above = jnp.concatenate([gaps, gaps[-1:]])[:, None]
    below = jnp.concatenate([gaps[:1], gaps])[:, None]
    steps = atoms[..., None, :] - support[:, None]
    distances = jnp.abs(steps) / jnp.where(steps > 0, above, below)
    return jnp.sum(jnp.clip(1 - distances, min=0) * probabilities[..., None, :], axis=-1)


def categorical_targets(
    rewards: Rows,
    discounts: Rows,
    next_logits: Float[Array, "*batch actions atoms"],
    support: Float[Array, "atoms"],
    *,
    selector: Float[Array, "*batch actions"] | None = None,
) -> Float[Array, "*batch atoms"]:
    """The targets of C51: the distribution of `r + d z'`, projected onto the support.

    z' is the return of the best next action: the one whose distribution has the highest mean or,
    for double Q-learning, the highest value in `selector`.

    Args:
        rewards: Rewards r of the steps.
        discounts: Discounts d: gamma, or 0 where the episode terminated.
        next_logits: Logits of all actions in the next state.
        support: The returns that the logits refer to, increasing.
        selector: Values that choose the next action; None uses the means.

    Returns:
        The probability of each point of the support, in float32 or wider, without a gradient.

    Raises:
        ValueError: The shapes do not match, or the support is too short or does not increase.

    >>> logits, support = jnp.zeros((1, 2, 3)), jnp.array([-1.0, 0.0, 1.0])
    >>> print(jax.jit(categorical_targets)(jnp.full(1, 0.5), jnp.zeros(1), logits, support))
    [[0.  0.5 0.5]]
    """
    same_shapes(rewards=rewards, discounts=discounts)
    _one_for_each_point(next_logits, support)
    next_probabilities = jax.nn.softmax(at_least_float32(next_logits), axis=-1)
    if selector is None:
        selector = next_probabilities @ support
    best = jnp.argmax(selector, axis=-1)
    targets = categorical_projection(
        rewards[..., None] + discounts[..., None] * support,
        chosen_distribution(next_probabilities, best),
        support,
    )
    return jax.lax.stop_gradient(targets)


def categorical_q_learning(
    logits: Float[Array, "*batch actions atoms"],
    actions: Integer[Array, "*batch"],
    rewards: Rows,
    discounts: Rows,
    next_logits: Float[Array, "*batch actions atoms"],
    support: Float[Array, "atoms"],
    *,
    selector: Float[Array, "*batch actions"] | None = None,
) -> Rows:
    """The cross-entropy (C51) between the predicted distribution and `categorical_targets`.

    `logits` describe the predicted distribution over `support`, for all actions in the first state.
    `actions` are the actions taken; one out of range gives NaN. The other arguments and errors are
    those of `categorical_targets`.

    Reference: Bellemare et al., A distributional perspective on reinforcement learning, 2017,
    arXiv:1707.06887.

    >>> logits, support = jnp.zeros((1, 2, 3)), jnp.array([-1.0, 0.0, 1.0])
    >>> print(jax.jit(categorical_q_learning)(
    ...     logits, jnp.array([0]), jnp.ones(1), jnp.zeros(1), logits, support))
    [1.0986123]
    """
    same_shapes(actions=actions, rewards=rewards, discounts=discounts)
    _one_for_each_point(logits, support)
    targets = categorical_targets(rewards, discounts, next_logits, support, selector=selector)
    return cross_entropy(chosen_distribution(at_least_float32(logits), actions), targets)


def quantile_q_learning(
    quantiles: Float[Array, "*batch actions quantiles"],
    actions: Integer[Array, "*batch"],
    rewards: Rows,
    discounts: Rows,
    next_quantiles: Float[Array, "*batch actions quantiles"],
    *,
    selector: Float[Array, "*batch actions"] | None = None,
    kappa: float = 1.0,
) -> Rows:
    """The quantile regression loss (QR-DQN) between the predicted quantiles and `r + d z'`.

    Quantile i of n has the probability level (i + 1/2) / n. The loss is summed over the predicted
    quantiles and averaged over those of the target.

    Args:
        quantiles: Quantiles of the return of all actions in the first state.
        actions: The actions taken; one out of range gives NaN.
        rewards: Rewards r of the steps.
        discounts: Discounts d: gamma, or 0 where the episode terminated.
        next_quantiles: Quantiles of all actions in the next state.
        selector: Values that choose the next action; None uses the means.
        kappa: Errors up to this size are squared (Huber loss, divided by kappa); 0 squares none.

    Raises:
        ValueError: `kappa` is negative or NaN, or the shapes do not match.

    Reference: Dabney et al., Distributional reinforcement learning with quantile regression, AAAI
    2018, arXiv:1710.10044.

    >>> quantiles = jnp.zeros((1, 2, 4))
    >>> print(jax.jit(quantile_q_learning)(
    ...     quantiles, jnp.array([0]), jnp.full(1, 2.0), jnp.zeros(1), quantiles))
    [3.]
    """
    if not kappa >= 0:
        raise ValueError(f"kappa must not be negative, got {kappa}")
    same_shapes(actions=actions, rewards=rewards, discounts=discounts)
    next_quantiles = at_least_float32(next_quantiles)
    if selector is None:
        selector = next_quantiles.mean(-1)
    best = jnp.argmax(selector, axis=-1)
    targets = rewards[..., None] + discounts[..., None] * chosen_distribution(next_quantiles, best)
    predicted = chosen_distribution(at_least_float32(quantiles), actions)
    errors = jax.lax.stop_gradient(targets)[..., None, :] - predicted[..., :, None]
    levels = (jnp.arange(quantiles.shape[-1]) + 0.5) / quantiles.shape[-1]
    sizes = optax.losses.huber_loss(errors, delta=kappa) / kappa if kappa else jnp.abs(errors)
    below = jax.lax.stop_gradient(errors) < 0
    return jnp.sum(jnp.mean(jnp.abs(levels[:, None] - below) * sizes, axis=-1), axis=-1)


def _one_for_each_point(logits: Array, support: Array) -> None:
    if logits.shape[-1] != support.shape[0]:
        raise ValueError(
            "there must be one logit for each point of the support, got shapes "
            f"{logits.shape} and {support.shape}"
        )
