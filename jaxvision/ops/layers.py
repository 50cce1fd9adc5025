"""Flax's convolution layers over the functions of this package."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax

from jaxvision.ops.convolution import conv_general_dilated, conv_transpose


class Conv(nn.Conv):
    """`flax.linen.Conv` with the same parameters and results, by the fastest form there is.

    See `conv_general_dilated`.

    >>> layer = Conv(64, (3, 3), padding=1, feature_group_count=64)
    >>> layer.init_with_output(jax.random.key(0), jnp.ones((2, 9, 9, 64)))[0].shape
    (2, 9, 9, 64)
    """

    conv_general_dilated: Callable[..., jax.Array] | None = conv_general_dilated


class ConvTranspose(nn.ConvTranspose):
    """`flax.linen.ConvTranspose` with the same parameters and results, by the fastest form.

    See `conv_transpose`.

    >>> layer = ConvTranspose(8, (4, 4), strides=(2, 2))
    >>> layer.init_with_output(jax.random.key(0), jnp.ones((2, 5, 5, 16)))[0].shape
    (2, 10, 10, 8)
    """

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Applies the layer.

        Args:
            inputs: Maps, (batch, height, width, channels) for a kernel of two sizes.

        Returns:
            Larger maps.
        """
        is_plain = self.mask is None and self.padding != "CIRCULAR"
        size = self.kernel_size
        if not is_plain or isinstance(size, int) or len(size) != 2 or inputs.ndim != 4:
            return super().__call__(inputs)
        channels = (inputs.shape[-1], self.features)
        shape = (*size, *(channels[::-1] if self.transpose_kernel else channels))
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = (
            self.param("bias", self.bias_init, (self.features,), self.param_dtype)
            if self.use_bias
            else None
        )
        maps, kernel, bias = self.promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        assert maps is not None
        assert kernel is not None
        y = conv_transpose(
            maps,
            kernel,
            _pair(self.strides),
            _pads(self.padding),
            rhs_dilation=_pair(self.kernel_dilation),
            transpose_kernel=self.transpose_kernel,
            precision=self.precision,
            preferred_element_type=self.preferred_element_type,
        )
        return y if bias is None else y + bias


def _pair(steps: int | Sequence[int] | None) -> tuple[int, int]:
    if steps is None or isinstance(steps, int):
        steps = (steps or 1, steps or 1)
    down, across = steps
    return down, across


def _pads(padding: str | int | Sequence[int | tuple[int, int]]) -> str | list[tuple[int, int]]:
    if isinstance(padding, str):
        return padding
    sides = (padding, padding) if isinstance(padding, int) else padding
    return [(side, side) if isinstance(side, int) else side for side in sides]
