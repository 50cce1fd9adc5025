"""What these losses share."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer


def at_least_float32(values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The same values, in float32 where their type is narrower."""
    values = jnp.asarray(values)
    return values.astype(jnp.result_type(values, jnp.float32))


def same_shapes(**arrays: Array) -> None:
    """Makes sure that arrays have one shape: broadcasting would make pairs of all rows.

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
    """The value of each row's action; NaN for an action that there is not.

    A masked sum, because the gradient of an indexed read is a scatter, which is slow on a CPU.

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
    """The row of each action, as `chosen`.

    >>> print(chosen_distribution(jnp.array([[[1.0, 2.0], [3.0, 4.0]]]), jnp.array([1])))
    [[3. 4.]]
    """
    return chosen(
        values.swapaxes(-1, -2),
        jnp.broadcast_to(actions[..., None], (*actions.shape, values.shape[-1])),
    )
