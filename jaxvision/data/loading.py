"""Data sets by name."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from jaxvision._preprocessing import Preprocessing
from jaxvision.data.dataset import Dataset, from_source
from jaxvision.data.fields import Field, Kind
from jaxvision.data.source import Corrupt, Example
from jaxvision.data.tfds_source import open_tfds


def load(
    name: str,
    split: str,
    data_dir: str | pathlib.Path | None = None,
    *,
    config: Any = None,
    fields: Mapping[str, Field | Kind] | None = None,
    pad: Mapping[str, int] | None = None,
    image_size: int | tuple[int, int] | None = None,
    preprocessing: Preprocessing | None = None,
    transform: Callable[[Example], Example] | None = None,
    in_memory: bool | None = None,
    corrupt: Corrupt = "stop",
) -> Dataset:
    """Loads a split of a data set of TensorFlow Datasets, without TensorFlow.

    `digits`, 1,797 real handwritten digits, `shapes`, 5,000 rendered scenes, and `volumes`, 220
    rendered volumes, need no network.
    Any other name is read from `data_dir`, in its newest prepared version; where none is prepared,
    it is downloaded and prepared if possible.

    Args:
        name: `digits`, `shapes`, `volumes`, `mnist`, ...; `NAME/CONFIG:VERSION` works too.
        split: `train`, `test`, ...; slices such as `train[:80%]` work too.
        data_dir: Where prepared data sets lie; None is TFDS's default, `TFDS_DATA_DIR` or
            `~/tensorflow_datasets`.
        config: A configuration that has no name yet, such as `ShapesConfig(size=(96, 96))` of
            `data.builders.shapes` or a `VolumesConfig` of `data.builders.volumes`. Once prepared,
            the data set has that of `config.name`.
        fields: Fields or kinds by name, where neither TFDS nor the name says what they are; see
            `Kind`.
        pad: How many rows fields of objects are brought to, by the name of a field or of a group
            such as `objects`. `{"objects": 32}` makes `objects/bbox` of shape (32, 4), with zeros
            (-1 for labels) in rows that `objects/valid` excludes.
        image_size: Height and width to bring `image` to: resized until it covers it, then cut to
            the center. Fields that have a place in the image move with it: masks by nearest pixels,
            boxes and points with their coordinates, and `NAME_valid` or `GROUP/valid` says which of
            these are left. None needs images that are all of one size.
        preprocessing: Resizes and crops as weights need it (`models.load_pretrained`), instead. To
            normalize by its `mean` and `std` is left to the loss, which does so after augmentation.
        transform: Changes every example after that. It sees text too; features inside of others
            have the names of both, such as `objects/bbox`.
        in_memory: Whether to decode all examples now; None does if they fit in 2 GiB. What is not
            in memory is read by threads or worker processes.
        corrupt: `"stop"` at an image that cannot be decoded, or `"skip"` it with a count.

    Returns:
        The split. Boxes are in pixels, `x_min, y_min, x_max, y_max`. What is no array of numbers,
        such as text, is left out.

    Raises:
        DatasetError: There is no such data set, or it is not prepared and cannot be, or is stored
            in a form that needs TensorFlow; the message says what to run.
        SplitError: The data set has no such split.

    >>> digits = load("digits", "test")
    >>> digits
    Dataset(digits/test: 359 examples of 10 classes, image 8x8x1, in memory)
    """
    source, known = open_tfds(name, split, data_dir, config)
    return from_source(
        source,
        name=name if config is None else f"{name}/{config.name}",
        split=split,
        fields={**known, **(fields or {})},
        pad=pad,
        image_size=image_size,
        preprocessing=preprocessing,
        transform=transform,
        in_memory=in_memory,
        corrupt=corrupt,
    )
