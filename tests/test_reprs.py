"""Texts of objects with arrays are short, whatever the arrays hold."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxvision import classical, train
from jaxvision.manifold import Affinities


class Tiny(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        return nn.Dense(100)(x)


@pytest.fixture
def state() -> train.TrainState:
    return train.init_state(jax.random.key(0), Tiny(), optax.adam(0.1), jnp.ones((1, 100)))


def test_a_state_tells_how_much_it_holds(state: train.TrainState) -> None:
    assert repr(state).startswith(
        "TrainState(step=0, params={2 arrays, 10,100 numbers}, model_state={}, opt_state=("
    )
    assert len(repr(state)) < 200


def test_shapes_and_arrays_that_are_gone_have_texts_too(state: train.TrainState) -> None:
    assert "step=int32[]" in repr(jax.eval_shape(lambda x: x, state))
    state.step.delete()
    assert "step=int32[] (used up)" in repr(state)
    assert jax.jit(lambda state: len(repr(state)) + state.step)(
        train.init_state(jax.random.key(0), Tiny(), optax.adam(0.1), jnp.ones((1, 100)))
    )


def test_results_of_a_run(state: train.TrainState) -> None:
    history = [{"step": step, "split": "train", "loss": 0.5} for step in range(1000)]
    result = train.FitResult(state, 1000, {"loss": 0.5}, history, {"test": {"loss": 0.5}})
    assert "metrics={'loss': 0.5}, history=[1000 entries]" in repr(result)
    assert len(repr(result)) < 400


def test_named_tuples_and_numbers() -> None:
    found = classical.Neighbors(np.zeros((1000, 5), np.int32), np.zeros((1000, 5), np.float32))
    assert repr(found) == "Neighbors(indices=int32[1000, 5], distances=float32[1000, 5])"
    rows = np.zeros(9, np.int32)
    near = Affinities(rows, rows, jnp.ones(9), jnp.float32(0.5), 3)
    assert repr(near) == (
        "Affinities(rows=int32[9], columns=int32[9], values=float32[9], row_entropy=0.5, "
        "num_points=3)"
    )
