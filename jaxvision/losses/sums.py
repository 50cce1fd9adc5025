"""Weighted sums of mask losses."""

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
    """A weighted sum of mask losses, which is itself a mask loss.

    Set options of a loss with `functools.partial`. Nested sums are flattened.

    Attributes:
        terms: Pairs of a loss and its factor.

    Raises:
        TypeError: A term cannot be called as a mask loss.
        ValueError: There are no terms, or a factor is negative or not finite.

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
        """Computes the sum; `pixel_weight` is passed to the terms that have this parameter.

        Raises:
            ValueError: No term takes `pixel_weight`, or a term rejects its input.
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
        """The `loss` (its name), `factor` and `options` of each term, for the record of a run."""
        return [
            {"loss": _name(loss), "factor": factor, "options": _options(loss)}
            for loss, factor in self.terms
        ]


def _check_term(loss: Any, factor: Any) -> None:
    """Rejects objects that cannot be called as a mask loss, and negative or infinite factors."""
    try:
        inspect.signature(loss).bind(None, None, reduce="sample", weight=None)
    except TypeError as error:
        raise TypeError(
            f"{loss!r} is not a mask loss, which is called as loss(logits, labels, "
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
    """Converts a value for JSON: arrays and sequences become lists."""
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(part) for part in value]
    return value
