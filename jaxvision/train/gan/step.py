"""Training step of a generator and a critic."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from jaxvision import losses, metrics, models
from jaxvision._reprs import brief
from jaxvision.checks import check_count, check_name, check_not_negative
from jaxvision.losses.adversarial import AdversarialLoss
from jaxvision.train._arguments import check_kind
from jaxvision.train._diagnosis import numbers_not_finite
from jaxvision.train._gradients import interleave
from jaxvision.train.gan.clipping import is_clipped
from jaxvision.train.inputs import Inputs
from jaxvision.train.protocols import Metrics
from jaxvision.train.state import TrainState, init_state
from jaxvision.train.step import TrainStep, make_train_step

PyTree = Any


class GANState(flax.struct.PyTreeNode):
    """State of both networks.

    Attributes:
        generator: Train state of the generator.
        critic: Train state of the critic.
    """

    generator: Any
    critic: Any

    def __repr__(self) -> str:
        return brief(self)


@dataclasses.dataclass(frozen=True, eq=False)
class GANStep:
    """Training step of both networks: several critic updates, then one generator update.

    Made by `make_step`. A batch has `image`, and `label` if the networks have classes. Its rows are
    divided equally among the critic updates.
    """

    generator: models.Generator
    critic: models.Critic
    game: str
    generator_step: TrainStep
    critic_step: TrainStep
    critic_steps: int
    gradient_penalty: float
    r1: float
    inputs: Inputs
    axis_name: str | None

    def __call__(self, state: GANState, batch: Mapping[str, Any]) -> tuple[GANState, Metrics]:
        """Updates both networks by one batch.

        The metrics are `critic_loss`, `generator_loss`, the critic's mean scores `real_score` and
        `fake_score`, the penalties, and the norms of gradients.
        """
        if "image" not in batch:
            raise ValueError(f"a batch needs 'image'; this one has {', '.join(batch)}")
        parts = jax.tree.map(lambda leaf: interleave(leaf, self.critic_steps), dict(batch))
        critic, measured = state.critic, []
        for index in range(self.critic_steps):
            part = jax.tree.map(lambda leaf, index=index: leaf[index], parts)
            critic, said = self.critic_step(critic, part, context=_variables(state.generator))
            measured.append(said)
        last = {name: leaf[-1] for name, leaf in parts.items()}
        generator, made = self.generator_step(state.generator, last, context=_variables(critic))
        summed = jax.tree.map(lambda *leaves: sum(leaves), *measured)
        return GANState(generator, critic), {
            **{f"critic_{name}" if name in made else name: sums for name, sums in summed.items()},
            **{f"generator_{name}": sums for name, sums in made.items()},
        }

    def init(
        self,
        key: Key[Array, ""],
        *,
        mesh: jax.sharding.Mesh | None = None,
        shard: Any = None,
    ) -> GANState:
        """Builds the state at step 0.

        Args:
            key: Random key of the parameters and of everything that the run draws.
            mesh: Devices to create the state on; None leaves the choice to JAX.
            shard: Sharding as in `parallelize`; None replicates the state.

        Raises:
            UserWarning: As a warning, if nothing bounds the critic's slope in a Wasserstein game.
        """
        generator_key, critic_key = jax.random.split(key)
        noise = jnp.zeros((1, self.generator.noise_size))
        images = jnp.zeros((1, *self.generator.shape))
        where = {"mesh": mesh, "shard": shard}
        generator = init_state(
            generator_key, self.generator, self.generator_step.optimizer, noise, **where
        )
        critic = init_state(critic_key, self.critic, self.critic_step.optimizer, images, **where)
        bounded = self.gradient_penalty or self.r1 or self.critic.spectral
        if self.game == "wasserstein" and not bounded and not is_clipped(critic.opt_state):
            warnings.warn(
                "nothing bounds the slope of the critic in the game 'wasserstein': give "
                "gradient_penalty=10, or end the critic's optimizer with "
                "train.gan.clip_parameters(0.01), or make the critic with spectral=True",
                stacklevel=2,
            )
        return GANState(generator, critic)

    def prepare(self, state: GANState) -> GANState:
        """Makes a state ready for this step: starts or drops the generator's moving average."""
        return GANState(
            self.generator_step.prepare(state.generator), self.critic_step.prepare(state.critic)
        )

    def describe(self) -> dict[str, Any]:
        """Describes the task, networks, inputs and options for the record of a run."""
        return {
            "task": "gan",
            "models": {"generator": self.generator, "critic": self.critic},
            "inputs": self.inputs,
            "loss": {
                "game": self.game,
                "gradient_penalty": self.gradient_penalty,
                "r1": self.r1,
                "critic_steps": self.critic_steps,
            },
            "ema_decay": self.generator_step.ema_decay,
        }

    def diagnose(self, batch: Any) -> str | None:
        """Names non-finite numbers in a batch on the host; None if there are none."""
        return numbers_not_finite(batch)


@dataclasses.dataclass(frozen=True, eq=False)
class _Players:
    """Losses of both networks; each gets the other's variables as its context."""

    generator: models.Generator
    critic: models.Critic
    loss: AdversarialLoss
    gradient_penalty: float
    r1: float
    inputs: Inputs

    def critic_loss(
        self,
        params: PyTree,
        model_state: PyTree,
        batch: Mapping[str, Any],
        key: Key[Array, ""],
        *,
        context: PyTree,
    ) -> tuple[Float[Array, ""], tuple[PyTree, Metrics]]:
        """Loss of the critic, on real images and as many generated ones."""
        augment_key, noise_key, line_key = jax.random.split(key, 3)
        batch = self.inputs.train(augment_key, batch)
        real, labels, weight = batch["image"], self._labels(batch), _weight(batch)
        if real.shape[1:] != tuple(self.generator.shape):
            raise ValueError(
                f"images of a batch have the shape {real.shape[1:]}, and those of the generator "
                f"{tuple(self.generator.shape)}: resize the images, or make the generator for them"
            )
        fake, _ = self._generate(context, len(real), labels, noise_key)
        of_real, model_state = self._judge(params, model_state, real, labels)
        of_fake, model_state = self._judge(params, model_state, fake, labels)
        values = self.loss.critic(of_real, of_fake)
        measured = {
            "real_score": metrics.mean(of_real, weight),
            "fake_score": metrics.mean(of_fake, weight),
        }

        def judge(images: Array) -> Array:
            return self._judge(params, model_state, images, labels)[0]

        if self.gradient_penalty:
            penalty = losses.adversarial.gradient_penalty(judge, real, fake, line_key)
            measured["gradient_penalty"] = metrics.mean(penalty, weight)
            values += self.gradient_penalty * penalty
        if self.r1:
            penalty = losses.adversarial.r1(judge, real)
            measured["r1"] = metrics.mean(penalty, weight)
            values += self.r1 * penalty
        total, count = metrics.mean(values, weight)
        loss = total / jnp.where(count == 0, 1, count)
        return loss, (model_state, {"loss": (total, count), **measured})

    def generator_loss(
        self,
        params: PyTree,
        model_state: PyTree,
        batch: Mapping[str, Any],
        key: Key[Array, ""],
        *,
        context: PyTree,
    ) -> tuple[Float[Array, ""], tuple[PyTree, Metrics]]:
        """Loss of the generator, on as many generated images as the batch has rows."""
        labels, weight = self._labels(batch), _weight(batch)
        variables = {"params": params, **model_state}
        fake, model_state = self._generate(variables, len(batch["image"]), labels, key)
        of_fake, _ = self._judge(context["params"], _rest(context), fake, labels)
        total, count = metrics.mean(self.loss.generator(of_fake), weight)
        return total / jnp.where(count == 0, 1, count), (model_state, {"loss": (total, count)})

    def _generate(
        self, variables: PyTree, count: int, labels: Array | None, key: Key[Array, ""]
    ) -> tuple[Array, PyTree]:
        noise = jax.random.normal(key, (count, self.generator.noise_size))
        made: Any = self.generator.apply(
            variables, noise, labels, train=True, mutable=list(_rest(variables))
        )
        return made

    def _judge(
        self, params: PyTree, model_state: PyTree, images: Array, labels: Array | None
    ) -> tuple[Array, PyTree]:
        judged: Any = self.critic.apply(
            {"params": params, **model_state},
            images,
            labels,
            train=True,
            mutable=list(model_state),
        )
        return judged

    def _labels(self, batch: Mapping[str, Any]) -> Array | None:
        if self.generator.num_classes is None:
            return None
        if "label" not in batch:
            raise ValueError(
                f"networks with classes need 'label' in a batch; this one has {', '.join(batch)}"
            )
        return jnp.asarray(batch["label"])


GAMES: Mapping[str, Callable[[], AdversarialLoss]] = {
    name: getattr(losses.adversarial, name)
    for name in ("hinge", "least_squares", "minimax", "non_saturating", "wasserstein")
}
"""Adversarial losses by name."""


def make_step(
    generator: models.Generator,
    critic: models.Critic,
    generator_optimizer: optax.GradientTransformation,
    critic_optimizer: optax.GradientTransformation,
    *,
    game: str = "non_saturating",
    critic_steps: int = 1,
    gradient_penalty: int | float = 0.0,
    r1: int | float = 0.0,
    ema_decay: float | None = None,
    inputs: Inputs | None = None,
    axis_name: str | None = None,
) -> GANStep:
    """Makes the step of a generator and a critic, for `fit` and `parallelize`.

    Args:
        generator: The generator.
        critic: The critic, with the same `num_classes`.
        generator_optimizer: Optimizer of the generator.
        critic_optimizer: Optimizer of the critic, often with a larger learning rate (two time
            scales: Heusel et al., NeurIPS 2017). End it with `clip_parameters` to bound the
            critic's slope as in the first Wasserstein GAN.
        game: Adversarial loss: "minimax", "non_saturating", "least_squares", "hinge" or
            "wasserstein"; see `losses.adversarial`.
        critic_steps: Critic updates per generator update; a batch holds the rows of all of them.
        gradient_penalty: Factor of `losses.adversarial.gradient_penalty`; 10 in WGAN-GP.
        r1: Factor of `losses.adversarial.r1`; 10 in its paper.
        ema_decay: Decay of a moving average of the generator's parameters, which then makes the
            images; None keeps no average.
        inputs: Augmentation and normalization to the generator's range [-1, 1]; None takes a mean
            and standard deviation of 0.5.
        axis_name: `pmap` axis to average over; leave it None under `jit`.

    Returns:
        The step, `(state, batch) -> (state, metrics)`; `step.init(key)` makes its first state.

    Raises:
        TypeError: A network is none, such as a critic in the place of the generator.
        ValueError: `game` is unknown, `critic_steps` is below 1, a factor is negative or not
            finite, or the networks differ in `num_classes`; or, in a call, the batch has no images
            of the generator's shape.
        UserWarning: As a warning, if slopes are penalized of a critic with BatchNorm; or, by
            `init`, if nothing bounds the critic's slope in the game "wasserstein".

    >>> generator = models.DCGANGenerator(shape=(8, 8, 1), noise_size=4, channels=(8,))
    >>> critic = models.DCGANCritic(channels=(8,))
    >>> step = make_step(generator, critic, optax.adam(2e-4, b1=0.5), optax.adam(2e-4, b1=0.5))
    >>> state = jax.eval_shape(step.init, jax.random.key(0))
    >>> _, measured = jax.eval_shape(step, state, {"image": jnp.zeros((4, 8, 8, 1))})
    >>> sorted(name for name in measured if "norm" not in name)
    ['critic_loss', 'fake_score', 'generator_loss', 'real_score']
    """
    check_kind("generator", generator, models.Generator, "DCGANGenerator(shape=(32, 32, 3))")
    check_kind("critic", critic, models.Critic, "DCGANCritic()")
    check_name("game", game, GAMES)
    check_count("critic_steps", critic_steps)
    for name, factor in (("gradient_penalty", gradient_penalty), ("r1", r1)):
        check_not_negative(name, factor)
        if factor and critic.norm == "batch":
            warnings.warn(
                f"{name} is of the slope at single examples, which norm='batch' of the critic "
                "mixes: make the critic with norm='layer' or None",
                stacklevel=2,
            )
    if generator.num_classes != critic.num_classes:
        raise ValueError(
            "generator and critic must have the same num_classes, got "
            f"{generator.num_classes} and {critic.num_classes}"
        )
    inputs = Inputs((0.5,), (0.5,)) if inputs is None else inputs
    penalties = float(gradient_penalty), float(r1)
    players = _Players(generator, critic, GAMES[game](), *penalties, inputs)
    return GANStep(
        generator=generator,
        critic=critic,
        game=game,
        generator_step=make_train_step(
            players.generator_loss, generator_optimizer, ema_decay=ema_decay, axis_name=axis_name
        ),
        critic_step=make_train_step(players.critic_loss, critic_optimizer, axis_name=axis_name),
        critic_steps=critic_steps,
        gradient_penalty=players.gradient_penalty,
        r1=players.r1,
        inputs=inputs,
        axis_name=axis_name,
    )


def _variables(state: TrainState) -> dict[str, PyTree]:
    return {"params": state.params, **state.model_state}


def _rest(variables: Mapping[str, PyTree]) -> dict[str, PyTree]:
    return {name: tree for name, tree in variables.items() if name != "params"}


def _weight(batch: Mapping[str, Any]) -> Float[Array, " batch"]:
    return jnp.asarray(batch.get("weight", jnp.ones(len(batch["image"])))).astype(jnp.float32)
