import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision.models.inverted_residual import BlockSpec, InvertedResidual, make_divisible

SPEC = BlockSpec(expanded=24, features=8, squeezed=4)


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("channels", "rounded"),
    # A tenth may be lost, not more: 11.1 would be 8 and is 16, 8.8 is 8.
    [(24, 24), (8.8, 8), (11.1, 16), (3, 8), (12, 16), (11.9, 16), (33.6, 32), (1792, 1792)],
)
def test_make_divisible(channels, rounded):
    assert make_divisible(channels) == rounded


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({}, ["expand", "depthwise", "squeeze_excite", "project"]),
        ({"squeezed": 0}, ["expand", "depthwise", "project"]),
        ({"expanded": 8}, ["depthwise", "squeeze_excite", "project"]),
    ],
)
def test_parts(change, parts):
    block = InvertedResidual(spec=dataclasses.replace(SPEC, **change))
    variables = jax.eval_shape(
        partial(block.init, train=False), jax.random.key(0), np.ones((1, 5, 5, 8))
    )
    assert set(variables["params"]) == set(parts)


def test_the_input_is_added_where_it_fits_and_the_projection_is_linear():
    changes = [{}, {"stride": 2}, {"features": 16}]

    @quick.jit
    def calls(x):
        outputs = []
        for change in changes:
            block = InvertedResidual(spec=dataclasses.replace(SPEC, **change))
            y, variables = block.init_with_output(jax.random.key(0), x, train=False)
            zeros = jax.tree.map(jnp.zeros_like, variables["params"]["project"])
            without = {**variables, "params": {**variables["params"], "project": zeros}}
            outputs.append((y, block.apply(without, x, train=False)))
        return outputs

    x = draw(2, 6, 6, 8)
    added, strided, wider = jax.device_get(calls(x))
    np.testing.assert_array_equal(added[1], x)
    assert not strided[1].any()
    assert not wider[1].any()
    # Negative values come through.
    assert (wider[0] < 0).mean() > 0.2


def test_residuals_are_dropped_in_training_only():
    spec = dataclasses.replace(SPEC, drop_rate=0.5, squeezed=0)
    block = InvertedResidual(spec=spec, norm="group")

    @quick.jit
    def calls(x):
        kept, variables = block.init_with_output(jax.random.key(0), x, train=False)
        keys = {"dropout": jax.random.key(1)}
        return block.apply(variables, x, train=True, rngs=keys), kept

    x = draw(64, 3, 3, 8)
    y, kept = jax.device_get(calls(x))
    dropped = (y == x).all(axis=(1, 2, 3))
    assert 16 < int(dropped.sum()) < 48
    np.testing.assert_allclose((y - x)[~dropped], 2 * (kept - x)[~dropped], atol=1e-5)
