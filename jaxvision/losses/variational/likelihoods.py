"""Distributions of images around what a decoder gives: their log-probabilities, in nats per image.

A likelihood says how many numbers a decoder gives for each value of an image, and what they mean.
Log-probabilities are summed over an image, never averaged, so that they can be weighed against the
Kullback-Leibler divergence of its code; see `variational.elbo`.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Key

from jaxvision.checks import check_count, check_name
from jaxvision.losses._precision import at_least_float32

Images = Float[Array, "batch *shape"]
Known = Bool[Array, "batch *shape"]
Outputs = Float[Array, "batch *places _"]
"""What a decoder gives: as many channels as the images have, for each number in turn."""


@runtime_checkable
class Likelihood(Protocol):
    """A distribution of images, given what a decoder says."""

    @property
    def numbers(self) -> int:
        """How many numbers a decoder gives for each value of an image."""
        ...

    def observe(self, key: Key[Array, ""], images: Images) -> Images:
        """Draws what is observed of images with values from 0 to 1, where that is random."""
        ...

    def log_prob(
        self, outputs: Outputs, images: Images, where: Known | None = None
    ) -> Float[Array, " batch"]:
        """The log-probability (or log-density) of each observed image, in nats.

        With `where`, that of the values that are marked, whatever the others are.
        """
        ...

    def mean(self, outputs: Outputs) -> Images:
        """The expected image."""
        ...

    def sample(self, key: Key[Array, ""], outputs: Outputs) -> Images:
        """Draws an image for each row."""
        ...


@dataclasses.dataclass(frozen=True)
class Bernoulli:
    """Values of 0 or 1, of which a decoder gives the log-odds.

    Attributes:
        binarize: Whether a gray value g is observed as 1 with probability g, else as 0. Without,
            gray values are taken as they are: then the log-probability is the mean over what would
            be drawn, and says nothing of gray images.

    >>> logits, images = jnp.zeros((1, 28, 28, 1)), jnp.ones((1, 28, 28, 1))
    >>> print(f"{-Bernoulli().log_prob(logits, images)[0]:.2f}")  # 784 log 2
    543.43
    """

    binarize: bool = False

    @property
    def numbers(self) -> int:
        """The log-odds."""
        return 1

    def observe(self, key: Key[Array, ""], images: Images) -> Images:
        """Draws 0 and 1 with `binarize`, and else changes nothing."""
        if not self.binarize:
            return images
        return jax.random.bernoulli(key, at_least_float32(images)).astype(images.dtype)

    def log_prob(
        self, outputs: Outputs, images: Images, where: Known | None = None
    ) -> Float[Array, " batch"]:
        """The log-probability of each image, or of the marked values, in nats."""
        _check_outputs(self, outputs, images)
        logits, values = at_least_float32(outputs), at_least_float32(images)
        return -_total(optax.sigmoid_binary_cross_entropy(logits, values), where)

    def mean(self, outputs: Outputs) -> Images:
        """The probability that a value is 1."""
        return jax.nn.sigmoid(at_least_float32(outputs))

    def sample(self, key: Key[Array, ""], outputs: Outputs) -> Images:
        """Draws images of 0 and 1."""
        return jax.random.bernoulli(key, self.mean(outputs)).astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Values with a normal distribution, of which a decoder gives the mean.

    Of data with few levels, such as bytes, a density has no bound, as it can be narrow around each
    level. With `levels`, noise as wide as a level is added to them (`dequantize`), and densities
    are those of steps between levels: then the mean log-density of an image is at most the
    log-probability of its levels.

    Attributes:
        scale: The standard deviation; None lets the decoder give its logarithm too, of each value.
        levels: How many levels the images have; None takes them as they are.
        least_scale: The smallest standard deviation that a decoder can give.

    Raises:
        ValueError: A deviation is not positive.

    >>> outputs, images = jnp.zeros((1, 2)), jnp.zeros((1, 2))
    >>> print(f"{Gaussian(scale=1.0).log_prob(outputs, images)[0]:.6f}")  # -log(2 pi)
    -1.837877
    """

    scale: int | float | None = None
    levels: int | None = None
    least_scale: int | float = 1e-3

    def __post_init__(self) -> None:
        if self.levels is not None:
            check_count("levels", self.levels, least=2)
        for name in ("scale", "least_scale"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}")

    @property
    def numbers(self) -> int:
        """The mean, and if no scale is given the logarithm of the standard deviation."""
        return 2 if self.scale is None else 1

    def observe(self, key: Key[Array, ""], images: Images) -> Images:
        """Adds noise as wide as a level, where there are levels."""
        return images if self.levels is None else dequantize(key, images, self.levels)

    def log_prob(
        self, outputs: Outputs, images: Images, where: Known | None = None
    ) -> Float[Array, " batch"]:
        """The log-density of each image, or of the marked values, in nats."""
        _check_outputs(self, outputs, images)
        mean, log_scale = self._both(outputs)
        error = (at_least_float32(images) - mean) * jnp.exp(-log_scale)
        constant = math.log(2 * math.pi) / 2 + math.log(self.levels or 1)
        return -_total(jnp.square(error) / 2 + log_scale + constant, where)

    def mean(self, outputs: Outputs) -> Images:
        """The expected image."""
        return self._both(outputs)[0]

    def sample(self, key: Key[Array, ""], outputs: Outputs) -> Images:
        """Draws images, whose values may leave the range of the data."""
        mean, log_scale = self._both(outputs)
        return mean + jnp.exp(log_scale) * jax.random.normal(key, mean.shape, mean.dtype)

    def _both(self, outputs: Outputs) -> tuple[Images, Array]:
        numbers = at_least_float32(outputs)
        if self.scale is not None:
            return numbers, jnp.asarray(math.log(self.scale), numbers.dtype)
        mean, log_scale = jnp.split(numbers, 2, axis=-1)
        return mean, _bounded(log_scale, math.log(self.least_scale))


@dataclasses.dataclass(frozen=True)
class DiscretizedLogistic:
    """Values of equally spaced levels from 0 to 1, which share a logistic distribution.

    The probability of a level is that of the interval around it, and the outermost levels have all
    that is beyond them. So it is a probability, and `-log2` of it a number of bits.

    Attributes:
        levels: How many levels there are: 256 of bytes.
        least_scale: The smallest scale that a decoder can give, in steps between levels.

    Raises:
        ValueError: There are fewer than 2 levels, or the scale is not positive.

    Reference: Salimans et al., PixelCNN++, ICLR 2017, arXiv:1701.05517, section 2.1 (and Kingma et
    al., arXiv:1606.04934), for a single logistic.

    >>> outputs = jnp.array([[0.3, -2.0]])
    >>> images = jnp.linspace(0, 1, 5)[:, None]
    >>> log_probs = DiscretizedLogistic(levels=5).log_prob(jnp.tile(outputs, (5, 1)), images)
    >>> print(f"{jnp.exp(log_probs).sum():.6f}")
    1.000000
    """

    levels: int = 256
    least_scale: int | float = 1e-2

    def __post_init__(self) -> None:
        check_count("levels", self.levels, least=2)
        if not 0 < self.least_scale < math.inf:
            raise ValueError(f"least_scale must be positive and finite, got {self.least_scale}")

    @property
    def numbers(self) -> int:
        """The mean, and the logarithm of the scale."""
        return 2

    def observe(self, key: Key[Array, ""], images: Images) -> Images:
        """Takes the nearest level of each value."""
        del key
        return jnp.round(at_least_float32(images) * (self.levels - 1)) / (self.levels - 1)

    def log_prob(
        self, outputs: Outputs, images: Images, where: Known | None = None
    ) -> Float[Array, " batch"]:
        """The log-probability of each image, or of the marked values, in nats."""
        _check_outputs(self, outputs, images)
        mean, log_scale = self._both(outputs)
        values, half = at_least_float32(images), self._step / 2
        inverse = jnp.exp(-log_scale)
        below, above = ((values - mean + shift) * inverse for shift in (-half, half))
        # With s the sigmoid, s(above) - s(below) = s(above) s(-below) (1 - exp(below - above)).
        inside = jnp.log(-jnp.expm1(-self._step * inverse))
        inside += jax.nn.log_sigmoid(above) + jax.nn.log_sigmoid(-below)
        of_lowest, of_highest = jax.nn.log_sigmoid(above), jax.nn.log_sigmoid(-below)
        highest = jnp.where(values > 1 - half, of_highest, inside)
        return _total(jnp.where(values < half, of_lowest, highest), where)

    def mean(self, outputs: Outputs) -> Images:
        """The center of the distribution, from 0 to 1."""
        return jnp.clip(self._both(outputs)[0], 0, 1)

    def sample(self, key: Key[Array, ""], outputs: Outputs) -> Images:
        """Draws images of the levels."""
        mean, log_scale = self._both(outputs)
        drawn = mean + jnp.exp(log_scale) * jax.random.logistic(key, mean.shape, mean.dtype)
        steps = self.levels - 1
        return jnp.clip(jnp.round(drawn * steps), 0, steps) / steps

    @property
    def _step(self) -> float:
        return 1 / (self.levels - 1)

    def _both(self, outputs: Outputs) -> tuple[Images, Array]:
        mean, log_scale = jnp.split(at_least_float32(outputs), 2, axis=-1)
        return mean, _bounded(log_scale, math.log(self.least_scale * self._step))


_LIKELIHOODS = {each.__name__: each for each in (Bernoulli, Gaussian, DiscretizedLogistic)}


def describe_likelihood(likelihood: Likelihood) -> dict[str, Any]:
    """What the record of a run keeps of a likelihood.

    Args:
        likelihood: The likelihood.

    Returns:
        Its name, and its options.

    >>> describe_likelihood(Bernoulli())
    {'name': 'Bernoulli', 'binarize': False}
    """
    options: dict[str, Any] = {}
    if dataclasses.is_dataclass(likelihood) and not isinstance(likelihood, type):
        options = dataclasses.asdict(likelihood)
    return {"name": type(likelihood).__name__, **options}


def likelihood_from_description(description: Mapping[str, Any]) -> Likelihood:
    """Makes a likelihood again.

    Args:
        description: What `describe_likelihood` gave.

    Returns:
        The likelihood.

    Raises:
        TypeError: An option is unknown.
        ValueError: The likelihood is unknown, or a value is not allowed.

    >>> likelihood_from_description({"name": "Gaussian", "scale": 0.5})
    Gaussian(scale=0.5, levels=None, least_scale=0.001)
    """
    options = dict(description)
    name = options.pop("name", None)
    check_name("likelihood", name, _LIKELIHOODS)
    return _LIKELIHOODS[name](**options)


def dequantize(
    key: Key[Array, ""], images: Float[Array, "batch *shape"], levels: int
) -> Float[Array, "batch *shape"]:
    """Adds noise as wide as a level, so that images have a density.

    The values `k / (levels - 1)` become uniform on `k / levels` to `(k + 1) / levels`. For any
    density of these, the mean log-density of an image minus `log(levels)` for each value is at most
    the log-probability of its levels (Theis et al., A note on the evaluation of generative models,
    ICLR 2016, arXiv:1511.01844).

    Args:
        key: Draws the noise.
        images: Values from 0 to 1.
        levels: How many levels there are: 256 of bytes.

    Returns:
        Values from 0 to 1.

    >>> noisy = dequantize(jax.random.key(0), jnp.ones((1, 100)), levels=4)
    >>> bool(jnp.all((0.75 <= noisy) & (noisy < 1)))
    True
    """
    check_count("levels", levels, least=2)
    values = jnp.round(at_least_float32(images) * (levels - 1))
    return (values + jax.random.uniform(key, images.shape, values.dtype)) / levels


def _check_outputs(likelihood: Likelihood, outputs: Outputs, images: Images) -> None:
    wanted = (*images.shape[:-1], likelihood.numbers * images.shape[-1])
    if outputs.shape != wanted:
        raise ValueError(
            f"a decoder for {likelihood} of images of shape {images.shape} must give the shape "
            f"{wanted}, and gives {outputs.shape}"
        )


def _bounded(log_scale: Array, least: float) -> Array:
    """A log-scale that falls no further; nor rises so far that its exponential is not finite."""
    return jnp.clip(log_scale, least, 30.0)


def _total(values: Array, where: Known | None) -> Array:
    marked = values if where is None else jnp.where(where, values, 0)
    return marked.sum(axis=range(1, values.ndim))
