"""DeepDream: images in which the patterns that a layer detects are enhanced."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvision.explain.units.canvas import Images


def energy(outputs: Any) -> Float[Array, " batch"]:
    """Half the mean square of what a layer computes, which `deep_dream` raises by default.

    >>> energy(jnp.full((1, 2, 2, 1), 2.0)).item()
    2.0
    """
    return 0.5 * (outputs**2).mean(axis=tuple(range(1, outputs.ndim)))


def deep_dream(
    f: Any,
    images: Images,
    key: Key[Array, ""],
    *,
    target: Callable[[Any], Float[Array, " batch"]] = energy,
    octaves: int = 4,
    octave_scale: int | float = 1.4,
    steps: int = 10,
    step_size: int | float = 0.01,
    jitter: int = 32,
) -> Images:
    """Enhances in images what a layer sees in them, from coarse to fine.

    The images are reduced to the size of the first octave and changed by steps along the gradient,
    whose mean absolute value is scaled to `step_size`. Their change is then enlarged and added to
    the images at the size of the next octave, and so on to their own size.

    Args:
        f: Function from images in [0, 1] of several sizes to maps.
        images: The images.
        key: Random key of the jitter.
        target: From the outputs of `f` to one number per image that is raised.
        octaves: Number of sizes.
        octave_scale: Ratio of a size to the one before it.
        steps: Steps at each size.
        step_size: Mean absolute change of a pixel by a step.
        jitter: Before each step images are moved by up to so many pixels along both axes, across
            the edges, and then back.

    Returns:
        The changed images, in [0, 1].

    Raises:
        ValueError: `octaves` is below 1, `octave_scale` is not above 1, or an octave has no pixels.

    Reference: Mordvintsev et al., Inceptionism: going deeper into neural networks, 2015.

    >>> dream = lambda images, key: deep_dream(jnp.sin, images, key)
    >>> jax.eval_shape(dream, jnp.ones((1, 64, 48, 3)), jax.random.key(0)).shape
    (1, 64, 48, 3)
    """
    if octaves < 1 or not octave_scale > 1:
        raise ValueError(
            f"octaves must be at least 1 and octave_scale above 1, got {octaves} and {octave_scale}"
        )
    batch, height, width, channels = images.shape
    detail: Any = None
    for octave in range(octaves):
        ratio = octave_scale ** (octave - octaves + 1)
        size = round(height * ratio), round(width * ratio)
        if min(size) < 1:
            raise ValueError(
                f"the first of {octaves} octaves of {height}x{width} pixels has none: take fewer "
                "octaves or a smaller octave_scale"
            )
        shape = (batch, *size, channels)
        base = images if octave == octaves - 1 else jax.image.resize(images, shape, "linear")
        start = base if detail is None else base + jax.image.resize(detail, shape, "linear")
        dreamed = _climbed(
            f, target, start, jax.random.fold_in(key, octave), steps, step_size, jitter
        )
        detail = dreamed - base
    return dreamed


def _climbed(
    f: Any, target: Any, start: Images, key: Any, steps: int, step_size: int | float, jitter: int
) -> Images:
    def step(images: Images, index: Array) -> tuple[Images, None]:
        drawn = jax.random.fold_in(key, index)
        shift = jax.random.randint(drawn, (2,), -jitter, jitter + 1)
        moved = jnp.roll(images, shift, axis=(1, 2))
        gradient = jax.grad(lambda x: target(f(x)).sum())(moved)
        size = jnp.abs(gradient).mean(axis=(1, 2, 3), keepdims=True)
        change = step_size * gradient / jnp.maximum(size, jnp.finfo(size.dtype).tiny)
        return jnp.clip(jnp.roll(moved + change, -shift, axis=(1, 2)), 0, 1), None

    return jax.lax.scan(step, jnp.clip(start, 0, 1), jnp.arange(steps))[0]
