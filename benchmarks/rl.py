"""How fast environments and agents are.

    python benchmarks/rl.py

Environments: CartPole with random actions, ours against gymnax's and Gymnasium's in a Python loop;
Pong, ours against Atari's through ale-py. Agents: PPO and DQN on CartPole with the settings of
purejaxrl, which are CleanRL's, against Stable-Baselines3 with the same. Contenders take turns;
medians are shown, compilation apart (with the first step). Peers that are not installed are left
out. With JAX_NUM_CPU_DEVICES=2 there are also agents on two cores at once. The last table is what a
memory of frames takes, and what its rows need.
"""

import dataclasses
import functools
import importlib.util
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tables import Common, Table, launch
from turns import all_seconds

from jaxvision import rl, train

PEERS = ("gymnax", "gymnasium", "ale-py", "stable-baselines3", "torch")


@dataclasses.dataclass(frozen=True)
class Settings(Common):
    """Settings of the benchmark."""

    rounds: int = 5
    """How often to measure each."""
    num_envs: tuple[int, ...] = (1, 8, 1024)
    """How many CartPoles at once."""
    steps: int = 1_000
    """Steps of each environment in a measurement."""
    agent_steps: int = 100_000
    """Environment steps of an agent in a measurement."""
    peer_steps: int = 10_240
    """The same of a peer's."""
    pong_envs: int = 8
    """How many games of Pong at once."""
    pong_steps: int = 400
    """Steps of each game in a measurement."""
    pong_threads: int = 2
    """Threads of Atari's."""
    seeds: int = 8
    """How many agents learn in one program, beside one alone; 1 for none."""

    TOY: ClassVar[Mapping[str, Any]] = {
        "rounds": 1,
        "seeds": 1, "num_envs": (1,), "steps": 10, "agent_steps": 500, "peer_steps": 512,
        "pong_envs": 2, "pong_steps": 3,
    }  # fmt: skip


Run = Callable[[], Any]


def random_steps(envs: rl.VectorEnv, steps: int) -> Run:
    """Random actions, compiled."""
    actions = envs.action_space.n if isinstance(envs.action_space, rl.Discrete) else 1

    def step(carry: Any, key: Any) -> Any:
        _, state = carry
        words = jax.random.bits(key, (envs.num_envs,), jnp.uint8)
        result = envs.step(key, state, (words % actions).astype(jnp.int32))
        return result[:2], (result[2].sum(), result[0].ravel()[0])

    @jax.jit
    def many(carry: Any, key: Any) -> Any:
        return jax.lax.scan(step, carry, jax.random.split(key, steps))

    carry = jax.jit(envs.reset)(jax.random.key(0))
    jax.block_until_ready(many(carry, jax.random.key(0)))
    return lambda: jax.block_until_ready(many(carry, jax.random.key(1)))


def python_loop(steps: int) -> Run:
    """One CartPole of Gymnasium."""
    import gymnasium

    environment = gymnasium.make("CartPole-v1")
    actions = np.random.default_rng(0).integers(0, 2, steps)

    def run() -> None:
        environment.reset(seed=0)
        for action in actions:
            *_, terminated, truncated, _ = environment.step(action)
            if terminated or truncated:
                environment.reset()

    return run


def atari_loop(settings: Settings) -> Run:
    """Pong of ale-py, called from Python."""
    from ale_py.vector_env import AtariVectorEnv

    envs = AtariVectorEnv("pong", num_envs=settings.pong_envs, num_threads=settings.pong_threads)
    envs.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 6, (settings.pong_steps, settings.pong_envs))

    def run() -> None:
        for row in actions:
            envs.step(row)

    return run


def ppo() -> rl.Agent:
    """With the settings of purejaxrl."""
    envs = rl.vectorize("CartPole-v1", 4)
    network = rl.ActorCritic(envs.observation_space, 2, rl.MLP(), rl.MLP())
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(2.5e-4, eps=1e-5))
    return rl.PPO(envs=envs, network=network, optimizer=optimizer, value_clip=0.2)


def dqn() -> rl.Agent:
    """With the settings of purejaxrl."""
    envs = rl.vectorize("CartPole-v1", 10)
    network = rl.QNetwork(envs.observation_space, 2, rl.MLP((120, 84), "relu"))
    return rl.DQN(
        envs=envs,
        network=network,
        optimizer=optax.adam(2.5e-4),
        head=rl.Expected(huber=None),
        exploration=optax.linear_schedule(1.0, 0.05, 250_000),
    )


def peers() -> dict[str, Any]:
    """Agents of Stable-Baselines3 with the same settings, networks included."""
    import stable_baselines3
    from stable_baselines3.common.env_util import make_vec_env
    from torch import nn as layers

    policy = {"net_arch": [64, 64], "activation_fn": layers.Tanh, "optimizer_kwargs": {"eps": 1e-5}}
    proximal = stable_baselines3.PPO(
        "MlpPolicy",
        make_vec_env("CartPole-v1", 4),
        learning_rate=2.5e-4,
        n_steps=128,
        batch_size=128,
        n_epochs=4,
        clip_range_vf=0.2,
        ent_coef=0.01,
        policy_kwargs=policy,
        device="cpu",
    )
    deep = stable_baselines3.DQN(
        "MlpPolicy",
        make_vec_env("CartPole-v1", 10),
        learning_rate=2.5e-4,
        buffer_size=10_000,
        learning_starts=0,
        batch_size=128,
        train_freq=1,
        target_update_interval=500,
        policy_kwargs={"net_arch": [120, 84]},
        device="cpu",
    )
    return {"PPO, stable-baselines3": proximal, "DQN, stable-baselines3": deep}


def agent_steps(agent: Any, steps: int) -> tuple[Run, float]:
    """An agent that acts and learns, and how long it took to compile."""
    step: Any = jax.jit(agent)
    state = agent.init(jax.random.key(0))
    if on_all_devices(agent):
        step = train.parallelize(agent, shard=rl.shard_seeds(agent.num_seeds))
        state = step.prepare(state)

    def run(count: int = max(1, steps // agent.units_per_step)) -> None:
        nonlocal state
        for _ in range(count):
            state, _ = step(state, None)
        jax.block_until_ready(state)

    start = time.perf_counter()
    run(1)
    seconds = time.perf_counter() - start
    run()
    return run, seconds


def on_all_devices(agent: Any) -> bool:
    """Whether there are several devices, and a seed for each."""
    return isinstance(agent, rl.Seeds) and agent.num_seeds == jax.device_count() > 1


def installed(package: str) -> bool:
    """Whether a peer is there to be measured."""
    return importlib.util.find_spec(package) is not None


def environments_table(settings: Settings) -> Table:
    """Steps per second of CartPole and Pong."""
    runs: dict[str, Run] = {}
    counts: dict[str, int] = {}
    for count in settings.num_envs:
        contenders: dict[str, Any] = {"jaxvision": rl.vectorize("CartPole-v1", count)}
        if installed("gymnax"):
            import gymnax

            environment, params = gymnax.make("CartPole-v1")
            contenders["gymnax"] = rl.vectorize(environment, count, params)
        for who, envs in contenders.items():
            name = f"CartPole x {count}, {who}"
            runs[name], counts[name] = random_steps(envs, settings.steps), settings.steps * count
    if installed("gymnasium"):
        name = "CartPole, gymnasium in Python"
        runs[name], counts[name] = python_loop(settings.steps), settings.steps
    pong = rl.FrameStack(rl.vectorize("Pong", settings.pong_envs), 4)
    frames = settings.pong_steps * settings.pong_envs
    runs["Pong 84x84x4, jaxvision"] = random_steps(pong, settings.pong_steps)
    if installed("ale_py"):
        runs["Pong 84x84x4, ale-py"] = atari_loop(settings)
    counts |= dict.fromkeys(("Pong 84x84x4, jaxvision", "Pong 84x84x4, ale-py"), frames)
    table = Table("environments", {"random actions": "", "steps/s": ",.0f"})
    for name, times in all_seconds(runs, settings.rounds).items():
        table.add(name, counts[name] / statistics.median(times))
    return table


def agents_table(settings: Settings) -> Table:
    """Environment steps per second of agents that learn."""
    agents: dict[str, Any] = {"PPO": ppo(), "DQN": dqn()}
    if settings.seeds > 1:
        agents[f"PPO, {settings.seeds} seeds"] = rl.Seeds(ppo(), settings.seeds)
    devices = jax.device_count()
    if devices > 1:
        for name, agent in (("PPO", ppo()), ("DQN", dqn())):
            agents[f"{name}, a seed on each of {devices} devices"] = rl.Seeds(agent, devices)
    runs: dict[str, Run] = {}
    counts: dict[str, int] = {}
    compiled: dict[str, float] = {}
    for name, agent in agents.items():
        runs[name], compiled[name] = agent_steps(agent, settings.agent_steps)
        seeds = agent.num_seeds if isinstance(agent, rl.Seeds) else 1
        steps = max(1, settings.agent_steps // agent.units_per_step) * agent.units_per_step
        counts[name] = seeds * steps
    if installed("stable_baselines3"):
        for name, peer in peers().items():
            runs[name] = functools.partial(peer.learn, settings.peer_steps)
            counts[name] = settings.peer_steps
    table = Table("agents", {"agents on CartPole": "", "steps/s": ",.0f", "compile s": ".1f"})
    for name, times in all_seconds(runs, settings.rounds).items():
        table.add(name, counts[name] / statistics.median(times), compiled.get(name))
    return table


def memory_table() -> Table:
    """Bytes of a replay of stacked frames."""
    capacity, size, num_envs = 100_000, 84, 8
    envs = rl.FrameStack(rl.vectorize("Pong", num_envs, size=size), 4)
    stream = rl.UniformReplay(capacity).stream(envs, num_frames=4, n_step=1, discount=0.99)
    seen = jnp.zeros((num_envs, *envs.observation_space.shape), jnp.uint8)
    held = sum(
        leaf.size * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(jax.eval_shape(stream.init, seen))
    )
    needed = capacity * (size * size + 4 + 4 + 2)  # frame, action, reward, flags
    columns = {"replay": "", "MiB": ",.0f", "of what its rows need": ".4f",
               "MiB with both stacks in every row": ",.0f"}  # fmt: skip
    table = Table("replay", columns)
    name = f"{capacity:,} steps of {size}x{size}"
    table.add(name, held / 2**20, held / needed, held * 8 / 2**20)
    return table


def main(settings: Settings) -> list[Table]:
    """Measures environments, agents, and what a memory of frames takes."""
    return [environments_table(settings), agents_table(settings), memory_table()]


if __name__ == "__main__":
    launch("rl", main, Settings, __doc__, PEERS)
