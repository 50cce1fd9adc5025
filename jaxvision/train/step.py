"""One update: gradients, optimizer, moving average."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxvision.train.diagnosis import numbers_not_finite
from jaxvision.train.frozen import frozen_batch_norms
from jaxvision.train.selection import combine, partition, select
from jaxvision.train.state import Batch, TrainState

PyTree = Any
RESERVED_METRICS = ("step", "split", "steps_per_second")
"""Names that the lines of a log use themselves."""

Metrics = dict[str, tuple[Array, Array]]
"""Pairs of sums `(total, count)`: parts of a batch, devices and processes merge by `+`."""

Step = Callable[[Any, Any], tuple[Any, Any]]
"""`(state, batch) -> (state, metrics)`: everything that learns is one."""

LossFn = Callable[[PyTree, PyTree, Any, Array], tuple[Array, tuple[PyTree, Metrics]]]
"""`loss_fn(params, model_state, batch, key) -> (loss, (model_state, metrics))`: what a task makes
from a model, and `make_train_step` turns into a step.

The loss is a mean over the batch. If `metrics` has `"loss"`, it is the pair of the loss times its
denominator, and that denominator: the parts of a batch that are computed apart (accumulation,
devices under `pmap`) are then weighed by it, and the result is that of the whole batch, padding or
not. Without it the parts weigh the same. A loss function with a method `describe() -> dict` tells
`settings.json` what it is."""


@dataclasses.dataclass(frozen=True, eq=False)
class TrainStep:
    """A step made by `make_train_step`: call it, compile it, or give it to `fit`."""

    loss_fn: LossFn
    optimizer: optax.GradientTransformation
    trainable: tuple[str, ...] | None = None
    frozen: tuple[str, ...] = ()
    ema_decay: float | None = None
    accumulate_steps: int = 1
    axis_name: str | None = None

    def __call__(self, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Updates the state by one batch.

        Args:
            state: A state made ready by `prepare`.
            batch: What the loss function takes; leaves have the batch along their first axis.

        Returns:
            The new state, and the metrics summed over the whole batch.
        """
        key = jax.random.fold_in(state.key, state.step)
        if self.axis_name is not None:
            key = jax.random.fold_in(key, jax.lax.axis_index(self.axis_name))
        trainable, frozen = self._split(state.params)
        self._check(state, trainable)

        def loss_fn(
            trainable: PyTree, model_state: PyTree, batch: Batch, key: Key[Array, ""]
        ) -> Any:  # what the user's function gives is checked where it is taken apart
            with frozen_batch_norms(frozen):
                return self.loss_fn(combine(trainable, frozen), model_state, batch, key)

        gradients, model_state, metrics = _gradients(
            loss_fn,
            trainable,
            state.model_state,
            batch,
            key,
            accumulate_steps=self.accumulate_steps,
            axis_name=self.axis_name,
        )
        loss, weight = metrics["loss"]
        updates, opt_state = optax.with_extra_args_support(self.optimizer).update(
            gradients, state.opt_state, trainable, value=_mean(loss, weight)
        )
        params = combine(optax.apply_updates(trainable, updates), frozen)
        ema_params = state.ema_params
        if self.ema_decay is not None:
            # After t steps an average of the last tenth of them, until that is longer than asked.
            decay = jnp.minimum(self.ema_decay, (1.0 + state.step) / (10.0 + state.step))
            ema_params = _move_average(ema_params, params, decay)
        state = TrainState(
            step=state.step + 1,
            params=params,
            model_state=model_state,
            opt_state=opt_state,
            ema_params=ema_params,
            key=state.key,
        )
        return state, metrics

    def prepare(self, state: TrainState) -> TrainState:
        """Makes a state ready for this step; a state that is ready comes back as it is.

        The moving average starts at the parameters, or is dropped if this step keeps none. An
        optimizer's state over all parameters starts anew over those that are trainable. `fit` does
        this by itself.

        Args:
            state: What `init_state` gave, or a state of another step on the same model.

        Returns:
            The state that the step takes.

        Raises:
            ValueError: A pattern of `trainable` matches no parameter, or the optimizer's state is
                another optimizer's, or that of other trainable parameters.
        """
        if self.ema_decay is None and state.ema_params is not None:
            state = state.replace(ema_params=None)
        if self.ema_decay is not None and state.ema_params is None:
            state = state.replace(ema_params=jax.jit(_copy)(state.params))
        trainable, _ = self._split(state.params)
        fits = self._is_opt_state(state.opt_state, trainable)
        if not fits and self._is_opt_state(state.opt_state, state.params):
            state = state.replace(opt_state=jax.jit(self.optimizer.init)(trainable))
        self._check(state, trainable)
        return state

    def describe(self) -> dict[str, Any]:
        """What defines this step, as far as it can be told, for `settings.json`.

        Returns:
            A JSON-able dict: the options, and what the loss function says of itself.
        """
        described: dict[str, Any] = {
            "trainable": None if self.trainable is None else list(self.trainable),
            "frozen": list(self.frozen),
            "ema_decay": self.ema_decay,
            "accumulate_steps": self.accumulate_steps,
        }
        if hasattr(self.loss_fn, "describe"):
            described |= self.loss_fn.describe()
        return described

    def diagnose(self, batch: Batch) -> str | None:
        """Says why the loss of a batch is not finite, if the batch shows it.

        Args:
            batch: The batch, on the host.

        Returns:
            A sentence from the loss function's own `diagnose(batch)`, if it has one, or else about
            numbers in the batch that are not finite; None if nothing is found.
        """
        sentence: str | None = getattr(self.loss_fn, "diagnose", numbers_not_finite)(batch)
        return sentence

    def _split(self, params: PyTree) -> tuple[PyTree, PyTree]:
        mask = jax.tree.map(lambda _: True, params)
        if self.trainable is not None:
            mask = select(params, self.trainable)
        if self.frozen:
            frozen = select(params, self.frozen)
            mask = jax.tree.map(lambda one, other: one and not other, mask, frozen)
            if not any(jax.tree.leaves(mask)):
                raise ValueError(
                    f"nothing would learn: frozen={self.frozen} leaves none of trainable="
                    f"{self.trainable or 'all'}"
                )
        return partition(params, mask)

    def _is_opt_state(self, opt_state: PyTree, params: PyTree) -> bool:
        structures: list[Any] = [
            jax.tree.structure(tree)
            for tree in (opt_state, jax.eval_shape(self.optimizer.init, params))
        ]
        return bool(structures[0] == structures[1])

    def _check(self, state: TrainState, trainable: PyTree) -> None:
        if self.ema_decay is not None and state.ema_params is None:
            raise ValueError(
                f"this step averages parameters (ema_decay={self.ema_decay}) and the state has no "
                "ema_params: call state = step.prepare(state) once before the first step"
            )
        if self.ema_decay is None and state.ema_params is not None:
            raise ValueError(
                "the state has ema_params, which this step would leave behind (ema_decay=None): "
                "make the step with an ema_decay, or drop them with state = step.prepare(state)"
            )
        if not self._is_opt_state(state.opt_state, trainable):
            raise ValueError(
                "the optimizer state is not that of this step's optimizer and trainable "
                "parameters: build the state with init_state(key, model, optimizer, batch) and the "
                "same optimizer, or give a trained one the optimizer's first state, "
                "state.replace(opt_state=optimizer.init(state.params)); then call "
                "state = step.prepare(state)"
            )


def make_train_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    *,
    trainable: Sequence[str] | None = None,
    frozen: Sequence[str] = (),
    ema_decay: float | None = None,
    accumulate_steps: int = 1,
    axis_name: str | None = None,
) -> TrainStep:
    """Makes the step of any task that has one loss and one optimizer.

    Args:
        loss_fn: The task's loss; see `LossFn`.
        optimizer: An Optax optimizer; clipping belongs in its chain. Its update may take the
            `value` of the loss, as `optax.contrib.reduce_on_plateau` does, but not a function to
            search along (`optax.lbfgs`).
        trainable: Regular expressions over parameter paths, as in `select`. The other parameters
            stay as they are: they have no gradient and no optimizer state, and a BatchNorm among
            them normalizes by its running statistics, which do not move. None trains all.
        frozen: Regular expressions too: parameters that stay as they are though `trainable` may
            match them.
        ema_decay: If given, `state.ema_params` follows the parameters as
            `decay * ema + (1 - decay) * params`, with the smaller of this and `(1 + t) / (10 + t)`
            for a decay after t steps. Without that ramp a short run's average is mostly the
            initial parameters: with 0.999, 37% of it after 1,000 steps.
        accumulate_steps: Computes the gradient of a batch in so many parts, one after the other, to
            save memory. Row i goes to part `i % accumulate_steps`, so that a batch that is cut over
            devices needs no exchange.
        axis_name: The `pmap` axis to average over; under `jit` leave it None.

    Returns:
        The step, a pure function `(state, batch) -> (state, metrics)`.

    Raises:
        ValueError: An option is out of its range.

    >>> import jax.numpy as jnp
    >>> def loss_fn(params, model_state, batch, key):
    ...     loss = (params["w"] - batch["image"]).mean() ** 2
    ...     return loss, (model_state, {})
    >>> step = make_train_step(loss_fn, optax.sgd(0.25))
    >>> params = {"w": jnp.zeros(())}
    >>> state = TrainState(step=jnp.int32(0), params=params, model_state={},
    ...                    opt_state=optax.sgd(0.25).init(params), ema_params=None,
    ...                    key=jax.random.key(0))
    >>> state, metrics = jax.jit(step)(state, {"image": jnp.ones(4)})
    >>> float(state.params["w"]), float(metrics["loss"][0])
    (0.5, 1.0)
    """
    for name, patterns in (("trainable", trainable), ("frozen", frozen)):
        if isinstance(patterns, str):
            raise ValueError(f"{name} must be a sequence of strings; write [{patterns!r}]")
    if trainable is not None and not trainable:
        raise ValueError("trainable is empty, so that nothing would learn; None trains all")
    if accumulate_steps < 1:
        raise ValueError(f"accumulate_steps must be at least 1, got {accumulate_steps}")
    if ema_decay is not None and not 0.0 <= ema_decay < 1.0:
        raise ValueError(f"ema_decay must be in [0, 1), got {ema_decay}; 0.999 is usual")
    return TrainStep(
        loss_fn=loss_fn,
        optimizer=optimizer,
        trainable=None if trainable is None else tuple(trainable),
        frozen=tuple(frozen),
        ema_decay=ema_decay,
        accumulate_steps=accumulate_steps,
        axis_name=axis_name,
    )


def check_metrics(metrics: Any) -> None:
    """Checks that metrics are pairs of sums.

    Args:
        metrics: What a loss function or a step gave.

    Raises:
        TypeError: One is something else.
        ValueError: One has a name that the lines of a log use themselves.

    >>> check_metrics({"loss": (jnp.array(6.0), 4)})
    """
    if not isinstance(metrics, Mapping):
        raise TypeError(f"metrics must be a dict of pairs of sums, got {type(metrics).__name__}")
    for name, pair in metrics.items():
        if name in RESERVED_METRICS:
            raise ValueError(f"a metric must not be called {name!r}, which a log uses itself")
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(
                f"metric {name!r} must be a pair of sums (total, count); the mean m over n rows "
                "is (m * n, n)"
            )


def _gradients(
    loss_fn: LossFn,
    params: PyTree,
    model_state: PyTree,
    batch: Batch,
    key: Key[Array, ""],
    *,
    accumulate_steps: int,
    axis_name: str | None,
) -> tuple[PyTree, PyTree, Metrics]:
    """The gradient of the mean loss over all parts of a batch and all devices of the axis."""
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
    return jax.tree.map(lambda total: _mean(total, weight), sums), model_state, metrics


def _part(
    loss_fn: LossFn, params: PyTree, model_state: PyTree, batch: Batch, key: Key[Array, ""]
) -> tuple[PyTree, Float[Array, ""], PyTree, Metrics]:
    """The gradient of a part's loss times its weight, that weight, and the rest.

    The weight goes in before the gradient is taken, because with a BatchNorm over several devices
    the loss of one depends on the rows of all.
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
    loss_fn: LossFn,
    params: PyTree,
    model_state: PyTree,
    batch: Batch,
    key: Key[Array, ""],
    parts: int,
) -> tuple[PyTree, Float[Array, ""], PyTree, Metrics]:
    """Sums gradients, weights and metrics over the parts; the model state passes through them."""
    stacked = jax.tree.map(lambda leaf: _interleave(leaf, parts), batch)

    def body(
        carry: tuple[PyTree, PyTree], part: tuple[Batch, Array]
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


def _interleave(leaf: ArrayLike, parts: int) -> Array:
    """Row i of a batch becomes row `i // parts` of part `i % parts`."""
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


def _mean(total: Array, weight: Float[Array, ""]) -> Array:
    """`total / weight`, and 0 for a batch of padding alone, which has weight 0."""
    divided = jnp.where(weight == 0, 0.0, total / jnp.where(weight == 0, 1.0, weight))
    return divided.astype(total.dtype)


def _move_average(average: PyTree, params: PyTree, decay: Float[Array, ""]) -> PyTree:
    """`decay * average + (1 - decay) * params`, in a form that keeps a constant exactly."""
    return jax.tree.map(lambda old, new: old + (1.0 - decay) * (new - old), average, params)


def _copy(tree: PyTree) -> PyTree:
    return jax.tree.map(jnp.copy, tree)
