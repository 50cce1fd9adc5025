"""Resizing and unpooling, as torch has them (fixtures/make_ops.py)."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from make_ops import POOLED, RESIZED, draw_maps

from jaxvision import ops

EXPECTED = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "ops.npz")


def run(function, *arguments):
    return jax.device_get(quick.jit(function)(*arguments))


def test_sizes_and_methods_are_those_of_torch():
    def resize_all():
        return [
            ops.resize(
                jnp.asarray(draw_maps(*old)),
                new,
                method.split()[0],
                align_corners=method.endswith("aligned"),
            )
            for method, old, new in RESIZED
        ]

    for case, resized in zip(RESIZED, run(resize_all), strict=True):
        method, old, new = case
        expected = EXPECTED[f"{method} {old} {new}"]
        np.testing.assert_allclose(resized, expected, atol=2e-6, err_msg=str(case))


def test_labels_are_resized_and_types_stay():
    labels = np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1)
    assert run(lambda x: ops.resize(x, (1, 6), "nearest"), labels).ravel().tolist() == [
        *(0, 0, 1, 1, 2, 2),
    ]
    half = run(lambda x: ops.resize(x, 3), np.ones((0, 2, 2, 1), jnp.bfloat16))
    assert (half.shape, half.dtype) == ((0, 3, 3, 1), jnp.bfloat16)
    one = run(lambda x: ops.resize(x, 2), np.ones((1, 1, 3), np.float32))  # without a batch
    assert one.tolist() == np.ones((2, 2, 3)).tolist()


def test_the_gradient_of_resizing_is_its_transpose():
    """`<resize(x), y> = <x, gradient>` for every x, because resizing is linear."""
    x, y = draw_maps(4, 5), draw_maps(6, 10)

    def both(x, y, method):
        resized, pull = jax.vjp(lambda x: ops.resize(x, (6, 10), method), x)
        return (resized * y).sum(), (pull(y)[0] * x).sum()

    for method in ("nearest", "nearest_exact", "bilinear"):
        there, back = run(lambda x, y, method=method: both(x, y, method), x, y)
        np.testing.assert_allclose(there, back, rtol=1e-4)


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        ((0, 4), {}, "must be a positive height and width"),
        (4, {"method": "bicubic"}, "unknown method 'bicubic'"),
        (4, {"method": "nearest", "align_corners": True}, "align_corners needs"),
    ],
)
def test_what_cannot_be(size, options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        ops.resize(np.ones((1, 2, 2, 1), np.float32), size, **options)


def test_labels_are_not_interpolated(unchecked):
    with pytest.raises(TypeError, match="use method='nearest' for labels"):
        ops.resize(np.ones((1, 2, 2, 1), np.int32), 4)


def test_space_to_depth_is_its_inverse():
    x = np.random.default_rng(0).normal(size=(2, 6, 9, 5)).astype(np.float32)
    moved = run(lambda x: ops.space_to_depth(x, 3), x)
    assert moved.shape == (2, 2, 3, 45)
    np.testing.assert_array_equal(run(lambda x: ops.depth_to_space(x, 3), moved), x)
    with pytest.raises(ValueError, match="multiples of factor = 2, got 6 and 9"):
        ops.space_to_depth(jnp.asarray(x), 2)


def test_depth_to_space():
    x = draw_maps(3, 4, 18)
    np.testing.assert_array_equal(
        run(lambda x: ops.depth_to_space(x, 3), x), EXPECTED["depth_to_space"]
    )
    with pytest.raises(ValueError, match=r"a multiple of factor\*\*2 = 16, got 18"):
        ops.depth_to_space(jnp.asarray(x), 4)


@pytest.mark.parametrize(("window", "size"), POOLED)
def test_pooling_and_unpooling(window, size):
    def there_and_back(x):
        pooled = ops.max_pool_with_indices(x, window)
        return pooled, ops.max_unpool(*pooled, window, size=size)

    (maxima, indices), spread = run(there_and_back, draw_maps(*size))
    np.testing.assert_array_equal(maxima, EXPECTED[f"pooled {window} {size}"])
    np.testing.assert_array_equal(indices, EXPECTED[f"indices {window} {size}"])
    np.testing.assert_array_equal(spread, EXPECTED[f"unpooled {window} {size}"])


def test_gradients_go_to_the_maxima():
    x = np.array([[1.0, 3.0], [3.0, 2.0]], np.float32).reshape(1, 2, 2, 1)  # two are equal

    def weighed(x):
        pooled = ops.max_pool_with_indices(x, 2)
        return (ops.max_unpool(*pooled, 2) * np.arange(4.0).reshape(1, 2, 2, 1)).sum()

    assert run(jax.grad(weighed), x).ravel().tolist() == [0, 1, 0, 0]


def test_windows_that_do_not_fit():
    x = jnp.ones((1, 4, 6, 1))
    with pytest.raises(ValueError, match="no larger than the maps, which are 4x6; got 5"):
        ops.max_pool_with_indices(x, 5)
    with pytest.raises(ValueError, match="maps of 7x12 have 3x6 windows of 2x2"):
        ops.max_unpool(x, jnp.zeros((1, 4, 6, 1), jnp.int32), 2, size=(7, 12))


def test_bed_of_nails():
    x = draw_maps(2, 3)
    spread = run(lambda x: ops.bed_of_nails(x, 3), x)
    np.testing.assert_array_equal(spread[:, ::3, ::3], x)
    assert np.count_nonzero(spread) == x.size
    with pytest.raises(ValueError, match="factor must be at least 1, got 0"):
        ops.bed_of_nails(jnp.asarray(x), 0)
