import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import losses

PARAMS = {
    "stem": {"kernel": jnp.array([[1.0, -2.0], [0.0, 3.0]]), "bias": jnp.array([10.0, 10.0])},
    "norm": {"scale": jnp.array([7.0])},
    "head": {"kernel": jnp.array([[-4.0]])},
}


@pytest.mark.parametrize(
    ("penalty", "value", "gradient"),
    [
        (losses.l2_regularization, 30.0, lambda w: 2 * w),
        (losses.l1_regularization, 10.0, jnp.sign),
    ],
)
def test_kernels_only(penalty, value, gradient):
    actual, gradients = jax.jit(jax.value_and_grad(penalty))(PARAMS)
    np.testing.assert_allclose(actual, value)
    expected = jax.tree.map(lambda w: gradient(w) if w.ndim > 1 else 0 * w, PARAMS)
    chex.assert_trees_all_close(gradients, expected)


def test_biases_by_head_and_stacked_scales_are_no_kernels():
    params = {
        "query": {"kernel": jnp.ones((4, 2, 2)), "bias": jnp.ones((2, 2))},
        "norms": {"scale": jnp.ones((3, 4))},
    }
    np.testing.assert_allclose(losses.l2_regularization(params), 16.0)


def test_where_sees_path_and_leaf():
    penalty = losses.l1_regularization(PARAMS, where=lambda path, leaf: path == "stem/bias")
    np.testing.assert_allclose(penalty, 20.0)


def test_sums_are_at_least_float32():
    params = {"kernel": jnp.ones((64, 64), jnp.bfloat16).at[0, 0].set(2.0)}
    penalty = losses.l2_regularization(params)
    assert penalty.dtype == jnp.float32
    assert penalty == 4099


@pytest.mark.parametrize(
    ("params", "named"), [(PARAMS, r"stem/kernel \(2, 2\)"), ({}, "none at all")]
)
def test_a_penalty_on_nothing_is_an_error(params, named):
    with pytest.raises(ValueError, match=named):
        losses.l2_regularization(params, where=lambda path, leaf: "attention" in path)
