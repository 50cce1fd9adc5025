import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import losses

PARAMS = {
    "stem": {"kernel": np.float32([[1, -2], [0, 3]]), "bias": np.float32([10, 10])},
    "norm": {"scale": np.float32([7])},
    "head": {"kernel": np.float32([[-4]])},
}


def run(function, *arguments):
    return jax.device_get(quick.jit(function)(*arguments))


@pytest.mark.parametrize(
    ("penalty", "value", "gradient"),
    [
        (losses.l2_regularization, 30.0, lambda w: 2 * w),
        (losses.l1_regularization, 10.0, np.sign),
    ],
)
def test_kernels_only(penalty, value, gradient):
    actual, gradients = run(jax.value_and_grad(penalty), PARAMS)
    np.testing.assert_allclose(actual, value)
    expected = jax.tree.map(lambda w: gradient(w) if w.ndim > 1 else 0 * w, PARAMS)
    chex.assert_trees_all_close(gradients, expected)


def test_biases_by_head_and_stacked_scales_are_no_kernels():
    params = {
        "query": {"kernel": np.ones((4, 2, 2), np.float32), "bias": np.ones((2, 2), np.float32)},
        "norms": {"scale": np.ones((3, 4), np.float32)},
    }
    np.testing.assert_allclose(run(losses.l2_regularization, params), 16.0)


def test_where_sees_path_and_leaf():
    def penalty(params):
        return losses.l1_regularization(params, where=lambda path, leaf: path == "stem/bias")

    np.testing.assert_allclose(run(penalty, PARAMS), 20.0)


def test_sums_are_at_least_float32():
    kernel = np.append(2.0, np.ones(4095)).astype(jnp.bfloat16).reshape(64, 64)
    penalty = run(losses.l2_regularization, {"kernel": kernel})
    assert penalty.dtype == np.float32
    assert penalty == 4099


@pytest.mark.parametrize(
    ("params", "named"), [(PARAMS, r"stem/kernel \(2, 2\)"), ({}, "none at all")]
)
def test_a_penalty_on_nothing_is_an_error(params, named):
    def penalty(params):
        return losses.l2_regularization(params, where=lambda path, leaf: "attention" in path)

    with pytest.raises(ValueError, match=named):
        jax.eval_shape(penalty, params)
