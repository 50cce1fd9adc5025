import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.models import layers

KEY = jax.random.key(0)


def test_max_pool_padding_is_never_the_maximum():
    x = -1.0 - jnp.arange(25.0).reshape(1, 5, 5, 1)
    pooled = layers.max_pool(x, 3, stride=2, padding=1)[0, :, :, 0]
    assert pooled.tolist() == [[-1, -2, -4], [-6, -7, -9], [-16, -17, -19]]


def test_max_pool_leaves_out_what_does_not_fit():
    assert layers.max_pool(jnp.ones((1, 5, 7, 2)), 2).shape == (1, 2, 3, 2)


@pytest.mark.parametrize("window", [2, 3])
@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("size", range(3, 10))
def test_max_pool_to_the_end(size, padding, stride, window):
    """One window more than fit, if it begins before the padding on the right, and is needed."""
    x = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    fit, rest = divmod(size + 2 * padding - window, stride)
    starts = [index * stride - padding for index in range(fit + 1)]
    if rest and starts[-1] + stride < size:
        starts.append(starts[-1] + stride)
    expected = [
        [x[max(r, 0) : r + window, max(c, 0) : c + window].max() for c in starts] for r in starts
    ]
    images = jnp.asarray(x)[None, :, :, None]
    pooled = layers.max_pool(images, window, stride=stride, padding=padding, ceil=True)
    np.testing.assert_array_equal(pooled[0, :, :, 0], expected)


def test_max_pool_gives_the_gradient_to_the_first_of_equals():
    gradient = jax.grad(lambda x: layers.max_pool(x, 2).sum())(jnp.ones((1, 2, 2, 1)))
    assert gradient.ravel().tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(("count_include_pad", "corner"), [(True, 4 / 9), (False, 1.0)])
def test_avg_pool_padding(count_include_pad, corner):
    pooled = layers.avg_pool(
        jnp.ones((1, 4, 4, 1)), 3, stride=2, padding=1, count_include_pad=count_include_pad
    )
    assert pooled.shape == (1, 2, 2, 1)
    np.testing.assert_allclose(pooled[0, 0, 0, 0], corner, rtol=1e-6)
    np.testing.assert_allclose(pooled[0, 1, 1, 0], 1.0, rtol=1e-6)


@pytest.mark.parametrize("size", [(6, 6), (7, 5), (13, 6), (1, 2), (4, 24)])
def test_adaptive_avg_pool(size):
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    expected = np.empty((2, 6, 4, 3), np.float32)
    for i in range(6):  # window i of k over n: from floor(i n / k) to ceil((i + 1) n / k)
        rows = slice(math.floor(i * size[0] / 6), math.ceil((i + 1) * size[0] / 6))
        for j in range(4):
            columns = slice(math.floor(j * size[1] / 4), math.ceil((j + 1) * size[1] / 4))
            expected[:, i, j] = x[:, rows, columns].mean((1, 2))
    pooled = layers.adaptive_avg_pool(jnp.asarray(x), 6, 4)
    np.testing.assert_allclose(pooled, expected, atol=1e-6)


def test_adaptive_avg_pool_of_that_size_already():
    x = jax.random.normal(KEY, (2, 6, 4, 3))
    assert layers.adaptive_avg_pool(x, 6, 4) is x


@pytest.mark.parametrize("pool", [layers.max_pool, layers.avg_pool])
@pytest.mark.parametrize("padding", [-1, 2])
def test_pools_refuse_windows_of_padding_alone(pool, padding):
    with pytest.raises(ValueError, match=rf"from 0 to half the window, here 1, got {padding}"):
        pool(jnp.ones((1, 4, 4, 1)), 3, padding=padding)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_averages_of_half_precision_are_summed_in_float32(dtype):
    # Summed in bfloat16, ones stop at 256; in float16 at 2048, and 70,000 of them overflow.
    x = jnp.ones((1, 280, 250, 1), dtype)
    for pooled in (
        layers.global_average_pool(x),
        layers.avg_pool(x, 250),
        layers.adaptive_avg_pool(x, 1, 1),
    ):
        assert pooled.dtype == dtype
        assert (pooled == 1).all()


@pytest.mark.parametrize("pool", [layers.max_pool, layers.avg_pool])
def test_pools_keep_float64(pool):
    with jax.enable_x64(True):
        x = jnp.ones((2, 4, 4, 1), jnp.float64)
        assert pool(x, 2).dtype == jnp.float64
        assert layers.global_average_pool(x).dtype == jnp.float64


def test_flatten_keeps_rows():
    x = jnp.arange(24.0).reshape(2, 2, 3, 2)
    assert layers.flatten(x).tolist() == [list(range(12)), list(range(12, 24))]
    assert layers.flatten(x[:0]).shape == (0, 12)
