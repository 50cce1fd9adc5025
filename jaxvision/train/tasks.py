"""The registry of tasks, and `restore`, which loads a trained run from its folder."""

import dataclasses
import functools
import importlib
import inspect
import itertools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import numpy as np
from jaxtyping import Float32, Shaped, UInt8

from jaxvision.data import Batches, Dataset, Preprocessing, resize_and_crop
from jaxvision.data.images import placement
from jaxvision.metrics import ClassScore, Score
from jaxvision.suggest import unknown
from jaxvision.train._arguments import MadeForOthersError
from jaxvision.train.checkpoint import CheckpointError
from jaxvision.train.run.precision import computing_in
from jaxvision.train.run.record import RunRecord
from jaxvision.train.run.restore import SavedRun, open_run
from jaxvision.train.serving import BATCH, ArrayInfo, ScoreFunction, Serving

PyTree = Any
_TOGETHER = 128
_OF_DATA = ("predict", "embed")
_OF_PREDICTIONS = (
    "evaluate",
    "evaluate_classes",
    "mistakes",
    "draw",
    "compare",
    "in_words",
    "contents",
)
RestoreTask = Callable[[SavedRun], "Trained"]
"""Makes the trained run of a `SavedRun`; a subclass of `Trained` is such a function."""

_TASKS: dict[str, str | RestoreTask] = {
    "classification": "jaxvision.train.classification:TrainedClassifier",
    "agent": "jaxvision.train.agents:TrainedAgent",
    "multitask": "jaxvision.train.multitask:TrainedMultiTask",
    "segmentation": "jaxvision.train.segmentation:TrainedSegmenter",
    "autoencoding": "jaxvision.train.autoencoding:TrainedAutoencoder",
    "fixations": "jaxvision.train.fixations:TrainedFixations",
    "gan": "jaxvision.train.gan:TrainedGAN",
    "vae": "jaxvision.train.vae:TrainedVAE",
}


@dataclasses.dataclass(frozen=True)
class Answer:
    """The prediction of a model for one image.

    Attributes:
        words: The prediction in one line.
        content: The prediction as a JSON-able dict.
        mask: The class of each pixel, from models that segment; 255 means no class.
        density: The density of fixations, with sum 1, from models of where people look.
    """

    words: str
    content: Mapping[str, Any]
    mask: UInt8[np.ndarray, "height width"] | None = None
    density: Float32[np.ndarray, "height width"] | None = None


class Trained:
    """A trained run, made by `restore`; each task has a subclass, such as `TrainedClassifier`.

    A subclass overrides the methods that its task supports; most others raise NotImplementedError.
    `predict` returns predictions in a form of the task's own, for `evaluate`, `draw` and `compare`.

    Attributes:
        run: The run, as read from its folder.
    """

    needs_data: ClassVar[bool] = True
    """Whether `predict` needs data; agents generate their own in an environment."""

    def __init__(self, run: SavedRun) -> None:
        self.run = run

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, method in [*vars(cls).items()]:
            if name in _OF_DATA and inspect.isfunction(method):
                setattr(cls, name, _knowing_shape(method))
            elif name in _OF_PREDICTIONS and inspect.isfunction(method):
                setattr(cls, name, _knowing_predictions(method))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.run.folder}, step {self.run.step})"

    @property
    def record(self) -> RunRecord:
        """The settings, versions and descriptions that the run recorded."""
        return self.run.record

    @property
    def preprocessing(self) -> Preprocessing | None:
        """The size, crop and normalization of the images; None for runs without images."""
        return self.run.preprocessing

    def predict(self, data: Any = None, *, batch_size: int = 128) -> Any:
        """Applies the model to data.

        Args:
            data: A data set, or batches, whose images are not normalized yet.
            batch_size: Rows of a batch, if `data` is a data set.

        Returns:
            Predictions in the task's form.
        """
        raise self._cannot("predict")

    def evaluate(self, predictions: Any, *, num_resamples: int = 1000) -> Mapping[str, Score]:
        """Scores predictions.

        Args:
            predictions: The result of `predict`.
            num_resamples: Bootstrap draws for the intervals; with 0, intervals that need them are
                omitted.

        Returns:
            Scores by name.
        """
        raise self._cannot("evaluate")

    def evaluate_classes(self, predictions: Any) -> Mapping[str, ClassScore]:
        """Returns the scores of `predict`'s result by class name; empty if the task has none."""
        del predictions
        return {}

    def mistakes(self, predictions: Any, data: Any) -> Sequence[Any] | None:
        """Lists the wrong predictions in the result of `predict` on a data set.

        Returns:
            Named tuples whose first field is the file, or the index, of an example; None if the
            task has no notion of a wrong prediction.
        """
        del predictions, data
        return None

    def draw(self, predictions: Any, data: Any = None) -> list[pathlib.Path]:
        """Draws figures of `predict`'s result into the run's folder, and returns their paths."""
        raise self._cannot("draw")

    def compare(
        self, predictions: Any, others: Any, *, num_resamples: int = 1000
    ) -> tuple[str, dict[str, Any]]:
        """Tests whether another model differs on the same data.

        Args:
            predictions: The result of this model's `predict`.
            others: The result of the other model's `predict`.
            num_resamples: Bootstrap draws.

        Returns:
            The result as a sentence, and as a JSON-able dict.
        """
        raise self._cannot("compare")

    def in_words(self, predictions: Any, *, top: int = 3) -> Sequence[str]:
        """Describes each prediction in one line, which names at most `top` classes."""
        raise self._cannot("describe predictions")

    def contents(self, predictions: Any, *, top: int = 3) -> Sequence[Mapping[str, Any]]:
        """Returns the content of `in_words` as JSON-able dicts; empty if a task has words only."""
        return [{} for _ in self.in_words(predictions, top=top)]

    def answers(
        self, images: Iterable[Shaped[np.ndarray, "_ _ _"]], *, top: int = 3, **options: Any
    ) -> Iterator[Answer]:
        """Predicts images of any size.

        Unless a task overrides it, images are resized and cropped as in training, and predicted 128
        at a time.

        Args:
            images: Pixels, (height, width, channels).
            top: How many classes to name.
            **options: Options of tasks that override this method, such as the tile size of
                segmenters.

        Yields:
            The prediction for each image.
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
        """Returns the model that another one can be fine-tuned from, and its variables."""
        raise self._cannot("be fine-tuned")

    def serving(self) -> Serving:
        """Returns the trained model as a function of arrays, for `export`."""
        raise self._cannot(
            f"be exported: give {type(self).__name__} a method serving(), which returns a "
            "train.Serving"
        )

    def score_functions(self) -> Mapping[str, ScoreFunction]:
        """Returns the scores that explainers explain, by the name of the decision.

        >>> from jaxvision import explain
        >>> def why(trained: Trained, images: Any) -> explain.Attribution:
        ...     return explain.integrated_gradients(trained.score_functions()["class"].fn, images)
        """
        raise self._cannot(
            f"be explained: give {type(self).__name__} a method score_functions(), which returns "
            "train.ScoreFunction by name"
        )

    def computing_in(self, dtype: str) -> "Trained":
        """Returns the trained run with models that compute in another floating-point type.

        A task whose constructor takes more than a run overrides this method.

        Args:
            dtype: "float32" or "bfloat16".
        """
        run = computing_in(self.run, dtype)
        return self if run is self.run else type(self)(run)

    def _images(self) -> ArrayInfo:
        """The input of `serving` for tasks that take images: pixels before normalization."""
        preprocessing = self.preprocessing
        if preprocessing is None:
            raise self._cannot("be exported: the run does not say what images it had")
        channels = self.record.data["image_shape"][-1]
        return ArrayInfo(
            "images", (BATCH, *preprocessing.size, channels), "uint8", "pixels from 0 to 255"
        )

    def _uncropped(self, image: Shaped[np.ndarray, "_ _ _"]) -> Shaped[np.ndarray, "_ _ _"]:
        """An image resized as in training, but not cropped; unchanged if training resized none."""
        preprocessing = self.preprocessing
        if preprocessing is None:
            raise self._cannot("take single images: this one was trained on volumes")
        if self.record.data.get("preprocessing") is None:
            return image
        size, _ = placement((image.shape[0], image.shape[1]), preprocessing)
        whole = Preprocessing(size, interpolation=preprocessing.interpolation, squash=True)
        return resize_and_crop(image, whole)

    def _cannot(self, what: str) -> NotImplementedError:
        return NotImplementedError(f"runs of the task {self.record.task!r} cannot {what}")


def register_task(name: str, restore: str | RestoreTask) -> None:
    """Registers a task, so that `restore` finds it.

    The record of a run names its task: the entry "task" in `describe()` of the step or its loss.

    Args:
        name: The name of the task.
        restore: A function, such as a subclass of `Trained`, that makes the trained run of a
            `SavedRun`; or its import path `"package.module:name"`, imported when first needed.

    Raises:
        ValueError: Another task has the name, or the import path is malformed.

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
    """Lists the names of the registered tasks, sorted.

    >>> "classification" in list_tasks()
    True
    """
    return sorted(_TASKS)


def restore(run_dir: str | pathlib.Path, *, step: int | str | None = None) -> Trained:
    """Restores a trained run from its folder alone.

    Args:
        run_dir: The folder that `fit` got as `run_dir`.
        step: Which checkpoint: `"best"` is the one kept by `keep_best`, None the newest intact one.

    Returns:
        The trained run, of the task's subclass of `Trained`.

    Raises:
        CheckpointError: The folder or checkpoint does not exist or is damaged, its record cannot be
            read, or its task or model is not registered.

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
            "that names one, or read the run with train.open_run"
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


def _knowing_shape(method: Callable) -> Callable:
    """The same method, whose error about the shape of images names that of the training."""

    @functools.wraps(method)
    def knowing(self: Trained, *args: Any, **options: Any) -> Any:
        try:
            return method(self, *args, **options)
        except MadeForOthersError as error:
            shape = tuple(self.record.data.get("image_shape") or ())
            raise MadeForOthersError(
                f"the run in {self.run.folder} has learned from images of shape {shape}; {error}"
            ) from error

    return knowing


def _knowing_predictions(method: Callable) -> Callable:
    """The same method, whose error about data in place of predictions says what to give."""

    @functools.wraps(method)
    def knowing(self: Trained, *args: Any, **options: Any) -> Any:
        try:
            return method(self, *args, **options)
        except Exception as error:
            given = args[0] if args else options.get("predictions")
            if not isinstance(given, Dataset | Batches):
                raise
            name = method.__name__
            raise TypeError(
                f"{name} takes predictions, got {given!r}: "
                f"trained.{name}(trained.predict(data), ...)"
            ) from error

    return knowing


def _stacked(images: Iterable[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Batches of at most `_TOGETHER` images, all of one size."""
    left = iter(images)
    while some := list(itertools.islice(left, _TOGETHER)):
        yield {"image": np.stack(some)}


def _place(restore: str | RestoreTask) -> str:
    """The import path of a task: a module that is reloaded may register its task again."""
    if isinstance(restore, str):
        return restore
    return f"{restore.__module__}:{getattr(restore, '__qualname__', restore)}"
