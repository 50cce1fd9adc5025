"""Small agents of every kind."""

import jax
import numpy as np
import optax
import pytest
import quick
import recorded

from jaxvision import rl

KINDS = ("dqn", "rainbow", "pqn", "a2c", "ppo", "reinforce")
PATHS = ("rainbow", "pqn", "ppo", "reinforce")
"""One kind for each path through the code: Rainbow is a DQN, and PPO an A2C."""


def every_kind(*names):
    """Parametrizes by `kind`: these are quick, the other `PATHS` slow, the rest before a release.

    Tests of one kind come after one another, for they share its programs.
    """
    cases = quick.only(KINDS, *names, slow=PATHS)
    return pytest.mark.parametrize("kind", cases, scope="module")


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
    torso = rl.MLP(sizes, "relu")
    if kind == "pqn":
        outputs = options.get("head", rl.Expected()).outputs
        network = rl.QNetwork(space, actions, torso, outputs)
        return rl.PQN(network=network, **{**shared, "num_steps": 8, **options})
    replay = {"train_every": 2 * envs.num_envs, "learning_starts": 20, "batch_size": 32}
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
    return repeat(step, agent.init(jax.random.key(seed)), steps)


def repeat(step, state, steps):
    """The same with a step that is compiled."""
    sums = {}
    for _ in range(steps):
        state, metrics = step(state, None)
        for name, pair in jax.device_get(metrics).items():
            sums[name] = np.add(pair, sums.get(name, 0))
    return state, {name: total / max(count, 1) for name, (total, count) in sums.items()}


def sample(agent, memory, batch_size, seed=0):
    """Rows of an agent's memory."""
    return recorded.sample(agent.replay, agent._stream, memory, batch_size, seed=seed)[0]
