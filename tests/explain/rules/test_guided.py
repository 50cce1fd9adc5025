"""Guided backpropagation and deconvnet, for ReLUs in every spelling."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from jax import lax
from make_relevance import TARGET, draw_images
from relevance_networks import plain, residual

from jaxvision.explain import ExplainError, deconvnet, guided_backprop, lrp
from jaxvision.explain.rules import Flat

MAPS = np.load(pathlib.Path(__file__).parents[2] / "fixtures" / "relevance.npz")
RELUS = {
    "relu": jax.nn.relu,
    "relu6": lambda y: 100 * jax.nn.relu6(y / 100),
    "maximum": lambda y: jnp.maximum(y, 0),
    "maximum of zeros": lambda y: jnp.maximum(jnp.zeros_like(y), y),
    "lax": lambda y: lax.max(y, 0.0),
    "clip": lambda y: jnp.clip(y, 0),
    "clip on both sides": lambda y: jnp.clip(y, 0, 100),
    "clamp": lambda y: lax.clamp(0.0, y, 100.0),
    "where": lambda y: jnp.where(y > 0, y, 0),
    "where not": lambda y: jnp.where(y <= 0, 0.0, y),
    "where less": lambda y: jnp.where(y > 0, y, jnp.zeros_like(y)),
    "product": lambda y: y * (y > 0),
    "product of a mask": lambda y: (y >= 0).astype(y.dtype) * y,
    "jit": jax.jit(jax.nn.relu),
    "remat": jax.checkpoint(jax.nn.relu),
    "scan": lambda y: lax.scan(lambda c, _: (jax.nn.relu(c), None), y, None, length=2)[0],
}


@pytest.fixture(scope="module")
def arrays():
    random = np.random.default_rng(0)
    shapes = ((4, 6), (6, 5), (5, 3))
    return [random.normal(size=shape).astype(np.float32) for shape in shapes]


def test_every_spelling_of_a_relu(arrays):
    x, first, last = arrays
    methods = (guided_backprop, deconvnet)

    @quick.jit
    def explain(x):
        return {
            name: [
                method(lambda x, relu=relu: relu(x @ first) @ last, x, 0).map for method in methods
            ]
            for name, relu in RELUS.items()
        }

    found = jax.device_get(explain(x))
    gradient = np.maximum(last[:, 0], 0) * np.ones((4, 5))
    expected = [(gradient * (x @ first > 0)) @ first.T, gradient @ first.T]
    for name in RELUS:
        for i in range(2):
            np.testing.assert_allclose(found[name][i], expected[i], atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_relevance_passes_every_spelling(arrays):
    """By the rule flat, an activation that is zero has relevance, which a ReLU passes on."""
    x, first, last = arrays

    @quick.jit
    def explain(x):
        return {
            name: lrp(lambda x, relu=relu: relu(x @ first) @ last, x, 0, rule=Flat(1e-9)).map
            for name, relu in RELUS.items()
        }

    found = jax.device_get(explain(x))
    share = (np.maximum(x @ first, 0) @ last)[:, :1] / 6
    for name in RELUS:
        np.testing.assert_allclose(found[name], share * np.ones(6), rtol=1e-4, err_msg=name)


def test_equal_to_captum():
    with jax.enable_x64(True):
        found = quick.jit(
            lambda x: {
                f"captum {name} {kind}": method(f, x, TARGET).map
                for name, f in (("plain", plain), ("residual", residual))
                for kind, method in (("guided", guided_backprop), ("deconvnet", deconvnet))
            }
        )(draw_images(9))
    for name, value in jax.device_get(found).items():
        np.testing.assert_allclose(value, MAPS[name], atol=1e-6 * np.abs(MAPS[name]).max())


def test_the_small_network_of_captum():
    """BasicModel_ConvNet_One_Conv of its tests."""
    kernel, biases = np.ones((3, 3, 1, 2), np.float32), np.array([-50, -75], np.float32)
    last = np.concatenate([np.ones((5, 4)), -np.ones((3, 4))]).astype(np.float32)

    def f(x):
        numbers = ("NHWC", "HWIO", "NHWC")
        y = lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=numbers)
        y = jnp.maximum(y + biases, 0).transpose(0, 3, 1, 2).reshape(1, 8)
        return jnp.maximum(y @ last, 0)

    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    found = quick.jit(lambda x: guided_backprop(f, x, 0).map)(image)
    expected = [[0, 1, 1, 1], [1, 3, 3, 2], [1, 3, 3, 2], [1, 2, 2, 1]]
    np.testing.assert_array_equal(found[0, :, :, 0], expected)


def test_other_operations_have_their_gradients(arrays):
    """Also those with custom derivatives, and functions of several outputs."""
    x, first, last = arrays

    @jax.custom_jvp
    def doubled(y):
        return 2 * y

    @doubled.defjvp
    def _(primals, tangents):
        return doubled(*primals), 7 * tangents[0]

    def f(x):
        return {"y": jax.nn.gelu(doubled(x @ first)) @ last}

    def score(outputs):
        return outputs["y"][:, 1]

    @quick.jit
    def explain(x):
        return (
            guided_backprop(f, x, score),
            jax.grad(lambda x: score(f(x)).sum())(x),
            guided_backprop(f, x[:0], score).map.shape == (0, 6),
        )

    found, gradient, fits = explain(x)
    np.testing.assert_allclose(found.map, gradient, rtol=1e-5)
    assert fits
    assert found.axiom.startswith("none")
    assert found.holds.all()


def test_relus_in_a_loop_of_unknown_length():
    def f(x):
        return lax.while_loop(lambda y: y.sum() < 1, lambda y: jax.nn.relu(y) + 1, x)

    with pytest.raises(ExplainError, match=r"the ReLUs in 'while', used in .*test_guided.py:\d+"):
        guided_backprop(f, jnp.ones((1, 2)))


def test_whole_numbers_are_refused(unchecked):
    with pytest.raises(ValueError, match="floating point numbers with a batch axis, got the dtype"):
        guided_backprop(lambda x: x, np.ones((1, 2), np.int32))
