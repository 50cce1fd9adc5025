import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import losses


def run(function, *arguments):
    return jax.device_get(quick.jit(function)(*arguments))


def test_mean_over_all_axes_but_the_first():
    random = np.random.default_rng(0)
    pairs = [
        random.normal(size=(2, *shape)).astype(np.float32)
        for shape in ((3,), (3, 5), (2, 4, 4, 3), (0, 5))
    ]
    results = run(lambda pairs: [losses.squared_error(*pair) for pair in pairs], pairs)
    for (predictions, targets), actual in zip(pairs, results, strict=True):
        assert actual.shape == predictions.shape[:1]
        expected = ((predictions - targets) ** 2).mean(axis=tuple(range(1, predictions.ndim)))
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_half_precision_is_summed_in_float32():
    predictions = np.append(2.0, np.ones(4095)).astype(jnp.bfloat16)[None]
    loss = run(losses.squared_error, predictions, np.zeros((1, 4096), jnp.bfloat16))
    assert loss.dtype == np.float32
    np.testing.assert_allclose(loss, [4099 / 4096])


def test_integer_targets():
    loss = run(losses.squared_error, np.float32([[0.5, 250.0]]), np.uint8([[1, 255]]))
    np.testing.assert_allclose(loss, [(0.25 + 25) / 2])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("predictions", "targets", "message"),
    [((2, 3), (2,), r"\(2, 3\) and \(2,\)"), ((), (), "batch axis"), ((2, 0), (2, 0), r"\(2, 0\)")],
)
def test_wrong_shapes_are_named(predictions, targets, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(losses.squared_error, np.zeros(predictions), np.zeros(targets))
