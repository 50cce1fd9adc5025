"""Attention, the blocks around it, and windows: closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxvision.models import layers

KEY = jax.random.key(0)


def draw(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def attention_variables(channels):
    return {
        "params": {
            "qkv": {"kernel": draw(1, channels, 3 * channels), "bias": draw(2, 3 * channels)},
            "out": {"kernel": draw(3, channels, channels), "bias": draw(4, channels)},
        }
    }


def attend(variables, x, num_heads, bias=0.0):
    """The formula, for one sequence and head by head: softmax(q k' / sqrt(d) + bias) v."""
    params = variables["params"]
    qkv = x @ params["qkv"]["kernel"] + params["qkv"]["bias"]
    width = x.shape[-1] // num_heads
    heads = []
    for head in range(num_heads):
        q, k, v = (part[:, head * width : (head + 1) * width] for part in jnp.split(qkv, 3, axis=1))
        scores = jnp.exp(q @ k.T / np.sqrt(width) + jnp.broadcast_to(bias, (num_heads, 1, 1))[head])
        heads.append(scores / scores.sum(axis=1, keepdims=True) @ v)
    return jnp.concatenate(heads, axis=1) @ params["out"]["kernel"] + params["out"]["bias"]


@pytest.mark.parametrize("num_heads", [1, 3])
def test_attention_is_the_formula(num_heads):
    x, variables = 0.3 * draw(0, 2, 5, 12), attention_variables(12)
    layer = layers.MultiHeadAttention(num_heads=num_heads)
    y = layer.apply(variables, x, train=False)
    for sequence, expected in zip(x, y, strict=True):
        np.testing.assert_allclose(attend(variables, sequence, num_heads), expected, atol=1e-5)


def test_attention_with_a_bias_that_leaves_only_oneself():
    x, variables = draw(0, 2, 4, 5, 12), attention_variables(12)
    bias = jnp.where(jnp.eye(5, dtype=bool), 0.0, -1e9)[None]
    y = layers.MultiHeadAttention(num_heads=3).apply(variables, x, train=False, bias=bias)
    params = variables["params"]
    values = (x @ params["qkv"]["kernel"] + params["qkv"]["bias"])[..., 24:]
    expected = values @ params["out"]["kernel"] + params["out"]["bias"]
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_attention_does_not_know_the_order():
    x, variables = draw(0, 2, 5, 12), attention_variables(12)
    layer = layers.MultiHeadAttention(num_heads=2)
    order = jnp.array([3, 0, 4, 1, 2])
    y = layer.apply(variables, x, train=False)
    np.testing.assert_allclose(
        layer.apply(variables, x[:, order], train=False), y[:, order], atol=1e-5
    )


def test_attention_in_half_precision_weighs_in_float32():
    x, variables = draw(0, 2, 300, 8), attention_variables(8)
    layer = layers.MultiHeadAttention(num_heads=2, dtype="bfloat16")
    assert layer.apply(variables, x, train=False).dtype == jnp.bfloat16
    jaxpr = jax.make_jaxpr(lambda x: layer.apply(variables, x, train=False))(x)
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
        layer.init(KEY, jnp.ones((1, 4, 12)), train=False)


@pytest.mark.parametrize("rate", ["dropout", "attention_dropout"])
def test_attention_drops_in_training_alone(rate):
    x, variables = draw(0, 2, 50, 12), attention_variables(12)
    plain = layers.MultiHeadAttention(num_heads=2).apply(variables, x, train=True)
    layer = layers.MultiHeadAttention(num_heads=2, **{rate: 0.5})
    np.testing.assert_array_equal(layer.apply(variables, x, train=False), plain)
    y = layer.apply(variables, x, train=True, rngs={"dropout": KEY})
    assert jnp.abs(y - plain).max() > 0.1
    if rate == "dropout":
        np.testing.assert_allclose((y == 0).mean(), 0.5, atol=0.05)
        np.testing.assert_allclose(y[y != 0], 2 * plain[y != 0], rtol=1e-5)
    else:
        assert (y != 0).all()


def test_mlp_block():
    layer = layers.MLPBlock(hidden=7, activation="tanh", dropout=0.5)
    x = draw(0, 3, 4, 5)
    y, variables = layer.init_with_output(KEY, x, train=False)
    one, two = variables["params"]["dense1"], variables["params"]["dense2"]
    hidden = jnp.tanh(x @ one["kernel"] + one["bias"])
    np.testing.assert_allclose(y, hidden @ two["kernel"] + two["bias"], atol=1e-6)
    trained = layer.apply(variables, x, train=True, rngs={"dropout": KEY})
    np.testing.assert_allclose((trained == 0).mean(), 0.5, atol=0.15)


@pytest.mark.parametrize("stochastic_depth", [0.0, 0.5])
def test_an_encoder_block_adds_two_residuals(stochastic_depth):
    layer = layers.EncoderBlock(num_heads=2, hidden=16, stochastic_depth=stochastic_depth)
    x = draw(0, 200, 3, 8)
    variables = jax.jit(layer.init, static_argnames="train")(KEY, x, train=False)
    params = variables["params"]
    # Without the second dense layer, the second residual is nothing; so is the first.
    params["mlp"]["dense2"]["kernel"] = jnp.zeros((16, 8))
    y = layer.apply(variables, x, train=True, rngs={"dropout": KEY})
    residual = layers.MultiHeadAttention(num_heads=2).apply(
        {"params": params["attention"]},
        layers.norm("layer", 8, train=False).apply({"params": params["norm1"]}, x),
        train=False,
    )
    kept = jnp.abs(y - x).max(axis=(1, 2)) > 0
    np.testing.assert_allclose(kept.mean(), 1 - stochastic_depth, atol=0.1)
    expected = x + residual / (1 - stochastic_depth)
    np.testing.assert_allclose(y[kept], expected[kept], atol=1e-5)
    params["attention"]["out"]["kernel"] = jnp.zeros((8, 8))
    np.testing.assert_array_equal(layer.apply(variables, x, train=False), x)


def test_layer_scale():
    layer = layers.LayerScale(start=0.25)
    x = draw(0, 2, 3, 4)
    y, variables = layer.init_with_output(KEY, x)
    np.testing.assert_array_equal(y, x / 4)
    factor = jnp.arange(4.0)
    np.testing.assert_array_equal(layer.apply({"params": {"factor": factor}}, x), x * factor)
    assert variables["params"]["factor"].dtype == jnp.float32


@pytest.mark.parametrize("pad", [False, True])
def test_patch_embedding_is_a_dense_layer_per_patch(pad):
    x = draw(0, 2, 9, 8, 3)
    layer = layers.PatchEmbedding(features=5, patch_size=4, pad=pad)
    y, variables = layer.init_with_output(KEY, x)
    kernel = variables["params"]["conv"]["kernel"].reshape(48, 5)
    assert y.shape == (2, 3 if pad else 2, 2, 5)
    np.testing.assert_allclose(y[1, 1, 0], x[1, 4:8, :4].reshape(48) @ kernel, atol=1e-5)
    if pad:
        np.testing.assert_allclose(y[1, 2, 1], x[1, 8, 4:].reshape(12) @ kernel[:12], atol=1e-5)
    normed = layers.PatchEmbedding(features=5, patch_size=4, norm=True)
    y, variables = normed.init_with_output(KEY, x)
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-5)
    assert variables["params"]["norm"]["scale"].shape == (5,)


@pytest.mark.parametrize("size", [(7, 7), (12, 8), (20, 31)])
def test_resizing_a_grid_is_pillows_bicubic(size):
    grid = np.random.default_rng(0).normal(size=(12, 8, 2)).astype(np.float32)
    resized = layers.resize_grid(jnp.asarray(grid), *size)
    for channel in range(2):
        image = Image.fromarray(grid[..., channel])
        expected = image.resize(size[::-1], Image.Resampling.BICUBIC)
        np.testing.assert_allclose(resized[..., channel], np.asarray(expected), atol=1e-5)


def test_a_grid_of_the_right_size_stays():
    grid = draw(0, 3, 5, 2)
    assert layers.resize_grid(grid, 3, 5) is grid


def test_rates_that_rise():
    np.testing.assert_allclose(layers.rising_rates(0.3, 4), [0, 0.1, 0.2, 0.3])
    assert layers.rising_rates(0.3, 1) == (0.0,)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_rates_out_of_range(rate):
    with pytest.raises(ValueError, match=r"attention_dropout must be in \[0, 1\), got"):
        layers.check_rates(dropout=0.5, attention_dropout=rate)


def test_windows_and_back():
    x = draw(0, 2, 6, 9, 4)
    windows = layers.split_windows(x, 3)
    assert windows.shape == (2, 6, 9, 4)
    np.testing.assert_array_equal(windows[1, 4].reshape(3, 3, 4), x[1, 3:6, 3:6])
    np.testing.assert_array_equal(layers.join_windows(windows, 6, 9), x)


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
