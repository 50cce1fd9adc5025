"""Quality of generated images, measured in the features of a classifier of the same data."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

from common.generative import labels_of, pixels

import jax
import numpy as np
from jaxtyping import Float, Float32

from jaxvision import data, metrics, plots, train

TOGETHER = 500
"""Number of images that are generated at once."""
Images = Float32[np.ndarray, "_ height width channels"]


@dataclasses.dataclass(frozen=True)
class Judge:
    """A classifier, and its features of the training images.

    Attributes:
        classifier: The restored run of the classifier.
        dataset: The training data of the generative models.
        real: The training images, in [0, 1].
        features: The last vectors before the logits, of the training images.
        halves: Frechet distance between two random halves of the training images.
        shares: Share of each class in the training images.
    """

    classifier: Any
    dataset: data.Dataset
    real: Images
    features: Float[np.ndarray, "examples features"]
    halves: float
    shares: Float[np.ndarray, " classes"]

    @classmethod
    def make(cls, run_dir: str, dataset: data.Dataset) -> "Judge":
        """Restores a classifier, and computes its features of the training images."""
        classifier = train.restore(run_dir)
        if not isinstance(classifier, train.classification.TrainedClassifier):
            raise SystemExit(f"{run_dir} is not the run of a classifier")
        real = pixels(dataset)
        features, _ = _seen(classifier, real)
        order = np.random.default_rng(0).permutation(len(features))
        first, second = features[order[::2]], features[order[1::2]]
        labels = labels_of(dataset)
        shares = np.bincount(labels, minlength=dataset.num_classes) / len(labels)
        halves = metrics.frechet_distance(first, second)
        return cls(classifier, dataset, real, features, halves, shares)

    def scores(self, samples: Images, *, least_share: float = 0.05) -> dict[str, float]:
        """Measures samples in [0, 1] against the training images.

        `frechet_distance`; `frechet_ratio`, its ratio to the distance between two halves of the
        training images; `kernel_distance`, `precision`, `recall`, `density`, `coverage`,
        `inception_score`; `modes`, the number of classes with at least `least_share` of the
        samples; `rarest_share`, the share of the rarest class; `divergence` of the classes' shares
        from those of the training images; `copies` (see `copied`).
        """
        features, probabilities = _seen(self.classifier, samples)
        classes = probabilities.argmax(axis=1)
        modes = metrics.mode_coverage(
            classes, len(self.shares), least_share=least_share, expected=self.shares
        )
        distance = metrics.frechet_distance(self.features, features)
        return {
            "frechet_distance": distance,
            "frechet_ratio": distance / self.halves,
            "kernel_distance": metrics.kernel_distance(self.features, features),
            **metrics.support(self.features, features)._asdict(),
            "inception_score": metrics.inception_score(probabilities),
            "modes": float(modes.modes),
            "rarest_share": float(modes.shares.min()),
            "divergence": modes.divergence,
            "copies": self.copied(samples),
        }

    def samples_of(self, trained: train.Trained, count: int) -> Images:
        """Draws samples of a restored run, with the class frequencies of the training images.

        Codes of an autoencoder are drawn from a normal distribution fitted to the codes of the
        training images.
        """
        given: Any = np.random.default_rng(0).choice(len(self.shares), count, p=self.shares)
        sample: Any
        match trained:
            case train.autoencoding.TrainedAutoencoder():
                codes = trained.predict(self.dataset).codes
                sample = functools.partial(trained.sample, codes=codes)
                given = None
            case train.vae.TrainedVAE():
                sample = trained.sample
                given = None if trained.model.num_classes is None else given
            case train.gan.TrainedGAN():
                sample = trained.sample
                given = None if trained.generator.num_classes is None else given
            case _:
                raise SystemExit(f"the run in {trained.run.folder} cannot generate images")
        parts = []
        for start in range(0, count, TOGETHER):
            rows = slice(start, min(start + TOGETHER, count))
            options = {} if given is None else {"labels": given[rows]}
            key = jax.random.fold_in(jax.random.key(1), start)
            parts.append(np.asarray(sample(key, rows.stop - start, **options), np.float32))
        return np.concatenate(parts)

    def copied(self, samples: Images) -> float:
        """The share of samples that are so near to a training image that they count as copies.

        The threshold is the 1st percentile of the distances from training images to their nearest
        other one: by this criterion, 1% of the training images are copies of each other.
        """
        flat = self.real.reshape(len(self.real), -1)
        _, found = metrics.nearest(samples.reshape(len(samples), -1), flat)
        return float((found < self.near).mean())

    @functools.cached_property
    def near(self) -> float:
        """The 1st percentile of the distances from training images to their nearest other one."""
        flat = self.real.reshape(len(self.real), -1)
        _, among = metrics.nearest(flat, flat, skip_self=True)
        return float(np.percentile(among, 1))


def draw_rows(shown: Mapping[str, Images], title: str, path: pathlib.Path) -> None:
    """Draws a row of images per model, with the name of the model above."""
    columns = min(map(len, shown.values()))
    titles = [
        name.replace("_", " ") if index == 0 else "" for name in shown for index in range(columns)
    ]
    images = np.concatenate([each[:columns] for each in shown.values()])
    plots.save(plots.image_grid(images, titles, columns, title=title), path)


def _seen(classifier: Any, images: Images) -> tuple[Any, Any]:
    """The features and the class probabilities of images in [0, 1]."""
    size = classifier.preprocessing.size
    resized: Any = images
    if images.shape[1:3] != size:
        bytes_ = np.round(images * 255).astype(np.uint8)
        resized = np.stack(
            [data.resize_and_crop(each, classifier.preprocessing) for each in bytes_]
        )
    embedded = classifier.embed([{"image": resized}])
    return embedded.vectors, embedded.probabilities
