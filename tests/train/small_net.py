"""A small problem that has everything a step can have."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxvision import data, train

PyTree = Any


@functools.cache
def digits(split: str = "train") -> data.Dataset:
    """Real data, decoded once in a process."""
    return data.load("digits", split)


class SmallNet(nn.Module):
    """A convolution with BatchNorm, dropout and a large enough kernel to be worth cutting."""

    dropout: float = 0.0
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = nn.Conv(8, (3, 3), name="stem")(x)
        x = nn.BatchNorm(
            use_running_average=not train, momentum=0.9, axis_name=self.axis_name, name="norm"
        )(x)
        x = nn.relu(x).reshape(x.shape[0], -1)
        x = nn.relu(nn.Dense(64, name="hidden")(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(10, name="head")(x)


def batches(count: int, *, size: int = 32, dtype: Any = np.float32, seed: int = 0) -> list[dict]:
    """Batches whose last rows are padding, a different number in each."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(count):
        weight = np.ones(size, dtype)
        weight[size - index % 5 :] = 0
        made.append(
            {
                "image": rng.normal(size=(size, 8, 8, 1)).astype(dtype),
                "label": rng.integers(0, 10, size),
                "weight": weight,
            }
        )
    return made


def make(
    *,
    dropout: float = 0.0,
    augment: Any = None,
    axis_name: str | None = None,
    accumulate_steps: int = 2,
    dtype: Any = np.float32,
    num_steps: int | None = None,
    **options: Any,
) -> tuple[train.TrainState, train.TrainStep]:
    """A state and a step with BatchNorm, EMA and accumulation on."""
    model = SmallNet(dropout=dropout, axis_name=axis_name)
    rate = train.create_schedule("cosine", 0.05, num_steps, warmup_steps=5) if num_steps else 0.05
    tx = train.create_optimizer("momentum", rate, weight_decay=1e-3, clip_norm=5.0)
    state = train.init_state(jax.random.key(0), model, tx, np.zeros((1, 8, 8, 1), np.float32))
    if dtype != np.float32:
        state = jax.tree.map(
            lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf,
            state,
        )
    inputs = train.Inputs(augment=augment)
    loss_fn = train.classification.make_loss_fn(model, label_smoothing=0.1, inputs=inputs)
    step = train.make_train_step(
        loss_fn,
        tx,
        ema_decay=0.9,
        accumulate_steps=accumulate_steps,
        axis_name=axis_name,
        **options,
    )
    return step.prepare(state), step


def numbers(tree: PyTree) -> PyTree:
    """NumPy copies, keys included."""
    return jax.tree.map(
        lambda leaf: np.array(
            jax.random.key_data(leaf)
            if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            else leaf
        ),
        tree,
    )
