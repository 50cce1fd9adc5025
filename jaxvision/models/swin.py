"""Swin transformers: attention within shifted windows, over maps that become smaller.

Reference: Liu et al., Swin transformer: hierarchical vision transformer using shifted windows, ICCV
2021, arXiv:2103.14030.
"""

from collections.abc import Mapping
from typing import Unpack

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import FeatureMaps, Images, Model, ModelOptions, check_images
from jaxvision.models.registry import register
from jaxvision.models.weights.names import Constant, Rule, TorchNames, conv_norm_rules, renumbered

KERNEL_INIT = layers.initializer("normal_0.02")

# Added to the attention logits of pixels that are neighbors only because of the cyclic shift.
FAR_APART = -100.0


class SwinBlock(nn.Module, kw_only=True):
    """Attention within windows, then two dense layers per pixel, each added to its input.

    Attributes:
        num_heads: Number of attention heads.
        window: Height and width of a window.
        shifted: Whether windows are shifted by half their size, unless one covers the whole map.
        activation: Name of the nonlinearity; see `layers.activation`.
        dropout: Dropout rate of both residuals.
        attention_dropout: Dropout rate of the attention weights.
        stochastic_depth: Share of residuals that training drops as a whole.
        dtype: Dtype of the computation; None promotes the dtypes of inputs and parameters.
    """

    num_heads: int
    window: int = 7
    shifted: bool = False
    activation: str = "gelu"
    dropout: float = 0.0
    attention_dropout: float = 0.0
    stochastic_depth: float = 0.0
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch height width channels"]:
        """Adds both residuals to the input."""
        channels = x.shape[-1]
        drop = layers.StochasticDepth(self.stochastic_depth)
        y = layers.norm("layer", channels, train=train, dtype=self.dtype, name="norm1")(x)
        x = x + drop(self._attend(y, train), train)
        y = layers.norm("layer", channels, train=train, dtype=self.dtype, name="norm2")(x)
        mlp = layers.MLPBlock(
            hidden=4 * channels,
            activation=self.activation,
            dropout=self.dropout,
            kernel_init=KERNEL_INIT,
            dtype=self.dtype,
            name="mlp",
        )
        return x + drop(mlp(y, train), train)

    def _attend(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch height width channels"]:
        """Computes attention within the windows of the padded and shifted maps."""
        height, width = x.shape[1:3]
        x = layers.pad_to_multiple(x, self.window)
        padded = x.shape[1:3]
        by = [self.window // 2 if self.shifted and size > self.window else 0 for size in padded]
        if any(by):
            x = jnp.roll(x, (-by[0], -by[1]), (1, 2))
        attention = layers.MultiHeadAttention(
            num_heads=self.num_heads,
            attention_dropout=self.attention_dropout,
            dropout=self.dropout,
            kernel_init=KERNEL_INIT,
            dtype=self.dtype,
            name="attention",
        )
        table = self.param(
            "relative_position_bias",
            layers.initializer("normal_0.02"),
            ((2 * self.window - 1) ** 2, self.num_heads),
            jnp.float32,
        )
        bias = table[layers.relative_positions(self.window)].transpose(2, 0, 1)
        if any(by):
            apart = layers.far_apart(*padded, self.window, (by[0], by[1]))
            bias = bias + (apart[:, None] * FAR_APART).astype(bias.dtype)
        y = attention(layers.split_windows(x, self.window), train, bias)
        y = layers.join_windows(y, *padded)
        if any(by):
            y = jnp.roll(y, (by[0], by[1]), (1, 2))
        return y[:, :height, :width]


class PatchMerging(nn.Module, kw_only=True):
    """Merges each 2x2 pixels into one with twice the channels."""

    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch half_height half_width twice_channels"]:
        """Normalizes the four pixels together and applies a dense layer."""
        x = layers.pad_to_multiple(x, 2)
        batch, height, width, channels = x.shape
        # Pixels are concatenated column by column, as in torchvision and timm.
        x = x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 4, 2, 5)
        x = x.reshape(batch, height // 2, width // 2, 4 * channels)
        x = layers.norm("layer", 4 * channels, train=False, dtype=self.dtype, name="norm")(x)
        dense = nn.Dense(
            2 * channels,
            use_bias=False,
            kernel_init=KERNEL_INIT,
            dtype=self.dtype,
            name="dense",
        )
        merged: Float[Array, "batch half_height half_width twice_channels"] = dense(x)
        return merged


class SwinTransformer(Model, kw_only=True):
    """A Swin: `stem`, `stage1_block0`, ..., `merge2` before stage 2, ..., `final_norm`, `head`.

    The feature maps are the last of each stage (strides 4 to 32; with `small_images`, 2 to 16); the
    last one is normalized. Images may have any size of at least one patch. The stem drops pixels
    that do not fill a patch; later, zeros below and on the right fill up windows and 2x2 squares.
    This follows torchvision. timm shifts windows before it pads, so its logits differ where windows
    are not full; at 224x224 they agree.

    Attributes:
        stage_sizes: Number of blocks in each stage.
        channels: Channels of the first stage; each later stage has twice those of the stage before.
        num_heads: Number of attention heads in each stage.
        window: Height and width of a window.
        patch_size: Height and width of a patch of the stem.
        small_images: Whether patches are 2x2 and windows 4x4 instead, for images of about 32x32.
        activation: Name of the nonlinearity; see `layers.activation`.
        dropout: Dropout rate of all residuals.
        attention_dropout: Dropout rate of the attention weights.
        stochastic_depth: Share of the last block's residuals that training drops as a whole; it
            rises linearly from 0 at the first block.

    >>> import jax
    >>> model = SwinTransformer(stage_sizes=(2, 2), channels=96, num_heads=(3, 6))
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    >>> variables["params"]["stage1_block0"]["relative_position_bias"].shape
    (169, 3)
    """

    stage_sizes: tuple[int, ...]
    channels: int
    num_heads: tuple[int, ...]
    window: int = 7
    patch_size: int = 4
    small_images: bool = False
    activation: str = "gelu"
    dropout: float = 0.0
    attention_dropout: float = 0.0
    stochastic_depth: float = 0.2

    def __post_init__(self) -> None:
        layers.activation(self.activation)
        layers.check_rates(
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            stochastic_depth=self.stochastic_depth,
        )
        super().__post_init__()

    def setup(self) -> None:
        """Defines the stem, the blocks, the merging between stages, the last norm and the head."""
        self.stem = layers.PatchEmbedding(
            features=self.channels, patch_size=self._patch_size(), norm=True, dtype=self.dtype
        )
        rates = iter(layers.rising_rates(self.stochastic_depth, sum(self.stage_sizes)))
        for stage, num_blocks in enumerate(self.stage_sizes, start=1):
            if stage > 1:
                setattr(self, f"merge{stage}", PatchMerging(dtype=self.dtype))
            for i in range(num_blocks):
                block = SwinBlock(
                    num_heads=self.num_heads[stage - 1],
                    window=4 if self.small_images else self.window,
                    shifted=i % 2 == 1,
                    activation=self.activation,
                    dropout=self.dropout,
                    attention_dropout=self.attention_dropout,
                    stochastic_depth=next(rates),
                    dtype=self.dtype,
                )
                setattr(self, f"stage{stage}_block{i}", block)
        last = self.channels * 2 ** (len(self.stage_sizes) - 1)
        self.final_norm = layers.norm("layer", last, train=False, dtype=self.dtype)
        self.head = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=KERNEL_INIT)

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the last map of each stage."""
        stride = self._patch_size()
        x = check_images(x, self.in_channels, stride, remedy="resize them")
        y = self.stem(x)
        maps = {}
        for stage, num_blocks in enumerate(self.stage_sizes, start=1):
            if stage > 1:
                y = getattr(self, f"merge{stage}")(y)
                stride *= 2
            for i in range(num_blocks):
                y = getattr(self, f"stage{stage}_block{i}")(y, train)
            maps[stride] = y
        maps[stride] = self.final_norm(y)
        return maps

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Torchvision and timm use different names."""
        return {"torchvision": TORCHVISION, "timm": TIMM}

    def _patch_size(self) -> int:
        return 2 if self.small_images else self.patch_size


TORCHVISION = TorchNames(
    [
        *conv_norm_rules(r"stem", "features.0.0", "features.0.2"),
        Rule(r"merge(\d)/norm", renumbered("features.{}.norm", 2, -2)),
        Rule(r"merge(\d)/dense", renumbered("features.{}.reduction", 2, -2)),
        *(
            Rule(
                rf"stage(\d)_block(\d+)/{ours}",
                renumbered(rf"features.{{}}.\2.{theirs}", 2, -1),
            )
            for ours, theirs in (
                ("norm1", "norm1"),
                ("attention/qkv", "attn.qkv"),
                ("attention/out", "attn.proj"),
                ("relative_position_bias", "attn.relative_position_bias_table"),
                ("norm2", "norm2"),
                ("mlp/dense1", "mlp.0"),
                ("mlp/dense2", "mlp.3"),
            )
        ),
        Rule(r"final_norm", "norm"),
        Rule(r"head", "head"),
    ],
    ignored=[r".*\.relative_position_index"],
    constants=[
        Constant(
            r"(.*)\.relative_position_bias_table",
            r"\1.relative_position_index",
            layers.relative_positions(7).reshape(-1),
        )
    ],
)
TIMM = TorchNames(
    [
        *conv_norm_rules(r"stem", "patch_embed.proj", "patch_embed.norm"),
        Rule(r"merge(\d)/norm", renumbered("layers.{}.downsample.norm", 1, -1)),
        Rule(r"merge(\d)/dense", renumbered("layers.{}.downsample.reduction", 1, -1)),
        *(
            Rule(
                rf"stage(\d)_block(\d+)/{ours}",
                renumbered(rf"layers.{{}}.blocks.\2.{theirs}", 1, -1),
            )
            for ours, theirs in (
                ("norm1", "norm1"),
                ("attention/qkv", "attn.qkv"),
                ("attention/out", "attn.proj"),
                ("relative_position_bias", "attn.relative_position_bias_table"),
                ("norm2", "norm2"),
                ("mlp/dense1", "mlp.fc1"),
                ("mlp/dense2", "mlp.fc2"),
            )
        ),
        Rule(r"final_norm", "norm"),
        Rule(r"head", "head.fc"),
    ],
    ignored=[r".*\.(relative_position_index|attn_mask)"],
)


class SwinTransformerOptions(ModelOptions, total=False):
    """Options of a Swin transformer; see `SwinTransformer`."""

    small_images: bool
    activation: str
    dropout: float
    attention_dropout: float
    stochastic_depth: float


@register
def swin_t(**options: Unpack[SwinTransformerOptions]) -> SwinTransformer:
    """Swin-T: 28,288,354 parameters for 1000 classes (section 3.3 and Table 7 of the paper).

    The default stochastic depth, 0.2, is the paper's. timm calls it swin_tiny_patch4_window7_224.

    >>> swin_t(num_classes=10).num_heads
    (3, 6, 12, 24)
    """
    return SwinTransformer(
        stage_sizes=(2, 2, 6, 2), channels=96, num_heads=(3, 6, 12, 24), **options
    )
