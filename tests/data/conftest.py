"""Small image files to read, and scripts to run in processes of their own."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

NUM_IMAGES = 11


def save_numbered(folder: pathlib.Path, numbers: range) -> None:
    """Writes images of 4x3 pixels whose value is their number, in the classes `even` and `odd`."""
    for number in numbers:
        path = folder / ("even", "odd")[number % 2] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 3), number, np.uint8)).save(path)


@pytest.fixture(scope="session")
def numbered(tmp_path_factory):
    """A folder of images whose pixels are their number."""
    folder = tmp_path_factory.mktemp("numbered")
    save_numbered(folder, range(NUM_IMAGES))
    return folder


@pytest.fixture
def damaged(tmp_path):
    """The same, with two files that are no images: 3 and 6."""
    folder = tmp_path / "damaged"
    save_numbered(folder, range(NUM_IMAGES))
    (folder / "odd" / "003.png").write_text("no image")
    (folder / "even" / "006.png").write_bytes(b"")
    return folder


@pytest.fixture
def run_python():
    """Runs a script in a fresh interpreter that takes warnings for errors; gives what it prints."""

    def run(script: pathlib.Path, *arguments: object, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", str(script), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=200,
            env={**os.environ, "JAX_PLATFORMS": "cpu", **environment},
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run
