"""Losses that see more than their parameters: an average, a teacher, another network."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import quick

from jaxvision import train

BATCH = {"x": np.arange(8, dtype=np.float32)}


def start(value: float = 1.0) -> train.TrainState:
    params = {"w": jnp.float32(value)}
    return train.TrainState(
        step=jnp.int32(0),
        params=params,
        model_state={},
        opt_state=optax.sgd(0.5).init(params),
        ema_params=None,
        key=jax.random.key(0),
    )


def towards(params, model_state, batch, key, *, context):
    """The distance to what is in the context, whatever the batch."""
    loss = (params["w"] - context["w"]) ** 2 * jnp.ones_like(batch["x"])
    return loss.mean(), (model_state, {"teacher": (context["w"], 1.0)})


def test_the_average_is_a_teacher_without_a_gradient() -> None:
    step = train.make_train_step(
        towards, optax.sgd(0.5), ema_decay=0.5, context=lambda state: state.ema_params
    )
    state = step.prepare(start(1.0)).replace(ema_params={"w": jnp.float32(3.0)})
    state, measured = quick.jit(step)(state, BATCH)
    assert float(state.params["w"]) == 3.0  # 1 - 0.5 * 2 * (1 - 3)
    assert float(measured["teacher"][0]) == 3.0
    # And the teacher follows, by 1 - (1 + 0) / (10 + 0) of the way.
    assert float(state.ema_params["w"]) == 3.0


def test_another_network_is_given_at_each_call_and_accumulation_never_cuts_it() -> None:
    seen = []

    def loss(params, model_state, batch, key, *, context):
        seen.append((batch["x"].shape, context["w"].shape))
        return (params["w"] * context["w"].sum() * batch["x"]).mean(), (model_state, {})

    whole, parts = (
        train.make_train_step(loss, optax.sgd(0.5), accumulate_steps=count) for count in (1, 4)
    )
    other = {"w": np.arange(3, dtype=np.float32)}  # no row per example

    def both(state, batch, context):
        return [step(state, batch, context=context)[0].params for step in (whole, parts)]

    first, second = quick.jit(both)(start(), BATCH, other)
    np.testing.assert_allclose(first["w"], second["w"], rtol=1e-6)
    assert {*seen} == {((8,), (3,)), ((2,), (3,))}


def test_eight_devices_see_it_whole() -> None:
    step = train.make_train_step(
        towards, optax.sgd(0.1), context=lambda state: {"w": state.params["w"] * 0 + 2}
    )
    one, eight = (
        train.fit(
            train.parallelize(step, train.data_mesh(jax.devices()[:count])),
            start(),
            [BATCH] * 3,
        ).state.params["w"]
        for count in (1, 8)
    )
    assert float(one) == float(eight) == pytest.approx(2 - 0.8**3)


def test_a_context_of_its_own_and_one_that_is_given() -> None:
    step = train.make_train_step(towards, optax.sgd(0.1), context=lambda state: state.params)
    with pytest.raises(ValueError, match="makes its context of its own state; call it as step"):
        step(start(), BATCH, context={"w": 1.0})


def test_a_loss_without_a_context_gets_none() -> None:
    def plain(params, model_state, batch, key):
        return params["w"] ** 2, (model_state, {})

    state, _ = train.make_train_step(plain, optax.sgd(0.5))(start(), BATCH)
    assert float(state.params["w"]) == 0
    with pytest.raises(TypeError, match="context"):
        train.make_train_step(towards, optax.sgd(0.5))(start(), BATCH)
