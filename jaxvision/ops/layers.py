"""Flax convolution layers that use the functions of this package."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jax.nn import initializers
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.ops.convolution import conv_doubled, conv_general_dilated, conv_transpose

Conv = functools.partial(nn.Conv, conv_general_dilated=conv_general_dilated)
"""`flax.linen.Conv` in the fastest form; see `conv_general_dilated`.

>>> layer = Conv(64, (3, 3), padding=1, feature_group_count=64)
>>> layer.init_with_output(jax.random.key(0), jnp.ones((2, 9, 9, 64)))[0].shape
(2, 9, 9, 64)
"""


class ConvTranspose(nn.Module):
    """A faster `flax.linen.ConvTranspose` for maps or volumes, with the same parameters.

    See `conv_transpose`.

    Attributes:
        features: The number of output channels.
        kernel_size: Height and width of the kernel; depth, height and width for volumes.
        strides: The factor by which the maps grow, one number for all axes or one per axis.
        padding: "SAME", "VALID", or the numbers of zeros before and after the inputs, which have
            `strides` - 1 zeros between them: one for all sides, one per axis, or a pair per axis.
        kernel_dilation: The step between the taps of the kernel.
        use_bias: Whether to add a bias.
        dtype: The type of the computation; None promotes the types of inputs and parameters.
        param_dtype: The type of the parameters.
        precision: The precision of products.
        kernel_init: The initializer of the kernel.
        bias_init: The initializer of the bias.
        transpose_kernel: Whether the kernel is that of the convolution whose gradient this is.

    >>> import jax
    >>> layer = ConvTranspose(8, (4, 4), strides=(2, 2))
    >>> jax.eval_shape(layer.init_with_output, jax.random.key(0), jnp.ones((2, 5, 5, 16)))[0].shape
    (2, 10, 10, 8)
    """

    features: int
    kernel_size: tuple[int, ...]
    strides: int | tuple[int, ...] | None = None
    padding: str | int | Sequence[int | tuple[int, int]] = "SAME"
    kernel_dilation: int | tuple[int, ...] | None = None
    use_bias: bool = True
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    precision: lax.PrecisionLike = None
    kernel_init: Callable[..., Any] = initializers.lecun_normal()
    bias_init: Callable[..., Any] = initializers.zeros
    transpose_kernel: bool = False

    @nn.compact
    def __call__(
        self, inputs: Float[Array, "batch *space channels"]
    ) -> Float[Array, "batch *out_space features"]:
        """Applies the layer."""
        axes = len(self.kernel_size)
        channels = (inputs.shape[-1], self.features)
        shape = (*self.kernel_size, *(channels[::-1] if self.transpose_kernel else channels))
        kernel: Any = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias: Any = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        maps: Any
        maps, kernel, bias = nn.dtypes.promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        y = conv_transpose(
            maps,
            kernel,
            _per_axis(self.strides, axes),
            _pads(self.padding, axes),
            rhs_dilation=_per_axis(self.kernel_dilation, axes),
            transpose_kernel=self.transpose_kernel,
            precision=self.precision,
        )
        return y if bias is None else y + bias


class DoubledConv(nn.Module):
    """A convolution of maps enlarged twofold by nearest-pixel resizing, concatenated with others.

    It has the parameters and results of `flax.linen.Conv` on the concatenation; see `conv_doubled`.
    The other attributes are those of `ConvTranspose`.

    Attributes:
        features: The number of output channels.
        kernel_size: Height and width of the kernel, odd numbers.

    >>> import jax
    >>> coarse, beside = jnp.ones((2, 5, 5, 16)), jnp.ones((2, 10, 10, 4))
    >>> init = DoubledConv(8, (3, 3)).init_with_output
    >>> jax.eval_shape(init, jax.random.key(0), coarse, beside)[0].shape
    (2, 10, 10, 8)
    """

    features: int
    kernel_size: tuple[int, ...]
    use_bias: bool = True
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    precision: lax.PrecisionLike = None
    kernel_init: Callable[..., Any] = initializers.lecun_normal()
    bias_init: Callable[..., Any] = initializers.zeros

    @nn.compact
    def __call__(
        self,
        coarse: Float[Array, "batch height width channels"],
        beside: Float[Array, "batch 2*height 2*width others"] | None = None,
    ) -> Float[Array, "batch 2*height 2*width features"]:
        """Applies the layer."""
        channels = coarse.shape[-1] + (0 if beside is None else beside.shape[-1])
        shape = (*self.kernel_size, channels, self.features)
        kernel: Any = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias: Any = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        # The kernel keeps its type: its taps are summed before they are rounded.
        dtype = nn.dtypes.canonicalize_dtype(coarse, beside, kernel, bias, dtype=self.dtype)
        maps: Any
        maps, others, bias = nn.dtypes.promote_dtype(coarse, beside, bias, dtype=dtype)
        y = conv_doubled(maps, kernel, others, precision=self.precision)
        return y if bias is None else y + bias


def _per_axis(steps: int | tuple[int, ...] | None, axes: int) -> tuple[int, ...]:
    return (steps or 1,) * axes if steps is None or isinstance(steps, int) else steps


def _pads(
    padding: str | int | Sequence[int | tuple[int, int]], axes: int
) -> str | list[tuple[int, int]]:
    if isinstance(padding, str):
        return padding
    sides = (padding,) * axes if isinstance(padding, int) else padding
    return [(side, side) if isinstance(side, int) else side for side in sides]
