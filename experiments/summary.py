"""Prints the layers of a model, with their shapes, parameters and multiply-adds.

    python experiments/summary.py resnet50 --image-size 224
    python experiments/summary.py lenet5 --channels 1 --depth 1

Multiply-adds are those of one image.
"""

import dataclasses
from typing import Annotated

from common import script
from common.learning import parse_option

import tyro

from jaxvision import models


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the table."""

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """Name of a registered model; experiments/list_models.py lists them."""
    image_size: int | None = None
    """Height and width of the images, in pixels; None takes the default size of the model."""
    channels: int = 3
    """Number of channels of the images."""
    num_classes: int = 1000
    """Number of classes."""
    model_options: dict[str, str] = dataclasses.field(default_factory=dict)
    """Options of the model, as NAME VALUE pairs, such as: small_images True hidden_sizes 64,32."""
    depth: int | None = None
    """Number of levels of nested modules to show; None shows all."""


def main(settings: Settings) -> models.ModelSummary:
    """Prints the table."""
    with script.checking(TypeError):
        known = models.describe(models.create_model(settings.model))
        options = {
            name: parse_option(name, text, known.get(name))
            for name, text in settings.model_options.items()
        }
        model = models.create_model(
            settings.model,
            num_classes=settings.num_classes,
            in_channels=settings.channels,
            **options,
        )
        size = settings.image_size or model.default_image_size
        return models.summary(model, (1, size, size, settings.channels), depth=settings.depth)


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
