"""Input checks and action lookup shared by the losses of agents."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer


def at_least_float32(values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Converts half precision to float32; wider types stay."""
    values = jnp.asarray(values)
    return values.astype(jnp.result_type(values, jnp.float32))


def same_shapes(**arrays: Array) -> None:
    """Raises ValueError unless all arrays have one shape; they must not broadcast.

    >>> same_shapes(values=jnp.ones((2, 1)), rewards=jnp.ones(2))
    Traceback (most recent call last):
    ValueError: shapes must be the same, got values (2, 1), rewards (2,)
    """
    if len({np.shape(array) for array in arrays.values()}) > 1:
        listed = ", ".join(f"{name} {np.shape(array)}" for name, array in arrays.items())
        raise ValueError(f"shapes must be the same, got {listed}")


def chosen(
    values: Float[Array, "*batch actions"], actions: Integer[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """The value of each row's action, NaN if the action is out of range.

    It is a masked sum because the gradient of indexing is a scatter, which is slow on CPUs.

    >>> print(chosen(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([1, 2])))
    [ 2. nan]
    """
    if actions.shape != values.shape[:-1]:
        raise ValueError(
            f"there must be one action for each row of values, got shapes {actions.shape} and "
            f"{values.shape}"
        )
    num_actions = values.shape[-1]
    is_chosen = actions[..., None] == jnp.arange(num_actions)
    known = (actions >= 0) & (actions < num_actions)
    return jnp.where(known, jnp.where(is_chosen, values, 0).sum(-1), jnp.nan)


def chosen_distribution(
    values: Float[Array, "*batch actions atoms"], actions: Integer[Array, "*batch"]
) -> Float[Array, "*batch atoms"]:
    """The distribution of each row's action, NaN if the action is out of range.

    >>> print(chosen_distribution(jnp.array([[[1.0, 2.0], [3.0, 4.0]]]), jnp.array([1])))
    [[3. 4.]]
    """
    return chosen(
        values.swapaxes(-1, -2),
        jnp.broadcast_to(actions[..., None], (*actions.shape, values.shape[-1])),
    )
