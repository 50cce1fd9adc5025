"""What a run measures, in `metrics.jsonl` and in TensorBoard's files."""

import json
import math
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from jaxvision.files import to_json, write_text

METRICS = "metrics.jsonl"


class MetricsLog:
    """Writes measurements to `metrics.jsonl` and to TensorBoard event files.

    A run that goes on from a step forgets what was written after it, so that the file is that of an
    unbroken run.
    """

    def __init__(
        self, folder: pathlib.Path, *, step: int, kept: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Opens the files.

        Args:
            folder: The run's folder.
            step: Where the run goes on.
            kept: The lines up to there, as `read_metrics` gives them.
        """
        from tensorboardX import SummaryWriter

        path = folder / METRICS
        write_text(path, "".join(to_json(line) + "\n" for line in kept))
        self._file = path.open("a")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Appends one measurement.

        Args:
            step: When it was made.
            split: `train`, or what was evaluated.
            values: Numbers by name.
        """
        self._file.write(to_json({"step": step, "split": split, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            if not math.isnan(value):  # nothing was counted; there is no point to draw
                self._board.add_scalar(f"{split}/{name}", value, step)

    def image(self, step: int, name: str, pixels: UInt8[np.ndarray, "height width 3"]) -> None:
        """Shows a picture in TensorBoard.

        Args:
            step: When it was made.
            name: What it shows.
            pixels: The picture.
        """
        self._board.add_image(name, pixels, step, dataformats="HWC")

    def close(self) -> None:
        """Flushes and closes the files."""
        self._file.close()
        self._board.close()


def read_metrics(folder: str | pathlib.Path) -> list[dict[str, Any]]:
    """Reads what a run measured.

    Args:
        folder: The run's folder.

    Returns:
        One dict per line of `metrics.jsonl`, with `step` and `split`; null is NaN. A last line that
        was cut short is left out, and other damaged lines are with a warning. Empty if there is no
        such file.
    """
    path = pathlib.Path(folder) / METRICS
    texts = path.read_bytes().splitlines() if path.exists() else []
    lines = [_measurement(text) for text in texts]
    damaged = [number for number, line in enumerate(lines, 1) if line is None]
    if damaged and damaged != [len(lines)]:
        warnings.warn(
            f"{path} is damaged: {len(damaged)} of its {len(lines)} lines are left out, the first "
            f"in line {damaged[0]}",
            stacklevel=2,
        )
    return [line for line in lines if line is not None]


def _measurement(text: bytes) -> dict[str, Any] | None:
    """A line of `metrics.jsonl`; None if it is damaged."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    match line:
        case {"step": int(), "split": str()}:
            values = {name: math.nan if value is None else value for name, value in line.items()}
        case _:
            return None
    numbers = [value for name, value in values.items() if name != "split"]
    return values if all(type(number) in (int, float) for number in numbers) else None


def set_aside(folder: pathlib.Path) -> pathlib.Path | None:
    """Moves the measurements of an earlier run out of the way of one that begins anew.

    Args:
        folder: The run's folder.

    Returns:
        Where they are now; None if there were none.
    """
    path = folder / METRICS
    if not path.exists() or not path.stat().st_size:
        return None
    number = 1
    while (aside := folder / f"metrics.before-{number}.jsonl").exists():
        number += 1
    return path.rename(aside)
