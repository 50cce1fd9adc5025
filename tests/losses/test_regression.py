import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import losses


@pytest.mark.parametrize("shape", [(3,), (3, 5), (2, 4, 4, 3), (0, 5)])
def test_mean_over_all_axes_but_the_first(shape):
    predictions = jax.random.normal(jax.random.key(0), shape)
    targets = jax.random.normal(jax.random.key(1), shape)
    expected = ((np.asarray(predictions) - np.asarray(targets)) ** 2).reshape(
        shape[0], -1 if all(shape) else 5
    )
    actual = jax.jit(losses.squared_error)(predictions, targets)
    assert actual.shape == shape[:1]
    np.testing.assert_allclose(actual, expected.mean(1), rtol=1e-6)


def test_half_precision_is_summed_in_float32():
    predictions = jnp.full((1, 4096), 1.0, jnp.bfloat16).at[0, 0].set(2.0)
    loss = losses.squared_error(predictions, jnp.zeros((1, 4096), jnp.bfloat16))
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, [4099 / 4096])


def test_integer_targets():
    loss = losses.squared_error(jnp.array([[0.5, 250.0]]), jnp.array([[1, 255]], jnp.uint8))
    np.testing.assert_allclose(loss, [(0.25 + 25) / 2])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("predictions", "targets", "message"),
    [((2, 3), (2,), r"\(2, 3\) and \(2,\)"), ((), (), "batch axis"), ((2, 0), (2, 0), r"\(2, 0\)")],
)
def test_wrong_shapes_are_named(predictions, targets, message):
    with pytest.raises(ValueError, match=message):
        losses.squared_error(jnp.zeros(predictions), jnp.zeros(targets))
