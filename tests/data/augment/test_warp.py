import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.data import augment
from jaxvision.data.augment import (
    Sampling,
    centered,
    compose,
    rotation_matrix,
    scaling_matrix,
    shear_matrix,
    translation_matrix,
    warp_points,
)

affine_warp = jax.jit(augment.affine_warp, static_argnames=("size", "sampling"))
ALL_SAMPLINGS = [
    Sampling(interpolation, boundary)
    for interpolation in ("bilinear", "nearest")
    for boundary in ("constant", "edge", "reflect")
] + [Sampling(boundary="edge", antialias=True)]
LEVEL = 1e-5  # half of the fixture's 16-bit step, and float32 rounding


def noise(height=7, width=9, channels=3, dtype=jnp.float32):
    return jax.random.uniform(jax.random.key(0), (height, width, channels)).astype(dtype)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("sampling", ALL_SAMPLINGS, ids=str)
def test_identity_and_mirror_copy_pixels_exactly(sampling, dtype):
    image = noise(dtype=dtype)
    mirror = jnp.array([[-1.0, 0, 8], [0, -1, 6], [0, 0, 1]])
    same = affine_warp(image, jnp.eye(3), sampling=sampling)
    mirrored = affine_warp(image, mirror, sampling=sampling)
    assert same.dtype == mirrored.dtype == dtype
    np.testing.assert_array_equal(same, image)
    np.testing.assert_array_equal(mirrored, image[::-1, ::-1])


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("boundary", ["constant", "edge", "reflect"])
@pytest.mark.parametrize(("x", "y"), [(3, -2), (-12, 5), (20, 17)])
def test_whole_pixel_shifts_equal_padding(interpolation, boundary, x, y):
    image, pad = noise(), 24
    kind = {"constant_values": 0.25} if boundary == "constant" else {}
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), boundary, **kind)
    shifted = affine_warp(
        image, translation_matrix(x, y), sampling=Sampling(interpolation, boundary, fill=0.25)
    )
    np.testing.assert_array_equal(shifted, padded[pad - y : pad - y + 7, pad - x : pad - x + 9])


def test_reflections_repeat():
    row = jnp.arange(4.0).reshape(1, 4, 1)
    shifted = affine_warp(
        row, translation_matrix(9, 0), size=(1, 16), sampling=Sampling(boundary="reflect")
    )
    np.testing.assert_array_equal(
        shifted[0, :, 0], [3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0]
    )


@pytest.mark.parametrize("sampling", ALL_SAMPLINGS[:6], ids=str)
def test_one_pixel_and_far_away(sampling):
    image = jnp.full((1, 1, 1), 0.5)
    far = affine_warp(image, translation_matrix(1e12, -1e12), sampling=sampling)
    assert float(far[0, 0, 0]) == (0.0 if sampling.boundary == "constant" else 0.5)


def test_bilinear_averages_and_nearest_goes_right_and_down():
    image = jnp.arange(9.0).reshape(3, 3, 1)
    half = translation_matrix(-0.5, -0.5)
    bilinear = affine_warp(image, half, sampling=Sampling(boundary="edge"))
    nearest = affine_warp(image, half, sampling=Sampling("nearest", "edge"))
    np.testing.assert_array_equal(bilinear[..., 0], [[2, 3, 3.5], [5, 6, 6.5], [6.5, 7.5, 8]])
    np.testing.assert_array_equal(nearest[..., 0], [[4, 5, 5], [7, 8, 8], [7, 8, 8]])


def test_fill_blends_in_at_the_border():
    image = jnp.ones((2, 2, 2))
    shifted = affine_warp(image, translation_matrix(0.5, 0.0), sampling=Sampling(fill=(0.0, 0.5)))
    np.testing.assert_allclose(shifted[:, 0], [[0.5, 0.75]] * 2)
    np.testing.assert_allclose(shifted[:, 1], [[1.0, 1.0]] * 2)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize(
    ("name", "matrix"),
    [
        ("rotate", rotation_matrix(33.0)),
        ("translate", translation_matrix(2, -3)),
        ("scale", scaling_matrix(1.3)),
        ("shear", shear_matrix(14.0, -23.0)),
    ],
)
def test_warps_equal_torchvision(torchvision, name, matrix, interpolation):
    image = torchvision["rgb"]
    warped = affine_warp(
        image, centered(matrix, *image.shape[:2]), sampling=Sampling(interpolation)
    )
    np.testing.assert_allclose(warped, torchvision[f"warp/{name}/{interpolation}"], atol=LEVEL)


@pytest.mark.parametrize("size", [(4, 5), (14, 11)])
def test_antialiased_resizing_equals_torchvision(torchvision, size):
    image = torchvision["rgb"]
    across, down = image.shape[1] / size[1], image.shape[0] / size[0]
    matrix = jnp.array([[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5], [0, 0, 1]])
    resized = affine_warp(
        image, matrix, size=size, sampling=Sampling(boundary="edge", antialias=True)
    )
    np.testing.assert_allclose(resized, torchvision[f"resize/{size[0]}/{size[1]}"], atol=LEVEL)


def test_antialias_changes_nothing_where_nothing_shrinks():
    matrix = jnp.array([[-0.7, 0, 6.3], [0, 0.9, -0.4], [0, 0, 1]])
    plain = affine_warp(noise(), matrix, size=(9, 8), sampling=Sampling(boundary="edge"))
    smooth = affine_warp(
        noise(), matrix, size=(9, 8), sampling=Sampling(boundary="edge", antialias=True)
    )
    np.testing.assert_allclose(smooth, plain, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int32, jnp.bool_])
def test_masks_keep_their_dtype_and_labels(dtype):
    largest = True if dtype == jnp.bool_ else jnp.iinfo(dtype).max
    mask = jnp.zeros((5, 5, 1), dtype).at[1, 2].set(largest)
    turned = affine_warp(mask, centered(rotation_matrix(90.0), 5, 5), sampling=Sampling("nearest"))
    assert turned.dtype == dtype
    np.testing.assert_array_equal(turned, jnp.zeros((5, 5, 1), dtype).at[2, 1].set(largest))


def test_matrix_moves_content_where_warp_points_says():
    matrix = centered(compose(rotation_matrix(40.0), scaling_matrix(1.5)), 21, 31)
    spot = jnp.zeros((21, 31, 1)).at[6, 18].set(1.0)
    warped = affine_warp(spot, matrix)
    y, x = np.mgrid[:21, :31]
    weight = np.asarray(warped[..., 0] / warped.sum())
    found = [(weight * x).sum(), (weight * y).sum()]
    expected = warp_points(jnp.array([18.0, 6.0]), matrix)
    np.testing.assert_allclose(found, expected, atol=0.1)
    np.testing.assert_allclose(matrix @ jnp.append(expected, 1.0), [18.0, 6.0, 1.0], atol=1e-4)


def test_compose_is_one_warp_after_the_other():
    first, second = translation_matrix(2, 1), jnp.array([[-1.0, 0, 8], [0, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(
        affine_warp(noise(), compose(first, second), sampling=Sampling(fill=0.5)),
        affine_warp(affine_warp(noise(), first, sampling=Sampling(fill=0.5)), second),
    )


@pytest.mark.parametrize("sampling", ALL_SAMPLINGS[:3], ids=str)
def test_gradient_is_the_transpose_of_the_warp(sampling):
    def warp(image):
        return affine_warp(image, centered(rotation_matrix(20.0), 7, 9), sampling=sampling)

    image, cotangent = noise(), jax.random.normal(jax.random.key(1), (7, 9, 3))
    warped, pull = jax.vjp(warp, image)
    np.testing.assert_allclose(
        jnp.vdot(warped, cotangent), jnp.vdot(image, pull(cotangent)[0]), rtol=1e-4
    )


def test_float64_is_computed_in_float64():
    with jax.enable_x64(True):
        image = jax.random.uniform(jax.random.key(0), (4, 4, 1), jnp.float64)
        third = affine_warp(image, jnp.eye(3).at[0, 2].set(1 / 3))
        assert third.dtype == jnp.float64
        np.testing.assert_allclose(
            third[:, :3], image[:, :3] * 2 / 3 + image[:, 1:] / 3, rtol=1e-14
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interpolation": "cubic"}, "unknown interpolation 'cubic'"),
        ({"boundary": "mirror"}, "unknown boundary 'mirror'"),
        ({"antialias": True}, "boundary='edge'"),
        ({"antialias": True, "boundary": "edge", "interpolation": "nearest"}, "bilinear"),
    ],
)
def test_sampling_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**options)


@pytest.mark.parametrize(
    ("image", "options", "error", "message"),
    [
        (jnp.zeros((2, 2, 1), jnp.uint8), {}, TypeError, "interpolation='nearest'"),
        (jnp.zeros((0, 2, 1)), {}, ValueError, "without pixels"),
        (jnp.zeros((2, 2, 3)), {"sampling": Sampling(fill=(0, 1))}, ValueError, "3 channels"),
        (jnp.zeros((2, 2, 3)), {"size": (0, 2)}, ValueError, "positive height and width"),
    ],
)
def test_warp_refuses(image, options, error, message):
    with pytest.raises(error, match=message):
        affine_warp(image, jnp.eye(3), **options)
