"""Images to which a unit or a class responds most."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from jaxvision.explain.target import Target, score_of
from jaxvision.explain.units.canvas import Canvas, frequencies
from jaxvision.explain.units.synthesis import Synthesis, synthesize
from jaxvision.metrics import total_variation


def maximize(
    f: Any,
    target: Target,
    image_shape: Sequence[int],
    key: Key[Array, ""],
    *,
    count: int = 1,
    steps: int = 256,
    learning_rate: int | float = 0.05,
    canvas: Canvas | None = None,
    jitter: int | None = None,
    smoothness: int | float = 0.0,
) -> Synthesis:
    """Makes images that raise a score: of a class, a unit, a channel.

    It begins with almost gray images, follows the gradient with Adam, and moves the images at each
    step. The loss is the negative score plus the prior.

    Args:
        f: Function of images in [0, 1].
        target: A class, one class per image, or a function from the outputs of `f` to one number
            per image, such as `lambda maps: maps[:, :, :, 3].mean((1, 2))` for a channel.
        image_shape: Height, width and channels of the images.
        key: Random key of the first images and of the jitter.
        count: Number of images, unless `target` has one class per image.
        steps: Number of steps.
        learning_rate: Learning rate of Adam, in the numbers of the canvas.
        canvas: How images are parametrized; None is `frequencies()`.
        jitter: Largest movement in pixels, as in `synthesize`; None takes 1/28 of the shorter side,
            which is 8 of 224 pixels.
        smoothness: Weight of the prior: the total variation per pixel.

    Raises:
        ValueError: The target is None, or does not fit the outputs of `f`.

    References: Simonyan et al., Deep inside convolutional networks, arXiv:1312.6034; Mordvintsev et
    al., Inceptionism, 2015; Olah et al., Feature visualization, Distill 2017.

    >>> from jaxvision.explain import pixels
    >>> f = lambda images: images.mean((1, 2))
    >>> made = maximize(f, 0, (4, 4, 3), jax.random.key(0), canvas=pixels())
    >>> bool((made.images[..., 0] > 0.9).all()), bool((abs(made.images[..., 1] - 0.5) < 0.1).all())
    (True, True)
    """
    if target is None:
        raise ValueError("target must be a class or a function of the outputs, got None")
    rows = count if callable(target) or np.ndim(target) == 0 else np.shape(target)[0]
    canvas = frequencies() if canvas is None else canvas
    first, moves = jax.random.split(key)
    start = canvas.to_images(0.01 * jax.random.normal(first, (rows, *image_shape)))

    def loss(images: Any) -> Float[Array, " batch"]:
        outputs = f(images)
        prior = total_variation(images) / (images.shape[1] * images.shape[2])
        return smoothness * prior - score_of(outputs, target)(outputs)

    return synthesize(
        loss,
        start,
        steps=steps,
        optimizer=optax.adam(learning_rate),
        canvas=canvas,
        jitter=round(min(image_shape[:2]) / 28) if jitter is None else jitter,
        key=moves,
    )


def maximize_on_sphere(
    f: Any,
    target: Target,
    image_shape: Sequence[int],
    key: Key[Array, ""],
    *,
    radius: int | float = 1.0,
    count: int = 1,
    steps: int = 100,
) -> Synthesis:
    """Finds inputs of a given length to which a unit responds most.

    Each step adds to the input the gradient, scaled to the length of the input, and scales the sum
    back to that length. For a linear unit the result is its weights: their angle is halved by each
    step.

    Args:
        f: Function of inputs without bounds: what a model takes after the normalization.
        target: The score, as for `maximize`.
        image_shape: Height, width and channels of the inputs.
        key: Random key of the first inputs.
        radius: Euclidean length of an input.
        count: Number of inputs, unless `target` has one class per input.
        steps: Number of steps.

    Returns:
        The inputs and their negative scores.

    Raises:
        ValueError: The target is None or does not fit, or the radius is not positive.

    Reference: Erhan et al., Visualizing higher-layer features of a deep network, 2009.

    >>> weights = jnp.array([3.0, 4.0]).reshape(1, 2, 1)
    >>> f = lambda x: (x * weights).sum((1, 2, 3))[:, None]
    >>> maximize_on_sphere(f, 0, (1, 2, 1), jax.random.key(0)).images.round(3).ravel().tolist()
    [0.6000000238418579, 0.800000011920929]
    """
    if target is None:
        raise ValueError("target must be a class or a function of the outputs, got None")
    if not radius > 0:
        raise ValueError(f"radius must be positive, got {radius}")
    rows = count if callable(target) or np.ndim(target) == 0 else np.shape(target)[0]

    def scaled(x: Any) -> Any:
        length = jnp.sqrt((x**2).sum(axis=(1, 2, 3), keepdims=True))
        return radius * x / jnp.maximum(length, jnp.finfo(x.dtype).tiny)

    def scores(x: Any) -> tuple[Array, Array]:
        outputs = f(x)
        found = score_of(outputs, target)(outputs)
        return found.sum(), found

    def step(x: Any, _: None) -> tuple[Any, Array]:
        gradient, found = jax.grad(scores, has_aux=True)(x)
        return scaled(x + scaled(gradient)), -found

    start = scaled(jax.random.normal(key, (rows, *image_shape)))
    return Synthesis(*jax.lax.scan(step, start, length=steps))
