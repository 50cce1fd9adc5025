"""Code that the scripts of agents share: settings, environments, runs, learning curves."""

import ast
import dataclasses
import math
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from common import script
from common.seeds import Summary, in_brackets, over_seeds

import jax
import optax

from jaxvision import checks, plots, rl, train
from jaxvision.train.agents import TrainedAgent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of an agent's run."""

    run_dir: str
    """Folder to write to, with a folder for each seed. Runs that are already there are
    continued."""

    environment: str
    """Name of the environment: Acrobot-v1, CartPole-v1, Catch, MountainCar-v0 or Pong; gym:NAME for
    one of Gymnasium's, or ale:NAME for an Atari game."""
    environment_options: dict[str, str] = dataclasses.field(default_factory=dict)
    """Options of the environment, as NAME VALUE pairs, such as: size 40 opponent_skill 0.3."""
    num_envs: int = 8
    """Number of environments in which the agent acts at the same time."""
    frame_stack: int = 1
    """Number of successive frames in an observation; 1 shows the current frame alone."""
    budget: int = 500_000
    """Length of each seed's training: environment steps, summed over its environments; for agents
    that learn from whole episodes (REINFORCE, Monte Carlo), episodes."""

    seeds: tuple[int, ...] = (0,)
    """Random seeds, one run for each. A seed determines the initial parameters, the environments
    and every other random draw."""
    together: bool = False
    """Train all seeds at once in one program, in the folder `together`. Only for environments
    written in JAX."""
    learning_rate: float = 2.5e-4
    """Learning rate at the beginning of the training."""
    anneal: bool = True
    """Let the learning rate fall linearly to 0 by the end of the training."""
    clip_norm: float | None = 0.5
    """Maximal global norm of the gradient, which is scaled down to it; None does not clip."""
    discount: float = 0.99
    """Discount factor of future rewards per step, in [0, 1]."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers, for networks without convolutions."""
    conv_layers: tuple[tuple[int, int, int], ...] | None = None
    """Channels, kernel size and stride of each convolution, three numbers per layer: 32 8 4 64 4 2.
    None takes DQN's convolutions for images of at least 36x36 pixels, and no convolutions for other
    observations."""
    conv_hidden_size: int = 512
    """Width of the hidden layer after the convolutions."""

    eval_episodes: int = 100
    """Number of episodes in an evaluation, at least 2. The agent acts greedily in them."""
    eval_every: int | None = None
    """Interval between evaluations, in the unit of --budget; None evaluates ten times."""
    checkpoint_every: int | None = None
    """Interval between checkpoints, in the unit of --budget; None saves at each evaluation."""
    figures: bool = True
    """Draw learning curves at the end (needs matplotlib)."""

    def __post_init__(self) -> None:
        """Checks the values, so that wrong ones end the script before anything runs."""
        check_counts(self, "num_envs", "frame_stack", "budget", "eval_every", "checkpoint_every")
        if self.eval_episodes < 2:
            raise SystemExit(
                f"eval_episodes must be at least 2, for an interval, got {self.eval_episodes}"
            )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise SystemExit(f"seeds must be one or more, and differ, got {self.seeds}")
        check_positive(self, "learning_rate", "clip_norm")
        check_shares(self, "discount")
        if self.together and not self.in_jax:
            raise SystemExit("seeds run together in environments written in JAX only")

    def algorithm_of(self, agent: Any) -> str:
        """The name of the agent's algorithm, for titles."""
        return type(agent).__name__

    @property
    def in_jax(self) -> bool:
        """Whether the environments are written in JAX, rather than taken from another library."""
        return ":" not in self.environment


def check_counts(settings: Any, *names: str) -> None:
    """Ends the script if one of these settings is given and below 1."""
    _check_each(checks.check_count, settings, names)


def check_positive(settings: Any, *names: str) -> None:
    """Ends the script if one of these settings is given and not positive."""
    _check_each(checks.check_positive, settings, names)


def check_shares(settings: Any, *names: str) -> None:
    """Ends the script if one of these settings is given and not in [0, 1]."""
    _check_each(checks.check_share, settings, names)


def _check_each(check: Callable[[str, Any], None], settings: Any, names: Sequence[str]) -> None:
    for name in names:
        value = getattr(settings, name)
        if value is not None:
            with script.checking():
                check(name, value)


MAY_DIFFER = ("run_dir", "eval_every", "eval_episodes", "checkpoint_every", "figures")
"""Settings that may change when a run is continued. So may `seeds`, if each has its own folder."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Results of an experiment.

    Attributes:
        returns: Mean return of each seed's last evaluation.
        histories: The logged lines of each seed's run, with `step` in units of the budget.
    """

    returns: list[float]
    histories: list[list[dict[str, Any]]]


def one_of(agent: TrainedAgent, seed: int | None, option: str) -> TrainedAgent:
    """The agent of a run; of several seeds that were trained together, the one chosen by an option.

    A choice that is missing, or of a seed that the run does not have, ends the script.
    """
    folder = agent.run.folder
    if agent.num_seeds is None:
        if seed is not None:
            raise SystemExit(
                f"{folder} has one seed only: leave out {option}, or name another folder"
            )
        return agent
    seeds = agent.record.settings.get("seeds") or list(range(agent.num_seeds))
    listed = ", ".join(map(str, seeds))
    if seed is None:
        raise SystemExit(f"{folder} has several seeds: choose with {option} one of {listed}")
    if seed not in seeds:
        raise SystemExit(f"{folder} has no seed {seed}; it has {listed}")
    return agent.seed(seeds.index(seed))


LIBRARIES = {"": "jaxvision", "gym": "gymnasium", "ale": "atari"}
"""Libraries of environments, by the prefix before the colon of an environment's name."""


def make_envs(settings: Settings, num_envs: int, *, evaluated: bool = False) -> rl.VectorEnv:
    """Makes the environments; for evaluations, with rewards that are not clipped."""
    library, _, name = settings.environment.rpartition(":")
    if library not in LIBRARIES:
        raise SystemExit(f"unknown kind of environment {library!r}; use NAME, gym:NAME or ale:NAME")
    description = {
        "library": LIBRARIES[library],
        "name": name,
        "options": {key: _literal(text) for key, text in settings.environment_options.items()},
        "frame_stack": settings.frame_stack,
    }
    return rl.make_environments(description, num_envs, whole_rewards=evaluated)


def num_actions(envs: rl.VectorEnv) -> int:
    """The number of discrete actions."""
    space = envs.action_space
    if not isinstance(space, rl.Discrete):
        raise SystemExit(f"actions must be discrete; those of these environments are {space}")
    return space.n


def make_torso(settings: Settings, space: Any, **options: Any) -> Any:
    """Makes the network of observations: convolutions for images, hidden layers for the rest."""
    return rl.make_torso(
        space,
        hidden_sizes=settings.hidden_sizes,
        conv_layers=settings.conv_layers,
        conv_hidden_size=settings.conv_hidden_size,
        **options,
    )


def make_actor_critic(settings: Settings, envs: rl.VectorEnv) -> rl.ActorCritic:
    """Makes the network of a policy and its critic."""
    space = envs.observation_space
    actor = make_torso(settings, space)
    # Small networks learn better separately; convolutions are too costly to have twice.
    critic = make_torso(settings, space) if isinstance(actor, rl.MLP) else None
    return rl.ActorCritic(space, num_actions(envs), actor, critic)


def make_optimizer(settings: Settings, updates: int) -> optax.GradientTransformation:
    """Makes Adam, with clipping, for a number of updates."""
    rate: Any = settings.learning_rate
    if settings.anneal:
        rate = optax.linear_schedule(settings.learning_rate, 0.0, max(1, updates))
    clip = [] if settings.clip_norm is None else [optax.clip_by_global_norm(settings.clip_norm)]
    return optax.chain(*clip, optax.adam(rate, eps=1e-5))


MakeAgent = Callable[[Any, rl.VectorEnv], Any]
MakeEnvs = Callable[..., rl.VectorEnv]


def begin(settings: Settings) -> None:
    """Starts JAX, and checks that matplotlib is installed if figures are to be drawn."""
    train.start()
    if settings.figures:
        with script.checking():
            plots.require_matplotlib()


def run(
    settings: Settings,
    make_agent: MakeAgent,
    make_envs: MakeEnvs = make_envs,
    also: Callable[[], Sequence[pathlib.Path]] = list,
) -> Outcome:
    """Trains every seed; writes a folder for each, a summary and learning curves.

    `also` is called at the end, and returns the paths of further figures.
    """
    begin(settings)
    folder = pathlib.Path(settings.run_dir)
    with script.checking():
        evaluated = make_envs(settings, settings.eval_episodes, evaluated=True)
        agent = make_agent(settings, make_envs(settings, settings.num_envs))
    _check_budget(settings, agent)
    histories: list[list[dict[str, Any]]] = []
    if settings.together:
        began = time.perf_counter()
        seeds = rl.Seeds(agent, len(settings.seeds))
        state = seeds.init_each(jax.numpy.stack([jax.random.key(seed) for seed in settings.seeds]))
        histories += rl.split_history(_fit(settings, seeds, state, evaluated, "together"))
        seconds = (time.perf_counter() - began) / len(settings.seeds)
        rows = [_last(lines) for lines in histories]
        scores = {name: [row[name] for row in rows] for name in rows[0]}
        summary = Summary(settings.seeds, scores, [seconds] * len(rows))
    else:

        def train_one(seed: int) -> dict[str, float]:
            state = agent.init(jax.random.key(seed))
            histories.append(_fit(settings, agent, state, evaluated, f"seed{seed}"))
            return _last(histories[-1])

        summary = over_seeds(settings.seeds, train_one, settings.run_dir)
    summary.save(folder, settings)
    _print(settings, summary)
    if settings.figures:
        figure = plots.learning_curves_by_seed(
            [_of_interest(lines) for lines in histories],
            title=f"{settings.algorithm_of(agent)} on {settings.environment}",
            x=agent.unit,
        )
        plots.save(figure, folder / "learning_curves.png")
    figures = [folder / "learning_curves.png"] if settings.figures else []
    first = settings.seeds[0]
    one = ("together", "--seed", first) if settings.together else (f"seed{first}",)
    script.ending([*figures, *also()], "play", folder / one[0], *one[1:])
    return Outcome(list(summary.scores["return"]), histories)


def _check_budget(settings: Settings, agent: Any) -> None:
    """Ends the script if the budget is less than one step; says what whole steps leave out."""
    unit, each, before = agent.unit, agent.units_per_step, agent.units_before
    fewer = "; --updates-per-step makes it shorter" if hasattr(settings, "updates_per_step") else ""
    if settings.budget < before + each:
        first = f", after {before:,} before the first update" if before else ""
        raise SystemExit(
            f"--budget must be at least {before + each:,} {unit}, got {settings.budget:,}: a "
            f"program takes {each:,}{first}{fewer}"
        )
    if left := (settings.budget - before) % each:
        print(
            f"{left:,} of {settings.budget:,} {unit} are left out: a program takes {each:,}{fewer}"
        )


def _fit(
    settings: Settings, agent: Any, state: Any, evaluated: rl.VectorEnv, name: str
) -> list[dict[str, Any]]:
    def steps(units: int) -> int:
        return max(1, units // agent.units_per_step)

    result = train.fit(
        _over_devices(settings, agent),
        state,
        None,
        num_steps=steps(settings.budget - agent.units_before),
        evaluate=rl.make_eval_fn(agent, evaluated),
        eval_every=settings.eval_every and steps(settings.eval_every),
        checkpoint_every=settings.checkpoint_every and steps(settings.checkpoint_every),
        run_dir=pathlib.Path(settings.run_dir) / name,
        settings=settings,
        settings_may_differ=MAY_DIFFER if settings.together else (*MAY_DIFFER, "seeds"),
    )
    return [
        {**line, "step": agent.units_before + line["step"] * agent.units_per_step}
        for line in result.history
    ]


def _over_devices(settings: Settings, agent: Any) -> train.ParallelStep:
    """The agent on as many devices as divide its environments, or its seeds, evenly."""
    rows = len(settings.seeds) if settings.together else settings.num_envs
    count = math.gcd(rows, jax.device_count())
    if not settings.in_jax:
        count = 1  # environments of other libraries run on the host
    rule = rl.shard_seeds(rows) if settings.together else rl.shard_environments(rows)
    return train.parallelize(agent, train.data_mesh(jax.devices()[:count]), shard=rule)


def _last(history: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The last evaluation, as `return`, `return_low` and `return_high`."""
    (*_, line) = (line for line in history if line["split"] == "evaluation")
    return {name: line[name] for name in ("return", "return_low", "return_high")}


def _print(settings: Settings, summary: Summary) -> None:
    """Prints the mean return of each seed, and their mean with an interval."""
    for seed, *row in zip(summary.seeds, *summary.scores.values(), strict=True):
        ends = in_brackets((row[1], row[2]))
        rest = f"95% interval {ends}" if ends else "all alike"
        print(f"seed {seed}: mean return {row[0]:.2f} of {settings.eval_episodes} episodes, {rest}")
    if interval := summary.interval("return"):
        ends = in_brackets(interval)
        rest = f"95% interval {ends}" if ends else "all alike"
        print(
            f"{settings.run_dir}: mean over {len(summary.seeds)} seeds "
            f"{summary.mean('return'):.2f}, {rest}"
        )


def _of_interest(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The returns of evaluations and of training episodes, for learning curves."""
    names = {"train": "episode_return", "evaluation": "return"}
    return [
        {"step": line["step"], "split": line["split"], "return": line[names[line["split"]]]}
        for line in history
        if line.get(names[line["split"]]) is not None
    ]


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
