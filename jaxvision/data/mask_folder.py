"""Loading of images and masks from two folders."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from jaxvision._labels import IGNORED
from jaxvision._preprocessing import Preprocessing
from jaxvision.data.checks import different_names
from jaxvision.data.dataset import Dataset, from_source
from jaxvision.data.errors import DatasetError
from jaxvision.data.fields import Field
from jaxvision.data.folder_names import name_and_split
from jaxvision.data.image_files import find
from jaxvision.data.images import SixteenBit, decode_image
from jaxvision.data.mask_files import Classes, read_mask
from jaxvision.data.source import Corrupt, Example
from jaxvision.data.splits import read_slice
from jaxvision.folders import no_such_folder


@dataclasses.dataclass(frozen=True)
class MaskSource:
    """Image files and their mask files.

    Attributes:
        root: Folder of the images.
        files: Paths of the images and of their masks.
        channels: 1 for grayscale, 3 for RGB, 4 for RGBA.
        sixteen_bit: Conversion of 16-bit images to 8 bits; see `decode_image`.
        classes: Class of each mask value or color; None if the values are the classes.
        num_classes: Number of classes; None if unknown.
    """

    root: str
    files: tuple[tuple[str, str], ...]
    channels: int
    sixteen_bit: SixteenBit
    classes: Classes | None
    num_classes: int | None

    @property
    def file_names(self) -> tuple[str, ...]:
        """File names of the images, relative to the root."""
        return tuple(os.path.relpath(image, self.root) for image, _ in self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Example:
        image_path, mask_path = map(pathlib.Path, self.files[index])
        image = decode_image(image_path, channels=self.channels, sixteen_bit=self.sixteen_bit)
        mask = read_mask(mask_path, self.classes)
        if mask.shape != image.shape[:2]:
            raise DatasetError(
                f"{mask_path} is {mask.shape[0]}x{mask.shape[1]} pixels (height x width), and its "
                f"image {image_path} is {image.shape[0]}x{image.shape[1]}"
            )
        if self.num_classes is not None:
            _check_classes(mask, self.num_classes, mask_path)
        return {"image": image, "mask": mask}


def load_masks(
    images: str | pathlib.Path,
    masks: str | pathlib.Path,
    *,
    class_names: Sequence[str] | None = None,
    classes: Classes | None = None,
    mask_of: Callable[[str], str] | None = None,
    split: str = "all",
    image_size: int | tuple[int, int] | None = None,
    preprocessing: Preprocessing | None = None,
    channels: int = 3,
    sixteen_bit: SixteenBit = "high",
    transform: Callable[[Example], Example] | None = None,
    in_memory: bool | None = None,
    corrupt: Corrupt = "stop",
) -> Dataset:
    """Loads images and their masks from two folders: `images/a/1.jpg` goes with `masks/a/1.png`.

    The value of a gray pixel, or the palette index of a paletted one, is its class; 255 marks
    unlabeled pixels. `classes` translates other values, or colors.

    Args:
        images: Folder of the images, which may lie in sub-folders.
        masks: Folder of the masks, lossless files such as PNG.
        class_names: Class names in order. None leaves them, and their number, unknown.
        classes: Class of each gray value or palette index, such as `{0: 0, 128: 1}`, or of each
            color, such as `{(128, 64, 128): 0}`. Class 255 is ignored. A value that is missing here
            is an error.
        mask_of: Function from an image's path inside its folder, without suffix, to its mask's;
            None uses the same path.
        split: Name of the split. `all[:80%]` and `all[80%:]` take parts.
        image_size: Height and width of the images; see `load`. Masks are resized by nearest pixel.
        preprocessing: Resizing and cropping for pretrained weights; see `load`.
        channels: 1 for grayscale, 3 for RGB, 4 for RGBA.
        sixteen_bit: Conversion of 16-bit images to 8 bits; see `decode_image`.
        transform: Function applied to each example after resizing.
        in_memory: Whether to decode all images now; None does so if they fit in 2 GiB.
        corrupt: Whether an image that cannot be decoded raises (`"stop"`) or is skipped and counted
            (`"skip"`).

    Returns:
        The data set with the fields `image` and `mask`, named after the folder of the images; for
        `scans/images`, its name is `scans`.

    Raises:
        CorruptImageError: An image or mask cannot be decoded; the message names the file.
        DatasetError: A folder is missing, an image lacks a mask or a mask an image, their sizes
            differ, or a mask has a value that is not a class.
        SplitError: The part is empty.

    >>> import tempfile
    >>> from PIL import Image
    >>> folder = tempfile.TemporaryDirectory()
    >>> root = pathlib.Path(folder.name)
    >>> for name, mode in (("images", "RGB"), ("masks", "L")):
    ...     (root / name).mkdir()
    ...     Image.new(mode, (6, 4)).save(root / name / "1.png")
    >>> roads = load_masks(root / "images", root / "masks", class_names=["road", "sky"])
    >>> roads[0]["image"].shape, roads[0]["mask"].shape, roads.fields["mask"].names
    ((4, 6, 3), (4, 6), ('road', 'sky'))
    >>> folder.cleanup()
    """
    names = () if class_names is None else different_names(class_names)
    root = pathlib.Path(images).expanduser()
    pairs = _pairs(root, pathlib.Path(masks).expanduser(), mask_of)
    part = read_slice(split)
    if split != part.name:
        pairs = [pairs[index] for index in part.of(np.zeros(len(pairs), np.int64))]
    if classes is not None:
        _check_table(classes, len(names) or None)
    source = MaskSource(str(root), tuple(pairs), channels, sixteen_bit, classes, len(names) or None)
    name, called = name_and_split(root, split)
    return from_source(
        source,
        name=name,
        split=called,
        fields={"mask": Field("mask", names)},
        image_size=image_size,
        preprocessing=preprocessing,
        transform=transform,
        in_memory=in_memory,
        corrupt=corrupt,
    )


def _pairs(
    images: pathlib.Path, masks: pathlib.Path, mask_of: Callable[[str], str] | None
) -> list[tuple[str, str]]:
    """Returns the image files, sorted, each with its mask file."""
    for folder in (images, masks):
        if not folder.is_dir():
            raise DatasetError(no_such_folder(folder))
    named = _by_name(masks)
    pairs, missing = [], []
    for name, path in _by_name(images).items():
        wanted = name if mask_of is None else mask_of(name)
        if wanted in named:
            pairs.append((str(path), str(named.pop(wanted))))
        else:
            missing.append(f"{wanted} (of {path})")
    if missing or not pairs:
        raise DatasetError(
            f"{masks} has no mask called {missing[0]}, and {len(missing) - 1} more are missing"
            if missing
            else f"{images} has no image"
        )
    if named:
        raise DatasetError(
            f"{images} has no image for {next(iter(named.values()))}, and for {len(named) - 1} "
            f"more of {masks}"
        )
    return pairs


def _by_name(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns the image files by their path inside the folder, without suffix."""
    files: dict[str, pathlib.Path] = {}
    for path in find(folder, folder.parent).images:
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in files:
            raise DatasetError(f"{files[name]} and {path} have one name: remove one of them")
        files[name] = path
    return files


def _check_table(classes: Classes, num_classes: int | None) -> None:
    if not classes or len({isinstance(key, tuple) for key in classes}) > 1:
        raise ValueError("the keys of classes must be gray values or colors, one or more, not both")
    most = IGNORED if num_classes is None else num_classes
    for key, number in classes.items():
        if not (0 <= number < most or number == IGNORED):
            raise ValueError(
                f"classes gives {key} the class {number}, and classes are 0 to {most - 1}, or "
                f"{IGNORED} for none"
            )


def _check_classes(mask: np.ndarray, num_classes: int, path: pathlib.Path) -> None:
    wrong = (mask >= num_classes) & (mask != IGNORED)
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        raise DatasetError(
            f"{path} has the class {mask[row, column]} at row {row}, column {column}, and there "
            f"are {num_classes}: give classes={{value: class, ...}}, with {IGNORED} for none"
        )
