import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.rl import Box, Discrete
from jaxvision.rl.spaces import as_space

KEYS = jax.random.split(jax.random.key(0), 2_000)


@pytest.mark.parametrize(
    "space",
    [
        Discrete(3),
        Box(-1.0, 2.0, (2,)),
        Box(0, 255, (2, 2, 1), jnp.uint8),
        Box(jnp.array([-1.0, -jnp.inf]), jnp.array([1.0, jnp.inf]), (2,)),
        Box(0.0, jnp.inf, (1,)),
        Box(-5, 2**31 - 1, (2,), jnp.int32),
    ],
    ids=str,
)
def test_samples_are_elements(space):
    samples = jax.vmap(space.sample)(KEYS)
    assert samples.shape == (2_000, *space.shape)
    assert samples.dtype == space.dtype
    assert jax.vmap(space.contains)(samples).all()


def test_samples_are_spread():
    np.testing.assert_allclose(
        np.bincount(jax.vmap(Discrete(4).sample)(KEYS)) / 2_000, 0.25, atol=0.04
    )
    samples = np.asarray(jax.vmap(Box(0, 255, (), jnp.uint8).sample)(KEYS))
    assert samples.min() < 3
    assert samples.max() > 252
    samples = np.asarray(jax.vmap(Box(0, 2**31 - 1, (), jnp.int32).sample)(KEYS))
    np.testing.assert_allclose(samples.mean() / 2**31, 0.5, atol=0.05)
    samples = jax.vmap(Box(-1.0, 3.0, ()).sample)(KEYS)
    np.testing.assert_allclose([samples.mean(), samples.std()], [1, 4 / 12**0.5], atol=0.1)


def test_what_is_no_element():
    assert not Discrete(3).contains(3)
    assert not Discrete(3).contains(-1)
    assert not Box(0.0, 1.0, (2,)).contains(jnp.array([0.5, 1.5]))
    assert not Box(0.0, 1.0, (2,)).contains(jnp.array([0.5]))
    assert not Discrete(3).contains(1.5)
    assert not Discrete(3).contains(jnp.array([1]))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Discrete(0), "n must be a whole number of elements, at least 1, got 0"),
        (lambda: Discrete(2.5), r"n must be a whole number of elements, at least 1, got 2\.5"),
        (lambda: Box(3, 1, (2,)), "low must not be above high, got 3 and 1"),
        (lambda: Box(jnp.zeros(3), 1, (2,)), r"the shape \(2,\) of the elements, got shape \(3,\)"),
    ],
)
def test_spaces_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_spaces_of_other_libraries():
    theirs = types.SimpleNamespace(n=np.int64(4), shape=(), dtype=np.int64, start=0)
    assert as_space(theirs) == Discrete(4)
    theirs = types.SimpleNamespace(low=0, high=255, shape=[8, 8], dtype=np.uint8)
    assert as_space(theirs) == Box(0, 255, (8, 8), jnp.dtype(jnp.uint8))
    with pytest.raises(ValueError, match="discrete, counted from 0, or boxes of numbers"):
        as_space(types.SimpleNamespace(n=3, start=1))
    with pytest.raises(ValueError, match="discrete, counted from 0, or boxes of numbers"):
        as_space(types.SimpleNamespace(n=5, shape=(5,), dtype=np.int8))  # MultiBinary


def test_boxes_are_told_apart_whatever_their_bounds_are():
    one = Box(np.array([-1.0, -2.0]), np.array([1.0, 2.0]), (2,))
    assert one == Box(jnp.array([-1, -2]), jnp.array([1, 2]), (2,))
    assert hash(one) == hash(Box(jnp.array([-1, -2]), jnp.array([1, 2]), (2,)))
    assert Box(0, 1, (2,)) == Box(np.zeros(2), 1.0, (2,))
    others = [Box(-1.0, 1.0, (2,)), Box(one.low, one.high, (2,), jnp.float16), Box(0, 1, (3,)), 3]
    assert all(one != other for other in others)
