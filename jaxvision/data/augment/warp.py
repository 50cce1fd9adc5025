"""Affine resampling of an image or a mask by a 3x3 matrix.

In this package, pixel centers are at integers, x counts columns to the right and y rows downwards:
an image covers x from -0.5 to width - 0.5, and its center is ((width - 1) / 2, (height - 1) / 2). A
matrix maps a pixel (x, y, 1) of the output to the position in the input where its value is read.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxvision.checks import check_name
from jaxvision.data.augment._common import Matrix, Number, as_size

INTERPOLATIONS = ("bilinear", "nearest")
BOUNDARIES = ("constant", "edge", "reflect")


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How a warp samples between pixels and beyond the border.

    Masks are always sampled by the nearest pixel, with the same boundary.

    Attributes:
        interpolation: "bilinear" or "nearest" (half-way rounds right and down). Both copy pixels
            exactly if the matrix maps to pixel centers, as flips and whole-pixel shifts do.
        boundary: Values beyond the border: "constant" (the fill), "edge" (the border pixel
            repeated) or "reflect" (the image mirrored about its border pixels).
        fill: Value for "constant": one number, or one per channel.
        antialias: Whether shrinking averages over the input pixels that an output pixel covers.
            Needs bilinear interpolation, the edge boundary, and a matrix without rotation or shear
            (its off-diagonal terms are not read).

    Raises:
        ValueError: A name is unknown, or `antialias` is combined with other options than these.

    >>> Sampling(boundary="constant", fill=(0.5, 0.5, 0.5)).interpolation
    'bilinear'
    """

    interpolation: str = "bilinear"
    boundary: str = "constant"
    fill: Number | tuple[Number, ...] = 0.0
    antialias: bool = False

    def __post_init__(self) -> None:
        check_name("interpolation", self.interpolation, INTERPOLATIONS)
        check_name("boundary", self.boundary, BOUNDARIES)
        if self.antialias and (self.interpolation, self.boundary) != ("bilinear", "edge"):
            raise ValueError(
                "antialias needs interpolation='bilinear' and boundary='edge', not "
                f"{self.interpolation!r} and {self.boundary!r}"
            )


BILINEAR = Sampling()
NEAREST = Sampling(interpolation="nearest")


def affine_warp(
    image: Shaped[Array, "height width channels"],
    matrix: Matrix,
    *,
    size: tuple[int, int] | None = None,
    sampling: Sampling = BILINEAR,
) -> Shaped[Array, "out_height out_width channels"]:
    """Resamples an image: each output pixel is read at the position that the matrix maps it to.

    It is differentiable in the image and, with bilinear sampling, in the matrix.

    Args:
        image: Image, or a mask of integers, which needs nearest sampling.
        matrix: Matrix from output pixels (x, y, 1) to input pixels; its last row is taken as 0, 0,
            1.
        size: Height and width of the output; None keeps the input's.
        sampling: Sampling between pixels and beyond the border.

    Returns:
        Output image in the input's dtype.

    Raises:
        TypeError: The image is not floating and the sampling is not nearest.
        ValueError: The image has no pixels, or the fill does not fit the channels.

    >>> import jax
    >>> image = jnp.arange(4.0).reshape(2, 2, 1)
    >>> mirror = jnp.array([[-1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> jax.jit(affine_warp)(image, mirror)[..., 0]
    Array([[1., 0.],
           [3., 2.]], dtype=float32)
    """
    height, width, channels = image.shape
    if height == 0 or width == 0:
        raise ValueError(f"cannot warp an image without pixels, of shape {image.shape}")
    if isinstance(sampling.fill, tuple) and len(sampling.fill) != channels:
        raise ValueError(
            f"fill has {len(sampling.fill)} values for an image of {channels} channels; "
            "give one number, or one for each channel"
        )
    nearest = sampling.interpolation == "nearest"
    if not (nearest or jnp.issubdtype(image.dtype, jnp.floating)):
        raise TypeError(f"{image.dtype} values can only be sampled with interpolation='nearest'")

    size = (height, width) if size is None else as_size(size)
    if sampling.antialias:
        return _separable(image, matrix, size)
    columns = jnp.arange(size[1], dtype=matrix.dtype)[None, :]
    rows = jnp.arange(size[0], dtype=matrix.dtype)[:, None]
    x = matrix[0, 0] * columns + matrix[0, 1] * rows + matrix[0, 2]
    y = matrix[1, 0] * columns + matrix[1, 1] * rows + matrix[1, 2]
    return (_nearest if nearest else _bilinear)(image, x, y, sampling)


def compose(first: Matrix, second: Matrix) -> Matrix:
    """Returns the matrix of a warp by `first` followed by a warp by `second`.

    Args:
        first: Matrix of the first warp, from its output to its input.
        second: Matrix of the second warp.

    Returns:
        Product of the matrices, in full precision even where matrix products have less by default.

    >>> shift = jnp.array([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> compose(shift, shift)[0]
    Array([1., 0., 4.], dtype=float32)
    """
    return jnp.matmul(first, second, precision="highest")


def warp_points(points: Float[Array, "*points 2"], matrix: Matrix) -> Float[Array, "*points 2"]:
    """Moves points of the input image to their positions after a warp by this matrix.

    Args:
        points: Points (x, y) of the input image.
        matrix: Matrix of the warp, from output to input.

    Returns:
        Points (x, y) of the output image: the inverse of the matrix applied to each.

    >>> mirror = jnp.array([[-1.0, 0.0, 31.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> warp_points(jnp.array([[0.0, 5.0]]), mirror)
    Array([[31.,  5.]], dtype=float32)
    """
    (a, b), (c, d) = matrix[0, :2], matrix[1, :2]
    x, y = points[..., 0] - matrix[0, 2], points[..., 1] - matrix[1, 2]
    return jnp.stack([d * x - b * y, a * y - c * x], axis=-1) / (a * d - b * c)


def _within(position: Array, length: int, sampling: Sampling) -> Array:
    """Moves positions beyond the border to where their value is read."""
    if sampling.boundary == "constant":
        # From one pixel beyond the border all is fill; farther out, an int32 could overflow.
        return jnp.clip(position, -1, length)
    if sampling.boundary == "reflect":
        period = max(2 * (length - 1), 1)
        position = position - period * jnp.floor(position / period)
        position = (length - 1) - jnp.abs(position - (length - 1))
    return jnp.clip(position, 0, length - 1)


def _read(image: Array, column: Array, row: Array, sampling: Sampling) -> Array:
    """Reads whole pixels, and the fill beyond the border."""
    height, width, channels = image.shape
    index = jnp.clip(row, 0, height - 1) * width + jnp.clip(column, 0, width - 1)
    value = image.reshape(height * width, channels).at[index].get(mode="promise_in_bounds")
    if sampling.boundary != "constant":
        return value
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return jnp.where(inside[..., None], value, jnp.asarray(sampling.fill, image.dtype))


def _nearest(image: Array, x: Array, y: Array, sampling: Sampling) -> Array:
    height, width, _ = image.shape
    column = _within(jnp.floor(x + 0.5), width, sampling).astype(jnp.int32)
    row = _within(jnp.floor(y + 0.5), height, sampling).astype(jnp.int32)
    return _read(image, column, row, sampling)


def _bilinear(image: Array, x: Array, y: Array, sampling: Sampling) -> Array:
    height, width, _ = image.shape
    dtype = jnp.promote_types(jnp.promote_types(image.dtype, x.dtype), jnp.float32)
    x, y = _within(x, width, sampling), _within(y, height, sampling)
    left, top = jnp.floor(x), jnp.floor(y)
    right_share = (x - left).astype(dtype)[..., None]
    lower_share = (y - top).astype(dtype)[..., None]
    column, row = left.astype(jnp.int32), top.astype(jnp.int32)

    def along_row(row: Array) -> Array:
        first = _read(image, column, row, sampling)
        second = _read(image, column + 1, row, sampling)
        return (1 - right_share) * first + right_share * second

    mixed = (1 - lower_share) * along_row(row) + lower_share * along_row(row + 1)
    return mixed.astype(image.dtype)


def _separable(image: Array, matrix: Array, size: tuple[int, int]) -> Array:
    """Samples a grid of rows and columns with antialiasing: one matrix product per axis."""
    dtype = jnp.promote_types(image.dtype, jnp.float32)
    by_row = _triangle_weights(matrix[1, 1], matrix[1, 2], size[0], image.shape[0], dtype)
    by_column = _triangle_weights(matrix[0, 0], matrix[0, 2], size[1], image.shape[1], dtype)
    rows = jnp.einsum("oi,iwc->owc", by_row, image.astype(dtype), precision="highest")
    return jnp.einsum("pw,owc->opc", by_column, rows, precision="highest").astype(image.dtype)


def _triangle_weights(scale: Array, offset: Array, outputs: int, inputs: int, dtype: Any) -> Array:
    """Returns the weight of each input pixel in each output pixel.

    The weights are a triangle whose half-width is the scale, but at least 1.
    """
    center = jnp.clip(scale * jnp.arange(outputs) + offset, -0.5, inputs - 0.5)
    reach = jnp.maximum(jnp.abs(scale), 1)
    weights = jnp.maximum(0, 1 - jnp.abs(jnp.arange(inputs) - center[:, None]) / reach)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(dtype)
