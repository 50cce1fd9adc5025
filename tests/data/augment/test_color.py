import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.data import augment
from jaxvision.data.augment import color

LEVEL = 1e-5  # half of the fixture's 16-bit step, and float32 rounding
ADJUSTMENTS = ["adjust_brightness", "adjust_contrast", "adjust_saturation"]


def noise(*shape, dtype=jnp.float32):
    return jax.random.uniform(jax.random.key(1), shape).astype(dtype)


@pytest.mark.parametrize("kind", ["rgb", "gray"])
@pytest.mark.parametrize(
    ("name", "amount"),
    [
        *itertools.product(ADJUSTMENTS, [0.0, 0.4, 1.0, 1.7]),
        *itertools.product(["adjust_hue"], [-0.5, -0.13, 0.0, 0.3]),
    ],
)
def test_adjustments_equal_torchvision(torchvision, kind, name, amount):
    adjusted = getattr(augment, name)(torchvision[kind], amount)
    np.testing.assert_allclose(adjusted, torchvision[f"{kind}/{name}/{amount}"], atol=LEVEL)


@pytest.mark.parametrize("kind", ["rgb", "gray"])
def test_grayscale_equals_torchvision(torchvision, kind):
    gray = augment.to_grayscale(torchvision[kind])
    np.testing.assert_allclose(gray, torchvision[f"{kind}/to_grayscale/"], atol=LEVEL)


@pytest.mark.parametrize("name", ADJUSTMENTS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_factor_one_is_the_identity_bit_for_bit(name, dtype):
    image = noise(5, 6, 3, dtype=dtype)
    adjusted = getattr(augment, name)(image, 1.0)
    assert adjusted.dtype == dtype
    np.testing.assert_array_equal(adjusted, image)


def test_hue_turns_through_the_primaries():
    red = jnp.array([[[0.8, 0.2, 0.2]]])
    turns = [augment.adjust_hue(red, k / 6)[0, 0] for k in range(7)]
    expected = [[8, 2, 2], [8, 8, 2], [2, 8, 2], [2, 8, 8], [2, 2, 8], [8, 2, 8], [8, 2, 2]]
    np.testing.assert_allclose(jnp.stack(turns) * 10, expected, atol=1e-5)


@pytest.mark.parametrize("size", [2, 16])
def test_hue_stays_right_behind_a_warp(size):
    # Compiled with what follows, the warp may be computed twice and differ in its last bits.
    rotate = augment.random_rotation(9.0)
    turn = augment.photometric(lambda key, image: augment.adjust_hue(image, 0.05))
    images, key = noise(size, 16, 16, 3), jax.random.key(0)
    rotated = jax.jit(rotate)(key, images)
    apart = jax.jit(turn)(key, rotated)
    together = jax.jit(lambda key: turn(key, rotate(key, images)))(key)
    np.testing.assert_allclose(together, apart, atol=1e-5)


@pytest.mark.parametrize("name", ["adjust_saturation", "adjust_hue", "to_grayscale"])
def test_one_channel_stays_as_it_is(name):
    image = noise(4, 5, 1)
    amount = [] if name == "to_grayscale" else [0.3]
    np.testing.assert_array_equal(getattr(augment, name)(image, *amount), image)


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize(
    "function",
    [
        lambda image: augment.adjust_contrast(image, 0.5),
        lambda image: augment.adjust_saturation(image, 0.5),
        lambda image: augment.adjust_hue(image, 0.1),
        augment.to_grayscale,
    ],
)
def test_color_of_other_channel_counts_is_refused(function, channels):
    with pytest.raises(ValueError, match=f"not {channels};"):
        function(noise(4, 4, channels))
    assert augment.adjust_brightness(noise(4, 4, channels), 0.5).shape == (4, 4, channels)


@pytest.mark.parametrize(
    "function",
    [
        lambda image: augment.adjust_contrast(image, 1.3),
        lambda image: augment.adjust_saturation(image, 1.3),
        lambda image: augment.adjust_hue(image, 0.2),
    ],
)
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_gradients_are_finite_where_there_is_no_color(function, value):
    gradient = jax.grad(lambda image: (function(image) ** 2).sum())(jnp.full((3, 3, 3), value))
    assert bool(jnp.isfinite(gradient).all())


def test_jitter_without_strength_is_the_identity_bit_for_bit():
    images = noise(4, 8, 8, 3)
    np.testing.assert_array_equal(augment.color_jitter()(jax.random.key(0), images), images)


def test_jitter_factors_are_uniform_and_differ_between_rows():
    images = jnp.full((2000, 1, 1, 1), 0.5)
    factors = np.sort(jax.jit(augment.color_jitter(0.4))(jax.random.key(0), images).ravel() / 0.5)
    place = (factors - 0.6) / 0.8
    distance = np.abs(place - (np.arange(2000) + 0.5) / 2000).max()
    assert distance * 2000**0.5 < 3.1  # Kolmogorov-Smirnov, once in a hundred million times


def test_jitter_of_more_than_one_never_goes_below_zero():
    images = jnp.full((500, 1, 1, 1), 0.5)
    values = jax.jit(augment.color_jitter(2.0))(jax.random.key(0), images)
    assert float(values.min()) >= 0
    assert float(values.max()) == 1


def test_jitter_comes_in_every_order(monkeypatch):
    # With every draw at its upper end, only the order is left to chance.
    monkeypatch.setattr(color, "uniform", lambda key, low, high: jnp.float32(high))
    amounts = {
        augment.adjust_brightness: 1.9,
        augment.adjust_contrast: 1.8,
        augment.adjust_saturation: 1.7,
        augment.adjust_hue: 0.3,
    }
    image = noise(3, 3, 3)
    orders = []
    for order in itertools.permutations(amounts):
        adjusted = image
        for adjust in order:
            adjusted = adjust(adjusted, amounts[adjust])
        orders.append(np.asarray(adjusted))
    images = jnp.broadcast_to(image, (600, 3, 3, 3))
    jitter = jax.jit(augment.color_jitter(0.9, 0.8, 0.7, 0.3))
    results = np.asarray(jitter(jax.random.key(0), images))
    distances = np.abs(results[:, None] - np.stack(orders)).max(axis=(2, 3, 4))
    assert distances.min(axis=1).max() < 1e-5
    counts = (distances < 1e-5).sum(axis=0)  # orders with equal results share their counts
    assert counts.min() > 5


def test_jitter_hue_range():
    red = jnp.broadcast_to(jnp.array([1.0, 0.0, 0.0]), (2000, 1, 1, 3))
    jittered = np.asarray(jax.jit(augment.color_jitter(hue=0.1))(jax.random.key(0), red))[:, 0, 0]
    turns = np.where(jittered[:, 1] > 0, jittered[:, 1], -jittered[:, 2]) / 6
    assert -0.1 - 1e-6 <= turns.min() < -0.09
    assert 0.09 < turns.max() <= 0.1 + 1e-6


@pytest.mark.parametrize("probability", [0.0, 0.2, 1.0])
def test_random_grayscale_frequency(probability):
    images = jnp.broadcast_to(jnp.array([1.0, 0.0, 0.0]), (2000, 1, 1, 3))
    result = jax.jit(augment.random_grayscale(probability))(jax.random.key(0), images)[:, 0, 0]
    gray = (result[:, 0] == result[:, 1]) & (result[:, 1] == result[:, 2])
    assert bool((gray | (result == images[:, 0, 0]).all(axis=1)).all())
    tolerance = 5 * (probability * (1 - probability) / 2000) ** 0.5
    assert abs(float(gray.mean()) - probability) <= tolerance


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augment.color_jitter(-0.1), "brightness .* not -0.1"),
        (lambda: augment.color_jitter(0.1, 0.1, -0.2), "saturation .* not -0.2"),
        (lambda: augment.color_jitter(hue=0.6), r"hue must lie in \[0, 0.5\], not 0.6"),
        (lambda: augment.random_grayscale(2.0), "probability .* not 2"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "function",
    [
        lambda image: augment.adjust_brightness(image, 0.5),
        lambda image: augment.adjust_hue(image, 0.5),
        augment.to_grayscale,
    ],
)
def test_integers_are_refused(function):
    with pytest.raises(TypeError, match=r"(?i)float"):
        function(jnp.zeros((2, 2, 3), jnp.uint8))
