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


@pytest.mark.parametrize(("size", "others"), [((3, 3), 3), ((3, 3), 0), ((5, 1), 2)])
def test_doubled_layer_is_that_of_flax_on_doubled_maps(size, others):
    coarse, beside = draw_values((2, 3, 4, 6)), draw_values((2, 6, 8, others), 1)
    kernel = draw_values((*size, 6 + others, 5), 2)
    arguments = {"params": {"kernel": kernel, "bias": draw_values((5,), 3)}}, coarse, beside
    gradient, tangents = draw_values((2, 6, 8, 5), 4), jax.tree.map(np.cos, arguments)

    def ours(variables, coarse, beside):
        return ops.DoubledConv(5, size).apply(variables, coarse, beside if others else None)

    def theirs(variables, coarse, beside):
        maps = jnp.concatenate([coarse.repeat(2, 1).repeat(2, 2), beside], -1)
        return nn.Conv(5, size).apply(variables, maps)

    def derivatives(layer, *arguments):
        output, backward = jax.vjp(layer, *arguments)

        def slope(*arguments):
            return jax.grad(lambda *each: (layer(*each) ** 2).sum(), (0, 1))(*arguments)

        mapped = jax.vmap(layer, (None, 0, 0))(
            arguments[0], *(each[:, None] for each in arguments[1:])
        )
        return output, mapped, backward(gradient), jax.jvp(slope, arguments, tangents)

    got, expected = run(
        lambda *each: [jax.tree.leaves(derivatives(layer, *each)) for layer in (ours, theirs)],
        *arguments,
    )
    assert_near(got, expected)


def test_doubled_layer_in_half_precision_and_on_other_platforms(monkeypatch):
    layer = ops.DoubledConv(5, (3, 3), dtype="bfloat16")
    coarse, beside = draw_values((2, 3, 4, 6)), draw_values((2, 6, 8, 3), 1)

    def results(key, coarse, beside):
        output, variables = layer.init_with_output(key, coarse, beside)
        with monkeypatch.context() as patch:
            patch.setattr(jax, "default_backend", lambda: "gpu")
            return output, layer.apply(variables, coarse, beside)

    here, there = run(results, jax.random.key(0), coarse, beside)
    assert here.dtype == there.dtype == "bfloat16"
    np.testing.assert_allclose(here.astype("float32"), there.astype("float32"), atol=0.05)


def test_doubled_layer_needs_a_middle_of_its_kernel():
    maps = jax.ShapeDtypeStruct((1, 4, 4, 2), "float32")
    with pytest.raises(ValueError, match="must have odd sides, got 2x3"):
        jax.eval_shape(ops.DoubledConv(3, (2, 3)).init, jax.random.key(0), maps)
