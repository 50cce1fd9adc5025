"""Settings of generative models of images, and simple densities to compare with."""

import dataclasses
from typing import Any, Literal

from common import script

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from jaxvision import data, models
from jaxvision.losses import variational


@dataclasses.dataclass(frozen=True)
class Coder:
    """The networks of an autoencoder."""

    network: Literal["dense", "conv"] = "conv"
    """Architecture: dense (fully connected layers) or conv (convolutions, each of which halves the
    height and width in the encoder and doubles them in the decoder)."""
    sizes: tuple[int, ...] | None = None
    """Widths of the encoder's dense layers, or channels of its convolutions; the decoder has the
    same in reverse. None takes 256 128 for dense, and 32 64 for conv."""
    latent_size: int = 16
    """Length of the code (latent vector) of an image."""
    norm: Literal["batch", "group", "layer"] | None = None
    """Normalization after each layer; None uses none."""
    activation: str = "relu"
    """Activation function after each layer, such as relu, gelu or tanh."""
    local: bool = False
    """Give each place of the smallest map a part of the code of its own, which is computed from the
    features at that place and decoded there. It suits images with many details, and codes that are
    long; only for --network conv."""

    def coders(self, shape: tuple[int, int, int], numbers: int = 1) -> dict[str, Any]:
        """Makes encoder and decoder; the decoder gives `numbers` outputs per value of an image."""
        height, width, channels = shape
        outputs = (height, width, channels * numbers)
        shared: dict[str, Any] = {"norm": self.norm, "activation": self.activation}
        with script.checking():
            if self.network == "dense":
                if self.local:
                    raise ValueError("--local is for --network conv: dense layers have no maps")
                sizes = (256, 128) if self.sizes is None else self.sizes
                return {
                    "encoder": models.DenseEncoder(hidden_sizes=sizes, **shared),
                    "decoder": models.DenseDecoder(
                        shape=outputs, hidden_sizes=sizes[::-1], **shared
                    ),
                }
            sizes = (32, 64) if self.sizes is None else self.sizes
            return {
                "encoder": models.ConvEncoder(channels=sizes, local=self.local, **shared),
                "decoder": models.ConvDecoder(
                    shape=outputs, channels=sizes[::-1], local=self.local, **shared
                ),
            }


@dataclasses.dataclass(frozen=True)
class ImageLikelihood:
    """Distribution of an image given the output of the decoder."""

    likelihood: Literal["bernoulli", "gaussian", "logistic"] = "logistic"
    """Distribution of pixel values: bernoulli (binary pixels, drawn with the gray value as the
    probability), gaussian (normal, for images with uniform noise as wide as a gray level) or
    logistic (logistic, integrated over each gray level)."""
    levels: int | None = None
    """Number of gray levels of the images; None takes 17 for digits, and 256 for other data."""

    def make(self, dataset: str) -> variational.Likelihood:
        """Makes the likelihood for a data set."""
        with script.checking():
            if self.likelihood == "bernoulli":
                return variational.Bernoulli(binarize=True)
            if self.likelihood == "gaussian":
                return variational.Gaussian(levels=self.levels_of(dataset))
            return variational.DiscretizedLogistic(levels=self.levels_of(dataset))

    def levels_of(self, dataset: str) -> int:
        """The number of gray levels of a data set."""
        if self.levels is not None:
            return self.levels
        return 17 if dataset == "digits" else 256


def classes_of(dataset: data.Dataset) -> int:
    """The number of classes for a conditional model; ends the script if there are none."""
    if not dataset.num_classes:
        raise SystemExit(f"{dataset.name} has no classes: leave --conditional out")
    return dataset.num_classes


def pixels(dataset: data.Dataset) -> Float32[np.ndarray, "_ height width channels"]:
    """All images of a data set, in [0, 1]."""
    images = np.stack([dataset[index]["image"] for index in range(len(dataset))])
    return images.astype(np.float32) / (255 if images.dtype == np.uint8 else 1)


def labels_of(dataset: data.Dataset) -> Int[np.ndarray, " images"]:
    """The classes of all images of a data set."""
    return np.array([dataset[index]["label"] for index in range(len(dataset))])


def quantized(dataset: data.Dataset, levels: int) -> UInt8[np.ndarray, "examples values"]:
    """The gray level of each value of all images."""
    shares = pixels(dataset).reshape(len(dataset), -1)
    return np.round(shares * (levels - 1)).astype(np.uint8)


MOST_VALUES = 4096
"""Most values of an image for which the covariance of all pairs of values is computed."""


def baselines(
    train_data: data.Dataset, eval_data: data.Dataset, levels: int
) -> list[tuple[str, float]]:
    """Computes and prints the bits per dimension of two simple distributions of images.

    They are called `independent` and `normal`. The second is left out, with the reason, if images
    have too many values for a covariance matrix, or if there are too few of them.
    """
    train, test = (quantized(each, levels) for each in (train_data, eval_data))
    number, values = train.shape
    found = [("independent", independent_bits(train, test, levels))]
    print(f"bits per dimension, independent pixels: {found[0][1]:.3f}")
    if values > MOST_VALUES:
        why = f"left out for images of more than {MOST_VALUES:,} values, these have {values:,}"
        print(f"bits per dimension, normal: {why}")
    elif number <= values:
        why = f"needs more training images than values of an image, {values:,}, got {number:,}"
        print(f"bits per dimension, normal: {why}")
    else:
        found.append(("normal", gaussian_bits(train, test, levels)))
        print(f"bits per dimension, normal: {found[1][1]:.3f}")
    return found


def independent_bits(
    train: UInt8[np.ndarray, "_ values"], test: UInt8[np.ndarray, "_ values"], levels: int
) -> float:
    """Bits per dimension of a histogram per pixel, with one added to each count."""
    counts = np.ones((train.shape[1], levels))
    for level in range(levels):
        counts[:, level] += (train == level).sum(axis=0)
    shares = counts / counts.sum(axis=1, keepdims=True)
    return float(-np.log2(shares[np.arange(train.shape[1]), test]).mean())


def gaussian_bits(
    train: UInt8[np.ndarray, "_ values"],
    test: UInt8[np.ndarray, "_ values"],
    levels: int,
    seed: int = 0,
) -> float:
    """Bits per dimension of one normal distribution of all pixels, for images with uniform noise.

    The covariance is that of the training images plus the variance of the noise. The noise is that
    of `variational.dequantize`: the result is an upper bound of the bits of the gray levels, as for
    `variational.Gaussian` with levels.
    """
    dimensions = train.shape[1]
    noise = np.random.default_rng(seed).uniform(size=test.shape)
    noisy: Float[np.ndarray, "_ values"] = (test + noise) / levels
    mean = (train.mean(axis=0) + 0.5) / levels
    covariance = np.cov(train / levels, rowvar=False, bias=True)
    factor = np.linalg.cholesky(covariance + np.eye(dimensions) / (12 * levels**2))
    whitened = np.linalg.solve(factor, (noisy - mean).T)
    log_density = (
        -np.square(whitened).sum(axis=0) / 2
        - np.log(np.diag(factor)).sum()
        - dimensions * np.log(2 * np.pi) / 2
    )
    nats = log_density - dimensions * np.log(levels)
    return float(-nats.mean() / (dimensions * np.log(2)))
