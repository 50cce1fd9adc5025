"""Generative models of images as settings, and what simple densities reach."""

import dataclasses
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from common import script
from jaxvision import data, models
from jaxvision.losses import variational


@dataclasses.dataclass(frozen=True)
class Coder:
    """The networks of an autoencoder."""

    network: Literal["dense", "conv"] = "conv"
    """Dense layers on all pixels, or convolutions that halve and double the maps."""
    sizes: tuple[int, ...] | None = None
    """The widths of the encoder's layers, or the channels of its convolutions; the decoder's are
    the same in reverse. None takes 256 128, or 32 64."""
    latent_size: int = 16
    """How many numbers a code has."""
    norm: Literal["batch", "group", "layer"] | None = None
    """The normalization after each layer."""
    activation: str = "relu"
    """The nonlinearity after that."""

    def coders(self, shape: tuple[int, int, int], numbers: int = 1) -> dict[str, Any]:
        """Encoder and decoder of images of a shape; the decoder gives several numbers per value."""
        height, width, channels = shape
        outputs = (height, width, channels * numbers)
        shared: dict[str, Any] = {"norm": self.norm, "activation": self.activation}
        with script.checking():
            if self.network == "dense":
                sizes = (256, 128) if self.sizes is None else self.sizes
                return {
                    "encoder": models.DenseEncoder(hidden_sizes=sizes, **shared),
                    "decoder": models.DenseDecoder(
                        shape=outputs, hidden_sizes=sizes[::-1], **shared
                    ),
                }
            sizes = (32, 64) if self.sizes is None else self.sizes
            return {
                "encoder": models.ConvEncoder(channels=sizes, **shared),
                "decoder": models.ConvDecoder(shape=outputs, channels=sizes[::-1], **shared),
            }


@dataclasses.dataclass(frozen=True)
class ImageLikelihood:
    """The distribution of images around what a decoder gives."""

    likelihood: Literal["bernoulli", "gaussian", "logistic"] = "logistic"
    """Binary values, of which grays are the probability; normally distributed ones, of images with
    noise as wide as a level; or a logistic distribution over the levels."""
    levels: int | None = None
    """How many gray levels the images have; None takes 17 for digits, and 256 for others."""

    def make(self, dataset: str) -> variational.Likelihood:
        """The likelihood of the images of a data set."""
        with script.checking():
            if self.likelihood == "bernoulli":
                return variational.Bernoulli(binarize=True)
            if self.likelihood == "gaussian":
                return variational.Gaussian(levels=self.levels_of(dataset))
            return variational.DiscretizedLogistic(levels=self.levels_of(dataset))

    def levels_of(self, dataset: str) -> int:
        """How many levels the images of a data set have."""
        if self.levels is not None:
            return self.levels
        return 17 if dataset == "digits" else 256


def classes_of(dataset: data.Dataset) -> int:
    """How many classes the images of a conditional model have."""
    if not dataset.num_classes:
        raise SystemExit(f"{dataset.name} has no classes: leave --conditional out")
    return dataset.num_classes


def pixels(dataset: data.Dataset) -> Float32[np.ndarray, "_ height width channels"]:
    """All images of a data set, from 0 to 1."""
    images = np.stack([dataset[index]["image"] for index in range(len(dataset))])
    return images.astype(np.float32) / (255 if images.dtype == np.uint8 else 1)


def labels_of(dataset: data.Dataset) -> Int[np.ndarray, " images"]:
    """The classes of all images of a data set."""
    return np.array([dataset[index]["label"] for index in range(len(dataset))])


def quantized(dataset: data.Dataset, levels: int) -> UInt8[np.ndarray, "examples values"]:
    """The level of each value of all images."""
    shares = pixels(dataset).reshape(len(dataset), -1)
    return np.round(shares * (levels - 1)).astype(np.uint8)


def independent_bits(
    train: UInt8[np.ndarray, "_ values"], test: UInt8[np.ndarray, "_ values"], levels: int
) -> float:
    """Bits per dimension of a histogram of each pixel's levels, with one count added to each."""
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
    """Bits per dimension of one normal distribution of all pixels, of images with uniform noise.

    Its covariance is that of the training images, and the variance of the noise besides. The noise
    is that of `variational.dequantize`, so that the result bounds the bits of the levels as that of
    a `variational.Gaussian` with levels does.
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
