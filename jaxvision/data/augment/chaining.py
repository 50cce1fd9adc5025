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
    """Applies augmentations one after another, each with its own key.

    Adjacent transforms that move pixels with the same sampling become one warp. Content that one of
    them moves out of the frame and the next moves back in is then preserved; applied one at a time,
    they would leave the fill in its place.

    Args:
        *augments: Transforms, `mixup`, `cutmix` or functions of your own, in order; without any,
            the result is the identity.
        fields: Fields or kinds by name, for fields whose name does not tell their kind, in addition
            to those of the transforms.
        mask_fill: Class of mask pixels from beyond the border; see `Transform`. None takes that of
            the transforms.

    Returns:
        A `Transform`, or a function of batches if not all augmentations are transforms.

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
