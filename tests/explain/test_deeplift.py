import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from attribution_nets import captum, inputs, net

from jaxvision import explain, models
from jaxvision.ops import max_pool

X = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
W = np.random.default_rng(1).normal(size=(2, 6, 6)).astype(np.float32)


@pytest.mark.parametrize("name", ["conv", "smooth"])
def test_values_equal_captum(name) -> None:
    images, baseline, target = inputs()
    found = quick.jit(lambda x, b: explain.deeplift(net(name), x, target, baseline=b))(
        images, baseline
    )
    np.testing.assert_allclose(found.map, captum()[f"{name}/deeplift"], rtol=1e-3, atol=1e-5)
    assert found.error.max() < 1e-4


def test_double_precision() -> None:
    with jax.enable_x64(True):
        images, baseline, target = inputs(np.float64)
        found = quick.jit(
            lambda x, b: explain.deeplift(net("conv", np.float64), x, target, baseline=b)
        )(images, baseline)
        np.testing.assert_allclose(found.map, captum()["conv/deeplift"], rtol=1e-9, atol=1e-12)
        assert found.error.max() < 1e-12


def test_implementations_are_told_apart() -> None:
    """As Sundararajan et al. (2017) found of functions that are equal."""
    x = np.array([[3.0, 1.0]], np.float32)
    relu = jax.nn.relu

    @quick.jit
    def found(x):
        return (
            explain.deeplift(lambda y: relu(relu(y[:, :1]) - 1 - relu(y[:, 1:])), x).map,
            explain.deeplift(lambda y: relu(relu(y[:, :1] - 1) - relu(y[:, 1:])), x).map,
        )

    first, second = found(x)
    np.testing.assert_allclose(first, [[1.5, -0.5]], rtol=1e-6)
    np.testing.assert_allclose(second, [[2.0, -1.0]], rtol=1e-6)


ACTIVATIONS = {
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "hard_swish": jax.nn.hard_swish,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "step": lambda x: x * (x > 0),
    "branches": lambda x: jnp.where(x > 0, jnp.sin(x), 0.1 * x) - jnp.exp(-(x**2)),
    "clip": lambda x: jnp.clip(x, -0.5, 0.7),
}


def test_elementwise_functions_are_rescaled_as_one() -> None:
    @quick.jit
    def found(x):
        slopes = {
            name: (f(x) - f(jnp.full_like(x, 0.3))) / (x - 0.3) for name, f in ACTIVATIONS.items()
        }
        maps = {
            name: explain.deeplift(lambda y, f=f: f(y) @ W[0], x, 2, baseline=0.3).map
            for name, f in ACTIVATIONS.items()
        }
        return maps, slopes

    maps, slopes = found(X)
    for name in ACTIVATIONS:
        expected = slopes[name] * W[0, :, 2] * (X - 0.3)
        np.testing.assert_allclose(maps[name], expected, rtol=1e-4, atol=1e-6, err_msg=name)


def attention(x):
    tokens = jax.nn.softmax(x @ W[0])[:, :, None] * W[1]
    weights = jax.nn.softmax(jnp.einsum("bik,bjk->bij", tokens, tokens))
    return jnp.einsum("bij,bjk->bik", weights, tokens).max(axis=1)


def normalized(x):
    x = x @ W[0]
    x = (x - x.mean(axis=1, keepdims=True)) / jnp.sqrt(x.var(axis=1, keepdims=True) + 1e-3)
    return jnp.maximum(x @ W[1], jnp.minimum(x, 1 / (1 + jnp.exp(x @ W[0]))))


def selected(x):
    gate = (x @ W[0] > 0) & (x @ W[1] > -1)
    return jnp.where(gate, x, jnp.sort(W[0], axis=0)[0]) + jnp.where(x > 0.2, x, x @ W[1])


def pooled(x):
    x = jnp.cumsum(jnp.tile(x[:, :, None, None], (1, 1, 6, 1)), axis=2) * W[0][None, :, :, None]
    return max_pool(x, 3, 2, [(1, 1), (0, 1)]).reshape(len(x), -1) @ W[0].reshape(9, 4)


def shared(x):
    layer = jax.jit(lambda y: jax.nn.relu(y @ W[0]))
    return jax.checkpoint(layer)(layer(layer(x))) + jax.lax.stop_gradient(x)


@pytest.mark.parametrize("f", [attention, normalized, selected, pooled, shared])
def test_completeness(f) -> None:
    @quick.jit
    def error(x):
        return explain.deeplift(f, x, baseline=-0.1).error

    assert error(X).max() < 2e-4


def test_a_maximum_passes_its_difference_to_one_number() -> None:
    x = np.array([[5.0, 1.0, 2.0], [1.0, 1.0, 2.0]], np.float32)
    found = quick.jit(
        lambda x: explain.deeplift(
            lambda y: y.max(axis=1, keepdims=True), x, baseline=np.array([0.0, 3.0, 0.0])
        )
    )(x)
    np.testing.assert_allclose(found.map, [[2, 0, 0], [0, -1, 0]], atol=1e-6)


def test_linear_functions_constants_and_equal_images() -> None:
    @quick.jit
    def found(x):
        return (
            explain.deeplift(lambda y: y @ W[0] + 1, x, 3, baseline=0.5).map,
            explain.deeplift(lambda y: jnp.ones((3, 2)), x).map,
            explain.deeplift(lambda y: jax.nn.gelu(y @ W[0]) @ W[1], x, 0, baseline=X),
            explain.deeplift(lambda y: y @ W[0], x[:0]).map,
        )

    linear, constant, equal, empty = found(X)
    np.testing.assert_allclose(linear, (X - 0.5) * W[0, :, 3], rtol=1e-4, atol=1e-6)
    assert not constant.any()
    assert not equal.map.any()
    assert equal.holds.all()
    assert empty.shape == (0, 6)


def test_half_precision() -> None:
    found = quick.jit(lambda x: explain.deeplift(lambda y: jax.nn.relu(y @ W[0]) @ W[1], x, 0))(
        jnp.asarray(X, "bfloat16")
    )
    assert found.map.dtype == "float32"
    assert found.error.max() < 0.1


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: jnp.sort(x), r"primitive 'sort', from .*test_deeplift.py:\d+"),
        (lambda x: jnp.arctan2(x @ W[0], x), r"'atan2' of several arrays, from .*test_deeplift"),
        (lambda x: (x > x @ W[0]).astype(jnp.float32), "'convert_element_type' with integers"),
        (lambda x: jax.lax.scan(lambda c, w: (c @ w, None), x, W)[0], "'scan', from"),
    ],
)
def test_functions_without_a_rule(f, message) -> None:
    with pytest.raises(NotImplementedError, match=message):
        jax.eval_shape(lambda x: explain.deeplift(lambda y: f(y), x).map, X)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("resnet18", marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_small", marks=pytest.mark.release),
        pytest.param("vit_ti_16", marks=pytest.mark.release),
    ],
)
def test_models_are_explained_completely(name) -> None:
    model = models.create_model(name, num_classes=3)
    size = 224 if name == "vit_ti_16" else 32
    images = np.random.default_rng(0).normal(size=(1, size, size, 3)).astype(np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    draws = np.random.default_rng(1)

    def drawn(leaf):
        numbers = draws.normal(size=leaf.shape).astype(np.float32)
        if leaf.ndim < 2:
            return np.abs(numbers) / 2
        return numbers / np.sqrt(leaf.size / leaf.shape[-1], dtype=np.float32)

    variables = jax.tree.map(drawn, shapes)
    found, value = quick.jit(
        lambda v, x: (explain.deeplift(lambda y: model.apply(v, y), x, 1), model.apply(v, x))
    )(variables, images)
    assert np.abs(found.map).sum() > 0.01 * np.abs(value[0, 1]) > 0
    assert found.holds.all()
