"""Paths between codes, or between the noise from which images are generated."""

import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.checks import check_count, check_name

Path = Literal["linear", "spherical"]
_LEAST_SINE = 1e-4


@functools.partial(jax.jit, static_argnames=("steps", "path"))
def interpolate(
    first: Float[Array, "*batch latents"],
    second: Float[Array, "*batch latents"],
    steps: int,
    *,
    path: Path = "linear",
) -> Float[Array, "steps *batch latents"]:
    """Returns codes on a path between two codes, at equal distances, including both ends.

    In many dimensions, codes drawn from a normal distribution have almost the same length, and the
    middle of a straight line between two is shorter than either. A spherical path rotates from one
    direction to the other, and changes the length evenly.

    Args:
        first: The codes at the start.
        second: The codes at the end.
        steps: The number of codes on the path, 2 or more.
        path: `"linear"` or `"spherical"`, which is also linear where both codes have the same or
            opposite directions, or one is 0.

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
