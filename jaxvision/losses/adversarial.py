"""Losses of the critic and the generator of a generative adversarial network (GAN).

A critic gives one score per example, higher for examples that look real. For `minimax` and
`non_saturating`, it is the log-odds that the example is real, and the critic is called a
discriminator.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvision.losses._precision import at_least_float32

Scores = Float[Array, " batch"]
Critic = Callable[[Float[Array, "batch *shape"]], Scores]


class AdversarialLoss(NamedTuple):
    """The losses of both networks, one value per example.

    Attributes:
        critic: `critic(real, fake)`, from the critic's scores of real and of generated examples, as
            many of the one as of the other; otherwise it raises a ValueError.
        generator: `generator(fake)`, from the critic's scores of generated examples.
    """

    critic: Callable[[Scores, Scores], Scores]
    generator: Callable[[Scores], Scores]


def minimax() -> AdversarialLoss:
    """The original GAN loss: the generator maximizes the term that the critic minimizes.

    With D the sigmoid of the score, the critic minimizes `-log D(real) - log(1 - D(fake))` and the
    generator `log(1 - D(fake))`, whose gradient vanishes where the critic is sure that an example
    is generated. If both distributions are equal, the best D is 1/2, the critic's loss log 4 =
    1.386294 and the generator's loss -log 2.

    Reference: Goodfellow et al., Generative adversarial nets, NeurIPS 2014, arXiv:1406.2661.

    >>> loss, undecided = minimax(), jnp.zeros(1)
    >>> print(f"{loss.critic(undecided, undecided)[0]:.6f} {loss.generator(undecided)[0]:.6f}")
    1.386294 -0.693147
    """
    return _game(_cross_entropy, lambda fake: -_softplus(fake))


def non_saturating() -> AdversarialLoss:
    """The GAN loss used in practice: the generator minimizes `-log D(fake)`.

    The critic's loss is that of `minimax`. The generator's gradient is largest where the critic is
    sure that an example is generated.

    Reference: Goodfellow et al., Generative adversarial nets, 2014, arXiv:1406.2661, section 3.

    >>> print(f"{non_saturating().generator(jnp.zeros(1))[0]:.6f}")
    0.693147
    """
    return _game(_cross_entropy, lambda fake: _softplus(-fake))


def least_squares() -> AdversarialLoss:
    """The least-squares GAN loss: the critic aims at 1 for real and at 0 for generated examples.

    The critic minimizes `(real - 1)^2 / 2 + fake^2 / 2`, and the generator `(fake - 1)^2 / 2`. If
    both distributions are equal, the best critic gives 1/2, and the losses are 1/4 and 1/8.

    Reference: Mao et al., Least squares generative adversarial networks, 2017, arXiv:1611.04076.

    >>> half = jnp.full(1, 0.5)
    >>> print(least_squares().critic(half, half)[0], least_squares().generator(half)[0])
    0.25 0.125
    """
    return _game(
        lambda real, fake: (
            (jnp.square(at_least_float32(real) - 1) + jnp.square(at_least_float32(fake))) / 2
        ),
        lambda fake: jnp.square(at_least_float32(fake) - 1) / 2,
    )


def hinge() -> AdversarialLoss:
    """The hinge GAN loss: scores of real examples above 1 and of generated ones below -1 cost 0.

    The critic minimizes `max(0, 1 - real) + max(0, 1 + fake)`, and the generator `-fake`. If both
    distributions are equal, the best critic has a loss of 2.

    Reference: Lim and Ye, Geometric GAN, 2017, arXiv:1705.02894.

    >>> print(hinge().critic(jnp.array([3.0]), jnp.array([-0.5]))[0])
    0.5
    """
    return _game(
        lambda real, fake: (
            jax.nn.relu(1 - at_least_float32(real)) + jax.nn.relu(1 + at_least_float32(fake))
        ),
        lambda fake: -at_least_float32(fake),
    )


def wasserstein() -> AdversarialLoss:
    """The Wasserstein GAN loss: the critic minimizes `fake - real`, and the generator `-fake`.

    The best critic with a slope of at most 1 has a mean loss of minus the Wasserstein-1 distance
    between the two distributions. Bound the slope by clipping the parameters
    (`train.gan.clip_parameters`) or by a `gradient_penalty`.

    Reference: Arjovsky et al., Wasserstein GAN, ICML 2017, arXiv:1701.07875.

    >>> print(wasserstein().critic(jnp.array([3.0]), jnp.array([1.0]))[0])
    -2.0
    """
    return _game(
        lambda real, fake: at_least_float32(fake) - at_least_float32(real),
        lambda fake: -at_least_float32(fake),
    )


def gradient_penalty(
    critic: Critic,
    real: Float[Array, "batch *shape"],
    fake: Float[Array, "..."],
    key: Key[Array, ""],
    *,
    slope: int | float = 1.0,
) -> Float[Array, " batch"]:
    """The squared difference between the slope of a critic and 1 (WGAN-GP).

    The slope is the Euclidean norm of the critic's gradient at a random point of the line between a
    real and a generated example. WGAN-GP adds 10 times this penalty to the critic's loss.

    Args:
        critic: `critic(examples)` gives one score per example, independent of the other examples
            (so it must not contain BatchNorm).
        real: Real examples.
        fake: Generated examples, of the same shape.
        key: Random key of the points.
        slope: The slope without penalty, 1 in the paper.

    Raises:
        ValueError: The shapes of `real` and `fake` differ, or the critic does not give one score
            per example.

    Reference: Gulrajani et al., Improved training of Wasserstein GANs, 2017, arXiv:1704.00028.

    >>> real, fake = jnp.ones((2, 3)), jnp.zeros((2, 3))
    >>> critic = lambda x: x @ jnp.array([0.0, 3.0, 4.0])  # its slope is 5
    >>> print(gradient_penalty(critic, real, fake, jax.random.key(0)))
    [16. 16.]
    """
    if real.shape != fake.shape:
        raise ValueError(
            f"there must be as many generated examples as real ones, of the same shape, got "
            f"{real.shape} and {fake.shape}"
        )
    share = jax.random.uniform(key, (len(real), *(1,) * (real.ndim - 1)), real.dtype)
    squares = _squared_slope(critic, fake + share * (real - fake))
    # The derivative of a square root is not finite at 0.
    norms = jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)
    return jnp.square(norms - slope)


def r1(critic: Critic, real: Float[Array, "batch *shape"]) -> Float[Array, " batch"]:
    """The R1 penalty: half the squared norm of a critic's gradient at real examples.

    It drives the critic's gradient to 0 where the generator matches the data, which makes the
    training converge there. The paper adds 10 times this penalty to the critic's loss.

    Args:
        critic: `critic(examples)` gives one score per example, independent of the other examples.
        real: Real examples.

    Raises:
        ValueError: The critic does not give one score per example.

    Reference: Mescheder et al., Which training methods for GANs do actually converge?,
    arXiv:1801.04406.

    >>> print(r1(lambda x: x @ jnp.array([3.0, 4.0]), jnp.zeros((1, 2))))
    [12.5]
    """
    return _squared_slope(critic, real) / 2


def _squared_slope(critic: Critic, examples: Array) -> Array:
    """The squared norm of the gradient of each example's score."""

    def total(x: Array) -> Array:
        scores = critic(x)
        if scores.shape != (len(x),):
            raise ValueError(
                f"a critic must give one score per example, of shape ({len(x)},), and gives "
                f"{scores.shape}"
            )
        return scores.astype(jnp.float32).sum()

    gradient = jax.grad(total)(examples)
    return jnp.square(at_least_float32(gradient)).sum(axis=range(1, examples.ndim))


def _game(
    critic: Callable[[Scores, Scores], Scores], generator: Callable[[Scores], Scores]
) -> AdversarialLoss:
    """The losses, of which the critic's does not broadcast scores of different shapes."""

    def checked(real: Scores, fake: Scores) -> Scores:
        if real.ndim != 1 or real.shape != fake.shape:
            raise ValueError(
                "scores must have the shape (batch,), one for each example, with as many generated "
                f"examples as real ones, got {real.shape} (real) and {fake.shape} (generated)"
            )
        return critic(real, fake)

    return AdversarialLoss(checked, generator)


def _cross_entropy(real: Scores, fake: Scores) -> Scores:
    return _softplus(-real) + _softplus(fake)


def _softplus(x: Scores) -> Scores:
    return jax.nn.softplus(at_least_float32(x))
