"""The state of a training run."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Key

from jaxvision._reprs import brief
from jaxvision._trees import by_path
from jaxvision.train._arguments import check_model, check_optimizer
from jaxvision.train.sharding import ShardRule, state_shardings

PyTree = Any


class TrainState(flax.struct.PyTreeNode):
    """All arrays that change during training, and no functions.

    It can be checkpointed, sharded and donated directly. The random key of a step is
    `jax.random.fold_in(state.key, state.step)`, so that a resumed run draws the same numbers as an
    uninterrupted one. The annotations are loose because trees of this form also hold shapes and
    shardings.

    Attributes:
        step: The number of updates so far, an int32 scalar.
        params: The learned parameters.
        model_state: All other variable collections of the model, such as `batch_stats`.
        opt_state: The state of the Optax optimizer.
        ema_params: The exponential moving average of `params`, or None.
        key: The typed key from which the run's random draws derive.
    """

    step: Any
    params: PyTree
    model_state: PyTree
    opt_state: PyTree
    ema_params: PyTree | None
    key: Any

    def __repr__(self) -> str:
        return brief(self)


def init_state(
    key: Key[Array, ""],
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    inputs: Any,
    *,
    variables: Mapping[str, PyTree] | None = None,
    mesh: jax.sharding.Mesh | None = None,
    shard: ShardRule | None = None,
) -> TrainState:
    """Creates the state of a model at step 0.

    With a mesh, arrays are created on their devices: under a sharding rule, no device ever holds
    the whole of a large model.

    Args:
        key: The random key of the parameters, and of all later draws of the run.
        model: A Flax module called as `model(*inputs, train=...)`.
        optimizer: The optimizer that `make_train_step` will get.
        inputs: The model's inputs: a batch, of which `image_input` is taken; an array; or a tuple
            of arguments, such as `(batch["tokens"], image_input(batch))`. Only shapes and types
            matter; one row is enough.
        variables: Initial variables, such as those of `models.load_weights`; None draws parameters.
        mesh: The devices to create the state on; None leaves the choice to JAX.
        shard: The sharding rule, as in `parallelize`; None replicates.

    Returns:
        The state, without a moving average (`ema_params`), which `TrainStep.prepare` adds.

    Raises:
        TypeError: The key is not a typed key, the model or the optimizer is none, or an input is
            not an array.
        ValueError: The batch has no `image`, or the variables do not match the model.

    >>> import optax
    >>> from flax import linen as nn
    >>> class Tiny(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, x, train=False):
    ...         return nn.Dense(2)(x)
    >>> state = init_state(jax.random.key(0), Tiny(), optax.sgd(0.1), np.ones((1, 3)))
    >>> jax.tree.map(jnp.shape, state.params)
    {'Dense_0': {'bias': (2,), 'kernel': (3, 2)}}
    """
    if not (isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        raise TypeError(f"key must be a typed key such as jax.random.key(0), got {key!r}")
    check_model(model)
    check_optimizer(optimizer)
    arguments = _arguments(inputs)

    def create(key: Key[Array, ""], given: PyTree) -> TrainState:
        init_key, run_key = jax.random.split(key)
        if given is None:
            variables = model.init(init_key, *arguments, train=False)
        else:  # copies, because a step donates the buffers of its state
            variables = jax.tree.map(jnp.copy, given)
        model_state = {name: tree for name, tree in variables.items() if name != "params"}
        params = variables.get("params", {})
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            model_state=model_state,
            opt_state=optimizer.init(params),
            ema_params=None,
            key=run_key,
        )

    if variables is not None:
        _check_variables(
            variables, jax.eval_shape(lambda: model.init(key, *arguments, train=False))
        )
        if mesh is not None:  # as NumPy arrays, because they may be on other devices
            variables = jax.tree.map(np.asarray, variables)
    if mesh is None:
        return jax.jit(create)(key, variables)
    shardings = state_shardings(jax.eval_shape(create, key, variables), mesh, shard)
    return jax.jit(create, out_shardings=shardings)(key, variables)


def image_input(batch: Mapping[str, Any]) -> Array:
    """Returns zeros of the shape of a batch's `image`, as model input: integers become float32.

    Raises:
        ValueError: The batch has no `image`.

    >>> image_input({"image": np.zeros((1, 8, 8, 3), np.uint8)}).dtype
    dtype('float32')
    """
    if "image" not in batch:
        raise ValueError(
            f"the sample batch has no 'image'; it has {', '.join(batch) or 'nothing'}. For a model "
            "of other inputs give these, as a tuple: (batch['tokens'],)"
        )
    image = batch["image"]
    return jnp.zeros(jnp.shape(image), as_floating(jnp.result_type(image)))


def _arguments(inputs: Any) -> tuple[Any, ...]:
    """Zeros in place of the model's arguments."""
    if isinstance(inputs, Mapping):
        return (image_input(inputs),)
    arguments = inputs if isinstance(inputs, tuple) else (inputs,)
    for leaf in jax.tree.leaves(arguments, is_leaf=lambda leaf: leaf is None):
        if not hasattr(leaf, "shape"):
            raise TypeError(
                "inputs must be a batch with 'image', an array, or a tuple of arrays, and hold a "
                f"{type(leaf).__name__}; Dataset.sample_batch() gives a batch"
            )
    zeros: tuple[Any, ...] = jax.tree.map(
        lambda leaf: jnp.zeros(jnp.shape(leaf), jnp.result_type(leaf)), arguments
    )
    return zeros


def _check_variables(given: PyTree, wanted: PyTree) -> None:
    """Raises ValueError for variables whose names or shapes are not those of the model."""
    ours, theirs = (
        {path: jnp.shape(leaf) for path, leaf in by_path(tree).items()} for tree in (wanted, given)
    )
    wrong = [
        f"{name}: the model has {ours.get(name, 'none')}, the variables {theirs.get(name, 'none')}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]
    if wrong:
        raise ValueError(
            "the variables to start from are not those of the model; models.adapt_variables fits "
            "those of one with other classes, channels or sizes:\n  "
            + "\n  ".join([*wrong[:10], *(["..."] if wrong[10:] else [])])
        )


def as_floating(dtype: Any) -> Any:
    """Returns the type of a model's input: integer types become float32, floating ones stay.

    >>> as_floating(jnp.uint8)
    dtype('float32')
    """
    return jnp.dtype(dtype) if jnp.issubdtype(dtype, jnp.floating) else jnp.dtype(jnp.float32)


def evaluation_variables(state: TrainState | Mapping[str, PyTree]) -> dict[str, PyTree]:
    """Returns the variables for `model.apply`, with the averaged parameters if there are any.

    Args:
        state: A train state, or the dict of its fields that a checkpoint holds.

    >>> import optax
    >>> from flax import linen as nn
    >>> class Tiny(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, x, train=False):
    ...         return nn.Dense(2)(x)
    >>> state = init_state(jax.random.key(0), Tiny(), optax.sgd(0.1), np.ones((1, 3)))
    >>> sorted(evaluation_variables(state))
    ['params']
    """
    fields: Mapping[str, PyTree] = state if isinstance(state, Mapping) else vars(state)
    average = fields.get("ema_params")
    params = fields["params"] if average is None else average
    return {"params": params, **(fields["model_state"] or {})}
