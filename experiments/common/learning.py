"""Settings of models, inputs, losses, optimizers and devices."""

import ast
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Protocol

from common import script
from common.augmentation import Augmentation

import optax
import tyro

from jaxvision import checks, data, losses, models, train
from jaxvision.suggest import shortened


class Described(Protocol):
    """What a model needs to know of its images; `data.Dataset` has these attributes."""

    @property
    def num_classes(self) -> int:
        """Number of classes."""

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height and width (of volumes also depth), then the number of channels."""


@dataclasses.dataclass(frozen=True)
class Model:
    """The model to train."""

    model: str = "lenet5"
    """Name of a registered model; experiments/list_models.py lists them."""
    model_options: dict[str, str] = dataclasses.field(default_factory=dict)
    """Options of the model, as NAME VALUE pairs, such as: small_images True hidden_sizes 64,32."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the computation. Parameters are always stored in float32."""

    def make(
        self,
        dataset: Described,
        *,
        base: dict[str, Any] | None = None,
        axis_name: str | None = None,
    ) -> models.Model:
        """Makes the model, or that which `base` describes, for the images and classes of the data.

        With `axis_name`, batch normalization averages over all devices of pmap.
        """
        if base is None and "/" in self.model:
            start = script.command("finetune", self.model)
            raise SystemExit(f"--model {self.model} has trained weights: {start} --dataset ...")
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
    """Preparation of images for the model."""

    mean: tuple[float, ...] | None = None
    """Mean subtracted from images in [0, 1]: one number, or one per channel. None takes 0; in
    fine-tuning, the mean of the model that it starts from."""
    std: tuple[float, ...] | None = None
    """Standard deviation by which images are then divided: one number, or one per channel. None
    takes 1; in fine-tuning, the deviation of the model that it starts from."""
    augmentation: Annotated[Augmentation, tyro.conf.arg(prefix_name=False)] = dataclasses.field(
        default_factory=Augmentation
    )
    """Random augmentation of training images."""

    def make(self, num_classes: int) -> train.Inputs:
        """Makes the inputs of a loss."""
        with script.checking():
            augment = self.augmentation.make(num_classes)
            mean = (0.0,) if self.mean is None else self.mean
            std = (1.0,) if self.std is None else self.std
            if not mean or not std:
                raise ValueError("--mean and --std need one number, or one per channel")
            return train.Inputs(mean, std, augment)


@dataclasses.dataclass(frozen=True)
class Loss:
    """The loss of a classifier."""

    loss: Literal[
        "cross_entropy", "focal", "weston_watkins_hinge", "weston_watkins_squared_hinge"
    ] = "cross_entropy"
    """Loss of an example, as a function of its logits and class."""
    l1: float = 0.0
    """Weight of an L1 penalty: the sum of the absolute values of all kernels."""
    l2: float = 0.0
    """Weight of an L2 penalty: the sum of the squares of all kernels."""
    label_smoothing: float = 0.0
    """Label smoothing: share of the uniform distribution in the targets, in [0, 1]; 0.1 is usual.
    Only for cross_entropy."""
    class_weights: tuple[float, ...] | Literal["balanced"] | None = None
    """Weights of the classes in the loss, one number per class, for imbalanced data. balanced takes
    n / (classes * count): rare classes weigh more. None weighs all examples equally. Only for
    cross_entropy."""

    def make(
        self, model: models.Model, inputs: train.Inputs, train_data: data.Dataset | None = None
    ) -> Any:
        """Makes the loss function; balanced weights come from the labels of `train_data`."""
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
    """Minimization of the loss."""

    batch_size: int = 128
    """Number of images in a training step, over all devices together."""
    num_steps: int = 1_000
    """Number of training steps; dataset size / batch size steps are an epoch."""
    optimizer: Literal["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"] = (
        "adamw"
    )
    """Optimization algorithm. momentum is SGD with momentum."""
    learning_rate: float = 2e-3
    """Highest learning rate, reached at the end of the warmup."""
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    """Learning rate after the warmup: constant; cosine, which falls to 0 at the last step; or step,
    which divides it by 10 after 50% and again after 75% of the steps."""
    warmup_steps: int | None = None
    """Number of first steps in which the learning rate rises linearly from 0; None takes 5% of all
    steps."""
    weight_decay: float = 1e-2
    """Weight decay of kernels. Biases and parameters of normalization layers do not decay."""
    clip_norm: float | None = 1.0
    """Maximal global norm of the gradient, which is scaled down to it; None does not clip."""
    ema_decay: float | None = None
    """Decay of an exponential moving average of the parameters, such as 0.999, which evaluations
    use; None evaluates the current parameters."""
    accumulate_steps: int = 1
    """Number of parts of a batch whose gradients are computed one after another and averaged, which
    saves memory; must divide --batch-size."""
    trainable: tuple[str, ...] | None = None
    """Regular expressions of paths of parameters to train, such as "head.*"; all others stay fixed.
    None trains all parameters."""
    frozen: tuple[str, ...] = ()
    """Regular expressions of paths of parameters that stay fixed, such as "stem.*"."""

    def make(self) -> optax.GradientTransformation:
        """Makes the optimizer, with its learning-rate schedule."""
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
        """Makes the training step."""
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
    """Distribution over devices. All devices that JAX finds are used."""

    strategy: Literal["jit", "pmap"] = "jit"
    """How a batch is divided among several devices: jit (one program for all devices, partitioned
    by the compiler) or pmap (one program per device)."""
    fsdp: bool = False
    """Divide large parameters and optimizer states among the devices, which saves memory (FSDP)."""
    distributed: bool = False
    """Train together with the other processes of a TPU pod or cluster, where each process is
    started with the same command."""

    @property
    def axis_name(self) -> str | None:
        """Name of the axis of devices inside a step under pmap; None under jit."""
        return "data" if self.strategy == "pmap" else None

    def parallelize(self, step: train.Step) -> train.ParallelStep:
        """Distributes a step over all devices."""
        shard = train.fsdp() if self.fsdp else None
        with script.checking():
            return train.parallelize(step, strategy=self.strategy, shard=shard)


def say_weights(names: Sequence[str], weights: Iterable[float]) -> None:
    """Prints the weights of classes; if there are many, only the first."""
    told = [f"{name} {weight:.3g}" for name, weight in zip(names, weights, strict=True)]
    print(f"class weights: {shortened(told, most=20)}")


def parse_option(name: str, text: str, default: Any) -> Any:
    """Parses the text of a model's option from the command line: a Python literal, or a name."""
    if name in ("num_classes", "in_channels", "dtype", "axis_name"):
        raise SystemExit(
            f"{name} is not given in --model-options: the data or another flag determine it"
        )
    if isinstance(default, str):
        return text
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text  # create_model says what it must be
    return (value,) if isinstance(default, list) and isinstance(value, int) else value
