import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.models import layers

KEY = jax.random.key(0)


def start(layer, x):
    """Initializes a layer; gives what it makes of x, and its variables."""
    return jax.jit(layer.init_with_output)(KEY, x)


@pytest.mark.parametrize(
    ("kind", "axes"), [("batch", (0, 1, 2)), ("instance", (1, 2)), ("layer", (3,))]
)
def test_norm_shares_statistics_along_its_axes(kind, axes):
    x = 3 + 2 * jax.random.normal(KEY, (4, 5, 6, 8))
    layer = layers.norm(kind, 8, train=True)
    y, variables = start(layer, x)
    expected = (x - x.mean(axes, keepdims=True)) / jnp.sqrt(x.var(axes, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    assert {k: v.shape for k, v in variables["params"].items()} == {"scale": (8,), "bias": (8,)}


@pytest.mark.parametrize(("channels", "groups"), [(64, 32), (16, 16), (24, 8), (40, 8)])
def test_group_norm(channels, groups):
    x = 3 + 2 * jax.random.normal(KEY, (2, 3, 3, channels))
    y, _ = start(layers.norm("group", channels, train=True), x)
    split = x.reshape(2, 9, groups, channels // groups)
    mean, var = split.mean((1, 3), keepdims=True), split.var((1, 3), keepdims=True)
    expected = ((split - mean) / jnp.sqrt(var + 1e-5)).reshape(x.shape)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_batch_norm_keeps_nine_tenths_of_its_running_statistics():
    x = 3 + 2 * jax.random.normal(KEY, (4, 5, 6, 8))
    layer = layers.norm("batch", 8, train=True)
    _, variables = start(layer, x)
    _, updates = layer.apply(variables, x, mutable=["batch_stats"])
    np.testing.assert_allclose(updates["batch_stats"]["mean"], 0.1 * x.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(
        updates["batch_stats"]["var"], 0.9 + 0.1 * x.var((0, 1, 2)), rtol=1e-5
    )
    fixed = layers.norm("batch", 8, train=False)
    _, kept = fixed.apply(variables, x, mutable=["batch_stats"])
    for name, value in kept["batch_stats"].items():
        np.testing.assert_array_equal(value, variables["batch_stats"][name])


def test_batch_norm_across_a_mapped_axis_is_that_of_the_whole_batch():
    x = 3 + 2 * jax.random.normal(KEY, (8, 3, 3, 4))
    whole = layers.norm("batch", 4, train=True)
    variables = whole.init(KEY, x)
    expected = whole.apply(variables, x, mutable=["batch_stats"])
    part = layers.norm("batch", 4, train=True, axis_name="devices")
    y, updates = jax.vmap(
        lambda x: part.apply(variables, x, mutable=["batch_stats"]), axis_name="devices"
    )(x.reshape(4, 2, 3, 3, 4))
    np.testing.assert_allclose(y.reshape(x.shape), expected[0], atol=1e-5)
    for name, value in updates["batch_stats"].items():
        np.testing.assert_allclose(
            value, np.tile(expected[1]["batch_stats"][name], (4, 1)), rtol=1e-5
        )


@pytest.mark.parametrize("kind", layers.NORMS)
def test_norm_takes_statistics_of_half_precision_in_float32(kind):
    x = (100 + jax.random.normal(KEY, (8, 16, 16, 64))).astype(jnp.bfloat16)
    y, variables = start(layers.norm(kind, 64, train=True, dtype=jnp.bfloat16), x)
    exact, _ = start(layers.norm(kind, 64, train=True), x.astype(jnp.float32))
    assert y.dtype == jnp.bfloat16
    assert {v.dtype for v in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(y.astype(jnp.float32), exact, atol=0.02)


def test_norm_scale_starts_where_it_is_told():
    x = jax.random.normal(KEY, (2, 3, 3, 4))
    for kind in layers.NORMS:
        layer = layers.norm(kind, 4, train=True, scale_init=jax.nn.initializers.zeros)
        assert not start(layer, x)[0].any()


def test_unknown_norm():
    with pytest.raises(ValueError, match=r"unknown norm 'btch'; did you mean 'batch'\?"):
        layers.norm("btch", 4, train=False)


def test_local_response_norm():
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 8)).astype(np.float32)
    expected = np.empty_like(x)
    for i in range(8):  # the paper's formula, with n = 5
        sums = (x[..., max(0, i - 2) : min(7, i + 2) + 1] ** 2).sum(-1)
        expected[..., i] = x[..., i] / (2 + 1e-4 * sums) ** 0.75
    y = layers.local_response_norm(jnp.asarray(x))
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    # Strong enough to tell the window.
    strong = layers.local_response_norm(jnp.asarray(x), 3, k=1.0, alpha=1.0, beta=0.5)
    sums = np.stack([(x[..., max(0, i - 1) : i + 2] ** 2).sum(-1) for i in range(8)], -1)
    np.testing.assert_allclose(strong, x / np.sqrt(1 + sums), rtol=1e-5)


def test_local_response_norm_refuses_an_even_window():
    with pytest.raises(ValueError, match="window must be odd and 1 or more, got 4"):
        layers.local_response_norm(jnp.ones((1, 1, 1, 8)), 4)


def test_local_response_norm_of_half_precision_is_summed_in_float32():
    x = jnp.full((1, 1, 1, 8), 300.0, jnp.float16)  # whose squares overflow
    y = layers.local_response_norm(x)
    assert y.dtype == jnp.float16
    exact = layers.local_response_norm(x.astype(jnp.float32))
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=1e-3)


def test_norm_activation_applies_the_two_in_turn():
    layer = layers.NormActivation(activation="tanh", epsilon=0.5, momentum=0.25)
    x = 1 + 2 * jax.random.normal(KEY, (4, 5, 5, 3))
    variables = layer.init(KEY, x, train=False)
    np.testing.assert_allclose(
        layer.apply(variables, x, train=False), np.tanh(x / 1.5**0.5), rtol=1e-5
    )
    y, updates = layer.apply(variables, x, train=True, mutable=["batch_stats"])
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    np.testing.assert_allclose(y, np.tanh((x - mean) / np.sqrt(var + 0.5)), atol=1e-5)
    statistics = updates["batch_stats"]["norm"]
    np.testing.assert_allclose(statistics["mean"], 0.75 * mean, rtol=1e-5)
    np.testing.assert_allclose(statistics["var"], 0.25 + 0.75 * var, rtol=1e-5)
