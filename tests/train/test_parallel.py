"""One device, eight by jit, eight by pmap, eight with the state cut: the same numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
import small_net

from jaxvision import data, train

WAYS = ("jit", "fsdp", "pmap")
AUGMENT = data.augment.chain(data.augment.random_flip(), data.augment.random_crop(padding=1))


@functools.cache
def run(way: str, *, dtype: type, num_steps: int = 20, dropout: float = 0.0, augment=None):
    """The losses of all steps, the numbers after the first, and the last state."""
    state, step = small_net.make(
        axis_name="data" if way == "pmap" else None, dtype=dtype, dropout=dropout, augment=augment
    )
    mesh = train.data_mesh(jax.devices()[:1] if way == "one" else None)
    shard = train.fsdp(min_size=256) if way == "fsdp" else None
    parallel = train.parallelize(step, mesh, "pmap" if way == "pmap" else "jit", shard)
    state = parallel.prepare(state)
    losses, first = [], None
    for batch in small_net.batches(num_steps, dtype=dtype):
        state, metrics = parallel(state, parallel.place_batch(batch))
        losses.append(float(metrics["loss"][0] / metrics["loss"][1]))
        first = first or small_net.numbers(state)
    return np.array(losses), first, state


def assert_equal(one, other, tolerance: float) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=tolerance), one, other)


def assert_equal_runs(one, other, tolerance: float) -> None:
    assert_equal(one[0], other[0], tolerance)
    assert_equal(small_net.numbers(one[2]), small_net.numbers(other[2]), tolerance)


@pytest.mark.parametrize("way", WAYS)
def test_float64_agrees_after_20_steps(way: str) -> None:
    with jax.enable_x64(True):
        assert_equal_runs(run("one", dtype=np.float64), run(way, dtype=np.float64), 1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_float32_agrees_after_the_first_step(way: str) -> None:
    one, other = (run(which, dtype=np.float32) for which in ("one", way))
    assert_equal(one[0][0], other[0][0], 1e-5)
    assert_equal(one[1], other[1], 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_float32_stays_close_for_20_steps(way: str) -> None:
    one, other = (run(which, dtype=np.float32) for which in ("one", way))
    np.testing.assert_allclose(one[0], other[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("way", quick.only(["jit", "fsdp"], "jit"))
def test_dropout_and_augmentation_draw_the_same(way: str) -> None:
    options = {"dropout": 0.3, "augment": AUGMENT, "dtype": np.float64}
    with jax.enable_x64(True):
        assert_equal_runs(run("one", **options), run(way, **options), 1e-8)


def test_pmap_devices_draw_apart() -> None:
    """Keys are folded with the device's index, so dropout differs from that of one device."""
    one, other = (
        run(way, dtype=np.float32, num_steps=2, dropout=0.5)[0] for way in ("one", "pmap")
    )
    assert abs(one[1] - other[1]) > 1e-3


def test_fsdp_cuts_large_parameters() -> None:
    """No device holds a full copy of a large array; together they hold one."""
    with jax.enable_x64(True):
        *_, state = run("fsdp", dtype=np.float64)
    for tree in (state.params, state.ema_params, state.opt_state):
        large = [leaf for leaf in jax.tree.leaves(tree) if leaf.size >= 256]
        assert large
        for leaf in large:
            assert not leaf.is_fully_replicated
            sizes = [shard.data.nbytes for shard in leaf.addressable_shards]
            assert len(sizes) == 8
            assert set(sizes) == {leaf.nbytes // 8}
    small = state.params["head"]["bias"]
    assert small.is_fully_replicated


def test_init_state_is_created_sharded() -> None:
    """The same numbers as on one device, without a full copy of a large array anywhere."""
    model = small_net.SmallNet()
    tx = train.create_optimizer("adam", 1e-3)
    sample = np.zeros((1, 8, 8, 1), np.float32)
    mesh, rule = train.data_mesh(), train.fsdp(min_size=256)
    whole = train.init_state(jax.random.key(0), model, tx, sample)
    cut = train.init_state(jax.random.key(0), model, tx, sample, mesh=mesh, shard=rule)
    kernel = cut.params["hidden"]["kernel"]
    assert {shard.data.nbytes for shard in kernel.addressable_shards} == {kernel.nbytes // 8}
    jax.tree.map(np.testing.assert_array_equal, small_net.numbers(whole), small_net.numbers(cut))


def test_many_steps_equal_single_steps_wherever_they_are_cut() -> None:
    _, step = small_net.make(dropout=0.3)
    parallel = train.parallelize(step)
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *small_net.batches(8))
    results = []
    for cuts in ([8], [3, 5], [1] * 8):
        current, losses, done = parallel.prepare(small_net.make(dropout=0.3)[0]), [], 0
        for count in cuts:
            part = jax.tree.map(lambda leaf, done=done: np.roll(leaf, -done, axis=0), stacked)
            placed = parallel.place_batch(part, stacked=True)
            current, metrics = parallel.many(current, placed, count, 8)
            losses += np.asarray(metrics["loss"][0])[:count].tolist()
            assert not np.asarray(metrics["loss"][0])[count:].any()
            done += count
        results.append((np.array(losses), current))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0][0], other[0])
        jax.tree.map(
            np.testing.assert_array_equal,
            small_net.numbers(results[0][1]),
            small_net.numbers(other[1]),
        )


def test_pmap_runs_many_steps_too() -> None:
    _, step = small_net.make(axis_name="data")
    parallel = train.parallelize(step, strategy="pmap")
    batches = small_net.batches(3)
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *batches)
    many, metrics = parallel.many(
        parallel.prepare(small_net.make(axis_name="data")[0]), stacked, 3, 3
    )
    single = parallel.prepare(small_net.make(axis_name="data")[0])
    for index, batch in enumerate(batches):
        single, one = parallel(single, batch)
        np.testing.assert_allclose(one["loss"][0], metrics["loss"][0][index], rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        small_net.numbers(many.params),
        small_net.numbers(single.params),
    )


def test_steps_without_a_batch_and_with_two_optimizers() -> None:
    """An agent's batch is None, and its state is cut by the rule; a GAN holds two states."""

    def agent(state, batch):
        assert batch is None
        environment = state["environment"] + 1
        return {"environment": environment}, {"reward": (environment.sum(), jnp.float32(16))}

    def rule(path: str, shape: tuple[int, ...], mesh: jax.sharding.Mesh) -> jax.P:
        return jax.P("data") if path.startswith("environment") else jax.P()

    parallel = train.parallelize(agent, shard=rule)
    state = parallel.prepare({"environment": jnp.zeros(16)})
    state, metrics = parallel(state, None)
    assert state["environment"].addressable_shards[0].data.shape == (2,)
    assert float(metrics["reward"][0]) == 16

    one, other = small_net.make()[1], small_net.make()[1]

    def gan(state, batch):
        first, metrics = one(state["generator"], batch)
        second, _ = other(state["discriminator"], batch)
        return {"generator": first, "discriminator": second}, metrics

    parallel = train.parallelize(gan)
    states = {"generator": small_net.make()[0], "discriminator": small_net.make()[0]}
    states, _ = parallel(parallel.prepare(states), small_net.batches(1)[0])
    assert int(states["generator"].step) == int(states["discriminator"].step) == 1


def test_batch_that_does_not_divide() -> None:
    state, step = small_net.make(accumulate_steps=1)
    parallel = train.parallelize(step)
    message = "a batch of 30 rows does not divide over 8 devices; choose a multiple of 8, such as"
    with pytest.raises(ValueError, match=message):
        parallel(state, small_net.batches(1, size=30)[0])
    with pytest.raises(ValueError, match=message):
        parallel.place_batch(small_net.batches(1, size=30)[0])


@pytest.mark.parametrize(
    ("axis_name", "options", "message"),
    [
        (None, {"strategy": "pmap"}, "under pmap make the step with axis_name='data'"),
        ("data", {}, "under jit make it with axis_name=None"),
        ("data", {"strategy": "pmap", "shard": train.fsdp()}, "shard needs 'jit'"),
    ],
)
def test_ways_that_do_not_go_together(axis_name, options, message) -> None:
    _, step = small_net.make(axis_name=axis_name)
    with pytest.raises(ValueError, match=message):
        train.parallelize(step, **options)


def test_mesh_without_a_data_axis() -> None:
    mesh = jax.make_mesh((8,), ("model",), axis_types=(jax.sharding.AxisType.Auto,))
    with pytest.raises(ValueError, match="none called 'data'"):
        train.parallelize(small_net.make()[1], mesh)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (jax.P("model"), "the mesh has no axis 'model'; it has data"),
        (jax.P(None, None, None, None, "data"), "whose shape is"),
        (jax.P("data"), "does not divide by 8"),
    ],
)
def test_rules_that_do_not_fit(spec: jax.P, message: str) -> None:
    state, step = small_net.make()
    parallel = train.parallelize(step, shard=lambda path, shape, mesh: spec if shape else jax.P())
    with pytest.raises(ValueError, match=message):
        parallel.prepare(state)
