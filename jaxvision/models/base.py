"""What every model is: three calls, checked images, and a description to rebuild it from."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, TypedDict

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.weights.names import TorchNames

# What models are called with. It is wider than what they accept, because an image of the wrong
# kind must reach `check_images`, which says what to do.
Images = Array | np.ndarray
FeatureMaps = dict[int, Float[Array, "batch _ _ _"]]
Pyramid = list[tuple[int, Float[Array, "batch _ _ _"]]]


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """How `create_model` made a model.

    Attributes:
        name: The registered name, for example "resnet18".
        options: Every option with its value, defaults included, as (option, value) pairs.
    """

    name: str
    options: tuple[tuple[str, Any], ...]


class ModelOptions(TypedDict, total=False):
    """The options of every model, for the functions that build them; see `Model`."""

    num_classes: int
    in_channels: int | None
    dtype: DTypeLike | None


class Model(nn.Module, kw_only=True):
    """A backbone with a classifier layer named `head`.

    Every architecture answers the same three calls, each with `train=False` unless told otherwise:

    - `model.apply(variables, x)` gives the logits, (batch, classes).
    - `model.apply(variables, x, method="features")` gives the feature maps by stride, finest first:
      {2: ..., 4: ..., ...}. Each is
      the last map at that stride. A map's height and width are those of the image divided by the
      stride, rounded up, unless the architecture says that its convolutions are not padded.
    - `model.apply(variables, x, method="embed")` gives the vector before the head:
      (batch, features).

    Images are floating point, (batch, height, width, channels), of any size the architecture can
    take; a batch may have no rows, except where BatchNorm takes statistics of it (`train=True`).
    Under `jax.jit`, what a call computes and does not return costs nothing.

    With `train=True`, dropout draws from `rngs={"dropout": key}` and models with BatchNorm need
    `mutable=["batch_stats"]`.

    A family subclasses this with `setup` (which defines `head`) and `features`, and with `embed`
    where the vector is not the average of the last feature map.

    Attributes:
        num_classes: The number of logits.
        in_channels: The number of channels images must have; None takes what the first image has.
        dtype: What to compute in, for example "bfloat16"; None promotes the types of images and
            parameters. Parameters are float32 whatever it is.
        spec: How `create_model` made this model; None if something else did.

    >>> import jax, jax.numpy as jnp
    >>> from jaxvision import models
    >>> model = models.create_model("lenet5")
    >>> images = jnp.zeros((2, 32, 32, 1))
    >>> variables = jax.jit(model.init)(jax.random.key(0), images)
    >>> apply = jax.jit(model.apply, static_argnames="method")
    >>> apply(variables, images).shape
    (2, 10)
    >>> {k: v.shape for k, v in apply(variables, images, method="features").items()}
    {2: (2, 14, 14, 6), 4: (2, 5, 5, 16)}
    >>> apply(variables, images, method="embed").shape
    (2, 84)
    """

    num_classes: int = 1000
    in_channels: int | None = None
    dtype: DTypeLike | None = None
    spec: ModelSpec | None = dataclasses.field(default=None, repr=False)

    default_image_size: ClassVar[int] = 224
    """Height and width of the images that the architecture was made for."""

    auxiliary_weight: ClassVar[float] = 0.3
    """What the loss of each auxiliary head counts, beside that of `head`."""

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise ValueError(f"num_classes must be 1 or more, got {self.num_classes}")
        if self.in_channels is not None and self.in_channels < 1:
            raise ValueError(f"in_channels must be 1 or more, or None, got {self.in_channels}")
        self.dtype = canonical_dtype(self.dtype)
        super().__post_init__()

    def __call__(self, x: Images, train: bool = False) -> Float[Array, "batch classes"]:
        """Computes the logits.

        Args:
            x: Images, (batch, height, width, channels), floating point.
            train: Whether to apply dropout and to normalize by the statistics of the batch.

        Returns:
            Logits, (batch, num_classes).
        """
        vector = self.embed(x, train)
        logits: Float[Array, "batch classes"] = self.head(vector)
        return logits

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the feature maps, by stride, finest first."""
        raise NotImplementedError(f"{type(self).__name__} must define features")

    def pyramid(self, x: Images, train: bool = False) -> Pyramid:
        """Computes the maps of all stages with their strides, finest first, for decoders.

        They are those of `features`; where several stages have one stride (`output_stride`), it has
        all of them, and `features` the last.
        """
        return [*self.features(x, train).items()]

    def embed(self, x: Images, train: bool = False) -> Float[Array, "batch features"]:
        """Computes the vector that the head classifies: the average of the last feature map."""
        last = list(self.features(x, train).values())[-1]
        return layers.global_average_pool(last)

    def with_auxiliary(
        self, x: Images, train: bool = False
    ) -> tuple[Float[Array, "batch classes"], tuple[Float[Array, "batch classes"], ...]]:
        """Computes the logits and those of the auxiliary heads, which help to train early layers.

        Args:
            x: As for a call.
            train: As for a call.

        Returns:
            The logits of `head`, and those of each auxiliary head; none for most models.
        """
        return self(x, train), ()

    def torch_names(self) -> Mapping[str, TorchNames]:
        """How the libraries that have this model call its leaves, for `load_weights`.

        Returns:
            Names by library, "torchvision" and "timm", most usual first; none if neither has it.
        """
        return {}

    def adapt_parameter(
        self, path: str, value: np.ndarray, shape: tuple[int, ...]
    ) -> np.ndarray | None:
        """Fits a parameter that was trained for images of another size.

        Args:
            path: Of the leaf, such as `position_embedding`.
            value: What was trained, in the arrangement of this model.
            shape: What the model has.

        Returns:
            The value in that shape, or None if it cannot be fitted.
        """
        del path, value, shape
        return None


def canonical_dtype(dtype: DTypeLike | None) -> np.dtype | None:
    """Turns a compute dtype or its name into one form, so that equal models compare equal.

    Args:
        dtype: A floating-point dtype, its name, or None.

    Returns:
        The dtype, or None for None.

    Raises:
        ValueError: It is no floating-point dtype.

    >>> canonical_dtype("bfloat16") == canonical_dtype(jnp.bfloat16)
    True
    """
    if dtype is None:
        return None
    try:
        canonical = jnp.dtype(dtype)
    except TypeError:
        canonical = None
    if canonical is None or not jnp.issubdtype(canonical, jnp.floating):
        raise ValueError(
            f"dtype must be a floating-point type such as 'float32' or 'bfloat16', or None, "
            f"got {dtype!r}"
        )
    return canonical


def check_images(
    x: Images, in_channels: int | None = None, min_size: int = 1, *, axes: int = 2
) -> Float[Array, "batch *space channels"]:
    """Checks that an input is a batch of images, or of volumes, as models take them.

    Args:
        x: What a model was called with.
        in_channels: The number of channels the model was made for; None for any.
        min_size: The least size along each axis of space of which the model leaves something.
        axes: The number of axes of space: 2 for images, 3 for volumes.

    Returns:
        The same images as a JAX array.

    Raises:
        TypeError: The images are not floating point.
        ValueError: The images have another rank, no pixels, another number of channels, or are too
            small.

    >>> check_images(jnp.ones((2, 8, 8, 3))).shape
    (2, 8, 8, 3)
    """
    image, shape = _SHAPES[axes]
    if x.ndim != axes + 2:
        raise ValueError(
            f"{image}s must have the shape {shape}, got {x.shape}; "
            f"add an axis for a single {image} (x[None]) or for gray {image}s (x[..., None])"
        )
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"{image}s must be floating point, got {x.dtype}; scale them first, "
            "for example x.astype(jnp.float32) / 255"
        )
    if 0 in x.shape[1:]:
        raise ValueError(f"{image}s must have pixels and channels, got the shape {x.shape}")
    if in_channels is not None and x.shape[-1] != in_channels:
        raise ValueError(
            f"the model was made with in_channels={in_channels}, but the {image}s have "
            f"{x.shape[-1]} channels (shape {x.shape}, channels last); "
            f"make the model with in_channels={x.shape[-1]}, or convert the {image}s"
        )
    if min(x.shape[1:-1]) < min_size:
        least = "x".join([str(min_size)] * axes)
        raise ValueError(
            f"the model needs {image}s of at least {least}, got the shape {x.shape}; "
            "pad or resize them"
        )
    return jnp.asarray(x)


_SHAPES = {
    2: ("image", "(batch, height, width, channels)"),
    3: ("volume", "(batch, depth, height, width, channels)"),
}
"""What models are called with, by its number of axes of space."""
