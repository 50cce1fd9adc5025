"""Preprocessing of images for pretrained weights, as data.

It is stored with weights (`models`) and applied to images (`data`); neither imports the other.
"""

import dataclasses
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Preprocessing that turns an image into the input of a model.

    The image is resized to cover `size / crop`, center-cropped to `size`, scaled to [0, 1], and
    normalized.

    Attributes:
        size: Height and width; one number is both.
        crop: Side of the center crop relative to the resized image, in (0, 1].
        interpolation: Interpolation of the resizing, with antialiasing when shrinking.
        squash: Whether to resize without keeping the aspect ratio.
        mean: Mean, subtracted from images in [0, 1]; one number, or one per channel.
        std: Standard deviation, which then divides them; one number, or one per channel.

    Raises:
        ValueError: A value is out of range.

    >>> Preprocessing(size=224, crop=0.875).size
    (224, 224)
    """

    size: tuple[int, int]
    crop: float = 1.0
    interpolation: str = "bilinear"
    squash: bool = False
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __init__(
        self,
        size: int | Sequence[int],
        crop: float = 1.0,
        interpolation: str = "bilinear",
        squash: bool = False,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
    ) -> None:
        given: Any = size
        pair = (given, given) if isinstance(given, numbers.Real) else tuple(given)
        if len(pair) != 2 or not all(isinstance(n, numbers.Integral) and int(n) > 0 for n in pair):
            raise ValueError(
                f"size must be (height, width), both whole numbers above 0, got {pair}"
            )
        if not 0 < crop <= 1:
            raise ValueError(f"crop must be above 0 and at most 1, got {crop}")
        if interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"interpolation must be one of {', '.join(INTERPOLATIONS)}, got {interpolation!r}"
            )
        check_mean_and_std(mean, std)
        for name, value in (
            ("size", (int(pair[0]), int(pair[1]))),
            ("crop", float(crop)),
            ("interpolation", interpolation),
            ("squash", squash),
            ("mean", tuple(float(number) for number in mean)),
            ("std", tuple(float(number) for number in std)),
        ):
            object.__setattr__(self, name, value)

    def for_channels(self, channels: int) -> "Preprocessing":
        """The same for images of `channels` channels: averages a mean or std that does not fit.

        >>> Preprocessing(224, mean=(0.25, 0.5, 0.75)).for_channels(1).mean
        (0.5,)
        """
        mean, std = (
            values if len(values) in (1, channels) else (sum(values) / len(values),)
            for values in (self.mean, self.std)
        )
        return dataclasses.replace(self, mean=mean, std=std)

    def describe(self) -> dict[str, Any]:
        """JSON-able options: `Preprocessing(**p.describe()) == p`."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }


def check_mean_and_std(mean: Sequence[float], std: Sequence[float]) -> None:
    """Raises a ValueError unless means are finite, and deviations finite and positive.

    >>> check_mean_and_std([0.5], [0.0])
    Traceback (most recent call last):
    ValueError: std must be finite numbers above 0, got (0.0,)
    """
    if len(mean) == 0 or not all(math.isfinite(number) for number in mean):
        raise ValueError(f"mean must be finite numbers, got {tuple(mean)}")
    if len(std) == 0 or not all(0 < number < math.inf for number in std):
        raise ValueError(f"std must be finite numbers above 0, got {tuple(std)}")


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
IMAGENET = Preprocessing(224, crop=0.875, mean=IMAGENET_MEAN, std=IMAGENET_STD)
"""Preprocessing of most original weights of torchvision."""


MAX_SIZE = 4096
"""Largest height or width accepted from a configuration."""


def from_timm(config: Mapping[str, Any]) -> Preprocessing:
    """Reads the `pretrained_cfg` of timm's `config.json`; raises a ValueError for invalid values.

    The size is that of the training, not a larger `test_input_size`, as in timm's own
    `resolve_model_data_config`.

    >>> from_timm({"input_size": [3, 224, 224], "crop_pct": 0.95, "interpolation": "bicubic",
    ...            "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}).crop
    0.95
    """
    size: Any = config.get("input_size")
    if not _are_numbers(size, int) or len(size) != 3 or not 0 < min(size) <= max(size) <= MAX_SIZE:
        raise ValueError(
            "input_size must be [channels, height, width], whole numbers from 1 to "
            f"{MAX_SIZE}, got {_shown(size)}"
        )
    mode = config.get("crop_mode") or "center"
    if mode not in ("center", "squash"):
        raise ValueError(f"crop_mode must be 'center' or 'squash', got {_shown(mode)}")
    mean = config.get("mean") or IMAGENET_MEAN
    std = config.get("std") or IMAGENET_STD
    for name, values in (("mean", mean), ("std", std)):
        if not _are_numbers(values, int, float) or len(values) not in (1, size[0]):
            raise ValueError(
                f"{name} must be one number, or one for each of {size[0]} channels, got "
                f"{_shown(values)}"
            )
    crop = config.get("crop_pct") or 0.875
    if not _are_numbers([crop], int, float):
        raise ValueError(f"crop_pct must be a number, got {_shown(crop)}")
    interpolation = config.get("interpolation") or "bilinear"
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"interpolation must be one of {', '.join(INTERPOLATIONS)}, got {_shown(interpolation)}"
        )
    return Preprocessing(
        size=size[1:],
        crop=float(crop),
        interpolation=interpolation,
        squash=mode == "squash",
        mean=[float(number) for number in mean],
        std=[float(number) for number in std],
    )


def _are_numbers(values: Any, *kinds: type) -> bool:
    """Whether these are finite numbers of the given types, and at least one."""
    return (
        isinstance(values, list | tuple)
        and len(values) > 0
        and all(type(value) in kinds and math.isfinite(value) for value in values)
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
