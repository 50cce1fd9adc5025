"""Explanations by the gradient of the score at the images or near them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from jaxvision.explain.attribution import Attribution, certified
from jaxvision.explain.estimate import Estimate, mean_of_samples
from jaxvision.explain.inputs import (
    Function,
    Images,
    Subject,
    copies_of,
    no_promise,
    subject,
    wide,
)
from jaxvision.explain.target import Target


def saliency(
    f: Function, images: Images, target: Target = None, *, signed: bool = False
) -> Attribution:
    """Computes how strongly the score reacts to small changes of each number of the images.

    Args:
        f: A function from images to logits, whose rows do not depend on each other.
        images: Images, or arrays of any shape with a batch axis first.
        target: What is explained; see `Target`.
        signed: Whether to keep the sign of the gradient instead of its absolute value.

    Returns:
        The gradient of the score, in units of the score per unit of the images. It has no axiom.

    Raises:
        TypeError: The images are not floating point.
        ValueError: The target does not exist.

    Reference: Simonyan, Vedaldi & Zisserman, 2013, arXiv:1312.6034.

    >>> saliency(lambda x: x @ jnp.array([[1.0], [-2.0]]), jnp.ones((1, 2))).map.tolist()
    [[1.0, 2.0]]
    """
    found = gradient_of(subject(f, images, target))
    return _unpromised(found if signed else jnp.abs(found), "a gradient is a rate of change")


def gradient_x_input(f: Function, images: Images, target: Target = None) -> Attribution:
    """Computes the gradient of the score times the images.

    For a positively homogeneous function, such as a ReLU network without biases, the map adds up to
    the score. In general it adds up to nothing in particular, so there is no axiom.

    Args:
        f: A function from images to logits, whose rows do not depend on each other.
        images: Images, or arrays of any shape with a batch axis first.
        target: What is explained; see `Target`.

    Returns:
        The product, in units of the score.

    Raises:
        TypeError: The images are not floating point.
        ValueError: The target does not exist.

    Reference: Shrikumar, Greenside, Shcherbina & Kundaje, 2016, arXiv:1605.01713.

    >>> gradient_x_input(lambda x: x @ jnp.array([[1.0], [-2.0]]), jnp.full((1, 2), 3.0)).map
    Array([[ 3., -6.]], dtype=float32)
    """
    given = subject(f, images, target)
    return _unpromised(
        gradient_of(given) * given.images, "it adds up to the score of homogeneous functions only"
    )


def smooth_grad(
    f: Function,
    images: Images,
    target: Target = None,
    *,
    key: PRNGKeyArray,
    noise: float = 0.15,
    samples: int = 50,
    batch_size: int = 64,
) -> Estimate:
    """Averages the gradient of the score over noisy copies of the images.

    Args:
        f: A function from images to logits, whose rows do not depend on each other.
        images: Images, or arrays of any shape with a batch axis first.
        target: What is explained; see `Target`. None is the class with the highest logit without
            noise.
        key: A PRNG key.
        noise: Standard deviation of the Gaussian noise, relative to the range of each image.
        samples: Number of noisy copies, at least 2.
        batch_size: The most images that are evaluated at once.

    Returns:
        The mean gradient with its sign, in units of the score per unit of the images, and its
        standard error. It has no axiom.

    Raises:
        TypeError: The images are not floating point.
        ValueError: The target does not exist, the noise is negative, or there are too few samples.

    Reference: Smilkov, Thorat, Kim, Viégas & Wattenberg, 2017, arXiv:1706.03825.

    >>> f = lambda x: x @ jnp.array([[1.0], [-2.0]])
    >>> smooth_grad(f, jnp.ones((1, 2)), key=jax.random.key(0)).map.tolist()
    [[1.0, -2.0]]
    """
    if noise < 0:
        raise ValueError(f"noise must be 0 or more, got {noise}")
    given = subject(f, images, target)
    x = given.images
    axes = tuple(range(1, x.ndim))
    scale = noise * (x.max(axes, keepdims=True) - x.min(axes, keepdims=True)) if x.size else 0.0

    def sample(number: Array) -> Array:
        draw = jax.random.normal(jax.random.fold_in(key, number), x.shape, x.dtype)
        return gradient_of(given._replace(images=x + scale * draw))

    mean, error = mean_of_samples(sample, samples, copies_of(x, batch_size))
    return certified(
        Estimate(mean, no_promise(mean), "none: a gradient is a rate of change", 0.0, error)
    )


def gradient_of(given: Subject) -> Array:
    """The gradient of the score, in float32 or wider."""
    found = jax.grad(lambda x: given.score(x).sum())(given.images)
    return found.astype(wide(found.dtype))


def _unpromised(maps: Array, why: str) -> Attribution:
    return certified(Attribution(maps, no_promise(maps), f"none: {why}", 0.0))
