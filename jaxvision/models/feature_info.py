"""Strides, channels and sizes of a model's feature maps, without computing the maps."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxvision.models.base import Model


class FeatureInfo(NamedTuple):
    """The feature map of a model at one stride.

    Attributes:
        channels: Number of channels.
        size: Height and width of the map, for the given size of images.
        is_padded: Whether `size` is the image's size divided by the stride, rounded up. Models with
            unpadded convolutions have smaller maps.
    """

    channels: int
    size: tuple[int, int]
    is_padded: bool


def feature_info(
    model: Model, image_size: int | tuple[int, int] | None = None
) -> dict[int, FeatureInfo]:
    """Describes the maps that `features` computes, for decoders and detectors built on a model.

    The model is traced for one image; nothing is compiled or computed.

    Args:
        model: Model whose maps are described.
        image_size: Height and width of the images, or one number for both; None takes the size that
            the architecture was designed for.

    Returns:
        A description of each map by stride, finest first.

    Raises:
        ValueError: The images are too small for the model.

    >>> from jaxvision import models
    >>> info = feature_info(models.create_model("resnet18"), 65)
    >>> {stride: each.channels for stride, each in info.items()}
    {2: 64, 4: 64, 8: 128, 16: 256, 32: 512}
    >>> info[4]
    FeatureInfo(channels=64, size=(17, 17), is_padded=True)
    """
    size = model.default_image_size if image_size is None else image_size
    height, width = (size, size) if isinstance(size, int) else size
    image = jax.ShapeDtypeStruct((1, height, width, model.in_channels or 3), jnp.float32)

    def features(image: Any) -> Any:
        return model.init_with_output(jax.random.key(0), image, method="features")[0]

    return {
        stride: FeatureInfo(
            channels=shape[3],
            size=(shape[1], shape[2]),
            is_padded=(shape[1], shape[2]) == (-(-height // stride), -(-width // stride)),
        )
        for stride, shape in (
            (stride, maps.shape) for stride, maps in jax.eval_shape(features, image).items()
        )
    }
