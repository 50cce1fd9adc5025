"""Paths between codes."""

import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import train


def test_both_paths_have_both_ends() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=(2, 3, 5)).astype(np.float32)

    def both(first, second):
        return [train.vae.interpolate(first, second, 7, path=p) for p in ("linear", "spherical")]

    line, sphere = map(np.asarray, quick.jit(both)(first, second))
    for path in (line, sphere):
        assert path.shape == (7, 3, 5)
        np.testing.assert_allclose(path[0], first, rtol=1e-5)
        np.testing.assert_allclose(path[-1], second, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        np.diff(line, axis=0), (second - first)[None] / 6 + 0 * line[1:], rtol=1e-3, atol=1e-6
    )
    lengths = np.linalg.norm(sphere, axis=-1)
    np.testing.assert_allclose(np.diff(lengths, 2, axis=0), 0, atol=1e-5)
    units = sphere / lengths[..., None]
    turns = (units[1:] * units[:-1]).sum(-1)
    np.testing.assert_allclose(turns, turns[:1] + 0 * turns, rtol=1e-4)


def test_where_a_sphere_has_no_path_it_is_a_line() -> None:
    ends = np.float32([[[0, 0], [1, 0], [1, 1]], [[2, 0], [-3, 0], [2, 2]]])
    found = quick.jit(lambda a, b: train.vae.interpolate(a, b, 3, path="spherical"))(*ends)
    np.testing.assert_allclose(found[1], ends.mean(0), rtol=1e-5)


def test_what_is_not_allowed(unchecked) -> None:
    with pytest.raises(ValueError, match="steps must be a whole number of codes, at least 2"):
        train.vae.interpolate(jnp.zeros(2), jnp.ones(2), 1)
    with pytest.raises(ValueError, match="unknown path 'sphere'; did you mean 'spherical'"):
        train.vae.interpolate(jnp.zeros(2), jnp.ones(2), 3, path="sphere")
