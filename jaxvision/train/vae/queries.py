"""Traversals of one code dimension, and completion of partly known images."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from jaxvision.checks import check_count
from jaxvision.losses import variational

PyTree = Any
Decode = Callable[[Float[Array, "batch latents"]], Float[Array, "batch *shape"]]


@functools.partial(jax.jit, static_argnames="index")
def traverse(
    codes: Float[Array, "batch latents"], index: int, values: Float[Array, " steps"]
) -> Float[Array, "steps batch latents"]:
    """Codes in which one dimension takes several values and the others are unchanged.

    Args:
        codes: Codes to change.
        index: Index of the dimension; negative ones count from the end.
        values: Values of the dimension, one for each step.

    Raises:
        ValueError: `index` is out of range.

    >>> print(traverse(jnp.zeros((1, 3)), 1, jnp.array([-2.0, 2.0]))[:, 0])
    [[ 0. -2.  0.]
     [ 0.  2.  0.]]
    """
    latents = codes.shape[-1]
    if not -latents <= index < latents:
        raise ValueError(f"index must be one of the {latents} dimensions of a code, got {index}")
    many = jnp.broadcast_to(codes, (len(values), *codes.shape))
    return many.at[:, :, index].set(values[:, None])


def complete(
    decode: Decode,
    likelihood: variational.Likelihood,
    images: Float[Array, "batch *shape"],
    known: Bool[Array, "batch *shape"],
    codes: Float[Array, "batch latents"],
    *,
    steps: int = 300,
    learning_rate: int | float = 0.05,
) -> Float[Array, "batch latents"]:
    """Finds the most probable codes of partly known images, by gradient ascent.

    Adam maximizes `log p(known values | code) + log p(code)`. The expected images of these codes
    fill in the unknown values.

    Args:
        decode: Function from codes to outputs of the decoder.
        likelihood: Distribution of an image given the output of the decoder.
        images: Images in [0, 1]; unknown values are ignored.
        known: Mask of the known values.
        codes: Initial codes; repeat an image to search from several.
        steps: Number of gradient steps.
        learning_rate: Learning rate of Adam.

    Raises:
        ValueError: `steps` is below 1.

    Reference: Yeh et al., Semantic image inpainting with deep generative models, CVPR 2017,
    arXiv:1607.07539, for the search in the space of codes.

    >>> images, known = jnp.array([[1.0, 0.0]]), jnp.array([[True, False]])
    >>> likelihood = variational.Gaussian(scale=0.1)
    >>> both = lambda codes: jnp.tile(codes, 2)
    >>> code = complete(both, likelihood, images, known, jnp.zeros((1, 1)))[0, 0]
    >>> print(f"{code:.2f}")  # 100 / 101: the precisions are 100 for the value, 1 for the prior
    0.99
    """
    check_count("steps", steps)
    optimizer = optax.adam(learning_rate)

    def cost(codes: Array) -> Array:
        likely = likelihood.log_prob(decode(codes), images, known)
        return (jnp.square(codes).sum(-1) / 2 - likely).sum()

    def step(carry: tuple[Array, PyTree], _: None) -> tuple[tuple[Array, PyTree], None]:
        codes, opt_state = carry
        updates, opt_state = optimizer.update(jax.grad(cost)(codes), opt_state)
        return (codes + updates, opt_state), None

    (found, _), _ = jax.lax.scan(step, (codes, optimizer.init(codes)), length=steps)
    return found
