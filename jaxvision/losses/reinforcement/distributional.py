"""Losses of agents that learn the distribution of the return, not only its mean."""

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
    """Moves a distribution onto a fixed support, each atom shared by its two neighbors.

    The mean stays as it is; what lies beyond the ends of the support goes to the ends.

    Args:
        atoms: Where the probability lies.
        probabilities: How much lies there.
        support: Rising, of 2 points at least.

    Returns:
        The probability of each point of the support.

    Raises:
        ValueError: The support has one point, or does not rise (inside a compiled program its
            points are not known); there is not one probability for each atom.

    Reference: Bellemare, Dabney and Munos, A distributional perspective on reinforcement learning,
    ICML 2017, arXiv:1707.06887, equation 7.

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
    # Of an atom above a point, how far on the way to the next; below it, to the one before.
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
    """What C51 learns: the distribution of `r + d z'`, on the support.

    z' is the return of the best action where the step led, by the mean of its distribution or, with
    double Q-learning, by the selector.

    Args:
        rewards: r, the reward of the step.
        discounts: d: gamma, or 0 where the episode terminated.
        next_logits: For all actions where the step led.
        support: The returns that the logits stand for, rising.
        selector: The values by which the next action is chosen; None takes the means.

    Returns:
        The probability of each point of the support, float32 at least; no gradient flows back.

    Raises:
        ValueError: Rewards and discounts differ in shape, or there is not one logit for each point
            of the support.

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
    """The cross-entropy of the predicted distribution (C51) to `categorical_targets`.

    Args:
        logits: Of the distribution over the support, for all actions where the step began.
        actions: The action taken.
        rewards: r, the reward of the step.
        discounts: d: gamma, or 0 where the episode terminated.
        next_logits: For all actions where the step led.
        support: The returns that the logits stand for, rising.
        selector: The values by which the next action is chosen; None takes the means.

    Returns:
        One loss per row, float32 at least; NaN for an action that there is not.

    Raises:
        ValueError: Actions, rewards and discounts differ in shape, or there is not one logit for
            each point of the support.

    Reference: Bellemare, Dabney and Munos, A distributional perspective on reinforcement learning,
    ICML 2017, arXiv:1707.06887.

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
    """The quantile regression loss (QR-DQN) of the predicted quantiles to `r + d z'`.

    Quantile i of n stands for the probability (i + 1/2) / n. The loss is summed over the predicted
    quantiles and averaged over those of the target.

    Args:
        quantiles: Of the return, for all actions where the step began.
        actions: The action taken.
        rewards: r, the reward of the step.
        discounts: d: gamma, or 0 where the episode terminated.
        next_quantiles: For all actions where the step led.
        selector: The values by which the next action is chosen; None takes the means.
        kappa: Errors up to this are squared (Huber's loss, divided by kappa); 0 squares none.

    Returns:
        One loss per row, float32 at least; NaN for an action that there is not.

    Raises:
        ValueError: `kappa` is negative or NaN, or actions, rewards and discounts differ in shape.

    Reference: Dabney, Rowland, Bellemare and Munos, Distributional reinforcement learning with
    quantile regression, AAAI 2018, arXiv:1710.10044.

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
