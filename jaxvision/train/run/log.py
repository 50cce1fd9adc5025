"""The measurements of a run, in `metrics.jsonl` and TensorBoard files."""

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

    A resumed run drops what was written after its checkpoint, so that the file equals that of an
    uninterrupted run.
    """

    def __init__(
        self, folder: pathlib.Path, *, step: int, kept: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Opens the files; `kept` are the lines up to `step`, as `read_metrics` returns them."""
        from tensorboardX import SummaryWriter

        path = folder / METRICS
        write_text(path, "".join(to_json(line) + "\n" for line in kept))
        self._file = path.open("a")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Appends the metrics of training (`split` is `train`) or of an evaluation."""
        self._file.write(to_json({"step": step, "split": split, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            if not math.isnan(value):  # NaN means that nothing was counted
                self._board.add_scalar(f"{split}/{name}", value, step)

    def image(self, step: int, name: str, pixels: UInt8[np.ndarray, "height width 3"]) -> None:
        """Writes a picture to TensorBoard."""
        self._board.add_image(name, pixels, step, dataformats="HWC")

    def close(self) -> None:
        """Flushes and closes the files."""
        self._file.close()
        self._board.close()


def read_metrics(folder: str | pathlib.Path) -> list[dict[str, Any]]:
    """Reads the measurements of a run.

    Args:
        folder: The run's folder.

    Returns:
        One dict per line of `metrics.jsonl`, with `step`, `split` and the metrics; null becomes
        NaN. Damaged lines are skipped with a warning, or silently if only the last line is
        damaged. Empty if there is no such file.
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
    """Parses a line of `metrics.jsonl`; None if it is damaged."""
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
    """Renames the metrics of an earlier run, for a new one; returns the new path, or None."""
    path = folder / METRICS
    if not path.exists() or not path.stat().st_size:
        return None
    number = 1
    while (aside := folder / f"metrics.before-{number}.jsonl").exists():
        number += 1
    return path.rename(aside)
