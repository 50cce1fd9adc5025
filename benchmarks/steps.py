"""Training steps that are compiled once and run many times."""

import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import flax.linen as nn
import jax
import optax

from jaxvision import train


def compiled_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    loss_fn: Any,
    batch: dict[str, Any],
) -> tuple[Callable[[], Any], float]:
    """Compiles a training step.

    Args:
        model: The model that is trained.
        optimizer: What updates its parameters.
        loss_fn: The loss of a batch; see `train.make_train_step`.
        batch: What every step is made on.

    Returns:
        A function that makes a step and gives its metrics when it is done, and the seconds that
        tracing and compiling it took.
    """
    step = train.make_train_step(loss_fn, optimizer)
    return compiled(step, train.init_state(jax.random.key(0), model, optimizer, batch), batch)


def compiled(step: Any, state: Any, batch: Any) -> tuple[Callable[[], Any], float]:
    """Compiles any step that can `prepare` a state.

    Args:
        step: The step.
        state: Where it begins.
        batch: What every step is made on.

    Returns:
        As `compiled_step`.
    """
    state, batch = step.prepare(state), jax.device_put(batch)
    jax.clear_caches()
    start = time.perf_counter()
    program = jax.jit(step, donate_argnums=0).lower(state, batch).compile()
    seconds = time.perf_counter() - start
    latest = [state]

    def run() -> Any:
        latest[0], metrics = program(latest[0], batch)
        return jax.block_until_ready((metrics, latest[0]))[0]

    return run, seconds


def native() -> Any:
    """While this is entered, what is traced has XLA's own convolutions and max-pooling."""
    return mock.patch.object(jax, "default_backend", return_value="gpu")
