"""The step of tasks with one loss and one optimizer: gradients, update, moving average."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from jaxvision.train._arguments import check_loss_fn, check_optimizer
from jaxvision.train._diagnosis import numbers_not_finite
from jaxvision.train._frozen import frozen_batch_norms
from jaxvision.train._gradients import gradients, mean_of
from jaxvision.train.optimizers import Optimizer
from jaxvision.train.protocols import ContextLossFn, LossFn, Metrics
from jaxvision.train.selection import combine, partition, select
from jaxvision.train.state import TrainState

PyTree = Any


@dataclasses.dataclass(frozen=True, eq=False)
class TrainStep:
    """A step made by `make_train_step`: call it, compile it, or pass it to `fit`."""

    loss_fn: LossFn | ContextLossFn
    optimizer: optax.GradientTransformation
    trainable: tuple[str, ...] | None = None
    frozen: tuple[str, ...] = ()
    ema_decay: float | None = None
    accumulate_steps: int = 1
    axis_name: str | None = None
    context: Callable[[TrainState], PyTree] | None = None

    def __call__(
        self, state: TrainState, batch: Any, *, context: PyTree = None
    ) -> tuple[TrainState, Metrics]:
        """Updates the state by one batch.

        Args:
            state: A state made ready by `prepare`.
            batch: The input of the loss function; its leaves have the rows along their first axis.
            context: A further input of the loss, such as the parameters of another network; only
                for a step that was made without `context`.

        Returns:
            The new state, and the metrics summed over the whole batch: those of the loss function,
            `gradient_norm` (the global norm of the gradient before the optimizer changes it), and
            `learning_rate` with an optimizer of `create_optimizer`.
        """
        _check_state(state)
        key = jax.random.fold_in(state.key, state.step)
        if self.axis_name is not None:
            key = jax.random.fold_in(key, jax.lax.axis_index(self.axis_name))
        trainable, frozen = self._split(state.params)
        self._check(state, trainable)
        seen = self._seen(state, context)
        given: Callable[..., Any] = self.loss_fn

        def loss_fn(
            trainable: PyTree, model_state: PyTree, batch: Any, key: Key[Array, ""]
        ) -> Any:  # the result of the user's function is checked where it is unpacked
            with frozen_batch_norms(frozen):
                return given(combine(trainable, frozen), model_state, batch, key, **seen)

        grads, model_state, metrics = gradients(
            loss_fn,
            trainable,
            state.model_state,
            batch,
            key,
            accumulate_steps=self.accumulate_steps,
            axis_name=self.axis_name,
        )
        measured = self._measured(grads, state.step)
        loss, weight = metrics["loss"]
        updates, opt_state = optax.with_extra_args_support(self.optimizer).update(
            grads, state.opt_state, trainable, value=mean_of(loss, weight)
        )
        params = combine(optax.apply_updates(trainable, updates), frozen)
        ema_params = state.ema_params
        if self.ema_decay is not None:
            # Averages about the last tenth of the steps, until `ema_decay` averages fewer.
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
        own = {name: sums for name, sums in measured.items() if name not in metrics}
        return state, {**metrics, **own}

    def prepare(self, state: TrainState) -> TrainState:
        """Makes a state ready for this step; a state that is ready is returned unchanged.

        The moving average starts at the parameters, or is dropped if this step has no `ema_decay`.
        An optimizer state over all parameters is replaced by a new one over the trainable
        parameters. `fit` calls this itself.

        Raises:
            TypeError: It is no state.
            ValueError: A pattern of `trainable` matches no parameter, or the optimizer state is
                that of another optimizer or of other trainable parameters.
        """
        _check_state(state)
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
        """Returns the options of the step and, under `loss`, those of the loss, for a run's record.

        The `task`, `models` and `inputs` that the loss describes are moved to the top level.
        """
        loss = dict(self.loss_fn.describe()) if hasattr(self.loss_fn, "describe") else {}
        shared = {name: loss.pop(name) for name in ("task", "models", "inputs") if name in loss}
        return {
            **shared,
            "loss": loss,
            "trainable": None if self.trainable is None else list(self.trainable),
            "frozen": list(self.frozen),
            "ema_decay": self.ema_decay,
            "accumulate_steps": self.accumulate_steps,
        }

    def diagnose(self, batch: Any) -> str | None:
        """Explains why the loss of a batch on the host is not finite.

        Returns:
            A sentence: that of the loss function's own `diagnose(batch)`, if it has one, else about
            numbers in the batch that are not finite. None if nothing is found.
        """
        sentence: str | None = getattr(self.loss_fn, "diagnose", numbers_not_finite)(batch)
        return sentence

    def _measured(self, grads: PyTree, step: Array) -> Metrics:
        """The metrics of the update itself."""
        one = jnp.ones(())
        measured: dict[str, Any] = {"gradient_norm": (optax.tree.norm(grads), one)}
        if isinstance(self.optimizer, Optimizer):
            rate = self.optimizer.learning_rate
            measured["learning_rate"] = (jnp.asarray(rate(step) if callable(rate) else rate), one)
        return measured

    def _seen(self, state: TrainState, context: PyTree) -> dict[str, PyTree]:
        """Further arguments of the loss, by name."""
        if self.context is not None:
            if context is not None:
                raise ValueError(
                    "this step makes its context of its own state; call it as step(state, batch), "
                    "or make it without context=..."
                )
            context = self.context(state)
        return {} if context is None else {"context": context}

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
    loss_fn: LossFn | ContextLossFn,
    optimizer: optax.GradientTransformation,
    *,
    trainable: Sequence[str] | None = None,
    frozen: Sequence[str] = (),
    ema_decay: float | None = None,
    accumulate_steps: int = 1,
    axis_name: str | None = None,
    context: Callable[[TrainState], PyTree] | None = None,
) -> TrainStep:
    """Makes the step of any task that has one loss and one optimizer.

    Args:
        loss_fn: The task's loss; see `LossFn` and `ContextLossFn`.
        optimizer: An Optax optimizer; clipping is part of its chain. Its update may use the `value`
            of the loss, as `optax.contrib.reduce_on_plateau` does, but not a function to search
            along (`optax.lbfgs`).
        trainable: Regular expressions over parameter paths, as in `select`; None trains all
            parameters. The others are frozen: they have no gradient and no optimizer state, and a
            frozen BatchNorm normalizes by its running statistics, which do not change.
        frozen: Regular expressions of parameters that are frozen even if `trainable` matches them.
        ema_decay: If given, `state.ema_params` follows the parameters as
            `decay * ema + (1 - decay) * params`, where `decay` is the smaller of `ema_decay` and
            `(1 + t) / (10 + t)` after t steps. Without this ramp, a short run's average is mostly
            the initial parameters: with 0.999, 37% of it after 1,000 steps.
        accumulate_steps: Computes the gradient of a batch in this many parts, one after the other,
            to save memory. Row i goes to part `i % accumulate_steps`, so that a batch that is
            sharded over devices needs no exchange.
        axis_name: The `pmap` axis to average over; None under `jit`.
        context: Makes a further input of the loss, its keyword `context`, from the state:
            `lambda state: state.ema_params` for a mean teacher. It is not split with the batch, and
            no gradient flows through it. Inputs that are not in the state (a teacher, the other
            network of a GAN) are passed at each call instead: `step(state, batch, context=...)`.
            None takes the loss's own method `context(state)`, if it has one.

    Returns:
        The step, a pure function `(state, batch) -> (state, metrics)`.

    Raises:
        TypeError: The loss or the optimizer is none.
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
    check_loss_fn(loss_fn)
    check_optimizer(optimizer)
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
        context=getattr(loss_fn, "context", None) if context is None else context,
    )


def _check_state(state: Any) -> None:
    if not hasattr(state, "opt_state"):
        raise TypeError(
            f"this step needs a whole TrainState, got {type(state).__name__}: "
            "init_state(key, model, optimizer, batch) makes one"
        )


def _move_average(average: PyTree, params: PyTree, decay: Float[Array, ""]) -> PyTree:
    """`decay * average + (1 - decay) * params`, in a form that keeps a constant exactly."""
    return jax.tree.map(lambda old, new: old + (1.0 - decay) * (new - old), average, params)


def _copy(tree: PyTree) -> PyTree:
    return jax.tree.map(jnp.copy, tree)
