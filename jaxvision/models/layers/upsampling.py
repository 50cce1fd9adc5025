"""Upsampling of feature maps by a choice of methods."""

from typing import Literal, get_args

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.checks import check_name
from jaxvision.models.layers.convolution import conv
from jaxvision.ops import ConvTranspose, bed_of_nails, depth_to_space, resize

UpsamplingMethod = Literal["nearest", "bilinear", "bed_of_nails", "transposed", "sub_pixel"]
UPSAMPLING: tuple[str, ...] = get_args(UpsamplingMethod)


class Upsample(nn.Module, kw_only=True):
    """Upsamples maps about twofold, to a given size.

    Attributes:
        method: "nearest" and "bilinear" resize; "bed_of_nails" puts each value into the corner of a
            block of zeros; "transposed" is a learned 2x2 transposed convolution with stride 2;
            "sub_pixel" is a learned 1x1 convolution whose channels become pixels (Shi et al., CVPR
            2016, arXiv:1609.05158). For SegNet's max-unpooling, which needs the places of its
            maxima, see `ops.max_unpool`.
        dtype: Compute dtype; None promotes types.

    Raises:
        ValueError: There is no such method.

    >>> import jax, jax.numpy as jnp
    >>> layer = Upsample(method="sub_pixel")
    >>> init = lambda key, x: layer.init_with_output(key, x, (7, 9))
    >>> jax.eval_shape(init, jax.random.key(0), jnp.ones((2, 4, 5, 16)))[0].shape
    (2, 7, 9, 16)
    """

    method: str = "nearest"
    dtype: DTypeLike | None = None

    def __post_init__(self) -> None:
        check_name("upsampling", self.method, UPSAMPLING)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], size: tuple[int, int]
    ) -> Float[Array, "batch new_height new_width channels"]:
        """Makes maps of `size`; methods that double the maps crop them to it."""
        if self.method == "bilinear":
            return resize(x, size)
        if self.method == "nearest":
            return resize(x, size, "nearest")
        channels = x.shape[-1]
        if self.method == "bed_of_nails":
            doubled = bed_of_nails(x, 2)
        elif self.method == "transposed":
            doubled = ConvTranspose(
                channels,
                (2, 2),
                strides=(2, 2),
                dtype=self.dtype,
                name="transposed",
            )(x)
        else:
            wide = conv(4 * channels, 1, dtype=self.dtype, name="sub_pixel")(x)
            doubled = depth_to_space(wide, 2)
        return cut_to(doubled, size)


def cut_to(
    x: Float[Array, "batch height width channels"], size: tuple[int, int]
) -> Float[Array, "batch new_height new_width channels"]:
    """Crops maps to a size, keeping the upper left corner.

    Maps that are smaller than the size are resized to it by the nearest pixel.

    >>> import jax.numpy as jnp
    >>> cut_to(jnp.ones((1, 8, 8, 2)), (7, 8)).shape
    (1, 7, 8, 2)
    """
    return resize(x[:, : size[0], : size[1]], size, "nearest")
