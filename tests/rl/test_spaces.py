import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision.rl import Box, Discrete
from jaxvision.rl.spaces import as_space


def samples_of(space):
    """Two thousand, and whether each is an element."""

    @quick.jit
    def draw(key):
        samples = jax.vmap(space.sample)(jax.random.split(key, 2_000))
        return samples, jax.vmap(space.contains)(samples)

    return jax.device_get(draw(jax.random.key(0)))


@pytest.mark.parametrize(
    "space",
    [
        Discrete(3),
        Box(-1.0, 2.0, (2,)),
        Box(0, 255, (2, 2, 1), jnp.uint8),
        Box(np.array([-1.0, -np.inf]), np.array([1.0, np.inf]), (2,)),
        Box(0.0, jnp.inf, (1,)),
        Box(-5, 2**31 - 1, (2,), jnp.int32),
    ],
    ids=str,
)
def test_samples_are_elements(space):
    samples, inside = samples_of(space)
    assert samples.shape == (2_000, *space.shape)
    assert samples.dtype == space.dtype
    assert inside.all()


def test_samples_are_spread():
    samples, _ = samples_of(Discrete(4))
    np.testing.assert_allclose(np.bincount(samples) / 2_000, 0.25, atol=0.04)
    samples, _ = samples_of(Box(0, 255, (), jnp.uint8))
    assert samples.min() < 3
    assert samples.max() > 252
    samples, _ = samples_of(Box(0, 2**31 - 1, (), jnp.int32))
    np.testing.assert_allclose(samples.mean() / 2**31, 0.5, atol=0.05)
    samples, _ = samples_of(Box(-1.0, 3.0, ()))
    np.testing.assert_allclose([samples.mean(), samples.std()], [1, 4 / 12**0.5], atol=0.1)


def test_what_is_no_element():
    answers = quick.jit(
        lambda: [
            Discrete(3).contains(3),
            Discrete(3).contains(-1),
            Box(0.0, 1.0, (2,)).contains(np.array([0.5, 1.5])),
            Box(0.0, 1.0, (2,)).contains(np.array([0.5])),
            Discrete(3).contains(1.5),
            Discrete(3).contains(np.array([1])),
        ]
    )
    assert not np.any(answers())


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Discrete(0), "n must be a whole number of elements, at least 1, got 0"),
        (lambda: Discrete(2.5), r"n must be a whole number of elements, at least 1, got 2\.5"),
        (lambda: Box(3, 1, (2,)), "low must not be above high, got 3 and 1"),
        (lambda: Box(np.zeros(3), 1, (2,)), r"the shape \(2,\) of the elements, got shape \(3,\)"),
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
    assert one == Box(jax.device_put(np.array([-1, -2])), np.array([1, 2]), (2,))
    assert hash(one) == hash(Box(jax.device_put(np.array([-1, -2])), np.array([1, 2]), (2,)))
    assert Box(0, 1, (2,)) == Box(np.zeros(2), 1.0, (2,))
    others = [Box(-1.0, 1.0, (2,)), Box(one.low, one.high, (2,), jnp.float16), Box(0, 1, (3,)), 3]
    assert all(one != other for other in others)
