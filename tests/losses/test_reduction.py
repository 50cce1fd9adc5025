import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import losses


def run(function, *arguments):
    return jax.device_get(quick.jit(function)(*arguments))


def test_equals_numpy():
    values, weights = np.float32([1, -2, 4]), (None, np.float32([0, 0.5, 2]), np.array([3, 0, 1]))
    means = run(
        lambda values, weights: [losses.weighted_mean(values, weight) for weight in weights],
        values,
        weights,
    )
    expected = [np.average(values, weights=weight) for weight in weights]
    np.testing.assert_allclose(means, expected, rtol=1e-6)


def test_rows_of_weight_zero_let_nothing_through():
    def results(values, weight):
        mean, gradient = jax.value_and_grad(losses.weighted_mean)(values, weight)
        return mean, gradient, losses.weighted_mean(values)

    values = np.float32([[1, np.nan, 4], [1, np.inf, 4]])
    mean, gradient, unweighted = run(jax.vmap(results, (0, None)), values, np.float32([1, 0, 3]))
    np.testing.assert_allclose(mean, [3.25] * 2)
    np.testing.assert_allclose(gradient, [[0.25, 0, 0.75]] * 2)
    assert not np.isfinite(unweighted).any()


def test_no_weight_gives_zero_and_no_gradient():
    def results(*values):
        mean = jax.value_and_grad(losses.weighted_mean, argnums=(0, 1))
        return [mean(each, jnp.zeros(each.shape)) for each in values]

    values = np.float32([1, np.nan]), np.zeros(0, np.float32), np.zeros((0, 3), np.float32)
    for each, (mean, gradients) in zip(values, run(results, *values), strict=True):
        assert mean == 0
        for gradient in gradients:
            np.testing.assert_array_equal(gradient, np.zeros(each.shape))


def test_empty_batch_without_weights_is_zero():
    assert run(losses.weighted_mean, np.zeros(0, np.float32)) == 0


def test_weights_of_examples_weigh_their_pixels():
    values, weight = np.arange(12, dtype=np.float32).reshape(2, 2, 3), np.float32([1, 3])
    expected = np.average(values, weights=np.broadcast_to(weight[:, None, None], (2, 2, 3)))
    np.testing.assert_allclose(run(losses.weighted_mean, values, weight), expected, rtol=1e-6)


def test_sums_are_at_least_float32():
    values = np.append(2.0, np.ones(4095)).astype(jnp.bfloat16)
    mean = run(losses.weighted_mean, values, np.ones(4096, bool))
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, 4097 / 4096)
    with jax.enable_x64(True):
        assert jax.eval_shape(losses.weighted_mean, np.ones(2)).dtype == np.float64


@pytest.mark.parametrize("shape", [(3,), (2, 1), (2, 2, 1)])
def test_weights_that_do_not_lead_the_shape_are_an_error(shape):
    with pytest.raises(ValueError, match="leading axes"):
        jax.eval_shape(losses.weighted_mean, np.zeros((2, 2)), np.zeros(shape))
