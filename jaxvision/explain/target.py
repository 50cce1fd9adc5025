"""The score that is explained: a logit of each row, or a function of the logits."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

Logits = Float[Array, "batch classes"]
Score = Callable[[Any], Float[Array, " batch"]]
Target = int | Integer[Array, " batch"] | Integer[np.ndarray, " batch"] | Score | None
"""What is explained: None for the class with the highest logit of each row, a class for all rows or
one per row, or a function from the outputs of `f` to one number per row."""


def score_of(outputs: Any, target: Target) -> Score:
    """Fixes the score to explain, so that it stays the same while the images are changed.

    Args:
        outputs: Outputs of `f` for the original images; logits, unless the target is a function.
        target: The target.

    Returns:
        A function from outputs to one score per row.

    Raises:
        ValueError: `outputs` are not logits of the shape (batch, classes), the number of targets is
            not that of the rows, or a class does not exist.

    >>> logits = jnp.array([[1.0, 3.0], [5.0, 4.0]])
    >>> score_of(logits, None)(logits).tolist(), score_of(logits, 1)(logits).tolist()
    ([3.0, 5.0], [3.0, 4.0])
    """
    if callable(target):
        return target
    if getattr(outputs, "ndim", None) != 2:
        shape = getattr(outputs, "shape", type(outputs).__name__)
        raise ValueError(
            f"f must return logits of the shape (batch, classes), got {shape}; give a function of "
            "its outputs as target"
        )
    rows, classes = outputs.shape
    if target is None:
        chosen = jax.lax.stop_gradient(outputs).argmax(axis=1)
    else:
        chosen = jnp.broadcast_to(
            jnp.asarray(target), (rows,) if np.ndim(target) == 0 else np.shape(target)
        )
        if chosen.shape != (rows,):
            raise ValueError(
                f"target must have one class per row, {rows}, got the shape {chosen.shape}"
            )
        if not isinstance(target, jax.core.Tracer):
            numbers = np.asarray(target)
            outside = numbers[(numbers < 0) | (numbers >= classes)]
            if outside.size:
                raise ValueError(
                    f"target must be a class from 0 to {classes - 1}, got {outside.flat[0]}"
                )
    return lambda logits: jnp.take_along_axis(logits, chosen[:, None], axis=1)[:, 0]
