"""PAN and MA-Net: decoders with attention.

References: Li et al., Pyramid attention network for semantic segmentation, BMVC 2018,
arXiv:1805.10180. Fan et al., MA-Net: a multi-scale attention network for liver and tumor
segmentation, IEEE Access 8, 2020. Parameters are those of segmentation_models_pytorch.
"""

from collections.abc import Mapping
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvision.models import layers
from jaxvision.models.description import register_module
from jaxvision.models.segmentation.decoder import (
    KERNEL_INIT,
    Decoder,
    Map,
    Stages,
    doublings,
    size_of,
    widths,
)
from jaxvision.models.weights.names import (
    Rule,
    TorchNames,
    conv_norm_rules,
    sequence_rules,
    squeeze_excite_rules,
)
from jaxvision.ops import resize


@register_module
class PANDecoder(Decoder, kw_only=True):
    """Weights the coarsest map by a small pyramid, and finer maps by the means of coarser ones.

    It decodes the last four stages. Height and width of the coarsest map must be at least 8.

    Attributes:
        channels: Number of channels of all maps.
        align_corners, norm, axis_name, dtype: See `Decoder`.
    """

    channels: int = 32

    names_in_torch: ClassVar[Mapping[str, TorchNames]] = {
        "smp": TorchNames(
            [
                *(
                    rule
                    for ours, theirs in (
                        ("average", "fpa.branch1.1"),
                        ("middle", "fpa.mid.0"),
                        (r"down3_(\d)", r"fpa.down3.\1"),
                        (r"down(\d)", r"fpa.down\1.1"),
                        (r"up(\d)", r"fpa.conv\1"),
                        (r"gate(\d)", r"gau\1.conv1.1"),
                        (r"finer(\d)", r"gau\1.conv2"),
                    )
                    for rule in conv_norm_rules(
                        f"decoder/{ours}", f"decoder.{theirs}.conv", f"decoder.{theirs}.bn"
                    )
                ),
                Rule("head", "segmentation_head.0"),
            ]
        )
    }

    @nn.compact
    def __call__(self, stages: Stages, image_size: tuple[int, int], train: bool = False) -> Map:
        """Computes a map of the size of the finest stage that is decoded."""
        *finer, coarsest = [each for _, each in stages[-4:]]
        x = self._pyramid(coarsest, train)
        for index, each in reversed([*enumerate(finer, start=1)]):
            average = layers.adaptive_avg_pool(x, 1, 1)
            gate = self._conv(self.channels, 1, f"gate{index}", activation="identity")
            weighed = self._conv(self.channels, 3, f"finer{index}")(each, train)
            weighed = weighed * nn.sigmoid(gate(average, train))
            x = resize(x, size_of(each), align_corners=True) + weighed
        return x

    def _pyramid(self, x: Map, train: bool) -> Map:
        """Feature pyramid attention: a U-Net of one channel weights the map's pixels."""
        if min(size_of(x)) < 8:
            raise ValueError(
                f"the coarsest map must be at least 8x8, got {x.shape[1]}x{x.shape[2]}; give "
                "larger images, or a backbone of a smaller output_stride"
            )
        size = size_of(x)
        average = self._conv(self.channels, 1, "average")(layers.adaptive_avg_pool(x, 1, 1), train)
        middle = self._conv(self.channels, 1, "middle")(x, train)
        down1 = self._conv(1, 7, "down1")(layers.max_pool(x, 2), train)
        down2 = self._conv(1, 5, "down2")(layers.max_pool(down1, 2), train)
        down3 = self._conv(1, 3, "down3_1")(layers.max_pool(down2, 2), train)
        down3 = self._conv(1, 3, "down3_2")(down3, train)
        up = self._conv(1, 5, "up2")(down2, train)
        up = up + resize(down3, size_of(down2), align_corners=True)
        up = resize(up, size_of(down1), align_corners=True)
        up = up + self._conv(1, 7, "up1")(down1, train)
        return resize(up, size, align_corners=True) * middle + resize(average, size)

    def _conv(
        self, features: int, kernel_size: int, name: str, *, activation: str = "relu"
    ) -> layers.ConvNorm:
        options = {"use_bias": True, "activation": activation, "name": name}
        return self.conv_norm(features, kernel_size, **options)


@register_module
class MANetDecoder(Decoder, kw_only=True):
    """A U-Net with attention among the pixels of the coarsest map, and over channels elsewhere.

    As in segmentation_models_pytorch, whose weights it can load, the attention among pixels is one
    softmax over all pairs of pixels, and its output is reshaped as if channels came first. Its
    memory grows with the square of the number of pixels of the coarsest map.

    Attributes:
        channels: Number of channels after each doubling; None takes 16 times the stride.
        attention_channels: Number of channels of the two maps whose products are the attention.
        reduction: Factor by which the hidden layer of channel attention has fewer channels.
        align_corners, norm, axis_name, dtype: See `Decoder`.
    """

    channels: tuple[int, ...] | None = None
    attention_channels: int = 64
    reduction: int = 16

    names_in_torch: ClassVar[Mapping[str, TorchNames]] = {
        "smp": TorchNames(
            [
                Rule(r"decoder/(top|center|bottom|out)", r"decoder.center.\1_conv"),
                *sequence_rules(r"decoder/block(\d)_coarse([01])", r"decoder.blocks.\1.hl_conv.\2"),
                *squeeze_excite_rules(
                    r"decoder/block(\d)_gate_(hl|ll)",
                    r"decoder.blocks.\1.SE_\2.1",
                    r"decoder.blocks.\1.SE_\2.3",
                ),
                *sequence_rules(r"decoder/block(\d)_conv(\d)", r"decoder.blocks.\1.conv\2"),
                Rule("head", "segmentation_head.0"),
            ]
        )
    }

    @nn.compact
    def __call__(self, stages: Stages, image_size: tuple[int, int], train: bool = False) -> Map:
        """Computes a map of the size of the images."""
        x = self._among_pixels(stages[-1][1])
        steps = doublings(stages, image_size)
        channels = widths(self.channels, [step.stride for step in steps])
        for index, ((_, skip, size), width) in enumerate(zip(steps, channels, strict=True)):
            name = f"block{index}"
            if skip is None:
                x = resize(x, size, "nearest")
            else:
                x = self.conv_norm(x.shape[-1], 3, name=f"{name}_coarse0")(x, train)
                x = self.conv_norm(skip.shape[-1], 1, name=f"{name}_coarse1")(x, train)
                x = resize(x, size, "nearest")
                gate = self._gate(x, f"{name}_gate_hl") + self._gate(skip, f"{name}_gate_ll")
                x = jnp.concatenate([x * gate, skip], axis=-1)
            x = self.conv_norm(width, 3, name=f"{name}_conv1")(x, train)
            x = self.conv_norm(width, 3, name=f"{name}_conv2")(x, train)
        return x

    def _among_pixels(self, x: Map) -> Map:
        batch, height, width, channels = x.shape
        top, center = (
            self.conv(self.attention_channels, 1, name=name)(x).reshape(batch, height * width, -1)
            for name in ("top", "center")
        )
        values = self.conv(channels, 3, name="bottom")(x).reshape(batch, height * width, channels)
        products = jnp.einsum("bqc,bkc->bqk", center, top)
        weights = jax.nn.softmax(products.reshape(batch, -1)).reshape(products.shape)
        seen = jnp.einsum("bqk,bkc->bqc", weights, values)
        laid_out = jnp.moveaxis(seen.reshape(batch, channels, height, width), 1, -1)
        return self.conv(channels, 3, name="out")(x + laid_out)

    def _gate(self, x: Map, name: str) -> Map:
        """Computes a factor for each channel."""
        gate = layers.SqueezeExcite(
            reduced=max(1, x.shape[-1] // self.reduction),
            kernel_init=KERNEL_INIT,
            dtype=self.dtype,
            name=name,
        )
        return gate.factors(x)
