"""What can be asked of codes: what one of their numbers does, and what is hidden of an image."""

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
    """Codes in which one number takes several values, and the others stay as they are.

    Args:
        codes: Codes.
        index: Which number; negative ones count from the end.
        values: What it becomes.

    Returns:
        The codes, for each value.

    Raises:
        ValueError: There is no such number.

    >>> print(traverse(jnp.zeros((1, 3)), 1, jnp.array([-2.0, 2.0]))[:, 0])
    [[ 0. -2.  0.]
     [ 0.  2.  0.]]
    """
    latents = codes.shape[-1]
    if not -latents <= index < latents:
        raise ValueError(f"index must be one of the {latents} numbers of a code, got {index}")
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
    """The most probable codes of images that are known in part, by gradient ascent.

    Adam maximizes `log p(known values | code) + log p(code)`. The decoder's expectation for the
    result shows what is hidden.

    Args:
        decode: What the decoder gives for codes.
        likelihood: The distribution of images around that.
        images: Images of values from 0 to 1, of any values where they are not known.
        known: Which values are known.
        codes: Where the search begins. Several starts of one image are several rows.
        steps: How many steps the search has.
        learning_rate: How far a number of the code moves in a step.

    Returns:
        The codes.

    Raises:
        ValueError: There are no steps.

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
