"""Experiments that are repeated with several random seeds."""

import dataclasses
import datetime
import json
import os
import pathlib
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from common import script

import jax
import numpy as np

from jaxvision import metrics
from jaxvision.files import write_json
from jaxvision.train.run.record import versions

Name = TypeVar("Name", bound=str)


@dataclasses.dataclass(frozen=True)
class Summary:
    """Results of an experiment with several seeds.

    Attributes:
        seeds: The seeds.
        scores: The value of each seed, by the name of the score.
        seconds: Duration of each seed; of several attempts, the longest.
    """

    seeds: tuple[int, ...]
    scores: Mapping[str, Sequence[float]]
    seconds: Sequence[float]

    def mean(self, name: str) -> float:
        """The mean of a score over the seeds."""
        return float(np.mean(self.scores[name]))

    def interval(self, name: str) -> tuple[float, float] | None:
        """The 95% t interval of the mean of a score over the seeds; None for one seed."""
        values = np.asarray(self.scores[name])
        return metrics.t_interval(values) if len(values) > 1 else None

    def save(
        self, run_dir: str | pathlib.Path, settings: Any, trained_by: Sequence[str] = ()
    ) -> None:
        """Writes `summary.json`, with the command, hardware, versions and date.

        `trained_by` has the commands of other runs that are measured.
        """
        folder = pathlib.Path(run_dir)
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "command": script.started_as(),
            **({"trained_by": list(trained_by)} if trained_by else {}),
            "settings": dataclasses.asdict(settings),
            "seeds": list(self.seeds),
            "scores": {
                name: {
                    "values": list(values),
                    "mean": self.mean(name),
                    "interval": self.interval(name),
                }
                for name, values in self.scores.items()
            },
            "seconds": [round(each, 1) for each in self.seconds],
            "hardware": _hardware(),
            "versions": versions(),
            "date": datetime.date.today().isoformat(),
        }
        write_json(folder / "summary.json", content)


def over_seeds(
    seeds: Sequence[int],
    train_one: Callable[[int], Mapping[str, float]],
    run_dir: str | pathlib.Path,
) -> Summary:
    """Trains every seed and collects their scores.

    The duration of each seed is kept in `run_dir/seconds`. This way several commands can train some
    of the seeds in one folder, and a last command with all seeds reports the durations.
    """
    if not seeds:
        raise SystemExit("--seeds needs one seed or more")
    rows, seconds = [], []
    folder = pathlib.Path(run_dir) / "seconds"
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        file = folder / f"{seed}.json"
        before = json.loads(file.read_text()) if file.exists() else 0.0
        began = time.perf_counter()
        rows.append(dict(train_one(seed)))
        seconds.append(max(before, time.perf_counter() - began))
        write_json(file, seconds[-1])
    scores = {name: [float(row[name]) for row in rows] for name in rows[0]}
    return Summary(tuple(seeds), scores, seconds)


def each_over_seeds(
    names: Sequence[Name],
    settings: Any,
    train_one: Callable[[Name, Any], Mapping[str, float]],
) -> dict[Name, Summary]:
    """Trains every seed of several alternatives, and writes a summary of each into its folder.

    `settings` has a group `run` and `seeds`. `train_one(name, settings)` trains one alternative
    with the folder and seed in `settings.run`, and returns its scores.
    """
    folder = pathlib.Path(settings.run.run_dir)
    summaries = {}
    for name in names:

        def of_seed(seed: int, name: Name = name) -> Mapping[str, float]:
            place = str(folder / name / f"seed{seed}")
            run = dataclasses.replace(settings.run, run_dir=place, seed=seed)
            return train_one(name, dataclasses.replace(settings, run=run))

        summaries[name] = over_seeds(settings.seeds, of_seed, folder / name)
        summaries[name].save(folder / name, settings)
    return summaries


def first_runs(names: Sequence[str], settings: Any) -> list[pathlib.Path]:
    """The run folder of the first seed of each alternative of `each_over_seeds`."""
    return [pathlib.Path(settings.run.run_dir, name, f"seed{settings.seeds[0]}") for name in names]


def in_brackets(interval: tuple[float, float] | None, form: str = ".2f") -> str:
    """The text of an interval of a mean; empty for one seed, or if its ends are equal."""
    low, high = ("", "") if interval is None else (format(end, form) for end in interval)
    return "" if low == high else f"[{low}, {high}]"


def percents(interval: tuple[float, float] | None) -> str:
    """The text of an interval of shares over seeds, such as accuracies, limited to [0%, 100%]."""
    if interval is None:
        return "one seed"
    low, high = f"{max(interval[0], 0):.2%}", f"{min(interval[1], 1):.2%}"
    return "seeds agree" if low == high else f"[{low}, {high}]"


def _hardware() -> str:
    cores = f"{os.cpu_count()} CPU cores ({platform.machine()})"
    first, *others = jax.devices()
    if first.platform == "cpu":
        return cores
    return f"{1 + len(others)} {first.device_kind}, {cores}"
