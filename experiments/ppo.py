"""Trains a policy by proximal policy optimization, or by its simpler ancestor A2C.

    python experiments/ppo.py
    python experiments/ppo.py --run-dir runs/acrobot --environment Acrobot-v1 --seeds 0 1 2 3 4

Started again with the same command, a run that was cut off goes on where it was. The run folder
holds a folder for each seed, summary.json and learning_curves.png.
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
    """Whether a rollout is used several times, or once."""
    num_steps: int = 128
    """Steps of each environment in a rollout."""
    epochs: int = 4
    """How often an update goes through a rollout."""
    minibatches: int = 4
    """In how many parts."""
    lambda_: float = 0.95
    """How much longer sums of rewards count in advantages."""
    clip: float = 0.2
    """How far the probability of an action may move in an update, as a share of what it was."""
    value_clip: float | None = 0.2
    """How far the critic may move in an update, in units of the return; None lets it."""
    entropy_weight: float = 0.01
    """What keeps the policy from settling early."""
    value_weight: float = 0.5
    """The weight of the critic's loss."""
    updates_per_step: int = 10
    """Rollouts in one program."""

    def __post_init__(self) -> None:
        """Says what is wrong before anything runs."""
        super().__post_init__()
        agents.check_counts(self, "num_steps", "epochs", "minibatches", "updates_per_step")


def make_agent(settings: Settings, envs: rl.VectorEnv) -> rl.Agent:
    """The agent that the settings describe."""
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
