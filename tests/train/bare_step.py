"""Steps and states without a model, and one model whose rows do not see each other."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import small_net

from jaxvision import train

BATCH = {"image": np.arange(1.0, 5.0, dtype=np.float32)}


def make(
    loss_fn: Callable,
    optimizer: optax.GradientTransformation,
    params: Any,
    model_state=None,
    **options,
) -> tuple[train.TrainState, train.TrainStep]:
    """A step, and a state that is ready for it, without a model."""
    state = train.TrainState(
        step=jnp.int32(0),
        params=params,
        model_state={} if model_state is None else model_state,
        opt_state=optimizer.init(params),
        ema_params=None,
        key=jax.random.key(0),
    )
    step = train.make_train_step(loss_fn, optimizer, **options)
    return step.prepare(state), step


def distance(params, model_state, batch, key):
    """How far a point is from the mean of the batch; its gradient is the difference."""
    loss = ((params["w"] - batch["image"].mean()) ** 2).sum() / 2
    return loss, (model_state, {})


def noise(params, model_state, batch, key):
    """A loss whose gradient is random."""
    draw = jax.random.normal(key, params["w"].shape)
    return (draw * params["w"]).sum(), (model_state, {"draw": (draw.sum(), jnp.ones(()))})


def assert_equal(one, other) -> None:
    jax.tree.map(np.testing.assert_array_equal, small_net.numbers(one), small_net.numbers(other))


def assert_close(one, other, tolerance: float) -> None:
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=tolerance),
        small_net.numbers(one),
        small_net.numbers(other),
    )


class LinearNet(nn.Module):
    """A model whose rows do not see each other."""

    @nn.compact
    def __call__(self, x, train=False):
        return nn.Dense(10, name="head")(jnp.tanh(nn.Dense(16)(x.reshape(len(x), -1))))
