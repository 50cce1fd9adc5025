"""Plays adversarial games in the plane, where all of it can be seen.

    python experiments/plane.py
    python experiments/plane.py --games non_saturating_r1 --r1 0.1

The data are points around eight centers on a circle. A generator of dense layers makes points of
noise, and a critic of dense layers tells both apart. The table has the share of samples near a
center, and how many of the centers have samples near them: games differ in whether the generator
finds all, or moves from one to another. `figures/fields.png` shows for each game what the critic
says of every point, beside what the best critic would say of the points that the generator makes.
"""

import dataclasses
import pathlib
from typing import Annotated, Any, get_args

import jax
import numpy as np
from common import script
from common.adversarial import RULES, Game, Networks, Playing, images_at, play, scores_at
from common.learning import Devices
from common.plane import Points, Ring, as_points, smoothed
from common.run import Run
from common.script import FLAT
from common.seeds import Summary, each_over_seeds
from jaxtyping import Float

from jaxvision import plots, train

RING = Ring()
AXIS = np.linspace(-1, 1, 160)
"""Where fields are computed, along either axis."""
EXTENT = (-1.0, 1.0, -1.0, 1.0)
SMOOTHING = 0.03
"""The deviation of the noise that is added to both distributions before the best critic of them is
computed, since samples have no density."""
Plane = Float[np.ndarray, "vertical horizontal"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of games in the plane."""

    run: Annotated[Run, FLAT] = dataclasses.field(default_factory=lambda: Run(run_dir="runs/plane"))
    networks: Annotated[Networks, FLAT] = dataclasses.field(
        default_factory=lambda: Networks(
            networks="dense", generator_channels=(128, 128), noise_size=16
        )
    )
    playing: Annotated[Playing, FLAT] = dataclasses.field(
        default_factory=lambda: Playing(
            r1=0.02, gradient_penalty=0.1, clip=0.1, batch_size=256, num_updates=20_000
        )
    )
    devices: Annotated[Devices, FLAT] = dataclasses.field(default_factory=Devices)
    games: tuple[Game, ...] = get_args(Game)
    """Which games to play."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Which seeds to train each with."""
    samples: int = 10_000
    """How many samples are measured."""


def main(settings: Settings) -> dict[Game, Summary]:
    """Plays every game with every seed, prints a table, draws, and keeps summaries."""
    settings.run.begin(settings.devices)
    summaries = each_over_seeds(settings.games, settings, lambda game, chosen: fit(chosen, game))
    if settings.run.draws:
        draw(settings)
    print(f"\n{'game':18}  {'modes, each seed':18}  near a center, each seed  seconds")
    for game, summary in summaries.items():
        modes = ", ".join(f"{value:.0f}" for value in summary.scores["modes"])
        near = ", ".join(f"{value:.1%}" for value in summary.scores["near"])
        print(f"{game:18}  {modes:18}  {near:24}  {max(summary.seconds):7.0f}")
    return summaries


def fit(settings: Settings, game: Game) -> dict[str, float]:
    """Plays one game; returns how well samples cover the centers."""

    def picture(step: train.gan.GANStep, number: int, state: train.gan.GANState) -> dict[str, Any]:
        noise = jax.random.normal(jax.random.key(0), (1_000, step.generator.noise_size))
        field = plots.fields(
            believed(game, scores_at(step, state, grid()))[None],
            [f"{game}, step {number}"],
            [np.asarray(images_at(step, state, noise)).reshape(-1, 2)],
            extent=EXTENT,
            legend="what the critic takes for real is blue",
        )
        return {"samples": field}

    trained = play(settings, game, RING.dataset(50_000), picture)
    return RING.scores(samples(trained, settings.samples))


def draw(settings: Settings) -> pathlib.Path:
    """Draws samples and both critics of each game, of the first seed, into `figures/`."""
    folder = pathlib.Path(settings.run.run_dir)
    learned, best, made = [], [], []
    for game in settings.games:
        trained = train.restore(folder / game / f"seed{settings.seeds[0]}")
        assert isinstance(trained, train.gan.TrainedGAN)
        scores = trained.critic.apply(trained.critic_variables, grid())
        learned.append(believed(game, np.asarray(scores)))
        made.append(samples(trained, settings.samples))
        best.append(best_critic(game, made[-1]))
    figure = plots.fields(
        np.stack([*learned, *best]),
        [
            *(f"{game}: learned" for game in settings.games),
            *(
                "no best one in closed form"
                if RULES[game].loss == "wasserstein"
                else "best for these samples"
                for game in settings.games
            ),
        ],
        [*(each[:1_000] for each in made), *[RING.draw(1_000, 1)] * len(made)],
        extent=EXTENT,
        columns=len(made),
        legend="0: generated, 1: real; gray: far from any",
        title="what critics say of the plane; points are samples (above) and data (below)",
    )
    path = folder / "figures" / "fields.png"
    plots.save(figure, path)
    return path


def samples(trained: train.gan.TrainedGAN, count: int) -> Points:
    """Points that a trained generator makes."""
    return as_points(np.asarray(trained.sample(jax.random.key(1), count)))


def grid() -> Float[np.ndarray, "positions 1 1 2"]:
    """All places of the plane, as images of one pixel."""
    horizontal, vertical = np.meshgrid(AXIS, AXIS)
    return np.stack([horizontal, vertical], axis=-1).reshape(-1, 1, 1, 2).astype(np.float32)


def believed(game: Game, scores: Float[np.ndarray, " positions"]) -> Plane:
    """The critic's numbers from 0, generated, to 1, real.

    They are probabilities where the game makes them so. Numbers of the Wasserstein games have no
    scale of their own: their least becomes 0 and their largest 1.
    """
    numbers = np.asarray(scores, np.float64).reshape(len(AXIS), len(AXIS))
    match RULES[game].loss:
        case "minimax" | "non_saturating":
            return np.asarray(jax.nn.sigmoid(numbers))
        case "least_squares":
            return numbers.clip(0, 1)
        case "hinge":
            return (numbers / 2 + 0.5).clip(0, 1)
    return (numbers - numbers.min()) / max(np.ptp(numbers), 1e-12)


def best_critic(game: Game, made: Points) -> Plane:
    """What the best critic says of the plane while the generator makes some points.

    It is the share p / (p + q) of the data's density p and the samples' density q, in the hinge
    game whether p is larger, and has no closed form in the Wasserstein games. Gray is where neither
    has points.
    """
    real = RING.density(AXIS, SMOOTHING)
    fake = smoothed(made, AXIS, SMOOTHING)
    nowhere = real + fake < 1e-6
    share = real / np.where(nowhere, 1, real + fake)
    match RULES[game].loss:
        case "wasserstein":
            return np.full_like(share, np.nan)
        case "hinge":
            share = np.round(share)
    return np.where(nowhere, np.nan, share)


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
