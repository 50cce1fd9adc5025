"""What experiments with agents share: environments, seeds, the run, and its curves."""

import ast
import dataclasses
import math
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import optax

from common import script
from common.seeds import Summary, over_seeds
from jaxvision import checks, plots, rl, train


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of an agent's run."""

    run_dir: str
    """Where everything goes, a folder for each seed; a run that is there already is continued."""

    environment: str
    """An environment of jaxvision (rl.list_environments()); or one of Gymnasium as gym:NAME, and of
    Atari as ale:NAME."""
    environment_options: dict[str, str] = dataclasses.field(default_factory=dict)
    """The environment's own options, as NAME VALUE pairs: size 40 opponent_skill 0.3."""
    num_envs: int = 8
    """Environments that the agent acts in at once."""
    frame_stack: int = 1
    """How many frames an observation shows."""
    budget: int = 500_000
    """How long each seed learns: environment steps, of all its environments together; or episodes,
    for agents that learn from whole ones."""

    seeds: tuple[int, ...] = (0,)
    """One run each: of initial parameters, environments and every other random draw."""
    together: bool = False
    """Run all seeds in one program, each with a key of its own, and in one folder, `together`."""
    learning_rate: float = 2.5e-4
    """The highest learning rate."""
    anneal: bool = True
    """Whether the learning rate falls to 0 in a straight line."""
    clip_norm: float | None = 0.5
    """The largest global norm of a gradient."""
    discount: float = 0.99
    """How much a reward counts a step later."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Hidden layers of networks without convolutions."""
    conv_layers: tuple[tuple[int, int, int], ...] | None = None
    """The channels, kernel and stride of each convolution; None takes those of DQN for images of 36
    pixels a side or more, and none for smaller ones."""
    conv_hidden_size: int = 512
    """The hidden layer after the convolutions."""

    eval_episodes: int = 100
    """Episodes of an evaluation, whose actions are the best, not drawn."""
    eval_every: int | None = None
    """What of the budget lies between evaluations; None makes ten."""
    checkpoint_every: int | None = None
    """What of the budget lies between checkpoints; None saves when it evaluates."""
    figures: bool = True
    """Draw learning curves at the end."""

    def __post_init__(self) -> None:
        """Says what is wrong before anything runs."""
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

    @property
    def in_jax(self) -> bool:
        """Whether the environments are written in JAX, and not those of another library."""
        return ":" not in self.environment


def check_counts(settings: Any, *names: str) -> None:
    """Stops a script of which one of these settings is there and below 1."""
    _check_each(checks.check_count, settings, names)


def check_positive(settings: Any, *names: str) -> None:
    """Stops a script of which one of these settings is there and not positive."""
    _check_each(checks.check_positive, settings, names)


def check_shares(settings: Any, *names: str) -> None:
    """Stops a script of which one of these settings is there and no probability."""
    _check_each(checks.check_share, settings, names)


def _check_each(check: Callable[[str, Any], None], settings: Any, names: Sequence[str]) -> None:
    for name in names:
        value = getattr(settings, name)
        if value is not None:
            with script.checking():
                check(name, value)


MAY_DIFFER = ("run_dir", "eval_every", "eval_episodes", "checkpoint_every", "figures")
"""Settings that a run may be continued with another value of; with a folder each, also seeds."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the seeds of an experiment came to.

    Attributes:
        returns: The mean return of each seed's last evaluation.
        histories: What each seed's run logged, with `step` in units of the budget.
    """

    returns: list[float]
    histories: list[list[dict[str, Any]]]


LIBRARIES = {"": "jaxvision", "gym": "gymnasium", "ale": "atari"}
"""Where environments come from, by what stands before the colon of their names."""


def make_envs(settings: Settings, num_envs: int, *, evaluated: bool = False) -> rl.VectorEnv:
    """The environments that the settings name, with all their rewards where they are evaluated."""
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
    """How many actions there are."""
    space = envs.action_space
    if not isinstance(space, rl.Discrete):
        raise SystemExit(f"actions must be discrete; those of these environments are {space}")
    return space.n


def make_torso(settings: Settings, space: Any, **options: Any) -> Any:
    """What looks at observations: convolutions for images, hidden layers for the rest."""
    return rl.make_torso(
        space,
        hidden_sizes=settings.hidden_sizes,
        conv_layers=settings.conv_layers,
        conv_hidden_size=settings.conv_hidden_size,
        **options,
    )


def make_actor_critic(settings: Settings, envs: rl.VectorEnv) -> rl.ActorCritic:
    """A policy and its critic."""
    space = envs.observation_space
    actor = make_torso(settings, space)
    # Small networks are better apart; convolutions cost too much to have twice.
    critic = make_torso(settings, space) if isinstance(actor, rl.MLP) else None
    return rl.ActorCritic(space, num_actions(envs), actor, critic)


def make_optimizer(settings: Settings, updates: int) -> optax.GradientTransformation:
    """Adam, with clipping, for so many updates."""
    rate: Any = settings.learning_rate
    if settings.anneal:
        rate = optax.linear_schedule(settings.learning_rate, 0.0, max(1, updates))
    clip = [] if settings.clip_norm is None else [optax.clip_by_global_norm(settings.clip_norm)]
    return optax.chain(*clip, optax.adam(rate, eps=1e-5))


MakeAgent = Callable[[Any, rl.VectorEnv], Any]
MakeEnvs = Callable[..., rl.VectorEnv]


def begin(settings: Settings) -> None:
    """Starts JAX, and makes sure that what a run needs at its end is there."""
    train.start()
    if settings.figures:
        with script.checking():
            plots.require_matplotlib()


def run(settings: Settings, make_agent: MakeAgent, make_envs: MakeEnvs = make_envs) -> Outcome:
    """Trains every seed, and leaves a folder for each, a summary and curves."""
    begin(settings)
    folder = pathlib.Path(settings.run_dir)
    with script.checking():
        evaluated = make_envs(settings, settings.eval_episodes, evaluated=True)
        agent = make_agent(settings, make_envs(settings, settings.num_envs))
    least = agent.units_before + agent.units_per_step
    if settings.budget < least:
        raise SystemExit(
            f"a budget of {settings.budget} {agent.unit} is too small: {agent.units_before} go by "
            f"before the first update, and a step takes {agent.units_per_step}, less with a "
            f"smaller updates_per_step; it must be at least {least}"
        )
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
            title=f"{type(agent).__name__} on {settings.environment}",
            x=agent.unit,
        )
        plots.save(figure, folder / "learning_curves.png")
    return Outcome(list(summary.scores["return"]), histories)


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
    """The agent on as many devices as can share its environments, or its seeds, evenly."""
    rows = len(settings.seeds) if settings.together else settings.num_envs
    count = math.gcd(rows, jax.device_count())
    if not settings.in_jax:
        count = 1  # they are in one place
    rule = rl.shard_seeds(rows) if settings.together else rl.shard_environments(rows)
    return train.parallelize(agent, train.data_mesh(jax.devices()[:count]), shard=rule)


def _last(history: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The last evaluation, as `return`, `return_low` and `return_high`."""
    (*_, line) = (line for line in history if line["split"] == "evaluation")
    return {name: line[name] for name in ("return", "return_low", "return_high")}


def _print(settings: Settings, summary: Summary) -> None:
    """Prints what the seeds came to."""
    for seed, *row in zip(summary.seeds, *summary.scores.values(), strict=True):
        print(
            f"seed {seed}: mean return {row[0]:.2f} of {settings.eval_episodes} episodes, "
            f"95% interval [{row[1]:.2f}, {row[2]:.2f}]"
        )
    if interval := summary.interval("return"):
        low, high = interval
        print(
            f"{settings.run_dir}: mean over {len(summary.seeds)} seeds "
            f"{summary.mean('return'):.2f}, 95% interval [{low:.2f}, {high:.2f}]"
        )


def _of_interest(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The returns of evaluations, and of the episodes that were learned from."""
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
