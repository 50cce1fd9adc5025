"""Trains a policy by proximal policy optimization (PPO), or by the simpler A2C.

    python experiments/ppo.py
    python experiments/ppo.py --run-dir runs/acrobot --environment Acrobot-v1 --seeds 0 1 2 3 4

The same command continues interrupted runs. The run folder has a folder for each seed, summary.json
and learning_curves.png.
"""

import dataclasses
from typing import Literal

from common import agents, script

from jaxvision import rl


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(agents.Settings):
    """Settings of a run of PPO."""

    run_dir: str = "runs/ppo"
    environment: str = "CartPole-v1"
    num_envs: int = 4

    algorithm: Literal["ppo", "a2c"] = "ppo"
    """Algorithm: ppo uses each rollout several times, a2c (advantage actor-critic) once."""
    num_steps: int = 128
    """Number of steps of each environment in a rollout."""
    epochs: int = 4
    """PPO: passes over each rollout."""
    minibatches: int = 4
    """PPO: number of minibatches in a pass over a rollout."""
    lambda_: float = 0.95
    """Lambda of generalized advantage estimation, in [0, 1]: 0 uses one-step errors of the critic
    (low variance), 1 sums of all rewards in the rollout (low bias)."""
    clip: float = 0.2
    """PPO: clipping range of the ratio of new to old probability of an action: 0.2 clips it to 0.8
    to 1.2."""
    value_clip: float | None = 0.2
    """PPO: clipping range of the change of the critic's value in an update, in units of the return;
    None does not clip."""
    entropy_weight: float = 0.01
    """Weight of the entropy bonus, which keeps the policy from becoming deterministic too early."""
    value_weight: float = 0.5
    """Weight of the critic's loss."""
    updates_per_step: int = 10
    """Number of rollouts, with their updates, that run in one compiled program."""

    def __post_init__(self) -> None:
        """Checks the values, so that wrong ones end the script before anything runs."""
        super().__post_init__()
        agents.check_counts(self, "num_steps", "epochs", "minibatches", "updates_per_step")


def make_agent(settings: Settings, envs: rl.VectorEnv) -> rl.Agent:
    """Makes the agent."""
    rollouts = settings.budget // (settings.num_steps * envs.num_envs)
    passes = settings.epochs * settings.minibatches if settings.algorithm == "ppo" else 1
    shared = {
        "envs": envs,
        "network": agents.make_actor_critic(settings, envs),
        "optimizer": agents.make_optimizer(settings, rollouts * passes),
        "num_steps": settings.num_steps,
        "discount": settings.discount,
        "lambda_": settings.lambda_,
        "entropy_weight": settings.entropy_weight,
        "value_weight": settings.value_weight,
        "updates_per_step": settings.updates_per_step,
    }
    if settings.algorithm == "a2c":
        return rl.A2C(**shared)
    return rl.PPO(
        **shared,
        epochs=settings.epochs,
        minibatches=settings.minibatches,
        clip=settings.clip,
        value_clip=settings.value_clip,
    )


def main(settings: Settings) -> agents.Outcome:
    """Trains every seed."""
    return agents.run(settings, make_agent)


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
