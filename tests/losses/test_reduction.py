import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import losses


@pytest.mark.parametrize("weight", [None, jnp.array([0.0, 0.5, 2.0]), jnp.array([3, 0, 1])])
def test_equals_numpy(weight):
    values = jnp.array([1.0, -2.0, 4.0])
    np.testing.assert_allclose(
        losses.weighted_mean(values, weight), np.average(values, weights=weight), rtol=1e-6
    )


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_rows_of_weight_zero_let_nothing_through(bad):
    values, weight = jnp.array([1.0, bad, 4.0]), jnp.array([1.0, 0.0, 3.0])
    mean, gradient = jax.jit(jax.value_and_grad(losses.weighted_mean))(values, weight)
    np.testing.assert_allclose(mean, 3.25)
    np.testing.assert_allclose(gradient, [0.25, 0, 0.75])
    assert not jnp.isfinite(losses.weighted_mean(values))


@pytest.mark.parametrize("values", [jnp.array([1.0, jnp.nan]), jnp.zeros(0), jnp.zeros((0, 3))])
def test_no_weight_gives_zero_and_no_gradient(values):
    mean, gradients = jax.value_and_grad(losses.weighted_mean, argnums=(0, 1))(
        values, jnp.zeros(values.shape)
    )
    assert mean == 0
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, jnp.zeros(values.shape))


def test_empty_batch_without_weights_is_zero():
    assert losses.weighted_mean(jnp.zeros(0)) == 0


def test_weights_of_examples_weigh_their_pixels():
    values = jnp.arange(12.0).reshape(2, 2, 3)
    weight = jnp.array([1.0, 3.0])
    expected = np.average(values, weights=np.broadcast_to(weight[:, None, None], (2, 2, 3)))
    np.testing.assert_allclose(losses.weighted_mean(values, weight), expected, rtol=1e-6)


def test_sums_are_at_least_float32():
    values = jnp.full(4096, 1.0, jnp.bfloat16).at[0].set(2.0)
    mean = losses.weighted_mean(values, jnp.ones(4096, bool))
    assert mean.dtype == jnp.float32
    np.testing.assert_allclose(mean, 4097 / 4096)
    with jax.enable_x64(True):
        assert losses.weighted_mean(jnp.ones(2, jnp.float64)).dtype == jnp.float64


@pytest.mark.parametrize("shape", [(3,), (2, 1), (2, 2, 1)])
def test_weights_that_do_not_lead_the_shape_are_an_error(shape):
    with pytest.raises(ValueError, match="leading axes"):
        losses.weighted_mean(jnp.zeros((2, 2)), jnp.zeros(shape))
