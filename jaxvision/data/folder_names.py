"""Names of data sets that come from folders."""

import pathlib

from jaxvision.data.class_folders import SPLITS

_OF_IMAGES = ("image", "images", "img", "imgs", "input", "inputs", "jpegimages", "jpg", "png")
"""Lower-case names of folders that hold the images of a data set."""


def name_and_split(root: pathlib.Path, split: str) -> tuple[str, str]:
    """Returns a name for the data of a folder and a name for the loaded part.

    The data are named after the folder. If the folder is called like a split or like `_OF_IMAGES`,
    they are named after the folder around it: `load_folder("pets/test")` gives `pets` and `test`.

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
