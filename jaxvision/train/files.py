"""Files that are written whole or not at all."""

import json
import os
import pathlib
from typing import Any


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a file beside its place, then moves it there, so that a kill leaves no half.

    Args:
        path: Where to.
        text: What.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes a JSON file, whole or not at all.

    Args:
        path: Where to.
        content: What; JSON-able.
    """
    write_text(path, json.dumps(content, indent=2) + "\n")
