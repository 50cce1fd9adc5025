"""Refinement of segmentations by a fully connected conditional random field (DenseCRF)."""

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
"""The largest number of pixels for which `method="auto"` is exact."""

_PAIRS = 2**21
"""The number of pairs of pixels in memory at once."""

_LOWEST = -1e4
"""The replacement of `-inf`, relative to the largest logit of the pixel."""

_REACH = 5
"""Spatial Gaussians are cut off at this many widths, where weights fall below 4e-6."""


def _check_widths(kernel: str, **widths: Width) -> None:
    for name, value in widths.items():
        numbers = value if isinstance(value, tuple) else (value,)
        if not (numbers and all(0 < number < math.inf for number in numbers)):
            raise ValueError(
                f"{name} of a {kernel} must be positive and finite, got {value}; to disable a "
                "kernel, leave it out"
            )


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["weight"], meta_fields=["spatial"]
)
@dataclasses.dataclass(frozen=True)
class GaussianKernel:
    """A kernel that favors equal classes of near pixels: `exp(-|x - x'|^2 / (2 spatial^2))`.

    The paper calls it the smoothness kernel.

    Attributes:
        spatial: The standard deviation in pixels; one number, or one per spatial axis.
        weight: One number, or an array with one per class. It may be traced and has a gradient.

    Raises:
        ValueError: A standard deviation is not positive and finite.

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
    """A kernel that favors equal classes of near pixels with similar colors.

    The kernel is `exp(-|x - x'|^2 / (2 spatial^2) - |c - c'|^2 / (2 color^2))`, the appearance
    kernel of the paper.

    Attributes:
        spatial: The standard deviation in pixels; one number, or one per spatial axis.
        color: The standard deviation in the unit of the image, such as `13 / 255`.
        weight: One number, or an array with one per class. It may be traced and has a gradient.

    Raises:
        ValueError: A standard deviation is not positive and finite.

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
"""The kernels in pydensecrf's documentation, for images in [0, 1]."""


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

    Each step of the mean-field approximation replaces the class probabilities Q of all pixels by
    `softmax(logits - sum_k weight_k C K_k Q)`, where `C` is the compatibility matrix and `K_k` a
    kernel between all pixels, including each pixel with itself. Kernels are normalized
    symmetrically, `K(i, j) / sqrt(n(i) n(j))`, where `n(i)` is the sum of `K(i, j)` over j. All
    this is as in pydensecrf2 with `NORMALIZE_SYMMETRIC`.

    Args:
        logits: Unnormalized log-probabilities of the pixels of images, volumes or signals. Logits
            more than 10000 below the largest of the pixel, such as `-inf`, count as 10000 below; if
            all are `-inf`, the classes are equally probable.
        image: The image, floating point, in the unit of the kernels' `color`.
        kernels: Any number of kernels. The default ones are for images in [0, 1].
        num_steps: The number of steps; 0 gives the normalized logits.
        compatibility: The cost `[l, m]` of class l near a similar pixel of class m. None means the
            Potts model: 0 for the same class, 1 for different ones.
        method: How to sum kernels with color; those without are always exact. `"exact"` visits
            every pair of pixels, in bounded memory. `"lattice"` filters on the permutohedral
            lattice of pydensecrf2, which is fast for large images; its sums differ from
            exact ones by 3 to 16% (root mean square, for Gaussians of 3 to 80 pixels and 5 to 40 of
            255 levels), probabilities by at most 0.03 on average and rarely by up to 1. `"auto"` is
            exact up to 1024 pixels.

    Returns:
        Finite log-probabilities, in float32 or wider. Logits, image, weights and compatibility have
        gradients in reverse mode.

    Raises:
        TypeError: The image is not floating point.
        ValueError: The shapes do not match, `num_steps` is negative, or `method` is unknown.

    References: Krähenbühl & Koltun, Efficient inference in fully connected CRFs with Gaussian edge
    potentials, NIPS 2011, arXiv:1210.5644. Adams et al., Fast high-dimensional filtering using the
    permutohedral lattice, Eurographics 2010.

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
    """Runs the mean-field steps on one image."""
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
    """The filter of a kernel, symmetrically normalized and without its weight."""
    *space, channels = image.shape
    axes = range(len(space))
    spatial = kernel.spatial if isinstance(kernel.spatial, tuple) else (kernel.spatial,) * len(axes)
    apply: Callable[[Array], Array]
    if isinstance(kernel, GaussianKernel):
        apply = functools.partial(_filter_axes, spatial)
    else:
        # The last axis comes first, which gives the lattice of pydensecrf.
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
    """Filters an axis in blocks: a matrix times each block and the neighboring two."""
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
    """Sums the values of all pixels weighted by a Gaussian, for one block of pixels at a time."""
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
