"""Where arrays live; `test_parallel.py` trains on it."""

import math

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import train

COUNT = len(jax.devices())
SHAPES = st.lists(st.integers(0, 24), max_size=4).map(tuple)


def mesh(count: int = COUNT) -> jax.sharding.Mesh:
    return train.data_mesh(jax.devices()[:count])


def test_data_mesh_has_all_devices_on_one_automatic_axis() -> None:
    whole = train.data_mesh()
    assert dict(whole.shape) == {"data": COUNT}
    assert list(whole.devices.flat) == jax.devices()
    assert whole.axis_types == (jax.sharding.AxisType.Auto,)
    assert train.data_mesh(jax.devices()[1:2]).devices.tolist() == jax.devices()[1:2]


def test_mesh_of_no_devices() -> None:
    with pytest.raises(ValueError, match="a mesh needs at least one device, got none"):
        train.data_mesh([])


@hypothesis.given(SHAPES, st.integers(1, COUNT), st.integers(0, 300))
def test_fsdp_cuts_the_longest_dimension_that_divides(shape, count: int, min_size: int) -> None:
    spec = train.fsdp(min_size=min_size)("any/path", shape, mesh(count))
    divisible = [length for length in shape if length and length % count == 0]
    if math.prod(shape) < min_size or not divisible:
        assert spec == jax.P()
        return
    assert spec[-1] == "data"
    assert set(spec[:-1]) <= {None}
    assert shape[len(spec) - 1] == max(divisible)


def test_without_a_rule_everything_is_replicated() -> None:
    state = {"w": jnp.ones((8, 8)), "key": jax.random.key(0), "none": None}
    shardings = train.state_shardings(state, mesh())
    assert jax.tree.structure(shardings) == jax.tree.structure(state)
    assert all(sharding.is_fully_replicated for sharding in jax.tree.leaves(shardings))


def test_rules_see_paths_shapes_and_the_mesh() -> None:
    seen = {}

    def rule(path: str, shape: tuple[int, ...], mesh: jax.sharding.Mesh) -> jax.P:
        seen[path] = shape, mesh
        return jax.P("data") if path == "params/w" else jax.P()

    state = {"params": {"w": jnp.ones((2 * COUNT, 3)), "b": jnp.ones(3)}, "key": jax.random.key(0)}
    shardings = train.state_shardings(jax.eval_shape(lambda: state), mesh(), rule)
    assert seen == {
        "params/w": ((2 * COUNT, 3), mesh()),
        "params/b": ((3,), mesh()),
        "key": ((), mesh()),
    }
    placed = jax.device_put(state["params"]["w"], shardings["params"]["w"])
    assert {shard.data.shape for shard in placed.addressable_shards} == {(2, 3)}
    np.testing.assert_array_equal(placed, state["params"]["w"])


def test_one_dimension_over_two_axes() -> None:
    axes = (jax.sharding.AxisType.Auto,) * 2
    both = jax.make_mesh((1, COUNT), ("model", "data"), axis_types=axes)
    sharding = train.state_shardings(
        {"w": jnp.ones(COUNT)}, both, lambda path, shape, mesh: jax.P(("model", "data"))
    )
    assert sharding["w"].shard_shape((COUNT,)) == (1,)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (jax.P("model"), "the mesh has no axis 'model'; it has data"),
        (jax.P(None, None, "data"), r"P\(None, None, 'data'\) for w, whose shape is \(7, 3\)"),
        (jax.P("data"), r"cuts w of shape \(7, 3\) into 2 parts by .*; 7 does not divide by 2"),
        (None, r"the sharding rule gave None for w; it must give a jax.P, and jax.P\(\) for"),
        (("data",), r"the sharding rule gave \('data',\) for w; it must give a jax.P"),
    ],
)
@pytest.mark.skipif(COUNT < 2, reason="cutting needs two devices")
def test_rules_that_do_not_fit(spec, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train.state_shardings({"w": jnp.ones((7, 3))}, mesh(2), lambda path, shape, mesh: spec)
