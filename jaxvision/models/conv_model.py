"""What convolutional networks have in common: their options, their head, and their blocks."""

from typing import Any, ClassVar

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import Images, Model, ModelOptions


class ConvModel(Model, kw_only=True):
    """A model whose layers share a normalization and an activation.

    A family defines its layers in `setup`, with the options that `shared` gives, and there calls
    `define_head`.

    Attributes:
        norm: "batch", "group", "instance" or "layer"; see `layers.norm`.
        activation: The nonlinearity; see `layers.activation`.
        dropout: The share of the vector before the head that training drops. Some families drop
            something else, which they document.
        axis_name: A mapped axis (`jax.pmap`, `jax.vmap`) across which BatchNorm averages its
            statistics. Under `jax.jit` none is needed: the batch is the global one there.
    """

    norm: str = "batch"
    activation: str = "relu"
    dropout: float = 0.0
    axis_name: str | None = None

    drops_before_head: ClassVar[bool] = True
    """Whether a call applies `dropout` to what `embed` gives. False is for families that apply it
    elsewhere: in `embed`, or in their blocks."""

    def __post_init__(self) -> None:
        layers.check_norm(self.norm)
        layers.activation(self.activation)
        layers.check_rates(dropout=self.dropout)
        super().__post_init__()

    @nn.nowrap
    def shared(self) -> dict[str, Any]:
        """Gives the options that all layers have in common.

        Returns:
            `norm`, `activation`, `axis_name` and `dtype`, and what a family adds.
        """
        return {
            "norm": self.norm,
            "activation": self.activation,
            "axis_name": self.axis_name,
            "dtype": self.dtype,
        }

    @nn.nowrap
    def define_head(self, kernel_init: layers.Initializer = layers.INITIALIZERS["torch"]) -> None:
        """Defines the head and the dropout, in `setup`.

        Args:
            kernel_init: The head's kernel to start from.
        """
        self.drop = nn.Dropout(self.dropout)
        self.head = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=kernel_init)

    def __call__(self, x: Images, train: bool = False) -> Float[Array, "batch classes"]:
        """Computes the logits."""
        vector = self.embed(x, train)
        if self.drops_before_head:
            vector = self.drop(vector, deterministic=not train)
        logits: Float[Array, "batch classes"] = self.head(vector)
        return logits


class ConvModelOptions(ModelOptions, total=False):
    """The options of every `ConvModel`; families that are published with dropout add `dropout`."""

    norm: str
    activation: str
    axis_name: str | None


class ConvBlock(nn.Module, kw_only=True):
    """A block of a `ConvModel`: layers that share a normalization and an activation.

    Attributes:
        norm: See `layers.norm`.
        activation: See `layers.activation`.
        axis_name: See `layers.norm`.
        dtype: What to compute in; None promotes types.
    """

    norm: str = "batch"
    activation: str = "relu"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.nowrap
    def norm_options(self) -> dict[str, Any]:
        """Gives the options of every normalized layer, but for the activation that follows it.

        Returns:
            `norm`, `axis_name` and `dtype`.
        """
        return {"norm": self.norm, "axis_name": self.axis_name, "dtype": self.dtype}
