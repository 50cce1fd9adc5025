"""The preparation of batches for a model, shared by training, evaluation and prediction."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Key

from jaxvision._preprocessing import check_mean_and_std
from jaxvision.data import kind_of, normalize, to_float
from jaxvision.data.augment import Augment

Batch = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, init=False)
class Inputs:
    """Prepares the fields of a batch for a model.

    Integer images become floating point in [0, 1]; then, in training only, the batch is augmented;
    then `image` is normalized.

    Attributes:
        mean: Per-channel mean, subtracted from images in [0, 1]; one number or one per channel.
        std: Per-channel standard deviation, by which images are divided afterwards.
        augment: `augment(key, batch) -> batch`, such as those of `data.augment`; None changes
            nothing.

    Raises:
        ValueError: A mean is not finite, or a deviation is not finite and positive.

    >>> inputs = Inputs(mean=[0.5], std=[0.25])
    >>> inputs.evaluate({"image": jnp.full((1, 1, 1, 1), 255, jnp.uint8)})["image"].item()
    2.0
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: Augment | None

    def __init__(
        self,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
        augment: Augment | None = None,
    ) -> None:
        check_mean_and_std(mean, std)
        object.__setattr__(self, "mean", tuple(float(number) for number in mean))
        object.__setattr__(self, "std", tuple(float(number) for number in std))
        object.__setattr__(self, "augment", augment)

    def train(self, key: Key[Array, ""], batch: Batch) -> dict[str, Any]:
        """Returns a batch augmented, with random numbers of `key`, and normalized, for training."""
        changed = _floating(batch)
        if self.augment is not None:
            changed = self.augment(key, changed)
        return self._normalized(changed)

    def check_channels(self, channels: int | None) -> None:
        """Raises ValueError if `mean` or `std` does not fit the number of channels; None fits all.

        >>> Inputs(mean=(0.5, 0.5)).check_channels(3)
        Traceback (most recent call last):
        ValueError: mean must be one number, or one for each of 3 channels, got 2: (0.5, 0.5)
        """
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if channels is not None and len(numbers) not in (1, channels):
                raise ValueError(
                    f"{name} must be one number, or one for each of {channels} channels, got "
                    f"{len(numbers)}: {numbers}"
                )

    def evaluate(self, batch: Batch) -> dict[str, Any]:
        """Returns a batch normalized, for evaluation and prediction."""
        return self._normalized(_floating(batch))

    def describe(self) -> dict[str, Any]:
        """Returns `mean` and `std`, for the record of a run."""
        return {"mean": self.mean, "std": self.std}

    def _normalized(self, batch: dict[str, Any]) -> dict[str, Any]:
        if "image" in batch:
            batch["image"] = normalize(batch["image"], self.mean, self.std)
        return batch


def _floating(batch: Batch) -> dict[str, Any]:
    return {
        name: to_float(jnp.asarray(value)) if kind_of(name) in ("image", "volume") else value
        for name, value in batch.items()
    }
