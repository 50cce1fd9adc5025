import jax
import numpy as np
import pytest
import quick

from jaxvision.explain import frequencies, from_spectrum, pixels, to_spectrum

NUMBERS = np.random.default_rng(0).normal(size=(2, 6, 9, 3)).astype(np.float32)


@quick.jit
def transformed(numbers):
    flat = from_spectrum(numbers, 0)
    falling = from_spectrum(numbers, 1.5)
    return flat, falling, to_spectrum(falling, 1.5), from_spectrum(flat, 0)


def test_without_decay_the_transform_keeps_lengths_and_inverts_itself() -> None:
    flat, _, _, again = transformed(NUMBERS)
    np.testing.assert_allclose((flat**2).sum((1, 2)), (NUMBERS**2).sum((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(again, NUMBERS, atol=1e-5)
    products = (flat[0] * flat[1]).sum((0, 1)), (NUMBERS[0] * NUMBERS[1]).sum((0, 1))
    np.testing.assert_allclose(*products, atol=1e-4)


def test_with_decay_each_wave_is_scaled_by_a_power_of_its_frequency() -> None:
    """Lengths of what single numbers give, against frequencies that are written out here."""
    height, width = NUMBERS.shape[1:3]
    waves = np.eye(height * width, dtype=np.float32).reshape(-1, height, width, 1)
    found = np.sqrt((np.asarray(quick.jit(from_spectrum)(waves)) ** 2).sum((1, 2, 3)))
    cycles = np.array([
        [min(v, height - v) / height, min(u, width - u) / width]
        for v in range(height) for u in range(width)
    ])  # fmt: skip
    expected = 1 / np.maximum(np.hypot(*cycles.T), 1 / 9)
    expected /= np.sqrt((expected**2).mean())
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_inverse_of_a_decay() -> None:
    _, falling, back, _ = transformed(NUMBERS)
    np.testing.assert_allclose(back, NUMBERS, atol=1e-4)
    assert not np.allclose(falling, NUMBERS)


@pytest.mark.parametrize("canvas", [pixels(), frequencies(), frequencies(0.0)])
def test_images_come_back_from_their_numbers(canvas) -> None:
    images = np.random.default_rng(1).uniform(0.01, 0.99, (2, 5, 4, 3)).astype(np.float32)
    back = quick.jit(lambda x: canvas.to_images(canvas.from_images(x)))(images)
    np.testing.assert_allclose(back, images, atol=1e-4)


def test_black_and_white_stay_finite_in_half_precision_and_batches_may_be_empty() -> None:
    images = np.array([0.0, 1.0], np.float32).reshape(1, 1, 2, 1)

    @jax.jit
    def both(images):
        half = images.astype("bfloat16")
        return pixels().from_images(images), frequencies().from_images(half)

    found, half = both(images)
    np.testing.assert_allclose(np.ravel(found), [-9.21, 9.21], atol=1e-2)
    assert half.dtype == "bfloat16"
    assert np.isfinite(np.asarray(half, np.float32)).all()
    assert jax.eval_shape(frequencies().to_images, images[:0]).shape == (0, 1, 2, 1)
