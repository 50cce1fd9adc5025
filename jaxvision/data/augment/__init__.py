"""Augmentation on the device: keyed, pure, compiled with the training step.

An augmentation is a function `augment(key, batch) -> batch`. Factories such as `random_flip` return
a `Transform`, which moves masks, boxes and points with their images, and also takes bare images:
`transform(key, images)`. Images are floating, with values in [0, 1]. `chain` joins augmentations,
`sometimes` applies one to some images, and `geometric` and `photometric` make custom transforms.
`mixup` and `cutmix` mix the rows of a batch and their labels. Functions of one image (`adjust_hue`,
`affine_warp`, ...) need no key.

Reproducibility: a compiled transform returns the same bits for the same key and images. What a row
draws does not depend on the size or the sharding of its batch. Copied pixels (flips, crops) then
agree to the last bit; computed values agree to float32 rounding, because XLA may fuse
multiplications and additions differently in each program.

Coordinates: pixel centers are at integers, x points right and y down; see `warp`.

>>> import jax, jax.numpy as jnp
>>> from jaxvision.data import augment
>>> transform = augment.chain(
...     augment.random_flip(),
...     augment.random_crop(padding=4),
...     augment.color_jitter(brightness=0.4, contrast=0.4),
... )
>>> images = jnp.zeros((16, 32, 32, 3))
>>> jax.jit(transform)(jax.random.key(0), images).shape
(16, 32, 32, 3)
"""

from jaxvision.data.augment.chaining import Chain, chain
from jaxvision.data.augment.color import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    color_jitter,
    random_grayscale,
    to_grayscale,
)
from jaxvision.data.augment.erasing import random_erasing
from jaxvision.data.augment.filters import (
    adjust_sharpness,
    gaussian_blur,
    random_gaussian_blur,
    random_gaussian_noise,
)
from jaxvision.data.augment.geometry import (
    centered,
    flip_horizontal,
    flip_vertical,
    random_crop,
    random_flip,
    random_resized_crop,
    random_rotation,
    random_scale,
    random_shear,
    random_translation,
    rotation_matrix,
    scaling_matrix,
    shear_matrix,
    translation_matrix,
)
from jaxvision.data.augment.mixing import Mixing, cutmix, mixup
from jaxvision.data.augment.policy import rand_augment
from jaxvision.data.augment.tone import autocontrast, equalize, invert, posterize, solarize
from jaxvision.data.augment.transform import (
    Augment,
    Transform,
    geometric,
    photometric,
    sometimes,
)
from jaxvision.data.augment.warp import Sampling, affine_warp, compose, warp_points

__all__ = [
    "Augment",
    "Chain",
    "Mixing",
    "Sampling",
    "Transform",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "affine_warp",
    "autocontrast",
    "centered",
    "chain",
    "color_jitter",
    "compose",
    "cutmix",
    "equalize",
    "flip_horizontal",
    "flip_vertical",
    "gaussian_blur",
    "geometric",
    "invert",
    "mixup",
    "photometric",
    "posterize",
    "rand_augment",
    "random_crop",
    "random_erasing",
    "random_flip",
    "random_gaussian_blur",
    "random_gaussian_noise",
    "random_grayscale",
    "random_resized_crop",
    "random_rotation",
    "random_scale",
    "random_shear",
    "random_translation",
    "rotation_matrix",
    "scaling_matrix",
    "shear_matrix",
    "solarize",
    "sometimes",
    "to_grayscale",
    "translation_matrix",
    "warp_points",
]
