import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from recorded import all_places, clocks, frames, read_all, record, sample

from jaxvision import rl
from jaxvision.rl.replay.priorities import Priorities
from jaxvision.rl.replay.stream import Event
from jaxvision.rl.replay.uniform import Places

PLAIN = rl.PrioritizedReplay(40)
"""What records: alpha and beta matter later."""

change = quick.jit(Priorities.set)


@pytest.mark.parametrize("count", [1, 2, 10, 1_000])
def test_numbers_are_drawn_by_their_size(count):
    rng = np.random.default_rng(0)
    sizes = rng.random(count) ** 3 * (rng.random(count) < 0.7)
    sizes[0] = 1.0

    @quick.jit
    def draw(sizes, key):
        return Priorities.zeros(count).set(jnp.arange(count), sizes).sample(key, 50_000)

    indices, shares = jax.device_get(draw(np.float32(sizes), jax.random.key(0)))
    share = sizes / sizes.sum()
    np.testing.assert_allclose(shares, share[indices], rtol=1e-4)
    # Strata: every number comes up as often as its share says, but for one at each end.
    counts = np.bincount(indices, minlength=count)
    np.testing.assert_allclose(counts, 50_000 * share, atol=2.5)
    assert not counts[sizes == 0].any()


def test_sums_follow_changes():
    rng = np.random.default_rng(0)
    plain, numbers = np.zeros(50), Priorities.zeros(50)
    for _ in range(20):
        indices = rng.choice(50, 6, replace=False)
        values = rng.random(6)
        plain[indices] = values
        numbers = change(numbers, indices, np.float32(values))
    leaves = np.asarray(numbers.leaves)
    np.testing.assert_allclose(leaves.ravel()[:50], plain, rtol=1e-6)
    np.testing.assert_allclose(numbers.sums, leaves.sum(1), rtol=1e-6)


def test_the_same_place_twice():
    numbers = change(Priorities.zeros(9), np.array([4, 4, 5]), np.float32([2.0, 3.0, 1.0]))
    leaves = np.asarray(numbers.leaves)
    assert leaves.ravel()[4] in (2.0, 3.0)
    np.testing.assert_allclose(numbers.sums, leaves.sum(1))


def test_only_transitions_have_a_priority():
    """Through many turns of the rings: the places to draw from are those that can be read."""
    for envs, options in ((clocks(), {}), (frames(3), {"num_frames": 3})):
        for num_steps in (1, 9, 75):
            stream, memory, _ = record(envs, PLAIN, num_steps, **options)
            readable = read_all(stream, memory.stream).weights > 0
            count = stream.num_envs * stream.slots
            drawable = np.ravel(memory.priorities.leaves)[:count] > 0
            np.testing.assert_array_equal(drawable, readable)


def test_new_transitions_have_the_greatest_priority_there_was():
    replay = rl.PrioritizedReplay(40, alpha=0.5)
    stream, memory, _ = record(clocks(), PLAIN, 5)
    _, places = sample(replay, stream, memory, 2)
    here = np.asarray(memory.stream.positions)
    no, seen = np.zeros(3, bool), np.zeros((3, 2), np.float32)
    step = Event(np.zeros(3, np.int32), np.ones(3, np.float32), no, no, seen, seen, ~no)

    @quick.jit
    def update_and_add(memory, places, errors, step):
        memory = replay.update(stream, memory, places, errors)
        return memory.greatest, replay.add(stream, memory, step).priorities.leaves

    errors = np.float32([9.0, 1.0])
    greatest, leaves = jax.device_get(update_and_add(memory, places, errors, step))
    np.testing.assert_allclose(greatest, 3.0, rtol=1e-5)
    leaves = np.ravel(leaves)
    np.testing.assert_allclose(leaves[np.arange(3) * stream.slots + here], 3.0, rtol=1e-5)


def test_weights_make_up_for_how_often_a_transition_is_drawn():
    """With beta 1 the weighted mean is that of uniform draws, whatever the priorities."""
    replay = rl.PrioritizedReplay(40, alpha=1.0, beta=1.0)
    stream, memory, _ = record(clocks(), PLAIN, 60)
    places = Places(*all_places(stream))
    there = read_all(stream, memory.stream)
    errors = np.exp(there.rewards)  # much is drawn often
    memory = quick.jit(functools.partial(replay.update, stream))(memory, places, errors)
    rows, _ = sample(replay, stream, memory, 40_000)
    weighted = np.average(rows.rewards, weights=rows.weights)
    np.testing.assert_allclose(weighted, there.rewards[there.weights > 0].mean(), atol=0.02)
    assert np.max(rows.weights) == 1.0


def test_beta_may_be_a_schedule():
    replay = rl.PrioritizedReplay(40, beta=lambda step: step / 100)
    stream, memory, _ = record(clocks(), PLAIN, 20)
    places = Places(*all_places(stream))
    errors = np.linspace(0.1, 2.0, len(places.envs), dtype=np.float32)
    memory = quick.jit(functools.partial(replay.update, stream))(memory, places, errors)
    for step, spread in ((0, False), (100, True)):
        rows, _ = sample(replay, stream, memory, 64, step)
        assert (np.ptp(rows.weights) > 0.1) == spread


@pytest.mark.parametrize("options", [{"alpha": -0.1}, {"beta": 1.2}])
def test_exponents_outside_their_range(options):
    with pytest.raises(ValueError, match=rf"{next(iter(options))} must be in \[0, 1\]"):
        rl.PrioritizedReplay(10, **options)
