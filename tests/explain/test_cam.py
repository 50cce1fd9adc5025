import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from attribution_nets import captum, inputs, net

from jaxvision import explain
from jaxvision.ops import resize

METHODS = [explain.cam, explain.grad_cam, explain.grad_cam_plus_plus, explain.score_cam]
IMAGES = np.random.default_rng(0).normal(size=(2, 7, 6, 2)).astype(np.float32)


def one_convolution(x):
    """captum's BasicModel_ConvNet_One_Conv, whose layer is the sum without a name."""
    sums = jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "VALID")
    x = sums + np.array([-50.0, -75.0], np.float32)
    x = jnp.moveaxis(jax.nn.relu(x), -1, 1).reshape(-1, 8)
    weights = np.array([1, 1, 1, 1, 1, -1, -1, -1], np.float32)
    return jax.nn.relu(x @ np.tile(weights[:, None], 4))


def tokens(x):
    x = x.reshape(len(x), -1, 2)
    return jnp.tanh(x[:, ::2]).mean(axis=1) @ np.ones((2, 3), np.float32)


def test_grad_cam_of_captum_s_test() -> None:
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    found = quick.jit(lambda x: explain.grad_cam(one_convolution, x, 0, layer="add").map)(x)
    expected = jnp.array([[11.25, 13.5], [20.25, 22.5]]).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(found, resize(expected, (4, 4)), rtol=1e-6)


def test_grad_cam_equals_captum() -> None:
    images, _, target = inputs()
    cases = [("conv", "conv2"), ("conv", "relu2"), ("conv", "conv1"), ("pooled", "relu1")]

    @quick.jit
    def found(x):
        return [
            explain.grad_cam(net(name), x, target, layer=layer, signed=True).map
            for name, layer in cases
        ]

    for maps, (name, layer) in zip(found(images), cases, strict=True):
        expected = jnp.asarray(captum()[f"{name}/grad_cam/{layer}"], jnp.float32)
        np.testing.assert_allclose(maps, resize(expected, (7, 6)), rtol=1e-3, atol=1e-6)


def test_grad_cam_is_cam_over_the_number_of_pixels() -> None:
    images, _, target = inputs()

    @quick.jit
    def found(x):
        return (
            explain.cam(net("pooled"), x, target),
            explain.grad_cam(net("pooled"), x, target, signed=True).map,
            explain.cam(net("conv"), x, target),
            net("pooled")(x),
        )

    maps, gradient_maps, wrong, _ = found(images)
    np.testing.assert_allclose(maps.map, gradient_maps * 12, rtol=1e-5, atol=1e-6)
    assert maps.error.max() < 1e-5
    assert not wrong.holds.any()  # its layers after the features are no average and no linear layer


def test_grad_cam_plus_plus_is_that_of_the_paper() -> None:
    def head(x):
        return (x**2).sum(axis=(1, 2)) @ np.array([[1.0], [-0.5]], np.float32)

    value = np.tanh(IMAGES)
    gradient = 2 * value * np.array([1, -0.5])
    below = 2 * gradient**2 + value.sum(axis=(1, 2), keepdims=True) * gradient**3
    weights = (gradient**2 / below * np.maximum(gradient, 0)).sum(axis=(1, 2), keepdims=True)
    expected = (weights * value).sum(axis=-1, keepdims=True)

    @quick.jit
    def found(x):
        return [
            explain.grad_cam_plus_plus(lambda y: head(jnp.tanh(y)), x, layer="tanh", signed=signed)
            for signed in (True, False)
        ]

    for each, wanted in zip(found(IMAGES), (expected, np.maximum(expected, 0)), strict=True):
        np.testing.assert_allclose(each.map, wanted, rtol=1e-3, atol=1e-4)


def test_score_cam_weights_channels_by_masked_images() -> None:
    images, _, target = inputs()
    f = net("pooled")

    @quick.jit
    def found(x):
        return [
            explain.score_cam(f, x, target, layer="relu1", batch_size=size).map for size in (1, 99)
        ]

    @quick.jit
    def expected(x):
        weights = captum()["pooled/conv1.weight"].astype(np.float32)
        value = jax.lax.conv_general_dilated(
            x, weights, (2, 2), [(1, 1)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        value = jnp.maximum(value + captum()["pooled/conv1.bias"].astype(np.float32), 0)
        scores = []
        for channel in range(4):
            mask = resize(value[..., channel : channel + 1], (7, 6))
            rows = [(row - row.min()) / (row.max() - row.min()) for row in mask]
            scores.append(f(x * jnp.stack(rows))[np.arange(3), target])
        weights = jnp.exp(jnp.stack(scores, axis=1))
        weights = weights / weights.sum(axis=1, keepdims=True)
        return resize(jnp.einsum("bk,bijk->bij", weights, value)[..., None], (7, 6))

    wanted = expected(images)
    for maps in found(images):
        np.testing.assert_allclose(maps, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", [explain.grad_cam, explain.score_cam])
def test_tokens_are_arranged(method) -> None:
    @quick.jit
    def found(x):
        return method(
            tokens, x, 0, layer="tanh", arrange=lambda each: each.reshape(len(each), 7, 3, 2)
        )

    maps = found(IMAGES).map
    assert maps.shape == (2, 7, 6, 1)
    assert np.isfinite(maps).all()
    with pytest.raises(ValueError, match=r"got \(2, 21, 2\); give a function that rearranges"):
        jax.eval_shape(lambda x: method(tokens, x, 0, layer="tanh").map, IMAGES)


@pytest.mark.parametrize("method", METHODS)
def test_small_batches_dtypes_and_nan(method) -> None:
    @quick.jit
    def found(x):
        return method(lambda y: jnp.tanh(y).mean(axis=(1, 2)), x, 1)

    assert jax.eval_shape(lambda x: found.__wrapped__(x).map, IMAGES[:0]).shape == (0, 7, 6, 1)
    half = found(jnp.asarray(IMAGES[:1], "bfloat16"))
    assert half.map.dtype == "float32"
    assert np.isfinite(half.map).all()
    broken = IMAGES.copy()
    broken[1, 2, 2] = np.nan
    assert found(broken).holds.tolist() == [True, False]


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.ones((1, 4, 4, 2), np.uint8), TypeError, "floating point, got uint8"),
        (np.ones((4, 4, 2), np.float32), ValueError, r"\(batch, height, width, channels\), got"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_wrong_images(method, images, error, message, unchecked) -> None:
    with pytest.raises(error, match=message):
        method(lambda x: x.mean(axis=(1, 2)), images)


def test_of_outputs_per_pixel_the_widest_layer_is_weighted() -> None:
    """The last value with a height and a width would be the outputs themselves."""
    down, up = np.random.default_rng(0).standard_normal((2, 2, 5), np.float32)

    def f(x):
        bottom = jnp.tanh(x[:, ::2, ::2] @ down)
        return jnp.repeat(jnp.repeat(bottom @ up.T, 2, axis=1), 2, axis=2)

    images = np.random.default_rng(1).random((1, 4, 4, 2), np.float32)

    def score(outputs):
        return outputs[..., 0].mean((1, 2))

    def maps(x):
        return [explain.grad_cam(f, x, score, layer=layer).map for layer in (None, "tanh")]

    np.testing.assert_array_equal(*quick.jit(maps)(images))
