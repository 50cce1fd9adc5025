"""A trained model from its run folder."""

import pathlib
from typing import Any

from jaxvision import models
from jaxvision.train.checkpoint import Checkpointer, CheckpointError
from jaxvision.train.record import is_mapping, read_field, read_record
from jaxvision.train.run import CHECKPOINTS

PyTree = Any


def restore_for_evaluation(
    run_dir: str | pathlib.Path, *, step: int | None = None
) -> tuple[dict[str, Any], Any, dict[str, PyTree]]:
    """Restores a model with nothing but the folder of the run that trained it.

    Args:
        run_dir: What `fit` was given.
        step: Which checkpoint; None takes the newest that is whole.

    Returns:
        The run's settings as in `settings.json` (the user's under `settings`, what describes the
        step under `step`), the model, and its variables: the averaged parameters if there are any.

    Raises:
        CheckpointError: There is no such folder or checkpoint, the checkpoint is damaged, the run
            does not say what its model was, or that model is not registered here.

    >>> import tempfile, jax, optax
    >>> from jaxvision import data, train
    >>> digits = data.load("digits", "test")
    >>> model = models.create_model("linear_classifier", num_classes=10)
    >>> state = train.init_state(jax.random.key(0), model, optax.sgd(0.1), digits.sample_batch())
    >>> step = train.make_train_step(train.classification.make_loss_fn(model), optax.sgd(0.1))
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = train.fit(step, state, digits.batches(16), num_steps=1, run_dir=folder.name)
    >>> settings, model, variables = restore_for_evaluation(folder.name)
    >>> jax.jit(model.apply)(variables, digits.sample_batch()["image"] / 255.0).shape
    (1, 10)
    >>> folder.cleanup()
    """
    folder = pathlib.Path(run_dir).expanduser()
    if not (folder / CHECKPOINTS).is_dir():
        raise CheckpointError(f"{folder} is not the folder of a run: it has no {CHECKPOINTS}/")
    checkpointer = Checkpointer(folder / CHECKPOINTS)
    chosen = checkpointer.latest() if step is None else step
    if chosen is None:
        raise CheckpointError(f"{folder} has no checkpoint that is whole")
    where = f"the record of the run in {folder}"
    settings = read_record(checkpointer.extra(chosen).get("settings"), where)
    described = settings["step"].get("model")
    if described is None:
        raise CheckpointError(
            f"the run in {folder} does not say what its model was: make the model with "
            "models.create_model and the loss with a task's make_loss_fn, so that fit can keep it"
        )
    read_field(settings, "step.model", is_mapping, "an object", where)
    try:
        model = models.from_description(described)
    except Exception as error:  # an option of another type fails in any way
        raise CheckpointError(
            f"the model of the run in {folder} cannot be made here: {error}; if the run's own code "
            "registers it, import that first"
        ) from error
    saved = checkpointer.load(chosen, leave_out=("opt_state",))
    if not {"params", "model_state"} <= saved.keys():
        raise CheckpointError(
            f"the run in {folder} keeps no single model, but {', '.join(sorted(saved))}: read its "
            "state with Checkpointer.load"
        )
    params = saved["params"] if saved.get("ema_params") is None else saved["ema_params"]
    variables = {"params": params, **saved["model_state"]}
    return settings, model, variables


def description(model: Any) -> dict[str, Any] | None:
    """What a loss function says of its model, so that `restore_for_evaluation` can make it again.

    Args:
        model: What is trained.

    Returns:
        A JSON-able dict for `models.from_description`; None for a model that cannot be made again,
        because `create_model` did not make it, or not as it is.

    >>> description(models.create_model("linear_classifier", num_classes=10))["name"]
    'linear_classifier'
    """
    try:
        known = isinstance(model, models.Model | models.MultiHead)
        return models.describe(model) if known else None
    except ValueError:
        return None
