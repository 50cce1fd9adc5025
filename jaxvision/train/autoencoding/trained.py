"""A trained autoencoder, from its run folder."""

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
from jaxvision.train.serving import Serving
from jaxvision.train.tasks import Trained

PyTree = Any
Images = Float32[np.ndarray, "examples height width channels"]


class Predictions(NamedTuple):
    """What an autoencoder makes of each image that counts; images are from 0 to 1.

    Attributes:
        images: The images.
        seen: What the encoder saw: the same, or with the noise of the training.
        reconstructions: What the decoder made of it.
        codes: The codes.
        labels: The classes, -1 where the data have none.
        indices: The images' places in the data: those that could not be decoded are left out.
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
    """An autoencoder as its run left it; `train.restore` makes one.

    Attributes:
        run: The run, as its folder holds it.
        model: The model.
        variables: Its variables, with averaged parameters if there are any.
        loss: Its loss, which says how images were corrupted.
        class_names: What the classes of the images are called; none if the data did not say.
    """

    def __init__(self, run: SavedRun) -> None:
        """Reads the model and what its images need.

        Args:
            run: The run.

        Raises:
            CheckpointError: The run is not that of an autoencoder, or its record cannot be used.
        """
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
        """Encodes and decodes images, with noise where there was some in training.

        Args:
            data: Images of the size of the training, not normalized yet.
            batch_size: Rows of a batch, if `data` is a data set.
            seed: Of the noise.

        Returns:
            Images, reconstructions, codes and places in the data.

        Raises:
            ValueError: There is no example in the data.
        """

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
        """Scores reconstructions; intervals are t intervals of means over the images.

        Args:
            predictions: What `predict` gave.
            num_resamples: Not used.

        Returns:
            `squared_error`, averaged over the values of images from 0 to 1; `psnr`, in decibels,
            and `ssim`, for images of any size with reflected borders; and the same of what the
            encoder saw, with `seen_` before the name, where it was not the image itself.
        """
        del num_resamples
        scores = {}
        kinds = {"": predictions.reconstructions}
        if self.loss.noise or self.loss.masking:
            kinds["seen_"] = predictions.seen
        for kind, made in kinds.items():
            pair = jnp.asarray(made), jnp.asarray(predictions.images)
            error = np.square(made - predictions.images).mean(axis=(1, 2, 3))
            ssim = metrics.ssim(*pair, padding="reflect")
            scores[f"{kind}squared_error"] = metrics.mean_score(error)
            scores[f"{kind}psnr"] = metrics.mean_score(metrics.psnr(*pair))
            scores[f"{kind}ssim"] = metrics.mean_score(ssim)
        return scores

    def compare(
        self, predictions: Predictions, others: Predictions, *, num_resamples: int = 1000
    ) -> tuple[str, dict[str, Any]]:
        """Tests whether the squared error of another autoencoder differs, on the same images.

        Args:
            predictions: Of this model.
            others: Of the other one, on the same images.
            num_resamples: Bootstrap draws.

        Returns:
            The result in words, and as a JSON-able dict.

        Raises:
            ValueError: The images are others.
        """
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
        """Draws figures into the run's folder, as `autoencoding.draw` does."""
        return draw(self, predictions, data)

    def serving(self) -> Serving:
        """Images, without noise, to their codes and to what the decoder makes of these."""

        def fn(images: Array) -> dict[str, Array]:
            seen = self.loss.inputs.evaluate({"image": images})["image"]
            codes: Any = self.model.apply(self.variables, seen, method="encode")
            made: Any = self.model.apply(self.variables, codes, method="decode")
            return {"codes": codes.astype(jnp.float32), "reconstructions": self._shown(made)}

        outputs = {
            "codes": "the numbers that each image is encoded as",
            "reconstructions": "images decoded from the codes, from 0 to 1",
        }
        return Serving(fn, [self._images()], outputs, preprocessing=self.preprocessing)

    def decode(self, codes: Any) -> Float[Array, "batch height width channels"]:
        """Images of codes, from 0 to 1."""
        return self._decode(self.variables, jnp.asarray(codes))

    def sample(
        self, key: Key[Array, ""], count: int, codes: Float[np.ndarray, "examples latents"]
    ) -> Float[Array, "batch height width channels"]:
        """Decodes codes that are drawn from the normal distribution nearest to some codes.

        Nothing in the training of an autoencoder asks for images between the codes of images, so
        that most of what this draws is none; that is what a variational autoencoder is for.

        Args:
            key: Draws the codes.
            count: How many.
            codes: Codes of images, whose mean and covariance are taken.

        Returns:
            Images from 0 to 1.
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
        """Images as they are drawn: not normalized, and from 0 to 1."""
        inputs = self.loss.inputs
        plain = denormalize(images.astype(jnp.float32), inputs.mean, inputs.std)
        return jnp.clip(plain, 0, 1)
