"""A trained generator and its critic, restored from their run folder."""

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
from jaxvision.train._paths import Path, interpolate
from jaxvision.train.checkpoint import CheckpointError
from jaxvision.train.gan.figures import draw
from jaxvision.train.mapping import map_batches
from jaxvision.train.run.restore import SavedRun
from jaxvision.train.serving import BATCH, ArrayInfo, ScoreFunction, Serving, known_names
from jaxvision.train.tasks import Trained

PyTree = Any
Labels = Integer[Array | np.ndarray, " batch"] | None
Images = Float[Array, "batch height width channels"]


class Predictions(NamedTuple):
    """Real images, as many generated ones, and the critic's scores of both.

    Attributes:
        real: Real images, in [0, 1].
        fake: Generated images, in [0, 1], of the same classes if there are any.
        real_scores: Critic's score of each real image.
        fake_scores: Critic's score of each generated image.
        indices: Index of each real image in the data set.
    """

    real: Float32[np.ndarray, "examples height width channels"]
    fake: Float32[np.ndarray, "examples height width channels"]
    real_scores: Float32[np.ndarray, " examples"]
    fake_scores: Float32[np.ndarray, " examples"]
    indices: Int[np.ndarray, " examples"]

    def __repr__(self) -> str:
        return brief(self)


class TrainedGAN(Trained):
    """A trained generator and critic; `train.restore` makes it from a run folder.

    Attributes:
        generator: The generator.
        critic: The critic.
        variables: Variables of the generator, with averaged parameters if the run has them.
        critic_variables: Variables of the critic.
        class_names: Class names; empty if the data set has none.
    """

    def __init__(self, run: SavedRun) -> None:
        super().__init__(run)
        generator, critic = run.model("generator"), run.model("critic")
        if not isinstance(generator, models.Generator) or not isinstance(critic, models.Critic):
            raise CheckpointError(f"the run in {run.folder} is not that of a GAN")
        self.generator, self.critic = generator, critic
        self.variables = run.variables("generator")
        self.critic_variables = run.variables("critic")
        self.inputs = run.inputs
        self.class_names = run.names("label")

    def predict(
        self,
        data: Dataset | Iterable[Mapping[str, Any]] | None = None,
        *,
        batch_size: int = 128,
        seed: int = 0,
    ) -> Predictions:
        """Samples one image per real image of `data`, and scores all with the critic."""
        classes = self.generator.num_classes

        def of_batch(variables: PyTree, batch: Mapping[str, Any]) -> dict[str, Array]:
            images = self.inputs.evaluate(batch)["image"]
            labels = jnp.asarray(batch["label"]) if "label" in batch else jnp.full(len(images), -1)
            scores: Any = self.critic.apply(variables, images, None if classes is None else labels)
            return {"real": self._shown(images), "scores": scores, "labels": labels}

        real, indices = map_batches(of_batch, self.critic_variables, data, batch_size=batch_size)
        labels = None if classes is None else real["labels"]
        fake = self.sample(jax.random.key(seed), len(indices), labels)
        judged = [
            self._judge(self.critic_variables, fake[rows], None if labels is None else labels[rows])
            for rows in _parts(len(fake))
        ]
        return Predictions(
            real["real"], np.asarray(fake), real["scores"], np.concatenate(judged), indices
        )

    def evaluate(self, predictions: Predictions, *, num_resamples: int = 1000) -> dict[str, Score]:
        """Measures how well the critic separates real and generated images, and how near both are.

        `real_score` and `fake_score` are the critic's mean scores, with t intervals. `critic_auc`
        is the share of pairs in which it scores the real image higher (0.5 is chance).
        `pixel_frechet_distance` compares the pixels of both, shrunk to 8x8. `num_resamples` is
        ignored. Image quality shows in the features of a classifier: see `experiments/gan.py`, and
        `frechet_distance`, `support` and `mode_coverage` of `metrics`.
        """
        del num_resamples
        scores = np.concatenate([predictions.real_scores, predictions.fake_scores])
        is_real = np.repeat([1, 0], [len(predictions.real), len(predictions.fake)])
        result = {
            "real_score": metrics.mean_score(predictions.real_scores),
            "fake_score": metrics.mean_score(predictions.fake_scores),
            "critic_auc": Score(float(metrics.roc_auc(scores, is_real))),
        }
        if len(predictions.real) > 1:
            small = [_small(images) for images in (predictions.real, predictions.fake)]
            result["pixel_frechet_distance"] = Score(metrics.frechet_distance(*small))
        return result

    def draw(self, predictions: Predictions, data: Any = None) -> list[pathlib.Path]:
        """Draws figures into the run folder with `gan.draw`."""
        return draw(self, predictions, data)

    def sample(
        self,
        key: Key[Array, ""],
        count: int,
        labels: Labels = None,
        *,
        truncation: int | float | None = None,
    ) -> Images:
        """Samples images in [0, 1].

        Args:
            key: Random key of the noise.
            count: Number of images.
            labels: Class labels, for a generator with classes.
            truncation: Largest absolute value of the noise; smaller values give better but less
                diverse images (Brock et al., arXiv:1809.11096). None does not truncate.

        Raises:
            ValueError: `truncation` is not positive.
        """
        return self.generate(
            draw_noise(key, (count, self.generator.noise_size), truncation), labels
        )

    def generate(self, noise: Float[Array, "batch numbers"], labels: Labels = None) -> Images:
        """Images of given noise, in [0, 1]."""
        parts = [
            self._generate(self.variables, noise[rows], None if labels is None else labels[rows])
            for rows in _parts(len(noise))
        ]
        return jnp.concatenate(parts)

    def serving(self) -> Serving:
        """Function from noise (and labels, if there are classes) to images."""

        def fn(noise: Array, labels: Array | None = None) -> dict[str, Array]:
            return {"images": self._shown(self.generator.apply(self.variables, noise, labels))}

        shape = (BATCH, self.generator.noise_size)
        inputs = [ArrayInfo("noise", shape, "float32", "samples of a standard normal distribution")]
        if self.generator.num_classes is not None:
            inputs.append(ArrayInfo("labels", (BATCH,), "int32", "the classes, counted from 0"))
        return Serving(fn, inputs, {"images": "images from 0 to 1"})

    def score_functions(self) -> dict[str, ScoreFunction]:
        """The critic's score, as "critic": the higher, the more real it takes an image for.

        With classes, there is a score for each: that of the image as one of the class.
        """
        classes = self.critic.num_classes

        def scores(images: Any) -> Float[Array, "batch scores"]:
            seen = self.inputs.evaluate({"image": images})["image"]

            def as_class(label: Array | None) -> Any:
                labels = None if label is None else jnp.full(seen.shape[0], label)
                return self.critic.apply(self.critic_variables, seen, labels)

            if classes is None:
                return as_class(None)[:, None]
            return jax.vmap(as_class, out_axes=1)(jnp.arange(classes))

        names = ["real"] if classes is None else known_names(self.class_names, classes)
        return {"critic": ScoreFunction(scores, names, False, "critic's score")}

    def interpolate(
        self,
        first: Float[Array, "batch numbers"],
        second: Float[Array, "batch numbers"],
        steps: int = 9,
        labels: Labels = None,
        *,
        path: Path = "spherical",
    ) -> Float[Array, "steps batch height width channels"]:
        """Images generated on a path from some noise to other noise; see `vae.interpolate`."""
        noise = interpolate(first, second, steps, path=path)
        flat = noise.reshape(-1, noise.shape[-1])
        repeated = None if labels is None else jnp.tile(jnp.asarray(labels), steps)
        images = self.generate(flat, repeated)
        return images.reshape(*noise.shape[:2], *images.shape[1:])

    @functools.cached_property
    def _generate(self) -> Any:
        def generate(variables: PyTree, noise: Array, labels: Any) -> Array:
            return self._shown(self.generator.apply(variables, noise, labels))

        return jax.jit(generate)

    @functools.cached_property
    def _judge(self) -> Any:
        def judge(variables: PyTree, images: Array, labels: Any) -> Array:
            seen = self.inputs.evaluate({"image": images})["image"]
            scores: Any = self.critic.apply(variables, seen, labels)
            return scores

        return jax.jit(judge)

    def _shown(self, images: Any) -> Array:
        """Images without their normalization, in [0, 1]."""
        plain = denormalize(images.astype(jnp.float32), self.inputs.mean, self.inputs.std)
        return jnp.clip(plain, 0, 1)


def draw_noise(
    key: Key[Array, ""], shape: tuple[int, ...], truncation: int | float | None = None
) -> Float[Array, "..."]:
    """Draws noise for a generator, from a standard normal distribution.

    Args:
        key: Random key.
        shape: Shape of the noise.
        truncation: Largest absolute value; values beyond it are drawn again. None does not
            truncate.

    Raises:
        ValueError: `truncation` is not positive.

    >>> float(jnp.abs(draw_noise(jax.random.key(0), (1000,), truncation=0.5)).max()) <= 0.5
    True
    """
    if truncation is None:
        return jax.random.normal(key, shape)
    if not truncation > 0:
        raise ValueError(f"truncation must be positive, got {truncation}")
    return jax.random.truncated_normal(key, -truncation, truncation, shape)


_TOGETHER = 256


def _parts(count: int) -> list[slice]:
    """Slices of rows that are computed at once."""
    return [slice(start, start + _TOGETHER) for start in range(0, max(count, 1), _TOGETHER)]


def _small(images: Float32[np.ndarray, "_ height width channels"]) -> Float[np.ndarray, "_ _"]:
    """The pixels of images, averaged down to 8x8."""
    height, width = min(images.shape[1], 8), min(images.shape[2], 8)
    small = models.layers.adaptive_avg_pool(jnp.asarray(images), height, width)
    return np.asarray(small).reshape(len(images), -1)
