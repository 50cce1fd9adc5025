"""Settings of data sets and folders of images."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Self

from common import script

import numpy as np
from PIL import Image

from jaxvision import data
from jaxvision.folders import nearest_folder, no_such_folder


@dataclasses.dataclass(frozen=True)
class Source:
    """What the settings of all kinds of data share."""

    dataset: str = "shapes"
    """Name of a data set of TensorFlow Datasets."""
    data_dir: str | None = None
    """Folder in which TensorFlow Datasets keeps its files; None takes the environment variable
    TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    train_split: str = "train"
    """Split to train on, such as train, or a slice such as train[:80%]."""
    eval_split: str = "test"
    """Split to evaluate on, during the training and at its end."""
    image_size: int | tuple[int, int] | None = None
    """Height and width, in pixels, to which images and masks are resized and cropped: one number
    for squares, or two. None keeps them as they are; all images must then have one size."""
    channels: Literal[1, 3, 4] | None = None
    """Channels to which images are converted: 1 (gray), 3 (RGB) or 4 (RGBA). None keeps those of a
    data set, and reads a folder as RGB."""
    corrupt: Literal["stop", "skip"] = "stop"
    """What to do about an image that cannot be decoded: stop, or skip it and count it."""
    num_workers: int = 0
    """Number of processes that read images, if these do not fit in memory; 0 uses threads."""


@dataclasses.dataclass(frozen=True)
class Data(Source):
    """The images to train and to evaluate on."""

    dataset: str = "digits"
    """Name of a data set of TensorFlow Datasets; or path of a folder, which must contain a slash,
    as in ./pets. The folder has one sub-folder of images per class, or one sub-folder per split,
    with one per class in each."""
    validation: float | None = None
    """Share of the training split, in (0, 1), to hold out and evaluate on instead of --eval-split,
    for data without such a split. It is drawn with the seed, and is the same in every class."""
    classes: tuple[str, ...] | None = None
    """Names of the classes to use, two or more; None uses all."""
    per_class: int | None = None
    """Number of training images of each class, drawn with the seed; None uses all."""
    image_size: int | tuple[int, int] | None = 32
    """Height and width, in pixels, to which images are resized and cropped: one number for squares,
    or two. None keeps images as they are, which must then have one size; in fine-tuning, it
    prepares them as for the model that it starts from."""
    channels: Literal[1, 3, 4] | None = None
    """Channels to which images are converted: 1 (gray), 3 (RGB) or 4 (RGBA). None keeps those of a
    data set, and reads a folder as RGB; in fine-tuning, as the images of the model that it starts
    from."""

    def located(self) -> Self:
        """Makes the path of a folder absolute, so that a run can be evaluated from anywhere.

        A name without a slash is never a folder: a folder of that name would hide the data set.
        """
        folder = pathlib.Path(self.dataset).expanduser()
        named = self.dataset.startswith((".", "~", "/"))
        if not (named or ("/" in self.dataset and folder.is_dir())):
            return self
        if not folder.is_dir():
            raise SystemExit(no_such_folder(self.dataset))
        return dataclasses.replace(self, dataset=str(folder.resolve()))

    def load(
        self,
        split: str,
        class_names: Sequence[str] | None = None,
        preprocessing: data.Preprocessing | None = None,
    ) -> data.Dataset:
        """Loads a split, whose classes must be `class_names` if they are given.

        With `preprocessing`, it replaces `image_size`.
        """
        dataset = self.located().dataset
        options: dict[str, Any] = {
            "image_size": self.image_size if preprocessing is None else None,
            "preprocessing": preprocessing,
            "corrupt": self.corrupt,
        }
        with script.checking(), or_folder(dataset):
            if dataset.startswith("/"):
                names = class_names if self.classes is None else None
                loaded = self._load_folder(dataset, split, names, options)
            else:
                transform = with_channels(image_and_label, self.channels)
                loaded = data.load(dataset, split, self.data_dir, transform=transform, **options)
            if self.classes is not None:
                if len(self.classes) < 2:
                    got = repr(self.classes[0]) if self.classes else "none"
                    raise ValueError(f"--classes needs two names or more, got {got}")
                loaded = data.subset(loaded, classes=self.classes)
        if class_names is not None and loaded.class_names != tuple(class_names):
            raise SystemExit(
                f"{dataset}/{split} has the classes {', '.join(loaded.class_names)}, and the model "
                f"tells {', '.join(class_names)} apart"
            )
        return loaded

    def _load_folder(
        self, folder: str, split: str, class_names: Sequence[str] | None, options: dict[str, Any]
    ) -> data.Dataset:
        """Loads a split of a folder of images."""
        return data.load_folder(
            folder, split=split, class_names=class_names, channels=self.channels or 3, **options
        )

    def few(self, dataset: data.Dataset, seed: int) -> data.Dataset:
        """The images of a data set that --per-class leaves, drawn with the seed."""
        if self.per_class is None:
            return dataset
        with script.checking():
            return data.subset(dataset, per_class=self.per_class, seed=seed)

    def refuse(self, usual: "Data", names: Sequence[str], why: str) -> None:
        """Ends the script if one of its settings, which the script does not use, is not usual."""
        for name in names:
            if getattr(self, name) != getattr(usual, name):
                raise SystemExit(f"leave out --{name.replace('_', '-')}: {why}")

    def load_train(self, seed: int) -> data.Dataset:
        """Loads the data to train on, without those that --validation holds out."""
        train_data = self.load(self.train_split)
        if self.validation is not None:
            train_data, _ = self.hold_out(train_data, seed)
        return self.few(train_data, seed)

    def load_splits(
        self, seed: int, preprocessing: data.Preprocessing | None = None
    ) -> tuple[data.Dataset, data.Dataset]:
        """Loads the data to train on and the data to evaluate on."""
        train_data = self.load(self.train_split, preprocessing=preprocessing)
        if self.validation is not None:
            train_data, eval_data = self.hold_out(train_data, seed)
        else:
            try:
                eval_data = self.load(self.eval_split, train_data.class_names, preprocessing)
            except data.SplitError as error:
                has, _, _ = str(error).partition("; give split")  # advice for calls in Python
                raise SystemExit(
                    f"{has}; hold out a fifth of {self.train_split} with --validation 0.2, or name "
                    "a split to evaluate on with --eval-split"
                ) from None
        return self.few(train_data, seed), eval_data

    def hold_out(self, train_data: data.Dataset, seed: int) -> tuple[data.Dataset, data.Dataset]:
        """Divides the training split into data to train on and data to evaluate on."""
        assert self.validation is not None
        try:
            return data.split(train_data, self.validation, seed=seed)
        except ValueError as error:
            raise SystemExit(f"--validation: {error}") from error


@dataclasses.dataclass(frozen=True)
class ImageData(Data):
    """The images to train and to evaluate on, which need no classes."""

    dataset: str = "digits"
    """Name of a data set of TensorFlow Datasets; or path of a folder, which must contain a slash,
    as in ./pets. The folder has images (without classes), one sub-folder of images per class, or
    one sub-folder per split, with images or classes in each."""

    def _load_folder(
        self, folder: str, split: str, class_names: Sequence[str] | None, options: dict[str, Any]
    ) -> data.Dataset:
        """Loads a split of a folder of images; without sub-folders, they have no classes."""
        name = split.partition("[")[0]
        place = pathlib.Path(folder, name)
        entries = (place if place.is_dir() else place.parent).iterdir()
        if any(entry.is_dir() and not entry.name.startswith(".") for entry in entries):
            return super()._load_folder(folder, split, class_names, options)
        return data.load_images(folder, split=split, channels=self.channels or 3, **options)


@contextlib.contextmanager
def or_folder(name: str) -> Iterator[None]:
    """Ends the script with the nearest folder, if there is no data set called `name`."""
    try:
        yield
    except (data.CorruptImageError, data.SplitError):
        raise
    except data.DatasetError as error:
        if name.startswith("/"):
            raise
        here = pathlib.Path(name)
        near = nearest_folder(here) if "/" in name else here if here.is_dir() else None
        if near is not None:
            raise SystemExit(f"{error}; did you mean the folder ./{near}?") from error
        if "/" in name and "configuration" not in str(error):
            raise SystemExit(no_such_folder(name, "data set or folder")) from error
        raise


def image_and_label(example: dict[str, Any]) -> dict[str, Any]:
    """The image and the label of an example, without boxes, masks and other fields."""
    return {name: example[name] for name in ("image", "label") if name in example}


Transform = Callable[[dict[str, Any]], dict[str, Any]]
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's modes, by the number of channels."""


def with_channels(transform: Transform, channels: int | None) -> Transform:
    """Makes a transform also convert images to a number of channels; None leaves it unchanged."""
    return transform if channels is None else functools.partial(_convert, transform, channels)


def _convert(transform: Transform, channels: int, example: dict[str, Any]) -> dict[str, Any]:
    changed = transform(example)
    image = changed.get("image")
    if image is None or image.shape[-1] == channels:
        return changed
    if image.ndim != 3 or image.dtype != np.uint8 or image.shape[-1] not in _MODES:
        raise SystemExit(
            f"--channels {channels} converts images of 8 bits with 1, 3 or 4 channels; the data "
            f"have {image.dtype} of shape {image.shape}"
        )
    pixels = image[..., 0] if image.shape[-1] == 1 else image
    converted = np.array(Image.fromarray(pixels).convert(_MODES[channels]))
    return {**changed, "image": converted.reshape(*image.shape[:2], channels)}
