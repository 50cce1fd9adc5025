"""Learns a grid world by tabular reinforcement learning, and compares with dynamic programming.

    python experiments/qlearning.py
    python experiments/qlearning.py --method monte_carlo --slip 0.2
    python experiments/qlearning.py --map path/to/map.txt

A map is text with a character per cell: `.` free, `#` wall, `S` start of the episodes, `T` goal,
`X` trap, which ends an episode with --bad-reward. The run folder has a folder for each seed with
values.png, and best.png, random.png, summary.json and learning_curves.png. best.png and random.png
show the exact values of the optimal policy and of the random policy.
"""

import dataclasses
import pathlib
from typing import Any, Literal

from common import agents, script

import numpy as np
from jax.typing import ArrayLike

from jaxvision import plots, rl, train
from jaxvision.rl import tabular

MAP = "S..#...T\n.#.#.#..\n.#...#X.\n...#....\n"

METHODS = {
    "q_learning": "Q-learning",
    "sarsa": "SARSA",
    "expected_sarsa": "expected SARSA",
    "monte_carlo": "Monte Carlo control",
}
"""Names of the algorithms in titles."""

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
"""Settings of agents that a table does not have."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(agents.Settings):
    """Settings of a run on a grid world."""

    run_dir: str = "runs/qlearning"
    environment: str = "GridWorld"
    num_envs: int = 1
    budget: int = 100_000
    learning_rate: float = 0.1
    """Step size of an update of the table, in (0, 1]; it is constant."""
    clip_norm: float | None = None
    discount: float = 0.95
    hidden_sizes: tuple[int, ...] = ()

    map: str | None = None
    """File with the map; or the map itself, with a line break after each row. None takes a built-in
    map of 4 x 8 cells. The run folder keeps the map itself."""
    slip: float = 0.1
    """Probability that a move goes sideways instead, equally often to either side; in [0, 1]."""
    step_reward: float = -1.0
    """Reward of every action."""
    bad_reward: float = -20.0
    """Additional reward of entering a trap (X)."""
    method: Literal["q_learning", "sarsa", "expected_sarsa", "monte_carlo"] = "q_learning"
    """Algorithm: Q-learning, SARSA, expected SARSA, or Monte Carlo control."""
    exploration: float = 0.1
    """Probability of a random action, in [0, 1]."""

    def __post_init__(self) -> None:
        """Checks the values, so that wrong ones end the script before anything runs."""
        super().__post_init__()
        agents.check_shares(self, "slip", "learning_rate", "exploration")
        for field in dataclasses.fields(self):
            usual = {} if field.name == "environment_options" else field.default
            if field.name in OF_OTHERS and getattr(self, field.name) != usual:
                raise SystemExit(
                    "this script learns a table for one grid world, without a network: leave "
                    f"{field.name} alone; --map names another world"
                )

    def algorithm_of(self, agent: Any) -> str:
        """The name of the agent's algorithm, for titles."""
        return METHODS[self.method]


def with_map(settings: Settings) -> Settings:
    """Replaces the name of a map's file by the map."""
    text = MAP if settings.map is None else settings.map
    if "\n" not in text:
        path = pathlib.Path(text)
        if not path.is_file():
            raise SystemExit(f"there is no map file {text}")
        text = path.read_text().strip("\n") + "\n"
    return dataclasses.replace(settings, map=text)


def make_world(settings: Settings) -> rl.environments.GridWorld:
    """Makes the grid world of the map."""
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
    """Makes a number of copies of the world."""
    del evaluated
    return rl.vectorize(make_world(settings), num_envs)


def make_agent(settings: Settings, envs: rl.VectorEnv) -> Any:
    """Makes the agent."""
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
        terminal=tabular.on_map(world, np.asarray(world.tables.terminal, float), 0.0) > 0,
        traps=np.array(
            [[world.terminals.get(each, 0.0) < 0 for each in row] for row in world.lines]
        ),
        title=title,
    )
    plots.save(figure, pathlib.Path(settings.run_dir) / name)


def solve(settings: Settings) -> float:
    """Draws the results of dynamic programming; returns the optimal value of the first cell."""
    mdp = tabular.gridworld_mdp(make_world(settings))
    best = tabular.value_iteration(mdp, settings.discount)
    if settings.figures:
        at_random = tabular.uniform_policy(mdp)
        values = tabular.evaluate_policy(mdp, at_random, settings.discount).values
        draw(settings, "random.png", "GridWorld: values of the random policy", values, at_random)
        draw(settings, "best.png", "GridWorld: optimal values and policy", best.values, best.policy)
    return float(best.values[0])


def main(settings: Settings) -> agents.Outcome:
    """Trains every seed, and compares with the optimal values."""
    settings = with_map(settings)
    return agents.run(settings, make_agent, make_envs, lambda: compare(settings))


def compare(settings: Settings) -> list[pathlib.Path]:
    """Prints and draws what each seed learned; returns the paths of the figures."""
    best = solve(settings)
    for seed in settings.seeds:
        folder = pathlib.Path(settings.run_dir) / f"seed{seed}"
        checkpointer = train.Checkpointer(folder / "checkpoints")
        table = np.asarray(checkpointer.load(checkpointer.latest() or 0)["params"])
        if settings.figures:
            title = f"GridWorld: values and policy by {METHODS[settings.method]}, seed {seed}"
            choice = np.eye(table.shape[1])[table.argmax(1)]
            draw(settings, f"seed{seed}/values.png", title, table.max(1), choice)
        print(f"seed {seed}: value of the first cell {table[0].max():.2f}, optimal is {best:.2f}")
    print(f"values are discounted, by {settings.discount:g} per step; mean returns are not")
    names = ["random", "best", *(f"seed{seed}/values" for seed in settings.seeds)]
    return [pathlib.Path(settings.run_dir, f"{name}.png") for name in names if settings.figures]


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
