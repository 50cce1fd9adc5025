"""Tasks by name, and runs that come back as what they trained."""

import dataclasses
import importlib
import itertools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import numpy as np
from jaxtyping import Shaped, UInt8

from jaxvision.data import Preprocessing, resize_and_crop
from jaxvision.metrics import ClassScore, Score
from jaxvision.suggest import unknown
from jaxvision.train.checkpoint import CheckpointError
from jaxvision.train.run.precision import computing_in
from jaxvision.train.run.record import RunRecord
from jaxvision.train.run.restore import SavedRun, open_run
from jaxvision.train.serving import BATCH, ArrayInfo, Serving

PyTree = Any
_TOGETHER = 128
RestoreTask = Callable[[SavedRun], "Trained"]
"""Makes of a run what it trained; a subclass of `Trained` is one."""

_TASKS: dict[str, str | RestoreTask] = {
    "classification": "jaxvision.train.classification:TrainedClassifier",
    "agent": "jaxvision.train.agents:TrainedAgent",
    "multitask": "jaxvision.train.multitask:TrainedMultiTask",
    "segmentation": "jaxvision.train.segmentation:TrainedSegmenter",
    "autoencoding": "jaxvision.train.autoencoding:TrainedAutoencoder",
    "gan": "jaxvision.train.gan:TrainedGAN",
    "vae": "jaxvision.train.vae:TrainedVAE",
}


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a model says of one image.

    Attributes:
        words: It in a line.
        content: It as a JSON-able dict.
        mask: A class for each pixel, from models that segment; 255 is none.
    """

    words: str
    content: Mapping[str, Any]
    mask: UInt8[np.ndarray, "height width"] | None = None


class Trained:
    """What a run trained; made by `restore`.

    A task has a subclass, which overrides what it can do. `predict` gives predictions in a form of
    the task's own; `evaluate`, `draw` and `compare` take them.

    Attributes:
        run: The run, as its folder holds it.
    """

    needs_data: ClassVar[bool] = True
    """Whether `predict` takes data; what learns in an environment makes its own."""

    def __init__(self, run: SavedRun) -> None:
        """Reads what every task needs of a run.

        Args:
            run: The run.
        """
        self.run = run

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.run.folder}, step {self.run.step})"

    @property
    def record(self) -> RunRecord:
        """What the run was."""
        return self.run.record

    @property
    def preprocessing(self) -> Preprocessing | None:
        """What an image needs: size, crop and normalization; None without images."""
        return self.run.preprocessing

    def predict(self, data: Any = None, *, batch_size: int = 128) -> Any:
        """Applies the model to data.

        Args:
            data: A data set, or batches, whose images are not normalized yet.
            batch_size: Rows of a batch, if `data` is a data set.

        Returns:
            Predictions.
        """
        raise self._cannot("predict")

    def evaluate(self, predictions: Any, *, num_resamples: int = 1000) -> Mapping[str, Score]:
        """Scores predictions.

        Args:
            predictions: What `predict` gave.
            num_resamples: Bootstrap draws for the intervals; 0 leaves intervals out that need them.

        Returns:
            Scores by name.
        """
        raise self._cannot("evaluate")

    def evaluate_classes(self, predictions: Any) -> Mapping[str, ClassScore]:
        """Scores predictions for each class by itself.

        Args:
            predictions: What `predict` gave.

        Returns:
            Scores by the name of the class; none from tasks that have no such scores.
        """
        del predictions
        return {}

    def mistakes(self, predictions: Any, data: Any) -> Sequence[Any] | None:
        """Lists what was predicted wrongly, so that it can be looked at.

        Args:
            predictions: What `predict` gave for the data.
            data: The data set.

        Returns:
            Named tuples whose first field is the file, or the place, of an example; None from tasks
            that do not tell right from wrong.
        """
        del predictions, data
        return None

    def draw(self, predictions: Any, data: Any = None) -> list[pathlib.Path]:
        """Draws figures into the run's folder.

        Args:
            predictions: What `predict` gave for the data.
            data: The data set.

        Returns:
            The files.
        """
        raise self._cannot("draw")

    def compare(
        self, predictions: Any, others: Any, *, num_resamples: int = 1000
    ) -> tuple[str, dict[str, Any]]:
        """Tests whether another model differs, on the same data.

        Args:
            predictions: What `predict` of this model gave.
            others: What `predict` of the other model gave.
            num_resamples: Bootstrap draws.

        Returns:
            The result in words, and as a JSON-able dict.
        """
        raise self._cannot("compare")

    def in_words(self, predictions: Any, *, top: int = 3) -> Sequence[str]:
        """Says in a line what was predicted for each example.

        Args:
            predictions: What `predict` gave.
            top: How many classes to name.

        Returns:
            A line per example.
        """
        raise self._cannot("describe predictions")

    def contents(self, predictions: Any, *, top: int = 3) -> Sequence[Mapping[str, Any]]:
        """Says the same as `in_words` as JSON-able dicts.

        Args:
            predictions: What `predict` gave.
            top: How many classes to name.

        Returns:
            A dict per example; empty ones from tasks that have words only.
        """
        return [{} for _ in self.in_words(predictions, top=top)]

    def answers(
        self, images: Iterable[Shaped[np.ndarray, "_ _ _"]], *, top: int = 3, **options: Any
    ) -> Iterator[Answer]:
        """Says what the model makes of images of any size.

        Unless a task has a way of its own, images are resized and cropped as those of the training
        were, and predicted 128 at a time.

        Args:
            images: Pixels, (height, width, channels).
            top: How many classes to name.
            **options: What else a task can be told about its way.

        Yields:
            What it makes of each image.
        """
        preprocessing = self.preprocessing
        if options or preprocessing is None:
            raise self._cannot(f"take {', '.join(options)}" if options else "look at images")
        resized = (resize_and_crop(image, preprocessing) for image in images)
        batches = _stacked(resized)
        first = next(batches, None)
        if first is None:
            return
        predictions = self.predict(itertools.chain([first], batches))
        words = self.in_words(predictions, top=top)
        for said, content in zip(words, self.contents(predictions, top=top), strict=True):
            yield Answer(said, {"answer": said, **content})

    def backbone(self) -> tuple[nn.Module, dict[str, PyTree]]:
        """The model that another one can be fine-tuned from, and its variables.

        Returns:
            Both.
        """
        raise self._cannot("be fine-tuned")

    def serving(self) -> Serving:
        """What the model does for whoever calls it, as a function of arrays, for `export`.

        Returns:
            The function, what it takes and what it gives.
        """
        raise self._cannot(
            f"be exported: give {type(self).__name__} a method serving(), which returns a "
            "train.Serving"
        )

    def computing_in(self, dtype: str) -> "Trained":
        """The same with models that compute in another type.

        A task whose class is made of more than a run overrides it.

        Args:
            dtype: "float32" or "bfloat16".

        Returns:
            What the run trained, made again with that type.
        """
        run = computing_in(self.run, dtype)
        return self if run is self.run else type(self)(run)

    def _images(self) -> ArrayInfo:
        """The images that the model takes, before they are normalized, as an input of `serving`."""
        preprocessing = self.preprocessing
        if preprocessing is None:
            raise self._cannot("be exported: the run does not say what images it had")
        channels = self.record.data["image_shape"][-1]
        return ArrayInfo(
            "images", (BATCH, *preprocessing.size, channels), "uint8", "pixels from 0 to 255"
        )

    def _cannot(self, what: str) -> NotImplementedError:
        return NotImplementedError(f"runs of the task {self.record.task!r} cannot {what}")


def register_task(name: str, restore: str | RestoreTask) -> None:
    """Makes a task known to `restore`.

    A run belongs to the task that its step, or its loss, names by `describe()["task"]`.

    Args:
        name: What the task is called.
        restore: Makes of a `SavedRun` what the run trained, such as a subclass of `Trained`; or
            where to import that from, when a run of the task is restored: `"package.module:name"`.

    Raises:
        ValueError: Another task has the name, or the place to import from is none.

    >>> class TrainedRuler(Trained):
    ...     pass
    >>> register_task("ruler", TrainedRuler)
    """
    if isinstance(restore, str) and restore.count(":") != 1:
        raise ValueError(f"a place to import from is 'package.module:name', not {restore!r}")
    if _place(_TASKS.get(name, restore)) != _place(restore):
        raise ValueError(f"another task is called {name!r}: {_place(_TASKS[name])}")
    _TASKS[name] = restore


def list_tasks() -> list[str]:
    """Lists the registered tasks.

    Returns:
        Names, sorted.

    >>> "classification" in list_tasks()
    True
    """
    return sorted(_TASKS)


def restore(run_dir: str | pathlib.Path, *, step: int | str | None = None) -> Trained:
    """Restores what a run trained, with nothing but the folder of the run.

    Args:
        run_dir: What `fit` was given.
        step: Which checkpoint; `"best"` takes the one that `keep_best` kept, and None the newest
            that is whole.

    Returns:
        What the task of the run makes of it, with `predict`, `evaluate`, `draw` and
        `preprocessing`.

    Raises:
        CheckpointError: There is no such folder or checkpoint, the checkpoint is damaged, its
            record cannot be read, or its task or model is not registered here.

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
    run = open_run(run_dir, step=step)
    task = run.record.task
    if task is None:
        raise CheckpointError(
            f"the run in {run.folder} names no task: give the step or its loss a method describe() "
            "that does, or read the run with train.open_run"
        )
    if task not in _TASKS:
        raise CheckpointError(
            f"the run in {run.folder} is of an {unknown('task', task, _TASKS)}; if the run's own "
            "code registers it, import that first"
        )
    make = _TASKS[task]
    if isinstance(make, str):
        module, _, attribute = make.partition(":")
        make = getattr(importlib.import_module(module), attribute)
    assert callable(make)
    trained: Trained = make(run)
    return trained


def _stacked(images: Iterable[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Batches of images of one size, `_TOGETHER` at most."""
    left = iter(images)
    while some := list(itertools.islice(left, _TOGETHER)):
        yield {"image": np.stack(some)}


def _place(restore: str | RestoreTask) -> str:
    """Where a task is defined; a module that is loaded again may register its own again."""
    if isinstance(restore, str):
        return restore
    return f"{restore.__module__}:{getattr(restore, '__qualname__', restore)}"
