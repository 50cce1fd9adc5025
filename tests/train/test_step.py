"""One update: averages, states, types, keys; its parts and what it freezes have own files."""

import json
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import quick
import small_net
from bare_step import BATCH, LinearNet, assert_close, assert_equal, distance, make, noise

from jaxvision import models, train

# The moving average


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_average_equals_its_closed_form(decay: float) -> None:
    """Every parameter seen weighs its share, times the decays since; the decay rises to its end."""
    with jax.enable_x64(True):
        state, step = make(noise, optax.sgd(0.1), {"w": jnp.ones(3)}, ema_decay=decay)
        assert_equal(state.ema_params, state.params)
        seen = [state.params["w"]]
        compiled = jax.jit(step)
        for _ in range(20):
            state, _ = compiled(state, None)
            seen.append(state.params["w"])
            decays = [min(decay, (1 + t) / (10 + t)) for t in range(len(seen) - 1)]
            shares = [1.0] + [1 - d for d in decays]
            later = [math.prod(decays[i:]) for i in range(len(seen))]
            expected = sum(
                share * rest * w for share, rest, w in zip(shares, later, seen, strict=True)
            )
            np.testing.assert_allclose(state.ema_params["w"], expected, rtol=1e-12)
    assert int(state.step) == 20


def test_no_average_by_default() -> None:
    state, step = make(noise, optax.sgd(0.1), {"w": jnp.ones(3)})
    assert step(state, None)[0].ema_params is None


def test_average_starts_as_a_copy_that_may_be_donated() -> None:
    state, step = make(noise, optax.sgd(0.1), {"w": jnp.ones(3)}, ema_decay=0.9)
    state, _ = jax.jit(step, donate_argnums=0)(state, None)
    assert not np.array_equal(state.params["w"], state.ema_params["w"])


# States that are ready, and states that are not


@pytest.mark.parametrize("name", ["sgd", "adam"])
@pytest.mark.parametrize("trainable", [None, ["head"]])
def test_a_state_that_is_ready_comes_back_as_it_is(name: str, trainable) -> None:
    """The count of a schedule, too, which looks the same whatever is frozen."""
    rate = optax.linear_schedule(1.0, 0.0, 10)
    optimizer = train.create_optimizer(name, rate)
    model = LinearNet()
    batch = small_net.batches(1)[0]
    state = train.init_state(jax.random.key(0), model, optimizer, batch)
    loss_fn = train.classification.make_loss_fn(model)
    step = train.make_train_step(loss_fn, optimizer, trainable=trainable, ema_decay=0.9)
    state, _ = jax.jit(step)(step.prepare(state), batch)
    again = step.prepare(state)
    assert all(
        one is other
        for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(again), strict=True)
    )


def test_an_average_that_the_step_does_not_keep_is_dropped() -> None:
    """Or it would be evaluated, for ever as it was."""
    state, _ = make(noise, optax.sgd(0.1), {"w": jnp.ones(3)}, ema_decay=0.9)
    plain = train.make_train_step(noise, optax.sgd(0.1))
    with pytest.raises(ValueError, match="the state has ema_params, which this step would leave"):
        plain(state, None)
    assert plain.prepare(state).ema_params is None


def test_states_that_are_not_ready() -> None:
    params = {"w": np.ones(3, np.float32), "v": np.ones(2, np.float32)}
    adam, sgd = optax.adam(0.1), optax.sgd(0.1)
    state, _ = make(noise, adam, params)
    averaging = train.make_train_step(noise, adam, ema_decay=0.9)
    with pytest.raises(ValueError, match=r"no ema_params: call state = step.prepare\(state\) once"):
        averaging(state, None)
    partly = train.make_train_step(noise, adam, trainable=["w"])
    with pytest.raises(ValueError, match="optimizer state is not that of this step's optimizer"):
        partly(state, None)
    other = train.make_train_step(noise, sgd)
    with pytest.raises(ValueError, match="optimizer state is not that of this step's optimizer"):
        other.prepare(state)
    # From training a part to training all, as the message says.
    whole = train.make_train_step(noise, adam)
    state = partly.prepare(state)
    with pytest.raises(ValueError, match=r"opt_state=optimizer.init\(state.params\)"):
        whole.prepare(state)
    state = whole.prepare(state.replace(opt_state=adam.init(state.params)))
    assert int(quick.jit(whole)(state, None)[0].step) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulate_steps": 0}, "accumulate_steps must be at least 1, got 0"),
        ({"ema_decay": 1.0}, r"ema_decay must be in \[0, 1\), got 1.0; 0.999 is usual"),
        ({"ema_decay": -0.1}, r"ema_decay must be in \[0, 1\), got -0.1"),
        ({"ema_decay": float("nan")}, r"ema_decay must be in \[0, 1\), got nan"),
    ],
)
def test_options_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train.make_train_step(noise, optax.sgd(0.1), **options)


# Types


class HalfNet(nn.Module):
    """Computes in bfloat16, and writes down in what its logits come out."""

    seen: Any = None

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(8, (3, 3), dtype=jnp.bfloat16)(x)
        x = nn.BatchNorm(use_running_average=not train, dtype=jnp.bfloat16)(x)
        logits = nn.Dense(10, dtype=jnp.bfloat16)(nn.relu(x).mean((1, 2)))
        if self.seen is not None:
            self.seen.add(logits.dtype.name)
        return logits


class WholeNet(nn.Module):
    """The same in float32."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(8, (3, 3))(x)
        x = nn.BatchNorm(use_running_average=not train)(x)
        return nn.Dense(10)(nn.relu(x).mean((1, 2)))


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("images", [jnp.float32, jnp.bfloat16])
def test_half_precision_computes_and_keeps_nothing(images, parts: int) -> None:
    seen: set[str] = set()
    batches = [
        batch | {"image": jnp.asarray(batch["image"], images)} for batch in small_net.batches(5)
    ]
    losses = {}
    for model in (HalfNet(seen), WholeNet()):
        optimizer = train.create_optimizer("adamw", 1e-2, weight_decay=0.1, clip_norm=1.0)
        state = train.init_state(jax.random.key(0), model, optimizer, batches[0])
        step = train.make_train_step(
            train.classification.make_loss_fn(model, label_smoothing=0.1),
            optimizer,
            ema_decay=0.9,
            accumulate_steps=parts,
        )
        state, compiled = step.prepare(state), jax.jit(step)
        for batch in batches:
            state, metrics = compiled(state, batch)
        total, count = metrics["loss"]
        losses[type(model)] = float(total / count)
        for tree in (state.params, state.model_state, state.opt_state, state.ema_params, metrics):
            floats = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
            assert floats
            assert {leaf.dtype.name for leaf in floats} == {"float32"}
    assert seen == {"bfloat16"}
    assert losses[HalfNet] == pytest.approx(losses[WholeNet], abs=0.02)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("parts", [1, 2])
def test_types_do_not_change_from_step_to_step(dtype, parts: int) -> None:
    """Or every state would be compiled for anew, and no loop could carry it."""
    params = {"w": jnp.ones(3, dtype)}
    optimizer = train.create_optimizer("momentum", 0.1, weight_decay=0.1, clip_norm=1.0)
    state, step = make(distance, optimizer, params, accumulate_steps=parts, ema_decay=0.9)
    after, _ = jax.eval_shape(step, state, BATCH)
    assert [x.dtype for x in jax.tree.leaves(state)] == [x.dtype for x in jax.tree.leaves(after)]


# Keys, metrics, batches, transformations


def test_every_step_has_a_key_of_its_own() -> None:
    state, step = make(noise, optax.sgd(0.1), {"w": jnp.ones(3)})
    draws = []
    for index in range(3):
        expected = jax.random.normal(jax.random.fold_in(state.key, index), (3,)).sum()
        state, metrics = step(state, None)
        assert float(metrics["draw"][0]) == pytest.approx(float(expected))
        draws.append(float(expected))
    assert len(set(draws)) == 3
    other, _ = make(noise, optax.sgd(0.1), {"w": jnp.ones(3)})
    _, metrics = step(other.replace(key=jax.random.key(1)), None)
    assert float(metrics["draw"][0]) != pytest.approx(draws[0])


def test_the_same_state_and_batch_give_the_same_bits() -> None:
    state, step = small_net.make(dropout=0.3)
    compiled = jax.jit(step)
    batch = small_net.batches(1)[0]
    one, other = compiled(state, batch), compiled(state, batch)
    assert_equal(one, other)


def test_metrics_are_pairs_and_the_loss_is_always_among_them() -> None:
    state, step = make(noise, optax.sgd(0.1), {"w": jnp.ones(3)})
    _, metrics = step(state, None)
    assert set(metrics) == {"loss", "draw", "gradient_norm"}
    np.testing.assert_allclose(metrics["loss"], (metrics["draw"][0], 1), rtol=1e-6)


@pytest.mark.parametrize("returned", ["a mean", "three", "the loss alone", "no model state"])
def test_loss_functions_that_return_something_else(returned: str) -> None:
    def loss_fn(params, model_state, batch, key):
        loss = params["w"].sum()
        return {
            "a mean": (loss, (model_state, {"error": loss})),
            "three": (loss, (model_state, {"error": (loss, loss, loss)})),
            "the loss alone": loss,
            "no model state": (loss, {"error": (loss, 1)}),
        }[returned]

    state, step = make(loss_fn, optax.sgd(0.1), {"w": jnp.ones(3)})
    message = (
        r"metric 'error' must be a pair of sums \(total, count\)"
        if returned in ("a mean", "three")
        else r"a loss_fn must return \(loss, \(model_state, metrics\)\)"
    )
    with pytest.raises(TypeError, match=message):
        step(state, None)


@pytest.mark.parametrize("parts", [1, 2])
def test_batches_of_none_and_with_more_leaves(parts: int) -> None:
    state, step = make(noise, optax.sgd(0.1), {"w": jnp.ones(3)}, accumulate_steps=parts)
    assert int(jax.jit(step)(state, None)[0].step) == 1
    state, step = make(distance, optax.sgd(0.1), {"w": jnp.ones(3)}, accumulate_steps=parts)
    more = BATCH | {"boxes": {"corners": np.ones((4, 7, 2))}, "mask": None}
    assert_equal(jax.jit(step)(state, more), jax.jit(step)(state, BATCH))


@pytest.mark.slow
def test_compiled_equals_not_compiled() -> None:
    state, step = small_net.make(dropout=0.3)
    batch = small_net.batches(1)[0]
    assert_close(jax.jit(step)(state, batch), step(state, batch), 1e-4)


def test_seeds_train_side_by_side_under_vmap() -> None:
    model = LinearNet()
    optimizer = train.create_optimizer("adamw", 0.01, weight_decay=0.1, clip_norm=1.0)
    loss_fn = train.classification.make_loss_fn(model)
    step = train.make_train_step(loss_fn, optimizer, ema_decay=0.9, accumulate_steps=2)
    batches = small_net.batches(3)

    def start(key):
        return step.prepare(train.init_state(key, model, optimizer, batches[0]))

    keys = jax.random.split(jax.random.key(0), 3)
    states = jax.vmap(start)(keys)
    advance = jax.jit(jax.vmap(step, in_axes=(0, None)))
    single = [start(key) for key in keys]
    compiled = jax.jit(step)
    for batch in batches:
        states, metrics = advance(states, batch)
        results = [compiled(state, batch) for state in single]
        single = [state for state, _ in results]
        losses = [one["loss"][0] for _, one in results]
        np.testing.assert_allclose(metrics["loss"][0], losses, rtol=1e-5)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *single)
    assert_close(states, stacked, 1e-5)


def test_describe_is_json_able_and_names_what_defines_the_step() -> None:
    model = models.create_model("linear_classifier", num_classes=10)
    loss_fn = train.classification.make_loss_fn(model, label_smoothing=0.1)
    step = train.make_train_step(
        loss_fn, optax.sgd(0.1), trainable=("head",), ema_decay=0.9, accumulate_steps=2
    )
    described = step.describe()
    assert described.pop("models") == {"model": model}
    assert described.pop("inputs").describe() == {"mean": (0.0,), "std": (1.0,)}
    described = json.loads(json.dumps(described))
    assert described["trainable"] == ["head"]
    assert (described["ema_decay"], described["accumulate_steps"]) == (0.9, 2)
    assert (described["task"], described["loss"]["label_smoothing"]) == ("classification", 0.1)
    plain = train.make_train_step(noise, optax.sgd(0.1))
    assert plain.describe() == {
        "loss": {},
        "trainable": None,
        "frozen": [],
        "ema_decay": None,
        "accumulate_steps": 1,
    }
