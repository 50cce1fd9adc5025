"""Folders that somebody names, and what is said of those that do not exist."""

import difflib
import pathlib


def no_such_folder(path: str | pathlib.Path, what: str = "folder") -> str:
    """Says that there is no such folder, and which one has a name near it.

    >>> no_such_folder("/nowhere/at/all", "run folder")
    'there is no run folder /nowhere/at/all'
    """
    given = pathlib.Path(path).expanduser()
    if given.exists():
        return f"{path} is a file, and no {what}"
    near = nearest_folder(given)
    if near is not None:
        here = "./" if str(path).startswith("./") else ""
        return f"there is no {what} {path}; did you mean {here}{near}?"
    where = "" if given.is_absolute() else f" (looked for in {pathlib.Path.cwd()})"
    return f"there is no {what} {path}{where}"


def nearest_folder(path: pathlib.Path) -> pathlib.Path | None:
    """Finds the folder that was probably meant, where one part of a path is mistyped, or None."""
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
