"""The convolutions of `jax.lax`, in the form that is fastest on the target platform.

On CPUs, XLA is 3 to 400 times slower than need be for depthwise, grouped and 3D convolutions and
for the gradients of 1x1 and transposed ones (`benchmarks/convolutions.py` measures it); `lowerings`
has faster forms with the same result. On other platforms, XLA's convolutions are used.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from jaxvision.ops import lowerings
from jaxvision.ops.platform import choose, for_one, is_portable, prefers_native
from jaxvision.ops.resizing import resize
from jaxvision.ops.windows import Window

NHWC = ("NHWC", "HWIO", "NHWC")
_LAYOUTS = {4: NHWC, 5: ("NDHWC", "DHWIO", "NDHWC")}
Pads = str | Sequence[tuple[int, int]]
Convolve = Callable[..., jax.Array]


def conv_general_dilated(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: Pads,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: lax.PrecisionLike = None,
    preferred_element_type: DTypeLike | None = None,
    *,
    in_loop: bool = False,
) -> jax.Array:
    """Convolves as `jax.lax.conv_general_dilated` does, with the same arguments and errors.

    Faster forms exist for maps (batch, height, width, channels) with a kernel (height, width,
    channels / groups, features), and for volumes with a depth axis before the height. Forward and
    reverse mode, second derivatives and `vmap` work as usual.

    Args:
        lhs: Maps or volumes.
        rhs: The kernel.
        window_strides: The step between outputs.
        padding: Zeros before and after each spatial axis, or "SAME", "SAME_LOWER" or "VALID".
        lhs_dilation: The step between inputs; above 1 for transposed convolutions.
        rhs_dilation: The step between the taps of the kernel.
        dimension_numbers: The order of the axes.
        feature_group_count: The number of groups of channels.
        batch_group_count: The number of groups of the batch.
        precision: The precision of products.
        preferred_element_type: The type of the result; None means that of the arguments.
        in_loop: Whether the call is inside `jax.lax.scan` or another loop, where XLA's convolutions
            take up to fifteen times as long on a CPU; products of unfolded maps replace them.

    >>> x, kernel = jnp.ones((1, 5, 5, 8)), jnp.ones((3, 3, 1, 8))
    >>> conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=NHWC,
    ...                      feature_group_count=8)[0, 0, 0, 0].item()
    9.0
    """
    native = functools.partial(
        lax.conv_general_dilated,
        window_strides=window_strides,
        padding=padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        dimension_numbers=dimension_numbers,
        feature_group_count=feature_group_count,
        batch_group_count=batch_group_count,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    # Both forms are right on every platform, so the choice is made while tracing.
    # `lax.platform_dependent` would trace and differentiate both; only portable programs use it.
    if prefers_native() and not is_portable(lhs):
        return native(lhs, rhs)
    known = for_one(lhs.shape) if is_portable(lhs) else lhs.shape
    is_maps = (
        lhs.ndim == rhs.ndim
        and lhs.ndim in _LAYOUTS
        and lax.conv_dimension_numbers(known, rhs.shape, dimension_numbers)
        == lax.conv_dimension_numbers(known, rhs.shape, _LAYOUTS[lhs.ndim])
        and lhs.dtype == rhs.dtype
        and jnp.issubdtype(lhs.dtype, jnp.floating)
        and lhs.shape[-1] == rhs.shape[-2] * feature_group_count
        and rhs.shape[-1] % feature_group_count == 0
    )
    if not is_maps or batch_group_count != 1 or preferred_element_type is not None:
        return native(lhs, rhs)
    ones = (1,) * (lhs.ndim - 2)
    window = _window(
        known,
        rhs.shape,
        tuple(window_strides),
        padding,
        tuple(lhs_dilation or ones),
        tuple(rhs_dilation or ones),
        feature_group_count,
        precision,
    )
    form = (lowerings.for_cpu_loops if in_loop else lowerings.for_cpu)(known, rhs.shape, window)
    if form is None or 0 in (*known, *rhs.shape) or not _fits(known, rhs.shape, window):
        return native(lhs, rhs)
    return choose(functools.partial(form, window=window), native, [lhs], [rhs])


conv_in_loops = functools.partial(conv_general_dilated, in_loop=True)
"""`conv_general_dilated` for convolutions inside `jax.lax.scan` and other loops.

Pass it to a layer as `flax.linen.Conv(..., conv_general_dilated=conv_in_loops)`.

>>> x, kernel = jnp.ones((1, 8, 8, 2)), jnp.ones((4, 4, 2, 8))
>>> conv_in_loops(x, kernel, (2, 2), "VALID", dimension_numbers=NHWC)[0, 0, 0, 0].item()
32.0
"""


def conv_transpose(
    lhs: jax.Array,
    rhs: jax.Array,
    strides: Sequence[int],
    padding: Pads,
    rhs_dilation: Sequence[int] | None = None,
    transpose_kernel: bool = False,
    precision: lax.PrecisionLike = None,
    preferred_element_type: DTypeLike | None = None,
) -> jax.Array:
    """A transposed convolution, as `jax.lax.conv_transpose` computes it.

    Args:
        lhs: Maps (batch, height, width, channels), or volumes with a depth axis before the height.
        rhs: The kernel (height, width, channels, features), for volumes with a depth axis first.
        strides: The step between inputs along each spatial axis, in outputs.
        padding: "SAME" gives `strides` times the size, "VALID" all outputs that any input reaches;
            pairs are zeros before and after the inputs, which have `strides` - 1 zeros between
            them.
        rhs_dilation: The step between the taps of the kernel.
        transpose_kernel: Whether the kernel is that of the convolution whose gradient this is:
            flipped, with (features, channels) as last axes.
        precision: The precision of products.
        preferred_element_type: The type of the result; None means that of the arguments.

    >>> conv_transpose(jnp.ones((1, 5, 5, 2)), jnp.ones((4, 4, 2, 3)), (2, 2), "SAME").shape
    (1, 10, 10, 3)
    """
    axes = rhs.ndim - 2
    dilation = tuple(rhs_dilation or (1,) * axes)
    pads: Pads = padding
    if isinstance(padding, str):
        taps = [_reach(k, d) for k, d in zip(rhs.shape[:-2], dilation, strict=True)]
        pads = [
            _transposed_pads(reach, stride, padding)
            for reach, stride in zip(taps, strides, strict=True)
        ]
    if transpose_kernel:
        rhs = jnp.flip(rhs, range(axes)).swapaxes(-1, -2)
    return conv_general_dilated(
        lhs,
        rhs,
        (1,) * axes,
        pads,
        lhs_dilation=strides,
        rhs_dilation=dilation,
        dimension_numbers=_LAYOUTS[lhs.ndim],
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def conv_doubled(
    lhs: jax.Array,
    rhs: jax.Array,
    beside: jax.Array | None = None,
    precision: lax.PrecisionLike = None,
) -> jax.Array:
    """Convolves maps enlarged twofold by nearest-pixel resizing, concatenated with others.

    The result is that of a convolution of `concatenate([resize(lhs, size, "nearest"), beside], -1)`
    with stride 1 and padding that keeps the size. On CPUs the enlarged maps are not computed: each
    of their pixels occurs four times, so the operation is a transposed convolution with sums of
    neighboring taps. A 3x3 kernel then needs 16 products per number of `lhs` instead of 36.

    Args:
        lhs: Maps, (batch, height, width, coarse_channels).
        rhs: The kernel, (rows, columns, coarse_channels + channels, features), with odd sides.
        beside: Other maps, (batch, 2 height, 2 width, channels), or None.
        precision: The precision of products.

    Returns:
        Maps, (batch, 2 height, 2 width, features).

    Raises:
        ValueError: The kernel has an even number of rows or columns.

    >>> coarse, beside = jnp.ones((1, 2, 2, 3)), jnp.ones((1, 4, 4, 1))
    >>> conv_doubled(coarse, jnp.ones((3, 3, 4, 5)), beside)[0, :, :, 0].astype(int).tolist()
    [[16, 24, 24, 16], [24, 36, 36, 24], [24, 36, 36, 24], [16, 24, 24, 16]]
    """
    if not all(taps % 2 for taps in rhs.shape[:2]):
        raise ValueError(f"the kernel must have odd sides, got {rhs.shape[0]}x{rhs.shape[1]}")
    same = [(taps // 2, taps // 2) for taps in rhs.shape[:2]]
    convolve = functools.partial(
        conv_general_dilated,
        window_strides=(1, 1),
        dimension_numbers=NHWC,
        precision=precision,
    )
    others = [] if beside is None else [beside]
    return choose(
        functools.partial(_convolve_undoubled, convolve=convolve, same=same),
        functools.partial(_convolve_doubled, convolve=convolve, same=same),
        [lhs, *others],
        [rhs],
    )


def _convolve_doubled(
    lhs: jax.Array, *rest: jax.Array, convolve: Convolve, same: list[tuple[int, int]]
) -> jax.Array:
    """Enlarges maps, concatenates the others and convolves."""
    *beside, rhs = rest
    maps = resize(lhs, (2 * lhs.shape[1], 2 * lhs.shape[2]), "nearest")
    if beside:
        maps = jnp.concatenate([maps, *beside], axis=-1)
    return convolve(maps, rhs.astype(maps.dtype), padding=same)


def _convolve_undoubled(
    lhs: jax.Array, *rest: jax.Array, convolve: Convolve, same: list[tuple[int, int]]
) -> jax.Array:
    """Does the same by a transposed convolution, without the enlarged maps."""
    *beside, rhs = rest
    channels = lhs.shape[-1]
    wide = rhs[:, :, :channels].astype(jnp.promote_types(rhs.dtype, jnp.float32))
    sums = lax.pad(wide, jnp.zeros((), wide.dtype), [(1, 1, 0), (1, 1, 0), (0, 0, 0), (0, 0, 0)])
    sums = sums[1:] + sums[:-1]
    sums = sums[:, 1:] + sums[:, :-1]
    more = [(low + 1, high + 1) for low, high in same]
    y = convolve(lhs, sums.astype(lhs.dtype), padding=more, lhs_dilation=(2, 2))
    if not beside:
        return y
    return y + convolve(beside[0], rhs[:, :, channels:].astype(beside[0].dtype), padding=same)


def _transposed_pads(taps: int, stride: int, padding: str) -> tuple[int, int]:
    """The padding of the inputs of a transposed convolution for "SAME" or "VALID"."""
    if padding == "VALID":
        return taps - 1, taps - 1 + max(0, stride - taps)
    if padding != "SAME":
        raise ValueError(f"padding must be 'SAME', 'VALID' or pairs of numbers, got {padding!r}")
    total = taps + stride - 2
    before = taps - 1 if stride > taps - 1 else -(-total // 2)
    return before, total - before


def _window(
    lhs: tuple[int, ...],
    rhs: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Pads,
    lhs_dilation: tuple[int, ...],
    rhs_dilation: tuple[int, ...],
    groups: int,
    precision: lax.PrecisionLike,
) -> Window:
    if isinstance(padding, str):
        inputs = [_reach(size, step) for size, step in zip(lhs[1:-1], lhs_dilation, strict=True)]
        taps = [_reach(size, step) for size, step in zip(rhs[:-2], rhs_dilation, strict=True)]
        padding = lax.padtype_to_pads(inputs, taps, strides, padding)
    pads = tuple((int(low), int(high)) for low, high in padding)
    return Window(strides, pads, lhs_dilation, rhs_dilation, groups, precision)


def _fits(lhs: tuple[int, ...], rhs: tuple[int, ...], window: Window) -> bool:
    """Whether the result has any pixels."""
    return all(
        _reach(size, spread) + low + high >= _reach(taps, step)
        for size, spread, (low, high), taps, step in zip(
            lhs[1:-1], window.spread, window.pads, rhs[:-2], window.dilation, strict=True
        )
    )


def _reach(taps: int, dilation: int) -> int:
    return dilation * (taps - 1) + 1 if taps else 0
