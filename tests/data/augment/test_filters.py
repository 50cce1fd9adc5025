import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision.data import augment

LEVEL = 1e-5  # half of the fixture's 16-bit step, and float32 rounding


def noise(*shape, dtype=np.float32):
    return np.random.default_rng(1).uniform(size=shape).astype(dtype)


def spot(size, value=1.0):
    image = np.zeros((size, size, 1), np.float32)
    image[size // 2, size // 2] = value
    return image


def run(function, *arguments):
    return jax.device_get(quick.jit(function)(*arguments))


@pytest.mark.parametrize("kind", ["rgb", "gray"])
def test_blur_and_sharpness_equal_torchvision(torchvision, kind):
    blurs, factors = ((0.5, 3), (1.3, 7)), (0.0, 0.4, 1.0, 1.7)

    def filtered(image, factors):
        blurred = [
            augment.gaussian_blur(image, sigma, kernel_size=kernel_size)
            for sigma, kernel_size in blurs
        ]
        return blurred, jax.vmap(augment.adjust_sharpness, (None, 0))(image, factors)

    blurred, sharpened = run(filtered, torchvision[kind], np.float32(factors))
    for (sigma, kernel_size), result in zip(blurs, blurred, strict=True):
        stored = torchvision[f"{kind}/gaussian_blur/{sigma}/{kernel_size}"]
        np.testing.assert_allclose(result, stored, atol=LEVEL, err_msg=f"sigma {sigma}")
    for factor, result in zip(factors, sharpened, strict=True):
        stored = torchvision[f"{kind}/adjust_sharpness/{factor}"]
        np.testing.assert_allclose(result, stored, atol=LEVEL, err_msg=f"factor {factor}")


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
def test_no_strength_is_the_identity_bit_for_bit(dtype):
    def results(key, image):
        return (
            augment.gaussian_blur(image, 0.0, kernel_size=5),
            augment.gaussian_blur(image, 3.0, kernel_size=1),
            augment.adjust_sharpness(image, 1.0),
            augment.random_gaussian_noise(0.0)(key, image),
        )

    image = noise(6, 7, 2, dtype=dtype)
    for result in run(results, jax.random.key(0), image):
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, image)


def test_blur_keeps_constants_to_the_border():
    image = np.full((5, 9, 1), 0.7, np.float32)
    blurred = run(lambda image: augment.gaussian_blur(image, 4.0, kernel_size=9), image)
    np.testing.assert_allclose(blurred, image, rtol=1e-6)


def test_every_row_of_a_batch_has_a_sigma_of_its_own_within_the_range():
    blur = augment.random_gaussian_blur(7, sigma=(0.5, 1.0))

    def peaks(key, spot):
        drawn = blur(key, jnp.broadcast_to(spot, (200, 7, 7, 1)))[:, 3, 3, 0]
        bounds = [augment.gaussian_blur(spot, sigma, kernel_size=7) for sigma in (0.5, 1.0)]
        return drawn, *(blurred[3, 3, 0] for blurred in bounds)

    drawn, highest, lowest = run(peaks, jax.random.key(0), spot(7))
    assert len(np.unique(drawn)) > 190
    assert lowest - 1e-6 <= drawn.min() < lowest * 1.1
    assert highest * 0.9 < drawn.max() <= highest + 1e-6


def test_small_images_are_not_sharpened():
    images = [noise(*shape) for shape in ((2, 9, 3), (9, 2, 3), (1, 1, 1))]
    sharpened = run(
        lambda images: [augment.adjust_sharpness(image, 0.0) for image in images], images
    )
    jax.tree.map(np.testing.assert_array_equal, sharpened, images)


def test_sharpness_has_a_gradient():
    gradient = run(
        jax.grad(lambda image: augment.adjust_sharpness(image, 0.0)[2, 2, 0]),
        np.full((5, 5, 1), 0.5, np.float32),
    )
    np.testing.assert_allclose(gradient[1:4, 1:4, 0] * 13, [[1, 1, 1], [1, 5, 1], [1, 1, 1]])


def test_noise_is_standard_normal_times_std():
    images = np.full((50, 20, 20, 2), 0.5, np.float32)
    noisy = run(augment.random_gaussian_noise(0.1, clip=False), jax.random.key(0), images)
    added = noisy - images
    count = added.size
    assert abs(added.mean()) < 5 * 0.1 / count**0.5
    assert abs(added.std() / 0.1 - 1) < 5 / (2 * count) ** 0.5
    assert len(np.unique(added[:, 0, 0, 0])) == 50


def test_noise_is_clipped_if_asked():
    def noisy(key):
        images = jnp.ones((4, 8, 8, 1))
        return [
            augment.random_gaussian_noise(1.0, clip=clip)(key, images) for clip in (True, False)
        ]

    clipped, unclipped = run(noisy, jax.random.key(0))
    assert (clipped.min() >= 0, clipped.max() <= 1) == (True, True)
    assert (unclipped.min() >= 0, unclipped.max() <= 1) == (False, False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda image: augment.random_gaussian_blur(4), "odd and positive, not 4"),
        (lambda image: augment.random_gaussian_blur(3, sigma=(0.0, 1.0)), "sigma"),
        (lambda image: augment.random_gaussian_noise(-0.1), "std .* not -0.1"),
        (lambda image: augment.gaussian_blur(image, 1.0, kernel_size=9), "4x9"),
        (lambda image: augment.gaussian_blur(image, 1.0, kernel_size=2), "not 2"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(make, noise(4, 9, 1))
