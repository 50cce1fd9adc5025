"""Receptive fields: which pixels a unit can see, and which it does see."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float

from jaxvision.explain.dependence import Dependence

Function = Callable[[Any], Any]
Box = tuple[tuple[int, int], tuple[int, int]]
"""Rows and columns of an image as ((first, end), (first, end)), without the ends."""


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """The theoretical receptive field of a unit: the pixels that can change it.

    Attributes:
        pixels: Whether each pixel can change the unit; between those that can may be others that
            cannot, as for dilated convolutions.
        box: Rows and columns of the smallest rectangle around them.
        cut: Whether the rectangle reaches an edge of the image, beyond which it may continue.
    """

    pixels: Bool[np.ndarray, "height width"]
    box: Box
    cut: bool

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the rectangle."""
        (top, bottom), (left, right) = self.box
        return bottom - top, right - left


@dataclasses.dataclass(frozen=True)
class FieldGrid:
    """The theoretical receptive fields of all units of a map, by their row and column.

    Attributes:
        size: Height and width of each field, in pixels.
        stride: Pixels from the field of a unit to that of the next, along both axes.
        start: First row and column of the field of the unit (0, 0); below 0 if it reaches outside
            the image.

    >>> FieldGrid((212, 212), (32, 32), (-90, -90)).box(3, 0)
    ((6, 218), (-90, 122))
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    start: tuple[int, int]

    def box(self, row: int, column: int) -> Box:
        """The field of a unit, of which a part may lie outside the image."""
        top = self.start[0] + row * self.stride[0]
        left = self.start[1] + column * self.stride[1]
        return (top, top + self.size[0]), (left, left + self.size[1])


@struct.dataclass
class EffectiveField:
    """The effective receptive field of a unit: how much it depends on each pixel.

    All numbers are NaN for a unit whose gradient is 0 everywhere, such as a ReLU that is off.

    Attributes:
        map: Share of each pixel in the mean absolute gradient of the unit; the shares add up to 1.
        center: Mean row and column under these shares.
        std: Standard deviation of row and column under these shares, in pixels.
    """

    map: Float[Array, "height width"]
    center: Float[Array, "2"]
    std: Float[Array, "2"]


def receptive_field(
    f: Function, image_shape: Sequence[int], unit: Sequence[int] | None = None
) -> ReceptiveField:
    """Finds the theoretical receptive field of a unit of any function, exactly.

    The function is traced and the unit followed back to the pixels, with positive weights so that
    nothing cancels, linear functions for activations and sums for maxima. Weights of 0 are kept, as
    in masked convolutions and resizing, except where all weights of a layer are 0.

    A unit after a global operation (squeeze-and-excitation, global pooling, attention over all
    tokens, normalization over the image) sees the whole image, and this is what is returned. A
    field "without the gates" is not offered: which factor of a product is the gate is not defined.

    Args:
        f: Function from images to maps (batch, height, width, channels) or to other arrays.
        image_shape: Height, width and channels of the images.
        unit: Index into the output for one image: (row, column) stands for all channels there,
            (row, column, channel) for one. None takes the middle row and column of maps, and all
            units of other outputs.

    Returns:
        The field within an image of that shape.

    Raises:
        ValueError: `image_shape` has not three sizes, the unit is not in the output, or `f` does
            not return one array.
        NotImplementedError: `f` contains an operation whose dependence is not known.

    Reference: Araujo et al., Computing receptive fields of convolutional neural networks, Distill
    2019.

    >>> kernel = jnp.ones((3, 3, 1, 1))
    >>> def f(images):
    ...     for step in (1, 2, 4):
    ...         images = jax.lax.conv_general_dilated(
    ...             images, kernel, (1, 1), "SAME", rhs_dilation=(step, step),
    ...             dimension_numbers=("NHWC", "HWIO", "NHWC"))
    ...     return images
    >>> found = receptive_field(f, (20, 20, 1))
    >>> found.size, found.box, found.cut
    ((15, 15), ((3, 18), (3, 18)), False)
    """
    return _fields(Dependence(f, _batch_of_one(image_shape)), [unit])[0]


def field_grid(f: Function, image_shape: Sequence[int], *, largest: int = 2048) -> FieldGrid:
    """Finds the theoretical receptive fields of all units of a map.

    They are those of units in the middle of an image so large that nothing is cut: its height and
    width are doubled until that is so. Paddings must be the same for these sizes, as they are
    except for "SAME" with strides and odd sizes.

    Args:
        f: Function from images to maps (batch, height, width, channels).
        image_shape: Height, width and channels of the first images that are tried.
        largest: Largest height or width that is tried.

    Raises:
        ValueError: The output is not a map of at least 3x3 units, the fields of units differ in
            size or in their steps, or a field does not fit into the largest image, as after global
            operations.
        NotImplementedError: `f` contains an operation whose dependence is not known.

    >>> kernel = jnp.ones((3, 3, 1, 1))
    >>> f = lambda x: jax.lax.conv_general_dilated(
    ...     x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC"))
    >>> field_grid(f, (16, 16, 1))
    FieldGrid(size=(3, 3), stride=(2, 2), start=(-1, -1))
    """
    _, height, width, channels = _batch_of_one(image_shape)
    while True:
        steps = Dependence(f, (1, height, width, channels))
        if len(steps.shape) != 4:
            raise ValueError(
                f"f must return maps (batch, height, width, channels), got {steps.shape}"
            )
        row, column = steps.shape[1] // 2, steps.shape[2] // 2
        fields: list[ReceptiveField] = []
        if min(steps.shape[1:3]) >= 3:
            fields = _fields(steps, [(row + step, column + step) for step in (-1, 0, 1)])
            if not any(field.cut for field in fields):
                break
        if 2 * max(height, width) > largest:
            raise ValueError(
                f"an image of {height}x{width} cuts the field of a unit or has fewer than 3x3 "
                f"units: units see all, or `largest`, {largest}, must be increased"
            )
        height, width = 2 * height, 2 * width
    before, middle, after = (np.array(field.box)[:, 0] for field in fields)
    stride = after - middle
    if len({field.size for field in fields}) > 1 or (stride != middle - before).any():
        raise ValueError(
            "the fields of units differ by more than a shift: "
            f"{', '.join(str(field.box) for field in fields)}; receptive_field finds each"
        )
    start = middle - stride * (row, column)
    return FieldGrid(fields[0].size, _pair(stride), _pair(start))


def effective_receptive_field(
    f: Function,
    images: Float[Array, "batch height width channels"],
    unit: Sequence[int] | None = None,
) -> EffectiveField:
    """Measures the effective receptive field of a unit: the mean absolute gradient over images.

    For `n` convolutions of uniform kernels of size `k`, its standard deviation is the square root
    of `n (k² - 1) / 12`: it grows with the root of the depth, while the theoretical field grows
    with the depth. Jittable; `unit` is static.

    Args:
        f: Function from images to maps (batch, height, width, channels) or to other arrays.
        images: Images over which the absolute gradients are averaged.
        unit: Index into the output for one image, as for `receptive_field`. The gradient is that of
            the sum of the units that it stands for.

    Raises:
        ValueError: There are no images, their type is not floating, or the unit is not in the
            output.

    Reference: Luo et al., Understanding the effective receptive field in deep convolutional neural
    networks, NeurIPS 2016, arXiv:1701.04128.

    >>> found = effective_receptive_field(lambda x: x[:, :-2] + x[:, 2:], jnp.ones((1, 7, 3, 1)))
    >>> found.center.tolist(), found.std.tolist()
    ([3.0, 1.0], [1.0, 0.0])
    """
    if len(images) == 0 or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"images must be at least one, of a floating type, got {images.shape} {images.dtype}"
        )
    outputs, pullback = jax.vjp(f, images)
    chosen = jnp.asarray(_chosen(outputs.shape, unit), outputs.dtype)
    (gradients,) = pullback(jnp.broadcast_to(chosen, outputs.shape))
    total = jnp.abs(gradients.astype(jnp.promote_types(images.dtype, jnp.float32))).sum(axis=(0, 3))
    shares = total / total.sum()
    moments = [_moments(shares.sum(axis=1 - axis)) for axis in (0, 1)]
    center, std = (jnp.stack(pair) for pair in zip(*moments, strict=True))
    return EffectiveField(shares, center, std)


def _batch_of_one(image_shape: Sequence[int]) -> tuple[int, int, int, int]:
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise ValueError(f"image_shape must be (height, width, channels), got {tuple(image_shape)}")
    height, width, channels = image_shape
    return 1, height, width, channels


def _fields(steps: Dependence, units: Sequence[Sequence[int] | None]) -> list[ReceptiveField]:
    see = jax.jit(steps.inputs_of)
    fields = []
    for unit in units:
        seen = see(steps.constants, _chosen(steps.shape, unit)[None])
        pixels: np.ndarray = np.asarray(seen[0]).max(axis=2) > 0
        top, left = _extent(pixels.any(axis=1)), _extent(pixels.any(axis=0))
        cut = pixels[[0, -1]].any() or pixels[:, [0, -1]].any()
        fields.append(ReceptiveField(pixels, (top, left), bool(cut)))
    return fields


def _extent(seen: Any) -> tuple[int, int]:
    places = np.flatnonzero(seen)
    return (int(places[0]), int(places[-1]) + 1) if places.size else (0, 0)


def _chosen(shape: Sequence[int], unit: Sequence[int] | None) -> Float[np.ndarray, "..."]:
    """1 for the units that an index stands for, in the output for one image; 0 for others."""
    sizes = tuple(shape[1:])
    if unit is None:
        unit = (sizes[0] // 2, sizes[1] // 2) if len(sizes) == 3 else ()
    if len(unit) > len(sizes) or any(
        not 0 <= i < n for i, n in zip(unit, sizes[: len(unit)], strict=True)
    ):
        raise ValueError(
            f"unit must be an index into an output of the shape {sizes}, got {tuple(unit)}"
        )
    chosen = np.zeros(sizes, np.float32)
    chosen[tuple(unit)] = 1
    return chosen


def _pair(numbers: np.ndarray) -> tuple[int, int]:
    return int(numbers[0]), int(numbers[1])


def _moments(shares: Float[Array, " n"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    places = jnp.arange(len(shares), dtype=shares.dtype)
    mean = shares @ places
    return mean, jnp.sqrt(shares @ (places - mean) ** 2)
