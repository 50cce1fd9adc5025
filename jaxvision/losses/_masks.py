"""Input checks and pixel bookkeeping shared by the mask losses."""

import dataclasses
from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer, Real

from jaxvision._labels import IGNORED
from jaxvision.checks import check_name

Reduce = Literal["sample", "batch"]
MaskLoss = Callable[..., Float[Array, "..."]]
"""A mask loss, called as `loss(logits, labels, reduce=..., weight=...)`.

Logits have the shape `batch *space classes`, labels `batch *space`. `reduce="sample"` gives one
value per example; `reduce="batch"` gives a single value for all pixels of the batch, without the
rows whose `weight` is 0.
"""


@dataclasses.dataclass(frozen=True)
class Masks:
    """Logits and labels as rows of pixels, one row per example or one for the whole batch.

    Ignored pixels are False in `counts`, and 0 in logits and labels. `shape` is that of the labels
    as the caller passed them.
    """

    logits: Float[Array, "rows pixels classes"]
    labels: Integer[Array, "rows pixels"]
    counts: Bool[Array, "rows pixels"]
    reduce: Reduce
    shape: tuple[int, ...]

    @property
    def num_classes(self) -> int:
        """The number of logits per pixel; 1 means a sigmoid."""
        return self.logits.shape[-1]

    def probabilities(self) -> Float[Array, "rows pixels classes"]:
        """The softmax of the logits, or the sigmoid of a single logit."""
        if self.num_classes == 1:
            return jax.nn.sigmoid(self.logits)
        return jax.nn.softmax(self.logits, axis=-1)

    def truth(self) -> Float[Array, "rows pixels classes"]:
        """One-hot labels, 0 at ignored pixels; for a single logit, 1 where the label is 1."""
        classes = jnp.arange(self.num_classes) if self.num_classes > 1 else jnp.ones(1, int)
        named = self.labels[..., None] == classes
        return (named & self.counts[..., None]).astype(self.logits.dtype)

    def weights(
        self, pixel_weight: Real[Array, "batch *space"] | None
    ) -> Float[Array, "rows pixels"]:
        """The weight of each pixel (1 if `pixel_weight` is None), 0 at ignored pixels."""
        if pixel_weight is None:
            return self.counts.astype(self.logits.dtype)
        if pixel_weight.shape != self.shape:
            raise ValueError(
                f"pixel_weight must have the shape of the labels, {self.shape}, got "
                f"{pixel_weight.shape}"
            )
        rows = pixel_weight.astype(self.logits.dtype).reshape(self.counts.shape)
        return jnp.where(self.counts, rows, 0)

    def result(self, values: Float[Array, " rows"]) -> Float[Array, "..."]:
        """The values in the form that `reduce` asks for; NaN where a label is not a class."""
        beyond = self.counts & (self.labels >= max(self.num_classes, 2))
        values = jnp.where(beyond.any(1), jnp.nan, values)
        return values[0] if self.reduce == "batch" else values


def read_masks(
    logits: Float[Array, "batch *space classes"],
    labels: Integer[Array, "batch *space"] | Bool[Array, "batch *space"],
    reduce: Reduce,
    weight: Real[Array, " batch"] | Bool[Array, " batch"] | None,
) -> Masks:
    """Checks the arguments of a mask loss and arranges the pixels in rows."""
    check_name("reduce", reduce, get_args(Reduce))
    if labels.ndim == 0 or logits.shape[:-1] != labels.shape or logits.shape[-1] == 0:
        raise ValueError(
            f"logits must have the shape of the labels and one axis more, of the classes, got "
            f"{logits.shape} and {labels.shape}"
        )
    wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    classes = labels.astype(jnp.int32)
    counts = (classes >= 0) & (classes != IGNORED)
    rows = len(labels)
    if reduce == "batch":
        rows = 1
        if weight is not None:
            if weight.shape != labels.shape[:1]:
                raise ValueError(
                    f"weight must have one entry per example, shape {labels.shape[:1]}, got "
                    f"{weight.shape}"
                )
            counts &= (weight > 0).reshape(-1, *(1,) * (labels.ndim - 1))
    pixels = labels.size // rows if rows else 0
    return Masks(
        jnp.where(counts[..., None], wide, 0).reshape(rows, pixels, logits.shape[-1]),
        jnp.where(counts, classes, 0).reshape(rows, pixels),
        counts.reshape(rows, pixels),
        reduce,
        labels.shape,
    )
