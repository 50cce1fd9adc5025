"""Sums of losses of masks."""

import dataclasses
import functools
import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, Real

from jaxvision.losses._masks import MaskLoss, Reduce


@dataclasses.dataclass(frozen=True, init=False)
class Sum:
    """A sum of losses of masks, each times a factor; it is called as each of them is.

    Options of a loss are set with `functools.partial`. Sums within a sum become part of it.

    Attributes:
        terms: The losses and their factors.

    Raises:
        TypeError: What is given is no loss of masks.
        ValueError: There is no term, or a factor is negative or not finite.

    >>> import functools, numpy as np
    >>> from jaxvision import losses
    >>> dice = functools.partial(losses.soft_dice, smooth=1.0)
    >>> loss = Sum((losses.pixel_cross_entropy, 1.0), (dice, 0.5))
    >>> logits, labels = np.zeros((1, 2, 2, 2), np.float32), np.array([[[0, 1], [1, 0]]])
    >>> print(f"{jax.jit(loss)(logits, labels)[0]:.4f}")  # log 2 + (1 - 2 / 3) / 2
    0.8598
    >>> loss.describe()[1]
    {'loss': 'soft_dice', 'factor': 0.5, 'options': {'smooth': 1.0}}
    """

    terms: tuple[tuple[MaskLoss, float], ...]

    def __init__(self, *terms: tuple[MaskLoss, int | float]) -> None:
        if not terms:
            raise ValueError("a sum of losses needs at least one term, a loss and its factor")
        flat: list[tuple[MaskLoss, float]] = []
        for loss, factor in terms:
            _check_term(loss, factor)
            parts = loss.terms if isinstance(loss, Sum) else ((loss, 1.0),)
            flat += [(part, float(factor * inner)) for part, inner in parts]
        object.__setattr__(self, "terms", tuple(flat))

    def __call__(
        self,
        logits: Float[Array, "batch *space classes"],
        labels: Integer[Array, "batch *space"] | Bool[Array, "batch *space"],
        *,
        reduce: Reduce = "sample",
        weight: Real[Array, " batch"] | Bool[Array, " batch"] | None = None,
        pixel_weight: Real[Array, "batch *space"] | None = None,
    ) -> Float[Array, "..."]:
        """Computes the sum.

        Args:
            logits: Unnormalized log-probabilities of each pixel.
            labels: The class of each pixel; pixels with 255 or a negative label do not count.
            reduce: `"sample"` takes each example by itself, `"batch"` all as if they were one.
            weight: With `reduce="batch"`, 0 for rows that pad the batch.
            pixel_weight: What each pixel is weighed by, in the terms that have this parameter.

        Returns:
            One value per example, or with `reduce="batch"` a single one; float32 at least.

        Raises:
            ValueError: `pixel_weight` is given and no term has it, or a term refuses its input.
        """
        weighing = [_takes_pixel_weight(loss) for loss, _ in self.terms]
        if pixel_weight is not None and not any(weighing):
            names = ", ".join(_name(loss) for loss, _ in self.terms)
            raise ValueError(
                f"no term of the sum takes pixel_weight, only {names}: leave it out, or add "
                "pixel_cross_entropy or pixel_focal"
            )
        total: Any = 0
        for (loss, factor), weighs in zip(self.terms, weighing, strict=True):
            given = {"pixel_weight": pixel_weight} if weighs and pixel_weight is not None else {}
            total += factor * loss(logits, labels, reduce=reduce, weight=weight, **given)
        return total

    def describe(self) -> list[dict[str, Any]]:
        """What the record of a run keeps.

        Returns:
            The `loss` (its name), `factor` and `options` of each term.
        """
        return [
            {"loss": _name(loss), "factor": factor, "options": _options(loss)}
            for loss, factor in self.terms
        ]


def _check_term(loss: Any, factor: Any) -> None:
    """Refuses what cannot be called as a loss of masks, or a factor that makes no sense."""
    try:
        inspect.signature(loss).bind(None, None, reduce="sample", weight=None)
    except TypeError as error:
        raise TypeError(
            f"{loss!r} is no loss of masks, which is called as loss(logits, labels, "
            f"reduce='sample', weight=None): {error}"
        ) from None
    if not (math.isfinite(factor) and factor >= 0):
        raise ValueError(f"the factor of a loss must be finite and not negative, got {factor}")


def _takes_pixel_weight(loss: MaskLoss) -> bool:
    return "pixel_weight" in inspect.signature(loss).parameters


def _name(loss: MaskLoss) -> str:
    function = loss.func if isinstance(loss, functools.partial) else loss
    return getattr(function, "__name__", type(function).__name__)


def _options(loss: MaskLoss) -> dict[str, Any]:
    options = loss.keywords if isinstance(loss, functools.partial) else {}
    return {name: _plain(value) for name, value in options.items()}


def _plain(value: Any) -> Any:
    """What JSON can hold: arrays and sequences become lists."""
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(part) for part in value]
    return value
