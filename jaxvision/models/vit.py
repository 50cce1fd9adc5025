"""Vision transformers: attention between the patches of an image.

Reference: Dosovitskiy et al., An image is worth 16x16 words: transformers for image recognition at
scale, ICLR 2021, arXiv:2010.11929. The sizes of Base and Large are from its Table 1, those of Tiny
and Small from Touvron et al., Training data-efficient image transformers, ICML 2021,
arXiv:2012.12877, Table 1 (DeiT-Ti and DeiT-S).
"""

import math
from collections.abc import Mapping
from typing import Unpack

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import FeatureMaps, Images, Model, ModelOptions, check_images
from jaxvision.models.registry import register
from jaxvision.models.weights.names import DENSE, Form, Rule, TorchNames, with_axes

EPSILON = 1e-6


class Tokens(nn.Module, kw_only=True):
    """Makes a sequence of a class token and the patches, and adds position embeddings.

    The embeddings are learned for the number of rows and columns at initialization, and
    interpolated for other numbers.

    >>> import jax
    >>> layer = Tokens()
    >>> variables = jax.eval_shape(layer.init, jax.random.key(0), jnp.ones((1, 14, 14, 8)))
    >>> {name: value.shape for name, value in variables["params"].items()}
    {'class_position': (8,), 'class_token': (8,), 'patch_position': (14, 14, 8)}
    >>> jax.eval_shape(layer.apply, variables, jnp.ones((2, 10, 13, 8))).shape
    (2, 131, 8)
    """

    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch rows columns channels"]
    ) -> Float[Array, "batch tokens channels"]:
        """Puts the class token first, then the patches row by row."""
        batch, rows, columns, channels = x.shape
        normal = initializers.normal(0.02)
        token = self.param("class_token", initializers.zeros, (channels,), jnp.float32)
        class_position = self.param("class_position", normal, (channels,), jnp.float32)
        # `param` would refuse embeddings for another number of rows or columns.
        if self.has_variable("params", "patch_position"):
            positions: Array = self.get_variable("params", "patch_position")
        else:
            shape = (rows, columns, channels)
            positions = self.param("patch_position", normal, shape, jnp.float32)
        positions = layers.resize_grid(positions, rows, columns)
        x, first, positions = nn.dtypes.promote_dtype(
            x, token + class_position, positions, dtype=self.dtype
        )
        patches = (x + positions).reshape(batch, rows * columns, channels)
        return jnp.concatenate([jnp.broadcast_to(first, (batch, 1, channels)), patches], axis=1)


class VisionTransformer(Model, kw_only=True):
    """A vision transformer: `stem`, `tokens`, `block0`, `block1`, ..., `final_norm`, `head`.

    The only feature map holds the tokens of the patches after the last normalization; its stride is
    the patch size. `embed` is the class token after this normalization. Patches at the bottom and
    on the right that the image does not fill are padded with zeros.

    Position embeddings are learned for images of the size at initialization. For images of another
    size, they are interpolated (bicubic, antialiased, as timm does with dynamic_img_size=True).
    `load_weights` can do so once for its `image_size`, which gives the same logits and is better
    for training. (torchvision's interpolate_embeddings aligns corners and does not antialias.)

    The head is one dense layer, as in both libraries and in the paper's fine-tuning; the paper's
    pre-training has a hidden layer before it.

    Attributes:
        num_blocks: Number of blocks.
        channels: Length of a token. The hidden dense layers of the blocks are 4 times as wide.
        num_heads: Number of attention heads.
        patch_size: Height and width of a patch.
        small_images: Whether patches are 4x4 instead, for images of about 32x32.
        activation: Name of the nonlinearity; see `layers.activation`.
        dropout: Dropout rate of the tokens and of all residuals (0.1 in the paper for training on
            ImageNet alone).
        attention_dropout: Dropout rate of the attention weights.
        stochastic_depth: Share of the last block's residuals that training drops as a whole; it
            rises linearly from 0 at the first block.

    >>> import jax
    >>> model = VisionTransformer(num_blocks=2, channels=192, num_heads=3, patch_size=16)
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    >>> variables["params"]["tokens"]["patch_position"].shape
    (14, 14, 192)
    """

    num_blocks: int
    channels: int
    num_heads: int
    patch_size: int
    small_images: bool = False
    activation: str = "gelu"
    dropout: float = 0.0
    attention_dropout: float = 0.0
    stochastic_depth: float = 0.0

    def __post_init__(self) -> None:
        layers.activation(self.activation)
        layers.check_rates(
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            stochastic_depth=self.stochastic_depth,
        )
        super().__post_init__()

    def setup(self) -> None:
        """Defines the stem, the tokens, the blocks, the last normalization and the head."""
        self.stem = layers.PatchEmbedding(
            features=self.channels, patch_size=self._patch_size(), pad=True, dtype=self.dtype
        )
        self.tokens = Tokens(dtype=self.dtype)
        self.drop = nn.Dropout(self.dropout)
        for i, rate in enumerate(layers.rising_rates(self.stochastic_depth, self.num_blocks)):
            block = layers.EncoderBlock(
                num_heads=self.num_heads,
                hidden=4 * self.channels,
                activation=self.activation,
                dropout=self.dropout,
                attention_dropout=self.attention_dropout,
                stochastic_depth=rate,
                epsilon=EPSILON,
                dtype=self.dtype,
            )
            setattr(self, f"block{i}", block)
        self.final_norm = layers.norm(
            "layer", self.channels, train=False, dtype=self.dtype, epsilon=EPSILON
        )
        self.head = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=initializers.zeros)

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the tokens of the patches, arranged as a map."""
        x = check_images(x, self.in_channels)
        patch = self._patch_size()
        rows, columns = (-(-size // patch) for size in x.shape[1:3])
        tokens = self._encode(x, train)
        return {
            patch: tokens[:, 1:].reshape(x.shape[0], rows, columns, self.channels),
        }

    def embed(self, x: Images, train: bool = False) -> Float[Array, "batch features"]:
        """Computes the class token."""
        return self._encode(check_images(x, self.in_channels), train)[:, 0]

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Torchvision and timm use different names; torchvision has no Tiny and no Small."""
        in_torchvision = self.channels in (768, 1024)
        return {"torchvision": TORCHVISION, "timm": TIMM} if in_torchvision else {"timm": TIMM}

    def adapt_parameter(
        self, path: str, value: np.ndarray, shape: tuple[int, ...]
    ) -> np.ndarray | None:
        """Interpolates position embeddings."""
        if path != "tokens/patch_position" or value.shape[-1] != shape[-1]:
            return None
        if len(value) == 1 and value.shape[1] == shape[0] * shape[1]:
            return value.reshape(shape)  # not square, so only the number of patches was known
        return np.asarray(layers.resize_grid(jnp.asarray(value), *shape[:2]))

    def _patch_size(self) -> int:
        return 4 if self.small_images else self.patch_size

    def _encode(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch tokens features"]:
        y = self.drop(self.tokens(self.stem(x)), deterministic=not train)
        for i in range(self.num_blocks):
            y = getattr(self, f"block{i}")(y, train)
        encoded: Float[Array, "batch tokens features"] = self.final_norm(y)
        return encoded


def _read_positions(theirs: np.ndarray) -> np.ndarray:
    """Arranges the patches' position embeddings in a square if possible, else in a row."""
    count, channels = theirs.shape[1] - 1, theirs.shape[2]
    side = math.isqrt(count)
    return theirs[0, 1:].reshape(side if side**2 == count else 1, -1, channels)


CLASS_POSITION = Form(lambda theirs: theirs[0, 0], lambda ours: ours[None, None], axis=1)
PATCH_POSITION = Form(_read_positions, lambda ours: ours.reshape(1, -1, ours.shape[-1]), axis=1)


def _positions(name: str) -> list[Rule]:
    """Lists the rules for both position embeddings, parts of one tensor in the libraries."""
    return [
        Rule(r"tokens/class_position", name, CLASS_POSITION),
        Rule(r"tokens/patch_position", name, PATCH_POSITION),
    ]


TORCHVISION_BLOCK = r"encoder.layers.encoder_layer_\1."
TORCHVISION = TorchNames(
    [
        Rule(r"stem/conv", "conv_proj"),
        Rule(r"tokens/class_token", "class_token", with_axes(0, 1)),
        *_positions("encoder.pos_embedding"),
        Rule(r"block(\d+)/norm(\d)", TORCHVISION_BLOCK + r"ln_\2"),
        Rule(
            r"block(\d+)/attention/qkv/kernel",
            TORCHVISION_BLOCK + "self_attention.in_proj_weight",
            DENSE,
        ),
        Rule(r"block(\d+)/attention/qkv/bias", TORCHVISION_BLOCK + "self_attention.in_proj_bias"),
        Rule(r"block(\d+)/attention/out", TORCHVISION_BLOCK + "self_attention.out_proj"),
        Rule(r"block(\d+)/mlp/dense1", TORCHVISION_BLOCK + "mlp.0"),
        Rule(r"block(\d+)/mlp/dense2", TORCHVISION_BLOCK + "mlp.3"),
        Rule(r"final_norm", "encoder.ln"),
        Rule(r"head", "heads.head"),
    ],
    # torchvision's weight files are older than these names.
    renamed={
        r"(.*)\.mlp\.linear_1\.(.*)": r"\1.mlp.0.\2",
        r"(.*)\.mlp\.linear_2\.(.*)": r"\1.mlp.3.\2",
    },
)
TIMM = TorchNames(
    [
        Rule(r"stem/conv", "patch_embed.proj"),
        Rule(r"tokens/class_token", "cls_token", with_axes(0, 1)),
        *_positions("pos_embed"),
        Rule(r"block(\d+)/norm(\d)", r"blocks.\1.norm\2"),
        Rule(r"block(\d+)/attention/qkv", r"blocks.\1.attn.qkv"),
        Rule(r"block(\d+)/attention/out", r"blocks.\1.attn.proj"),
        Rule(r"block(\d+)/mlp/dense(\d)", r"blocks.\1.mlp.fc\2"),
        Rule(r"final_norm", "norm"),
        Rule(r"head", "head"),
    ]
)


class VisionTransformerOptions(ModelOptions, total=False):
    """Options of a vision transformer; see `VisionTransformer`."""

    small_images: bool
    activation: str
    dropout: float
    attention_dropout: float
    stochastic_depth: float


@register
def vit_ti_16(**options: Unpack[VisionTransformerOptions]) -> VisionTransformer:
    """ViT-Ti/16: 5,717,416 parameters for 1000 classes and 224x224 images.

    timm calls it vit_tiny_patch16_224.

    >>> vit_ti_16(num_classes=10).channels
    192
    """
    return VisionTransformer(num_blocks=12, channels=192, num_heads=3, patch_size=16, **options)


@register
def vit_s_16(**options: Unpack[VisionTransformerOptions]) -> VisionTransformer:
    """ViT-S/16: 22,050,664 parameters for 1000 classes and 224x224 images.

    timm calls it vit_small_patch16_224.
    """
    return VisionTransformer(num_blocks=12, channels=384, num_heads=6, patch_size=16, **options)


@register
def vit_s_32(**options: Unpack[VisionTransformerOptions]) -> VisionTransformer:
    """ViT-S/32: 22,878,952 parameters for 1000 classes and 224x224 images.

    It is ViT-S/16 with larger patches; timm calls it vit_small_patch32_224.
    """
    return VisionTransformer(num_blocks=12, channels=384, num_heads=6, patch_size=32, **options)


@register
def vit_b_16(**options: Unpack[VisionTransformerOptions]) -> VisionTransformer:
    """ViT-B/16: 86,567,656 parameters for 1000 classes and 224x224 images.

    timm calls it vit_base_patch16_224.
    """
    return VisionTransformer(num_blocks=12, channels=768, num_heads=12, patch_size=16, **options)


@register
def vit_b_32(**options: Unpack[VisionTransformerOptions]) -> VisionTransformer:
    """ViT-B/32: 88,224,232 parameters for 1000 classes and 224x224 images.

    timm calls it vit_base_patch32_224.
    """
    return VisionTransformer(num_blocks=12, channels=768, num_heads=12, patch_size=32, **options)


@register
def vit_l_16(**options: Unpack[VisionTransformerOptions]) -> VisionTransformer:
    """ViT-L/16: 304,326,632 parameters for 1000 classes and 224x224 images.

    timm calls it vit_large_patch16_224.
    """
    return VisionTransformer(num_blocks=24, channels=1024, num_heads=16, patch_size=16, **options)


@register
def vit_l_32(**options: Unpack[VisionTransformerOptions]) -> VisionTransformer:
    """ViT-L/32: 306,535,400 parameters for 1000 classes and 224x224 images.

    timm calls it vit_large_patch32_224.
    """
    return VisionTransformer(num_blocks=24, channels=1024, num_heads=16, patch_size=32, **options)
