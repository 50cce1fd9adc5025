"""Folders on the command line."""

import pathlib
from typing import Literal

from jaxvision.folders import no_such_folder


def run_folder(path: str) -> pathlib.Path:
    """Checks that a path is the folder of a run; otherwise ends the script."""
    folder = pathlib.Path(path).expanduser()
    if not folder.is_dir():
        raise SystemExit(no_such_folder(path, "run folder"))
    if not (folder / "checkpoints").is_dir():
        inside = sorted(each.parent.name for each in folder.glob("*/checkpoints"))
        hint = f"; the runs in it are {', '.join(inside[:8])}" if inside else ""
        raise SystemExit(f"{path} is not a run folder: it has no checkpoints{hint}")
    return folder


def looks_like_a_folder(name: str) -> bool:
    """Whether a name is meant as a path, rather than as a repository `OWNER/NAME` of a hub.

    A path begins with `.`, `~` or `/`, has other than one slash, or begins with `runs` or a folder
    of the current one.
    """
    first = pathlib.Path(name).parts[0] if name else ""
    is_path = name.startswith((".", "~", "/")) or name.count("/") != 1
    return is_path or first == "runs" or pathlib.Path(first).is_dir()


def kind_of_model(start: str) -> Literal["run", "file", "repository"]:
    """Whether a name is that of a run folder, of a file of weights, or of a repository of timm.

    A folder with a config.json is a downloaded repository. A path where there is nothing ends the
    script.
    """
    path = pathlib.Path(start).expanduser()
    if path.is_file():
        return "file"
    if path.is_dir():
        return "repository" if (path / "config.json").is_file() else "run"
    if looks_like_a_folder(start):
        raise SystemExit(no_such_folder(start, "run folder or file of weights"))
    return "repository"
