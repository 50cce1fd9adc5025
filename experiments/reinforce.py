"""Trains a policy by REINFORCE, and shows where the noise of its gradient comes from.

    python experiments/reinforce.py
    python experiments/reinforce.py --baseline none --no-reward-to-go
    python experiments/reinforce.py --variance

Started again with the same command, a run that was cut off goes on where it was. The run folder
holds a folder for each seed, summary.json and learning_curves.png; with --variance, also
variance.png and variance.json.
"""

import dataclasses
from typing import Literal

import agents
import tyro

from jaxvision import rl


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(agents.Settings):
    """Settings of a run of REINFORCE."""

    run_dir: str = "runs/reinforce"
    environment: str = "CartPole-v1"
    num_envs: int = 8
    budget: int = 1_600
    learning_rate: float = 3e-3
    clip_norm: float | None = 1.0

    baseline: Literal["none", "constant", "learned"] = "learned"
    """What returns are compared with."""
    reward_to_go: bool = True
    """Whether actions answer only for what follows them."""
    max_steps: int = 500
    """The longest episode."""
    entropy_weight: float = 0.0
    """What keeps the policy from settling early."""
    value_weight: float = 0.5
    """The weight of the critic's loss."""
    updates_per_step: int = 10
    """Updates in one program, of an episode in each environment."""


def make_agent(settings: Settings, envs: rl.VectorEnv) -> rl.Reinforce:
    """The agent that the settings describe."""
    space = envs.observation_space
    torso = agents.make_torso(settings, space)
    network = rl.ActorCritic(
        space,
        agents.num_actions(envs),
        torso,
        agents.make_torso(settings, space) if isinstance(torso, rl.MLP) else None,
    )
    return rl.Reinforce(
        envs=envs,
        network=network,
        optimizer=agents.make_optimizer(settings, settings.budget // envs.num_envs),
        discount=settings.discount,
        max_steps=settings.max_steps,
        baseline=settings.baseline,
        reward_to_go=settings.reward_to_go,
        entropy_weight=settings.entropy_weight,
        value_weight=settings.value_weight,
        updates_per_step=settings.updates_per_step,
    )


def main(settings: Settings) -> agents.Outcome:
    """Trains every seed."""
    return agents.run(settings, make_agent)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
