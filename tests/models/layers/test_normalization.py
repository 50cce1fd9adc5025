import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision.models import layers


def images(*shape, mean=3.0):
    return np.random.default_rng(0).normal(mean, 2, shape).astype(np.float32)


def start(layer, x):
    """Initializes a layer in the program that calls it."""
    return layer.init_with_output(jax.random.key(0), x)


def test_norm_shares_statistics_along_its_axes():
    @quick.jit
    def calls(x):
        return {kind: start(layers.norm(kind, 8, train=True), x) for kind in axes}

    x, axes = images(4, 5, 6, 8), {"batch": (0, 1, 2), "instance": (1, 2), "layer": (3,)}
    for kind, (y, variables) in jax.device_get(calls(x)).items():
        shared = {"axis": axes[kind], "keepdims": True}
        expected = (x - x.mean(**shared)) / np.sqrt(x.var(**shared) + 1e-5)
        np.testing.assert_allclose(y, expected, atol=1e-5, err_msg=kind)
        shapes = {name: value.shape for name, value in variables["params"].items()}
        assert shapes == {"scale": (8,), "bias": (8,)}


def test_group_norm():
    @quick.jit
    def calls(maps):
        return [start(layers.norm("group", x.shape[-1], train=True), x)[0] for x in maps]

    groups = {64: 32, 16: 16, 24: 8, 40: 8}
    maps = [images(2, 3, 3, channels) for channels in groups]
    for x, y in zip(maps, calls(maps), strict=True):
        channels = x.shape[-1]
        split = x.reshape(2, 9, groups[channels], -1)
        mean, var = split.mean((1, 3), keepdims=True), split.var((1, 3), keepdims=True)
        expected = ((split - mean) / np.sqrt(var + 1e-5)).reshape(x.shape)
        np.testing.assert_allclose(y, expected, atol=1e-5, err_msg=f"{channels} channels")


def test_batch_norm_keeps_nine_tenths_of_its_running_statistics():
    @quick.jit
    def calls(x):
        trained, fixed = (layers.norm("batch", 8, train=train) for train in (True, False))
        variables = trained.init(jax.random.key(0), x)
        return variables, [
            layer.apply(variables, x, mutable=["batch_stats"])[1] for layer in (trained, fixed)
        ]

    x = images(4, 5, 6, 8)
    variables, (updates, kept) = jax.device_get(calls(x))
    np.testing.assert_allclose(updates["batch_stats"]["mean"], 0.1 * x.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(
        updates["batch_stats"]["var"], 0.9 + 0.1 * x.var((0, 1, 2)), rtol=1e-5
    )
    for name, value in kept["batch_stats"].items():
        np.testing.assert_array_equal(value, variables["batch_stats"][name])


def test_batch_norm_across_a_mapped_axis_is_that_of_the_whole_batch():
    whole = layers.norm("batch", 4, train=True)
    part = layers.norm("batch", 4, train=True, axis_name="devices")

    @quick.jit
    def calls(x):
        variables = whole.init(jax.random.key(0), x)

        def apply(layer, x):
            return layer.apply(variables, x, mutable=["batch_stats"])

        parts = jax.vmap(lambda x: apply(part, x), axis_name="devices")(x.reshape(4, 2, 3, 3, 4))
        return apply(whole, x), parts

    x = images(8, 3, 3, 4)
    expected, (y, updates) = jax.device_get(calls(x))
    np.testing.assert_allclose(y.reshape(x.shape), expected[0], atol=1e-5)
    for name, value in updates["batch_stats"].items():
        np.testing.assert_allclose(
            value, np.tile(expected[1]["batch_stats"][name], (4, 1)), rtol=1e-5
        )


@pytest.mark.parametrize("kind", layers.NORMS)
def test_norm_takes_statistics_of_half_precision_in_float32(kind):
    @quick.jit
    def calls(x):
        half = start(layers.norm(kind, 64, train=True, dtype=jnp.bfloat16), x)
        return half, start(layers.norm(kind, 64, train=True), x.astype(jnp.float32))[0]

    x = np.random.default_rng(0).normal(100, 1, (8, 16, 16, 64)).astype(jnp.bfloat16)
    (y, variables), exact = jax.device_get(calls(x))
    assert y.dtype == jnp.bfloat16
    assert {v.dtype for v in jax.tree.leaves(variables)} == {np.dtype("float32")}
    np.testing.assert_allclose(y.astype(np.float32), exact, atol=0.02)


def test_norm_scale_starts_where_it_is_told():
    @quick.jit
    def calls(x):
        options = {"train": True, "scale_init": jax.nn.initializers.zeros}
        return [start(layers.norm(kind, 4, **options), x)[0] for kind in layers.NORMS]

    assert not np.any(calls(images(2, 3, 3, 4)))


def test_unknown_norm():
    with pytest.raises(ValueError, match=r"unknown norm 'btch'; did you mean 'batch'\?"):
        layers.norm("btch", 4, train=False)


def test_local_response_norm():
    @quick.jit
    def calls(x):
        norm = layers.local_response_norm
        return norm(x), norm(x, 3, k=1.0, alpha=1.0, beta=0.5)

    x = np.random.default_rng(0).normal(size=(2, 3, 3, 8)).astype(np.float32)
    expected = np.empty_like(x)
    for i in range(8):  # the paper's formula, with n = 5
        sums = (x[..., max(0, i - 2) : min(7, i + 2) + 1] ** 2).sum(-1)
        expected[..., i] = x[..., i] / (2 + 1e-4 * sums) ** 0.75
    y, strong = calls(x)
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    # Strong enough to tell the window.
    sums = np.stack([(x[..., max(0, i - 1) : i + 2] ** 2).sum(-1) for i in range(8)], -1)
    np.testing.assert_allclose(strong, x / np.sqrt(1 + sums), rtol=1e-5)


def test_local_response_norm_refuses_an_even_window():
    with pytest.raises(ValueError, match="window must be odd and 1 or more, got 4"):
        jax.eval_shape(lambda x: layers.local_response_norm(x, 4), np.ones((1, 1, 1, 8)))


def test_local_response_norm_of_half_precision_is_summed_in_float32():
    @quick.jit
    def calls(x):
        return layers.local_response_norm(x), layers.local_response_norm(x.astype(jnp.float32))

    x = np.full((1, 1, 1, 8), 300, np.float16)  # whose squares overflow
    y, exact = jax.device_get(calls(x))
    assert y.dtype == np.float16
    np.testing.assert_allclose(y.astype(np.float32), exact, rtol=1e-3)


def test_norm_activation_applies_the_two_in_turn():
    layer = layers.NormActivation(activation="tanh", epsilon=0.5, momentum=0.25)

    @quick.jit
    def calls(x):
        still, variables = layer.init_with_output(jax.random.key(0), x, train=False)
        return still, layer.apply(variables, x, train=True, mutable=["batch_stats"])

    x = images(4, 5, 5, 3, mean=1.0)
    still, (y, updates) = jax.device_get(calls(x))
    np.testing.assert_allclose(still, np.tanh(x / 1.5**0.5), rtol=1e-5)
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    np.testing.assert_allclose(y, np.tanh((x - mean) / np.sqrt(var + 0.5)), atol=1e-5)
    statistics = updates["batch_stats"]["norm"]
    np.testing.assert_allclose(statistics["mean"], 0.75 * mean, rtol=1e-5)
    np.testing.assert_allclose(statistics["var"], 0.25 + 0.75 * var, rtol=1e-5)
