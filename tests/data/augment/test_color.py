import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision.data import augment
from jaxvision.data.augment import color

LEVEL = 1e-5  # half of the fixture's 16-bit step, and float32 rounding
FACTORS, SHIFTS = (0.0, 0.4, 1.0, 1.7), (-0.5, -0.13, 0.0, 0.3)
ADJUSTMENTS = ["adjust_brightness", "adjust_contrast", "adjust_saturation"]


def noise(*shape, dtype=np.float32):
    return np.random.default_rng(1).uniform(size=shape).astype(dtype)


def run(function, *arguments):
    return jax.device_get(quick.jit(function)(*arguments))


def sampled(transform, pixel, count=2000):
    """What becomes of many images of one pixel."""
    images = np.broadcast_to(np.float32(pixel), (count, 1, 1, len(pixel)))
    return run(transform, jax.random.key(0), images)[:, 0, 0]


@pytest.mark.parametrize("kind", ["rgb", "gray"])
def test_adjustments_equal_torchvision(torchvision, kind):
    amounts = dict.fromkeys(ADJUSTMENTS, FACTORS) | {"adjust_hue": SHIFTS}

    def adjusted(image, amounts):
        def each(name):
            return jax.vmap(functools.partial(getattr(augment, name), image))(amounts[name])

        return {name: each(name) for name in amounts}, augment.to_grayscale(image)

    arrays = {name: np.float32(values) for name, values in amounts.items()}
    results, gray = run(adjusted, torchvision[kind], arrays)
    for name, values in amounts.items():
        for amount, result in zip(values, results[name], strict=True):
            stored = torchvision[f"{kind}/{name}/{amount}"]
            np.testing.assert_allclose(result, stored, atol=LEVEL, err_msg=f"{name} {amount}")
    np.testing.assert_allclose(gray, torchvision[f"{kind}/to_grayscale/"], atol=LEVEL)


def test_factor_one_is_the_identity_bit_for_bit():
    images = [noise(5, 6, 3, dtype=dtype) for dtype in (np.float32, jnp.bfloat16)]

    def adjusted(images):
        return [[getattr(augment, name)(image, 1.0) for name in ADJUSTMENTS] for image in images]

    for image, results in zip(images, run(adjusted, images), strict=True):
        for result in results:
            assert result.dtype == image.dtype
            np.testing.assert_array_equal(result, image)


def test_hue_turns_through_the_primaries():
    red = np.float32([[[0.8, 0.2, 0.2]]])
    turns = run(jax.vmap(augment.adjust_hue, (None, 0)), red, np.arange(7, dtype=np.float32) / 6)
    expected = [[8, 2, 2], [8, 8, 2], [2, 8, 2], [2, 8, 8], [2, 2, 8], [8, 2, 8], [8, 2, 2]]
    np.testing.assert_allclose(turns[:, 0, 0] * 10, expected, atol=1e-5)


@pytest.mark.parametrize("size", [2, pytest.param(16, marks=pytest.mark.slow)])
def test_hue_stays_right_behind_a_warp(size):
    # Compiled with what follows, the warp may be computed twice and differ in its last bits.
    rotate = augment.random_rotation(9.0)
    turn = augment.photometric(lambda key, image: augment.adjust_hue(image, 0.05))
    images, key = noise(size, 16, 16, 3), jax.random.key(0)
    apart = run(turn, key, run(rotate, key, images))
    together = run(lambda key, images: turn(key, rotate(key, images)), key, images)
    np.testing.assert_allclose(together, apart, atol=1e-5)


def test_one_channel_stays_as_it_is():
    def adjusted(image):
        return (
            augment.adjust_saturation(image, 0.3),
            augment.adjust_hue(image, 0.3),
            augment.to_grayscale(image),
        )

    image = noise(4, 5, 1)
    for result in run(adjusted, image):
        np.testing.assert_array_equal(result, image)


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
        jax.eval_shape(function, noise(4, 4, channels))


@pytest.mark.parametrize("channels", [2, 4])
def test_brightness_of_other_channel_counts_is_not_refused(channels):
    image = noise(4, 4, channels)
    assert (
        jax.eval_shape(lambda image: augment.adjust_brightness(image, 0.5), image).shape
        == image.shape
    )


def test_gradients_are_finite_where_there_is_no_color():
    def gradients(images):
        adjustments = (
            lambda image: augment.adjust_contrast(image, 1.3),
            lambda image: augment.adjust_saturation(image, 1.3),
            lambda image: augment.adjust_hue(image, 0.2),
        )
        losses = [lambda image, adjust=adjust: (adjust(image) ** 2).sum() for adjust in adjustments]
        return [jax.vmap(jax.grad(loss))(images) for loss in losses]

    images = np.stack([np.full((3, 3, 3), value, np.float32) for value in (0.0, 0.5, 1.0)])
    for gradient in run(gradients, images):
        assert np.isfinite(gradient).all()


def test_jitter_without_strength_is_the_identity_bit_for_bit():
    images = noise(4, 8, 8, 3)
    result = run(augment.color_jitter(), jax.random.key(0), images)
    np.testing.assert_array_equal(result, images)


def test_jitter_factors_are_uniform_and_differ_between_rows():
    factors = np.sort(sampled(augment.color_jitter(0.4), [0.5]).ravel() / 0.5)
    place = (factors - 0.6) / 0.8
    distance = np.abs(place - (np.arange(2000) + 0.5) / 2000).max()
    assert distance * 2000**0.5 < 3.1  # Kolmogorov-Smirnov, once in a hundred million times


def test_jitter_of_more_than_one_never_goes_below_zero():
    values = sampled(augment.color_jitter(2.0), [0.5], count=500)
    assert values.min() >= 0
    assert values.max() == 1


def test_jitter_comes_in_every_order(monkeypatch):
    # With every draw at its upper end, only the order is left to chance.
    monkeypatch.setattr(color, "uniform", lambda key, low, high: jnp.float32(high))
    adjustments = (
        lambda image: augment.adjust_brightness(image, 1.9),
        lambda image: augment.adjust_contrast(image, 1.8),
        lambda image: augment.adjust_saturation(image, 1.7),
        lambda image: augment.adjust_hue(image, 0.3),
    )
    jitter = augment.color_jitter(0.9, 0.8, 0.7, 0.3)

    def jittered_and_adjusted(key, image):
        # Of four adjustments, each any of the four: the last one varies slowest.
        adjusted = image[None]
        for _ in adjustments:
            adjusted = jnp.concatenate([jax.vmap(adjust)(adjusted) for adjust in adjustments])
        return jitter(key, jnp.broadcast_to(image, (600, 3, 3, 3))), adjusted

    results, adjusted = run(jittered_and_adjusted, jax.random.key(0), noise(3, 3, 3))
    sequences = itertools.product(range(4), repeat=4)
    orders = adjusted[[len(set(sequence)) == 4 for sequence in sequences]]
    assert len(orders) == 24
    distances = np.abs(results[:, None] - orders).max(axis=(2, 3, 4))
    assert distances.min(axis=1).max() < 1e-5
    counts = (distances < 1e-5).sum(axis=0)  # orders with equal results share their counts
    assert counts.min() > 5


def test_jitter_hue_range():
    jittered = sampled(augment.color_jitter(hue=0.1), [1, 0, 0])
    turns = np.where(jittered[:, 1] > 0, jittered[:, 1], -jittered[:, 2]) / 6
    assert -0.1 - 1e-6 <= turns.min() < -0.09
    assert 0.09 < turns.max() <= 0.1 + 1e-6


def test_random_grayscale_frequency():
    def results(key, images):
        return [augment.random_grayscale(probability)(key, images) for probability in probabilities]

    probabilities = (0.0, 0.2, 1.0)
    red = np.broadcast_to(np.float32([1, 0, 0]), (2000, 1, 1, 3))
    results = run(results, jax.random.key(0), red)
    for probability, result in zip(probabilities, results, strict=True):
        pixels = result[:, 0, 0]
        gray = (pixels == pixels[:, :1]).all(axis=1)
        assert (gray | (pixels == [1, 0, 0]).all(axis=1)).all()
        tolerance = 5 * (probability * (1 - probability) / 2000) ** 0.5
        assert abs(gray.mean() - probability) <= tolerance, probability


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
        jax.eval_shape(function, np.zeros((2, 2, 3), np.uint8))
