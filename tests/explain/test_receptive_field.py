"""Receptive fields, held to those that are published."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from jax import lax

from jaxvision import explain, models


def conv(x, kernel, stride=1, dilation=1, padding="SAME"):
    return lax.conv_general_dilated(
        x, kernel, (stride,) * 2, padding, rhs_dilation=(dilation,) * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip


def stack(*layers):
    """Convolutions of one channel, given as pairs of a kernel size and a dilation."""

    def f(x):
        for size, dilation in layers:
            x = conv(x, jnp.ones((size, size, 1, 1), x.dtype), dilation=dilation)
        return x

    return f


def map_of(model, stride):
    """A feature map of a model whose weights are ones that take no memory."""
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    variables = jax.tree.map(
        lambda leaf: np.broadcast_to(np.ones((), leaf.dtype), leaf.shape),
        jax.eval_shape(model.init, jax.random.key(0), images),
    )
    return lambda x: model.apply(variables, x, method="features")[stride]


FIELD, GRID = explain.receptive_field, explain.field_grid
EFFECTIVE = explain.effective_receptive_field
F = stack((3, 1))


@pytest.mark.parametrize(
    ("layers", "size"),
    [([(3, 1)] * 2, 5), ([(3, 1)] * 3, 7), ([(3, 1), (3, 2), (3, 4)], 15), ([(1, 1)], 1)],
)
def test_stacked_convolutions(layers, size) -> None:
    field = FIELD(stack(*layers), (21, 23, 1))
    assert field.size == (size, size)
    reach = size // 2
    assert field.box == ((10 - reach, 11 + reach), (11 - reach, 12 + reach))
    assert not field.cut
    assert field.pixels.sum() == size**2


def test_between_the_taps_of_a_dilated_kernel_are_pixels_that_are_not_seen() -> None:
    field = FIELD(stack((3, 3)), (9, 9, 1))
    assert field.size == (7, 7)
    assert field.pixels.sum() == 9


def test_the_context_network_sees_67_pixels() -> None:
    """Yu & Koltun, Multi-scale context aggregation by dilated convolutions, Table 1."""
    model = models.ContextModule()
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 80, 80, 2)))
    ones = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), variables)
    field = FIELD(lambda x: model.apply(ones, x), (80, 80, 2))
    assert field.size == (67, 67)


def test_units_and_edges() -> None:
    f = stack((5, 1))
    corner = FIELD(f, (8, 8, 1), (0, 7))
    assert corner.box == ((0, 3), (5, 8))
    assert corner.cut
    pixelwise = FIELD(lambda x: x[..., ::-1] * jnp.array([1.0, 0.0]), (3, 4, 2))
    assert pixelwise.box == ((1, 2), (2, 3))
    masked = FIELD(lambda x: x * jnp.array([1.0, 0.0]), (3, 4, 2), (0, 0, 1))
    assert (masked.size, masked.cut) == ((0, 0), False)
    logits = FIELD(lambda x: x[:, 1:].sum(axis=(1, 2)), (5, 4, 2), (1,))
    assert logits.box == ((1, 5), (0, 4))


def test_the_grid_of_a_map_grows_its_image_until_nothing_is_cut() -> None:
    """A 5x5 kernel with a stride of 2, a maximum over 2x2, and a 3x3 kernel."""

    def f(x):
        y = conv(x, jnp.ones((5, 5, 1, 1)), 2, padding=[(2, 2), (2, 2)])
        y = lax.reduce_window(y, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        return conv(y, jnp.ones((3, 3, 1, 1)), padding=[(1, 1), (1, 1)])

    grid = GRID(f, (8, 8, 1))
    assert grid == explain.FieldGrid(size=(15, 15), stride=(4, 4), start=(-6, -6))
    for unit in [(3, 4), (5, 2)]:
        assert grid.box(*unit) == FIELD(f, (40, 40, 1), unit).box


def test_a_gate_sees_the_whole_image() -> None:
    def f(x):
        return stack((3, 1))(x) * jax.nn.sigmoid(x.mean(axis=(1, 2), keepdims=True))

    field = FIELD(f, (9, 9, 1))
    assert field.pixels.all()
    assert field.cut
    with pytest.raises(ValueError, match=r"image of 32x32 cuts the field .* `largest`, 40"):
        GRID(f, (16, 16, 1), largest=40)


@pytest.mark.parametrize(
    ("name", "stride", "size", "padding", "height"),
    quick.only(
        [
            ("vgg16", 32, 212, 90, 320), ("vgg16", 16, 196, 90, 320), ("vgg11", 32, 150, 59, 320),
            ("alexnet", 32, 195, None, 320), ("mobilenet_v1", 32, 315, None, 512),
            ("resnet18", 32, 435, None, 512), ("resnet34", 32, 899, None, 1024),
            ("resnet50", 32, 427, None, 512), ("resnet101", 32, 971, None, 1088),
            ("resnet152", 32, 1451, None, 1536), ("inception_v3", 32, 1311, 618, 1536),
            ("inception_v4", 32, 2071, 998, 2304), ("inception_resnet_v2", 32, 3039, 1482, 3200),
        ],
        slow=("vgg16", "alexnet", "resnet18"),
    ),
)  # fmt: skip
def test_published_sizes(name, stride, size, padding, height) -> None:
    """Araujo et al.'s table of sizes and paddings, in images that are no wider than needed.

    Their ResNet has its strides elsewhere, and their paddings of AlexNet and MobileNet differ.
    """
    f = map_of(models.create_model(name), stride)
    width = 96 if name.startswith("inception") else 64
    rows, columns = jax.eval_shape(
        f, jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)
    ).shape[1:3]
    field = FIELD(f, (height, width, 3), (rows // 2, columns // 2))
    assert field.size[0] == size
    (top, bottom), _ = field.box
    assert 0 < top < bottom < height
    if padding is not None:
        assert top == rows // 2 * stride - padding


@pytest.mark.slow
def test_the_grid_of_a_model() -> None:
    grid = GRID(map_of(models.create_model("vgg11"), 8), (48, 48, 3))
    assert grid == explain.FieldGrid(size=(62, 62), stride=(8, 8), start=(-27, -27))


def test_the_effective_field_of_uniform_kernels_is_a_sum_of_uniform_steps() -> None:
    """Luo et al.: n kernels of size k have the standard deviation √(n (k² - 1) / 12)."""
    images = np.random.default_rng(0).normal(size=(2, 41, 45, 1)).astype(np.float32)
    found = quick.jit(lambda x: EFFECTIVE(stack(*[(3, 1)] * 9), x))(jnp.asarray(images))
    np.testing.assert_allclose(found.std, np.sqrt(9 * 8 / 12), rtol=1e-4)
    np.testing.assert_allclose(found.center, [20, 22], rtol=1e-5)
    np.testing.assert_allclose(found.map.sum(), 1, rtol=1e-5)
    kernel = np.ones(1)
    for _ in range(9):
        kernel = np.convolve(kernel, np.ones(3) / 3)
    np.testing.assert_allclose(found.map.sum(axis=0)[22 - 9 : 22 + 10], kernel, rtol=1e-4)


def test_the_effective_field_averages_absolute_gradients() -> None:
    weights = np.array([[1.0, -3.0], [0.0, 4.0]], np.float32)[None, :, :, None]
    signs = np.array([-1, 1], np.float32)[:, None, None, None]
    images = jnp.asarray(signs * np.ones((2, 2, 2, 1), np.float32))

    def f(x):
        return (jnp.abs(x) * weights).sum((1, 2, 3))[:, None]

    @quick.jit
    def effective(images):
        half = images[:1].astype(jnp.bfloat16)
        return EFFECTIVE(f, images), EFFECTIVE(lambda x: x, half, (1, 0))

    found, one = effective(images)
    np.testing.assert_allclose(found.map, np.abs(weights[0, :, :, 0]) / 8)
    assert one.map.dtype == np.float32
    assert np.array_equal(one.map, [[0, 0], [1, 0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: FIELD(F, (8, 8)), r"\(height, width, channels\), got \(8, 8\)"),
        (lambda: FIELD(F, (8, 0, 1)), r"got \(8, 0, 1\)"),
        (lambda: FIELD(F, (8, 8, 1), (8, 0)), r"shape \(8, 8, 1\), got \(8, 0\)"),
        (lambda: FIELD(F, (8, 8, 1), (0, 0, 0, 0)), "index into an output"),
        (lambda: GRID(lambda x: F(x)[0], (8, 8, 1)), r"maps .*got \(8, 8, 1\)"),
        (lambda: GRID(lambda x: x[:, np.array([0, 1, 3, 4, 5])], (7, 6, 1)), "more than a shift"),
        (lambda: EFFECTIVE(F, jnp.ones((0, 8, 8, 1))), r"at least one.*\(0, 8"),
        (lambda: EFFECTIVE(F, jnp.ones((1, 8, 8, 1), jnp.int32)), "int32"),
    ],
)
def test_wrong_inputs_are_named(call, message, unchecked) -> None:
    with pytest.raises(ValueError, match=message):
        call()
