import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from attribution_nets import captum, inputs, net
from flax import nnx

from jaxvision import explain

WEIGHTS = np.array([[1.0, 0.5], [-2.0, 0.0], [3.0, 1.0]], np.float32)
KEY = jax.random.key(0)


def linear(x):
    return x @ WEIGHTS + 1


@pytest.mark.parametrize("name", ["conv", "smooth"])
def test_saliency_and_gradient_x_input_equal_captum(name) -> None:
    images, _, target = inputs()

    @quick.jit
    def found(x):
        return (
            explain.saliency(net(name), x, target).map,
            explain.gradient_x_input(net(name), x, target).map,
        )

    for each, method in zip(found(images), ("saliency", "gradient_x_input"), strict=True):
        np.testing.assert_allclose(each, captum()[f"{name}/{method}"], rtol=2e-4, atol=2e-6)


def test_linear_functions_are_explained_exactly() -> None:
    @quick.jit
    def found(x):
        return [
            explain.saliency(linear, x),
            explain.saliency(linear, x, signed=True),
            explain.gradient_x_input(linear, x, 0),
            explain.smooth_grad(linear, x, key=KEY, samples=5, batch_size=4),
        ]

    x = np.array([[1.0, 2.0, -1.0], [1.0, 0.0, 4.0]], np.float32)  # the classes 1 and 0
    size, gradient, product, smooth = found(x)
    rows = WEIGHTS.T[[1, 0]]
    np.testing.assert_array_equal(size.map, np.abs(rows))
    np.testing.assert_array_equal(gradient.map, rows)
    np.testing.assert_array_equal(product.map, x * WEIGHTS.T[0])
    np.testing.assert_allclose(smooth.map, rows, rtol=1e-6)
    np.testing.assert_allclose(smooth.standard_error, 0, atol=1e-6)
    assert all(each.holds.all() for each in (size, gradient, product, smooth))


def test_smooth_gradients_are_those_of_the_smoothed_function() -> None:
    # The range of the row is 2, so the noise has the standard deviation 0.6.
    x = np.array([[-1.0, 1.0, 0.3]], np.float32)
    found = quick.jit(
        lambda x: explain.smooth_grad(
            lambda y: (y**3).sum(axis=1, keepdims=True), x, key=KEY, noise=0.3, samples=4000
        )
    )(x)
    deviations = (found.map - 3 * (x**2 + 0.6**2)) / found.standard_error
    assert np.abs(deviations).max() < 4
    # Var(3 (x + 0.6 z)^2) = 9 (4 x^2 0.36 + 2 0.36^2)
    variance = 9 * (4 * x**2 * 0.36 + 2 * 0.36**2)
    np.testing.assert_allclose(found.standard_error, np.sqrt(variance / 4000), rtol=0.1)


class NnxNet(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(2, 4, (3, 3), strides=2, rngs=rngs)
        self.head = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x):
        return self.head(nnx.relu(self.conv(x)).mean(axis=(1, 2)))


def test_modules_of_nnx_are_functions_too() -> None:
    model = nnx.eval_shape(lambda: NnxNet(nnx.Rngs(0)))
    graph, shapes = nnx.split(model)
    draws = np.random.default_rng(0)
    arrays = jax.tree.map(lambda leaf: draws.normal(size=leaf.shape).astype(np.float32), shapes)
    model = nnx.merge(graph, arrays)

    @quick.jit
    def found(x):
        return (
            explain.integrated_gradients(model, x, 1),
            explain.deeplift(model, x, 1),
            explain.cam(model, x, 1),
            explain.grad_cam(model, x, 1, signed=True),
        )

    integrated, rescaled, cam, grad_cam = found(draws.normal(size=(2, 6, 8, 2)).astype("float32"))
    for each in (integrated, rescaled, cam):
        assert each.holds.all()
    np.testing.assert_allclose(cam.map, 12 * grad_cam.map, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_dtypes(dtype) -> None:
    with jax.enable_x64(dtype == "float64"):
        x = jnp.asarray([[1.0, 2.0, -1.0]], dtype)
        found = explain.gradient_x_input(lambda y: y @ WEIGHTS.astype(dtype), x, 0).map
    assert found.dtype == ("float64" if dtype == "float64" else "float32")
    np.testing.assert_array_equal(found, [[1, -4, -3]])


def test_nan_and_empty_batches() -> None:
    @quick.jit
    def found(x):
        return explain.smooth_grad(linear, x, key=KEY, samples=2)

    assert jax.eval_shape(
        lambda x: found.__wrapped__(x).map, np.zeros((0, 3), np.float32)
    ).shape == (0, 3)
    broken = quick.jit(lambda x: explain.saliency(lambda y: jnp.log(y) @ WEIGHTS, x))
    assert broken(np.array([[0, 1, 1], [1, 1, 1]], np.float32)).holds.tolist() == [False, True]


@pytest.mark.parametrize(
    ("images", "options", "error", "message"),
    [
        (np.ones((1, 3), np.uint8), {}, TypeError, "floating point, got uint8; scale"),
        (np.float32(1), {}, ValueError, r"the shape \(batch, ...\), got \(\)"),
        (np.ones((1, 3), np.float32), {"noise": -1}, ValueError, "noise must be 0 or more, got -1"),
        (np.ones((1, 3), np.float32), {"samples": 1}, ValueError, "2 samples or more, got 1"),
        (np.ones((1, 3), np.float32), {"batch_size": 0}, ValueError, "batch_size must be 1"),
        (np.ones((1, 3), np.float32), {"target": 2}, ValueError, "class from 0 to 1, got 2"),
        (np.ones((2, 3), np.float32), {"target": jnp.sum}, ValueError, r"\(2,\), got \(\)"),
    ],
)
def test_what_cannot_be_explained(images, options, error, message, unchecked) -> None:
    with pytest.raises(error, match=message):
        explain.smooth_grad(linear, images, key=KEY, **options)
