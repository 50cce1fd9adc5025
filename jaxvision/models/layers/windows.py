"""Square windows of feature maps, for attention within them."""

import functools

import numpy as np
from jaxtyping import Array, Float


def split_windows(
    x: Float[Array, "batch height width channels"], window: int
) -> Float[Array, "batch windows pixels channels"]:
    """Cuts maps, whose sides are multiples of `window`, into square windows.

    Windows, and the pixels of each window, are in row-major order.

    >>> import jax.numpy as jnp
    >>> split_windows(jnp.arange(16.0).reshape(1, 4, 4, 1), 2)[0, :, :, 0].tolist()[:2]
    [[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0]]
    """
    batch, height, width, channels = x.shape
    rows, columns = height // window, width // window
    x = x.reshape(batch, rows, window, columns, window, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, rows * columns, window**2, channels)


def join_windows(
    x: Float[Array, "batch windows pixels channels"], height: int, width: int
) -> Float[Array, "batch height width channels"]:
    """Inverts `split_windows`, for maps of the given height and width.

    >>> import jax.numpy as jnp
    >>> x = jnp.arange(96.0).reshape(2, 4, 6, 2)
    >>> bool((join_windows(split_windows(x, 2), 4, 6) == x).all())
    True
    """
    batch, _, pixels, channels = x.shape
    window = round(pixels**0.5)
    rows, columns = height // window, width // window
    x = x.reshape(batch, rows, columns, window, window, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height, width, channels)


@functools.lru_cache
def relative_positions(window: int) -> np.ndarray:
    """Numbers the offsets between the pixels of a window of the given height and width.

    Returns:
        (window**2, window**2): for each pair of pixels in row-major order, the number of their
        offset, from 0 to (2 * window - 1)**2 - 1. The offset of a pixel to itself has the middle
        number.

    >>> relative_positions(2).tolist()
    [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]
    """
    row, column = np.divmod(np.arange(window**2), window)
    down = row[:, None] - row + window - 1
    across = column[:, None] - column + window - 1
    return down * (2 * window - 1) + across


@functools.lru_cache
def far_apart(height: int, width: int, window: int, shift: tuple[int, int]) -> np.ndarray:
    """Marks the pairs of pixels that a cyclic shift has brought into one window from afar.

    Args:
        height: Height of the maps, a multiple of the window's.
        width: Width of the maps, a multiple of the window's.
        window: Height and width of a window.
        shift: By how much the maps were rolled up and to the left.

    Returns:
        (windows, pixels, pixels): whether the pixels lay at opposite edges of the maps.

    >>> far_apart(4, 2, 2, (1, 0)).any(axis=(1, 2)).tolist()
    [False, True]
    """

    def region(size: int, by: int) -> np.ndarray:
        place = np.arange(size)
        return np.where(place < size - window, 0, np.where(place < size - by, 1, 2)) * (by > 0)

    regions = 3 * region(height, shift[0])[:, None] + region(width, shift[1])
    rows, columns = height // window, width // window
    windows = regions.reshape(rows, window, columns, window).transpose(0, 2, 1, 3)
    windows = windows.reshape(rows * columns, window**2)
    return windows[:, :, None] != windows[:, None, :]
