"""What can be asked of codes: paths between them, and the code of what is known of an image."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from jaxvision.checks import check_count, check_name
from jaxvision.losses import variational

PyTree = Any
Path = Literal["linear", "spherical"]
Decode = Callable[[Float[Array, "batch latents"]], Float[Array, "batch *shape"]]


def interpolate(
    first: Float[Array, "*batch latents"],
    second: Float[Array, "*batch latents"],
    steps: int,
    *,
    path: Path = "linear",
) -> Float[Array, "steps *batch latents"]:
    """Codes on a path from one to another, at equal distances, both ends among them.

    In many dimensions, codes that are drawn from a normal distribution have almost the same length,
    and the middle of a straight line between two is shorter than any of them. A spherical path
    turns from one direction to the other and changes the length evenly.

    Args:
        first: Codes.
        second: Other codes.
        steps: How many codes there are on the path, 2 or more.
        path: `"linear"` or `"spherical"`; where both codes have the same or opposite directions, or
            one is 0, the spherical path is the linear one.

    Returns:
        The codes.

    Raises:
        ValueError: There are fewer than 2 steps, or the path is unknown.

    Reference: White, Sampling generative networks, 2016, arXiv:1609.04468.

    >>> ends = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
    >>> print(interpolate(*ends, 3, path="spherical").round(4)[1])
    [0.7071 0.7071]
    """
    check_count("steps", steps, of="codes", least=2)
    check_name("path", path, get_args(Path))
    share = jnp.linspace(0, 1, steps).reshape(-1, *(1,) * first.ndim)
    line = (1 - share) * first + share * second
    if path == "linear":
        return line
    lengths = [jnp.linalg.norm(code, axis=-1, keepdims=True) for code in (first, second)]
    units = [
        code / jnp.where(length == 0, 1, length)
        for code, length in zip((first, second), lengths, strict=True)
    ]
    angle = jnp.arccos(jnp.clip((units[0] * units[1]).sum(-1, keepdims=True), -1, 1))
    sine = jnp.sin(angle)
    turned = (jnp.sin((1 - share) * angle) * units[0] + jnp.sin(share * angle) * units[1]) / (
        jnp.where(sine < _LEAST_SINE, 1, sine)
    )
    length = (1 - share) * lengths[0] + share * lengths[1]
    undefined = (sine < _LEAST_SINE) | (lengths[0] == 0) | (lengths[1] == 0)
    return jnp.where(undefined, line, turned * length)


_LEAST_SINE = 1e-4


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
