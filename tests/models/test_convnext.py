import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models
from jaxvision.models.convnext import ConvNeXtBlock


def shallow(**options):
    return models.create_model("convnext_tiny", **options).clone(stage_sizes=(1, 1, 1, 1))


@pytest.mark.parametrize(
    ("name", "count"),
    # test_torch_zoo.py holds the others to the shapes of torchvision and timm.
    quick.only(
        [
            ("convnext_tiny", 28_589_128),
            ("convnext_small", 50_223_688),
            ("convnext_base", 88_591_464),
            ("convnext_large", 197_767_336),
        ],
        "convnext_tiny",
        slow=(),
    ),
)
def test_parameters(name, count):
    assert shapes_of(models.create_model(name), 64, 64).num_parameters == count


@pytest.mark.parametrize(
    ("options", "size", "expected"),
    [
        (
            {},
            33,
            {
                4: (8, 8, 96),
                8: (4, 4, 192),
                16: (2, 2, 384),
                32: (1, 1, 768),
            },
        ),
        (
            {"small_images": True},
            32,
            {
                1: (32, 32, 96),
                2: (16, 16, 192),
                4: (8, 8, 384),
                8: (4, 4, 768),
            },
        ),
    ],
)
def test_maps(options, size, expected):
    assert shapes_of(shallow(**options), size, size).maps == expected


@pytest.mark.parametrize(
    ("options", "size", "least"), [({}, 31, "32x32"), ({"small_images": True}, 7, "8x8")]
)
def test_images_that_are_too_small(options, size, least):
    with pytest.raises(ValueError, match=f"images of at least {least}, got the shape"):
        shapes_of(shallow(**options), size, size)
    shapes_of(shallow(**options), size + 1, size + 1)


def test_a_block_by_hand():
    layer = ConvNeXtBlock(layer_scale=0.5)

    def by_hand(p, x):
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

    @quick.jit
    def calls(variables, x):
        return layer.apply(variables, x, train=False), by_hand(variables["params"], x)

    draw = np.random.default_rng(0)
    x = draw.normal(size=(2, 4, 5, 6)).astype(np.float32)
    shapes = jax.eval_shape(lambda x: layer.init(jax.random.key(1), x, train=False), x)
    variables = jax.tree.map(lambda p: draw.normal(size=p.shape).astype(np.float32), shapes)
    y, expected = jax.device_get(calls(variables, x))
    np.testing.assert_allclose(y, expected, atol=1e-4)


def test_blocks_start_near_the_identity():
    model = shallow()

    @quick.jit
    def block(images):
        return model.init(jax.random.key(0), images)["params"]["stage3_block0"]

    params = jax.device_get(block(np.zeros((1, 32, 32, 3))))
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
def test_other_norms(norm):
    traced = shapes_of(shallow(norm=norm), 32, 32)
    assert ("batch_stats" in traced.variables) == (norm == "batch")
    assert traced.num_parameters == shapes_of(shallow(), 32, 32).num_parameters


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
