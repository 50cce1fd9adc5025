"""Lets a trained agent play an episode: prints the return, and writes it as a film and a strip.

    python experiments/play.py runs/ppo/seed0
    python experiments/play.py runs/pong/seed3 --episode-seed 7
    python experiments/play.py runs/both/together --seed 1

RUN_DIR is the folder of one seed of ppo.py, dqn.py, reinforce.py or qlearning.py, or of all seeds
that learned together. The pictures go into it, as episode.gif and episode.png.
"""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Annotated, Any

import agents
import dqn
import jax
import ppo
import qlearning
import reinforce
import script
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
    seed: int | None = None
    """Which of the seeds, where they learned together."""
    episode_seed: int = 0
    """Of what is random in the episode."""
    max_steps: int = 4_000
    """Steps to play at most."""
    frames_per_second: float = 30.0
    """How fast the film runs."""
    strip: int = 8
    """Images in the strip."""

    def __post_init__(self) -> None:
        """Says what is wrong before anything runs."""
        agents.check_positive(self, "max_steps", "frames_per_second", "strip")


def restore(settings: Settings) -> tuple[Any, rl.VectorEnv, Any, Any]:
    """The settings of a run, one environment of it, its agent, and what it learned."""
    folder = pathlib.Path(settings.run_dir)
    saved, task = _saved(folder)
    together = task == "seeds"
    if together:
        task = saved["step"]["agent"]["task"]
    if task not in SCRIPTS:
        raise SystemExit(f"{folder} is not the run of an agent: its task is {task}")
    maker = SCRIPTS[task]
    try:
        run = maker.Settings(**_tuples(saved["settings"]))
    except (KeyError, TypeError) as error:
        raise SystemExit(
            f"{folder} was not made by {maker.__name__}.py of this version: {error}"
        ) from None
    if not together and settings.seed is not None:
        raise SystemExit(f"{folder} holds one seed: name the folder of another, without --seed")
    if together and settings.seed is None:
        raise SystemExit(f"{folder} holds several: choose with --seed one of {_listed(run.seeds)}")
    if together and settings.seed not in run.seeds:
        raise SystemExit(f"{folder} has no seed {settings.seed}; it has {_listed(run.seeds)}")
    make_envs = getattr(maker, "make_envs", agents.make_envs)
    with script.checking():
        agent = maker.make_agent(run, make_envs(run, run.num_envs))
        envs = make_envs(run, 1, evaluated=True)
    params = _params(folder, settings.step)
    if together:
        index = run.seeds.index(settings.seed)
        params = jax.tree.map(lambda leaf: leaf[index], params)
    return run, envs, agent, params


def main(settings: Settings) -> float:
    """Plays, draws, and gives the return."""
    run, envs, agent, params = restore(settings)
    folder = pathlib.Path(settings.run_dir)
    key = jax.random.key(settings.episode_seed)

    def policy(observations: Any, key: Any) -> Any:
        del key
        return agent.act(params, observations)

    if not rl.can_be_drawn(envs):
        returns, lengths = jax.jit(lambda: rl.run_episodes(envs, policy, key))()
        print(f"{run.environment}: return {returns[0]:g} in {lengths[0]} steps, of which there "
              "are no pictures")  # fmt: skip
        return float(returns[0])
    film = rl.film(envs, policy, key, max_steps=settings.max_steps)
    rl.save_gif(film.frames, folder / "episode.gif", frames_per_second=settings.frames_per_second)
    rl.save_strip(film.frames, folder / "episode.png", count=settings.strip)
    cut = "" if film.ended else ", where it was cut by --max-steps"
    print(f"{run.environment}: return {film.episode_return:g} in {len(film.frames)} steps{cut}")
    print(f"{folder / 'episode.gif'}\n{folder / 'episode.png'}")
    return film.episode_return


def _saved(folder: pathlib.Path) -> tuple[Any, str]:
    """What settings.json says, and the task in it."""
    path = folder / "settings.json"
    if not path.is_file():
        inside = sorted(found.parent.name for found in folder.glob("*/settings.json"))
        hint = f"; it holds {', '.join(inside)}: name one of these" if inside else ""
        raise SystemExit(f"{folder} is not the folder of a run: it has no settings.json{hint}")
    try:
        saved = json.loads(path.read_text())
        return saved, saved["step"]["task"]
    except (json.JSONDecodeError, KeyError, TypeError):
        raise SystemExit(f"{path} is damaged, or not of a run") from None


def _params(folder: pathlib.Path, step: int | None) -> Any:
    """The parameters in a checkpoint."""
    checkpointer = train.Checkpointer(folder / "checkpoints")
    chosen = checkpointer.latest() if step is None else step
    there = checkpointer.steps()
    if chosen is None or chosen not in there:
        raise SystemExit(
            f"{folder} has no whole checkpoint{'' if step is None else f' of step {step}'}; it has "
            f"{_listed(there) or 'none'}"
        )
    unused = ("target_params", "opt_state", "environments", "observations", "position", "replay")
    return checkpointer.load(chosen, leave_out=unused)["params"]


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples that settings hold."""
    if isinstance(value, dict):
        return {name: _tuples(part) for name, part in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
