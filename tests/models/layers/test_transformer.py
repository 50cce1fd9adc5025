"""Attention, the blocks around it, and windows: closed forms."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from PIL import Image

from jaxvision.models import layers


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def attention_variables(channels):
    return {
        "params": {
            "qkv": {"kernel": draw(1, channels, 3 * channels), "bias": draw(2, 3 * channels)},
            "out": {"kernel": draw(3, channels, channels), "bias": draw(4, channels)},
        }
    }


def attend(variables, x, num_heads):
    """The formula, for one sequence and head by head: softmax(q k' / sqrt(d)) v."""
    params = variables["params"]
    qkv = x @ params["qkv"]["kernel"] + params["qkv"]["bias"]
    width = x.shape[-1] // num_heads
    heads = []
    for head in range(num_heads):
        q, k, v = (part[:, head * width : (head + 1) * width] for part in np.split(qkv, 3, axis=1))
        scores = np.exp(q @ k.T / np.sqrt(width))
        heads.append(scores / scores.sum(axis=1, keepdims=True) @ v)
    return np.concatenate(heads, axis=1) @ params["out"]["kernel"] + params["out"]["bias"]


def test_attention_is_the_formula_and_does_not_know_the_order():
    x, variables = 0.3 * draw(0, 2, 5, 12), attention_variables(12)
    order = np.array([3, 0, 4, 1, 2])

    @quick.jit
    def calls(variables, x):
        return {
            num_heads: layers.MultiHeadAttention(num_heads=num_heads).apply(
                variables, x, train=False
            )
            for num_heads in (1, 3)
        }

    for num_heads, y in calls(variables, np.concatenate([x, x[:, order]])).items():
        expected = np.stack([attend(variables, sequence, num_heads) for sequence in x])
        np.testing.assert_allclose(y[:2], expected, atol=1e-5, err_msg=f"{num_heads} heads")
        np.testing.assert_allclose(y[2:], y[:2, order], atol=1e-5)


def test_attention_with_a_bias_that_leaves_only_oneself():
    x, variables = draw(0, 2, 4, 5, 12), attention_variables(12)
    bias = np.where(np.eye(5, dtype=bool), 0, -1e9)[None].astype(np.float32)
    apply = partial(layers.MultiHeadAttention(num_heads=3).apply, train=False)
    y = quick.jit(apply)(variables, x, bias=bias)
    params = variables["params"]
    values = (x @ params["qkv"]["kernel"] + params["qkv"]["bias"])[..., 24:]
    expected = values @ params["out"]["kernel"] + params["out"]["bias"]
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_attention_in_half_precision_weighs_in_float32():
    layer = layers.MultiHeadAttention(num_heads=2, dtype="bfloat16")
    apply = partial(layer.apply, train=False)
    jaxpr = jax.make_jaxpr(apply)(attention_variables(8), draw(0, 2, 300, 8))
    assert [value.dtype for value in jaxpr.out_avals] == [jnp.bfloat16]
    exponentials = [eqn for eqn in equations(jaxpr.jaxpr) if eqn.primitive.name == "exp"]
    assert [eqn.outvars[0].aval.dtype for eqn in exponentials] == [jnp.float32]


def equations(jaxpr):
    for equation in jaxpr.eqns:
        inner = [getattr(p, "jaxpr", None) for p in equation.params.values()]
        inner = [p for p in inner if hasattr(p, "eqns")]
        if inner:
            yield from equations(inner[0])
        else:
            yield equation


def test_channels_that_do_not_divide_into_heads():
    layer = layers.MultiHeadAttention(num_heads=5)
    with pytest.raises(ValueError, match="got 12 channels and 5 heads"):
        jax.eval_shape(partial(layer.init, train=False), jax.random.key(0), np.ones((1, 4, 12)))


@pytest.mark.parametrize("rate", ["dropout", "attention_dropout"])
def test_attention_drops_in_training_alone(rate):
    layer = layers.MultiHeadAttention(num_heads=2)
    dropping = layer.clone(**{rate: 0.5})

    @quick.jit
    def calls(variables, x):
        return (
            layer.apply(variables, x, train=True),
            dropping.apply(variables, x, train=False),
            dropping.apply(variables, x, train=True, rngs={"dropout": jax.random.key(0)}),
        )

    plain, still, y = jax.device_get(calls(attention_variables(12), draw(0, 2, 50, 12)))
    np.testing.assert_array_equal(still, plain)
    assert np.abs(y - plain).max() > 0.1
    if rate == "dropout":
        np.testing.assert_allclose((y == 0).mean(), 0.5, atol=0.05)
        np.testing.assert_allclose(y[y != 0], 2 * plain[y != 0], rtol=1e-5)
    else:
        assert (y != 0).all()


def test_mlp_block():
    layer = layers.MLPBlock(hidden=7, activation="tanh", dropout=0.5)

    @quick.jit
    def calls(variables, x):
        keys = {"dropout": jax.random.key(0)}
        return (
            layer.apply(variables, x, train=False),
            layer.apply(variables, x, train=True, rngs=keys),
        )

    one = {"kernel": draw(1, 5, 7), "bias": draw(2, 7)}
    two = {"kernel": draw(3, 7, 5), "bias": draw(4, 5)}
    x = draw(0, 3, 4, 5)
    y, trained = jax.device_get(calls({"params": {"dense1": one, "dense2": two}}, x))
    hidden = np.tanh(x @ one["kernel"] + one["bias"])
    np.testing.assert_allclose(y, hidden @ two["kernel"] + two["bias"], atol=1e-6)
    np.testing.assert_allclose((trained == 0).mean(), 0.5, atol=0.15)


@pytest.mark.parametrize("stochastic_depth", [0.0, 0.5])
def test_an_encoder_block_adds_two_residuals(stochastic_depth):
    layer = layers.EncoderBlock(num_heads=2, hidden=16, stochastic_depth=stochastic_depth)

    @quick.jit
    def calls(x):
        params = layer.init(jax.random.key(0), x, train=False)["params"]
        # Without the second dense layer, the second residual is nothing; so is the first.
        params["mlp"]["dense2"]["kernel"] *= 0
        keys = {"dropout": jax.random.key(0)}
        y = layer.apply({"params": params}, x, train=True, rngs=keys)
        normed = layers.norm("layer", 8, train=False).apply({"params": params["norm1"]}, x)
        attention = layers.MultiHeadAttention(num_heads=2)
        residual = attention.apply({"params": params["attention"]}, normed, train=False)
        params["attention"]["out"]["kernel"] *= 0
        return y, residual, layer.apply({"params": params}, x, train=False)

    x = draw(0, 200, 3, 8)
    y, residual, unchanged = jax.device_get(calls(x))
    kept = np.abs(y - x).max(axis=(1, 2)) > 0
    np.testing.assert_allclose(kept.mean(), 1 - stochastic_depth, atol=0.1)
    expected = x + residual / (1 - stochastic_depth)
    np.testing.assert_allclose(y[kept], expected[kept], atol=1e-5)
    np.testing.assert_array_equal(unchanged, x)


def test_layer_scale():
    layer = layers.LayerScale(start=0.25)

    @quick.jit
    def calls(x, factor):
        started = layer.init_with_output(jax.random.key(0), x)
        return started, layer.apply({"params": {"factor": factor}}, x)

    x, factor = draw(0, 2, 3, 4), np.arange(4, dtype=np.float32)
    (y, variables), scaled = jax.device_get(calls(x, factor))
    np.testing.assert_array_equal(y, x / 4)
    np.testing.assert_array_equal(scaled, x * factor)
    assert variables["params"]["factor"].dtype == np.float32


def test_patch_embedding_is_a_dense_layer_per_patch():
    options = {"features": 5, "patch_size": 4}

    @quick.jit
    def calls(x):
        return [
            layers.PatchEmbedding(**options, **more).init_with_output(jax.random.key(0), x)
            for more in ({}, {"pad": True}, {"norm": True})
        ]

    x = draw(0, 2, 9, 8, 3)
    plain, padded, (normed, with_norm) = jax.device_get(calls(x))
    for y, variables in (plain, padded):
        kernel = variables["params"]["conv"]["kernel"].reshape(48, 5)
        np.testing.assert_allclose(y[1, 1, 0], x[1, 4:8, :4].reshape(48) @ kernel, atol=1e-5)
    assert plain[0].shape == (2, 2, 2, 5)
    assert padded[0].shape == (2, 3, 2, 5)
    np.testing.assert_allclose(padded[0][1, 2, 1], x[1, 8, 4:].reshape(12) @ kernel[:12], atol=1e-5)
    np.testing.assert_allclose(normed.mean(-1), 0, atol=1e-5)
    assert with_norm["params"]["norm"]["scale"].shape == (5,)


def test_resizing_a_grid_is_pillows_bicubic():
    sizes = [(7, 7), (12, 8), (20, 31)]

    @quick.jit
    def resize(grid):
        return [layers.resize_grid(grid, *size) for size in sizes]

    grid = draw(0, 12, 8, 2)
    for size, resized in zip(sizes, resize(grid), strict=True):
        for channel in range(2):
            image = Image.fromarray(grid[..., channel])
            expected = image.resize(size[::-1], Image.Resampling.BICUBIC)
            np.testing.assert_allclose(
                resized[..., channel], np.asarray(expected), atol=1e-5, err_msg=f"{size}"
            )


def test_a_grid_of_the_right_size_stays():
    def same(grid):
        assert layers.resize_grid(grid, 3, 5) is grid

    jax.eval_shape(same, draw(0, 3, 5, 2))


def test_rates_that_rise():
    np.testing.assert_allclose(layers.rising_rates(0.3, 4), [0, 0.1, 0.2, 0.3])
    assert layers.rising_rates(0.3, 1) == (0.0,)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_rates_out_of_range(rate):
    with pytest.raises(ValueError, match=r"attention_dropout must be in \[0, 1\), got"):
        layers.check_rates(dropout=0.5, attention_dropout=rate)


def test_windows_and_back():
    @quick.jit
    def calls(x):
        windows = layers.split_windows(x, 3)
        return windows, layers.join_windows(windows, 6, 9)

    x = draw(0, 2, 6, 9, 4)
    windows, joined = jax.device_get(calls(x))
    assert windows.shape == (2, 6, 9, 4)
    np.testing.assert_array_equal(windows[1, 4].reshape(3, 3, 4), x[1, 3:6, 3:6])
    np.testing.assert_array_equal(joined, x)


def test_relative_positions_number_offsets():
    numbers = layers.relative_positions(3)
    pixels = [(i, j) for i in range(3) for j in range(3)]
    offsets = {}
    for a, (row, column) in enumerate(pixels):
        for b, (other_row, other_column) in enumerate(pixels):
            offsets.setdefault(numbers[a, b], set()).add((row - other_row, column - other_column))
    assert sorted(offsets) == list(range(25))
    assert all(len(of_number) == 1 for of_number in offsets.values())
    assert (np.diag(numbers) == 12).all()


@pytest.mark.parametrize("shift", [(2, 2), (2, 0), (0, 2), (0, 0)])
def test_only_neighbors_are_not_far_apart(shift):
    # After the shift, pixels of a window are near if their places before were as near as now.
    window, height, width = 4, 8, 12
    rows = np.roll(np.arange(height), -shift[0])
    columns = np.roll(np.arange(width), -shift[1])
    far = layers.far_apart(height, width, window, shift)
    assert far.shape == (6, 16, 16)
    for number in range(6):
        top, left = window * (number // 3), window * (number % 3)
        places = [(rows[top + i], columns[left + j]) for i in range(4) for j in range(4)]
        for a, (row, column) in enumerate(places):
            for b, (other_row, other_column) in enumerate(places):
                near = abs(row - other_row) < window and abs(column - other_column) < window
                assert far[number, a, b] != near
