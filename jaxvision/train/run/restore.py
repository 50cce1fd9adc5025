"""Reading of a run from its folder alone."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import flax.linen as nn

from jaxvision import models
from jaxvision.data import Preprocessing
from jaxvision.folders import no_such_folder
from jaxvision.suggest import shortened, unknown
from jaxvision.train.best import Best
from jaxvision.train.checkpoint import Checkpointer, CheckpointError
from jaxvision.train.inputs import Inputs
from jaxvision.train.run._fields import (
    is_mapping,
    is_name,
    is_number,
    is_whole,
    list_of,
    read_field,
)
from jaxvision.train.run.log import read_metrics
from jaxvision.train.run.record import RunRecord, read_record
from jaxvision.train.run.resume import CHECKPOINTS
from jaxvision.train.state import evaluation_variables

PyTree = Any
Loss = TypeVar("Loss")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SavedRun:
    """A run as stored in its folder; `open_run` reads it.

    Attributes:
        folder: The run's folder.
        step: The step of the checkpoint.
        record: The description of the run.
        state: The state of the checkpoint, in nested dicts, without optimizer states.
    """

    folder: pathlib.Path
    step: int
    record: RunRecord
    state: PyTree

    def __repr__(self) -> str:
        models = ", ".join(self.record.models) or "none"
        return (
            f"SavedRun({self.folder}, task {self.record.task}, step {self.step}, models {models})"
        )

    def model(self, name: str = "model") -> nn.Module:
        """Makes a model of the run again, without its parameters.

        Args:
            name: The name that the task gives it; a task with one model calls it `model`.

        Raises:
            CheckpointError: The run has no such model, or its record does not say how to make it,
                or the model is not registered.
        """
        if name not in self.record.models:
            if not self.record.models:
                raise CheckpointError(
                    f"the run in {self.folder} does not say what its model was: make the loss with "
                    "a task's make_loss_fn, or give it a method describe() that names `models`"
                )
            raise CheckpointError(f"{self.folder}: {unknown('model', name, self.record.models)}")
        described = self.record.models[name]
        if described is None:
            raise CheckpointError(
                f"the run in {self.folder} does not say how its {name} was made: make it with "
                "models.create_model, or register its class with models.register"
            )
        try:
            return models.from_description(described)
        except Exception as error:  # an option of a wrong type may raise anything
            raise CheckpointError(
                f"the {name} of the run in {self.folder} cannot be made here: {error}; if the "
                "run's own code registers it, import that first"
            ) from error

    def loss(self, make: Callable[[dict[str, Any]], Loss]) -> Loss:
        """Makes the loss of the run again.

        Args:
            make: A function from the recorded options of the loss to the loss.

        Raises:
            CheckpointError: The record has no options of a loss, or `make` rejects them.
        """
        try:
            return make(dict(self.record.step["loss"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"the record of the run in {self.folder}: its loss cannot be made here: {error}"
            ) from error

    def variables(self, name: str = "model") -> dict[str, PyTree]:
        """Returns a model's variables for `model.apply`: averaged parameters, if there are any.

        Args:
            name: The name of the model. It is ignored unless the state holds several models.

        Raises:
            CheckpointError: The state holds no such model.
        """
        state = self.state
        if isinstance(state, Mapping) and not _is_train_state(state):
            state = state.get(name)
        if not isinstance(state, Mapping) or not _is_train_state(state):
            parts = ", ".join(sorted(self.state)) if isinstance(self.state, Mapping) else "an array"
            raise CheckpointError(
                f"the run in {self.folder} keeps no state of a model called {name}, but {parts}: "
                "read it from `SavedRun.state`"
            )
        return evaluation_variables(state)

    @property
    def inputs(self) -> Inputs:
        """The normalization of batches.

        Raises:
            CheckpointError: The record is invalid.
        """
        where, inputs = f"the record of the run in {self.folder}", self.record.inputs
        numbers = list_of(is_number, least=1)
        mean, std = (
            read_field({name: usual, **inputs}, name, numbers, "a list of numbers", where)
            for name, usual in (("mean", [0.0]), ("std", [1.0]))
        )
        try:
            return Inputs([float(number) for number in mean], [float(number) for number in std])
        except ValueError as error:
            raise CheckpointError(f"{where}: its inputs cannot be used: {error}") from error

    @property
    def preprocessing(self) -> Preprocessing | None:
        """The size, crop and normalization of images; None for volumes and for runs without images.

        Raises:
            CheckpointError: The record is invalid.
        """
        where, data = f"the record of the run in {self.folder}", self.record.data
        if data.get("image_shape") is None:
            return None
        check = list_of(is_whole, least=3)
        shape = read_field(data, "image_shape", check, "three whole numbers", where)
        if len(shape) > 3:
            return None
        inputs = self.inputs
        how = data.get("preprocessing") or {"size": shape[:2]}
        try:
            return Preprocessing(**{**how, "mean": inputs.mean, "std": inputs.std})
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"{where}: its preprocessing cannot be used: {error}") from error

    def names(self, field: str = "label") -> tuple[str, ...]:
        """Returns the names of a field's classes, or its vocabulary; empty if the data named none.

        Raises:
            CheckpointError: The record is invalid.
        """
        where = f"the record of the run in {self.folder}"
        fields = self.record.data.get("fields") or {}
        if not is_mapping(fields):
            raise CheckpointError(f"{where}: data.fields must be an object, and is {fields!r}")
        if field not in fields:
            return ()
        names = read_field(fields[field], "names", list_of(is_name), "a list of names", where)
        return tuple(names)


def open_run(run_dir: str | pathlib.Path, *, step: int | str | None = None) -> SavedRun:
    """Reads a run from its folder alone.

    Args:
        run_dir: The folder that `fit` got as `run_dir`.
        step: Which checkpoint: `"best"` is the one kept by `keep_best`, None the newest intact one.

    Returns:
        The run. `restore` returns the trained model of its task instead.

    Raises:
        CheckpointError: The folder or checkpoint does not exist or is damaged, or its record cannot
            be read.

    >>> import tempfile, jax, optax
    >>> from jaxvision import data, train
    >>> digits = data.load("digits", "test")
    >>> model = models.create_model("linear_classifier", num_classes=10)
    >>> state = train.init_state(jax.random.key(0), model, optax.sgd(0.1), digits.sample_batch())
    >>> step = train.make_train_step(train.classification.make_loss_fn(model), optax.sgd(0.1))
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = train.fit(step, state, digits.batches(16), num_steps=1, run_dir=folder.name)
    >>> run = open_run(folder.name)
    >>> jax.jit(run.model().apply)(run.variables(), digits.sample_batch()["image"] / 255.0).shape
    (1, 10)
    >>> folder.cleanup()
    """
    folder = run_folder(run_dir)
    checkpointer = Checkpointer(folder / CHECKPOINTS)
    where = f"the record of the run in {folder}"
    newest = checkpointer.latest() if not isinstance(step, int) else step
    if newest is None:
        raise CheckpointError(f"{folder} has no checkpoint that is whole")
    record = read_record(checkpointer.extra(newest).get("record"), where)
    chosen = newest
    if step == "best":
        if record.best is None:
            raise CheckpointError(
                f"{folder} keeps no best state: give fit keep_best=..., or a script --keep-best"
            )
        best = Best(**record.best).step(read_metrics(folder))
        if best is None:
            raise CheckpointError(f"{folder} has not measured {record.best['metric']} yet")
        chosen = best
    elif step is not None and not isinstance(step, int):
        raise CheckpointError(f"step must be a number, 'best' or None, got {step!r}")
    state = checkpointer.load(chosen, leave_out=("opt_state",))
    return SavedRun(folder, chosen, record, state)


def run_folder(path: str | pathlib.Path) -> pathlib.Path:
    """Returns the folder of a run; raises CheckpointError if it is none, and names near ones."""
    folder = pathlib.Path(path).expanduser()
    if not folder.is_dir():
        raise CheckpointError(no_such_folder(path, "run folder"))
    if not (folder / CHECKPOINTS).is_dir():
        inside = sorted(each.parent.name for each in folder.glob(f"*/{CHECKPOINTS}"))
        hint = f"; the runs in it are {shortened(inside)}" if inside else ""
        around = [each for each in [*folder.parents][:2] if (each / CHECKPOINTS).is_dir()]
        hint = f"; did you mean {around[0]}?" if around else hint
        raise CheckpointError(f"{path} is not the folder of a run: it has no {CHECKPOINTS}/{hint}")
    return folder


def _is_train_state(state: Mapping[str, Any]) -> bool:
    return {"params", "model_state"} <= state.keys()
