"""Experience that is used while the policy that made it is still in force."""

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
    """Where the environments are.

    Attributes:
        environments: Their state.
        observations: What the agent sees.
    """

    environments: Any
    observations: Any


class Rollout(flax.struct.PyTreeNode):
    """Steps of all environments: time is the first axis, environments are the second.

    Attributes:
        observations: Where each step began.
        scores: What the network said of the actions there: logits, or values.
        actions: What was done.
        rewards: What it brought.
        terminated: Whether it ended the episode.
        truncated: Whether time did.
        final_observations: What it led to.
        valid: False where an action was ignored.
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
    """What a policy learns from, one row each.

    Attributes:
        observations: Where a step began.
        actions: What was done.
        log_probabilities: Of these actions, when they were taken.
        values: What the critic said then.
        advantages: By how much the actions were better than that.
        targets: What the critic should have said.
        weights: What the row counts; 0 where it is no step.
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
    """Acts for some steps in every environment.

    Args:
        envs: The environments.
        act: Chooses actions.
        position: Where they are.
        key: For all that is random.
        num_steps: How many.

    Returns:
        Where they are then, what happened, and the metrics of the episodes that ended.
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
    # Where environments were begun anew from outside, nothing tells the step before it but this.
    breaks = ~rollout.valid[1:] & ~(rollout.terminated | rollout.truncated)[:-1]
    truncated = rollout.truncated.at[:-1].set(rollout.truncated[:-1] | breaks)
    rollout = rollout.replace(truncated=truncated)
    return position, rollout, jax.tree.map(lambda leaf: leaf.sum(0), metrics)


def episode_metrics(info: dict[str, Any], over: Bool[Array, "envs"]) -> Metrics:
    """The returns and lengths of episodes that end in a step.

    Args:
        info: Of `EpisodeStatistics`.
        over: Which end.

    Returns:
        Pairs of sums.
    """
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
    """The value of what each step led to: that of the next observation, or of the final one.

    Args:
        values_of: The critic.
        rollout: What happened.
        position: Where the environments are after it.
        values: Of the observations where the steps began.

    Returns:
        The values, 0 where an episode terminated.
    """
    last = values_of(position.observations)[None]
    following = jnp.concatenate([values[1:], last])

    def with_final() -> Array:
        final = of_steps(values_of, rollout.final_observations)
        return jnp.where(rollout.truncated, final, following)

    # Few rollouts see an episode truncated, and then only there are final observations looked at.
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
    """Advantages and targets of a rollout.

    Args:
        network: An `ActorCritic`.
        params: Its parameters.
        rollout: What happened, with logits as scores.
        position: Where the environments are after it.
        discount: gamma.
        lambda_: Of the generalized advantage estimates.

    Returns:
        The rows, flat.
    """

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
    """Goes through rows in another order each epoch.

    Args:
        key: For the orders.
        count: How many rows.
        epochs: How often to go through them.
        parts: Into how many parts to cut them each time.

    Returns:
        The rows of every part.

    >>> shuffled_parts(jax.random.key(0), 6, 4, 2).shape
    (8, 3)
    """
    orders = jnp.argsort(jax.random.bits(key, (epochs, count)), axis=1)
    return orders.reshape(epochs * parts, count // parts)


def flat(leaf: Array) -> Array:
    """Environments and time as one axis, one environment after the other: none leaves its device.

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
