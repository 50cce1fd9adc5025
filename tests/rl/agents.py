"""Small agents of every kind."""

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest
import quick
import recorded

from jaxvision import rl

KINDS = ("dqn", "rainbow", "pqn", "a2c", "ppo", "reinforce")


def every_kind(*names):
    """Parametrizes by `kind`: these among the quick tests, the others among the slow ones."""
    return pytest.mark.parametrize("kind", quick.only(KINDS, *names))


def make(kind, envs, *, learning_rate=1e-3, sizes=(16,), **options):
    """An agent with a small network."""
    space, actions = envs.observation_space, envs.action_space.n
    optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(learning_rate))
    shared = {"envs": envs, "optimizer": optimizer, "discount": 0.9, "updates_per_step": 2}
    if kind in ("a2c", "ppo", "reinforce"):
        network = rl.ActorCritic(space, actions, rl.MLP(sizes), rl.MLP(sizes))
        more = {"a2c": {}, "ppo": {"num_steps": 8}, "reinforce": {"max_steps": 12}}[kind]
        cls = {"a2c": rl.A2C, "ppo": rl.PPO, "reinforce": rl.Reinforce}[kind]
        return cls(network=network, **{**shared, **more, **options})
    torso = rl.MLP(sizes, nn.relu)
    if kind == "pqn":
        outputs = options.get("head", rl.Expected()).outputs
        network = rl.QNetwork(space, actions, torso, outputs)
        return rl.PQN(network=network, **{**shared, "num_steps": 8, **options})
    replay = {"train_every": 2 * envs.num_envs, "learning_starts": 20, "batch_size": 16}
    head = rl.Expected()
    if kind == "rainbow":
        head = rl.Categorical(-2.0, 12.0, atoms=29)
        prioritized = rl.PrioritizedReplay(500)
        replay |= {"double": True, "n_step": 3, "replay": prioritized, "head": head}
    network = rl.QNetwork(space, actions, torso, head.outputs, dueling=kind == "rainbow")
    return rl.DQN(network=network, **{**shared, **replay, **options})


def run(agent, steps, seed=0):
    """The state after some steps, and the means of their metrics."""
    step = jax.jit(agent, donate_argnums=0)
    state = agent.init(jax.random.key(seed))
    sums = {}
    for _ in range(steps):
        state, metrics = step(state)
        sums = {name: np.add(pair, sums.get(name, 0)) for name, pair in metrics.items()}
    return state, {name: total / max(count, 1) for name, (total, count) in sums.items()}


def sample(agent, memory, batch_size, seed=0):
    """Rows of an agent's memory."""
    rows, _ = recorded.sample(agent.replay, agent._stream, memory, batch_size, seed=seed)
    return jax.device_get(rows)


def numbers(state):
    """The leaves of a state as plain arrays."""
    return [
        np.asarray(
            jax.random.key_data(leaf)
            if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            else leaf
        )
        for leaf in jax.tree.leaves(state)
    ]
