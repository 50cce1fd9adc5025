"""Class activation maps: a layer's channels, weighted by what each contributes to the score."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.explain.attribution import Attribution, certified, relative_error
from jaxvision.explain.features import Layer, Split
from jaxvision.explain.inputs import (
    Function,
    Spatial,
    checked,
    copies_of,
    in_chunks,
    no_promise,
    size_of,
    subject,
    wide,
)
from jaxvision.explain.target import Target
from jaxvision.ops import resize

Arrange = Callable[[Array], Array]
Maps = Float[Array, "batch rows columns features"]


def cam(
    f: Function,
    images: Spatial,
    target: Target = None,
    *,
    layer: Layer = None,
    arrange: Arrange | None = None,
    tolerance: float = 0.01,
) -> Attribution:
    """Computes the class activation map of a network that ends in average pooling and a layer.

    The map is the sum of the layer's channels with the weights of the class. Its mean plus the bias
    is the score, which fails for networks that do not end that way.

    Args:
        f: A function from images to logits, whose rows do not depend on each other.
        images: Images.
        target: What is explained; see `Target`.
        layer: The features that are averaged; see `Layer` and `layer_names`.
        arrange: Rearrangement of the layer, as of tokens, to (batch, rows, columns, channels).
        tolerance: The largest relative error of the score that the map implies.

    Returns:
        A map of the shape (batch, height, width, 1), resized to the images, in units of the score.
        The error is that of the map before it is resized.

    Raises:
        TypeError: The images are not floating point.
        ValueError: The target or the layer does not exist, or the layer has no height and width.

    Reference: Zhou, Khosla, Lapedriza, Oliva & Torralba, CVPR 2016, arXiv:1512.04150.

    >>> f = lambda x: jax.nn.relu(x).mean(axis=(1, 2)) @ jnp.array([[1.0], [2.0]])
    >>> cam(f, jnp.ones((1, 3, 3, 2))).map[0, 0, 0].round(4).tolist()
    [3.0]
    """
    found = _at_layer(f, images, target, layer, arrange)
    count = found.value.shape[1] * found.value.shape[2]
    weights = found.gradient.mean(axis=(1, 2), keepdims=True) * count
    small = (weights * found.value).sum(axis=-1, keepdims=True)
    error = relative_error(small.mean(axis=(1, 2, 3)) + found.without, found.score)
    axiom = "completeness: the mean of the map plus the bias is f(x)"
    return certified(Attribution(_on_images(small, images), error, axiom, tolerance))


def grad_cam(
    f: Function,
    images: Spatial,
    target: Target = None,
    *,
    layer: Layer = None,
    arrange: Arrange | None = None,
    signed: bool = False,
) -> Attribution:
    """Computes a layer's channels, weighted by the mean gradient of the score in each.

    Args:
        f: A function from images to logits, whose rows do not depend on each other.
        images: Images.
        target: What is explained; see `Target`.
        layer: The features that are weighted; see `Layer` and `layer_names`.
        arrange: Rearrangement of the layer, as of tokens, to (batch, rows, columns, channels).
        signed: Whether to keep negative numbers, which lower the score, instead of 0.

    Returns:
        A map of the shape (batch, height, width, 1), resized to the images. It has no axiom.

    Raises:
        TypeError: The images are not floating point.
        ValueError: The target or the layer does not exist, or the layer has no height and width.

    Reference: Selvaraju et al., ICCV 2017, arXiv:1610.02391.

    >>> f = lambda x: jax.nn.relu(x).mean(axis=(1, 2)) @ jnp.array([[9.0], [18.0]])
    >>> grad_cam(f, jnp.ones((1, 3, 3, 2))).map[0, 0, 0].round(4).tolist()
    [3.0]
    """
    found = _at_layer(f, images, target, layer, arrange)
    weights = found.gradient.mean(axis=(1, 2), keepdims=True)
    return _unpromised((weights * found.value).sum(axis=-1, keepdims=True), images, signed)


def grad_cam_plus_plus(
    f: Function,
    images: Spatial,
    target: Target = None,
    *,
    layer: Layer = None,
    arrange: Arrange | None = None,
    signed: bool = False,
) -> Attribution:
    """Computes a layer's channels, weighted by positive gradients, of which rare ones count more.

    As in the paper, the exponential of the score is explained, and higher derivatives are those of
    a function that is piecewise linear up to the exponential. Its factor exp(score), one number per
    row, is left out.

    Args:
        f: A function from images to logits, whose rows do not depend on each other.
        images: Images.
        target: What is explained; see `Target`.
        layer: The features that are weighted; see `Layer` and `layer_names`.
        arrange: Rearrangement of the layer, as of tokens, to (batch, rows, columns, channels).
        signed: Whether to keep negative numbers instead of 0.

    Returns:
        A map of the shape (batch, height, width, 1), resized to the images. It has no axiom.

    Raises:
        TypeError: The images are not floating point.
        ValueError: The target or the layer does not exist, or the layer has no height and width.

    Reference: Chattopadhyay, Sarkar, Howlader & Balasubramanian, WACV 2018, arXiv:1710.11063.

    >>> f = lambda x: jax.nn.relu(x).max(axis=(1, 2)) @ jnp.array([[1.0], [2.0]])
    >>> grad_cam_plus_plus(f, jnp.arange(8.0).reshape(1, 2, 2, 2)).map.shape
    (1, 2, 2, 1)
    """
    found = _at_layer(f, images, target, layer, arrange)
    gradient, value = found.gradient, found.value
    below = 2 * gradient**2 + value.sum(axis=(1, 2), keepdims=True) * gradient**3
    share = jnp.where(below == 0, 0, gradient**2 / jnp.where(below == 0, 1, below))
    weights = (share * jnp.maximum(gradient, 0)).sum(axis=(1, 2), keepdims=True)
    return _unpromised((weights * value).sum(axis=-1, keepdims=True), images, signed)


def score_cam(
    f: Function,
    images: Spatial,
    target: Target = None,
    *,
    layer: Layer = None,
    arrange: Arrange | None = None,
    signed: bool = False,
    batch_size: int = 64,
) -> Attribution:
    """Computes a layer's channels, weighted by the score of the images that each one masks.

    Every channel is resized to the images, scaled to 0 ... 1 and multiplied with them. The weights
    are the softmax of the scores of these masked images.

    Args:
        f: A function from images to logits, whose rows do not depend on each other.
        images: Images.
        target: What is explained; see `Target`.
        layer: The features that are weighted; see `Layer` and `layer_names`.
        arrange: Rearrangement of the layer, as of tokens, to (batch, rows, columns, channels).
        signed: Whether to keep negative numbers instead of 0.
        batch_size: The most images that are evaluated at once.

    Returns:
        A map of the shape (batch, height, width, 1), resized to the images. It has no axiom.

    Raises:
        TypeError: The images are not floating point.
        ValueError: The target or the layer does not exist, or the layer has no height and width.

    Reference: Wang et al., CVPR Workshops 2020, arXiv:1910.01279.

    >>> f = lambda x: jax.nn.relu(x).mean(axis=(1, 2)) @ jnp.array([[1.0], [2.0]])
    >>> score_cam(f, jnp.arange(8.0).reshape(1, 2, 2, 2)).map.shape
    (1, 2, 2, 1)
    """
    given = subject(f, checked(images, spatial=True), target)
    value = _arranged(Split(f, given.images, layer).run(lambda each: each)[1], arrange)

    def masked_score(channel: Array) -> Array:
        mask = resize(channel[..., None], size_of(given.images))
        low, high = (each((1, 2, 3), keepdims=True) for each in (mask.min, mask.max))
        mask = (mask - low) / jnp.where(high > low, high - low, 1)
        return given.score(given.images * mask.astype(given.images.dtype))

    channels = jnp.moveaxis(value, -1, 0)
    scores = in_chunks(masked_score, channels, copies_of(given.images, batch_size))
    weights = jax.nn.softmax(scores, axis=0).T[:, None, None]
    return _unpromised((weights * value).sum(axis=-1, keepdims=True), images, signed)


class _AtLayer(NamedTuple):
    value: Maps
    gradient: Maps
    score: Float[Array, " batch"]
    without: Float[Array, " batch"]


def _at_layer(
    f: Function, images: Spatial, target: Target, layer: Layer, arrange: Arrange | None
) -> _AtLayer:
    """A layer's value, the gradient of the score in it, and the score with and without it."""
    images = checked(images, spatial=True)
    split = Split(f, images, layer)
    outputs, value = split.run(lambda each: each)
    given = subject(lambda _: outputs, images, target)

    def score(change: Array) -> Array:
        return given.of_outputs(split.run(lambda each: each + change)[0])

    gradient = jax.grad(lambda change: score(change).sum())(jnp.zeros_like(value))
    return _AtLayer(
        _arranged(value, arrange), _arranged(gradient, arrange), given.value, score(-value)
    )


def _arranged(value: Array, arrange: Arrange | None) -> Maps:
    arranged = value if arrange is None else arrange(value)
    if arranged.ndim != 4:
        raise ValueError(
            "the layer must have the shape (batch, rows, columns, channels), got "
            f"{arranged.shape}; give a function that rearranges it as arrange, or name another "
            "layer"
        )
    return arranged.astype(wide(arranged.dtype))


def _unpromised(small: Maps, images: Spatial, signed: bool) -> Attribution:
    maps = _on_images(small if signed else jnp.maximum(small, 0), images)
    return certified(Attribution(maps, no_promise(maps), "none: weights of channels", 0.0))


def _on_images(small: Maps, images: Spatial) -> Array:
    return resize(small, size_of(images))
