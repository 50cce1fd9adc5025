"""A trained segmenter, restored from its run folder."""

import functools
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from jaxvision import metrics, models
from jaxvision.data import Dataset, Preprocessing, resize_and_crop
from jaxvision.metrics import Score
from jaxvision.train._comparison import compare_by_bootstrap
from jaxvision.train.run.restore import SavedRun
from jaxvision.train.segmentation.figures import draw
from jaxvision.train.segmentation.loss import classes_of, of_two_classes
from jaxvision.train.segmentation.prediction import Predictions, Refine, predict
from jaxvision.train.segmentation.scores import count, mean_iou, names_of, score
from jaxvision.train.segmentation.tiling import predict_tiled
from jaxvision.train.segmentation.views import Views
from jaxvision.train.serving import BATCH, ArrayInfo, ScoreFunction, Serving
from jaxvision.train.tasks import Answer, Trained

PyTree = Any
SMALL = 2**18
"""Boundary scores are slow, so they are skipped for images of more pixels than this."""


class TrainedSegmenter(Trained):
    """A trained segmenter of images or volumes; `train.restore` makes it from a run folder.

    Attributes:
        model: Flax module that returns logits for each pixel.
        variables: Variables of the model, with averaged parameters if the run has them.
        class_names: Class names; empty if the data set has none.
        inputs: Normalization of the images.
    """

    def __init__(self, run: SavedRun) -> None:
        super().__init__(run)
        self.model = run.model()
        self.variables = run.variables()
        self.class_names = run.names("mask")
        self.inputs = run.inputs

    def predict(
        self,
        data: Dataset | Iterable[Mapping[str, Any]] | None = None,
        *,
        batch_size: int = 32,
        views: Views = "none",
        refine: Refine | None = None,
    ) -> Predictions:
        """Applies the model to images of one size, with the options of `segmentation.predict`."""
        return predict(
            self.model,
            self.variables,
            data,
            batch_size=batch_size,
            inputs=self.inputs,
            views=views,
            refine=refine,
        )

    def evaluate(self, predictions: Predictions, *, num_resamples: int = 1000) -> dict[str, Score]:
        """Scores predictions with `segmentation.score`.

        Boundary scores, with a tolerance of 1 pixel, are included for images of up to `SMALL`
        pixels.
        """
        small = predictions.labels[0].size <= SMALL
        return score(
            predictions,
            self.class_names,
            boundary_tolerance=1 if small else None,
            num_resamples=num_resamples,
        )

    def draw(self, predictions: Predictions, data: Any = None) -> list[pathlib.Path]:
        """Draws figures into the run folder with `segmentation.draw`."""
        return draw(self.run.folder, predictions, data, self.class_names)

    def compare(
        self, predictions: Predictions, others: Predictions, *, num_resamples: int = 1000
    ) -> tuple[str, dict[str, Any]]:
        """Compares mean IoU with another segmenter on the same images, by a paired bootstrap."""
        return compare_by_bootstrap(
            "mean IoU",
            mean_iou,
            count(predictions),
            count(others),
            (predictions.labels, others.labels),
            form=".4f",
            num_resamples=num_resamples,
        )

    def in_words(self, predictions: Predictions, *, top: int = 3) -> list[str]:
        """Names the largest classes of each image, with their shares of the pixels."""
        names = names_of(predictions, self.class_names)
        return [_largest(classes, names, top) for classes in predictions.classes]

    def answers(
        self, images: Iterable[Shaped[np.ndarray, "_ _ _"]], *, top: int = 3, **options: Any
    ) -> Iterator[Answer]:
        """Segments images of any size, tile by tile.

        Images are resized as in training but not cropped, and their masks are resized back. If
        training did not resize images, neither does this.

        Args:
            images: Pixels, (height, width, channels).
            top: Number of classes named in the answer.
            **options: Options of `predict_tiled`: `tile`, `overlap`, `margin`, `batch_size`,
                `views`.

        Yields:
            For each image its mask, the areas of its classes, and the names of the largest ones.
        """
        for image in images:
            resized = self._uncropped(image)
            classes = predict_tiled(self._apply, self.variables, resized, **options)
            if classes.shape != image.shape[:2]:
                whole = Preprocessing(image.shape[:2], squash=True)
                classes = resize_and_crop(classes, whole, nearest=True)
            names = [*self.class_names] or [str(index) for index in range(classes.max() + 1)]
            yield Answer(_largest(classes, names, top), metrics.areas(classes, names), classes)

    def serving(self) -> Serving:
        """Function from images or volumes to the class and class probabilities of each pixel."""

        def fn(images: Array) -> dict[str, Array]:
            logits = self._apply(self.variables, images).astype(jnp.float32)
            classes = classes_of(logits).astype(jnp.int32)
            return {"classes": classes, "probabilities": nn.softmax(logits)}

        outputs = {
            "classes": "the most probable class of each pixel, counted from 0",
            "probabilities": "the probability of each class for each pixel",
        }
        names = {"probabilities": self.class_names}
        shape = self.record.data.get("image_shape")
        if self.preprocessing is None and shape is not None:
            meaning = "voxels, from 0 to 1, or on the scale of the training data"
            volumes = ArrayInfo("volumes", (BATCH, *shape), "float32", meaning)
            return Serving(fn, [volumes], outputs, names)
        return Serving(fn, [self._images()], outputs, names, self.preprocessing)

    def score_functions(self) -> dict[str, ScoreFunction]:
        """The logits of each pixel, as "mask"."""
        if self.preprocessing is None:
            raise self._cannot("be explained: this one was trained on volumes")
        fn = functools.partial(self._apply, self.variables)
        return {"mask": ScoreFunction(fn, self.class_names)}

    def backbone(self) -> tuple[nn.Module, dict[str, PyTree]]:
        """The encoder, without the decoder, and its variables."""
        if not isinstance(self.model, models.Segmenter):
            raise self._cannot("be fine-tuned from: its model has no backbone")
        return self.model.backbone, models.backbone_variables(self.variables)

    @functools.cached_property
    def _apply(self) -> Any:
        """Function from images in [0, 1] to logits; cached so that it is compiled once."""

        def apply(variables: PyTree, images: Any) -> Any:
            prepared = self.inputs.evaluate({"image": images})["image"]
            logits: Any = self.model.apply(variables, prepared, train=False)
            return of_two_classes(logits)

        return apply


def _largest(classes: Shaped[np.ndarray, "*space"], names: list[str], top: int) -> str:
    counts = np.bincount(classes.ravel(), minlength=len(names))
    order = np.argsort(-counts, kind="stable")[:top]
    return ", ".join(f"{names[i]} {counts[i] / classes.size:.1%}" for i in order if counts[i])
