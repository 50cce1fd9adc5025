import jax
import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models
from jaxvision.models.inception_resnet import Residual
from jaxvision.models.layers import ConvStep


def conv(before, after, taps):
    """Counts a convolution without bias and its BatchNorm."""
    return before * after * taps + 2 * after


def test_parameters_of_version_1_by_the_figures():
    stem = conv(3, 32, 9) + conv(32, 32, 9) + conv(32, 64, 9)  # Figure 14
    stem += conv(64, 80, 1) + conv(80, 192, 9) + conv(192, 256, 9)
    a = 3 * conv(256, 32, 1) + 3 * conv(32, 32, 9) + (96 + 1) * 256  # Figure 10
    # Figure 7 with k = 192, l = 192, m = 256, n = 384 (Table 1).
    reduction_a = conv(256, 384, 9)
    reduction_a += conv(256, 192, 1) + conv(192, 192, 9) + conv(192, 256, 9)
    b = 2 * conv(896, 128, 1) + 2 * conv(128, 128, 7) + (256 + 1) * 896  # Figure 11
    reduction_b = 3 * conv(896, 256, 1) + conv(256, 384, 9) + 3 * conv(256, 256, 9)  # Figure 12
    c = 2 * conv(1792, 192, 1) + 2 * conv(192, 192, 3) + (384 + 1) * 1792  # Figure 13
    body = stem + 5 * a + reduction_a + 10 * b + reduction_b + 5 * c
    assert body + (1792 + 1) * 1000 == 22_756_328
    model = models.create_model("inception_resnet_v1")
    assert shapes_of(model, 75, 75).num_parameters == 22_756_328


@pytest.mark.release  # test_torch_zoo.py holds it to the shapes of timm.
def test_parameters_of_version_2():
    model = models.create_model("inception_resnet_v2")
    assert shapes_of(model, 75, 75).num_parameters == 55_843_464


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("inception_resnet_v1", [64, 192, 256, 896, 1792]),
        ("inception_resnet_v2", [64, 192, 320, 1088, 1536]),
    ],
)
def test_maps_of_its_images(name, channels):
    model = models.create_model(name, stage_sizes=(1, 1, 1))
    size = model.default_image_size
    strides = [2, 4, 8, 16, 32]
    assert shapes_of(model, size, size).maps == {
        stride: (side, side, width)
        for stride, side, width in zip(strides, [147, 71, 35, 17, 8], channels, strict=True)
    }


def test_residuals_are_scaled():
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 6)).astype(np.float32)
    options = {"norm": None, "kernel_init": jax.nn.initializers.lecun_normal()}
    table = ((ConvStep(3),), (ConvStep(2), ConvStep(4, 3)))

    def layer(scale, activation):
        return Residual(table=table, scale=scale, activation=activation, options=options)

    @quick.jit
    def calls(x):
        whole, variables = layer(1.0, "identity").init_with_output(jax.random.key(0), x, False)
        return whole - x, *(
            layer(0.1, activation).apply(variables, x, False) for activation in ("identity", "relu")
        )

    residual, linear, rectified = jax.device_get(calls(x))
    assert np.abs(residual).max() > 0.1
    np.testing.assert_allclose(linear, x + 0.1 * residual, atol=1e-6)
    np.testing.assert_allclose(rectified, np.maximum(x + 0.1 * residual, 0), atol=1e-6)


def test_only_the_last_module_of_version_2_is_linear_and_not_scaled():
    for name, last in [
        ("inception_resnet_v1", (0.2, "relu")),
        ("inception_resnet_v2", (1.0, "identity")),
    ]:
        model = models.create_model(name, stage_sizes=(1, 1, 2))
        bound = model.bind({})
        modules = [getattr(bound, f"inception_{kind}") for kind in ("a0", "b0", "c0", "c1")]
        settings = [(module.scale, module.activation) for module in modules]
        assert settings == [(0.17, "relu"), (0.1, "relu"), (0.2, "relu"), last]


@pytest.mark.parametrize("size", [(74, 80), (80, 74)])
@pytest.mark.parametrize("name", ["inception_resnet_v1", "inception_resnet_v2"])
def test_images_that_are_too_small(name, size):
    model = models.create_model(name, stage_sizes=(1, 1, 1))
    with pytest.raises(ValueError, match=r"at least 75x75, got the shape \(1, \d+, \d+, 3\)"):
        shapes_of(model, *size)


def test_options_that_are_refused():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        models.create_model("inception_resnet_v1", dropout=1.0)
    for sizes in [(1, 2), (1, 0, 1)]:
        with pytest.raises(ValueError, match="stage_sizes must be three numbers from 1"):
            models.create_model("inception_resnet_v2", stage_sizes=sizes)
    with pytest.raises(ValueError, match="version must be 1 or 2, got 3"):
        models.InceptionResNet(version=3)
