"""Folders on the command line, and messages about those that do not exist."""

import difflib
import pathlib


def missing(path: str, what: str = "folder") -> str:
    """A message that a folder does not exist, with the nearest one that does."""
    given = pathlib.Path(path).expanduser()
    near = nearest_folder(given)
    if near is not None:
        here = "./" if path.startswith("./") else ""
        return f"there is no {what} {path}; did you mean {here}{near}?"
    where = "" if given.is_absolute() else f" (looked for in {pathlib.Path.cwd()})"
    return f"there is no {what} {path}{where}"


def nearest_folder(path: pathlib.Path) -> pathlib.Path | None:
    """Finds the folder that a path with one mistyped part probably means; None if there is none."""
    parts = path.parts
    for place in range(len(parts)):
        parent = pathlib.Path(*parts[:place])
        if pathlib.Path(*parts[: place + 1]).is_dir():
            continue
        names = [each.name for each in parent.iterdir() if each.is_dir()] if parent.is_dir() else []
        small = {name.lower(): name for name in sorted(names)}
        for near in difflib.get_close_matches(parts[place].lower(), small, n=3):
            candidate = pathlib.Path(parent, small[near], *parts[place + 1 :])
            if candidate.is_dir():
                return candidate
        return None
    return None


def run_folder(path: str) -> pathlib.Path:
    """Checks that a path is the folder of a run; otherwise ends the script."""
    folder = pathlib.Path(path).expanduser()
    if not folder.is_dir():
        raise SystemExit(missing(path, "run folder"))
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
