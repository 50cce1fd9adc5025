"""The record of a run, kept in `settings.json` and in every checkpoint."""

import dataclasses
import importlib.metadata
import json
import pathlib
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from jaxvision import models
from jaxvision.files import write_json
from jaxvision.train.best import Best
from jaxvision.train.checkpoint import CheckpointError
from jaxvision.train.run._fields import is_mapping, is_name, read_field, shown
from jaxvision.train.run.errors import SettingsError

SETTINGS = "settings.json"
PACKAGES = ("jaxvision", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
SCHEMA = 1
"""The version of the format of records."""


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """The description of a run, by which it is continued, compared and restored.

    Attributes:
        task: The name of the task that restores the run; None if the step names none.
        models: A description of each model, by name; None for a model that is not registered.
        inputs: The normalization of batches, from `Inputs.describe`.
        step: The options of the step and of its loss.
        data: The training data set, from `Dataset.describe`.
        settings: The user's options.
        versions: The versions of Python and of packages.
        program: The platform and a digest of the step's program; None if unknown.
        best: The criterion of the best state, from `Best.describe`; None without `keep_best`.
        schema: The version of the record's format.
    """

    task: str | None
    models: Mapping[str, Mapping[str, Any] | None]
    inputs: Mapping[str, Any]
    step: Mapping[str, Any]
    data: Mapping[str, Any]
    settings: Mapping[str, Any]
    versions: Mapping[str, Any]
    program: Mapping[str, str] | None = None
    best: Mapping[str, Any] | None = None
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        """Returns the record as a JSON-able dict."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages on which results depend."""
    packages = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {"python": platform.python_version(), **packages}


def make_record(
    settings: Any, step: Any, data: Any = None, *, best: Best | None = None
) -> RunRecord:
    """Makes the record of a run; `step` and `data` may have a method `describe()`.

    The user's settings are a dataclass, a mapping, an object with attributes, or None. Raises
    TypeError for values that JSON cannot hold.

    >>> make_record({"learning_rate": 0.1}, None).settings
    {'learning_rate': 0.1}
    """
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        settings = dataclasses.asdict(settings)
    elif hasattr(settings, "__dict__") and not isinstance(settings, Mapping | type):
        settings = vars(settings)
    if not isinstance(settings, Mapping | None):
        raise TypeError(f"settings must be a dataclass or a mapping, got {settings!r}")
    described = dict(step.describe()) if hasattr(step, "describe") else {}
    inputs = described.pop("inputs", {})
    record = RunRecord(
        task=described.pop("task", None),
        models={name: _describe(each) for name, each in described.pop("models", {}).items()},
        inputs=inputs.describe() if hasattr(inputs, "describe") else inputs,
        step=described,
        data=data.describe() if hasattr(data, "describe") else {},
        settings=dict(settings or {}),
        versions=versions(),
        best=None if best is None else best.describe(),
    )
    try:
        # NaN becomes None, because it is not equal to itself.
        content = json.loads(
            json.dumps(record.to_json(), default=_plain), parse_constant=lambda _: None
        )
    except TypeError as error:
        raise TypeError(f"settings must be numbers, strings, lists and dicts: {error}") from None
    return RunRecord(**content)


def read_record(content: Any, where: str) -> RunRecord:
    """Validates a record; raises CheckpointError, which names `where` it is and what is wrong."""
    if content is None:
        raise CheckpointError(f"{where} is missing: fit did not save its checkpoints")
    if not is_mapping(content):
        raise CheckpointError(f"{where} must be an object, and is {shown(content)}")
    if content.get("schema") != SCHEMA:
        raise CheckpointError(
            f"{where} has the schema {shown(content.get('schema'))}, and this version of jaxvision "
            f"reads {SCHEMA}: use the version that wrote it ({_version(content)})"
        )
    optional = lambda check: lambda value: value is None or check(value)  # noqa: E731
    read_field(content, "task", optional(is_name), "a string or null", where)
    for part in ("models", "inputs", "step", "data", "settings", "versions"):
        read_field(content, part, is_mapping, "an object", where)
    for name in content["models"]:
        read_field(content["models"], name, optional(is_mapping), "an object or null", where)
    if content.get("program") is not None:
        for name in ("program.platform", "program.digest"):
            read_field(content, name, is_name, "a string", where)
    read_field(content, "best", optional(_is_best), "null, or a metric and what is better", where)
    return RunRecord(
        **{field.name: content.get(field.name) for field in dataclasses.fields(RunRecord)}
    )


def check_settings(
    saved: RunRecord,
    current: RunRecord,
    folder: pathlib.Path,
    may_differ: Sequence[str] = (),
) -> None:
    """Raises SettingsError if two records differ, except in the settings in `may_differ`."""
    before, now = (
        {
            name: value
            for part in ("settings", "task", "models", "inputs", "step", "data")
            for name, value in _flatten(getattr(record, part), part)
        }
        for record in (saved, current)
    )
    ignored = {f"settings.{name}" for name in may_differ}
    absent = "(absent)"
    lines = [
        f"  {name.partition('.')[2] or name}: {before.get(name, absent)!r} in the checkpoint, "
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


def check_fingerprint(saved: RunRecord, current: RunRecord, folder: pathlib.Path) -> None:
    """Raises SettingsError if the step's program has changed although no setting has.

    Programs of different platforms or package versions are not compared.
    """
    before, now = saved.program, current.program
    if not before or not now or saved.versions != current.versions:
        return
    if before["platform"] == now["platform"] and before["digest"] != now["digest"]:
        raise SettingsError(
            f"{folder} holds a run of another step, though what is kept of its settings is the "
            "same: the optimizer, its schedule, the loss, the augmentation or the batch size has "
            "changed. Undo that to continue the run, choose another run folder, or, if it is "
            'meant, give fit settings_may_differ=["program"]'
        )


def save_record(folder: pathlib.Path, record: RunRecord) -> None:
    """Writes `settings.json`; creates the folder if needed."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / SETTINGS, record.to_json())


def _describe(model: Any) -> Any:
    """The description of a model; None if the model is not registered."""
    if isinstance(model, Mapping | None):
        return model
    try:
        return models.describe(model)
    except ValueError:
        return None


def _is_best(value: Any) -> bool:
    match value:
        case {"metric": str(), "of": None | str(), "highest": bool()}:
            return len(value) == 3
    return False


def _version(content: Mapping[str, Any]) -> str:
    versions = content.get("versions")
    known = versions.get("jaxvision") if isinstance(versions, Mapping) else None
    return f"jaxvision {known}" if isinstance(known, str) else "which it does not say"


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
