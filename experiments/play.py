"""Lets a trained agent play an episode: prints the return, and writes it as a film and a strip.

    python experiments/play.py runs/ppo/seed0
    python experiments/play.py runs/pong/seed3 --episode-seed 7

RUN_DIR is the folder of one seed of ppo.py, dqn.py, reinforce.py or qlearning.py. The pictures go
into it, as episode.gif and episode.png.
"""

import dataclasses
import json
import pathlib
from typing import Annotated, Any

import agents
import dqn
import jax
import ppo
import qlearning
import reinforce
import tyro

from jaxvision import rl, train

SCRIPTS: dict[str, Any] = {
    "a2c": ppo,
    "ppo": ppo,
    "dqn": dqn,
    "pqn": dqn,
    "reinforce": reinforce,
    "temporaldifference": qlearning,
    "montecarlo": qlearning,
}
"""The script of each kind of agent."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of an episode."""

    run_dir: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN_DIR")]
    """The folder that the training left."""
    step: int | None = None
    """Which checkpoint; None takes the newest."""
    episode_seed: int = 0
    """Of what is random in the episode."""
    max_steps: int = 2_000
    """Steps to show at most."""
    frames_per_second: float = 30.0
    """How fast the film runs."""
    strip: int = 8
    """Images in the strip."""


def restore(run_dir: str, step: int | None) -> tuple[Any, rl.VectorEnv, Any, Any]:
    """The settings of a run, one environment of it, its agent, and what it learned."""
    folder = pathlib.Path(run_dir)
    path = folder / "settings.json"
    if not path.is_file():
        inside = sorted(found.parent.name for found in folder.glob("*/settings.json"))
        hint = f"; it holds {', '.join(inside)}: name one of these" if inside else ""
        raise SystemExit(f"{folder} is not the folder of a run: it has no settings.json{hint}")
    try:
        saved = json.loads(path.read_text())
        task = saved["step"]["task"]
    except (json.JSONDecodeError, KeyError, TypeError):
        raise SystemExit(f"{path} is damaged, or not of a run") from None
    if task not in SCRIPTS:
        raise SystemExit(f"{folder} is not the run of one agent: its task is {task}")
    script = SCRIPTS[task]
    try:
        settings = script.Settings(**_tuples(saved["settings"]))
    except (KeyError, TypeError) as error:
        raise SystemExit(
            f"{folder} was not made by {script.__name__}.py of this version: {error}"
        ) from None
    make_envs = getattr(script, "make_envs", agents.make_envs)
    agent = script.make_agent(settings, make_envs(settings, settings.num_envs))
    checkpointer = train.Checkpointer(folder / "checkpoints")
    chosen = checkpointer.latest() if step is None else step
    there = checkpointer.steps()
    if chosen is None or chosen not in there:
        raise SystemExit(
            f"{folder} has no whole checkpoint{'' if step is None else f' of step {step}'}; it has "
            f"{', '.join(map(str, there)) or 'none'}"
        )
    unused = ("target_params", "opt_state", "environments", "observations", "position", "replay")
    return (
        settings,
        make_envs(settings, 1),
        agent,
        checkpointer.load(chosen, leave_out=unused)["params"],
    )


def main(settings: Settings) -> float:
    """Plays, draws, and gives the return."""
    run, envs, agent, params = restore(settings.run_dir, settings.step)
    folder = pathlib.Path(settings.run_dir)
    try:
        frames, total = rl.film(
            envs,
            lambda observations, key: agent.act(params, observations),
            jax.random.key(settings.episode_seed),
            max_steps=settings.max_steps,
        )
        rl.save_gif(frames, folder / "episode.gif", frames_per_second=settings.frames_per_second)
        rl.save_strip(frames, folder / "episode.png", count=settings.strip)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    print(f"{run.environment}: return {total:g} in {len(frames)} steps")
    print(f"{folder / 'episode.gif'}\n{folder / 'episode.png'}")
    return total


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples that settings hold."""
    if isinstance(value, dict):
        return {name: _tuples(part) for name, part in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
