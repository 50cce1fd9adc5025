"""Proximal policy optimization."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array

from jaxvision.checks import check_positive
from jaxvision.losses import reinforcement, weighted_mean
from jaxvision.rl.actor_critic import A2C
from jaxvision.rl.rollout import Rows


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PPO(A2C):
    """Proximal policy optimization: actor-critic with several passes over each rollout.

    Attributes:
        clip: Limit on the relative change of an action's probability in an update.
        value_clip: Limit on the change of a state's value, in units of the return; None sets none.

    Raises:
        ValueError: An option is out of range, or the network does not fit the environments.

    Reference: Schulman et al., Proximal policy optimization algorithms, 2017, arXiv:1707.06347.

    >>> import optax
    >>> from jaxvision import rl
    >>> envs = rl.vectorize("CartPole-v1", 4)
    >>> network = rl.ActorCritic(envs.observation_space, 2, rl.MLP(), rl.MLP())
    >>> agent = rl.PPO(envs=envs, network=network, optimizer=optax.adam(3e-4))
    >>> agent.units_per_step
    5120
    """

    num_steps: int = 128
    lambda_: float = 0.95
    updates_per_step: int = 10
    epochs: int = 4
    minibatches: int = 4
    clip: float = 0.2
    value_clip: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.units_per_update < 2 * self.minibatches:
            raise ValueError(
                "advantages are normalized within a minibatch, which must have 2 environment steps "
                f"at least: {self.minibatches} minibatches of {self.units_per_update} are too many"
            )
        check_positive("clip", self.clip)
        if self.value_clip is not None:
            check_positive("value_clip", self.value_clip)

    def _policy_losses(self, logits: Array, rows: Rows) -> Array:
        center = weighted_mean(rows.advantages, rows.weights)
        spread = jnp.sqrt(weighted_mean(jnp.square(rows.advantages - center), rows.weights))
        return reinforcement.clipped_surrogate(
            logits,
            rows.actions,
            rows.log_probabilities,
            (rows.advantages - center) / (spread + 1e-8),
            clip=self.clip,
        )

    def _value_errors(self, values: Array, rows: Rows) -> Array:
        if self.value_clip is None:
            return super()._value_errors(values, rows)
        return reinforcement.clipped_value_error(
            values, rows.values, rows.targets, clip=self.value_clip
        )
