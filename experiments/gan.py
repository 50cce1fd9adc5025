"""Trains adversarial networks over seeds, in several games, and measures their samples.

    python experiments/gan.py
    python experiments/gan.py --games minimax non_saturating wasserstein --r1 0 --clip 0.01
    python experiments/gan.py --dataset shapes --image-size 32 --networks residual --spectral

How good samples are is measured in the features of a classifier that is trained on the same data
first: the Frechet distance to the training data, as a multiple of that between two halves of them;
which classes there are; how many of the real images samples stand for; and whether samples are
copies. Each run's folder has samples of the same noise over training, samples at the end, ways
between them, and each of some samples beside the nearest training image.
"""

import dataclasses
import pathlib
from typing import Annotated, Any, Literal

import classify
import jax
import numpy as np
import optax
from common import script
from common.data import Data
from common.learning import Devices, Inputs
from common.quality import Judge
from common.run import MAY_DIFFER, Run
from common.run import Settings as ClassifierSettings
from common.script import FLAT
from common.seeds import Summary, over_seeds

from jaxvision import data, models, plots, train

Game = Literal["minimax", "non_saturating", "least_squares", "hinge", "wasserstein"]


@dataclasses.dataclass(frozen=True)
class Networks:
    """The generator and the critic."""

    networks: Literal["dcgan", "residual"] = "dcgan"
    """Transposed and strided convolutions, or residual blocks."""
    generator_channels: tuple[int, ...] | None = None
    """The channels of the generator's maps, coarsest first; None takes 128 64 32 for 8x8 images,
    and for larger ones 256 128 64 and so on for each doubling from 4x4."""
    critic_channels: tuple[int, ...] | None = None
    """The channels of the critic's convolutions; None takes those of the generator in reverse."""
    noise_size: int = 64
    """How many numbers an image is made of."""
    conditional: bool = False
    """Tell both networks the class of the image."""
    spectral: bool = False
    """Divide the critic's kernels by their spectral norm."""
    critic_norm: Literal["batch", "layer", "group", "instance"] | None = None
    """The critic's normalization."""

    def make(self, dataset: data.Dataset) -> tuple[models.Generator, models.Critic]:
        """Both, for the images and classes of a data set."""
        height, width, channels = dataset.image_shape
        num_classes = dataset.num_classes if self.conditional else None
        doublings = max(
            1, int(np.ceil(np.log2(max(height, width) / 4))) + (max(height, width) <= 8)
        )
        usual = tuple(
            32 * 2**step for step in reversed(range(doublings + (self.networks == "residual")))
        )
        of_generator = self.generator_channels or usual
        of_critic = self.critic_channels or of_generator[::-1]
        shared: dict[str, Any] = {"num_classes": num_classes}
        shape = (height, width, channels)
        critic: dict[str, Any] = {
            "spectral": self.spectral,
            "norm": self.critic_norm,
            "channels": of_critic,
        }
        with script.checking():
            if self.networks == "dcgan":
                return (
                    models.DCGANGenerator(
                        shape=shape, noise_size=self.noise_size, channels=of_generator, **shared
                    ),
                    models.DCGANCritic(**critic, **shared),
                )
            return (
                models.ResidualGenerator(
                    shape=shape, noise_size=self.noise_size, channels=of_generator, **shared
                ),
                models.ResidualCritic(halvings=len(of_critic) - 1, **critic, **shared),
            )


@dataclasses.dataclass(frozen=True)
class Playing:
    """How the game is played."""

    r1: float = 1.0
    """The factor of the critic's squared slope at real images."""
    gradient_penalty: float = 0.0
    """The factor of the penalty of slopes other than 1 between real images and samples."""
    clip: float | None = None
    """The largest absolute value of the critic's parameters."""
    critic_steps: int = 1
    """How often the critic learns for each step of the generator."""
    batch_size: int = 64
    """Images for each step of the critic."""
    num_steps: int = 12_000
    """Steps of the generator."""
    generator_rate: float = 1e-3
    """The generator's learning rate."""
    critic_rate: float = 1e-3
    """The critic's."""
    b1: float = 0.5
    """What Adam keeps of its mean gradient per step."""
    b2: float = 0.99
    """What it keeps of its mean squared gradient."""
    ema_decay: float | None = 0.999
    """Make samples by a moving average of the generator's parameters."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the training of adversarial networks."""

    run: Annotated[Run, FLAT] = dataclasses.field(default_factory=lambda: Run(run_dir="runs/gan"))
    data: Annotated[Data, FLAT] = dataclasses.field(default_factory=lambda: Data(image_size=None))
    networks: Annotated[Networks, FLAT] = dataclasses.field(default_factory=Networks)
    playing: Annotated[Playing, FLAT] = dataclasses.field(default_factory=Playing)
    devices: Annotated[Devices, FLAT] = dataclasses.field(default_factory=Devices)
    games: tuple[Game, ...] = ("non_saturating",)
    """Which games to play."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Which seeds to train each with."""
    classifier: str | None = None
    """The run of the classifier whose features measure the samples; None trains a LeNet-5 first."""
    samples: int = 5_000
    """How many samples are measured."""


def main(settings: Settings) -> dict[str, Summary]:
    """Trains and measures every game with every seed, prints a table, and keeps summaries."""
    settings.run.begin(settings.devices)
    settings = dataclasses.replace(settings, data=settings.data.located())
    train_data = settings.data.load(settings.data.train_split)
    folder = pathlib.Path(settings.run.run_dir)
    judge = Judge.make(classifier(settings), train_data)
    summaries: dict[str, Summary] = {}
    for game in settings.games:

        def train_one(seed: int, game: Any = game) -> dict[str, float]:
            place = str(folder / game / f"seed{seed}")
            run = dataclasses.replace(settings.run, run_dir=place, seed=seed)
            return fit(dataclasses.replace(settings, run=run), game, train_data, judge)

        summaries[game] = over_seeds(settings.seeds, train_one, folder / game)
        summaries[game].save(folder / game, settings)
    print(f"\nFrechet distance between two halves of the training data: {judge.halves:.3f}")
    print(f"{'game':15}  {'ratio to that, each seed':26}  modes  rarest  recall  copies  seconds")
    for name, summary in summaries.items():
        each = ", ".join(f"{value:.3f}" for value in summary.scores["frechet_ratio"])
        print(
            f"{name:15}  {each:26}  {summary.mean('modes'):5.1f}  "
            f"{summary.mean('rarest_share'):6.1%}  {summary.mean('recall'):6.3f}  "
            f"{summary.mean('copies'):6.1%}  {max(summary.seconds):7.0f}"
        )
    return summaries


def classifier(settings: Settings) -> str:
    """The run of the classifier that measures samples; it is trained if there is none."""
    if settings.classifier is not None:
        return settings.classifier
    run_dir = str(pathlib.Path(settings.run.run_dir) / "classifier")
    classify.main(
        ClassifierSettings(
            run=Run(run_dir=run_dir, figures=False),
            data=dataclasses.replace(settings.data, image_size=32),
            inputs=Inputs(mean=(0.3,), std=(0.35,)),
        )
    )
    return run_dir


def fit(settings: Settings, game: Game, train_data: data.Dataset, judge: Judge) -> dict[str, float]:
    """Trains one pair of networks; returns what its samples are worth."""
    run, playing = settings.run, settings.playing
    generator, critic = settings.networks.make(train_data)
    of_critic = optax.adam(playing.critic_rate, b1=playing.b1, b2=playing.b2)
    if playing.clip is not None:
        of_critic = optax.chain(of_critic, train.gan.clip_parameters(playing.clip))
    with script.checking():
        step = train.gan.make_step(
            generator,
            critic,
            optax.adam(playing.generator_rate, b1=playing.b1, b2=playing.b2),
            of_critic,
            game=game,
            critic_steps=playing.critic_steps,
            gradient_penalty=playing.gradient_penalty,
            r1=playing.r1,
            ema_decay=playing.ema_decay,
            axis_name=settings.devices.axis_name,
        )
    parallel = settings.devices.parallelize(step)
    noise = jax.random.normal(jax.random.key(0), (50, generator.noise_size))
    labels = None if generator.num_classes is None else np.arange(50) % generator.num_classes
    generate = jax.jit(lambda variables: generator.apply(variables, noise, labels))

    def samples(number: int, state: Any) -> dict[str, Any]:
        images = generate(train.evaluation_variables(state.generator))
        shown = np.clip(np.asarray(images, np.float32) / 2 + 0.5, 0, 1)
        return {"samples": plots.image_grid(shown, None, 10, title=f"samples, step {number}")}

    train.fit(
        parallel,
        step.init(jax.random.key(run.seed), mesh=parallel.mesh, shard=parallel.shard),
        train_data.batches(
            playing.batch_size * playing.critic_steps,
            seed=run.seed,
            num_workers=settings.data.num_workers,
        ),
        num_steps=playing.num_steps,
        eval_every=run.eval_every,
        on_evaluation=samples if run.draws else None,
        checkpoint_every=run.checkpoint_every,
        log_every=run.log_every,
        run_dir=run.run_dir,
        settings=settings,
        settings_may_differ=MAY_DIFFER,
    )
    trained = train.restore(run.run_dir)
    assert isinstance(trained, train.gan.TrainedGAN)
    if run.draws:
        trained.draw(trained.predict(train_data), train_data)
    drawn = np.random.default_rng(0).choice(len(judge.shares), settings.samples, p=judge.shares)
    made = trained.sample(
        jax.random.key(1), settings.samples, None if generator.num_classes is None else drawn
    )
    return judge.scores(np.asarray(made))


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
