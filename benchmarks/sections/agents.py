"""Environment steps a second of agents that learn CartPole in many environments at once."""

from typing import Any

import jax
import optax

from jaxvision import rl
from sections import timing
from sections.context import Context

COLUMNS = {"environments at once": ",d", "environment steps/s": ",.0f", "updates/s": ",.1f",
           "compile s": ".1f"}  # fmt: skip


def ppo(context: Context) -> None:
    """Proximal policy optimization, with rollouts of 128 steps and minibatches of a quarter."""
    table = context.table("cartpole", COLUMNS, "CartPole-v1; nothing to compare with on a GPU.")
    for count in (4,) if context.toy else (1_024, 8_192):
        envs = rl.vectorize("CartPole-v1", count)
        network = rl.ActorCritic(envs.observation_space, 2, rl.MLP(), rl.MLP())
        agent = rl.PPO(
            envs=envs,
            network=network,
            optimizer=optax.adam(2.5e-4),
            num_steps=4 if context.toy else 128,
            updates_per_step=1 if context.toy else 10,
        )
        table.add(count, *rates(agent, context.toy))


def dqn(context: Context) -> None:
    """Deep Q-learning: a gradient of as many transitions as there are new ones."""
    table = context.table("cartpole", COLUMNS, "CartPole-v1; nothing to compare with on a GPU.")
    for count in (4,) if context.toy else (1_024, 8_192):
        envs = rl.vectorize("CartPole-v1", count)
        agent = rl.DQN(
            envs=envs,
            network=rl.QNetwork(envs.observation_space, 2, rl.MLP((120, 84), "relu")),
            optimizer=optax.adam(2.5e-4),
            replay=rl.UniformReplay(100 * count),
            batch_size=count,
            train_every=count,
            learning_starts=10 * count,
            updates_per_step=2 if context.toy else 100,
        )
        table.add(count, *rates(agent, context.toy))


def rates(agent: Any, toy: bool) -> tuple[float, float, float]:
    """Environment steps a second, updates a second, and the seconds that compiling took."""
    calls = timing.compiled(agent, agent.init(jax.random.key(0)))
    seconds = timing.seconds_per_call(calls, toy=toy)
    return (
        agent.units_per_step / seconds,
        agent.updates_per_step / seconds,
        calls.compile_seconds,
    )
