"""Penalties on the size of the parameters, to add to a loss."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxvision._trees import by_path

Where = Callable[[str, Array], bool]
"""`where(path, leaf)`: whether to penalize a parameter such as `"stage1_block0/conv1/kernel"`."""


def is_kernel(path: str, leaf: Array | jax.ShapeDtypeStruct) -> bool:
    """Whether regularization should shrink a parameter: weights yes, biases and scales no.

    The rule is "two or more dimensions and not named `bias` or `scale`", since biases of attention
    and of stacked layers have two dimensions. It also selects position embeddings.

    Args:
        path: The parameter's path in the tree, such as `"stage1_block0/conv1/conv/kernel"`.
        leaf: The parameter, or its shape.

    >>> is_kernel("head/kernel", jnp.ones((3, 2))), is_kernel("head/bias", jnp.ones(2))
    (True, False)
    """
    return jnp.ndim(leaf) >= 2 and path.rpartition("/")[2] not in ("bias", "scale")


def l2_regularization(
    params: PyTree[Float[Array, "..."]], *, where: Where = is_kernel
) -> Float[Array, ""]:
    """The sum of the squared parameters, R(W) = sum of w**2.

    There is no factor of one half: the gradient is 2w, and with plain gradient descent
    `strength * l2_regularization(params)` is a weight decay of `2 * strength`. For an elastic net,
    add `l1_regularization`.

    Args:
        params: A tree of parameters.
        where: Which leaves to sum, given path and leaf; by default those of `is_kernel`.

    Raises:
        ValueError: `where` selects no leaf.

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

    The gradient is the sign of the parameter, and 0 at 0. For arguments and errors, see
    `l2_regularization`.

    Reference: Tibshirani, Regression shrinkage and selection via the lasso, JRSS B 58, 1996.

    >>> params = {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.array([5.0])}
    >>> print(l1_regularization(params))
    3.0
    """
    # The gradient of `jnp.abs` is 1 at 0: it would move parameters away from 0 again.
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
