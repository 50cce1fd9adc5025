"""Settings of the random augmentation of training images."""

import dataclasses

from jaxvision import checks, data

_MOST_OPERATIONS = 10
_NOT_NEGATIVE = (
    "crop_padding",
    "rotation",
    "shear",
    "color_jitter",
    "rand_augment",
    "mixup",
    "cutmix",
)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random augmentation of training images, on the device. All of it is off by default."""

    flip: bool = False
    """Flip each image horizontally with probability 0.5."""
    vertical_flip: bool = False
    """Flip each image vertically with probability 0.5."""
    diagonal_flip: bool = False
    """Transpose each square image with probability 0.5. Together with --flip and --vertical-flip,
    this also gives rotations by multiples of 90 degrees."""
    crop_padding: int = 0
    """Pad each side by this many pixels, and crop a random window of the original size."""
    rotation: float = 0.0
    """Rotate by a random angle of up to this many degrees, in either direction."""
    translation: float = 0.0
    """Shift by up to this fraction of the height and width, in [0, 1]."""
    scale: float = 0.0
    """Enlarge or shrink by up to this fraction, in [0, 1): 0.1 scales by 0.9 to 1.1."""
    shear: float = 0.0
    """Shear horizontally by a random angle of up to this many degrees, in [0, 89]."""
    color_jitter: float = 0.0
    """Change brightness, contrast and saturation by up to this fraction: 0.4 multiplies by 0.6 to
    1.4."""
    rand_augment: int = 0
    """Number of RandAugment operations per image, at magnitude 9 of 30; 2 is usual, at most 10."""
    erasing: float = 0.0
    """Probability of erasing a random rectangle of an image (random erasing)."""
    mixup: float = 0.0
    """Parameter a of mixup, which averages pairs of images with shares drawn from Beta(a, a); 0.2
    is usual."""
    cutmix: float = 0.0
    """Parameter a of CutMix, which pastes a rectangle of another image, whose share of the area is
    drawn from Beta(a, a); 1 is usual."""

    def make(self, num_classes: int) -> data.augment.Augment | None:
        """Makes one function of all chosen augmentations; None if there are none."""
        for name in _NOT_NEGATIVE:
            checks.check_not_negative(name, getattr(self, name))
        for name in ("translation", "erasing"):
            checks.check_share(name, getattr(self, name))
        if not 0 <= self.scale < 1:
            raise ValueError(f"scale must be in [0, 1), got {self.scale}")
        if not self.shear <= 89:
            raise ValueError(f"shear must be in [0, 89] degrees, got {self.shear}")
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
