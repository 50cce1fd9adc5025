"""Optimizers and learning-rate schedules by name, built with Optax."""

import collections
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import optax

from jaxvision._trees import path_name
from jaxvision.checks import called_as, check_name, check_not_negative, is_number
from jaxvision.losses import is_kernel
from jaxvision.suggest import unknown

PyTree = Any
LearningRate = float | Callable[[Any], Any]


class Optimizer(optax.GradientTransformationExtraArgs):
    """An Optax optimizer that exposes its learning rate, so that steps can log it.

    Attributes:
        learning_rate: A number, or a schedule from steps to numbers.
    """

    learning_rate: LearningRate

    def __new__(
        cls, transformation: optax.GradientTransformation, learning_rate: LearningRate
    ) -> "Optimizer":
        """Adds the attribute `learning_rate` to an optimizer that was made with that rate."""
        extended = optax.with_extra_args_support(transformation)
        optimizer = super().__new__(cls, extended.init, extended.update)
        optimizer.learning_rate = learning_rate
        return optimizer


def decay_mask(params: PyTree) -> PyTree:
    """Returns a tree of booleans, True for parameters with weight decay.

    These are kernels, as `losses.is_kernel` tells them; biases and normalization parameters are
    not.

    >>> import jax.numpy as jnp
    >>> decay_mask({"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)})
    {'bias': False, 'kernel': True}
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: is_kernel(path_name(path), leaf), params
    )


def _sgd(learning_rate: LearningRate) -> optax.GradientTransformation:
    return optax.sgd(learning_rate)


def _momentum(
    learning_rate: LearningRate, *, momentum: float = 0.9
) -> optax.GradientTransformation:
    return optax.sgd(learning_rate, momentum=momentum)


def _nesterov(
    learning_rate: LearningRate, *, momentum: float = 0.9
) -> optax.GradientTransformation:
    return optax.sgd(learning_rate, momentum=momentum, nesterov=True)


def _adagrad(learning_rate: LearningRate, *, eps: float = 1e-10) -> optax.GradientTransformation:
    return optax.adagrad(learning_rate, initial_accumulator_value=0.0, eps=eps)


def _rmsprop(
    learning_rate: LearningRate, *, decay: float = 0.9, eps: float = 1e-8, momentum: float = 0.0
) -> optax.GradientTransformation:
    return optax.rmsprop(
        learning_rate, decay=decay, eps=eps, momentum=momentum or None, eps_in_sqrt=False
    )


def _adam(
    learning_rate: LearningRate, *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
    return optax.adam(learning_rate, b1=beta1, b2=beta2, eps=eps)


def _adamw(
    learning_rate: LearningRate,
    *,
    weight_decay: float = 0.0,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
    return optax.adamw(
        learning_rate, b1=beta1, b2=beta2, eps=eps, weight_decay=weight_decay, mask=decay_mask
    )


_OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _nesterov,
    "adagrad": _adagrad,
    "rmsprop": _rmsprop,
    "adam": _adam,
    "adamw": _adamw,
}


@called_as("create_optimizer('adam', learning_rate)")
def create_optimizer(
    name: str,
    learning_rate: LearningRate,
    *,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
    **options: float,
) -> Optimizer:
    """Makes an optimizer by name. Defaults are those of the papers.

    Args:
        name: `sgd`, `momentum` (Polyak's heavy ball), `nesterov`, `adagrad` (Duchi et al. 2011;
            epsilon inside the root), `rmsprop` (Hinton 2012; epsilon outside the root), `adam`
            (Kingma and Ba, arXiv:1412.6980) or `adamw` (Loshchilov and Hutter, arXiv:1711.05101).
        learning_rate: A number, or a schedule from steps to numbers; training steps log it.
        weight_decay: Shrinks the parameters that `decay_mask` marks. For `adamw` it is decoupled
            from the gradient, and scaled by the learning rate; for the others it is the gradient of
            `weight_decay / 2 * sum(w ** 2)`, added after clipping and before the optimizer.
        clip_norm: The maximal global norm of the gradient; a larger gradient is scaled down to it.
        **options: Options of the optimizer: `momentum` (momentum, nesterov, rmsprop), `decay`
            (rmsprop), `beta1` and `beta2` (adam, adamw), and `eps`.

    Raises:
        TypeError: The name or the learning rate is missing.
        ValueError: The name or an option is unknown, or a value is out of range.

    >>> import numpy as np
    >>> optimizer = create_optimizer("adam", 0.1)
    >>> params, gradients = {"w": np.ones(2)}, {"w": np.array([5.0, -0.1])}
    >>> updates, _ = jax.jit(optimizer.update)(gradients, optimizer.init(params), params)
    >>> np.asarray(10 * updates["w"]).round(2).tolist()  # Adam's first step is the gradient's sign
    [-1.0, 1.0]
    """
    check_name("optimizer", name, _OPTIMIZERS)
    build = _OPTIMIZERS[name]
    allowed = set(inspect.signature(build).parameters) - {"learning_rate"}
    for option in options:
        if option not in allowed:
            raise ValueError(
                unknown(f"option of {name}", option, {*allowed, "weight_decay", "clip_norm"})
            )
    for option, value in options.items():
        if option == "eps":
            check_not_negative("eps", value)
        elif not is_number(value) or not 0 <= value < 1:
            raise ValueError(f"{option} must be in [0, 1), got {value!r}")
    check_not_negative("weight_decay", weight_decay)
    if clip_norm is not None and not (is_number(clip_norm) and clip_norm > 0):
        raise ValueError(f"clip_norm must be positive, got {clip_norm!r}; None does not clip")
    if not callable(learning_rate):
        check_not_negative("learning_rate", learning_rate)

    chain = [] if clip_norm is None else [optax.clip_by_global_norm(clip_norm)]
    if "weight_decay" in allowed:
        options["weight_decay"] = weight_decay
    elif weight_decay:
        chain.append(optax.add_decayed_weights(weight_decay, mask=decay_mask))
    return Optimizer(optax.chain(*chain, build(learning_rate, **options)), learning_rate)


def create_schedule(
    name: str,
    learning_rate: float,
    num_steps: int,
    *,
    warmup_steps: int = 0,
    milestones: Sequence[float] = (0.5, 0.75),
    factor: float = 0.1,
) -> optax.Schedule:
    """Makes a learning-rate schedule by name: a function from the step to the learning rate.

    Args:
        name: `constant`; `cosine`, which falls to 0 at the last step (Loshchilov and Hutter, SGDR,
            arXiv:1608.03983); or `step`, which multiplies by `factor` at every milestone.
        learning_rate: The highest value, reached when the warm-up ends.
        num_steps: The length of the run, including the warm-up.
        warmup_steps: The number of steps of the linear rise from 0 (Goyal et al.,
            arXiv:1706.02677).
        milestones: Fractions of `num_steps` at which `step` falls. Milestones within the warm-up
            take effect at its end.
        factor: The factor of each fall of `step`.

    Raises:
        ValueError: The name is unknown, or a value is out of range.

    >>> import numpy as np
    >>> schedule = create_schedule("cosine", 0.1, 100, warmup_steps=10)
    >>> rates = jax.jit(schedule)(np.array([0, 5, 10, 55, 100]))
    >>> [round(rate, 4) for rate in rates.tolist()]
    [0.0, 0.05, 0.1, 0.05, 0.0]
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    if not 0 <= warmup_steps <= num_steps:
        raise ValueError(f"warmup_steps must be in [0, {num_steps}], got {warmup_steps}")
    check_not_negative("learning_rate", learning_rate)
    rest = num_steps - warmup_steps
    if name == "constant":
        schedule = optax.constant_schedule(learning_rate)
    elif name == "cosine":
        schedule = optax.cosine_decay_schedule(learning_rate, max(rest, 1))
    elif name == "step":
        if not all(0 < milestone < 1 for milestone in milestones):
            raise ValueError(f"milestones are fractions in (0, 1), got {tuple(milestones)}")
        if not 0 <= factor <= 1:
            raise ValueError(f"factor must be in [0, 1], got {factor}")
        # The boundaries count from the end of the warm-up; several may fall on one step.
        falls = collections.Counter(
            max(round(fraction * num_steps) - warmup_steps, 0) for fraction in milestones
        )
        passed = falls.pop(0, 0)
        schedule = optax.piecewise_constant_schedule(
            learning_rate * factor**passed, {start: factor**n for start, n in falls.items()}
        )
    else:
        raise ValueError(unknown("schedule", name, ("constant", "cosine", "step")))
    if warmup_steps:
        rise = optax.linear_schedule(0.0, learning_rate, warmup_steps)
        return optax.join_schedules([rise, schedule], [warmup_steps])
    return schedule
