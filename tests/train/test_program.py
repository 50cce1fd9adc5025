"""What a step computes: how many fit into one program, and whether two are the same."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import small_net

from jaxvision import data, models, train
from jaxvision.train._program import FUSED_STEPS, Program


def fused_for(name: str, *, size: int = 8, strategy: str = "jit", **options) -> int:
    """How many steps are fused for a model on a CPU."""
    axis_name = "data" if strategy == "pmap" else None
    model = models.create_model(name, num_classes=10, **options)
    optimizer = train.create_optimizer("sgd", 0.1)
    batch = {"image": np.zeros((16, size, size, 1), np.float32), "label": np.zeros(16, int)}
    state = jax.eval_shape(
        lambda key: train.init_state(key, model, optimizer, batch), jax.random.key(0)
    )
    loss_fn = train.classification.make_loss_fn(model)
    step = train.make_train_step(loss_fn, optimizer, axis_name=axis_name)
    return Program(train.parallelize(step, strategy=strategy), state, batch).steps_to_fuse()


def test_short_steps_without_convolutions_are_fused() -> None:
    assert fused_for("linear_classifier") == FUSED_STEPS
    assert fused_for("mlp", hidden_sizes=(16,)) == FUSED_STEPS


def test_steps_that_fusing_would_slow_down_are_not() -> None:
    assert fused_for("lenet5", size=32) == 1  # convolutions
    assert fused_for("linear_classifier", size=700) == 1  # large
    assert fused_for("linear_classifier", strategy="pmap") == 1
    state, step = small_net.make()
    assert Program(train.parallelize(step), state, None).steps_to_fuse() == 1  # nothing to stack


def fingerprint(
    optimizer: optax.GradientTransformation | None = None, *, size: int = 16, **options
) -> dict | None:
    model = models.create_model("lenet5")
    optimizer = optimizer or optax.adamw(1e-3)
    batch = {"image": np.zeros((size, 16, 16, 1), np.uint8), "label": np.zeros(size, int)}
    state = train.init_state(jax.random.key(0), model, optimizer, batch)
    step = train.make_train_step(train.classification.make_loss_fn(model, **options), optimizer)
    return Program(train.parallelize(step), state, batch).fingerprint()


def flipped() -> train.Inputs:
    return train.Inputs(augment=data.augment.random_flip())


@functools.cache
def usual_fingerprint() -> dict | None:
    return fingerprint()


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": optax.adamw(2e-3)},
        {"optimizer": optax.adamw(optax.cosine_decay_schedule(1e-3, 100))},
        {"inputs": flipped()},
        {"label_smoothing": 0.1},
        {"class_weights": [1.0] * 9 + [2.0]},
        {"size": 32},
    ],
    ids=lambda options: next(iter(options)),
)
def test_another_step_has_another_fingerprint(options) -> None:
    assert fingerprint(**options) != usual_fingerprint()


def test_the_same_step_has_the_same_fingerprint() -> None:
    assert fingerprint() == usual_fingerprint()


def test_the_fingerprint_is_the_same_in_another_process() -> None:
    """One that has traced other programs before, with addresses of its own."""
    code = (
        "import jax, sys; sys.path[:0] = ['tests/train']\n"
        "jax.config.update('jax_num_cpu_devices', 2)\n"
        "import test_program\n"
        "print(test_program.fingerprint(inputs=test_program.flipped()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(fingerprint(inputs=flipped()))


def test_steps_whose_program_does_not_tell_have_no_fingerprint() -> None:
    def step(state, batch):
        jax.debug.callback(print, batch)
        return state, {}

    assert Program(train.parallelize(step), jnp.ones(()), np.ones(8)).fingerprint() is None
    state, step = small_net.make(axis_name="data")
    parallel = train.parallelize(step, strategy="pmap")
    assert Program(parallel, state, small_net.batches(1)[0]).fingerprint() is None
