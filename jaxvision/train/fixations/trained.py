"""A trained model of fixations, restored from its run folder."""

import functools
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from jaxvision.data import Dataset, Preprocessing, resize_and_crop
from jaxvision.metrics import Score
from jaxvision.train._comparison import compare_by_bootstrap
from jaxvision.train.fixations.figures import draw
from jaxvision.train.fixations.prediction import Predictions, log_density_of, predict
from jaxvision.train.fixations.scores import score, scores_of_images
from jaxvision.train.run.restore import SavedRun
from jaxvision.train.serving import ScoreFunction, Serving
from jaxvision.train.tasks import Answer, Trained

PyTree = Any


class TrainedFixations(Trained):
    """A trained model of fixations; `train.restore` makes it from a run folder.

    Attributes:
        model: Flax module that returns one number for each pixel.
        variables: Variables of the model, with averaged parameters if the run has them.
        inputs: Normalization of the images.
    """

    def __init__(self, run: SavedRun) -> None:
        super().__init__(run)
        self.model = run.model()
        self.variables = run.variables()
        self.inputs = run.inputs

    def predict(
        self,
        data: Dataset | Iterable[Mapping[str, Any]] | None = None,
        *,
        batch_size: int = 32,
    ) -> Predictions:
        """Applies the model to images of one size with `fixations.predict`."""
        return predict(self.model, self.variables, data, batch_size=batch_size, inputs=self.inputs)

    def evaluate(self, predictions: Predictions, *, num_resamples: int = 1000) -> dict[str, Score]:
        """Scores predictions with `fixations.score`; `num_resamples` is ignored."""
        del num_resamples
        return score(predictions)

    def draw(self, predictions: Predictions, data: Any = None) -> list[pathlib.Path]:
        """Draws figures into the run folder with `fixations.draw`."""
        return draw(self.run.folder, predictions, data)

    def compare(
        self, predictions: Predictions, others: Predictions, *, num_resamples: int = 1000
    ) -> tuple[str, dict[str, Any]]:
        """Compares the divergence with that of another model on the same images, by a bootstrap."""
        if predictions.density is None or others.density is None:
            raise ValueError("a comparison needs true densities, and the data have none")
        own, other = (
            scores_of_images(each.log_density, each.density)["kl"] for each in (predictions, others)
        )
        return compare_by_bootstrap(
            "divergence",
            lambda values: float(values.mean()),
            own,
            other,
            (predictions.density, others.density),
            form=".4f",
            unit=" nats",
            num_resamples=num_resamples,
        )

    def in_words(self, predictions: Predictions, *, top: int = 3) -> list[str]:
        """Names the pixel that is looked at most, and the area of half of the fixations."""
        del top
        return [_words(_content(np.exp(each))) for each in predictions.log_density]

    def contents(self, predictions: Predictions, *, top: int = 3) -> list[dict[str, Any]]:
        """Returns the content of `in_words` as JSON-able dicts."""
        del top
        return [_content(np.exp(each)) for each in predictions.log_density]

    def answers(
        self, images: Iterable[Shaped[np.ndarray, "_ _ _"]], *, top: int = 3, **options: Any
    ) -> Iterator[Answer]:
        """Predicts the density of fixations of images of any size.

        Images are resized as in training but not cropped, and the logarithms of their densities are
        resized back. If training did not resize images, neither does this.

        Args:
            images: Pixels, (height, width, channels).
            top: Unused.
            **options: There are none.

        Yields:
            For each image its density, the place looked at most, and the area of half of the
            fixations.
        """
        del top
        if options:
            raise self._cannot(f"take {', '.join(options)}")
        for image in images:
            log_density = np.asarray(self._apply(self.variables, self._uncropped(image)[None])[0])
            if log_density.shape != image.shape[:2]:
                whole = Preprocessing(image.shape[:2], interpolation="bilinear", squash=True)
                log_density = resize_and_crop(log_density, whole)
            density = np.exp(log_density - log_density.max())
            density /= density.sum()
            content = _content(density)
            yield Answer(_words(content), content, density=density)

    def serving(self) -> Serving:
        """Function from images to the density of fixations and its logarithm."""

        def fn(images: Array) -> dict[str, Array]:
            log_density = self._apply(self.variables, images)
            return {"log_density": log_density, "density": jnp.exp(log_density)}

        outputs = {
            "log_density": "the natural logarithm of the density of fixations of each pixel",
            "density": "the density of fixations of each pixel; it has the sum 1",
        }
        return Serving(fn, [self._images()], outputs, preprocessing=self.preprocessing)

    def score_functions(self) -> dict[str, ScoreFunction]:
        """How much the log density of fixations of each pixel is above its mean, as "log_density".

        The mean is that over the pixels of the image. The difference has a sign, and is the same
        for the outputs of the network, which are a log density but for one number per image.
        """

        def contrast(images: Any) -> Float[Array, "batch height width 1"]:
            seen = self.inputs.evaluate({"image": images})["image"]
            outputs: Any = self.model.apply(self.variables, seen, train=False)
            return outputs - outputs.mean(axis=(1, 2), keepdims=True)

        measure = "log density above its mean"
        return {"log_density": ScoreFunction(contrast, ["fixations"], False, measure)}

    @functools.cached_property
    def _apply(self) -> Any:
        """Function from images in [0, 255] to log-densities; cached so that it is compiled once."""

        def apply(variables: PyTree, images: Any) -> Float[Array, "batch height width"]:
            prepared = self.inputs.evaluate({"image": images})["image"]
            return log_density_of(self.model.apply(variables, prepared, train=False), prepared)

        return jax.jit(apply)


def _content(density: Float[np.ndarray, "height width"]) -> dict[str, Any]:
    """The place looked at most, and the share of the pixels with half of the fixations."""
    row, column = np.unravel_index(density.argmax(), density.shape)
    sums = np.cumsum(np.sort(density, axis=None)[::-1], dtype=np.float64)
    count = 1 + int(np.searchsorted(sums, sums[-1] / 2))
    return {"most_looked_at": [int(column), int(row)], "area_of_half": count / density.size}


def _words(content: Mapping[str, Any]) -> str:
    x, y = content["most_looked_at"]
    return (
        f"most looked at: x {x}, y {y}; half of the fixations are on "
        f"{content['area_of_half']:.1%} of the image"
    )
