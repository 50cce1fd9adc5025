"""A segmenter: a decoder over a backbone."""

from collections.abc import Mapping

import flax.linen as nn
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models.base import Images, Model, check_images
from jaxvision.models.description import register_module
from jaxvision.models.segmentation.decoder import Decoder, make_head
from jaxvision.models.segmentation.fcn import FCNDecoder
from jaxvision.models.weights.names import Rule, TorchNames, sequence_rules
from jaxvision.ops import resize

_ENCODERS = {
    "smp": {"torchvision": "encoder", "timm": "encoder.model"},
    "torchvision": {"torchvision": "backbone"},
}
"""The backbone's name in files, by the library of the decoder and that of the backbone."""

_AUXILIARY = TorchNames(
    [
        *sequence_rules("auxiliary_decoder/conv", "aux_classifier"),
        Rule("auxiliary_head", "aux_classifier.4"),
    ]
)
Logits = Float[Array, "batch _ _ classes"]


@register_module
class Segmenter(nn.Module, kw_only=True):
    """Computes logits for every pixel, by a decoder over the maps of a backbone.

    Images may have any size that the backbone takes: maps are resized to one another, and the
    logits to the images.

    Attributes:
        backbone: Model whose maps are decoded; its own head is not created.
        decoder: Module that combines the maps into one.
        num_classes: Number of logits per pixel.
        auxiliary: Whether the map before the coarsest has logits of its own in training:
            torchvision's auxiliary classifier.

    >>> import jax, jax.numpy as jnp
    >>> from jaxvision import models
    >>> model = models.create_segmenter("unet", backbone="resnet18", num_classes=3)
    >>> images = jnp.zeros((2, 65, 50, 3))
    >>> logits, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), images)
    >>> logits.shape, sorted(variables["params"])
    ((2, 65, 50, 3), ['backbone', 'decoder', 'head'])
    """

    backbone: Model
    decoder: Decoder
    num_classes: int
    auxiliary: bool = False

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise ValueError(f"the model's num_classes must be 1 or more, got {self.num_classes}")
        super().__post_init__()

    @property
    def in_channels(self) -> int | None:
        """The number of channels that images must have; None stands for any."""
        return self.backbone.in_channels

    @property
    def default_image_size(self) -> int:
        """Height and width of the images that the backbone was made for."""
        return self.backbone.default_image_size

    @property
    def dtype(self) -> DTypeLike | None:
        """The compute dtype, which is that of the backbone."""
        return self.backbone.dtype

    def setup(self) -> None:
        """Defines the heads."""
        self.head = make_head(self.num_classes, self.decoder.head_size, self.dtype)
        if self.auxiliary:
            self.auxiliary_decoder = FCNDecoder(**self.decoder.options())
            self.auxiliary_head = make_head(self.num_classes, 1, self.dtype)

    def __call__(self, x: Images, train: bool = False) -> Logits:
        """Computes logits, (batch, height, width, num_classes).

        `train` turns on dropout and normalization by the statistics of the batch.
        """
        return self.with_auxiliary(x, train)[0]

    def with_auxiliary(self, x: Images, train: bool = False) -> tuple[Logits, tuple[Logits, ...]]:
        """Computes the logits and, with `auxiliary`, those of the map before the coarsest."""
        images = check_images(x, self.in_channels)
        size = images.shape[1], images.shape[2]
        stages = self.backbone.pyramid(images, train)
        decoded = self.decoder(stages, size, train)
        logits = resize(self.head(decoded), size, align_corners=self.decoder.align_corners)
        if not self.auxiliary:
            return logits, ()
        if len(stages) < 2:
            raise ValueError("auxiliary=True needs a backbone of two maps or more, and it has one")
        early = self.auxiliary_decoder(stages[:-1], size, train)
        return logits, (self.auxiliary_head(early),)

    def torch_names(self) -> Mapping[str, TorchNames]:
        """The names in torchvision and in segmentation_models_pytorch ("smp").

        Names are keyed by the library and, where that is another, the library of the backbone.
        There are none where no library has this decoder over this backbone.
        """
        backbone = self.backbone.torch_names()
        auxiliary = _AUXILIARY if self.auxiliary else TorchNames([])
        return {
            library if part in (library, "torchvision") else f"{library}, {part}": (
                backbone[part].within("backbone", name) + names + auxiliary
            )
            for library, names in self.decoder.names_in_torch.items()
            for part, name in _ENCODERS[library].items()
            if part in backbone
        }

    def adapt_parameter(
        self, path: str, value: np.ndarray, shape: tuple[int, ...]
    ) -> np.ndarray | None:
        """Fits a parameter of the backbone that was trained for images of another size."""
        part, _, rest = path.partition("/")
        return self.backbone.adapt_parameter(rest, value, shape) if part == "backbone" else None
