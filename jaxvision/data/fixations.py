"""Synthetic fixations: where observers of a scene with known objects look."""

import dataclasses
import functools
import math
import zlib
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Num

from jaxvision.checks import check_count
from jaxvision.data.builders.scenes import Draws
from jaxvision.data.errors import DatasetError
from jaxvision.data.source import Example
from jaxvision.suggest import unknown

Image = Num[np.ndarray, "height width channels"]
Masks = Bool[np.ndarray, "objects height width"]
Density = Float32[np.ndarray, "height width"]


@dataclasses.dataclass(frozen=True)
class Observers:
    """A law of where people look in a scene, with a density in closed form.

    The density of fixations at a pixel x is a mixture with the shares 1 - `center` - `uniform`,
    `center` and `uniform`:

        p(x) = (1 - center - uniform) sum_k w_k N(x; m_k, S_k + s^2 I)
               + center N(x; m, S) + uniform / n

    - Objects: m_k and S_k are the mean and the covariance of the visible pixels of object k, and
      s is `spread` times the shorter side of the image.
    - Center: m is the center of the image, and S is diagonal with the standard deviations
      `center_spread` times the height and the width.
    - Uniform: n is the number of pixels.

    Each normal distribution N is evaluated at the centers of the pixels and divided by its sum over
    them. The weight of an object grows with its region contrast and with its area:
    w_k is proportional to `C_k^contrast_power area_k^size_power`. C_k is the distance between the
    mean color of the object and that of another region, averaged over the other objects and the
    background, in proportion to their areas. In a scene without objects, the other two parts share
    the fixations in proportion to their shares.

    Attributes:
        center: Share of the fixations that are drawn to the center of the image.
        uniform: Share of the fixations that are anywhere.
        contrast_power: Exponent of the contrast of an object.
        size_power: Exponent of the area of an object.
        spread: Standard deviation of the fixations about the pixels of an object, relative to the
            shorter side of the image; its square is added to the variances of the pixels.
        center_spread: Standard deviations of the center's part, relative to the height and width.

    Raises:
        ValueError: A number is negative or not finite, a spread is 0, or `center` and `uniform` add
            up to 0 or to more than 1.

    Reference: Cheng et al., Global contrast based salient region detection, CVPR 2011 (contrast of
    regions); Tatler, The central fixation bias in scene viewing, Journal of Vision 7, 2007.

    >>> masks = np.zeros((1, 9, 9), bool)
    >>> masks[0, 6:8, 6:8] = True
    >>> density = Observers().density(np.where(masks[0, ..., None], 1.0, 0.0), masks)
    >>> [int(place) for place in np.unravel_index(density.argmax(), (9, 9))], density.shape
    ([6, 6], (9, 9))
    """

    center: int | float = 0.15
    uniform: int | float = 0.1
    contrast_power: int | float = 2.0
    size_power: int | float = 0.5
    spread: int | float = 0.03
    center_spread: int | float = 0.25

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            least = "positive" if name.endswith("spread") else "not negative"
            if not (math.isfinite(value) and (value > 0 or (value == 0 and least != "positive"))):
                raise ValueError(f"{name} must be finite and {least}, got {value}")
        if not 0 < self.center + self.uniform <= 1:
            raise ValueError(
                "center and uniform are shares whose sum must be in (0, 1], got "
                f"{self.center} and {self.uniform}"
            )

    def density(self, image: Image, masks: Masks) -> Density:
        """Computes the density of fixations.

        Args:
            image: Pixels, integers from 0 to 255 or floats in [0, 1].
            masks: Visible pixels of each object; empty masks are padding.

        Returns:
            The density, with sum 1.

        Raises:
            ValueError: The masks have another size than the image.
        """
        size = image.shape[:2]
        if masks.shape[1:] != size:
            raise ValueError(
                f"masks must have the size of the image, {size}, and have {masks.shape[1:]}"
            )
        height, width = size
        middle = np.array([height - 1, width - 1]) / 2
        deviations = self.center_spread * np.array([height, width])
        total = self.center * _normal(size, middle, np.diag(deviations**2))
        total += self.uniform / (height * width)
        seen = [mask for mask in masks if mask.any()]
        if seen:
            share = 1 - self.center - self.uniform
            added = (self.spread * min(size)) ** 2 * np.eye(2)
            for weight, mask in zip(self.weights(image, np.stack(seen)), seen, strict=True):
                pixels = np.argwhere(mask)
                covariance = np.cov(pixels, rowvar=False, ddof=0) + added
                total += share * weight * _normal(size, pixels.mean(axis=0), covariance)
        return (total / total.sum()).astype(np.float32)

    def weights(self, image: Image, masks: Masks) -> Float64[np.ndarray, " objects"]:
        """Computes the share of each object in the fixations of objects; see the class.

        If no object has any contrast, all have the same weight.

        Args:
            image: Pixels, integers from 0 to 255 or floats in [0, 1].
            masks: Visible pixels of each object, none of them empty.

        >>> image = np.array([[[0.0], [0.0], [0.5], [1.0]]])
        >>> masks = np.array([[[False, False, True, False]], [[False, False, False, True]]])
        >>> Observers(contrast_power=1).weights(image, masks).round(3).tolist()
        [0.375, 0.625]
        """
        pixels = image / 255 if image.dtype.kind in "iu" else image.astype(np.float64)
        background = ~masks.any(axis=0)
        regions = [*masks, *([background] if background.any() else [])]
        areas = np.array([region.sum() for region in regions], np.float64)
        colors = np.stack([pixels[region].mean(axis=0) for region in regions])
        distances = np.linalg.norm(colors[:, None] - colors, axis=-1)
        others = areas.sum() - areas
        contrast = distances @ areas / np.where(others == 0, 1, others)
        weights: np.ndarray = contrast**self.contrast_power * areas**self.size_power
        weights = weights[: len(masks)]
        return weights / weights.sum() if weights.sum() > 0 else np.full(len(masks), 1 / len(masks))


def draw_fixations(
    density: Float[np.ndarray, "height width"], count: int, key: tuple[int, int]
) -> Float32[np.ndarray, "count 2"]:
    """Draws pixels that are fixated, independently, from a density.

    Args:
        density: Density of each pixel, not negative; it is divided by its sum.
        count: Number of fixations.
        key: Two whole numbers; different keys give independent fixations.

    Returns:
        Positions x, y of the centers of pixels; the center of the first pixel is (0, 0).

    Raises:
        ValueError: The density is negative, not finite or 0 everywhere, or `count` is below 1.

    >>> draw_fixations(np.array([[0.0, 0.0], [0.0, 1.0]]), 2, (0, 7)).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    check_count("count", count, of="fixations")
    sums = np.cumsum(density, dtype=np.float64)
    if not (np.isfinite(sums[-1]) and sums[-1] > 0 and (density >= 0).all()):
        raise ValueError(
            "density must be finite and not negative, and not 0 everywhere, got values from "
            f"{density.min()} to {density.max()}"
        )
    # The total is divided by itself and is exactly 1, above all drawn numbers.
    places = np.searchsorted(sums / sums[-1], Draws(*key).uniform(shape=(count,)), side="right")
    rows, columns = np.unravel_index(places, density.shape)
    return np.stack([columns, rows], axis=1).astype(np.float32)


def with_fixations(
    observers: Observers | None = None,
    *,
    count: int = 50,
    seed: int = 0,
    field: str = "objects/masks",
) -> Callable[[Example], Example]:
    """Makes a `transform` for `load` and its like that adds synthetic fixations to examples.

    The field `fixation_density` is the density of the observers, and `fixations` are positions x, y
    drawn from it. Both move with the image when it is augmented. The draws depend on `seed` and the
    pixels of the image: the image keeps its fixations in every subset and order of the data.

    Args:
        observers: Law of where people look; None takes `Observers()`.
        count: Number of fixations of each image.
        seed: Seed of the draws.
        field: Field with the masks of objects.

    Returns:
        A function from example to example, which raises a DatasetError if a field is missing.

    Raises:
        ValueError: `count` is below 1, or `seed` is negative.

    >>> transform = with_fixations(count=3)
    >>> example = {"image": np.zeros((4, 6, 3), np.uint8), "objects/masks": []}
    >>> changed = transform(example)
    >>> changed["fixation_density"].shape, changed["fixations"].shape
    ((4, 6), (3, 2))
    """
    check_count("count", count, of="fixations")
    check_count("seed", seed, least=0)
    chosen = Observers() if observers is None else observers
    return functools.partial(_add, observers=chosen, count=count, seed=seed, field=field)


def _add(example: Example, observers: Observers, count: int, seed: int, field: str) -> Example:
    for name in ("image", field):
        if name not in example:
            raise DatasetError(unknown("field", name, list(example)))
    image, masks = np.asarray(example["image"]), np.asarray(example[field], bool)
    if not masks.size:  # no objects: an empty list has no height and width
        masks = np.zeros((0, *image.shape[:2]), bool)
    density = observers.density(image, masks)
    fixations = draw_fixations(density, count, (seed, zlib.crc32(image.tobytes())))
    return {**example, "fixation_density": density, "fixations": fixations}


def _normal(
    size: tuple[int, int], mean: Float64[np.ndarray, "2"], covariance: Float64[np.ndarray, "2 2"]
) -> Float64[np.ndarray, "height width"]:
    """A normal distribution at the centers of pixels, divided by its sum."""
    down, right = np.arange(size[0])[:, None] - mean[0], np.arange(size[1]) - mean[1]
    (a, b), (_, c) = np.linalg.inv(covariance)
    squares = a * down**2 + 2 * b * down * right + c * right**2
    # The least is subtracted, so that a sharp one between pixels does not vanish.
    values: np.ndarray = np.exp(-(squares - squares.min()) / 2)
    return values / values.sum()
