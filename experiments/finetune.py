"""Fine-tunes a trained classifier on other data and classes.

    python experiments/finetune.py runs/lenet --run-dir runs/letters --dataset path/to/letters
    python experiments/finetune.py timm/resnet50.a1_in1k --dataset path/to/pets --layer-decay 0.7
    python experiments/finetune.py vgg11.pth --model vgg11 --dataset path/to/pets --frozen "stage.*"
    python experiments/finetune.py runs/lenet --dataset path/to/letters --phases 3

START is a run folder, a file of weights from torchvision or timm, or a repository of timm on the
Hugging Face hub. If the classes differ, the model gets a new head. Layers can have different
learning rates (--layer-decay), stay fixed (--frozen), or be unfrozen gradually (--phases): the
first phase trains the head alone, and each phase adds earlier layers. Each phase but the last has a
run folder inside the run folder.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

from common import script
from common.data import Data
from common.learning import Model, Optimization
from common.places import kind_of_model, run_folder
from common.run import Run, train_model
from common.run import Settings as TrainSettings
from common.script import FLAT

import jax
import tyro

from jaxvision import data, models, train


@dataclasses.dataclass(frozen=True)
class Start:
    """The model to start from, and how its layers are trained."""

    start: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="START")]
    """A run folder; a .safetensors or .pth file with weights of --model; or timm/NAME, a repository
    on the Hugging Face hub."""
    layer_decay: float = 1.0
    """Ratio of the learning rate of each layer to that of the next one, in (0, 1]. The head has
    --learning-rate; 1 gives all layers the same rate."""
    phases: int = 1
    """Number of phases of gradual unfreezing, each with the same share of --num-steps. The first
    trains the head alone, the last one all layers."""


@dataclasses.dataclass(frozen=True)
class Settings(TrainSettings):
    """Settings of fine-tuning: those of a training, with other defaults."""

    start: Annotated[Start, FLAT] = dataclasses.field(kw_only=True)
    run: Annotated[Run, FLAT] = dataclasses.field(
        default_factory=lambda: Run(run_dir="runs/finetune")
    )
    data: Annotated[Data, FLAT] = dataclasses.field(default_factory=lambda: Data(image_size=None))
    model: Annotated[Model, FLAT] = dataclasses.field(
        default_factory=lambda: Model(model="resnet50")
    )
    optimization: Annotated[Optimization, FLAT] = dataclasses.field(
        default_factory=lambda: Optimization(learning_rate=5e-4)
    )


class Opened(NamedTuple):
    """A trained model to start from."""

    model: dict[str, Any]
    """Arguments of `models.create_model`."""
    preprocessing: data.Preprocessing
    """Preprocessing of its images."""
    channels: int
    """Number of channels of its images."""
    class_names: tuple[str, ...]
    """Names of its classes; empty if they are unknown."""
    fit: Callable[[models.Model, tuple[int, ...], bool], dict[str, Any]]
    """`fit(model, image_shape, new_head)` adapts its variables to a model with other classes."""


def open_start(settings: Settings) -> Opened:
    """Opens the model to start from."""
    start, key = settings.start.start, jax.random.key(settings.run.seed)
    kind = kind_of_model(start)
    if kind == "file":
        path = pathlib.Path(start).expanduser()
        return Opened(
            {"name": settings.model.model},
            data.IMAGENET,
            3,
            (),
            lambda model, shape, new_head: models.load_weights(
                model, path, image_size=(shape[0], shape[1]), new_head=new_head, key=key
            ),
        )
    channels = 3
    if kind == "run":
        trained = train.restore(run_folder(start))
        with script.asking():
            given, variables = trained.backbone()
        preprocessing = trained.preprocessing
        if preprocessing is None or not isinstance(given, models.Model):
            raise SystemExit(f"{start} is not the run of a model of images")
        channels = trained.record.data["image_shape"][2]
        class_names = trained.run.names("label")
    else:
        with script.checking():
            pretrained = models.load_pretrained(start)
        given, variables = pretrained.model, pretrained.variables
        preprocessing, class_names = pretrained.preprocessing, pretrained.class_names
    return Opened(
        models.describe(given),
        preprocessing,
        channels,
        class_names,
        lambda model, shape, new_head: models.adapt_variables(
            model, variables, image_shape=shape, new_head=new_head, key=key
        ),
    )


def plan(settings: Settings, layers: train.Layers) -> list[Settings]:
    """The settings of every phase; the last phase is in the run folder itself."""
    run, optimization = settings.run, settings.optimization
    phases = []
    count = settings.start.phases
    patterns_of_phases = train.unfreezing(layers, count)
    steps = optimization.num_steps // count
    if steps < 1 < count:
        raise ValueError(f"--num-steps {optimization.num_steps} is less than --phases {count}")
    for number, patterns in enumerate(patterns_of_phases, start=1):
        is_last = number == count
        phases.append(
            dataclasses.replace(
                settings,
                run=dataclasses.replace(
                    run,
                    run_dir=run.run_dir if is_last else f"{run.run_dir}/phase{number}",
                    figures=run.figures and is_last,
                ),
                optimization=dataclasses.replace(
                    optimization,
                    num_steps=optimization.num_steps - steps * (count - 1) if is_last else steps,
                    trainable=optimization.trainable if is_last else patterns,
                ),
            )
        )
    return phases


def main(settings: Settings) -> train.FitResult:
    """Fine-tunes and evaluates a classifier, and writes a run folder."""
    settings.run.begin(settings.devices)
    if settings.start.phases > 1 and settings.optimization.trainable is not None:
        raise SystemExit(
            "--phases decides what is trainable: leave out --trainable, or use --frozen"
        )
    start = open_start(settings)
    chosen = settings.data.located()
    if chosen.channels is None and chosen.dataset.startswith("/"):
        channels: Any = start.channels
        chosen = dataclasses.replace(chosen, channels=channels)
    preprocessing = start.preprocessing if chosen.image_size is None else None
    train_data, eval_data = chosen.load_splits(settings.run.seed, preprocessing)
    normalized = start.preprocessing.for_channels(train_data.image_shape[-1])
    inputs = dataclasses.replace(
        settings.inputs,
        mean=normalized.mean if settings.inputs.mean is None else settings.inputs.mean,
        std=normalized.std if settings.inputs.std is None else settings.inputs.std,
    )
    settings = dataclasses.replace(settings, data=chosen, inputs=inputs)
    axis_name = settings.devices.axis_name
    model = settings.model.make(train_data, base=start.model, axis_name=axis_name)
    new_head = start.class_names != train_data.class_names
    loss_fn = settings.loss.make(model, settings.inputs.make(model.num_classes), train_data)
    decay = settings.start.layer_decay
    with script.checking():
        layers = models.layer_order(model, train_data.image_shape)
        phases = plan(settings, layers)
        optimizers = [
            train.layerwise_decay(phase.optimization.make(), layers, decay) for phase in phases
        ]
        variables = start.fit(model, train_data.image_shape, new_head)
    for phase, optimizer in zip(phases, optimizers, strict=True):
        result = train_model(phase, model, loss_fn, train_data, eval_data, variables, optimizer)
        variables = train.evaluation_variables(result.state)
    return result


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
