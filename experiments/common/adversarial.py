"""Settings of generative adversarial networks: both networks, the games, and one training."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

from common import script
from common.generative import classes_of
from common.run import MAY_DIFFER

import jax
import numpy as np
import optax
from jaxtyping import Array, Float, Int

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
    """Architecture of both networks: dcgan (transposed convolutions in the generator, strided ones
    in the critic), residual (residual blocks) or dense (fully connected layers)."""
    generator_channels: tuple[int, ...] | None = None
    """Channels of the generator's feature maps, coarsest first; for dense networks, widths of the
    hidden layers. None doubles the channels from the finest map to the coarsest, starting at 32,
    with more maps for larger images; for dense networks it takes 256 256."""
    critic_channels: tuple[int, ...] | None = None
    """Channels (or widths) of the critic's layers; None takes the generator's in reverse."""
    noise_size: int = 64
    """Length of the noise vector from which the generator makes an image."""
    conditional: bool = False
    """Give the class of the image to both networks (conditional GAN)."""
    spectral: bool = False
    """Apply spectral normalization to the critic's kernels."""
    critic_norm: Literal["batch", "layer", "group", "instance"] | None = None
    """Normalization layers of the critic; None uses none."""

    def make(self, dataset: data.Dataset) -> tuple[models.Generator, models.Critic]:
        """Makes the generator and the critic for the images and classes of a data set."""
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
        """The default channels of the generator for images of a size."""
        if self.networks == "dense":
            return (256, 256)
        doublings = max(1, int(np.ceil(np.log2(size / 4))) + (size <= 8))
        maps = doublings + (self.networks == "residual")
        return tuple(32 * 2**step for step in reversed(range(maps)))


@dataclasses.dataclass(frozen=True)
class Rules:
    """The default options of a game; `Playing` explains each."""

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
"""The default options of each game."""


@dataclasses.dataclass(frozen=True)
class Playing:
    """Options of the training; None takes the default of the game."""

    r1: float | None = None
    """Weight of the R1 penalty: the squared gradient norm of the critic at real images. Only for
    the game non_saturating_r1."""
    gradient_penalty: float | None = None
    """Weight of the penalty on gradient norms of the critic that differ from 1, at points between
    real images and samples. Only for the game wgan_gp."""
    clip: float | None = None
    """Largest absolute value of the critic's parameters, which are clipped to it. Only for the game
    wgan."""
    critic_steps: int | None = None
    """Critic updates for each generator update."""
    generator_rate: float | None = None
    """Learning rate of the generator."""
    critic_rate: float | None = None
    """Learning rate of the critic."""
    b1: float | None = None
    """Adam's decay rate of the mean gradient."""
    b2: float | None = None
    """Adam's decay rate of the mean squared gradient."""
    batch_size: int = 64
    """Images for each update of the critic."""
    num_updates: int = 24_000
    """Total number of updates, of the generator and the critic together. Games with several critic
    updates per generator update have fewer generator updates."""
    ema_decay: float | None = 0.999
    """Decay of an exponential moving average of the generator's parameters, with which samples are
    made; None uses the current parameters."""

    def rules(self, game: Game) -> Rules:
        """The options of a game: the given ones, and its defaults for the rest."""
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
        """Makes the training step of both networks."""
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
        """The number of generator updates."""
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

    `settings` has the groups `run`, `networks`, `playing` and `devices`. `picture(step, number,
    state)` draws figures at each evaluation.
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
    script.keep_command(run.run_dir)
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
    """The images that the generator makes of noise, during training, in the critic's range."""
    made: Any = step.generator.apply(train.evaluation_variables(state.generator), noise, labels)
    return made


@functools.partial(jax.jit, static_argnames="step")
def scores_at(
    step: train.gan.GANStep,
    state: train.gan.GANState,
    images: Float[Array | np.ndarray, "batch height width channels"],
) -> Float[Array, " batch"]:
    """The critic's scores of images, during training."""
    scores: Any = step.critic.apply(train.evaluation_variables(state.critic), images)
    return scores
