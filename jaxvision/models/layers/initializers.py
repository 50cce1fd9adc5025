"""Initializers of kernels, by name."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax.nn import initializers
from jaxtyping import Array

from jaxvision.checks import check_name

Initializer = Callable[..., Array]  # of key, shape and dtype


def _draw(
    initializer: Initializer, axes: int, key: Any, shape: Sequence[int], dtype: Any = jnp.float32
) -> Array:
    """Draws the numbers of an initializer in an array of at most `axes` axes.

    XLA's CPU backend needs seconds to compile a draw of four short axes, and a tenth of that for
    the same numbers in two axes.
    """
    joined = max(len(shape) - axes + 1, 1)
    flat = math.prod(shape[:joined]), *shape[joined:]
    return initializer(key, flat, dtype).reshape(shape)


def _by_fan_in(initializer: Initializer) -> Initializer:
    """Draws a kernel as a matrix, which has its fan-in: the product of all axes but the last."""
    return functools.partial(_draw, initializer, 2)


def _by_fans(initializer: Initializer) -> Initializer:
    """Draws a kernel with the size of its window as a separate first axis, for the fan-out."""
    return functools.partial(_draw, initializer, 3)


INITIALIZERS: Mapping[str, Initializer] = {
    "glorot_normal": _by_fans(initializers.glorot_normal()),
    "glorot_uniform": _by_fans(initializers.glorot_uniform()),
    "he_normal": _by_fan_in(initializers.he_normal()),
    # Preserves the variance of gradients, not of activations; not truncated, as in PyTorch.
    "he_normal_fan_out": _by_fans(initializers.variance_scaling(2.0, "fan_out", "normal")),
    "he_uniform": _by_fan_in(initializers.he_uniform()),
    "lecun_normal": _by_fan_in(initializers.lecun_normal()),
    "normal_0.01": _by_fan_in(initializers.normal(0.01)),
    "normal_0.02": _by_fan_in(initializers.normal(0.02)),
    "orthogonal": initializers.orthogonal(),
    # Uniform within 1 / sqrt(fan_in), the default of torch.nn.Linear and torch.nn.Conv2d.
    "torch": _by_fan_in(initializers.variance_scaling(1 / 3, "fan_in", "uniform")),
}


def initializer(name: str) -> Initializer:
    """Looks up an initializer for the kernels of dense and convolution layers.

    Names that `jax.nn.initializers` has too mean the same: normal distributions are truncated at
    two standard deviations and rescaled to the variance of the formula. Biases start from zero.

    Args:
        name: "he_normal" and "he_uniform" (variance 2 / fan_in: He et al., Delving deep into
            rectifiers, ICCV 2015, arXiv:1502.01852), "he_normal_fan_out", "glorot_normal" and
            "glorot_uniform" (2 / (fan_in + fan_out): Glorot & Bengio, AISTATS 2010), "lecun_normal"
            (1 / fan_in), "orthogonal" (Saxe et al., ICLR 2014, arXiv:1312.6120), "torch" (uniform,
            1 / (3 fan_in)), "normal_0.01" or "normal_0.02" (standard deviation 0.01 or 0.02).

    Returns:
        A function of key, shape and dtype.

    Raises:
        ValueError: There is no such initializer.

    >>> import jax
    >>> initializer("he_normal")(jax.random.key(0), (3, 3, 16, 32)).shape
    (3, 3, 16, 32)
    """
    check_name("initializer", name, INITIALIZERS)
    return INITIALIZERS[name]
