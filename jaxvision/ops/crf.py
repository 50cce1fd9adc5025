"""Refines the classes of pixels by all other pixels: a fully connected conditional random field.

Reference: Krähenbühl & Koltun, Efficient inference in fully connected CRFs with Gaussian edge
potentials, NIPS 2011, arXiv:1210.5644.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxvision.checks import check_name
from jaxvision.ops.permutohedral import filter_on_lattice, make_lattice

Width = int | float | tuple[int | float, ...]
CRFMethod = Literal["auto", "exact", "lattice"]
METHODS = ("auto", "exact", "lattice")
EXACT_PIXELS = 1024
"""The most pixels whose pairs `method="auto"` visits one by one."""

_PAIRS = 2**21
"""How many pairs of pixels are in memory at once."""

_LOWEST = -1e4
"""What `-inf` is taken for, below the largest logit of the pixel."""

_REACH = 5
"""Spatial Gaussians end here, in widths: the next weight would be below 4e-6."""


def _check_widths(kernel: str, **widths: Width) -> None:
    for name, value in widths.items():
        numbers = value if isinstance(value, tuple) else (value,)
        if not (numbers and all(0 < number < math.inf for number in numbers)):
            raise ValueError(
                f"{name} of a {kernel} must be positive and finite, got {value}; a kernel that "
                "should not count is left out"
            )


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["weight"], meta_fields=["spatial"]
)
@dataclasses.dataclass(frozen=True)
class GaussianKernel:
    """Pixels that are near speak for the same class: `exp(-|x - x'|^2 / (2 spatial^2))`.

    The paper calls it the smoothness kernel.

    Attributes:
        spatial: The standard deviation in pixels; one number, or one for each axis of the space.
        weight: How much it counts: a number, or an array of one number for each class. It may be
            traced, and has a gradient.

    Raises:
        ValueError: A width is not positive.

    >>> GaussianKernel(spatial=3.0, weight=3.0).spatial
    3.0
    """

    spatial: Width
    weight: Any = 1.0

    def __post_init__(self) -> None:
        _check_widths("GaussianKernel", spatial=self.spatial)


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["weight"], meta_fields=["spatial", "color"]
)
@dataclasses.dataclass(frozen=True)
class BilateralKernel:
    """Pixels that are near and of a similar color speak for the same class.

    The kernel is `exp(-|x - x'|^2 / (2 spatial^2) - |c - c'|^2 / (2 color^2))`. The paper calls it
    the appearance kernel.

    Attributes:
        spatial: The standard deviation in pixels; one number, or one for each axis of the space.
        color: The standard deviation in the unit of the image: for images from 0 to 1, 13 levels of
            255 are `13 / 255`.
        weight: How much it counts: a number, or an array of one number for each class. It may be
            traced, and has a gradient.

    Raises:
        ValueError: A width is not positive.

    >>> BilateralKernel(spatial=80.0, color=13 / 255, weight=10.0).spatial
    80.0
    """

    spatial: Width
    color: int | float
    weight: Any = 1.0

    def __post_init__(self) -> None:
        _check_widths("BilateralKernel", spatial=self.spatial, color=self.color)


Kernel = GaussianKernel | BilateralKernel
KERNELS: tuple[Kernel, ...] = (
    GaussianKernel(spatial=3.0, weight=3.0),
    BilateralKernel(spatial=80.0, color=13 / 255, weight=10.0),
)
"""The kernels of pydensecrf's documentation, for images from 0 to 1."""


def dense_crf(
    logits: Float[Array, "batch *space classes"],
    image: Float[Array, "batch *space channels"],
    kernels: Sequence[Kernel] = KERNELS,
    *,
    num_steps: int = 5,
    compatibility: Float[Array, "classes classes"] | None = None,
    method: CRFMethod = "auto",
) -> Float[Array, "batch *space classes"]:
    """Refines the classes of pixels by those of similar pixels anywhere in the image.

    Each step of the mean-field approximation replaces the probabilities Q of all pixels by
    `softmax(logits - sum_k weight_k C K_k Q)`, where `C` is the compatibility of classes and `K_k`
    a kernel between all pixels, each pixel with itself included. Kernels are normalized
    symmetrically, `K(i, j) / sqrt(n(i) n(j))`, where `n(i)` is the sum of `K(i, j)` over j. All of
    this is as in pydensecrf2 with its `NORMALIZE_SYMMETRIC`.

    Args:
        logits: Unnormalized log-probabilities of the pixels, for images, volumes or signals. `-inf`
            (and all that is lower) is taken for 10000 less than the largest logit of the pixel, and
            so stays improbable; if all are `-inf`, they are equal.
        image: The image, floating point, whose values have the unit of the kernels' `color`.
        kernels: Any number of kernels. The standard ones, for images from 0 to 1, are those of
            pydensecrf's documentation.
        num_steps: The number of steps; 0 gives the normalized logits.
        compatibility: What it costs, at `[l, m]`, to be of class l beside a similar pixel of class
            m. None takes the Potts model: 0 for the same class, 1 for different ones.
        method: How kernels with color are summed; those without are always exact. `"exact"` visits
            every pair of pixels, with bounded memory. `"lattice"` filters on the permutohedral
            lattice of pydensecrf2, in a time that grows with the number of pixels: its sums differ
            from exact ones by 3 to 16% (root mean square, for Gaussians of 3 to 80 pixels and 5 to
            40 levels of 255), probabilities by 0.03 on average or less, and rarely by up to 1.
            `"auto"` is exact for up to 1024 pixels.

    Returns:
        The log-probabilities, finite, in float32 at least. They have gradients by reverse mode for
        the logits, the image, the weights and the compatibility.

    Raises:
        TypeError: The image is not floating point.
        ValueError: Shapes do not fit, or a value is not allowed.

    References: Krähenbühl & Koltun, NIPS 2011, arXiv:1210.5644. Adams et al., Fast high-dimensional
    filtering using the permutohedral lattice, Eurographics 2010.

    >>> from jaxvision import ops
    >>> image = jnp.array([0.0, 0.0, 0.0, 1.0, 1.0]).reshape(1, 1, 5, 1)
    >>> margin = jnp.array([1.0, -0.5, 1.0, -1.0, -1.0]).reshape(1, 1, 5, 1)
    >>> logits = margin * jnp.array([1.0, -1.0])
    >>> kernels = [ops.BilateralKernel(spatial=5.0, color=0.1, weight=2.0)]
    >>> logits.argmax(-1).ravel().tolist()
    [0, 1, 0, 1, 1]
    >>> ops.dense_crf(logits, image, kernels).argmax(-1).ravel().tolist()
    [0, 0, 0, 1, 1]
    """
    _check(logits, image, kernels, num_steps, compatibility, method)
    wide = jnp.promote_types(jnp.promote_types(logits.dtype, image.dtype), jnp.float32)
    unary = _log_probabilities(logits.astype(wide))
    if unary.size == 0:
        return unary
    pixels = math.prod(logits.shape[1:-1])
    exact = method == "exact" or (method == "auto" and pixels <= EXACT_PIXELS)
    costs = None if compatibility is None else compatibility.astype(wide)

    def refine(pair: tuple[Array, Array]) -> Array:
        return _refine(*pair, kernels, num_steps, costs, exact)

    return lax.map(refine, (unary, image.astype(wide)))


def _refine(
    unary: Float[Array, "*space classes"],
    image: Float[Array, "*space channels"],
    kernels: Sequence[Kernel],
    num_steps: int,
    compatibility: Array | None,
    exact: bool,
) -> Float[Array, "*space classes"]:
    """Mean-field steps on one image."""
    filters = [normalized_filter(kernel, image, exact=exact) for kernel in kernels]

    def step(log_q: Array, _: None) -> tuple[Array, None]:
        q = jnp.exp(log_q)
        support = jnp.zeros_like(q)
        for kernel, apply in zip(kernels, filters, strict=True):
            support += jnp.asarray(kernel.weight, q.dtype) * apply(q)
        if compatibility is not None:
            support = -jnp.matmul(support, compatibility.T, precision=lax.Precision.HIGHEST)
        return jax.nn.log_softmax(unary + support), None

    return lax.scan(step, unary, length=num_steps)[0]


def normalized_filter(
    kernel: Kernel, image: Float[Array, "*space channels"], *, exact: bool
) -> Callable[[Float[Array, "*space values"]], Float[Array, "*space values"]]:
    """Makes the filter of a kernel with symmetric normalization, without its weight.

    Args:
        kernel: The kernel.
        image: One image.
        exact: Whether a kernel with color visits every pair of pixels, instead of a lattice.

    Returns:
        A function of values of the pixels.
    """
    *space, channels = image.shape
    axes = range(len(space))
    spatial = kernel.spatial if isinstance(kernel.spatial, tuple) else (kernel.spatial,) * len(axes)
    apply: Callable[[Array], Array]
    if isinstance(kernel, GaussianKernel):
        apply = functools.partial(_filter_axes, spatial)
    else:
        # The last axis comes first, as in pydensecrf, whose lattice it then is.
        places = [lax.broadcasted_iota(image.dtype, space, i) / spatial[i] for i in reversed(axes)]
        points = jnp.concatenate([jnp.stack(places, axis=-1), image / kernel.color], axis=-1)
        points = points.reshape(-1, len(space) + channels)
        filter_points = (
            functools.partial(_filter_pairs, points)
            if exact
            else functools.partial(filter_on_lattice, make_lattice(points))
        )

        def apply(values: Array) -> Array:
            return filter_points(values.reshape(-1, values.shape[-1])).reshape(values.shape)

    scale = lax.rsqrt(apply(jnp.ones((*space, 1), image.dtype)))
    return lambda values: scale * apply(scale * values)


def _filter_axes(
    spatial: tuple[int | float, ...], values: Float[Array, "*space classes"]
) -> Float[Array, "*space classes"]:
    """Sums values weighted by a spatial Gaussian, along one axis after the other."""
    for axis, width in enumerate(spatial):
        moved = jnp.moveaxis(values, axis, 0)
        summed = _filter_first_axis(moved.reshape(len(moved), -1), width)
        values = jnp.moveaxis(summed.reshape(moved.shape), 0, axis)
    return values


def _filter_first_axis(
    values: Float[Array, "size others"], width: int | float
) -> Float[Array, "size others"]:
    """Cuts an axis into blocks as long as the Gaussian reaches.

    The sums of a block are the product of a matrix with the block and the two beside it.
    """
    size = len(values)
    block = min(size, math.ceil(_REACH * width))
    count = -(-size // block)
    padded = jnp.pad(values, ((block, (count + 1) * block - size), (0, 0)))
    distance = np.arange(3 * block) - block - np.arange(block)[:, None]
    matrix = jnp.asarray(np.exp(-0.5 * (distance / width) ** 2), values.dtype)

    def sum_block(index: Array) -> Array:
        around = lax.dynamic_slice_in_dim(padded, index * block, 3 * block)
        return jnp.dot(matrix, around, precision=lax.Precision.HIGHEST)

    return lax.map(sum_block, jnp.arange(count)).reshape(count * block, -1)[:size]


def _filter_pairs(
    points: Float[Array, "pixels features"], values: Float[Array, "pixels classes"]
) -> Float[Array, "pixels classes"]:
    """Sums values of all pixels weighted by a Gaussian, for a block of pixels at a time."""
    pixels, features = points.shape
    block = max(1, min(pixels, _PAIRS // pixels))
    count = -(-pixels // block)
    padded = jnp.pad(points, ((0, count * block - pixels), (0, 0))).reshape(count, block, features)

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def filter_block(some: Array) -> Array:
        squares = sum((some[:, None, i] - points[:, i]) ** 2 for i in range(features))
        return jnp.dot(jnp.exp(-0.5 * squares), values, precision=lax.Precision.HIGHEST)

    return lax.map(filter_block, padded).reshape(count * block, -1)[:pixels]


def _log_probabilities(logits: Array) -> Array:
    top = jnp.max(logits, axis=-1, keepdims=True, initial=-jnp.inf)
    below = jnp.where(jnp.isneginf(top), 0, logits - jnp.where(jnp.isneginf(top), 0, top))
    return jax.nn.log_softmax(jnp.maximum(below, _LOWEST))


def _check(
    logits: Array,
    image: Array,
    kernels: Sequence[Kernel],
    num_steps: int,
    compatibility: Array | None,
    method: str,
) -> None:
    if logits.shape[:-1] != image.shape[:-1] or logits.ndim < 3:
        raise ValueError(
            "logits (batch, *space, classes) and image (batch, *space, channels) must have the "
            f"same batch and space, of one axis or more; got {logits.shape} and {image.shape}"
        )
    if not jnp.issubdtype(image.dtype, jnp.floating):
        raise TypeError(
            f"image must be floating point, got {image.dtype}; divide an image of bytes by 255, or "
            "convert it and give the kernels' color in levels"
        )
    axes, classes = logits.ndim - 2, logits.shape[-1]
    for kernel in kernels:
        if isinstance(kernel.spatial, tuple) and len(kernel.spatial) != axes:
            raise ValueError(
                f"spatial must be one number, or one for each of {axes} axes, got {kernel.spatial}"
            )
        if jnp.shape(kernel.weight) not in ((), (classes,)):
            raise ValueError(
                f"weight must be one number, or one for each of {classes} classes, got the shape "
                f"{jnp.shape(kernel.weight)}"
            )
    if compatibility is not None and compatibility.shape != (classes, classes):
        raise ValueError(
            f"compatibility must be of shape {(classes, classes)} for {classes} classes, got "
            f"{compatibility.shape}"
        )
    if num_steps < 0:
        raise ValueError(f"num_steps must not be negative, got {num_steps}")
    check_name("method", method, METHODS)
