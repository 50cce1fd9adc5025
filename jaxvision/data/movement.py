"""Moves the fields of an example with its image, one way per kind, on host and device."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped

from jaxvision._labels import IGNORED
from jaxvision.data.errors import DatasetError
from jaxvision.data.fields import Fields, valid_name

Array = Any
"""A NumPy array on the host, a JAX array on the device."""


@runtime_checkable
class Motion(Protocol):
    """A way to move the pixels of one image: a resize and crop, or a warp."""

    @property
    def old(self) -> tuple[int, int]:
        """Height and width of the original image."""
        ...

    @property
    def new(self) -> tuple[int, int]:
        """Height and width of the moved image."""
        ...

    def resample(
        self, pixels: Shaped[Array, "height width channels"], *, nearest: bool, fill: int | None
    ) -> Shaped[Array, "new_height new_width channels"]:
        """Moves pixels, keeping their type.

        Beyond the border is `fill`, or if it is None, the values beyond the border of the image.
        """
        ...

    def points(self, points: Shaped[Array, "... 2"]) -> Shaped[Array, "... 2"]:
        """Moves points `x, y`; pixel centers are at whole numbers."""
        ...


def move(
    example: Mapping[str, Any], fields: Fields, motion: Motion, *, mask_fill: int = IGNORED
) -> dict[str, Any]:
    """Moves all fields of one example that have positions in the image.

    A box becomes the box around its moved corners, clipped to the image. The field that `mark`
    names marks boxes without area, and points outside the image, as invalid. `mask_fill` is the
    class of mask pixels from beyond the border.
    """
    moved = dict(example)
    is_volume = "image" in fields and fields["image"].kind == "volume"
    for name, value in example.items():
        kind = fields[name].kind if name in fields else "number"
        if kind not in PLACED:
            continue
        # The slices of a volume's mask move as channels of one 2D mask.
        is_deep = kind == "mask" and is_volume
        flat = value.__array_namespace__().moveaxis(value, 0, -1) if is_deep else value
        if not _CHECKS[kind](flat.shape, motion.old):
            raise DatasetError(
                f"the field {name!r} of shape {tuple(value.shape)} cannot have the kind {kind} in "
                f"an image of {motion.old[0]}x{motion.old[1]}: declare another kind by "
                f"fields={{{name!r}: ...}}, or move it by a transform of your own"
            )
        if kind == "boxes":
            moved[name], inside = _boxes(value, motion)
            _and(moved, mark(name, kind), inside)
        elif kind == "points":
            moved[name] = motion.points(value).astype(_floating(value))
            _and(moved, mark(name, kind), _inside(moved[name], motion.new))
        else:
            moved[name] = _MAPS[kind](flat, motion, mask_fill)
        if is_deep:
            moved[name] = value.__array_namespace__().moveaxis(moved[name], -1, 0)
    return moved


def mark(name: str, kind: str) -> str:
    """Returns the field that says which boxes or points of another field are inside the image.

    Boxes use the field of `valid_name`, which their group shares; points have one of their own.

    >>> mark("objects/bbox", "boxes"), mark("objects/keypoints", "points")
    ('objects/valid', 'objects/keypoints_valid')
    """
    return valid_name(name) if kind == "boxes" else f"{name}_valid"


def _image(value: Array, motion: Motion, mask_fill: int) -> Array:
    del mask_fill
    return _map(value, motion, nearest=False, fill=None)


def _numbers(value: Array, motion: Motion, mask_fill: int) -> Array:
    del mask_fill
    return _map(value, motion, nearest=False, fill=0)


def _mask(value: Array, motion: Motion, mask_fill: int) -> Array:
    return _map(value, motion, nearest=True, fill=0 if value.dtype == bool else mask_fill)


def _map(value: Array, motion: Motion, *, nearest: bool, fill: int | None) -> Array:
    """Moves one map, or several along the last axis."""
    if value.ndim == 2:
        return motion.resample(value[..., None], nearest=nearest, fill=fill)[..., 0]
    return motion.resample(value, nearest=nearest, fill=fill)


def _instances(value: Array, motion: Motion, mask_fill: int) -> Array:
    del mask_fill
    xp = value.__array_namespace__()
    if not value.shape[0]:
        return xp.zeros((0, *motion.new), value.dtype)
    last = motion.resample(xp.moveaxis(value, 0, -1), nearest=True, fill=0)
    return xp.moveaxis(last, -1, 0)


def _volume(value: Array, motion: Motion, mask_fill: int) -> Array:
    del mask_fill
    xp = value.__array_namespace__()
    depth, height, width, channels = value.shape
    flat = xp.moveaxis(value, 0, 2).reshape(height, width, depth * channels)
    moved = motion.resample(flat, nearest=False, fill=None)
    return xp.moveaxis(moved.reshape(*motion.new, depth, channels), 2, 0)


def _boxes(value: Array, motion: Motion) -> tuple[Array, Array]:
    """Returns the boxes around the moved corners, clipped, and whether they have any area."""
    xp = value.__array_namespace__()
    # Corners lie on pixel edges, half a pixel before the centers.
    left, top, right, bottom = (value[..., index] for index in range(4))
    corners = xp.stack(
        [
            xp.stack(corner, axis=-1)
            for corner in ((left, top), (right, top), (left, bottom), (right, bottom))
        ]
    )
    moved = motion.points(corners - 0.5) + 0.5
    height, width = motion.new
    limit = xp.asarray([width, height], dtype=moved.dtype)
    least = xp.minimum(xp.maximum(moved.min(axis=0), 0), limit)
    most = xp.minimum(xp.maximum(moved.max(axis=0), 0), limit)
    boxes = xp.concatenate([least, most], axis=-1).astype(_floating(value))
    return boxes, (most > least).all(axis=-1)


def _floating(value: Array) -> Any:
    return value.dtype if value.dtype.kind == "f" else np.float32


def _inside(points: Array, size: tuple[int, int]) -> Array:
    x, y = points[..., 0], points[..., 1]
    return (x >= -0.5) & (x < size[1] - 0.5) & (y >= -0.5) & (y < size[0] - 0.5)


def _and(moved: dict[str, Any], name: str, valid: Array) -> None:
    moved[name] = moved[name] & valid if name in moved else valid


_MAPS = {
    "image": _image,
    "map": _numbers,
    "mask": _mask,
    "instances": _instances,
    "volume": _volume,
}
_CHECKS = {
    "image": lambda shape, size: len(shape) in (2, 3) and shape[:2] == size,
    "map": lambda shape, size: len(shape) in (2, 3) and shape[:2] == size,
    "mask": lambda shape, size: len(shape) in (2, 3) and shape[:2] == size,
    "instances": lambda shape, size: len(shape) == 3 and shape[1:] == size,
    "volume": lambda shape, size: len(shape) == 4 and shape[1:3] == size,
    "boxes": lambda shape, size: len(shape) >= 1 and shape[-1] == 4,
    "points": lambda shape, size: len(shape) >= 1 and shape[-1] == 2,
}
PLACED = frozenset(_CHECKS)
"""Kinds of fields that have positions in the image."""
