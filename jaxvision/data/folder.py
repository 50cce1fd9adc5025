"""Images in one folder per class."""

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


@dataclasses.dataclass(frozen=True)
class FolderSource:
    """Image files with the numbers of their classes.

    Attributes:
        root: The folder of the data set.
        files: Paths and labels.
        channels: 1 for grayscale, 3 for RGB, 4 for RGBA.
        sixteen_bit: How 16 bits become 8; see `decode_image`.
    """

    root: str
    files: tuple[tuple[str, int], ...]
    channels: int
    sixteen_bit: SixteenBit = "high"

    @property
    def known_labels(self) -> Int64[np.ndarray, " files"]:
        """The labels, without reading a file."""
        return np.array([label for _, label in self.files], np.int64)

    @property
    def file_names(self) -> tuple[str, ...]:
        """The names of the files, relative to the root."""
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
    """Loads a folder that has one sub-folder of images per class, or such a folder per split.

    An image is a file with the suffix of a format that Pillow decodes (`.jpg`, `.png`, `.webp`,
    `.tif` and so on). It may lie deeper inside the folder of its class, and links are followed. A
    warning names what is left out: other files, images outside of class folders, links to folders
    that lead in a circle, and class folders without an image, whose classes stay. What begins with
    a dot, and leftovers of systems such as `__MACOSX` and `Thumbs.db`, are passed over.

    The folder holds splits where all its sub-folders are called `train`, `val`, `test` or the like,
    or where the one that `split` names has sub-folders. Else, or if they all are among
    `class_names`, its sub-folders are classes.

    Args:
        path: The folder.
        split: The sub-folder of a split. Where the sub-folders are classes, all images are `all` or
            `train`, or what the folder itself is called. `train[:80%]`, `train[80%:]` and
            `all[:100]` take a part, which has of every class about what it has of the whole;
            `data.split` draws other parts, by a seed.
        class_names: The names of the classes in their order; those that have no folder here stay
            without images. None takes the sub-folders, sorted by name: those of the training split
            if there is one, so that all splits number their classes alike.
        image_size: Height and width to bring the images to: resized until they cover it, then cut
            to the center. None needs images that are all of one size.
        preprocessing: Resizes and crops as weights need it; see `load`.
        channels: 1 for grayscale, 3 for RGB, 4 for RGBA.
        sixteen_bit: How 16 bits become 8: `"high"` or `"range"`; see `decode_image`.
        transform: Changes every example after that.
        in_memory: Whether to decode all images now; None does if they fit in 2 GiB.
        corrupt: `"stop"` at an image that cannot be decoded, or `"skip"` it with a count.

    Returns:
        The data set. It is called as the folder is; `pets/test` as `pets`, and its part `test`. Its
        `file_names` are relative to the folder.

    Raises:
        CorruptImageError: An image is truncated or none; the message names the file.
        DatasetError: The folder, classes or images are missing, or a sub-folder is none of the
            classes.
        OSError: A folder cannot be read.
        SplitError: There is no such split, or the folder holds splits and none is named.
        ValueError: An option is out of range, or a class name is there twice.

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
