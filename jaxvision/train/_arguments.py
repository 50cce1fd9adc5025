"""Checks of models, losses, optimizers and steps, and of the shapes that a model was made for."""

import contextlib
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import flax.errors
import flax.linen as nn
import numpy as np

from jaxvision import losses
from jaxvision.suggest import nearest


class MadeForOthersError(ValueError):
    """Inputs have another shape than those that the parameters were made for."""


def check_model(model: Any) -> None:
    """Raises TypeError for what is no Flax module, such as a name or a class.

    >>> check_model("mlp")
    Traceback (most recent call last):
    TypeError: model must be a Flax module, got 'mlp': models.create_model makes one by its name
    """
    if isinstance(model, type) or not hasattr(model, "apply"):
        raise TypeError(
            f"model must be a Flax module, got {_shown(model)}: models.create_model makes one by "
            "its name"
        )


def check_kind(name: str, module: Any, kind: type, example: str) -> None:
    """Raises TypeError for what is no module of a class of `models`; `example` makes one.

    >>> from jaxvision import models
    >>> check_kind("critic", "dcgan", models.Critic, "DCGANCritic()")
    Traceback (most recent call last):
    TypeError: critic must be a models.Critic, such as models.DCGANCritic(), got 'dcgan'
    """
    if not isinstance(module, kind):
        raise TypeError(
            f"{name} must be a models.{kind.__name__}, such as models.{example}, got "
            f"{_shown(module)}"
        )


_LIKELIHOODS = ("Bernoulli", "DiscretizedLogistic", "Gaussian")


def check_likelihood(likelihood: Any) -> None:
    """Raises TypeError for what is no likelihood, such as a name or a class.

    >>> check_likelihood("bernoulli")
    Traceback (most recent call last):
    TypeError: likelihood must be one of losses.variational, such as Bernoulli(), got 'bernoulli'
    """
    if isinstance(likelihood, type) or not isinstance(likelihood, losses.variational.Likelihood):
        name = likelihood.__name__ if isinstance(likelihood, type) else likelihood
        meant = nearest(name, _LIKELIHOODS) if isinstance(name, str) else None
        got = f"the class {name}" if isinstance(likelihood, type) else _shown(likelihood)
        raise TypeError(
            f"likelihood must be one of losses.variational, such as {meant or 'Bernoulli'}(), got "
            f"{got}"
        )


def check_optimizer(optimizer: Any) -> None:
    """Raises TypeError for what is no Optax optimizer, such as a name or `optax.adam` itself.

    >>> check_optimizer("adam")
    Traceback (most recent call last):
    TypeError: optimizer must be an Optax optimizer, got 'adam': ...
    """
    if isinstance(optimizer, type) or not (
        hasattr(optimizer, "init") and hasattr(optimizer, "update")
    ):
        name = optimizer if isinstance(optimizer, str) else "adam"
        raise TypeError(
            f"optimizer must be an Optax optimizer, got {_shown(optimizer)}: "
            f"train.create_optimizer({name!r}, learning_rate) makes one"
        )


def check_loss(loss: Any, example: str) -> None:
    """Raises TypeError for a loss that is no function; `example` names one in `losses`.

    >>> check_loss("crossentropy", "focal")
    Traceback (most recent call last):
    TypeError: loss must be a function, such as losses.cross_entropy, got 'crossentropy'
    """
    if not callable(loss):
        meant = nearest(loss, losses.__all__) if isinstance(loss, str) else None
        raise TypeError(
            f"loss must be a function, such as losses.{meant or example}, got {_shown(loss)}"
        )


def check_loss_fn(loss_fn: Any) -> None:
    """Raises TypeError for what is no loss of a task: a model, a name, a loss of logits.

    >>> check_loss_fn(losses.cross_entropy)
    Traceback (most recent call last):
    TypeError: loss_fn must be a function (params, model_state, batch, key), got cross_entropy: ...
    """
    arguments = (None,) * 4
    takes = _takes(loss_fn, *arguments) or _takes(loss_fn, *arguments, context=None)
    if isinstance(loss_fn, nn.Module) or not takes:
        raise TypeError(
            "loss_fn must be a function (params, model_state, batch, key), got "
            f"{_shown(loss_fn)}: the make_loss_fn of a task makes one, such as "
            "train.classification.make_loss_fn(model)"
        )


def check_step(step: Any) -> None:
    """Raises TypeError for what is no step: a loss, a model.

    >>> check_step(lambda params, model_state, batch, key: 0)
    Traceback (most recent call last):
    TypeError: step must be a function (state, batch), got a loss: make_train_step(loss_fn, ...
    """
    if isinstance(step, nn.Module) or not _takes(step, None, None):
        remedy = "make_train_step(loss_fn, optimizer) makes one"
        got = "a loss" if _takes(step, *(None,) * 4) else _shown(step)
        raise TypeError(f"step must be a function (state, batch), got {got}: {remedy}")


@contextlib.contextmanager
def made_for(batch: Any) -> Iterator[None]:
    """Turns Flax's error about the shape of a parameter into one about the shape of a batch."""
    try:
        yield
    except flax.errors.ScopeParamShapeError as error:
        found = re.search(
            r'parameter "(.*?)" in "/?(.*?)".*?shape (\(.*?\)).*shape (\(.*?\))', str(error)
        )
        needed = "parameters of other shapes"
        if found is not None:
            path = "/".join(filter(None, (found[2], found[1])))
            needed = f"the parameter {path} of shape {found[3]}, which has {found[4]}"
        raise MadeForOthersError(
            "the model was initialized for inputs of another size or other channels: "
            f"{_shapes(batch)} needs {needed}; give such inputs as init_state got, or make the "
            "state with these"
        ) from error


def _shapes(batch: Any) -> str:
    if isinstance(batch, Mapping) and "image" in batch:
        return f"'image' of shape {np.shape(batch['image'])}"
    return "this batch"


def _takes(function: Any, *arguments: Any, **options: Any) -> bool:
    """Whether a function may be called so, as far as its signature tells."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return callable(function)
    try:
        signature.bind(*arguments, **options)
    except TypeError:
        return False
    return True


def _shown(value: Any) -> str:
    if isinstance(value, str | int | float | None):
        return repr(value)
    if isinstance(value, type) or inspect.isroutine(value):
        return str(getattr(value, "__name__", value))
    return f"{type(value).__name__}(...)"
