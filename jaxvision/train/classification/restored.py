"""A trained classifier from its run folder, with what its images need."""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from jaxvision.data import Dataset, Preprocessing
from jaxvision.models import Model
from jaxvision.train.checkpoint import CheckpointError
from jaxvision.train.classification.prediction import Predictions, predict
from jaxvision.train.record import (
    Check,
    is_mapping,
    is_name,
    is_number,
    is_whole,
    list_of,
    read_field,
)
from jaxvision.train.restore import restore_for_evaluation

PyTree = Any


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedClassifier:
    """A classifier of images as its run left it; made by `restore`.

    Attributes:
        model: The model.
        variables: Its variables, with averaged parameters if there are any.
        preprocessing: What an image needs: size, crop and normalization.
        channels: Those of its images.
        class_names: What its logits mean; none if the data did not say.
        settings: The run's, as `restore_for_evaluation` gives them.
    """

    model: Model
    variables: PyTree
    preprocessing: Preprocessing
    channels: int
    class_names: tuple[str, ...]
    settings: dict[str, Any]

    def predict(
        self, data: Dataset | Iterable[Mapping[str, Any]], *, batch_size: int = 128
    ) -> Predictions:
        """Runs the model over data, as `classification.predict` does.

        Args:
            data: Images of the size in `preprocessing`, not yet normalized.
            batch_size: Rows of a batch, if `data` is a data set.

        Returns:
            Logits, labels and places in the data.

        Raises:
            ValueError: There is no batch in the data.
        """
        how = self.preprocessing
        return predict(
            self.model, self.variables, data, batch_size=batch_size, mean=how.mean, std=how.std
        )


def restore(run_dir: str | pathlib.Path, *, step: int | None = None) -> TrainedClassifier:
    """Restores a classifier of images with nothing but the folder of the run that trained it.

    Args:
        run_dir: What `fit` was given.
        step: Which checkpoint; None takes the newest that is whole.

    Returns:
        The classifier.

    Raises:
        CheckpointError: As `restore_for_evaluation`; or the run is not that of a classifier.

    >>> import tempfile, jax, optax
    >>> from jaxvision import data, models, train
    >>> digits = data.load("digits", "test")
    >>> model = models.create_model("linear_classifier", num_classes=10)
    >>> state = train.init_state(jax.random.key(0), model, optax.sgd(0.1), digits.sample_batch())
    >>> step = train.make_train_step(train.classification.make_loss_fn(model), optax.sgd(0.1))
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = train.fit(step, state, digits.batches(16), num_steps=1, run_dir=folder.name)
    >>> trained = restore(folder.name)
    >>> trained.preprocessing.size, trained.class_names[:3]
    ((8, 8), ('0', '1', '2'))
    >>> trained.predict(digits).logits.shape
    (359, 10)
    >>> folder.cleanup()
    """
    settings, model, variables = restore_for_evaluation(run_dir, step=step)
    where = f"the record of the run in {run_dir}"

    def read(path: str, check: Check, what: str) -> Any:
        return read_field(settings, path, check, what, where)

    if settings["step"].get("task") != "classification" or not settings["data"].get("image_shape"):
        raise CheckpointError(f"{run_dir} is not the run of a classifier on images")
    numbers = list_of(is_number, least=1)
    shape = read("data.image_shape", list_of(is_whole, least=3), "three whole numbers")
    how = read("data.preprocessing", lambda value: value is None or is_mapping(value), "an object")
    try:
        preprocessing = Preprocessing(
            **{
                **(how or {"size": shape[:2]}),
                "mean": read("step.mean", numbers, "a list of numbers"),
                "std": read("step.std", numbers, "a list of numbers"),
            }
        )
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{where}: its preprocessing cannot be used: {error}") from error
    names = read(
        "data.class_names",
        lambda value: value is None or list_of(is_name)(value),
        "a list of names",
    )
    return TrainedClassifier(
        model=model,
        variables=variables,
        preprocessing=preprocessing,
        channels=shape[2],
        class_names=tuple(names or ()),
        settings=settings,
    )
