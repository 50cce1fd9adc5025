"""Finds the image files of a folder."""

import dataclasses
import os
import pathlib

from PIL import Image, ImageFile

LEFTOVERS = frozenset(
    {
        "__macosx",
        "thumbs.db",
        "desktop.ini",
        "@eadir",
        "lost+found",
        "$recycle.bin",
        "system volume information",
    }
)
"""Lower-case names of files and folders that operating systems leave behind."""

_NO_DECODER = frozenset({"EPS", "MPEG"})  # the one needs Ghostscript, the other is only recognized


@dataclasses.dataclass
class Found:
    """Contents of a folder and of its sub-folders.

    Attributes:
        images: Files with the suffix of an image, sorted.
        others: Other files, sorted.
        unfollowed: Links to folders that were not followed.
    """

    images: list[pathlib.Path] = dataclasses.field(default_factory=list)
    others: list[pathlib.Path] = dataclasses.field(default_factory=list)
    unfollowed: list[pathlib.Path] = dataclasses.field(default_factory=list)


def image_suffixes() -> frozenset[str]:
    """Returns the lower-case suffixes of formats that Pillow, with its registered plugins, decodes.

    Formats that Pillow only writes (PDF) or decodes with another program (EPS) are left out.

    >>> {".jpg", ".png", ".tif", ".webp"} <= image_suffixes()
    True
    >>> any(suffix in image_suffixes() for suffix in (".pdf", ".eps", ".svg", ".txt"))
    False
    """
    known = Image.registered_extensions()
    kinds = {kind for kind in Image.OPEN if kind not in _NO_DECODER and not _is_stub(kind)}
    kinds.add("MPO")  # Pillow decodes it as a kind of JPEG
    return frozenset(suffix.lower() for suffix, kind in known.items() if kind in kinds)


def _is_stub(kind: str) -> bool:
    """Whether Pillow recognizes a format but has no decoder for it."""
    factory = Image.OPEN[kind][0]
    return isinstance(factory, type) and issubclass(factory, ImageFile.StubImageFile)


def sub_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the folders in a folder, sorted, with links to folders but without system leftovers.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("dog", "cat", ".cache", "__MACOSX"):
    ...         pathlib.Path(root, name).mkdir()
    ...     [found.name for found in sub_folders(pathlib.Path(root))]
    ['cat', 'dog']
    """
    return sorted(
        entry for entry in folder.iterdir() if not _is_leftover(entry.name) and entry.is_dir()
    )


def around(folder: pathlib.Path) -> set[str]:
    """Returns the real paths of a folder and of all folders that contain it."""
    real = pathlib.Path(os.path.realpath(folder))
    return {str(real), *map(str, real.parents)}


def find_loose(folder: pathlib.Path) -> Found:
    """Finds the images that lie directly in a folder, and the links that lead nowhere."""
    found, suffixes = Found(), image_suffixes()
    for entry in sorted(folder.iterdir()):
        if _is_leftover(entry.name) or entry.is_dir():
            continue
        if entry.suffix.lower() in suffixes:
            found.images.append(entry)
        elif entry.is_symlink() and not entry.exists():
            found.unfollowed.append(entry)
    return found


def find(folder: pathlib.Path, root: pathlib.Path) -> Found:
    """Finds the files in a folder and in all of its sub-folders.

    Links to folders are followed unless they lead to a folder that was already searched, to `root`,
    or to a folder that contains `root` or `folder`.
    """
    found, suffixes = Found(), image_suffixes()
    seen = around(root) | around(folder) - {os.path.realpath(folder)}
    waiting = [folder]
    while waiting:
        start = waiting.pop(0)
        if os.path.realpath(start) in seen:
            found.unfollowed.append(start)
            continue
        for parent, folders, names in os.walk(start, onerror=_stop):
            inside = [pathlib.Path(parent, name) for name in sorted(folders)]
            inside = [path for path in inside if not _is_leftover(path.name)]
            if os.path.realpath(parent) in seen:  # by a link that was followed before
                inside, names = [], []
            seen.add(os.path.realpath(parent))
            waiting += [path for path in inside if path.is_symlink()]
            folders[:] = [path.name for path in inside if not path.is_symlink()]  # os.walk reads it
            for path in (pathlib.Path(parent, name) for name in names if not _is_leftover(name)):
                (found.images if path.suffix.lower() in suffixes else found.others).append(path)
    return Found(sorted(found.images), sorted(found.others), found.unfollowed)


def find_images(folder: str | pathlib.Path) -> list[pathlib.Path]:
    """Finds the image files of a folder and of all folders inside it.

    Args:
        folder: Folder to search.

    Returns:
        Sorted paths of the files with the suffix of a format that Pillow decodes.

    Raises:
        OSError: A folder cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("2.jpg", "1.png", "notes.txt"):
    ...         pathlib.Path(folder, name).touch()
    ...     [path.name for path in find_images(folder)]
    ['1.png', '2.jpg']
    """
    place = pathlib.Path(folder).expanduser()
    return find(place, place.parent).images


def _is_leftover(name: str) -> bool:
    return name.startswith(".") or name.lower() in LEFTOVERS


def _stop(error: OSError) -> None:
    raise error
