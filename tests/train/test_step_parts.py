"""A batch in parts: the same step in less memory."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import quick
import small_net
from bare_step import BATCH, LinearNet, assert_close, assert_equal, distance, make

from jaxvision import train


def classify(batch: dict, parts: int, **options) -> tuple[train.TrainState, Any]:
    """A step of a classifier in float64."""
    model = LinearNet()
    optimizer = train.create_optimizer("sgd", 0.1)
    state = train.init_state(jax.random.key(0), model, optimizer, batch)
    state = state.replace(params=jax.tree.map(np.float64, state.params))
    loss_fn = train.classification.make_loss_fn(model, **options)
    step = train.make_train_step(loss_fn, optimizer, accumulate_steps=parts)
    return jax.jit(step)(step.prepare(state), batch)


def weights(kind: str) -> np.ndarray:
    weight = np.ones(24)
    if kind == "padded":
        weight[20:] = 0
    elif kind == "uneven":
        weight = np.random.default_rng(1).uniform(0, 3, 24)
    elif kind == "one part is padding":
        weight[1::4] = 0
    elif kind == "one row counts":
        weight[1:] = 0
    return weight


@pytest.mark.parametrize("parts", quick.only([2, 4], 4))
@pytest.mark.parametrize(
    "kind", ["even", "padded", "uneven", "one part is padding", "one row counts"]
)
def test_parts_equal_the_whole(kind: str, parts: int) -> None:
    options = {
        "label_smoothing": 0.1,
        "l2": 1e-2,
        "class_weights": np.linspace(0.2, 2, 10).tolist(),
    }
    with jax.enable_x64(True):
        batch = small_net.batches(1, size=24, dtype=np.float64)[0] | {"weight": weights(kind)}
        whole, whole_metrics = classify(batch, 1, **options)
        state, metrics = classify(batch, parts, **options)
        assert_close(whole.params, state.params, 1e-12)
        # The loss is summed with its denominator, so that its mean is the same too.
        assert_close(whole_metrics, metrics, 1e-9)


def test_parts_are_interleaved_and_the_model_state_passes_through_them() -> None:
    """Row i is in part i % parts; every part has a key of its own."""

    def loss_fn(params, model_state, batch, key):
        code = 100 * model_state["seen"] + (batch["image"] * jnp.array([10.0, 1.0])).sum()
        draw = jax.random.uniform(key)
        return params["w"].sum(), ({"seen": code}, {"draw": (draw, jnp.ones(()))})

    state, step = make(
        loss_fn, optax.sgd(0.1), {"w": jnp.zeros(1)}, {"seen": jnp.zeros(())}, accumulate_steps=2
    )
    state, metrics = step(state, BATCH)
    assert float(state.model_state["seen"]) == 1324  # rows 1 and 3, then 2 and 4
    key = jax.random.fold_in(state.key, 0)
    draws = [jax.random.uniform(jax.random.fold_in(key, part)) for part in range(2)]
    np.testing.assert_allclose(metrics["draw"], (sum(draws), 2), rtol=1e-6)


def test_parts_without_a_reported_loss_weigh_the_same() -> None:
    state, step = make(distance, optax.sgd(1.0), {"w": jnp.zeros(1)}, accumulate_steps=4)
    state, metrics = step(state, BATCH)
    assert state.params["w"].item() == pytest.approx(2.5)
    np.testing.assert_allclose(metrics["loss"], ((1 + 4 + 9 + 16) / 2, 4))


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("naive", [False, True], ids=["guarded", "0/0"])
def test_batch_of_padding_alone(parts: int, naive: bool) -> None:
    """No gradient and no NaN, even of a loss that divides 0 by 0."""

    def loss_fn(params, model_state, batch, key):
        total = (batch["weight"] * (params["w"] - batch["image"]) ** 2).sum()
        count = batch["weight"].sum()
        loss = total / (count if naive else jnp.maximum(count, 1))
        return loss, (model_state, {"loss": (total, count)})

    params = {"w": jnp.float32(0.3)}
    state, step = make(loss_fn, optax.sgd(0.1), params, accumulate_steps=parts, ema_decay=0.9)
    after, metrics = jax.jit(step)(state, BATCH | {"weight": np.zeros(4, np.float32)})
    assert_equal(after.params, state.params)
    assert_equal(after.ema_params, state.ema_params)
    assert int(after.step) == 1
    np.testing.assert_array_equal(metrics["loss"], (0, 0))


def test_classifier_on_padding_alone_keeps_its_parameters() -> None:
    batch = small_net.batches(1)[0] | {"weight": np.zeros(32, np.float32)}
    state, step = small_net.make()
    plain = train.make_train_step(step.loss_fn, optax.sgd(0.1), accumulate_steps=2)
    state = state.replace(opt_state=optax.sgd(0.1).init(state.params), ema_params=None)
    after, metrics = jax.jit(plain)(plain.prepare(state), batch)
    assert_equal(after.params, state.params)
    np.testing.assert_array_equal(metrics["loss"], (0, 0))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after.model_state))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (BATCH, "a batch of 4 rows does not divide into 3 equal parts"),
        ({"image": jnp.float32(1)}, "needs the rows along its first axis; one is a scalar"),
    ],
)
def test_batches_that_cannot_be_parted(batch, message: str) -> None:
    state, step = make(distance, optax.sgd(0.1), {"w": jnp.zeros(1)}, accumulate_steps=3)
    with pytest.raises(ValueError, match=message):
        step(state, batch)
