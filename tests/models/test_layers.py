import math
from functools import partial

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
    ("name", "formula"),
    [
        ("elu", lambda x: x if x > 0 else math.exp(x) - 1),
        ("gelu", lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
        ("hard_sigmoid", lambda x: min(max(x + 3, 0), 6) / 6),
        ("hard_swish", lambda x: x * min(max(x + 3, 0), 6) / 6),
        ("identity", lambda x: x),
        ("leaky_relu", lambda x: x if x > 0 else 0.01 * x),
        ("relu", lambda x: max(x, 0.0)),
        ("relu6", lambda x: min(max(x, 0.0), 6.0)),
        ("sigmoid", lambda x: 1 / (1 + math.exp(-x))),
        ("silu", lambda x: x / (1 + math.exp(-x))),
        ("tanh", math.tanh),
    ],
)
def test_activation(name, formula):
    points = [-4.0, -3.0, -1.0, -0.1, 0.0, 0.5, 2.0, 7.0]
    expected = [formula(x) for x in points]
    np.testing.assert_allclose(layers.activation(name)(jnp.array(points)), expected, atol=1e-6)


def test_every_activation_is_tested_and_every_unknown_one_refused():
    assert len(layers.ACTIVATIONS) == 11
    with pytest.raises(ValueError, match=r"unknown activation 'gleu'; did you mean 'gelu'\?"):
        layers.activation("gleu")


def test_relu_has_no_gradient_at_zero():
    assert jax.grad(layers.activation("relu"))(0.0) == 0


FAN_IN, FAN_OUT = 3 * 3 * 64, 3 * 3 * 128


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("glorot_normal", 2 / (FAN_IN + FAN_OUT)),
        ("glorot_uniform", 2 / (FAN_IN + FAN_OUT)),
        ("he_normal", 2 / FAN_IN),
        ("he_normal_fan_out", 2 / FAN_OUT),
        ("he_uniform", 2 / FAN_IN),
        ("lecun_normal", 1 / FAN_IN),
        ("normal_0.01", 1e-4),
        ("normal_0.02", 4e-4),
        ("orthogonal", 1 / FAN_IN),
        ("torch", 1 / (3 * FAN_IN)),
    ],
)
def test_initializer_variance(name, variance):
    kernel = layers.initializer(name)(KEY, (3, 3, 64, 128), jnp.float32)
    assert kernel.dtype == jnp.float32
    np.testing.assert_allclose(kernel.var(), variance, rtol=0.03)
    np.testing.assert_allclose(kernel.mean(), 0, atol=0.02 * math.sqrt(variance))
    if name in ("torch", "glorot_uniform", "he_uniform"):
        np.testing.assert_allclose(jnp.abs(kernel).max(), math.sqrt(3 * variance), rtol=1e-3)


def test_orthogonal_columns():
    kernel = layers.initializer("orthogonal")(KEY, (3, 3, 8, 16)).reshape(-1, 16)
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(16), atol=1e-5)


def test_unknown_initializer():
    with pytest.raises(ValueError, match=r"unknown initializer 'xavier'"):
        layers.initializer("xavier")


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


def convolve(x, kernel, **options):
    layer = layers.conv(1, len(kernel), use_bias=False, **options)
    variables = {"params": {"kernel": jnp.asarray(kernel)[:, :, None, None]}}
    return layer.apply(variables, x[None, :, :, None])[0, :, :, 0]


def test_conv_pads_both_sides_alike():
    ramp = jnp.arange(36.0).reshape(6, 6)
    strided = convolve(ramp, jnp.ones((3, 3)), stride=2)
    # What torch.nn.Conv2d(1, 1, 3, stride=2, padding=1) gives; "SAME" starts with 63, 81, 63.
    assert strided.shape == (3, 3)
    assert strided[0].tolist() == [14.0, 30.0, 42.0]


def test_conv_is_a_cross_correlation():
    delta = jnp.zeros((5, 5)).at[2, 2].set(1)
    kernel = jnp.arange(9.0).reshape(3, 3)
    np.testing.assert_array_equal(convolve(delta, kernel)[1:4, 1:4], kernel[::-1, ::-1])


@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 3, 5, 7])
def test_conv_keeps_the_size_unless_told_otherwise(size, dilation):
    kernel = jnp.ones((size, size))
    assert convolve(jnp.ones((15, 17)), kernel, dilation=dilation).shape == (15, 17)
    reach = dilation * (size - 1)
    if reach < 15:
        unpadded = convolve(jnp.ones((15, 17)), kernel, dilation=dilation, padding=0)
        assert unpadded.shape == (15 - reach, 17 - reach)


def test_conv_refuses_to_guess_the_padding_of_an_even_kernel():
    with pytest.raises(ValueError, match=r"kernel of size \(4, 4\) .* use an odd size, or give"):
        layers.conv(8, 4)
    assert layers.conv(8, 4, padding=1) is not None


def test_conv_groups():
    _, variables = start(layers.conv(8, 3, groups=4), jnp.ones((1, 5, 5, 4)))
    assert variables["params"]["kernel"].shape == (3, 3, 1, 8)
    assert variables["params"]["bias"].shape == (8,)


def test_conv_norm_applies_the_three_in_turn():
    x = jax.random.normal(KEY, (2, 5, 5, 3))
    layer = layers.ConvNorm(features=4, kernel_size=3, stride=2, activation="relu")
    variables = layer.init(KEY, x, train=False)
    params = variables["params"]
    assert set(params["conv"]) == {"kernel"}
    y = layers.conv(4, 3, stride=2, use_bias=False).apply({"params": params["conv"]}, x)
    # In inference, BatchNorm has seen nothing: mean 0 and variance 1.
    expected = jax.nn.relu(y / math.sqrt(1 + 1e-5))
    np.testing.assert_allclose(layer.apply(variables, x, train=False), expected, atol=1e-5)
    assert expected.any()


@pytest.mark.parametrize(
    ("norm", "use_bias", "leaves"),
    [
        ("batch", None, {"conv": {"kernel"}, "norm": {"scale", "bias"}}),
        ("batch", True, {"conv": {"kernel", "bias"}, "norm": {"scale", "bias"}}),
        (None, None, {"conv": {"kernel", "bias"}}),
        (None, False, {"conv": {"kernel"}}),
    ],
)
def test_conv_norm_has_a_bias_or_a_norm(norm, use_bias, leaves):
    layer = layers.ConvNorm(features=4, kernel_size=1, norm=norm, use_bias=use_bias)
    variables = jax.eval_shape(partial(layer.init, train=False), KEY, jnp.ones((1, 3, 3, 2)))
    assert {name: set(part) for name, part in variables["params"].items()} == leaves
    assert ("batch_stats" in variables) == (norm is not None)


def test_branches_are_stacked():
    x = jax.random.normal(KEY, (2, 5, 6, 3))
    step = layers.ConvStep
    row, column = step(3, (1, 3)), step(4, (3, 1))
    pool = partial(layers.max_pool, window=3, stride=1, padding=1)
    layer = layers.Branches(
        branches=((step(2),), (step(5, 3), (row, column)), (pool,)), norm=None, activation="tanh"
    )
    y, variables = jax.jit(partial(layer.init_with_output, train=False))(KEY, x)
    params = variables["params"]

    def conv(name, x):
        kernel = params[name]["conv"]["kernel"]
        like = layers.conv(kernel.shape[-1], kernel.shape[:2])
        return jnp.tanh(like.apply({"params": params[name]["conv"]}, x))

    inner = conv("branch1_conv0", x)
    expected = [
        conv("branch0_conv0", x),
        conv("branch1_conv1a", inner),
        conv("branch1_conv1b", inner),
        pool(x),
    ]
    np.testing.assert_allclose(y, jnp.concatenate(expected, axis=-1), atol=1e-6)
    assert len(params) == 4


def test_branches_may_halve():
    halving = (layers.ConvStep(2, 3, 2, 0),)
    pool = (partial(layers.max_pool, window=3, stride=2),)
    layer = layers.Branches(branches=(halving, pool))
    y, _ = jax.eval_shape(partial(layer.init_with_output, train=True), KEY, jnp.ones((1, 8, 9, 3)))
    assert y.shape == (1, 3, 4, 5)


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


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_channel_shuffle_transposes_groups(groups):
    x = jax.random.normal(KEY, (2, 3, 4, 6))
    y = layers.channel_shuffle(x, groups)
    for i in range(groups):
        np.testing.assert_array_equal(y[..., i::groups], jnp.split(x, groups, axis=-1)[i])
    np.testing.assert_array_equal(layers.channel_shuffle(y, 6 // groups), x)


@pytest.mark.parametrize("groups", [0, 4])
def test_channel_shuffle_refuses_what_does_not_divide(groups):
    with pytest.raises(ValueError, match=f"groups must divide the channels, here 6, got {groups}"):
        layers.channel_shuffle(jnp.zeros((1, 1, 1, 6)), groups)


def test_squeeze_excite():
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 6)).astype(np.float32)
    y, variables = start(layers.SqueezeExcite(reduced=3), x)
    reduce, expand = (variables["params"][name] for name in ("reduce", "expand"))
    hidden = np.maximum(x.mean((1, 2)) @ reduce["kernel"] + reduce["bias"], 0)
    factor = 1 / (1 + np.exp(-(hidden @ expand["kernel"] + expand["bias"])))
    np.testing.assert_allclose(y, x * factor[:, None, None], rtol=1e-5)


def test_stochastic_depth_drops_examples_as_a_whole():
    x = jnp.ones((64, 3, 3, 2))
    layer = layers.StochasticDepth(0.5)
    y = layer.apply({}, x, train=True, rngs={"dropout": KEY}).reshape(64, -1)
    assert set(np.unique(y)) == {0, 2}
    np.testing.assert_array_equal(y.min(1), y.max(1))
    np.testing.assert_array_equal(layer.apply({}, x, train=False), x)


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
