"""Adversarial networks as settings: both networks, the rules of each game, and one run."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from common import script
from common.generative import classes_of
from common.run import MAY_DIFFER
from jaxvision import data, models, train

Game = Literal[
    "minimax",
    "non_saturating",
    "non_saturating_r1",
    "least_squares",
    "hinge",
    "wgan",
    "wgan_gp",
]


@dataclasses.dataclass(frozen=True)
class Networks:
    """The generator and the critic."""

    networks: Literal["dcgan", "residual", "dense"] = "dcgan"
    """Transposed and strided convolutions, residual blocks, or dense layers."""
    generator_channels: tuple[int, ...] | None = None
    """The channels of the generator's maps, coarsest first, or the widths of dense layers; None
    takes 128 64 32 for 8x8 images, for larger ones 128 64 32 and so on for each doubling from 4x4,
    and 256 256 dense ones."""
    critic_channels: tuple[int, ...] | None = None
    """The channels or widths of the critic's layers; None takes those of the generator in
    reverse."""
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
        num_classes = classes_of(dataset) if self.conditional else None
        of_generator = self.generator_channels or self._usual(max(height, width))
        of_critic = self.critic_channels or of_generator[::-1]
        generator: dict[str, Any] = {
            "shape": (height, width, channels),
            "noise_size": self.noise_size,
            "num_classes": num_classes,
        }
        critic: dict[str, Any] = {
            "spectral": self.spectral,
            "norm": self.critic_norm,
            "num_classes": num_classes,
        }
        with script.checking():
            if self.networks == "dcgan":
                return (
                    models.DCGANGenerator(channels=of_generator, **generator),
                    models.DCGANCritic(channels=of_critic, **critic),
                )
            if self.networks == "dense":
                return (
                    models.DenseGenerator(hidden_sizes=of_generator, **generator),
                    models.DenseCritic(hidden_sizes=of_critic, **critic),
                )
            return (
                models.ResidualGenerator(channels=of_generator, **generator),
                models.ResidualCritic(channels=of_critic, halvings=len(of_critic) - 1, **critic),
            )

    def _usual(self, size: int) -> tuple[int, ...]:
        """The generator's channels for images of a size."""
        if self.networks == "dense":
            return (256, 256)
        doublings = max(1, int(np.ceil(np.log2(size / 4))) + (size <= 8))
        maps = doublings + (self.networks == "residual")
        return tuple(32 * 2**step for step in reversed(range(maps)))


@dataclasses.dataclass(frozen=True)
class Rules:
    """What games differ in.

    Attributes:
        loss: The loss of both networks, as `train.gan.make_step` names it.
        r1: The factor of the critic's squared slope at real images.
        gradient_penalty: The factor of the penalty of slopes other than 1 between real images and
            samples.
        clip: The largest absolute value of the critic's parameters.
        critic_steps: How often the critic learns for each step of the generator.
        rate: The learning rate of both networks.
        b1: What Adam keeps of its mean gradient per step.
        b2: What it keeps of its mean squared gradient.
    """

    loss: str
    r1: float = 0.0
    gradient_penalty: float = 0.0
    clip: float | None = None
    critic_steps: int = 1
    rate: float = 1e-3
    b1: float = 0.5
    b2: float = 0.99


RULES: Mapping[str, Rules] = {
    "minimax": Rules("minimax"),
    "non_saturating": Rules("non_saturating"),
    "non_saturating_r1": Rules("non_saturating", r1=1.0),
    "least_squares": Rules("least_squares"),
    "hinge": Rules("hinge"),
    "wgan": Rules("wasserstein", clip=0.01, critic_steps=5, b1=0.0),
    "wgan_gp": Rules("wasserstein", gradient_penalty=10.0, critic_steps=5, b1=0.0, b2=0.9),
}
"""The games by name."""


@dataclasses.dataclass(frozen=True)
class Playing:
    """How games are played; None takes what the game itself says."""

    r1: float | None = None
    """In the game with R1, the factor of the critic's squared slope at real images."""
    gradient_penalty: float | None = None
    """In the game with a gradient penalty, the factor of that for slopes other than 1 between real
    images and samples."""
    clip: float | None = None
    """In the game with clipping, the largest absolute value of the critic's parameters."""
    critic_steps: int | None = None
    """How often the critic learns for each step of the generator."""
    generator_rate: float | None = None
    """The generator's learning rate."""
    critic_rate: float | None = None
    """The critic's."""
    b1: float | None = None
    """What Adam keeps of its mean gradient per step."""
    b2: float | None = None
    """What it keeps of its mean squared gradient."""
    batch_size: int = 64
    """Images for each step of the critic."""
    num_updates: int = 24_000
    """How often either network learns, all steps together, so that games with several steps of the
    critic have no more of them."""
    ema_decay: float | None = 0.999
    """Make samples by a moving average of the generator's parameters."""

    def rules(self, game: Game) -> Rules:
        """The rules of a game, with the numbers that are given here."""
        rules = RULES[game]
        has = [name for name in ("r1", "gradient_penalty", "clip") if getattr(rules, name)]
        names = [*has, "critic_steps", "b1", "b2"]
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return dataclasses.replace(rules, **given)

    def make_step(
        self,
        game: Game,
        generator: models.Generator,
        critic: models.Critic,
        axis_name: str | None = None,
    ) -> train.gan.GANStep:
        """The step of both networks."""
        rules = self.rules(game)
        of_generator, of_critic = (
            optax.adam(rules.rate if rate is None else rate, b1=rules.b1, b2=rules.b2)
            for rate in (self.generator_rate, self.critic_rate)
        )
        with script.checking():
            if rules.clip is not None:
                of_critic = optax.chain(of_critic, train.gan.clip_parameters(rules.clip))
            return train.gan.make_step(
                generator,
                critic,
                of_generator,
                of_critic,
                game=rules.loss,
                critic_steps=rules.critic_steps,
                gradient_penalty=rules.gradient_penalty,
                r1=rules.r1,
                ema_decay=self.ema_decay,
                axis_name=axis_name,
            )

    def num_steps(self, game: Game) -> int:
        """How many steps of the generator there are."""
        return max(1, round(self.num_updates / (1 + self.rules(game).critic_steps)))


def play(
    settings: Any,
    game: Game,
    train_data: data.Dataset,
    picture: Callable[[train.gan.GANStep, int, train.gan.GANState], Mapping[str, Any]],
    *,
    num_workers: int = 0,
) -> train.gan.TrainedGAN:
    """Trains one pair of networks, and restores it from its folder.

    `settings` has the groups `run`, `networks`, `playing` and `devices`. `picture` draws figures of
    a step, how often it ran, and the state.
    """
    run, playing = settings.run, settings.playing
    generator, critic = settings.networks.make(train_data)
    step = playing.make_step(game, generator, critic, settings.devices.axis_name)
    parallel = settings.devices.parallelize(step)
    train.fit(
        parallel,
        step.init(jax.random.key(run.seed), mesh=parallel.mesh, shard=parallel.shard),
        train_data.batches(
            playing.batch_size * step.critic_steps, seed=run.seed, num_workers=num_workers
        ),
        num_steps=playing.num_steps(game),
        eval_every=run.eval_every,
        on_evaluation=functools.partial(picture, step) if run.draws else None,
        checkpoint_every=run.checkpoint_every,
        log_every=run.log_every,
        run_dir=run.run_dir,
        settings=settings,
        settings_may_differ=MAY_DIFFER,
    )
    trained = train.restore(run.run_dir)
    assert isinstance(trained, train.gan.TrainedGAN)
    return trained


@functools.partial(jax.jit, static_argnames="step")
def images_at(
    step: train.gan.GANStep,
    state: train.gan.GANState,
    noise: Float[Array, "batch numbers"],
    labels: Int[Array, " batch"] | None = None,
) -> Float[Array, "batch height width channels"]:
    """The images of some noise while networks are trained, as the critic sees real ones."""
    made: Any = step.generator.apply(train.evaluation_variables(state.generator), noise, labels)
    return made


@functools.partial(jax.jit, static_argnames="step")
def scores_at(
    step: train.gan.GANStep,
    state: train.gan.GANState,
    images: Float[Array | np.ndarray, "batch height width channels"],
) -> Float[Array, " batch"]:
    """The critic's numbers for some images while networks are trained."""
    scores: Any = step.critic.apply(train.evaluation_variables(state.critic), images)
    return scores
