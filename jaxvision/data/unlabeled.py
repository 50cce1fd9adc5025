"""Loading of images without labels."""

import dataclasses
import os
import pathlib
from collections.abc import Callable

import numpy as np

from jaxvision._preprocessing import Preprocessing
from jaxvision.data.dataset import Dataset, from_source
from jaxvision.data.errors import DatasetError, SplitError
from jaxvision.data.folder_names import name_and_split
from jaxvision.data.image_files import find_images, sub_folders
from jaxvision.data.images import decode_image
from jaxvision.data.source import Corrupt, Example
from jaxvision.data.splits import read_slice
from jaxvision.folders import no_such_folder
from jaxvision.suggest import unknown


@dataclasses.dataclass(frozen=True)
class ImageSource:
    """Image files.

    Attributes:
        root: Folder of the data set.
        files: Paths.
        channels: 1 for grayscale, 3 for RGB, 4 for RGBA.
    """

    root: str
    files: tuple[str, ...]
    channels: int

    @property
    def file_names(self) -> tuple[str, ...]:
        """File names relative to the root."""
        return tuple(os.path.relpath(path, self.root) for path in self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Example:
        return {"image": decode_image(pathlib.Path(self.files[index]), channels=self.channels)}


def load_images(
    path: str | pathlib.Path,
    *,
    split: str = "all",
    image_size: int | tuple[int, int] | None = None,
    preprocessing: Preprocessing | None = None,
    channels: int = 3,
    transform: Callable[[Example], Example] | None = None,
    in_memory: bool | None = None,
    corrupt: Corrupt = "stop",
) -> Dataset:
    """Loads all images of a folder, at any depth, without labels.

    Args:
        path: Folder to load.
        split: Name of a sub-folder, whose images are loaded; or `all`, `train` or the folder's own
            name, if there is no such sub-folder. `all[:80%]` takes a part; `data.split` draws one.
        image_size: Height and width; see `load_folder`.
        preprocessing: Resizing and cropping for pretrained weights; see `load`.
        channels: 1 for grayscale, 3 for RGB, 4 for RGBA.
        transform: Function applied to each example after resizing.
        in_memory: Whether to decode all images now; None does so if they fit in 2 GiB.
        corrupt: Whether an image that cannot be decoded raises (`"stop"`) or is skipped and counted
            (`"skip"`).

    Returns:
        The data set, named after the folder; its examples have an `image` only.

    Raises:
        CorruptImageError: An image cannot be decoded; the message names the file.
        DatasetError: The folder or its images are missing.
        SplitError: The split does not exist.
        ValueError: An option is out of range.

    >>> import tempfile
    >>> from PIL import Image
    >>> folder = tempfile.TemporaryDirectory()
    >>> for number in range(3):
    ...     Image.new("RGB", (6, 4)).save(pathlib.Path(folder.name) / f"{number}.png")
    >>> photos = load_images(folder.name, image_size=4)
    >>> len(photos), photos.num_classes, list(photos[0])
    (3, 0, ['image'])
    >>> folder.cleanup()
    """
    root = pathlib.Path(path).expanduser()
    if not root.is_dir():
        raise DatasetError(no_such_folder(path))
    part = read_slice(split)
    folders = {folder.name: folder for folder in sub_folders(root)}
    whole = ("all", "train", root.resolve().name)
    if part.name not in folders and part.name not in whole:
        raise SplitError(unknown(f"{root.resolve().name} split", part.name, [*folders, "all"]))
    place = folders.get(part.name, root)
    files = [str(file) for file in find_images(place)]
    if not files:
        raise DatasetError(
            f"{place} holds no images: files with a suffix such as .jpg, .png, .webp or .tif"
        )
    chosen = part.of(np.zeros(len(files), np.int64))
    name, called = name_and_split(root, split)
    return from_source(
        ImageSource(str(root), tuple(files[index] for index in chosen), channels),
        name=name,
        split=called,
        image_size=image_size,
        preprocessing=preprocessing,
        transform=transform,
        in_memory=in_memory,
        corrupt=corrupt,
    )
