"""A trained model of several tasks, restored from its run folder."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxvision import metrics, models
from jaxvision._reprs import brief
from jaxvision.data import Dataset
from jaxvision.metrics import Score
from jaxvision.models import MultiHead
from jaxvision.train.checkpoint import CheckpointError
from jaxvision.train.mapping import map_batches
from jaxvision.train.multitask.loss import Task
from jaxvision.train.run.restore import SavedRun
from jaxvision.train.serving import ScoreFunction, Serving
from jaxvision.train.tasks import Trained

PyTree = Any


class Outputs(NamedTuple):
    """Outputs and targets of several tasks, one row per example.

    Attributes:
        outputs: Outputs of each head, by task.
        targets: Targets by task, for the tasks whose targets the data have.
        present: Whether each example has a target, by task.
        indices: Index of each example in the data set.
    """

    outputs: dict[str, Float[np.ndarray, "examples outputs"]]
    targets: dict[str, np.ndarray]
    present: dict[str, np.ndarray]
    indices: Int[np.ndarray, " examples"]

    def __repr__(self) -> str:
        return brief(self)


class TrainedMultiTask(Trained):
    """A trained model of several tasks; `train.restore` makes it from a run folder.

    Attributes:
        model: The Flax module.
        variables: Variables of the model, with averaged parameters if the run has them.
        tasks: Tasks by the names of their heads.
    """

    def __init__(self, run: SavedRun) -> None:
        super().__init__(run)
        model = run.model()
        if run.preprocessing is None or not isinstance(model, MultiHead):
            raise CheckpointError(f"{run.folder} is not the run of several tasks on images")
        try:
            described = run.record.step["loss"]["tasks"]
            self.tasks = {name: Task(**options) for name, options in described.items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"the record of the run in {run.folder}: its tasks cannot be used: {error!r}"
            ) from error
        self.model = model
        self.variables = run.variables()
        self.inputs = run.inputs

    def predict(
        self,
        data: Dataset | Iterable[Mapping[str, Any]] | None = None,
        *,
        batch_size: int = 128,
    ) -> Outputs:
        """Applies the model to images of the size in `preprocessing`, not normalized yet."""

        def of_batch(variables: PyTree, batch: Mapping[str, Any]) -> tuple[Any, Any]:
            images = self.inputs.evaluate(batch)["image"]
            wanted = {task.label for task in self.tasks.values()}
            wanted |= {task.present for task in self.tasks.values() if task.present is not None}
            kept = {name: batch[name] for name in wanted if name in batch}
            return self.model.apply(variables, images, train=False), kept

        (outputs, kept), indices = map_batches(
            of_batch, self.variables, data, batch_size=batch_size
        )
        known = {name: task for name, task in self.tasks.items() if task.label in kept}
        present = {
            name: np.ones(len(indices), bool) if task.present is None else kept[task.present] > 0
            for name, task in known.items()
        }
        targets = {name: kept[task.label] for name, task in known.items()}
        return Outputs(outputs, targets, present, indices)

    def evaluate(self, predictions: Outputs, *, num_resamples: int = 1000) -> dict[str, Score]:
        """Scores each task on the examples that have a target of it.

        `TASK_accuracy` of a classification has Wilson's interval; `TASK_absolute_error` of a
        regression has a bootstrap interval, unless `num_resamples` is 0.
        """
        scores: dict[str, Score] = {}
        for name, targets in predictions.targets.items():
            present = predictions.present[name]
            outputs, targets = predictions.outputs[name][present], targets[present]
            count = len(targets)
            if self.tasks[name].kind == "classification":
                right = int((outputs.argmax(axis=1) == targets).sum())
                interval = metrics.wilson_interval(right, count) if count else (np.nan, np.nan)
                value = right / count if count else np.nan
                scores[f"{name}_accuracy"] = Score(value, *interval)
                continue
            errors = np.abs(outputs - targets.reshape(outputs.shape)).mean(axis=1)
            scores[f"{name}_absolute_error"] = _mean(errors.astype(np.float64), num_resamples)
        return scores

    def in_words(self, predictions: Outputs, *, top: int = 3) -> list[str]:
        """Describes each example by the outputs of all heads."""
        lines = []
        for row in range(len(predictions.indices)):
            words = []
            for name, outputs in predictions.outputs.items():
                if self.tasks[name].kind == "classification":
                    names = self.run.names(self.tasks[name].label)
                    best = np.argsort(-outputs[row], kind="stable")[:top]
                    found = [names[i] if names else str(i) for i in best]
                    words.append(f"{name} {' or '.join(found)}")
                else:
                    words.append(f"{name} {', '.join(f'{x:.4g}' for x in outputs[row])}")
            lines.append("; ".join(words))
        return lines

    def serving(self) -> Serving:
        """Function from images to the outputs of the heads, with probabilities of classes."""
        classify = [name for name, task in self.tasks.items() if task.kind == "classification"]

        def fn(images: Array) -> dict[str, Array]:
            made = self._outputs(images)
            given = {name: output.astype(jnp.float32) for name, output in made.items()}
            softmax = {f"{name}_probabilities": nn.softmax(given[name]) for name in classify}
            return given | softmax

        outputs: dict[str, str] = {}
        names: dict[str, tuple[str, ...]] = {}
        for name, task in self.tasks.items():
            outputs[name] = f"predicted {task.label}"
            if name in classify:
                classes = self.run.names(task.label)
                outputs[name] = f"one number per class of {task.label}, not normalized"
                outputs[f"{name}_probabilities"] = f"the softmax of {name}"
                names |= dict.fromkeys([name, f"{name}_probabilities"], classes)
        return Serving(fn, [self._images()], outputs, names, self.preprocessing)

    def score_functions(self) -> dict[str, ScoreFunction]:
        """The outputs of each head by its name: logits of classes, or predicted numbers."""

        def of_head(name: str) -> ScoreFunction:
            task = self.tasks[name]
            is_class = task.kind == "classification"
            names = self.run.names(task.label) if is_class else ()
            return ScoreFunction(lambda images: self._outputs(images)[name], names, is_class)

        return {name: of_head(name) for name in self.tasks}

    def backbone(self) -> tuple[nn.Module, dict[str, PyTree]]:
        """The shared model without heads, and its variables."""
        return self.model.backbone, models.backbone_variables(self.variables)

    def _outputs(self, images: Any) -> Any:
        """The outputs of all heads."""
        seen = self.inputs.evaluate({"image": images})["image"]
        return self.model.apply(self.variables, seen, train=False)


def _mean(errors: Float[np.ndarray, " examples"], num_resamples: int) -> Score:
    if not len(errors):
        return Score(np.nan, note="no example has a target")
    if not num_resamples:
        return Score(float(errors.mean()))
    interval = metrics.bootstrap_interval(
        lambda errors: float(errors.mean()), errors, seed=0, num_resamples=num_resamples
    )
    return Score(float(errors.mean()), *interval)
