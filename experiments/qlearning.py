"""Learns a grid world from experience, and compares with what dynamic programming says of it.

    python experiments/qlearning.py
    python experiments/qlearning.py --method monte_carlo --slip 0.2
    python experiments/qlearning.py --map path/to/map.txt

A map is text: `.` free, `#` wall, `S` where episodes begin, `T` where they end, `X` where they end
badly. The run folder holds a folder for each seed, with values.png; and best.png, random.png,
summary.json and learning_curves.png.
"""

import dataclasses
import pathlib
from typing import Any, Literal

import numpy as np
from common import agents, script
from jax.typing import ArrayLike

from jaxvision import plots, rl, train
from jaxvision.rl import tabular

MAP = "S..#...T\n.#.#.#..\n.#...#X.\n...#....\n"

OF_OTHERS = (
    "environment",
    "environment_options",
    "num_envs",
    "frame_stack",
    "together",
    "anneal",
    "clip_norm",
    "hidden_sizes",
    "conv_layers",
    "conv_hidden_size",
)
"""Settings of agents that mean nothing to a table."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(agents.Settings):
    """Settings of a run on a grid world."""

    run_dir: str = "runs/qlearning"
    environment: str = "GridWorld"
    num_envs: int = 1
    budget: int = 100_000
    learning_rate: float = 0.1
    clip_norm: float | None = None
    discount: float = 0.95
    hidden_sizes: tuple[int, ...] = ()

    map: str | None = None
    """A file with a map, or the map itself, with a line break after each row; None takes one of 27
    cells. The run folder keeps the map itself."""
    slip: float = 0.1
    """The probability that a move goes to one of the sides instead."""
    step_reward: float = -1.0
    """What every action brings."""
    bad_reward: float = -20.0
    """What entering an X brings besides."""
    method: Literal["q_learning", "sarsa", "expected_sarsa", "monte_carlo"] = "q_learning"
    """How to learn."""
    exploration: float = 0.1
    """The probability of an action at random."""

    def __post_init__(self) -> None:
        """Says what is wrong before anything runs."""
        super().__post_init__()
        agents.check_shares(self, "slip", "learning_rate", "exploration")
        for field in dataclasses.fields(self):
            usual = {} if field.name == "environment_options" else field.default
            if field.name in OF_OTHERS and getattr(self, field.name) != usual:
                raise SystemExit(
                    "a table is learned of one grid world, seed after seed, and has no network: "
                    f"leave {field.name} alone; --map names another world"
                )


def with_map(settings: Settings) -> Settings:
    """The same settings, with the map in place of the name of its file."""
    text = MAP if settings.map is None else settings.map
    if "\n" not in text:
        path = pathlib.Path(text)
        if not path.is_file():
            raise SystemExit(f"there is no map {text}")
        text = path.read_text().strip("\n") + "\n"
    return dataclasses.replace(settings, map=text)


def make_world(settings: Settings) -> rl.environments.GridWorld:
    """The world of the map."""
    world, _ = rl.make(
        "GridWorld",
        map=settings.map or MAP,
        terminals={"T": 0.0, "X": settings.bad_reward},
        step_reward=settings.step_reward,
        slip=settings.slip,
    )
    assert isinstance(world, rl.environments.GridWorld)
    return world


def make_envs(settings: Settings, num_envs: int, *, evaluated: bool = False) -> rl.VectorEnv:
    """So many copies of the world."""
    del evaluated
    return rl.vectorize(make_world(settings), num_envs)


def make_agent(settings: Settings, envs: rl.VectorEnv) -> Any:
    """The agent that the settings describe."""
    shared: dict[str, Any] = {
        "environment": make_world(settings),
        "discount": settings.discount,
        "learning_rate": settings.learning_rate,
        "exploration": settings.exploration,
    }
    if settings.method == "monte_carlo":
        return tabular.MonteCarlo(**shared)
    return tabular.TemporalDifference(method=settings.method, **shared)


def draw(settings: Settings, name: str, title: str, values: ArrayLike, policy: ArrayLike) -> None:
    """Draws values and a policy on the map."""
    world = make_world(settings)
    figure = plots.gridworld(
        tabular.on_map(world, np.asarray(values)),
        tabular.on_map(world, np.asarray(policy), 0.0),
        terminal=tabular.on_map(world, world.tables.terminal, 0.0) > 0,
        traps=np.array(
            [[world.terminals.get(each, 0.0) < 0 for each in row] for row in world.lines]
        ),
        title=title,
    )
    plots.save(figure, pathlib.Path(settings.run_dir) / name)


def solve(settings: Settings) -> float:
    """Draws what dynamic programming says; gives the best value of the first cell."""
    mdp = tabular.gridworld_mdp(make_world(settings))
    best = tabular.value_iteration(mdp, settings.discount)
    if settings.figures:
        at_random = tabular.uniform_policy(mdp)
        values = tabular.evaluate_policy(mdp, at_random, settings.discount).values
        draw(settings, "random.png", "the random policy", values, at_random)
        draw(settings, "best.png", "the best policy", best.values, best.policy)
    return float(best.values[0])


def main(settings: Settings) -> agents.Outcome:
    """Trains every seed, and compares."""
    settings = with_map(settings)
    outcome = agents.run(settings, make_agent, make_envs)
    best = solve(settings)
    for seed in settings.seeds:
        folder = pathlib.Path(settings.run_dir) / f"seed{seed}"
        checkpointer = train.Checkpointer(folder / "checkpoints")
        table = np.asarray(checkpointer.load(checkpointer.latest() or 0)["params"])
        if settings.figures:
            title = f"{settings.method.replace('_', ' ')}, seed {seed}"
            choice = np.eye(table.shape[1])[table.argmax(1)]
            draw(settings, f"seed{seed}/values.png", title, table.max(1), choice)
        print(f"seed {seed}: value of the first cell {table[0].max():.2f}, the best is {best:.2f}")
    return outcome


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
