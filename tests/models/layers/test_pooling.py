import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision.models import layers


def test_max_pool_padding_is_never_the_maximum():
    x = -1 - np.arange(25, dtype=np.float32).reshape(1, 5, 5, 1)
    pooled = quick.jit(lambda x: layers.max_pool(x, 3, stride=2, padding=1)[0, :, :, 0])(x)
    assert pooled.tolist() == [[-1, -2, -4], [-6, -7, -9], [-16, -17, -19]]


def test_max_pool_leaves_out_what_does_not_fit():
    pooled = jax.eval_shape(lambda x: layers.max_pool(x, 2), np.zeros((1, 5, 7, 2)))
    assert pooled.shape == (1, 2, 3, 2)


@pytest.mark.parametrize("size", range(3, 10))
def test_max_pool_to_the_end(size):
    """One window more than fit, if it begins before the padding on the right, and is needed."""
    cases = [*itertools.product((2, 3), (2, 3), (0, 1))]

    @quick.jit
    def pool_all(x):
        return [
            layers.max_pool(x, window, stride=stride, padding=padding, ceil=True)[0, :, :, 0]
            for window, stride, padding in cases
        ]

    x = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    for case, pooled in zip(cases, pool_all(x[None, :, :, None]), strict=True):
        window, stride, padding = case
        fit, rest = divmod(size + 2 * padding - window, stride)
        starts = [index * stride - padding for index in range(fit + 1)]
        if rest and starts[-1] + stride < size:
            starts.append(starts[-1] + stride)
        expected = [
            [x[max(r, 0) : r + window, max(c, 0) : c + window].max() for c in starts]
            for r in starts
        ]
        np.testing.assert_array_equal(pooled, expected, err_msg=f"window, stride, padding {case}")


def test_max_pool_gives_the_gradient_to_the_first_of_equals():
    gradient = quick.jit(jax.grad(lambda x: layers.max_pool(x, 2).sum()))
    assert gradient(np.ones((1, 2, 2, 1), np.float32)).tolist() == [[[[1], [0]], [[0], [0]]]]


@pytest.mark.parametrize(("count_include_pad", "corner"), [(True, 4 / 9), (False, 1.0)])
def test_avg_pool_padding(count_include_pad, corner):
    @quick.jit
    def pool(x):
        return layers.avg_pool(x, 3, stride=2, padding=1, count_include_pad=count_include_pad)

    pooled = np.asarray(pool(np.ones((1, 4, 4, 1), np.float32)))
    assert pooled.shape == (1, 2, 2, 1)
    np.testing.assert_allclose(pooled[0, 0, 0, 0], corner, rtol=1e-6)
    np.testing.assert_allclose(pooled[0, 1, 1, 0], 1.0, rtol=1e-6)


def test_pools_of_volumes():
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 6, 3)).astype(np.float32)
    blocks = x[:, :, :4].reshape(2, 2, 2, 2, 2, 3, 2, 3)

    @quick.jit
    def pool_all(x):
        return layers.max_pool(x, 2), layers.avg_pool(x, 2), layers.max_pool(x, 2, ceil=True)

    largest, average, to_the_end = pool_all(x)
    np.testing.assert_array_equal(largest, blocks.max((2, 4, 6)))
    np.testing.assert_allclose(average, blocks.mean((2, 4, 6)), atol=1e-6)
    assert to_the_end.shape == (2, 2, 3, 3, 3)
    np.testing.assert_array_equal(to_the_end[:, :, :2], largest)


def test_adaptive_avg_pool():
    sizes = [(6, 6), (7, 5), (13, 6), (1, 2), (4, 24)]
    draw = np.random.default_rng(0)
    maps = [draw.normal(size=(2, *size, 3)).astype(np.float32) for size in sizes]
    pool_all = quick.jit(lambda maps: [layers.adaptive_avg_pool(x, 6, 4) for x in maps])
    for x, (height, width), pooled in zip(maps, sizes, pool_all(maps), strict=True):
        expected = np.empty((2, 6, 4, 3), np.float32)
        for i in range(6):  # window i of k over n: from floor(i n / k) to ceil((i + 1) n / k)
            rows = slice(math.floor(i * height / 6), math.ceil((i + 1) * height / 6))
            for j in range(4):
                columns = slice(math.floor(j * width / 4), math.ceil((j + 1) * width / 4))
                expected[:, i, j] = x[:, rows, columns].mean((1, 2))
        np.testing.assert_allclose(pooled, expected, atol=1e-6, err_msg=f"{height}x{width}")


def test_adaptive_avg_pool_of_that_size_already():
    def same(x):
        assert layers.adaptive_avg_pool(x, 6, 4) is x

    jax.eval_shape(same, np.zeros((2, 6, 4, 3)))


@pytest.mark.parametrize("pool", [layers.max_pool, layers.avg_pool])
@pytest.mark.parametrize("padding", [-1, 2])
def test_pools_refuse_windows_of_padding_alone(pool, padding):
    with pytest.raises(ValueError, match=rf"from 0 to half the window, here 1, got {padding}"):
        jax.eval_shape(lambda x: pool(x, 3, padding=padding), np.zeros((1, 4, 4, 1)))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_averages_of_half_precision_are_summed_in_float32(dtype):
    @quick.jit
    def averages(x):
        return (
            layers.global_average_pool(x),
            layers.avg_pool(x, 250),
            layers.adaptive_avg_pool(x, 1, 1),
        )

    # Summed in bfloat16, ones stop at 256; in float16 at 2048, and 70,000 of them overflow.
    for pooled in jax.device_get(averages(np.ones((1, 280, 250, 1), dtype))):
        assert pooled.dtype == dtype
        assert (pooled == 1).all()


def test_pools_keep_float64():
    def pools(x):
        return layers.max_pool(x, 2), layers.avg_pool(x, 2), layers.global_average_pool(x)

    with jax.enable_x64(True):
        pooled = jax.eval_shape(pools, np.zeros((2, 4, 4, 1)))
    assert {y.dtype for y in pooled} == {np.dtype("float64")}


def test_flatten_keeps_rows():
    x = np.arange(24, dtype=np.float32).reshape(2, 2, 3, 2)
    rows, none = quick.jit(lambda x: (layers.flatten(x), layers.flatten(x[:0])))(x)
    assert rows.tolist() == [list(range(12)), list(range(12, 24))]
    assert none.shape == (0, 12)
