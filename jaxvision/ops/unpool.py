"""Max pooling that returns the positions of its maxima, and unpooling, which uses them."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped


class Pooled(NamedTuple):
    """The maxima of windows.

    Attributes:
        maxima: One value per window and channel.
        indices: The positions of the maxima in their maps: `row * width + column`.
    """

    maxima: Float[Array, "batch out_height out_width channels"]
    indices: Int[Array, "batch out_height out_width channels"]


def max_pool_with_indices(x: Float[Array, "batch height width channels"], window: int) -> Pooled:
    """The maximum of each window and its position, for windows that do not overlap.

    The first of equal values is the maximum and gets the gradient. Rows and columns at the end that
    do not fill a window are ignored.

    Args:
        x: Feature maps.
        window: The height and width of a window, and the step between windows.

    Raises:
        ValueError: The window is below 1 or larger than the maps.

    >>> x = jnp.array([[1.0, 2.0], [4.0, 3.0]]).reshape(1, 2, 2, 1)
    >>> pooled = max_pool_with_indices(x, 2)
    >>> pooled.maxima.item(), pooled.indices.item()
    (4.0, 2)
    """
    batch, height, width, channels = x.shape
    if not 1 <= window <= min(height, width):
        raise ValueError(
            f"window must be at least 1 and no larger than the maps, which are {height}x{width}; "
            f"got {window}"
        )
    rows, columns = height // window, width // window
    blocks = x[:, : rows * window, : columns * window].reshape(
        batch, rows, window, columns, window, channels
    )
    taps = blocks.swapaxes(2, 3).reshape(batch, rows, columns, window**2, channels)
    tap = taps.argmax(axis=3)
    # Selection, because the gradient of indexing is a scatter.
    chosen = jnp.arange(window**2)[:, None] == tap[:, :, :, None]
    maxima = jnp.where(chosen, taps, 0).sum(axis=3)
    row = jnp.arange(rows)[:, None, None] * window + tap // window
    column = jnp.arange(columns)[:, None] * window + tap % window
    return Pooled(maxima, (row * width + column).astype(jnp.int32))


def max_unpool(
    x: Shaped[Array, "batch height width channels"],
    indices: Int[Array, "batch height width channels"],
    window: int,
    *,
    size: tuple[int, int] | None = None,
) -> Shaped[Array, "batch new_height new_width channels"]:
    """Puts values at the positions of the maxima of windows, and 0 elsewhere, as SegNet does.

    Args:
        x: One value per window and channel.
        indices: The indices from `max_pool_with_indices` with the same window.
        window: The size of the windows.
        size: Height and width of the result; None means `window` times the size of `x`.

    Raises:
        ValueError: Maps of this size have another number of windows.

    Reference: Badrinarayanan et al., SegNet, PAMI 2017, arXiv:1511.00561.

    >>> import jax
    >>> x = jnp.array([[[[1.0], [2.0]], [[4.0], [3.0]]]])
    >>> there_and_back = jax.jit(lambda x: max_unpool(*max_pool_with_indices(x, 2), window=2))
    >>> there_and_back(x)[0, :, :, 0].tolist()
    [[0.0, 0.0], [4.0, 0.0]]
    """
    rows, columns = x.shape[1:3]
    height, width = (rows * window, columns * window) if size is None else size
    if (height // window, width // window) != (rows, columns):
        raise ValueError(
            f"maps of {height}x{width} have {height // window}x{width // window} windows of "
            f"{window}x{window}, but x has values for {rows}x{columns} windows"
        )
    place = jnp.arange(rows * window)[:, None] * width + jnp.arange(columns * window)
    values, places = (
        jnp.repeat(jnp.repeat(each, window, axis=1), window, axis=2) for each in (x, indices)
    )
    spread = jnp.where(places == place[:, :, None], values, jnp.zeros((), x.dtype))
    beyond = ((0, height - rows * window), (0, width - columns * window))
    return jnp.pad(spread, ((0, 0), *beyond, (0, 0)))


def bed_of_nails(
    x: Shaped[Array, "batch height width channels"], factor: int
) -> Shaped[Array, "batch new_height new_width channels"]:
    """Enlarges maps by putting each value into the upper left corner of a block of zeros.

    Args:
        x: Feature maps.
        factor: The factor by which height and width grow.

    Raises:
        ValueError: The factor is below 1.

    >>> bed_of_nails(jnp.array([[1.0, 2.0]]).reshape(1, 1, 2, 1), 2)[0, :, :, 0].tolist()
    [[1.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """
    if factor < 1:
        raise ValueError(f"factor must be at least 1, got {factor}")
    batch, height, width, channels = x.shape
    blocks = x[:, :, None, :, None]
    edges = ((0, 0), (0, 0), (0, factor - 1), (0, 0), (0, factor - 1), (0, 0))
    return jnp.pad(blocks, edges).reshape(batch, height * factor, width * factor, channels)
