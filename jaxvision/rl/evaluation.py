"""Evaluation of agents by whole episodes, in compiled code."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from jaxvision import metrics
from jaxvision.rl.seeds import Seeds
from jaxvision.rl.vector import VectorEnv
from jaxvision.rl.wrappers import EpisodeStatistics

PyTree = Any
Policy = Callable[[Array, Key[Array, ""]], Int[Array, "envs"]]
"""`policy(observations, key) -> actions`."""


def run_episodes(
    envs: VectorEnv, policy: Policy, key: Key[Array, ""]
) -> tuple[Float[Array, "envs"], Int[Array, "envs"]]:
    """Runs one episode in every environment, to its end.

    All episodes start together: counting those that end within a fixed time would favor short ones.

    Args:
        envs: Environments, whose episodes must end.
        policy: Function from observations and a key to actions.
        key: Random key of the episodes.

    Returns:
        The return and the length of each episode.

    >>> from jaxvision import rl
    >>> envs = rl.vectorize("Catch", 3)
    >>> def stay(observations, key):
    ...     return jnp.ones(3, jnp.int32)
    >>> returns, lengths = jax.jit(lambda key: run_episodes(envs, stay, key))(jax.random.key(0))
    >>> print(lengths)
    [9 9 9]
    """
    envs = EpisodeStatistics(envs)
    begin_key, run_key = jax.random.split(key)
    observations, state = envs.reset(begin_key)
    count = envs.num_envs
    Carry = tuple[Int[Array, ""], Array, PyTree, Bool[Array, "envs"], Array, Array]

    def running(carry: Carry) -> Bool[Array, ""]:
        *_, ended, _, _ = carry
        return ~ended.all()

    def step(carry: Carry) -> Carry:
        time, observations, state, ended, returns, lengths = carry
        act_key, env_key = jax.random.split(jax.random.fold_in(run_key, time))
        actions = policy(observations, act_key)
        observations, state, _, terminated, truncated, info = envs.step(env_key, state, actions)
        ends = (terminated | truncated) & ~ended
        returns = jnp.where(ends, info["episode_return"], returns)
        lengths = jnp.where(ends, info["episode_length"], lengths)
        return time + 1, observations, state, ended | ends, returns, lengths

    carry = (
        jnp.int32(0),
        observations,
        state,
        jnp.zeros(count, bool),
        jnp.zeros(count, jnp.float32),
        jnp.zeros(count, jnp.int32),
    )
    *_, returns, lengths = jax.lax.while_loop(running, step, carry)
    return returns, lengths


def summarize(
    returns: Float[np.ndarray, "episodes"], lengths: Int[np.ndarray, "episodes"]
) -> dict[str, tuple[float, float]]:
    """Computes the mean return of episodes, its 95% t interval, and the mean length.

    Args:
        returns: Return of each episode.
        lengths: Length of each episode.

    Returns:
        Metrics as pairs of a sum and a count, for `fit`.

    >>> sorted(summarize(np.array([1.0, 3.0]), np.array([10, 20])))
    ['length', 'return', 'return_high', 'return_low']
    """
    interval = metrics.t_interval(returns)
    count = float(len(returns))
    return {
        "return": (float(np.sum(returns, dtype=np.float64)), count),
        "return_low": (interval.low, 1.0),
        "return_high": (interval.high, 1.0),
        "length": (float(np.sum(lengths)), count),
    }


def make_eval_fn(
    agent: Any, envs: VectorEnv, *, seed: int = 0, greedy: bool = True
) -> Callable[[PyTree, Any], dict[str, tuple[float, float]]]:
    """Makes the function with which `fit` evaluates an agent.

    Args:
        agent: An agent, or anything with `act(params, observations, key)`; or `Seeds`.
        envs: Vector environment with one environment per episode; use at least 100 for a reliable
            mean.
        seed: Seed of the randomness in the episodes, the same in every evaluation.
        greedy: Whether to take the best action instead of drawing from the policy.

    Returns:
        `evaluate(state, None) -> metrics`: the mean return, its 95% t interval, and the mean
        length; also `env_steps`, the environment steps used so far, if the state counts them (as
        agents that learn from whole episodes do). With `Seeds`, the metrics of each seed.

    Raises:
        ValueError: There is only one environment; an interval needs at least two episodes.

    >>> from jaxvision import rl
    >>> import optax
    >>> envs = rl.vectorize("Catch", 8)
    >>> network = rl.QNetwork(envs.observation_space, 3, rl.MLP((16,)))
    >>> agent = rl.PQN(envs=envs, network=network, optimizer=optax.adam(1e-3))
    >>> evaluate = make_eval_fn(agent, rl.vectorize("Catch", 100))
    >>> evaluate(agent.init(jax.random.key(0)), None)["length"]
    (900.0, 100.0)
    """
    if envs.num_envs < 2:
        raise ValueError(
            "an evaluation needs as many environments as episodes, and at least 2 for an interval "
            f"of their mean, got {envs.num_envs}; use rl.vectorize(name, 100)"
        )
    key = jax.random.key(seed)
    one = agent.agent if isinstance(agent, Seeds) else agent

    def run(params: PyTree) -> tuple[Array, Array]:
        def policy(observations: Array, key: Array) -> Array:
            return one.act(params, observations, None if greedy else key)

        return run_episodes(envs, policy, key)

    run_all = jax.jit(jax.vmap(run) if isinstance(agent, Seeds) else run)

    def evaluate(state: PyTree, batch: Any) -> dict[str, tuple[float, float]]:
        del batch
        returns, lengths = map(np.asarray, run_all(state.params))

        def measured(row: Any) -> dict[str, tuple[float, float]]:
            found = summarize(returns[row], lengths[row])
            if hasattr(state, "env_steps"):
                found["env_steps"] = (float(state.env_steps[row]), 1.0)
            return found

        if not isinstance(agent, Seeds):
            return measured(...)
        return {
            f"{name}/seed{seed}": pair
            for seed in range(agent.num_seeds)
            for name, pair in measured(seed).items()
        }

    return evaluate
