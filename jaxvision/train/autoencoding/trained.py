"""A trained autoencoder, restored from its run folder."""

import functools
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Integer, Key

from jaxvision import metrics, models
from jaxvision._reprs import brief
from jaxvision.data import Dataset, denormalize
from jaxvision.metrics import Score
from jaxvision.train._comparison import compare_by_bootstrap
from jaxvision.train.autoencoding.figures import draw
from jaxvision.train.autoencoding.loss import make_loss_fn
from jaxvision.train.checkpoint import CheckpointError
from jaxvision.train.mapping import map_batches
from jaxvision.train.run.restore import SavedRun
from jaxvision.train.serving import ScoreFunction, Serving
from jaxvision.train.tasks import Trained

PyTree = Any
Images = Float32[np.ndarray, "examples height width channels"]


class Predictions(NamedTuple):
    """Images, reconstructions and codes, one row per image; images are in [0, 1].

    Attributes:
        images: The images.
        seen: Inputs of the encoder: the images, with the corruption of the training if there was
            any.
        reconstructions: Outputs of the decoder.
        codes: The codes.
        labels: Class labels; -1 for none.
        indices: Index of each image in the data set; undecodable images are skipped.
    """

    images: Images
    seen: Images
    reconstructions: Images
    codes: Float32[np.ndarray, "examples latents"]
    labels: Integer[np.ndarray, " examples"]
    indices: Int[np.ndarray, " examples"]

    def __repr__(self) -> str:
        return brief(self)


class TrainedAutoencoder(Trained):
    """A trained autoencoder; `train.restore` makes it from a run folder.

    Attributes:
        model: The Flax module.
        variables: Variables of the model, with averaged parameters if the run has them.
        loss: Loss of the training, with its corruption of images.
        class_names: Class names; empty if the data set has none.
    """

    def __init__(self, run: SavedRun) -> None:
        super().__init__(run)
        model = run.model()
        if not isinstance(model, models.Autoencoder):
            raise CheckpointError(
                f"the record of the run in {run.folder}: its model is no Autoencoder"
            )
        self.loss = run.loss(lambda options: make_loss_fn(model, inputs=run.inputs, **options))
        self.model = model
        self.variables = run.variables()
        self.class_names = run.names("label")

    def predict(
        self,
        data: Dataset | Iterable[Mapping[str, Any]] | None = None,
        *,
        batch_size: int = 128,
        seed: int = 0,
    ) -> Predictions:
        """Corrupts images as in training (seeded by `seed`), and encodes and decodes them."""

        def of_batch(variables: PyTree, batch: Mapping[str, Any]) -> dict[str, Array]:
            images = self.loss.inputs.evaluate(batch)["image"]
            seen = self.loss.corrupt(jax.random.key(seed), images)
            codes: Any = self.model.apply(variables, seen, method="encode")
            made: Any = self.model.apply(variables, codes, method="decode")
            return {
                "images": self._shown(images),
                "seen": self._shown(seen),
                "reconstructions": self._shown(made),
                "codes": codes.astype(jnp.float32),
                "labels": batch.get("label", jnp.full(len(images), -1)),
            }

        rows, indices = map_batches(of_batch, self.variables, data, batch_size=batch_size)
        return Predictions(**rows, indices=indices)

    def evaluate(self, predictions: Predictions, *, num_resamples: int = 1000) -> dict[str, Score]:
        """Scores reconstructions: means over the images with t intervals.

        `squared_error` is averaged over the values of images in [0, 1], `psnr` is in decibels, and
        `ssim` mirrors the borders, so that images may have any size. If training corrupted images,
        the names with `seen_` score the inputs of the encoder. `num_resamples` is ignored.
        """
        del num_resamples
        scores = {}
        kinds = {"": predictions.reconstructions}
        if self.loss.noise or self.loss.masking:
            kinds["seen_"] = predictions.seen
        for kind, made in kinds.items():
            pair = jnp.asarray(made), jnp.asarray(predictions.images)
            error = np.square(made - predictions.images).mean(axis=(1, 2, 3))
            ssim = metrics.ssim(*pair, padding="symmetric")
            scores[f"{kind}squared_error"] = metrics.mean_score(error)
            scores[f"{kind}psnr"] = metrics.mean_score(metrics.psnr(*pair))
            scores[f"{kind}ssim"] = metrics.mean_score(ssim)
        return scores

    def compare(
        self, predictions: Predictions, others: Predictions, *, num_resamples: int = 1000
    ) -> tuple[str, dict[str, Any]]:
        """Compares squared error with another autoencoder on the same images, by a bootstrap."""
        own, other = (
            np.square(each.reconstructions - each.images).mean(axis=(1, 2, 3))
            for each in (predictions, others)
        )
        return compare_by_bootstrap(
            "squared error",
            lambda errors: float(errors.mean()),
            own,
            other,
            (predictions.indices, others.indices),
            form=".5f",
            num_resamples=num_resamples,
        )

    def draw(self, predictions: Predictions, data: Any = None) -> list[pathlib.Path]:
        """Draws figures into the run folder with `autoencoding.draw`."""
        return draw(self, predictions, data)

    def serving(self) -> Serving:
        """Function from images, which it does not corrupt, to codes and reconstructions."""

        def fn(images: Array) -> dict[str, Array]:
            codes = self._codes(images)
            made: Any = self.model.apply(self.variables, codes, method="decode")
            return {"codes": codes.astype(jnp.float32), "reconstructions": self._shown(made)}

        outputs = {
            "codes": "the numbers that each image is encoded as",
            "reconstructions": "images decoded from the codes, from 0 to 1",
        }
        return Serving(fn, [self._images()], outputs, preprocessing=self.preprocessing)

    def score_functions(self) -> dict[str, ScoreFunction]:
        """The numbers of the code, as "code"."""
        return {"code": ScoreFunction(self._codes, (), False, "code")}

    def _codes(self, images: Any) -> Any:
        seen = self.loss.inputs.evaluate({"image": images})["image"]
        return self.model.apply(self.variables, seen, method="encode")

    def decode(self, codes: Any) -> Float[Array, "batch height width channels"]:
        """Images of codes, in [0, 1]."""
        return self._decode(self.variables, jnp.asarray(codes))

    def sample(
        self, key: Key[Array, ""], count: int, codes: Float[np.ndarray, "examples latents"]
    ) -> Float[Array, "batch height width channels"]:
        """Decodes codes drawn from a normal distribution fitted to the codes of images.

        Training does not shape the space between codes, so most of the results do not look like
        images; a variational autoencoder is made for sampling.

        Args:
            key: Random key.
            count: Number of images.
            codes: Codes of images, whose mean and covariance are used.
        """
        mean, covariance = codes.mean(axis=0), np.cov(codes, rowvar=False, ddof=0)
        drawn = jax.random.multivariate_normal(
            key, mean, np.atleast_2d(covariance), (count,), method="svd"
        )
        return self.decode(drawn)

    @functools.cached_property
    def _decode(self) -> Any:
        def decode(variables: PyTree, codes: Array) -> Array:
            return self._shown(self.model.apply(variables, codes, method="decode"))

        return jax.jit(decode)

    def _shown(self, images: Any) -> Array:
        """Images without their normalization, in [0, 1]."""
        inputs = self.loss.inputs
        plain = denormalize(images.astype(jnp.float32), inputs.mean, inputs.std)
        return jnp.clip(plain, 0, 1)
