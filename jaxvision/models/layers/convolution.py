"""Convolutions, alone or with a normalization and an activation."""

import flax.linen as nn
from jax.nn import initializers
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models.layers.activations import activation
from jaxvision.models.layers.initializers import INITIALIZERS, Initializer
from jaxvision.models.layers.normalization import NORM_EPSILON, NORM_MOMENTUM, norm
from jaxvision.ops import Conv, DoubledConv

Size = int | tuple[int, ...]
"""(height, width) or (depth, height, width); a single number stands for all of them."""


def conv(
    features: int,
    kernel_size: Size,
    *,
    stride: Size = 1,
    padding: Size | None = None,
    dilation: int = 1,
    groups: int = 1,
    use_bias: bool = True,
    kernel_init: Initializer = INITIALIZERS["lecun_normal"],
    dtype: DTypeLike | None = None,
    name: str | None = None,
) -> nn.Module:
    """Makes a convolution layer (as everywhere in deep learning, a cross-correlation).

    It convolves images, or volumes if `kernel_size` has three numbers. Padding is the same on both
    sides, unlike "SAME": at stride 2, "SAME" pads an even image after its last row only, so that
    weights trained with symmetric padding would see shifted images.

    Args:
        features: Number of output channels.
        kernel_size: Size of the kernel: one number, (height, width) or (depth, height, width).
        stride: Step between outputs, one number for all axes or one per axis.
        padding: Number of zeros on both sides, for all axes or per axis; None keeps the size at
            stride 1.
        dilation: Step between the taps of the kernel.
        groups: Number of groups of channels that are convolved separately.
        use_bias: Whether to add a bias; a normalization that follows makes it redundant.
        kernel_init: Initializer of the kernel; the bias starts from zero.
        dtype: Compute dtype; None promotes types.
        name: Name of the layer, in a compact method.

    Returns:
        A layer with `bias` and `kernel` (height, width, channels / groups, features); the kernel
        for volumes has a depth in front.

    Raises:
        ValueError: `padding` is None, and no symmetric padding keeps the size.

    >>> import jax, jax.numpy as jnp
    >>> layer = conv(16, 3, stride=2)
    >>> jax.eval_shape(layer.init_with_output, jax.random.key(0), jnp.ones((2, 9, 9, 3)))[0].shape
    (2, 5, 5, 16)
    """
    kernel = _per_axis(kernel_size, 2)
    if padding is None:
        padding = _same(kernel, dilation)
    return Conv(
        features,
        kernel,
        strides=_per_axis(stride, len(kernel)),
        padding=[(side, side) for side in _per_axis(padding, len(kernel))],
        kernel_dilation=dilation,
        feature_group_count=groups,
        use_bias=use_bias,
        kernel_init=kernel_init,
        dtype=dtype,
        name=name,
    )


class ConvNorm(nn.Module, kw_only=True):
    """A convolution, a normalization and an activation.

    Attributes:
        features, kernel_size, stride, padding, dilation, groups, kernel_init, dtype: See `conv`.
        use_bias: Whether the convolution has a bias; None adds one only if `norm` is None.
        norm: Kind of normalization, see `layers.norm`; None leaves it out.
        activation: See `layers.activation`.
        epsilon, momentum, scale_init, axis_name: See `layers.norm`.

    >>> import functools, jax, jax.numpy as jnp
    >>> layer = ConvNorm(features=8, kernel_size=3)
    >>> init = functools.partial(layer.init, train=False)
    >>> variables = jax.eval_shape(init, jax.random.key(0), jnp.ones((2, 9, 9, 3)))
    >>> sorted(variables["params"])
    ['conv', 'norm']
    """

    features: int
    kernel_size: Size
    stride: Size = 1
    padding: Size | None = None
    dilation: int = 1
    groups: int = 1
    use_bias: bool | None = None
    norm: str | None = "batch"
    activation: str = "identity"
    epsilon: float = NORM_EPSILON
    momentum: float = NORM_MOMENTUM
    kernel_init: Initializer = INITIALIZERS["lecun_normal"]
    scale_init: Initializer = initializers.ones
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch *space channels"], train: bool
    ) -> Float[Array, "batch *out_space features"]:
        """Applies the convolution, the normalization and the activation."""
        x = conv(
            self.features,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            use_bias=self.norm is None if self.use_bias is None else self.use_bias,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="conv",
        )(x)
        return self._finish(x, train)

    def _finish(self, x: Array, train: bool) -> Array:
        if self.norm is not None:
            x = norm(
                self.norm,
                self.features,
                train=train,
                dtype=self.dtype,
                epsilon=self.epsilon,
                momentum=self.momentum,
                axis_name=self.axis_name,
                scale_init=self.scale_init,
                name="norm",
            )(x)
        return activation(self.activation)(x)


class DoubledConvNorm(ConvNorm, kw_only=True):
    """A `ConvNorm` of maps that are doubled by the nearest pixel and concatenated with others.

    It has the parameters of a `ConvNorm` on the concatenated maps; see `ops.conv_doubled`. Stride
    and dilation are 1, and the output has the size of the doubled maps.

    >>> import functools, jax, jax.numpy as jnp
    >>> layer = DoubledConvNorm(features=8, kernel_size=3)
    >>> init = functools.partial(layer.init_with_output, train=False)
    >>> coarse, beside = jnp.ones((2, 5, 5, 3)), jnp.ones((2, 10, 10, 4))
    >>> jax.eval_shape(init, jax.random.key(0), coarse, beside=beside)[0].shape
    (2, 10, 10, 8)
    """

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch height width channels"],
        train: bool,
        beside: Float[Array, "batch 2*height 2*width others"] | None = None,
    ) -> Float[Array, "batch 2*height 2*width features"]:
        """Doubles `x`, appends `beside`, and applies the layers of `ConvNorm`."""
        y = DoubledConv(
            self.features,
            _per_axis(self.kernel_size, 2),
            use_bias=self.norm is None if self.use_bias is None else self.use_bias,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="conv",
        )(x, beside)
        return self._finish(y, train)


def _per_axis(size: Size, axes: int) -> tuple[int, ...]:
    return (size,) * axes if isinstance(size, int) else size


def _same(kernel: tuple[int, ...], dilation: int) -> tuple[int, ...]:
    """The padding on each side that keeps the size at stride 1."""
    reach = [dilation * (taps - 1) for taps in kernel]
    if any(taps % 2 for taps in reach):
        raise ValueError(
            f"a kernel of size {kernel} with dilation {dilation} needs different padding on its "
            "two sides to keep the size; use an odd size, or give the padding"
        )
    return tuple(taps // 2 for taps in reach)
