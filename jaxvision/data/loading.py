"""Loading of data sets by name."""

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
    """Loads a split of a TensorFlow Datasets (TFDS) data set, without TensorFlow.

    `digits` (1,797 real handwritten digits), `shapes` (9,000 rendered scenes) and `volumes` (220
    rendered volumes) need no network. Any other name is read from `data_dir`, in its newest
    prepared version; if none is prepared, it is downloaded and prepared if possible.

    Args:
        name: Name such as `digits` or `mnist`; `NAME/CONFIG:VERSION` works too.
        split: Split such as `train` or `test`, or a slice such as `train[:80%]`.
        data_dir: Folder of prepared data sets; None is TFDS's default, `TFDS_DATA_DIR` or
            `~/tensorflow_datasets`.
        config: Configuration object, such as `ShapesConfig(size=(96, 96))` of
            `data.builders.shapes` or a `VolumesConfig` of `data.builders.volumes`. Once prepared,
            `NAME/CONFIG` with its `config.name` loads it too.
        fields: Fields or kinds by name, where neither TFDS nor the name tells the kind; see `Kind`.
        pad: Number of rows to pad fields of objects to, by the name of a field or of a group such
            as `objects`. `{"objects": 32}` makes `objects/bbox` of shape (32, 4); the rows that
            `objects/valid` excludes are zeros (-1 for labels).
        image_size: Height and width of `image`, which is resized until it covers them, then
            center-cropped. Masks (by nearest pixels), boxes and points move with it, and
            `NAME_valid` or `GROUP/valid` says which boxes and points stay inside. None requires
            images of one size.
        preprocessing: Resizing and cropping for pretrained weights (`models.load_pretrained`),
            instead of `image_size`. Its `mean` and `std` are for the loss, which normalizes after
            augmentation.
        transform: Function applied to each example after resizing. It sees text too; nested
            features have joined names such as `objects/bbox`.
        in_memory: Whether to decode all examples now; None does so if they fit in 2 GiB. Otherwise
            threads or worker processes read them when needed.
        corrupt: Whether an image that cannot be decoded raises (`"stop"`) or is skipped and counted
            (`"skip"`).

    Returns:
        The split. Boxes are `x_min, y_min, x_max, y_max` in pixels. Values that are not numeric
        arrays, such as text, are dropped.

    Raises:
        DatasetError: The data set does not exist, is not prepared and cannot be, or is stored in a
            form that needs TensorFlow; the message says what to run.
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
