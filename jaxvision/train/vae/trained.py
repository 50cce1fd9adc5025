"""A trained variational autoencoder, restored from its run folder."""

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
from jaxvision.train.serving import BATCH, ArrayInfo, ScoreFunction, Serving, known_names
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
    """A trained variational autoencoder; `train.restore` makes it from a run folder.

    Methods take images as uint8 or floats in [0, 1], and return images in [0, 1]. If the model has
    classes, `labels` are required.

    Attributes:
        model: The Flax module.
        variables: Variables of the model, with averaged parameters if the run has them.
        loss: Loss of the training, with its likelihood.
        class_names: Class names; empty if the data set has none.
    """

    def __init__(self, run: SavedRun) -> None:
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
        """Encodes and decodes images, with the options of `vae.predict`."""
        return predict(
            self.loss, self.variables, data, samples=samples, batch_size=batch_size, seed=seed
        )

    def evaluate(self, predictions: Predictions, *, num_resamples: int = 1000) -> dict[str, Score]:
        """Scores predictions: means over the images with t intervals; `num_resamples` is ignored.

        `elbo`, `bound` and `kl` are in nats per image; `bits_per_dimension` is that of `bound`.
        `active_units` counts the code dimensions whose mean has a variance above 0.01 over the
        images (Burda et al.); if it is 0, the posterior has collapsed.
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
        """Draws figures into the run folder with `vae.draw`."""
        return draw(self, predictions, data)

    def compare(
        self, predictions: Predictions, others: Predictions, *, num_resamples: int = 1000
    ) -> tuple[str, dict[str, Any]]:
        """Compares `bound` with another model on the same images, by a paired bootstrap."""
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
        """Describes each image by its bound and its mean code."""
        return [
            f"log p >= {bound:.2f} nats ({predictions.samples} codes), code "
            + " ".join(f"{number:.2f}" for number in code)
            for bound, code in zip(predictions.bound, predictions.means, strict=True)
        ]

    def serving(self) -> Serving:
        """Function from images (and labels, if there are classes) to codes and expected images."""

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

    def score_functions(self) -> dict[str, ScoreFunction]:
        """The means of the codes, as "code"; pixels are taken as they are, not sampled.

        With classes, which the encoder sees, the codes of images taken for one of a class are "code
        as NAME", for each class.
        """
        classes = self.model.num_classes

        def code(name: str, label: int | None = None) -> ScoreFunction:
            def means(images: Any) -> Any:
                seen = self.loss.inputs.evaluate({"image": images})["image"]
                labels = None if label is None else jnp.full(seen.shape[0], label)
                coded: Any = self.model.apply(self.variables, seen, labels, method="encode")
                return coded[0]

            return ScoreFunction(means, (), False, name)

        if classes is None:
            return {"code": code("code")}
        names = [f"code as {name}" for name in known_names(self.class_names, classes)]
        return {name: code(name, label) for label, name in enumerate(names)}

    def encode(self, images: Any, labels: Labels = None) -> tuple[Codes, Codes]:
        """Means and log-variances of the codes of images."""
        return self._encode(self.variables, jnp.asarray(images), labels)

    def decode(self, codes: Codes, labels: Labels = None) -> Images:
        """Expected images of codes."""
        return self._decode(self.variables, codes, labels)

    def sample(
        self, key: Key[Array, ""], count: int, labels: Labels = None, *, observed: bool = False
    ) -> Images:
        """Samples codes from the prior and returns their expected images.

        Args:
            key: Random key.
            count: Number of images.
            labels: Class labels, for a model with classes.
            observed: Whether to also sample each pixel from the likelihood.
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
        """Images decoded on a path between the codes of two batches; see `vae.interpolate`."""
        start, end = (self.encode(images, labels)[0] for images in (first, second))
        return self._decode_each(interpolate(start, end, steps, path=path), labels)

    def traverse(
        self, images: Any, index: int, values: Any = (-3, -2, -1, 0, 1, 2, 3), labels: Labels = None
    ) -> Float[Array, "steps batch height width channels"]:
        """Images whose codes differ in one dimension; see `vae.traverse`."""
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
        """Fills in the unknown values of images by a search over codes; see `vae.complete`.

        Args:
            images: Images; unknown values are ignored.
            known: Mask of the known values.
            labels: Class labels, for a model with classes.
            key: Random key of the initial codes.
            starts: Searches per image, of which the most probable result is kept.
            steps: Gradient steps per search.

        Returns:
            The images, with the known values unchanged.
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
