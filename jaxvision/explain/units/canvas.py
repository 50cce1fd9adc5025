"""How images are written as the numbers that an optimizer changes."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Images = Float[Array, "batch height width channels"]

_MARGIN = 1e-4
"""Distance from 0 and 1 of pixels that a logit can be taken of."""


class Canvas(NamedTuple):
    """A parametrization of images in [0, 1] by numbers without bounds.

    Attributes:
        to_images: From the numbers to images.
        from_images: From images to numbers of the same shape; pixels nearer than 1e-4 to 0 or 1 are
            moved to that distance.
    """

    to_images: Callable[[Images], Images]
    from_images: Callable[[Images], Images]


def pixels() -> Canvas:
    """Parametrizes each pixel by its logit, so that it stays between 0 and 1.

    >>> numbers = pixels().from_images(jnp.full((1, 2, 2, 1), 0.5))
    >>> float(abs(numbers).max())
    0.0
    """
    return Canvas(jax.nn.sigmoid, _logits)


def frequencies(decay: int | float = 1.0) -> Canvas:
    """Parametrizes images by frequencies, whose steps are larger the lower they are.

    Gradients in pixels favor high frequencies; a step of the same size in every number here changes
    an image as natural images vary, whose amplitudes fall with the frequency. The logits of the
    pixels are `from_spectrum(numbers, decay)`.

    Args:
        decay: Exponent with which amplitudes fall; 1 as in natural images, 0 for none.

    Reference: Olah et al., Feature visualization, Distill 2017.

    >>> images = jnp.linspace(0.2, 0.8, 12).reshape(1, 3, 4, 1)
    >>> canvas = frequencies()
    >>> bool(jnp.allclose(canvas.to_images(canvas.from_images(images)), images, atol=1e-5))
    True
    """
    return Canvas(
        lambda numbers: jax.nn.sigmoid(from_spectrum(numbers, decay)),
        lambda images: to_spectrum(_logits(images), decay),
    )


def from_spectrum(numbers: Images, decay: int | float = 1.0) -> Images:
    """Adds up waves with the given amplitudes, divided by their frequency.

    The transform is Hartley's, a real form of Fourier's: it is orthogonal and its own inverse. So
    with `decay` 0 sums of squares stay the same. Otherwise the wave of frequency `f` (cycles per
    pixel, at least 1 over the longer side) is multiplied by a scale in proportion to `f**-decay`;
    the mean square of all scales is 1, so that numbers of variance 1 give pixels of variance 1.

    Args:
        numbers: Amplitude of each wave, in the order of a Fourier transform.
        decay: Exponent with which the scale falls.

    >>> numbers = jax.random.normal(jax.random.key(0), (1, 8, 8, 3))
    >>> waves = from_spectrum(numbers, 0)
    >>> bool(jnp.allclose((waves**2).sum(), (numbers**2).sum(), rtol=1e-5))
    True
    """
    return _hartley(numbers * _scales(numbers.shape, decay).astype(numbers.dtype))


def to_spectrum(maps: Images, decay: int | float = 1.0) -> Images:
    """Inverts `from_spectrum`.

    >>> to_spectrum(jnp.ones((1, 2, 2, 1)), 0).ravel().tolist()
    [2.0, 0.0, 0.0, 0.0]
    """
    return _hartley(maps) / _scales(maps.shape, decay).astype(maps.dtype)


def _logits(images: Images) -> Images:
    wide = images.astype(jnp.promote_types(images.dtype, jnp.float32))
    inside = jnp.clip(wide, _MARGIN, 1 - _MARGIN)
    return (jnp.log(inside) - jnp.log1p(-inside)).astype(images.dtype)


def _hartley(maps: Images) -> Images:
    wide = maps.astype(jnp.promote_types(maps.dtype, jnp.float32))
    transformed = jnp.fft.fft2(wide, axes=(1, 2), norm="ortho")
    return (transformed.real - transformed.imag).astype(maps.dtype)


def _scales(shape: tuple[int, ...], decay: int | float) -> Float[np.ndarray, "height width 1"]:
    height, width = shape[1:3]
    lengths = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    scales = np.maximum(lengths, 1 / max(height, width)) ** -float(decay)
    return (scales / np.sqrt((scales**2).mean()))[..., None]
