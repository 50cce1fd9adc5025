"""Maxima of windows by slices: XLA's own values and gradients."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import ops

CASES = [
    (window, stride, edges)
    for window, stride in itertools.product((1, 2, 3, 5), (1, 2, 3))
    for edges in ([(0, 0), (0, 0)], [(1, 2), (0, 1)])
    if max(map(max, edges)) < window
]


def ties(*shape, dtype=np.float32):
    """Few different numbers, so that windows have equal maxima."""
    return np.random.default_rng(0).integers(-2, 3, shape).astype(dtype)


def test_values_and_gradients_are_those_of_windows():
    x = ties(2, 9, 8, 3)

    def both(pool):
        def value(x, window, stride, edges):
            pooled = pool(x, window, stride, edges)
            return (pooled * jnp.arange(1.0, 1 + pooled.size).reshape(pooled.shape)).sum(), pooled

        @quick.jit
        def all_cases(x):
            return [jax.grad(value, has_aux=True)(x, *case) for case in CASES]

        return all_cases(x)

    def windows(x, window, stride, edges):
        return nn.max_pool(x, (window,) * 2, (stride,) * 2, edges)

    for case, found, expected in zip(CASES, both(ops.max_pool), both(windows), strict=True):
        jax.tree.map(
            lambda one, other, case=case: np.testing.assert_array_equal(one, other, str(case)),
            found,
            expected,
        )


@pytest.mark.parametrize("shape", [(1, 1, 1, 2), (2, 2, 7, 1), (0, 8, 8, 3)])
def test_maps_that_are_small_or_empty(shape):
    pool = quick.jit(lambda x: ops.max_pool(x, 3, 2, [(0, 0), (0, 0)]))
    expected = quick.jit(lambda x: nn.max_pool(x, (3, 3), (2, 2)))
    x = ties(*shape)
    np.testing.assert_array_equal(pool(x), expected(x))


def test_nan_is_passed_on_and_infinities_stay():
    x = np.array([[np.nan, 1, -np.inf, -np.inf], [2, 3, -np.inf, -np.inf]], np.float32)
    pooled = quick.jit(lambda x: ops.max_pool(x, 2, 2, [(0, 0), (0, 0)]))(x[None, :, :, None])
    np.testing.assert_array_equal(pooled[0, 0, :, 0], [np.nan, -np.inf])
    flipped = quick.jit(lambda x: ops.max_pool(x, 2, 2, [(0, 0), (0, 0)]))(x[None, ::-1, :2, None])
    assert np.isnan(flipped[0, 0, 0, 0])


def test_volumes_in_bfloat16_and_second_derivatives():
    x = ties(1, 4, 5, 6, 2, dtype=jnp.bfloat16)
    pool = lambda x: ops.max_pool(x, 2, 2, [(0, 0)] * 3)  # noqa: E731
    pooled = quick.jit(pool)(x)
    assert pooled.dtype == jnp.bfloat16
    np.testing.assert_array_equal(
        pooled[0, :, :, :, 0], x[0, :, :4, :, 0].reshape(2, 2, 2, 2, 3, 2).max((1, 3, 5))
    )
    values = np.arange(48.0, dtype=np.float32).reshape(1, 2, 4, 6, 1)
    hessian = quick.jit(jax.hessian(lambda x: (pool(x) ** 3).sum()))(values)
    diagonal = np.asarray(hessian).reshape(48, 48).diagonal()
    assert np.count_nonzero(diagonal) == 6


def test_other_platforms_keep_the_native_maxima(monkeypatch):
    def traced():
        pool = lambda x: ops.max_pool(x, 2, 2, [(0, 0)] * 2)  # noqa: E731
        return str(jax.make_jaxpr(pool)(np.zeros((1, 4, 4, 1))))

    assert "reduce_window" not in traced()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "reduce_window_max" in traced()
