"""Finds the image files of a folder, and notes what is no image."""

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
"""What systems leave in folders, in small letters, besides names that begin with a dot."""

_NO_DECODER = frozenset({"EPS", "MPEG"})  # the one needs Ghostscript, the other is only recognized


@dataclasses.dataclass
class Found:
    """What a folder and the folders inside it hold.

    Attributes:
        images: Image files by their suffix, sorted.
        others: Other files, sorted.
        unfollowed: Links to folders that were not followed.
    """

    images: list[pathlib.Path] = dataclasses.field(default_factory=list)
    others: list[pathlib.Path] = dataclasses.field(default_factory=list)
    unfollowed: list[pathlib.Path] = dataclasses.field(default_factory=list)


def image_suffixes() -> frozenset[str]:
    """The suffixes of files that Pillow decodes, with the plugins that are registered with it.

    Returns:
        Suffixes in small letters, without those of formats that Pillow only writes, such as PDF, or
        decodes with another program, such as EPS.

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
    """Whether Pillow recognizes a format and has nothing to decode it with."""
    factory = Image.OPEN[kind][0]
    return isinstance(factory, type) and issubclass(factory, ImageFile.StubImageFile)


def sub_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folders in a folder, and links to folders.

    Args:
        folder: Where to look.

    Returns:
        Those that are no leftovers of a system, sorted.

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
    """A folder and those that it lies in.

    Args:
        folder: Which one.

    Returns:
        Their paths without links. A link to one of them leads in a circle.
    """
    real = pathlib.Path(os.path.realpath(folder))
    return {str(real), *map(str, real.parents)}


def find_loose(folder: pathlib.Path) -> Found:
    """Looks at what lies in a folder itself.

    Args:
        folder: Where to look.

    Returns:
        Its images, and the links that lead nowhere.
    """
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
    """Looks through a folder and all that are inside it.

    Links to folders are followed, but for those to a folder that has been looked through already,
    and to the root or a folder that this one lies in.

    Args:
        folder: The folder.
        root: Another folder that no link may lead to, nor to those that it lies in.

    Returns:
        The files.

    Raises:
        OSError: A folder cannot be read.
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
        folder: Where to look.

    Returns:
        Files with the suffix of a format that Pillow decodes, sorted.

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
