"""Images that minimize a loss: what visualizations of units, inversions and styles share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from jaxvision.explain.units.canvas import Canvas, Images, pixels

Losses = Callable[[Any], Float[Array, " batch"]]


class Synthesis(NamedTuple):
    """Images that were made, and how it went.

    Attributes:
        images: The images, in [0, 1] unless the function says otherwise.
        losses: Loss of each image before each step.
    """

    images: Images
    losses: Float[Array, "steps batch"]


def synthesize(
    loss: Losses,
    start: Images,
    *,
    steps: int = 256,
    optimizer: optax.GradientTransformation | None = None,
    canvas: Canvas | None = None,
    jitter: int = 0,
    key: Key[Array, ""] | None = None,
) -> Synthesis:
    """Changes images in [0, 1] so that a loss falls.

    All steps run in one loop that is compiled once.

    Args:
        loss: From images to one number per image.
        start: The first images, in [0, 1].
        steps: Number of steps.
        optimizer: An optimizer of optax, `optax.lbfgs()` among them, which searches along a line
            for all images together; None is Adam with a learning rate of 0.05.
        canvas: How images are parametrized; None is `pixels()`.
        jitter: Before each step images are moved by up to so many pixels along both axes, across
            the edges, which suppresses patterns that depend on the exact position.
        key: Random key for `jitter`.

    Raises:
        ValueError: Steps or jitter are negative, jitter has no key, or the loss does not give one
            number per image.

    >>> made = synthesize(lambda x: ((x - 0.3) ** 2).sum((1, 2, 3)), jnp.full((1, 2, 2, 1), 0.5))
    >>> bool(jnp.allclose(made.images, 0.3, atol=1e-3))
    True
    """
    if steps < 0 or jitter < 0:
        raise ValueError(f"steps and jitter must be 0 or more, got {steps} and {jitter}")
    if jitter and key is None:
        raise ValueError(f"a jitter of {jitter} pixels needs a key")
    canvas = pixels() if canvas is None else canvas
    rule = optax.with_extra_args_support(optax.adam(0.05) if optimizer is None else optimizer)
    rows = jax.eval_shape(loss, start).shape
    if rows != start.shape[:1]:
        raise ValueError(f"the loss must give one number per image, {start.shape[:1]}, got {rows}")

    def total(numbers: Images, shift: Any) -> tuple[Array, Array]:
        images = canvas.to_images(numbers)
        losses = loss(jnp.roll(images, shift, axis=(1, 2)) if jitter else images)
        return losses.sum(), losses

    def step(carry: Any, index: Array) -> tuple[Any, Array]:
        numbers, state = carry
        shift = None
        if jitter:
            assert key is not None
            drawn = jax.random.fold_in(key, index)
            shift = jax.random.randint(drawn, (2,), -jitter, jitter + 1)
        (value, losses), gradient = jax.value_and_grad(total, has_aux=True)(numbers, shift)
        updates, state = rule.update(
            gradient, state, numbers,
            value=value, grad=gradient, value_fn=lambda other: total(other, shift)[0],
        )  # fmt: skip
        return (optax.apply_updates(numbers, updates), state), losses

    first = canvas.from_images(start)
    (numbers, _), losses = jax.lax.scan(step, (first, rule.init(first)), jnp.arange(steps))
    return Synthesis(canvas.to_images(numbers), losses)
