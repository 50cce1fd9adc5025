import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.data import augment

LEVEL = 1e-5  # half of the fixture's 16-bit step, and float32 rounding


def noise(*shape, dtype=jnp.float32):
    return jax.random.uniform(jax.random.key(1), shape).astype(dtype)


@pytest.mark.parametrize("kind", ["rgb", "gray"])
@pytest.mark.parametrize(("sigma", "kernel_size"), [(0.5, 3), (1.3, 7)])
def test_blur_equals_torchvision(torchvision, kind, sigma, kernel_size):
    blurred = augment.gaussian_blur(torchvision[kind], sigma, kernel_size=kernel_size)
    stored = torchvision[f"{kind}/gaussian_blur/{sigma}/{kernel_size}"]
    np.testing.assert_allclose(blurred, stored, atol=LEVEL)


@pytest.mark.parametrize("kind", ["rgb", "gray"])
@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
def test_sharpness_equals_torchvision(torchvision, kind, factor):
    sharpened = augment.adjust_sharpness(torchvision[kind], factor)
    np.testing.assert_allclose(
        sharpened, torchvision[f"{kind}/adjust_sharpness/{factor}"], atol=LEVEL
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(
    "function",
    [
        lambda image: augment.gaussian_blur(image, 0.0, kernel_size=5),
        lambda image: augment.gaussian_blur(image, 3.0, kernel_size=1),
        lambda image: augment.adjust_sharpness(image, 1.0),
        lambda image: augment.random_gaussian_noise(0.0)(jax.random.key(0), image),
    ],
)
def test_no_strength_is_the_identity_bit_for_bit(function, dtype):
    image = noise(6, 7, 2, dtype=dtype)
    assert function(image).dtype == dtype
    np.testing.assert_array_equal(function(image), image)


def test_blur_keeps_constants_to_the_border():
    blurred = augment.gaussian_blur(jnp.full((5, 9, 1), 0.7), 4.0, kernel_size=9)
    np.testing.assert_allclose(blurred, 0.7, rtol=1e-6)


def test_every_row_of_a_batch_has_a_sigma_of_its_own_within_the_range():
    spot = jnp.zeros((7, 7, 1)).at[3, 3].set(1.0)
    blur = augment.random_gaussian_blur(7, sigma=(0.5, 1.0))
    peaks = jax.jit(blur)(jax.random.key(0), jnp.broadcast_to(spot, (200, 7, 7, 1)))[:, 3, 3, 0]
    highest, lowest = (
        float(augment.gaussian_blur(spot, sigma, kernel_size=7)[3, 3, 0]) for sigma in (0.5, 1.0)
    )
    assert len(np.unique(peaks)) > 190
    assert lowest - 1e-6 <= float(peaks.min()) < lowest * 1.1
    assert highest * 0.9 < float(peaks.max()) <= highest + 1e-6


@pytest.mark.parametrize("shape", [(2, 9, 3), (9, 2, 3), (1, 1, 1)])
def test_small_images_are_not_sharpened(shape):
    np.testing.assert_array_equal(augment.adjust_sharpness(noise(*shape), 0.0), noise(*shape))


def test_sharpness_has_a_gradient():
    gradient = jax.grad(lambda image: augment.adjust_sharpness(image, 0.0)[2, 2, 0])(
        jnp.full((5, 5, 1), 0.5)
    )
    np.testing.assert_allclose(gradient[1:4, 1:4, 0] * 13, [[1, 1, 1], [1, 5, 1], [1, 1, 1]])


def test_noise_is_standard_normal_times_std():
    images = jnp.full((50, 20, 20, 2), 0.5)
    added = (
        jax.jit(augment.random_gaussian_noise(0.1, clip=False))(jax.random.key(0), images) - images
    )
    count = added.size
    assert abs(float(added.mean())) < 5 * 0.1 / count**0.5
    assert abs(float(added.std()) / 0.1 - 1) < 5 / (2 * count) ** 0.5
    assert len(np.unique(added[:, 0, 0, 0])) == 50


@pytest.mark.parametrize("clip", [True, False])
def test_noise_is_clipped_if_asked(clip):
    images = jnp.ones((4, 8, 8, 1))
    noisy = jax.jit(augment.random_gaussian_noise(1.0, clip=clip))(jax.random.key(0), images)
    assert (float(noisy.max()) <= 1) == clip
    assert (float(noisy.min()) >= 0) == clip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augment.random_gaussian_blur(4), "odd and positive, not 4"),
        (lambda: augment.random_gaussian_blur(3, sigma=(0.0, 1.0)), "sigma"),
        (lambda: augment.random_gaussian_noise(-0.1), "std .* not -0.1"),
        (lambda: augment.gaussian_blur(noise(4, 9, 1), 1.0, kernel_size=9), "4x9"),
        (lambda: augment.gaussian_blur(noise(4, 9, 1), 1.0, kernel_size=2), "not 2"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()
