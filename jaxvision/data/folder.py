"""Images in one folder per class."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from jaxvision._preprocessing import Preprocessing
from jaxvision.data.dataset import Dataset, from_source
from jaxvision.data.errors import DatasetError
from jaxvision.data.images import decode_image
from jaxvision.data.source import Corrupt, Example

SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclasses.dataclass(frozen=True)
class FolderSource:
    """Image files with the numbers of their classes.

    Attributes:
        files: Paths and labels.
        channels: 1 for grayscale, 3 for RGB, 4 for RGBA.
    """

    files: tuple[tuple[str, int], ...]
    channels: int

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Example:
        path, label = self.files[index]
        image = decode_image(pathlib.Path(path), channels=self.channels)
        return {"image": image, "label": np.asarray(label, np.int64)}


def load_folder(
    path: str | pathlib.Path,
    *,
    split: str = "all",
    class_names: Sequence[str] | None = None,
    image_size: int | tuple[int, int] | None = None,
    preprocessing: Preprocessing | None = None,
    channels: int = 3,
    transform: Callable[[Example], Example] | None = None,
    in_memory: bool | None = None,
    corrupt: Corrupt = "stop",
) -> Dataset:
    """Loads a folder that has one sub-folder of JPEG or PNG files per class.

    Args:
        path: The folder. Its sub-folders are the classes, those without images too. Files may lie
            deeper inside. Other files, and whatever begins with a dot, are passed over.
        split: What to call this part of the data.
        class_names: The names of the sub-folders in the order of the classes: give those of the
            training data (`Dataset.class_names`) to load a test folder, which may lack some. None
            takes all sub-folders, sorted by name.
        image_size: Height and width to bring the images to: resized until they cover it, then cut
            to the centre. None needs images that are all of one size.
        preprocessing: Resizes and crops as weights need it; see `load`.
        channels: 1 for grayscale, 3 for RGB, 4 for RGBA.
        transform: Changes every example after that.
        in_memory: Whether to decode all images now; None does if they fit in 2 GiB.
        corrupt: `"stop"` at an image that cannot be decoded, or `"skip"` it with a count.

    Returns:
        The data set; its name is the folder's.

    Raises:
        CorruptImageError: An image is truncated or none; the message names the file.
        DatasetError: The folder, classes or images are missing, or a sub-folder is none of
            `class_names`.
        OSError: A folder cannot be read.

    >>> import tempfile
    >>> from PIL import Image
    >>> folder = tempfile.TemporaryDirectory()
    >>> root = pathlib.Path(folder.name)
    >>> for kind in ("cat", "dog"):
    ...     (root / kind).mkdir()
    ...     Image.new("RGB", (6, 4)).save(root / kind / "1.png")
    >>> pets = load_folder(root, image_size=4)
    >>> len(pets), pets.class_names, pets.image_shape
    (2, ('cat', 'dog'), (4, 4, 3))
    >>> folder.cleanup()
    """
    root = pathlib.Path(path).expanduser()
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder")
    classes = sorted(
        entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )
    found = [folder.name for folder in classes]
    names = found if class_names is None else list(class_names)
    if strange := sorted(set(found) - set(names)):
        raise DatasetError(
            f"{root} has the sub-folders {', '.join(strange)}, which are none of the classes "
            f"{', '.join(names)}"
        )
    files = [
        (str(file), names.index(folder.name)) for folder in classes for file in _image_files(folder)
    ]
    if not files:
        raise DatasetError(
            f"{root} holds no images in class folders; expected {root}/CLASS/IMAGE with "
            f"{', '.join(SUFFIXES)} files, found {len(classes)} sub-folders and "
            f"{len(_image_files(root))} images"
        )
    return from_source(
        FolderSource(tuple(files), channels),
        name=root.resolve().name,
        split=split,
        class_names=names,
        image_size=image_size,
        preprocessing=preprocessing,
        transform=transform,
        in_memory=in_memory,
        corrupt=corrupt,
    )


def _image_files(folder: pathlib.Path) -> list[pathlib.Path]:
    files = []
    for parent, folders, names in os.walk(folder, onerror=_stop):
        folders[:] = [name for name in folders if not name.startswith(".")]  # os.walk reads it
        files += [
            pathlib.Path(parent, name)
            for name in names
            if name.lower().endswith(SUFFIXES) and not name.startswith(".")
        ]
    return sorted(files)


def _stop(error: OSError) -> None:
    raise error
