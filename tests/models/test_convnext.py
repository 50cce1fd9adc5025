import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models
from jaxvision.models.convnext import ConvNeXtBlock


def shapes_of(model, size=32):
    def features(x):
        return model.init_with_output(jax.random.key(0), x, method="features")

    maps, _ = jax.eval_shape(features, jnp.zeros((1, size, size, 3)))
    return {stride: value.shape[1:] for stride, value in maps.items()}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("convnext_tiny", 28_589_128),
        ("convnext_small", 50_223_688),
        ("convnext_base", 88_591_464),
        ("convnext_large", 197_767_336),
    ],
)
def test_parameters(name, count, count_parameters):
    assert count_parameters(models.create_model(name), (1, 64, 64, 3)) == count


@pytest.mark.parametrize(
    ("options", "size", "expected"),
    [
        (
            {},
            33,
            {
                "stride4": (8, 8, 96),
                "stride8": (4, 4, 192),
                "stride16": (2, 2, 384),
                "stride32": (1, 1, 768),
            },
        ),
        (
            {"small_images": True},
            32,
            {
                "stride1": (32, 32, 96),
                "stride2": (16, 16, 192),
                "stride4": (8, 8, 384),
                "stride8": (4, 4, 768),
            },
        ),
    ],
)
def test_maps(options, size, expected):
    assert shapes_of(models.create_model("convnext_tiny", **options), size) == expected


@pytest.mark.parametrize(
    ("options", "size", "least"), [({}, 31, "32x32"), ({"small_images": True}, 7, "8x8")]
)
def test_images_that_are_too_small(options, size, least):
    model = models.create_model("convnext_tiny", **options)
    with pytest.raises(ValueError, match=f"images of at least {least}, got the shape"):
        shapes_of(model, size)
    shapes_of(model, size + 1)


def test_a_block_by_hand():
    layer = ConvNeXtBlock(layer_scale=0.5)
    x = jax.random.normal(jax.random.key(0), (2, 4, 5, 6))

    @jax.jit
    def by_hand(p):
        padded = jnp.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)))
        y = p["conv"]["bias"] + sum(
            padded[:, i : i + 4, j : j + 5] * p["conv"]["kernel"][i, j, 0]
            for i in range(7)
            for j in range(7)
        )
        y = (y - y.mean(-1, keepdims=True)) / jnp.sqrt(y.var(-1, keepdims=True) + 1e-6)
        y = y * p["norm"]["scale"] + p["norm"]["bias"]
        y = y @ p["mlp"]["dense1"]["kernel"] + p["mlp"]["dense1"]["bias"]
        y = y * jax.scipy.stats.norm.cdf(y)
        y = y @ p["mlp"]["dense2"]["kernel"] + p["mlp"]["dense2"]["bias"]
        return x + p["layer_scale"]["factor"] * y

    shapes = jax.eval_shape(lambda: layer.init(jax.random.key(1), x, train=False))
    draw = np.random.default_rng(0)
    variables = jax.tree.map(lambda p: draw.normal(size=p.shape).astype(np.float32), shapes)
    y = layer.apply(variables, x, train=False)
    np.testing.assert_allclose(y, by_hand(variables["params"]), atol=1e-4)


def test_blocks_start_near_the_identity():
    model = models.create_model("convnext_tiny")

    @jax.jit
    def block(key):
        return model.init(key, jnp.zeros((1, 32, 32, 3)))["params"]["stage3_block8"]

    params = block(jax.random.key(0))
    np.testing.assert_array_equal(params["layer_scale"]["factor"], np.full(384, 1e-6, np.float32))
    np.testing.assert_allclose(params["mlp"]["dense1"]["kernel"].std(), 0.02, rtol=0.02)
    np.testing.assert_allclose(params["conv"]["kernel"].std(), 0.02, rtol=0.02)


def test_stochastic_depth_rises_over_the_blocks():
    model = models.create_model("convnext_small").bind({})
    rates = [
        getattr(model, f"stage{stage}_block{i}").stochastic_depth
        for stage, num_blocks in enumerate((3, 3, 27, 3), start=1)
        for i in range(num_blocks)
    ]
    np.testing.assert_allclose(rates, 0.4 * np.arange(36) / 35)


@pytest.mark.parametrize("norm", ["batch", "group", "instance"])
def test_other_norms(norm, count_parameters):
    model = models.create_model("convnext_tiny", norm=norm)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert ("batch_stats" in variables) == (norm == "batch")
    assert count_parameters(model, (1, 32, 32, 3)) == 28_589_128


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stochastic_depth": 1.0}, r"stochastic_depth must be in \[0, 1\), got 1.0"),
        ({"norm": "layers"}, "unknown norm 'layers'; did you mean 'layer'"),
        ({"activation": "gleu"}, "unknown activation 'gleu'"),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        models.create_model("convnext_tiny", **options)
