"""What data are called that come from folders."""

import pathlib

from jaxvision.data.class_folders import SPLITS

_OF_IMAGES = ("image", "images", "img", "imgs", "input", "inputs", "jpegimages", "jpg", "png")
"""What folders are called that hold the images of a data set, in small letters."""


def name_and_split(root: pathlib.Path, split: str) -> tuple[str, str]:
    """Names the data of a folder, and the part of them.

    They are named after the folder: `pets` and `test` for `load_folder("pets", split="test")`.
    Where that is called as a split is, or as the images of any data set are, it is the folder
    around it: `pets` and `test` for `load_folder("pets/test")` too.

    Args:
        root: The folder.
        split: What was asked for.

    Returns:
        The name of the data, and what to call the part.

    >>> name_and_split(pathlib.Path("pets"), "train[:80%]")
    ('pets', 'train[:80%]')
    >>> name_and_split(pathlib.Path("pets/test"), "all[:80%]")
    ('pets', 'test[:80%]')
    >>> name_and_split(pathlib.Path("scans/images"), "all")
    ('scans', 'all')
    """
    place = root.resolve()
    while place.name.lower() in (*SPLITS, *_OF_IMAGES) and place.parent.name:
        if place.name.lower() in SPLITS and split.partition("[")[0] == "all":
            split = place.name + split.removeprefix("all")
        place = place.parent
    return place.name, split
