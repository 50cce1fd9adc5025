"""A trained segmenter, from its run folder."""

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
from jaxvision.data.images import placement
from jaxvision.metrics import Score
from jaxvision.train._comparison import compare_by_bootstrap
from jaxvision.train.run.restore import SavedRun
from jaxvision.train.segmentation.figures import draw
from jaxvision.train.segmentation.loss import classes_of, of_two_classes
from jaxvision.train.segmentation.prediction import Predictions, Refine, predict
from jaxvision.train.segmentation.scores import count, mean_iou, names_of, score
from jaxvision.train.segmentation.tiling import predict_tiled
from jaxvision.train.segmentation.views import Views
from jaxvision.train.serving import BATCH, ArrayInfo, Serving
from jaxvision.train.tasks import Answer, Trained

PyTree = Any
SMALL = 2**18
"""Up to so many pixels an image, the scores of outlines take little time."""


class TrainedSegmenter(Trained):
    """A segmenter of images or volumes as its run left it; `train.restore` makes one.

    Attributes:
        run: The run, as its folder holds it.
        model: The model.
        variables: Its variables, with averaged parameters if there are any.
        class_names: What its classes are called; none if the data did not say.
        inputs: How images are normalized.
    """

    def __init__(self, run: SavedRun) -> None:
        """Reads the model and what its images need.

        Args:
            run: The run.

        Raises:
            CheckpointError: The run's record cannot be used.
        """
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
        """Applies the model to data, as `segmentation.predict` does.

        Args:
            data: Images of one size, not normalized yet.
            batch_size: Rows of a batch, if `data` is a data set.
            views: Flips and rotations of images to average over; see `with_views`.
            refine: Changes the logits by what the images show; see `segmentation.predict`.

        Returns:
            Classes and labels of the pixels, and places in the data.

        Raises:
            ValueError: There is no example in the data, or `views` are asked of volumes.
        """
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
        """Scores predictions, as `segmentation.score` does; outlines of small images too.

        Outlines may be off by 1 pixel in `boundary_f1`. Of images of more than `SMALL` pixels their
        scores are left out, as they take long.
        """
        small = predictions.labels[0].size <= SMALL
        return score(
            predictions,
            self.class_names,
            boundary_tolerance=1 if small else None,
            num_resamples=num_resamples,
        )

    def draw(self, predictions: Predictions, data: Any = None) -> list[pathlib.Path]:
        """Draws figures into the run's folder, as `segmentation.draw` does."""
        return draw(self.run.folder, predictions, data, self.class_names)

    def compare(
        self, predictions: Predictions, others: Predictions, *, num_resamples: int = 1000
    ) -> tuple[str, dict[str, Any]]:
        """Tests whether the mean IoU of another segmenter differs, by drawing the same images.

        Args:
            predictions: Of this segmenter.
            others: Of the other one, on the same images.
            num_resamples: Bootstrap draws.

        Returns:
            The result in words, and as a JSON-able dict.

        Raises:
            ValueError: The labels differ, so that the images are others.
        """
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

        An image is resized as those of the training were, but not cut, and its mask is brought back
        to its own size. Where the training took images as they were, so does this.

        Args:
            images: Pixels, (height, width, channels).
            top: How many classes to name.
            **options: Options of `predict_tiled`: `tile`, `overlap`, `margin`, `batch_size` and
                `views`.

        Yields:
            For each image its mask, the areas of its classes, and the largest in words.
        """
        for image in images:
            resized = self._resized(image)
            classes = predict_tiled(self._apply, self.variables, resized, **options)
            if classes.shape != image.shape[:2]:
                whole = Preprocessing(image.shape[:2], squash=True)
                classes = resize_and_crop(classes, whole, nearest=True)
            names = [*self.class_names] or [str(index) for index in range(classes.max() + 1)]
            yield Answer(_largest(classes, names, top), metrics.areas(classes, names), classes)

    def serving(self) -> Serving:
        """Images or volumes to the probabilities and the class of each pixel, at their size."""

        def fn(images: Array) -> dict[str, Array]:
            logits = self._apply(self.variables, images).astype(jnp.float32)
            classes = classes_of(logits).astype(jnp.int32)
            return {"classes": classes, "probabilities": nn.softmax(logits)}

        outputs = {
            "classes": "the most probable class of each pixel, counted from 0",
            "probabilities": "of each class, for each pixel",
        }
        names = {"probabilities": self.class_names}
        shape = self.record.data.get("image_shape")
        if self.preprocessing is None and shape is not None:
            meaning = "voxels, from 0 to 1 or on the scale of the training, if that was another"
            volumes = ArrayInfo("volumes", (BATCH, *shape), "float32", meaning)
            return Serving(fn, [volumes], outputs, names)
        return Serving(fn, [self._images()], outputs, names, self.preprocessing)

    def backbone(self) -> tuple[nn.Module, dict[str, PyTree]]:
        """The model whose maps are decoded, without the decoder, and its variables."""
        if not isinstance(self.model, models.Segmenter):
            raise self._cannot("be fine-tuned from: its model has no backbone")
        return self.model.backbone, models.backbone_variables(self.variables)

    @functools.cached_property
    def _apply(self) -> Any:
        """The logits of images from 0 to 1; one function, so that it is compiled once."""

        def apply(variables: PyTree, images: Any) -> Any:
            prepared = self.inputs.evaluate({"image": images})["image"]
            logits: Any = self.model.apply(variables, prepared, train=False)
            return of_two_classes(logits)

        return apply

    def _resized(self, image: Shaped[np.ndarray, "_ _ _"]) -> Shaped[np.ndarray, "_ _ _"]:
        preprocessing = self.preprocessing
        if preprocessing is None:
            raise self._cannot("segment single images: it learned from volumes")
        if self.record.data.get("preprocessing") is None:
            return image
        size, _ = placement((image.shape[0], image.shape[1]), preprocessing)
        whole = Preprocessing(size, interpolation=preprocessing.interpolation, squash=True)
        return resize_and_crop(image, whole)


def _largest(classes: Shaped[np.ndarray, "*space"], names: list[str], top: int) -> str:
    counts = np.bincount(classes.ravel(), minlength=len(names))
    order = np.argsort(-counts, kind="stable")[:top]
    return ", ".join(f"{names[i]} {counts[i] / classes.size:.1%}" for i in order if counts[i])
