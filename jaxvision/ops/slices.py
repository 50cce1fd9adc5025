"""3D convolutions as 2D convolutions of slices.

On CPUs, XLA's 3D convolutions take 3 to 9 times as long as those of the slices, and transposed 3D
convolutions 40 times as long.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxvision.ops.windows import Window, phases, spread_size, spread_taps

Array = jax.Array
Convolve = Callable[[Array, Array, Window], Array]


def sliced(x: Array, kernel: Array, window: Window, convolve: Convolve) -> Array:
    """Convolves volumes as images whose channels hold the inputs of all taps along the depth.

    Along the depth, the window must have strides of 1 or a spread of 1.
    """
    if window.spread[0] > 1:
        return _between_slices(x, kernel, window, convolve)
    (low, high), stride, step = window.pads[0], window.strides[0], window.dilation[0]
    edges = [(0, 0, 0)] * x.ndim
    edges[1] = (low, high, 0)
    padded = lax.pad(x, jnp.zeros((), x.dtype), edges)
    taps = len(kernel)
    depth = (padded.shape[1] - (taps - 1) * step - 1) // stride + 1
    reach = (depth - 1) * stride + 1
    seen = [
        lax.slice_in_dim(padded, first, first + reach, stride, axis=1)
        for first in range(0, taps * step, step)
    ]
    # The channels of one group stay adjacent.
    apart = [each.reshape(*each.shape[:-1], window.groups, -1) for each in seen]
    slices = jnp.concatenate(apart, axis=-1).reshape(-1, *x.shape[2:4], taps * x.shape[-1])
    flat = kernel.transpose(1, 2, 0, 3, 4).reshape(*kernel.shape[1:3], -1, kernel.shape[-1])
    y = convolve(slices, flat, _plane(window))
    return y.reshape(len(x), depth, *y.shape[1:])


def _between_slices(x: Array, kernel: Array, window: Window, convolve: Convolve) -> Array:
    """Convolves once for each position that an output slice can have between input slices."""
    kernel = spread_taps(kernel, (window.dilation[0], 1, 1))
    spread, pads, taps = window.spread[0], window.pads[0], len(kernel)
    _, places = phases(x.shape[1], taps, pads, spread)
    results = {}
    for place, (first, rows) in enumerate(places):
        if first < taps:
            plain = window._replace(
                spread=(1, *window.spread[1:]),
                dilation=(1, *window.dilation[1:]),
                pads=(rows, *window.pads[1:]),
            )
            results[place] = sliced(x, kernel[first::spread], plain, convolve)
    nothing = jnp.zeros_like(next(iter(results.values())))  # where no tap reaches
    y = jnp.stack([results.get(place, nothing) for place in range(spread)], axis=2)
    y = y.reshape(len(x), -1, *y.shape[3:])
    return y[:, : spread_size(x.shape[1], taps, pads, spread)]


def _plane(window: Window) -> Window:
    """The window along height and width."""
    return window._replace(
        strides=window.strides[1:],
        pads=window.pads[1:],
        spread=window.spread[1:],
        dilation=window.dilation[1:],
    )
