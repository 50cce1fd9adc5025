"""What the training scripts do to images at random, as settings."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from jaxvision import data


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done to training images at random, on the device; the default is nothing."""

    flip: bool = False
    """Mirror left and right, with probability one half."""
    crop_padding: int = 0
    """Pad by so many pixels and crop back at random."""
    rotation: float = 0.0
    """Turn by up to so many degrees."""
    translation: float = 0.0
    """Shift by up to this fraction of the size."""
    scale: float = 0.0
    """Enlarge or shrink by up to this fraction."""
    shear: float = 0.0
    """Slant by up to so many degrees."""
    color_jitter: float = 0.0
    """Change brightness, contrast and saturation by up to this fraction."""
    rand_augment: int = 0
    """Apply so many operations of RandAugment, at magnitude 9."""
    erasing: float = 0.0
    """Erase a rectangle with this probability."""
    mixup: float = 0.0
    """Mix pairs of images by shares from Beta(a, a)."""
    cutmix: float = 0.0
    """Paste pieces of other images, of sizes from Beta(a, a)."""


def make_augment(settings: Augmentation) -> Callable | None:
    """The chosen transforms, in one chain; None if there are none."""
    augment = data.augment
    chosen: list[Any] = []
    if settings.flip:
        chosen.append(augment.random_flip())
    if settings.crop_padding:
        chosen.append(augment.random_crop(padding=settings.crop_padding))
    if settings.rotation:
        chosen.append(augment.random_rotation(settings.rotation))
    if settings.translation:
        chosen.append(augment.random_translation(settings.translation, settings.translation))
    if settings.scale:
        chosen.append(augment.random_scale((1 - settings.scale, 1 + settings.scale)))
    if settings.shear:
        chosen.append(augment.random_shear(settings.shear))
    if settings.color_jitter:
        chosen.append(augment.color_jitter(*[settings.color_jitter] * 3))
    if settings.rand_augment:
        chosen.append(augment.rand_augment(num_ops=settings.rand_augment))
    if settings.erasing:
        chosen.append(augment.random_erasing(settings.erasing))
    return augment.chain(*chosen) if chosen else None


def make_mix(settings: Augmentation, num_classes: int) -> Callable | None:
    """MixUp or CutMix; None if neither is chosen."""
    if settings.mixup and settings.cutmix:
        raise ValueError("choose one of mixup and cutmix")
    if settings.mixup:
        return functools.partial(data.augment.mixup, alpha=settings.mixup, num_classes=num_classes)
    if settings.cutmix:
        return functools.partial(
            data.augment.cutmix, alpha=settings.cutmix, num_classes=num_classes
        )
    return None
