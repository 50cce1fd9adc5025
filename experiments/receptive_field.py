"""Measures the receptive fields of a model: the pixels its units can see, and those they do see.

    python experiments/receptive_field.py resnet18
    python experiments/receptive_field.py vgg16 --weights vgg16.pth --strides 8 16 32
    python experiments/receptive_field.py cifar_resnet20 --image-size 32

The theoretical field of a unit is the rectangle of pixels that can change it. The effective field
is how much they do: the mean absolute gradient of the unit in the middle of a map over images of
noise. `figures/fields.png` shows both. Without --weights the model is as it is before training.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Annotated, Any

from common import script
from common.learning import parse_option

import jax
import numpy as np
import tyro

from jaxvision import explain, models, plots, train

LARGEST = 2048
"""Height and width of the largest image in which theoretical fields are sought."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which model to measure, and on which images."""

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A registered model; list_models.py lists them."""
    weights: str | None = None
    """A file of torchvision's or timm's weights; None takes random ones."""
    strides: tuple[int, ...] = ()
    """The maps whose units are measured, by their stride; without any, all."""
    image_size: int | None = None
    """Height and width of the images for effective fields; None takes those that the model was made
    for."""
    channels: int = 3
    """Channels of the images."""
    model_options: dict[str, str] = dataclasses.field(default_factory=dict)
    """The model's own options, as NAME VALUE pairs: small_images True hidden_sizes 64,32."""
    num_images: int = 8
    """How many images of noise the gradients are averaged over."""
    seed: int = 0
    """Seed of the random weights and images."""
    run_dir: str = "runs/receptive_field"
    """Where the figure goes, in a folder named as the model."""
    figures: bool = True
    """Whether to draw the fields."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """The fields of a unit in the middle of a map.

    Attributes:
        stride: Stride of the map.
        grid: Theoretical fields of all units; None where a unit sees the whole image.
        unit: Row and column of the unit.
        effective: Effective field of the unit.
    """

    stride: int
    grid: explain.FieldGrid | None
    unit: tuple[int, int]
    effective: explain.EffectiveField


def main(settings: Settings) -> list[Measured]:
    """Prints the fields of all maps, and draws them."""
    train.start()
    if settings.figures:
        plots.require_matplotlib()
    if settings.num_images < 1:
        raise SystemExit(f"--num-images must be at least 1, got {settings.num_images}")
    with script.checking(TypeError):
        model = made(settings)
        size = settings.image_size or model.default_image_size
        shape = (size, size, settings.channels)
        variables = weights(settings, model, shape)
        known = models.feature_info(model.clone(in_channels=settings.channels), size)
    unknown = [stride for stride in settings.strides if stride not in known]
    if unknown:
        raise SystemExit(f"{settings.model} has no map of stride {unknown[0]}, but of {[*known]}")
    print("stride  can see (pixels)  first row  effective std")
    found = []
    for stride in settings.strides or known:
        measured = measure(settings, map_of(model, variables, stride), shape, stride)
        found.append(measured)
        print(row(measured))
    if settings.figures:
        path = pathlib.Path(settings.run_dir, settings.model, "figures", "fields.png")
        plots.save(draw(settings, found), path)
        print(path)
    return found


def made(settings: Settings) -> models.Model:
    """The model, with its options."""
    known = models.describe(models.create_model(settings.model))
    options = {
        name: parse_option(name, text, known.get(name))
        for name, text in settings.model_options.items()
    }
    return models.create_model(settings.model, in_channels=settings.channels, **options)


def weights(settings: Settings, model: models.Model, shape: tuple[int, int, int]) -> Any:
    """The variables of the model: those of a file, or random ones."""
    if settings.weights is not None:
        return models.load_weights(model, settings.weights, image_size=shape[:2])
    return jax.jit(model.init)(jax.random.key(settings.seed), np.zeros((1, *shape), np.float32))


def map_of(model: models.Model, variables: Any, stride: int) -> Callable[[Any], Any]:
    """The function from images to one of the model's maps."""
    return lambda images: model.apply(variables, images, method="features")[stride]


def measure(
    settings: Settings, f: Callable[[Any], Any], shape: tuple[int, int, int], stride: int
) -> Measured:
    """Measures the unit in the middle of a map."""
    key = jax.random.fold_in(jax.random.key(settings.seed), 1)
    images = jax.random.normal(key, (settings.num_images, *shape))
    sizes = jax.eval_shape(f, images).shape
    try:
        grid = explain.field_grid(f, shape, largest=max(LARGEST, shape[0]))
    except ValueError:  # it sees all, or the shape of its field depends on where it is
        grid = None
    effective = jax.jit(lambda x: explain.effective_receptive_field(f, x))(images)
    return Measured(stride, grid, (sizes[1] // 2, sizes[2] // 2), effective)


def row(measured: Measured) -> str:
    """A row of the table."""
    grid, std = measured.grid, measured.effective.std
    sees = "all" if grid is None else f"{grid.size[0]} x {grid.size[1]}"
    first = "" if grid is None else str(grid.start[0])
    return f"{measured.stride:6}  {sees:>16}  {first:>9}  {std[0]:.1f} x {std[1]:.1f}"


def draw(settings: Settings, found: list[Measured]) -> Any:
    """The figure of all fields."""
    boxes = [each.grid.box(*each.unit) if each.grid else None for each in found]
    sees = ["all" if each.grid is None else "{} x {}".format(*each.grid.size) for each in found]
    trained = "random weights" if settings.weights is None else pathlib.Path(settings.weights).name
    return plots.receptive_fields(
        [np.asarray(each.effective.map, np.float32) for each in found],
        [f"stride {each.stride}: can see {text}" for each, text in zip(found, sees, strict=True)],
        boxes,
        [(each.effective.center, each.effective.std) for each in found],
        title=f"What the unit in the middle of each map depends on: {settings.model}, {trained}",
    )


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
