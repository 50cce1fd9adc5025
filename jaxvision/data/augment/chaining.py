"""Chains of augmentations."""

import dataclasses
from collections.abc import Mapping
from typing import Any, overload

import jax

from jaxvision.data.augment._common import RandomKey
from jaxvision.data.augment.link import Link
from jaxvision.data.augment.transform import Augment, Batch, Transform
from jaxvision.data.fields import Field, Kind


@dataclasses.dataclass(frozen=True, eq=False)
class Chain:
    """Augmentations applied to a batch in order, each with its own key; made by `chain`."""

    parts: tuple[tuple[int | None, Augment], ...]

    def __call__(self, key: RandomKey, batch: Batch) -> dict[str, Any]:
        """Applies the augmentations to a batch; see `Augment`."""
        changed = dict(batch)
        for index, augment in self.parts:
            changed = augment(key if index is None else jax.random.fold_in(key, index), changed)
        return changed


@overload
def chain(
    *augments: Transform,
    fields: Mapping[str, Field | Kind] | None = None,
    mask_fill: int | None = None,
) -> Transform: ...


@overload
def chain(
    *augments: Augment,
    fields: Mapping[str, Field | Kind] | None = None,
    mask_fill: int | None = None,
) -> Transform | Chain: ...


def chain(
    *augments: Augment,
    fields: Mapping[str, Field | Kind] | None = None,
    mask_fill: int | None = None,
) -> Transform | Chain:
    """Applies changes one after another, each with a key of its own.

    Neighbors that move pixels, with no change of values between them and with the same
    sampling, become one warp. What one of them would push out of the frame and the next pull
    back in is then still there, where applying them one at a time would show the fill.

    Args:
        *augments: Transforms, `mixup`, `cutmix` or functions of your own, first to last; none at
            all gives the identity.
        fields: Fields or kinds by name, for those whose name does not say what they are, besides
            those that the transforms have.
        mask_fill: The class of mask pixels that come in from beyond the border; see `Transform`.
            None is what the transforms have.

    Returns:
        One transform; where something else is among them, a function of batches.

    Raises:
        ValueError: `mask_fill` is None, and transforms have different ones.

    >>> import jax.numpy as jnp
    >>> from jaxvision.data import augment
    >>> augment_images = augment.chain(augment.random_flip(), augment.random_crop(padding=4))
    >>> jax.eval_shape(augment_images, jax.random.key(0), jnp.zeros((16, 32, 32, 3))).shape
    (16, 32, 32, 3)
    """
    transforms = [augment for augment in augments if isinstance(augment, Transform)]
    if mask_fill is None:
        mask_fill = _common_fill(transforms)
    known = {name: field for each in transforms for name, field in each.fields.items()}
    known |= fields or {}
    parts: list[tuple[int | None, Augment]] = []
    links: list[Link] = []

    def close() -> None:
        if links:
            parts.append((None, Transform(tuple(links), known, mask_fill)))
            links.clear()

    for index, augment in enumerate(augments):
        if isinstance(augment, Transform):

            def derive(key: RandomKey, index: int = index) -> RandomKey:
                return jax.random.fold_in(key, index)

            links += [link.with_key(derive) for link in augment.links]
        else:
            close()
            parts.append((index, augment))
    if not parts:
        return Transform(tuple(links), known, mask_fill)
    close()
    return Chain(tuple(parts))


def _common_fill(transforms: list[Transform]) -> int | None:
    fills = {each.mask_fill for each in transforms if each.mask_fill is not None}
    if len(fills) > 1:
        raise ValueError(
            f"the transforms of a chain have different mask_fill, {sorted(fills)}: give "
            "chain(..., mask_fill=...)"
        )
    return fills.pop() if fills else None
