import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision.data.augment import (
    Sampling,
    affine_warp,
    centered,
    compose,
    rotation_matrix,
    scaling_matrix,
    shear_matrix,
    translation_matrix,
    warp_points,
)

ALL_SAMPLINGS = [
    Sampling(interpolation, boundary)
    for interpolation in ("bilinear", "nearest")
    for boundary in ("constant", "edge", "reflect")
] + [Sampling(boundary="edge", antialias=True)]
LEVEL = 1e-5  # half of the fixture's 16-bit step, and float32 rounding


def noise(height=7, width=9, channels=3, dtype=np.float32):
    return np.random.default_rng(0).uniform(size=(height, width, channels)).astype(dtype)


def run(function, *arguments):
    return jax.device_get(quick.jit(function)(*arguments))


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
def test_identity_and_mirror_copy_pixels_exactly(dtype):
    def warped(image, matrices):
        return [
            jax.vmap(functools.partial(affine_warp, image, sampling=sampling))(matrices)
            for sampling in ALL_SAMPLINGS
        ]

    image, mirror = noise(dtype=dtype), [[-1, 0, 8], [0, -1, 6], [0, 0, 1]]
    results = run(warped, image, np.float32([np.eye(3), mirror]))
    for sampling, (same, mirrored) in zip(ALL_SAMPLINGS, results, strict=True):
        assert same.dtype == mirrored.dtype == dtype
        np.testing.assert_array_equal(same, image, str(sampling))
        np.testing.assert_array_equal(mirrored, image[::-1, ::-1], str(sampling))


def test_whole_pixel_shifts_equal_padding():
    shifts, pad = [(3, -2), (-12, 5), (20, 17)], 24
    samplings = [Sampling(each.interpolation, each.boundary, 0.25) for each in ALL_SAMPLINGS[:6]]

    def shifted(image, x, y):
        matrix = translation_matrix(x, y)
        return [affine_warp(image, matrix, sampling=sampling) for sampling in samplings]

    image = noise()
    results = run(jax.vmap(shifted, (None, 0, 0)), image, *np.float32(shifts).T)
    for sampling, of_each in zip(samplings, results, strict=True):
        kind = {"constant_values": 0.25} if sampling.boundary == "constant" else {}
        padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), sampling.boundary, **kind)
        for (x, y), result in zip(shifts, of_each, strict=True):
            expected = padded[pad - y : pad - y + 7, pad - x : pad - x + 9]
            np.testing.assert_array_equal(result, expected, f"{sampling} by {x}, {y}")


def test_reflections_repeat():
    def shifted(row):
        reflect = Sampling(boundary="reflect")
        return affine_warp(row, translation_matrix(9, 0), size=(1, 16), sampling=reflect)

    row = np.arange(4, dtype=np.float32).reshape(1, 4, 1)
    expected = [3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0]
    np.testing.assert_array_equal(run(shifted, row)[0, :, 0], expected)


def test_one_pixel_and_far_away():
    def far(image):
        matrix = translation_matrix(1e12, -1e12)
        return [affine_warp(image, matrix, sampling=sampling) for sampling in ALL_SAMPLINGS[:6]]

    results = run(far, np.full((1, 1, 1), 0.5, np.float32))
    for sampling, result in zip(ALL_SAMPLINGS, results, strict=False):
        assert result.item() == (0.0 if sampling.boundary == "constant" else 0.5), sampling


def test_bilinear_averages_and_nearest_goes_right_and_down():
    def halfway(image):
        half = translation_matrix(-0.5, -0.5)
        return [
            affine_warp(image, half, sampling=Sampling(interpolation, "edge"))[..., 0]
            for interpolation in ("bilinear", "nearest")
        ]

    bilinear, nearest = run(halfway, np.arange(9, dtype=np.float32).reshape(3, 3, 1))
    np.testing.assert_array_equal(bilinear, [[2, 3, 3.5], [5, 6, 6.5], [6.5, 7.5, 8]])
    np.testing.assert_array_equal(nearest, [[4, 5, 5], [7, 8, 8], [7, 8, 8]])


def test_fill_blends_in_at_the_border():
    def shifted(image):
        return affine_warp(image, translation_matrix(0.5, 0.0), sampling=Sampling(fill=(0.0, 0.5)))

    result = run(shifted, np.ones((2, 2, 2), np.float32))
    np.testing.assert_allclose(result[:, 0], [[0.5, 0.75]] * 2)
    np.testing.assert_allclose(result[:, 1], [[1.0, 1.0]] * 2)


def test_warps_equal_torchvision(torchvision):
    def warped(image):
        matrices = {
            "rotate": rotation_matrix(33.0),
            "translate": translation_matrix(2, -3),
            "scale": scaling_matrix(1.3),
            "shear": shear_matrix(14.0, -23.0),
        }
        return {
            f"warp/{name}/{interpolation}": affine_warp(
                image, centered(matrix, *image.shape[:2]), sampling=Sampling(interpolation)
            )
            for name, matrix in matrices.items()
            for interpolation in ("nearest", "bilinear")
        }

    for name, result in run(warped, torchvision["rgb"]).items():
        np.testing.assert_allclose(result, torchvision[name], atol=LEVEL, err_msg=name)


def test_antialiased_resizing_equals_torchvision(torchvision):
    def resized(image, height, width):
        across, down = image.shape[1] / width, image.shape[0] / height
        matrix = [[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5], [0, 0, 1]]
        smooth = Sampling(boundary="edge", antialias=True)
        return affine_warp(image, jnp.array(matrix), size=(height, width), sampling=smooth)

    sizes = [(4, 5), (14, 11)]
    results = run(lambda image: [resized(image, *size) for size in sizes], torchvision["rgb"])
    for (height, width), result in zip(sizes, results, strict=True):
        np.testing.assert_allclose(result, torchvision[f"resize/{height}/{width}"], atol=LEVEL)


def test_antialias_changes_nothing_where_nothing_shrinks():
    def plain_and_smooth(image, matrix):
        return [
            affine_warp(
                image, matrix, size=(9, 8), sampling=Sampling(boundary="edge", antialias=on)
            )
            for on in (False, True)
        ]

    matrix = np.float32([[-0.7, 0, 6.3], [0, 0.9, -0.4], [0, 0, 1]])
    plain, smooth = run(plain_and_smooth, noise(), matrix)
    np.testing.assert_allclose(smooth, plain, atol=1e-6)


def test_antialias_at_the_border():
    """Centers lie within the image, from -0.5 on; the triangle shares what lies under it."""
    image = np.arange(6, dtype=np.float32).reshape(1, 6, 1)
    sampling = Sampling(boundary="edge", antialias=True)

    def halve(image, offset):
        matrix = jnp.array([[2.0, 0.0, offset], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        return affine_warp(image, matrix, size=(1, 3), sampling=sampling)[0, 0, 0]

    offsets = np.array([-0.4, -0.5, -3.0], np.float32)
    first = run(lambda image: jax.vmap(lambda offset: halve(image, offset))(offsets), image)
    # Two pixels lie under the triangle, at distances of the offset from a center; its reach is 2.
    shares = [(0.8, 0.3), (0.75, 0.25), (0.75, 0.25)]
    np.testing.assert_allclose(first, [b / (a + b) for a, b in shares], rtol=1e-6)


def test_masks_keep_their_dtype_and_labels():
    def turned(masks):
        matrix = centered(rotation_matrix(90.0), 5, 5)
        return [affine_warp(mask, matrix, sampling=Sampling("nearest")) for mask in masks]

    masks, expected = [], []
    for dtype in (np.uint8, np.int32, np.bool_):
        largest = True if dtype == np.bool_ else np.iinfo(dtype).max
        for arrays, place in ((masks, (1, 2)), (expected, (2, 1))):
            arrays.append(np.zeros((5, 5, 1), dtype))
            arrays[-1][place] = largest
    for result, mask in zip(run(turned, masks), expected, strict=True):
        assert result.dtype == mask.dtype
        np.testing.assert_array_equal(result, mask)


def test_matrix_moves_content_where_warp_points_says():
    def results(spot, place):
        matrix = centered(compose(rotation_matrix(40.0), scaling_matrix(1.5)), 21, 31)
        return affine_warp(spot, matrix), warp_points(place, matrix), matrix

    spot = np.zeros((21, 31, 1), np.float32)
    spot[6, 18] = 1
    warped, expected, matrix = run(results, spot, np.float32([18, 6]))
    y, x = np.mgrid[:21, :31]
    weight = warped[..., 0] / warped.sum()
    found = [(weight * x).sum(), (weight * y).sum()]
    np.testing.assert_allclose(found, expected, atol=0.1)
    np.testing.assert_allclose(matrix @ [*expected, 1], [18, 6, 1], atol=1e-4)


def test_compose_is_one_warp_after_the_other():
    def at_once_and_in_turn(image, first, second):
        half = Sampling(fill=0.5)
        at_once = affine_warp(image, compose(first, second), sampling=half)
        return at_once, affine_warp(affine_warp(image, first, sampling=half), second)

    first, second = [[1, 0, -2], [0, 1, -1], [0, 0, 1]], [[-1, 0, 8], [0, 1, 0], [0, 0, 1]]
    results = run(at_once_and_in_turn, noise(), np.float32(first), np.float32(second))
    np.testing.assert_array_equal(*results)


def test_gradient_is_the_transpose_of_the_warp():
    def warped_and_gradient(image, cotangent):
        matrix = centered(rotation_matrix(20.0), 7, 9)
        warps = [
            functools.partial(affine_warp, matrix=matrix, sampling=sampling)
            for sampling in ALL_SAMPLINGS[:3]
        ]
        pulled = [jax.vjp(warp, image) for warp in warps]
        return [(warped, *pull(cotangent)) for warped, pull in pulled]

    image = noise()
    cotangent = np.random.default_rng(1).normal(size=(7, 9, 3)).astype(np.float32)
    for warped, gradient in run(warped_and_gradient, image, cotangent):
        np.testing.assert_allclose(np.vdot(warped, cotangent), np.vdot(image, gradient), rtol=1e-4)


def test_float64_is_computed_in_float64():
    image = noise(4, 4, 1, dtype=np.float64)
    matrix = np.array([[1, 0, 1 / 3], [0, 1, 0], [0, 0, 1]])
    with jax.enable_x64(True):
        third = run(affine_warp, image, matrix)
    assert third.dtype == np.float64
    np.testing.assert_allclose(third[:, :3], image[:, :3] * 2 / 3 + image[:, 1:] / 3, rtol=1e-14)


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
        (np.zeros((2, 2, 1), np.uint8), {}, TypeError, "interpolation='nearest'"),
        (np.zeros((0, 2, 1)), {}, ValueError, "without pixels"),
        (np.zeros((2, 2, 3)), {"sampling": Sampling(fill=(0, 1))}, ValueError, "3 channels"),
        (np.zeros((2, 2, 3)), {"size": (0, 2)}, ValueError, "positive height and width"),
    ],
)
def test_warp_refuses(image, options, error, message):
    with pytest.raises(error, match=message):
        jax.eval_shape(functools.partial(affine_warp, **options), image, np.eye(3))
