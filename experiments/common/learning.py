"""Models, inputs, losses, optimizers and devices as settings."""

import ast
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Protocol

import optax
import tyro

from common import script
from common.augmentation import Augmentation
from jaxvision import checks, data, losses, models, train
from jaxvision.suggest import shortened


class Described(Protocol):
    """What a model has to know of the images that it sees; a data set tells it."""

    @property
    def num_classes(self) -> int:
        """How many classes there are."""

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Their sizes, and then their channels."""


@dataclasses.dataclass(frozen=True)
class Model:
    """Which model learns."""

    model: str = "lenet5"
    """A registered model."""
    model_options: dict[str, str] = dataclasses.field(default_factory=dict)
    """The model's own options, as NAME VALUE pairs: small_images True hidden_sizes 64,32."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What to compute in; parameters are float32."""

    def make(
        self,
        dataset: Described,
        *,
        base: dict[str, Any] | None = None,
        axis_name: str | None = None,
    ) -> models.Model:
        """The model, or the one that `base` describes, for the images and classes of a data set.

        With `axis_name`, BatchNorm averages over the devices under pmap too.
        """
        base = base or {"name": self.model}
        with script.checking():
            known = models.describe(models.create_model(**base))
        options = {
            name: parse_option(name, text, known.get(name))
            for name, text in self.model_options.items()
        }
        if "axis_name" in known:
            options["axis_name"] = axis_name
        fixed = {
            "num_classes": dataset.num_classes,
            "in_channels": dataset.image_shape[-1],
            "dtype": None if self.dtype == "float32" else self.dtype,
        }
        with script.checking(TypeError):
            return models.create_model(**{**base, **options, **fixed})


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What is done to images before the model sees them."""

    mean: tuple[float, ...] | None = None
    """Mean of the channels of images that lie between 0 and 1, which is subtracted; None takes that
    of the model that a run starts from, or 0."""
    std: tuple[float, ...] | None = None
    """Standard deviation of the channels, which divides them; None takes that of the model that a
    run starts from, or 1."""
    augmentation: Annotated[Augmentation, tyro.conf.arg(prefix_name=False)] = dataclasses.field(
        default_factory=Augmentation
    )
    """What is done to training images."""

    def make(self, num_classes: int) -> train.Inputs:
        """The inputs of a loss."""
        with script.checking():
            augment = self.augmentation.make(num_classes)
            return train.Inputs(self.mean or (0.0,), self.std or (1.0,), augment)


@dataclasses.dataclass(frozen=True)
class Loss:
    """What a classifier minimizes."""

    loss: Literal[
        "cross_entropy", "focal", "weston_watkins_hinge", "weston_watkins_squared_hinge"
    ] = "cross_entropy"
    """The loss of an example."""
    l1: float = 0.0
    """Factor of the sum of the kernels' absolute values, which is added to the loss."""
    l2: float = 0.0
    """Factor of the sum of the kernels' squares, which is added to the loss."""
    label_smoothing: float = 0.0
    """The share of the uniform distribution in the targets."""
    class_weights: tuple[float, ...] | Literal["balanced"] | None = None
    """One weight per class, for data that have more of some; balanced takes n / (classes * count),
    from the labels of the training data."""

    def make(
        self, model: models.Model, inputs: train.Inputs, train_data: data.Dataset | None = None
    ) -> Any:
        """The loss function; `train_data` are what balanced weights are of."""
        balanced = self.class_weights == "balanced" and train_data is not None
        counts = data.class_counts(train_data) if balanced and train_data is not None else None
        with script.checking():
            if counts is not None and train_data is not None:
                say_weights(train_data.class_names, losses.balanced_weights(counts))
            return train.classification.make_loss_fn(
                model,
                loss=getattr(losses, self.loss),
                label_smoothing=self.label_smoothing,
                class_weights=self.class_weights,
                class_counts=counts,
                l1=self.l1,
                l2=self.l2,
                inputs=inputs,
            )


@dataclasses.dataclass(frozen=True)
class Optimization:
    """How the loss is minimized."""

    batch_size: int = 128
    """Images per step, over all devices."""
    num_steps: int = 1_000
    """Steps in all."""
    optimizer: Literal["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"] = (
        "adamw"
    )
    """The optimizer."""
    learning_rate: float = 2e-3
    """The highest learning rate."""
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    """How the learning rate falls."""
    warmup_steps: int | None = None
    """Steps in which it rises; None takes a twentieth of all."""
    weight_decay: float = 1e-2
    """Shrinks kernels; biases and normalization parameters are left alone."""
    clip_norm: float | None = 1.0
    """The largest global norm of a gradient."""
    ema_decay: float | None = None
    """Evaluate an exponential moving average of the parameters."""
    accumulate_steps: int = 1
    """Compute the gradient of a batch in so many parts."""
    trainable: tuple[str, ...] | None = None
    """Regular expressions over parameter paths; the others stay as they are."""
    frozen: tuple[str, ...] = ()
    """Regular expressions over parameter paths: these stay as they are."""

    def make(self) -> optax.GradientTransformation:
        """The optimizer, with its schedule."""
        warmup_steps = self.num_steps // 20 if self.warmup_steps is None else self.warmup_steps
        with script.checking():
            checks.check_count("batch_size", self.batch_size, of="images")
            checks.check_count("accumulate_steps", self.accumulate_steps, of="parts")
            schedule = train.create_schedule(
                self.schedule, self.learning_rate, self.num_steps, warmup_steps=warmup_steps
            )
            return train.create_optimizer(
                self.optimizer,
                schedule,
                weight_decay=self.weight_decay,
                clip_norm=self.clip_norm,
            )

    def make_step(
        self, loss_fn: Any, optimizer: optax.GradientTransformation, axis_name: str | None = None
    ) -> train.TrainStep:
        """The training step."""
        with script.checking():
            return train.make_train_step(
                loss_fn,
                optimizer,
                trainable=self.trainable,
                frozen=self.frozen,
                ema_decay=self.ema_decay,
                accumulate_steps=self.accumulate_steps,
                axis_name=axis_name,
            )


@dataclasses.dataclass(frozen=True)
class Devices:
    """Which devices compute, and how they share the work."""

    strategy: Literal["jit", "pmap"] = "jit"
    """How to use several devices."""
    fsdp: bool = False
    """Cut large parameters over the devices."""
    distributed: bool = False
    """Join the other processes of a pod or cluster."""

    @property
    def axis_name(self) -> str | None:
        """The name of the devices' axis, where a step sees it."""
        return "data" if self.strategy == "pmap" else None

    def parallelize(self, step: train.Step) -> train.ParallelStep:
        """The step on all devices."""
        shard = train.fsdp() if self.fsdp else None
        with script.checking():
            return train.parallelize(step, strategy=self.strategy, shard=shard)


def say_weights(names: Sequence[str], weights: Iterable[float]) -> None:
    """Prints the weights of classes, of many the first."""
    told = [f"{name} {weight:.3g}" for name, weight in zip(names, weights, strict=True)]
    print(f"class weights: {shortened(told, most=20)}")


def parse_option(name: str, text: str, default: Any) -> Any:
    """A model's option as the command line gives it: a Python literal, or a name."""
    if name in ("num_classes", "in_channels", "dtype", "axis_name"):
        raise SystemExit(f"{name} is not given in --model-options: the data or another flag say it")
    if isinstance(default, str):
        return text
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text  # create_model says what it must be
    return (value,) if isinstance(default, list) and isinstance(value, int) else value
