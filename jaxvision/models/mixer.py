"""MLP-Mixer: dense layers across patches and across channels, in alternation.

Reference: Tolstikhin et al., MLP-Mixer: An all-MLP architecture for vision, NeurIPS 2021,
arXiv:2105.01601.
"""

from collections.abc import Mapping
from typing import Unpack

import flax.linen as nn
from jax.nn import initializers
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import FeatureMaps, Images, Model, ModelOptions, check_images
from jaxvision.models.registry import register
from jaxvision.models.weights.names import Rule, TorchNames

EPSILON = 1e-6


class MixerBlock(nn.Module, kw_only=True):
    """Two dense layers across patches, then two across channels; each pair is added to its input.

    Attributes:
        hidden_patches: Width between the layers across patches, `mlp_patches`.
        hidden_channels: Width between the layers across channels, `mlp_channels`.
        activation: Name of the nonlinearity; see `layers.activation`.
        dropout: Dropout rate of each dense layer's outputs.
        stochastic_depth: Share of residuals that training drops.
        dtype: Dtype of the computation; None promotes the dtypes of inputs and parameters.
    """

    hidden_patches: int
    hidden_channels: int
    activation: str = "gelu"
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch patches channels"], train: bool
    ) -> Float[Array, "batch patches channels"]:
        """Adds both residuals to the input."""
        for name, hidden in (
            ("patches", self.hidden_patches),
            ("channels", self.hidden_channels),
        ):
            y = layers.norm(
                "layer",
                x.shape[-1],
                train=train,
                dtype=self.dtype,
                epsilon=EPSILON,
                name=f"norm_{name}",
            )(x)
            mlp = layers.MLPBlock(
                hidden=hidden,
                activation=self.activation,
                dropout=self.dropout,
                dtype=self.dtype,
                name=f"mlp_{name}",
            )
            y = mlp(y.mT, train).mT if name == "patches" else mlp(y, train)
            x = x + layers.StochasticDepth(self.stochastic_depth)(y, train)
        return x


class MLPMixer(Model, kw_only=True):
    """An MLP-Mixer: `stem`, `block0`, `block1`, ..., `final_norm`, `head`.

    The only feature map holds the vectors of the patches after the last normalization; its stride
    is the patch size. Patches at the bottom and on the right that the image does not fill are
    padded with zeros. The layers across patches only take the number of patches they were
    initialized with.

    Attributes:
        num_blocks: Number of blocks.
        channels: Length of a patch's vector.
        hidden_patches: Width between the layers across patches.
        hidden_channels: Width between the layers across channels.
        patch_size: Height and width of a patch.
        small_images: Whether patches are 4x4 instead, for images of about 32x32.
        activation: Name of the nonlinearity; see `layers.activation`.
        dropout: Dropout rate of each dense layer's outputs.
        stochastic_depth: Share of the last block's residuals that training drops; it rises linearly
            from 0 at the first block.

    >>> import jax, jax.numpy as jnp
    >>> model = MLPMixer(
    ...     num_blocks=2, channels=64, hidden_patches=32, hidden_channels=256, patch_size=16)
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    >>> variables["params"]["block0"]["mlp_patches"]["dense1"]["kernel"].shape
    (196, 32)
    """

    num_blocks: int
    channels: int
    hidden_patches: int
    hidden_channels: int
    patch_size: int
    small_images: bool = False
    activation: str = "gelu"
    dropout: float = 0.0
    stochastic_depth: float = 0.0

    def __post_init__(self) -> None:
        layers.activation(self.activation)
        layers.check_rates(dropout=self.dropout, stochastic_depth=self.stochastic_depth)
        super().__post_init__()

    def setup(self) -> None:
        """Defines the stem, the blocks, the last normalization and the head."""
        self.stem = layers.PatchEmbedding(
            features=self.channels, patch_size=self._patch_size(), pad=True, dtype=self.dtype
        )
        for i, rate in enumerate(layers.rising_rates(self.stochastic_depth, self.num_blocks)):
            block = MixerBlock(
                hidden_patches=self.hidden_patches,
                hidden_channels=self.hidden_channels,
                activation=self.activation,
                dropout=self.dropout,
                stochastic_depth=rate,
                dtype=self.dtype,
            )
            setattr(self, f"block{i}", block)
        self.final_norm = layers.norm(
            "layer", self.channels, train=False, dtype=self.dtype, epsilon=EPSILON
        )
        self.head = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=initializers.zeros)

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the vectors of the patches, arranged as a map."""
        y = self.stem(check_images(x, self.in_channels))
        batch, height, width, channels = y.shape
        self._check_number(height, width)
        y = y.reshape(batch, height * width, channels)
        for i in range(self.num_blocks):
            y = getattr(self, f"block{i}")(y, train)
        y = self.final_norm(y).reshape(batch, height, width, channels)
        return {self._patch_size(): y}

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Only timm has this model."""
        return {"timm": NAMES}

    def _patch_size(self) -> int:
        return 4 if self.small_images else self.patch_size

    def _check_number(self, height: int, width: int) -> None:
        """Raises an error with advice if the number of patches does not fit the parameters."""
        if not self.has_variable("params", "block0"):
            return
        block = self.variables["params"]["block0"]
        patches = block["mlp_patches"]["dense1"]["kernel"].shape[0]
        if patches != height * width:
            raise ValueError(
                f"this MLP-Mixer was initialized for {patches} patches, and these images have "
                f"{height}x{width}; resize them, or initialize it with images of their size"
            )


NAMES = TorchNames(
    [
        Rule(r"stem/conv", "stem.proj"),
        Rule(r"block(\d+)/norm_patches", r"blocks.\1.norm1"),
        Rule(r"block(\d+)/norm_channels", r"blocks.\1.norm2"),
        Rule(r"block(\d+)/mlp_patches/dense(\d)", r"blocks.\1.mlp_tokens.fc\2"),
        Rule(r"block(\d+)/mlp_channels/dense(\d)", r"blocks.\1.mlp_channels.fc\2"),
        Rule(r"final_norm", "norm"),
        Rule(r"head", "head"),
    ]
)


class MLPMixerOptions(ModelOptions, total=False):
    """Options of an MLP-Mixer; see `MLPMixer`."""

    small_images: bool
    activation: str
    dropout: float
    stochastic_depth: float


@register
def mixer_b_16(**options: Unpack[MLPMixerOptions]) -> MLPMixer:
    """Mixer-B/16: 59,880,472 parameters for 1000 classes and 224x224 images (Table 1 of the paper).

    timm calls it mixer_b16_224.

    >>> mixer_b_16(num_classes=10).channels
    768
    """
    return MLPMixer(
        num_blocks=12,
        channels=768,
        hidden_patches=384,
        hidden_channels=3072,
        patch_size=16,
        **options,
    )
