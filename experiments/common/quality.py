"""Quality of generated images, measured in the features of a classifier of the same data."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

from common import script
from common.generative import labels_of, pixels

import jax
import numpy as np
from jaxtyping import Float, Float32, Int

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
        shares: Share of each class of the classifier in the training images: by their labels, or,
            if these have other classes or none, by the classifier's answers.
        halves: Frechet distance between two random halves of the training images.
    """

    classifier: Any
    dataset: data.Dataset
    real: Images
    features: Float[np.ndarray, "examples features"]
    shares: Float[np.ndarray, " classes"]
    halves: float

    @classmethod
    def make(cls, run_dir: str, dataset: data.Dataset) -> "Judge":
        """Restores a classifier, and computes its features of the training images."""
        classifier = train.restore(run_dir)
        if not isinstance(classifier, train.classification.TrainedClassifier):
            raise SystemExit(f"{run_dir} is not the run of a classifier")
        real = pixels(dataset)
        features, probabilities = _seen(classifier, real)
        count = probabilities.shape[1]
        known = dataset.num_classes == count
        labels = labels_of(dataset) if known else probabilities.argmax(axis=1)
        shares = np.bincount(labels, minlength=count) / len(labels)
        order = np.random.default_rng(0).permutation(len(features))
        halves = metrics.frechet_distance(features[order[::2]], features[order[1::2]])
        return cls(classifier, dataset, real, features, shares, halves)

    @property
    def class_names(self) -> list[str]:
        """Names of the classifier's classes; their numbers if they have none."""
        return [*(self.classifier.class_names or map(str, range(len(self.shares))))]

    def scores(
        self,
        samples: Images,
        labels: Int[np.ndarray, " _"] | None = None,
        *,
        least_share: float = 0.05,
    ) -> dict[str, float]:
        """Measures samples in [0, 1] against the training images.

        `frechet_distance`; `frechet_ratio`, its ratio to the distance between two halves of the
        training images; `frechet_ratio_of_equals` (see `ratio_of_equals`); `ideal_ratio`, the
        `frechet_ratio` of perfect samples (see `ideal_ratio`); `kernel_distance`, `precision`,
        `recall`, `density`, `coverage`, `inception_score`; `modes`, the number of classes with at
        least `least_share` of the samples; `rarest_share`, the share of the rarest class;
        `share/CLASS` of each class; `divergence` of the classes' shares from those of the training
        images; `copies` (see `copied`); and, with the `labels` that samples were asked to have, in
        classes of the classifier, `as_asked`, the share of samples that the classifier takes for
        the class that was asked for.
        """
        features, probabilities = _seen(self.classifier, samples)
        classes = probabilities.argmax(axis=1)
        modes = metrics.mode_coverage(
            classes, len(self.shares), least_share=least_share, expected=self.shares
        )
        distance = metrics.frechet_distance(self.features, features)
        asked = {} if labels is None else {"as_asked": float((classes == labels).mean())}
        return {
            "frechet_distance": distance,
            "frechet_ratio": distance / self.halves,
            "frechet_ratio_of_equals": self.ratio_of_equals(features),
            "ideal_ratio": self.ideal_ratio(len(samples)),
            "kernel_distance": metrics.kernel_distance(self.features, features),
            **metrics.support(self.features, features)._asdict(),
            "inception_score": metrics.inception_score(probabilities),
            "modes": float(modes.modes),
            "rarest_share": float(modes.shares.min()),
            **{
                f"share/{name}": float(share)
                for name, share in zip(self.class_names, modes.shares, strict=True)
            },
            "divergence": modes.divergence,
            "copies": self.copied(samples),
            **asked,
        }

    def ratio_of_equals(self, features: Float[np.ndarray, "_ features"], draws: int = 10) -> float:
        """The distance of samples to images, divided by that of other images, in equal numbers.

        Half of the training images are compared with samples, and with images of the other half:
        as many of both. The ratio of the mean distances over random draws is 1 on average if
        samples are distributed as the training images.
        """
        half = len(self.features) // 2
        count = min(half, len(features))
        distances = []
        for draw in range(draws):
            random = np.random.default_rng(draw)
            order, chosen = (random.permutation(len(each)) for each in (self.features, features))
            others = self.features[order[half : half + count]], features[chosen[:count]]
            distances.append(
                [metrics.frechet_distance(self.features[order[:half]], each) for each in others]
            )
        of_images, of_samples = np.mean(distances, axis=0)
        return float(of_samples / of_images)

    def ideal_ratio(self, count: int, draws: int = 5) -> float:
        """The `frechet_ratio` of `count` samples that are distributed as the training images.

        It depends only on the numbers of images: the distance falls as they grow. It is estimated
        with vectors drawn from the normal distribution fitted to the features.
        """
        mean, covariance = self.features.mean(axis=0), np.cov(self.features, rowvar=False)
        number = len(self.features)
        random = np.random.default_rng(0)

        def distance(*sizes: int) -> float:
            drawn = [
                random.multivariate_normal(mean, covariance, size, method="eigh") for size in sizes
            ]
            return metrics.frechet_distance(*drawn)

        whole = sum(distance(number, count) for _ in range(draws))
        return whole / sum(distance(number - number // 2, number // 2) for _ in range(draws))

    def labels_for(self, trained: Any, count: int) -> Int[np.ndarray, " _"] | None:
        """Classes for samples of a conditional model, as frequent as among the training images.

        None for a model without classes.
        """
        model = getattr(trained, "generator", getattr(trained, "model", None))
        if getattr(model, "num_classes", None) is None:
            return None
        return np.random.default_rng(0).choice(labels_of(self.dataset), count)

    def judged(self, trained: Any, samples: Images) -> dict[str, float]:
        """Measures samples of a restored run, made by `samples_of`; see `scores`."""
        known = self.dataset.num_classes == len(self.shares)
        return self.scores(samples, self.labels_for(trained, len(samples)) if known else None)

    def samples_of(self, trained: Any, count: int, truncation: float | None = None) -> Images:
        """Draws samples of a restored run, with the class frequencies of the training images.

        Codes of an autoencoder are drawn from a normal distribution fitted to the codes of the
        training images. `truncation` limits the noise of a GAN (see `TrainedGAN.sample`).
        """
        labels, options = self.labels_for(trained, count), dict[str, Any]()
        match trained:
            case train.autoencoding.TrainedAutoencoder():
                options["codes"] = trained.predict(self.dataset).codes
            case train.gan.TrainedGAN():
                options["truncation"] = truncation
            case train.vae.TrainedVAE():
                pass
            case _:
                raise SystemExit(f"the run in {trained.run.folder} cannot generate images")
        if truncation is not None and "truncation" not in options:
            raise SystemExit(f"--truncation is for GANs, and {trained.run.folder} has none")
        parts = []
        for start in range(0, count, TOGETHER):
            rows = slice(start, min(start + TOGETHER, count))
            given = {} if labels is None else {"labels": labels[rows]}
            key = jax.random.fold_in(jax.random.key(1), start)
            with script.checking():
                drawn = trained.sample(key, rows.stop - start, **given, **options)
            parts.append(np.asarray(drawn, np.float32))
        return np.concatenate(parts)

    def nearest(self, samples: Images) -> tuple[Int[np.ndarray, " _"], Float[np.ndarray, " _"]]:
        """The index of the nearest training image of each sample, and its distance.

        Distances of images are the root of the mean squared difference of their values.
        """
        flat, real = (each.reshape(len(each), -1) for each in (samples, self.real))
        indices, found = metrics.nearest(flat, real)
        return indices, found / np.sqrt(real.shape[1])

    @functools.cached_property
    def among(self) -> Float[np.ndarray, " examples"]:
        """The distance of each training image to the nearest other one."""
        flat = self.real.reshape(len(self.real), -1)
        return metrics.nearest(flat, flat, skip_self=True)[1] / np.sqrt(flat.shape[1])

    @property
    def near(self) -> float:
        """The 1st percentile of the distances from training images to their nearest other one."""
        return float(np.percentile(self.among, 1))

    def copied(self, samples: Images) -> float:
        """The share of samples that are so near to a training image that they count as copies.

        The threshold is `near`: by this criterion, 1% of the training images are copies of each
        other.
        """
        return float((self.nearest(samples)[1] < self.near).mean())


def draw_distances(judge: Judge, made: Mapping[str, Images], path: pathlib.Path) -> None:
    """Draws how near images of each kind are to their nearest training images, as histograms."""
    values = {"training images, to the nearest other one": judge.among}
    for name, images in made.items():
        values[f"{name.replace('_', ' ')} ({len(images):,})"] = judge.nearest(images)[1]
    figure = plots.histograms(
        values,
        axis="distance to the nearest training image",
        mark=judge.near,
        mark_name="1st percentile of the training images",
        title=f"distances to the nearest training image of {judge.dataset.name}",
    )
    plots.save(figure, path)


def draw_closest(judge: Judge, samples: Images, path: pathlib.Path, count: int = 20) -> None:
    """Draws the samples that are nearest to a training image, each next to that image."""
    indices, distances = judge.nearest(samples)
    chosen = np.argsort(distances, kind="stable")[:count]
    panels = [each for row in chosen for each in (samples[row], judge.real[indices[row]])]
    titles = [text for row in chosen for text in ("sample", f"training: {distances[row]:.2f}")]
    title = f"the {len(chosen)} of {len(samples):,} samples that are nearest to a training image"
    plots.save(plots.image_grid(panels, titles, 10, title=title), path)


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
