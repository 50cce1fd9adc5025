"""Writing of files, completely or not at all."""

import contextlib
import csv
import io
import json
import math
import os
import pathlib
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[BinaryIO]:
    """Opens a temporary file next to `path`, and moves it to `path` at the end.

    After an error or a kill, `path` is unchanged, even if two threads write at once.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a text file, completely or not at all."""
    with writing(path) as file:
        file.write(text.encode())


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes a JSON file with `to_json`, completely or not at all."""
    write_text(path, to_json(content, indent=2) + "\n")


def write_csv(path: pathlib.Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a CSV file, completely or not at all; rows may be shorter than the header."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def to_json(content: Any, *, indent: int | None = None) -> str:
    """Formats JSON for every reader: NaN and infinities, which JSON lacks, become null.

    >>> to_json({"accuracy": 0.5, "interval": [float("nan"), 1.0]})
    '{"accuracy": 0.5, "interval": [null, 1.0]}'
    """
    return json.dumps(_finite(content), indent=indent, allow_nan=False)


_IN_FILE_NAMES = str.maketrans({"/": "_", ":": "-", "[": "(", "]": ")", "%": "pct"})


def file_name(text: str) -> str:
    """Makes a file name from a data set's name and split: replaces characters some systems reject.

    >>> file_name("cifar10/test[:10%]")
    'cifar10_test(-10pct)'
    """
    return re.sub(r"[^\w.()+-]", "_", text.translate(_IN_FILE_NAMES))


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
