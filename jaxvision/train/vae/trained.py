"""A trained variational autoencoder, from its run folder."""

import functools
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, Key

from jaxvision import metrics, models
from jaxvision.data import Dataset, to_float
from jaxvision.losses import variational
from jaxvision.metrics import Score
from jaxvision.train._comparison import compare_by_bootstrap
from jaxvision.train._paths import Path, interpolate
from jaxvision.train.checkpoint import CheckpointError
from jaxvision.train.run.restore import SavedRun
from jaxvision.train.serving import BATCH, ArrayInfo, Serving
from jaxvision.train.tasks import Trained
from jaxvision.train.vae import queries
from jaxvision.train.vae.figures import draw
from jaxvision.train.vae.loss import ACTIVE_VARIANCE, VAELoss, make_loss_fn
from jaxvision.train.vae.prediction import Predictions, predict

PyTree = Any
Codes = Float[Array, "batch latents"]
Labels = Integer[Array | np.ndarray, " batch"] | None
Images = Float[Array, "batch height width channels"]


class TrainedVAE(Trained):
    """A variational autoencoder as its run left it; `train.restore` makes one.

    Images that it takes are uint8, or floats from 0 to 1; those that it gives are from 0 to 1. A
    model with classes needs `labels` wherever there are any.

    Attributes:
        run: The run, as its folder holds it.
        model: The model.
        variables: Its variables, with averaged parameters if there are any.
        loss: Its loss, with the likelihood.
        class_names: What its classes are called; none if the data did not say.
    """

    def __init__(self, run: SavedRun) -> None:
        """Reads the model, its likelihood, and what its images need.

        Args:
            run: The run.

        Raises:
            CheckpointError: The run is not that of a variational autoencoder, or its record cannot
                be used.
        """
        super().__init__(run)
        model = run.model()
        if not isinstance(model, models.VariationalAutoencoder):
            raise CheckpointError(
                f"the record of the run in {run.folder}: its model is no VariationalAutoencoder"
            )

        def loss(options: dict[str, Any]) -> VAELoss:
            likelihood = variational.likelihood_from_description(options.pop("likelihood"))
            return make_loss_fn(model, likelihood=likelihood, inputs=run.inputs, **options)

        self.loss = run.loss(loss)
        self.model = model
        self.variables = run.variables()
        self.class_names = run.names("label")

    def predict(
        self,
        data: Dataset | Iterable[Mapping[str, Any]] | None = None,
        *,
        batch_size: int = 128,
        samples: int = 100,
        seed: int = 0,
    ) -> Predictions:
        """Encodes and decodes images and bounds their log-probabilities, as `vae.predict` does.

        Args:
            data: Images of the size of the training, not normalized yet.
            batch_size: Rows of a batch, if `data` is a data set.
            samples: How many codes of each image are drawn.
            seed: Of the codes.

        Returns:
            Bounds, codes, reconstructions and places in the data.

        Raises:
            ValueError: There is no example in the data.
        """
        return predict(
            self.loss, self.variables, data, samples=samples, batch_size=batch_size, seed=seed
        )

    def evaluate(self, predictions: Predictions, *, num_resamples: int = 1000) -> dict[str, Score]:
        """Scores predictions; intervals are t intervals of means over the images.

        Args:
            predictions: What `predict` gave.
            num_resamples: Not used.

        Returns:
            `elbo` and `bound`, in nats per image; `bits_per_dimension`, of the bound; `kl`, in nats
            per image; `active_units`, the numbers of the code whose mean varies by more than 0.01
            over the images (Burda et al.): with none, the posterior has collapsed.
        """
        del num_resamples
        dimensions = int(np.prod(predictions.reconstructions.shape[1:]))
        bits = variational.bits_per_dimension(jnp.asarray(predictions.bound), dimensions)
        variance = predictions.means.astype(np.float64).var(axis=0)
        active = int((variance > ACTIVE_VARIANCE).sum())
        note = "" if active else "the posterior has collapsed: codes say nothing of the images"
        return {
            "elbo": metrics.mean_score(predictions.elbo),
            "bound": metrics.mean_score(predictions.bound),
            "bits_per_dimension": metrics.mean_score(bits),
            "kl": metrics.mean_score(predictions.kl.sum(axis=1)),
            "active_units": Score(float(active), note=note),
        }

    def draw(self, predictions: Predictions, data: Any = None) -> list[pathlib.Path]:
        """Draws figures into the run's folder, as `vae.draw` does."""
        return draw(self, predictions, data)

    def compare(
        self, predictions: Predictions, others: Predictions, *, num_resamples: int = 1000
    ) -> tuple[str, dict[str, Any]]:
        """Tests whether the bound of another model differs, on the same images.

        Args:
            predictions: Of this model.
            others: Of the other one, on the same images.
            num_resamples: Bootstrap draws.

        Returns:
            The result in words, and as a JSON-able dict.

        Raises:
            ValueError: The images are others.
        """
        return compare_by_bootstrap(
            "bound",
            lambda bounds: float(bounds.mean()),
            predictions.bound,
            others.bound,
            (predictions.indices, others.indices),
            form=".3f",
            unit=" nats per image",
            num_resamples=num_resamples,
        )

    def in_words(self, predictions: Predictions, *, top: int = 3) -> list[str]:
        """Says how probable each image is."""
        return [
            f"log p >= {bound:.2f} nats ({predictions.samples} codes), code "
            + " ".join(f"{number:.2f}" for number in code)
            for bound, code in zip(predictions.bound, predictions.means, strict=True)
        ]

    def serving(self) -> Serving:
        """Images, and labels of a model with classes, to codes and their expected images."""

        def fn(images: Array, labels: Array | None = None) -> dict[str, Array]:
            observed = self.loss.observe({"image": to_float(images)}, jax.random.key(0))
            coded: Any = self.model.apply(self.variables, observed["seen"], labels, method="encode")
            mean, log_variance = coded
            outputs: Any = self.model.apply(self.variables, mean, labels, method="decode")
            expected = jnp.clip(self.loss.likelihood.mean(outputs.astype(jnp.float32)), 0, 1)
            return {"codes": mean, "log_variances": log_variance, "reconstructions": expected}

        outputs = {
            "codes": "the means of the normal distributions that images are encoded as",
            "log_variances": "the logarithms of their variances",
            "reconstructions": "the expected images of the codes, from 0 to 1",
        }
        inputs = [self._images()]
        if self.model.num_classes is not None:
            inputs.append(ArrayInfo("labels", (BATCH,), "int32", "the classes, counted from 0"))
        return Serving(fn, inputs, outputs, preprocessing=self.preprocessing)

    def encode(self, images: Any, labels: Labels = None) -> tuple[Codes, Codes]:
        """The means and the log-variances of the codes of images."""
        return self._encode(self.variables, jnp.asarray(images), labels)

    def decode(self, codes: Codes, labels: Labels = None) -> Images:
        """The expected images of codes."""
        return self._decode(self.variables, codes, labels)

    def sample(
        self, key: Key[Array, ""], count: int, labels: Labels = None, *, observed: bool = False
    ) -> Images:
        """Draws images: codes from the prior, and what the decoder expects of them.

        Args:
            key: Draws the codes.
            count: How many.
            labels: The classes, for a model with classes.
            observed: Whether to draw from the likelihood too, pixel by pixel.

        Returns:
            Images.
        """
        code_key, image_key = jax.random.split(key)
        codes = jax.random.normal(code_key, (count, self.model.latent_size))
        if not observed:
            return self.decode(codes, labels)
        outputs = self._outputs(self.variables, codes, labels)
        return self.loss.likelihood.sample(image_key, outputs)

    def interpolate(
        self,
        first: Any,
        second: Any,
        steps: int = 9,
        labels: Labels = None,
        *,
        path: Path = "spherical",
    ) -> Float[Array, "steps batch height width channels"]:
        """Images on the way from some images to others; see `vae.interpolate`."""
        start, end = (self.encode(images, labels)[0] for images in (first, second))
        return self._decode_each(interpolate(start, end, steps, path=path), labels)

    def traverse(
        self, images: Any, index: int, values: Any = (-3, -2, -1, 0, 1, 2, 3), labels: Labels = None
    ) -> Float[Array, "steps batch height width channels"]:
        """Images whose codes differ in one number; see `vae.traverse`."""
        codes, _ = self.encode(images, labels)
        moved = queries.traverse(codes, index, jnp.asarray(values, codes.dtype))
        return self._decode_each(moved, labels)

    def complete(
        self,
        images: Any,
        known: Bool[Array | np.ndarray, "batch height width channels"],
        labels: Labels = None,
        *,
        key: Key[Array, ""],
        starts: int = 8,
        steps: int = 300,
    ) -> Images:
        """Fills in what is hidden of images, by a search for the codes; see `vae.complete`.

        Args:
            images: Images, of any values where they are not known.
            known: Which values are known.
            labels: The classes, for a model with classes.
            key: Draws where the searches begin.
            starts: How many searches there are for each image; the most probable result is taken.
            steps: How many steps a search has.

        Returns:
            The images, whose known values are as they were.
        """
        pixels = to_float(jnp.asarray(images))
        found = self._complete(
            self.variables, pixels, jnp.asarray(known), labels, key, starts, steps
        )
        return jnp.where(known, pixels, found)

    @functools.cached_property
    def _encode(self) -> Any:
        def encode(variables: PyTree, images: Array, labels: Any) -> Any:
            observed = self.loss.observe({"image": to_float(images)}, jax.random.key(0))
            return self.model.apply(variables, observed["seen"], labels, method="encode")

        return jax.jit(encode)

    @functools.cached_property
    def _outputs(self) -> Any:
        return jax.jit(functools.partial(self.model.apply, method="decode"))

    @functools.cached_property
    def _decode(self) -> Any:
        def decode(variables: PyTree, codes: Array, labels: Any) -> Any:
            outputs: Any = self.model.apply(variables, codes, labels, method="decode")
            return jnp.clip(self.loss.likelihood.mean(outputs), 0, 1)

        return jax.jit(decode)

    def _decode_each(self, codes: Float[Array, "steps batch latents"], labels: Any) -> Any:
        steps, batch, latents = codes.shape
        repeated = None if labels is None else jnp.tile(jnp.asarray(labels), steps)
        images = self._decode(self.variables, codes.reshape(-1, latents), repeated)
        return images.reshape(steps, batch, *images.shape[1:])

    @functools.cached_property
    def _complete(self) -> Any:
        @functools.partial(jax.jit, static_argnames=("starts", "steps"))
        def search(
            variables: PyTree,
            images: Array,
            known: Array,
            labels: Any,
            key: Key[Array, ""],
            starts: int,
            steps: int,
        ) -> Array:
            pixels, marks = (jnp.repeat(each, starts, axis=0) for each in (images, known))
            classes = None if labels is None else jnp.repeat(jnp.asarray(labels), starts)

            def decode(codes: Array) -> Array:
                outputs: Any = self.model.apply(variables, codes, classes, method="decode")
                return outputs

            likelihood = self.loss.likelihood
            codes = jax.random.normal(key, (len(pixels), self.model.latent_size))
            codes = queries.complete(decode, likelihood, pixels, marks, codes, steps=steps)
            outputs = decode(codes)
            quality = likelihood.log_prob(outputs, pixels, marks) - jnp.square(codes).sum(-1) / 2
            best = quality.reshape(-1, starts).argmax(axis=1)
            expected = jnp.clip(likelihood.mean(outputs), 0, 1)
            by_start = expected.reshape(-1, starts, *expected.shape[1:])
            return by_start[jnp.arange(len(best)), best]

        return search
