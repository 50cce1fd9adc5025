"""The base class of all models, and the checks of their inputs."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, TypedDict

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.checks import channels_first
from jaxvision.models import layers
from jaxvision.models.weights.names import TorchNames

# The type of inputs. It is wider than what models accept, so that wrong inputs reach
# `check_images`, whose errors say what to do.
Images = Array | np.ndarray
FeatureMaps = dict[int, Float[Array, "batch _ _ _"]]
Pyramid = list[tuple[int, Float[Array, "batch _ _ _"]]]


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """The name and the options with which `create_model` made a model.

    Attributes:
        name: Registered name, such as "resnet18".
        options: All options as (option, value) pairs, defaults included.
    """

    name: str
    options: tuple[tuple[str, Any], ...]


class ModelOptions(TypedDict, total=False):
    """Options of every model, for the signatures of functions that build models; see `Model`."""

    num_classes: int
    in_channels: int | None
    dtype: DTypeLike | None


class Model(nn.Module, kw_only=True):
    """Base class of models: a backbone and a classifier layer named `head`.

    Every architecture has the same three methods, each with `train=False` by default:

    - `model.apply(variables, x)` computes the logits, (batch, classes).
    - `model.apply(variables, x, method="features")` computes the feature maps by stride, finest
      first: {2: ..., 4: ..., ...}. Each is the last map at its stride. Its height and width are
      those of the image divided by the stride, rounded up, unless the architecture documents
      unpadded convolutions.
    - `model.apply(variables, x, method="embed")` computes the embedding, which is the vector that
      the head classifies: (batch, features).

    Images are floating point, (batch, height, width, channels), of any size that the architecture
    supports. A batch may be empty, except where BatchNorm computes its statistics (`train=True`).
    Under `jax.jit`, the compiler removes computations whose results a call does not return.

    With `train=True`, dropout needs `rngs={"dropout": key}`, and BatchNorm needs
    `mutable=["batch_stats"]`.

    A family of models is a subclass. It defines `setup` (which creates `head`) and `features`, and
    overrides `embed` if the embedding is not the average of the last feature map.

    Attributes:
        num_classes: Number of logits.
        in_channels: Number of image channels; None takes that of the images at initialization.
        dtype: Dtype of the computation, such as "bfloat16"; None promotes the dtypes of images and
            parameters. Parameters are float32 in any case.
        spec: Name and options given to `create_model`; None for models made otherwise.

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
    """Height and width of the images that the architecture was designed for."""

    auxiliary_weight: ClassVar[float] = 0.3
    """Weight of each auxiliary head's loss; the main head's is 1."""

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise ValueError(
                f"the model's num_classes must be 1 or more, got {self.num_classes}; a data set "
                "has 0 if no field 'label' of it has class names"
            )
        if self.in_channels is not None and self.in_channels < 1:
            raise ValueError(f"in_channels must be 1 or more, or None, got {self.in_channels}")
        self.dtype = canonical_dtype(self.dtype)
        super().__post_init__()

    def __call__(self, x: Images, train: bool = False) -> Float[Array, "batch classes"]:
        """Computes the logits; `train` enables dropout and normalizes by batch statistics."""
        vector = self.embed(x, train)
        logits: Float[Array, "batch classes"] = self.head(vector)
        return logits

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the feature maps, by stride, finest first."""
        raise NotImplementedError(f"{type(self).__name__} must define features")

    def pyramid(self, x: Images, train: bool = False) -> Pyramid:
        """Computes the maps of all stages with their strides, finest first, for decoders.

        Where several stages share a stride (`output_stride`), `features` has only the last map.
        """
        return [*self.features(x, train).items()]

    def embed(self, x: Images, train: bool = False) -> Float[Array, "batch features"]:
        """Computes the embedding that the head classifies: the average of the last feature map."""
        last = list(self.features(x, train).values())[-1]
        return layers.global_average_pool(last)

    def with_auxiliary(
        self, x: Images, train: bool = False
    ) -> tuple[Float[Array, "batch classes"], tuple[Float[Array, "batch classes"], ...]]:
        """Computes the logits of `head` and of auxiliary heads, which help to train early layers.

        Returns:
            The logits of `head`, and a tuple with those of each auxiliary head (empty for most
            models).
        """
        return self(x, train), ()

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Maps the parameters to their names in other libraries, for `load_weights`.

        Returns:
            Names by library ("torchvision", "timm" or a variant of these), the most common first;
            empty if no library has the model.
        """
        return {}

    def adapt_parameter(
        self, path: str, value: np.ndarray, shape: tuple[int, ...]
    ) -> np.ndarray | None:
        """Adapts a parameter that was trained for images of another size.

        Args:
            path: Path of the parameter, such as "tokens/patch_position".
            value: Trained array, in the layout of this model.
            shape: Shape of the parameter in this model.

        Returns:
            The array in that shape, or None if it cannot be adapted.
        """
        del path, value, shape
        return None


def canonical_dtype(dtype: DTypeLike | None) -> np.dtype | None:
    """Converts a compute dtype or its name to one form, so that equal models compare equal.

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
    x: Images,
    in_channels: int | None = None,
    min_size: int = 1,
    *,
    axes: int = 2,
    remedy: str = "pad or resize them",
) -> Float[Array, "batch *space channels"]:
    """Checks that an input is a batch of images or volumes, as models need it.

    Args:
        x: Input of a model.
        in_channels: Number of channels that the model accepts; None for any.
        min_size: Smallest size along each spatial axis that the model accepts.
        axes: Number of spatial axes: 2 for images, 3 for volumes.
        remedy: What the error says to do about inputs that are too small.

    Returns:
        The input as a JAX array.

    Raises:
        TypeError: The images are not floating point.
        ValueError: The images have another rank, no pixels, another number of channels, or are
            smaller than `min_size`.

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
    has_channels = in_channels in (None, x.shape[-1])
    is_large = min(x.shape[1:-1]) >= min_size
    if not (has_channels and is_large) and (moved := channels_first(x.shape)):
        raise ValueError(f"images must have the shape {shape}, got {x.shape}: {moved}")
    if not has_channels:
        raise ValueError(
            f"the model was made with in_channels={in_channels}, but the {image}s have "
            f"{x.shape[-1]} channels (shape {x.shape}, channels last); "
            f"make the model with in_channels={x.shape[-1]}, or convert the {image}s"
        )
    if not is_large:
        least = "x".join([str(min_size)] * axes)
        raise ValueError(
            f"the model needs {image}s of at least {least}, got the shape {x.shape}; {remedy}"
        )
    return jnp.asarray(x)


_SHAPES = {
    2: ("image", "(batch, height, width, channels)"),
    3: ("volume", "(batch, depth, height, width, channels)"),
}
"""Name and shape of the inputs, by their number of spatial axes."""
