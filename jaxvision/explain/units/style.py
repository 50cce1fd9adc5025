"""Texture synthesis and style transfer by Gram matrices."""

from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from jaxvision.checks import check_name
from jaxvision.explain.units.canvas import Canvas, Images, pixels
from jaxvision.explain.units.synthesis import Synthesis, synthesize
from jaxvision.metrics import total_variation

Normalization = Literal["elements", "pixels", "none"]
Maps = Float[Array, "batch height width channels"]
Gram = Float[Array, "batch channels channels"]
OneImage = Float[Array, "one rows columns channels"]
Weights = Mapping[Any, int | float]


def gram_matrix(maps: Maps, normalization: Normalization = "elements") -> Gram:
    """Multiplies every two channels of maps and adds up over the pixels.

    The weight of a style only means something together with the normalization, and publications
    differ in it:

    - "elements" divides by height, width and channels: Johnson et al., and PyTorch's tutorial of
      style transfer for a batch of one image.
    - "pixels" divides by height and width, so that images of other sizes compare. The loss of Gatys
      et al. is a quarter of `style_loss` with it.
    - "none" divides by nothing.

    Args:
        maps: Feature maps.
        normalization: What the sums are divided by.

    Raises:
        ValueError: The normalization is unknown.

    References: Gatys et al., Texture synthesis using convolutional neural networks, NeurIPS 2015,
    arXiv:1505.07376; Johnson et al., Perceptual losses, ECCV 2016, arXiv:1603.08155.

    >>> maps = jnp.broadcast_to(jnp.array([1.0, 2.0]), (1, 3, 3, 2))
    >>> gram_matrix(maps, "pixels").tolist()
    [[[1.0, 2.0], [2.0, 4.0]]]
    """
    check_name("normalization", normalization, ("elements", "pixels", "none"))
    _, height, width, channels = maps.shape
    counts = {"elements": height * width * channels, "pixels": height * width, "none": 1}
    wide = maps.astype(jnp.promote_types(maps.dtype, jnp.float32))
    return jnp.einsum("bhwc,bhwd->bcd", wide, wide) / counts[normalization]


def style_loss(
    maps: Maps,
    target: Float[Array, "#batch channels channels"],
    normalization: Normalization = "elements",
) -> Float[Array, " batch"]:
    """Computes the mean squared difference of the Gram matrices of maps to given ones.

    It does not change if the pixels are permuted.

    Args:
        maps: Feature maps.
        target: Gram matrices of the style, of the same normalization; one for all maps, or one for
            each.
        normalization: That of `gram_matrix`.

    >>> maps = jnp.ones((1, 2, 2, 1))
    >>> style_loss(maps, jnp.zeros((1, 1, 1)), "none").item()
    16.0
    """
    return ((gram_matrix(maps, normalization) - target) ** 2).mean(axis=(1, 2))


def synthesize_texture(
    f: Any,
    texture: OneImage,
    key: Key[Array, ""],
    *,
    layers: Weights,
    normalization: Normalization = "elements",
    image_size: tuple[int, int] | None = None,
    count: int = 1,
    steps: int = 256,
    optimizer: optax.GradientTransformation | None = None,
    canvas: Canvas | None = None,
) -> Synthesis:
    """Makes images with the texture of an image: with the same Gram matrices, anything else random.

    Args:
        f: Function from images in [0, 1] to maps by layer, such as the `features` of a model.
        texture: A batch of one image.
        key: Random key of the first images, which are noise.
        layers: Layers whose Gram matrices are kept, and the weight of each.
        normalization: That of `gram_matrix`.
        image_size: Height and width of the images; None takes those of the texture.
        count: Number of images.
        steps: Number of steps.
        optimizer: An optimizer of optax; None is L-BFGS.
        canvas: How images are parametrized; None is `pixels()`.

    Raises:
        ValueError: `f` has no such layer, there are none, or there is not one texture.

    Reference: Gatys et al., Texture synthesis using convolutional neural networks, NeurIPS 2015,
    arXiv:1505.07376.

    >>> f = lambda images: {1: images, 2: images[:, ::2, ::2]}
    >>> make = lambda image, key: synthesize_texture(
    ...     f, image, key, layers={1: 1.0, 2: 0.5}, image_size=(16, 24), count=2)
    >>> jax.eval_shape(make, jnp.ones((1, 8, 8, 3)), jax.random.key(0)).images.shape
    (2, 16, 24, 3)
    """
    grams = _grams(f, texture, layers, normalization)
    size = texture.shape[1:3] if image_size is None else image_size
    shape = (count, *size, texture.shape[3])
    start = jax.random.uniform(key, shape, texture.dtype)

    def loss(images: Any) -> Float[Array, " batch"]:
        return _style(f(images), grams, layers, normalization)

    return synthesize(
        loss,
        start,
        steps=steps,
        optimizer=optax.lbfgs() if optimizer is None else optimizer,
        canvas=pixels() if canvas is None else canvas,
    )


def transfer_style(
    f: Any,
    content: Images,
    style: OneImage,
    *,
    content_layers: Weights,
    style_layers: Weights,
    normalization: Normalization = "elements",
    smoothness: int | float = 0.0,
    steps: int = 256,
    optimizer: optax.GradientTransformation | None = None,
    canvas: Canvas | None = None,
) -> Synthesis:
    """Paints images in the style of another: their features, with its Gram matrices.

    The loss is the mean squared difference of the maps of `content_layers`, plus `style_loss` of
    `style_layers`, plus the prior, each times its weight. It begins with the content.

    Args:
        f: Function from images in [0, 1] to maps by layer, such as the `features` of a model.
        content: The images.
        style: A batch of one image of any size.
        content_layers: Layers whose maps are kept, and the weight of each.
        style_layers: Layers whose Gram matrices are those of the style, and the weight of each.
        normalization: That of `gram_matrix`.
        smoothness: Weight of the prior: the total variation per pixel.
        steps: Number of steps.
        optimizer: An optimizer of optax; None is L-BFGS.
        canvas: How images are parametrized; None is `pixels()`.

    Raises:
        ValueError: `f` has no such layer, there are none, or there is not one style.

    Reference: Gatys et al., Image style transfer using convolutional neural networks, CVPR 2016.

    >>> f = lambda images: {1: images, 2: images[:, ::2, ::2]}
    >>> paint = lambda content, style: transfer_style(
    ...     f, content, style, content_layers={2: 1.0}, style_layers={1: 1e3, 2: 1e3})
    >>> jax.eval_shape(paint, jnp.ones((2, 8, 8, 3)), jnp.ones((1, 6, 6, 3))).images.shape
    (2, 8, 8, 3)
    """
    grams = _grams(f, style, style_layers, normalization)
    kept = f(content)
    _check_layers(kept, content_layers)

    def loss(images: Any) -> Float[Array, " batch"]:
        maps = f(images)
        total = _style(maps, grams, style_layers, normalization)
        for layer, weight in content_layers.items():
            total += weight * ((maps[layer] - kept[layer]) ** 2).mean(axis=(1, 2, 3))
        pixels_per_image = images.shape[1] * images.shape[2]
        return total + smoothness * total_variation(images) / pixels_per_image

    return synthesize(
        loss,
        content,
        steps=steps,
        optimizer=optax.lbfgs() if optimizer is None else optimizer,
        canvas=pixels() if canvas is None else canvas,
    )


def _grams(
    f: Any, style: OneImage, layers: Weights, normalization: Normalization
) -> dict[Any, Any]:
    if len(style) != 1:
        raise ValueError(f"give one image whose style is taken, got {len(style)}")
    maps = f(style)
    _check_layers(maps, layers)
    return {layer: gram_matrix(maps[layer], normalization) for layer in layers}


def _check_layers(maps: Mapping[Any, Any], layers: Weights) -> None:
    unknown = [layer for layer in layers if layer not in maps]
    if unknown or not layers:
        raise ValueError(
            f"f has no layer {unknown[0]!r}, but {[*maps]}"
            if unknown
            else "name at least one layer"
        )


def _style(
    maps: Mapping[Any, Any],
    grams: Mapping[Any, Any],
    layers: Weights,
    normalization: Normalization,
) -> Float[Array, " batch"]:
    losses = [
        weight * style_loss(maps[layer], grams[layer], normalization)
        for layer, weight in layers.items()
    ]
    return jnp.stack(losses).sum(axis=0)
