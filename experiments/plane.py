"""Trains generative adversarial networks (GANs) on points in the plane, and draws their critics.

    python experiments/plane.py
    python experiments/plane.py --games non_saturating_r1 --r1 0.1

The data are points around eight centers on a circle. Generator and critic are dense networks. A
game is the pair of their losses. The table has the share of samples near a center, and the number
of centers with samples near them: in some games the generator covers all centers, in others it
moves from one to another. figures/fields.png shows for each game the critic's output in the plane,
and the output of the optimal critic for the points that the generator makes. Samples have no
density, so the optimal critic is that of data and samples with a little normal noise.
"""

import dataclasses
import pathlib
from typing import Annotated, Any, get_args

from common import script
from common.adversarial import RULES, Game, Networks, Playing, images_at, play, scores_at
from common.learning import Devices
from common.plane import Points, Ring, as_points, smoothed
from common.run import Run
from common.script import FLAT
from common.seeds import Summary, each_over_seeds

import jax
import numpy as np
from jaxtyping import Float

from jaxvision import plots, train

RING = Ring()
AXIS = np.linspace(-1, 1, 160)
"""Coordinates of the grid on which fields are computed, along each axis."""
EXTENT = (-1.0, 1.0, -1.0, 1.0)
SMOOTHING = 0.03
"""Standard deviation of the noise added to both distributions to compute the optimal critic, since
samples have no density."""
LEAST_DENSITY = 0.01
"""Sum of both densities below which the optimal critic is not drawn; their means are 1/4 each."""
Plane = Float[np.ndarray, "vertical horizontal"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the training on points in the plane."""

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
    """Games to play; each trains a pair of networks."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Random seeds; each game is played once with each seed."""
    samples: int = 10_000
    """Number of samples that are measured."""


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
    """Trains one pair of networks; returns the scores of its samples."""

    def picture(step: train.gan.GANStep, number: int, state: train.gan.GANState) -> dict[str, Any]:
        noise = jax.random.normal(jax.random.key(0), (1_000, step.generator.noise_size))
        field = plots.fields(
            believed(game, scores_at(step, state, grid()))[None],
            [f"{game}, step {number}"],
            [np.asarray(images_at(step, state, noise)).reshape(-1, 2)],
            extent=EXTENT,
            legend="blue: the critic takes the point for real",
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
                "no optimal critic in closed form"
                if RULES[game].loss == "wasserstein"
                else "optimal for these samples"
                for game in settings.games
            ),
        ],
        [*(each[:1_000] for each in made), *[RING.draw(1_000, 1)] * len(made)],
        extent=EXTENT,
        columns=len(made),
        legend="0: generated, 1: real; gray: far from all points",
        title="output of the critics; points are samples (above) and data (below); optimal critics "
        f"are for both with noise of deviation {SMOOTHING}",
    )
    path = folder / "figures" / "fields.png"
    plots.save(figure, path)
    return path


def samples(trained: train.gan.TrainedGAN, count: int) -> Points:
    """Draws points from a trained generator."""
    return as_points(np.asarray(trained.sample(jax.random.key(1), count)))


def grid() -> Float[np.ndarray, "positions 1 1 2"]:
    """The points of the grid, as images of one pixel."""
    horizontal, vertical = np.meshgrid(AXIS, AXIS)
    return np.stack([horizontal, vertical], axis=-1).reshape(-1, 1, 1, 2).astype(np.float32)


def believed(game: Game, scores: Float[np.ndarray, " positions"]) -> Plane:
    """Scales the critic's scores to [0, 1], from generated to real.

    In most games this gives probabilities. Scores of the Wasserstein games have no fixed scale:
    their minimum becomes 0 and their maximum 1.
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
    """The output of the optimal critic for the points of a generator; NaN far from all points.

    It is p / (p + q), where p is the density of the data and q that of the samples, both with noise
    of the deviation `SMOOTHING`; in the hinge game it is 1 where p > q and 0 where p < q, and shown
    as 0.5 where the samples are too few to tell (within two standard errors). The Wasserstein games
    have no closed form.
    """
    real = RING.density(AXIS, SMOOTHING)
    fake = smoothed(made, AXIS, SMOOTHING)
    nowhere = real + fake < LEAST_DENSITY
    share = real / np.where(nowhere, 1, real + fake)
    match RULES[game].loss:
        case "wasserstein":
            return np.full_like(share, np.nan)
        case "hinge":
            # The square of a normal density is a narrower one, divided by 4 pi SMOOTHING**2.
            squares = smoothed(made, AXIS, SMOOTHING / np.sqrt(2)) / (4 * np.pi * SMOOTHING**2)
            error = np.sqrt((squares - fake**2).clip(0) / len(made))
            share = np.where(np.abs(real - fake) <= 2 * error, 0.5, np.round(share))
    return np.where(nowhere, np.nan, share)


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
