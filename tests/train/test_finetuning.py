"""Rates by layer, and phases."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvision import models, train

LAYERS = (("stem",), ("block", "norm"), ("head",))


def params(value: float):
    leaf = jnp.full(2, value)
    return {"stem": {"kernel": leaf}, "block": leaf, "norm": {"scale": leaf}, "head": leaf}


@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_updates_are_those_of_rates_by_layer(name: str) -> None:
    """As if every layer had an optimizer of its own, for several steps."""
    scaled = train.layerwise_decay(train.create_optimizer(name, 0.1), LAYERS, 0.5)
    ours, state = params(1.0), scaled.init(params(1.0))
    for _ in range(3):
        gradients = jax.tree.map(jnp.sin, ours)
        updates, state = scaled.update(gradients, state, ours)
        ours = optax.apply_updates(ours, updates)
    for layer, rate in (("stem", 0.025), ("block", 0.05), ("norm", 0.05), ("head", 0.1)):
        alone = train.create_optimizer(name, rate)
        theirs, state = params(1.0)[layer], alone.init(params(1.0)[layer])
        for _ in range(3):
            updates, state = alone.update(jax.tree.map(jnp.sin, theirs), state, theirs)
            theirs = optax.apply_updates(theirs, updates)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), ours[layer], theirs)


def test_a_decoupled_weight_decay_is_scaled_too() -> None:
    optimizer = train.layerwise_decay(optax.adamw(0.1, weight_decay=0.5), LAYERS, 0.5)
    zeros = jax.tree.map(jnp.zeros_like, params(1.0))
    updates, _ = optimizer.update(zeros, optimizer.init(params(1.0)), params(1.0))
    np.testing.assert_allclose(updates["stem"]["kernel"], -0.25 * 0.1 * 0.5)
    np.testing.assert_allclose(updates["head"], -0.1 * 0.5)


def test_a_decay_of_one_changes_nothing() -> None:
    plain = optax.adam(0.1)
    scaled = train.layerwise_decay(plain, LAYERS, 1.0)
    both = [
        optimizer.update(params(2.0), optimizer.init(params(1.0)), params(1.0))[0]
        for optimizer in (plain, scaled)
    ]
    jax.tree.map(np.testing.assert_array_equal, *both)


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.5, float("nan")])
def test_decay_out_of_range(decay: float) -> None:
    with pytest.raises(ValueError, match=f"decay must be above 0 and at most 1, got {decay}"):
        train.layerwise_decay(optax.sgd(0.1), LAYERS, decay)


def test_layers_of_another_model() -> None:
    optimizer = train.layerwise_decay(optax.sgd(0.1), LAYERS, 0.5)
    strange = {"stem2": jnp.ones(2)}
    with pytest.raises(ValueError, match=r"stem2 is in no layer \(stem, block, norm, head\)"):
        optimizer.update(strange, optimizer.init(strange), strange)


@pytest.mark.parametrize("num_phases", range(1, 11))
def test_every_phase_takes_in_more_and_the_last_all(num_phases: int) -> None:
    layers = models.layer_order(models.create_model("resnet18"), (32, 32, 3))
    phases = train.unfreezing(layers, num_phases)
    assert len(phases) == num_phases
    everything = tuple(part for layer in layers for part in layer)
    assert phases[-1] == everything
    if num_phases > 1:
        assert phases[0] == ("head",)
    steps = np.diff([len(phase) for phase in phases])
    assert (steps >= 1).all()
    assert np.ptp(steps) <= 1 if num_phases > 1 else True
    assert all(everything[-len(phase) :] == phase for phase in phases)


@pytest.mark.parametrize("num_phases", [0, 4])
def test_phases_that_cannot_be(num_phases: int) -> None:
    with pytest.raises(ValueError, match=f"the number of layers, 3, got {num_phases}"):
        train.unfreezing(LAYERS, num_phases)


def test_what_a_phase_leaves_out_stays_and_the_next_goes_on_from_it() -> None:
    """Phase by phase with `fit`, as the guide has it."""
    model = models.create_model("mlp", num_classes=3, hidden_sizes=(8, 8))
    images = np.random.default_rng(0).normal(size=(16, 4, 4, 1)).astype(np.float32)
    batch = {"image": images, "label": np.arange(16) % 3}
    layers = models.layer_order(model, images.shape[1:])
    optimizer = train.layerwise_decay(optax.adam(1e-2), layers, 0.5)
    state = train.init_state(jax.random.key(0), model, optimizer, batch)
    start = jax.tree.map(np.array, state.params)  # `fit` takes the buffers of a state over
    loss_fn = train.classification.make_loss_fn(model)
    seen = []
    for patterns in train.unfreezing(layers, 3):
        step = train.make_train_step(loss_fn, optimizer, trainable=patterns)
        state = state.replace(opt_state=optimizer.init(state.params))
        state = train.fit(step, state, [batch] * 5, num_steps=5).state
        seen.append(
            [
                not np.array_equal(state.params[name]["kernel"], start[name]["kernel"])
                for name in ("hidden0", "hidden1", "head")
            ]
        )
    assert seen == [[False, False, True], [False, True, True], [True, True, True]]
    assert int(state.step) == 15
