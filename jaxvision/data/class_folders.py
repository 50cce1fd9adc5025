"""Finds splits, classes and images in a folder."""

import collections
import os
import pathlib
import warnings
from collections.abc import Collection, Sequence

from jaxvision.data.errors import DatasetError, SplitError
from jaxvision.data.image_files import Found, around, find, find_loose, sub_folders
from jaxvision.suggest import unknown

TRAINING = ("train", "training")
SPLITS = (*TRAINING, "val", "valid", "validation", "test", "testing", "dev")
"""Lower-case names of folders that hold splits."""


def place_of_split(
    root: pathlib.Path, split: str, class_names: Sequence[str] | None
) -> tuple[pathlib.Path, Sequence[str] | None]:
    """Finds the folder whose sub-folders are the classes of a split, and the names of the classes.

    Without `class_names`, the names are the sub-folders of the training split; None if there is
    none.
    """
    own = root.resolve().name
    folders = {folder.name: folder for folder in sub_folders(root)}
    are_classes = class_names is not None and set(folders) <= set(class_names)
    if are_classes or not _are_splits(folders, split):
        if folders and split.lower() not in ("all", "train", own.lower()):
            raise SplitError(
                f"{root} has no split {split!r}: its sub-folders are the classes "
                f"{_first(folders)}, whose images are split='all'; give split='all[:80%]' for a "
                "part of them, or draw one by data.split"
            )
        return root, class_names
    if split == "all":
        raise SplitError(
            f"{root} holds the splits {_first(folders)}; name one: split={next(iter(folders))!r}"
        )
    if split not in folders:
        raise SplitError(unknown(f"{own} split", split, folders))
    if class_names is None:
        for name, folder in folders.items():
            if name.lower() in TRAINING:
                return folders[split], [found.name for found in sub_folders(folder)]
    return folders[split], class_names


def read_classes(
    place: pathlib.Path, class_names: Sequence[str] | None
) -> tuple[Sequence[str], list[tuple[str, int]]]:
    """Returns the class names, and the image files with their class indices.

    Warns about files and links that are left out, and about classes without images.
    """
    loose, outside = find_loose(place), around(place)
    folders = sub_folders(place)
    circles = [folder for folder in folders if os.path.realpath(folder) in outside]
    found = {folder.name: find(folder, place) for folder in folders if folder not in circles}
    names = list(found) if class_names is None else class_names
    if strange := [name for name in found if name not in names]:
        raise DatasetError(
            f"{place} has the sub-folders {', '.join(strange)}, which are not among the classes "
            f"{', '.join(names)}"
        )
    numbers = {name: number for number, name in enumerate(names)}
    files = [(str(file), numbers[name]) for name in found for file in found[name].images]
    left_out = _left_out(place, list(found.values()), loose, circles)
    if not files:
        raise DatasetError(
            f"{place} holds no images in class folders; expected {place}/CLASS/IMAGE, where an "
            f"image has a suffix such as .jpg, .png, .webp or .tif; found {len(found)} sub-folders "
            f"and {len(loose.images)} images" + "".join(f"; left out: {text}" for text in left_out)
        )
    for text in left_out:
        warnings.warn(f"left out of {place}: {text}", stacklevel=3)
    if empty := [name for name in found if not found[name].images]:
        warnings.warn(
            f"{place} has no images of {_first(empty)}; they stay classes, without examples",
            stacklevel=3,
        )
    return names, files


def _left_out(
    place: pathlib.Path, found: list[Found], loose: Found, circles: list[pathlib.Path]
) -> list[str]:
    """Describes the files that are not read, one sentence for each kind."""
    others = [file for one in found for file in one.others]
    unfollowed = [*circles, *(link for one in (loose, *found) for link in one.unfollowed)]
    sentences = (
        (others, f"files without the suffix of an image ({_by_suffix(others)})"),
        (loose.images, "images that lie in no class folder"),
        (unfollowed, "links that lead nowhere, in a circle, or to a folder that is read already"),
    )
    return [
        f"{len(paths)} {what}, such as "
        + ", ".join(str(path.relative_to(place)) for path in paths[:3])
        for paths, what in sentences
        if paths
    ]


def _are_splits(folders: dict[str, pathlib.Path], split: str) -> bool:
    if all(name.lower() in SPLITS for name in folders):
        return bool(folders)
    return split != "all" and split in folders and bool(sub_folders(folders[split]))


def _by_suffix(files: list[pathlib.Path]) -> str:
    counts = collections.Counter(file.suffix.lower() or "without a suffix" for file in files)
    return _first([f"{count} {suffix}" for suffix, count in counts.most_common()])


def _first(names: Collection[str]) -> str:
    shown = [*names][:10]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
