"""Gradients of a mean loss over a batch, computed whole or in parts."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxvision.train.protocols import check_metrics

PyTree = Any
Metrics = dict[str, tuple[Array, Array]]


def gradients(
    loss_fn: Callable[..., Any],
    params: PyTree,
    model_state: PyTree,
    batch: Any,
    key: Key[Array, ""],
    *,
    accumulate_steps: int,
    axis_name: str | None,
) -> tuple[PyTree, PyTree, Metrics]:
    """Returns the gradient of the mean loss over parts and devices, the model state and metrics."""
    if accumulate_steps == 1:
        sums, weight, model_state, metrics = _part(loss_fn, params, model_state, batch, key)
    else:
        sums, weight, model_state, metrics = _accumulate(
            loss_fn, params, model_state, batch, key, accumulate_steps
        )
    if axis_name is not None:
        sums, weight, metrics = jax.lax.psum((sums, weight, metrics), axis_name)
        model_state = jax.tree.map(
            lambda leaf: (
                jax.lax.pmean(leaf, axis_name) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
            ),
            model_state,
        )
    return jax.tree.map(lambda total: mean_of(total, weight), sums), model_state, metrics


def _part(
    loss_fn: Callable[..., Any],
    params: PyTree,
    model_state: PyTree,
    batch: Any,
    key: Key[Array, ""],
) -> tuple[PyTree, Float[Array, ""], PyTree, Metrics]:
    """The gradient of a part's loss times its weight, that weight, the model state and metrics.

    The loss is weighted before it is differentiated because, with a BatchNorm over several devices,
    the loss of one device depends on the rows of all.
    """

    def weighted(params: PyTree) -> tuple[Array, tuple[PyTree, Metrics]]:
        match loss_fn(params, model_state, batch, key):
            case (loss, (new_model_state, metrics)):
                pass
            case _:
                raise TypeError("a loss_fn must return (loss, (model_state, metrics))")
        metrics = {"loss": (loss, jnp.ones_like(loss)), **metrics}
        check_metrics(metrics)
        metrics = {name: (jnp.asarray(a), jnp.asarray(b)) for name, (a, b) in metrics.items()}
        weight = jax.lax.stop_gradient(metrics["loss"][1]).astype(loss.dtype)
        return loss * weight, (new_model_state, metrics)

    gradients, (model_state, metrics) = jax.grad(weighted, has_aux=True)(params)
    return gradients, metrics["loss"][1], model_state, metrics


def _accumulate(
    loss_fn: Callable[..., Any],
    params: PyTree,
    model_state: PyTree,
    batch: Any,
    key: Key[Array, ""],
    parts: int,
) -> tuple[PyTree, Float[Array, ""], PyTree, Metrics]:
    """Sums gradients, weights and metrics over the parts, which pass on the model state."""
    stacked = jax.tree.map(lambda leaf: interleave(leaf, parts), batch)

    def body(
        carry: tuple[PyTree, PyTree], part: tuple[Any, Array]
    ) -> tuple[tuple[PyTree, PyTree], tuple[Array, Metrics]]:
        sums, model_state = carry
        batch, index = part
        gradients, weight, model_state, metrics = _part(
            loss_fn, params, model_state, batch, jax.random.fold_in(key, index)
        )
        sums = jax.tree.map(jnp.add, sums, gradients)
        return (sums, model_state), (weight, metrics)

    zeros = jax.tree.map(jnp.zeros_like, params)
    (sums, model_state), (weights, metrics) = jax.lax.scan(
        body, (zeros, model_state), (stacked, jnp.arange(parts))
    )
    return sums, weights.sum(), model_state, jax.tree.map(lambda leaf: leaf.sum(0), metrics)


def interleave(leaf: ArrayLike, parts: int) -> Array:
    """Splits a batch: its row i becomes row `i // parts` of part `i % parts`."""
    leaf = jnp.asarray(leaf)
    if not leaf.shape:
        raise ValueError(
            f"to be computed in {parts} parts, every leaf of a batch needs the rows along its "
            "first axis; one is a scalar"
        )
    rows = leaf.shape[0]
    if rows % parts:
        raise ValueError(f"a batch of {rows} rows does not divide into {parts} equal parts")
    return leaf.reshape(rows // parts, parts, *leaf.shape[1:]).swapaxes(0, 1)


def mean_of(total: Array, weight: Float[Array, ""]) -> Array:
    """Returns `total / weight`, or 0 for a batch of padding, whose weight is 0."""
    divided = jnp.where(weight == 0, 0.0, total / jnp.where(weight == 0, 1.0, weight))
    return divided.astype(total.dtype)
