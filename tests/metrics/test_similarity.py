"""Similarities of images: closed forms; scikit-image's, kornia's and pytorch-msssim's values."""

import functools
import json
import math

import jax
import jax.numpy as jnp
import make_generative as fixture
import numpy as np
import pytest
import quick

from jaxvision import metrics

FOUND = json.loads(fixture.PATH.read_text())
CLEAN, NOISY = map(jnp.asarray, fixture.images())


MEASURES = {
    "psnr": metrics.psnr,
    "ms_ssim": metrics.ms_ssim,
    "valid": metrics.ssim,
    "reflect": functools.partial(metrics.ssim, padding="reflect"),
    "symmetric": functools.partial(metrics.ssim, padding="symmetric"),
}


@pytest.mark.parametrize("pictures", ["similarities", "small", "camera"])
def test_values_are_those_of_other_libraries(pictures) -> None:
    """Of a photograph, of images in color, and of a part of these, most of which is border."""
    clean, noisy = fixture.camera() if pictures == "camera" else fixture.images()
    part = np.s_[:, :20, :24] if pictures == "small" else np.s_[:]
    pair = [jnp.asarray(each[part], jnp.float32) for each in (noisy, clean)]
    expected = FOUND[pictures]
    found = quick.jit(lambda *pair: {name: MEASURES[name](*pair) for name in expected})(*pair)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=4e-5, err_msg=name)


def test_known_values_of_the_photograph() -> None:
    """Published comparisons of libraries have these: the fixture is of the same image and noise."""
    found = {name: values[0] for name, values in FOUND["camera"].items()}
    assert found["psnr"] == pytest.approx(20.44953, abs=1e-5)
    assert found["valid"] == pytest.approx(0.284966, abs=1e-6)
    assert found["reflect"] == pytest.approx(0.28349, abs=1e-5)
    assert found["ms_ssim"] == pytest.approx(0.735836, abs=2e-6)


def test_equal_images() -> None:
    def all_of(images):
        return (
            metrics.psnr(images, images),
            metrics.ssim(images, images),
            metrics.ms_ssim(images, images, weights=(0.4, 0.6)),
            metrics.ssim(images[:, :5, :4], images[:, :5, :4], padding="symmetric"),
            metrics.ssim(images[:, :5, :1], images[:, :5, :1], padding="reflect"),
        )

    images = CLEAN[:, :40, :40]
    psnr, *others = quick.jit(all_of)(images)
    assert np.isinf(psnr).all()
    for each in others:
        np.testing.assert_allclose(each, 1, rtol=1e-5)


def test_psnr_counts_from_the_largest_value() -> None:
    zeros = jnp.zeros((1, 4, 4, 1))
    np.testing.assert_allclose(metrics.psnr(zeros + 0.1, zeros), 20, rtol=1e-6)
    np.testing.assert_allclose(
        metrics.psnr(zeros + 25.5, zeros, max_value=255), 20 * math.log10(10), rtol=1e-6
    )
    assert metrics.psnr(zeros[:0], zeros[:0]).shape == (0,)
    assert metrics.psnr(zeros.astype(jnp.bfloat16), zeros).dtype == jnp.float32


def test_the_range_does_not_matter() -> None:
    def both(noisy, clean):
        return metrics.ssim(noisy, clean), metrics.ssim(255 * noisy, 255 * clean, max_value=255)

    first, second = quick.jit(both)(NOISY[:, :30, :31], CLEAN[:, :30, :31])
    np.testing.assert_allclose(first, second, rtol=1e-4)


def test_negative_contrast_has_a_finite_gradient() -> None:
    images = CLEAN[:, :24, :24]

    def total(noisy):
        return metrics.ms_ssim(noisy, images, weights=(0.5, 0.5)).sum()

    value, gradient = quick.jit(jax.value_and_grad(total))(1 - images)
    assert value >= 0
    assert np.isfinite(gradient).all()


def test_total_variation() -> None:
    assert float(metrics.total_variation(jnp.full((1, 5, 6, 3), 0.7))[0]) == 0
    ramp = jnp.arange(12.0).reshape(1, 3, 4, 1)
    assert float(metrics.total_variation(ramp)[0]) == 9 * 1 + 8 * 4
    assert metrics.total_variation(ramp.astype(jnp.bfloat16)).dtype == jnp.float32


def test_bytes_are_measured_up_to_255() -> None:
    images = [jnp.round(255 * each[:, :20, :24]).astype(jnp.uint8) for each in (NOISY, CLEAN)]

    def both(*images):
        floats = [each / 255 for each in images]
        return [
            [measure(*images, max_value=255) - measure(*floats)]
            for measure in (metrics.psnr, metrics.ssim)
        ]

    np.testing.assert_allclose(quick.jit(both)(*images), 0, atol=1e-4)
    for measure in (metrics.psnr, metrics.ssim, metrics.ms_ssim):
        with pytest.raises(ValueError, match=r"is 1.0 for images of uint8: give max_value=255"):
            measure(*images)
        with pytest.raises(ValueError, match="max_value must be positive, got 0"):
            measure(*images, max_value=0)


def test_what_is_not_allowed(unchecked) -> None:
    small = CLEAN[:, :10, :20]
    with pytest.raises(ValueError, match="11x11 pixels or more at every scale, got 10x20"):
        metrics.ssim(small, small)
    with pytest.raises(ValueError, match="unknown padding 'same'"):
        metrics.ssim(small, small, padding="same")
    with pytest.raises(ValueError, match="one shape"):
        metrics.psnr(small, CLEAN)
    with pytest.raises(ValueError, match="one number or more, one for each scale"):
        metrics.ms_ssim(CLEAN, CLEAN, weights=())
