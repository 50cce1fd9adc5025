"""Fine-tunes a trained classifier: other classes, a new head, layers that learn at their own rates.

    python experiments/finetune.py runs/lenet --run-dir runs/letters --dataset path/to/letters
    python experiments/finetune.py timm/resnet50.a1_in1k --dataset path/to/pets --layer-decay 0.7
    python experiments/finetune.py vgg11.pth --model vgg11 --dataset path/to/pets --frozen "stage.*"
    python experiments/finetune.py runs/lenet --dataset path/to/letters --phases 3

It starts from a run folder, a file of torchvision's or timm's weights, or a repository of timm's on
the Hugging Face hub. With --phases the classifier learns alone first, and earlier layers join it by
and by: each phase but the last has a run folder inside the run folder.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import classify
import jax
import script
import tyro
from classify import Settings as TrainSettings

from jaxvision import data, models, train


@dataclasses.dataclass(frozen=True)
class Settings(TrainSettings):
    """Settings of a fine-tuning."""

    start: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="START")] = dataclasses.field(
        kw_only=True
    )
    """What to start from: a run folder, a .safetensors or .pth file, or timm/NAME."""
    run_dir: str = "runs/finetune"
    """Where everything goes; a run that is there already is continued."""
    model: str = "resnet50"
    """The model of a weights file; a run folder and the hub know theirs."""
    image_size: int | tuple[int, int] | None = None
    """Height and width of the images; None takes the size that the start was trained at."""
    channels: Literal[1, 3, 4] | None = None  # type: ignore[assignment]
    """Channels of a folder's images; None takes the start's."""
    mean: tuple[float, ...] | None = None  # type: ignore[assignment]
    """Mean of the channels of images that lie between 0 and 1; None takes the start's."""
    std: tuple[float, ...] | None = None  # type: ignore[assignment]
    """Standard deviation of the channels; None takes the start's."""
    learning_rate: float = 5e-4
    """The highest learning rate, of the head."""
    layer_decay: float = 1.0
    """The ratio of the learning rates of a layer and the one after it."""
    phases: int = 1
    """In how many phases, of as many steps each, the layers join from the head to the stem."""


class Start(NamedTuple):
    """What was trained, and what goes with it."""

    model: dict[str, Any]
    """How to make the model."""
    preprocessing: data.Preprocessing
    """What its images need."""
    channels: int
    """Those of its images."""
    class_names: tuple[str, ...]
    """What its logits mean, if that is known."""
    fit: Callable[[models.Model, tuple[int, ...], bool], dict[str, Any]]
    """Gives variables for a model of other classes, from the shape of its images and whether the
    head is to be a new one."""


def open_start(settings: Settings) -> Start:
    """Reads what to start from."""
    path = pathlib.Path(settings.start).expanduser()
    if path.is_file():
        return Start(
            {"name": settings.model},
            data.IMAGENET,
            3,
            (),
            lambda model, shape, new_head: models.load_weights(
                model,
                path,
                image_size=(shape[0], shape[1]),
                new_head=new_head,
                key=jax.random.key(settings.seed),
            ),
        )
    trained: train.classification.TrainedClassifier | models.Pretrained
    if (path / "checkpoints").is_dir():
        trained = train.classification.restore(path)
        channels = trained.channels
    else:
        trained = models.load_pretrained(settings.start)
        channels = 3
    return Start(
        models.describe(trained.model),
        trained.preprocessing,
        channels,
        trained.class_names,
        lambda model, shape, new_head: models.adapt_variables(
            model,
            trained.variables,
            image_shape=shape,
            new_head=new_head,
            key=jax.random.key(settings.seed),
        ),
    )


def plan(settings: Settings, layers: train.Layers) -> list[Settings]:
    """The settings of every phase; the last is in the run folder itself."""
    phases = []
    steps = settings.num_steps // settings.phases
    for number, patterns in enumerate(train.unfreezing(layers, settings.phases), start=1):
        is_last = number == settings.phases
        phases.append(
            dataclasses.replace(
                settings,
                num_steps=settings.num_steps - steps * (settings.phases - 1) if is_last else steps,
                trainable=settings.trainable if is_last else patterns,
                run_dir=settings.run_dir if is_last else f"{settings.run_dir}/phase{number}",
                figures=settings.figures and is_last,
            )
        )
    return phases


def main(settings: Settings) -> train.FitResult:
    """Fine-tunes, evaluates, and leaves a run folder."""
    classify.begin(settings)
    if settings.phases > 1 and settings.trainable is not None:
        raise SystemExit("--phases says what is trainable; leave --trainable out, or use --frozen")
    start = open_start(settings)
    settings = dataclasses.replace(
        settings,
        dataset=classify.locate(settings.dataset),
        channels=settings.channels or start.channels,  # type: ignore[arg-type]
    )
    preprocessing = start.preprocessing if settings.image_size is None else None
    train_data, eval_data = classify.load_splits(settings, preprocessing)
    normalized = start.preprocessing.for_channels(train_data.image_shape[-1])
    settings = dataclasses.replace(
        settings,
        mean=normalized.mean if settings.mean is None else settings.mean,
        std=normalized.std if settings.std is None else settings.std,
    )
    model = classify.make_model(settings, train_data, start.model)
    layers = models.layer_order(model, train_data.image_shape)
    new_head = start.class_names != train_data.class_names
    variables = start.fit(model, train_data.image_shape, new_head)
    with script.checking():
        phases = plan(settings, layers)
        optimizers = [
            train.layerwise_decay(classify.make_optimizer(phase), layers, phase.layer_decay)
            for phase in phases
        ]
    for phase, optimizer in zip(phases, optimizers, strict=True):
        result = classify.run(phase, model, optimizer, train_data, eval_data, variables)
        variables = train.evaluation_variables(result.state)
    return result


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
