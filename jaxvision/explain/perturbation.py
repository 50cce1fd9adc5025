"""Explanations by the scores of images of which parts are hidden."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from jaxvision.explain.attribution import Attribution, certified
from jaxvision.explain.estimate import Estimate, mean_of_samples
from jaxvision.explain.inputs import (
    Function,
    Size,
    Spatial,
    as_pair,
    baseline_like,
    checked,
    copies_of,
    in_chunks,
    no_promise,
    size_of,
    subject,
)
from jaxvision.explain.target import Target
from jaxvision.ops import resize


def occlusion(
    f: Function,
    images: Spatial,
    target: Target = None,
    *,
    window: Size,
    stride: Size | None = None,
    baseline: ArrayLike | None = None,
    batch_size: int = 64,
) -> Attribution:
    """Computes how much the score falls when a window that slides over the images is hidden.

    Args:
        f: A function from images to logits, whose rows do not depend on each other.
        images: Images.
        target: What is explained; see `Target`.
        window: Height and width of the window in pixels; one number is used for both.
        stride: Step of the window; None for half of the window.
        baseline: What is shown in the window: a number, an array, or None for zeros.
        batch_size: The most images that are evaluated at once.

    Returns:
        A map of the shape (batch, height, width, 1): the fall of the score, averaged over all
        windows that cover a pixel. Windows at the ends may reach beyond the images. It has no
        axiom.

    Raises:
        TypeError: The images are not floating point.
        ValueError: The target does not exist, the baseline has a wrong shape, or the window or the
            stride is not positive or leaves pixels uncovered.

    Reference: Zeiler & Fergus, ECCV 2014, arXiv:1311.2901.

    >>> f = lambda x: x.sum(axis=(1, 2))
    >>> occlusion(f, jnp.arange(4.0).reshape(1, 2, 2, 1), window=1).map.ravel().tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    given = subject(f, checked(images, spatial=True), target)
    x, hidden = given.images, baseline_like(given.images, baseline)
    windows = as_pair("window", window)
    half = (max(1, windows[0] // 2), max(1, windows[1] // 2))
    strides = half if stride is None else as_pair("stride", stride)
    if any(step > length for step, length in zip(strides, windows, strict=True)):
        raise ValueError(f"stride must be at most the window {windows}, got {strides}")
    down, across = (_covered(*each) for each in zip(size_of(x), windows, strides, strict=True))

    def fall(place: tuple[Array, Array]) -> Array:
        mask = place[0][:, None, None] & place[1][None, :, None]
        return given.value - given.score(jnp.where(mask, hidden, x))

    places = (
        jnp.repeat(jnp.asarray(down), len(across), axis=0),
        jnp.tile(jnp.asarray(across), (len(down), 1)),
    )
    falls = in_chunks(fall, places, copies_of(x, batch_size))
    falls = falls.reshape(len(down), len(across), len(x))
    # Full precision, because TPUs multiply in bfloat16 by default.
    sums = jnp.einsum(
        "ijb,ih,jw->bhw",
        falls,
        down.astype(falls.dtype),
        across.astype(falls.dtype),
        precision=jax.lax.Precision.HIGHEST,
    )
    maps = (sums / np.outer(down.sum(axis=0), across.sum(axis=0)))[..., None]
    axiom = "none: windows overlap, and what they hide interacts"
    return certified(Attribution(maps, no_promise(maps), axiom, 0.0))


def rise(
    f: Function,
    images: Spatial,
    target: Target = None,
    *,
    key: PRNGKeyArray,
    masks: int = 4000,
    grid: Size = 7,
    visible: float = 0.5,
    baseline: ArrayLike | None = None,
    batch_size: int = 64,
) -> Estimate:
    """Computes how much higher the score is, on average over random masks, where pixels are shown.

    Every mask is a random grid of shown and hidden cells, interpolated to the images and shifted.
    The map is that of the paper, the mean score while a pixel is shown, minus the mean score over
    all masks: a number per row, without which the map has less noise and a sign.

    Args:
        f: A function from images to logits, whose rows do not depend on each other.
        images: Images.
        target: What is explained; see `Target`.
        key: A PRNG key.
        masks: Number of masks, at least 2.
        grid: Rows and columns of the grid; one number is used for both.
        visible: Probability that a cell is shown, between 0 and 1.
        baseline: What is shown where the images are hidden: a number, an array, or None for zeros.
        batch_size: The most images that are evaluated at once.

    Returns:
        A map of the shape (batch, height, width, 1), in units of the score, and its standard error.
        It has no axiom.

    Raises:
        TypeError: The images are not floating point.
        ValueError: The target does not exist, the baseline has a wrong shape, or another number is
            not allowed.

    Reference: Petsiuk, Das & Saenko, BMVC 2018, arXiv:1806.07421.

    >>> images = jnp.zeros((1, 8, 8, 1)).at[0, :4, :4].set(1.0)
    >>> f = lambda x: x[:, :4, :4].sum(axis=(1, 2))
    >>> maps = rise(f, images, key=jax.random.key(0), masks=256, grid=2).map[0, ..., 0]
    >>> bool(maps[1, 1] > 2 * jnp.abs(maps[6, 6]))
    True
    """
    if not 0 < visible < 1:
        raise ValueError(f"visible must be between 0 and 1, got {visible}")
    given = subject(f, checked(images, spatial=True), target)
    x, hidden = given.images, baseline_like(given.images, baseline)
    cells = as_pair("grid", grid)

    def mask_of(number: Array) -> Array:
        return random_mask(jax.random.fold_in(key, number), size_of(x), cells, visible)

    def score(number: Array) -> Array:
        mask = mask_of(number)[..., None].astype(x.dtype)
        return given.score(x * mask + hidden * (1 - mask))

    copies = copies_of(x, batch_size)
    scores = in_chunks(score, jnp.arange(masks), copies)
    deviations = (scores - scores.mean(axis=0)) / visible

    def sample(number: Array) -> Array:
        return deviations[number][:, None, None] * (mask_of(number) - visible)

    mean, error = (each[..., None] for each in mean_of_samples(sample, masks, copies))
    axiom = "none: masks interact"
    return certified(Estimate(mean, no_promise(mean), axiom, 0.0, error))


def random_mask(
    key: PRNGKeyArray, size: tuple[int, int], cells: tuple[int, int], visible: float
) -> Float[Array, "height width"]:
    """Draws a mask of RISE: a random grid, interpolated and shifted by a part of a cell."""
    cell_key, shift_key = jax.random.split(key)
    shown = jax.random.bernoulli(cell_key, visible, (cells[0] + 1, cells[1] + 1))
    cell = tuple(math.ceil(length / count) for length, count in zip(size, cells, strict=True))
    enlarged = ((cells[0] + 1) * cell[0], (cells[1] + 1) * cell[1])
    smooth = resize(shown.astype(jnp.float32)[..., None], enlarged)[..., 0]
    shift = jax.random.randint(shift_key, (2,), 0, jnp.array(cell))
    return jax.lax.dynamic_slice(smooth, shift, size)


def _covered(length: int, window: int, stride: int) -> np.ndarray:
    """Which pixels of a side each position of the window covers, (positions, length)."""
    count = max(0, -(-(length - window) // stride)) + 1
    first = np.arange(count)[:, None] * stride
    return (np.arange(length) >= first) & (np.arange(length) < first + window)
