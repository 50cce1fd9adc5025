"""A run's folder: its settings, and what it measured."""

import dataclasses
import importlib.metadata
import json
import math
import pathlib
import platform
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from jaxvision._files import to_json, write_json, write_text

SETTINGS = "settings.json"
METRICS = "metrics.jsonl"
PACKAGES = ("jaxvision", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


class SettingsError(ValueError):
    """A run is continued with settings that are not its own."""


class RunFolderError(OSError):
    """A run's folder cannot be written; the message says where and why."""


def run_settings(settings: Any, step: Any, data: Any = None) -> dict[str, Any]:
    """What `settings.json` says of a run.

    Args:
        settings: The user's: a dataclass, a mapping, an object with attributes, or None.
        step: The step; if it has `describe()`, that is kept too.
        data: What the batches are of; likewise.

    Returns:
        A JSON-able dict of `settings`, `step`, `data` and `versions`.

    Raises:
        TypeError: Something in it has no place in JSON.

    >>> sorted(run_settings({"learning_rate": 0.1}, None))
    ['data', 'settings', 'step', 'versions']
    """
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        settings = dataclasses.asdict(settings)
    elif hasattr(settings, "__dict__") and not isinstance(settings, Mapping | type):
        settings = vars(settings)
    if not isinstance(settings, Mapping | None):
        raise TypeError(f"settings must be a dataclass or a mapping, got {settings!r}")
    content = {
        "settings": dict(settings or {}),
        "step": step.describe() if hasattr(step, "describe") else {},
        "data": data.describe() if hasattr(data, "describe") else {},
        "versions": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in PACKAGES},
        },
    }
    try:
        # NaN, which is unequal to itself, becomes None.
        return json.loads(json.dumps(content, default=_plain), parse_constant=lambda _: None)
    except TypeError as error:
        raise TypeError(f"settings must be numbers, strings, lists and dicts: {error}") from None


def check_settings(
    saved: Mapping[str, Any],
    current: Mapping[str, Any],
    folder: pathlib.Path,
    may_differ: Sequence[str] = (),
) -> None:
    """Refuses to continue a run with other settings.

    Args:
        saved: What `run_settings` gave when the checkpoint was written.
        current: What it gives now.
        folder: The run's folder, for the message.
        may_differ: Names in the user's settings that change nothing of the result.

    Raises:
        SettingsError: They differ; the message shows how.
    """
    before, now = (
        {
            name: value
            for part in ("settings", "step", "data")
            for name, value in _flatten(content.get(part, {}), part)
        }
        for content in (saved, current)
    )
    ignored = {f"settings.{name}" for name in may_differ}
    absent = "(absent)"
    lines = [
        f"  {name.partition('.')[2]}: {before.get(name, absent)!r} in the checkpoint, "
        f"{now.get(name, absent)!r} now"
        for name in sorted({*before, *now} - ignored)
        if before.get(name, absent) != now.get(name, absent)
    ]
    if lines:
        raise SettingsError(
            f"{folder} holds a run with other settings:\n"
            + "\n".join(lines)
            + "\nRepeat its settings to continue it, or choose another run folder."
        )


def check_fingerprint(
    saved: Mapping[str, Any], current: Mapping[str, Any], folder: pathlib.Path
) -> None:
    """Refuses to continue a run with another step, where no setting says what has changed.

    Args:
        saved: What `run_settings` gave when the checkpoint was written, and the `program`.
        current: The same of now.
        folder: The run's folder, for the message.

    Raises:
        SettingsError: The step is another one. Where packages or platform differ, it may be.
    """
    before, now = saved.get("program"), current.get("program")
    if not before or not now or saved["versions"] != current["versions"]:
        return
    if before["platform"] == now["platform"] and before["digest"] != now["digest"]:
        raise SettingsError(
            f"{folder} holds a run of another step, though what is kept of its settings is the "
            "same: the optimizer, its schedule, the loss, the augmentation or the batch size has "
            "changed. Undo that to continue the run, choose another run folder, or, if it is "
            'meant, give fit settings_may_differ=["program"]'
        )


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


def save_settings(folder: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes `settings.json`.

    Args:
        folder: The run's folder; it is made if it does not exist.
        content: What `run_settings` gave.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / SETTINGS, content)


def _flatten(value: Any, prefix: str) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [pair for key, item in value.items() for pair in _flatten(item, f"{prefix}.{key}")]
    return [(prefix, value)]


def _plain(value: Any) -> Any:
    if isinstance(value, pathlib.Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{value!r} is a {type(value).__name__}")
