"""Lets a trained agent play an episode; prints its return, and writes it as an animation.

    python experiments/play.py runs/ppo/seed0
    python experiments/play.py runs/pong/seed3 --episode-seed 7
    python experiments/play.py runs/both/together --seed 1

RUN_DIR is the folder of one seed of ppo.py, dqn.py, reinforce.py or qlearning.py, or the folder
together of several seeds that were trained with --together. The script writes episode.gif, the
animation, and episode.png, a strip of some frames, into this folder.
"""

import dataclasses
import pathlib
from typing import Annotated

from common import agents, script

import tyro

from jaxvision import plots, train
from jaxvision.train.agents import TrainedAgent


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of an episode."""

    run_dir: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN_DIR")]
    """Folder of a run, which a training script has written."""
    step: int | None = None
    """Step of the checkpoint to use; None takes the newest checkpoint."""
    seed: int | None = None
    """Which seed to play, if RUN_DIR has several seeds that were trained with --together."""
    episode_seed: int = 0
    """Random seed of the episode."""
    max_steps: int = 4_000
    """Maximal number of steps."""
    frames_per_second: float = 30.0
    """Speed of the animation, in frames per second."""
    strip: int = 8
    """Number of frames in the strip."""

    def __post_init__(self) -> None:
        """Checks the values, so that wrong ones end the script before anything runs."""
        agents.check_positive(self, "max_steps", "frames_per_second", "strip")


def restore(settings: Settings) -> TrainedAgent:
    """Restores the agent of a run; of several seeds, the chosen one."""
    folder = pathlib.Path(settings.run_dir).expanduser()
    if not (folder / "checkpoints").is_dir():
        inside = sorted(found.parent.name for found in folder.glob("*/checkpoints"))
        hint = f"; the runs in it are {', '.join(inside)}: name one of them" if inside else ""
        raise SystemExit(f"{folder} is not the folder of a run: it has no checkpoints/{hint}")
    agent = train.restore(folder, step=settings.step)
    if not isinstance(agent, TrainedAgent):
        raise SystemExit(f"{folder} is not the run of an agent: its task is {agent.record.task}")
    return agents.one_of(agent, settings.seed, "--seed")


def main(settings: Settings) -> float:
    """Plays an episode, writes the animation, and returns the return."""
    agent = restore(settings)
    folder = pathlib.Path(settings.run_dir).expanduser()
    film = agent.film(seed=settings.episode_seed, max_steps=settings.max_steps)
    if film is None:
        episodes = agent.predict(batch_size=1)
        print(
            f"{agent.environment}: return {episodes.returns[0]:g} in {episodes.lengths[0]} steps; "
            "this environment cannot be drawn"
        )
        return float(episodes.returns[0])
    plots.save_gif(
        film.frames, folder / "episode.gif", frames_per_second=settings.frames_per_second
    )
    steps = len(film.frames) - 1
    played = f"{agent.environment}: return {film.episode_return:g} in {steps} steps"
    plots.save_strip(film.frames, folder / "episode.png", count=settings.strip, caption=played)
    print(played + ("" if film.ended else ", where it was cut by --max-steps"))
    print(f"{folder / 'episode.gif'}\n{folder / 'episode.png'}")
    return film.episode_return


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
