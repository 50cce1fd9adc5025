"""Loading of images in one folder per class."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int64

from jaxvision._preprocessing import Preprocessing
from jaxvision.data.checks import different_names
from jaxvision.data.class_folders import place_of_split, read_classes
from jaxvision.data.dataset import Dataset, from_source
from jaxvision.data.errors import DatasetError
from jaxvision.data.folder_names import name_and_split
from jaxvision.data.images import SixteenBit, decode_image
from jaxvision.data.source import Corrupt, Example
from jaxvision.data.splits import read_slice
from jaxvision.folders import no_such_folder


@dataclasses.dataclass(frozen=True)
class FolderSource:
    """Image files and their class indices.

    Attributes:
        root: Folder of the data set.
        files: Paths and labels.
        channels: 1 for grayscale, 3 for RGB, 4 for RGBA.
        sixteen_bit: Conversion of 16-bit pixels to 8 bits; see `decode_image`.
    """

    root: str
    files: tuple[tuple[str, int], ...]
    channels: int
    sixteen_bit: SixteenBit = "high"

    @property
    def known_labels(self) -> Int64[np.ndarray, " files"]:
        """Labels, known without reading a file."""
        return np.array([label for _, label in self.files], np.int64)

    @property
    def file_names(self) -> tuple[str, ...]:
        """File names relative to the root."""
        return tuple(os.path.relpath(path, self.root) for path, _ in self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Example:
        path, label = self.files[index]
        image = decode_image(
            pathlib.Path(path), channels=self.channels, sixteen_bit=self.sixteen_bit
        )
        return {"image": image, "label": np.asarray(label, np.int64)}


def load_folder(
    path: str | pathlib.Path,
    *,
    split: str = "all",
    class_names: Sequence[str] | None = None,
    image_size: int | tuple[int, int] | None = None,
    preprocessing: Preprocessing | None = None,
    channels: int = 3,
    sixteen_bit: SixteenBit = "high",
    transform: Callable[[Example], Example] | None = None,
    in_memory: bool | None = None,
    corrupt: Corrupt = "stop",
) -> Dataset:
    """Loads a folder of images that has one sub-folder per class, or one such folder per split.

    Images are files with the suffix of a format that Pillow decodes (`.jpg`, `.png`, `.webp`,
    `.tif` and so on), at any depth inside their class folder; links are followed. Warnings name
    what is left out (other files, images outside class folders, links that lead in a circle), and
    class folders without images, which stay classes. Names that begin with a dot, and system files
    such as `__MACOSX` and `Thumbs.db`, are ignored.

    The sub-folders are splits if all are called `train`, `val`, `test` or the like, or if the one
    that `split` names has sub-folders. Otherwise, or if all of them are in `class_names`, they are
    classes.

    Args:
        path: Folder to load.
        split: Sub-folder of the split; or, where the sub-folders are classes, `all`, `train` or the
            folder's own name. `train[:80%]`, `train[80%:]` and `all[:100]` take a part with about
            the same share of every class; `data.split` draws random parts.
        class_names: Class names in order; a class without a folder has no images. None takes the
            sorted sub-folders, those of the training split if there is one, so that all splits
            number their classes alike.
        image_size: Height and width. Images are resized until they cover this size, then
            center-cropped. None requires images of one size.
        preprocessing: Resizing and cropping for pretrained weights; see `load`.
        channels: 1 for grayscale, 3 for RGB, 4 for RGBA.
        sixteen_bit: Conversion of 16-bit pixels to 8 bits, `"high"` or `"range"`; see
            `decode_image`.
        transform: Function applied to each example after resizing.
        in_memory: Whether to decode all images now; None does so if they fit in 2 GiB.
        corrupt: Whether an image that cannot be decoded raises (`"stop"`) or is skipped and counted
            (`"skip"`).

    Returns:
        The data set, named after the folder; for `pets/test`, the name is `pets` and the split
        `test`. Its `file_names` are relative to the folder.

    Raises:
        CorruptImageError: An image cannot be decoded; the message names the file.
        DatasetError: The folder, classes or images are missing, or a sub-folder is not a class.
        OSError: A folder cannot be read.
        SplitError: The split does not exist, or the folder holds splits and none is named.
        ValueError: An option is out of range, or a class name is duplicated.

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
        raise DatasetError(no_such_folder(path))
    part = read_slice(split)
    given = None if class_names is None else different_names(class_names)
    place, known = place_of_split(root, part.name, given)
    names, files = read_classes(place, known)
    source = FolderSource(str(root), tuple(files), channels, sixteen_bit)
    if split != part.name:
        chosen = part.of(source.known_labels)
        source = dataclasses.replace(source, files=tuple(files[index] for index in chosen))
    name, called = name_and_split(root, split)
    return from_source(
        source,
        name=name,
        split=called,
        class_names=names,
        image_size=image_size,
        preprocessing=preprocessing,
        transform=transform,
        in_memory=in_memory,
        corrupt=corrupt,
    )
