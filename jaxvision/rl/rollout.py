"""Rollouts: experience that is used for one update and then discarded."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from jaxvision._reprs import brief
from jaxvision.losses import reinforcement
from jaxvision.rl.learner import Metrics
from jaxvision.rl.sharding import over_devices
from jaxvision.rl.wrappers import EpisodeStatistics

PyTree = Any


class Position(flax.struct.PyTreeNode):
    """The state of the environments, and their present observations."""

    environments: Any
    observations: Any


class Rollout(flax.struct.PyTreeNode):
    """Steps of all environments, with the axes (time, environments).

    `scores` are the network's logits or action values at `observations`. The actions led to
    `final_observations`. `valid` is False where an environment ignored its action.
    """

    observations: Any
    scores: Any
    actions: Any
    rewards: Any
    terminated: Any
    truncated: Any
    final_observations: Any
    valid: Any

    def __repr__(self) -> str:
        return brief(self)


class Rows(flax.struct.PyTreeNode):
    """Steps from which an agent with a critic learns, one per row.

    `log_probabilities` and `values` are those from before the update. `targets` are the critic's.
    `weights` are 0 where a row is not a step.
    """

    observations: Any
    actions: Any
    log_probabilities: Any
    values: Any
    advantages: Any
    targets: Any
    weights: Any

    def __repr__(self) -> str:
        return brief(self)


Act = Callable[[Array, Key[Array, ""]], tuple[Array, Array]]
"""`act(observations, key) -> (scores, actions)`."""


def collect(
    envs: EpisodeStatistics, act: Act, position: Position, key: Key[Array, ""], num_steps: int
) -> tuple[Position, Rollout, Metrics]:
    """Acts for `num_steps` steps in every environment.

    Returns the new position, the steps, and the metrics of episodes that ended.
    """

    def step(position: Position, keys: Array) -> tuple[Position, tuple[Rollout, Metrics]]:
        scores, actions = act(position.observations, keys[0])
        observations, environments, rewards, terminated, truncated, info = envs.step(
            keys[1], position.environments, actions
        )
        over = terminated | truncated
        happened = Rollout(
            observations=position.observations,
            scores=scores,
            actions=actions,
            rewards=rewards,
            terminated=terminated,
            truncated=truncated,
            final_observations=info["final_observation"],
            valid=info.get("valid", jnp.ones_like(over)),
        )
        return Position(environments, observations), (happened, episode_metrics(info, over))

    keys = jax.random.split(key, (num_steps, 2))
    position, (rollout, metrics) = jax.lax.scan(step, position, keys)
    # If environments were reset from outside, only this marks the step before as truncated.
    breaks = ~rollout.valid[1:] & ~(rollout.terminated | rollout.truncated)[:-1]
    truncated = rollout.truncated.at[:-1].set(rollout.truncated[:-1] | breaks)
    rollout = rollout.replace(truncated=truncated)
    return position, rollout, jax.tree.map(lambda leaf: leaf.sum(0), metrics)


def episode_metrics(info: dict[str, Any], over: Bool[Array, "envs"]) -> Metrics:
    """The returns and lengths of episodes that end in a step, as sums and counts."""
    count = over.sum()
    return {
        name: (jnp.sum(jnp.where(over, info[name], 0)), count)
        for name in ("episode_return", "episode_length")
    }


def next_values(
    values_of: Callable[[Array], Float[Array, "batch"]],
    rollout: Rollout,
    position: Position,
    values: Float[Array, "time envs"],
) -> Float[Array, "time envs"]:
    """The values of the next observations, of the final ones where truncated; 0 where terminated.

    `values` are those of the observations at which the steps start.
    """
    last = values_of(position.observations)[None]
    following = jnp.concatenate([values[1:], last])

    def with_final() -> Array:
        final = of_steps(values_of, rollout.final_observations)
        return jnp.where(rollout.truncated, final, following)

    # Final observations are evaluated only if an episode was truncated, which is rare.
    following = jax.lax.cond(rollout.truncated.any(), with_final, lambda: following)
    return jnp.where(rollout.terminated, 0, following)


def make_rows(
    network: nn.Module,
    params: PyTree,
    rollout: Rollout,
    position: Position,
    *,
    discount: float,
    lambda_: float,
) -> Rows:
    """Computes advantages and critic targets of a rollout with logits as scores, as flat rows."""

    def values_of(observations: Array) -> Array:
        values: Any = network.apply(params, observations, method="values")
        return values

    values = of_steps(values_of, rollout.observations)
    advantages = reinforcement.generalized_advantages(
        rollout.rewards,
        jnp.where(rollout.terminated, 0, discount),
        values,
        next_values(values_of, rollout, position, values),
        lambda_=lambda_,
        truncated=rollout.truncated,
    )
    rows = Rows(
        observations=rollout.observations,
        actions=rollout.actions,
        log_probabilities=reinforcement.log_probability(rollout.scores, rollout.actions),
        values=values,
        advantages=advantages,
        targets=advantages + values,
        weights=rollout.valid.astype(jnp.float32),
    )
    return jax.tree.map(flat, rows)


def shuffled_parts(
    key: Key[Array, ""], count: int, epochs: int, parts: int
) -> Int[Array, "updates rows"]:
    """Indices of rows for `epochs * parts` minibatches, in a new order each epoch.

    >>> shuffled_parts(jax.random.key(0), 6, 4, 2).shape
    (8, 3)
    """
    orders = jnp.argsort(jax.random.bits(key, (epochs, count)), axis=1)
    return orders.reshape(epochs * parts, count // parts)


def flat(leaf: Array) -> Array:
    """Merges time and environments into one axis, sorted by environment, so none leaves its device.

    >>> flat(jnp.array([[0, 10], [1, 11]])).tolist()
    [0, 1, 10, 11]
    """
    return over_devices(leaf.swapaxes(0, 1).reshape(-1, *leaf.shape[2:]))


def of_steps(function: Callable[[Array], Float[Array, "rows"]], steps: Array) -> Array:
    """Applies a function of rows to all steps at once.

    >>> of_steps(lambda rows: 2 * rows, jnp.array([[0, 10], [1, 11]])).tolist()
    [[0, 20], [2, 22]]
    """
    time, envs = steps.shape[:2]
    return function(flat(steps)).reshape(envs, time).swapaxes(0, 1)
