"""Penalties on the size of the parameters, to be added to a loss."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxvision._trees import by_path

Where = Callable[[str, Array], bool]
"""`where(path, leaf)`: whether a parameter such as `"stage1_block0/conv1/kernel"` is penalised."""


def is_kernel(path: str, leaf: Array | jax.ShapeDtypeStruct) -> bool:
    """Whether a parameter is a weight that regularization shrinks, rather than a bias or scale.

    Most biases and scales have one dimension; those of attention have one per head more, those of
    layers that are stacked one per layer. The rule also takes position embeddings.

    Args:
        path: Its place in the tree, such as `"stage1_block0/conv1/conv/kernel"`.
        leaf: The parameter, or its shape.

    Returns:
        True for two or more dimensions and a name other than `bias` and `scale`.

    >>> is_kernel("head/kernel", jnp.ones((3, 2))), is_kernel("head/bias", jnp.ones(2))
    (True, False)
    """
    return jnp.ndim(leaf) >= 2 and path.rpartition("/")[2] not in ("bias", "scale")


def l2_regularization(
    params: PyTree[Float[Array, "..."]], *, where: Where = is_kernel
) -> Float[Array, ""]:
    """The sum of the squares of the parameters, R(W) = sum of w**2.

    There is no factor of one half: the gradient is 2w, and `strength * l2_regularization(params)`
    under plain gradient descent is a weight decay of `2 * strength`. An elastic net is the weighted
    sum of this and `l1_regularization`.

    Args:
        params: Any tree of parameters.
        where: Which leaves count, given path and leaf; by default as `is_kernel` says.

    Returns:
        The sum, float32 at least.

    Raises:
        ValueError: No leaf counts: a penalty on nothing is a mistake that makes no noise.

    Reference: Krogh and Hertz, A simple weight decay can improve generalization, NIPS 1991.

    >>> params = {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.array([5.0])}
    >>> print(l2_regularization(params))
    5.0
    >>> print(l2_regularization(params, where=lambda path, leaf: path == "bias"))
    25.0
    """
    return _sum(jnp.square, params, where)


def l1_regularization(
    params: PyTree[Float[Array, "..."]], *, where: Where = is_kernel
) -> Float[Array, ""]:
    """The sum of the absolute values of the parameters, R(W) = sum of |w|.

    The gradient is the sign of the parameter, and 0 at 0.

    Args:
        params: Any tree of parameters.
        where: Which leaves count, given path and leaf; by default as `is_kernel` says.

    Returns:
        The sum, float32 at least.

    Raises:
        ValueError: No leaf counts.

    Reference: Tibshirani, Regression shrinkage and selection via the lasso, Journal of the Royal
    Statistical Society B 58, 1996.

    >>> params = {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.array([5.0])}
    >>> print(l1_regularization(params))
    3.0
    """
    # The gradient of `jnp.abs` is 1 at 0: it would push away what the penalty has brought to 0.
    return _sum(lambda w: w * jnp.sign(w), params, where)


def _sum(
    measure: Callable[[Array], Array], params: PyTree[Float[Array, "..."]], where: Where
) -> Float[Array, ""]:
    named = by_path(params)
    chosen = [leaf for name, leaf in named.items() if where(name, leaf)]
    if not chosen:
        raise ValueError(
            "`where` picks none of the parameters; they are: "
            + (", ".join(f"{name} {leaf.shape}" for name, leaf in named.items()) or "none at all")
        )
    dtype = jnp.result_type(jnp.float32, *chosen)
    return sum((jnp.sum(measure(leaf.astype(dtype))) for leaf in chosen), jnp.zeros((), dtype))
