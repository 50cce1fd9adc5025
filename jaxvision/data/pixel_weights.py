"""U-Net's pixel weights, which are high where two objects nearly touch."""

import functools
import math
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool, Float32, Integer

from jaxvision._labels import IGNORED
from jaxvision.data.errors import DatasetError
from jaxvision.data.source import Example
from jaxvision.suggest import unknown

Mask = Integer[np.ndarray, "height width"] | Bool[np.ndarray, "height width"]


def boundary_weights(
    masks: Bool[np.ndarray, "objects height width"] | Mask,
    *,
    w0: int | float = 10.0,
    sigma: int | float = 5.0,
    class_balance: bool = True,
) -> Float32[np.ndarray, "height width"]:
    """Computes U-Net's weight map, `w_c(x) + w0 exp(-(d1(x) + d2(x))**2 / (2 sigma**2))`.

    d1 is the distance in pixels from the center of pixel x to that of the nearest pixel of any
    object, and d2 the same for the second nearest object. Only background pixels have the second
    term, and with fewer than two objects it is 0: the paper writes the term for every pixel, but
    motivates it by the thin background between touching cells, and does not define it inside a
    cell.

    The paper only says that w_c balances the class frequencies. Here it is `n / (k n_c)`, where the
    image has n pixels and k classes, and n_c pixels have the class of x; its mean is 1.

    Args:
        masks: One mask per object, where empty masks are padding and the classes are background and
            foreground. Or the class of each pixel, 0 for the background, where an object is a set
            of pixels of one class connected along rows and columns. Pixels with 255 or a negative
            class get a weight of 0.
        w0: Largest weight that a border adds; not negative.
        sigma: Width of a border, in pixels.
        class_balance: Whether w_c balances the classes; otherwise it is 1.

    Returns:
        Weight of each pixel.

    Raises:
        ValueError: The masks have another shape or type, or `w0` or `sigma` is out of range.

    Reference: Ronneberger et al., U-Net: convolutional networks for biomedical image segmentation,
    MICCAI 2015, arXiv:1505.04597, equation 2.

    >>> mask = np.array([[1, 1, 0, 2, 2]])
    >>> boundary_weights(mask, sigma=1, class_balance=False).astype(float).round(2).tolist()
    [[1.0, 1.0, 2.35, 1.0, 1.0]]
    """
    if not (w0 >= 0 and math.isfinite(w0)):
        raise ValueError(f"w0 must be finite and not negative, got {w0}")
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, got {sigma}")
    classes, objects = _objects(masks)
    known = (classes >= 0) & (classes != IGNORED)
    weights = known.astype(np.float64)
    if class_balance:
        _, index, counts = np.unique(classes[known], return_inverse=True, return_counts=True)
        weights[known] = known.sum() / (len(counts) * counts[index])
    first = second = np.full(classes.shape, np.inf)
    for mask in objects:
        distance = _distance(mask)
        second = np.minimum(second, np.maximum(first, distance))
        first = np.minimum(first, distance)
    border = w0 * np.exp(-((first + second) ** 2) / (2 * sigma**2))
    return (weights + np.where(classes == 0, border, 0)).astype(np.float32)


def with_boundary_weights(
    field: str = "mask",
    *,
    w0: int | float = 10.0,
    sigma: int | float = 5.0,
    class_balance: bool = True,
) -> Callable[[Example], Example]:
    """Makes a `transform` for `load` and its like that adds the field `pixel_weight` to examples.

    That field moves with the image when it is augmented, and is 0 beyond the border.

    Args:
        field: Mask, or masks of objects, that `boundary_weights` takes.
        w0: Largest weight that a border adds.
        sigma: Width of a border, in pixels.
        class_balance: Whether the classes are balanced.

    Returns:
        A function from example to example, which raises a DatasetError if the field is missing.

    >>> transform = with_boundary_weights(class_balance=False)
    >>> transform({"mask": np.array([[0, 1, 255]])})["pixel_weight"].tolist()
    [[1.0, 1.0, 0.0]]
    """
    options = {"w0": w0, "sigma": sigma, "class_balance": class_balance}
    return functools.partial(_add, field=field, options=options)


def _add(example: Example, field: str, options: dict[str, int | float | bool]) -> Example:
    if field not in example:
        raise DatasetError(unknown("field", field, list(example)))
    weights = boundary_weights(np.asarray(example[field]), **options)  # type: ignore[arg-type]
    return {**example, "pixel_weight": weights}


def _objects(
    masks: Bool[np.ndarray, "objects height width"] | Mask,
) -> tuple[Mask, Iterator[Bool[np.ndarray, "height width"]]]:
    """Returns the class of each pixel, and the mask of each object."""
    if masks.ndim == 3 and masks.dtype == bool:
        classes = np.any(masks, axis=0).astype(np.int32)
        return classes, (mask for mask in masks if mask.any())
    if masks.ndim == 2 and masks.dtype.kind in "biu":
        return masks.astype(np.int32), _components(masks.astype(np.int32))
    raise ValueError(
        "masks must be bool of shape (objects, height, width), or classes, integer or bool, of "
        f"shape (height, width); got {masks.dtype} of shape {masks.shape}"
    )


def _components(classes: Mask) -> Iterator[Bool[np.ndarray, "height width"]]:
    from scipy import ndimage

    for index in np.unique(classes):
        if index > 0 and index != IGNORED:
            numbers, count = ndimage.label(classes == index)
            yield from (numbers == number for number in range(1, count + 1))


def _distance(mask: Bool[np.ndarray, "height width"]) -> np.ndarray:
    from scipy import ndimage

    distance: np.ndarray = ndimage.distance_transform_edt(~mask)
    return distance
