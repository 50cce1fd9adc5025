import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.models.inverted_residual import BlockSpec, InvertedResidual, make_divisible

SPEC = BlockSpec(expanded=24, features=8, squeezed=4)


def start(spec, x, **options):
    """Gives a block and random parameters."""
    block = InvertedResidual(spec=spec, **options)
    return block, jax.jit(partial(block.init, train=False))(jax.random.key(0), x)


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
        partial(block.init, train=False), jax.random.key(0), jnp.ones((1, 5, 5, 8))
    )
    assert set(variables["params"]) == set(parts)


@pytest.mark.parametrize(
    ("change", "is_added"), [({}, True), ({"stride": 2}, False), ({"features": 16}, False)]
)
def test_the_input_is_added_where_it_fits(change, is_added):
    spec = dataclasses.replace(SPEC, **change)
    x = jax.random.normal(jax.random.key(2), (2, 6, 6, 8))
    block, variables = start(spec, x)
    zero = jax.tree.map(jnp.zeros_like, variables["params"]["project"])
    params = {**variables["params"], "project": zero}
    y = jax.jit(partial(block.apply, train=False))({**variables, "params": params}, x)
    np.testing.assert_array_equal(y, x if is_added else jnp.zeros_like(y))


def test_projection_is_linear():
    # Negative values come through.
    x = jax.random.normal(jax.random.key(2), (2, 6, 6, 8))
    block, variables = start(dataclasses.replace(SPEC, features=16), x)
    y = jax.jit(partial(block.apply, train=False))(variables, x)
    assert (y < 0).mean() > 0.2


def test_residuals_are_dropped_in_training_only():
    spec = dataclasses.replace(SPEC, drop_rate=0.5, squeezed=0)
    x = jax.random.normal(jax.random.key(2), (64, 3, 3, 8))
    block, variables = start(spec, x, norm="group")
    y = jax.jit(partial(block.apply, train=True))(variables, x, rngs={"dropout": jax.random.key(1)})
    dropped = (y == x).all(axis=(1, 2, 3))
    assert 16 < int(dropped.sum()) < 48
    kept = jax.jit(partial(block.apply, train=False))(variables, x)
    np.testing.assert_allclose((y - x)[~dropped], 2 * (kept - x)[~dropped], atol=1e-5)
