"""Predicts memory and time of a training step on a TPU slice, without needing a TPU.

    python experiments/plan.py --model resnet50 --topology v5e:4x4 --batch-size 1024 \
        --image-size 224 --dtype bfloat16
    python experiments/plan.py --model resnet50 --topology v6e:2x4 --batch-size 4096 --fsdp
    python experiments/plan.py --segmenter unet --model resnet34 --image-size 512 --batch-size 64
    python experiments/plan.py --dataset digits --model lenet5 --batch-size 1024

The step is compiled for the slice, which takes seconds to minutes, but it does not run. The
printed numbers are per chip: the memory, what uses it and whether it is enough; operations;
communication between chips; the least time of a step, and what limits it. If the memory is not
enough, a list of changes that would help follows. The script needs the TPU compiler: pip install
".[tpu]"
"""

import dataclasses
import importlib.metadata
from typing import Annotated, Any, Literal, NamedTuple

from common import script
from common.learning import Devices, Inputs, Model, Optimization, parse_option
from common.script import FLAT

import jax
import jax.numpy as jnp

from jaxvision import checks, models, train

Known = Literal["digits", "shapes"]
DATA: dict[Known, tuple[int, int, int]] = {"digits": (32, 1, 10), "shapes": (64, 3, 3)}
"""Image size, channels and classes of data sets, as the scripts use them."""


class Shapes(NamedTuple):
    """The shape of the images (height, width, channels), and the number of classes."""

    image_shape: tuple[int, ...]
    num_classes: int


@dataclasses.dataclass(frozen=True)
class Images:
    """The images of a batch. No data are read: their shapes are enough."""

    dataset: Known | None = None
    """Data set that gives the defaults of --image-size, --channels and --num-classes."""
    image_size: int | None = None
    """Height and width of the images, in pixels; None takes those of the data set, or 224."""
    channels: int | None = None
    """Channels of the images; None takes those of the data set, or 3."""
    num_classes: int | None = None
    """Number of classes; None takes that of the data set, or 1,000."""

    def shapes(self) -> Shapes:
        """The given shapes; the rest are those of the data set."""
        usual = (224, 3, 1000) if self.dataset is None else DATA[self.dataset]
        given = {
            "image_size": self.image_size,
            "channels": self.channels,
            "num_classes": self.num_classes,
        }
        chosen = {
            name: default if value is None else value
            for (name, value), default in zip(given.items(), usual, strict=True)
        }
        for name, value in chosen.items():
            with script.checking():
                checks.check_count(name, value)
        size = chosen["image_size"]
        return Shapes((size, size, chosen["channels"]), chosen["num_classes"])


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a plan."""

    topology: str = "v5e:2x4"
    """Type of the chips and their number along each axis, such as v5e:4x4, v6e:2x4, v5p:2x2x2 or
    v4:4x4x4."""
    images: Annotated[Images, FLAT] = dataclasses.field(default_factory=Images)
    model: Annotated[Model, FLAT] = dataclasses.field(
        default_factory=lambda: Model(model="resnet50")
    )
    segmenter: str | None = None
    """Name of a segmenter (models.list_segmenters()) with --model as its backbone; None plans the
    training of a classifier."""
    optimization: Annotated[Optimization, FLAT] = dataclasses.field(
        default_factory=lambda: Optimization(batch_size=1024, optimizer="momentum")
    )
    inputs: Annotated[Inputs, FLAT] = dataclasses.field(default_factory=Inputs)
    devices: Annotated[Devices, FLAT] = dataclasses.field(default_factory=Devices)


def main(settings: Settings) -> train.planning.Plan:
    """Compiles the step, and prints its memory and time."""
    jax.config.update("jax_platforms", "cpu")  # leaves a local TPU free for others
    devices, optimization = settings.devices, settings.optimization
    if devices.distributed:
        raise SystemExit("--distributed is for runs; a plan is made by one process for all chips")
    shapes = settings.images.shapes()
    with script.checking():
        checks.check_count("batch_size", optimization.batch_size)
        mesh = train.planning.tpu_mesh(settings.topology)
    model, loss_fn = make_loss(settings, shapes)
    optimizer = optimization.make()
    step = optimization.make_step(loss_fn, optimizer, devices.axis_name)
    batch = make_batch(settings, shapes)

    def begin() -> train.TrainState:
        return step.prepare(train.init_state(jax.random.key(0), model, optimizer, batch))

    with script.checking():
        parallel = train.parallelize(
            step, mesh, devices.strategy, train.fsdp() if devices.fsdp else None
        )
        state = jax.eval_shape(begin)
        plan = train.planning.plan(parallel, state, batch)
    print(heading(settings, shapes, plan))
    changes = [] if plan.fits else changes_of(settings, parallel, state, batch, plan)
    print(train.planning.report(plan, changes))
    return plan


def make_loss(settings: Settings, shapes: Shapes) -> tuple[Any, Any]:
    """Makes the model and its loss function."""
    inputs = settings.inputs.make(shapes.num_classes)
    if settings.segmenter is None:
        model: Any = settings.model.make(shapes, axis_name=settings.devices.axis_name)
        return model, train.classification.make_loss_fn(model, inputs=inputs)
    with script.checking():
        known = models.describe(models.create_model(settings.model.model))
        options = {
            name: parse_option(name, text, known.get(name))
            for name, text in settings.model.model_options.items()
        }
        model = models.create_segmenter(
            settings.segmenter,
            backbone=settings.model.model,
            num_classes=shapes.num_classes,
            backbone_options={
                **options,
                "in_channels": shapes.image_shape[-1],
                "dtype": None if settings.model.dtype == "float32" else settings.model.dtype,
            },
        )
    return model, train.segmentation.make_loss_fn(model, inputs=inputs)


def make_batch(settings: Settings, shapes: Shapes) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of a batch: images of 8 bits, and labels or masks."""
    count, (height, width, _) = settings.optimization.batch_size, shapes.image_shape
    image = jax.ShapeDtypeStruct((count, *shapes.image_shape), jnp.uint8)
    if settings.segmenter is None:
        return {"image": image, "label": jax.ShapeDtypeStruct((count,), jnp.int32)}
    return {"image": image, "mask": jax.ShapeDtypeStruct((count, height, width), jnp.int32)}


def heading(settings: Settings, shapes: Shapes, plan: train.planning.Plan) -> str:
    """The first lines of the output: model, batch, chips and versions."""
    model, devices = settings.model.model, settings.devices
    if settings.segmenter is not None:
        model = f"{settings.segmenter} over {model}"
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("jax", "libtpu"))
    return (
        f"{model} in {settings.model.dtype}, {settings.optimization.batch_size:,} images of "
        f"{'x'.join(map(str, shapes.image_shape))}, {settings.optimization.optimizer}, by "
        f"{devices.strategy}{' with FSDP' if devices.fsdp else ''}\n"
        f"chips           {plan.devices} of {settings.topology}; compiled in "
        f"{plan.compile_seconds:.0f} s by {versions}"
    )


def changes_of(
    settings: Settings,
    parallel: train.ParallelStep,
    state: Any,
    batch: Any,
    plan: train.planning.Plan,
) -> list[train.planning.Change]:
    """Changes that need less memory, in terms of the flags of this script."""
    changes = train.planning.advise(parallel, state, batch, plan)
    if settings.model.dtype == "float32":
        changes.insert(
            0,
            train.planning.Change(
                "compute in bfloat16 (--dtype bfloat16)",
                plan.needed - 0.5 * plan.temporaries,
                "less precise sums; parameters stay float32",
            ),
        )
    return changes


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
