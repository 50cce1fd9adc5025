"""Two-class toy data in the plane that no line separates, and a function to approximate."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

Toy = Literal["xor", "annulus", "three_modes"]
NAMES: dict[Toy, str] = {
    "xor": "XOR quadrants",
    "annulus": "annulus",
    "three_modes": "three modes",
}
Points = Float[Array, "points 2"]

INNER_RADIUS, OUTER_RADIUS = 0.4, 0.8
"""Radii of the annulus."""
DISC_RADIUS = 0.35
ANGLES = 2 * np.pi * (np.arange(3) / 3 + 1 / 4)
CENTERS = 0.6 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32)
"""Centers of the three discs, whose mean is 0."""


def in_xor(points: Points) -> Bool[Array, " points"]:
    """Whether points are in the first or the third quadrant."""
    return points[:, 0] * points[:, 1] > 0


def in_annulus(points: Points) -> Bool[Array, " points"]:
    """Whether points are in a ring around 0."""
    radius = jnp.linalg.norm(points, axis=1)
    return (radius > INNER_RADIUS) & (radius < OUTER_RADIUS)


def in_three_modes(points: Points) -> Bool[Array, " points"]:
    """Whether points are in one of three discs."""
    distances = jnp.linalg.norm(points[:, None] - CENTERS, axis=-1)
    return (distances < DISC_RADIUS).any(axis=1)


IN_CLASS_1: dict[Toy, Callable[[Points], Bool[Array, " points"]]] = {
    "xor": in_xor,
    "annulus": in_annulus,
    "three_modes": in_three_modes,
}


def draw(toy: Toy, key: Key[Array, ""], count: int) -> tuple[Points, Int[Array, " points"]]:
    """Draws points of the square [-1, 1] x [-1, 1], alternately of class 0 and class 1.

    Each class is uniform on its region. The mean of both classes is 0 in all toy data, so that the
    best logistic regression has slope 0 and an accuracy of one half.
    """
    candidates = jax.random.uniform(key, (4 * count, 2), minval=-1, maxval=1)
    is_1 = IN_CLASS_1[toy](candidates)
    # A stable sort moves the points of a class to the front, in the order in which they were drawn.
    orders = [jnp.argsort(wrong, stable=True)[: -(-count // 2)] for wrong in (is_1, ~is_1)]
    chosen = jnp.stack(orders, axis=1).reshape(-1)[:count]
    return candidates[chosen], is_1[chosen].astype(jnp.int32)


def wave_and_step(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """A function on the interval from -1 to 1: a sine wave of two periods, plus a steep step."""
    return jnp.sin(2 * jnp.pi * x) + jnp.tanh(20 * (x - 0.5))
