"""Base classes of convolutional networks and of their blocks."""

from typing import Any, ClassVar

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import Images, Model, ModelOptions


class ConvModel(Model, kw_only=True):
    """Base class of models whose layers share a normalization and an activation.

    A family defines its layers in `setup`, with the options from `shared`, and calls `define_head`
    there.

    Attributes:
        norm: "batch", "group", "instance" or "layer"; see `layers.norm`.
        activation: Name of the nonlinearity; see `layers.activation`.
        dropout: Dropout rate of the embedding before the head. Some families drop other values
            instead, as they document.
        axis_name: Mapped axis (`jax.pmap`, `jax.vmap`) over which BatchNorm averages its
            statistics. It is not needed under `jax.jit`, where the batch is the global one.
    """

    norm: str = "batch"
    activation: str = "relu"
    dropout: float = 0.0
    axis_name: str | None = None

    drops_before_head: ClassVar[bool] = True
    """Whether a call applies `dropout` to the embedding. False in families that apply it in `embed`
    or in their blocks."""

    def __post_init__(self) -> None:
        layers.check_norm(self.norm)
        layers.activation(self.activation)
        layers.check_rates(dropout=self.dropout)
        super().__post_init__()

    @nn.nowrap
    def shared(self) -> dict[str, Any]:
        """Collects the options that all layers share; families may add to them."""
        return {
            "norm": self.norm,
            "activation": self.activation,
            "axis_name": self.axis_name,
            "dtype": self.dtype,
        }

    @nn.nowrap
    def define_head(self, kernel_init: layers.Initializer = layers.INITIALIZERS["torch"]) -> None:
        """Defines the head and its dropout; called in `setup`."""
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
    """Options of every `ConvModel`; families that are published with dropout add `dropout`."""

    norm: str
    activation: str
    axis_name: str | None


class ConvBlock(nn.Module, kw_only=True):
    """Base class of blocks whose layers share a norm and an activation; see `ConvModel`."""

    norm: str = "batch"
    activation: str = "relu"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.nowrap
    def norm_options(self) -> dict[str, Any]:
        """Collects the options of every normalized layer, except for its activation."""
        return {"norm": self.norm, "axis_name": self.axis_name, "dtype": self.dtype}
