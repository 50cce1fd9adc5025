"""Files that are written whole or not at all."""

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
    """Opens a temporary file beside `path`, and moves it there at the end.

    After a kill or an error, `path` holds what it held before, also when two threads write at once.

    Args:
        path: The file to write; it is replaced if it exists.

    Yields:
        A file to write bytes to.
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
    """Writes a text file, whole or not at all.

    Args:
        path: The file to write.
        text: Its content.
    """
    with writing(path) as file:
        file.write(text.encode())


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes a JSON file, whole or not at all.

    Args:
        path: The file to write.
        content: What `to_json` takes.
    """
    write_text(path, to_json(content, indent=2) + "\n")


def write_csv(path: pathlib.Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a table that spreadsheets open, whole or not at all.

    Args:
        path: The file to write.
        header: The names of the columns.
        rows: The cells of each row; a row may be shorter than the header.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def to_json(content: Any, *, indent: int | None = None) -> str:
    """Formats JSON that every reader takes: NaN and infinities, which JSON lacks, become null.

    Args:
        content: Anything that `json.dumps` takes.
        indent: As for `json.dumps`.

    Returns:
        The text.

    >>> to_json({"accuracy": 0.5, "interval": [float("nan"), 1.0]})
    '{"accuracy": 0.5, "interval": [null, 1.0]}'
    """
    return json.dumps(_finite(content), indent=indent, allow_nan=False)


_IN_FILE_NAMES = str.maketrans({"/": "_", ":": "-", "[": "(", "]": ")", "%": "pct"})


def file_name(text: str) -> str:
    """Makes a name for a file or folder of a data set's name and split.

    Args:
        text: The name and split, such as `cifar10/test[:10%]`.

    Returns:
        The text, in which characters that some file systems do not take are replaced.

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
