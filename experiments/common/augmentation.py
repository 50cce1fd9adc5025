"""What the training scripts do to images at random, as settings."""

import dataclasses

from jaxvision import data

_MOST_OPERATIONS = 10


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done to training images at random, on the device; the default is nothing."""

    flip: bool = False
    """Mirror left and right, with probability one half."""
    vertical_flip: bool = False
    """Mirror top and bottom, with probability one half."""
    diagonal_flip: bool = False
    """Swap rows and columns of square images, with probability one half; with both other flips, it
    turns them by quarters too."""
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

    def make(self, num_classes: int) -> data.augment.Augment | None:
        """The chosen transforms and mixing, in one chain; None if there are none."""
        if self.mixup and self.cutmix:
            raise ValueError("choose one of mixup and cutmix")
        if self.rand_augment > _MOST_OPERATIONS:
            raise ValueError(
                f"rand_augment is a number of operations, at most {_MOST_OPERATIONS} (2 is usual), "
                f"got {self.rand_augment}; their strength is 9 of 30 here"
            )
        augment = data.augment
        chosen: list[data.augment.Augment] = []
        if self.flip:
            chosen.append(augment.random_flip())
        if self.vertical_flip:
            chosen.append(augment.random_flip(direction="vertical"))
        if self.diagonal_flip:
            chosen.append(augment.random_flip(direction="diagonal"))
        if self.crop_padding:
            chosen.append(augment.random_crop(padding=self.crop_padding))
        if self.rotation:
            chosen.append(augment.random_rotation(self.rotation))
        if self.translation:
            chosen.append(augment.random_translation(self.translation, self.translation))
        if self.scale:
            chosen.append(augment.random_scale((1 - self.scale, 1 + self.scale)))
        if self.shear:
            chosen.append(augment.random_shear(self.shear))
        if self.color_jitter:
            chosen.append(augment.color_jitter(*[self.color_jitter] * 3))
        if self.rand_augment:
            chosen.append(augment.rand_augment(num_ops=self.rand_augment))
        if self.erasing:
            chosen.append(augment.random_erasing(self.erasing))
        if self.mixup:
            chosen.append(augment.mixup(self.mixup, num_classes=num_classes))
        if self.cutmix:
            chosen.append(augment.cutmix(self.cutmix, num_classes=num_classes))
        return augment.chain(*chosen) if chosen else None
