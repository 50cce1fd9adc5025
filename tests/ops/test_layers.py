import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import ops


def draw_values(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def run(function, *arguments):
    return jax.device_get(quick.jit(function)(*arguments))


def assert_near(got, expected):
    for one, other in zip(got, expected, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        scale = max(1.0, np.abs(other).max(initial=0))
        np.testing.assert_allclose(one, other, atol=1e-5 * scale)


@pytest.mark.parametrize(("size", "flipped"), [((4, 4), False), ((2, 3), True), ((1, 5), False)])
def test_transposed_layer_is_that_of_flax(size, flipped):
    paddings = ["SAME", "VALID", 1, (1, 0), ((1, 2), (0, 3))]
    options = [
        {"strides": strides, "padding": padding, "transpose_kernel": flipped}
        for strides, padding in itertools.product([None, (2, 2), (3, 1)], paddings)
    ]
    check_transposed(size, options, draw_values((2, 4, 5, 6)), flipped)


@pytest.mark.parametrize("flipped", [False, True])
def test_transposed_layer_of_volumes_is_that_of_flax(flipped):
    options = [
        {"strides": (2, 2, 2), "padding": padding, "transpose_kernel": flipped}
        for padding in ("SAME", "VALID", 1)
    ]
    check_transposed((2, 2, 3), options, draw_values((2, 3, 4, 2, 6)), flipped)


def check_transposed(size, options, x, flipped):
    params = {"kernel": draw_values((*size, 3, 6) if flipped else (*size, 6, 3))}
    variables = {"params": params | {"bias": draw_values((3,), 1)}}
    kinds = (ops.ConvTranspose, nn.ConvTranspose)

    def results(variables, x):
        return [[kind(3, size, **each).apply(variables, x) for each in options] for kind in kinds]

    assert_near(*run(results, variables, x))
    for kind in kinds:
        made = jax.eval_shape(kind(3, size, **options[0]).init, jax.random.key(0), x)
        assert jax.tree.map(jnp.shape, made) == jax.tree.map(jnp.shape, variables)


@pytest.mark.parametrize("groups", [1, 8])
def test_layer_is_that_of_flax(groups):
    options = {"strides": 2, "padding": 1, "feature_group_count": groups}
    layers = ops.Conv(8, (3, 3), **options), nn.Conv(8, (3, 3), **options)
    made = run(
        lambda key, x: [layer.init_with_output(key, x) for layer in layers],
        jax.random.key(0),
        draw_values((2, 7, 5, 8)),
    )
    (output, variables), (expected, their_variables) = made
    jax.tree.map(np.testing.assert_array_equal, variables, their_variables)
    assert_near([output], [expected])
