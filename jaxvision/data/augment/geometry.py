"""Flips, crops, rotations, shifts, zooms and shears: matrices, and random transforms.

A matrix maps output pixels to input pixels (see `warp`), so it is the inverse of what its name does
to the content.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, ScalarLike, Shaped

from jaxvision.checks import check_name
from jaxvision.data.augment._common import (
    Matrix,
    Number,
    RandomKey,
    as_size,
    check_amount,
    check_probability,
    check_range,
    random_extent,
    uniform,
)
from jaxvision.data.augment.transform import Transform, geometric
from jaxvision.data.augment.warp import BILINEAR, Sampling


def flip_horizontal(
    image: Shaped[Array, "height width channels"],
) -> Shaped[Array, "height width channels"]:
    """Swaps left and right of an image or mask.

    >>> flip_horizontal(jnp.arange(3.0).reshape(1, 3, 1))[..., 0]
    Array([[2., 1., 0.]], dtype=float32)
    """
    return image[:, ::-1]


def flip_vertical(
    image: Shaped[Array, "height width channels"],
) -> Shaped[Array, "height width channels"]:
    """Swaps top and bottom of an image or mask.

    >>> flip_vertical(jnp.arange(3.0).reshape(3, 1, 1))[:, 0, 0]
    Array([2., 1., 0.], dtype=float32)
    """
    return image[::-1]


def translation_matrix(x: ScalarLike, y: ScalarLike) -> Matrix:
    """Returns the matrix, from output to input pixels, that shifts the content right and down.

    Args:
        x: Shift to the right, in pixels.
        y: Shift downwards, in pixels.

    >>> translation_matrix(2.0, -1.0)
    Array([[ 1.,  0., -2.],
           [ 0.,  1.,  1.],
           [ 0.,  0.,  1.]], dtype=float32)
    """
    return _affine(1.0, 0.0, jnp.negative(x), 0.0, 1.0, jnp.negative(y))


def rotation_matrix(degrees: ScalarLike) -> Matrix:
    """Returns the matrix that rotates the content about pixel (0, 0), counterclockwise as seen.

    Args:
        degrees: Angle of the rotation.

    Returns:
        The matrix, from output to input pixels; `centered` moves its fixed point.

    >>> rotation_matrix(90.0).round()
    Array([[-0., -1.,  0.],
           [ 1., -0.,  0.],
           [ 0.,  0.,  1.]], dtype=float32)
    """
    angle = jnp.deg2rad(degrees)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    return _affine(cosine, -sine, 0.0, sine, cosine, 0.0)


def scaling_matrix(factor: ScalarLike) -> Matrix:
    """Returns the matrix that enlarges the content about pixel (0, 0).

    Args:
        factor: Factor above 1 to enlarge, below 1 to shrink; not 0.

    Returns:
        The matrix, from output to input pixels; `centered` moves its fixed point.

    >>> scaling_matrix(2.0)
    Array([[0.5, 0. , 0. ],
           [0. , 0.5, 0. ],
           [0. , 0. , 1. ]], dtype=float32)
    """
    return _affine(1 / factor, 0.0, 0.0, 0.0, 1 / factor, 0.0)


def shear_matrix(x_degrees: ScalarLike, y_degrees: ScalarLike) -> Matrix:
    """Returns the matrix that shears the content about pixel (0, 0), first along x, then along y.

    Args:
        x_degrees: Angle by which vertical lines lean to the right at their upper end.
        y_degrees: Angle by which horizontal lines rise at their right end.

    Returns:
        The matrix, from output to input pixels; `centered` moves its fixed point.

    >>> shear_matrix(45.0, 0.0)
    Array([[1., 1., 0.],
           [0., 1., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    lean, rise = jnp.tan(jnp.deg2rad(x_degrees)), jnp.tan(jnp.deg2rad(y_degrees))
    return _affine(1 + lean * rise, lean, 0.0, rise, 1.0, 0.0)


def centered(matrix: Matrix, height: int, width: int) -> Matrix:
    """Moves the fixed point of a matrix from pixel (0, 0) to the center of an image.

    Args:
        matrix: Matrix from output to input pixels.
        height: Height of the image.
        width: Width of the image.

    >>> centered(rotation_matrix(180.0), height=2, width=4).round()[:2, 2]
    Array([3., 1.], dtype=float32)
    """
    x, y = (width - 1) / 2, (height - 1) / 2
    (a, b, e), (c, d, f), _ = matrix
    return _affine(a, b, e + x - a * x - b * y, c, d, f + y - c * x - d * y)


def random_flip(probability: Number = 0.5, *, direction: str = "horizontal") -> Transform:
    """Mirrors some images; pixels are copied exactly.

    Args:
        probability: Probability of each image to be flipped.
        direction: "horizontal" swaps left and right, "vertical" top and bottom, and "diagonal" rows
            and columns of square images. All three in a chain also give quarter turns.

    Raises:
        ValueError: The probability is not in [0, 1], the direction is unknown, or (in the call) the
            direction is "diagonal" and an image is not square.

    >>> jax.jit(random_flip(1.0))(jax.random.key(0), jnp.arange(3.0).reshape(1, 3, 1))[..., 0]
    Array([[2., 1., 0.]], dtype=float32)
    """
    check_probability(probability)
    directions = ("horizontal", "vertical", "diagonal")
    check_name("direction", direction, directions)

    def geometry(key: RandomKey, height: int, width: int) -> Matrix:
        if direction == "horizontal":
            mirror = _affine(-1.0, 0.0, width - 1.0, 0.0, 1.0, 0.0)
        elif direction == "vertical":
            mirror = _affine(1.0, 0.0, 0.0, 0.0, -1.0, height - 1.0)
        elif height == width:
            mirror = _affine(0.0, 1.0, 0.0, 1.0, 0.0, 0.0)
        else:
            raise ValueError(f"a diagonal flip needs square images, got {height}x{width}")
        return jnp.where(jax.random.bernoulli(key, probability), mirror, jnp.eye(3))

    return geometric(geometry, sampling=None)


def random_crop(
    size: int | tuple[int, int] | None = None,
    *,
    padding: int = 0,
    sampling: Sampling = BILINEAR,
) -> Transform:
    """Cuts out a window at a random whole-pixel offset; pixels are copied exactly.

    Args:
        size: Height and width of the window; None takes the image's.
        padding: Number of pixels by which the window may extend beyond each side of the image,
            where it shows the boundary of `sampling`.
        sampling: Sampling beyond the border.

    Raises:
        ValueError: The padding is negative, or (in the call) the window is larger than the padded
            image.

    >>> shift = random_crop(padding=4, sampling=Sampling(boundary="reflect"))
    >>> jax.eval_shape(shift, jax.random.key(0), jnp.zeros((16, 32, 32, 3))).shape
    (16, 32, 32, 3)
    """
    check_amount("padding", padding)
    window = None if size is None else as_size(size)

    def geometry(key: RandomKey, height: int, width: int) -> Matrix:
        rows, columns = window or (height, width)
        spare = jnp.array([width - columns, height - rows]) + 2 * padding
        if rows > height + 2 * padding or columns > width + 2 * padding:
            raise ValueError(
                f"cannot cut {rows}x{columns} from an image of {height}x{width} padded by "
                f"{padding}; enlarge the image or the padding"
            )
        left, top = jax.random.randint(key, (2,), 0, spare + 1) - padding
        return translation_matrix(-left, -top)

    return geometric(geometry, size=window, sampling=sampling)


def random_resized_crop(
    size: int | tuple[int, int],
    *,
    scale: tuple[Number, Number] = (0.08, 1.0),
    ratio: tuple[Number, Number] = (3 / 4, 4 / 3),
    antialias: bool = True,
) -> Transform:
    """Cuts out a window of random area, aspect ratio and position, and resizes it.

    The area is uniform over `scale`. Given the area, the logarithm of the aspect ratio is uniform
    over the part of `ratio` at which the window fits into the image; if it fits at none, the
    nearest ratio that fits is taken. The position is uniform. Windows are not rounded to pixels.
    The usual method, ten attempts and a fallback, draws slightly fewer large windows.

    Args:
        size: Height and width of the result.
        scale: Least and greatest area of the window, as a fraction of the image's.
        ratio: Least and greatest aspect ratio (width over height) of the window.
        antialias: Whether shrinking averages over the pixels that an output pixel covers. Such a
            crop is a warp separate from adjacent rotations and shears in a chain, because it works
            by rows and columns; flips still join it.

    Returns:
        A transform. At the window's border, its filter reads the image's pixels outside the window.

    Raises:
        ValueError: A range is not (low, high) with 0 < low <= high, or `scale` exceeds 1.

    Reference: Szegedy et al., Going deeper with convolutions, CVPR 2015, arXiv:1409.4842

    >>> crop = random_resized_crop(24, scale=(0.25, 1.0))
    >>> jax.eval_shape(crop, jax.random.key(0), jnp.zeros((16, 32, 48, 3))).shape
    (16, 24, 24, 3)
    """
    rows, columns = window = as_size(size)
    check_range("scale", scale, most=1.0)
    check_range("ratio", ratio)

    def geometry(key: RandomKey, height: int, width: int) -> Matrix:
        extent_key, top_key, left_key = jax.random.split(key, 3)
        crop_height, crop_width = random_extent(extent_key, height, width, scale, ratio)
        top = uniform(top_key, 0.0, height - crop_height)
        left = uniform(left_key, 0.0, width - crop_width)
        down, across = crop_height / rows, crop_width / columns
        # The center of an outermost output pixel is half a pixel inside the window's border.
        return _affine(across, 0.0, left + across / 2 - 0.5, 0.0, down, top + down / 2 - 0.5)

    sampling = Sampling(boundary="edge", antialias=antialias)
    return geometric(geometry, size=window, sampling=sampling)


def random_rotation(degrees: Number, *, sampling: Sampling = BILINEAR) -> Transform:
    """Rotates about the center by an angle uniform in [-degrees, degrees].

    Args:
        degrees: Greatest angle.
        sampling: Sampling between pixels and beyond the border.

    Raises:
        ValueError: `degrees` is negative.

    >>> rotate = random_rotation(15.0)
    >>> jax.eval_shape(rotate, jax.random.key(0), jnp.zeros((16, 32, 32, 3))).shape
    (16, 32, 32, 3)
    """
    check_amount("degrees", degrees)

    def geometry(key: RandomKey, height: int, width: int) -> Matrix:
        return centered(rotation_matrix(uniform(key, -degrees, degrees)), height, width)

    return geometric(geometry, sampling=sampling)


def random_translation(x: Number, y: Number, *, sampling: Sampling = BILINEAR) -> Transform:
    """Shifts by whole numbers of pixels, uniform in both directions of both axes.

    By itself, it copies pixels exactly.

    Args:
        x: Greatest shift to the left and right, as a fraction of the width.
        y: Greatest shift up and down, as a fraction of the height.
        sampling: Sampling beyond the border.

    Raises:
        ValueError: A fraction is not in [0, 1].

    >>> shift = random_translation(0.1, 0.1)
    >>> jax.eval_shape(shift, jax.random.key(0), jnp.zeros((16, 32, 32, 3))).shape
    (16, 32, 32, 3)
    """
    check_amount("x", x, most=1.0)
    check_amount("y", y, most=1.0)

    def geometry(key: RandomKey, height: int, width: int) -> Matrix:
        most = jnp.array([math.floor(x * width), math.floor(y * height)])
        return translation_matrix(*jax.random.randint(key, (2,), -most, most + 1))

    return geometric(geometry, sampling=sampling)


def random_scale(factor: tuple[Number, Number], *, sampling: Sampling = BILINEAR) -> Transform:
    """Enlarges or shrinks the content about the center, keeping the image's size.

    Args:
        factor: Least and greatest factor. The logarithm is uniform, so that (0.5, 2.0) halves as
            often as it doubles. Shrinking does not average (no antialiasing).
        sampling: Sampling between pixels and beyond the border.

    Raises:
        ValueError: `factor` is not (low, high) with 0 < low <= high.

    >>> zoom = random_scale((0.8, 1.25))
    >>> jax.eval_shape(zoom, jax.random.key(0), jnp.zeros((16, 32, 32, 3))).shape
    (16, 32, 32, 3)
    """
    check_range("factor", factor)
    low, high = math.log(factor[0]), math.log(factor[1])

    def geometry(key: RandomKey, height: int, width: int) -> Matrix:
        return centered(scaling_matrix(jnp.exp(uniform(key, low, high))), height, width)

    return geometric(geometry, sampling=sampling)


def random_shear(
    x_degrees: Number, y_degrees: Number = 0.0, *, sampling: Sampling = BILINEAR
) -> Transform:
    """Shears about the center by angles uniform in both directions.

    Args:
        x_degrees: Greatest angle by which vertical lines lean.
        y_degrees: Greatest angle by which horizontal lines rise or fall.
        sampling: Sampling between pixels and beyond the border.

    Raises:
        ValueError: An angle is not in [0, 89].

    >>> shear = random_shear(10.0)
    >>> jax.eval_shape(shear, jax.random.key(0), jnp.zeros((16, 32, 32, 3))).shape
    (16, 32, 32, 3)
    """
    check_amount("x_degrees", x_degrees, most=89.0)
    check_amount("y_degrees", y_degrees, most=89.0)

    def geometry(key: RandomKey, height: int, width: int) -> Matrix:
        x_key, y_key = jax.random.split(key)
        x = uniform(x_key, -x_degrees, x_degrees)
        y = uniform(y_key, -y_degrees, y_degrees)
        return centered(shear_matrix(x, y), height, width)

    return geometric(geometry, sampling=sampling)


def _affine(
    a: ScalarLike, b: ScalarLike, e: ScalarLike, c: ScalarLike, d: ScalarLike, f: ScalarLike
) -> Matrix:
    """Returns the matrix of x' = a x + b y + e, y' = c x + d y + f, in at least float32."""
    matrix = jnp.stack([jnp.asarray(value) for value in (a, b, e, c, d, f, 0.0, 0.0, 1.0)])
    return matrix.astype(jnp.promote_types(matrix.dtype, jnp.float32)).reshape(3, 3)
