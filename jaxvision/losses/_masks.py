"""What the losses of masks share: which pixels count, and what is one example."""

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
"""A loss of masks, called as `loss(logits, labels, reduce=..., weight=...)`.

It takes logits `batch *space classes` and labels `batch *space`. With `reduce="sample"` it gives
one value per example, with `reduce="batch"` a single one, as if all examples were one example; then
rows whose `weight` is 0 are left out.
"""


@dataclasses.dataclass(frozen=True)
class Masks:
    """Logits and labels as rows of pixels: a row for each example, or one for the whole batch.

    Logits and labels of pixels that do not count are 0, so that nothing of them is seen.

    Attributes:
        logits: Float32 at least.
        labels: The class of each pixel.
        counts: Whether a pixel counts.
        reduce: `"sample"` or `"batch"`.
        shape: The shape in which the labels were given.
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
        """The softmax of the logits; of a single logit its sigmoid."""
        if self.num_classes == 1:
            return jax.nn.sigmoid(self.logits)
        return jax.nn.softmax(self.logits, axis=-1)

    def truth(self) -> Float[Array, "rows pixels classes"]:
        """One-hot labels (of a single logit, 1 for the label 1); 0 where pixels do not count."""
        classes = jnp.arange(self.num_classes) if self.num_classes > 1 else jnp.ones(1, int)
        named = self.labels[..., None] == classes
        return (named & self.counts[..., None]).astype(self.logits.dtype)

    def weights(
        self, pixel_weight: Real[Array, "batch *space"] | None
    ) -> Float[Array, "rows pixels"]:
        """The weight of each pixel, 0 where it does not count.

        Args:
            pixel_weight: The weight of each pixel as the caller has it; None is 1.

        Returns:
            The weights.

        Raises:
            ValueError: It has not the shape of the labels.
        """
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
        """The values as the caller asked for them; NaN where a label names no class."""
        beyond = self.counts & (self.labels >= max(self.num_classes, 2))
        values = jnp.where(beyond.any(1), jnp.nan, values)
        return values[0] if self.reduce == "batch" else values


def read_masks(
    logits: Float[Array, "batch *space classes"],
    labels: Integer[Array, "batch *space"] | Bool[Array, "batch *space"],
    reduce: Reduce,
    weight: Real[Array, " batch"] | Bool[Array, " batch"] | None,
) -> Masks:
    """Checks and lays out what a loss of masks is given.

    Args:
        logits: Unnormalized log-probabilities of each pixel.
        labels: The class of each pixel; pixels with 255 or a negative label do not count.
        reduce: `"sample"` keeps the examples apart, `"batch"` makes one of all.
        weight: With `reduce="batch"`, 0 for rows that do not count.

    Returns:
        The rows of pixels.

    Raises:
        ValueError: Shapes do not fit, or `reduce` is unknown.
    """
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
