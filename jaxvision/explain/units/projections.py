"""What in a patch makes a unit respond: projections by a deconvolutional network."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32

from jaxvision.explain.receptive_field import FieldGrid
from jaxvision.explain.rules import deconvnet
from jaxvision.explain.units.patches import Patches, cropped


def project_patches(
    f: Any,
    images: Any,
    patches: Patches,
    grid: FieldGrid,
    *,
    channels: Sequence[int] | None = None,
) -> Float32[np.ndarray, "channels count height width image_channels"]:
    """Projects the responses of units back to the pixels that they see.

    The map is set to 0 but for the response of the unit, and passed back to the images: through the
    transposed filters, through poolings to the place of the largest number, and through the ReLUs,
    which are applied to what is passed back.

    Args:
        f: Function from a batch of images to maps, as for `strongest_patches`.
        images: The images that were read there, which are indexed by their number: an array, or a
            sequence of arrays or of dicts with `image`, such as a data set. Integers from 0 to
            255 are scaled to [0, 1] first.
        patches: Patches of that function.
        grid: Fields of the units.
        channels: Channels of the map that the patches are of; None means all.

    Returns:
        The projection of each patch; 0 for rows that the data set could not fill.

    Raises:
        ExplainError: A loop or condition of unknown length or outcome has a ReLU.
        ValueError: The number of channels is not that of the patches.

    Reference: Zeiler & Fergus, Visualizing and understanding convolutional networks, ECCV 2014,
    arXiv:1311.2901.

    >>> from jaxvision.explain.units.patches import strongest_patches
    >>> f, images = lambda x: jax.nn.relu(-2 * x), np.float32([[[[0], [-1]], [[-2], [-3]]]])
    >>> grid = FieldGrid(size=(1, 1), stride=(1, 1), start=(0, 0))
    >>> found = strongest_patches(f, [images], grid, count=1)
    >>> found.responses.item(), project_patches(f, images, found, grid).item()
    (6.0, -12.0)
    """
    numbers = [*range(len(patches.responses))] if channels is None else [*channels]
    if len(numbers) != len(patches.responses):
        raise ValueError(
            f"channels must name those of the patches, {len(patches.responses)}, got {len(numbers)}"
        )
    project = jax.jit(lambda *given: _project(f, *given))
    found = np.zeros(patches.images.shape, np.float32)
    for row, channel in enumerate(numbers):
        real = patches.indices[row] >= 0
        if not real.any():
            continue
        # Rows without a patch repeat the first one, so that all channels have one program.
        indices = np.where(real, patches.indices[row], patches.indices[row][0])
        units = np.where(real[:, None], patches.units[row], patches.units[row][0])
        whole = np.stack([_image(images[int(index)]) for index in indices])
        back = np.asarray(project(whole, units, channel, patches.responses[row]))
        for place in np.flatnonzero(real):
            found[row, place] = cropped(back[place], grid.box(*map(int, units[place])))
    return found


def _project(f: Any, images: Array, units: Array, channel: Array, responses: Array) -> Array:
    rows = jnp.arange(len(images))
    found = deconvnet(f, images, lambda maps: maps[rows, units[:, 0], units[:, 1], channel])
    return found.map * responses[:, None, None, None]


def _image(example: Any) -> np.ndarray:
    image = np.asarray(example["image"] if isinstance(example, Mapping) else example)
    return image.astype(np.float32) / 255 if image.dtype == np.uint8 else image.astype(np.float32)
