"""Trains so many seeds in one program, of so many updates: `many_seeds.py SEEDS UPDATES`."""

import sys

import jax
import optax

from jaxvision import rl

if __name__ == "__main__":
    seeds, updates = map(int, sys.argv[1:])
    envs = rl.vectorize("CartPole-v1", 4)
    network = rl.ActorCritic(envs.observation_space, 2, rl.MLP(), rl.MLP())
    agent = rl.PPO(
        envs=envs, network=network, optimizer=optax.adam(2.5e-4), updates_per_step=updates
    )
    many = rl.Seeds(agent, seeds)
    init = jax.jit(many.init)
    for seed in range(200):
        state = jax.block_until_ready(init(jax.random.key(seed)))
    step = jax.jit(many, donate_argnums=0)
    for _ in range(2):
        state, metrics = step(state)
    print(seeds, float(metrics["loss/seed0"][1]))
