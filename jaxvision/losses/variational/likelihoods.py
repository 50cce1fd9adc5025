"""Distributions of images given a decoder's outputs, with log-probabilities in nats per image.

A likelihood defines how many numbers the decoder gives for each value of an image, and what they
mean. Log-probabilities are sums over an image, not means, as `variational.elbo` needs them.
"""

import dataclasses
import functools
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
"""Outputs of a decoder: for each number of the likelihood in turn, the channels of the images."""


@runtime_checkable
class Likelihood(Protocol):
    """A distribution of images given the outputs of a decoder."""

    @property
    def numbers(self) -> int:
        """How many numbers the decoder gives for each value of an image."""
        ...

    def observe(self, key: Key[Array, ""], images: Images) -> Images:
        """Converts images in [0, 1] to the values that the distribution models, maybe at random."""
        ...

    def log_prob(
        self, outputs: Outputs, images: Images, where: Known | None = None
    ) -> Float[Array, " batch"]:
        """The log-probability (or log-density) in nats of each observed image.

        With `where`, only the marked values count.
        """
        ...

    def mean(self, outputs: Outputs) -> Images:
        """The expected image."""
        ...

    def sample(self, key: Key[Array, ""], outputs: Outputs) -> Images:
        """Draws one image per row."""
        ...


@dataclasses.dataclass(frozen=True)
class Bernoulli:
    """Binary values, whose log-odds the decoder gives.

    Attributes:
        binarize: Whether `observe` draws a gray value g as 1 with probability g, else as 0. If
            False, gray values stay, and the log-probability is the mean over such draws; it is then
            not the log-probability of a gray image.

    >>> logits, images = jnp.zeros((1, 28, 28, 1)), jnp.ones((1, 28, 28, 1))
    >>> print(f"{-Bernoulli().log_prob(logits, images)[0]:.2f}")  # 784 log 2
    543.43
    """

    binarize: bool = False

    @property
    def numbers(self) -> int:
        """1, the log-odds."""
        return 1

    def observe(self, key: Key[Array, ""], images: Images) -> Images:
        """Draws binary images if `binarize` is set; otherwise returns the images."""
        if not self.binarize:
            return images
        return jax.random.bernoulli(key, at_least_float32(images)).astype(images.dtype)

    def log_prob(
        self, outputs: Outputs, images: Images, where: Known | None = None
    ) -> Float[Array, " batch"]:
        """The log-probability of each image, or of the values marked by `where`, in nats."""
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
    """Normally distributed values, whose mean the decoder gives.

    For data with few levels, such as bytes, the log-density has no upper bound, because the density
    can be arbitrarily narrow around each level. With `levels`, `observe` adds noise one level wide
    (`dequantize`), and densities are per level: the mean log-density of an image is then at most
    the log-probability of its levels.

    Attributes:
        scale: The standard deviation; if None, the decoder gives its logarithm for each value.
        levels: The number of levels of the images; None adds no noise.
        least_scale: The smallest standard deviation that the decoder can give.

    Raises:
        ValueError: `scale` or `least_scale` is not positive and finite, or `levels` is below 2.

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
        """1 for the mean, or 2 with the logarithm of the standard deviation if `scale` is None."""
        return 2 if self.scale is None else 1

    def observe(self, key: Key[Array, ""], images: Images) -> Images:
        """Adds noise one level wide if `levels` is set."""
        return images if self.levels is None else dequantize(key, images, self.levels)

    def log_prob(
        self, outputs: Outputs, images: Images, where: Known | None = None
    ) -> Float[Array, " batch"]:
        """The log-density of each image, or of the values marked by `where`, in nats."""
        _check_outputs(self, outputs, images)
        mean, log_scale = self._both(outputs)
        error = (at_least_float32(images) - mean) * jnp.exp(-log_scale)
        constant = math.log(2 * math.pi) / 2 + math.log(self.levels or 1)
        return -_total(jnp.square(error) / 2 + log_scale + constant, where)

    def mean(self, outputs: Outputs) -> Images:
        """The expected image."""
        return self._both(outputs)[0]

    def sample(self, key: Key[Array, ""], outputs: Outputs) -> Images:
        """Draws images, whose values may be outside [0, 1]."""
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
    """Equally spaced levels from 0 to 1, whose probabilities come from a logistic distribution.

    The probability of a level is that of the interval around it; the outermost levels include the
    tails. Since these are true probabilities, `-log2` of them is a number of bits.

    Attributes:
        levels: The number of levels, 256 for bytes.
        least_scale: The smallest scale that the decoder can give, in steps between levels.

    Raises:
        ValueError: There are fewer than 2 levels, or `least_scale` is not positive and finite.

    Reference: Salimans et al., PixelCNN++, ICLR 2017, arXiv:1701.05517, section 2.1 (one logistic).

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
        """2, the mean and the logarithm of the scale."""
        return 2

    def observe(self, key: Key[Array, ""], images: Images) -> Images:
        """Rounds each value to the nearest level."""
        del key
        return jnp.round(at_least_float32(images) * (self.levels - 1)) / (self.levels - 1)

    def log_prob(
        self, outputs: Outputs, images: Images, where: Known | None = None
    ) -> Float[Array, " batch"]:
        """The log-probability of each image, or of the values marked by `where`, in nats."""
        _check_outputs(self, outputs, images)
        mean, log_scale = self._both(outputs)
        values = at_least_float32(images).astype(mean.dtype)
        return _total(_log_probability(mean, log_scale, values, self._step), where)

    def mean(self, outputs: Outputs) -> Images:
        """The center of the distribution, clipped to [0, 1]."""
        return jnp.clip(self._both(outputs)[0], 0, 1)

    def sample(self, key: Key[Array, ""], outputs: Outputs) -> Images:
        """Draws images whose values are levels."""
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


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _log_probability(mean: Array, log_scale: Array, values: Array, step: float) -> Array:
    """The logarithm of the probability that a logistic distribution gives to each level."""
    inverse, below, above = _edges(mean, log_scale, values, step)
    # With s the sigmoid, s(above) - s(below) = s(above) s(-below) (1 - exp(below - above)).
    up_to, from_on = jax.nn.log_sigmoid(above), jax.nn.log_sigmoid(-below)
    inside = jnp.log(-jnp.expm1(-step * inverse)) + up_to + from_on
    is_lowest, is_highest = _are_outermost(values, step)
    return jnp.where(is_lowest, up_to, jnp.where(is_highest, from_on, inside))


@_log_probability.defjvp
def _derivative_of_log_probability(
    step: float, primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]
) -> tuple[Array, Array]:
    """The derivative with one exponential for each term.

    JAX's own has three times as many, which count because XLA's CPU backend computes the gradient
    by the two halves of a decoder's outputs number by number.
    """
    mean, log_scale, values = primals
    inverse, below, above = _edges(mean, log_scale, values, step)
    is_lowest, is_highest = _are_outermost(values, step)
    of_above = jnp.where(is_highest, 0, jax.nn.sigmoid(-above))
    of_below = jnp.where(is_lowest, 0, jax.nn.sigmoid(below))
    width = step * inverse
    of_width = jnp.where(is_lowest | is_highest, 0, width / jnp.expm1(width))
    of_values = inverse * (of_above - of_below)
    of_log_scale = below * of_below - above * of_above - of_width
    found = _log_probability(*primals, step)
    return found, of_values * (tangents[2] - tangents[0]) + of_log_scale * tangents[1]


def _edges(mean: Array, log_scale: Array, values: Array, step: float) -> tuple[Array, ...]:
    """The inverse scale, and how far both edges of a level are from the mean, in scales."""
    inverse = jnp.exp(-log_scale)
    below, above = ((values - mean + shift) * inverse for shift in (-step / 2, step / 2))
    return inverse, below, above


def _are_outermost(values: Array, step: float) -> tuple[Array, Array]:
    """Whether values are the lowest level, and whether they are the highest."""
    return values < step / 2, values > 1 - step / 2


_LIKELIHOODS = {each.__name__: each for each in (Bernoulli, Gaussian, DiscretizedLogistic)}


def describe_likelihood(likelihood: Likelihood) -> dict[str, Any]:
    """The name and the options of a likelihood, for the record of a run.

    >>> describe_likelihood(Bernoulli())
    {'name': 'Bernoulli', 'binarize': False}
    """
    options: dict[str, Any] = {}
    if dataclasses.is_dataclass(likelihood) and not isinstance(likelihood, type):
        options = dataclasses.asdict(likelihood)
    return {"name": type(likelihood).__name__, **options}


def likelihood_from_description(description: Mapping[str, Any]) -> Likelihood:
    """Restores a likelihood from the output of `describe_likelihood`.

    Raises:
        TypeError: An option is unknown.
        ValueError: The name is unknown, or the value of an option is not allowed.

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
    """Adds uniform noise one level wide, so that images have a density.

    A value `k / (levels - 1)` becomes uniform between `k / levels` and `(k + 1) / levels`. For any
    density of the results, the mean log-density of an image minus `log(levels)` per value is at
    most the log-probability of its levels.

    Args:
        key: Random key of the noise.
        images: Images with values from 0 to 1.
        levels: The number of levels, 256 for bytes.

    Reference: Theis et al., A note on the evaluation of generative models, arXiv:1511.01844.

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
    """Clips a log-scale from below, and from above so that its exponential stays finite."""
    return jnp.clip(log_scale, least, 30.0)


def _total(values: Array, where: Known | None) -> Array:
    marked = values if where is None else jnp.where(where, values, 0)
    return marked.sum(axis=range(1, values.ndim))
