"""A trained classifier, restored from its run folder."""

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxvision import metrics
from jaxvision.data import Dataset
from jaxvision.metrics import ClassScore, Score
from jaxvision.train.checkpoint import CheckpointError
from jaxvision.train.classification.figures import draw
from jaxvision.train.classification.mistakes import Mistake, mistakes
from jaxvision.train.classification.prediction import Embeddings, Predictions, embed, predict
from jaxvision.train.classification.scores import score
from jaxvision.train.run.restore import SavedRun
from jaxvision.train.serving import ScoreFunction, Serving
from jaxvision.train.tasks import Trained

PyTree = Any


class TrainedClassifier(Trained):
    """A trained classifier of images; `train.restore` makes it from a run folder.

    Attributes:
        model: Flax module that returns logits.
        variables: Variables of the model, with averaged parameters if the run has them.
        channels: Channels of the images.
        class_names: Class names; empty if the data set has none.
    """

    def __init__(self, run: SavedRun) -> None:
        super().__init__(run)
        if run.preprocessing is None:
            raise CheckpointError(f"{run.folder} is not the run of a classifier on images")
        self.model = run.model()
        self.variables = run.variables()
        self.channels: int = run.record.data["image_shape"][2]
        self.class_names = run.names("label")
        self.inputs = run.inputs

    def predict(
        self,
        data: Dataset | Iterable[Mapping[str, Any]] | None = None,
        *,
        batch_size: int = 128,
    ) -> Predictions:
        """Applies the model to images of the size in `preprocessing`, not normalized yet."""
        return predict(self.model, self.variables, data, batch_size=batch_size, inputs=self.inputs)

    def embed(
        self, data: Dataset | Iterable[Mapping[str, Any]] | None, *, batch_size: int = 128
    ) -> Embeddings:
        """Computes feature vectors of images with `classification.embed`."""
        return embed(self.model, self.variables, data, batch_size=batch_size, inputs=self.inputs)

    def evaluate(self, predictions: Predictions, *, num_resamples: int = 1000) -> dict[str, Score]:
        """Scores predictions with `classification.score`."""
        return score(predictions, num_resamples=num_resamples)

    def evaluate_classes(self, predictions: Predictions) -> dict[str, ClassScore]:
        """Scores predictions for each class with `metrics.class_scores`."""
        num_classes = predictions.logits.shape[1]
        matrix = metrics.confusion_matrix(predictions.labels, predictions.classes, num_classes)
        return metrics.class_scores(matrix, self.class_names or None)

    def mistakes(self, predictions: Predictions, data: Any) -> list[Mistake]:
        """Lists misclassified examples with `classification.mistakes`."""
        return mistakes(predictions, data)

    def draw(self, predictions: Predictions, data: Any = None) -> list[pathlib.Path]:
        """Draws figures into the run folder with `classification.draw`."""
        return draw(self.run.folder, predictions, data)

    def compare(
        self, predictions: Predictions, others: Predictions, *, num_resamples: int = 1000
    ) -> tuple[str, dict[str, Any]]:
        """Compares accuracy with another classifier on the same images.

        The difference has an interval from a paired bootstrap; McNemar's test gives its p-value.
        """
        labels, own, other = predictions.labels, predictions.classes, others.classes
        if not np.array_equal(labels, others.labels):
            raise ValueError("the other model was evaluated on other images")
        test = metrics.mcnemar(labels, own, other)
        difference = metrics.paired_bootstrap(
            lambda labels, outputs: float(np.mean(labels == outputs)),
            labels,
            own,
            other,
            seed=0,
            num_resamples=num_resamples,
        )
        low, high = difference.interval
        words = (
            f"accuracy {np.mean(own == labels):.4f} against {np.mean(other == labels):.4f}: "
            f"difference {difference.difference:+.4f} [{low:+.4f}, {high:+.4f}]\n"
            f"right where the other is wrong: {test.b} against {test.c}\n"
            f"McNemar's test: exact p = {test.exact_p_value:.4g}"
        )
        numbers = {"difference": difference.difference, "interval": [low, high], **vars(test)}
        return words, numbers

    def in_words(self, predictions: Predictions, *, top: int = 3) -> list[str]:
        """Names the most probable classes of each example, with their probabilities."""
        return [
            ", ".join(
                f"{name} {share:.1%}"
                for name, share in zip(each["classes"], each["probabilities"], strict=True)
            )
            for each in self.contents(predictions, top=top)
        ]

    def contents(self, predictions: Predictions, *, top: int = 3) -> list[dict[str, Any]]:
        """The most probable classes of each example, with their probabilities."""
        probabilities = predictions.probabilities
        names = self.class_names or [str(index) for index in range(probabilities.shape[1])]
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        return [
            {
                "classes": [names[index] for index in best],
                "probabilities": [float(row[index]) for index in best],
            }
            for row, best in zip(probabilities, order, strict=True)
        ]

    def serving(self) -> Serving:
        """Function from images to logits and probabilities."""

        def fn(images: Array) -> dict[str, Array]:
            logits = self._logits(images).astype(jnp.float32)
            return {"logits": logits, "probabilities": nn.softmax(logits)}

        outputs = {
            "logits": "one number per class, not normalized",
            "probabilities": "the softmax of the logits",
        }
        names = dict.fromkeys(outputs, self.class_names)
        return Serving(fn, [self._images()], outputs, names, self.preprocessing)

    def score_functions(self) -> dict[str, ScoreFunction]:
        """The logits, as "class"."""
        return {"class": ScoreFunction(self._logits, self.class_names)}

    def backbone(self) -> tuple[nn.Module, dict[str, PyTree]]:
        """The model and its variables."""
        return self.model, self.variables

    def _logits(self, images: Any) -> Any:
        seen = self.inputs.evaluate({"image": images})["image"]
        return self.model.apply(self.variables, seen, train=False)
